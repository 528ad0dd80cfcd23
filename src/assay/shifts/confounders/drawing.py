"""Draw local marks: layers of paint, lines, boxes, letters, and their random parameters."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, NamedTuple, Protocol, TypeVar, dataclass_transform, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int
from torch import Tensor

from assay.core.compiled import compiled
from assay.core.registry import component
from assay.core.traits import ChangeTraits, Extent, Origin
from assay.data.phantoms.drawing import direction, lattice_bits
from assay.shifts.intervention import Draws, Parameters

# Compiled loops that draw marks: straight lines with round ends, turned boxes, and paint.


@compiled
def paint(
    image: Float32[np.ndarray, "c h w"],
    coverage: Float32[np.ndarray, "i j"],
    color: Float32[np.ndarray, "c"],
    strength: float,
    top: int,
    left: int,
) -> None:
    """Move pixels toward a color by `strength` times their coverage, in place; the result is clipped to 0..1."""
    zero, unit, full, wide = np.float32(0), np.float32(1), np.float32(strength), coverage.shape[1]
    for channel in range(len(image)):
        target = color[channel]
        for i in range(len(coverage)):
            pixels, covered = image[channel, top + i][left : left + wide], coverage[i]
            for j in range(wide):
                pixels[j] = min(max((target - pixels[j]) * (full * covered[j]) + pixels[j], zero), unit)


@compiled
def segments(
    canvas: Float32[np.ndarray, "h w"],
    ends: Float32[np.ndarray, "4 k"],
    radii: Float32[np.ndarray, "2 k"],
    thinnest: float,
    top: int,
    left: int,
) -> None:
    """Raise a canvas to the coverage by k lines, the greatest of which counts.

    Args:
        ends: Start and end, x, y, x, y in px from the image's corner.
        radii: At either end, px; linear in between.
        thinnest: A thinner line is drawn with this radius, and as much fainter as it is thinner.
    """
    half, unit, zero, two, three = np.float32(0.5), np.float32(1), np.float32(0), np.float32(2), np.float32(3)
    least = np.float32(thinnest)
    for piece in range(ends.shape[1]):
        x, y, to_x, to_y = ends[0, piece], ends[1, piece], ends[2, piece], ends[3, piece]
        along_x, along_y = to_x - x, to_y - y
        square = along_x * along_x + along_y * along_y
        per = unit / square if square > zero else zero
        radius, rise = radii[0, piece], radii[1, piece] - radii[0, piece]
        far = max(radii[0, piece], radii[1, piece], least) + half
        first, last = _within(min(x, to_x) - far - half, max(x, to_x) + far, left, canvas.shape[1])
        upper, lower = _within(min(y, to_y) - far - half, max(y, to_y) + far, top, canvas.shape[0])
        for i in range(upper, lower):
            away_y, line = np.float32(i + top) + half - y, canvas[i][first:last]
            for j in range(len(line)):
                away_x = np.float32(j + (first + left)) + half - x
                t = min(max((away_x * along_x + away_y * along_y) * per, zero), unit)
                rest_x, rest_y, thickness = away_x - t * along_x, away_y - t * along_y, radius + t * rise
                depth = max(thickness, least) - np.sqrt(rest_x * rest_x + rest_y * rest_y)
                t = min(max(depth + half, zero), unit)
                line[j] = max(line[j], t * t * (three - two * t) * min(thickness / least, unit))


@compiled
def box(
    canvas: Float32[np.ndarray, "h w"],
    middle: tuple[float, float],
    turn: tuple[float, float],
    half: tuple[float, float, float],
    top: int,
    left: int,
) -> None:
    """Write the coverage by a box with round corners into a canvas of zeros.

    Args:
        middle: Its x and y, px.
        turn: Cosine and sine of the angle by which it is turned clockwise.
        half: Half its width and height less the radius of its corners, and that radius, px.
    """
    center, unit, zero, two, three = np.float32(0.5), np.float32(1), np.float32(0), np.float32(2), np.float32(3)
    x, y, cosine, sine = np.float32(middle[0]), np.float32(middle[1]), np.float32(turn[0]), np.float32(turn[1])
    half_x, half_y, rounded = np.float32(half[0]), np.float32(half[1]), np.float32(half[2])
    reach = np.float32(np.hypot(half_x + rounded, half_y + rounded)) + unit
    first, last = _within(x - reach, x + reach, left, canvas.shape[1])
    upper, lower = _within(y - reach, y + reach, top, canvas.shape[0])
    for i in range(upper, lower):
        away_y, line = np.float32(i + top) + center - y, canvas[i][first:last]
        for j in range(len(line)):
            away_x = np.float32(j + (first + left)) + center - x
            out_x = abs(away_x * cosine + away_y * sine) - half_x
            out_y = abs(away_y * cosine - away_x * sine) - half_y
            beyond_x, beyond_y = max(out_x, zero), max(out_y, zero)
            outside = np.sqrt(beyond_x * beyond_x + beyond_y * beyond_y)
            t = min(max(rounded - outside - min(max(out_x, out_y), zero) + center, zero), unit)
            line[j] = t * t * (three - two * t)


@compiled
def _within(low: float | np.floating, high: float | np.floating, first: int, length: int) -> tuple[int, int]:
    """First and last pixel (excluded) of a canvas between two coordinates; none where one is not a number."""
    if not (low < 2.0**24 and high > -(2.0**24)):
        return 0, 0
    start, stop = int(max(low, -(2.0**24))) - first, int(min(high, 2.0**24)) - first + 1
    return max(0, start), max(0, min(length, stop))


# Local marks: layers of paint over an image, row by row.

Shape = tuple[int, int, int]
"""(channels, height, width) of one image."""

Rows = Mapping[str, np.ndarray]
"""Parameter name -> float64 or int64 [b], one value per row."""

WHITE = (1.0, 1.0, 1.0)
BLACK = (0.0, 0.0, 0.0)

_LUMA = (0.299, 0.587, 0.114)


class Window(NamedTuple):
    """A rectangle of whole pixels within the images of a batch, outside of which nothing is drawn."""

    top: int
    left: int
    height: int
    width: int


def whole(shape: Shape) -> Window:
    """Return all of the image."""
    return Window(0, 0, shape[1], shape[2])


def around(shape: Shape, x: np.ndarray, y: np.ndarray, reach_x: float, reach_y: float | None = None) -> Window:
    """Return the least window that holds, for every row, all within so many px of a middle; one pixel at least."""
    if len(x) == 0:
        return whole(shape)
    top, bottom = _span(y, reach_x if reach_y is None else reach_y, shape[1])
    left, right = _span(x, reach_x, shape[2])
    return Window(top, left, bottom - top, right - left)


def _span(middle: np.ndarray, reach: float, length: int) -> tuple[int, int]:
    first = min(max(0, math.floor(float(middle.min()) - reach) - 1), length - 1)
    return first, max(first + 1, min(length, math.ceil(float(middle.max()) + reach) + 1))


class Figure(Protocol):
    """A figure with one instance per row."""

    def draw(self, row: int, within: Window) -> Float32[np.ndarray, "h w"]:
        """Return the coverage, 0..1, of a row's window."""
        ...


