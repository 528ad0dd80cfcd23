"""Pixel values of any type as 8 or 16 bit, and preprocessing of retinal photographs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Shaped

from assay.data.files.table import Unreadable

# The result of a reader, and the conversion of numbers of any type to 8 or 16 bit.

OWN_RANGE = "was scaled from its own minimum to its maximum"
"""End of the note on an image whose gray values cannot be compared with those of others."""
HINT = "hint: "
"""Beginning of a note that is no change of an image: a word of `image_doubts` on what its header or values suggest."""
SMALLEST = 8
"""Pixels on the shorter side below which a file is no image."""


@dataclass(frozen=True, slots=True)
class Header:
    """Width and height as shown (after orientation), whether it has over 8 bit, how many frames.

    Attributes:
        orientation: Of EXIF, by which viewers turn it; 1 for none.
        axes: Directions of the two axes of NIfTI as stored, such as LP; RA if it does not state them. Else empty.
        grid: Position of the first pixel as shown, and the steps to the next column and row, in mm (RAS), 9 numbers;
            empty if the header does not say so.
    """

    width: int
    height: int
    deep: bool
    frames: int = 1
    orientation: int = 1
    axes: str = ""
    grid: Sequence[float] = ()


@dataclass(frozen=True, slots=True)
class StoredRange:
    """Smallest and largest value that a 16-bit file stores.

    Attributes:
        low: Smallest value; 0 of unsigned files.
        high: Largest value.
        signed: Pixels are the stored values plus 32,768.
        inverted: Pixels are 65,535 less these; small values are bright.
        slope, intercept: What makes values that can be compared between files of the stored ones.
    """

    low: int
    high: int
    signed: bool = False
    inverted: bool = False
    slope: float = 1.0
    intercept: float = 0.0

    @property
    def bits(self) -> int:
        """Bits that the values take, at least 8."""
        reach = max(self.high, -self.low - 1) if self.signed else self.high
        return max(8, reach.bit_length() + self.signed)

    def range(self, bits: int) -> tuple[float, float]:
        """Return the values that so many bits can give; the second appears white."""
        first, last = sorted(end * self.slope + self.intercept for end in limits(bits, self.signed))
        return (last, first) if self.inverted != (self.slope < 0) else (first, last)


@dataclass(frozen=True, slots=True)
class DecodedImage:
    """Decoded pixels, uint8 or uint16, [h, w] or [h, w, 3], or a mask as bool; changes made while reading; lossy.

    Attributes:
        palette: Of a mask whose pixels are indices into a palette, the colors that they show.
        range: Of more than 8 bit, the values of the file that appear black and white.
        used: Values that a 16-bit file stores, where no header declares the displayed range; None where it is known.
        display: `VALUES`, or the window of the file's header; empty where the format has neither.
    """

    pixels: np.ndarray
    notes: tuple[str, ...] = ()
    lossy: bool = False
    palette: np.ndarray | None = None
    range: tuple[float, float] | None = None
    used: StoredRange | None = None
    display: str = ""


VALUES = "values"
"""The display of a file whose values can be compared with those of others, over a range that its header gives."""


def stored(values: np.ndarray) -> np.ndarray:
    """Pixel values of any type as uint8 or uint16, without guessing a scale.

    bool, uint8 and uint16 stay; other integers must lie in 0 to 65535; floats must lie in 0 to 1 and become 16 bit.
    Raises Unreadable with the range found.
    """
    if values.dtype == np.bool_:
        return values.astype(np.uint8) * np.uint8(255)
    if values.dtype.name in ("uint8", "uint16"):
        return values
    finite(values)
    low, high = float(values.min()), float(values.max())
    if np.issubdtype(values.dtype, np.integer) and low >= 0 and high <= 65535:
        return values.astype(np.uint16)
    if np.issubdtype(values.dtype, np.floating) and low >= 0 and high <= 1:
        return np.round(np.multiply(values, 65535, dtype=np.float64)).astype(np.uint16)
    allowed = "0 to 65535" if np.issubdtype(values.dtype, np.integer) else "0 to 1"
    raise Unreadable(
        f"its values run from {low:g} to {high:g}, and what range is shown is not said",
        f"shift and scale them to {allowed}",
    )


FROM_WHOLE = 0.01
"""Distance from the next whole number up to which a value of a mask is rounded to it."""


def whole(values: np.ndarray) -> np.ndarray:
    """Values of a mask as whole numbers of 8 or 16 bit; of 0 and 1 as bool. Floats, and rescaled values, are rounded.

    Raises:
        Unreadable: If one is far from a whole number, or is not in 0 to 65535.
    """
    finite(values)
    numbers = np.rint(values) if values.dtype.kind == "f" else values
    far = np.abs(values - numbers) if values.dtype.kind == "f" else np.zeros(1)
    if far.max() > FROM_WHOLE:
        count, value = int((far > FROM_WHOLE).sum()), float(values.flat[far.argmax()])
        what = f"{count:,} of its values are not whole numbers, such as {value:g}"
        raise Unreadable(what, "a mask holds labels: export it without interpolation, or at a threshold")
    if numbers.min() < 0 or numbers.max() > 65535:
        what = f"its values run from {int(numbers.min()):,} to {int(numbers.max()):,}"
        raise Unreadable(what, "a mask holds labels from 0 to 65535")
    if numbers.max() <= 1:
        return numbers > 0
    return stored(numbers if values.dtype.kind in "iu" else numbers.astype(np.int64))


def limits(bits: int, signed: bool) -> tuple[int, int]:
    """Return the smallest and the largest number of so many bits."""
    return (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)


def at_full_range(pixels: np.ndarray, bits: int, used: StoredRange) -> np.ndarray:
    """Return uint16 pixels of a file whose values take so many bits, stretched to 16; values beyond are clipped.

    Black padding stays black, in inverted images too.
    """
    low, high = limits(bits, used.signed)
    values = (65535 - pixels if used.inverted else pixels) - (low + 32768.0 * used.signed)
    out = np.clip(np.round(values * (65535 / (high - low))), 0, 65535).astype(np.uint16)
    return 65535 - out if used.inverted else out


def over_common_range(pixels: np.ndarray, shown: tuple[float, float], common: tuple[float, float]) -> np.ndarray:
    """Return uint16 pixels over a range that files share.

    Args:
        pixels: Pixels of a file.
        shown: Values that appear black and white in them; descending in an inverted image.
        common: The range, ascending.
    """
    values = shown[0] + pixels * ((shown[1] - shown[0]) / 65535)
    out = scaled(values, *common)
    return 65535 - out if shown[0] > shown[1] else out


def scaled(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Values as uint16, `low` and below becoming 0, `high` and above 65535."""
    finite(values)
    if not high > low:
        return np.zeros(values.shape, dtype=np.uint16)
    return np.round(np.clip((values - low) / (high - low), 0, 1) * 65535).astype(np.uint16)


