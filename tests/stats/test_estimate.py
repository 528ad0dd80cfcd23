"""The two-way variance against random-effects mean squares and statsmodels, intervals, and when there is none."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.special import expit, logit
from statsmodels.stats.anova import anova_lm
from tests.worlds.panels import panel

from assay.plugin import Code, Reason
from assay.report.sentences.reasons import reason_words
from assay.stats import (
    SeedPredictions,
    estimate_panel,
    estimate_seeds,
    estimates_of_seeds,
    evaluate,
    interval,
    measure_by_seed,
    pseudo_samples,
    two_way,
)

BATCH = 2**15
N_PSEUDO_SAMPLES = 100


def mean_parts(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Seeds' means of a table [s, p] and patients' contributions to them."""
    patients = table.shape[1]
    widening = np.sqrt(patients / (patients - 1))
    return table.mean(axis=1), widening * (table - table.mean(axis=1, keepdims=True)) / patients


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(3, 8), st.integers(5, 30))
def test_variance_of_a_mean_is_that_of_the_two_way_mean_squares(seed: int, seeds: int, patients: int) -> None:
    rng = np.random.default_rng(seed)
    table = rng.normal(size=(seeds, 1)) + rng.normal(size=patients) + rng.normal(size=(seeds, patients))
    s, p = (grid.ravel() for grid in np.indices(table.shape))
    frame = pd.DataFrame({"y": table.ravel(), "s": s, "p": p})
    squares = anova_lm(sm.OLS.from_formula("y ~ C(s) + C(p)", frame).fit())["mean_sq"]
    a, b, e = squares["C(s)"], squares["C(p)"], squares["Residual"]
    found = two_way(*mean_parts(table))
    assert float(found.variance) == pytest.approx(max(a + b - e, a, b) / (seeds * patients))
    assert float(found.residual) == pytest.approx(e / (seeds * patients))


def test_degrees_of_freedom_lie_between_those_of_seeds_and_of_patients() -> None:
    rng = np.random.default_rng(0)
    only_seeds = two_way(*mean_parts(rng.normal(size=(4, 1)) + 1e-9 * rng.normal(size=(4, 50))))
    only_patients = two_way(*mean_parts(rng.normal(size=50) + 1e-9 * rng.normal(size=(4, 1))))
    assert float(only_seeds.df) == pytest.approx(3, abs=1e-3)
    assert float(only_patients.df) == pytest.approx(float(only_patients.df_patients), abs=1e-3)
    assert 40 < float(only_patients.df) <= 49


def test_few_patients_that_matter_leave_few_degrees_of_freedom() -> None:
    """Ten patients carry nearly all contributions of 200: 3 B^2 / sum c^4 - 1 instead of 199."""
    rng = np.random.default_rng(0)
    table = 1e-9 * rng.normal(size=(4, 1)) + np.where(np.arange(200) < 10, 1.0, 0.01) * rng.normal(size=200)
    mean = table.mean(axis=0)
    found = two_way(table.mean(axis=1), table)
    assert float(found.df_patients) == pytest.approx(3 * (mean**2).sum() ** 2 / (mean**4).sum() - 1)
    assert float(found.df) < 30
    single = two_way(np.zeros(3), np.eye(1, 50).repeat(3, axis=0))
    assert float(single.df_patients) == 2


def test_seeds_alone_give_students_interval() -> None:
    values = np.array([0.61, 0.68, 0.66, 0.71])
    found = estimate_seeds(measure_by_seed(values, np.arange(4)))
    low, high = stats.t.interval(0.95, 3, values.mean(), stats.sem(values))
    assert (found.low, found.high) == pytest.approx((low, high))


def test_samples_that_all_seeds_share_widen_the_interval_and_raise_its_degrees_of_freedom() -> None:
    values = np.array([0.61, 0.68, 0.66, 0.71])
    found = estimate_seeds(measure_by_seed(values, np.arange(4), [pseudo_samples(0.03, "a")] * 4))
    assert found.standard_error == pytest.approx(math.hypot(stats.sem(values), 0.03))
    assert found.df > 3


