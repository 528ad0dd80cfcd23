"""State of one training: its plan, its first weights, one step, the end of an epoch, and checkpoints."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from assay.core import registry
from assay.core.errors import SpecError
from assay.core.files import content_hash
from assay.core.seeds import generator
from assay.data.dataset import Batch
from assay.models.checkpoint import library_draws, load_checkpoint, reseed, save_checkpoint
from assay.models.classifier import Outputs, as_network, build_network, fit_head
from assay.models.initialization import build_finetuning, to_training
from assay.models.untyped import channels_last, go_back
from assay.shifts.environment import Environment
from assay.spec.recipe import WORST_GROUP, RecipeSpec
from assay.training.augmentation import Augmenter, build_augmenter, stack_views
from assay.training.collapse import MOST, Collapsed, Figures, collapse_of, figures
from assay.training.feed import Feed, batch_order, make_feed, read_all, worst_group
from assay.training.mitigations import Labels, Mitigation, Setting, build_mitigation, labels_for, phases_of
from assay.training.objective import LossContext, Objective, Progress
from assay.training.optim import Schedule

# Numbers of rows and steps, and the checks and hashes of rows before the first step.


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
    def drawn(self) -> int:
        """Rows that an epoch sees."""
        return self.per_epoch * self.batch

    @property
    def steps(self) -> int:
        """Steps in all."""
        return self.epochs * self.per_epoch

    def progress(self, step: int) -> Progress:
        """Return the progress of a step."""
        return Progress(step=step, steps=self.steps, epoch=step // self.per_epoch, epochs=self.epochs)


def make_plans(rows: int, batch: int, phases: Sequence[int]) -> tuple[Plan, ...]:
    """One plan for each phase of so many epochs."""
    return tuple(Plan(rows=rows, batch=min(batch, rows), epochs=epochs) for epochs in phases)


def identity(
    recipe: RecipeSpec,
    training: Environment,
    validation: Environment,
    classes: int,
    seed: int,
    groups: Sequence[np.ndarray | None],
) -> str:
    """Return the identity of this training, so that a checkpoint of another training is never continued."""
    rows = hashlib.sha256()
    for table in (training.table, validation.table):
        rows.update(np.ascontiguousarray(table.row).tobytes())
        rows.update(np.ascontiguousarray(table.target).tobytes())
    for codes in groups:
        rows.update(b"" if codes is None else codes.tobytes())
    return content_hash({"recipe": recipe.canonical(), "seed": seed, "classes": classes, "rows": rows.hexdigest()})


def check_masks(training: Environment, validation: Environment, classes: int) -> None:
    """Raises SpecError for a set without rows or without masks, for masks of another number of kinds, and where no
    training image shows a lesion.
    """
    for environment, what in ((training, "training"), (validation, "validation")):
        if len(environment) == 0:
            raise SpecError(f"the {what} environment '{environment.name}' has no rows")
        if environment.masks is None:
            raise SpecError(
                f"task segmentation needs masks, and the {what} environment '{environment.name}' has none: name the "
                "column of masks in data.mask, or use a phantom that draws a lesion"
            )
        if 1 + len(environment.masks.kinds) != classes:
            kinds = ", ".join(environment.masks.kinds)
            raise SpecError(f"the masks of '{environment.name}' tell {kinds} from background; {classes} classes given")


def check_targets(training: Environment, validation: Environment, classes: int) -> None:
    """Raises SpecError for a set without rows, and for targets that are no class."""
    for environment, what in ((training, "training"), (validation, "validation")):
        target = environment.table.target
        if len(target) == 0:
            raise SpecError(f"the {what} environment '{environment.name}' has no rows")
        if target.min() < 0 or target.max() >= classes:
            raise SpecError(
                f"the {what} environment '{environment.name}' holds target {int(target.max())} and there are "
                f"{classes} classes; targets are indices from 0 to {classes - 1}"
            )


# The start of a training: a network with its first weights, the objective, and the optimizer over both.

_CHUNK = 256
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


@dataclass(frozen=True)
class Learner:
    """Network, objective and optimizer of a phase at its first step."""

    network: nn.Module
    objective: Objective
    optimizer: torch.optim.Optimizer


def make_learner(
    recipe: RecipeSpec, mitigation: Mitigation, setting: Setting, training: Environment, device: torch.device
) -> Learner:
    """Return the same each time. Within seeded library draws."""
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
    return Learner(network, objective, _optimizer(recipe, network, objective, rates))


def with_fitted_head(learner: Learner, training: Environment, batch: int, seed: int, device: torch.device) -> Learner:
    """Return the same with a linear head fitted on the features that its network gives of the training images.

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
    """Count the pixels per label of the masks, in parts, so that the whole set of masks is never in memory."""
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


