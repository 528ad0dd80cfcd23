"""Compare recipes: paired differences, margins and matched fit."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Literal

import numpy as np
from jaxtyping import Float, Int
from scipy.special import stdtr

from assay.core.reasons import NO_REASON, Code, Reason
from assay.core.seeds import generator
from assay.core.types import Direction
from assay.stats.estimate import Uncertainty, VarianceComponents, interval, uncertainty
from assay.stats.panel import MeasureBySeed, SeedPredictions, combine, evaluate
from assay.stats.rows import MIN_PATIENTS

# Tests against a margin stated beforehand: a difference that would not matter, in either direction or in the worse.


def equivalence(value: float, standard_error: float, df: float, margin: float) -> float:
    """Compute the p-value of equivalence: the greater of two one-sided tests of a difference of at least the margin.

    P(T > (margin - |value|) / standard error), T by Student's t; NaN without a standard error above 0.

    Args:
        value: The difference.
        standard_error: Its standard error.
        df: Degrees of freedom.
        margin: Largest difference that does not matter, above 0.

    Raises:
        ValueError: The margin is not above 0.

    References:
        Schuirmann, "A comparison of the two one-sided tests procedure and the power approach for assessing the
        equivalence of average bioavailability", Journal of Pharmacokinetics and Biopharmaceutics 1987.

    Examples:
        >>> round(equivalence(0.0, 0.02, float("inf"), 0.05), 4)  # the normal tail beyond 0.05 / 0.02
        0.0062
    """
    _check_margin(margin)
    return _upper_tail(margin - abs(value), standard_error, df)


def minimum_effect(value: float, standard_error: float, df: float, margin: float) -> float:
    """Compute the p-value of a difference of at most the margin: one one-sided test, towards the sign of the value.

    P(T > (|value| - margin) / standard error), T by Student's t. Either sign may be claimed, so that a claim at a
    two-sided level of 5% needs a value under 0.025. It is NaN without a standard error above 0.

    Args:
        value: The difference.
        standard_error: Its standard error.
        df: Degrees of freedom.
        margin: Largest difference that does not matter, above 0.

    Raises:
        ValueError: The margin is not above 0.

    Examples:
        >>> round(minimum_effect(0.1, 0.02, float("inf"), 0.05), 4)  # the normal tail beyond (0.1 - 0.05) / 0.02
        0.0062
    """
    _check_margin(margin)
    return _upper_tail(abs(value) - margin, standard_error, df)


def noninferiority(value: float, standard_error: float, df: float, margin: float, direction: Direction) -> float:
    """Compute the p-value of a being worse than b by at least the margin, of a - b: one one-sided test.

    P(T > (margin + value) / standard error) where higher values are better. Of the two tests of equivalence it looks
    the worse way, so that its p is never the greater. It is claimed at half the level of the family:
    0.025, that of a 95% interval, as regulators ask.

    Args:
        value: The difference.
        standard_error: Its standard error.
        df: Degrees of freedom.
        margin: Largest difference that does not matter, above 0.
        direction: Direction of better values; the p-value is NaN where there is none.

    Raises:
        ValueError: The margin is not above 0.

    Examples:
        >>> round(noninferiority(0.0, 0.02, float("inf"), 0.05, "higher"), 4)  # the normal tail beyond 0.05 / 0.02
        0.0062
        >>> noninferiority(0.0, 0.02, 10.0, 0.05, "none")
        nan
    """
    _check_margin(margin)
    if direction == "none":
        return math.nan
    better = value if direction == "higher" else -value
    return _upper_tail(margin + better, standard_error, df)


def _upper_tail(excess: float, standard_error: float, df: float) -> float:
    """Return P(T > excess / standard error), T by Student's t; NaN without a standard error above 0."""
    return float(stdtr(df, -excess / standard_error)) if standard_error > 0 else math.nan


def _check_margin(margin: float) -> None:
    if margin <= 0:
        raise ValueError(f"the margin is {margin}: give a positive difference that would not matter")


