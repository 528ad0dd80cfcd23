"""Finders of an audit: each looks for one kind of thing that answers may depend on, and all say it as a lead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Protocol

from assay.audit.search.drawn import lead_drawn
from assay.audit.search.regions import Band, Border, Box, Corners, Intensities, Mirror, Region, Shading, Sought
from assay.audit.search.search import AT_ONCE, Lead, Scores, SearchSample, lead
from assay.audit.search.shapes import Shape, lead_shape
from assay.audit.search.turned import Turned, lead_turned
from assay.core.reasons import Reason


class Finder(Protocol):
    """A search of a model and images for one kind of thing.

    It divides patients into halves, finds in each which images carry something and what puts it on and takes it off,
    and measures this on the other half.
    """

    def __call__(
        self, scores: Scores, sample: SearchSample, /, labels: Sequence[str] = ("",), threshold: float = 0.0,
        at_once: int = AT_ONCE,
    ) -> Lead | Reason:  # fmt: skip
        """Return the lead, or why there is none; see `search.lead`."""
        ...


FINDERS: Mapping[Sought, Finder] = {
    "place": partial(lead, of="place"),
    "whole": partial(lead, of="whole"),
    "drawn": lead_drawn,
    "shape": lead_shape,
    "turned": lead_turned,
}
"""Search -> its finder."""


def region_of(kind: str, values: Sequence[Any]) -> Region:
    """Return a region from its kind and the values of its fields."""
    kinds: Sequence[type[Region]] = (Box, Border, Corners, Mirror, Band, Intensities, Shading, Shape, Turned)
    return next(kind_of_region for kind_of_region in kinds if kind_of_region.__name__.lower() == kind)(*values)
