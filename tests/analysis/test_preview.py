"""What a preview says of images that are tested in folds: one count, of the rows that the associations are of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from assay.analysis.preview import make_preview
from assay.cli.preview import images_of
from assay.data.cache import ArrayCache
from assay.report.sentences.captions import caption
from assay.shifts.population import open_population
from assay.spec.parse import parse_study

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


def test_environments_are_told_apart_by_the_axes_that_change_their_rows(
    spec: dict[str, object], tmp_path: Path
) -> None:
    association = {"association": {"age": [0.1, 0.2]}}
    recipe = {"loss": ["cross-entropy", "supcon"], "epochs": [1, 2]}
    study = parse_study({**spec, "environments": {"train": association, "same": {"like": "train"}}, "recipe": recipe})
    population = open_population(study.data, ArrayCache(tmp_path / "cache"))
    preview = make_preview(study, population, tmp_path / "preview")
    heads = ["train (0.1)", "same (0.1)", "train (0.2)", "same (0.2)"]
    assert sorted(shown.name for shown in preview.environments) == sorted(heads)
    sheets = [row for row in preview.pictures if row["kind"] == "sheet"]
    assert sorted(str(row["environment"]) for row in sheets) == sorted(heads)
    (last,) = (shown for shown in preview.environments if shown.name == "same (0.2)")
    assert (last.folds, last.together) == (3, True)


def test_the_count_is_that_of_the_associations_and_says_of_which_folds(spec: dict[str, object], tmp_path: Path) -> None:
    study = parse_study(spec)
    population = open_population(study.data, ArrayCache(tmp_path / "cache"))
    preview = make_preview(study, population, tmp_path / "preview")
    of = {shown.name: images_of(shown).partition(" images")[2] for shown in preview.environments}
    assert of == {"train": ", the first of 3 folds", "same": ", all 3 folds together"}
    for shown in preview.environments:
        assert [sum(tie.counts.values()) for tie in shown.achieved] == [shown.images]
    assert all("This is the first of 3 folds." in caption(row) for row in preview.pictures)
