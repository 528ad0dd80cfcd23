"""Rates of collapse, corruption error, and joint tests."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from scipy.special import betaincinv, fdtri, ndtri

from assay.core.reasons import NO_REASON, Code, Reason, reason_of
from assay.stats.estimate import Uncertainty, covariance, shift_on_scale, uncertainty
from assay.stats.metrics import Metric, undefined_metric
from assay.stats.panel import MeasureBySeed
from assay.stats.rows import CONFIDENCE
from assay.stats.unpaired import unpaired_difference

# How often a recipe collapses: an outcome of its own, which no mean over the seeds that were kept may hide.


@dataclass(frozen=True, slots=True)
class Rate:
    """A share of trials with its Clopper-Pearson (1934) interval, which holds its level at any number of trials.

    Examples:
        >>> rate = collapse_rate(2, 10)
        >>> rate.value, rate.low < 0.2 < rate.high, rate.collapsed, rate.trials
        (0.2, True, 2, 10)
    """

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
    seeds = len(a)
    if not seeds:
        nan = float("nan")
        return RateContrast(nan, nan, nan, nan, nan, 0)
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    discordant = only_a + only_b
    tail = sum(math.comb(discordant, k) for k in range(min(only_a, only_b) + 1))
    p = min(1.0, 2 * tail / 2**discordant)
    rate_a, rate_b = ((float(side.mean()), *_wilson(int(side.sum()), seeds)) for side in (a, b))
    return RateContrast(*unpaired_difference(rate_a, rate_b), p, min(1.0, 2.0 ** (1 - seeds)), seeds)


def _wilson(count: int, trials: int) -> tuple[float, float]:
    z = float(ndtri((1 + CONFIDENCE) / 2))
    scale, share = 2 * (trials + z**2), count / trials
    center = (2 * trials * share + z**2) / scale
    reach = z / scale * math.sqrt(4 * trials * share * (1 - share) + z**2)
    return 0.0 if count == 0 else center - reach, 1.0 if count == trials else center + reach


# Corruption error: the loss of a recipe under distortions, relative to that of a baseline.

CORRUPTION, RELATIVE, EVERY = "corruption-error", "relative-corruption-error", "all families"
"""The measures, and what stands in the place of a family where one is the mean over all (mCE, relative mCE)."""
_ERROR, _INCREASE = "distorted-error", "distorted-error-increase"


def corruption_rows(estimates: Sequence[Mapping[str, Any]], axis: str, against: str) -> list[dict[str, Any]]:
    """Make the rows of `corruption-error` and `relative-corruption-error` of every recipe, as those of estimates.

    By family, and their means over families. There is no interval. A recipe without a baseline, or one that lacks a
    severity, gets no row; where a family is undefined or has none the mean is undefined too. So is the relative one
    where the interval of the increase of the baseline's errors contains 0, since the denominator may be 0.

    Args:
        estimates: Rows that hold `distorted-error` and `distorted-error-increase` by severity (`level`) and as the mean
            over severities, means over seeds.
        against: The baseline of a recipe has this value on the axis and all else alike; `group` names it.

    Examples:
        >>> columns = {"environment": "id", "factor": "blur", "level": "1", "measure": "distorted-error", "group": "",
        ...            "low": 0.0}
        >>> rows = [columns | {"recipe": loss, "coordinates": json.dumps({"loss": loss}), "value": value}
        ...         for loss, value in (("supcon", 0.1), ("cross-entropy", 0.2))]
        >>> ratios = corruption_rows(rows, "loss", "cross-entropy")
        >>> {(row["recipe"], row["factor"]): row["value"] for row in ratios}[("supcon", "blur")]  # 0.1 / 0.2
        0.5
    """
    absolute = _ratios(estimates, axis, against, _ERROR, CORRUPTION, Code.BASELINE_WITHOUT_ERROR)
    return absolute + _ratios(estimates, axis, against, _INCREASE, RELATIVE, Code.BASELINE_NOT_WORSE)


def _ratios(
    estimates: Sequence[Mapping[str, Any]], axis: str, against: str, of: str, measure: str, none: Code
) -> list[dict[str, Any]]:
    errors: dict[tuple[str, str, str], dict[str, Mapping[str, Any]]] = {}
    least: dict[tuple[str, str, str], float] = {}
    for row in estimates:
        place = row["coordinates"], row["environment"], row["factor"]
        if row["measure"] == of and row["level"]:
            errors.setdefault(place, {})[row["level"]] = row
        elif row["measure"] == of:
            least[place] = float(row["low"])
    ratios: list[dict[str, Any]] = []
    alone: set[tuple[str, str]] = set()
    for (coordinates, environment, family), rows_by_level in errors.items():
        at: dict[str, str] = json.loads(coordinates)
        below = json.dumps({**at, axis: against}), environment, family
        base = errors.get(below) if axis in at else None
        if base is None or base.keys() != rows_by_level.keys():
            alone.add(_place(next(iter(rows_by_level.values()))))
            continue
        errors_of = [np.array([rows[level]["value"] for level in rows_by_level]) for rows in (rows_by_level, base)]
        value = corruption_error(errors_of[0], errors_of[1], none)
        if value.is_defined and of == _INCREASE and not least.get(below, 1.0) > 0:
            is_known = not math.isnan(least[below])
            value = undefined_metric(Code.BASELINE_NEAR_ZERO if is_known else Code.BASELINE_UNKNOWN)
        ratios.append(
            {**_row(next(iter(rows_by_level.values())), family, f"{axis} {against}", value), "measure": measure}
        )
    return ratios + [
        _mean([ratio for ratio in ratios if _place(ratio) == place], is_complete=place not in alone)
        for place in dict.fromkeys(map(_place, ratios))
    ]


def _place(row: Mapping[str, Any]) -> tuple[str, str]:
    return row["recipe"], row["environment"]


def _mean(rows: Sequence[Mapping[str, Any]], *, is_complete: bool) -> dict[str, Any]:
    """The mean over families; undefined unless the whole of them have a baseline."""
    reason = next((reason_found for row in rows if (reason_found := reason_of(row))), NO_REASON)
    value = Metric(float(np.mean([row["value"] for row in rows])), reason)
    if not is_complete:
        value = undefined_metric(Code.FAMILY_WITHOUT_BASELINE)
    return {**_row(rows[0], EVERY, rows[0]["group"], value), "measure": rows[0]["measure"]}


def _row(like: Mapping[str, Any], family: str, baseline: str, ratio: Metric) -> dict[str, Any]:
    missing = dict.fromkeys(("low", "high", "standard_error", "df", "chance"), float("nan"))
    named = {"factor": family, "level": "", "group": baseline, "unit": "", "direction": "lower"}
    return {**like, **missing, **named, "value": ratio.value, "reason": str(ratio.reason)}


def corruption_error(error: Float[np.ndarray, " s"], baseline: Float[np.ndarray, " s"], none: Code) -> Metric:
    """Compute the corruption error of one family: the sum of errors over severities, over that of the baseline.

    1 is as good as the baseline, 0 is without error. Of several seeds, ratios are made of the means over seeds: a mean
    of ratios of two noisy numbers is biased.

    Args:
        error: Share of images called wrongly at each severity; of the relative error its increase over clean images,
            which is negative where a distortion helps.
        baseline: The same of the baseline.
        none: Reason where the sum of the baseline is not above 0.

    Returns:
        The error; undefined where the baseline's sum is not above 0, or a value is NaN. The mean over families is mCE.

    References:
        Hendrycks and Dietterich, "Benchmarking neural network robustness to common corruptions and perturbations", ICLR
        2019.

    Examples:
        >>> round(corruption_error(np.array([0.1, 0.2]), np.array([0.2, 0.4]), Code.BASELINE_WITHOUT_ERROR).value, 6)
        0.5
        >>> corruption_error(np.array([0.1]), np.array([0.0]), Code.BASELINE_WITHOUT_ERROR).is_defined
        False
    """
    below = float(baseline.sum())
    if np.isnan(error).any() or np.isnan(below):
        return undefined_metric(Code.UNDEFINED_ERROR)
    return Metric(float(error.sum()) / below) if below > 0 else undefined_metric(none)


# The joint region of two measures of one recipe, which are correlated.
#
# Two intervals side by side say nothing of that: a seed whose threshold comes out low finds more lesions and calls more
# healthy images. The covariance is that of `variance.covariance`, over the same crossed patients and seeds as either
# variance; patients that only one of the two measures rests on add nothing to it.
#
# The region is Hotelling's: with standard errors s, correlation r and df, the lesser of the two degrees of freedom, it
# holds the points whose squared distance from the estimate, in the metric of that covariance, is at most
# 2 df / (df - 1) F(0.95; 2, df - 1). Each measure is put on the scale of its interval (see `estimate_panel`).

POINTS = 72
"""Points of an outline: every 5 degrees."""


@dataclass(frozen=True)
class JointRegion:
    """The 95% region of two measures: its outline [points, 2], open, with their correlation and degrees of freedom.

    reason: why there is no region, if so.

    Examples:
        >>> from assay.stats.panel import measure_by_seed
        >>> a, b = (measure_by_seed(np.array(values), np.arange(4))
        ...     for values in ([0.4, 0.5, 0.6, 0.7], [0.5, 0.4, 0.7, 0.6]))
        >>> region = joint(a, b)
        >>> region.outline.mean(axis=0).round(2).tolist()  # around both means
        [0.55, 0.55]
    """

    outline: Float[np.ndarray, "points 2"]
    correlation: float
    df: float
    reason: Reason = NO_REASON


def joint(across: MeasureBySeed, up: MeasureBySeed) -> JointRegion:
    """Compute the 95% region of two measures of one recipe, evaluated over the same seeds (Hotelling's T^2).

    Returns:
        The region; without an outline where either measure has no interval.

    References:
        Hotelling, "The generalization of Student's ratio", Annals of Mathematical Statistics 1931.

    Examples:
        >>> from assay.stats.panel import measure_by_seed
        >>> a, b = (measure_by_seed(np.array(values), np.arange(4))
        ...     for values in ([0.4, 0.5, 0.6, 0.7], [0.5, 0.4, 0.7, 0.6]))
        >>> region = joint(a, b)
        >>> round(region.correlation, 6), round(region.df, 6), region.outline.shape
        (0.6, 3.0, (72, 2))
    """
    sure = uncertainty(across), uncertainty(up)
    reason = sure[0].reason or sure[1].reason
    if not reason and not np.array_equal(across.seeds, up.seeds):
        reason = Reason.of(Code.OTHER_SEEDS)
    df = min(sure[0].df, sure[1].df)
    if not reason and df <= 1:
        reason = Reason.of(Code.TOO_FEW_FOR_TWO)
    if reason:
        return JointRegion(np.zeros((0, 2)), math.nan, math.nan, reason)
    correlation = error_correlation(across, up, sure)
    return JointRegion(_outline((across, up), sure, correlation, df), correlation, df)


def error_correlation(across: MeasureBySeed, up: MeasureBySeed, sure: tuple[Uncertainty, Uncertainty]) -> float:
    """Compute the correlation of the errors of two means over seeds, -1 to 1.

    Examples:
        >>> from assay.stats.panel import measure_by_seed
        >>> a, b = (measure_by_seed(np.array(values), np.arange(4))
        ...     for values in ([0.4, 0.5, 0.6, 0.7], [0.5, 0.4, 0.7, 0.6]))
        >>> round(error_correlation(a, b, (uncertainty(a), uncertainty(b))), 6)  # without patients: that of the seeds
        0.6
    """
    patients = np.union1d(across.patients, up.patients)
    moves = np.zeros((2, len(across.seeds), len(patients)))
    for k, part in enumerate((across, up)):
        moves[k][:, np.searchsorted(patients, part.patients)] = part.contributions
    shared = covariance(across.values, up.values, moves[0], moves[1])
    return float(np.clip(shared / (sure[0].standard_error * sure[1].standard_error), -1.0, 1.0))


def _outline(
    parts: tuple[MeasureBySeed, MeasureBySeed], sure: tuple[Uncertainty, Uncertainty], correlation: float, df: float
) -> Float[np.ndarray, "points 2"]:
    angle = 2 * np.pi * np.arange(POINTS) / POINTS
    reach = math.sqrt(2 * df / (df - 1) * float(fdtri(2, df - 1, CONFIDENCE)))
    steps = np.cos(angle), correlation * np.cos(angle) + math.sqrt(1 - correlation**2) * np.sin(angle)
    outline = [
        [
            shift_on_scale(float(part.values.mean()), reach * uncertainty.standard_error * float(step), part.bounds)
            for step in along
        ]
        for part, uncertainty, along in zip(parts, sure, steps, strict=True)
    ]
    return np.array(outline).T
