"""How often a recipe collapses: an outcome of its own, which no mean over the seeds that were kept may hide."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool
from scipy import stats

from assay.stats.estimate import CONFIDENCE


@dataclass(frozen=True, slots=True)
class Rate:
    """A share of trials with its Clopper-Pearson (1934) interval, which holds its level at any number of trials."""

    value: float
    low: float
    high: float
    collapsed: int
    trials: int


@dataclass(frozen=True, slots=True)
class RateContrast:
    """The difference of two collapse rates, a - b, over seeds that both recipes ran.

    p: exact McNemar (1947), over the seeds in which only one of the two collapsed; 1 when there is none. min_p is the
    least that so many seeds can reach. low, high: Newcombe's (1998) interval for unpaired shares, wide when the two
    recipes collapse on the same seeds.
    """

    value: float
    low: float
    high: float
    p: float
    min_p: float
    seeds: int


def collapse_rate(collapsed: int, trials: int) -> Rate:
    """How often trials of a recipe collapsed. NaN without a trial; failed trials do not count as trials, those that
    could not start because their source collapsed do.
    """
    if not 0 <= collapsed <= trials:
        raise ValueError(f"{collapsed} of {trials} trials collapsed: give a count within the number of trials")
    if not trials:
        return Rate(float("nan"), float("nan"), float("nan"), 0, 0)
    tail = (1 - CONFIDENCE) / 2
    low = float(stats.beta.ppf(tail, collapsed, trials - collapsed + 1)) if collapsed else 0.0
    high = float(stats.beta.ppf(1 - tail, collapsed + 1, trials - collapsed)) if collapsed < trials else 1.0
    return Rate(collapsed / trials, low, high, collapsed, trials)


def contrast_collapse(a: Bool[np.ndarray, " s"], b: Bool[np.ndarray, " s"]) -> RateContrast:
    """How much oftener recipe a collapsed than b; position i is the same seed in both."""
    if a.shape != b.shape:
        raise ValueError(f"a has {len(a)} seeds and b {len(b)}: give the seeds that both ran, in one order")
    seeds = len(a)
    if not seeds:
        nan = float("nan")
        return RateContrast(nan, nan, nan, nan, nan, 0)
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    p = float(stats.binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0
    value = float(a.mean() - b.mean())
    (low_a, high_a), (low_b, high_b) = (_wilson(int(side.sum()), seeds) for side in (a, b))
    rate_a, rate_b = float(a.mean()), float(b.mean())
    low = value - float(np.hypot(rate_a - low_a, high_b - rate_b))
    high = value + float(np.hypot(high_a - rate_a, rate_b - low_b))
    return RateContrast(value, low, high, p, min(1.0, 2.0 ** (1 - seeds)), seeds)


def _wilson(count: int, trials: int) -> tuple[float, float]:
    found = stats.binomtest(count, trials).proportion_ci(CONFIDENCE, method="wilson")
    return float(found.low), float(found.high)
