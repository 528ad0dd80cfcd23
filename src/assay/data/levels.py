"""The levels of a factor by which rows are grouped: its own, two numbers, or the halves about a median."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int, Shaped

from assay.core.types import Factor

LOW_HALF, HIGH_HALF = "low half", "high half"


@dataclass(frozen=True)
class Levels:
    """What a factor's values are grouped by.

    names: of the levels. values: what a row of each level holds, ascending; empty where the factor is halved at `cut`,
    values at which belong to the low half.
    """

    names: tuple[str, ...]
    values: tuple[float, ...] = ()
    cut: float = float("nan")

    def of(self, column: Shaped[np.ndarray, "n"]) -> Int[np.ndarray, "n"]:
        """The level of every row, int64; -1 where the value is missing or is of none of them."""
        if not self.values:
            return np.where(np.isnan(column), -1, column > self.cut).astype(np.int64)
        place = np.searchsorted(self.values, column).clip(max=len(self.values) - 1)
        return np.where(np.asarray(self.values)[place] == column, place, -1).astype(np.int64)

    def only(self, kept: Sequence[int]) -> Levels:
        """Levels that have values, without all but these."""
        return Levels(tuple(self.names[k] for k in kept), tuple(self.values[k] for k in kept))


def levels_of(factor: Factor, column: Shaped[np.ndarray, "n"]) -> Levels:
    """The levels of a factor as these values of it have them; none where it has no levels and every value is missing.

    A factor with levels has them all, also those that do not occur. Numbers are levels by themselves where there are
    two of them (0 and 1). Any others are halved: the low half goes up to the median, or up to the greatest value below
    the median where no value lies above it, so that both halves have rows unless all values are one.
    """
    if factor.levels:
        return Levels(factor.levels, tuple(float(code) for code in range(len(factor.levels))))
    found = np.unique(column[~np.isnan(column)])
    if not len(found):
        return Levels(())
    if len(found) == 2:
        return Levels(tuple(map(_named, found.tolist())), tuple(found.tolist()))
    median = float(np.nanmedian(column))
    return Levels((LOW_HALF, HIGH_HALF), cut=median if median < found[-1] else float(found[-2:][0]))


def _named(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else str(float(value))
