"""Drawing many small things on a batch of images, each in a window of its own, joined by the brightest.

The maximum does not depend on the order in which things are drawn, so a batch can be drawn at once and a row comes out
the same in any batch.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


@dataclass(frozen=True, slots=True)
class Grid:
    """Square images of `size` px that show `field` mm a side; the origin of coordinates is the image's centre."""

    size: int
    field: float
    device: str

    @property
    def pixel(self) -> float:
        """Millimetres per pixel."""
        return self.field / self.size

    def blank(self, rows: int) -> Float[Tensor, "rows pixels"]:
        """An empty canvas, flat."""
        return torch.zeros(rows, self.size * self.size, device=self.device)

    def millimetres(self, index: Int[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Where the centre of the pixel of this column (or line) lies."""
        return (index.to(torch.float32) + (0.5 - 0.5 * self.size)) * self.pixel

    def axes(self) -> tuple[Float[Tensor, "1 1 size"], Float[Tensor, "1 size 1"]]:
        """x and y of all pixels, to be broadcast."""
        line = self.millimetres(torch.arange(self.size, device=self.device))
        return line.view(1, 1, -1), line.view(1, -1, 1)


@dataclass(frozen=True, slots=True)
class Windows:
    """Square windows of equal width, each on the image of some row, kept inside it.

    x: [m, 1, w] and y: [m, w, 1] in mm; index: [m, w, w], places on the flat canvas of all rows.
    """

    x: Float[Tensor, "m 1 w"]
    y: Float[Tensor, "m w 1"]
    index: Int[Tensor, "m w w"]

    @staticmethod
    def around(
        row: Int[np.ndarray, "m"],
        x: Float[np.ndarray, "m"],
        y: Float[np.ndarray, "m"],
        radius: float,
        grid: Grid,
    ) -> Windows:
        """Windows that hold every pixel of a row's image within `radius` mm of these points."""
        width = min(grid.size, int(np.ceil(2 * radius / grid.pixel)) + 1)
        steps = torch.arange(width, device=grid.device)
        columns = _first(x - radius, width, grid)[:, None, None] + steps
        lines = _first(y - radius, width, grid)[:, None, None] + steps[:, None]
        above = torch.as_tensor(row * grid.size, device=grid.device)[:, None, None]
        return Windows(grid.millimetres(columns), grid.millimetres(lines), (lines + above) * grid.size + columns)

    def read(self, canvas: Tensor) -> Float[Tensor, "m w w"]:
        """What stands in the windows of a contiguous canvas of all rows."""
        return canvas.view(-1).index_select(0, self.index.view(-1)).view(self.index.shape)

    def write(self, canvas: Tensor, values: Float[Tensor, "m w w"]) -> None:
        """Replace what stands in the windows. No row may have two of them: one would win at random."""
        canvas.view(-1).scatter_(0, self.index.view(-1), values.reshape(-1))

    def draw(self, canvas: Float[Tensor, "n pixels"], values: Float[Tensor, "m w w"]) -> None:
        """Raise the canvas to these values where they are higher."""
        canvas.view(-1).scatter_reduce_(0, self.index.view(-1), values.reshape(-1), "amax")

    def blend(
        self, canvas: Float[Tensor, "n pixels"], values: Float[Tensor, "m w w"], cover: Float[Tensor, "m w w"]
    ) -> None:
        """Put these values in place of this share (0..1) of the canvas. At most one window on each row.

        Where nothing is covered the canvas stays the same to the bit; where all is, the values are, to the bit.
        """
        self.write(canvas, self.read(canvas).mul_(1 - cover).add_(values * cover))

    def multiply(self, canvas: Float[Tensor, "n pixels"], values: Float[Tensor, "m w w"]) -> None:
        """Multiply the canvas by these values. At most one window on each row."""
        self.write(canvas, self.read(canvas).mul_(values))

    def mark(self, mask: Bool[Tensor, "n pixels"], inside: Bool[Tensor, "m w w"]) -> None:
        """Add these pixels to a mask. At most one window on each row."""
        self.write(mask, self.read(mask).logical_or_(inside))


Record = TypeVar("Record", bound="DataclassInstance")


def take(record: Record, part: slice | Int[np.ndarray, "m"]) -> Record:
    """Some rows of a dataclass whose fields are arrays [n, ...] or such dataclasses again."""
    chosen: dict[str, Any] = {}
    for field in fields(record):
        value = getattr(record, field.name)
        chosen[field.name] = value[part] if isinstance(value, np.ndarray) else take(value, part)
    return replace(record, **chosen)


def column(values: Float[np.ndarray, "*shape"], device: str) -> Float[Tensor, "*shape 1 1"]:
    """Float64 parameters as float32 with two axes for the pixels."""
    return torch.as_tensor(values.astype(np.float32), device=device)[..., None, None]


def ramp(depth: Float[Tensor, "*shape"], blur: Float[Tensor, "*other"]) -> Float[Tensor, "*shape"]:
    """Coverage 0..1 of a pixel whose centre lies `depth` mm inside an edge that the scanner blurs over `blur` mm."""
    t = (depth / blur).add_(0.5).clamp_(0, 1)
    return (t * -2).add_(3).mul_(t).mul_(t)


def _first(edge: Float[np.ndarray, "m"], width: int, grid: Grid) -> Int[Tensor, "m"]:
    """The first column (or line) whose centre is not before `edge` (mm), such that the window stays in the image."""
    first = np.ceil(edge / grid.pixel + 0.5 * (grid.size - 1))
    return torch.as_tensor(np.clip(first, 0, grid.size - width).astype(np.int64), device=grid.device)
