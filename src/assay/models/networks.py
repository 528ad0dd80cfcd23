"""Networks: trunk and head of classifiers, encoder and decoder of segmenters, and those that Assay brings itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from typing import Annotated, Any, Literal, Protocol, Self, cast, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from pydantic import Field
from scipy import optimize
from torch import Tensor, nn
from torch.nn import functional

from assay.core import registry
from assay.core.errors import AssayError, SpecError
from assay.core.registry import component
from assay.core.traits import ArchitectureTraits
from assay.models.untyped import named_layers, tensor_of
from assay.models.weights import WeightLoadReport, library_draws
from assay.spec.recipe import RecipeSpec

# The interface of a network for the training loop and the probes.


@dataclass(frozen=True, slots=True)
class Outputs:
    """Output of a network for a batch: pooled features and logits (per class, or per class and pixel).

    Attributes:
        auxiliary: The same logits from further heads, which training looks at too (deep supervision); the loss of each
            counts `auxiliary_weight`, that of the main one 1.

    Examples:
        >>> outputs = Outputs(features=torch.zeros(4, 8), logits=torch.zeros(4, 2))
        >>> outputs.auxiliary
        ()
    """

    features: Float[Tensor, "b d"]
    logits: Float[Tensor, "b k *hw"]
    auxiliary: tuple[Float[Tensor, "b k *hw"], ...] = ()
    auxiliary_weight: float = 1.0

    def constant(self) -> Self:
        """Return the same, were every image the mean of the batch to the network."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        means = {name: _batch_mean(value) for name, value in values.items() if isinstance(value, Tensor)}
        return replace(self, **means)


def _batch_mean(values: Tensor) -> Tensor:
    """Average numbers over the batch; counts and places stay."""
    return values.mean(0, keepdim=True).expand_as(values) if values.is_floating_point() else values


@runtime_checkable
class Network(Protocol):
    """A `torch.nn.Module` with these additions. `forward` takes float32 images in [0, 1]; scaling is its own affair.

    Attributes:
        width: Number of pooled features.
        head: The last layer, which makes logits: a linear one on the features, or in segmentation a 1x1 convolution on
            the decoder's map.
        layers: Dotted names of the modules that probes read, from shallow to deep; in classification the last are the
            pooled features.

    Examples:
        >>> isinstance(small_cnn(ArchitectureContext(channels=1, size=64, classes=2, seed=0)), Network)
        True
    """

    width: int
    head: nn.Module
    layers: tuple[str, ...]

    def read(self, images: Float[Tensor, "b c h w"]) -> Outputs:
        """Features and logits in one pass."""
        ...


# A linear logistic head on frozen features, for encoders and as the yardstick of matched fit.

_ITERATIONS = 3000
_REMEMBERED = 40
"""Steps of L-BFGS that shape the next: with 10, correlated features of many classes take twice as long, or too long."""
_STEEPEST = 1e-5
"""The largest slope, in nats per row, at which a fit that stopped early counts: rounding alone can end one there."""

L2 = 1.0
"""Penalty on the weights of standardized features: L2 / 2 times their squared norm, added to the summed log-loss."""


class HeadNotFitted(AssayError):
    """The logistic head on frozen features did not reach its minimum; the text holds how far it came.

    Examples:
        >>> error = HeadNotFitted(iterations=3000, slope=0.02, message="maximum number of iterations")
        >>> str(error).partition(":")[0]
        'the linear head on frozen features did not converge'
    """

    def __init__(self, iterations: int, slope: float, message: str) -> None:
        super().__init__(iterations, slope, message)
        self.iterations, self.slope, self.message = iterations, slope, message

    def __str__(self) -> str:
        return (
            f"the linear head on frozen features did not converge: slope {self.slope:.1e} after {self.iterations} "
            f"iterations, expected at most {_STEEPEST:.0e} ({self.message}); "
            "look at the training's curve, and try a lower learning rate"
        )


