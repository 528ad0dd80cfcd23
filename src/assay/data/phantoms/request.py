"""Checks of what a phantom is asked to render, in the words of its factors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Int

from assay.core.errors import DataError, SpecError, unknown_name
from assay.core.types import Factor


def check_size(size: int, smallest: int, largest: int) -> None:
    """Raises SpecError for an image size outside what the phantom can draw."""
    if not smallest <= size <= largest:
        raise SpecError(f"image size {size} px: this phantom draws {smallest} to {largest} px a side")


def check_difficulty(factors: Sequence[Factor], difficulty: Mapping[str, float]) -> None:
    """Raises SpecError for a difficulty of an unknown factor or one outside 0 to 3."""
    names = [factor.name for factor in factors]
    for name, value in difficulty.items():
        if name not in names:
            raise SpecError(unknown_name("factor in difficulty:", name, names))
        if not 0 <= value <= 3:
            raise SpecError(f"difficulty of '{name}' is {value:g}; give 0 (invisible) to 3, normal being 1")


def check_values(
    factors: Sequence[Factor], values: Mapping[str, np.ndarray], nuisance: Int[np.ndarray, "n"]
) -> dict[str, np.ndarray]:
    """The values as float64 numbers or int64 codes [n], by factor.

    Raises DataError for a factor that is missing or unknown, a column of another length, or a value that is missing or
    out of the factor's range.
    """
    names = [factor.name for factor in factors]
    for name in values:
        if name not in names:
            raise DataError(unknown_name("factor", name, names))
    missing = [name for name in names if name not in values]
    if missing:
        raise DataError(f"no values for factor(s) {', '.join(missing)}; a phantom needs one value per image for each")
    for name in names:
        if values[name].shape != nuisance.shape:
            raise DataError(
                f"factor '{name}' has shape {values[name].shape}; "
                f"expected one value per nuisance seed: {nuisance.shape}"
            )
    return {factor.name: _checked(factor, values[factor.name]) for factor in factors}


def _checked(factor: Factor, values: np.ndarray) -> np.ndarray:
    numbers = values.astype(np.float64)
    low, high = (0.0, float(len(factor.levels) - 1)) if factor.levels else (factor.range or (-np.inf, np.inf))
    wrong = ~((numbers >= low) & (numbers <= high))
    if factor.levels:
        wrong |= numbers != np.rint(numbers)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        allowed = (
            f"codes 0 to {len(factor.levels) - 1} ({', '.join(factor.levels)})"
            if factor.levels
            else f"{low:g} to {high:g} {factor.unit}".rstrip()
        )
        raise DataError(
            f"factor '{factor.name}' is {numbers[row]:g} in row {row} "
            f"({int(wrong.sum())} such value(s)); allowed: {allowed}"
        )
    return numbers.astype(np.int64) if factor.levels else numbers
