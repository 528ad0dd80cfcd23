"""From records to what statistics take: panels of outputs per recipe and environment, and probes' values per seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from assay.core.data_spec import REFERABLE
from assay.core.errors import StoreError
from assay.core.maps import AT_NATIVE
from assay.core.measures import WORST_GROUP
from assay.core.registry import lookup
from assay.core.spec import RecipePoint
from assay.core.traits import readout_of
from assay.execution.averaged import of_one_unit, over_folds
from assay.execution.judged import operating_of, specific_of
from assay.execution.pooled import PERFORMANCE, Group, Pooled
from assay.execution.study import Plan, ProbeUnit, Trial
from assay.execution.worst import Key, chosen_place, with_one_worst
from assay.maps import of_one_width
from assay.stats.measures import MEASURES
from assay.stats.panel import Panel
from assay.store.files import Row
from assay.store.folder import OF_ROWS, RunFolder

KEY_FIELDS = ("measure", "environment", "factor", "level", "layer", "group")
SURFACES = {"surface_code": "shared", f"{AT_NATIVE}surface_code": f"{AT_NATIVE}shared"}
"""Columns that are 0 where truth and prediction both have a surface -> those that say where all recipes have both."""
SPECIFIC = "specific"
"""The column of log-odds from which specificities are reached on validation rows."""


@dataclass(frozen=True)
class Gathered:
    """The complete records of a study, by recipe and seed."""

    plan: Plan
    folder: RunFolder
    folds: Pooled

    @cached_property
    def records(self) -> Mapping[str, dict[str, Any]]:
        """Trial id -> its record, for complete trials."""
        complete = [trial.id for trial in self.plan.trials if self.folder.complete("trials", trial.id)]
        return {id: self.folder.record("trials", id) for id in complete}

    @cached_property
    def failures(self) -> Mapping[str, dict[str, Any]]:
        """Trial id -> what is known of its failure or that of its probes."""
        return self.folder.failures()

    @cached_property
    def by_point(self) -> Mapping[str, Mapping[int, list[Trial]]]:
        """Recipe label -> seed -> its trials, one per fold."""
        found: dict[str, dict[int, list[Trial]]] = {point.label: {} for point in self.plan.spec.points}
        for trial in self.plan.trials:
            found[trial.point.label].setdefault(trial.training.seed, []).append(trial)
        return found

    def kept_seeds(self, point: RecipePoint) -> list[int]:
        """Seeds all of whose folds were trained to the end and did not collapse or diverge."""
        return [seed for seed, trials in self.by_point[point.label].items() if all(map(self._kept, trials))]

    def lost_seeds(self, point: RecipePoint) -> list[int]:
        """Seeds with a fold that collapsed or diverged."""
        statuses = {
            seed: {self.records[trial.id]["status"] for trial in trials if trial.id in self.records}
            for seed, trials in self.by_point[point.label].items()
        }
        return [seed for seed, status in statuses.items() if status & {"collapsed", "diverged"}]

    def panel(self, point: RecipePoint, environment: str) -> Panel | None:
        """What the kept seeds of a recipe said about an environment; None when no seed has been read there."""
        return self._panels(point.label, environment)

    @cached_property
    def _panels(self) -> Any:
        return lru_cache(maxsize=None)(self._panel)

    def _panel(self, label: str, environment: str) -> Panel | None:
        point = next(point for point in self.plan.spec.points if point.label == label)
        read = {seed: self._read(seed, label, environment) for seed in self.kept_seeds(point)}
        found = {seed: outputs for seed, outputs in read.items() if outputs is not None}
        for outputs in found.values():
            for code, shared in SURFACES.items():
                if code in outputs:
                    outputs[shared] = np.isin(outputs["row"], self._with_surfaces[environment, code])
        if not found:
            return None
        panel = panel_of(found, f"{label} in {environment}")
        cut = self._cut if panel.scores.shape[2] > 2 else 1
        return replace(panel, middle=readout_of(point.recipe.loss) != "linear", cut=cut)

    def worst_group(self, point: RecipePoint, environment: str, measure: str) -> Panel | None:
        """What the kept seeds of a recipe said about its worst group by a measure, which is one for all of them; None
        where no group has it for every seed (`why_no_worst`).
        """
        return self._worst_panels(point.label, environment, measure)

    @cached_property
    def _worst_panels(self) -> Any:
        return lru_cache(maxsize=None)(self._worst_panel)

    def _worst_panel(self, label: str, environment: str, measure: str) -> Panel | None:
        point = next(point for point in self.plan.spec.points if point.label == label)
        place, panel = self.worst_place(point, environment, measure), self.panel(point, environment)
        if place is None or panel is None:
            return None
        numbers = panel.numbers.tolist()
        read = [self._read(seed, point.label, environment) for seed in numbers]
        rows = np.unique(np.concatenate([outputs["row"] for outputs in read if outputs is not None]))
        inside = np.stack([np.isin(rows, self.folds.members(point, seed, environment, place)) for seed in numbers])
        tested = inside if panel.tested is None else inside & panel.tested
        return replace(panel, tested=tested).rows(np.flatnonzero(tested.any(axis=0)))

    def worst_place(self, point: RecipePoint, environment: str, measure: str) -> Group | None:
        """The group that is the worst of a recipe by a measure; None where none has it for every seed."""
        every, key = self.scalars[point.label], _worst_key(environment, measure)
        place = chosen_place(key, every, self._smallest_group) if key in every else None
        return (place[2], place[3], place[5]) if place else None

    def why_no_worst(self, point: RecipePoint, environment: str, measure: str) -> str:
        """Why no group of a recipe that kept seeds is the worst, as its measurement says; empty without one."""
        rows = self.scalars[point.label].get(_worst_key(environment, measure), {})
        return next((row["reason"] for row in rows.values()), "")

    @property
    def _cut(self) -> int:
        return self.plan.spec.data.referable or REFERABLE

    @cached_property
    def _with_surfaces(self) -> Mapping[tuple[str, str], np.ndarray]:
        """Environment, column of `SURFACES` -> the rows in which the maps of every kept seed of every recipe have both
        surfaces: surfaces are averaged over the same images for all (METHODS, segmentation on healthy images).
        """
        lacking: dict[tuple[str, str], list[np.ndarray]] = {}
        having: dict[tuple[str, str], list[np.ndarray]] = {}
        for point in self.plan.spec.points:
            for environment in point.tests:
                for seed in self.kept_seeds(point):
                    outputs = self._read(seed, point.label, environment) or {}
                    for code in SURFACES.keys() & outputs.keys():
                        undefined = outputs[code] != 0
                        lacking.setdefault((environment, code), []).append(outputs["row"][undefined])
                        having.setdefault((environment, code), []).append(outputs["row"][~undefined])
        return {key: np.setdiff1d(np.concatenate(rows), np.concatenate(lacking[key])) for key, rows in having.items()}

    def _read(self, seed: int, label: str, environment: str) -> dict[str, np.ndarray] | None:
        """Outputs of all folds of one seed, one after another; None while any fold has not been read."""
        parts: list[dict[str, np.ndarray]] = []
        for trial in self.by_point[label][seed]:
            id = self.plan.readings.get((label, trial.id, environment), "")
            if not self.folder.complete("readings", id):
                return None
            outputs = self.folder.outputs(id)
            record = self.records[trial.id]
            threshold = record["threshold"]
            outputs["threshold"] = np.full(len(outputs["row"]), 0.5 if threshold is None else threshold)
            if operating := operating_of(record):
                outputs["operating"] = np.tile(operating, (len(outputs["row"]), 1))
            if specific := specific_of(record):
                outputs[SPECIFIC] = np.tile(specific[min(self._cut, len(specific)) - 1], (len(outputs["row"]), 1))
            parts.append(outputs)
        return joined(parts)

    def yardsticks(self, point: RecipePoint, seeds: np.ndarray) -> np.ndarray:
        """Validation log-loss of the refitted head per seed [s], folds averaged (METHODS, matched fit)."""
        return np.array(
            [
                np.mean([self.records[trial.id]["yardstick"] for trial in self.by_point[point.label][int(seed)]])
                for seed in seeds
            ]
        )

    @cached_property
    def scalars(self) -> Mapping[str, Mapping[Key, Mapping[int, Row]]]:
        """Recipe label -> measurement key -> seed -> the measurement, averaged over folds.

        A value that a fold lacks makes that of its seed NaN. What can be had from kept outputs with an interval over
        patients is left to `panel`; groups of k-fold rows are made of all folds together (see `pooled`), and the worst
        of them is one for all seeds (see `worst`).
        """
        found: dict[str, dict[Key, Mapping[int, Row]]] = {}
        for point in self.plan.spec.points:
            recipe: dict[Key, dict[int, Row]] = {}
            for seed in self.kept_seeds(point):
                folds = [self._measured(trial) for trial in self.by_point[point.label][seed]]
                rows = [over_folds(key, folds) for key in dict.fromkeys(key for fold in folds for key in fold)]
                for row in (*rows, *self.pooled.get((point.label, seed), [])):
                    recipe.setdefault(_key(row), {})[seed] = row
            settled = with_one_worst({key: of_one_unit(rows) for key, rows in recipe.items()}, self._smallest_group)
            found[point.label] = {key: rows for key, rows in settled.items() if not _from_outputs(key)}
        return found

    @cached_property
    def _smallest_group(self) -> int:
        """Images that a group needs to count for the worst one, as the study's probe says."""
        probes = [probe for probe in self.plan.spec.probes if probe.name == PERFORMANCE]
        params = lookup("probe", PERFORMANCE).params.model_validate(dict(probes[0].params) if probes else {})
        return int(params.model_dump()["smallest_group"])

    def _measured(self, trial: Trial) -> dict[Key, Row]:
        """What the probes of one trial found, by key; where two probes of a study measure the same, the first's."""
        found: dict[Key, Row] = {}
        for unit in self._probes.get((trial.point.label, trial.id), []):
            for row in self.folder.measurements(unit.id):
                found.setdefault(_key(row), row)
        return found

    @cached_property
    def _probes(self) -> Mapping[tuple[str, str], list[ProbeUnit]]:
        """(recipe label, trial id) -> its complete probes, without those that are measured of all folds together."""
        found: dict[tuple[str, str], list[ProbeUnit]] = {}
        for unit in self.plan.probes:
            pooled = self.folds.folds > 1 and unit.component.name == PERFORMANCE
            if not pooled and self.folder.complete("probes", unit.id):
                found.setdefault((unit.trial.point.label, unit.trial.id), []).append(unit)
        return found

    @cached_property
    def pooled(self) -> Mapping[tuple[str, int], list[Row]]:
        """(recipe label, seed) -> measurements of all folds together, for kept seeds; empty without folds."""
        if self.folds.folds == 1:
            return {}
        return {
            (point.label, seed): self._pooled(point, seed)
            for point in self.plan.spec.points
            for seed in self.kept_seeds(point)
        }

    def _pooled(self, point: RecipePoint, seed: int) -> list[Row]:
        read = {name: self._read(seed, point.label, name) for name in point.tests}
        return self.folds.measurements(point, seed, {name: found for name, found in read.items() if found is not None})

    def _kept(self, trial: Trial) -> bool:
        return self.records.get(trial.id, {}).get("status") == "done"


