"""Read files of scores: a row per case, of one model or of two on the same cases, with thresholds and groups."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from itertools import filterfalse
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
from jaxtyping import Int

from assay.core.errors import DataError, SpecError, key_text
from assay.core.files import at_home, is_file, no_file, typed_path
from assay.core.request import names
from assay.core.types import FactorTable
from assay.data.files.classes import two_classes
from assay.data.files.in_memory import array_of, kept_table
from assay.data.files.joins import match, require_matched, same_id
from assay.data.files.kinds import cautions_of, columns_left_out, factor_of, weights_of_cases
from assay.data.files.restated import restated
from assay.data.files.roles import (
    called_calls,
    called_patient,
    called_unit,
    holds_results,
    models_of,
    roles_of,
    some_values,
)
from assay.data.files.score_cases import comparison_line, read_score_table, require_no_models, require_one_row_each
from assay.data.files.scored import ScoredRows, overflow_words, read_scored_rows, softmax_twice_words, usable
from assay.data.files.table import (
    TextTable,
    absences,
    absent,
    fold,
    number,
    patient_codes,
    read_table,
    require_whole,
    spellings,
)
from assay.report.sentences.reasons import reason_words
from assay.report.sentences.scores import scale_words
from assay.stats.format import count
from assay.stats.groups import MIN_IMAGES_OF_CLASS, ColumnGroups, divide_into_groups
from assay.stats.panel import effective_patients_of_classes
from assay.stats.rows import FEW_PATIENTS
from assay.stats.scores import Scale, require_no_missing, scale_of
from assay.validate.curves import ScoredCases, auroc_with_interval, threshold_reaching
from assay.validate.request import NOT_REPEATED, ValidateRequest
from assay.validate.scales import is_sorted_apart, scales_of_parts

MAX_VALUES = 10
"""A column with more values does not define groups unless it is named."""
CROSS = "*"
_FIRST = 1000
"""Values of a list that are looked at: batches are long."""


@dataclass(frozen=True, eq=False)
class ScoreFile:
    """Scores of a file.

    Attributes:
        name: Name of the model.
        rows: The cases that have a score.
        scale: What the scores are.
        rejected: Class code -> cases without a score.
        facts: How it was read, as rows of `provenance`.
        has_scores: Whether the scores are more than calls of 0 and 1.
    """

    name: str
    rows: ScoredRows
    scale: Scale
    rejected: Mapping[int, int]
    facts: Mapping[str, str]
    has_scores: bool = True

    @property
    def is_calibrated(self) -> bool:
        """Whether the scores are probabilities, on any scale."""
        return self.has_scores and self.scale.kind != "other"

    def require_possible(self, value: float) -> None:
        """Raise SpecError for a threshold that no score can have."""
        if self.scale.kind in ("probabilities", "percent"):
            upper = 1 if self.scale.kind == "probabilities" else 100
            if upper == 100 and value <= 1:
                raise SpecError(
                    f"{key_text('--threshold', f'{value:g}')}: the scores of {self.name} are in percent; "
                    "write the threshold in percent, such as 50, or divide the scores by 100"
                )
            if not 0 < value < upper:
                hint = "; write percentages as shares, such as 0.37" if upper == 1 and 1 < value < 100 else ""
                raise SpecError(
                    f"{key_text('--threshold', f'{value:g}')} is outside of the scores of "
                    f"{self.name}, {self.scale.kind} "
                    f"between 0 and {upper}{hint}"
                )
        elif not self.scale.least <= value <= self.scale.greatest:
            raise SpecError(
                f"{key_text('--threshold', f'{value:g}')} is outside of the scores of {self.name}, from "
                f"{self.scale.least:.3g} to {self.scale.greatest:.3g}"
            )

    def on_scale(self, value: float) -> float:
        """Return a threshold on the scale of statistics: that of the least score from it on, infinite without one."""
        at = int(np.searchsorted(ordered := np.sort(self.rows.score), value))
        return float(self.scale.log_odds(ordered)[at]) if at < len(ordered) else math.inf

    def columns_of_cases(self) -> list[str]:
        """Return the columns that have one value for each case: of images, of patients, then ids of exams and so on."""
        roles, table = self.rows.roles, self.rows.table
        ids = [name for name in table.header if called_unit(name) or called_patient(name)]
        names = dict.fromkeys((roles["image"], roles["patient"], *ids))
        return [name for name in names if name in table.header and table.frame[name].is_unique]


def cases_in_memory(**columns: Any) -> pd.DataFrame:
    """Return a table of columns that are arrays, tensors or sequences of the same rows in the same order.

    Values that an array masks are missing.

    Raises:
        DataError: One has another length, several values in a row, or no order; or the indices of two series of pandas
            name the same rows in another order, or some of the same.
    """
    table = pd.DataFrame()
    first, index = next(iter(columns)), None
    for name, given in columns.items():
        if isinstance(given, Mapping | Set):
            raise DataError(f"{name} is a {type(cast('Any', given)).__name__}: give one value for each case, as a list")
        values = array_of(given)
        values = np.array(list(given), dtype=object) if values is None else values
        if isinstance(given, list | tuple) and (batches := _batches(cast("Sequence[Any]", given))):
            raise DataError(f"{name} is a list of {batches}: join them, as by numpy.concatenate({name})")
        if values.ndim > 1 and values.size == len(values):
            values = values.reshape(-1)
        if values.ndim != 1:
            scores = f", such as {name}[:, 1]" if values.ndim == 2 else ""
            raise DataError(f"{name} has the shape {[*values.shape]}: give one value for each case{scores}")
        if len(table.columns) and len(values) != len(table):
            raise DataError(f"{name} has {len(values):,} values, and {first} {len(table):,}: give one for each case")
        table[name] = values
        if isinstance(given, pd.Series):
            theirs = given.index
            if index is not None and not theirs.equals(index):
                same = len({*theirs} & {*index})
                is_counted = any(each.equals(pd.RangeIndex(len(table))) for each in (theirs, index))
                if same == len(table) or (same and not is_counted):
                    rows = "the same rows as" if same == len(table) else f"{same:,} of the {len(table):,} rows of"
                    raise DataError(
                        f"{name} names {rows} {first} in another order: give both in one order, such as "
                        f"{name}.reindex({first}.index), or as arrays if their order is the same"
                    )
            index = theirs if index is None else index
    return table


def _batches(values: Sequence[Any]) -> str:
    """Return how many lists of values there are, and how long the first is; empty of single values or pairs."""
    sizes = [
        len(cast("Sequence[Any]", value)) if isinstance(value, list | tuple) or getattr(value, "ndim", 0) == 1 else 0
        for value in values[:_FIRST]
    ]
    are_batches = sizes and min(sizes) > 0 and (len({*sizes}) > 1 or sizes[0] > len(values))
    return f"{len(values)} batches, the first of {sizes[0]} values" if are_batches else ""


def read_score_file(source: Any, request: ValidateRequest, column: str = "") -> ScoreFile:
    """Read a file of scores, or a data frame.

    Args:
        source: A path, or a table in memory.
        request: The request.
        column: The column of scores or calls that it names; by default the one that is found.

    Raises:
        DataError: It cannot be read, a cell is not a number, or a case has several classes.
        SpecError: A column is missing, or there are not two classes.
    """
    table, roles, line = _open_scores(source, request, column)
    units, joined = _unit_codes(table, request.by), _joined_facts(table, request)
    cells = table.column(roles["target"], key_text("--target"))
    present = [cell for cell, blank in zip(cells, absences(cells), strict=True) if not blank]
    codes = dict(zip(present, two_classes(roles["target"], request.positive, present).codes.tolist(), strict=True))
    if request.calls:
        table = _read_calls(table, column, codes)
    is_scored = ~np.array(absences(table.column(roles["score"], key_text("--score"))))
    if not is_scored.any():
        raise DataError(f"{table.name} has no scores in '{roles['score']}'")
    # A unit is positive if any of its rows is, whether that row has a score or not.
    class_of_unit = np.full(int(units.max()) + 1, -1)
    np.maximum.at(class_of_unit, units, np.array([codes.get(cell, -1) for cell in cells]))
    is_rejected = np.bincount(units[is_scored], minlength=len(class_of_unit)) == 0
    table = replace(table, frame=table.frame[is_scored])
    if request.by:
        class_names = {code: cell for cell, code in codes.items()}
        table = _join_rows(
            table, roles, request, [class_names.get(code, "") for code in class_of_unit[units[is_scored]].tolist()]
        )
        roles = {**roles, "image": request.by}
    rows = read_scored_rows(table, roles, request.positive)
    name = Path(table.name).stem
    scale = Scale("other", 0.0, 1.0)
    if not request.calls:
        scale = scale_of(rows.score, request.scores, 0.5, f"the scores of {name}", roles["score"])
    facts = {
        "positive class": rows.target.positive,
        "columns": line,
        **rows.facts(),
        "scores": "calls alone" if request.calls else scale_words(scale),
        **joined,
    }
    rejected = {code: int(np.count_nonzero(is_rejected & (class_of_unit == code))) for code in (0, 1)}
    return ScoreFile(name, rows, scale, rejected, facts, not request.calls)


def _open_scores(source: Any, request: ValidateRequest, score: str) -> tuple[TextTable, dict[str, str], str]:
    """Return a table, its columns by role, and what was guessed of them. Raises DataError, or SpecError."""
    table = read_score_table(_path_of(source), request.image or "image", request.image, request.patient)
    require_whole(table)
    if "," in request.target and request.target not in table.header:
        raise SpecError(
            f"{key_text('--target', f'{request.target[:40]}')}: a validation is of a single target: "
            f"run it for each, with "
            f"{key_text('--target')}, {key_text('--score')} and {key_text('--out')}"
        )
    groups = tuple(name for name in request.groups if CROSS not in name)
    others = [name for name in _columns_of_models(request) if name != score]
    roles, line = roles_of(
        table,
        (*groups, request.by, *others),
        score=score,
        target=request.target,
        image=request.image,
        patient=request.patient,
        positive=request.positive,
    )
    if request.by:
        require_no_models(table, roles, request.with_changes(file=source), request.by)
    else:
        remedy = (
            f"keep one row of each, join them with {key_text('--by', roles['image'])} (with "
            f"{key_text('--rule', 'mean')} if these are repeats of one image; else the highest score counts), or "
            f"name the column of cases with {key_text('--image', 'COLUMN')}"
        )
        require_one_row_each(table, roles, request.with_changes(file=source), "validate", remedy, groups)
    column = roles["score"]
    if not score and called_calls(column) and len(set(table.present(column))) == 2:
        raise SpecError(
            f"{key_text('--score')}: '{column}' of {table.name} has two values, as calls have: name it "
            f"with {key_text('--calls', column)}, or with {key_text('--score', column)} if these are "
            "scores"
        )
    return table, roles, line


def _path_of(source: Any) -> Path:
    """Return the file of a table, which is written where the table is in memory. Raises DataError where none is."""
    if not isinstance(source, str | os.PathLike):
        return kept_table(source, "scores")
    path = at_home(os.fspath(cast("str", source)))
    if not is_file(path):
        raise DataError(no_file(path))
    return path


def _columns_of_models(request: ValidateRequest) -> tuple[str, ...]:
    """Return the columns of scores or calls that are named, one for each model of a file; empty where none is.

    Raises:
        SpecError: They are not two different ones, or the second model has a file of its own.
    """
    option, text = ("--calls", request.calls) if request.calls else ("--score", request.score)
    is_one = "," in text and text in read_table(_path_of(request.file), request.image or "image").header
    columns = (text,) if is_one else names(text)
    if len(columns) > 2 or len({*columns}) < len(columns):
        raise SpecError(
            f"{key_text(option, text[:40])}: a validation compares two models: name two different columns, "
            "or write a row per image and model and run assay compare"
        )
    if len(columns) == 2 and _has_second_file(request):
        raise SpecError(
            f"{key_text(option, text[:40])} names the columns of two models in one file: leave out the "
            "other file, or name the column that both files have"
        )
    return columns


def _has_second_file(request: ValidateRequest) -> bool:
    """Return whether the second model has a file of its own."""
    return not (request.other is None or (isinstance(request.other, str) and not request.other))


def _unit_codes(table: TextTable, by: str) -> Int[np.ndarray, " n"]:
    """Return a code of each row: rows of the same code are joined. Raises DataError where a row has no value."""
    if not by:
        return np.arange(len(table))
    cells = table.column(by, key_text("--by"))
    if blank := sum(absences(cells)):
        raise DataError(
            f"{key_text('--by', by)} is missing in {blank:,} of {len(table):,} rows of {table.name}: fill it in"
        )
    return pd.factorize(np.array(cells, dtype=object))[0]


def _joined_facts(table: TextTable, request: ValidateRequest) -> dict[str, str]:
    """Return what becomes of rows that share a value of a column, as rows of `provenance`; empty without such rows."""
    by = request.by
    if not by or not table.frame.duplicated(by).any():
        return {}
    how = "called positive if any of its rows is" if request.calls else f"by the {_RULES[request.rule]} of its rows"
    facts = {
        "rows joined": f"{count(len(table), 'row')} are {table.frame[by].nunique():,} cases, one for each value "
        f"of '{by}', {how}"
    }
    if models := models_of(table, by):
        facts["models joined"] = f"'{models}': {some_values(table, models)}"
        facts["comparison"] = comparison_line(request, models, by)
    return facts


_RULES = {"max": "highest score", "mean": "mean score"}


def _read_calls(table: TextTable, column: str, codes: Mapping[str, int]) -> TextTable:
    """Return a table whose calls are 0 and 1. Raises DataError for a call that is neither, nor a class."""

    def key(cell: str) -> str:
        value = number(cell)
        return fold(cell) if value is None else f"{value:g}"

    values = {"0": "0", "1": "1"} | {key(cell): str(code) for cell, code in codes.items()}
    cells = table.column(column, key_text("--calls"))
    if wrong := [cell for cell in cells if not absent(cell) and key(cell) not in values]:
        raise DataError(
            f"{table.name}: call '{wrong[0][:40]}' in '{column}' is neither 0 or 1 nor a class of the target"
        )
    calls = [cell if absent(cell) else values[key(cell)] for cell in cells]
    return replace(table, frame=table.frame.assign(**{column: calls}))


def _join_rows(
    table: TextTable, roles: Mapping[str, str], request: ValidateRequest, classes: Sequence[str]
) -> TextTable:
    """Return a row for each value of a column, with the joined score and its class; the first row has the rest.

    Args:
        table: The rows that have a score.
        roles: Role -> column.
        request: Names the column and the rule.
        classes: Class of the value of each row.

    Raises:
        DataError: A value has rows of several patients.
        SpecError: Numbers stand for a missing score, or all values are of one class, though their rows are of two.
    """
    table, score, _ = usable(table, roles)
    if not request.calls:
        require_no_missing(score, request.scores, f"the scores in '{roles['score']}'", roles["score"])
    joined_classes = {*classes} - {""}
    if len(joined_classes) == 1 < len({*spellings(table.present(roles["target"])).values()}):
        raise SpecError(
            f"{key_text('--by', request.by)}: each of its values has a row of '{joined_classes.pop()}' in "
            f"'{roles['target']}', which makes it positive, so that none is negative: name a column of what has one "
            f"class each, such as an eye or an examination, or leave {key_text('--by')} out: then each row is a case, "
            "and intervals are over patients all the same"
        )
    frame, by = table.frame, request.by
    if roles["patient"] in table.header and (frame.groupby(by)[roles["patient"]].nunique() > 1).any():
        raise DataError(f"{key_text('--by', by)}: some of its values have rows of several patients")
    joined = pd.Series(score, frame.index).groupby(frame[by], sort=False).transform(request.rule)
    frame = frame.assign(**{roles["score"]: joined.map(repr), roles["target"]: classes})
    return replace(table, frame=frame.drop_duplicates(by))


@dataclass(frozen=True, eq=False)
class ValidatedModels:
    """Models on the same cases, with everything that a validation computes from.

    Attributes:
        files: The files, the first model first.
        models: Name -> scores.
        groups: Groups of cases, with counts.
        lines: Line of each case in the first file.
        facts: Rows of `provenance`.
        recalibration: Other cases of each model, on which it is recalibrated; empty without.
    """

    files: tuple[ScoreFile, ...]
    models: Mapping[str, ScoredCases]
    groups: tuple[ColumnGroups, ...]
    lines: tuple[int, ...]
    facts: Mapping[str, str]
    recalibration: Sequence[ScoreFile] = ()


def read_validation(request: ValidateRequest) -> ValidatedModels:
    """Read one file, or two with the same cases, with thresholds and groups."""
    _check_numbers(request)
    files, matched = _read_models(request)
    first = files[0]
    rows, patient = first.rows, _patients_of(first.rows)
    texts = _threshold_texts(request, len(files))
    tuning = tuning_files(files, request.threshold_from, key_text("--threshold-from"), request)
    recalibration = tuning_files(files, request.recalibrate_from, key_text("--recalibrate-from"), request)
    thresholds = [_threshold_of_file(*of) for of in zip(files, texts, tuning or (None,) * len(files), strict=True)]
    for file, (at, source) in zip(files, thresholds, strict=True):
        if source == "stated":  # one that a rule gave may be an end of the scale, or beyond these scores
            file.require_possible(at)
            if file.scale.kind == "logits" and request.scores == "auto" and 0 < at < 1:
                each = ", one threshold a file with a comma between them" if len(files) > 1 else ""
                raise SpecError(
                    f"{key_text('--threshold', f'{at:g}')}: the scores of {file.name} are log-odds: write "
                    f"{math.log(at / (1 - at)):.4g} for the probability {at:g}{each}, or give "
                    f"{key_text('--scores', 'logits')} if {at:g} is meant as log-odds"
                )
    prevalence = request.true_prevalence or math.nan
    models = {
        file.name: _cases_of(file, file.on_scale(at), patient, prevalence)
        for file, (at, _) in zip(files, thresholds, strict=True)
    }
    if not (request.calls or request.as_given):
        for file in files:
            _require_positive_scores(file, models[file.name])
        for file in (*tuning, *recalibration):
            _require_positive_scores(file, _cases_of(file, 0.0, _patients_of(file.rows)))
    used = {request.by, *(column for file in files for column in file.rows.roles.values())}
    restating = {name: why for name, why in restated(rows.table, rows.roles["target"]).items() if name not in used}
    weights = weights_of_cases(rows.table, (*used, *request.groups))
    groups, columns, groups_left_out = _groups_of_file(rows, patient, request, {*used, *restating, *weights})
    facts = {
        **first.facts,
        **_cautions_of_groups(rows.table, columns),
        **({"matched": matched} if len(files) > 1 else {}),
        "data": Path(rows.table.name).stem,
        "target": rows.roles["target"],
        "images": f"{len(patient):,}",
        "positives": f"{int(rows.target.codes.sum()):,}",
        "patients": f"{len(np.unique(patient)):,}",
        "effective patients": _few_patients(rows.target.codes, patient),
        "intervals over": "patients" if rows.cells("patient") else "images",
        "scores that are the target": " and ".join(file.name for file in files if _equal_target(file.rows)),
        "scales of parts": ""
        if request.calls
        else " ".join(dict.fromkeys(filter(None, (scales_of_parts(file.rows) for file in files)))),
        "sorted scores": " and ".join(file.name for file in files if is_sorted_apart(file.rows)),
        "repeated scores": " ".join(filter(None, map(_filled_score, files))),
        "scores of two softmaxes": "; ".join(text for file in files if (text := softmax_twice_words(file.rows.score))),
        "scores cut off": "; ".join(text for file in files if (text := overflow_words(file.rows.score))),
        "threshold": "; ".join(
            f"{file.name} {at:.4g}" if len(files) > 1 else f"{at:.4g}"
            for file, (at, _) in zip(files, thresholds, strict=True)
        ),
        "threshold from": "; ".join(dict.fromkeys(origin for _, origin in thresholds)),
        "groups": ", ".join(columns),
        "groups left out": "; ".join(groups_left_out),
        "predictions": "yes",
        "columns left out": columns_left_out({**({} if request.groups else restating), **weights}),
        "same scores": " and ".join(models) if len(files) > 1 and _are_same(*files) else "",
        "models in columns": ", ".join(models) if len(_columns_of_models(request)) > 1 else "",
        "command": f"assay validate {request.typed(*NOT_REPEATED)}",
        "thresholds": request.typed(*(ValidateRequest.options().keys() - {"threshold", "threshold_from"})),
        "path": _typed_file(request.file),
        "true prevalence": f"{request.true_prevalence:g}" if request.true_prevalence else "",
        "patients of other cases": _overlap_words(first, (*tuning, *recalibration)),
        "recalibrated on": "; ".join(dict.fromkeys(other.name for other in recalibration)),
    }
    return ValidatedModels(files, models, groups, rows.table.numbers, facts, recalibration)


def _cautions_of_groups(table: TextTable, columns: Sequence[str]) -> dict[str, str]:
    """Return how the values of columns of groups were read, as rows of `provenance`."""
    names = dict.fromkeys(part for name in columns for part in (name.split(CROSS) if CROSS in name else [name]))
    return cautions_of({name: table.column(name, key_text("--groups")) for name in names}, "", table.comma)


def _few_patients(target: Int[np.ndarray, " n"], patient: Int[np.ndarray, " n"]) -> str:
    """Return the effective patients of the class that has fewer, where they are few; empty otherwise."""
    effective = effective_patients_of_classes(target, patient)
    return f"{effective:.2g}" if effective < FEW_PATIENTS else ""


_REPEATED, _LEAST_REPEATED = 0.05, 5
"""Share and number of cases with the same score from which it may stand for none."""
_DISTINCT, _TIMES, _NEARBY = 20, 10, 5
"""Different scores that there must be, the times that such a score is more frequent than near ones, and how many of
these on each side are compared: scores that were rounded all repeat, and grades are few."""


def _equal_target(rows: ScoredRows) -> bool:
    values = np.unique(rows.score)
    return len(values) == 2 and np.array_equal(rows.score == values[1], rows.target.codes == 1)


def _filled_score(file: ScoreFile) -> str:
    """Return a sentence where a score among many different ones seems to stand for none; else empty."""
    score = file.rows.score
    values, counts = np.unique(score, return_counts=True)
    at = int(counts.argmax())
    near = np.delete(counts[max(at - _NEARBY, 0) : at + _NEARBY + 1], min(at, _NEARBY))
    least = max(_LEAST_REPEATED, _REPEATED * len(score), _TIMES * max(near, default=0))
    if at in (0, len(values) - 1) or len(values) < _DISTINCT or counts[at] < least:
        return ""
    return (
        f"{counts[at]:,} of {len(score):,} scores of {file.name} are exactly {values[at]:g}, and none near it is as "
        "frequent: if it stands for cases without a score, leave these cells empty."
    )


def _typed_file(source: Any) -> str:
    """Return the path of a file for a command; empty of a table in memory."""
    return typed_path(source) if isinstance(source, str | Path) and source != "" else ""


def _check_numbers(request: ValidateRequest) -> None:
    """Refuse prevalences and sizes out of range, and options that calls have no use for. Raises SpecError."""
    for prevalence in request.prevalences:
        if not 0 < prevalence < 1:
            raise SpecError(f"a prevalence of {prevalence:g}: expected a share between 0 and 1, such as 0.05 for 5%")
    if request.plan is not None and not 0 < request.plan < 0.5:
        raise SpecError(
            f"{key_text('--plan', f'{request.plan:g}')}: expected a half-width or difference between 0 and 0.5, "
            f"such as 0.03"
        )
    if request.margin is not None and not 0 < request.margin < 1:
        raise SpecError(
            f"{key_text('--margin', f'{request.margin:g}')}: expected a difference between 0 and 1, such as 0.02"
        )
    if request.calls:
        request.require_used(("score", "scores", "threshold", "threshold_from", "recalibrate_from", "rule"),
                             f"has no use with {key_text('--calls')}: there are no scores, and "
                             f"{key_text('--by')} joins calls by any")  # fmt: skip


def _read_models(request: ValidateRequest) -> tuple[tuple[ScoreFile, ...], str]:
    """Return the file of each model, with the same cases, and what was left out or ignored to match them."""
    first_column, *others = _columns_of_models(request) or ("",)
    first = read_score_file(request.file, request, first_column)
    if others:
        first = replace(first, name=first_column)
        second = replace(read_score_file(request.file, request, others[0]), name=others[0])
    elif _has_second_file(request):
        second = read_score_file(request.other, request, first_column)
    else:
        return (first,), ""
    first, second, notes = _pair_files(first, second, request)
    second = replace(second, name=f"{second.name} (2)") if second.name == first.name else second
    return (first, second), "; ".join(notes)


def _patients_of(rows: ScoredRows) -> Int[np.ndarray, " n"]:
    """Return codes of patients; each case is one where no column names them."""
    cells = rows.cells("patient")
    return patient_codes(cells) if cells else np.arange(len(rows.score))


def _cases_of(
    file: ScoreFile, threshold: float, patient: Int[np.ndarray, " n"], prevalence: float = math.nan
) -> ScoredCases:
    score, scale = file.rows.score, file.scale
    return ScoredCases(
        file.rows.target.codes, scale.log_odds(score), patient, threshold, prevalence, scale.probabilities(score)
    )


MAX_REVERSED_AUROC = 0.475
"""Scores whose AUROC is below this, with its interval, are taken for those of the other class."""
MIN_SEPARATED = 5
"""Least cases of each class with which an AUROC of 0 is not due to chance."""


def _require_positive_scores(file: ScoreFile, cases: ScoredCases) -> None:
    """Refuse scores that are, by their column's name or by their ranks, those of the other class. Raises SpecError."""
    file.rows.require_positive_by_name()
    file.rows.require_score_of_one_class(100 if file.scale.kind == "percent" else 1)
    auroc = auroc_with_interval(cases)
    is_separated = auroc.value == 0 and min(np.bincount(cases.target)) >= MIN_SEPARATED
    if auroc.high < MAX_REVERSED_AUROC or is_separated:
        raise file.rows.reversed_ranking(auroc.value)


