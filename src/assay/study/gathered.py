"""Gather results of trials over seeds and folds: panels of outputs, and worst groups."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from jaxtyping import Int

from assay.core.errors import StoreError
from assay.core.map_grid import AT_NATIVE, of_one_width
from assay.core.measures import OF_WORST_GROUP, PERFORMANCE, WORST_GROUP
from assay.core.reasons import NO_REASON, Code, Reason, reason_of
from assay.core.registry import lookup
from assay.core.types import TRAINED_GROUPS, Contributions
from assay.execution.plan import Plan, ProbeUnit, Trial
from assay.execution.sources import start_id
from assay.execution.workspace import operating_of, specific_of
from assay.probes.performance import insert_overall_rows, overall
from assay.spec.schema import REFERABLE, ContrastSpec, RecipePoint
from assay.stats.influence import ModelPredictions
from assay.stats.measures import COMPUTED
from assay.stats.panel import MeasureBySeed, SeedPredictions
from assay.stats.rows import KEY_FIELDS
from assay.store.arrays import ROW_COLUMNS, measurement_row
from assay.store.files import ColumnRows, Row
from assay.store.folder import RunFolder
from assay.study.measurements import (
    CONTRIBUTIONS,
    PLACE,
    SEED,
    SEED_COLUMNS,
    Columns,
    ContributionReader,
    Group,
    JoinedFolds,
    Key,
    Measurements,
    average_folds,
    by_column,
    key_of,
    values_of_seeds,
    worst_place,
)

SPECIFICITY_COLUMN = "specific"
"""The column of log-odds from which specificities are reached on validation rows."""


def joined_columns(parts: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Rows of several parts one after another; arrays with an entry per lesion are padded to the most."""
    joined: dict[str, np.ndarray] = {}
    for name in parts[0]:
        columns = [part[name] for part in parts]
        joined[name] = np.concatenate(of_one_width(name, columns))
    return joined


def panel_of(outputs: Mapping[int, Mapping[str, np.ndarray]], where: str) -> SeedPredictions:
    """Make the panel of outputs by seed: columns row, patient, target, fold, threshold, logits [n, k], columns of maps.

    Raises StoreError where a seed answered a row twice, or seeds disagree about the target or patient of a row.
    """
    first = next(iter(outputs.values()))["row"]
    alike = all(np.array_equal(outputs_of_seed["row"], first) for outputs_of_seed in outputs.values())
    rows = np.unique(
        first if alike else np.concatenate([outputs_of_seed["row"] for outputs_of_seed in outputs.values()])
    )
    is_complete = alike and len(rows) == len(first)
    classes = next(iter(outputs.values()))["logits"].shape[1]
    shape = (len(outputs), len(rows))
    scores = np.full((*shape, classes), np.nan)
    tested, fold, thresholds = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=np.int64), np.full(shape, 0.5)
    facts = {"target": np.full(len(rows), -1), "patient": np.full(len(rows), -1)}
    is_filled = np.zeros(len(rows), dtype=bool)
    for s, (seed, outputs_of_seed) in enumerate(outputs.items()):
        if not is_complete and len(np.unique(outputs_of_seed["row"])) < len(outputs_of_seed["row"]):
            raise StoreError(f"{where}: seed {seed} answered a row twice; delete its readings and run the study again")
        place = np.searchsorted(rows, outputs_of_seed["row"])
        for name, column in facts.items():
            _require_same(
                column[place][is_filled[place]], outputs_of_seed[name][is_filled[place]], f"{where}: seed {seed}", name
            )
            column[place] = outputs_of_seed[name]
        is_filled[place], tested[s, place] = True, True
        scores[s, place], fold[s, place], thresholds[s, place] = (
            outputs_of_seed["logits"],
            outputs_of_seed["fold"],
            outputs_of_seed["threshold"],
        )
    seeds = np.array(list(outputs), dtype=np.int64)
    maps = _stack_maps(list(outputs.values()), rows)
    specific = maps.pop(SPECIFICITY_COLUMN, None)
    panel = SeedPredictions(scores, facts["target"], facts["patient"], fold, tested, thresholds, seeds, maps)
    return replace(panel, specificity_log_odds=specific, image_indices=rows)


