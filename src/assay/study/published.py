"""Figures of a publication beside those of a study, cell by cell."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from assay.spec.published import OF_ROWS, PublishedColumn, PublishedTable
from assay.spec.schema import StudySpec
from assay.stats.rows import DIFFERENT
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
    by_column = {column.name: _estimates_of_column(table, column, spec, estimates) for column in table.columns}
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


def order_rows(spec: StudySpec, estimates: Sequence[Row], contrasts: Sequence[Row]) -> list[Row]:
    """Return rows of `schema.PUBLISHED_ORDERS`: the published order of recipes against that of this run, by column.

    Args:
        spec: The study.
        estimates: Rows of `schema.ESTIMATES`.
        contrasts: Rows of `schema.CONTRASTS`.
    """
    overall = [row for row in estimates if not row["factor"]]
    orders: list[Row] = []
    for table in spec.published:
        for column in table.columns if table.rows not in OF_ROWS else ():
            by_level = _estimates_of_column(table, column, spec, overall)
            levels = [name for name in column.values if name in by_level and not math.isnan(by_level[name]["value"])]
            if len(levels) > 1:
                compared = _compared_pairs(table.rows, column, {level: by_level[level] for level in levels}, contrasts)
                figures = [(column.values[level], float(by_level[level]["value"])) for level in levels]
                place = {"table": table.title, "column": column.name, "measure": column.measure,
                         "environment": column.environment}  # fmt: skip
                orders.append({**place, **_order(levels, figures, compared)})
    return orders


def _compared_pairs(
    axis: str, column: PublishedColumn, by_level: Mapping[str, Row], contrasts: Sequence[Row]
) -> Mapping[tuple[str, str], int]:
    """Return pairs of levels that a comparison tests -> the decided sign of the first less the second, or 0."""
    signs: dict[tuple[str, str], int] = {}
    wanted = (axis, "equal-budget", column.measure, column.environment, "", column.layer)
    for row in contrasts:
        place = (row["axis"], row["at"], row["measure"], row["environment"], row["factor"], row["layer"])
        if place != wanted or math.isnan(row["low"]) or not {row["a"], row["b"]} <= by_level.keys():
            continue
        sides = [{**json.loads(by_level[row[side]]["coordinates"]), axis: ""} for side in ("a", "b")]
        if sides != [{**json.loads(row["where"]), axis: ""}] * 2:
            continue
        way = str(row["decision"]).partition("-")[0] if row["decision"] in DIFFERENT else ""
        sign = {"higher": 1, "lower": -1}.get(way, 0)
        signs |= {(row["a"], row["b"]): sign, (row["b"], row["a"]): -sign}
    return signs


def _order(
    levels: Sequence[str], figures: Sequence[tuple[float, float]], compared: Mapping[tuple[str, str], int]
) -> dict[str, float]:
    """Return the agreement of the orders of published figures and of values of this run.

    Examples:
        >>> _order(["a", "b", "c"], [(0.9, 0.8), (0.7, 0.6), (0.5, 0.7)], {("a", "b"): 1, ("b", "c"): -1})["same"]
        2
    """
    pairs = [(i, j) for i in range(len(levels)) for j in range(i + 1, len(levels))]
    published, ours = (np.sign([figures[i][side] - figures[j][side] for i, j in pairs]).astype(int) for side in (0, 1))
    shown = np.array([compared.get((levels[i], levels[j]), 0) for i, j in pairs])
    tested = np.array([(levels[i], levels[j]) in compared for i, j in pairs])
    differ, untied = published != 0, np.sqrt((published**2).sum() * (ours**2).sum())
    return {
        "rows": len(levels),
        "tau": float((published * ours).sum() / untied) if untied else math.nan,
        "pairs": int(differ.sum()),
        "same": int((published * ours > 0).sum()),
        "compared": int((differ & tested).sum()),
        "same_shown": int((published * shown > 0).sum()),
        "other_shown": int((published * shown < 0).sum()),
    }


def _estimates_of_column(
    table: PublishedTable, column: PublishedColumn, spec: StudySpec, estimates: Sequence[Row]
) -> Mapping[str, Row]:
    """Return row of the table -> the estimate of the first recipe of the study with this row and the column's values.

    A row whose first recipe has no estimate is left out: no other recipe stands in for it.
    """
    place = {"measure": column.measure, "environment": column.environment, "layer": column.layer, "level": "",
             "group": column.group}  # fmt: skip
    fixed = {name: value for name, value in place.items() if name != table.rows}
    first: dict[str, Mapping[str, str]] = {}
    for point in spec.points:
        if column.where.items() <= point.coordinates.items():
            first.setdefault(point.coordinates.get(table.rows, ""), point.coordinates)
    by_level: dict[str, Row] = {}
    for row in estimates:
        if any(row[name] != value for name, value in fixed.items()):
            continue
        at: dict[str, str] = json.loads(row["coordinates"])
        level = row[table.rows] if table.rows in OF_ROWS else at.get(table.rows, "")
        if level and at == first.get(at.get(table.rows, "")):
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
