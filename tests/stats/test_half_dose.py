"""Half-doses: interpolation by hand, what is censored, what is not clear of chance, and the limits of the interval."""

from __future__ import annotations

import math
from dataclasses import asdict

import numpy as np
import pytest
from scipy import stats
from tests.worlds.panels import panel

from assay.core.reasons import NOTHING, Code, because
from assay.report.sentences.reasons import reason_words
from assay.report.words import half_dose_words
from assay.stats.doses import Dose, HalfDose, crossings, half_dose


def in_words(found: HalfDose) -> str:
    """The half-dose as the page has it, from its row."""
    return half_dose_words({**asdict(found), "reason": str(found.reason)})


SPREAD = np.array([-0.02, 0.0, 0.02])


def steady(*means: float) -> tuple[np.ndarray, np.ndarray]:
    """Values of 3 seeds that differ alike at every dose, and patients who all answer alike."""
    values = np.array(means)[:, None] + SPREAD
    return values, np.zeros((len(means), 3, 40))


def test_the_value_is_interpolated_between_neighboring_doses():
    doses = np.array([0.0, 0.2, 1.0])
    value, _, _ = crossings(doses, *steady(0.9, 0.8, 0.4), 0.5)  # half of the margin is left at 0.7
    assert value == pytest.approx(0.2 + 0.8 * (0.8 - 0.7) / (0.8 - 0.4))
    value, _, _ = crossings(doses, *steady(0.9, 0.7, 0.4), 0.5)
    assert value == pytest.approx(0.2)
    value, _, _ = crossings(doses, *steady(0.9, 0.4, 0.95), 0.5)  # what comes back later does not undo it
    assert value == pytest.approx(0.2 * 0.2 / 0.5)


def test_the_interval_is_where_the_excess_may_be_nothing():
    """With half of a seed's deviation left in the excess, its limits are lines that can be solved by hand."""
    doses = np.array([0.0, 1.0])
    value, low, high = crossings(doses, *steady(0.9, 0.3), 0.5)
    half = stats.t.ppf(0.975, 2) * (0.5 * 0.02) / math.sqrt(3)
    assert value == pytest.approx(1 / 3)
    assert low == pytest.approx((0.2 - half) / 0.6, abs=1e-9)
    assert high == pytest.approx((0.2 + half) / 0.6, abs=1e-9)


def test_what_is_not_reached_is_beyond():
    doses = np.array([0.0, 1.0])
    value, low, high = crossings(doses, *steady(0.9, 0.88), 0.5)
    assert all(map(math.isnan, (value, low, high)))
    value, low, high = crossings(doses, *steady(0.9, 0.705), 0.5)
    assert low < 1
    assert math.isnan(value)
    value, low, high = crossings(doses, *steady(0.9, 0.695), 0.5)
    assert low < value < 1
    assert math.isnan(high)


def curve(*distances: float, **how: int) -> list[Dose]:
    doses = np.linspace(0, 1, len(distances)).tolist()
    made = [panel(i, distance=distance, noise=9, patients=200, **how) for i, distance in enumerate(distances)]
    return [Dose(p, one) for p, one in zip(doses, made, strict=True)]


def test_a_recipe_that_falls_has_one_within_its_interval():
    found = half_dose(curve(2.5, 1.2, -0.5), "auroc", 0.5)
    assert 0 < found.low < found.value < found.high < 1
    assert (found.beyond, found.seeds, found.patients, found.reason) == ("", 5, 200, NOTHING)


def test_a_margin_that_is_not_clear_of_chance_is_not_halved():
    found = half_dose(curve(0.05, -0.5), "auroc", 0.5)
    assert math.isnan(found.value)
    assert "is not above chance (0.50)" in reason_words(found.reason)
    assert in_words(found) == "undefined"
    few = half_dose(curve(2.5, 0.5, seeds=2), "auroc", 0.5)
    assert few.reason.codes == (Code.UNKNOWN_AT_ZERO_DOSE, Code.FEW_SEEDS)


def test_its_words():
    nan = math.nan
    for found, expected in (
        (HalfDose(0.43, 0.31, 0.6, "", 1.0, 0.4, 5, 100), "0.43 [0.31, 0.60]"),
        (HalfDose(0.8, 0.62, nan, "high", 1.0, 0.4, 5, 100), "0.80 [0.62, > 1]"),
        (HalfDose(nan, 0.91, nan, "value", 0.95, 0.4, 5, 100), "> 0.95 [0.91, > 0.95]"),
        (HalfDose(nan, nan, nan, "low", 1.0, 0.4, 5, 100), "> 1"),
        (HalfDose(nan, nan, nan, "", 1.0, 0.4, 5, 100, because(Code.NO_SEED)), "undefined"),
    ):
        assert in_words(found) == expected
