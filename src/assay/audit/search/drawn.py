"""Marks that are drawn alike at one place of some images, however few."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Bool, Float
from scipy.ndimage import maximum_filter, minimum_filter, uniform_filter

from assay.audit.search.candidates import (
    LEAST_CARRIERS,
    MOST_CARRIERS,
    SAME_IMAGES,
    Candidate,
    find_candidate,
    same_images,
)
from assay.audit.search.regions import Border, Box, Corners, Region, size_of
from assay.audit.search.search import LEAST_GROUP, SearchSample

# A drawn mark has the same values at pixels that its carriers share. So pixels are looked for at which a few images
# have nearly one value, apart from the others', and joined where these are the same images.

_SIDE = 96
"""Images are averaged to at most about this side."""
_DISTANCE, _ALIKE, _GAP = 4.5, 0.08, 0.08
"""At a pixel: least distance of carriers in standard deviations; their largest spread as a share of it (letters keep it
in JPEG of quality 50, and tissue rarely has it); least of it."""
_AT_PIXEL = 0.5
"""Share of the distance to the other images that is at the pixel itself: where all images are black beside the body,
they differ in what is around."""
_ONE_VALUE, _NEAR = 1.5 / 255, 10
"""Half of the width in which values are one, and of that around it that tells how many are there by chance."""
_SAME_PIXELS, _INSIDE = 0.3, 0.9
"""Share that pixels of both halves have in common; share of pixels in its region."""
_LARGEST = 0.25
"""Largest region, as a share of the image."""
_MOST_PIXELS = 2000


@dataclass(frozen=True, eq=False)
class RepeatedPattern(Candidate):
    """Something that is drawn alike at one place.

    Attributes:
        pixels: Where it is.
        bright: Whether it is brighter than the other images are there.
    """

    pixels: Bool[np.ndarray, "h w"]
    bright: bool

    def is_like(self, other: RepeatedPattern) -> bool:
        """Return whether another one is on the same images at the same place."""
        return self._touches(other) and self.shares_images(other)

    def is_part(self, other: RepeatedPattern) -> bool:
        """Return whether it is at the place of another one, on some of its images."""
        inside = (self.carry & other.carry).sum() >= SAME_IMAGES * self.carry.sum()
        return self._touches(other) and bool(inside and self.carry.sum() < SAME_IMAGES * other.carry.sum())

    def _touches(self, other: RepeatedPattern) -> bool:
        return bool((maximum_filter(self.pixels, 3) & other.pixels).any())

    @property
    def region(self) -> Region:
        """The smallest region that has most of it."""
        height, width = self.pixels.shape
        rows, columns = (np.flatnonzero(self.pixels.any(axis=axis)) for axis in (1, 0))
        box = Box(rows[0] / height, columns[0] / width, (rows[-1] + 1) / height, (columns[-1] + 1) / width)
        able = [
            candidate
            for candidate in (box, Border(0.02), Border(0.05), Corners(1 / 6))
            if (candidate.pixel_mask(height, width) & self.pixels).sum() >= _INSIDE * self.pixels.sum()
        ]
        return min(able, key=lambda candidate: size_of(candidate, height, width))


def marks_drawn_alike(images: Float[np.ndarray, "n c h w"]) -> list[RepeatedPattern]:
    """Return marks that are drawn alike on some images, on `MOST_CARRIERS` at most.

    Pixels are compared in their gray value, then in each channel, since a colored mark may be as bright as what is
    around it; each as they are, then as the extreme of 3 x 3 neighbors, since a mark may be a pixel away. Of marks on
    the same images at one place the first is returned, so that pixels are those of the mark where they can be; one on
    some of the images of another there is a part of it.
    """
    by = -(-max(images.shape[2:]) // _SIDE)
    height, width = images.shape[2] // by, images.shape[3] // by
    small = images[:, :, : height * by, : width * by].astype(np.float64)
    small = small.reshape(*images.shape[:2], height, by, width, by).mean(axis=(3, 5))
    channels = [small.mean(axis=1), *(np.moveaxis(small, 1, 0) if images.shape[1] > 1 else ())]
    marks: list[RepeatedPattern] = []
    for reach in (1, 3):
        for channel in channels:
            marks += [mark for mark in _marks_of(channel, reach) if not any(mark.is_like(other) for other in marks)]
    marks = [mark for mark in marks if not any(mark.is_part(other) for other in marks)]
    return sorted(marks, key=lambda mark: -int(mark.pixels.sum()))


_Carried = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Pixels, the images that carry them, and how far these are from the others."""


