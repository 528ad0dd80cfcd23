"""What a training begins with: a network with its first weights, the objective, and the optimiser over both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import nn

from assay.core import registry
from assay.core.seeds import generator
from assay.core.spec import RecipeSpec
from assay.recipes.feed import Feed, make_feed
from assay.recipes.finetuning import build_finetuning, to_training
from assay.recipes.head import fit_head
from assay.recipes.mitigations.mitigation import Mitigation, Setting
from assay.recipes.models import as_network, build_network
from assay.recipes.objective import LossContext, Objective
from assay.recipes.randomness import library_draws
from assay.recipes.reading import read_all
from assay.recipes.untyped import channels_last
from assay.shifts.environment import Environment

_CHUNK = 256
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


@dataclass(frozen=True)
class Learner:
    """What a phase trains, at its first step."""

    network: nn.Module
    objective: Objective
    optimiser: torch.optim.Optimizer


def make_learner(
    recipe: RecipeSpec, mitigation: Mitigation, setting: Setting, training: Environment, device: torch.device
) -> Learner:
    """The same each time. Within seeded library draws."""
    channels, size, _ = training.images.shape
    network = build_network(recipe, channels=channels, size=size, classes=setting.classes, seed=setting.seed)
    network = channels_last(network, device)
    rates = build_finetuning(recipe).rates(network)
    for parameter, rate in rates.items():
        parameter.requires_grad_(rate > 0)
    network = to_training(network)
    dense = recipe.task == "segmentation"
    counts = _pixels(training, setting.classes) if dense else _images(training, setting.classes)
    context = LossContext(as_network(network).width, setting.classes, tuple(counts.tolist()), dense)
    objective = _objective(recipe, mitigation, setting, context).to(device).train()
    with library_draws(setting.seed, "objective-start"):
        objective.start(network)
    return Learner(network, objective, _optimiser(recipe, network, objective, rates))


def with_fitted_head(learner: Learner, training: Environment, batch: int, seed: int, device: torch.device) -> Learner:
    """The same with a linear head fitted on the features that its network gives of the training images.

    Batch norms first take their statistics from these images, as they do in the first step, which would else begin with
    other features than those that the head was fitted on. Raises HeadNotFitted.
    """
    feed = make_feed(training, device, masks=False)
    _settle(learner.network, feed, batch, seed)
    seen = read_all(learner.network.eval(), feed, batch)
    head = cast(nn.Linear, as_network(learner.network).head)
    fit_head(seen.features, feed.target, head.out_features).fold_into(head)
    to_training(learner.network)
    return learner


def _settle(network: nn.Module, feed: Feed, batch: int, seed: int) -> None:
    """Running statistics of batch norms that are trained: the mean over batches of one pass through the images."""
    to_training(network)
    norms = [layer for layer in network.modules() if isinstance(layer, _NORMS) and layer.training]
    momenta = [norm.momentum for norm in norms]
    network.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean of all batches
        norm.train()
    order = generator(seed, "norms").permutation(len(feed))
    with torch.no_grad():
        for part in np.array_split(order, max(1, len(order) // batch)):
            network(feed.batch(part).images)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def _images(training: Environment, classes: int) -> np.ndarray:
    return np.bincount(training.table.target, minlength=classes)


def _pixels(training: Environment, classes: int) -> np.ndarray:
    """Pixels per label of the masks, counted in parts, so that no set of masks stands in memory."""
    assert training.masks is not None
    counts = np.zeros(classes, dtype=np.int64)
    for start in range(0, len(training), _CHUNK):
        labels = training.masks.read(np.arange(start, min(start + _CHUNK, len(training)))).numpy()
        counts += np.bincount(labels.reshape(-1).astype(np.uint8), minlength=classes)
    return counts


def _objective(recipe: RecipeSpec, mitigation: Mitigation, setting: Setting, context: LossContext) -> Objective:
    with library_draws(setting.seed, "objective"):
        own = cast(Objective, registry.build("loss", recipe.loss.name, recipe.loss.params, context))
    with library_draws(setting.seed, "mitigation"):
        return mitigation.objective(own, context, setting)


def _optimiser(
    recipe: RecipeSpec, network: nn.Module, objective: Objective, rates: Mapping[nn.Parameter, float]
) -> torch.optim.Optimizer:
    """One optimiser over the network and what the objective learns; an objective may hold the network's own parts.

    rates: what multiplies the learning rate of a parameter, 1 where it is not named. The highest stands first.
    """
    groups: dict[float, list[nn.Parameter]] = {}
    for parameter in dict.fromkeys([*network.parameters(), *objective.parameters()]):
        if parameter.requires_grad:
            groups.setdefault(rates.get(parameter, 1.0), []).append(parameter)
    shares = sorted(groups, reverse=True)
    trained = [{"params": groups[share]} for share in shares]
    optimiser = cast(
        torch.optim.Optimizer,
        registry.build("optimiser", recipe.optimiser.name, recipe.optimiser.params, trained),
    )
    for share, group in zip(shares, optimiser.param_groups, strict=True):
        group["lr"] *= share
        group["initial_lr"] = group["lr"]
    return optimiser