def test_values_that_are_computed_together_are_the_same_bytes_as_each_alone() -> None:
    rng = np.random.default_rng(0)
    parts = [
        measure_by_seed(
            rng.random(seeds), np.arange(seeds), [pseudo_samples(error, "a") for error in rng.random(seeds)]
        )
        for seeds in [3, 10, 2, 5] * (BATCH // (10 * N_PSEUDO_SAMPLES))  # more than one batch of each
    ]
    parts.append(measure_by_seed(rng.random(4), np.arange(4)))
    together, alone = estimates_of_seeds(parts), [estimates_of_seeds([part])[0] for part in parts]
    assert [repr(found) for found in together] == [repr(found) for found in alone]
    spread = two_way(parts[1].values, parts[1].contributions)
    assert (together[1].standard_error, together[1].df) == (math.sqrt(float(spread.variance)), float(spread.df))


def test_errors_of_several_seeds_at_once_are_those_of_each() -> None:
    errors = np.array([0.3, math.nan, 0.1])
    found, each = pseudo_samples(errors, "a"), [pseudo_samples(error, "a") for error in errors.tolist()]
    assert np.array_equal(found.values, np.stack([one.values for one in each]), equal_nan=True)
    assert all(np.array_equal(found.samples, one.samples) for one in each)


def test_an_error_that_one_seed_lacks_is_not_taken_for_none() -> None:
    errors = [pseudo_samples(error, "a") for error in (0.4, math.nan, 0.4)]
    found = estimate_seeds(measure_by_seed(np.array([0.5, 0.6, 0.7]), np.arange(3), errors))
    assert (found.value, found.reason) == (pytest.approx(0.6), Reason.of(Code.UNKNOWN_ERROR))
    assert math.isnan(found.low)


def test_the_interval_of_a_share_over_seeds_is_a_logit_one_within_its_ends() -> None:
    values = np.array([0.0, 0.01, 0.05])
    found = estimate_seeds(measure_by_seed(values, np.arange(3), bounds=(0.0, 1.0)))
    half = float(stats.t.ppf(0.975, 2) * stats.sem(values)) / (0.02 * 0.98)
    assert (found.low, found.high) == pytest.approx(tuple(expit(logit(0.02) + by) for by in (-half, half)))
    assert math.isnan(estimate_seeds(measure_by_seed(values[:2], np.arange(2), bounds=(0.0, 1.0))).low)


def test_what_sampling_carries_beyond_an_end_keeps_students_interval() -> None:
    values = np.array([-0.004, 0.01, 0.05])
    whole, cut = (
        estimate_seeds(measure_by_seed(values, np.arange(3), bounds=ends)) for ends in ((-np.inf, np.inf), (0.0, 1.0))
    )
    assert whole.low < 0
    assert (cut.low, cut.high) == (0, whole.high)
    beyond = estimate_seeds(measure_by_seed(values - 0.03, np.arange(3), bounds=(0.0, 1.0)))
    assert beyond.low < beyond.value < 0


def test_errors_within_models_near_an_end_are_not_stretched_by_the_logit() -> None:
    """Nothing varies between seeds: their common sampling error is symmetric, also near 0."""
    found = estimate_seeds(
        measure_by_seed(np.full(4, 0.005), np.arange(4), [pseudo_samples(0.01, "a")] * 4, bounds=(0.0, 1.0))
    )
    assert (found.low, found.high) == (0, pytest.approx(0.005 + stats.t.ppf(0.975, N_PSEUDO_SAMPLES - 1) * 0.01))


def test_skewed_shares_over_seeds_are_covered() -> None:
    draws = np.random.default_rng(0).beta(1, 9, (2000, 5))
    found = [estimate_seeds(measure_by_seed(values, np.arange(5), bounds=(0.0, 1.0))) for values in draws]
    assert np.mean([one.low <= 0.1 <= one.high for one in found]) > 0.925


@pytest.mark.filterwarnings("error")
def test_equal_seeds_with_an_error_within_them_have_the_interval_of_their_samples() -> None:
    """Nothing varies between seeds: the degrees of freedom are those of the samples, and no warning is given."""
    found = estimate_seeds(measure_by_seed(np.full(4, 0.5), np.arange(4), [pseudo_samples(0.1, "a")] * 4))
    half = 0.1 * stats.t.ppf(0.975, N_PSEUDO_SAMPLES - 1)
    assert (found.low, found.high) == pytest.approx((0.5 - half, 0.5 + half))


def test_an_estimate_is_the_mean_over_seeds_with_what_it_rests_on() -> None:
    found = estimate_panel(panel(0, patients=60, images=2), "auroc")
    assert found.value == pytest.approx(found.per_seed.mean())
    assert (found.seeds, found.patients, found.images, found.reason) == (5, 60, 120, Reason())
    assert found.low < found.value < found.high


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(["auroc", "brier", "accuracy"]))
def test_order_of_seeds_images_and_names_of_patients_change_nothing(seed: int, name: str) -> None:
    plain, rng = panel(seed, images=2), np.random.default_rng(seed)
    rows, seeds = rng.permutation(len(plain.target)), rng.permutation(5)
    names = rng.permutation(1000)[:60]
    shuffled = replace(plain, scores=plain.scores[seeds], patient=names[plain.patient]).rows(rows)
    one, other = estimate_panel(plain, name), estimate_panel(shuffled, name)
    assert (other.value, other.low, other.high) == pytest.approx((one.value, one.low, one.high))


