"""Descriptions of a study's data that tables and page need, stored so that these can be made without the data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from assay.core.measures import OF_WORST_GROUP
from assay.core.types import FactorTable
from assay.execution.plan import Plan
from assay.spec.schema import ENVIRONMENT, RecipePoint, StudySpec
from assay.stats.panel import SeedPredictions
from assay.store.description import DataDescription, Rows
from assay.store.files import Row
from assay.store.folder import RunFolder
from assay.study.contrasts import dose_count_rows
from assay.study.gathered import Records
from assay.study.measurements import FoldTables, Group, JoinedFolds, PooledMeasurements, WorstGroup

if TYPE_CHECKING:
    from assay.look.cues import Cue
    from assay.shifts.population import Population
    from assay.study.confounders import GridEnvironment


class DataTables(JoinedFolds, DataDescription):
    """Description of a study's data.

    Attributes:
        dose_counts: Rows of this table.
        visibility: Rows of this table.
        shortcuts: Rows of this table.
        issues: Rows of this table.
        added: Rows of this table.
    """

    dose_counts: Rows
    visibility: Rows
    shortcuts: Rows
    issues: Rows = ()
    added: Rows


def gather_records(plan: Plan, folder: RunFolder, population: Population) -> Records:
    """Gather the records of a plan; folds are joined from kept outputs, and images of the worst groups are found."""
    joined, tables = JoinedFolds(folds=population.folds, classes=population.classes), FoldTables(population)
    records = Records(plan, folder, joined)
    if population.folds > 1:
        seeds = [(point, seed) for point in plan.spec.points for seed in records.kept_seeds(point)]
        joined.pooled = tuple(_measure_folds(records, tables, *of_seed) for of_seed in seeds)
    joined.worst = _worst_groups(records, tables)
    return records


def _measure_folds(records: Records, tables: FoldTables, point: RecipePoint, seed: int) -> PooledMeasurements:
    read = {name: records.read_folds(seed, point.label, name) for name in point.tests}
    outputs = {name: of_environment for name, of_environment in read.items() if of_environment is not None}
    rows = tables.measurements(records.plan.spec.probes, point, seed, outputs)
    return PooledMeasurements(recipe=point.label, seed=seed, rows=rows)


def describe(records: Records, population: Population) -> DataTables:
    """Draw the pictures of a finished study to `pictures/`, and describe its data for the tables."""
    from assay.look.checks import data_checks
    from assay.study.confounders import ConfounderSample, cautions, distinct_environments, visibility_rows
    from assay.study.heat_maps import illustrate

    spec, dataset = records.plan.spec, population.dataset
    clean_sample, answers = (
        ConfounderSample.at(spec, population),
        ((recipe, panel) for recipe, _, panel in clean_answers(records)),
    )
    sets = {name: other.dataset for name, other in population.sets.items()}
    checks = data_checks(spec.data, dataset, sets, predictions=answers)
    environments = distinct_environments(spec.points, population, spec.first_seed)
    return DataTables(
        environments=environment_rows(
            spec, population, environments, [environment.label for environment in environments]
        ),
        pictures=illustrate(records, population, checks),
        facts=facts_of_sets(population),
        cautions=(*checks.reasons, *cautions(spec, population, clean_sample)),
        dose_counts=dose_count_rows(spec, population),
        visibility=visibility_rows(spec, clean_sample),
        shortcuts=checks.shortcuts,
        issues=checks.issues,
        added=added_rows(records, checks.cues, dataset.table) if dataset else [],
        **dict(records.joined),
    )


def _worst_groups(records: Records, tables: FoldTables) -> tuple[WorstGroup, ...]:
    """Return the worst groups by all seeds, and by those of each look, where another one may be the worst."""
    spec = records.plan.spec
    places = {
        (environment, OF_WORST_GROUP[contrast.measure])
        for contrast in spec.contrasts
        if contrast.measure in OF_WORST_GROUP
        for environment in contrast.mean_over.get(ENVIRONMENT, (contrast.environment,))
    }
    parts = [replace(records, plan=records.plan.of_first_seeds(seeds)) for seeds in spec.looks] if places else []
    seeds_by_group: dict[tuple[str, Group, tuple[int, ...]], dict[tuple[str, int], None]] = {}
    for part in (*parts, records):
        for environment, measure in sorted(places):
            for point in part.plan.spec.points:
                if group := part.worst_place(point, environment, measure):
                    for seed in part.kept_seeds(point):
                        rows = tuple(tables.members(point, seed, environment, group))
                        seeds_by_group.setdefault((environment, group, rows), {})[point.label, seed] = None
    return tuple(
        WorstGroup(environment=environment, group=group, rows=list(rows), of=list(of))
        for (environment, group, rows), of in seeds_by_group.items()
    )


def environment_rows(
    spec: StudySpec,
    population: Population,
    environments: Sequence[GridEnvironment],
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

    tables, points = FoldTables(population), {point.label: point for point in spec.points}
    rows: list[Row] = []
    for distinct, name in zip(environments, names, strict=True):
        environment = also_achieved(distinct.environment, dict.fromkeys(marks, ()))
        table = tables.all_fold_rows(points.get(distinct.recipe, spec.points[0]).tests, distinct.name, environment)
        rows += environment_rows_of(name, distinct.recipe, environment, table)
    return rows


def facts_of_sets(population: Population) -> dict[str, str]:
    """Return the provenance of the training set and of the other sets that are tested on."""
    from assay.data.cards import facts_of

    facts = facts_of(population.card, population.classes)
    for name, other in population.sets.items():
        facts |= {f"{key} of {name}": fact for key, fact in facts_of(other.card, ()).items()}
    return facts


def added_rows(records: Records, cues: Sequence[Cue], table: FactorTable) -> list[Row]:
    """Return rows of `data_tables.ADDED`, one per recipe and test environment without interventions.

    Args:
        records: The outputs.
        cues: Scores of all images.
        table: All images.
    """
    from assay.look.added import compare_with_cue

    return [
        {"recipe": recipe, "environment": name, **row}
        for recipe, name, panel in clean_answers(records)
        for row in compare_with_cue(panel, cues, table)
    ]


def clean_answers(records: Records) -> Iterator[tuple[str, str, SeedPredictions]]:
    """Yield recipe, test environment and answers to images of the training set's kind, as they are."""
    for point in records.plan.spec.points:
        for name, environment in point.tests.items():
            panel = None if environment.interventions or environment.data else records.panel(point, name)
            if panel is not None:
                yield point.label, name, panel
