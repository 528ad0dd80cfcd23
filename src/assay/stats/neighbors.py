"""Nearest neighbors among rows of features: rows that are nearly the same, and rows far from all others."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int

from assay.stats.metrics import is_varying

NEIGHBORS = 10
"""Neighbors of a row that describe how dense features are around it."""
_DIMENSION_NEIGHBORS = slice(3, NEIGHBORS - 1)
"""Neighbors from which the dimension is estimated: the first few may be copies."""
_EXPECTED_FALSE_ROWS = 0.01
"""Expected number of rows that look like copies where there is none."""
_BLOCK = 1024


def nearest_rows(
    features: Float[np.ndarray, "n d"], patient: Int[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, "n k"], Int[np.ndarray, "n k"]]:
    """Return the distances and positions of the nearest rows of other patients, the nearest first.

    Features are standardized, so that their units do not matter. Distances are Euclidean.

    Args:
        features: A row of numbers for each image.
        patient: The patient of each row; each has at least `NEIGHBORS` rows of others.
    """
    standardized = features[:, is_varying(features)]
    standardized = (standardized - standardized.mean(axis=0)) / standardized.std(axis=0)
    single_precision, squares = standardized.astype(np.float32), (standardized**2).sum(axis=1)
    distances = np.empty((len(standardized), NEIGHBORS))
    positions = np.empty((len(standardized), NEIGHBORS), dtype=np.int64)
    for start in range(0, len(standardized), _BLOCK):
        block = slice(start, start + _BLOCK)
        relative_distances = squares - 2 * (single_precision[block] @ single_precision.T)
        relative_distances[patient[block, None] == patient] = np.inf
        candidates = np.argpartition(relative_distances, NEIGHBORS - 1, axis=1)[:, :NEIGHBORS]
        exact = np.stack(
            [np.linalg.norm(standardized[block] - standardized[column], axis=1) for column in candidates.T], axis=1
        )
        order = np.argsort(exact, axis=1, kind="stable")
        distances[block] = np.take_along_axis(exact, order, axis=1)
        positions[block] = np.take_along_axis(candidates, order, axis=1)
    return distances, positions


def is_near_copy(distances: Float[np.ndarray, "n k"]) -> Bool[np.ndarray, " n"]:
    """Return which rows are far closer to their nearest row than the density around them explains.

    Where rows are spread evenly around a row in m dimensions, the m-th powers of its distances to the nine nearest, in
    units of that to the tenth, are independent and uniform. The dimension is estimated from later neighbors, so that
    copies do not change it: around the row, or as the median over rows where that is more. In a set without copies
    0.01 rows are expected to look like one.

    References:
        Levina and Bickel, "Maximum likelihood estimation of intrinsic dimension", NeurIPS 2004.
    """
    last = np.maximum(distances[:, -1:], np.finfo(np.float64).tiny)
    log_ratios = np.log(last / np.clip(distances[:, :-1], 1e-9 * last, last))
    expected = np.cumsum(1 / np.arange(NEIGHBORS - 1, 0, -1))[::-1]
    inverse_local_dimension = log_ratios[:, _DIMENSION_NEIGHBORS].mean(axis=1) / expected[_DIMENSION_NEIGHBORS].mean()
    inverse_dimension = np.maximum(inverse_local_dimension, np.median(inverse_local_dimension))
    volume = np.exp(-log_ratios[:, 0] / np.maximum(inverse_dimension, 1e-9))
    return (distances[:, 0] == 0) | (1 - (1 - volume) ** (NEIGHBORS - 1) <= _EXPECTED_FALSE_ROWS / len(distances))
