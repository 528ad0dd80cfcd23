"""Swing: how far a mark or a column moves the ranking of positives and negatives."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import stdtr

from assay.stats.bounds import (
    ALPHA,
    NO_SKEW,
    BoundedEstimate,
    Skew,
    bounded_share,
    critical_value,
    curvature_of_logit,
    skew_of,
)
from assay.stats.influence import auroc_influence, correct_small_sample, sum_by_patient
from assay.stats.metrics import placements
from assay.stats.panel import df_over_patients, effective_patients

# The swing g of a mark compares the same images with (s1) and without it (s0):
#
#     g = 1/2 [ P(s1 of a positive > s0 of a negative) - P(s0 of a positive > s1 of a negative) ]
#
# with ties counting half. Of a column the images are different ones: s1 is the score of a row of the group, s0 that of
# another row. g is in -0.5 to 0.5; it is positive where the mark raises scores.
#
# Each image has a contribution to g (DeLong, as in `influence`). Contributions are summed by patient, and the variance
# is the sum of their squares. Bounds are by t on atanh(2g), with degrees of freedom by Welch and Satterthwaite from the
# effective patients of the positives and of the negatives; a difference of two AUROCs that need not be a swing is
# bounded likewise. Bounds are further away on the side to which contributions are skewed (see `stats.bounds.Skew`). At
# |g| = 0.5 the variance is 0, and the bound is exact (see `_t_bounds`). No upper bound of an effect is below that of
# one that no image shows: a share of images may react of which the sample has none (see `zero_event_upper_bound`).

MIN_GAIN = 0.05
"""AUROC, accuracy or Dice that other preprocessing must gain to stop an audit."""


@dataclass(frozen=True, slots=True)
class AurocShift:
    """The swing of one class against the rest.

    Attributes:
        g: The swing.
        label: The class that counts as positive.
        loss_on_negatives: AUROC lost when negatives alone have the mark; None for a column.
        loss_on_positives: AUROC lost when positives alone have the mark; None for a column.
        loss_on_all: AUROC lost when all images have the mark; None for a column.
        smallest_upper_bound: The upper bound of |g| of a sample of this size in which no image reacts.
        effective_patients: Effective patients of the class or group that has fewest, see `panel.effective_patients`.
    """

    g: BoundedEstimate
    label: str = ""
    loss_on_negatives: BoundedEstimate | None = None
    loss_on_positives: BoundedEstimate | None = None
    loss_on_all: BoundedEstimate | None = None
    smallest_upper_bound: float = 0.0
    effective_patients: float = math.inf

    def lower_bound(self, alpha: float = ALPHA) -> float:
        """Return the lower bound of |g|."""
        if not math.isfinite(self.g.error):
            return 0.0
        low, high = _t_bounds(
            2 * self.g.value, 2 * self.g.error, self.g.df, self.effective_patients, alpha, self.g.skew
        )
        return max(0.0, low / 2 if self.g.value > 0 else -high / 2)

    @property
    def upper_bound(self) -> float:
        """Upper bound of |g|."""
        return max(abs(self.g.low), abs(self.g.high), self.smallest_upper_bound)

    def loss_lower_bound(self, alpha: float = ALPHA) -> float:
        """Return the lower bound of the AUROC lost when all images have the mark; -1 of a column."""
        if self.loss_on_all is None or not math.isfinite(self.loss_on_all.error):
            return -1.0
        loss = self.loss_on_all
        return _t_bounds(loss.value, loss.error, loss.df, self.effective_patients, alpha, loss.skew)[0]


_NO_SWING = AurocShift(BoundedEstimate(math.nan, math.nan, math.nan, math.nan))


@dataclass(frozen=True, slots=True)
class Effect:
    """The effect of one factor on the predictions for some images, with one swing per class that counts as positive.

    Attributes:
        swings: One of two classes, else one per class; none of a segmentation without lesion-free images.
        images: Images compared.
        patients: Patients of these images.
        flips: See `changed_predictions`; None for a column, too.
        dose: The dose of a mark, or the group of a column.
        dice: Dice lost, of a segmentation, over the images with a lesion.
        false_area: Increase of the share of the image that is wrongly called lesion, of a segmentation.
        n_comparisons: Number of effects of which the most severe one decides, such as 2 for a mark at two places. The
            lower bounds `lower_bound` and `loss_lower_bound` are corrected for it; intervals and upper bounds are not.
    """

    swings: tuple[AurocShift, ...]
    images: int
    patients: int
    flips: BoundedEstimate | None = None
    dose: str = ""
    dice: BoundedEstimate | None = None
    false_area: BoundedEstimate | None = None
    n_comparisons: int = 1
    largest: AurocShift = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "largest", max(self.swings, key=lambda swing: abs(swing.g.value), default=_NO_SWING))

    @property
    def lower_bound(self) -> float:
        """Lower bound of the largest |g|, by Holm's first step over the classes and the comparisons."""
        return max(
            (swing.lower_bound(ALPHA / len(self.swings) / self.n_comparisons) for swing in self.swings), default=0.0
        )

    @property
    def upper_bound(self) -> float:
        """Upper bound of the largest |g|: all classes must be below a margin, which needs no correction."""
        return max((swing.upper_bound for swing in self.swings), default=0.0)

    @property
    def effective_patients(self) -> float:
        """Effective patients of the class or group that has fewest."""
        return min((swing.effective_patients for swing in self.swings), default=math.inf)

    @property
    def losses(self) -> list[BoundedEstimate]:
        """Losses of AUROC with the mark on all images, one per class; none of a column."""
        return [swing.loss_on_all for swing in self.swings if swing.loss_on_all is not None]

    @property
    def loss(self) -> BoundedEstimate | None:
        """The largest of these losses."""
        return max(self.losses, key=lambda loss: loss.value, default=None)

    @property
    def loss_lower_bound(self) -> float:
        """Lower bound of the largest loss, by Holm's first step over the classes and the comparisons."""
        return max(
            (swing.loss_lower_bound(ALPHA / len(self.swings) / self.n_comparisons) for swing in self.swings),
            default=-1.0,
        )


