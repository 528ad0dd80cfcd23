"""One-sided bounds of an estimate."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import betaincinv, ndtri, stdtrit

from assay.stats.influence import code_patients, correct_small_sample, sum_by_patient
from assay.stats.panel import df_over_patients

ALPHA = 0.05
"""Level of every one-sided bound."""
MARGIN = 0.05
"""The effect from which on one matters: of |g|, of AUROC lost, and of the share of calls that flip."""


_MAX_DF = 1e9
"""Degrees of freedom at which Student's quantiles are the normal ones; infinity is replaced by it."""


def critical_value(df: float, alpha: float) -> float:
    """Return the quantile of Student's t that a one-sided bound of level `alpha` is from its value, in errors.

    Examples:
        >>> round(critical_value(math.inf, 0.05), 4)
        1.6449
    """
    return -float(stdtrit(min(df, _MAX_DF), alpha))


# Skewed contributions.
#
# Where few patients react to a change, a sample often has too few of them. Its estimate and its variance are then both
# too small, and the truth is above an upper bound by Student's t in up to 0.22 of samples (docs/statistics.md). On the
# side to which contributions are skewed, a bound is therefore further away, for two reasons:
#
# - Skewness. With z the normal quantile, g the skewness of the sum of contributions and a = g / 6, the quantile grows
#   by a (1 + 2 z^2) + 4 a^2 (z + 2 z^3): Chen's transform, to first order the inverse of Johnson's. For a count of
#   events that is close to the exact bound of Poisson. The logit takes a part of it (see `curvature_of_logit`).
#   A patient with many images makes a sum skewed by chance, to either side alike: in squares by
#   sum(n^6) / sum(n^2)^3, which does not count.
# - Patients with many images who are not among the few. Squares of the sums of patients know only the numbers of images
#   of those who react in this sample. The variance by one correlation of images within patients, to which each image
#   counts alike, does not. It comes from all patients, so that its quantile is the normal one. The bound that is
#   further away counts.


@dataclass(frozen=True, slots=True)
class Skew:
    """How far the contributions of patients to an estimate are skewed.

    Attributes:
        skewness: Of the sum of contributions c, sum(c^3) / sum(c^2)^1.5, beyond chance. Its sign, which 0 has too, is
            the side to which they are skewed.
        widening: Standard error by the correlation within patients over that by patients, at least 1.

    References:
        Johnson, "Modified t tests and confidence intervals for asymmetrical populations", Journal of the American
        Statistical Association 1978; Chen, "Testing the mean of skewed distributions", same journal 1995; Karlin,
        Cameron and Williams, "Sibling and parent-offspring correlation estimation with variable family size",
        Proceedings of the National Academy of Sciences 1981.
    """

    skewness: float = 0.0
    widening: float = 1.0

    def quantiles(self, df: float, alpha: float, curvature: float = 0.0) -> tuple[float, float]:
        """Return how many standard errors the lower and the upper bound are from the value.

        Args:
            df: Degrees of freedom.
            alpha: Level of each bound.
            curvature: Skewness that the scale of the bounds takes, see `curvature_of_logit`.

        Examples:
            Of two events among many, the exact upper bound of Poisson is (6.296 - 2) / sqrt(2) = 3.04:

            >>> lower, upper = Skew(skewness=2**-0.5).quantiles(math.inf, 0.05)
            >>> round(lower, 3), round(upper, 3)
            (1.645, 2.986)
        """
        student, size, side = critical_value(df, alpha), abs(self.skewness), math.copysign(1.0, self.skewness)
        left = min(size, max(0.0, size + curvature * side))
        z, a = -float(ndtri(alpha)), left / 6
        more = a * (1 + 2 * z**2) + 4 * a**2 * (z + 2 * z**3)
        far = max(student + more, self.widening * (z + more))
        return (student, far) if side > 0 else (far, student)


NO_SKEW = Skew()


def curvature_of_logit(value: float, error: float, bounds: tuple[float, float] = (0.0, 1.0)) -> float:
    """Return the skewness that the logit of the place within bounds takes: 3 error h'' / (2 h'), h being the logit.

    Examples:
        >>> round(curvature_of_logit(0.9, 0.03), 4)  # 1.5 * 0.03 * 0.8 / 0.09
        0.4
        >>> curvature_of_logit(0.5, 0.03)
        0.0
    """
    low, high = bounds
    part = (value - low) / (high - low)
    return 1.5 * error / (high - low) * (2 * part - 1) / (part * (1 - part)) if 0 < part < 1 else 0.0