# Contrasts between recipes, paired by seed and by patient.
#
# A difference is judged on the plain scale with Student's t, by the same variance as an estimate. The sign-flip test
# over seeds is reported with the smallest p that it could have reached, and decides nothing.

MAX_SEEDS_OF_ALL_FLIPS = 14
"""Up to so many seeds all sign flips are counted; beyond, 2^14 of them are drawn."""

NO_BOUNDS = (-np.inf, np.inf)

Correction = Literal["holm", "fixed-order"]


@dataclass(frozen=True, slots=True)
class TwoScalePValues:
    """The p-values of a contrast that is claimed on two scales only together, and whether its signs agree there.

    probit_contrast: the contrast on the probit scale.

    Examples:
        A difference that is significant on each of the two scales, with the same sign:

        >>> scales = TwoScalePValues(plain_p=0.01, probit_p=0.03, signs_agree=True)
        >>> max(scales.plain_p, scales.probit_p)  # what is claimed on both only
        0.03
    """

    plain_p: float
    probit_p: float
    signs_agree: bool
    probit_contrast: Contrast | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class MatchedLevel:
    """Where two recipes were compared at matched clean performance: its level, and the training rows of either side.

    Rows that are no amount that was trained lie between two that were, by linear interpolation.
    """

    level: float
    a: float
    b: float


@dataclass(frozen=True)
class Contrast:
    """A difference, or another linear combination of panels, with its interval and tests.

    Attributes:
        p: Two-sided, by the t distribution that made the interval; where there are `scales`, of these together.
        sign_flip_p: Two-sided, over seeds alone.
        sign_flip_min_p: The least that it can be.
        equivalence_p: Of two one-sided tests within the margin; NaN without a margin.
        beyond_p: One-sided, of a difference of at most the margin; NaN without a margin.
        seeds: Seeds that all panels kept.
        left_out: Seeds that some panels kept and others did not.
        effective_patients: See `panel.effective_patients_of_classes`; NaN without patients.
        paired_patients: Patients that all panels share.
        per_seed: Differences by seed, [seeds].
        reason: Why there is no value or no test; empty where there are both.
        direction: Which way of the measure is better, where that is known.
        combined: The combination.
        components: Parts of its variance, from which `decisions.moderate_group` makes the tests again.
        group: Contrasts of its pooling group that have a variance, itself included.

    Examples:
        >>> from assay.stats.panel import measure_by_seed
        >>> parts = [measure_by_seed(np.array(values), np.arange(3)) for values in ([0.5, 0.6, 0.7], [0.4, 0.4, 0.4])]
        >>> result = linear_contrast(parts, np.array([1.0, -1.0]), margin=0.05)
        >>> round(result.value, 3), result.per_seed.round(3).tolist(), result.low < result.value < result.high
        (0.2, [0.1, 0.2, 0.3], True)
    """

    value: float
    low: float
    high: float
    standard_error: float
    df: float
    p: float
    sign_flip_p: float
    sign_flip_min_p: float
    margin: float
    equivalence_p: float
    beyond_p: float
    seeds: int
    left_out: int
    patients: int
    paired_patients: int
    images: int
    effective_patients: float
    per_seed: Float[np.ndarray, " s"]
    reason: Reason = NO_REASON
    scales: TwoScalePValues | None = None
    matched_level: MatchedLevel | None = None
    direction: Direction = "none"
    combined: MeasureBySeed | None = field(default=None, compare=False, repr=False)
    components: VarianceComponents | None = field(default=None, compare=False, repr=False)
    group: int = field(default=1, compare=False, repr=False)

    @property
    def seed_error(self) -> float:
        """The standard error over seeds alone."""
        return math.nan if self.components is None else math.sqrt(self.components.seeds)

    @property
    def noninferiority_p(self) -> float:
        """The p-value of a being worse than b by the margin or more; NaN without a margin or a direction."""
        if np.isnan(self.margin):
            return float("nan")
        return noninferiority(self.value, self.standard_error, self.df, self.margin, self.direction)


