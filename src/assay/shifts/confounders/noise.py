"""Noise: of counted photons, by the published formula, and Gaussian."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from assay.data.phantoms.counter import lattice_bits
from assay.shifts.confounders.diffuse import Change, settled
from assay.shifts.confounders.layers import Shape
from assay.shifts.confounders.noise_kernels import add_noise, attenuate, count, read_back
from assay.shifts.confounders.processor import at_hand
from assay.shifts.confounders.randomness import normals, uniforms
from assay.shifts.intervention import Draws, Parameters

_HU_LOW, _HU_SPAN = -1200.0, 2000.0  # black is -1200 HU, white 800
_WATER, _LESS = 0.1837, 0.1662  # attenuation at 0 HU, and at -1000 HU
_BLACK = _HU_LOW * (_WATER - _LESS) / 1000 + _WATER
_SPAN = _HU_SPAN * (_WATER - _LESS) / 1000  # from the attenuation of black to that of white


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

    def changed(self, images: Float[Tensor, "b c h w"], parameters: Parameters) -> Float[Tensor, "b c h w"]:
        """The noisy images; each channel is counted by itself."""
        if self.levels and at_hand(images):
            return self._compiled(images, parameters)
        pixels, size, top = images.detach().double(), images[0].numel(), self.levels - 1
        if self.levels:
            pixels += uniforms(parameters["dither"], size).view_as(pixels).div_(top)
        chance = normals(parameters["seed"], size).view_as(images)
        # the root of the expected count: with it at hand, no square root is taken of every pixel
        root = pixels.mul_(-_SPAN / 2).sub_(_BLACK / 2).exp_().mul_(math.sqrt(self.photons))
        counts = poisson_quantile(chance, root)
        noisy = counts.div_(self.photons).clamp_(min=1e-8).log_().add_(_BLACK).mul_(-1 / _SPAN)
        return noisy.clamp_(0, 1).mul_(top).floor_().float().div_(top) if self.levels else settled(noisy)

    def _compiled(self, images: Float[Tensor, "b c h w"], parameters: Parameters) -> Float[Tensor, "b c h w"]:
        """`changed` on a processor, for whole levels."""
        number, top = images[0].numel(), self.levels - 1
        dither = lattice_bits(parameters["dither"].to(torch.int32), number)
        chance = normals(parameters["seed"], number)
        worked, out = torch.empty(images.numel(), dtype=torch.float64), torch.empty(images.shape)
        attenuate(images.flatten().numpy(), dither.flatten().numpy(), top, -_SPAN / 2, _BLACK / 2, worked.numpy())
        count(worked.exp_().numpy(), chance.flatten().numpy(), math.sqrt(self.photons), self.photons)
        read_back(worked.log_().numpy(), _BLACK, -1 / _SPAN, top, out.flatten().numpy())
        return out


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

    def changed(self, images: Float[Tensor, "b c h w"], parameters: Parameters) -> Float[Tensor, "b c h w"]:
        """The noisy images."""
        noise = normals(parameters["seed"], images[0].numel()).view_as(images)
        if not at_hand(images):
            return (images + noise.mul_(self.sigma)).clamp_(0, 1)
        out = torch.empty(images.shape)
        add_noise(images.flatten().numpy(), noise.flatten().numpy(), self.sigma, out.flatten().numpy())
        return out


def poisson_quantile(w: Float[Tensor, "*shape"], root: Float64[Tensor, "*shape"]) -> Float64[Tensor, "*shape"]:
    """Poisson counts of means root^2, for means from 50 up: the quantile at the probability below `w` of a normal.

    The Cornish-Fisher expansion to order 1 / mean, cut to a whole number (Giles 2016, ACM TOMS 42, 7): at means of 50
    and above it is the exact quantile but for less than one draw in 10^4, which is then off by one.
    """
    square, per_root = w * w, root.reciprocal().to(w.dtype)
    third = (square * (-1 / 72)).sub_(1 / 36).mul_(w)
    fourth = (square * (1 / 270)).add_(7 / 810).mul_(square).sub_(8 / 405)
    correction = fourth.mul_(per_root).add_(third).mul_(per_root).add_(1 / 3).add_(square.mul_(1 / 6))
    return (root + w).mul_(root).add_(correction).floor_().clamp_(min=0)
