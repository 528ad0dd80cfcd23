"""Read one image file, whatever its name says: its content decides the format.

Two steps, so that 50,000 files can be planned before one is decoded: `examine` reads the header, `read_picture` and
`read_stored` the pixels. Gray stays gray, 8 bit stays 8 bit and more becomes 16 bit; a palette, CMYK or transparency
(over black) becomes RGB; EXIF orientation is applied. Files with several frames are refused by name.
Arrays of NumPy (.npy) are read as TIFF files of the same values.
"""

from __future__ import annotations

import io
import logging
import sys
import threading
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import IO, Any, TypeVar

import numpy as np
from jaxtyping import UInt8
from PIL import ExifTags, Image, ImageFile, ImageOps, UnidentifiedImageError

from assay.core.errors import shorten
from assay.core.files import stored_size
from assay.data.files.pictures import SMALLEST, DecodedImage, Header, StoredRange, check_scans, stored, whole
from assay.data.files.table import Unreadable

_FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "JPEG2000")
T = TypeVar("T")
_LONGEST_HEADER = 540
"""Bytes of the header of NIfTI-2."""
DEEP = frozenset({"I", "I;16", "I;16B", "I;16L", "I;16N"})
"""Modes of Pillow of more than 8 bit."""


class CountedWarnings(logging.Handler):
    """Print the first warning of each library, and at the end of the process how many there were."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.counts = Counter[str]()

    def emit(self, record: logging.LogRecord) -> None:
        """Count a warning."""
        name = record.name.partition(".")[0]
        self.counts[name] += 1
        if self.counts[name] == 1:
            print(f"{name}: {shorten(record.getMessage(), 200)}", file=sys.stderr)

    def close(self) -> None:
        """Print the counts."""
        for name, count in self.counts.items():
            if count > 1:
                print(f"{name} warned {count:,} times", file=sys.stderr)
        self.counts.clear()
        super().close()


_counted = CountedWarnings()
for _library in ("tifffile", "PIL"):
    logging.getLogger(_library).addHandler(_counted)


@dataclass(frozen=True, slots=True)
class _Format:
    """A file format: how its content is recognized, and its two steps."""

    recognize: Callable[[bytes], bool]
    header: Callable[[bytes], Header]
    pixels: Callable[[bytes, bool, int], DecodedImage]


def examine(data: bytes) -> Header:
    """Content of a file's header. Raises Unreadable for a file that holds no single usable image."""
    header = _attempt(_format(data).header, data)
    if header.frames > 1:
        raise Unreadable(f"it holds {header.frames} frames", "save the one frame that is meant as a file of its own")
    if min(header.width, header.height) < SMALLEST:
        raise Unreadable(
            f"it is {header.width} x {header.height} px", f"an image needs at least {SMALLEST} x {SMALLEST} px"
        )
    if Image.MAX_IMAGE_PIXELS is not None and header.width * header.height > Image.MAX_IMAGE_PIXELS:
        raise Unreadable(
            f"it is {header.width} x {header.height} px, over {Image.MAX_IMAGE_PIXELS:,}", "save a smaller version"
        )
    return header


def read_picture(data: bytes, size: int) -> DecodedImage:
    """Return the pixels of an image, decoded no finer than needed for `size` px.

    Raises:
        Unreadable: If the file is damaged.
    """
    kind = _format(data)
    return _attempt(lambda content: kind.pixels(content, False, size), data)


def read_stored(data: bytes) -> DecodedImage:
    """Return the values that a mask's file stores, uint8 or uint16 [h, w] or [h, w, 3], or bool. Raises Unreadable."""
    kind = _format(data)
    return _attempt(lambda content: kind.pixels(content, True, 0), data)


def _format(data: bytes) -> _Format:
    if not data:
        raise Unreadable("the file is empty", "copy it again")
    for candidate in _KNOWN_FORMATS:
        if candidate.recognize(data):
            return candidate
    raise Unreadable("it is no PNG, JPEG, TIFF, DICOM, NIfTI, GIF, BMP or WebP image", "export it as PNG")


def _attempt(step: Callable[[bytes], T], data: bytes) -> T:
    """Run a decoder. Decoders raise almost anything on a damaged file; whatever it is, it is about this file."""
    try:
        return step(data)
    except (Unreadable, ImportError, MemoryError):
        raise
    except Image.DecompressionBombError as error:
        raise Unreadable(
            "it is far too large for an image (a decompression bomb?)", "save a smaller version"
        ) from error
    except Exception as error:
        unknown = isinstance(error, UnidentifiedImageError)  # its text holds an address in memory
        text = "no image can be made of it" if unknown else shorten(str(error), 120) or type(error).__name__
        what = "it cannot be decoded" if type(error) in _UNREAD else "the file is damaged or cut short"
        raise Unreadable(f"{what} ({text})", "copy or export it again") from error


_UNREAD = (AttributeError, KeyError, NotImplementedError, RuntimeError, TypeError, ValueError)
"""Errors of decoders that may speak of a kind of file that they do not read; others meet an end, or broken content."""


