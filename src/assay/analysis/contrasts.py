"""Compute the pre-specified contrasts of a study, with and without doses."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import get_args

import numpy as np

from assay.analysis.measurements import values_of_seeds
from assay.analysis.results import Gathered, is_of_panels, measured, panel_for, seed_values, why_nothing
from assay.core.files import canonical_json, content_hash
from assay.core.measures import EFFECTS, direction_of
from assay.core.reasons import Code, Reason, because
from assay.core.types import Direction
from assay.spec.comparisons import FIT, Sides, sides_of
from assay.spec.environments import amount_axis, dose_axis
from assay.spec.schema import ContrastSpec, RecipePoint, Role, StudySpec
from assay.stats.compare import (
    Budget,
    Contrast,
    compare,
    contrast,
    matched_fit,
    untested,
)
from assay.stats.decisions import DECIDED_BY, LOOK_ALPHA, OF_RESULT, Family, decide, mean_of, pooled
from assay.stats.doses import Amount, Dose, interaction, interaction_seeds, matched_clean
from assay.stats.format import listed
from assay.stats.measures import COMPUTED
from assay.stats.panel import Evaluated
from assay.stats.rows import ALPHA, DOSES, MATCHED, RELIANCE
from assay.store.files import Row

# Comparisons along the doses, from the records of every dose: at any amount of data, or at matched performance.

Recipes = Sequence[RecipePoint]
"""One side of a comparison: a recipe at all that it lies along."""


class _Lost(Exception):
    """Nothing to compare, and why."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason


def dose_response(gathered: Gathered, stated: ContrastSpec, a: Recipes, b: Recipes) -> Contrast:
    """The interaction with the dose; undefined where a dose was not trained on both sides, or kept no seed."""
    try:
        sides = _by_dose([a, b])
        if is_of_panels(stated):
            first, second = ([_dose(gathered, stated, p, point) for p, point in side.items()] for side in sides)
            result = interaction(first, second, measured(stated), stated.margin)
        else:
            values = [
                # without contributions, errors are one at all p > 0, whose models meet the same samples
                [_values(gathered, stated, point, f"{k} {p > 0}") for p, point in side.items()]
                for k, side in enumerate(sides)
            ]
            bounded = stated.measure not in EFFECTS
            result = interaction_seeds(values[0], values[1], stated.margin, bounded=bounded)
    except _Lost as lost:
        return untested(lost.reason, stated.margin)
    return result if result.reason or result.seeds else untested(because(Code.NO_SEED_AT_EVERY_DOSE), stated.margin)


def at_matched_clean(gathered: Gathered, stated: ContrastSpec, a: Recipes, b: Recipes) -> Contrast:
    """The interaction with the dose where both are equally good without; undefined where they never are."""
    sides = [by_amount(side) for side in (a, b)]
    if sides[0].keys() != sides[1].keys() or len(sides[0]) < 2:
        return untested(because(Code.ONE_AMOUNT), stated.margin)
    try:
        doses = iter(_by_dose([recipes for side in sides for recipes in side.values()]))
        amounts = [[_amount(gathered, stated, rows, next(doses)) for rows in side] for side in sides]
    except _Lost as lost:
        return untested(lost.reason, stated.margin)
    return matched_clean(amounts[0], amounts[1], stated.measure, stated.margin)


def by_amount(side: Recipes) -> dict[float, list[RecipePoint]]:
    """Rows that were trained on, ascending -> a side's recipes; all of them at 0 where amounts are no axis."""
    axis = amount_axis(side)
    made: dict[float, list[RecipePoint]] = {}
    for point in side:
        made.setdefault(float(point.coordinates[axis]) if axis else 0.0, []).append(point)
    return dict(sorted(made.items()))


def common_doses(sides: Sequence[Recipes]) -> list[float]:
    """The doses that all were trained at, ascending."""
    axis = dose_axis([point for side in sides for point in side])
    return sorted(set[float].intersection(*({float(point.coordinates[axis]) for point in side} for side in sides)))


def _amount(gathered: Gathered, stated: ContrastSpec, rows: float, doses: Mapping[float, RecipePoint]) -> Amount:
    clean = gathered.panel(doses[0.0], stated.clean)
    if clean is None:
        raise _Lost(because(Code.NO_SEED_OF, recipe=doses[0.0].label))
    return Amount(rows, clean, [_dose(gathered, stated, p, point) for p, point in doses.items()])


