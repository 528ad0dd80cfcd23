"""Where disc and fovea of a fundus lie, its colour, and how disc, cup and macula look.

Lengths are sides of the image, from its middle: x to the right, y down. Two eyes of a patient are the nuisance seeds
2k and 2k + 1: what a patient's eyes share is drawn from k.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from assay.data.phantoms.blobs import Blobs, within
from assay.data.phantoms.canvas import Grid, Windows, column, ramp
from assay.data.phantoms.counter import spread
from assay.data.phantoms.fields import lattice, spline_zoom
from assay.data.phantoms.fundus_visible import Visible
from assay.data.phantoms.painting import Planes, along, colours, dab

DISC = 0.077
"""Radius of a usual disc."""
_BLOND, _MIDDLE, _DARK = (0.92, 0.45, 0.15), (0.74, 0.31, 0.07), (0.55, 0.235, 0.075)
_PALE_DISC = np.array([1.25, 0.80, 0.35])
_PALE_CUP = np.array([1.32, 1.0, 0.56])
_COARSE, _FINE, _CHOROID = 5, 44, 21


@dataclass(frozen=True, slots=True)
class Eye:
    """Anatomy of each image, float64 [n] unless stated.

    disc: its middle [n, 2]; radius: the disc's. fovea: [n, 2]. cup: radius over the disc's. nasal: 1 where the nose
    lies to the right, -1 to the left. colour: of the fundus [n, 3]; paleness: of the disc; dim: light that the macula
    takes; ring: brightness of the nerve fibres about the disc. choroid: how plain its vessels are.
    mottled: strength of coarse and fine changes [n, 2].
    blur: width of every edge.
    """

    disc: Float[np.ndarray, "n 2"]
    radius: np.ndarray
    oval: np.ndarray
    fovea: Float[np.ndarray, "n 2"]
    cup: np.ndarray
    nasal: np.ndarray
    colour: Float[np.ndarray, "n 3"]
    paleness: np.ndarray
    dim: np.ndarray
    ring: np.ndarray
    choroid: np.ndarray
    mottled: Float[np.ndarray, "n 2"]
    blur: np.ndarray


def eye(seen: Visible, nuisance: Int[np.ndarray, "n"], texture: float, blur: float) -> Eye:
    """The anatomy of each image. texture: strength of the mottling; blur: of defocus; 1 normal, 0 none."""
    patient = nuisance // 2

    def own(name: str, low: float, high: float, count: int = 1) -> np.ndarray:
        return spread(nuisance, f"fundus-{name}", low, high, count)

    def shared(name: str, low: float, high: float, count: int = 1) -> np.ndarray:
        return spread(patient, f"fundus-patient-{name}", low, high, count)

    radius = DISC * shared("disc", 0.9, 1.1)[:, 0] * own("disc", 0.97, 1.03)[:, 0]
    disc = np.stack([seen.side * own("disc-x", 0.215, 0.285)[:, 0], own("disc-y", -0.045, 0.02)[:, 0]], axis=1)
    away = shared("fovea", 0.365, 0.405)[:, 0]
    fovea = disc + np.stack([-seen.side * away, own("fovea-y", 0.01, 0.055)[:, 0]], axis=1)
    tint = 1 + shared("tint", -0.09, 0.09, 3) + own("tint", -0.02, 0.02, 3)
    base = along(np.array([_BLOND, _MIDDLE, _DARK]), seen.pigment)
    defocus = own("defocus", 0.0, 1.0)[:, 0]
    return Eye(
        disc=disc,
        radius=radius,
        oval=own("oval", 1.0, 1.06)[:, 0],
        fovea=fovea,
        cup=seen.cup,
        nasal=seen.side,
        colour=base * tint,
        paleness=own("paleness", 0.6, 1.0)[:, 0],
        dim=(0.32 + 0.25 * seen.pigment) * own("dim", 0.6, 1.3)[:, 0],
        ring=shared("ring", 0.05, 0.2)[:, 0],
        choroid=texture * (1 - seen.pigment) * shared("choroid", 0.0, 0.12)[:, 0],
        mottled=texture * own("mottled", 0.4, 1.0, 2) * np.array([0.05, 0.03]),
        blur=blur * 0.011 * defocus * defocus * defocus,
    )


def draw_fundus(shape: Eye, nuisance: Int[np.ndarray, "n"], grid: Grid) -> Planes:
    """The back of the eye without vessels: pigment, choroid, macula, disc and cup, as colours in even light."""

    def put(values: np.ndarray) -> Tensor:
        return column(values, grid.device)

    x, y = grid.axes()
    coarse = lattice(nuisance, "fundus-coarse", _COARSE, shape.mottled[:, 0], grid)
    fine = lattice(nuisance, "fundus-fine", _FINE, shape.mottled[:, 1], grid)
    mottling = spline_zoom(fine.add_(spline_zoom(coarse, _FINE + 2)), grid.size)
    streaks = spline_zoom(lattice(nuisance, "fundus-choroid", _CHOROID, np.ones(len(nuisance)), grid), grid.size)
    streaks = (1 - streaks.abs_().mul_(1.6)).clamp_(min=0).mul_(put(shape.choroid))
    to_disc = _squared(x, y, shape.disc, grid)
    to_fovea = _squared(x, y, shape.fovea, grid)
    halo = 1 / (to_disc * (1 / 0.17**2)).add_(1)
    macula = 1 / (to_fovea * (1 / 0.1**2)).add_(1)
    macula.mul_(macula).mul_(put(shape.dim))
    streaks.mul_(1 - macula)
    planes = torch.empty(3, len(nuisance), grid.size, grid.size, device=grid.device)
    taken = ((0.35, 0.5, 0.9), (0.8, 1.0, 1.0), (1.0, 1.2, 1.0))
    for plane, (by_macula, by_mottling, by_choroid) in zip(planes, taken, strict=True):
        plane.copy_(macula).mul_(-by_macula).add_(1).add_(mottling * by_mottling).add_(streaks * by_choroid)
        plane.add_(halo * put(shape.ring))
    planes.mul_(colours(shape.colour, grid.device))
    _draw_disc(planes, shape, grid)
    return planes


def _draw_disc(planes: Planes, shape: Eye, grid: Grid) -> None:
    n = len(shape.radius)
    soft = shape.blur + 1.1 * grid.pixel
    flat = np.zeros((n, 1))
    whole = Blobs(shape.disc[:, 0], shape.disc[:, 1], shape.radius, np.zeros(n), np.ones(n), shape.oval, flat, flat)
    reach = 1.25 * float(shape.radius.max(initial=0)) + float(soft.max(initial=0))
    windows = Windows.around(np.arange(n), whole.x, whole.y, reach, grid)
    share, depth, u, v = within(whole, windows, grid.device)
    cover = ramp(depth, column(soft + 0.006, grid.device))
    # The cup lies a little to the temple; u runs down and v to the left.
    aside = v.sub_(column(0.08 * shape.nasal, grid.device))
    from_cup = (u * u).add_(aside * aside).sqrt_()
    cup = ramp(
        (column(shape.cup, grid.device) - from_cup).mul_(column(shape.radius, grid.device)),
        column(soft + 0.018, grid.device),
    )
    under = shape.colour
    rim = colours(under + shape.paleness[:, None] * (_PALE_DISC - under), grid.device)
    pit = colours(under + shape.paleness[:, None] * (_PALE_CUP - under), grid.device)
    shade = (share * share).mul_(-0.08).add_(1)
    dab(planes, windows, cover, (rim * shade).mul_(1 - cup).add_(pit * cup))


def _squared(x: Tensor, y: Tensor, centre: Float[np.ndarray, "n 2"], grid: Grid) -> Float[Tensor, "n size size"]:
    dx, dy = x - column(centre[:, 0], grid.device), y - column(centre[:, 1], grid.device)
    return dx * dx + dy * dy
