"""Comparisons that a contrast is short for: which recipes are on either side, and what a mean is taken over."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, product

from assay.spec.environments import amount_axis, dose_axis, dosed_factors
from assay.spec.schema import ENVIRONMENT, FACTOR, ContrastSpec, RecipePoint

BUDGET_AXIS = "epochs"
FIT = "matched-fit"
OVER_DOSES = ("dose-response", "matched-clean")
"""How contrasts are made that run along doses."""
CONFOUNDER = "confounder"
"""As the `factor` of a contrast: the confounder that a recipe is trained with a dose of, whichever it is."""
Where = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Sides:
    """One comparison: recipes a and b, which differ along one axis, or the mean of several comparisons.

    Attributes:
        stated: The contrast; of a member of a mean, with its own environment and factor.
        a: Recipes of the compared level, along budgets or doses several of them.
        b: Recipes of the reference.
        level: The compared level, or `mean of ...`.
        where: Axis -> value that is held.
        members: The comparisons that a mean is taken over; empty for a single comparison.
    """

    stated: ContrastSpec
    a: tuple[RecipePoint, ...]
    b: tuple[RecipePoint, ...]
    level: str
    where: Where
    members: tuple[Sides, ...] = ()

    @property
    def complete(self) -> bool:
        """Return whether a mean has every combination of the values that it is taken over."""
        along = _along(self.stated, self.a)  # of which each member has all values
        sizes = (len(values) for name, values in self.stated.mean_over.items() if name not in along)
        return not self.stated.mean_over or len(self.members) == math.prod(sizes)


def sides_of(stated: ContrastSpec, points: Sequence[RecipePoint], axes: Sequence[str]) -> Iterator[Sides]:
    """Yield every comparison of a contrast: each level of its axis, or those it names, against one, per other axes."""
    if not stated.mean_over:
        yield from _single(stated, points, axes)
        return
    over = stated.mean_over
    own = over.get(stated.axis, stated.levels)
    alone = stated.model_copy(update={"mean_over": {}, "levels": own})
    members = [
        member
        for one in _single(alone, [point for point in points if _taken(point, stated, points)], axes)
        for member in _measured(_with_factor(one, points), over)
    ]
    groups: dict[tuple[str, Where], list[Sides]] = {}
    for one in members:
        level = f"mean of {', '.join(own)}" if stated.axis in over else one.level
        where = tuple((axis, value) for axis, value in one.where if axis not in over)
        groups.setdefault((level, where), []).append(one)
    for (level, where), found in groups.items():
        a, b = (tuple(_distinct(chain.from_iterable(getattr(one, side) for one in found))) for side in ("a", "b"))
        yield Sides(stated, a, b, level, where, tuple(found))


def _single(stated: ContrastSpec, points: Sequence[RecipePoint], axes: Sequence[str]) -> Iterator[Sides]:
    along = _along(stated, points)
    others = [axis for axis in axes if axis != stated.axis and axis not in along]
    held = [point for point in points if all(point.coordinates[axis] == str(v) for axis, v in stated.where.items())]
    groups: dict[Where, dict[str, list[RecipePoint]]] = {}
    for point in held:
        where = tuple((axis, point.coordinates[axis]) for axis in others if axis in point.coordinates)
        groups.setdefault(where, {}).setdefault(point.coordinates[stated.axis], []).append(point)
    for where, by_level in groups.items():
        for level, recipes in by_level.items():
            asked = level in stated.levels if stated.levels else level != stated.against
            if asked and stated.against in by_level:
                yield Sides(stated, tuple(recipes), tuple(by_level[stated.against]), level, where)


def _along(stated: ContrastSpec, points: Sequence[RecipePoint]) -> tuple[str, ...]:
    """Return the axes that each side of a comparison has several values of."""
    if stated.at == FIT:
        return (BUDGET_AXIS,)
    amounts = (amount_axis(points),) if stated.at == "matched-clean" else ()
    return (dose_axis(points), *amounts) if stated.at in OVER_DOSES else ()


def _taken(point: RecipePoint, stated: ContrastSpec, points: Sequence[RecipePoint]) -> bool:
    """Return whether a mean is taken over a recipe: the reference and p = 0 of a dose-response always are."""
    doses = dose_axis(points) if stated.at in OVER_DOSES else ""
    return all(
        (value := point.coordinates[axis]) in values
        or (axis == stated.axis and value == stated.against)
        or (axis == doses and value == "0")
        for axis, values in stated.mean_over.items()
        if axis not in (ENVIRONMENT, FACTOR)
    )


def _with_factor(one: Sides, points: Sequence[RecipePoint]) -> Sides:
    """Return the comparison with the confounder of its own recipes where the contrast leaves it open."""
    doses = dose_axis(points)
    if one.stated.factor != CONFOUNDER or not doses:
        return one
    factor = dosed_factors(points, doses)[one.a[-1].label][0]
    return replace(one, stated=one.stated.model_copy(update={"factor": factor}))


def measured_as(stated: ContrastSpec, over: Mapping[str, tuple[str, ...]]) -> list[ContrastSpec]:
    """Return a contrast once for each environment and factor of a mean, or the contrast itself."""
    environments, factors = over.get(ENVIRONMENT) or (stated.environment,), over.get(FACTOR) or (stated.factor,)
    places = product(environments, factors)
    return [stated.model_copy(update={ENVIRONMENT: environment, FACTOR: factor}) for environment, factor in places]


def _measured(one: Sides, over: Mapping[str, tuple[str, ...]]) -> list[Sides]:
    return [replace(one, stated=stated) for stated in measured_as(one.stated, over)]


def _distinct(points: Iterator[RecipePoint]) -> list[RecipePoint]:
    seen: Mapping[str, RecipePoint] = {point.label: point for point in points}
    return list(seen.values())
