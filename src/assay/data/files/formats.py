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

from assay.core.errors import DataError, extra, first_line, shorten
from assay.data.files.decoders import (
    check_coded,
    check_frames,
    check_tags,
    check_tiff,
    contradicts_sign,
    plugin_of,
    too_long,
)
from assay.data.files.hints import ASPECT, KIND, PADDING, SHAPE, SIGN, UNIT, WRAPPED, wraps
from assay.data.files.pictures import (
    HINT,
    OWN_RANGE,
    VALUES,
    DecodedImage,
    Header,
    StoredRange,
    finite,
    limits,
    scaled,
    stored,
    whole,
)
from assay.data.files.table import Unreadable

with extra("medical"):
    import nibabel
    import pydicom
    import tifffile
    from nibabel.affines import apply_affine
    from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation, ornt2axcodes
    from nibabel.spatialimages import HeaderDataError
    from pydicom.filereader import read_dataset, read_partial
    from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut, apply_windowing
    from pydicom.pixels.utils import pixel_array
    from pydicom.uid import (
        DeflatedExplicitVRLittleEndian,
        ExplicitVRBigEndian,
        ExplicitVRLittleEndian,
        ImplicitVRLittleEndian,
    )

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


# The one place that knows pydicom and nibabel: single DICOM images and NIfTI slices.

# Both are partly untyped: unknown types are let through in this adapter alone.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportAttributeAccessIssue=false


_GROUPS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
_FRAME_SEQUENCES = (
    "PixelValueTransformationSequence",
    "FrameVOILUTSequence",
    "PlanePositionSequence",
    "PlaneOrientationSequence",
    "PixelMeasuresSequence",
)
_NEEDED = ("RescaleSlope", "RescaleIntercept")


_FIRST_PIXELS, _LAST_PIXELS = 0x7FE00008, 0x7FE00010
"""Tags of floating-point, double and other pixels."""


def _dataset(data: bytes, header: bool = False) -> Any:
    """Return a DICOM file, with or without its preamble (PS3.10, 7.1), of one frame or none.

    Elements behind the pixels, each of which would take memory, are not read. Slope, intercept, window and place of
    functional groups (PS3.3, C.7.6.16), which enhanced objects have, are moved to where other objects have them. A file
    that does not name its transfer syntax has the one that its content shows.
    """
    end = _FIRST_PIXELS if header else _LAST_PIXELS + 1
    dataset: Any = read_partial(io.BytesIO(data), lambda tag, vr, length: tag >= end, force=True)
    if "TransferSyntaxUID" not in dataset.file_meta:
        implicit, little = dataset.original_encoding
        explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else explicit
    for group in _GROUPS:
        for frame in (dataset.get(group) or ())[:1]:
            for name in _FRAME_SEQUENCES:
                for item in (frame.get(name) or ())[:1]:
                    dataset.update(item)
    for name in _NEEDED:
        if name in dataset and dataset.get(name) in (None, ""):
            raise Unreadable(f"its {name} is empty", "write the number, or take the attribute out")
    for name in ("WindowCenter", "WindowWidth"):
        if dataset.get(name) in (None, ""):
            dataset.pop(name, None)
    for name in ("VOILUTSequence", "ModalityLUTSequence"):
        if not dataset.get(name):
            dataset.pop(name, None)
    return dataset


def dicom_header(data: bytes) -> Header:
    """Size and kind of a DICOM image, without its pixels."""
    dataset = _dataset(_inflate(data, _PACKED_HEADER)[0], header=True)
    if "Rows" not in dataset or "Columns" not in dataset:
        raise Unreadable("this DICOM file holds no image", "name the image object, not a report or a presentation")
    plugin_of(dataset)
    if not dataset.get("PhotometricInterpretation"):
        remedy = "add it, as MONOCHROME2 where large values are bright, or MONOCHROME1"
        raise Unreadable("it has no PhotometricInterpretation, which says whether large values are bright", remedy)
    color = int(dataset.get("SamplesPerPixel", 1)) > 1
    deep = "PALETTE" not in str(dataset.PhotometricInterpretation) and (not color or int(dataset.BitsAllocated) > 8)
    frames = int(dataset.get("NumberOfFrames", 1) or 1)
    return Header(int(dataset.Columns), int(dataset.Rows), deep, frames, grid=_dicom_grid(dataset))


