"""State of a training: `begin_training` creates it, `train_step` and `end_epoch` advance it, checkpoints keep it."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from assay.core import registry
from assay.core.errors import SpecError
from assay.core.files import content_hash
from assay.data.dataset import Batch
from assay.models.initialization import build_finetuning, to_training
from assay.models.networks import Outputs, as_network
from assay.models.untyped import go_back
from assay.models.weights import load_checkpoint, reseed, save_checkpoint
from assay.shifts.environment import Environment
from assay.spec.recipe import WORST_GROUP, RecipeSpec
from assay.training.augmentation import Augmenter, build_augmenter, stack_views
from assay.training.collapse import MOST, CollapsedFeatures, Figures, collapse_of, figures
from assay.training.feed import Feed, batch_order, make_feed, read_all, worst_group_score
from assay.training.graph import BLOCK, DeviceBuffers, capture
from assay.training.learner import Learner, make_learner, with_fitted_head
from assay.training.mitigations import Labels, Mitigation, MitigationContext, build_mitigation, labels_for, phases_of
from assay.training.objective import Objective, Progress
from assay.training.optim import Schedule

# Numbers of rows and steps, and the checks and hashes of rows before the first step.


@dataclass(frozen=True, slots=True)
class StepPlan:
    """How many rows make how many steps. Batches are whole; a set smaller than a batch is one batch."""

    rows: int
    batch: int
    epochs: int

    @property
    def per_epoch(self) -> int:
        """Steps in an epoch."""
        return max(1, self.rows // self.batch)

    @property
    def rows_per_epoch(self) -> int:
        """Rows that an epoch sees."""
        return self.per_epoch * self.batch

    @property
    def steps(self) -> int:
        """Steps in all."""
        return self.epochs * self.per_epoch

    def progress(self, step: int) -> Progress:
        """Return the progress of a step."""
        return Progress(step=step, steps=self.steps, epoch=step // self.per_epoch, epochs=self.epochs)


_IDENTITY_IMAGES = 16
"""Images whose pixels are part of the identity of a training."""
_EAGER_STEPS = 5  # on a GPU, before a step is captured


def training_identity(
    recipe: RecipeSpec,
    training: Environment,
    validation: Environment,
    classes: int,
    seed: int,
    groups: Sequence[np.ndarray | None],
) -> str:
    """Return the identity of this training, so that a checkpoint of another training is never continued.

    Of pixels a few images count, in 256 levels: environments that differ in a dose share rows, targets and factors.
    """
    rows = hashlib.sha256()
    for environment in (training, validation):
        table = environment.table
        for values in (table.row, table.target, *table.columns.values()):
            rows.update(np.ascontiguousarray(values).tobytes())
        some = np.unique(np.linspace(0, len(table) - 1, _IDENTITY_IMAGES).astype(np.int64)) if len(table) else table.row
        for pixels in (environment.images, environment.masks):
            if pixels is not None:
                rows.update(np.rint(255 * pixels.read(some).numpy().astype(np.float64)).tobytes())
    for codes in groups:
        rows.update(b"" if codes is None else codes.tobytes())
    return content_hash({"recipe": recipe.canonical(), "seed": seed, "classes": classes, "rows": rows.hexdigest()})


def check_rows(training: Environment, validation: Environment, classes: int, dense: bool) -> None:
    """Raises SpecError for a set without rows and for targets that are no class; or, where there are logits for each
    pixel (`dense`), for one without masks and for masks of another number of kinds.
    """
    for environment, role in ((training, "training"), (validation, "validation")):
        target, subject = environment.table.target, f"the {role} environment '{environment.name}'"
        if len(target) == 0:
            raise SpecError(f"{subject} has no rows")
        if not dense and (target.min() < 0 or target.max() >= classes):
            raise SpecError(
                f"{subject} holds target {int(target.max())} and there are {classes} classes; targets are indices from "
                f"0 to {classes - 1}"
            )
        if dense and environment.masks is None:
            raise SpecError(
                f"task segmentation needs masks, and {subject} has none: name the column of masks in data.mask, or "
                "use a phantom that draws a lesion"
            )
        if dense and environment.masks is not None and 1 + len(environment.masks.kinds) != classes:
            kinds = ", ".join(environment.masks.kinds)
            raise SpecError(
                f"the masks of '{environment.name}' distinguish {kinds} from background, but {classes} classes are "
                "given"
            )


# A training under way: its parts, one step, the end of an epoch, and its state on disk.


@dataclass
class TrainingState:
    """State of one training.

    Attributes:
        plans: One for each phase; each begins with the result of `new_learner`, and the last is the recipe's own.
        losses: The losses of this epoch.
        selected_rows: The rows that the phase before selected for this one.
        step: The number of steps done in this phase.
        curve: One row for each epoch of all phases.
        best: Epoch (from 1), score and weights of the best epoch so far of this phase, when weights are selected; None
            while no score was finite.
    """

    recipe: RecipeSpec
    plans: tuple[StepPlan, ...]
    seed: int
    identity: str
    device: torch.device
    network: nn.Module
    objective: Objective
    optimizer: torch.optim.Optimizer
    new_learner: Callable[[], Learner]
    schedule: Schedule
    augmenter: Augmenter
    mitigation: Mitigation
    mitigation_context: MitigationContext
    labels: Labels
    training: Feed
    validation: Feed
    losses: Tensor
    phase: int = 0
    selected_rows: tuple[int, ...] = ()
    step: int = 0
    curve: list[dict[str, float | int]] = field(default_factory=list[dict[str, float | int]])
    best: dict[str, Any] | None = None
    _eager_steps: int = 0
    _buffers: DeviceBuffers | None = None
    _static_batch: Batch | None = None
    _filled_until: int = 0
    _replay: Callable[[], None] | None = None
    _order: tuple[int, np.ndarray] = (-1, np.empty(0, dtype=np.int64))

    @property
    def plan(self) -> StepPlan:
        """This phase's."""
        return self.plans[self.phase]

    @property
    def epoch(self) -> int:
        """The epoch of the last step done, from 0, of all phases."""
        epochs_before = sum(plan.epochs for plan in self.plans[: self.phase])
        return epochs_before + max(0, self.step - 1) // self.plan.per_epoch

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
        epochs_before = sum(plan.epochs for plan in self.plans[: self.phase])
        best = epochs_before if self.best is None else cast(int, self.best["epoch"])
        return epochs_before + self.step // self.plan.per_epoch - best >= self.recipe.patience

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
        if self._capture_if_ready() and self._buffers is not None and self._replay is not None:
            if self._static_batch is not None:
                self._static_batch.take_over(self.views(self._next_batch(), "augmentation", self.step))
            self._fill(self._buffers)
            self._replay()
            self._set_rates(self._rates(self.step))  # numbers, for the curve and checkpoints
        else:
            batch = self.views(self._next_batch(), "augmentation", self.step)
            self._set_rates(self._rates(self.step))
            self.losses[self.step % self.plan.per_epoch] = self._optimizer_step(batch, progress)
            self._eager_steps += 1
        self.objective.after_step(self.network, progress)
        self.step += 1

    def _optimizer_step(self, batch: Batch, progress: Progress) -> Tensor:
        """One step of the optimizer; returns the loss before it."""
        loss = self.objective.training_loss(self.outputs(batch), batch, progress)
        go_back(loss)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return loss.detach()

    def _rates(self, step: int) -> list[float]:
        share = self.schedule(step, self.plan.steps)
        return [group["initial_lr"] * share for group in self.optimizer.param_groups]

    def _set_rates(self, rates: Sequence[float | Tensor]) -> None:
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate

    def _capture_if_ready(self) -> bool:
        """Return whether the next step is a replay. On a GPU a steady step is captured after a few eager ones, which
        fill the optimizer's state.
        """
        if self._eager_steps == _EAGER_STEPS and self._replay is None and self._can_be_captured():
            self._eager_steps += 1
            if not self._draws_on_device():
                self._static_batch = self.views(self._next_batch(), "augmentation", self.step)
            self._buffers, self._filled_until = DeviceBuffers(self._host_values(self.step), self.device), self.step
            for group in self.optimizer.param_groups:
                group["capturable"] = True  # else the optimizer refuses
            self._replay = capture(self._step_from_buffers)
            self.optimizer.zero_grad(set_to_none=True)
            for group in self.optimizer.param_groups:
                group["capturable"] = False
        return self._replay is not None

    def _can_be_captured(self) -> bool:
        own_code = ":" in self.recipe.architecture.name or ":" in self.recipe.loss.name  # may draw on the host
        fused = bool(self.optimizer.defaults.get("fused"))
        return self.device.type == "cuda" and self.objective.steady and fused and not own_code

    def _draws_on_device(self) -> bool:
        """Return whether a captured step can also read and augment its images: else they are held ready for it."""
        is_on_device = self.training.preloaded is not None and (
            self.training.preloaded_masks is not None or not self.training.masks
        )
        return is_on_device and all(
            getattr(augmentation, "on_device", False) for _, augmentation in self.augmenter.steps
        )

    def _host_values(self, step: int) -> dict[str, np.ndarray]:
        """Return what a captured step takes from the host."""
        host_values = {
            "slot": np.array([step % self.plan.per_epoch]),
            "rates": np.array(self._rates(step), dtype=np.float32),
        }
        if self._static_batch is not None:
            return host_values
        augmented = self.augmenter.draw(self.plan.batch, self.seed, "augmentation", step, 0)
        draws_by_name = {f"{at} {name}": values for at, draws in enumerate(augmented) for name, values in draws.items()}
        return {**host_values, "rows": self._rows(step), **draws_by_name}

    def _fill(self, buffers: DeviceBuffers) -> None:
        """Put the next steps of this epoch on the card when those there are done."""
        if self.step == self._filled_until:
            end = (self.step // self.plan.per_epoch + 1) * self.plan.per_epoch
            self._filled_until = min(self.step + BLOCK, end)
            buffers.fill([self._host_values(step) for step in range(self.step, self._filled_until)])

    def _step_from_buffers(self) -> None:
        """Take a step with what the tables hold. This is what a replay repeats."""
        assert self._buffers is not None
        values = self._buffers.take()
        self._set_rates(values["rates"].unbind())
        batch = self._static_batch
        if batch is None:
            draws = [dict[str, Tensor]() for _ in self.augmenter.steps]
            for key in list(values)[3:]:
                at, name = key.split(maxsplit=1)
                draws[int(at)][name] = values[key]
            batch = self.augmenter.apply(self.training.batch(values["rows"]), draws)
        self.losses.index_copy_(0, values["slot"], self._optimizer_step(batch, self.plan.progress(self.step))[None])

    def outputs(self, batch: Batch) -> Outputs:
        """Return the network's answer in float32, whatever it computed in."""
        network = as_network(self.network)
        if self.recipe.precision != "bfloat16":
            return network.read(batch.images)
        with torch.autocast(self.device.type, torch.bfloat16):
            outputs = network.read(batch.images)
        auxiliary = tuple(logits.float() for logits in outputs.auxiliary)
        return replace(outputs, features=outputs.features.float(), logits=outputs.logits.float(), auxiliary=auxiliary)

    def end_epoch(self) -> None:
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
            row |= self._validation_figures()
        self.curve.append(row)
        if self.objective.unlabeled and (reason := collapse_of(self.curve)):
            raise CollapsedFeatures(reason, self.curve)
        score = self._score(validation_loss)
        if score is None or not all(map(math.isfinite, score)):
            return
        if self.best is None or score > tuple(cast(list[float], self.best["score"])):
            weights = {key: value.detach().clone() for key, value in self.network.state_dict().items()}
            self.best = {"epoch": self.epoch + 1, "score": list(score), "network": weights}

    def _validation_figures(self) -> Figures:
        """Compute the epoch's figures of the features of the validation images and of the first training images."""
        self.network.eval()
        validation_outputs = read_all(self.network, self.validation, self.recipe.batch_size)
        training_outputs = read_all(self.network, self.training, self.recipe.batch_size, MOST)
        to_training(self.network)
        targets = self.training.target[: len(training_outputs.features)].cpu()
        return figures(validation_outputs.features, self.validation.target.cpu(), training_outputs.features, targets)

    def next_phase(self) -> TrainingState:
        """Return the training of the next phase, which is given the findings of this one."""
        self.network.eval()
        outputs = read_all(self.network, self.training, self.recipe.batch_size)
        learner = self.new_learner()
        return replace(
            self,
            network=learner.network,
            objective=learner.objective,
            optimizer=learner.optimizer,
            losses=torch.zeros_like(self.losses),
            phase=self.phase + 1,
            selected_rows=self.mitigation.find(outputs.logits, self.training.target.cpu()),
            step=0,
            best=None,
            _eager_steps=0,
            _replay=None,
            _static_batch=None,
            _order=(-1, np.empty(0, dtype=np.int64)),
        )

    def save(self, folder: Path) -> None:
        """Write a checkpoint: all that the steps to come depend on."""
        state = {
            **{name: getattr(self, name) for name in ("identity", "phase", "step", "losses", "curve", "best")},
            **{name: getattr(self, name).state_dict() for name in ("network", "objective", "optimizer")},
            "found": list(self.selected_rows),
        }
        save_checkpoint(folder, state)

    def restore(self, state: dict[str, Any]) -> None:
        """Stand where a checkpoint stood."""
        self.network.load_state_dict(state["network"])
        self.objective.load_state_dict(state["objective"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.losses.copy_(state["losses"])
        self.phase, self.selected_rows = state["phase"], tuple(state["found"])
        self.step, self.curve, self.best = state["step"], state["curve"], state["best"]

    def fixed_batches(self, feed: Feed, purpose: str, most: int | None = None, size: int = 0) -> list[np.ndarray]:
        """Positions of a set in a fixed mixed order, in batches of the recipe's size (a last short one is kept)."""
        order = batch_order(self.seed, -1 if purpose == "validation" else -2, len(feed))
        size = size or self.recipe.batch_size
        return [order[start : start + size] for start in range(0, len(order), size)][:most]

    def _next_batch(self) -> Batch:
        return self.training.batch(self._rows(self.step))

    def _rows(self, step: int) -> np.ndarray:
        epoch, place = divmod(step, self.plan.per_epoch)
        if self._order[0] != epoch:
            self._order = (epoch, self.mitigation.order(self.mitigation_context, self.selected_rows, epoch))
        return self._order[1][place * self.plan.batch : (place + 1) * self.plan.batch]

    def views(self, batch: Batch, purpose: str, step: int) -> Batch:
        """As many augmented views of a batch as the objective asks for, drawn from (seed, purpose, step)."""
        views = [self.augmenter(batch, self.seed, purpose, step, view) for view in range(self.objective.views)]
        return views[0] if len(views) == 1 else stack_views(views)

    def _score(self, validation_loss: float) -> tuple[float, ...] | None:
        """Return the score by which the best epoch is selected, more being better; None where the last is taken."""
        if self.recipe.selection == WORST_GROUP:
            assert self.labels.selected is not None
            self.network.eval()
            outputs = read_all(self.network, self.validation, self.recipe.batch_size)
            to_training(self.network)
            return worst_group_score(outputs.logits, self.validation.target.cpu(), self.labels.selected)
        return (-validation_loss,) if self.recipe.selection == "best-validation-loss" else None

    @torch.no_grad()
    def _validation_loss(self) -> float:
        """Mean of the objective over validation batches; images are augmented only to have several views of them."""
        self.network.eval()
        self.objective.eval()
        total, progress = torch.zeros((), dtype=torch.float64, device=self.device), self.plan.progress(self.step - 1)
        batch_factor = (
            4 if self.device.type == "cuda" and self.objective.steady else 1
        )  # the mean is that of the images
        size = batch_factor * self.recipe.batch_size
        for number, index in enumerate(self.fixed_batches(self.validation, "validation", size=size)):
            batch = self.validation.batch(index)
            if self.objective.views > 1:
                batch = self.views(batch, "validation-augmentation", number)
            total += self.objective.loss(self.outputs(batch), batch, progress).double() * len(index)
        to_training(self.network)
        self.objective.train()
        return float(total) / len(self.validation)


def begin_training(
    recipe: RecipeSpec,
    training: Environment,
    validation: Environment,
    classes: int,
    seed: int,
    device: torch.device,
    folder: Path,
) -> TrainingState:
    """Return a training at its first step, or where the checkpoint in `folder` left it. Within seeded library draws."""
    check_rows(training, validation, classes, recipe.task == "segmentation")
    mitigation = build_mitigation(recipe)
    labels = labels_for(recipe, mitigation, training, validation)
    plans = tuple(
        StepPlan(len(training), min(recipe.batch_size, len(training)), epochs) for epochs in phases_of(recipe)
    )
    mitigation_context = MitigationContext(
        seed, len(training), plans[-1].rows_per_epoch, classes, labels.grouping, labels.trained
    )

    def new_learner() -> Learner:
        learner = make_learner(recipe, mitigation, mitigation_context, training, device)
        tuning = build_finetuning(recipe)
        first = tuning.fits_head and tuning.steps
        return with_fitted_head(learner, training, recipe.batch_size, seed, device) if first else learner

    learner = new_learner()
    masks = learner.objective.needs_masks
    state = TrainingState(
        recipe=recipe,
        plans=plans,
        seed=seed,
        identity=training_identity(recipe, training, validation, classes, seed, (labels.trained, labels.selected)),
        device=device,
        network=learner.network,
        objective=learner.objective,
        optimizer=learner.optimizer,
        new_learner=new_learner,
        schedule=cast(Schedule, registry.build("schedule", recipe.schedule.name, recipe.schedule.params)),
        augmenter=build_augmenter(recipe.augmentation, mitigation.augmentations()),
        mitigation=mitigation,
        mitigation_context=mitigation_context,
        labels=labels,
        training=make_feed(training, device, masks, labels.batch_groups),
        validation=make_feed(validation, device, masks),
        losses=torch.zeros(plans[-1].per_epoch, device=device),
    )
    checkpoint = load_checkpoint(folder, state.identity)
    if checkpoint is not None:
        state.restore(checkpoint)
    return state
