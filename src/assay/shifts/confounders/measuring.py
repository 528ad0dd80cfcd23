"""Things that somebody measured with: a graduated ruler at an edge, and a pair of callipers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from assay.core.errors import SpecError
from assay.shifts.confounders.layers import BLACK, WHITE, Layer, Mark, Shape, Window, around, placed, turned
from assay.shifts.confounders.strokes import dots, line
from assay.shifts.intervention import Draws, Parameters

Ink = Literal["white", "black"]

_MARGIN = 0.03  # of the shorter side, between the ruler and the edge of the image
_TICKS = {1: 0.45, 5: 0.7, 10: 1.0}  # every how many ticks -> length as a share of the longest
_THIN = 0.004  # radius of a line, as a share of the shorter side
_CROSS = 0.03  # half of a calliper's cross, as a share of the shorter side


@dataclass(frozen=True)
class Ruler(Mark):
    """A graduated scale along one edge of the image; every fifth and tenth mark is longer. See `RulerParams`."""

    opacity: float
    side: Literal["left", "right", "top", "bottom"]
    length: float
    marks: int
    size: float
    jitter: float
    ink: Ink

    def check(self, shape: Shape) -> None:
        """Raises SpecError when neighbouring marks would fall into one pixel."""
        apart = self.length * self._along(shape) / self.marks
        if apart < 1:
            raise SpecError(
                f"a ruler of {self.marks} marks over {self.length * self._along(shape):.0f} px has {apart:.2g} px "
                "between them: give fewer marks or a greater length"
            )

    def draw(self, draws: Draws, shape: Shape) -> dict[str, Tensor]:
        """`along`: the ruler's middle along its edge in px."""
        edge = self._along(shape)
        return {"along": placed(draws, "along", 0.5, self.jitter, self.length * edge / 2, edge, shape)}

    def layers(self, parameters: Parameters, shape: Shape) -> Sequence[Layer]:
        """The marks, and the line on which they stand."""
        middle, edge, short = parameters["along"], self._along(shape), min(shape[1:])
        number = torch.arange(self.marks + 1, device=middle.device, dtype=torch.float64)
        reach = torch.full_like(number, _TICKS[1])
        for every in (5, 10):
            reach[number % every == 0] = _TICKS[every]
        place = middle[:, None] + self.length * edge * (number / self.marks - 0.5)
        base = torch.full_like(place, _MARGIN * short)
        tips = base + self.size * short * reach
        thin = _THIN * short
        x0, y0 = self._placed(place, base, shape)
        marks = line(x0, y0, *self._placed(place, tips, shape), thin)
        stand = line(x0[:, :1], y0[:, :1], x0[:, -1:], y0[:, -1:], thin)
        within = self._strip(shape, (_MARGIN + self.size + _THIN) * short + 2)
        return [Layer(marks + stand, within, WHITE if self.ink == "white" else BLACK)]

    def _along(self, shape: Shape) -> int:
        """The length in px of the edge at which it lies."""
        return shape[1] if self.side in ("left", "right") else shape[2]

    def _placed(self, place: Tensor, off: Tensor, shape: Shape) -> tuple[Float[Tensor, "b n"], Float[Tensor, "b n"]]:
        """x and y in px of points given by their places along the edge and their distances from it."""
        if self.side in ("left", "right"):
            return shape[2] - off if self.side == "right" else off, place
        return place, shape[1] - off if self.side == "bottom" else off

    def _strip(self, shape: Shape, wide: float) -> Window:
        """The part of the image within so many px of the edge."""
        _, height, width = shape
        across = min(math.ceil(wide), width if self.side in ("left", "right") else height)
        return {
            "left": Window(0, 0, height, across),
            "right": Window(0, width - across, height, across),
            "top": Window(0, 0, across, width),
            "bottom": Window(height - across, 0, across, width),
        }[self.side]


@dataclass(frozen=True)
class Calliper(Mark):
    """Two crosses joined by a dotted line, as a reader measures a lesion on the screen. See `CalliperParams`."""

    opacity: float
    length: float
    x: float
    y: float
    jitter: float
    ink: Ink

    def check(self, shape: Shape) -> None:
        """Every image can carry it; one that is longer than the image is cut off at its edges."""

    def draw(self, draws: Draws, shape: Shape) -> dict[str, Tensor]:
        """`x`, `y`: its middle in px; cosine and sine of its `turn`; `length` in px, 70 to 100 % of the largest."""
        half = (self.length / 2 + _CROSS) * min(shape[1:])
        return {
            "x": placed(draws, "x", self.x, self.jitter, half, shape[2], shape),
            "y": placed(draws, "y", self.y, self.jitter, half, shape[1], shape),
            "length": self.length * min(shape[1:]) * (0.7 + 0.3 * draws.uniform("length")),
            **turned(draws, "turn", 0.0, 180.0),
        }

    def layers(self, parameters: Parameters, shape: Shape) -> Sequence[Layer]:
        """Dots along the line and a cross at either end."""
        short = min(shape[1:])
        x, y, half = (parameters[name][:, None] for name in ("x", "y", "length"))
        half = half / 2
        cosine, sine = parameters["turn cosine"][:, None], parameters["turn sine"][:, None]
        thin, arm = _THIN * short, _CROSS * short
        number = max(3, round(self.length * short / (8 * max(thin, 0.5))))
        t = torch.linspace(-1, 1, number, device=x.device, dtype=torch.float64) * half
        dotted = dots(x + t * cosine, y + t * sine, thin)
        sign = torch.tensor([-1.0, 1.0], device=x.device, dtype=torch.float64)
        end_x, end_y = x + sign * half * cosine, y + sign * half * sine
        level = line(end_x - arm, end_y, end_x + arm, end_y, thin)
        upright = line(end_x, end_y - arm, end_x, end_y + arm, thin)
        within = around(shape, parameters["x"], parameters["y"], self.length * short / 2 + arm + thin + 1)
        return [Layer(dotted + level + upright, within, WHITE if self.ink == "white" else BLACK)]
