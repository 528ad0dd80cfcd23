"""What training must do with any objective: killed at any moment and resumed elsewhere, it ends the same, bit for bit.

A plug-in's tests inherit `TrainingConformance`, name the loss and, where needed, the architecture. Training happens in
processes of their own; `environments` is called in each of them.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from tests.recipes.world import part, same_state, squares

from assay.core.spec import RecipeSpec
from assay.recipes.checkpoint import save_weights
from assay.recipes.train import Fitted, Interrupted, ProgressReport, fit
from assay.recipes.weights import read_weights

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
    torch.save([dict(row) for row in fitted.curve], folder / "curve.pt")


class TrainingConformance:
    """Inherit and set `loss`; `params`, `architecture` where needed."""

    loss: ClassVar[str]
    params: ClassVar[Mapping[str, Any]] = {}
    architecture: ClassVar[str] = "small-cnn"

    def recipe(self, **fields: Any) -> RecipeSpec:
        return RecipeSpec(
            architecture=part("architecture", self.architecture),
            loss=part("loss", self.loss, **self.params),
            epochs=EPOCHS,
            batch_size=BATCH,
            selection="best-validation-loss",
            **fields,
        )

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
        assert all(torch.equal(kept[key], value) for key, value in expected.items()), f"killed after step {step}"
        assert torch.load(folder / "curve.pt") == [dict(row) for row in whole.curve]

    def test_asked_to_stop_in_the_middle_of_an_epoch_it_continues(self, tmp_path: Path) -> None:
        whole = train(self.recipe(), tmp_path / "whole")
        stops = 0
        for stop_after in (3, 5, 9):
            calls = iter(range(1, STEPS + 1))
            try:
                train(self.recipe(), tmp_path / "parts", should_stop=lambda c=calls, n=stop_after: next(c) >= n)
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


def _drain(heard: Connection) -> None:
    """Read what is said, so that the speaker does not wait for a listener."""
    try:
        while heard.poll(0.05):
            heard.recv()
    except EOFError:
        time.sleep(0.01)
