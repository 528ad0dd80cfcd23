"""Detectable differences of a contrast: from a measured standard error, or from assumptions before anything has run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.special import gammaincinv, ndtr, ndtri, stdtrit

from assay.core.seeds import generator
from assay.stats.compare import Contrast, Correction
from assay.stats.estimate import degrees_of_freedom, limit_df, moderate_variances
from assay.stats.rows import ALPHA

POWER = 0.8
DRAWS = 4000
"""Contrasts that `difference_with_power` draws."""
_STEPS, _CLOSE = 100, 1e-14
"""Steps of a root at most, and the change of it, relative to its bound, after which it stands."""
RANKING_MEASURES = ("auroc", "auroc-macro", "auroc-top-mean", "auroc-area")
POSITIVE_CLASS_MEASURES = ("sensitivity", "dice", "iou", "pixel-precision", "pixel-recall")
NEGATIVE_CLASS_MEASURES = (
    "specificity",
    "false-positive-rate",
    "false-positive-area",
    "left-empty",
    "false-positive-rate-at-80",
    "false-positive-rate-at-90",
    "false-positive-rate-at-95",
)
ALL_IMAGE_MEASURES = ("accuracy", "dice-one", "dice-zero", "dice-smoothed")
"""Shares and means between 0 and 1 over the images of a class, or of all."""


@cache
def difference_with_power(
    between: float,
    within: float,
    seeds: int,
    df_patients: float,
    group: int = 1,
    family: int = 1,
    correction: Correction = "holm",
    power: float = POWER,
    df_between: float = float("inf"),
    alpha: float = ALPHA,
) -> float:
    """Compute the difference that contrasts of a design find with this power, on average, at Holm's first step.

    The rule of the tests (`estimate.moderate_variances`, `estimate.limit_df`) has no closed form. It is applied to
    drawn values of seeds, of recipes with a common reference and all of one spread. NaN where nothing varies.

    A `between` that was estimated is too small as often as too large, and what is too small costs more power than what
    is too large gains. With `df_between`, the power is the mean over true values that could have given the estimate.

    Args:
        between: The seeds' part of the variance of a contrast.
        within: The rest of it, estimated with `df_patients`.
        seeds: How many there are, at least 2.
        group: Contrasts of a pooling group. Beyond 8 they count as 8, which changes the result by little.
        family: Contrasts of the family.
        correction: How the family is corrected; in a fixed order, each at the full level.
        power: Power on average.
        df_between: Degrees of freedom of `between`; infinite where it is known or assumed.
        alpha: Level of the family.

    Examples:
        A standard error of 0.02 over 10 seeds, known with 9 degrees of freedom:

        >>> round(difference_with_power(0.0004, 0.0, 10, float("inf")), 3)  # about (2.26 + 0.88) * 0.02
        0.063
        >>> difference_with_power(0.0, 0.0, 10, 99.0)
        nan
    """
    if not between + within > 0:
        return float("nan")
    group_size = min(group, 8)
    rng = generator(0, "reachable", seeds, group_size)
    normal = rng.normal(size=(-(-DRAWS // group_size), group_size + 1, seeds))
    true_variances = np.full(len(normal), between)
    if np.isfinite(df_between):
        chi2 = 2 * gammaincinv(df_between / 2, (np.arange(len(normal)) + 0.5) / len(normal))
        true_variances = between * df_between / chi2
    values = (normal[:, 1:] - normal[:, :1]) * np.sqrt(true_variances * seeds / 2)[:, None, None]
    seed_variances, df_seeds = moderate_variances(values.var(axis=-1, ddof=1), np.full(group_size, seeds), values)
    patient_variances = (
        within
        if np.isinf(df_patients)
        else within * rng.chisquare(df_patients, size=seed_variances.shape) / df_patients
    )
    df = limit_df(
        degrees_of_freedom(seed_variances, seed_variances + patient_variances, df_seeds, df_patients),
        seeds,
        group,
        family,
    )
    level = alpha / family if correction == "holm" else alpha
    critical = -stdtrit(df, level / 2) * np.sqrt(seed_variances + patient_variances)
    standard_errors = np.sqrt(true_variances + within)[:, None]

    low, high = 0.0, float((critical + 10 * standard_errors).max())
    difference = float(critical.mean() + ndtri(power) * standard_errors.mean())
    for _ in range(_STEPS):  # Newton's method, halving the interval where it would leave it
        z = (difference - critical) / standard_errors
        shortfall, slope = float(ndtr(z).mean()) - power, float((np.exp(-(z**2) / 2) / standard_errors).mean())
        low, high = (difference, high) if shortfall < 0 else (low, difference)
        step = shortfall / slope * np.sqrt(2 * np.pi) if slope > 0 else np.inf
        following = difference - step if low < difference - step < high else (low + high) / 2
        if abs(following - difference) <= _CLOSE * high:
            return float(following)
        difference = following
    return difference


def group_degrees_of_freedom(seeds: int, group: int) -> float:
    """Compute the degrees of freedom of the mean variance over seeds of contrasts with a common reference.

    All have the same standard deviation over seeds.

    (S - 1) tr(C)^2 / tr(C^2), where C has 2 on its diagonal and 1 elsewhere.

    Examples:
        >>> group_degrees_of_freedom(5, 1), group_degrees_of_freedom(5, 2)  # 4, and 4 * 8 / 5
        (4.0, 6.4)
    """
    return (seeds - 1) * 4 * group / (group + 3)


def detectable_difference_of(
    contrasts: Sequence[Contrast], family: int, correction: Correction = "holm", alpha: float = ALPHA
) -> float:
    """Return the detectable difference of contrasts of one kind: one figure for all, from the mean of their variances.

    The least of several noisy standard errors would promise too much, and so would a variance over few seeds that is
    taken as known. Other pooling groups count for nothing in its degrees of freedom: their values may be of the same
    models. NaN where none has a variance.

    Args:
        contrasts: The contrasts; the seeds' part of their variance is taken without moderation.
        family: Contrasts of their family, of this kind or another.
        correction: How the family is corrected.
        alpha: Level of the family.

    Examples:
        >>> from assay.stats.compare import linear_contrast
        >>> from assay.stats.panel import measure_by_seed
        >>> seeds = np.arange(5)
        >>> parts = [measure_by_seed(np.array([-2, -1, 0, 1, 2]) * sd, seeds) for sd in (0.01, 0.02)]
        >>> contrasts = [linear_contrast([part], np.ones(1)) for part in parts]
        >>> steady, both, unsteady = contrasts[:1], contrasts, contrasts[1:]
        >>> differences = [detectable_difference_of(some, 1) for some in (steady, both, unsteady)]
        >>> differences == sorted(differences)
        True
        >>> detectable_difference_of([], 1)
        nan
    """
    testable = [
        (contrast.combined, contrast.components, contrast.group)
        for contrast in contrasts
        if contrast.combined is not None and contrast.components is not None
    ]
    if not testable:
        return float("nan")
    between = float(np.mean([combined.values.var(ddof=1) / len(combined.values) for combined, _, _ in testable]))
    within = float(np.mean([max(0.0, float(spread.patients - spread.residual)) for _, spread, _ in testable]))
    seeds = round(float(np.median([len(combined.values) for combined, _, _ in testable])))
    group = round(float(np.median([size for _, _, size in testable])))
    df_patients = float(np.median([float(spread.df_patients) for _, spread, _ in testable]))
    df = group_degrees_of_freedom(seeds, group)
    return difference_with_power(
        between, within, seeds, df_patients, group, family, correction, df_between=df, alpha=alpha
    )


@dataclass(frozen=True, slots=True)
class Assumptions:
    """Assumptions about power before anything has run. Defaults come from small trials of the phantom study.

    Attributes:
        value: Expected AUROC or share.
        seed_sd: Standard deviation of the paired difference over seeds of one training each.
        correlation: Correlation of two recipes' contributions of the same patient.

    Examples:
        Seeds that differ by more need a larger difference:

        >>> steady, unsteady = (Assumptions(seed_sd=sd) for sd in (0.02, 0.1))
        >>> reached = [detectable_difference(5, 100, 100, "auroc", assumed) for assumed in (steady, unsteady)]
        >>> reached[0] < reached[1]
        True
    """

    value: float = 0.8
    seed_sd: float = 0.05
    correlation: float = 0.5


def patients_behind(name: str, positives: int, negatives: int) -> int | None:
    """Return the number of patients behind a measure, given those of either class.

    Returns:
        The number; 0 where it has none, and None where a plan cannot know it: a distance, an error without an upper
        end, images or lesions that only outputs decide on.

    Examples:
        >>> [patients_behind(name, 30, 70) for name in ("sensitivity", "auroc", "accuracy")]
        [30, 100, 100]
        >>> patients_behind("auroc", 0, 70), patients_behind("dice", 0, 200)
        (0, 0)
        >>> patients_behind("log-loss", 30, 70) is None
        True
    """
    if name in RANKING_MEASURES:
        return positives + negatives if min(positives, negatives) else 0
    parts = {**dict.fromkeys(POSITIVE_CLASS_MEASURES, positives), **dict.fromkeys(NEGATIVE_CLASS_MEASURES, negatives)}
    return {**parts, **dict.fromkeys(ALL_IMAGE_MEASURES, positives + negatives)}.get(name)


def detectable_difference(
    seeds: int,
    positives: int,
    negatives: int,
    name: str,
    assumed: Assumptions | None = None,
    family: int = 1,
    folds: int = 1,
    group: int = 1,
    correction: Correction = "holm",
    alpha: float = ALPHA,
) -> float:
    """Compute the difference that a contrast detects at 80% power, with so many seeds and patients of either class.

    With folds a seed's value is the mean of as many trainings, taken as independent.

    Args:
        seeds: Number of seeds.
        positives: Patients of the positive class.
        negatives: Patients of the negative class.
        name: The measure.
        assumed: Expected value, spread over seeds and correlation of recipes.
        family: Contrasts of the family.
        folds: Number of folds.
        group: Contrasts of the pooling group.
        correction: Correction of the family.
        alpha: Level of the family.

    Returns:
        The difference; NaN under 3 seeds, under 2 patients of a class where the measure ranks one above the other,
        under 2 patients behind it otherwise, and where `patients_behind` is None.

    Examples:
        >>> few, many = (detectable_difference(5, n, n, "auroc") for n in (50, 200))
        >>> round(few, 2), round(many, 2)
        (0.15, 0.1)
        >>> detectable_difference(2, 50, 50, "auroc")  # under 3 seeds
        nan
    """
    patients = patients_behind(name, positives, negatives)
    fewest = min(positives, negatives) if name in RANKING_MEASURES else patients
    if patients is None or fewest is None or seeds < 3 or fewest < 2:
        return float("nan")
    assumptions = assumed or Assumptions()
    single = patient_variance(assumptions.value, positives, negatives, name)
    between, within = assumptions.seed_sd**2 / (seeds * folds), 2 * single * (1 - assumptions.correlation)
    return difference_with_power(between, within, seeds, patients - 1, group, family, correction, alpha=alpha)


def patient_variance(value: float, positives: int, negatives: int, name: str) -> float:
    """Compute the variance over patients of a measure of one model, with one image per patient, at this true value A.

    Of an AUROC [A (1 - A) + (m - 1) (A / (2 - A) - A^2) + (n - 1) (2 A^2 / (1 + A) - A^2)] / (m n), with m positives
    and n negatives; of a share A (1 - A) / n, which is also the most that a mean between 0 and 1 can have.

    Raises:
        ValueError: The patients behind the measure are not known, see `patients_behind`.

    References:
        Hanley and McNeil, "The meaning and use of the area under a receiver operating characteristic (ROC) curve",
        Radiology 1982.

    Examples:
        >>> round(patient_variance(0.8, 50, 50, "sensitivity"), 6)  # 0.8 * 0.2 / 50
        0.0032
        >>> round(patient_variance(0.5, 10, 10, "auroc"), 6)  # (n + m + 1) / (12 n m)
        0.0175
    """
    count = patients_behind(name, positives, negatives)
    if not count:
        raise ValueError(f"no patients are known behind '{name}' of {positives} and {negatives}")
    if name in RANKING_MEASURES:
        q1, q2 = value / (2 - value), 2 * value**2 / (1 + value)
        rank_variance = (positives - 1) * (q1 - value**2) + (negatives - 1) * (q2 - value**2)
        return (value * (1 - value) + rank_variance) / (positives * negatives)
    return value * (1 - value) / count
