"""Variance-based sensitivity: how much of a model's variance each input brings, alone and with all its interactions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True, slots=True)
class SobolIndices:
    """Estimates for d inputs, each with its standard error, and how far the two halves of the samples lie apart.

    first: share of the variance that an input brings by itself, in 0..1 (an estimate may lie slightly below 0).
    total: share that it brings by itself and in interactions; total - first is interaction.
    gap: |half - other half| in units of its standard error, the larger of the two indices.
    """

    first: Float[np.ndarray, " d"]
    first_error: Float[np.ndarray, " d"]
    total: Float[np.ndarray, " d"]
    total_error: Float[np.ndarray, " d"]
    gap: Float[np.ndarray, " d"]


def sobol_indices(values: Float[np.ndarray, " rows"], samples: int) -> SobolIndices | None:
    """Sobol' indices from a model's values on a Saltelli design; None when the values are constant.

    values: (d + 2) x samples, in the order A, B, AB_1 .. AB_d, where AB_i is A with input i taken from B.
    First order after Saltelli et al. (2010), total order after Jansen (1999), on values centred by the mean of A and B,
    as SciPy computes them. Standard errors are of the delta method over samples, the variance in the denominator
    included; they are right for independent draws and err on the wide side for a scrambled Sobol' sequence of 512
    samples or more (with fewer it may be the other way round). Values that vary by less than a millionth of their size
    count as constant.
    """
    a, b, *pages = values.reshape(-1, samples).astype(np.float64)
    ab = np.stack(pages)
    spread = np.concatenate([a, b]).std()
    if spread <= 1e-6 * max(1.0, float(np.abs(values).max())):
        return None
    first, total = _with_influence(a, b, ab)
    gap = np.maximum(*(_gap(a, b, ab, order) for order in (0, 1)))
    return SobolIndices(first[0], _error(first[1]), total[0], _error(total[1]), gap)


Estimate = tuple[np.ndarray, np.ndarray]
"""Values [d] and each sample's influence [d, n] on them, of which the value's error is the mean."""


def _with_influence(a: np.ndarray, b: np.ndarray, ab: np.ndarray) -> tuple[Estimate, Estimate]:
    """First and total order."""
    centre = (a.mean() + b.mean()) / 2
    a, b, ab = a - centre, b - centre, ab - centre
    square = (a**2 + b**2) / 2
    return _ratio(b * (ab - a), square), _ratio((a - ab) ** 2 / 2, square)


def _ratio(part: np.ndarray, whole: np.ndarray) -> Estimate:
    """The ratio of two means, and its first-order expansion per sample."""
    value = part.mean(axis=-1) / whole.mean()
    return value, (part - value[:, None] * whole) / whole.mean()


def _error(influence: np.ndarray) -> np.ndarray:
    return influence.std(axis=-1, ddof=1) / np.sqrt(influence.shape[-1])


def _gap(a: np.ndarray, b: np.ndarray, ab: np.ndarray, order: int) -> np.ndarray:
    """How many standard errors the index of the first half of the samples differs from that of the second."""
    middle = len(a) // 2
    halves = (slice(None, middle), slice(middle, None))
    (one, one_influence), (two, two_influence) = (_with_influence(a[h], b[h], ab[:, h])[order] for h in halves)
    error = np.hypot(_error(one_influence), _error(two_influence))
    return np.abs(one - two) / np.maximum(error, 1e-9)