def skew_of(
    rows: Float[np.ndarray, " n"], patient: Int[np.ndarray, " n"], stratum: Int[np.ndarray, " n"] | None = None
) -> Skew:
    """Return the skew of an estimate.

    Args:
        rows: Contributions of images, not widened.
        patient: Patients.
        stratum: Code of each row, such as its class; below 0 where the estimate does not use it.

    Examples:
        One of four patients reacts, with one image each:

        >>> skew = skew_of(np.array([3.0, -1.0, -1.0, -1.0]) / 16, np.arange(4))
        >>> round(skew.skewness, 4), skew.widening  # 24 / 12^1.5 = 1 / sqrt(3); less 1 / 4^2 in squares
        (0.5204, 1.0)
    """
    codes, place = code_patients(patient)
    stratum = np.zeros(len(rows), dtype=np.int64) if stratum is None else stratum
    widened = correct_small_sample(rows, stratum, patient)
    sums = np.bincount(place, widened, len(codes))
    variance = float((sums**2).sum())
    if not 0 < variance < math.inf:
        return NO_SKEW
    excess = chance = 0.0
    for code in np.flatnonzero(np.bincount(stratum[stratum >= 0])):
        here = stratum == code
        images = np.bincount(place[here], minlength=len(codes)).astype(np.float64)
        plain, squares = (np.bincount(place[here], power, len(codes)) for power in (rows[here], rows[here] ** 2))
        by_patient = float((np.bincount(place[here], widened[here], len(codes)) ** 2).sum())
        chance += (by_patient / variance) ** 3 * float((images**6).sum()) / float((images**2).sum()) ** 3
        has_pairs = images > 1
        if has_pairs.any():
            products = (plain[has_pairs] ** 2 - squares[has_pairs]) / (images[has_pairs] - 1)
            shared = max(0.0, float(products.sum()) / float(images[has_pairs].sum()))
            total, pairs = float(images.sum()), float((images * (images - 1)).sum())
            by_correlation = (float(squares.sum()) + shared * pairs) * total**2 / (total**2 - float((images**2).sum()))
            excess += by_correlation - by_patient
    skewness = float((sums**3).sum()) / variance**1.5
    skewness = math.copysign(math.sqrt(max(0.0, skewness**2 - chance)), skewness)
    return Skew(skewness, math.sqrt(1 + max(0.0, excess) / variance))


@dataclass(frozen=True, slots=True)
class BoundedEstimate:
    """An estimate with its one-sided bounds, each of confidence 1 - `ALPHA`.

    Attributes:
        value: The estimate.
        error: Standard error over patients.
        low: Lower bound.
        high: Upper bound.
        df: Degrees of freedom of the error.
        skew: Skew of the contributions of patients.

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
    skew: Skew = NO_SKEW


def bounded_share(
    is_counted: Bool[np.ndarray, " n"], patient: Int[np.ndarray, " n"], alpha: float = ALPHA
) -> BoundedEstimate:
    """Compute a share with exact bounds (Clopper and Pearson) at the effective number of images.

    Images of one patient count as fewer: as many as independent ones with the variance over patients, at most as many
    as there are, times (t(n - 1) / t(effective patients - 1))^2, since this variance is uncertain with few patients.
    They count as still fewer for the bound to whose side patients are more skewed than independent images.
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
    error, n_effective, scales = 0.0, float(len(parts.samples)), (1.0, 1.0)
    if value not in (0.0, 1.0) and n_effective > 1:
        error = parts.standard_error / n
        n_effective = min(float(n), value * (1 - value) / error**2 + 1) if error > 1e-12 else n_effective
        n_effective *= float(stdtrit(n - 1, alpha) / stdtrit(df_over_patients(patient), alpha)) ** 2
        scales = _exact_share_scales(value, n_effective, skew_of((is_counted - value) / n, patient), alpha)
    of_low, of_high = (n_effective * scale for scale in scales)
    hits = value * of_low
    low = float(betaincinv(hits, of_low - hits + 1, alpha)) if hits > 0 else 0.0
    return BoundedEstimate(value, error, low, share_upper_bound(value * of_high, of_high, alpha))


def _exact_share_scales(value: float, size: float, skew: Skew, alpha: float) -> tuple[float, float]:
    """Return factors of the effective number of images for the lower and the upper bound, at most 1.

    Exact bounds have the skewness of independent images already, whose variance is the wider one of `skew`.
    """
    of_images = (1 - 2 * value) * skew.widening / math.sqrt(size * value * (1 - value))
    images, patients = Skew(of_images).quantiles(math.inf, alpha), skew.quantiles(math.inf, alpha)
    below, above = (min(1.0, a / b) ** 2 for a, b in zip(images, patients, strict=True))
    return below, above


def share_upper_bound(hits: float, size: float, alpha: float = ALPHA) -> float:
    """Compute the upper bound of a share of which a sample of `size` has `hits` (Clopper and Pearson).

    Examples:
        None of twelve:

        >>> round(share_upper_bound(0, 12), 4)  # 1 - 0.05 ** (1 / 12)
        0.2209
    """
    return float(betaincinv(hits + 1, size - hits, 1 - alpha)) if hits < size else 1.0
