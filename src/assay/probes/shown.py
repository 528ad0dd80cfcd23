"""The images that show lesions, and which pixels are which lesion's: by kind and by size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Int
from scipy import ndimage
from torch import Tensor

from assay.core.seeds import row_uniform
from assay.data.dataset import Lesions, Masks
from assay.shifts.environment import Environment
from assay.shifts.picking import PickedImages, PickedMasks

SIZES = ("small", "medium", "large")
"""Thirds of the lesions shown, by area."""
_BATCH = 256
_IN_PLANE = np.stack([np.zeros((3, 3)), np.ones((3, 3)), np.zeros((3, 3))])
"""Pixels that touch within an image, at corners too; never those of two images."""


@dataclass(frozen=True)
class Part:
    """Some lesions of the images: of a kind or of a size; of any where both are empty."""

    kind: str
    size: str
    masks: Bool[np.ndarray, "n h w"]


@dataclass(frozen=True)
class Shown:
    """Images with a lesion. of_kind: a plane for each of `kinds`, which may overlap. name, rows: of the environment
    they are from, and their positions there.
    """

    environment: Environment
    name: str
    rows: Int[np.ndarray, " n"]
    of_kind: Bool[np.ndarray, "n k h w"]
    kinds: tuple[str, ...]

    @cached_property
    def lesion(self) -> Bool[np.ndarray, "n h w"]:
        """Pixels of any lesion."""
        return np.logical_or.reduce(self.of_kind, axis=1)

    def parts(self) -> Iterator[Part]:
        """All lesions; where there are several kinds each of them; the thirds by size, where sizes differ."""
        yield Part("", "", self.lesion)
        if len(self.kinds) > 1:
            for number, kind in enumerate(self.kinds):
                yield Part(kind, "", self.of_kind[:, number])
        third, number = self.thirds()
        for rank, size in enumerate(SIZES):
            if (third == rank).any() and len(np.unique(third)) > 1:
                yield Part("", size, np.append(third == rank, False)[number - 1])

    def thirds(self) -> tuple[Int[np.ndarray, " l"], Int[np.ndarray, "n h w"]]:
        """Which third by area each lesion lies in, and which lesion, from 1, each pixel belongs to.

        A lesion is what touches, of whatever kind. Lesions of one area lie in one third.
        """
        number, lesions = _numbered(self.lesion)
        area = np.bincount(number.ravel(), minlength=lesions + 1)[1:]
        return np.searchsorted(np.quantile(area, (1 / 3, 2 / 3)), area), number

    def areas(self) -> dict[str, float]:
        """Mean area in px of the lesions of each size."""
        third, number = self.thirds()
        area = np.bincount(number.ravel(), minlength=len(third) + 1)[1:]
        return {size: float(area[third == rank].mean()) for rank, size in enumerate(SIZES) if (third == rank).any()}


@dataclass(frozen=True)
class OfMasks:
    """`Lesions` as label maps tell them."""

    masks: Masks

    @property
    def kinds(self) -> tuple[str, ...]:
        """Names of the kinds of lesion."""
        return self.masks.kinds

    def __len__(self) -> int:
        return len(self.masks)

    def read(self, index: np.ndarray) -> Bool[Tensor, "n k h w"]:
        """A plane per kind at these positions, in this order."""
        return self.masks.read(index) == torch.arange(1, len(self.kinds) + 1)[:, None, None]


def lesions_of(environment: Environment) -> Lesions | None:
    """Where lesions lie, by kind as far as that is known; None where nothing says it."""
    if environment.lesions is not None:
        return environment.lesions
    return None if environment.masks is None else OfMasks(environment.masks)


def shown(environment: Environment, images: int) -> Shown | None:
    """Up to so many images that show a lesion, the same ones for every model; None where there is none.

    They have the smallest of numbers drawn from the row alone. Without masks or boxes none is known to show one.
    """
    lesions = lesions_of(environment)
    if lesions is None:
        return None
    order = np.argsort(row_uniform(0, "attribution", environment.table.row), kind="stable")
    chosen = np.sort(_with_lesion(lesions, order, images))
    if not len(chosen):
        return None
    return Shown(
        Environment(
            f"(lesions in {environment.name})",
            environment.table.take(chosen),
            PickedImages(environment.images, chosen),
            None if environment.masks is None else PickedMasks(environment.masks, chosen),
            (),
        ),
        environment.name,
        chosen,
        lesions.read(chosen).numpy(),
        lesions.kinds,
    )


def _with_lesion(lesions: Lesions, order: Int[np.ndarray, " n"], wanted: int) -> Int[np.ndarray, " m"]:
    """The first so many positions that show one, in this order; no more are looked at than it takes."""
    found = np.empty(0, np.int64)
    for start in range(0, len(order), _BATCH):
        index = order[start : start + _BATCH]
        found = np.concatenate([found, index[lesions.read(index).flatten(1).any(dim=1).numpy()]])
        if len(found) >= wanted:
            break
    return found[:wanted]


def _numbered(lesion: Bool[np.ndarray, "n h w"]) -> tuple[Int[np.ndarray, "n h w"], int]:
    found, count = ndimage.label(lesion, structure=_IN_PLANE)  # pyright: ignore[reportGeneralTypeIssues]
    return found, int(count)
