"""Thin lines and tubes on a batch of images: straight pieces, joined by the greatest coverage.

The greatest does not depend on the order, so a row comes out the same in any batch and on any device.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from assay.shifts.confounders.layers import Window, axes, edge
from assay.shifts.confounders.mark_kernels import paint_strokes
from assay.shifts.confounders.processor import at_hand

FLATNESS = 0.03
"""px by which straight pieces miss the curve that they stand for, at most."""

_THINNEST = 0.5  # px; a thinner line is drawn as this, and as much weaker as it is thinner
NOWHERE = -1e6  # px: far outside any image
_VALUES = 2**26  # of an array on an accelerator, for as many pieces at once

Points = Sequence[tuple[Float[Tensor, "b k"], Float[Tensor, "b k"]]]
"""x and y of where k curves per row start, of what bends them (quadratic Bezier), and of where they end, in px."""


@dataclass(frozen=True, slots=True)
class Stroke:
    """k straight pieces of line with round ends per row, of which the greatest coverage counts.

    ends: [4, b, k], x and y of where they start, x and y of where they end, px from the corner of the image; what lies
    outside is cut off, and a piece that ends where it starts is a disc. radii: px, [2, b, k] at either end and linear
    in between; or [1, 1, 1] of all.
    """

    ends: Float[Tensor, "4 b k"]
    radii: Float[Tensor, "2 b k"]

    def drawn(self, within: Window) -> Float[Tensor, "b 1 h w"]:
        """Coverage 0..1 of a window."""
        ends, radii = self.ends.float(), self.radii.float()
        if at_hand(ends, radii):
            canvas = torch.zeros(ends.shape[1], 1, within.height, within.width)
            self._onto(canvas, (0, 0), within, torch.ones(1), 1.0)
            return canvas
        across, down = axes(within, ends.device)
        canvas = torch.zeros(ends.shape[1], 1, within.height, within.width, device=ends.device)
        step = max(1, _VALUES // max(1, canvas.numel()))
        for start in range(0, ends.shape[2], step):
            x, y, to_x, to_y = ends[:, :, start : start + step, None, None]
            along_x, along_y = to_x - x, to_y - y
            square = along_x * along_x + along_y * along_y
            per = torch.where(square > 0, square.reciprocal(), 0)
            away_x, away_y = across - x, down - y
            t = ((away_x * along_x + away_y * along_y) * per).clamp_(0, 1)
            rest_x, rest_y = away_x - t * along_x, away_y - t * along_y
            some = slice(start, start + step) if radii.shape[2] > 1 else slice(None)
            first, last = (radii[i, :, some, None, None] for i in (0, -1))
            own = first + t * (last - first)
            depth = own.clamp(min=_THINNEST) - (rest_x * rest_x + rest_y * rest_y).sqrt_()
            covered = edge(depth).mul_((own / _THINNEST).clamp_(max=1)).amax(dim=1, keepdim=True)
            torch.maximum(canvas, covered, out=canvas)
        return canvas

    def paint(
        self, images: Float[Tensor, "b c h w"], within: Window, colour: Float[Tensor, "c 1 1"], strength: float
    ) -> None:
        """What a layer of it does to images that are at hand, in place: the whole is never drawn."""
        self._onto(images, (within.top, within.left), within, colour, strength)

    def __add__(self, other: Stroke) -> Stroke:
        """Both. Raises ValueError where they are not of one radius."""
        if self.radii.shape != other.radii.shape or not torch.equal(self.radii, other.radii):
            raise ValueError("strokes of different radii cannot be one: put them in layers of their own")
        return Stroke(torch.cat([self.ends, other.ends], dim=2), self.radii)

    def _onto(self, images: Tensor, at: tuple[int, int], within: Window, colour: Tensor, strength: float) -> None:
        """Paint a window that begins at a place of these images."""
        corner, shape = (within.top, within.left), (within.height, within.width)
        ends, radii, target = (part.float().contiguous().numpy() for part in (self.ends, self.radii, colour.flatten()))
        paint_strokes(images.numpy(), at, ends, radii, corner, shape, _THINNEST, target, strength)


def dots(x: Float[Tensor, "b k"], y: Float[Tensor, "b k"], radius: float) -> Stroke:
    """k discs per row."""
    return line(x, y, x, y, radius)


def line(x0: Tensor, y0: Tensor, x1: Tensor, y1: Tensor, radius: float) -> Stroke:
    """k straight lines per row from (x0, y0) to (x1, y1), [b, k] px each."""
    return Stroke(torch.stack([x0, y0, x1, y1]), torch.tensor([[[radius]]], device=x0.device))


def curve(points: Points, radius: float, spans: Sequence[tuple[float, float]] = ((0.0, 1.0),)) -> Stroke:
    """k bent lines per row. spans: the parts of each that are drawn, from where to where in 0..1."""
    ends = torch.cat([bent(points, span)[0] for span in spans], dim=2)
    return Stroke(ends, torch.tensor([[[radius]]], device=ends.device))


def bent(
    points: Points, span: tuple[float, float] = (0.0, 1.0)
) -> tuple[Float[Tensor, "4 b n"], Float[Tensor, "2 b n"]]:
    """Straight pieces along k quadratic Bezier curves per row: their ends, and the curve's t there.

    Of how many pieces one is made follows from how far it bends; rows that need fewer than others have discs far
    outside any image instead. span: the least and the greatest t.
    """
    (x0, y0), (x1, y1), (x2, y2) = (tuple(axis.double() for axis in point) for point in points)
    bend = torch.sqrt((x0 - 2 * x1 + x2) ** 2 + (y0 - 2 * y1 + y2) ** 2) * (span[1] - span[0]) ** 2
    pieces = (bend / (4 * FLATNESS)).sqrt_().ceil_().clamp_(min=1)[:, :, None]
    number = torch.arange(int(pieces.max()) if pieces.numel() else 1, device=x0.device)
    t = [span[0] + (span[1] - span[0]) * (number + i) / pieces for i in (0, 1)]
    there = number < pieces
    ends = [
        torch.where(there, (1 - at) ** 2 * a[:, :, None] + 2 * at * (1 - at) * b[:, :, None] + at * at * c[:, :, None],
                    NOWHERE)
        for at in t
        for a, b, c in ((x0, x1, x2), (y0, y1, y2))
    ]  # fmt: skip
    return torch.stack(ends).flatten(2), torch.stack([torch.where(there, at, 0) for at in t]).flatten(2)
