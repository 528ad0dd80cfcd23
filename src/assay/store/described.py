"""Descriptions of the data of a run, stored so that its tables can be made without the data."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer

from assay.core.errors import StoreError
from assay.core.files import sha256
from assay.core.reasons import Reason, parse_reason
from assay.store.files import ALTERED, REMADE, Row, read_checked_json, write_checked_json
from assay.store.folder import RunFolder
from assay.store.migrations import migrate
from assay.store.schema import SCHEMA_VERSION

DESCRIBED = "described.json"


def _from_json(rows: Sequence[Row]) -> list[Row]:
    return [{name: math.nan if value is None else value for name, value in row.items()} for row in rows]


def _to_json(rows: Sequence[Row]) -> list[Row]:
    """Rows of plain Python values; NaN becomes null when they are written."""
    return [
        {name: value.item() if isinstance(value, np.generic) else value for name, value in row.items()} for row in rows
    ]


def _reason(reason: str | Reason) -> Reason:
    return parse_reason(reason) if isinstance(reason, str) else reason


Rows = Annotated[Sequence[Any], BeforeValidator(_from_json), PlainSerializer(_to_json)]
StoredReason = Annotated[Reason, BeforeValidator(_reason), PlainSerializer(str)]


class DataDescription(BaseModel):
    """What tables and page need of the images, so that they can be made without the data.

    Attributes:
        request: What it is a description for; empty of a study, which keeps its last one.
        environments: Rows of `data_tables.ENVIRONMENTS`.
        pictures: Rows of `schema.PICTURES`.
        facts: The provenance of the data.
        cautions: Such as leakage, and properties that an environment could not have.
        files: Name of a drawn picture -> its hash.
    """

    model_config = ConfigDict(frozen=True)

    request: str = ""
    environments: Rows
    pictures: Rows
    facts: Mapping[str, str]
    cautions: tuple[StoredReason, ...]
    files: Mapping[str, str] = {}


def keep(folder: RunFolder, described: DataDescription) -> None:
    """Write it to the run folder, with the hashes of its pictures."""
    files = {path.name: sha256(path) for path in _picture_paths(folder, described.pictures)}
    values = described.model_copy(update={"files": files}).model_dump()
    write_checked_json(folder.root / DESCRIBED, {"schema": SCHEMA_VERSION, **values}, sort_keys=False)


Kind = TypeVar("Kind", bound=DataDescription)


def read_description(folder: RunFolder, kind: type[Kind]) -> Kind:
    """Read the description that the last finished run stored.

    Raises:
        StoreError: There is none, or a picture was altered.
    """
    path = folder.root / DESCRIBED
    if not path.is_file():
        raise StoreError(f"{folder.root} holds no {DESCRIBED}: no run ended here; run the study again with its spec")
    description = kind.model_validate(migrate(read_checked_json(path), path))
    for picture in _picture_paths(folder, description.pictures):
        if picture.name in description.files and sha256(picture) != description.files[picture.name]:
            raise StoreError(f"cannot read {picture}: {ALTERED}; {REMADE}")
    return description


def _picture_paths(folder: RunFolder, rows: Sequence[Row]) -> list[Path]:
    """Paths of the pictures of these rows, without those that are missing, which the page reports."""
    names = sorted({Path(row["file"]).name for row in rows})
    return [path for name in names if (path := folder.root / "pictures" / name).is_file()]
