"""Comparisons along the doses, from the records of every dose: at any amount of data, or at matched performance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from assay.core.dose import amount_axis, dose_axis
from assay.core.measures import EFFECTS
from assay.core.spec import ContrastSpec, RecipePoint
from assay.execution.gather import Gathered
from assay.execution.measured import is_of_panels, measured, panel_for, seed_values, why_nothing
from assay.stats.compare import Contrast, SeedValues, untested
from assay.stats.dose_response import Dose, interaction, interaction_seeds
from assay.stats.matched_clean import Amount, matched_clean

Recipes = Sequence[RecipePoint]
"""One side of a comparison: a recipe at all that it lies along."""


class _Lost(Exception):
    """A recipe of which there is nothing to compare; its text says why."""


def dose_response(gathered: Gathered, stated: ContrastSpec, a: Recipes, b: Recipes) -> Contrast:
    """The interaction with the dose; undefined where a dose was not trained on both sides, or kept no seed."""
    try:
        sides = _by_dose([a, b])
        if is_of_panels(stated):
            first, second = ([_dose(gathered, stated, p, point) for p, point in side.items()] for side in sides)
            result = interaction(first, second, measured(stated), stated.margin)
        else:
            values = [[_values(gathered, stated, point) for point in side.values()] for side in sides]
            bounded = stated.measure not in EFFECTS
            result = interaction_seeds(values[0], values[1], stated.margin, bounded=bounded)
    except _Lost as lost:
        return untested(str(lost), stated.margin)
    return result if result.reason or result.seeds else untested("no seed was kept at every dose", stated.margin)


def at_matched_clean(gathered: Gathered, stated: ContrastSpec, a: Recipes, b: Recipes) -> Contrast:
    """The interaction with the dose where both are equally good without; undefined where they never are."""
    sides = [by_amount(side) for side in (a, b)]
    if sides[0].keys() != sides[1].keys() or len(sides[0]) < 2:
        return untested("two amounts of data or more were not trained on both sides", stated.margin)
    try:
        doses = iter(_by_dose([recipes for side in sides for recipes in side.values()]))
        amounts = [[_amount(gathered, stated, rows, next(doses)) for rows in side] for side in sides]
    except _Lost as lost:
        return untested(str(lost), stated.margin)
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
        raise _Lost(f"no seed of {doses[0.0].label} was kept")
    return Amount(rows, clean, [_dose(gathered, stated, p, point) for p, point in doses.items()])


def _by_dose(sides: Sequence[Recipes]) -> list[dict[float, RecipePoint]]:
    """The doses that all sides were trained at, ascending from 0, side by side."""
    axis, doses = dose_axis([point for side in sides for point in side]), common_doses(sides)
    if len(doses) < 2 or doses[0] != 0:
        raise _Lost("p = 0 and another dose were not trained on both sides")
    found = [{float(point.coordinates[axis]): point for point in side} for side in sides]
    return [{p: side[p] for p in doses} for side in found]


def _dose(gathered: Gathered, stated: ContrastSpec, p: float, point: RecipePoint) -> Dose:
    panel = panel_for(gathered, stated, point)
    if panel is None:
        raise _Lost(why_nothing(gathered, stated, point))
    return Dose(p, panel)


def _values(gathered: Gathered, stated: ContrastSpec, point: RecipePoint) -> SeedValues:
    found = seed_values(gathered, point, stated)
    if not len(found.seeds):
        raise _Lost(why_nothing(gathered, stated, point))
    return found
