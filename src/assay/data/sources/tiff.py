"""The one place that knows tifffile: TIFF headers, and pixels of more than 8 bit."""

# tifffile is partly untyped: unknown types are let through in this adapter alone.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
import tifffile
from PIL import Image

from assay.data.sources.pictures import Header, Picture, stored
from assay.data.sources.problems import Unreadable

_GREY = (tifffile.PHOTOMETRIC.MINISWHITE, tifffile.PHOTOMETRIC.MINISBLACK)
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
        page = file.pages.first
        frames = sum(not _reduced(page) for page in file.pages) * int(page.imagedepth)
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
        values = np.asarray(page.asarray())
        axes = str(page.axes)
        if axes == "SYX":
            values = np.moveaxis(values, 0, -1)
        if values.ndim == 3 and (page.photometric not in (*_GREY, tifffile.PHOTOMETRIC.RGB)):
            raise Unreadable("it is a 16-bit TIFF in a colour space other than RGB", "export it as RGB or grey")
        if values.ndim == 3:
            values = values[..., :3] if page.photometric == tifffile.PHOTOMETRIC.RGB else values[..., 0]
        pixels = stored(values)
        if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE:
            pixels = np.iinfo(pixels.dtype).max - pixels
        return Picture(_upright(pixels, _orientation(page)))


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
