"""Heads and losses of grades: against the published formulas, values by hand, and limits."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.worlds.environments import part, recipe
from torch import Tensor
from torch.nn import functional

from assay.core.errors import SpecError
from assay.models.networks import (
    GradeHead,
    Outputs,
    between,
    build_network,
    chained,
    empty_network,
    learned_cuts,
    with_readout,
)
from assay.models.weights import load_weights, save_weights
from assay.testing.losses import PROGRESS, batch_of
from assay.training.losses.classification import Coral, Corn, expected_score
from assay.training.objective import LossContext

SHAPE = {"channels": 1, "size": 16, "classes": 5, "seed": 3}
GRADED = ("coral", "corn", "grade-regression")


CONTEXT = LossContext(width=1, classes=5, counts=(1,) * 5)


def coral(logits: Tensor, y: Tensor) -> Tensor:
    return Coral(CONTEXT).each(Outputs(logits, logits), batch_of(y), PROGRESS)


def corn(logits: Tensor, y: Tensor) -> Tensor:
    return Corn(CONTEXT).loss(Outputs(logits, logits), batch_of(y), PROGRESS)


def odds(seed: int, falling: bool) -> Tensor:
    """Log-odds of 12 images at 4 thresholds; falling ones are valid for all grades at once."""
    drawn = torch.randn(12, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) * 2
    return drawn.sort(dim=1, descending=True).values if falling else drawn


def grades(seed: int) -> Tensor:
    return torch.randint(0, 5, (12,), generator=torch.Generator().manual_seed(seed))


@given(seed=st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_coral_is_the_papers_sum_over_thresholds(seed: int) -> None:
    z, y = odds(seed, falling=True), grades(seed)
    levels = (y[:, None] > torch.arange(4)).double()
    published = -(functional.logsigmoid(z) * levels + (functional.logsigmoid(z) - z) * (1 - levels)).sum(dim=1)
    torch.testing.assert_close(coral(between(z), y), published, rtol=1e-9, atol=1e-9)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_corn_is_the_papers_mean_over_the_questions_asked(seed: int) -> None:
    z, y = odds(seed, falling=False), grades(seed)
    total, asked = 0.0, 0
    for task in range(4):
        subset = y > task - 1
        label = (y[subset] > task).double()
        total += float(functional.binary_cross_entropy_with_logits(z[subset, task], label, reduction="sum"))
        asked += int(subset.sum())
    assert float(corn(chained(z), y)) == pytest.approx(total / asked, rel=1e-9)


def test_values_by_hand() -> None:
    """Three grades, thresholds passed with 0.8 and 0.3: probabilities 0.2, 0.5, 0.3; CORN 0.2, 0.8 * 0.7, 0.8 * 0.3."""
    z = torch.tensor([[math.log(0.8 / 0.2), math.log(0.3 / 0.7)]], dtype=torch.float64)
    torch.testing.assert_close(between(z).exp(), torch.tensor([[0.2, 0.5, 0.3]], dtype=torch.float64))
    torch.testing.assert_close(chained(z).exp(), torch.tensor([[0.2, 0.56, 0.24]], dtype=torch.float64))
    middle = torch.tensor([1])
    assert float(coral(between(z), middle)) == pytest.approx(-math.log(0.8) - math.log(0.7))
    assert float(corn(chained(z), middle)) == pytest.approx((-math.log(0.8) - math.log(0.7)) / 2)
    assert float(corn(chained(z), torch.tensor([0]))) == pytest.approx(-math.log(0.2))


@pytest.mark.parametrize("readout", ["coral", "corn", "regression"])
def test_a_head_gives_probabilities_however_far_its_features_lie(readout: str) -> None:
    head = GradeHead(readout, 3, 5)  # type: ignore[arg-type]
    features = torch.randn(40, 3, generator=torch.Generator().manual_seed(0)) * torch.logspace(-3, 3, 40)[:, None]
    log_p = head(features.requires_grad_())
    assert bool(log_p.isfinite().all())
    torch.testing.assert_close(log_p.exp().sum(dim=1), torch.ones(40), rtol=1e-5, atol=1e-5)
    log_p[:, 2].sum().backward()
    assert features.grad is not None
    assert bool(features.grad.isfinite().all())


def test_a_regression_gives_its_score_back_and_calls_the_grade_between_its_cuts() -> None:
    head = GradeHead("regression", 1, 5).double()
    with torch.no_grad():
        head.linear.weight.fill_(1)
        head.linear.bias.fill_(0)
    score = torch.tensor([[-3.0], [0.4], [0.6], [2.49], [2.51], [9.0]], dtype=torch.float64)
    torch.testing.assert_close(expected_score(head(score)), score[:, 0])
    above = head(score).exp().flip(1).cumsum(1).flip(1)[:, 1:]
    assert (above >= 0.5).sum(1).tolist() == [0, 0, 1, 2, 3, 4]


def test_learned_cuts_are_those_that_drew_the_grades() -> None:
    """Grades drawn from the model itself: slope 2 and cuts -1, 0, 2; standard errors at n = 20,000 are about 0.02."""
    rng = np.random.default_rng(0)
    score = rng.normal(size=20_000)
    u = rng.uniform(size=len(score))
    target = (u[:, None] < 1 / (1 + np.exp(-2 * (score[:, None] - np.array([-1.0, 0.0, 2.0]))))).sum(1)
    slope, cuts = learned_cuts(score, target, 4)
    assert slope == pytest.approx(2, abs=0.1)
    assert cuts == pytest.approx([-1, 0, 2], abs=0.08)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_cuts_follow_the_unit_of_the_score_never_fall_and_exist_for_grades_without_images(seed: int) -> None:
    rng = np.random.default_rng(seed)
    target = rng.choice([0, 1, 3], size=30)  # no image of grade 2, none of grade 4
    score = target + rng.normal(size=30)
    slope, cuts = learned_cuts(score, target, 5)
    assert np.isfinite(cuts).all()
    assert (np.diff(cuts) >= 0).all()
    assert cuts[1] == pytest.approx(cuts[2], abs=1e-4)
    other_slope, other_cuts = learned_cuts(100 * score + 7, target, 5)
    assert other_slope == pytest.approx(slope / 100, rel=1e-4)
    assert other_cuts == pytest.approx(100 * cuts + 7, rel=1e-4, abs=1e-2)


def test_a_score_that_says_nothing_keeps_the_cuts_it_had() -> None:
    slope, cuts = learned_cuts(np.ones(10), np.arange(10) % 3, 3)
    assert (slope, cuts.tolist()) == (1.0, [0.5, 1.5])


@pytest.mark.parametrize("loss", GRADED)
def test_a_network_with_a_head_for_grades_is_rebuilt_from_its_recipe(loss, tmp_path) -> None:
    network = build_network(recipe(loss), **SHAPE).eval()
    images = torch.rand(4, 1, 16, 16, generator=torch.Generator().manual_seed(1))
    save_weights(network, tmp_path / "weights.safetensors")
    again = empty_network(recipe(loss), **SHAPE).eval()
    load_weights(again, tmp_path / "weights.safetensors")
    assert torch.equal(network(images), again(images))
    plain = build_network(recipe(), **SHAPE)
    for key, value in plain.state_dict().items():
        if key.startswith("trunk."):
            assert torch.equal(value, network.state_dict()[key])


def test_a_head_that_is_not_linear_is_refused() -> None:
    network = build_network(recipe("coral"), **SHAPE)
    with pytest.raises(SpecError, match="has GradeHead: use cross-entropy, or an architecture whose head is linear"):
        with_readout(network, "corn", 0)


def test_a_mitigation_that_fits_a_linear_head_is_refused() -> None:
    with pytest.raises(ValueError, match="'last-layer-retraining' fits a linear head, and loss 'coral' has one of its"):
        recipe("coral", mitigation=part("mitigation", "last-layer-retraining"), groups="tag")
