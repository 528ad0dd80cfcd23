"""Associations of factors with the target: allowed values, Somers' D in rows, marginals, and the choice of rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise, product
from typing import Any, cast

import numpy as np
from jaxtyping import Bool, Float, Int

from assay.core.errors import AssociationError, SpecError, unknown_name
from assay.core.seeds import row_uniform
from assay.core.types import Factor, FactorTable
from assay.data.dataset import Phantom
from assay.shifts.environment import AchievedAssociation, Environment
from assay.spec.data import no_shares
from assay.spec.schema import AssociationSpec

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


# How strongly a factor is tied to the target, as it is found in rows: Somers' D with an interval over patients.

_NORMAL_975 = 1.959963984540054


def with_high_levels(factor: Factor, high: tuple[str, ...] = ()) -> Factor:
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
    """Return the factor with the high levels of an association to be made.

    Raises SpecError as `with_high_levels` does, and for shares of a factor that is not categorical.
    """
    refused = no_shares(factor) if tie.share is not None else ""
    if refused:
        raise SpecError(f"{refused}; a strength (`scheme: balanced`) ties any factor")
    return with_high_levels(factor, tie.high)


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
    positives, zeros = np.sort(values[of]), np.sort(values[~of])
    if not len(positives) or not len(zeros):
        return float("nan"), influence
    above = _share_below(zeros, values[of])
    below = _share_below(positives, values[~of])
    d = 2 * float(above.mean()) - 1
    influence[of] = 2 * (above - above.mean()) / len(positives)
    influence[~of] = -2 * (below - below.mean()) / len(zeros)
    return d, influence


def _share_below(ordered: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the share of `ordered` that is below each value, ties counted half."""
    both = np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")
    return both / (2 * len(ordered))


def over_patients(influence: Float[np.ndarray, "n"], patient: Int[np.ndarray, "n"]) -> float:
    """Return the standard error of an estimate whose rows come in patients, from the influence of each row.

    Sums the influence within patients (Obuchowski 1997), with the factor C / (C - 1) for C patients; NaN for one.

    Examples:
        >>> influence = np.array([0.5, -0.5])
        >>> over_patients(influence, np.array([1, 2])), over_patients(influence, np.array([7, 7]))
        (1.0, nan)
    """
    _, code = np.unique(patient, return_inverse=True)
    sums = np.bincount(code, weights=influence)
    count = len(sums)
    return float(np.sqrt(count / (count - 1) * np.sum(sums**2))) if count > 1 else float("nan")


def measure_association(
    table: FactorTable,
    factor: str,
    *,
    requested: float | None = None,
    high: tuple[str, ...] = (),
    given: Mapping[str, Any] | None = None,
    available: int | None = None,
) -> AchievedAssociation:
    """Return the association of a factor with the target in these rows, with a 95% interval over patients.

    Rows with a missing value count in `counts` under "missing" and nowhere else.

    Args:
        given: Only rows that meet it.
        available: How many rows there were to choose from. The strength and its ends are NaN when a class has no row;
            the ends also with a single patient.
    """
    if given:
        table = table.take(satisfies(table, given))
    described = with_high_levels(factor_of(table.factors, factor), high)
    values = described.numbers(table.columns[factor])
    present = ~np.isnan(values)
    d, influence = _placements(values[present], positive(table)[present])
    error = over_patients(influence, table.patient[present]) if not np.isnan(d) else float("nan")
    return AchievedAssociation(
        factor=factor,
        target=table.classes[-1],
        asked=requested,
        strength=d,
        low=float(np.clip(d - _NORMAL_975 * error, -1.0, 1.0)),
        high=float(np.clip(d + _NORMAL_975 * error, -1.0, 1.0)),
        counts=_counts(table, described),
        kept=len(table),
        available=len(table) if available is None else available,
        held=_common_level(described, table.columns[factor][present], values[present]),
    )


