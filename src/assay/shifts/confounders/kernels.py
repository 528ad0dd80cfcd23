"""Compiled loops for marks, blur and light on a processor."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float32, Int
from torch import Tensor

from assay.core.compiled import compiled

# Where compiled loops take the place of operations on whole arrays.


def at_hand(*tensors: Tensor) -> bool:
    """Whether these lie on a processor, of a type that loops are compiled for, and no gradient is asked for."""
    return all(
        tensor.device.type == "cpu" and tensor.dtype in (torch.float32, torch.int32) and not tensor.requires_grad
        for tensor in tensors
    )


# Marks drawn and painted pixel by pixel, compiled for a processor in PyTorch's place.
#
# Each function does the operations of its twin in PyTorch in the twin's order, in float32 unless said. Coverage
# differs from the twin's by at most what a last bit of a square root makes, since PyTorch does not round those as the
# standard asks. Arrays are C-contiguous; `corner` is y and x in the image of the first pixel of a canvas.

_FAR = np.float32(1e9)
_LANES = 32  # pixels of a line that are worked through at once: of fewer, loops are not made vectors


@compiled
def paint(
    images: Float32[np.ndarray, "b c h w"],
    coverage: Float32[np.ndarray, "b 1 i j"],
    color: Float32[np.ndarray, "c"],
    strength: float,
    corner: tuple[int, int],
) -> None:
    """Move pixels toward a color by `strength` times their coverage, in place.

    corner: y and x of the image's pixel that the first of the coverage is about.
    """
    zero, one, full = np.float32(0), np.float32(1), np.float32(strength)
    bits, wide = coverage.view(np.int32), coverage.shape[3]
    for row in range(len(images)):
        for i in range(coverage.shape[2]):
            any_bit, line = np.int32(0), bits[row, 0, i]
            for j in range(wide):
                any_bit |= line[j]
            if any_bit == 0:
                continue
            covered = coverage[row, 0, i]
            for channel in range(images.shape[1]):
                pixels, target = images[row, channel, corner[0] + i][corner[1] : corner[1] + wide], color[channel]
                for j in range(wide):
                    moved = (target - pixels[j]) * (full * covered[j]) + pixels[j]
                    pixels[j] = min(max(moved, zero), one)


@compiled
def paint_strokes(
    images: Float32[np.ndarray, "b c h w"],
    at: tuple[int, int],
    ends: Float32[np.ndarray, "4 b k"],
    radii: Float32[np.ndarray, "2 b k"],
    corner: tuple[int, int],
    shape: tuple[int, int],
    thinnest: float,
    color: Float32[np.ndarray, "c"],
    strength: float,
) -> None:
    """`paint` with the greatest coverage by k straight line segments per row. It visits only the pixels that they
    touch.

    Args:
        at: Where in the given images the canvas begins, y and x; its height and width are `shape`.
        ends: Where segments start and end, x, y, x, y.
        radii: At either end; or one radius [1, 1, 1] of all.
        thinnest: See `strokes`.
    """
    half, one, zero, two, three = np.float32(0.5), np.float32(1), np.float32(0), np.float32(2), np.float32(3)
    full, alike = np.float32(strength), radii.size == 1
    seen, weaker = zero, one
    if alike:
        seen, weaker = max(radii[0, 0, 0], np.float32(thinnest)), min(radii[0, 0, 0] / np.float32(thinnest), one)
    fields, touched = _scratch(shape, radii.size == 1)
    for row in range(len(images)):
        if alike:
            _gather_alike(fields[0], touched, ends[:, row], seen, corner, shape)
        else:
            _gather_each(fields, touched, ends[:, row], radii[:, row], corner, shape, thinnest)
        for i in range(shape[0]):
            for start in range(touched[i, 0], touched[i, 1], _LANES):
                line, weak = fields[0, i][start : start + _LANES], fields[1, i][start : start + _LANES]
                if alike:
                    for j in range(_LANES):
                        t = min(max(seen - np.sqrt(line[j]) + half, zero), one)
                        weak[j] = t * t * (three - two * t) * weaker
                else:
                    for j in range(_LANES):
                        t = min(max(line[j] + half, zero), one)
                        weak[j] = max(t * t * (three - two * t), weak[j])
                first = at[1] + start
                last = min(first + _LANES, at[1] + shape[1])
                for channel in range(images.shape[1]):
                    pixels, target = images[row, channel, at[0] + i][first:last], color[channel]
                    if last - first == _LANES:  # loops are faster where the compiler knows their length
                        for j in range(_LANES):
                            moved = (target - pixels[j]) * (full * weak[j]) + pixels[j]
                            pixels[j] = min(max(moved, zero), one)
                    else:
                        for j in range(last - first):
                            moved = (target - pixels[j]) * (full * weak[j]) + pixels[j]
                            pixels[j] = min(max(moved, zero), one)
                for j in range(_LANES):
                    line[j] = _FAR if alike else -_FAR
                    weak[j] = zero
            touched[i, 0], touched[i, 1] = shape[1], 0


@compiled
def _scratch(shape: tuple[int, int], alike: bool) -> tuple[Float32[np.ndarray, "2 h w2"], Int[np.ndarray, "h 2"]]:
    """Two fields in which nothing is near (of lines of one radius), or deep, or weakly covered.

    They are wider than the canvas, since many pixels are worked through at once. And the first and last column
    (excluded) of every line of pixels that something touches: none.
    """
    fields = np.zeros((2, shape[0], shape[1] + 2 * _LANES), dtype=np.float32)
    fields[0, :, :] = _FAR if alike else -_FAR
    touched = np.zeros((shape[0], 2), dtype=np.int64)
    touched[:, 0] = shape[1]
    return fields, touched


@compiled
def _gather_alike(
    field: Float32[np.ndarray, "h w2"],
    touched: Int[np.ndarray, "h 2"],
    ends: Float32[np.ndarray, "4 k"],
    seen: np.floating,
    corner: tuple[int, int],
    shape: tuple[int, int],
) -> None:
    """Write the square of each pixel's distance to the nearest segment, and the touched area."""
    half, one, zero = np.float32(0.5), np.float32(1), np.float32(0)
    top, left = corner
    for piece in range(ends.shape[1]):
        x, y = ends[0, piece], ends[1, piece]
        along_x, along_y = ends[2, piece] - x, ends[3, piece] - y
        square = along_x * along_x + along_y * along_y
        per = one / square if square > zero else zero
        column, after, upper, lower = _touch(touched, ends, piece, seen + half, corner, shape)
        for start in range(column, after, _LANES):
            for i in range(upper, lower):
                away_y, line = np.float32(i + top) + half - y, field[i][start : start + _LANES]
                for j in range(_LANES):
                    away_x = np.float32(j + (start + left)) + half - x
                    t = min(max((away_x * along_x + away_y * along_y) * per, zero), one)
                    rest_x, rest_y = away_x - t * along_x, away_y - t * along_y
                    line[j] = min(line[j], rest_x * rest_x + rest_y * rest_y)


