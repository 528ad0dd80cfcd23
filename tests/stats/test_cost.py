"""What a shift cost: the widest fall leads, whatever was compared, and claims no difference."""

from __future__ import annotations

import itertools
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from syrupy.assertion import SnapshotAssertion
from tests.stats.sentences import DOSED, ESTIMATES, SAME, at_dose, contrast, estimate, texts

from assay.report.sentences.findings import sentence
from assay.stats.answers import cost

LOSSES, EPOCHS, TIES, TESTS = ("a", "b", "c"), ("5", "10"), ("view", "sex"), ("same", "turned", "cut", "elsewhere")
MAIN = contrast(a="b", b="a", environment="cut", where='{"epochs": "10", "association": "sex"}')


def grid(values: np.ndarray, half: float = 0.02, **changes: Any) -> list[dict[str, Any]]:
    """Rows of values [loss, epochs, association, environment]."""
    return [
        {
            **estimate(loss, "auroc", float(values[place]), half, environment),
            "recipe": f"{loss} · {epochs} · {tie}",
            "coordinates": json.dumps({"loss": loss, "epochs": epochs, "association": tie}),
            "chance": 0.5,
            **changes,
        }
        for place, (loss, epochs, tie, environment) in zip(
            np.ndindex(values.shape), itertools.product(LOSSES, EPOCHS, TIES, TESTS), strict=True
        )
    ]


def shape(**falls: float) -> np.ndarray:
    """Values of 0.9, less what each test costs with the view or with the sex: `view_turned=0.3`."""
    values = np.full((3, 2, 2, 4), 0.9)
    values[1] += 0.02  # so that b is the best of the losses
    for name, fall in falls.items():
        tie, environment = name.split("_")
        values[:, :, TIES.index(tie), TESTS.index(environment)] -= fall
    return values


def told(rows: list[dict[str, Any]], main: dict[str, Any] = MAIN, compared: tuple[str, ...] = ("cut",)) -> list[str]:
    return [sentence(one) for one in cost(rows, main, compared)]


def test_the_widest_fall_leads_and_not_that_of_the_surest_comparison(snapshot: SnapshotAssertion) -> None:
    rows = grid(shape(view_turned=0.35, view_cut=0.2, sex_cut=0.05))
    assert told(rows) == snapshot


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["5", "10", None]))
def test_it_is_the_widest_by_a_count_of_all(seed: int, budget: str | None) -> None:
    """Against the median over losses of an array, at the budget of the contrast, else the largest."""
    values = np.random.default_rng(seed).uniform(0.55, 0.95, (3, 2, 2, 4)).round(3)
    main = {**MAIN, "where": json.dumps({} if budget is None else {"epochs": budget})}
    at = values[:, EPOCHS.index(budget or "10")]
    falls = np.median(at[..., :1] - at[..., 1:], axis=0)
    tie, test = np.unravel_index(falls.argmax(), falls.shape)
    (text,) = told(grid(values, 0.001), main)
    if falls.max() <= 0:
        assert "the median fall over recipes was above 0 in none of 6" in text
        return
    assert text.startswith(f"At epochs {budget or '10'} and association {TIES[tie]}, AUROC was ")
    assert f"in same; in {TESTS[test + 1]} it was" in text
    assert f": the largest of {falls.size} falls" in text


def test_where_every_recipe_is_at_chance_trainings_cannot_be_told_apart(snapshot: SnapshotAssertion) -> None:
    rows = grid(shape(view_turned=0.3, view_elsewhere=0.4, sex_elsewhere=0.41))
    first, second = told(rows)
    assert "in turned it was" in first
    assert first == snapshot
    assert second == snapshot


def test_what_was_compared_competes_at_chance_too(snapshot: SnapshotAssertion) -> None:
    rows = grid(shape(view_turned=0.3, view_elsewhere=0.4, sex_elsewhere=0.41))
    (text,) = told(rows, compared=("elsewhere",))
    assert text == snapshot


