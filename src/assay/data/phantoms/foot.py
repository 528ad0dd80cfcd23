"""The foot phantom: photographs of feet with or without ulcers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from assay.core.registry import component
from assay.core.traits import DataTraits
from assay.core.types import Factor
from assay.data.dataset import Rendered
from assay.data.phantoms.base import (
    DrawnPhantom,
    Levels,
    PhantomDesign,
    PhantomRows,
    Shown,
    Skewed,
    drawn_by_assay,
)
from assay.data.phantoms.drawing import (
    Blobs,
    Grid,
    Planes,
    Windows,
    along,
    blend,
    colors,
    column,
    dab,
    direction,
    draw_depth,
    ramp,
    take,
    within,
)
from assay.data.phantoms.foot_anatomy import (
    Foot,
    Photo,
    Texture,
    Ulcers,
    depth_of,
    draw_ulcers,
    foot,
    on_limb,
    photo,
    room,
    texture,
    toes_of,
    ulcers,
)
from assay.data.phantoms.noise import spread, uniforms, white_noise

FACTORS = (
    Factor(
        "lesion",
        "categorical",
        "core",
        levels=("absent", "present"),
        high=("present",),
        description="an ulcer on the foot",
    ),
    Factor(
        "size",
        "continuous",
        range=(0.03, 0.24),
        description="diameter of the circle of equal area, of the largest ulcer, image side 1",
    ),
    Factor("contrast", "continuous", range=(0.45, 1.0), description="0 the color of the skin around to 1 of a wound"),
    Factor("slough", "continuous", range=(0.0, 1.0), description="share of the bed under yellow slough"),
    Factor("rim", "continuous", range=(0.0, 1.0), description="0 no rim to 1 a broad pale one"),
    Factor("irregularity", "continuous", range=(0.0, 1.0), description="0 a smooth to 1 a ragged outline"),
    Factor("position_x", "continuous", range=(-1.0, 1.0), description="-1 left to 1 right on the foot"),
    Factor("position_y", "continuous", range=(-1.0, 1.0), description="-1 top to 1 bottom of the foot"),
    Factor("count", "ordinal", levels=("one", "two", "three"), description="how many ulcers"),
    Factor("skin_tone", "continuous", range=(0.0, 1.0), description="0 lightest to 1 darkest"),
    Factor(
        "background",
        "categorical",
        levels=("white", "colored", "none"),
        high=("colored", "none"),
        description="the cloth under the foot",
    ),
    Factor("illumination", "continuous", range=(-1.0, 1.0), description="-1 dim to 1 glaring"),
    Factor(
        "view",
        "categorical",
        levels=("sole", "heel", "side", "top"),
        high=("side", "top"),
        description="from where the foot is seen",
    ),
)


# Light on a foot and around it, and the camera: relief, shadow, shine, white balance, exposure and grain.

SHADOW = 9.0
"""Reach of a foot's shadow, in % of the side."""


@dataclass(frozen=True, slots=True)
class Light:
    """Light of each image, float64.

    toward: sideways part of the direction that light comes from [n, 2]. front: its part from the camera. ambient: from
    everywhere. gain: by channel [n, 3]. shine: strength of highlights. fall: of light across the image, [n, 2].
    round: how far a foot bulges, relative to its width.
    """

    toward: Float[np.ndarray, "n 2"]
    front: np.ndarray
    ambient: np.ndarray
    gain: Float[np.ndarray, "n 3"]
    shine: np.ndarray
    fall: Float[np.ndarray, "n 2"]
    round: np.ndarray
    wrinkled: np.ndarray
    shadow: np.ndarray