def test_seeds_that_agree_leave_the_variance_over_patients() -> None:
    single = panel(3, seeds=1)
    copies = replace(single, scores=np.repeat(single.scores, 4, axis=0))
    moved = evaluate(single, "auroc").contributions[0]
    assert estimate_panel(copies, "auroc").standard_error == pytest.approx(np.sqrt((moved**2).sum()))


def test_images_of_one_patient_are_not_independent() -> None:
    single = panel(4, patients=60)
    rows = np.repeat(np.arange(60), 4)
    copies = single.rows(rows)
    assert estimate_panel(copies, "auroc").standard_error == pytest.approx(
        estimate_panel(single, "auroc").standard_error
    )
    as_if_independent = replace(copies, patient=np.arange(240))
    assert estimate_panel(as_if_independent, "auroc").standard_error < estimate_panel(single, "auroc").standard_error


@settings(max_examples=50, deadline=None)
@given(st.floats(0.001, 0.999), st.floats(1e-6, 2), st.floats(1, 100))
def test_intervals_of_bounded_measures_stay_within(value: float, error: float, df: float) -> None:
    low, high = interval(value, error, df, (0.0, 1.0))
    assert 0 <= low <= value <= high <= 1
    mirrored = interval(1 - value, error, df, (0.0, 1.0))
    assert mirrored == pytest.approx((1 - high, 1 - low), abs=1e-9)
    assert interval(value, error, df, (0.0, math.inf))[0] >= 0


def test_a_narrow_interval_is_the_plain_one() -> None:
    assert interval(0.7, 1e-5, 8, (0.0, 1.0)) == pytest.approx(interval(0.7, 1e-5, 8), abs=1e-8)


@pytest.mark.parametrize(
    ("given", "name", "reason", "has_value"),
    [
        (panel(0, seeds=2), "auroc", "2 seeds: no interval is computed with fewer than 3", True),
        (panel(0, seeds=1), "auroc", "1 seed: no interval is computed with fewer than 3", True),
        (panel(0, seeds=0), "auroc", "no training run finished successfully", False),
        (panel(0).rows(panel(0).target == 1), "auroc", "no image of the negative class", False),
        (
            panel(0, images=4).rows(np.arange(4)),
            "accuracy",
            "based on a single patient: no variance between patients",
            True,
        ),
        (
            replace(panel(0), scores=np.zeros((5, 60, 1))),
            "auroc",
            "no variation between seeds or patients: no interval can be computed",
            True,
        ),
        (
            replace(panel(0), scores=np.where(np.arange(5)[:, None, None] == 2, np.nan, panel(0).scores)),
            "auroc",
            "undefined for 1 of 5 seeds: the model's output is not finite for 60 of 60 images",
            False,
        ),
    ],
)
def test_what_cannot_be_had_is_nan_with_the_reason(
    given: SeedPredictions, name: str, reason: str, has_value: bool
) -> None:
    found = estimate_panel(given, name)
    assert reason_words(found.reason) == reason
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    assert math.isnan(found.value) != has_value


