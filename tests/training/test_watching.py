"""A training without labels is watched, and stopped when its features are dead."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.worlds.environments import part, recipe
from torch import nn

from assay.plugin import Code, CollapsedFeatures, LossContext, Objective, Reason, fit
from assay.testing.data import squares
from assay.training.collapse import collapse_reason, figures

TRAINING, VALIDATION = squares(70, seed=1), squares(30, seed=2)


class Dies(Objective):
    """Looks at no label, and from its tenth step on at nothing: the last batch norm is set to a constant."""

    trains_head = False
    unlabeled = True

    def __init__(self, context: LossContext) -> None:
        super().__init__()

    def loss(self, outputs, batch, progress):
        return outputs.features.square().mean()

    def after_step(self, network: nn.Module, progress) -> None:
        if progress.step >= 5:
            with torch.no_grad():
                last = network.get_submodule("trunk.block4.1")
                last.weight.zero_()
                last.bias.fill_(1.0)


def test_a_dead_training_is_stopped_with_the_reason_and_its_curve(tmp_path) -> None:
    chosen = recipe(epochs=9).model_copy(update={"loss": part("loss", "tests.training.test_watching:Dies")})
    with pytest.raises(CollapsedFeatures) as told:
        fit(chosen, TRAINING, VALIDATION, classes=2, seed=0, folder=tmp_path)
    assert told.value.reason == Reason.of(Code.COLLAPSED_FEATURES, epoch=3, rank=0.0, spread=0.0)
    assert [row["epoch"] for row in told.value.curve] == [1, 2, 3]
    assert told.value.curve[0]["rank"] > 1.1


def test_neighbors_vote_by_their_cosines() -> None:
    rng = np.random.default_rng(0)
    features, others = rng.normal(size=(25, 6)), rng.normal(size=(60, 6))
    theirs = rng.integers(0, 3, 60)
    called = []
    for one in features:
        cosine = others @ one / np.linalg.norm(others, axis=1) / np.linalg.norm(one)
        votes = np.zeros(3)
        for at in np.argsort(-cosine)[:20]:
            votes[theirs[at]] += np.exp(cosine[at] / 0.07)
        called.append(votes.argmax())
    target = rng.integers(0, 3, 25)
    found = figures(*(torch.from_numpy(values) for values in (features, target, others, theirs)))
    assert found["knn_accuracy"] == pytest.approx((np.array(called) == target).mean())


def test_with_few_neighbors_all_vote() -> None:
    one = torch.eye(2)
    assert figures(one, torch.tensor([0, 1]), one, torch.tensor([0, 1]))["knn_accuracy"] == 1.0


def test_features_that_are_not_finite_have_no_figures() -> None:
    targets, fine = torch.arange(8) % 2, torch.randn(8, 3)
    for seen, beside in ((fine / 0, fine), (fine, fine / 0)):
        found = figures(seen, targets, beside, targets)
        assert set(found) == {"rank", "spread", "knn_accuracy"}
        assert all(np.isnan(value) for value in found.values())


def test_two_validation_images_are_on_one_line_whatever_the_features() -> None:
    targets, beside = torch.arange(2), torch.randn(8, 3)
    found = figures(torch.randn(2, 3), targets, beside, torch.arange(8) % 2)
    assert np.isnan(found["rank"])
    assert found["spread"] > 0
    assert not collapse_reason(torch.randn(2, 3), torch.randn(2, 2))