def _raster_header(data: bytes) -> Header:
    if data[:2] == b"\xff\xd8":
        check_scans(data)
    with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
        has_exif = image.format != "PNG" or b"eXIf" in data or b"Raw profile type exif" in data
        turned = tag if has_exif and (tag := _exif(image).get(ExifTags.Base.Orientation, 1)) in range(2, 9) else 1
        width, height = image.size[::-1] if turned >= 5 else image.size
        # A camera's MPO is a JPEG with further pictures behind it that viewers do not show.
        frames = 1 if image.format in ("JPEG", "MPO") else getattr(image, "n_frames", 1)
        return Header(width, height, image.mode in DEEP, frames, turned)


def _exif(image: ImageFile.ImageFile) -> Image.Exif:
    """Return the EXIF of an image, and remove XMP, by whose orientation Pillow turns images, and viewers do not."""
    if image.format == "PNG":
        image.load()  # chunks may follow the pixels, so a file without EXIF is not asked for it
    image.info = {key: value for key, value in image.info.items() if key not in ("xmp", "XML:com.adobe.xmp")}
    return image.getexif()


def _raster_pixels(data: bytes, mask: bool, size: int) -> DecodedImage:
    with Image.open(io.BytesIO(data), formats=_FORMATS) as opened:
        lossy = opened.format in ("JPEG", "MPO", "WEBP", "JPEG2000")
        if size:
            opened.draft(None, (2 * size, 2 * size))  # JPEG: whole factors are scaled while decoding
        notes = ("16-bit color was read as 8 bit",) if _loses_depth(opened) else ()
        _exif(opened)
        image = ImageOps.exif_transpose(opened)
        if image.mode in DEEP:
            pixels = stored(np.asarray(image))
            if isinstance(clear := image.info.get("transparency"), int):
                pixels = np.where(pixels == clear, np.uint16(0), pixels)
            return DecodedImage(pixels, lossy=lossy, range=(0, 65535), used=StoredRange(0, int(pixels.max())))
        decoded = raster_values(image, mask)
        return replace(decoded, notes=(*notes, *decoded.notes), lossy=lossy and decoded.palette is None)


def raster_values(image: Image.Image, mask: bool) -> DecodedImage:
    """Return the pixels of an image of Pillow of 8 bit: gray or RGB, transparency over black, a mask as its values."""
    if mask and image.mode == "P":
        return DecodedImage(np.asarray(image), palette=np.asarray(image.convert("RGB")))
    if mask and "A" in image.getbands() and _only_alpha(np.asarray(image)):
        return DecodedImage(np.asarray(image.getchannel("A")), (IN_ALPHA,))
    if image.mode in ("LA", "PA", "RGBA", "RGBa", "La") or "transparency" in image.info:
        over = Image.new("RGBA", image.size, (0, 0, 0, 255))
        over.alpha_composite(image.convert("RGBA"))
        image = over.convert("L" if image.mode in ("L", "LA", "La") else "RGB")
    elif image.mode != "L":
        image = image.convert("L" if image.mode == "1" else "RGB")
    return DecodedImage(np.asarray(image))


IN_ALPHA = "lesion is in the alpha channel, of masks of one color"
"""The note of such a mask."""


def _only_alpha(pixels: UInt8[np.ndarray, "h w c"]) -> bool:
    """Return whether all pixels have one color, and their alpha differs."""
    varied = (pixels != pixels[:1, :1]).any(axis=(0, 1))
    return bool(varied[-1] and not varied[:-1].any())


def _loses_depth(image: ImageFile.ImageFile) -> bool:
    return image.mode in ("RGB", "RGBA", "LA") and any(";16" in str(tile.args) for tile in image.tile)


_HEADER_LOCK = threading.Lock()
"""NumPy parses a header by `ast`, which fails now and then in several threads of Python 3.11 (gh-106905)."""


