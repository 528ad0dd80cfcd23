"""The shape of one representation: its eigenvalues and what they come down to, its units, its intrinsic dimension.

A representation is a matrix [n, d] of finite numbers, a row per image, a column per unit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from assay.stats.similarity import centred, hsic, squared_distances, varying

PERCENTILES = (10.0, 90.0)
"""Of the eigenvalues whose ratio is the robust condition number."""
RESOLUTION = 1e-12
"""Share of the greatest eigenvalue under which one is 0: float32 holds a unit to 6e-8, so its variance no finer."""
KEPT = 0.9
"""Share of the images, those with the smallest ratios of distances, that the intrinsic dimension is fitted to."""
FEWEST_DISTINCT = 20
"""Images with activations of their own that an intrinsic dimension needs."""


@dataclass(frozen=True, slots=True)
class Scalar:
    """A number, its standard error where it has one, or NaN with the reason.

    n: the images that it rests on, where not all do.
    """

    value: float
    reason: str = ""
    error: float = math.nan
    n: int | None = None


def eigenvalues(features: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " d"]:
    """The eigenvalues of the units' covariance (n - 1 in the denominator), greatest first.

    As many as there are units: those beyond the rank of n - 1 images, of constant units, and under 1e-12 of the
    greatest, are 0.
    """
    n, d = features.shape
    x = features[:, varying(features)].astype(np.float64)
    x -= x.mean(axis=0)
    found = np.zeros(d)
    rank = min(n - 1, x.shape[1])
    if rank > 0:
        values = np.linalg.eigvalsh(x.T @ x if x.shape[1] <= n else x @ x.T)[::-1][:rank] / (n - 1)
        found[:rank] = np.where(values > RESOLUTION * values[0], values, 0.0)
    return found


def effective_rank(values: Float[np.ndarray, " d"]) -> float:
    """The exponential of the entropy of the square roots of the eigenvalues, as shares of their sum (Roy and Vetterli
    2007): from 1 to the number of eigenvalues that are not 0. NaN where all are.
    """
    return _exponential_entropy(np.sqrt(values), 0.0)


def rankme(features: Float[np.ndarray, "n d"]) -> float:
    """RankMe as published (Garrido et al. 2023): as `effective_rank`, of the singular values of the activations without
    centring, 1e-7 being added to each share. Units that answer all images alike count there, as one dimension.
    """
    x = features.astype(np.float64)
    values = np.linalg.eigvalsh(x.T @ x if x.shape[1] <= len(x) else x @ x.T)
    return _exponential_entropy(np.sqrt(np.maximum(values, 0.0)), 1e-7)


def _exponential_entropy(sizes: np.ndarray, offset: float) -> float:
    if not sizes.any():
        return math.nan
    shares = sizes / sizes.sum() + offset
    shares = shares[shares > 0]
    return float(np.exp(-(shares * np.log(shares)).sum()))


def participation_ratio(features: Float[np.ndarray, "n d"]) -> float:
    """(sum of eigenvalues)^2 over the sum of their squares, in dimensions: k where k directions vary alike, from 1 on.

    The plain ratio cannot exceed n - 1 and is far below the truth with fewer images than units. Here the sum of squares
    is estimated without bias (`similarity.hsic` of the representation with itself). NaN where all images lie equally
    far apart, or are fewer than 4.
    """
    if len(features) < 4 or not centred(features).size:
        return math.nan
    x = centred(features)
    squares = hsic(x, x)
    trace = len(x) / (len(x) - 1)  # of the covariance: rows have a mean square of 1
    return trace**2 / squares if squares > RESOLUTION * trace**2 else math.nan


def condition(values: Float[np.ndarray, " d"]) -> Scalar:
    """The greatest eigenvalue over the least, from 1 on. NaN where the least is 0: it would be infinite."""
    return _ratio(values, float(values[-1]), float(values[0]), "the least eigenvalue is 0")


def condition_percentiles(values: Float[np.ndarray, " d"]) -> Scalar:
    """The 90th percentile of the eigenvalues over the 10th, from 1 on: what a single dead direction does not decide."""
    low, high = (float(np.percentile(values, percentile)) for percentile in PERCENTILES)
    return _ratio(values, low, high, "the 10th percentile of the eigenvalues is 0")


def _ratio(values: np.ndarray, low: float, high: float, zero: str) -> Scalar:
    nonzero = int(np.count_nonzero(values))
    if low > 0:
        return Scalar(high / low)
    return Scalar(math.nan, f"{zero}: {nonzero} of {len(values)} directions vary")


def components(values: Float[np.ndarray, " d"], share: float = 0.9) -> int:
    """How many of the greatest eigenvalues bear this share of the variance; 0 where there is none."""
    total = float(values.sum())
    return int(np.count_nonzero(np.cumsum(values) < share * total * (1 - 1e-12))) + 1 if total > 0 else 0


def kurtosis(features: Float[np.ndarray, "n d"]) -> float:
    """The excess kurtosis of a unit over the images, mean over the units that vary: 0 for normal ones, high for units
    that answer few images. The estimator G2, without bias for normal units. NaN under 4 images or if none varies.
    """
    n = len(features)
    x = centred(features)
    if n < 4 or not x.size:
        return math.nan
    excess = n * (x**4).sum(axis=0) / (x**2).sum(axis=0) ** 2 - 3
    return float(((n - 1) / ((n - 2) * (n - 3)) * ((n + 1) * excess + 6)).mean())


def intrinsic_dimension(features: Float[np.ndarray, "n d"]) -> Scalar:
    """The dimension of the surface on which the images lie, by their two nearest neighbours (TwoNN, Facco et al. 2017).

    The logarithm of the ratio of the two distances is exponential with the dimension as its rate. The tenth of the
    images with the largest ratios is counted as censored, and the rate estimated without bias from the rest; the
    published fit of a line leaves the same tenth out. The error is d / sqrt(m - 2) for m images kept, ratios taken as
    independent; since they share neighbours, it comes out too small: on 5 dimensions by a fifth at 200 images and by a
    third at 1,000. Images with the very same activations count once. A thousand images lie too thinly above some 5
    dimensions: on spheres of 10 and 20 it comes out at 9.3 and 17. NaN with under 20 distinct images, or where no ratio
    differs from 1.
    """
    distinct = np.unique(features, axis=0)
    n = len(distinct)
    x = centred(distinct)
    if n < FEWEST_DISTINCT or not x.size:
        return Scalar(math.nan, f"{n} distinct images, at least {FEWEST_DISTINCT} are needed", n=n)
    near = _two_nearest(x)
    if not near[:, 0].all():
        return Scalar(math.nan, "images differ by no more than rounding", n=n)
    logs = np.sort(np.log(near[:, 1] / near[:, 0]))
    kept = int(KEPT * n)
    total = float(logs[:kept].sum() + (n - kept) * logs[kept - 1])
    if total < 1e-9 * n:
        return Scalar(math.nan, "all images lie equally far apart", n=n)
    value = (kept - 1) / total
    return Scalar(value, "", value / math.sqrt(kept - 2), n)


def _two_nearest(x: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n 2"]:
    """Distances to the two nearest, taken anew from the differences: from squares they would be rounded off."""
    distances = squared_distances(x)
    np.fill_diagonal(distances, np.inf)
    places = np.argpartition(distances, 2, axis=1)[:, :3]
    exact = np.stack([np.linalg.norm(x - x[place], axis=1) for place in places.T], axis=1)
    return np.sort(exact, axis=1)[:, :2]
