"""What goes wrong at a fundus camera, after the model of Shen et al. 2020 (arXiv 2005.12594), in its three parts."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from assay.shifts.confounders.randomness import normals
from assay.shifts.confounders.smoothing import gaussian
from assay.shifts.distortions.distortion import Distortion, column, drawn
from assay.shifts.distortions.spots import spots
from assay.shifts.intervention import Parameters

_BLUR = (0.004, 0.008, 0.012, 0.018, 0.026)  # standard deviation, share of the shorter side
_GRAIN = 0.01
_LIGHT = (0.15, 0.3, 0.45, 0.6, 0.8)
_DUST = ((3, 0.15), (5, 0.2), (8, 0.3), (12, 0.35), (18, 0.4))  # spots, brightness of each


@dataclass(frozen=True)
class Defocus(Distortion):
    """A Gaussian blur, then a little Gaussian noise: x * G + n.

    Defined here; compared with no other implementation.
    """

    def changed(self, images: Float[Tensor, "b c h w"], parameters: Parameters) -> Float[Tensor, "b c h w"]:
        """The images out of focus."""
        noise = normals(parameters["seed"], images[0].numel()).view_as(images)
        blurred = gaussian(images, self.at(_BLUR) * min(images.shape[2:]), "reflect")
        return blurred.add_(noise, alpha=_GRAIN).clamp_(0, 1)


@dataclass(frozen=True)
class Illumination(Distortion):
    """A round, soft region lit too much or too little, each as likely: x (1 + a J), J from 1 in its middle to 0.

    Defined here; compared with no other implementation.
    """

    def changed(self, images: Float[Tensor, "b c h w"], parameters: Parameters) -> Float[Tensor, "b c h w"]:
        """The unevenly lit images."""
        height, width = images.shape[2:]
        u = drawn(parameters, 0, 4)
        x, y = u[:, :1] * width, u[:, 1:2] * height
        radius = (0.35 + 0.3 * u[:, 2:3]) * min(height, width)
        region = spots((height, width), x, y, radius)
        way = column((u[:, 3] < 0.5).double() * 2 - 1)
        return images.mul(region.mul_(way * self.at(_LIGHT)).add_(1)).clamp_(0, 1)


@dataclass(frozen=True)
class Artefacts(Distortion):
    """Bright, soft spots of dust near the lens, added: x + sum of o_k G_k.

    Defined here; compared with no other implementation.
    """

    def changed(self, images: Float[Tensor, "b c h w"], parameters: Parameters) -> Float[Tensor, "b c h w"]:
        """The images with dust."""
        count, bright = self.at(_DUST)
        height, width = images.shape[2:]
        x, y = drawn(parameters, 0, count) * width, drawn(parameters, 1, count) * height
        radius = drawn(parameters, 2, count, 0.015, 0.06) * min(height, width)
        return images.add(spots((height, width), x, y, radius), alpha=bright).clamp_(0, 1)