def light(seen: PhantomRows, nuisance: Int[np.ndarray, "n"], roughness: float) -> Light:
    """Every image's light: how bright from the factor, the rest from the nuisance seed."""

    def draw(name: str, low: float, high: float, count: int = 1) -> np.ndarray:
        return spread(nuisance, f"foot-{name}", low, high, count)

    cosine, sine = direction(uniforms(nuisance, "foot-light", 1)[:, 0])
    aside = draw("aside", 0.1, 0.75)
    warm = draw("warm", -0.5, 1.0)
    color = 1 + warm * np.array([0.04, 0.0, -0.08]) + draw("green", -0.02, 0.03) * np.array([0.0, 1.0, 0.0])
    exposure = (
        1.09 + draw("exposure", -0.1, 0.1)[:, 0] + np.where(seen["illumination"] > 0, 0.24, 0.36) * seen["illumination"]
    )
    return Light(
        toward=aside * np.stack([cosine, sine], axis=1),
        front=draw("front", 0.55, 0.75)[:, 0],
        ambient=draw("ambient", 0.34, 0.5)[:, 0],
        gain=color * exposure[:, None].clip(0.15),
        shine=draw("shine", 0.02, 0.2)[:, 0] * (1 + 0.7 * seen["illumination"].clip(-1)),
        fall=draw("fall", -0.003, 0.003, 2),
        round=draw("round", 0.6, 1.0)[:, 0],
        wrinkled=roughness * draw("wrinkled", 0.02, 0.09)[:, 0],
        shadow=draw("shadow", 0.4, 0.9)[:, 0],
    )


def lit(
    depth: Float[Tensor, "n size size"],
    cover: Float[Tensor, "n size size"],
    cloth: Float[Tensor, "n size size"],
    crumpled: Float[np.ndarray, "n"],
    zoom: Float[np.ndarray, "n"],
    how: Light,
    fields: Texture,
    grid: Grid,
) -> tuple[Float[Tensor, "n size size"], Float[Tensor, "n size size"]]:
    """Light that falls on each pixel, and the shine of skin."""

    def put(values: np.ndarray) -> Tensor:
        return column(values, grid.device)

    deep = (depth * put(1 / (8 * zoom))).clamp_(0, 1)
    deep = (2 - deep).mul_(deep).mul_(put(6.5 * zoom * how.round))
    deep.add_((fields.fine * put(how.wrinkled)).mul_(cover))
    folds = fields.coarse.abs().mul_(-0.3).add_(fields.coarse * 0.35).add_(fields.fine * 0.04).mul_(put(crumpled))
    height = deep.add_(folds.mul_(cloth).mul_(1 - cover))
    right, down = _slopes(height, grid)
    steep = (right * right).add_(down * down).add_(1).sqrt_()
    facing = (
        (right.mul_(put(-how.toward[:, 0])).add_(down.mul_(put(-how.toward[:, 1])))).add_(put(how.front)).div_(steep)
    )
    facing.clamp_(min=0)
    shine = (facing * facing).square_().square_().mul_(put(how.shine)).mul_(cover)
    x, y = grid.axes()
    level = facing.mul_(0.85).add_(put(how.ambient))
    level.mul_((x * put(how.fall[:, 0]) + y * put(how.fall[:, 1])).add_(1))
    near = (depth * (1 / SHADOW)).add_(1).clamp_(0, 1)
    right, down = _slopes(depth, grid)  # into the foot: toward the light on the side where its shadow falls
    turned = right.mul_(put(how.toward[:, 0])).add_(down.mul_(put(how.toward[:, 1]))).add_(0.3).clamp_(0, 1)
    return level.mul_(near.mul_(near).mul_(turned).mul_(put(-how.shadow)).mul_(1 - cover).add_(1)), shine


def _slopes(height: Float[Tensor, "n size size"], grid: Grid) -> tuple[Tensor, Tensor]:
    """Rise of the height to the right and down, 0 at the image's border."""
    right, down = torch.zeros_like(height), torch.zeros_like(height)
    right[:, :, 1:-1] = (height[:, :, 2:] - height[:, :, :-2]).mul_(0.5 / grid.pixel)
    down[:, 1:-1] = (height[:, 2:] - height[:, :-2]).mul_(0.5 / grid.pixel)
    return right, down


