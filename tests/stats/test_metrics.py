"""Each metric against an independent implementation, a hand-derived value, a limit and an invariance."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats
from sklearn import metrics as reference
from torchmetrics.functional.classification import multiclass_auroc

from assay.report.sentences.reasons import reason_words
from assay.stats import ModelPredictions, measure_value, metrics

seeds = st.integers(0, 10_000)


def draw(seed: int, n: int = 60, k: int = 2, ties: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Logits [n, k] that know something of the target, coarse enough to tie, and targets that hold every class."""
    rng = np.random.default_rng(seed)
    target = np.concatenate([np.arange(k), rng.integers(0, k, n - k)])
    logits = rng.normal(size=(n, k)) + np.eye(k)[target]
    return (np.round(logits * 2) / 2 if ties else logits), target


def of(name: str, logits: np.ndarray, target: np.ndarray) -> metrics.Metric:
    """A measure of logits, [n, k] or one score per image."""
    return measure_value(name, ModelPredictions(logits if logits.ndim == 2 else logits[:, None], target))


@settings(max_examples=30, deadline=None)
@given(seeds)
def test_agrees_with_scikit_learn_on_two_classes(seed: int) -> None:
    logits, target = draw(seed)
    p, score = metrics.probabilities(logits)[:, 1], metrics.class_score(logits)
    called = metrics.predicted_classes(metrics.probabilities(logits))
    for ours, theirs in (
        (metrics.auroc(score, target), reference.roc_auc_score(target, p)),
        (of("average-precision", score, target), reference.average_precision_score(target, p)),
        (metrics.accuracy(called, target), reference.accuracy_score(target, p >= 0.5)),
        (metrics.sensitivity(called, target), reference.recall_score(target, p >= 0.5)),
        (metrics.specificity(called, target), reference.recall_score(1 - target, p < 0.5)),
        (of("brier", logits, target), reference.brier_score_loss(target, p)),
        (of("log-loss", logits, target), reference.log_loss(target, p)),
    ):
        assert ours.value == pytest.approx(theirs, abs=1e-12)


@settings(max_examples=20, deadline=None)
@given(seeds)
def test_agrees_with_references_on_several_classes(seed: int) -> None:
    logits, target = draw(seed, k=4)
    p, called = metrics.probabilities(logits), metrics.predicted_classes(metrics.probabilities(logits))
    # Without ties: which softmax values tie to the last bit depends on the order of summation.
    fine, _ = draw(seed, k=4, ties=False)
    macro = multiclass_auroc(torch.tensor(metrics.probabilities(fine)), torch.tensor(target), num_classes=4)
    assert metrics.macro_auroc(fine, target).value == pytest.approx(float(macro), abs=1e-6)
    kappa = reference.cohen_kappa_score(target, called, weights="quadratic")
    assert metrics.quadratic_weighted_kappa(called, target).value == pytest.approx(kappa, abs=1e-12)
    assert of("log-loss", logits, target).value == pytest.approx(reference.log_loss(target, p), abs=1e-12)
    brier = reference.brier_score_loss(target, p, scale_by_half=False, labels=range(4))
    assert of("brier", logits, target).value == pytest.approx(brier, abs=1e-12)
    assert metrics.accuracy(called, target).value == reference.accuracy_score(target, called)


@settings(max_examples=20, deadline=None)
@given(seeds)
def test_somers_d_agrees_with_scipy(seed: int) -> None:
    logits, target = draw(seed)
    ours = of("somers-d", logits[:, 0], target)
    assert ours.value == pytest.approx(scipy_stats.somersd(target, logits[:, 0]).statistic, abs=1e-12)


def test_auroc_by_hand() -> None:
    # Pairs (positive, negative): 3>1, 3>2, 2>1, 2=2 -> 3.5 of 4.
    score, target = np.array([3.0, 2.0, 1.0, 2.0]), np.array([1, 1, 0, 0])
    assert metrics.auroc(score, target).value == 3.5 / 4
    assert of("somers-d", score, target).value == 0.75


