"""Recipes in few words, and images that count what was read of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor

from assay.core.registry import ComponentKind
from assay.data.dataset import Images
from assay.spec.schema import Component, RecipeSpec


@dataclass
class CountedImages:
    """`Images` that counts what was read."""

    images: Images
    reads: list[int] = field(default_factory=list)

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.images.shape

    def __len__(self) -> int:
        return len(self.images)

    def read(self, index: np.ndarray) -> Tensor:
        self.reads.append(len(index))
        return self.images.read(index)


def part(kind: ComponentKind, name: str, **params: Any) -> Component:
    return Component(kind=kind, name=name, params=params)


def recipe(loss: str = "cross-entropy", **fields: Any) -> RecipeSpec:
    """A recipe of few steps."""
    given = {"epochs": 2, "batch_size": 16, "loss": part("loss", loss), **fields}
    return RecipeSpec(**given)
