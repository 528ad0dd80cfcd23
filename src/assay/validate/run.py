"""Validate scores: measures, curves and groups of each model, and paired differences of two."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from assay.core.versions import OF_STATISTICS, time_and_versions
from assay.execution.local import InProcess
from assay.execution.run import RunSteps, Tables, carry_out
from assay.stats.groups import ColumnGroups
from assay.store.files import Row
from assay.store.folder import RunFolder
from assay.store.layout import result_folder
from assay.validate import curves
from assay.validate.curves import Curve, ScoredCases, WithInterval
from assay.validate.kind import VALIDATION
from assay.validate.paired import MEASURES, difference_row
from assay.validate.plan import needed_patients
from assay.validate.predictions import ScoreFile, ValidatedModels, read_validation
from assay.validate.recalibration import recalibrate
from assay.validate.request import ValidateRequest


def run_validation(request: ValidateRequest) -> Path:
    """Validate the scores of one model, or of two on the same cases; write tables and a page. Return the run folder."""
    read = read_validation(request)
    out = request.out or result_folder("validations", _name_of_folder(read))
    carry_out(ValidateRun(request.without_data("file", "other"), read), out, InProcess())
    return out


def _name_of_folder(read: ValidatedModels) -> str:
    """Return the name of a table of scores, or those of two, such as `ours-theirs`."""
    return "-".join(dict.fromkeys(Path(file.rows.table.name).stem for file in read.files))


@dataclass(frozen=True, eq=False)
class ValidateRun(RunSteps):
    """A validation as a `Run` without tasks.

    Attributes:
        request: The request.
        read: The scores.
    """

    request: ValidateRequest
    read: ValidatedModels
    kind = VALIDATION

    @property
    def sources(self) -> Sequence[Path]:
        """See `Run`."""
        return self.request.paths_of("file", "other")

    def conclude(self, folder: RunFolder) -> Tables:
        """Return the tables."""
        models = self.read.models
        facts = {**self.read.facts, **time_and_versions(OF_STATISTICS)}
        return {
            "performance": [row for file in self.read.files for row in self._performance_rows(file.name)],
            "curves": list(self._curve_rows()),
            "confusion": [row for name in models for row in self._confusion_rows(name)],
            "subgroups": [
                row
                for name in models
                for groups in self.read.groups
                for row in _subgroup_rows(name, models[name], groups, self.measures)
            ],
            "recalibration": list(self._recalibration_rows()),
            "differences": self._difference_rows(),
            "discordant": self._discordant_rows(),
            "plan": list(self._plan_rows()),
            "rejected": list(self._rejected_rows()),
            "provenance": [{"key": key, "value": value} for key, value in facts.items() if value],
        }

    @property
    def measures(self) -> tuple[str, ...]:
        """Measures of groups and of differences."""
        return MEASURES if all(file.has_scores for file in self.read.files) else MEASURES[1:]

    def _curve_rows(self) -> Iterator[Row]:
        files = {file.name: file for file in self.read.files}
        for name, cases in self.read.models.items():
            yield from _curve_rows(name, cases, files[name])
            for method, changed in self.recalibrated[name].items():
                if method != "none":
                    yield from _rows_of_curve(f"{name}, {method}", "calibration", curves.calibration_curve(changed))
        yield from _reference_rows(next(iter(self.read.models.values())), self.read.files)

    def _performance_rows(self, name: str) -> Iterator[Row]:
        cases = self.read.models[name]
        file = next(file for file in self.read.files if file.name == name)
        ranking = {"auroc": curves.auroc_with_interval(cases)} if file.has_scores else {}
        for measure, value in {**ranking, **curves.call_measures(cases)}.items():
            rejected = {"sensitivity": file.rejected[1], "specificity": file.rejected[0]}.get(measure, 0)
            hits, total = value.value * value.cases, value.cases + rejected
            ends = (hits / total, (hits + rejected) / total) if rejected and total else (math.nan, math.nan)
            yield _performance_row(name, measure, value) | {"worst": ends[0], "best": ends[1]}
        for prevalence in self.request.prevalences:
            for measure, value in curves.predictive_values(cases, prevalence).items():
                yield _performance_row(name, measure, value, f"{prevalence:g}")
        if file.is_calibrated:
            for measure, value in curves.calibration_measures(cases).items():
                yield _performance_row(name, measure, value, self.read.facts["true prevalence"])

    @cached_property
    def recalibrated(self) -> Mapping[str, Mapping[str, ScoredCases]]:
        """Model -> method -> cases with its probabilities; without recalibration only those that are."""
        files = self.read.files
        methods = {file.name: {"none": self.read.models[file.name]} if file.is_calibrated else {} for file in files}
        for file, other in zip(files, self.read.recalibration, strict=False):
            score = file.scale.log_odds(other.rows.score)
            methods[file.name] |= recalibrate(self.read.models[file.name], score, other.rows.target.codes)
        return methods

    def _recalibration_rows(self) -> Iterator[Row]:
        at = self.read.facts["true prevalence"]
        for name, methods in self.recalibrated.items() if self.read.recalibration else ():
            for method, cases in methods.items():
                measures = curves.calibration_measures(cases)
                for measure in ("brier", "calibration-in-the-large", "calibration-slope"):
                    value = measures[measure]
                    yield {
                        "model": name,
                        "method": method,
                        "measure": measure,
                        "at": at,
                        **_ends_of_value(value),
                        "images": value.cases,
                        "patients": value.patients,
                    }

    def _confusion_rows(self, name: str) -> Iterator[Row]:
        cases, classes = self.read.models[name], self.read.files[0].rows.target.classes
        for actual in (1, 0):
            rows = cases.target == actual
            for called in (1, 0):
                interval = curves.share_with_interval((cases.called == (called == 1))[rows], cases.patient[rows])
                yield {
                    "model": name,
                    "actual": classes[actual],
                    "called": classes[called],
                    "images": int(((cases.called == (called == 1)) & rows).sum()),
                    **_ends_of_value(interval),
                }

    def _difference_rows(self) -> list[Row]:
        if len(self.read.models) < 2:
            return []
        first, second = self.read.models.items()
        margin = math.nan if self.request.margin is None else self.request.margin
        return [difference_row(measure, first, second, margin) for measure in self.measures]

    def _discordant_rows(self) -> list[Row]:
        if len(self.read.models) < 2:
            return []
        (name, first), (against, second) = self.read.models.items()
        classes, (first_file, second_file) = self.read.files[0].rows.target.classes, self.read.files
        return [
            {
                "line": self.read.lines[at],
                "actual": classes[int(first.target[at])],
                "right": name if first.called[at] == first.is_positive[at] else against,
                "first": float(first_file.rows.score[at]),
                "second": float(second_file.rows.score[at]),
            }
            for at in np.flatnonzero(first.called != second.called).tolist()
        ]

    def _plan_rows(self) -> Iterator[Row]:
        """Yield patients for a half-width of each model, or for a difference of two."""
        if (size := self.request.plan) is None:
            return
        models, goal = [*self.read.models.items()], "half-width"
        parts = [(name, "", cases, {of: rows for of, (_, rows) in cases.by_patient.items()}) for name, cases in models]
        if len(models) > 1:
            (name, first), (against, second) = models
            differences = {
                measure: rows - second.by_patient[measure][1] for measure, (_, rows) in first.by_patient.items()
            }
            parts, goal = [(name, against, first, differences)], "difference"
        for name, against, cases, contributions in parts:
            for measure in self.measures:
                for prevalence in (math.nan, *self.request.prevalences):
                    if plan := needed_patients(cases, contributions[measure].values, goal, size, prevalence):
                        yield {
                            "model": name,
                            "against": against,
                            "measure": measure,
                            "goal": goal,
                            "size": size,
                            "at": "" if math.isnan(prevalence) else f"{prevalence:g}",
                            "positives": plan.positives,
                            "patients": plan.patients,
                        }

    def _rejected_rows(self) -> Iterator[Row]:
        for file in self.read.files:
            for code, count in file.rejected.items():
                if any(file.rejected.values()):
                    total = count + int((file.rows.target.codes == code).sum())
                    yield {
                        "model": file.name,
                        "actual": file.rows.target.classes[code],
                        "images": count,
                        "share": count / total if total else math.nan,
                    }


def _ends_of_value(value: WithInterval) -> dict[str, Any]:
    return {"value": value.value, "low": value.low, "high": value.high}


def _performance_row(name: str, measure: str, value: WithInterval, at: str = "") -> dict[str, Any]:
    return {
        "model": name,
        "measure": measure,
        "at": at,
        **_ends_of_value(value),
        "worst": math.nan,
        "best": math.nan,
        "images": value.cases,
        "patients": value.patients,
    }


def _curve_rows(name: str, cases: ScoredCases, file: ScoreFile) -> Iterator[Row]:
    lines = {"ppv": [(float(p), curves.predictive_values(cases, float(p))["ppv"]) for p in curves.PREVALENCES]}
    if file.has_scores:
        lines["roc"], lines["precision-recall"] = curves.ranking_curves(cases)
    if file.is_calibrated:
        lines |= {"calibration": curves.calibration_curve(cases), "decision": curves.decision_curve(cases)}
    for curve, points in lines.items():
        yield from _rows_of_curve(name, curve, points)


def _rows_of_curve(name: str, curve: str, points: Curve) -> Iterator[Row]:
    for across, interval in points:
        yield {
            "model": name,
            "curve": curve,
            "across": across,
            **_ends_of_value(interval),
            "images": interval.cases,
            "patients": interval.patients,
        }


def _reference_rows(cases: ScoredCases, files: Sequence[ScoreFile]) -> Iterator[Row]:
    references = {"roc": ("chance", [(0.0, 0.0), (1.0, 1.0)])} if any(file.has_scores for file in files) else {}
    if any(file.is_calibrated for file in files):
        references |= {
            "calibration": ("ideal", [(0.0, 0.0), (1.0, 1.0)]),
            "decision": ("call all positive", curves.treat_all(cases)),
        }
    for curve, (label, ends) in references.items():
        for across, value in ends:
            yield {
                "model": label,
                "curve": curve,
                "across": across,
                "value": value,
                "low": math.nan,
                "high": math.nan,
                "images": 0,
                "patients": 0,
            }


def _subgroup_rows(name: str, cases: ScoredCases, grouped: ColumnGroups, names: Sequence[str]) -> Iterator[Row]:
    alpha = curves.ALPHA / max(len(grouped.groups), 1)
    measures: dict[str, Callable[[ScoredCases], WithInterval]] = {
        "auroc": lambda part: curves.auroc_with_interval(part, alpha),
        "sensitivity": lambda part: curves.call_measures(part, alpha)["sensitivity"],
        "specificity": lambda part: curves.call_measures(part, alpha)["specificity"],
    }
    for group, rows in grouped.groups.items():
        part = cases.select(rows)
        for measure in names:
            value = measures[measure](part)
            yield {
                "model": name,
                "column": grouped.column,
                "group": group,
                "measure": measure,
                **_ends_of_value(value),
                "positives": int(part.target.sum()),
                "images": len(part.target),
                "patients": value.patients,
            }
