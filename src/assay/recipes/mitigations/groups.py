"""Groups of rows: the classes of the target crossed with the levels of one factor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from assay.core.errors import DataError, SpecError, unknown_name
from assay.core.types import FactorTable
from assay.data.levels import Levels, levels_of


@dataclass(frozen=True)
class Grouping:
    """How rows are put into groups: group = target * number of levels + level.

    factor: its name. classes: their names. by: its levels.
    """

    factor: str
    classes: tuple[str, ...]
    by: Levels

    @property
    def levels(self) -> tuple[str, ...]:
        """Names of the levels."""
        return self.by.names

    @property
    def names(self) -> tuple[str, ...]:
        """Of the groups, such as `malignant, with`."""
        return tuple(f"{target}, {level}" for target in self.classes for level in self.levels)

    def of(self, table: FactorTable, what: str) -> Int[np.ndarray, "n"]:
        """The group of every row, int64. `what` says in messages whose rows these are.

        Raises DataError for rows without a value, or with a level that the rows behind the grouping do not have.
        """
        level = self.by.of(table.columns[self.factor])
        outside = int((level < 0).sum())
        if outside:
            raise DataError(
                f"groups by '{self.factor}' need a value in every row, and {outside} of {len(table)} {what} rows have "
                f"none of {', '.join(self.levels)}: leave them out with `where`"
            )
        return table.target * len(self.levels) + level

    def counts(self, groups: Int[np.ndarray, "n"]) -> dict[str, int]:
        """Group -> number of rows, in the order of `names`."""
        found = np.bincount(groups, minlength=len(self.names))
        return {name: int(count) for name, count in zip(self.names, found, strict=True)}

    def check_all_there(self, groups: Int[np.ndarray, "n"], who: str, what: str) -> None:
        """Raises DataError with the counts when a group has no row."""
        counts = self.counts(groups)
        if min(counts.values()) < 1:
            told = "; ".join(f"{name}: {count}" for name, count in counts.items())
            raise DataError(
                f"{who} needs at least 1 {what} row in every group of the target with '{self.factor}', and the rows "
                f"are {told}: tie it by `association` below strength 1 (a dose on one class leaves a group empty), use "
                "more rows, or choose a recipe without groups"
            )


def grouping(factor: str, table: FactorTable) -> Grouping:
    """Groups by a factor as these rows have it.

    By its levels as `levels_of` gives them, of which those that do not occur make no group.

    Raises SpecError for an unknown factor, DataError for one that has a single value.
    """
    known = [column.name for column in table.factors]
    if factor not in known:
        raise SpecError(unknown_name("factor for groups", factor, known))
    described, column = table.factor(factor), table.columns[factor]
    by = levels_of(described, column)
    level = by.of(column)
    there = np.unique(level[level >= 0])
    if len(there) < 2:
        only = described.text(float(column[level >= 0][0])) if len(there) else "none"
        raise DataError(
            f"groups by '{factor}' need at least 2 of its values, and all {len(table)} rows have {only}: name a factor "
            f"that varies, such as an intervention tied by `association` ({{{factor}: 0}} puts it on half of the rows)"
        )
    return Grouping(factor, table.classes, by.only(there.tolist()) if by.values else by)
