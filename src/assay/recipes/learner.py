"""What a training begins with: a network with its first weights, the objective, and the optimiser over both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import nn

from assay.core import registry
from assay.core.spec import RecipeSpec
from assay.recipes.mitigations.mitigation import Mitigation, Setting
from assay.recipes.models import as_network, build_network
from assay.recipes.objective import LossContext, Objective
from assay.recipes.randomness import library_draws
from assay.recipes.untyped import channels_last
from assay.shifts.environment import Environment

_CHUNK = 256


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
    network = channels_last(network, device).train()
    dense = recipe.task == "segmentation"
    counts = _pixels(training, setting.classes) if dense else _images(training, setting.classes)
    context = LossContext(as_network(network).width, setting.classes, tuple(counts.tolist()), dense)
    objective = _objective(recipe, mitigation, setting, context).to(device).train()
    with library_draws(setting.seed, "objective-start"):
        objective.start(network)
    return Learner(network, objective, _optimiser(recipe, network, objective))


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


def _optimiser(recipe: RecipeSpec, network: nn.Module, objective: Objective) -> torch.optim.Optimizer:
    """One optimiser over the network and what the objective learns; an objective may hold the network's own parts."""
    parameters = dict.fromkeys([*network.parameters(), *objective.parameters()])
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    optimiser = registry.build("optimiser", recipe.optimiser.name, recipe.optimiser.params, trained)
    for group in cast(torch.optim.Optimizer, optimiser).param_groups:
        group["initial_lr"] = group["lr"]
    return cast(torch.optim.Optimizer, optimiser)
