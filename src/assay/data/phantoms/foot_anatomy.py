"""Anatomy of the foot phantom: shape, views, skin texture and ulcers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from assay.data.phantoms.base import PhantomRows
from assay.data.phantoms.drawing import (
    Blobs,
    Capsules,
    Grid,
    Planes,
    Windows,
    along,
    blend,
    colors,
    column,
    dab,
    direction,
    paint,
    ramp,
    take,
    within,
)
from assay.data.phantoms.noise import spline_zoom, spread, uniforms, white_noise, zoom_gain

# The four sides from which a foot is seen, in numbers: limbs, toes and where ulcers lie, in % of the image's side.
#
# The big toe of the sole and of the top lies at the right, the toes of the side at the right; nuisance mirrors and
# turns.

_GONE = (0.0, -900.0, 1.0)


@dataclass(frozen=True, slots=True)
class Views:
    """One entry per view (or per image); see `foot_shape.Foot`. sideways: 1 where the ankle may bear ulcers."""

    ellipses: Float[np.ndarray, "n 2 3 3"]
    middle: Float[np.ndarray, "n 2 3"]
    place: Float[np.ndarray, "n 2 2"]
    toes: Float[np.ndarray, "n 5 6"]
    nails: Float[np.ndarray, "n 5"]
    plantar: Float[np.ndarray, "n"]
    sideways: Float[np.ndarray, "n"]


def _ellipse(center: float, half_width: float, half_length: float) -> tuple[float, float, float]:
    return center, half_width**2, (half_width / half_length) ** 2


_NO_LIMB = (_GONE, _GONE, _GONE)
_NO_TOE = (0.0, 0.0, 0.0, 1.0, -1.0, -1.0)
_STRAIGHT = (0.0, 0.0, 0.0)

VIEWS = Views(
    ellipses=np.array(
        [
            [[_ellipse(-13, 16.5, 19), _ellipse(6, 13.5, 32), _ellipse(25, 13, 17)], _NO_LIMB],
            [[_ellipse(-50, 13.5, 60), _ellipse(-5, 15, 30), _ellipse(8, 18.5, 24)], _NO_LIMB],
            [
                [_ellipse(-55, 14, 50), _ellipse(-25, 9.5, 40), _ellipse(4, 11, 16)],
                [_ellipse(-14, 11.5, 14), _ellipse(6, 11, 27), _ellipse(24, 8, 15)],
            ],
            [[_ellipse(-14, 15.5, 20), _ellipse(6, 14, 32), _ellipse(55, 12.5, 60)], _NO_LIMB],
        ]
    ),
    middle=np.array(
        [
            [(0.0, 0.0, -1.0), _STRAIGHT],
            [_STRAIGHT, _STRAIGHT],
            [(-13.0, 0.0, 0.0), (15.0, 0.12, 0.0)],
            [_STRAIGHT, _STRAIGHT],
        ]
    ),
    place=np.array([[(-25, 32), (0, 1)], [(-18, 24), (0, 1)], [(-36, 6), (-22, 34)], [(-26, 26), (0, 1)]], dtype=float),
    toes=np.array(
        [
            [
                (9.6, -26, 10.3, -33.5, 5.6, 5.6),
                (1.7, -28, 2.0, -35.0, 3.5, 3.8),
                (-4.6, -27, -5.0, -32.8, 3.3, 3.5),
                (-10.2, -23, -11.0, -29, 3.1, 3.2),
                (-14.3, -18, -15.6, -23.5, 2.8, 2.9),
            ],
            [_NO_TOE] * 5,
            [
                (30, 20.5, 39, 21.8, 5.2, 4.2),
                (30, 17, 36.5, 18.0, 3.6, 3.0),
                (28, 14.5, 33.5, 15.2, 3.2, 2.7),
                _NO_TOE,
                _NO_TOE,
            ],
            [
                (8.7, -25, 9.6, -35.5, 5.0, 4.7),
                (1.8, -27, 2.1, -36.5, 3.3, 3.2),
                (-4.1, -26, -4.5, -34.5, 3.2, 3.0),
                (-9.4, -23, -10.3, -31, 3.0, 2.8),
                (-13.3, -18, -14.8, -25.5, 2.8, 2.5),
            ],
        ]
    ),
    nails=np.array([[0.0] * 5, [0.0] * 5, [0.8, 0.7, 0.6, 0.0, 0.0], [1.0] * 5]),
    plantar=np.array([1.0, 0.7, 0.15, 0.0]),
    sideways=np.array([0.0, 0.0, 1.0, 0.0]),
)
"""Views in the order of the factor's levels: sole, heel, side, top."""