def effect_of_mark(
    before: Float[np.ndarray, "n m"],
    after: Float[np.ndarray, "n m"],
    target: Int[np.ndarray, " n"],
    patient: Int[np.ndarray, " n"],
    flips: BoundedEstimate | None = None,
    labels: Sequence[str] = ("",),
    dose: str = "",
) -> Effect:
    """Compute the effect of a mark from log-odds of the same images without and with it.

    Args:
        before: Log-odds of the positive class without the mark, or of each class against the rest, float64.
        after: The same with the mark.
        target: Class codes; of one column 1 is positive.
        patient: Patient of each image.
        flips: See `changed_predictions`.
        labels: Name of each column.
        dose: Name of the dose.
    """
    swings = [
        _swing_of_mark(before[:, k], after[:, k], _binary(target, k, len(labels)), patient, label)
        for k, label in enumerate(labels)
    ]
    return Effect(tuple(swings), len(target), len(np.unique(patient)), flips, dose)


def changed_predictions(
    before: Int[np.ndarray, " n"], after: Int[np.ndarray, " n"], patient: Int[np.ndarray, " n"]
) -> BoundedEstimate | None:
    """Return the share of images whose predicted class changes at the model's threshold.

    Args:
        before: Predicted class of each image without a mark.
        after: The same with it.
        patient: Patient of each image.

    Returns:
        None where one class is predicted of all images, without and with the mark: at such a threshold no change of
        the scores need show.

    Examples:
        >>> half = changed_predictions(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 0]), np.arange(4))
        >>> None if half is None else half.value
        0.5
        >>> changed_predictions(np.zeros(4), np.zeros(4), np.arange(4)) is None
        True
    """
    is_constant = len(np.union1d(before, after)) == 1
    return None if is_constant else bounded_share(before != after, patient)


