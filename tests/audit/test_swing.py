"""The swing of a mark or a column: its definition, its interval, and the limits that are known."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.optimize import brentq

from assay.audit.swing import (
    Effect,
    effect_of_mark,
    mark_swing_difference,
    swing_of_group,
    zero_event_upper_bound,
)
from assay.stats import bounded_share, effective_patients

ALPHA = 0.05

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def world(n: int, positives: int, shift: float, spread: float, seed: int, *, distance: float = 1.5) -> Arrays:
    """Scores without and with a mark that moves them by shift +- spread."""
    draws = np.random.default_rng(seed)
    target = np.zeros(n, np.int64)
    target[:positives] = 1
    before = draws.normal(size=n) + distance * target
    return before, before + shift + spread * draws.normal(size=n), target, np.arange(n)


def effect(before: np.ndarray, after: np.ndarray, target: np.ndarray, patient: np.ndarray) -> Effect:
    return effect_of_mark(before[:, None], after[:, None], target, patient)


def above(x: np.ndarray, y: np.ndarray) -> float:
    """P(x > y) with ties half, by every pair."""
    return float(np.mean([(a > b) + (a == b) / 2 for a in x for b in y]))


def by_definition(before: np.ndarray, after: np.ndarray, target: np.ndarray) -> float:
    one, zero = target == 1, target == 0
    return (above(after[one], before[zero]) - above(before[one], after[zero])) / 2


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.integers(3, 12), st.integers(3, 12), st.booleans())
def test_the_swing_is_that_of_its_definition_over_all_pairs(seed: int, p: int, q: int, tied: bool) -> None:
    before, after, target, patient = world(p + q, p, 0.5, 1.0, seed)
    if tied:
        before, after = before.round(), after.round()
    found = effect(before, after, target, patient).swings[0]
    assert found.g.value == pytest.approx(by_definition(before, after, target), abs=1e-12)
    one, zero = target == 1, target == 0
    clean = above(before[one], before[zero])
    for lost, (up, down) in {
        found.loss_on_negatives: (before, after),
        found.loss_on_positives: (after, before),
        found.loss_on_all: (after, after),
    }.items():
        assert lost is not None
        assert lost.value == pytest.approx(clean - above(up[one], down[zero]), abs=1e-12)


def test_a_column_compares_positives_of_the_group_with_negatives_outside_it_and_the_reverse() -> None:
    draws = np.random.default_rng(5)
    target, group = draws.integers(0, 2, 60), draws.integers(0, 2, 60) == 1
    score = (draws.normal(size=60) + group).round(1)
    found = swing_of_group(score[:, None], target, group, np.arange(60))
    assert found is not None
    up = above(score[(target == 1) & group], score[(target == 0) & ~group])
    down = above(score[(target == 1) & ~group], score[(target == 0) & group])
    assert found.swings[0].g.value == pytest.approx((up - down) / 2, abs=1e-12)
    assert found.swings[0].loss_on_all is None
    assert swing_of_group(score[:, None], target, target == 1, np.arange(60)) is None, "no negative in the group"


@pytest.mark.parametrize("images", [1, 3])
def test_the_error_is_that_of_a_jackknife_over_patients(images: int) -> None:
    before, after, target, _ = world(60, 20, 0.4, 0.5, 2)
    order = np.random.default_rng(3).permutation(60)
    before, after, target, patient = before[order], after[order], target[order], np.arange(60) // images
    found = effect(before, after, target, patient).swings[0].g
    left = [by_definition(*(part[patient != one] for part in (before, after, target))) for one in np.unique(patient)]
    count = len(left)
    jackknife = math.sqrt((count - 1) / count * np.sum((np.array(left) - np.mean(left)) ** 2))
    assert found.error == pytest.approx(jackknife, rel=0.06)


def test_known_limits() -> None:
    before, _, target, patient = world(120, 60, 0.0, 0.0, 7)
    same = effect(before, before.copy(), target, patient).swings[0]
    assert (same.g.value, same.g.error, same.loss_on_all and same.loss_on_all.value) == (0.0, 0.0, 0.0)
    assert same.upper_bound == same.smallest_upper_bound == pytest.approx(1 - 0.05 ** (1 / 120))
    far = effect(before, before + 100, target, patient).swings[0]
    assert far.g.value == 0.5
    assert far.loss_on_all is not None
    assert far.loss_on_all.value == pytest.approx(0, abs=1e-12), "all scores move alike"
    down = effect(before, before - 100, target, patient).swings[0]
    assert down.g.value == -0.5
    assert down.upper_bound >= 0.5


@pytest.mark.parametrize("sign", [1, -1])
def test_at_its_end_a_swing_has_an_exact_bound(sign: int) -> None:
    before, _, target, patient = world(200, 40, 0.0, 0.0, 7)
    one = effect(before, before + 100 * sign, target, patient).swings[0]
    # If a share p of the 40 positives reacts otherwise, none is in the sample with a probability of (1 - p)^40, and
    # the same share of pairs may be ordered the other way round in both halves of the swing.
    exact = 0.5 - (1 - 0.05 ** (1 / 40))
    assert one.lower_bound() == pytest.approx(exact)
    assert sign * (one.g.low if sign > 0 else one.g.high) == pytest.approx(exact)
    assert one.lower_bound(0.01) < exact


def test_effective_patients_count_uneven_ones_less() -> None:
    assert effective_patients(np.repeat(np.arange(10), 3)) == 10
    assert effective_patients(np.array([0] * 9 + [1])) == pytest.approx(100 / 82)
    before, after, target, _ = world(60, 30, 0.4, 0.5, 2)
    assert effect(before, after, target, np.arange(60) // 3).swings[0].effective_patients == 10


@pytest.mark.parametrize("alpha", [0.01, 0.05])
def test_bounds_are_by_t_on_the_inverse_hyperbolic_tangent(alpha: float) -> None:
    one = effect(*world(100, 30, 0.8, 0.3, 5)).swings[0]
    reach = float(stats.t.isf(alpha, one.g.df)) * 2 * one.g.error / (1 - (2 * one.g.value) ** 2)
    assert one.lower_bound(alpha) == pytest.approx(math.tanh(math.atanh(2 * one.g.value) - reach) / 2)
    if alpha == ALPHA:
        assert one.g.low == pytest.approx(one.lower_bound())


def test_log_odds_beyond_the_steps_of_float32_are_told_apart() -> None:
    target = np.array([0, 1] * 20)
    before = 1e6 + 1e-3 * np.arange(40.0)
    found = effect(before, before + 5e-4, target, np.arange(40)).swings[0]
    assert found.g.value == pytest.approx(by_definition(before, before + 5e-4, target))
    assert found.g.value < 0.5


def test_of_several_classes_the_largest_counts_and_holm_widens_its_lower_bound() -> None:
    draws = np.random.default_rng(0)
    target = draws.integers(0, 3, 300)
    before = draws.normal(size=(300, 3)) + 1.5 * np.eye(3)[target]
    after = before + np.array([0.0, 0.0, 0.8])
    found = effect_of_mark(before, after, target, np.arange(300), labels=("a", "b", "c"))
    assert found.largest.label == "c"
    alone = effect_of_mark(before[:, 2:], after[:, 2:], (target == 2).astype(np.int64), np.arange(300))
    assert alone.largest.g == found.largest.g
    assert 0 < found.lower_bound < alone.lower_bound
    assert found.upper_bound == alone.upper_bound


def test_a_loss_of_one_class_is_proven_whatever_the_others_lose_and_holm_widens_its_bound() -> None:
    """Two classes lose nothing that is shown; the third loses much, and of few images the others' bounds are wide."""
    draws = np.random.default_rng(0)
    target = np.repeat([0, 1, 2], [280, 10, 10])
    before = draws.normal(size=(300, 3)) + 3 * np.eye(3)[target]
    after = before.copy()
    after[:, 0] += 3 * draws.normal(size=300)
    found = effect_of_mark(before, after, target, np.arange(300), labels=("a", "b", "c"))
    alone = effect_of_mark(before[:, :1], after[:, :1], (target == 0).astype(np.int64), np.arange(300))
    assert found.loss == alone.loss == max(found.losses, key=lambda loss: loss.value)
    assert alone.loss is not None
    assert alone.loss_lower_bound == pytest.approx(alone.loss.low)
    assert 0 < found.loss_lower_bound < alone.loss_lower_bound