def finite(values: np.ndarray) -> None:
    """Raise Unreadable when any value is NaN or infinite, or none of them is a plain number."""
    if values.dtype.kind not in "biuf":
        what = "complex numbers" if values.dtype.kind == "c" else f"of the type {values.dtype}"
        raise Unreadable(f"its values are {what}", "save plain numbers, such as the magnitude of complex ones")
    if np.issubdtype(values.dtype, np.floating):
        bad = int(np.size(values) - np.isfinite(values).sum())
        if bad:
            raise Unreadable(f"{bad} of its values are NaN or infinite", "replace them, for example by the background")


_SCANS, _EXIF, _MOST_EXIF = 100, b"Exif\0\0", 100
_MARKER = re.compile(rb"\xff([\x02-\xcf\xd9-\xfe])")
"""A marker of JPEG that a length follows, or the end; others are within compressed values, or stand alone."""


def check_scans(data: bytes) -> None:
    """Raise Unreadable for a JPEG of more than 100 scans or blocks of EXIF.

    Each scan takes the time of all pixels, also an empty one, and each block of EXIF that of all before it.
    """
    if data.count(_EXIF) > _MOST_EXIF:
        raise Unreadable(f"it is a JPEG of over {_MOST_EXIF} blocks of EXIF", "save it again")
    at, scans = 2, 0
    while (marker := _MARKER.search(data, at)) and marker[1] != b"\xd9":
        at = marker.end() + int.from_bytes(data[marker.end() : marker.end() + 2])
        scans += marker[1] == b"\xda"
        if scans > _SCANS:
            raise Unreadable(f"it is a JPEG of over {_SCANS} scans", "save it again")


# Named preprocessing of retinal photographs: cut to the field of view, and colors relative to the local mean.

_DARK = 0.06
"""Of the brightest level of the image: darker pixels in every channel counts as outside the field of view."""
_FILLED = 0.02
"""Share of a row or column within the field of view from which it counts: burned-in text and dust have less."""
_OF_RADIUS, _KEPT, _GAIN = 1 / 30, 0.9, 4.0
"""Graham's: the blur's standard deviation in radii, the part of the radius that is kept, the gain."""

Pixels = Shaped[np.ndarray, "h w *c"]


def circle_crop(pixels: Pixels) -> Pixels:
    """Return the smallest rectangle that holds the field of view, black outside the circle about its middle.

    The circle's diameter is the rectangle's longer side, so that a field of view that the frame cuts off above and
    below stays whole. An image without a field of view stays as it is.

    Args:
        pixels: uint8 or uint16, [h, w] or [h, w, 3].
    """
    bright = pixels.max(axis=2) if pixels.ndim == 3 else pixels
    inside = bright > _DARK * float(bright.max())
    rows, columns = (np.flatnonzero(inside.mean(axis=axis) > _FILLED) for axis in (1, 0))
    if not len(rows) or not len(columns):
        return pixels
    cut = pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    within = _distance(*cut.shape[:2]) <= 1
    return np.where(within[..., None] if cut.ndim == 3 else within, cut, 0).astype(pixels.dtype)


def ben_graham(fitted: Shaped[np.ndarray, "c s s"]) -> Shaped[np.ndarray, "c s s"]:
    """4 * (image - local mean) + half of the range, clipped; beyond nine tenths of the radius it is half of the range.

    The local mean is a Gaussian's, of a thirtieth of the radius.

    Args:
        fitted: An image that `circle_crop` cut, in its square, uint8 or uint16. Graham, winning entry of Kaggle's
            *Diabetic Retinopathy Detection*, 2015.
    """
    from scipy import ndimage  # here, since few studies ask for it

    top = float(np.iinfo(fitted.dtype).max)
    side = fitted.shape[-1]
    values = fitted.astype(np.float32)
    mean = ndimage.gaussian_filter(values, (0, side / 2 * _OF_RADIUS, side / 2 * _OF_RADIUS), mode="nearest")
    out = _GAIN * (values - mean) + top / 2
    out[:, _distance(side, side) > _KEPT] = top / 2
    return np.clip(np.round(out), 0, top).astype(fitted.dtype)


def _distance(height: int, width: int) -> np.ndarray:
    """From the middle, in radii of the longer side."""
    down, across = (np.arange(side) - (side - 1) / 2 for side in (height, width))
    return np.hypot(down[:, None], across[None, :]) / (max(height, width) / 2)