def contrast(a: SeedPredictions, b: SeedPredictions, name: str, margin: float | None = None) -> Contrast:
    """Estimate the difference of two recipes by a measure, a - b, paired by seed and by patient.

    Where the panels show different patients (two environments), only the seeds are paired.

    Args:
        a: One recipe.
        b: The reference.
        name: The measure.
        margin: Largest difference that would not matter.

    Returns:
        The difference with its interval and tests; without tests under 3 common seeds.

    Raises:
        SpecError: No measure has this name.

    Examples:
        Of 20 images, a calls 10 right with every seed; b calls 12, 13 and 14:

        >>> target = np.arange(20) % 2
        >>> def panel(right):
        ...     signs = np.where(np.arange(20) < np.array(right)[:, None], 1.0, -1.0)
        ...     return SeedPredictions((signs * (2 * target - 1))[:, :, None], target, np.arange(20))
        >>> result = contrast(panel([10, 10, 10]), panel([12, 13, 14]), "accuracy", margin=0.05)
        >>> round(result.value, 6), result.per_seed.round(6).tolist(), result.paired_patients
        (-0.15, [-0.1, -0.15, -0.2], 20)
    """
    return combination([a, b], np.array([1.0, -1.0]), name, margin)


def combination(
    panels: Sequence[SeedPredictions], weights: Float[np.ndarray, " m"], name: str, margin: float | None = None
) -> Contrast:
    """Estimate a linear combination of panels, sum_m weights[m] measure(panels[m]).

    The weights (1, -1, -1, 1) give a difference of differences.

    Examples:
        >>> target = np.arange(20) % 2
        >>> def panel(right):
        ...     signs = np.where(np.arange(20) < np.array(right)[:, None], 1.0, -1.0)
        ...     return SeedPredictions((signs * (2 * target - 1))[:, :, None], target, np.arange(20))
        >>> mean = combination([panel([10, 10, 10]), panel([12, 13, 14])], np.array([0.5, 0.5]), "accuracy")
        >>> round(mean.value, 6)  # (0.5 + 0.65) / 2
        0.575
    """
    return linear_contrast([evaluate(panel, name) for panel in panels], weights, margin)


def linear_contrast(
    parts: Sequence[MeasureBySeed], weights: Float[np.ndarray, "m *s"], margin: float | None = None
) -> Contrast:
    """Return the contrast of evaluated panels.

    Args:
        parts: A measure of each of m panels.
        weights: Weights [m], or [m, s] where they differ by seed.
        margin: Largest difference that would not matter.

    Examples:
        >>> from assay.stats.panel import measure_by_seed
        >>> a, b = (measure_by_seed(np.array(values), np.arange(3)) for values in ([0.5, 0.6, 0.7], [0.4, 0.4, 0.4]))
        >>> result = linear_contrast([a, b], np.array([1.0, -1.0]))
        >>> round(result.value, 6), round(result.p, 4)  # t = 0.2 / (0.1 / sqrt(3)), 2 degrees of freedom
        (0.2, 0.0742)
    """
    combined = combine(parts, weights)
    all_seeds = {int(seed) for part in parts for seed in part.seeds}
    shared_patients = reduce(np.intersect1d, [part.named_patients for part in parts])
    are_disjoint = all(len(part.seeds) for part in parts) and not len(combined.seeds)
    return make_contrast(
        combined,
        Uncertainty(math.nan, math.nan, Reason.of(Code.NO_COMMON_SEED))
        if are_disjoint
        else uncertainty_of_difference(combined),
        margin,
        left_out=len(all_seeds) - len(combined.seeds),
        paired_patients=len(shared_patients),
    )


