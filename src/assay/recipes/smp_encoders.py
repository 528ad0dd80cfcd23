"""Encoders of segmentation-models-pytorch: which there are, how they scale images, and how they start from weights.

Encoders named `tu-...` are networks of the timm library cut off before their last layers. Weights are loaded into the
timm network itself, without what the encoder lacks, and brought over from there: so files are read, accounted for and
refused as they are in classification.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, cast

import timm
import torch
from segmentation_models_pytorch.encoders import (  # pyright: ignore[reportMissingTypeStubs]
    TimmUniversalEncoder,
    get_encoder_names,  # pyright: ignore[reportUnknownVariableType]
)
from torch import Tensor, nn

from assay.core.errors import SpecError, WeightsError, unknown_name
from assay.recipes.models import ArchitectureContext, InputScaling
from assay.recipes.timm_models import classifier_names, configuration_of, default_configuration
from assay.recipes.untyped import named_layers
from assay.recipes.weights.load import first_convolution, set_strides
from assay.recipes.weights.scaling import IMAGENET_MEAN, IMAGENET_SD

_TIMM = "tu-"
_OF_TORCHVISION = ("resnet", "resnext50_32x4d", "resnext101_32x8d", "vgg", "densenet", "mobilenet_v2")
_HINT = "imagenet for most published weights, symmetric for those of an Inception or an Xception"


def check_encoder(name: str, in_chans: int, context: ArchitectureContext) -> None:
    """Raises SpecError for an unknown encoder, with the nearest name, and for images that it cannot take."""
    if not (timm.is_model(name.removeprefix(_TIMM)) if name.startswith(_TIMM) else name in _own_names()):
        known = [*_own_names(), *(f"{_TIMM}{model}" for model in timm.list_models())]
        raise SpecError(unknown_name("encoder", name, known))
    if context.channels not in (1, in_chans):
        raise SpecError(
            f"encoder '{name}' was asked to take {in_chans} channel(s) and the images have {context.channels}; "
            f"set in_chans: {context.channels}"
        )


def _own_names() -> list[str]:
    """The library's own encoders, but for those that it has given up for timm's."""
    return [name for name in cast(list[str], get_encoder_names()) if not name.startswith("timm-")]


def input_scaling(name: str, in_chans: int) -> InputScaling:
    """As timm's configuration of the network says; ImageNet's for the library's own encoders."""
    given: Mapping[str, Any] = configuration_of(name.removeprefix(_TIMM)) if name.startswith(_TIMM) else {}
    if name.startswith(_TIMM) and "mean" not in given:
        return InputScaling(in_chans)
    return InputScaling(in_chans, given.get("mean", IMAGENET_MEAN), given.get("std", IMAGENET_SD))


def input_hint(name: str) -> str:
    """See `WithTrunk`: the library's own encoders have weights from many places, of which torchvision's are known."""
    return "" if name.startswith((_TIMM, *_OF_TORCHVISION)) else _HINT


def size_setting(name: str, side: int) -> dict[str, Any]:
    """What timm must be told of the images' side, for networks that are built for one size."""
    fixed = name.startswith(_TIMM) and bool(configuration_of(name.removeprefix(_TIMM)).get("fixed_input_size", False))
    return {"img_size": side} if fixed else {}


def published_form(encoder: nn.Module, in_chans: int, setting: Mapping[str, Any]) -> tuple[nn.Module, tuple[str, ...]]:
    """The network that published weights of an encoder name, without what the encoder lacks; and the names of that.

    setting: see `size_setting`. For one of the library's own encoders, a copy.
    """
    if not isinstance(encoder, TimmUniversalEncoder):
        return copy.deepcopy(encoder), ()
    whole = timm.create_model(encoder.name, pretrained=False, num_classes=0, in_chans=in_chans, **setting)  # pyright: ignore[reportUnknownMemberType]
    used = set(published_names(encoder, whole).values())
    return whole, (*classifier_names(default_configuration(whole)), *_cut(whole, used))


