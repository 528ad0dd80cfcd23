"""Marks of things in and on the patient: drains, pacemakers, electrodes, pen strokes and hair."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from assay.shifts.confounders.drawing import (
    FLATNESS,
    Box,
    Layer,
    Mark,
    Rows,
    Shape,
    Stroke,
    around,
    bent,
    curve,
    dots,
    image_change,
    placed,
    turned,
    uniforms,
    whole,
)
from assay.shifts.confounders.marks import Jitter, Opacity, Share, X, Y
from assay.shifts.intervention import Draws

# Things in and on the patient that a radiograph shows: a drain, a pacemaker, electrodes.

Side = Literal["left", "right", "either"]

_OUTSIDE = -0.02  # of the width: objects that enter at an edge begin here


def sided(draws: Draws, side: Side) -> Tensor:
    """0 for the left, 1 for the right edge of the image, int64 [n]."""
    if side == "either":
        return (draws.uniform("side") >= 0.5).long()
    return torch.full((len(draws.rows),), int(side == "right"))


def mirrored(x: np.ndarray, side: np.ndarray, width: int) -> np.ndarray:
    """Return places along x, counted from the left edge, as seen from the row's own side."""
    return np.where(side == 1, width - x, x)


@image_change("chest-drain", "a tube with a radio-opaque stripe", extent="local", origin="patient", version=2)
class ChestDrain(Mark):
    """A tube that enters from one edge and climbs, with its radio-opaque stripe and the gap of its side hole."""

    opacity: Opacity = 0.9
    width: Annotated[float, Field(gt=0, le=0.5, description="of the tube, as a share of the shorter side")] = 0.035
    side: Annotated[Side, Field(description="the edge from which it enters; `either`: drawn by row")] = "either"
    jitter: Annotated[Share, Field(description="largest shift of entry, bend and tip, as a share of the edge")] = 0.06

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

    def layers(self, rows: Rows, shape: Shape) -> Sequence[Layer]:
        """The tube's faint body, its two walls by way of a fainter bore, and the stripe."""
        short = min(shape[1:])
        outer = 0.5 * self.width * short
        points = tuple(
            (mirrored(rows[f"{name} x"], rows["side"], shape[2])[:, None], rows[f"{name} y"][:, None])
            for name in ("entry", "bend", "tip")
        )
        within = whole(shape)
        body = curve(points, outer)
        bore = Stroke(body.ends, 0.7 * body.radii)
        stripe = curve(points, 0.25 * outer, ((0.0, 0.80), (0.86, 1.0)))
        thinned = -0.2 / (1 - 0.45 * self.opacity)  # takes back so much of the body's 0.45 that a quarter is left
        return [
            Layer(body, within, strength=0.45),
            Layer(bore, within, strength=thinned),
            Layer(stripe, within, strength=0.9),
        ]


@image_change("pacemaker", "a metal case with a lead to the heart", extent="local", origin="patient", version=2)
class Pacemaker(Mark):
    """A metal case below a collar bone, with its header and a lead to the heart."""

    opacity: Opacity = 0.95
    size: Annotated[float, Field(gt=0, le=0.5, description="width of the case, as a share of the shorter side")] = 0.15
    side: Annotated[Side, Field(description="the side of the image on which it is drawn; `either`: drawn by row")] = (
        "right"
    )
    jitter: Jitter = 0.04

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

    def layers(self, rows: Rows, shape: Shape) -> Sequence[Layer]:
        """The lead, the case, the darker battery and circuit in it, and the header."""
        size = self.size * min(shape[1:])
        y, x = rows["y"], mirrored(rows["x"], rows["side"], shape[2])
        turn = rows["tilt cosine"], rows["tilt sine"]
        case = around(shape, x, y, 0.85 * size)

        def part(along: float, down: float, wide: float, tall: float, corner: float) -> Box:
            """A box in the case's own axes, in units of its size."""
            across_x = x + size * (along * turn[0] - down * turn[1])
            across_y = y + size * (along * turn[1] + down * turn[0])
            return Box(across_x, across_y, (wide * size / 2, tall * size / 2), corner * size, turn)

        return [
            self._lead(rows, shape, x + size * 0.35 * turn[1], y - size * 0.35 * turn[0]),
            Layer(part(0.0, 0.08, 1.0, 0.84, 0.34), case, strength=0.92),
            Layer(part(-0.18, 0.12, 0.42, 0.5, 0.08), case, (0.45, 0.45, 0.45), 0.35),
            Layer(part(0.24, 0.14, 0.26, 0.4, 0.03), case, (0.55, 0.55, 0.55), 0.3),
            Layer(part(0.0, -0.42, 0.62, 0.22, 0.09), case, strength=0.7),
        ]

    def _lead(self, rows: Rows, shape: Shape, x: np.ndarray, y: np.ndarray) -> Layer:
        """A thin wire from the header toward the middle and down to the heart's apex."""
        thick = 0.004 * min(shape[1:])
        tip_x = mirrored(rows["heart x"], rows["side"], shape[2])
        points = (
            (x[:, None], y[:, None]),
            (np.full((len(x), 1), 0.5 * shape[2]), np.full((len(x), 1), 0.12 * shape[1])),
            (tip_x[:, None], rows["heart y"][:, None]),
        )
        # a curve is within the hull of its three points
        every_x, every_y = (np.concatenate(axis) for axis in zip(*points, strict=True))
        return Layer(curve(points, thick), around(shape, every_x, every_y, thick + 2), strength=0.85)


