"""Read TIFF, DICOM and NIfTI files through libraries without types."""

from __future__ import annotations

import gzip
import io
import lzma
import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from assay.core.errors import DataError, extra
from assay.data.files.pictures import Header, Picture, Used, finite, limits, scaled, stored
from assay.data.files.table import Unreadable

with extra("medical"):
    import nibabel
    import pydicom
    import tifffile
    from pydicom.filereader import read_dataset
    from pydicom.pixels.processing import apply_color_lut, apply_modality_lut, apply_voi_lut, apply_windowing
    from pydicom.pixels.utils import pixel_array
    from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

# Packed data is unpacked no further than the size that the file's own header gives.

_SPARE = 1 << 24
"""Bytes allowed for headers, and for padding behind pixels."""
_NIFTI_HEADER = 540
"""Bytes of the longest fixed header, that of NIfTI-2."""
_PAGES = 1000
_ONE_FRAME = "save the one frame that is meant as a file of its own"


def _check_pixels(count: int) -> None:
    """Raise Unreadable for an image of more pixels than Pillow allows."""
    if count > (Image.MAX_IMAGE_PIXELS or math.inf):
        raise Unreadable(f"its header says {count:,} pixels", "save a smaller version")


def _too_long() -> Unreadable:
    return Unreadable("it unpacks to more than its header says (a decompression bomb?)", "copy or export it again")


# The one place that knows pydicom and nibabel: single DICOM images and NIfTI slices.

# Both are partly untyped: unknown types are let through in this adapter alone.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportAttributeAccessIssue=false


def dicom_header(data: bytes) -> Header:
    """Size and kind of a DICOM image, without its pixels."""
    dataset = pydicom.dcmread(io.BytesIO(_inflated(data, _SPARE)[0]), stop_before_pixels=True)
    if "Rows" not in dataset or "Columns" not in dataset:
        raise Unreadable("this DICOM file holds no image", "name the image object, not a report or a presentation")
    color = int(dataset.get("SamplesPerPixel", 1)) > 1 or "PALETTE" in str(dataset.PhotometricInterpretation)
    frames = int(dataset.get("NumberOfFrames", 1) or 1)
    return Header(int(dataset.Columns), int(dataset.Rows), not color, frames)


def dicom_attributes(path: Path, names: Sequence[str]) -> dict[str, str]:
    """Return attributes of a DICOM header by keyword, those that are there."""
    try:
        dataset = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(names))
    except (pydicom.errors.InvalidDicomError, OSError, ValueError) as error:
        raise DataError(f"{path.name} cannot be read as DICOM: {error}") from error
    return {name: str(dataset.get(name)) for name in names if dataset.get(name) not in (None, "")}


def dicom_pixels(data: bytes, mask: bool, size: int) -> Picture:
    """Pixels of a DICOM image as a radiologist first sees it; a mask as its stored values.

    Gray: rescale slope and intercept (or modality LUT), then the first VOI window or LUT, else the whole range that the
    stored bits can take, or a set's common range where these are 16; MONOCHROME1 is inverted; 16 bit. Color: RGB, 8
    bit.
    """
    dataset = pydicom.dcmread(io.BytesIO(_bounded(data)))
    values = pixel_array(dataset)  # YBR comes as RGB
    if values.ndim > (3 if int(dataset.SamplesPerPixel) > 1 else 2):
        raise Unreadable(f"it holds the pixels of {len(values)} frames", _ONE_FRAME)
    photometric = str(dataset.PhotometricInterpretation)
    if photometric == "PALETTE COLOR":
        values = apply_color_lut(values, dataset)
        return Picture((values >> 8).astype(np.uint8) if values.dtype == np.uint16 else values)
    if values.ndim == 3:
        return Picture(stored(values))
    if mask:
        return Picture(values > 0 if int(values.max()) <= 1 else stored(values))
    gray = _windowed(values, dataset)
    if photometric != "MONOCHROME1":
        return gray
    used = gray.used and replace(gray.used, inverted=not gray.used.inverted)
    return replace(gray, pixels=np.uint16(65535) - gray.pixels, used=used)


