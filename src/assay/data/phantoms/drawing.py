"""Draw shapes on batches of images: canvas, painting, tubes along paths, and blobs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt32
from torch import Tensor

from assay.core.compiled import compiled
from assay.core.seeds import derive, mix

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


Canvas = Float[Tensor, "n pixels"]
"""One number for each pixel of n images, flat."""
Plane = Float[Tensor, "n size size"]
"""The same as pictures."""

# Functions whose result has the same bits at any place of a value in an array.
#
# Libraries compute sines and exponentials with one routine for full vectors and another for the remainder, which differ
# in the last bit; a phantom's geometry uses these instead, which need only + - * and comparisons.

_COSINE = tuple((-1.0) ** k * (math.pi / 2) ** (2 * k) / math.factorial(2 * k) for k in range(10))
_SINE = tuple((-1.0) ** k * (math.pi / 2) ** (2 * k + 1) / math.factorial(2 * k + 1) for k in range(10))


def direction(turns: Float[np.ndarray, "*shape"]) -> tuple[Float[np.ndarray, "*shape"], Float[np.ndarray, "*shape"]]:
    """Cosine and sine of an angle in turns (1 is a full circle), to within 2e-15."""
    quarters = np.rint(4 * turns)
    rest = 4 * turns - quarters
    cosine, sine = _polynomial(_COSINE, rest * rest), rest * _polynomial(_SINE, rest * rest)
    quadrant = quarters.astype(np.int64) & 3
    return np.choose(quadrant, [cosine, -sine, -cosine, sine]), np.choose(quadrant, [sine, cosine, -sine, -cosine])


def _polynomial(coefficients: tuple[float, ...], x: np.ndarray) -> np.ndarray:
    total = np.full_like(x, coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        total = total * x + coefficient
    return total


# Drawing many small things on a batch of images, each in a window of its own, joined by the brightest.
#
# The maximum does not depend on the order in which things are drawn, so a batch can be drawn at once and a row comes
# out the same in any batch.


@dataclass(frozen=True, slots=True)
class Grid:
    """Square images of `size` px that show `field` mm a side; the origin of coordinates is the image's center.

    Examples:
        >>> grid = Grid(64, 48.0, "cpu")
        >>> grid.pixel, grid.blank(2).shape  # mm; a canvas of two images
        (0.75, torch.Size([2, 4096]))
    """

    size: int
    field: float
    device: str

    @property
    def pixel(self) -> float:
        """Millimeters per pixel."""
        return self.field / self.size

    @property
    def line(self) -> Float[np.ndarray, "size"]:
        """Coordinate of the center of each column (or line), float64."""
        return (np.arange(self.size) + (0.5 - 0.5 * self.size)) * self.pixel

    def tensor(self, values: Float[np.ndarray, "*shape"]) -> Float[Tensor, "*shape 1 1"]:
        """Float64 parameters as float32 with two axes for the pixels."""
        return self.flat(values)[..., None, None]

    def flat(self, values: np.ndarray) -> Tensor:
        """Float64 numbers as float32 of the same shape."""
        return torch.as_tensor(values.astype(np.float32), device=self.device)

    def blank(self, rows: int) -> Float[Tensor, "rows pixels"]:
        """An empty canvas, flat."""
        return torch.zeros(rows, self.size * self.size, device=self.device)

    def millimeters(self, index: Int[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Coordinate of the center of the pixels of this column (or line)."""
        return (index.to(torch.float32) + (0.5 - 0.5 * self.size)) * self.pixel

    def axes(self) -> tuple[Float[Tensor, "1 1 size"], Float[Tensor, "1 size 1"]]:
        """x and y of all pixels, to be broadcast."""
        line = self.millimeters(torch.arange(self.size, device=self.device))
        return line.view(1, 1, -1), line.view(1, -1, 1)


