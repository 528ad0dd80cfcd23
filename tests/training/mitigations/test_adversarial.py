from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from tests.training.test_train import train
from tests.worlds.environments import mitigated, part, tagged

from assay.data.dataset import Batch
from assay.models.networks import Outputs
from assay.training.losses.classification import CrossEntropy
from assay.training.mitigations import Adversarial, Guesser, reversed_gradient
from assay.training.objective import LossContext, Progress


@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0, 7.0])
def test_the_reversed_gradient_is_minus_strength_times_the_plain_one(strength):
    values = torch.randn(5, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)

    def of(seen):
        return (seen.sin() * torch.arange(4.0)).square().sum()

    (plain,) = torch.autograd.grad(of(values), values)
    (back,) = torch.autograd.grad(of(reversed_gradient(values, strength)), values)
    assert torch.equal(reversed_gradient(values, strength), values)
    assert torch.allclose(back, -strength * plain)


def setup(conditioned=0):
    generator = torch.Generator().manual_seed(1)
    features = torch.randn(12, 6, generator=generator, requires_grad=True)
    logits = torch.randn(12, 2, generator=generator)
    group = torch.arange(12) % 4
    batch = Batch(torch.zeros(12, 1, 1, 1), group // 2, torch.arange(12), group=group)
    inner = CrossEntropy(LossContext(6, 2, (6, 6)))
    objective = Adversarial(
        inner, Guesser(6 + conditioned, 5, 2), levels=2, conditioned=conditioned, strength=0.7, ramp=0
    )
    return objective, Outputs(features, logits), batch


@pytest.mark.parametrize("conditioned", [0, 2])
def test_the_encoder_goes_up_where_the_guesser_goes_down(conditioned):
    """One loss: the guesser's gradient is that of its cross-entropy, the features' is -0.7 times it."""
    objective, outputs, batch = setup(conditioned)
    seen = outputs.features.detach().requires_grad_()
    given = (
        torch.cat([seen, torch.nn.functional.one_hot(batch.target, conditioned).float()], 1) if conditioned else seen
    )
    own = torch.nn.functional.cross_entropy(objective.guesser(given), batch.group % 2)
    parameters = list(objective.guesser.parameters())
    expected = torch.autograd.grad(own, [seen, *parameters])
    progress = Progress(3, 10, 0, 1)
    total = objective.loss(outputs, batch, progress)
    found = torch.autograd.grad(total, [outputs.features, *parameters])
    assert torch.allclose(found[0], -0.7 * expected[0], atol=1e-7)
    assert all(torch.allclose(a, b, atol=1e-7) for a, b in zip(found[1:], expected[1:], strict=True))
    assert float(total.detach()) == pytest.approx(
        float((objective.inner.loss(outputs, batch, progress) + own).detach()), rel=1e-6
    )
    assert float(objective.eval().loss(outputs, batch, progress)) == float(
        objective.inner.loss(outputs, batch, progress)
    )


@pytest.mark.parametrize(
    ("step", "expected"), [(0, 0.0), (5, 2 / (1 + math.exp(-5)) - 1), (10, 2 / (1 + math.exp(-10)) - 1)]
)
def test_the_strength_rises_as_in_the_paper(step, expected):
    objective, _, _ = setup()
    objective.strength, objective.ramp = 2.0, 10.0
    assert objective.strength_at(Progress(step, 11, 0, 1)) == pytest.approx(2 * expected)


def decodable(fitted, world):
    """How well a logistic regression on the features tells the tag, on rows where it says nothing of the class."""
    with torch.no_grad():
        features = fitted.network.read(world.images.pixels).features.numpy()
    features = (features - features.mean(0)) / (features.std(0) + 1e-9)
    half, tag = len(features) // 2, world.table.columns["tag"]
    return LogisticRegression(max_iter=5000).fit(features[:half], tag[:half]).score(features[half:], tag[half:])


def test_the_tag_can_be_decoded_less_from_the_features(tmp_path):
    """Known truth: a tag that is tied to the class in training, and decoded on rows where it says nothing of it.

    On the mean of five seeds; an adversary does not settle, and single seeds go either way.
    """
    world = tagged(600, seed=50, tied=0)
    training, validation = tagged(300, seed=51), tagged(60, seed=52)
    fields = {"epochs": 15, "batch_size": 32, "architecture": part("architecture", "small-cnn", width=4)}
    plain, without = (
        [
            decodable(
                train(tmp_path / f"{name}{seed}", mitigated(name, recipe=fields), training, validation, seed=seed),
                world,
            )
            for seed in range(5)
        ]
        for name in ("none", "domain-adversarial")
    )
    assert np.mean(plain) > 0.9
    assert np.mean(without) < np.mean(plain) - 0.05, (plain, without)
