"""Loss of fine detail: low-pass filters, blur, a coarser grid."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from assay.shifts.confounders.diffuse import Change, same, settled
from assay.shifts.confounders.layers import COMPILED, Shape
from assay.shifts.confounders.smoothing import smoothed
from assay.shifts.confounders.untyped import filtered, squared_frequency
from assay.shifts.intervention import Draws, Parameters


@dataclass(frozen=True)
class LowPass(Change):
    """Frequencies beyond `cutoff` taken away in the Fourier plane: a centred disc, or a Gaussian.

    cutoff: share of the Nyquist frequency. `ideal`: all within is kept, all beyond is gone; from sqrt(2) on nothing
    changes. `gaussian`: the amplitude at the cutoff is exp(-1/2) of what it was. Like any product in the Fourier plane
    it takes the image as periodic, so opposite edges run into each other. Differentiable.
    """

    cutoff: float
    filter: Literal["ideal", "gaussian"]

    def check(self, shape: Shape) -> None:
        """Every image can carry it."""

    def draw(self, draws: Draws, shape: Shape) -> dict[str, Tensor]:
        """`cutoff`, the same for all rows."""
        return same(draws, "cutoff", self.cutoff)

    def changed(self, images: Float[Tensor, "b c h w"], parameters: Parameters) -> Float[Tensor, "b c h w"]:
        """The filtered images."""
        if self.filter == "ideal" and self.cutoff >= math.sqrt(2):
            return images
        height, width = images.shape[2:]
        relative = squared_frequency(height, width, images.device) / (self.cutoff * self.cutoff)
        kept = (relative <= 1).double() if self.filter == "ideal" else torch.exp(-0.5 * relative)
        return settled(filtered(images.double(), kept))


@dataclass(frozen=True)
class Blur(Change):
    """A Gaussian blur in space; the image is mirrored at its edges.

    sigma: standard deviation as a share of the shorter side; weights are those of the Gaussian at whole pixels out to
    four standard deviations, with sum 1. Differentiable.
    """

    sigma: float
    at_once: ClassVar[int] = COMPILED

    def check(self, shape: Shape) -> None:
        """Every image can carry it."""

    def draw(self, draws: Draws, shape: Shape) -> dict[str, Tensor]:
        """`sigma`, the same for all rows."""
        return same(draws, "sigma", self.sigma)

    def changed(self, images: Float[Tensor, "b c h w"], parameters: Parameters) -> Float[Tensor, "b c h w"]:
        """The blurred images."""
        sigma = self.sigma * min(images.shape[2:])
        if sigma == 0:
            return images
        reach = math.ceil(4 * sigma)
        weights = [math.exp(-0.5 * (step / sigma) ** 2) for step in range(reach + 1)]
        total = weights[0] + 2 * sum(weights[1:])
        return smoothed(images, [weight / total for weight in weights], "reflect").clamp_(0, 1)


@dataclass(frozen=True)
class Resample(Change):
    """The image at a coarser resolution, brought back to its size: antialiased bilinear down, bilinear up.

    factor: how many times coarser, 1 changes nothing; at least one pixel is left. Differentiable.
    """

    factor: float

    def check(self, shape: Shape) -> None:
        """Every image can carry it."""

    def draw(self, draws: Draws, shape: Shape) -> dict[str, Tensor]:
        """`factor`, the same for all rows."""
        return same(draws, "factor", self.factor)

    def changed(self, images: Float[Tensor, "b c h w"], parameters: Parameters) -> Float[Tensor, "b c h w"]:
        """The coarser images."""
        if self.factor == 1:
            return images
        height, width = images.shape[2:]
        coarse = max(1, round(height / self.factor)), max(1, round(width / self.factor))
        small = functional.interpolate(images, size=coarse, mode="bilinear", antialias=True)
        return functional.interpolate(small, size=(height, width), mode="bilinear").clamp(0, 1)