def exposed(
    planes: Planes,
    level: Float[Tensor, "n size size"],
    shine: Float[Tensor, "n size size"],
    how: Light,
    frame: Photo,
    nuisance: Int[np.ndarray, "n"],
    grain: float,
    grid: Grid,
) -> Planes:
    """The photograph: colors in their light through a camera, black around."""
    noise = white_noise(nuisance, "foot-grain", grid.size, grid.size, grid.device).mul_(grain)
    inside = _inside(frame, grid)
    planes.mul_(level).mul_(colors(how.gain, grid.device)).add_(shine.add_(noise))
    return planes.clamp_(0, 1).mul_(inside)


def _inside(frame: Photo, grid: Grid) -> Float[Tensor, "n size size"]:
    line = (np.arange(grid.size) + (0.5 - 0.5 * grid.size)) * grid.pixel

    def side(center: np.ndarray, half: np.ndarray) -> Tensor:
        within = np.abs(line - center[:, None]) < half[:, None]
        return torch.as_tensor(within.astype(np.float32), device=grid.device)

    return side(frame.x, frame.half_x)[:, None, :] * side(frame.y, frame.half_y)[:, :, None]


# What lies around a foot in a photograph: a room out of focus with things in it, and a cloth under the foot.

_WALL = np.array([[0.07, 0.07, 0.08], [0.22, 0.21, 0.20], [0.42, 0.41, 0.39], [0.62, 0.59, 0.53], [0.74, 0.74, 0.72]])
_FLOOR = np.array([[0.08, 0.07, 0.07], [0.24, 0.20, 0.17], [0.36, 0.30, 0.25], [0.30, 0.32, 0.35]])
_THINGS = np.array(
    [
        [0.70, 0.10, 0.12],
        [0.12, 0.25, 0.60],
        [0.05, 0.05, 0.06],
        [0.92, 0.92, 0.90],
        [0.10, 0.45, 0.50],
        [0.36, 0.28, 0.62],
        [0.80, 0.62, 0.48],
        [0.45, 0.10, 0.16],
    ]
)
_WHITE = np.array([[0.76, 0.76, 0.78], [0.90, 0.91, 0.92]])
_COLORED = np.array(
    [
        [0.62, 0.80, 0.90],
        [0.25, 0.45, 0.70],
        [0.20, 0.50, 0.48],
        [0.42, 0.44, 0.46],
        [0.48, 0.12, 0.18],
        [0.66, 0.56, 0.44],
    ]
)
_BOXES = 2


@dataclass(frozen=True, slots=True)
class Scene:
    """The surroundings of each image, float64.

    wall, floor, cloth: colors [n, 3]. horizon: height of their border and its slope, [n, 2]. boxes: [n, 2, 4] center
    and half sides; paint: their colors [n, 2, 3]. edge: the cloth's border, direction and place, [n, 3].
    covered: how much of a cloth there is. weave: its strength; threads: its period in % of the side. crumpled: folds.
    """

    wall: Float[np.ndarray, "n 3"]
    floor: Float[np.ndarray, "n 3"]
    cloth: Float[np.ndarray, "n 3"]
    horizon: Float[np.ndarray, "n 2"]
    boxes: Float[np.ndarray, "n boxes 4"]
    paint: Float[np.ndarray, "n boxes 3"]
    edge: Float[np.ndarray, "n 3"]
    covered: np.ndarray
    weave: np.ndarray
    threads: np.ndarray
    crumpled: np.ndarray


