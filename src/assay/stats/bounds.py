"""One-sided bounds of an estimate."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int
from scipy.special import betaincinv, stdtrit

from assay.stats.influence import sum_by_patient
from assay.stats.panel import df_over_patients

ALPHA = 0.05
"""Level of every one-sided bound."""
MARGIN = 0.05
"""The effect from which on one matters: of |g|, of AUROC lost, and of the share of calls that flip."""


@dataclass(frozen=True, slots=True)
class BoundedEstimate:
    """An estimate with its one-sided bounds, each of confidence 1 - `ALPHA`.

    Attributes:
        value: The estimate.
        error: Standard error over patients.
        low: Lower bound.
        high: Upper bound.
        df: Degrees of freedom of the error.

    Examples:
        >>> bounded = BoundedEstimate(value=0.9, error=0.03, low=0.85, high=0.94)
        >>> bounded.low < bounded.value < bounded.high, bounded.df
        (True, inf)
    """

    value: float
    error: float
    low: float
    high: float
    df: float = math.inf


def bounded_share(
    is_counted: Bool[np.ndarray, " n"], patient: Int[np.ndarray, " n"], alpha: float = ALPHA
) -> BoundedEstimate:
    """Compute a share with exact bounds (Clopper and Pearson) at the effective number of images.

    Images of one patient count as fewer: as many as independent ones with the variance over patients, at most as many
    as there are, times (t(n - 1) / t(effective patients - 1))^2, since this variance is uncertain with few patients.
    Where all images agree it is the number of patients. `alpha` is the level of each bound.

    References:
        Clopper and Pearson, "The use of confidence or fiducial limits illustrated in the case of the binomial",
        Biometrika 1934; Korn and Graubard, "Confidence intervals for proportions with small expected number of positive
        counts estimated from survey data", Survey Methodology 1998.

    Examples:
        Nine of ten patients, with one image each:

        >>> bounded = bounded_share(np.arange(10) > 0, np.arange(10), alpha=0.025)
        >>> bounded.value, round(bounded.low, 4), round(bounded.high, 4)
        (0.9, 0.555, 0.9975)

        All of ten patients, with one image each:

        >>> bounded = bounded_share(np.ones(10, dtype=bool), np.arange(10))
        >>> bounded.value, round(bounded.low, 4), bounded.high  # 0.05 ** (1 / 10)
        (1.0, 0.7411, 1.0)
    """
    n, value = len(is_counted), float(np.mean(is_counted))
    parts = sum_by_patient(is_counted - value, patient)
    error, n_effective = 0.0, float(len(parts.samples))
    if value not in (0.0, 1.0) and n_effective > 1:
        error = parts.standard_error / n
        n_effective = min(float(n), value * (1 - value) / error**2 + 1) if error > 1e-12 else n_effective
        n_effective *= float(stdtrit(n - 1, alpha) / stdtrit(df_over_patients(patient), alpha)) ** 2
    hits = value * n_effective
    low = float(betaincinv(hits, n_effective - hits + 1, alpha)) if hits > 0 else 0.0
    return BoundedEstimate(value, error, low, share_upper_bound(hits, n_effective, alpha))


def share_upper_bound(hits: float, size: float, alpha: float = ALPHA) -> float:
    """Compute the upper bound of a share of which a sample of `size` has `hits` (Clopper and Pearson).

    Examples:
        None of twelve:

        >>> round(share_upper_bound(0, 12), 4)  # 1 - 0.05 ** (1 / 12)
        0.2209
    """
    return float(betaincinv(hits + 1, size - hits, 1 - alpha)) if hits < size else 1.0
