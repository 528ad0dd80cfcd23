"""The first rows, or patients, of a training environment: fewer of one distribution, each amount within the next."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from jaxtyping import Float, Int

from assay.core.errors import DataError
from assay.core.types import FactorTable

_QUANTILES = 8
"""How many parts a continuous factor is cut into, of which each amount of rows has its share."""


def enough(name: str, rows: int | None, there: int, where: str) -> int:
    """How many rows an environment takes of those that are there. Raises DataError when it asks for more."""
    if rows is not None and rows > there:
        raise DataError(f"environment '{name}': {rows} rows are asked for; there are {there} {where}: ask for fewer")
    return there if rows is None else rows


def first_rows(table: FactorTable, count: int, tied: Iterable[str], draw: Float[np.ndarray, "n"]) -> FactorTable:
    """So many rows of a table, in its order.

    Every amount holds the classes, within each the levels (or quantiles) of the factors `tied`, in the proportions that
    they have in the whole table, as nearly as whole rows can; so associations stay as they are. The rows of one amount
    are among those of every greater one. draw: one number per row; of rows that are alike the smallest come first.
    """
    if count == len(table):
        return table
    stratum = np.zeros(len(table), dtype=np.int64)
    for name in sorted(tied):
        stratum = _numbered(stratum, _part(table, name))
    within = _spread(_numbered(table.target, stratum), draw, table.row)
    turn = _spread(table.target, within, draw, table.row)
    return table.take(np.sort(np.lexsort((table.row, draw, turn))[:count]))


def part_of(name: str, fraction: float, there: int, what: str) -> int:
    """How many a share of those that are there is, rounded. Raises DataError for fewer than two: no batch norm can be
    trained on one.
    """
    count = round(fraction * there)
    if count < 2:
        raise DataError(
            f"environment '{name}': fraction {fraction:g} of {there} {what} is {count}; at least 2 are needed: "
            "ask for more"
        )
    return count


def first_patients(
    name: str, table: FactorTable, fraction: float, tied: Iterable[str], draw: Float[np.ndarray, "n"]
) -> FactorTable:
    """All rows of a share of the table's patients, in its order.

    Every share holds patients by their highest class, within each by the level (or quantile) of the factors `tied` in
    their first row, in the proportions of the whole table as nearly as whole patients can; those of one share are among
    those of every greater one. draw: as in `first_rows`; a patient has that of the first row. Raises DataError.
    """
    if fraction == 1:
        return table
    _, first, patient = np.unique(table.patient, return_index=True, return_inverse=True)
    highest = np.full(len(first), -1, dtype=np.int64)
    np.maximum.at(highest, patient, table.target)
    alone = replace(table.take(first), target=highest)
    chosen = first_rows(alone, part_of(name, fraction, len(first), "patients"), tied, draw[first])
    return table.take(np.flatnonzero(np.isin(table.patient, chosen.patient)))


def _part(table: FactorTable, name: str) -> Int[np.ndarray, "n"]:
    """The level of every row, or the part of the values that it lies in; missing values are a part of their own."""
    if table.factor(name).levels:
        return table.columns[name].astype(np.int64)
    numbers = table.numbers(name)
    known = numbers[~np.isnan(numbers)]
    edges = np.quantile(known, np.arange(1, _QUANTILES) / _QUANTILES) if len(known) else np.zeros(0)
    return np.where(np.isnan(numbers), -1, np.searchsorted(edges, numbers, side="right"))


def _numbered(outer: Int[np.ndarray, "n"], inner: Int[np.ndarray, "n"]) -> Int[np.ndarray, "n"]:
    """One number per pair of values."""
    return np.unique(np.stack([outer, inner]), axis=1, return_inverse=True)[1].reshape(-1)


def _spread(group: Int[np.ndarray, "n"], *order: np.ndarray) -> Float[np.ndarray, "n"]:
    """Where each row stands in its group, as a share in (0, 1): in the order of it groups are dealt out evenly."""
    sorted_ = np.lexsort((*reversed(order), group))
    sizes = np.unique(group, return_counts=True)[1]
    rank = np.arange(len(group)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    share = np.empty(len(group))
    share[sorted_] = (rank + 0.5) / np.repeat(sizes, sizes)
    return share
