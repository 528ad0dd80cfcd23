"""Counter-based random numbers and random fields, equal on every machine."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float, Int, UInt32
from torch import Tensor

from assay.core.compiled import compiled
from assay.core.seeds import derive
from assay.data.phantoms.drawing import Grid, direction

# The hash behind `counter.lattice_bits`, compiled for a processor.


@compiled
def hash_lattice(
    keys: UInt32[np.ndarray, "n"], codes: UInt32[np.ndarray, "count"], out: UInt32[np.ndarray, "n count"]
) -> None:
    """Write Wellons' `lowbias32` finalizer of every key with every code."""
    half, other = np.uint32(16), np.uint32(15)
    first, second = np.uint32(0x7FEB352D), np.uint32(0x846CA68B)
    for row in range(len(keys)):
        bits, key = out[row], keys[row]
        for i in range(len(codes)):
            x = np.uint32(key ^ codes[i])
            x = np.uint32(np.uint32(x ^ np.uint32(x >> half)) * first)
            x = np.uint32(np.uint32(x ^ np.uint32(x >> other)) * second)
            bits[i] = np.uint32(x ^ np.uint32(x >> half))


# Random numbers that are a pure function of (row's nuisance seed, stream, position): nothing is ever drawn in turn.
#
# A row's numbers then depend neither on its batch nor on its neighbors nor on which other numbers were asked for. Only
# exactly defined operations are used (integers, and + - * / on floats), so that values are the same bits in any batch,
# in any order and on any processor.

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def uniforms(nuisance: Int[np.ndarray, "n"], stream: str, count: int) -> Float[np.ndarray, "n count"]:
    """`count` uniform numbers in [0, 1) per row, float64, that depend on (row's seed, stream, position) alone."""
    with np.errstate(over="ignore"):
        position = np.arange(1, count + 1, dtype=np.uint64) * _GOLDEN
        bits = _mix(_row_key(nuisance, stream)[:, None] + position)
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53


def spread(
    nuisance: Int[np.ndarray, "n"], stream: str, low: float, high: float, count: int = 1
) -> Float[np.ndarray, "n count"]:
    """`count` numbers per row, uniform between `low` and `high`."""
    return low + (high - low) * uniforms(nuisance, stream, count)


@dataclass(frozen=True, slots=True)
class Draw:
    """Random numbers of some rows in streams whose names begin alike."""

    nuisance: Int[np.ndarray, "n"]
    prefix: str = ""

    def __call__(self, name: str, low: float = 0.0, high: float = 1.0, *shape: int) -> Float[np.ndarray, "n *shape"]:
        """Numbers uniform between `low` and `high`: one per row, or as many as this shape holds."""
        numbers = uniforms(self.nuisance, self.prefix + name, math.prod(shape)).reshape(len(self.nuisance), *shape)
        return numbers if (low, high) == (0, 1) else low + (high - low) * numbers

    def turned(self, name: str, *shape: int) -> tuple[np.ndarray, np.ndarray]:
        """Cosine and sine of any direction."""
        return direction(self(name, 0, 1, *shape))


def white_noise(
    nuisance: Int[np.ndarray, "n"], stream: str, height: int, width: int, device: str
) -> Float[Tensor, "n height width"]:
    """Independent, nearly Gaussian noise of mean 0 and variance 1 on a lattice: the sum of four bytes of a 32-bit hash.

    Its excess kurtosis is -0.3 and it ends at 3.45 standard deviations; any smoothing brings it closer to a Gaussian.
    """
    keys = torch.as_tensor(
        (_row_key(nuisance, stream) >> np.uint64(32)).astype(np.uint32).view(np.int32), device=device
    )
    x = lattice_bits(keys, height * width)
    pairs = (x & 0x00FF00FF) + ((x >> 8) & 0x00FF00FF)
    total = (pairs & 0xFFFF) + (pairs >> 16)
    return total.to(torch.float32).sub_(_BYTES_MEAN).mul_(_BYTES_SCALE).view(-1, height, width)


