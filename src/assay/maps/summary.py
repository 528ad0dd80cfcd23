"""Maps of lesion logits and label maps to columns, for one batch or batch by batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor

from assay.core.maps import MapGrid, pixels_of
from assay.maps.areas import exact_scores
from assay.maps.calibration import calibration_bins
from assay.maps.components import COUNTS, count_components
from assay.maps.lesions import lesions
from assay.maps.surfaces import surfaces

Columns = dict[str, np.ndarray]

DEFAULT_GRID = MapGrid()
COLUMNS_VERSION = 2
"""Rises when the columns of a map are others than before, so that a model is read again."""
PADDING: Mapping[str, float] = {"lesion_score": np.nan, "lesion_area": 0}
"""Columns with one entry per lesion -> what stands where an image has fewer lesions than another."""


def summarise(
    logits: Float[Tensor, "b h w"],
    labels: Integer[Tensor, "b h w"] | Bool[Tensor, "b h w"],
    grid: MapGrid = DEFAULT_GRID,
    pixel_size: Float[np.ndarray, "b 2"] | None = None,
) -> Columns:
    """Per-image columns of a batch of maps; docs/reference/maps.md says what each is.

    logits: log-odds of any lesion against the background. labels: 0 is background, all else lesion.
    pixel_size: height and width of each image's pixels in mm, after any resizing; surfaces are then measured in mm, and
        in px without. NaN where it is unknown, which leaves that image's surfaces undefined.
    An image's columns depend on that image alone, bit for bit, but for the width of those with one entry per lesion:
    the most lesions of any image in the batch. Beside the batch it takes at most 100 bytes per pixel of one image.

    Raises ValueError unless there is at least one image with a pixel, a label and a finite logit for every pixel, and a
    pixel size above 0 for every image.
    """
    _check(logits, labels, pixel_size)
    values = np.ascontiguousarray(logits.detach().to("cpu", torch.float32).numpy())
    lesion = (labels != 0).cpu().numpy()
    size = np.ones((len(values), 2)) if pixel_size is None else np.asarray(pixel_size, np.float64)

    pixels, thresholds = values[0].size, np.array(grid.thresholds, np.float32)
    counts = count_components(values, lesion, thresholds)
    exact = exact_scores(values, counts, thresholds, grid.smallest(pixels), pixels_of(grid.top, pixels))
    each = lesions(values, lesion, grid.covered)
    surface = surfaces(values >= grid.surface_threshold, lesion, size, grid.tolerance)
    bins = calibration_bins(values, lesion, grid.bins, grid.boundary)
    return {
        "pixels": np.full(len(values), pixels, np.int32),
        "truth": np.count_nonzero(lesion, axis=(1, 2)).astype(np.int32),
        **{name: np.ascontiguousarray(counts[:, :, place]) for place, name in enumerate(COUNTS)},
        "peak": values.max((1, 2)),
        "top_mean": exact.top_mean,
        "half_area": np.count_nonzero(values >= 0, axis=(1, 2)).astype(np.int32),
        "floor": values.min((1, 2)),
        "area_score": exact.area_score,
        "lesion_score": each.score,
        "lesion_area": each.area,
        "hd95": surface.hd95,
        "surface_distance": surface.distance,
        "surface_dice": surface.dice,
        "surface_code": surface.code,
        "bin_count": bins.pixels,
        "bin_claimed": bins.claimed,
        "bin_came": bins.came,
    }


class Streamed:
    """Columns of a set of any size, a batch at a time; batches may differ in the size of their images."""

    def __init__(self, grid: MapGrid = DEFAULT_GRID) -> None:
        self.grid = grid
        self._parts: list[Columns] = []

    def append(
        self,
        logits: Float[Tensor, "b h w"],
        labels: Integer[Tensor, "b h w"] | Bool[Tensor, "b h w"],
        pixel_size: Float[np.ndarray, "b 2"] | None = None,
    ) -> None:
        """Summarise one more batch (see `summarise`) and keep its columns; the maps are not kept."""
        self._parts.append(summarise(logits, labels, self.grid, pixel_size))

    def __len__(self) -> int:
        return sum(len(part["pixels"]) for part in self._parts)

    def columns(self) -> Columns:
        """Of all images so far, in the order they came. Raises ValueError when there were none."""
        return joined(self._parts)


def joined(parts: Sequence[Mapping[str, np.ndarray]]) -> Columns:
    """The images of several parts one after another, equal to those of one batch of all of them.

    Raises ValueError without a part.
    """
    if not parts:
        raise ValueError("no maps were summarised: give at least one batch")
    return {name: np.concatenate(of_one_width(name, [part[name] for part in parts])) for name in parts[0]}


def of_one_width(name: str, parts: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The parts of a column; one with an entry per lesion is padded to the most lesions of any part."""
    if name not in PADDING:
        return list(parts)
    widest = max(part.shape[1] for part in parts)
    wider = [((0, 0), (0, widest - part.shape[1])) for part in parts]
    return [np.pad(part, width, constant_values=PADDING[name]) for part, width in zip(parts, wider, strict=True)]


def _check(logits: Tensor, labels: Tensor, pixel_size: np.ndarray | None) -> None:
    if logits.ndim != 3 or logits.shape != labels.shape or not logits.numel():
        raise ValueError(
            f"logits have shape {tuple(logits.shape)} and labels {tuple(labels.shape)}: "
            "give both as [images, height, width], with at least one pixel"
        )
    broken = np.flatnonzero((~logits.isfinite()).flatten(1).any(1).cpu().numpy())
    if len(broken):
        raise ValueError(f"logits are not finite in {len(broken)} of {len(logits)} maps, first in map {broken[0]}")
    if pixel_size is not None and (pixel_size.shape != (len(logits), 2) or (pixel_size <= 0).any()):
        raise ValueError(
            f"pixel sizes have shape {pixel_size.shape}: "
            f"give a height and a width above 0 for each of {len(logits)} maps"
        )