@dataclass(frozen=True, slots=True)
class Layer:
    """Paint: each pixel moves to `color` (red, green, blue in 0..1) by `strength` times a figure's coverage.

    within: the part of the image that is drawn; nothing changes outside.
    """

    figure: Figure
    within: Window
    color: tuple[float, float, float] = WHITE
    strength: float = 1.0


Component = TypeVar("Component")


@dataclass_transform(frozen_default=True, kw_only_default=True)
def image_change(
    name: str,
    summary: str,
    kind: Literal["intervention", "distortion"] = "intervention",
    *,
    extent: Extent = "global",
    origin: Origin = "environment",
    version: int = 1,
) -> Callable[[type[Component]], type[Component]]:
    """Declare a class as a component that changes images; it becomes a frozen dataclass. See `component`."""

    def declare(declared: type[Component]) -> type[Component]:
        frozen = dataclass(frozen=True, kw_only=True)(declared)
        return component(kind, name, ChangeTraits(extent, origin), summary=summary, version=version)(frozen)

    return declare


class Mark(ABC):
    """An object on the image: layers of paint, all thinned by `opacity`.

    opacity: 0 (nothing changes) to 1. On images that are not RGB a color is its luminance (ITU-R BT.601).
    """

    opacity: float

    def check(self, shape: Shape) -> None:
        """Raises SpecError when images of this shape cannot carry it; every image can, unless a mark says so."""
        return

    @abstractmethod
    def draw(self, draws: Draws, shape: Shape) -> dict[str, Tensor]:
        """Parameters for every row, float64 or int64 [n]."""

    @abstractmethod
    def layers(self, rows: Rows, shape: Shape) -> Sequence[Layer]:
        """The paint, lowest layer first."""

    def apply(self, images: Float[Tensor, "b c h w"], parameters: Parameters) -> Float[Tensor, "b c h w"]:
        """The images with the mark on them."""
        out, (channels, height, width) = images.clone(memory_format=torch.contiguous_format), images.shape[1:]
        for row, layer, covered in self._drawings(parameters, (channels, height, width)):
            color, strength = in_channels(layer.color, channels), self.opacity * layer.strength
            paint(out[row].numpy(), covered, color, strength, layer.within.top, layer.within.left)
        return out

    def mask(self, parameters: Parameters, shape: Shape) -> Bool[Tensor, "b 1 h w"]:
        """Every pixel that any layer touches."""
        covered = torch.zeros(len(next(iter(parameters.values()))), 1, *shape[1:], dtype=torch.bool)
        for row, layer, coverage in self._drawings(parameters, shape):
            top, left, height, width = layer.within
            covered[row, 0, top : top + height, left : left + width] |= torch.as_tensor(coverage > 0)
        return covered

    def _drawings(
        self, parameters: Parameters, shape: Shape
    ) -> Iterator[tuple[int, Layer, Float32[np.ndarray, "i j"]]]:
        """Return row, layer and coverage, row by row and from the lowest layer up."""
        rows = {name: values.numpy() for name, values in parameters.items()}
        count = len(next(iter(rows.values())))
        layers = self.layers(rows, shape) if count else ()
        for row in range(count):
            for layer in layers:
                yield row, layer, layer.figure.draw(row, layer.within)


