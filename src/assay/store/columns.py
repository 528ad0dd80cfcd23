"""Descriptions of tables of a run folder and of their columns: names, types and meanings of values."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, Literal, cast

ColumnType = Literal["VARCHAR", "BIGINT", "DOUBLE", "BOOLEAN"]
CellKind = Literal[
    "number",
    "interval",
    "count",
    "p",
    "code",
    "component",
    "measure",
    "recipe",
    "environment",
    "place",
    "decision",
    "list",
    "reason",
    "text",
]
"""How a cell is written: a number; one with its interval; a count, of which 0 is none; a p value; a code, a component,
a measure, a recipe, an environment, a place, a decision, a JSON list or a reason in words; a text as it is."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table.

    Args:
        name: Name in the file.
        meaning: Meaning of a value, in a few words.
        type: Type in the file. A column without any value is written as text, one that lacks a count as DOUBLE.
        head: Heading where the table is printed or shown on a page; the name where empty.
        keyed: Whether it holds a JSON object, whose keys are columns of their own outside the file (`Table.spread`).
        values: All values that a text can have; empty where any is possible.
        cell: How a page writes a value.
    """

    name: str
    meaning: str
    type: ColumnType = "VARCHAR"
    head: str = ""
    keyed: bool = False
    values: tuple[str, ...] = ()
    cell: CellKind = "component"


@dataclass(frozen=True)
class Table:
    """One table of a run folder: the single place that describes it.

    Args:
        name: Name of its file under `tables/`, and of `assay results --table`.
        row: Completion of "one row for every".
        columns: Columns in the order of the file.
        displayed: Names of the columns that `assay results` prints for reading, in that order.
        note: A sentence that applies to the whole table.
        parts: Tables that it is made of when it is read (`store.views`); it has no file then.
        embedded: Whether a page contains the whole table as a download.
    """

    name: str
    row: str
    columns: tuple[Column, ...]
    displayed: tuple[str, ...]
    note: str = ""
    parts: tuple[str, ...] = ()
    embedded: bool = True

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns in the order of the file."""
        return tuple(column.name for column in self.columns)

    @cached_property
    def by_name(self) -> Mapping[str, Column]:
        """Columns by name."""
        return {column.name: column for column in self.columns}

    def column(self, name: str) -> Column:
        """Return the column of that name. Raises KeyError."""
        return self.by_name[name]

    def spread(self, rows: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[dict[str, Any]]]:
        """Replace columns of JSON objects by plain columns, one per key: `coordinates` by `coordinates.loss`.

        A key that a row lacks is an empty text, or NaN where its values are numbers. Lists become text.

        Args:
            rows: Rows of the table as in its file.

        Returns:
            The names of the columns in order, and the rows.

        Examples:
            >>> keyed = Column("at", "axis", keyed=True), Column("each", "seed", keyed=True)
            >>> table = Table("made", "row", (Column("recipe", "r"), *keyed, Column("n", "n")), ())
            >>> names, plain = table.spread([
            ...     {"recipe": "a", "at": '{"loss": "focal", "p": "0"}', "each": '{"0": 1, "1": 0.5}', "n": 1},
            ...     {"recipe": "b", "at": '{"p": ["0.1", "0.5"]}', "each": '{"1": 0.25}', "n": 2},
            ...     {"recipe": "c", "at": "", "each": "", "n": 3},
            ... ])
            >>> names
            ['recipe', 'at.loss', 'at.p', 'each.0', 'each.1', 'n']
            >>> for row in plain:
            ...     print(list(row.values()))
            ['a', 'focal', '0', 1.0, 0.5, 1]
            ['b', '', '0.1, 0.5', nan, 0.25, 2]
            ['c', '', '', nan, nan, 3]
            >>> table.spread([])
            (['recipe', 'n'], [])
        """
        names: list[str] = []
        plain: list[dict[str, Any]] = [{} for _ in rows]
        for column in self.columns:
            if rows and column.name not in rows[0]:
                continue
            if not column.keyed:
                names.append(column.name)
                for row, plain_row in zip(rows, plain, strict=True):
                    plain_row[column.name] = row.get(column.name, "")
                continue
            objects = [_parse_object(row.get(column.name, "")) for row in rows]
            for key in dict.fromkeys(key for values in objects for key in values):
                names.append(f"{column.name}.{key}")
                numbers = any(isinstance(values.get(key), float) for values in objects)
                for values, plain_row in zip(objects, plain, strict=True):
                    plain_row[names[-1]] = values.get(key, math.nan if numbers else "")
        return names, plain


@cache
def _parse_object(text: str) -> Mapping[str, str | float]:
    """Return the JSON object of a cell, empty where there is none. Cached: thousands of rows hold few texts."""
    values: dict[str, Any] = json.loads(text) if text else {}
    return {key: _plain(value) for key, value in values.items()}


def _plain(value: Any) -> str | float:
    match value:
        case list():
            return ", ".join(map(str, cast("list[object]", value)))
        case int() | float():
            return float(value)
        case _:
            return str(value)


def number(name: str, meaning: str, head: str = "", cell: CellKind = "number") -> Column:
    """Return a column of numbers."""
    return Column(name, meaning, "DOUBLE", head, cell=cell)


def estimate(name: str, meaning: str, head: str = "") -> Column:
    """Return a column of estimates, whose ends are in columns `NAME_low` and `NAME_high`, or `low` and `high`."""
    return number(name, meaning, head, "interval")


def integer(name: str, meaning: str, head: str = "", cell: CellKind = "number") -> Column:
    """Return a column of whole numbers."""
    return Column(name, meaning, "BIGINT", head, cell=cell)


def environment(meaning: str) -> Column:
    """Return a column of names of environments."""
    return Column("environment", meaning, head="test condition", cell="environment")


def json_column(name: str, meaning: str) -> Column:
    """Return a column of JSON objects."""
    return Column(name, meaning, keyed=True)


PATIENTS = integer("patients", "patients behind the value; 0 where the data name none", cell="count")
IMAGES = integer("images", "images behind the value", cell="count")

RECIPE = (
    Column("recipe", "label of the recipe", cell="recipe"),
    json_column("coordinates", "JSON: axis -> the recipe's value on it"),
)
INTERVAL = (number("low", "lower end of the 95% interval"), number("high", "upper end of the 95% interval"))
TRAINING_SEEDS = integer("seeds", "training seeds behind the value", cell="count")
REASON = Column(
    "reason",
    "why the value is undefined or doubtful or a comparison inconclusive, codes with fields as JSON; empty otherwise",
    cell="reason",
)
