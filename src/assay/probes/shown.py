"""The images that show lesions, and which pixels are which lesion's: by kind and by size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int, UInt8
from scipy import ndimage

from assay.core.seeds import row_uniform
from assay.data.dataset import Masks
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
    """Images with a lesion. labels: 0 background, i the i-th of `kinds`. name, rows: of the environment they are from,
    and their positions there.
    """

    environment: Environment
    name: str
    rows: Int[np.ndarray, " n"]
    labels: UInt8[np.ndarray, "n h w"]
    kinds: tuple[str, ...]

    @property
    def lesion(self) -> Bool[np.ndarray, "n h w"]:
        """Pixels of any lesion."""
        return self.labels > 0

    def parts(self) -> Iterator[Part]:
        """All lesions; where there are several kinds each of them; the thirds by size, where sizes differ."""
        yield Part("", "", self.lesion)
        if len(self.kinds) > 1:
            for number, kind in enumerate(self.kinds, start=1):
                yield Part(kind, "", self.labels == number)
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


def shown(environment: Environment, images: int) -> Shown | None:
    """Up to so many images that show a lesion, the same ones for every model; None where there is none.

    They have the smallest of numbers drawn from the row alone. Without masks none is known to show one.
    """
    if environment.masks is None:
        return None
    order = np.argsort(row_uniform(0, "attribution", environment.table.row), kind="stable")
    chosen = np.sort(order[_with_lesion(environment.masks, order)][:images])
    if not len(chosen):
        return None
    return Shown(
        Environment(
            f"(lesions in {environment.name})",
            environment.table.take(chosen),
            PickedImages(environment.images, chosen),
            PickedMasks(environment.masks, chosen),
            (),
        ),
        environment.name,
        chosen,
        environment.masks.read(chosen)[:, 0].numpy(),
        environment.masks.kinds,
    )


def _with_lesion(masks: Masks, order: Int[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    batches = (order[start : start + _BATCH] for start in range(0, len(order), _BATCH))
    return np.concatenate([(masks.read(index) > 0).flatten(1).any(dim=1).numpy() for index in batches])


def _numbered(lesion: Bool[np.ndarray, "n h w"]) -> tuple[Int[np.ndarray, "n h w"], int]:
    found, count = ndimage.label(lesion, structure=_IN_PLANE)  # pyright: ignore[reportGeneralTypeIssues]
    return found, int(count)
