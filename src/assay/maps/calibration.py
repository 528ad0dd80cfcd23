"""What the pixels' probabilities claim and what came, in bins, apart for boundary, lesion and background."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from assay.core.compiled import compiled
from assay.core.maps import REGIONS

BOUNDARY, LESION, BACKGROUND = range(len(REGIONS))


class Bins(NamedTuple):
    """Per image, region (`REGIONS`) and bin: pixels, their summed probability, and how many of them are lesion."""

    pixels: Int[np.ndarray, "b 3 bins"]
    claimed: Float[np.ndarray, "b 3 bins"]
    came: Int[np.ndarray, "b 3 bins"]


def calibration_bins(
    logits: Float[np.ndarray, "b h w"], lesion: Bool[np.ndarray, "b h w"], bins: int, boundary: float
) -> Bins:
    """Bins of equal width over the probability p = 1 / (1 + exp(-logit)).

    Bin k holds k / bins <= p < (k + 1) / bins, the last one 1 too.

    A pixel is boundary when a pixel of the other kind lies within `boundary` px of it, centre to centre. So a boundary
    is as wide outside a lesion as inside, and where the frame of the image cuts a lesion there is none.
    """
    shape = (len(logits), len(REGIONS), bins)
    found = Bins(np.zeros(shape, np.int32), np.zeros(shape, np.float64), np.zeros(shape, np.int32))
    _count_all(logits, lesion, boundary, found)
    return found


@compiled
def _count_all(
    logits: Float[np.ndarray, "b h w"], lesion: Bool[np.ndarray, "b h w"], boundary: float, found: Bins
) -> None:
    bins = found.pixels.shape[2]
    for i in range(len(logits)):
        regions = _regions(lesion[i], boundary)
        for row in range(regions.shape[0]):
            for column in range(regions.shape[1]):
                probability = 1 / (1 + math.exp(-np.float64(logits[i, row, column])))
                bin, region = min(int(probability * bins), bins - 1), regions[row, column]
                found.pixels[i, region, bin] += 1
                found.claimed[i, region, bin] += probability
                found.came[i, region, bin] += lesion[i, row, column]


@compiled
def _regions(lesion: Bool[np.ndarray, "h w"], boundary: float) -> UInt8[np.ndarray, "h w"]:
    """The region of every pixel. Discs are drawn around those pixels alone that have another kind beside them."""
    height, width = lesion.shape
    regions = np.empty((height, width), np.uint8)
    for row in range(height):
        for column in range(width):
            regions[row, column] = LESION if lesion[row, column] else BACKGROUND
    for row in range(height):
        for column in range(width):
            if _has_another_beside(lesion, row, column):
                _mark_others_near(regions, lesion, row, column, boundary)
    return regions


@compiled
def _has_another_beside(lesion: Bool[np.ndarray, "h w"], row: int, column: int) -> bool:
    own = lesion[row, column]
    return (
        (row > 0 and lesion[row - 1, column] != own)
        or (row + 1 < lesion.shape[0] and lesion[row + 1, column] != own)
        or (column > 0 and lesion[row, column - 1] != own)
        or (column + 1 < lesion.shape[1] and lesion[row, column + 1] != own)
    )


@compiled
def _mark_others_near(
    regions: UInt8[np.ndarray, "h w"], lesion: Bool[np.ndarray, "h w"], row: int, column: int, within: float
) -> None:
    """Every pixel of the other kind within a distance of this one is boundary."""
    reach = int(within)
    for y in range(max(row - reach, 0), min(row + reach + 1, lesion.shape[0])):
        for x in range(max(column - reach, 0), min(column + reach + 1, lesion.shape[1])):
            if lesion[y, x] != lesion[row, column] and (y - row) ** 2 + (x - column) ** 2 <= within * within:
                regions[y, x] = BOUNDARY
