"""Records of another schema are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from assay.core.errors import StoreError
from assay.core.files import is_file
from assay.store.schema import SCHEMA_VERSION

Record = dict[str, Any]


def refuse_earlier(root: Path) -> None:
    """Raises StoreError for a run folder of an earlier layout, which an earlier Assay wrote."""
    if any(is_file(root / name) for name in ("study.json", "request.json", "audit.json")):
        raise StoreError(f"{root} was written by an earlier Assay: run it again in another folder")


def without_version(record: Record) -> Record:
    """Return a record of a kind that had no version at first: without one it is of the first."""
    return {"schema": 1, **record} if isinstance(record, dict) else record  # pyright: ignore[reportUnnecessaryIsInstance]


def migrate(record: Record, path: Path) -> Record:
    """Return the record, which is of the present schema: there is no earlier one that an Assay wrote.

    Raises:
        StoreError: If it was written by a later Assay, or has no version or another one.
    """
    if not isinstance(record, dict):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise StoreError(f"{path} is damaged: it holds no record; restore it from a copy, or delete it and run again")
    version = record.get("schema")
    if not isinstance(version, int):
        raise StoreError(f"{path} has no schema version: it was not written by Assay")
    if version > SCHEMA_VERSION:
        raise StoreError(f"{path} has schema {version}, this Assay reads up to {SCHEMA_VERSION}: install a newer Assay")
    if version < SCHEMA_VERSION:
        raise StoreError(f"{path} has schema {version}, which no Assay wrote: restore it from a copy")
    return record
