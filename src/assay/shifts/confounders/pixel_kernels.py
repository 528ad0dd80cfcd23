"""Changes of brightness and detail, pixel by pixel, compiled for a processor in PyTorch's place.

Each function does the operations of its twin in PyTorch in the twin's order, in float32 unless said. Results are
the same bits, but for the exponential of `light`. Arrays are C-contiguous.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32, Float64, Int

from assay.core.compiled import compiled


@compiled
def stretch(images: Float32[np.ndarray, "n w"], out: Float32[np.ndarray, "n w"], factor: float, pivot: float) -> None:
    """Write pivot + factor (x - pivot), cut at 0 and 1."""
    zero, one, steep, about = np.float32(0), np.float32(1), np.float32(factor), np.float32(pivot)
    for i in range(len(images)):
        pixels, made = images[i], out[i]
        for j in range(len(pixels)):
            made[j] = min(max((pixels[j] - about) * steep + about, zero), one)


@compiled
def smooth_along(
    images: Float32[np.ndarray, "n h w"],
    out: Float32[np.ndarray, "n h w"],
    weights: Float32[np.ndarray, "k"],
    beyond: Int[np.ndarray, "w2"],
) -> None:
    """Write the sum over shifts of 0, 1, ... px either way along each line.

    beyond: for places from as many px before a line as there are shifts, the pixel that stands there.
    """
    for row in range(len(images)):
        _along(images[row], out[row], weights, beyond)


@compiled
def smooth_down(
    images: Float32[np.ndarray, "n h w"],
    out: Float32[np.ndarray, "n h w"],
    weights: Float32[np.ndarray, "k"],
    beyond: Int[np.ndarray, "h2"],
) -> None:
    """As `smooth_along`, along each column."""
    for row in range(len(images)):
        _down(images[row], out[row], weights, beyond)


@compiled
def smooth_both(
    images: Float32[np.ndarray, "n h w"],
    out: Float32[np.ndarray, "n h w"],
    weights: Float32[np.ndarray, "k"],
    beyond_down: Int[np.ndarray, "h2"],
    beyond_along: Int[np.ndarray, "w2"],
) -> None:
    """`smooth_down`, then `smooth_along`, image by image."""
    tall = np.empty(images.shape[1:], dtype=np.float32)
    for row in range(len(images)):
        _down(images[row], tall, weights, beyond_down)
        _along(tall, out[row], weights, beyond_along)


@compiled
def _along(
    image: Float32[np.ndarray, "h w"],
    out: Float32[np.ndarray, "h w"],
    weights: Float32[np.ndarray, "k"],
    beyond: Int[np.ndarray, "w2"],
) -> None:
    length, reach = image.shape[1], len(weights) - 1
    wide = np.empty(length + 2 * reach, dtype=np.float32)
    for i in range(len(image)):
        for j in range(len(wide)):
            wide[j] = image[i, beyond[j]]
        made, middle, weight = out[i], wide[reach : reach + length], weights[0]
        for j in range(length):
            made[j] = middle[j] * weight
        for step in range(1, reach - 1, 3):  # three at once: what is made is read and written a third as often
            one, two, three = weights[step], weights[step + 1], weights[step + 2]
            a, b, c = wide[reach - step :], wide[reach - step - 1 :], wide[reach - step - 2 :]
            d, e, f = wide[reach + step :], wide[reach + step + 1 :], wide[reach + step + 2 :]
            for j in range(length):
                made[j] = ((made[j] + (a[j] + d[j]) * one) + (b[j] + e[j]) * two) + (c[j] + f[j]) * three
        for step in range(reach - reach % 3 + 1, reach + 1):
            lower, upper, weight = wide[reach - step :], wide[reach + step :], weights[step]
            for j in range(length):
                made[j] += (lower[j] + upper[j]) * weight


@compiled
def _down(
    image: Float32[np.ndarray, "h w"],
    out: Float32[np.ndarray, "h w"],
    weights: Float32[np.ndarray, "k"],
    beyond: Int[np.ndarray, "h2"],
) -> None:
    reach = len(weights) - 1
    for i in range(len(image)):
        made, middle, weight = out[i], image[i], weights[0]
        for j in range(len(made)):
            made[j] = middle[j] * weight
        for step in range(1, reach - 1, 3):
            one, two, three = weights[step], weights[step + 1], weights[step + 2]
            above, below = reach + i - step, reach + i + step
            a, b, c = image[beyond[above]], image[beyond[above - 1]], image[beyond[above - 2]]
            d, e, f = image[beyond[below]], image[beyond[below + 1]], image[beyond[below + 2]]
            for j in range(len(made)):
                made[j] = ((made[j] + (a[j] + d[j]) * one) + (b[j] + e[j]) * two) + (c[j] + f[j]) * three
        for step in range(reach - reach % 3 + 1, reach + 1):
            lower, upper, weight = image[beyond[reach + i - step]], image[beyond[reach + i + step]], weights[step]
            for j in range(len(made)):
                made[j] += (lower[j] + upper[j]) * weight


@compiled
def light(
    images: Float32[np.ndarray, "b c h w"], down: Float32[np.ndarray, "b k h"], along: Float32[np.ndarray, "k w"]
) -> None:
    """Multiply in place by exp(f), cut at 0 and 1. f: the sum of k products of what varies along y and what along x.

    exp(f) is 2^n exp(r) with |r| at most half of ln 2, and exp(r) its series to r^7: right to 2 units of the last bit.
    """
    zero, one, half = np.float32(0), np.float32(1), np.float32(0.5)
    per_ln2, ln2_high, ln2_low = np.float32(1.44269504), np.float32(0.693359375), np.float32(-2.12194440e-4)
    c3, c4, c5 = np.float32(1 / 6), np.float32(1 / 24), np.float32(1 / 120)
    c6, c7 = np.float32(1 / 720), np.float32(1 / 5040)
    wide = along.shape[1]
    field, bits = np.empty(wide, dtype=np.float32), np.empty(wide, dtype=np.int32)
    power = bits.view(np.float32)
    for row in range(len(images)):
        for i in range(images.shape[2]):
            for j in range(wide):
                field[j] = zero
            for term in range(len(along)):
                weight, values = down[row, term, i], along[term]
                for j in range(wide):
                    field[j] += weight * values[j]
            for j in range(wide):
                n = np.floor(field[j] * per_ln2 + half)
                bits[j] = (np.int32(n) + 127) << 23  # 2^n
                r = field[j] - n * ln2_high - n * ln2_low
                high = c3 + r * (c4 + r * (c5 + r * (c6 + r * c7)))
                field[j] = one + r * (one + r * (half + r * high))
            for channel in range(images.shape[1]):
                pixels = images[row, channel, i]
                for j in range(wide):
                    pixels[j] = min(max(pixels[j] * (field[j] * power[j]), zero), one)


@compiled
def match(
    images: Float32[np.ndarray, "b c n"],
    grey: Float32[np.ndarray, "b n"],
    quantiles: Float64[np.ndarray, "q"],
    strength: float,
    levels: int,
) -> None:
    """Move the pixels of each row in place, all channels by `strength` times what their grey value lacks of its target.

    The target of a value is the quantile at its rank: the share of the pixels below the brightest that are darker.
    grey: 0..1; values of one level of so many have one rank. A row of a single level stays as it is.
    """
    zero, one, part, top = np.float32(0), np.float32(1), np.float32(strength), np.float32(levels - 1)
    counts, target = np.empty(levels, dtype=np.int32), np.empty(levels, dtype=np.float32)
    level = np.empty(grey.shape[1], dtype=np.int32)
    steps = len(quantiles) - 1
    for row in range(len(grey)):
        counts[:] = 0
        values = grey[row]
        for j in range(len(level)):
            place = values[j] * top
            level[j] = np.rint(min(place, top)) if place > 0 else 0  # NaN too: it says nothing of where it belongs
        for j in range(len(level)):
            counts[level[j]] += 1
        below = len(level)
        for value in range(levels - 1, -1, -1):
            if counts[value]:
                below -= counts[value]
                break
        if below == 0:
            continue
        darker = 0
        for value in range(levels):
            if counts[value]:
                position = darker / below * steps
                first = min(int(position), steps - 1)
                rise = quantiles[first + 1] - quantiles[first]
                target[value] = np.float32((position - first) * rise + quantiles[first])
                darker += counts[value]
        for channel in range(images.shape[1]):
            pixels = images[row, channel]
            for j in range(len(pixels)):
                pixels[j] = min(max(pixels[j] + part * (target[level[j]] - values[j]), zero), one)