def _by_dose(sides: Sequence[Recipes]) -> list[dict[float, RecipePoint]]:
    """The doses that all sides were trained at, ascending from 0, side by side."""
    axis, doses = dose_axis([point for side in sides for point in side]), common_doses(sides)
    if len(doses) < 2 or doses[0] != 0:
        raise _Lost(because(Code.ONE_DOSE))
    found = [{float(point.coordinates[axis]): point for point in side} for side in sides]
    return [{p: side[p] for p in doses} for side in found]


def _dose(gathered: Gathered, stated: ContrastSpec, p: float, point: RecipePoint) -> Dose:
    panel = panel_for(gathered, stated, point)
    if panel is None:
        raise _Lost(why_nothing(gathered, stated, point))
    return Dose(p, panel)


def _values(gathered: Gathered, stated: ContrastSpec, point: RecipePoint, own: str = "") -> Evaluated:
    found = seed_values(gathered, point, stated, own)
    if found is None:
        raise _Lost(why_nothing(gathered, stated, point))
    return found


# The stated contrasts of a study, carried out on what was gathered.


@dataclass(frozen=True)
class Pair:
    """One comparison: recipes a and b, which differ along one axis, or the mean of several such comparisons.

    Each side is several recipes, along the budgets or the doses, at matched fit or where the dose-response is compared.
    """

    stated: ContrastSpec
    a: tuple[RecipePoint, ...]
    b: tuple[RecipePoint, ...]
    level_a: str
    where: tuple[tuple[str, str], ...]
    members: tuple[Pair, ...] = ()

    @property
    def single(self) -> tuple[Pair, ...]:
        """The comparisons that it is the mean of, or itself."""
        return self.members or (self,)

    @property
    def recipes(self) -> set[str]:
        """Labels of all recipes of both sides."""
        return {point.label for one in self.single for point in (*one.a, *one.b)}

    @property
    def id(self) -> str:
        """The hash of the contrast's words, with the level and the held values."""
        words = content_hash(self.stated.model_copy(update={"seed_sd": None}).canonical())  # a plan, and no statement
        return f"{words}-{self.level_a}" + "".join(f"-{value}" for _, value in self.where)

    @property
    def doses(self) -> str:
        """Which doses were trained at everywhere, where somewhere there were more; empty elsewhere."""
        if self.stated.at not in (DOSES, MATCHED) or self.members:
            return ""
        sides = [recipes for side in (self.a, self.b) for recipes in by_amount(side).values()]
        doses = common_doses(sides)
        above = [f"{p:g}" for p in doses if p]
        return listed(above) if any(len(side) > len(doses) for side in sides) else ""


def pairs(stated: ContrastSpec, points: Sequence[RecipePoint], axes: Sequence[str]) -> list[Pair]:
    """Return every comparison that a contrast means (see `spec.comparisons`)."""
    return list(map(_pair, sides_of(stated, points, axes)))


def _pair(sides: Sides) -> Pair:
    return Pair(sides.stated, sides.a, sides.b, sides.level, sides.where, tuple(map(_pair, sides.members)))


def spec_pairs(spec: StudySpec) -> list[Pair]:
    """Every comparison of a study, contrast by contrast."""
    return [pair for stated in spec.contrasts for pair in pairs(stated, spec.points, tuple(spec.axes))]


def families_of(
    gathered: Gathered, beforehand: Collection[str], carried: Mapping[str, Contrast] | None = None
) -> list[Family]:
    """Carry out the comparisons of a study: primary families first, then secondary ones and controls.

    Only comparisons that were stated beforehand (by `Pair.id`) are in families of the study. Exploratory ones form one
    of their own. Primary families of a study with looks are tested at the level of a look.

    Args:
        gathered: Records of the study.
        beforehand: Ids of comparisons.
        carried: Results of comparisons that were carried out already, by id.
    """
    alpha = LOOK_ALPHA if gathered.plan.spec.looks else ALPHA
    known = carried or {}
    found = [(pair, known.get(pair.id) or carry_out(gathered, pair)) for pair in spec_pairs(gathered.plan.spec)]
    stated = pooled_pairs([one for one in found if one[0].id in beforehand])
    # Exploratory contrasts are moderated by all, and change the variance of no pre-specified one.
    exploratory = [one for one in pooled_pairs(found) if one[0].id not in beforehand]
    own = [
        family_of(name, family, alpha if family[0][0].stated.role == "primary" else ALPHA)
        for name, family in families(stated)
    ]
    return [*own, *([family_of(EXPLORATORY, exploratory)] if exploratory else [])]


