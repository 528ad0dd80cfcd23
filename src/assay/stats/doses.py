"""Dose-response, and comparison at matched clean performance."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from assay.core.measures import direction_of
from assay.core.reasons import NO_REASON, Code, Reason
from assay.stats.compare import (
    Contrast,
    MatchedLevel,
    TwoScalePValues,
    combination,
    crossing_weights,
    linear_contrast,
    select_seeds,
    untested_contrast,
)
from assay.stats.format import join_words
from assay.stats.panel import MeasureBySeed, SeedPredictions, evaluate, probit

# Dose-response: how a measure changes from p = 0 over the doses, compared between two recipes on two scales.
#
# The outcome of a recipe is the mean over p > 0 of measure(p) - measure(0), paired by seed and patient. The difference
# of two recipes' outcomes is the interaction of recipe and dose. Whether there is one can hang on the scale: near the
# ceiling, equal steps of AUROC are not equal steps of its probit. So it is claimed only where both scales show it with
# the same sign (an intersection-union test, Berger 1982): its p is the greater of both, and 1 where the signs differ.


@dataclass(frozen=True)
class DosePanel:
    """Outputs of a recipe when a share p of a class had the confounder in training.

    Attributes:
        dose: The share p.
        panel: The outputs.

    Examples:
        >>> panel = SeedPredictions(np.zeros((3, 20, 1)), np.arange(20) % 2, np.arange(20))
        >>> curve = [DosePanel(p, panel) for p in (0.0, 0.5, 1.0)]  # none, half and all of a class
        >>> [level.dose for level in curve]
        [0.0, 0.5, 1.0]
    """

    dose: float
    panel: SeedPredictions


DoseCurve = Sequence[DosePanel]
"""A recipe's doses, p = 0 first."""


def interaction(a: DoseCurve, b: DoseCurve, name: str, margin: float | None = None) -> Contrast:
    """Compute the outcome of recipe a less that of recipe b, on the plain scale, with the p-value of both scales.

    It is over the seeds that both have at every dose.

    Args:
        a: Doses of one recipe.
        b: Doses of the other, the same ones.
        name: A measure from 0 to 1.
        margin: Margin of equivalence, on the plain scale.

    Raises:
        ValueError: The recipes have different doses, or the first dose is not 0.

    Examples:
        With the confounder in training, a calls 10 of 20 images right instead of 14, and b 14 as before:

        >>> target = np.arange(20) % 2
        >>> def panel(n_right):
        ...     signs = np.where(np.arange(20) < n_right, 1.0, -1.0)
        ...     return SeedPredictions(np.tile((signs * (2 * target - 1))[:, None], (3, 1, 1)), target, np.arange(20))
        >>> a, b = ([DosePanel(0.0, panel(14)), DosePanel(1.0, panel(n_right))] for n_right in (10, 14))
        >>> round(interaction(a, b, "accuracy").value, 6)
        -0.2
    """
    doses = [tuple(level.dose for level in curve) for curve in (a, b)]
    if doses[0] != doses[1] or len(doses[0]) < 2 or doses[0][0] != 0:
        raise ValueError(
            f"doses are {doses[0]} and {doses[1]}: give both recipes the same ones, 0 and at least another"
        )
    sides = [[evaluate(level.panel, name) for level in curve] for curve in (a, b)]
    return interaction_of_measures(sides[0], sides[1], margin)


def dose_outcome(curve: DoseCurve, name: str) -> Contrast:
    """Compute the effect of the doses: the mean over p > 0 of a measure less that at p = 0.

    It is over the seeds that all doses have. Raises ValueError unless the first dose is 0 and there is another.
    """
    if len(curve) < 2 or curve[0].dose != 0:
        raise ValueError(f"doses are {tuple(level.dose for level in curve)}: give 0 and at least another")
    return combination([level.panel for level in curve], dose_weights(len(curve)), name)