# The shape of a foot in a photograph: two limbs of changing width, and toes, seen from one of four sides.
#
# A limb is a strip along the image's lines or columns whose half width squared is a smooth sum of ellipses: one number
# per line, in exactly defined float64 arithmetic, so that it costs its pixels a comparison only.

_JOIN = 5.0
"""Over how much of the image's side (in %) two limbs melt into each other."""
_ROUND = 70.0
"""The same for the ellipses of one limb, of half width squared."""


Draw = Callable[..., np.ndarray]


@dataclass(frozen=True, slots=True)
class Photo:
    """The part of each image that is a photograph, the rest being black: center and half sides, float64 [n]."""

    x: np.ndarray
    y: np.ndarray
    half_x: np.ndarray
    half_y: np.ndarray


@dataclass(frozen=True, slots=True)
class Foot:
    """A foot in an image, float64. Limb 0 runs along the lines (downwards), limb 1 along the columns (to the right).

    ellipses: [n, 2, 3, 3], of each limb: center along it, half width squared, the same over half length squared.
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


def foot(seen: PhantomRows, frame: Photo, nuisance: Int[np.ndarray, "n"]) -> Foot:
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


def _shown(seen: PhantomRows) -> Views:
    """Each row's view; less than wholly turned toward it, something between it and the sole."""
    turned = min(1.0, seen.difficulty["view"])

    def between(table: np.ndarray) -> np.ndarray:
        return table[:1] + turned * (table[seen.values["view"]] - table[:1])

    return Views(*(between(getattr(VIEWS, name)) for name in Views.__dataclass_fields__))


def _jittered(shape: Views, draw: Draw) -> Views:
    """Every foot has its own width, length, bend and toes."""
    wide, long = draw("wide", 0.88, 1.14)[:, :, None], draw("long", 0.94, 1.08)[:, :, None]
    own_wide, shift = draw("own-wide", 0.92, 1.08, 6).reshape(-1, 2, 3), draw("shift", -1.5, 1.5, 6).reshape(-1, 2, 3)
    center, squared, over = (shape.ellipses[..., k] for k in range(3))
    stretched = (wide * own_wide) ** 2
    ellipses = np.stack([(center + shift) * long, squared * stretched, over * stretched / (long * long)], axis=-1)
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
    """Position of the limb's middle across it."""
    bent = along * (1 / 30)
    return middle[:, :1] + middle[:, 1:2] * along + middle[:, 2:3] * (bent * bent)


def depth_of(shape: Foot, grid: Grid) -> Float[Tensor, "n size size"]:
    """Depth of each pixel inside the limbs' outline, in % of the side near it and growing slower deep inside."""
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
    center = middle_line(shape.middle[:, limb], along)
    crossing = (line - across[:, None]) / zoom

    def put(values: np.ndarray, lines: bool) -> Tensor:
        flat = torch.as_tensor(values.astype(np.float32), device=grid.device)
        return flat[:, :, None] if lines else flat[:, None, :]

    upright = limb == 0
    away = put(crossing, not upright) - put(center, upright)
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
    """First and last place along this limb where an ulcer may be."""
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


# Random texture of a photograph: two fields that skin, wounds and cloth share, each with its own use for them.

_BROAD, _COARSE, _FINE, _FINEST = 5, 18, 60, 200


@dataclass(frozen=True, slots=True)
class Texture:
    """Fields of mean 0 and variance near 1, [n, size, size]. coarse: spots of 5 to 20% of a side; fine: of 1 to 2."""

    coarse: Float[Tensor, "n size size"]
    fine: Float[Tensor, "n size size"]


def texture(nuisance: Int[np.ndarray, "n"], grid: Grid) -> Texture:
    """The fields of these images; from 256 px on the fine one holds a still finer octave."""
    broad = white_noise(nuisance, "foot-broad", _BROAD + 2, _BROAD + 2, grid.device)
    spots = white_noise(nuisance, "foot-coarse", _COARSE + 2, _COARSE + 2, grid.device)
    mixed = spline_zoom(broad, _COARSE + 2).mul_(1.0 / float(zoom_gain(_BROAD, _COARSE + 2))).add_(spots.mul_(0.8))
    coarse = spline_zoom(mixed, grid.size)
    grains = white_noise(nuisance, "foot-fine", _FINE + 2, _FINE + 2, grid.device)
    fine = spline_zoom(grains, grid.size).mul_(1 / float(zoom_gain(_FINE, grid.size)))
    if grid.size >= 256:
        pores = white_noise(nuisance, "foot-finest", _FINEST + 2, _FINEST + 2, grid.device)
        fine.mul_(0.8).add_(spline_zoom(pores, grid.size).mul_(0.6 / float(zoom_gain(_FINEST, grid.size))))
    return Texture(coarse, fine)


