"""Explainers: gradients, Grad-CAM and occlusion."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, Protocol

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from assay.core.errors import AssayError
from assay.core.registry import component
from assay.core.seeds import generator
from assay.models.untyped import named_layers, tensor_of
from assay.shifts.confounders.pixels import gaussian

Replacement = Literal["blur", "mean", "black"]
_ReplacementArgument = Annotated[
    Replacement,
    Field(description="blur: of a Gaussian, sd an eighth of the shorter side; mean: the image's mean color; black: 0"),
]


# Input and output of an explainer: a network with the steps of one pass, and a heat map per image.

Hook = Callable[[nn.Module, object, Tensor], Tensor | None]
Pixels = Float[Tensor, "b c h w"]
Classes = Int[Tensor, " b"]
HeatMaps = Float[Tensor, "b h w"]


class ExplainerError(AssayError):
    """A network that cannot be explained at all, or not as asked."""


@dataclass(frozen=True, slots=True)
class ModuleCall:
    """A module that ran in a pass: its dotted name, itself, and the shape of its output."""

    name: str
    module: nn.Module
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Subject:
    """A network as explainers see it, in eval mode; the explained quantity is the log-odds of one class of each image.

    Attributes:
        steps: The modules that gave a tensor, in the order in which they ended (parts before their containers).
    """

    network: nn.Module
    steps: tuple[ModuleCall, ...]

    @classmethod
    def of(cls, network: nn.Module, images: Float[Tensor, "b c h w"]) -> Subject:
        """Run the network once on some images to see its steps."""
        steps: list[ModuleCall] = []

        def seen(name: str) -> Hook:
            def hook(module: nn.Module, inputs: object, output: Tensor) -> None:
                if isinstance(output, Tensor):  # pyright: ignore[reportUnnecessaryIsInstance]
                    steps.append(ModuleCall(name, module, tuple(output.shape)))

            return hook

        with hooks((module, seen(name)) for name, module in named_layers(network) if name), torch.no_grad():
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
    """

    additive: bool

    def refusal(self, subject: Subject) -> str:
        """Why the method cannot explain this network, and alternatives; empty if it can."""
        ...

    def explain(self, subject: Subject, images: Pixels, own: Classes) -> HeatMaps:
        """Return a heat map in the size of each image, for its class `own`, independent of the rest of the batch."""
        ...


class OfAnyNetwork:
    """Base of explainers that explain every network."""

    def refusal(self, subject: Subject) -> str:
        """It explains every network."""
        return ""


def class_log_odds(logits: Tensor, label: Int[Tensor, " b"]) -> Float[Tensor, " b"]:
    """Return the log-odds of class `label` of each image: z_c - log sum of the others' exp z.

    One logit z is the pair (0, z).

    Raises:
        ExplainerError: For logits of pixels, which have no class of the image.
    """
    if logits.ndim > 2:
        raise ExplainerError(
            "the network gives logits of pixels, whose map says itself where it sees a lesion: attribution is for "
            "networks that classify images; see the probes segmentation and painting"
        )
    if logits.ndim == 1 or logits.shape[1] == 1:
        return logits.flatten() * (2 * label - 1)
    chosen = nn.functional.one_hot(label, logits.shape[1]).bool()
    return logits[chosen] - logits.masked_fill(chosen, -torch.inf).logsumexp(dim=1)


def slopes(subject: Subject, images: Float[Tensor, "b c h w"], labels: Int[Tensor, " b"]) -> Float[Tensor, "b c h w"]:
    """Return the gradient of each image's log-odds by its pixels. Gradients of weights are not made."""
    pixels = images.detach().clone().requires_grad_()
    with torch.enable_grad():
        return gradient(subject.score(pixels.clone(), labels), pixels)  # a first step may work in place


