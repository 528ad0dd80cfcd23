"""Linear filters: sums over shifts along an axis, and products in the Fourier plane for large kernels."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from assay.shifts.confounders import pixel_kernels
from assay.shifts.confounders.processor import at_hand
from assay.shifts.confounders.untyped import filtered, spectrum_of

Edge = Literal["nearest", "reflect", "mirror"]
"""What lies beyond an edge `a b c`: `nearest` a a a, `reflect` c b a, `mirror` d c b (SciPy's words)."""


def beyond(length: int, reach: int, edge: Edge, device: torch.device) -> Tensor:
    """For places -reach .. length + reach - 1, the pixel that stands there."""
    place = torch.arange(-reach, length + reach, device=device)
    if edge == "nearest" or length == 1:
        return place.clamp(0, length - 1)
    if edge == "reflect":
        place = place % (2 * length)
        return torch.minimum(place, 2 * length - 1 - place)
    place = place % (2 * length - 2)
    return torch.minimum(place, 2 * length - 2 - place)


def widened(images: Float[Tensor, "b c h w"], reach: int | tuple[int, int], edge: Edge) -> Float[Tensor, "b c h2 w2"]:
    """The images with `reach` px more on every side, or one number above and below and one left and right."""
    down, along = reach if isinstance(reach, tuple) else (reach, reach)
    tall = images.index_select(2, beyond(images.shape[2], down, edge, images.device))
    return tall.index_select(3, beyond(images.shape[3], along, edge, images.device))


def smooth(images: Float[Tensor, "b c h w"], weights: list[float], axis: int, edge: Edge) -> Float[Tensor, "b c h w"]:
    """The sum over shifts along one axis, shift by shift: a library's convolution would depend on the batch.

    weights: for a shift of 0, 1, ... pixels either way.
    """
    length, reach = images.shape[axis], len(weights) - 1
    if at_hand(images):
        return _compiled(images.contiguous(), weights, axis, beyond(length, reach, edge, images.device))
    wide = images.index_select(axis, beyond(length, reach, edge, images.device))
    total = wide.narrow(axis, reach, length) * weights[0]
    for step in range(1, reach + 1):
        pair = wide.narrow(axis, reach - step, length) + wide.narrow(axis, reach + step, length)
        total += pair.mul_(weights[step])
    return total


def smoothed(images: Float[Tensor, "b c h w"], weights: list[float], edge: Edge) -> Float[Tensor, "b c h w"]:
    """`smooth` along both axes."""
    if not at_hand(images):
        return smooth(smooth(images, weights, 2, edge), weights, 3, edge)
    reach, (height, width) = len(weights) - 1, images.shape[2:]
    out, given = torch.empty(images.shape), np.array(weights, dtype=np.float32)
    down, along = (beyond(length, reach, edge, images.device).numpy() for length in (height, width))
    planes = images.contiguous().flatten(0, 1).numpy()
    pixel_kernels.smooth_both(planes, out.flatten(0, 1).numpy(), given, down, along)
    return out


def _compiled(
    images: Float[Tensor, "b c h w"], weights: list[float], axis: int, places: Int[Tensor, "n"]
) -> Float[Tensor, "b c h w"]:
    """`smooth` on a processor."""
    out, given = torch.empty(images.shape), np.array(weights, dtype=np.float32)
    smooth_one = pixel_kernels.smooth_down if axis == 2 else pixel_kernels.smooth_along
    smooth_one(images.flatten(0, 1).numpy(), out.flatten(0, 1).numpy(), given, places.numpy())
    return out


def gaussian_weights(sigma: float, truncate: float = 4.0) -> list[float]:
    """A Gaussian at whole pixels out to `truncate` standard deviations (rounded), with sum 1 over both sides."""
    reach = int(truncate * sigma + 0.5)
    weights = [math.exp(-0.5 * (step / sigma) ** 2) for step in range(reach + 1)] if reach else [1.0]
    total = weights[0] + 2 * sum(weights[1:])
    return [weight / total for weight in weights]


def gaussian(
    images: Float[Tensor, "b c h w"],
    sigma: float | tuple[float, float],
    edge: Edge = "nearest",
    truncate: float = 4.0,
) -> Float[Tensor, "b c h w"]:
    """A Gaussian blur as scikit-image and SciPy make it; sigma in px, or one along y and one along x."""
    down, along = sigma if isinstance(sigma, tuple) else (sigma, sigma)
    if down == along:
        return smoothed(images, gaussian_weights(down, truncate), edge)
    tall = smooth(images, gaussian_weights(down, truncate), 2, edge)
    return smooth(tall, gaussian_weights(along, truncate), 3, edge)


def correlated(
    images: Float64[Tensor, "b c h w"], kernel: Float64[Tensor, "k k"], edge: Edge
) -> Float64[Tensor, "b c h w"]:
    """The images filtered with a kernel that is the same turned by half a turn; k is odd."""
    reach, (height, width) = len(kernel) // 2, images.shape[2:]
    down, along = _fast(height, reach), _fast(width, reach)
    wide = widened(images, (down, along), edge)
    page = torch.zeros(wide.shape[2:], dtype=torch.float64, device=images.device)
    page[: len(kernel), : len(kernel)] = kernel
    out = filtered(wide, spectrum_of(page.roll((-reach, -reach), (0, 1))))
    return out[:, :, down : down + height, along : along + width]


def _fast(length: int, reach: int) -> int:
    """The least reach from this one on that makes a length without prime factors above 5: transforms are then fast."""
    while True:
        rest = length + 2 * reach
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return reach
        reach += 1
