"""Random numbers and photons pixel by pixel, compiled for a processor in PyTorch's place.

Each function does the operations of its twin in PyTorch in the twin's order, so that results are the same bits;
exponentials, logarithms and the inverse of the normal distribution between them are PyTorch's own. Arrays are flat.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32, Float64, Int32

from assay.core.compiled import compiled


@compiled
def centre(bits: Int32[np.ndarray, "n"], out: Float32[np.ndarray, "n"]) -> None:
    """Write 2 u - 1 for uniform numbers u of 23 bits and a half: see `randomness.normals`."""
    half, step, one = np.float32(0.5), np.float32(2.0**-22), np.float32(1)
    for i in range(len(bits)):
        out[i] = (np.float32((bits[i] >> 9) & 0x7FFFFF) + half) * step - one


@compiled
def add_noise(
    images: Float32[np.ndarray, "n"], noise: Float32[np.ndarray, "n"], sigma: float, out: Float32[np.ndarray, "n"]
) -> None:
    """Write the sum of an image and noise times sigma, cut at 0 and 1."""
    zero, one, scale = np.float32(0), np.float32(1), np.float32(sigma)
    for i in range(len(images)):
        out[i] = min(max(images[i] + noise[i] * scale, zero), one)


@compiled
def attenuate(
    images: Float32[np.ndarray, "n"],
    dither: Int32[np.ndarray, "n"],
    top: float,
    slope: float,
    black: float,
    out: Float64[np.ndarray, "n"],
) -> None:
    """Write slope (x + u / top) - black for pixels x, with u uniform in (0, 1) by the bits of `dither`."""
    for i in range(len(images)):
        u = (np.float64(dither[i] ^ np.int32(-(2**31))) + (2.0**31 + 0.5)) * 2.0**-32
        out[i] = (np.float64(images[i]) + u / top) * slope - black


@compiled
def count(root: Float64[np.ndarray, "n"], chance: Float32[np.ndarray, "n"], scale: float, photons: float) -> None:
    """Replace `root` by counts over `photons`, at least 10^-8: Poisson counts of means (scale root)^2.

    chance: standard normal numbers that say which quantile. See `noise.poisson_quantile`.
    """
    a, b = np.float32(-1 / 72), np.float32(1 / 36)
    c, d, e = np.float32(1 / 270), np.float32(7 / 810), np.float32(8 / 405)
    third_of, sixth = np.float32(1 / 3), np.float32(1 / 6)
    for i in range(len(root)):
        r, w = root[i] * scale, chance[i]
        square, per_root = w * w, np.float32(1.0 / r)
        third = (square * a - b) * w
        fourth = (square * c + d) * square - e
        correction = ((fourth * per_root + third) * per_root + third_of) + square * sixth
        counted = np.floor((r + np.float64(w)) * r + np.float64(correction))
        root[i] = max(max(counted, 0.0) / photons, 1e-8)


@compiled
def read_back(
    seen: Float64[np.ndarray, "n"], black: float, slope: float, top: float, out: Float32[np.ndarray, "n"]
) -> None:
    """Write slope (x + black) for logarithms x, cut at 0 and 1 and to whole levels; `top` is the highest."""
    highest = np.float32(top)
    for i in range(len(seen)):
        pixel = min(max((seen[i] + black) * slope, 0.0), 1.0)
        out[i] = np.float32(np.floor(pixel * top)) / highest
