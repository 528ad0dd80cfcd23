"""A training under way: what it consists of, one step, the end of an epoch, and its state on disk."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from assay.core import registry
from assay.core.spec import RecipeSpec
from assay.core.traits import WORST_GROUP
from assay.data.dataset import Batch
from assay.recipes.augmentation import Augmenter, build_augmenter, stack_views
from assay.recipes.checkpoint import load_checkpoint, save_checkpoint
from assay.recipes.feed import Feed, batch_order, make_feed
from assay.recipes.finetuning import build_finetuning, to_training
from assay.recipes.learner import Learner, make_learner, with_fitted_head
from assay.recipes.mitigations.labels import Labels, labels_for
from assay.recipes.mitigations.mitigation import Mitigation, Setting, build_mitigation, phases_of
from assay.recipes.models import as_network
from assay.recipes.network import Outputs
from assay.recipes.objective import Objective
from assay.recipes.plan import Plan, check_masks, check_targets, identity, make_plans
from assay.recipes.randomness import reseed
from assay.recipes.reading import read_all
from assay.recipes.schedules import Schedule
from assay.recipes.selection import worst_group
from assay.recipes.untyped import go_back
from assay.recipes.watching import MOST, Collapsed, Figures, collapse_of, figures
from assay.shifts.environment import Environment


@dataclass
class Run:
    """The parts of one training and where it stands. `step` counts steps done in this phase; `losses` those of this
    epoch; `curve` has a row for each epoch of all phases.

    plans: one for each phase; each begins with what `afresh` makes, and the last is the recipe's own.
    found: what the phase before handed on.
    best: epoch (from 1), score and weights of the best epoch so far of this phase, when weights are selected; None
        while no score was finite.
    """

    recipe: RecipeSpec
    plans: tuple[Plan, ...]
    seed: int
    identity: str
    device: torch.device
    network: nn.Module
    objective: Objective
    optimiser: torch.optim.Optimizer
    afresh: Callable[[], Learner]
    schedule: Schedule
    augmenter: Augmenter
    mitigation: Mitigation
    setting: Setting
    labels: Labels
    training: Feed
    validation: Feed
    losses: Tensor
    phase: int = 0
    found: tuple[int, ...] = ()
    step: int = 0
    curve: list[dict[str, float | int]] = field(default_factory=list[dict[str, float | int]])
    best: dict[str, Any] | None = None
    _order: tuple[int, np.ndarray] = (-1, np.empty(0, dtype=np.int64))

    @property
    def plan(self) -> Plan:
        """This phase's."""
        return self.plans[self.phase]

    @property
    def epoch(self) -> int:
        """The epoch of the last step done, from 0, of all phases."""
        before = sum(plan.epochs for plan in self.plans[: self.phase])
        return before + max(0, self.step - 1) // self.plan.per_epoch

    @property
    def steps_done(self) -> int:
        """Steps done in all phases."""
        return sum(plan.steps for plan in self.plans[: self.phase]) + self.step

    @property
    def steps(self) -> int:
        """Steps of all phases."""
        return sum(plan.steps for plan in self.plans)

    @property
    def epochs(self) -> int:
        """Epochs of all phases."""
        return sum(plan.epochs for plan in self.plans)

    def train_step(self) -> None:
        """One step down the gradient."""
        progress = self.plan.progress(self.step)
        reseed(self.seed, "step", self.step)
        batch = self.views(self._next_batch(), "augmentation", self.step)
        for group in self.optimiser.param_groups:
            group["lr"] = group["initial_lr"] * self.schedule(self.step, self.plan.steps)
        outputs = self.outputs(batch)
        loss = self.objective.supervised(outputs, batch, progress)
        go_back(loss)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        self.objective.after_step(self.network, progress)
        self.losses[self.step % self.plan.per_epoch] = loss.detach()
        self.step += 1

    def outputs(self, batch: Batch) -> Outputs:
        """The network's answer in float32, whatever it computed in."""
        network = as_network(self.network)
        if self.recipe.precision == "float32":
            return self.objective.read(network, batch)
        with torch.autocast(self.device.type, torch.bfloat16):
            outputs = self.objective.read(network, batch)
        auxiliary = tuple(logits.float() for logits in outputs.auxiliary)
        return replace(outputs, features=outputs.features.float(), logits=outputs.logits.float(), auxiliary=auxiliary)

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
        if self.objective.unlabelled:
            row |= self._watched()
        self.curve.append(row)
        if self.objective.unlabelled and (reason := collapse_of(self.curve)):
            raise Collapsed(reason, self.curve)
        score = self._score(validation_loss)
        if score is None or not all(map(math.isfinite, score)):
            return
        if self.best is None or score > tuple(cast(list[float], self.best["score"])):
            weights = {key: value.detach().clone() for key, value in self.network.state_dict().items()}
            self.best = {"epoch": self.epoch + 1, "score": list(score), "network": weights}

    def _watched(self) -> Figures:
        """What the epoch's features are like: of the validation images, beside the first training images."""
        self.network.eval()
        seen = read_all(self.network, self.validation, self.recipe.batch_size)
        beside = read_all(self.network, self.training, self.recipe.batch_size, MOST)
        to_training(self.network)
        targets = self.training.target[: len(beside.features)].cpu()
        return figures(seen.features, self.validation.target.cpu(), beside.features, targets)

    def next_phase(self) -> Run:
        """The training after this one, which knows what this one found."""
        self.network.eval()
        seen = read_all(self.network, self.training, self.recipe.batch_size)
        learner = self.afresh()
        return replace(
            self,
            network=learner.network,
            objective=learner.objective,
            optimiser=learner.optimiser,
            losses=torch.zeros_like(self.losses),
            phase=self.phase + 1,
            found=self.mitigation.find(seen.logits, self.training.target.cpu()),
            step=0,
            best=None,
            _order=(-1, np.empty(0, dtype=np.int64)),
        )

    def save(self, folder: Path) -> None:
        """Write a checkpoint: all that the steps to come depend on."""
        state = {
            "identity": self.identity,
            "phase": self.phase,
            "found": list(self.found),
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
        self.phase, self.found = state["phase"], tuple(state["found"])
        self.step, self.curve, self.best = state["step"], state["curve"], state["best"]

    def batches_beside(self, feed: Feed, purpose: str, most: int | None = None) -> list[np.ndarray]:
        """Positions of a set in a fixed mixed order, in batches of the recipe's size (a last short one is kept)."""
        order = batch_order(self.seed, -1 if purpose == "validation" else -2, len(feed))
        starts = range(0, len(order), self.recipe.batch_size)
        return [order[start : start + self.recipe.batch_size] for start in starts][:most]

    def _next_batch(self) -> Batch:
        epoch, place = divmod(self.step, self.plan.per_epoch)
        if self._order[0] != epoch:
            self._order = (epoch, self.mitigation.order(self.setting, self.found, epoch))
        return self.training.batch(self._order[1][place * self.plan.batch : (place + 1) * self.plan.batch])

    def views(self, batch: Batch, purpose: str, step: int) -> Batch:
        """As many augmented views of a batch as the objective asks for, drawn from (seed, purpose, step)."""
        views = [self.augmenter(batch, self.seed, purpose, step, view) for view in range(self.objective.views)]
        return views[0] if len(views) == 1 else stack_views(views)

    def _score(self, validation_loss: float) -> tuple[float, ...] | None:
        """What makes an epoch the best, more being better; None where the last is taken."""
        if self.recipe.selection == WORST_GROUP:
            assert self.labels.selected is not None
            self.network.eval()
            seen = read_all(self.network, self.validation, self.recipe.batch_size)
            to_training(self.network)
            return worst_group(seen.logits, self.validation.target.cpu(), self.labels.selected)
        return (-validation_loss,) if self.recipe.selection == "best-validation-loss" else None

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
        to_training(self.network)
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
    (check_masks if recipe.task == "segmentation" else check_targets)(training, validation, classes)
    mitigation = build_mitigation(recipe)
    labels = labels_for(recipe, mitigation, training, validation)
    plans = make_plans(len(training), recipe.batch_size, phases_of(recipe))
    setting = Setting(seed, len(training), plans[-1].drawn, classes, labels.grouping, labels.trained)

    def afresh() -> Learner:
        made = make_learner(recipe, mitigation, setting, training, device)
        tuning = build_finetuning(recipe)
        first = tuning.fits_head and tuning.steps
        return with_fitted_head(made, training, recipe.batch_size, seed, device) if first else made

    learner = afresh()
    masks = learner.objective.needs_masks
    run = Run(
        recipe=recipe,
        plans=plans,
        seed=seed,
        identity=identity(recipe, training, validation, classes, seed, (labels.trained, labels.selected)),
        device=device,
        network=learner.network,
        objective=learner.objective,
        optimiser=learner.optimiser,
        afresh=afresh,
        schedule=cast(Schedule, registry.build("schedule", recipe.schedule.name, recipe.schedule.params)),
        augmenter=build_augmenter(recipe.augmentation, mitigation.augmentations()),
        mitigation=mitigation,
        setting=setting,
        labels=labels,
        training=make_feed(training, device, masks, labels.carried),
        validation=make_feed(validation, device, masks),
        losses=torch.zeros(plans[-1].per_epoch, device=device),
    )
    kept = load_checkpoint(folder, run.identity)
    if kept is not None:
        run.restore(kept)
    return run
