"""Factors that are all but the target: found whichever way they point, and no others."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from assay.analysis.shortcuts import _factor_cue
from assay.core.types import Factor, FactorTable
from assay.shifts.checks import Proxy, proxies

N = 200
DRAW = np.random.default_rng(0)
TARGET = DRAW.integers(0, 2, N)


def table(factor: Factor, values: np.ndarray, target: np.ndarray = TARGET, patient: np.ndarray | None = None):
    rows = np.arange(len(target))
    patients = rows if patient is None else patient
    classes = tuple("abc"[: int(target.max()) + 1])
    return FactorTable(rows, target, patients, classes, (factor,), {factor.name: values})


def test_a_number_that_orders_the_classes_is_one_whichever_way_it_points():
    dose = Factor("dose", "continuous")
    noise = DRAW.uniform(0, 0.5, N)
    for sign in (1, -1):
        assert proxies(table(dose, sign * (TARGET + noise))) == [Proxy("dose", "b", 1.0, N)]


@pytest.mark.parametrize(("swapped", "told"), [(1, True), (3, False)])
def test_the_limit_is_an_auroc_of_98_hundredths(swapped: int, told: bool):
    """Of 50 and 50, k values that stand on the wrong side leave an AUROC of (1 - k / 50): ties count half."""
    target = np.repeat([0, 1], 50)
    values = target.astype(float)
    values[:swapped] = 1.0
    values[50 : 50 + swapped] = 0.0
    found = proxies(table(Factor("dose", "continuous"), values, target))
    assert [round(one.auroc, 6) for one in found] == ([1 - swapped / 50] if told else [])


def test_a_level_for_each_class_is_one_and_missing_values_are_left_out():
    site = Factor("site", "categorical", levels=("x", "y", "z"))
    values = np.where(TARGET == 1, 2, 0)
    values[:20] = -1
    assert proxies(table(site, values)) == [Proxy("site", "b", 1.0, N - 20)]


def test_a_level_of_its_own_for_every_patient_tells_nothing():
    patient = np.repeat(np.arange(N // 2), 2)
    target = patient % 2
    name = Factor("name", "categorical", levels=tuple(f"p{i}" for i in range(N // 2)))
    assert proxies(table(name, patient, target, patient)) == []


def test_of_several_classes_the_one_that_is_told_is_named():
    target = DRAW.integers(0, 3, N)
    ruler = Factor("ruler", "categorical", levels=("no", "yes"))
    (found,) = proxies(table(ruler, (target == 1).astype(int), target))
    assert (found.of, found.auroc) == ("b", 1.0)


def test_nothing_is_said_of_the_core_factor_of_chance_or_of_few_rows():
    assert proxies(table(Factor("size", "continuous", "core"), TARGET.astype(float))) == []
    assert proxies(table(Factor("age", "continuous"), DRAW.normal(size=N))) == []
    few = np.repeat([0, 1], 9)
    assert proxies(table(Factor("age", "continuous"), few.astype(float), few)) == []


def test_a_blank_column_raises_no_warning_of_numpy() -> None:
    """A categorical column without any value has no levels, and is all NaN."""
    rows = np.arange(60)
    site = Factor("site", "categorical")
    table = FactorTable(rows, rows % 2, rows, ("no", "yes"), (site,), {"site": np.full(60, np.nan)})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert proxies(table) == []
        _factor_cue("factor", site, table)
