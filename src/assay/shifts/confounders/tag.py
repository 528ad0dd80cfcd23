"""The text tag: the first intervention, kept to the byte."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from assay.core.errors import SpecError
from assay.shifts.confounders.layers import Window, whole
from assay.shifts.intervention import Draws, Parameters

_R = (
    "####.",
    "#...#",
    "#...#",
    "####.",
    "#.#..",
    "#..#.",
    "#...#",
)


@dataclass(frozen=True, slots=True)
class Tag:
    """A bright tag, the laterality marker of a radiograph: pixels x become x + contrast (1 - x).

    See `TagParams` for units. The centre is drawn within `jitter` of (x, y) and then moved as little as needed for the
    tag to lie within the image. Colour images get it in every channel. A tag is 7 : 5, at least one pixel each way.
    """

    size: float
    x: float
    y: float
    contrast: float
    jitter: float
    shape: Literal["letter", "rectangle"]

    def check(self, shape: tuple[int, int, int]) -> None:
        """Raises SpecError when the tag is larger than the image."""
        _, height, width = shape
        tall, wide = self._extent(shape)
        if tall > height or wide > width:
            raise SpecError(
                f"a tag of size {self.size:g} is {tall} x {wide} px, larger than the image of {height} x {width} px: "
                "give a size of at most 1"
            )

    def draw(self, draws: Draws, shape: tuple[int, int, int]) -> dict[str, Tensor]:
        """`top` and `left`: the tag's first row and column, int64 [n]."""
        _, height, width = shape
        tall, wide = self._extent(shape)
        reach = 2 * self.jitter * min(height, width)
        top = self.y * height - tall / 2 + reach * (draws.uniform("y") - 0.5)
        left = self.x * width - wide / 2 + reach * (draws.uniform("x") - 0.5)
        return {
            "top": top.round().clamp(0, height - tall).long(),
            "left": left.round().clamp(0, width - wide).long(),
        }

    def apply(self, images: Float[Tensor, "b c h w"], parameters: Parameters) -> Float[Tensor, "b c h w"]:
        """The images with the tag on them."""
        out = images.clone()
        if not len(images):
            return out
        shape = (images.shape[1], images.shape[2], images.shape[3])
        tall, wide = self._extent(shape)
        top, left = parameters["top"], parameters["left"]
        first_row, first_column = int(top.min()), int(left.min())
        within = Window(
            first_row, first_column, int(top.max()) + tall - first_row, int(left.max()) + wide - first_column
        )
        part = within.of(out)
        part.copy_(torch.where(self._covered(parameters, shape, within), part + self.contrast * (1 - part), part))
        return out

    def mask(self, parameters: Parameters, shape: tuple[int, int, int]) -> Bool[Tensor, "b 1 h w"]:
        """The tag's pixels."""
        return self._covered(parameters, shape, whole(shape))

    def letters(self, shape: tuple[int, int, int]) -> float:
        """See `Lettered`."""
        return float(self._extent(shape)[0]) if self.shape == "letter" else 0.0

    def _covered(self, parameters: Parameters, shape: tuple[int, int, int], within: Window) -> Bool[Tensor, "b 1 h w"]:
        """Those of a window's pixels that are the tag's."""
        tall, wide = self._extent(shape)
        top, left = parameters["top"], parameters["left"]
        down = torch.arange(within.top, within.top + within.height, device=top.device) - top[:, None]
        along = torch.arange(within.left, within.left + within.width, device=top.device) - left[:, None]
        inside = ((down >= 0) & (down < tall))[:, :, None] & ((along >= 0) & (along < wide))[:, None, :]
        if self.shape == "letter":
            glyph = torch.tensor([[cell == "#" for cell in line] for line in _R], device=top.device)
            line = (down.clamp(0, tall - 1) * len(_R)) // tall
            cell = (along.clamp(0, wide - 1) * len(_R[0])) // wide
            inside = inside & glyph[line[:, :, None], cell[:, None, :]]
        return inside[:, None]

    def _extent(self, shape: tuple[int, int, int]) -> tuple[int, int]:
        """Height and width in pixels."""
        tall = self.size * min(shape[1:])
        return max(1, round(tall)), max(1, round(tall * len(_R[0]) / len(_R)))
