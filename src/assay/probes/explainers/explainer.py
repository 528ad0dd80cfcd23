"""What an explainer is given and what it gives: a network with the steps of one pass, and a heat-map per image."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from assay.core.errors import AssayError
from assay.recipes.untyped import named_layers

Hook = Callable[[nn.Module, object, Tensor], Tensor | None]


class ExplainerError(AssayError):
    """A network that cannot be explained at all, or not as asked."""


@dataclass(frozen=True, slots=True)
class Step:
    """A module that ran in a pass: its dotted name, itself, and the shape of its output."""

    name: str
    module: nn.Module
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Subject:
    """A network as explainers see it, in eval mode; what is explained is the log-odds of one class of each image.

    steps: the modules that gave a tensor, in the order in which they ended (parts before what holds them).
    """

    network: nn.Module
    steps: tuple[Step, ...]

    @classmethod
    def of(cls, network: nn.Module, images: Float[Tensor, "b c h w"]) -> Subject:
        """Run the network once on some images to see its steps."""
        steps: list[Step] = []

        def seen(name: str) -> Hook:
            def hook(module: nn.Module, given: object, output: Tensor) -> None:
                if isinstance(output, Tensor):  # pyright: ignore[reportUnnecessaryIsInstance]
                    steps.append(Step(name, module, tuple(output.shape)))

            return hook

        with hooked((module, seen(name)) for name, module in named_layers(network) if name), torch.no_grad():
            network(images)
        return cls(network, tuple(steps))

    def score(self, images: Float[Tensor, "b c h w"], own: Int[Tensor, " b"]) -> Float[Tensor, " b"]:
        """The log-odds of each image's class `own` against the rest."""
        return class_log_odds(self.network(images), own)


class Explainer(Protocol):
    """Says where in an image the evidence for its class lies, as far as the method sees it.

    additive: a class attribute; whether a map's values are signed and in units of the log-odds, so that their sum over
    a region is the part of the log-odds that is attributed to it. Of other maps only the order and the proportions of
    the values mean something, and they are not negative.
    """

    additive: bool

    def refusal(self, subject: Subject) -> str:
        """Why the method cannot explain this network, and what can; empty where it can."""
        ...

    def explain(
        self, subject: Subject, images: Float[Tensor, "b c h w"], own: Int[Tensor, " b"]
    ) -> Float[Tensor, "b h w"]:
        """A heat-map of each image's own size, for its class `own`. It depends on no other image of the batch."""
        ...


def class_log_odds(logits: Tensor, own: Int[Tensor, " b"]) -> Float[Tensor, " b"]:
    """The log-odds of class `own` of each image: z_c - log sum of the others' exp z. One logit z is the pair (0, z).

    Raises ExplainerError for logits of pixels, which have no class of the image.
    """
    if logits.ndim > 2:
        raise ExplainerError(
            "the network gives logits of pixels, whose map says itself where it sees a lesion: attribution is for "
            "networks that classify images; see the probes segmentation and painting"
        )
    if logits.ndim == 1 or logits.shape[1] == 1:
        return logits.flatten() * (2 * own - 1)
    chosen = nn.functional.one_hot(own, logits.shape[1]).bool()
    return logits[chosen] - logits.masked_fill(chosen, -torch.inf).logsumexp(dim=1)


def slopes(subject: Subject, images: Float[Tensor, "b c h w"], own: Int[Tensor, " b"]) -> Float[Tensor, "b c h w"]:
    """The gradient of each image's log-odds by its pixels. Gradients of weights are not made."""
    pixels = images.detach().clone().requires_grad_()
    with torch.enable_grad():
        return gradient(subject.score(pixels.clone(), own), pixels)  # a first step may work in place


def slopes_at(
    subject: Subject, layer: nn.Module, images: Float[Tensor, "b c h w"], own: Int[Tensor, " b"]
) -> tuple[Tensor, Tensor]:
    """A layer's output and the gradient of each image's log-odds by it.

    What follows is handed a copy, so that a step that works in place leaves the output as it was.
    """
    kept: list[Tensor] = []

    def keep(module: nn.Module, given: object, output: Tensor) -> Tensor:
        kept.append(output if output.requires_grad else output.detach().requires_grad_())
        return kept[-1].clone()

    with hooked([(layer, keep)]), torch.enable_grad():
        score = subject.score(images.detach().clone(), own)
        return kept[-1].detach(), gradient(score, kept[-1])


@contextmanager
def hooked(pairs: Iterable[tuple[nn.Module, Hook]]) -> Generator[None]:
    """Forward hooks that are gone afterwards, whatever happens."""
    with ExitStack() as stack:
        for module, hook in pairs:
            handle: RemovableHandle = module.register_forward_hook(hook)
            stack.callback(handle.remove)
        yield


def gradient(score: Float[Tensor, " b"], by: Tensor) -> Tensor:
    """Of each image's score by a tensor; zero where it does not depend on it: that is an answer, not an error."""
    if not score.requires_grad:
        return torch.zeros_like(by)
    (found,) = torch.autograd.grad(score.sum(), by, allow_unused=True, materialize_grads=True)
    return found
