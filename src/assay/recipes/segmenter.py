"""Segmentation networks: input scaling, an encoder, a decoder, and a head that makes logits for every pixel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from assay.core.errors import SpecError
from assay.recipes.models import ArchitectureContext, InputScaling, WithTrunk
from assay.recipes.network import Outputs

Maps = Sequence[Tensor]
"""What an encoder gives: maps [b, d, h, w] from shallow to deep; the images themselves may stand first."""


class Stages(nn.ModuleList):
    """The places where probes read an encoder's maps, from shallow to deep. The maps pass unchanged.

    Maps that are the encoder's own input, or have no channels (both are what some libraries begin with), are no stages.
    """

    def __init__(self, count: int) -> None:
        super().__init__(nn.Identity() for _ in range(count))

    def forward(self, images: Tensor, maps: Maps) -> Tensor:
        """The deepest map."""
        passed = [place(given) for place, given in zip(self, own_maps(images, maps), strict=True)]
        return passed[-1]


def own_maps(images: Tensor, maps: Maps) -> list[Tensor]:
    """The maps that an encoder made of its input; see `Stages`."""
    return [one for one in maps if one is not images and one.shape[1] > 0]


@dataclass(frozen=True, slots=True)
class Seen:
    """What a pass says of images whose sides are multiples of the stride.

    deepest: the encoder's last map. logits, and each of auxiliary: [b, k, h, w] at the size of the images.
    """

    deepest: Tensor
    logits: Tensor
    auxiliary: tuple[Tensor, ...] = ()


class Segmenter(WithTrunk):
    """A `Network` that says for every pixel which class it is of.

    Images of any size are taken: sides that are no multiples of `stride` are continued at the right and at the bottom
    by repeating their last pixels, and the logits are cut back. Pooled features are the mean of the encoder's deepest
    map over its places, those of the continuation among them. head: the convolution whose output are the logits; its
    size is the library's own where the network is one of a library. auxiliary_weight: of each further map of logits
    (deep supervision) in the loss, the main one having 1.
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
    """A `Segmenter` with one encoder (its trunk), one decoder (maps -> one map), a head, and what brings the head's
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
