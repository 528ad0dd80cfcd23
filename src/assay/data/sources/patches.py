"""Square patches of a stated size in mm from a slice, with their masks, at study resolution."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from assay.data.sources.pictures import scaled


@dataclass(frozen=True, slots=True)
class Patch:
    """Where a patch lies: its centre in pixels (the middle of the pixel in column 0 is at 0.5), its side in mm.

    row_mm, column_mm: the distance between rows and between columns. size: its side in pixels of the study.
    """

    x: float
    y: float
    row_mm: float
    column_mm: float
    side_mm: float
    size: int

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom in pixels of the slice."""
        wide, tall = self.side_mm / self.column_mm / 2, self.side_mm / self.row_mm / 2
        return self.x - wide, self.y - tall, self.x + wide, self.y + tall


def cut(values: np.ndarray, patch: Patch, low: float, high: float) -> np.ndarray:
    """The patch as uint16 [size, size]: `low` HU and below is 0, `high` 65535; what lies beyond the slice is black.

    Resampled by an antialiasing triangle filter. values: float32 [h, w].
    """
    clipped = np.clip(values, low, high)
    return scaled(_resampled(clipped, patch, low), low, high)


def cut_mask(mask: np.ndarray, patch: Patch) -> np.ndarray:
    """The mask's patch, uint8 [size, size] of 0 and 1: 1 where at least half of what the filter sees is lesion.

    A lesion too small for that keeps the pixels that it covers most, so that it never vanishes. mask: bool [h, w].
    """
    share = _resampled(mask.astype(np.float32), patch, 0.0)
    return (share >= min(0.5, float(share.max())) - 1e-6).astype(np.uint8)


def _resampled(values: np.ndarray, patch: Patch, beyond: float) -> np.ndarray:
    left, top, right, bottom = patch.box
    # The filter reaches over the edge of the patch by its support; without a margin it would be cut off there.
    margin = int(np.ceil(max(right - left, bottom - top) / patch.size)) + 1
    x0, y0 = int(np.floor(left)) - margin, int(np.floor(top)) - margin
    x1, y1 = int(np.ceil(right)) + margin, int(np.ceil(bottom)) + margin
    height, width = values.shape
    around = np.full((y1 - y0, x1 - x0), beyond, dtype=np.float32)
    rows, columns = slice(max(y0, 0), min(y1, height)), slice(max(x0, 0), min(x1, width))
    if rows.start < rows.stop and columns.start < columns.stop:
        around[rows.start - y0 : rows.stop - y0, columns.start - x0 : columns.stop - x0] = values[rows, columns]
    box = (left - x0, top - y0, right - x0, bottom - y0)
    small = Image.fromarray(around).resize((patch.size, patch.size), Image.Resampling.BILINEAR, box=box)
    return np.asarray(small)
