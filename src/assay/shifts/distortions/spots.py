"""Round things at drawn places: soft spots and rings."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def distances(size: tuple[int, int], x: Float[Tensor, "b"], y: Float[Tensor, "b"]) -> Float[Tensor, "b 1 h w"]:
    """Distance in px of every pixel's middle from one place per row."""
    across = torch.arange(size[1], device=x.device) + 0.5 - x.float()[:, None]
    down = torch.arange(size[0], device=x.device) + 0.5 - y.float()[:, None]
    return (across.square()[:, None, None, :] + down.square()[:, None, :, None]).sqrt_()


def spots(
    size: tuple[int, int], x: Float[Tensor, "b k"], y: Float[Tensor, "b k"], radius: Float[Tensor, "b k"]
) -> Float[Tensor, "b 1 h w"]:
    """k spots per row, 1 in the middle, 0 from `radius` px on, smooth between ((1 - d^2)^2); added where they meet."""
    total = torch.zeros(len(x), 1, *size, device=x.device)
    for k in range(x.shape[1]):
        total += spot(distances(size, x[:, k], y[:, k]), radius[:, k])
    return total


def spot(distance: Float[Tensor, "b 1 h w"], radius: Float[Tensor, "b"]) -> Float[Tensor, "b 1 h w"]:
    """One spot per row."""
    share = distance / radius.float().clamp(min=1e-3)[:, None, None, None]
    return (1 - share.square()).clamp_(min=0).square_()


def bubbles(
    size: tuple[int, int], x: Float[Tensor, "b k"], y: Float[Tensor, "b k"], radius: Float[Tensor, "b k"]
) -> tuple[Float[Tensor, "b 1 h w"], Float[Tensor, "b 1 h w"]]:
    """Coverage 0..1 by the rims of k bubbles per row, and by the glint that each has to its upper left.

    A rim is a fifth of the radius wide, 1.5 px at least.
    """
    rims = torch.zeros(len(x), 1, *size, device=x.device)
    glints = torch.zeros_like(rims)
    for k in range(x.shape[1]):
        r = radius[:, k].float()[:, None, None, None]
        away = distances(size, x[:, k], y[:, k])
        rim = (1 - ((away - r) / (0.1 * r).clamp(min=0.75)).square()).clamp_(min=0)
        torch.maximum(rims, rim, out=rims)
        aside = 0.45 * radius[:, k]
        glint = spot(distances(size, x[:, k] - aside, y[:, k] - aside), (0.35 * radius[:, k]).clamp(min=1.0))
        torch.maximum(glints, glint, out=glints)
    return rims, glints
