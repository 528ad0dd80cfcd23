"""The small U-Net that segmentation studies on a CPU use."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from assay.recipes.models import ArchitectureContext, InputScaling, initialise_by_name
from assay.recipes.segmenter import EncoderDecoder, Maps

STRIDE = 16
_MULTIPLES = (1, 2, 4, 6)


def small_unet(context: ArchitectureContext, *, width: int) -> EncoderDecoder:
    """A U-Net (Ronneberger et al. 2015) of four stages at 1/2, 1/4, 1/8 and 1/16 of the size.

    The stages have 1, 2, 4 and 6 times `width` channels, 8-16-32-48 by default: two 3x3 convolutions each, the first
    with stride 2; 84,714 parameters for grey images and 2 classes. On the way up the map is doubled (nearest), put
    beside the stage's and convolved once. Logits of a 1x1 convolution at half the size are doubled bilinearly. Batch
    norm and ReLU follow every 3x3 convolution. Weights follow torch's own law. Images of any size: a side that is no
    multiple of 16 is continued (see `Segmenter`).
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
    initialise_by_name(network, context.seed)
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
