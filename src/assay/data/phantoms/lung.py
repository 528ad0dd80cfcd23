"""What lies around a lesion in a CT patch of lung: parenchyma, chest wall with ribs, and the scanner's noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from assay.data.phantoms.canvas import Grid, column, ramp
from assay.data.phantoms.counter import spread, uniforms, white_noise
from assay.data.phantoms.exact import direction
from assay.data.phantoms.fields import soften, spline_zoom, zoom_gain

FINEST = 64
"""Cells of the finest lattice of noise over the field: CT noise has no structure finer than some 0.7 mm."""
SOLID = 900.0
"""HU over parenchyma of tissue without air."""


def parenchyma(
    nuisance: Int[np.ndarray, "n"], texture: float, tissue: Float[Tensor, "n size size"], grid: Grid
) -> Float[Tensor, "n size size"]:
    """HU of the lung with the tissue in it: a level per patch, slow changes over centimetres and fine ones over 2 mm.

    texture: standard deviation of the fine changes in aerated lung, in HU; the slow ones have half of it. They are
    strongest where air and tissue mix, as in ground glass, and vanish in solid tissue.
    tissue: HU over parenchyma of what lies in the lung.
    """
    coarse = white_noise(nuisance, "parenchyma-coarse", 8, 8, grid.device)
    fine = white_noise(nuisance, "parenchyma-fine", 26, 26, grid.device)
    lattice = (
        spline_zoom(coarse, 26)
        .mul_(0.5 * texture / float(zoom_gain(6, 26)))
        .add_(fine.mul_(texture / float(zoom_gain(24, 64))))
    )
    solid = (tissue * (1 / SOLID)).clamp_(max=1)
    mixed = (solid * 10 + 1).mul_(1 - solid)
    level = column(spread(nuisance, "parenchyma-level", -910, -800)[:, 0], grid.device)
    return spline_zoom(lattice, grid.size).mul_(mixed).add_(tissue).add_(level)


def scanner_noise(
    nuisance: Int[np.ndarray, "n"], deviation: float, dose_range: float, grid: Grid
) -> Float[Tensor, "n size size"]:
    """Noise in HU, correlated over about a millimetre, by a reconstruction kernel that differs from patch to patch.

    deviation: standard deviation in HU at the middle dose; single patches have between 1 / (1 + dose_range) and
    (1 + dose_range) times that. Pixels wider than the finest lattice average its noise.
    """
    cells = min(grid.size, FINEST)
    white = white_noise(nuisance, "noise", cells + 4, cells + 4, grid.device)
    kernel = spread(nuisance, "kernel", 0.12, 0.32, 2)
    shaped = soften(white, *(column(kernel[:, axis], grid.device)[:, 0, 0] for axis in (0, 1)))
    t = spread(nuisance, "dose", -1, 1)[:, 0]
    level = np.where(t < 0, 1 / (1 - dose_range * t), 1 + dose_range * t) * deviation
    if grid.size > FINEST:
        shaped, level = spline_zoom(shaped, grid.size), level / zoom_gain(cells, grid.size, *kernel.T)
    else:
        shaped, level = shaped[:, 1:-1, 1:-1], level * (cells / FINEST) ** 0.5
    return shaped * column(level, grid.device)


@dataclass(frozen=True, slots=True)
class Wall:
    """A stretch of chest wall: the lung lies inside a circle. All [n]; lengths in mm.

    x, y: the circle's centre; radius: its radius. along_x, along_y: the direction along the wall.
    rib: place of a rib along the wall (a large number: none), its half length, half thickness and depth.
    """

    x: np.ndarray
    y: np.ndarray
    radius: np.ndarray
    along_x: np.ndarray
    along_y: np.ndarray
    rib: np.ndarray
    rib_length: np.ndarray
    rib_thickness: np.ndarray
    rib_depth: np.ndarray
    fat: np.ndarray


def has_wall(nuisance: Int[np.ndarray, "n"], share: float) -> Int[np.ndarray, "m"]:
    """Positions of the rows whose patch shows the chest wall."""
    return np.flatnonzero(uniforms(nuisance, "wall", 1)[:, 0] < share)


def chest_wall(nuisance: Int[np.ndarray, "n"]) -> Wall:
    """Where the wall runs in each of these patches: 9 to 20 mm from the middle of the patch."""
    out_x, out_y = direction(uniforms(nuisance, "wall-side", 1)[:, 0])
    distance = spread(nuisance, "wall-distance", 9, 20)[:, 0]
    radius = spread(nuisance, "wall-radius", 35, 110)[:, 0]
    ribs = uniforms(nuisance, "rib", 1)[:, 0]
    place, length, thickness, depth, fat = (spread(nuisance, name, low, high)[:, 0] for name, low, high in _RIB)
    return Wall(
        x=(distance - radius) * out_x,
        y=(distance - radius) * out_y,
        radius=radius,
        along_x=-out_y,
        along_y=out_x,
        rib=np.where(ribs < 0.75, place, 1e4),
        rib_length=length,
        rib_thickness=thickness,
        rib_depth=depth,
        fat=fat,
    )


_RIB = (
    ("rib-place", -20.0, 20.0),
    ("rib-length", 6.0, 14.0),
    ("rib-thickness", 2.8, 4.2),
    ("rib-depth", 5.0, 7.5),
    ("wall-fat", 11.0, 18.0),
)


def wall_tissue(
    wall: Wall, blur: Float[np.ndarray, "n"], grid: Grid
) -> tuple[Float[Tensor, "n size size"], Float[Tensor, "n size size"]]:
    """Coverage by the chest wall, and its HU: muscle, a layer of fat beyond it, and ribs, bright at their rim."""
    x, y = grid.axes()

    def put(values: Float[np.ndarray, "n"]) -> Float[Tensor, "n 1 1"]:
        return column(values, grid.device)

    from_x, from_y = x - put(wall.x), y - put(wall.y)
    depth = (from_x * from_x + from_y * from_y).sqrt_().sub_(put(wall.radius))
    edge = put(blur)
    coverage = ramp(depth, edge)
    hu = ramp(depth - put(wall.fat), 2 * edge + 2).mul_(-140).add_(45)
    along = (x * put(wall.along_x) + y * put(wall.along_y)).sub_(put(wall.rib)).mul_(put(1 / wall.rib_length))
    across = (depth - put(wall.rib_depth)).mul_(put(1 / wall.rib_thickness))
    inside = 1 - (along.mul_(along)).add_(across.mul_(across)).sqrt_()
    bone = ramp(inside.mul_(put(wall.rib_thickness)), edge)
    marrow = ramp(inside.sub_(1.1), edge)
    return coverage, hu.add_(bone.mul_(650)).sub_(marrow.mul_(420))
