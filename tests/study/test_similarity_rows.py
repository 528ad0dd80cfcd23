"""Recipes likened by what was kept of their layers and answers: known truths, what is paired, what is left out."""

from __future__ import annotations

import math
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from assay.core.reasons import parse_reason
from assay.plugin import Code, RunFolder
from assay.report.sentences.reasons import reason_words
from assay.spec.schema import RecipePoint
from assay.stats import SeedPredictions, cka_matrix, rbf_cka_vector
from assay.store import schema
from assay.study.similarity import recipe_pairs, similarity_rows

IMAGES, UNITS = 60, 6
Layers = dict[str, np.ndarray]


def point(**coordinates: str) -> Any:
    return RecipePoint.model_construct(coordinates=coordinates, tests={"same": "spec"})


def study(root: Path, models: dict[str, list[Layers]], rows: dict[str, np.ndarray] | None = None) -> Any:
    """A study of recipes with one model per seed; recipes may have rows of their own."""
    folder = RunFolder(root)
    points = [point(start=label) for label in models]
    probes: list[Any] = []
    for each in points:
        for seed, layers in enumerate(models[each.label]):
            id = f"{each.label}-{seed}"
            folder.write_activations(id, (rows or {}).get(each.label, np.arange(IMAGES)), layers)
            folder.write_measurements(id, [], {"params": {}})
            trial = SimpleNamespace(id=id, point=each, training=SimpleNamespace(members=()))
            probes.append(SimpleNamespace(id=id, trial=trial, component=SimpleNamespace(name="representation")))
    spec = SimpleNamespace(points=points, axes={"start": tuple(models)}, contrasts=[], task="classification")
    trials = {(unit.trial.point.label, unit.id): unit.trial for unit in probes}
    return SimpleNamespace(
        plan=SimpleNamespace(spec=spec, probes=probes),
        folder=folder,
        kept_seeds=lambda one: list(range(len(models[one.label]))),
        by_point={
            label: {seed: [trials[label, f"{label}-{seed}"]] for seed in range(len(own))}
            for label, own in models.items()
        },
        panel=lambda one, environment: panel(models[one.label]),
    )


def panel(models: list[Layers]) -> SeedPredictions:
    """Each model calls an image by the sign of its first unit."""
    score = np.array([layers["one"][:, :1] for layers in models], dtype=np.float64)
    return SeedPredictions(np.concatenate([0 * score, score], axis=2), np.arange(IMAGES) % 2, np.arange(IMAGES))


def models(of: int, seeds: int = 4, own: float = 0.7) -> list[Layers]:
    """Layers that share what `of` draws and have a part of their own by seed."""
    shared, draw = np.random.default_rng(of), np.random.default_rng(of + 100)
    common = {name: shared.normal(size=(IMAGES, UNITS)) for name in ("one", "two")}
    return [
        {name: x + own * draw.normal(size=x.shape) @ np.eye(UNITS) for name, x in common.items()} for _ in range(seeds)
    ]


def cka(one: np.ndarray, other: np.ndarray) -> float:
    return float(cka_matrix([one], [other])[0, 0])


def rbf_cka(one: np.ndarray, other: np.ndarray) -> float:
    return float(rbf_cka_vector(one) @ rbf_cka_vector(other))


def found(
    rows: list[dict[str, Any]],
    recipe: str,
    against: str,
    measure: str = "cka",
    layers: tuple[str, str] = ("one", "one"),
) -> dict[str, Any]:
    (row,) = [
        row
        for row in rows
        if (row["recipe"], row["against"], row["measure"]) == (recipe, against, measure)
        and (row["layer"], row["against_layer"]) == layers
    ]
    assert set(row) == set(schema.SIMILARITIES.names)
    return row


def test_the_same_models_are_as_alike_as_their_seeds_and_others_less(tmp_path: Path) -> None:
    rows = similarity_rows(study(tmp_path, {"a": models(0), "copy": models(0), "other": models(1)}))
    same, other = found(rows, "copy", "a"), found(rows, "other", "a")
    assert same["value"] == pytest.approx(same["within"])
    assert same["below"] == pytest.approx(0, abs=1e-12)
    assert same["decision"] != "beyond seeds"
    assert other["decision"] == "beyond seeds"
    assert other["below"] > 0.3
    assert other["low"] > 0
    assert (other["seeds"], other["images"], other["environment"]) == (4, IMAGES, "(neutral)")
    assert found(rows, "a", "a")["value"] == pytest.approx(same["within"])