def interaction_of_measures(
    a: Sequence[MeasureBySeed], b: Sequence[MeasureBySeed], margin: float | None = None, *, bounded: bool = True
) -> Contrast:
    """Return the `interaction` of values that are evaluated already, such as a flip rate; p = 0 first.

    Over the seeds that have a number at every dose.

    Args:
        a: Values of one recipe at each dose.
        b: Values of the other.
        margin: Margin of equivalence, on the plain scale.
        bounded: Whether values are within 0 and 1, so that there are two scales; an effect on the logit has its own
            alone, and `scales` is then None.

    Raises:
        ValueError: Unless both have equally many doses, at least 2.
    """
    if len(a) != len(b) or len(a) < 2:
        raise ValueError(f"{len(a)} and {len(b)} doses: give both recipes the same ones, 0 and at least another")
    parts, weights = [*a, *b], np.concatenate([dose_weights(len(a)), -dose_weights(len(b))])
    plain = linear_contrast(parts, weights, margin)
    return combine_scales(plain, linear_contrast([probit(part) for part in parts], weights)) if bounded else plain


def dose_weights(doses: int) -> Float[np.ndarray, " d"]:
    """Return the weights of the doses in a recipe's outcome: -1 for p = 0, equal shares of 1 for the others."""
    return np.array([-1.0, *[1 / (doses - 1)] * (doses - 1)])


def combine_scales(plain: Contrast, probit_contrast: Contrast) -> Contrast:
    """Return the contrast on the plain scale with the p-value of both: the greater, or 1 where their signs differ."""
    signs_agree = plain.value * probit_contrast.value > 0
    p = float(np.maximum(plain.p, probit_contrast.p)) if signs_agree or np.isnan(plain.p + probit_contrast.p) else 1.0
    reason = plain.reason or (
        Reason.of(Code.ON_PROBIT_SCALE) + probit_contrast.reason if probit_contrast.reason else NO_REASON
    )
    return replace(
        plain, p=p, reason=reason, scales=TwoScalePValues(plain.p, probit_contrast.p, signs_agree, probit_contrast)
    )


# Dose-response at matched clean performance: the change by a dose of two recipes that are equally good without it.
#
# A recipe that has little to lose loses little, so a small fall may be want of skill and not robustness. Each recipe
# was trained on several amounts of data, at every dose. Its clean performance is the measure at p = 0 on images that
# have no confounder; the level is the best that both recipes reach, and each is evaluated at the amount, between two
# neighboring ones, where it first reaches that level. There the mean changes over the doses (`dose_outcome`) are
# compared.
#
# Amounts are matched on the mean over seeds: seed by seed, those that were lucky on the clean images would be chosen.
# That the level and the places are estimated too is in the interval. With C clean performance, F the change, i and j
# the amounts on either side of the level L, w their weights, and b = (F_j - F_i) / (C_j - C_i), a recipe's value is
#
#     sum_k w_k F_k + b (L - sum_k w_k C_k)
#
# whose second term is 0 on the mean and moves with seeds and patients as the place does (delta method).


@dataclass(frozen=True)
class TrainingSizePanel:
    """A recipe trained on one amount of data.

    Attributes:
        n_rows: Number of training rows.
        clean: Outputs of the networks trained at p = 0, on images without the confounder.
        doses: Outputs at each dose, p = 0 first.

    Examples:
        >>> panel = SeedPredictions(np.zeros((3, 20, 1)), np.arange(20) % 2, np.arange(20))
        >>> amount = TrainingSizePanel(400, clean=panel, doses=[DosePanel(0.0, panel), DosePanel(1.0, panel)])
        >>> len(amount.doses)
        2
    """

    n_rows: float
    clean: SeedPredictions
    doses: DoseCurve


TrainingSizes = Sequence[TrainingSizePanel]
"""A recipe's amounts, smallest first; at least 2."""
Term = tuple[MeasureBySeed, float]
"""A part of a linear combination, and its weight."""


@dataclass(frozen=True)
class _RecipeCurves:
    """A measure of a recipe at n amounts of training data and d doses, all of the same seeds.

    Attributes:
        n_rows: Training rows of each amount, [n].
        clean: The measure at p = 0 on clean images, per amount.
        clean_means: Its mean over seeds, [n].
        doses: The measure per amount and dose, [n][d].
    """

    n_rows: Float[np.ndarray, " n"]
    clean: Sequence[MeasureBySeed]
    clean_means: Float[np.ndarray, " n"]
    doses: Sequence[Sequence[MeasureBySeed]]


