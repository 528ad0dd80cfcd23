"""Corruption error: what distortions cost a recipe, in units of what they cost a baseline."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from assay.stats.scores import Metric, undefined

CORRUPTION, RELATIVE, EVERY = "corruption-error", "relative-corruption-error", "all families"
"""The measures, and what stands in the place of a family where one is the mean over all (mCE, relative mCE)."""
_ERROR, _INCREASE = "distorted-error", "distorted-error-increase"


def corruption_rows(estimates: Sequence[Mapping[str, Any]], axis: str, against: str) -> list[dict[str, Any]]:
    """`corruption-error` and `relative-corruption-error` of every recipe by family, and their means over families: rows
    as those of estimates.

    estimates: rows that hold `distorted-error` and `distorted-error-increase` by severity (`level`) and as the mean
    over severities, means over seeds. The baseline of a recipe is the one that has `against` on this axis and all else
    alike; `group` names it. There is no interval. A recipe without a baseline, or one that lacks a severity, gets no
    row; where a family is undefined or has none the mean is undefined too. So is the relative one where the interval of
    what the baseline's errors increase by holds 0: a ratio to what may be nothing says nothing.
    """
    absolute = _ratios(estimates, axis, against, _ERROR, CORRUPTION, corruption_error)
    return absolute + _ratios(estimates, axis, against, _INCREASE, RELATIVE, relative_corruption_error)


def _ratios(
    estimates: Sequence[Mapping[str, Any]],
    axis: str,
    against: str,
    of: str,
    measure: str,
    ratio: Callable[[Float[np.ndarray, " s"], Float[np.ndarray, " s"]], Metric],
) -> list[dict[str, Any]]:
    errors: dict[tuple[str, str, str], dict[str, Mapping[str, Any]]] = {}
    least: dict[tuple[str, str, str], float] = {}
    for row in estimates:
        place = row["coordinates"], row["environment"], row["factor"]
        if row["measure"] == of and row["level"]:
            errors.setdefault(place, {})[row["level"]] = row
        elif row["measure"] == of:
            least[place] = float(row["low"])
    found: list[dict[str, Any]] = []
    alone: set[tuple[str, str]] = set()
    for (coordinates, environment, family), own in errors.items():
        at: dict[str, str] = json.loads(coordinates)
        below = json.dumps({**at, axis: against}), environment, family
        base = errors.get(below) if axis in at else None
        if base is None or base.keys() != own.keys():
            alone.add(_place(next(iter(own.values()))))
            continue
        value = ratio(*(np.array([rows[level]["value"] for level in own]) for rows in (own, base)))
        if value.defined and of == _INCREASE and not least.get(below, 1.0) > 0:
            known = not math.isnan(least[below])
            value = undefined(
                "the interval of what the baseline's error increases by holds 0"
                if known
                else "no interval tells whether the baseline's error increases"
            )
        found.append({**_row(next(iter(own.values())), family, f"{axis} {against}", value), "measure": measure})
    return found + [
        _mean([one for one in found if _place(one) == place], whole=place not in alone)
        for place in dict.fromkeys(map(_place, found))
    ]


def _place(row: Mapping[str, Any]) -> tuple[str, str]:
    return row["recipe"], row["environment"]


def _mean(rows: Sequence[Mapping[str, Any]], *, whole: bool) -> dict[str, Any]:
    """The mean over families; undefined unless the whole of them have a baseline."""
    reason = next((row["reason"] for row in rows if row["reason"]), "")
    value = Metric(float(np.mean([row["value"] for row in rows])), reason)
    if not whole:
        value = undefined("not every family has a baseline at all severities")
    return {**_row(rows[0], EVERY, rows[0]["group"], value), "measure": rows[0]["measure"]}


def _row(like: Mapping[str, Any], family: str, baseline: str, ratio: Metric) -> dict[str, Any]:
    gone = dict.fromkeys(("low", "high", "standard_error", "df", "chance"), float("nan"))
    named = {"factor": family, "level": "", "group": baseline, "unit": "", "direction": "lower"}
    return {**like, **gone, **named, "value": ratio.value, "reason": ratio.reason}


def corruption_error(error: Float[np.ndarray, " s"], baseline: Float[np.ndarray, " s"]) -> Metric:
    """CE of one family (Hendrycks and Dietterich 2019): the sum of a recipe's errors over severities, over that of the
    baseline. 1 is as good as the baseline, 0 is without error. Undefined where the baseline makes no error.

    error, baseline: share of images called wrongly at each severity (`distorted-error`), in the same order. The mean
    over families is mCE. Of several seeds, ratios are made of the means over seeds, not averaged: a ratio of two noisy
    numbers is biased.
    """
    _alike(error, baseline)
    below = float(baseline.sum())
    if np.isnan(error).any() or np.isnan(below):
        return undefined("an error is undefined")
    if not below > 0:
        return undefined("the baseline makes no error")
    return Metric(float(error.sum()) / below)


def relative_corruption_error(increase: Float[np.ndarray, " s"], baseline: Float[np.ndarray, " s"]) -> Metric:
    """Relative CE of one family: the same of the increase of the error over that on clean images.

    It can be negative where a distortion helps. Undefined where the baseline's error does not increase.
    increase, baseline: `distorted-error-increase` at each severity, in the same order.
    """
    _alike(increase, baseline)
    below = float(baseline.sum())
    if np.isnan(increase).any() or np.isnan(below):
        return undefined("an error is undefined")
    if not below > 0:
        return undefined("the baseline's error does not increase")
    return Metric(float(increase.sum()) / below)


def _alike(error: np.ndarray, baseline: np.ndarray) -> None:
    if error.shape != baseline.shape or error.ndim != 1 or not len(error):
        raise ValueError(
            f"errors of shape {error.shape} and of the baseline {baseline.shape}: give one per severity of each"
        )