def families(
    stated: Sequence[tuple[Pair, Contrast]],
) -> list[tuple[str, list[tuple[Pair, Contrast]]]]:
    """Group comparisons by family, primary families first; in a fixed order those of a family are in that order.

    A positive control is a family of its own.
    """
    keys = [(pair.stated.family_name, pair.id if pair.stated.role == "positive-control" else "") for pair, _ in stated]
    found = [[stated[i] for i in members] for members in _positions(keys)]
    ordered = [(family[0][0].stated.family_name, sorted(family, key=_place)) for family in found]
    roles = get_args(Role)
    return sorted(ordered, key=lambda family: roles.index(family[1][0][0].stated.role))


def _place(one: tuple[Pair, Contrast]) -> int:
    family = one[0].stated.family
    return family.order or 0 if family else 0


def pooling_group(stated: ContrastSpec) -> tuple[str, ...]:
    """Return the key of contrasts whose seeds' variances are pooled: measure, environment, reference, matching."""
    measure = (stated.measure, stated.factor, stated.layer)
    averaged = canonical_json(dict(stated.mean_over)) if stated.mean_over else ""
    return (*measure, stated.environment, stated.axis, str(stated.against), stated.at, averaged)


def pooled_pairs(found: Sequence[tuple[Pair, Contrast]]) -> list[tuple[Pair, Contrast]]:
    """The same comparisons in the same order, tested with variances moderated over their pooling groups."""
    results = [result for _, result in found]
    for members in _positions([pooling_group(pair.stated) for pair, _ in found]):
        for i, result in zip(members, pooled([results[i] for i in members]), strict=True):
            results[i] = result
    return [(pair, result) for (pair, _), result in zip(found, results, strict=True)]


def _positions(keys: Sequence[tuple[str, ...]]) -> list[list[int]]:
    """The positions of equal keys."""
    return [[i for i, one in enumerate(keys) if one == key] for key in dict.fromkeys(keys)]


EXPLORATORY = "exploratory"


def family_of(
    name: str,
    family: Sequence[tuple[Pair, Contrast]],
    alpha: float = ALPHA,
    earlier: Mapping[str, Row] | None = None,
) -> Family:
    """Return comparisons with their results as a family; see `Family` for the arguments."""
    named: list[Row] = [
        {
            **compared(pair),
            "role": pair.stated.role,
            "expected": pair.stated.expected,
            "exploratory": name == EXPLORATORY,
            "equal": _equal(pair, result),
        }
        for pair, result in family
    ]
    rule = family[0][0].stated.family
    correction = "holm" if rule is None or name == EXPLORATORY else rule.correction
    return Family(name, named, [result for _, result in family], alpha, correction, earlier or {})


def carry_out(gathered: Gathered, pair: Pair) -> Contrast:
    """One comparison; where it cannot be made, a NaN with the reason."""
    return replace(_carried_out(gathered, pair), direction=_direction(gathered, pair))


def _direction(gathered: Gathered, pair: Pair) -> Direction:
    """Return which direction is better: as the measure is defined, or as its probe declares."""
    name = measured(pair.stated)
    if name in COMPUTED:
        return direction_of(name)
    rows = (
        row
        for point in (*pair.a, *pair.b)
        for (measure, *_), by_seed in gathered.scalars[point.label].items()
        if measure == name
        for row in by_seed.values()
    )
    return next((row["direction"] for row in rows), "none")