def _dicom_grid(dataset: Any) -> tuple[float, ...]:
    """Return `Header.grid` of a DICOM image (PS3.3, C.7.6.2), whose x and y run to the left and to the back."""
    try:
        first = [float(value) for value in dataset.ImagePositionPatient]
        cosines = [float(value) for value in dataset.ImageOrientationPatient]
        down, across = (float(value) for value in dataset.get("PixelSpacing") or (1, 1))
    except (AttributeError, TypeError, ValueError):
        return ()
    steps = [*(across * value for value in cosines[:3]), *(down * value for value in cosines[3:])]
    places = [value * sign for value, sign in zip([*first, *steps], (-1, -1, 1) * 3, strict=False)]
    return tuple(places) if len(first) == 3 and len(cosines) == 6 and all(map(math.isfinite, places)) else ()


def dicom_attributes(path: Path, names: Sequence[str]) -> dict[str, str]:
    """Return attributes of a DICOM header by keyword, those that are there."""
    try:
        with path.open("rb") as file:
            source = io.BytesIO(_inflate(path.read_bytes(), _PACKED_HEADER)[0]) if _is_deflated(file) else path
        dataset = pydicom.dcmread(source, stop_before_pixels=True, specific_tags=list(names), force=True)
        values = {name: dataset.get(name) for name in names}
    except Exception as error:  # pydicom raises almost anything on a damaged file
        raise DataError(f"{path.name} cannot be read as DICOM: {first_line(error)}") from error
    return {name: str(value) for name, value in values.items() if value not in (None, "")}


def dicom_pixels(data: bytes, mask: bool, size: int) -> DecodedImage:
    """Pixels of a DICOM image as a radiologist first sees it; a mask as its stored values.

    Gray: rescale slope and intercept (or modality LUT), then the first VOI window or LUT, else the whole range that the
    stored bits can take, or a set's common range where these are 16; MONOCHROME1 is inverted; 16 bit. Color: RGB, 8
    bit, or 16 where more are allocated.
    """
    dataset = _dataset(_inflate_bounded(data))
    if not _has_pixels(dataset):
        raise Unreadable("this DICOM file holds no pixels", "export it with its pixels")
    check_frames(dataset)
    _check_meaning(dataset)
    try:
        values = pixel_array(dataset, decoding_plugin=plugin_of(dataset))  # YBR comes as RGB
    except RuntimeError as error:  # pydicom puts the words of a decoder into its own
        if str(too_long()) in str(error):
            raise too_long() from error
        raise
    if values.ndim > (3 if int(dataset.SamplesPerPixel) > 1 else 2):
        raise Unreadable(f"it holds the pixels of {len(values)} frames", _ONE_FRAME)
    photometric = str(dataset.PhotometricInterpretation)
    if photometric == "PALETTE COLOR":
        colors = _palette_colors(values, dataset)
        return DecodedImage(stored(values), palette=colors) if mask else DecodedImage(colors)
    if values.ndim == 3:
        if mask:
            return DecodedImage(stored(values))
        deep = values.dtype.kind == "u" and values.dtype != np.uint8
        colors = _over(values, *limits(int(dataset.BitsStored), signed=False)) if deep else DecodedImage(stored(values))
        return replace(colors, notes=(*_kinds_of(dataset), *_aspect_hint(_pixel_ratio(dataset))))
    if mask:
        return DecodedImage(whole(values))
    gray = _apply_window(values, dataset)
    if photometric == "MONOCHROME1":
        used = gray.used and replace(gray.used, inverted=not gray.used.inverted)
        assert gray.range is not None
        gray = replace(gray, pixels=np.uint16(65535) - gray.pixels, range=gray.range[::-1], used=used)
    return replace(gray, notes=(*gray.notes, *_hints(values, gray.pixels, dataset)))


def _has_pixels(dataset: Any) -> bool:
    return any(f"{kind}PixelData" in dataset for kind in ("", "Float", "DoubleFloat"))


