"""Segmentation networks: encoder and decoder, the small U-Net, and reading by tiles."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise, product
from typing import Annotated, cast

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from assay.core.errors import SpecError
from assay.core.registry import component
from assay.core.traits import ArchitectureTraits
from assay.models.classifier import ArchitectureContext, InputScaling, Outputs, WithTrunk, initialize_by_name

# Segmentation networks: input scaling, an encoder, a decoder, and a head that makes logits for every pixel.

Maps = Sequence[Tensor]
"""Output of an encoder: maps [b, d, h, w] from shallow to deep; the images themselves may stand first."""


class Stages(nn.ModuleList):
    """The places where probes read an encoder's maps, from shallow to deep. The maps pass unchanged.

    Maps that are the encoder's own input, or have no channels (as the first ones of some libraries), are no stages.
    """

    def __init__(self, count: int) -> None:
        super().__init__(nn.Identity() for _ in range(count))

    def forward(self, images: Tensor, maps: Maps) -> Tensor:
        """Return the deepest map."""
        passed = [place(given) for place, given in zip(self, own_maps(images, maps), strict=True)]
        return passed[-1]


def own_maps(images: Tensor, maps: Maps) -> list[Tensor]:
    """Return the maps that an encoder made of its input; see `Stages`."""
    return [one for one in maps if one is not images and one.shape[1] > 0]


@dataclass(frozen=True, slots=True)
class Seen:
    """Output of a pass for images whose sides are multiples of the stride.

    Attributes:
        deepest: The encoder's last map. logits, and each of auxiliary: [b, k, h, w] at the size of the images.
    """

    deepest: Tensor
    logits: Tensor
    auxiliary: tuple[Tensor, ...] = ()


class Segmenter(WithTrunk):
    """A `Network` that says for every pixel which class it is of.

    Images of any size are taken: sides that are no multiples of `stride` are continued at the right and at the bottom
    by repeating their last pixels, and the logits are cut back. Pooled features are the mean of the encoder's deepest
    map over its places, those of the continuation among them.

    Attributes:
        head: The convolution whose output are the logits; its size is the library's own where the network is one of a
            library.
        auxiliary_weight: Of each further map of logits (deep supervision) in the loss, the main one having 1.
    """

    head: nn.Conv2d
    layers: tuple[str, ...]
    auxiliary_weight: float = 1.0

    def __init__(self, trunk: nn.Module, scaling: InputScaling, width: int, stride: int) -> None:
        super().__init__(trunk, scaling, width)
        self.stride = stride

    def look(self, images: Float[Tensor, "b c h w"]) -> Seen:
        """One pass over scaled images whose sides are multiples of the stride."""
        raise NotImplementedError(f"{type(self).__name__} must define look")

    def read(self, images: Float[Tensor, "b c h w"]) -> Outputs:
        """Features and logits in one pass."""
        height, width = images.shape[2:]
        seen = self.look(continued(self.scaling(images), self.stride))
        return Outputs(
            features=seen.deepest.mean((2, 3)),
            logits=seen.logits[:, :, :height, :width],
            auxiliary=tuple(logits[:, :, :height, :width] for logits in seen.auxiliary),
            auxiliary_weight=self.auxiliary_weight,
        )

    def forward(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k h w"]:
        """Logits."""
        return self.read(images).logits


class EncoderDecoder(Segmenter):
    """A `Segmenter` with one encoder (its trunk), one decoder (maps -> one map), a head, and a resampling of the head's
    logits to the size of the images.

    Probed layers: `stages.0` and so on, the encoder's maps; then `decoder`.
    """

    def __init__(
        self,
        trunk: nn.Module,
        decoder: nn.Module,
        head: nn.Conv2d,
        enlarge: nn.Module,
        scaling: InputScaling,
        widths: Sequence[int],
        stride: int,
    ) -> None:
        super().__init__(trunk, scaling, widths[-1], stride)
        self.stages = Stages(len(widths))
        self.decoder = decoder
        self.head = head
        self.enlarge = enlarge
        self.layers = (*(f"stages.{number}" for number in range(len(widths))), "decoder")

    def look(self, images: Float[Tensor, "b c h w"]) -> Seen:
        """See `Segmenter`."""
        maps = self.trunk(images)
        deepest = self.stages(images, maps)
        return Seen(deepest, self.enlarge(self.head(self.decoder(maps))))


def continued(images: Float[Tensor, "b c h w"], stride: int) -> Float[Tensor, "b c hs ws"]:
    """Images whose sides are multiples of the stride: the last row and column are repeated as often as it takes."""
    height, width = images.shape[2:]
    below, right = -height % stride, -width % stride
    return functional.pad(images, (0, right, 0, below), mode="replicate") if below or right else images


def widths_of(encoder: nn.Module, channels: int, side: int) -> tuple[int, ...]:
    """Channels of an encoder's maps, from shallow to deep, found by a look at a blank image."""
    training, blank = encoder.training, torch.zeros(1, channels, side, side)
    try:
        with torch.no_grad():
            maps = cast(Callable[[Tensor], Maps], encoder.eval())(blank)
    finally:
        encoder.train(training)
    return tuple(one.shape[1] for one in own_maps(blank, maps))


