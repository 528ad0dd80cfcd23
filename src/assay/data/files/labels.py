"""Images of a folder joined with a table of labels: by file name, or by identifiers in headers of DICOM files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from assay.core.errors import DataError, SpecError, extra, key_text
from assay.data.files.joins import MatchedNames, Unmatched, image_files, match, outputs_in, require_matched
from assay.data.files.readers import holds_dicom
from assay.data.files.roles import MASKS, words_of
from assay.data.files.table import TextTable, require_contained, shown

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


def _require_named_once(read: TextTable, names: Sequence[str]) -> None:
    """Raise DataError where several rows have one name."""
    named = Counter(name for name in names if name.strip())
    if named.total() > len(named):
        again = named.most_common(1)[0][0]
        raise DataError(f"labels: {read.name} has several rows for {shown(again)}; give one per image")


def joined(
    folder: Path,
    read: TextTable,
    image: str = IMAGE,
    target: str = "",
    unmatched: Unmatched = "refuse",
    mask: str = "",
    links: bool = False,
) -> tuple[list[dict[str, str]], tuple[int, ...], tuple[str, ...]]:
    """Return a row per image of a folder that the table labels, with columns of DICOM headers, the table's lines that
    they come from, and sentences on what was left over or ignored in names.

    Identifiers of patients are replaced by numbers in the order of the files; they and dates reach no row.

    Args:
        folder: Its images, in any depth.
        read: A table with a row per image or, by `AccessionNumber`, per examination.
        image: The column of file names, with or without folders and endings; where the table has none, it is joined by
            one of `KEYS`.
        target: The column of classes, of which no more than of the others may be lost; none where empty.
        unmatched: Whether too many images without a label are refused, or left out.
        mask: The column of masks, if one is named. Files that it names, or a column called so, are no images.
        links: Whether headers are read of images that are links out of the folder.

    Raises:
        SpecError: The table has none of these columns, or an image is a link out of the folder.
        DataError: No image has a label, too many have none, or a name fits several images or has several labels.
        ExtraError: The library for DICOM is not installed.
    """
    key = next((name for name in (image, *KEYS) if name in read.header), None)
    if key is None:
        raise SpecError(
            f"labels: {read.name} has none of the columns {image}, {', '.join(KEYS)}; its columns are "
            f"{', '.join(read.header)}"
        )
    names = read.column(key, "labels")
    _require_named_once(read, names)
    every = image_files(folder, deep=True)[0]
    of_masks = [name for name in read.header if name != key and (name == mask or words_of(name) & MASKS)]
    masks = {cell for name in of_masks for cell in read.column(name, "labels")}
    paths = [path for path in every if not _is_mask(path, folder, masks, set(names))]
    for path in paths:
        require_contained(folder, str(path.relative_to(folder)), links)
    headers = [_dicom_attributes(path) for path in paths]
    files = [str(path.relative_to(folder)) for path in paths]
    keys = files if key == image else [str(header.get(key, "")) for header in headers]
    matched = _of_examinations(keys, names) if key == "AccessionNumber" else match(keys, names)
    matched = replace(matched, left=tuple(files))
    if not matched.pairs and not matched.rivals:
        raise DataError(
            f"labels: {read.name} labels no image of {folder}, by its column '{key}'; an example there is "
            f"{shown(names[0]) if names else 'missing'}: name another with "
            f"{key_text('--image', 'COLUMN')}"
        )
    classes = read.column(target, "labels") if target in read.header else ()
    sentences = require_matched(
        matched, read.name, unmatched=unmatched, row_classes=classes, lines=read.numbers, private=key != image
    )
    if len(paths) < len(every):
        sentences = (
            *sentences,
            f"{len(every) - len(paths):,} files are masks, as {' and '.join(of_masks)} says, and no images",
        )
    if key != IMAGE and IMAGE in read.header:
        sentences = (*sentences, f"the column {IMAGE} of {read.name} is not used, since {key} names the images")
    sentences = (*sentences, *outputs_in(folder))
    numbers: dict[str, str] = {}
    rows: list[dict[str, str]] = []
    for at, other in matched.pairs.items():
        cells = zip(read.header, read.rows[other], strict=True)
        row = {column: cell for column, cell in cells if column not in (key, *KEYS, IMAGE)}
        header = headers[at]
        columns = {column: _cell(column, str(header.get(attribute, ""))) for column, attribute in HEADERS.items()}
        who = str(header.get("PatientID", ""))
        number = numbers.setdefault(who, str(len(numbers) + 1)) if who else ""
        more = {column: cell for column, cell in {**columns, PATIENT: number}.items() if cell and column not in row}
        rows.append({IMAGE: files[at], **row, **more})
    columns_of = list(dict.fromkeys(column for row in rows for column in row))
    lines = tuple(read.numbers[other] for other in matched.pairs.values())
    return [{column: row.get(column, "") for column in columns_of} for row in rows], lines, sentences


def _is_mask(path: Path, folder: Path, masks: Collection[str], images: Collection[str]) -> bool:
    """Return whether a column of masks names a file, and no row is its own."""
    relative = str(path.relative_to(folder))
    return relative not in images and (relative in masks or (path.name in masks and path.name not in images))


def _of_examinations(keys: Sequence[str], names: Sequence[str]) -> MatchedNames:
    """Return files matched with rows of examinations, each of several files."""
    different = dict.fromkeys(keys)
    matched = match(tuple(different), names)
    row = {key: matched.pairs[at] for at, key in enumerate(different) if at in matched.pairs}
    return replace(matched, pairs={at: row[key] for at, key in enumerate(keys) if key in row})


def _dicom_attributes(path: Path) -> Mapping[str, object]:
    """Return the attributes of a DICOM header that are used; none of other files."""
    if not holds_dicom(path):
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
