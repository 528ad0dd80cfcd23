"""How far a training changes the network that it starts from: all of it, its deeper part, or the head alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from torch import nn

from assay.core import registry
from assay.core.spec import RecipeSpec
from assay.recipes.models import as_network


class FineTuning:
    """Everything is trained, at one learning rate. A class that inherits changes what it says it does.

    steps: whether there are any. fits_head: whether a linear head is fitted on the features that the network starts
    with, before the first step.
    """

    steps: bool = True
    fits_head: bool = False

    def rates(self, network: nn.Module) -> Mapping[nn.Parameter, float]:
        """What the learning rate is multiplied by; 0 keeps a parameter as it was, and none that is not named is."""
        return {}


class LinearProbe(FineTuning):
    """No step: a multinomial logistic head on the frozen features (`assay.recipes.head.fit_head`), without
    augmentation.
    """

    steps = False
    fits_head = True


class ProbeThenFull(FineTuning):
    """The head of a linear probe first, then everything. Batch norms take their statistics from the training images
    before the head is fitted: trained, they use those of each batch, and a head that was fitted on features of others,
    such as those of the source or the 0 and 1 of random weights, would begin far from where it was fitted.

    Kumar, Raghunathan, Jones, Ma and Liang, *Fine-Tuning can Distort Pretrained Features and Underperform
    Out-of-Distribution*, ICLR 2022 (LP-FT).
    """

    fits_head = True


@dataclass(frozen=True)
class LastLayers(FineTuning):
    """The head and the last `layers` of the parts that `depths` tells apart; the others stay as they were, statistics
    of their batch norms too.
    """

    layers: int

    def rates(self, network: nn.Module) -> Mapping[nn.Parameter, float]:
        """0 for what lies before them. `layers` beyond what there is trains everything."""
        kept = depths(network)[: -self.layers]
        return {parameter: 0.0 for part in kept for parameter in part}


@dataclass(frozen=True)
class DiscriminativeRates(FineTuning):
    """The head at the learning rate, each part before it at `decay` times the rate of the one after.

    Howard and Ruder, *Universal Language Model Fine-tuning for Text Classification*, ACL 2018.
    """

    decay: float

    def rates(self, network: nn.Module) -> Mapping[nn.Parameter, float]:
        """Powers of `decay` by how many parts lie between and the head."""
        parts = depths(network)
        return {parameter: self.decay ** (len(parts) - place) for place, part in enumerate(parts) for parameter in part}


def depths(network: nn.Module) -> tuple[tuple[nn.Parameter, ...], ...]:
    """The trunk's parameters in parts, from shallow to deep: up to the end of each of the network's `layers`, in the
    order in which modules were registered, which in these networks is that of the computation. What follows the last
    layer belongs to it; a layer without parameters of its own ends no part.
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
    """The fine-tuning that a recipe names."""
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