@dataclass(frozen=True)
class LinearHead:
    """Logits = features @ weight.T + bias, in units of the raw features.

    Attributes:
        weight: float64 [k, d].
        bias: [k].

    Examples:
        >>> head = LinearHead(weight=torch.tensor([[1.0, 0.0], [0.0, 2.0]]), bias=torch.zeros(2))
        >>> (torch.tensor([[3.0, 4.0]]) @ head.weight.T + head.bias).tolist()
        [[3.0, 8.0]]
    """

    weight: Float[Tensor, "k d"]
    bias: Float[Tensor, "k"]

    def logits(self, features: Float[Tensor, "n d"]) -> Float[Tensor, "n k"]:
        """In float64."""
        return features.double() @ self.weight.T + self.bias

    def log_loss(self, features: Float[Tensor, "n d"], targets: Int[Tensor, "n"]) -> float:
        """Mean negative log-likelihood in nats."""
        return float(functional.cross_entropy(self.logits(features), targets))

    def fold_into(self, layer: nn.Linear) -> None:
        """Make a linear layer compute the same logits, to the precision of its own numbers."""
        with torch.no_grad():
            layer.weight.copy_(self.weight)
            layer.bias.copy_(self.bias)


def fit_head(features: Float[Tensor, "n d"], targets: Int[Tensor, "n"], classes: int) -> LinearHead:
    """Multinomial logistic regression with an L2 penalty on standardized features, by full-batch L-BFGS in float64.

    A feature that does not vary gets weight 0. The same penalty `L2` for every loss, so that losses are compared by one
    yardstick. Deterministic: no draws, and sums in torch, whose number of threads the caller fixes. Raises
    HeadNotFitted where the minimum was not reached: a head on its way would compare losses by chance.

    Examples:
        >>> features = torch.tensor([[-1.0], [-2.0], [1.0], [2.0]])
        >>> head = fit_head(features, torch.tensor([0, 0, 1, 1]), classes=2)
        >>> (features.double() @ head.weight.T + head.bias).argmax(1).tolist()
        [0, 0, 1, 1]
    """
    raw = features.detach().cpu().double()
    mean, sd = raw.mean(0), raw.std(0, correction=0)
    dead = sd <= 1e-12 * (1 + mean.abs())
    scale = torch.where(dead, torch.zeros_like(sd), 1 / torch.where(dead, torch.ones_like(sd), sd))
    standard = (raw - mean) * scale
    goal = targets.detach().cpu()
    width = raw.shape[1]

    def loss_and_slope(flat: np.ndarray) -> tuple[float, np.ndarray]:
        theta = tensor_of(flat).reshape(classes, width + 1)
        weight, bias = theta[:, :-1], theta[:, -1]
        log_p = functional.log_softmax(standard @ weight.T + bias, dim=1)
        loss = functional.nll_loss(log_p, goal, reduction="sum") + L2 / 2 * weight.square().sum()
        residual = log_p.exp() - functional.one_hot(goal, classes)
        slope = torch.cat([residual.T @ standard + L2 * weight, residual.sum(0)[:, None]], dim=1)
        return float(loss) / len(raw), (slope / len(raw)).reshape(-1).numpy()

    optimum = optimize.minimize(
        loss_and_slope,
        np.zeros(classes * (width + 1)),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": _ITERATIONS, "maxfun": 2 * _ITERATIONS, "maxcor": _REMEMBERED, "ftol": 1e-12, "gtol": 1e-7},
    )
    steepest = float(np.abs(optimum.jac).max())
    if not optimum.success and not steepest <= _STEEPEST:
        raise HeadNotFitted(int(optimum.nit), steepest, str(optimum.message))
    theta = tensor_of(optimum.x).reshape(classes, width + 1)
    weight = theta[:, :-1] * scale
    return LinearHead(weight=weight, bias=theta[:, -1] - weight @ mean)


