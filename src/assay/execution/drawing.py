"""Images as they are drawn: as colours, enlarged, with the outlines of masks upon them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float, UInt8
from scipy import ndimage

Colour = tuple[int, int, int]
TRUTH: Colour = (255, 255, 255)
LEAST_SIDE = 160
"""Images of fewer pixels a side are doubled, so that an outline hides little of them."""


def coloured(pixels: Float[np.ndarray, "c h w"]) -> UInt8[np.ndarray, "h w 3"]:
    """An image in 0..1 as colours."""
    image = np.round(255 * pixels).astype(np.uint8).transpose(1, 2, 0)
    return np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image


def enlarged(image: np.ndarray) -> np.ndarray:
    """Each pixel twice along both sides, unless the image is large."""
    times = 1 if image.shape[0] >= LEAST_SIDE else 2
    return image.repeat(times, axis=0).repeat(times, axis=1)


def outlined(
    image: UInt8[np.ndarray, "h w 3"], masks: Mapping[Colour, Bool[np.ndarray, "h w"]]
) -> UInt8[np.ndarray, "h2 w2 3"]:
    """The image, enlarged, with the outline of each mask in its colour, one pixel wide; the last lies on top."""
    canvas = enlarged(image).copy()
    for colour, mask in masks.items():
        whole = enlarged(mask)
        canvas[whole & ~ndimage.binary_erosion(whole)] = colour
    return canvas
