"""Two measures of one recipe together: where both may lie, since what moves one may move the other.

Two intervals side by side say nothing of that: a seed whose threshold comes out low finds more lesions and calls more
healthy images. The covariance is that of `variance.covariance`, over the same crossed patients and seeds as either
variance; patients that only one of the two measures rests on add nothing to it.

The region is Hotelling's: with standard errors s, correlation r and df, the lesser of the two degrees of freedom, it
holds the points whose squared distance from the estimate, in the metric of that covariance, is at most
2 df / (df - 1) F(.95; 2, df - 1). Each measure is put on the scale on which its interval is made (see `estimate`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import stats

from assay.stats.estimate import CONFIDENCE, Uncertainty, moved, uncertainty
from assay.stats.panel import Evaluated
from assay.stats.variance import covariance

POINTS = 72
"""Points of an outline: every 5 degrees."""


@dataclass(frozen=True)
class Joint:
    """The 95 % region of two measures: its outline [points, 2], open, with their correlation and degrees of freedom.

    reason: why there is no region; empty where there is one.
    """

    outline: Float[np.ndarray, "points 2"]
    correlation: float
    df: float
    reason: str = ""


def joint(across: Evaluated, up: Evaluated) -> Joint:
    """The region of two measures of one recipe, evaluated over the same seeds. None where either has no interval."""
    sure = uncertainty(across), uncertainty(up)
    reason = sure[0].reason or sure[1].reason
    if not reason and not np.array_equal(across.seeds, up.seeds):
        reason = "the two measures do not rest on the same seeds"
    df = min(sure[0].df, sure[1].df)
    if not reason and df <= 1:
        reason = "too few seeds or patients for two measures together"
    if reason:
        return Joint(np.zeros((0, 2)), math.nan, math.nan, reason)
    correlation = correlated(across, up, sure)
    return Joint(_outline((across, up), sure, correlation, df), correlation, df)


def correlated(across: Evaluated, up: Evaluated, sure: tuple[Uncertainty, Uncertainty]) -> float:
    """The correlation of the errors of two means over seeds, held within -1 .. 1."""
    patients = np.union1d(across.patients, up.patients)
    moves = np.zeros((2, len(across.seeds), len(patients)))
    for k, part in enumerate((across, up)):
        moves[k][:, np.searchsorted(patients, part.patients)] = part.contributions
    shared = covariance(across.values, up.values, moves[0], moves[1])
    return float(np.clip(shared / (sure[0].standard_error * sure[1].standard_error), -1.0, 1.0))


def _outline(
    parts: tuple[Evaluated, Evaluated], sure: tuple[Uncertainty, Uncertainty], correlation: float, df: float
) -> Float[np.ndarray, "points 2"]:
    angle = 2 * np.pi * np.arange(POINTS) / POINTS
    reach = math.sqrt(2 * df / (df - 1) * float(stats.f.ppf(CONFIDENCE, 2, df - 1)))
    steps = np.cos(angle), correlation * np.cos(angle) + math.sqrt(1 - correlation**2) * np.sin(angle)
    outline = [
        [moved(float(part.values.mean()), reach * own.standard_error * float(step), part.bounds) for step in along]
        for part, own, along in zip(parts, sure, steps, strict=True)
    ]
    return np.array(outline).T