def swing_of_group(
    score: Float[np.ndarray, "n m"],
    target: Int[np.ndarray, " n"],
    group: Bool[np.ndarray, " n"],
    patient: Int[np.ndarray, " n"],
    labels: Sequence[str] = ("",),
    dose: str = "",
) -> Effect | None:
    """Compute the swing between images of a group and all others.

    Args:
        score: As `before` of `effect_of_mark`.
        target: Class codes.
        group: Images of the group.
        patient: Patient of each image.
        labels: Name of each column of scores.
        dose: Name of the group.

    Returns:
        None where no class has positives and negatives both in the group and outside it.
    """
    swings: list[AurocShift] = []
    for k, label in enumerate(labels):
        positive = _binary(target, k, len(labels))
        cells = [np.count_nonzero((positive == code) & (group == side)) for code in (0, 1) for side in (False, True)]
        if min(cells) > 0:
            swings.append(_swing_of_group(score[:, k], positive, group, patient, label))
    return Effect(tuple(swings), len(target), len(np.unique(patient)), None, dose) if swings else None


def within_classes(
    score: Float[np.ndarray, "n m"],
    target: Int[np.ndarray, " n"],
    group: Bool[np.ndarray, " n"],
    patient: Int[np.ndarray, " n"],
    labels: Sequence[str],
    dose: str,
    least: int,
) -> Effect | None:
    """Compute how far scores of a group are above those of the others of a class: their AUROC less 0.5.

    Of a group so tied to the target that `swing_of_group` has no images for one of its cells.

    Args:
        score: As `before` of `effect_of_mark`.
        target: Class codes.
        group: Images of the group.
        patient: Patient of each image.
        labels: Name of each class.
        dose: Name of the group.
        least: Images of a class that are needed in the group and outside it.

    Returns:
        One swing per class that has as many; None where none has.
    """
    swings: list[AurocShift] = []
    for code, label in enumerate(labels):
        in_class = target == code
        in_group, patients = group[in_class].astype(np.int64), patient[in_class]
        if min(np.count_nonzero(in_group), np.count_nonzero(in_group == 0)) < least:
            continue
        values, rows = _aurocs(score[None, in_class, min(code, score.shape[1] - 1)], in_group)
        parts = _Contributions.of(2 * rows[0], in_group, patients)
        g = _bounded_value(2 * float(values[0]) - 1, parts, 0.5, ALPHA)
        swings.append(
            AurocShift(
                g,
                label,
                smallest_upper_bound=_unseen_rate(in_group, patients),
                effective_patients=parts.effective_patients,
            )
        )
    return Effect(tuple(swings), len(target), len(np.unique(patient)), None, dose) if swings else None


def pooled_within_classes(
    score: Float[np.ndarray, "n m"],
    target: Int[np.ndarray, " n"],
    group: Bool[np.ndarray, " n"],
    patient: Int[np.ndarray, " n"],
    labels: Sequence[str],
    dose: str,
    least: int,
) -> Effect | None:
    """Compute how far scores of a group are above those of the others of their class, pooled over the classes.

    Of a group of which no class has enough images inside and outside for `within_classes`. Classes have weights
    n1 n0 / (n1 + n0) (van Elteren 1960). With so few images a variance from them may be too small by chance. Where
    ranks without an effect reach as far in one of twenty samples, the bounds are therefore by the variance of these.

    Args:
        score: As `before` of `effect_of_mark`.
        target: Class codes.
        group: Images of the group.
        patient: Patient of each image.
        labels: Name of each column of scores.
        dose: Name of the group.
        least: Patients of a class that are needed in the group and outside it.

    Returns:
        One swing per column of scores; None where no class has as many.
    """
    sides: dict[int, tuple[int, int]] = {}
    for code in np.unique(target).tolist():
        inside, outside = (len(np.unique(patient[(target == code) & (group == side)])) for side in (True, False))
        if min(inside, outside) >= least:
            sides[code] = inside, outside
    if not sides:
        return None
    weights = {code: first * second / (first + second) for code, (first, second) in sides.items()}
    total, fewest = sum(weights.values()), float(sum(map(min, sides.values())))
    error_of_ranks = math.sqrt(sum(weights[code] * (1 + 1 / sum(sides[code])) / 12 for code in sides)) / total
    rows, swings = np.isin(target, list(sides)), list[AurocShift]()
    for k, label in enumerate(labels):
        value, contributions = 0.0, np.zeros(len(target))
        for code, weight in weights.items():
            in_class = target == code
            areas, of_images = _aurocs(score[None, in_class, k], group[in_class].astype(np.int64))
            value += weight / total * (2 * float(areas[0]) - 1)
            contributions[in_class] = weight / total * 2 * of_images[0]
        parts = _Contributions.of(contributions[rows], (2 * target + group)[rows], patient[rows])
        g = _bounded_value(value, replace(parts, effective_patients=fewest), 0.5, ALPHA)
        if abs(g.value) <= critical_value(math.inf, ALPHA / 2) * error_of_ranks:
            low, high = (end / 2 for end in _t_bounds(value, 2 * error_of_ranks, math.inf, fewest, ALPHA))
            g = BoundedEstimate(g.value, error_of_ranks, min(low, g.low), max(high, g.high), math.inf)
        swings.append(AurocShift(g, label, smallest_upper_bound=0.5, effective_patients=fewest))
    return Effect(tuple(swings), len(target), len(np.unique(patient)), None, dose)


