"""Places of pixels in space: whether a mask lies on its image where one of the two is NIfTI, whose axes may be turned.

NIfTI, DICOM with an orientation, and other images each have a grid: the position of the first pixel and the steps to
the next column and row, in mm to the right, to the front and upwards (RAS). A mask belongs on its image if both grids
cover the same place, and is turned where their axes run otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Int

from assay.data.files.decode import FileFact
from assay.data.files.listing import Listing
from assay.data.files.masks import MaskAt, TurnedMask
from assay.data.files.pictures import Header
from assay.data.files.table import Problem, Unreadable

_HALF = 0.5
"""Pixels by which corners of the same place may differ."""
_TURNS = range(1, 9)
"""Orientations as EXIF counts them: 1 is no turn, 5 to 8 exchange columns and rows."""


def on_images(
    listing: Listing, facts: Sequence[FileFact], masks: Sequence[FileFact | None]
) -> tuple[Listing, Int[np.ndarray, " k"], tuple[str, ...]]:
    """Return a listing whose masks are turned to their images, without those for which it is not known how to; the
    positions that were kept; and a caution on masks that lie elsewhere.

    Args:
        listing: Images and masks whose headers can be read.
        facts: Of the images.
        masks: Of the masks, None for those that are no files.
    """
    cells: list[MaskAt] = [*listing.cells("mask")]
    problems: list[Problem] = []
    shifted = 0
    for at, (fact, mask) in enumerate(zip(facts, masks, strict=True)):
        path = cells[at]
        if fact.header is None or mask is None or mask.header is None or not isinstance(path, Path):
            continue
        try:
            turn = _turn_of_mask(fact.header, mask.header)
        except Unreadable as error:
            problems.append(listing.problem(at, error.what, error.remedy))
            continue
        cells[at] = path if turn == 1 else TurnedMask(path, turn)
        shifted += _is_shifted(fact.header, mask.header)
    column = np.empty(len(cells), dtype=object)
    column[:] = cells
    if turned := sum(isinstance(cell, TurnedMask) for cell in cells):
        sentence = f"{turned:,} masks were turned to their images: the affines of their NIfTI files show how"
        listing = replace(listing, matched=(*listing.matched, sentence))
    caution = (
        f"NIfTI headers of {shifted:,} masks state another place or pixel size than those of their images: they were "
        "laid on pixel by pixel; check that they lie on the lesions"
    )
    return *replace(listing, frame=listing.frame.assign(mask=column)).drop(problems), ((caution,) if shifted else ())


def _turn_of_mask(image: Header, mask: Header) -> int:
    """Return the orientation (as of EXIF) that brings a mask to its image; 1 where neither is NIfTI.

    Raises:
        Unreadable: If it is not known how their axes run towards each other.
    """
    if image.axes == mask.axes:
        return 1
    grids = [_grid_of(header, other) for header, other in ((image, mask), (mask, image))]
    if grids[0] is not None and grids[1] is not None:
        for turn in _TURNS:
            turned, width, height = _turned_grid(grids[1], mask, turn)
            if (width, height) == (image.width, image.height) and _distance_of_corners(grids[0], turned, image) < _HALF:
                return turn
    if image.axes and mask.axes:
        what = f"its mask has the axes {mask.axes} of NIfTI, the image {image.axes}, and their affines do not fit"
        raise Unreadable(what, "write the affine of the image into the mask, or resample the mask to the image")
    what = "of image and mask only one is NIfTI, and its affine does not fit the other: the mask may lie mirrored"
    raise Unreadable(what, "save both as PNG, or both as NIfTI with the same affine")


def _is_shifted(image: Header, mask: Header) -> bool:
    """Return whether a mask whose axes run like those of its image lies elsewhere, or has pixels of another size."""
    if not (image.grid and mask.grid and image.axes and image.axes == mask.axes):
        return False
    return _distance_of_corners(np.reshape(image.grid, (3, 3)), np.reshape(mask.grid, (3, 3)), image) > _HALF


def _grid_of(header: Header, other: Header) -> np.ndarray | None:
    """Return the position of the first pixel, and the steps to the next column and row [3, 3]; None if not known.

    An image that states none, such as a PNG or an X-ray, has the grid that ITK gives it: the first pixel is at 0,
    columns run to the left and rows to the back, and pixels are as large as in the NIfTI file that was made from it.
    """
    if header.grid:
        return np.reshape(header.grid, (3, 3))
    if header.axes or not other.grid:
        return None
    sizes = np.linalg.norm(np.reshape(other.grid, (3, 3))[1:], axis=1)
    return np.array([[0, 0, 0], [-sizes[0], 0, 0], [0, -sizes[1], 0]])


def _turned_grid(grid: np.ndarray, header: Header, turn: int) -> tuple[np.ndarray, int, int]:
    """Return the grid of a turned image, its width and its height."""
    first, across, down = grid
    width, height = header.width, header.height
    if turn >= 5:
        across, down, width, height = down, across, height, width
    if turn in (3, 4, 7, 8):  # rows are mirrored
        first, down = first + (height - 1) * down, -down
    if turn in (2, 3, 6, 7):  # columns are
        first, across = first + (width - 1) * across, -across
    return np.array([first, across, down]), width, height


def _distance_of_corners(first: np.ndarray, second: np.ndarray, header: Header) -> float:
    """Return the greatest distance of corners in pixels of the first, within its plane: slices may lose their depth."""
    ends = np.array([[1, x, y] for x in (0, header.width - 1) for y in (0, header.height - 1)])
    shifted = ends @ (second - first)
    steps = first[1:]
    return float(np.abs(shifted @ steps.T / np.square(steps).sum(axis=1)).max())
