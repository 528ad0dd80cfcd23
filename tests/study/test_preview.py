"""What a preview says of images that are tested in folds: one count, of the rows that the associations are of."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from assay.plugin import ArrayCache
from assay.report.sentences.captions import caption
from assay.shifts.sources import open_population
from assay.spec.parse import parse_study
from assay.study.preview import preview_tables

ROWS = 240


@pytest.fixture
def spec(tmp_path: Path) -> dict[str, object]:
    """Patients with noise for images, half of them ill, in three folds."""
    rng = np.random.default_rng(0)
    lines = ["image,ill,who,age"]
    for i in range(ROWS):
        Image.fromarray(rng.integers(0, 256, (16, 16), dtype=np.uint8)).save(tmp_path / f"{i}.png")
        lines.append(f"{i}.png,{i % 2},p{i},{20 + rng.integers(60)}")
    (tmp_path / "data.csv").write_text("\n".join(lines))
    data = {"folder": str(tmp_path), "target": "ill", "patient": "who", "size": 16, "split": {"folds": 3}}
    return {
        "name": "folded",
        "data": {**data, "factors": {"age": {"unit": "years"}}},
        "environments": {"train": {"association": {"age": 0.1}}, "same": {"like": "train"}},
    }


def test_the_count_is_that_of_the_associations_and_says_of_which_folds(spec: dict[str, object], tmp_path: Path) -> None:
    study = parse_study(spec)
    population = open_population(study.data, ArrayCache(tmp_path / "cache"))
    preview = preview_tables(study, population, tmp_path / "preview")
    images = {row["environment"]: row["images"] for row in preview["environments"]}
    assert images["same"] > images["train"], "a test environment is of all folds, training of the first"
    for row in preview["environments"]:
        assert sum(count for _, _, count in json.loads(row["counts"])) == row["images"]
    assert all("These are the images of the first of 3 folds." in caption(row) for row in preview["pictures"])