def _common_level(factor: Factor, column: np.ndarray, values: np.ndarray) -> str:
    """`solid`, `35 years`, `part-solid or ground-glass`: the common level where all rows count equally."""
    if not len(values) or (values != values[0]).any():
        return ""
    return " or ".join(factor.text(float(value)) for value in np.unique(column))


def also_achieved(environment: Environment, named: Mapping[str, tuple[str, ...]]) -> Environment:
    """Return the same environment, which also says how strongly these factors are tied to the target as it is found.

    Args:
        named: Factor -> high levels, such as all that any environment of a study ties. Those that the environment
            states itself, and interventions that it lacks, are skipped.
    """
    measured = {achieved_one.factor for achieved_one in environment.achieved}
    present = {factor.name for factor in environment.table.factors}
    more = [
        measure_association(environment.table, name, high=high)
        for name, high in named.items()
        if name in present and name not in measured
    ]
    return replace(environment, achieved=(*environment.achieved, *more))


def _counts(table: FactorTable, factor: Factor) -> dict[tuple[str, str], int]:
    """Rows per class and level, or per class and quarter of a continuous factor's values."""
    labels, code = _cells(factor, table.columns[factor.name])
    rows_per_cell = np.zeros((len(table.classes), len(labels)), dtype=np.int64)
    np.add.at(rows_per_cell, (table.target, code), 1)
    return {
        (name, label): int(rows_per_cell[i, j])
        for i, name in enumerate(table.classes)
        for j, label in enumerate(labels)
        if label != "missing" or rows_per_cell[:, j].any()
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


# The one linear program of this package, behind plain arrays.

_EVENNESS = 0.01


def maximize(
    capacity: Float[np.ndarray, "cells"], balance: Float[np.ndarray, "equations cells"]
) -> Float[np.ndarray, "cells"]:
    """Return the largest total of 0 <= mass <= capacity with balance @ mass = 0.

    Among near-equal totals the one in which the most thinned cell is thinned least: an amount t with mass >= t x
    capacity is rewarded by 1% of its addition. Always solvable, since mass 0 is balanced.
    """
    from scipy.optimize import linprog  # here, since rows of a phantom are drawn and not chosen

    open_cells = np.flatnonzero(capacity > 0)
    out = np.zeros(len(capacity))
    if not len(open_cells):
        return out
    limit = capacity[open_cells]
    n = len(open_cells)
    even = np.hstack([-np.eye(n), limit[:, None]])
    solution = linprog(
        np.append(-np.ones(n), -_EVENNESS * limit.sum()),
        A_ub=even,
        b_ub=np.zeros(n),
        A_eq=np.hstack([balance[:, open_cells], np.zeros((len(balance), 1))]),
        b_eq=np.zeros(len(balance)),
        bounds=[*((0.0, float(most)) for most in limit), (0.0, 1.0)],
        method="highs",
    )
    if solution.x is None:
        raise RuntimeError(f"the choice of rows found no solution: {solution.message}")
    out[open_cells] = np.clip(np.asarray(solution.x, dtype=np.float64)[:-1], 0.0, limit)
    return out


# The counting behind a choice of rows: cells of target x bins, and the largest counts that give the strengths.

_CUTS = 64
_ROWS_PER_CUT = 16
"""In how many steps, and with how many rows a step, the place is sought where the halves of a factor meet."""


@dataclass(frozen=True, slots=True)
class UpperHalfShares:
    """The share of rows in the upper half: of the positive class, and of the others."""

    positive: float
    negative: float


Amount = float | UpperHalfShares
"""How a factor is tied: at a strength, which leaves half of all rows in either half, or by shares."""


@dataclass(frozen=True)
class TiedColumn:
    """A factor to be tied: its numbers without NaN, level codes if it is categorical, and the requested tie.

    Attributes:
        halves: Names of its lower and upper half.
    """

    name: str
    numbers: Float[np.ndarray, "n"]
    levels: Int[np.ndarray, "n"] | None
    amount: Amount
    halves: tuple[str, str]

    @property
    def strength(self) -> float:
        """Somers' D as asked."""
        return self.amount.positive - self.amount.negative if isinstance(self.amount, UpperHalfShares) else self.amount

    def weights(self, sign: Float[np.ndarray, "k"]) -> Float[np.ndarray, "2 k"]:
        """Weight of every class in the lower and the upper half by the rule; 1 is the weight without a tie."""
        if isinstance(self.amount, UpperHalfShares):
            upper = np.where(sign > 0, self.amount.positive, self.amount.negative)
            return np.stack([2 - 2 * upper, 2 * upper])
        return np.stack([1 - sign * self.amount, 1 + sign * self.amount])

    def weaken(self, by: float) -> TiedColumn:
        """Return the same factor, tied less."""
        old = self.amount
        new = UpperHalfShares(old.positive * by, old.negative * by) if isinstance(old, UpperHalfShares) else old * by
        return replace(self, amount=new)

    @cached_property
    def rank(self) -> Float[np.ndarray, "n"]:
        """The share of rows below each row, ties counted half: in (0, 1), whatever the scale of the numbers."""
        _, code, count = np.unique(self.numbers, return_inverse=True, return_counts=True)
        return ((np.cumsum(count) - count / 2) / len(code))[code]


@dataclass(frozen=True)
class Cells:
    """Rows counted by class and by cell, a cell being one bin of every factor.

    Attributes:
        counts: Rows by class and cell.
        share: Each class's share of all rows.
        weights: `TiedColumn.weights` of every factor.
        bins: The bin of every factor, by cell.
        upper: Whether that bin is in the upper half, by factor and cell. target.
        cell: Class and cell of every row.
    """

    counts: Int[np.ndarray, "k cells"]
    share: Float[np.ndarray, "k"]
    weights: Float[np.ndarray, "f 2 k"]
    bins: Int[np.ndarray, "f cells"]
    upper: Bool[np.ndarray, "f cells"]
    target: Int[np.ndarray, "n"]
    cell: Int[np.ndarray, "n"]

    @cached_property
    def weight(self) -> Float[np.ndarray, "k cells"]:
        """Weight of a class in a cell by the rule."""
        return rule_weight(self.weights, self.upper)

    @cached_property
    def capacity(self) -> Float[np.ndarray, "cells"]:
        """The most mass that a cell can have: no class may be asked for more rows than it has there."""
        return _capacity(self.counts, self.share, self.weight)

    def smallest_class(self, mass: Float[np.ndarray, "cells"]) -> int:
        """How many rows the smallest class would keep."""
        rows = (self.share[:, None] * self.weight * mass).sum(axis=1)
        return int(np.floor(rows.min() + 1e-6))


@dataclass(frozen=True, slots=True)
class Shortage:
    """The class and the halves where rows are fewest for the request."""

    target: int
    upper: tuple[bool, ...]
    available: int
    needed: int


def cut(target: Int[np.ndarray, "n"], classes: int, columns: Sequence[TiedColumn], bins: int) -> Cells:
    """Cut every factor into its two halves and each half into at most `bins` quantile bins, and count the cells.

    A categorical factor is cut into its levels. The halves of another meet where the most rows would be kept if it
    were tied alone. The last class is the positive one.
    """
    sign = np.where(np.arange(classes) == classes - 1, 1.0, -1.0)
    share = np.bincount(target, minlength=classes) / len(target)
    above = [_above(column, target, share, sign) for column in columns]
    coded = [_bin(column, upper, bins) for column, upper in zip(columns, above, strict=True)]
    sizes = [int(code.max()) + 1 for code in coded]
    cell = np.ravel_multi_index(tuple(coded), sizes)
    counts = np.zeros((classes, int(np.prod(sizes))), dtype=np.int64)
    np.add.at(counts, (target, cell), 1)
    per_cell = np.array(list(product(*(range(size) for size in sizes)))).T
    lowest_upper = [
        int(code[upper].min()) if upper.any() else size for code, upper, size in zip(coded, above, sizes, strict=True)
    ]
    upper = per_cell >= np.array(lowest_upper)[:, None]
    weights = np.stack([column.weights(sign) for column in columns])
    return Cells(counts, share, weights, per_cell, upper, target, cell)


def rule_weight(
    weights: Float[np.ndarray, "f 2 k"], upper: Bool[np.ndarray, "f cells"]
) -> Float[np.ndarray, "k cells"]:
    """Return the phantom's rule: the product over factors of a class's weight in the half of a cell."""
    out = np.ones((weights.shape[2], upper.shape[1]))
    for halves, above in zip(weights, upper, strict=True):
        out *= halves[above.astype(np.int64)].T
    return out


def largest_mass(cells: Cells) -> Float[np.ndarray, "cells"]:
    """Return the mass of every cell that keeps the most rows; all 0 when the strengths cannot be had.

    Class k then has share_k x weight x mass rows in a cell. Mass is balanced so that each factor's strength comes out
    as asked: equal halves for one factor, and for several, within every bin of each, equal mass in all quadrants of the
    others. Beyond that, cells are thinned as evenly as can be.
    """
    if len(cells.upper) == 1:
        upper, wanted_halves = (
            cells.upper[0],
            cells.weights[0].any(axis=1),
        )  # of a half that no class is in, no row is needed
        low, high = float(cells.capacity[~upper].sum()), float(cells.capacity[upper].sum())
        mass = min(half for half, wanted in zip((low, high), wanted_halves, strict=True) if wanted)
        thinned: np.ndarray = np.where(upper, mass / max(high, 1e-300), mass / max(low, 1e-300))
        return cells.capacity * thinned
    return maximize(cells.capacity, _balance(cells))


def quotas(cells: Cells, mass: Float[np.ndarray, "cells"]) -> Int[np.ndarray, "k cells"]:
    """Whole numbers of rows by class and cell, each within one of share x weight x mass and never above the count.

    Fractions are carried from cell to cell, so that sums over neighboring bins are kept too.
    """
    exact = cells.share[:, None] * cells.weight * mass
    carried = np.floor(np.cumsum(exact, axis=1) + 0.5 + 1e-9)
    return np.minimum(np.diff(carried, axis=1, prepend=0.0).astype(np.int64), cells.counts)


def short_cell(cells: Cells, least: int) -> Shortage:
    """Cell with the fewest rows compared with the need of `least` rows of the smallest class would need."""
    patterns = list(product((False, True), repeat=len(cells.upper)))
    shortages: list[tuple[float, Shortage]] = []
    for pattern in patterns:
        within = np.all(cells.upper == np.array(pattern)[:, None], axis=0)
        available = cells.counts[:, within].sum(axis=1)
        weight = rule_weight(cells.weights, np.array(pattern)[:, None])[:, 0]
        needed = np.ceil(least * cells.share / cells.share.min() * weight / len(patterns) - 1e-9)
        for k in np.flatnonzero(needed > 0).tolist():
            shortages.append((available[k] / needed[k], Shortage(k, pattern, int(available[k]), int(needed[k]))))
    return min(shortages, key=lambda item: (item[0], -item[1].needed))[1]


def strength_to_be_had(
    target: Int[np.ndarray, "n"], classes: int, columns: Sequence[TiedColumn], bins: int, least: int
) -> str:
    """In words, how strongly the factors can be tied: the nearest possible strength, or percent of the request."""

    def possible(weaker: Sequence[TiedColumn]) -> bool:
        cells = cut(target, classes, weaker, bins)
        return cells.smallest_class(largest_mass(cells)) >= least

    by_shares = any(isinstance(column.amount, UpperHalfShares) for column in columns)
    if len(columns) == 1 and not by_shares:
        wanted = columns[0].strength
        nearest = sorted((s / 20 for s in range(-20, 21)), key=lambda s: abs(s - wanted))
        possible_strength = next((s for s in nearest if possible([replace(columns[0], amount=s)])), None)
        word = "strongest" if possible_strength is not None and abs(possible_strength) < abs(wanted) else "nearest"
        return (
            "no strength can be had"
            if possible_strength is None
            else f"the {word} strength that can be had is {possible_strength:+g}"
        )
    what = ["strength"] * any(not isinstance(column.amount, UpperHalfShares) for column in columns) + [
        "share"
    ] * by_shares
    alone = len(columns) == 1
    for percent in range(95, -1, -5):
        if possible([column.weaken(percent / 100) for column in columns]):
            words = " and ".join(f"{word}s" for word in what)
            return f"{'it' if alone else 'all of them'} can be had at {percent}% of these {words}"
    return f"{'it' if alone else 'together they'} can be had at no {' and no '.join(what)}"


def _capacity(counts: np.ndarray, share: np.ndarray, weight: np.ndarray) -> np.ndarray:
    wanted = share[:, None] * weight
    with np.errstate(divide="ignore", invalid="ignore"):
        limits = np.where(wanted > 1e-12, counts / wanted, float(counts.sum()))
    return np.min(limits, axis=0)


def _above(
    column: TiedColumn, target: Int[np.ndarray, "n"], share: np.ndarray, sign: np.ndarray
) -> Bool[np.ndarray, "n"]:
    """Which rows lie in the upper half: the high levels, or those above the cut that keeps the most rows."""
    if column.levels is not None:
        return column.numbers > 0.5
    cuts = int(np.clip(len(target) // _ROWS_PER_CUT, 2, _CUTS))
    code = (cuts * column.rank).astype(np.int64)
    counts = np.zeros((len(share), cuts), dtype=np.int64)
    np.add.at(counts, (target, code), 1)
    low, high = (np.tile(weight[:, None], cuts) for weight in column.weights(sign))
    below = np.cumsum(_capacity(counts, share, low))
    above = np.cumsum(_capacity(counts, share, high)[::-1])[::-1]
    rows_left = np.minimum(below[:-1], above[1:])
    best = np.flatnonzero(rows_left >= rows_left.max() * (1 - 1e-9))
    return code > best[np.abs(best - (cuts / 2 - 1)).argmin()]  # of equals, the cut nearest to the median


def _bin(column: TiedColumn, above: Bool[np.ndarray, "n"], bins: int) -> Int[np.ndarray, "n"]:
    """Return the bin of every row, those of the lower half first; a categorical factor's are the levels that occur."""
    if column.levels is not None:
        within = column.levels
    else:
        low = 1 - float(above.mean())  # ranks are shares of all rows: stretched, they are shares of a half
        inside = np.empty(len(above))
        inside[~above] = column.rank[~above] / max(low, 1e-300)
        inside[above] = (column.rank[above] - low) / max(1 - low, 1e-300)
        within = np.minimum(bins * inside, bins - 1).astype(np.int64)
    return np.unique(above * (int(within.max()) + 1) + within, return_inverse=True)[1]


def _balance(cells: Cells) -> Float[np.ndarray, "equations cells"]:
    """Rows of coefficients whose product with the mass must be 0: see `largest_mass`."""
    equations: list[np.ndarray] = []
    for f in range(len(cells.upper)):
        others = np.delete(cells.upper, f, axis=0)
        quadrant = (others * (1 << np.arange(len(others)))[:, None]).sum(axis=0)
        for bin_ in range(int(cells.bins[f].max()) + 1):
            within = cells.bins[f] == bin_
            first = within & (quadrant == 0)
            for other in range(1, 1 << len(others)):
                equations.append(first.astype(float) - (within & (quadrant == other)))
    return np.array(equations)


# Rows of real data, chosen so that factors are tied to the target at stated strengths, with as many rows as can be.

LEAST_ROWS = 10
"""A class that an association leaves fewer rows than this makes it impossible."""

_CLOSE = 0.02
_BINS = ((1,), (2, 4, 8, 16, 32), (1, 2, 3, 4, 6, 8))  # a half, by number of continuous factors
_FEW_BINS = (1, 2)


def choose(
    table: FactorTable, associations: Mapping[str, AssociationSpec], seed: int, purpose: str = ""
) -> Int[np.ndarray, "kept"]:
    """Choose rows in which every named factor is tied to the target at its strength, keeping as many as possible.

    The chosen rows follow the phantom's rule: in the half of a factor's values that belongs to a class the class has
    weight 1 + s, in the other 1 - s; where exactly the halves meet is chosen with the rows. Of an association by shares
    a class has weight 2 share among the high levels and 2 - 2 share among the others. Within a half, and for s = 0
    altogether, classes are alike in their values, bin by bin, and tied factors are independent of each other within a
    class. Classes keep the ratio that they have among the available rows, so that an environment differs in its
    association and not in its prevalence. A continuous factor is cut into ever finer quantile bins until the achieved
    strength is within 0.02 of the asked one, or as near as it gets.

    Which rows of a cell are taken is a named draw of (seed, purpose, row): it depends neither on the order of the table
    nor on the strengths. Rows with a missing value of a factor tied to them are left out. `given` splits the

    Args:
        table: Rows that meet no association's `given` are all kept. Names are taken in alphabetical order, since the
            order in which associations are written must decide nothing.

    Returns:
        Ascending positions in the table.

    Raises:
        AssociationError: If a class would keep fewer than `LEAST_ROWS` rows, naming the cell that is short.
    """
    associations = dict(sorted(associations.items()))
    factors = {name: tied_as(factor_of(table.factors, name), tie) for name, tie in associations.items()}
    numbers = {name: factor.numbers(table.columns[name]) for name, factor in factors.items()}
    applies = {name: satisfies(table, tie.given) for name, tie in associations.items()}
    lacking = [applies[name] & np.isnan(numbers[name]) for name in associations]
    usable = ~np.any([*lacking, np.zeros(len(table), dtype=bool)], axis=0)
    keep = np.zeros(len(table), dtype=bool)
    draw = preference(table.row, seed, purpose)
    for names, rows in _groups(applies, usable):
        if not names:
            keep[rows] = True
            continue
        part = table.take(rows)
        columns = [
            TiedColumn(
                name, numbers[name][rows], _levels(part, name), _amount_of(associations[name]), _halves(factors[name])
            )
            for name in names
        ]
        keep[rows[_choose(part, columns, draw[rows])]] = True
    return np.flatnonzero(keep)


def preference(rows: Int[np.ndarray, "n"], seed: int, purpose: str = "") -> Float[np.ndarray, "n"]:
    """One number per row, which depends on (seed, purpose, row) alone: of like rows the smallest are taken first."""
    return row_uniform(seed, f"choose:{purpose}", rows)


def _amount_of(tie: AssociationSpec) -> Amount:
    return tie.strength if tie.share is None else UpperHalfShares(tie.share.positive, tie.share.negative)


def _levels(table: FactorTable, name: str) -> Int[np.ndarray, "n"] | None:
    """Level codes of a categorical factor: classes are then alike in levels too, not only in high and low."""
    return table.columns[name].astype(np.int64) if table.factor(name).kind == "categorical" else None


def _halves(factor: Factor) -> tuple[str, str]:
    """Names of the lower and the upper half of a factor: `sex F` and `sex M`; `low size` and `high size`."""
    if factor.kind != "categorical":
        return f"low {factor.name}", f"high {factor.name}"
    sides = ([level for level in factor.levels if (level in factor.high) is up] for up in (False, True))
    low, high = (f"{factor.name} {' or '.join(levels)}" for levels in sides)
    return low, high


def _groups(
    applies: Mapping[str, Bool[np.ndarray, "n"]], usable: Bool[np.ndarray, "n"]
) -> list[tuple[tuple[str, ...], Int[np.ndarray, "m"]]]:
    """Usable rows by the set of associations that apply to them."""
    names = list(applies)
    code = np.zeros(len(usable), dtype=np.int64)
    for i, name in enumerate(names):
        code += applies[name].astype(np.int64) << i
    return [
        (tuple(name for i, name in enumerate(names) if pattern >> i & 1), np.flatnonzero(usable & (code == pattern)))
        for pattern in np.unique(code[usable]).tolist()
    ]


def _choose(table: FactorTable, columns: Sequence[TiedColumn], draw: Float[np.ndarray, "n"]) -> Bool[np.ndarray, "n"]:
    """Which rows to keep, bool [n]: of all finenesses that come close enough the one that keeps most, else the closest.

    Fine bins make classes alike within a half; they also let the halves meet where most rows can be kept.
    """
    of = positive(table)
    order = np.lexsort((table.row, draw))
    choices: list[tuple[tuple[float, int], Bool[np.ndarray, "n"]]] = []
    for bins in _finenesses(columns):
        cells = cut(table.target, len(table.classes), columns, bins)
        mass = largest_mass(cells)
        if cells.smallest_class(mass) < LEAST_ROWS:
            continue
        keep = _take(cells, quotas(cells, mass), order)
        error = max(abs(somers_d(column.numbers[keep], of[keep]) - column.strength) for column in columns)
        choices.append(((max(error, _CLOSE), -int(keep.sum())), keep))
    if not choices:
        raise _refusal(table, columns)
    return min(choices, key=lambda item: item[0])[1]


def _finenesses(columns: Sequence[TiedColumn]) -> tuple[int, ...]:
    continuous = sum(column.levels is None for column in columns)
    return _BINS[continuous] if continuous < len(_BINS) else _FEW_BINS


def _take(cells: Cells, quota: Int[np.ndarray, "k cells"], order: Int[np.ndarray, "n"]) -> Bool[np.ndarray, "n"]:
    """Return the first rows of each class and cell, in the given order of rows, up to its quota."""
    group = (cells.target * quota.shape[1] + cells.cell)[order]
    sorted_by_group = np.argsort(group, kind="stable")
    sizes = np.bincount(group, minlength=quota.size)
    starts = np.cumsum(sizes) - sizes
    rank = np.arange(len(group)) - starts[group[sorted_by_group]]
    keep = np.zeros(len(group), dtype=bool)
    keep[order[sorted_by_group[rank < quota.ravel()[group[sorted_by_group]]]]] = True
    return keep


def _describe_tie(column: TiedColumn, target: str) -> str:
    """`at +0.5`, `high in 0.5 of 'yes' and 0 of the others`."""
    if isinstance(column.amount, UpperHalfShares):
        return f"high in {column.amount.positive:g} of '{target}' and {column.amount.negative:g} of the others"
    return f"at {column.amount:+g}"


def _refusal(table: FactorTable, columns: Sequence[TiedColumn]) -> AssociationError:
    requests = ", ".join(f"'{column.name}' {_describe_tie(column, table.classes[-1])}" for column in columns)
    bins = _finenesses(columns)[0]
    present = np.bincount(table.target, minlength=len(table.classes))
    if present.min() < LEAST_ROWS:
        scarce = table.classes[int(present.argmin())]
        return AssociationError(
            f"{requests} cannot be tied to '{table.classes[-1]}': there are {present.min()} rows of '{scarce}' to "
            "choose "
            f"from, and {LEAST_ROWS} a class are needed"
        )
    short = short_cell(cut(table.target, len(table.classes), columns, bins), LEAST_ROWS)
    sides = " and ".join(column.halves[up] for column, up in zip(columns, short.upper, strict=True))
    possible = strength_to_be_had(table.target, len(table.classes), columns, bins, LEAST_ROWS)
    return AssociationError(
        f"{requests} cannot be tied to '{table.classes[-1]}': rows of '{table.classes[short.target]}' with {sides}: "
        f"{short.available} there, {short.needed} needed to keep {LEAST_ROWS} a class; {possible}"
    )
