"""Groups of images by a column: its levels, or the halves of a number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Bool

from assay.core.reasons import NO_REASON, Code, Reason
from assay.core.types import FactorTable

MAX_LEVELS = 20
"""A column with more levels is no attribute of groups, such as an identifier, a date or free text."""
MIN_IMAGES_OF_CLASS = 20
"""Images of each class that a group needs."""
MIN_PATIENTS_IN_CELL = 3
"""Patients of a class, in and outside a group, from which on the class counts in a test pooled over the classes."""
MAX_DISTINCT_NUMBERS = 5
"""Numbers with at most so many values are groups as they are."""


@dataclass(frozen=True)
class ColumnGroups:
    """Groups of a column.

    Attributes:
        column: Its name.
        groups: Level -> its rows; empty where the column has no groups.
        reason: Why it is not tested; nothing where it is.
        small: Levels with too few images, where others have enough.
        tied: Level -> its rows, of a column so tied to the target that it has no groups.
    """

    column: str
    groups: Mapping[str, Bool[np.ndarray, " n"]]
    reason: Reason = NO_REASON
    small: tuple[str, ...] = ()
    tied: Mapping[str, Bool[np.ndarray, " n"]] = field(default_factory=dict[str, Any])


def divide_into_groups(table: FactorTable, name: str) -> ColumnGroups:
    """Divide the rows of a table by a column, without groups of fewer than `MIN_IMAGES_OF_CLASS` images of a class.

    Examples:
        >>> rows = np.arange(80)
        >>> from assay.core.types import Factor
        >>> factor = Factor("sex", "categorical", levels=("female", "male"))
        >>> table = FactorTable(rows, rows // 2 % 2, rows, ("benign", "malignant"), (factor,), {"sex": rows % 2})
        >>> {level: int(here.sum()) for level, here in divide_into_groups(table, "sex").groups.items()}
        {'female': 40, 'male': 40}
    """
    groups = rows_by_level(table, name)
    if len(groups) > MAX_LEVELS:
        return ColumnGroups(name, {}, Reason.of(Code.MANY_LEVELS, levels=len(groups), most=MAX_LEVELS))
    if len(groups) < 2:
        return ColumnGroups(name, {}, Reason.of(Code.ONE_VALUE if groups else Code.NO_VALUE))
    classes = np.unique(table.target)
    large = {
        level: rows
        for level, rows in groups.items()
        if all(np.count_nonzero(rows & (table.target == code)) >= MIN_IMAGES_OF_CLASS for code in classes)
    }
    if len(large) < 2:
        tied = {
            level: rows
            for level, rows in groups.items()
            if np.count_nonzero(rows) >= len(classes) * MIN_IMAGES_OF_CLASS
        }
        if len(tied) > 1:
            return ColumnGroups(name, {}, Reason.of(Code.TIED_TO_TARGET, least=MIN_IMAGES_OF_CLASS), tied=tied)
        return ColumnGroups(name, {}, Reason.of(Code.SMALL_GROUPS, least=MIN_IMAGES_OF_CLASS))
    return ColumnGroups(name, large, small=tuple(level for level in groups if level not in large))


def rows_by_level(table: FactorTable, name: str) -> dict[str, Bool[np.ndarray, " n"]]:
    """Return the rows of each level of a column: of a number with many values, of its halves.

    Examples:
        >>> from assay.core.types import Factor
        >>> rows, factor = np.arange(3), Factor("sex", "categorical", levels=("f", "m"))
        >>> table = FactorTable(rows, rows % 2, rows, ("benign", "malignant"), (factor,), {"sex": np.array([0, 1, 1])})
        >>> {level: here.tolist() for level, here in rows_by_level(table, "sex").items()}
        {'f': [True, False, False], 'm': [False, True, True]}
    """
    factor, values = table.factor(name), table.columns[name]
    has_value = values >= 0 if factor.levels else np.isfinite(values.astype(np.float64))
    if factor.levels:
        codes = [int(code) for code in np.unique(values[has_value])]
        return {factor.levels[code]: values == code for code in codes}
    numbers = values.astype(np.float64)
    present = np.unique(numbers[has_value])
    if len(present) <= MAX_DISTINCT_NUMBERS:
        return {f"{level:.15g}": has_value & (numbers == level) for level in present}
    middle = float(np.median(numbers[has_value]))
    return {f"up to {middle:g}": has_value & (numbers <= middle), f"above {middle:g}": has_value & (numbers > middle)}
