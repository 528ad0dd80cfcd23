"""The shape of a foot in a photograph: two limbs of changing width, and toes, seen from one of four sides.

A limb is a strip along the image's lines or columns whose half width squared is a smooth sum of ellipses: one number
per line, in exactly defined float64 arithmetic, so that it costs its pixels a comparison only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from assay.data.phantoms.canvas import Grid, take
from assay.data.phantoms.capsules import Capsules
from assay.data.phantoms.counter import spread, uniforms
from assay.data.phantoms.foot_views import VIEWS, Views
from assay.data.phantoms.foot_visible import Visible

_JOIN = 5.0
"""Over how much of the image's side (in %) two limbs melt into each other."""
_ROUND = 70.0
"""The same for the ellipses of one limb, of half width squared."""


Draw = Callable[..., np.ndarray]


@dataclass(frozen=True, slots=True)
class Photo:
    """The part of each image that is a photograph, the rest being black: centre and half sides, float64 [n]."""

    x: np.ndarray
    y: np.ndarray
    half_x: np.ndarray
    half_y: np.ndarray


@dataclass(frozen=True, slots=True)
class Foot:
    """A foot in an image, float64. Limb 0 runs along the lines (downwards), limb 1 along the columns (to the right).

    ellipses: [n, 2, 3, 3], of each limb: centre along it, half width squared, the same over half length squared.
    middle: [n, 2, 3], of its middle line: offset, slope, bend. place: [n, 2, 2], where along it an ulcer may lie.
    toes: [n, 5, 6], x and y at root and tip, radius at either end. All in units of `zoom` from (x, y) on the image.
    nails: [n, 5], how much of a nail each toe shows. on: int64 [n], the limb that bears the ulcer. plantar: 0 to 1.
    """

    ellipses: Float[np.ndarray, "n 2 3 3"]
    middle: Float[np.ndarray, "n 2 3"]
    place: Float[np.ndarray, "n 2 2"]
    toes: Float[np.ndarray, "n 5 6"]
    nails: Float[np.ndarray, "n 5"]
    on: Int[np.ndarray, "n"]
    plantar: np.ndarray
    x: np.ndarray
    y: np.ndarray
    zoom: np.ndarray


def photo(nuisance: Int[np.ndarray, "n"], padded: float) -> Photo:
    """Photographs of 3 to 4 in a square with black at the right or, seldom, at the bottom; a share fills the square."""
    chance = uniforms(nuisance, "foot-padded", 2)
    narrow = chance[:, 0] < padded
    right, bottom = narrow & (chance[:, 1] < 0.875), narrow & (chance[:, 1] >= 0.875)
    return Photo(-12.5 * right, -12.5 * bottom, 50 - 12.5 * right, 50 - 12.5 * bottom)


def foot(seen: Visible, frame: Photo, nuisance: Int[np.ndarray, "n"]) -> Foot:
    """Every foot's shape and pose: the view from the factors, all else from the nuisance seed."""

    def draw(name: str, low: float, high: float, count: int = 1) -> np.ndarray:
        return spread(nuisance, f"foot-{name}", low, high, count)

    shown = _shown(seen)
    shape = _jittered(shown, draw)
    shape = _mirrored(shape, _sign(uniforms(nuisance, "foot-side", 1)[:, 0] < 0.5))
    wide = frame.half_x > frame.half_y
    lying = uniforms(nuisance, "foot-lying", 1)[:, 0] < np.where(wide, 0.5, 0.14)
    shape = _transposed(shape, lying)
    shape = _mirrored(shape, _sign(lying & (uniforms(nuisance, "foot-turned", 1)[:, 0] < 0.5)))
    near = draw("near", 0, 1)[:, 0]
    zoom = (0.84 + 0.5 * near * near) * np.where(lying | wide, np.where(lying == wide, 0.95, 0.8), 1.0)
    upper = uniforms(nuisance, "foot-limb", 1)[:, 0] < 0.3  # of a foot from the side, the ankle may bear the ulcer
    limb = np.where(shown.sideways >= 0.5, upper != lying, ~lying)
    return Foot(
        ellipses=shape.ellipses,
        middle=shape.middle,
        place=shape.place,
        toes=shape.toes,
        nails=shape.nails,
        on=1 - limb.astype(np.int64),
        plantar=shape.plantar,
        x=frame.x + draw("x", -4, 4)[:, 0],
        y=frame.y + draw("y", -4, 4)[:, 0],
        zoom=zoom,
    )


