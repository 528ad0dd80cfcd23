"""The text tag: the first intervention, kept to the byte."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from assay.core.errors import SpecError
from assay.shifts.confounders.mark_kernels import stamp
from assay.shifts.confounders.processor import at_hand
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
        pixels = images.flatten(2)
        at = self._pixels(parameters, (images.shape[1], images.shape[2], images.shape[3]))
        if at_hand(images):
            out = pixels.clone(memory_format=torch.contiguous_format)
            stamp(out.numpy(), at[:, 0].numpy(), self.contrast)
            return out.view(images.shape)
        at = at.expand(-1, images.shape[1], -1)
        covered = pixels.gather(2, at)
        return pixels.scatter(2, at, covered + self.contrast * (1 - covered)).view(images.shape)

    def mask(self, parameters: Parameters, shape: tuple[int, int, int]) -> Bool[Tensor, "b 1 h w"]:
        """The tag's pixels."""
        at = self._pixels(parameters, shape)
        covered = torch.zeros(len(at), 1, shape[1] * shape[2], dtype=torch.bool, device=at.device)
        return covered.scatter_(2, at, value=True).view(len(at), 1, *shape[1:])

    def letters(self, shape: tuple[int, int, int]) -> float:
        """See `Lettered`."""
        return float(self._extent(shape)[0]) if self.shape == "letter" else 0.0

    def _pixels(self, parameters: Parameters, shape: tuple[int, int, int]) -> Int[Tensor, "b 1 k"]:
        """Where the tag's pixels lie among an image's, row after row."""
        tall, wide = self._extent(shape)
        inside = np.ones((tall, wide), dtype=bool)
        if self.shape == "letter":
            line, cell = np.arange(tall) * len(_R) // tall, np.arange(wide) * len(_R[0]) // wide
            inside = np.array([[cell == "#" for cell in line] for line in _R])[line[:, None], cell]
        down, along = inside.nonzero()
        corner = parameters["top"] * shape[2] + parameters["left"]
        return corner[:, None, None] + torch.as_tensor(down * shape[2] + along, device=corner.device)

    def _extent(self, shape: tuple[int, int, int]) -> tuple[int, int]:
        """Height and width in pixels."""
        tall = self.size * min(shape[1:])
        return max(1, round(tall)), max(1, round(tall * len(_R[0]) / len(_R)))