def mean_change(
    values: Float[np.ndarray, " n"], patient: Int[np.ndarray, " n"], alpha: float = ALPHA
) -> BoundedEstimate:
    """Compute the mean of changes within images, each from -1 to 1, with bounds over patients.

    Its upper bound is not below that of a change by 1 in a share of patients of whom the sample may have none.

    Args:
        values: Change of each image, at least one.
        patient: Patient of each image.
        alpha: Level of each bound.

    Examples:
        >>> found = mean_change(np.array([0.1, 0.3, 0.2, 0.0]), np.array([0, 0, 1, 2]))
        >>> round(found.value, 4), round(found.error, 4)  # sqrt(2 * 0.1^2 + 4 / 3 * (0.05^2 + 0.15^2)) / 4
        (0.15, 0.0577)
        >>> round(found.low, 4), round(found.high, 4)  # 0.15 - 3.36 * 0.0577, by t(5 / 3); 1 - 0.05^(1/3)
        (-0.044, 0.6316)
        >>> still = mean_change(np.zeros(59), np.arange(59))  # what no patient shows is not excluded
        >>> still.low, round(still.high, 4)  # 1 - 0.05^(1/59)
        (0.0, 0.0495)
        >>> mean_change(np.array([0.1, 0.2]), np.array([4, 4])).high  # of one patient
        inf
    """
    mean = float(values.mean())
    parts = sum_by_patient(values - mean, patient)
    n_patients, error = len(parts.samples), parts.standard_error / len(values)
    if n_patients < 2:
        return BoundedEstimate(mean, math.inf, -math.inf, math.inf, 1.0)
    df = df_over_patients(patient)
    skew = skew_of((values - mean) / len(values), patient)
    below, above = (quantile * error for quantile in skew.quantiles(df, alpha))
    return BoundedEstimate(mean, error, mean - below, max(mean + above, 1 - alpha ** (1 / n_patients)), df, skew)


def mean_with_bounds(values: Float[np.ndarray, " n"], patient: Int[np.ndarray, " n"]) -> BoundedEstimate:
    """Compute the mean of values from 0 to 1, such as Dice, with bounds over patients.

    They are not within those of a share of patients at 0, or at 1, of whom the sample may have none.

    Args:
        values: Value of each image, at least one.
        patient: Patient of each image.

    Examples:
        >>> dice = mean_with_bounds(np.array([1.0, 1.0, 1.0, 0.6, 0.9]), np.arange(5))
        >>> round(dice.value, 4), round(dice.low, 4), dice.high  # 0.05^(1/5)
        (0.9, 0.5493, 1.0)
        >>> mean_with_bounds(np.array([0.7, 0.9]), np.array([4, 4])).low  # of one patient
        0.0
    """
    change = mean_change(values, patient)
    unseen_bound = ALPHA ** (1 / len(np.unique(patient))) if math.isfinite(change.error) else 0.0
    return replace(
        change, low=max(0.0, min(change.low, unseen_bound)), high=min(1.0, max(change.high, 1 - unseen_bound))
    )


