"""Contribution of each patient to a measure."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped
from scipy.special import expit

from assay.core.reasons import Reason
from assay.core.types import Contributions
from assay.stats.metrics import (
    Metric,
    brier_losses,
    calibration_pairs,
    class_score,
    count_calls_by_score,
    equal_mass_bins,
    log_losses,
    placements,
    predicted_classes,
    probabilities,
    undefined_probability_reason,
    undefined_ranking_reason,
)

# How much each image moves a metric: the ground on which variances over patients stand.
#
# A contribution is the derivative of the metric with respect to the image's weight (the infinitesimal jackknife,
# Jaeckel 1972): the error of an estimate is nearly the sum of its contributions, and its variance over patients the sum
# of the squares of the patients' contributions. Before they are widened they sum to zero.
#
# Measures (`assay.stats.measures`) give them per image, already widened (see `widening`): by sqrt(g / (g - 1)) where a
# mean in the metric runs over g patients with equally many images. For AUROC with one image a patient their squares
# then sum to the variance of DeLong et al. (1988); with several images a patient, to that of Obuchowski (1997) up to
# the order of 1 / g. They are NaN where g is 1: no variance can be had from one patient.


def widening(images: Shaped[np.ndarray, " p"]) -> Float[np.ndarray, " p"]:
    """Return the factors of the contributions of patients with so many images: sqrt(n / (n - images)), of n in all.

    A patient with many of the images pulls the value toward its own, so that its contribution is too small (the CR2
    correction of Bell and McCaffrey, 2002). Of g patients with equally many it is sqrt(g / (g - 1)). NaN where a
    patient has all.

    Examples:
        >>> widening(np.array([1, 1, 2])).round(4).tolist()  # sqrt(4 / 3), and sqrt(4 / 2)
        [1.1547, 1.1547, 1.4142]
    """
    others = images.sum() - images
    return np.sqrt(images.sum() / np.where(others > 0, others, np.nan))


def effective_number(images: Shaped[np.ndarray, " p"]) -> float:
    """Return the effective number of patients with so many images, see `panel.effective_patients`; 0 without images.

    Examples:
        >>> effective_number(np.array([3, 1]))  # 16 / 10
        1.6
    """
    numbers = np.asarray(images, dtype=np.float64)
    return float(numbers.sum() ** 2 / (numbers**2).sum()) if numbers.any() else 0.0


def sum_by_patient(influence: Float[np.ndarray, "n"], patient: Int[np.ndarray, "n"]) -> Contributions:
    """Return the contributions of patients to an estimate whose error is the sum of `influence` over images.

    The sum of a patient's influence, widened (see `widening`), an image's influence being already divided by the number
    of images. With one image per patient and a mean the standard error is s / sqrt(n). NaN under two patients.

    Examples:
        >>> parts = sum_by_patient(np.array([1.0, -1.0, 3.0, -3.0]) / 4, np.array([0, 1, 2, 3]))
        >>> round(parts.standard_error, 4)  # s / sqrt(n), sqrt(20 / 3 / 4)
        1.291
        >>> sum_by_patient(np.array([0.5, -0.5]), np.array([7, 7])).values.tolist()
        [nan]
        >>> sum_by_patient(np.ones(3), np.zeros(3, dtype=np.int64)).standard_error  # of one patient
        nan
    """
    samples, position = _unique_patients(patient)
    return Contributions(samples, widening(np.bincount(position)) * np.bincount(position, influence))


@dataclass(frozen=True)
class ModelPredictions:
    """Predictions of one model on n images, and the rules by which it calls a class.

    Attributes:
        logits: [n, k]; k = 1 is the positive class alone.
        target: Class codes, [n].
        threshold: On the positive probability, one for all rows or one per row.
        fold: Fold whose model predicted, [n]; None without folds.
        maps: Of a segmentation the columns of each image's map (docs/reference/maps.md), and `operating` [n, levels],
            the logits at which its model reaches each level of sensitivity on validation lesions; empty otherwise.
        grade_cutoff: First class that counts as positive where grades are cut in two.
        specificity_log_odds: Log-odds of being at or above the cutoff at which the model reaches each of the
            `measures.grades.SPECIFICITIES` on validation images, [n, levels].
        class_names: Names of the classes, for reasons.

    Examples:
        >>> predictions = ModelPredictions(logits=np.array([[0.0, 2.0], [1.0, 0.0]]), target=np.array([1, 0]))
        >>> predictions.n_classes, predictions.is_finite
        (2, True)
    """

    logits: Float[np.ndarray, "n k"]
    target: Int[np.ndarray, " n"]
    threshold: float | Float[np.ndarray, " n"] = 0.5
    fold: Int[np.ndarray, " n"] | None = None
    maps: Mapping[str, np.ndarray] = field(default_factory=dict[str, np.ndarray])
    grade_cutoff: int = 1
    specificity_log_odds: Float[np.ndarray, "n levels"] | None = None
    class_names: tuple[str, ...] = ()
    influences: dict[str, tuple[np.ndarray, tuple[Metric, np.ndarray]]] = field(
        init=False, repr=False, compare=False, default_factory=dict[str, tuple[np.ndarray, tuple[Metric, np.ndarray]]]
    )
    """Known results of `measures.value_and_contributions` by measure, each with its patients."""

    @property
    def n_classes(self) -> int:
        """How many classes the model tells apart."""
        return max(self.logits.shape[-1], 2)

    @cached_property
    def is_finite(self) -> bool:
        """Whether all logits are finite."""
        return bool(np.isfinite(self.logits).all())

    @cached_property
    def probability(self) -> Float[np.ndarray, "n c"]:
        """Class probabilities."""
        return probabilities(self.logits)

    @cached_property
    def score(self) -> Float[np.ndarray, " n"]:
        """Log-odds of the positive class."""
        return class_score(self.logits)

    @cached_property
    def predicted(self) -> Int[np.ndarray, " n"]:
        """Class codes as called."""
        return predicted_classes(self.probability, self.threshold)

    @cached_property
    def brier_losses(self) -> Float[np.ndarray, " n"]:
        """Squared errors of each row's probabilities, see `metrics.brier_losses`."""
        return brier_losses(self.probability, self.target)

    @cached_property
    def log_losses(self) -> Float[np.ndarray, " n"]:
        """Minus the log-probability of each row's class, see `metrics.log_losses`."""
        return log_losses(self.logits, self.target)

    @cached_property
    def calls_by_score(self) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
        """Rows called positive at each row's score, and those called rightly, see `metrics.count_calls_by_score`."""
        return count_calls_by_score(self.score, self.target, self.fold)

    @cached_property
    def calibration_gaps(self) -> tuple[Float[np.ndarray, " n"], Int[np.ndarray, " n"]]:
        """Claimed less actual outcome of each row, and its bin of equal mass, see `metrics.calibration_pairs`."""
        claimed, came = calibration_pairs(self.probability, self.target)
        return claimed - came, equal_mass_bins(claimed)

    @cached_property
    def ranking_reason(self) -> Reason:
        """Why a ranking of two classes is undefined, see `metrics.undefined_ranking_reason`."""
        return undefined_ranking_reason(self.score, self.target)

    @cached_property
    def class_reason(self) -> Reason:
        """Why a measure of class probabilities is undefined, see `metrics.undefined_probability_reason`."""
        return undefined_probability_reason(self.logits, self.target)

    @cached_property
    def placements(self) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
        """Placements of the rows of two classes by their score, see `metrics.placements`."""
        return placements(self.score, self.target, self.fold)


