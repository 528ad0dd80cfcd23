"""The training loop: deterministic, checkpointed, and resumed bit for bit within an epoch."""

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
    tells_classes,
    tells_images,
)
from assay.training.feed import read_all, youden_threshold
from assay.training.mitigations import SelectedFeatures
from assay.training.state import TrainingState, begin

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