def test_untested_rows_count_for_nothing() -> None:
    plain = panel(5)
    noise = np.concatenate([plain.scores, np.full((5, 3, 1), np.nan)], axis=1)
    longer = SeedPredictions(
        noise,
        np.append(plain.target, [0, 1, 1]),
        np.append(plain.patient, [0, 1, 3]),
        has_prediction=np.broadcast_to(np.arange(63) < 60, (5, 63)),
    )
    assert estimate_panel(longer, "auroc").standard_error == pytest.approx(
        estimate_panel(plain, "auroc").standard_error
    )


def test_thresholds_are_each_seeds_own() -> None:
    plain = panel(6)
    never = replace(plain, thresholds=np.array([0.5, 2.0, 0.5, 0.5, 0.5]))
    assert evaluate(never, "sensitivity").values[1] == 0
    by_row = replace(plain, thresholds=np.repeat(never.thresholds[:, None], 60, axis=1))
    np.testing.assert_array_equal(evaluate(by_row, "sensitivity").values, evaluate(never, "sensitivity").values)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"target": np.zeros(3, dtype=int)}, r"target has shape \(3,\): expected \(60,\) beside scores \(5, 60, 1\)"),
        ({"thresholds": np.zeros(3)}, r"thresholds has shape \(3,\): expected \(5,\) or \(5, 60\)"),
        ({"seeds": np.array([0, 1, 1, 2, 3])}, r"name one seed twice"),
        ({"scores": np.zeros((5, 60))}, r"give \[seeds, images, classes\]"),
    ],
)
def test_wrong_panels_say_what_was_expected(change: dict[str, np.ndarray], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        replace(panel(0), **change)


def test_lists_and_series_are_taken_as_arrays_and_other_codes_of_classes_are_refused() -> None:
    rng = np.random.default_rng(0)
    scores, target, patient = rng.normal(size=(3, 8, 1)), np.arange(8) % 2, np.arange(8) // 2
    expected = estimate_panel(SeedPredictions(scores, target, patient), "auroc")
    series = pd.Series(target, index=range(8)[::-1]), pd.Series(patient, index=range(8)[::-1])
    for panel_of in (
        SeedPredictions(scores.tolist(), target.tolist(), patient.tolist()),
        SeedPredictions(scores, *series),
    ):
        found = estimate_panel(panel_of, "auroc")
        assert (found.value, found.low, found.high) == (expected.value, expected.low, expected.high)
    for wrong in (target * 2 - 1, target + 1):
        with pytest.raises(ValueError, match=r"2 classes are coded 0\.\.1"):
            SeedPredictions(scores, wrong, patient)


def test_a_value_that_is_not_known_has_no_interval() -> None:
    assert all(math.isnan(end) for end in interval(math.nan, 0.1, 5.0))


def test_with_few_effective_patients_these_number_the_degrees_of_freedom() -> None:
    """Of 30 patients one has half of the images: 3.9 effective ones, 2.9 degrees of freedom."""
    draws, patient = np.random.default_rng(0), np.repeat(np.arange(30), [174, *[6] * 29])
    target = np.arange(len(patient)) % 2
    common = draws.normal(size=30)[patient] + draws.normal(size=len(patient)) + 1.5 * target
    scores = common + 1e-6 * draws.normal(size=(5, len(patient)))
    found = estimate_panel(SeedPredictions(scores[..., None], target, patient), "accuracy")
    right = np.mean((scores > 0) == (target == 1), axis=0)
    share, residual = np.bincount(patient) / len(patient), right - right.mean()
    parts = np.bincount(patient, residual) / len(patient) / np.sqrt(1 - share)
    assert found.standard_error == pytest.approx(np.sqrt((parts**2).sum()), rel=1e-3)
    assert found.df == pytest.approx(87**2 / (87**2 + 29 * 9) * 4 - 1, rel=1e-3)