# Classification networks: input scaling, a trunk that yields pooled features, and a linear head.

WEIGHTS = "initial-weights"
"""The purpose under which all initial weights are drawn."""


@dataclass(frozen=True, slots=True)
class ArchitectureContext:
    """Inputs for building an architecture, as its one positional argument.

    Attributes:
        channels, size: Of the images (side in pixels).
        classes: Number of logits.
        seed: Of the initial weights.

    Examples:
        >>> context = ArchitectureContext(channels=1, size=64, classes=2, seed=0)
        >>> small_cnn(context).read(torch.zeros(4, 1, 64, 64)).logits.shape
        torch.Size([4, 2])
    """

    channels: int
    size: int
    classes: int
    seed: int


class InputScaling(nn.Module):
    """Scale images in [0, 1] to the trunk's input: gray repeated to fill its channels, then (x - mean) / sd.

    The constants are buffers, so that they travel with the weights.

    Examples:
        >>> scaling = InputScaling(3, mean=(0.5,), sd=(0.25,))
        >>> scaling(torch.ones(1, 1, 2, 2)).shape, float(scaling(torch.ones(1, 1, 2, 2)).max())
        (torch.Size([1, 3, 2, 2]), 2.0)
    """

    mean: Tensor
    sd: Tensor

    def __init__(self, channels: int, mean: Sequence[float] = (0.5,), sd: Sequence[float] = (0.5,)) -> None:
        super().__init__()
        self.channels = channels
        self.register_buffer("mean", torch.empty(1, channels, 1, 1))
        self.register_buffer("sd", torch.empty(1, channels, 1, 1))
        self.set(mean, sd)

    def set(self, mean: Sequence[float], sd: Sequence[float]) -> None:
        """Use these constants: one number for all channels, or one each."""
        for buffer, values in ((self.mean, mean), (self.sd, sd)):
            constants = torch.tensor(values, dtype=torch.float32)
            buffer.copy_(
                (constants if self.channels == len(constants) else constants.mean())
                .reshape(1, -1, 1, 1)
                .expand_as(buffer)
            )

    def words(self) -> str:
        """Description of the scaling of an image x, for the record."""
        mean, sd = (", ".join(f"{float(value):.6g}" for value in buffer.flatten()) for buffer in (self.mean, self.sd))
        return f"(x - ({mean})) / ({sd})"

    def forward(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b channels h w"]:
        """Scaled images. A gray image is repeated by broadcasting."""
        return (images - self.mean) / self.sd


class WithTrunk(nn.Module):
    """A network whose trunk can start from published weights: of a classifier all but its head, else the encoder.

    Attributes:
        architecture: Its name in the recipe.
        input_hint: Hint for the user when it is unknown how the images of its published weights were scaled; empty
            where the network's own scaling is theirs.
        start: Report on the weights file that the trunk was loaded from; None after a random start.
    """

    architecture: str = ""
    input_hint: str = ""
    start: WeightLoadReport | None = None

    def __init__(self, trunk: nn.Module, scaling: InputScaling, width: int) -> None:
        super().__init__()
        self.width = width
        self.scaling = scaling
        self.trunk = trunk

    @property
    def drawn(self) -> tuple[str, ...]:
        """Names of the parts other than the trunk with weights: they are drawn from the seed, whatever the start."""
        others = ((name, part) for name, part in self.named_children() if part is not self.trunk)
        return tuple(name for name, part in others if any(True for _ in part.parameters()))

    def published(self) -> tuple[nn.Module, tuple[str, ...]]:
        """Return the module whose tensors published weights name, and the names of their other parts: the trunk itself.

        Where it is another module, `take` copies its loaded weights to the trunk.
        """
        return self.trunk, ()

    def take(self, loaded: nn.Module, strides: Mapping[str, int]) -> Mapping[str, int]:
        """Take up the module of `published`; given the strides that were changed in it, those of the trunk by name."""
        return strides


class Classifier(WithTrunk):
    """A `Network` made of input scaling, a trunk (images -> pooled features [b, width]) and a linear head.

    Args:
        layers: Names of modules within the trunk, from shallow to deep; the trunk itself, whose output is the pooled
            features, is added as the last.
        replaced: Names of the classifier layers that published weights of this architecture hold on top of the trunk,
            and that the head replaces.
        dropout: Probability of a pooled feature to be zeroed before the head in training, 0 to 1 (excluded).

    Examples:
        Any module that gives one vector per image is a trunk; here the mean of each channel, of images scaled to -1..1:

        >>> trunk = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        >>> network = Classifier(trunk, 3, (), InputScaling(3, mean=(0.5,), sd=(0.5,)), classes=2)
        >>> network.read(torch.ones(1, 3, 8, 8)).features.tolist(), network.layers
        ([[1.0, 1.0, 1.0]], ('trunk',))
    """

    def __init__(
        self,
        trunk: nn.Module,
        width: int,
        layers: Sequence[str],
        scaling: InputScaling,
        classes: int,
        replaced: Sequence[str] = (),
        dropout: float = 0.0,
    ) -> None:
        super().__init__(trunk, scaling, width)
        self.replaced = tuple(replaced)
        self.dropout = dropout
        self.layers = (*(f"trunk.{layer}" for layer in layers), "trunk")
        self.head = nn.Linear(width, classes)

    def published(self) -> tuple[nn.Module, tuple[str, ...]]:
        """See `WithTrunk`."""
        return self.trunk, self.replaced

    def read(self, images: Float[Tensor, "b c h w"]) -> Outputs:
        """Features and logits in one pass."""
        features = self.trunk(self.scaling(images))
        dropped = functional.dropout(features, self.dropout, self.training) if self.dropout else features
        return Outputs(features=features, logits=self.head(dropped))

    def forward(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k"]:
        """Logits."""
        return self.read(images).logits


def build_network(recipe: RecipeSpec, *, channels: int, size: int, classes: int, seed: int) -> nn.Module:
    """Return the network of a recipe with its initial weights: a `Network`, in training mode, on the CPU.

    Initial weights depend on (seed, name of the module) alone, so two losses of a seed start from the same trunk, and
    so do two networks that differ in their number of classes. No global random state is changed.

    Raises:
        SpecError: If the architecture cannot take these images, WeightsError when the weights do not fit.

    Examples:
        >>> import assay
        >>> recipe = assay.load("nodule-loss", scale="quick").spec.points[0].recipe
        >>> network = build_network(recipe, channels=1, size=64, classes=2, seed=0)
        >>> tuple(as_network(network).read(torch.zeros(3, 1, 64, 64)).logits.shape)
        (3, 2)
    """
    network = empty_network(recipe, channels=channels, size=size, classes=classes, seed=seed)
    initialization = recipe.initialization
    with library_draws(seed, WEIGHTS, "initialization"):
        registry.build("initialization", initialization.name, initialization.params)(network)
    return network


def empty_network(recipe: RecipeSpec, *, channels: int, size: int, classes: int, seed: int = 0) -> nn.Module:
    """Return the network of a recipe before its initialization is applied: the target for loading kept weights.

    Examples:
        >>> import assay
        >>> recipe = assay.load("nodule-loss", scale="quick").spec.points[0].recipe
        >>> as_network(empty_network(recipe, channels=1, size=64, classes=2)).head.out_features
        2
    """
    if classes < 2:
        raise SpecError(f"a classification network needs at least 2 classes, the data have {classes}")
    context = ArchitectureContext(channels=channels, size=size, classes=classes, seed=seed)
    with library_draws(seed, WEIGHTS, "construction"):
        network = registry.build("architecture", recipe.architecture.name, recipe.architecture.params, context)
    if isinstance(network, WithTrunk):
        network.architecture = recipe.architecture.label
    _check_size(cast(nn.Module, network), recipe.architecture.label, context)
    return cast(nn.Module, network)


def initialize_by_name(
    module: nn.Module, seed: int, prefix: str = "", law: Callable[[nn.Module], object] | None = None
) -> None:
    """Redraw every layer's weights by torch's own law, from a generator keyed by the layer's name.

    Args:
        law: Of a library, called with each layer afterward; layers that it leaves alone keep torch's.

    Examples:
        >>> a, b = nn.Linear(2, 2), nn.Linear(2, 2)
        >>> initialize_by_name(a, 0, "head")
        >>> initialize_by_name(b, 0, "head")
        >>> torch.equal(a.weight, b.weight)
        True
    """
    for name, layer in named_layers(module, prefix):
        reset = getattr(layer, "reset_parameters", None)
        if callable(reset):
            with library_draws(seed, WEIGHTS, name):
                reset()
                if law is not None:
                    law(layer)


def as_network(module: nn.Module) -> Network:
    """Return a module seen through the `Network` protocol. Raises TypeError with the missing parts.

    Examples:
        >>> as_network(nn.Linear(2, 2))
        Traceback (most recent call last):
        TypeError: Linear is not a Network: it lacks width, head, layers, read
    """
    missing = [name for name in ("width", "head", "layers", "read") if not hasattr(module, name)]
    if missing:
        raise TypeError(f"{type(module).__name__} is not a Network: it lacks {', '.join(missing)}")
    return cast(Network, module)


_SIDES = (32, 64, 128, 224, 299, 384)
"""Sides of images that are tried where a network cannot take smaller ones."""


def _check_size(network: nn.Module, label: str, context: ArchitectureContext) -> None:
    """One blank image through the network, to refuse mismatches before training."""
    error = _error_of_blank(network, context.channels, context.size)
    if error is None:
        return
    sides = (side for side in _SIDES if side > context.size)
    enough = next((side for side in sides if _error_of_blank(network, context.channels, side) is None), None)
    larger = "" if enough is None else f"a larger size, such as {enough}, or "
    raise SpecError(
        f"architecture '{label}' cannot take images of {context.size} x {context.size} pixels with "
        f"{context.channels} channel(s): {str(error).splitlines()[0]}; choose {larger}another architecture"
    ) from error


def _error_of_blank(network: nn.Module, channels: int, side: int) -> Exception | None:
    """Return why a network cannot take images of a size; None where it can."""
    try:
        _of_blank(network, channels, side)
    except (RuntimeError, AssertionError, ValueError) as error:
        return error
    return None


def _of_blank(module: nn.Module, channels: int, side: int) -> tuple[Tensor, Any]:
    """Return a blank image, and what a module makes of it in evaluation mode; its own mode stays."""
    training, blank = module.training, torch.zeros(1, channels, side, side)
    try:
        with torch.no_grad():
            return blank, module.eval()(blank)
    finally:
        module.train(training)


def scaling_words(network: nn.Module) -> str:
    """How a network scales its images, in words; empty for one that is not built of `InputScaling` and a trunk."""
    return network.scaling.words() if isinstance(network, WithTrunk) else ""


# The small strided network that studies on a CPU use.

SMALLEST_SIDE = 16

Dropout = Annotated[
    float, Field(ge=0, lt=1, description="share of the pooled features that are zeroed before the head in training")
]


@component(
    "architecture",
    "small-cnn",
    summary="four strided 3x3 blocks of 8-16-32-64 channels, 25 thousand parameters; fast on a CPU",
    version=2,
)
def small_cnn(
    context: ArchitectureContext,
    *,
    width: Annotated[
        int, Field(ge=4, le=128, multiple_of=4, description="channels of the first block (8: 8-16-32-64)")
    ] = 8,
    in_chans: Annotated[
        Literal[1, 3] | None, Field(description="input channels; default: those of the images; 3: gray repeated")
    ] = None,
    dropout: Dropout = 0.0,
) -> Classifier:
    """Four blocks of a 3x3 convolution with stride 2, batch norm and ReLU; then the mean over places.

    The blocks have 1, 2, 4 and 8 times `width` channels; 24,634 parameters for gray images and 2 classes. Weights
    follow torch's own law. Probed layers: block1 to block4, and the pooled features.

    Args:
        in_chans: Input channels, those of the images unless said; with 3 gray images are repeated, so that a start on
            gray images serves color ones.

    Examples:
        >>> network = small_cnn(ArchitectureContext(channels=1, size=64, classes=2, seed=0))
        >>> sum(parameter.numel() for parameter in network.parameters())
        24634
        >>> network.read(torch.zeros(4, 1, 64, 64)).features.shape  # of the fourth block
        torch.Size([4, 64])
    """
    refuse_smaller("small-cnn", context, SMALLEST_SIDE, "its four strides leave nothing")
    channels = in_chans or context.channels
    refuse_channels("architecture 'small-cnn'", context, channels)
    widths = [channels, *(width * 2**block for block in range(4))]
    trunk = nn.Sequential()
    for number, (before, after) in enumerate(pairwise(widths), start=1):
        trunk.add_module(f"block{number}", nn.Sequential(*_convolution(before, after, stride=2)))
    trunk.add_module("pool", nn.AdaptiveAvgPool2d(1))
    trunk.add_module("flat", nn.Flatten())
    layers = ("block1", "block2", "block3", "block4")
    network = Classifier(trunk, widths[-1], layers, InputScaling(channels), context.classes, dropout=dropout)
    initialize_by_name(network, context.seed)
    return network


# Segmentation networks: input scaling, an encoder, a decoder, and a head that makes logits for every pixel.

Maps = Sequence[Tensor]
"""Output of an encoder: maps [b, d, h, w] from shallow to deep; the images themselves may stand first."""


class Stages(nn.ModuleList):
    """The places where probes read an encoder's maps, from shallow to deep. The maps pass unchanged.

    Maps that are the encoder's own input, or have no channels (as the first ones of some libraries), are no stages.
    """

    def __init__(self, count: int) -> None:
        super().__init__(nn.Identity() for _ in range(count))

    def forward(self, images: Tensor, maps: Maps) -> Tensor:
        """Return the deepest map."""
        passed = [place(stage_map) for place, stage_map in zip(self, own_maps(images, maps), strict=True)]
        return passed[-1]


def own_maps(images: Tensor, maps: Maps) -> list[Tensor]:
    """Return the maps that an encoder made of its input; see `Stages`."""
    return [stage_map for stage_map in maps if stage_map is not images and stage_map.shape[1] > 0]


@dataclass(frozen=True, slots=True)
class SegmenterMaps:
    """Output of a pass for images whose sides are multiples of the stride.

    Attributes:
        deepest: The encoder's last map. logits, and each of auxiliary: [b, k, h, w] at the size of the images.
    """

    deepest: Tensor
    logits: Tensor
    auxiliary: tuple[Tensor, ...] = ()


class Segmenter(WithTrunk):
    """A `Network` that says for every pixel which class it is of.

    Images of any size are taken: sides that are no multiples of `stride` are continued at the right and at the bottom
    by repeating their last pixels, and the logits are cut back. Pooled features are the mean of the encoder's deepest
    map over its places, those of the continuation among them.

    Attributes:
        head: The convolution whose output are the logits; its size is the library's own where the network is one of a
            library.
        auxiliary_weight: Of each further map of logits (deep supervision) in the loss, the main one having 1.

    Examples:
        >>> network = small_unet(ArchitectureContext(channels=1, size=64, classes=3, seed=0))
        >>> isinstance(network, Segmenter), network.stride, network.read(torch.zeros(1, 1, 20, 20)).logits.shape
        (True, 16, torch.Size([1, 3, 20, 20]))
    """

    head: nn.Conv2d
    layers: tuple[str, ...]
    auxiliary_weight: float = 1.0

    def __init__(self, trunk: nn.Module, scaling: InputScaling, width: int, stride: int) -> None:
        super().__init__(trunk, scaling, width)
        self.stride = stride

    def look(self, images: Float[Tensor, "b c h w"]) -> SegmenterMaps:
        """One pass over scaled images whose sides are multiples of the stride."""
        raise NotImplementedError(f"{type(self).__name__} must define look")

    def read(self, images: Float[Tensor, "b c h w"]) -> Outputs:
        """Features and logits in one pass."""
        height, width = images.shape[2:]
        maps = self.look(pad_to_stride(self.scaling(images), self.stride))
        return Outputs(
            features=maps.deepest.mean((2, 3)),
            logits=maps.logits[:, :, :height, :width],
            auxiliary=tuple(logits[:, :, :height, :width] for logits in maps.auxiliary),
            auxiliary_weight=self.auxiliary_weight,
        )

    def forward(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k h w"]:
        """Logits."""
        return self.read(images).logits


class EncoderDecoder(Segmenter):
    """A `Segmenter` with one encoder (its trunk), one decoder (maps -> one map), a head, and a resampling of the head's
    logits to the size of the images.

    Probed layers: `stages.0` and so on, the encoder's maps; then `decoder`.

    Examples:
        >>> network = small_unet(ArchitectureContext(channels=1, size=64, classes=2, seed=0))
        >>> isinstance(network, EncoderDecoder), network.layers
        (True, ('stages.0', 'stages.1', 'stages.2', 'stages.3', 'decoder'))
    """

    def __init__(
        self,
        trunk: nn.Module,
        decoder: nn.Module,
        head: nn.Conv2d,
        enlarge: nn.Module,
        scaling: InputScaling,
        widths: Sequence[int],
        stride: int,
    ) -> None:
        super().__init__(trunk, scaling, widths[-1], stride)
        self.stages = Stages(len(widths))
        self.decoder = decoder
        self.head = head
        self.enlarge = enlarge
        self.layers = (*(f"stages.{number}" for number in range(len(widths))), "decoder")

    def look(self, images: Float[Tensor, "b c h w"]) -> SegmenterMaps:
        """See `Segmenter`."""
        maps = self.trunk(images)
        deepest = self.stages(images, maps)
        return SegmenterMaps(deepest, self.enlarge(self.head(self.decoder(maps))))


def pad_to_stride(images: Float[Tensor, "b c h w"], stride: int) -> Float[Tensor, "b c hs ws"]:
    """Images whose sides are multiples of the stride: the last row and column are repeated as often as it takes.

    Examples:
        >>> pad_to_stride(torch.arange(6.0).reshape(1, 1, 2, 3), 4).int().tolist()
        [[[[0, 1, 2, 2], [3, 4, 5, 5], [3, 4, 5, 5], [3, 4, 5, 5]]]]
    """
    height, width = images.shape[2:]
    bottom, right = -height % stride, -width % stride
    return functional.pad(images, (0, right, 0, bottom), mode="replicate") if bottom or right else images


def widths_of(encoder: nn.Module, channels: int, side: int) -> tuple[int, ...]:
    """Channels of an encoder's maps, from shallow to deep, found by a look at a blank image."""
    blank, maps = _of_blank(encoder, channels, side)
    return tuple(stage_map.shape[1] for stage_map in own_maps(blank, maps))


def refuse_smaller(name: str, context: ArchitectureContext, smallest: int, why: str) -> None:
    """Raises SpecError for images below the smallest side."""
    if context.size < smallest:
        raise SpecError(
            f"architecture '{name}' cannot take images of {context.size} x {context.size} pixels: {why}; "
            f"choose a size of at least {smallest}"
        )


def refuse_channels(what: str, context: ArchitectureContext, channels: int) -> None:
    """Raises SpecError for images of several channels, other than the network was asked to take."""
    if context.channels not in (1, channels):
        raise SpecError(
            f"{what} was asked to take {channels} channel(s) and the images have {context.channels}; "
            f"set in_chans: {context.channels}"
        )


# The small U-Net that segmentation studies on a CPU use.

STRIDE = 16
_MULTIPLES = (1, 2, 4, 6)


@component(
    "architecture",
    "small-unet",
    ArchitectureTraits(tasks=("segmentation",)),
    summary="U-Net of 8-16-32-48 channels from half the size on, 85 thousand parameters; fast on a CPU",
)
def small_unet(
    context: ArchitectureContext,
    *,
    width: Annotated[
        int, Field(ge=8, le=128, multiple_of=8, description="channels of the first stage (8: 8-16-32-48)")
    ] = 8,
) -> EncoderDecoder:
    """Return a U-Net (Ronneberger et al. 2015) of four stages at 1/2, 1/4, 1/8 and 1/16 of the size.

    The stages have 1, 2, 4 and 6 times `width` channels, 8-16-32-48 by default: two 3x3 convolutions each, the first
    with stride 2; 84,714 parameters for gray images and 2 classes. On the way up the map is doubled (nearest),
    concatenated with the stage's and convolved once. Logits of a 1x1 convolution at half the size are doubled
    bilinearly. Batch norm and ReLU follow every 3x3 convolution. Weights follow torch's own law. Images of any size: a
    side that is no multiple of 16 is continued (see `Segmenter`).

    Examples:
        >>> network = small_unet(ArchitectureContext(channels=1, size=64, classes=2, seed=0))
        >>> sum(parameter.numel() for parameter in network.parameters())
        84714
        >>> network.read(torch.zeros(1, 1, 50, 40)).logits.shape  # of any size, in that of the image
        torch.Size([1, 2, 50, 40])
    """
    widths = [width * multiple for multiple in _MULTIPLES]
    network = EncoderDecoder(
        trunk=SmallEncoder(context.channels, widths),
        decoder=SmallDecoder(widths),
        head=nn.Conv2d(width, context.classes, kernel_size=1),
        enlarge=nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False),
        scaling=InputScaling(context.channels),
        widths=widths,
        stride=STRIDE,
    )
    initialize_by_name(network, context.seed)
    return network


class SmallEncoder(nn.Module):
    """Images -> the map of each stage, each half the size of the one before."""

    def __init__(self, channels: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.down = nn.ModuleList(
            nn.Sequential(*_convolution(before, after, stride=2), *_convolution(after, after))
            for before, after in pairwise([channels, *widths])
        )

    def forward(self, images: Tensor) -> list[Tensor]:
        """From shallow to deep."""
        return run_steps(self.down, images)


def run_steps(steps: Iterable[nn.Module], images: Tensor) -> list[Tensor]:
    """Return the map of each step, which is made of that of the step before."""
    maps = [images]
    for step in steps:
        maps.append(step(maps[-1]))
    return maps[1:]


class SmallDecoder(nn.Module):
    """The maps of the stages -> one map of the size and the width of the first."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        pairs = reversed(list(pairwise(widths)))
        self.up = nn.ModuleList(nn.Sequential(*_convolution(deep + here, here)) for here, deep in pairs)

    def forward(self, maps: Maps) -> Tensor:
        """From deep to shallow."""
        *shallow, deep = maps
        for convolve, skip in zip(self.up, reversed(shallow), strict=True):
            deep = convolve(torch.cat([functional.interpolate(deep, scale_factor=2.0), skip], dim=1))
        return deep


def _convolution(before: int, after: int, stride: int = 1) -> tuple[nn.Module, ...]:
    return (
        nn.Conv2d(before, after, kernel_size=3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(inplace=True),
    )
