"""Compiled loops that draw marks: straight lines with round ends, turned boxes, and paint.

OpenCV draws lines with edges of one fixed width, and takes 3 to 7 times as long (`benchmarks/confounders.py`). Images
and canvases are C-contiguous; `top` and `left` are the image's pixel that the first of a canvas is about.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32

from assay.core.compiled import compiled


@compiled
def paint(
    image: Float32[np.ndarray, "c h w"],
    coverage: Float32[np.ndarray, "i j"],
    color: Float32[np.ndarray, "c"],
    strength: float,
    top: int,
    left: int,
) -> None:
    """Move pixels toward a color by `strength` times their coverage, in place; the result is clipped to 0..1."""
    zero, one, full, wide = np.float32(0), np.float32(1), np.float32(strength), coverage.shape[1]
    for channel in range(len(image)):
        target = color[channel]
        for i in range(len(coverage)):
            pixels, covered = image[channel, top + i][left : left + wide], coverage[i]
            for j in range(wide):
                pixels[j] = min(max((target - pixels[j]) * (full * covered[j]) + pixels[j], zero), one)


@compiled
def segments(
    canvas: Float32[np.ndarray, "h w"],
    ends: Float32[np.ndarray, "4 k"],
    radii: Float32[np.ndarray, "2 k"],
    thinnest: float,
    top: int,
    left: int,
) -> None:
    """Raise a canvas to the coverage by k lines, the greatest of which counts.

    Args:
        ends: Start and end, x, y, x, y in px from the image's corner.
        radii: At either end, px; linear in between.
        thinnest: A thinner line is drawn with this radius, and as much fainter as it is thinner.
    """
    half, one, zero, two, three = np.float32(0.5), np.float32(1), np.float32(0), np.float32(2), np.float32(3)
    least = np.float32(thinnest)
    for piece in range(ends.shape[1]):
        x, y, to_x, to_y = ends[0, piece], ends[1, piece], ends[2, piece], ends[3, piece]
        along_x, along_y = to_x - x, to_y - y
        square = along_x * along_x + along_y * along_y
        per = one / square if square > zero else zero
        radius, rise = radii[0, piece], radii[1, piece] - radii[0, piece]
        far = max(radii[0, piece], radii[1, piece], least) + half
        first, last = _span(min(x, to_x) - far - half, max(x, to_x) + far, left, canvas.shape[1])
        upper, lower = _span(min(y, to_y) - far - half, max(y, to_y) + far, top, canvas.shape[0])
        for i in range(upper, lower):
            away_y, line = np.float32(i + top) + half - y, canvas[i][first:last]
            for j in range(len(line)):
                away_x = np.float32(j + (first + left)) + half - x
                t = min(max((away_x * along_x + away_y * along_y) * per, zero), one)
                rest_x, rest_y, own = away_x - t * along_x, away_y - t * along_y, radius + t * rise
                depth = max(own, least) - np.sqrt(rest_x * rest_x + rest_y * rest_y)
                t = min(max(depth + half, zero), one)
                line[j] = max(line[j], t * t * (three - two * t) * min(own / least, one))


@compiled
def box(
    canvas: Float32[np.ndarray, "h w"],
    middle: tuple[float, float],
    turn: tuple[float, float],
    half: tuple[float, float, float],
    top: int,
    left: int,
) -> None:
    """Write the coverage by a box with round corners into a canvas of zeros.

    Args:
        middle: Its x and y, px.
        turn: Cosine and sine of the angle by which it is turned clockwise.
        half: Half its width and height less the radius of its corners, and that radius, px.
    """
    center, one, zero, two, three = np.float32(0.5), np.float32(1), np.float32(0), np.float32(2), np.float32(3)
    x, y, cosine, sine = np.float32(middle[0]), np.float32(middle[1]), np.float32(turn[0]), np.float32(turn[1])
    half_x, half_y, rounded = np.float32(half[0]), np.float32(half[1]), np.float32(half[2])
    reach = np.float32(np.hypot(half_x + rounded, half_y + rounded)) + one
    first, last = _span(x - reach, x + reach, left, canvas.shape[1])
    upper, lower = _span(y - reach, y + reach, top, canvas.shape[0])
    for i in range(upper, lower):
        away_y, line = np.float32(i + top) + center - y, canvas[i][first:last]
        for j in range(len(line)):
            away_x = np.float32(j + (first + left)) + center - x
            out_x = abs(away_x * cosine + away_y * sine) - half_x
            out_y = abs(away_y * cosine - away_x * sine) - half_y
            beyond_x, beyond_y = max(out_x, zero), max(out_y, zero)
            outside = np.sqrt(beyond_x * beyond_x + beyond_y * beyond_y)
            t = min(max(rounded - outside - min(max(out_x, out_y), zero) + center, zero), one)
            line[j] = t * t * (three - two * t)


@compiled
def _span(low: float | np.floating, high: float | np.floating, first: int, length: int) -> tuple[int, int]:
    """First and last pixel (excluded) of a canvas between two coordinates; none where one is no number."""
    if not (low < 2.0**24 and high > -(2.0**24)):
        return 0, 0
    start, stop = int(max(low, -(2.0**24))) - first, int(min(high, 2.0**24)) - first + 1
    return max(0, start), max(0, min(length, stop))