def _sign(flip: np.ndarray) -> np.ndarray:
    return 1.0 - 2.0 * flip


def _shown(seen: Visible) -> Views:
    """Each row's view; less than wholly turned towards it, something between it and the sole."""
    turned = seen.turned

    def between(table: np.ndarray) -> np.ndarray:
        share = turned.reshape(-1, *([1] * (table.ndim - 1)))
        return table[:1] + share * (table[seen.view] - table[:1])

    return Views(*(between(getattr(VIEWS, name)) for name in Views.__dataclass_fields__))


def _jittered(shape: Views, draw: Draw) -> Views:
    """Every foot has its own width, length, bend and toes."""
    wide, long = draw("wide", 0.88, 1.14)[:, :, None], draw("long", 0.94, 1.08)[:, :, None]
    own_wide, shift = draw("own-wide", 0.92, 1.08, 6).reshape(-1, 2, 3), draw("shift", -1.5, 1.5, 6).reshape(-1, 2, 3)
    centre, squared, over = (shape.ellipses[..., k] for k in range(3))
    stretched = (wide * own_wide) ** 2
    ellipses = np.stack([(centre + shift) * long, squared * stretched, over * stretched / (long * long)], axis=-1)
    middle = shape.middle + np.stack(
        [draw("off", -1, 1, 2), draw("lean", -0.16, 0.16, 2), draw("bend", -1.5, 1.5, 2)], -1
    )
    toes = shape.toes.copy()
    reach = draw("toe-reach", -1.2, 1.2, 5)
    away = toes[..., 2:4] - toes[..., 0:2]
    length = np.sqrt((away * away).sum(-1)) + 1e-6
    toes[..., 2:4] += away * (reach / length)[..., None]
    toes[..., 2] += draw("toe-lean", -0.7, 0.7, 5)
    toes[..., 4:6] *= wide * draw("toe-thick", 0.9, 1.1, 5)[:, :, None]
    return Views(ellipses, middle, shape.place, toes, shape.nails, shape.plantar, shape.sideways)


def _mirrored(shape: Views, sign: np.ndarray) -> Views:
    """Left and right of the image exchanged where the sign is -1."""
    s = sign[:, None]
    ellipses, middle, place, toes = (a.copy() for a in (shape.ellipses, shape.middle, shape.place, shape.toes))
    middle[:, 0] *= s
    ellipses[:, 1, :, 0] *= s
    middle[:, 1, 1] *= sign
    place[:, 1] = np.sort(place[:, 1] * s, axis=1)
    toes[..., 0] *= s
    toes[..., 2] *= s
    return Views(ellipses, middle, place, toes, shape.nails, shape.plantar, shape.sideways)


def _transposed(shape: Views, lying: np.ndarray) -> Views:
    """Lines and columns exchanged in some rows."""

    def swapped(values: np.ndarray) -> np.ndarray:
        return np.where(lying.reshape(-1, *([1] * (values.ndim - 1))), values[:, ::-1], values)

    toes = np.where(lying[:, None, None], shape.toes[..., [1, 0, 3, 2, 4, 5]], shape.toes)
    return Views(
        swapped(shape.ellipses),
        swapped(shape.middle),
        swapped(shape.place),
        toes,
        shape.nails,
        shape.plantar,
        shape.sideways,
    )


