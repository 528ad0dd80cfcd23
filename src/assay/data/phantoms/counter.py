"""Random numbers that are a pure function of (row's nuisance seed, stream, position): nothing is ever drawn in turn.

A row's numbers then depend neither on its batch nor on its neighbours nor on which other numbers were asked for. Only
exactly defined operations are used (integers, and + - * / on floats), so that values are the same bits in any batch, in
any order and on any processor.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from assay.core.seeds import derive
from assay.data.phantoms.counter_kernel import hash_lattice

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
    """Wellons' `lowbias32` finaliser in place on int32; products wrap, and shifts are made unsigned by masking."""
    x ^= (x >> 16) & 0xFFFF
    x *= 0x7FEB352D
    x ^= (x >> 15) & 0x1FFFF
    x *= 0x846CA68B - 2**32
    x ^= (x >> 16) & 0xFFFF
    return x


def _mix(x: np.ndarray) -> np.ndarray:
    """The finaliser of SplitMix64 (Steele, Lea and Flood 2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
