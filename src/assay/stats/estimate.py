"""Estimates with intervals over crossed patients and seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy import special

from assay.core.reasons import NO_REASON, Code, Reason
from assay.stats.panel import MeasureBySeed, SeedPredictions, evaluate
from assay.stats.rows import CONFIDENCE, MIN_SEEDS, Row, with_id

# One variance over crossed patients and seeds, its degrees of freedom, and the interval made of them.
#
# Each seed's model sees each patient, so a mean over seeds varies with both. With values v[s] per seed and
# contributions c[s, p] of patients (see `influence`), S seeds and P patients:
#
#     A = var(v) / S                                   between seeds, which holds the residual once
#     B = sum_p mean_s(c)^2                            between patients, which holds it once more
#     E = sum_sp (c - mean_s(c))^2 / (S (S - 1))       the residual alone
#     variance = max(A + B - E, A, B)
#
# This is the two-way random-effects variance of the mean (mean squares of seeds + patients - residual, over S P), and
# the two-way clustered one; the maximum keeps each component from being negative.
#
# Degrees of freedom weigh the seeds' share of the variance, w = A / variance:
#
#     1 / df = w / (S - 1) + (1 - w) / D        D = min(P - 1, 3 B^2 / sum_p mean_s(c)^4 - 1), at least 1
#
# With fewer than `FEW_PATIENTS` effective patients and uneven numbers of images, D is at most their number less 1.
#
# Satterthwaite (1946) has the squares of the shares in place of the shares. With 3 seeds a share that is small by
# chance then promises tens of degrees of freedom: a family of four true null hypotheses was rejected in a tenth of
# simulated studies. docs/statistics.md has the simulation, docs/decisions/ the rejected options.


PRIOR_DF = 4
"""Degrees of freedom that the mean variance of a pooling group counts for (see `moderate_variances`)."""
FEW_SEEDS = 5
"""With fewer seeds, a contrast that is alone in its pooling group has no more degrees of freedom than its seeds."""


@dataclass(frozen=True)
class VarianceComponents:
    """The variance of a mean over seeds and its components; one or a batch.

    Attributes:
        variance: The variance.
        df: Its degrees of freedom.
        seeds: A, between seeds.
        patients: B, between patients.
        residual: E, the residual.
        df_patients: Degrees of freedom of B.
    """

    variance: Float[np.ndarray, "*w"]
    df: Float[np.ndarray, "*w"]
    seeds: Float[np.ndarray, "*w"]
    patients: Float[np.ndarray, "*w"]
    residual: Float[np.ndarray, "*w"]
    df_patients: Float[np.ndarray, "*w"]


def two_way(values: Float[np.ndarray, "*w s"], contributions: Float[np.ndarray, "*w s p"]) -> VarianceComponents:
    """Compute the variance of the mean over seeds of `values`. Leading axes are a batch. At least 2 seeds.

    Where nothing varies the variance is 0 and the degrees of freedom are NaN.

    Examples:
        Three seeds without patients: the variance of their mean is 0.01 / 3.

        >>> components = two_way(np.array([0.1, 0.2, 0.3]), np.zeros((3, 0)))
        >>> round(float(components.variance), 6), round(float(components.df), 6)
        (0.003333, 2.0)
    """
    seeds, patients = contributions.shape[-2:]
    a = values.var(axis=-1, ddof=1) / seeds
    b = (contributions.mean(axis=-2) ** 2).sum(axis=-1)
    e = ((contributions**2).sum(axis=(-2, -1)) - seeds * b) / (seeds * (seeds - 1))
    return _combine_components(a, b, e, seeds - 1, patient_degrees_of_freedom(contributions.mean(axis=-2), patients))


def patient_degrees_of_freedom(mean: Float[np.ndarray, "*w p"], patients: int | Int[np.ndarray, "*w"]) -> np.ndarray:
    """Compute the degrees of freedom of the patients' part of a variance, from contributions that are means over seeds.

    A sum of squares over P patients has P - 1 degrees of freedom only where the patients matter alike. Few patients of
    a class, or many images of a few, leave fewer: 3 B^2 / sum(c^4) - 1, which is P - 1 for normal contributions.

    Examples:
        >>> float(patient_degrees_of_freedom(np.ones(100), 100))  # 3 * 100^2 / 100 - 1, at most 99
        99.0
        >>> float(patient_degrees_of_freedom(np.array([1.0, 1.0, 0.0, 0.0]), 4))  # 3 * 2^2 / 2 - 1, at most 3
        3.0
        >>> float(patient_degrees_of_freedom(np.array([1.0, 0.0, 0.0, 0.0]), 4))  # 3 - 1
        2.0
    """
    square = mean**2
    b, fourth = square.sum(axis=-1), (square**2).sum(axis=-1)
    most = np.maximum(np.asarray(patients) - 1.0, 1.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(fourth > 0, np.clip(3 * b**2 / fourth - 1, 1.0, most), most)


def _combine_components(
    a: np.ndarray, b: np.ndarray, e: np.ndarray, df_seeds: np.ndarray | int, df_patients: np.ndarray
) -> VarianceComponents:
    variance = np.maximum(a + b - e, np.maximum(a, b))
    return VarianceComponents(variance, degrees_of_freedom(a, variance, df_seeds, df_patients), a, b, e, df_patients)


def replace_seed_variance(
    components: VarianceComponents, seeds: Float[np.ndarray, "*w"], df_seeds: Float[np.ndarray, "*w"]
) -> VarianceComponents:
    """Return the same spread with another seeds' part and its degrees of freedom (see `moderate_variances`).

    Examples:
        >>> components = two_way(np.array([0.1, 0.2, 0.3]), np.zeros((3, 0)))
        >>> again = replace_seed_variance(components, np.array(0.01), np.array(6.0))
        >>> float(again.variance), round(float(again.df), 6)
        (0.01, 6.0)
    """
    return _combine_components(seeds, components.patients, components.residual, df_seeds, components.df_patients)


def moderate_variances(
    variances: Float[np.ndarray, "*w m"], seeds: Int[np.ndarray, " m"], shared_values: Float[np.ndarray, "*w m s"]
) -> tuple[Float[np.ndarray, "*w m"], Float[np.ndarray, "*w m"]]:
    """Compute the seeds' part of the variances of a pooling group of m contrasts, and its degrees of freedom.

    A variance that is small by chance is drawn toward the mean of its group, which counts as `PRIOR_DF` degrees of
    freedom. One that is larger than the result stays as it is, with its own degrees of freedom.

    Args:
        variances: The variance of one seed's value in each contrast.
        seeds: The number of seeds of each contrast.
        shared_values: The values of the seeds that all contrasts share; they give the covariance C of the group, by
            which the moderated variance has (S - 1) tr(C)^2 / tr(C^2) degrees of freedom, at most PRIOR_DF + S - 1.

    Examples:
        Two contrasts of 3 seeds with variances of 1 and 3: (4 * 2 + 2 * 1) / 6 = 5 / 3 is larger than 1, and 3 stays.

        >>> values = np.array([[-1.0, 0.0, 1.0], [-3**0.5, 0.0, 3**0.5]])
        >>> seeds, df = moderate_variances(np.array([1.0, 3.0]), np.array([3, 3]), values)
        >>> (3 * seeds).round(3).tolist(), df.round(3).tolist()
        ([1.667, 3.0], [2.0, 2.0])
    """
    df_own = seeds - 1.0
    pooled = (PRIOR_DF * variances.mean(axis=-1, keepdims=True) + df_own * variances) / (PRIOR_DF + df_own)
    centered = shared_values - shared_values.mean(axis=-1, keepdims=True)
    gram = np.swapaxes(centered, -1, -2) @ centered  # its traces are those of C
    squares = (gram**2).sum(axis=(-2, -1))
    with np.errstate(invalid="ignore", divide="ignore"):
        rank = np.where(squares > 0, np.trace(gram, axis1=-2, axis2=-1) ** 2 / squares, 1.0)
    df_group = np.maximum((shared_values.shape[-1] - 1) * rank, df_own.min())[..., None]
    larger = pooled > variances
    df = np.where(larger, np.minimum(PRIOR_DF + df_own, df_group), df_own)
    return np.where(larger, pooled, variances) / seeds, df


def limit_df(
    df: Float[np.ndarray, "*w"], seeds: int | Int[np.ndarray, "*w"], group: int, family: int
) -> Float[np.ndarray, "*w"]:
    """Limit degrees of freedom to those of the seeds where seeds are few and no other contrast moderates their part.

    A variance over seeds that is small by chance would otherwise count with the degrees of freedom of the patients.
    With 3 seeds, a family of 8 contrasts of which each is alone then makes a claim in 0.10 of worlds in which nothing
    differs, a family of 32 in 0.19 (docs/statistics.md, families of many comparisons).

    Args:
        df: Degrees of freedom of the variance of a contrast.
        seeds: The seeds of the contrast.
        group: Contrasts of its pooling group.
        family: Contrasts of its family, those without a test included.

    Examples:
        >>> float(limit_df(np.array(40.0), 3, group=1, family=8)), float(limit_df(np.array(40.0), 3, group=4, family=8))
        (2.0, 40.0)
        >>> limit_df(np.array([1.5, 40.0]), 3, group=1, family=4).tolist()  # never more than there are
        [1.5, 2.0]
        >>> [limit_df(np.array(40.0), *more).tolist() for more in ((3, 2, 4), (3, 1, 1), (5, 1, 4), (4, 1, 4))]
        [40.0, 40.0, 40.0, 3.0]
    """
    few = (np.asarray(seeds) < FEW_SEEDS) & (group == 1) & (family > 1)
    return np.where(few, np.minimum(df, np.asarray(seeds) - 1.0), df)


def covariance(
    a: Float[np.ndarray, " s"],
    b: Float[np.ndarray, " s"],
    contributions_a: Float[np.ndarray, "s p"],
    contributions_b: Float[np.ndarray, "s p"],
) -> float:
    """Compute the covariance of the means of two measures over the same seeds: A + B - E, each of products for squares.

    Args:
        a: Values of a measure by seed, [s].
        b: Values of another.
        contributions_a: Contributions of patients to `a`, [s, p]; 0 where it does not rest on a patient.
        contributions_b: Contributions of the same patients to `b`.

    Examples:
        >>> a, b = np.array([0.1, 0.2, 0.3]), np.array([0.3, 0.2, 0.1])
        >>> round(covariance(a, b, np.zeros((3, 1)), np.zeros((3, 1))), 6)  # without patients: -0.01 / 3
        -0.003333
    """
    seeds = len(a)
    between_seeds = float(np.cov(a, b)[0, 1]) / seeds
    between_patients = float(contributions_a.mean(axis=0) @ contributions_b.mean(axis=0))
    residual = (float((contributions_a * contributions_b).sum()) - seeds * between_patients) / (seeds * (seeds - 1))
    return between_seeds + between_patients - residual


def degrees_of_freedom(
    seeds: Float[np.ndarray, "*w"],
    variance: Float[np.ndarray, "*w"],
    df_seeds: float | Float[np.ndarray, "*w"],
    df_patients: float | Float[np.ndarray, "*w"],
) -> Float[np.ndarray, "*w"]:
    """Compute degrees of freedom, 1 / (w / df_seeds + (1 - w) / df_patients) with w = seeds / variance.

    Args:
        seeds: The seeds' part of the variance.
        variance: The variance; degrees of freedom are NaN where it is 0.
        df_seeds: Degrees of freedom of the seeds' part.
        df_patients: Degrees of freedom of the rest.

    Examples:
        >>> float(degrees_of_freedom(np.array(1.0), np.array(2.0), 2.0, 10.0).round(4))  # 1 / (0.5 / 2 + 0.5 / 10)
        3.3333
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.minimum(seeds / variance, 1.0)
        return 1 / (share / df_seeds + (1 - share) / df_patients)  # infinite where only parts with infinite df vary


