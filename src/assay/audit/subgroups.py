"""Performance of a model by group and between groups, and its tables of columns."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Float, Int

from assay.audit.scored import ScoredImages, ScoredMaps, column_decision, margin_verdict, not_tested_row, verdict_row
from assay.audit.swing import auroc_contributions
from assay.core.reasons import Code, Reason
from assay.core.types import Factor, FactorTable
from assay.look.added import compare_with_cue
from assay.look.cues import Cue
from assay.stats.bounds import NO_SKEW, BoundedEstimate, Skew, bounded_share, curvature_of_logit, skew_of
from assay.stats.estimate import shift_on_scale
from assay.stats.groups import MAX_LEVELS, MIN_IMAGES_OF_CLASS, ColumnGroups, divide_into_groups
from assay.stats.influence import (
    ModelPredictions,
    auroc_influence,
    calibration_in_the_large,
    calibration_slope,
    sum_by_patient,
)
from assay.stats.measures import value_and_contributions
from assay.stats.panel import SeedPredictions, df_over_patients
from assay.stats.rows import CONFIDENCE
from assay.store.files import Row

_SHARE = (0.0, 1.0)
MIN_PATIENTS = 10
"""Patients with correct, and with wrong predictions, from which on a share has an interval by its variance."""
IN_THE_LARGE, SLOPE = "calibration-in-the-large", "calibration-slope"
"""Measures of groups by `_calibration_parts`. A slope has another unit than the margin: it has no gaps."""


_ImageContributions = tuple[Float[np.ndarray, " n"], Int[np.ndarray, " n"], Int[np.ndarray, " n"]]
"""Contributions of images, their patients, and their strata: below 0 of images that do not count."""


@dataclass(frozen=True)
class _GroupMeasure:
    """A measure of a group: its value and the contributions of all patients.

    Attributes:
        value: The value.
        contributions: Of each patient of the data, 0 for those outside the group; their squares sum to the variance.
        images: Images of the group.
        patients: Patients of the group.
        df: Degrees of freedom of the variance: those of the effective patients whose images count.
        exact_interval: Of a share, returns its exact interval from the level of each end. None of other measures, and
            where there are `MIN_PATIENTS` patients with correct and with wrong predictions.
        by_image: Contributions of all images, not widened, with their patients and strata (see `stats.bounds.skew_of`).
            None of others than means and AUROC of two classes.
    """

    value: float
    contributions: Float[np.ndarray, " p"]
    images: int
    patients: int
    df: float
    exact_interval: Callable[[float], BoundedEstimate] | None = None
    by_image: _ImageContributions | None = None


def subgroup_rows(scored: ScoredImages, columns: Sequence[ColumnGroups], margin: float) -> tuple[list[Row], list[Row]]:
    """Return rows of `tables.GROUPS` and of `tables.GAPS`.

    Intervals of groups hold simultaneously at 95% (Bonferroni), and so do those of gaps. Contributions are summed by
    patient, who may be in several groups.
    """
    all_rows = np.ones(len(scored.table), dtype=bool)
    parts = {("", "all"): _group_measures(scored, all_rows)}
    parts |= {
        (grouping.column, level): _group_measures(scored, rows)
        for grouping in columns
        for level, rows in grouping.groups.items()
    }
    cells = [(group_key, name, part) for group_key, measures in parts.items() for name, part in measures.items()]
    n_group_intervals = len(cells) - len(parts["", "all"])
    groups = [
        {
            "column": column,
            "level": level,
            "measure": name,
            **_interval(name, part, n_group_intervals if column else 1),
            "images": part.images,
            "patients": part.patients,
        }
        for (column, level), name, part in cells
    ]
    pairs = [
        (grouping.column, a, b, name, parts[grouping.column, a][name], parts[grouping.column, b][name])
        for grouping in columns
        for a, b in combinations(grouping.groups, 2)
        for name in parts[grouping.column, a]
        if name in parts[grouping.column, b] and name != SLOPE
    ]
    return groups, [_gap(*pair, len(pairs), margin) for pair in pairs]


def _group_measures(scored: ScoredImages, rows: np.ndarray) -> dict[str, _GroupMeasure]:
    """Return the measures that are defined for some rows, by name."""
    table = scored.table
    predicted = ModelPredictions(scored.logits[rows], table.target[rows], scored.threshold)
    names = ("auroc", "sensitivity", "specificity") if predicted.n_classes == 2 else ("auroc-macro", "accuracy")
    all_patients = np.unique(table.patient)
    patients, parts = np.unique(table.patient[rows]), dict[str, _GroupMeasure]()
    for name in names:
        metric, contributions = value_and_contributions(name, predicted, table.patient[rows])
        if metric.is_defined:
            all_contributions = np.zeros(len(all_patients))
            all_contributions[np.searchsorted(all_patients, patients)] = contributions
            exact_interval = _exact_share_interval(name, predicted, table.patient[rows])
            df = _degrees_of_freedom(name, predicted, table.patient[rows])
            by_image = None
            if name == "auroc":
                influence = auroc_influence(*predicted.placements, predicted.target, metric.value)
                by_image = _spread_over_images(influence, predicted.target, rows, table.patient)
            parts[name] = _GroupMeasure(
                metric.value, all_contributions, int(rows.sum()), len(patients), df, exact_interval, by_image
            )
    if predicted.n_classes == 2 and scored.is_calibrated and not isinstance(scored, ScoredMaps):
        parts |= _calibration_parts(scored, rows)
    if isinstance(scored, ScoredMaps) and (has_lesion := rows & (table.target == 1)).any():
        dice = scored.dice[has_lesion]
        deviations = (dice - dice.mean()) / len(dice)
        parts["dice"] = _mean_measure(float(dice.mean()), deviations, has_lesion, table.patient)
    return parts


def _mean_measure(value: float, influence: np.ndarray, rows: np.ndarray, patient: np.ndarray) -> _GroupMeasure:
    """Return a measure whose error is the sum of the influence of the images that count."""
    parts, all_patients = sum_by_patient(influence, patient[rows]), np.unique(patient)
    contributions = np.zeros(len(all_patients))
    contributions[np.searchsorted(all_patients, parts.samples)] = parts.values
    by_image = _spread_over_images(influence, np.zeros(len(influence), dtype=np.int64), rows, patient)
    df = df_over_patients(patient[rows])
    return _GroupMeasure(value, contributions, len(influence), len(parts.samples), df, by_image=by_image)


def _spread_over_images(
    influence: np.ndarray, stratum: np.ndarray, rows: np.ndarray, patient: np.ndarray
) -> _ImageContributions:
    """Return contributions of all images, from those of some rows and their strata."""
    all_influence, all_strata = np.zeros(len(patient)), np.full(len(patient), -1, dtype=np.int64)
    all_influence[rows], all_strata[rows] = influence, stratum
    return all_influence, patient, all_strata


def _degrees_of_freedom(name: str, predicted: ModelPredictions, patient: np.ndarray) -> float:
    if name == "auroc":
        return auroc_contributions(predicted.score, predicted.target, patient)[1]
    is_counted = _counted_images(name, predicted)
    return df_over_patients(patient if is_counted is None else patient[is_counted])


def _counted_images(name: str, predicted: ModelPredictions) -> np.ndarray | None:
    """Return which images a share of correct predictions is of; None of other measures."""
    return {
        "sensitivity": predicted.target == 1,
        "specificity": predicted.target == 0,
        "accuracy": np.ones(len(predicted.target), dtype=bool),
    }.get(name)


def _exact_share_interval(
    name: str, predicted: ModelPredictions, patient: np.ndarray
) -> Callable[[float], BoundedEstimate] | None:
    """Return the exact interval of a share of correct predictions where few patients have any, or have none.

    It is a function of the level of each end. None of other measures, and where the variance can be used.
    """
    is_counted = _counted_images(name, predicted)
    if is_counted is None or len(np.unique(patient)) < 2:
        return None
    is_correct = (predicted.predicted == predicted.target)[is_counted]
    if min(len(np.unique(patient[is_counted][is_correct == either])) for either in (True, False)) >= MIN_PATIENTS:
        return None
    return lambda alpha: bounded_share(is_correct, patient[is_counted], alpha)


def _calibration_parts(scored: ScoredImages, rows: np.ndarray) -> dict[str, _GroupMeasure]:
    """Return calibration in the large, and the slope where there is one."""
    table = scored.table
    parts = {IN_THE_LARGE: calibration_in_the_large(scored.probability[rows], table.target[rows])}
    if (slope := calibration_slope(scored.scores[rows, 0], table.target[rows])) is not None:
        parts[SLOPE] = slope
    return {name: _mean_measure(value, influence, rows, table.patient) for name, (value, influence) in parts.items()}


def _interval(name: str, part: _GroupMeasure, n_intervals: int) -> Row:
    """Return a value with one of `n_intervals` simultaneous intervals, which is computed on the logit scale."""
    if part.exact_interval is not None:
        bounded = part.exact_interval((1 - CONFIDENCE) / 2 / n_intervals)
        return {"value": part.value, "low": bounded.low, "high": bounded.high}
    error = float(np.sqrt((part.contributions**2).sum()))
    if not 0 < error < math.inf:
        return {"value": part.value, "low": math.nan, "high": math.nan}
    is_share = name not in (IN_THE_LARGE, SLOPE)
    curvature = curvature_of_logit(part.value, error) if is_share else 0.0
    below, above = _skew(name, part).quantiles(max(1.0, part.df), (1 - CONFIDENCE) / 2 / n_intervals, curvature)
    scale = _SHARE if is_share else (-math.inf, math.inf)
    ends = (shift_on_scale(part.value, step * error, scale) for step in (-below, above))
    return {"value": part.value, **dict(zip(("low", "high"), ends, strict=True))}


def _skew(name: str, first: _GroupMeasure, second: _GroupMeasure | None = None) -> Skew:
    """Return the skew of a measure, or of its difference between two groups; none of measures that are no means."""
    if name == SLOPE or first.by_image is None:
        return NO_SKEW
    rows, patient, stratum = first.by_image
    if second is not None:
        if second.by_image is None:
            return NO_SKEW
        other_rows, _, other_stratum = second.by_image
        rows, stratum = rows - other_rows, np.where(other_stratum < 0, stratum, other_stratum + stratum.max() + 1)
    return skew_of(rows, patient, stratum)


def _gap_interval(name: str, first: _GroupMeasure, second: _GroupMeasure, n_intervals: int) -> tuple[float, float]:
    """Return the interval of a difference; NaN where there is no variance.

    Where a share has exact ends, those of both are combined (Newcombe, Statistics in Medicine 1998, method 10): the
    variance of a share that is nearly 1 is nearly 0, however few patients it comes from. The groups count as
    independent, which is too wide where patients are in both.
    """
    value = first.value - second.value
    if first.exact_interval is None and second.exact_interval is None:
        error = float(np.sqrt(((first.contributions - second.contributions) ** 2).sum()))
        if not 0 < error < math.inf:
            return math.nan, math.nan
        df, alpha = max(1.0, min(first.df, second.df)), (1 - CONFIDENCE) / 2 / n_intervals
        below, above = _skew(name, first, second).quantiles(df, alpha)
        return value - below * error, value + above * error
    a, b = (_interval(name, part, n_intervals) for part in (first, second))
    below = math.hypot(a["value"] - a["low"], b["high"] - b["value"])
    above = math.hypot(a["high"] - a["value"], b["value"] - b["low"])
    return value - below, value + above


def _gap(
    column: str, a: str, b: str, name: str, first: _GroupMeasure, second: _GroupMeasure, n_intervals: int, margin: float
) -> Row:
    value = first.value - second.value
    low, high = _gap_interval(name, first, second, n_intervals)
    has_interval, half_width = math.isfinite(high - low), (high - low) / 2
    decision = margin_verdict(low, high, margin) if has_interval else "inconclusive"
    distance_to_margin = abs(abs(value) - margin)
    images = first.images + second.images
    can_be_settled = decision == "inconclusive" and has_interval and distance_to_margin > margin / 50
    return {
        "column": column,
        "a": a,
        "b": b,
        "measure": name,
        "value": value,
        "low": low,
        "high": high,
        "decision": decision,
        "needed": math.ceil(images * (half_width / distance_to_margin) ** 2) if can_be_settled else math.nan,
        "images": images,
    }


def column_tables(scored: ScoredImages, margin: float) -> tuple[list[Row], list[Row], list[Row]]:
    """Return rows of `tables.VERDICTS`, `tables.GROUPS` and `tables.GAPS` by the columns of the images."""
    columns = [
        divide_into_groups(scored.table, factor.name) for factor in scored.table.factors if factor.role != "core"
    ]
    verdicts: list[Row] = []
    for column in columns:
        decision = column_decision(scored, column, margin)
        reason = column.reason or Reason.of(Code.NOTHING_TO_COMPARE)
        verdicts.append(
            {**verdict_row(column.column, "column", decision), "reason": str(column.reason)}
            if decision
            else not_tested_row(column.column, "column", reason)
        )
    groups, gaps = subgroup_rows(scored, [column for column in columns if column.groups], margin)
    untested = [column for column in columns if not column.groups]
    few = str(Reason.of(Code.SMALL_GROUP, least=MIN_IMAGES_OF_CLASS))
    groups += [
        {"column": column.column, "level": level, "reason": few, "images": 0, "patients": 0}
        for column in columns
        for level in column.small
    ]
    groups += [
        {"column": column.column, "reason": str(column.reason), "images": 0, "patients": 0} for column in untested
    ]
    return verdicts, groups, gaps


def column_rows(table: FactorTable) -> list[Row]:
    """Return rows of `tables.AUDIT_COLUMNS`: the target and every column, with the values of few levels."""
    target = Factor("target", "categorical", levels=table.classes)
    rows = [_column_row(target, table.target, "target")]
    return [*rows, *(_column_row(factor, table.columns[factor.name], "audited") for factor in table.factors)]


def _column_row(factor: Factor, values: np.ndarray, role: str) -> Row:
    row: Row = {"column": factor.name, "role": role, "kind": factor.kind, "images": len(values)}
    if factor.levels:
        codes, counts = np.unique(values[values >= 0], return_counts=True)
        images_of_level = {factor.levels[int(code)]: int(n) for code, n in zip(codes, counts, strict=True)}
        values_shown = json.dumps(images_of_level, ensure_ascii=False) if len(images_of_level) <= MAX_LEVELS else ""
        return {**row, "levels": len(images_of_level), "missing": int((values < 0).sum()), "values": values_shown}
    numbers = values.astype(np.float64)
    finite = numbers[np.isfinite(numbers)]
    row |= {"levels": len(np.unique(finite)), "missing": len(values) - len(finite)}
    return (
        row
        if not len(finite)
        else {**row, "least": finite.min(), "median": np.median(finite), "greatest": finite.max()}
    )


def added_value_rows(scored: ScoredImages, cues: Sequence[Cue], table: FactorTable) -> list[Row]:
    """Return rows of the table `added`: what one model adds to each cue, whatever images it was trained on.

    Args:
        scored: Its predictions, for images whose rows are their positions in `table`.
        cues: Scores of all images.
        table: All images.
    """
    factor_table = scored.table
    panel = SeedPredictions(
        scored.logits.astype(np.float64)[None],
        factor_table.target,
        factor_table.patient,
        image_indices=factor_table.row,
    )
    return [{"recipe": "", "environment": "", **row} for row in compare_with_cue(panel, cues, table, halves=True)]
