"""Interventions by name, declared without importing what they need."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from assay.core.registry import Params, register

Share = Annotated[float, Field(ge=0, le=1)]


class TagParams(Params):
    """A bright tag, like the lead letter on a radiograph. Shares of an edge hold at every image size."""

    size: float = Field(default=0.11, gt=0, description="height of the tag, as a share of the image's shorter side")
    x: Share = Field(default=0.85, description="centre, as a share of the width from the left")
    y: Share = Field(default=0.12, description="centre, as a share of the height from the top")
    contrast: float = Field(
        default=0.6, gt=0, le=1, description="how far its pixels move from what they are to white (0 to 1)"
    )
    jitter: Share = Field(
        default=0.04, description="largest shift of the centre along each axis, as a share of the shorter side"
    )
    shape: Literal["letter", "rectangle"] = Field(default="letter", description="an R, or a filled box of its outline")


register(
    "intervention",
    "tag",
    "assay.shifts.confounders:Tag",
    TagParams,
    summary="a bright letter or box at a stated place, the laterality marker of a radiograph",
)