def matched_clean(a: TrainingSizes, b: TrainingSizes, name: str, margin: float | None = None) -> Contrast:
    """Compute the change over the doses of recipe a less that of b, where both are equally good on clean images.

    It is over the seeds that both have at every amount and dose, with the p-value of both scales, as in `interaction`.
    `matched_level` holds the level and the amounts. Undefined where no level is reached by both.

    Args:
        a: One recipe at its amounts of training data.
        b: The other, at amounts that may differ.
        name: A measure from 0 to 1.
        margin: Margin of equivalence, on the plain scale.

    Raises:
        ValueError: Amounts have different doses, the first dose is not 0, or a recipe has fewer than 2 amounts.

    Examples:
        Recipe b needs twice the rows, and nothing else differs:

        >>> target = np.arange(20) % 2
        >>> def panel(n_right):
        ...     signs = np.where(np.arange(20) < n_right, 1.0, -1.0)
        ...     return SeedPredictions(np.tile((signs * (2 * target - 1))[:, None], (3, 1, 1)), target, np.arange(20))
        >>> def amount(n_rows, n_right):
        ...     doses = [DosePanel(0.0, panel(n_right)), DosePanel(1.0, panel(n_right - 2))]
        ...     return TrainingSizePanel(n_rows, panel(n_right), doses)
        >>> a, b = [amount(100, 14), amount(200, 16)], [amount(200, 14), amount(400, 16)]
        >>> result = matched_clean(a, b, "accuracy")
        >>> abs(round(result.value, 6)), result.matched_level.a, result.matched_level.b
        (0.0, 200.0, 400.0)
    """
    panels = _checked_panels(a, b)
    seeds = reduce(np.intersect1d, [panel.seed_ids for panel in panels])
    if not len(seeds):
        return untested_contrast(Reason.of(Code.NO_SEED_AT_EVERY_AMOUNT), margin)
    sides = [_select_common_seeds(amounts, name, seeds) for amounts in (a, b)]
    if reason := next((part.reason for side in sides for part in side.clean if part.reason), NO_REASON):
        return untested_contrast(reason, margin)
    # In `losses`, lower is better whatever the measure. The level is the best that both reach: the worse of their two
    # best values. No amounts match where a recipe is better than the level with its fewest rows.
    sign = -1.0 if direction_of(name) == "higher" else 1.0
    losses = [sign * side.clean_means for side in sides]
    level = max(float(side_values.min()) for side_values in losses)
    if level > min(float(side_values[0]) for side_values in losses):
        return untested_contrast(_unreached_reason(sides), margin)
    level_setter = int(np.argmax([side_values.min() for side_values in losses]))
    weights = [crossing_weights(values, level) for values in losses]
    contrasts_by_scale = [
        _contrast_on_scale(sides, weights, level_setter, margin, scale) for scale in ("plain", "probit")
    ]
    all_seeds = {int(seed) for panel in panels for seed in panel.seed_ids}
    matched_amounts = [float(weight @ side.n_rows) for weight, side in zip(weights, sides, strict=True)]
    combined = combine_scales(contrasts_by_scale[0], contrasts_by_scale[1])
    return replace(
        combined, left_out=len(all_seeds) - len(seeds), matched_level=MatchedLevel(sign * level, *matched_amounts)
    )


def _checked_panels(a: TrainingSizes, b: TrainingSizes) -> list[SeedPredictions]:
    """Return all panels of both recipes. Raises ValueError where amounts or doses do not suffice for a match."""
    doses = {tuple(level.dose for level in amount.doses) for amount in (*a, *b)}
    if (
        min(len(a), len(b)) < 2
        or len(doses) != 1
        or not (len(doses_of_amount := next(iter(doses))) > 1 and doses_of_amount[0] == 0)
    ):
        amounts_of_a, amounts_of_b = (_list_numbers(amount.n_rows for amount in amounts) for amounts in (a, b))
        raise ValueError(
            f"amounts of {amounts_of_a} rows, and of {amounts_of_b}, with doses "
            f"{' or '.join(map(_list_numbers, sorted(doses)))}: give each recipe at least 2 amounts, and all of them "
            "the same doses, 0 and at least another"
        )
    return [panel for amount in (*a, *b) for panel in (amount.clean, *(level.panel for level in amount.doses))]


