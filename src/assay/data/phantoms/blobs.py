"""Uneven blobs: closed outlines about a centre, given by harmonics of the polar angle, whose area is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from torch import Tensor

from assay.data.phantoms.canvas import Windows, column


@dataclass(frozen=True, slots=True)
class Blobs:
    """m outlines in the grid's unit of length; float64 [m] each, harmonics [m, k].

    radius: of the circle of equal area. cosine, sine: direction of the long axis. stretch: root of long over short.
    even, odd: amplitudes of the cosine and the sine of 2, 3, ... k + 1 times the polar angle, in radii.
    """

    x: np.ndarray
    y: np.ndarray
    radius: np.ndarray
    cosine: np.ndarray
    sine: np.ndarray
    stretch: np.ndarray
    even: Float[np.ndarray, "m k"]
    odd: Float[np.ndarray, "m k"]

    def mean_radius(self) -> Float[np.ndarray, "m"]:
        """The radius about which the outline swings: smaller than `radius`, since what swings out covers more."""
        power = (self.even * self.even + self.odd * self.odd).sum(axis=1)
        return self.radius / np.sqrt(1 + 0.5 * power)

    def reach(self) -> Float[np.ndarray, "m"]:
        """The outline lies nowhere farther from the centre."""
        swing = np.sqrt(self.even * self.even + self.odd * self.odd).sum(axis=1)
        return self.mean_radius() * self.stretch * (1 + swing)


def within(
    blobs: Blobs, windows: Windows, device: str
) -> tuple[Float[Tensor, "m w w"], Float[Tensor, "m w w"], Float[Tensor, "m w w"], Float[Tensor, "m w w"]]:
    """Each pixel's share of the way from the centre (0) to the outline (1), its depth inside it, and u, v.

    depth: along the ray from the centre, negative outside. u, v: place along and across the long axis on the unit disc
    that the blob becomes when every ray from the centre is as long as the outline is far.
    """
    mean = blobs.mean_radius()
    long, short = mean * blobs.stretch, mean / blobs.stretch
    x, y = windows.x - column(blobs.x, device), windows.y - column(blobs.y, device)
    u = x * column(blobs.cosine / long, device) + y * column(blobs.sine / long, device)
    v = y * column(blobs.cosine / short, device) - x * column(blobs.sine / short, device)
    rho = (u * u).add_(v * v).sqrt_()
    inverse = 1 / (rho + 1e-4)
    outline = _outline(u * inverse, v * inverse, blobs, device)
    scale = (x * x + y * y).sqrt_().mul_(inverse)  # length per half axis along this ray
    depth = (outline - rho).mul_(scale)
    return rho.div_(outline), depth, u.div_(outline), v.div_(outline)


def _outline(cosine: Tensor, sine: Tensor, blobs: Blobs, device: str) -> Float[Tensor, "m w w"]:
    """1 + the harmonics at a polar angle given by its cosine and sine, kept above a fifth."""
    total = cosine.new_ones(cosine.shape)
    c, s = cosine, sine
    for k in range(blobs.even.shape[1]):
        c, s = c * cosine - s * sine, s * cosine + c * sine
        total.add_(c * column(blobs.even[:, k], device)).add_(s * column(blobs.odd[:, k], device))
    return total.clamp_(min=0.2)