def _stack_maps(outputs: Sequence[Mapping[str, np.ndarray]], rows: np.ndarray) -> dict[str, np.ndarray]:
    """Stack the columns of maps as [seeds, rows, ...]. Rows without an output are zero and are never read."""
    stacked: dict[str, np.ndarray] = {}
    for name in outputs[0].keys() - {*ROW_COLUMNS, "threshold", "logits"}:
        columns = of_one_width(name, [outputs_of_seed[name] for outputs_of_seed in outputs])
        stacked[name] = np.zeros((len(outputs), len(rows), *columns[0].shape[1:]), np.result_type(*columns))
        for s, (outputs_of_seed, column) in enumerate(zip(outputs, columns, strict=True)):
            stacked[name][s, np.searchsorted(rows, outputs_of_seed["row"])] = column
    return stacked


def _require_same(earlier: np.ndarray, later: np.ndarray, who: str, name: str) -> None:
    differing = int((earlier != later).sum())
    if differing:
        raise StoreError(
            f"{who} has another {name} than earlier seeds for {differing} rows, so its images are not theirs: "
            "delete its readings and run the study again"
        )


# From records to the input of statistics: panels of outputs per recipe and environment, and probes' values per seed.

SURFACES = {"surface_code": "shared", f"{AT_NATIVE}surface_code": f"{AT_NATIVE}shared"}
"""Columns that are 0 where truth and prediction both have a surface -> those that say where all recipes have both."""
CONTRIBUTION_CACHE_SIZE = 64
"""Probe units whose contributions are held at once: about 0.2 MB each."""
RECIPES_IN_MEMORY = 64
"""Recipes whose measurements are held at once."""
PANELS_IN_MEMORY = 16
"""Panels kept in memory with the measures computed of them. One of 10 seeds takes 2 MB and more."""


