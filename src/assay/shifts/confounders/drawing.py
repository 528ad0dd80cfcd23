"""Draw local marks: layers, strokes, glyphs and their random parameters."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Literal, NamedTuple, Protocol, TypeVar, dataclass_transform, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from assay.core.registry import component
from assay.core.traits import ChangeTraits, Extent, Origin
from assay.data.phantoms.drawing import direction
from assay.data.phantoms.noise import lattice_bits
from assay.shifts.confounders.kernels import (
    at_hand,
    cover_box,
    paint,
    paint_frame,
    paint_strokes,
    paint_surround,
)
from assay.shifts.intervention import Draws, Parameters

# What all local marks share: paint in layers over an image, and the shapes that fill a plane.
#
# Only operations whose result does not depend on where a value stands in an array are used (+ - * /, square roots,
# comparisons, maxima), so that a row's pixels are the same bits in any batch; angles are drawn as a cosine and a sine.

Shape = tuple[int, int, int]
"""(channels, height, width) of one image."""

WHITE = (1.0, 1.0, 1.0)
BLACK = (0.0, 0.0, 0.0)

AT_ONCE, COMPILED, _PAINTED = 2**18, 2**20, 2**21
"""Values of a call on a processor, whose cache then holds what it needs: of arrays worked through again and again, of
arrays that compiled loops go through once, and of images that are painted where a mark lies."""

_LUMA = (0.299, 0.587, 0.114)


class Window(NamedTuple):
    """A rectangle of whole pixels within the images of a batch, outside of which nothing is drawn."""

    top: int
    left: int
    height: int
    width: int

    def of(self, images: Tensor) -> Tensor:
        """The part of [b, c, h, w] inside it, as a view."""
        return images[:, :, self.top : self.top + self.height, self.left : self.left + self.width]


def whole(shape: Shape) -> Window:
    """All of the image."""
    return Window(0, 0, shape[1], shape[2])


def around(
    shape: Shape, x: Float[Tensor, "b"], y: Float[Tensor, "b"], reach_x: float, reach_y: float | None = None
) -> Window:
    """The least window that holds, for every row, all within so many px of a middle; one pixel at least."""
    if len(x) == 0:
        return whole(shape)
    top, bottom = _span(y, reach_x if reach_y is None else reach_y, shape[1])
    left, right = _span(x, reach_x, shape[2])
    return Window(top, left, bottom - top, right - left)


def _span(middle: Tensor, reach: float, length: int) -> tuple[int, int]:
    first = min(max(0, math.floor(float(middle.min()) - reach) - 1), length - 1)
    return first, max(first + 1, min(length, math.ceil(float(middle.max()) + reach) + 1))


class Drawable(Protocol):
    """A coverage that is drawn when it is needed."""

    def drawn(self, within: Window) -> Float[Tensor, "b 1 h w"]:
        """Coverage 0..1 of a window."""
        ...

    def paint(
        self, images: Float[Tensor, "b c h w"], within: Window, color: Float[Tensor, "c 1 1"], strength: float
    ) -> None:
        """Apply a layer of it to images that are at hand, in place."""
        ...


@dataclass(frozen=True, slots=True)
class Layer:
    """Paint: `strength` times a coverage in 0..1 says how far each pixel moves to `color` (red, green, blue in 0..1).

    within: the part of the image that `coverage` is about; nothing changes outside.
    """

    coverage: Float[Tensor, "b 1 h w"] | Drawable
    within: Window
    color: tuple[float, float, float] = WHITE
    strength: float = 1.0

    def drawn(self) -> Float[Tensor, "b 1 h w"]:
        """The coverage itself."""
        return self.coverage if isinstance(self.coverage, Tensor) else self.coverage.drawn(self.within)


Made = TypeVar("Made")


@dataclass_transform(frozen_default=True, kw_only_default=True)
def image_change(
    kind: Literal["intervention", "distortion"],
    name: str,
    extent: Extent,
    origin: Origin,
    summary: str,
    *,
    version: int = 1,
) -> Callable[[type[Made]], type[Made]]:
    """Declare a class as a component that changes images; it becomes a frozen dataclass. See `component`."""

    def declare(made: type[Made]) -> type[Made]:
        frozen = dataclass(frozen=True, kw_only=True)(made)
        return component(kind, name, ChangeTraits(extent, origin), summary=summary, version=version)(frozen)

    return declare


class Mark(ABC):
    """An object on the image: layers of paint, all thinned by `opacity`.

    opacity: 0 (nothing changes) to 1. On images that are not RGB a color is its luminance (ITU-R BT.601). Gradients
    flow from the changed images to the given ones.
    """

    opacity: float

    def check(self, shape: Shape) -> None:
        """Raises SpecError when images of this shape cannot carry it; every image can, unless a mark says so."""
        return

    @abstractmethod
    def draw(self, draws: Draws, shape: Shape) -> dict[str, Tensor]:
        """Parameters for every row, float64 or int64 [n]."""

    @abstractmethod
    def layers(self, parameters: Parameters, shape: Shape) -> Sequence[Layer]:
        """The paint, lowest layer first, on the parameters' device."""

    def apply(self, images: Float[Tensor, "b c h w"], parameters: Parameters) -> Float[Tensor, "b c h w"]:
        """The images with the mark on them."""
        channels, height, width = images.shape[1:]
        out = images.clone(memory_format=torch.contiguous_format)
        for some in pieces(images, _PAINTED):
            here = {name: values[some] for name, values in parameters.items()}
            for layer in self.layers(here, (channels, height, width)):
                self._put(layer, out[some])
        return out

    def _put(self, layer: Layer, images: Float[Tensor, "b c h w"]) -> None:
        """Paint a layer over these images, in place."""
        color, strength = in_channels(layer.color, images), self.opacity * layer.strength
        if at_hand(images):
            if isinstance(layer.coverage, Tensor):
                corner = layer.within.top, layer.within.left
                coverage = layer.coverage.expand(len(images), -1, -1, -1).float().contiguous().numpy()
                paint(images.numpy(), coverage, color.flatten().numpy(), strength, corner)
            else:
                layer.coverage.paint(images, layer.within, color, strength)
            return
        part = layer.within.of(images)
        toward = (color - part).mul_(strength * layer.drawn())
        part.copy_(toward.add_(part).clamp_(0, 1))

    def mask(self, parameters: Parameters, shape: Shape) -> Bool[Tensor, "b 1 h w"]:
        """Every pixel that any layer touches."""
        layers = self.layers(parameters, shape)
        some = next(iter(parameters.values()))
        covered = torch.zeros(len(some), 1, *shape[1:], dtype=torch.bool, device=some.device)
        for layer in layers:
            layer.within.of(covered).logical_or_(layer.drawn() > 0)
        return covered


