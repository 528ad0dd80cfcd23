"""Input of a page: the tables of a run folder, read once and checked for their columns."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

from assay.core.errors import StoreError
from assay.store.columns import Table
from assay.store.files import Row
from assay.store.folder import RunFolder
from assay.store.schema import SEEDS, TABLES

Rows = Sequence[Row]


@dataclass(frozen=True)
class Tables:
    """Every table of a run folder, as rows. See `store.schema` for their columns.

    Tables that no section reads by name are in `others`.
    """

    trials: Rows
    seeds: Rows
    estimates: Rows
    contrasts: Rows
    half_doses: Rows
    dose_changes: Rows
    trades: Rows
    planes: Rows
    free_response: Rows
    curves: Rows
    looks: Rows
    starts: Rows
    recipes: Rows
    collapses: Rows
    similarities: Rows
    environments: Rows
    findings: Rows
    pictures: Rows
    dose_counts: Rows
    visibility: Rows
    shortcuts: Rows
    provenance: Rows
    others: Mapping[str, Rows] = field(default_factory=dict[str, Rows])

    def of(self, table: Table) -> Rows:
        """Return the rows of a table."""
        return self.others[table.name] if table.name in self.others else getattr(self, table.name)

    @property
    def facts(self) -> Mapping[str, str]:
        """The provenance as key -> value."""
        return {row["key"]: row["value"] for row in self.provenance}

    @property
    def unit(self) -> str:
        """The unit of intervals in addition to seeds: `patients`, or `images` where no patient is counted anywhere."""
        named = any(whole(row, "patients") for row in self.environments) or not self.environments
        return "patients" if named else "images"


def read_tables(root: Path) -> Tables:
    """Load the tables of a run folder. Raises StoreError that names a table or column which is missing."""
    folder = RunFolder(root)
    found = {table.name: _checked(folder, table) for table in TABLES.values()}
    by_name = {one.name: found.pop(one.name) for one in fields(Tables) if one.name in found}
    return Tables(**by_name, others=found)


def _checked(folder: RunFolder, table: Table) -> Rows:
    rows, name = folder.table_by_column(table.name), table.name
    missing = [column for column in table.names if rows and column not in rows[0]]
    if missing:
        raise StoreError(
            f"table '{name}' of {folder.root} lacks the column{'s' if len(missing) > 1 else ''} {', '.join(missing)}: "
            f"run `assay report {folder.root}` to make the tables again"
        )
    return rows if table == SEEDS else tuple(rows)  # of seeds a page shows a few among hundreds of thousands


def coordinates(row: Row) -> Mapping[str, str]:
    """Axis -> label of the recipe that a row is about."""
    return mapping(row["coordinates"])


def mapping(text: Any) -> Mapping[str, str]:
    """A column that holds a JSON object, with its values as text; empty where it holds none."""
    return _read(text) if isinstance(text, str) and text else {}


@cache
def _read(text: str) -> Mapping[str, str]:
    """Cached, since thousands of rows hold the few texts of a study's recipes."""
    found: Any = json.loads(text)
    return MappingProxyType({str(key): str(value) for key, value in cast("Mapping[Any, Any]", found).items()})


def numeric(row: Row, name: str) -> float:
    """A number of a row; NaN where a column was written without any value."""
    value = row[name]
    return math.nan if value in ("", None) else float(value)


def whole(row: Row, name: str) -> int:
    """A count of a row; 0 where there is none."""
    value = numeric(row, name)
    return 0 if math.isnan(value) else int(value)


def distinct(values: Iterable[str]) -> list[str]:
    """Each value once, in order of appearance, without the empty one."""
    return [value for value in dict.fromkeys(values) if value]
