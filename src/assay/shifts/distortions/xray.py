"""What goes wrong at an X-ray detector: few photons, a grid, too short an exposure."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from assay.shifts.confounders.layers import Shape
from assay.shifts.confounders.noise import PoissonNoise
from assay.shifts.distortions.distortion import Distortion
from assay.shifts.intervention import Draws, Parameters

_PHOTONS = (4e5, 2e5, 1e5, 4e4, 1.5e4)
_GRID = (0.02, 0.04, 0.07, 0.11, 0.16)
_EXPOSURE = (0.8, 0.65, 0.5, 0.35, 0.2)
_FULL = 5e5  # photons of a full exposure
_PERIOD = 4.7  # px of the aliased lines at 224 px


def _counted(photons: float) -> PoissonNoise:
    return PoissonNoise(photons=photons, levels=0)


@dataclass(frozen=True)
class Noise(Distortion):
    """The confounder `poisson-noise` (a scan's counts), with 4e5 down to 1.5e4 photons, and no cut to whole levels.

    Defined here; compared with no other implementation.
    """

    def draw(self, draws: Draws, shape: Shape) -> dict[str, Tensor]:
        """Of the confounder: `seed` for counts, `dither`."""
        return _counted(_FULL).draw(draws, shape)

    def changed(self, images: Float[Tensor, "b c h w"], parameters: Parameters) -> Float[Tensor, "b c h w"]:
        """The noisy images."""
        return _counted(self.at(_PHOTONS)).changed(images, parameters)


@dataclass(frozen=True)
class Grid(Distortion):
    """Lines of an anti-scatter grid that stands still: pixels times 1 + a cos, upright.

    They lie 4.7 px apart at 224 px, as far in proportion at other sizes, 2.5 px at the least.
    Defined here; compared with no other implementation.
    """

    def draw(self, draws: Draws, shape: Shape) -> dict[str, Tensor]:
        """`phase`: of the lines, as a share of a period."""
        return {"phase": draws.uniform("phase")}

    def changed(self, images: Float[Tensor, "b c h w"], parameters: Parameters) -> Float[Tensor, "b c h w"]:
        """The images behind a grid."""
        x = torch.arange(images.shape[3], device=images.device, dtype=torch.float64)
        period = max(2.5, _PERIOD * min(images.shape[2:]) / 224)
        turns = x / period + parameters["phase"][:, None]
        lines = torch.cos(2 * math.pi * turns).mul_(2**20).round_().mul_(2**-20)  # the same in any batch
        return images.mul(lines.float()[:, None, None, :].mul_(self.at(_GRID)).add_(1)).clamp_(0, 1)


@dataclass(frozen=True)
class UnderExposure(Distortion):
    """All values times the share of a full exposure, after the noise of as few photons.

    The factor is what MedMNIST-C's `brightness_down` does: on average over the noise it agrees within two levels of 8
    bits, where the noise is cut neither at black nor at white. The noise is defined here.
    """

    def draw(self, draws: Draws, shape: Shape) -> dict[str, Tensor]:
        """Of the confounder `poisson-noise`: `seed` for counts, `dither`."""
        return _counted(_FULL).draw(draws, shape)

    def changed(self, images: Float[Tensor, "b c h w"], parameters: Parameters) -> Float[Tensor, "b c h w"]:
        """The darker images."""
        share = self.at(_EXPOSURE)
        return _counted(_FULL * share).changed(images, parameters).mul_(share)
