"""Named preprocessing of retinal photographs: cut to the field of view, and colours beside the local mean."""

from __future__ import annotations

import numpy as np
from jaxtyping import Shaped
from scipy import ndimage

_DARK = 0.06
"""Of the brightest level of the image: what is darker in every channel counts as outside the field of view."""
_FILLED = 0.02
"""Share of a row or column within the field of view from which it counts: burnt-in text and dust have less."""
_OF_RADIUS, _KEPT, _GAIN = 1 / 30, 0.9, 4.0
"""Graham's: the blur's standard deviation in radii, the part of the radius that is kept, the gain."""

Pixels = Shaped[np.ndarray, "h w *c"]


def circle_crop(pixels: Pixels) -> Pixels:
    """The smallest rectangle that holds the field of view, black outside the circle about its middle.

    The circle's diameter is the rectangle's longer side, so that a field of view that the frame cuts off above and
    below stays whole. An image without a field of view stays as it is. pixels: uint8 or uint16, [h, w] or [h, w, 3].
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

    The local mean is a Gaussian's, of a thirtieth of the radius. fitted: an image that `circle_crop` cut, in its
    square, uint8 or uint16. Graham, winning entry of Kaggle's *Diabetic Retinopathy Detection*, 2015.
    """
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
