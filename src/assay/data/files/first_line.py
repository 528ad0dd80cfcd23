"""The first line of a table: the names of its columns, or a title or a row where no line names them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import PurePath

from assay.core.errors import shorten
from assay.core.tables import Text, one_line

ENDINGS = (
    "png", "jpg", "jpeg", "jpe", "jfif", "tif", "tiff", "gif", "bmp", "webp", "jp2", "j2k", "dcm", "dicom", "ima",
    "nii", "npy", "mha", "mhd", "nrrd",
    "heic", "heif", "avif", "jxl", "jpf", "jpx", "tga", "pgm", "ppm", "pnm", "psd", "dng",
    "svs", "ndpi", "mrxs", "scn", "vms", "bif", "czi", "lif", "nd2", "vsi",
)  # fmt: skip
"""Endings of images, those that Assay cannot read too: such a file is refused, and not passed over. What follows
another point, as in a UID, is part of the name."""
_FIRST_ROWS = 50
"""Rows that are looked at to see whether the first line is one of them."""
_USUAL_NAMES = frozenset({
    "image", "images", "img", "file", "filename", "path", "mask", "label", "labels", "class", "target", "diagnosis",
    "dx", "id", "patient", "patient_id", "subject", "score", "split", "fold", "sex", "gender", "age", "site",
})  # fmt: skip
"""Names of columns that show that the first line is a header."""
_NUMBER = re.compile(r"[-+]?(\d+([.,]\d*)?|[.,]\d+)([eE][-+]?\d+)?%?")


def fault_of_first_line(header: Sequence[str], text: Text) -> str:
    """Return why the first line of a table names no columns, and what to write; empty where it may name them.

    Args:
        header: The cells of the line.
        text: The table.
    """
    rows = [line.cells for line in islice(text.rows(), 1, 1 + _FIRST_ROWS) if len(line.cells) >= len(header)]
    columns = [[one_line(row[at]).replace("\\", "/") for row in rows if row[at].strip()] for at in range(len(header))]
    of_files = [at for at, name in enumerate(header) if _is_name_of_image(name, columns[at])]
    names = {name.casefold() for name in header} | {PurePath(header[at]).stem.casefold() for at in of_files}
    below = {word.casefold() for cells in columns for cell in cells for word in (cell, PurePath(cell).stem)}
    is_named = bool((names & _USUAL_NAMES) - below)
    if of_files and not (is_named and not any(map(_is_written_number, header))):
        return f"names a file as those below do. {_line_above(header, columns, of_files[0])}"
    if not is_named and _is_row(header, columns):
        return f"looks like those below. {_line_above(header, columns)}"
    if _is_title(header, text):
        return "seems to be a title or a row: write the names of columns there"
    return ""


def _is_title(header: Sequence[str], text: Text) -> bool:
    """Return whether the line is a title, a comment or a row of numbers."""
    lines = islice(text.rows(), 1, None) if sum(map(bool, header)) == 1 else ()
    filled = [sum(map(bool, line.cells)) for line in lines if any(line.cells)]
    numbers = [cell for cell in header if _is_written_number(cell)]
    is_row = len(numbers) > 1 and "." in "".join(numbers)
    is_comment = header[0].startswith("#") and len(header[0].split()) > 1
    return is_row or is_comment or 2 * sum(count > 1 for count in filled) > len(filled)


def _is_row(header: Sequence[str], columns: Sequence[Sequence[str]]) -> bool:
    """Return whether each cell is of the kind of those below it, and one is surely a value.

    A value occurs below, or is a text with digits as those below: `p001` above `p002`. Numbers alone show nothing,
    since they may name columns. A text above numbers names them.
    """
    surely, others = 0, 0
    for name, cells in zip(header, columns, strict=True):
        if not name or not cells:
            continue
        are_numbers = 2 * sum(map(_is_written_number, cells)) > len(cells)
        if are_numbers and not _is_written_number(name):
            return False
        if not are_numbers:
            is_value = name in cells or (
                any(map(str.isdigit, name)) and _digits_alike(name) in map(_digits_alike, cells)
            )
            surely, others = surely + is_value, others + (not is_value)
    has_numbers = any(map(_is_written_number, header))
    return surely > 0 and (has_numbers or (not others and surely > 1))


def _digits_alike(cell: str) -> str:
    """Return a text in which all whole numbers are alike."""
    return re.sub(r"\d+", "9", cell)


def _is_written_number(cell: str) -> bool:
    return _NUMBER.fullmatch(cell) is not None


def _is_share(cell: str) -> bool:
    return _is_written_number(cell) and 0 <= float(cell.rstrip("%").replace(",", ".")) <= 1


def _line_above(header: Sequence[str], columns: Sequence[Sequence[str]], image: int | None = None) -> str:
    """Return what to write above the first line, with usual names where the cells show them."""
    usual: dict[int, str] = {} if image is None else {image: "image"}
    for at, cells in enumerate(columns):
        values = {header[at], *cells}
        fits: Mapping[str, bool] = {
            "score": all(map(_is_share, values)) and any("." in value for value in values),
            "target": len(values) == 2 < len(cells),
            "image": len(values) > len(cells) and not any(map(_is_written_number, values)),
        }
        name = next((name for name, is_fit in fits.items() if is_fit and name not in usual.values()), "")
        usual.setdefault(at, name or f"column{at + 1}")
    line = ",".join(usual[at] for at in range(len(header)))
    return f"Put a line with the names of columns above it, such as {shorten(line, 80)}"


def _is_name_of_image(name: str, below: Sequence[str]) -> bool:
    """Return whether a cell and all those below it are names of image files, or paths of one folder."""
    path = name.replace("\\", "/")
    folder = path.partition("/")[0]
    in_folder = "/" in path and any(cell.startswith(f"{folder}/") for cell in below)
    files = [PurePath(cell.casefold().removesuffix(".gz")).suffix[1:] in ENDINGS for cell in (path, *below)]
    return bool(below) and (all("/" in cell for cell in below) if in_folder else all(files))
