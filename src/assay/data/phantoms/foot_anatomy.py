"""Anatomy of the foot phantom: shape, views, skin texture and ulcers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from assay.data.phantoms.base import PhantomRows
from assay.data.phantoms.drawing import (
    Capsules,
    Draw,
    Grid,
    Numbers,
    Plane,
    Planes,
    Windows,
    along,
    blend,
    colors,
    dab,
    paint,
    ramp,
    reach,
    spline_zoom,
    white_noise,
    within,
    zoom_gain,
)

# The four sides from which a foot is seen, in numbers: limbs, toes and places of ulcers, in % of the image's side.
#
# The big toe of the sole and of the top is at the right, and so are the toes of the side; nuisance mirrors and turns.

_NO_ELLIPSE = (0.0, -900.0, 1.0)


def _ellipse(center: float, half_width: float, half_length: float) -> tuple[float, float, float]:
    return center, half_width**2, (half_width / half_length) ** 2


_NO_LIMB = (_NO_ELLIPSE, _NO_ELLIPSE, _NO_ELLIPSE)
_NO_TOE = (0.0, 0.0, 0.0, 1.0, -1.0, -1.0)
_STRAIGHT = (0.0, 0.0, 0.0)

VIEWS = Numbers(
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
            [_STRAIGHT] * 2,
            [(-13.0, 0.0, 0.0), (15.0, 0.12, 0.0)],
            [_STRAIGHT] * 2,
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
"""Views in the order of the factor's levels: sole, heel, side, top. See `foot`; sideways: 1 where the ankle may bear
ulcers.
"""


# The shape of a foot in a photograph: two limbs of changing width, and toes, seen from one of four sides.
#
# A limb is a strip along the image's lines or columns whose half width squared is a smooth sum of ellipses: one number
# per line, in exactly defined float64 arithmetic, so that it costs its pixels a comparison only.

_JOIN = 5.0
"""Over how much of the image's side (in %) two limbs melt into each other."""
_ROUND = 70.0
"""The same for the ellipses of one limb, of half width squared."""


def photo(draw: Draw, padded: float) -> Numbers:
    """The part of each image that is a photograph, the rest being black: center and half sides.

    Photographs of 3 to 4 in a square with black at the right or, seldom, at the bottom; a share fills the square.
    """
    chance = draw("padded", 0, 1, 2)
    narrow = chance[:, 0] < padded
    right, bottom = narrow & (chance[:, 1] < 0.875), narrow & (chance[:, 1] >= 0.875)
    return Numbers(x=-12.5 * right, y=-12.5 * bottom, half_x=50 - 12.5 * right, half_y=50 - 12.5 * bottom)


def foot(rows: PhantomRows, frame: Numbers, draw: Draw) -> Numbers:
    """Every foot's shape and pose: the view from the factors, all else from the nuisance seed.

    Limb 0 runs along the lines (downwards), limb 1 along the columns (to the right).

    Returns:
        ellipses: [n, 2, 3, 3], of each limb: center along it, half width squared, the same over half length squared.
        middle: [n, 2, 3], of its middle line: offset, slope, bend. place: [n, 2, 2], where along it an ulcer may lie.
        toes: [n, 5, 6], x and y at root and tip, radius at either end. All in units of `zoom` from (x, y) on the image.
        nails: [n, 5], how much of a nail each toe shows. on: the limb that bears the ulcer. plantar: 0 to 1.
    """
    shape = _jitter(_view_shape(rows), draw)
    shape = _mirror(shape, _sign(draw("side") < 0.5))
    wide = frame.half_x > frame.half_y
    lying = draw("lying") < np.where(wide, 0.5, 0.14)
    shape = _transpose(shape, lying)
    shape = _mirror(shape, _sign(lying & (draw("turned") < 0.5)))
    near = draw("near")
    upper = draw("limb") < 0.3  # of a foot from the side, the ankle may bear the ulcer
    limb = np.where(shape.sideways >= 0.5, upper != lying, ~lying)
    return shape.but(
        on=1 - limb.astype(np.int64),
        x=frame.x + draw("x", -4, 4),
        y=frame.y + draw("y", -4, 4),
        zoom=(0.84 + 0.5 * near * near) * np.where(lying | wide, np.where(lying == wide, 0.95, 0.8), 1.0),
    )


def _sign(flip: np.ndarray) -> np.ndarray:
    return 1.0 - 2.0 * flip


