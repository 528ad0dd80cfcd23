"""How libraries name the layers of the same networks, and what their networks do otherwise than timm's.

A layout turns the keys of a file into timm's. It is chosen by a key that only such files hold, its mark.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from assay.recipes.weights.keras import fold_biases, keras_densenet_name, keras_resnet_name, to_torch_axes

KERAS_EPSILON = 1.001e-5
"""Of the batch norms of Keras's ResNets and DenseNets; torch's is 1e-5."""

Rename = Callable[[str], str]
Convert = Callable[[Mapping[str, Tensor]], dict[str, Tensor]]


@dataclass(frozen=True, slots=True)
class Layout:
    """One way to name the layers of a network.

    name: as it is said in the record. mark: a key of every such file, without its prefix; empty for timm's own layout,
        whose mark is the first key of the network. rename: a key, without its prefix, to timm's. convert: values that
        timm's network stores otherwise, under timm's names. heads: names of layers on top.
    epsilon: of every batch norm, if it is not what timm builds. stride_first: ResNets whose blocks stride in the first
        convolution (He et al. 2016), not in the 3x3 one as timm's do. stem_stride: of the first convolution.
    input_hint: what to say when the file's input scaling is asked for; empty where timm's configuration of the
        architecture describes such files.
    by_name: never chosen by what is in a file, since files do not show it.
    """

    name: str
    mark: str = ""
    rename: Rename = str
    convert: Convert = dict
    heads: Sequence[str] = ()
    epsilon: float | None = None
    stride_first: bool = False
    stem_stride: int | None = None
    input_hint: str = ""
    by_name: bool = False


def _by_rules(*rules: tuple[str, str]) -> Rename:
    """A renaming by the first regular expression that is found, else none."""
    compiled = [(re.compile(pattern), into) for pattern, into in rules]

    def rename(key: str) -> str:
        for pattern, into in compiled:
            if pattern.search(key):
                return pattern.sub(into, key, count=1)
        return key

    return rename


def _numbered(names: Mapping[int, str]) -> Rename:
    """A renaming of the children of a `Sequential`, which have numbers, to the names that they had."""
    return _by_rules(*((rf"^{number}\.", f"{name}.") for number, name in names.items()))


_INCEPTION = (
    *("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "", "Conv2d_3b_1x1", "Conv2d_4a_3x3", ""),
    *("Mixed_5b", "Mixed_5c", "Mixed_5d", "Mixed_6a", "Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"),
    *("Mixed_7a", "Mixed_7b", "Mixed_7c"),
)
_NUMBERED_HINT = "symmetric for RadImageNet's .pt files, imagenet for most others"
_KERAS_HINT = "caffe for Keras's own ResNets, imagenet for its DenseNets, caffe-255 for RadImageNet's Keras files"
_MONAI_HINT = "MONAI fixes none: take what the training used"

LAYOUTS: tuple[Layout, ...] = (
    Layout(
        "Keras ResNet, ported to PyTorch",
        mark="layer1.0.conv1.bias",
        convert=fold_biases,
        heads=("fc",),
        epsilon=KERAS_EPSILON,
        stride_first=True,
        input_hint=_KERAS_HINT,
    ),
    Layout(
        "Keras ResNet",
        mark="conv2_block1_1_conv.kernel",
        rename=keras_resnet_name,
        convert=lambda tensors: fold_biases(to_torch_axes(tensors)),
        heads=("probs", "predictions", "fc1000"),
        epsilon=KERAS_EPSILON,
        stride_first=True,
        input_hint=_KERAS_HINT,
    ),
    Layout(
        "Keras DenseNet",
        mark="conv2_block1_1_conv.kernel",
        rename=keras_densenet_name,
        convert=to_torch_axes,
        heads=("probs", "predictions", "fc1000"),
        epsilon=KERAS_EPSILON,
        input_hint=_KERAS_HINT,
    ),
    Layout(
        "numbered children of a ResNet",
        mark="4.0.conv1.weight",
        rename=_numbered({0: "conv1", 1: "bn1", 4: "layer1", 5: "layer2", 6: "layer3", 7: "layer4", 9: "fc"}),
        heads=("fc",),
        input_hint=_NUMBERED_HINT,
    ),
    Layout(
        "numbered children of a DenseNet",
        mark="0.denseblock1.denselayer1.norm1.weight",
        rename=_numbered({0: "features", 1: "classifier"}),
        heads=("classifier",),
        input_hint=_NUMBERED_HINT,
    ),
    Layout(
        "numbered children of an Inception v3",
        mark="7.branch1x1.conv.weight",
        rename=_numbered({number: name for number, name in enumerate(_INCEPTION) if name}),
        input_hint=_NUMBERED_HINT,
    ),
    Layout(
        "MONAI DenseNet",
        mark="features.denseblock1.denselayer1.layers.norm1.weight",
        rename=_by_rules((r"(denselayer\d+)\.layers\.", r"\1."), (r"^class_layers\.out\.", "classifier.")),
        heads=("classifier",),
        input_hint=_MONAI_HINT,
    ),
    Layout(
        "MONAI ResNet",
        mark="layer1.0.conv1.weight",
        heads=("fc",),
        stem_stride=1,
        input_hint=_MONAI_HINT,
        by_name=True,
    ),
    Layout(
        "torchvision DenseNet of before 2019",
        mark="features.denseblock1.denselayer1.norm.1.weight",
        rename=_by_rules((r"(denselayer\d+\.(?:norm|conv))\.(\d)\.", r"\1\2.")),
        heads=("classifier",),
    ),
    Layout("timm or torchvision", heads=("fc", "classifier", "head", "AuxLogits")),
)

SLUGS: Mapping[str, str] = {"monai-resnet": "MONAI ResNet"}
"""What a spec calls the layouts that files do not show."""
