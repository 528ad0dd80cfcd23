"""The start of a training: a network with its first weights, the objective, and the optimizer over both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import nn

from assay.core import registry
from assay.core.seeds import generator
from assay.models.initialization import build_finetuning, to_training
from assay.models.networks import as_network, build_network, fit_head
from assay.models.untyped import channels_last
from assay.models.weights import library_draws
from assay.shifts.environment import Environment
from assay.spec.recipe import RecipeSpec
from assay.training.feed import Feed, make_feed, read_all
from assay.training.mitigations import Mitigation, MitigationContext
from assay.training.objective import LossContext, Objective

_CHUNK = 256
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


@dataclass(frozen=True)
class Learner:
    """Network, objective and optimizer of a phase at its first step."""

    network: nn.Module
    objective: Objective
    optimizer: torch.optim.Optimizer


def make_learner(
    recipe: RecipeSpec, mitigation: Mitigation, setting: MitigationContext, training: Environment, device: torch.device
) -> Learner:
    """Return the same each time. Within seeded library draws."""
    channels, size, _ = training.images.shape
    network = build_network(recipe, channels=channels, size=size, classes=setting.classes, seed=setting.seed)
    last = device.type == "cpu" or recipe.precision != "float32"  # a GPU is slower with it in float32
    network = channels_last(network, device) if last else network.to(device)
    rates = build_finetuning(recipe).rates(network)
    for parameter, rate in rates.items():
        parameter.requires_grad_(rate > 0)
    network = to_training(network)
    dense = recipe.task == "segmentation"
    images = np.bincount(training.table.target, minlength=setting.classes)
    counts = _pixels(training, setting.classes) if dense else images
    context = LossContext(as_network(network).width, setting.classes, tuple(counts.tolist()), dense)
    objective = _build_objective(recipe, mitigation, setting, context).to(device).train()
    with library_draws(setting.seed, "objective-start"):
        objective.start(network)
    return Learner(network, objective, _optimizer(recipe, network, objective, rates))


def with_fitted_head(learner: Learner, training: Environment, batch: int, seed: int, device: torch.device) -> Learner:
    """Return the same with a linear head fitted on the features that its network gives of the training images.

    Batch norms first take their statistics from these images, as they do in the first step, which would else begin with
    other features than those that the head was fitted on. Raises HeadNotFitted.
    """
    feed = make_feed(training, device, masks=False)
    _settle(learner.network, feed, batch, seed)
    outputs = read_all(learner.network.eval(), feed, batch)
    head = cast(nn.Linear, as_network(learner.network).head)
    fit_head(outputs.features, feed.target, head.out_features).fold_into(head)
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


def _pixels(training: Environment, classes: int) -> np.ndarray:
    """Count the pixels per label of the masks, in parts, so that the whole set of masks is never in memory."""
    assert training.masks is not None
    counts = np.zeros(classes, dtype=np.int64)
    for start in range(0, len(training), _CHUNK):
        labels = training.masks.read(np.arange(start, min(start + _CHUNK, len(training)))).numpy()
        counts += np.bincount(labels.reshape(-1).astype(np.uint8), minlength=classes)
    return counts


def _build_objective(
    recipe: RecipeSpec, mitigation: Mitigation, setting: MitigationContext, context: LossContext
) -> Objective:
    with library_draws(setting.seed, "objective"):
        loss = cast(Objective, registry.build("loss", recipe.loss.name, recipe.loss.params, context))
    with library_draws(setting.seed, "mitigation"):
        return mitigation.objective(loss, context, setting)


def _optimizer(
    recipe: RecipeSpec, network: nn.Module, objective: Objective, rates: Mapping[nn.Parameter, float]
) -> torch.optim.Optimizer:
    """Make one optimizer over the network and the objective's parameters; an objective may hold parts of the network.

    Args:
        rates: Multipliers of the learning rate by parameter, 1 where a parameter is not named. The highest comes first.
    """
    groups: dict[float, list[nn.Parameter]] = {}
    for parameter in dict.fromkeys([*network.parameters(), *objective.parameters()]):
        if parameter.requires_grad:
            groups.setdefault(rates.get(parameter, 1.0), []).append(parameter)
    shares = sorted(groups, reverse=True)
    trained = [{"params": groups[share]} for share in shares]
    optimizer = cast(
        torch.optim.Optimizer, registry.build("optimizer", recipe.optimizer.name, recipe.optimizer.params, trained)
    )
    for share, group in zip(shares, optimizer.param_groups, strict=True):
        group["lr"] *= share
        group["initial_lr"] = group["lr"]
    return optimizer