def refuse_smaller(name: str, context: ArchitectureContext, smallest: int, why: str) -> None:
    """Raises SpecError for images below the smallest side."""
    if context.size < smallest:
        raise SpecError(
            f"architecture '{name}' cannot take images of {context.size} x {context.size} pixels: {why}; "
            f"choose a size of at least {smallest}"
        )


# The small U-Net that segmentation studies on a CPU use.

STRIDE = 16
_MULTIPLES = (1, 2, 4, 6)


@component(
    "architecture",
    "small-unet",
    ArchitectureTraits(tasks=("segmentation",)),
    summary="U-Net of 8-16-32-48 channels from half the size on, 85 thousand parameters; fast on a CPU",
)
def small_unet(
    context: ArchitectureContext,
    *,
    width: Annotated[
        int, Field(ge=8, le=128, multiple_of=8, description="channels of the first stage (8: 8-16-32-48)")
    ] = 8,
) -> EncoderDecoder:
    """Return a U-Net (Ronneberger et al. 2015) of four stages at 1/2, 1/4, 1/8 and 1/16 of the size.

    The stages have 1, 2, 4 and 6 times `width` channels, 8-16-32-48 by default: two 3x3 convolutions each, the first
    with stride 2; 84,714 parameters for gray images and 2 classes. On the way up the map is doubled (nearest),
    concatenated with the stage's and convolved once. Logits of a 1x1 convolution at half the size are doubled
    bilinearly. Batch norm and ReLU follow every 3x3 convolution. Weights follow torch's own law. Images of any size: a
    side that is no multiple of 16 is continued (see `Segmenter`).
    """
    widths = [width * multiple for multiple in _MULTIPLES]
    network = EncoderDecoder(
        trunk=SmallEncoder(context.channels, widths),
        decoder=SmallDecoder(widths),
        head=nn.Conv2d(width, context.classes, kernel_size=1),
        enlarge=nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False),
        scaling=InputScaling(context.channels),
        widths=widths,
        stride=STRIDE,
    )
    initialize_by_name(network, context.seed)
    return network


