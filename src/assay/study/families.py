"""Planned comparisons of a study, the families in which they are tested, and the groups that share a variance."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import get_args

from assay.core.files import canonical_json, content_hash
from assay.spec.comparisons import ComparisonSides, sides_of
from assay.spec.environments import amount_axis, dose_axis
from assay.spec.schema import ContrastSpec, RecipePoint, Role, StudySpec
from assay.stats.compare import Contrast
from assay.stats.decisions import Family, moderate_group
from assay.stats.format import join_words
from assay.stats.rows import ALPHA, DOSES, MATCHED
from assay.store.files import Row

Recipes = Sequence[RecipePoint]
"""One side of a comparison: a recipe at all that it lies along."""


def by_amount(side: Recipes) -> dict[float, list[RecipePoint]]:
    """Rows that were trained on, ascending -> a side's recipes; all of them at 0 where amounts are no axis."""
    axis = amount_axis(side)
    recipes_by_amount: dict[float, list[RecipePoint]] = {}
    for point in side:
        recipes_by_amount.setdefault(float(point.coordinates[axis]) if axis else 0.0, []).append(point)
    return dict(sorted(recipes_by_amount.items()))


def common_doses(sides: Sequence[Recipes]) -> list[float]:
    """The doses that all were trained at, ascending."""
    axis = dose_axis([point for side in sides for point in side])
    return sorted(set[float].intersection(*({float(point.coordinates[axis]) for point in side} for side in sides)))


@dataclass(frozen=True)
class PlannedComparison:
    """One comparison: recipes a and b, which differ along one axis, or the mean of several such comparisons.

    Each side is several recipes, along the budgets or the doses, at matched fit or where the dose-response is compared.
    """

    contrast: ContrastSpec
    a: tuple[RecipePoint, ...]
    b: tuple[RecipePoint, ...]
    level_a: str
    where: tuple[tuple[str, str], ...]
    members: tuple[PlannedComparison, ...] = ()

    @property
    def single_comparisons(self) -> tuple[PlannedComparison, ...]:
        """The comparisons that it is the mean of, or itself."""
        return self.members or (self,)

    @property
    def recipes(self) -> set[str]:
        """Labels of all recipes of both sides."""
        return {point.label for sides in self.single_comparisons for point in (*sides.a, *sides.b)}

    @property
    def id(self) -> str:
        """The hash of the contrast's words, with the level and the held values."""
        words = content_hash(self.contrast.model_copy(update={"seed_sd": None}).canonical())  # a plan, and no statement
        return f"{words}-{self.level_a}" + "".join(f"-{value}" for _, value in self.where)

    @property
    def doses(self) -> str:
        """Which doses were trained at everywhere, where somewhere there were more; empty elsewhere."""
        if self.contrast.at not in (DOSES, MATCHED) or self.members:
            return ""
        sides = [recipes for side in (self.a, self.b) for recipes in by_amount(side).values()]
        doses = common_doses(sides)
        above = [f"{p:g}" for p in doses if p]
        return join_words(above) if any(len(side) > len(doses) for side in sides) else ""


def pairs(contrast: ContrastSpec, points: Sequence[RecipePoint], axes: Sequence[str]) -> list[PlannedComparison]:
    """Return every comparison that a contrast means (see `spec.comparisons`)."""
    return list(map(_planned_comparison, sides_of(contrast, points, axes)))


def _planned_comparison(sides: ComparisonSides) -> PlannedComparison:
    return PlannedComparison(
        sides.contrast, sides.a, sides.b, sides.level, sides.where, tuple(map(_planned_comparison, sides.members))
    )


def study_comparisons(spec: StudySpec) -> list[PlannedComparison]:
    """Every comparison of a study, contrast by contrast."""
    return [pair for contrast in spec.contrasts for pair in pairs(contrast, spec.points, tuple(spec.axes))]


