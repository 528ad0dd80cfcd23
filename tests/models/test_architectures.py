"""Every registered architecture passes the conformance suite, and so does a dense one of a user's own."""

from __future__ import annotations

from typing import Any, ClassVar

from assay.plugin import entries
from assay.testing.models import ArchitectureConformance


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


class Dense(ArchitectureConformance):
    per_pixel = True


class TestDense(Dense):
    name = "tests.training.objectives:dense_network"


class TestSmallUnet(Dense):
    name = "small-unet"


class TestFpn(Dense):
    """Its decoder has group norms and channel dropout."""

    name = "smp"
    params: ClassVar[dict[str, Any]] = {"network": "fpn", "encoder": "tu-test_resnet"}


class TestDeepLab(Dense):
    """Its encoder's last stage is dilated; its decoder pools over the whole image."""

    name = "smp"
    params: ClassVar[dict[str, Any]] = {"network": "deeplabv3plus", "encoder": "tu-test_efficientnet"}


class TestWNet(Dense):
    name = "w-net"
    params: ClassVar[dict[str, Any]] = {"encoder": "tu-test_resnet"}


class TestMonai(Dense):
    name = "monai"
    params: ClassVar[dict[str, Any]] = {"network": "segresnet"}


class TestMonaiUnet(Dense):
    name = "monai"
    params: ClassVar[dict[str, Any]] = {"network": "basic-unet"}
    smallest = 17


def test_every_registered_architecture_is_tested_here() -> None:
    suites = (*ArchitectureConformance.__subclasses__(), *Dense.__subclasses__())
    tested = {suite.name for suite in suites if suite.name and ":" not in suite.name}
    assert {entry.name for entry in entries("architecture")} == tested