def uncertainty_of_difference(combined: MeasureBySeed) -> Uncertainty:
    """Compute the uncertainty of a difference; there is none with fewer than `MIN_PATIENTS` effective patients.

    Of 12 patients with 60 to 1 images, differences where there are none were claimed in 0.16 of worlds.

    Examples:
        >>> from assay.stats.panel import measure_by_seed
        >>> three = measure_by_seed(np.array([0.1, 0.2, 0.3]), np.arange(3))
        >>> round(uncertainty_of_difference(three).standard_error, 4)  # 0.1 / sqrt(3)
        0.0577
        >>> four = SeedPredictions(np.ones((3, 4, 1)), np.array([0, 1, 0, 1]), np.arange(4))
        >>> str(uncertainty_of_difference(evaluate(four, "accuracy")).reason)
        '[{"code": "few-effective-patients", "patients": 2.0, "least": 6}]'
    """
    if combined.n_effective_patients < MIN_PATIENTS and not combined.reason:
        few = Reason.of(Code.FEW_EFFECTIVE_PATIENTS, patients=combined.n_effective_patients, least=MIN_PATIENTS)
        return Uncertainty(math.nan, math.nan, few)
    return uncertainty(combined)


def untested_contrast(reason: Reason, margin: float | None = None) -> Contrast:
    """Return a contrast that was stated and cannot be tested. It counts in its family all the same (see `holm`).

    Examples:
        >>> result = untested_contrast(Reason.of(Code.NO_COMMON_SEED), margin=0.05)
        >>> result.value, result.seeds, str(result.reason)
        (nan, 0, '[{"code": "no-common-seed"}]')
    """
    empty = MeasureBySeed(np.zeros(0), np.zeros((0, 0)), np.zeros(0, np.int64), np.zeros(0, np.int64), 0, NO_BOUNDS)
    nan = float("nan")
    return make_contrast(empty, Uncertainty(nan, nan, reason), margin, left_out=0, paired_patients=0)


def make_contrast(
    combined: MeasureBySeed,
    uncertainty_of_mean: Uncertainty,
    margin: float | None,
    *,
    left_out: int,
    paired_patients: int,
) -> Contrast:
    """Return a combination with its uncertainty, interval and tests.

    Examples:
        >>> from assay.stats.panel import measure_by_seed
        >>> difference = measure_by_seed(np.array([0.1, 0.2, 0.3]), np.arange(3))
        >>> result = make_contrast(difference, uncertainty(difference), 0.05, left_out=0, paired_patients=0)
        >>> round(result.low, 3), round(result.high, 3)  # 0.2 less and plus 4.303 * 0.0577
        (-0.048, 0.448)
    """
    value = float(combined.values.mean()) if len(combined.values) and not combined.reason else float("nan")
    standard_error, df = uncertainty_of_mean.standard_error, uncertainty_of_mean.df
    # The plain interval, cut where the difference cannot be: on any other scale it would disagree with p.
    low, high = (float(np.clip(end, *combined.bounds)) for end in interval(value, standard_error, df))
    flips = sign_flip_test(combined.values) if not uncertainty_of_mean.reason else (float("nan"), float("nan"))
    return Contrast(
        value,
        low,
        high,
        standard_error,
        df,
        two_sided(value, standard_error, df),
        flips[0],
        flips[1],
        float("nan") if margin is None else margin,
        float("nan") if margin is None else equivalence(value, standard_error, df, margin),
        float("nan") if margin is None else minimum_effect(value, standard_error, df, margin),
        len(combined.values),
        left_out,
        len(combined.named_patients),
        paired_patients,
        combined.n_images,
        combined.n_effective_patients if math.isfinite(combined.n_effective_patients) else math.nan,
        combined.values,
        uncertainty_of_mean.reason,
        combined=combined,
        components=uncertainty_of_mean.components,
    )


def two_sided(value: float, standard_error: float, df: float) -> float:
    """Compute the p-value of no difference, 2 P(T > |value| / standard error), T by Student's t.

    It is NaN without a standard error above 0.

    Examples:
        >>> round(two_sided(1.96, 1.0, float("inf")), 4)
        0.05
    """
    return 2 * _upper_tail(abs(value), standard_error, df)


