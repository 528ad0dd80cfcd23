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
class ComparisonSides:
    """One comparison: recipes a and b, which differ along one axis, or the mean of several comparisons.

    Attributes:
        contrast: The contrast; of a member of a mean, with its own environment and factor.
        a: Recipes of the compared level, along budgets or doses several of them.
        b: Recipes of the reference.
        level: The compared level, or `mean of ...`.
        where: Axis -> value that is held.
        members: The comparisons that a mean is taken over; empty for a single comparison.
    """

    contrast: ContrastSpec
    a: tuple[RecipePoint, ...]
    b: tuple[RecipePoint, ...]
    level: str
    where: Where
    members: tuple[ComparisonSides, ...] = ()

    @property
    def complete(self) -> bool:
        """Return whether a mean has every combination of the values that it is taken over."""
        along = _along(self.contrast, self.a)  # of which each member has all values
        sizes = (len(values) for name, values in self.contrast.mean_over.items() if name not in along)
        return not self.contrast.mean_over or len(self.members) == math.prod(sizes)


def sides_of(contrast: ContrastSpec, points: Sequence[RecipePoint], axes: Sequence[str]) -> Iterator[ComparisonSides]:
    """Yield every comparison of a contrast: each level of its axis, or those it names, against one, per other axes."""
    if not contrast.mean_over:
        yield from _single_comparisons(contrast, points, axes)
        return
    over = contrast.mean_over
    levels = over.get(contrast.axis, contrast.levels)
    alone = contrast.model_copy(update={"mean_over": {}, "levels": levels})
    members = [
        member
        for sides in _single_comparisons(
            alone, [point for point in points if _is_in_mean(point, contrast, points)], axes
        )
        for member in _measure_over(_with_factor(sides, points), over)
    ]
    groups: dict[tuple[str, Where], list[ComparisonSides]] = {}
    for sides in members:
        level = f"mean of {', '.join(levels)}" if contrast.axis in over else sides.level
        where = tuple((axis, value) for axis, value in sides.where if axis not in over)
        groups.setdefault((level, where), []).append(sides)
    for (level, where), members_of_group in groups.items():
        a, b = (
            tuple(_distinct(chain.from_iterable(getattr(sides, side) for sides in members_of_group)))
            for side in ("a", "b")
        )
        yield ComparisonSides(contrast, a, b, level, where, tuple(members_of_group))


def _single_comparisons(
    contrast: ContrastSpec, points: Sequence[RecipePoint], axes: Sequence[str]
) -> Iterator[ComparisonSides]:
    along = _along(contrast, points)
    others = [axis for axis in axes if axis != contrast.axis and axis not in along]
    points_held = [
        point for point in points if all(point.coordinates[axis] == str(v) for axis, v in contrast.where.items())
    ]
    groups: dict[Where, dict[str, list[RecipePoint]]] = {}
    for point in points_held:
        where = tuple((axis, point.coordinates[axis]) for axis in others if axis in point.coordinates)
        groups.setdefault(where, {}).setdefault(point.coordinates[contrast.axis], []).append(point)
    for where, by_level in groups.items():
        for level, recipes in by_level.items():
            is_compared = level in contrast.levels if contrast.levels else level != contrast.against
            if is_compared and contrast.against in by_level:
                yield ComparisonSides(contrast, tuple(recipes), tuple(by_level[contrast.against]), level, where)


def _along(contrast: ContrastSpec, points: Sequence[RecipePoint]) -> tuple[str, ...]:
    """Return the axes that each side of a comparison has several values of."""
    if contrast.at == FIT:
        return (BUDGET_AXIS,)
    amounts = (amount_axis(points),) if contrast.at == "matched-clean" else ()
    return (dose_axis(points), *amounts) if contrast.at in OVER_DOSES else ()


def _is_in_mean(point: RecipePoint, contrast: ContrastSpec, points: Sequence[RecipePoint]) -> bool:
    """Return whether a mean is taken over a recipe: the reference and p = 0 of a dose-response always are."""
    doses = dose_axis(points) if contrast.at in OVER_DOSES else ""
    return all(
        (value := point.coordinates[axis]) in values
        or (axis == contrast.axis and value == contrast.against)
        or (axis == doses and value == "0")
        for axis, values in contrast.mean_over.items()
        if axis not in (ENVIRONMENT, FACTOR)
    )


def _with_factor(sides: ComparisonSides, points: Sequence[RecipePoint]) -> ComparisonSides:
    """Return the comparison with the confounder of its own recipes where the contrast leaves it open."""
    doses = dose_axis(points)
    if sides.contrast.factor != CONFOUNDER or not doses:
        return sides
    factor = dosed_factors(points, doses)[sides.a[-1].label][0]
    return replace(sides, contrast=sides.contrast.model_copy(update={"factor": factor}))


def measured_as(contrast: ContrastSpec, over: Mapping[str, tuple[str, ...]]) -> list[ContrastSpec]:
    """Return a contrast once for each environment and factor of a mean, or the contrast itself."""
    environments, factors = over.get(ENVIRONMENT) or (contrast.environment,), over.get(FACTOR) or (contrast.factor,)
    places = product(environments, factors)
    return [contrast.model_copy(update={ENVIRONMENT: environment, FACTOR: factor}) for environment, factor in places]


def _measure_over(sides: ComparisonSides, over: Mapping[str, tuple[str, ...]]) -> list[ComparisonSides]:
    return [replace(sides, contrast=contrast) for contrast in measured_as(sides.contrast, over)]


def _distinct(points: Iterator[RecipePoint]) -> list[RecipePoint]:
    by_label: Mapping[str, RecipePoint] = {point.label: point for point in points}
    return list(by_label.values())
