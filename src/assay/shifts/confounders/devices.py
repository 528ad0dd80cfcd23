"""Things in and on the patient that a radiograph shows: a drain, a pacemaker, electrodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from assay.shifts.confounders.layers import Layer, Mark, Shape, around, box, placed, turned, whole
from assay.shifts.confounders.randomness import uniforms
from assay.shifts.confounders.strokes import curve, dots
from assay.shifts.intervention import Draws, Parameters

Side = Literal["left", "right", "either"]

_OUTSIDE = -0.02  # of the width: where what comes in from an edge begins


def sided(draws: Draws, side: Side) -> Tensor:
    """0 for the left, 1 for the right edge of the image, int64 [n]."""
    if side == "either":
        return (draws.uniform("side") >= 0.5).long()
    return torch.full((len(draws.rows),), int(side == "right"))


def mirrored(x: Tensor, side: Tensor, width: int) -> Tensor:
    """Places along x that were thought from the left edge, seen from the row's own side."""
    return torch.where(side.view(-1, *[1] * (x.ndim - 1)) == 1, width - x, x)


@dataclass(frozen=True)
class ChestDrain(Mark):
    """A tube that enters from one edge and climbs, with its radio-opaque stripe and the gap of its side hole.

    See `ChestDrainParams` for units.
    """

    opacity: float
    width: float
    side: Side
    jitter: float

    def check(self, shape: Shape) -> None:
        """Every image can carry it."""

    def draw(self, draws: Draws, shape: Shape) -> dict[str, Tensor]:
        """`side`: 0 left, 1 right; entry, bend and tip in px as if from the left."""
        _, height, width = shape
        middle = {"entry": (_OUTSIDE, 0.78), "bend": (0.42, 0.80), "tip": (0.30, 0.22)}
        drawn = {
            f"{point} {axis}": length * share + 2 * self.jitter * length * (draws.uniform(f"{point} {axis}") - 0.5)
            for point, places in middle.items()
            for axis, share, length in (("x", places[0], width), ("y", places[1], height))
        }
        drawn["entry x"].clamp_(max=_OUTSIDE * width)  # however far it is moved, it comes in from the edge
        return {"side": sided(draws, self.side), **drawn}

    def layers(self, parameters: Parameters, shape: Shape) -> Sequence[Layer]:
        """The tube's faint body, its two walls by way of a fainter bore, and the stripe."""
        short = min(shape[1:])
        outer = 0.5 * self.width * short
        points = tuple(
            (mirrored(parameters[f"{name} x"], parameters["side"], shape[2])[:, None], parameters[f"{name} y"][:, None])
            for name in ("entry", "bend", "tip")
        )
        within = whole(shape)
        body = curve(points, outer)
        bore = replace(body, radii=0.7 * body.radii)
        stripe = curve(points, 0.25 * outer, ((0.0, 0.80), (0.86, 1.0)))
        thinned = -0.2 / (1 - 0.45 * self.opacity)  # takes back so much of the body's 0.45 that a quarter is left
        return [
            Layer(body, within, strength=0.45),
            Layer(bore, within, strength=thinned),
            Layer(stripe, within, strength=0.9),
        ]