def in_channels(color: tuple[float, float, float], channels: int) -> Float32[np.ndarray, "c"]:
    """Return a color for images with this many channels: itself for three, else its luminance."""
    gray = sum(weight * value for weight, value in zip(_LUMA, color, strict=True))
    return np.array(color if channels == 3 else (gray,) * channels, dtype=np.float32)


def luminance(image: Float[np.ndarray, "c h w"]) -> Float[np.ndarray, "h w"]:
    """Return the gray that `in_channels` makes of colors: ITU-R BT.601 for three channels, else their mean."""
    weights = _LUMA if len(image) == 3 else (1 / len(image),) * len(image)
    total = image[0] * weights[0]
    for plane, weight in zip(image[1:], weights[1:], strict=True):
        total = total + plane * weight
    return total


def place_center(
    draws: Draws, parameter: str, center: float, jitter: float, half: float, length: int, shape: Shape
) -> Float[Tensor, "n"]:
    """Draw a center along one axis in px within `jitter` of `center`, and move it into the image.

    Args:
        center: Share of `length`, the image's edge along that axis in px.
        jitter: Share of the shorter side.
        half: How far the thing reaches from its center, in px.
    """
    reach = 2 * jitter * min(shape[1:])
    place = center * length + reach * (draws.uniform(parameter) - 0.5)
    return place.clamp(min(half, length / 2), max(length - half, length / 2))


