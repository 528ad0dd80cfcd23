"""Figures of a publication beside those of a study, cell by cell."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from assay.spec.published import OF_ROWS, PublishedColumn, PublishedTable
from assay.spec.schema import StudySpec
from assay.store.files import ColumnRows, Row
from assay.store.views import SeedValues

_RESAMPLES = 20_000
"""Divisions of the seeds that a permutation test draws where there are more; all of up to 8 against 8 are taken."""
_FEWEST = 2
"""Seeds that either side of a permutation test needs."""


def published_rows(spec: StudySpec, estimates: Sequence[Row], values: ColumnRows) -> list[Row]:
    """Return rows of `schema.PUBLISHED`: each published row and every one of this study, by column.

    Args:
        spec: The study.
        estimates: Rows of `schema.ESTIMATES`.
        values: Rows of `schema.VALUES`.
    """
    if not spec.published:
        return []
    measures = {column.measure for table in spec.published for column in table.columns}
    overall = [row for row in estimates if row["measure"] in measures and not row["factor"]]
    seeds = SeedValues(values)
    return [row for table in spec.published for row in _published_rows(table, spec, overall, seeds)]


def _published_rows(
    table: PublishedTable, spec: StudySpec, estimates: Sequence[Row], seeds: SeedValues
) -> Iterator[Row]:
    by_column = {column.name: _estimates_of_column(table, column, estimates) for column in table.columns}
    for column in table.columns:
        levels = spec.axes.get(table.rows, by_column[column.name])
        for level in dict.fromkeys((*column.values, *levels)):
            row = by_column[column.name].get(level)
            drawn, other = (
                _values(row_values, seeds) for row_values in (row, by_column.get(column.against, {}).get(level))
            )
            yield {
                "table": table.title,
                "source": table.source,
                "page": table.page,
                "row": level,
                "column": column.name,
                "measure": column.measure,
                "environment": column.environment,
                "layer": "" if row is None else row["layer"],
                "published": column.values.get(level, math.nan),
                **{name: math.nan if row is None else row[name] for name in ("value", "low", "high")},
                "seeds": " ".join(f"{value:.3f}" for value in drawn),
                "against": column.against,
                "p": permutation_p(drawn, other),
                "note": table.note,
            }


def _estimates_of_column(table: PublishedTable, column: PublishedColumn, estimates: Sequence[Row]) -> Mapping[str, Row]:
    """Return row of the table -> the estimate of the first recipe of a column: other axes have their first value."""
    place = {"measure": column.measure, "environment": column.environment, "layer": column.layer, "level": "",
             "group": column.group}  # fmt: skip
    fixed = {name: value for name, value in place.items() if name != table.rows}
    by_level: dict[str, Row] = {}
    for row in estimates:
        if any(row[name] != value for name, value in fixed.items()):
            continue
        at: dict[str, str] = json.loads(row["coordinates"])
        level = row[table.rows] if table.rows in OF_ROWS else at.get(table.rows, "")
        if level and column.where.items() <= at.items():
            by_level.setdefault(level, row)
    return by_level


def _values(row: Row | None, seeds: SeedValues) -> list[float]:
    return [] if row is None else [value for _, value in seeds.of(row["id"])]


def permutation_p(first: Sequence[float], second: Sequence[float]) -> float:
    """Return the two-sided p-value of a permutation test of the difference between two means.

    Both sides are pooled and divided anew in every way, or in 20,000 random ways where there are more.

    Args:
        first: Values of the seeds (or folds) of one side.
        second: Those of the other.

    Returns:
        NaN with under two values on a side. Undefined values are left out.
    """
    sides = tuple(np.array([value for value in side if not math.isnan(value)]) for side in (first, second))
    if min(map(len, sides)) < _FEWEST:
        return math.nan
    from scipy import stats  # here, since few studies need it and importing it takes a second

    tested = stats.permutation_test(sides, _difference, vectorized=True, n_resamples=_RESAMPLES, rng=0)
    return float(tested.pvalue)


def _difference(first: np.ndarray, second: np.ndarray, axis: int) -> np.ndarray:
    return first.mean(axis=axis) - second.mean(axis=axis)
