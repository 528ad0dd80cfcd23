"""Corruption error: what distortions cost a recipe, in units of what they cost a baseline."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from assay.stats.scores import Metric, undefined


def corruption_error(error: Float[np.ndarray, " s"], baseline: Float[np.ndarray, " s"]) -> Metric:
    """CE of one family (Hendrycks and Dietterich 2019): the sum of a recipe's errors over severities, over that of the
    baseline. 1 is as good as the baseline, 0 is without error. Undefined where the baseline makes no error.

    error, baseline: share of images called wrongly at each severity (`distorted-error`), in the same order. The mean
    over families is mCE. Of several seeds, ratios are made of the means over seeds, not averaged: a ratio of two noisy
    numbers is biased.
    """
    _alike(error, baseline)
    below = float(baseline.sum())
    if not below > 0:
        return undefined("the baseline makes no error")
    return Metric(float(error.sum()) / below)


def relative_corruption_error(
    error: Float[np.ndarray, " s"], clean: float, baseline: Float[np.ndarray, " s"], baseline_clean: float
) -> Metric:
    """Relative CE of one family: the same of the increase of the error over that on clean images.

    It can be negative where a distortion helps. Undefined where the baseline's error does not increase.
    """
    _alike(error, baseline)
    below = float((baseline - baseline_clean).sum())
    if not below > 0:
        return undefined("the baseline's error does not increase")
    return Metric(float((error - clean).sum()) / below)


def _alike(error: np.ndarray, baseline: np.ndarray) -> None:
    if error.shape != baseline.shape or error.ndim != 1 or not len(error):
        raise ValueError(
            f"errors of shape {error.shape} and of the baseline {baseline.shape}: give one per severity of each"
        )
