"""What changes of the whole image take: torch-free, for the catalogue. The first field of each is its dose."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from assay.core.registry import Params


class LowPassParams(Params):
    """Frequencies beyond a cutoff taken away."""

    cutoff: float = Field(
        default=0.49,
        gt=0,
        le=2,
        description="share of the Nyquist frequency; lower is stronger, from 1.42 on `ideal` changes nothing",
    )
    filter: Literal["ideal", "gaussian"] = Field(
        default="ideal", description="a disc in the Fourier plane, or a Gaussian that falls to 61 % at the cutoff"
    )


class BlurParams(Params):
    """A Gaussian blur."""

    sigma: float = Field(
        default=0.01, ge=0, le=0.2, description="standard deviation, as a share of the shorter side; 0 changes nothing"
    )


class ResampleParams(Params):
    """A coarser grid."""

    factor: float = Field(default=2.0, ge=1, le=64, description="how many times coarser; 1 changes nothing")


class PoissonNoiseParams(Params):
    """Noise of counted photons."""

    photons: float = Field(
        default=1.5e7,
        ge=100,
        le=1e12,
        description="expected photons per pixel before the patient (N0); fewer is stronger",
    )
    levels: Literal[0, 256] = Field(
        default=256, description="grey levels to which the result is cut, as in the published code; 0: not at all"
    )


class GaussianNoiseParams(Params):
    """Gaussian noise in every pixel."""

    sigma: float = Field(
        default=0.03, ge=0, le=1, description="standard deviation, black to white being 1; 0 changes nothing"
    )


class BiasFieldParams(Params):
    """Uneven brightness."""

    amplitude: float = Field(
        default=0.7, ge=0, le=5, description="largest natural logarithm of the factor; 0 changes nothing"
    )


class GammaParams(Params):
    """A power of the grey value."""

    gamma: float = Field(default=0.7, ge=0.1, le=10, description="exponent; above 1 darker, 1 changes nothing")


class ContrastParams(Params):
    """A steeper or flatter tone curve."""

    factor: float = Field(default=0.7, ge=0, le=10, description="slope; below 1 flatter, 1 changes nothing")
    pivot: float = Field(default=0.5, ge=0, le=1, description="the grey value that stays, black to white being 0 to 1")


class JpegParams(Params):
    """JPEG compression."""

    quality: int = Field(default=30, ge=1, le=100, description="libjpeg's quality; lower is stronger")


def _rising(values: tuple[float, ...]) -> tuple[float, ...]:
    if not 0 <= values[0] <= values[-1] <= 1 or any(b < a for a, b in pairwise(values)):
        raise ValueError("quantiles must not fall and must lie within 0 to 1, such as [0, 0.2, 0.5, 1]")
    return values


class ScannerHistogramParams(Params):
    """Another scanner's grey values."""

    strength: float = Field(
        default=0.3, ge=0, le=1, description="share of the way to the target's histogram; 0 changes nothing"
    )
    quantiles: Annotated[tuple[float, ...], AfterValidator(_rising)] = Field(
        default=(0.0, 0.15, 0.3, 0.5, 0.75, 1.0),
        min_length=2,
        max_length=101,
        description="the target's grey values at even steps of rank, darkest to brightest",
    )
