"""Curves and measures agree with scikit-learn, with statsmodels, and with values derived by hand."""

# pyright: basic

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.special import expit, logit
from scipy.stats import beta, norm, poisson, t
from sklearn.metrics import brier_score_loss, precision_recall_curve, roc_auc_score, roc_curve

from assay.validate import curves, paired


def cases(n: int = 400, seed: int = 0, threshold: float = 0.0, each: int = 1) -> curves.ScoredCases:
    rng = np.random.default_rng(seed)
    target = np.repeat((rng.random(n // each) < 0.3).astype(int), each)
    return curves.ScoredCases(
        target, target * 1.5 - 1 + rng.normal(size=n), np.repeat(np.arange(n // each), each), threshold
    )


def wins(score: np.ndarray, target: np.ndarray) -> list[list[float]]:
    """Return 1 for each pair of a positive and a negative case in order, 1/2 for a tie, 0 otherwise."""
    positive, negative = score[target == 1], score[target == 0]
    return [[1.0 if x > y else 0.5 if x == y else 0.0 for y in negative] for x in positive]


def delong(a: np.ndarray, b: np.ndarray, target: np.ndarray) -> tuple[float, float]:
    """Return the difference of two AUROCs and its variance by DeLong et al. (1988), from all pairs of cases.

    The placement of a positive case is the mean of its pairs, that of a negative case of its own; the variance is
    S10 / m + S01 / n, the sample variances of both placements of the difference.
    """
    apart = [[x - y for x, y in zip(*rows, strict=True)] for rows in zip(wins(a, target), wins(b, target), strict=True)]
    m, n = len(apart), len(apart[0])
    value = sum(map(sum, apart)) / (m * n)
    of_positive = [sum(row) / n for row in apart]
    of_negative = [sum(row[j] for row in apart) / m for j in range(n)]
    s10 = sum((x - value) ** 2 for x in of_positive) / (m - 1)
    s01 = sum((y - value) ** 2 for y in of_negative) / (n - 1)
    return value, s10 / m + s01 / n


def variance_of(contributions: np.ndarray) -> float:
    return float((contributions**2).sum())


def test_auroc_and_curves_agree_with_scikit_learn() -> None:
    one = cases()
    assert curves.auroc_with_interval(one).value == pytest.approx(roc_auc_score(one.target, one.log_odds))
    fpr, tpr, _ = roc_curve(one.target, one.log_odds, drop_intermediate=False)
    precision, recall, _ = precision_recall_curve(one.target, one.log_odds)
    roc, prc = curves.ranking_curves(one)
    assert [p.value for _, p in roc] == pytest.approx([tpr[fpr <= x + 1e-9].max() for x, _ in roc])
    assert [p.value for _, p in prc] == pytest.approx(
        [precision[np.flatnonzero(recall >= x - 1e-9)[-1]] for x, _ in prc]
    )
    assert all(p.low <= p.value <= p.high for _, p in roc)


def test_shares_are_those_of_the_table_with_exact_intervals() -> None:
    target = np.repeat([1, 0], 10)
    one = curves.ScoredCases(target, np.repeat([1.0, -1, 1, -1], [8, 2, 1, 9]), np.arange(20), 0.0)
    found = curves.call_measures(one)
    assert [found[name].value for name in ("sensitivity", "specificity", "ppv", "npv")] == pytest.approx(
        [0.8, 0.9, 8 / 9, 9 / 11]
    )
    ninety = curves.share_with_interval(np.repeat([True, False], [90, 10]), np.arange(100))
    assert ninety.low == pytest.approx(beta.ppf(0.025, 90, 11), abs=0.003)
    assert ninety.high == pytest.approx(beta.ppf(0.975, 91, 10), abs=0.003)


def test_probabilities_of_exactly_0_and_1_count_as_they_are() -> None:
    """Log-odds of coarse scores move their ends inside; Brier score, calibration and net benefit do not."""
    p, target = np.repeat([0.0, 0.2, 0.8, 1.0], 5), np.tile([0, 0, 0, 1, 1], 4)
    inside = logit(np.clip(p, 0.1, 0.9))
    one = curves.ScoredCases(target, inside, np.arange(20), 0.0, stated=p)
    found = curves.calibration_measures(one)
    assert found["brier"].value == pytest.approx(((p - target) ** 2).mean())
    assert found["calibration-in-the-large"].value == pytest.approx((p - target).mean())
    ((_, benefit),) = curves.decision_curve(one, [0.05])
    called = p >= 0.05
    assert benefit.value == pytest.approx((called * target).mean() - (called * (1 - target)).mean() * 0.05 / 0.95)
    assert [x for x, _ in curves.calibration_curve(one)] == [0.0, 0.2, 0.8, 1.0]
    half = one.select(np.arange(20) < 10)
    assert half.probability.tolist() == p[:10].tolist()


def cr2_error(residual: np.ndarray, patient: np.ndarray) -> float:
    """Return the standard error of a mean, each patient's residuals divided by sqrt(1 - its share of the rows)."""
    sums = [residual[patient == one].sum() / len(residual) for one in np.unique(patient)]
    shares = [(patient == one).mean() for one in np.unique(patient)]
    return math.sqrt(sum(x**2 / (1 - w) for x, w in zip(sums, shares, strict=True)))


def test_a_patient_with_half_of_the_cases_counts_as_one_of_few() -> None:
    rng = np.random.default_rng(3)
    patient = np.concatenate([np.zeros(30, dtype=int), np.arange(1, 31)])
    right = rng.random(60) < 0.8
    share = (patient[:, None] == np.arange(31)).mean(axis=0)
    effective = 1 / (share**2).sum()
    assert effective == pytest.approx(3600 / 930)
    value = right.mean()
    size = value * (1 - value) / cr2_error(right - value, patient) ** 2 + 1
    size = min(60, size) * (t.ppf(0.975, 59) / t.ppf(0.975, effective - 1)) ** 2
    found = curves.share_with_interval(right, patient)
    assert found.low == pytest.approx(beta.ppf(0.025, value * size, size - value * size + 1))
    assert found.high == pytest.approx(beta.ppf(0.975, value * size + 1, size - value * size))
    one = curves.ScoredCases(np.ones(60, dtype=int), np.where(right, 1.0, -1.0), patient, 0.0)
    _, contributions = one.by_patient["sensitivity"]
    assert contributions.error == pytest.approx(cr2_error(right - value, patient))
    assert contributions.df <= effective - 1


def test_degrees_of_freedom_are_those_of_the_class_that_varies() -> None:
    rng = np.random.default_rng(0)
    target = np.repeat([1, 0], [5, 500])
    one = curves.ScoredCases(target, rng.normal(size=505) + target, np.arange(505), 0.0)
    _, contributions = one.by_patient["auroc"]
    positive, negative = (contributions.parts**2).sum(axis=1)
    assert contributions.df == pytest.approx((positive + negative) / (positive / 4 + negative / 499))


def test_the_interval_of_a_brier_score_is_within_0_and_1() -> None:
    one = curves.ScoredCases(np.repeat([1, 0], [2, 40]), np.repeat([2.0, -2.0, -8.0], [1, 2, 39]), np.arange(42), 0.0)
    brier = curves.calibration_measures(one)["brier"]
    assert 0 < brier.low < brier.value < brier.high < 1


def test_predictive_values_follow_bayes() -> None:
    target = np.repeat([1, 0], [100, 100])
    one = curves.ScoredCases(target, np.repeat([1.0, -1, 1, -1], [90, 10, 20, 80]), np.arange(200), 0.0)
    found = curves.predictive_values(one, 0.1)
    assert found["ppv"].value == pytest.approx(0.09 / 0.27)
    assert found["npv"].value == pytest.approx(0.72 / 0.73)
    assert found["ppv"].low < found["ppv"].value < found["ppv"].high
    perfect = curves.ScoredCases(target, np.repeat([1.0, -1.0], 100), np.arange(200), 0.0)
    assert curves.predictive_values(perfect, 0.1)["ppv"].value == 1
    assert 0.5 < curves.predictive_values(perfect, 0.1)["ppv"].low < 1


def test_calibration_agrees_with_other_libraries() -> None:
    one = cases()
    found = curves.calibration_measures(one)
    assert found["brier"].value == pytest.approx(brier_score_loss(one.target, expit(one.log_odds)))
    parts = [found[f"brier-{name}"].value for name in ("miscalibration", "discrimination", "uncertainty")]
    assert found["brier"].value == pytest.approx(parts[0] - parts[1] + parts[2])
    fit = sm.Logit(one.target, sm.add_constant(one.log_odds)).fit(disp=0)
    assert found["calibration-slope"].value == pytest.approx(fit.params[1])
    curve = curves.calibration_curve(one)
    assert len(curve) == 10
    assert all(point.low <= point.value <= point.high for _, point in curve)


def test_net_benefit_is_that_of_the_formula() -> None:
    target = np.repeat([1, 0], [40, 60])
    p = np.repeat([0.5, 0.1, 0.5, 0.1], [30, 10, 10, 50])
    one = curves.ScoredCases(target, np.log(p / (1 - p)), np.arange(100), 0.0)
    assert curves.decision_curve(one, [0.2])[0][1].value == pytest.approx(0.275)


def test_a_true_prevalence_is_that_of_weighted_cases() -> None:
    one = replace(cases(600), prevalence=0.05)
    found, p = curves.calibration_measures(one), expit(one.log_odds)
    assert one.weight.mean() == pytest.approx(1)
    assert np.average(one.target, weights=one.weight) == pytest.approx(0.05)
    assert found["brier"].value == pytest.approx(brier_score_loss(one.target, p, sample_weight=one.weight))
    assert found["calibration-in-the-large"].value == pytest.approx(np.average(p, weights=one.weight) - 0.05)
    fit = sm.GLM(one.target, sm.add_constant(one.log_odds), sm.families.Binomial(), freq_weights=one.weight).fit()
    assert found["calibration-slope"].value == pytest.approx(fit.params[1])
    called = p >= 0.2
    sensitivity, false = called[one.is_positive].mean(), called[~one.is_positive].mean()
    assert curves.decision_curve(one, [0.2])[0][1].value == pytest.approx(0.05 * sensitivity - 0.95 * false * 0.25)
    plain, weighted = (curves.calibration_curve(of) for of in (cases(600), one))
    assert all(b.low <= b.value < a.value for (_, a), (_, b) in zip(plain, weighted, strict=True) if 0 < a.value < 1)


def test_a_true_prevalence_that_is_the_prevalence_of_the_cases_changes_no_value() -> None:
    plain = cases(600)
    one = replace(plain, prevalence=float(plain.target.mean()))
    for (name, a), b in zip(
        curves.calibration_measures(plain).items(), curves.calibration_measures(one).values(), strict=True
    ):
        assert a.value == pytest.approx(b.value), name


def test_thresholds_reach_what_they_promise() -> None:
    one = cases()
    for rule, of in (("sensitivity", 1), ("specificity", 0)):
        at = curves.threshold_reaching(rule, 0.9, one.target, one.log_odds)
        called = (one.log_odds >= at) == (of == 1)
        assert called[one.target == of].mean() >= 0.9
    assert curves.threshold_reaching("sensitivity", 0.75, np.ones(4), np.array([1.0, 2, 3, 4])) == 2


@pytest.mark.parametrize("digits", [0, 1, 9])
def test_a_paired_difference_is_that_of_delong(digits: int) -> None:
    """Rounded scores have ties."""
    one = cases(200)
    one = replace(one, log_odds=one.log_odds.round(digits))
    noise = np.random.default_rng(1).normal(size=200)
    other = replace(one, log_odds=(one.log_odds * 0.3 + noise).round(digits))
    value, variance = delong(one.log_odds, other.log_odds, one.target)
    found = paired.paired_difference("auroc", one, other, 0.05)
    assert found.value == pytest.approx(value)
    assert variance_of((one.by_patient["auroc"][1] - other.by_patient["auroc"][1]).values) == pytest.approx(variance)
    assert (found.outcome, found.equivalence) == ("superior", "non-inferior")


@pytest.mark.parametrize("digits", [0, 1, 9])
def test_an_auroc_has_the_variance_of_delong(digits: int) -> None:
    one = cases(200)
    one = replace(one, log_odds=one.log_odds.round(digits))
    half = np.zeros(200)  # a score without information: AUROC 1/2, without variance
    value, variance = delong(one.log_odds, half, one.target)
    area, contributions = one.by_patient["auroc"]
    assert area == pytest.approx(value + 0.5)
    assert variance_of(contributions.values) == pytest.approx(variance)


def test_an_auroc_is_that_of_four_cases_by_hand() -> None:
    """Positives 3 and 2, negatives 2 and 1: pairs 1, 1, 1/2, 1. Placements 1, 3/4 and 3/4, 1: both variances 1/32."""
    one = curves.ScoredCases(np.array([1, 1, 0, 0]), np.array([3.0, 2.0, 2.0, 1.0]), np.arange(4), 0.0)
    value, contributions = one.by_patient["auroc"]
    assert value == 0.875
    assert variance_of(contributions.values) == pytest.approx(1 / 64 + 1 / 64)


def test_a_difference_of_sensitivity_is_the_hand_derived_one() -> None:
    target = np.repeat([1, 0], 10)
    first = curves.ScoredCases(target, np.repeat([1.0, -1.0], [9, 11]), np.arange(20), 0.0)
    second = curves.ScoredCases(target, np.repeat([1.0, -1.0], [7, 13]), np.arange(20), 0.0)
    error = (first.by_patient["sensitivity"][1] - second.by_patient["sensitivity"][1]).error
    assert error**2 == pytest.approx(0.2 * 0.8 / 9)
    alike = paired.paired_difference("specificity", first, second)
    assert (alike.outcome, alike.equivalence) == ("inconclusive", "no margin")


def test_copies_of_patients_do_not_narrow_an_interval() -> None:
    one = cases(100)
    twice = curves.ScoredCases(*(np.repeat(part, 4) for part in (one.target, one.log_odds, one.patient)), 0.0)
    alone, four = (curves.auroc_with_interval(of) for of in (one, twice))
    assert four.high - four.low == pytest.approx(alone.high - alone.low, rel=0.02)


@pytest.mark.parametrize(("gap", "outcome"), [(0.0, "inconclusive"), (1.5, "superior")])
def test_outcome_and_equivalence_are_two_facts(gap: float, outcome: str) -> None:
    one = cases(2000)
    rng = np.random.default_rng(5)
    one, other = (
        curves.ScoredCases(one.target, one.log_odds + rng.normal(size=2000) * noise, one.patient, 0.0)
        for noise in (0.2, 0.2 + gap)
    )
    found = paired.paired_difference("auroc", one, other, 0.05)
    assert (found.outcome, found.equivalence) == (outcome, "non-inferior" if gap else "equivalent")
    if gap:
        back = paired.paired_difference("auroc", other, one, 0.05)
        assert (back.outcome, back.equivalence) == ("inferior", "not shown")
        within = paired.paired_difference("auroc", other, one, 0.5)
        assert (within.outcome, within.equivalence) == ("inferior", "equivalent")


def test_an_auroc_of_1_has_the_exact_bound_of_the_smaller_class() -> None:
    """Clopper and Pearson's lower bound of 20 of 20 patients; of one patient with half of them, of effective ones."""
    target = np.repeat([1, 0], [20, 80])
    perfect = curves.auroc_with_interval(curves.ScoredCases(target, 2.0 * target, np.arange(100), 1.0))
    assert (perfect.value, perfect.low, perfect.high) == (1.0, pytest.approx(0.025 ** (1 / 20)), 1.0)
    none = curves.auroc_with_interval(curves.ScoredCases(target, -2.0 * target, np.arange(100), 1.0))
    assert (none.value, none.low, none.high) == (0.0, 0.0, pytest.approx(1 - 0.025 ** (1 / 20)))
    uneven = np.append(np.repeat(np.arange(11), [10, *[1] * 10]), np.arange(20, 100))
    found = curves.auroc_with_interval(curves.ScoredCases(target, 2.0 * target, uneven, 1.0))
    assert found.low == pytest.approx(0.025 ** (1 / (20**2 / (10**2 + 10))))
    single = curves.auroc_with_interval(
        curves.ScoredCases(target, 2.0 * target, np.append([0] * 20, np.arange(80)), 1.0)
    )
    assert math.isnan(single.low), "of one patient there is no variance"


# Differences of two models, where few patients make most of the difference.

GAP, REVERSED = 1.5, 0.05 * 0.9
"""Distance of the classes, with the threshold in the middle, and share of images that a model calls wrongly."""
AUROC = norm.cdf(GAP / np.sqrt(2))
LOSSES = {
    "auroc": AUROC - (1 - REVERSED) ** 2 * AUROC - 2 * REVERSED * (1 - REVERSED) * norm.cdf(-GAP / 2),
    "specificity": REVERSED * norm.cdf(GAP / 2),
}
"""What the first model loses in `draw_reversed`."""


def draw_reversed(patients: int, seed: int) -> tuple[curves.ScoredCases, curves.ScoredCases]:
    """Return two models on patients of 1 to 80 images; in one of 20 patients the first calls 0.9 of images wrongly."""
    rng = np.random.default_rng(seed)
    images = np.clip(np.exp(rng.normal(1, 1.2, patients)).astype(int) + 1, 1, 80)
    patient = np.repeat(np.arange(patients), images)
    target = (rng.random(patients) < 0.4).astype(int)[patient]
    noise = np.sqrt(0.5) * (rng.normal(size=patients)[patient] + rng.normal(size=len(patient)))
    scores = GAP * (target - 0.5) + noise
    is_reversed = (rng.random(patients) < REVERSED / 0.9)[patient] & (rng.random(len(patient)) < 0.9)
    first = np.where(is_reversed, -2 * GAP * (target - 0.5), scores) + 0.01 * rng.normal(size=len(patient))
    return curves.ScoredCases(target, first, patient, 0.0), curves.ScoredCases(target, scores, patient, 0.0)


def differences(measure: str, patients: int, draws: int) -> list[paired.PairedDifference]:
    """Return differences whose truth is exactly the margin, so that each claim of equivalence is false."""
    pairs = (draw_reversed(patients, seed) for seed in range(draws))
    return [paired.paired_difference(measure, *pair, LOSSES[measure]) for pair in pairs]


def test_losses_in_few_patients_are_as_uncertain_as_rare_events() -> None:
    """The first model alone calls 2 of 400 negatives wrongly, one image a patient; the exact p is that of Poisson."""
    target, patient = np.repeat([0, 1], [400, 100]), np.arange(500)
    second = np.where(target == 1, 1.0, -1.0)
    first = np.where(patient < 2, 1.0, second)
    difference = paired.paired_difference(
        "specificity",
        curves.ScoredCases(target, first, patient, 0.0),
        curves.ScoredCases(target, second, patient, 0.0),
        0.015,
    )
    assert difference.value == pytest.approx(-2 / 400)
    assert difference.noninferiority_p == pytest.approx(poisson.cdf(2, 400 * 0.015), abs=0.01)
    student = t.sf((0.015 - 2 / 400) / np.sqrt(2 / 400 * 398 / 400 / 399), 399)
    assert student < 0.003, "by Student's t it would be equivalent"
    assert difference.equivalence == "not shown"


def test_p_values_agree_with_the_interval_at_every_skew() -> None:
    for seed in range(60):
        first, second = draw_reversed(40, seed)
        for measure in ("auroc", "sensitivity", "specificity"):
            plain = paired.paired_difference(measure, first, second)
            assert np.isnan([plain.noninferiority_p, plain.equivalence_p]).all() or np.isnan(plain.p)
            if np.isnan(plain.p):
                continue
            assert (plain.p < 0.05) == (plain.low > 0 or plain.high < 0)
            if plain.low > -1:
                p = [
                    paired.paired_difference(measure, first, second, way - plain.low).noninferiority_p
                    for way in (-0.001, 0.001)
                ]
                assert p[0] > 0.025 > p[1], "the lower end is the margin at which it is no longer inferior"


@pytest.mark.parametrize(("measure", "patients", "most"), [("auroc", 150, 0.1), ("specificity", 300, 0.08)])
def test_few_reversed_patients_are_rarely_called_equivalent(measure: str, patients: int, most: float) -> None:
    found = differences(measure, patients, 150)
    assert np.mean([one.equivalence == "equivalent" for one in found]) <= most


@pytest.mark.thorough
@pytest.mark.parametrize(("measure", "patients", "most"), [("auroc", 100, 0.1), ("auroc", 400, 0.06)])
def test_few_reversed_patients_are_rarely_called_equivalent_in_many_draws(
    measure: str, patients: int, most: float
) -> None:
    found = differences(measure, patients, 1000)
    assert np.mean([one.equivalence == "equivalent" for one in found]) <= most
    assert np.mean([one.high < -LOSSES[measure] for one in found]) <= 0.025
