from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.worlds.environments import part, recipe
from torch import Tensor, nn
from torch.nn import functional

from assay.plugin import (
    ArchitectureContext,
    Batch,
    Classifier,
    InputScaling,
    LossContext,
    Objective,
    Outputs,
    Progress,
    Reason,
    fit,
    initialize_by_name,
)
from assay.report.sentences.reasons import reason_words
from assay.testing.data import squares
from assay.training.collapse import LossWithReference, collapse_reason
from assay.training.losses.self_supervised import TwoViews


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_a_healthy_embedding_has_not_collapsed():
    healthy = [LossWithReference(0.3, 0.69), LossWithReference(0.69, 0.69)]
    assert collapse_reason(normal(200, 16), normal(200, 2), healthy) == Reason()


def test_the_same_output_for_every_image():
    reason = collapse_reason(normal(50, 8), torch.ones(50, 2) + 1e-6 * normal(50, 2))
    assert reason_words(reason).startswith("constant output: the logits of the validation images differ by at most")


def test_one_embedding_for_every_image():
    """Every feature is 5 plus or minus 1e-4: a spread of 2e-5 of the length."""
    signs = torch.tensor([1.0, -1.0]).repeat(25)[:, None] * torch.tensor([1.0, -1.0]).repeat(4)
    reason = collapse_reason((5 + 1e-4 * signs.double()), normal(50, 2))
    assert reason_words(reason) == "one embedding for all: it varies by 2.0e-05 of its length"


def test_an_embedding_on_a_line():
    line = normal(50, 1) * torch.arange(1.0, 9.0)
    assert reason_words(collapse_reason(line, normal(50, 2))).startswith(
        "embedding of rank one: its effective rank is 1.000"
    )


def test_a_single_feature_is_not_called_rank_one():
    assert collapse_reason(normal(50, 1), normal(50, 2)) == Reason()


def test_all_distances_equal():
    """The corners of a regular simplex."""
    assert reason_words(collapse_reason(torch.eye(40), normal(40, 2))).startswith("all distances equal")


def test_a_loss_that_mines_nothing_from_a_constant_says_nothing():
    assert collapse_reason(normal(50, 8), normal(50, 2), [LossWithReference(0.0, 0.0)]) == Reason()
    assert collapse_reason(normal(50, 8), normal(50, 2), [LossWithReference(0.1, math.nan)]) == Reason()


def test_stuck_only_when_every_batch_is():
    stuck, moving = LossWithReference(0.69, 0.6931), LossWithReference(0.6, 0.6931)
    assert reason_words(collapse_reason(normal(50, 8), normal(50, 2), [stuck, stuck])) == (
        "no better than a constant in training: the loss is 0.6900, as for one embedding for all"
    )
    assert collapse_reason(normal(50, 8), normal(50, 2), [stuck, moving]) == Reason()


STUCK = [LossWithReference(0.69, 0.6931)]


def test_only_a_stuck_loss_is_excused_by_being_slow():
    assert collapse_reason(normal(200, 8), normal(200, 2), STUCK, lambda: True) == Reason()
    assert reason_words(collapse_reason(torch.eye(40), normal(40, 2), STUCK, lambda: True)).startswith(
        "all distances equal"
    )


class SoftMarginHard(Objective):
    """Soft-margin batch-hard triplet (Hermans et al. 2017): ln 2 when the hardest distances are equal."""

    trains_head = False

    def __init__(self, context: LossContext) -> None:
        super().__init__()

    def loss(self, outputs: Outputs, batch: Batch, progress: Progress) -> Tensor:
        x = outputs.features
        distances = ((x[:, None] - x[None]).square().sum(-1) + 1e-12).sqrt()
        same = batch.target[:, None] == batch.target
        hardest = torch.where(same, distances, distances.new_tensor(-1.0)).amax(1)
        nearest = torch.where(same, distances.new_tensor(math.inf), distances).amin(1)
        return functional.softplus(hardest - nearest).mean()


def linear(context: ArchitectureContext) -> Classifier:
    """Features linear in 16 means of pixels: nothing keeps them apart, and little can be learned by heart."""
    trunk = nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(16, 4))
    network = Classifier(trunk, 4, (), InputScaling(1), context.classes)
    initialize_by_name(network, context.seed)
    return network


