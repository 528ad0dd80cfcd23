"""The wall of a bowel seen from within: a tube that leads to a dark lumen, with folds behind which light fades.

Lengths are sides of the image, from its middle: x to the right, y down. A point of a straight tube that appears at
distance r from the lumen's middle lies at a depth in proportion to 1 / r, so folds at equal steps of depth crowd
towards the lumen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from assay.data.phantoms.canvas import Grid, column
from assay.data.phantoms.counter import spread, uniforms
from assay.data.phantoms.endoscopy_visible import Visible
from assay.data.phantoms.exact import direction
from assay.data.phantoms.fields import lattice, spline_zoom

_TIP = 0.05
"""Added to distances from the lumen's middle, so that depth stays finite there."""
_UNEVEN = np.array([0.2, 0.2, 0.1, 0.1])
_CREST = 0.25  # light on a crest over that on a smooth wall
_WARP, _PARTIAL, _WAVES = 3, 3, 7  # cells over the image: of folds' course and strength, and of what is uneven else


@dataclass(frozen=True, slots=True)
class Tube:
    """Where a bowel leads and how it is folded, float64 [n] unless stated.

    x, y: the lumen's middle. uneven: harmonics two and three of its outline [n, 4]. radius: the tube's, as it appears
    at depth 1. reach: depth at which light has fallen to a quarter.
    rate, phase: folds per depth, and where the first stands. depth: how dark it is behind a fold, 0 to 1.
    warp: how far folds stray from rings, as a share of their depth.
    waves: share by which light differs over what else is uneven. slant_x, slant_y: share by which light changes across
    and down the image.
    """

    x: np.ndarray
    y: np.ndarray
    uneven: np.ndarray
    radius: np.ndarray
    reach: np.ndarray
    rate: np.ndarray
    phase: np.ndarray
    depth: np.ndarray
    warp: np.ndarray
    waves: np.ndarray
    slant_x: np.ndarray
    slant_y: np.ndarray


@dataclass(frozen=True, slots=True)
class Surface:
    """What a camera sees, flat canvases [n, pixels]: light that falls on it, and its slope (normal over depth)."""

    light: Float[Tensor, "n pixels"]
    slope_x: Float[Tensor, "n pixels"]
    slope_y: Float[Tensor, "n pixels"]


@dataclass(frozen=True, slots=True)
class Around:
    """Places in polar coordinates about the lumen: distance (outline at 1), and the outward direction on the image."""

    radius: Float[Tensor, "n *where"]
    cosine: Float[Tensor, "n *where"]
    sine: Float[Tensor, "n *where"]


def toward_lumen(nuisance: Int[np.ndarray, "n"]) -> Float[np.ndarray, "n 1"]:
    """On which side of the image's middle the lumen lies, in turns, whatever its distance."""
    return uniforms(nuisance, "tube-side", 1)


def tube(seen: Visible, nuisance: Int[np.ndarray, "n"]) -> Tube:
    """The bowel of each image: the lumen in sight from afar, beyond the image's border from close by."""

    def draw(name: str, low: float, high: float) -> Float[np.ndarray, "n"]:
        return spread(nuisance, f"tube-{name}", low, high)[:, 0]

    away_x, away_y = direction(toward_lumen(nuisance)[:, 0])
    away = 0.78 * (1 - seen.distance).clip(0) + draw("away", 0.05, 0.33)
    return Tube(
        x=away * away_x,
        y=away * away_y,
        uneven=spread(nuisance, "tube-uneven", -1, 1, 4) * _UNEVEN,
        radius=draw("radius", 0.5, 0.75),
        reach=draw("reach", 1.0, 1.9),
        rate=draw("rate", 0.75, 1.7),
        phase=draw("phase", 0.0, 1.0),
        depth=seen.folds * draw("depth", 0.75, 1.0),
        warp=draw("warp", 0.03, 0.1),
        waves=draw("waves", 0.03, 0.15),
        slant_x=draw("slant-x", -2.2, 2.2),
        slant_y=draw("slant-y", -2.2, 2.2),
    )


