"""Audits of segmentations whose answers are known."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.worlds.audits import LESION_MARKS, SIDE, audited, bright, lesions, lower, run, verdicts

from assay.core.errors import SpecError
from assay.models.ref import AFunction
from assay.store.folder import RunFolder


def inverted(images: np.ndarray) -> np.ndarray:
    return bright(1 - images)


def mean(images: np.ndarray) -> np.ndarray:
    return np.asarray(images.mean((1, 2, 3)))


def segmented(model: Any, data: dict[str, Any], **more: Any) -> Any:
    return audited(model, data, marks=LESION_MARKS, task="segmentation", **more)


def test_a_mark_that_is_called_lesion_is_named_and_one_that_is_not_looked_at_is_cleared(tmp_path: Path) -> None:
    data = lesions(tmp_path / "set")
    found = segmented(bright, data, out=tmp_path / "out").table("verdicts").set_index("factor")
    # On an image with a lesion of 6 x 6 a tag of 10 x 10 px is called too: Dice 2 x 36 / (36 + 136) in place of 1.
    assert found.loc["tag", "verdict"] == "affected-by", "a lesion-free image with the tag scores as one with a lesion"
    area = found.loc["tag", "stray"] * SIDE**2
    assert found.loc["tag", "dice"] == pytest.approx(1 - 72 / (72 + area), abs=0.02)
    assert found.loc["tag", "stray"] == pytest.approx(0.4**2, abs=0.05)
    assert found.loc["tag", "flips"] == 0.5
    cleared = segmented(lower, data).table("verdicts").set_index("factor")
    assert cleared.loc["upper", "verdict"] == "no-effect"
    assert cleared.loc["tag", "verdict"] == "affected-by"
    assert not set(cleared.loc["tag", "place"].split(" or ")) & {"upper left", "top", "upper right"}
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Dice lost" in page
    assert re.search(
        r"<h3>Most moved by tag</h3>.*?>no lesion, 0% predicted; with the mark no lesion, [\d.]+% pred", page, re.DOTALL
    )


def test_where_all_images_have_a_lesion_dice_and_area_decide(tmp_path: Path) -> None:
    data = lesions(tmp_path / "set", without=False)
    table = segmented(bright, data).table("verdicts").set_index("factor")
    assert np.isnan(table.loc["tag", "g"])
    assert table.loc["tag", "verdict"] == "affected-without-direction"
    assert table.loc["sex", "verdict"] == "not-tested"
    clean = segmented(lower, data)
    assert verdicts(clean)["upper"] == "no-effect"
    gaps = clean.table("gaps")
    assert set(gaps[gaps.measure == "dice"].column) == {"sex"}
    few = lesions(tmp_path / "few", without=False, count=40)
    assert verdicts(segmented(lower, few))["upper"] == "inconclusive", "40 images can miss what 5% of images show"


def test_inverted_images_stop_the_audit_and_a_distortion_costs_dice(tmp_path: Path) -> None:
    data = lesions(tmp_path / "set")
    with pytest.raises(SpecError, match=r"the Dice is 0\.\d\d as given and 1\.00 with images read as inverted"):
        segmented(inverted, data)
    rows = segmented(bright, data, distortions=["brightness"]).table("distorted")
    assert list(rows.severity) == [1, 3, 5]
    assert rows.dice.iloc[-1] > rows.dice.iloc[0]


def test_a_classifier_and_a_threshold_are_refused(tmp_path: Path) -> None:
    data = lesions(tmp_path / "other", count=40)
    with pytest.raises(SpecError, match=r"an audit with masks needs maps \[b, k, h, w\]"):
        segmented(mean, data)
    with pytest.raises(SpecError, match=r"pixels of a segmentation are called at 0\.5"):
        segmented(bright, data, threshold=0.3)


def test_masks_of_a_folder_are_joined_by_a_file_of_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lesions(tmp_path / "set", count=40)
    (tmp_path / "set" / "data.csv").rename(tmp_path / "labels.csv")

    def origin(*_: object, **__: object) -> AFunction:
        return AFunction(bright)

    monkeypatch.setattr(importlib.import_module("assay.cli.audit"), "origin_of", origin)
    given = ["audit", "m.onnx", "--images", str(tmp_path / "set"), "--labels", str(tmp_path / "labels.csv"),
             "--size", "24", "--columns", "sex", "--out", str(tmp_path / "out"), "--quiet", "--mask"]  # fmt: skip
    assert run([*given, "mask"]) == 0
    rows = {row["check"]: row for row in RunFolder(tmp_path / "out").table("checks")}
    assert rows["ranking"]["value"] == pytest.approx(1), "the Dice, with the masks"
    capsys.readouterr()
    assert run([*given, "masks"]) == 2
    assert capsys.readouterr().err.strip() == "--labels: unknown column 'masks': did you mean 'mask'?"
