"""What lies around a foot in a photograph: a room out of focus with things in it, and a cloth under the foot."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from assay.data.phantoms.canvas import Grid, column, ramp
from assay.data.phantoms.counter import spread, uniforms
from assay.data.phantoms.exact import direction
from assay.data.phantoms.foot_shape import Photo
from assay.data.phantoms.foot_texture import Texture
from assay.data.phantoms.foot_visible import Visible
from assay.data.phantoms.painting import Planes, along, blend, colours

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
_COLOURED = np.array(
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

    wall, floor, cloth: colours [n, 3]. horizon: height of their border and its slope, [n, 2]. boxes: [n, 2, 4] centre
    and half sides; paint: their colours [n, 2, 3]. edge: the cloth's border, direction and place, [n, 3].
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


def scene(seen: Visible, frame: Photo, nuisance: Int[np.ndarray, "n"], clutter: float) -> Scene:
    """Every image's surroundings. clutter: how much stands about, 1 normal, 0 nothing."""

    def draw(name: str, low: float, high: float, count: int = 1) -> np.ndarray:
        return spread(nuisance, f"foot-{name}", low, high, count)

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
    kind = (uniforms(nuisance, "foot-box-kind", _BOXES) * len(_THINGS)).astype(np.int64)
    dim = draw("box-dim", 0.35, 1.0, _BOXES)[..., None]
    hue = _COLOURED[(uniforms(nuisance, "foot-hue", 1)[:, 0] * len(_COLOURED)).astype(np.int64)]
    white = along(_WHITE, draw("white", 0, 1)[:, 0])
    turn_c, turn_s = direction(draw("cloth-turn", 0.08, 0.42)[:, 0])
    start = frame.x * turn_c + frame.y * turn_s + draw("cloth-start", -34, 8)[:, 0]
    return Scene(
        wall=along(_WALL, draw("wall", 0, 1)[:, 0]),
        floor=along(_FLOOR, draw("floor", 0, 1)[:, 0]),
        cloth=white + seen.coloured[:, None] * (hue - white),
        horizon=np.concatenate([draw("horizon", -40, 45), draw("horizon-slope", -0.5, 0.5)], axis=1),
        boxes=boxes,
        paint=_THINGS[kind] * dim,
        edge=np.stack([turn_c, turn_s, start], axis=1),
        covered=1 - seen.bare,
        weave=draw("weave", 0.0, 0.05)[:, 0],
        threads=draw("threads", 2.2, 4.0)[:, 0],
        crumpled=draw("crumpled", 0.4, 1.4)[:, 0],
    )


def draw_scene(view: Scene, fields: Texture, grid: Grid) -> tuple[Planes, Float[Tensor, "n size size"]]:
    """Colours without light, and how much of each pixel is cloth."""
    x, y = grid.axes()

    def put(values: np.ndarray) -> Tensor:
        return column(values, grid.device)

    below = (y - put(view.horizon[:, 0])) + x * put(view.horizon[:, 1])
    wall = colours(view.wall, grid.device)
    planes = ramp(below, put(np.full(len(view.wall), 2.0))) * (colours(view.floor, grid.device) - wall)
    planes.add_(wall)
    for k in range(view.boxes.shape[1]):
        blend(planes, colours(view.paint[:, k], grid.device), _box(view.boxes[:, k], grid))
    cover = (x * put(view.edge[:, 0]) + y * put(view.edge[:, 1])).sub_(put(view.edge[:, 2]))
    cover.add_(fields.coarse * 1.5)
    cover = ramp(cover, put(np.full(len(view.wall), 1.2 + grid.pixel))).mul_(put(view.covered))
    across, down = _threads(view, grid)
    shades = (across * down).mul_(cover).add_(1)
    blend(planes, colours(view.cloth, grid.device), cover)
    return planes.mul_(shades), cover


def _box(box: Float[np.ndarray, "n 4"], grid: Grid) -> Float[Tensor, "n size size"]:
    """Coverage by a thing with straight sides, out of focus."""
    line = (np.arange(grid.size) + (0.5 - 0.5 * grid.size)) * grid.pixel
    blur = 1.5 + grid.pixel

    def side(centre: np.ndarray, half: np.ndarray) -> np.ndarray:
        inside = (half[:, None] - np.abs(line - centre[:, None])) / blur + 0.5
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