PerImage = Float[np.ndarray, " n"]
Patients = Int[np.ndarray, " n"]


def auroc_influence(
    right: Float[np.ndarray, "*s n"],
    opposite: Float[np.ndarray, "*s n"],
    target: Int[np.ndarray, " n"],
    value: float | Float[np.ndarray, "*s 1"] | None = None,
) -> Float[np.ndarray, "*s n"]:
    """Compute contributions to AUROC from placements, before widening: (right - AUROC opposite) / pairs.

    Args:
        right: See `metrics.placements`; leading axes are batches.
        opposite: See `metrics.placements`.
        target: 0 or 1, [n].
        value: The AUROC, where it is known.

    References:
        DeLong, DeLong and Clarke-Pearson, "Comparing the areas under two or more correlated ROC curves", Biometrics
        1988.

    Examples:
        >>> score, target = np.array([0.1, 0.4, 0.35, 0.8]), np.array([0, 0, 1, 1])
        >>> auroc_influence(*placements(score, target), target).tolist()
        [0.125, -0.125, -0.125, 0.125]
    """
    positive = target == 1
    pairs = opposite[..., positive].sum(axis=-1, keepdims=True)
    auroc = right[..., positive].sum(axis=-1, keepdims=True) / pairs if value is None else value
    return (right - auroc * opposite) / pairs


