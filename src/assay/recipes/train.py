"""The only training loop: deterministic, checkpointed, resumed bit for bit in the middle of an epoch.

A step runs the network, hands its outputs to the objective, and goes down the gradient. Whatever is random in a step is
drawn from (seed, purpose, step), so that the state between two steps is weights, optimiser and counters, nothing else.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from assay.core.spec import RecipeSpec
from assay.recipes.finish import Verdict, finish
from assay.recipes.randomness import deterministic, library_draws
from assay.recipes.run import Run, begin
from assay.shifts.environment import Environment

_REPORT_EVERY = 0.25  # seconds
_CHECK_EVERY = {"cpu": 1}  # steps between looks at the loss; looking makes a GPU wait
_CHECK_EVERY_ELSEWHERE = 50


@dataclass(frozen=True, slots=True)
class ProgressReport:
    """Where a training stands: steps done of `steps`, epochs begun of `epochs`, and the last loss looked at."""

    step: int
    steps: int
    epoch: int
    epochs: int
    loss: float


class Diverged(Exception):
    """The loss, or what the network says after the last step, is not a finite number."""

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
    """A trained model and what the training says about it.

    network: in evaluation mode, with the selected weights. curve: one row per epoch with epoch, train_loss,
    validation_loss, lr, and without labels what the features are like (`watching.figures`); of all phases, where a
    mitigation has several; of a linear probe the one row of epoch 0. threshold: on the positive probability, None
    unless there are two classes. yardstick: validation log-loss of a logistic head refitted on the frozen features, NaN
    for dense outputs. collapsed: the reason, or None. selected_epoch: counted from 1. mitigation: whose group labels
    were used for training and for selection, and what the mitigation says of itself, in plain values. validated: logits
    of the validation rows in the order of their table, on the CPU; None for dense outputs. operating: of dense outputs
    the logit of lesion at which each share in `LEVELS` of the validation lesions is found, NaN where none does.
    finding: what is to be known of a training that is none of collapsed or diverged; empty where there is nothing.
    """

    network: nn.Module
    curve: tuple[Mapping[str, float | int], ...]
    threshold: float | None
    yardstick: float
    collapsed: str | None
    selected_epoch: int
    steps: int
    mitigation: Mapping[str, Any]
    validated: Float[Tensor, "n k"] | None
    operating: tuple[float, ...] = ()
    finding: str = ""


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
    checkpoint_every: seconds, at the least, between checkpoints; 0 writes one after each step.
    Raises SpecError, WeightsError before the first step; Diverged; Collapsed from a training without labels whose
    features died; Interrupted after `should_stop` said so.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with deterministic(recipe.threads), library_draws(seed, "fit"):
        run = begin(recipe, training, validation, classes, seed, torch.device(device), folder)
        _steps(run, folder, checkpoint_every, on_progress, should_stop)
        while run.phase + 1 < len(run.plans):
            run = run.next_phase()
            _steps(run, folder, checkpoint_every, on_progress, should_stop)
        verdict = finish(run)
    return _fitted(run, verdict)


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
    while run.step < run.plan.steps:
        run.train_step()
        ends_epoch = run.step % run.plan.per_epoch == 0
        if ends_epoch or run.step % check_every == 0:
            loss = _finite(run)
        if ends_epoch:
            run.close_epoch()
        now = time.monotonic()
        if on_progress and (now - reported >= _REPORT_EVERY or run.steps_done == run.steps):
            reported = now
            on_progress(ProgressReport(run.steps_done, run.steps, run.epoch + 1, run.epochs, loss))
        stop = should_stop is not None and run.steps_done < run.steps and should_stop()
        if stop or now - saved >= checkpoint_every:
            _finite(run)
            run.save(folder)
            saved = time.monotonic()
        if stop:
            raise Interrupted(run.steps_done)


def _finite(run: Run) -> float:
    """The last loss. Raises Diverged for the first that is not finite since the epoch began."""
    losses = run.losses[: (run.step - 1) % run.plan.per_epoch + 1]
    last = float(losses[-1])
    if not math.isfinite(last) or not bool(losses.isfinite().all()):
        first = int((~losses.isfinite()).nonzero()[0])
        raise Diverged(run.steps_done - len(losses) + first + 1, float(losses[first]))
    return last


def _fitted(run: Run, verdict: Verdict) -> Fitted:
    if not verdict.finite:
        raise Diverged(run.steps, math.nan)
    return Fitted(
        network=run.network,
        curve=tuple(run.curve),
        threshold=verdict.threshold,
        yardstick=verdict.yardstick,
        collapsed=verdict.collapsed,
        selected_epoch=verdict.selected_epoch,
        steps=run.steps,
        mitigation={
            "name": run.recipe.mitigation.name,
            **run.labels.account(),
            **run.mitigation.account(run.found, run.objective),
        },
        validated=verdict.validated,
        operating=verdict.operating,
        finding=verdict.finding,
    )