def _hints(values: np.ndarray, pixels: np.ndarray, dataset: Any) -> tuple[str, ...]:
    """Return what header and values of a gray image suggest, as notes.

    Args:
        values: Stored values.
        pixels: The same as they are shown.
    """
    is_unsigned = values.dtype.kind == "u" and "ModalityLUTSequence" not in dataset
    shape = (str(dataset.get("PresentationLUTShape", "")), str(dataset.PhotometricInterpretation))
    unit = str(dataset.get("Units") or dataset.get("RescaleType") or "").upper()
    hints = {
        WRAPPED: is_unsigned and wraps(values, int(dataset.BitsStored)),
        PADDING: _is_padding_bright(values, pixels, dataset),
        SHAPE: shape in (("INVERSE", "MONOCHROME2"), ("IDENTITY", "MONOCHROME1")),
        SIGN: contradicts_sign(dataset),
        UNIT + unit: unit not in ("", "US"),  # US: not specified (PS3.3, C.11.1.1.2)
    }
    applying = (HINT + hint for hint, applies in hints.items() if applies)
    return (*applying, *_kinds_of(dataset), *_aspect_hint(_pixel_ratio(dataset)))


_RADIOGRAPHS = {"CR": "CR or DX", "DX": "CR or DX"}
"""Modalities that are one kind of image."""
_NO_PATIENT_IMAGES = ("LOCALIZER", "SCREEN SAVE", "SCREENSHOT", "DOSE_INFO")
"""Values of ImageType of images that are seldom meant."""


def _kinds_of(dataset: Any) -> tuple[str, ...]:
    """Return what kind of image a header states, as notes."""
    modality, intent = (str(dataset.get(name) or "").upper() for name in ("Modality", "PresentationIntentType"))
    types = {str(value).upper() for value in dataset.get("ImageType") or ()}
    values = {
        "Modality": _RADIOGRAPHS.get(modality, modality),
        "PresentationIntentType": intent,
        "ImageType": next((value for value in _NO_PATIENT_IMAGES if value in types), ""),
    }
    return tuple(f"{HINT}{KIND}{name} {value}" for name, value in values.items() if value)


_PADDING, _BRIGHT, _BONE = 0.01, 0.9, 1000
"""Share of the pixels that are padding, share of the range from which it is bright, and HU that no air has."""


def _is_padding_bright(values: np.ndarray, pixels: np.ndarray, dataset: Any) -> bool:
    """Return whether values that the header declares as padding are shown bright, or all corners of a CT are dense."""
    padding = _declared_padding(values, dataset)
    if padding is not None and _PADDING <= padding.mean() < 1:
        limit = _BRIGHT * 65535
        return bool(pixels[padding].mean() >= limit > pixels[~padding].mean())
    corners = np.unique(values[:: len(values) - 1, :: values.shape[1] - 1])
    if dataset.get("Modality") != "CT" or len(corners) > 1:
        return False
    dense = float(apply_modality_lut(corners, dataset)[0]) > _BONE
    return dense and _PADDING <= float((values == corners[0]).mean()) < 1


def _pixel_ratio(dataset: Any) -> float:
    """Return the height of a pixel over its width by the header; 1 where it states none."""
    for name in ("PixelAspectRatio", "PixelSpacing", "ImagerPixelSpacing"):
        try:
            high, wide = map(float, dataset.get(name) or ())
            return high / wide
        except (TypeError, ValueError, ZeroDivisionError):
            continue
    return 1.0


_SQUARE = 0.02
"""Difference of height and width of a pixel up to which it is square."""


def _aspect_hint(ratio: float) -> tuple[str, ...]:
    is_square = not 0 < ratio < math.inf or abs(ratio - 1) <= _SQUARE
    return () if is_square else (f"{HINT}{ASPECT}{ratio:.3g}",)


_PHOTOMETRIC = {1: ("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR"), 3: ("RGB", "YBR_FULL", "YBR_FULL_422")}
"""Samples of a pixel -> color spaces that are shown as they are meant."""
_CODED_COLORS = ("YBR_RCT", "YBR_ICT")
"""Color spaces of JPEG 2000 alone, whose decoder returns RGB."""


def _check_meaning(dataset: Any) -> None:
    """Raise Unreadable for stored values that would be shown as others than they mean."""
    samples, photometric = int(dataset.SamplesPerPixel), str(dataset.PhotometricInterpretation)
    coded = _CODED_COLORS if dataset.file_meta.TransferSyntaxUID.is_encapsulated and samples > 1 else ()
    if photometric not in (*_PHOTOMETRIC.get(samples, ()), *coded):
        what = f"its color space is {shorten(photometric, 20)!r} with SamplesPerPixel {samples}"
        raise Unreadable(what, "export it as MONOCHROME2 or RGB")
    high, bits = dataset.get("HighBit"), dataset.get("BitsStored")
    if high is not None and bits is not None and int(high) != int(bits) - 1:
        raise Unreadable(
            f"its HighBit is {high} and its BitsStored {bits}", "export it again: PS3.5, 8.1.1 asks for one less"
        )


