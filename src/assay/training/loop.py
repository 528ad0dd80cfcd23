"""The training loop: deterministic, checkpointed, and resumed bit for bit within an epoch."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from assay.core import registry
from assay.core.errors import SpecError
from assay.core.files import content_hash
from assay.core.reasons import NO_REASON, Code, Reason
from assay.data.dataset import Batch
from assay.maps.summary import StreamedSummary, lesion_logits
from assay.models.initialization import build_finetuning, to_training
from assay.models.networks import Outputs, as_network, fit_head
from assay.models.untyped import go_back
from assay.models.weights import deterministic, library_draws, load_checkpoint, reseed, save_checkpoint
from assay.shifts.environment import Environment
from assay.spec.recipe import WORST_GROUP, RecipeSpec
from assay.stats.maps import sensitivity_threshold
from assay.stats.measures.maps import LEVELS
from assay.training.augmentation import Augmenter, build_augmenter, stack_views
from assay.training.collapse import (
    CONSTANT_LOGIT,
    MOST,
    CollapsedFeatures,
    Figures,
    LossWithReference,
    collapse_of,
    collapse_reason,
    figures,
    only_slow,
    tells_classes,
    tells_images,
)
from assay.training.feed import Feed, batch_order, make_feed, read_all, worst_group, youden_threshold
from assay.training.graph import BLOCK, DeviceBuffers, capture
from assay.training.learner import Learner, make_learner, with_fitted_head
from assay.training.mitigations import (
    Labels,
    Mitigation,
    MitigationContext,
    SelectedFeatures,
    build_mitigation,
    labels_for,
    phases_of,
)
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


_COMPARED = 16
"""Images whose pixels are part of the identity of a training."""


def identity(
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
        some = np.unique(np.linspace(0, len(table) - 1, _COMPARED).astype(np.int64)) if len(table) else table.row
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
    for environment, what in ((training, "training"), (validation, "validation")):
        target, which = environment.table.target, f"the {what} environment '{environment.name}'"
        if len(target) == 0:
            raise SpecError(f"{which} has no rows")
        if not dense and (target.min() < 0 or target.max() >= classes):
            raise SpecError(
                f"{which} holds target {int(target.max())} and there are {classes} classes; targets are indices from 0 "
                f"to {classes - 1}"
            )
        if dense and environment.masks is None:
            raise SpecError(
                f"task segmentation needs masks, and {which} has none: name the column of masks in data.mask, or use a "
                "phantom that draws a lesion"
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
        found: The rows that the phase before selected for this one.
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
    setting: MitigationContext
    labels: Labels
    training: Feed
    validation: Feed
    losses: Tensor
    phase: int = 0
    found: tuple[int, ...] = ()
    step: int = 0
    curve: list[dict[str, float | int]] = field(default_factory=list[dict[str, float | int]])
    best: dict[str, Any] | None = None
    _eager: int = 0
    _tables: DeviceBuffers | None = None
    _static_batch: Batch | None = None
    _filled: int = 0
    _replay: Callable[[], None] | None = None
    _order: tuple[int, np.ndarray] = (-1, np.empty(0, dtype=np.int64))

    @property
    def plan(self) -> StepPlan:
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
        if self._captured() and self._tables is not None and self._replay is not None:
            if self._static_batch is not None:
                self._static_batch.take_over(self.views(self._next_batch(), "augmentation", self.step))
            self._fill(self._tables)
            self._replay()
            self._set_rates(self._rates(self.step))  # numbers, for the curve and checkpoints
        else:
            batch = self.views(self._next_batch(), "augmentation", self.step)
            self._set_rates(self._rates(self.step))
            self.losses[self.step % self.plan.per_epoch] = self._descend(batch, progress)
            self._eager += 1
        self.objective.after_step(self.network, progress)
        self.step += 1

    def _descend(self, batch: Batch, progress: Progress) -> Tensor:
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

    def _captured(self) -> bool:
        """Return whether the next step is a replay. On a GPU a steady step is captured after a few eager ones, which
        fill the optimizer's state.
        """
        if self._eager == _EAGER_STEPS and self._replay is None and self._can_be_captured():
            self._eager += 1
            if not self._draws_on_device():
                self._static_batch = self.views(self._next_batch(), "augmentation", self.step)
            self._tables, self._filled = DeviceBuffers(self._host_values(self.step), self.device), self.step
            for group in self.optimizer.param_groups:
                group["capturable"] = True  # else the optimizer refuses
            self._replay = capture(self._step_from_tables)
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
        named = {f"{at} {name}": values for at, draws in enumerate(augmented) for name, values in draws.items()}
        return {**host_values, "rows": self._rows(step), **named}

    def _fill(self, tables: DeviceBuffers) -> None:
        """Put the next steps of this epoch on the card when those there are done."""
        if self.step == self._filled:
            end = (self.step // self.plan.per_epoch + 1) * self.plan.per_epoch
            self._filled = min(self.step + BLOCK, end)
            tables.fill([self._host_values(step) for step in range(self.step, self._filled)])

    def _step_from_tables(self) -> None:
        """Take a step with what the tables hold. This is what a replay repeats."""
        assert self._tables is not None
        values = self._tables.take()
        self._set_rates(values["rates"].unbind())
        batch = self._static_batch
        if batch is None:
            draws = [dict[str, Tensor]() for _ in self.augmenter.steps]
            for key in list(values)[3:]:
                at, name = key.split(maxsplit=1)
                draws[int(at)][name] = values[key]
            batch = self.augmenter.apply(self.training.batch(values["rows"]), draws)
        self.losses.index_copy_(0, values["slot"], self._descend(batch, self.plan.progress(self.step))[None])

    def outputs(self, batch: Batch) -> Outputs:
        """Return the network's answer in float32, whatever it computed in."""
        network = as_network(self.network)
        if self.recipe.precision != "bfloat16":
            return network.read(batch.images)
        with torch.autocast(self.device.type, torch.bfloat16):
            outputs = network.read(batch.images)
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
            found=self.mitigation.find(outputs.logits, self.training.target.cpu()),
            step=0,
            best=None,
            _eager=0,
            _replay=None,
            _static_batch=None,
            _order=(-1, np.empty(0, dtype=np.int64)),
        )

    def save(self, folder: Path) -> None:
        """Write a checkpoint: all that the steps to come depend on."""
        state = {
            **{name: getattr(self, name) for name in ("identity", "phase", "step", "losses", "curve", "best")},
            **{name: getattr(self, name).state_dict() for name in ("network", "objective", "optimizer")},
            "found": list(self.found),
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

    def batches_beside(self, feed: Feed, purpose: str, most: int | None = None, size: int = 0) -> list[np.ndarray]:
        """Positions of a set in a fixed mixed order, in batches of the recipe's size (a last short one is kept)."""
        order = batch_order(self.seed, -1 if purpose == "validation" else -2, len(feed))
        size = size or self.recipe.batch_size
        return [order[start : start + size] for start in range(0, len(order), size)][:most]

    def _next_batch(self) -> Batch:
        return self.training.batch(self._rows(self.step))

    def _rows(self, step: int) -> np.ndarray:
        epoch, place = divmod(step, self.plan.per_epoch)
        if self._order[0] != epoch:
            self._order = (epoch, self.mitigation.order(self.setting, self.found, epoch))
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
            return worst_group(outputs.logits, self.validation.target.cpu(), self.labels.selected)
        return (-validation_loss,) if self.recipe.selection == "best-validation-loss" else None

    @torch.no_grad()
    def _validation_loss(self) -> float:
        """Mean of the objective over validation batches; images are augmented only to have several views of them."""
        self.network.eval()
        self.objective.eval()
        total, progress = torch.zeros((), dtype=torch.float64, device=self.device), self.plan.progress(self.step - 1)
        fewer = 4 if self.device.type == "cuda" and self.objective.steady else 1  # the mean is that of the images
        size = fewer * self.recipe.batch_size
        for number, index in enumerate(self.batches_beside(self.validation, "validation", size=size)):
            batch = self.validation.batch(index)
            if self.objective.views > 1:
                batch = self.views(batch, "validation-augmentation", number)
            total += self.objective.loss(self.outputs(batch), batch, progress).double() * len(index)
        to_training(self.network)
        self.objective.train()
        return float(total) / len(self.validation)


def begin(
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
    setting = MitigationContext(seed, len(training), plans[-1].rows_per_epoch, classes, labels.grouping, labels.trained)

    def new_learner() -> Learner:
        learner = make_learner(recipe, mitigation, setting, training, device)
        tuning = build_finetuning(recipe)
        first = tuning.fits_head and tuning.steps
        return with_fitted_head(learner, training, recipe.batch_size, seed, device) if first else learner

    learner = new_learner()
    masks = learner.objective.needs_masks
    run = TrainingState(
        recipe=recipe,
        plans=plans,
        seed=seed,
        identity=identity(recipe, training, validation, classes, seed, (labels.trained, labels.selected)),
        device=device,
        network=learner.network,
        objective=learner.objective,
        optimizer=learner.optimizer,
        new_learner=new_learner,
        schedule=cast(Schedule, registry.build("schedule", recipe.schedule.name, recipe.schedule.params)),
        augmenter=build_augmenter(recipe.augmentation, mitigation.augmentations()),
        mitigation=mitigation,
        setting=setting,
        labels=labels,
        training=make_feed(training, device, masks, labels.batch_groups),
        validation=make_feed(validation, device, masks),
        losses=torch.zeros(plans[-1].per_epoch, device=device),
    )
    checkpoint = load_checkpoint(folder, run.identity)
    if checkpoint is not None:
        run.restore(checkpoint)
    return run


# After the last step: selected weights, a head on frozen features, threshold, yardstick, collapse.

_BATCHES_LOOKED_AT = 4


@torch.no_grad()
def finish(run: TrainingState) -> TrainingResult:
    """Select weights, fit the head where the objective trained none or the mitigation asks for another, and judge by
    validation rows alone.

    Raises:
        Diverged: An output of the network is NaN or infinite.
    """
    selected = len(run.curve)
    if run.best is not None:
        run.network.load_state_dict(run.best["network"])
        selected = cast(int, run.best["epoch"])
    run.network.eval()
    run.objective.eval()
    if run.recipe.task == "segmentation":
        return _judge_maps(run, selected)
    outputs = read_all(run.network, run.validation, run.recipe.batch_size)
    if not bool(outputs.logits.isfinite().all() and outputs.features.isfinite().all()):
        raise Diverged(run.steps_done, math.nan)
    return _judge(run, outputs, selected)


def _judge(run: TrainingState, outputs: Outputs, selected: int) -> TrainingResult:
    network = as_network(run.network)
    trained_on = read_all(run.network, run.training, run.recipe.batch_size).features
    if not bool(trained_on.isfinite().all()):
        raise Diverged(run.steps_done, math.nan)
    targets = run.validation.target.cpu()
    linear = cast(nn.Linear, network.head)
    head = fit_head(trained_on, run.training.target, linear.out_features)
    probed = not run.plan.steps
    collapsed_by_loss = [] if probed else _losses_beside(run)
    rows = SelectedFeatures(trained_on, run.training.target.cpu()), SelectedFeatures(outputs.features, targets)
    new_head = run.mitigation.head(*rows, run.setting) or (head if probed or not run.objective.trains_head else None)
    if new_head is not None:
        new_head.fold_into(linear)
    logits = outputs.logits if new_head is None else linear(outputs.features.to(run.device)).cpu()
    yardstick = head.log_loss(outputs.features, targets)
    if probed:
        loss = head.log_loss(trained_on, run.training.target.cpu())
        run.curve.append({"epoch": 0, "train_loss": loss, "validation_loss": yardstick, "lr": 0.0})

    def slow() -> bool:
        unlabeled = run.objective.unlabeled
        tells = tells_images(collapsed_by_loss) if unlabeled else tells_classes(yardstick, targets)
        return only_slow(outputs.features, _features_before(run), tells=tells)

    return _fitted(
        run,
        selected_epoch=selected,
        threshold=youden_threshold(logits, targets),
        yardstick=yardstick,
        collapsed=collapse_reason(outputs.features, logits, collapsed_by_loss, slow),
        validated=logits,
    )


def _losses_beside(run: TrainingState) -> list[LossWithReference]:
    """Training batches' losses, and those of the same batches with their mean in every image's place."""
    progress = run.plan.progress(run.step - 1)
    pairs: list[LossWithReference] = []
    for index in run.batches_beside(run.training, "training", _BATCHES_LOOKED_AT):
        batch = run.training.batch(index)
        if run.objective.views > 1:
            batch = run.views(batch, "collapse", len(pairs))
        outputs = run.outputs(batch)
        both = outputs, outputs.constant()
        actual, constant_loss = (float(run.objective.loss(logits, batch, progress)) for logits in both)
        pairs.append(LossWithReference(actual=actual, constant=constant_loss))
    return pairs


def _features_before(run: TrainingState) -> Tensor:
    """Return the features of the validation images at the first step."""
    network = run.new_learner().network.eval()
    return read_all(network, run.validation, run.recipe.batch_size).features


def _judge_maps(run: TrainingState, selected: int) -> TrainingResult:
    """Return the operating thresholds and the fit, from validation lesions alone; a network that says the same
    everywhere has collapsed.

    Fit is 1 less the mean Dice at p = 0.5 of images with a lesion, whatever loss was trained. Maps are summarized batch
    by batch, and none is kept.
    """
    columns, spread, losses = StreamedSummary(), 0.0, list[Tensor]()
    network = as_network(run.network)
    for batch in run.validation.in_order(run.recipe.batch_size):
        logits = lesion_logits(network.read(batch.images).logits)
        if not bool(logits.isfinite().all()):
            raise Diverged(run.steps_done, math.nan)
        assert batch.masks is not None
        columns.append(logits, batch.masks[:, 0])
        marked, lesion = (logits >= 0).flatten(1), (batch.masks[:, 0] > 0).flatten(1)
        dice = 2 * (marked & lesion).sum(1) / (marked.sum(1) + lesion.sum(1)).clamp(min=1)
        losses.append(1 - dice[lesion.any(1)].double().cpu())
        spread = max(spread, float(logits.max() - logits.min()))
    maps = columns.columns()
    reached = [sensitivity_threshold(maps["lesion_score"], maps["floor"], level) for level in LEVELS]
    collapsed = Reason.of(Code.COLLAPSED_CONSTANT_MAPS, spread=spread) if spread < CONSTANT_LOGIT else NO_REASON
    return _fitted(
        run,
        selected_epoch=selected,
        collapsed=collapsed,
        yardstick=float(torch.cat(losses).mean()),
        operating=tuple(threshold.value for threshold in reached),
        finding=_extreme(maps["half_area"], maps["pixels"]),
    )


def _extreme(area: Int[np.ndarray, " n"], pixels: Int[np.ndarray, " n"]) -> Reason:
    """Return whether a network predicts no lesion pixel, or nearly all of every image.

    It has not collapsed: it may rank pixels well.
    """
    if not area.any():
        return Reason.of(Code.PREDICTS_NOTHING, images=len(area))
    everywhere = bool((area > 0.9 * pixels).all())
    return Reason.of(Code.PREDICTS_EVERYTHING, images=len(area)) if everywhere else NO_REASON


# The only training loop: deterministic, checkpointed, resumed bit for bit in the middle of an epoch.
#
# A step runs the network, hands its outputs to the objective, and goes down the gradient. Whatever is random in a step
# is drawn from (seed, purpose, step), so that the state between two steps is weights, optimizer and counters, nothing
# else.

_REPORT_EVERY = 0.25  # seconds
_CHECK_EVERY = 50  # steps between looks at the loss, which make a GPU wait
_EAGER_STEPS = 5  # on a GPU, before a step is captured


@dataclass(frozen=True, slots=True)
class ProgressReport:
    """Progress of a training: steps done of `steps`, epochs begun of `epochs`, and the last loss that was read.

    Examples:
        >>> report = ProgressReport(step=30, steps=120, epoch=2, epochs=8, loss=0.41)
        >>> report.step / report.steps
        0.25
    """

    step: int
    steps: int
    epoch: int
    epochs: int
    loss: float


class Diverged(Exception):
    """The loss, or an output of the network after the last step, is not a finite number.

    Examples:
        >>> str(Diverged(step=120, value=float("nan")))
        'diverged: the loss is nan at step 120; try a lower learning rate'
    """

    def __init__(self, step: int, value: float) -> None:
        super().__init__(step, value)
        self.step, self.value = step, value

    def __str__(self) -> str:
        return f"diverged: the loss is {self.value} at step {self.step}; try a lower learning rate"


class Interrupted(Exception):
    """Asked to stop: a checkpoint was written, the next `fit` continues from it.

    Examples:
        >>> str(Interrupted(step=120))
        'stopped after step 120; a checkpoint is kept'
    """

    def __init__(self, step: int) -> None:
        super().__init__(step)
        self.step = step

    def __str__(self) -> str:
        return f"stopped after step {self.step}; a checkpoint is kept"


@dataclass(frozen=True)
class TrainingResult:
    """A trained model and the results of its training.

    Attributes:
        network: In evaluation mode, with the selected weights.
        curve: One row per epoch with epoch, train_loss, validation_loss, lr, and without labels the figures of the
            features (`collapse.figures`); of all phases, where a mitigation has several; of a linear probe the one row
            of epoch 0.
        threshold: On the positive probability, None unless there are two classes.
        yardstick: Validation log-loss of a logistic head refitted on the frozen features; of a segmentation 1 less the
            mean Dice on validation images with a lesion, NaN without any.
        collapsed: The reason, if it has.
        selected_epoch: Counted from 1.
        steps: The steps done: fewer than planned where `patience` ended the training.
        mitigation: Whose group labels were used for training and for selection, and the mitigation's own record, in
            plain values.
        validated: Logits of the validation rows in the order of their table, on the CPU; None for dense outputs.
        operating: Of dense outputs the logit of lesion at which each share in `LEVELS` of the validation lesions is
            found, NaN where none does.
        finding: A remark on a training that neither collapsed nor diverged.
    """

    network: nn.Module
    curve: tuple[Mapping[str, float | int], ...]
    steps: int
    mitigation: Mapping[str, Any]
    selected_epoch: int
    collapsed: Reason
    threshold: float | None = None
    yardstick: float = math.nan
    validated: Float[Tensor, "n k"] | None = None
    operating: tuple[float, ...] = ()
    finding: Reason = NO_REASON


def fit(
    recipe: RecipeSpec,
    training: Environment,
    validation: Environment,
    *,
    classes: int,
    seed: int,
    folder: Path,
    device: str = "cpu",
    on_progress: Callable[[ProgressReport], None] | None = None,
    checkpoint_every: float = 30.0,
    should_stop: Callable[[], bool] | None = None,
) -> TrainingResult:
    """Train a recipe on an environment; continue from a checkpoint in `folder` when there is one of the same training.

    Everything decided here rests on `training` and `validation`; test rows have no way in. Epochs are whole batches of
    a fresh order: rows left over at the end of an epoch are skipped, others in each epoch.

    Args:
        checkpoint_every: Seconds, at the least, between checkpoints; 0 writes one after each step. Raises SpecError,
            WeightsError before the first step; Diverged; Collapsed from a training without labels whose features died;
            Interrupted after `should_stop` said so.

    Examples:
        Training takes minutes; the environments are those of a study:

            fitted = fit(recipe, training, validation, classes=2, seed=0, folder=Path("trial"))
    """
    folder.mkdir(parents=True, exist_ok=True)
    with computing(recipe, seed, device):
        run = begin(recipe, training, validation, classes, seed, torch.device(device), folder)
        _steps(run, folder, checkpoint_every, on_progress, should_stop)
        while run.phase + 1 < len(run.plans):
            run = run.next_phase()
            _steps(run, folder, checkpoint_every, on_progress, should_stop)
        return finish(run)


@contextmanager
def computing(recipe: RecipeSpec, seed: int, device: str) -> Generator[None]:
    """Within it a recipe is trained: threads, seeded library draws, and on a GPU its precision and its kernels, which
    are searched for by timing unless they must be deterministic.
    """
    with deterministic(recipe.threads, device == "cpu" or recipe.deterministic), library_draws(seed, "fit"):
        if device == "cpu":
            yield
            return
        rounded, before = recipe.precision == "tf32", torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("high" if rounded else "highest")
        exact = recipe.deterministic
        try:
            with torch.backends.cudnn.flags(True, not exact, deterministic=exact, allow_tf32=rounded):
                yield
        finally:
            torch.set_float32_matmul_precision(before)


def _steps(
    run: TrainingState,
    folder: Path,
    checkpoint_every: float,
    on_progress: Callable[[ProgressReport], None] | None,
    should_stop: Callable[[], bool] | None,
) -> None:
    """All steps of a phase that remain, with the pauses between them."""
    check_every = 1 if run.device.type == "cpu" else _CHECK_EVERY
    saved = reported = time.monotonic()
    loss = math.nan
    while not run.phase_ended:
        run.train_step()
        ends_epoch = run.step % run.plan.per_epoch == 0
        if ends_epoch or run.step % check_every == 0:
            loss = _finite(run)
        if ends_epoch:
            run.close_epoch()
        now = time.monotonic()
        if on_progress and (now - reported >= _REPORT_EVERY or run.ended):
            reported = now
            on_progress(ProgressReport(run.steps_done, run.steps, run.epoch + 1, run.epochs, loss))
        stop = should_stop is not None and not run.ended and should_stop()
        if stop or now - saved >= checkpoint_every:
            _finite(run)
            run.save(folder)
            saved = time.monotonic()
        if stop:
            raise Interrupted(run.steps_done)


def _finite(run: TrainingState) -> float:
    """Return the last loss. Raises Diverged for the first that is not finite since the epoch began."""
    losses = run.losses[: (run.step - 1) % run.plan.per_epoch + 1]
    last = float(losses[-1])
    if not math.isfinite(last) or not bool(losses.isfinite().all()):
        first = int((~losses.isfinite()).nonzero()[0])
        raise Diverged(run.steps_done - len(losses) + first + 1, float(losses[first]))
    return last


def _fitted(run: TrainingState, **results: Any) -> TrainingResult:
    """Return the outcome of a training, with what was found in the end."""
    account = {**run.labels.account(), **run.mitigation.account(run.found, run.objective)}
    return TrainingResult(
        network=run.network,
        curve=tuple(run.curve),
        steps=run.steps_done,
        mitigation={"name": run.recipe.mitigation.name, **account},
        **results,
    )