def test_auroc_within_folds_counts_pairs_of_a_fold_only() -> None:
    score = np.array([1.0, 0.0, 11.0, 10.0, 12.0])
    target, fold = np.array([1, 0, 1, 0, 0]), np.array([0, 0, 1, 1, 1])
    assert metrics.auroc(score, target).value == 3 / 6
    assert metrics.auroc(score, target, fold).value == 2 / 3  # fold 0: 1 of 1; fold 1: 1 of 2


@settings(max_examples=20, deadline=None)
@given(seeds)
def test_auroc_within_folds_is_the_pair_weighted_mean_of_the_folds(seed: int) -> None:
    logits, target = draw(seed)
    fold = np.random.default_rng(seed).integers(0, 4, len(target))
    won = total = 0.0
    for number in range(4):
        scores, classes = logits[fold == number, 0], target[fold == number]
        difference = scores[classes == 1][:, None] - scores[classes == 0][None]
        won, total = won + (difference > 0).sum() + (difference == 0).sum() / 2, total + difference.size
    assert metrics.auroc(logits[:, 0], target, fold).value == pytest.approx(won / total, abs=1e-12)


@settings(max_examples=20, deadline=None)
@given(seeds, st.permutations(range(60)))
def test_ranking_metrics_ignore_order_of_rows_and_monotone_transforms(seed: int, order: list[int]) -> None:
    logits, target = draw(seed)
    score = logits[:, 1]
    for name in ("auroc", "average-precision", "somers-d"):
        plain = of(name, score, target).value
        assert of(name, score[order], target[order]).value == pytest.approx(plain, abs=1e-12)
        assert of(name, np.exp(score / 3) + 5, target).value == pytest.approx(plain, abs=1e-12)
    for name in ("brier", "log-loss", "calibration-error", "auroc-macro"):
        plain = of(name, logits, target).value
        assert of(name, logits[order], target[order]).value == pytest.approx(plain, abs=1e-12)


@settings(max_examples=10, deadline=None)
@given(seeds)
def test_reversed_scores_and_swapped_classes(seed: int) -> None:
    logits, target = draw(seed)
    score = logits[:, 1]
    area = metrics.auroc(score, target).value
    assert metrics.auroc(-score, target).value == pytest.approx(1 - area, abs=1e-12)
    assert metrics.auroc(score, 1 - target).value == pytest.approx(1 - area, abs=1e-12)


def test_limits() -> None:
    target = np.array([0, 0, 1, 1])
    assert metrics.auroc(np.array([0.0, 1, 2, 3]), target).value == 1
    assert metrics.auroc(np.array([3.0, 2, 1, 0]), target).value == 0
    assert metrics.auroc(np.zeros(4), target).value == 0.5
    assert of("average-precision", np.zeros(4), target).value == 0.5
    sure = np.array([[40.0, -40], [40, -40], [-40, 40], [-40, 40]])
    assert of("brier", sure, target).value == pytest.approx(0, abs=1e-30)
    assert of("log-loss", -sure, target).value == pytest.approx(80)  # where float32 probabilities would give infinity
    assert of("log-loss", np.zeros((4, 3)), target).value == pytest.approx(math.log(3))
    assert metrics.quadratic_weighted_kappa(target, target).value == 1
    assert metrics.quadratic_weighted_kappa(1 - target, target).value == -1
    assert metrics.quadratic_weighted_kappa(np.zeros(4, dtype=int), target).value == 0


def test_calibration_error_by_hand() -> None:
    # Two bins of two rows: claimed 0.1 and 0.2 with no positive (gap 0.15), 0.6 and 0.8 with one (gap 0.2).
    p, target = np.array([0.8, 0.1, 0.6, 0.2]), np.array([1, 0, 0, 0])
    assert metrics.expected_calibration_error(p - target, metrics.equal_mass_bins(p, 2)).value == pytest.approx(0.175)


def test_calibration_error_of_a_constant_is_its_distance_from_the_prevalence() -> None:
    logits, target = np.zeros((40, 1)), np.repeat([0, 1], [30, 10])
    assert of("calibration-error", logits, target).value == pytest.approx(0.25)


def test_equal_mass_bins_are_equal_and_keep_ties_together() -> None:
    assert np.bincount(metrics.equal_mass_bins(np.random.default_rng(0).normal(size=60), 15)).tolist() == [4] * 15
    assert len(set(metrics.equal_mass_bins(np.array([0.1, 0.5, 0.5, 0.5, 0.9]), 5)[1:4])) == 1


