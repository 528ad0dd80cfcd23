"""Tone and colour: brightness, contrast, saturation."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from assay.shifts.confounders.diffuse import same
from assay.shifts.confounders.layers import Shape
from assay.shifts.distortions.distortion import Distortion, needs_colour
from assay.shifts.intervention import Draws, Parameters

_BRIGHTER = (0.1, 0.2, 0.3, 0.4, 0.5)
_CONTRAST = (0.4, 0.3, 0.2, 0.1, 0.05)
_SATURATION = ((0.3, 0.0), (0.1, 0.0), (2.0, 0.0), (5.0, 0.1), (20.0, 0.2))


@dataclass(frozen=True)
class Brightness(Distortion):
    """A constant added to the value of HSV (the greatest channel), hue and saturation kept; grey images: added.

    Against the reference: within one level of 8 bits.
    """

    def draw(self, draws: Draws, shape: Shape) -> dict[str, Tensor]:
        """Nothing is random: `severity`, the same for all rows."""
        return same(draws, "severity", self.severity)

    def changed(self, images: Float[Tensor, "b c h w"], parameters: Parameters) -> Float[Tensor, "b c h w"]:
        """The brighter images."""
        value = images.amax(dim=1, keepdim=True)
        brighter = (value + self.at(_BRIGHTER)).clamp_(max=1)
        return torch.where(value > 0, images * (brighter / value.clamp(min=1e-12)), brighter).clamp_(0, 1)


@dataclass(frozen=True)
class Contrast(Distortion):
    """Every channel nearer to its mean over the image. Against the reference: within one level of 8 bits."""

    def draw(self, draws: Draws, shape: Shape) -> dict[str, Tensor]:
        """Nothing is random: `severity`, the same for all rows."""
        return same(draws, "severity", self.severity)

    def changed(self, images: Float[Tensor, "b c h w"], parameters: Parameters) -> Float[Tensor, "b c h w"]:
        """The flatter images."""
        share = self.at(_CONTRAST)
        # a mean of float32 differs in its last bits with the batch: in float64 that is rounded away
        mean = images.double().mean(dim=(2, 3), keepdim=True).float()
        return images.mul(share).add_(mean, alpha=1 - share).clamp_(0, 1)


@dataclass(frozen=True)
class Saturate(Distortion):
    """The saturation of HSV multiplied and added to; a grey pixel, whose hue is 0, turns red from severity 4 on.

    Against the reference: within one level of 8 bits.
    """

    def check(self, shape: Shape) -> None:
        """Raises SpecError for images that are not RGB: they have no saturation."""
        needs_colour("saturate", shape)

    def draw(self, draws: Draws, shape: Shape) -> dict[str, Tensor]:
        """Nothing is random: `severity`, the same for all rows."""
        return same(draws, "severity", self.severity)

    def changed(self, images: Float[Tensor, "b c h w"], parameters: Parameters) -> Float[Tensor, "b c h w"]:
        """The images with fainter or stronger colours."""
        times, plus = self.at(_SATURATION)
        value = images.amax(dim=1, keepdim=True)
        below = value - images
        most = below.amax(dim=1, keepdim=True)
        saturation = torch.where(most > 0, most / value.clamp(min=1e-12), 0.0)
        wanted = (saturation * times + plus).clamp_(0, 1) * value
        red = torch.ones_like(images)
        red[:, 0] = 0
        away = torch.where(most > 0, below / most.clamp(min=1e-12), red)
        return (value - away * wanted).clamp_(0, 1)