def test_every_number_is_the_mean_over_pairs_of_different_seeds(tmp_path: Path) -> None:
    a, b = models(0), models(1)
    rows = similarity_rows(study(tmp_path, {"a": a, "b": b}))
    for measure, likeness in {"cka": cka, "cka-rbf": rbf_cka}.items():
        row = found(rows, "b", "a", measure)
        for name, ones, others in (("value", b, a), ("within", b, b), ("against_within", a, a)):
            values = [
                likeness(ones[i]["one"].astype(np.float32), others[j]["one"].astype(np.float32))
                for i, j in product(range(4), repeat=2)
                if i != j
            ]
            assert row[name] == pytest.approx(np.mean(values), abs=1e-6), (measure, name)
    crossed = [cka(b[i]["two"], a[j]["one"]) for i, j in product(range(4), repeat=2) if i != j]
    assert found(rows, "b", "a", layers=("two", "one"))["value"] == pytest.approx(np.mean(crossed), abs=1e-6)
    assert math.isnan(found(rows, "b", "a", layers=("two", "one"))["below"])


def test_a_turned_copy_is_the_same_representation(tmp_path: Path) -> None:
    """Seeds that are turned copies of one network, in both recipes: likeness of 1, and nothing that varies."""
    base = models(0, seeds=1)[0]
    turns = [np.linalg.qr(np.random.default_rng(i).normal(size=(UNITS, UNITS)))[0] for i in range(6)]
    turned = [{name: 3 * x @ turn + 1 for name, x in base.items()} for turn in turns]
    rows = similarity_rows(study(tmp_path, {"a": turned[:3], "b": turned[3:]}))
    for measure in ("cka", "cka-rbf"):
        row = found(rows, "b", "a", measure)
        assert row["value"] == pytest.approx(1, abs=1e-6)
        assert row["decision"] != "beyond seeds"


def test_answers_agree_beyond_chance_as_seeds_do_or_less(tmp_path: Path) -> None:
    rows = similarity_rows(study(tmp_path, {"a": models(0), "b": models(1), "copy": models(0)}))
    other, same = (found(rows, name, "a", "kappa", ("", "")) for name in ("b", "copy"))
    assert other["environment"] == "same"
    assert other["value"] < 0.25 < other["within"]
    assert other["decision"] == "beyond seeds"
    assert same["below"] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    ("seeds", "reason"), [(1, "1 seed with activations: at least 2"), (2, "no interval is computed with fewer than 3")]
)
def test_few_seeds_claim_nothing(seeds: int, reason: str, tmp_path: Path) -> None:
    rows = similarity_rows(study(tmp_path, {"a": models(0, seeds), "b": models(1, seeds)}))
    compared = [
        row for row in rows if row["recipe"] == "b" and row["against"] == "a" and row["layer"] == row["against_layer"]
    ]
    assert compared
    assert all(reason in reason_words(row["reason"]) and row["decision"] != "beyond seeds" for row in compared)


def test_other_images_are_not_compared(tmp_path: Path) -> None:
    rows = similarity_rows(study(tmp_path, {"a": models(0), "b": models(1)}, rows={"b": np.arange(IMAGES) + 1}))
    (row,) = [row for row in rows if row["recipe"] == "b" and row["against"] == "a"]
    assert parse_reason(row["reason"]).codes == (Code.OTHER_IMAGES,)


def test_layers_of_other_names_have_no_counterpart(tmp_path: Path) -> None:
    other = [{"first": layers["one"]} | {"one": layers["two"]} for layers in models(1)]
    rows = similarity_rows(study(tmp_path, {"a": models(0), "b": other}))
    assert math.isnan(found(rows, "b", "a", layers=("first", "two"))["below"])
    assert not math.isnan(found(rows, "b", "a", layers=("one", "one"))["below"])
    assert {row["layer"] for row in rows if row["measure"] == "cka-rbf"} == {"one"}


def test_nothing_kept_is_nothing_compared(tmp_path: Path) -> None:
    records = study(tmp_path, {"a": models(0), "b": models(1)})
    records.plan.probes = []
    assert similarity_rows(records) == []


def test_recipes_are_paired_along_one_axis_with_what_it_is_compared_against() -> None:
    """A grid of 3 x 10 has 9 pairs in each of 3 columns, and 2 in each of 10 rows; not 435."""
    names = [str(i) for i in range(10)]
    points = [point(loss=x, p=y) for x in "abc" for y in names]
    stated = [SimpleNamespace(axis="loss", against="b")]
    spec: Any = SimpleNamespace(points=points, axes={"loss": tuple("abc"), "p": tuple(names)}, contrasts=stated)
    pairs = recipe_pairs(spec)
    assert len(pairs) == 3 * 9 + 2 * 10
    assert {(pair.a.label, pair.b.label) for pair in pairs if pair.axis == "loss" and pair.a.label[-1] == "4"} == {
        ("a · 4", "b · 4"),
        ("c · 4", "b · 4"),
    }
    assert all(pair.b.label[-1] == "0" for pair in pairs if pair.axis == "p")


def test_a_pair_is_likened_once_though_both_are_compared_against() -> None:
    stated = [SimpleNamespace(axis="start", against=name) for name in ("a", "b")]
    points = [point(start=name) for name in "abc"]
    spec: Any = SimpleNamespace(points=points, axes={"start": tuple("abc")}, contrasts=stated)
    assert len(recipe_pairs(spec)) == 3