def draw_angle(draws: Draws, parameter: str, least: float, most: float) -> dict[str, Tensor]:
    """Draw an angle between `least` and `most` degrees, as `<parameter> cosine` and `<parameter> sine`."""
    degrees = least + (most - least) * draws.uniform(parameter)
    cosine, sine = direction(degrees.numpy() / 360)
    return {f"{parameter} cosine": torch.as_tensor(cosine), f"{parameter} sine": torch.as_tensor(sine)}


def edge(depth: Float[np.ndarray, "*shape"], softness: float = 1.0) -> Float32[np.ndarray, "*shape"]:
    """Return the coverage of a pixel whose center is `depth` px inside an edge `softness` px wide (smoothstep)."""
    t = np.divide(depth, softness, dtype=np.float32)
    t += 0.5
    np.clip(t, 0, 1, out=t)
    rest = t * np.float32(-2)
    rest += 3
    t *= t
    t *= rest
    return t


def _axes(within: Window) -> tuple[Float32[np.ndarray, "w"], Float32[np.ndarray, "h"]]:
    """Return x and y of a window's pixels' centers, px from the left and the top of the image."""
    x = np.arange(within.left, within.left + within.width, dtype=np.float32)
    return x + np.float32(0.5), np.arange(within.top, within.top + within.height, dtype=np.float32) + np.float32(0.5)


@dataclass(frozen=True, slots=True)
class RoundedBox:
    """A box around a middle per row, [b] px, of `half` = (width, height) / 2 px, with corners rounded by `corner` px.

    turn: cosine and sine per row of the angle by which it is turned clockwise.
    """

    x: np.ndarray
    y: np.ndarray
    half: tuple[float, float]
    corner: float = 0.0
    turn: tuple[np.ndarray, np.ndarray] | None = None

    def draw(self, row: int, within: Window) -> Float32[np.ndarray, "h w"]:
        """See `Figure`."""
        canvas = np.zeros((within.height, within.width), dtype=np.float32)
        turn = (float(self.turn[0][row]), float(self.turn[1][row])) if self.turn else (1.0, 0.0)
        sides = self.half[0] - self.corner, self.half[1] - self.corner, self.corner
        box(canvas, (float(self.x[row]), float(self.y[row])), turn, sides, within.top, within.left)
        return canvas


@dataclass(frozen=True, slots=True)
class Surround:
    """The outside of a circle around a middle per row, [b] px; its edge is `softness` px wide."""

    x: np.ndarray
    y: np.ndarray
    radius: float
    softness: float

    def draw(self, row: int, within: Window) -> Float32[np.ndarray, "h w"]:
        """See `Figure`."""
        x, y = _axes(within)
        away_x, away_y = x - np.float32(self.x[row]), y - np.float32(self.y[row])
        return edge(np.sqrt((away_x * away_x)[None] + (away_y * away_y)[:, None]) - self.radius, self.softness)


@dataclass(frozen=True, slots=True)
class Frame:
    """The outside of a rectangle per row, [b] px from the left and the top; its edge is `softness` px wide."""

    left: np.ndarray
    right: np.ndarray
    top: np.ndarray
    bottom: np.ndarray
    softness: float

    def draw(self, row: int, within: Window) -> Float32[np.ndarray, "h w"]:
        """See `Figure`."""
        x, y = _axes(within)
        left, right, top, bottom = (np.float32(side[row]) for side in (self.left, self.right, self.top, self.bottom))
        beyond_x, beyond_y = np.maximum(left - x, x - right), np.maximum(top - y, y - bottom)
        return np.maximum(edge(beyond_x, self.softness)[None], edge(beyond_y, self.softness)[:, None])


# Thin lines and tubes: straight pieces, joined by the greatest coverage.

FLATNESS = 0.03
"""px by which straight pieces miss the curve that they stand for, at most."""

_THINNEST = 0.5  # px; a thinner line is drawn as this, and as much weaker as it is thinner
NOWHERE = -1e6  # px: far outside any image

