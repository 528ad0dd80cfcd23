"""A wet surface: ripples, glints where they face the lamp, and bubbles."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from assay.data.phantoms.canvas import Grid, Windows, column, ramp
from assay.data.phantoms.counter import spread, uniforms
from assay.data.phantoms.endoscopy_visible import Visible
from assay.data.phantoms.endoscopy_wall import Surface
from assay.data.phantoms.fields import lattice, spline_zoom

_BUBBLES = 28  # in an image whose factor is 1
_RIPPLES, _PATCHES = 40, 6  # cells over the image: of ripples, and of where the wall leans


def glints(surface: Surface, seen: Visible, nuisance: Int[np.ndarray, "n"], grid: Grid) -> Float[Tensor, "n size size"]:
    """White reflections of the lamp, 0 to 1: where the slope is such that it mirrors the lamp into the lens."""
    shape = (-1, grid.size, grid.size)
    x, y = grid.axes()
    lens = column(spread(nuisance, "endo-lens", 0.3, 0.9)[:, 0], grid.device)
    aim = spread(nuisance, "endo-aim", -0.15, 0.15, 2)
    rough = spread(nuisance, "endo-rough", 0.12, 0.4)[:, 0]
    # Where the wall leans by chance no ripple makes up for it: glints stand in patches.
    lean = spline_zoom(lattice(nuisance, "lean", _PATCHES, np.full(len(nuisance), 0.5), grid), _RIPPLES + 2)
    off_x = spline_zoom(lattice(nuisance, "ripple-x", _RIPPLES, rough, grid).add_(lean), grid.size)
    off_y = spline_zoom(lattice(nuisance, "ripple-y", _RIPPLES, rough, grid), grid.size)
    off_x.add_(surface.slope_x.view(shape))
    off_y.add_(surface.slope_y.view(shape))
    off_x.add_(x * lens - column(aim[:, 0], grid.device))
    off_y.add_(y * lens - column(aim[:, 1], grid.device))
    missed = off_x.mul_(off_x).add_(off_y.mul_(off_y))
    size = 0.012 * seen.highlights * spread(nuisance, "endo-wet", 0.3, 1.7)[:, 0] + 1e-9
    return (1 - missed.mul_(column(1 / size, grid.device))).mul_(2.5).clamp_(0, 1).mul_(_lamp(surface).view(shape))


def bubbles(surface: Surface, seen: Visible, nuisance: Int[np.ndarray, "n"], grid: Grid) -> Float[Tensor, "n pixels"]:
    """Bubbles as brightness 0 to 1 that they add: a rim, and the lamp's image in it. They lie in clusters."""
    count = 4 * _BUBBLES  # as many as a difficulty of 2 shows
    cluster = (uniforms(nuisance, "bubble-cluster", count) * 3).astype(np.int64)

    def around(axis: str) -> Float[np.ndarray, "n k"]:
        middles = spread(nuisance, f"bubble-middle-{axis}", -0.36, 0.36, 3)
        u = spread(nuisance, f"bubble-{axis}", -1, 1, count)
        return np.take_along_axis(middles, cluster, axis=1) + 0.16 * u * np.abs(u)

    x, y = around("x"), around("y")
    v = uniforms(nuisance, "bubble-radius", count)
    radius = 0.005 + 0.02 * v * v * v
    plain = (_BUBBLES * seen.bubbles[:, None] ** 2 - np.arange(count)).clip(0, 1)
    canvas = grid.blank(len(nuisance))
    chosen = np.flatnonzero(plain > 0)
    if len(chosen) > 0:
        own_x, own_y = x.ravel()[chosen], y.ravel()[chosen]
        windows = Windows.around(chosen // count, own_x, own_y, 0.028 + grid.pixel, grid)
        drawn = _bubble(
            windows.x - column(own_x, grid.device),
            windows.y - column(own_y, grid.device),
            radius.ravel()[chosen],
            plain.ravel()[chosen],
            grid,
        )
        windows.draw(canvas, drawn)
    return canvas.mul_(_lamp(surface))


def _lamp(surface: Surface) -> Float[Tensor, "n pixels"]:
    """How much of the lamp's light there is to be mirrored: all but in the depth."""
    return (surface.light * 2.5).clamp_(max=1)


def _bubble(
    dx: Float[Tensor, "m 1 w"],
    dy: Float[Tensor, "m w 1"],
    radius: Float[np.ndarray, "m"],
    plain: Float[np.ndarray, "m"],
    grid: Grid,
) -> Float[Tensor, "m w w"]:
    """Brightness at these distances from the middles of bubbles, fainter where a pixel is wider than what shines."""

    def put(values: Float[np.ndarray, "m"]) -> Float[Tensor, "m 1 1"]:
        return column(values, grid.device)

    distance = (dx * dx + dy * dy).sqrt_()
    wide = np.full_like(radius, 1.2 * grid.pixel)
    rim = ramp(put(0.0025 + 0.1 * radius) - (distance - put(0.85 * radius)).abs_(), put(wide))
    seen_as = np.minimum(1, 2 * (0.0025 + 0.1 * radius) / wide)
    aside_x, aside_y = dx + put(0.35 * radius), dy + put(0.35 * radius)
    spot = ramp(put(0.3 * radius) - (aside_x * aside_x + aside_y * aside_y).sqrt_(), put(wide))
    spot.mul_(put(0.9 * np.minimum(1, 0.6 * radius / wide) ** 2))
    return rim.mul_(put(0.4 * seen_as)).add_(spot).mul_(put(plain))
