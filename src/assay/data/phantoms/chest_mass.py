"""The finding of a chest radiograph: a mass in a lung, lobulated, with an edge from sharp to ill-defined."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from assay.data.phantoms.canvas import Grid, Windows, column, ramp
from assay.data.phantoms.chest_anatomy import Anatomy
from assay.data.phantoms.chest_frame import on_image
from assay.data.phantoms.chest_outlines import left_heart, outlines
from assay.data.phantoms.chest_visible import Visible
from assay.data.phantoms.counter import spread, uniforms
from assay.data.phantoms.exact import direction
from assay.data.phantoms.shapes import uneven_outline

SOFTEST = 22.0
"""Width in mm over which the most ill-defined edge fades."""
_UNEVEN = 0.09
_BULGE = 1 + 1.6 * 2 * _UNEVEN


@dataclass(frozen=True, slots=True)
class Mass:
    """One mass an image; float64 [n] each. Place and size in mm on the image.

    strength: attenuation added at its centre, 0 where there is no mass. fade: width of its edge in mm.
    cosine, sine: direction of its long axis. stretch: root of long over short axis. uneven: harmonics [n, 4].
    """

    x: np.ndarray
    y: np.ndarray
    radius: np.ndarray
    strength: np.ndarray
    fade: np.ndarray
    cosine: np.ndarray
    sine: np.ndarray
    stretch: np.ndarray
    uneven: np.ndarray


def mass(seen: Visible, build: Anatomy, nuisance: Int[np.ndarray, "n"]) -> Mass:
    """Where each mass lies and what it looks like: in its zone of its lung, clear of the heart and the ribs' border."""
    x, y = on_image(build.pose, *_place(seen, build, nuisance))
    cosine, sine = direction(uniforms(nuisance, "mass-axis", 1)[:, 0])
    return Mass(
        x=x[:, 0],
        y=y[:, 0],
        radius=0.5 * seen.diameter,
        strength=seen.presence * seen.contrast,
        fade=1 + (SOFTEST - 1) * seen.edge,
        cosine=cosine,
        sine=sine,
        stretch=np.sqrt(spread(nuisance, "mass-stretch", 1.0, 1.35)[:, 0]),
        uneven=spread(nuisance, "mass-uneven", -_UNEVEN, _UNEVEN, 4),
    )


def _place(
    seen: Visible, build: Anatomy, nuisance: Int[np.ndarray, "n"]
) -> tuple[Float[np.ndarray, "n 1"], Float[np.ndarray, "n 1"]]:
    """The centre in the patient's coordinates."""
    side = seen.side[:, None]
    dome = (1 - seen.side) * build.dome_right + seen.side * build.dome_left
    share = 0.24 + 0.27 * seen.zone + spread(nuisance, "mass-height", -0.07, 0.07)[:, 0]
    y = (build.apex + share * (dome - build.apex))[:, None]
    shape = outlines(build, y)
    inner = (1 - side) * shape.right + side * (left_heart(build, y) + build.turned[:, None]) + 12
    outer = (1 - side) * shape.lung_right + side * shape.lung_left - 18
    across = spread(nuisance, "mass-across", 0.12, 0.95)
    return (2 * side - 1) * (inner + across * np.maximum(outer - inner, 0)), y


def draw_mass(
    total: Float[Tensor, "n size size"], masses: Mass, blur: Float[np.ndarray, "n"], grid: Grid
) -> Bool[Tensor, "n size size"]:
    """Add the masses' attenuation; return their masks: pixels inside the outline, at half of the edge."""
    rows = np.flatnonzero(masses.strength > 0)
    mask = grid.blank(total.shape[0])
    if len(rows) > 0:
        own = Mass(*(getattr(masses, name)[rows] for name in Mass.__dataclass_fields__))
        edge = np.sqrt(own.fade**2 + blur[rows] ** 2)
        extent = _BULGE * float((own.radius * own.stretch).max()) + 0.5 * float(edge.max())
        windows = Windows.around(rows, own.x, own.y, extent, grid)
        depth = _depth(own, windows, grid.device)
        added = grid.blank(total.shape[0])
        windows.draw(added, _profile(own, depth, edge, grid.device))
        windows.draw(mask, (depth >= 0).to(torch.float32))
        total.add_(added.view(total.shape))
    return mask.view(total.shape) > 0.5


def _profile(own: Mass, depth: Tensor, edge: np.ndarray, device: str) -> Float[Tensor, "m w w"]:
    """A ball's thickness along the beam, flattened, times the edge's coverage."""
    inner = (depth * column(1 / own.radius, device)).clamp_(0, 1)
    ball = (2 - inner).mul_(inner).sqrt_().mul_(0.5).add_(0.5)
    return ramp(depth, column(edge, device)).mul_(ball).mul_(column(own.strength, device))


def _depth(own: Mass, windows: Windows, device: str) -> Float[Tensor, "m w w"]:
    """mm inside the outline, along the ray from the centre."""
    x, y = windows.x - column(own.x, device), windows.y - column(own.y, device)
    along, across = own.radius * own.stretch, own.radius / own.stretch
    u = x * column(own.cosine / along, device) + y * column(own.sine / along, device)
    v = y * column(own.cosine / across, device) - x * column(own.sine / across, device)
    rho = (u * u).add_(v * v).sqrt_()
    inverse = 1 / (rho + 1e-4)
    radius = (x * x + y * y).sqrt_().mul_(inverse)
    harmonics = (column(own.uneven[:, k], device) for k in range(4))
    return (uneven_outline(u * inverse, v * inverse, *harmonics) - rho).mul_(radius)
