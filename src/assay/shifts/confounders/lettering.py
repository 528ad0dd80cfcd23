"""Letters in the image: the lead letter that tells the side, and a line of text burnt into the pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from assay.core.errors import SpecError
from assay.shifts.confounders.glyphs import ADVANCE, CHARACTERS, HEIGHT, WIDTH, code, strokes
from assay.shifts.confounders.layers import BLACK, WHITE, Layer, Mark, Shape, around, placed, turned
from assay.shifts.confounders.strokes import Stroke, line
from assay.shifts.intervention import Draws, Parameters

_BOLD = 0.75  # half the width of a lead letter's strokes, in units of the glyphs' grid


@dataclass(frozen=True)
class LateralityMarker(Mark):
    """A lead letter, L or R, slightly turned, as it is laid on the detector. See `LateralityMarkerParams` for units."""

    opacity: float
    size: float
    x: float
    y: float
    jitter: float
    tilt: float
    letter: Literal["L", "R", "either"]

    def check(self, shape: Shape) -> None:
        """Every image can carry it: `size` is at most 1."""

    def draw(self, draws: Draws, shape: Shape) -> dict[str, Tensor]:
        """`x`, `y`: its middle in px; cosine and sine of its `tilt`; `letter`: 0 for L, 1 for R."""
        half = self.size * min(shape[1:]) * math.hypot(WIDTH, HEIGHT) / HEIGHT / 2  # of a letter turned anyhow
        if self.letter == "either":
            letter = (draws.uniform("letter") >= 0.5).long()
        else:
            letter = torch.full((len(draws.rows),), int(self.letter == "R"))
        return {
            "x": placed(draws, "x", self.x, self.jitter, half, shape[2], shape),
            "y": placed(draws, "y", self.y, self.jitter, half, shape[1], shape),
            **turned(draws, "tilt", -self.tilt, self.tilt),
            "letter": letter,
        }

    def layers(self, parameters: Parameters, shape: Shape) -> Sequence[Layer]:
        """White strokes, as lead stops the rays."""
        unit = self.size * min(shape[1:]) / HEIGHT
        codes = torch.tensor([code("L"), code("R")], device=parameters["letter"].device)[parameters["letter"]]
        turn = parameters["tilt cosine"], parameters["tilt sine"]
        bold = _BOLD * unit
        x, y = parameters["x"], parameters["y"]
        within = around(shape, x, y, math.hypot(WIDTH, HEIGHT) / 2 * unit + bold)
        return [Layer(written(codes[:, None], x, y, unit, bold, turn), within)]

    def letters(self, shape: Shape) -> float:
        """See `Lettered`."""
        return self.size * min(shape[1:])


@dataclass(frozen=True)
class TextLine(Mark):
    """A line of text burnt into the pixels; every # of it is a digit of the row's own. See `TextLineParams`."""

    opacity: float
    text: str
    size: float
    x: float
    y: float
    jitter: float
    ink: Literal["white", "black"]

    def check(self, shape: Shape) -> None:
        """Raises SpecError when the line is wider than the image."""
        wide = round(self._half_width(shape) * 2)
        if wide > shape[2]:
            raise SpecError(
                f"a line of {len(self.text)} letters of size {self.size:g} is {wide} px wide, wider than the image of "
                f"{shape[2]} px: give a smaller size or fewer letters"
            )

    def draw(self, draws: Draws, shape: Shape) -> dict[str, Tensor]:
        """`x`, `y`: the middle of the line in px; `digit 0`, `digit 1`, ...: one for every # of the text."""
        half = self.size * min(shape[1:]) / 2
        digits = {
            f"digit {i}": (10 * draws.uniform(f"digit {i}")).long()
            for i, character in enumerate(self.text)
            if character == "#"
        }
        return {
            "x": placed(draws, "x", self.x, self.jitter, self._half_width(shape), shape[2], shape),
            "y": placed(draws, "y", self.y, self.jitter, half, shape[1], shape),
            **digits,
        }

    def layers(self, parameters: Parameters, shape: Shape) -> Sequence[Layer]:
        """Strokes of one colour."""
        x, zero = parameters["x"], CHARACTERS.index("0")
        columns = [
            zero + parameters[f"digit {i}"] if character == "#" else torch.full_like(x, code(character)).long()
            for i, character in enumerate(self.text)
        ]
        unit = self.size * min(shape[1:]) / HEIGHT
        y = parameters["y"]
        within = around(shape, x, y, self._half_width(shape) + unit, (HEIGHT / 2 + 1) * unit)
        text = written(torch.stack(columns, dim=1), x, y, unit, 0.5 * unit)
        return [Layer(text, within, WHITE if self.ink == "white" else BLACK)]

    def letters(self, shape: Shape) -> float:
        """See `Lettered`."""
        return self.size * min(shape[1:])

    def _half_width(self, shape: Shape) -> float:
        """Half of the line's width in px."""
        unit = self.size * min(shape[1:]) / HEIGHT
        return unit * (ADVANCE * (len(self.text) - 1) + WIDTH) / 2


def written(
    codes: Int[Tensor, "b n"],
    x: Float[Tensor, "b"],
    y: Float[Tensor, "b"],
    unit: float,
    radius: float,
    turn: tuple[Tensor, Tensor] | None = None,
) -> Stroke:
    """n characters around the point (x, y) px of each row; `unit` is a step of the glyphs' grid in px.

    radius: half the width of a stroke in px.
    """
    count = codes.shape[1]
    along = ADVANCE * (torch.arange(count, device=x.device, dtype=torch.float64) - (count - 1) / 2)
    x0, y0, x1, y1 = (part.double() for part in strokes(codes))
    x0, x1 = x0 + along[:, None], x1 + along[:, None]
    if turn is not None:
        cosine, sine = turn[0][:, None, None], turn[1][:, None, None]
        x0, y0 = x0 * cosine - y0 * sine, x0 * sine + y0 * cosine
        x1, y1 = x1 * cosine - y1 * sine, x1 * sine + y1 * cosine
    x0, x1 = ((x[:, None, None] + unit * part).flatten(1) for part in (x0, x1))
    y0, y1 = ((y[:, None, None] + unit * part).flatten(1) for part in (y0, y1))
    return line(x0, y0, x1, y1, radius)
