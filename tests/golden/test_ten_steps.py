"""Ten steps of small-cnn with cross-entropy on a fixed set: the same twice, and the same as ever within a tolerance.

`python -m tests.golden.test_ten_steps` writes the values anew; do so only with a component's version raised.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
import torch
from tests.worlds.environments import recipe

from assay.plugin import deterministic, library_draws
from assay.testing.data import squares
from assay.training.state import begin_training

KEPT = Path(__file__).with_name("ten_steps.json")
TOLERANCE = 2e-4
"""Relative: processors differ in the last place of each sum, which ten steps enlarge a little."""


def ten_steps() -> dict[str, list[float]]:
    training, validation = squares(100, seed=1, size=32), squares(20, seed=2, size=32)
    chosen = recipe(epochs=2, batch_size=20)
    with tempfile.TemporaryDirectory() as folder, deterministic(1), library_draws(0, "fit"):
        run = begin_training(chosen, training, validation, 2, 7, torch.device("cpu"), Path(folder))
        losses: list[float] = []
        for _ in range(10):
            run.train_step()
            losses.append(float(run.losses[(run.step - 1) % run.plan.per_epoch]))
        run.network.eval()
        with torch.no_grad():
            logits = run.network(validation.images.pixels)
    lengths = [float(p.detach().double().norm()) for p in run.network.parameters()]
    return {"losses": losses, "logits": logits.flatten().tolist(), "parameter_norms": lengths}


def test_the_same_twice():
    assert ten_steps() == ten_steps()


def test_the_same_as_ever():
    kept, now = json.loads(KEPT.read_text()), ten_steps()
    assert kept.keys() == now.keys()
    for name, values in kept.items():
        assert now[name] == pytest.approx(values, rel=TOLERANCE, abs=TOLERANCE), name


if __name__ == "__main__":
    KEPT.write_text(json.dumps(ten_steps(), indent=1) + "\n")