def _pair_files(
    first: ScoreFile, other: ScoreFile, request: ValidateRequest
) -> tuple[ScoreFile, ScoreFile, tuple[str, ...]]:
    """Return two files with the same cases in the same order. Raises DataError where they are not of the same."""
    is_one_table = len(_columns_of_models(request)) > 1
    matched = match(*_case_names(first, other, is_one_table and not request.by))
    if not matched.pairs:
        raise DataError(f"no case of {first.name} is in {other.name}: are these scores of other patients?")
    where, row = (f"'{other.name}'", "score") if is_one_table else (other.rows.table.name, "row")
    notes = require_matched(
        matched, where, "case", row, unmatched=request.unmatched, private=True, lines=other.rows.table.numbers
    )
    rows, other_rows = first.rows.take([*matched.pairs]), other.rows.take([*matched.pairs.values()])
    if different_count := int((rows.target.codes != other_rows.target.codes).sum()):
        raise DataError(
            f"{different_count:,} of {len(matched.pairs):,} cases have another class in {other.name} than in "
            f"{first.name}: correct the files, or name the positive class with "
            f"{key_text('--positive')}"
        )
    patients = [part.cells("patient") for part in (rows, other_rows)]
    if all(patients) and len({*zip(*patients, strict=True)}) > min(len({*cells}) for cells in patients):
        raise DataError(
            f"cases of one patient in {first.name} or {other.name} are of several in the other file: "
            f"correct the files, or name the column of patients with {key_text('--patient')}"
        )
    return replace(first, rows=rows), replace(other, rows=other_rows), notes


