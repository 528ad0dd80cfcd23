"""Segmentation networks of segmentation-models-pytorch, with its own and timm's encoders."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Annotated, Any, Literal, cast

import timm
import torch
from pydantic import Field
from torch import Tensor, nn

from assay.core.errors import SpecError, WeightsError, extra, first_line, unknown_name
from assay.core.registry import component
from assay.core.traits import ArchitectureTraits
from assay.models.networks import (
    WEIGHTS,
    ArchitectureContext,
    EncoderDecoder,
    InputScaling,
    Segmenter,
    SegmenterMaps,
    Stages,
    initialize_by_name,
    refuse_channels,
    widths_of,
)
from assay.models.timm import InputChannels, classifier_names, configuration_of, default_configuration
from assay.models.untyped import named_layers
from assay.models.weights import IMAGENET_MEAN, IMAGENET_SD, first_convolution, library_draws, set_strides

with extra("smp"):
    import segmentation_models_pytorch as smp  # pyright: ignore[reportMissingTypeStubs]
    from segmentation_models_pytorch.base import initialization  # pyright: ignore[reportMissingTypeStubs]
    from segmentation_models_pytorch.encoders import (  # pyright: ignore[reportMissingTypeStubs]
        TimmUniversalEncoder,
        get_encoder_names,
    )

SmpNetwork = Literal[
    "unet",
    "unetplusplus",
    "manet",
    "linknet",
    "fpn",
    "pspnet",
    "deeplabv3",
    "deeplabv3plus",
    "pan",
    "upernet",
    "segformer",
]


# Encoders of segmentation-models-pytorch: which there are, how they scale images, and how they start from weights.
#
# Encoders named `tu-...` are networks of the timm library cut off before their last layers. Weights are loaded into the
# timm network itself, without the layers that the encoder lacks, and copied from there: so files are read, accounted
# for and refused as in classification.

_TIMM = "tu-"
_OF_TORCHVISION = ("resnet", "resnext50_32x4d", "resnext101_32x8d", "vgg", "densenet", "mobilenet_v2")
_HINT = "imagenet for most published weights, symmetric for those of an Inception or an Xception"
Encoder = Annotated[
    str,
    Field(
        description="tu- and timm's name of a network, such as tu-tf_efficientnet_lite0; or one of the library's own"
    ),
]


def check_encoder(name: str, in_chans: int, context: ArchitectureContext) -> None:
    """Raises SpecError for an unknown encoder, with the nearest name, and for images that it cannot take."""
    if not (timm.is_model(name.removeprefix(_TIMM)) if name.startswith(_TIMM) else name in _own_names()):
        encoders = [*_own_names(), *(f"{_TIMM}{model}" for model in timm.list_models())]
        raise SpecError(unknown_name("encoder", name, encoders))
    refuse_channels(f"encoder '{name}'", context, in_chans)


def _own_names() -> list[str]:
    """Return the library's own encoders, but for those that it has given up for timm's."""
    return [name for name in cast(list[str], get_encoder_names()) if not name.startswith("timm-")]


def input_scaling(name: str, in_chans: int) -> InputScaling:
    """As timm's configuration of the network says; ImageNet's for the library's own encoders."""
    config: Mapping[str, Any] = configuration_of(name.removeprefix(_TIMM)) if name.startswith(_TIMM) else {}
    if name.startswith(_TIMM) and "mean" not in config:
        return InputScaling(in_chans)
    return InputScaling(in_chans, config.get("mean", IMAGENET_MEAN), config.get("std", IMAGENET_SD))


def input_hint(name: str) -> str:
    """See `WithTrunk`: the library's own encoders have weights from many places, of which torchvision's are known."""
    return "" if name.startswith((_TIMM, *_OF_TORCHVISION)) else _HINT


def size_setting(name: str, side: int) -> dict[str, Any]:
    """Argument of timm for the images' side, for networks that are built for one size."""
    fixed = name.startswith(_TIMM) and bool(configuration_of(name.removeprefix(_TIMM)).get("fixed_input_size", False))
    return {"img_size": side} if fixed else {}