def scene(seen: PhantomRows, frame: Photo, nuisance: Int[np.ndarray, "n"], clutter: float) -> Scene:
    """Draw every image's surroundings.

    Args:
        clutter: Amount of objects in the room, 1 normal, 0 none.
    """

    def draw(name: str, low: float, high: float, count: int = 1) -> np.ndarray:
        return spread(nuisance, f"foot-{name}", low, high, count)

    kind, cloth = seen.values["background"], min(1.0, seen.difficulty["background"])
    there = uniforms(nuisance, "foot-thing", _BOXES) < 0.6 * clutter
    boxes = np.stack(
        [
            frame.x[:, None] + draw("box-x", -45, 45, _BOXES),
            frame.y[:, None] + draw("box-y", -50, 30, _BOXES),
            draw("box-wide", 3, 16, _BOXES) * there,
            draw("box-high", 3, 22, _BOXES) * there,
        ],
        axis=-1,
    )
    thing = (uniforms(nuisance, "foot-box-kind", _BOXES) * len(_THINGS)).astype(np.int64)
    dim = draw("box-dim", 0.35, 1.0, _BOXES)[..., None]
    hue = _COLORED[(uniforms(nuisance, "foot-hue", 1)[:, 0] * len(_COLORED)).astype(np.int64)]
    white = along(_WHITE, draw("white", 0, 1)[:, 0])
    turn_c, turn_s = direction(draw("cloth-turn", 0.08, 0.42)[:, 0])
    start = frame.x * turn_c + frame.y * turn_s + draw("cloth-start", -34, 8)[:, 0]
    return Scene(
        wall=along(_WALL, draw("wall", 0, 1)[:, 0]),
        floor=along(_FLOOR, draw("floor", 0, 1)[:, 0]),
        cloth=white + (cloth * (kind == 1))[:, None] * (hue - white),
        horizon=np.concatenate([draw("horizon", -40, 45), draw("horizon-slope", -0.5, 0.5)], axis=1),
        boxes=boxes,
        paint=_THINGS[thing] * dim,
        edge=np.stack([turn_c, turn_s, start], axis=1),
        covered=1 - cloth * (kind == 2),
        weave=draw("weave", 0.0, 0.05)[:, 0],
        threads=draw("threads", 2.2, 4.0)[:, 0],
        crumpled=draw("crumpled", 0.4, 1.4)[:, 0],
    )


def draw_scene(view: Scene, fields: Texture, grid: Grid) -> tuple[Planes, Float[Tensor, "n size size"]]:
    """Colors without light, and how much of each pixel is cloth."""
    x, y = grid.axes()

    def put(values: np.ndarray) -> Tensor:
        return column(values, grid.device)

    below = (y - put(view.horizon[:, 0])) + x * put(view.horizon[:, 1])
    wall = colors(view.wall, grid.device)
    planes = ramp(below, put(np.full(len(view.wall), 2.0))) * (colors(view.floor, grid.device) - wall)
    planes.add_(wall)
    for k in range(view.boxes.shape[1]):
        blend(planes, colors(view.paint[:, k], grid.device), _box(view.boxes[:, k], grid))
    cover = (x * put(view.edge[:, 0]) + y * put(view.edge[:, 1])).sub_(put(view.edge[:, 2]))
    cover.add_(fields.coarse * 1.5)
    cover = ramp(cover, put(np.full(len(view.wall), 1.2 + grid.pixel))).mul_(put(view.covered))
    across, down = _threads(view, grid)
    shades = (across * down).mul_(cover).add_(1)
    blend(planes, colors(view.cloth, grid.device), cover)
    return planes.mul_(shades), cover


def _box(box: Float[np.ndarray, "n 4"], grid: Grid) -> Float[Tensor, "n size size"]:
    """Coverage by a thing with straight sides, out of focus."""
    line = (np.arange(grid.size) + (0.5 - 0.5 * grid.size)) * grid.pixel
    blur = 1.5 + grid.pixel

    def side(center: np.ndarray, half: np.ndarray) -> np.ndarray:
        inside = (half[:, None] - np.abs(line - center[:, None])) / blur + 0.5
        t = inside.clip(0, 1) * (half[:, None] > 0)
        return (t * t * (3 - 2 * t)).astype(np.float32)

    wide, high = (torch_of(side(box[:, k], box[:, k + 2]), grid) for k in (0, 1))
    return wide[:, None, :] * high[:, :, None]


