"""A study of files of many sizes and two kinds of lesion: outlined at the study's size, measured at the files' own."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.report.reading import require_links
from tests.worlds.files import save, write_table
from tests.worlds.studies import plan_tiny, run_tiny

from assay.core.reasons import parse_reason
from assay.plugin import Code, RunFolder
from assay.report.page import write_page
from assay.report.sentences.captions import caption
from assay.store.files import read_rows

MILLIMETERS = 0.5
KINDS = ("polyp", "tool")


def written(folder: Path) -> Path:
    """48 photographs, wide and tall, of 40 to 90 px: a bright square (1), a dark one (2), both, or neither."""
    rng = np.random.default_rng(0)
    rows: list[list[object]] = [["image", "mask", "mm"]]
    for at in range(48):
        height, width = (int(side) for side in rng.integers(40, 90, 2))
        pixels, mask = rng.integers(90, 130, (height, width)), np.zeros((height, width), np.uint8)
        for kind, (shown, gray) in enumerate((((at % 4) in (0, 2), 250), ((at % 4) in (1, 2), 5)), start=1):
            if shown:
                y = int(rng.integers(0, height // 2 - 10)) + (height // 2) * (kind - 1)
                x = int(rng.integers(0, width - 12))
                mask[y : y + 10, x : x + 12] = kind
                pixels[y : y + 10, x : x + 12] = gray
        save(folder / f"{at}.png", pixels.astype(np.uint8))
        save(folder / f"m{at}.png", mask)
        rows.append([f"{at}.png", f"m{at}.png", MILLIMETERS])
    write_table(folder / "data.csv", rows)
    return folder


def study(folder: Path, **changes: Any) -> dict[str, Any]:
    return {
        "data": {
            "folder": str(folder),
            "mask": "mask",
            "mask_values": {1: "polyp", 2: "tool"},
            "target": "lesion",
            "pixel_size": "mm",
            "size": 32,
        },
        "environments": {"train": {}, "same": {}, "crops": {"crop": "lesion-free"}},
        "recipe": {
            "task": "segmentation",
            "loss": ["cross-entropy", "dice"],
            "epochs": 12,
            "batch_size": 8,
            "optimizer": {"adamw": {"lr": 0.01}},
        },
        "seeds": 3,
        "probes": ["performance", {"segmentation": {"native": True}}, "lesion-free"],
        "contrasts": [{"axis": "loss", "against": "cross-entropy", "measure": "dice-native", "environment": "same"}],
        **changes,
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("files") / "set")


@pytest.fixture(scope="module")
def run(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return RunFolder(run_tiny(tmp_path_factory.mktemp("runs") / "native", **study(folder)).folder)


def estimates(run: RunFolder, measure: str, environment: str = "same", level: str = "") -> list[dict[str, Any]]:
    return [
        row
        for row in run.table("estimates")
        if (row["measure"], row["environment"], row["level"]) == (measure, environment, level) and not row["factor"]
    ]


def _dice(kept: dict[str, np.ndarray], place: int) -> float:
    """The mean over the images that show a kind, from counts at native size."""
    truth, called, hit = (kept[f"native_kind_{name}"][:, place] for name in ("truth", "predicted", "hit"))
    return float((2 * hit / np.maximum(truth + called, 1))[truth > 0].mean())


def test_overlap_and_surfaces_at_native_size_stand_beside_those_at_the_studys(run: RunFolder) -> None:
    here, there = estimates(run, "dice"), estimates(run, "dice-native")
    assert len(here) == len(there) == 2
    for own, native in zip(here, there, strict=True):
        assert own["value"] != native["value"] == pytest.approx(own["value"], abs=0.15)
        assert native["low"] < native["value"] < native["high"]
        assert native["patients"] == own["patients"]
    for near, far in zip(estimates(run, "hd95"), estimates(run, "hd95-native"), strict=True):
        assert near["unit"] == far["unit"] == "mm"
        assert far["value"] == pytest.approx(near["value"], rel=0.5)
    (contrast,) = run.table("contrasts")
    assert contrast["measure"] == "dice-native"
    assert contrast["value"] == pytest.approx(there[1]["value"] - there[0]["value"])


def test_kept_counts_are_of_the_masks_as_they_came(run: RunFolder, folder: Path) -> None:
    plan = json.loads((run.root / "plan.json").read_text())
    kept = run.outputs(next(one["id"] for one in plan["readings"] if one["environment"] == "same"))
    shown = np.isin(kept["row"] % 4, [0, 2]) * 120 + np.isin(kept["row"] % 4, [1, 2]) * 120
    np.testing.assert_array_equal(kept["native_truth"], shown)
    np.testing.assert_array_equal(kept["native_kind_truth"][:, 0], np.isin(kept["row"] % 4, [0, 2]) * 120)
    assert (kept["native_pixels"] > kept["pixels"]).all()


def test_each_kind_is_told_apart_in_the_tables_and_on_the_page(run: RunFolder) -> None:
    plan = json.loads((run.root / "plan.json").read_text())
    for loss in ("cross-entropy", "dice"):
        ids = [one["id"] for one in plan["readings"] if (one["point"], one["environment"]) == (loss, "same")]
        kept = [run.outputs(id) for id in ids]
        assert len(kept) == 3
        for place, kind in enumerate(KINDS):
            told = {
                measure: next(row["value"] for row in estimates(run, measure, level=kind) if row["recipe"] == loss)
                for measure in ("dice", "dice-native", "lesion-sensitivity", "false-positives-per-image")
            }
            found = [one["kind_found"][:, place].sum() / one["kind_lesions"][:, place].sum() for one in kept]
            assert told["lesion-sensitivity"] == pytest.approx(np.mean(found))
            false = [one["kind_stray"][:, place].mean() for one in kept]
            assert told["false-positives-per-image"] == pytest.approx(np.mean(false))
            dice = [_dice(one, place) for one in kept]
            assert told["dice-native"] == pytest.approx(np.mean(dice))
            assert told["dice"] == pytest.approx(told["dice-native"], abs=0.2)
    page = write_page(run.root).read_text()
    assert "By kind of lesion" in page
    assert "Dice at native size" in page


def test_crops_have_no_native_size_and_say_so(run: RunFolder) -> None:
    for row in estimates(run, "dice-native", "crops"):
        assert np.isnan(row["value"])
        assert parse_reason(row["reason"]).codes == (Code.NO_NATIVE_MASKS,)
    assert len(estimates(run, "dice-native", "crops")) == 2


def test_asking_for_native_size_reads_again_and_trains_nothing(folder: Path, tmp_path: Path) -> None:
    plain = plan_tiny(tmp_path / "a", **study(folder, probes=["segmentation"], contrasts=[])).plan
    native = plan_tiny(tmp_path / "b", **study(folder)).plan
    assert [trial.id for trial in plain.trials] == [trial.id for trial in native.trials]
    assert not set(plain.readings.values()) & set(native.readings.values())


def test_the_page_shows_what_each_loss_outlines_on_the_same_images(run: RunFolder) -> None:
    pictures = [row for row in run.table("pictures") if row["kind"] == "outline"]
    assert {row["environment"] for row in pictures} >= {"same"}
    assert all("White: truth; orange: called." in caption(row) for row in pictures)
    cases = [row for row in run.table("pictures") if row["kind"] == "case"]
    assert {json.loads(row["facts"])["outcome"] for row in cases} & {"missed", "outlined"}
    files = [row["file"] for row in cases]
    assert len(set(files)) == len(files)
    assert [file for file in files if not re.fullmatch(r"[a-z-]+-line-\d+\.png", file)] == []
    called = r"[\d.e-]+% predicted"
    shown = rf"line \d+ of data\.csv: (Dice [01]\.\d\d; of the image {called}, [\d.e-]+% true|no lesion, {called})"
    assert [caption(row) for row in cases if not re.fullmatch(shown, caption(row))] == []
    page = (run.root / "report.html").read_text()
    require_links(page)
    for text in (
        "Predicted outlines on the same images",
        "Lesions found against false positives",
        "Dice by the convention for empty masks",
        "Loss of training images",
    ):
        assert text in page


def test_the_course_of_training_is_the_mean_of_the_kept_curves(run: RunFolder) -> None:
    plan = json.loads((run.root / "plan.json").read_text())
    ids = [one["id"] for one in plan["trials"] if one["point"] == "dice"]
    kept = [read_rows(run.unit("trials", id) / "curve.parquet") for id in ids]
    lost = [row for row in run.table("points") if (row["recipe"], row["curve"]) == ("dice", "train_loss")]
    assert [row["x"] for row in lost] == list(range(1, 13))
    for epoch, row in enumerate(lost):
        assert row["value"] == pytest.approx(np.mean([one[epoch]["train_loss"] for one in kept]))
