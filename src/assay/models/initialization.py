"""Starting weights: random, pretrained, trained sources, files; and how they are fine-tuned."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import torch
from huggingface_hub import constants, try_to_load_from_cache
from pydantic import Field
from torch import nn

from assay.core import registry
from assay.core.errors import SpecError, WeightsError
from assay.core.files import WEIGHTS_FILE, cache_folder, default_cache_root, fill_names
from assay.core.registry import Role, component
from assay.core.seeds import derive
from assay.models.networks import WithTrunk, as_network
from assay.models.weight_files import WeightsFile, fetch, reachable, read_weights, weights_cache
from assay.models.weights import (
    WeightLoadReport,
    fitted_positions,
    load_into,
    load_trunk,
    load_weights,
    match_tensors,
    renamed_file,
    scaling_by_name,
    set_epsilon,
    take_rgb,
)
from assay.spec.recipe import RecipeSpec

# Where initial weights come from. An initialization is called with a freshly built network and changes its trunk.

_log = logging.getLogger(__name__)


@component("initialization", "random", summary="the library's own random weights")
@dataclass(frozen=True, slots=True)
class Random:
    """The library's own law, drawn when the network was built.

    Examples:
        >>> network = nn.Linear(2, 2)
        >>> before = network.weight.clone()
        >>> Random()(network)
        >>> bool((network.weight == before).all())
        True
    """

    def __call__(self, network: nn.Module) -> None:
        """Leaves the network as it is."""


@dataclass(frozen=True, kw_only=True)
class WeightsReading:
    """Arguments that say how a weights file is read."""

    prefix: Annotated[
        str | None,
        Field(description="text before every key of the network, such as module., or '' for none; found when left out"),
    ] = None
    layout: Annotated[
        Literal["auto", "monai-resnet"],
        Field(description="how layers are named; found in the file, but that MONAI's ResNet strides by 1 in its stem"),
    ] = "auto"
    rename: Annotated[
        Mapping[str, str] | None,
        Field(description="regular expressions in keys and their replacement; the first that is found counts"),
    ] = None
    leave_out: Annotated[
        tuple[str, ...],
        Field(description="parts of the file to ignore, besides heads, projections and momentum copies"),
    ] = ()
    input: Annotated[
        Literal["auto", "imagenet", "symmetric", "unit", "caffe", "caffe-255"],
        Field(
            description="how images x in [0, 1] are scaled: ImageNet mean and deviation; 2x - 1; unchanged; blue, "
            "green, red with 255x less the ImageNet mean; the same over 255; auto: what the file's metadata say, else "
            "timm's own configuration of the architecture, refused for Keras's, MONAI's and numbered layers, which "
            "that is not about"
        ),
    ] = "auto"

    def of(self, path: str, sha256: str = "") -> FromFile:
        """Return a file that is read in this way."""
        arguments = {setting.name: getattr(self, setting.name) for setting in fields(WeightsReading)}
        return FromFile(path=path, sha256=sha256, **arguments)


FileHash = Annotated[
    str,
    Role("sha256", "path"),
    Field(pattern="^([0-9a-f]{64})?$", description="of the file, found when left out; another file is refused"),
]


@component(
    "initialization",
    "file",
    summary="a weights file (timm, torchvision, RadImageNet, MONAI, MoCo, lightly), every key accounted for",
)
@dataclass(frozen=True, kw_only=True)
class FromFile(WeightsReading):
    """Weights from a file: the trunk is loaded, everything else in the file is named in the log and left out.

    layout: how the file names its layers; `auto` finds it. rename: new names of keys, of any other file. prefix: prefix
    of the trunk's keys; found when None. leave_out: parts of the file that are not wanted, beyond heads, projections,
    momentum copies and queues. input: how images are scaled for these weights; `auto` takes the file's metadata
    (`input`), else leaves timm's own configuration, or refuses where that does not describe such files. Metadata
    `bn_eps` sets the epsilon of every batch norm.
    """

    path: Annotated[
        str,
        Field(min_length=1, description="a .safetensors file, or a .pt/.pth that holds tensors alone"),
    ]
    sha256: FileHash = ""

    def __call__(self, network: nn.Module) -> None:
        """Raises WeightsError when any key is not accounted for, or the scaling of images is not known."""
        self.load(network, fill_names(self.path))

    def load(self, network: nn.Module, path: Path) -> None:
        """Load the file at a place of its own."""
        target = with_trunk(network)
        file = renamed_file(read_weights(path, self.sha256), self.rename or {})
        goal, heads = target.published()
        matched = match_tensors(
            goal,
            file,
            heads=heads,
            prefix=self.prefix,
            layout=self.layout,
            leave_out=self.leave_out,
            architecture=target.architecture,
        )
        scaling = scaling_by_name(self.input, file, matched.layout.input_hint or target.input_hint, matched.layout.name)
        changed = load_trunk(goal, matched)
        epsilon = _epsilon(file) if "bn_eps" in file.metadata else matched.layout.epsilon
        if epsilon is not None:
            set_epsilon(goal, epsilon)
        if scaling is not None:
            target.scaling.set(scaling.mean, scaling.sd)
        if scaling is not None and scaling.bgr:
            take_rgb(goal)
        strides = target.take(goal, changed)
        target.start = WeightLoadReport(
            file=path.name,
            layout=matched.layout.name,
            prefix=matched.prefix,
            loaded=len(matched.tensors),
            left_out=matched.left_out,
            drawn=target.drawn,
            scaling=target.scaling.words() if scaling is None else scaling.words,
            epsilon=epsilon,
            strides=strides,
            positions=matched.positions,
        )
        _log.info("%s: %s", path, target.start.text())


def _epsilon(file: WeightsFile) -> float:
    """Epsilon of batch norms according to the metadata. Raises WeightsError."""
    try:
        epsilon = float(file.metadata["bn_eps"])
    except ValueError:
        epsilon = 0.0
    if not 0 < epsilon < 1:
        raise WeightsError(
            f"weights file '{file.path}' says in its metadata bn_eps = '{file.metadata['bn_eps']}': give a small "
            "number, such as 1e-5"
        )
    return epsilon


@component("initialization", "download", summary="a weights file from a public address, fetched once and checked")
@dataclass(frozen=True, kw_only=True)
class Downloaded(WeightsReading):
    """Weights from a public address, fetched once into the cache and checked, then loaded as `FromFile` does.

    Attributes:
        size: Of the file in bytes; 0 when not known.
    """

    url: Annotated[str, Field(pattern="^https?://", description="where the file is; fetched once into the cache")]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$", description="of the file; another file is refused")]
    size: Annotated[int, Field(ge=0, description="of the file in bytes, 0 when not known")] = 0

    def __call__(self, network: nn.Module) -> None:
        """Raises WeightsError as `fetch` and `FromFile` do."""
        with_trunk(network)
        path = fetch(self.url, self.sha256, weights_cache(), size=self.size or None)
        self.of(str(path)).load(network, path)


@component(
    "initialization",
    "random-statistics",
    summary="random weights with the mean and variance of each pretrained layer (Raghu et al. 2019)",
)
@dataclass(frozen=True, kw_only=True)
class RandomStatistics(WeightsReading):
    """Random weights with the means and variances of pretrained layers (Raghu et al. 2019, `Mean Var`).

    Every weight and bias of the trunk is drawn from a normal distribution with the mean and the variance of the tensor
    that contains it. Running statistics of batch norms start afresh: they describe activations, which random weights do
    not have in common with the pretrained ones. Images are scaled as the pretrained weights want them.

    Attributes:
        path: The weights file; empty takes the weights that timm publishes.
        source: Empty; where a study names one of its own, a `FromSource` replaces this. The others as in `FromFile`.
    """

    path: Annotated[str, Field(description="the weights file; left out: the weights that timm publishes")] = ""
    source: Annotated[str, Field(description="instead of a file: a source that the study trains")] = ""
    sha256: FileHash = ""

    def __call__(self, network: nn.Module) -> None:
        """Raises WeightsError as the weights' own initialization does."""
        target = with_trunk(network)
        self._pretrained()(target)
        redraw(target.trunk, int(torch.randint(2**62, ())))

    def _pretrained(self) -> Callable[[nn.Module], None]:
        if not self.path:
            return PretrainedByTimm()
        return self.of(self.path, self.sha256)


