"""What a dermatoscope sees besides skin: hairs, its scale, its gel."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from assay.core.errors import SpecError
from assay.shifts.confounders.layers import Mark, Shape
from assay.shifts.confounders.measuring import Ruler
from assay.shifts.confounders.skin import Hair
from assay.shifts.distortions.distortion import Distortion, drawn
from assay.shifts.distortions.endoscopy import bubbled
from assay.shifts.distortions.spots import spots
from assay.shifts.intervention import Draws, Parameters

_HAIRS = (4, 8, 15, 30, 60)
_SCALE = (0.3, 0.5, 0.7, 0.85, 1.0)
_BUBBLES = (3, 6, 10, 16, 24)
_SHORTEST = 25
_WET = (0.1, 0.15, 0.2, 0.3, 0.4)


@dataclass(frozen=True)
class Hairs(Distortion):
    """The confounder `hair`, with 4 to 60 of them.

    Defined here; compared with no other implementation.
    """

    def changed(self, images: Float[Tensor, "b c h w"], parameters: Parameters) -> Float[Tensor, "b c h w"]:
        """The images with hairs."""
        return Hair(opacity=0.85, count=self.at(_HAIRS), width=0.009, length=0.6).apply(images, parameters)


@dataclass(frozen=True)
class Rulers(Distortion):
    """The confounder `ruler` in black at the right edge, fainter to full.

    Defined here; compared with no other implementation.
    """

    def check(self, shape: Shape) -> None:
        """Raises SpecError when neighbouring marks would fall into one pixel."""
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


@dataclass(frozen=True)
class Gel(Distortion):
    """Bubbles in the gel and patches of glare where it lies thick.

    Defined here; compared with no other implementation.
    """

    def changed(self, images: Float[Tensor, "b c h w"], parameters: Parameters) -> Float[Tensor, "b c h w"]:
        """The images through gel."""
        height, width = images.shape[2:]
        x, y = drawn(parameters, 3, 4) * width, drawn(parameters, 4, 4) * height
        radius = drawn(parameters, 5, 4, 0.15, 0.4) * min(height, width)
        glare = spots((height, width), x, y, radius).clamp_(max=1).mul_(self.at(_WET))
        wet = torch.lerp(images, torch.ones_like(images), glare.expand_as(images))
        return bubbled(wet, parameters, self.at(_BUBBLES))