def test_one_recipe_clear_of_chance_is_enough_to_compete(snapshot: SnapshotAssertion) -> None:
    values = shape(view_turned=0.3, view_elsewhere=0.4, sex_elsewhere=0.41)
    values[0, 0, 0, 3] += 0.1
    (text,) = told(grid(values))
    assert text == snapshot


def test_a_study_at_chance_throughout_is_told_as_that(snapshot: SnapshotAssertion) -> None:
    first, second = told(grid(shape() - 0.4))
    assert first == snapshot
    assert second == snapshot


@pytest.mark.parametrize("half", [0.02, 0.2])
def test_a_fall_that_intervals_do_not_bear_out_is_said_to_be_none_they_show(
    half: float, snapshot: SnapshotAssertion
) -> None:
    (text,) = told(grid(shape(view_turned=0.35), half))
    assert text == snapshot


def test_without_intervals_values_and_recipes_are_told_all_the_same(snapshot: SnapshotAssertion) -> None:
    assert told(grid(shape(view_turned=0.35), low=None, high=None)) == snapshot


def test_a_measure_that_is_better_low_rises(snapshot: SnapshotAssertion) -> None:
    rows = grid(-shape(view_cut=0.3, sex_turned=-0.4), direction="lower", chance=None)
    (text,) = told(rows)
    assert text == snapshot


def test_chance_is_named_where_all_have_the_same(snapshot: SnapshotAssertion) -> None:
    rows = [{**row, "chance": 0.5} for row in (*SAME, *ESTIMATES)]
    assert texts("answer", [contrast()], rows)[1] == snapshot


def test_chance_that_differs_between_environments_is_not_named_for_all(snapshot: SnapshotAssertion) -> None:
    levels = {"same": 0.5, "turned": 0.5, "cut": 0.9, "elsewhere": 0.1}
    rows = [{**row, "chance": levels[row["environment"]]} for row in grid(shape())]
    at_chance = [{**row, "low": row["chance"] - 0.1, "high": row["chance"] + 0.1} for row in rows]
    *_, last = told(rows[:1] + at_chance[1:])
    assert last == snapshot


def test_the_median_that_did_not_fall_is_that_of_the_recipes_falls(snapshot: SnapshotAssertion) -> None:
    """Two of three recipes gained, and yet the median of their values came down, from 0.70 to 0.68."""
    before, after = (0.8, 0.7, 0.6), (0.68, 0.71, 0.61)
    values = np.full((3, 2, 2, 4), 0.0)
    values[..., 0], values[..., 1] = (np.reshape(ends, (3, 1, 1)) for ends in (before, after))
    rows = [row for row in grid(values) if row["environment"] in TESTS[:2]]
    assert told(rows)[0] == snapshot


def test_no_cost_is_told_of_a_factor_or_of_one_environment() -> None:
    for rows, main in ((ESTIMATES, contrast()), ([*SAME, *ESTIMATES], contrast(factor="texture"))):
        assert not any("it was" in text for text in texts("answer", [main], rows))


def test_the_ends_of_the_doses_are_told_in_one_environment(snapshot: SnapshotAssertion) -> None:
    rows = [at_dose(loss, p, value) for loss in ("arcface", "cross-entropy") for p, value in (("0", 0.9), ("1", 0.3))]
    _, second = texts("answer", [DOSED], rows)
    assert second == snapshot


def test_of_the_doses_the_confounder_that_harms_most_leads(snapshot: SnapshotAssertion) -> None:
    rows = [
        {
            **at_dose(loss, p, value),
            "coordinates": json.dumps({"loss": loss, "confounder": confounder, "p": p}),
            "environment": environment,
        }
        for environment, harm in (("clean", 0.0), ("reversed", 1.0))
        for confounder, end in (("tag", 0.8), ("blur", 0.4))
        for loss in ("arcface", "cross-entropy")
        for p, value in (("0", 0.9), ("0.5", 0.2), ("1", 0.9 - harm * (0.9 - end)))
    ]
    _, second = texts("answer", [DOSED], rows)
    assert second == snapshot
