"""Figures of a publication beside those of a study, cell by cell."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

from assay.spec.published import PublishedColumn
from assay.spec.schema import StudySpec
from assay.store.files import Row

_WHOLE = ("factor", "level", "layer", "group")


def published_rows(spec: StudySpec, estimates: Sequence[Row]) -> list[Row]:
    """Return rows of `schema.PUBLISHED`: each published row and every value of its axis in this study, by column."""
    rows: list[Row] = []
    for table in spec.published:
        known = spec.axes.get(table.rows, ())
        for column in table.columns:
            for level in dict.fromkeys((*column.values, *known)):
                found = _of(estimates, column, {**column.where, table.rows: level})
                rows.append(
                    {
                        "table": table.title,
                        "source": table.source,
                        "page": table.page,
                        "row": level,
                        "column": column.name,
                        "measure": column.measure,
                        "environment": column.environment,
                        "published": column.values.get(level, math.nan),
                        **{name: math.nan if found is None else found[name] for name in ("value", "low", "high")},
                        "note": table.note,
                    }
                )
    return rows


def _of(estimates: Sequence[Row], column: PublishedColumn, at: dict[str, str]) -> Row | None:
    """Return the estimate of the first recipe with these values: other axes have their first value."""
    for row in estimates:
        if (row["measure"], row["environment"]) != (column.measure, column.environment) or any(
            row[name] for name in _WHOLE
        ):
            continue
        if at.items() <= json.loads(row["coordinates"]).items():
            return row
    return None
