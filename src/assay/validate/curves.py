"""Measures and curves of the scores of one model, over patients as clusters. Arrays in, numbers out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped
from scipy.optimize import isotonic_regression
from scipy.special import expit, logit

from assay.core.seeds import generator
from assay.stats.bounds import NO_SKEW, Skew, bounded_share, curvature_of_logit, skew_of
from assay.stats.estimate import patient_degrees_of_freedom, shift_on_scale
from assay.stats.influence import (
    ModelPredictions,
    auroc_influence,
    calibration_slope,
    code_patients,
    effective_number,
    widening,
)
from assay.stats.measures import measure_value
from assay.stats.metrics import equal_mass_bins

# Patients are the unit of all intervals: images of one patient are not independent. A measure comes with one number
# per patient, its contribution (`stats.influence`); the variance is the sum of their squares, and a difference of two
# models on the same patients has the differences of their contributions.
#
# Contributions are widened where patients have many of the cases (`stats.influence.widening`). Degrees of freedom are
# at most those of the effective patients (Kish, 1965): 30 patients of whom one has half of the cases are four. Without
# either, intervals covered 0.76 to 0.89 there (docs/statistics.md, validation).

ALPHA = 0.05
RESAMPLES = 200
"""Draws of patients for the bands of ROC and precision-recall curves."""
GRID = np.linspace(0.0, 1.0, 51)
"""False-positive rates, and recalls, at which curves have points."""
PREVALENCES = np.geomspace(0.005, 0.5, 25)
RISKS = np.linspace(0.02, 0.6, 30)
"""Threshold probabilities of the decision curve."""
BINS = 10


@dataclass(frozen=True, slots=True)
class WithInterval:
    """A value with its interval; the ends are NaN where there is none.

    Attributes:
        value: The estimate; NaN where it is undefined.
        low: Lower end.
        high: Upper end.
        cases: Cases that it rests on.
        patients: Their patients.
    """

    value: float
    low: float
    high: float
    cases: int
    patients: int


@dataclass(frozen=True, eq=False)
class PatientContributions:
    """What each patient contributes to a value, by the set of cases that it comes from.

    Attributes:
        parts: Contributions from each set of cases, such as the positive and the negative ones [k, p].
        effective: Effective patients of each set [k], see `stats.panel.effective_patients`.
        rows: Contributions of cases [n], not widened.
        stratum: Set of each case [n]; below 0 of others.
        patient: Patient of each case [n].
    """

    parts: Float[np.ndarray, "k p"]
    effective: Float[np.ndarray, " k"]
    rows: Float[np.ndarray, " n"]
    stratum: Int[np.ndarray, " n"]
    patient: Int[np.ndarray, " n"]

    def __sub__(self, other: PatientContributions) -> PatientContributions:
        """Return the contributions to the difference of two values of the same cases."""
        return replace(self, parts=self.parts - other.parts, rows=self.rows - other.rows)

    @property
    def values(self) -> Float[np.ndarray, " p"]:
        """Contributions from all sets."""
        return self.parts.sum(axis=0)

    @property
    def skew(self) -> Skew:
        """Skew of the contributions."""
        return skew_of(self.rows, self.patient, self.stratum)

    @property
    def error(self) -> float:
        """Standard error of the value; NaN where a set has one patient."""
        return float(np.sqrt((self.values**2).sum()))

    @property
    def df(self) -> float:
        """Degrees of freedom: those of `stats.estimate`, at most those of the effective patients of each set.

        A set counts by its part of the variance: with 5 positive patients and 500 others, which vary little, 5 count.
        """
        squares = (self.parts**2).sum(axis=1)
        most = float(squares.sum() / (squares / np.maximum(self.effective - 1, 1)).sum())
        return min(float(patient_degrees_of_freedom(self.values, self.parts.shape[1])), max(most, 1.0))


def join_contributions(
    parts: Sequence[tuple[float | Float[np.ndarray, " p"], PatientContributions]],
) -> PatientContributions:
    """Return the contributions to a sum of values of different cases, each times a factor."""
    stratum = np.full(len(parts[0][1].rows), -1, dtype=np.int64)
    for code, (_, contributions) in enumerate(parts):
        stratum[contributions.stratum >= 0] = code
    return PatientContributions(
        np.concatenate([factor * contributions.parts for factor, contributions in parts]),
        np.concatenate([contributions.effective for _, contributions in parts]),
        np.sum([factor * contributions.rows for factor, contributions in parts], axis=0),
        stratum,
        parts[0][1].patient,
    )


@dataclass(frozen=True, eq=False)
class ScoredCases:
    """Scores of one model on n cases.

    Attributes:
        target: 0 or 1 [n].
        log_odds: Scores on a scale with the order and the ties of the file [n].
        patient: Codes of patients [n].
        threshold: On `log_odds`; cases from it on are called positive.
        prevalence: True prevalence where the cases are enriched; NaN where it is that of the cases.
        stated: Probabilities of the file, exactly 0 and 1 among them [n]; None where the scores are log-odds.
    """

    target: Int[np.ndarray, " n"]
    log_odds: Float[np.ndarray, " n"]
    patient: Int[np.ndarray, " n"]
    threshold: float
    prevalence: float = math.nan
    stated: Float[np.ndarray, " n"] | None = None

    @cached_property
    def predictions(self) -> ModelPredictions:
        """The scores as the input of `stats.measures`."""
        return ModelPredictions(self.log_odds[:, None], self.target)

    @cached_property
    def is_positive(self) -> Bool[np.ndarray, " n"]:
        """Cases of the positive class."""
        return self.target == 1

    @cached_property
    def probability(self) -> Float[np.ndarray, " n"]:
        """Probabilities of the positive class."""
        return np.asarray(expit(self.log_odds)) if self.stated is None else self.stated

    @cached_property
    def called(self) -> Bool[np.ndarray, " n"]:
        """Cases that are called positive."""
        return self.log_odds >= self.threshold

    @cached_property
    def patient_places(self) -> Int[np.ndarray, " n"]:
        """Position of each case's patient among all patients."""
        return code_patients(self.patient)[1]

    def select(self, rows: Bool[np.ndarray, " n"]) -> ScoredCases:
        """Return some of the cases."""
        stated = None if self.stated is None else self.stated[rows]
        parts = {name: getattr(self, name)[rows] for name in ("target", "log_odds", "patient")}
        return replace(self, **parts, stated=stated)

    @cached_property
    def base(self) -> float:
        """Prevalence at which probabilities are judged: the true one, or that of the cases."""
        return float(self.target.mean()) if math.isnan(self.prevalence) else self.prevalence

    @cached_property
    def weight(self) -> Float[np.ndarray, " n"]:
        """Weights of cases, 1 on average, with which they have the true prevalence."""
        share = float(self.target.mean())
        return np.where(self.is_positive, self.base / share, (1 - self.base) / (1 - share))

    def rate_with_contributions(
        self, values: Shaped[np.ndarray, " n"], among: Bool[np.ndarray, " n"]
    ) -> tuple[float, PatientContributions]:
        """Return the mean of values, such as correct calls, over some cases, and the contributions of patients."""
        if not among.any():
            return math.nan, self.contributions(np.full(len(among), np.nan), among)
        value = float(values[among].mean())
        return value, self.contributions(np.where(among, values - value, 0.0) / among.sum(), among)

    def contributions(self, influence: Float[np.ndarray, " n"], among: Bool[np.ndarray, " n"]) -> PatientContributions:
        """Return the sums over patients of the influence of some cases, widened; NaN of no or a single patient."""
        rows, stratum = np.where(among, influence, 0.0), np.where(among, 0, -1)
        parts, effective = np.full((1, int(self.patient_places.max()) + 1), np.nan), math.nan
        if among.any():
            cases = np.bincount(self.patient_places, among)
            parts = (np.bincount(self.patient_places, rows) * widening(cases))[None]
            effective = effective_number(cases)
        return PatientContributions(parts, np.array([effective]), rows, stratum, self.patient)

    @cached_property
    def by_patient(self) -> dict[str, tuple[float, PatientContributions]]:
        """Value and contributions of patients of AUROC, sensitivity and specificity."""
        area = measure_value("auroc", self.predictions).value
        rows = np.full(len(self.target), np.nan)
        if not math.isnan(area):
            rows = auroc_influence(*self.predictions.placements, self.target, area)
        sides = self.is_positive, ~self.is_positive
        return {
            "auroc": (area, join_contributions([(1.0, self.contributions(rows, side)) for side in sides])),
            "sensitivity": self.rate_with_contributions(self.called, self.is_positive),
            "specificity": self.rate_with_contributions(~self.called, ~self.is_positive),
        }


