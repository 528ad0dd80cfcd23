"""The checked arguments of the augmentations that make views. Imports no torch."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from assay.core.registry import Params

_Share = Annotated[float, Field(ge=0, le=1)]


class ResizedCropParams(Params):
    """A window, enlarged."""

    smallest: float = Field(0.2, gt=0, le=1, description="least share of the image's area in the window")


class ColourParams(Params):
    """Brightness, contrast, saturation and hue."""

    brightness: float = Field(0.4, ge=0, le=1, description="largest change of the factor on all values, either way")
    contrast: float = Field(0.4, ge=0, le=1, description="largest change of contrast either way, as a share")
    saturation: float = Field(0.4, ge=0, le=1, description="largest change of saturation either way, as a share")
    hue: float = Field(0.1, ge=0, le=0.5, description="largest turn of the hue either way, in turns")
    share: _Share = Field(0.8, description="share of the images that are changed")
    grey: _Share = Field(0.2, description="share of the images whose colour is taken out")


class BlurParams(Params):
    """A Gaussian blur."""

    sigma: float = Field(0.01, gt=0, le=0.1, description="largest standard deviation, as a share of the side")
    share: _Share = Field(0.5, description="share of the images that are blurred")