def families(
    results: Sequence[tuple[PlannedComparison, Contrast]],
) -> list[tuple[str, list[tuple[PlannedComparison, Contrast]]]]:
    """Group comparisons by family, primary families first; in a fixed order those of a family are in that order.

    A positive control is a family of its own.
    """
    groups = [[results[i] for i in members] for members in _positions([family_key(pair) for pair, _ in results])]
    ordered = [(family[0][0].contrast.family_name, sorted(family, key=_place_in_family)) for family in groups]
    roles = get_args(Role)
    return sorted(ordered, key=lambda family: roles.index(family[1][0][0].contrast.role))


def family_key(pair: PlannedComparison) -> tuple[str, str]:
    """Return the key of comparisons that are corrected together; a positive control is alone."""
    return pair.contrast.family_name, pair.id if pair.contrast.role == "positive-control" else ""


def _place_in_family(result: tuple[PlannedComparison, Contrast]) -> int:
    family = result[0].contrast.family
    return family.order or 0 if family else 0


def pooling_group(contrast: ContrastSpec) -> tuple[str, ...]:
    """Return the key of contrasts whose seeds' variances are pooled: measure, environment, reference, matching."""
    measure = (contrast.measure, contrast.factor, contrast.layer)
    averaged = canonical_json(dict(contrast.mean_over)) if contrast.mean_over else ""
    return (*measure, contrast.environment, contrast.axis, str(contrast.against), contrast.at, averaged)


def with_pooled_variances(
    found: Sequence[tuple[PlannedComparison, Contrast]],
) -> list[tuple[PlannedComparison, Contrast]]:
    """The same comparisons in the same order, tested with variances moderated over their pooling groups."""
    results = [result for _, result in found]
    for members in _positions([pooling_group(pair.contrast) for pair, _ in found]):
        for i, result in zip(members, moderate_group([results[i] for i in members]), strict=True):
            results[i] = result
    return [(pair, result) for (pair, _), result in zip(found, results, strict=True)]


def _positions(keys: Sequence[tuple[str, ...]]) -> list[list[int]]:
    """The positions of equal keys."""
    return [[i for i, other in enumerate(keys) if other == key] for key in dict.fromkeys(keys)]


EXPLORATORY = "exploratory"


def family_of(
    name: str,
    family: Sequence[tuple[PlannedComparison, Contrast]],
    alpha: float = ALPHA,
    closed_rows: Mapping[str, Row] | None = None,
) -> Family:
    """Return comparisons with their results as a family; see `Family` for the arguments."""
    rows: list[Row] = [
        {
            **comparison_columns(pair),
            "role": pair.contrast.role,
            "expected": pair.contrast.expected,
            "exploratory": name == EXPLORATORY,
            "equal": _matched_level_text(pair, result),
        }
        for pair, result in family
    ]
    declared = family[0][0].contrast.family
    correction = "holm" if declared is None or name == EXPLORATORY else declared.correction
    return Family(name, rows, [result for _, result in family], alpha, correction, closed_rows or {})


def comparison_columns(pair: PlannedComparison) -> Row:
    """Return the columns that name a comparison."""
    contrast = pair.contrast
    return {
        "id": pair.id,
        **{name: getattr(contrast, name) for name in ("axis", "at", "measure", "environment", "factor", "layer")},
        "a": pair.level_a,
        "b": contrast.against,
        "doses": pair.doses,
        "clean": contrast.clean if contrast.at == MATCHED else "",
        "where": json.dumps(dict(pair.where)),
        "pooled": json.dumps(dict(contrast.mean_over)) if contrast.mean_over else "",
    }


def _matched_level_text(pair: PlannedComparison, result: Contrast) -> str:
    """Where both are equally good on clean images, as JSON; empty where nothing was matched on them."""
    if result.matched_level is None:
        return ""
    axis = amount_axis(pair.a)
    trained = sorted({float(point.coordinates[axis]) for point in pair.a})
    return json.dumps({**asdict(result.matched_level), "clean": pair.contrast.clean, "trained": trained})