def mean_influence(
    values: Shaped[np.ndarray, " n"], mean: float, among: Bool[np.ndarray, " n"], patient: Patients
) -> Float[np.ndarray, " n"]:
    """Compute contributions to a mean over some rows: their residuals over their number.

    Examples:
        >>> values = np.array([1.0, 0.0, 1.0])
        >>> among = np.array([True, True, False])
        >>> mean_influence(values, 0.5, among, np.arange(3)).round(4).tolist()  # 0.5 / 2 sqrt(2 / 1)
        [0.3536, -0.3536, 0.0]
    """
    rows = np.where(among, values - mean, 0.0) / among.sum()
    return correct_small_sample(rows, np.where(among, 0, -1), patient)


@dataclass
class _CodedPatients:
    patient: Patients
    content: Patients
    codes: tuple[Int[np.ndarray, " p"], Int[np.ndarray, " n"]]
    factors: dict[bytes, Float[np.ndarray, " n"]] = field(default_factory=dict[bytes, np.ndarray])


_MAX_STRATA = 16
"""Strata whose factors are kept for the same patients."""
_RECENTLY_CODED: deque[_CodedPatients] = deque(maxlen=16)


def code_patients(patient: Patients) -> tuple[Int[np.ndarray, " p"], Int[np.ndarray, " n"]]:
    """Return the patients in ascending order, and the place of each row's patient among them.

    The same array is coded once, unless its values change: every measure of every model asks for that of its images.

    Examples:
        >>> patients, position = code_patients(np.array([30, 10, 30]))
        >>> patients.tolist(), position.tolist()
        ([10, 30], [1, 0, 1])
    """
    return _coded_patients(patient).codes


def _coded_patients(patient: Patients) -> _CodedPatients:
    for entry in _RECENTLY_CODED:
        if entry.patient is patient and np.array_equal(entry.content, patient):
            return entry
    entry = _CodedPatients(patient, np.array(patient), _unique_patients(patient))
    _RECENTLY_CODED.append(entry)
    return entry


def _unique_patients(patient: Patients) -> tuple[Int[np.ndarray, " p"], Int[np.ndarray, " n"]]:
    """Return what `np.unique` does, with the inverse; small whole numbers, as codes are, are counted and not sorted."""
    if not len(patient) or patient.min() < 0 or patient.max() > _MAX_CODES_PER_ROW * len(patient):
        return np.unique(patient, return_inverse=True)
    is_present = np.bincount(patient) > 0
    return np.flatnonzero(is_present), (np.cumsum(is_present) - 1)[patient]


_MAX_CODES_PER_ROW = 8
"""Codes up to so many times the number of rows are counted."""


def correct_small_sample(
    rows: Float[np.ndarray, "*s n"], stratum: Int[np.ndarray, " n"], patient: Patients
) -> np.ndarray:
    """Multiply contributions by the `widening` of the row's patient in its stratum.

    They are NaN where a stratum has one patient.

    Args:
        rows: Contributions [..., n].
        stratum: Code of each row, below 0 where the metric does not use it, which gives 0.
        patient: Patients [n].

    Examples:
        Stratum 0 has two patients, stratum 1 a single one, and the last row is unused:

        >>> corrected = correct_small_sample(np.ones(4), np.array([0, 0, 1, -1]), np.array([1, 2, 3, 4]))
        >>> corrected.round(4).tolist()  # sqrt(2)
        [1.4142, 1.4142, nan, 0.0]
    """
    encoded = _coded_patients(patient)
    key = stratum.tobytes()
    if key not in encoded.factors:
        encoded.factors[key] = _small_sample_factors(stratum, encoded.codes[1])
        if len(encoded.factors) > _MAX_STRATA:
            del encoded.factors[next(iter(encoded.factors))]
    return rows * encoded.factors[key]