def _marks_of(channel: Float[np.ndarray, "n h w"], reach: int) -> Iterator[RepeatedPattern]:
    """Yield marks of one channel, each pixel compared as the extreme of `reach` x `reach` pixels."""
    near = max(3, min(channel.shape[1:]) // 6)
    level = uniform_filter(channel, (0, near, near), mode="nearest")
    parts: list[_Carried] = []
    for extreme, bright in ((maximum_filter, True), (minimum_filter, False)):
        values = extreme(channel, (0, reach, reach), mode="nearest")
        raw = values.reshape(len(values), -1).T
        around = (values - level).reshape(len(values), -1).T  # a mark on tissue of any brightness
        parts += [_carried_pixels(raw, raw, bright), _carried_pixels(around, raw, bright), _shared_pixels(raw, bright)]
    at, carry, distance = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    bright = np.repeat([True] * 3 + [False] * 3, [len(part[0]) for part in parts])
    best = np.argsort(-distance, kind="stable")[:_MOST_PIXELS]
    at, carry, distance, bright = at[best], carry[best], distance[best], bright[best]
    same = same_images(carry, carry) & (bright[:, None] == bright)
    remaining = np.ones(len(at), dtype=bool)
    while remaining.any():
        joined = same[(same & remaining).sum(axis=1).argmax()] & remaining
        remaining &= ~joined
        if joined.sum() < LEAST_CARRIERS:
            break
        pixels = np.zeros(channel[0].size, dtype=bool)
        pixels[at[joined]] = True
        mark = RepeatedPattern(
            carry[joined].mean(axis=0) > 0.5,
            float(np.median(distance[joined])),
            pixels.reshape(channel.shape[1:]),
            bool(bright[joined][0]),
        )
        if pixels.sum() >= LEAST_CARRIERS and size_of(mark.region, *channel.shape[1:]) <= _LARGEST:
            yield mark


def _carried_pixels(values: Float[np.ndarray, "p n"], raw: Float[np.ndarray, "p n"], bright: bool) -> _Carried:
    """Return pixels at which some images have nearly one value apart from the others', these images, and how far."""
    count, pixel = int(values.shape[1]), np.arange(len(values))
    ordered = np.sort(values, axis=1)
    low = np.arange(1, count)
    sums = ordered.cumsum(axis=1)
    first, second = sums[:, :-1] / low, (sums[:, -1:] - sums[:, :-1]) / (count - low)
    cut = (low * (count - low) * (second - first) ** 2).argmax(axis=1)  # as `search.split`
    gap = (second - first)[pixel, cut]
    within = (ordered**2).sum(axis=1) - (low * first**2 + (count - low) * second**2)[pixel, cut]
    distance = gap / np.sqrt(np.maximum(within / (count - 2), 1e-6))
    high = values > ordered[pixel, cut][:, None]
    carry = high if bright else ~high
    number = carry.sum(axis=1)
    spread = np.min([_spread_within(numbers, carry, number) for numbers in (values, raw)], axis=0)
    changed = _mean_of(raw, carry, number) - _mean_of(raw, ~carry, count - number)
    least = max(LEAST_CARRIERS, LEAST_GROUP * count)
    able = (distance > _DISTANCE) & (gap > _GAP) & (spread <= _ALIKE * gap) & (number >= least)
    able &= (changed if bright else -changed) >= _AT_PIXEL * gap
    able &= number <= MOST_CARRIERS * count
    return np.flatnonzero(able), carry[able], distance[able]


def _shared_pixels(raw: Float[np.ndarray, "p n"], bright: bool) -> _Carried:
    """Return pixels at which more images have one value than have others near it, these images, and how many more."""
    count, pixel = int(raw.shape[1]), np.arange(len(raw))
    least = math.ceil(max(LEAST_CARRIERS, LEAST_GROUP * count))
    ordered = np.sort(raw, axis=1)
    lowest, highest = ordered[:, : count - least + 1], ordered[:, least - 1 :]
    inside = (lowest > 2 * _ONE_VALUE) & (highest < 1 - 2 * _ONE_VALUE)  # the ends of the scale are around the body
    first = np.where(inside, highest - lowest, np.inf).argmin(axis=1)
    value = (lowest + highest)[pixel, first] / 2
    away = np.abs(raw - value[:, None])
    carry = away <= _ONE_VALUE
    number = carry.sum(axis=1)
    near = ((away <= _NEAR * _ONE_VALUE).sum(axis=1) - number) / (_NEAR - 1)
    excess = (number - near) / np.sqrt(near + 1)
    others = (raw * ~carry).sum(axis=1) / np.maximum(count - number, 1)
    able = inside[pixel, first] & (excess > _DISTANCE) & (np.abs(value - others) > _GAP) & ((value > others) == bright)
    able &= (number >= least) & (number <= MOST_CARRIERS * count)
    return np.flatnonzero(able), carry[able], excess[able]


def _spread_within(values: np.ndarray, carry: np.ndarray, number: np.ndarray) -> np.ndarray:
    mean = _mean_of(values, carry, number)
    return np.sqrt((((values - mean[:, None]) ** 2) * carry).sum(axis=1) / np.maximum(number, 1))


def _mean_of(values: np.ndarray, carry: np.ndarray, number: np.ndarray) -> np.ndarray:
    return (values * carry).sum(axis=1) / np.maximum(number, 1)


def pairs_drawn_alike(first: SearchSample, second: SearchSample) -> Iterator[tuple[RepeatedPattern, RepeatedPattern]]:
    """Yield marks at one place that are drawn in both halves: each of the first with that of the second most alike."""
    marks, others = (marks_drawn_alike(half.images) for half in (first, second))

    def share(mark: RepeatedPattern, other: RepeatedPattern) -> float:
        return (mark.pixels & other.pixels).sum() / (mark.pixels | other.pixels).sum()

    for mark in marks:
        same = [other for other in others if other.bright == mark.bright and share(mark, other) >= _SAME_PIXELS]
        if same:
            yield mark, max(same, key=lambda other: share(mark, other))


find_drawn = partial(find_candidate, pairs_drawn_alike)
"""The search for such marks, as `search.find_region`."""
