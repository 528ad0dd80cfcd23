"""Associations of factors with the target: allowed values, Somers' D in rows, and marginals of phantoms."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, cast

import numpy as np
from jaxtyping import Bool, Float, Int

from assay.core.errors import AssociationError, SpecError, unknown_name
from assay.core.types import Factor, FactorTable
from assay.data.dataset import Phantom
from assay.shifts.environment import Achieved, Environment
from assay.shifts.intervention import mark_factor
from assay.spec.data import no_shares
from assay.spec.schema import AssociationSpec

# Which values of a factor a spec allows: `where` and `given`, as a value, a list of values, or {min, max}.


@dataclass(frozen=True, slots=True)
class Allowed:
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
        missing = numbers < 0 if self.factor.levels else np.isnan(numbers)
        return ~missing & (numbers >= self.low) & (numbers <= self.high)


def allowed(factor: Factor, wanted: Any) -> Allowed:
    """Read one entry of `where` or `given`.

    Args:
        wanted: A value, a list of values, or {min, max} with at least one of both (numbers; level names for an ordinal
            factor).

    Raises:
        SpecError: For an unknown level, a word where a number is expected, an empty list or range.
    """
    if isinstance(wanted, Mapping):
        return _range(factor, cast("Mapping[str, Any]", wanted))
    values = cast("Sequence[Any]", wanted) if isinstance(wanted, (list, tuple)) else [wanted]
    if not values:
        raise SpecError(f"'{factor.name}' is restricted to an empty list: name at least one value")
    return Allowed(factor, values=tuple(_number(factor, value) for value in values))


def satisfies(table: FactorTable, where: Mapping[str, Any]) -> np.ndarray:
    """Which rows of a table meet every condition, bool [n].

    Raises:
        SpecError: For a factor that the table lacks.
    """
    met = np.ones(len(table), dtype=bool)
    for name, wanted in where.items():
        met &= allowed(named(table.factors, name), wanted).holds(table.columns[name])
    return met


def named(factors: Iterable[Factor], name: str) -> Factor:
    """Return the factor of that name. Raises SpecError with the nearest valid name."""
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
    """Return a code for a factor with levels, else the number itself."""
    if factor.levels:
        text = f"{value:g}" if isinstance(value, (int, float)) and not isinstance(value, bool) else str(value)
        if text not in factor.levels:
            raise SpecError(unknown_name(f"level of '{factor.name}'", text, factor.levels))
        return float(factor.levels.index(text))
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise SpecError(f"'{factor.name}' takes numbers{f' in {factor.unit}' if factor.unit else ''}, given {value!r}")
    return float(value)


# How strongly a factor is tied to the target, as it is found in rows: Somers' D with an interval over patients.

_NORMAL_975 = 1.959963984540054


def tied(factor: Factor, high: tuple[str, ...] = ()) -> Factor:
    """Return the factor with the high levels that an association states; those of the factor itself when it states
    none.

    Raises:
        SpecError: For an unknown level, and for a categorical factor whose high levels are nowhere named or leave no
            other level.
    """
    if high:
        for level in high:
            if level not in factor.levels:
                raise SpecError(unknown_name(f"level of '{factor.name}'", level, factor.levels))
        factor = replace(factor, high=high)
    if factor.kind == "categorical" and not 0 < len(set(factor.high)) < len(factor.levels):
        raise SpecError(
            f"categorical factor '{factor.name}' is tied by its high levels: name them, leaving at least one other, "
            f"as high: [...] from {', '.join(factor.levels)}"
        )
    return factor


def tied_as(factor: Factor, tie: AssociationSpec) -> Factor:
    """Return the factor with the high levels of an association to be made. Raises SpecError as `tied` does, and for
    shares of a factor that is not categorical.
    """
    refused = no_shares(factor) if tie.share is not None else ""
    if refused:
        raise SpecError(f"{refused}; a strength (`scheme: balanced`) ties any factor")
    return tied(factor, tie.high)


def positive(table: FactorTable) -> Bool[np.ndarray, "n"]:
    """Which rows belong to the last class; associations are stated for it, against the rest when there are several."""
    return table.target == len(table.classes) - 1


def somers_d(values: Float[np.ndarray, "n"], of: Bool[np.ndarray, "n"]) -> float:
    """Somers' D of values given a binary target, 2 AUROC - 1, in [-1, 1]; ties count half.

    Args:
        values: Higher meaning more, without NaN.
        of: Rows of the positive class. NaN when one class has no row. Somers 1962, "A new asymmetric measure of
            association for ordinal variables".
    """
    return _placements(values, of)[0]


def _placements(values: np.ndarray, of: np.ndarray) -> tuple[float, Float[np.ndarray, "n"]]:
    """D, and each row's influence on it, whose sum over rows is 0 (DeLong, DeLong and Clarke-Pearson 1988)."""
    influence = np.zeros(len(values))
    ones, zeros = np.sort(values[of]), np.sort(values[~of])
    if not len(ones) or not len(zeros):
        return float("nan"), influence
    above = _share_below(zeros, values[of])
    below = _share_below(ones, values[~of])
    d = 2 * float(above.mean()) - 1
    influence[of] = 2 * (above - above.mean()) / len(ones)
    influence[~of] = -2 * (below - below.mean()) / len(zeros)
    return d, influence