def _palette_colors(values: np.ndarray, dataset: Any) -> np.ndarray:
    """Return the colors of indices into the palette of a DICOM file (PS3.3, C.7.6.3.1.5), uint8 [h, w, 3]."""
    entries, first, depth = map(int, dataset.RedPaletteColorLookupTableDescriptor)
    entries = entries or 1 << 16
    tables = [_palette(dataset, f"{color}PaletteColorLookupTableData", entries, depth) for color in _COLORS]
    return np.stack(tables, axis=-1)[np.clip(values.astype(np.int64) - first, 0, entries - 1)]


_COLORS = ("Red", "Green", "Blue")


def _palette(dataset: Any, name: str, entries: int, depth: int) -> np.ndarray:
    """Return one color of a palette, uint8 [entries]. Entries of 8 bit may have 16 each in the file."""
    wide = "<u2" if dataset.file_meta.TransferSyntaxUID.is_little_endian else ">u2"
    if name in dataset:
        data = dataset[name].value
        table = np.frombuffer(data, "u1" if len(data) < 2 * entries else wide)[:entries]
    else:
        words = np.frombuffer(dataset[f"Segmented{name}"].value, "u1" if depth == 8 else wide)
        table = np.array(_expanded(words.tolist(), entries)[:entries], dtype=np.int64)
    if len(table) < entries:
        raise Unreadable(f"its palette has {len(table):,} of {entries:,} colors", "copy or export it again")
    return (table >> max(0, max(depth, int(table.max()).bit_length()) - 8)).astype(np.uint8)


def _expanded(words: Sequence[int], most: int) -> list[int]:
    """Return the first entries of a segmented palette (PS3.3, C.7.9.2), at least `most` where it has as many.

    Indirect segments, which repeat others, are refused: a few of them can stand for entries without end.
    """
    table, at = list[int](), 0
    while at + 2 < len(words) and len(table) < most:
        kind, length = words[at : at + 2]
        if kind == 0 and length:
            table += words[at + 2 : at + 2 + length]
        elif kind == 1 and length and table:
            table += np.rint(np.linspace(table[-1], words[at + 2], length + 1)[1:]).astype(int).tolist()
        else:
            raise Unreadable(f"its palette has a segment of type {kind}", "export it with a palette without segments")
        at += 2 + (1 if kind else length)
    return table