def zero_event_upper_bound(positives: int, negatives: int, alpha: float = ALPHA) -> float:
    """Return the largest mean over both classes of the share of images that may react where none of a sample does.

    It maximizes (p + q) / 2 subject to (1 - p)^positives (1 - q)^negatives >= alpha.

    Args:
        positives: Patients with a positive image, at least 1.
        negatives: Patients with a negative image, at least 1.
        alpha: Level.
    """
    fewer, larger = sorted((positives, negatives))
    log_c = (math.log(alpha) - fewer * math.log(fewer) - larger * math.log(larger)) / (fewer + larger)
    bounds = [math.exp(log_c) * fewer, math.exp(log_c) * larger]
    if bounds[1] > 1:
        bounds = [alpha ** (1 / fewer), 1.0]
    return 1 - sum(bounds) / 2


def auroc_with_bounds(
    score: Float[np.ndarray, " n"], target: Int[np.ndarray, " n"], patient: Int[np.ndarray, " n"]
) -> BoundedEstimate:
    """Compute AUROC with its bounds on the logit scale; scores of both classes are needed.

    Where all pairs are ordered alike they are exact, and NaN where a class has a single patient.

    Examples:
        >>> perfect = auroc_with_bounds(np.arange(40.0), (np.arange(40) >= 20).astype(int), np.arange(40))
        >>> perfect.value, round(perfect.low, 4), perfect.high  # 0.05^(1/20)
        (1.0, 0.8609, 1.0)
    """
    values, rows = _aurocs(score[None], target)
    value, parts = float(values[0]), _Contributions.of(rows[0], target, patient)
    if not math.isfinite(parts.error):
        return BoundedEstimate(value, parts.error, math.nan, math.nan, parts.df)
    # The inverse hyperbolic tangent of 2 AUROC - 1 is half the logit of AUROC.
    low, high = (
        (1 + end) / 2
        for end in _t_bounds(2 * value - 1, 2 * parts.error, parts.df, parts.effective_patients, ALPHA, parts.skew)
    )
    return BoundedEstimate(value, parts.error, low, high, parts.df, parts.skew)


def auroc_contributions(
    score: Float[np.ndarray, " n"], target: Int[np.ndarray, " n"], patient: Int[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, " p"], float]:
    """Return the contribution of each patient to the AUROC, in the order of `np.unique`, and degrees of freedom.

    Examples:
        >>> contributions, df = auroc_contributions(np.arange(4.0), np.array([0, 1, 0, 1]), np.arange(4))
        >>> contributions.round(4).tolist(), df  # deviations 0.25 of placements over 2, times sqrt(2)
        ([0.1768, -0.1768, -0.1768, 0.1768], 2.0)
    """
    parts = _Contributions.of(_aurocs(score[None], target)[1][0], target, patient)
    return parts.sums, parts.df


def auroc_gain(
    before: Float[np.ndarray, " n"],
    after: Float[np.ndarray, " n"],
    target: Int[np.ndarray, " n"],
    patient: Int[np.ndarray, " n"],
    alpha: float = ALPHA,
) -> BoundedEstimate:
    """Compute the AUROC of one score less that of another on the same images.

    Args:
        before: The other score.
        after: The one score.
        target: 0 or 1.
        patient: Patient of each image.
        alpha: Level of each bound.
    """
    values, rows = _aurocs(np.stack([after, before]), target)
    parts = [_Contributions.of(row, target, patient) for row in rows]
    return _difference(values[0], values[1], parts[0], parts[1], alpha=alpha)


def mean_of_independent(first: BoundedEstimate, second: BoundedEstimate, alpha: float = ALPHA) -> BoundedEstimate:
    """Compute the mean of two independent estimates of a difference from -1 to 1, with bounds of level `alpha`.

    Degrees of freedom are those of Welch and Satterthwaite. Where both are at an end, the bounds are the means of
    theirs, which must be of this level.

    Examples:
        An error from few patients counts as such:

        >>> few, many = BoundedEstimate(0.1, 0.1, -0.2, 0.4, 2.0), BoundedEstimate(0.1, 0.01, 0.08, 0.12, 200.0)
        >>> round(mean_of_independent(few, many).df, 2)
        2.04
    """
    value, error = (first.value + second.value) / 2, math.hypot(first.error, second.error) / 2
    spread = first.error**4 / first.df + second.error**4 / second.df
    df = (2 * error) ** 4 / spread if 0 < spread < math.inf else math.inf
    if not math.isfinite(error) or abs(value) >= 1:
        low, high = (first.low + second.low) / 2, (first.high + second.high) / 2
    else:
        low, high = _t_bounds(value, error, df, 1.0, alpha)
    return BoundedEstimate(value, error, low, high, df)


