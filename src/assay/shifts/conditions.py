"""Which values of a factor a spec allows: `where` and `given`, as a value, a list of values, or {min, max}."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from assay.core.errors import SpecError, unknown_name
from assay.core.types import Factor, FactorTable


@dataclass(frozen=True, slots=True)
class Allowed:
    """The allowed values of one factor: `values` (codes of levels, or numbers) when listed, else `low` to `high`."""

    factor: Factor
    values: tuple[float, ...] = ()
    low: float = -np.inf
    high: float = np.inf

    def holds(self, column: np.ndarray) -> np.ndarray:
        """Whether each value is allowed, bool [n]. A missing value is not."""
        numbers = column.astype(np.float64)
        if self.values:
            return np.isin(numbers, self.values)
        missing = numbers < 0 if self.factor.levels else np.isnan(numbers)
        return ~missing & (numbers >= self.low) & (numbers <= self.high)


def allowed(factor: Factor, wanted: Any) -> Allowed:
    """Read one entry of `where` or `given`.

    wanted: a value, a list of values, or {min, max} with at least one of both (numbers; level names for an ordinal
    factor). Raises SpecError for an unknown level, a word where a number is expected, an empty list or range.
    """
    if isinstance(wanted, Mapping):
        return _range(factor, cast("Mapping[str, Any]", wanted))
    values = cast("Sequence[Any]", wanted) if isinstance(wanted, (list, tuple)) else [wanted]
    if not values:
        raise SpecError(f"'{factor.name}' is restricted to an empty list: name at least one value")
    return Allowed(factor, values=tuple(_number(factor, value) for value in values))


def satisfies(table: FactorTable, where: Mapping[str, Any]) -> np.ndarray:
    """Which rows of a table meet every condition, bool [n]. Raises SpecError for a factor that the table lacks."""
    met = np.ones(len(table), dtype=bool)
    for name, wanted in where.items():
        met &= allowed(named(table.factors, name), wanted).holds(table.columns[name])
    return met


def named(factors: Iterable[Factor], name: str) -> Factor:
    """The factor of that name. Raises SpecError with the nearest valid name."""
    known = {factor.name: factor for factor in factors}
    if name not in known:
        raise SpecError(unknown_name("factor", name, list(known)))
    return known[name]


def _range(factor: Factor, wanted: Mapping[str, Any]) -> Allowed:
    if not wanted or set(wanted) - {"min", "max"}:
        given = ", ".join(str(key) for key in wanted) or "nothing"
        raise SpecError(f"a range of '{factor.name}' has the keys min and max; given: {given}")
    if factor.levels and factor.kind == "categorical":
        raise SpecError(
            f"'{factor.name}' is categorical and has no range: list the levels wanted, from {', '.join(factor.levels)}"
        )
    low = _number(factor, wanted["min"]) if "min" in wanted else -np.inf
    high = _number(factor, wanted["max"]) if "max" in wanted else np.inf
    if low > high:
        raise SpecError(f"the range of '{factor.name}' is empty: min {wanted['min']} is above max {wanted['max']}")
    return Allowed(factor, low=low, high=high)


def _number(factor: Factor, value: Any) -> float:
    """A code for a factor with levels, else the number itself."""
    if factor.levels:
        text = f"{value:g}" if isinstance(value, (int, float)) and not isinstance(value, bool) else str(value)
        if text not in factor.levels:
            raise SpecError(unknown_name(f"level of '{factor.name}'", text, factor.levels))
        return float(factor.levels.index(text))
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise SpecError(f"'{factor.name}' takes numbers{f' in {factor.unit}' if factor.unit else ''}, given {value!r}")
    return float(value)
