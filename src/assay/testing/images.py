"""Images in memory, and small sets whose classes are easy to tell apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from assay.plugin import ONE_KIND, Environment, FactorTable, mark_factor
from assay.recipes.untyped import tensor_of


@dataclass(frozen=True)
class ImagesInMemory:
    """`Images` over a tensor [n, c, h, w]."""

    pixels: Float[Tensor, "n c h w"]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        channels, height, width = self.pixels.shape[1:]
        return channels, height, width

    def __len__(self) -> int:
        return len(self.pixels)

    def read(self, index: np.ndarray) -> Float[Tensor, "b c h w"]:
        """See `Images`."""
        return self.pixels[torch.as_tensor(index)]


@dataclass(frozen=True)
class MasksInMemory:
    """`Masks` over a tensor [n, 1, h, w] of labels, or of bool where there is one kind."""

    masks: Bool[Tensor, "n 1 h w"] | UInt8[Tensor, "n 1 h w"]
    kinds: tuple[str, ...] = ONE_KIND

    def __len__(self) -> int:
        return len(self.masks)

    def read(self, index: np.ndarray) -> UInt8[Tensor, "b 1 h w"]:
        """See `Masks`."""
        return self.masks[torch.as_tensor(index)].to(torch.uint8)


def squares(rows: int, seed: int = 0, size: int = 16, channels: int = 1, classes: int = 2) -> Environment:
    """Noise with one bright square per image and its mask; its side is 3 pixels and 2 more for every class.

    The factor `mark` says nothing and shows nowhere: it makes groups, each half of a class.
    """
    rng = np.random.default_rng(seed)
    target = rng.integers(0, classes, rows)
    pixels = rng.random((rows, channels, size, size), dtype=np.float32) * 0.5
    masks = np.zeros((rows, 1, size, size), dtype=bool)
    for image in range(rows):
        side = 3 + 2 * int(target[image])
        top, left = rng.integers(0, size - side, 2)
        masks[image, 0, top : top + side, left : left + side] = True
    pixels += np.float32(0.4) * masks
    table = FactorTable(
        row=np.arange(rows) + 1000 * seed,
        target=target,
        patient=np.arange(rows),
        classes=tuple(f"class {number}" for number in range(classes)),
        factors=(mark_factor("mark"),),
        columns={"mark": _alternating(target)},
    )
    images, outlines = ImagesInMemory(tensor_of(pixels)), MasksInMemory(tensor_of(masks))
    return Environment("squares", table, images, outlines, ())


def _alternating(target: np.ndarray) -> np.ndarray:
    """0 and 1 in turn within each class, int64 [n]."""
    mark = np.zeros(len(target), dtype=np.int64)
    for number in np.unique(target):
        rows = np.flatnonzero(target == number)
        mark[rows] = np.arange(len(rows)) % 2
    return mark


def images_of(count: int, channels: int, size: int) -> Tensor:
    """Uniform noise in [0, 1), the same each time."""
    return torch.rand((count, channels, size, size), generator=torch.Generator().manual_seed(0))


def spots(count: int, channels: int, size: int, per_pixel: bool) -> tuple[Tensor, Tensor]:
    """Dim noise; every second image has a bright square on a quarter of its area. The target is whether it has one, or
    whether a pixel lies in one.
    """
    images, inside = 0.5 * images_of(count, channels, size), torch.zeros(count, size, size)
    inside[1::2, size // 4 : 3 * size // 4, size // 4 : 3 * size // 4] = 1
    images += 0.4 * inside[:, None]
    return images, inside.long() if per_pixel else inside.amax((1, 2)).long()
