from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from assay.core.errors import SpecError
from assay.data.dataset import Batch
from assay.models.networks import Outputs
from assay.training.losses.classification import CrossEntropy, ImageObjective
from assay.training.mitigations import WeightedByGroup, WorstGroups, group_weights
from assay.training.objective import LossContext, Objective, Progress

CONTEXT = LossContext(width=3, classes=2, counts=(5, 5))
PROGRESS = Progress(0, 1, 0, 1)


class Given(ImageObjective):
    """The losses are the first feature."""

    def each(self, outputs, batch, progress):
        return outputs.features[:, 0]


def batch_of(losses, groups):
    values = torch.as_tensor(losses, dtype=torch.float64)[:, None]
    at = torch.arange(len(values))
    batch = Batch(torch.zeros(len(at), 1, 1, 1), at * 0, at, group=torch.as_tensor(groups))
    return Outputs(features=values, logits=values), batch


@given(st.lists(st.integers(1, 30), min_size=2, max_size=8), st.integers(0, 99))
def test_weights_give_every_group_the_same_share_of_the_expected_loss(sizes, seed):
    """The mean over all rows of weight * loss is the plain mean over groups of the mean loss in each."""
    sizes = np.array(sizes)
    weights, groups = group_weights(sizes), np.repeat(np.arange(len(sizes)), sizes)
    losses = np.random.default_rng(seed).random(len(groups))
    assert np.allclose(weights * sizes, sizes.sum() / len(sizes))
    assert weights[groups].mean() == pytest.approx(1)
    by_group = [losses[groups == group].mean() for group in range(len(sizes))]
    objective = WeightedByGroup(Given(), weights)
    assert float(objective.loss(*batch_of(losses, groups), PROGRESS)) == pytest.approx(np.mean(by_group), rel=1e-5)


def test_groups_of_one_size_leave_the_loss_as_it_is():
    outputs = Outputs(torch.zeros(4, 3), torch.tensor([[1.0, 0], [0, 2], [3, 1], [0, 0]], requires_grad=True))
    batch = Batch(torch.zeros(4, 1, 1, 1), torch.tensor([0, 1, 1, 0]), torch.arange(4), group=torch.arange(4))
    own = CrossEntropy(CONTEXT)
    assert torch.equal(
        WeightedByGroup(own, group_weights(np.full(4, 7))).loss(outputs, batch, PROGRESS),
        own.loss(outputs, batch, PROGRESS),
    )


def test_in_evaluation_the_loss_is_the_recipes_own_and_nothing_moves():
    """Validation losses of all mitigations are then of one kind, and use no group label."""
    outputs, batch = batch_of([1.0, 2, 6], [0, 0, 1])
    plain = Batch(batch.images, batch.target, batch.row)
    for objective in (
        WeightedByGroup(Given(), np.array([3.0, 1.0])),
        WorstGroups(Given(), np.array([2, 1]), step=1, adjustment=1),
    ):
        before = {key: value.clone() for key, value in objective.state_dict().items()}
        assert float(objective.eval().loss(outputs, plain, PROGRESS)) == 3
        assert all(torch.equal(before[key], value) for key, value in objective.state_dict().items())


def test_the_weights_of_group_dro_follow_a_sequence_worked_out_by_hand():
    """Step ln 2 and losses of whole nats: weights double per nat. The second batch lacks group 1, which keeps its own
    before the division.

    1/3 1/3 1/3 -> (losses 1 0 2) 2/3 1/3 4/3 -> 2/7 1/7 4/7; loss 2/7 + 8/7.
    2/7 1/7 4/7 -> (losses 3 - 0) 16/7 1/7 4/7 -> 16/21 1/21 4/21; loss 48/21.
    """
    objective = WorstGroups(Given(), np.array([4, 4, 4]), step=float(np.log(2)), adjustment=0)
    first = objective.loss(*batch_of([0.5, 1.5, 0, 2, 2, 2], [0, 0, 1, 2, 2, 2]), PROGRESS)
    assert objective.weights.tolist() == pytest.approx([2 / 7, 1 / 7, 4 / 7], rel=1e-9)
    assert float(first) == pytest.approx(10 / 7, rel=1e-9)
    second = objective.loss(*batch_of([3.0, 3, 0], [0, 0, 2]), PROGRESS)
    assert objective.weights.tolist() == pytest.approx([16 / 21, 1 / 21, 4 / 21], rel=1e-9)
    assert float(second) == pytest.approx(48 / 21, rel=1e-9)


def test_the_adjustment_counts_as_loss_of_small_groups_but_not_in_the_loss():
    """C / sqrt(n): with C 2 and groups of 1 and 4 rows, 2 and 1 nats beside equal losses; step ln 2 gives 2 to 1."""
    objective = WorstGroups(Given(), np.array([1, 4]), step=float(np.log(2)), adjustment=2)
    loss = objective.loss(*batch_of([5.0, 5], [0, 1]), PROGRESS)
    assert objective.weights.tolist() == pytest.approx([2 / 3, 1 / 3], rel=1e-9)
    assert float(loss) == pytest.approx(5)


@given(st.lists(st.floats(0, 5), min_size=2, max_size=6), st.integers(1, 50), st.floats(0.01, 2))
def test_under_fixed_losses_the_weights_are_a_softmax_of_their_sums(losses, steps, step):
    objective = WorstGroups(Given(), np.full(len(losses), 9), step=step, adjustment=0)
    for _ in range(steps):
        value = objective.loss(*batch_of(losses, list(range(len(losses)))), PROGRESS)
    expected = torch.softmax(torch.tensor(losses, dtype=torch.float64) * step * steps, dim=0)
    assert torch.allclose(objective.weights, expected, atol=1e-9)
    assert float(value) == pytest.approx(float(expected @ torch.tensor(losses, dtype=torch.float64)), abs=1e-9)
    assert float(objective.weights.sum()) == pytest.approx(1)


def test_its_gradient_is_that_of_the_weighted_group_means():
    logits = torch.randn(8, 2, generator=torch.Generator().manual_seed(0), requires_grad=True)
    target, groups = torch.arange(8) % 2, torch.tensor([0, 0, 0, 1, 1, 1, 1, 2])
    batch = Batch(torch.zeros(8, 1, 1, 1), target, torch.arange(8), group=groups)
    objective = WorstGroups(CrossEntropy(CONTEXT), np.array([3, 4, 1]), step=0.5, adjustment=0)
    (slope,) = torch.autograd.grad(objective.loss(Outputs(logits, logits), batch, PROGRESS), logits)
    means = torch.stack([functional.cross_entropy(logits[groups == g], target[groups == g]) for g in range(3)])
    weights = torch.softmax(0.5 * means.detach(), dim=0)
    (expected,) = torch.autograd.grad((weights * means).sum(), logits)
    assert torch.allclose(slope, expected, atol=1e-6)


class OfPairs(Objective):
    """A loss without a term for a single image."""

    def loss(self, outputs, batch, progress):
        return outputs.features.square().sum()


def test_a_users_loss_of_pairs_is_refused_where_images_are_weighed():
    with pytest.raises(SpecError, match="OfPairs has no term for a single image: define `each`, or use"):
        WeightedByGroup(OfPairs(), np.ones(2)).loss(*batch_of([1.0, 2], [0, 1]), PROGRESS)
