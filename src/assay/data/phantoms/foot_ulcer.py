"""Ulcers: a bed of granulation under more or less slough, a rim, redness around, sunk into the skin."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from assay.data.phantoms.blobs import Blobs, within
from assay.data.phantoms.canvas import Grid, Windows, column, ramp, take
from assay.data.phantoms.counter import spread, uniforms
from assay.data.phantoms.exact import direction
from assay.data.phantoms.foot_shape import Foot, Photo, on_limb, room
from assay.data.phantoms.foot_texture import Texture
from assay.data.phantoms.foot_visible import Visible
from assay.data.phantoms.painting import Planes, along, blend, colours, dab, paint

MOST = 3
"""Ulcers that an image can have."""
REACH = 0.9
"""Redness, rim and ragged edge end at this many radii outside of the outline, and 3 % of the side further."""
_WAVES = 5

_BED = np.array([[0.24, 0.06, 0.07], [0.45, 0.09, 0.10], [0.63, 0.18, 0.18], [0.77, 0.37, 0.35]])
_SLOUGH = np.array([[0.48, 0.34, 0.27], [0.66, 0.52, 0.37], [0.84, 0.75, 0.58]])
_PALE = np.array([[0.97, 0.91, 0.80], [0.93, 0.84, 0.64], [0.80, 0.68, 0.46]])
_RED = np.array([0.72, 0.20, 0.18])


@dataclass(frozen=True, slots=True)
class Ulcers:
    """The k-th ulcer of every image, [n] each.

    presence: how much of it is there. bed, slough, pale: colours [n, 3]. contrast: how far they replace the skin's.
    patch: place, share of half axes, and size of the slough, [n, 3]. rim: strength. redness: of the skin around.
    ragged: how far, in radii, fine texture moves the edge.
    """

    shape: Blobs
    presence: np.ndarray
    contrast: np.ndarray
    bed: Float[np.ndarray, "n 3"]
    slough: Float[np.ndarray, "n 3"]
    pale: Float[np.ndarray, "n 3"]
    patch: Float[np.ndarray, "n 3"]
    rim: np.ndarray
    redness: np.ndarray
    ragged: np.ndarray
    slough_share: np.ndarray


def ulcers(seen: Visible, shape: Foot, frame: Photo, nuisance: Int[np.ndarray, "n"]) -> tuple[Ulcers, ...]:
    """Up to three ulcers an image: the first where the factors say, the others beside it and smaller."""
    first = _first(seen, shape)
    places = [first, *(_beside(k, first, shape, nuisance) for k in range(1, MOST))]
    there = np.concatenate([np.ones((len(nuisance), 1)), seen.further], axis=1)
    return tuple(
        _ulcer(k, seen, seen.presence * there[:, k], _inside(place, frame), nuisance) for k, place in enumerate(places)
    )


def _first(seen: Visible, shape: Foot) -> Spot:
    """Along the limb by one coordinate, across it by the other."""
    low, high = room(shape, shape.on)
    lengthwise, crosswise = np.where(shape.on == 0, seen.y, seen.x), np.where(shape.on == 0, seen.x, seen.y)
    at = 0.5 * (low + high) + 0.42 * (high - low) * lengthwise
    return Spot(*on_limb(shape, shape.on, at, 0.55 * crosswise), 0.5 * seen.diameter)


def _beside(k: int, first: Spot, shape: Foot, nuisance: Int[np.ndarray, "n"]) -> Spot:
    """The second and third lie towards the limb's longer part, on either side of its middle."""
    low, high = room(shape, shape.on)
    start = np.where(shape.on == 0, first.y - shape.y, first.x - shape.x) / shape.zoom
    towards = np.where(start < 0.5 * (low + high), 1.0, -1.0)
    radius = (first.radius * spread(nuisance, f"foot-satellite-{k}", 0.4, 0.6)[:, 0]).clip(1.5, 5.0)
    apart = (1.3 * (first.radius + radius) + 1.5) / shape.zoom + (k - 1) * spread(nuisance, "foot-apart", 0, 5)[:, 0]
    side = np.where(uniforms(nuisance, "foot-beside", 1)[:, 0] < 0.5, 1.0, -1.0) * (3 - 2 * k)
    across = side * spread(nuisance, f"foot-across-{k}", 0.4, 0.6)[:, 0]
    return Spot(*on_limb(shape, shape.on, start + towards * apart, across), radius)


