"""Cross-entropy and its kin: against loops, hand-derived values, limits."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.training.losses import naive
from tests.training.losses.batches import Example, examples, quickly

from assay.plugin import DataError, LossContext, Outputs, SpecError, build
from assay.testing.losses import PROGRESS, batch_of
from assay.training.losses.classification import cross_entropies, focals


def focal(logits: torch.Tensor, y: torch.Tensor, *, gamma: float) -> torch.Tensor:
    return focals(logits, y, gamma=gamma).mean()


FOUR = examples(dimensions=(4, 4))


@quickly
@given(FOUR, st.floats(0, 0.9))
def test_cross_entropy_equals_the_loop(e: Example, smoothing: float) -> None:
    weights = (0.5, 1.0, 2.0, 0.25)
    got = cross_entropies(e.z, e.y, weights=torch.tensor(weights, dtype=torch.float64), smoothing=smoothing).mean()
    assert got.item() == pytest.approx(naive.cross_entropy(e.rows, e.labels, weights, smoothing), rel=1e-10)


@quickly
@given(FOUR, st.floats(0, 8))
def test_focal_equals_the_loop(e: Example, gamma: float) -> None:
    assert focal(e.z, e.y, gamma=gamma).item() == pytest.approx(naive.focal(e.rows, e.labels, gamma), rel=1e-9)


@quickly
@given(FOUR)
def test_focal_with_gamma_0_and_smoothing_0_are_cross_entropy(e: Example) -> None:
    expected = torch.nn.functional.cross_entropy(e.z, e.y)
    torch.testing.assert_close(focal(e.z, e.y, gamma=0.0), expected)
    torch.testing.assert_close(cross_entropies(e.z, e.y, smoothing=0.0).mean(), expected)


@quickly
@given(FOUR)
def test_classes_can_be_renamed(e: Example) -> None:
    order = torch.tensor([2, 0, 3, 1])
    renamed = e.z[:, order.argsort()], order[e.y]
    torch.testing.assert_close(cross_entropies(*renamed).mean(), cross_entropies(e.z, e.y).mean())
    torch.testing.assert_close(focal(*renamed, gamma=2.0), focal(e.z, e.y, gamma=2.0))


def test_values_by_hand() -> None:
    logits, y = torch.tensor([[math.log(3.0), 0.0]]), torch.tensor([0])  # p = 3/4
    assert cross_entropies(logits, y).mean().item() == pytest.approx(math.log(4 / 3))
    assert focal(logits, y, gamma=2.0).item() == pytest.approx(math.log(4 / 3) / 16)
    softened = 0.9 * math.log(4 / 3) + 0.1 * math.log(4)  # q = (0.9, 0.1)
    assert cross_entropies(logits, y, smoothing=0.2).mean().item() == pytest.approx(softened)


def test_certainty_costs_nothing_when_right_and_the_entropy_of_the_target_under_smoothing() -> None:
    y = torch.tensor([0, 1])
    sure = torch.tensor([[200.0, 0.0], [0.0, 200.0]])
    assert cross_entropies(sure, y).mean().item() == 0
    assert focal(sure, y, gamma=0.5).item() == 0
    best = torch.tensor([[0.95, 0.05], [0.05, 0.95]]).log()
    entropy = -(0.95 * math.log(0.95) + 0.05 * math.log(0.05))
    assert cross_entropies(best, y, smoothing=0.1).mean().item() == pytest.approx(entropy)


@pytest.mark.parametrize("gamma", [0.3, 1.0, 2.0])
def test_focal_has_a_finite_gradient_at_certainty(gamma: float) -> None:
    logits = torch.tensor([[200.0, 0.0], [-200.0, 0.0]], requires_grad=True)
    focal(logits, torch.tensor([0, 0]), gamma=gamma).backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    assert logits.grad[0].abs().max() < 1e-10
    assert logits.grad[1, 0].item() == pytest.approx(-0.5)  # surely wrong: the gradient of cross-entropy


def test_weighted_batches_add_up_to_the_whole() -> None:
    objective = build("loss", "weighted-cross-entropy", {}, LossContext(3, 2, (30, 10)))
    logits = torch.randn(40, 2, generator=torch.Generator().manual_seed(0))
    y = torch.arange(40).lt(10).long()

    def value(part: slice) -> float:
        outputs = Outputs(torch.zeros(len(logits[part]), 3), logits[part])
        return objective.loss(outputs, batch_of(y[part]), PROGRESS).item()

    batches = [value(slice(start, start + 10)) for start in range(0, 40, 10)]
    assert sum(batches) / 4 == pytest.approx(value(slice(None)), rel=1e-5)
    torch_mean = torch.nn.functional.cross_entropy(logits, y, weight=torch.tensor([2 / 3, 2.0]))
    assert value(slice(None)) == pytest.approx(torch_mean.item(), rel=1e-5)  # over all images both divide alike


def test_a_class_without_images_cannot_be_weighted() -> None:
    with pytest.raises(DataError) as error:
        build("loss", "weighted-cross-entropy", {}, LossContext(3, 2, (12, 0)))
    assert str(error.value) == (
        "weighted-cross-entropy weighs classes by their number of training images, which are 12, 0: "
        "every class needs at least 1; use cross-entropy, or train on rows that hold every class"
    )


def test_logits_per_pixel_are_refused() -> None:
    objective = build("loss", "cross-entropy", {}, LossContext(3, 2, (1, 1)))
    with pytest.raises(SpecError) as error:
        objective.loss(Outputs(torch.zeros(4, 3), torch.zeros(4, 1, 8, 8)), batch_of(torch.zeros(4).long()), PROGRESS)
    assert str(error.value) == (
        "this loss compares one label with one row of logits per image, but the network gives logits of shape "
        "(4, 1, 8, 8): use a classification architecture, or a loss for segmentation"
    )
