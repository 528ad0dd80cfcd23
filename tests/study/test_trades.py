"""What is outlined against false alarms: which environments are chosen, and what stands in the table."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from assay.maps.summary import summarize
from assay.spec.schema import RecipePoint
from assay.stats import SeedPredictions, estimate_panel
from assay.study.segmentation import point_rows, trade_rows

IMAGES, SEEDS = 60, 4
KEPT = ("truth", "predicted", "hit", "pixels", "area_score", "operating", "stray", "lesion_score", "floor")


def panel(ill: bool, bias: float, draw: int) -> SeedPredictions:
    """Noisy maps of discs, or of nothing; bias: of every logit, so that more is called everywhere."""
    rng, y, x = np.random.default_rng(draw), *np.mgrid[:16, :16]
    radius = 3.0 + np.arange(IMAGES)[:, None, None] % 2 if ill else np.full((IMAGES, 1, 1), -1.5)
    distance = np.hypot(y - 7.5, x - 7.5)
    truth = distance < radius
    found: list[dict[str, np.ndarray]] = []
    for _ in range(SEEDS):
        louder = bias + rng.normal()
        logits = 2 * (radius - distance) + louder + 1.5 * rng.normal(size=(IMAGES, 16, 16))
        found.append(summarize(torch.from_numpy(logits.astype(np.float32)), torch.from_numpy(truth)))
        found[-1]["operating"] = np.zeros((IMAGES, 3))
    scores = np.stack([np.stack([np.zeros(IMAGES), one["peak"]], axis=1) for one in found])
    maps = {name: np.stack([one[name] for one in found]) for name in KEPT}
    return SeedPredictions(scores, truth.any((1, 2)).astype(np.int64), np.arange(IMAGES), maps=maps)


PANELS = {
    ("quiet", "lesions"): panel(True, 0.0, 1),
    ("quiet", "healthy"): panel(False, 0.0, 2),
    ("loud", "lesions"): panel(True, 2.0, 3),
    ("loud", "healthy"): panel(False, 2.0, 4),
}


def records(contrasts: list[Any], *left_out: tuple[str, str]) -> Any:
    """What a study of two recipes records, without some of it."""
    points = [
        RecipePoint.model_construct(coordinates={"loss": label}, tests={"lesions": None, "healthy": None})
        for label in ("quiet", "loud")
    ]
    there = {key: one for key, one in PANELS.items() if key not in left_out}
    spec = SimpleNamespace(task="segmentation", points=points, contrasts=contrasts)
    return SimpleNamespace(
        plan=SimpleNamespace(spec=spec), panel=lambda point, environment: there.get((point.label, environment))
    )


def test_each_measure_is_of_the_first_environment_that_has_it() -> None:
    rows = trade_rows(records([]))
    assert [row["recipe"] for row in rows] == ["quiet", "loud"]
    for row in rows:
        assert (row["across"], row["across_environment"]) == ("dice", "lesions")
        assert (row["up"], row["up_environment"]) == ("false-positive-rate-at-90", "healthy")
        assert (row["seeds"], row["reason"]) == (SEEDS, "")


def test_a_stated_comparison_names_the_measure() -> None:
    stated = SimpleNamespace(measure="false-positive-rate", environment="healthy")
    assert {row["up"] for row in trade_rows(records([stated]))} == {"false-positive-rate"}


def test_a_region_goes_around_both_estimates() -> None:
    for row in trade_rows(records([])):
        outline = np.array(json.loads(row["region"]))
        for axis, side in enumerate(("across", "up")):
            one = estimate_panel(PANELS[row["recipe"], row[f"{side}_environment"]], row[side])
            assert outline[:, axis].min() < one.low < one.value < one.high < outline[:, axis].max()


def test_seeds_that_call_more_in_both_tie_the_two_measures_to_each_other() -> None:
    """Every seed shifts all logits of both environments, so that Dice and false alarms move together or against."""
    tied = {row["recipe"]: row["correlation"] for row in trade_rows(records([]))}
    for label, correlation in tied.items():
        values = [
            estimate_panel(PANELS[label, where], name).per_seed
            for where, name in (("lesions", "dice"), ("healthy", "false-positive-rate-at-90"))
        ]
        assert np.sign(correlation) == np.sign(np.cov(*values)[0, 1])


def test_a_recipe_that_was_not_read_has_no_row() -> None:
    assert [row["recipe"] for row in trade_rows(records([], ("loud", "healthy")))] == ["quiet"]


@pytest.mark.parametrize("without", ["lesions", "healthy"])
def test_without_one_of_the_two_there_is_no_trade(without: str) -> None:
    assert trade_rows(records([], ("quiet", without), ("loud", without))) == []


def test_images_that_nobody_answered_are_not_counted_as_free_of_lesions() -> None:
    whole = PANELS["quiet", "lesions"]
    tested = np.broadcast_to(np.arange(IMAGES) % 3 > 0, (SEEDS, IMAGES))
    kept = {
        name: values * tested.reshape(*tested.shape, *[1] * (values.ndim - 2)) for name, values in whole.maps.items()
    }
    kept["truth"][:, 1] = 0  # answered, and without a lesion
    (point,) = [
        RecipePoint.model_construct(
            coordinates={"loss": "quiet"}, tests={"lesions": None}, recipe=SimpleNamespace(given="a file")
        )
    ]
    spec = SimpleNamespace(task="segmentation", points=[point])
    panels = replace(whole, maps=kept, has_prediction=tested)
    records: Any = SimpleNamespace(plan=SimpleNamespace(spec=spec), panel=lambda point, environment: panels)
    planes = [row for row in point_rows(records) if row["curve"] == "false-positives"]
    assert {(row["images"], row["patients"]) for row in planes} == {(1, 1)}
