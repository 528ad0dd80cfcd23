"""The protocol of explainers, and the explainers that use the gradient with respect to the pixels.

An explainer gets a network and a batch of images, and returns a heat map per image.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from assay.core.errors import AssayError
from assay.core.registry import component
from assay.models.untyped import named_layers

# Input and output of an explainer: a network with the steps of one pass, and a heat map per image.

Hook = Callable[[nn.Module, object, Tensor], Tensor | None]
Pixels = Float[Tensor, "b c h w"]
Classes = Int[Tensor, " b"]
HeatMaps = Float[Tensor, "b h w"]


class ExplainerError(AssayError):
    """A network that cannot be explained, or not by the requested explainer."""


@dataclass(frozen=True, slots=True)
class ModuleCall:
    """A call of a module in a forward pass: its dotted name, the module, and the shape of its output."""

    name: str
    module: nn.Module
    shape: tuple[int, ...]


@dataclass(frozen=True)
class ExplainedNetwork:
    """A network as explainers see it, in eval mode; the explained quantity is the log-odds of one class of each image.

    Attributes:
        network: The network.
        steps: Calls of modules that returned a tensor, in the order in which they ended (parts before containers).

    Examples:
        >>> network = nn.Sequential(nn.Flatten(), nn.Linear(2, 1, bias=False))
        >>> network[1].weight.data = torch.tensor([[2.0, -1.0]])
        >>> images = torch.tensor([[[[0.5, 0.25]]]])
        >>> subject = ExplainedNetwork.of(network, images)
        >>> [step.shape for step in subject.steps], subject.score(images, torch.tensor([1])).tolist()
        ([(1, 2), (1, 1)], [0.75])
    """

    network: nn.Module
    steps: tuple[ModuleCall, ...]

    @classmethod
    def of(cls, network: nn.Module, images: Float[Tensor, "b c h w"]) -> ExplainedNetwork:
        """Run the network once on some images to see its steps."""
        steps: list[ModuleCall] = []

        def recorder(name: str) -> Hook:
            def hook(module: nn.Module, inputs: object, output: Tensor) -> None:
                if isinstance(output, Tensor):  # pyright: ignore[reportUnnecessaryIsInstance]
                    steps.append(ModuleCall(name, module, tuple(output.shape)))

            return hook

        with forward_hooks((module, recorder(name)) for name, module in named_layers(network) if name), torch.no_grad():
            network(images)
        return cls(network, tuple(steps))

    def score(self, images: Float[Tensor, "b c h w"], labels: Int[Tensor, " b"]) -> Float[Tensor, " b"]:
        """Return the log-odds of each image's class `labels` against the rest."""
        return class_log_odds(self.network(images), labels)


class Explainer(Protocol):
    """Locates the evidence for an image's class within the image.

    Attributes:
        additive: A class attribute: whether a map's values are signed and in units of the log-odds. The sum over a
            region is then the part of the log-odds that is attributed to it. Other maps are not negative, and only the
            order and the proportions of their values have a meaning.

    Examples:
        A map that only looks at how bright the pixels are:

        >>> class Brightness:
        ...     additive = False
        ...     def refusal(self, subject):
        ...         return ""
        ...     def explain(self, subject, images, own):
        ...         return images.mean(dim=1)
        >>> images = torch.tensor([[[[0.5, 0.25]]]])
        >>> Brightness().explain(ExplainedNetwork(nn.Identity(), ()), images, torch.tensor([1])).tolist()
        [[[0.5, 0.25]]]
    """

    additive: bool

    def refusal(self, subject: ExplainedNetwork) -> str:
        """Why the method cannot explain this network, and alternatives; empty if it can."""
        ...

    def explain(self, subject: ExplainedNetwork, images: Pixels, labels: Classes) -> HeatMaps:
        """Return a heat map in the size of each image, for its class, independent of the rest of the batch."""
        ...


class GenericExplainer:
    """Base class of explainers that can explain every network."""

    def refusal(self, subject: ExplainedNetwork) -> str:
        """Return an empty text: every network can be explained."""
        return ""


