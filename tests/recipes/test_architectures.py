"""Every registered architecture passes the conformance suite, and so does a dense one of a user's own."""

from __future__ import annotations

from typing import Any, ClassVar

from assay.core.registry import entries
from assay.testing import ArchitectureConformance


class TestSmallCnn(ArchitectureConformance):
    name = "small-cnn"
    smallest = 16


class TestResnet18(ArchitectureConformance):
    name = "resnet18"


class TestResnet18WithTheSmallStem(ArchitectureConformance):
    name = "resnet18"
    params: ClassVar[dict[str, Any]] = {"stem": "small"}
    sizes = (16, 32)


class TestTimmConvolutions(ArchitectureConformance):
    name = "timm"
    params: ClassVar[dict[str, Any]] = {"model": "resnet10t"}


class TestTimmTransformer(ArchitectureConformance):
    """Its weights fit one size of images, and its tokens are no map."""

    name = "timm"
    params: ClassVar[dict[str, Any]] = {"model": "vit_tiny_patch16_224"}
    rate = 1e-4
    smallest = 16


class TestDense(ArchitectureConformance):
    name = "tests.recipes.objectives:dense_network"
    per_pixel = True


def test_every_registered_architecture_is_tested_here() -> None:
    tested = {suite.name for suite in ArchitectureConformance.__subclasses__() if ":" not in suite.name}
    assert {entry.name for entry in entries("architecture")} == tested
