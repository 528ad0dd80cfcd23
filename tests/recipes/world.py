"""Small sets whose images tell the class by the size of a bright square, for tests of training."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from assay.core.registry import ComponentKind
from assay.core.spec import Component, RecipeSpec
from assay.core.types import FactorTable
from assay.shifts.environment import Environment


@dataclass
class Pictures:
    """`Images` in memory that counts what was read."""

    pixels: Tensor
    reads: list[int] = field(default_factory=list)

    @property
    def shape(self) -> tuple[int, int, int]:
        channels, height, width = self.pixels.shape[1:]
        return channels, height, width

    def __len__(self) -> int:
        return len(self.pixels)

    def read(self, index: np.ndarray) -> Tensor:
        self.reads.append(len(index))
        return self.pixels[torch.from_numpy(index)]


@dataclass
class Outlines:
    """`Masks` in memory."""

    masks: Tensor

    def __len__(self) -> int:
        return len(self.masks)

    def read(self, index: np.ndarray) -> Tensor:
        return self.masks[torch.from_numpy(index)]


def squares(rows: int, seed: int = 0, size: int = 16, channels: int = 1, classes: int = 2) -> Environment:
    """Noise with one square per image; its side is 3 pixels and 2 more for every class."""
    rng = np.random.default_rng(seed)
    target = rng.integers(0, classes, rows)
    pixels = rng.random((rows, channels, size, size), dtype=np.float32) * 0.5
    masks = np.zeros((rows, 1, size, size), dtype=bool)
    for image in range(rows):
        side = 3 + 2 * int(target[image])
        top, left = rng.integers(0, size - side, 2)
        masks[image, 0, top : top + side, left : left + side] = True
    pixels += 0.4 * masks
    table = FactorTable(
        row=np.arange(rows) + 1000 * seed,
        target=target,
        patient=np.arange(rows),
        classes=tuple(f"class {number}" for number in range(classes)),
    )
    return Environment("squares", table, Pictures(torch.from_numpy(pixels)), Outlines(torch.from_numpy(masks)), ())


def part(kind: ComponentKind, name: str, **params: Any) -> Component:
    return Component(kind=kind, name=name, params=params)


def recipe(loss: str = "cross-entropy", **fields: Any) -> RecipeSpec:
    """A recipe of few steps."""
    given = {"epochs": 2, "batch_size": 16, "loss": part("loss", loss), **fields}
    return RecipeSpec(**given)


def same_state(first: torch.nn.Module, second: torch.nn.Module) -> bool:
    """Bit for bit."""
    a, b = first.state_dict(), second.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)
