"""What frames the picture: a collimator's border, a dark vignette, the inset that shows where the scope is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from assay.shifts.confounders.layers import BLACK, Frame, Layer, Mark, Shape, Surround, around, box, placed, whole
from assay.shifts.confounders.strokes import curve
from assay.shifts.intervention import Draws, Parameters

_GREEN = (0.06, 0.64, 0.53)
_DARK_GREEN = (0.05, 0.16, 0.15)


@dataclass(frozen=True)
class CollimationBorder(Mark):
    """Black outside a rectangle that the collimator left, each side at a width of its own.

    See `CollimationBorderParams` for units.
    """

    opacity: float
    width: float
    softness: float

    def check(self, shape: Shape) -> None:
        """Every image keeps something: `width` is below a half."""

    def draw(self, draws: Draws, shape: Shape) -> dict[str, Tensor]:
        """`left`, `right`, `top`, `bottom`: how far the border reaches in, px, 30 to 100 % of the largest."""
        largest = self.width * min(shape[1:])
        return {side: largest * (0.3 + 0.7 * draws.uniform(side)) for side in ("left", "right", "top", "bottom")}

    def layers(self, parameters: Parameters, shape: Shape) -> Sequence[Layer]:
        """Black, with a penumbra as wide as `softness`."""
        right, bottom = shape[2] - parameters["right"], shape[1] - parameters["bottom"]
        softness = max(1.0, self.softness * min(shape[1:]))
        return [Layer(Frame(parameters["left"], right, parameters["top"], bottom, softness), whole(shape), BLACK)]


@dataclass(frozen=True)
class Vignette(Mark):
    """Darkness outside a round field of view, as a dermatoscope or a fundus camera leaves it. See `VignetteParams`."""

    opacity: float
    radius: float
    softness: float
    jitter: float

    def check(self, shape: Shape) -> None:
        """Every image can carry it."""

    def draw(self, draws: Draws, shape: Shape) -> dict[str, Tensor]:
        """`x`, `y`: the middle of the field of view in px."""
        return {
            "x": placed(draws, "x", 0.5, self.jitter, 0.0, shape[2], shape),
            "y": placed(draws, "y", 0.5, self.jitter, 0.0, shape[1], shape),
        }

    def layers(self, parameters: Parameters, shape: Shape) -> Sequence[Layer]:
        """Black, from nothing at `radius` less half the softness to all of it at half the softness beyond."""
        short = min(shape[1:])
        softness = max(1.0, self.softness * short)
        outside = Surround(parameters["x"], parameters["y"], self.radius * short, softness)
        return [Layer(outside, whole(shape), BLACK)]


@dataclass(frozen=True)
class ScopeInset(Mark):
    """The green panel in a corner of an endoscopy frame on which the scope's shape is drawn. See `ScopeInsetParams`."""

    opacity: float
    size: float
    corner: Literal["lower left", "lower right", "upper left", "upper right"]

    def check(self, shape: Shape) -> None:
        """Every image can carry it: `size` is at most a half."""

    def draw(self, draws: Draws, shape: Shape) -> dict[str, Tensor]:
        """Where the scope's line starts, bends and ends, as shares of the panel, each drawn."""
        return {
            f"{point} {axis}": 0.1 + 0.8 * draws.uniform(f"{point} {axis}")
            for point in ("start", "bend", "end")
            for axis in ("x", "y")
        }

    def layers(self, parameters: Parameters, shape: Shape) -> Sequence[Layer]:
        """The panel, then the scope's line on it."""
        side = self.size * min(shape[1:])
        margin = 0.04 * min(shape[1:])
        left = margin if "left" in self.corner else shape[2] - margin - side
        top = margin if "upper" in self.corner else shape[1] - margin - side
        middle = torch.full_like(parameters["start x"], left + side / 2)
        lower = torch.full_like(middle, top + side / 2)
        points = tuple(
            (left + side * parameters[f"{point} x"][:, None], top + side * parameters[f"{point} y"][:, None])
            for point in ("start", "bend", "end")
        )
        within = around(shape, middle, lower, side / 2 + 1)
        scope = curve(points, 0.012 * side)
        panel = box(within, middle, lower, (side / 2, side / 2))
        return [Layer(panel, within, _GREEN), Layer(scope, within, _DARK_GREEN)]
