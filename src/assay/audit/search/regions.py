"""Regions of images whose content can be exchanged: boxes, frames, halves, frequencies, gray levels, shading."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.ndimage import uniform_filter

Kind = Literal["box", "border", "corners", "mirror", "band", "intensities", "shading", "shape", "turned"]
Track = Literal["place", "whole"]
"""Regions with a place, and those without. They are searched apart, since whole images have larger effects."""
FinderName = Track | Literal["drawn", "shape", "turned", "occluded"]
"""Names of searches: of regions, of what is drawn alike at one place, of shapes at changing places (also rotated), and
of places whose occlusion changes scores."""
FINDERS_OF_CARRIERS: Sequence[FinderName] = ("drawn", "shape", "turned", "occluded")
"""Names of searches for what some images carry and others do not."""
FINDERS_RUN_ONCE: Sequence[FinderName] = ("occluded",)
"""Names of searches that are not repeated after a finding, since each takes thousands of passes."""
WITHOUT_PLACE: Sequence[FinderName] = ("whole", "shape", "turned")
Pixels = Float[np.ndarray, "n c h w"]


class Region(ABC):
    """A part of images that can be exchanged.

    Attributes:
        kind: Kind of region, in tables and records.
    """

    __slots__ = ()
    kind: ClassVar[Kind]

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
        """Return images in which the region has the content of images that lack a mark there."""
        return self.put(images, content)

    def common_content(self, batches: Iterable[Float[np.ndarray, "n ..."]]) -> Float[np.ndarray, "1 ..."]:
        """Return what all images share once they are equalized: the content of their mean."""
        total, count = 0.0, 0
        for images in batches:
            total, count = total + images.sum(axis=0, dtype=np.float64), count + len(images)
        return np.asarray(total / count, dtype=np.float32)[None]

    def equalize(self, images: Pixels, common: Float[np.ndarray, "1 ..."], half: Bool[np.ndarray, " n"]) -> Pixels:
        """Return images that no longer differ in this region.

        Args:
            images: The images.
            common: What `common_content` returned for all of them.
            half: A random half of the images of each class, for what no common content can remove.
        """
        return self.put(images, np.broadcast_to(common, images.shape))


class LocalRegion(Region):
    """A fixed region."""

    __slots__ = ()

    @abstractmethod
    def pixel_mask(self, height: int, width: int) -> Bool[np.ndarray, "h w"]:
        """Return its pixels."""

    def put(self, images: Pixels, donors: Pixels) -> Pixels:
        """Return images with the pixels of the donors there."""
        return np.where(self.pixel_mask(*images.shape[2:]), donors, images)


class MovingRegion(Region):
    """A part that is elsewhere in each image."""

    __slots__ = ()

    @abstractmethod
    def occurrences(self, images: Pixels) -> tuple[Bool[np.ndarray, "n h w"], Bool[np.ndarray, " n"]]:
        """Return where each image is most like it, with a margin, and whether the image has it."""

    def put(self, images: Pixels, donors: Pixels) -> Pixels:
        """Return images with the pixels of the donors, each where the donor has it."""
        return np.where(self.occurrences(donors)[0][:, None], donors, images)

    def remove(self, images: Pixels, content: Pixels) -> Pixels:
        """Return images with the content there, of those that have it."""
        where, has = self.occurrences(images)
        return np.where((where & has[:, None, None])[:, None], content, images)


@dataclass(frozen=True, slots=True)
class Box(LocalRegion):
    """A rectangle, by its edges as shares of the height and the width.

    Attributes:
        top: Upper edge.
        left: Left edge.
        bottom: Lower edge.
        right: Right edge.
    """

    kind: ClassVar[Kind] = "box"
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

    kind: ClassVar[Kind] = "border"
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

    kind: ClassVar[Kind] = "corners"
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

    kind: ClassVar[Kind] = "mirror"

    def put(self, images: Pixels, donors: Pixels) -> Pixels:
        """Return images with the odd half of the donors."""
        return ((images + images[..., ::-1] + donors - donors[..., ::-1]) / 2).clip(0, 1)

    def equalize(self, images: Pixels, common: Float[np.ndarray, "1 ..."], half: Bool[np.ndarray, " n"]) -> Pixels:
        """Return images of which half are mirrored: the direction stays visible, and no longer tells the class."""
        return np.where(half[:, None, None, None], images[..., ::-1], images)


BANDS = (0.0, 1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)
"""Ends of the bands, in cycles per pixel."""
RESOLUTION = 2
"""Band from which on images differ by what their resolution and compression leave."""


@dataclass(frozen=True, slots=True)
class Band(Region):
    """A band of spatial frequency; the lowest has the mean.

    Attributes:
        index: Position of its lower end in `BANDS`.
    """

    kind: ClassVar[Kind] = "band"
    index: int

    @property
    def name(self) -> str:
        """Its position."""
        return str(self.index)

    def put(self, images: Pixels, donors: Pixels) -> Pixels:
        """Return images with the band of the donors."""
        return _mix_frequencies(images, donors, BANDS[self.index], BANDS[self.index + 1])

    def common_content(self, batches: Iterable[Pixels]) -> Float[np.ndarray, "1 ..."]:
        """Return the mean image, from `RESOLUTION` on the mean size of the waves of each channel, by frequency."""
        if self.index < RESOLUTION:
            return Region.common_content(self, batches)
        return Region.common_content(self, map(_amplitude_by_ring, batches))

    def equalize(self, images: Pixels, common: Float[np.ndarray, "1 ..."], half: Bool[np.ndarray, " n"]) -> Pixels:
        """Return images with the common content in the band; from `RESOLUTION` on as coarse as the coarsest.

        What resolution and compression leave is largest above a frequency, and reaches below it. Above the lower end of
        the band nothing is left: at any energy noise stays noise and an edge an edge, so that a network could still
        tell images apart. Below it, where all images have the detail that a disease shows in, waves are scaled to their
        mean size.
        """
        if self.index < RESOLUTION:
            return self.put(images, np.broadcast_to(common, images.shape))
        radius = _frequencies(*images.shape[2:])
        scale = common / np.maximum(_amplitude_by_ring(images), 1e-6)
        factor = np.where(radius < BANDS[RESOLUTION], 1.0, scale[:, :, _ring(radius)]) * (radius < BANDS[self.index])
        changed = np.fft.irfft2(np.fft.rfft2(images) * factor, s=images.shape[2:])
        return changed.clip(0, 1).astype(images.dtype)


_RINGS = 64
"""Rings of frequencies for each cycle per pixel."""


def _frequencies(height: int, width: int) -> Float[np.ndarray, "h k"]:
    return np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])


def _ring(radius: Float[np.ndarray, "h k"]) -> Int[np.ndarray, "h k"]:
    return (radius * _RINGS).astype(np.int64)


def _amplitude_by_ring(images: Pixels) -> Float[np.ndarray, "n c r"]:
    """Return the root of the mean power of images in rings of frequencies."""
    rings = _ring(_frequencies(*images.shape[2:]))
    power = np.abs(np.fft.rfft2(images)) ** 2
    each = [[np.bincount(rings.ravel(), plane.ravel()) for plane in planes] for planes in power]
    return np.sqrt(np.array(each) / np.maximum(np.bincount(rings.ravel()), 1))


def _mix_frequencies(images: Pixels, donors: Pixels, low: float, high: float) -> Pixels:
    """Return images with the frequencies of the donors from `low` to below `high`, in cycles per pixel."""
    height, width = images.shape[2:]
    radius = _frequencies(height, width)
    inside = (radius >= low) & (radius < high)
    spectrum, other = np.fft.rfft2(images), np.fft.rfft2(donors)
    mixed = np.fft.irfft2(np.where(inside, other, spectrum), s=(height, width))
    return mixed.clip(0, 1).astype(images.dtype)


@dataclass(frozen=True, slots=True)
class Intensities(Region):
    """The distribution of gray levels of each channel; their order stays."""

    kind: ClassVar[Kind] = "intensities"

    def put(self, images: Pixels, donors: Pixels) -> Pixels:
        """Return images with the intensities of the donors, by rank, equal pixels in order."""
        flat = images.reshape(*images.shape[:2], -1)
        out = np.empty_like(flat)
        order = np.argsort(flat, axis=2, kind="stable")
        np.put_along_axis(out, order, np.sort(donors.reshape(flat.shape), axis=2), axis=2)
        return out.reshape(images.shape)

    def common_content(self, batches: Iterable[Pixels]) -> Float[np.ndarray, "1 ..."]:
        """Return the mean quantiles of each channel, in ascending order along the rows."""
        return Region.common_content(
            self,
            (np.sort(images.reshape(*images.shape[:2], -1), axis=2).reshape(images.shape) for images in batches),
        )

    def equalize(self, images: Pixels, common: Float[np.ndarray, "1 ..."], half: Bool[np.ndarray, " n"]) -> Pixels:
        """Return images with the common distribution of gray levels.

        Equal pixels are ordered by the mean around them, so that no gaps in the histogram reveal what it was. Those
        that remain equal, such as a black background, get one gray level.

        References:
            Coltuc, Bolon and Chassery, "Exact histogram specification", IEEE Transactions on Image Processing 2006.
        """
        quantiles = common.reshape(common.shape[1], -1)
        planes = [list(map(_match_histogram, image, quantiles)) for image in images]
        return np.array(planes, dtype=images.dtype)


_DECIMALS = 4
"""Of the mean around a pixel: running sums differ a little where all pixels are equal."""


def _match_histogram(plane: Float[np.ndarray, "h w"], levels: Float[np.ndarray, " p"]) -> Float[np.ndarray, "h w"]:
    """Return a plane with other gray levels, given in ascending order."""
    flat, around = plane.ravel(), uniform_filter(plane, 3, mode="nearest").round(_DECIMALS).ravel()
    order: Int[np.ndarray, " p"] = np.lexsort((around, flat))
    differs = (np.diff(flat[order]) > 0) | (np.diff(around[order]) > 0)
    group = np.concatenate([[0], differs.cumsum()])
    out = np.empty_like(flat)
    out[order] = (np.bincount(group, levels) / np.bincount(group))[group]
    return out.reshape(plane.shape)


_MAX_SHADING_FACTOR = 4.0
"""Largest factor by which shading changes a pixel."""


@dataclass(frozen=True, slots=True)
class Shading(Region):
    """Smooth brightness of each channel, as a polynomial of degree two in place; the mean brightness stays."""

    kind: ClassVar[Kind] = "shading"

    def put(self, images: Pixels, donors: Pixels) -> Pixels:
        """Return images with their own shading divided out and that of the donors multiplied in."""
        ratio = _shading_of(donors) / _shading_of(images)
        shaded = images * ratio.clip(1 / _MAX_SHADING_FACTOR, _MAX_SHADING_FACTOR)
        return shaded.clip(0, 1).astype(images.dtype)


def _shading_of(images: Pixels) -> Float[np.ndarray, "n c h w"]:
    """Return the shading of images by least squares, as a share of the mean."""
    height, width = images.shape[2:]
    down, across = (grid.ravel() for grid in np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j])
    terms = np.stack([np.ones_like(down), down, across, down**2, across**2, down * across])
    flat = images.reshape(-1, height * width)
    smooth = flat @ np.linalg.pinv(terms) @ terms
    mean = np.maximum(flat.mean(axis=1, keepdims=True), 1 / 255)
    return np.maximum(smooth / mean, 1 / _MAX_SHADING_FACTOR).reshape(images.shape)


_BOXES_PER_SIDE = 5


def candidates(track: Track) -> tuple[Region, ...]:
    """Return the regions that are exchanged first.

    With a place they are thirds of the image at steps of a sixth, whose halves make the finer grids, two borders, and
    the corners; without, the mirror half, the bands, the intensities, and the shading.
    """
    if track == "whole":
        return (Mirror(), *map(Band, range(len(BANDS) - 1)), Intensities(), Shading())
    boxes = (
        Box(row / 6, column / 6, (row + 2) / 6, (column + 2) / 6)
        for row in range(_BOXES_PER_SIDE)
        for column in range(_BOXES_PER_SIDE)
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
