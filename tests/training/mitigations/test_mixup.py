"""Mixup mixes images and labels by one share, in training alone."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from assay.data.dataset import Batch
from assay.models.networks import Outputs
from assay.training.losses.classification import CrossEntropy
from assay.training.mitigations import Mixup, Setting
from assay.training.objective import LossContext, Progress

CONTEXT = LossContext(width=3, classes=3, counts=(2, 2, 2))
PROGRESS = Progress(step=0, steps=1, epoch=0, epochs=1)


class Linear(nn.Module):
    """A network whose logits are linear in the pixels, and which keeps what it was shown."""

    width, layers = 4, ()

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(4, 3)
        self.shown = torch.empty(0)

    def read(self, images: torch.Tensor) -> Outputs:
        self.shown = images
        return Outputs(images.flatten(1), self.head(images.flatten(1)))


def made(alpha: float):
    objective = Mixup(alpha=alpha).objective(CrossEntropy(CONTEXT), CONTEXT, Setting(0, 6, 6, 3))
    images = torch.rand(6, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    return objective, Linear(), Batch(images, torch.arange(6) % 3, torch.arange(6))


@pytest.mark.parametrize("seed", range(5))
def test_the_loss_is_that_of_mixed_images_against_soft_labels(seed):
    objective, network, batch = made(1.0)
    torch.manual_seed(seed)
    outputs = objective.read(network, batch)
    share, partner = objective.share, objective.partner
    assert torch.allclose(network.shown, share * batch.images + (1 - share) * batch.images[partner])
    labels = functional.one_hot(batch.target, 3).float()
    soft = share * labels + (1 - share) * labels[partner]
    expected = functional.cross_entropy(outputs.logits, soft)
    assert objective.loss(outputs, batch, PROGRESS).item() == pytest.approx(expected.item(), rel=1e-6)


def test_in_evaluation_nothing_is_mixed():
    objective, network, batch = made(1.0)
    outputs = objective.eval().read(network, batch)
    assert torch.equal(network.shown, batch.images)
    assert torch.equal(objective.loss(outputs, batch, PROGRESS), CrossEntropy(CONTEXT).loss(outputs, batch, PROGRESS))


def test_shares_follow_the_beta_distribution():
    """Mean 1/2 and variance 1 / (4 (2 alpha + 1)); the standard error of the mean of 2,000 is 0.006 at most."""
    for alpha in (0.2, 2.0):
        objective, network, batch = made(alpha)
        torch.manual_seed(0)
        shares = []
        for _ in range(2000):
            objective.read(network, batch)
            shares.append(objective.share)
        found = torch.tensor(shares)
        assert float(found.mean()) == pytest.approx(0.5, abs=0.04)
        assert float(found.var()) == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.1)
