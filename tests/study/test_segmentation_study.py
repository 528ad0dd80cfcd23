"""A study of segmentation from its spec to its page: lesions that are plain to see, and images without any."""

from __future__ import annotations

import base64
import gzip
import json
from typing import Any

import numpy as np
import pytest
from tests.report.reading import require_links
from tests.worlds.studies import run_tiny

from assay.core.reasons import Code, because
from assay.report.page import collect
from assay.report.sentences.captions import caption
from assay.store.files import Row, read_rows
from assay.store.folder import RunFolder

STUDY: dict[str, Any] = {
    "data": {"phantom": "nodule", "core": "margin", "target": "malignant", "size": 32, "train": 96, "validation": 32,
             "test": 40},
    "environments": {"train": {}, "same": {}, "faint": {"where": {"contrast": {"max": 650}}}},
    "recipe": {"task": "segmentation", "loss": ["cross-entropy", "dice"], "epochs": 5, "batch_size": 16,
               "optimizer": {"adamw": {"lr": 0.01}}},
    "seeds": 3,
    "probes": ["performance", "segmentation", "lesion-free"],
    "contrasts": [{"axis": "loss", "against": "cross-entropy", "measure": "dice", "environment": "same"}],
}  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return RunFolder(run_tiny(tmp_path_factory.mktemp("runs") / "segmentation", **STUDY).folder)


def estimates(run: RunFolder, measure: str, environment: str = "same") -> dict[str, Row]:
    rows = [row for row in run.table("estimates") if row["measure"] == measure and row["environment"] == environment]
    return {json.loads(row["coordinates"])["loss"]: row for row in rows if not row["factor"] and not row["group"]}


def test_lesions_that_are_plain_to_see_are_outlined_better_than_by_any_mask_that_is_the_same_everywhere(
    run: RunFolder,
) -> None:
    """An empty mask has Dice 0; a full one 2 truth / (truth + pixels) of each image, which is had from the columns."""
    plan = json.loads((run.root / "plan.json").read_text())
    kept = run.outputs(next(one["id"] for one in plan["readings"] if one["environment"] == "same"))
    full = float(np.mean(2 * kept["truth"] / (kept["truth"] + kept["pixels"])))
    found = {loss: row["value"] for loss, row in estimates(run, "dice").items()}
    assert found.keys() == {"cross-entropy", "dice"}
    assert all(value > 2 * full for value in found.values()), (found, full)


def test_a_measure_is_that_of_the_kept_columns(run: RunFolder) -> None:
    """Dice at p = 0.5 by hand, from the columns of each reading of one recipe."""
    plan = json.loads((run.root / "plan.json").read_text())
    ids = [one["id"] for one in plan["readings"] if one["point"] == "dice" and one["environment"] == "same"]
    assert len(ids) == 3
    per_seed: list[float] = []
    for id in ids:
        kept = run.outputs(id)
        half = 16  # thresholds run from -16 to 16 in steps of 1
        per_seed.append(float(np.mean(2 * kept["hit"][:, half] / (kept["truth"] + kept["predicted"][:, half]))))
    assert estimates(run, "dice")["dice"]["value"] == pytest.approx(np.mean(per_seed))


def test_what_these_images_cannot_tell_is_undefined_and_says_why(run: RunFolder) -> None:
    for row in estimates(run, "false-positive-rate-at-90").values():
        assert np.isnan(row["value"])
        assert row["reason"] == str(because(Code.NO_LESION_FREE_IMAGE))
    assert not any(row["curve"] == "false-positives" for row in run.table("points"))


def test_the_page_shows_what_each_loss_outlines_on_the_same_images(run: RunFolder) -> None:
    pictures = [row for row in run.table("pictures") if row["kind"] == "outline"]
    assert {row["environment"] for row in pictures} == {"same", "faint"}
    assert all("White: truth; orange: called." in caption(row) for row in pictures)
    sheets = [row for row in run.table("pictures") if row["kind"] == "sheet"]
    assert sheets
    assert all(caption(row).endswith(" White: the outline of the mask.") for row in sheets)
    page = (run.root / "report.html").read_text()
    require_links(page)
    assert "Predicted outlines on the same images" in page
    assert "Lesions found against false positives" in page
    assert "Dice by the convention for empty masks" in page


def test_the_course_of_training_is_the_mean_of_the_kept_curves(run: RunFolder) -> None:
    plan = json.loads((run.root / "plan.json").read_text())
    ids = [one["id"] for one in plan["trials"] if one["point"] == "dice"]
    kept = [read_rows(run.unit("trials", id) / "curve.parquet") for id in ids]
    rows = [row for row in run.table("points") if row["recipe"] == "dice"]
    lost = [row for row in rows if row["curve"] == "train_loss"]
    assert [row["x"] for row in lost] == [1, 2, 3, 4, 5]
    for epoch, row in enumerate(lost):
        assert row["value"] == pytest.approx(np.mean([one[epoch]["train_loss"] for one in kept]))
    assert not any(row["curve"] == "weight" for row in rows)
    assert "Loss of training images" in (run.root / "report.html").read_text()


def test_the_files_of_the_figures_have_all_that_is_drawn(run: RunFolder) -> None:
    content = collect(run.root)
    figures = {one.figure.id: one.figure for part in content.sections for one in part.blocks if one.figure}
    for name, column in (("free-response", "x"), ("course-train-loss", "x")):
        figure = figures[name]
        assert figure.csv is not None
        written = base64.b64decode(figure.csv.uri.split(",")[1])
        text = gzip.decompress(written) if figure.csv.name.endswith(".gz") else written
        assert column in text.decode().splitlines()[0].split(",")