def redraw(trunk: nn.Module, seed: int) -> None:
    """Replace every parameter by normal draws with its mean and its (population) variance, from (seed, its name).

    Running statistics of batch norms are reset to mean 0 and variance 1.
    """
    with torch.no_grad():
        for name, parameter in trunk.named_parameters():
            generator = torch.Generator().manual_seed(derive(seed, "statistics", name))
            values = parameter.double()
            draws = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.copy_(values.mean() + draws * values.std(correction=0))
    for layer in trunk.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
            layer.reset_running_stats()


def with_trunk(network: nn.Module) -> WithTrunk:
    """Return the network as one whose trunk can be loaded. Raises WeightsError."""
    if not isinstance(network, WithTrunk):
        raise WeightsError(f"pretrained weights need a network with a trunk; {type(network).__name__} has none")
    return network


# Starts that Assay trained itself: where they lie, and how a network takes one up.


@component(
    "initialization", "source", summary="a start that the study trains itself: one of its `sources`, by its own name"
)
@dataclass(frozen=True, slots=True, kw_only=True)
class FromSource:
    """The trunk of a source that was trained with the same architecture; its head is left out, and its decoder.

    Attributes:
        id: Names its folder in the cache.
        statistics: Whether weights are drawn with its layers' means and variances, as `RandomStatistics` does, and
            nothing else is taken but how it scales images.
    """

    name: Annotated[str, Field(description="which of the study's `sources`")] = ""
    id: Annotated[
        str,
        Field(description="hash of all that determines its weights; it names its folder in the cache"),
    ] = ""
    statistics: Annotated[
        bool, Field(description="whether weights are drawn with its layers' means and variances alone")
    ] = False

    def __call__(self, network: nn.Module) -> None:
        """Raises WeightsError when the source is not in the cache."""
        target = with_trunk(network)
        path = cache_folder(default_cache_root(), "sources", self.id) / WEIGHTS_FILE
        if not path.is_file():
            raise WeightsError(f"source {self.id} is not in {path.parent.parent}: run its study again, which trains it")
        metadata = load_weights(target, path, ("trunk", "scaling"))
        if self.statistics:
            redraw(target.trunk, int(torch.randint(2**62, ())))
        before = cast(dict[str, Any], json.loads(metadata.get("start", "{}")))
        target.start = WeightLoadReport(
            file=f"source {self.id}",
            layout="assay",
            prefix="trunk.",
            loaded=len(target.trunk.state_dict()),
            left_out=target.drawn,
            drawn=target.drawn,
            scaling=target.scaling.words(),
            strides=before.get("strides", {}),
            positions=str(before.get("positions", "")),
        )