def _share_below(ordered: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the share of `ordered` that is below each value, ties counted half."""
    both = np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")
    return both / (2 * len(ordered))


def over_patients(influence: Float[np.ndarray, "n"], patient: Int[np.ndarray, "n"]) -> float:
    """Return the standard error of an estimate whose rows come in patients, from the influence of each row.

    Sums the influence within patients (Obuchowski 1997), with the factor C / (C - 1) for C patients; NaN for one.
    """
    _, code = np.unique(patient, return_inverse=True)
    sums = np.bincount(code, weights=influence)
    count = len(sums)
    return float(np.sqrt(count / (count - 1) * np.sum(sums**2))) if count > 1 else float("nan")


def achieved(
    table: FactorTable,
    factor: str,
    *,
    asked: float | None = None,
    high: tuple[str, ...] = (),
    given: Mapping[str, Any] | None = None,
    available: int | None = None,
) -> Achieved:
    """Return the association of a factor with the target in these rows, with a 95% interval over patients.

    Rows with a missing value count in `counts` under "missing" and nowhere else.

    Args:
        given: Only rows that meet it.
        available: How many rows there were to choose from. The strength and its ends are NaN when a class has no row;
            the ends also with a single patient.
    """
    if given:
        table = table.take(satisfies(table, given))
    described = tied(named(table.factors, factor), high)
    values = described.numbers(table.columns[factor])
    known = ~np.isnan(values)
    d, influence = _placements(values[known], positive(table)[known])
    error = over_patients(influence, table.patient[known]) if not np.isnan(d) else float("nan")
    return Achieved(
        factor=factor,
        target=table.classes[-1],
        asked=asked,
        strength=d,
        low=float(np.clip(d - _NORMAL_975 * error, -1.0, 1.0)),
        high=float(np.clip(d + _NORMAL_975 * error, -1.0, 1.0)),
        counts=_counts(table, described),
        kept=len(table),
        available=len(table) if available is None else available,
        held=_held(described, table.columns[factor][known], values[known]),
        put_on=table.factor(factor) == mark_factor(factor),
    )


def _held(factor: Factor, column: np.ndarray, values: np.ndarray) -> str:
    """`solid`, `35 years`, `part-solid or ground-glass`: the common level where all rows count equally."""
    if not len(values) or (values != values[0]).any():
        return ""
    return " or ".join(factor.text(float(value)) for value in np.unique(column))


def also_achieved(environment: Environment, named: Mapping[str, tuple[str, ...]]) -> Environment:
    """Return the same environment, which also says how strongly these factors are tied to the target as it is found.

    Args:
        named: Factor -> high levels, such as all that any environment of a study ties. Those that the environment
            states itself, and interventions that it lacks, are passed over.
    """
    stated = {found.factor for found in environment.achieved}
    known = {factor.name for factor in environment.table.factors}
    more = [
        achieved(environment.table, name, high=high)
        for name, high in named.items()
        if name in known and name not in stated
    ]
    return replace(environment, achieved=(*environment.achieved, *more))


def _counts(table: FactorTable, factor: Factor) -> dict[tuple[str, str], int]:
    """Rows per class and level, or per class and quarter of a continuous factor's values."""
    labels, code = _cells(factor, table.columns[factor.name])
    found = np.zeros((len(table.classes), len(labels)), dtype=np.int64)
    np.add.at(found, (table.target, code), 1)
    return {
        (name, label): int(found[i, j])
        for i, name in enumerate(table.classes)
        for j, label in enumerate(labels)
        if label != "missing" or found[:, j].any()
    }


def _cells(factor: Factor, column: np.ndarray) -> tuple[list[str], np.ndarray]:
    if factor.levels:
        codes = column.astype(np.int64)
        return [*factor.levels, "missing"], np.where(codes < 0, len(factor.levels), codes)
    missing = np.isnan(column)
    if missing.all():
        return ["missing"], np.zeros(len(column), dtype=np.int64)
    edges = np.unique(np.quantile(column[~missing], [0.0, 0.25, 0.5, 0.75, 1.0]))
    code = np.clip(np.searchsorted(edges, column, side="left") - 1, 0, max(len(edges) - 2, 0))
    labels = [f"{a:.3g} to {b:.3g} {factor.unit}".rstrip() for a, b in pairwise(edges)]
    labels = labels or [factor.text(float(edges[0]))]
    return [*labels, "missing"], np.where(missing, len(labels), code)


def refuse_constant(factor: str, strength: float, target: str) -> AssociationError:
    """For a factor that `where` holds on one side and that is tied nevertheless."""
    return AssociationError(
        f"'{factor}' cannot be tied to '{target}' at {strength:+g} where it is held constant: "
        "0 rows of its other half can be drawn; the strongest strength that can be had is 0"
    )


# The neutral marginal of a phantom's factor, whole or restricted by an environment's `where`.

_GRID = 1024  # levels narrower than this share of the marginal are not found


@dataclass(frozen=True)
class Marginal:
    """A quantile function: u in [0, 1) -> values of a factor. The upper half of the marginal is u >= 0.5.

    Attributes:
        halves: Whether both halves hold different values, so that the factor can be tied to a target at all.
    """

    factor: Factor
    halves: bool
    values: Callable[[Float[np.ndarray, "n"]], np.ndarray]


def marginal(phantom: Phantom, factor: Factor, where: Mapping[str, Any]) -> Marginal:
    """Return the marginal of a factor under `where`.

    Restricted, a continuous or ordinal factor keeps the shape of its marginal; a categorical one of which both high and
    low levels are allowed keeps half of its mass on each, so that an association means the same. A continuous factor
    with listed values takes each equally often.

    Raises:
        SpecError: If nothing that the phantom draws is allowed.
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
    """Return the stretch of u whose values lie within the limits; a quantile function never falls, so it is one
    stretch.
    """
    name = limits.factor.name
    start = _first(lambda u: phantom.quantile(name, u) >= limits.low, 0.0, 1.0)
    stop = _first(lambda u: phantom.quantile(name, u) > limits.high, 0.0, 1.0)
    return [(start, stop)] if stop > start else []


def _level_pieces(phantom: Phantom, limits: Allowed) -> list[tuple[float, float]]:
    """Return the stretches of u that give allowed levels, cut at 0.5."""
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


def _weighted(
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

    def stretched(u: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
        piece = np.minimum(np.searchsorted(ends, u, side="right"), len(ends) - 1)
        before = np.concatenate([[0.0], ends[:-1]])
        inside = (u - before[piece]) / (ends - before)[piece]
        return np.minimum(start[piece] + inside * (stop - start)[piece], np.nextafter(stop[piece], 0.0))

    return stretched, halves
