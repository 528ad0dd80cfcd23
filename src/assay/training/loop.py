"""The training loop: deterministic, checkpointed, and resumed bit for bit within an epoch."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from assay.core.reasons import NOTHING, Code, Reason, because
from assay.maps.summary import Streamed, lesion_logits
from assay.models.checkpoint import deterministic, library_draws
from assay.models.classifier import GradeHead, Outputs, as_network, fit_head
from assay.shifts.environment import Environment
from assay.spec.recipe import RecipeSpec
from assay.stats.maps import threshold_at
from assay.stats.measures import LEVELS
from assay.training.collapse import CONSTANT_LOGIT, LossBeside, collapse_reason, only_slow, tells_classes, tells_images
from assay.training.feed import read_all, youden_threshold
from assay.training.mitigations import Frozen
from assay.training.run import Run, begin

# After the last step: selected weights, a head on frozen features, threshold, yardstick, collapse.

_BATCHES_LOOKED_AT = 4


@torch.no_grad()
def finish(run: Run) -> Fitted:
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
    seen = read_all(run.network, run.validation, run.recipe.batch_size)
    if not bool(seen.logits.isfinite().all() and seen.features.isfinite().all()):
        raise Diverged(run.steps_done, math.nan)
    return _judge(run, seen, selected)


def _judge(run: Run, seen: Outputs, selected: int) -> Fitted:
    network = as_network(run.network)
    trained_on = read_all(run.network, run.training, run.recipe.batch_size).features
    if not bool(trained_on.isfinite().all()):
        raise Diverged(run.steps_done, math.nan)
    targets = run.validation.target.cpu()
    own = cast(nn.Linear | GradeHead, network.head)
    head = fit_head(trained_on, run.training.target, own.out_features)
    probed = not run.plan.steps
    collapsed_by_loss = [] if probed else _losses_beside(run)
    rows = Frozen(trained_on, run.training.target.cpu()), Frozen(seen.features, targets)
    kept = run.mitigation.head(*rows, run.setting) or (head if probed or not run.objective.trains_head else None)
    if isinstance(own, GradeHead):
        own.settle(seen.features, targets)
    elif kept is not None:
        kept.fold_into(own)
    changed = kept is not None or isinstance(own, GradeHead)
    logits = own(seen.features.to(run.device)).cpu() if changed else seen.logits
    yardstick = head.log_loss(seen.features, targets)
    if probed:
        loss = head.log_loss(trained_on, run.training.target.cpu())
        run.curve.append({"epoch": 0, "train_loss": loss, "validation_loss": yardstick, "lr": 0.0})

    def slow() -> bool:
        unlabeled = run.objective.unlabeled
        tells = tells_images(collapsed_by_loss) if unlabeled else tells_classes(yardstick, targets)
        return only_slow(seen.features, _features_before(run), tells=tells)

    return _fitted(
        run,
        selected_epoch=selected,
        threshold=youden_threshold(logits, targets),
        yardstick=yardstick,
        collapsed=collapse_reason(seen.features, logits, collapsed_by_loss, slow),
        validated=logits,
    )


def _losses_beside(run: Run) -> list[LossBeside]:
    """Training batches' losses, and those of the same batches with their mean in every image's place."""
    progress = run.plan.progress(run.step - 1)
    pairs: list[LossBeside] = []
    for index in run.batches_beside(run.training, "training", _BATCHES_LOOKED_AT):
        batch = run.training.batch(index)
        if run.objective.views > 1:
            batch = run.views(batch, "collapse", len(pairs))
        outputs = run.outputs(batch)
        both = outputs, outputs.constant()
        actual, beside = (float(run.objective.loss(given, batch, progress)) for given in both)
        pairs.append(LossBeside(actual=actual, constant=beside))
    return pairs


def _features_before(run: Run) -> Tensor:
    """Return the features of the validation images at the first step."""
    network = run.afresh().network.eval()
    return read_all(network, run.validation, run.recipe.batch_size).features


def _judge_maps(run: Run, selected: int) -> Fitted:
    """Return the operating thresholds and the fit, from validation lesions alone; a network that says the same
    everywhere has collapsed.

    Fit is 1 less the mean Dice at p = 0.5 of images with a lesion, whatever loss was trained. Maps are summarized batch
    by batch, and none is kept.
    """
    columns, spread, lost = Streamed(), 0.0, list[Tensor]()
    network = as_network(run.network)
    for batch in run.validation.in_order(run.recipe.batch_size):
        logits = lesion_logits(network.read(batch.images).logits)
        if not bool(logits.isfinite().all()):
            raise Diverged(run.steps_done, math.nan)
        assert batch.masks is not None
        columns.append(logits, batch.masks[:, 0])
        shown, lesion = (logits >= 0).flatten(1), (batch.masks[:, 0] > 0).flatten(1)
        dice = 2 * (shown & lesion).sum(1) / (shown.sum(1) + lesion.sum(1)).clamp(min=1)
        lost.append(1 - dice[lesion.any(1)].double().cpu())
        spread = max(spread, float(logits.max() - logits.min()))
    found = columns.columns()
    reached = [threshold_at(found["lesion_score"], found["floor"], level) for level in LEVELS]
    collapsed = because(Code.COLLAPSED_CONSTANT_MAPS, spread=spread) if spread < CONSTANT_LOGIT else NOTHING
    return _fitted(
        run,
        selected_epoch=selected,
        collapsed=collapsed,
        yardstick=float(torch.cat(lost).mean()),
        operating=tuple(one.value for one in reached),
        finding=_extreme(found["half_area"], found["pixels"]),
    )


def _extreme(area: Int[np.ndarray, " n"], pixels: Int[np.ndarray, " n"]) -> Reason:
    """Return whether a network predicts no lesion pixel, or nearly all of every image.

    It has not collapsed: it may rank pixels well.
    """
    if not area.any():
        return because(Code.PREDICTS_NOTHING, images=len(area))
    everywhere = bool((area > 0.9 * pixels).all())
    return because(Code.PREDICTS_EVERYTHING, images=len(area)) if everywhere else NOTHING


# The only training loop: deterministic, checkpointed, resumed bit for bit in the middle of an epoch.
#
# A step runs the network, hands its outputs to the objective, and goes down the gradient. Whatever is random in a step
# is drawn from (seed, purpose, step), so that the state between two steps is weights, optimizer and counters, nothing
# else.

_REPORT_EVERY = 0.25  # seconds
_CHECK_EVERY = {"cpu": 1}  # steps between looks at the loss; looking makes a GPU wait
_CHECK_EVERY_ELSEWHERE = 50


@dataclass(frozen=True, slots=True)
class ProgressReport:
    """Progress of a training: steps done of `steps`, epochs begun of `epochs`, and the last loss that was read."""

    step: int
    steps: int
    epoch: int
    epochs: int
    loss: float


class Diverged(Exception):
    """The loss, or an output of the network after the last step, is not a finite number."""

    def __init__(self, step: int, value: float) -> None:
        super().__init__(step, value)
        self.step, self.value = step, value

    def __str__(self) -> str:
        return f"diverged: the loss is {self.value} at step {self.step}; try a lower learning rate"


class Interrupted(Exception):
    """Asked to stop: a checkpoint was written, the next `fit` continues from it."""

    def __init__(self, step: int) -> None:
        super().__init__(step)
        self.step = step

    def __str__(self) -> str:
        return f"stopped after step {self.step}; a checkpoint is kept"


@dataclass(frozen=True)
class Fitted:
    """A trained model and the results of its training.

    Attributes:
        network: In evaluation mode, with the selected weights.
        curve: One row per epoch with epoch, train_loss, validation_loss, lr, and without labels the figures of the
            features (`watching.figures`); of all phases, where a mitigation has several; of a linear probe the one row
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
    finding: Reason = NOTHING


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
) -> Fitted:
    """Train a recipe on an environment; continue from a checkpoint in `folder` when there is one of the same training.

    Everything decided here rests on `training` and `validation`; test rows have no way in. Epochs are whole batches of
    a fresh order: rows left over at the end of an epoch are skipped, others in each epoch.

    Args:
        checkpoint_every: Seconds, at the least, between checkpoints; 0 writes one after each step. Raises SpecError,
            WeightsError before the first step; Diverged; Collapsed from a training without labels whose features died;
            Interrupted after `should_stop` said so.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with deterministic(recipe.threads), library_draws(seed, "fit"):
        run = begin(recipe, training, validation, classes, seed, torch.device(device), folder)
        _steps(run, folder, checkpoint_every, on_progress, should_stop)
        while run.phase + 1 < len(run.plans):
            run = run.next_phase()
            _steps(run, folder, checkpoint_every, on_progress, should_stop)
        return finish(run)


def _steps(
    run: Run,
    folder: Path,
    checkpoint_every: float,
    on_progress: Callable[[ProgressReport], None] | None,
    should_stop: Callable[[], bool] | None,
) -> None:
    """All steps of a phase that remain, with the pauses between them."""
    check_every = _CHECK_EVERY.get(run.device.type, _CHECK_EVERY_ELSEWHERE)
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


def _finite(run: Run) -> float:
    """Return the last loss. Raises Diverged for the first that is not finite since the epoch began."""
    losses = run.losses[: (run.step - 1) % run.plan.per_epoch + 1]
    last = float(losses[-1])
    if not math.isfinite(last) or not bool(losses.isfinite().all()):
        first = int((~losses.isfinite()).nonzero()[0])
        raise Diverged(run.steps_done - len(losses) + first + 1, float(losses[first]))
    return last


def _fitted(run: Run, **found: Any) -> Fitted:
    """Return the outcome of a training, with what was found in the end."""
    account = {**run.labels.account(), **run.mitigation.account(run.found, run.objective)}
    return Fitted(
        network=run.network,
        curve=tuple(run.curve),
        steps=run.steps_done,
        mitigation={"name": run.recipe.mitigation.name, **account},
        **found,
    )