# Weights that timm publishes: from the local cache, or downloaded once; refused at once where neither can be had.


@component("initialization", "timm", summary="the weights that timm publishes for the architecture (downloaded once)")
@dataclass(frozen=True, slots=True)
class PretrainedByTimm:
    """The weights that timm publishes for the network, from the local cache or downloaded once."""

    def __call__(self, network: nn.Module) -> None:
        """Raises WeightsError within 2 seconds when they are neither in the cache nor to be had."""
        from assay.models.timm import default_configuration, download_published  # no other start needs timm

        target = with_trunk(network)
        goal, heads = target.published()
        configuration = default_configuration(goal)
        if not configuration.get("hf_hub_id") and not configuration.get("url"):
            raise WeightsError("timm publishes no weights for this architecture; use initialization: random or file")
        require_published(
            configuration,
            "give a file (initialization: {file: {path: ...}}), or train without them (initialization: random)",
        )
        wanted = goal.state_dict().keys()
        state = download_published(goal, target.scaling.channels)
        tensors, positions = fitted_positions(goal, {key: value for key, value in state.items() if key in wanted})
        file = WeightsFile(Path(f"timm/{configuration.get('architecture')}"), tensors)
        load_into(goal, file)
        target.take(goal, {})
        target.start = WeightLoadReport(
            file=".".join(filter(None, (str(file.path), cast(str, configuration.get("tag"))))),
            layout="timm or torchvision",
            loaded=len(tensors),
            left_out=heads,
            drawn=target.drawn,
            scaling=target.scaling.words(),
            positions=positions,
        )


