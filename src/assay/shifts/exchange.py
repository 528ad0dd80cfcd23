"""Exchange of content between images: a cell of a grid, a band of spatial frequency, or the intensities."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol, cast

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from assay.core.seeds import generator
from assay.core.types import FactorTable
from assay.data.dataset import Images
from assay.shifts.environment import Environment

# Places: what of an image is exchanged.

Kind = Literal["cell", "band", "intensities"]


class Place(Protocol):
    """A part of images that can be exchanged."""

    @property
    def kind(self) -> Kind:
        """Kind of place."""
        ...

    @property
    def name(self) -> str:
        """Name within its kind; empty for intensities."""
        ...

    def put(self, images: Float[Tensor, "b c h w"], donors: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return the images with the content of the donors there."""
        ...


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a grid of `parts` by `parts` cells, or a strip along a side: rows and columns of cells, ends excluded.

    Attributes:
        parts: Cells a side of the grid.
        top: First row of cells.
        left: First column of cells.
        high: Rows of cells.
        wide: Columns of cells.
    """

    parts: int
    top: int
    left: int
    high: int = 1
    wide: int = 1

    @property
    def kind(self) -> Kind:
        """`cell`."""
        return "cell"

    @property
    def name(self) -> str:
        """Such as `6:0,5:1x1`: cells a side, row, column, and rows by columns."""
        return f"{self.parts}:{self.top},{self.left}:{self.high}x{self.wide}"

    @classmethod
    def named(cls, name: str) -> Cell:
        """Return the cell of a name."""
        parts, place, size = name.split(":")
        return cls(int(parts), *map(int, place.split(",")), *map(int, size.split("x")))

    def pixels(self, height: int, width: int) -> tuple[slice, slice]:
        """Return its rows and columns of pixels."""
        down, across = ([round(side * at / self.parts) for at in range(self.parts + 1)] for side in (height, width))
        return (
            slice(down[self.top], down[self.top + self.high]),
            slice(across[self.left], across[self.left + self.wide]),
        )

    def split(self) -> tuple[Cell, ...]:
        """Return its quarters, cells of a grid that is twice as fine."""
        return tuple(Cell(2 * self.parts, 2 * self.top + i, 2 * self.left + j) for i in (0, 1) for j in (0, 1))

    def within(self, other: Cell) -> bool:
        """Return whether it is a part of another cell."""
        rows, columns = self.pixels(12, 12)
        more_rows, more_columns = other.pixels(12, 12)
        return (
            more_rows.start <= rows.start
            and rows.stop <= more_rows.stop
            and more_columns.start <= columns.start
            and columns.stop <= more_columns.stop
        )

    def put(self, images: Tensor, donors: Tensor) -> Tensor:
        """Return the images with the cell of the donors."""
        rows, columns = self.pixels(*images.shape[2:])
        out = images.clone()
        out[:, :, rows, columns] = donors[:, :, rows, columns]
        return out


BANDS = (0.0, 1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)
"""Ends of the bands, in cycles per pixel."""


@dataclass(frozen=True, slots=True)
class Band:
    """A band of spatial frequency; the lowest has the mean.

    Attributes:
        at: Its position in `BANDS`.
    """

    at: int

    @property
    def kind(self) -> Kind:
        """`band`."""
        return "band"

    @property
    def name(self) -> str:
        """Its position."""
        return str(self.at)

    def put(self, images: Tensor, donors: Tensor) -> Tensor:
        """Return the images with the band of the donors, in [0, 1]."""
        height, width = images.shape[2:]
        fft: Any = torch.fft  # without types
        radius = torch.hypot(fft.fftfreq(height)[:, None], fft.rfftfreq(width)[None]).to(images.device)
        inside = (radius >= BANDS[self.at]) & (radius < BANDS[self.at + 1])
        mixed = torch.where(inside, fft.rfft2(donors), fft.rfft2(images))
        return cast(Tensor, fft.irfft2(mixed, s=(height, width))).clamp(0, 1)


@dataclass(frozen=True, slots=True)
class Intensities:
    """The distribution of intensities of each channel; their order stays."""

    @property
    def kind(self) -> Kind:
        """`intensities`."""
        return "intensities"

    @property
    def name(self) -> str:
        """Empty."""
        return ""

    def put(self, images: Tensor, donors: Tensor) -> Tensor:
        """Return the images with the intensities of the donors, by rank, equal pixels in order."""
        flat = images.flatten(2)
        order = flat.argsort(dim=2, stable=True)
        values = donors.flatten(2).sort(dim=2).values
        return torch.empty_like(flat).scatter_(2, order, values).view_as(images)


COARSE = 3
"""Cells a side of the first grid."""
STRIPS = tuple(Cell(10, *one) for one in ((0, 0, 1, 10), (9, 0, 1, 10), (1, 0, 8, 1), (1, 9, 8, 1)))
"""The outer tenth of the image by side: top, bottom, left and right."""


def places(aligned: bool) -> tuple[Place, ...]:
    """Return the places that are exchanged first: cells of aligned images, else strips; bands; intensities."""
    grid = tuple(Cell(COARSE, row, column) for row in range(COARSE) for column in range(COARSE))
    bands = tuple(Band(at) for at in range(len(BANDS) - 1))
    return (*(grid if aligned else STRIPS), *bands, Intensities())


def central(cell: Cell, where: Bool[np.ndarray, "h w"]) -> bool:
    """Return whether at least half of a cell is in the center."""
    return bool(where[cell.pixels(*where.shape)].mean() >= 0.5)


def middle(height: int, width: int) -> Bool[np.ndarray, "h w"]:
    """Return the central half of the area of an image."""
    edges = [abs((np.arange(side) + 0.5) / side - 0.5) <= 0.5**1.5 for side in (height, width)]
    return edges[0][:, None] & edges[1][None]


_AT_ONCE = 16
"""Images that are changed at once."""

# Donors, and images with their content.


def donors(
    table: FactorTable, levels: Int[np.ndarray, "n c"], rounds: int, seed: int
) -> tuple[Int[np.ndarray, "r n"], Int[np.ndarray, "r n"]] | None:
    """Choose donors for each image among those of other patients, at the same levels of the columns where possible.

    Args:
        table: The images.
        levels: Level of each image in each column.
        rounds: Donors for each image.
        seed: Seed of the choice among equal ones.

    Returns:
        Positions of donors of the same class, and of another class; None where an image has no donor.
    """
    draws = generator(seed, "exchange").random((len(table), len(table)))
    found = np.empty((2, rounds, len(table)), dtype=np.int64)
    for at in range(len(table)):
        alike = (levels == levels[at]).sum(axis=1)
        others = table.patient != table.patient[at]
        same = table.target == table.target[at]
        for side, able in enumerate((others & same, others & ~same)):
            candidates = np.flatnonzero(able)
            if not len(candidates):
                return None
            order = candidates[np.lexsort((draws[at, candidates], -alike[candidates]))]
            found[side, :, at] = np.resize(order[:rounds], rounds)
    return found[0], found[1]


@dataclass(frozen=True)
class ExchangedImages:
    """`Images` with content of donors.

    Attributes:
        images: All images.
        own: Position of each image.
        donors: Position of its donor.
        place: Which content.
    """

    images: Images
    own: Int[np.ndarray, " n"]
    donors: Int[np.ndarray, " n"]
    place: Place

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        return self.images.shape

    def __len__(self) -> int:
        return len(self.own)

    def read(self, index: np.ndarray) -> Float[Tensor, "n c h w"]:
        """Changed images at these positions."""
        out = torch.empty(len(index), *self.shape)
        for start in range(0, len(index), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            own, donors = (self.images.read(places[index[part]]) for places in (self.own, self.donors))
            out[part] = self.place.put(own, donors)
        return out


def exchanged(environment: Environment, place: Place, rounds: Iterable[Int[np.ndarray, " n"]]) -> Environment:
    """Return the images of an environment with content of donors, once for each round, one round after the other."""
    chosen = list(rounds)
    own = np.tile(np.arange(len(environment)), len(chosen))
    images = ExchangedImages(environment.images, own, np.concatenate(chosen), place)
    boxes = None if environment.boxes is None else environment.boxes[own]
    name = f"(exchanged {place.kind} {place.name})"
    return replace(environment, name=name, table=environment.table.take(own), images=images, boxes=boxes, original=None)
