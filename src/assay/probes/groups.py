"""Groups of rows by a factor: its levels, or the halves below and above a reference median."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from assay.core.types import Factor, FactorTable

LOW_HALF, HIGH_HALF = "low half", "high half"


@dataclass(frozen=True, slots=True)
class Group:
    """Rows (booleans [n]) that share a level or half of a factor."""

    factor: str
    level: str
    rows: np.ndarray


def groups_of(table: FactorTable, reference: FactorTable) -> list[Group]:
    """Every group of every factor that has rows in `table`.

    A factor with levels gives one group per level, and so does one of two numbers (0 and 1). Any other gives two
    halves, cut at the median of `reference` so that a half means the same in every environment; values at the median
    belong to the low half, unless none lies above it. A factor whose rows all fall into one group gives none; rows with
    a missing value are in no group of that factor.
    """
    found: list[Group] = []
    for factor in table.factors:
        groups = [group for group in _groups_by(factor, table, reference) if group.rows.any()]
        found += groups if len(groups) > 1 else []
    return found


def _groups_by(factor: Factor, table: FactorTable, reference: FactorTable) -> list[Group]:
    values = table.columns[factor.name]
    if factor.levels:
        return [Group(factor.name, level, values == code) for code, level in enumerate(factor.levels)]
    known = reference.columns.get(factor.name, values)
    known = known[~np.isnan(known)]
    if not len(known):
        return []
    distinct = np.unique(known)
    if len(distinct) == 2:
        return [Group(factor.name, f"{value:g}", values == value) for value in distinct]
    cut = np.median(known)
    cut = cut if cut < distinct[-1] or len(distinct) == 1 else distinct[-2]
    return [Group(factor.name, LOW_HALF, values <= cut), Group(factor.name, HIGH_HALF, values > cut)]
