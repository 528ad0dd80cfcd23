"""Which images are outlined on the page of a study in folds: those that the models shown never saw."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from tests.study.test_native_study import study, written
from tests.worlds.studies import plan_tiny, run_tiny

from assay.plugin import RunFolder
from assay.report.sentences.captions import caption
from assay.stats.format import number


@pytest.mark.nightly
def test_in_folds_the_first_ones_images_are_outlined_by_its_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))
    asked = study(written(tmp_path / "set"), seeds=1, contrasts=[], probes=["performance", "segmentation"])
    asked["data"]["split"] = {"folds": 3}
    asked["recipe"]["epochs"] = 4
    run = RunFolder(run_tiny(tmp_path / "run", **asked).folder)
    captions = [caption(row) for row in run.table("pictures") if row["kind"] == "outline"]
    assert len([text for text in captions if text.startswith("same, lesion")]) == 4

    plan = json.loads((run.root / "plan.json").read_text())
    first = {one["id"]: one["point"] for one in plan["trials"] if one["fold"] == 0}
    read = {
        first[one["trial"]]: run.outputs(one["id"])
        for one in plan["readings"]
        if one["trial"] in first and one["environment"] == "same"
    }
    half = 16  # thresholds run from -16 in steps of 1
    healthy = read["dice"]["truth"] == 0
    areas = sum(kept["predicted"][healthy, half] / kept["pixels"][healthy] for kept in read.values())
    expected = ["random"] if len(set(areas)) == 1 else ["best", "median", "worst", "random"]  # of equals none is best
    assert [text.split(":")[0] for text in captions if text.startswith("same, no lesion")] == [
        f"same, no lesion, {which}" for which in expected
    ]
    kept = read["dice"]
    with np.errstate(invalid="ignore"):
        dice = 2 * kept["hit"][:, half] / (kept["truth"] + kept["predicted"][:, half])
    said = [re.search(r"; dice Dice (\S+?)\. White", text) for text in captions if text.startswith("same, lesion")]
    assert {found[1] for found in said if found} <= {number(float(value)) for value in dice[kept["truth"] > 0]}
    assert all(said)

    # A kind of lesion is told of all folds' images together, not as the mean of folds that have few and many.
    trials = {one["id"] for one in plan["trials"] if one["point"] == "dice"}
    ids = [one["id"] for one in plan["readings"] if one["trial"] in trials and one["environment"] == "same"]
    every = [run.outputs(id) for id in ids]
    assert len(every) == 3
    truth, called, hit = (
        np.concatenate([one[f"kind_{of}"][:, 0] for one in every]) for of in ("truth", "predicted", "hit")
    )
    with np.errstate(invalid="ignore"):
        expected_dice = np.mean((2 * hit / (truth + called))[truth > 0])
    (row,) = [
        row
        for row in run.table("estimates")
        if (row["measure"], row["environment"], row["level"], row["factor"]) == ("dice", "same", "polyp", "")
        and json.loads(row["coordinates"])["loss"] == "dice"
    ]
    assert row["value"] == pytest.approx(expected_dice)


def test_other_columns_of_maps_are_read_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Readings are written by the probes that read: were these done with, columns would be missing for good."""
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))
    asked = study(written(tmp_path / "set"))
    before = plan_tiny(tmp_path / "run", **asked).plan
    monkeypatch.setattr("assay.execution.plan.COLUMNS_VERSION", 99)
    after = plan_tiny(tmp_path / "run", **asked).plan
    assert {trial.id for trial in before.trials} == {trial.id for trial in after.trials}
    assert not set(before.readings.values()) & set(after.readings.values())
    assert not {unit.id for unit in before.probes} & {unit.id for unit in after.probes}
