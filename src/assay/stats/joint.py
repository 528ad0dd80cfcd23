"""The joint 95% region of two measures of one recipe, which are correlated.

Two separate intervals do not show the correlation: a seed whose threshold is low by chance finds more lesions and calls
more healthy images positive. The covariance is `estimate.covariance`, over the same crossed patients and seeds as
either variance; patients that only one of the two measures rests on add nothing to it.

The region is Hotelling's: with standard errors s, correlation r and df, the lesser of the two degrees of freedom, it
holds the points whose squared distance from the estimate, in the metric of that covariance, is at most
2 df / (df - 1) F(0.95; 2, df - 1). Each measure is put on the scale of its interval (see `estimate_panel`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.special import fdtri

from assay.core.reasons import NO_REASON, Code, Reason
from assay.stats.estimate import Uncertainty, covariance, shift_on_scale, uncertainty
from assay.stats.panel import MeasureBySeed
from assay.stats.rows import CONFIDENCE

OUTLINE_POINTS = 72
"""Points of the outline of a region: every 5 degrees."""


@dataclass(frozen=True)
class JointRegion:
    """The 95% region of two measures.

    Attributes:
        outline: Its outline, [points, 2]; the last point does not repeat the first.
        correlation: Correlation of the errors of the two means.
        df: Degrees of freedom.
        reason: Why there is no region, if so.

    Examples:
        >>> from assay.stats.panel import measure_by_seed
        >>> a, b = (measure_by_seed(np.array(values), np.arange(4))
        ...     for values in ([0.4, 0.5, 0.6, 0.7], [0.5, 0.4, 0.7, 0.6]))
        >>> region = joint_region(a, b)
        >>> region.outline.mean(axis=0).round(2).tolist()  # around both means
        [0.55, 0.55]
    """

    outline: Float[np.ndarray, "points 2"]
    correlation: float
    df: float
    reason: Reason = NO_REASON


def joint_region(x: MeasureBySeed, y: MeasureBySeed) -> JointRegion:
    """Compute the 95% region of two measures of one recipe, evaluated over the same seeds (Hotelling's T^2).

    Returns:
        The region; without an outline where either measure has no interval.

    References:
        Hotelling, "The generalization of Student's ratio", Annals of Mathematical Statistics 1931.

    Examples:
        >>> from assay.stats.panel import measure_by_seed
        >>> a, b = (measure_by_seed(np.array(values), np.arange(4))
        ...     for values in ([0.4, 0.5, 0.6, 0.7], [0.5, 0.4, 0.7, 0.6]))
        >>> region = joint_region(a, b)
        >>> round(region.correlation, 6), round(region.df, 6), region.outline.shape
        (0.6, 3.0, (72, 2))
    """
    uncertainties = uncertainty(x), uncertainty(y)
    reason = uncertainties[0].reason or uncertainties[1].reason
    if not reason and not np.array_equal(x.seeds, y.seeds):
        reason = Reason.of(Code.OTHER_SEEDS)
    df = min(uncertainties[0].df, uncertainties[1].df)
    if not reason and df <= 1:
        reason = Reason.of(Code.TOO_FEW_FOR_TWO)
    if reason:
        return JointRegion(np.zeros((0, 2)), math.nan, math.nan, reason)
    correlation = error_correlation(x, y, uncertainties)
    return JointRegion(_outline((x, y), uncertainties, correlation, df), correlation, df)


def error_correlation(x: MeasureBySeed, y: MeasureBySeed, uncertainties: tuple[Uncertainty, Uncertainty]) -> float:
    """Compute the correlation of the errors of two means over seeds, -1 to 1.

    Examples:
        >>> from assay.stats.panel import measure_by_seed
        >>> a, b = (measure_by_seed(np.array(values), np.arange(4))
        ...     for values in ([0.4, 0.5, 0.6, 0.7], [0.5, 0.4, 0.7, 0.6]))
        >>> round(error_correlation(a, b, (uncertainty(a), uncertainty(b))), 6)  # without patients: that of the seeds
        0.6
    """
    patients = np.union1d(x.patients, y.patients)
    contributions = np.zeros((2, len(x.seeds), len(patients)))
    for i, part in enumerate((x, y)):
        contributions[i][:, np.searchsorted(patients, part.patients)] = part.contributions
    error_covariance = covariance(x.values, y.values, contributions[0], contributions[1])
    return float(
        np.clip(error_covariance / (uncertainties[0].standard_error * uncertainties[1].standard_error), -1.0, 1.0)
    )


def _outline(
    parts: tuple[MeasureBySeed, MeasureBySeed],
    uncertainties: tuple[Uncertainty, Uncertainty],
    correlation: float,
    df: float,
) -> Float[np.ndarray, "points 2"]:
    angle = 2 * np.pi * np.arange(OUTLINE_POINTS) / OUTLINE_POINTS
    radius = math.sqrt(2 * df / (df - 1) * float(fdtri(2, df - 1, CONFIDENCE)))
    directions = np.cos(angle), correlation * np.cos(angle) + math.sqrt(1 - correlation**2) * np.sin(angle)
    outline = [
        [
            shift_on_scale(float(part.values.mean()), radius * error.standard_error * float(step), part.bounds)
            for step in direction
        ]
        for part, error, direction in zip(parts, uncertainties, directions, strict=True)
    ]
    return np.array(outline).T