def _inflate_bounded(data: bytes) -> bytes:
    """Return a DICOM file without deflation. Raises Unreadable when it holds more than the image that its header
    describes.
    """
    start, complete = _inflate(data, _PACKED_HEADER)
    if complete:
        return start
    header = _dataset(start)
    if not _has_pixels(header):
        raise Unreadable(f"its header has over {_PACKED_HEADER >> 20} MiB", "export it without deflation")
    count = int(header.Rows) * int(header.Columns)
    _check_pixels(count)
    content, complete = _inflate(data, _SPARE + count * int(header.SamplesPerPixel) * int(header.BitsAllocated) // 8)
    if not complete:
        raise too_long()
    return content


_PACKED_HEADER = 1 << 21
"""Bytes before the pixels of a deflated file: an element of eight takes 400 in memory."""
_ITEM, _MOST_ITEMS = b"\xfe\xff\x00\xe0", 50_000
"""How an item of a sequence begins, and how many a deflated file may have: pydicom takes a kilobyte for each."""


def _inflate(data: bytes, most: int) -> tuple[bytes, bool]:
    """Return a DICOM file without deflation (PS3.5, A.5), at most `most` bytes of its content, and whether that is all
    of it.

    Files in other transfer syntaxes are returned as they are.
    """
    file = io.BytesIO(data)
    if not _is_deflated(file):
        return data, True
    plain = ExplicitVRLittleEndian.encode().ljust(len(DeflatedExplicitVRLittleEndian), b"\0")
    head = data[: file.tell()].replace(DeflatedExplicitVRLittleEndian.encode(), plain)
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
    content = unpacker.decompress(data[file.tell() :], most)
    if (items := content.count(_ITEM)) > _MOST_ITEMS:
        raise Unreadable(f"it lists {items:,} items", "export the one frame that is meant, without deflation")
    return head + content, not unpacker.unconsumed_tail


def _is_deflated(file: Any) -> bool:
    """Return whether a DICOM file is deflated; the file is then at the end of its meta information."""
    file.seek(132 if file.read(132)[128:] == b"DICM" else 0)
    meta = read_dataset(
        file, is_implicit_VR=False, is_little_endian=True, stop_when=lambda tag, vr, length: tag.group != 2
    )
    return str(meta.get("TransferSyntaxUID", "")) == DeflatedExplicitVRLittleEndian


def _apply_window(values: np.ndarray, dataset: Any) -> DecodedImage:
    """Gray values as uint16 over the range that the display transform can give."""
    with np.errstate(over="ignore", invalid="ignore"):  # of a strange slope, which is refused
        rescaled = np.asarray(apply_modality_lut(values, dataset), dtype=np.float64)
    finite(rescaled)
    if "VOILUTSequence" in dataset:
        display = np.asarray(apply_voi_lut(np.rint(rescaled).astype(np.int64), dataset), dtype=np.float64)
        table = dataset.VOILUTSequence[0]
        shown = f"table {zlib.crc32(f'{table.LUTDescriptor} {table.LUTData}'.encode())}"
        return _over(display, 0.0, 2.0 ** int(table.LUTDescriptor[2]) - 1, shown)
    if values.dtype.kind == "f":  # Float Pixel Data (PS3.3, C.7.6.24) has no bits stored; a window needs some
        dataset.BitsStored, dataset.PixelRepresentation = 32, 0
    bits, signed = int(dataset.BitsStored), bool(dataset.PixelRepresentation)
    both = all(name in dataset for name in _NEEDED)  # pydicom uses neither alone
    slope, intercept = (float(dataset[name].value) for name in _NEEDED) if both else (1.0, 0.0)
    low, high = (end * slope + intercept for end in limits(bits, signed))
    if "ModalityLUTSequence" in dataset:
        low, high = 0.0, 2.0 ** int(dataset.ModalityLUTSequence[0].LUTDescriptor[2]) - 1
    if "WindowCenter" in dataset and "WindowWidth" in dataset:
        center, width = _first(dataset.WindowCenter), _first(dataset.WindowWidth)
        if not math.isfinite(center + width):
            raise Unreadable(f"its window is {center:g}, {width:g}", "write plain numbers, or take the window out")
        if width < (1 if dataset.get("VOILUTFunction", "LINEAR") == "LINEAR" else 1e-9):
            raise Unreadable(f"its WindowWidth is {width:g}", "write a width of 1 or more, or take the window out")
        display = (apply_windowing(rescaled, dataset) - low) / (high - low)
        shown = f"window {center:g} {width:g} {dataset.get('VOILUTFunction', '')}"
        return DecodedImage(scaled(display, 0.0, 1.0), range=(center - width / 2, center + width / 2), display=shown)
    declared = not slope or "ModalityLUTSequence" in dataset
    if bits > 16 and not declared:
        least, most = limits(16, signed)
        if values.dtype.kind == "f" or values.min() < least or values.max() > most:
            return _own_range(rescaled, "a DICOM image of more than 16 bit without a window")
        bits, low, high = 16, least * slope + intercept, most * slope + intercept
    display = _over(rescaled, min(low, high), max(low, high), VALUES)
    return display if declared or bits != 16 else replace(display, used=_used_values(values, slope, intercept, dataset))


def _over(values: np.ndarray, low: float, high: float, display: str = "") -> DecodedImage:
    return DecodedImage(scaled(values, low, high), range=(low, high), display=display)


def _own_range(values: np.ndarray, what: str) -> DecodedImage:
    """Return values over their own range, which is noted since it loses equality between files."""
    finite(values)
    picture = _over(values, float(values.min()), float(values.max()))
    return replace(picture, notes=(f"{what} {OWN_RANGE}",))


def _used_values(values: np.ndarray, slope: float, intercept: float, dataset: Any) -> StoredRange:
    """Stored values of a DICOM image, without those that its header declares as padding (PS3.3, C.7.5.1.1.2)."""
    padding = _declared_padding(values, dataset)
    if padding is not None and not padding.all():
        values = values[~padding]
    signed = bool(dataset.PixelRepresentation)
    return StoredRange(int(values.min()) if signed else 0, int(values.max()), signed, slope < 0, slope, intercept)


def _declared_padding(values: np.ndarray, dataset: Any) -> np.ndarray | None:
    """Return where values are padding by the header; None where it declares none."""
    padding = dataset.get("PixelPaddingValue")
    if padding is None:
        return None
    first, last = sorted((int(padding), int(dataset.get("PixelPaddingRangeLimit", padding))))
    return (values >= first) & (values <= last)


def _first(value: Any) -> float:
    return float(value[0]) if isinstance(value, (list, tuple, pydicom.multival.MultiValue)) else float(value)


def nifti_header(data: bytes) -> Header:
    """Size and kind of a NIfTI slice. Axes of length 1 are dropped; two must remain.

    Raises Unreadable for a volume: 3-D images are not supported yet, and no slice is chosen for the user.
    """
    with _nifti_file(data) as file:
        _, header = _nifti_start(file)
    lengths = stored_lengths = [int(length) for length in header.get_data_shape()]
    turns = _turns(header)
    codes = "RAS" if turns is None else ornt2axcodes(turns)
    if turns is not None:
        lengths = [*lengths, 1, 1, 1][: max(3, len(lengths))]
        lengths[:3] = [lengths[at] for at in np.argsort(turns[:, 0])]
    shape = tuple(length for length in lengths if length != 1)
    if len(shape) != 2:
        text = " x ".join(str(length) for length in header.get_data_shape())
        raise Unreadable(f"it is a volume of {text}; 3-D images are not supported yet", "export one slice a file")
    _check_forms(header)
    rescaled = header.get_slope_inter() not in ((None, None), (1.0, 0.0))
    deep = header.get_data_dtype() not in (np.uint8, _RGB) or rescaled
    axes = "".join(code for code, length in zip(codes, stored_lengths, strict=False) if length != 1)
    return Header(shape[0], shape[1], deep, axes=axes, grid=_nifti_grid(header, turns))


_APART = 0.5
"""Cosine of the angle between an axis of sform and of qform below which they are no two frames of one position."""


def _check_forms(header: Any) -> None:
    """Raise Unreadable where sform and qform both say how axes run, and differ in an axis of the slice."""
    if not (header["sform_code"] and header["qform_code"]):
        return
    try:
        forms = [header.get_sform()[:3, :3], header.get_qform()[:3, :3]]
    except (ValueError, HeaderDataError):  # a damaged qform says nothing, and sform is used
        return
    used = [at for at, length in enumerate(map(int, header.get_data_shape()[:3])) if length != 1]
    first, second = (form[:, used] / np.linalg.norm(form[:, used], axis=0) for form in forms)
    if ((first * second).sum(axis=0) < _APART).any():
        axes = ["".join(ornt2axcodes(io_orientation(form))) for form in (header.get_sform(), header.get_qform())]
        what = f"its sform and qform contradict each other: axes run to {axes[0]} by the one and {axes[1]} by the other"
        raise Unreadable(what, "correct one of them, or set the code of the wrong one to 0")


def _nifti_grid(header: Any, turns: np.ndarray | None) -> tuple[float, ...]:
    """Return `Header.grid` of a NIfTI slice."""
    if turns is None:
        return ()
    lengths = [*map(int, header.get_data_shape()), 1, 1][:3]
    turned = [lengths[at] for at in np.argsort(turns[:, 0])]
    used = [axis for axis, length in enumerate(turned) if length != 1]
    if len(used) != 2:
        return ()
    across, up = used
    affine = header.get_best_affine() @ inv_ornt_aff(turns, lengths)
    corners = np.zeros((3, 3))
    corners[:, up] = turned[up] - 1
    corners[1, across] += 1
    corners[2, up] -= 1
    first, right, below = apply_affine(affine, corners)
    return tuple(map(float, [*first, *(right - first), *(below - first)]))


def nifti_pixels(data: bytes, mask: bool, size: int) -> DecodedImage:
    """Pixels of a NIfTI slice; a mask as its stored values.

    The first axis runs to the right and the second upwards, as in a RAS slice seen from below; a slice whose header
    says that its axes run otherwise is turned (`as_closest_canonical` of nibabel). 8-bit values without a scale and
    colors stay; others span cal_min to cal_max where the header gives them, else the slice's own minimum to maximum,
    which is noted since it loses equality between files.
    """
    image = _nifti(data)
    values = np.asarray(image.dataobj)
    if values.dtype == _RGB:
        values = np.stack([values[name] for name in "RGB"], axis=-1)
    turns = _turns(image.header)
    if turns is not None:
        shape = image.shape + (1,) * (3 - image.ndim) + values.shape[image.ndim :]
        values = apply_orientation(values.reshape(shape), turns)
    values = np.squeeze(values)
    values = np.ascontiguousarray(np.swapaxes(values, 0, 1)[::-1])
    if values.ndim == 3:
        return DecodedImage(values)
    if mask:
        return DecodedImage(whole(values))
    notes = _aspect_hint(_ratio_of_slice(image, turns))
    if image.get_data_dtype() == np.uint8 and not _is_rescaled(image):
        return DecodedImage(values.astype(np.uint8), notes)
    finite(values)
    low, high = float(image.header["cal_min"]), float(image.header["cal_max"])
    if high > low:
        return replace(_over(values, low, high, f"range {low:g} {high:g}"), notes=notes)
    picture = _own_range(values, "a NIfTI slice without cal_min and cal_max")
    return replace(picture, notes=(*picture.notes, *notes))


def _ratio_of_slice(image: Any, turns: np.ndarray | None) -> float:
    """Return the height of a pixel of a NIfTI slice over its width."""
    sizes = image.header.get_zooms()[: image.ndim]
    order = range(image.ndim) if turns is None else (at for at in np.argsort(turns[:, 0]) if at < image.ndim)
    used = [float(sizes[at]) for at in order if image.shape[at] != 1]
    return used[1] / used[0] if len(used) == 2 and all(used) else 1.0


_RGB = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])


