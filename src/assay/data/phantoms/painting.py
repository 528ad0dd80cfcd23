"""Colour: three planes for a batch of images, painted in windows or blended whole; and colours between colours."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from assay.data.phantoms.canvas import Windows

Planes = Float[Tensor, "3 n size size"]
"""Red, green, blue of n images, contiguous: a channel is a canvas of its own."""


def colours(values: Float[np.ndarray, "n 3"], device: str) -> Float[Tensor, "3 n 1 1"]:
    """One colour per image, to be broadcast over planes."""
    return torch.as_tensor(np.ascontiguousarray(values.T).astype(np.float32), device=device)[:, :, None, None]


def blend(under: Planes, over: Tensor, weight: Float[Tensor, "n size size"]) -> Planes:
    """`over` on `under`, in place of `under`: exactly the one at a weight of 0, exactly the other at 1."""
    return under.mul_(1 - weight).add_(over * weight)


def dab(planes: Planes, windows: Windows, weight: Float[Tensor, "m w w"], paint: Float[Tensor, "3 m *w *w"]) -> None:
    """Blend paint into windows of the planes. No image may have two of these windows: the last would win at random."""
    for plane, colour in zip(planes, paint, strict=True):
        windows.blend(plane, colour, weight)


def along(anchors: Float[np.ndarray, "k 3"], t: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n 3"]:
    """The colour at t (0 to 1, clipped) on the line through k anchors at equal steps."""
    place = t.clip(0, 1) * (len(anchors) - 1)
    first = np.minimum(np.floor(place), len(anchors) - 2).astype(np.int64)
    rest = (place - first)[:, None]
    return anchors[first] + (anchors[first + 1] - anchors[first]) * rest


def paint(colour: Float[np.ndarray, "3"], rows: int, device: str) -> Float[Tensor, "3 n 1 1"]:
    """One colour for all images."""
    return colours(np.tile(colour, (rows, 1)), device)