@dataclass(frozen=True)
class Records:
    """The complete records of a study, by recipe and seed.

    Attributes:
        plan: Its plan, or a part of it.
        folder: Its run folder.
        joined: What all folds of a seed give together.
    """

    plan: Plan
    folder: RunFolder
    joined: JoinedFolds

    @cached_property
    def trials(self) -> Mapping[str, dict[str, Any]]:
        """Trial id -> its record, for complete trials."""
        complete = [trial.id for trial in self.plan.trials if self.folder.complete("trials", trial.id)]
        return {id: self.folder.record("trials", id) for id in complete}

    @cached_property
    def failures(self) -> Mapping[str, dict[str, Any]]:
        """Trial id -> record of its failure or that of its probes."""
        return self.folder.failures()

    @cached_property
    def by_point(self) -> Mapping[str, Mapping[int, list[Trial]]]:
        """Recipe label -> seed -> its trials, one per fold."""
        by_seed: dict[str, dict[int, list[Trial]]] = {point.label: {} for point in self.plan.spec.points}
        for trial in self.plan.trials:
            by_seed[trial.point.label].setdefault(trial.training.seed, []).append(trial)
        return by_seed

    def kept_seeds(self, point: RecipePoint) -> list[int]:
        """Seeds all of whose folds were trained to the end and did not collapse or diverge."""
        return [seed for seed, trials in self.by_point[point.label].items() if all(map(self._is_done, trials))]

    def lost_seeds(self, point: RecipePoint) -> list[int]:
        """Seeds with a fold that collapsed or diverged."""
        statuses = {
            seed: {self.trials[trial.id]["status"] for trial in trials if trial.id in self.trials}
            for seed, trials in self.by_point[point.label].items()
        }
        return [seed for seed, status in statuses.items() if status & {"collapsed", "diverged"}]

    def panel(self, point: RecipePoint, environment: str) -> SeedPredictions | None:
        """Return the outputs of a recipe's kept seeds in an environment; None when no seed has been read there."""
        return self._cached_panel(point.label, environment)

    @cached_property
    def _cached_panel(self) -> Any:
        return lru_cache(maxsize=PANELS_IN_MEMORY)(self._panel)

    def _panel(self, label: str, environment: str) -> SeedPredictions | None:
        point = self._points[label]
        read_before = self._ahead.pop((label, environment), None)
        outputs_by_seed = (
            self._reads(self.kept_seeds(point), label, [environment])[environment]
            if read_before is None
            else read_before
        )
        for outputs in outputs_by_seed.values():
            for code, shared in SURFACES.items():
                if code in outputs:
                    outputs[shared] = np.isin(outputs["row"], self._with_surfaces[environment, code])
        if not outputs_by_seed:
            return None
        panel = panel_of(outputs_by_seed, f"{label} in {environment}")
        several = panel.scores.shape[2] > 2
        return replace(panel, grade_cutoff=self._cut if several else 1, class_names=self.joined.classes)

    @cached_property
    def _ahead(self) -> dict[tuple[str, str], dict[int, dict[str, np.ndarray]]]:
        return {}

    def read_ahead(self, point: RecipePoint) -> None:
        """Read the outputs of a recipe in all environments at once, for the next call of `panel`."""
        self._ahead.clear()
        read = self._reads(self.kept_seeds(point), point.label, list(point.tests))
        self._ahead.update({(point.label, environment): outputs for environment, outputs in read.items()})

    def worst_group(self, point: RecipePoint, environment: str, measure: str) -> SeedPredictions | None:
        """Return the outputs of a recipe's kept seeds on its worst group by a measure, the same group for all seeds.

        None where no group has the measure for every seed (`why_no_worst`).
        """
        return self._worst_panels(point.label, environment, measure)

    @cached_property
    def _worst_panels(self) -> Any:
        return lru_cache(maxsize=PANELS_IN_MEMORY)(self._worst_panel)

    def _worst_panel(self, label: str, environment: str, measure: str) -> SeedPredictions | None:
        point = self._points[label]
        place, panel = self.worst_place(point, environment, measure), self.panel(point, environment)
        if place is None or panel is None:
            return None
        numbers = panel.seed_ids.tolist()
        read = [self.read_folds(seed, point.label, environment) for seed in numbers]
        rows = np.unique(np.concatenate([outputs["row"] for outputs in read if outputs is not None]))
        inside = np.stack([np.isin(rows, self.joined.members(point, seed, environment, place)) for seed in numbers])
        tested = inside if panel.has_prediction is None else inside & panel.has_prediction
        return replace(panel, has_prediction=tested).rows(np.flatnonzero(tested.any(axis=0)))

    def worst_place(self, point: RecipePoint, environment: str, measure: str) -> Group | None:
        """The group that is the worst of a recipe by a measure; None where none has it for every seed."""
        every, key = self.measurements(point), _worst_key(environment, measure)
        place = worst_place(key, every, every, self._smallest_group) if key in every else None
        return (place[2], place[3], place[5]) if place else None

    def why_no_worst(self, point: RecipePoint, environment: str, measure: str) -> Reason:
        """Return why no group of a recipe that kept seeds is the worst, as its measurement says."""
        rows = self.measurements(point).get(_worst_key(environment, measure), ())
        return next(map(reason_of, rows), NO_REASON)

    @property
    def _cut(self) -> int:
        return self.plan.spec.data.referable or REFERABLE

    @cached_property
    def _with_surfaces(self) -> Mapping[tuple[str, str], np.ndarray]:
        """Environment, column of `SURFACES` -> the rows in which the maps of every kept seed of every recipe have both
        surfaces: surfaces are averaged over the same images for all.
        """
        lacking: dict[tuple[str, str], list[np.ndarray]] = {}
        having: dict[tuple[str, str], list[np.ndarray]] = {}
        for point in self.plan.spec.points:
            for environment in point.tests:
                for seed in self.kept_seeds(point):
                    outputs = self.read_folds(seed, point.label, environment) or {}
                    for code in SURFACES.keys() & outputs.keys():
                        undefined = outputs[code] != 0
                        lacking.setdefault((environment, code), []).append(outputs["row"][undefined])
                        having.setdefault((environment, code), []).append(outputs["row"][~undefined])
        return {key: np.setdiff1d(np.concatenate(rows), np.concatenate(lacking[key])) for key, rows in having.items()}

    def read_folds(self, seed: int, label: str, environment: str) -> dict[str, np.ndarray] | None:
        """Return the outputs of all folds of one seed, one after another; None while a fold has not been read."""
        return self._reads([seed], label, [environment])[environment].get(seed)

    def _reads(
        self, seeds: Sequence[int], label: str, environments: Sequence[str]
    ) -> dict[str, dict[int, dict[str, np.ndarray]]]:
        """Outputs of several seeds by environment, without those of which a fold has not been read."""
        ids = {
            (name, seed): [
                self.plan.readings.get((label, trial.id, name), "") for trial in self._reading(label, seed, name)
            ]
            for name in environments
            for seed in seeds
        }
        complete = {
            key: ids_of_key
            for key, ids_of_key in ids.items()
            if all(self.folder.complete("readings", id) for id in ids_of_key)
        }
        read = iter(self.folder.outputs_of([id for ids_of_key in complete.values() for id in ids_of_key]))
        by_environment: dict[str, dict[int, dict[str, np.ndarray]]] = {name: {} for name in environments}
        for (name, seed), ids_of_key in complete.items():
            by_environment[name][seed] = self._join_folds(
                self._reading(label, seed, name), [next(read) for _ in ids_of_key]
            )
        return by_environment

    def _reading(self, label: str, seed: int, environment: str) -> list[Trial]:
        """Return the trials of a seed that read an environment: its folds, or their ensemble."""
        return [trial for trial in self.by_point[label][seed] if environment in trial.tests]

    def _join_folds(self, trials: Sequence[Trial], parts: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
        """Outputs of the folds of a seed with the thresholds of their models."""
        for trial, outputs in zip(trials, parts, strict=True):
            record = self.trials[trial.id]
            threshold = record["threshold"]
            outputs["threshold"] = np.full(len(outputs["row"]), 0.5 if threshold is None else threshold)
            if operating := operating_of(record):
                outputs["operating"] = np.tile(operating, (len(outputs["row"]), 1))
            if specific := specific_of(record):
                outputs[SPECIFICITY_COLUMN] = np.tile(
                    specific[min(self._cut, len(specific)) - 1], (len(outputs["row"]), 1)
                )
        return joined_columns(parts)

    def yardsticks(self, point: RecipePoint, seeds: np.ndarray) -> np.ndarray:
        """Validation log-loss of the refitted head per seed [s], folds averaged (docs/statistics.md, matched fit).

        NaN where it is of no image, as of lesions where validation has none.
        """
        trials = [self.by_point[point.label][int(seed)] for seed in seeds]
        losses = [[self.trials[trial.id]["yardstick"] for trial in of_seed] for of_seed in trials]
        return np.array([np.mean(np.array(of_seed, dtype=float)) for of_seed in losses])

    def measurements(self, point: RecipePoint) -> Measurements:
        """Return the measurements of a recipe's kept seeds, averaged over folds.

        A value that a fold lacks makes that of its seed NaN. Measures of all images, computed from kept outputs, only
        give the worst environment here, since `panel` has them with intervals over patients. Groups of k-fold rows are
        made of all folds together (`JoinedFolds`). The worst of them is one for all seeds.
        """
        return self._measurements(point.label)

    @cached_property
    def _measurements(self) -> Any:
        return lru_cache(maxsize=RECIPES_IN_MEMORY)(self._measure)

    @cached_property
    def _points(self) -> Mapping[str, RecipePoint]:
        return {point.label: point for point in self.plan.spec.points}

    def _measure(self, label: str) -> Measurements:
        point = self._points[label]
        trials = {seed: self.by_point[label][seed] for seed in self.kept_seeds(point)}
        ids = [
            unit.id
            for of_seed in trials.values()
            for trial in of_seed
            for unit in self._probes.get((label, trial.id), [])
        ]
        read = dict(zip(ids, self.folder.measurements_of(ids), strict=True))
        rows = ColumnRows({name: [] for name in (*KEY_FIELDS, *SEED_COLUMNS)})
        for seed in trials:
            for part in self._parts(point, seed, read):
                rows.extend({SEED: seed}, part)
        every = Measurements.of_recipe(rows, self._smallest_group)
        return replace(every, places={key: at for key, at in every.places.items() if not _from_outputs(key)})

    def _parts(self, point: RecipePoint, seed: int, read: Mapping[str, ColumnRows]) -> Iterator[Columns]:
        """Yield the measurements of a seed by column; of a key that two of them have, the first counts."""
        trials = self.by_point[point.label][seed]
        if len(trials) == 1 and self.joined.folds == 1:
            yield from self._measurement_columns(trials[0], read)
            return
        folds: list[dict[Key, Row]] = [{} for _ in trials]
        for trial, fold in zip(trials, folds, strict=True):
            for row in (row for part in self._measurement_columns(trial, read) for row in ColumnRows(part)):
                fold.setdefault(key_of(row), row)
        keys = dict.fromkeys(key for fold in folds for key in fold)
        rows = {key: average_folds(key, _requested_measurements(key, trials, folds)) for key in keys} | {
            key_of(row): row for row in self._of_all_folds(point, seed)
        }
        yield by_column(list(rows.values()))

    @cached_property
    def _smallest_group(self) -> int:
        """Images that a group needs to count for the worst one, as the study's probe says."""
        probes = [probe for probe in self.plan.spec.probes if probe.name == PERFORMANCE]
        params = lookup("probe", PERFORMANCE).params.model_validate(dict(probes[0].params) if probes else {})
        return int(params.model_dump()["smallest_group"])

    def _measurement_columns(self, trial: Trial, read: Mapping[str, ColumnRows]) -> Iterator[Columns]:
        """Yield the measurements of each probe of a trial by column.

        Args:
            trial: The trial.
            read: Measurements by the id of their unit.
        """
        for unit in self._probes.get((trial.point.label, trial.id), []):
            columns, count = read[unit.id].columns, len(read[unit.id])
            reader = (
                ContributionReader(self._contributions, unit.id) if self.folder.has_contributions(unit.id) else None
            )
            columns = {**columns, CONTRIBUTIONS: [reader] * count, PLACE: _places(count)}
            is_performance = unit.component.name == PERFORMANCE
            yield (
                insert_overall_rows(columns, self._overall(trial.point, trial.training.seed))
                if is_performance
                else columns
            )

    @cached_property
    def _contributions(self) -> Callable[[str], Mapping[int, Contributions]]:
        return lru_cache(maxsize=CONTRIBUTION_CACHE_SIZE)(self.folder.contributions)

    def _overall(self, point: RecipePoint, seed: int) -> list[Row]:
        """Compute the performance of one seed on all images; nothing while an environment has not been read."""
        answered: dict[str, tuple[ModelPredictions, Int[np.ndarray, " n"]]] = {}
        for environment in point.tests:
            panel = self.panel(point, environment)
            if panel is None or seed not in panel.seed_ids:
                return []
            answered[environment] = panel.predictions_of_seed(int(np.flatnonzero(panel.seed_ids == seed)[0]))
        return [measurement_row(measurement) for measurement in overall(answered)]

    @cached_property
    def _probes(self) -> Mapping[tuple[str, str], list[ProbeUnit]]:
        """(recipe label, trial id) -> its complete probes, without those that are measured of all folds together."""
        by_trial: dict[tuple[str, str], list[ProbeUnit]] = {}
        for unit in self.plan.probes:
            pooled = self.joined.folds > 1 and unit.component.name == PERFORMANCE
            if not pooled and self.folder.complete("probes", unit.id):
                by_trial.setdefault((unit.trial.point.label, unit.trial.id), []).append(unit)
        return by_trial

    def _of_all_folds(self, point: RecipePoint, seed: int) -> Sequence[Row]:
        rows = self._pooled.get((point.label, seed), ())
        here = self.joined.folds > 1 and any(probe.name == PERFORMANCE for probe in self.plan.spec.probes)
        return list(ColumnRows(insert_overall_rows(by_column(rows), self._overall(point, seed)))) if here else rows

    @cached_property
    def _pooled(self) -> Mapping[tuple[str, int], Sequence[Row]]:
        """(recipe label, seed) -> measurements of all folds together."""
        return {(pooled.recipe, pooled.seed): pooled.rows for pooled in self.joined.pooled}

    def why_incomplete(self, trial: Trial) -> Reason:
        """Return why a trained trial is not complete, of units that have not failed; nothing where all are there."""
        start = start_id(trial.training.recipe)
        if start and not self.folder.complete("sources", start):
            return Reason.of(Code.NO_RECORD_OF_SOURCE)
        if any(not self.folder.probed(unit.id) for unit in self._planned_units[trial.point.label, trial.id]):
            return Reason.of(Code.UNFINISHED_PROBES)
        return NO_REASON

    @cached_property
    def _planned_units(self) -> Mapping[tuple[str, str], list[ProbeUnit]]:
        """(recipe label, trial id) -> its probe units, complete or not."""
        by_trial: dict[tuple[str, str], list[ProbeUnit]] = defaultdict(list)
        for unit in self.plan.probes:
            by_trial[unit.trial.point.label, unit.trial.id].append(unit)
        return by_trial

    def _is_done(self, trial: Trial) -> bool:
        return self.trials.get(trial.id, {}).get("status") == "done"


@lru_cache
def _places(count: int) -> list[int]:
    """Return the first numbers, the same objects for all units."""
    return list(range(count))


def _requested_measurements(key: Key, trials: Sequence[Trial], folds: Sequence[dict[Key, Row]]) -> list[dict[Key, Row]]:
    """Return the measurements of the trials of a seed that were asked for one: the folds', or their ensemble's."""
    environment = key[1]
    outside = bool(trials[0].point.tests[environment].data) if environment in trials[0].point.tests else False
    return [
        fold
        for trial, fold in zip(trials, folds, strict=True)
        if not trial.ensembled or bool(trial.training.members) == outside
    ]


def _from_outputs(key: Key) -> bool:
    measure, _, factor, level, _, group = key
    return measure in COMPUTED and not (factor or group or level)


def _worst_key(environment: str, measure: str) -> Key:
    return (measure, environment, "", "", "", WORST_GROUP)


# Measurements of a recipe: of its outputs, with patients, or by a probe, one number per seed.


def measure_of(contrast: ContrastSpec) -> str:
    """Return the measure that a contrast names; of the worst group, the measure within that group."""
    return OF_WORST_GROUP.get(contrast.measure, contrast.measure)


def is_from_outputs(contrast: ContrastSpec) -> bool:
    """Return whether a contrast's values can be computed from outputs, paired by patient and seed."""
    return measure_of(contrast) in COMPUTED and not contrast.factor


def panel_for(records: Records, contrast: ContrastSpec, point: RecipePoint) -> SeedPredictions | None:
    """Return the outputs of a recipe's kept seeds in the environment of a contrast, or in its worst group there."""
    if contrast.measure in OF_WORST_GROUP:
        return records.worst_group(point, contrast.environment, measure_of(contrast))
    return records.panel(point, contrast.environment)


def why_not_measured(records: Records, contrast: ContrastSpec, point: RecipePoint) -> Reason:
    """Return why a recipe has nothing that a contrast could compare."""
    if not records.kept_seeds(point):
        return Reason.of(Code.NO_SEED_OF, recipe=point.label)
    of = {"measure": contrast.measure, "factor": contrast.factor, "recipe": point.label}
    if contrast.measure in OF_WORST_GROUP and (
        reason := records.why_no_worst(point, contrast.environment, measure_of(contrast))
    ):
        return Reason.of(Code.MEASURE_OF_RECIPE, **of) + reason
    return Reason.of(Code.NOT_MEASURED, **of)


def seed_values(records: Records, point: RecipePoint, contrast: ContrastSpec, own: str = "") -> MeasureBySeed | None:
    """Return the values of the measurement that a contrast names; None where no seed has it.

    Where a probe measures in groups, the trained network's is meant. A seed of which the measurement is undefined makes
    the comparison undefined.

    Args:
        records: Records of the study.
        point: The recipe.
        contrast: The contrast.
        own: Name of the recipe's own samples (see `values_of_seeds`), its label by default.
    """
    wanted = (contrast.measure, contrast.environment, contrast.factor, contrast.layer)
    every = records.measurements(point)
    for key in every:
        measure, environment, factor, level, layer, group = key
        if (measure, environment, factor, layer) == wanted and not level and group in TRAINED_GROUPS:
            return values_of_seeds(every[key], own or point.label)
    return None
