"""Every probe of the catalogue keeps what the protocol promises."""

from __future__ import annotations

from assay.core.registry import entries
from assay.testing.probe import ProbeConformance


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


class TestSegmentation(ProbeConformance):
    name = "segmentation"


class TestLesionFree(ProbeConformance):
    name = "lesion-free"


class TestPainting(ProbeConformance):
    name = "painting"


class TestRobustness(ProbeConformance):
    name = "robustness"
    params = {"families": ["brightness", "saturate", "gaussian-noise"], "severities": [1, 5]}  # noqa: RUF012


def test_none_of_the_catalogue_is_left_out() -> None:
    cases: tuple[type[ProbeConformance], ...] = (TestPerformance, TestReliance, TestDecodability, TestRepresentation)
    cases += (TestSegmentation, TestLesionFree, TestPainting, TestRobustness)
    tested = {case.name for case in cases}
    assert {entry.name for entry in entries("probe")} == tested
