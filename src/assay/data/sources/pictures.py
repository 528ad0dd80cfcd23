"""What a reader returns, and how numbers of any type become 8 or 16 bit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from assay.data.sources.problems import Unreadable

SMALLEST = 8
"""Pixels on the shorter side below which a file is no image."""


@dataclass(frozen=True, slots=True)
class Header:
    """Width and height as shown (after orientation), whether it has over 8 bit, how many frames."""

    width: int
    height: int
    deep: bool
    frames: int = 1


@dataclass(frozen=True, slots=True)
class Picture:
    """Decoded pixels, uint8 or uint16, [h, w] or [h, w, 3], or a mask as bool; what was changed on the way; lossy.

    palette: of a mask whose pixels are indices into a palette, the colours that they show.
    """

    pixels: np.ndarray
    notes: tuple[str, ...] = ()
    lossy: bool = False
    palette: np.ndarray | None = None


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
        return np.round(values * 65535).astype(np.uint16)
    allowed = "0 to 65535" if np.issubdtype(values.dtype, np.integer) else "0 to 1"
    raise Unreadable(
        f"its values run from {low:g} to {high:g}, and what range is shown is not said",
        f"shift and scale them to {allowed}",
    )


def scaled(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Values as uint16, `low` and below becoming 0, `high` and above 65535."""
    finite(values)
    if not high > low:
        return np.zeros(values.shape, dtype=np.uint16)
    return np.round(np.clip((values - low) / (high - low), 0, 1) * 65535).astype(np.uint16)


def finite(values: np.ndarray) -> None:
    """Raise Unreadable when any value is NaN or infinite."""
    if np.issubdtype(values.dtype, np.floating):
        bad = int(np.size(values) - np.isfinite(values).sum())
        if bad:
            raise Unreadable(f"{bad} of its values are NaN or infinite", "replace them, for example by the background")
