"""Old records are read by bringing them to the present schema, one version at a time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from assay.core.errors import StoreError
from assay.store.schema import SCHEMA_VERSION

Record = dict[str, Any]

STEPS: dict[int, Callable[[Record], Record]] = {}
"""Version -> the function that turns a record of that version into one of the next."""


def unversioned(record: Record) -> Record:
    """Return a record of a kind that had no version at first: without one it is of the first."""
    return {"schema": 1, **record} if isinstance(record, dict) else record  # pyright: ignore[reportUnnecessaryIsInstance]


def migrated(record: Record, path: Path, steps: dict[int, Callable[[Record], Record]] = STEPS) -> Record:
    """Return the record in the present schema.

    Raises:
        StoreError: If it was written by a later Assay, or has no version.
    """
    if not isinstance(record, dict):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise StoreError(f"{path} is damaged: it holds no record; restore it from a copy, or delete it and run again")
    version = record.get("schema")
    if not isinstance(version, int):
        raise StoreError(f"{path} has no schema version: it was not written by Assay")
    if version > SCHEMA_VERSION:
        raise StoreError(f"{path} has schema {version}, this Assay reads up to {SCHEMA_VERSION}: install a newer Assay")
    for step in range(version, SCHEMA_VERSION):
        if step not in steps:
            raise StoreError(f"{path} has schema {step}, which no Assay wrote: restore it from a copy")
        record = {**steps[step](record), "schema": step + 1}
    return record