Points = Sequence[tuple[Float[np.ndarray, "b k"], Float[np.ndarray, "b k"]]]
"""x and y of where k curves per row start, of what bends them (quadratic Bezier), and of where they end, in px."""


class Stroke:
    """k straight line segments with round ends per row, of which the greatest coverage counts.

    Attributes:
        ends: float32 [4, b, k], x and y of the start, x and y of the end, px from the corner of the image. Parts
            outside are cut off, and a segment that ends where it starts is a disc.
        radii: float32 [2, b, k], px, at either end and linear in between.
    """

    def __init__(self, ends: Float[np.ndarray, "4 b k"], radii: float | Float[np.ndarray, "*shape"]) -> None:
        """Radii may be any that can be broadcast to [2, b, k]."""
        self.ends = ends.astype(np.float32)
        self.radii = np.broadcast_to(np.asarray(radii, dtype=np.float32), (2, *ends.shape[1:]))

    def draw(self, row: int, within: Window) -> Float32[np.ndarray, "h w"]:
        """See `Figure`."""
        canvas = np.zeros((within.height, within.width), dtype=np.float32)
        ends, radii = (np.ascontiguousarray(part[:, row]) for part in (self.ends, self.radii))
        segments(canvas, ends, radii, _THINNEST, within.top, within.left)
        return canvas

    def __add__(self, other: Stroke) -> Stroke:
        """Both."""
        return Stroke(*(np.concatenate(pair, axis=2) for pair in ((self.ends, other.ends), (self.radii, other.radii))))


def dots(x: Float[np.ndarray, "b k"], y: Float[np.ndarray, "b k"], radius: float) -> Stroke:
    """Return k discs per row."""
    return line(x, y, x, y, radius)


def line(x0: np.ndarray, y0: np.ndarray, x1: np.ndarray, y1: np.ndarray, radius: float) -> Stroke:
    """Return k straight lines per row from (x0, y0) to (x1, y1), [b, k] px each."""
    return Stroke(np.stack([x0, y0, x1, y1]), radius)


def curve(points: Points, radius: float, spans: Sequence[tuple[float, float]] = ((0.0, 1.0),)) -> Stroke:
    """Return k bent lines per row. spans: the parts of each that are drawn, from where to where in 0..1."""
    return Stroke(np.concatenate([bent(points, span)[0] for span in spans], axis=2), radius)


def bent(
    points: Points, span: tuple[float, float] = (0.0, 1.0)
) -> tuple[Float[np.ndarray, "4 b n"], Float[np.ndarray, "2 b n"]]:
    """Return straight pieces along k quadratic Bezier curves per row: their ends, and the curve's t there.

    The number of pieces follows from how far a curve bends; rows that need fewer than others have discs far outside any
    image instead. span: the least and the greatest t.
    """
    (x0, y0), (x1, y1), (x2, y2) = points
    bend = np.sqrt((x0 - 2 * x1 + x2) ** 2 + (y0 - 2 * y1 + y2) ** 2) * (span[1] - span[0]) ** 2
    pieces = np.maximum(np.ceil(np.sqrt(bend / (4 * FLATNESS))), 1)[:, :, None]
    number = np.arange(int(pieces.max(initial=1)))
    t = [span[0] + (span[1] - span[0]) * (number + i) / pieces for i in (0, 1)]
    ends = [
        (1 - at) ** 2 * a[:, :, None] + 2 * at * (1 - at) * b[:, :, None] + at * at * c[:, :, None]
        for at in t
        for a, b, c in ((x0, x1, x2), (y0, y1, y2))
    ]
    inside, rows = number < pieces, len(x0)
    return np.where(inside, ends, NOWHERE).reshape(4, rows, -1), np.where(inside, t, 0).reshape(2, rows, -1)


# Letters and digits as straight strokes, so that they can be drawn at any size, turned, and chosen per row.

WIDTH, HEIGHT = 5.0, 7.0
"""Of a letter with its strokes, in units of the grid on which it is written (strokes are one unit wide)."""