@dataclass(frozen=True, slots=True)
class Spot:
    """A circle on each image."""

    x: np.ndarray
    y: np.ndarray
    radius: np.ndarray


def _inside(place: Spot, frame: Photo) -> Spot:
    """The same, but with the centre in the photograph."""
    room_x, room_y = frame.half_x - 5, frame.half_y - 5
    x = np.minimum(np.maximum(place.x, frame.x - room_x), frame.x + room_x)
    y = np.minimum(np.maximum(place.y, frame.y - room_y), frame.y + room_y)
    return Spot(x, y, place.radius)


def _ulcer(k: int, seen: Visible, presence: np.ndarray, place: Spot, nuisance: Int[np.ndarray, "n"]) -> Ulcers:
    def draw(name: str, low: float, high: float, count: int = 1) -> np.ndarray:
        return spread(nuisance, f"foot-ulcer-{k}-{name}", low, high, count)

    cosine, sine = direction(uniforms(nuisance, f"foot-ulcer-{k}-axis", 1)[:, 0])
    swing = 0.02 + 0.115 * seen.irregularity
    waves = draw("waves", -1, 1, 2 * _WAVES) * swing[:, None] * np.tile([1.0, 1.0, 0.8, 0.65, 0.5], 2)
    share = np.sqrt(seen.slough)
    patch_c, patch_s = direction(uniforms(nuisance, f"foot-ulcer-{k}-patch", 1)[:, 0])
    off = (1 - share) * draw("patch-off", 0.3, 0.9)[:, 0]
    return Ulcers(
        shape=Blobs(
            x=place.x,
            y=place.y,
            radius=place.radius,
            cosine=cosine,
            sine=sine,
            stretch=np.sqrt(draw("stretch", 1.0, 1.7)[:, 0]),
            even=waves[:, :_WAVES],
            odd=waves[:, _WAVES:],
        ),
        presence=presence,
        contrast=seen.contrast,
        bed=along(_BED, draw("bed", 0, 1)[:, 0]),
        slough=along(_SLOUGH, draw("slough", 0, 1)[:, 0]),
        pale=along(_PALE, draw("pale", 0, 1)[:, 0]),
        patch=np.stack([off * patch_c, off * patch_s, share + 0.1 * seen.slough * seen.slough * seen.slough], axis=1),
        rim=seen.rim,
        redness=draw("redness", 0.0, 0.55)[:, 0],
        ragged=0.1 * seen.irregularity,
        slough_share=seen.slough,
    )


def draw_ulcers(
    skin: Planes,
    light: Float[Tensor, "n size size"],
    cover: Float[Tensor, "n size size"],
    wounds: tuple[Ulcers, ...],
    texture: Texture,
    towards: Float[np.ndarray, "n 2"],
    grid: Grid,
) -> Bool[Tensor, "n size size"]:
    """Paint the ulcers on the skin and sink them in its light; return their masks: at least half foot and half bed.

    cover: how much of a pixel is foot. towards: the direction that light comes from.
    """
    mask = torch.zeros(light.shape, dtype=torch.bool, device=grid.device)
    for each in wounds:
        rows = np.flatnonzero(each.presence > 0)
        if len(rows) > 0:
            own = take(each, rows)
            extent = float((own.shape.reach() + REACH * own.shape.radius).max()) + 3
            windows = Windows.around(rows, own.shape.x, own.shape.y, extent, grid)
            bed = _paint(skin, light, cover, own, windows, texture, towards[rows], grid)
            windows.mark(mask, bed)
    return mask.logical_and_(cover >= 0.5)


