"""Thin lines and tubes on a batch of images: discs set densely along each line, joined by the greatest coverage.

The greatest does not depend on the order, so a row comes out the same in any batch and on any device.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from assay.shifts.confounders import mark_kernels
from assay.shifts.confounders.layers import Window, edge
from assay.shifts.confounders.processor import at_hand

_DISCS, _VALUES = 2**14, 2**17  # of one call of scatter: what it needs then stays in a processor's cache
_THINNEST = 0.5  # px; a thinner line is drawn as this, and as much weaker as it is thinner


def stroke(
    within: Window, x: Float[Tensor, "b k"], y: Float[Tensor, "b k"], radius: float | Float[Tensor, "b k"]
) -> Float[Tensor, "b 1 h w"]:
    """Coverage 0..1 of a window by discs around k points per row; places and radii in px, what lies outside is cut off.

    Places are measured from the corner of the image, not of the window.
    """
    x, y = x.float(), y.float()
    if at_hand(x, y):
        return _compiled(within, x, y, radius)
    radii = radius.float() if isinstance(radius, Tensor) else torch.full_like(x, radius)
    reach = math.ceil(max(float(radii.max()) if radii.numel() else 0.0, _THINNEST) + 0.5)
    margin = 2 * reach  # a disc that touches the window never leaves the canvas
    tall, wide = within.height + 2 * margin, within.width + 2 * margin
    canvas = torch.zeros(len(x), tall, wide, device=x.device)
    column, down = x.floor() - within.left, y.floor() - within.top
    inside_x = (column >= -reach) & (column < within.width + reach)
    inside_y = (down >= -reach) & (down < within.height + reach)
    row, point = (inside_x & inside_y).nonzero(as_tuple=True)
    corner = (row * tall + margin - within.top) * wide + margin - within.left
    for start in range(0, len(row), _DISCS):
        some = row[start : start + _DISCS], point[start : start + _DISCS]
        _set_discs(canvas.view(-1), corner[start : start + _DISCS], wide, x[some], y[some], radii[some], reach)
    return canvas[:, None, margin : margin + within.height, margin : margin + within.width]


def _compiled(within: Window, x: Tensor, y: Tensor, radius: float | Tensor) -> Float[Tensor, "b 1 h w"]:
    """`stroke` on a processor."""
    canvas = torch.zeros(len(x), 1, within.height, within.width)
    field, corner = canvas[:, 0].numpy(), (within.top, within.left)
    across, down = x.contiguous().numpy(), y.contiguous().numpy()
    if isinstance(radius, Tensor):
        mark_kernels.cover_discs_each(field, across, down, radius.float().contiguous().numpy(), corner, _THINNEST)
    else:
        mark_kernels.cover_discs(field, across, down, radius, corner, _THINNEST)
    return canvas


def line(
    within: Window, x0: Tensor, y0: Tensor, x1: Tensor, y1: Tensor, radius: float, longest: float
) -> Float[Tensor, "b 1 h w"]:
    """Coverage by k straight lines per row from (x0, y0) to (x1, y1), [b, k] px each, none longer than `longest` px."""
    return stroke(within, *along(x0, y0, x1, y1, radius, longest), radius)


def along(
    x0: Tensor, y0: Tensor, x1: Tensor, y1: Tensor, radius: float, longest: float
) -> tuple[Float[Tensor, "b n"], Float[Tensor, "b n"]]:
    """x and y of the points at which discs make k straight lines per row, [b, k] px each."""
    t = _steps(longest, radius, str(x0.device))
    return _between(x0, x1, t), _between(y0, y1, t)


def _between(start: Float[Tensor, "b k"], end: Float[Tensor, "b k"], t: Float[Tensor, "s"]) -> Float[Tensor, "b n"]:
    """One coordinate of the points."""
    if not at_hand(start, end, t):
        return (start[:, :, None] + t * (end - start)[:, :, None]).flatten(1)
    out = torch.empty(*start.shape, len(t))
    mark_kernels.between(_array(start), _array(end), t.numpy(), out.numpy())
    return out.flatten(1)


def bent(
    start: Float[Tensor, "b k"], bend: Float[Tensor, "b k"], end: Float[Tensor, "b k"], t: Float[Tensor, "s"]
) -> Float[Tensor, "b k s"]:
    """One coordinate of k quadratic Bezier curves per row at the places t in 0..1."""
    if at_hand(start, bend, end, t):
        out = torch.empty(*start.shape, len(t))
        mark_kernels.bent(_array(start), _array(bend), _array(end), t.numpy(), out.numpy())
        return out
    u = 1 - t
    return start[:, :, None] * (u * u) + bend[:, :, None] * (2 * t * u) + end[:, :, None] * (t * t)


def _array(places: Float[Tensor, "b k"]) -> Float64[np.ndarray, "b k"]:
    return places.double().contiguous().numpy()


def curve(
    within: Window,
    points: Sequence[tuple[Tensor, Tensor]],
    radius: float,
    longest: float,
    gap: tuple[float, float] = (2.0, 2.0),
) -> Float[Tensor, "b 1 h w"]:
    """Coverage by k bent lines per row, each from the first of three (x, y) points to the last, [b, k] px each.

    The middle point bends it (quadratic Bezier). gap: the part of it, in 0..1, that is left out.
    """
    t = _steps(longest, radius, str(points[0][0].device))
    t = t[(t < gap[0]) | (t > gap[1])]
    x, y = (bent(points[0][axis], points[1][axis], points[2][axis], t) for axis in (0, 1))
    return stroke(within, x.flatten(1), y.flatten(1), radius)


@lru_cache(maxsize=64)
def _steps(longest: float, radius: float, device: str) -> Float[Tensor, "s"]:
    """Places along a line, near enough for the discs' scallops to be at most 0.03 px deep."""
    step = 0.5 * math.sqrt(max(radius, _THINNEST))
    number = max(1, math.ceil(longest / step))
    return (torch.arange(number + 1, dtype=torch.float64) / number).float().to(device)