def require_published(configuration: Mapping[str, Any], otherwise: str) -> None:
    """Raise WeightsError where the weights of timm are neither in the cache nor can be downloaded.

    Args:
        configuration: timm's description of the weights.
        otherwise: What else to do, as the end of a sentence.
    """
    if not _is_cached(configuration) and not hub_answers():
        raise WeightsError(
            f"the weights '{configuration.get('hf_hub_id') or configuration.get('architecture')}' are not in the local "
            f"cache and the model hub cannot be reached; connect once to fetch them, {otherwise}"
        )


def _is_cached(configuration: Mapping[str, Any]) -> bool:
    repository = cast(str, configuration.get("hf_hub_id") or "")
    names = ("model.safetensors", "pytorch_model.bin")
    return bool(repository) and any(isinstance(try_to_load_from_cache(repository, name), str) for name in names)


def hub_answers() -> bool:
    """Return whether the model hub accepts a connection, found out without timm's half minute of retries."""
    return os.environ.get("HF_HUB_OFFLINE", "0") in ("", "0") and reachable(constants.ENDPOINT)


# How far a training changes the network that it starts from: all of it, its deeper part, or the head alone.


@component("finetuning", "full", summary="everything is trained, at one learning rate")
class FineTuning:
    """Everything is trained, at one learning rate. Subclasses state their changes.

    Attributes:
        steps: Whether there are any.
        fits_head: Whether a linear head is fitted on the features that the network starts with, before the first step.

    Examples:
        >>> network = nn.Linear(2, 2)
        >>> FineTuning().steps, dict(FineTuning().rates(network))  # no parameter has a rate of its own
        (True, {})
    """

    steps: bool = True
    fits_head: bool = False

    def rates(self, network: nn.Module) -> Mapping[nn.Parameter, float]:
        """Multiplier of the learning rate; 0 keeps a parameter as it was, and none that is not named is."""
        return {}


@component(
    "finetuning",
    "linear-probe",
    summary="a logistic head on the features of the start, no step",
)
class LinearProbe(FineTuning):
    """No step: a multinomial logistic head on the frozen features (`assay.models.networks.fit_head`), without
    augmentation.

    Examples:
        >>> LinearProbe().steps, LinearProbe().fits_head
        (False, True)
    """

    steps = False
    fits_head = True


@component(
    "finetuning",
    "probe-then-full",
    summary="a linear probe, then everything (Kumar et al. 2022)",
    version=2,
)
class ProbeThenFull(FineTuning):
    """The head of a linear probe first, then everything. Batch norms take their statistics from the training images
    before the head is fitted: trained, they use those of each batch, and a head that was fitted on features of others,
    such as those of the source or the 0 and 1 of random weights, would begin far from where it was fitted.

    Kumar, Raghunathan, Jones, Ma and Liang, *Fine-Tuning can Distort Pretrained Features and Underperform
    Out-of-Distribution*, ICLR 2022 (LP-FT).

    Examples:
        >>> ProbeThenFull().steps, ProbeThenFull().fits_head
        (True, True)
    """

    fits_head = True


@component("finetuning", "last-layers", summary="the head and the last layers, the others frozen")
@dataclass(frozen=True, kw_only=True)
class LastLayers(FineTuning):
    """The head and the last `layers` of the parts that `depths` tells apart; the others stay as they were, statistics
    of their batch norms too. With `layers: 0` the head alone is trained, step by step.

    Examples:
        The head and the last of the four blocks are trained, three blocks of three parameters are frozen:

        >>> from assay.plugin import ArchitectureContext
        >>> context = ArchitectureContext(channels=1, size=64, classes=2, seed=0)
        >>> network = registry.build("architecture", "small-cnn", {}, context)
        >>> rates = LastLayers(layers=1).rates(network)
        >>> len(rates), set(rates.values()), network.head.weight in rates
        (9, {0.0}, False)
    """

    layers: Annotated[
        int, Field(ge=0, le=100, description="how many of the layers that probes read, from the last, are trained")
    ] = 1

    def rates(self, network: nn.Module) -> Mapping[nn.Parameter, float]:
        """0 before them. `layers` beyond their number trains everything. Raises SpecError for a single part."""
        parts = _distinct_parts(network, "last-layers") if self.layers else depths(network)
        frozen = parts[: max(0, len(parts) - self.layers)]
        return {parameter: 0.0 for part in frozen for parameter in part}


