from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from tests.training.test_train import train
from tests.worlds.environments import mitigated, tagged

from assay.training.mitigations import balanced_subset, grouping

TRAINING, VALIDATION = tagged(80, seed=1, tied=0.6), tagged(60, seed=2, tied=0.6)
ROWS = {"training": TRAINING, "validation": VALIDATION}


def test_a_subset_holds_the_smallest_groups_size_of_every_group():
    groups = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [5, 9, 40]))
    subsets = [balanced_subset(groups, 0, number) for number in range(200)]
    for subset in subsets:
        assert np.bincount(groups[subset]).tolist() == [5, 5, 5]
        assert np.all(np.diff(subset) > 0), "none twice"
    assert all(set(np.flatnonzero(groups == 0)) <= set(subset) for subset in subsets)
    assert len(set().union(*subsets)) == 54, "over subsets every row has its turn"


@pytest.mark.parametrize("rows", ["validation", "training"])
def test_only_the_head_changes_and_is_a_logistic_regression_on_the_balanced_subset(tmp_path, rows):
    """Against scikit-learn's, on features of a plain training; with one subset, and with the mean over three."""
    plain = train(tmp_path / "plain", mitigated(), TRAINING, VALIDATION).network
    table = ROWS[rows].table
    groups = grouping("tag", table).of(table, rows)
    with torch.no_grad():
        features = plain.read(ROWS[rows].images.pixels).features.double().numpy()
    for subsets in (1, 3):
        recipe = mitigated("last-layer-retraining", rows=rows, subsets=subsets, l2=2.0)
        made = train(tmp_path / str(subsets), recipe, TRAINING, VALIDATION)
        changed = [
            key for key, value in made.network.state_dict().items() if not torch.equal(value, plain.state_dict()[key])
        ]
        assert changed == ["head.weight", "head.bias"]
        fits = [independent(features, table.target, balanced_subset(groups, 0, number)) for number in range(subsets)]
        weight, bias = (np.mean([fit[part] for fit in fits], axis=0) for part in (0, 1))
        head = made.network.head
        assert np.allclose((head.weight[1] - head.weight[0]).detach().numpy(), weight, atol=2e-3)
        assert float((head.bias[1] - head.bias[0]).detach()) == pytest.approx(bias, abs=2e-3)
        assert made.mitigation["group_labels"] == {"training": rows, "selection": "none"}


def independent(features, target, subset):
    """Slope and intercept of the log-odds in units of the raw features.

    A penalty of l2 / 2 on each of two classes' weights is l2 / 4 on their difference: C is 2 / l2, here 1.
    """
    scaler = StandardScaler().fit(features[subset])
    varies = features[subset].std(0) > 1e-12
    fitted = LogisticRegression(C=1.0, tol=1e-10, max_iter=10000).fit(
        scaler.transform(features[subset]), target[subset]
    )
    weight = np.where(varies, fitted.coef_[0] / scaler.scale_, 0)
    return weight, float(fitted.intercept_[0] - weight @ scaler.mean_)


def test_an_encoder_gets_its_head_from_the_balanced_rows(tmp_path):
    """Where the loss trains no head: the one fitted on all training rows gives way to the balanced one."""
    encoder = train(tmp_path / "a", mitigated(loss="supcon"), TRAINING, VALIDATION)
    balanced = train(tmp_path / "b", mitigated("last-layer-retraining", loss="supcon"), TRAINING, VALIDATION)
    differ = {
        key
        for key, value in encoder.network.state_dict().items()
        if not torch.equal(value, balanced.network.state_dict()[key])
    }
    assert differ == {"head.weight", "head.bias"}
    assert balanced.yardstick == encoder.yardstick, "one yardstick whatever the head"
