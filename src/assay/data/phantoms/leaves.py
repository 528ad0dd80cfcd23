"""Dead leaves: opaque shapes of power-law radii that fall on each other, as objects in the world hide each other.

Lee, Mumford and Huang 2001, "Occlusion models for natural images: a statistical study of a scale-invariant dead leaves
model"; Ruderman 1997, "Origins of scaling in natural images". With r^-3 all sizes cover alike and the picture has no
scale; other exponents favour the large or the small.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from types import MappingProxyType

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from assay.data.phantoms.canvas import Grid, Windows, column
from assay.data.phantoms.counter import spread, uniforms
from assay.data.phantoms.exact import direction
from assay.data.phantoms.natural_kinds import Law

SMALLEST, LARGEST = 0.024, 0.34
"""Radii of the circles of equal area, in sides of the image at scale 1."""
_COVER = 3.0  # area of all leaves over that of the scene: a share of exp(-3) shows the ground
_BANDS = 8  # of radii, each filled evenly, so that pictures of a kind hold as many large leaves as small
_HALF = 0.5 / 0.7 + 0.02  # half the side of the scene: what is seen from furthest away

Outline = Callable[[Tensor, Tensor], Bool[Tensor, "m w w"]]


def _disc(u: Tensor, v: Tensor) -> Bool[Tensor, "m w w"]:
    return u * u + v * v < 1


def _ellipse(u: Tensor, v: Tensor) -> Bool[Tensor, "m w w"]:
    return u * u * 0.5 + v * v * 2 < 1


def _square(u: Tensor, v: Tensor) -> Bool[Tensor, "m w w"]:
    return torch.maximum(u.abs(), v.abs()) < 0.886  # sqrt(pi) / 2: the area of the unit disc


def _triangle(u: Tensor, v: Tensor) -> Bool[Tensor, "m w w"]:
    return torch.maximum(-v, u.abs() * 0.8660254 + v * 0.5) < 0.7776  # the inradius at the area of the unit disc


def _bar(u: Tensor, v: Tensor) -> Bool[Tensor, "m w w"]:
    return torch.maximum(u.abs() * 0.5, v.abs() * 2) < 0.886


OUTLINES: Mapping[str, tuple[Outline, float]] = MappingProxyType(
    {
        "disc": (_disc, 1.0),
        "ellipse": (_ellipse, 1.415),
        "square": (_square, 1.254),
        "triangle": (_triangle, 1.556),
        "bar": (_bar, 1.827),
    }
)
"""Whether a point is inside, in units of the radius of equal area, and how far the outline reaches in these units."""


@dataclass(frozen=True, slots=True)
class Leaves:
    """Leaves that can be seen, one by one. row: the image, int64 [m]; code: order and grey, int32 [m]; the rest in
    sides of the image from its middle, float64 [m].
    """

    row: Int[np.ndarray, "m"]
    x: Float[np.ndarray, "m"]
    y: Float[np.ndarray, "m"]
    radius: Float[np.ndarray, "m"]
    turn: Float[np.ndarray, "m"]
    code: Int[np.ndarray, "m"]

    def take(self, index: np.ndarray) -> Leaves:
        """Some of them."""
        return Leaves(*(getattr(self, field.name)[index] for field in fields(self)))


def draw_leaves(
    law: Law, scale: Float[np.ndarray, "n"], nuisance: Int[np.ndarray, "n"], grid: Grid
) -> Float[Tensor, "n size size"]:
    """Pictures of one law, grey levels uniform in 0..1 from leaf to leaf. grid: its field is 1."""
    leaves = fallen(law, scale, nuisance)
    outline, reach = OUTLINES[law.form]
    ground = (uniforms(nuisance, "leaf-ground", 1) * 65535).astype(np.int32)
    canvas = torch.as_tensor(ground, device=grid.device).repeat(1, grid.size**2)
    width = np.ceil(np.log2(leaves.radius) * 3).astype(np.int64)  # three window widths an octave
    for step in np.unique(width):
        _cover(canvas, leaves.take(width == step), outline, reach * float(2.0 ** (step / 3)), grid)
    return (canvas & 0xFFFF).to(torch.float32).mul_(1 / 65535).view(-1, grid.size, grid.size)


def fallen(law: Law, scale: Float[np.ndarray, "n"], nuisance: Int[np.ndarray, "n"]) -> Leaves:
    """The leaves of these images that lie in view, at this scale."""
    reach = OUTLINES[law.form][1]
    low, high = _radii(law.exponent, reach)
    shape = (len(nuisance), len(low))
    drawn = uniforms(nuisance, "leaf", 6 * len(low)).reshape(*shape, 6)
    near = scale[:, None]
    radius = (low + (high - low) * drawn[..., 0]) * near
    x, y = ((2 * drawn[..., k] - 1) * (_HALF + high * reach) * near for k in (1, 2))
    order = (drawn[..., 3] * 32766).astype(np.int32) + 1
    code = (order << 16) | (drawn[..., 4] * 65535).astype(np.int32)
    edge = 0.5 + radius * reach
    row, leaf = np.nonzero((np.abs(x) < edge) & (np.abs(y) < edge))
    at = (row, leaf)
    return Leaves(row, x[at], y[at], radius[at], drawn[..., 5][at], code[at])


@lru_cache(maxsize=32)
def _radii(exponent: float, reach: float) -> tuple[Float[np.ndarray, "m"], Float[np.ndarray, "m"]]:
    """The lowest and highest radius that each leaf may have; the counts follow from the area that each band covers."""
    edges = SMALLEST * (LARGEST / SMALLEST) ** (np.arange(_BANDS + 1) / _BANDS)
    middle = np.sqrt(edges[1:] * edges[:-1])
    share = middle ** (3 - exponent)  # of the area: r^2 r^-a, over bands of equal ratio
    room = (2 * (_HALF + edges[1:] * reach)) ** 2
    counts = np.rint(_COVER * share / share.sum() * room / (np.pi * middle**2)).astype(np.int64)
    return np.repeat(edges[:-1], counts), np.repeat(edges[1:], counts)


def _cover(canvas: Int[Tensor, "n pixels"], leaves: Leaves, outline: Outline, reach: float, grid: Grid) -> None:
    windows = Windows.around(leaves.row, leaves.x, leaves.y, reach, grid)
    cosine, sine = direction(leaves.turn)
    along, across = column(cosine / leaves.radius, grid.device), column(sine / leaves.radius, grid.device)
    x, y = windows.x - column(leaves.x, grid.device), windows.y - column(leaves.y, grid.device)
    inside = outline(x * along + y * across, y * along - x * across)
    code = torch.as_tensor(leaves.code, device=grid.device)[:, None, None]
    windows.draw(canvas, inside * code)


def ink(nuisance: Int[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
    """A grey level far from the middle, for what is drawn over a ground of middle grey."""
    side, depth = uniforms(nuisance, "ink-side", 1)[:, 0], spread(nuisance, "ink", 0.3, 0.48)[:, 0]
    return 0.5 + np.where(side < 0.5, -depth, depth)