def published_form(encoder: nn.Module, in_chans: int, setting: Mapping[str, Any]) -> tuple[nn.Module, tuple[str, ...]]:
    """Return the network that published weights of an encoder name, without tensors that the encoder lacks; and their
    names.

    Args:
        setting: See `size_setting`. For one of the library's own encoders, a copy.
    """
    if not isinstance(encoder, TimmUniversalEncoder):
        return copy.deepcopy(encoder), ()
    network = timm.create_model(encoder.name, pretrained=False, num_classes=0, in_chans=in_chans, **setting)  # pyright: ignore[reportUnknownMemberType]
    used = set(published_names(encoder, network).values())
    return network, (*classifier_names(default_configuration(network)), *_cut(network, used))


def take_up(encoder: nn.Module, loaded: nn.Module, strides: Mapping[str, int]) -> dict[str, int]:
    """Give an encoder the weights of `published_form`, with the epsilons of its batch norms and the changed strides.

    An encoder that sees more channels than `loaded` repeats the first convolution's kernels over them in turn, all
    times the share of channels that there were, as timm and the library do. Returns the strides by the encoder's names.

    Raises:
        WeightsError: For strides that would give maps of other sizes than the decoder takes.
    """
    names, state = published_names(encoder, loaded), loaded.state_dict()
    stem = f"{first_convolution(encoder)}.weight"
    tensors = {key: state[name] for key, name in names.items()}
    tensors[stem] = repeat_kernel(tensors[stem], encoder.state_dict()[stem].shape[1])
    nn.Module.load_state_dict(encoder, tensors)
    layers = dict(named_layers(loaded))
    for name, layer in named_layers(encoder):
        if isinstance(layer, nn.BatchNorm2d):
            owner = names[f"{name}.running_mean"].rpartition(".")[0]
            layer.eps = cast(nn.BatchNorm2d, layers[owner]).eps
    own_names = {name: key for key, name in names.items()}
    changed = {own_names[f"{name}.weight"].rpartition(".")[0]: stride for name, stride in strides.items()}
    dilated = any(isinstance(module, nn.Conv2d) and max(module.dilation) > 1 for module in encoder.modules())
    if changed and (dilated or first_convolution(encoder) in changed):
        raise WeightsError(
            "these weights are of a network that strides elsewhere, which the encoder of a segmentation network cannot "
            "follow where its maps would have other sizes: take other weights, or an encoder without dilation"
        )
    set_strides(encoder, changed)
    return changed


def repeat_kernel(kernel: Tensor, channels: int) -> Tensor:
    """Return a kernel [out, in, ...] for more input channels; the same where there are no more. See `take_up`.

    Channels are repeated in turn, and the sum over a gray image stays.

    Examples:
        >>> kernel = torch.tensor([1.0, 2.0, 6.0]).reshape(1, 3, 1, 1)
        >>> for channels in (3, 5, 6):
        ...     [round(weight, 2) for weight in repeat_kernel(kernel, channels).flatten().tolist()]
        [1.0, 2.0, 6.0]
        [0.6, 1.2, 3.6, 0.6, 1.2]
        [0.5, 1.0, 3.0, 0.5, 1.0, 3.0]
    """
    before = kernel.shape[1]
    if channels == before:
        return kernel
    turns = torch.arange(channels, device=kernel.device) % before
    return kernel[:, turns] * (before / channels)


def widen(encoder: nn.Module, channels: int) -> None:
    """Let an encoder's first convolution see more channels, with weights redrawn by torch's own law."""
    stem = cast(nn.Conv2d, encoder.get_submodule(first_convolution(encoder)))
    stem.in_channels = channels
    stem.weight = nn.Parameter(stem.weight.new_empty(stem.weight.shape[0], channels, *stem.kernel_size))
    stem.reset_parameters()


def published_names(encoder: nn.Module, network: nn.Module) -> dict[str, str]:
    """Return the name in `whole` of each tensor of an encoder that was cut from such a network.

    timm takes the first level of a network apart (`stages.0.conv` becomes `stages_0.conv`) or wraps it (`body.`,
    `model.`), so names are compared without dots.

    Raises:
        WeightsError: For an encoder that was put together otherwise.
    """
    plain = {key.replace(".", "_"): key for key in network.state_dict()}
    names: dict[str, str] = {}
    for key in encoder.state_dict():
        parts = key.split(".")
        ways = ("_".join(parts[start:]) for start in range(min(3, len(parts))))
        match = next((plain[way] for way in ways if way in plain), None)
        if match is None:
            raise WeightsError(
                f"the encoder's tensor '{key}' is none of the network that its weights are published for: use "
                "initialization: random, or another encoder"
            )
        names[key] = match
    return names


