"""Noise: of counted photons, by the published formula, and Gaussian."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from assay.shifts.confounders.diffuse import Change, settled
from assay.shifts.confounders.layers import Shape
from assay.shifts.confounders.randomness import normals, uniforms
from assay.shifts.intervention import Draws, Parameters

_HU_LOW, _HU_SPAN = -1200.0, 2000.0  # black is -1200 HU, white 800
_WATER, _LESS = 0.1837, 0.1662  # attenuation at 0 HU, and at -1000 HU


@dataclass(frozen=True)
class PoissonNoise(Change):
    """The noise of a scan with fewer photons, as the published study of confounders made it.

    A pixel x of 0..1 is read as HU = 2000 x - 1200, attenuation a = HU (0.1837 - 0.1662) / 1000 + 0.1837 and expected
    count photons exp(-a); a Poisson count c is drawn and read back as a = -ln max(1e-8, c / photons). The published
    code works on 8 bits: it adds a uniform number below one grey level first and cuts to whole levels at the end, which
    keeps the mean; `levels` = 256 does so, 0 leaves both out.

    photons: N0. The noise has a standard deviation of about 31 / sqrt(photons) in units of black to white. Counts are
    whole numbers, so no gradient flows.
    """

    photons: float
    levels: int

    def check(self, shape: Shape) -> None:
        """Every image can carry it."""

    def draw(self, draws: Draws, shape: Shape) -> dict[str, Tensor]:
        """`seed`: for counts; `dither`: for what is added below one level."""
        return {"seed": draws.seeds("counts"), "dither": draws.seeds("dither")}

    def apply(self, images: Float[Tensor, "b c h w"], parameters: Parameters) -> Float[Tensor, "b c h w"]:
        """The noisy images; each channel is counted by itself."""
        pixels, count = images.double(), images[0].numel() if len(images) else 0
        if self.levels:
            below = uniforms(parameters["dither"], count).view_as(pixels)
            pixels = pixels + below / (self.levels - 1)
        slope = (_WATER - _LESS) / 1000
        attenuation = (pixels * _HU_SPAN + _HU_LOW) * slope + _WATER
        chance = normals(parameters["seed"], count).view_as(pixels)
        counts = poisson_quantile(chance, self.photons * torch.exp(-attenuation))
        noisy = ((-torch.log((counts / self.photons).clamp(min=1e-8)) - _WATER) / slope - _HU_LOW) / _HU_SPAN
        if self.levels:
            top = self.levels - 1
            noisy = (noisy.clamp(0, 1) * top).floor() / top
            return noisy.float()
        return settled(noisy)


@dataclass(frozen=True)
class GaussianNoise(Change):
    """Independent Gaussian noise in every pixel and channel, cut at black and white.

    sigma: standard deviation in units of the range black to white. Differentiable.
    """

    sigma: float

    def check(self, shape: Shape) -> None:
        """Every image can carry it."""

    def draw(self, draws: Draws, shape: Shape) -> dict[str, Tensor]:
        """`seed`: for the row's noise."""
        return {"seed": draws.seeds("noise")}

    def apply(self, images: Float[Tensor, "b c h w"], parameters: Parameters) -> Float[Tensor, "b c h w"]:
        """The noisy images."""
        noise = normals(parameters["seed"], images[0].numel() if len(images) else 0).view_as(images)
        return (images + self.sigma * noise).clamp(0, 1)


def poisson_quantile(w: Float[Tensor, "*shape"], mean: Float64[Tensor, "*shape"]) -> Float64[Tensor, "*shape"]:
    """Poisson counts of these means, for means from 50 up: the quantile at the probability below `w` of a normal.

    The Cornish-Fisher expansion to order 1 / mean, cut to a whole number (Giles 2016, ACM TOMS 42, 7): at means of 50
    and above it is the exact quantile but for less than one draw in 10^4, which is then off by one.
    """
    w = w.double()
    square, root = w * w, mean.sqrt()
    third = (-w / 36 - square * w / 72) / root
    fourth = (-8 / 405 + square * (7 / 810) + square * square / 270) / mean
    return (mean + root * w + 1 / 3 + square / 6 + third + fourth).floor().clamp(min=0)