def _bounded(data: bytes) -> bytes:
    """Return a DICOM file without deflation. Raises Unreadable when it holds more than the image that its header
    describes.
    """
    start, complete = _inflated(data, _SPARE)
    if complete:
        return start
    header = pydicom.dcmread(io.BytesIO(start), stop_before_pixels=True)
    count = int(header.Rows) * int(header.Columns)
    _check_pixels(count)
    whole, complete = _inflated(data, _SPARE + count * int(header.SamplesPerPixel) * int(header.BitsAllocated) // 8)
    if not complete:
        raise _too_long()
    return whole


def _inflated(data: bytes, most: int) -> tuple[bytes, bool]:
    """Return a DICOM file without deflation (PS3.5, A.5), at most `most` bytes of its content, and whether that is all
    of it.

    Files in other transfer syntaxes are returned as they are.
    """
    file = io.BytesIO(data)
    file.seek(132)
    meta = read_dataset(
        file, is_implicit_VR=False, is_little_endian=True, stop_when=lambda tag, vr, length: tag.group != 2
    )
    if str(meta.get("TransferSyntaxUID", "")) != DeflatedExplicitVRLittleEndian:
        return data, True
    plain = ExplicitVRLittleEndian.encode().ljust(len(DeflatedExplicitVRLittleEndian), b"\0")
    head = data[: file.tell()].replace(DeflatedExplicitVRLittleEndian.encode(), plain)
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
    content = unpacker.decompress(data[file.tell() :], most)
    return head + content, not unpacker.unconsumed_tail


def _windowed(values: np.ndarray, dataset: Any) -> Picture:
    """Gray values as uint16 over the range that the display transform can give."""
    rescaled = np.asarray(apply_modality_lut(values, dataset), dtype=np.float64)
    if "VOILUTSequence" in dataset:
        shown = np.asarray(apply_voi_lut(rescaled.astype(np.int64), dataset), dtype=np.float64)
        return _over(shown, 0.0, 2.0 ** int(dataset.VOILUTSequence[0].LUTDescriptor[2]) - 1)
    bits, slope = int(dataset.BitsStored), float(dataset.get("RescaleSlope", 1))
    ends = np.array(limits(bits, bool(dataset.PixelRepresentation)), dtype=np.float64)
    low, high = (ends * slope + float(dataset.get("RescaleIntercept", 0))).tolist()
    if "ModalityLUTSequence" in dataset:
        low, high = 0.0, 2.0 ** int(dataset.ModalityLUTSequence[0].LUTDescriptor[2]) - 1
    if "WindowCenter" in dataset and dataset.WindowCenter not in (None, ""):
        center, width = _first(dataset.WindowCenter), _first(dataset.WindowWidth)
        shown = (apply_windowing(rescaled, dataset) - low) / (high - low)
        return Picture(scaled(shown, 0.0, 1.0), range=(center - width / 2, center + width / 2))
    shown = _over(rescaled, *sorted((low, high)))
    declared = bits != 16 or not slope or "ModalityLUTSequence" in dataset
    return shown if declared else replace(shown, used=_used(values, slope, dataset))


def _over(values: np.ndarray, low: float, high: float) -> Picture:
    return Picture(scaled(values, low, high), range=(low, high))


def _used(values: np.ndarray, slope: float, dataset: Any) -> Used:
    """Stored values of a DICOM image, without those that its header declares as padding (PS3.3, C.7.5.1.1.2)."""
    padding = dataset.get("PixelPaddingValue")
    if padding is not None:
        first, last = sorted((int(padding), int(dataset.get("PixelPaddingRangeLimit", padding))))
        inside = values[(values < first) | (values > last)]
        values = inside if inside.size else values
    signed = bool(dataset.PixelRepresentation)
    return Used(int(values.min()) if signed else 0, int(values.max()), signed, slope < 0)


def _first(value: Any) -> float:
    return float(value[0]) if isinstance(value, (list, tuple, pydicom.multival.MultiValue)) else float(value)


def nifti_header(data: bytes) -> Header:
    """Size and kind of a NIfTI slice. Axes of length 1 are dropped; two must remain.

    Raises Unreadable for a volume: 3-D images are not built yet, and no slice is chosen for the user.
    """
    with _nifti_file(data) as file:
        _, header = _nifti_start(file)
    shape = tuple(int(length) for length in header.get_data_shape() if length != 1)
    if len(shape) != 2:
        text = " x ".join(str(length) for length in header.get_data_shape())
        raise Unreadable(f"it is a volume of {text}; 3-D images are not built yet", "export one slice a file")
    rescaled = header.get_slope_inter() not in ((None, None), (1.0, 0.0))
    return Header(shape[0], shape[1], header.get_data_dtype() != np.uint8 or rescaled)


def nifti_pixels(data: bytes, mask: bool, size: int) -> Picture:
    """Pixels of a NIfTI slice; a mask as its stored values.

    The first axis runs to the right and the second upwards, as in a RAS slice seen from below. 8-bit values without a
    scale stay; others span cal_min to cal_max where the header gives them, else the slice's own minimum to maximum,
    which is noted since it loses equality between files.
    """
    image = _nifti(data)
    values = np.squeeze(np.asarray(image.dataobj)).T[::-1]
    finite(values)
    if mask and float(values.max()) <= 1 and float(values.min()) >= 0:
        return Picture(values > 0.5)
    if image.get_data_dtype() == np.uint8 and not _rescaled(image):
        return Picture(np.ascontiguousarray(values.astype(np.uint8)))
    if mask:
        return Picture(stored(np.clip(values, -1, 65536).astype(np.int64)))  # values outside are refused later
    low, high = float(image.header["cal_min"]), float(image.header["cal_max"])
    if high > low:
        return _over(values, low, high)
    note = "a NIfTI slice without cal_min and cal_max was scaled from its own minimum to its maximum"
    return replace(_over(values, float(values.min()), float(values.max())), notes=(note,))


def _nifti(data: bytes) -> Any:
    """Return the image, unpacked no further than its header says."""
    with _nifti_file(data) as file:
        kind, header = _nifti_start(file)
        count = math.prod(int(length) for length in header.get_data_shape())
        _check_pixels(count)
        most = _SPARE + count * header.get_data_dtype().itemsize
        file.seek(0)
        raw = file.read(most + 1)
    if len(raw) > most:
        raise _too_long()
    return kind.from_bytes(raw)


def _nifti_file(data: bytes) -> Any:
    file = io.BytesIO(data)
    return gzip.GzipFile(fileobj=file) if data[:2] == b"\x1f\x8b" else file


def _nifti_start(file: Any) -> tuple[Any, Any]:
    """Read the fixed part of a NIfTI header, and nothing behind it.

    Returns:
        The image class, NIfTI-1 or NIfTI-2, and the header without its extensions.

    Raises:
        Unreadable: If extensions would take more than `_SPARE` bytes.
    """
    block = file.read(_NIFTI_HEADER)
    kind = nibabel.Nifti2Image if block[4:8] == b"n+2\0" else nibabel.Nifti1Image
    header = kind.header_class(block[: kind.header_class.template_dtype.itemsize])
    start = float(header["vox_offset"])
    if not 0 <= start <= _SPARE:
        raise Unreadable(f"its header says that pixels start at byte {start:,.0f}", "copy or export it again")
    return kind, header


def _rescaled(image: Any) -> bool:
    """Return whether stored values are scaled on reading; nibabel keeps that with the array and clears it in the
    header.
    """
    return (float(image.dataobj.slope), float(image.dataobj.inter)) != (1.0, 0.0)


# The one place that knows tifffile: TIFF headers, and pixels of more than 8 bit.

# tifffile is partly untyped: unknown types are let through in this adapter alone.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false


_UNPACKERS: dict[int, Callable[[], Any]] = {
    8: zlib.decompressobj,
    32946: zlib.decompressobj,
    34925: lambda: lzma.LZMADecompressor(memlimit=1 << 28),
}
"""TIFF compressions that can unpack to a thousand times their size."""
_GRAY = (tifffile.PHOTOMETRIC.MINISWHITE, tifffile.PHOTOMETRIC.MINISBLACK)
_CHANNELS = 4
# EXIF orientation -> swap axes, then flip rows, then flip columns
_TURNS = {
    2: (False, False, True),
    3: (False, True, True),
    4: (False, True, False),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}


def tiff_header(data: bytes) -> Header:
    """Size and kind of a TIFF. Reduced copies (thumbnails, pyramid levels) are not counted as frames."""
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        frames = 0
        for at, other in enumerate(file.pages):
            if at == _PAGES:
                raise Unreadable(f"it has over {_PAGES} pages, or one that points back to an earlier one", _ONE_FRAME)
            frames += not _reduced(other)
        page = file.pages.first
        frames *= int(page.imagedepth)
        width, height = int(page.imagewidth), int(page.imagelength)
        if _orientation(page) >= 5:
            width, height = height, width
        return Header(width, height, _bits(page) > 8, frames)


def tiff_pixels(data: bytes) -> Picture:
    """Pixels of a TIFF of more than 8 bit: integers of 0 to 65535, or floats of 0 to 1."""
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = file.pages.first
        if math.prod(page.shape) > _CHANNELS * (Image.MAX_IMAGE_PIXELS or math.inf):
            raise Unreadable(f"its header says {math.prod(page.shape):,} values", "copy or export it again")
        _check_segments(page, data)
        values = np.asarray(page.asarray())
        axes = str(page.axes)
        if axes == "SYX":
            values = np.moveaxis(values, 0, -1)
        if values.ndim == 3 and (page.photometric not in (*_GRAY, tifffile.PHOTOMETRIC.RGB)):
            raise Unreadable("it is a 16-bit TIFF in a color space other than RGB", "export it as RGB or gray")
        if values.ndim == 3:
            values = values[..., :3] if page.photometric == tifffile.PHOTOMETRIC.RGB else values[..., 0]
        pixels = stored(values)
        inverted = page.photometric == tifffile.PHOTOMETRIC.MINISWHITE
        whole = np.issubdtype(values.dtype, np.integer)
        used = Used(0, int(pixels.max()), inverted=inverted) if whole and pixels.dtype == np.uint16 else None
        if inverted:
            pixels = np.iinfo(pixels.dtype).max - pixels
        return Picture(_upright(pixels, _orientation(page)), range=(0, 65535 if whole else 1), used=used)


def _check_segments(page: Any, data: bytes) -> None:
    """Raise Unreadable when the strips or tiles of a TIFF unpack to more than its header says."""
    unpacker = _UNPACKERS.get(int(page.compression))
    if unpacker is None:
        return
    left = math.prod(page.chunked) * math.prod(page.chunks) * page.dtype.itemsize
    for offset, length in zip(page.dataoffsets, page.databytecounts, strict=True):
        left -= len(unpacker().decompress(data[offset : offset + length], left + 1))
        if left < 0:
            raise _too_long()


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    swap, rows, columns = _TURNS.get(orientation, (False, False, False))
    turned = np.swapaxes(pixels, 0, 1) if swap else pixels
    return np.ascontiguousarray(turned[:: -1 if rows else 1, :: -1 if columns else 1])


def _orientation(page: Any) -> int:
    tag = page.tags.get("Orientation")
    return int(tag.value) if tag is not None else 1


def _bits(page: Any) -> int:
    return int(np.max(page.bitspersample))


def _reduced(page: Any) -> bool:
    return bool(getattr(page, "is_reduced", False))
