"""Which network a weights file looks like, for the sentence that refuses it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from torch import Tensor

_RESNETS: Mapping[tuple[int, ...], str] = {
    (2, 2, 2, 2): "ResNet-18",
    (3, 4, 6, 3): "ResNet-34",
    (3, 4, 23, 3): "ResNet-101",
    (3, 8, 36, 3): "ResNet-152",
}
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
    counts, offset = _blocks(tensors, r"(?:^|\.)layer(\d)\.(\d+)\.conv1\."), 0
    if not counts:
        counts, offset = _blocks(tensors, r"(?:^|\.)([4-7])\.(\d+)\.conv1\."), 0
    if not counts:
        counts, offset = _blocks(tensors, r"(?:^|\.)conv([2-5])_block(\d+)_3_conv\."), 1
    name = _RESNETS.get(tuple(count + 1 - offset for count in counts), "")
    bottleneck = offset == 1 or any(re.search(r"\.0\.conv3\.", key) for key in tensors)
    return "ResNet-50" if name == "ResNet-34" and bottleneck else name


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
