"""A captured step trains as one that is fed step by step. Without a GPU, a capture is the function itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.worlds.environments import part, recipe

from assay.plugin import RecipeSpec, deterministic, library_draws
from assay.testing.data import squares
from assay.training import state
from assay.training.graph import DeviceBuffers
from assay.training.state import TrainingState, begin_training

CPU = torch.device("cpu")
AUGMENTED = (part("augmentation", "flip"), part("augmentation", "shift"))
HELD = (part("augmentation", "flip"), part("augmentation", "affine"))


def trained(folder: Path, chosen: RecipeSpec, steps: int = 25) -> TrainingState:
    with deterministic(1), library_draws(0, "fit"):
        run = begin_training(chosen, squares(70, seed=1), squares(30, seed=2), 2, 0, CPU, folder)
        for _ in range(steps):
            run.train_step()
    return run


@pytest.fixture
def replays(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Captures on the CPU, of blocks of three steps; counts replays."""
    counted: list[int] = []

    def capture(step):
        return lambda: (counted.append(1), step())[1]

    monkeypatch.setattr(state, "capture", capture)
    monkeypatch.setattr(state, "BLOCK", 3)
    monkeypatch.setattr(TrainingState, "_can_be_captured", lambda run: run.objective.steady)
    return counted


@pytest.mark.parametrize("augmentation", [AUGMENTED, HELD, ()], ids=["on device", "held", "none"])
@pytest.mark.parametrize("loss", ["cross-entropy", "weighted-cross-entropy"])
def test_a_captured_step_trains_like_the_others(tmp_path, loss, augmentation, replays):
    chosen = recipe(loss, augmentation=augmentation, epochs=9)
    fast = trained(tmp_path, chosen)
    assert len(replays) == 20
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(TrainingState, "_can_be_captured", lambda run: False)
        plain = trained(tmp_path, chosen)
    assert len(replays) == 20
    for key, value in plain.network.state_dict().items():
        torch.testing.assert_close(fast.network.state_dict()[key], value, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(fast.losses, plain.losses, rtol=1e-4, atol=1e-6)
    rates = [run.optimizer.param_groups[0]["lr"] for run in (fast, plain)]
    assert rates[0] == rates[1]
    assert isinstance(rates[0], float)


def test_a_captured_run_is_resumed_in_the_middle_of_a_block(tmp_path, replays):
    chosen = recipe("cross-entropy", augmentation=AUGMENTED, epochs=9)
    whole = trained(tmp_path / "whole", chosen)
    first = trained(tmp_path / "parts", chosen, steps=13)
    (tmp_path / "parts").mkdir(exist_ok=True)
    first.save(tmp_path / "parts")
    again = trained(tmp_path / "parts", chosen, steps=12)
    assert again.step == whole.step == 25
    for key, value in whole.network.state_dict().items():
        torch.testing.assert_close(again.network.state_dict()[key], value, rtol=1e-4, atol=1e-6)


def test_a_loss_that_is_not_steady_is_never_captured(tmp_path, replays):
    trained(tmp_path, recipe("supcon"), steps=8)
    assert not replays


def test_what_cannot_be_captured_is_trained_step_by_step(tmp_path, replays, monkeypatch):
    monkeypatch.setattr(state, "capture", lambda step: None)
    assert trained(tmp_path, recipe("cross-entropy"), steps=8).step == 8
    assert not replays


def test_nothing_is_captured_on_a_cpu(tmp_path, monkeypatch):
    monkeypatch.setattr(state, "capture", None)
    assert trained(tmp_path, recipe("cross-entropy"), steps=8)._replay is None


def test_tables_give_the_steps_that_they_were_filled_with():
    def drawn(step: int) -> dict[str, np.ndarray]:
        return {"rows": np.array([step, 9]), "even": np.array([step % 2 == 0, True]), "half": np.full(2, step / 2)}

    tables = DeviceBuffers(drawn(0), CPU)
    for block in ((4, 5), (6,)):
        tables.fill([drawn(step) for step in block])
        for step in block:
            taken = tables.take()
            assert taken["rows"].tolist() == [step, 9]
            assert taken["even"].tolist() == [step % 2 == 0, True]
            assert taken["half"].tolist() == [step / 2] * 2
            assert taken["half"].dtype == torch.float64