# Values.


def count_patients(patient: Int[np.ndarray, " n"]) -> int:
    """Return how many patients there are, from their codes, which are small whole numbers."""
    return int(np.count_nonzero(np.bincount(patient)))


def interval_of(
    value: float,
    contributions: PatientContributions,
    bounds: tuple[float, float],
    alpha: float = ALPHA,
    *,
    is_mean: bool = True,
) -> tuple[float, float]:
    """Return the interval of a value from the contributions of patients.

    Student's t with the effective degrees of freedom of patients, on the logit of the place within the bounds
    (`stats.estimate`). Where contributions are skewed, an end is further away (`stats.bounds.Skew`), but not of a
    function of means (`is_mean`), which can take their skewness or turn it over. NaN where nothing varies, as of an
    AUROC of 1, or from one patient.
    """
    error = contributions.error
    if not error > 1e-12:
        return math.nan, math.nan
    skew = contributions.skew if is_mean else NO_SKEW
    curvature = curvature_of_logit(value, error, bounds) if math.isfinite(bounds[1] - bounds[0]) else 0.0
    below, above = skew.quantiles(contributions.df, alpha / 2, curvature)
    return shift_on_scale(value, -below * error, bounds), shift_on_scale(value, above * error, bounds)


def auroc_with_interval(cases: ScoredCases, alpha: float = ALPHA) -> WithInterval:
    """Compute the AUROC with the interval of DeLong et al. (1988), of Obuchowski (1997) with several images a patient.

    Example: positives score 2 and 3, negatives 1 and 2. Of 4 pairs 3.5 are in order (a tie is a half): 0.875.
    An AUROC of 1 or 0 has no variance, and the exact bound of the class with fewer patients: 0.05 / 2 to the power of
    1 / 20 for 20. Undefined with one class.
    """
    value, contributions = cases.by_patient["auroc"]
    ends = interval_of(value, contributions, (0.0, 1.0), alpha)
    if value in (0.0, 1.0) and contributions.error < math.inf:
        edge = (alpha / 2) ** (1 / float(contributions.effective.min()))
        ends = (edge, 1.0) if value else (0.0, 1 - edge)
    return WithInterval(value, *ends, len(cases.target), len(contributions.values))


