"""From attenuation to grey levels: scatter, exposure, the scanner's tone curve and grain."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from assay.data.phantoms.canvas import Grid, column
from assay.data.phantoms.chest_visible import Visible
from assay.data.phantoms.counter import spread, white_noise
from assay.data.phantoms.fields import soften, spline_zoom, zoom_gain

FINEST = 256
"""Cells of the finest lattice of grain over the field: some 1.6 mm."""


def sharp_edge(seen: Visible, nuisance: Int[np.ndarray, "n"], grid: Grid) -> Float[np.ndarray, "n"]:
    """Width of a sharp edge in mm on the image: the scanner's own, the patient's motion and that of a pixel."""
    own = spread(nuisance, "chest-blur", 2.0, 3.2)[:, 0] * (1 - 0.55 * seen.direct).clip(0.2) + 0.8 * seen.ap
    return np.sqrt(own * own + grid.pixel * grid.pixel)


def exposed(
    attenuation: Float[Tensor, "n size size"],
    seen: Visible,
    nuisance: Int[np.ndarray, "n"],
    grain: float,
    grid: Grid,
) -> Float[Tensor, "n size size"]:
    """Grey levels 0 to 1, bright where much is absorbed.

    grain: standard deviation of the noise in grey levels of 1 in the mediastinum on the computed scanner at 256 px.
    """

    def draw(name: str, low: float, high: float) -> Float[np.ndarray, "n"]:
        return spread(nuisance, f"chest-{name}", low, high)[:, 0]

    def put(values: Float[np.ndarray, "n"]) -> Float[Tensor, "n 1 1"]:
        return column(values, grid.device)

    scatter = (0.06 + 0.1 * seen.ap + 0.1 * (seen.habitus + 0.5)) * draw("scatter", 0.6, 1.4)
    contrast = draw("contrast", 0.82, 1.12) * (1 + 0.16 * seen.direct) * (1 - 0.22 * seen.ap) * (1 - scatter)
    level = draw("level", -0.07, 0.05) + 0.09 * seen.exposure + 0.5 * scatter + 0.1 * seen.ap
    body = (attenuation * 4).clamp_(0, 1)  # what lies beside the patient stays dark, however the film is exposed
    veil = (put(level) + _shading(seen, nuisance, grid)).mul_(body)
    z = attenuation.mul_(put(0.82 * contrast)).add_(veil)
    z.add_(_noise(nuisance, grid).mul_(z.clamp(min=0).mul_(put(_loudness(seen, grain))).add_(0.15 * grain)))
    return _tone(z, put(0.3 - 0.55 * seen.direct))


def _shading(seen: Visible, nuisance: Int[np.ndarray, "n"], grid: Grid) -> Float[Tensor, "n size size"]:
    """A slope of grey across the image: the beam is not quite straight upon the detector, least so at the bedside."""
    steep = (1 + 1.2 * seen.ap)[:, None] * spread(nuisance, "chest-shading", -0.07, 0.07, 2) * (2 / grid.field)
    x, y = grid.axes()
    return x * column(steep[:, 0], grid.device) + y * column(steep[:, 1], grid.device)


def _loudness(seen: Visible, grain: float) -> Float[np.ndarray, "n"]:
    """Grain per grey level: the thicker the patient, the fewer the photons."""
    scanner = (1 - 0.5 * seen.direct).clip(0.2)
    return grain * scanner * (1 + 0.35 * seen.ap) * (1 + 0.7 * (seen.habitus + 0.2))


def _tone(z: Float[Tensor, "n size size"], lift: Float[Tensor, "n 1 1"]) -> Float[Tensor, "n size size"]:
    """A curve that lifts (or deepens) the middle greys, is straight in the dark and saturates towards white."""
    z = z.clamp_(min=0)
    fourth = (z * z).mul_(z * z)
    z = z.div_((fourth + 1).sqrt_().sqrt_()).mul_(1.12).clamp_(max=1)
    return (1 - z).mul_(lift).mul_(z).add_(z).clamp_(0, 1)


def _noise(nuisance: Int[np.ndarray, "n"], grid: Grid) -> Float[Tensor, "n size size"]:
    """Grain of unit deviation at 256 px; larger pixels average it."""
    cells = min(grid.size, FINEST)
    white = white_noise(nuisance, "chest-grain", cells + 4, cells + 4, grid.device)
    side = torch.full((len(nuisance),), 0.14, device=grid.device)
    shaped = soften(white, side, side)
    if grid.size > FINEST:
        return spline_zoom(shaped, grid.size).mul_(1 / float(zoom_gain(cells, grid.size, 0.14, 0.14)))
    return shaped[:, 1:-1, 1:-1] * (cells / FINEST)
