"""Preview a study before training, as a run without tasks: pictures, associations, simple cues, power."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from assay.core.files import canonical_json
from assay.core.measures import range_of
from assay.core.reasons import Code, Reason
from assay.core.versions import time_and_versions
from assay.execution.run import RunSteps, Tables
from assay.look.checks import DataChecks, data_checks
from assay.report.pictures import PictureWriter
from assay.shifts.population import Population
from assay.spec.environments import dose_axis, images_seed
from assay.spec.schema import RecipePoint, StudySpec
from assay.stats.decisions import LOOK_ALPHA
from assay.stats.doubts import caution_rows, uneven_rows
from assay.stats.measures import COMPUTED
from assay.stats.power import Assumptions, detectable_difference, patients_behind
from assay.stats.rows import ALPHA, DOSES, MATCHED, PRIMARY
from assay.store.files import Row
from assay.store.folder import RunFolder
from assay.study.confounders import (
    ConfounderSample,
    GridEnvironment,
    cautions,
    confounders,
    distinct_environments,
    name_environments,
    visibility_rows,
)
from assay.study.described import environment_rows, facts_of_sets
from assay.study.families import PlannedComparison, comparison_columns, pooling_group, study_comparisons
from assay.study.kind import PREVIEW
from assay.study.request import RunRequest
from assay.study.run import PreparedStudy
from assay.study.tables import spec_facts

# What each stated contrast of a study could detect, before anything has run.


def detectable_differences(spec: StudySpec, population: Population) -> list[Row]:
    """Return rows of `schema.POWER`: a comparison, and the difference that it finds with 80% power.

    `detectable` is NaN, with `reason`, where the plan cannot say: a measure whose patients or range are not
    known beforehand, too few patients, fewer than 3 seeds. The assumptions are `stats.power.Assumptions`.
    """
    family = study_comparisons(spec)
    groups = [pooling_group(pair.contrast) for pair in family]
    return [
        _comparison_row(pair, spec, population, _of_family(pair, family), groups.count(group))
        for pair, group in zip(family, groups, strict=True)
    ]


def _of_family(pair: PlannedComparison, every: Sequence[PlannedComparison]) -> int:
    """Count the comparisons of the family of a comparison, itself included."""
    if pair.contrast.role == "positive-control":
        return 1
    return sum(other.contrast.family_name == pair.contrast.family_name for other in every)


def _comparison_row(whole: PlannedComparison, spec: StudySpec, population: Population, family: int, group: int) -> Row:
    pair = whole.single_comparisons[0]
    contrast = pair.contrast
    entry: Row = {**comparison_columns(whole), "role": contrast.role, "detectable": math.nan, "reason": ""}
    if contrast.measure not in COMPUTED:
        return {**entry, "reason": str(Reason.of(Code.UNKNOWN_SPREAD))}
    counts = _test_patients(pair, population, contrast.environment)
    positives, negatives = counts[-1], sum(counts[:-1])
    if patients_behind(contrast.measure, positives, negatives) is None:
        return {**entry, "reason": str(Reason.of(Code.UNPLANNED_VARIANCE))}
    correction = contrast.family.correction if contrast.family else "holm"
    difference = detectable_difference(
        spec.seeds,
        positives,
        negatives,
        contrast.measure,
        Assumptions() if contrast.seed_sd is None else Assumptions(seed_sd=contrast.seed_sd),
        family,
        population.folds,
        group,
        correction,
        LOOK_ALPHA if spec.looks and contrast.role == PRIMARY else ALPHA,
    )
    if contrast.at in (DOSES, MATCHED):
        doses = len({point.coordinates[dose_axis(pair.a)] for point in pair.a})
        difference *= math.sqrt(1 + 1 / max(1, doses - 1))  # a mean over doses less one value, as if independent
    if math.isnan(difference):
        return {
            **entry,
            "reason": str(Reason.of(Code.TOO_FEW_PLANNED, seeds=spec.seeds, patients=tuple(map(str, counts)))),
        }
    low, high = range_of(contrast.measure)
    if difference > (high - low) * (2 if contrast.at in (DOSES, MATCHED) else 1):  # one may rise as the other falls
        return {**entry, "reason": str(Reason.of(Code.BEYOND_RANGE))}
    return {**entry, "detectable": round(difference, 3)}


def _test_patients(pair: PlannedComparison, population: Population, environment: str) -> Sequence[int]:
    """Patients per class in the test environment, all folds together; another set is whole in every fold."""
    tests = pair.a[0].tests
    folds = 1 if tests[environment].data else population.folds
    tables = [population.scene(tests, 0, fold).environment(environment).table for fold in range(folds)]
    return [
        sum(len(np.unique(table.patient[table.target == k])) for table in tables)
        for k in range(len(population.classes))
    ]


@dataclass(frozen=True)
class PreviewRun(RunSteps):
    """A preview as a `Run`.

    Attributes:
        prepared: The study.
        request: What was asked.
        workers: Workers that would train it.
    """

    prepared: PreparedStudy
    request: RunRequest
    workers: int
    kind = PREVIEW

    @property
    def sources(self) -> Sequence[Path]:
        """See `Run`."""
        return self.prepared.spec.files

    def conclude(self, folder: RunFolder) -> Tables:
        """Draw the pictures, and return all tables. Raises as the run would where an association cannot be had."""
        tables = preview_tables(
            self.prepared.spec, self.prepared.population, folder.root / "pictures", self.prepared.starts
        )
        return {**tables, "provenance": [{"key": key, "value": value} for key, value in self._facts().items() if value]}

    def _facts(self) -> dict[str, str]:
        prepared, spec = self.prepared, self.prepared.spec
        looks = {"looks": ", ".join(map(str, spec.looks)), "most training runs": str(prepared.most_trials)}
        return {
            "study": spec.name,
            "question": spec.question,
            "command": spec.command,
            "core": spec.data.core or "",
            **facts_of_sets(prepared.population),
            "seeds": str(spec.seeds),
            "folds": str(prepared.population.folds),
            "training runs": str(len(prepared.plan.trainings)),
            "new training runs": str(prepared.new_trials),
            "tasks": str(len(prepared.tasks)),
            **(looks if spec.looks else {}),
            "seconds": f"{prepared.seconds(self.workers):.1f}",
            "workers": str(self.workers),
            "device": prepared.device,
            **time_and_versions(),
            **spec_facts(spec),
        }


def preview_tables(
    spec: StudySpec, population: Population, pictures: Path, starts: Mapping[str, Population] | None = None
) -> dict[str, Sequence[Row]]:
    """Draw every environment of a study to a folder, and return the tables of its preview.

    Training environments are those of the first seed. Raises as the run would when an association cannot be had.

    Args:
        spec: The study.
        population: Its images.
        pictures: The folder.
        starts: Source -> the images that it is trained on.
    """
    clean_sample, changes = ConfounderSample.at(spec, population), confounders(spec.points)
    environments = distinct_environments(spec.points, population, spec.first_seed)
    heads, marks = name_environments(environments, spec.points), [change.name for change in changes]
    rows = environment_rows(spec, population, environments, heads, marks)
    sets = {name: other.dataset for name, other in population.sets.items()}
    checks = data_checks(spec.data, population.dataset, sets)
    doubts = (*checks.reasons, *_uneven(spec, environments), *cautions(spec, population, clean_sample))
    return {
        "environments": rows,
        "counts": [
            {**{name: row[name] for name in ("environment", "factor")}, "target": target, "level": level, "value": n}
            for row in rows
            for target, level, n in json.loads(row.get("counts", "[]"))
        ],
        "visibility": visibility_rows(spec, clean_sample),
        "shortcuts": checks.shortcuts,
        "issues": checks.issues,
        "power": detectable_differences(spec, population),
        "findings": caution_rows(doubts),
        "pictures": list(_pictures(spec, population, pictures, environments, starts or {}, checks)),
    }


def _pictures(
    spec: StudySpec,
    population: Population,
    folder: Path,
    environments: Sequence[GridEnvironment],
    starts: Mapping[str, Population],
    checks: DataChecks,
) -> Iterator[Row]:
    """Draw environments, sources, confounders, pairs that differ in one factor, copies and odd images."""
    gallery = PictureWriter(folder, population.scale, spec.data.target, population.folds, spec.task == "segmentation")
    for environment, head in zip(environments, name_environments(environments, spec.points), strict=True):
        yield gallery.draw_sheet(environment.environment, head, head)
    for name, source in spec.sources.items():
        if name in starts and not source.own:
            training, _ = starts[name].training(source.environment, images_seed(spec.first_seed))
            yield replace(gallery, scale=starts[name].scale).draw_source_training_images(
                training, name, source.recipe.epochs
            )
    clean_sample, changes = ConfounderSample.at(spec, population), confounders(spec.points)
    for number, change in enumerate(changes, start=1):
        yield gallery.draw_confounder_sheet(
            number, change.label, clean_sample.clean, clean_sample.with_confounder(change)
        )
    scene = population.scene(spec.points[0].tests, spec.first_seed)
    for factor in scene.changeable():
        if factor not in {change.name for change in changes}:
            yield from gallery.draw_pairs(scene, factor, {})
    yield from checks.pictures(gallery)


def _uneven(spec: StudySpec, environments: Sequence[GridEnvironment]) -> Iterator[Reason]:
    """Yield a doubt where doses differ in the number of training rows."""
    images = {
        environment.recipe: len(environment.environment)
        for environment in environments
        if environment.recipe and environment.name == "train"
    }
    first = {_trained_on(point): images[point.label] for point in spec.points if point.label in images}
    trained = [(point.coordinates, first[_trained_on(point)]) for point in spec.points if _trained_on(point) in first]
    if reason := uneven_rows(trained, dose_axis(spec.points)):
        yield reason


def _trained_on(point: RecipePoint) -> str:
    """Return the properties that distinguish a training environment from others: confounders share that of p = 0."""
    return canonical_json(point.train.for_training())