ADVANCE = 6.0
"""From one letter to the next, in the same units."""

LEGIBLE = HEIGHT
"""px: the height from which a letter has a row of pixels for each of its grid; of a lower one only a spot is left."""


# Polylines through points "xy" of a grid, x 0..4 to the right, y 0..6 downward.
_GLYPHS = {
    " ": "", "A": "06 20 46,14 34", "B": "00 06 36 45 44 33 03,00 30 41 42 33", "C": "41 30 10 01 05 16 36 45",
    "D": "00 06 26 44 42 20 00", "E": "40 00 06 46,03 33", "F": "40 00 06,03 33",
    "G": "41 30 10 01 05 16 36 45 43 23", "H": "00 06,40 46,03 43", "I": "10 30,20 26,16 36", "J": "40 45 36 16 05",
    "K": "00 06,40 03 46", "L": "00 06 46", "M": "06 00 23 40 46", "N": "06 00 46 40",
    "O": "10 30 41 45 36 16 05 01 10", "P": "06 00 30 41 42 33 03", "Q": "10 30 41 45 36 16 05 01 10,24 46",
    "R": "06 00 30 41 42 33 03,23 46", "S": "41 30 10 01 02 13 33 44 45 36 16 05", "T": "00 40,20 26",
    "U": "00 05 16 36 45 40", "V": "00 26 40", "W": "00 16 23 36 40", "X": "00 46,40 06", "Y": "00 23 40,23 26",
    "Z": "00 40 06 46", "0": "10 30 41 45 36 16 05 01 10", "1": "11 20 26,16 36", "2": "01 10 30 41 42 06 46",
    "3": "01 10 30 41 42 33 44 45 36 16 05,13 33", "4": "36 30 04 44", "5": "40 00 03 33 44 45 36 16 05",
    "6": "41 30 10 01 05 16 36 45 44 33 03", "7": "00 40 16", "8": "13 02 01 10 30 41 42 33 44 45 36 16 05 04 13 33",
    "9": "43 13 02 01 10 30 41 45 36 16 05", ":": "22 22,25 25", ".": "26 26", "-": "13 33", "/": "06 40",
    "+": "13 33,22 24",
}  # fmt: skip
CHARACTERS = "".join(_GLYPHS)


@runtime_checkable
class Lettered(Protocol):
    """An intervention that writes."""

    def letters(self, shape: tuple[int, int, int]) -> float:
        """How many px high its letters are; 0 where it has none. shape: (channels, height, width) of the images."""
        ...


def code(character: str) -> int:
    """Return the place of a character in `CHARACTERS`."""
    return CHARACTERS.index(character)


def strokes(codes: Int[np.ndarray, "b n"]) -> Float[np.ndarray, "4 b n s"]:
    """Return x0, y0, x1, y1 of every stroke of these characters, from their middle, in units of the grid.

    Characters with fewer strokes than others have strokes far outside any image instead.
    """
    return _STROKES[:, codes]


def _segments(text: str) -> list[tuple[float, float, float, float]]:
    """Return straight pieces of polylines, moved so that (0, 0) is the middle of the letter."""
    lines = [[(float(at[0]) - 2, float(at[1]) - 3) for at in polyline.split()] for polyline in text.split(",")]
    return [(*first, *second) for points in lines for first, second in pairwise(points)]


_WRITTEN = [_segments(text) for text in _GLYPHS.values()]
_MOST = max(map(len, _WRITTEN))
_STROKES = np.moveaxis(np.array([strokes + [(NOWHERE,) * 4] * (_MOST - len(strokes)) for strokes in _WRITTEN]), 2, 0)


def uniforms(seed: Int[np.ndarray, "b"], count: int) -> Float[np.ndarray, "b count"]:
    """Return `count` float64 numbers in (0, 1) per row that depend on (the row's seed, position) alone, of 32 bits."""
    bits = lattice_bits(torch.as_tensor(seed).to(torch.int32), count).numpy().view(np.uint32)
    return (bits + 0.5) * 2.0**-32