def take_up(encoder: nn.Module, loaded: nn.Module, strides: Mapping[str, int]) -> dict[str, int]:
    """Give an encoder the weights of `published_form`, with the epsilons of its batch norms and the changed strides.

    An encoder that sees more channels than `loaded` repeats the first convolution's kernels over them in turn, all
    times the share of channels that there were, as timm and the library do. Returns the strides by the encoder's names.
    Raises WeightsError for strides that would give maps of other sizes than the decoder takes.
    """
    names, given = published_names(encoder, loaded), loaded.state_dict()
    stem = f"{first_convolution(encoder)}.weight"
    tensors = {key: given[name] for key, name in names.items()}
    tensors[stem] = repeated(tensors[stem], encoder.state_dict()[stem].shape[1])
    nn.Module.load_state_dict(encoder, tensors)
    layers = dict(named_layers(loaded))
    for name, layer in named_layers(encoder):
        if isinstance(layer, nn.BatchNorm2d):
            owner = names[f"{name}.running_mean"].rpartition(".")[0]
            layer.eps = cast(nn.BatchNorm2d, layers[owner]).eps
    own = {name: key for key, name in names.items()}
    changed = {own[f"{name}.weight"].rpartition(".")[0]: stride for name, stride in strides.items()}
    dilated = any(isinstance(one, nn.Conv2d) and max(one.dilation) > 1 for one in encoder.modules())
    if changed and (dilated or first_convolution(encoder) in changed):
        raise WeightsError(
            "these weights are of a network that strides elsewhere, which the encoder of a segmentation network cannot "
            "follow where its maps would have other sizes: take other weights, or an encoder without dilation"
        )
    set_strides(encoder, changed)
    return changed


def repeated(kernel: Tensor, channels: int) -> Tensor:
    """A kernel [out, in, ...] for more input channels; the same where there are no more. See `take_up`."""
    before = kernel.shape[1]
    if channels == before:
        return kernel
    turns = torch.arange(channels, device=kernel.device) % before
    return kernel[:, turns] * (before / channels)


def widen(encoder: nn.Module, channels: int) -> None:
    """Let an encoder's first convolution see more channels, with weights drawn anew by torch's own law."""
    stem = cast(nn.Conv2d, encoder.get_submodule(first_convolution(encoder)))
    stem.in_channels = channels
    stem.weight = nn.Parameter(stem.weight.new_empty(stem.weight.shape[0], channels, *stem.kernel_size))
    stem.reset_parameters()


def published_names(encoder: nn.Module, whole: nn.Module) -> dict[str, str]:
    """The name in `whole` of each tensor of an encoder that was cut from such a network.

    timm takes the first level of a network apart (`stages.0.conv` becomes `stages_0.conv`) or wraps it (`body.`,
    `model.`), so names are compared without dots. Raises WeightsError for an encoder that was put together otherwise.
    """
    plain = {key.replace(".", "_"): key for key in whole.state_dict()}
    names: dict[str, str] = {}
    for key in encoder.state_dict():
        parts = key.split(".")
        ways = ("_".join(parts[start:]) for start in range(min(3, len(parts))))
        found = next((plain[way] for way in ways if way in plain), None)
        if found is None:
            raise WeightsError(
                f"the encoder's tensor '{key}' is none of the network that its weights are published for: use "
                "initialisation: random, or another encoder"
            )
        names[key] = found
    return names


def _cut(module: nn.Module, used: set[str], prefix: str = "") -> list[str]:
    """Replace every part of a network that holds none of the tensors `used` by nothing; their names."""
    gone: list[str] = []
    for name, child in list(module.named_children()):
        keys = child.state_dict(prefix=f"{prefix}{name}.").keys()
        if not keys:
            continue
        if used.isdisjoint(keys):
            setattr(module, name, nn.Identity())
            gone.append(f"{prefix}{name}")
        else:
            gone += _cut(child, used, f"{prefix}{name}.")
    return gone