def _are_same(first: ScoreFile, other: ScoreFile) -> bool:
    """Return whether two models have the same score in every case."""
    return first.rejected == other.rejected and np.array_equal(first.rows.score, other.rows.score)


def _case_names(first: ScoreFile, other: ScoreFile, are_lines: bool) -> tuple[Sequence[str], Sequence[str]]:
    """Return the names of the cases of two files: lines where both are one table. Raises SpecError without names."""
    if are_lines:
        return [*map(str, first.rows.table.numbers)], [*map(str, other.rows.table.numbers)]
    columns = first.columns_of_cases(), other.columns_of_cases()
    for file, ids in zip((first, other), columns, strict=True):
        if not ids:
            raise SpecError(
                f"no column of {file.name} has one value for each case, by which two files are paired: "
                f"name one with {key_text('--image', 'COLUMN')}"
            )
    both = next(((name, name) for name in columns[0] if name in columns[1]), (columns[0][0], columns[1][0]))
    first_key, second_key = (
        file.rows.table.column(name, key_text("--image")) for file, name in zip((first, other), both, strict=True)
    )
    return first_key, second_key


def tuning_files(
    files: Sequence[ScoreFile], sources: Sequence[Path], option: str, request: ValidateRequest
) -> list[ScoreFile]:
    """Read the files of other cases, one for each model.

    Raises:
        SpecError: There is not a file for each model, or its scores are of another kind.
    """
    if not sources:
        return []
    columns = _columns_of_models(request) or ("",)
    sources = [*sources] * len(columns) if len(sources) == 1 else sources  # one table has the scores of both
    columns = columns * len(files) if len(columns) == 1 else columns
    if len(sources) != len(files):
        raise SpecError(f"{option}: name a CSV of other cases for each of the {len(files)} models, such as a.csv,b.csv")
    others = [
        read_score_file(source, request.with_changes(groups=()), column)
        for source, column in zip(sources, columns, strict=True)
    ]
    for file, other in zip(files, others, strict=True):
        if other.scale.kind != file.scale.kind:
            raise SpecError(
                f"{option}: the scores of {other.name} are {scale_words(other.scale)}, and those of "
                f"{file.name} {scale_words(file.scale)}: name them with "
                f"{key_text('--scores')}"
            )
    return others


