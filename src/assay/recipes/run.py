"""A training under way: what it consists of, one step, the end of an epoch, and its state on disk."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from assay.core import registry
from assay.core.errors import SpecError
from assay.core.hashing import content_hash
from assay.core.spec import RecipeSpec
from assay.data.dataset import Batch
from assay.recipes.augmentation import Augmenter, build_augmenter
from assay.recipes.checkpoint import load_checkpoint, save_checkpoint
from assay.recipes.feed import Feed, batch_order, make_feed
from assay.recipes.models import as_network, build_network
from assay.recipes.network import Outputs
from assay.recipes.objective import LossContext, Objective, Progress
from assay.recipes.randomness import library_draws, reseed
from assay.recipes.schedules import Schedule
from assay.recipes.untyped import channels_last, go_back
from assay.shifts.environment import Environment


@dataclass(frozen=True, slots=True)
class Plan:
    """How many rows make how many steps. Batches are whole; a set smaller than a batch is one batch."""

    rows: int
    batch: int
    epochs: int

    @property
    def per_epoch(self) -> int:
        """Steps in an epoch."""
        return max(1, self.rows // self.batch)

    @property
    def steps(self) -> int:
        """Steps in all."""
        return self.epochs * self.per_epoch

    def progress(self, step: int) -> Progress:
        """Where a step stands."""
        return Progress(step=step, steps=self.steps, epoch=step // self.per_epoch, epochs=self.epochs)


@dataclass
class Run:
    """The parts of one training and where it stands. `step` counts steps done; `losses` those of this epoch.

    best: epoch (from 1), validation loss and weights of the best epoch so far, when weights are selected by it; None
        while no validation loss was finite.
    """

    recipe: RecipeSpec
    plan: Plan
    seed: int
    identity: str
    device: torch.device
    network: nn.Module
    objective: Objective
    optimiser: torch.optim.Optimizer
    schedule: Schedule
    augmenter: Augmenter
    training: Feed
    validation: Feed
    losses: Tensor
    step: int = 0
    curve: list[dict[str, float | int]] = field(default_factory=list[dict[str, float | int]])
    best: dict[str, Any] | None = None
    _order: tuple[int, np.ndarray] = (-1, np.empty(0, dtype=np.int64))

    @property
    def epoch(self) -> int:
        """The epoch of the last step done, from 0."""
        return max(0, self.step - 1) // self.plan.per_epoch

    def train_step(self) -> None:
        """One step down the gradient."""
        progress = self.plan.progress(self.step)
        reseed(self.seed, "step", self.step)
        batch = self.views(self._next_batch(), "augmentation", self.step)
        for group in self.optimiser.param_groups:
            group["lr"] = group["initial_lr"] * self.schedule(self.step, self.plan.steps)
        outputs = self.outputs(batch)
        loss = self.objective.loss(outputs, batch, progress)
        go_back(loss)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        self.objective.after_step(self.network, progress)
        self.losses[self.step % self.plan.per_epoch] = loss.detach()
        self.step += 1

    def outputs(self, batch: Batch) -> Outputs:
        """The network's answer in float32, whatever it computed in."""
        read = as_network(self.network).read
        if self.recipe.precision == "float32":
            return read(batch.images)
        with torch.autocast(self.device.type, torch.bfloat16):
            outputs = read(batch.images)
        return Outputs(features=outputs.features.float(), logits=outputs.logits.float())

    def close_epoch(self) -> None:
        """A row of the curve, and the weights when they are the best so far."""
        validation_loss = self._validation_loss()
        rate = cast(float, self.optimiser.param_groups[0]["lr"])
        row = {
            "epoch": self.epoch + 1,
            "train_loss": float(self.losses.double().mean()),
            "validation_loss": validation_loss,
            "lr": rate,
        }
        self.curve.append(row)
        selects = self.recipe.selection == "best-validation-loss" and math.isfinite(validation_loss)
        if selects and (self.best is None or validation_loss < cast(float, self.best["loss"])):
            weights = {key: value.detach().clone() for key, value in self.network.state_dict().items()}
            self.best = {"epoch": self.epoch + 1, "loss": validation_loss, "network": weights}

    def save(self, folder: Path) -> None:
        """Write a checkpoint: all that the steps to come depend on."""
        state = {
            "identity": self.identity,
            "step": self.step,
            "network": self.network.state_dict(),
            "objective": self.objective.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "losses": self.losses,
            "curve": self.curve,
            "best": self.best,
        }
        save_checkpoint(folder, state)

    def restore(self, state: dict[str, Any]) -> None:
        """Stand where a checkpoint stood."""
        self.network.load_state_dict(state["network"])
        self.objective.load_state_dict(state["objective"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.losses.copy_(state["losses"])
        self.step, self.curve, self.best = state["step"], state["curve"], state["best"]

    def batches_beside(self, feed: Feed, purpose: str, most: int | None = None) -> list[np.ndarray]:
        """Positions of a set in a fixed mixed order, in batches of the recipe's size (a last short one is kept)."""
        order = batch_order(self.seed, -1 if purpose == "validation" else -2, len(feed))
        starts = range(0, len(order), self.recipe.batch_size)
        return [order[start : start + self.recipe.batch_size] for start in starts][:most]

    def _next_batch(self) -> Batch:
        epoch, place = divmod(self.step, self.plan.per_epoch)
        if self._order[0] != epoch:
            self._order = (epoch, batch_order(self.seed, epoch, self.plan.rows))
        return self.training.batch(self._order[1][place * self.plan.batch : (place + 1) * self.plan.batch])

    def views(self, batch: Batch, purpose: str, step: int) -> Batch:
        """As many augmented views of a batch as the objective asks for, drawn from (seed, purpose, step)."""
        views = [self.augmenter(batch, self.seed, purpose, step, view) for view in range(self.objective.views)]
        return views[0] if len(views) == 1 else stack_views(views)

    @torch.no_grad()
    def _validation_loss(self) -> float:
        """Mean of the objective over validation batches; images are augmented only to have several views of them."""
        self.network.eval()
        self.objective.eval()
        total, progress = 0.0, self.plan.progress(self.step - 1)
        for number, index in enumerate(self.batches_beside(self.validation, "validation")):
            batch = self.validation.batch(index)
            if self.objective.views > 1:
                batch = self.views(batch, "validation-augmentation", number)
            total += float(self.objective.loss(self.outputs(batch), batch, progress)) * len(index)
        self.network.train()
        self.objective.train()
        return total / len(self.validation)


def begin(
    recipe: RecipeSpec,
    training: Environment,
    validation: Environment,
    classes: int,
    seed: int,
    device: torch.device,
    folder: Path,
) -> Run:
    """A training at its first step, or where the checkpoint in `folder` left it. Within seeded library draws."""
    _check_targets(training, validation, classes)
    channels, size, _ = training.images.shape
    network = build_network(recipe, channels=channels, size=size, classes=classes, seed=seed)
    network = channels_last(network, device).train()
    counts = tuple(int(count) for count in np.bincount(training.table.target, minlength=classes))
    objective = _objective(recipe, LossContext(as_network(network).width, classes, counts), seed).to(device).train()
    with library_draws(seed, "objective-start"):
        objective.start(network)
    plan = Plan(rows=len(training), batch=min(recipe.batch_size, len(training)), epochs=recipe.epochs)
    run = Run(
        recipe=recipe,
        plan=plan,
        seed=seed,
        identity=_identity(recipe, training, validation, classes, seed),
        device=device,
        network=network,
        objective=objective,
        optimiser=_optimiser(recipe, network, objective),
        schedule=cast(Schedule, registry.build("schedule", recipe.schedule.name, recipe.schedule.params)),
        augmenter=build_augmenter(recipe.augmentation),
        training=make_feed(training, device, objective.needs_masks),
        validation=make_feed(validation, device, objective.needs_masks),
        losses=torch.zeros(plan.per_epoch, device=device),
    )
    kept = load_checkpoint(folder, run.identity)
    if kept is not None:
        run.restore(kept)
    return run


def stack_views(views: Sequence[Batch]) -> Batch:
    """Several views as one batch: view 1 of all images first, then view 2 of all."""
    first = views[0]
    masks = [view.masks for view in views if view.masks is not None]
    return replace(
        first,
        images=torch.cat([view.images for view in views]),
        target=first.target.repeat(len(views)),
        row=first.row.repeat(len(views)),
        masks=torch.cat(masks) if masks else None,
    )


def _objective(recipe: RecipeSpec, context: LossContext, seed: int) -> Objective:
    with library_draws(seed, "objective"):
        return cast(Objective, registry.build("loss", recipe.loss.name, recipe.loss.params, context))


def _optimiser(recipe: RecipeSpec, network: nn.Module, objective: Objective) -> torch.optim.Optimizer:
    """One optimiser over the network and what the objective learns; an objective may hold the network's own parts."""
    parameters = dict.fromkeys([*network.parameters(), *objective.parameters()])
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    optimiser = registry.build("optimiser", recipe.optimiser.name, recipe.optimiser.params, trained)
    for group in cast(torch.optim.Optimizer, optimiser).param_groups:
        group["initial_lr"] = group["lr"]
    return cast(torch.optim.Optimizer, optimiser)


def _identity(recipe: RecipeSpec, training: Environment, validation: Environment, classes: int, seed: int) -> str:
    """Names what decides this training, so that a checkpoint of another is never continued."""
    rows = hashlib.sha256()
    for table in (training.table, validation.table):
        rows.update(np.ascontiguousarray(table.row).tobytes())
        rows.update(np.ascontiguousarray(table.target).tobytes())
    return content_hash({"recipe": recipe.canonical(), "seed": seed, "classes": classes, "rows": rows.hexdigest()})


def _check_targets(training: Environment, validation: Environment, classes: int) -> None:
    for environment, what in ((training, "training"), (validation, "validation")):
        target = environment.table.target
        if len(target) == 0:
            raise SpecError(f"the {what} environment '{environment.name}' has no rows")
        if target.min() < 0 or target.max() >= classes:
            raise SpecError(
                f"the {what} environment '{environment.name}' holds target {int(target.max())} and there are "
                f"{classes} classes; targets are indices from 0 to {classes - 1}"
            )
