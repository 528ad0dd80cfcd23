"""Draw shapes on batches of images: canvas, painting, capsules and blobs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


# Drawing many small things on a batch of images, each in a window of its own, joined by the brightest.
#
# The maximum does not depend on the order in which things are drawn, so a batch can be drawn at once and a row comes
# out the same in any batch.


@dataclass(frozen=True, slots=True)
class Grid:
    """Square images of `size` px that show `field` mm a side; the origin of coordinates is the image's center."""

    size: int
    field: float
    device: str

    @property
    def pixel(self) -> float:
        """Millimeters per pixel."""
        return self.field / self.size

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
        row: Int[np.ndarray, "m"],
        x: Float[np.ndarray, "m"],
        y: Float[np.ndarray, "m"],
        radius: float,
        grid: Grid,
    ) -> Windows:
        """Windows that hold every pixel of a row's image within `radius` mm of these points."""
        width = min(grid.size, int(np.ceil(2 * radius / grid.pixel)) + 1)
        steps = torch.arange(width, device=grid.device)
        columns = _first(x - radius, width, grid)[:, None, None] + steps
        lines = _first(y - radius, width, grid)[:, None, None] + steps[:, None]
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


Record = TypeVar("Record", bound="DataclassInstance")


def take(record: Record, part: slice | Int[np.ndarray, "m"]) -> Record:
    """Return some rows of a dataclass of arrays [n, ...], of such dataclasses, and of tuples and mappings of either.

    Other values, such as numbers, hold for all rows and are kept.
    """
    return replace(record, **{field.name: _taken(getattr(record, field.name), part) for field in fields(record)})


def _taken(value: Any, part: slice | Int[np.ndarray, "m"]) -> Any:
    if isinstance(value, tuple):
        return tuple(_taken(each, part) for each in cast("tuple[Any, ...]", value))
    if isinstance(value, Mapping):
        return {key: _taken(each, part) for key, each in cast("Mapping[str, Any]", value).items()}
    if isinstance(value, np.ndarray):
        return cast("np.ndarray", value)[part]
    return take(cast("DataclassInstance", value), part) if is_dataclass(value) else value


def column(values: Float[np.ndarray, "*shape"], device: str) -> Float[Tensor, "*shape 1 1"]:
    """Float64 parameters as float32 with two axes for the pixels."""
    return torch.as_tensor(values.astype(np.float32), device=device)[..., None, None]


def ramp(depth: Float[Tensor, "*shape"], blur: Float[Tensor, "*other"]) -> Float[Tensor, "*shape"]:
    """Coverage 0..1 of a pixel whose center is `depth` mm inside an edge that the scanner blurs over `blur` mm."""
    t = (depth / blur).add_(0.5).clamp_(0, 1)
    return (t * -2).add_(3).mul_(t).mul_(t)


def _first(edge: Float[np.ndarray, "m"], width: int, grid: Grid) -> Int[Tensor, "m"]:
    """The first column (or line) whose center is not before `edge` (mm), such that the window stays in the image."""
    first = np.ceil(edge / grid.pixel + 0.5 * (grid.size - 1))
    return torch.as_tensor(np.clip(first, 0, grid.size - width).astype(np.int64), device=grid.device)


# Color: three planes for a batch of images, painted in windows or blended whole; and colors between colors.

Planes = Float[Tensor, "3 n size size"]
"""Red, green, blue of n images, contiguous: a channel is a canvas of its own."""


def colors(values: Float[np.ndarray, "n 3"], device: str) -> Float[Tensor, "3 n 1 1"]:
    """One color per image, to be broadcast over planes."""
    return torch.as_tensor(np.ascontiguousarray(values.T).astype(np.float32), device=device)[:, :, None, None]


def blend(under: Planes, over: Tensor, weight: Float[Tensor, "n size size"]) -> Planes:
    """`over` on `under`, in place of `under`: exactly the one at a weight of 0, exactly the other at 1."""
    return under.mul_(1 - weight).add_(over * weight)


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


