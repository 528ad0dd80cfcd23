from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import sobol_indices as scipy_indices

from assay.probes.reliance import sobol_indices
from assay.shifts.population import saltelli


def on(function, samples: int, d: int, seed: int) -> Any:
    found = sobol_indices(values(function, samples, d, seed), samples)
    assert found is not None
    return found


def values(function, samples: int, d: int, seed: int) -> np.ndarray:
    a, b = np.random.default_rng(seed).random((2, samples, d))
    pages = [a, b]
    for i in range(d):
        page = a.copy()
        page[:, i] = b[:, i]
        pages.append(page)
    return function(np.concatenate(pages))


def ishigami(u: np.ndarray) -> np.ndarray:
    x = np.pi * (2 * u - 1)
    return np.sin(x[:, 0]) + 7 * np.sin(x[:, 1]) ** 2 + 0.1 * x[:, 2] ** 4 * np.sin(x[:, 0])


# Ishigami and Homma (1990), a = 7, b = 0.1: the variance and its parts in closed form.
_V1, _V2, _V13 = 0.5 * (1 + 0.1 * np.pi**4 / 5) ** 2, 49 / 8, 0.01 * np.pi**8 * (1 / 18 - 1 / 50)
ISHIGAMI_FIRST = np.array([_V1, _V2, 0]) / (_V1 + _V2 + _V13)
ISHIGAMI_TOTAL = np.array([_V1 + _V13, _V2, _V13]) / (_V1 + _V2 + _V13)
WEIGHTS = np.array([3.0, 2.0, 1.0, 0.0])


def linear(u: np.ndarray) -> np.ndarray:
    return u @ WEIGHTS


@pytest.mark.parametrize("function", [ishigami, linear])
def test_agrees_with_scipy_digit_for_digit(function) -> None:
    d, n = (3 if function is ishigami else 4), 256
    y = values(function, n, d, 0)
    ours = sobol_indices(y, n)
    pages = y.reshape(-1, 1, n)
    theirs = scipy_indices(func={"f_A": pages[0], "f_B": pages[1], "f_AB": pages[2:]}, n=n)
    np.testing.assert_allclose(ours.first, theirs.first_order, atol=1e-12)
    np.testing.assert_allclose(ours.total, theirs.total_order, atol=1e-12)


def test_ishigami_in_closed_form() -> None:
    found = on(ishigami, 1 << 16, 3, 1)
    assert np.all(np.abs(found.first - ISHIGAMI_FIRST) < 4 * found.first_error)
    assert np.all(np.abs(found.total - ISHIGAMI_TOTAL) < 4 * found.total_error)
    assert max(found.first_error.max(), found.total_error.max()) < 0.006


def test_linear_in_closed_form_and_an_unused_input_is_exactly_nothing() -> None:
    found = on(linear, 4096, 4, 2)
    share = WEIGHTS**2 / (WEIGHTS**2).sum()
    assert np.all(np.abs(found.first - share) <= 4 * found.first_error)
    assert np.all(np.abs(found.total - share) <= 4 * found.total_error)
    assert found.first[3] == found.total[3] == found.total_error[3] == 0


def test_a_pure_interaction_has_totals_and_no_first_order() -> None:
    found = on(lambda u: (u[:, 0] - 0.5) * (u[:, 1] - 0.5), 4096, 3, 3)
    assert np.all(np.abs(found.first) < 4 * found.first_error + 1e-12)
    np.testing.assert_allclose(found.total, [1, 1, 0], atol=0.1)


@pytest.mark.parametrize(("function", "first", "total"), [(ishigami, ISHIGAMI_FIRST, ISHIGAMI_TOTAL)])
def test_standard_errors_are_those_of_repetition(function, first, total) -> None:
    """400 designs of 512: 95% intervals cover in 92 to 98%, and the claimed error is the spread, within 15%."""
    runs = [on(function, 512, 3, seed) for seed in range(400)]
    for name, truth in (("first", first), ("total", total)):
        estimates = np.array([getattr(r, name) for r in runs])
        errors = np.array([getattr(r, f"{name}_error") for r in runs])
        assert np.all((np.abs(estimates - truth) < 1.96 * errors).mean(axis=0) > 0.92)
        np.testing.assert_allclose(errors.mean(axis=0), estimates.std(axis=0), rtol=0.15)


