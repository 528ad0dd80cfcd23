"""Open a study as it is written: its `data` may be a path alone, and its factors names alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from assay.core.errors import DataError, SpecError, as_written
from assay.core.files import fill_names, is_file, is_folder
from assay.core.request import field_of
from assay.spec.document import Document, mapping_of, plain
from assay.spec.parse import read_study


def read_document(source: Path | str | Mapping[str, Any]) -> Document:
    """Read a study as it is written, with what its table says of columns that it does not name.

    Raises:
        SpecError: The study cannot be read, no column is surely the target, or one is missing.
    """
    document = read_study(source)
    value = document.values.get("data")
    given_values = {**(mapping_of(value) or {})}
    path = fill_names(value, document.folder) if isinstance(value, str) and value else None
    if not isinstance(given_values.get("factors"), list) and not (path and (is_file(path) or is_folder(path))):
        return document  # the usual case, without the libraries that read images
    from assay.data.files.request import data_of

    if given_values.get("folder"):
        given_values["folder"] = str(fill_names(given_values["folder"], document.folder))
    try:
        read = data_of(path or given_values)
    except (SpecError, DataError) as error:
        error.spell = _as_key
        location = document.location(("data",))
        raise SpecError(f"{location}{': ' if location else ''}data: {error}") from error
    return replace(document, values={**document.values, "data": plain(read.data)})


def _as_key(name: str, value: str) -> str:
    """Spell a key of an error as one of a study: `data.target` for `--target`."""
    return as_written(f"data.{field_of(name)}" if name.startswith("--") else name, value)
