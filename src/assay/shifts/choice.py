"""Choice of rows in which factors are tied to the target at stated strengths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product

import numpy as np
from jaxtyping import Bool, Float, Int

from assay.core.errors import AssociationError
from assay.core.seeds import row_uniform
from assay.core.types import Factor, FactorTable
from assay.shifts.association import positive, somers_d, tied_as
from assay.shifts.marginals import factor_of, satisfies
from assay.spec.schema import AssociationSpec

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
