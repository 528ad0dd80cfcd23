"""Descriptions of a study's data that tables and page need, stored so that these can be made without the data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int
from pydantic import BaseModel

from assay.core.errors import StoreError
from assay.core.measures import OF_WORST_GROUP
from assay.core.types import FactorTable
from assay.spec.schema import ENVIRONMENT, RecipePoint, StudySpec
from assay.stats.panel import Panel
from assay.store.described import DESCRIBED, DataDescription, Rows
from assay.store.files import Row
from assay.study.contrasts import dose_count_rows
from assay.study.gathered import Gathered
from assay.study.measurements import Folds, Group, Outputs

if TYPE_CHECKING:
    from assay.look.cues import Cue
    from assay.shifts.population import Population
    from assay.study.confounders import Distinct


class PooledMeasurements(BaseModel):
    """The measurements of one seed of a recipe over all folds together."""

    recipe: str
    seed: int
    rows: Rows


class WorstGroup(BaseModel):
    """The rows of a group that is the worst where a comparison of the worst is stated.

    Attributes:
        environment: The environment.
        group: The group.
        rows: Numbers of its images.
        of: Recipes and seeds whose worst group it is; many share one.
    """

    environment: str
    group: Group
    rows: list[int]
    of: list[tuple[str, int]]


class Described(DataDescription):
    """Description of a study's data.

    Attributes:
        dose_counts: Rows of this table.
        visibility: Rows of this table.
        shortcuts: Rows of this table.
        issues: Rows of this table.
        added: Rows of this table.
        folds: Folds of every seed.
        classes: Names of the classes, in the order of their codes.
        pooled: Measurements over folds.
        worst: Worst groups.
    """

    dose_counts: Rows
    visibility: Rows
    shortcuts: Rows
    issues: Rows = ()
    added: Rows
    folds: int
    classes: tuple[str, ...] = ()
    pooled: tuple[PooledMeasurements, ...]
    worst: tuple[WorstGroup, ...]

    def measurements(self, point: RecipePoint, seed: int, outputs: Mapping[str, Outputs]) -> list[Row]:
        """The measurements over all folds together, as `Folds` made them."""
        return self._by_seed.get((point.label, seed), [])

    @cached_property
    def _by_seed(self) -> Mapping[tuple[str, int], list[Row]]:
        return {(pooled.recipe, pooled.seed): list(pooled.rows) for pooled in self.pooled}

    def members(self, point: RecipePoint, seed: int, environment: str, group: Group) -> Int[np.ndarray, "n"]:
        """The rows of a group, as `Folds` had them. Raises StoreError for one that was not kept."""
        place, key = (environment, group), (point.label, seed)
        rows_of_group = next(
            (worst.rows for worst in self.worst if (worst.environment, worst.group) == place and key in worst.of), None
        )
        if rows_of_group is None:
            raise StoreError(
                f"{DESCRIBED} holds no images of the group {' '.join(filter(None, group))} in {environment}, which is "
                f"the worst of {point.label}: run the study again, which trains nothing that is there"
            )
        return np.array(rows_of_group, dtype=np.int64)


def describe(gathered: Gathered, population: Population) -> Described:
    """Draw the pictures of a finished study to `pictures/`, and describe its data for the tables."""
    from assay.look.checks import data_checks
    from assay.study.confounders import ConfounderSample, cautions, distinct_environments, visibility_rows
    from assay.study.heat_maps import illustrate

    spec, dataset = gathered.plan.spec, population.dataset
    clean_sample, answers = (
        ConfounderSample.at(spec, population),
        ((recipe, panel) for recipe, _, panel in clean_answers(gathered)),
    )
    sets = {name: other.dataset for name, other in population.sets.items()}
    checks = data_checks(spec.data, dataset, sets, answers=answers)
    environments = distinct_environments(spec.points, population, spec.first_seed)
    return Described(
        environments=environment_rows(
            spec, population, environments, [environment.label for environment in environments]
        ),
        pictures=illustrate(gathered, population, checks),
        facts=facts_of_sets(population),
        cautions=(*checks.reasons, *cautions(spec, population, clean_sample)),
        dose_counts=dose_count_rows(spec, population),
        visibility=visibility_rows(spec, clean_sample),
        shortcuts=checks.shortcuts,
        issues=checks.issues,
        added=added_rows(gathered, checks.cues, dataset.table) if dataset else [],
        folds=population.folds,
        classes=population.classes,
        pooled=tuple(
            PooledMeasurements(recipe=recipe, seed=seed, rows=rows)
            for (recipe, seed), rows in gathered.measurements_of_folds.items()
        ),
        worst=_worst_groups(gathered),
    )


def _worst_groups(gathered: Gathered) -> tuple[WorstGroup, ...]:
    spec = gathered.plan.spec
    places = {
        (environment, OF_WORST_GROUP[contrast.measure])
        for contrast in spec.contrasts
        if contrast.measure in OF_WORST_GROUP
        for environment in contrast.mean_over.get(ENVIRONMENT, (contrast.environment,))
    }
    seeds_by_group: dict[tuple[str, Group, tuple[int, ...]], list[tuple[str, int]]] = {}
    for environment, measure in sorted(places):
        for point in spec.points:
            if group := gathered.worst_place(point, environment, measure):
                for seed in gathered.kept_seeds(point):
                    rows = tuple(gathered.folds.members(point, seed, environment, group).tolist())
                    of = seeds_by_group.setdefault((environment, group, rows), [])
                    if (point.label, seed) not in of:
                        of.append((point.label, seed))
    return tuple(
        WorstGroup(environment=environment, group=group, rows=list(rows), of=of)
        for (environment, group, rows), of in seeds_by_group.items()
    )


def environment_rows(
    spec: StudySpec,
    population: Population,
    environments: Sequence[Distinct],
    names: Sequence[str],
    marks: Sequence[str] = (),
) -> list[Row]:
    """Describe distinct environments as requested and achieved; training ones as in the first seed and fold.

    A test environment of k-fold data is that of all folds, as its association is.

    Args:
        spec: The study.
        population: Its images.
        environments: The environments.
        names: Their names in tables.
        marks: Marks whose association is described even where a share alone selects their rows.
    """
    from assay.shifts.association import also_achieved
    from assay.shifts.environment import environment_rows_of

    folds, points = Folds(population, spec.probes), {point.label: point for point in spec.points}
    rows: list[Row] = []
    for distinct, name in zip(environments, names, strict=True):
        environment = also_achieved(distinct.environment, dict.fromkeys(marks, ()))
        table = folds.whole(points.get(distinct.recipe, spec.points[0]).tests, distinct.name, environment)
        rows += environment_rows_of(name, distinct.recipe, environment, table)
    return rows


def facts_of_sets(population: Population) -> dict[str, str]:
    """Return the provenance of the training set and of the other sets that are tested on."""
    from assay.data.cards import facts_of

    facts = facts_of(population.card, population.classes)
    for name, other in population.sets.items():
        facts |= {f"{key} of {name}": fact for key, fact in facts_of(other.card, ()).items()}
    return facts


def added_rows(gathered: Gathered, cues: Sequence[Cue], table: FactorTable) -> list[Row]:
    """Return rows of `data_tables.ADDED`, one per recipe and test environment without interventions.

    Args:
        gathered: The outputs.
        cues: Scores of all images.
        table: All images.
    """
    from assay.look.added import compare_with_cue

    return [
        {"recipe": recipe, "environment": name, **row}
        for recipe, name, panel in clean_answers(gathered)
        for row in compare_with_cue(panel, cues, table)
    ]


def clean_answers(gathered: Gathered) -> Iterator[tuple[str, str, Panel]]:
    """Yield recipe, test environment and answers to images of the training set's kind, as they are."""
    for point in gathered.plan.spec.points:
        for name, environment in point.tests.items():
            panel = None if environment.interventions or environment.data else gathered.panel(point, name)
            if panel is not None:
                yield point.label, name, panel