def _view_shape(rows: PhantomRows) -> Numbers:
    """Each row's view; less than wholly turned toward it, something between it and the sole."""
    turned, view, sole = min(1.0, rows.difficulty["view"]), VIEWS.take(rows.values["view"]), VIEWS.take(slice(1))
    return Numbers(**{name: each + turned * (vars(view)[name] - each) for name, each in vars(sole).items()})


def _jitter(shape: Numbers, draw: Draw) -> Numbers:
    """Every foot has its own width, length, bend and toes."""
    wide, long = draw("wide", 0.88, 1.14, 1, 1), draw("long", 0.94, 1.08, 1, 1)
    own_wide, shift = draw("own-wide", 0.92, 1.08, 2, 3), draw("shift", -1.5, 1.5, 2, 3)
    center, squared, over = (shape.ellipses[..., k] for k in range(3))
    stretched = (wide * own_wide) ** 2
    bent = [draw("off", -1, 1, 2), draw("lean", -0.16, 0.16, 2), draw("bend", -1.5, 1.5, 2)]
    toes = shape.toes.copy()
    away = toes[..., 2:4] - toes[..., 0:2]
    length = np.sqrt((away * away).sum(-1)) + 1e-6
    toes[..., 2:4] += away * (draw("toe-reach", -1.2, 1.2, 5) / length)[..., None]
    toes[..., 2] += draw("toe-lean", -0.7, 0.7, 5)
    toes[..., 4:6] *= wide * draw("toe-thick", 0.9, 1.1, 5)[:, :, None]
    return shape.but(
        ellipses=np.stack([(center + shift) * long, squared * stretched, over * stretched / (long * long)], axis=-1),
        middle=shape.middle + np.stack(bent, axis=-1),
        toes=toes,
    )


def _mirror(shape: Numbers, sign: np.ndarray) -> Numbers:
    """Left and right of the image exchanged where the sign is -1."""
    s = sign[:, None]
    ellipses, middle, place, toes = (a.copy() for a in (shape.ellipses, shape.middle, shape.place, shape.toes))
    middle[:, 0] *= s
    ellipses[:, 1, :, 0] *= s
    middle[:, 1, 1] *= sign
    place[:, 1] = np.sort(place[:, 1] * s, axis=1)
    toes[..., [0, 2]] *= s[..., None]
    return shape.but(ellipses=ellipses, middle=middle, place=place, toes=toes)


def _transpose(shape: Numbers, lying: np.ndarray) -> Numbers:
    """Lines and columns exchanged in some rows."""
    limbs = {
        name: np.where(lying.reshape(-1, *[1] * (values.ndim - 1)), values[:, ::-1], values)
        for name, values in (("ellipses", shape.ellipses), ("middle", shape.middle), ("place", shape.place))
    }
    return shape.but(**limbs, toes=np.where(lying[:, None, None], shape.toes[..., [1, 0, 3, 2, 4, 5]], shape.toes))


