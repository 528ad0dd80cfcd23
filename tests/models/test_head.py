from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_curve
from torch import nn

from assay.models import networks as head_module
from assay.plugin import HeadNotFitted, fit_head
from assay.training.feed import youden_threshold


def cloud(rows=120, width=6, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, classes, rows)
    features = rng.normal(size=(rows, width)) * np.array([1, 10, 0.1, 1, 1, 1])[:width] + 5
    features[:, 0] += targets
    return torch.from_numpy(features.astype(np.float32)), torch.from_numpy(targets)


def test_it_is_scikit_learns_multinomial_regression():
    features, targets = cloud()
    head = fit_head(features, targets, 3)
    x = features.double().numpy()
    standard = (x - x.mean(0)) / x.std(0)
    theirs = LogisticRegression(C=1.0, tol=1e-10, max_iter=10_000).fit(standard, targets.numpy())
    p = head.logits(features).softmax(1).numpy()
    assert np.abs(p - theirs.predict_proba(standard)).max() < 1e-5
    assert head.log_loss(features, targets) == pytest.approx(log_loss(targets, theirs.predict_proba(standard)))


@given(scale=st.floats(0.01, 100), move=st.floats(-50, 50))
@settings(max_examples=15, deadline=None)
def test_units_of_the_features_do_not_matter(scale, move):
    features, targets = cloud(classes=2)
    features = features.double()
    first = fit_head(features, targets, 2).logits(features)
    second = fit_head(features * scale + move, targets, 2).logits(features * scale + move)
    assert torch.allclose(first, second, atol=1e-4)


def test_folded_into_a_layer_it_gives_the_same_logits():
    features, targets = cloud()
    head, layer = fit_head(features, targets, 3), nn.Linear(6, 3)
    head.fold_into(layer)
    assert torch.allclose(layer(features).double(), head.logits(features), atol=1e-4)
    assert torch.equal(layer.weight.detach(), head.weight.float())


def test_dead_features_get_weight_zero():
    features, targets = cloud()
    features[:, 3] = 0.7
    assert torch.equal(fit_head(features, targets, 3).weight[:, 3], torch.zeros(3, dtype=torch.float64))


def test_without_features_it_says_how_common_the_classes_are():
    """Constant features: the log-loss is the entropy of the classes, here 1/4 against 3/4."""
    targets = torch.tensor([0, 1, 1, 1] * 10)
    head = fit_head(torch.ones(40, 2), targets, 2)
    assert head.log_loss(torch.ones(40, 2), targets) == pytest.approx(-0.25 * np.log(0.25) - 0.75 * np.log(0.75))


def test_a_head_on_its_way_is_no_head(monkeypatch):
    monkeypatch.setattr(head_module, "_ITERATIONS", 2)
    features, targets = cloud()
    with pytest.raises(
        HeadNotFitted, match=r"not converge: slope \d\.\de-\d\d after 2 iterations, expected at most"
    ) as told:
        fit_head(features, targets, 3)
    assert told.value.slope > 1e-5
    assert str(pickle.loads(pickle.dumps(told.value))) == str(told.value)  # workers send it to their parent


@pytest.mark.parametrize("size", [1e-6, 1.0, 1e6])
def test_separable_and_repeated_features_converge(size):
    """The penalty bounds the weights of classes that a line divides, and shares them between equal features."""
    targets = torch.arange(200) % 2
    features = (targets[:, None] + 0.1 * torch.rand(200, 1, generator=torch.Generator().manual_seed(0))).double()
    weight = fit_head((features * size).repeat(1, 300), targets, 2).weight
    assert torch.allclose(weight, weight[:, :1].expand_as(weight), rtol=1e-6, atol=0)
    assert float(weight[1, 0]) > 0


def test_it_is_the_same_twice():
    features, targets = cloud()
    assert torch.equal(fit_head(features, targets, 3).weight, fit_head(features, targets, 3).weight)


@given(seed=st.integers(0, 10_000), rows=st.integers(4, 60))
@settings(max_examples=40, deadline=None)
def test_threshold_reaches_the_best_sum_that_a_roc_curve_has(seed, rows):
    rng = np.random.default_rng(seed)
    targets = np.concatenate([[0, 1], rng.integers(0, 2, rows - 2)])
    logits = np.round(rng.normal(size=rows) + targets, 1)  # rounded: with ties
    threshold = youden_threshold(torch.from_numpy(np.stack([0 * logits, logits], 1)), torch.from_numpy(targets))
    p = 1 / (1 + np.exp(-logits))
    called = p >= threshold
    reached = called[targets == 1].mean() + (~called)[targets == 0].mean()
    false, true, _ = roc_curve(targets, p, drop_intermediate=False)
    assert reached == pytest.approx((true - false).max() + 1)


def test_threshold_by_hand():
    """Scores 0.1 0.2 | 0.4 0.9: perfect between 0.2 and 0.4, so 0.3."""
    p = torch.tensor([0.1, 0.2, 0.4, 0.9], dtype=torch.float64)
    logits = torch.stack([torch.zeros(4, dtype=torch.float64), (p / (1 - p)).log()], 1)
    assert youden_threshold(logits, torch.tensor([0, 0, 1, 1])) == pytest.approx(0.3)


def test_no_threshold_where_there_is_none():
    assert youden_threshold(torch.zeros(3, 3), torch.tensor([0, 1, 2])) is None
    assert youden_threshold(torch.zeros(3, 2), torch.tensor([1, 1, 1])) is None
