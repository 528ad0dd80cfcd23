"""Factors that predict the target: found whichever way they point, and no others."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from assay.look.cues import cues_of_table
from assay.plugin import Factor, FactorTable

N = 200
DRAW = np.random.default_rng(0)
TARGET = DRAW.integers(0, 2, N)


def table(factor: Factor, values: np.ndarray, target: np.ndarray = TARGET, patient: np.ndarray | None = None):
    rows = np.arange(len(target))
    patients = rows if patient is None else patient
    classes = tuple("abc"[: int(target.max()) + 1])
    return FactorTable(rows, target, patients, classes, (factor,), {factor.name: values})


def strong(table: FactorTable) -> list[dict[str, Any]]:
    return [cue.row for cue in cues_of_table(table) if cue.row["strong"] and cue.row["kind"] == "factor"]


def told(table: FactorTable) -> list[tuple[str, str, float, int]]:
    return [(row["name"], row["of"], round(row["value"], 6), row["images"]) for row in strong(table)]


def test_a_number_that_orders_the_classes_is_one_whichever_way_it_points():
    dose = Factor("dose", "continuous")
    noise = DRAW.uniform(0, 0.5, N)
    for sign in (1, -1):
        assert told(table(dose, sign * (TARGET + noise))) == [("dose", "b", 1.0, N)]


def test_values_on_the_wrong_side_cost_their_share():
    """Of 50 and 50, k values that stand on the wrong side leave an AUROC of (1 - k / 50): ties count half."""
    target = np.repeat([0, 1], 50)
    values = target.astype(float)
    values[:3] = 1.0
    values[50:53] = 0.0
    assert told(table(Factor("dose", "continuous"), values, target)) == [("dose", "b", 0.94, 100)]


def test_a_level_for_each_class_is_one_and_missing_values_are_left_out():
    site = Factor("site", "categorical", levels=("x", "y", "z"))
    values = np.where(TARGET == 1, 2, 0)
    values[:20] = -1
    assert told(table(site, values)) == [("site", "b", 1.0, N - 20)]


def test_a_level_of_its_own_for_every_patient_tells_nothing():
    patient = np.repeat(np.arange(N // 2), 2)
    target = patient % 2
    name = Factor("name", "categorical", levels=tuple(f"p{i}" for i in range(N // 2)))
    assert strong(table(name, patient, target, patient)) == []


def test_of_several_classes_the_one_that_is_told_is_named():
    target = DRAW.integers(0, 3, N)
    ruler = Factor("ruler", "categorical", levels=("no", "yes"))
    assert told(table(ruler, (target == 1).astype(int), target)) == [("ruler", "b", 1.0, N)]


def test_nothing_is_said_of_the_core_factor_of_chance_or_of_few_rows():
    assert strong(table(Factor("size", "continuous", "core"), TARGET.astype(float))) == []
    assert strong(table(Factor("age", "continuous"), DRAW.normal(size=N))) == []
    few = np.repeat([0, 1], 9)
    assert strong(table(Factor("age", "continuous"), few.astype(float), few)) == []


def test_a_blank_column_raises_no_warning_of_numpy() -> None:
    """A categorical column without any value has no levels, and is all NaN."""
    rows = np.arange(60)
    site = Factor("site", "categorical")
    table = FactorTable(rows, rows % 2, rows, ("no", "yes"), (site,), {"site": np.full(60, np.nan)})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert strong(table) == []
