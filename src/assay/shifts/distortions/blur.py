"""Blurs: Gaussian, out of focus, along a direction, and towards the middle."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor
from torch.nn import functional

from assay.data.phantoms.exact import direction
from assay.shifts.confounders.diffuse import same
from assay.shifts.confounders.layers import Shape
from assay.shifts.confounders.smoothing import correlated, gaussian, smooth, widened
from assay.shifts.distortions.distortion import Distortion, untied
from assay.shifts.intervention import Draws, Parameters

_SIGMA = (1.0, 2.0, 3.0, 4.0, 6.0)
_DISC = ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5))
_MOTION = ((10, 3.0), (15, 5.0), (15, 8.0), (15, 12.0), (20, 15.0))
_ZOOM = ((1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03))
_WIDEST = 45.0


@dataclass(frozen=True)
class GaussianBlur(Distortion):
    """A Gaussian blur of sigma px, cut at four sigma; the edge goes on outside.

    Against the reference: within one level of 8 bits.
    """

    def draw(self, draws: Draws, shape: Shape) -> dict[str, Tensor]:
        """Nothing is random: `severity`, the same for all rows."""
        return same(draws, "severity", self.severity)

    def changed(self, images: Float[Tensor, "b c h w"], parameters: Parameters) -> Float[Tensor, "b c h w"]:
        """The blurred images."""
        return gaussian(images, self.at(_SIGMA)).clamp_(0, 1)


@dataclass(frozen=True)
class DefocusBlur(Distortion):
    """Every point becomes a disc with a soft rim; the image is mirrored beyond its edge pixels.

    Against the reference: within one level of 8 bits.
    """

    def draw(self, draws: Draws, shape: Shape) -> dict[str, Tensor]:
        """Nothing is random: `severity`, the same for all rows."""
        return same(draws, "severity", self.severity)

    def changed(self, images: Float[Tensor, "b c h w"], parameters: Parameters) -> Float[Tensor, "b c h w"]:
        """The images out of focus."""
        return untied(correlated(images.double(), disc(*self.at(_DISC)).to(images.device), "mirror"))


def disc(radius: int, softness: float) -> Float64[Tensor, "k k"]:
    """A disc of sum 1 on 17 px, or on 2 radius + 1 where that is more, then smoothed over 3 px or 5."""
    reach, rim = (8, 1) if radius <= 8 else (radius, 2)
    place = torch.arange(-reach, reach + 1, dtype=torch.float64)
    filled = (place[:, None] ** 2 + place[None, :] ** 2 <= radius**2).double()
    weights = [math.exp(-0.5 * (step / softness) ** 2) for step in range(rim + 1)]
    total = weights[0] + 2 * sum(weights[1:])
    soft = (filled / filled.sum())[None, None]
    for axis in (2, 3):
        soft = smooth(soft, [weight / total for weight in weights], axis, "mirror")
    return soft[0, 0]


@dataclass(frozen=True)
class MotionBlur(Distortion):
    """A mean along a line through the pixel and to one side, half a Gaussian its weights; the edge goes on outside.

    The line's angle is drawn within 45 degrees of the horizontal. Against the reference, given its angle: within one
    level of 8 bits where the line is shorter than the image. Where it is longer the reference stops adding, which makes
    the image darker; here the edge goes on, as in ImageMagick, which MedMNIST-C calls: within one level throughout.
    """

    def draw(self, draws: Draws, shape: Shape) -> dict[str, Tensor]:
        """`cosine`, `sine` of the angle."""
        cosine, sine = direction((draws.uniform("angle").numpy() - 0.5) * (2 * _WIDEST / 360))
        return {"cosine": torch.as_tensor(cosine), "sine": torch.as_tensor(sine)}

    def changed(self, images: Float[Tensor, "b c h w"], parameters: Parameters) -> Float[Tensor, "b c h w"]:
        """The blurred images."""
        radius, sigma = self.at(_MOTION)
        return moved(images, radius, sigma, parameters["cosine"], parameters["sine"]).clamp_(0, 1)


def moved(
    images: Float[Tensor, "b c h w"], radius: int, sigma: float, cosine: Float[Tensor, "b"], sine: Float[Tensor, "b"]
) -> Float[Tensor, "b c h w"]:
    """A motion blur over 2 radius + 1 px with a direction of each row's own."""
    taps = 2 * radius + 1
    weights = np.exp(-(np.arange(taps) ** 2) / (2 * sigma * sigma))
    shares: list[float] = (weights / weights.sum()).tolist()
    reach = 2 * radius
    wide = widened(images, reach, "nearest")
    height, width = images.shape[2:]
    out = torch.zeros_like(images)
    for row in range(len(images)):
        along, down = float(cosine[row]), float(sine[row])
        for step, share in enumerate(shares):
            top = reach + math.ceil(step * down - 0.5)
            left = reach + math.ceil(step * along - 0.5)
            out[row].add_(wide[row, :, top : top + height, left : left + width], alpha=share)
    return out


@dataclass(frozen=True)
class ZoomBlur(Distortion):
    """The mean of the image and of the image at magnifications from 1 up, each cut to size from its top left corner.

    Against the reference: within one level of 8 bits.
    """

    def draw(self, draws: Draws, shape: Shape) -> dict[str, Tensor]:
        """Nothing is random: `severity`, the same for all rows."""
        return same(draws, "severity", self.severity)

    def changed(self, images: Float[Tensor, "b c h w"], parameters: Parameters) -> Float[Tensor, "b c h w"]:
        """The blurred images."""
        end, step = self.at(_ZOOM)
        factors: list[float] = np.arange(1, end, step).tolist()
        total = images * 2  # itself, and its magnification by 1
        height, width = images.shape[2:]
        for factor in factors[1:]:
            total += zoomed(images, factor)[:, :, :height, :width]
        return total.div_(len(factors) + 1).clamp_(0, 1)


def zoomed(images: Float[Tensor, "b c h w"], factor: float) -> Float[Tensor, "b c h2 w2"]:
    """The middle of the images, `factor` times as large (bilinear, corners on corners): at least their size."""
    height, width = images.shape[2:]
    tall, wide = math.ceil(height / factor), math.ceil(width / factor)
    top, left = (height - tall) // 2, (width - wide) // 2
    middle = images[:, :, top : top + tall, left : left + wide]
    size = round(tall * factor), round(wide * factor)
    return functional.interpolate(middle, size=size, mode="bilinear", align_corners=True)
