"""What all local marks share: paint in layers over an image, and the shapes that fill a plane.

Only operations whose result does not depend on where a value stands in an array are used (+ - * /, square roots,
comparisons, maxima), so that a row's pixels are the same bits in any batch; angles are drawn as a cosine and a sine.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from assay.data.phantoms.exact import direction
from assay.shifts.confounders.mark_kernels import cover_box, paint, paint_frame, paint_surround
from assay.shifts.confounders.processor import at_hand
from assay.shifts.intervention import Draws, Parameters

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
        """The part of [b, c, h, w] that lies in it, as a view."""
        return images[:, :, self.top : self.top + self.height, self.left : self.left + self.width]


def whole(shape: Shape) -> Window:
    """All of the image."""
    return Window(0, 0, shape[1], shape[2])


def around(
    shape: Shape, x: Float[Tensor, "b"], y: Float[Tensor, "b"], reach_x: float, reach_y: float | None = None
) -> Window:
    """The least window that holds, for every row, what reaches so many px from a middle; one pixel at least."""
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
        self, images: Float[Tensor, "b c h w"], within: Window, colour: Float[Tensor, "c 1 1"], strength: float
    ) -> None:
        """What a layer of it does to images that are at hand, in place."""
        ...


@dataclass(frozen=True, slots=True)
class Layer:
    """Paint: `strength` times a coverage in 0..1 says how far each pixel moves to `colour` (red, green, blue in 0..1).

    within: the part of the image that `coverage` is about; nothing changes outside.
    """

    coverage: Float[Tensor, "b 1 h w"] | Drawable
    within: Window
    colour: tuple[float, float, float] = WHITE
    strength: float = 1.0

    def drawn(self) -> Float[Tensor, "b 1 h w"]:
        """The coverage itself."""
        return self.coverage if isinstance(self.coverage, Tensor) else self.coverage.drawn(self.within)


class Mark(ABC):
    """A thing that lies over the image: layers of paint, all thinned by `opacity`.

    opacity: 0 (nothing changes) to 1. On images that are not RGB a colour is its luminance (ITU-R BT.601). Gradients
    flow from the changed images to the given ones.
    """

    opacity: float

    @abstractmethod
    def check(self, shape: Shape) -> None:
        """Raises SpecError when images of this shape cannot carry it."""

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
        colour, strength = in_channels(layer.colour, images), self.opacity * layer.strength
        if at_hand(images):
            if isinstance(layer.coverage, Tensor):
                corner = layer.within.top, layer.within.left
                coverage = layer.coverage.expand(len(images), -1, -1, -1).float().contiguous().numpy()
                paint(images.numpy(), coverage, colour.flatten().numpy(), strength, corner)
            else:
                layer.coverage.paint(images, layer.within, colour, strength)
            return
        part = layer.within.of(images)
        towards = (colour - part).mul_(strength * layer.drawn())
        part.copy_(towards.add_(part).clamp_(0, 1))

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


def in_channels(colour: tuple[float, float, float], images: Float[Tensor, "b c h w"]) -> Float[Tensor, "c 1 1"]:
    """A colour for images with this many channels: itself for three, else its luminance."""
    channels = images.shape[1]
    luminance = sum(weight * value for weight, value in zip(_LUMA, colour, strict=True))
    values = colour if channels == 3 else (luminance,) * channels
    return torch.tensor(values, dtype=images.dtype, device=images.device)[:, None, None]


def luminance(images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 1 h w"]:
    """What `in_channels` makes grey of colours: ITU-R BT.601 for three channels, else their mean."""
    channels = images.shape[1]
    weights = _LUMA if channels == 3 else (1 / channels,) * channels
    total = images[:, :1] * weights[0]
    for channel in range(1, channels):
        total = total + images[:, channel : channel + 1] * weights[channel]
    return total


def placed(
    draws: Draws, parameter: str, centre: float, jitter: float, half: float, length: int, shape: Shape
) -> Float[Tensor, "n"]:
    """A centre along one axis in px: drawn within `jitter` of `centre`, then moved into the image.

    centre: share of `length`, the image's edge along that axis in px. jitter: share of the shorter side. half: how far
    the thing reaches from its centre, in px.
    """
    reach = 2 * jitter * min(shape[1:])
    place = centre * length + reach * (draws.uniform(parameter) - 0.5)
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
    """x and y of a window's pixels' centres in px from the left and the top of the image, to be broadcast."""
    x = torch.arange(within.left, within.left + within.width, device=device, dtype=torch.float32) + 0.5
    y = torch.arange(within.top, within.top + within.height, device=device, dtype=torch.float32) + 0.5
    return x.view(1, 1, 1, -1), y.view(1, 1, -1, 1)


def edge(depth: Float[Tensor, "*shape"], softness: float = 1.0) -> Float[Tensor, "*shape"]:
    """Coverage of a pixel whose centre lies `depth` px inside an edge that is `softness` px wide (smoothstep)."""
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
    """Coverage by a box with corners rounded by `corner` px, of `half` = (width, height) / 2 px around its centre.

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
    """All that lies outside a circle around a middle per row, [b] px; its edge is `softness` px wide."""

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
        self, images: Float[Tensor, "b c h w"], within: Window, colour: Float[Tensor, "c 1 1"], strength: float
    ) -> None:
        """See `Drawable`."""
        place = self.x.float().numpy(), self.y.float().numpy()
        paint_surround(images.numpy(), *place, self.radius, self.softness, within, colour.flatten().numpy(), strength)


@dataclass(frozen=True, slots=True)
class Frame:
    """All that lies outside a rectangle per row, [b] px from the left and the top; its edge is `softness` px wide."""

    left: Float[Tensor, "b"]
    right: Float[Tensor, "b"]
    top: Float[Tensor, "b"]
    bottom: Float[Tensor, "b"]
    softness: float

    def drawn(self, within: Window) -> Float[Tensor, "b 1 h w"]:
        """See `Drawable`."""
        return torch.maximum(*self._edges(within))

    def paint(
        self, images: Float[Tensor, "b c h w"], within: Window, colour: Float[Tensor, "c 1 1"], strength: float
    ) -> None:
        """See `Drawable`."""
        along, down = (part.flatten(1).contiguous().numpy() for part in self._edges(within))
        corner = within.top, within.left
        paint_frame(images.numpy(), along, down, corner, colour.flatten().numpy(), strength)

    def _edges(self, within: Window) -> tuple[Float[Tensor, "b 1 1 w"], Float[Tensor, "b 1 h 1"]]:
        """Coverage by what lies left and right of it, and by what lies above and below."""
        x, y = axes(within, self.left.device)
        open_x = torch.minimum(x - per_pixel(self.left), per_pixel(self.right) - x)
        open_y = torch.minimum(y - per_pixel(self.top), per_pixel(self.bottom) - y)
        return edge(-open_x, self.softness), edge(-open_y, self.softness)