@image_change("electrode", "electrodes on the chest, with their wires", extent="local", origin="patient", version=2)
class Electrode(Mark):
    """Adhesive electrodes on the chest, each with its snap and a wire out of the image."""

    opacity: Opacity = 0.9
    count: Annotated[int, Field(ge=1, le=30, description="number of electrodes")] = 4
    size: Annotated[float, Field(gt=0, le=0.5, description="diameter of the pad, as a share of the shorter side")] = (
        0.075
    )

    def draw(self, draws: Draws, shape: Shape) -> dict[str, Tensor]:
        """`seed`: for the places of the row's electrodes and the ends of their wires."""
        return {"seed": draws.seeds("electrodes")}

    def layers(self, rows: Rows, shape: Shape) -> Sequence[Layer]:
        """Wires, then the faint pads, then the bright snaps; electrodes lie in the outer thirds of the width."""
        _, height, width = shape
        short = min(height, width)
        u = uniforms(rows["seed"], 3 * self.count).reshape(-1, 3, self.count)
        right = u[:, 0] >= 0.5
        inward = 0.08 + 0.5 * np.where(right, u[:, 0] - 0.5, u[:, 0])
        x = width * np.where(right, 1 - inward, inward)
        y = height * (0.12 + 0.7 * u[:, 1])
        out_x = np.where(right, 1.02 * width, -0.02 * width)
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


# Marks on skin: a surgeon's pen, and hair.

_VIOLET = (0.30, 0.16, 0.52)  # gentian violet on skin
_BROWN = (0.13, 0.08, 0.06)
_LEAST, _MOST = 0.85, 1.15  # half axis of a pen's ring, in units of its radius
_WOBBLE = 0.03  # of the ring, as a share of its half axes


@image_change("surgical-pen", "strokes of a violet skin marker around the lesion", extent="local", version=3)
class SurgicalPen(Mark):
    """Strokes of a violet skin marker around the lesion, with gaps."""

    opacity: Opacity = 0.7
    radius: Annotated[
        float, Field(gt=0, le=1, description="half axes of the ring, share of the shorter side, +-15%")
    ] = 0.38
    width: Annotated[float, Field(gt=0, le=0.5, description="of the line, as a share of the shorter side")] = 0.025
    strokes: Annotated[int, Field(ge=1, le=60, description="number of arcs; a quarter of each is a gap")] = 4
    x: X = 0.5
    y: Y = 0.5
    jitter: Jitter = 0.05

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

    def layers(self, rows: Rows, shape: Shape) -> Sequence[Layer]:
        """Arcs of three quarters of their share of the circle, swelling toward their middle."""
        across, down, radius = self._arcs(min(shape[1:]))
        x, y, wide, tall, cosine, sine = (
            rows[name][:, None, None] for name in ("x", "y", "wide", "tall", "turn cosine", "turn sine")
        )
        points = x + wide * (across * cosine - down * sine), y + tall * (across * sine + down * cosine)
        pieces = slice(-1), slice(1, None)
        ends = np.stack([axis[:, :, part].reshape(len(x), -1) for part in pieces for axis in points])
        radii = np.stack([radius[:, part].reshape(1, -1) for part in pieces])
        return [Layer(Stroke(ends, radii), whole(shape), _VIOLET)]

    def _arcs(self, short: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Points of the arcs on the unit circle, [strokes, n], and the line's radius in px at each; as in all rows."""
        largest = _MOST * self.radius * short
        piece = math.sqrt(8 * FLATNESS * max(largest, 1.0) / 1.8)  # px; the wobble bends it 1.8 times as much
        pieces = math.ceil(1.5 * math.pi * largest / self.strokes / piece)
        t, number = np.arange(pieces + 1) / pieces, np.arange(self.strokes)[:, None]
        angle = (2 * math.pi / self.strokes) * (number + 0.75 * t)
        wobble = 1 + _WOBBLE * np.sin(5 * angle + number)
        radius = np.broadcast_to(0.5 * self.width * short * (0.7 + 0.3 * np.sin(math.pi * t)), angle.shape)
        return wobble * np.cos(angle), wobble * np.sin(angle), radius


@image_change("hair", "dark, bent hairs over the image", extent="local", origin="patient", version=2)
class Hair(Mark):
    """Dark, bent, tapering hairs scattered over the image."""

    opacity: Opacity = 0.85
    count: Annotated[int, Field(ge=1, le=200, description="number of hairs")] = 15
    width: Annotated[
        float, Field(gt=0, le=0.2, description="of a hair at its root, as a share of the shorter side")
    ] = 0.009
    length: Annotated[
        float, Field(gt=0, le=2, description="largest extent along each axis, share of the shorter side")
    ] = 0.6

    def draw(self, draws: Draws, shape: Shape) -> dict[str, Tensor]:
        """`seed`: for the places of the row's hairs."""
        return {"seed": draws.seeds("hairs")}

    def layers(self, rows: Rows, shape: Shape) -> Sequence[Layer]:
        """Each hair starts anywhere, ends anywhere within `length`, and bends by up to a fifth of that."""
        short = min(shape[1:])
        u = uniforms(rows["seed"], 6 * self.count).reshape(-1, 6, self.count)
        reach = self.length * short
        from_x, from_y = u[:, 0] * shape[2], u[:, 1] * shape[1]
        to_x, to_y = from_x + reach * (2 * u[:, 2] - 1), from_y + reach * (2 * u[:, 3] - 1)
        by_x = 0.5 * (from_x + to_x) + reach * (u[:, 4] - 0.5) * 0.4
        by_y = 0.5 * (from_y + to_y) + reach * (u[:, 5] - 0.5) * 0.4
        ends, t = bent(((from_x, from_y), (by_x, by_y), (to_x, to_y)))
        hairs = Stroke(ends, 0.5 * self.width * short * (1 - 0.6 * t))
        return [Layer(hairs, whole(shape), _BROWN)]