def share_with_interval(
    right: Bool[np.ndarray, " n"], patient: Int[np.ndarray, " n"], alpha: float = ALPHA
) -> WithInterval:
    """Compute a share with its exact interval, see `stats.bounds.bounded_share`.

    Example: 90 of 100 cases of 100 patients: 0.9 [0.823, 0.951]. Undefined without cases.
    """
    if not len(right):
        return WithInterval(math.nan, math.nan, math.nan, 0, 0)
    share = bounded_share(right, patient, alpha / 2)
    return WithInterval(share.value, share.low, share.high, len(right), count_patients(patient))


def call_measures(cases: ScoredCases, alpha: float = ALPHA) -> dict[str, WithInterval]:
    """Compute sensitivity, specificity, PPV and NPV of the calls, each a share of some cases.

    Example: 8 of 10 ill and 1 of 10 well are called: 0.8, 0.9, 8/9 and 9/11.
    """
    parts = {
        "sensitivity": (cases.called, cases.is_positive),
        "specificity": (~cases.called, ~cases.is_positive),
        "ppv": (cases.is_positive, cases.called),
        "npv": (~cases.is_positive, ~cases.called),
    }
    return {
        name: share_with_interval(right[among], cases.patient[among], alpha) for name, (right, among) in parts.items()
    }