@dataclass(frozen=True)
class Pacemaker(Mark):
    """A metal case below a collar bone, with its header and a lead to the heart. See `PacemakerParams` for units."""

    opacity: float
    size: float
    side: Side
    jitter: float

    def check(self, shape: Shape) -> None:
        """Every image can carry it: `size` is at most a half."""

    def draw(self, draws: Draws, shape: Shape) -> dict[str, Tensor]:
        """`side`: 0 left, 1 right; the case's middle in px as if from the left; cosine and sine of its `tilt`."""
        half = 0.75 * self.size * min(shape[1:])
        return {
            "side": sided(draws, self.side),
            "x": placed(draws, "x", 0.22, self.jitter, half, shape[2], shape),
            "y": placed(draws, "y", 0.24, self.jitter, half, shape[1], shape),
            "heart x": shape[2] * (0.50 + 0.08 * draws.uniform("heart x")),
            "heart y": shape[1] * (0.66 + 0.08 * draws.uniform("heart y")),
            **turned(draws, "tilt", -20.0, 20.0),
        }

    def layers(self, parameters: Parameters, shape: Shape) -> Sequence[Layer]:
        """The lead, the case, the darker battery and circuit in it, and the header."""
        size = self.size * min(shape[1:])
        side, y = parameters["side"], parameters["y"]
        x = mirrored(parameters["x"], side, shape[2])
        turn = parameters["tilt cosine"], parameters["tilt sine"]
        case = around(shape, x, y, 0.85 * size)

        def part(along: float, down: float, wide: float, tall: float, corner: float) -> Tensor:
            """A box in the case's own axes, in units of its size."""
            across_x = x + size * (along * turn[0] - down * turn[1])
            across_y = y + size * (along * turn[1] + down * turn[0])
            return box(case, across_x, across_y, (wide * size / 2, tall * size / 2), corner * size, turn)

        return [
            self._lead(parameters, shape, x + size * 0.35 * turn[1], y - size * 0.35 * turn[0]),
            Layer(part(0.0, 0.08, 1.0, 0.84, 0.34), case, strength=0.92),
            Layer(part(-0.18, 0.12, 0.42, 0.5, 0.08), case, (0.45, 0.45, 0.45), 0.35),
            Layer(part(0.24, 0.14, 0.26, 0.4, 0.03), case, (0.55, 0.55, 0.55), 0.3),
            Layer(part(0.0, -0.42, 0.62, 0.22, 0.09), case, strength=0.7),
        ]

    def _lead(self, parameters: Parameters, shape: Shape, x: Tensor, y: Tensor) -> Layer:
        """A thin wire from the header towards the middle and down to the heart's apex."""
        thick = 0.004 * min(shape[1:])
        tip_x = mirrored(parameters["heart x"], parameters["side"], shape[2])
        bend_x = torch.full_like(x, 0.5 * shape[2])
        bend_y = torch.full_like(y, 0.12 * shape[1])
        points = (
            (x[:, None], y[:, None]),
            (bend_x[:, None], bend_y[:, None]),
            (tip_x[:, None], parameters["heart y"][:, None]),
        )
        # a curve lies within the hull of its three points
        within = around(shape, torch.cat([x, bend_x, tip_x]), torch.cat([y, bend_y, parameters["heart y"]]), thick + 2)
        return Layer(curve(points, thick), within, strength=0.85)


@dataclass(frozen=True)
class Electrode(Mark):
    """Adhesive electrodes on the chest, each with its snap and a wire out of the image. See `ElectrodeParams`."""

    opacity: float
    count: int
    size: float

    def check(self, shape: Shape) -> None:
        """Every image can carry it: what lies outside is cut off."""

    def draw(self, draws: Draws, shape: Shape) -> dict[str, Tensor]:
        """`seed`: for the places of the row's electrodes and the ends of their wires."""
        return {"seed": draws.seeds("electrodes")}

    def layers(self, parameters: Parameters, shape: Shape) -> Sequence[Layer]:
        """Wires, then the faint pads, then the bright snaps; electrodes lie in the outer thirds of the width."""
        _, height, width = shape
        short = min(height, width)
        u = uniforms(parameters["seed"], 3 * self.count).view(-1, 3, self.count)
        right = u[:, 0] >= 0.5
        inward = 0.08 + 0.5 * torch.where(right, u[:, 0] - 0.5, u[:, 0])
        x = width * torch.where(right, 1 - inward, inward)
        y = height * (0.12 + 0.7 * u[:, 1])
        out_x = torch.where(right, 1.02 * width, -0.02 * width)
        out_y = height * (0.3 + 0.7 * u[:, 2])
        points = ((x, y), (0.6 * x + 0.4 * out_x, y), (out_x, out_y))
        within = whole(shape)
        wires = curve(points, 0.0035 * short)
        outer, snap = 0.5 * self.size * short, 0.16 * self.size * short
        return [
            Layer(wires, within, strength=0.6),
            Layer(dots(x, y, outer), within, strength=0.22),
            Layer(dots(x, y, max(snap, 0.5)), within, strength=0.95),
        ]