def around(bowel: Tube, x: Tensor, y: Tensor) -> Around:
    """Polar coordinates of these points, given as [1 or n, 1, w] and [1 or n, h, 1]."""
    device = str(x.device)
    dx, dy = x - column(bowel.x, device), y - column(bowel.y, device)
    distance = (dx * dx + dy * dy).sqrt_()
    inverse = 1 / (distance + 1e-3)
    cosine, sine = dx * inverse, inverse.mul_(dy)
    two_c, two_s, three_c, three_s = (column(bowel.uneven[:, k], device) for k in range(4))
    # Harmonics two and three of the angle as the real part of z^2 (a + b z), z on the unit circle.
    real = (cosine * three_c).add_(sine * three_s).add_(two_c)
    imaginary = (cosine * three_s).sub_(sine * three_c).add_(two_s)
    square = (cosine * cosine).mul_(2).sub_(1)
    outline = real.mul_(square).add_(imaginary.mul_(cosine).mul_(sine).mul_(2))
    return Around(distance.div_(outline.add_(1)), cosine, sine)


def brightness(bowel: Tube, at: Around, x: Tensor, y: Tensor) -> Float[Tensor, "n *where"]:
    """Light on a smooth wall, about 1 near the camera: less by the square of depth, and again as the wall turns away;
    more on the side to which the camera is nearer.
    """
    device = str(at.radius.device)
    depth = 1 / (at.radius + _TIP).mul_(column(bowel.reach / bowel.radius, device))
    near = 1 / depth.mul_(depth).add_(1)
    slant = (x * column(bowel.slant_x, device)).add(y * column(bowel.slant_y, device)).add_(1).clamp_(min=0.15)
    return near.mul_(near).mul_(slant)


def wall(bowel: Tube, nuisance: Int[np.ndarray, "n"], at: Around, grid: Grid) -> Surface:
    """The wall with its folds: bright on their crests, dark behind them, where the next crest hides it."""
    behind = _behind(bowel, nuisance, at, grid)
    light = brightness(bowel, at, *grid.axes())
    tilt = (behind * 0.6).add_(0.3)
    light.mul_(1 - behind)
    light.mul_(spline_zoom(lattice(nuisance, "waves", _WAVES, bowel.waves, grid).add_(1), grid.size).clamp_(min=0.2))
    tilt.neg_()
    flat = (len(nuisance), -1)
    return Surface(light.view(flat), (at.cosine * tilt).view(flat), (at.sine * tilt).view(flat))


def _behind(bowel: Tube, nuisance: Int[np.ndarray, "n"], at: Around, grid: Grid) -> Float[Tensor, "n size size"]:
    """How much of the light a fold takes: 0 on a crest, rising outwards to the fold's depth, then sharply 0 again."""

    def put(values: Float[np.ndarray, "n"]) -> Float[Tensor, "n 1 1"]:
        return column(values, grid.device)

    near = 1 / (at.radius + _TIP)
    order = near * put(bowel.rate * bowel.radius)
    width = (near * order).mul_(1.2 * grid.pixel).clamp_(max=0.5)
    warp = spline_zoom(lattice(nuisance, "warp", _WARP, bowel.warp, grid), grid.size)
    order.mul_(warp.add_(1)).add_(put(bowel.phase))
    step = torch.floor(order)
    from_crest = step.sub_(order).add_(1)
    square, ahead = from_crest * from_crest, 1 - from_crest
    crest = (ahead * ahead).mul_(ahead).mul_(_CREST)
    shadow = (square * square).mul_(0.65).add_(square.mul_(0.35)).add_(_CREST).sub_(crest)
    shadow.mul_(ahead.div_(width).clamp_(0, 1)).sub_(_CREST)
    strength = lattice(nuisance, "partial", _PARTIAL, 0.45 * bowel.depth, grid).add_(put(0.65 * bowel.depth))
    partial = torch.minimum(spline_zoom(strength, grid.size).clamp_(min=0), put(bowel.depth))
    return shadow.mul_(partial)
