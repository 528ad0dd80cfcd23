"""What local marks take: torch-free, for the catalogue. Shares of an edge hold at every image size.

`opacity` is the dose of all of them but the tag, whose `contrast` is the same thing and cannot be 0.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from assay.core.registry import Params

Share = Annotated[float, Field(ge=0, le=1)]
Ink = Literal["white", "black"]
Side = Literal["left", "right", "either"]

_OPACITY = "how far pixels move to the mark's own colour: 0 (nothing changes) to 1"
_JITTER = "largest shift of the middle along each axis, as a share of the shorter side"
_X = "middle, as a share of the width from the left"
_Y = "middle, as a share of the height from the top"
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:.-/+ #"


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
    shape: Literal["letter", "rectangle"] = Field(
        default="letter", description="`letter`, an R, or `rectangle`, a filled box of its outline"
    )


class LateralityMarkerParams(Params):
    """A lead letter, smooth and slightly turned."""

    opacity: Share = Field(default=0.9, description=_OPACITY)
    size: float = Field(default=0.1, gt=0, le=1, description="height of the letter, as a share of the shorter side")
    x: Share = Field(default=0.12, description=_X)
    y: Share = Field(default=0.14, description=_Y)
    jitter: Share = Field(default=0.04, description=_JITTER)
    tilt: float = Field(default=12.0, ge=0, le=180, description="largest turn either way, in degrees")
    letter: Literal["L", "R", "either"] = Field(default="L", description="which letter; `either`: drawn by row")


def _writable(text: str) -> str:
    strange = sorted(set(text) - set(_LETTERS))
    if strange:
        raise ValueError(f"no strokes for {' '.join(map(repr, strange))}: use capitals, digits, space, : . - / + and #")
    return text


class TextLineParams(Params):
    """A burnt-in line of text."""

    opacity: Share = Field(default=0.9, description=_OPACITY)
    text: Annotated[str, AfterValidator(_writable)] = Field(
        default="ID ####### ##:##",
        min_length=1,
        max_length=40,
        description="capitals, digits, space and : . - / +; every # becomes a digit of the row's own",
    )
    size: float = Field(default=0.045, gt=0, le=1, description="height of a letter, as a share of the shorter side")
    x: Share = Field(default=0.36, description=_X)
    y: Share = Field(default=0.95, description=_Y)
    jitter: Share = Field(default=0.0, description=_JITTER)
    ink: Ink = Field(default="white", description="colour of the letters")


class RulerParams(Params):
    """A graduated scale along one edge."""

    opacity: Share = Field(default=0.9, description=_OPACITY)
    side: Literal["left", "right", "top", "bottom"] = Field(default="right", description="the edge at which it lies")
    length: float = Field(
        default=0.8, gt=0, le=1, description="from the first mark to the last, as a share of the edge"
    )
    marks: int = Field(default=20, ge=1, le=200, description="number of intervals between marks")
    size: float = Field(default=0.06, gt=0, le=1, description="longest mark, as a share of the shorter side")
    jitter: Share = Field(default=0.05, description="largest shift along the edge, as a share of the shorter side")
    ink: Ink = Field(default="white", description="white, as on a scan, or black, as on a photograph")


class CalliperParams(Params):
    """Two crosses joined by a dotted line."""

    opacity: Share = Field(default=0.9, description=_OPACITY)
    length: float = Field(
        default=0.4, gt=0, le=2, description="largest distance of the crosses, share of the shorter side"
    )
    x: Share = Field(default=0.5, description=_X)
    y: Share = Field(default=0.5, description=_Y)
    jitter: Share = Field(default=0.05, description=_JITTER)
    ink: Ink = Field(default="white", description="colour of the lines")


class SurgicalPenParams(Params):
    """Strokes of a violet skin marker around the middle."""

    opacity: Share = Field(default=0.7, description=_OPACITY)
    radius: float = Field(
        default=0.38, gt=0, le=1, description="half axes of the ring, share of the shorter side, +-15 %"
    )
    width: float = Field(default=0.025, gt=0, le=0.5, description="of the line, as a share of the shorter side")
    strokes: int = Field(default=4, ge=1, le=60, description="number of arcs; a quarter of each is a gap")
    x: Share = Field(default=0.5, description=_X)
    y: Share = Field(default=0.5, description=_Y)
    jitter: Share = Field(default=0.05, description=_JITTER)


class HairParams(Params):
    """Dark hairs all over the image."""

    opacity: Share = Field(default=0.85, description=_OPACITY)
    count: int = Field(default=15, ge=1, le=200, description="number of hairs")
    width: float = Field(
        default=0.009, gt=0, le=0.2, description="of a hair at its root, as a share of the shorter side"
    )
    length: float = Field(
        default=0.6, gt=0, le=2, description="largest extent along each axis, share of the shorter side"
    )


class ChestDrainParams(Params):
    """A tube with a radio-opaque stripe."""

    opacity: Share = Field(default=0.9, description=_OPACITY)
    width: float = Field(default=0.035, gt=0, le=0.5, description="of the tube, as a share of the shorter side")
    side: Side = Field(default="either", description="the edge from which it enters; `either`: drawn by row")
    jitter: Share = Field(default=0.06, description="largest shift of entry, bend and tip, as a share of the edge")


class PacemakerParams(Params):
    """A metal case with a lead."""

    opacity: Share = Field(default=0.95, description=_OPACITY)
    size: float = Field(default=0.15, gt=0, le=0.5, description="width of the case, as a share of the shorter side")
    side: Side = Field(default="right", description="the side of the image on which it lies; `either`: drawn by row")
    jitter: Share = Field(default=0.04, description=_JITTER)


class ElectrodeParams(Params):
    """Electrodes with their wires."""

    opacity: Share = Field(default=0.9, description=_OPACITY)
    count: int = Field(default=4, ge=1, le=30, description="number of electrodes")
    size: float = Field(default=0.075, gt=0, le=0.5, description="diameter of the pad, as a share of the shorter side")


class CollimationBorderParams(Params):
    """A black border."""

    opacity: Share = Field(default=1.0, description=_OPACITY)
    width: float = Field(
        default=0.1, gt=0, lt=0.5, description="largest width, share of the shorter side; 30-100 % of it"
    )
    softness: Share = Field(default=0.015, description="width of the penumbra, as a share of the shorter side")


class VignetteParams(Params):
    """Darkness outside a round field of view."""

    opacity: Share = Field(default=0.95, description=_OPACITY)
    radius: float = Field(default=0.55, gt=0, le=2, description="of the field of view, as a share of the shorter side")
    softness: float = Field(default=0.18, ge=0, le=2, description="width of its edge, as a share of the shorter side")
    jitter: Share = Field(default=0.03, description=_JITTER)


class ScopeInsetParams(Params):
    """A green panel with the scope's shape."""

    opacity: Share = Field(default=1.0, description=_OPACITY)
    size: float = Field(default=0.28, gt=0, le=0.5, description="edge of the panel, as a share of the shorter side")
    corner: Literal["lower left", "lower right", "upper left", "upper right"] = Field(
        default="lower left", description="where it lies"
    )