class SmallEncoder(nn.Module):
    """Images -> the map of each stage, each half the size of the one before."""

    def __init__(self, channels: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.down = nn.ModuleList(
            nn.Sequential(*_convolution(before, after, stride=2), *_convolution(after, after))
            for before, after in pairwise([channels, *widths])
        )

    def forward(self, images: Tensor) -> list[Tensor]:
        """From shallow to deep."""
        maps = [images]
        for stage in self.down:
            maps.append(stage(maps[-1]))
        return maps[1:]


class SmallDecoder(nn.Module):
    """The maps of the stages -> one map of the size and the width of the first."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        pairs = reversed(list(pairwise(widths)))
        self.up = nn.ModuleList(nn.Sequential(*_convolution(deep + here, here)) for here, deep in pairs)

    def forward(self, maps: Maps) -> Tensor:
        """From deep to shallow."""
        *shallow, deep = maps
        for convolve, beside in zip(self.up, reversed(shallow), strict=True):
            deep = convolve(torch.cat([functional.interpolate(deep, scale_factor=2.0), beside], dim=1))
        return deep


def _convolution(before: int, after: int, stride: int = 1) -> tuple[nn.Module, ...]:
    return (
        nn.Conv2d(before, after, kernel_size=3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(inplace=True),
    )


# Maps of images too large for one pass, tile by tile.

LARGEST = 1024
"""Images up to so many pixels a side are read in one pass."""
_ACROSS = 4
"""Width of the strips on which a reach is measured, in strides: whatever it is, a reach along them is the same."""


@torch.no_grad()
def tiled(
    network: Segmenter, images: Float[Tensor, "b c h w"], tile: int, overlap: int, batch: int = 8
) -> Float[Tensor, "b k h w"]:
    """Logits of images, from square tiles of side `tile` that share `overlap` pixels with the next, `batch` at once.

    Each pixel is taken from one tile, in which it is at least half of the overlap away from every border that is not
    the image's own, and tiles lie on the grid of the network's stride. So the result is that of one pass, up to
    rounding, where half of the overlap is at least `reach(network)`. A network that looks at the whole image (group or
    instance norm, global pooling, attention) has no reach: its tiles say something else than one pass does.

    Raises:
        SpecError: For a network in training mode, whose batch norms would see tiles, and for a tile and an overlap that
            do not fit the network's stride or each other.
    """
    _check(network, tile, overlap)
    whole = continued(images, network.stride)
    spans = (_spans(side, tile, overlap) for side in whole.shape[2:])
    places = [(image, rows, columns) for image, (rows, columns) in product(range(len(whole)), list(product(*spans)))]
    logits = whole.new_empty((len(whole), network.head.out_channels, *whole.shape[2:]))
    for start in range(0, len(places), batch):
        chosen = places[start : start + batch]
        tiles = torch.stack([whole[image, :, rows.seen, columns.seen] for image, rows, columns in chosen])
        for said, (image, rows, columns) in zip(network(tiles), chosen, strict=True):
            logits[image, :, rows.kept, columns.kept] = said[:, rows.within, columns.within]
    return logits[:, :, : images.shape[2], : images.shape[3]]


def by_tiles(network: nn.Module, shape: tuple[int, int, int], largest: int = LARGEST) -> Callable[[Tensor], object]:
    """How images of a shape (channels, height, width) are read: in one pass, or by tiles of side `largest` where they
    are larger and tiles say the same.

    They do up to rounding for a `Segmenter` whose `reach` is at most a quarter of a tile: the overlap is twice the
    reach. Others are read whole, whatever memory that takes.
    """
    if not isinstance(network, Segmenter) or max(shape[1:]) <= largest:
        return network
    far, cell = reach(network, shape[0], largest), network.stride
    if far is None or 4 * far > largest:
        return network
    overlap = max(1, -(-far // cell)) * 2 * cell
    side = largest // cell * cell
    return partial(tiled, network, tile=side, overlap=overlap, batch=1) if overlap < side else network


def reach(network: Segmenter, channels: int, side: int = 1024) -> int | None:
    """How far a pixel can change logits, in pixels along an axis, counted from a logit's cell of the network's stride.

    Measured: the gradient of the logits of a cell in the middle of strips that many pixels long, of fine and of coarse
    noise, dark, middling and bright, so that units which one of them leaves at rest are moved by another; in evaluation
    mode and double precision. None where it comes to an end of the strip: the network looks at the whole image, or
    farther than half of `side`. It is that of these weights: residual branches that start at zero reach farther once
    they are trained. The network is left as it was found, each submodule in its own mode.
    """
    kept, modes = next(network.parameters()).dtype, [(module, module.training) for module in network.modules()]
    length = max(3, side // network.stride) * network.stride
    try:
        network.double().eval()
        found = [_along(network, channels, length, dim) for dim in (2, 3)]
    finally:
        network.to(kept)
        for module, training in modes:
            module.training = training
    return None if None in found else max(one for one in found if one is not None)


def _along(network: Segmenter, channels: int, length: int, dim: int) -> int | None:
    """Return the reach along one axis of the image."""
    draws, stride = torch.Generator().manual_seed(0), network.stride
    sides = [_ACROSS * stride, _ACROSS * stride]
    sides[dim - 2] = length
    place = next(network.parameters()).device
    images = _strips(channels, sides, stride, draws).to(place).requires_grad_()
    first = length // 2 // stride * stride
    logits = network(images).narrow(dim, first, stride)
    weights = torch.randn(logits.shape, generator=draws, dtype=torch.float64).to(place)
    (slope,) = torch.autograd.grad((logits * weights).sum(), images)
    felt = slope.transpose(0, dim).flatten(1).any(1).nonzero()
    low, high = int(felt[0]), int(felt[-1])
    return None if low == 0 or high == length - 1 else max(0, first - low, high - first - stride + 1)


def _strips(channels: int, sides: list[int], stride: int, draws: torch.Generator) -> Float[Tensor, "b c h w"]:
    """Fine noise and noise in patches of the stride, each dark, middling and bright."""
    fine = torch.rand([3, channels, *sides], generator=draws, dtype=torch.float64)
    coarse = torch.rand([3, channels, *(side // stride for side in sides)], generator=draws, dtype=torch.float64)
    noise = torch.cat([fine, functional.interpolate(coarse, size=sides, mode="nearest")])
    light = torch.tensor([0.0, 0.35, 0.7] * 2, dtype=torch.float64)
    return light[:, None, None, None] + 0.3 * noise


@dataclass(frozen=True, slots=True)
class _Span:
    """Along one axis: the part of the image that a tile sees, the part that it decides, and its place in the tile."""

    seen: slice
    kept: slice
    within: slice


def _spans(side: int, tile: int, overlap: int) -> Iterator[_Span]:
    """From the first pixel to the last; the last tile ends with the image."""
    decided, start = 0, 0
    while decided < side:
        start = max(0, min(start, side - tile))
        stop = min(start + tile, side)
        until = side if stop == side else stop - overlap // 2
        yield _Span(slice(start, stop), slice(decided, until), slice(decided - start, until - start))
        decided, start = until, start + tile - overlap


def _check(network: Segmenter, tile: int, overlap: int) -> None:
    if network.training:
        raise SpecError("tiles are for a network in evaluation mode: in training its batch norms would see tiles apart")
    if overlap < 0 or tile <= overlap or tile % network.stride or overlap % (2 * network.stride):
        raise SpecError(
            f"tiles of {tile} pixels with an overlap of {overlap} do not fit a network of stride {network.stride}: the "
            f"tile must be a multiple of {network.stride} and above the overlap, which must be one of "
            f"{2 * network.stride}"
        )
