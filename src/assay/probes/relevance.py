"""Layer-wise relevance propagation, for networks whose every step has a rule that keeps the sum."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar, cast

import timm.models.resnet as of_timm
import torch
import torchvision.models.resnet as of_torchvision  # pyright: ignore[reportMissingTypeStubs]
from jaxtyping import Float
from pydantic import Field
from timm.layers.adaptive_avgmax_pool import FastAdaptiveAvgPool, SelectAdaptivePool2d
from torch import Tensor, nn
from torch.nn import functional

from assay.core.registry import component
from assay.models.networks import Classifier, InputScaling
from assay.models.untyped import named_layers
from assay.probes.explainers import INSTEAD, Classes, HeatMaps, Hook, Pixels, Step, Subject, gradient, hooked

AS_THEY_ARE = (nn.Identity, nn.Dropout, InputScaling)
"""Modules that keep every place."""
KEEPING = (nn.ReLU, nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.Flatten, FastAdaptiveAvgPool)
"""Modules without bias that scale with their input, so that its gradient hands relevance on without loss."""
HOLDING: tuple[type[nn.Module], ...] = (
    nn.Sequential,
    Classifier,
    SelectAdaptivePool2d,
    *(getattr(of, name) for of in (of_timm, of_torchvision) for name in ("ResNet", "BasicBlock", "Bottleneck")),
)
"""Modules that only run their parts in sequence, or add the outputs of two of them."""
WHICH = (
    "small-cnn, resnet18, the plain ResNets of timm and torchvision, and nn.Sequential of convolutions (each with its "
    "batch norm behind it), ReLU, pooling and linear layers"
)


@dataclass(frozen=True)
class Convolution:
    """A convolution with the batch norm that follows it, as one linear step.

    Attributes:
        norm: None where none follows.
    """

    module: nn.Conv2d
    norm: nn.BatchNorm2d | None

    def weight(self) -> Float[Tensor, "o i u v"]:
        """Of both in one."""
        return self.module.weight * self._scale()[:, None, None, None]

    def bias(self) -> Float[Tensor, " o"]:
        """Of both in one."""
        own = self.module.bias if self.module.bias is not None else self.module.weight.new_zeros(1)
        if self.norm is None:
            return own.expand(len(self.module.weight))
        assert self.norm.running_mean is not None
        shift = self.norm.bias if self.norm.affine else 0.0
        return shift + self._scale() * (own - self.norm.running_mean)

    def of(self, values: Float[Tensor, "b i h w"], weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """Return the convolution with other weights."""
        taken = self.module
        return functional.conv2d(values, weight, bias, taken.stride, taken.padding, taken.dilation)

    def _scale(self) -> Float[Tensor, " o"]:
        if self.norm is None:
            return torch.ones_like(self.module.weight[:, 0, 0, 0])
        assert self.norm.running_var is not None
        spread = (self.norm.running_var + self.norm.eps).sqrt()
        return (self.norm.weight if self.norm.affine else 1.0) / spread


@component(
    "explainer", "lrp", summary="the log-odds dealt out layer by layer by rules that keep its sum (Bach et al. 2015)"
)
class Lrp:
    """Implements `Explainer`: layer-wise relevance propagation (Bach et al. 2015). The relevance of a unit is
    distributed among its inputs, layer by layer, down to the pixels, summed over the channels.

    The rules, those of Montavon et al. (2019) for networks of convolutions: at linear layers the epsilon rule, by
    weight times input, z over z + epsilon of it; at convolutions, their batch norm taken in, the z-plus rule, by the
    positive products of weight and input alone; at the first of them the box rule, whose zero is the pixel that says
    least, between 0 and 1. Pooled means and sums of two branches are distributed by each addend, maxima to the
    greatest. Biases of convolutions take nothing.

    So a map's sum is the sum over logits of (logit - bias of the head) times the log-odds' gradient by it: with one or
    two classes the log-odds without the head's biases. Relevance of a unit without any positive product is lost.
    epsilon: in units of a linear layer's output.
    """

    additive: ClassVar[bool] = True

    def __init__(
        self,
        *,
        epsilon: Annotated[
            float, Field(gt=0, le=1, description="of the rule of linear layers, in units of their output")
        ] = 1e-6,
    ) -> None:
        self.epsilon = epsilon

    def refusal(self, subject: Subject) -> str:
        """It needs a rule for every step; those of attention, of gates and of other activations do not keep the sum."""
        fault = next(_faults(subject), "")
        return f"LRP has rules for {WHICH}; {fault}: {INSTEAD}" if fault else ""

    def explain(self, subject: Subject, images: Pixels, own: Classes) -> HeatMaps:
        """See `Explainer`."""
        first, *others = _convolutions(subject)
        linear = [step.module for step in _leaves(subject) if isinstance(step.module, nn.Linear)]
        norms = [one.norm for one in (first, *others) if one.norm is not None]
        given: list[Tensor] = []
        kept: list[Tensor] = []

        def begin(module: nn.Module, inputs: object, output: Tensor) -> Tensor:
            given.append(_input(inputs).detach().clone())
            kept.append(first.of(given[-1], first.weight(), first.bias()).detach().requires_grad_())
            return kept[-1].clone()

        rules = [(first.module, begin), *((one.module, _positive(one)) for one in others)]
        rules += [*((norm, _as_given) for norm in norms), *((module, self._epsilon_rule(module)) for module in linear)]
        with hooked(rules), torch.enable_grad():
            score = subject.score(images.detach().clone(), own)
            relevance = kept[0].detach() * gradient(score, kept[0])
        with hooked([(first.module, begin)]), torch.no_grad():
            subject.network(torch.stack([torch.zeros_like(images[0]), torch.ones_like(images[0])]))
        return _in_the_box(first, given[0], given[1], relevance).sum(dim=1)

    def _epsilon_rule(self, module: nn.Linear) -> Hook:
        def hook(_: nn.Module, inputs: object, output: Tensor) -> Tensor:
            made = functional.linear(_input(inputs), module.weight)
            value = output.detach()
            return _worth(made, value, value + self.epsilon * torch.where(value >= 0, 1.0, -1.0))

        return hook


def _worth(made: Tensor, value: Tensor, share_of: Tensor) -> Tensor:
    """Return a step's value, whose gradient is that of `made` times value / share_of: relevance over activation is the
    gradient in the network, and a sum of two branches then distributes it by the addends.
    """
    ratio = torch.where(share_of == 0, 0.0, value / torch.where(share_of == 0, 1.0, share_of)).detach()
    scaled = made * ratio
    return scaled + (value - scaled).detach()


def _positive(convolution: Convolution) -> Hook:
    """Return the z-plus rule: by the products of weight and input that are positive."""

    def hook(module: nn.Module, inputs: object, output: Tensor) -> Tensor:
        values, weight = _input(inputs), convolution.weight().detach()
        value = convolution.of(values.detach(), weight, convolution.bias().detach())
        made = convolution.of(functional.relu(values), weight.clamp(min=0))
        made = made + convolution.of(-functional.relu(-values), weight.clamp(max=0))
        return _worth(made, value, made.detach())

    return hook


def _in_the_box(
    first: Convolution,
    values: Float[Tensor, "b i h w"],
    bounds: Float[Tensor, "2 i h w"],
    relevance: Float[Tensor, "b o u v"],
) -> Float[Tensor, "b i h w"]:
    """Return the box rule: the least contribution between black (bounds[0]) and white (bounds[1]) is not counted."""
    weight = first.weight().detach()
    parts = (values, weight), (-bounds[:1].expand_as(values), weight.clamp(min=0))
    parts = (*parts, (-bounds[1:].expand_as(values), weight.clamp(max=0)))
    leaves = [one.detach().clone().requires_grad_() for one, _ in parts]
    with torch.enable_grad():
        made = sum(first.of(leaf, part) for leaf, (_, part) in zip(leaves, parts, strict=True))
        assert isinstance(made, Tensor)
        total = made.detach()
        share = torch.where(total > 0, relevance / torch.where(total > 0, total, 1.0), 0.0)
        slopes = torch.autograd.grad((made * share).sum(), leaves)
    dealt = [leaf.detach() * slope for leaf, slope in zip(leaves, slopes, strict=True)]
    return dealt[0] + dealt[1] + dealt[2]


def _as_given(module: nn.Module, inputs: object, output: Tensor) -> Tensor:
    """Return a batch norm that its convolution has taken in."""
    return _input(inputs)


def _input(inputs: object) -> Tensor:
    return cast(tuple[Tensor], inputs)[0]


def _leaves(subject: Subject) -> list[Step]:
    """Return the steps that are made of no others, in their order."""
    return [step for step in subject.steps if not any(True for _ in step.module.children())]


def _convolutions(subject: Subject) -> list[Convolution]:
    leaves = _leaves(subject)
    after = [*(step.module for step in leaves[1:]), None]
    return [
        Convolution(step.module, follows if isinstance(follows, nn.BatchNorm2d) else None)
        for step, follows in zip(leaves, after, strict=True)
        if isinstance(step.module, nn.Conv2d)
    ]


def _faults(subject: Subject) -> Iterator[str]:
    known = (*AS_THEY_ARE, *KEEPING, nn.Conv2d, nn.BatchNorm2d, nn.Linear)
    for name, module in named_layers(subject.network):
        has_parts = any(True for _ in module.children())
        if type(module) not in (HOLDING if has_parts else (*known, nn.Sequential)):
            kind = type(module).__name__
            yield f"'{name}' is {kind}" if name else f"the network is {kind}"
        if isinstance(module, nn.Conv2d) and module.padding_mode != "zeros":
            yield f"'{name}' pads by {module.padding_mode}"
        if isinstance(module, nn.Conv2d) and module.groups > 1:  # few inputs a unit: often none of them is positive
            yield f"'{name}' convolves in {module.groups} groups"
    leaves = _leaves(subject)
    weighty = [step for step in leaves if type(step.module) not in AS_THEY_ARE]
    if not weighty or not isinstance(weighty[0].module, nn.Conv2d):
        yield f"its first step with a rule is '{weighty[0].name if weighty else 'none'}', no convolution"
    for i, step in enumerate(leaves):
        if isinstance(step.module, nn.BatchNorm2d):
            if i == 0 or not isinstance(leaves[i - 1].module, nn.Conv2d):
                yield f"'{step.name}' follows no convolution"
            if step.module.running_var is None:
                yield f"'{step.name}' has no statistics of its own"
        if isinstance(step.module, nn.Conv2d) and sum(other.module is step.module for other in leaves) > 1:
            yield f"'{step.name}' runs more than once"
