"""What a page is made of: the tables of a run folder, read once and checked for their columns."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

from assay.core.errors import StoreError
from assay.store import schema
from assay.store.files import Row
from assay.store.folder import RunFolder

Rows = tuple[Row, ...]


@dataclass(frozen=True)
class Tables:
    """Every table of a run folder, as rows. See `store.schema` for their columns."""

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
    starts: Rows
    recipes: Rows
    collapses: Rows
    similarities: Rows
    environments: Rows
    sentences: Rows
    pictures: Rows
    dose_counts: Rows
    visibility: Rows
    shortcuts: Rows
    provenance: Rows

    @property
    def facts(self) -> Mapping[str, str]:
        """The provenance as key -> value."""
        return {row["key"]: row["value"] for row in self.provenance}

    @property
    def unit(self) -> str:
        """The unit of intervals beside seeds: `patients`, or `images` where no patient is counted anywhere."""
        named = any(whole(row, "patients") for row in self.environments) or not self.environments
        return "patients" if named else "images"


def read_tables(root: Path) -> Tables:
    """The tables of a run folder. Raises StoreError that names a table or column which is missing."""
    folder = RunFolder(root)
    return Tables(**{field.name: _checked(folder, field.name) for field in fields(Tables)})


def _checked(folder: RunFolder, name: str) -> Rows:
    rows = folder.table(name)
    expected: Sequence[str] = getattr(schema, name.upper())
    missing = [column for column in expected if rows and column not in rows[0]]
    if missing:
        raise StoreError(
            f"table '{name}' of {folder.root} lacks the column{'s' if len(missing) > 1 else ''} {', '.join(missing)}: "
            f"run `assay report {folder.root}` to make the tables anew"
        )
    return tuple(rows)


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
