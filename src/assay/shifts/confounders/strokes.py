"""Thin lines and tubes on a batch of images: discs set densely along each line, joined by the greatest coverage.

The greatest does not depend on the order, so a row comes out the same in any batch and on any device.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32, Int
from torch import Tensor

from assay.shifts.confounders.layers import Window, edge
from assay.shifts.confounders.mark_kernels import bend, paint_discs
from assay.shifts.confounders.processor import at_hand

_DISCS, _VALUES = 2**14, 2**17  # of one call of scatter: what it needs then stays in a processor's cache
_THINNEST = 0.5  # px; a thinner line is drawn as this, and as much weaker as it is thinner
_NOWHERE = -1e6  # px: far outside any image

Points = Sequence[tuple[Float[Tensor, "b k"], Float[Tensor, "b k"]]]
"""x and y of where k curves per row start, of what bends them (quadratic Bezier), and of where they end, in px."""


@dataclass(frozen=True, slots=True)
class Stroke:
    """Discs around k points per row, of which the greatest coverage counts.

    x, y: [b, k] px from the corner of the image; what lies outside is cut off. radius: px, of all or [b, k] of each.
    """

    x: Float[Tensor, "b k"]
    y: Float[Tensor, "b k"]
    radius: float | Float[Tensor, "b k"]

    def drawn(self, within: Window) -> Float[Tensor, "b 1 h w"]:
        """Coverage 0..1 of a window."""
        x, y = self.x.float(), self.y.float()
        if at_hand(x, y):
            canvas = torch.zeros(len(x), 1, within.height, within.width)
            self._onto(canvas, (0, 0), within, torch.ones(1), 1.0)
            return canvas
        radii = self.radius.float() if isinstance(self.radius, Tensor) else torch.full_like(x, self.radius)
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

    def paint(
        self, images: Float[Tensor, "b c h w"], within: Window, colour: Float[Tensor, "c 1 1"], strength: float
    ) -> None:
        """What a layer of it does to images that are at hand, in place: the whole is never drawn."""
        self._onto(images, (within.top, within.left), within, colour, strength)

    def _onto(self, images: Tensor, at: tuple[int, int], within: Window, colour: Tensor, strength: float) -> None:
        """Paint a window that begins at a place of these images."""
        corner, shape = (within.top, within.left), (within.height, within.width)
        target = colour.flatten().numpy()
        paint_discs(images.numpy(), at, *self._arrays(), corner, shape, _THINNEST, target, strength)

    def _arrays(self) -> tuple[Float32[np.ndarray, "b k"], Float32[np.ndarray, "b k"], Float32[np.ndarray, "b k"]]:
        """x, y and radii, these [1, 1] where they are alike."""
        radii = self.radius if isinstance(self.radius, Tensor) else torch.tensor([[self.radius]])
        x, y, r = (part.float().contiguous().numpy() for part in (self.x, self.y, radii))
        return x, y, r


def line(x0: Tensor, y0: Tensor, x1: Tensor, y1: Tensor, radius: float) -> Stroke:
    """k straight lines per row from (x0, y0) to (x1, y1), [b, k] px each."""
    return Stroke(*along(x0, y0, x1, y1, radius), radius)


def along(
    x0: Tensor, y0: Tensor, x1: Tensor, y1: Tensor, radius: float
) -> tuple[Float[Tensor, "b n"], Float[Tensor, "b n"]]:
    """x and y of the points at which discs make k straight lines per row, [b, k] px each."""
    points = ((x0, y0), ((x0 + x1) / 2, (y0 + y1) / 2), (x1, y1))
    return bent(points, _step(radius))[:2]


def curve(points: Points, radius: float, gap: tuple[float, float] = (2.0, 2.0)) -> Stroke:
    """k bent lines per row. gap: the part of each, in 0..1, that is left out."""
    x, y, t = bent(points, _step(radius))
    return Stroke(x.masked_fill((t >= gap[0]) & (t <= gap[1]), _NOWHERE), y, radius)


def bent(points: Points, step: float) -> tuple[Float[Tensor, "b n"], Float[Tensor, "b n"], Float[Tensor, "b n"]]:
    """x, y and t in 0..1 of points along k quadratic Bezier curves per row, none further than `step` px from the next.

    Of how many points a curve has its own length decides. Rows with fewer points than others have points far outside
    any image instead, or some points more than once.
    """
    x, y = (torch.stack([point[axis].double() for point in points]) for axis in (0, 1))
    legs = (x.diff(dim=0).square() + y.diff(dim=0).square()).sqrt().sum(dim=0)  # a curve is no longer than its legs
    parts = (legs / step).ceil().long().clamp_(min=1)
    if at_hand(x, y):
        most = int((parts + 1).sum(dim=1).max()) if len(parts) else 0
        out = torch.tensor([_NOWHERE, _NOWHERE, 0.0])[:, None, None].repeat(1, len(parts), most)
        bend(x.numpy(), y.numpy(), parts.numpy(), out.numpy())
        return out[0], out[1], out[2]
    place = torch.arange(int(parts.max()) + 1 if parts.numel() else 1, device=x.device)
    t = (torch.minimum(place, parts[:, :, None]).double() / parts[:, :, None]).float()
    u = 1 - t
    across, down = (
        (start[:, :, None] * (u * u) + middle[:, :, None] * (2 * t * u) + end[:, :, None] * (t * t)).float().flatten(1)
        for start, middle, end in (x, y)
    )
    return across, down, t.flatten(1)


def _step(radius: float) -> float:
    """px from disc to disc, near enough for scallops of at most 0.03 px."""
    return 0.5 * math.sqrt(max(radius, _THINNEST))


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
