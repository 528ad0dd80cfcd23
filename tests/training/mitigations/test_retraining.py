from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.training.test_train import train
from tests.worlds.environments import mitigated, tagged

from assay.plugin import fit_head

TRAINING, VALIDATION = tagged(80, seed=1, tied=0.6), tagged(60, seed=2, tied=0.6)
OWN = "tests.training.mitigations.own"


@pytest.mark.parametrize("loss", ["cross-entropy", "supcon"])
def test_only_the_head_changes_and_is_the_one_that_the_mitigation_gives(tmp_path, loss):
    """Also where the loss trains no head: the one fitted on all training rows gives way to it."""
    plain = train(tmp_path / "plain", mitigated(loss=loss), TRAINING, VALIDATION)
    made = train(tmp_path / "made", mitigated(f"{OWN}:Retrained", loss=loss), TRAINING, VALIDATION)
    other = plain.network.state_dict()
    changed = {key for key, value in made.network.state_dict().items() if not torch.equal(value, other[key])}
    assert changed == {"head.weight", "head.bias"}
    with torch.no_grad():
        features = plain.network.read(VALIDATION.images.read(np.arange(60))).features
    wanted = fit_head(features, torch.from_numpy(VALIDATION.table.target), 2)
    torch.testing.assert_close(made.network.head.weight.double(), wanted.weight, atol=2e-3, rtol=1e-3)
    assert made.yardstick == plain.yardstick, "one yardstick whatever the head"
