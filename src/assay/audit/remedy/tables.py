"""Rows of the original table of images, for tables of a remedy."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from assay.core.files import fill_names
from assay.core.types import FactorTable
from assay.data.files.folder import pasted
from assay.data.files.in_memory import on_disk
from assay.data.files.load import listing_of, names_of
from assay.data.files.table import expand, read_table
from assay.spec.data import is_coco
from assay.spec.schema import DataSpec
from assay.store.files import write_text


def has_table(data: DataSpec) -> bool:
    """Return whether images are listed in a CSV."""
    return bool(data.folder and data.table) and not is_coco(data)


def rows_by_number(data: DataSpec, numbers: Sequence[int]) -> pd.DataFrame:
    """Return rows of the original table, by their numbers there."""
    path = expand(data.folder, "data.folder")
    return pasted(path, path / data.table, data).frame.loc[list(numbers)].copy()


def image_table(data: DataSpec, images: FactorTable) -> pd.DataFrame:
    """Return the rows of images in the original table; of images without one, their file, class and patient."""
    assert images.places is not None
    rows: list[int] = images.row.tolist()
    numbers = [images.places.numbers[row] for row in rows]
    if has_table(data):
        return rows_by_number(data, numbers)
    names = names_of(data)
    columns: dict[str, Any] = {
        data.image: [names.get(number, "") for number in numbers],
        data.target: [images.classes[code] for code in images.target.tolist()],
    }
    return pd.DataFrame({**columns, **({data.patient: images.patient} if data.patient else {})})


def real_paths(data: DataSpec, images: FactorTable | None = None) -> list[str]:
    """Return the real path of each image; of all that are listed where `images` is None."""
    paths = listing_of(data).frame["image"]
    if images is not None:
        assert images.places is not None
        rows: list[int] = images.row.tolist()
        paths = paths.loc[[images.places.numbers[row] for row in rows]]
    return [os.path.realpath(str(path)) for path in paths]


def balanced_columns(data: Mapping[str, Any], train: Mapping[str, Any] | None) -> tuple[str, ...]:
    """Return the audited columns that can be balanced: those that the table of the training images has, if given."""
    source = on_disk(data if train is None else train)
    keys = {name: source[name] for name in ("folder", "table") if name in source}
    if not has_table(place := DataSpec(**keys)):
        return ()
    path = fill_names(place.folder) / place.table
    image = str(source.get("image", "image"))
    header = read_table(path, image).header if path.is_file() else ()
    return tuple(name for name in data.get("factors", {}) if name in header and image in header)


def write_frame(path: Path, rows: pd.DataFrame) -> None:
    """Write a CSV."""
    write_text(path, rows.to_csv(index=False, lineterminator="\n"))
