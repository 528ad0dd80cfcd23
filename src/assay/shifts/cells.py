"""The counting behind a choice of rows: cells of target x bins, and the largest counts that give the strengths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product

import numpy as np
from jaxtyping import Bool, Float, Int

from assay.shifts.programme import maximise

_CUTS = 64
_ROWS_PER_CUT = 16
"""In how many steps, and with how many rows a step, the place is sought where the halves of a factor meet."""


@dataclass(frozen=True, slots=True)
class Shares:
    """The share of rows in the upper half: of the positive class, and of the others."""

    positive: float
    negative: float


Amount = float | Shares
"""How a factor is tied: at a strength, which leaves half of all rows in either half, or by shares."""


@dataclass(frozen=True)
class Column:
    """A factor to be tied: its numbers without NaN, level codes if it is categorical, and what is asked.

    halves: what its lower and its upper half are called.
    """

    name: str
    numbers: Float[np.ndarray, "n"]
    levels: Int[np.ndarray, "n"] | None
    amount: Amount
    halves: tuple[str, str]

    @property
    def strength(self) -> float:
        """Somers' D as asked."""
        return self.amount.positive - self.amount.negative if isinstance(self.amount, Shares) else self.amount

    def weights(self, sign: Float[np.ndarray, "k"]) -> Float[np.ndarray, "2 k"]:
        """What the rule gives every class in the lower and in the upper half; 1 is what it has in a half untied."""
        if isinstance(self.amount, Shares):
            upper = np.where(sign > 0, self.amount.positive, self.amount.negative)
            return np.stack([2 - 2 * upper, 2 * upper])
        return np.stack([1 - sign * self.amount, 1 + sign * self.amount])

    def scaled(self, by: float) -> Column:
        """The same factor, tied less."""
        old = self.amount
        new = Shares(old.positive * by, old.negative * by) if isinstance(old, Shares) else old * by
        return replace(self, amount=new)

    @cached_property
    def rank(self) -> Float[np.ndarray, "n"]:
        """The share of rows below each row, ties counted half: in (0, 1), whatever the scale of the numbers."""
        _, code, count = np.unique(self.numbers, return_inverse=True, return_counts=True)
        return ((np.cumsum(count) - count / 2) / len(code))[code]


@dataclass(frozen=True)
class Cells:
    """Rows counted by class and by cell, a cell being one bin of every factor.

    counts: rows by class and cell. share: each class's share of all rows. weights: `Column.weights` of every factor.
    bins: the bin of every factor, by cell. upper: whether that bin lies in the upper half, by factor and cell. target,
    cell: class and cell of every row.
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
        """What the rule gives a class in a cell."""
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
class Short:
    """The class and the halves where rows are fewest for what is asked."""

    target: int
    upper: tuple[bool, ...]
    there: int
    needed: int


def cut(target: Int[np.ndarray, "n"], classes: int, columns: Sequence[Column], bins: int) -> Cells:
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
    """The phantom's rule: the product over factors of what the half of a cell gives a class."""
    out = np.ones((weights.shape[2], upper.shape[1]))
    for halves, above in zip(weights, upper, strict=True):
        out *= halves[above.astype(np.int64)].T
    return out


def largest_mass(cells: Cells) -> Float[np.ndarray, "cells"]:
    """The mass of every cell that keeps the most rows; all 0 when the strengths cannot be had.

    Class k then has share_k x weight x mass rows in a cell. Mass is balanced so that each factor's strength comes out
    as asked: equal halves for one factor, and for several, within every bin of each, equal mass in all quadrants of
    the others. Beyond that, cells are thinned as evenly as can be.
    """
    if len(cells.upper) == 1:
        upper, asked = cells.upper[0], cells.weights[0].any(axis=1)  # of a half that no class is in, no row is needed
        low, high = float(cells.capacity[~upper].sum()), float(cells.capacity[upper].sum())
        kept = min(half for half, wanted in zip((low, high), asked, strict=True) if wanted)
        thinned: np.ndarray = np.where(upper, kept / max(high, 1e-300), kept / max(low, 1e-300))
        return cells.capacity * thinned
    return maximise(cells.capacity, _balance(cells))