def half_squared(ellipses: Float[np.ndarray, "n 3 3"], along: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n k"]:
    """Half width squared of a limb at these places along it; negative beyond its ends."""
    total = np.full_like(along, -np.inf)
    for k in range(3):
        away = along - ellipses[:, k, :1]
        own = ellipses[:, k, 1:2] - ellipses[:, k, 2:3] * (away * away)
        close = (1 - np.abs(total - own) / _ROUND).clip(0)
        total = np.maximum(total, own) + 0.25 * _ROUND * close * close
    return total


def middle_line(middle: Float[np.ndarray, "n 3"], along: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n k"]:
    """Where across the limb its middle lies."""
    bent = along * (1 / 30)
    return middle[:, :1] + middle[:, 1:2] * along + middle[:, 2:3] * (bent * bent)


def depth_of(shape: Foot, grid: Grid) -> Float[Tensor, "n size size"]:
    """How far inside the limbs' outline each pixel lies, in % of the side near it and growing slower deep inside."""
    there: Bool[np.ndarray, "n 2"] = np.any(shape.ellipses[..., 1] > 0, axis=2)
    both, second = np.flatnonzero(there[:, 0] & there[:, 1]), np.flatnonzero(~there[:, 0])
    depth = _limb_depth(shape, 0, grid)
    if len(second) > 0:
        depth[torch.as_tensor(second, device=grid.device)] = _limb_depth(take(shape, second), 1, grid)
    if len(both) > 0:
        index = torch.as_tensor(both, device=grid.device)
        depth[index] = _joined(depth[index], _limb_depth(take(shape, both), 1, grid))
    return depth


def _limb_depth(shape: Foot, limb: int, grid: Grid) -> Float[Tensor, "n size size"]:
    line = (np.arange(grid.size) + (0.5 - 0.5 * grid.size)) * grid.pixel
    start, across = (shape.y, shape.x) if limb == 0 else (shape.x, shape.y)
    zoom = shape.zoom[:, None]
    along = (line - start[:, None]) / zoom
    squared = half_squared(shape.ellipses[:, limb], along)
    slope = np.empty_like(squared)
    slope[:, 1:-1] = (squared[:, 2:] - squared[:, :-2]) / (along[:, 2:] - along[:, :-2])
    slope[:, 0], slope[:, -1] = slope[:, 1], slope[:, -2]
    steep = zoom / np.sqrt(4 * squared.clip(4) + slope * slope)
    centre = middle_line(shape.middle[:, limb], along)
    crossing = (line - across[:, None]) / zoom

    def put(values: np.ndarray, lines: bool) -> Tensor:
        flat = torch.as_tensor(values.astype(np.float32), device=grid.device)
        return flat[:, :, None] if lines else flat[:, None, :]

    upright = limb == 0
    away = put(crossing, not upright) - put(centre, upright)
    return (put(squared, upright) - away.mul_(away)).mul_(put(steep, upright))


def _joined(a: Float[Tensor, "n size size"], b: Float[Tensor, "n size size"]) -> Float[Tensor, "n size size"]:
    """The greater of both, rounded where they are close."""
    close = (a - b).abs_().mul_(-1 / _JOIN).add_(1).clamp_(min=0)
    return torch.maximum(a, b).add_(close.mul_(close).mul_(0.25 * _JOIN))


def toes_of(shape: Foot) -> Capsules:
    """The toes on the image. Strength 1 where there is one."""
    x, y, zoom = shape.x[:, None], shape.y[:, None], shape.zoom[:, None]
    x0, y0, x1, y1, radius0, radius1 = (shape.toes[..., k] for k in range(6))
    there = (np.minimum(radius0, radius1) > 0.3).astype(np.float64)
    return Capsules(
        x + zoom * x0, y + zoom * y0, x + zoom * x1, y + zoom * y1, zoom * radius0, zoom * radius1, there, there
    )


def room(shape: Foot, limb: Int[np.ndarray, "n"]) -> tuple[Float[np.ndarray, "n"], Float[np.ndarray, "n"]]:
    """From where to where along this limb an ulcer may lie."""
    chosen = shape.place[np.arange(len(limb)), limb]
    return chosen[:, 0], chosen[:, 1]


def on_limb(
    shape: Foot, limb: Int[np.ndarray, "n"], at: Float[np.ndarray, "n"], share: Float[np.ndarray, "n"]
) -> tuple[Float[np.ndarray, "n"], Float[np.ndarray, "n"]]:
    """The point on the image so far along a limb, at this share of its half width from its middle."""
    rows = np.arange(len(at))
    ellipses, middle = shape.ellipses[rows, limb], shape.middle[rows, limb]
    half = np.sqrt(half_squared(ellipses, at[:, None])[:, 0].clip(1))
    across = middle_line(middle, at[:, None])[:, 0] + share * half
    upright = limb == 0
    x, y = np.where(upright, across, at), np.where(upright, at, across)
    return shape.x + shape.zoom * x, shape.y + shape.zoom * y
