"""Light on a foot and around it, and the camera: relief, shadow, shine, white balance, exposure and grain."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from assay.data.phantoms.canvas import Grid, column
from assay.data.phantoms.counter import spread, uniforms, white_noise
from assay.data.phantoms.exact import direction
from assay.data.phantoms.foot_shape import Photo
from assay.data.phantoms.foot_texture import Texture
from assay.data.phantoms.foot_visible import Visible
from assay.data.phantoms.painting import Planes, colours

SHADOW = 9.0
"""How far from a foot its shadow reaches, in % of the side."""


@dataclass(frozen=True, slots=True)
class Light:
    """How each image is lit, float64.

    towards: sideways part of the direction that light comes from [n, 2]. front: its part from the camera. ambient: from
    everywhere. gain: by channel [n, 3]. shine: strength of highlights. fall: of light across the image, [n, 2].
    round: how far a foot bulges, relative to its width.
    """

    towards: Float[np.ndarray, "n 2"]
    front: np.ndarray
    ambient: np.ndarray
    gain: Float[np.ndarray, "n 3"]
    shine: np.ndarray
    fall: Float[np.ndarray, "n 2"]
    round: np.ndarray
    wrinkled: np.ndarray
    shadow: np.ndarray


def light(seen: Visible, nuisance: Int[np.ndarray, "n"], roughness: float) -> Light:
    """Every image's light: how bright from the factor, the rest from the nuisance seed."""

    def draw(name: str, low: float, high: float, count: int = 1) -> np.ndarray:
        return spread(nuisance, f"foot-{name}", low, high, count)

    cosine, sine = direction(uniforms(nuisance, "foot-light", 1)[:, 0])
    aside = draw("aside", 0.1, 0.75)
    warm = draw("warm", -0.5, 1.0)
    colour = 1 + warm * np.array([0.04, 0.0, -0.08]) + draw("green", -0.02, 0.03) * np.array([0.0, 1.0, 0.0])
    exposure = 1.09 + draw("exposure", -0.1, 0.1)[:, 0] + np.where(seen.light > 0, 0.24, 0.36) * seen.light
    return Light(
        towards=aside * np.stack([cosine, sine], axis=1),
        front=draw("front", 0.55, 0.75)[:, 0],
        ambient=draw("ambient", 0.34, 0.5)[:, 0],
        gain=colour * exposure[:, None].clip(0.15),
        shine=draw("shine", 0.02, 0.2)[:, 0] * (1 + 0.7 * seen.light.clip(-1)),
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
        (right.mul_(put(-how.towards[:, 0])).add_(down.mul_(put(-how.towards[:, 1])))).add_(put(how.front)).div_(steep)
    )
    facing.clamp_(min=0)
    shine = (facing * facing).square_().square_().mul_(put(how.shine)).mul_(cover)
    x, y = grid.axes()
    level = facing.mul_(0.85).add_(put(how.ambient))
    level.mul_((x * put(how.fall[:, 0]) + y * put(how.fall[:, 1])).add_(1))
    near = (depth * (1 / SHADOW)).add_(1).clamp_(0, 1)
    right, down = _slopes(depth, grid)  # into the foot: towards the light on the side where its shadow falls
    turned = right.mul_(put(how.towards[:, 0])).add_(down.mul_(put(how.towards[:, 1]))).add_(0.3).clamp_(0, 1)
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
    """The photograph: colours in their light through a camera, black around."""
    noise = white_noise(nuisance, "foot-grain", grid.size, grid.size, grid.device).mul_(grain)
    inside = _inside(frame, grid)
    planes.mul_(level).mul_(colours(how.gain, grid.device)).add_(shine.add_(noise))
    return planes.clamp_(0, 1).mul_(inside)


def _inside(frame: Photo, grid: Grid) -> Float[Tensor, "n size size"]:
    line = (np.arange(grid.size) + (0.5 - 0.5 * grid.size)) * grid.pixel

    def side(centre: np.ndarray, half: np.ndarray) -> Tensor:
        within = np.abs(line - centre[:, None]) < half[:, None]
        return torch.as_tensor(within.astype(np.float32), device=grid.device)

    return side(frame.x, frame.half_x)[:, None, :] * side(frame.y, frame.half_y)[:, :, None]
