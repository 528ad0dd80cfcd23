"""Comparisons along the doses, from the records of every dose: at any amount of data, or at matched performance."""

from __future__ import annotations

from collections.abc import Sequence

from assay.core.dose import amount_axis, dose_axis
from assay.core.measures import EFFECTS, OF_WORST_GROUP
from assay.core.spec import ContrastSpec, RecipePoint
from assay.execution.gather import Gathered
from assay.execution.measured import is_of_panels, measured, panel_for, seed_values
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
    axis = amount_axis((*a, *b))
    try:
        sides = [_amounts(gathered, stated, side, axis) for side in (a, b)]
    except _Lost as lost:
        return untested(str(lost), stated.margin)
    if [one.rows for one in sides[0]] != [one.rows for one in sides[1]] or len(sides[0]) < 2:
        return untested("two amounts of data or more were not trained on both sides", stated.margin)
    return matched_clean(sides[0], sides[1], stated.measure, stated.margin)


def _amounts(gathered: Gathered, stated: ContrastSpec, side: Recipes, axis: str) -> list[Amount]:
    by_rows: dict[float, list[RecipePoint]] = {}
    for point in side:
        by_rows.setdefault(float(point.coordinates[axis]), []).append(point)
    made: list[Amount] = []
    for rows, points in sorted(by_rows.items()):
        (doses,) = _by_dose([points])
        clean = gathered.panel(doses[0.0], stated.clean)
        if clean is None:
            raise _Lost(f"no seed of {doses[0.0].label} was kept")
        made.append(Amount(rows, clean, [_dose(gathered, stated, p, point) for p, point in doses.items()]))
    return made


def _by_dose(sides: Sequence[Recipes]) -> list[dict[float, RecipePoint]]:
    """The doses that all sides were trained at, ascending from 0, side by side."""
    axis = dose_axis([point for side in sides for point in side])
    found = [{float(point.coordinates[axis]): point for point in side} for side in sides]
    doses = sorted(set[float].intersection(*(set(side) for side in found)))
    if len(doses) < 2 or doses[0] != 0:
        raise _Lost(f"p = 0 and another dose were not trained{' on both sides' if len(sides) > 1 else ''}")
    return [{p: side[p] for p in doses} for side in found]


def _dose(gathered: Gathered, stated: ContrastSpec, p: float, point: RecipePoint) -> Dose:
    panel = panel_for(gathered, stated, point)
    if panel is None and stated.measure in OF_WORST_GROUP and gathered.kept_seeds(point):
        raise _Lost(f"no group has a value for every seed of {point.label}")
    if panel is None:
        raise _Lost(f"no seed of {point.label} was kept")
    return Dose(p, panel)


def _values(gathered: Gathered, stated: ContrastSpec, point: RecipePoint) -> SeedValues:
    found = seed_values(gathered, point, stated)
    if not len(found.seeds) and gathered.kept_seeds(point):
        raise _Lost(f"{stated.measure} of {stated.factor} was not measured of {point.label}")
    if not len(found.seeds):
        raise _Lost(f"no seed of {point.label} was kept")
    return found
