"""From Keras's names, axes and biases to those of timm's networks. Nothing is dropped: biases are folded exactly."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from assay.core.errors import WeightsError

_KINDS = {
    "kernel": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
_BLOCK = re.compile(r"^conv(\d)_block(\d+)_(\d)_(conv|bn)$")
_BIASED = re.compile(r"^(?:(.*\.)?conv(\d)|(.*\.)?downsample\.0)\.bias$")


def keras_resnet_name(key: str) -> str:
    """`conv3_block1_0_bn.gamma` of `keras.applications.ResNet50` to timm's `layer2.0.downsample.1.weight`."""
    layer, _, kind = key.rpartition(".")
    kind = _KINDS.get(kind, kind)
    if layer in ("conv1_conv", "conv1_bn"):
        return f"{'conv1' if layer == 'conv1_conv' else 'bn1'}.{kind}"
    found = _BLOCK.match(layer)
    if found is None:
        return f"{layer}.{kind}"
    stage, block, number, what = int(found[1]) - 1, int(found[2]) - 1, int(found[3]), found[4]
    shortcut = {"conv": "downsample.0", "bn": "downsample.1"}[what]
    return f"layer{stage}.{block}.{shortcut if number == 0 else f'{what}{number}'}.{kind}"


def keras_densenet_name(key: str) -> str:
    """`conv2_block1_0_bn.gamma` of `keras.applications.DenseNet121` to `features.denseblock1.denselayer1.norm1.weight`.

    In a dense layer Keras numbers the first batch norm 0 and the second 1.
    """
    layer, _, kind = key.rpartition(".")
    kind = _KINDS.get(kind, kind)
    ends = {"conv1.conv": "conv0", "conv1.bn": "norm0", "conv1_conv": "conv0", "conv1_bn": "norm0", "bn": "norm5"}
    if layer in ends:
        return f"features.{ends[layer]}.{kind}"
    transition = re.match(r"^pool(\d)_(conv|bn)$", layer)
    if transition is not None:
        return f"features.transition{int(transition[1]) - 1}.{'conv' if transition[2] == 'conv' else 'norm'}.{kind}"
    found = _BLOCK.match(layer)
    if found is None:
        return f"{layer}.{kind}"
    number = int(found[3]) if found[4] == "conv" else int(found[3]) + 1
    what = "conv" if found[4] == "conv" else "norm"
    return f"features.denseblock{int(found[1]) - 1}.denselayer{found[2]}.{what}{number}.{kind}"


def to_torch_axes(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Kernels of convolutions from (height, width, in, out) to (out, in, height, width), of dense layers transposed."""
    order = {4: (3, 2, 0, 1), 2: (1, 0)}
    return {
        key: value.permute(order[value.ndim]).contiguous() if value.ndim in order else value
        for key, value in tensors.items()
    }


def fold_biases(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Biases of a ResNet's convolutions taken into the batch norms that follow them.

    Batch norm subtracts the mean of what it is given, so W x + b with the mean m is W x with the mean m - b: the same
    network, both in evaluation and in training, where the batch's own mean takes the bias away.
    Raises WeightsError when a bias has no batch norm after it.
    """
    folded = dict(tensors)
    for key in tensors:
        found = _BIASED.match(key)
        if found is None:
            continue
        mean = (
            f"{found[1] or ''}bn{found[2]}.running_mean" if found[2] else f"{found[3] or ''}downsample.1.running_mean"
        )
        if mean not in folded or folded[mean].shape != tensors[key].shape:
            raise WeightsError(f"the bias '{key}' cannot be folded: no batch norm with a mean '{mean}' of its length")
        folded[mean] = (folded[mean].double() - folded.pop(key).double()).float()
    return folded
