"""How far apart a representation holds groups of images."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float, Int

from assay.probes.spectra import Scalar
from assay.probes.uncertainty import clustered_error
from assay.stats.similarity import centred


def separation(
    features: Float[np.ndarray, "n d"], group: Int[np.ndarray, " n"], patient: Int[np.ndarray, " n"]
) -> Scalar:
    """The share of a representation's variance that lies between groups, up to 1: 1 - (W / (n - g)) / (T / (n - 1)).

    W and T are the summed squared distances to the group's mean and to the mean of all, over all units; g counts the
    groups. Corrected for the degrees of freedom that g means take up (Kelley's epsilon squared): without a difference
    its expectation is about 0 whatever n and d, where images are independent, and it may be negative, which is kept.
    Rotation, shift and one scale for all units change nothing.

    group: a code per row, negative where it has none; such rows are left out, and groups of a single image. The error
    is over patients. NaN with fewer than two groups, or where the images that are left are all alike.
    """
    codes, place, counts = np.unique(group, return_inverse=True, return_counts=True)
    rows = ((codes >= 0) & (counts > 1))[place]
    _, place, counts = np.unique(group[rows], return_inverse=True, return_counts=True)
    n, groups = int(rows.sum()), len(counts)
    if groups < 2:
        return Scalar(math.nan, "fewer than two groups have two images", n=n)
    x = centred(features[rows])
    if not x.size:
        return Scalar(math.nan, "the layer is constant", n=n)
    means = np.zeros((groups, x.shape[1]))
    np.add.at(means, place, x)
    means /= counts[:, None]
    own, total = ((x - means[place]) ** 2).sum(axis=1), (x**2).sum(axis=1)
    within, correction = float(own.sum() / total.sum()), (n - 1) / (n - groups)
    influence = -correction * (own - within * total) / total.sum()
    return Scalar(1 - correction * within, "", clustered_error(influence, patient[rows]), n)