def _threshold_texts(request: ValidateRequest, models: int) -> tuple[str, ...]:
    """Return what is written of the threshold of each model. Raises SpecError where it does not fit."""
    texts = names(request.threshold) or ("",)
    if len(texts) not in (1, models):
        each = f", or for each of {models}" if models > 1 else ""
        point = request.threshold.strip().replace(",", ".")
        decimal = f"; for {point} write a point" if re.fullmatch(r"-?\d+,\d+", request.threshold.strip()) else ""
        raise SpecError(
            f"{key_text('--threshold', f'{request.threshold[:40]}')}: give one threshold"
            f"{' for all models' if each else ''}{each}{decimal}"
        )
    if request.threshold_from and not request.threshold:
        raise SpecError(
            f"{key_text('--threshold-from')} needs a rule: give {key_text('--threshold', 'sensitivity=0.9')} or "
            f"specificity=0.9"
        )
    if request.threshold_from and not all("=" in text for text in texts):
        raise SpecError(
            f"{key_text('--threshold-from')} sets a threshold: give "
            f"{key_text('--threshold', 'sensitivity=0.9')} with it"
        )
    return texts if len(texts) == models else texts * models


def _threshold_of_file(file: ScoreFile, text: str, tuning: ScoreFile | None) -> tuple[float, str]:
    rule, _, share = text.partition("=")
    if not file.has_scores:
        return 0.5, "calls"
    if not text:
        is_signed = file.scale.least < 0 < file.scale.greatest
        default = {"probabilities": 0.5, "percent": 50.0, "logits": 0.0}.get(
            file.scale.kind, 0.0 if is_signed else None
        )
        return (default, "default") if default is not None else _threshold_on(file, "sensitivity", 0.9)
    if not share:
        value = number(rule)
        if value is None:
            raise SpecError(
                f"{key_text('--threshold', f'{rule[:40]}')}: expected a score, sensitivity=0.9 or specificity=0.9"
            )
        return value, "stated"
    level = number(share)
    if rule not in ("sensitivity", "specificity") or level is None or not 0 < level < 1:
        raise SpecError(
            f"{key_text('--threshold', f'{text[:40]}')}: expected sensitivity=0.9 or specificity=0.9, between 0 and 1"
        )
    return _threshold_on(file, rule, level) if tuning is None else (_threshold_on(tuning, rule, level)[0], tuning.name)


