"""Crops of lesion photographs that show no lesion: a second lesion-free set, framed as the first is not.

Of each photograph the largest window of its own aspect without any lesion pixel is taken, the one nearest to the middle
where there are several, and scaled to the whole photograph's place in the square. Black rows and columns around a
photograph are no part of it and stay as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Bool, Int, UInt8
from torch import Tensor

from assay.core.errors import SpecError
from assay.core.factors import LESION
from assay.core.types import FactorTable
from assay.data.dataset import Crops, Dataset, Images, Masks
from assay.data.sources.fitting import Box, placed

LEAST_SIDE = 0.5
"""The share of a photograph's side that a window has at the least; a smaller one would be another kind of picture."""
BLACK = 10 / 255
"""Rows and columns of a photograph's edge that are nowhere brighter are padding."""

Window = tuple[int, int, int, int]
"""Top, left, bottom, right in pixels of the square."""


def largest_window(touched: Bool[np.ndarray, "h w"], box: Box) -> Window | None:
    """The largest window of the box's aspect, of at least `LEAST_SIDE` of its sides, that holds no touched pixel.

    Of several that are equally large the one whose middle is nearest to the box's, and of those the first by rows. None
    when there is none.
    """
    whole = np.zeros((box.height + 1, box.width + 1), dtype=np.int64)
    whole[1:, 1:] = touched[box.rows, box.columns].cumsum(axis=0).cumsum(axis=1)
    longer = max(box.height, box.width)
    low, high = int(np.ceil(longer * LEAST_SIDE)) - 1, longer
    # A smaller window fits wherever a larger one does, so halving finds the largest.
    while low < high:
        middle = (low + high + 1) // 2
        if _free(whole, *_sides(box, middle)).any():
            low = middle
        else:
            high = middle - 1
    tall, wide = _sides(box, low)
    free = _free(whole, tall, wide)
    if low < longer * LEAST_SIDE or not free.any():
        return None
    down, across = np.ogrid[: free.shape[0], : free.shape[1]]
    away = (2 * down + tall - box.height) ** 2 + (2 * across + wide - box.width) ** 2
    at = int(np.argmin(np.where(free, away, np.iinfo(np.int64).max)))
    top, left = box.top + at // free.shape[1], box.left + at % free.shape[1]
    return top, left, top + tall, left + wide


def _sides(box: Box, longer: int) -> tuple[int, int]:
    """Height and width of the window whose longer side is `longer`."""
    most = max(box.height, box.width)
    return max(1, round(box.height * longer / most)), max(1, round(box.width * longer / most))


def _free(whole: Int[np.ndarray, "H W"], tall: int, wide: int) -> Bool[np.ndarray, "down across"]:
    """Where a window of this size may start, from sums over all rectangles that start in the corner."""
    counts = whole[tall:, wide:] - whole[:-tall, wide:] - whole[tall:, :-wide] + whole[:-tall, :-wide]
    return counts == 0


@dataclass(frozen=True)
class LesionFreeCrops:
    """The windows of a dataset's lesion photographs, each found when it is first asked for."""

    dataset: Dataset
    _found: dict[int, Window | None] = field(default_factory=dict[int, "Window | None"], compare=False)

    def has_window(self, table: FactorTable) -> Bool[np.ndarray, "n"]:
        """Which rows show a lesion and have a window without it. Raises SpecError where masks do not decide."""
        self._files()
        lesion = table.columns[LESION.name] > 0
        return np.array(
            [bool(shown) and self._window(row) is not None for row, shown in zip(table.row, lesion, strict=True)]
        )

    def told(self, table: FactorTable) -> tuple[str, ...]:
        """What to know of the crops of these rows before some are left out."""
        lesions = table.take(table.columns[LESION.name] > 0)
        with_one = lesions.take(self.has_window(lesions))
        left = len(lesions) - len(with_one)
        scales = [self._magnified(row) for row in with_one.row.tolist()]
        none = f"{left:,} of {len(lesions):,} lesion photographs have no window of half their side without a lesion"
        told = (f"{none} and are left out",) if left else ()
        if not scales:
            return told
        by = f"crops are magnified {np.median(scales):.2f} times (median; up to {max(scales):.2f})"
        return (*told, by)

    def shown(self, table: FactorTable) -> tuple[FactorTable, Images, Masks]:
        """The rows as what their crops are: lesion-free."""
        windows = np.array([self._window(row) for row in table.row.tolist()], dtype=np.int64).reshape(-1, 4)
        frames = [self._frame(row) for row in table.row.tolist()]
        places = [[f.top, f.left, f.top + f.height, f.left + f.width] for f in frames]
        images = self._files().cut(table.row, windows, np.array(places, dtype=np.int64).reshape(-1, 4))
        none = np.zeros(len(table), dtype=np.int64)
        free = replace(table, target=none, columns={**table.columns, LESION.name: none})
        kinds: Sequence[str] = () if self.dataset.masks is None else self.dataset.masks.kinds
        return free, images, NoLesions(len(table), images.shape[1:], tuple(kinds))

    def _files(self) -> Crops:
        if self.dataset.crops is None or LESION not in self.dataset.table.factors:
            raise SpecError("crop: lesion-free needs images from files with masks, and `target: lesion`")
        return self.dataset.crops

    def _window(self, row: int) -> Window | None:
        if row not in self._found:
            self._found[row] = largest_window(self._files().touched[row], self._frame(row))
        return self._found[row]

    def _frame(self, row: int) -> Box:
        """Where the photograph lies in the square, without black padding of its own."""
        assert self.dataset.native is not None
        width, height = self.dataset.native[row].tolist()
        box = placed(height, width, self.dataset.images.shape[1])
        bright = (self.dataset.images.read(np.array([row]))[0].amax(dim=0) > BLACK).numpy()[box.rows, box.columns]
        down, across = np.flatnonzero(bright.any(axis=1)), np.flatnonzero(bright.any(axis=0))
        if not len(down):
            return box
        top, left = int(down[0]), int(across[0])
        return Box(box.top + top, box.left + left, int(down[-1]) + 1 - top, int(across[-1]) + 1 - left)

    def _magnified(self, row: int) -> float:
        window, frame = self._window(row), self._frame(row)
        assert window is not None
        return max(frame.height, frame.width) / max(window[2] - window[0], window[3] - window[1])


@dataclass(frozen=True)
class NoLesions:
    """`Masks` of images that show none."""

    count: int
    sides: tuple[int, int]
    kinds: tuple[str, ...]

    def __len__(self) -> int:
        return self.count

    def read(self, index: np.ndarray) -> UInt8[Tensor, "n 1 h w"]:
        """Background everywhere."""
        return torch.zeros((len(index), 1, *self.sides), dtype=torch.uint8)
