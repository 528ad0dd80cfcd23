"""Marks drawn and painted pixel by pixel, compiled for a processor in PyTorch's place.

Each function does the operations of its twin in PyTorch in the twin's order, in float32 unless said. Coverage
differs from the twin's by at most what a last bit of a square root makes, since PyTorch does not round those as the
standard asks. Arrays are C-contiguous; `corner` is y and x in the image of the first pixel of a canvas.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float32, Float64, Int

from assay.core.compiled import compiled

_FAR = np.float32(1e9)
_LANES = 32  # pixels of a line that are worked through at once: of fewer, loops are not made vectors


@compiled
def paint(
    images: Float32[np.ndarray, "b c h w"],
    coverage: Float32[np.ndarray, "b 1 i j"],
    colour: Float32[np.ndarray, "c"],
    strength: float,
    corner: tuple[int, int],
) -> None:
    """Move pixels towards a colour by `strength` times their coverage, in place.

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
                pixels, target = images[row, channel, corner[0] + i][corner[1] : corner[1] + wide], colour[channel]
                for j in range(wide):
                    moved = (target - pixels[j]) * (full * covered[j]) + pixels[j]
                    pixels[j] = min(max(moved, zero), one)


@compiled
def cover_discs(
    canvas: Float32[np.ndarray, "b h w"],
    x: Float32[np.ndarray, "b k"],
    y: Float32[np.ndarray, "b k"],
    radius: float,
    corner: tuple[int, int],
    thinnest: float,
) -> None:
    """Write the greatest coverage by k discs of one radius per row into a canvas of zeros.

    corner: y and x of the canvas's first pixel in the image. thinnest: see `strokes`. Coverage falls with the distance,
    so that of each pixel to the nearest middle is found first.
    """
    half, one, zero, two, three = np.float32(0.5), np.float32(1), np.float32(0), np.float32(2), np.float32(3)
    top, left = corner
    height, width = canvas.shape[1:]
    seen = np.float32(max(radius, thinnest))
    weaker = min(np.float32(radius) / np.float32(thinnest), one)
    far = seen + half
    span = _LANES * (int(2 * far + 1) // _LANES + 1)
    nearest = np.full((height, width + span), _FAR)
    for row in range(len(x)):
        first, last, begin, end = height, 0, width, 0
        for point in range(x.shape[1]):
            middle_x, middle_y = x[row, point], y[row, point]
            column, after = max(0, _below(middle_x - far - half, left)), min(width, _below(middle_x + far, left) + 1)
            upper, lower = max(0, _below(middle_y - far, top)), min(height, _below(middle_y + far, top) + 1)
            if column >= after or upper >= lower:
                continue
            first, last, begin, end = min(first, upper), max(last, lower), min(begin, column), max(end, after)
            for start in range(column, column + span, _LANES):
                for i in range(upper, lower):
                    away = np.float32(i + top) + half - middle_y
                    square, line = away * away, nearest[i][start : start + _LANES]
                    for j in range(_LANES):
                        across = np.float32(j + (start + left)) + half - middle_x
                        line[j] = min(line[j], across * across + square)
        for i in range(first, last):
            line, out = nearest[i][begin:end], canvas[row, i][begin:end]
            for j in range(len(out)):
                t = min(max(seen - np.sqrt(line[j]) + half, zero), one)
                out[j] = t * t * (three - two * t) * weaker
            nearest[i][begin : end + span] = _FAR


@compiled
def cover_discs_each(
    canvas: Float32[np.ndarray, "b h w"],
    x: Float32[np.ndarray, "b k"],
    y: Float32[np.ndarray, "b k"],
    radii: Float32[np.ndarray, "b k"],
    corner: tuple[int, int],
    thinnest: float,
) -> None:
    """As `cover_discs`, each disc with a radius of its own.

    Of discs that are not weakened the greatest depth is found first; the coverage of the others, one by one.
    """
    half, one, zero, two, three = np.float32(0.5), np.float32(1), np.float32(0), np.float32(2), np.float32(3)
    top, left = corner
    height, width = canvas.shape[1:]
    least = np.float32(thinnest)
    span = _LANES * (int(2 * (max(radii.max() if radii.size else zero, least) + half) + 1) // _LANES + 1)
    depths, weak = np.full((height, width + span), -_FAR), np.full((height, width + span), zero)
    for row in range(len(x)):
        first, last, begin, end = height, 0, width, 0
        for point in range(x.shape[1]):
            middle_x, middle_y, radius = x[row, point], y[row, point], radii[row, point]
            seen, weaker = max(radius, least), min(radius / least, one)
            far = seen + half
            column, after = max(0, _below(middle_x - far - half, left)), min(width, _below(middle_x + far, left) + 1)
            upper, lower = max(0, _below(middle_y - far, top)), min(height, _below(middle_y + far, top) + 1)
            if column >= after or upper >= lower:
                continue
            first, last, begin, end = min(first, upper), max(last, lower), min(begin, column), max(end, after)
            for start in range(column, column + span, _LANES):
                for i in range(upper, lower):
                    away = np.float32(i + top) + half - middle_y
                    square = away * away
                    if weaker == one:
                        line = depths[i][start : start + _LANES]
                        for j in range(_LANES):
                            across = np.float32(j + (start + left)) + half - middle_x
                            line[j] = max(line[j], seen - np.sqrt(across * across + square))
                    else:
                        line = weak[i][start : start + _LANES]
                        for j in range(_LANES):
                            across = np.float32(j + (start + left)) + half - middle_x
                            t = min(max(seen - np.sqrt(across * across + square) + half, zero), one)
                            line[j] = max(line[j], t * t * (three - two * t) * weaker)
        for i in range(first, last):
            line, weakened, out = depths[i][begin:end], weak[i][begin:end], canvas[row, i][begin:end]
            for j in range(len(out)):
                t = min(max(line[j] + half, zero), one)
                out[j] = max(t * t * (three - two * t), weakened[j])
            depths[i][begin : end + span] = -_FAR
            weak[i][begin : end + span] = zero


@compiled
def _below(place: float, first: int) -> int:
    """The pixel in which a place lies, counted from a first one; far away for what is no place near an image."""
    return math.floor(min(max(place, np.float32(-(2.0**24))), np.float32(2.0**24))) - first


@compiled
def bent(
    start: Float64[np.ndarray, "b k"],
    bend: Float64[np.ndarray, "b k"],
    end: Float64[np.ndarray, "b k"],
    t: Float32[np.ndarray, "s"],
    out: Float32[np.ndarray, "b k s"],
) -> None:
    """Write one coordinate of k quadratic Bezier curves per row at the places t in 0..1."""
    one, two = np.float32(1), np.float32(2)
    for row in range(len(start)):
        for line in range(start.shape[1]):
            first, middle, last, places = start[row, line], bend[row, line], end[row, line], out[row, line]
            for i in range(len(t)):
                u = one - t[i]
                places[i] = first * (u * u) + middle * (two * t[i] * u) + last * (t[i] * t[i])


@compiled
def between(
    start: Float64[np.ndarray, "b k"],
    end: Float64[np.ndarray, "b k"],
    t: Float32[np.ndarray, "s"],
    out: Float32[np.ndarray, "b k s"],
) -> None:
    """Write one coordinate of k straight lines per row at the places t in 0..1."""
    for row in range(len(start)):
        for line in range(start.shape[1]):
            first, rise, places = start[row, line], end[row, line] - start[row, line], out[row, line]
            for i in range(len(t)):
                places[i] = first + t[i] * rise


@compiled
def cover_box(
    canvas: Float32[np.ndarray, "b h w"],
    x: Float32[np.ndarray, "b"],
    y: Float32[np.ndarray, "b"],
    turn: Float32[np.ndarray, "2 b"],
    half: tuple[float, float, float],
    corner: tuple[int, int],
) -> None:
    """Write the coverage by a box per row. half: half its width and height less its rounded corner, and that, in px.

    turn: cosine and sine of the angle by which each is turned clockwise. corner: as of `cover_discs`.
    """
    middle, one, zero, two, three = np.float32(0.5), np.float32(1), np.float32(0), np.float32(2), np.float32(3)
    half_x, half_y, rounded = np.float32(half[0]), np.float32(half[1]), np.float32(half[2])
    for row in range(len(canvas)):
        cosine, sine = turn[0, row], turn[1, row]
        for i in range(canvas.shape[1]):
            away_y, out = np.float32(i + corner[0]) + middle - y[row], canvas[row, i]
            for j in range(len(out)):
                away_x = np.float32(j + corner[1]) + middle - x[row]
                out_x = abs(away_x * cosine + away_y * sine) - half_x
                out_y = abs(away_y * cosine - away_x * sine) - half_y
                beyond_x, beyond_y = max(out_x, zero), max(out_y, zero)
                outside = np.sqrt(beyond_x * beyond_x + beyond_y * beyond_y)
                depth = rounded - outside - min(max(out_x, out_y), zero)
                t = min(max(depth + middle, zero), one)
                out[j] = t * t * (three - two * t)


@compiled
def cover_surround(
    canvas: Float32[np.ndarray, "b h w"],
    x: Float32[np.ndarray, "b"],
    y: Float32[np.ndarray, "b"],
    radius: float,
    softness: float,
) -> None:
    """Write the coverage by all that lies outside a circle per row; its edge is `softness` px wide."""
    half, one, zero, two, three = np.float32(0.5), np.float32(1), np.float32(0), np.float32(2), np.float32(3)
    reach, per_pixel = np.float32(radius), one / np.float32(softness)
    for row in range(len(canvas)):
        for i in range(canvas.shape[1]):
            away, out = np.float32(i) + half - y[row], canvas[row, i]
            square = away * away
            for j in range(len(out)):
                across = np.float32(j) + half - x[row]
                depth = np.sqrt(across * across + square) - reach
                t = min(max(depth * per_pixel + half, zero), one)
                out[j] = t * t * (three - two * t)


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