def slopes_at(
    subject: Subject, layer: nn.Module, images: Float[Tensor, "b c h w"], labels: Int[Tensor, " b"]
) -> tuple[Tensor, Tensor]:
    """Return a layer's output and the gradient of each image's log-odds by it.

    Later steps receive a copy, so that a step that works in place leaves the output as it was.
    """
    outputs: list[Tensor] = []

    def keep(module: nn.Module, inputs: object, output: Tensor) -> Tensor:
        outputs.append(output if output.requires_grad else output.detach().requires_grad_())
        return outputs[-1].clone()

    with hooks([(layer, keep)]), torch.enable_grad():
        score = subject.score(images.detach().clone(), labels)
        return outputs[-1].detach(), gradient(score, outputs[-1])


@contextmanager
def hooks(pairs: Iterable[tuple[nn.Module, Hook]]) -> Generator[None]:
    """Forward hooks that are gone afterward, whatever happens."""
    with ExitStack() as stack:
        for module, hook in pairs:
            handle: RemovableHandle = module.register_forward_hook(hook)
            stack.callback(handle.remove)
        yield


def gradient(score: Float[Tensor, " b"], by: Tensor) -> Tensor:
    """Of each image's score by a tensor; zero where it does not depend on it: that is an answer, not an error."""
    if not score.requires_grad:
        return torch.zeros_like(by)
    (gradients,) = torch.autograd.grad(score.sum(), by, allow_unused=True, materialize_grads=True)
    return gradients


# An explainer that reads a layer's maps: Grad-CAM.

INSTEAD = "use gradient, integrated-gradients, smoothgrad or occlusion"


@component(
    "explainer",
    "grad-cam",
    summary="maps of the last convolution weighted by their mean gradient (Selvaraju et al. 2017)",
)
class GradCam:
    """Grad-CAM (Selvaraju et al. 2017), an `Explainer`.

    The maps of a layer are weighted by the mean over space of their gradient, summed, cut at zero, and resized to the
    image by linear interpolation. A coarse map favors large lesions, whatever the network sees.

    Attributes:
        layer: Dotted module name. Empty for the last convolution, including the following steps that keep its shape
            (norm, rectifier, the block's sum).
    """

    additive: ClassVar[bool] = False

    def __init__(
        self,
        *,
        layer: Annotated[
            str, Field(description="dotted name of a layer that gives maps; the last convolution where empty")
        ] = "",
    ) -> None:
        self.layer = layer

    def refusal(self, subject: Subject) -> str:
        """It needs a layer that gives maps and through which all that comes later goes."""
        return why_not(subject, self.layer)

    def explain(self, subject: Subject, images: Pixels, own: Classes) -> HeatMaps:
        """See `Explainer`."""
        maps, slope = slopes_at(subject, map_layer(subject, self.layer).module, images, own)
        coarse = (slope.mean(dim=(2, 3), keepdim=True) * maps).sum(dim=1, keepdim=True).clamp(min=0)
        size = (images.shape[2], images.shape[3])
        return nn.functional.interpolate(coarse, size=size, mode="bilinear", align_corners=False)[:, 0]


def why_not(subject: Subject, layer: str) -> str:
    """Why a layer's maps cannot explain a network; empty where they can."""
    if layer:
        steps = [step for step in subject.steps if step.name == layer]
        if not steps:
            near = ", ".join(step.name for step in subject.steps if _is_map(step))
            return f"no layer '{layer}' runs in this network; layers that give maps: {near or 'none'}"
        if not _is_map(steps[-1]):
            return f"layer '{layer}' gives {list(steps[-1].shape)}, no maps [b, d, h, w] of several places: {INSTEAD}"
        many = sum(step.name == layer for step in steps)
        return f"layer '{layer}' runs {many} times in a pass, so its maps are not one: {INSTEAD}" if many > 1 else ""
    last = _last_convolution(subject)
    if last is None:
        return f"no convolution of this network gives maps of several places: {INSTEAD}"
    after = subject.steps[subject.steps.index(map_layer(subject, "")) + 1 :]
    tokens = next((step.name for step in after if _is_tokens(step)), "")
    return f"the network goes on with tokens ('{tokens}') after its last convolution: {INSTEAD}" if tokens else ""