def test_the_more_harmful_of_two_places_is_called_at_the_level_of_one() -> None:
    """A mark whose swing is the margin at both places lies beyond it in at most one of twenty models."""
    spread, margin = math.sqrt(3), 0.05
    shift = brentq(lambda s: stats.norm.cdf((1.5 + s) / spread) - stats.norm.cdf((1.5 - s) / spread) - 2 * margin, 0, 1)
    called, models = np.zeros(2), 500
    for seed in range(models):
        before, after, target, patient = world(160, 80, shift, 1.0, seed)
        other = before + shift + np.random.default_rng(models + seed).normal(size=160)
        places = [effect(before, one, target, patient) for one in (after, other)]
        called += [max(replace(one, n_comparisons=of).lower_bound for one in places) > margin for of in (1, 2)]
    assert called[0] / models > ALPHA
    assert called[1] / models < ALPHA


def test_bounds_of_a_share_are_exact_and_count_patients() -> None:
    none = bounded_share(np.zeros(100, dtype=bool), np.arange(100))
    assert none.high == pytest.approx(1 - 0.05 ** (1 / 100))
    few = bounded_share(np.zeros(100, dtype=bool), np.arange(100) // 10)
    assert few.high == pytest.approx(1 - 0.05 ** (1 / 10))
    flipped = np.arange(200) % 10 == 0
    alone = bounded_share(flipped, np.arange(200))
    assert (alone.low, alone.high) == pytest.approx(
        (stats.beta.ppf(0.05, 20, 181), stats.beta.ppf(0.95, 21, 180)), abs=2e-3
    )
    together = bounded_share(np.arange(200) < 20, np.arange(200) // 10)
    assert together.high > alone.high
    assert together.low < alone.low


@pytest.mark.parametrize(("positives", "negatives"), [(50, 50), (10, 90), (3, 400), (1, 1)])
def test_the_unseen_share_is_the_worst_that_a_silent_sample_allows(positives: int, negatives: int) -> None:
    found = zero_event_upper_bound(positives, negatives)
    p = np.linspace(0, 1, 20001)[:-1]
    left = (0.05 / (1 - p) ** positives) ** (1 / negatives)
    worst = np.max((p + 1 - np.minimum(left, 1))[left <= 1] / 2)
    assert found == pytest.approx(worst, abs=1e-3)


def true_swing(shift: float, spread: float, distance: float = 1.5) -> float:
    deviation = math.sqrt(2 + spread**2)
    return float(stats.norm.cdf((distance + shift) / deviation) - stats.norm.cdf((distance - shift) / deviation)) / 2


@pytest.mark.parametrize(("n", "positives", "shift", "spread"), [(100, 50, 0.3, 0.3), (100, 10, 0.4, 0.5)])
def test_the_interval_covers_the_swing_of_all_images(n: int, positives: int, shift: float, spread: float) -> None:
    truth, covered = true_swing(shift, spread), 0
    for seed in range(REPEATS):
        g = effect(*world(n, positives, shift, spread, seed)).swings[0].g
        wider = float(stats.t.isf(0.025, g.df) / stats.t.isf(0.05, g.df))
        covered += g.value - wider * (g.value - g.low) <= truth <= g.value + wider * (g.high - g.value)
    error = math.sqrt(0.95 * 0.05 / REPEATS)
    assert 0.93 - 2 * error <= covered / REPEATS <= 0.97 + 2 * error


REPEATS = 250


def test_the_difference_of_two_swings_of_the_same_images_by_hand() -> None:
    target, patient = np.array([1, 1, 0, 0]), np.arange(4)
    before = np.array([1.0, 3.0, 2.0, 0.0])
    # With + 2: 4 of 4 pairs on positives, 1 of 4 on negatives. With + 1: 3.5 and 2, since ties count half.
    found = mark_swing_difference((before, before + 2), (before, before + 1), target, patient)
    assert found.value == pytest.approx((1 - 0.25) / 2 - (0.875 - 0.5) / 2)


def test_the_error_of_the_difference_of_two_swings_is_their_spread() -> None:
    draws = np.random.default_rng(3)
    values: list[float] = []
    errors: list[float] = []
    ends: list[tuple[float, float]] = []
    for _ in range(300):
        target, patient = np.tile([1, 0], 60), np.repeat(np.arange(60), 2)
        base = draws.normal(size=120) + 1.5 * target + draws.normal(size=60).repeat(2)
        first, second = base + draws.normal(size=120), base + draws.normal(size=120)
        marks = draws.normal(0.5, 0.3, 120)
        found = mark_swing_difference((first, first + 2 * marks), (second, second + marks), target, patient, 0.025)
        values.append(found.value)
        errors.append(found.error)
        ends.append((found.low, found.high))
    assert np.mean(errors) == pytest.approx(np.std(values), rel=0.2)
    truth = float(np.mean(values))
    assert np.mean([low <= truth <= high for low, high in ends]) >= 0.93, "conservative at 60 patients"


def test_upper_bounds_hold_where_one_patient_in_twenty_reacts() -> None:
    """Of 200 patients with 1 to 80 images; scores of the few turn over. By Student's t alone 0.2 are missed."""
    share, worlds, people = 0.05, 300, 200
    auroc = float(stats.norm.cdf(1.5 / math.sqrt(2)))
    loss = auroc - (1 - share) ** 2 * auroc - share**2 * (1 - auroc) - share * (1 - share)
    missed = np.zeros(3)
    for seed in range(worlds):
        draws = np.random.default_rng(seed)
        patient = np.repeat(np.arange(people), np.clip(np.exp(draws.normal(1, 1.2, people)), 1, 80).astype(int))
        target = (draws.random(people) < 0.4).astype(np.int64)[patient]
        before = 1.5 * (target - 0.5) + math.sqrt(0.5) * (
            draws.normal(size=people)[patient] + draws.normal(size=len(patient))
        )
        reacts = (draws.random(people) < share)[patient]
        found = effect(before, np.where(reacts, -before, before), target, patient)
        flips = bounded_share(reacts, patient)
        student = flips.value + float(stats.t.isf(0.05, effective_patients(patient) - 1)) * flips.error
        assert found.loss is not None
        missed += np.array([flips.high, found.loss.high, student]) < [share, loss, share]
    assert (missed[:2] <= 0.1 * worlds).all()
    assert missed[2] > 0.15 * worlds
