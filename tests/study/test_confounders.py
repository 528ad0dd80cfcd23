"""The confounders of a study: found once each, shown as tests have them, and their figures those of the images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.worlds.studies import TINY

from assay.core.reasons import parse_reason
from assay.plugin import ArrayCache, Code
from assay.shifts.population import Population
from assay.shifts.sources import open_population
from assay.spec.parse import parse_study
from assay.spec.schema import StudySpec
from assay.study.confounders import ConfounderSample, confounders, selected_factors, visibility_rows
from assay.study.preview import preview_tables

SAMPLE = 64

DOSED: dict[str, Any] = {
    **TINY,
    "data": {**TINY["data"], "test": 96},
    "environments": {
        "train": {
            "association": {"texture": 0.5, "margin": 1},
            "dose": {"confounder": ["tag", {"low-pass": {"cutoff": [0.1, 0.3]}}], "p": [0, 1]},
        },
        "every": {"association": {"texture": None}, "like": "train", "dose": {"p": 1, "on": "both"}},
        "clean": {"association": {"texture": None}, "like": "train", "dose": {"p": 0}},
    },
}


@pytest.fixture(scope="module")
def spec() -> StudySpec:
    return parse_study(DOSED)


@pytest.fixture(scope="module")
def population(spec: StudySpec, tmp_path_factory: pytest.TempPathFactory) -> Population:
    return open_population(spec.data, ArrayCache(tmp_path_factory.mktemp("cache")))


def test_each_is_found_once_for_each_of_its_strengths(spec: StudySpec) -> None:
    found = confounders(spec.points)
    assert [one.label for one in found] == ["tag", "low-pass(cutoff=0.1)", "low-pass(cutoff=0.3)"]
    assert [one.name for one in found] == ["tag", "low-pass", "low-pass"]
    assert {one.label for one in found} == set(spec.axes["confounder"])


def test_what_chooses_rows_is_told_without_figures_and_the_core_factor_is_no_confounder(
    spec: StudySpec, population: Population
) -> None:
    assert selected_factors(spec.points, "margin") == ("texture",)
    rows = visibility_rows(spec, ConfounderSample.at(spec, population))
    assert [row["kind"] for row in rows] == ["intervention"] * 3 + ["sampled"]
    assert parse_reason(rows[-1]["reason"]).codes == (Code.TIED_BY_SAMPLING,)
    plain = parse_study(TINY)
    assert visibility_rows(plain, ConfounderSample.at(plain, population)) == []
    dosed = {"train": {"dose": {"confounder": "texture", "p": [0, 1]}}, "same": {"like": "train"}}
    alone = parse_study({**TINY, "environments": dosed})
    (row,) = visibility_rows(alone, ConfounderSample.at(alone, population))
    assert (row["confounder"], row["kind"], row["images"]) == ("texture", "sampled", 0)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_the_figures_are_those_of_the_images_that_tests_have(
    spec: StudySpec, population: Population, number: int
) -> None:
    """Against the environments in which every image, and none, is marked, read by another way and compared in NumPy."""
    looked = ConfounderSample.at(spec, population)
    row = visibility_rows(spec, looked)[number]
    point = next(point for point in spec.points if point.coordinates["confounder"] == row["confounder"])
    scene = population.scene(point.tests, spec.first_seed)
    marked, clean = (scene.environment(name).images.read(looked.sample).numpy() for name in ("every", "clean"))
    apart = np.abs(marked.astype(np.float64) - clean)
    assert row["images"] == len(looked.sample) == SAMPLE
    assert row["share"] == pytest.approx((apart >= 0.5 / 255).any(axis=1).mean())
    assert row["difference"] == pytest.approx(apart.mean())
    assert 0 < row["ssim"] < 1


def test_a_sheet_shows_the_same_images_without_with_and_the_difference(
    spec: StudySpec, population: Population, tmp_path: Path
) -> None:
    pictures = preview_tables(spec, population, tmp_path)["pictures"]
    sheets = [row for row in pictures if row["kind"] == "confounder"]
    assert [row["factor"] for row in sheets] == ["tag", "low-pass(cutoff=0.1)", "low-pass(cutoff=0.3)"]
    assert len({row["file"] for row in sheets}) == 3
    for row in sheets:
        before, after, difference = tiles(tmp_path / row["file"], row["scale"])
        facts = json.loads(row["facts"])
        factor = facts["times"]
        assert facts["images"] == 8
        assert (difference == (127.5 + factor * (after - before)).round().clip(0, 255)).mean() > 0.999
    first = [tiles(tmp_path / row["file"], row["scale"])[0] for row in sheets]
    assert np.array_equal(first[0], first[1])
    assert np.array_equal(first[0], first[2])
    drawn = {row["factor"] for row in pictures if row["kind"] == "pair"}
    assert drawn == {factor.name for factor in population.factors}


def tiles(path: Path, scale: int) -> np.ndarray:
    """[3, 8, 32, 32]: the rows of a sheet and their images, at their own pixels."""
    with Image.open(path) as opened:
        image = np.asarray(opened, dtype=np.float64)[::scale, ::scale]
    step = 32 + 2
    rows = [[image[r * step : r * step + 32, c * step : c * step + 32] for c in range(8)] for r in range(3)]
    return np.array(rows)
