"""Values of a factor that a study file allows, and the marginal of a phantom's factor under them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from jaxtyping import Float

from assay.core.errors import SpecError, unknown_name
from assay.core.types import Factor, FactorTable
from assay.data.dataset import Phantom

# Which values of a factor a spec allows: `where` and `given`, as a value, a list of values, or {min, max}.


@dataclass(frozen=True, slots=True)
class AllowedValues:
    """The allowed values of one factor: `values` (codes of levels, or numbers) when listed, else `low` to `high`."""

    factor: Factor
    values: tuple[float, ...] = ()
    low: float = -np.inf
    high: float = np.inf

    def holds(self, column: np.ndarray) -> np.ndarray:
        """Return whether each value is allowed, bool [n]. A missing value is not."""
        numbers = column.astype(np.float64)
        if self.values:
            return np.isin(numbers, self.values)
        return ~np.isnan(self.factor.numbers(column)) & (numbers >= self.low) & (numbers <= self.high)


def read_allowed(factor: Factor, wanted: Any) -> AllowedValues:
    """Read one entry of `where` or `given`.

    Args:
        wanted: A value, a list of values, or {min, max} with at least one of both (numbers; level names for an ordinal
            factor).

    Raises:
        SpecError: For an unknown level, a word where a number is expected, an empty list or range.
    """
    if isinstance(wanted, Mapping):
        return _parse_range(factor, cast("Mapping[str, Any]", wanted))
    values = cast("Sequence[Any]", wanted) if isinstance(wanted, (list, tuple)) else [wanted]
    if not values:
        raise SpecError(f"'{factor.name}' is restricted to an empty list: name at least one value")
    return AllowedValues(factor, values=tuple(_number(factor, value) for value in values))


def satisfies(table: FactorTable, where: Mapping[str, Any]) -> np.ndarray:
    """Which rows of a table meet every condition, bool [n].

    Raises:
        SpecError: For a factor that the table lacks.
    """
    met = np.ones(len(table), dtype=bool)
    for name, wanted in where.items():
        met &= read_allowed(factor_of(table.factors, name), wanted).holds(table.columns[name])
    return met


def factor_of(factors: Iterable[Factor], name: str) -> Factor:
    """Return the factor of that name. Raises SpecError with the nearest valid name."""
    by_name = {factor.name: factor for factor in factors}
    if name not in by_name:
        raise SpecError(unknown_name("factor", name, list(by_name)))
    return by_name[name]


def _parse_range(factor: Factor, wanted: Mapping[str, Any]) -> AllowedValues:
    if not wanted or set(wanted) - {"min", "max"}:
        keys = ", ".join(str(key) for key in wanted) or "nothing"
        raise SpecError(f"a range of '{factor.name}' has the keys min and max; given: {keys}")
    if factor.levels and factor.kind == "categorical":
        raise SpecError(
            f"'{factor.name}' is categorical and has no range: list the levels wanted, from {', '.join(factor.levels)}"
        )
    low = _number(factor, wanted["min"]) if "min" in wanted else -np.inf
    high = _number(factor, wanted["max"]) if "max" in wanted else np.inf
    if low > high:
        raise SpecError(f"the range of '{factor.name}' is empty: min {wanted['min']} is above max {wanted['max']}")
    return AllowedValues(factor, low=low, high=high)


def _number(factor: Factor, value: Any) -> float:
    """Return a code for a factor with levels, else the number itself."""
    if factor.levels:
        text = f"{value:g}" if isinstance(value, (int, float)) and not isinstance(value, bool) else str(value)
        if text not in factor.levels:
            raise SpecError(unknown_name(f"level of '{factor.name}'", text, factor.levels))
        return float(factor.levels.index(text))
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise SpecError(f"'{factor.name}' takes numbers{f' in {factor.unit}' if factor.unit else ''}, given {value!r}")
    return float(value)


# The neutral marginal of a phantom's factor, whole or restricted by an environment's `where`.
_GRID = 1024  # levels narrower than this share of the marginal are not found


@dataclass(frozen=True)
class FactorMarginal:
    """A quantile function: u in [0, 1) -> values of a factor. The upper half of the marginal is u >= 0.5.

    Attributes:
        halves: Whether both halves hold different values, so that the factor can be tied to a target at all.
    """

    factor: Factor
    halves: bool
    values: Callable[[Float[np.ndarray, "n"]], np.ndarray]


def marginal(phantom: Phantom, factor: Factor, where: Mapping[str, Any]) -> FactorMarginal:
    """Return the marginal of a factor under `where`.

    Restricted, a continuous or ordinal factor keeps the shape of its marginal; a categorical one of which both high and
    low levels are allowed keeps half of its mass on each, so that an association means the same. A continuous factor
    with listed values takes each equally often.

    Raises:
        SpecError: If nothing that the phantom draws is allowed.
    """
    if factor.name not in where:
        return FactorMarginal(factor, True, lambda u: phantom.quantile(factor.name, u))
    limits = read_allowed(factor, where[factor.name])
    if limits.values and not factor.levels:
        return _marginal_of_values(factor, np.array(sorted(limits.values)))
    pieces = _level_pieces(phantom, limits) if factor.levels else _range_piece(phantom, limits)
    if not pieces:
        raise SpecError(f"no value of '{factor.name}' that the phantom draws is allowed by {where[factor.name]!r}")
    stretched, halves = _map_onto_pieces(factor, pieces)
    return FactorMarginal(factor, halves, lambda u: phantom.quantile(factor.name, stretched(u)))


def _marginal_of_values(factor: Factor, values: np.ndarray) -> FactorMarginal:
    if factor.range is not None and not (factor.range[0] <= values[0] and values[-1] <= factor.range[1]):
        low, high = factor.range
        raise SpecError(f"'{factor.name}' goes from {low:g} to {high:g} {factor.unit}; given {values.tolist()}")
    return FactorMarginal(factor, len(values) > 1, lambda u: values[(u * len(values)).astype(np.int64)])


def _range_piece(phantom: Phantom, limits: AllowedValues) -> list[tuple[float, float]]:
    """Return the stretch of u whose values lie within the limits; a quantile function never falls, so it is one
    stretch.
    """
    name = limits.factor.name
    start = _first(lambda u: phantom.quantile(name, u) >= limits.low, 0.0, 1.0)
    stop = _first(lambda u: phantom.quantile(name, u) > limits.high, 0.0, 1.0)
    return [(start, stop)] if stop > start else []


def _level_pieces(phantom: Phantom, limits: AllowedValues) -> list[tuple[float, float]]:
    """Return the stretches of u that give allowed levels, cut at 0.5."""
    name = limits.factor.name
    middles = (np.arange(_GRID) + 0.5) / _GRID
    codes = phantom.quantile(name, middles)
    changes = np.flatnonzero(codes[1:] != codes[:-1])
    edges = [
        _first(lambda u, code=codes[i]: phantom.quantile(name, u) != code, middles[i], middles[i + 1]) for i in changes
    ]
    bounds = np.unique([0.0, *edges, 0.5, 1.0])
    within = limits.holds(phantom.quantile(name, (bounds[1:] + bounds[:-1]) / 2))
    return [(float(a), float(b)) for a, b, inside in zip(bounds[:-1], bounds[1:], within, strict=True) if inside]


def _first(reached: Callable[[np.ndarray], np.ndarray], low: float, high: float) -> float:
    """Find the smallest u in [low, high] that meets a monotone condition, by bisection; `high` if none does."""
    if bool(reached(np.array([low]))[0]):
        return low
    for _ in range(52):
        middle = (low + high) / 2
        if bool(reached(np.array([middle]))[0]):
            high = middle
        else:
            low = middle
    return high


def _map_onto_pieces(
    factor: Factor, pieces: list[tuple[float, float]]
) -> tuple[Callable[[Float[np.ndarray, "n"]], Float[np.ndarray, "n"]], bool]:
    """Return a map of [0, 1) onto the pieces, and whether both of its halves hold different values."""
    start = np.array([piece[0] for piece in pieces])
    stop = np.array([piece[1] for piece in pieces])
    mass = stop - start
    upper = start >= 0.5
    if factor.kind == "categorical":
        halves = bool(upper.any() and not upper.all())
        mass[upper] /= mass[upper].sum()
        mass[~upper] /= mass[~upper].sum()
    else:
        halves = not factor.levels or len(pieces) > 1
    ends: np.ndarray = np.cumsum(mass) / mass.sum()

    def stretch(u: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
        piece = np.minimum(np.searchsorted(ends, u, side="right"), len(ends) - 1)
        before = np.concatenate([[0.0], ends[:-1]])
        inside = (u - before[piece]) / (ends - before)[piece]
        return np.minimum(start[piece] + inside * (stop - start)[piece], np.nextafter(stop[piece], 0.0))

    return stretch, halves
