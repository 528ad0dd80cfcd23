"""The region of two measures together: against Hotelling's, in its limits, and how often it holds what is true."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from syrupy.assertion import SnapshotAssertion
from tests.cases import first_of

from assay.report.sentences.reasons import reason_words
from assay.stats import MeasureBySeed, covariance, error_correlation, interval, joint_region, two_way, uncertainty

PLAIN = (-np.inf, np.inf)


def evaluated(
    values: np.ndarray, moves: np.ndarray, bounds: tuple[float, float] = PLAIN, first: int = 0
) -> MeasureBySeed:
    patients = np.arange(first, first + moves.shape[1])
    return MeasureBySeed(values, moves, patients, np.arange(len(values)), moves.shape[1], bounds)


def drawn(rng: np.random.Generator, seeds: int, patients: int, shared: float) -> tuple[MeasureBySeed, MeasureBySeed]:
    """Two means of 0 over crossed patients and seeds, whose every effect has the same correlation."""
    mix = np.linalg.cholesky(np.array([[1.0, shared], [shared, 1.0]]))
    of_seed = 0.15 * mix @ rng.normal(size=(2, seeds))
    of_patient = mix @ rng.normal(size=(2, patients))
    rest = np.einsum("ij,jsp->isp", mix, rng.normal(size=(2, seeds, patients)))
    cells = of_seed[:, :, None] + of_patient[:, None, :] + rest
    values = cells.mean(axis=2)
    moves = (cells - values[:, :, None]) / patients * np.sqrt(patients / (patients - 1))
    return evaluated(values[0], moves[0]), evaluated(values[1], moves[1])


def test_where_seeds_alone_vary_it_is_that_of_hotelling() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(2, 6)) + 0.8 * rng.normal(size=6)
    across, up = (evaluated(one, np.zeros((6, 2))) for one in values)
    found = joint_region(across, up)
    away = found.outline - values.mean(axis=1)
    distance = np.einsum("ki,ij,kj->k", away, np.linalg.inv(np.cov(values) / 6), away)
    assert distance == pytest.approx(2 * 5 / 4 * stats.f.ppf(0.95, 2, 4))
    assert (found.df, found.correlation) == pytest.approx((5, np.corrcoef(values)[0, 1]))


def test_the_covariance_of_a_measure_with_itself_is_its_variance_and_with_its_mirror_less_it() -> None:
    across, _ = drawn(np.random.default_rng(1), 5, 40, 0.0)
    spread = two_way(across.values, across.contributions)
    own = float(spread.seeds + spread.patients - spread.residual)
    moves = across.contributions
    assert covariance(across.values, across.values, moves, moves) == pytest.approx(own)
    assert covariance(across.values, -across.values, moves, -moves) == pytest.approx(-own)
    mirrored = evaluated(-across.values, -moves)
    sure = uncertainty(across), uncertainty(mirrored)
    assert error_correlation(across, mirrored, sure) == pytest.approx(-own / float(spread.variance))


def test_measures_of_different_patients_share_seeds_alone() -> None:
    across, up = drawn(np.random.default_rng(2), 5, 40, 0.9)
    elsewhere = evaluated(up.values, up.contributions, first=40)
    sure = uncertainty(across), uncertainty(elsewhere)
    seeds = float(np.cov(across.values, up.values)[0, 1]) / 5
    expected = seeds / (sure[0].standard_error * sure[1].standard_error)
    assert error_correlation(across, elsewhere, sure) == pytest.approx(expected)
    assert abs(expected) < error_correlation(across, up, (sure[0], uncertainty(up)))


@pytest.mark.slow
@pytest.mark.parametrize("shared", first_of([0.0, 0.8]))
def test_it_holds_what_is_true_as_often_as_it_says(shared: float) -> None:
    rng, worlds = np.random.default_rng(3), 600
    held = 0
    for _ in range(worlds):
        found = joint_region(*drawn(rng, 5, 30, shared))
        angles = np.unwrap(np.arctan2(found.outline[:, 1], found.outline[:, 0]))
        held += abs(angles[-1] - angles[0]) > np.pi  # an outline goes once around what it holds
    assert 0.93 <= held / worlds <= 1.0


def test_it_never_leaves_what_is_possible() -> None:
    """Near an end both are put on the scale of their intervals."""
    rng = np.random.default_rng(4)
    high = evaluated(0.97 + 0.01 * rng.normal(size=5), 0.01 * rng.normal(size=(5, 30)), (0.0, 1.0))
    low = evaluated(0.02 + 0.01 * rng.normal(size=5), 0.01 * rng.normal(size=(5, 30)), (0.0, 1.0))
    found = joint_region(high, low)
    assert (found.outline > 0).all()
    assert (found.outline < 1).all()
    (_, top), (bottom, _) = (
        interval(float(one.values.mean()), sure.standard_error, sure.df, one.bounds)
        for one, sure in ((high, uncertainty(high)), (low, uncertainty(low)))
    )
    assert found.outline[:, 0].max() > top
    assert found.outline[:, 1].min() < bottom


@pytest.mark.parametrize("bounds", [(0.0, 1.0), (-1.0, 1.0), (0.0, np.inf), (-np.inf, 2.0), PLAIN])
def test_a_step_there_and_back_again_is_an_interval(bounds: tuple[float, float]) -> None:
    low, high = interval(0.9, 0.05, 7, bounds)
    half = float(stats.t.ppf(0.975, 7)) * 0.05
    assert bounds[0] < low < 0.9 < high < bounds[1]
    small = interval(0.9, 1e-6 / half * 0.05, 7, bounds)
    assert small == pytest.approx((0.9 - 1e-6, 0.9 + 1e-6), abs=1e-10)


def test_without_a_region_it_says_why(snapshot: SnapshotAssertion) -> None:
    across, up = drawn(np.random.default_rng(5), 5, 30, 0.0)
    few = evaluated(up.values[:2], up.contributions[:2])
    assert reason_words(joint_region(across, few).reason) == snapshot
    assert len(joint_region(across, few).outline) == 0
    other = MeasureBySeed(up.values, up.contributions, up.patients, up.seeds + 1, 30, PLAIN)
    assert reason_words(joint_region(across, other).reason) == snapshot
    silent = evaluated(np.zeros(5), np.zeros((5, 30)))
    assert reason_words(joint_region(across, silent).reason) == snapshot
