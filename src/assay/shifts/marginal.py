"""The neutral marginal of a phantom's factor, whole or restricted by an environment's `where`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from assay.core.errors import SpecError
from assay.core.types import Factor
from assay.data.dataset import Phantom
from assay.shifts.conditions import Allowed, allowed

_GRID = 1024  # levels narrower than this share of the marginal are not found


@dataclass(frozen=True)
class Marginal:
    """A quantile function: u in [0, 1) -> values of a factor. The upper half of the marginal is u >= 0.5.

    halves: whether both halves hold different values, so that the factor can be tied to a target at all.
    """

    factor: Factor
    halves: bool
    values: Callable[[Float[np.ndarray, "n"]], np.ndarray]


def marginal(phantom: Phantom, factor: Factor, where: Mapping[str, Any]) -> Marginal:
    """The marginal of a factor under `where`.

    Restricted, a continuous or ordinal factor keeps the shape of its marginal; a categorical one of which both high
    and low levels are allowed keeps half of its mass on each, so that an association means the same. A continuous
    factor with listed values takes each equally often. Raises SpecError when nothing that the phantom draws is allowed.
    """
    if factor.name not in where:
        return Marginal(factor, True, lambda u: phantom.quantile(factor.name, u))
    limits = allowed(factor, where[factor.name])
    if limits.values and not factor.levels:
        return _listed(factor, np.array(sorted(limits.values)))
    pieces = _level_pieces(phantom, limits) if factor.levels else _range_piece(phantom, limits)
    if not pieces:
        raise SpecError(f"no value of '{factor.name}' that the phantom draws is allowed by {where[factor.name]!r}")
    stretched, halves = _weighted(factor, pieces)
    return Marginal(factor, halves, lambda u: phantom.quantile(factor.name, stretched(u)))


def _listed(factor: Factor, values: np.ndarray) -> Marginal:
    if factor.range is not None and not (factor.range[0] <= values[0] and values[-1] <= factor.range[1]):
        low, high = factor.range
        raise SpecError(f"'{factor.name}' goes from {low:g} to {high:g} {factor.unit}; given {values.tolist()}")
    return Marginal(factor, len(values) > 1, lambda u: values[(u * len(values)).astype(np.int64)])


def _range_piece(phantom: Phantom, limits: Allowed) -> list[tuple[float, float]]:
    """The stretch of u whose values lie within the limits; a quantile function never falls, so it is one stretch."""
    name = limits.factor.name
    start = _first(lambda u: phantom.quantile(name, u) >= limits.low, 0.0, 1.0)
    stop = _first(lambda u: phantom.quantile(name, u) > limits.high, 0.0, 1.0)
    return [(start, stop)] if stop > start else []


def _level_pieces(phantom: Phantom, limits: Allowed) -> list[tuple[float, float]]:
    """The stretches of u that give allowed levels, cut at 0.5."""
    name = limits.factor.name
    middles = (np.arange(_GRID) + 0.5) / _GRID
    codes = phantom.quantile(name, middles)
    changes = np.flatnonzero(codes[1:] != codes[:-1])
    edges = [_first(lambda u, code=codes[i]: phantom.quantile(name, u) != code, middles[i], middles[i + 1])
             for i in changes]  # fmt: skip
    bounds = np.unique([0.0, *edges, 0.5, 1.0])
    within = limits.holds(phantom.quantile(name, (bounds[1:] + bounds[:-1]) / 2))
    return [(float(a), float(b)) for a, b, inside in zip(bounds[:-1], bounds[1:], within, strict=True) if inside]


def _first(reached: Callable[[np.ndarray], np.ndarray], low: float, high: float) -> float:
    """The smallest u in [low, high] at which a condition that stays met is met, by bisection; `high` if never."""
    if bool(reached(np.array([low]))[0]):
        return low
    for _ in range(52):
        middle = (low + high) / 2
        if bool(reached(np.array([middle]))[0]):
            high = middle
        else:
            low = middle
    return high


def _weighted(
    factor: Factor, pieces: list[tuple[float, float]]
) -> tuple[Callable[[Float[np.ndarray, "n"]], Float[np.ndarray, "n"]], bool]:
    """A map of [0, 1) onto the pieces, and whether both of its halves hold different values."""
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

    def stretched(u: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
        piece = np.minimum(np.searchsorted(ends, u, side="right"), len(ends) - 1)
        before = np.concatenate([[0.0], ends[:-1]])
        inside = (u - before[piece]) / (ends - before)[piece]
        return np.minimum(start[piece] + inside * (stop - start)[piece], np.nextafter(stop[piece], 0.0))

    return stretched, halves
