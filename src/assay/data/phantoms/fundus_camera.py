"""Two fundus cameras: uneven light, haze, stray light at the border, colours, grain and the mask of the field."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from assay.data.phantoms.canvas import Grid, column, ramp
from assay.data.phantoms.counter import spread, uniforms, white_noise
from assay.data.phantoms.exact import direction
from assay.data.phantoms.fields import lattice, spline_zoom
from assay.data.phantoms.fundus_visible import Visible
from assay.data.phantoms.painting import Planes, colours

RADIUS = 0.496
"""Of the field of view of both cameras."""
CUT = 0.42
"""Half the height that the cut camera keeps."""
_HAZE = np.array([0.60, 0.43, 0.30])
_STRAY = np.array([[0.30, 0.36, 0.20], [0.50, 0.42, 0.42]])


@dataclass(frozen=True, slots=True)
class Shot:
    """How each photograph was taken, float64.

    gain: by channel [n, 3]. fall: of light towards the border. middle: of the light [n, 2]. uneven: strength of slow
    changes of the light. haze: share of the picture that is veiled. stray: light at the border, by channel [n, 3], and
    on which side [n, 2]. contrast: of the tone curve. cut: share of the way to the cut field.
    """

    gain: Float[np.ndarray, "n 3"]
    fall: np.ndarray
    middle: Float[np.ndarray, "n 2"]
    uneven: np.ndarray
    haze: np.ndarray
    stray: Float[np.ndarray, "n 3"]
    aside: Float[np.ndarray, "n 2"]
    contrast: np.ndarray
    cut: np.ndarray
    dust: np.ndarray


def shot(seen: Visible, nuisance: Int[np.ndarray, "n"], flaws: float) -> Shot:
    """Every image's light and camera. flaws: how often and how strongly the picture is poor, 1 normal, 0 never."""

    def draw(name: str, low: float, high: float, count: int = 1) -> np.ndarray:
        return spread(nuisance, f"fundus-{name}", low, high, count)

    cut = seen.cut[:, None]
    light = 0.98 * (1 + 0.3 * seen.illumination + draw("exposure", -0.1, 0.1)[:, 0]).clip(0.2)
    balance = np.array([0.98, 0.98, 1.0]) + cut * np.array([0.11, 0.32, -0.06]) + draw("balance", -0.05, 0.05, 3)
    cosine, sine = direction(uniforms(nuisance, "fundus-stray-side", 1)[:, 0])
    u, v = draw("haze", 0, 1)[:, 0], draw("stray", 0, 1)[:, 0]
    stray = (1 - cut) * _STRAY[0] + cut * _STRAY[1]
    return Shot(
        gain=light[:, None] * balance,
        fall=draw("fall", 0.5, 1.6)[:, 0] * (1 + 0.2 * seen.cut),
        middle=draw("middle", -0.12, 0.12, 2),
        uneven=draw("uneven", 0.02, 0.1)[:, 0],
        haze=flaws * 0.35 * u * u * u,
        stray=stray * (flaws * 0.8 * v * v)[:, None],
        aside=np.stack([cosine, sine], axis=1),
        contrast=0.12 + 0.1 * seen.cut,
        cut=seen.cut,
        dust=flaws * (draw("dust", 0, 1)[:, 0] < 0.12),
    )


def exposed(planes: Planes, how: Shot, nuisance: Int[np.ndarray, "n"], grain: float, grid: Grid) -> Planes:
    """The photograph: colours in their light through a camera, black outside its field."""

    def put(values: np.ndarray) -> Tensor:
        return column(values, grid.device)

    x, y = grid.axes()
    dx, dy = x - put(how.middle[:, 0]), y - put(how.middle[:, 1])
    level = 1 / (dx * dx + dy * dy).mul_(put(how.fall)).add_(1)
    level.mul_(spline_zoom(lattice(nuisance, "fundus-uneven", 3, how.uneven, grid).add_(1), grid.size))
    planes.mul_(level).mul_(colours(how.gain, grid.device))
    planes.mul_(1 - put(how.haze)).add_(
        level * put(how.haze) * colours(np.tile(_HAZE, (len(nuisance), 1)), grid.device)
    )
    apart = (x * x + y * y).sqrt_()
    border = (apart - 0.33).div_(0.165).clamp_(0, 1)
    side = (x * put(how.aside[:, 0]) + y * put(how.aside[:, 1])).add_(0.15).clamp_(0, 0.5).mul_(2)
    border = border * border * side
    planes.add_(border * colours(how.stray, grid.device))
    _speck(planes, how, nuisance, grid)
    planes.clamp_(0, 1)
    # A tone curve through 0 and 1 that darkens the dark the more contrast it has.
    planes.mul_((planes * put(how.contrast)).add_(put(1 - how.contrast)))
    planes.add_(_noise(nuisance, grain, grid))
    return planes.clamp_(0, 1).mul_(_field(how, apart, y, grid))


def _speck(planes: Planes, how: Shot, nuisance: Int[np.ndarray, "n"], grid: Grid) -> None:
    """A smear on the lens: a pale spot out of focus."""
    x, y = grid.axes()
    at = spread(nuisance, "fundus-dust-at", -0.3, 0.3, 2)
    radius = spread(nuisance, "fundus-dust-radius", 0.012, 0.05)[:, 0]
    dx, dy = x - column(at[:, 0], grid.device), y - column(at[:, 1], grid.device)
    veil = (1 - (dx * dx + dy * dy).mul_(column(1 / radius**2, grid.device))).clamp_(min=0)
    veil = (veil * veil).mul_(column(0.3 * how.dust, grid.device))
    planes.add_(veil)


def _noise(nuisance: Int[np.ndarray, "n"], grain: float, grid: Grid) -> Float[Tensor, "n size size"]:
    strength = grain * spread(nuisance, "fundus-grain-strength", 0.4, 1.6)[:, 0]
    white = white_noise(nuisance, "fundus-grain", grid.size, grid.size, grid.device)
    return white.mul_(column(strength, grid.device))


def _field(how: Shot, apart: Tensor, y: Tensor, grid: Grid) -> Float[Tensor, "n size size"]:
    """1 in the camera's view, 0 outside."""
    edge = torch.full((1, 1, 1), 1.2 * grid.pixel, device=grid.device)
    kept = column(0.5 + (CUT - 0.5) * how.cut, grid.device)
    depth = torch.minimum(RADIUS - apart, kept - y.abs())
    return ramp(depth, edge)