def test_logits_of_one_column_are_those_of_two() -> None:
    logits, target = draw(3)
    single = logits[:, 1:] - logits[:, :1]
    np.testing.assert_allclose(metrics.probabilities(single), metrics.probabilities(logits), atol=1e-15)
    np.testing.assert_allclose(metrics.class_score(logits), single[:, 0], atol=1e-12)
    assert of("log-loss", single, target).value == pytest.approx(of("log-loss", logits, target).value)


@pytest.mark.parametrize(
    ("metric", "reason"),
    [
        (metrics.auroc(np.zeros(3), np.zeros(3, dtype=int)), "no image of the positive class"),
        (metrics.auroc(np.zeros(3), np.ones(3, dtype=int)), "no image of the negative class"),
        (metrics.auroc(np.zeros(0), np.zeros(0, dtype=int)), "no images"),
        (
            metrics.auroc(np.array([np.nan, 1.0]), np.array([0, 1])),
            "the model's output is not finite for 1 of 2 images",
        ),
        (metrics.auroc(np.zeros(2), np.array([0, 1]), np.array([0, 1])), "no fold holds both classes"),
        (
            metrics.macro_auroc(np.zeros((3, 3)), np.array([0, 1, 1])),
            "no image of class 2",
        ),
        (
            metrics.macro_auroc(np.zeros((3, 4)), np.array([0, 1, 1]), class_names=("a", "b", "cyst", "lump")),
            "no image of cyst and lump",
        ),
        (metrics.sensitivity(np.zeros(2), np.zeros(2)), "no image of the positive class"),
        (metrics.specificity(np.ones(2), np.ones(2)), "no image of the negative class"),
        (
            metrics.quadratic_weighted_kappa(np.ones(2, dtype=int), np.ones(2, dtype=int)),
            "all images have one grade, and all predictions are that grade",
        ),
        (of("brier", np.zeros((0, 2)), np.zeros(0, dtype=int)), "no images"),
    ],
)
def test_undefined_is_nan_with_the_reason(metric: metrics.Metric, reason: str) -> None:
    assert math.isnan(metric.value)
    assert reason_words(metric.reason) == reason


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: metrics.auroc(np.zeros(3), np.array([0, 1])), r"scores have shape \(3,\) and targets \(2,\)"),
        (lambda: metrics.auroc(np.zeros(2), np.array([0, 2])), r"targets hold \[2\]: a binary target is 0 or 1"),
        (
            lambda: metrics.undefined_probability_reason(np.zeros((2, 2)), np.array([0, 2])),
            r"targets lie in 0\.\.2: 2 classes are coded 0\.\.1",
        ),
        (lambda: metrics.undefined_probability_reason(np.zeros(2), np.array([0, 1])), r"give \[n, k\] and \[n\]"),
        (lambda: metrics.accuracy(np.zeros(3), np.zeros(2)), r"give one per image"),
    ],
)
def test_wrong_calls_say_what_was_given_and_expected(call, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        call()


@pytest.mark.parametrize("kind", [np.uint8, np.int8, np.uint64, np.float32])
def test_kappa_of_small_and_unsigned_codes_does_not_wrap_around(kind: type) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 100, (2, 80))
    expected = reference.cohen_kappa_score(a, b, weights="quadratic", labels=range(100))
    assert metrics.quadratic_weighted_kappa(a.astype(kind), b.astype(kind)).value == pytest.approx(expected)


def test_series_are_paired_by_their_place_and_not_by_their_index() -> None:
    called, target = np.array([0, 1, 1, 0, 1, 0]), np.array([0, 1, 0, 1, 1, 1])
    score = np.array([0.1, 0.9, 0.7, 0.2, 0.6, 0.4])
    a, b = pd.Series(called, index=range(6)), pd.Series(target, index=range(6)[::-1])
    for compute in (metrics.accuracy, metrics.sensitivity, metrics.specificity, metrics.quadratic_weighted_kappa):
        assert compute(a, b) == compute(called, target) == compute(called.tolist(), target.tolist())
    ranked = metrics.auroc(pd.Series(score, index=range(6)), b)
    assert ranked == metrics.auroc(score, target) == metrics.auroc(score.tolist(), target.tolist())
