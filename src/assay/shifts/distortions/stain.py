"""Stain of tissue: haematoxylin and eosin of another strength."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from assay.shifts.confounders.diffuse import settled
from assay.shifts.confounders.layers import Shape
from assay.shifts.distortions.distortion import Distortion, needs_colour
from assay.shifts.intervention import Draws, Parameters

_STAINS = ((0.65, 0.70, 0.29), (0.07, 0.99, 0.11), (0.27, 0.57, 0.78))
"""How haematoxylin, eosin and DAB absorb red, green and blue (Ruifrok and Johnston 2001)."""
_STRENGTH = (0.05, 0.1, 0.2, 0.35, 0.5)
_DARKEST = 1e-6


@dataclass(frozen=True)
class Stain(Distortion):
    """Each stain's density times 1 + a and plus b, drawn between -strength and strength, b a tenth of it.

    The scheme is that of Tellez et al. 2018, in the colours of Ruifrok and Johnston as scikit-image has them
    (`rgb2hed`, whose densities this agrees with).
    """

    def check(self, shape: Shape) -> None:
        """Raises SpecError for images that are not RGB."""
        needs_colour("microscopy-stain", shape)

    def draw(self, draws: Draws, shape: Shape) -> dict[str, Tensor]:
        """`times 0..2`, `plus 0..2`: of each stain, -1 to 1."""
        names = [f"{what} {stain}" for what in ("times", "plus") for stain in range(3)]
        return {name: 2 * draws.uniform(name) - 1 for name in names}

    def changed(self, images: Float[Tensor, "b c h w"], parameters: Parameters) -> Float[Tensor, "b c h w"]:
        """The images stained otherwise."""
        strength = self.at(_STRENGTH)
        times = 1 + strength * torch.stack([parameters[f"times {stain}"] for stain in range(3)], dim=1)
        plus = 0.1 * strength * torch.stack([parameters[f"plus {stain}"] for stain in range(3)], dim=1)
        return settled(absorbed(densities(images) * times[:, :, None, None] + plus[:, :, None, None]))


def densities(images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h w"]:
    """How much of each stain there is, float64."""
    inverse = torch.as_tensor(np.linalg.inv(np.array(_STAINS)), device=images.device)
    optical = images.double().clamp(min=_DARKEST).log() / float(np.log(_DARKEST))
    return torch.stack([_mixed(optical, inverse[:, stain]) for stain in range(3)], dim=1)


def absorbed(stains: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h w"]:
    """The colours that these densities leave, float64 in 0..1."""
    matrix = torch.tensor(_STAINS, dtype=torch.float64, device=stains.device)
    optical = torch.stack([_mixed(stains, matrix[:, channel]) for channel in range(3)], dim=1)
    return (optical * float(np.log(_DARKEST))).exp().clamp_(0, 1)


def _mixed(planes: Float[Tensor, "b 3 h w"], weights: Float[Tensor, "3"]) -> Float[Tensor, "b h w"]:
    return planes[:, 0] * weights[0] + planes[:, 1] * weights[1] + planes[:, 2] * weights[2]
