"""Frosted glass: pixels are overwritten by near ones, one after another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from assay.core.compiled import compiled
from assay.shifts.confounders.randomness import singles
from assay.shifts.confounders.smoothing import gaussian
from assay.shifts.distortions.distortion import Distortion
from assay.shifts.intervention import Parameters

_LEVELS = ((0.7, 1, 2), (0.9, 2, 1), (1.0, 2, 3), (1.1, 3, 2), (1.5, 4, 2))
"""Standard deviation in px, farthest step in px, and how often all pixels are gone through."""


@dataclass(frozen=True)
class GlassBlur(Distortion):
    """Blurred, every pixel overwritten by a near one drawn at random, blurred again.

    The published code means to swap two pixels, but on colours its second assignment reads what the first has written:
    the near pixel is copied. So it is here, on grey images too. Each step sees what earlier ones left, from the lower
    right to the upper left, so the places are found on the processor and the pixels moved on the images' device.
    Against the reference, given its steps: within three levels of 8 bits, since it cuts to 8 bits in between.
    """

    def changed(self, images: Float[Tensor, "b c h w"], parameters: Parameters) -> Float[Tensor, "b c h w"]:
        """The images behind glass."""
        height, width = images.shape[2:]
        _, far, times = self.at(_LEVELS)
        count = times * max(0, height - 2 * far) * max(0, width - 2 * far)
        steps = singles(parameters["seed"].cpu(), 2 * count).mul_(2 * far).floor_().sub_(far).to(torch.int8)
        return self.behind(images, steps.view(len(images), count, 2))

    def behind(self, images: Float[Tensor, "b c h w"], steps: Int[Tensor, "b n 2"]) -> Float[Tensor, "b c h w"]:
        """The images with pixels read these steps away (across, down), in the order in which they are gone through."""
        height, width = images.shape[2:]
        sigma, far, times = self.at(_LEVELS)
        places = np.stack([_sources(height, width, far, times, one) for one in steps.numpy()])
        at = torch.as_tensor(places).to(images.device).view(len(images), 1, -1).expand(-1, images.shape[1], -1)
        shuffled = gaussian(images, sigma).flatten(2).gather(2, at).view_as(images)
        return gaussian(shuffled, sigma).clamp_(0, 1)


@compiled
def _sources(height: int, width: int, far: int, times: int, steps: np.ndarray) -> np.ndarray:
    """For each place, which pixel of the image ends there, as flat positions int64."""
    places = np.arange(height * width)
    drawn = 0
    for _ in range(times):
        for y in range(height - far, far, -1):
            for x in range(width - far, far, -1):
                here, there = y * width + x, (y + steps[drawn, 1]) * width + x + steps[drawn, 0]
                drawn += 1
                places[here] = places[there]
    return places