def half_squared(ellipses: Float[np.ndarray, "n 3 3"], along: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n k"]:
    """Half width squared of a limb at these places along it; negative beyond its ends."""
    total = np.full_like(along, -np.inf)
    for k in range(3):
        away = along - ellipses[:, k, :1]
        ellipse = ellipses[:, k, 1:2] - ellipses[:, k, 2:3] * (away * away)
        close = (1 - np.abs(total - ellipse) / _ROUND).clip(0)
        total = np.maximum(total, ellipse) + 0.25 * _ROUND * close * close
    return total


def middle_line(middle: Float[np.ndarray, "n 3"], along: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n k"]:
    """Position of the limb's middle across it."""
    bent = along * (1 / 30)
    return middle[:, :1] + middle[:, 1:2] * along + middle[:, 2:3] * (bent * bent)


def depth_of(shape: Numbers, grid: Grid) -> Plane:
    """Depth of each pixel inside the limbs' outline, in % of the side near it and growing slower deep inside."""
    present: Bool[np.ndarray, "n 2"] = np.any(shape.ellipses[..., 1] > 0, axis=2)
    both, second = np.flatnonzero(present[:, 0] & present[:, 1]), np.flatnonzero(~present[:, 0])
    depth = _limb_depth(shape, 0, grid)
    if len(second) > 0:
        depth[torch.as_tensor(second, device=grid.device)] = _limb_depth(shape.take(second), 1, grid)
    if len(both) > 0:
        index = torch.as_tensor(both, device=grid.device)
        depth[index] = _smooth_maximum(depth[index], _limb_depth(shape.take(both), 1, grid))
    return depth


def _limb_depth(shape: Numbers, limb: int, grid: Grid) -> Plane:
    start, across = (shape.y, shape.x) if limb == 0 else (shape.x, shape.y)
    zoom = shape.zoom[:, None]
    along, crossing = (grid.line - start[:, None]) / zoom, (grid.line - across[:, None]) / zoom
    squared = half_squared(shape.ellipses[:, limb], along)
    slope = np.empty_like(squared)
    slope[:, 1:-1] = (squared[:, 2:] - squared[:, :-2]) / (along[:, 2:] - along[:, :-2])
    slope[:, 0], slope[:, -1] = slope[:, 1], slope[:, -2]
    steep = zoom / np.sqrt(4 * squared.clip(4) + slope * slope)
    # Numbers of the lines stand in columns of the image and the others in lines; of limb 1 the other way round.
    lines, columns = np.s_[:, :, None], np.s_[:, None, :]
    down, right = (lines, columns) if limb == 0 else (columns, lines)
    away = grid.flat(crossing)[right] - grid.flat(middle_line(shape.middle[:, limb], along))[down]
    return (grid.flat(squared)[down] - away.mul_(away)).mul_(grid.flat(steep)[down])


def _smooth_maximum(a: Plane, b: Plane) -> Plane:
    """The greater of both, rounded where they are close."""
    close = (a - b).abs_().mul_(-1 / _JOIN).add_(1).clamp_(min=0)
    return torch.maximum(a, b).add_(close.mul_(close).mul_(0.25 * _JOIN))


def toes_of(shape: Numbers) -> Capsules:
    """The toes on the image. Strength 1 where there is one."""
    x, y, zoom = shape.x[:, None], shape.y[:, None], shape.zoom[:, None]
    x0, y0, x1, y1, radius0, radius1 = (zoom * shape.toes[..., k] for k in range(6))
    strength = (np.minimum(shape.toes[..., 4], shape.toes[..., 5]) > 0.3).astype(np.float64)
    return Capsules(x + x0, y + y0, x + x1, y + y1, radius0, radius1, strength, strength)


def room(shape: Numbers) -> tuple[Float[np.ndarray, "n"], Float[np.ndarray, "n"]]:
    """First and last place along its limb where an ulcer may be."""
    first, last = shape.place[np.arange(len(shape.on)), shape.on].T
    return first, last


def on_limb(
    shape: Numbers, at: Float[np.ndarray, "n"], share: Float[np.ndarray, "n"]
) -> tuple[Float[np.ndarray, "n"], Float[np.ndarray, "n"]]:
    """The point on the image so far along the limb of the ulcers, at this share of its half width from its middle."""
    rows, upright = np.arange(len(at)), shape.on == 0
    half = np.sqrt(half_squared(shape.ellipses[rows, shape.on], at[:, None])[:, 0].clip(1))
    across = middle_line(shape.middle[rows, shape.on], at[:, None])[:, 0] + share * half
    x, y = np.where(upright, across, at), np.where(upright, at, across)
    return shape.x + shape.zoom * x, shape.y + shape.zoom * y


# Random texture of a photograph: two fields that skin, wounds and cloth share, each with its own use for them.

_BROAD, _COARSE, _FINE, _FINEST = 5, 18, 60, 200


@dataclass(frozen=True, slots=True)
class Texture:
    """Fields of mean 0 and variance near 1, [n, size, size]. coarse: spots of 5 to 20% of a side; fine: of 1 to 2."""

    coarse: Plane
    fine: Plane


def texture(draw: Draw, grid: Grid) -> Texture:
    """The fields of these images; from 256 px on the fine one holds a still finer octave."""

    def white(name: str, cells: int) -> Tensor:
        return white_noise(draw.nuisance, f"foot-{name}", cells + 2, cells + 2, grid.device)

    broad = spline_zoom(white("broad", _BROAD), _COARSE + 2).mul_(1.0 / float(zoom_gain(_BROAD, _COARSE + 2)))
    coarse = spline_zoom(broad.add_(white("coarse", _COARSE).mul_(0.8)), grid.size)
    fine = spline_zoom(white("fine", _FINE), grid.size).mul_(1 / float(zoom_gain(_FINE, grid.size)))
    if grid.size >= 256:
        pores = spline_zoom(white("finest", _FINEST), grid.size)
        fine.mul_(0.8).add_(pores.mul_(0.6 / float(zoom_gain(_FINEST, grid.size))))
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


def ulcers(rows: PhantomRows, shape: Numbers, frame: Numbers, draw: Draw) -> tuple[Numbers, ...]:
    """Draw up to three ulcers an image: the first where the factors say, the others next to it and smaller."""
    first, count = _first_ulcer(rows, shape), rows.difficulty["count"] * rows.values["count"]
    places = [first, *(_satellite_ulcer(k, first, shape, draw) for k in range(1, MOST))]
    presence = [1.0, *(np.clip(count - before, 0, 1) for before in (0.0, 1.0))]
    return tuple(
        _ulcer(rows, rows["lesion"] * presence[k], _keep_in_frame(place, frame), rows.draw(f"foot-ulcer-{k}-"))
        for k, place in enumerate(places)
    )


def _first_ulcer(rows: PhantomRows, shape: Numbers) -> Numbers:
    """Along the limb by one coordinate, across it by the other."""
    (low, high), upright, x, y = room(shape), shape.on == 0, rows["position_x"], rows["position_y"]
    at = 0.5 * (low + high) + 0.42 * (high - low) * np.where(upright, y, x)
    x, y = on_limb(shape, at, 0.55 * np.where(upright, x, y))
    return Numbers(x=x, y=y, radius=0.5 * rows["size"])


def _satellite_ulcer(k: int, first: Numbers, shape: Numbers, draw: Draw) -> Numbers:
    """The second and third lie toward the limb's longer part, on either side of its middle."""
    low, high = room(shape)
    start = np.where(shape.on == 0, first.y - shape.y, first.x - shape.x) / shape.zoom
    toward = np.where(start < 0.5 * (low + high), 1.0, -1.0)
    radius = (first.radius * draw(f"satellite-{k}", 0.4, 0.6)).clip(1.5, 5.0)
    gap = (1.3 * (first.radius + radius) + 1.5) / shape.zoom + (k - 1) * draw("apart", 0, 5)
    side = np.where(draw("beside") < 0.5, 1.0, -1.0) * (3 - 2 * k)
    x, y = on_limb(shape, start + toward * gap, side * draw(f"across-{k}", 0.4, 0.6))
    return Numbers(x=x, y=y, radius=radius)


def _keep_in_frame(place: Numbers, frame: Numbers) -> Numbers:
    """The same, but with the center in the photograph."""
    room_x, room_y = frame.half_x - 5, frame.half_y - 5
    return place.but(
        x=np.minimum(np.maximum(place.x, frame.x - room_x), frame.x + room_x),
        y=np.minimum(np.maximum(place.y, frame.y - room_y), frame.y + room_y),
    )


def _ulcer(rows: PhantomRows, presence: np.ndarray, place: Numbers, draw: Draw) -> Numbers:
    cosine, sine = draw.heading("axis")
    irregular, slough = rows["irregularity"], rows["slough"]
    swing = 0.02 + 0.115 * irregular
    waves = draw("waves", -1, 1, 2 * _WAVES) * swing[:, None] * np.tile([1.0, 1.0, 0.8, 0.65, 0.5], 2)
    share, (patch_c, patch_s) = np.sqrt(slough), draw.heading("patch")
    off = (1 - share) * draw("patch-off", 0.3, 0.9)
    return place.but(
        cosine=cosine,
        sine=sine,
        stretch=np.sqrt(draw("stretch", 1.0, 1.7)),
        even=waves[:, :_WAVES],
        odd=waves[:, _WAVES:],
        presence=presence,  # how much of it is there
        contrast=rows["contrast"],  # how far its colors replace the skin's
        bed=along(_BED, draw("bed")),
        slough=along(_SLOUGH, draw("slough")),
        pale=along(_PALE, draw("pale")),
        # Place of the slough, share of half axes, its size, and the bed's share under it.
        patch=np.stack([off * patch_c, off * patch_s, share + 0.1 * slough * slough * slough], axis=1),
        slough_share=slough,
        rim=rows["rim"],
        redness=draw("redness", 0.0, 0.55),  # of the skin around
        ragged=0.1 * irregular,  # how far, in radii, fine texture moves the edge
    )


def draw_ulcers(
    skin: Planes,
    light: Plane,
    cover: Plane,
    wounds: tuple[Numbers, ...],
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
            visible = each.but(toward=toward).take(rows)
            extent = float((reach(visible) + REACH * visible.radius).max()) + 3
            windows = Windows.around(rows, visible.x, visible.y, extent, grid)
            fields = Texture(windows.read(texture.coarse), windows.read(texture.fine))
            depth = _paint_ulcer(skin, visible, windows, fields, grid)
            shade = _slope_shade(depth, visible, grid).mul_(windows.read(cover))
            windows.multiply(light, shade.add_(1))
            windows.mark(mask, depth >= 0)
    return mask.logical_and_(cover >= 0.5)


def _paint_ulcer(skin: Planes, ulcer: Numbers, windows: Windows, fields: Texture, grid: Grid) -> Float[Tensor, "m w w"]:
    """Paint one ulcer in each window, from the outside in: redness, rim, bed, slough. Return the depth inside it."""
    tensor, radius, strength = grid.tensor, ulcer.radius, ulcer.presence * ulcer.contrast
    _, depth, u, v = within(ulcer, windows, grid)
    uneven = (fields.coarse * 0.7).add_(fields.fine * 0.5).clamp_(-1.5, 1.5)
    depth.add_(uneven.mul_(tensor(ulcer.ragged * radius)))
    bed = ramp(depth, tensor(np.full(len(radius), 1.1 * grid.pixel + 0.25)))
    red = (depth * tensor(1 / (0.7 * radius + 1.5))).add_(1).clamp_(0, 1)
    around = 1 - bed
    red.mul_(red).mul_(around).mul_(tensor(ulcer.redness * strength))
    dab(skin, windows, red, paint(_RED, len(radius), grid.device))
    rim = (depth * tensor(1 / (ulcer.rim * (0.3 * radius + 1.2) + 0.1))).add_(1).clamp_(0, 1)
    rim = ramp(rim.sub_(0.5), tensor(np.full(len(radius), 0.9))).mul_(around)
    rim.mul_(tensor(np.minimum(1.6 * ulcer.rim, 0.85) * strength.clip(0, 1)))
    dab(skin, windows, rim, colors(ulcer.pale, grid.device))
    dab(skin, windows, bed.mul_(tensor(strength)), _wound(ulcer, u, v, fields, grid))
    return depth


def _wound(ulcer: Numbers, u: Tensor, v: Tensor, fields: Texture, grid: Grid) -> Float[Tensor, "3 m w w"]:
    """Granulation, uneven and wet, and slough over a share of it."""
    x, y, size = (grid.tensor(each) for each in ulcer.patch.T)
    off_x, off_y = u - x, v - y
    away = off_x.mul_(off_x).add_(off_y.mul_(off_y)).sqrt_()
    uneven = fields.coarse.clamp(-2, 2).mul_(0.14).mul_(grid.tensor(4 * ulcer.slough_share * (1 - ulcer.slough_share)))
    covered = ramp((size - away).add_(uneven), grid.tensor(np.full(len(u), 0.3)))
    color = colors(ulcer.bed, grid.device).expand(3, *u.shape).clone()
    blend(color, colors(ulcer.slough, grid.device), covered)
    bumps = (fields.fine * 0.09).add_(fields.coarse * 0.08).add_(1).clamp_(0.4, 1.5)
    wet = (fields.fine - 1.3).clamp_(min=0).mul_(0.2)
    return color.mul_(bumps).add_(wet)


def _slope_shade(depth: Tensor, ulcer: Numbers, grid: Grid) -> Float[Tensor, "m w w"]:
    """Brightness of the slope of an ulcer's wall relative to the level skin."""
    fall = (depth * grid.tensor(1 / (0.3 * ulcer.radius + 0.6))).clamp_(0, 1)
    deep = ulcer.presence * ulcer.contrast * (0.18 * ulcer.radius + 0.6) * (0.35 / grid.pixel)
    shade = torch.zeros_like(fall)
    shade[:, :, 1:-1] = (fall[:, :, 2:] - fall[:, :, :-2]).mul_(grid.tensor(deep * ulcer.toward[:, 0]))
    shade[:, 1:-1] += (fall[:, 2:] - fall[:, :-2]).mul_(grid.tensor(deep * ulcer.toward[:, 1]))
    return shade.clamp_(-0.45, 0.3)
