"""A video endoscope: a lamp beside the lens, colours that saturate, a view with its corners cut, and grain."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from assay.data.phantoms.canvas import Grid, column, ramp
from assay.data.phantoms.counter import spread, white_noise
from assay.data.phantoms.endoscopy_visible import Visible
from assay.data.phantoms.endoscopy_wall import Surface
from assay.data.phantoms.fields import spline_zoom, zoom_gain

_DIFFUSE = 0.2  # share of the light that comes from the walls around
FINEST = 256
"""Cells of the finest lattice of grain over the image."""


def lit(surface: Surface, nuisance: Int[np.ndarray, "n"], grid: Grid) -> Float[Tensor, "n size size"]:
    """Light that the surface returns: that which falls on it times the cosine to the lamp."""
    lamp = spread(nuisance, "endo-lamp", -0.5, 0.5, 2)
    x, y = surface.slope_x, surface.slope_y
    toward = x * _flat(lamp[:, 0], grid) + y * _flat(lamp[:, 1], grid)
    toward.add_(1).clamp_(min=0).div_((x * x).add_(y * y).add_(1).sqrt_()).mul_(1 - _DIFFUSE).add_(_DIFFUSE)
    return toward.mul_(surface.light).view(-1, grid.size, grid.size)


def colours(
    light: Float[Tensor, "n size size"],
    blood: Float[Tensor, "n size size"],
    film: Float[Tensor, "n size size"],
    seen: Visible,
    nuisance: Int[np.ndarray, "n"],
    grid: Grid,
) -> Float[Tensor, "n 3 size size"]:
    """Red, green and blue, 0 to 1: what mucosa of this hue returns, over a curve that saturates.

    blood: over the mucosa's mean; it takes green most. film: yellow matter, which takes blue.
    """

    def draw(name: str, low: float, high: float) -> Float[np.ndarray, "n"]:
        return spread(nuisance, f"endo-{name}", low, high)[:, 0]

    e = 0.48 * seen.illumination + draw("exposure", -0.25, 0.25)
    exposure = 2.35 * (1 + 0.5 * e) / (1 - 0.4 * e)
    green = 0.365 - 0.065 * seen.hue + draw("green", -0.03, 0.03)
    blue = green * (0.6 + 0.08 * seen.hue + draw("blue", -0.21, 0.21))
    taken = ((1.0, 0.16, 0.18), (green, 0.5 * green, 0.15 * green), (blue, 0.5 * blue, 0.75 * blue))
    out = torch.empty(len(nuisance), 3, grid.size, grid.size, device=grid.device)
    for channel, (own, by_blood, by_film) in enumerate(taken):
        x = (blood * column(-by_blood * exposure, grid.device)).sub_(film * column(by_film * exposure, grid.device))
        x.add_(column(own * exposure, grid.device)).clamp_(min=0).mul_(light)
        out[:, channel] = x.div_((x * x).add_(1).sqrt_())
    return out


def filmed(
    picture: Float[Tensor, "n 3 size size"], nuisance: Int[np.ndarray, "n"], grain: float, grid: Grid
) -> tuple[Float[Tensor, "n 3 size size"], Float[Tensor, "n size size"]]:
    """The picture with grain, within its view; and the view, 1 inside to 0 outside.

    grain: standard deviation in grey levels of 1 at 256 px; larger pixels average it.
    """
    inside = view(nuisance, grid)
    picture.add_(_noise(nuisance, grain, grid)[:, None])
    beyond = column(spread(nuisance, "endo-border", 0.0, 0.04)[:, 0], grid.device)[:, None]
    return picture.sub_(beyond).mul_(inside[:, None]).add_(beyond).clamp_(0, 1), inside


def view(nuisance: Int[np.ndarray, "n"], grid: Grid) -> Float[Tensor, "n size size"]:
    """What of the image the scope shows: a rectangle whose corners a diagonal and a circle cut, 1 inside, 0 outside."""

    def put(name: str, low: float, high: float) -> Float[Tensor, "n 1 1"]:
        return column(spread(nuisance, f"view-{name}", low, high)[:, 0], grid.device)

    x, y = grid.axes()
    x, y = (x - put("x", -0.03, 0.03)).abs_(), (y - put("y", -0.015, 0.015)).abs_()
    sides = torch.minimum(put("width", 0.4, 0.47) - x, put("height", 0.44, 0.485) - y)
    cut = (put("cut", 0.68, 0.9) - x - y).mul_(0.7071)
    circle = put("circle", 0.5, 0.62) - (x * x + y * y).sqrt_()
    depth = torch.minimum(torch.minimum(sides, cut), circle)
    return ramp(depth, torch.full((1, 1, 1), 1.5 * grid.pixel, device=grid.device))


def _noise(nuisance: Int[np.ndarray, "n"], grain: float, grid: Grid) -> Float[Tensor, "n size size"]:
    cells = min(grid.size, FINEST)
    strength = grain * spread(nuisance, "endo-grain-strength", 0.4, 1.6)[:, 0]
    if grid.size <= FINEST:
        white = white_noise(nuisance, "endo-grain", cells, cells, grid.device)
        return white.mul_(column(strength * (cells / FINEST), grid.device))
    white = white_noise(nuisance, "endo-grain", cells + 2, cells + 2, grid.device)
    return spline_zoom(white, grid.size).mul_(column(strength / float(zoom_gain(cells, grid.size)), grid.device))


def _flat(values: Float[np.ndarray, "n"], grid: Grid) -> Float[Tensor, "n 1"]:
    return column(values, grid.device)[:, :, 0]
