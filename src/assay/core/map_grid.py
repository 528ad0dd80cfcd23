"""Grid on which maps of logits are summarized: thresholds, minimum areas, and the rules that need a number."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

ROUNDING = 1e-9
REGIONS = ("boundary", "lesion", "background")
"""The parts of an image in which pixels are calibrated apart, in the order of the columns that keep them."""
_EXTREME_LOGITS = (20.0, 25.0, 32.0, 48.0, 64.0, 96.0, 128.0)
"""Logits that networks trained with Dice reach, too far apart for any but the first part of a free response."""
AT_NATIVE = "native_"
"""How the names of columns begin that were taken at the size of the files; the rest is that of the same column."""

COLUMNS_VERSION = 2
"""Rises when the columns of a map are others than before, so that a model is read again."""
KINDS_VERSION = 2
"""Rises when other columns are kept of several kinds, so that a model is read again."""
PADDING: Mapping[str, float] = {"lesion_score": np.nan, "lesion_area": 0}
"""Columns with one entry per lesion -> padding for images with fewer lesions."""


@dataclass(frozen=True, slots=True)
class MapGrid:
    """Settings of the columns that are computed from a map of logits. They are stored with the columns.

    Attributes:
        thresholds: Logits, ascending. A pixel is predicted where its logit is at least the threshold. Logits are used
            rather than probabilities, since the probabilities of a network trained with Dice are 0 and 1 in float32.
        areas: Minimum areas of a component, as shares of the image's pixels, ascending; 0 is any pixel.
        covered: Share of a lesion's pixels that must be predicted for it to be found, above 0 and at most 1.
        top: Share of the image's pixels over which the score `top_mean` is the mean, above 0 and at most 1.
        surface_threshold: The logit at which surfaces are compared.
        tolerance: The greatest distance at which two surfaces agree, in the unit of the pixel size, or px without one.
        bins: Number of equal-width bins of the probability.
        boundary: Pixels at most this far from a pixel of the other kind (lesion or not) are the boundary, in px.

    Raises:
        ValueError: A value is out of range or out of order.

    Examples:
        >>> grid = MapGrid(thresholds=(-2.0, 0.0, 2.0))
        >>> len(grid.thresholds), grid.areas[0]
        (3, 0.0)
    """

    thresholds: tuple[float, ...] = (*(float(logit) for logit in range(-16, 17)), *_EXTREME_LOGITS)
    areas: tuple[float, ...] = (0.0, 0.0001, 0.0005, 0.001, 0.005, 0.01)
    covered: float = 0.5
    top: float = 0.01
    surface_threshold: float = 0.0
    tolerance: float = 2.0
    bins: int = 15
    boundary: float = 3.0

    def __post_init__(self) -> None:
        for name, values in (("thresholds", self.thresholds), ("areas", self.areas)):
            if not values or list(values) != sorted(set(values)) or not all(map(math.isfinite, values)):
                raise ValueError(f"{name} are {values}: give at least one finite number, each once, ascending")
        if not 0 <= self.areas[0] <= self.areas[-1] <= 1:
            raise ValueError(f"areas are {self.areas}: give shares of the image from 0 to 1")
        for name, share in (("covered", self.covered), ("top", self.top)):
            if not 0 < share <= 1:
                raise ValueError(f"{name} is {share}: give a share above 0 and at most 1")
        if not math.isfinite(self.surface_threshold):
            raise ValueError(f"surface_threshold is {self.surface_threshold}: give a finite logit")
        if not (self.tolerance >= 0 and self.boundary >= 0 and self.bins >= 1):
            raise ValueError(
                f"tolerance is {self.tolerance}, boundary {self.boundary}, bins {self.bins}: "
                "give distances of at least 0 and at least one bin"
            )

    def smallest(self, pixels: int) -> Int[np.ndarray, " a"]:
        """The minimum areas in pixels of an image with so many, at least 1 each."""
        return np.array([pixels_of(share, pixels) for share in self.areas], dtype=np.int64)


def pixels_of(share: float, pixels: int) -> int:
    """The least number of pixels, at least 1, that makes this share of so many."""
    return max(1, math.ceil(share * pixels - ROUNDING))


def of_one_width(name: str, parts: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return the parts of a column; one with an entry per lesion is padded to the most lesions of any part."""
    if name not in PADDING:
        return list(parts)
    widest = max(part.shape[1] for part in parts)
    wider = [((0, 0), (0, widest - part.shape[1])) for part in parts]
    return [np.pad(part, width, constant_values=PADDING[name]) for part, width in zip(parts, wider, strict=True)]
