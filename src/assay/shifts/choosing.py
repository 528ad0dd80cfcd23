"""Rows of real data, chosen so that factors are tied to the target at stated strengths, with as many rows as can be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from assay.core.environment_spec import AssociationSpec
from assay.core.errors import AssociationError
from assay.core.seeds import row_uniform
from assay.core.types import Factor, FactorTable
from assay.shifts.association import positive, somers_d, tied_as
from assay.shifts.cells import Amount, Cells, Column, Shares, cut, largest_mass, quotas, short_cell, strength_to_be_had
from assay.shifts.conditions import named, satisfies

LEAST_ROWS = 10
"""A class that an association leaves fewer rows than this makes it impossible."""

_CLOSE = 0.02
_BINS = ((1,), (2, 4, 8, 16, 32), (1, 2, 3, 4, 6, 8))  # a half, by number of continuous factors
_FEW_BINS = (1, 2)


@dataclass(frozen=True)
class Chosen:
    """Which rows an association leaves.

    positions: int64 [kept], ascending positions in the table. available: rows there were. missing: factor -> rows
    that were left out because its value is missing.
    """

    positions: Int[np.ndarray, "kept"]
    available: int
    missing: Mapping[str, int]


def choose(table: FactorTable, associations: Mapping[str, AssociationSpec], seed: int, purpose: str = "") -> Chosen:
    """Choose rows in which every named factor is tied to the target at its strength, keeping as many as possible.

    The chosen rows follow the phantom's rule: in the half of a factor's values that belongs to a class the class has
    weight 1 + s, in the other 1 - s; where exactly the halves meet is chosen with the rows. Of an association by shares
    a class has weight 2 share among the high levels and 2 - 2 share among the others. Within a half, and for
    s = 0 altogether, classes are alike in their values, bin by bin, and tied factors are independent of each other
    within a class. Classes keep the ratio that they have among the available rows, so that an environment differs in
    its association and not in its prevalence. A continuous factor is cut into ever finer quantile bins until the
    achieved strength is within .02 of the asked one, or as near as it gets.

    Which rows of a cell are taken is a named draw of (seed, purpose, row): it depends neither on the order of the
    table nor on the strengths. Rows with a missing value of a factor tied to them are left out. `given` splits the
    table: rows that meet no association's `given` are all kept. Names are taken in alphabetical order, since the order
    in which associations are written must decide nothing.

    Raises AssociationError when a class would keep fewer than `LEAST_ROWS` rows, naming the cell that is short.
    """
    associations = dict(sorted(associations.items()))
    factors = {name: tied_as(named(table.factors, name), tie) for name, tie in associations.items()}
    numbers = {name: factor.numbers(table.columns[name]) for name, factor in factors.items()}
    applies = {name: satisfies(table, tie.given) for name, tie in associations.items()}
    lacking = {name: applies[name] & np.isnan(numbers[name]) for name in associations}
    usable = ~np.any([*lacking.values(), np.zeros(len(table), dtype=bool)], axis=0)
    keep = np.zeros(len(table), dtype=bool)
    draw = preference(table.row, seed, purpose)
    for names, rows in _groups(applies, usable):
        if not names:
            keep[rows] = True
            continue
        part = table.take(rows)
        columns = [
            Column(name, numbers[name][rows], _levels(part, name), _amount(associations[name]), _halves(factors[name]))
            for name in names
        ]
        keep[rows[_choose(part, columns, draw[rows])]] = True
    missing = {name: int(rows.sum()) for name, rows in lacking.items()}
    return Chosen(np.flatnonzero(keep), len(table), missing)


def preference(rows: Int[np.ndarray, "n"], seed: int, purpose: str = "") -> Float[np.ndarray, "n"]:
    """One number per row, which depends on (seed, purpose, row) alone: of like rows the smallest are taken first."""
    return row_uniform(seed, f"choose:{purpose}", rows)


def _amount(tie: AssociationSpec) -> Amount:
    return tie.strength if tie.share is None else Shares(tie.share.positive, tie.share.negative)


def _levels(table: FactorTable, name: str) -> Int[np.ndarray, "n"] | None:
    """Level codes of a categorical factor: classes are then alike in levels too, not only in high and low."""
    return table.columns[name].astype(np.int64) if table.factor(name).kind == "categorical" else None


def _halves(factor: Factor) -> tuple[str, str]:
    """What the lower and the upper half of a factor are called: `sex F` and `sex M`; `low size` and `high size`."""
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


def _choose(table: FactorTable, columns: Sequence[Column], draw: Float[np.ndarray, "n"]) -> Bool[np.ndarray, "n"]:
    """Which rows to keep, bool [n]: of all finenesses that come close enough the one that keeps most, else the closest.

    Fine bins make classes alike within a half; they also let the halves meet where most rows can be kept.
    """
    of = positive(table)
    order = np.lexsort((table.row, draw))
    found: list[tuple[tuple[float, int], Bool[np.ndarray, "n"]]] = []
    for bins in _finenesses(columns):
        cells = cut(table.target, len(table.classes), columns, bins)
        mass = largest_mass(cells)
        if cells.smallest_class(mass) < LEAST_ROWS:
            continue
        keep = _take(cells, quotas(cells, mass), order)
        error = max(abs(somers_d(column.numbers[keep], of[keep]) - column.strength) for column in columns)
        found.append(((max(error, _CLOSE), -int(keep.sum())), keep))
    if not found:
        raise _refusal(table, columns)
    return min(found, key=lambda item: item[0])[1]


def _finenesses(columns: Sequence[Column]) -> tuple[int, ...]:
    continuous = sum(column.levels is None for column in columns)
    return _BINS[continuous] if continuous < len(_BINS) else _FEW_BINS


def _take(cells: Cells, quota: Int[np.ndarray, "k cells"], order: Int[np.ndarray, "n"]) -> Bool[np.ndarray, "n"]:
    """The first rows of each class and cell, in the given order of rows, up to its quota."""
    group = (cells.target * quota.shape[1] + cells.cell)[order]
    sorted_by_group = np.argsort(group, kind="stable")
    sizes = np.bincount(group, minlength=quota.size)
    starts = np.cumsum(sizes) - sizes
    rank = np.arange(len(group)) - starts[group[sorted_by_group]]
    keep = np.zeros(len(group), dtype=bool)
    keep[order[sorted_by_group[rank < quota.ravel()[group[sorted_by_group]]]]] = True
    return keep


def _told(column: Column, target: str) -> str:
    """`at +0.5`, `high in 0.5 of 'yes' and 0 of the others`."""
    if isinstance(column.amount, Shares):
        return f"high in {column.amount.positive:g} of '{target}' and {column.amount.negative:g} of the others"
    return f"at {column.amount:+g}"


def _refusal(table: FactorTable, columns: Sequence[Column]) -> AssociationError:
    asked = ", ".join(f"'{column.name}' {_told(column, table.classes[-1])}" for column in columns)
    bins = _finenesses(columns)[0]
    present = np.bincount(table.target, minlength=len(table.classes))
    if present.min() < LEAST_ROWS:
        scarce = table.classes[int(present.argmin())]
        return AssociationError(
            f"{asked} cannot be tied to '{table.classes[-1]}': there are {present.min()} rows of '{scarce}' to choose "
            f"from, and {LEAST_ROWS} a class are needed"
        )
    short = short_cell(cut(table.target, len(table.classes), columns, bins), LEAST_ROWS)
    sides = " and ".join(column.halves[up] for column, up in zip(columns, short.upper, strict=True))
    had = strength_to_be_had(table.target, len(table.classes), columns, bins, LEAST_ROWS)
    return AssociationError(
        f"{asked} cannot be tied to '{table.classes[-1]}': rows of '{table.classes[short.target]}' with {sides}: "
        f"{short.there} there, {short.needed} needed to keep {LEAST_ROWS} a class; {had}"
    )
