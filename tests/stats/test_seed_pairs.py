"""Recipes that are less alike than their seeds: known truths, other implementations, false alarms, limits."""

from __future__ import annotations

import math
from itertools import combinations, product

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import cohen_kappa_score

from assay.plugin import Code, Reason
from assay.stats import SimilarityContrast, cohen_kappa, decide_similarity, mean_between_seeds, similarity_contrast


def models(seeds: int, shift: float, spread: int, draw: np.random.Generator) -> np.ndarray:
    """Vectors of length 1, a row per seed: a mean that `shift` turns, and noise in `spread` directions."""
    found = np.zeros((seeds, 30))
    found[:, -1], found[:, -2] = 2, shift
    found[:, :spread] += draw.normal(size=(seeds, spread))
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def compared(a: np.ndarray, b: np.ndarray) -> SimilarityContrast:
    return similarity_contrast(a @ b.T, a @ a.T, b @ b.T)


def test_the_same_models_are_as_alike_as_their_seeds() -> None:
    a = models(5, 0, 4, np.random.default_rng(0))
    found = compared(a, a)
    assert found.value == pytest.approx(found.within)
    assert found.below == 0
    assert math.isnan(found.p)
    assert found.reason == Reason.of(Code.NO_VARIATION_BETWEEN_SEEDS)
    assert decide_similarity([found])[0]["decision"] == "inconclusive"


def test_it_is_half_the_squared_distance_of_means_without_bias() -> None:
    """By the paired differences of the vectors: half of the mean inner product of two of them."""
    draw = np.random.default_rng(1)
    a, b = models(6, 0, 4, draw), models(6, 2, 4, draw)
    d = a - b
    expected = np.mean([d[i] @ d[j] / 2 for i, j in combinations(range(6), 2)])
    found = compared(a, b)
    assert found.below == pytest.approx(expected)
    assert found.below == pytest.approx((found.within + found.against_within) / 2 - found.value)
    off = [a[i] @ b[j] for i, j in product(range(6), repeat=2) if i != j]
    assert found.value == pytest.approx(np.mean(off))


def test_the_error_is_that_of_leaving_out_a_seed() -> None:
    draw = np.random.default_rng(2)
    a, b = models(5, 0, 4, draw), models(5, 1, 4, draw)
    left = np.array([compared(np.delete(a, i, 0), np.delete(b, i, 0)).below for i in range(5)])
    found = compared(a, b)
    assert found.standard_error == pytest.approx(math.sqrt(4 / 5 * ((left - left.mean()) ** 2).sum()))
    assert found.high - found.below == pytest.approx(2.776445 * found.standard_error)


def test_a_swap_of_a_seed_turns_the_sign_of_its_pairs() -> None:
    """Every swap of models between the recipes, made and measured anew."""
    draw = np.random.default_rng(3)
    a, b = models(4, 0, 4, draw), models(4, 0.8, 4, draw)
    values: list[float] = []
    for swap in product([False, True], repeat=4):
        where = np.array(swap)[:, None]
        values.append(compared(np.where(where, b, a), np.where(where, a, b)).below)
    found = compared(a, b)
    assert found.sign_flip_p == pytest.approx(np.mean(np.array(values) >= found.below - 1e-12))
    assert found.sign_flip_min_p == 1 / 8


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize("spread", [1, 3, 20])
def test_it_seldom_cries_wolf_and_covers_what_is_there(seeds: int, spread: int) -> None:
    """400 made-up studies each: of models of one law no more than 1 in 20 are called different, and intervals hold the
    mean of what is found over all.
    """
    draw = np.random.default_rng(4)
    for shift in (0.0, 3.0):
        found = [compared(models(seeds, 0, spread, draw), models(seeds, shift, spread, draw)) for _ in range(400)]
        truth = np.mean([one.below for one in found])
        assert np.mean([one.low <= truth <= one.high for one in found]) > 0.92
        called = np.mean([one.p < 0.05 for one in found])
        assert called < 0.05 if shift == 0 else called > 0.08


def test_nothing_is_claimed_under_three_seeds() -> None:
    draw = np.random.default_rng(5)
    for seeds, reason in (
        (1, Reason.of(Code.FEW_SEEDS_TO_COMPARE, seeds=1, least=2)),
        (2, Reason.of(Code.FEW_SEEDS, seeds=2, least=3)),
    ):
        found = compared(models(seeds, 0, 3, draw), models(seeds, 3, 3, draw))
        assert found.reason == reason
        assert math.isnan(found.p)
        assert math.isnan(found.value) == (seeds == 1)


def test_a_seed_without_a_value_leaves_none() -> None:
    a = models(4, 0, 3, np.random.default_rng(6))
    a[2] = math.nan
    found = compared(a, models(4, 0, 3, np.random.default_rng(7)))
    assert math.isnan(found.value)
    assert found.reason == Reason.of(Code.SOME_SEEDS_UNDEFINED)
    assert math.isnan(mean_between_seeds(np.ones((1, 1))))


def test_a_family_is_corrected_together() -> None:
    ps = [0.01, 0.03, math.nan, 0.2]
    family = [SimilarityContrast(0.5, 0.6, 0.6, stats.t.isf(p, 5) * 0.02, standard_error=0.02, df=5, p=p) for p in ps]
    found = decide_similarity(family)
    assert [one["decision"] for one in found] == ["beyond seeds", *["inconclusive"] * 3]
    assert [one["decision_p"] for one in found] == pytest.approx([0.04, 0.09, math.nan, 0.4], nan_ok=True)
    assert [one["decision_level"] for one in found[:2]] == pytest.approx([1 - 0.1 / 4, 1 - 0.1 / 3])
    assert [one["decision_low"] > 0 for one in found] == [True, False, False, False]


def test_kappa_is_that_of_scikit_learn_and_has_its_limits() -> None:
    draw = np.random.default_rng(8)
    for classes in (2, 4):
        x = draw.integers(0, classes, 300)
        y = np.where(draw.random(300) < 0.7, x, draw.integers(0, classes, 300))
        assert cohen_kappa(x, y) == pytest.approx(cohen_kappa_score(x, y))
    assert cohen_kappa(x, x) == 1
    assert math.isnan(cohen_kappa(np.ones(5), np.ones(5)))
    assert math.isnan(cohen_kappa(np.ones(0), np.ones(0)))
    assert cohen_kappa(np.array([0, 1]), np.array([1, 0])) == -1
