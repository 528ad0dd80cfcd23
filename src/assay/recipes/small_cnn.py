"""The small strided network that studies on a CPU use."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

from torch import nn

from assay.core.errors import SpecError
from assay.recipes.models import ArchitectureContext, Classifier, InputScaling, initialise_by_name

SMALLEST_SIDE = 16


def small_cnn(context: ArchitectureContext, *, width: int, in_chans: Literal[1, 3] | None = None) -> Classifier:
    """Four blocks of a 3x3 convolution with stride 2, batch norm and ReLU; then the mean over places.

    The blocks have 1, 2, 4 and 8 times `width` channels; 24,634 parameters for grey images and 2 classes. Weights
    follow torch's own law. Probed layers: block1 to block4, and the pooled features. in_chans: input channels, those of
    the images unless said; with 3 grey images are repeated, so that a start on grey images serves colour ones.
    """
    if context.size < SMALLEST_SIDE:
        raise SpecError(
            f"architecture 'small-cnn' cannot take images of {context.size} x {context.size} pixels: its four strides "
            f"leave nothing; choose a size of at least {SMALLEST_SIDE}"
        )
    channels = in_chans or context.channels
    if context.channels not in (1, channels):
        raise SpecError(
            f"architecture 'small-cnn' was asked to take {channels} channel(s) and the images have {context.channels}; "
            f"set in_chans: {context.channels}"
        )
    widths = [channels, *(width * 2**block for block in range(4))]
    trunk = nn.Sequential()
    for number, (before, after) in enumerate(pairwise(widths), start=1):
        trunk.add_module(f"block{number}", _block(before, after))
    trunk.add_module("pool", nn.AdaptiveAvgPool2d(1))
    trunk.add_module("flat", nn.Flatten())
    layers = ("block1", "block2", "block3", "block4")
    network = Classifier(trunk, widths[-1], layers, InputScaling(channels), context.classes)
    initialise_by_name(network, context.seed)
    return network


def _block(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, kernel_size=3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(inplace=True),
    )
