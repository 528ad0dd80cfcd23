"""Every probe of the catalogue, and one of a user's own, keeps what the protocol promises."""

from __future__ import annotations

import inspect
from pathlib import Path

from tests.conformance.probe import ProbeConformance

from assay.core.registry import entries
from assay.core.types import Measurement
from assay.probes.probe import Model, Reading, Request
from assay.shifts.environment import Scene


class ShareOfPositives:
    """The probe of `docs/how-to/add-a-probe.md`: how many images of each environment are called positive."""

    def __init__(self, *, threshold: float = 0.0) -> None:
        self.threshold = threshold

    def requests(self, model: Model, scene: Scene) -> tuple[Request, ...]:
        return tuple(Request(scene.environment(name)) for name in scene.names)

    def measure(self, reading: Reading, scene: Scene) -> list[Measurement]:
        found: list[Measurement] = []
        for name in scene.names:
            logits = reading.read(scene.environment(name)).logits
            share = float((logits[:, 1] - logits[:, 0] > self.threshold).mean())
            found.append(Measurement("share-called-positive", share, environment=name, n=len(logits)))
        return found


class TestPerformance(ProbeConformance):
    name = "performance"


class TestReliance(ProbeConformance):
    name = "reliance"
    params = {"samples": 64}  # noqa: RUF012 - a class variable of the base
    design_passes = 7  # (5 inputs + 2) x 64 images, 64 at a time


class TestDecodability(ProbeConformance):
    name = "decodability"


class TestUsersOwn(ProbeConformance):
    name = "tests.probes.test_conformance:ShareOfPositives"


def test_none_of_the_catalogue_is_left_out() -> None:
    tested = {case.name for case in (TestPerformance, TestReliance, TestDecodability)}
    assert {entry.name for entry in entries("probe")} == tested


def test_the_how_to_shows_the_probe_that_is_tested_here() -> None:
    page = (Path(__file__).parents[2] / "docs/how-to/add-a-probe.md").read_text()
    code = page.split("```python")[1].split("```")[0]
    shown = [line.strip() for line in code.split("class ShareOfPositives:")[1].splitlines() if line.strip()]
    tested = [line.strip() for line in inspect.getsource(ShareOfPositives).splitlines() if line.strip()]
    assert shown[1:] == tested[2:]
