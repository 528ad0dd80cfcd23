"""Words for what header or values of an image file suggest, as notes of it, and the search for lost signs."""

from __future__ import annotations

import numpy as np
from jaxtyping import Shaped

WRAPPED, OVERFLOW, PADDING, SHAPE, SIGN = "wrapped", "overflow", "padding", "presentation", "sign"
UNIT, ASPECT, KIND = "unit ", "aspect ", "kind "
"""Followed by a unit, by the height of a pixel over its width, and by an attribute with its value."""

_LEAST_BITS = 9
"""Values of fewer bits are seldom numbers with a sign."""
_NEAR = 1 / 8
"""Share of the range at either end in which values are near zero, before or behind it."""
_CROSSING, _REST = 0.001, 0.1
"""Share of neighbors that cross zero, from which values are wrapped, and share of jumps that may remain with a sign."""
_DIFFERENT = 8
"""Different values below zero, from which they are no marks of one gray level."""
_OFTEN, _MORE = 0.01, 2
"""Share of the neighbors in 8 bit that jump between the ends of the range, and times other large jumps."""
_STEEP, _AS_OFTEN = 45, (0.6, 1.7)
"""Mean difference of neighbors, modulo 8 bit, of images that are more than noise, and how often they then jump across
half of the range, against what that difference leads to where values have no end.
"""
_MIDDLE = 0.2
"""Least share of the pixels that are neither dark nor bright: of drawings and text fewer are."""
_PIXELS = 1 << 19
"""About so many pixels of an image are compared with their neighbors."""


def wraps(values: Shaped[np.ndarray, "h w"], bits: int) -> bool:
    """Return whether unsigned values of so many bits are negative ones that have lost their sign.

    Neighbors then jump by more than half of the range across zero, and hardly any do if values have a sign. Marks and
    metal of the highest value jump too, but have few values or smooth edges.

    Examples:
        >>> units = np.random.default_rng(0).integers(-300, 300, (32, 32))
        >>> wraps(units % 4096, 12), wraps(units + 1024, 12)
        (True, False)
    """
    full = 1 << bits
    near = full * _NEAR
    if values.ndim != 2 or bits < _LEAST_BITS or int(values.max()) < full - near or int(values.min()) >= near:
        return False
    rows = values[:: max(1, values.size // _PIXELS)].astype(np.int64)
    low, high = np.minimum(rows[:, 1:], rows[:, :-1]), np.maximum(rows[:, 1:], rows[:, :-1])
    jumps = high - low > full // 2
    crossing = jumps & (low < near) & (high >= full - near) & (high < full)
    signed = np.where(rows >= full // 2, rows - full, rows)
    rest = np.abs(np.diff(signed, axis=1)) > full // 2
    return bool(
        crossing.sum() >= _CROSSING * low.size
        and rest.sum() <= _REST * jumps.sum()
        and len(np.unique(high[crossing & (high < full - 1)])) >= _DIFFERENT
        and len(np.unique(low[crossing])) >= _DIFFERENT  # a black surround has one value
    )


def overflows(values: Shaped[np.ndarray, "h w"]) -> bool:
    """Return whether gray values of 8 bit are the remainders of greater ones, as a cast from 12 bit leaves them.

    Neighbors then jump between the dark and the bright end of the range, and hardly any jump as far elsewhere. Where
    values wrap many times, neighbors that differ by d modulo 256 jump across half of the range with a chance of d/256.

    Examples:
        >>> ramp = np.add.outer(np.arange(0, 4000, 33), np.arange(0, 1000, 9))
        >>> overflows((ramp % 256).astype(np.uint8)), overflows((ramp // 20).astype(np.uint8))
        (True, False)
    """
    if values.ndim != 2 or min(values.shape) < 2:
        return False
    rows = values[:: max(1, values.size // _PIXELS)].astype(np.int64)
    if ((rows >= 64) & (rows < 192)).mean() < _MIDDLE:
        return False
    low, high = np.minimum(rows[:, 1:], rows[:, :-1]), np.maximum(rows[:, 1:], rows[:, :-1])
    jumps = high - low > 128
    crossing = jumps & (low < 256 * _NEAR) & (high >= 256 * (1 - _NEAR))
    difference = np.abs((np.diff(rows, axis=1) + 128) % 256 - 128).mean()
    as_often = jumps.mean() / max(difference / 256, 1e-9)
    wraps_often = difference <= _STEEP and _AS_OFTEN[0] <= as_often <= _AS_OFTEN[1]
    return bool(
        crossing.sum() >= _OFTEN * low.size
        and (wraps_often or crossing.sum() >= _MORE * (jumps & ~crossing).sum())
        and len(np.unique(high[crossing])) >= _DIFFERENT
        and len(np.unique(low[crossing])) >= _DIFFERENT
    )