def quotas(cells: Cells, mass: Float[np.ndarray, "cells"]) -> Int[np.ndarray, "k cells"]:
    """Whole numbers of rows by class and cell, each within one of share x weight x mass and never above the count.

    Fractions are carried from cell to cell, so that sums over neighbouring bins are kept too.
    """
    exact = cells.share[:, None] * cells.weight * mass
    carried = np.floor(np.cumsum(exact, axis=1) + 0.5 + 1e-9)
    return np.minimum(np.diff(carried, axis=1, prepend=0.0).astype(np.int64), cells.counts)


def short_cell(cells: Cells, least: int) -> Short:
    """Where rows are fewest compared with what `least` rows of the smallest class would need."""
    patterns = list(product((False, True), repeat=len(cells.upper)))
    found: list[tuple[float, Short]] = []
    for pattern in patterns:
        within = np.all(cells.upper == np.array(pattern)[:, None], axis=0)
        there = cells.counts[:, within].sum(axis=1)
        weight = rule_weight(cells.weights, np.array(pattern)[:, None])[:, 0]
        needed = np.ceil(least * cells.share / cells.share.min() * weight / len(patterns) - 1e-9)
        for k in np.flatnonzero(needed > 0).tolist():
            found.append((there[k] / needed[k], Short(k, pattern, int(there[k]), int(needed[k]))))
    return min(found, key=lambda item: (item[0], -item[1].needed))[1]


def strength_to_be_had(
    target: Int[np.ndarray, "n"], classes: int, columns: Sequence[Column], bins: int, least: int
) -> str:
    """In words, how strongly the factors can be tied: the nearest possible strength, or per cent of what is asked."""

    def possible(asked: Sequence[Column]) -> bool:
        cells = cut(target, classes, asked, bins)
        return cells.smallest_class(largest_mass(cells)) >= least

    by_shares = any(isinstance(column.amount, Shares) for column in columns)
    if len(columns) == 1 and not by_shares:
        wanted = columns[0].strength
        nearest = sorted((s / 20 for s in range(-20, 21)), key=lambda s: abs(s - wanted))
        had = next((s for s in nearest if possible([replace(columns[0], amount=s)])), None)
        word = "strongest" if had is not None and abs(had) < abs(wanted) else "nearest"
        return "no strength can be had" if had is None else f"the {word} strength that can be had is {had:+g}"
    what = ["strength"] * any(not isinstance(column.amount, Shares) for column in columns) + ["share"] * by_shares
    alone = len(columns) == 1
    for percent in range(95, -1, -5):
        if possible([column.scaled(percent / 100) for column in columns]):
            words = " and ".join(f"{word}s" for word in what)
            return f"{'it' if alone else 'all of them'} can be had at {percent} % of these {words}"
    return f"{'it' if alone else 'together they'} can be had at no {' and no '.join(what)}"


def _capacity(counts: np.ndarray, share: np.ndarray, weight: np.ndarray) -> np.ndarray:
    wanted = share[:, None] * weight
    with np.errstate(divide="ignore", invalid="ignore"):
        limits = np.where(wanted > 1e-12, counts / wanted, float(counts.sum()))
    return np.min(limits, axis=0)


def _above(column: Column, target: Int[np.ndarray, "n"], share: np.ndarray, sign: np.ndarray) -> Bool[np.ndarray, "n"]:
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
    kept = np.minimum(below[:-1], above[1:])
    best = np.flatnonzero(kept >= kept.max() * (1 - 1e-9))
    return code > best[np.abs(best - (cuts / 2 - 1)).argmin()]  # of equals, the cut nearest to the median


def _bin(column: Column, above: Bool[np.ndarray, "n"], bins: int) -> Int[np.ndarray, "n"]:
    """The bin of every row, those of the lower half first; a categorical factor's are the levels that occur."""
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
