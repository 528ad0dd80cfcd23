"""Classification networks: input scaling, a trunk that yields pooled features, and a linear head."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from assay.core import registry
from assay.core.errors import SpecError
from assay.core.spec import RecipeSpec
from assay.core.traits import Readout, readout_of
from assay.recipes.grading import GradeHead
from assay.recipes.network import Network, Outputs
from assay.recipes.randomness import library_draws
from assay.recipes.untyped import named_layers
from assay.recipes.weights.load import Start

WEIGHTS = "initial-weights"
"""The purpose under which all initial weights are drawn."""


@dataclass(frozen=True, slots=True)
class ArchitectureContext:
    """What an architecture is built with, as its one positional argument.

    channels, size: of the images (side in pixels). classes: number of logits. seed: of the initial weights.
    """

    channels: int
    size: int
    classes: int
    seed: int


class InputScaling(nn.Module):
    """Images in [0, 1] to what the trunk expects: grey repeated to fill its channels, then (x - mean) / sd.

    The constants are buffers, so that they travel with the weights.
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
            given = torch.tensor(values, dtype=torch.float32)
            buffer.copy_(
                (given if self.channels == len(given) else given.mean()).reshape(1, -1, 1, 1).expand_as(buffer)
            )

    def words(self) -> str:
        """What is done to an image x, as it is said in the record."""
        mean, sd = (", ".join(f"{float(value):.6g}" for value in buffer.flatten()) for buffer in (self.mean, self.sd))
        return f"(x - ({mean})) / ({sd})"

    def forward(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b channels h w"]:
        """Scaled images. A grey image is repeated by broadcasting."""
        return (images - self.mean) / self.sd


class WithTrunk(nn.Module):
    """A network whose trunk can start from published weights: of a classifier all but its head, else the encoder.

    architecture: what its recipe calls it. input_hint: what to say when nothing tells how the images of its published
    weights were scaled; empty where the network's own scaling is theirs. start: what became of the weights file that
    the trunk was loaded from; None after a random start.
    """

    architecture: str = ""
    input_hint: str = ""
    start: Start | None = None

    def __init__(self, trunk: nn.Module, scaling: InputScaling, width: int) -> None:
        super().__init__()
        self.width = width
        self.scaling = scaling
        self.trunk = trunk

    @property
    def drawn(self) -> tuple[str, ...]:
        """Names of the parts beside the trunk that have weights: they are drawn from the seed, whatever the start."""
        beside = ((name, part) for name, part in self.named_children() if part is not self.trunk)
        return tuple(name for name, part in beside if any(True for _ in part.parameters()))

    def published(self) -> tuple[nn.Module, tuple[str, ...]]:
        """The module whose tensors published weights name, and the names of what they hold beside it: the trunk itself.

        Where it is another module, `take` brings what was loaded into it to the trunk.
        """
        return self.trunk, ()

    def take(self, loaded: nn.Module, strides: Mapping[str, int]) -> Mapping[str, int]:
        """Take up the module of `published`; given the strides that were changed in it, those of the trunk by name."""
        return strides


class Classifier(WithTrunk):
    """A `Network` made of input scaling, a trunk (images -> pooled features [b, width]) and a linear head.

    layers: names of modules within the trunk, from shallow to deep; the trunk itself, whose output is the pooled
    features, is added as the last. replaced: names of the classifier layers that published weights of this architecture
    hold on top of the trunk, and that the head stands in for.
    """

    def __init__(
        self,
        trunk: nn.Module,
        width: int,
        layers: Sequence[str],
        scaling: InputScaling,
        classes: int,
        replaced: Sequence[str] = (),
    ) -> None:
        super().__init__(trunk, scaling, width)
        self.replaced = tuple(replaced)
        self.layers = (*(f"trunk.{layer}" for layer in layers), "trunk")
        self.head = nn.Linear(width, classes)

    def published(self) -> tuple[nn.Module, tuple[str, ...]]:
        """See `WithTrunk`."""
        return self.trunk, self.replaced

    def read(self, images: Float[Tensor, "b c h w"]) -> Outputs:
        """Features and logits in one pass."""
        features = self.trunk(self.scaling(images))
        return Outputs(features=features, logits=self.head(features))

    def forward(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k"]:
        """Logits."""
        return self.read(images).logits


def build_network(recipe: RecipeSpec, *, channels: int, size: int, classes: int, seed: int) -> nn.Module:
    """The network of a recipe with its initial weights: a `Network`, in training mode, on the CPU.

    Initial weights depend on (seed, name of the module) alone, so two losses of a seed start from the same trunk, and
    so do two networks that differ in their number of classes. No global random state is changed.
    Raises SpecError when the architecture cannot take these images, WeightsError when the weights do not fit.
    """
    network = empty_network(recipe, channels=channels, size=size, classes=classes, seed=seed)
    initialisation = recipe.initialisation
    with library_draws(seed, WEIGHTS, "initialisation"):
        registry.build("initialisation", initialisation.name, initialisation.params)(network)
    return network


def empty_network(recipe: RecipeSpec, *, channels: int, size: int, classes: int, seed: int = 0) -> nn.Module:
    """The network of a recipe before its initialisation is applied: what kept weights are loaded into."""
    if classes < 2:
        raise SpecError(f"a classification network needs at least 2 classes, the data have {classes}")
    context = ArchitectureContext(channels=channels, size=size, classes=classes, seed=seed)
    with library_draws(seed, WEIGHTS, "construction"):
        network = registry.build("architecture", recipe.architecture.name, recipe.architecture.params, context)
    if isinstance(network, WithTrunk):
        network.architecture = recipe.architecture.label
    _check_size(cast(nn.Module, network), recipe.architecture.label, context)
    return with_readout(cast(nn.Module, network), readout_of(recipe.loss), seed)


def with_readout(network: nn.Module, readout: Readout, seed: int) -> nn.Module:
    """The network with the head that its loss needs in the place of its linear one, drawn from (seed, its name)."""
    if readout == "linear":
        return network
    seen = as_network(network)
    if not isinstance(seen.head, nn.Linear):
        raise SpecError(
            f"a loss for grades puts a head of its own in the place of a linear one, and {type(network).__name__} has "
            f"{type(seen.head).__name__}: use cross-entropy, or an architecture whose head is linear"
        )
    head = GradeHead(readout, seen.width, seen.head.out_features)
    initialise_by_name(head, seed, "head")
    network.add_module("head", head)
    return network


def initialise_by_name(
    module: nn.Module, seed: int, prefix: str = "", law: Callable[[nn.Module], object] | None = None
) -> None:
    """Redraw every layer's weights by torch's own law, from a generator keyed by the layer's name.

    law: of a library, called with each layer afterwards; what it leaves alone keeps torch's.
    """
    for name, layer in named_layers(module, prefix):
        reset = getattr(layer, "reset_parameters", None)
        if callable(reset):
            with library_draws(seed, WEIGHTS, name):
                reset()
                if law is not None:
                    law(layer)


def as_network(module: nn.Module) -> Network:
    """A module seen through the `Network` protocol. Raises TypeError with what it lacks."""
    missing = [name for name in ("width", "head", "layers", "read") if not hasattr(module, name)]
    if missing:
        raise TypeError(f"{type(module).__name__} is not a Network: it lacks {', '.join(missing)}")
    return cast(Network, module)


def _check_size(network: nn.Module, label: str, context: ArchitectureContext) -> None:
    """One blank image through the network, so that what does not fit is refused before training."""
    training = network.training
    blank = torch.zeros(1, context.channels, context.size, context.size)
    try:
        with torch.no_grad():
            network.eval()(blank)
    except (RuntimeError, AssertionError, ValueError) as error:
        raise SpecError(
            f"architecture '{label}' cannot take images of {context.size} x {context.size} pixels with "
            f"{context.channels} channel(s): {str(error).splitlines()[0]}; choose a larger size or another architecture"
        ) from error
    finally:
        network.train(training)


def scaling_words(network: nn.Module) -> str:
    """How a network scales its images, in words; empty for one that is not built of `InputScaling` and a trunk."""
    return network.scaling.words() if isinstance(network, WithTrunk) else ""
