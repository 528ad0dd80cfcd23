"""Drawing the lesions of a fundus, and scars of laser that are none: what they add to the picture, and their masks."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from assay.data.phantoms.blobs import Blobs, within
from assay.data.phantoms.canvas import Grid, Windows, column, ramp
from assay.data.phantoms.capsules import Capsules, draw_capsules
from assay.data.phantoms.counter import spread, uniforms
from assay.data.phantoms.exact import direction
from assay.data.phantoms.fundus_anatomy import Eye
from assay.data.phantoms.fundus_lesions import KINDS, Spots

_SOFT = {"microaneurysms": 0.0, "haemorrhages": 0.007, "exudates": 0.002, "cotton_wool": 0.024, "new_vessels": 0.03}
"""Width of each kind's edge beside what the picture blurs."""
_CLASSES = (0.0, 0.012, 0.022, np.inf)
"""Radii between which spots are drawn in windows of one width."""
_PIXEL = 0.7072
"""Half the diagonal of a pixel: within it of any point lies the middle of some pixel."""
_FAN, _LENGTH = 9, 4  # of a tuft: vessels, and pieces of each
_SCARS = 90


@dataclass(frozen=True, slots=True)
class Marks:
    """What lies on each fundus, flat canvases [n, pixels] of 0 to 1: blood outside vessels, its hard exudates,
    cotton-wool, vessels of new tufts; and which pixels each kind of lesion holds [5, n, pixels].
    """

    blood: Float[Tensor, "n pixels"]
    exudates: Float[Tensor, "n pixels"]
    cotton_wool: Float[Tensor, "n pixels"]
    tufts: Float[Tensor, "n pixels"]
    masks: Bool[Tensor, "5 n pixels"]


def draw_lesions(spots: dict[str, Spots], shape: Eye, nuisance: Int[np.ndarray, "n"], grid: Grid) -> Marks:
    """All lesions that are shown. A mask holds the pixels whose middle lies inside an outline, and of a lesion too
    small for that the nearest.
    """
    n = len(nuisance)
    blood, exudates, cotton_wool, haze = (grid.blank(n) for _ in range(4))
    masks = torch.zeros(len(KINDS), n, grid.size * grid.size, device=grid.device)
    canvases = dict(zip(KINDS, (blood, blood, exudates, cotton_wool, haze), strict=True))
    for mask, kind in zip(masks, KINDS, strict=True):
        _draw_spots(canvases[kind], mask, spots[kind], shape.blur + 1.1 * grid.pixel + _SOFT[kind], grid)
    blood = torch.maximum(blood, haze.mul_(0.22))
    tufts = grid.blank(n)
    draw_capsules(tufts, _tufts(spots["new_vessels"], nuisance), shape.blur + 1.1 * grid.pixel, grid)
    return Marks(blood, exudates, cotton_wool, tufts, masks > 0)


def _draw_spots(
    canvas: Float[Tensor, "n pixels"],
    mask: Float[Tensor, "n pixels"],
    spots: Spots,
    blur: Float[np.ndarray, "n"],
    grid: Grid,
) -> None:
    """Raise the canvas to the spots' opacity and the mask to 1 inside them."""
    reach = spots.radius * spots.stretch
    there = spots.shown & (spots.opacity > 0)
    for low, high in pairwise(_CLASSES):
        chosen = np.flatnonzero(there & (reach > low) & (reach <= high))
        if len(chosen) > 0:
            _draw_some(canvas, mask, spots, chosen, blur, grid)