# Tapered tubes: vessels, their cross-sections, and spicules.


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


def draw_capsules(canvas: Float[Tensor, "n pixels"], tubes: Capsules, blur: Float[np.ndarray, "n"], grid: Grid) -> None:
    """Raise the canvas to strength x coverage along each tube; `blur` is the width of the edges in mm."""
    seen = _partial_volume(tubes, blur[:, None])
    radius = _reach(seen) + 0.5 * blur[:, None]
    chosen = np.flatnonzero(_in_sight(seen, radius, grid))
    if len(chosen) == 0:
        return
    row = chosen // tubes.x0.shape[1]
    drawn = Capsules(*(getattr(seen, field.name).ravel()[chosen] for field in fields(Capsules)))
    furthest = float(radius.ravel()[chosen].max())
    windows = Windows.around(row, 0.5 * (drawn.x0 + drawn.x1), 0.5 * (drawn.y0 + drawn.y1), furthest, grid)
    windows.draw(canvas, _coverage(drawn, blur[row], windows, grid.device))


def draw_depth(canvas: Float[Tensor, "n pixels"], tubes: Capsules, beyond: float, grid: Grid) -> None:
    """Raise a canvas of depths inside an outline (negative outside) to each tube's, where its strength is not 0.

    A tube raises no pixel farther than `beyond` outside it.
    """
    radius = _reach(tubes) + beyond
    chosen = np.flatnonzero(_in_sight(tubes, radius, grid))
    if len(chosen) == 0:
        return
    row = chosen // tubes.x0.shape[1]
    drawn = Capsules(*(getattr(tubes, field.name).ravel()[chosen] for field in fields(Capsules)))
    furthest = float(radius.ravel()[chosen].max())
    windows = Windows.around(row, 0.5 * (drawn.x0 + drawn.x1), 0.5 * (drawn.y0 + drawn.y1), furthest, grid)
    depth = _depth(drawn, windows, grid.device)[0]
    windows.draw(canvas, depth.masked_fill_(depth < -beyond, -np.inf))


def _partial_volume(tubes: Capsules, blur: Float[np.ndarray, "n 1"]) -> Capsules:
    """A tube thinner than the blur is seen as wide as the blur and as much weaker as it is thinner."""
    return replace(
        tubes,
        radius0=np.maximum(tubes.radius0, 0.5 * blur),
        radius1=np.maximum(tubes.radius1, 0.5 * blur),
        strength0=tubes.strength0 * np.minimum(1, 2 * tubes.radius0 / blur),
        strength1=tubes.strength1 * np.minimum(1, 2 * tubes.radius1 / blur),
    )


def _reach(tubes: Capsules) -> Float[np.ndarray, "n k"]:
    """Distance from its middle to which a tube extends, in mm."""
    along_x, along_y = tubes.x1 - tubes.x0, tubes.y1 - tubes.y0
    return 0.5 * np.sqrt(along_x * along_x + along_y * along_y) + np.maximum(tubes.radius0, tubes.radius1)


def _in_sight(tubes: Capsules, radius: Float[np.ndarray, "n k"], grid: Grid) -> Bool[np.ndarray, "n k"]:
    """Tubes that are there at all and not wholly outside the image."""
    half = 0.5 * grid.field
    near_x = np.abs(0.5 * (tubes.x0 + tubes.x1)) < half + radius
    near_y = np.abs(0.5 * (tubes.y0 + tubes.y1)) < half + radius
    return near_x & near_y & (np.maximum(tubes.strength0, tubes.strength1) > 0)


def _coverage(tubes: Capsules, blur: Float[np.ndarray, "m"], windows: Windows, device: str) -> Float[Tensor, "m w w"]:
    depth, t = _depth(tubes, windows, device)
    strength = t.mul_(column(tubes.strength1 - tubes.strength0, device)).add_(column(tubes.strength0, device))
    return ramp(depth, column(blur, device)).mul_(strength)


