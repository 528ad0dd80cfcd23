"""When measurements of several folds, or of several seeds, are one measurement, and when they are not."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from assay.execution.worst import Key
from assay.store.files import Row

OF_ONE_IMAGE = "row "
"""How the group of a measurement of a single image begins."""
MISSING = "missing"
"""The measure that counts images without a value of a factor."""


def of_one_unit(rows: Mapping[int, Row]) -> Mapping[int, Row]:
    """One measurement of several seeds; undefined where they did not measure the same thing, as their units tell."""
    units = _units(rows.values())
    if len(units) < 2:
        return rows
    reason = f"some seeds give {' and some '.join(units)}, which are not averaged"
    return {
        seed: {**row, "unit": "", "value": math.nan, "standard_error": math.nan, "reason": reason}
        for seed, row in rows.items()
    }


def over_folds(key: Key, folds: Sequence[Mapping[Key, Row]]) -> Row:
    """One row for the folds of a seed: the mean of their values, NaN where one of them is NaN or absent.

    NaN too where folds did not measure the same thing, as their units tell.
    Every reason is kept. What is said of single images (a pair's logits) belongs to one fold and is left as it is, and
    images without a value are counted, so that a fold without such images counts none.
    """
    rows = [fold[key] for fold in folds if key in fold]
    if len(folds) == 1 or rows[0]["group"].startswith(OF_ONE_IMAGE):
        return rows[0]
    reasons = list(dict.fromkeys(row["reason"] for row in rows if row["reason"]))
    images, patients = (sum(row[name] for row in rows) for name in ("n", "patients"))
    total = {**rows[0], "n": images, "patients": patients}
    values = np.array([row["value"] for row in rows], dtype=np.float64)
    if rows[0]["measure"] == MISSING:
        return {**total, "value": float(values.sum()), "reason": "; ".join(reasons)}
    units = _units(rows)
    if len(units) > 1:
        reasons.append(f"some folds give {' and some '.join(units)}, which are not averaged")
        return {**total, "unit": "", "value": math.nan, "standard_error": math.nan, "reason": "; ".join(reasons)}
    if len(rows) < len(folds):
        reasons.append(f"{len(rows)} of {len(folds)} folds have it")
        return {**total, "value": math.nan, "standard_error": math.nan, "reason": "; ".join(reasons)}
    error = math.sqrt(sum(row["standard_error"] ** 2 for row in rows)) / len(rows)
    return {**total, "value": float(values.mean()), "standard_error": error, "reason": "; ".join(reasons)}


def _units(rows: Iterable[Row]) -> list[str]:
    """The units of what has a value; what is undefined may have none."""
    return sorted({row["unit"] for row in rows if not math.isnan(row["value"])})
