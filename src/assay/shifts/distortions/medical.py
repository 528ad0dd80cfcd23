"""Distortions of medical images: endoscopy, retina, skin, stain and X-ray."""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from assay.core.errors import SpecError
from assay.shifts.confounders.drawing import Mark, Shape, image_change, in_channels, normals, singles
from assay.shifts.confounders.marks import Ruler
from assay.shifts.confounders.objects import Hair
from assay.shifts.confounders.pixels import PoissonNoise, gaussian, settled
from assay.shifts.distortions.base import Distortion, bubbles, column, drawn, needs_color, spots
from assay.shifts.distortions.common import cloud_side, plasma
from assay.shifts.intervention import Draws, Parameters

# What comes before the lens of an endoscope: glare, bubbles, smoke.

_GLARE = (3, 6, 10, 16, 24)
_LENS_BUBBLES = (2, 4, 8, 14, 22)
_SMOKE = (0.2, 0.35, 0.5, 0.65, 0.8)
_PALE = (0.86, 0.88, 0.9)


@image_change("distortion", "endoscopy-specular", "local", "environment", "glare of the lamp on wet mucosa")
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


@image_change("distortion", "endoscopy-bubbles", "local", "patient", "bubbles of fluid on the mucosa")
class Bubbles(Distortion):
    """Bubbles with a bright rim and a white glint.

    Defined here; compared with no other implementation.
    """

    def changed(self, images: Float[Tensor, "b c h w"], parameters: Parameters) -> Float[Tensor, "b c h w"]:
        """The images with bubbles."""
        return bubbled(images, parameters, self.at(_LENS_BUBBLES))


def bubbled(images: Float[Tensor, "b c h w"], parameters: Parameters, count: int) -> Float[Tensor, "b c h w"]:
    """The images with so many bubbles, of 2 to 8% of the shorter side."""
    height, width = images.shape[2:]
    x, y = drawn(parameters, 0, count) * width, drawn(parameters, 1, count) * height
    radius = drawn(parameters, 2, count, 0.02, 0.08) * min(height, width)
    rims, glints = bubbles((height, width), x, y, radius)
    pale = in_channels(_PALE, images)
    rimmed = images + (pale - images) * rims.mul_(0.6)
    return (rimmed + (1 - rimmed) * glints).clamp_(0, 1)


@image_change("distortion", "endoscopy-smoke", "global", "environment", "smoke of the diathermy")
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


# What goes wrong at a fundus camera, after the model of Shen et al. 2020 (arXiv 2005.12594), in its three parts.

_BLUR = (0.004, 0.008, 0.012, 0.018, 0.026)  # standard deviation, share of the shorter side
_GRAIN = 0.01
_LIGHT = (0.15, 0.3, 0.45, 0.6, 0.8)
_DUST = ((3, 0.15), (5, 0.2), (8, 0.3), (12, 0.35), (18, 0.4))  # spots, brightness of each


@image_change("distortion", "retinal-defocus", "global", "environment", "a fundus camera out of focus, with its noise")
class Defocus(Distortion):
    """A Gaussian blur, then a little Gaussian noise: x * G + n.

    Defined here; compared with no other implementation.
    """

    def changed(self, images: Float[Tensor, "b c h w"], parameters: Parameters) -> Float[Tensor, "b c h w"]:
        """The images out of focus."""
        noise = normals(parameters["seed"], images[0].numel()).view_as(images)
        blurred = gaussian(images, self.at(_BLUR) * min(images.shape[2:]), "reflect")
        return blurred.add_(noise, alpha=_GRAIN).clamp_(0, 1)


@image_change(
    "distortion", "retinal-illumination", "global", "environment", "part of the fundus lit too much or too little"
)
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


@image_change("distortion", "retinal-artifacts", "local", "environment", "bright, soft spots of dust on the lens")
class Artifacts(Distortion):
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


# What a dermatoscope sees besides skin: hairs, its scale, its gel.

_HAIRS = (4, 8, 15, 30, 60)
_SCALE = (0.3, 0.5, 0.7, 0.85, 1.0)
_GEL_BUBBLES = (3, 6, 10, 16, 24)
_SHORTEST = 25
_WET = (0.1, 0.15, 0.2, 0.3, 0.4)


@image_change("distortion", "dermoscopy-hair", "local", "patient", "dark hairs over the lesion", version=2)
class Hairs(Distortion):
    """The confounder `hair`, with 4 to 60 of them.

    Defined here; compared with no other implementation.
    """

    def changed(self, images: Float[Tensor, "b c h w"], parameters: Parameters) -> Float[Tensor, "b c h w"]:
        """The images with hairs."""
        return Hair(opacity=0.85, count=self.at(_HAIRS), width=0.009, length=0.6).apply(images, parameters)


