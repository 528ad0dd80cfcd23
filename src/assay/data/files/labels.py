"""Images of a folder joined with a table of labels: by file name, or by identifiers in headers of DICOM files."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from assay.core.errors import DataError, SpecError, extra
from assay.data.files.masks import SUFFIXES
from assay.data.files.table import read_table, shown

IMAGE, PATIENT = "image", "patient"
"""Columns of the joined table."""
HEADERS: Mapping[str, str] = {
    "manufacturer": "Manufacturer",
    "model": "ManufacturerModelName",
    "station": "StationName",
    "view": "ViewPosition",
    "kvp": "KVP",
    "sex": "PatientSex",
    "age": "PatientAge",
    "year": "StudyDate",
}
"""Column -> the attribute of a DICOM header that it is made of."""
KEYS = ("SOPInstanceUID", "AccessionNumber")
"""Identifiers of DICOM by which labels may name an image, the first that the table has."""
_DICOM = (".dcm", ".dicom", "")


def joined(folder: Path, table: Path, image: str = IMAGE) -> list[dict[str, str]]:
    """Return a row per image of a folder that the table labels, with columns of DICOM headers.

    Identifiers of patients are replaced by numbers in the order of the files; they and dates reach no row.

    Args:
        folder: Its images, in any depth.
        table: A CSV with a row per image or, by `AccessionNumber`, per examination.
        image: The column of file names, with or without folders and endings; where the table has none, it is joined by
            one of `KEYS`.

    Raises:
        SpecError: The table has none of these columns.
        DataError: No image has a label, or a name fits several images or has several labels.
        ExtraError: The library for DICOM is not installed.
    """
    read = read_table(table, image)
    key = next((name for name in (image, *KEYS) if name in read.header), None)
    if key is None:
        raise SpecError(f"labels: {table.name} has none of the columns {image}, {', '.join(KEYS)}; its columns are "
                        f"{', '.join(read.header)}")  # fmt: skip
    names = read.column(key, "labels")
    if len(set(names)) < len(names):
        again = next(name for name in names if names.count(name) > 1)
        raise DataError(f"labels: {table.name} has several rows for {shown(again)}; give one per image")
    rows = dict(zip(names, read.rows, strict=True))
    numbers: dict[str, str] = {}
    found: list[dict[str, str]] = []
    taken: dict[str, str] = {}
    for path in _files(folder):
        header = _header(path)
        relative = str(path.relative_to(folder))
        own = [relative, path.name, path.stem] if key == image else [str(header.get(key, ""))]
        name = next((one for one in own if one in rows), None)
        if name is None:
            continue
        if key != "AccessionNumber" and taken.setdefault(name, relative) != relative:
            raise DataError(f"labels: {shown(name)} of {table.name} fits {shown(taken[name])} and {shown(relative)}")
        row = {column: cell for column, cell in zip(read.header, rows[name], strict=True) if column not in (key, *KEYS)}
        columns = {column: _cell(column, str(header.get(attribute, ""))) for column, attribute in HEADERS.items()}
        who = str(header.get("PatientID", ""))
        number = numbers.setdefault(who, str(len(numbers) + 1)) if who else ""
        more = {column: cell for column, cell in {**columns, PATIENT: number}.items() if cell and column not in row}
        found.append({IMAGE: relative, **row, **more})
    if not found:
        raise DataError(f"labels: {table.name} labels no image of {folder}, by its column '{key}'; an example there is "
                        f"{shown(names[0]) if names else 'missing'}")  # fmt: skip
    every = list(dict.fromkeys(column for row in found for column in row))
    return [{column: row.get(column, "") for column in every} for row in found]


def _files(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(place) / name
            if path.suffix.lower() in SUFFIXES or (not path.suffix and _is_dicom(path)):
                yield path


def _is_dicom(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def _header(path: Path) -> Mapping[str, object]:
    """Return the attributes of a DICOM header that are used; none of other files."""
    if path.suffix.lower() not in _DICOM or not _is_dicom(path):
        return {}
    with extra("medical"):
        from assay.data.files.formats import dicom_attributes
    return dicom_attributes(path, (*KEYS, "PatientID", *HEADERS.values()))


def _cell(column: str, value: str) -> str:
    """Return a header's value as a cell: an age in years, a date as its year."""
    if column == "year":
        return value[:4]
    if column == "age" and value:
        years = {"Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}.get(value[-1:], 0.0)
        return f"{float(value[:-1]) * years:.4g}" if years and value[:-1].isdigit() else ""
    return value.strip()
