"""How far apart the surfaces of a predicted and a true mask lie.

The surface of a mask is its pixels with a 4-neighbor that is not of the mask; beyond the image nothing is. Distances
go from each surface pixel of one mask to the nearest of the other, center to center. They are exact: the nearest pixel
in every row first (Meijster, Roerdink and Hesselink 2000), and then only for the pixels that ask.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from assay.core.compiled import compiled

DEFINED, TRUTH_EMPTY, PREDICTION_EMPTY, BOTH_EMPTY, SIZE_UNKNOWN = range(5)
PERCENTILE = 0.95
SLACK = 1 + 1e-6
FAR = 1 << 30


class Surfaces(NamedTuple):
    """One row per image; NaN unless `code` is 0. See docs/reference/maps.md for each."""

    hd95: Float[np.ndarray, " b"]
    distance: Float[np.ndarray, " b"]
    dice: Float[np.ndarray, " b"]
    code: Int[np.ndarray, " b"]


def surfaces(
    predicted: Bool[np.ndarray, "b h w"],
    lesion: Bool[np.ndarray, "b h w"],
    pixel_size: Float[np.ndarray, "b 2"],
    tolerance: float,
) -> Surfaces:
    """Distances between surfaces.

    Args:
        pixel_size: Height and width of an image's pixels, NaN where unknown; tolerance is in the same unit.
    """
    images = len(predicted)
    code = np.where(lesion.any((1, 2)), 0, TRUTH_EMPTY) + np.where(predicted.any((1, 2)), 0, PREDICTION_EMPTY)
    code[(code == DEFINED) & np.isnan(pixel_size).any(axis=1)] = SIZE_UNKNOWN
    found = Surfaces(*(np.full(images, np.nan) for _ in range(3)), code=code.astype(np.int8))
    _measure_all(predicted, lesion, pixel_size, tolerance * SLACK, found)
    return found


@compiled
def _measure_all(
    predicted: Bool[np.ndarray, "b h w"],
    lesion: Bool[np.ndarray, "b h w"],
    pixel_size: Float[np.ndarray, "b 2"],
    within: float,
    found: Surfaces,
) -> None:
    for i in range(len(predicted)):
        if found.code[i] != DEFINED:
            continue
        top, bottom, left, right = _box(predicted[i], lesion[i])
        ours, theirs = _edge(predicted[i], top, bottom, left, right), _edge(lesion[i], top, bottom, left, right)
        there = _distances(ours, _along_rows(theirs), pixel_size[i])
        back = _distances(theirs, _along_rows(ours), pixel_size[i])
        found.hd95[i] = max(_percentile(there), _percentile(back))
        found.distance[i] = (there.sum() + back.sum()) / (len(there) + len(back))
        found.dice[i] = ((there <= within).sum() + (back <= within).sum()) / (len(there) + len(back))


@compiled
def _box(a: Bool[np.ndarray, "h w"], b: Bool[np.ndarray, "h w"]) -> tuple[int, int, int, int]:
    """Return the smallest box that holds both masks: first row, row after the last, first column, column after the
    last.
    """
    height, width = a.shape
    top, bottom, left, right = height, 0, width, 0
    for row in range(height):
        for column in range(width):
            if a[row, column] or b[row, column]:
                top, bottom = min(top, row), row + 1
                left, right = min(left, column), max(right, column + 1)
    return top, bottom, left, right


@compiled
def _edge(mask: Bool[np.ndarray, "h w"], top: int, bottom: int, left: int, right: int) -> Bool[np.ndarray, "i j"]:
    """Return the surface of a mask within a box that holds it."""
    height, width = mask.shape
    edge = np.zeros((bottom - top, right - left), np.bool_)
    for row in range(top, bottom):
        for column in range(left, right):
            if mask[row, column]:
                inner = 0 < row < height - 1 and 0 < column < width - 1
                edge[row - top, column - left] = not (
                    inner
                    and mask[row - 1, column]
                    and mask[row + 1, column]
                    and mask[row, column - 1]
                    and mask[row, column + 1]
                )
    return edge


@compiled
def _along_rows(edge: Bool[np.ndarray, "i j"]) -> Int[np.ndarray, "i j"]:
    """How many columns every pixel is from the nearest edge pixel of its row; FAR where the row has none."""
    height, width = edge.shape
    steps = np.empty((height, width), np.int32)
    for row in range(height):
        away = FAR
        for column in range(width):
            away = 0 if edge[row, column] else min(away + 1, FAR)
            steps[row, column] = away
        away = FAR
        for column in range(width - 1, -1, -1):
            away = 0 if edge[row, column] else min(away + 1, FAR)
            steps[row, column] = min(away, steps[row, column])
    return steps


@compiled
def _distances(
    edge: Bool[np.ndarray, "i j"], steps: Int[np.ndarray, "i j"], pixel_size: Float[np.ndarray, " 2"]
) -> Float[np.ndarray, " n"]:
    """From every edge pixel to the nearest edge pixel of the other mask, whose distances along rows are given."""
    height, width = edge.shape
    found = np.empty(edge.sum(), np.float64)
    n = 0
    for row in range(height):
        for column in range(width):
            if edge[row, column]:
                found[n] = math.sqrt(_nearest(steps, row, column, pixel_size[0], pixel_size[1]))
                n += 1
    return found


@compiled
def _nearest(steps: Int[np.ndarray, "i j"], row: int, column: int, tall: float, wide: float) -> float:
    """Return the least squared distance, over rows further and further away until none can be nearer."""
    best = (steps[row, column] * wide) ** 2
    for away in range(1, max(row, len(steps) - 1 - row) + 1):
        apart = (away * tall) ** 2
        if apart >= best:
            break
        if row - away >= 0:
            best = min(best, apart + (steps[row - away, column] * wide) ** 2)
        if row + away < len(steps):
            best = min(best, apart + (steps[row + away, column] * wide) ** 2)
    return best


@compiled
def _percentile(values: Float[np.ndarray, " n"]) -> float:
    """Return the 95th percentile, between the two nearest ranks in proportion, as NumPy's and torch's default is."""
    ordered = np.sort(values)
    rank = PERCENTILE * (len(values) - 1)
    below = int(rank)
    above = min(below + 1, len(values) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (rank - below)