@compiled
def _gather_each(
    fields: Float32[np.ndarray, "2 h w2"],
    touched: Int[np.ndarray, "h 2"],
    ends: Float32[np.ndarray, "4 k"],
    radii: Float32[np.ndarray, "2 k"],
    corner: tuple[int, int],
    shape: tuple[int, int],
    thinnest: float,
) -> None:
    """Write each pixel's greatest depth in a segment, and its coverage by those thin enough to be weakened."""
    half, one, zero, two, three = np.float32(0.5), np.float32(1), np.float32(0), np.float32(2), np.float32(3)
    top, left = corner
    least = np.float32(thinnest)
    for piece in range(ends.shape[1]):
        x, y = ends[0, piece], ends[1, piece]
        along_x, along_y = ends[2, piece] - x, ends[3, piece] - y
        square = along_x * along_x + along_y * along_y
        per = one / square if square > zero else zero
        radius, rise = radii[0, piece], radii[1, piece] - radii[0, piece]
        far = max(radii[0, piece], radii[1, piece], least) + half
        weak = min(radii[0, piece], radii[1, piece]) < least
        column, after, upper, lower = _touch(touched, ends, piece, far, corner, shape)
        for start in range(column, after, _LANES):
            for i in range(upper, lower):
                away_y = np.float32(i + top) + half - y
                if weak:
                    line = fields[1, i][start : start + _LANES]
                    for j in range(_LANES):
                        away_x = np.float32(j + (start + left)) + half - x
                        t = min(max((away_x * along_x + away_y * along_y) * per, zero), one)
                        rest_x, rest_y, own = away_x - t * along_x, away_y - t * along_y, radius + t * rise
                        depth = max(own, least) - np.sqrt(rest_x * rest_x + rest_y * rest_y)
                        t = min(max(depth + half, zero), one)
                        line[j] = max(line[j], t * t * (three - two * t) * min(own / least, one))
                else:
                    line = fields[0, i][start : start + _LANES]
                    for j in range(_LANES):
                        away_x = np.float32(j + (start + left)) + half - x
                        t = min(max((away_x * along_x + away_y * along_y) * per, zero), one)
                        rest_x, rest_y, own = away_x - t * along_x, away_y - t * along_y, radius + t * rise
                        line[j] = max(line[j], own - np.sqrt(rest_x * rest_x + rest_y * rest_y))