def _turns(header: Any) -> np.ndarray | None:
    """Return how the axes of a slice are turned towards RAS; None where its header does not say how they run."""
    return io_orientation(header.get_best_affine()) if header["sform_code"] or header["qform_code"] else None


def _nifti(data: bytes) -> Any:
    """Return the image, unpacked no further than its header says."""
    with _nifti_file(data) as file:
        kind, header = _nifti_start(file)
        count = math.prod(int(length) for length in header.get_data_shape())
        _check_pixels(count)
        most = _SPARE + count * header.get_data_dtype().itemsize
        file.seek(0)
        raw = bytearray(file.read(most + 1))
    if len(raw) > most:
        raise too_long()
    size = kind.header_class.template_dtype.itemsize
    raw[size : size + 1] = b"\0"  # no extensions: a million of them fit into a small file
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


def _is_rescaled(image: Any) -> bool:
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
_CODED = (6, 7, 33003, 33004, 33005, 34712)
"""TIFF compressions, JPEG and JPEG 2000, whose segments state a size of their own."""
_BOUNDED = (1, 2, 3, 4, 5, 32773, 34926, 50000)
"""TIFF compressions that tifffile unpacks no further than the header says: none, fax, LZW, PackBits, Zstandard."""
_GRAY = (tifffile.PHOTOMETRIC.MINISWHITE, tifffile.PHOTOMETRIC.MINISBLACK)
_CHANNELS = 4
_ALPHA = (1, 2)
"""Kinds of extra samples that are alpha."""
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
    check_tags(data)
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        frames = 0
        for at, other in enumerate(file.pages):
            if at == _PAGES:
                raise Unreadable(f"it has over {_PAGES} pages, or one that points back to an earlier one", _ONE_FRAME)
            frames += not getattr(other, "is_reduced", False)
        page = file.pages.first
        frames *= int(page.imagedepth)
        if file.is_imagej:  # a stack whose frames follow the first one without pages of their own
            frames = max(frames, int((file.imagej_metadata or {}).get("images", 1)))
        if page.photometric in _GRAY:
            _check_channels(page)
        width, height = int(page.imagewidth), int(page.imagelength)
        if page.is_tiled:
            _check_tiles(page)
        if _tiff_orientation(page) >= 5:
            width, height = height, width
        deep = _bits(page) > 8 or int(page.sampleformat) == tifffile.SAMPLEFORMAT.INT
        if deep:
            check_tiff(page, _bits(page))
        return Header(width, height, deep, frames, _tiff_orientation(page))