# Ulcers: a bed of granulation under more or less slough, a rim, redness around, sunk into the skin.

MOST = 3
"""Ulcers that an image can have."""
REACH = 0.9
"""Redness, rim and ragged edge end at this many radii outside of the outline, and 3% of the side further."""
_WAVES = 5

_BED = np.array([[0.24, 0.06, 0.07], [0.45, 0.09, 0.10], [0.63, 0.18, 0.18], [0.77, 0.37, 0.35]])
_SLOUGH = np.array([[0.48, 0.34, 0.27], [0.66, 0.52, 0.37], [0.84, 0.75, 0.58]])
_PALE = np.array([[0.97, 0.91, 0.80], [0.93, 0.84, 0.64], [0.80, 0.68, 0.46]])
_RED = np.array([0.72, 0.20, 0.18])


@dataclass(frozen=True, slots=True)
class Ulcers:
    """The k-th ulcer of every image, [n] each.

    presence: how much of it is there. bed, slough, pale: colors [n, 3]. contrast: how far they replace the skin's.
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


def ulcers(seen: PhantomRows, shape: Foot, frame: Photo, nuisance: Int[np.ndarray, "n"]) -> tuple[Ulcers, ...]:
    """Draw up to three ulcers an image: the first where the factors say, the others next to it and smaller."""
    first, count = _first(seen, shape), seen.difficulty["count"] * seen.values["count"][:, None]
    further = np.clip(count - np.array([0.0, 1.0]), 0, 1)
    places = [first, *(_beside(k, first, shape, nuisance) for k in range(1, MOST))]
    there = np.concatenate([np.ones((len(nuisance), 1)), further], axis=1)
    return tuple(
        _ulcer(k, seen, seen["lesion"] * there[:, k], _inside(place, frame), nuisance) for k, place in enumerate(places)
    )


def _first(seen: PhantomRows, shape: Foot) -> Spot:
    """Along the limb by one coordinate, across it by the other."""
    low, high = room(shape, shape.on)
    lengthwise, crosswise = (
        np.where(shape.on == 0, seen["position_y"], seen["position_x"]),
        np.where(shape.on == 0, seen["position_x"], seen["position_y"]),
    )
    at = 0.5 * (low + high) + 0.42 * (high - low) * lengthwise
    return Spot(*on_limb(shape, shape.on, at, 0.55 * crosswise), 0.5 * seen["size"])


def _beside(k: int, first: Spot, shape: Foot, nuisance: Int[np.ndarray, "n"]) -> Spot:
    """The second and third lie toward the limb's longer part, on either side of its middle."""
    low, high = room(shape, shape.on)
    start = np.where(shape.on == 0, first.y - shape.y, first.x - shape.x) / shape.zoom
    toward = np.where(start < 0.5 * (low + high), 1.0, -1.0)
    radius = (first.radius * spread(nuisance, f"foot-satellite-{k}", 0.4, 0.6)[:, 0]).clip(1.5, 5.0)
    apart = (1.3 * (first.radius + radius) + 1.5) / shape.zoom + (k - 1) * spread(nuisance, "foot-apart", 0, 5)[:, 0]
    side = np.where(uniforms(nuisance, "foot-beside", 1)[:, 0] < 0.5, 1.0, -1.0) * (3 - 2 * k)
    across = side * spread(nuisance, f"foot-across-{k}", 0.4, 0.6)[:, 0]
    return Spot(*on_limb(shape, shape.on, start + toward * apart, across), radius)


@dataclass(frozen=True, slots=True)
class Spot:
    """A circle on each image."""

    x: np.ndarray
    y: np.ndarray
    radius: np.ndarray


def _inside(place: Spot, frame: Photo) -> Spot:
    """The same, but with the center in the photograph."""
    room_x, room_y = frame.half_x - 5, frame.half_y - 5
    x = np.minimum(np.maximum(place.x, frame.x - room_x), frame.x + room_x)
    y = np.minimum(np.maximum(place.y, frame.y - room_y), frame.y + room_y)
    return Spot(x, y, place.radius)