def predictive_values(cases: ScoredCases, prevalence: float) -> dict[str, WithInterval]:
    """Compute PPV and NPV at a stated prevalence p by Bayes' rule, with sensitivity and specificity of the cases.

    logit PPV = logit p + log(sensitivity) - log(1 - specificity); NPV is that of the other class. The interval is made
    on this scale (Mercaldo et al., 2007); where a rate is 0 or 1 it is that of the corners of the joint exact
    intervals of both rates.

    Example: 0.9 and 0.8 at 0.1: PPV 0.09 / (0.09 + 0.18) = 0.333, NPV 0.72 / (0.72 + 0.01) = 0.986.
    Undefined where no case is called so.
    """
    (sensitivity, by_positive), (specificity, by_negative) = (
        cases.by_patient[name] for name in ("sensitivity", "specificity")
    )
    values: dict[str, WithInterval] = {}
    sides = (
        ("ppv", prevalence, sensitivity, specificity, by_positive, by_negative, ("sensitivity", "specificity")),
        ("npv", 1 - prevalence, specificity, sensitivity, by_negative, by_positive, ("specificity", "sensitivity")),
    )
    for name, prevalence_of_class, rate, other, contributions, other_contributions, (first, second) in sides:
        value = _bayes(prevalence_of_class, rate, other)
        if min(rate, other) > 0 and max(rate, other) < 1:
            low, high = interval_of(
                float(logit(value)),
                join_contributions([(1 / rate, contributions), (1 / (1 - other), other_contributions)]),
                (-math.inf, math.inf),
                is_mean=False,
            )
            ends = float(expit(low)), float(expit(high))
        else:
            joint = call_measures(cases, ALPHA / 2)
            ends = (
                _bayes(prevalence_of_class, joint[first].low, joint[second].low),
                _bayes(prevalence_of_class, joint[first].high, joint[second].high),
            )
        values[name] = WithInterval(value, *ends, len(cases.target), len(by_positive.values))
    return values


def _bayes(prevalence: float, rate: float, other: float) -> float:
    hits, false = prevalence * rate, (1 - prevalence) * (1 - other)
    return hits / (hits + false) if hits + false > 0 else math.nan


def mean_with_interval(
    values: Float[np.ndarray, " n"], cases: ScoredCases, bounds: tuple[float, float] = (-math.inf, math.inf)
) -> WithInterval:
    """Compute the mean of values of cases, with an interval over patients.

    At a true prevalence it is the mean of the positives times the prevalence, plus that of the negatives times the
    rest.
    """
    parts = [(1.0, np.ones(len(values), dtype=bool))]
    if not math.isnan(cases.prevalence):
        parts = [(cases.prevalence, cases.is_positive), (1 - cases.prevalence, ~cases.is_positive)]
    means = [(factor, *cases.rate_with_contributions(values, among)) for factor, among in parts]
    value = sum(factor * mean for factor, mean, _ in means)
    contributions = join_contributions([(factor, rows) for factor, _, rows in means])
    ends = interval_of(value, contributions, bounds)
    return WithInterval(value, *ends, len(values), len(contributions.values))


