"""Doses by sampling beside doses by intervention: what is trained, what is compared, what the preview and page say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.study.test_dose_study import DOSED

from assay.execution.plan import make_plan
from assay.plugin import ArrayCache
from assay.report.sentences.reasons import reason_words
from assay.shifts.sources import open_population
from assay.spec.parse import parse_study
from assay.stats.findings import parse_finding
from assay.study.families import study_comparisons
from assay.study.preview import preview_tables

TESTS: dict[str, Any] = {
    "clean": {"like": "train", "dose": {"p": 0}},
    "reversed": {"like": "train", "dose": {"p": 1, "on": "negative"}},
}


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Any]:
    """400 images of noise, 100 of each class and sex."""
    rng = np.random.default_rng(0)
    lines = ["image,ill,sex,view"]
    for i in range(400):
        Image.fromarray(rng.integers(0, 256, (16, 16), dtype=np.uint8)).save(tmp_path / f"{i}.png")
        lines.append(f"{i}.png,{i % 2},{'FM'[i // 2 % 2]},{('PA', 'AP')[i // 4 % 2]}")
    (tmp_path / "data.csv").write_text("\n".join(lines))
    factors = {"sex": {"kind": "categorical", "high": ["F"]}, "view": {"kind": "categorical", "high": ["AP"]}}
    return {
        "name": "sampled",
        "data": {"folder": str(tmp_path), "target": "ill", "size": 16, "factors": factors},
        "environments": {"train": {"dose": {"confounder": ["tag", "sex", "view"], "p": [0, 1]}}, **TESTS},
        "recipe": DOSED["recipe"],
        "seeds": 3,
        "contrasts": DOSED["contrasts"][:1],
    }


def test_files_pair_every_confounder_with_its_own_p_0(files: dict[str, Any], tmp_path: Path):
    spec = parse_study(files)
    plan = make_plan(spec, open_population(spec.data, ArrayCache(tmp_path / "cache")))
    by_place = {(trial.point.label, trial.training.seed): trial.id for trial in plan.trials}
    starts = {by_place[f"cross-entropy · {confounder} · 0", 0] for confounder in ("tag", "sex", "view")}
    assert len(starts) == 3
    pairs = study_comparisons(spec)
    assert [dict(pair.where) for pair in pairs] == [{"confounder": name} for name in ("tag", "sex", "view")]
    for pair in pairs:
        sides = [[dict(point.coordinates) for point in side] for side in (pair.a, pair.b)]
        assert all([at["p"] for at in side] == ["0", "1"] for side in sides)
        assert {at["confounder"] for side in sides for at in side} == {dict(pair.where)["confounder"]}


def test_the_preview_doubts_rows_that_differ_over_the_doses_until_they_are_set(files: dict[str, Any], tmp_path: Path):
    def doubts(name: str, **train: Any) -> tuple[str, ...]:
        environments = {**files["environments"], "train": {**files["environments"]["train"], **train}}
        spec = parse_study({**files, "environments": environments})
        population = open_population(spec.data, ArrayCache(tmp_path / "cache"))
        made = {point.label: population.training(point.train, 0)[0] for point in spec.points}
        sizes = [len(environment) for environment in made.values()]
        assert (len(set(sizes)) == 1) == ("rows" in train)
        found = preview_tables(spec, population, tmp_path / name)["findings"]
        return tuple(reason_words(parse_finding(row).reason) for row in found)

    letters = "confounder 'tag' writes letters 2 px high, under 7 px: they are spots rather than letters"
    unequal, equal = doubts("found"), doubts("equal", rows=100)
    assert letters in equal
    (text,) = (one for one in unequal if one not in equal)
    assert text.startswith("the number of training rows differs between doses of ")
    assert not any(one.startswith("the number of training rows") for one in equal)