@pytest.mark.parametrize(
    ("function", "first", "total"),
    [(ishigami, ISHIGAMI_FIRST, ISHIGAMI_TOTAL), (linear, WEIGHTS**2 / 14, WEIGHTS**2 / 14)],
)
def test_a_scrambled_sequence_of_1024_is_within_003_and_within_what_it_claims(function, first, total) -> None:
    """The design of phantom scenes: root mean squared error over 50 scramblings."""
    d = len(first)
    designs = [saltelli(1024, [[i] for i in range(d)], seed) for seed in range(50)]
    runs = [sobol_indices(function(u), 1024) for u in designs]
    for name, truth in (("first", first), ("total", total)):
        error = np.sqrt(np.mean([(getattr(r, name) - truth) ** 2 for r in runs], axis=0))
        claimed = np.mean([getattr(r, f"{name}_error") for r in runs], axis=0)
        assert np.all(error < 0.03)
        assert np.all(error <= claimed + 1e-9)


def test_contributions_sum_to_the_error_and_are_those_of_the_same_samples() -> None:
    """Two models that differ by a factor have one index, by which each sample moves them alike."""
    design = saltelli(256, [[0], [1], [2]], 0)
    one, other = sobol_indices(ishigami(design), 256), sobol_indices(3 * ishigami(design) + 1, 256)
    assert one is not None
    assert other is not None
    for moved, error in ((one.first_contributions, one.first_error), (one.total_contributions, one.total_error)):
        np.testing.assert_allclose(np.sqrt((moved**2).sum(axis=1)), error)
        np.testing.assert_allclose(moved.sum(axis=1), 0, atol=1e-12)
    np.testing.assert_allclose(other.total_contributions, one.total_contributions, atol=1e-12)


def test_halves_of_independent_samples_agree() -> None:
    gaps = np.concatenate([on(ishigami, 512, 3, seed).gap for seed in range(100)])
    assert (gaps > 4).mean() < 0.01
    assert np.median(gaps) < 1.5


def test_halves_that_disagree_are_seen() -> None:
    """A function that changes half-way through the samples is no function of the inputs."""
    y = values(linear, 512, 4, 0).reshape(-1, 512)
    y[:, 256:] = values(lambda u: u[:, 3], 512, 4, 0).reshape(-1, 512)[:, 256:]
    assert sobol_indices(y.ravel(), 512).gap[3] > 4


@pytest.mark.parametrize("level", [0.0, 1e-9, -1e6])
def test_constant_values_have_no_indices(level: float) -> None:
    y = np.full(5 * 64, level)
    y[::7] += abs(level) * 1e-9  # rounding
    assert sobol_indices(y, 64) is None


@settings(max_examples=25, deadline=None)
@given(st.floats(1e-3, 1e3), st.booleans(), st.floats(-100, 100))
def test_scale_sign_and_offset_of_the_output_change_nothing(scale: float, negative: bool, offset: float) -> None:
    y = values(ishigami, 64, 3, 0)
    one, two = sobol_indices(y, 64), sobol_indices(offset + (-scale if negative else scale) * y, 64)
    for name in ("first", "first_error", "total", "total_error"):
        np.testing.assert_allclose(getattr(one, name), getattr(two, name), rtol=1e-5, atol=1e-8)


def test_seven_inputs_take_a_small_part_of_half_a_second() -> None:
    y = values(lambda u: u @ np.arange(7.0), 1024, 7, 0)
    start = time.perf_counter()
    for _ in range(10):
        sobol_indices(y, 1024)
    assert (time.perf_counter() - start) / 10 < 0.05