def _set_discs(
    canvas: Float[Tensor, "pixels"],
    corner: Int[Tensor, "n"],
    wide: int,
    x: Tensor,
    y: Tensor,
    radii: Tensor,
    reach: int,
) -> None:
    """Raise a flat canvas to the coverage of each of n discs where that is higher, some lines of all of them at once.

    corner: where the pixel (0, 0) of the disc's image lies on the canvas, whose lines are `wide` px.
    """
    column, row = x.floor(), y.floor()
    middle = corner + row.long() * wide + column.long()
    seen, weaker = radii.clamp(min=_THINNEST), (radii / _THINNEST).clamp(max=1)
    thin, most = bool((weaker < 1).any()), float(seen.max()) + 0.5
    steps = torch.arange(-reach, reach + 1, device=x.device)
    squares_x, squares_y = (
        ((place + steps[:, None]) + 0.5 - exact).square_() for place, exact in ((column, x), (row, y))
    )
    lines = max(1, _VALUES // (len(x) * len(steps)))
    for start in range(0, len(steps), lines):
        some = slice(start, start + lines)
        half = _half_chord(min(range(len(steps))[some], key=lambda i: abs(i - reach)) - reach, most, reach)
        if half < 0:
            continue
        chord = slice(reach - half, reach + half + 1)
        distance = (squares_x[chord] + squares_y[some, None]).sqrt_()
        coverage = edge(torch.sub(seen, distance, out=distance))
        if thin:
            coverage.mul_(weaker)
        index = middle + (steps[some, None] * wide + steps[chord])[:, :, None]
        canvas.scatter_reduce_(0, index.flatten(), coverage.flatten(), "amax")


def _half_chord(line: int, radius: float, reach: int) -> int:
    """How many pixels to either side a disc in the middle pixel may touch, so many lines away; -1 for none."""
    nearest = max(0.0, abs(line) - 0.5)
    return -1 if nearest >= radius else min(reach, math.floor(math.sqrt(radius * radius - nearest * nearest) + 0.5))