def sign_flip_test(differences: Float[np.ndarray, " s"]) -> tuple[float, float]:
    """Test the mean over seeds by the two-sided sign-flip test.

    All 2^S flips up to 14 seeds, then 2^14 random ones.

    Args:
        differences: Differences by seed, [S].

    Returns:
        The p-value, and the smallest that so many seeds can reach: 2 / 2^S, 0.0625 for 5 seeds. Both are NaN without
        seeds, or where a difference is NaN.

    References:
        Fisher, "The Design of Experiments", 1935.

    Examples:
        >>> p, least = sign_flip_test(np.array([0.1, 0.2, 0.3, 0.1, 0.2]))
        >>> p, least  # the differences and their negatives, of 32 flips
        (0.0625, 0.0625)
    """
    differences = np.asarray(differences, dtype=np.float64)
    seeds = len(differences)
    if not seeds or np.isnan(differences).any():
        return math.nan, math.nan
    if seeds <= MAX_SEEDS_OF_ALL_FLIPS:
        is_flipped = np.indices((2,) * seeds).reshape(seeds, 2**seeds).T == 1
    else:
        is_flipped = generator(0, "sign-flip", seeds).random((2**MAX_SEEDS_OF_ALL_FLIPS, seeds)) < 0.5
        is_flipped[0] = False  # the differences as they are: no p of exactly zero
    flipped_sums = np.abs(np.where(is_flipped, -differences, differences).sum(axis=1))
    is_as_large = flipped_sums >= abs(differences.sum()) - 1e-12 * np.abs(differences).sum()
    return float(is_as_large.mean()), 2.0 / min(2**seeds, 2 ** (MAX_SEEDS_OF_ALL_FLIPS + 1))


def holm(p: Float[np.ndarray, " m"]) -> Float[np.ndarray, " m"]:
    """Adjust the p-values of a family by Holm's method: the running maximum of (m - i + 1) p(i), at most 1.

    NaN stays NaN, but counts: the family is that of the stated comparisons, not of those that could be computed.

    References:
        Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 1979.

    Examples:
        >>> holm(np.array([0.01, 0.04, 0.03])).round(6).tolist()  # 3 * 0.01; 2 * 0.03; 0.04, not under 0.06
        [0.03, 0.06, 0.06]
        >>> holm(np.array([0.01, np.nan])).tolist()  # an untested comparison counts
        [0.02, nan]
    """
    p = np.asarray(p, dtype=np.float64)
    order = np.argsort(np.where(np.isnan(p), np.inf, p), kind="stable")
    sorted_adjusted = np.minimum(1.0, np.maximum.accumulate(p[order] * holm_factors(p)[order]))
    adjusted = np.empty(len(p))
    adjusted[order] = sorted_adjusted
    return np.where(np.isnan(p), np.nan, adjusted)


def holm_factors(p: Float[np.ndarray, " m"]) -> Float[np.ndarray, " m"]:
    """Return the number by which Holm's method multiplies each p-value: m for the least, 1 for the greatest.

    Examples:
        >>> holm_factors(np.array([0.01, 0.04, 0.03])).tolist()
        [3.0, 1.0, 2.0]
    """
    order = np.argsort(np.where(np.isnan(p), np.inf, p), kind="stable")
    factors = np.empty(len(p))
    factors[order] = len(p) - np.arange(len(p))
    return factors


def fixed_order(p: Float[np.ndarray, " m"]) -> Float[np.ndarray, " m"]:
    """Return adjusted p-values of tests in a fixed order: none is smaller than that of an earlier test.

    NaN stays NaN, and nothing after it is shown.

    Examples:
        >>> fixed_order(np.array([0.01, 0.04, 0.03])).tolist()
        [0.01, 0.04, 0.04]
        >>> fixed_order(np.array([0.01, np.nan, 0.03])).tolist()
        [0.01, nan, 1.0]
    """
    adjusted = np.maximum.accumulate(np.where(np.isnan(p), 1.0, p))
    return np.where(np.isnan(p), np.nan, adjusted)


ADJUSTMENTS: Mapping[Correction, Callable[[Float[np.ndarray, " m"]], Float[np.ndarray, " m"]]] = {
    "holm": holm,
    "fixed-order": fixed_order,
}
"""Correction of a family -> its adjusted p-values."""