def lattice_bits(keys: Int[Tensor, "n"], count: int) -> Int[Tensor, "n count"]:
    """32 random bits (int32) per key and lattice point, on the keys' device: a hash of both, nothing else.

    keys: int32, well mixed themselves, such as `core.seeds.row_seed` gives them.
    """
    codes = _lattice_codes(count, str(keys.device))
    if keys.device.type != "cpu":
        return _hash32_(keys[:, None] ^ codes)
    out = torch.empty(len(keys), count, dtype=torch.int32)
    hash_lattice(*(part.numpy().view(np.uint32) for part in (keys.to(torch.int32).contiguous(), codes, out)))
    return out


_BYTES_MEAN = 4 * 127.5
_BYTES_SCALE = float(1.0 / np.sqrt(4 * (256**2 - 1) / 12))


def _row_key(nuisance: Int[np.ndarray, "n"], stream: str) -> np.ndarray:
    with np.errstate(over="ignore"):
        return _mix(nuisance.astype(np.uint64) * _GOLDEN + np.uint64(derive(0, "phantom", stream)))


@lru_cache(maxsize=32)
def _lattice_codes(count: int, device: str) -> Int[Tensor, "count"]:
    """One well-mixed 32-bit code per lattice point."""
    with np.errstate(over="ignore"):
        codes = _mix(np.arange(1, count + 1, dtype=np.uint64) * _GOLDEN)
    return torch.as_tensor((codes >> np.uint64(32)).astype(np.uint32).view(np.int32), device=device)


def _hash32_(x: Int[Tensor, "..."]) -> Int[Tensor, "..."]:
    """Wellons' `lowbias32` finalizer in place on int32; products wrap, and shifts are made unsigned by masking."""
    x ^= (x >> 16) & 0xFFFF
    x *= 0x7FEB352D
    x ^= (x >> 15) & 0x1FFFF
    x *= 0x846CA68B - 2**32
    x ^= (x >> 16) & 0xFFFF
    return x


def _mix(x: np.ndarray) -> np.ndarray:
    """The finalizer of SplitMix64 (Steele, Lea and Flood 2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


# Smooth random fields on an image, batched, from lattices of white noise.
#
# Everything is written as element-wise steps with a fixed order, since library convolutions and interpolations choose
# their routine by the shape of the batch and so change a row's last bits with its neighbors.


def spline_zoom(lattice: Float[Tensor, "n a b"], size: int) -> Float[Tensor, "n size size"]:
    """The quadratic B-spline surface over a lattice, read at the pixel centers of a size x size image.

    The lattice needs one extra point on every side: its inner part spans the image, as cells of equal width.
    """
    # Along lines first, while there are few: picking columns apart is slow, picking lines is not.
    return _zoom_axis(_zoom_axis(lattice, size, 2), size, 1)


def lattice(
    nuisance: Int[np.ndarray, "n"], stream: str, cells: int, deviation: Float[np.ndarray, "n"], grid: Grid
) -> Float[Tensor, "n cells+2 cells+2"]:
    """White noise for `spline_zoom`, such that the surface has this standard deviation, in each row its own."""
    noise = white_noise(nuisance, stream, cells + 2, cells + 2, grid.device)
    return noise.mul_(grid.put(deviation / float(zoom_gain(cells, grid.size))))


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
    center = 1 - 2 * np.asarray(side)
    variance = center * center + 2 * side * np.asarray(side)
    next_one, next_two = 2 * side * center / variance, side * np.asarray(side) / variance
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
        center = 1 - 2 * side
        gain = torch.sqrt(center * center + 2 * (side * side))
        length = field.shape[axis] - 2
        outer = field.narrow(axis, 0, length) + field.narrow(axis, 2, length)
        field = outer.mul_(side / gain).add_(field.narrow(axis, 1, length) * (center / gain))
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