def _cut(module: nn.Module, used: set[str], prefix: str = "") -> list[str]:
    """Replace every part of a network that holds none of the tensors `used` by nothing; their names."""
    removed: list[str] = []
    for name, child in list(module.named_children()):
        keys = child.state_dict(prefix=f"{prefix}{name}.").keys()
        if not keys:
            continue
        if used.isdisjoint(keys):
            setattr(module, name, nn.Identity())
            removed.append(f"{prefix}{name}")
        else:
            removed += _cut(child, used, f"{prefix}{name}.")
    return removed


# The adapter to segmentation-models-pytorch: its networks by name, with any of its encoders. Nothing is downloaded.

_STRIDE = 32
_LIBRARY, _LAWS = cast(Any, smp), cast(Any, initialization)
"""Without types of their own."""
_CANNOT = (AssertionError, AttributeError, KeyError, NotImplementedError, RuntimeError, TypeError, ValueError)
"""Errors of the libraries for incompatible parts."""
_LIBRARY_LAW = ("deeplabv3", "deeplabv3plus")
"""Networks whose decoder and head the library leaves as torch draws them."""


@component(
    "architecture",
    "smp",
    ArchitectureTraits(tasks=("segmentation",)),
    summary="a network of segmentation-models-pytorch by its name there, on any of its or timm's encoders",
)
def smp_network(
    context: ArchitectureContext,
    *,
    network: Annotated[SmpNetwork, Field(description="its name in the library")],
    encoder: Encoder = "tu-resnet18",
    in_chans: InputChannels = 3,
) -> EncoderDecoder:
    """Return a network of segmentation-models-pytorch with its own default widths, as the library assembles it.

    The encoder's weights are drawn by their library, in its own order, from one generator of the seed; those of the
    decoder and the head by the library's law, each layer from (seed, its name).

    Examples:
        >>> context = ArchitectureContext(channels=3, size=64, classes=2, seed=0)
        >>> network = smp_network(context, network="fpn")
        >>> network.head.out_channels, network.layers[-1]
        (2, 'decoder')
    """
    parts = _Parts.of(context, network, encoder, in_chans, "trunk")
    return SmpSegmenter(parts, encoder, in_chans)


@component(
    "architecture",
    "w-net",
    ArchitectureTraits(tasks=("segmentation",)),
    summary="two FPNs in a row, the second sees the image and the first's logits (Galdran et al. 2021)",
)
def w_net(
    context: ArchitectureContext,
    *,
    network: Annotated[SmpNetwork, Field(description="the library's name of the network that is used twice")] = "fpn",
    encoder: Encoder = "tu-resnet18",
    in_chans: InputChannels = 3,
    auxiliary_weight: Annotated[
        float, Field(ge=0, le=10, description="of the first network's loss; that of the second is 1 (deep supervision)")
    ] = 1.0,
) -> WNet:
    """Two networks in a row (Galdran et al. 2021): the second sees the image and the logits of the first.

    Both are trained. The first's logits are auxiliary (deep supervision): their loss has weight `auxiliary_weight`, the
    second's has weight 1 (in the published study both have 1). Published weights start both encoders. Draws as in
    `smp_network`.

    Examples:
        >>> import torch
        >>> context = ArchitectureContext(channels=3, size=64, classes=2, seed=0)
        >>> network = w_net(context).eval()
        >>> outputs = network.read(torch.zeros(1, 3, 64, 64))
        >>> outputs.logits.shape, [logits.shape for logits in outputs.auxiliary]  # the second's, and those of the first
        (torch.Size([1, 2, 64, 64]), [torch.Size([1, 2, 64, 64])])
    """
    first = _Parts.of(context, network, encoder, in_chans, "trunk.0")
    second = _Parts.of(context, network, encoder, in_chans, "trunk.1")
    with library_draws(context.seed, WEIGHTS, "trunk.1.stem"):
        widen(second.encoder, in_chans + context.classes)
    return WNet(first, second, encoder, in_chans, context.classes, auxiliary_weight)


