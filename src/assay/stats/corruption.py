"""Corruption error: the error of a recipe under distortions, relative to that of a baseline recipe."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from assay.core.reasons import NO_REASON, Code, reason_of
from assay.stats.metrics import Metric, undefined_metric

CORRUPTION, RELATIVE, ALL_FAMILIES = "corruption-error", "relative-corruption-error", "all families"
"""The measures, and the name in the column `factor` of their means over families (mCE, relative mCE)."""
_ERROR, _INCREASE = "distorted-error", "distorted-error-increase"


def corruption_rows(estimates: Sequence[Mapping[str, Any]], axis: str, baseline_value: str) -> list[dict[str, Any]]:
    """Make the rows of `corruption-error` and `relative-corruption-error` of every recipe, as those of estimates.

    There is one row per family of distortions, and one for the mean over families; none has an interval. A family
    without a baseline with the same severities gets no row; the recipe's mean is then undefined. A recipe
    without any such family has no mean. The mean is also undefined where the value of a family is. The relative error
    is undefined where the interval of the increase of the baseline's errors contains 0, since the denominator may be 0.

    Args:
        estimates: Rows that hold `distorted-error` and `distorted-error-increase` by severity (`level`) and as the mean
            over severities, means over seeds. Their `coordinates` are JSON of axis -> value of the recipe.
        axis: The axis on which a recipe and its baseline differ.
        baseline_value: Value of the baseline on this axis; all else is alike. The column `group` names it.

    Examples:
        >>> columns = {"environment": "id", "factor": "blur", "level": "1", "measure": "distorted-error", "group": "",
        ...            "low": 0.0}
        >>> rows = [columns | {"recipe": loss, "coordinates": json.dumps({"loss": loss}), "value": value}
        ...         for loss, value in (("supcon", 0.1), ("cross-entropy", 0.2))]
        >>> ratios = corruption_rows(rows, "loss", "cross-entropy")
        >>> {(row["recipe"], row["factor"]): row["value"] for row in ratios}[("supcon", "blur")]  # 0.1 / 0.2
        0.5
    """
    absolute_ratios = _ratios(estimates, axis, baseline_value, _ERROR, CORRUPTION, Code.BASELINE_WITHOUT_ERROR)
    return absolute_ratios + _ratios(estimates, axis, baseline_value, _INCREASE, RELATIVE, Code.BASELINE_NOT_WORSE)


def _ratios(
    estimates: Sequence[Mapping[str, Any]],
    axis: str,
    baseline_value: str,
    error_measure: str,
    measure: str,
    undefined_code: Code,
) -> list[dict[str, Any]]:
    """Return the rows of one measure, as `corruption_rows`.

    Args:
        estimates: As of `corruption_rows`.
        axis: As of `corruption_rows`.
        baseline_value: As of `corruption_rows`.
        error_measure: The measure in `estimates` whose ratio to that of the baseline is taken.
        measure: The measure of the rows.
        undefined_code: Reason where the baseline's sum over severities is not above 0.
    """
    rows_by_family: dict[tuple[str, str, str], dict[str, Mapping[str, Any]]] = {}
    lower_bounds: dict[tuple[str, str, str], float] = {}
    for row in estimates:
        family_key = row["coordinates"], row["environment"], row["factor"]
        if row["measure"] == error_measure and row["level"]:
            rows_by_family.setdefault(family_key, {})[row["level"]] = row
        elif row["measure"] == error_measure:
            lower_bounds[family_key] = float(row["low"])
    ratios: list[dict[str, Any]] = []
    without_baseline: set[tuple[str, str]] = set()
    for (coordinates, environment, family), rows_by_level in rows_by_family.items():
        axis_values: dict[str, str] = json.loads(coordinates)
        # Keys keep their order, so that the text is equal to the `coordinates` of the baseline.
        baseline_key = json.dumps({**axis_values, axis: baseline_value}), environment, family
        baseline_rows = rows_by_family.get(baseline_key) if axis in axis_values else None
        if baseline_rows is None or baseline_rows.keys() != rows_by_level.keys():
            without_baseline.add(_recipe_key(next(iter(rows_by_level.values()))))
            continue
        error, baseline = (
            np.array([rows[level]["value"] for level in rows_by_level]) for rows in (rows_by_level, baseline_rows)
        )
        value = corruption_error(error, baseline, undefined_code)
        # A baseline without a row of the mean over severities passes (1.0). A lower bound of NaN is not above 0 and so
        # does not pass: without an interval the denominator may be 0.
        if value.is_defined and error_measure == _INCREASE and not lower_bounds.get(baseline_key, 1.0) > 0:
            is_known = not math.isnan(lower_bounds[baseline_key])
            value = undefined_metric(Code.BASELINE_NEAR_ZERO if is_known else Code.BASELINE_UNKNOWN)
        ratios.append(
            {
                **_ratio_row(next(iter(rows_by_level.values())), family, f"{axis} {baseline_value}", value),
                "measure": measure,
            }
        )
    return ratios + [
        _mean_over_families(
            [ratio for ratio in ratios if _recipe_key(ratio) == key], is_complete=key not in without_baseline
        )
        for key in dict.fromkeys(map(_recipe_key, ratios))
    ]


def _recipe_key(row: Mapping[str, Any]) -> tuple[str, str]:
    """Return the recipe and the environment of a row, over whose families a mean is taken."""
    return row["recipe"], row["environment"]


def _mean_over_families(rows: Sequence[Mapping[str, Any]], *, is_complete: bool) -> dict[str, Any]:
    """Return the row of the mean over families; it is undefined unless every family has a baseline."""
    reason = next((reason_found for row in rows if (reason_found := reason_of(row))), NO_REASON)
    value = Metric(float(np.mean([row["value"] for row in rows])), reason)
    if not is_complete:
        value = undefined_metric(Code.FAMILY_WITHOUT_BASELINE)
    return {**_ratio_row(rows[0], ALL_FAMILIES, rows[0]["group"], value), "measure": rows[0]["measure"]}


def _ratio_row(error_row: Mapping[str, Any], family: str, baseline: str, ratio: Metric) -> dict[str, Any]:
    """Return the row of a ratio, which has no interval, no chance level and no unit, from that of an error."""
    undefined = dict.fromkeys(("low", "high", "standard_error", "df", "chance"), float("nan"))
    columns = {"factor": family, "level": "", "group": baseline, "unit": "", "direction": "lower"}
    return {**error_row, **undefined, **columns, "value": ratio.value, "reason": str(ratio.reason)}


def corruption_error(error: Float[np.ndarray, " s"], baseline: Float[np.ndarray, " s"], undefined_code: Code) -> Metric:
    """Compute the corruption error of one family: the sum of errors over severities, over that of the baseline.

    1 is as good as the baseline, 0 is without error. Of several seeds, ratios are made of the means over seeds: a mean
    of ratios of two noisy numbers is biased.

    Args:
        error: Share of images called wrongly at each severity; of the relative error its increase over clean images,
            which is negative where a distortion helps.
        baseline: The same of the baseline.
        undefined_code: Reason where the sum of the baseline is not above 0.

    Returns:
        The error; undefined where the baseline's sum is not above 0, or a value is NaN. The mean over families is mCE.

    References:
        Hendrycks and Dietterich, "Benchmarking neural network robustness to common corruptions and perturbations", ICLR
        2019.

    Examples:
        >>> round(corruption_error(np.array([0.1, 0.2]), np.array([0.2, 0.4]), Code.BASELINE_WITHOUT_ERROR).value, 6)
        0.5
        >>> corruption_error(np.array([0.1]), np.array([0.0]), Code.BASELINE_WITHOUT_ERROR).is_defined
        False
    """
    baseline_sum = float(baseline.sum())
    if np.isnan(error).any() or np.isnan(baseline_sum):
        return undefined_metric(Code.UNDEFINED_ERROR)
    return Metric(float(error.sum()) / baseline_sum) if baseline_sum > 0 else undefined_metric(undefined_code)
