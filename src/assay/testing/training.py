"""What training must do with any loss and any network: killed and resumed, it ends the same bit for bit."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import nn

from assay.plugin import (
    Component,
    Fitted,
    Interrupted,
    ProgressReport,
    RecipeSpec,
    Task,
    fit,
    phases_of,
    read_weights,
    save_weights,
)
from assay.testing.images import squares

EPOCHS, ROWS, BATCH = 4, 50, 8
STEPS = EPOCHS * (ROWS // BATCH)
# torch._dynamo: torch imports it with the first optimiser, which takes longer than these trainings.
PRELOADED = ["assay.recipes.train", "assay.recipes.small_cnn", "assay.recipes.initialisation", "torch._dynamo"]


def train(recipe: RecipeSpec, folder: Path, **options: Any) -> Fitted:
    """A training of some steps on squares."""
    training, validation = squares(ROWS, seed=1), squares(20, seed=2)
    return fit(recipe, training, validation, classes=2, seed=5, folder=folder, **options)


def train_and_keep(recipe: RecipeSpec, folder: Path, pause: float, said: Connection) -> None:
    """In a process of its own: train with a checkpoint after each step, say each step, keep the weights."""
    steps = 0

    def slowly() -> bool:
        nonlocal steps
        steps += 1
        said.send(steps)
        time.sleep(pause)
        return False

    fitted = train(recipe, folder, checkpoint_every=0.0, should_stop=slowly)
    save_weights(fitted.network, folder / "weights.safetensors")
    (folder / "curve.json").write_text(json.dumps([dict(row) for row in fitted.curve]))


class TrainingConformance:
    """Set `task`, `loss` and its `params`, `architecture` and its `architecture_params`, `mitigation` and its
    `mitigation_params`, `selection`, where they are not the default.

    For a part with a state of its own (a teacher, a schedule, running statistics, several phases). Proven: killed with
    SIGKILL at a random step and resumed in another process, or asked to stop within an epoch, training ends with the
    same weights and the same curve, bit for bit, as when it was left alone; its progress is told to the end, and the
    curve is finite. Training is 24 steps on 50 grey images of 16 pixels with masks.
    """

    task: ClassVar[Task] = "classification"
    loss: ClassVar[str] = "cross-entropy"
    params: ClassVar[Mapping[str, Any]] = {}
    architecture: ClassVar[str] = "small-cnn"
    architecture_params: ClassVar[Mapping[str, Any]] = {}
    mitigation: ClassVar[str] = "none"
    mitigation_params: ClassVar[Mapping[str, Any]] = {}
    selection: ClassVar[Literal["last", "best-validation-loss"]] = "best-validation-loss"

    def recipe(self) -> RecipeSpec:
        """The recipe that is trained, with as many epochs as make those of all its phases the same number."""
        recipe = RecipeSpec(
            task=self.task,
            architecture=Component(kind="architecture", name=self.architecture, params=self.architecture_params),
            loss=Component(kind="loss", name=self.loss, params=self.params),
            mitigation=Component(kind="mitigation", name=self.mitigation, params=self.mitigation_params),
            groups="mark",
            epochs=EPOCHS,
            batch_size=BATCH,
            selection=self.selection,
        )
        return recipe.model_copy(update={"epochs": 2 * EPOCHS - sum(phases_of(recipe))})

    def test_killed_at_a_random_step_and_resumed_it_ends_the_same(self, tmp_path: Path) -> None:
        whole = train(self.recipe(), tmp_path / "whole")
        step = int(np.random.default_rng().integers(2, STEPS - 1))
        folder = tmp_path / "killed"
        folder.mkdir()
        assert self.in_a_process(folder, kill_after=step) == -signal.SIGKILL, f"killed after step {step}"
        assert (folder / "checkpoint.pt").exists()
        assert self.in_a_process(folder) == 0
        kept = read_weights(folder / "weights.safetensors").tensors
        expected = whole.network.state_dict()
        differ = [key for key, value in expected.items() if not torch.equal(kept[key], value)]
        assert not differ, f"killed after step {step} and resumed, these ended otherwise: {', '.join(differ)}"
        assert json.loads((folder / "curve.json").read_text()) == [dict(row) for row in whole.curve]

    def test_asked_to_stop_in_the_middle_of_an_epoch_it_continues(self, tmp_path: Path) -> None:
        whole = train(self.recipe(), tmp_path / "whole")
        stops = 0
        for stop_after in (3, 5, 9):
            calls = iter(range(1, STEPS + 1))
            try:
                train(self.recipe(), tmp_path / "parts", should_stop=stopping(calls, stop_after))
            except Interrupted:
                stops += 1
        rest = train(self.recipe(), tmp_path / "parts")
        assert stops == 3
        assert same_state(rest.network, whole.network)
        assert rest.curve == whole.curve
        assert rest.selected_epoch == whole.selected_epoch

    def test_it_is_reported_to_the_end(self, tmp_path: Path) -> None:
        reports: list[ProgressReport] = []
        fitted = train(self.recipe(), tmp_path, on_progress=reports.append)
        assert reports[-1].step == reports[-1].steps == fitted.steps == STEPS
        assert reports[-1].epoch == reports[-1].epochs == len(fitted.curve) == EPOCHS
        assert all(np.isfinite(value) for row in fitted.curve for value in row.values())

    def in_a_process(self, folder: Path, kill_after: int | None = None) -> int | None:
        """Train in a process of its own, killed after so many steps or left to end; its exit code."""
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOADED)
        heard, said = context.Pipe(duplex=False)
        pause = 0.0 if kill_after is None else 0.02
        process = context.Process(target=train_and_keep, args=(self.recipe(), folder, pause, said))
        process.start()
        said.close()
        while kill_after is not None and heard.recv() < kill_after:
            pass
        if kill_after is not None and process.pid is not None:
            os.kill(process.pid, signal.SIGKILL)
        while kill_after is None and process.is_alive():
            _drain(heard)
        process.join(60)
        return process.exitcode


def stopping(calls: Iterator[int], after: int) -> Callable[[], bool]:
    """Says stop when it was asked so many times."""
    return lambda: next(calls) >= after


def same_state(first: nn.Module, second: nn.Module) -> bool:
    """The same parameters and buffers, bit for bit."""
    a, b = first.state_dict(), second.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def _drain(heard: Connection) -> None:
    """Read what is said, so that the speaker does not wait for a listener."""
    try:
        while heard.poll(0.05):
            heard.recv()
    except EOFError:
        time.sleep(0.01)
