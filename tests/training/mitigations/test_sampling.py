from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.training.test_train import train
from tests.worlds.environments import mitigated, tagged

from assay.models.weights import load_checkpoint
from assay.plugin import Interrupted
from assay.testing.models import same_state
from assay.training.state import begin_training

OWN = "tests.training.mitigations.own"
TRAINING, VALIDATION = tagged(70, seed=1), tagged(30, seed=2, tied=0)


def test_batches_of_a_training_are_balanced(tmp_path):
    """What the network is really shown, epoch by epoch: 64 rows, 16 of each group, whatever the association."""
    chosen = mitigated(f"{OWN}:Balanced", loss="tests.training.test_train:Witness")
    run = begin_training(chosen, TRAINING, VALIDATION, 2, 0, torch.device("cpu"), tmp_path)
    for _ in range(8):
        run.train_step()
    table = TRAINING.table
    group_of = dict(zip(table.row.tolist(), (2 * table.target + table.columns["tag"]).tolist(), strict=True))
    for epoch in (0, 1):
        rows = torch.cat([rows for rows, _ in run.objective.saw[4 * epoch : 4 * epoch + 4]])
        assert np.bincount([group_of[row] for row in rows.tolist()]).tolist() == [16] * 4


def test_the_error_set_is_what_a_plain_training_of_t_epochs_gets_wrong(tmp_path):
    """Found independently: that training is done by itself, and its network asked. The second draws by it."""
    twice = mitigated(f"{OWN}:Twice", epochs=1, upweight=4, recipe={"epochs": 1})
    run = begin_training(twice, TRAINING, VALIDATION, 2, 0, torch.device("cpu"), tmp_path / "a")
    plain = train(tmp_path / "b", mitigated(recipe={"epochs": 1}), TRAINING, VALIDATION)
    with torch.no_grad():
        said = plain.network.read(TRAINING.images.pixels).logits.argmax(1).numpy()
    wrong = np.flatnonzero(said != TRAINING.table.target)
    fitted = train(tmp_path / "c", twice, TRAINING, VALIDATION)
    assert fitted.mitigation["error_set"] == len(wrong) > 0
    for _ in range(run.plan.steps):
        run.train_step()
    assert list(run.next_phase().selected_rows) == wrong.tolist()


def test_with_an_upweight_of_one_it_is_plain_training_bit_for_bit(tmp_path):
    twice = train(tmp_path / "a", mitigated(f"{OWN}:Twice", epochs=1, upweight=1), TRAINING, VALIDATION)
    plain = train(tmp_path / "b", mitigated(), TRAINING, VALIDATION)
    assert same_state(twice.network, plain.network)
    own = [{**row, "epoch": row["epoch"] - 1} for row in twice.curve[1:]]
    assert own == list(plain.curve)
    assert (twice.threshold, twice.steps) == (plain.threshold, plain.steps + 4)


def test_phases_are_part_of_the_checkpoint(tmp_path):
    """One that is stopped in its second phase holds the phase and what the first found."""
    calls = iter(range(99))
    twice = mitigated(f"{OWN}:Twice", epochs=1, upweight=3)
    with pytest.raises(Interrupted):
        train(tmp_path, twice, TRAINING, VALIDATION, should_stop=lambda: next(calls) == 5)
    run = begin_training(twice, TRAINING, VALIDATION, 2, 0, torch.device("cpu"), tmp_path)
    kept = load_checkpoint(tmp_path, run.identity)
    assert kept is not None
    assert (run.phase, run.step, len(run.curve)) == (kept["phase"], kept["step"], 1) == (1, 2, 1)
    assert list(run.selected_rows) == kept["found"] != []