def _depth(tubes: Capsules, windows: Windows, device: str) -> tuple[Float[Tensor, "m w w"], Float[Tensor, "m w w"]]:
    """Return the depth in mm inside each tube, negative outside, and each pixel's position along it, 0 to 1."""
    along_x, along_y = tubes.x1 - tubes.x0, tubes.y1 - tubes.y0
    squared = np.maximum(along_x * along_x + along_y * along_y, 1e-6)
    x, y = windows.x - column(tubes.x0, device), windows.y - column(tubes.y0, device)
    t = (x * column(along_x / squared, device) + y * column(along_y / squared, device)).clamp_(0, 1)
    away_x = (t * column(-along_x, device)).add_(x)
    away_y = (t * column(-along_y, device)).add_(y)
    distance = away_x.mul_(away_x).add_(away_y.mul_(away_y)).sqrt_()
    depth = (t * column(tubes.radius1 - tubes.radius0, device)).sub_(distance).add_(column(tubes.radius0, device))
    return depth, t


# Uneven blobs: closed outlines about a center, given by harmonics of the polar angle, whose area is known.


@dataclass(frozen=True, slots=True)
class Blobs:
    """m outlines in the grid's unit of length; float64 [m] each, harmonics [m, k].

    radius: of the circle of equal area. cosine, sine: direction of the long axis. stretch: root of long over short.
    even, odd: amplitudes of the cosine and the sine of 2, 3, ... k + 1 times the polar angle, in radii.
    """

    x: np.ndarray
    y: np.ndarray
    radius: np.ndarray
    cosine: np.ndarray
    sine: np.ndarray
    stretch: np.ndarray
    even: Float[np.ndarray, "m k"]
    odd: Float[np.ndarray, "m k"]

    def mean_radius(self) -> Float[np.ndarray, "m"]:
        """The mean radius of the outline: smaller than `radius`, since outward swings cover more."""
        power = (self.even * self.even + self.odd * self.odd).sum(axis=1)
        return self.radius / np.sqrt(1 + 0.5 * power)

    def reach(self) -> Float[np.ndarray, "m"]:
        """The greatest distance of the outline from the center."""
        swing = np.sqrt(self.even * self.even + self.odd * self.odd).sum(axis=1)
        return self.mean_radius() * self.stretch * (1 + swing)


def within(
    blobs: Blobs, windows: Windows, device: str
) -> tuple[Float[Tensor, "m w w"], Float[Tensor, "m w w"], Float[Tensor, "m w w"], Float[Tensor, "m w w"]]:
    """Each pixel's share of the way from the center (0) to the outline (1), its depth inside it, and u, v.

    depth: along the ray from the center, negative outside. u, v: place along and across the long axis on the unit disc
    that the blob becomes when every ray from the center is as long as the outline is far.
    """
    mean = blobs.mean_radius()
    long, short = mean * blobs.stretch, mean / blobs.stretch
    x, y = windows.x - column(blobs.x, device), windows.y - column(blobs.y, device)
    u = x * column(blobs.cosine / long, device) + y * column(blobs.sine / long, device)
    v = y * column(blobs.cosine / short, device) - x * column(blobs.sine / short, device)
    rho = (u * u).add_(v * v).sqrt_()
    inverse = 1 / (rho + 1e-4)
    outline = _outline(u * inverse, v * inverse, blobs, device)
    scale = (x * x + y * y).sqrt_().mul_(inverse)  # length per half axis along this ray
    depth = (outline - rho).mul_(scale)
    return rho.div_(outline), depth, u.div_(outline), v.div_(outline)


def _outline(cosine: Tensor, sine: Tensor, blobs: Blobs, device: str) -> Float[Tensor, "m w w"]:
    """1 + the harmonics at a polar angle given by its cosine and sine, kept above a fifth."""
    total = cosine.new_ones(cosine.shape)
    c, s = cosine, sine
    for k in range(blobs.even.shape[1]):
        c, s = c * cosine - s * sine, s * cosine + c * sine
        total.add_(c * column(blobs.even[:, k], device)).add_(s * column(blobs.odd[:, k], device))
    return total.clamp_(min=0.2)