def array_header(stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Return the shape and type of an .npy file of plain numbers. Raises ValueError for another."""
    major, _ = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
    try:
        with _HEADER_LOCK:
            shape, fortran, dtype = read(stream)
    except MemoryError as error:  # so Python's parser speaks of what is nested too deeply
        raise ValueError("its header is nested too deeply") from error
    if dtype.hasobject:
        raise ValueError("it holds Python objects, a pickle, which is not opened: save an array of plain numbers")
    if fortran:
        raise ValueError("its arrays are not plain numbers in C order")
    return shape, dtype


_UNPACKED_PER_BYTE, _FREE_BYTES = 200, 100_000_000
"""Bytes that a byte of an NPZ file may unpack to, and those that any file may."""


def check_npz(path: Path) -> None:
    """Raise ValueError where an NPZ file unpacks to far more than its size, or zipfile.BadZipFile where it is none."""
    with zipfile.ZipFile(path) as archive:
        size = sum(member.file_size for member in archive.infolist())
    if size > _FREE_BYTES + _UNPACKED_PER_BYTE * stored_size(path):
        raise ValueError(f"it unpacks to {size:,} bytes, far more than its size")


def _array_side(shape: tuple[int, ...]) -> int:
    """Return the axis of an array's rows: 1 where channels come first. Raises Unreadable for what is no image."""
    first = len(shape) == 3 and shape[0] in (1, 3, 4) and shape[2] not in (1, 3, 4)
    if len(shape) == 2 or first or (len(shape) == 3 and shape[2] in (1, 3, 4)):
        return int(first)
    raise Unreadable(f"it is an array {list(shape)}", "give one image [h, w], [h, w, 3] or [3, h, w]")


def _array_header(data: bytes) -> Header:
    shape, dtype = array_header(io.BytesIO(data))
    rows = _array_side(shape)
    return Header(shape[rows + 1], shape[rows], dtype.name not in ("bool", "uint8"), 1)


def _array_pixels(data: bytes, mask: bool, size: int) -> DecodedImage:
    """Pixels of an array; of a mask of 0 and 1 whether they are 1."""
    stream = io.BytesIO(data)
    shape, dtype = array_header(stream)
    values = np.frombuffer(data, dtype, offset=stream.tell()).reshape(shape)
    values = values.astype(dtype.newbyteorder("="), copy=False)
    if _array_side(shape):
        values = np.moveaxis(values, 0, -1)
    if values.ndim == 3:
        opaque = np.iinfo(dtype).max if dtype.kind in "iu" else 1
        if values.shape[2] == 4 and not any((values[..., 3] == alpha).all() for alpha in (opaque, 255)):
            what = "it has 4 channels, of which the last is no opaque alpha"
            raise Unreadable(what, "give one image [h, w], [h, w, 3] or [3, h, w]")
        values = values[..., 0] if values.shape[2] == 1 else values[..., :3]
    if mask:
        return DecodedImage(whole(values))
    integers, pixels = np.issubdtype(dtype, np.integer), np.ascontiguousarray(stored(values))
    used = StoredRange(0, int(pixels.max())) if integers and pixels.dtype == np.uint16 else None
    return DecodedImage(pixels, range=None if pixels.dtype == np.uint8 else (0, 65535 if integers else 1), used=used)


def _is_nifti(data: bytes) -> bool:
    """Return whether a file, or its content in gzip, has the magic of a one-file NIfTI-1 or NIfTI-2 header."""
    head = data
    with suppress(zlib.error):  # of all files but those in gzip
        head = zlib.decompressobj(31).decompress(data, _LONGEST_HEADER)
    return head[344:348] == b"n+1\0" or head[4:8] == b"n+2\0"


def _formats() -> ModuleType:
    """Return the module that needs the libraries of the extra `medical`; imported for the first file that it reads."""
    from assay.data.files import formats

    return formats


def _tiff_pixels(data: bytes, mask: bool, size: int) -> DecodedImage:
    """Pillow reads every compression at 8 bit; more than 8 bit, and kinds that it does not know, come from tifffile."""
    if not _formats().tiff_header(data).deep:
        with suppress(UnidentifiedImageError):
            return _raster_pixels(data, mask, size)
    return _formats().tiff_pixels(data, mask)


def is_dicom(start: bytes) -> bool:
    """Return whether a file that starts like this is DICOM.

    It has the preamble and prefix of PS3.10, 7.1, or starts with an element of group 2 or 8, as files without them do.
    """
    group, element = int.from_bytes(start[:2], "little"), int.from_bytes(start[2:4], "little")
    explicit, length = start[4:6].isalpha() and start[4:6].isupper(), int.from_bytes(start[4:8], "little")
    bare = group in (2, 8) and element < 0x100 and len(start) > 8 and (explicit or length < 0x400)
    return bare or start[128:132] == b"DICM"


def holds_dicom(path: Path) -> bool:
    """Return whether a file is DICOM by its content, and no index of others (DICOMDIR)."""
    with suppress(OSError), path.open("rb") as file:
        return path.name != "DICOMDIR" and is_dicom(file.read(132))
    return False


_RASTERS = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM", b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51")
_KNOWN_FORMATS = (
    _Format(
        is_dicom,
        lambda data: _formats().dicom_header(data),
        lambda data, mask, size: _formats().dicom_pixels(data, mask, size),
    ),
    _Format(
        _is_nifti,
        lambda data: _formats().nifti_header(data),
        lambda data, mask, size: _formats().nifti_pixels(data, mask, size),
    ),
    _Format(
        lambda data: data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
        lambda data: _formats().tiff_header(data),
        _tiff_pixels,
    ),
    _Format(
        lambda data: data.startswith(_RASTERS) or (data[:4] == b"RIFF" and data[8:12] == b"WEBP"),
        _raster_header,
        _raster_pixels,
    ),
    _Format(lambda data: data.startswith(b"\x93NUMPY"), _array_header, _array_pixels),
)
