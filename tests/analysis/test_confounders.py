"""The confounders of a study: found once each, shown as tests have them, and their figures those of the images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.worlds.studies import TINY, run_tiny

from assay.analysis.data_checks import SAMPLE, Looked, confounders, in_turn, sampled, visibility_rows
from assay.analysis.pictures import GAP, amplification
from assay.core.reasons import Code, read
from assay.data.cache import ArrayCache
from assay.shifts.population import Population
from assay.shifts.sources import open_population
from assay.spec.parse import parse_study
from assay.spec.schema import StudySpec
from assay.store.folder import RunFolder
from assay.study.preview import preview_tables
from assay.testing.data import squares

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


def test_one_that_the_study_names_itself_is_called_by_both_names() -> None:
    left = {"left": {"component": {"tag": {"x": 0.1}}, "share": 0.5}}
    study = {**TINY, "environments": {"train": {"interventions": left}, "same": {"like": "train"}}}
    assert [one.label for one in confounders(parse_study(study).points)] == ["left: tag(x=0.1)"]


def test_what_chooses_rows_is_told_without_figures_and_the_core_factor_is_no_confounder(
    spec: StudySpec, population: Population
) -> None:
    assert sampled(spec.points, "margin") == ("texture",)
    rows = visibility_rows(spec, Looked.at(spec, population))
    assert [row["kind"] for row in rows] == ["intervention"] * 3 + ["sampled"]
    assert read(rows[-1]["reason"]).codes == (Code.TIED_BY_SAMPLING,)
    plain = parse_study(TINY)
    assert visibility_rows(plain, Looked.at(plain, population)) == []
    dosed = {"train": {"dose": {"confounder": "texture", "p": [0, 1]}}, "same": {"like": "train"}}
    alone = parse_study({**TINY, "environments": dosed})
    (row,) = visibility_rows(alone, Looked.at(alone, population))
    assert (row["confounder"], row["kind"], row["images"]) == ("texture", "sampled", 0)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_the_figures_are_those_of_the_images_that_tests_have(
    spec: StudySpec, population: Population, number: int
) -> None:
    """Against the environments in which every image, and none, is marked, read by another way and compared in NumPy."""
    looked = Looked.at(spec, population)
    row = visibility_rows(spec, looked)[number]
    point = next(point for point in spec.points if point.coordinates["confounder"] == row["confounder"])
    scene = population.scene(point.tests, spec.first_seed)
    marked, clean = (scene.environment(name).images.read(looked.sample).numpy() for name in ("every", "clean"))
    apart = np.abs(marked.astype(np.float64) - clean)
    assert row["images"] == len(looked.sample) == SAMPLE
    assert row["share"] == pytest.approx((apart >= 0.5 / 255).any(axis=1).mean())
    assert row["difference"] == pytest.approx(apart.mean())
    assert 0 < row["ssim"] < 1


def test_more_is_more_visible(spec: StudySpec, population: Population) -> None:
    _, strong, weak, _ = visibility_rows(spec, Looked.at(spec, population))
    assert strong["difference"] > weak["difference"]
    assert strong["ssim"] < weak["ssim"]


def test_the_sample_takes_the_classes_in_turn() -> None:
    table = squares(30, seed=0, size=16).table
    order = in_turn(table)
    assert sorted(order.tolist()) == list(range(30))
    few = min(np.bincount(table.target))
    assert table.target[order[: 2 * few]].tolist() == [0, 1] * few
    for label in (0, 1):
        assert (np.diff(order[table.target[order] == label]) > 0).all()


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
    step = 32 + GAP
    rows = [[image[r * step : r * step + 32, c * step : c * step + 32] for c in range(8)] for r in range(3)]
    return np.array(rows)


def test_differences_are_amplified_as_far_as_they_can_be_shown() -> None:
    black = [np.zeros((10, 10), dtype=np.uint8)]
    for change, factor in ((255, 0.5), (127, 1), (60, 2), (25, 5), (1, 50), (0, 1)):
        assert amplification(black, [black[0] + np.uint8(change)]) == factor
    rare = black[0].copy()
    rare[:, :] = 10
    rare[0, 0] = 255  # one value of a hundred may be cut
    assert amplification(black, [rare]) == 10


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, study_cache: Path) -> RunFolder:
    environments = {
        "train": {"dose": {"confounder": ["tag", "low-pass"], "p": [0, 1]}},
        "reversed": {"like": "train", "dose": {"p": 1, "on": "negative"}},
    }
    probes = ["performance", {"reliance": {"samples": 64}}]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ASSAY_CACHE", str(study_cache))
        root = tmp_path_factory.mktemp("runs") / "doses"
        return RunFolder(run_tiny(root, environments=environments, probes=probes, seeds=2).folder)


def test_every_confounder_has_pairs_with_what_each_recipe_made_of_them(run: RunFolder) -> None:
    pairs = [row for row in run.table("pictures") if row["kind"] == "pair" and row["factor"] in ("tag", "low-pass")]
    assert [row["factor"] for row in pairs] == ["tag"] * 3 + ["low-pass"] * 3
    seeds = run.table("seeds")
    for row in pairs:
        logits = json.loads(row["logits"])
        assert set(logits) == {f"{row['factor']} · 0", f"{row['factor']} · 1"}
    tagged = [row for row in seeds if row["measure"] == "pair-logit" and row["factor"] == "tag"]
    own = [row for row in tagged if row["recipe"] == "tag · 1"]
    first = own[0]["group"]
    means = [np.mean([row["value"] for row in own if row["group"] == first and row["level"] == end]) for end in
             ("low", "high")]  # fmt: skip
    assert json.loads(pairs[0]["logits"])["tag · 1"] == pytest.approx(means)


def test_a_factors_pairs_are_shared_by_recipes_of_all_confounders(run: RunFolder) -> None:
    margin = next(row for row in run.table("pictures") if row["factor"] == "margin")
    assert len(json.loads(margin["logits"])) == 4


def test_the_page_shows_them_with_their_figures(run: RunFolder) -> None:
    page = (run.root / "report.html").read_text()
    assert [row["confounder"] for row in run.table("visibility")] == ["tag", "low-pass"]
    section = page[page.index("<h3>Each mark, without and with it") : page.index("<h3>Pairs that differ")]
    assert section.count("<img ") == 2
    assert 'id="visibility"' in page