def map_layer(subject: Subject, layer: str) -> ModuleCall:
    """Return the layer of that name; else the last step of the same shape as the last convolution's map."""
    if layer:
        return next(step for step in subject.steps if step.name == layer)
    last = _last_convolution(subject)
    assert last is not None, "ask why_not first"
    return [step for step in subject.steps[subject.steps.index(last) :] if step.shape == last.shape][-1]


def _last_convolution(subject: Subject) -> ModuleCall | None:
    convolutions = [step for step in subject.steps if isinstance(step.module, nn.Conv2d) and _is_map(step)]
    return convolutions[-1] if convolutions else None


def _is_map(step: ModuleCall) -> bool:
    return len(step.shape) == 4 and step.shape[2] * step.shape[3] > 1


def _is_tokens(step: ModuleCall) -> bool:
    """Return an output [b, t, d], or one of a module that attends, whatever its shape."""
    return len(step.shape) == 3 or "Attention" in type(step.module).__name__


# Replacement of removed pixels.

BLUR = 1 / 8
"""Standard deviation of the blur, the image's shorter side being 1: lesions go, light and shade stay."""


def replace_pixels(images: Float[Tensor, "b c h w"], by: Replacement) -> Float[Tensor, "b c h w"]:
    """Return each image with all its pixels taken away.

    `blur`: a Gaussian blur. `mean`: its own mean color. `black`: 0, which is also the color of much anatomy.
    """
    if by == "blur":
        return gaussian(images, BLUR * min(images.shape[2:]))
    if by == "mean":
        return images.mean(dim=(2, 3), keepdim=True).expand_as(images).clone()
    return torch.zeros_like(images)


# Explainers made of the gradient by the pixels.


@component("explainer", "gradient", summary="size of the gradient by the pixels (Simonyan et al. 2014)")
class Gradient(OfAnyNetwork):
    """Implements `Explainer`: the greatest |d log-odds / d pixel| over the channels (Simonyan et al. 2014)."""

    additive: ClassVar[bool] = False

    def explain(self, subject: Subject, images: Pixels, own: Classes) -> HeatMaps:
        """See `Explainer`."""
        return slopes(subject, images, own).abs().amax(dim=1)


@component("explainer", "input-x-gradient", summary="pixel times gradient (Shrikumar et al. 2016)")
class InputXGradient(OfAnyNetwork):
    """Implements `Explainer`: pixel times gradient, summed over the channels (Shrikumar et al. 2016).

    A black pixel gets nothing, whatever the network makes of its being black.
    """

    additive: ClassVar[bool] = True

    def explain(self, subject: Subject, images: Pixels, own: Classes) -> HeatMaps:
        """See `Explainer`."""
        return (images * slopes(subject, images, own)).sum(dim=1)


@component(
    "explainer",
    "integrated-gradients",
    summary="the mean gradient on the way from a baseline to the image (Sundararajan et al. 2017)",
)
class IntegratedGradients(OfAnyNetwork):
    """Implements `Explainer`: (pixel - baseline) times the mean gradient along the straight line between them, summed
    over the channels (Sundararajan et al. 2017).

    The sum over all pixels nears the log-odds of the image less those of the baseline. steps: points of the line, at
    the middles of so many equal parts. baseline: see `replace_pixels`.
    """

    additive: ClassVar[bool] = True

    def __init__(
        self,
        *,
        steps: Annotated[
            int, Field(ge=2, le=1000, description="points of the line from the baseline to the image")
        ] = 32,
        baseline: _ReplacementArgument = "black",
    ) -> None:
        self.steps = steps
        self.baseline: Replacement = baseline

    def explain(self, subject: Subject, images: Pixels, own: Classes) -> HeatMaps:
        """See `Explainer`."""
        start = replace_pixels(images, self.baseline)
        way, total = images - start, torch.zeros_like(images)
        for step in range(self.steps):
            total += slopes(subject, start + (step + 0.5) / self.steps * way, own)
        return (way * total / self.steps).sum(dim=1)


