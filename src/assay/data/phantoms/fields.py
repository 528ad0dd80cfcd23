"""Smooth random fields on an image, batched, from lattices of white noise.

Everything is written as element-wise steps with a fixed order, since library convolutions and interpolations choose
their routine by the shape of the batch and so change a row's last bits with its neighbours.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from assay.data.phantoms.canvas import Grid, column
from assay.data.phantoms.counter import white_noise


def spline_zoom(lattice: Float[Tensor, "n a b"], size: int) -> Float[Tensor, "n size size"]:
    """The quadratic B-spline surface over a lattice, read at the pixel centres of a size x size image.

    The lattice needs one extra point on every side: its inner part spans the image, as cells of equal width.
    """
    # Along lines first, while there are few: picking columns apart is slow, picking lines is not.
    return _zoom_axis(_zoom_axis(lattice, size, 2), size, 1)


def lattice(
    nuisance: Int[np.ndarray, "n"], stream: str, cells: int, deviation: Float[np.ndarray, "n"], grid: Grid
) -> Float[Tensor, "n cells+2 cells+2"]:
    """White noise for `spline_zoom`, such that the surface has this standard deviation, in each row its own."""
    noise = white_noise(nuisance, stream, cells + 2, cells + 2, grid.device)
    return noise.mul_(column(deviation / float(zoom_gain(cells, grid.size)), grid.device))


def zoom_gain(
    cells: int, size: int, along_x: Float[np.ndarray, "n"] | float = 0.0, along_y: Float[np.ndarray, "n"] | float = 0.0
) -> Float[np.ndarray, "n"]:
    """The standard deviation that `spline_zoom` leaves of unit noise on `cells` inner points per side, over all pixels.

    along_x, along_y: strengths with which the noise had been softened, per row; 0 for white noise.
    """
    return np.sqrt(_axis_gain(cells, size, along_x) * _axis_gain(cells, size, along_y))


def _axis_gain(cells: int, size: int, side: Float[np.ndarray, "n"] | float) -> Float[np.ndarray, "n"]:
    """The variance left along one axis: the spline's weights against the correlation at one and two steps."""
    a, b, c = _spline_weights(cells, size)[1]
    centre = 1 - 2 * np.asarray(side)
    variance = centre * centre + 2 * side * np.asarray(side)
    next_one, next_two = 2 * side * centre / variance, side * np.asarray(side) / variance
    return (
        float((a * a + b * b + c * c).mean())
        + next_one * float(2 * (a * b + b * c).mean())
        + next_two * float(2 * (a * c).mean())
    )


def soften(
    field: Float[Tensor, "n a b"], along_x: Float[Tensor, "n"], along_y: Float[Tensor, "n"]
) -> Float[Tensor, "n a-2 b-2"]:
    """Three-tap smoothing (s, 1 - 2s, s) with a strength of each row's own per axis; the border of one is used up.

    Divided by its gain, so that unit white noise keeps its variance.
    """
    for axis, strength in ((1, along_y), (2, along_x)):
        side = strength[:, None, None]
        centre = 1 - 2 * side
        gain = torch.sqrt(centre * centre + 2 * (side * side))
        length = field.shape[axis] - 2
        outer = field.narrow(axis, 0, length) + field.narrow(axis, 2, length)
        field = outer.mul_(side / gain).add_(field.narrow(axis, 1, length) * (centre / gain))
    return field


def _zoom_axis(lattice: Float[Tensor, "n a b"], size: int, axis: int) -> Tensor:
    first, weights = _taps(lattice.shape[axis] - 2, size, str(lattice.device))
    shape = (1, size, 1) if axis == 1 else (1, 1, size)
    total = lattice.index_select(axis, first).mul_(weights[0].view(shape))
    for tap in (1, 2):
        total += lattice.index_select(axis, first + tap).mul_(weights[tap].view(shape))
    return total


@lru_cache(maxsize=64)
def _taps(cells: int, size: int, device: str) -> tuple[Int[Tensor, "size"], Float[Tensor, "3 size"]]:
    first, weights = _spline_weights(cells, size)
    return torch.as_tensor(first, device=device), torch.as_tensor(weights.astype(np.float32), device=device)


def _spline_weights(cells: int, size: int) -> tuple[Int[np.ndarray, "size"], Float[np.ndarray, "3 size"]]:
    """For each pixel the first of its three lattice points (in the padded lattice) and their weights."""
    position = (np.arange(size) + 0.5) * (cells / size)
    cell = np.minimum(np.floor(position), cells - 1)
    t = position - cell
    weights = np.stack([0.5 * (1 - t) ** 2, 0.5 + t * (1 - t), 0.5 * t**2])
    return cell.astype(np.int64), weights
