"""The checked arguments of fine-tunings. Imports no torch."""

from __future__ import annotations

from pydantic import Field

from assay.spec.schema import FineTuningParams


class FullParams(FineTuningParams):
    """Everything, from the first step."""


class LinearProbeParams(FineTuningParams):
    """The head alone."""

    steps = False
    fits_head = True


class ProbeThenFullParams(FineTuningParams):
    """The head, then everything."""

    fits_head = True


class LastLayersParams(FineTuningParams):
    """The deeper part."""

    layers: int = Field(
        1, ge=1, le=100, description="how many of the layers that probes read, from the last, are trained"
    )


class DiscriminativeRatesParams(FineTuningParams):
    """Everything, the shallower the slower."""

    decay: float = Field(
        1 / 2.6, gt=0, le=1, description="the learning rate of a layer over that of the next; 1 / 2.6 as published"
    )