def calibration_measures(cases: ScoredCases) -> dict[str, WithInterval]:
    """Compute the Brier score, its parts, calibration in the large and the calibration slope of log-odds.

    In the large: mean probability minus share of positives. Slope: of a logistic regression of the class on log-odds;
    below 1, probabilities are too extreme. The Brier score is miscalibration - discrimination + uncertainty, by
    isotonic recalibration of the cases themselves (Dimitriadis et al., 2021); these parts have no interval. At a true
    prevalence all are those of cases that are weighted to it.

    Example: probabilities 0.5 throughout and half positive: 0.25 = 0 - 0 + 0.25. The slope is undefined where the
    score separates the classes.
    """
    p = cases.probability
    brier = mean_with_interval((p - cases.target) ** 2, cases, (0.0, 1.0))
    n, patients = brier.cases, brier.patients
    distinct, fitted = isotonic_fit(cases.log_odds, cases.target, cases.weight)
    squares = (fitted[np.searchsorted(distinct, cases.log_odds)] - cases.target) ** 2
    recalibrated = float(np.average(squares, weights=cases.weight))
    base = float(np.average(cases.target, weights=cases.weight))
    parts = {
        "miscalibration": brier.value - recalibrated,
        "discrimination": base * (1 - base) - recalibrated,
        "uncertainty": base * (1 - base),
    }
    undefined = WithInterval(math.nan, math.nan, math.nan, n, patients)
    measures = {
        "brier": brier,
        **{f"brier-{name}": replace(undefined, value=value) for name, value in parts.items()},
        "calibration-in-the-large": mean_with_interval(p - cases.target, cases),
        "calibration-slope": undefined,
    }
    if slope := calibration_slope(cases.log_odds, cases.target, cases.weight):
        value, rows = slope
        sides = cases.is_positive, ~cases.is_positive  # weights of cases may differ between these
        contributions = join_contributions([(1.0, cases.contributions(rows, side)) for side in sides])
        ends = interval_of(value, contributions, (-math.inf, math.inf), is_mean=False)
        measures["calibration-slope"] = WithInterval(value, *ends, n, patients)
    return measures


def isotonic_fit(
    score: Float[np.ndarray, " n"], target: Int[np.ndarray, " n"], weight: Float[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, " m"], Float[np.ndarray, " m"]]:
    """Return the distinct scores in rising order, and the rising shares of positives that fit them best."""
    distinct, score_number = np.unique(score, return_inverse=True)
    weights = np.bincount(score_number, weight)
    means = np.bincount(score_number, weight * target) / weights
    return distinct, np.asarray(isotonic_regression(means, weights=weights).x)


def threshold_reaching(rule: str, level: float, target: Int[np.ndarray, " n"], score: Float[np.ndarray, " n"]) -> float:
    """Return a threshold: the highest that reaches a sensitivity, or the lowest that reaches a specificity.

    Example: positives at 1, 2, 3 and 4, sensitivity 0.75: threshold 2.
    """
    if rule == "sensitivity":
        ordered = np.sort(score[target == 1])[::-1]
        return float(ordered[max(math.ceil(level * len(ordered) - 1e-9), 1) - 1])
    ordered = np.sort(score[target == 0])
    under = float(ordered[max(math.ceil(level * len(ordered) - 1e-9), 1) - 1])
    above = score[score > under]
    return float(above.min()) if len(above) else float(np.nextafter(under, math.inf))


# Curves: (across, value, low, high) by point.

Curve = list[tuple[float, WithInterval]]


def ranking_curves(cases: ScoredCases) -> tuple[Curve, Curve]:
    """Compute ROC and precision-recall curve with pointwise 95% bands from `RESAMPLES` draws of patients.

    The ROC is the highest sensitivity with at most a false-positive rate, precision is that of the highest threshold
    with at least a recall. Where a curve is 0 or 1 in all draws the band has no width. Undefined with one class.
    """
    order = np.argsort(-cases.log_odds, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(cases.log_odds[order]) != 0, True))
    positive, codes = cases.is_positive[order], cases.patient_places[order]
    above = np.append(0, np.cumsum(positive)[ends])  # positives from each threshold on; the rest of its cases are not
    thresholds = (above, np.append(0, ends + 1) - above)
    by_class = codes[positive], codes[~positive]
    patients = int(codes.max()) + 1
    draw, drawn = generator(0, "curves"), np.empty((RESAMPLES, 2, len(GRID)))
    for at in range(RESAMPLES):
        weights = np.bincount(draw.integers(patients, size=patients), minlength=patients)
        drawn[at] = _points_of_curves(weights, by_class, thresholds)
    low, high = np.nanquantile(drawn, [ALPHA / 2, 1 - ALPHA / 2], axis=0)
    values = _points_of_curves(np.ones(patients, dtype=np.int64), by_class, thresholds)
    roc, precision = (
        [
            (float(x), WithInterval(float(v), float(a), float(b), len(order), patients))
            for x, v, a, b in zip(GRID, values[i], low[i], high[i], strict=True)
        ]
        for i in (0, 1)
    )
    return roc, precision[1:]