def _paint(
    skin: Planes,
    light: Float[Tensor, "n size size"],
    cover: Float[Tensor, "n size size"],
    own: Ulcers,
    windows: Windows,
    texture: Texture,
    towards: Float[np.ndarray, "m 2"],
    grid: Grid,
) -> Bool[Tensor, "m w w"]:
    """One ulcer in each window, from the outside in: redness, rim, bed, slough. Returns where its bed lies."""

    def put(values: np.ndarray) -> Tensor:
        return column(values, grid.device)

    radius, strength = own.shape.radius, own.presence * own.contrast
    coarse, fine = (windows.read(field) for field in (texture.coarse, texture.fine))
    _, depth, u, v = within(own.shape, windows, grid.device)
    uneven = (coarse * 0.7).add_(fine * 0.5).clamp_(-1.5, 1.5)
    depth.add_(uneven.mul_(put(own.ragged * radius)))
    bed = ramp(depth, put(np.full(len(radius), 1.1 * grid.pixel + 0.25)))
    red = (depth * put(1 / (0.7 * radius + 1.5))).add_(1).clamp_(0, 1)
    around = 1 - bed
    red.mul_(red).mul_(around).mul_(put(own.redness * strength))
    dab(skin, windows, red, paint(_RED, len(radius), grid.device))
    rim = (depth * put(1 / (own.rim * (0.3 * radius + 1.2) + 0.1))).add_(1).clamp_(0, 1)
    rim = ramp(rim.sub_(0.5), put(np.full(len(radius), 0.9))).mul_(around)
    rim.mul_(put(np.minimum(1.6 * own.rim, 0.85) * strength.clip(0, 1)))
    dab(skin, windows, rim, colours(own.pale, grid.device))
    dab(skin, windows, bed.mul_(put(strength)), _wound(own, u, v, coarse, fine, grid.device))
    shade = _sunk(depth, own, towards, grid).mul_(windows.read(cover))
    windows.multiply(light, shade.add_(1))
    return depth >= 0


def _wound(own: Ulcers, u: Tensor, v: Tensor, coarse: Tensor, fine: Tensor, device: str) -> Float[Tensor, "3 m w w"]:
    """Granulation, uneven and wet, and slough over a share of it."""
    x, y, size = (column(own.patch[:, k], device) for k in range(3))
    off_x, off_y = u - x, v - y
    away = off_x.mul_(off_x).add_(off_y.mul_(off_y)).sqrt_()
    uneven = column(4 * own.slough_share * (1 - own.slough_share), device)
    covered = ramp(
        (size - away).add_(coarse.clamp(-2, 2).mul_(0.14).mul_(uneven)), column(np.full(len(u), 0.3), device)
    )
    colour = blend(colours(own.bed, device).expand(3, *u.shape).clone(), colours(own.slough, device), covered)
    bumps = (fine * 0.09).add_(coarse * 0.08).add_(1).clamp_(0.4, 1.5)
    wet = (fine - 1.3).clamp_(min=0).mul_(0.2)
    return colour.mul_(bumps).add_(wet)


def _sunk(depth: Tensor, own: Ulcers, towards: Float[np.ndarray, "m 2"], grid: Grid) -> Float[Tensor, "m w w"]:
    """How much brighter or darker the slope of an ulcer's wall is than the level skin."""
    radius = own.shape.radius
    fall = (depth * column(1 / (0.3 * radius + 0.6), grid.device)).clamp_(0, 1)
    deep = own.presence * own.contrast * (0.18 * radius + 0.6) * (0.35 / grid.pixel)
    shade = torch.zeros_like(fall)
    shade[:, :, 1:-1] = (fall[:, :, 2:] - fall[:, :, :-2]).mul_(column(deep * towards[:, 0], grid.device))
    shade[:, 1:-1] += (fall[:, 2:] - fall[:, :-2]).mul_(column(deep * towards[:, 1], grid.device))
    return shade.clamp_(-0.45, 0.3)
