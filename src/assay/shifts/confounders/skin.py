"""What lies on skin: a surgeon's pen, and hair."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from assay.shifts.confounders.layers import Layer, Mark, Shape, placed, turned, whole
from assay.shifts.confounders.randomness import uniforms
from assay.shifts.confounders.strokes import Stroke, bent
from assay.shifts.intervention import Draws, Parameters

_VIOLET = (0.30, 0.16, 0.52)  # gentian violet on skin
_BROWN = (0.13, 0.08, 0.06)
_FINEST = 0.5  # px between points along a hair or a pen's line


@dataclass(frozen=True)
class SurgicalPen(Mark):
    """Strokes of a violet skin marker around the lesion, with gaps. See `SurgicalPenParams` for units."""

    opacity: float
    radius: float
    width: float
    strokes: int
    x: float
    y: float
    jitter: float

    def check(self, shape: Shape) -> None:
        """Every image can carry it: what lies outside is cut off."""

    def draw(self, draws: Draws, shape: Shape) -> dict[str, Tensor]:
        """`x`, `y`: the ring's middle in px; `wide`, `tall`: its half axes in px; cosine and sine of its `turn`."""
        radius = self.radius * min(shape[1:])
        return {
            "x": placed(draws, "x", self.x, self.jitter, 0.0, shape[2], shape),
            "y": placed(draws, "y", self.y, self.jitter, 0.0, shape[1], shape),
            "wide": radius * (0.85 + 0.3 * draws.uniform("wide")),
            "tall": radius * (0.85 + 0.3 * draws.uniform("tall")),
            **turned(draws, "turn", 0.0, 360.0),
        }

    def layers(self, parameters: Parameters, shape: Shape) -> Sequence[Layer]:
        """Arcs of three quarters of their share of the circle, swelling towards their middle."""
        across, down, pressure = self._arcs(min(shape[1:]), parameters["x"].device)
        cosine, sine = parameters["turn cosine"][:, None], parameters["turn sine"][:, None]
        x = parameters["x"][:, None] + parameters["wide"][:, None] * (across * cosine - down * sine)
        y = parameters["y"][:, None] + parameters["tall"][:, None] * (across * sine + down * cosine)
        return [Layer(Stroke(x, y, pressure.expand_as(x)), whole(shape), _VIOLET)]

    def _arcs(self, short: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
        """Points of the arcs on the unit circle, and the stroke's radius in px at each; the same for all rows."""
        each = math.ceil(2 * math.pi * 1.15 * self.radius * short / self.strokes / _FINEST) + 1
        t = torch.arange(each, dtype=torch.float64) / max(1, each - 1)
        angle = (2 * math.pi / self.strokes) * (torch.arange(self.strokes)[:, None] + 0.75 * t)
        wobble = 1 + 0.03 * torch.sin(5 * angle + torch.arange(self.strokes)[:, None])
        pressure = 0.5 * self.width * short * (0.7 + 0.3 * torch.sin(math.pi * t)).expand_as(angle)
        across, down = (wobble * angle.cos()).flatten(), (wobble * angle.sin()).flatten()
        return across.to(device), down.to(device), pressure.flatten().to(device)


@dataclass(frozen=True)
class Hair(Mark):
    """Dark, bent, tapering hairs scattered over the image. See `HairParams` for units."""

    opacity: float
    count: int
    width: float
    length: float

    def check(self, shape: Shape) -> None:
        """Every image can carry it."""

    def draw(self, draws: Draws, shape: Shape) -> dict[str, Tensor]:
        """`seed`: for the places of the row's hairs."""
        return {"seed": draws.seeds("hairs")}

    def layers(self, parameters: Parameters, shape: Shape) -> Sequence[Layer]:
        """Each hair starts anywhere, ends anywhere within `length`, and bends by up to a fifth of that."""
        short = min(shape[1:])
        u = uniforms(parameters["seed"], 6 * self.count).view(-1, 6, self.count)
        reach = self.length * short
        from_x, from_y = u[:, 0] * shape[2], u[:, 1] * shape[1]
        to_x, to_y = from_x + reach * (2 * u[:, 2] - 1), from_y + reach * (2 * u[:, 3] - 1)
        by_x = 0.5 * (from_x + to_x) + reach * (u[:, 4] - 0.5) * 0.4
        by_y = 0.5 * (from_y + to_y) + reach * (u[:, 5] - 0.5) * 0.4
        x, y, t = bent(((from_x, from_y), (by_x, by_y), (to_x, to_y)), _FINEST)
        hairs = Stroke(x, y, 0.5 * self.width * short * (1 - 0.6 * t))
        return [Layer(hairs, whole(shape), _BROWN)]