def _points_of_curves(
    weights: Int[np.ndarray, " p"],
    by_class: tuple[Int[np.ndarray, " a"], Int[np.ndarray, " b"]],
    thresholds: tuple[Int[np.ndarray, " t"], Int[np.ndarray, " t"]],
) -> Float[np.ndarray, "2 g"]:
    """Return sensitivity at false-positive rates and precision at recalls.

    Args:
        weights: How often each patient is drawn.
        by_class: Places of the patients of positive and of negative cases, in falling order of the score.
        thresholds: How many positive and negative cases are called at each distinct score, from none on.
    """

    def count_drawn(codes: Int[np.ndarray, " k"]) -> Int[np.ndarray, " l"]:
        """Return how many of the first cases are drawn, of none, one, two and so on."""
        return np.append(0, np.cumsum(weights[codes]))

    hits, false = map(count_drawn, by_class)
    called, wrong = thresholds
    if not hits[-1] or not false[-1]:
        return np.full((2, len(GRID)), np.nan)
    most = np.floor(GRID * false[-1] + 1e-9).astype(np.int64)  # whole numbers are looked up among whole numbers
    allowed = np.asarray(np.searchsorted(false, most, side="right"), dtype=np.int64) - 1
    sensitivity = hits[called[np.searchsorted(wrong, allowed, side="right") - 1]] / hits[-1]
    least = np.ceil(np.maximum(GRID * hits[-1] - 1e-9, 1e-9)).astype(np.int64)
    needed = np.asarray(np.searchsorted(hits, least, side="left"), dtype=np.int64)
    at = np.asarray(np.searchsorted(called, needed, side="left"), dtype=np.int64)
    return np.stack([sensitivity, hits[called[at]] / (hits[called[at]] + false[wrong[at]])])


def calibration_curve(cases: ScoredCases) -> Curve:
    """Compute the share of positives by mean probability, in up to ten bins of equal mass, with exact intervals.

    At a true prevalence, weights of the classes multiply the odds of a share and of the ends of its interval.
    """
    p, share_of = cases.probability, float(cases.target.mean())
    bins = equal_mass_bins(p, BINS)
    factor = cases.base / (1 - cases.base) / (share_of / (1 - share_of))

    def weighted(value: float) -> float:
        return value * factor / (value * factor + 1 - value)

    curve: Curve = []
    for code in np.unique(bins):
        rows = bins == code
        interval = share_with_interval(cases.is_positive[rows], cases.patient[rows])
        ends = {name: weighted(getattr(interval, name)) for name in ("value", "low", "high")}
        curve.append((float(np.average(p[rows], weights=cases.weight[rows])), replace(interval, **ends)))
    return curve


def decision_curve(cases: ScoredCases, risks: Sequence[float] | Float[np.ndarray, " k"] = RISKS) -> Curve:
    """Compute the net benefit at threshold probabilities (Vickers and Elkin, 2006), with intervals over patients.

    Net benefit at risk t: TP / n - FP / n * t / (1 - t), in true positives per case. At a true prevalence p it is
    p * sensitivity - (1 - p) * (1 - specificity) * t / (1 - t).

    Example: of 100 cases 30 are true and 10 false positives at 0.2: 0.3 - 0.1 * 0.25 = 0.275.
    """
    p = cases.probability + 1e-9  # a probability on the threshold is called, whatever its last digit
    benefits = [np.where(p >= risk, np.where(cases.is_positive, 1.0, -risk / (1 - risk)), 0.0) for risk in risks]
    return [(float(risk), mean_with_interval(benefit, cases)) for risk, benefit in zip(risks, benefits, strict=True)]


def treat_all(cases: ScoredCases) -> list[tuple[float, float]]:
    """Return the net benefit at threshold probabilities of calling every case positive, down to -0.05."""
    base = cases.base
    points = ((float(risk), base - (1 - base) * risk / (1 - risk)) for risk in RISKS)
    return [(risk, value) for risk, value in points if value >= -0.05]