@pytest.mark.parametrize("loss", ["cross-entropy", "supcon"])
def test_a_training_that_has_hardly_begun_is_not_called_collapsed(tmp_path, loss, monkeypatch):
    """After eight steps at a tiny rate every batch is at a constant's loss, and the features tell the squares."""
    chosen = recipe(
        loss,
        architecture=part("architecture", "tests.training.test_collapse:linear"),
        optimizer=part("optimizer", "adamw", lr=1e-6),
        epochs=1,
        batch_size=64,
        augmentation=(),
    )
    rows = squares(512), squares(200, seed=1)
    fitted = fit(chosen, *rows, classes=2, seed=0, folder=tmp_path / "slow")
    assert not fitted.collapsed
    assert fitted.yardstick < 0.9 * math.log(2)
    monkeypatch.setattr("assay.training.loop.only_slow", lambda *_, **__: False)
    asked = fit(chosen, *rows, classes=2, seed=0, folder=tmp_path / "asked")
    assert reason_words(asked.collapsed).startswith("no better than a constant in training")


@pytest.mark.parametrize("loss", ["nt-xent", "moco"])
def test_a_training_without_labels_that_has_hardly_begun_has_not_collapsed(tmp_path, loss, monkeypatch):
    """Labels have no say: what the classes are cannot be told from these features by any head."""
    chosen = recipe(loss, optimizer=part("optimizer", "adamw", lr=1e-6), epochs=1, batch_size=32, augmentation=())
    training, validation = squares(96), squares(40, seed=1)
    shuffled = replace(validation, table=replace(validation.table, target=np.arange(40) % 2))
    fitted = fit(chosen, training, shuffled, classes=2, seed=0, folder=tmp_path / "slow")
    assert not fitted.collapsed
    monkeypatch.setattr("assay.training.loop.only_slow", lambda *_, **__: False)
    asked = fit(chosen, training, shuffled, classes=2, seed=0, folder=tmp_path / "asked")
    assert reason_words(asked.collapsed).startswith("no better than a constant in training")


class DeadProjection(TwoViews):
    """Finds the second view of each image among all, by a projection that says the same of all."""

    def __init__(self, context: LossContext) -> None:
        super().__init__(nn.Linear(context.width, 4).requires_grad_(False))
        nn.init.zeros_(self.projection.weight)

    def compared(self, one: Tensor, other: Tensor, batch: Batch) -> Tensor:
        return functional.cross_entropy(one @ other.T, torch.arange(len(one)))


def test_a_training_without_labels_whose_projection_is_dead_is_called_collapsed(tmp_path):
    """The features vary as they did before: nothing has moved them."""
    loss = "tests.training.test_collapse:DeadProjection"
    chosen = recipe(loss, epochs=1, batch_size=32, augmentation=())
    fitted = fit(chosen, squares(96), squares(40, seed=1), classes=2, seed=0, folder=tmp_path)
    assert reason_words(fitted.collapsed).startswith("no better than a constant in training: the loss is 3.4657")


def test_a_triplet_loss_at_ln_2_is_called_collapsed(tmp_path):
    """With labels that the pixels do not tell, the best embedding is a single point: every batch is at ln 2."""
    training = squares(512)
    shuffled = replace(training, table=replace(training.table, target=np.arange(512) % 2))
    chosen = recipe(
        "tests.training.test_collapse:SoftMarginHard",
        architecture=part("architecture", "tests.training.test_collapse:linear"),
        optimizer=part("optimizer", "adamw", lr=0.01),
        epochs=20,
        batch_size=32,
        augmentation=(),
    )
    fitted = fit(chosen, shuffled, squares(40, seed=1), classes=2, seed=0, folder=tmp_path)
    assert fitted.curve[-1]["train_loss"] == pytest.approx(math.log(2), abs=0.01)
    known = ("one embedding for all", "no better than a constant in training: the loss is 0.69")
    assert reason_words(fitted.collapsed).startswith(known)


def test_a_network_that_learns_is_not_called_collapsed(tmp_path):
    fitted = fit(recipe(epochs=12), squares(128), squares(60, seed=1), classes=2, seed=0, folder=tmp_path)
    assert not fitted.collapsed