@compiled
def _touch(
    touched: Int[np.ndarray, "h 2"],
    ends: Float32[np.ndarray, "4 k"],
    piece: int,
    far: np.floating,
    corner: tuple[int, int],
    shape: tuple[int, int],
) -> tuple[int, int, int, int]:
    """Note the rectangle that a piece may touch: first and last column, first and last line, the last ones excluded."""
    half = np.float32(0.5)
    x, y = min(ends[0, piece], ends[2, piece]), min(ends[1, piece], ends[3, piece])
    beyond_x, beyond_y = max(ends[0, piece], ends[2, piece]), max(ends[1, piece], ends[3, piece])
    column, after = max(0, _below(x - far - half, corner[1])), min(shape[1], _below(beyond_x + far, corner[1]) + 1)
    upper, lower = max(0, _below(y - far - half, corner[0])), min(shape[0], _below(beyond_y + far, corner[0]) + 1)
    if column < after:
        for i in range(upper, lower):
            touched[i, 0], touched[i, 1] = min(touched[i, 0], column), max(touched[i, 1], after)
    return column, after, upper, lower


@compiled
def _below(place: float, first: int) -> int:
    """Return the pixel of a coordinate or the next, counted from a first one; far away for those near no image."""
    if not abs(place) < np.float32(2.0**24):  # NaN too
        return 2**24 if place > 0 else -(2**24)
    return int(place) - first


@compiled
def cover_box(
    canvas: Float32[np.ndarray, "b h w"],
    x: Float32[np.ndarray, "b"],
    y: Float32[np.ndarray, "b"],
    turn: Float32[np.ndarray, "2 b"],
    half: tuple[float, float, float],
    corner: tuple[int, int],
) -> None:
    """Write the coverage by a box per row into a canvas of zeros.

    half: half its width and height less its rounded corner, and that, in px.
    turn: cosine and sine of the angle by which each is turned clockwise. corner: see above.
    """
    middle, one, zero, two, three = np.float32(0.5), np.float32(1), np.float32(0), np.float32(2), np.float32(3)
    half_x, half_y, rounded = np.float32(half[0]), np.float32(half[1]), np.float32(half[2])
    reach = np.float32(np.hypot(half_x + rounded, half_y + rounded)) + one
    for row in range(len(canvas)):
        cosine, sine = turn[0, row], turn[1, row]
        first = max(0, _below(x[row] - reach, corner[1]))
        last = max(first, min(canvas.shape[2], _below(x[row] + reach, corner[1]) + 1))
        lowest, highest = max(0, _below(y[row] - reach, corner[0])), _below(y[row] + reach, corner[0]) + 1
        for i in range(lowest, min(canvas.shape[1], highest)):
            away_y, out = np.float32(i + corner[0]) + middle - y[row], canvas[row, i][first:last]
            for j in range(len(out)):
                away_x = np.float32(j + (first + corner[1])) + middle - x[row]
                out_x = abs(away_x * cosine + away_y * sine) - half_x
                out_y = abs(away_y * cosine - away_x * sine) - half_y
                beyond_x, beyond_y = max(out_x, zero), max(out_y, zero)
                outside = np.sqrt(beyond_x * beyond_x + beyond_y * beyond_y)
                depth = rounded - outside - min(max(out_x, out_y), zero)
                t = min(max(depth + middle, zero), one)
                out[j] = t * t * (three - two * t)


