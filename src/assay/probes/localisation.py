"""How far heat-maps lie on masks: pure functions of batches of maps.

All that depends on ranks is had from how many pixels lie above each value that a pixel of the mask has: the mask's
values alone are sorted, and each other pixel finds its place among them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from assay.core.compiled import compiled

MEASURES = ("mass-accuracy", "rank-accuracy", "pointing-game", "pixel-average-precision")


class Localised(NamedTuple):
    """Scores of each image, 0 to 1, NaN where undefined; `area` is what each of them is by chance.

    mass: the part of the map's sum that lies in the mask (Arras et al. 2022). rank: of as many of the greatest pixels
    as the mask has, the share that lies in it (the same). pointing: 1 where the greatest pixel lies in it (Zhang et al.
    2018, without a tolerance). precision: the average precision of the pixels, the mask being the truth. area: the
    mask's share of the pixels that count.
    """

    mass: Float[np.ndarray, " n"]
    rank: Float[np.ndarray, " n"]
    pointing: Float[np.ndarray, " n"]
    precision: Float[np.ndarray, " n"]
    area: Float[np.ndarray, " n"]


def localised(
    maps: Float[np.ndarray, "n h w"],
    masks: Bool[np.ndarray, "n h w"],
    ignored: Bool[np.ndarray, "n h w"] | None = None,
) -> Localised:
    """The scores of heat-maps, by the size of their values whatever the sign.

    ignored: pixels that do not count, such as lesions that are not asked about. Where values tie, the mean over all
    their orders is given (of precision: they enter together), so that a map that is the same everywhere, 0 too, scores
    its area in all. NaN for a map with NaN, for a mask that is empty, and for one that leaves nothing beside it.
    """
    flat = len(maps), maps.shape[1] * maps.shape[2]
    size = np.abs(maps, dtype=np.float32).reshape(flat)
    part = masks.reshape(flat).astype(np.int8)  # 1 in the mask, 0 beside it, -1 where it does not count
    if ignored is not None:
        part[ignored.reshape(flat)] = -1
    return Localised(*_scored(size, part).T)


@compiled
def _scored(size: Float[np.ndarray, "n p"], part: Int[np.ndarray, "n p"]) -> Float[np.ndarray, "n 5"]:
    """The scores of each image in the order of `Localised`."""
    found = np.zeros((len(size), 5))
    for i in range(len(size)):
        whole, inside, lesion, pixels = 0.0, 0.0, 0, 0
        for p in range(size.shape[1]):
            if part[i, p] >= 0:
                whole += size[i, p]
                inside += size[i, p] * part[i, p]
                lesion += part[i, p]
                pixels += 1
        found[i, 4] = lesion / pixels if pixels else np.nan
        if lesion == 0 or lesion == pixels or not np.isfinite(whole):
            found[i, :4] = np.nan
            continue
        found[i, 0] = inside / whole if whole > 0 else found[i, 4]
        values, times = _levels(np.sort(size[i][part[i] == 1]))
        _down(times, *_beside(size[i], part[i], values), found[i])
    return found


@compiled
def _beside(
    size: Float[np.ndarray, " p"], part: Int[np.ndarray, " p"], values: Float[np.ndarray, " l"]
) -> tuple[Int[np.ndarray, " l"], Int[np.ndarray, " m"]]:
    """Pixels beside the mask with each of its values, and those above the value before and below each one."""
    most = len(values)
    tied, between = np.zeros(most, np.int64), np.zeros(most + 1, np.int64)
    for p in range(len(size)):
        value = size[p]
        if part[p] == 0 and value >= values[0]:
            low, left = 0, most
            while left > 1:  # a search by halves whose steps do not depend on what is found
                half = left >> 1
                low += half * (values[low + half] <= value)
                left -= half
            if values[low] == value:
                tied[low] += 1
            else:
                between[low + 1] += 1
    return tied, between


@compiled
def _levels(ordered: Float[np.ndarray, " m"]) -> tuple[Float[np.ndarray, " l"], Int[np.ndarray, " l"]]:
    """The distinct values of the mask's pixels, rising, and how many of them have each."""
    values, times, found = np.empty_like(ordered), np.zeros(len(ordered), np.int64), 0
    for value in ordered:
        if found == 0 or values[found - 1] != value:
            values[found] = value
            found += 1
        times[found - 1] += 1
    return values[:found], times[:found]


@compiled
def _down(
    times: Int[np.ndarray, " l"],
    tied: Int[np.ndarray, " l"],
    between: Int[np.ndarray, " m"],
    found: Float[np.ndarray, " 5"],
) -> None:
    """Adds up the scores of an image, from the greatest value of the mask's pixels down.

    times: pixels of the mask with each value. tied: pixels beside it with that value. between: those above the value
    before and below this one; the last, above all.
    """
    lesion, hits, seen = times.sum(), 0, between[-1]
    for level in range(len(times) - 1, -1, -1):
        here = times[level] + tied[level]
        found[1] += times[level] * min(max((lesion - seen) / here, 0.0), 1.0) / lesion
        if seen == 0:
            found[2] = times[level] / here
        hits += times[level]
        seen += here
        found[3] += times[level] / lesion * hits / seen
        seen += between[level]