def _threads(view: Scene, grid: Grid) -> tuple[Float[Tensor, "n 1 size"], Float[Tensor, "n size 1"]]:
    """A weave as the product of two triangle waves, fainter the nearer its period is to the pixels'."""
    line = (np.arange(grid.size) + (0.5 - 0.5 * grid.size)) * grid.pixel
    phase = line / view.threads[:, None]
    wave = 4 * np.abs(phase - np.floor(phase) - 0.5) - 1
    strength = view.weave * (1 - 2 * grid.pixel / view.threads).clip(0)
    flat = torch_of(wave, grid)
    return flat[:, None, :], torch_of(wave * strength[:, None], grid)[:, :, None]


def torch_of(values: np.ndarray, grid: Grid) -> Tensor:
    """As float32 on the grid's device."""
    return column(values, grid.device)[..., 0, 0]


# Skin: its color from tone and side of the foot, blotches, nails, and marks that are no ulcers.

_BACK = np.array([[0.95, 0.79, 0.73], [0.89, 0.70, 0.62], [0.77, 0.57, 0.48], [0.55, 0.40, 0.33], [0.34, 0.25, 0.21]])
"""Skin of leg and back of the foot, from the lightest tone to the darkest."""
_SOLE = np.array([[0.95, 0.76, 0.69], [0.91, 0.70, 0.61], [0.82, 0.61, 0.51], [0.68, 0.51, 0.41], [0.54, 0.41, 0.34]])
"""Skin of the sole, which has less pigment."""
_NAIL = np.array([[0.86, 0.68, 0.42], [0.90, 0.78, 0.68], [0.95, 0.86, 0.80]])
_POLISH = np.array([[0.72, 0.05, 0.10], [0.50, 0.06, 0.16], [0.85, 0.30, 0.40]])
_TOES = 5


@dataclass(frozen=True, slots=True)
class Mark:
    """Looks of a mark: its share of feet, radius, colors, strength, and the width of its edge in radii."""

    share: float
    radius: tuple[float, float]
    color: Float[np.ndarray, "k 3"]
    strength: tuple[float, float]
    soft: float


MARKS = (
    Mark(0.5, (2.5, 7.5), np.array([[0.93, 0.82, 0.58], [0.96, 0.90, 0.78]]), (0.2, 0.65), 0.9),
    Mark(0.55, (2.0, 8.0), np.array([[0.66, 0.18, 0.18], [0.82, 0.36, 0.34]]), (0.2, 0.6), 1.1),
    Mark(0.45, (3.0, 11.0), np.array([[0.28, 0.15, 0.11], [0.45, 0.26, 0.20]]), (0.15, 0.5), 1.0),
    Mark(0.4, (0.7, 1.8), np.array([[0.22, 0.08, 0.06], [0.50, 0.16, 0.12]]), (0.4, 0.9), 0.9),
)
"""Callus, pressure mark, stain, scab: alike on feet with and without an ulcer."""


@dataclass(frozen=True, slots=True)
class Marks:
    """One kind of mark on every image; strength 0 where there is none."""

    shape: Blobs
    color: Float[np.ndarray, "n 3"]
    strength: np.ndarray
    soft: np.ndarray


@dataclass(frozen=True, slots=True)
class Skin:
    """Every image's skin. blotch: change of color per unit of the coarse field [n, 3]; grain: of the fine one."""

    color: Float[np.ndarray, "n 3"]
    blotch: Float[np.ndarray, "n 3"]
    grain: np.ndarray
    nail: Float[np.ndarray, "n 3"]
    nails: Float[np.ndarray, "n toes"]


