"""What stands in place of pixels that are taken away."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from assay.shifts.confounders.smoothing import gaussian

Replacement = Literal["blur", "mean", "black"]
BLUR = 1 / 8
"""Standard deviation of the blur, the image's shorter side being 1: lesions go, light and shade stay."""


def replaced(images: Float[Tensor, "b c h w"], by: Replacement) -> Float[Tensor, "b c h w"]:
    """Each image with all its pixels taken away.

    `blur`: a Gaussian blur. `mean`: its own mean colour. `black`: 0, which is also the colour of much anatomy.
    """
    if by == "blur":
        return gaussian(images, BLUR * min(images.shape[2:]))
    if by == "mean":
        return images.mean(dim=(2, 3), keepdim=True).expand_as(images).clone()
    return torch.zeros_like(images)