def _overlap_words(first: ScoreFile, others: Sequence[ScoreFile]) -> str:
    """Return how many patients of other cases are among the reported ones; empty without any."""
    ids = {same_id(person) for other in others for person in {*other.rows.cells("patient")}}
    shared = ids & {same_id(person) for person in {*first.rows.cells("patient")}}
    return f"{len(shared):,}" if shared else ""


def _threshold_on(file: ScoreFile, rule: str, level: float) -> tuple[float, str]:
    return threshold_reaching(rule, level, file.rows.target.codes, file.rows.score), "these cases"


def _groups_of_file(
    rows: ScoredRows, patient: Int[np.ndarray, " n"], request: ValidateRequest, used_columns: Collection[str]
) -> tuple[tuple[ColumnGroups, ...], list[str], list[str]]:
    """Return groups of the columns that are named, or else of those of few values that have no other part.

    Returns:
        The groups, the names of the columns, and which groups and cases are in no comparison.
    """
    table = rows.table
    columns = list(request.groups) or [
        name
        for name in table.header
        if name not in used_columns
        and not (called_patient(name) or called_unit(name) or rows.holds_calls(name))
        and not holds_results(name, table.present(name))
        and 1 < len([*filterfalse(absent, set(table.column(name, key_text("--groups"))))]) <= MAX_VALUES
    ]
    groups: list[ColumnGroups] = []
    left_out: list[str] = []
    for name in columns:
        cells, *others = (table.column(part, key_text("--groups")) for part in name.split(CROSS))
        for other in others:
            cells = tuple("" if absent(a) or absent(b) else f"{a}, {b}" for a, b in zip(cells, other, strict=True))
        factor, values = factor_of(name, cells, table.comma)
        groups.append(
            divide_into_groups(
                FactorTable(
                    row=np.arange(len(cells)),
                    target=rows.target.codes,
                    patient=patient,
                    classes=rows.target.classes,
                    factors=(factor,),
                    columns={name: values},
                ),
                name,
            )
        )
        if groups[-1].groups:
            left_out += [f"{name} {level} (under {MIN_IMAGES_OF_CLASS} cases of a class)" for level in groups[-1].small]
            empty = sum(map(absent, cells))
            left_out += [f"{count(empty, 'case')} without {name}"] if empty else []
        else:
            left_out.append(f"{name} ({reason_words(groups[-1].reason)})")
    return tuple(groups), columns, left_out