def _from_outputs(key: Key) -> bool:
    measure, _, factor, level, _, group = key
    return measure in MEASURES and not (factor or group or level)


def _worst_key(environment: str, measure: str) -> Key:
    return (measure, environment, "", "", "", WORST_GROUP)


def _key(row: Row) -> Key:
    return tuple(row[name] for name in KEY_FIELDS)  # pyright: ignore[reportReturnType]


def joined(parts: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Rows of several parts one after another; arrays with an entry per lesion are padded to the most."""
    made: dict[str, np.ndarray] = {}
    for name in parts[0]:
        columns = [part[name] for part in parts]
        made[name] = np.concatenate(of_one_width(name, columns))
    return made


def panel_of(outputs: Mapping[int, Mapping[str, np.ndarray]], where: str) -> Panel:
    """The panel of what seeds said: seed -> columns row, patient, target, fold, threshold, logits [n, k], and of a
    segmentation what is kept of maps [n, ...].

    Raises StoreError where a seed answered a row twice, or seeds disagree about the target or patient of a row.
    """
    rows = np.unique(np.concatenate([found["row"] for found in outputs.values()]))
    classes = next(iter(outputs.values()))["logits"].shape[1]
    shape = (len(outputs), len(rows))
    scores = np.full((*shape, classes), np.nan)
    tested, fold, thresholds = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=np.int64), np.full(shape, 0.5)
    facts = {"target": np.full(len(rows), -1), "patient": np.full(len(rows), -1)}
    known = np.zeros(len(rows), dtype=bool)
    for s, (seed, found) in enumerate(outputs.items()):
        if len(np.unique(found["row"])) < len(found["row"]):
            raise StoreError(f"{where}: seed {seed} answered a row twice; delete its readings and run the study again")
        place = np.searchsorted(rows, found["row"])
        for name, column in facts.items():
            _require_same(column[place][known[place]], found[name][known[place]], f"{where}: seed {seed}", name)
            column[place] = found[name]
        known[place], tested[s, place] = True, True
        scores[s, place], fold[s, place], thresholds[s, place] = found["logits"], found["fold"], found["threshold"]
    seeds = np.array(list(outputs), dtype=np.int64)
    maps = _maps(list(outputs.values()), rows)
    specific = maps.pop(SPECIFIC, None)
    made = Panel(scores, facts["target"], facts["patient"], fold, tested, thresholds, seeds, maps)
    return replace(made, specific=specific)


def _maps(found: Sequence[Mapping[str, np.ndarray]], rows: np.ndarray) -> dict[str, np.ndarray]:
    """What is kept of maps as [seeds, rows, ...]; zero where a seed did not answer a row, which is never looked at."""
    made: dict[str, np.ndarray] = {}
    for name in found[0].keys() - {*OF_ROWS, "threshold", "logits"}:
        columns = of_one_width(name, [one[name] for one in found])
        made[name] = np.zeros((len(found), len(rows), *columns[0].shape[1:]), np.result_type(*columns))
        for s, (one, column) in enumerate(zip(found, columns, strict=True)):
            made[name][s, np.searchsorted(rows, one["row"])] = column
    return made


def _require_same(earlier: np.ndarray, found: np.ndarray, who: str, name: str) -> None:
    differing = int((earlier != found).sum())
    if differing:
        raise StoreError(
            f"{who} has another {name} than earlier seeds for {differing} rows, so its images are not theirs: "
            "delete its readings and run the study again"
        )