def skin(seen: PhantomRows, shape: Foot, nuisance: Int[np.ndarray, "n"], roughness: float) -> Skin:
    """Colors of every foot's skin and nails."""

    def draw(name: str, low: float, high: float) -> Float[np.ndarray, "n 1"]:
        return spread(nuisance, f"foot-{name}", low, high)

    back, sole = along(_BACK, seen["skin_tone"]), along(_SOLE, seen["skin_tone"])
    color = back + shape.plantar[:, None] * (sole - back)
    blood = draw("blood", -0.6, 1.0) * np.array([0.05, -0.05, -0.045])
    yellow = draw("yellow", -0.5, 1.0) * np.array([0.01, 0.0, -0.05])
    blotch = (
        draw("blotch", 0.1, 0.8) * np.array([0.008, -0.03, -0.028])
        + draw("pigment", 0.0, 0.035) * seen["skin_tone"][:, None]
    )
    own = along(_NAIL, draw("nail", 0, 1)[:, 0]) * (0.45 + 0.55 * color)
    painted = uniforms(nuisance, "foot-polish", 1) < 0.14
    polish = along(_POLISH, draw("polish", 0, 1)[:, 0])
    return Skin(
        color=(color + blood + yellow).clip(0.05, 0.98),
        blotch=blotch * (0.4 + 0.6 * color[:, :1]),
        grain=roughness * draw("skin-grain", 0.01, 0.04)[:, 0],
        nail=np.where(painted, polish, own),
        nails=shape.nails,
    )


def marks(shape: Foot, nuisance: Int[np.ndarray, "n"], amount: float) -> tuple[Marks, ...]:
    """One mark of each kind on some feet. amount: 1 normal, 0 none."""
    return tuple(_mark(k, kind, shape, nuisance, amount) for k, kind in enumerate(MARKS))


def _mark(k: int, kind: Mark, shape: Foot, nuisance: Int[np.ndarray, "n"], amount: float) -> Marks:
    def draw(name: str, low: float, high: float, count: int = 1) -> np.ndarray:
        return spread(nuisance, f"foot-mark-{k}-{name}", low, high, count)

    low, high = room(shape, shape.on)
    at = low + draw("along", 0, 1)[:, 0] * (high - low)
    x, y = on_limb(shape, shape.on, at, draw("across", -0.75, 0.75)[:, 0])
    cosine, sine = direction(uniforms(nuisance, f"foot-mark-{k}-axis", 1)[:, 0])
    there = uniforms(nuisance, f"foot-mark-{k}", 1)[:, 0] < kind.share * amount
    blob = Blobs(
        x=x,
        y=y,
        radius=draw("radius", *kind.radius)[:, 0],
        cosine=cosine,
        sine=sine,
        stretch=np.sqrt(draw("stretch", 1.0, 2.2)[:, 0]),
        even=draw("even", -0.1, 0.1, 3),
        odd=draw("odd", -0.1, 0.1, 3),
    )
    strength = draw("strength", *kind.strength)[:, 0] * there
    return Marks(blob, along(kind.color, draw("color", 0, 1)[:, 0]), strength, np.full(len(x), kind.soft))


def draw_skin(look: Skin, fields: Texture, grid: Grid) -> Planes:
    """Colors of bare skin everywhere on the image, without light; the foot's outline is applied later."""
    planes = fields.coarse * colors(look.blotch, grid.device)
    planes.add_(colors(look.color, grid.device))
    return planes.mul_((fields.fine * column(look.grain, grid.device)).add_(1))


def draw_marks(planes: Planes, found: tuple[Marks, ...], fields: Texture, grid: Grid) -> None:
    """Paint the marks on the skin, their strength uneven."""
    for each in found:
        rows = np.flatnonzero(each.strength > 0)
        if len(rows) > 0:
            own = take(each, rows)
            reach = own.shape.reach() * (1 + 0.5 * own.soft)
            windows = Windows.around(rows, own.shape.x, own.shape.y, float(reach.max()), grid)
            share = within(own.shape, windows, grid)[0]
            uneven = (windows.read(fields.fine) * 0.2).add_(1).clamp_(0.3, 1.4)
            weight = ramp(1 - share, column(own.soft, grid.device))
            weight.mul_(uneven).mul_(column(own.strength, grid.device))
            dab(planes, windows, weight, colors(own.color, grid.device))


