"""Regions of images whose content can be exchanged: boxes, frames, halves, frequencies, gray levels, shading."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np
from jaxtyping import Bool, Float

Kind = Literal["box", "border", "corners", "mirror", "band", "intensities", "shading", "shape", "turned"]
Track = Literal["place", "whole"]
"""Regions with a place, and those without, which are searched apart: all of an image moves more than a part."""
Sought = Track | Literal["drawn", "shape", "turned"]
"""Searches: of regions, of what is drawn alike at one place of some images, and of shapes at changing places."""
ON_SOME: Sequence[Sought] = ("drawn", "shape", "turned")
"""Searches of what some images carry."""
WITHOUT_PLACE: Sequence[Sought] = ("whole", "shape", "turned")
Pixels = Float[np.ndarray, "n c h w"]


class Region(ABC):
    """A part of images that can be exchanged."""

    __slots__ = ()

    @property
    def kind(self) -> Kind:
        """Kind of region."""
        return cast(Kind, type(self).__name__.lower())

    @property
    def name(self) -> str:
        """Name within its kind; empty where the kind has one region."""
        return ""

    @property
    def key(self) -> str:
        """Kind and name."""
        return f"{self.kind} {self.name}".strip()

    def pixel_mask(self, height: int, width: int) -> Bool[np.ndarray, "h w"] | None:
        """Return its pixels; None of a region that is not local."""
        return None

    @abstractmethod
    def put(self, images: Pixels, donors: Pixels) -> Pixels:
        """Return images with the content of the donors there, in [0, 1]."""

    def remove(self, images: Pixels, content: Pixels) -> Pixels:
        """Return images with the content of images that lack it."""
        return self.put(images, content)


class LocalRegion(Region):
    """A fixed region."""

    __slots__ = ()

    @abstractmethod
    def pixel_mask(self, height: int, width: int) -> Bool[np.ndarray, "h w"]:
        """Return its pixels."""

    def put(self, images: Pixels, donors: Pixels) -> Pixels:
        """Return images with the pixels of the donors there."""
        return np.where(self.pixel_mask(*images.shape[2:]), donors, images)


@dataclass(frozen=True, slots=True)
class Box(LocalRegion):
    """A rectangle, by its edges as shares of the height and the width.

    Attributes:
        top: Upper edge.
        left: Left edge.
        bottom: Lower edge.
        right: Right edge.
    """

    top: float
    left: float
    bottom: float
    right: float

    @property
    def name(self) -> str:
        """Its edges, such as `0.667,0.667,1,1`."""
        return ",".join(f"{side:.3g}" for side in (self.top, self.left, self.bottom, self.right))

    def pixels(self, height: int, width: int) -> tuple[slice, slice]:
        """Return its rows and columns of pixels."""
        rows, columns = (
            slice(round(low * side), max(round(low * side) + 1, round(high * side)))
            for low, high, side in ((self.top, self.bottom, height), (self.left, self.right, width))
        )
        return rows, columns

    def pixel_mask(self, height: int, width: int) -> Bool[np.ndarray, "h w"]:
        """Return its pixels."""
        inside = np.zeros((height, width), dtype=bool)
        inside[self.pixels(height, width)] = True
        return inside

    def halves(self) -> Iterator[Box]:
        """Yield nine windows of half of its height and width, at steps of a quarter."""
        high, wide = (self.bottom - self.top) / 4, (self.right - self.left) / 4
        for down in range(3):
            for across in range(3):
                top, left = self.top + down * high, self.left + across * wide
                yield Box(top, left, top + 2 * high, left + 2 * wide)


@dataclass(frozen=True, slots=True)
class Border(LocalRegion):
    """A frame along the edges of the image.

    Attributes:
        width: Its width as a share of the shorter side.
    """

    width: float

    @property
    def name(self) -> str:
        """Its width."""
        return f"{self.width:g}"

    def pixel_mask(self, height: int, width: int) -> Bool[np.ndarray, "h w"]:
        """Return its pixels, at least one on each side."""
        mask, wide = np.ones((height, width), dtype=bool), max(1, round(self.width * min(height, width)))
        mask[wide:-wide, wide:-wide] = False
        return mask


@dataclass(frozen=True, slots=True)
class Corners(LocalRegion):
    """The four corners as one.

    Attributes:
        side: Side of each as a share of the height and the width.
    """

    side: float

    @property
    def name(self) -> str:
        """Side of each."""
        return f"{self.side:.3g}"

    def pixel_mask(self, height: int, width: int) -> Bool[np.ndarray, "h w"]:
        """Return their pixels."""
        rows, columns = (
            (np.minimum(np.arange(side), np.arange(side)[::-1]) + 0.5) / side < self.side for side in (height, width)
        )
        return rows[:, None] & columns


@dataclass(frozen=True, slots=True)
class Mirror(Region):
    """The half of the content that changes its sign where left and right are exchanged."""

    def put(self, images: Pixels, donors: Pixels) -> Pixels:
        """Return images with the odd half of the donors."""
        return ((images + images[..., ::-1] + donors - donors[..., ::-1]) / 2).clip(0, 1)


BANDS = (0.0, 1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)
"""Ends of the bands, in cycles per pixel."""


@dataclass(frozen=True, slots=True)
class Band(Region):
    """A band of spatial frequency; the lowest has the mean.

    Attributes:
        at: Its position in `BANDS`.
    """

    at: int

    @property
    def name(self) -> str:
        """Its position."""
        return str(self.at)

    def put(self, images: Pixels, donors: Pixels) -> Pixels:
        """Return images with the band of the donors."""
        height, width = images.shape[2:]
        radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
        inside = (radius >= BANDS[self.at]) & (radius < BANDS[self.at + 1])
        spectrum, other = np.fft.rfft2(images), np.fft.rfft2(donors)
        mixed = np.fft.irfft2(np.where(inside, other, spectrum), s=(height, width))
        return mixed.clip(0, 1).astype(images.dtype)


@dataclass(frozen=True, slots=True)
class Intensities(Region):
    """The distribution of gray levels of each channel; their order stays."""

    def put(self, images: Pixels, donors: Pixels) -> Pixels:
        """Return images with the intensities of the donors, by rank, equal pixels in order."""
        flat = images.reshape(*images.shape[:2], -1)
        out = np.empty_like(flat)
        order = np.argsort(flat, axis=2, kind="stable")
        np.put_along_axis(out, order, np.sort(donors.reshape(flat.shape), axis=2), axis=2)
        return out.reshape(images.shape)


_MOST_SHADED = 4.0
"""Factor by which shading changes a pixel at most."""


@dataclass(frozen=True, slots=True)
class Shading(Region):
    """Smooth brightness of each channel, as a polynomial of degree two in place; the mean brightness stays."""

    def put(self, images: Pixels, donors: Pixels) -> Pixels:
        """Return images with their own shading divided out and that of the donors multiplied in."""
        ratio = _shading_of(donors) / _shading_of(images)
        shaded = images * ratio.clip(1 / _MOST_SHADED, _MOST_SHADED)
        return shaded.clip(0, 1).astype(images.dtype)


def _shading_of(images: Pixels) -> Float[np.ndarray, "n c h w"]:
    """Return the shading of images by least squares, as a share of the mean."""
    height, width = images.shape[2:]
    down, across = (grid.ravel() for grid in np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j])
    terms = np.stack([np.ones_like(down), down, across, down**2, across**2, down * across])
    flat = images.reshape(-1, height * width)
    smooth = flat @ np.linalg.pinv(terms) @ terms
    mean = np.maximum(flat.mean(axis=1, keepdims=True), 1 / 255)
    return np.maximum(smooth / mean, 1 / _MOST_SHADED).reshape(images.shape)


_STEPS = 5


def candidates(of: Track) -> tuple[Region, ...]:
    """Return the regions that are exchanged first.

    With a place they are thirds of the image at steps of a sixth, whose halves make the finer grids, two borders, and
    the corners; without, the mirror half, the bands, the intensities, and the shading.
    """
    if of == "whole":
        return (Mirror(), *map(Band, range(len(BANDS) - 1)), Intensities(), Shading())
    boxes = (
        Box(row / 6, column / 6, (row + 2) / 6, (column + 2) / 6) for row in range(_STEPS) for column in range(_STEPS)
    )
    return (*boxes, Border(0.02), Border(0.05), Corners(1 / 6))


def size_of(region: Region, height: int, width: int) -> float:
    """Return the share of the image that a region takes; 1 of one that is not local.

    Examples:
        >>> size_of(Box(5 / 6, 5 / 6, 1, 1), 24, 24) == 1 / 36, size_of(Mirror(), 24, 24)
        (True, 1.0)
    """
    where = region.pixel_mask(height, width)
    return 1.0 if where is None else float(where.mean())


def same_place(first: Region, second: Region, height: int, width: int) -> bool:
    """Return whether half of the smaller region is in the other; of regions that are not local, whether they agree.

    Examples:
        >>> corner = Box(5 / 6, 5 / 6, 1, 1)
        >>> others = Box(2 / 3, 2 / 3, 1, 1), Corners(1 / 6), Box(0, 0, 1 / 3, 1 / 3), Band(1)
        >>> [same_place(corner, other, 24, 24) for other in others]
        [True, True, False, False]
        >>> same_place(Band(1), Band(1), 24, 24), same_place(Band(1), Band(2), 24, 24)
        (True, False)
    """
    mask, other = (region.pixel_mask(height, width) for region in (first, second))
    if mask is None or other is None:
        return first == second
    return bool((mask & other).sum() >= 0.5 * min(mask.sum(), other.sum()))
