"""Heat-maps from a study's spec to its tables and its page."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.worlds.studies import run_tiny

from assay.plugin import RunFolder
from assay.report.page import write_page
from assay.report.sentences.captions import caption

STUDY: dict[str, Any] = {
    "data": {"phantom": "nodule", "core": "margin", "target": "malignant", "size": 32, "train": 96, "validation": 32,
             "test": 24},
    "environments": {"train": {}, "same": {}},
    "recipe": {"loss": ["cross-entropy", "label-smoothing"], "epochs": 6, "batch_size": 8,
               "optimizer": {"adamw": {"lr": 0.01}}},
    "seeds": 2,
    "probes": [{"attribution": {"explainers": ["gradient", "input-x-gradient"], "images": 12, "sanity_images": 4}}],
    "contrasts": [{"axis": "loss", "against": "cross-entropy", "measure": "mass-accuracy", "factor": "gradient"}],
}  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return RunFolder(run_tiny(tmp_path_factory.mktemp("runs") / "attribution", **STUDY).folder)


def test_scores_reach_the_tables_with_chance_and_the_contrast(run: RunFolder) -> None:
    rows = [row for row in run.table("estimates") if row["measure"] == "mass-accuracy" and not row["level"]]
    assert {row["factor"] for row in rows} == {"center-prior", "gradient", "input-x-gradient"}
    assert all(0 < row["chance"] < 1 and row["images"] == 12 for row in rows)
    (contrast,) = run.table("contrasts")
    assert (contrast["measure"], contrast["factor"], contrast["environment"]) == (
        "mass-accuracy",
        "gradient",
        "(neutral)",
    )
    assert not np.isnan(contrast["value"])


def test_each_explainer_is_drawn_by_recipe_on_the_same_images(run: RunFolder) -> None:
    pictures = [row for row in run.table("pictures") if row["kind"] == "heat-map"]
    assert [row["factor"] for row in pictures] == ["gradient"] * 2 + ["input-x-gradient"] * 2
    for row in pictures:
        assert all(f"{loss} 0." in caption(row) for loss in ("cross-entropy", "label-smoothing"))
        image = np.asarray(Image.open(run.root / "pictures" / row["file"]).convert("RGB"))[
            :: row["scale"], :: row["scale"]
        ]
        assert image.shape == (64, 3 * 64 + 2 * 3, 3)  # each pixel twice, and white between
        edges = [(image[:, start : start + 64] == 255).all(axis=2) for start in (0, 67, 134)]
        assert edges[1].any()
        np.testing.assert_array_equal(edges[1], edges[2])  # the lesion's outline is the same in all
    page = write_page(run.root).read_text()
    assert "<h3>Heat maps" in page
    assert 'id="attends"' in page