def pieces(images: Float[Tensor, "b c h w"], values: int = AT_ONCE) -> list[slice]:
    """The rows in turn, as many at once as have so many values; all of them on other devices than a processor."""
    step = max(1, values // max(1, images[:1].numel()) if images.device.type == "cpu" else len(images))
    return [slice(start, start + step) for start in range(0, len(images), step)]


def in_channels(color: tuple[float, float, float], images: Float[Tensor, "b c h w"]) -> Float[Tensor, "c 1 1"]:
    """A color for images with this many channels: itself for three, else its luminance."""
    channels = images.shape[1]
    luminance = sum(weight * value for weight, value in zip(_LUMA, color, strict=True))
    values = color if channels == 3 else (luminance,) * channels
    return torch.tensor(values, dtype=images.dtype, device=images.device)[:, None, None]


def luminance(images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 1 h w"]:
    """The gray that `in_channels` makes of colors: ITU-R BT.601 for three channels, else their mean."""
    channels = images.shape[1]
    weights = _LUMA if channels == 3 else (1 / channels,) * channels
    total = images[:, :1] * weights[0]
    for channel in range(1, channels):
        total = total + images[:, channel : channel + 1] * weights[channel]
    return total


def placed(
    draws: Draws, parameter: str, center: float, jitter: float, half: float, length: int, shape: Shape
) -> Float[Tensor, "n"]:
    """A center along one axis in px: drawn within `jitter` of `center`, then moved into the image.

    center: share of `length`, the image's edge along that axis in px. jitter: share of the shorter side. half: how far
    the thing reaches from its center, in px.
    """
    reach = 2 * jitter * min(shape[1:])
    place = center * length + reach * (draws.uniform(parameter) - 0.5)
    return place.clamp(min(half, length / 2), max(length - half, length / 2))


def turned(draws: Draws, parameter: str, least: float, most: float) -> dict[str, Tensor]:
    """An angle between `least` and `most` degrees, as `<parameter> cosine` and `<parameter> sine`."""
    degrees = least + (most - least) * draws.uniform(parameter)
    cosine, sine = direction(degrees.numpy() / 360)
    return {f"{parameter} cosine": torch.as_tensor(cosine), f"{parameter} sine": torch.as_tensor(sine)}


def per_pixel(values: Float[Tensor, "b"]) -> Float[Tensor, "b 1 1 1"]:
    """One float32 number per row, to be broadcast over its pixels."""
    return values.float()[:, None, None, None]


def axes(within: Window, device: torch.device) -> tuple[Float[Tensor, "1 1 1 w"], Float[Tensor, "1 1 h 1"]]:
    """x and y of a window's pixels' centers in px from the left and the top of the image, to be broadcast."""
    x = torch.arange(within.left, within.left + within.width, device=device, dtype=torch.float32) + 0.5
    y = torch.arange(within.top, within.top + within.height, device=device, dtype=torch.float32) + 0.5
    return x.view(1, 1, 1, -1), y.view(1, 1, -1, 1)


def edge(depth: Float[Tensor, "*shape"], softness: float = 1.0) -> Float[Tensor, "*shape"]:
    """Coverage of a pixel whose center is `depth` px inside an edge that is `softness` px wide (smoothstep)."""
    t = (depth / softness).add_(0.5).clamp_(0, 1)
    rest = (-2 * t).add_(3)
    return t.mul_(t).mul_(rest)


def box(
    within: Window,
    x: Float[Tensor, "b"],
    y: Float[Tensor, "b"],
    half: tuple[float, float],
    corner: float = 0.0,
    turn: tuple[Tensor, Tensor] | None = None,
) -> Float[Tensor, "b 1 h w"]:
    """Coverage by a box with corners rounded by `corner` px, of `half` = (width, height) / 2 px around its center.

    turn: cosine and sine per row of the angle by which it is turned clockwise.
    """
    if at_hand(x.float(), y.float()):
        canvas = torch.zeros(len(x), 1, within.height, within.width)
        angle = torch.stack([part.float() for part in turn] if turn else [torch.ones(len(x)), torch.zeros(len(x))])
        sides = half[0] - corner, half[1] - corner, corner
        place = x.float().numpy(), y.float().numpy(), angle.numpy()
        cover_box(canvas[:, 0].numpy(), *place, sides, (within.top, within.left))
        return canvas
    across, down = axes(within, x.device)
    away_x, away_y = across - per_pixel(x), down - per_pixel(y)
    if turn is not None:
        cosine, sine = per_pixel(turn[0]), per_pixel(turn[1])
        away_x, away_y = away_x * cosine + away_y * sine, away_y * cosine - away_x * sine
    out_x, out_y = away_x.abs() - (half[0] - corner), away_y.abs() - (half[1] - corner)
    beyond_x, beyond_y = out_x.clamp(min=0), out_y.clamp(min=0)
    outside = torch.sqrt(beyond_x * beyond_x + beyond_y * beyond_y)
    inside = torch.maximum(out_x, out_y).clamp(max=0)
    return edge(corner - outside - inside)


@dataclass(frozen=True, slots=True)
class Surround:
    """The outside of a circle around a middle per row, [b] px; its edge is `softness` px wide."""

    x: Float[Tensor, "b"]
    y: Float[Tensor, "b"]
    radius: float
    softness: float

    def drawn(self, within: Window) -> Float[Tensor, "b 1 h w"]:
        """See `Drawable`."""
        across, down = axes(within, self.x.device)
        away_x, away_y = across - per_pixel(self.x), down - per_pixel(self.y)
        return edge((away_x * away_x + away_y * away_y).sqrt_().sub_(self.radius), self.softness)

    def paint(
        self, images: Float[Tensor, "b c h w"], within: Window, color: Float[Tensor, "c 1 1"], strength: float
    ) -> None:
        """See `Drawable`."""
        place = self.x.float().numpy(), self.y.float().numpy()
        paint_surround(images.numpy(), *place, self.radius, self.softness, within, color.flatten().numpy(), strength)


@dataclass(frozen=True, slots=True)
class Frame:
    """The outside of a rectangle per row, [b] px from the left and the top; its edge is `softness` px wide."""

    left: Float[Tensor, "b"]
    right: Float[Tensor, "b"]
    top: Float[Tensor, "b"]
    bottom: Float[Tensor, "b"]
    softness: float

    def drawn(self, within: Window) -> Float[Tensor, "b 1 h w"]:
        """See `Drawable`."""
        return torch.maximum(*self._edges(within))

    def paint(
        self, images: Float[Tensor, "b c h w"], within: Window, color: Float[Tensor, "c 1 1"], strength: float
    ) -> None:
        """See `Drawable`."""
        along, down = (part.flatten(1).contiguous().numpy() for part in self._edges(within))
        corner = within.top, within.left
        paint_frame(images.numpy(), along, down, corner, color.flatten().numpy(), strength)

    def _edges(self, within: Window) -> tuple[Float[Tensor, "b 1 1 w"], Float[Tensor, "b 1 h 1"]]:
        """Coverage by the parts to the left and right of it, and by the parts above and below."""
        x, y = axes(within, self.left.device)
        open_x = torch.minimum(x - per_pixel(self.left), per_pixel(self.right) - x)
        open_y = torch.minimum(y - per_pixel(self.top), per_pixel(self.bottom) - y)
        return edge(-open_x, self.softness), edge(-open_y, self.softness)


# Thin lines and tubes on a batch of images: straight pieces, joined by the greatest coverage.
#
# The greatest does not depend on the order, so a row comes out the same in any batch and on any device.

FLATNESS = 0.03
"""px by which straight pieces miss the curve that they stand for, at most."""

_THINNEST = 0.5  # px; a thinner line is drawn as this, and as much weaker as it is thinner
NOWHERE = -1e6  # px: far outside any image
_VALUES = 2**26  # of an array on an accelerator, for as many pieces at once

Points = Sequence[tuple[Float[Tensor, "b k"], Float[Tensor, "b k"]]]
"""x and y of where k curves per row start, of what bends them (quadratic Bezier), and of where they end, in px."""


@dataclass(frozen=True, slots=True)
class Stroke:
    """k straight line segments with round ends per row, of which the greatest coverage counts.

    Attributes:
        ends: [4, b, k], x and y of the start, x and y of the end, px from the corner of the image. Parts outside are
            cut off, and a segment that ends where it starts is a disc.
        radii: px, [2, b, k] at either end and linear in between; or [1, 1, 1] of all.
    """

    ends: Float[Tensor, "4 b k"]
    radii: Float[Tensor, "2 b k"]

    def drawn(self, within: Window) -> Float[Tensor, "b 1 h w"]:
        """Coverage 0..1 of a window."""
        ends, radii = self.ends.float(), self.radii.float()
        if at_hand(ends, radii):
            canvas = torch.zeros(ends.shape[1], 1, within.height, within.width)
            self._onto(canvas, (0, 0), within, torch.ones(1), 1.0)
            return canvas
        across, down = axes(within, ends.device)
        canvas = torch.zeros(ends.shape[1], 1, within.height, within.width, device=ends.device)
        step = max(1, _VALUES // max(1, canvas.numel()))
        for start in range(0, ends.shape[2], step):
            x, y, to_x, to_y = ends[:, :, start : start + step, None, None]
            along_x, along_y = to_x - x, to_y - y
            square = along_x * along_x + along_y * along_y
            per = torch.where(square > 0, square.reciprocal(), 0)
            away_x, away_y = across - x, down - y
            t = ((away_x * along_x + away_y * along_y) * per).clamp_(0, 1)
            rest_x, rest_y = away_x - t * along_x, away_y - t * along_y
            some = slice(start, start + step) if radii.shape[2] > 1 else slice(None)
            first, last = (radii[i, :, some, None, None] for i in (0, -1))
            own = first + t * (last - first)
            depth = own.clamp(min=_THINNEST) - (rest_x * rest_x + rest_y * rest_y).sqrt_()
            covered = edge(depth).mul_((own / _THINNEST).clamp_(max=1)).amax(dim=1, keepdim=True)
            torch.maximum(canvas, covered, out=canvas)
        return canvas

    def paint(
        self, images: Float[Tensor, "b c h w"], within: Window, color: Float[Tensor, "c 1 1"], strength: float
    ) -> None:
        """Apply a layer of it to images that are at hand, in place; the whole is never drawn."""
        self._onto(images, (within.top, within.left), within, color, strength)

    def __add__(self, other: Stroke) -> Stroke:
        """Both. Raises ValueError where they are not of one radius."""
        if self.radii.shape != other.radii.shape or not torch.equal(self.radii, other.radii):
            raise ValueError("strokes of different radii cannot be one: put them in layers of their own")
        return Stroke(torch.cat([self.ends, other.ends], dim=2), self.radii)

    def _onto(self, images: Tensor, at: tuple[int, int], within: Window, color: Tensor, strength: float) -> None:
        """Paint a window that begins at a place of these images."""
        corner, shape = (within.top, within.left), (within.height, within.width)
        ends, radii, target = (part.float().contiguous().numpy() for part in (self.ends, self.radii, color.flatten()))
        paint_strokes(images.numpy(), at, ends, radii, corner, shape, _THINNEST, target, strength)


def dots(x: Float[Tensor, "b k"], y: Float[Tensor, "b k"], radius: float) -> Stroke:
    """k discs per row."""
    return line(x, y, x, y, radius)


def line(x0: Tensor, y0: Tensor, x1: Tensor, y1: Tensor, radius: float) -> Stroke:
    """k straight lines per row from (x0, y0) to (x1, y1), [b, k] px each."""
    return Stroke(torch.stack([x0, y0, x1, y1]), torch.tensor([[[radius]]], device=x0.device))


def curve(points: Points, radius: float, spans: Sequence[tuple[float, float]] = ((0.0, 1.0),)) -> Stroke:
    """k bent lines per row. spans: the parts of each that are drawn, from where to where in 0..1."""
    ends = torch.cat([bent(points, span)[0] for span in spans], dim=2)
    return Stroke(ends, torch.tensor([[[radius]]], device=ends.device))


def bent(
    points: Points, span: tuple[float, float] = (0.0, 1.0)
) -> tuple[Float[Tensor, "4 b n"], Float[Tensor, "2 b n"]]:
    """Straight pieces along k quadratic Bezier curves per row: their ends, and the curve's t there.

    Of how many pieces one is made follows from how far it bends; rows that need fewer than others have discs far
    outside any image instead. span: the least and the greatest t.
    """
    (x0, y0), (x1, y1), (x2, y2) = (tuple(axis.double() for axis in point) for point in points)
    bend = torch.sqrt((x0 - 2 * x1 + x2) ** 2 + (y0 - 2 * y1 + y2) ** 2) * (span[1] - span[0]) ** 2
    pieces = (bend / (4 * FLATNESS)).sqrt_().ceil_().clamp_(min=1)[:, :, None]
    number = torch.arange(int(pieces.max()) if pieces.numel() else 1, device=x0.device)
    t = [span[0] + (span[1] - span[0]) * (number + i) / pieces for i in (0, 1)]
    there = number < pieces
    ends = [
        torch.where(there, (1 - at) ** 2 * a[:, :, None] + 2 * at * (1 - at) * b[:, :, None] + at * at * c[:, :, None],
                    NOWHERE)
        for at in t
        for a, b, c in ((x0, x1, x2), (y0, y1, y2))
    ]  # fmt: skip
    return torch.stack(ends).flatten(2), torch.stack([torch.where(there, at, 0) for at in t]).flatten(2)


# Letters and digits as straight strokes, so that they can be drawn at any size, turned, and chosen per row.

WIDTH, HEIGHT = 5.0, 7.0
"""Of a letter with its strokes, in units of the grid on which it is written (strokes are one unit wide)."""

ADVANCE = 6.0
"""From one letter to the next, in the same units."""

LEGIBLE = HEIGHT
"""px: the height from which a letter has a row of pixels for each of its grid; of a lower one only a spot is left."""


# Polylines through points "xy" of a grid, x 0..4 to the right, y 0..6 downward.
_GLYPHS = {
    " ": "",
    "A": "06 20 46,14 34",
    "B": "00 06 36 45 44 33 03,00 30 41 42 33",
    "C": "41 30 10 01 05 16 36 45",
    "D": "00 06 26 44 42 20 00",
    "E": "40 00 06 46,03 33",
    "F": "40 00 06,03 33",
    "G": "41 30 10 01 05 16 36 45 43 23",
    "H": "00 06,40 46,03 43",
    "I": "10 30,20 26,16 36",
    "J": "40 45 36 16 05",
    "K": "00 06,40 03 46",
    "L": "00 06 46",
    "M": "06 00 23 40 46",
    "N": "06 00 46 40",
    "O": "10 30 41 45 36 16 05 01 10",
    "P": "06 00 30 41 42 33 03",
    "Q": "10 30 41 45 36 16 05 01 10,24 46",
    "R": "06 00 30 41 42 33 03,23 46",
    "S": "41 30 10 01 02 13 33 44 45 36 16 05",
    "T": "00 40,20 26",
    "U": "00 05 16 36 45 40",
    "V": "00 26 40",
    "W": "00 16 23 36 40",
    "X": "00 46,40 06",
    "Y": "00 23 40,23 26",
    "Z": "00 40 06 46",
    "0": "10 30 41 45 36 16 05 01 10",
    "1": "11 20 26,16 36",
    "2": "01 10 30 41 42 06 46",
    "3": "01 10 30 41 42 33 44 45 36 16 05,13 33",
    "4": "36 30 04 44",
    "5": "40 00 03 33 44 45 36 16 05",
    "6": "41 30 10 01 05 16 36 45 44 33 03",
    "7": "00 40 16",
    "8": "13 02 01 10 30 41 42 33 44 45 36 16 05 04 13 33",
    "9": "43 13 02 01 10 30 41 45 36 16 05",
    ":": "22 22,25 25",
    ".": "26 26",
    "-": "13 33",
    "/": "06 40",
    "+": "13 33,22 24",
}
CHARACTERS = "".join(_GLYPHS)


@runtime_checkable
class Lettered(Protocol):
    """An intervention that writes."""

    def letters(self, shape: tuple[int, int, int]) -> float:
        """How many px high its letters are; 0 where it has none. shape: (channels, height, width) of the images."""
        ...


def code(character: str) -> int:
    """The place of a character in `CHARACTERS`."""
    return CHARACTERS.index(character)


def strokes(codes: Int[Tensor, "b n"]) -> tuple[Float[Tensor, "b n s"], ...]:
    """x0, y0, x1, y1 of every stroke of these characters, from their middle, in units of the grid.

    Characters with fewer strokes than others have strokes far outside any image instead.
    """
    table = _table(str(codes.device))[codes]
    return tuple(table[..., i] for i in range(4))


@lru_cache(maxsize=8)
def _table(device: str) -> Float[Tensor, "characters strokes 4"]:
    written = [_segments(text) for text in _GLYPHS.values()]
    most = max(map(len, written))
    padded = [segments + [(NOWHERE,) * 4] * (most - len(segments)) for segments in written]
    return torch.tensor(padded, device=device)


def _segments(text: str) -> list[tuple[float, float, float, float]]:
    """Straight pieces of polylines, moved so that (0, 0) is the middle of the letter."""
    found: list[tuple[float, float, float, float]] = []
    for polyline in filter(None, text.split(",")):
        points = [(float(point[0]) - 2, float(point[1]) - 3) for point in polyline.split()]
        found += [(*first, *second) for first, second in pairwise(points)]
    return found


# Many random numbers from one drawn seed per row, by the counter-based generator of the phantoms.

_SQRT2 = 2.0**0.5


def uniforms(seed: Int[Tensor, "b"], count: int) -> Float[Tensor, "b count"]:
    """`count` float64 numbers in (0, 1) per row that depend on (the row's seed, position) alone; 32 bits each."""
    bits = lattice_bits(seed.to(torch.int32), count)
    return (bits ^ -(2**31)).double().add_(2.0**31 + 0.5).mul_(2.0**-32)  # the flipped sign makes them unsigned


def singles(seed: Int[Tensor, "b"], count: int) -> Float[Tensor, "b count"]:
    """`count` float32 numbers in [0, 1) per row that depend on (the row's seed, position) alone; 24 bits each."""
    bits = lattice_bits(seed.to(torch.int32), count)
    return (bits >> 8).bitwise_and_(0xFFFFFF).float().mul_(2.0**-24)


def normals(seed: Int[Tensor, "b"], count: int) -> Float[Tensor, "b count"]:
    """`count` float32 standard normal numbers per row, by the inverse of the normal distribution; none beyond 5.2."""
    bits = lattice_bits(seed.to(torch.int32), count)
    # 23 bits and a half: 2 u - 1 is then a float32 without rounding, and never 1
    u = (bits >> 9).bitwise_and_(0x7FFFFF).float().add_(0.5)
    return u.mul_(2.0**-22).sub_(1).erfinv_().mul_(_SQRT2)