def _small_sample_factors(stratum: Int[np.ndarray, " n"], position: Int[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    factor = np.zeros(len(stratum))
    for code in np.flatnonzero(np.bincount(stratum[stratum >= 0])):
        is_in_stratum = stratum == code
        factor[is_in_stratum] = widening(np.bincount(position[is_in_stratum]))[position[is_in_stratum]]
    return factor


def calibration_in_the_large(
    probability: Float[np.ndarray, " n"], target: Int[np.ndarray, " n"]
) -> tuple[float, Float[np.ndarray, " n"]]:
    """Return the mean probability less the share of positives, and each image's contribution to it.

    Examples:
        >>> value, rows = calibration_in_the_large(np.full(4, 0.5), np.array([0, 0, 0, 1]))
        >>> value, rows.tolist()  # 0.5 - 0.25
        (0.25, [0.0625, 0.0625, 0.0625, -0.1875])
    """
    difference = np.asarray(probability) - target
    value = float(difference.mean())
    return value, (difference - value) / len(target)


def calibration_slope(
    log_odds: Float[np.ndarray, " n"], target: Int[np.ndarray, " n"], weight: Float[np.ndarray, " n"] | None = None
) -> tuple[float, Float[np.ndarray, " n"]] | None:
    """Return the slope of a logistic regression of the class on log-odds, and each image's contribution to it.

    A slope below 1 means that probabilities are too extreme.

    Returns:
        None where there is no finite slope: one class, one score, or classes that the score separates.

    References:
        Van Calster et al., "Calibration: the Achilles heel of predictive analytics", BMC Medicine 2019.

    Examples:
        Log-odds of log(3) at which 3 of 4 images are positive, and of -log(3) at which 1 of 4 is:

        >>> odds, target = np.repeat([np.log(3), -np.log(3)], 4), np.array([1, 1, 1, 0, 0, 0, 0, 1])
        >>> slope, rows = calibration_slope(odds, target)
        >>> round(slope, 6)
        1.0
        >>> calibration_slope(np.array([-1.0, 1.0]), np.array([0, 1])) is None  # separated
        True
    """
    logistic = logistic_fit(log_odds, target, weight)
    return (float(logistic[0][1]), logistic[1][1]) if logistic else None


def logistic_fit(
    log_odds: Float[np.ndarray, " n"], target: Shaped[np.ndarray, " n"], weight: Float[np.ndarray, " n"] | None = None
) -> tuple[Float[np.ndarray, "2"], Float[np.ndarray, "2 n"]] | None:
    """Fit a logistic regression of the class, or of its probability, on log-odds.

    Args:
        log_odds: Scores.
        target: Classes, or probabilities of the positive class.
        weight: Weights of the images; by default all are 1.

    Returns:
        Intercept and slope, and each image's contribution to both; None where there is no finite fit.

    Examples:
        >>> odds, target = np.repeat([np.log(3), -np.log(3)], 4), np.array([1, 1, 1, 0, 0, 0, 0, 1])
        >>> coefficients, contributions = logistic_fit(2 * odds, target)
        >>> coefficients.round(6).tolist()  # twice as extreme, and half the slope
        [0.0, 0.5]
    """
    if not np.isfinite(log_odds).all():
        return None
    design = np.stack([np.ones(len(target)), np.asarray(log_odds)], axis=1)
    mass = np.ones(len(target)) if weight is None else weight
    coefficients = np.zeros(2)
    for _ in range(_NEWTON_STEPS):
        expected = expit(design @ coefficients)
        bread = design.T @ (design * (mass * (expected * (1 - expected)))[:, None])
        if np.linalg.cond(bread) > 1 / _MIN_RECIPROCAL_CONDITION:
            return None
        residual = mass * (target - expected)
        step = np.linalg.solve(bread, design.T @ residual)
        coefficients = coefficients + step
        if np.abs(step).max() < 1e-10 * max(1.0, float(np.abs(coefficients).max())):
            return coefficients, np.linalg.solve(bread, (design * residual[:, None]).T)
    return None


_NEWTON_STEPS, _MIN_RECIPROCAL_CONDITION = 50, 1e-12
"""Steps of Newton's method, and the reciprocal condition below which there is no slope."""
