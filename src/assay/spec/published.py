"""Tables of a publication, beside which a study puts its own figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

from pydantic import Field

from assay.core.measures import INDEPENDENT, MEASURES, NEUTRAL
from assay.spec.document import Keys
from assay.spec.fields import ByLabel, HeldLabels
from assay.spec.grid import Axis, fixed_field, resolve, selection
from assay.spec.issues import Issues
from assay.spec.recipe import Frozen

OF_ROWS = ("layer", "level")
"""Rows of a table that are no axis: layers of the networks, or levels of the measure, such as ranks of a spectrum."""
LEFT_OUT = "--set published=[] leaves the published tables out"


class PublishedColumn(Frozen):
    """Figures of a column of a published table, and the measure of this study that stands beside them.

    Attributes:
        layer: Of a measure of layers, the layer.
        group: Of a measure by groups, the group, such as `trained`.
        where: Axis -> value of the recipes of this column. Of several recipes, the first of the study is taken.
        values: Value of the axis of the rows -> published figure, in the unit of the measure.
        against: Another column, with whose seeds a permutation test compares this one's, row by row.
    """

    name: str
    measure: str
    environment: str = ""
    layer: str = ""
    group: str = ""
    where: Annotated[Mapping[str, str], HeldLabels] = {}
    values: Annotated[Mapping[str, float], ByLabel] = {}
    against: str = ""


class PublishedTable(Frozen):
    """A table or figure of a publication.

    Attributes:
        source: The publication.
        page: Where in it, such as `Table 2` or `p. 7`.
        rows: The axis whose values are its rows, `layer`, or `level` for the levels of its measures.
        note: A difference between both sides that a reader should know.
    """

    title: str
    source: str
    page: str = ""
    rows: str
    note: str = ""
    columns: Annotated[tuple[PublishedColumn, ...], Field(min_length=1)]


def published_section(
    published: Sequence[PublishedTable], tests: Sequence[str], axes: Sequence[Axis], issues: Issues
) -> tuple[PublishedTable, ...]:
    """Check that published tables name measures, test environments, axes, values and columns that there are.

    Args:
        published: The tables as written.
        tests: Names of the test environments.
        axes: The axes of the study.
        issues: The collection that issues are added to.

    Returns:
        The tables with axes by their short names. A field that is no axis, and has the value that `where` names, is
        left out. Published rows that are not on the axis stay: this study has not run them.
    """
    tables: list[PublishedTable] = []
    for i, table in enumerate(published):
        at: Keys = ("published", i)
        axis = resolve(table.rows, axes)
        if axis is None and table.rows not in OF_ROWS:
            names = [*(other.name for other in axes), *OF_ROWS]
            issues.add((*at, "rows"), table.rows, "no such axis, and neither layer nor level", names=names)
        columns = [
            _column(table, column, axis, tests, axes, (*at, "columns", j), issues)
            for j, column in enumerate(table.columns)
        ]
        tables.append(table.model_copy(update={"rows": axis.name if axis else table.rows, "columns": tuple(columns)}))
    return tuple(tables)


def _column(
    table: PublishedTable,
    column: PublishedColumn,
    rows: Axis | None,
    tests: Sequence[str],
    axes: Sequence[Axis],
    at: Keys,
    issues: Issues,
) -> PublishedColumn:
    if column.measure not in MEASURES:
        issues.add((*at, "measure"), column.measure, "no such measure", "see `assay list measures`", MEASURES)
    if column.environment and column.environment not in (names := (*tests, NEUTRAL, INDEPENDENT)):
        issues.add((*at, "environment"), column.environment, "no such test environment", names=names)
    others = [other.name for other in table.columns if other is not column]
    if column.name in others:
        issues.add((*at, "name"), column.name, "two columns of this table have this name")
    if column.against and column.against not in others:
        issues.add((*at, "against"), column.against, "no other column of this table has this name", names=others)
    if rows and column.values and not any(row in rows.labels for row in column.values):
        what = f"none of these rows is a value of axis '{rows.name}'"
        issues.add((*at, "values"), next(iter(column.values)), what, LEFT_OUT, rows.labels)
    alone = {
        name: fixed
        for name in column.where
        if not resolve(name, axes) and (fixed := fixed_field(name, issues.document.values))
    }
    for name, (place, value) in alone.items():
        if value != column.where[name]:
            what = f"{place} is {value} in this study, and no axis"
            issues.add((*at, "where", name), column.where[name], what, LEFT_OUT)
    fixed_values = selection({k: v for k, v in column.where.items() if k not in alone}, axes, (*at, "where"), issues)
    return column.model_copy(update={"where": {name: next(iter(labels)) for name, labels in fixed_values.items()}})