def _list_numbers(values: Iterable[float]) -> str:
    return join_words([f"{value:g}" for value in values])


def _select_common_seeds(amounts: TrainingSizes, name: str, seeds: Int[np.ndarray, " s"]) -> _RecipeCurves:
    """Evaluate a measure of a recipe at all amounts and doses, for some seeds only."""
    clean = [select_seeds(evaluate(amount.clean, name), seeds) for amount in amounts]
    doses = [[select_seeds(evaluate(level.panel, name), seeds) for level in amount.doses] for amount in amounts]
    values = np.array([part.values.mean() for part in clean])
    return _RecipeCurves(np.array([amount.n_rows for amount in amounts]), clean, values, doses)


def _contrast_on_scale(
    sides: Sequence[_RecipeCurves],
    weights: Sequence[Float[np.ndarray, " n"]],
    level_setter: int,
    margin: float | None,
    scale: Literal["plain", "probit"],
) -> Contrast:
    """Compute the contrast on one scale.

    Clean performance is matched on the plain scale in any case, so that the amounts are the same on both.

    Args:
        sides: Both recipes.
        weights: Weights of the amounts of each recipe, see `crossing_weights`.
        level_setter: Position of the recipe whose best clean performance is the level.
        margin: Margin of equivalence, on this scale.
        scale: The scale of the changes.
    """
    terms: list[Term] = []
    for position, (side, weight) in enumerate(zip(sides, weights, strict=True)):
        sign = 1.0 if position == 0 else -1.0
        changes = [_change_terms(doses, scale) for doses in side.doses]
        terms += [
            (part, sign * w * v)
            for w, changes_of_amount in zip(weight, changes, strict=True)
            if w
            for part, v in changes_of_amount
        ]
        if position == level_setter:
            continue  # it is at an amount that was trained, whatever the level
        slope = sign * _slope(
            side,
            weight,
            [sum(v * float(part.values.mean()) for part, v in changes_of_amount) for changes_of_amount in changes],
        )
        terms += [(part, -slope * w) for w, part in zip(weight, side.clean, strict=True) if w]
        terms += [
            (part, slope * w) for w, part in zip(weights[level_setter], sides[level_setter].clean, strict=True) if w
        ]
    parts, term_weights = zip(*terms, strict=True)
    return linear_contrast(parts, np.array(term_weights), margin)


def _change_terms(doses: Sequence[MeasureBySeed], scale: str) -> list[Term]:
    """Return the terms of the mean change over p > 0 from p = 0."""
    parts = [probit(part) for part in doses] if scale == "probit" else doses
    return list(zip(parts, dose_weights(len(parts)).tolist(), strict=True))


def _slope(side: _RecipeCurves, weight: Float[np.ndarray, " n"], changes: Sequence[float]) -> float:
    """Return the slope of the change over clean performance, between the two amounts that enclose the level."""
    j = max(int(np.flatnonzero(weight)[-1]), 1)
    step = float(side.clean_means[j] - side.clean_means[j - 1])
    return (changes[j] - changes[j - 1]) / step if step else 0.0


def _unreached_reason(sides: Sequence[_RecipeCurves]) -> Reason:
    """Return the reason why no level is reached by both recipes, with the ranges of their clean performance."""
    (low_a, high_a), (low_b, high_b) = ((float(side.clean_means[0]), float(side.clean_means[-1])) for side in sides)
    fewest, most = float(sides[0].n_rows[0]), float(sides[0].n_rows[-1])
    ends = {"low_a": low_a, "high_a": high_a, "low_b": low_b, "high_b": high_b}
    return Reason.of(Code.UNREACHED_CLEAN, fewest=fewest, most=most, **ends)
