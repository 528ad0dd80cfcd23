"""Tensors copied into a module of the same names, and a start copied into a trunk with all that belongs to it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from torch import nn

from assay.core.errors import WeightsError
from assay.recipes.untyped import named_layers
from assay.recipes.weights.files import WeightsFile
from assay.recipes.weights.match import Match, refuse_misfit


@dataclass(frozen=True, slots=True)
class Start:
    """What became of a weights file: said in the log, kept with the trained weights.

    file: its name, or where it was published. layout: how its keys are named. prefix: what stood before them.
    loaded: number of tensors. left_out: parts of the file that are not in the trunk, by name. drawn: parts of the
    network beside the trunk, which are drawn from the seed. scaling: what happens to an image in [0, 1]. epsilon: of
    the batch norms, when the file's network has another than the architecture. strides: of the convolutions that stride
    otherwise than the architecture's. positions: how position embeddings of another image size were resampled, `14x14
    to 4x4` patches; empty when they fitted or there are none.
    """

    file: str
    layout: str
    prefix: str
    loaded: int
    left_out: tuple[str, ...]
    drawn: tuple[str, ...]
    scaling: str
    epsilon: float | None
    strides: Mapping[str, int]
    positions: str

    def text(self) -> str:
        """As JSON, keys sorted."""
        return json.dumps(asdict(self), sort_keys=True)


def start_of(network: nn.Module) -> Start | None:
    """What became of the weights file that a network was loaded from; None after a random start."""
    start = getattr(network, "start", None)
    return start if isinstance(start, Start) else None


def load_into(module: nn.Module, file: WeightsFile) -> None:
    """Copy tensors into a module of the same keys. Counters of batch-norm batches may be missing: they decide nothing.

    Raises WeightsError that lists every missing, unexpected and wrong-shaped key.
    """
    state = module.state_dict()
    refuse_misfit(file, state, file.tensors, [key for key in file.tensors if key not in state])
    module.load_state_dict(dict(file.tensors), strict=False)


def load_trunk(trunk: nn.Module, found: Match) -> dict[str, int]:
    """Copy a matched file into a trunk and make the trunk compute what the file's network computes.

    Returns the strides that were changed, by the name of the convolution. Raises WeightsError where the architecture
    cannot compute it.
    """
    strides = _changed_strides(trunk, found)
    trunk.load_state_dict(dict(found.tensors), strict=False)
    set_strides(trunk, strides)
    if found.layout.epsilon is not None:
        set_epsilon(trunk, found.layout.epsilon)
    return strides


def _changed_strides(trunk: nn.Module, found: Match) -> dict[str, int]:
    """The strides in which the file's network differs from the trunk. Raises WeightsError."""
    strides: dict[str, int] = {}
    if found.layout.stem_stride is not None:
        strides[first_convolution(trunk)] = found.layout.stem_stride
    if found.layout.stride_first:
        for stage in (2, 3, 4):
            first, second = (trunk.get_submodule(f"layer{stage}.0.conv{number}") for number in (1, 2))
            if _stride(first) != 1 or _stride(second) != 2:
                raise WeightsError(
                    f"weights of '{found.layout.name}' need a ResNet with bottlenecks that stride by 2 in their 3x3 "
                    "convolution, which is then moved to the first one; use architecture: {timm: {model: resnet50}}"
                )
            strides |= {f"layer{stage}.0.conv1": 2, f"layer{stage}.0.conv2": 1}
    return strides


def set_strides(trunk: nn.Module, strides: Mapping[str, int]) -> None:
    """Let convolutions stride by these numbers of pixels, both ways."""
    for name, stride in strides.items():
        layer = trunk.get_submodule(name)
        assert isinstance(layer, nn.Conv2d)
        layer.stride = (stride, stride)


def set_epsilon(trunk: nn.Module, epsilon: float) -> None:
    """Let every batch norm add this to the variance."""
    for layer in trunk.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.eps = epsilon


def first_convolution(trunk: nn.Module) -> str:
    """The name of the convolution that sees the image."""
    for name, layer in named_layers(trunk):
        if isinstance(layer, nn.Conv2d):
            return name
    raise WeightsError("the architecture has no convolution that sees the image")


def _stride(layer: nn.Module) -> int:
    assert isinstance(layer, nn.Conv2d)
    return layer.stride[0]
