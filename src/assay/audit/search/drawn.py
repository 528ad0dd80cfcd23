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
from assay.audit.search.patches import MIN_GROUP_SHARE
from assay.audit.search.regions import Border, Box, Corners, Region, size_of
from assay.audit.search.sample import SearchSample

# A drawn mark has nearly the same pixel values on all of its carriers. The search finds pixels at which a few images
# have nearly one value that differs from the others', and joins pixels that have the same carriers.

_AVERAGED_SIDE = 96
"""Approximate side to which larger images are averaged."""
_MIN_DISTANCE, _MAX_RELATIVE_SD, _MIN_GAP = 4.5, 0.08, 0.08
"""At a pixel: smallest distance of carriers from the others in standard deviations; largest standard deviation of
carriers as a share of the gap between the groups (letters keep it in JPEG of quality 50, and tissue rarely has it);
smallest gap."""
_AT_PIXEL = 0.5
"""Share of the distance to the other images that is at the pixel itself: where all images are black beside the body,
they differ in what is around."""
_HALF_BIN, _NEAR_BINS = 1.5 / 255, 10
"""Half of the width within which values count as one, and how many times wider the surroundings are that estimate how
many images have it by chance."""
_MIN_PIXEL_OVERLAP, _MIN_SHARE_INSIDE = 0.3, 0.9
"""Share that pixels of both halves have in common; share of pixels in its region."""
_MAX_REGION_SHARE = 0.25
"""Largest region, as a share of the image."""
_MAX_PIXELS = 2000


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
        large_enough = [
            candidate
            for candidate in (box, Border(0.02), Border(0.05), Corners(1 / 6))
            if (candidate.pixel_mask(height, width) & self.pixels).sum() >= _MIN_SHARE_INSIDE * self.pixels.sum()
        ]
        return min(large_enough, key=lambda candidate: size_of(candidate, height, width))


