from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.training.mitigations.own import WeightedByGroup

from assay.plugin import Batch, Objective, Outputs, Progress, SpecError
from assay.training.losses.classification import ImageObjective

PROGRESS = Progress(0, 1, 0, 1)


class Given(ImageObjective):
    """The losses are the first feature."""

    def each(self, outputs, batch, progress):
        return outputs.features[:, 0]


class OfPairs(Objective):
    """A loss without a term for a single image."""

    def loss(self, outputs, batch, progress):
        return outputs.features.square().sum()


def batch_of(losses, groups):
    values = torch.as_tensor(losses, dtype=torch.float64)[:, None]
    at = torch.arange(len(values))
    batch = Batch(torch.zeros(len(at), 1, 1, 1), at * 0, at, group=torch.as_tensor(groups))
    return Outputs(features=values, logits=values), batch


def test_in_training_images_are_weighted_by_their_group():
    objective = WeightedByGroup(Given(), np.array([3.0, 1.0]))
    assert float(objective.loss(*batch_of([1.0, 2, 6], [0, 0, 1]), PROGRESS)) == pytest.approx((3 + 6 + 6) / 3)


def test_in_evaluation_the_loss_is_the_recipes_own_and_nothing_moves():
    """Validation losses of all mitigations are then of one kind, and use no group label."""
    outputs, batch = batch_of([1.0, 2, 6], [0, 0, 1])
    plain = Batch(batch.images, batch.target, batch.row)
    objective = WeightedByGroup(Given(), np.array([3.0, 1.0]))
    before = objective.weights.clone()
    assert float(objective.eval().loss(outputs, plain, PROGRESS)) == 3
    assert torch.equal(before, objective.weights)


def test_a_users_loss_of_pairs_is_refused_where_images_are_weighed():
    with pytest.raises(SpecError, match="OfPairs has no term for a single image: define `each`, or use"):
        WeightedByGroup(OfPairs(), np.ones(2)).loss(*batch_of([1.0, 2], [0, 1]), PROGRESS)