def rate_gap(
    is_error: Bool[np.ndarray, " n"],
    group: Bool[np.ndarray, " n"],
    patient: Int[np.ndarray, " n"],
    alpha: float = ALPHA,
) -> BoundedEstimate:
    """Compute the share of errors in a group less that in all others, with bounds over patients.

    The exact bounds of both shares are combined, since a share without errors has no variance. The groups count as
    independent, which is too wide where patients are in both.

    Args:
        is_error: Whether an image is predicted wrongly.
        group: At least one image is in it and one is not.
        patient: Patient of each image.
        alpha: Level of each bound.

    References:
        Newcombe, "Interval estimation for the difference between independent proportions", Statistics in Medicine
        1998, method 10, with exact bounds in place of Wilson's.

    Examples:
        None of 10 errors in the group, 5 of 10 outside it:

        >>> group = np.arange(20) < 10
        >>> gap = rate_gap(np.arange(20) >= 15, group, np.arange(20))
        >>> gap.value, round(gap.low, 4), round(gap.high, 4)  # -0.5 - 0.2776; -0.5 + sqrt(0.2589**2 + 0.2776**2)
        (-0.5, -0.7776, -0.1205)
    """
    inside, outside = (bounded_share(is_error[side], patient[side], alpha) for side in (group, ~group))
    value = inside.value - outside.value
    low = value - math.hypot(inside.value - inside.low, outside.high - outside.value)
    high = value + math.hypot(inside.high - inside.value, outside.value - outside.low)
    return BoundedEstimate(value, math.hypot(inside.error, outside.error), low, high)


def mark_swing_difference(
    first: tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]],
    second: tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]],
    target: Int[np.ndarray, " n"],
    patient: Int[np.ndarray, " n"],
    alpha: float = ALPHA,
) -> BoundedEstimate:
    """Compute the swing of a mark on one model less that on another model, on the same images.

    Args:
        first: Log-odds of the one model without and with the mark.
        second: Log-odds of the other model.
        target: 0 or 1.
        patient: Patient of each image.
        alpha: Level of each bound.
    """
    swings = [_mark_swing_with_contributions(*pair, target, patient, alpha) for pair in (first, second)]
    return _swing_difference(swings[0], swings[1], alpha)


def group_swing_difference(
    first: Float[np.ndarray, " n"],
    second: Float[np.ndarray, " n"],
    target: Int[np.ndarray, " n"],
    group: Bool[np.ndarray, " n"],
    patient: Int[np.ndarray, " n"],
    alpha: float = ALPHA,
) -> BoundedEstimate:
    """Compute the swing between a group and all others of one model less that of another model, on the same images.

    Examples:
        >>> target, group = np.array([1, 1, 0, 0]), np.array([True, False, True, False])
        >>> first, second = np.array([1.0, 3.0, 2.0, 0.0]), np.array([0.0, 3.0, 2.0, 0.5])
        >>> # The positive of the group is above the negative outside (1 > 0), and 3 > 2 the other way: 0. Then -0.5.
        >>> group_swing_difference(first, second, target, group, np.arange(4)).value
        0.5
    """
    swings = [_group_swing_with_contributions(score, target, group, patient, alpha) for score in (first, second)]
    return _swing_difference(swings[0], swings[1], alpha)


def p_value_of_no_effect(bounded: BoundedEstimate, alpha: float) -> float:
    """Compute the two-sided p of no effect that agrees with the bounds: it is 2 alpha where one of them is 0.

    Args:
        bounded: An estimate with bounds of level `alpha` each.
        alpha: Level of each bound.
    """
    if not bounded.value:
        return 1.0
    distance_to_near_bound = bounded.value - bounded.low if bounded.value > 0 else bounded.high - bounded.value
    standard_score = (
        abs(bounded.value) * critical_value(bounded.df, alpha) / distance_to_near_bound
        if distance_to_near_bound
        else math.inf
    )
    return 2 * float(stdtr(bounded.df, -standard_score))


