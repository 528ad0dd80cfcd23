"""Groups of rows by a factor, its levels or halves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from assay.core.types import Factor, FactorTable
from assay.data.levels import levels_of


@dataclass(frozen=True, slots=True)
class Group:
    """Rows (booleans [n]) that share a level or half of a factor."""

    factor: str
    level: str
    rows: np.ndarray


def groups_of(table: FactorTable, reference: FactorTable) -> list[Group]:
    """Every group of every factor that has rows in `table`.

    Groups are a factor's levels as `levels_of` gives them for `reference`, so that a half means the same in every
    environment. A factor whose rows all fall into one group gives none; rows with a missing value are in no group of
    that factor.
    """
    found: list[Group] = []
    for factor in table.factors:
        groups = [group for group in _groups_by(factor, table, reference) if group.rows.any()]
        found += groups if len(groups) > 1 else []
    return found


def group_name(factor: str, level: str, target: str) -> str:
    """`texture part-solid benign`, `illumination low half, class 2`: a class that is a number is called one."""
    place = f"{factor} {level}".strip()
    return f"{place}, class {target}" if target.isdigit() else f"{place} {target}".strip()


def _groups_by(factor: Factor, table: FactorTable, reference: FactorTable) -> list[Group]:
    values = table.columns[factor.name]
    levels = levels_of(factor, reference.columns.get(factor.name, values))
    level = levels.of(values)
    return [Group(factor.name, name, level == k) for k, name in enumerate(levels.names)]
