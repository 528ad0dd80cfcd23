"""Which network a weights file looks like, for the sentence that refuses it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from torch import Tensor

_RESNETS: Mapping[tuple[int, tuple[int, ...]], str] = {
    (2, (2, 2, 2, 2)): "ResNet-18",
    (2, (3, 4, 6, 3)): "ResNet-34",
    (3, (2, 2, 2, 2)): "ResNet-26",
    (3, (3, 4, 6, 3)): "ResNet-50",
    (3, (3, 4, 23, 3)): "ResNet-101",
    (3, (3, 8, 36, 3)): "ResNet-152",
}
"""By convolutions of a block and blocks of each stage."""
_RESNET_KEYS = (
    r"(?:^|\.)layer([1-4])\.(\d+)\.(.+)\.\w+$",
    r"(?:^|\.)([4-7])\.(\d+)\.(.+)\.\w+$",
    r"(?:^|\.)conv([2-5])_block(\d+)_(.+)\.\w+$",
)
"""Stage, block and part of a key: of timm and torchvision, numbered, of Keras."""
_PLAIN = re.compile(r"(conv|bn)[123]|downsample\.[01]|[0-3]_(conv|bn)")
"""The parts of a ResNet's blocks; its kin have others (attention, pooled shortcuts, batch norm first)."""
_WIDTH = 64
"""Of the first convolution of a ResNet's narrowest block."""
_DENSENETS: Mapping[tuple[int, ...], str] = {
    (6, 12, 24, 16): "DenseNet-121",
    (6, 12, 32, 32): "DenseNet-169",
    (6, 12, 48, 32): "DenseNet-201",
    (6, 12, 36, 24): "DenseNet-161",
}
_MARKS = (
    (r"(^|\.)block12\.(rep|conv3)|block14_sepconv2", "an Xception"),
    (r"(^|\.)Mixed_7c\.", "an Inception v3"),
    (r"relative_position_bias_table", "a Swin transformer"),
    (r"(^|\.)blocks\.\d+\.attn\.qkv\.", "a vision transformer"),
    (r"(^|\.)encoder\.layers\.encoder_layer_0\.", "torchvision's vision transformer"),
    (r"(^|\.)stages\.\d\.blocks\.\d+\.(gamma|conv_dw)", "a ConvNeXt"),
    (r"(^|\.)blocks\.\d\.\d\.conv_(pw|dw|pwl)\.|_blocks\.\d+\._depthwise_conv", "an EfficientNet or MobileNet"),
    (r"(^|[._])res2a_branch2a", "the Keras ResNet-50 of before 2019"),
    (
        r"^(mixed|batch_normalization|conv2d)(_\d+)?\.",
        "a Keras Inception, whose pooling timm does otherwise at the border",
    ),
    (r"(^|\.)features\.28\.weight|block5_conv1", "a VGG"),
    (r"(^|\.)(down|up|ups|downs|decoder)\d?\.", "a U-Net"),
)


def looks_like(tensors: Mapping[str, Tensor]) -> str:
    """The network that the keys and shapes are of, as `a ResNet-50`; empty when it cannot be known."""
    for family in (_resnet, _densenet):
        name = family(tensors)
        if name:
            return f"a {name}"
    return next((name for mark, name in _MARKS if any(re.search(mark, key) for key in tensors)), "")


def _resnet(tensors: Mapping[str, Tensor]) -> str:
    """By its name only where blocks have the parts and the width that it has; else by its blocks."""
    for pattern in _RESNET_KEYS:
        found = [(match, value) for key, value in tensors.items() if (match := re.search(pattern, key))]
        parts = {match[3] for match, _ in found}
        first = "conv1" if "conv1" in parts else "1_conv"
        blocks = {(int(match[1]), int(match[2])) for match, _ in found if first in parts}
        counts = tuple(sum(of == stage for of, _ in blocks) for stage in sorted({stage for stage, _ in blocks}))
        convolutions = 3 if {"conv3", "3_conv"} & parts else 2
        if len(counts) != 4 or (first == "1_conv" and convolutions == 2):  # Keras's DenseNets have two
            continue
        name = _RESNETS.get((convolutions, counts), "")
        widths = {value.shape[0 if first == "conv1" else -1] for match, value in found if match[3] == first}
        if name and min(widths) == _WIDTH and all(_PLAIN.fullmatch(part) for part in parts):
            return name
        told = f"{', '.join(map(str, counts[:-1]))} and {counts[-1]} blocks"
        return f"ResNet of {told} with {'three' if convolutions == 3 else 'two'} convolutions each"
    return ""


def _densenet(tensors: Mapping[str, Tensor]) -> str:
    counts = _blocks(tensors, r"denseblock(\d)\.denselayer(\d+)\.")
    counts = counts or _blocks(tensors, r"(?:^|\.)conv([2-5])_block(\d+)_2_conv\.")
    return _DENSENETS.get(tuple(counts), "")


def _blocks(keys: Iterable[str], pattern: str) -> list[int]:
    """The largest block number of each stage."""
    largest: dict[int, int] = {}
    for key in keys:
        found = re.search(pattern, key)
        if found:
            stage = int(found[1])
            largest[stage] = max(largest.get(stage, 0), int(found[2]))
    return [largest[stage] for stage in sorted(largest)]