@compiled
def paint_surround(
    images: Float32[np.ndarray, "b c h w"],
    x: Float32[np.ndarray, "b"],
    y: Float32[np.ndarray, "b"],
    radius: float,
    softness: float,
    within: tuple[int, int, int, int],
    color: Float32[np.ndarray, "c"],
    strength: float,
) -> None:
    """`paint` with the outside of a circle per row.

    Args:
        within: Top, left, height and width of the window.
    """
    half, one, zero, two, three = np.float32(0.5), np.float32(1), np.float32(0), np.float32(2), np.float32(3)
    reach, per_pixel, full = np.float32(radius), one / np.float32(softness), np.float32(strength)
    top, left, height, width = within
    for row in range(len(images)):
        for i in range(top, top + height):
            away = np.float32(i) + half - y[row]
            square = away * away
            for channel in range(images.shape[1]):
                pixels, target = images[row, channel, i][left : left + width], color[channel]
                for j in range(width):
                    across = np.float32(j + left) + half - x[row]
                    depth = np.sqrt(across * across + square) - reach
                    t = min(max(depth * per_pixel + half, zero), one)
                    moved = (target - pixels[j]) * (full * (t * t * (three - two * t))) + pixels[j]
                    pixels[j] = min(max(moved, zero), one)


@compiled
def paint_frame(
    images: Float32[np.ndarray, "b c h w"],
    along: Float32[np.ndarray, "b w2"],
    down: Float32[np.ndarray, "b h2"],
    corner: tuple[int, int],
    color: Float32[np.ndarray, "c"],
    strength: float,
) -> None:
    """`paint` with the greater of a coverage along x and one along y."""
    zero, one, full = np.float32(0), np.float32(1), np.float32(strength)
    wide = along.shape[1]
    for row in range(len(images)):
        for i in range(down.shape[1]):
            across, above = along[row], down[row, i]
            for channel in range(images.shape[1]):
                pixels, target = images[row, channel, corner[0] + i][corner[1] : corner[1] + wide], color[channel]
                for j in range(wide):
                    moved = (target - pixels[j]) * (full * max(across[j], above)) + pixels[j]
                    pixels[j] = min(max(moved, zero), one)


@compiled
def stamp(images: Float32[np.ndarray, "b c n"], at: Int[np.ndarray, "b k"], contrast: float) -> None:
    """Write x + contrast (1 - x) at k pixels of every row, in all channels."""
    one, strength = np.float32(1), np.float32(contrast)
    for row in range(len(images)):
        for channel in range(images.shape[1]):
            pixels = images[row, channel]
            for i in range(at.shape[1]):
                place = at[row, i]
                pixels[place] += strength * (one - pixels[place])


# Blur and uneven light, compiled for a processor in PyTorch's place.
#
# Each function does the operations of its twin in PyTorch in the twin's order, in float32. A blur takes a quarter of
# the twin's time, to the same bits. `light` has an exponential of its own, which differs from the twin's in last bits.
# Arrays are C-contiguous.


@compiled
def smooth_along(
    images: Float32[np.ndarray, "n h w"],
    out: Float32[np.ndarray, "n h w"],
    weights: Float32[np.ndarray, "k"],
    beyond: Int[np.ndarray, "w2"],
) -> None:
    """Write the sum over shifts of 0, 1, ... px either way along each line.

    beyond: for places from as many px before a line as there are shifts, the index of the pixel used there.
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
    """Multiply in place by exp(f), cut at 0 and 1. exp(f) is right to 2 units of the last bit.

    f is the sum of k products of `down`, which varies along y, and `along`, which varies along x. exp(f) is 2^n exp(r)
    with |r| at most half of ln 2, and exp(r) its series to r^7.
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