@dataclass(frozen=True, slots=True)
class Windows:
    """Square windows of equal width, each on the image of some row, kept inside it.

    x: [m, 1, w] and y: [m, w, 1] in mm; index: [m, w, w], places on the flat canvas of all rows.
    """

    x: Float[Tensor, "m 1 w"]
    y: Float[Tensor, "m w 1"]
    index: Int[Tensor, "m w w"]

    @staticmethod
    def around(
        row: Int[np.ndarray, "m"], x: Float[np.ndarray, "m"], y: Float[np.ndarray, "m"], radius: float, grid: Grid
    ) -> Windows:
        """Windows that hold every pixel of a row's image within `radius` mm of these points."""
        width = min(grid.size, int(np.ceil(2 * radius / grid.pixel)) + 1)
        steps = torch.arange(width, device=grid.device)
        columns = _window_start(x - radius, width, grid)[:, None, None] + steps
        lines = _window_start(y - radius, width, grid)[:, None, None] + steps[:, None]
        above = torch.as_tensor(row * grid.size, device=grid.device)[:, None, None]
        return Windows(grid.millimeters(columns), grid.millimeters(lines), (lines + above) * grid.size + columns)

    def read(self, canvas: Tensor) -> Float[Tensor, "m w w"]:
        """Read the windows from a contiguous canvas of all rows."""
        return canvas.view(-1).index_select(0, self.index.view(-1)).view(self.index.shape)

    def write(self, canvas: Tensor, values: Float[Tensor, "m w w"]) -> None:
        """Replace the content of the windows. No row may have two of them, since which of them wins would be random."""
        canvas.view(-1).scatter_(0, self.index.view(-1), values.reshape(-1))

    def draw(self, canvas: Float[Tensor, "n pixels"], values: Float[Tensor, "m w w"]) -> None:
        """Raise the canvas to these values where they are higher."""
        canvas.view(-1).scatter_reduce_(0, self.index.view(-1), values.reshape(-1), "amax")

    def blend(
        self, canvas: Float[Tensor, "n pixels"], values: Float[Tensor, "m w w"], cover: Float[Tensor, "m w w"]
    ) -> None:
        """Put these values in place of this share (0..1) of the canvas. At most one window on each row.

        Where nothing is covered the canvas stays the same to the bit; where all is, the values are, to the bit.
        """
        self.write(canvas, self.read(canvas).mul_(1 - cover).add_(values * cover))

    def multiply(self, canvas: Float[Tensor, "n pixels"], values: Float[Tensor, "m w w"]) -> None:
        """Multiply the canvas by these values. At most one window on each row."""
        self.write(canvas, self.read(canvas).mul_(values))

    def mark(self, mask: Bool[Tensor, "n pixels"], inside: Bool[Tensor, "m w w"]) -> None:
        """Add these pixels to a mask. At most one window on each row."""
        self.write(mask, self.read(mask).logical_or_(inside))


class Numbers:
    """Named arrays [n, ...] of some images: all that is known of a part of them before there are pixels."""

    def __init__(self, **values: np.ndarray) -> None:
        self.__dict__.update(values)

    def __getattr__(self, name: str) -> np.ndarray:
        raise AttributeError(f"no number '{name}'; known are {', '.join(vars(self))}")

    def but(self, **changed: np.ndarray) -> Numbers:
        """Return the same with these arrays in place of those, or added."""
        return Numbers(**{**vars(self), **changed})

    def take(self, part: Any) -> Numbers:
        """Return the entries of every array at this index."""
        return Numbers(**{name: values[part] for name, values in vars(self).items()})


Record = TypeVar("Record", bound="DataclassInstance")


def take(record: Record, part: slice | Int[np.ndarray, "m"]) -> Record:
    """Return some rows of a dataclass of arrays [n, ...], numbers, such dataclasses, and tuples and mappings of these.

    Other values, such as numbers, hold for all rows and are kept.
    """
    return replace(record, **{field.name: _take_part(getattr(record, field.name), part) for field in fields(record)})


def _take_part(value: Any, part: slice | Int[np.ndarray, "m"]) -> Any:
    if isinstance(value, Numbers):
        return value.take(part)
    if isinstance(value, tuple):
        return tuple(_take_part(each, part) for each in cast("tuple[Any, ...]", value))
    if isinstance(value, Mapping):
        return {key: _take_part(each, part) for key, each in cast("Mapping[str, Any]", value).items()}
    if isinstance(value, np.ndarray):
        return cast("np.ndarray", value)[part]
    return take(cast("DataclassInstance", value), part) if is_dataclass(value) else value