def draw_nails(planes: Planes, look: Skin, shape: Foot, grid: Grid) -> None:
    """Paint nails on the toes that show them."""
    row, toe = np.nonzero(look.nails > 0)
    if len(row) == 0:
        return
    toes, zoom = shape.toes[row, toe], shape.zoom[row]
    along_x, along_y = toes[:, 2] - toes[:, 0], toes[:, 3] - toes[:, 1]
    length = np.sqrt(along_x * along_x + along_y * along_y) + 1e-6
    cosine, sine = along_x / length, along_y / length
    out = 0.25 * toes[:, 5]
    none = np.zeros((len(row), 0))
    blob = Blobs(
        x=shape.x[row] + zoom * (toes[:, 2] + out * cosine),
        y=shape.y[row] + zoom * (toes[:, 3] + out * sine),
        radius=0.62 * zoom * toes[:, 5],
        cosine=cosine,
        sine=sine,
        stretch=np.full(len(row), 1.05),
        even=none,
        odd=none,
    )
    windows = Windows.around(row, blob.x, blob.y, float(blob.reach().max()) + 1.5 + grid.pixel, grid)
    depth = within(blob, windows, grid)[1]
    cover = ramp(depth, column(np.full(len(row), 0.4 + grid.pixel), grid.device))
    cover.mul_(column(look.nails[row, toe], grid.device))
    weight = grid.blank(planes.shape[1])
    windows.draw(weight, cover)
    some = np.unique(row)
    index = torch.as_tensor(some, device=grid.device)
    painted = planes[:, index]
    blend(painted, colors(look.nail[some], grid.device), weight.view(planes.shape[1:])[index])
    planes[:, index] = painted


# The foot phantom: photographs of feet of known skin, view and light, with ulcers of known looks and place or none.

SIDE = 100.0
"""Length of the image's side in the units of the phantom's geometry: photographs have no millimeters."""


@dataclass(frozen=True, slots=True)
class _Photographs:
    """All that is drawn of some images, before there are pixels."""

    frame: Photo
    shape: Foot
    scene: Scene
    skin: Skin
    light: Light
    wounds: tuple[Ulcers, ...]
    spots: tuple[Marks, ...]
    nuisance: Int[np.ndarray, "n"]


