"""The adapter to segmentation-models-pytorch: its networks by name, with any of its encoders. Nothing is downloaded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import segmentation_models_pytorch as smp  # pyright: ignore[reportMissingTypeStubs]
import torch
from segmentation_models_pytorch.base import initialization  # pyright: ignore[reportMissingTypeStubs]
from torch import Tensor, nn

from assay.core.errors import SpecError
from assay.recipes.models import WEIGHTS, ArchitectureContext, InputScaling, initialise_by_name
from assay.recipes.randomness import library_draws
from assay.recipes.segmenter import EncoderDecoder, Seen, Segmenter, Stages, widths_of
from assay.recipes.smp_encoders import (
    check_encoder,
    input_hint,
    input_scaling,
    published_form,
    size_setting,
    take_up,
    widen,
)
from assay.recipes.weights.words import first_line

_STRIDE = 32
_LIBRARY, _LAWS = cast(Any, smp), cast(Any, initialization)
"""Without types of their own."""
_CANNOT = (AssertionError, AttributeError, KeyError, NotImplementedError, RuntimeError, TypeError, ValueError)
"""What the libraries raise for parts that do not go together."""
_LIBRARY_LAW = ("deeplabv3", "deeplabv3plus")
"""Networks whose decoder and head the library leaves as torch draws them."""


def smp_network(context: ArchitectureContext, *, network: str, encoder: str, in_chans: int) -> EncoderDecoder:
    """A network of segmentation-models-pytorch with its own default widths, as the library assembles it.

    The encoder's weights are drawn by their library, in its own order, from one generator of the seed; those of the
    decoder and the head by the library's law, each layer from (seed, its name).
    """
    parts = _Parts.of(context, network, encoder, in_chans, "trunk")
    return SmpSegmenter(parts, encoder, in_chans)


def w_net(context: ArchitectureContext, *, network: str, encoder: str, in_chans: int, auxiliary_weight: float) -> WNet:
    """Two networks in a row (Galdran et al. 2021): the second sees the image and the logits of the first.

    Both are trained: the first's logits are auxiliary ones, whose loss counts `auxiliary_weight` beside the second's 1
    (deep supervision; the published study has 1). Published weights start both encoders. Draws as in `smp_network`.
    """
    first = _Parts.of(context, network, encoder, in_chans, "trunk.0")
    second = _Parts.of(context, network, encoder, in_chans, "trunk.1")
    with library_draws(context.seed, WEIGHTS, "trunk.1.stem"):
        widen(second.encoder, in_chans + context.classes)
    return WNet(first, second, encoder, in_chans, context.classes, auxiliary_weight)


class _Parts:
    """What the library assembled, taken apart. setting: see `size_setting`."""

    def __init__(self, model: Any, side: int, channels: int, setting: Mapping[str, Any]) -> None:
        self.encoder = cast(nn.Module, model.encoder)
        self.decoder = cast(nn.Module, model.decoder)
        self.head = cast(nn.Conv2d, model.segmentation_head[0])
        self.enlarge = cast(nn.Module, model.segmentation_head[1])
        self.stride = int(model.encoder.output_stride)
        self.widths = widths_of(self.encoder, channels, side)
        self.setting = setting

    @classmethod
    def of(cls, context: ArchitectureContext, network: str, encoder: str, in_chans: int, name: str) -> _Parts:
        """One network, its weights drawn under a name. Raises SpecError where the library cannot make it."""
        check_encoder(encoder, in_chans, context)
        side = max(1, -(-context.size // _STRIDE)) * _STRIDE
        setting = size_setting(encoder, side)
        try:
            with library_draws(context.seed, WEIGHTS, name):
                model = _LIBRARY.create_model(
                    network, encoder, encoder_weights=None, in_channels=in_chans, classes=context.classes, **setting
                )
            parts = cls(model, side, in_chans, setting)
        except _CANNOT as error:
            raise SpecError(
                f"network '{network}' of segmentation-models-pytorch cannot be built on encoder '{encoder}' for images "
                f"of {context.size} x {context.size} pixels: {first_line(error)}"
            ) from error
        own = network not in _LIBRARY_LAW
        initialise_by_name(parts.decoder, context.seed, f"{name}.decoder", _LAWS.initialize_decoder if own else None)
        initialise_by_name(parts.head, context.seed, f"{name}.head", _LAWS.initialize_head if own else None)
        return parts


class SmpSegmenter(EncoderDecoder):
    """A network of the library. Its encoder starts from published weights through `published_form`."""

    def __init__(self, parts: _Parts, encoder: str, in_chans: int) -> None:
        scaling = input_scaling(encoder, in_chans)
        super().__init__(parts.encoder, parts.decoder, parts.head, parts.enlarge, scaling, parts.widths, parts.stride)
        self.input_hint = input_hint(encoder)
        self._setting = parts.setting

    def published(self) -> tuple[nn.Module, tuple[str, ...]]:
        """See `WithTrunk`."""
        return published_form(self.trunk, self.scaling.channels, self._setting)

    def take(self, loaded: nn.Module, strides: Mapping[str, int]) -> Mapping[str, int]:
        """See `WithTrunk`."""
        return take_up(self.trunk, loaded, strides)


class WNet(Segmenter):
    """Two networks in a row; see `w_net`. trunk: both encoders; features are those of the second's.

    Probed layers: `first_stages.0` and so on, `first_decoder`, then `stages.0` and so on, `decoder` of the second.
    """

    def __init__(
        self, first: _Parts, second: _Parts, encoder: str, in_chans: int, classes: int, auxiliary_weight: float
    ) -> None:
        scaling: InputScaling = input_scaling(encoder, in_chans)
        both = nn.ModuleList([first.encoder, second.encoder])
        super().__init__(both, scaling, second.widths[-1], first.stride)
        self.auxiliary_weight = auxiliary_weight
        self.input_hint = input_hint(encoder)
        self._setting = first.setting
        self.first_stages, self.stages = Stages(len(first.widths)), Stages(len(second.widths))
        self.first_decoder, self.first_head = first.decoder, first.head
        self.decoder, self.head, self.enlarge = second.decoder, second.head, second.enlarge
        self.layers = (
            *(f"first_stages.{number}" for number in range(len(first.widths))),
            "first_decoder",
            *(f"stages.{number}" for number in range(len(second.widths))),
            "decoder",
        )

    def look(self, images: Tensor) -> Seen:
        """See `Segmenter`."""
        encoders = self._encoders()
        maps = encoders[0](images)
        self.first_stages(images, maps)
        early = self.enlarge(self.first_head(self.first_decoder(maps)))
        both = torch.cat([images, early], dim=1)
        maps = encoders[1](both)
        deepest = self.stages(both, maps)
        return Seen(deepest, self.enlarge(self.head(self.decoder(maps))), (early,))

    def published(self) -> tuple[nn.Module, tuple[str, ...]]:
        """See `WithTrunk`: of one encoder, for both."""
        return published_form(self._encoders()[0], self.scaling.channels, self._setting)

    def take(self, loaded: nn.Module, strides: Mapping[str, int]) -> Mapping[str, int]:
        """See `WithTrunk`."""
        return {
            f"{number}.{name}": stride
            for number, encoder in enumerate(self._encoders())
            for name, stride in take_up(encoder, loaded, strides).items()
        }

    def _encoders(self) -> nn.ModuleList:
        return cast(nn.ModuleList, self.trunk)
