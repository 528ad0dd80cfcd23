"""The description of the data of a run, stored in its folder so that tables and page can be made without the data."""

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
from assay.store.files import ALTERED, REMAKE_FILE, Row, read_checked_json, write_checked_json
from assay.store.folder import RunFolder
from assay.store.migrations import migrate
from assay.store.schema import SCHEMA_VERSION

DESCRIPTION = "described.json"


def _from_json(rows: Sequence[Row]) -> list[Row]:
    return [{name: math.nan if value is None else value for name, value in row.items()} for row in rows]


def _to_json(rows: Sequence[Row]) -> list[Row]:
    """Return rows of plain Python values, in which NaN becomes null when they are written."""
    return [
        {name: value.item() if isinstance(value, np.generic) else value for name, value in row.items()} for row in rows
    ]


def _to_reason(reason: str | Reason) -> Reason:
    return parse_reason(reason) if isinstance(reason, str) else reason


Rows = Annotated[Sequence[Any], BeforeValidator(_from_json), PlainSerializer(_to_json)]
StoredReason = Annotated[Reason, BeforeValidator(_to_reason), PlainSerializer(str)]


class DataDescription(BaseModel):
    """What tables and page need to know of the images.

    Attributes:
        request: Id of the request that it was made for; empty of a study, which has only one description.
        environments: Rows of `data_tables.ENVIRONMENTS`.
        pictures: Rows of `schema.PICTURES`.
        facts: Provenance of the data.
        cautions: Reasons such as leakage, or properties that an environment could not have.
        files: Name of a picture -> its hash.
    """

    model_config = ConfigDict(frozen=True)

    request: str = ""
    environments: Rows
    pictures: Rows
    facts: Mapping[str, str]
    cautions: tuple[StoredReason, ...]
    files: Mapping[str, str] = {}


def write_description(folder: RunFolder, description: DataDescription) -> None:
    """Write a description to the run folder, with the hashes of its pictures."""
    files = {path.name: sha256(path) for path in _picture_paths(folder, description.pictures)}
    values = description.model_copy(update={"files": files}).model_dump()
    write_checked_json(folder.root / DESCRIPTION, {"schema": SCHEMA_VERSION, **values}, sort_keys=False)


DescriptionT = TypeVar("DescriptionT", bound=DataDescription)


def read_description(folder: RunFolder, kind: type[DescriptionT]) -> DescriptionT:
    """Read the description that the last finished run stored.

    Args:
        folder: The run folder.
        kind: Class of the description.

    Raises:
        StoreError: There is none, or a picture was altered.
    """
    path = folder.root / DESCRIPTION
    if not path.is_file():
        raise StoreError(f"{folder.root} holds no {DESCRIPTION}: no run ended here; run the study again with its spec")
    description = kind.model_validate(migrate(read_checked_json(path), path))
    for picture in _picture_paths(folder, description.pictures):
        if picture.name in description.files and sha256(picture) != description.files[picture.name]:
            raise StoreError(f"cannot read {picture}: {ALTERED}; {REMAKE_FILE}")
    return description


def _picture_paths(folder: RunFolder, rows: Sequence[Row]) -> list[Path]:
    """Return the paths of the pictures of these rows that exist; the page reports missing ones."""
    names = sorted({Path(row["file"]).name for row in rows})
    return [path for name in names if (path := folder.root / "pictures" / name).is_file()]