def _check_channels(page: Any) -> None:
    """Raise Unreadable for a gray TIFF of several channels, of which each would be an image; alpha is none."""
    channels = int(page.samplesperpixel) - sum(int(kind) in _ALPHA for kind in page.extrasamples)
    if channels > 1:
        what = f"it holds {channels} channels, and does not say that they are red, green and blue"
        raise Unreadable(what, "save the channel that is meant, or export it as RGB")


def tiff_pixels(data: bytes, mask: bool) -> DecodedImage:
    """Pixels of a TIFF of more than 8 bit: integers of 0 to 65535, or floats of 0 to 1; a mask of floats is rounded."""
    check_tags(data)
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = file.pages.first
        _check_tiles(page)
        _check_segments(page, data)
        values = np.asarray(page.asarray())
        axes = str(page.axes)
        if axes == "SYX":
            values = np.moveaxis(values, 0, -1)
        of_palette = page.photometric == tifffile.PHOTOMETRIC.PALETTE and not mask
        if of_palette or (values.ndim == 3 and page.photometric not in (*_GRAY, tifffile.PHOTOMETRIC.RGB)):
            raise Unreadable("it is a 16-bit TIFF in a color space other than RGB", "export it as RGB or gray")
        if values.ndim == 3:
            colors = 3 if page.photometric == tifffile.PHOTOMETRIC.RGB else 1
            if 2 in page.extrasamples[:1]:  # over black, as the other kind of alpha is already
                most = np.iinfo(values.dtype).max if values.dtype.kind in "iu" else 1
                blended = values[..., :colors] * (values[..., colors : colors + 1] / most)
                values = (np.rint(blended) if values.dtype.kind in "iu" else blended).astype(values.dtype)
            values = values[..., :3] if colors == 3 else values[..., 0]
        pixels = whole(values) if mask and values.dtype.kind == "f" else stored(values)
        inverted = page.photometric == tifffile.PHOTOMETRIC.MINISWHITE
        integers = values.dtype.kind in "iu"
        used = StoredRange(0, int(pixels.max()), inverted=inverted) if integers and pixels.dtype == np.uint16 else None
        if inverted:
            pixels = ~pixels
        return DecodedImage(upright(pixels, _tiff_orientation(page)), range=(0, 65535 if integers else 1), used=used)