@component(
    "finetuning", "discriminative-rates", summary="lower learning rates for shallower layers (Howard and Ruder 2018)"
)
@dataclass(frozen=True, kw_only=True)
class DiscriminativeRates(FineTuning):
    """The head at the learning rate, each part before it at `decay` times the rate of the one after.

    Howard and Ruder, *Universal Language Model Fine-tuning for Text Classification*, ACL 2018.

    Examples:
        >>> from assay.plugin import ArchitectureContext
        >>> context = ArchitectureContext(channels=1, size=64, classes=2, seed=0)
        >>> network = registry.build("architecture", "small-cnn", {}, context)
        >>> sorted(set(DiscriminativeRates(decay=0.5).rates(network).values()))  # from the first block to the last
        [0.0625, 0.125, 0.25, 0.5]
    """

    decay: Annotated[
        float, Field(gt=0, le=1, description="the learning rate of a layer over that of the next; 1 / 2.6 as published")
    ] = 1 / 2.6

    def rates(self, network: nn.Module) -> Mapping[nn.Parameter, float]:
        """Powers of `decay` by how many parts lie between and the head. Raises SpecError for a single part."""
        parts = _distinct_parts(network, "discriminative-rates")
        return {parameter: self.decay ** (len(parts) - place) for place, part in enumerate(parts) for parameter in part}


def _distinct_parts(network: nn.Module, finetuning: str) -> tuple[tuple[nn.Parameter, ...], ...]:
    """Return `depths`. Raises SpecError for a single part, which would be trained as a whole."""
    if len(parts := depths(network)) > 1:
        return parts
    raise SpecError(
        f"finetuning '{finetuning}': this network has no layers that can be trained apart, as no network for "
        "segmentation has, so that all of it would be trained alike: use full, or last-layers: {layers: 0}"
    )


def depths(network: nn.Module) -> tuple[tuple[nn.Parameter, ...], ...]:
    """Return the trunk's parameters in parts, from shallow to deep: up to the end of each of the network's `layers`, in
    the order in which modules were registered, which in these networks is that of the computation. Modules after the
    last layer belong to it; a layer without parameters of its own ends no part.
    """
    named = [(name, parameter) for name, parameter in network.named_parameters() if name.startswith("trunk.")]
    position = {name: place for place, (name, _) in enumerate(named)}
    ends: list[int] = []
    for layer in as_network(network).layers:
        inside = [place for name, place in position.items() if layer != "trunk" and name.startswith(f"{layer}.")]
        ends += [max(inside) + 1] if inside else []
    ends = [*sorted(set(ends))[:-1], len(named)]
    starts = [0, *ends[:-1]]
    return tuple(tuple(parameter for _, parameter in named[start:end]) for start, end in zip(starts, ends, strict=True))


def build_finetuning(recipe: RecipeSpec) -> FineTuning:
    """Return the fine-tuning that a recipe names."""
    return cast(FineTuning, registry.build("finetuning", recipe.finetuning.name, recipe.finetuning.params))


def to_training(network: nn.Module) -> nn.Module:
    """Training mode, but for modules of which every parameter is frozen: those answer as they do when they are tested,
    so that the statistics of frozen batch norms stay as they were.
    """
    network.train()
    _rest(network)
    return network


def _rest(module: nn.Module) -> None:
    parameters = list(module.parameters())
    if parameters and not any(parameter.requires_grad for parameter in parameters):
        module.eval()
        return
    for child in module.children():
        _rest(child)