def marks_drawn_alike(images: Float[np.ndarray, "n c h w"]) -> list[RepeatedPattern]:
    """Return marks that are drawn alike on some images, at most on a share of `MOST_CARRIERS`.

    Pixels are compared in their gray value, then in each channel, since a colored mark may be as bright as what is
    around it; each as they are, then as the extreme of 3 x 3 neighbors, since a mark may be a pixel away. Of marks on
    the same images at one place the first is returned, so that pixels are those of the mark where they can be; one on
    some of the images of another there is a part of it.
    """
    factor = -(-max(images.shape[2:]) // _AVERAGED_SIDE)
    height, width = images.shape[2] // factor, images.shape[3] // factor
    small = images[:, :, : height * factor, : width * factor].astype(np.float64)
    small = small.reshape(*images.shape[:2], height, factor, width, factor).mean(axis=(3, 5))
    channels = [small.mean(axis=1), *(np.moveaxis(small, 1, 0) if images.shape[1] > 1 else ())]
    marks: list[RepeatedPattern] = []
    for window in (1, 3):
        for channel in channels:
            marks += [mark for mark in _marks_of(channel, window) if not any(mark.is_like(other) for other in marks)]
    marks = [mark for mark in marks if not any(mark.is_part(other) for other in marks)]
    return sorted(marks, key=lambda mark: -int(mark.pixels.sum()))


_CarriedPixels = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Pixels, for each which images carry it, and the distance of these from the others."""


def _marks_of(channel: Float[np.ndarray, "n h w"], window: int) -> Iterator[RepeatedPattern]:
    """Yield marks of one channel, each pixel compared as the extreme of `window` x `window` pixels."""
    near = max(3, min(channel.shape[1:]) // 6)
    level = uniform_filter(channel, (0, near, near), mode="nearest")
    parts: list[_CarriedPixels] = []
    for extreme, bright in ((maximum_filter, True), (minimum_filter, False)):
        values = extreme(channel, (0, window, window), mode="nearest")
        raw = values.reshape(len(values), -1).T
        around = (values - level).reshape(len(values), -1).T  # a mark on tissue of any brightness
        parts += [_carried_pixels(raw, raw, bright), _carried_pixels(around, raw, bright), _shared_pixels(raw, bright)]
    pixel, carry, distance = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    bright = np.repeat([True] * 3 + [False] * 3, [len(part[0]) for part in parts])
    best = np.argsort(-distance, kind="stable")[:_MAX_PIXELS]
    pixel, carry, distance, bright = pixel[best], carry[best], distance[best], bright[best]
    on_same_images = same_images(carry, carry) & (bright[:, None] == bright)
    remaining = np.ones(len(pixel), dtype=bool)
    while remaining.any():
        joined = on_same_images[(on_same_images & remaining).sum(axis=1).argmax()] & remaining
        remaining &= ~joined
        if joined.sum() < LEAST_CARRIERS:
            break
        pixels = np.zeros(channel[0].size, dtype=bool)
        pixels[pixel[joined]] = True
        mark = RepeatedPattern(
            carry[joined].mean(axis=0) > 0.5,
            float(np.median(distance[joined])),
            pixels.reshape(channel.shape[1:]),
            bool(bright[joined][0]),
        )
        if pixels.sum() >= LEAST_CARRIERS and size_of(mark.region, *channel.shape[1:]) <= _MAX_REGION_SHARE:
            yield mark


def _carried_pixels(values: Float[np.ndarray, "p n"], raw: Float[np.ndarray, "p n"], bright: bool) -> _CarriedPixels:
    """Return pixels at which some images have nearly one value that differs from the others', as `_CarriedPixels`."""
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
    n_carriers = carry.sum(axis=1)
    sd = np.min([_sd_of_carriers(numbers, carry, n_carriers) for numbers in (values, raw)], axis=0)
    changed = _mean_of(raw, carry, n_carriers) - _mean_of(raw, ~carry, count - n_carriers)
    min_carriers = max(LEAST_CARRIERS, MIN_GROUP_SHARE * count)
    is_carried = (
        (distance > _MIN_DISTANCE) & (gap > _MIN_GAP) & (sd <= _MAX_RELATIVE_SD * gap) & (n_carriers >= min_carriers)
    )
    is_carried &= (changed if bright else -changed) >= _AT_PIXEL * gap
    is_carried &= n_carriers <= MOST_CARRIERS * count
    return np.flatnonzero(is_carried), carry[is_carried], distance[is_carried]


def _shared_pixels(raw: Float[np.ndarray, "p n"], bright: bool) -> _CarriedPixels:
    """Return pixels at which more images have one value than by chance, as `_CarriedPixels` with the excess."""
    count, pixel = int(raw.shape[1]), np.arange(len(raw))
    min_carriers = math.ceil(max(LEAST_CARRIERS, MIN_GROUP_SHARE * count))
    ordered = np.sort(raw, axis=1)
    lowest, highest = ordered[:, : count - min_carriers + 1], ordered[:, min_carriers - 1 :]
    inside = (lowest > 2 * _HALF_BIN) & (highest < 1 - 2 * _HALF_BIN)  # the ends of the scale are around the body
    first = np.where(inside, highest - lowest, np.inf).argmin(axis=1)
    value = (lowest + highest)[pixel, first] / 2
    distance_to_value = np.abs(raw - value[:, None])
    carry = distance_to_value <= _HALF_BIN
    n_carriers = carry.sum(axis=1)
    n_by_chance = ((distance_to_value <= _NEAR_BINS * _HALF_BIN).sum(axis=1) - n_carriers) / (_NEAR_BINS - 1)
    excess = (n_carriers - n_by_chance) / np.sqrt(n_by_chance + 1)
    others = (raw * ~carry).sum(axis=1) / np.maximum(count - n_carriers, 1)
    is_carried = (
        inside[pixel, first]
        & (excess > _MIN_DISTANCE)
        & (np.abs(value - others) > _MIN_GAP)
        & ((value > others) == bright)
    )
    is_carried &= (n_carriers >= min_carriers) & (n_carriers <= MOST_CARRIERS * count)
    return np.flatnonzero(is_carried), carry[is_carried], excess[is_carried]


def _sd_of_carriers(values: np.ndarray, carry: np.ndarray, n_carriers: np.ndarray) -> np.ndarray:
    mean = _mean_of(values, carry, n_carriers)
    return np.sqrt((((values - mean[:, None]) ** 2) * carry).sum(axis=1) / np.maximum(n_carriers, 1))


def _mean_of(values: np.ndarray, carry: np.ndarray, n_carriers: np.ndarray) -> np.ndarray:
    return (values * carry).sum(axis=1) / np.maximum(n_carriers, 1)


def pairs_drawn_alike(first: SearchSample, second: SearchSample) -> Iterator[tuple[RepeatedPattern, RepeatedPattern]]:
    """Yield marks at one place that are drawn in both halves: each of the first with that of the second most alike."""
    marks, others = (marks_drawn_alike(half.images) for half in (first, second))

    def share(mark: RepeatedPattern, other: RepeatedPattern) -> float:
        return (mark.pixels & other.pixels).sum() / (mark.pixels | other.pixels).sum()

    for mark in marks:
        overlapping = [
            other for other in others if other.bright == mark.bright and share(mark, other) >= _MIN_PIXEL_OVERLAP
        ]
        if overlapping:
            yield mark, max(overlapping, key=lambda other: share(mark, other))


find_drawn = partial(find_candidate, pairs_drawn_alike)
"""The search for such marks, as `search.find_region`."""
