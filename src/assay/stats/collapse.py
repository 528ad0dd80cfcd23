"""How often the training of a recipe collapses: a rate with its interval, and the difference of two rates.

Training collapsed if the network gives nearly all images one output or one embedding (`training/collapse.py`). A mean
over the other seeds would hide it, so its rate is an outcome of its own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool
from scipy.special import betaincinv, ndtri

from assay.stats.rows import CONFIDENCE
from assay.stats.unpaired import unpaired_difference


@dataclass(frozen=True, slots=True)
class Rate:
    """A share of trials with its Clopper-Pearson (1934) interval, which holds its level at any number of trials.

    Attributes:
        value: The share.
        low: Lower end of its 95% interval.
        high: Upper end.
        events: Trials that count for the share, such as those that collapsed.
        trials: All trials.

    Examples:
        >>> rate = collapse_rate(2, 10)
        >>> rate.value, rate.low < 0.2 < rate.high, rate.events, rate.trials
        (0.2, True, 2, 10)
    """

    value: float
    low: float
    high: float
    events: int
    trials: int


@dataclass(frozen=True, slots=True)
class RateContrast:
    """The difference of two collapse rates, a - b, over seeds that both recipes ran.

    Attributes:
        value: The difference.
        low: Lower end of Newcombe's (1998) interval for unpaired shares, wide when both collapse on the same seeds.
        high: Upper end.
        p: Exact McNemar (1947) p-value, over the seeds in which only one of the two collapsed; 1 when there is none.
        min_p: The least p-value that so many seeds can reach.
        seeds: Number of seeds.

    Examples:
        >>> difference = contrast_collapse(np.array([True, True, False, True]), np.zeros(4, dtype=bool))
        >>> difference.value, difference.seeds  # 3 of 4 less 0 of 4
        (0.75, 4)
    """

    value: float
    low: float
    high: float
    p: float
    min_p: float
    seeds: int


def collapse_rate(collapsed: int, trials: int) -> Rate:
    """Compute the share of trials of a recipe that collapsed, with its 95% interval.

    Failed trials do not count; those that could not start because their source collapsed do.

    Args:
        collapsed: Trials that collapsed.
        trials: Trials that count.

    Returns:
        The rate; NaN without a trial.

    Raises:
        ValueError: More trials collapsed than there are.

    References:
        Clopper and Pearson, "The use of confidence or fiducial limits illustrated in the case of the binomial",
        Biometrika 1934.

    Examples:
        >>> rate = collapse_rate(0, 10)
        >>> rate.value, rate.low, round(rate.high, 4)  # 1 - 0.025 ** (1 / 10)
        (0.0, 0.0, 0.3085)
    """
    if not 0 <= collapsed <= trials:
        raise ValueError(f"{collapsed} of {trials} trials collapsed: give a count within the number of trials")
    if not trials:
        return Rate(float("nan"), float("nan"), float("nan"), 0, 0)
    tail = (1 - CONFIDENCE) / 2
    low = float(betaincinv(collapsed, trials - collapsed + 1, tail)) if collapsed else 0.0
    high = float(betaincinv(collapsed + 1, trials - collapsed, 1 - tail)) if collapsed < trials else 1.0
    return Rate(collapsed / trials, low, high, collapsed, trials)


def contrast_collapse(a: Bool[np.ndarray, " s"], b: Bool[np.ndarray, " s"]) -> RateContrast:
    """Compute the difference of the collapse rates of two recipes, a - b, with McNemar's exact test.

    Args:
        a: Whether each seed of a collapsed, [s].
        b: The same seeds of b.

    Returns:
        The difference; NaN without a seed.

    Raises:
        ValueError: The numbers of seeds differ.

    References:
        McNemar, "Note on the sampling error of the difference between correlated proportions or percentages",
        Psychometrika 1947; Newcombe, "Interval estimation for the difference between independent proportions",
        Statistics in Medicine 1998.

    Examples:
        >>> a, b = np.array([True, True, False, True]), np.zeros(4, dtype=bool)
        >>> contrast = contrast_collapse(a, b)
        >>> contrast.value, contrast.p, contrast.min_p  # three discordant seeds: 2 / 2**3
        (0.75, 0.25, 0.125)
    """
    if a.shape != b.shape:
        raise ValueError(f"a has {len(a)} seeds and b {len(b)}: give the seeds that both ran, in one order")
    n_seeds = len(a)
    if not n_seeds:
        nan = float("nan")
        return RateContrast(nan, nan, nan, nan, nan, 0)
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    discordant = only_a + only_b
    tail = sum(math.comb(discordant, k) for k in range(min(only_a, only_b) + 1))
    p = min(1.0, 2 * tail / 2**discordant)
    rate_a, rate_b = ((float(side.mean()), *_wilson_interval(int(side.sum()), n_seeds)) for side in (a, b))
    return RateContrast(*unpaired_difference(rate_a, rate_b), p, min(1.0, 2.0 ** (1 - n_seeds)), n_seeds)


def _wilson_interval(count: int, trials: int) -> tuple[float, float]:
    z = float(ndtri((1 + CONFIDENCE) / 2))
    scale, share = 2 * (trials + z**2), count / trials
    center = (2 * trials * share + z**2) / scale
    reach = z / scale * math.sqrt(4 * trials * share * (1 - share) + z**2)
    return 0.0 if count == 0 else center - reach, 1.0 if count == trials else center + reach