@component("explainer", "smoothgrad", summary="the gradient averaged over noisy copies (Smilkov et al. 2017)")
class SmoothGrad(OfAnyNetwork):
    """Implements `Explainer`: the gradient averaged over noisy copies, then its greatest size over the channels
    (Smilkov et al. 2017).

    noise: standard deviation, as a share of the image's range of values. The noise is the same for every image, so that
    a map depends neither on its batch nor on its row.
    """

    additive: ClassVar[bool] = False

    def __init__(
        self,
        *,
        samples: Annotated[int, Field(ge=1, le=1000, description="noisy copies of an image")] = 16,
        noise: Annotated[
            float, Field(gt=0, le=1, description="standard deviation, as a share of the image's range")
        ] = 0.1,
    ) -> None:
        self.samples = samples
        self.noise = noise

    def explain(self, subject: Subject, images: Pixels, own: Classes) -> HeatMaps:
        """See `Explainer`."""
        sd = self.noise * (images.amax(dim=(1, 2, 3), keepdim=True) - images.amin(dim=(1, 2, 3), keepdim=True))
        draw, total = generator(0, "smoothgrad"), torch.zeros_like(images)
        for _ in range(self.samples):
            noise = tensor_of(draw.standard_normal(images.shape[1:], dtype="float32")).to(images.device)
            total += slopes(subject, images + sd * noise, own)
        return (total / self.samples).abs().amax(dim=1)


# An explainer that needs no gradient: it covers a window and measures the loss.


@component("explainer", "occlusion", summary="what the log-odds lose when a window is covered (Zeiler and Fergus 2014)")
class Occlusion(OfAnyNetwork):
    """Implements `Explainer`: how far the log-odds fall when a window is covered, spread evenly over its pixels, mean
    over the windows that cover a pixel (Zeiler and Fergus 2014).

    window: side of the window, the image's shorter side being 1. stride: from one window to the next, the window's side
    being 1. replacement: see `replace_pixels`. An image passes through the network as often as there are windows.
    """

    additive: ClassVar[bool] = True

    def __init__(
        self,
        *,
        window: Annotated[
            float, Field(gt=0, lt=1, description="side of the window that is covered, shorter side 1")
        ] = 0.125,
        stride: Annotated[
            float, Field(gt=0, le=1, description="from one window to the next, side of the window 1")
        ] = 1.0,
        replacement: _ReplacementArgument = "mean",
    ) -> None:
        self.window = window
        self.stride = stride
        self.replacement: Replacement = replacement

    @torch.no_grad()
    def explain(self, subject: Subject, images: Pixels, own: Classes) -> HeatMaps:
        """See `Explainer`."""
        height, width = images.shape[2:]
        side = max(1, round(self.window * min(height, width)))
        step = max(1, round(self.stride * side))
        cover, intact = replace_pixels(images, self.replacement), subject.score(images, own)
        total, windows = torch.zeros_like(images[:, 0]), torch.zeros_like(images[0, 0])
        for top in places(height, side, step):
            for left in places(width, side, step):
                rows, columns = slice(top, top + side), slice(left, left + side)
                covered = images.clone()
                covered[:, :, rows, columns] = cover[:, :, rows, columns]
                fall = (intact - subject.score(covered, own)) / side**2
                total[:, rows, columns] += fall[:, None, None]
                windows[rows, columns] += 1
        return total / windows


def places(length: int, side: int, step: int) -> list[int]:
    """Where windows begin along an axis; the last ends at its end, so that every pixel is covered."""
    starts = list(range(0, max(length - side, 0) + 1, step))
    return starts if starts[-1] + side >= length else [*starts, length - side]