@component(
    "phantom",
    "foot",
    DataTraits(factors=FACTORS),
    summary="photographs of feet, 64 to 512 px, of known skin, view and light, with one to three ulcers or none",
    version=2,
)
class FootPhantom(DrawnPhantom[_Photographs]):
    """Color photographs of feet, 64 to 512 px a side, with up to three ulcers whose every feature is a factor.

    padded: share of photographs of 3 to 4 that leave a quarter of the image black, as the real set's do.
    marks: how often there is callus, a pressure mark, a stain or a scab, 1 normal, 0 never; alike with an ulcer.
    clutter: amount of objects in the room, 1 normal, 0 none.
    texture: strength of the skin's grain and wrinkles, 1 normal, 0 none.
    grain: standard deviation of the camera's noise, in gray levels of 1.

    Skin, light and surroundings are drawn first and the ulcer is painted into windows of them. All later steps work
    pixel by pixel, so a change of its factors leaves every pixel that it does not reach the same to the bit.

    At difficulty 0 of all factors there is no ulcer; that of its other factors makes it single, 10% of the side wide,
    in the middle of the foot, with middling contrast, slough, rim and outline. Skin becomes light brown, cloth white,
    light even, and the sole is shown.
    """

    design = PhantomDesign(
        card=drawn_by_assay(
            "foot phantom",
            "photographs of feet of known skin, view and light, with known ulcers or none",
            "toes, ankles and folds are simple shapes; no bones, tendons, veins or hair show through the skin",
            "ulcers are red beds with slough and a pale rim: no black eschar, exposed bone, dressing or blood",
            "an ulcer lies flat on the image: it is not foreshortened where the foot turns away",
            "each kind of mark occurs at most once a foot; no second foot, hand or printed date is in the picture",
        ),
        factors=FACTORS,
        sizes=(64, 512),
        channels=3,
        side=SIDE,
        marginals={
            "size": Skewed(0.03, 0.24),
            "slough": Skewed(0.0, 1.0),
            "count": Levels((0.75, 0.1875, 0.0625)),
            "view": Levels((0.375, 0.125, 0.25, 0.25)),
        },
        shown={
            "lesion": Shown(0, 0, 1.5),
            "size": Shown(0.1, 0.02, 0.4, lambda share: SIDE * share),
            "contrast": Shown(0.7, 0.1, 1.2),
            "slough": Shown(0.3, 0, 1),
            "rim": Shown(0.3, 0, 2),
            "irregularity": Shown(0.4, 0, 1.5),
            "position_x": Shown(0, -1.4, 1.4),
            "position_y": Shown(0, -1.2, 1.2),
            "skin_tone": Shown(0.35, 0, 1),
            "illumination": Shown(0, -1.6, 1.6),
        },
        groups={"position": ("position_x", "position_y")},
        # Windows are as wide as the widest ulcer that is drawn with them: those of a size are drawn together.
        order=lambda rows: rows["size"] * (rows["lesion"] > 0),
    )

    def __init__(
        self,
        *,
        padded: Annotated[
            float, Field(ge=0, le=1, description="share of photographs with black at the right or the bottom")
        ] = 0.5,
        marks: Annotated[
            float, Field(ge=0, le=1.5, description="how often callus, pressure marks, stains, scabs: 1 normal")
        ] = 1.0,
        clutter: Annotated[
            float, Field(ge=0, le=1.5, description="how often things stand about in the room, 1 normal, 0 never")
        ] = 1.0,
        texture: Annotated[
            float, Field(ge=0, le=3, description="strength of the skin's grain and wrinkles, 1 normal, 0 none")
        ] = 1.0,
        grain: Annotated[
            float, Field(ge=0, le=0.3, description="standard deviation of the camera's noise, of gray 1")
        ] = 0.008,
    ) -> None:
        self._padded = padded
        self._marks = marks
        self._clutter = clutter
        self._texture = texture
        self._grain = grain

    def plan(self, rows: PhantomRows, grid: Grid) -> _Photographs:
        """Compute feet, their surroundings, ulcers and marks."""
        nuisance, frame = rows.nuisance, photo(rows.nuisance, self._padded)
        shape = foot(rows, frame, nuisance)
        return _Photographs(
            frame,
            shape,
            scene(rows, frame, nuisance, self._clutter),
            skin(rows, shape, nuisance, self._texture),
            light(rows, nuisance, self._texture),
            ulcers(rows, shape, frame, nuisance),
            marks(shape, nuisance, self._marks),
            nuisance,
        )

    def draw(self, plan: _Photographs, grid: Grid) -> Rendered:
        """Draw photographs and masks of the ulcers' beds."""
        shape, fields = plan.shape, texture(plan.nuisance, grid)
        depth = depth_of(shape, grid)
        draw_depth(depth.view(len(shape.x), -1), toes_of(shape), SHADOW, grid)
        edge = np.full(len(shape.x), 0.5 + 1.1 * grid.pixel)
        cover = ramp(depth, column(edge, grid.device))
        around, cloth = draw_scene(plan.scene, fields, grid)
        level, shine = lit(depth, cover, cloth, plan.scene.crumpled, shape.zoom, plan.light, fields, grid)
        bare = draw_skin(plan.skin, fields, grid)
        draw_nails(bare, plan.skin, shape, grid)
        draw_marks(bare, plan.spots, fields, grid)
        mask = draw_ulcers(bare, level, cover, plan.wounds, fields, plan.light.toward, grid)
        picture = exposed(
            blend(around, bare, cover), level, shine, plan.light, plan.frame, plan.nuisance, self._grain, grid
        )
        return Rendered(picture.transpose(0, 1), mask[:, None])
