"""The one place that knows pydicom as a CT reader: headers of slices, and Hounsfield units."""

# pydicom is partly untyped: unknown types are let through in this adapter alone.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from assay.core.errors import extra
from assay.data.cache import ArrayCache
from assay.data.files.decode import remembered
from assay.data.files.table import Unreadable

with extra("medical"):
    import pydicom
    from pydicom.multival import MultiValue
    from pydicom.pixels.processing import apply_modality_lut
    from pydicom.pixels.utils import pixel_array

VERSION = 1
"""Rises when the same file yields another header."""
_TAGS = (
    "SOPInstanceUID", "SeriesInstanceUID", "PatientID", "PixelSpacing", "SliceThickness", "ConvolutionKernel",
    "Manufacturer",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class SliceHeader:
    """Header of a slice; NaN and empty text for missing values."""

    uid: str
    series: str
    patient: str
    row_mm: float
    column_mm: float
    thickness: float
    kernel: str
    manufacturer: str


def headers_of(folder: Path, names: Sequence[str], cache: ArrayCache) -> dict[str, SliceHeader]:
    """Return file name -> header, for the DICOM files of a folder. Unchanged files are not read again."""
    headers = remembered("ct", VERSION, folder, names, _read_header, cache)
    return {name: SliceHeader(**value) for name, value in zip(names, headers, strict=True) if value is not None}


def _read_header(path: Path) -> dict[str, Any] | None:
    try:
        dataset = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(_TAGS))
    except Exception:  # a decoder raises almost anything on a damaged file; the file is then no slice
        return None
    row_mm, column_mm = _decimal_values(dataset, "PixelSpacing", 2)
    (thickness,) = _decimal_values(dataset, "SliceThickness", 1)
    header = SliceHeader(
        uid=str(dataset.get("SOPInstanceUID", "")),
        series=str(dataset.get("SeriesInstanceUID", "")),
        patient=str(dataset.get("PatientID", "") or "").strip(),
        row_mm=row_mm,
        column_mm=column_mm,
        thickness=thickness,
        kernel=_join_values(dataset.get("ConvolutionKernel")),
        manufacturer=_join_values(dataset.get("Manufacturer")),
    )
    return asdict(header)


def _decimal_values(dataset: pydicom.Dataset, name: str, count: int) -> tuple[float, ...]:
    """So many numbers, or as many NaN where the header holds others, or none; it is decoded only when it is asked."""
    try:
        value = dataset.get(name)
        parts = list(value) if isinstance(value, (list, tuple, MultiValue)) else [value]
        numbers = tuple(float(part) for part in parts)
    except (ValueError, TypeError):
        numbers = ()
    return numbers if len(numbers) == count else (np.nan,) * count


def _join_values(value: Any) -> str:
    """Text of one or several values."""
    parts = value if isinstance(value, (list, tuple, MultiValue)) else [value or ""]
    return "/".join(str(part).strip() for part in parts)


def hounsfield(path: Path) -> np.ndarray:
    """The pixels of a CT slice in HU, float32 [h, w]. Raises Unreadable for a damaged file or more than one frame."""
    try:
        dataset = pydicom.dcmread(path)
        values = np.asarray(apply_modality_lut(pixel_array(dataset), dataset), dtype=np.float32)
    except Exception as error:  # see _header
        raise Unreadable("the slice is damaged or cut short", "download the series again") from error
    if values.ndim != 2:
        raise Unreadable("the slice holds several frames", "download the series again")
    return values
