"""Augmentations that make two views of an image differ as much as losses without labels need.

Draws are made by NumPy on the CPU; pixels are changed where the batch is (`assay.recipes.augmentation`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from assay.recipes.augmentation import Draws
from assay.recipes.untyped import tensor_of

_LUMINANCE = np.array([0.299, 0.587, 0.114])
_TO_YIQ = np.array([_LUMINANCE, [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
_FROM_YIQ = np.linalg.inv(_TO_YIQ)
_ASPECT = 4 / 3  # of a crop, either way


@dataclass(frozen=True, slots=True, kw_only=True)
class ResizedCrop:
    """A window of a random share of the area, from `smallest` to 1, and aspect from 3:4 to 4:3, anywhere within the
    image, scaled to the image's size (bilinear; label maps: nearest).
    """

    smallest: float
    geometric: bool = True

    def draw(self, rng: np.random.Generator, count: int) -> Draws:
        """height, width: shares of the sides; down, right: of the middle from the image's, in shares of half a side."""
        u = rng.random((4, count))
        area = self.smallest + (1 - self.smallest) * u[0]
        aspect = np.exp((2 * u[1] - 1) * math.log(_ASPECT))
        height, width = np.minimum(np.sqrt(area / aspect), 1), np.minimum(np.sqrt(area * aspect), 1)
        return {
            "height": height,
            "width": width,
            "down": (2 * u[2] - 1) * (1 - height),
            "right": (2 * u[3] - 1) * (1 - width),
        }

    def apply(self, images: Float[Tensor, "b c h w"], draws: Draws) -> Float[Tensor, "b c h w"]:
        """See the class."""
        zero = np.zeros_like(draws["down"])
        across = np.stack([draws["width"], zero, draws["right"]], axis=1)
        along = np.stack([zero, draws["height"], draws["down"]], axis=1)
        theta = _on(np.stack([across, along], axis=1), images)
        grid = functional.affine_grid(theta, list(images.shape), align_corners=False)
        how = "bilinear" if images.is_floating_point() else "nearest"
        return functional.grid_sample(images.to(grid.dtype), grid, how, padding_mode="border", align_corners=False).to(
            images.dtype
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Colour:
    """Change brightness (a factor), contrast about the mean luminance, saturation and hue, of a share of the images;
    take the colour out of another share; clipped to [0, 1].

    Saturation and hue are length and angle of the two colour differences of YIQ. A grey image has neither.
    """

    brightness: float
    contrast: float
    saturation: float
    hue: float
    share: float
    grey: float
    geometric: bool = False

    def draw(self, rng: np.random.Generator, count: int) -> Draws:
        """gain, contrast, saturation: factors; hue: radians; all 1 and 0 where an image is not changed."""
        u, changed, grey = rng.uniform(-1, 1, (4, count)), rng.random(count) < self.share, rng.random(count) < self.grey
        return {
            "gain": 1 + changed * u[0] * self.brightness,
            "contrast": 1 + changed * u[1] * self.contrast,
            "saturation": (1 + changed * u[2] * self.saturation) * ~grey,
            "hue": changed * u[3] * self.hue * 2 * math.pi,
        }

    def apply(self, images: Float[Tensor, "b c h w"], draws: Draws) -> Float[Tensor, "b c h w"]:
        """See the class."""
        gain, contrast = (_on(draws[name], images).reshape(-1, 1, 1, 1) for name in ("gain", "contrast"))
        if images.shape[1] == 3:
            turned = _on(_turns(draws["saturation"], draws["hue"]), images)
            images = torch.einsum("bij,bjhw->bihw", turned, images)
            weights = _on(_LUMINANCE, images).reshape(1, 3, 1, 1)
            mean = (images * weights).sum(1, keepdim=True).mean((2, 3), keepdim=True)
        else:
            mean = images.mean((1, 2, 3), keepdim=True)
        return (((images - mean) * contrast + mean) * gain).clamp(0, 1)


def _turns(saturation: np.ndarray, hue: np.ndarray) -> np.ndarray:
    """Matrices on red, green and blue, [n, 3, 3], that scale and turn the colour differences and keep the luminance."""
    turn = np.zeros((len(hue), 3, 3))
    turn[:, 0, 0] = 1
    turn[:, 1, 1] = turn[:, 2, 2] = saturation * np.cos(hue)
    turn[:, 2, 1] = saturation * np.sin(hue)
    turn[:, 1, 2] = -turn[:, 2, 1]
    return _FROM_YIQ @ turn @ _TO_YIQ


@dataclass(frozen=True, slots=True, kw_only=True)
class Blur:
    """Blur a share of the images by a Gaussian whose standard deviation is drawn from a tenth of `sigma` to `sigma`,
    in shares of the side; edges are mirrored.
    """

    sigma: float
    share: float
    geometric: bool = False

    def draw(self, rng: np.random.Generator, count: int) -> Draws:
        """sigma: shares of the side, 0 where an image is not blurred."""
        u = rng.random((2, count))
        return {"sigma": np.where(u[0] < self.share, self.sigma * (0.1 + 0.9 * u[1]), 0.0)}

    def apply(self, images: Float[Tensor, "b c h w"], draws: Draws) -> Float[Tensor, "b c h w"]:
        """Rows, then columns; every image with a kernel of its own."""
        count, channels, height, width = images.shape
        side = min(height, width)
        radius = min(max(1, math.ceil(3 * self.sigma * side - 1e-9)), side - 1)
        sigma = np.maximum(draws["sigma"] * side, 1e-3)[:, None]
        weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
        kernels = _on(weights / weights.sum(axis=1, keepdims=True), images).repeat_interleave(channels, dim=0)
        flat = images.reshape(1, count * channels, height, width)
        for shape, pad in (((-1, 1, 1, 2 * radius + 1), (radius, radius, 0, 0)),
                           ((-1, 1, 2 * radius + 1, 1), (0, 0, radius, radius))):  # fmt: skip
            flat = functional.conv2d(
                functional.pad(flat, pad, mode="reflect"), kernels.reshape(*shape), groups=count * channels
            )
        return flat.reshape(images.shape).clamp(0, 1)


def _on(values: np.ndarray | Sequence[float], images: Tensor) -> Tensor:
    """As float32 where the images are."""
    return tensor_of(np.ascontiguousarray(values, dtype=np.float32)).to(images.device)
