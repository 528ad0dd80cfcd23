"""Pixels of a remedy: patches of donors at the place of a mark, or one content in all images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch.nn.functional import adaptive_avg_pool2d

from assay.audit.search.regions import Border, Box, Corners, MovingRegion, Pixels, Region
from assay.core.errors import SpecError
from assay.core.seeds import generator
from assay.shifts.environment import Environment

# A patch of another image leaves a seam. All images therefore get one, from images of any class: patches of the image's
# own class, or on carriers alone, would reveal the class as the mark did. Where the mark is a shape at changing places,
# an image without it gets a patch where a random carrier has it.

Change = Callable[[Int[np.ndarray, " k"], Pixels], Pixels]
"""Positions of images and their pixels -> the pixels of the remedy."""
_MARGIN = 0.5
"""Margin of the covered area around the region on each side, as a share of the region."""
_DONOR_SHARE = 0.25
"""Share of the images without the mark that are donors: those least likely to have it."""
_COMPARED_SIDE = 16
"""Side to which images are averaged to compare them outside the region."""
BATCH_SIZE = 64


@dataclass(frozen=True, slots=True)
class Cover:
    """Patches on images.

    Attributes:
        change: Puts them on.
        share: Their share of an image.
        donors: Number of the images that they come from.
    """

    change: Change
    share: float
    donors: int


def equalizing_change(images: Environment, region: Region) -> Change:
    """Return the change that gives all images the same content of a whole-image region, whatever their class."""
    common = region.common_content(images.images.read(part).numpy() for part in row_batches(len(images)))
    in_mirrored_half = np.zeros(len(images), dtype=bool)
    for code in np.unique(images.table.target):
        of_class = generator(0, "mirrored", int(code)).permutation(np.flatnonzero(images.table.target == code))
        in_mirrored_half[of_class[: len(of_class) // 2]] = True
    return lambda rows, pixels: region.equalize(pixels, common, in_mirrored_half[rows])


def cover_region(
    images: Environment, region: Region, donors: Int[np.ndarray, " d"], carriers: Int[np.ndarray, " c"]
) -> Cover:
    """Return patches that cover a region in images with the content of the most similar donor of another patient.

    Args:
        images: All images.
        region: The place of the mark, or the shape.
        donors: Positions of images without the mark, of any class.
        carriers: Positions of images that surely carry it.

    Raises:
        SpecError: All donors are of one patient, whose images would be covered by that patient's own.
    """
    if len(np.unique(images.table.patient[donors])) < 2:
        raise SpecError(
            "all images without the mark are of one patient, and a patch must come from another one: audit images of "
            "more patients"
        )
    content, patient = images.images.read(donors).numpy(), images.table.patient
    if isinstance(region, MovingRegion):
        places, share = _moving_places(images, region, carriers)
    else:
        mask = with_margin(region).pixel_mask(*content.shape[2:])
        assert mask is not None
        places, share = _fixed_places(mask), float(mask.mean())

    def cover_rows(rows: Int[np.ndarray, " k"], pixels: Pixels) -> Pixels:
        where = places(rows, pixels)
        distances = _distances_outside(pixels, content, where)
        distances[patient[rows][:, None] == patient[donors]] = np.inf
        return np.where(where[:, None], content[distances.argmin(axis=1)], pixels)

    return Cover(cover_rows, share, len(donors))


_Places = Callable[[Int[np.ndarray, " k"], Pixels], Bool[np.ndarray, "k h w"]]
"""Positions of images and their pixels -> where they get a patch."""


def _fixed_places(mask: Bool[np.ndarray, "h w"]) -> _Places:
    return lambda rows, pixels: np.broadcast_to(mask, (len(rows), *mask.shape))


def _moving_places(images: Environment, region: MovingRegion, carriers: Int[np.ndarray, " c"]) -> tuple[_Places, float]:
    """Return where images have a shape, and those without it where a random carrier has it, with its mean share."""
    squares = region.occurrences(images.images.read(carriers).numpy())[0]
    picks = generator(0, "covered places").integers(0, len(carriers), len(images))

    def squares_of(rows: Int[np.ndarray, " k"], pixels: Pixels) -> Bool[np.ndarray, "k h w"]:
        where, has = region.occurrences(pixels)
        return np.where(has[:, None, None], where, squares[picks[rows]])

    return squares_of, float(squares.mean())


def likely_without_mark(carry: Bool[np.ndarray, " n"], values: Float[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    """Return the images without the mark whose worth is least like that of carriers; all where no worth is known.

    The worth of the halves of a search differs by a constant, so that all may come from one of them.
    """
    toward = values if values[carry].mean() > values[~carry].mean() else -values
    return ~carry & ~(toward > np.quantile(toward[~carry], _DONOR_SHARE))


def with_margin(region: Region) -> Region:
    """Return the region with a margin: a search keeps the smallest part that has most of an effect."""
    match region:
        case Box(top, left, bottom, right):
            high, wide = _MARGIN * (bottom - top), _MARGIN * (right - left)
            return Box(max(0.0, top - high), max(0.0, left - wide), min(1.0, bottom + high), min(1.0, right + wide))
        case Border(width):
            return Border((1 + _MARGIN) * width)
        case Corners(side):
            return Corners((1 + _MARGIN) * side)
        case _:
            return region


def row_batches(count: int) -> list[Int[np.ndarray, " k"]]:
    """Return positions of images, a few at once."""
    return np.array_split(np.arange(count), max(1, count // BATCH_SIZE))


def _distances_outside(images: Pixels, donors: Pixels, where: Bool[np.ndarray, "n h w"]) -> Float[np.ndarray, "n d"]:
    """Return squared distances of averaged images and donors, outside the region of each image."""
    small, near, far = (
        adaptive_avg_pool2d(torch.as_tensor(each), _COMPARED_SIDE) for each in (where * 1.0, images, donors)
    )
    outside = (small == 0).float()[:, None].expand_as(near).flatten(1)
    ours, theirs = near.flatten(1) * outside, far.flatten(1)
    # |a - b|^2 = |a|^2 - 2ab + |b|^2, where b is of the cells outside the region of a
    return ((ours**2).sum(1)[:, None] - 2 * ours @ theirs.T + outside @ (theirs**2).T).numpy()