def class_log_odds(logits: Tensor, label: Int[Tensor, " b"]) -> Float[Tensor, " b"]:
    """Return the log-odds of class `label` of each image: z_c - log sum of the others' exp z.

    One logit z is the pair (0, z).

    Raises:
        ExplainerError: For logits of pixels, which have no class of the image.
    """
    if logits.ndim > 2:
        raise ExplainerError(
            "the network gives a logit for each pixel, so its output shows where it predicts a lesion. Attribution is "
            "for networks that classify images; see the probes segmentation and painting"
        )
    if logits.ndim == 1 or logits.shape[1] == 1:
        return logits.flatten() * (2 * label - 1)
    chosen = nn.functional.one_hot(label, logits.shape[1]).bool()
    return logits[chosen] - logits.masked_fill(chosen, -torch.inf).logsumexp(dim=1)


def input_gradients(
    subject: ExplainedNetwork, images: Float[Tensor, "b c h w"], labels: Int[Tensor, " b"]
) -> Float[Tensor, "b c h w"]:
    """Return the gradient of each image's log-odds with respect to its pixels, without gradients of weights."""
    pixels = images.detach().clone().requires_grad_()
    with torch.enable_grad():
        return gradient(subject.score(pixels.clone(), labels), pixels)  # a first step may work in place


@contextmanager
def forward_hooks(pairs: Iterable[tuple[nn.Module, Hook]]) -> Generator[None]:
    """Register forward hooks, and remove them afterward, whatever happens."""
    with ExitStack() as stack:
        for module, hook in pairs:
            handle: RemovableHandle = module.register_forward_hook(hook)
            stack.callback(handle.remove)
        yield


def gradient(score: Float[Tensor, " b"], inputs: Tensor) -> Tensor:
    """Return the gradient of scores with respect to a tensor; zeros where they do not depend on it."""
    if not score.requires_grad:
        return torch.zeros_like(inputs)
    (gradients,) = torch.autograd.grad(score.sum(), inputs, allow_unused=True, materialize_grads=True)
    return gradients


# Explainers that use the gradient with respect to the pixels.


@component("explainer", "gradient", summary="size of the gradient by the pixels (Simonyan et al. 2014)")
class Gradient(GenericExplainer):
    """Implements `Explainer`: the greatest |d log-odds / d pixel| over the channels (Simonyan et al. 2014).

    Examples:
        A network whose log-odds are 2 x the first pixel less the second:

        >>> network = nn.Sequential(nn.Flatten(), nn.Linear(2, 1, bias=False))
        >>> network[1].weight.data = torch.tensor([[2.0, -1.0]])
        >>> images = torch.tensor([[[[0.5, 0.25]]]])
        >>> Gradient().explain(ExplainedNetwork.of(network, images), images, torch.tensor([1])).tolist()
        [[[2.0, 1.0]]]
    """

    additive: ClassVar[bool] = False

    def explain(self, subject: ExplainedNetwork, images: Pixels, labels: Classes) -> HeatMaps:
        """See `Explainer`."""
        return input_gradients(subject, images, labels).abs().amax(dim=1)


@component("explainer", "input-x-gradient", summary="pixel times gradient (Shrikumar et al. 2016)")
class InputXGradient(GenericExplainer):
    """Implements `Explainer`: pixel times gradient, summed over the channels (Shrikumar et al. 2016).

    A black pixel gets nothing, whatever the network makes of its being black.

    Examples:
        A network whose log-odds are 2 x the first pixel less the second; the map sums to them:

        >>> network = nn.Sequential(nn.Flatten(), nn.Linear(2, 1, bias=False))
        >>> network[1].weight.data = torch.tensor([[2.0, -1.0]])
        >>> images = torch.tensor([[[[0.5, 0.25]]]])
        >>> InputXGradient().explain(ExplainedNetwork.of(network, images), images, torch.tensor([1])).tolist()
        [[[1.0, -0.25]]]
    """

    additive: ClassVar[bool] = True

    def explain(self, subject: ExplainedNetwork, images: Pixels, labels: Classes) -> HeatMaps:
        """See `Explainer`."""
        return (images * input_gradients(subject, images, labels)).sum(dim=1)
