"""From records to what statistics take: panels of outputs per recipe and environment, and probes' values per seed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from assay.core.spec import RecipePoint
from assay.execution.study import Plan, Trial
from assay.stats.measures import MEASURES
from assay.stats.panel import Panel
from assay.store.files import Row
from assay.store.folder import RunFolder

Key = tuple[str, str, str, str, str, str]
KEY_FIELDS = ("measure", "environment", "factor", "level", "layer", "group")


@dataclass(frozen=True)
class Gathered:
    """The complete records of a study, by recipe and seed."""

    plan: Plan
    folder: RunFolder

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
        seeds = [seed for seed, outputs in read.items() if outputs is not None]
        outputs = [found for found in read.values() if found is not None]
        if not outputs:
            return None
        rows = np.unique(np.concatenate([found["row"] for found in outputs]))
        places = [np.searchsorted(rows, found["row"]) for found in outputs]
        classes = outputs[0]["logits"].shape[1]
        scores = np.full((len(seeds), len(rows), classes), np.nan)
        fold = np.zeros((len(seeds), len(rows)), dtype=np.int64)
        thresholds = np.full((len(seeds), len(rows)), 0.5)
        target, patient = np.zeros(len(rows), dtype=np.int64), np.zeros(len(rows), dtype=np.int64)
        for s, (found, place) in enumerate(zip(outputs, places, strict=True)):
            scores[s, place] = found["logits"]
            fold[s, place] = found["fold"]
            thresholds[s, place] = found["threshold"]
            target[place], patient[place] = found["target"], found["patient"]
        tested = np.asarray(~np.isnan(scores).any(axis=2))
        return Panel(scores, target, patient, fold, tested, thresholds, np.array(seeds, dtype=np.int64))

    def _read(self, seed: int, label: str, environment: str) -> dict[str, np.ndarray] | None:
        """Outputs of all folds of one seed, one after another; None while any fold has not been read."""
        parts: list[dict[str, np.ndarray]] = []
        for trial in self.by_point[label][seed]:
            id = self.plan.readings.get((trial.id, environment), "")
            if not self.folder.complete("readings", id):
                return None
            outputs = self.folder.outputs(id)
            threshold = self.records[trial.id]["threshold"]
            outputs["threshold"] = np.full(len(outputs["row"]), 0.5 if threshold is None else threshold)
            parts.append(outputs)
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

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

        What can be had from kept outputs with an interval over patients is left to `panel`.
        """
        probes: dict[str, list[str]] = {}
        for unit in self.plan.probes:
            if self.folder.complete("probes", unit.id):
                probes.setdefault(unit.trial.id, []).append(unit.id)
        found: dict[str, dict[Key, dict[int, list[Row]]]] = {}
        for point in self.plan.spec.points:
            recipe = found.setdefault(point.label, {})
            for seed in self.kept_seeds(point):
                for trial in self.by_point[point.label][seed]:
                    for row in (row for id in probes.get(trial.id, []) for row in self.folder.measurements(id)):
                        if not _from_outputs(row):
                            recipe.setdefault(_key(row), {}).setdefault(seed, []).append(row)
        return {
            label: {key: {seed: _mean(rows) for seed, rows in seeds.items()} for key, seeds in recipe.items()}
            for label, recipe in found.items()
        }

    def _kept(self, trial: Trial) -> bool:
        return self.records.get(trial.id, {}).get("status") == "done"


def _from_outputs(row: Row) -> bool:
    return row["measure"] in MEASURES and not (row["factor"] or row["group"] or row["level"])


def _key(row: Row) -> Key:
    return tuple(row[name] for name in KEY_FIELDS)  # pyright: ignore[reportReturnType]


def _mean(rows: list[Row]) -> Row:
    """One row for several folds: the mean of their values, NaN where one of them is; every reason is kept."""
    if len(rows) == 1:
        return rows[0]
    reasons = "; ".join(dict.fromkeys(row["reason"] for row in rows if row["reason"]))
    value = float(np.mean([row["value"] for row in rows]))
    images = sum(row["n"] for row in rows)
    error = math.sqrt(sum(row["standard_error"] ** 2 for row in rows)) / len(rows)
    return {**rows[0], "value": value, "reason": reasons, "n": images, "standard_error": error}
