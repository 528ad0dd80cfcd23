"""Every probe of the catalog keeps what the protocol promises."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch

from assay.plugin import Environment, entries
from assay.testing.data import MasksInMemory
from assay.testing.probe import PIXELS, ProbeConformance, World


class TestPerformance(ProbeConformance):
    name = "performance"


class TestReliance(ProbeConformance):
    name = "reliance"
    params = {"samples": 64}  # noqa: RUF012 - a class variable of the base
    design_passes = 7  # (5 inputs + 2) x 64 images, 64 at a time


class TestDecodability(ProbeConformance):
    name = "decodability"


class TestRepresentation(ProbeConformance):
    name = "representation"


class TestReinitialization(ProbeConformance):
    name = "reinitialization"


class TestSegmentation(ProbeConformance):
    name = "segmentation"


class TestLesionFree(ProbeConformance):
    name = "lesion-free"


class TestPainting(ProbeConformance):
    name = "painting"


class TestRobustness(ProbeConformance):
    name = "robustness"
    params = {"families": ["brightness", "saturate", "gaussian-noise"], "severities": [1, 5]}  # noqa: RUF012


class Masked(World):
    """Images of which the lower half have a lesion, the pixel that is the tag."""

    def environment(self, name: str) -> Environment:
        made = super().environment(name)
        masks = torch.zeros(len(made), 1, 8, 8, dtype=torch.bool)
        masks[: len(made) // 2, :, PIXELS["tag"][0], PIXELS["tag"][1]] = True
        return replace(made, masks=MasksInMemory(masks))


class TestAttribution(ProbeConformance):
    name = "attribution"
    params = {"explainers": ["gradient", "input-x-gradient"]}  # noqa: RUF012
    design_passes = (
        1  # a look at the steps
        + 2  # the gradient for each explainer
        + 2 * 2  # before and after painting over, there and elsewhere
    )
    gradients = True

    def world(self, n: int, missing: Mapping[str, float] | None = None) -> World:
        return Masked(n=n, missing=missing or {})


def test_none_of_the_catalog_is_left_out() -> None:
    cases: tuple[type[ProbeConformance], ...] = (TestPerformance, TestReliance, TestDecodability, TestRepresentation)
    cases += (TestSegmentation, TestLesionFree, TestPainting, TestRobustness, TestAttribution, TestReinitialization)
    tested = {case.name for case in cases}
    assert {entry.name for entry in entries("probe")} == tested
