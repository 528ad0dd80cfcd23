"""Finders of an audit: each searches for one kind of thing that predictions may depend on, as a `RegionFinding`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Protocol

from assay.audit.search.drawn import find_drawn
from assay.audit.search.occluded import find_occluded
from assay.audit.search.regions import Band, Border, Box, Corners, FinderName, Intensities, Mirror, Region, Shading
from assay.audit.search.sample import BATCH_SIZE, Scores, SearchSample
from assay.audit.search.search import RegionFinding, find_region
from assay.audit.search.shapes import Shape, find_shape
from assay.audit.search.turned import RotatedSquare, find_turned
from assay.core.reasons import Reason


class Finder(Protocol):
    """A search of a model and images for one kind of thing.

    It divides patients into halves. In each it finds a region, and which images carry something there. It then measures
    the effect of the region on the other half.
    """

    def __call__(
        self,
        scores: Scores,
        sample: SearchSample,
        /,
        labels: Sequence[str] = ("",),
        threshold: float = 0.0,
        batch_size: int = BATCH_SIZE,
    ) -> RegionFinding | Reason:
        """Return the finding, or why there is none; see `search.find_region`."""
        ...


FINDERS: Mapping[FinderName, Finder] = {
    "place": partial(find_region, track="place"),
    "whole": partial(find_region, track="whole"),
    "drawn": find_drawn,
    "shape": find_shape,
    "turned": find_turned,
    "occluded": find_occluded,
}
"""Finders by name."""


def region_of(kind: str, values: Sequence[Any]) -> Region:
    """Return a region from its kind and the values of its fields."""
    regions: Sequence[type[Region]] = (Box, Border, Corners, Mirror, Band, Intensities, Shading, Shape, RotatedSquare)
    return next(region for region in regions if region.kind == kind)(*values)
