"""What a study asks of a segmentation and what of a classification."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from assay.plugin import SpecError
from assay.spec.parse import parse_study

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


AT_NATIVE = {"axis": "loss", "against": "cross-entropy", "measure": "dice-native", "environment": "same"}


def test_a_phantom_has_no_native_size() -> None:
    given = {**STUDY, "recipe": {"task": "segmentation"}, "probes": [{"segmentation": {"native": True}}]}
    with pytest.raises(SpecError) as refused:
        parse_study(given)
    assert "a phantom has no native size: its images are drawn at data.size, 64 px" in str(refused.value)
    assert "leave `native` out, or raise data.size" in str(refused.value)


def test_what_is_compared_at_native_size_must_be_measured_at_it(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("image,mask\n")
    asked = {
        **STUDY,
        "data": {"folder": str(tmp_path), "target": "lesion", "mask": "mask"},
        "recipe": {"task": "segmentation", "loss": ["cross-entropy", "dice"]},
        "probes": [{"segmentation": {"native": True}}],
        "contrasts": [AT_NATIVE],
    }
    assert parse_study(asked).contrasts[0].measure == "dice-native"
    with pytest.raises(SpecError) as refused:
        parse_study({**asked, "probes": ["segmentation"]})
    assert "needs `native` of probe 'segmentation'" in str(refused.value)
    assert "give {segmentation: {native: ...}} in probes" in str(refused.value)