def _ulcer(k: int, seen: PhantomRows, presence: np.ndarray, place: Spot, nuisance: Int[np.ndarray, "n"]) -> Ulcers:
    def draw(name: str, low: float, high: float, count: int = 1) -> np.ndarray:
        return spread(nuisance, f"foot-ulcer-{k}-{name}", low, high, count)

    cosine, sine = direction(uniforms(nuisance, f"foot-ulcer-{k}-axis", 1)[:, 0])
    swing = 0.02 + 0.115 * seen["irregularity"]
    waves = draw("waves", -1, 1, 2 * _WAVES) * swing[:, None] * np.tile([1.0, 1.0, 0.8, 0.65, 0.5], 2)
    share = np.sqrt(seen["slough"])
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
        contrast=seen["contrast"],
        bed=along(_BED, draw("bed", 0, 1)[:, 0]),
        slough=along(_SLOUGH, draw("slough", 0, 1)[:, 0]),
        pale=along(_PALE, draw("pale", 0, 1)[:, 0]),
        patch=np.stack(
            [off * patch_c, off * patch_s, share + 0.1 * seen["slough"] * seen["slough"] * seen["slough"]], axis=1
        ),
        rim=seen["rim"],
        redness=draw("redness", 0.0, 0.55)[:, 0],
        ragged=0.1 * seen["irregularity"],
        slough_share=seen["slough"],
    )


def draw_ulcers(
    skin: Planes,
    light: Float[Tensor, "n size size"],
    cover: Float[Tensor, "n size size"],
    wounds: tuple[Ulcers, ...],
    texture: Texture,
    toward: Float[np.ndarray, "n 2"],
    grid: Grid,
) -> Bool[Tensor, "n size size"]:
    """Paint the ulcers on the skin and sink them in its light; return their masks: at least half foot and half bed.

    cover: how much of a pixel is foot. toward: the direction that light comes from.
    """
    mask = torch.zeros(light.shape, dtype=torch.bool, device=grid.device)
    for each in wounds:
        rows = np.flatnonzero(each.presence > 0)
        if len(rows) > 0:
            own = take(each, rows)
            extent = float((own.shape.reach() + REACH * own.shape.radius).max()) + 3
            windows = Windows.around(rows, own.shape.x, own.shape.y, extent, grid)
            bed = _paint(skin, light, cover, own, windows, texture, toward[rows], grid)
            windows.mark(mask, bed)
    return mask.logical_and_(cover >= 0.5)


def _paint(
    skin: Planes,
    light: Float[Tensor, "n size size"],
    cover: Float[Tensor, "n size size"],
    own: Ulcers,
    windows: Windows,
    texture: Texture,
    toward: Float[np.ndarray, "m 2"],
    grid: Grid,
) -> Bool[Tensor, "m w w"]:
    """Paint one ulcer in each window, from the outside in: redness, rim, bed, slough. Return the mask of its bed."""

    def put(values: np.ndarray) -> Tensor:
        return column(values, grid.device)

    radius, strength = own.shape.radius, own.presence * own.contrast
    coarse, fine = (windows.read(field) for field in (texture.coarse, texture.fine))
    _, depth, u, v = within(own.shape, windows, grid)
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
    dab(skin, windows, rim, colors(own.pale, grid.device))
    dab(skin, windows, bed.mul_(put(strength)), _wound(own, u, v, coarse, fine, grid.device))
    shade = _sunk(depth, own, toward, grid).mul_(windows.read(cover))
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
    color = blend(colors(own.bed, device).expand(3, *u.shape).clone(), colors(own.slough, device), covered)
    bumps = (fine * 0.09).add_(coarse * 0.08).add_(1).clamp_(0.4, 1.5)
    wet = (fine - 1.3).clamp_(min=0).mul_(0.2)
    return color.mul_(bumps).add_(wet)


def _sunk(depth: Tensor, own: Ulcers, toward: Float[np.ndarray, "m 2"], grid: Grid) -> Float[Tensor, "m w w"]:
    """Brightness of the slope of an ulcer's wall relative to the level skin."""
    radius = own.shape.radius
    fall = (depth * column(1 / (0.3 * radius + 0.6), grid.device)).clamp_(0, 1)
    deep = own.presence * own.contrast * (0.18 * radius + 0.6) * (0.35 / grid.pixel)
    shade = torch.zeros_like(fall)
    shade[:, :, 1:-1] = (fall[:, :, 2:] - fall[:, :, :-2]).mul_(column(deep * toward[:, 0], grid.device))
    shade[:, 1:-1] += (fall[:, 2:] - fall[:, :-2]).mul_(column(deep * toward[:, 1], grid.device))
    return shade.clamp_(-0.45, 0.3)