def _carried_out(gathered: Gathered, pair: Pair) -> Contrast:
    stated = pair.stated
    if pair.members:
        return mean_of([_carried_out(gathered, member) for member in pair.members], stated.margin)
    if stated.at == DOSES:
        return dose_response(gathered, stated, pair.a, pair.b)
    if stated.at == MATCHED:
        return at_matched_clean(gathered, stated, pair.a, pair.b)
    if stated.at == FIT:
        curves = [_curve(gathered, recipes, stated.environment) for recipes in (pair.a, pair.b)]
        if curves[0] is None or curves[1] is None:
            return untested(because(Code.NO_SEED_AT_EVERY_BUDGET), stated.margin)
        return matched_fit(curves[0], curves[1], stated.measure, stated.margin)
    a, b = pair.a[0], pair.b[0]
    if is_of_panels(stated):
        panels = [panel_for(gathered, stated, point) for point in (a, b)]
        if panels[0] is None or panels[1] is None:
            return untested(why_nothing(gathered, stated, a if panels[0] is None else b), stated.margin)
        result = contrast(panels[0], panels[1], measured(stated), stated.margin)
    else:
        try:
            sides = [_values(gathered, stated, point) for point in (a, b)]
        except _Lost as lost:
            return untested(lost.reason, stated.margin)
        result = compare(sides, np.array([1.0, -1.0]), stated.margin)
    kept = {seed for point in (a, b) for seed in gathered.kept_seeds(point)}
    return replace(result, left_out=len(kept) - result.seeds)


def _curve(gathered: Gathered, recipes: Sequence[RecipePoint], environment: str) -> list[Budget] | None:
    budgets: list[Budget] = []
    for point in sorted(recipes, key=lambda recipe: recipe.recipe.epochs):
        panel = gathered.panel(point, environment)
        if panel is None:
            return None
        budgets.append(Budget(panel, gathered.yardsticks(point, panel.numbers)))
    return budgets


def compared(pair: Pair) -> Row:
    """Return the columns that name a comparison."""
    stated = pair.stated
    return {
        "id": pair.id,
        **{name: getattr(stated, name) for name in ("axis", "at", "measure", "environment", "factor", "layer")},
        "a": pair.level_a,
        "b": stated.against,
        "doses": pair.doses,
        "clean": stated.clean if stated.at == MATCHED else "",
        "where": json.dumps(dict(pair.where)),
        "pooled": json.dumps(dict(stated.mean_over)) if stated.mean_over else "",
    }


def _equal(pair: Pair, result: Contrast) -> str:
    """Where both are equally good on clean images, as JSON; empty where nothing was matched on them."""
    if result.equal is None:
        return ""
    axis = amount_axis(pair.a)
    trained = sorted({float(point.coordinates[axis]) for point in pair.a})
    return json.dumps({**asdict(result.equal), "clean": pair.stated.clean, "trained": trained})


# Paired contrasts between the factors that one recipe relies on: is its greatest factor above each of the others?
#
# The values of two factors are of the same models, so that the difference is taken per seed. Factors are ranked by the
# means that are then tested. Holm corrects over the other factors, and a factor is the greatest where all are rejected.


def reliance_rows(gathered: Gathered, point: RecipePoint) -> list[Row]:
    """Rows of `schema.RELIANCE_CONTRASTS` of a recipe, by every measure of reliance that has more than one factor."""
    return [
        row for measure in RELIANCE for row in _against_greatest(point, measure, _by_factor(gathered, point, measure))
    ]


def _by_factor(gathered: Gathered, point: RecipePoint, measure: str) -> dict[str, Evaluated]:
    """Values per seed of every factor where its mean is greatest, the strongest factor first."""
    strongest: dict[str, Evaluated] = {}
    for (name, _, factor, _, _, group), by_seed in gathered.scalars[point.label].items():
        if name != measure or group or not by_seed:
            continue
        found = values_of_seeds(by_seed, factor)
        if found.reason:
            continue
        if factor not in strongest or found.values.mean() > strongest[factor].values.mean():
            strongest[factor] = found
    return dict(sorted(strongest.items(), key=lambda item: -item[1].values.mean()))


def _against_greatest(point: RecipePoint, measure: str, by_factor: Mapping[str, Evaluated]) -> list[Row]:
    if len(by_factor) < 2:
        return []
    (factor, first), *others = by_factor.items()
    results = [compare([first, other], np.array([1.0, -1.0])) for _, other in others]
    return [
        {
            **point.columns,
            "measure": measure,
            "factor": factor,
            "against": against,
            **{name: getattr(result, name) for name in OF_RESULT[:7]},
            **{name: getattr(decision, name) for name in DECIDED_BY},
            "reason": str(result.reason),
        }
        for (against, _), result, decision in zip(others, results, decide(results), strict=True)
    ]
