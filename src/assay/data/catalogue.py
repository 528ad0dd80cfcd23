"""Named components, declared without importing what they need."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from assay.core.registry import Params, register
from assay.core.types import Factor
from assay.data.phantoms.factors import NODULE


class NoduleParams(Params):
    """How the patches around and of the nodule look, apart from its factors."""

    FACTORS: ClassVar[tuple[Factor, ...]] = NODULE

    noise: float = Field(22.0, ge=0, le=200, description="HU, standard deviation of the scanner's noise at middle dose")
    dose: float = Field(0.8, ge=0, le=3, description="spread of dose: noise lies between 1/(1+dose) and 1+dose times")
    vessels: float = Field(1.0, ge=0, le=2, description="density of vessels, 1 normal, 0 none")
    parenchyma: float = Field(20.0, ge=0, le=100, description="HU, standard deviation of the lung's own texture")
    wall: float = Field(0.5, ge=0, le=1, description="share of patches that show the chest wall")


register(
    "phantom",
    "nodule",
    "assay.data.phantoms.nodule:NodulePhantom",
    NoduleParams,
    summary="CT-like lung patches, 32 to 256 px, with one nodule of known margin, texture, size, contrast and shape",
)