@image_change("distortion", "dermoscopy-ruler", "local", "environment", "the black scale of a dermatoscope", version=2)
class Rulers(Distortion):
    """The confounder `ruler` in black at the right edge, fainter to full.

    Defined here; compared with no other implementation.
    """

    def check(self, shape: Shape) -> None:
        """Raises SpecError when neighboring marks would fall into one pixel."""
        if shape[1] < _SHORTEST:
            raise SpecError(
                f"distortion 'dermoscopy-ruler' needs images of at least {_SHORTEST} px in height, these have "
                f"{shape[1]}: leave it out of the families"
            )

    def draw(self, draws: Draws, shape: Shape) -> dict[str, Tensor]:
        """The ruler's own parameters."""
        return self._ruler(1.0).draw(draws, shape)

    def changed(self, images: Float[Tensor, "b c h w"], parameters: Parameters) -> Float[Tensor, "b c h w"]:
        """The images with a scale."""
        return self._ruler(self.at(_SCALE)).apply(images, parameters)

    def _ruler(self, opacity: float) -> Mark:
        return Ruler(opacity=opacity, side="right", length=0.8, marks=20, size=0.12, jitter=0.05, ink="black")


@image_change("distortion", "dermoscopy-gel", "local", "environment", "bubbles and glare in the contact gel")
class Gel(Distortion):
    """Bubbles in the gel and patches of glare where it is thick.

    Defined here; compared with no other implementation.
    """

    def changed(self, images: Float[Tensor, "b c h w"], parameters: Parameters) -> Float[Tensor, "b c h w"]:
        """The images through gel."""
        height, width = images.shape[2:]
        x, y = drawn(parameters, 3, 4) * width, drawn(parameters, 4, 4) * height
        radius = drawn(parameters, 5, 4, 0.15, 0.4) * min(height, width)
        glare = spots((height, width), x, y, radius).clamp_(max=1).mul_(self.at(_WET))
        wet = torch.lerp(images, torch.ones_like(images), glare.expand_as(images))
        return bubbled(wet, parameters, self.at(_GEL_BUBBLES))


# Stain of tissue: hematoxylin and eosin of another strength.

_STAINS = ((0.65, 0.70, 0.29), (0.07, 0.99, 0.11), (0.27, 0.57, 0.78))
"""How hematoxylin, eosin and DAB absorb red, green and blue (Ruifrok and Johnston 2001)."""
_STRENGTH = (0.05, 0.1, 0.2, 0.35, 0.5)
_DARKEST = 1e-6


@image_change(
    "distortion", "microscopy-stain", "global", "environment", "hematoxylin and eosin stained more or less than usual"
)
class Stain(Distortion):
    """Each stain's density times 1 + a and plus b, drawn between -strength and strength, b a tenth of it.

    The scheme is that of Tellez et al. 2018, in the colors of Ruifrok and Johnston as scikit-image has them
    (`rgb2hed`, whose densities this agrees with).
    """

    def check(self, shape: Shape) -> None:
        """Raises SpecError for images that are not RGB."""
        needs_color("microscopy-stain", shape)

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
    """The colors that these densities leave, float64 in 0..1."""
    matrix = torch.tensor(_STAINS, dtype=torch.float64, device=stains.device)
    optical = torch.stack([_mixed(stains, matrix[:, channel]) for channel in range(3)], dim=1)
    return (optical * float(np.log(_DARKEST))).exp().clamp_(0, 1)


def _mixed(planes: Float[Tensor, "b 3 h w"], weights: Float[Tensor, "3"]) -> Float[Tensor, "b h w"]:
    return planes[:, 0] * weights[0] + planes[:, 1] * weights[1] + planes[:, 2] * weights[2]


# What goes wrong at an X-ray detector: few photons, a grid, too short an exposure.

_PHOTONS = (4e5, 2e5, 1e5, 4e4, 1.5e4)
_GRID = (0.02, 0.04, 0.07, 0.11, 0.16)
_EXPOSURE = (0.8, 0.65, 0.5, 0.35, 0.2)
_FULL = 5e5  # photons of a full exposure
_PERIOD = 4.7  # px of the aliased lines at 224 px


def _counted(photons: float) -> PoissonNoise:
    return PoissonNoise(photons=photons, levels=0)


@image_change("distortion", "xray-noise", "global", "environment", "fewer photons at the detector")
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


@image_change("distortion", "xray-grid", "global", "environment", "lines of an anti-scatter grid")
class Grid(Distortion):
    """Lines of a stationary anti-scatter grid: pixels times 1 + a cos, upright.

    They are 4.7 px apart at 224 px, as far in proportion at other sizes, 2.5 px at the least. Defined here; compared
    with no other implementation.
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


@image_change(
    "distortion", "xray-under-exposure", "global", "environment", "too short an exposure: darker, and noisier with it"
)
class UnderExposure(Distortion):
    """All values times the share of a full exposure, after the noise of as few photons.

    The factor is that of MedMNIST-C's `brightness_down`: on average over the noise it agrees within two levels of 8
    bits, where the noise is cut neither at black nor at white. The noise is defined here.
    """

    def draw(self, draws: Draws, shape: Shape) -> dict[str, Tensor]:
        """Of the confounder `poisson-noise`: `seed` for counts, `dither`."""
        return _counted(_FULL).draw(draws, shape)

    def changed(self, images: Float[Tensor, "b c h w"], parameters: Parameters) -> Float[Tensor, "b c h w"]:
        """The darker images."""
        share = self.at(_EXPOSURE)
        return _counted(_FULL * share).changed(images, parameters).mul_(share)