def _binary(target: np.ndarray, column: int, columns: int) -> np.ndarray:
    return (target == (column if columns > 1 else 1)).astype(np.int64)


_SwingWithContributions = tuple[BoundedEstimate, "_Contributions"]
"""A swing with the contributions to it."""


def _swing_of_mark(
    before: np.ndarray, after: np.ndarray, target: np.ndarray, patient: np.ndarray, label: str
) -> AurocShift:
    positive = target == 1
    on_positives, on_negatives = np.where(positive, after, before), np.where(positive, before, after)
    values, rows = _aurocs(np.stack([before, on_positives, on_negatives, after]), target)
    parts = [_Contributions.of(row, target, patient) for row in rows]
    negatives, positives, everyone = (_difference(values[0], values[at], parts[0], parts[at]) for at in (2, 1, 3))
    g = _difference(values[1], values[2], parts[1], parts[2], 0.5)
    return AurocShift(
        g, label, negatives, positives, everyone, _unseen_rate(target, patient), parts[0].effective_patients
    )


def _mark_swing_with_contributions(
    before: np.ndarray, after: np.ndarray, target: np.ndarray, patient: np.ndarray, alpha: float
) -> _SwingWithContributions:
    positive = target == 1
    values, rows = _aurocs(np.stack([np.where(positive, after, before), np.where(positive, before, after)]), target)
    first, second = (_Contributions.of(row, target, patient) for row in rows)
    return _difference(values[0], values[1], first, second, 0.5, alpha), first.difference_from(second, 0.5)


def _swing_of_group(
    score: np.ndarray, target: np.ndarray, group: np.ndarray, patient: np.ndarray, label: str
) -> AurocShift:
    least = max(_unseen_rate(target[side], patient[side]) for side in (group, ~group))
    g, parts = _group_swing_with_contributions(score, target, group, patient, ALPHA)
    return AurocShift(g, label, smallest_upper_bound=least, effective_patients=parts.effective_patients)


def _group_swing_with_contributions(
    score: np.ndarray, target: np.ndarray, group: np.ndarray, patient: np.ndarray, alpha: float
) -> _SwingWithContributions:
    areas: list[float] = []
    parts: list[_Contributions] = []
    for of_positives in (group, ~group):
        rows_here = (target == 1) == of_positives
        values, rows = _aurocs(score[None, rows_here], target[rows_here])
        contributions = np.zeros(len(score))
        contributions[rows_here] = rows[0]
        areas.append(float(values[0]))
        parts.append(_Contributions.of(contributions, target * 2 + group, patient))
    return _difference(areas[0], areas[1], parts[0], parts[1], 0.5, alpha), parts[0].difference_from(parts[1], 0.5)


def _swing_difference(first: _SwingWithContributions, second: _SwingWithContributions, alpha: float) -> BoundedEstimate:
    """Return the difference of two swings with its bounds."""
    (g_a, a), (g_b, b) = first, second
    return _bounded_value(g_a.value - g_b.value, a.difference_from(b), 1.0, alpha)


def _aurocs(scores: Float[np.ndarray, "s n"], target: np.ndarray) -> tuple[Float[np.ndarray, " s"], np.ndarray]:
    """Return the AUROC of each row of scores, and each image's contribution to it, in float64."""
    right, opposite = placements(np.asarray(scores, dtype=np.float64), target)
    positive = target == 1
    values = right[:, positive].sum(axis=1) / opposite[:, positive].sum(axis=1)
    return values, auroc_influence(right, opposite, target, values[:, None])


def _unseen_rate(target: np.ndarray, patient: np.ndarray) -> float:
    return zero_event_upper_bound(*(len(np.unique(patient[target == code])) for code in (1, 0)))