def smooth(t: np.ndarray) -> np.ndarray:
    """0 below 0, 1 above 1, and a smooth step between."""
    t = t.clip(0, 1)
    return t * t * (3 - 2 * t)


def ramp(depth: Float[Tensor, "*shape"], blur: Float[Tensor, "*other"]) -> Float[Tensor, "*shape"]:
    """Coverage 0..1 of a pixel whose center is `depth` mm inside an edge that the scanner blurs over `blur` mm."""
    t = (depth / blur).add_(0.5).clamp_(0, 1)
    return (t * -2).add_(3).mul_(t).mul_(t)


def _window_start(edge: Float[np.ndarray, "m"], width: int, grid: Grid) -> Int[Tensor, "m"]:
    """The first column (or line) whose center is not before `edge` (mm), such that the window stays in the image."""
    first = np.ceil(edge / grid.pixel + 0.5 * (grid.size - 1))
    return torch.as_tensor(np.clip(first, 0, grid.size - width).astype(np.int64), device=grid.device)


# Color: three planes for a batch of images, painted in windows or blended whole; and colors between colors.

Planes = Float[Tensor, "3 n size size"]
"""Red, green, blue of n images, contiguous: a channel is a canvas of its own."""


def colors(values: Float[np.ndarray, "n 3"], device: str) -> Float[Tensor, "3 n 1 1"]:
    """One color per image, to be broadcast over planes."""
    return torch.as_tensor(np.ascontiguousarray(values.T).astype(np.float32), device=device)[:, :, None, None]


def blend(base: Planes, over: Tensor, weight: Float[Tensor, "n size size"]) -> Planes:
    """Blend `over` into `base` in place: exactly `base` at a weight of 0, exactly `over` at 1."""
    return base.mul_(1 - weight).add_(over * weight)


def dab(planes: Planes, windows: Windows, weight: Float[Tensor, "m w w"], paint: Float[Tensor, "3 m *w *w"]) -> None:
    """Blend paint into windows of the planes. No image may have two of these windows: the last would win at random."""
    for plane, color in zip(planes, paint, strict=True):
        windows.blend(plane, color, weight)


