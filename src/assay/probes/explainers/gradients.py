"""Explainers made of the gradient by the pixels."""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from assay.core.seeds import generator
from assay.probes.explainers.explainer import Subject, hooked, slopes
from assay.probes.explainers.replacing import Replacement, replaced
from assay.recipes.untyped import tensor_of

RECTIFIERS = (nn.ReLU, nn.ReLU6)
"""What guided backpropagation knows how to pass."""


class Gradient:
    """Implements `Explainer`: the greatest |d log-odds / d pixel| over the channels (Simonyan et al. 2014)."""

    additive: ClassVar[bool] = False

    def refusal(self, subject: Subject) -> str:
        """It explains every network that has a gradient."""
        return ""

    def explain(
        self, subject: Subject, images: Float[Tensor, "b c h w"], own: Int[Tensor, " b"]
    ) -> Float[Tensor, "b h w"]:
        """See `Explainer`."""
        return slopes(subject, images, own).abs().amax(dim=1)


class InputXGradient:
    """Implements `Explainer`: pixel times gradient, summed over the channels (Shrikumar et al. 2016).

    A black pixel gets nothing, whatever the network makes of its being black.
    """

    additive: ClassVar[bool] = True

    def refusal(self, subject: Subject) -> str:
        """It explains every network that has a gradient."""
        return ""

    def explain(
        self, subject: Subject, images: Float[Tensor, "b c h w"], own: Int[Tensor, " b"]
    ) -> Float[Tensor, "b h w"]:
        """See `Explainer`."""
        return (images * slopes(subject, images, own)).sum(dim=1)


class IntegratedGradients:
    """Implements `Explainer`: (pixel - baseline) times the mean gradient along the straight line between them, summed
    over the channels (Sundararajan et al. 2017).

    The sum over all pixels nears the log-odds of the image less those of the baseline. steps: points of the line, at
    the middles of so many equal parts. baseline: see `replaced`.
    """

    additive: ClassVar[bool] = True

    def __init__(self, *, steps: int = 32, baseline: Replacement = "black") -> None:
        self.steps = steps
        self.baseline: Replacement = baseline

    def refusal(self, subject: Subject) -> str:
        """It explains every network that has a gradient."""
        return ""

    def explain(
        self, subject: Subject, images: Float[Tensor, "b c h w"], own: Int[Tensor, " b"]
    ) -> Float[Tensor, "b h w"]:
        """See `Explainer`."""
        start = replaced(images, self.baseline)
        way, total = images - start, torch.zeros_like(images)
        for step in range(self.steps):
            total += slopes(subject, start + (step + 0.5) / self.steps * way, own)
        return (way * total / self.steps).sum(dim=1)


class SmoothGrad:
    """Implements `Explainer`: the gradient averaged over noisy copies, then its greatest size over the channels
    (Smilkov et al. 2017).

    noise: standard deviation, as a share of the image's range of values. The noise is the same for every image, so that
    a map depends neither on its batch nor on its row.
    """

    additive: ClassVar[bool] = False

    def __init__(self, *, samples: int = 16, noise: float = 0.1) -> None:
        self.samples = samples
        self.noise = noise

    def refusal(self, subject: Subject) -> str:
        """It explains every network that has a gradient."""
        return ""

    def explain(
        self, subject: Subject, images: Float[Tensor, "b c h w"], own: Int[Tensor, " b"]
    ) -> Float[Tensor, "b h w"]:
        """See `Explainer`."""
        sd = self.noise * (images.amax(dim=(1, 2, 3), keepdim=True) - images.amin(dim=(1, 2, 3), keepdim=True))
        draw, total = generator(0, "smoothgrad"), torch.zeros_like(images)
        for _ in range(self.samples):
            noise = tensor_of(draw.standard_normal(images.shape[1:], dtype="float32")).to(images.device)
            total += slopes(subject, images + sd * noise, own)
        return (total / self.samples).abs().amax(dim=1)


class GuidedBackprop:
    """Implements `Explainer`: the gradient, of which every rectifier lets only the positive part back; then its
    greatest size over the channels (Springenberg et al. 2015).

    Rectifiers are what runs as `nn.ReLU` or `nn.ReLU6`; one that is called as a function is not seen. A class for which
    nothing but negative evidence reaches the head has a map of zeros.
    """

    additive: ClassVar[bool] = False

    def refusal(self, subject: Subject) -> str:
        """Without a rectifier module in its pass there is nothing to guide."""
        if any(isinstance(step.module, RECTIFIERS) for step in subject.steps):
            return ""
        return "no ReLU module runs in this network, so nothing can be guided: use gradient or smoothgrad"

    def explain(
        self, subject: Subject, images: Float[Tensor, "b c h w"], own: Int[Tensor, " b"]
    ) -> Float[Tensor, "b h w"]:
        """See `Explainer`."""
        rectifiers = {id(step.module): step.module for step in subject.steps if isinstance(step.module, RECTIFIERS)}
        with hooked((module, _guide) for module in rectifiers.values()):
            return slopes(subject, images, own).abs().amax(dim=1)


def _guide(module: nn.Module, given: object, output: Tensor) -> Tensor:
    return _Guided.apply(output)  # pyright: ignore[reportUnknownMemberType, reportReturnType]


class _Guided(torch.autograd.Function):
    """The identity, whose gradient comes back without its negative part. The rectifier then takes what it takes."""

    @staticmethod
    def forward(ctx: object, values: Tensor) -> Tensor:
        return values.clone()

    @staticmethod
    def backward(ctx: object, *grads: Tensor) -> Tensor:
        return grads[0].clamp(min=0)
