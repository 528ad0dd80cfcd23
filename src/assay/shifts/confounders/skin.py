"""What lies on skin: a surgeon's pen, and hair."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from assay.shifts.confounders.layers import Layer, Mark, Shape, placed, turned, whole
from assay.shifts.confounders.randomness import uniforms
from assay.shifts.confounders.strokes import FLATNESS, Stroke, bent
from assay.shifts.intervention import Draws, Parameters

_VIOLET = (0.30, 0.16, 0.52)  # gentian violet on skin
_BROWN = (0.13, 0.08, 0.06)
_LEAST, _MOST = 0.85, 1.15  # half axis of a pen's ring, in units of its radius
_WOBBLE = 0.03  # of the ring, as a share of its half axes


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
        half = _MOST * (1 + _WOBBLE) * radius + self.width * min(shape[1:]) / 2
        return {
            "x": placed(draws, "x", self.x, self.jitter, half, shape[2], shape),
            "y": placed(draws, "y", self.y, self.jitter, half, shape[1], shape),
            "wide": radius * (_LEAST + (_MOST - _LEAST) * draws.uniform("wide")),
            "tall": radius * (_LEAST + (_MOST - _LEAST) * draws.uniform("tall")),
            **turned(draws, "turn", 0.0, 360.0),
        }

    def layers(self, parameters: Parameters, shape: Shape) -> Sequence[Layer]:
        """Arcs of three quarters of their share of the circle, swelling towards their middle."""
        across, down, pressure = self._arcs(min(shape[1:]), parameters["x"].device)
        x, y, wide, tall, cosine, sine = (
            parameters[name][:, None, None] for name in ("x", "y", "wide", "tall", "turn cosine", "turn sine")
        )
        points = x + wide * (across * cosine - down * sine), y + tall * (across * sine + down * cosine)
        ends = [axis[:, :, part].flatten(1) for part in (slice(-1), slice(1, None)) for axis in points]
        radii = torch.stack([pressure[:, :-1], pressure[:, 1:]]).flatten(1)[:, None].expand(-1, len(x), -1)
        return [Layer(Stroke(torch.stack(ends), radii), whole(shape), _VIOLET)]

    def _arcs(self, short: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
        """Points of the arcs on the unit circle, [strokes, n], and the line's radius in px at each; as in all rows."""
        largest = _MOST * self.radius * short
        piece = math.sqrt(8 * FLATNESS * max(largest, 1.0) / 1.8)  # px; the wobble bends it 1.8 times as much
        pieces = math.ceil(1.5 * math.pi * largest / self.strokes / piece)
        t = torch.arange(pieces + 1, dtype=torch.float64) / pieces
        angle = (2 * math.pi / self.strokes) * (torch.arange(self.strokes)[:, None] + 0.75 * t)
        wobble = 1 + _WOBBLE * torch.sin(5 * angle + torch.arange(self.strokes)[:, None])
        pressure = 0.5 * self.width * short * (0.7 + 0.3 * torch.sin(math.pi * t)).expand_as(angle)
        return (wobble * angle.cos()).to(device), (wobble * angle.sin()).to(device), pressure.to(device)


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
        ends, t = bent(((from_x, from_y), (by_x, by_y), (to_x, to_y)))
        hairs = Stroke(ends, 0.5 * self.width * short * (1 - 0.6 * t))
        return [Layer(hairs, whole(shape), _BROWN)]
