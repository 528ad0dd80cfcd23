"""Groups of rows: the classes of the target crossed with the levels of one factor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from assay.core.errors import DataError, SpecError, unknown_name
from assay.core.types import FactorTable

LOW_HALF, HIGH_HALF = "low half", "high half"


@dataclass(frozen=True)
class Grouping:
    """How rows are put into groups: group = target * number of levels + level.

    factor: its name. classes, levels: their names. values: what a row of each level holds, ascending; empty where the
    factor is halved at `cut` (values at it belong to the low half).
    """

    factor: str
    classes: tuple[str, ...]
    levels: tuple[str, ...]
    values: tuple[float, ...] = ()
    cut: float = float("nan")

    @property
    def names(self) -> tuple[str, ...]:
        """Of the groups, such as `malignant, with`."""
        return tuple(f"{target}, {level}" for target in self.classes for level in self.levels)

    def of(self, table: FactorTable, what: str) -> Int[np.ndarray, "n"]:
        """The group of every row, int64. `what` says in messages whose rows these are.

        Raises DataError for rows without a value, or with a level that the rows behind the grouping do not have.
        """
        values = table.columns[self.factor]
        level = self._levels_of(values) if self.values else np.where(np.isnan(values), -1, values > self.cut)
        outside = int((level < 0).sum())
        if outside:
            raise DataError(
                f"groups by '{self.factor}' need a value in every row, and {outside} of {len(table)} {what} rows have "
                f"none of {', '.join(self.levels)}: leave them out with `where`"
            )
        return table.target * len(self.levels) + level.astype(np.int64)

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
                f"are {told}: weaken the association, use more rows, or choose a recipe without groups"
            )

    def _levels_of(self, values: np.ndarray) -> Int[np.ndarray, "n"]:
        place = np.searchsorted(self.values, values).clip(max=len(self.values) - 1)
        return np.where(np.asarray(self.values)[place] == values, place, -1)


def grouping(factor: str, table: FactorTable) -> Grouping:
    """Groups by a factor as these rows have it.

    By those of its levels that occur; for numbers without levels, by their values where there are two, else by halves:
    the low one up to the median, or up to the greatest value below the median where no value lies above it. So both
    halves have rows.

    Raises SpecError for an unknown factor, DataError for one that has a single value.
    """
    known = [column.name for column in table.factors]
    if factor not in known:
        raise SpecError(unknown_name("factor for groups", factor, known))
    described, column = table.factor(factor), table.columns[factor]
    levels = described.levels
    found = np.unique(column[column >= 0] if levels else column[~np.isnan(column)])
    if len(found) < 2:
        only = [_named(value, levels) for value in found]
        raise DataError(
            f"groups by '{factor}' need at least 2 of its values, and all {len(table)} rows have "
            f"{only[0] if only else 'none'}: name a factor that varies"
        )
    if levels or len(found) == 2:
        names = tuple(_named(value, levels) for value in found)
        return Grouping(factor, table.classes, names, tuple(float(value) for value in found))
    median = float(np.nanmedian(column))
    cut = median if median < found[-1] else float(found[-2])
    return Grouping(factor, table.classes, (LOW_HALF, HIGH_HALF), cut=cut)


def _named(value: float, levels: Sequence[str]) -> str:
    if levels:
        return levels[int(value)]
    return str(int(value)) if float(value).is_integer() else str(float(value))
