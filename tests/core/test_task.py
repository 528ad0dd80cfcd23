"""What a study asks of a segmentation and what of a classification."""

from __future__ import annotations

from typing import Any

import pytest

from assay.core.parsing import parse_study

STUDY: dict[str, Any] = {
    "name": "tasks",
    "data": {"phantom": "endoscopy", "core": "lesion", "target": "lesion"},
    "environments": {"train": {}, "same": {}},
}


@pytest.mark.parametrize(
    ("recipe", "probes"),
    [
        ({}, ["performance"]),
        ({"loss": "focal"}, ["performance"]),
        ({"task": "segmentation"}, ["performance", "segmentation", "lesion-free"]),
    ],
)
def test_a_study_that_names_no_probe_has_those_of_its_task(recipe: dict[str, Any], probes: list[str]) -> None:
    study = parse_study({**STUDY, "recipe": recipe})
    assert [probe.name for probe in study.probes] == probes


def test_probes_that_are_named_are_the_only_ones() -> None:
    study = parse_study({**STUDY, "recipe": {"task": "segmentation"}, "probes": ["lesion-free"]})
    assert [probe.name for probe in study.probes] == ["lesion-free"]
