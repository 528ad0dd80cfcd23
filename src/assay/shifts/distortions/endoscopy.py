"""What comes before the lens of an endoscope: glare, bubbles, smoke."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from assay.shifts.confounders.layers import in_channels
from assay.shifts.confounders.randomness import singles
from assay.shifts.distortions.distortion import Distortion, drawn
from assay.shifts.distortions.spots import bubbles, spots
from assay.shifts.distortions.weather import cloud_side, plasma
from assay.shifts.intervention import Parameters

_GLARE = (3, 6, 10, 16, 24)
_BUBBLES = (2, 4, 8, 14, 22)
_SMOKE = (0.2, 0.35, 0.5, 0.65, 0.8)
_PALE = (0.86, 0.88, 0.9)


@dataclass(frozen=True)
class Specular(Distortion):
    """Saturated highlights: spots that go over into white.

    Defined here; compared with no other implementation.
    """

    def changed(self, images: Float[Tensor, "b c h w"], parameters: Parameters) -> Float[Tensor, "b c h w"]:
        """The images with glare."""
        count, (height, width) = self.at(_GLARE), images.shape[2:]
        x, y = drawn(parameters, 0, count) * width, drawn(parameters, 1, count) * height
        radius = drawn(parameters, 2, count, 0.015, 0.07) * min(height, width)
        glare = spots((height, width), x, y, radius).mul_(1.6).clamp_(max=1)
        return torch.lerp(images, torch.ones_like(images), glare.expand_as(images)).clamp_(0, 1)


@dataclass(frozen=True)
class Bubbles(Distortion):
    """Bubbles with a bright rim and a white glint.

    Defined here; compared with no other implementation.
    """

    def changed(self, images: Float[Tensor, "b c h w"], parameters: Parameters) -> Float[Tensor, "b c h w"]:
        """The images with bubbles."""
        return bubbled(images, parameters, self.at(_BUBBLES))


def bubbled(images: Float[Tensor, "b c h w"], parameters: Parameters, count: int) -> Float[Tensor, "b c h w"]:
    """The images with so many bubbles, of 2 to 8 % of the shorter side."""
    height, width = images.shape[2:]
    x, y = drawn(parameters, 0, count) * width, drawn(parameters, 1, count) * height
    radius = drawn(parameters, 2, count, 0.02, 0.08) * min(height, width)
    rims, glints = bubbles((height, width), x, y, radius)
    pale = in_channels(_PALE, images)
    rimmed = images + (pale - images) * rims.mul_(0.6)
    return (rimmed + (1 - rimmed) * glints).clamp_(0, 1)


@dataclass(frozen=True)
class Smoke(Distortion):
    """A pale veil of uneven thickness: x (1 - t) + pale t, t from half of the strength to all of it.

    The thickness is the cloud of `fog` at its slowest decay.
    Defined here; compared with no other implementation.
    """

    def changed(self, images: Float[Tensor, "b c h w"], parameters: Parameters) -> Float[Tensor, "b c h w"]:
        """The images in smoke."""
        height, width = images.shape[2:]
        side = cloud_side(height, width)
        u = singles(parameters["seed"], side * side - 1).mul_(2).sub_(1)
        thick = plasma(u, side, 2.0)[:, None, :height, :width].add(1).mul_(0.5 * self.at(_SMOKE))
        return (images + (in_channels(_PALE, images) - images) * thick).clamp_(0, 1)
