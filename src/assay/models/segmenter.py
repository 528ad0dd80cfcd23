"""Segmentation networks: encoder and decoder, and the small U-Net."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
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
