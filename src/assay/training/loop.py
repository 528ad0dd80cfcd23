"""Train a network: the only training loop, and the result of a training.

`fit` trains a recipe phase by phase, writes checkpoints, and continues from one in the middle of an epoch, bit for bit.
`finish` then selects weights, fits a head where none was trained, sets thresholds, and detects collapse.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from assay.core.reasons import NO_REASON, Code, Reason
from assay.maps.summary import StreamedSummary, lesion_logits
from assay.models.networks import Outputs, as_network, fit_head
from assay.models.weights import deterministic, library_draws
from assay.shifts.environment import Environment
from assay.spec.recipe import RecipeSpec
from assay.stats.maps import sensitivity_threshold
from assay.stats.measures.maps import LEVELS
from assay.training.collapse import (
    CONSTANT_LOGIT,
    LossWithReference,
    collapse_reason,
    only_slow,
    separates_classes,
    separates_images,
)
from assay.training.feed import read_all, youden_threshold
from assay.training.mitigations import SelectedFeatures
from assay.training.state import TrainingState, begin_training

# After the last step: selected weights, a head on frozen features, threshold, yardstick, collapse.
_COLLAPSE_BATCHES = 4


@torch.no_grad()
def finish(state: TrainingState) -> TrainingResult:
    """Select weights, fit the head where the objective trained none or the mitigation asks for another, and judge by
    validation rows alone.

    Raises:
        Diverged: An output of the network is NaN or infinite.
    """
    selected = len(state.curve)
    if state.best is not None:
        state.network.load_state_dict(state.best["network"])
        selected = cast(int, state.best["epoch"])
    state.network.eval()
    state.objective.eval()
    if state.recipe.task == "segmentation":
        return _segmentation_result(state, selected)
    outputs = read_all(state.network, state.validation, state.recipe.batch_size)
    if not bool(outputs.logits.isfinite().all() and outputs.features.isfinite().all()):
        raise Diverged(state.steps_done, math.nan)
    return _classification_result(state, outputs, selected)


def _classification_result(state: TrainingState, outputs: Outputs, selected: int) -> TrainingResult:
    network = as_network(state.network)
    training_features = read_all(state.network, state.training, state.recipe.batch_size).features
    if not bool(training_features.isfinite().all()):
        raise Diverged(state.steps_done, math.nan)
    targets = state.validation.target.cpu()
    linear = cast(nn.Linear, network.head)
    head = fit_head(training_features, state.training.target, linear.out_features)
    is_linear_probe = not state.plan.steps
    losses = [] if is_linear_probe else _losses_with_constant(state)
    features = (
        SelectedFeatures(training_features, state.training.target.cpu()),
        SelectedFeatures(outputs.features, targets),
    )
    new_head = state.mitigation.head(*features, state.mitigation_context) or (
        head if is_linear_probe or not state.objective.trains_head else None
    )
    if new_head is not None:
        new_head.fold_into(linear)
    logits = outputs.logits if new_head is None else linear(outputs.features.to(state.device)).cpu()
    yardstick = head.log_loss(outputs.features, targets)
    if is_linear_probe:
        loss = head.log_loss(training_features, state.training.target.cpu())
        state.curve.append({"epoch": 0, "train_loss": loss, "validation_loss": yardstick, "lr": 0.0})

    def is_only_slow() -> bool:
        unlabeled = state.objective.unlabeled
        separates_targets = separates_images(losses) if unlabeled else separates_classes(yardstick, targets)
        return only_slow(outputs.features, _initial_features(state), separates_targets=separates_targets)

    return _training_result(
        state,
        selected_epoch=selected,
        threshold=youden_threshold(logits, targets),
        yardstick=yardstick,
        collapsed=collapse_reason(outputs.features, logits, losses, is_only_slow),
        validated=logits,
    )


def _losses_with_constant(state: TrainingState) -> list[LossWithReference]:
    """Training batches' losses, and those of the same batches with their mean in every image's place."""
    progress = state.plan.progress(state.step - 1)
    pairs: list[LossWithReference] = []
    for index in state.fixed_batches(state.training, "training", _COLLAPSE_BATCHES):
        batch = state.training.batch(index)
        if state.objective.views > 1:
            batch = state.views(batch, "collapse", len(pairs))
        outputs = state.outputs(batch)
        both = outputs, outputs.constant()
        actual, constant_loss = (float(state.objective.loss(logits, batch, progress)) for logits in both)
        pairs.append(LossWithReference(actual=actual, constant=constant_loss))
    return pairs


def _initial_features(state: TrainingState) -> Tensor:
    """Return the features of the validation images at the first step."""
    network = state.new_learner().network.eval()
    return read_all(network, state.validation, state.recipe.batch_size).features


def _segmentation_result(state: TrainingState, selected: int) -> TrainingResult:
    """Return the operating thresholds and the fit, from validation lesions alone; a network that says the same
    everywhere has collapsed.

    Fit is 1 less the mean Dice at p = 0.5 of images with a lesion, whatever loss was trained. Maps are summarized batch
    by batch, and none is kept.
    """
    columns, spread, losses = StreamedSummary(), 0.0, list[Tensor]()
    network = as_network(state.network)
    for batch in state.validation.in_order(state.recipe.batch_size):
        logits = lesion_logits(network.read(batch.images).logits)
        if not bool(logits.isfinite().all()):
            raise Diverged(state.steps_done, math.nan)
        assert batch.masks is not None
        columns.append(logits, batch.masks[:, 0])
        predicted, lesion = (logits >= 0).flatten(1), (batch.masks[:, 0] > 0).flatten(1)
        dice = 2 * (predicted & lesion).sum(1) / (predicted.sum(1) + lesion.sum(1)).clamp(min=1)
        losses.append(1 - dice[lesion.any(1)].double().cpu())
        spread = max(spread, float(logits.max() - logits.min()))
    maps = columns.columns()
    thresholds = [sensitivity_threshold(maps["lesion_score"], maps["floor"], level) for level in LEVELS]
    collapsed = Reason.of(Code.COLLAPSED_CONSTANT_MAPS, spread=spread) if spread < CONSTANT_LOGIT else NO_REASON
    return _training_result(
        state,
        selected_epoch=selected,
        collapsed=collapsed,
        yardstick=float(torch.cat(losses).mean()),
        operating=tuple(threshold.value for threshold in thresholds),
        finding=_degenerate_maps(maps["half_area"], maps["pixels"]),
    )


def _degenerate_maps(area: Int[np.ndarray, " n"], pixels: Int[np.ndarray, " n"]) -> Reason:
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
    with training_numerics(recipe, seed, device):
        state = begin_training(recipe, training, validation, classes, seed, torch.device(device), folder)
        _train_phase(state, folder, checkpoint_every, on_progress, should_stop)
        while state.phase + 1 < len(state.plans):
            state = state.next_phase()
            _train_phase(state, folder, checkpoint_every, on_progress, should_stop)
        return finish(state)


@contextmanager
def training_numerics(recipe: RecipeSpec, seed: int, device: str) -> Generator[None]:
    """Within it a recipe is trained: threads, seeded library draws, and on a GPU its precision and its kernels, which
    are searched for by timing unless they must be deterministic.
    """
    with deterministic(recipe.threads, device == "cpu" or recipe.deterministic), library_draws(seed, "fit"):
        if device == "cpu":
            yield
            return
        allows_tf32, before = recipe.precision == "tf32", torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("high" if allows_tf32 else "highest")
        is_deterministic = recipe.deterministic
        try:
            with torch.backends.cudnn.flags(
                True, not is_deterministic, deterministic=is_deterministic, allow_tf32=allows_tf32
            ):
                yield
        finally:
            torch.set_float32_matmul_precision(before)


def _train_phase(
    state: TrainingState,
    folder: Path,
    checkpoint_every: float,
    on_progress: Callable[[ProgressReport], None] | None,
    should_stop: Callable[[], bool] | None,
) -> None:
    """All steps of a phase that remain, with the pauses between them."""
    check_every = 1 if state.device.type == "cpu" else _CHECK_EVERY
    saved = reported = time.monotonic()
    loss = math.nan
    while not state.phase_ended:
        state.train_step()
        ends_epoch = state.step % state.plan.per_epoch == 0
        if ends_epoch or state.step % check_every == 0:
            loss = _last_finite_loss(state)
        if ends_epoch:
            state.end_epoch()
        now = time.monotonic()
        if on_progress and (now - reported >= _REPORT_EVERY or state.ended):
            reported = now
            on_progress(ProgressReport(state.steps_done, state.steps, state.epoch + 1, state.epochs, loss))
        stop = should_stop is not None and not state.ended and should_stop()
        if stop or now - saved >= checkpoint_every:
            _last_finite_loss(state)
            state.save(folder)
            saved = time.monotonic()
        if stop:
            raise Interrupted(state.steps_done)


def _last_finite_loss(state: TrainingState) -> float:
    """Return the last loss. Raises Diverged for the first that is not finite since the epoch began."""
    losses = state.losses[: (state.step - 1) % state.plan.per_epoch + 1]
    last = float(losses[-1])
    if not math.isfinite(last) or not bool(losses.isfinite().all()):
        first = int((~losses.isfinite()).nonzero()[0])
        raise Diverged(state.steps_done - len(losses) + first + 1, float(losses[first]))
    return last


def _training_result(state: TrainingState, **results: Any) -> TrainingResult:
    """Return the outcome of a training, with what was found in the end."""
    mitigation_record = {**state.labels.account(), **state.mitigation.account(state.selected_rows, state.objective)}
    return TrainingResult(
        network=state.network,
        curve=tuple(state.curve),
        steps=state.steps_done,
        mitigation={"name": state.recipe.mitigation.name, **mitigation_record},
        **results,
    )