# Matched fit: two recipes compared where they fit the training distribution equally well.
#
# Each recipe was trained at several budgets, each with its own full schedule, and each model has a yardstick: the
# log-loss of a refitted logistic head on validation rows of the training distribution. Seed by seed the measure is read
# off at one level of the yardstick, by linear interpolation between the two neighboring budgets, and compared there.
#
# The level is set for each seed: the lowest log-loss that both recipes come down to with it. Seeds draw training rows
# of their own, some of which are harder than others, so that one level for all may be reached by none of a study's
# budgets; only the two models that are compared need equal fit. A seed reaches a
# level when its smallest budget is at or above it and a later one at or below; where the yardstick
# rises again with more training, the first crossing counts; a seed that does not is left out. Levels and weights are
# taken as fixed: they come from validation rows, which share no patient with the test rows.


@dataclass(frozen=True)
class BudgetPanel:
    """One budget of a recipe: its panel, and the yardstick of each of the panel's seeds (log-loss, nats).

    Examples:
        >>> panel = SeedPredictions(np.zeros((3, 20, 1)), np.arange(20) % 2, np.arange(20))
        >>> budget = BudgetPanel(panel, yardstick=np.array([0.51, 0.48, 0.55]))  # a log-loss per seed
        >>> round(float(budget.yardstick.mean()), 3)
        0.513
    """

    panel: SeedPredictions
    yardstick: Float[np.ndarray, " s"]

    def __post_init__(self) -> None:
        if self.yardstick.shape != (len(self.panel.scores),):
            seeds = len(self.panel.scores)
            raise ValueError(f"yardstick has shape {self.yardstick.shape}: give one log-loss for each of {seeds} seeds")


BudgetCurve = Sequence[BudgetPanel]
"""A recipe's budgets, smallest first."""


def matched_fit(a: BudgetCurve, b: BudgetCurve, name: str, margin: float | None = None) -> Contrast:
    """Estimate a - b at an equal yardstick, over the seeds that both kept at every budget and that reach the level.

    Args:
        a: Budgets of one recipe, smallest first.
        b: Budgets of the reference.
        name: The measure.
        margin: Largest difference that would not matter.

    Returns:
        The contrast; undefined where no seed reaches the level.

    Examples:
        Recipe a reaches the log-loss 0.5 with its second budget, b between its two budgets:

        >>> target = np.arange(20) % 2
        >>> def budget(right, yardstick):
        ...     signs = np.where(np.arange(20) < right, 1.0, -1.0) * (2 * target - 1)
        ...     panel = SeedPredictions(np.tile(signs, (3, 1))[:, :, None], target, np.arange(20))
        ...     return BudgetPanel(panel, np.full(3, yardstick))
        >>> result = matched_fit([budget(10, 0.7), budget(14, 0.5)], [budget(10, 0.6), budget(18, 0.4)], "accuracy")
        >>> abs(round(result.value, 6))  # 14 / 20 less (10 + 18) / 2 / 20
        0.0
    """
    seeds = _common_seeds([*a, *b])
    if not len(seeds):
        return untested_contrast(Reason.of(Code.NO_SEED_AT_EVERY_BUDGET), margin)
    yardsticks = [np.stack([_yardsticks_of_seeds(budget, seeds) for budget in curve]) for curve in (a, b)]
    levels = seed_levels(yardsticks)
    is_reached = np.isfinite(levels)
    if not is_reached.any():
        return untested_contrast(_unreached_fit_reason(yardsticks), margin)
    seeds, levels = seeds[is_reached], levels[is_reached]
    reached_yardsticks = [table[:, is_reached] for table in yardsticks]
    weights = [
        np.stack([crossing_weights(*pair) for pair in zip(table.T, levels, strict=True)], axis=1)
        for table in reached_yardsticks
    ]
    sides = [
        combine([select_seeds(evaluate(budget.panel, name), seeds) for budget in curve], weight)
        for curve, weight in zip((a, b), weights, strict=True)
    ]
    all_seeds = {int(seed) for budget in [*a, *b] for seed in budget.panel.seed_ids}
    return replace(linear_contrast(sides, np.array([1.0, -1.0]), margin), left_out=len(all_seeds) - len(seeds))