def along(anchors: Float[np.ndarray, "k 3"], t: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n 3"]:
    """The color at t (0 to 1, clipped) on the line through k anchors at equal steps."""
    place = t.clip(0, 1) * (len(anchors) - 1)
    first = np.minimum(np.floor(place), len(anchors) - 2).astype(np.int64)
    rest = (place - first)[:, None]
    return anchors[first] + (anchors[first + 1] - anchors[first]) * rest


def paint(color: Float[np.ndarray, "3"], rows: int, device: str) -> Float[Tensor, "3 n 1 1"]:
    """One color for all images."""
    return colors(np.tile(color, (rows, 1)), device)


# Tapered tubes along paths: vessels, their cross-sections, and spicules.


def path_points(start: Float[np.ndarray, "*shape"], steps: Float[np.ndarray, "*shape k"]) -> np.ndarray:
    """Coordinates [..., k + 1] of the points of paths that begin at `start` and take these steps."""
    away = np.cumsum(steps, axis=-1)
    return start[..., None] + np.concatenate([np.zeros_like(away[..., :1]), away], axis=-1)


Course = tuple[np.ndarray, np.ndarray, np.ndarray]
"""x, y and heading in turns: of the starts of paths, or of all their points and steps."""


def wander(start: Course, turns: Float[np.ndarray, "*shape k"], lengths: Float[np.ndarray, "*shape k"]) -> Course:
    """Bent paths that turn before each of their steps: k + 1 points and k headings of each."""
    x, y, heading = start
    headings = heading[..., None] + np.cumsum(turns, axis=-1)
    cosine, sine = direction(headings)
    return path_points(x, lengths * cosine), path_points(y, lengths * sine), headings


@dataclass(frozen=True, slots=True)
class Capsules:
    """k tubes per row, each from (x0, y0) to (x1, y1) in mm, with a radius (mm) and a strength at either end.

    A strength of 0 leaves no trace. All fields are float64 [n, k] (one axis within the drawing).
    """

    x0: Float[np.ndarray, "n k"]
    y0: Float[np.ndarray, "n k"]
    x1: Float[np.ndarray, "n k"]
    y1: Float[np.ndarray, "n k"]
    radius0: Float[np.ndarray, "n k"]
    radius1: Float[np.ndarray, "n k"]
    strength0: Float[np.ndarray, "n k"]
    strength1: Float[np.ndarray, "n k"]

    @staticmethod
    def along(x: np.ndarray, y: np.ndarray, radius: np.ndarray, strength: np.ndarray) -> Capsules:
        """Tubes from point to point of paths [n, ..., points]; all four have one number for each point."""
        every = np.broadcast_arrays(x, y, radius, strength)
        (x0, y0, r0, s0), (x1, y1, r1, s1) = (
            [each[..., part].reshape(len(each), -1) for each in every] for part in (slice(-1), slice(1, None))
        )
        return Capsules(x0, y0, x1, y1, r0, r1, s0, s1)

    @staticmethod
    def even(
        x0: np.ndarray, y0: np.ndarray, x1: np.ndarray, y1: np.ndarray, radius: np.ndarray, strength: np.ndarray
    ) -> Capsules:
        """Tubes that do not taper."""
        x0, y0, x1, y1, wide, strong = np.broadcast_arrays(x0, y0, x1, y1, radius, strength)
        return Capsules(x0, y0, x1, y1, wide, wide, strong, strong)

    @staticmethod
    def concatenate(parts: Sequence[Capsules]) -> Capsules:
        """All tubes of these, row by row."""
        return Capsules(*(np.concatenate(each, axis=1) for each in zip(*map(_fields, parts), strict=True)))


def _fields(tubes: Capsules) -> list[np.ndarray]:
    return [getattr(tubes, field.name) for field in fields(tubes)]


def draw_capsules(canvas: Canvas, tubes: Capsules, blur: Float[np.ndarray, "n"], grid: Grid) -> None:
    """Raise the canvas to strength x coverage along each tube; `blur` is the width of the edges in mm."""
    visible = _partial_volume(tubes, blur[:, None])
    row, pieces, windows = _in_windows(visible, _capsule_reach(visible) + 0.5 * blur[:, None], grid)
    if len(row) > 0:
        depth, t = _tube_depth(pieces, windows, grid)
        strength = t.mul_(grid.tensor(pieces.strength1 - pieces.strength0)).add_(grid.tensor(pieces.strength0))
        windows.draw(canvas, ramp(depth, grid.tensor(blur[row])).mul_(strength))


def draw_depth(canvas: Canvas, tubes: Capsules, margin: float, grid: Grid) -> None:
    """Raise a canvas of depths inside an outline (negative outside) to each tube's, where its strength is not 0.

    A tube raises no pixel farther than `beyond` outside it.
    """
    row, pieces, windows = _in_windows(tubes, _capsule_reach(tubes) + margin, grid)
    if len(row) > 0:
        depth = _tube_depth(pieces, windows, grid)[0]
        windows.draw(canvas, depth.masked_fill_(depth < -margin, -np.inf))


def _in_windows(
    tubes: Capsules, radius: Float[np.ndarray, "n k"], grid: Grid
) -> tuple[Int[np.ndarray, "m"], Capsules, Windows]:
    """The tubes that are there at all and not wholly outside the image, one by one, with their rows and windows."""
    half = 0.5 * grid.field
    x, y = 0.5 * (tubes.x0 + tubes.x1), 0.5 * (tubes.y0 + tubes.y1)
    near = (np.abs(x) < half + radius) & (np.abs(y) < half + radius)
    chosen = np.flatnonzero(near & (np.maximum(tubes.strength0, tubes.strength1) > 0))
    row = chosen // tubes.x0.shape[1]
    furthest = float(radius.ravel()[chosen].max(initial=0))
    windows = Windows.around(row, x.ravel()[chosen], y.ravel()[chosen], furthest, grid)
    return row, Capsules(*(each.ravel()[chosen] for each in _fields(tubes))), windows


def _partial_volume(tubes: Capsules, blur: Float[np.ndarray, "n 1"]) -> Capsules:
    """A tube thinner than the blur is seen as wide as the blur and as much weaker as it is thinner."""
    return replace(
        tubes,
        radius0=np.maximum(tubes.radius0, 0.5 * blur),
        radius1=np.maximum(tubes.radius1, 0.5 * blur),
        strength0=tubes.strength0 * np.minimum(1, 2 * tubes.radius0 / blur),
        strength1=tubes.strength1 * np.minimum(1, 2 * tubes.radius1 / blur),
    )


def _capsule_reach(tubes: Capsules) -> Float[np.ndarray, "n k"]:
    """Distance from its middle to which a tube extends, in mm."""
    along_x, along_y = tubes.x1 - tubes.x0, tubes.y1 - tubes.y0
    return 0.5 * np.sqrt(along_x * along_x + along_y * along_y) + np.maximum(tubes.radius0, tubes.radius1)


def _tube_depth(tubes: Capsules, windows: Windows, grid: Grid) -> tuple[Float[Tensor, "m w w"], Float[Tensor, "m w w"]]:
    """Return the depth in mm inside each tube, negative outside, and each pixel's position along it, 0 to 1."""
    tensor = grid.tensor
    along_x, along_y = tubes.x1 - tubes.x0, tubes.y1 - tubes.y0
    squared = np.maximum(along_x * along_x + along_y * along_y, 1e-6)
    x, y = windows.x - tensor(tubes.x0), windows.y - tensor(tubes.y0)
    t = (x * tensor(along_x / squared) + y * tensor(along_y / squared)).clamp_(0, 1)
    away_x, away_y = (t * tensor(-along_x)).add_(x), (t * tensor(-along_y)).add_(y)
    distance = away_x.mul_(away_x).add_(away_y.mul_(away_y)).sqrt_()
    return (t * tensor(tubes.radius1 - tubes.radius0)).sub_(distance).add_(tensor(tubes.radius0)), t


# Ovals and uneven blobs: closed outlines about a center, given by harmonics of the polar angle.


@dataclass(frozen=True, slots=True)
class Oval:
    """Pixels of windows about the centers of m ovals.

    x, y: from the center. u, v: the same in half axes, along and across the oval's long one.
    """

    x: Float[Tensor, "m 1 w"]
    y: Float[Tensor, "m w 1"]
    u: Float[Tensor, "m w w"]
    v: Float[Tensor, "m w w"]

    def rays(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Distance from the center in half axes, the cosine and sine of its direction, and length per half axis."""
        rho = (self.u * self.u).add_(self.v * self.v).sqrt_()
        inverse = 1 / (rho + 1e-4)
        scale = (self.x * self.x + self.y * self.y).sqrt_().mul_(inverse)
        return rho, self.u * inverse, self.v * inverse, scale


def oval(ellipses: Numbers, long: np.ndarray, short: np.ndarray, windows: Windows, grid: Grid) -> Oval:
    """Pixels about ovals with these half axes, of which x, y, cosine and sine give center and direction."""
    tensor = grid.tensor
    x, y = windows.x - tensor(ellipses.x), windows.y - tensor(ellipses.y)
    u = x * tensor(ellipses.cosine / long) + y * tensor(ellipses.sine / long)
    return Oval(x, y, u, y * tensor(ellipses.cosine / short) - x * tensor(ellipses.sine / short))


Number = TypeVar("Number", np.ndarray, Tensor)


def uneven_outline(cosine: Number, sine: Number, uneven: Sequence[Number]) -> Number:
    """1 + the third and fifth harmonic of a polar angle, without its arc tangent.

    Args:
        cosine: Of the angle.
        sine: Of the angle.
        uneven: Amplitudes of the cosine and the sine of the third harmonic, then of the fifth.
    """
    double_c, double_s = cosine * cosine - sine * sine, 2 * (cosine * sine)
    triple_c, triple_s = double_c * cosine - double_s * sine, double_s * cosine + double_c * sine
    fifth_c, fifth_s = triple_c * double_c - triple_s * double_s, triple_s * double_c + triple_c * double_s
    cosine3, sine3, cosine5, sine5 = uneven
    return 1 + (triple_c * cosine3 + triple_s * sine3) + 0.6 * (fifth_c * cosine5 + fifth_s * sine5)


# Blobs are numbers [m]. x, y: center. radius: of the circle of equal area. cosine, sine: direction of the long axis.
# stretch: root of long over short. even, odd [m, k]: amplitudes of the cosine and the sine of 2, 3, ... k + 1 times the
# polar angle, in radii.


def mean_radius(blobs: Numbers) -> Float[np.ndarray, "m"]:
    """The mean radius of blobs' outlines: smaller than `radius`, since outward swings cover more."""
    power = (blobs.even * blobs.even + blobs.odd * blobs.odd).sum(axis=1)
    return blobs.radius / np.sqrt(1 + 0.5 * power)


def reach(blobs: Numbers) -> Float[np.ndarray, "m"]:
    """The greatest distance of blobs' outlines from their centers."""
    swing = np.sqrt(blobs.even * blobs.even + blobs.odd * blobs.odd).sum(axis=1)
    return mean_radius(blobs) * blobs.stretch * (1 + swing)


def within(blobs: Numbers, windows: Windows, grid: Grid) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Each pixel's share of the way from the center (0) to the outline (1), its depth inside it, and u, v [m, w, w].

    depth: along the ray from the center, negative outside. u, v: place along and across the long axis on the unit disc
    that the blob becomes when every ray from the center is as long as the outline is far.
    """
    mean = mean_radius(blobs)
    at = oval(blobs, mean * blobs.stretch, mean / blobs.stretch, windows, grid)
    rho, cosine, sine, scale = at.rays()
    outline, c, s = torch.ones_like(cosine), cosine, sine
    for k in range(blobs.even.shape[1]):
        c, s = c * cosine - s * sine, s * cosine + c * sine
        outline.add_(c * grid.tensor(blobs.even[:, k])).add_(s * grid.tensor(blobs.odd[:, k]))
    outline.clamp_(min=0.2)
    depth = (outline - rho).mul_(scale)
    return rho.div_(outline), depth, at.u.div_(outline), at.v.div_(outline)


# The hash behind `lattice_bits`, compiled for a processor.


@compiled
def hash_lattice(
    keys: UInt32[np.ndarray, "n"], codes: UInt32[np.ndarray, "count"], out: UInt32[np.ndarray, "n count"]
) -> None:
    """Write Wellons' `lowbias32` finalizer of every key with every code."""
    half, other = np.uint32(16), np.uint32(15)
    first, second = np.uint32(0x7FEB352D), np.uint32(0x846CA68B)
    for row in range(len(keys)):
        bits, key = out[row], keys[row]
        for i in range(len(codes)):
            x = np.uint32(key ^ codes[i])
            x = np.uint32(np.uint32(x ^ np.uint32(x >> half)) * first)
            x = np.uint32(np.uint32(x ^ np.uint32(x >> other)) * second)
            bits[i] = np.uint32(x ^ np.uint32(x >> half))


# Random numbers that are a pure function of (row's nuisance seed, stream, position): nothing is ever drawn in turn.
#
# A row's numbers then depend neither on its batch nor on its neighbors nor on which other numbers were asked for. Only
# exactly defined operations are used (integers, and + - * / on floats), so that values are the same bits in any batch,
# in any order and on any processor.


def uniforms(nuisance: Int[np.ndarray, "n"], stream: str, count: int) -> Float[np.ndarray, "n count"]:
    """Return `count` uniform numbers in [0, 1) per row, float64, that depend on (row's seed, stream, position) alone.

    Examples:
        >>> numbers = uniforms(np.arange(1000), "texture", 3)
        >>> numbers.shape, bool((numbers[5] == uniforms(np.array([5]), "texture", 3)).all())  # other rows do not matter
        ((1000, 3), True)
    """
    bits = mix(np.arange(1, count + 1), _row_key(nuisance, stream)[:, None])
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53


def spread(
    nuisance: Int[np.ndarray, "n"], stream: str, low: float, high: float, count: int = 1
) -> Float[np.ndarray, "n count"]:
    """Return `count` numbers per row, uniform between `low` and `high`, [n, count].

    Examples:
        >>> numbers = spread(np.arange(1000), "angle", -1.0, 1.0)
        >>> numbers.shape, bool((numbers.min() >= -1) & (numbers.max() < 1))
        ((1000, 1), True)
    """
    return low + (high - low) * uniforms(nuisance, stream, count)


@dataclass(frozen=True, slots=True)
class Draw:
    """Random numbers of some rows in streams whose names begin alike.

    Examples:
        >>> draw = Draw(np.arange(3), "nodule-")
        >>> draw("radius", 4.0, 9.0).shape, draw("outline", 0.0, 1.0, 5).shape
        ((3,), (3, 5))
    """

    nuisance: Int[np.ndarray, "n"]
    prefix: str = ""

    def __call__(self, name: str, low: float = 0.0, high: float = 1.0, *shape: int) -> Float[np.ndarray, "n *shape"]:
        """Numbers uniform between `low` and `high`: one per row, or as many as this shape holds."""
        numbers = uniforms(self.nuisance, self.prefix + name, math.prod(shape)).reshape(len(self.nuisance), *shape)
        return numbers if (low, high) == (0, 1) else low + (high - low) * numbers

    def heading(self, name: str, *shape: int) -> tuple[np.ndarray, np.ndarray]:
        """Cosine and sine of any direction."""
        return direction(self(name, 0, 1, *shape))


def white_noise(
    nuisance: Int[np.ndarray, "n"], stream: str, height: int, width: int, device: str
) -> Float[Tensor, "n height width"]:
    """Return independent, nearly Gaussian noise of mean 0 and variance 1 on a lattice: the sum of four bytes of a hash.

    Its excess kurtosis is -0.3 and it ends at 3.45 standard deviations; any smoothing brings it closer to a Gaussian.

    Examples:
        >>> noise = white_noise(np.arange(8), "sensor", 64, 64, "cpu")
        >>> tuple(noise.shape), round(abs(float(noise.mean())), 1), round(float(noise.std()), 1)
        ((8, 64, 64), 0.0, 1.0)
    """
    keys = torch.as_tensor(
        (_row_key(nuisance, stream) >> np.uint64(32)).astype(np.uint32).view(np.int32), device=device
    )
    x = lattice_bits(keys, height * width)
    pairs = (x & 0x00FF00FF) + ((x >> 8) & 0x00FF00FF)
    total = (pairs & 0xFFFF) + (pairs >> 16)
    return total.to(torch.float32).sub_(_BYTES_MEAN).mul_(_BYTES_SCALE).view(-1, height, width)


def lattice_bits(keys: Int[Tensor, "n"], count: int) -> Int[Tensor, "n count"]:
    """32 random bits (int32) per key and lattice point, on the keys' device: a hash of both, nothing else.

    keys: int32, well mixed themselves, such as `core.seeds.row_seed` gives them.
    """
    codes = _lattice_codes(count, str(keys.device))
    if keys.device.type != "cpu":
        return _hash32_(keys[:, None] ^ codes)
    out = torch.empty(len(keys), count, dtype=torch.int32)
    hash_lattice(*(part.numpy().view(np.uint32) for part in (keys.to(torch.int32).contiguous(), codes, out)))
    return out


_BYTES_MEAN = 4 * 127.5
_BYTES_SCALE = float(1.0 / np.sqrt(4 * (256**2 - 1) / 12))


def _row_key(nuisance: Int[np.ndarray, "n"], stream: str) -> np.ndarray:
    return mix(nuisance, derive(0, "phantom", stream))


@lru_cache(maxsize=32)
def _lattice_codes(count: int, device: str) -> Int[Tensor, "count"]:
    """One well-mixed 32-bit code per lattice point."""
    codes = mix(np.arange(1, count + 1))
    return torch.as_tensor((codes >> np.uint64(32)).astype(np.uint32).view(np.int32), device=device)


def _hash32_(x: Int[Tensor, "..."]) -> Int[Tensor, "..."]:
    """Wellons' `lowbias32` finalizer in place on int32; products wrap, and shifts are made unsigned by masking."""
    x ^= (x >> 16) & 0xFFFF
    x *= 0x7FEB352D
    x ^= (x >> 15) & 0x1FFFF
    x *= 0x846CA68B - 2**32
    x ^= (x >> 16) & 0xFFFF
    return x


# Smooth random fields on an image, batched, from lattices of white noise.
#
# Everything is written as element-wise steps with a fixed order, since library convolutions and interpolations choose
# their routine by the shape of the batch and so change a row's last bits with its neighbors.


def spline_zoom(lattice: Float[Tensor, "n a b"], size: int) -> Float[Tensor, "n size size"]:
    """The quadratic B-spline surface over a lattice, read at the pixel centers of a size x size image.

    The lattice needs one extra point on every side: its inner part spans the image, as cells of equal width.
    """
    # Along lines first, while there are few: picking columns apart is slow, picking lines is not.
    return _zoom_axis(_zoom_axis(lattice, size, 2), size, 1)


def lattice(
    nuisance: Int[np.ndarray, "n"], stream: str, cells: int, deviation: Float[np.ndarray, "n"], grid: Grid
) -> Float[Tensor, "n cells+2 cells+2"]:
    """White noise for `spline_zoom`, such that the surface has this standard deviation, in each row its own."""
    noise = white_noise(nuisance, stream, cells + 2, cells + 2, grid.device)
    return noise.mul_(grid.tensor(deviation / float(zoom_gain(cells, grid.size))))


def zoom_gain(
    cells: int, size: int, along_x: Float[np.ndarray, "n"] | float = 0.0, along_y: Float[np.ndarray, "n"] | float = 0.0
) -> Float[np.ndarray, "n"]:
    """The standard deviation that `spline_zoom` leaves of unit noise on `cells` inner points per side, over all pixels.

    along_x, along_y: strengths with which the noise had been softened, per row; 0 for white noise.
    """
    return np.sqrt(_axis_gain(cells, size, along_x) * _axis_gain(cells, size, along_y))


def _axis_gain(cells: int, size: int, side: Float[np.ndarray, "n"] | float) -> Float[np.ndarray, "n"]:
    """The variance left along one axis: the spline's weights against the correlation at one and two steps."""
    a, b, c = _spline_weights(cells, size)[1]
    center = 1 - 2 * np.asarray(side)
    variance = center * center + 2 * side * np.asarray(side)
    next_one, next_two = 2 * side * center / variance, side * np.asarray(side) / variance
    return (
        float((a * a + b * b + c * c).mean())
        + next_one * float(2 * (a * b + b * c).mean())
        + next_two * float(2 * (a * c).mean())
    )


def soften(
    field: Float[Tensor, "n a b"], along_x: Float[Tensor, "n"], along_y: Float[Tensor, "n"]
) -> Float[Tensor, "n a-2 b-2"]:
    """Three-tap smoothing (s, 1 - 2s, s) with a strength of each row's own per axis; the border of one is used up.

    Divided by its gain, so that unit white noise keeps its variance.
    """
    for axis, strength in ((1, along_y), (2, along_x)):
        side = strength[:, None, None]
        center = 1 - 2 * side
        gain = torch.sqrt(center * center + 2 * (side * side))
        length = field.shape[axis] - 2
        outer = field.narrow(axis, 0, length) + field.narrow(axis, 2, length)
        field = outer.mul_(side / gain).add_(field.narrow(axis, 1, length) * (center / gain))
    return field


def _zoom_axis(lattice: Float[Tensor, "n a b"], size: int, axis: int) -> Tensor:
    first, weights = _taps(lattice.shape[axis] - 2, size, str(lattice.device))
    shape = (1, size, 1) if axis == 1 else (1, 1, size)
    total = lattice.index_select(axis, first).mul_(weights[0].view(shape))
    for tap in (1, 2):
        total += lattice.index_select(axis, first + tap).mul_(weights[tap].view(shape))
    return total


@lru_cache(maxsize=64)
def _taps(cells: int, size: int, device: str) -> tuple[Int[Tensor, "size"], Float[Tensor, "3 size"]]:
    first, weights = _spline_weights(cells, size)
    return torch.as_tensor(first, device=device), torch.as_tensor(weights.astype(np.float32), device=device)


def _spline_weights(cells: int, size: int) -> tuple[Int[np.ndarray, "size"], Float[np.ndarray, "3 size"]]:
    """For each pixel the first of its three lattice points (in the padded lattice) and their weights."""
    position = (np.arange(size) + 0.5) * (cells / size)
    cell = np.minimum(np.floor(position), cells - 1)
    t = position - cell
    weights = np.stack([0.5 * (1 - t) ** 2, 0.5 + t * (1 - t), 0.5 * t**2])
    return cell.astype(np.int64), weights