@dataclass(frozen=True, slots=True)
class _Contributions:
    """Contributions to an estimate by patient, whose squares sum to its variance.

    Attributes:
        rows: Of each image, not widened, with its stratum and its patient.
        sums: One per patient.
        strata: The same from each stratum alone.
        effective: Effective patients of each stratum, which number the degrees of freedom.
        effective_patients: Those of the stratum that has fewest.
    """

    rows: tuple[Float[np.ndarray, " n"], Int[np.ndarray, " n"], Int[np.ndarray, " n"]]
    sums: Float[np.ndarray, " p"]
    strata: Float[np.ndarray, "s p"]
    effective: Float[np.ndarray, " s"]
    effective_patients: float

    @classmethod
    def of(cls, rows: np.ndarray, stratum: np.ndarray, patient: np.ndarray) -> _Contributions:
        """Sum the contributions of images, widened for small samples."""
        contributions = correct_small_sample(rows, stratum, patient)
        codes, groups = np.unique(patient, return_inverse=True)
        sides = [stratum == code for code in np.unique(stratum)]
        strata = [np.bincount(groups[side], weights=contributions[side], minlength=len(codes)) for side in sides]
        effective = np.array([effective_patients(patient[side]) for side in sides])
        images = rows, stratum, patient
        return cls(images, np.sum(strata, axis=0), np.stack(strata), effective, float(effective.min()))

    def difference_from(self, other: _Contributions, factor: float = 1.0) -> _Contributions:
        """Return the contributions to the difference of two estimates times a factor."""
        sums, strata = factor * (self.sums - other.sums), factor * (self.strata - other.strata)
        rows, stratum, patient = self.rows
        return replace(self, rows=(factor * (rows - other.rows[0]), stratum, patient), sums=sums, strata=strata)

    @property
    def error(self) -> float:
        """Standard error; infinite where a stratum has a single patient."""
        error = math.sqrt(float((self.sums**2).sum()))
        return error if math.isfinite(error) else math.inf

    @property
    def skew(self) -> Skew:
        """Skew of the contributions."""
        rows, stratum, patient = self.rows
        return skew_of(rows, patient, stratum)

    @property
    def df(self) -> float:
        """Degrees of freedom by Welch and Satterthwaite."""
        parts = (self.strata**2).sum(axis=1)
        if not parts.any():
            return math.inf
        spread = float((parts**2 / np.maximum(self.effective - 1, 1)).sum())
        return max(1.0, float(parts.sum()) ** 2 / spread)


def _difference(
    first: float,
    second: float,
    a: _Contributions,
    b: _Contributions,
    factor: float = 1.0,
    alpha: float = ALPHA,
) -> BoundedEstimate:
    """Return factor (first - second) of two AUROCs with bounds."""
    return _bounded_value(float(first - second), a.difference_from(b), factor, alpha)


def _bounded_value(value: float, parts: _Contributions, factor: float, alpha: float) -> BoundedEstimate:
    """Return factor times a value from -1 to 1 with bounds, given the contributions to it."""
    error, df = parts.error, parts.df
    if not math.isfinite(error):
        return BoundedEstimate(factor * value, math.inf, -math.inf, math.inf, 1.0)
    skew = parts.skew
    low, high = _t_bounds(value, error, df, parts.effective_patients, alpha, skew)
    return BoundedEstimate(factor * value, factor * error, factor * low, factor * high, df, skew)


def _t_bounds(
    value: float, error: float, df: float, patients: float, alpha: float, skew: Skew = NO_SKEW
) -> tuple[float, float]:
    """Return bounds of a difference of two AUROCs: by t on the inverse hyperbolic tangent, exact where it is 1 or -1.

    There all pairs are ordered alike. If shares p and q of the patients of two classes may be otherwise, the sample has
    none of them with a probability of (1 - p)^P (1 - q)^N, and the difference is at least 2 (1 - p) (1 - q) - 1.
    Its minimum at a probability of alpha is that of the smaller class alone.
    """
    if abs(value) >= 1:
        bound = 2 * alpha ** (1 / patients) - 1
        return (bound, 1.0) if value > 0 else (-1.0, -bound)
    center, step = math.atanh(value), error / (1 - value**2)
    below, above = skew.quantiles(df, alpha, curvature_of_logit(value, error, (-1.0, 1.0)))
    return math.tanh(center - below * step), math.tanh(center + above * step)