def seed_levels(yardsticks: Sequence[Float[np.ndarray, "b s"]]) -> Float[np.ndarray, " s"]:
    """Return for each seed the lowest log-loss that all recipes reach; NaN where one does not reach it.

    Args:
        yardsticks: A table for each recipe, [budgets, seeds], smallest budget first.

    Examples:
        >>> a, b = np.array([[0.7], [0.5]]), np.array([[0.6], [0.4]])  # two budgets, one seed
        >>> seed_levels([a, b]).tolist()
        [0.5]
        >>> seed_levels([a, np.array([[0.4], [0.3]])]).tolist()  # b starts below all of a
        [nan]
        >>> a, b = np.array([[0.7, 0.6], [0.2, 0.3]]), np.array([[0.65, 0.8], [0.4, 0.1]])  # two seeds
        >>> seed_levels([a, b]).tolist(), seed_levels([a, b * [1, np.nan]]).tolist()
        ([0.4, 0.3], [0.4, nan])
    """
    highest_minimum = np.max([table.min(axis=0) for table in yardsticks], axis=0)
    lowest_start = np.min([table[0] for table in yardsticks], axis=0)
    return np.where(highest_minimum <= lowest_start, highest_minimum, np.nan)


def _unreached_fit_reason(yardsticks: Sequence[np.ndarray]) -> Reason:
    start_a, start_b = (float(table[0].mean()) for table in yardsticks)
    end_a, end_b = (float(table.min(axis=0).mean()) for table in yardsticks)
    return Reason.of(Code.UNREACHED_FIT, start_a=start_a, start_b=start_b, end_a=end_a, end_b=end_b)


def crossing_weights(yardstick: Float[np.ndarray, " b"], level: float) -> Float[np.ndarray, " b"]:
    """Return weights of budgets, which add up to 1, for the place where the yardstick first reaches the level.

    Examples:
        >>> crossing_weights(np.array([0.6, 0.4]), 0.45).round(6).tolist()
        [0.25, 0.75]
        >>> crossing_weights(np.array([0.6, 0.3, 0.5, 0.1]), 0.45).round(6).tolist()  # the first place counts
        [0.5, 0.5, 0.0, 0.0]
        >>> crossing_weights(np.array([0.6, 0.3, 0.5, 0.1]), 0.3).tolist()
        [0.0, 1.0, 0.0, 0.0]
        >>> crossing_weights(np.array([0.6, 0.3]), 0.6).tolist()
        [1.0, 0.0]
    """
    weights = np.zeros(len(yardstick))
    after = int(np.flatnonzero(yardstick <= level)[0])
    if after == 0 or yardstick[after] == level:
        weights[after] = 1.0
        return weights
    before = after - 1
    weights[after] = (yardstick[before] - level) / (yardstick[before] - yardstick[after])
    weights[before] = 1 - weights[after]
    return weights


def select_seeds(part: MeasureBySeed, seeds: Int[np.ndarray, " s"]) -> MeasureBySeed:
    """Return the evaluation of some seeds, in that order.

    Examples:
        >>> from assay.stats.panel import measure_by_seed
        >>> three = measure_by_seed(np.array([0.1, 0.2, 0.3]), np.array([7, 8, 9]))
        >>> select_seeds(three, np.array([9, 7])).values.tolist()
        [0.3, 0.1]
    """
    rows = np.array([np.flatnonzero(part.seeds == seed)[0] for seed in seeds], dtype=np.int64)
    return replace(part, values=part.values[rows], contributions=part.contributions[rows], seeds=seeds)


def _common_seeds(budgets: Sequence[BudgetPanel]) -> Int[np.ndarray, " s"]:
    numbers = budgets[0].panel.seed_ids
    for budget in budgets[1:]:
        numbers = np.intersect1d(numbers, budget.panel.seed_ids)
    return np.unique(numbers)


def _yardsticks_of_seeds(budget: BudgetPanel, seeds: np.ndarray) -> np.ndarray:
    return np.array([budget.yardstick[budget.panel.seed_ids == seed][0] for seed in seeds])
