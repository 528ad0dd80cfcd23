"""Networks of timm, convolutional and transformers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, cast

import timm
from pydantic import Field
from torch import nn

from assay.core.errors import SpecError, first_line, unknown_name
from assay.core.registry import component
from assay.models.networks import (
    WEIGHTS,
    ArchitectureContext,
    Classifier,
    Dropout,
    InputScaling,
    initialize_by_name,
    refuse_channels,
)
from assay.models.untyped import named_layers
from assay.models.weights import library_draws

InputChannels = Annotated[Literal[1, 3], Field(description="input channels; gray images are repeated to fill 3")]

# The adapter to timm: networks by name, as trunks without a classifier. Nothing is downloaded here.


@component("architecture", "timm", summary="any classification network of the timm library, by its name there")
def timm_network(
    context: ArchitectureContext,
    *,
    model: Annotated[str, Field(description="timm's name of the network, such as tf_efficientnet_lite0")],
    in_chans: InputChannels = 3,
    dropout: Dropout = 0.0,
) -> Classifier:
    """Return a timm network with its pooling, its classifier replaced by Assay's head. Input scaling is timm's for the
    name.

    All of the trunk's weights are drawn by timm, in its own order, from one generator of the seed; the head's from one
    of its own, so that networks that differ in their number of classes share the trunk.

    Examples:
        >>> context = ArchitectureContext(channels=1, size=64, classes=2, seed=0)
        >>> network = timm_network(context, model="test_resnet.r160_in1k")
        >>> network.head.out_features, network.scaling.channels  # gray images are repeated to fill three channels
        (2, 3)
    """
    return _classifier(_create_trunk(model, in_chans, context), in_chans, context, dropout)


@component(
    "architecture", "resnet18", summary="ResNet-18 (He et al. 2016), with the usual stem or one for small images"
)
def resnet18(
    context: ArchitectureContext,
    *,
    stem: Annotated[
        Literal["imagenet", "small"],
        Field(description="7x7 stride 2 and max-pooling, or 3x3 stride 1 without pooling for small images"),
    ] = "imagenet",
    in_chans: InputChannels = 3,
    dropout: Dropout = 0.0,
) -> Classifier:
    """ResNet-18 (He et al. 2016); the small stem, for images to 64 px, is a 3x3 convolution of stride 1, no pooling.

    Examples:
        The small stem keeps the size of the image, where the usual one quarters it:

        >>> context = ArchitectureContext(channels=1, size=32, classes=2, seed=0)
        >>> trunk = resnet18(context, stem="small").trunk
        >>> tuple(trunk.conv1.kernel_size), tuple(trunk.conv1.stride), type(trunk.maxpool).__name__
        ((3, 3), (1, 1), 'Identity')
    """
    trunk = _create_trunk("resnet18", in_chans, context)
    if stem == "small":
        convolution = nn.Conv2d(in_chans, 64, kernel_size=3, stride=1, padding=1, bias=False)
        initialize_by_name(convolution, context.seed, "trunk.conv1")
        trunk.conv1 = convolution
        trunk.maxpool = nn.Identity()
    return _classifier(trunk, in_chans, context, dropout)


def default_configuration(trunk: nn.Module) -> Mapping[str, Any]:
    """timm's description of a network's weights: input mean and sd, the classifier's name, where they are published."""
    return cast(Mapping[str, Any], getattr(trunk, "pretrained_cfg", {}))


def classifier_names(configuration: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the layers that timm would have on top of the pooled features."""
    named: str | Sequence[str] | None = configuration.get("classifier")
    if named is None:
        return ()
    return (named,) if isinstance(named, str) else tuple(named)


def download_published(trunk: nn.Module, channels: int) -> Mapping[str, Any]:
    """Return the tensors that timm publishes for this trunk, without the classifier; downloaded unless cached."""
    configuration = default_configuration(trunk)
    name = ".".join(filter(None, (configuration.get("architecture"), configuration.get("tag"))))
    model = timm.create_model(name, pretrained=True, num_classes=0, in_chans=channels)  # pyright: ignore[reportUnknownMemberType]
    return model.state_dict()


def _create_trunk(model: str, in_chans: int, context: ArchitectureContext) -> nn.Module:
    if not timm.is_model(model):
        raise SpecError(unknown_name("timm network", model, timm.list_models()))
    refuse_channels(f"timm network '{model}'", context, in_chans)
    return _create(model, in_chans, 0, context)


def whole_model(model: str, channels: int, size: int, classes: int) -> nn.Module:
    """Return a network of timm with its classifier, for weights that were trained elsewhere."""
    if not timm.is_model(model):
        raise SpecError(
            f"{unknown_name('timm network', model, timm.list_models())}; or name a function, module:function"
        )
    return _create(model, channels, classes, ArchitectureContext(channels, size, classes, seed=0))


def _create(model: str, in_chans: int, classes: int, context: ArchitectureContext) -> nn.Module:
    fixed = bool(configuration_of(model).get("fixed_input_size", False))
    extra: dict[str, Any] = {"img_size": context.size} if fixed else {}
    try:
        with library_draws(context.seed, WEIGHTS, "trunk"):
            return timm.create_model(model, pretrained=False, num_classes=classes, in_chans=in_chans, **extra)  # pyright: ignore[reportUnknownMemberType]
    except (AssertionError, RuntimeError, ValueError, TypeError) as error:
        raise SpecError(
            f"timm network '{model}' cannot be built for images of {context.size} x {context.size} pixels: "
            f"{first_line(error)}"
        ) from error


def configuration_of(model: str) -> Mapping[str, Any]:
    """timm's description of the weights that it would load under a name; empty where it has none."""
    configuration = timm.get_pretrained_cfg(model)  # pyright: ignore[reportUnknownMemberType]
    return {} if configuration is None else cast(Mapping[str, Any], configuration.to_dict())


def _classifier(trunk: nn.Module, in_chans: int, context: ArchitectureContext, dropout: float) -> Classifier:
    configuration = default_configuration(trunk)
    scaling = InputScaling(in_chans, configuration.get("mean", (0.5,)), configuration.get("std", (0.5,)))
    features = cast(Any, trunk)  # some networks have a hidden layer between the pooled features and the classifier
    width = int(getattr(features, "head_hidden_size", None) or features.num_features)
    replaced = classifier_names(configuration)
    network = Classifier(trunk, width, _stages(trunk), scaling, context.classes, replaced, dropout)
    initialize_by_name(network.head, context.seed, "head")
    return network


def _stages(trunk: nn.Module) -> tuple[str, ...]:
    """Names of timm's feature stages, from shallow to deep; empty where timm does not describe them."""
    information = cast(list[dict[str, Any]], getattr(trunk, "feature_info", None) or [])
    names = [str(stage["module"]) for stage in information]
    layers = {name for name, _ in named_layers(trunk)}
    return tuple(dict.fromkeys(name for name in names if name in layers))
