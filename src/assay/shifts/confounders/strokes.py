"""Thin lines and tubes on a batch of images: discs set densely along each line, joined by the greatest coverage.

The greatest does not depend on the order, so a row comes out the same in any batch and on any device.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from assay.shifts.confounders.layers import Shape, edge

_AT_ONCE = 2**22  # pixels touched by one call of scatter: bounds the memory
_THINNEST = 0.5  # px; a thinner line is drawn as this, and as much weaker as it is thinner


def stroke(
    shape: Shape, x: Float[Tensor, "b k"], y: Float[Tensor, "b k"], radius: float | Float[Tensor, "b k"]
) -> Float[Tensor, "b 1 h w"]:
    """Coverage 0..1 by discs around k points per row; places and radii in px, parts outside the image are cut off."""
    height, width = shape[1:]
    radii = radius if isinstance(radius, Tensor) else torch.full_like(x, radius)
    canvas = torch.zeros(len(x), height * width, device=x.device)
    if len(x) == 0:
        return canvas.view(-1, 1, height, width)
    reach = math.ceil(max(float(radii.max()), _THINNEST) + 0.5)
    rows = max(1, _AT_ONCE // (x.shape[1] * (2 * reach + 1) ** 2))
    for start in range(0, len(x), rows):
        part = slice(start, start + rows)
        _set_discs(canvas[part], x[part].float(), y[part].float(), radii[part].float(), reach, (height, width))
    return canvas.view(-1, 1, height, width)


def line(
    shape: Shape, x0: Tensor, y0: Tensor, x1: Tensor, y1: Tensor, radius: float, longest: float
) -> Float[Tensor, "b 1 h w"]:
    """Coverage by k straight lines per row from (x0, y0) to (x1, y1), [b, k] px each, none longer than `longest` px."""
    t = _steps(longest, radius, x0.device)
    x = x0[:, :, None] + t * (x1 - x0)[:, :, None]
    y = y0[:, :, None] + t * (y1 - y0)[:, :, None]
    return stroke(shape, x.flatten(1), y.flatten(1), radius)


def bent(
    start: Float[Tensor, "b k"], bend: Float[Tensor, "b k"], end: Float[Tensor, "b k"], t: Float[Tensor, "s"]
) -> Float[Tensor, "b k s"]:
    """One coordinate of k quadratic Bezier curves per row at the places t in 0..1."""
    u = 1 - t
    return start[:, :, None] * (u * u) + bend[:, :, None] * (2 * t * u) + end[:, :, None] * (t * t)


def curve(
    shape: Shape,
    points: Sequence[tuple[Tensor, Tensor]],
    radius: float,
    longest: float,
    gap: tuple[float, float] = (2.0, 2.0),
) -> Float[Tensor, "b 1 h w"]:
    """Coverage by k bent lines per row, each from the first of three (x, y) points to the last, [b, k] px each.

    The middle point bends it (quadratic Bezier). gap: the part of it, in 0..1, that is left out.
    """
    t = _steps(longest, radius, points[0][0].device)
    t = t[(t < gap[0]) | (t > gap[1])]
    x, y = (bent(points[0][axis], points[1][axis], points[2][axis], t) for axis in (0, 1))
    return stroke(shape, x.flatten(1), y.flatten(1), radius)


def _steps(longest: float, radius: float, device: torch.device) -> Float[Tensor, "s"]:
    """Places along a line, near enough for the discs' scallops to be at most 0.03 px deep."""
    step = 0.5 * math.sqrt(max(radius, _THINNEST))
    return torch.as_tensor([i / n for n in [max(1, math.ceil(longest / step))] for i in range(n + 1)], device=device)


def _set_discs(canvas: Tensor, x: Tensor, y: Tensor, radii: Tensor, reach: int, size: tuple[int, int]) -> None:
    """Raise a flat canvas [b, h * w] to the coverage of each disc where that is higher."""
    height, width = size
    around = torch.arange(-reach, reach + 1, device=x.device)
    column = x.clamp(-9e5, 9e5).floor().long()[:, :, None] + around
    row = y.clamp(-9e5, 9e5).floor().long()[:, :, None] + around
    away_x, away_y = column + 0.5 - x[:, :, None], row + 0.5 - y[:, :, None]
    distance = torch.sqrt((away_y * away_y)[:, :, :, None] + (away_x * away_x)[:, :, None, :])
    seen = radii.clamp(min=_THINNEST)[:, :, None, None]
    strength = (radii / _THINNEST).clamp(max=1)[:, :, None, None]
    within = ((row >= 0) & (row < height))[:, :, :, None] & ((column >= 0) & (column < width))[:, :, None, :]
    coverage = edge(seen - distance) * strength * within
    index = (row.clamp(0, height - 1) * width)[:, :, :, None] + column.clamp(0, width - 1)[:, :, None, :]
    canvas.scatter_reduce_(1, index.flatten(1), coverage.flatten(1), "amax")