# A training under way: its parts, one step, the end of an epoch, and its state on disk.


@dataclass
class Run:
    """State of one training.

    Attributes:
        plans: One for each phase; each begins with the result of `afresh`, and the last is the recipe's own.
        losses: The losses of this epoch.
        found: The rows that the phase before selected for this one.
        step: The number of steps done in this phase.
        curve: One row for each epoch of all phases.
        best: Epoch (from 1), score and weights of the best epoch so far of this phase, when weights are selected; None
            while no score was finite.
    """

    recipe: RecipeSpec
    plans: tuple[Plan, ...]
    seed: int
    identity: str
    device: torch.device
    network: nn.Module
    objective: Objective
    optimizer: torch.optim.Optimizer
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
    def phase_ended(self) -> bool:
        """Whether all steps of this phase are done, or the recipe's own training ran out of patience.

        It does after `patience` epochs in a row without a better validation score. This rests on the step and the best
        epoch, so that a resumed training ends at the same step.
        """
        if self.step >= self.plan.steps:
            return True
        if self.recipe.patience is None or self.phase + 1 < len(self.plans):
            return False
        before = sum(plan.epochs for plan in self.plans[: self.phase])
        best = before if self.best is None else cast(int, self.best["epoch"])
        return before + self.step // self.plan.per_epoch - best >= self.recipe.patience

    @property
    def ended(self) -> bool:
        """Whether the last phase ended."""
        return self.phase + 1 == len(self.plans) and self.phase_ended

    @property
    def epochs(self) -> int:
        """Epochs of all phases."""
        return sum(plan.epochs for plan in self.plans)

    def train_step(self) -> None:
        """One step down the gradient."""
        progress = self.plan.progress(self.step)
        reseed(self.seed, "step", self.step)
        batch = self.views(self._next_batch(), "augmentation", self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = group["initial_lr"] * self.schedule(self.step, self.plan.steps)
        outputs = self.outputs(batch)
        loss = self.objective.supervised(outputs, batch, progress)
        go_back(loss)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.objective.after_step(self.network, progress)
        self.losses[self.step % self.plan.per_epoch] = loss.detach()
        self.step += 1

    def outputs(self, batch: Batch) -> Outputs:
        """Return the network's answer in float32, whatever it computed in."""
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
        rate = cast(float, self.optimizer.param_groups[0]["lr"])
        row = {
            "epoch": self.epoch + 1,
            "train_loss": float(self.losses.double().mean()),
            "validation_loss": validation_loss,
            "lr": rate,
        }
        if self.objective.unlabeled:
            row |= self._watched()
        self.curve.append(row)
        if self.objective.unlabeled and (reason := collapse_of(self.curve)):
            raise Collapsed(reason, self.curve)
        score = self._score(validation_loss)
        if score is None or not all(map(math.isfinite, score)):
            return
        if self.best is None or score > tuple(cast(list[float], self.best["score"])):
            weights = {key: value.detach().clone() for key, value in self.network.state_dict().items()}
            self.best = {"epoch": self.epoch + 1, "score": list(score), "network": weights}

    def _watched(self) -> Figures:
        """Compute the epoch's figures of the features of the validation images and of the first training images."""
        self.network.eval()
        seen = read_all(self.network, self.validation, self.recipe.batch_size)
        beside = read_all(self.network, self.training, self.recipe.batch_size, MOST)
        to_training(self.network)
        targets = self.training.target[: len(beside.features)].cpu()
        return figures(seen.features, self.validation.target.cpu(), beside.features, targets)

    def next_phase(self) -> Run:
        """Return the training of the next phase, which is given the findings of this one."""
        self.network.eval()
        seen = read_all(self.network, self.training, self.recipe.batch_size)
        learner = self.afresh()
        return replace(
            self,
            network=learner.network,
            objective=learner.objective,
            optimizer=learner.optimizer,
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
            "optimizer": self.optimizer.state_dict(),
            "losses": self.losses,
            "curve": self.curve,
            "best": self.best,
        }
        save_checkpoint(folder, state)

    def restore(self, state: dict[str, Any]) -> None:
        """Stand where a checkpoint stood."""
        self.network.load_state_dict(state["network"])
        self.objective.load_state_dict(state["objective"])
        self.optimizer.load_state_dict(state["optimizer"])
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
        """Return the score by which the best epoch is selected, more being better; None where the last is taken."""
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
    """Return a training at its first step, or where the checkpoint in `folder` left it. Within seeded library draws."""
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
        optimizer=learner.optimizer,
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