class _Parts:
    """Parts of a network that the library assembled.

    Args:
        setting: See `size_setting`.
    """

    def __init__(self, model: Any, side: int, channels: int, setting: Mapping[str, Any]) -> None:
        self.encoder = cast(nn.Module, model.encoder)
        self.decoder = cast(nn.Module, model.decoder)
        self.head = cast(nn.Conv2d, model.segmentation_head[0])
        self.enlarge = cast(nn.Module, model.segmentation_head[1])
        self.stride = int(model.encoder.output_stride)
        self.widths = widths_of(self.encoder, channels, side)
        self.setting = setting

    @classmethod
    def of(cls, context: ArchitectureContext, network: str, encoder: str, in_chans: int, name: str) -> _Parts:
        """One network, its weights drawn under a name.

        Raises:
            SpecError: If the library cannot make it.
        """
        check_encoder(encoder, in_chans, context)
        side = max(1, -(-context.size // _STRIDE)) * _STRIDE
        setting = size_setting(encoder, side)
        try:
            with library_draws(context.seed, WEIGHTS, name):
                model = _LIBRARY.create_model(
                    network, encoder, encoder_weights=None, in_channels=in_chans, classes=context.classes, **setting
                )
            parts = cls(model, side, in_chans, setting)
        except _CANNOT as error:
            raise SpecError(
                f"network '{network}' of segmentation-models-pytorch cannot be built on encoder '{encoder}' for images "
                f"of {context.size} x {context.size} pixels: {first_line(error)}"
            ) from error
        has_own_law = network not in _LIBRARY_LAW
        initialize_by_name(
            parts.decoder, context.seed, f"{name}.decoder", _LAWS.initialize_decoder if has_own_law else None
        )
        initialize_by_name(parts.head, context.seed, f"{name}.head", _LAWS.initialize_head if has_own_law else None)
        return parts


class SmpSegmenter(EncoderDecoder):
    """A network of the library. Its encoder starts from published weights through `published_form`."""

    def __init__(self, parts: _Parts, encoder: str, in_chans: int) -> None:
        scaling = input_scaling(encoder, in_chans)
        super().__init__(parts.encoder, parts.decoder, parts.head, parts.enlarge, scaling, parts.widths, parts.stride)
        self.input_hint = input_hint(encoder)
        self._setting = parts.setting

    def published(self) -> tuple[nn.Module, tuple[str, ...]]:
        """See `WithTrunk`."""
        return published_form(self.trunk, self.scaling.channels, self._setting)

    def take(self, loaded: nn.Module, strides: Mapping[str, int]) -> Mapping[str, int]:
        """See `WithTrunk`."""
        return take_up(self.trunk, loaded, strides)


class WNet(Segmenter):
    """Two networks in a row; see `w_net`. trunk: both encoders; features are those of the second's.

    Probed layers: `first_stages.0` and so on, `first_decoder`, then `stages.0` and so on, `decoder` of the second.
    """

    def __init__(
        self, first: _Parts, second: _Parts, encoder: str, in_chans: int, classes: int, auxiliary_weight: float
    ) -> None:
        scaling: InputScaling = input_scaling(encoder, in_chans)
        both = nn.ModuleList([first.encoder, second.encoder])
        super().__init__(both, scaling, second.widths[-1], first.stride)
        self.auxiliary_weight = auxiliary_weight
        self.input_hint = input_hint(encoder)
        self._setting = first.setting
        self.first_stages, self.stages = Stages(len(first.widths)), Stages(len(second.widths))
        self.first_decoder, self.first_head = first.decoder, first.head
        self.decoder, self.head, self.enlarge = second.decoder, second.head, second.enlarge
        self.layers = (
            *(f"first_stages.{number}" for number in range(len(first.widths))),
            "first_decoder",
            *(f"stages.{number}" for number in range(len(second.widths))),
            "decoder",
        )

    def look(self, images: Tensor) -> SegmenterMaps:
        """See `Segmenter`."""
        encoders = self._encoders()
        maps = encoders[0](images)
        self.first_stages(images, maps)
        early = self.enlarge(self.first_head(self.first_decoder(maps)))
        both = torch.cat([images, early], dim=1)
        maps = encoders[1](both)
        deepest = self.stages(both, maps)
        return SegmenterMaps(deepest, self.enlarge(self.head(self.decoder(maps))), (early,))

    def published(self) -> tuple[nn.Module, tuple[str, ...]]:
        """See `WithTrunk`: of one encoder, for both."""
        return published_form(self._encoders()[0], self.scaling.channels, self._setting)

    def take(self, loaded: nn.Module, strides: Mapping[str, int]) -> Mapping[str, int]:
        """See `WithTrunk`."""
        return {
            f"{number}.{name}": stride
            for number, encoder in enumerate(self._encoders())
            for name, stride in take_up(encoder, loaded, strides).items()
        }

    def _encoders(self) -> nn.ModuleList:
        return cast(nn.ModuleList, self.trunk)
