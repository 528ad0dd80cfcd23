"""Environments of a study's grid, and the differences that its comparisons can detect, before anything has run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from assay.core.files import canonical_json
from assay.core.measures import range_of
from assay.core.reasons import Code, because
from assay.shifts.association import also_achieved
from assay.shifts.environment import Environment
from assay.shifts.population import Population, Tests
from assay.spec.environments import dose_axis
from assay.spec.schema import RecipePoint, StudySpec
from assay.stats.decisions import LOOK_ALPHA
from assay.stats.measures import COMPUTED
from assay.stats.power import Assumptions, planned, rests_on
from assay.stats.rows import ALPHA, DOSES, MATCHED, PRIMARY
from assay.store.files import Row
from assay.study.families import Pair, compared, pooling_group, spec_pairs

# Environments of the grid.


def headed(found: Sequence[Distinct], points: Sequence[RecipePoint]) -> list[str]:
    """Name the environments of `distinct_environments` for readers.

    Those of one name are distinguished by the axes along which their rows change, not by the whole recipe.
    """
    coordinates = {point.label: point.coordinates for point in points}
    heads: list[str] = []
    for one in found:
        axes = _telling(one.name, points) if one.recipe else ()
        at = [(axis, coordinates[one.recipe][axis]) for axis in axes]
        values = ", ".join(value if value[:1].isalpha() else f"{axis} {value}" for axis, value in at)
        heads.append(f"{one.name} ({values})" if axes else one.label)
    return heads


def _telling(name: str, points: Sequence[RecipePoint]) -> tuple[str, ...]:
    """The axes, in order, whose values say which environment of this name a recipe has, without those that tell nothing
    more; none where all of them do not tell.
    """
    rows = [canonical_json((p.train if name == "train" else p.tests[name]).for_training()) for p in points]
    axes = list(points[0].coordinates)
    for axis in reversed(axes.copy()):  # an axis that is not needed to tell is left out
        without = [one for one in axes if one != axis]
        if _tell(without, points, rows):
            axes = without
    return tuple(axes) if _tell(axes, points, rows) else ()


def _tell(axes: Sequence[str], points: Sequence[RecipePoint], rows: Sequence[str]) -> bool:
    """Whether recipes with the same values on these axes have the same rows."""
    values = [tuple(point.coordinates[axis] for axis in axes) for point in points]
    return len(set(zip(values, rows, strict=True))) == len(set(values))


@dataclass(frozen=True)
class Distinct:
    """A training or test environment of the grid.

    Attributes:
        name: Its name in the study.
        recipe: The first recipe that has it, where one name means several environments along an axis; else empty.
        environment: That of one seed and the first fold.
    """

    name: str
    recipe: str
    environment: Environment

    @property
    def label(self) -> str:
        """The name that distinguishes it in tables: `train`, or `train (recipe)`."""
        return f"{self.name} ({self.recipe})" if self.recipe else self.name


def distinct_environments(points: Sequence[RecipePoint], population: Population, seed: int) -> list[Distinct]:
    """Return every training and test environment of the grid once.

    An intervention on no rows makes no other environment. Environments are those of this seed and the first fold.
    """
    wanted: dict[str, tuple[str, RecipePoint]] = {}
    for point in points:
        for name, environment in {"train": point.train, **point.tests}.items():
            wanted.setdefault(f"{name} {canonical_json(environment.for_training())}", (name, point))
    names = [name for name, _ in wanted.values()]
    found: list[Distinct] = []
    for name, point in wanted.values():
        scene = population.scene(point.tests, seed)
        made = population.training(point.train, seed)[0] if name == "train" else scene.environment(name)
        made = also_achieved(made, Tests(point.tests).ties)
        found.append(Distinct(name, point.label if names.count(name) > 1 else "", made))
    return found


# What each stated contrast of a study could detect, before anything has run.


def detectable_differences(spec: StudySpec, population: Population) -> list[Row]:
    """Return rows of `schema.POWER`: a comparison, and the difference that it finds with 80% power.

    `detectable` is NaN, with `reason`, where the plan cannot say: a measure whose patients or range are not
    known beforehand, too few patients, fewer than 3 seeds. The assumptions are `stats.power.Assumptions`.
    """
    family = spec_pairs(spec)
    groups = [pooling_group(pair.stated) for pair in family]
    return [
        _entry(pair, spec, population, _of_family(pair, family), groups.count(group))
        for pair, group in zip(family, groups, strict=True)
    ]


def _of_family(pair: Pair, every: Sequence[Pair]) -> int:
    """Count the comparisons of the family of a comparison, itself included."""
    if pair.stated.role == "positive-control":
        return 1
    return sum(other.stated.family_name == pair.stated.family_name for other in every)


def _entry(whole: Pair, spec: StudySpec, population: Population, family: int, group: int) -> Row:
    pair = whole.single[0]
    stated = pair.stated
    entry: Row = {**compared(whole), "role": stated.role, "detectable": math.nan, "reason": ""}
    if stated.measure not in COMPUTED:
        return {**entry, "reason": str(because(Code.UNKNOWN_SPREAD))}
    counts = _test_patients(pair, population, stated.environment)
    positives, negatives = counts[-1], sum(counts[:-1])
    if rests_on(stated.measure, positives, negatives) is None:
        return {**entry, "reason": str(because(Code.UNPLANNED_VARIANCE))}
    correction = stated.family.correction if stated.family else "holm"
    difference = planned(
        spec.seeds,
        positives,
        negatives,
        stated.measure,
        Assumptions() if stated.seed_sd is None else Assumptions(seed_sd=stated.seed_sd),
        family,
        population.folds,
        group,
        correction,
        LOOK_ALPHA if spec.looks and stated.role == PRIMARY else ALPHA,
    )
    if stated.at in (DOSES, MATCHED):
        doses = len({point.coordinates[dose_axis(pair.a)] for point in pair.a})
        difference *= math.sqrt(1 + 1 / max(1, doses - 1))  # a mean over doses less one value, as if independent
    if math.isnan(difference):
        return {
            **entry,
            "reason": str(because(Code.TOO_FEW_PLANNED, seeds=spec.seeds, patients=tuple(map(str, counts)))),
        }
    low, high = range_of(stated.measure)
    if difference > (high - low) * (2 if stated.at in (DOSES, MATCHED) else 1):  # one may rise as the other falls
        return {**entry, "reason": str(because(Code.BEYOND_RANGE))}
    return {**entry, "detectable": round(difference, 3)}


def _test_patients(pair: Pair, population: Population, environment: str) -> Sequence[int]:
    """Patients per class in the test environment, all folds together."""
    tests = pair.a[0].tests
    tables = [population.scene(tests, 0, fold).environment(environment).table for fold in range(population.folds)]
    return [
        sum(len(np.unique(table.patient[table.target == k])) for table in tables)
        for k in range(len(population.classes))
    ]