# One value over seeds and patients, with the interval that both allow.
#
# Intervals of a bounded measure are made on the logit of its place within its range (the log where only one end is
# finite) and carried back, so that they cannot leave it: near an end the plain interval runs over the edge, and covers
# 0.89 where it should cover 0.95 (docs/statistics.md).

VARIANCE_ROUNDING = 1e-24
"""A variance up to this is what sums of equal numbers leave: nothing varied."""


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds with its 95% interval over seeds and patients.

    reason: why there is no value, or no interval; empty where there are both. per_seed: [seeds], the dots of a figure.

    Examples:
        Three seeds that all call the same 15 of 20 patients right:

        >>> target = np.arange(20) % 2
        >>> scores = np.where(np.arange(20) < 15, 1.0, -1.0) * (2 * target - 1)
        >>> panel = SeedPredictions(np.tile(scores[:, None], (3, 1, 1)), target, np.arange(20))
        >>> estimate = estimate_panel(panel, "accuracy")
        >>> estimate.value, estimate.seeds, estimate.patients, 0.4 < estimate.low < 0.75 < estimate.high < 1
        (0.75, 3, 20, True)
    """

    value: float
    low: float
    high: float
    standard_error: float
    df: float
    seeds: int
    patients: int
    images: int
    per_seed: Float[np.ndarray, " s"]
    reason: Reason = NO_REASON


@dataclass(frozen=True, slots=True)
class Uncertainty:
    """The standard error of a mean over seeds and its degrees of freedom, or NaN and why there is none.

    Attributes:
        components: Parts of the variance, where there is a variance.

    Examples:
        >>> from assay.stats.panel import measure_by_seed
        >>> result = uncertainty(measure_by_seed(np.array([0.1, 0.2, 0.3]), np.arange(3)))
        >>> round(result.standard_error, 4), result.df  # 0.1 / sqrt(3)
        (0.0577, 2.0)
    """

    standard_error: float
    df: float
    reason: Reason = NO_REASON
    components: VarianceComponents | None = None


def estimate_panel(panel: SeedPredictions, name: str) -> Estimate:
    """Estimate a measure of one recipe in one environment.

    The estimate is the mean over seeds, with a 95% interval over seeds and patients.

    Returns:
        The estimate; without an interval under 3 seeds, where nothing varied, and from a single patient (or a single
        one of a class).

    Raises:
        SpecError: No measure has this name.

    Examples:
        Three seeds with 2, 3 and 4 of 4 images called right:

        >>> target = np.array([0, 1, 0, 1])
        >>> scores = np.where(target == 1, 1.0, -1.0) * np.array([[-1, -1, 1, 1], [-1, 1, 1, 1], [1, 1, 1, 1]])
        >>> result = estimate_panel(SeedPredictions(scores[:, :, None], target, np.arange(4)), "accuracy")
        >>> result.value, result.per_seed.tolist(), result.seeds, result.patients
        (0.75, [0.5, 0.75, 1.0], 3, 4)
    """
    return estimates(panel, [name])[0]


def estimates(panel: SeedPredictions, names: Sequence[str]) -> list[Estimate]:
    """Return several measures of one recipe in one environment, see `estimate_panel`.

    Examples:
        >>> panel = SeedPredictions(np.ones((3, 4, 1)), np.array([0, 1, 1, 1]), np.arange(4))  # all called positive
        >>> [result.value for result in estimates(panel, ["accuracy", "sensitivity", "specificity"])]
        [0.75, 1.0, 0.0]
    """
    parts = [evaluate(panel, name) for name in names]
    return [_estimate_measure(part, error) for part, error in zip(parts, uncertainties(parts), strict=True)]


def _estimate_measure(part: MeasureBySeed, error: Uncertainty) -> Estimate:
    value = float("nan") if part.reason else float(part.values.mean())
    low, high = interval(value, error.standard_error, error.df, part.bounds)
    return Estimate(
        value,
        low,
        high,
        error.standard_error,
        error.df,
        len(part.values),
        len(part.patients),
        part.n_images,
        part.values,
        error.reason,
    )


def uncertainty(part: MeasureBySeed) -> Uncertainty:
    """Compute the standard error of the mean over seeds by the two-way variance.

    Without samples it is the spread over seeds alone.

    Examples:
        >>> from assay.stats.panel import measure_by_seed
        >>> result = uncertainty(measure_by_seed(np.array([0.1, 0.2, 0.3]), np.arange(3)))
        >>> round(result.standard_error, 4), round(result.df, 4)  # 0.1 / sqrt(3)
        (0.0577, 2.0)
        >>> str(uncertainty(measure_by_seed(np.array([0.1, 0.2]), np.arange(2))).reason)
        '[{"code": "few-seeds", "seeds": 2, "least": 3}]'
    """
    return uncertainties([part])[0]


BATCH_SIZE = 2**15
"""Contributions of values whose variances are computed together: as many as a processor's cache holds."""


