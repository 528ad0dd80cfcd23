"""MONAI's two-dimensional segmentation networks that are an encoder, a decoder and a convolution."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated, Any, Literal, cast

from pydantic import Field
from torch import Tensor, nn

from assay.core.errors import extra
from assay.core.registry import component
from assay.core.traits import ArchitectureTraits
from assay.models.networks import (
    ArchitectureContext,
    EncoderDecoder,
    InputScaling,
    Maps,
    initialize_by_name,
    refuse_smaller,
    run_steps,
    widths_of,
)

with extra("monai"):
    from monai.networks.nets.basic_unet import BasicUNet
    from monai.networks.nets.dynunet import DynUNet
    from monai.networks.nets.segresnet import SegResNet

_DEEP = 16
"""Stride of the deepest map of the U-Nets."""


@component(
    "architecture",
    "monai",
    ArchitectureTraits(tasks=("segmentation",)),
    summary="a two-dimensional segmentation network of MONAI: basic-unet, dynunet or segresnet",
)
def monai_network(
    context: ArchitectureContext,
    *,
    network: Annotated[Literal["basic-unet", "dynunet", "segresnet"], Field(description="which of them")],
) -> EncoderDecoder:
    """Return a two-dimensional network of MONAI, with the widths that are its defaults.

    `basic-unet`: BasicUNet, instance norm (Falk et al. 2019). `dynunet`: DynUNet, the U-Net of nnU-Net (Isensee et al.
    2021), five levels from 32 to 512 channels, instance norm, without deep supervision. `segresnet`: SegResNet, a
    residual encoder and a smaller decoder, group norm (Myronenko 2018). Each layer's weights are drawn by the network's
    own law from (seed, its name). Instance norm needs two places: the U-Nets refuse images of 16 pixels or less.

    Examples:
        >>> context = ArchitectureContext(channels=1, size=32, classes=2, seed=0)
        >>> network = monai_network(context, network="segresnet")
        >>> len(network.stages), network.layers[-1]
        (4, 'decoder')
    """
    make, smallest = _NETWORKS[network]
    refuse_smaller(f"monai(network={network})", context, smallest, "its deepest map would be a single place")
    model = make(context)
    law = cast(Any, DynUNet).initialize_weights if network == "dynunet" else None
    initialize_by_name(model, context.seed, law=law)
    return model


class Descent(nn.Module):
    """Steps in a row, each from the map of the one before; all their maps."""

    def __init__(self, steps: Iterable[nn.Module]) -> None:
        super().__init__()
        self.steps = nn.ModuleList(steps)

    def forward(self, images: Tensor) -> list[Tensor]:
        """From shallow to deep."""
        return run_steps(self.steps, images)


class Ascent(nn.Module):
    """Steps that take the map from below and the encoder's own at that level; `last` follows them."""

    def __init__(self, steps: Iterable[nn.Module], last: nn.Module) -> None:
        super().__init__()
        self.steps = nn.ModuleList(steps)
        self.last = last

    def forward(self, maps: Maps) -> Tensor:
        """From deep to shallow."""
        *shallow, deep = maps
        for step, skip in zip(self.steps, reversed(shallow), strict=True):
            deep = step(deep, skip)
        return self.last(deep)


class SkipAddition(nn.Module):
    """The map from below, enlarged, plus the encoder's own, then convolved."""

    def __init__(self, enlarge: nn.Module, convolve: nn.Module) -> None:
        super().__init__()
        self.enlarge = enlarge
        self.convolve = convolve

    def forward(self, deep: Tensor, skip: Tensor) -> Tensor:
        """Return a step of `Ascent`."""
        return self.convolve(self.enlarge(deep) + skip)


def _basic_unet(context: ArchitectureContext) -> EncoderDecoder:
    unet: Any = BasicUNet(spatial_dims=2, in_channels=context.channels, out_channels=context.classes)
    down = (unet.conv_0, unet.down_1, unet.down_2, unet.down_3, unet.down_4)
    up = (unet.upcat_4, unet.upcat_3, unet.upcat_2, unet.upcat_1)
    return _join_up_and_down(context, Descent(down), Ascent(up, nn.Identity()), unet.final_conv, _DEEP)


def _dynunet(context: ArchitectureContext) -> EncoderDecoder:
    unet: Any = DynUNet(
        spatial_dims=2,
        in_channels=context.channels,
        out_channels=context.classes,
        kernel_size=(3, 3, 3, 3, 3),
        strides=(1, 2, 2, 2, 2),
        upsample_kernel_size=(2, 2, 2, 2),
    )
    down = (unet.input_block, *unet.downsamples, unet.bottleneck)
    return _join_up_and_down(
        context, Descent(down), Ascent(unet.upsamples, nn.Identity()), unet.output_block.conv.conv, _DEEP
    )


def _segresnet(context: ArchitectureContext) -> EncoderDecoder:
    segresnet: Any = SegResNet(spatial_dims=2, in_channels=context.channels, out_channels=context.classes)
    first, *deeper = segresnet.down_layers
    up = (SkipAddition(*pair) for pair in zip(segresnet.up_samples, segresnet.up_layers, strict=True))
    norm, activation, head = segresnet.conv_final
    ascent = Ascent(up, nn.Sequential(norm, activation))
    return _join_up_and_down(
        context, Descent((nn.Sequential(segresnet.convInit, first), *deeper)), ascent, head.conv, 8
    )


def _join_up_and_down(
    context: ArchitectureContext, down: nn.Module, up: nn.Module, head: nn.Conv2d, stride: int
) -> EncoderDecoder:
    widths = widths_of(down, context.channels, 2 * stride)
    return EncoderDecoder(down, up, head, nn.Identity(), InputScaling(context.channels), widths, stride)


_NETWORKS: dict[str, tuple[Callable[[ArchitectureContext], EncoderDecoder], int]] = {
    "basic-unet": (_basic_unet, _DEEP + 1),
    "dynunet": (_dynunet, _DEEP + 1),
    "segresnet": (_segresnet, 1),
}
