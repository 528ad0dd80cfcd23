"""Measure the visibility of confounders."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor
from torch.nn import functional

SEEN = 0.5 / 255
"""A pixel counts as changed from half a level of an 8-bit screen."""

_WINDOW, _SIGMA = 11, 1.5
_C1, _C2 = 0.01**2, 0.03**2


@dataclass(frozen=True, slots=True)
class Visibility:
    """Three figures per image, float64 [b].

    Attributes:
        share: Of the pixels that differ by at least `SEEN` in some channel, 0 to 1.
        difference: Mean absolute difference over all pixels and channels, black to white being 1.
        ssim: Structural similarity (Wang et al. 2004: Gaussian window of 11 px, sigma 1.5, K1 = 0.01, K2 = 0.03), the
            mean over windows that lie within the image and over channels, -1 to 1, 1 for equal images; NaN where an
            edge is shorter than 11 px. All three are NaN for an image with a value that is not finite; no images give
            empty figures.
    """

    share: Float64[Tensor, "b"]
    difference: Float64[Tensor, "b"]
    ssim: Float64[Tensor, "b"]


def visibility(before: Float[Tensor, "b c h w"], after: Float[Tensor, "b c h w"]) -> Visibility:
    """Measure the change of images in [0, 1].

    Raises:
        ValueError: If their shapes differ.
    """
    if before.shape != after.shape or before.ndim != 4:
        given = f"{tuple(before.shape)} and {tuple(after.shape)}"
        raise ValueError(f"visibility compares images [b, c, h, w] of one shape; given: {given}")
    first, second = before.detach().double(), after.detach().double()
    apart = (first - second).abs()
    sound = torch.isfinite(apart).flatten(1).all(dim=1)
    share = (apart >= SEEN).any(dim=1).double().mean(dim=(1, 2))
    figures = (share, apart.mean(dim=(1, 2, 3)), _ssim(first, second))
    return Visibility(*(torch.where(sound, figure, math.nan) for figure in figures))


def _ssim(first: Float64[Tensor, "b c h w"], second: Float64[Tensor, "b c h w"]) -> Float64[Tensor, "b"]:
    if min(first.shape[2:]) < _WINDOW or len(first) == 0:
        return torch.full((len(first),), math.nan, dtype=torch.float64, device=first.device)
    mean1, mean2 = _windowed(first), _windowed(second)
    variance1 = _windowed(first * first) - mean1 * mean1
    variance2 = _windowed(second * second) - mean2 * mean2
    covariance = _windowed(first * second) - mean1 * mean2
    brightness = (2 * mean1 * mean2 + _C1) / (mean1 * mean1 + mean2 * mean2 + _C1)
    structure = (2 * covariance + _C2) / (variance1 + variance2 + _C2)
    return (brightness * structure).mean(dim=(1, 2, 3))


def _windowed(images: Float64[Tensor, "b c h w"]) -> Float64[Tensor, "b c h-10 w-10"]:
    """Gaussian means over every window that is within the image."""
    steps = torch.arange(_WINDOW, dtype=torch.float64, device=images.device) - (_WINDOW - 1) / 2
    weights = torch.exp(-0.5 * (steps / _SIGMA) ** 2)
    weights = weights / weights.sum()
    flat = images.flatten(0, 1)[:, None]
    flat = functional.conv2d(functional.conv2d(flat, weights.view(1, 1, -1, 1)), weights.view(1, 1, 1, -1))
    return flat.view(*images.shape[:2], *flat.shape[2:])