def uncertainties(parts: Sequence[MeasureBySeed]) -> list[Uncertainty]:
    """Compute the uncertainty of several values, see `uncertainty`. Those of as many seeds and samples are a batch.

    Examples:
        >>> from assay.stats.panel import measure_by_seed
        >>> parts = [measure_by_seed(np.array([0.1, 0.2, 0.3]) * scale, np.arange(3)) for scale in (1, 2)]
        >>> [round(result.standard_error, 4) for result in uncertainties(parts)]
        [0.0577, 0.1155]
    """
    by_position: dict[int, Uncertainty] = {}
    positions_by_shape: dict[tuple[int, ...], list[int]] = {}
    for i, part in enumerate(parts):
        if reason := part.reason or _too_few_seeds(len(part.values)):
            by_position[i] = Uncertainty(float("nan"), float("nan"), reason)
        else:
            positions_by_shape.setdefault(part.contributions.shape, []).append(i)
    for (seeds, samples), positions in positions_by_shape.items():
        step = max(1, BATCH_SIZE // (seeds * max(samples, 1)))
        for batch in (positions[start : start + step] for start in range(0, len(positions), step)):
            values = np.stack([parts[i].values for i in batch])
            components = two_way(values, np.stack([parts[i].contributions for i in batch]))
            by_position |= {
                i: _uncertainty_of(parts[i], _limit_df_of_patients(_components_at(components, at), parts[i]))
                for at, i in enumerate(batch)
            }
    return [by_position[i] for i in range(len(parts))]


def _components_at(batch: VarianceComponents, at: int) -> VarianceComponents:
    return VarianceComponents(*(getattr(batch, attribute.name)[at] for attribute in fields(batch)))


def _limit_df_of_patients(components: VarianceComponents, part: MeasureBySeed) -> VarianceComponents:
    """Return components whose patients' part has no more degrees of freedom than `max_df_patients`.

    Of 40 patients with 1 to 80 images, intervals over 10 seeds covered 0.89 to 0.93 without (docs/statistics.md).
    """
    if not np.isfinite(part.max_df_patients):
        return components
    most = np.minimum(components.df_patients, part.max_df_patients)
    return _combine_components(
        components.seeds, components.patients, components.residual, len(part.values) - 1, np.asarray(most)
    )


def _uncertainty_of(part: MeasureBySeed, components: VarianceComponents) -> Uncertainty:
    if np.isnan(components.variance) or len(part.patients) == 1:
        unknown = Code.SINGLE_PATIENT if len(part.named_patients) == len(part.patients) else Code.UNKNOWN_ERROR
        return Uncertainty(float("nan"), float("nan"), Reason.of(unknown))
    return uncertainty_of_mean(components)


def estimate_seeds(part: MeasureBySeed) -> Estimate:
    """Summarize a number per seed that a probe measured (a Sobol' index, a decodability): its mean and 95% interval.

    The part of the interval that is between seeds is made on the logit scale, as that of a measure is: Student's covers
    0.76 to 0.90 where values are skewed or near an end (docs/statistics.md). The part within models is added on the
    plain scale. Where a seed's value is beyond an end, by sampling (a Sobol' index of nearly 0), the interval is
    Student's, cut at an end that the mean is within.

    Examples:
        >>> from assay.stats.panel import measure_by_seed
        >>> result = estimate_seeds(measure_by_seed(np.array([0.1, 0.2, 0.3]), np.arange(3)))
        >>> round(result.value, 6), round(result.low, 3), round(result.high, 3)  # 0.2 less and plus 4.303 * 0.0577
        (0.2, -0.048, 0.448)
    """
    return estimates_of_seeds([part])[0]


def estimates_of_seeds(parts: Sequence[MeasureBySeed]) -> list[Estimate]:
    """Summarize several such numbers, see `estimate_seeds`.

    Examples:
        >>> from assay.stats.panel import measure_by_seed
        >>> parts = [measure_by_seed(np.array([0.1, 0.2, 0.3]) + more, np.arange(3), bounds=(0.0, 1.0))
        ...     for more in (0.0, 0.3)]
        >>> [(round(result.value, 6), 0 < result.low < result.high < 1) for result in estimates_of_seeds(parts)]
        [(0.2, True), (0.5, True)]
    """
    return [_estimate_seeds(part, error) for part, error in zip(parts, uncertainties(parts), strict=True)]


def _estimate_seeds(part: MeasureBySeed, error: Uncertainty) -> Estimate:
    value = float(part.values.mean()) if len(part.values) else float("nan")
    low, high = _interval_of_seeds(part.values, value, error, part.bounds)
    patients = len(part.named_patients)
    return Estimate(
        value, low, high, error.standard_error, error.df, len(part.values), patients, 0, part.values, error.reason
    )


def _interval_of_seeds(
    values: Float[np.ndarray, " s"], value: float, error: Uncertainty, bounds: tuple[float, float]
) -> tuple[float, float]:
    if error.components is None:
        return float("nan"), float("nan")
    if not bounds[0] <= values.min() <= values.max() <= bounds[1]:
        ends = interval(value, error.standard_error, error.df)
        return ends if not bounds[0] <= value <= bounds[1] else (max(bounds[0], ends[0]), min(bounds[1], ends[1]))
    critical = float(special.stdtrit(error.df, (1 + CONFIDENCE) / 2))
    between = critical * math.sqrt(float(error.components.seeds))
    within = critical * math.sqrt(float(error.components.variance - error.components.seeds))
    low, high = (math.hypot(value - shift_on_scale(value, by, bounds), within) for by in (-between, between))
    return max(bounds[0], value - low), min(bounds[1], value + high)


def _too_few_seeds(seeds: int) -> Reason:
    if not seeds:
        return Reason.of(Code.NO_SEED)
    return Reason.of(Code.FEW_SEEDS, seeds=seeds, least=MIN_SEEDS) if seeds < MIN_SEEDS else NO_REASON


def uncertainty_of_mean(components: VarianceComponents) -> Uncertainty:
    """Return the standard error and degrees of freedom of a spread, or why there is none.

    Examples:
        >>> result = uncertainty_of_mean(two_way(np.array([0.1, 0.2, 0.3]), np.zeros((3, 0))))
        >>> round(result.standard_error, 4)
        0.0577
        >>> str(uncertainty_of_mean(two_way(np.array([0.2, 0.2, 0.2]), np.zeros((3, 0)))).reason)
        '[{"code": "no-variation"}]'
    """
    if float(components.variance) <= VARIANCE_ROUNDING:
        return Uncertainty(float("nan"), float("nan"), Reason.of(Code.NO_VARIATION))
    return Uncertainty(float(np.sqrt(components.variance)), float(components.df), components=components)


def interval(
    value: float, standard_error: float, df: float, bounds: tuple[float, float] = (-np.inf, np.inf)
) -> tuple[float, float]:
    """Compute the 95% interval of a value, within its bounds; NaN without a standard error.

    value ± t(0.975, df) standard error, on the scale of `shift_on_scale`.

    Examples:
        >>> low, high = interval(0.5, 0.1, float("inf"))
        >>> round(low, 3), round(high, 3)  # 0.5 less and plus 1.96 * 0.1
        (0.304, 0.696)
        >>> low, high = interval(0.95, 0.1, float("inf"), (0.0, 1.0))
        >>> round(low, 3), round(high, 3)  # on the logit scale
        (0.235, 0.999)
    """
    half = float(special.stdtrit(df, (1 + CONFIDENCE) / 2)) * standard_error
    if np.isnan(half) or np.isnan(value):
        return float("nan"), float("nan")
    return shift_on_scale(value, -half, bounds), shift_on_scale(value, half, bounds)


def shift_on_scale(value: float, step: float, bounds: tuple[float, float]) -> float:
    """Return a value after a step on its scale, as long as `by` is on the plain one. It never leaves the bounds.

    The scale is the logit of the value's place within its bounds, the log of its distance from a single one, or the
    plain one without bounds, and where the value is on a bound.

    Examples:
        >>> shift_on_scale(0.5, 0.7, (-np.inf, np.inf))
        1.2
        >>> round(shift_on_scale(0.5, 0.7, (0.0, 1.0)), 4)  # 1 / (1 + exp(-0.7 / 0.25))
        0.9427
        >>> round(shift_on_scale(1.0, 0.5, (0.0, np.inf)), 4)  # exp(0.5)
        1.6487
    """
    low, high = bounds
    if not low < value < high or (np.isinf(low) and np.isinf(high)):
        return min(max(low, value + step), high)
    if np.isinf(high):
        return low + (value - low) * float(np.exp(np.clip(step / (value - low), -700.0, 700.0)))  # as a float reaches
    if np.isinf(low):
        return -shift_on_scale(-value, -step, (-high, np.inf))
    part = (value - low) / (high - low)
    shifted = np.log(part / (1 - part)) + step / (high - low) / (part * (1 - part))
    return low + (high - low) * (1 + float(np.tanh(shifted / 2))) / 2


def estimate_row(where: Row, estimate: Estimate, unit: str, direction: str, chance: float) -> dict[str, Any]:
    """Return a row of `schema.ESTIMATES`.

    Examples:
        >>> panel = SeedPredictions(np.ones((3, 4, 1)), np.array([0, 1, 1, 1]), np.arange(4))
        >>> row = estimate_row({"measure": "accuracy"}, estimate_panel(panel, "accuracy"), "", "higher", float("nan"))
        >>> row["measure"], row["value"], row["seeds"], row["reason"]
        ('accuracy', 0.75, 3, '')
    """
    names = ("value", "low", "high", "standard_error", "df", "seeds", "patients", "images")
    numbers = {name: getattr(estimate, name) for name in names}
    described = {"unit": unit, "direction": direction, "chance": chance, "reason": str(estimate.reason)}
    return with_id({**where, **numbers, **described})