def _check_tiles(page: Any) -> None:
    """Raise Unreadable for a TIFF of more values than an image may have, also those of its tiles beyond the image."""
    count = max(math.prod(page.shape), math.prod(page.chunks) * math.prod(page.chunked))
    if count > _CHANNELS * (Image.MAX_IMAGE_PIXELS or math.inf):
        raise Unreadable(f"its header says {count:,} values", "copy or export it again")


def _check_segments(page: Any, data: bytes) -> None:
    """Raise Unreadable when the strips or tiles of a TIFF unpack to more than its header says."""
    compression = int(page.compression)
    if compression not in (*_CODED, *_UNPACKERS, *_BOUNDED):
        what = f"its compression {getattr(page.compression, 'name', compression)} may unpack to any size"
        raise Unreadable(what, "export it without compression")
    values = math.prod(page.chunks)
    remaining = math.prod(page.chunked) * values * page.dtype.itemsize
    for offset, length in zip(page.dataoffsets, page.databytecounts, strict=True):
        segment = data[offset : offset + length]
        if compression in _CODED and segment:
            check_coded(segment, values)
        elif compression in _UNPACKERS:
            remaining -= len(_UNPACKERS[compression]().decompress(segment, remaining + 1))
        if remaining < 0:
            raise too_long()


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Return pixels that are turned by an orientation as EXIF counts them."""
    swap, rows, columns = _TURNS.get(orientation, (False, False, False))
    turned = np.swapaxes(pixels, 0, 1) if swap else pixels
    return np.ascontiguousarray(turned[:: -1 if rows else 1, :: -1 if columns else 1])


def _tiff_orientation(page: Any) -> int:
    tag = page.tags.get("Orientation")
    return int(tag.value) if tag is not None else 1


def _bits(page: Any) -> int:
    return int(np.max(page.bitspersample))