def _draw_some(
    canvas: Float[Tensor, "n pixels"],
    mask: Float[Tensor, "n pixels"],
    spots: Spots,
    chosen: Int[np.ndarray, "m"],
    blur: Float[np.ndarray, "n"],
    grid: Grid,
) -> None:
    row = chosen // spots.x.shape[1]
    wide, own = blur[row], spots.radius.ravel()[chosen]
    # A spot smaller than the blur is seen as wide as the blur and as much fainter as it is smaller.
    seen = np.maximum(own, 0.5 * wide)
    fainter = own / seen
    shape = Blobs(
        spots.x.ravel()[chosen],
        spots.y.ravel()[chosen],
        seen,
        spots.cosine.ravel()[chosen],
        spots.sine.ravel()[chosen],
        spots.stretch.ravel()[chosen],
        spots.even.reshape(-1, 3)[chosen],
        spots.odd.reshape(-1, 3)[chosen],
    )
    radius = float((shape.reach() + 0.5 * wide).max()) + grid.pixel
    windows = Windows.around(row, shape.x, shape.y, radius, grid)
    share, depth, _, _ = within(shape, windows, grid.device)
    opaque = ramp(depth, column(wide, grid.device))
    windows.draw(canvas, opaque.mul_(column(spots.opacity.ravel()[chosen] * fainter * fainter, grid.device)))
    dx, dy = windows.x - column(shape.x, grid.device), windows.y - column(shape.y, grid.device)
    nearest = (dx * dx + dy * dy) <= (_PIXEL * grid.pixel) ** 2
    windows.draw(mask, ((share <= column(fainter, grid.device)) | nearest).to(mask.dtype))


def _tufts(spots: Spots, nuisance: Int[np.ndarray, "n"]) -> Capsules:
    """Fans of fine vessels that wind from the middle of each tuft to near its outline."""
    n, k = spots.x.shape
    shape = (n, k, _FAN, _LENGTH)
    turns = uniforms(nuisance, "tuft-heading", k * _FAN).reshape(n, k, _FAN, 1)
    turns = turns + np.cumsum(spread(nuisance, "tuft-turn", -0.16, 0.16, k * _FAN * _LENGTH).reshape(shape), axis=3)
    cosine, sine = direction(turns)
    step = (0.85 / _LENGTH) * spots.radius[:, :, None, None] * np.ones(shape)
    zero = np.zeros((n, k, _FAN, 1))
    x = spots.x[:, :, None, None] + np.concatenate([zero, np.cumsum(step * cosine, axis=3)], axis=3)
    y = spots.y[:, :, None, None] + np.concatenate([zero, np.cumsum(step * sine, axis=3)], axis=3)
    plain = (spots.opacity * spots.shown)[:, :, None, None] * np.ones(shape)
    thin = np.full(shape, 0.0021)
    ends = (x[..., :-1], y[..., :-1], x[..., 1:], y[..., 1:], thin, thin, plain, plain)
    return Capsules(*(value.reshape(n, -1) for value in ends))


def draw_scars(shape: Eye, nuisance: Int[np.ndarray, "n"], scarred: float, grid: Grid) -> tuple[Tensor, Tensor]:
    """Scars of laser away from macula and disc, in this share of the images: pale rings [n, pixels], dark middles."""
    n = len(nuisance)
    treated = uniforms(nuisance, "scars", 1) < scarred
    u = uniforms(nuisance, "scar-away", _SCARS)
    away = 0.29 + 0.19 * u
    cosine, sine = direction(uniforms(nuisance, "scar-around", _SCARS))
    x, y = away * cosine, away * sine
    dx, dy = x - shape.disc[:, :1], y - shape.disc[:, 1:]
    there = treated & (dx * dx + dy * dy > 0.15**2) & (uniforms(nuisance, "scar", _SCARS) < spread(
        nuisance, "scars-amount", 0.3, 1.0))  # fmt: skip
    radius = spread(nuisance, "scar-radius", 0.008, 0.015, _SCARS)
    level = np.where(there, spread(nuisance, "scar-level", 0.2, 0.6, _SCARS), 0.0)
    dark = np.where(uniforms(nuisance, "scar-dark", _SCARS) < 0.5, level, 0.0)
    soft = shape.blur + 1.1 * grid.pixel + 0.004
    pale, middle = grid.blank(n), grid.blank(n)
    draw_capsules(pale, Capsules(x, y, x, y, radius, radius, level, level), soft, grid)
    draw_capsules(middle, Capsules(x, y, x, y, 0.45 * radius, 0.45 * radius, dark, dark), soft, grid)
    return pale, middle
