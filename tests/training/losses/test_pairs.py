"""Losses over pairs: against loops over plain floats, hand-derived values, limits and invariances."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import pytest
import torch
from hypothesis import given
from tests.training.losses import naive
from tests.training.losses.batches import Example, criterion, examples, quickly, rotation
from torch import Tensor

Loss = Callable[[Tensor, Tensor], Tensor]
Naive = Callable[[list[list[float]], list[int]], float]


def nt_xent_of(z: Tensor, temperature: float) -> Tensor:
    return criterion("nt-xent", temperature=temperature)(z, torch.zeros(len(z), dtype=torch.int64))


def nt_xent(z: Tensor, y: Tensor) -> Tensor:
    return nt_xent_of(z[: len(z) // 2 * 2], 0.3)


def naive_nt_xent(z: list[list[float]], y: list[int]) -> float:
    return naive.nt_xent(z[: len(z) // 2 * 2], 0.3)


def on_directions(z: list[list[float]], y: list[int], *, of: Callable[..., float], margin: float) -> float:
    return of([naive.unit(row) for row in z], y, margin)


LOSSES: dict[str, tuple[Loss, Naive]] = {
    "pairwise": (
        criterion("pairwise-contrastive", margin=1.5, normalize=False),
        partial(naive.pairwise_contrastive, margin=1.5),
    ),
    "pairwise-directions": (
        criterion("pairwise-contrastive", margin=1.0, normalize=True),
        partial(on_directions, of=naive.pairwise_contrastive, margin=1.0),
    ),
    "lifted": (criterion("lifted-structure", margin=1.0, normalize=False), partial(naive.lifted_structure, margin=1.0)),
    "lifted-directions": (
        criterion("lifted-structure", margin=0.5, normalize=True),
        partial(on_directions, of=naive.lifted_structure, margin=0.5),
    ),
    "n-pair": (criterion("n-pair", regularization=0.01), partial(naive.n_pair, regularization=0.01)),
    "supcon": (criterion("supcon", temperature=0.3), partial(naive.supcon, temperature=0.3)),
    "nt-xent": (nt_xent, naive_nt_xent),
    "circle": (criterion("circle", margin=0.3, scale=8.0), partial(naive.circle, margin=0.3, scale=8.0)),
}
BY_DIRECTION = ("pairwise-directions", "lifted-directions", "supcon", "nt-xent", "circle")
name = pytest.mark.parametrize("name", LOSSES)


@name
@quickly
@given(e=examples())
def test_equals_the_loop(name: str, e: Example) -> None:
    loss, expected = LOSSES[name]
    assert loss(e.z, e.y).item() == pytest.approx(expected(e.rows, e.labels), rel=1e-9, abs=1e-12)


@name
@quickly
@given(e=examples())
def test_does_not_change_when_the_embedding_turns_or_classes_are_renamed(name: str, e: Example) -> None:
    loss, _ = LOSSES[name]
    turned = e.z @ rotation(e.z.shape[1])
    torch.testing.assert_close(loss(turned, 7 - e.y), loss(e.z, e.y), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", BY_DIRECTION)
@quickly
@given(e=examples())
def test_lengths_do_not_matter_to_losses_on_directions(name: str, e: Example) -> None:
    loss, _ = LOSSES[name]
    lengths = torch.linspace(0.1, 9, len(e.z), dtype=torch.float64)[:, None]
    torch.testing.assert_close(loss(e.z * lengths, e.y), loss(e.z, e.y), rtol=1e-9, atol=1e-12)


@quickly
@given(e=examples())
def test_pairwise_scales_with_the_square_of_embedding_and_margin(e: Example) -> None:
    big = criterion("pairwise-contrastive", margin=4.5, normalize=False)(3 * e.z, e.y)
    torch.testing.assert_close(big, 9 * criterion("pairwise-contrastive", margin=1.5, normalize=False)(e.z, e.y))


def line(*points: float) -> Tensor:
    return torch.tensor(points, dtype=torch.float64)[:, None]


PAIR_AND_ONE = torch.tensor([0, 0, 1])


def test_pairwise_by_hand() -> None:
    value = criterion("pairwise-contrastive", margin=2.5, normalize=False)(line(0, 1, 3), PAIR_AND_ONE)
    assert value.item() == pytest.approx((1 / 2 + 0 + 0.5**2 / 2) / 3)


def test_lifted_by_hand() -> None:
    value = criterion("lifted-structure", margin=1.0)(line(0, 1, 3), PAIR_AND_ONE)
    assert value.item() == pytest.approx((math.log(math.exp(-2) + math.exp(-1)) + 1) ** 2 / 2)


def test_n_pair_by_hand() -> None:
    value = criterion("n-pair", regularization=0.1)(line(1, 2, -1), PAIR_AND_ONE)
    expected = (math.log1p(math.exp(-1 - 2)) + math.log1p(math.exp(-2 - 2))) / 2 + 0.1 * (1 + 4 + 1) / 3
    assert value.item() == pytest.approx(expected)


def test_circle_by_hand() -> None:
    z = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    # s_p = 1, s_n = 0: both weights are m, both distances from the margin -m, for the two anchors that have a positive
    value = criterion("circle", margin=0.25, scale=10.0)(z, PAIR_AND_ONE)
    assert value.item() == pytest.approx(math.log1p(math.exp(-2 * 10 * 0.25**2)))


def test_circle_holds_its_weights_in_a_step() -> None:
    draws = torch.Generator().manual_seed(0)
    z = torch.randn(6, 3, generator=draws, dtype=torch.float64, requires_grad=True)
    y = torch.tensor([0, 1, 0, 1, 2, 2])
    criterion("circle", margin=0.3, scale=8.0)(z, y).backward()
    still, step = z.detach().tolist(), 1e-6
    assert z.grad is not None
    for i, j in ((0, 0), (2, 1), (5, 2)):
        values = []
        for sign in (1, -1):
            moved = [list(row) for row in still]
            moved[i][j] += sign * step
            values.append(naive.circle(moved, y.tolist(), 0.3, 8.0, weights_at=still))
        assert z.grad[i, j].item() == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-6)


def test_anchors_without_loss_count_in_the_mean() -> None:
    poles = torch.tensor([[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    value = criterion("supcon", temperature=0.02)(poles, torch.tensor([0, 0, 1, 1, 2, 2]))
    assert value.item() == pytest.approx(2 * (50 + math.log(4)) / 6)  # the first four anchors are at 0


def two_poles(each: int) -> tuple[Tensor, Tensor]:
    """Two classes at opposite ends of the circle."""
    y = torch.arange(2 * each) % 2
    return torch.stack([1.0 - 2.0 * y, torch.zeros(2 * each)], dim=1).double(), y


def test_perfect_separation() -> None:
    z, y = two_poles(4)
    assert criterion("pairwise-contrastive", margin=2.0, normalize=False)(z, y).item() == 0
    assert criterion("lifted-structure", margin=1.0)(20 * z, y).item() == 0
    assert criterion("n-pair", regularization=0.0)(9 * z, y).item() == pytest.approx(0, abs=1e-12)
    assert criterion("supcon", temperature=0.02)(z, y).item() == pytest.approx(
        math.log(3)
    )  # 3 equal positives an anchor
    # negatives past their optimum weigh nothing, 4 of them; 3 positives are a margin beyond theirs, weighted by it
    assert criterion("circle", margin=0.25, scale=80.0)(z, y).item() == pytest.approx(math.log1p(4 * 3 * math.exp(-5)))


@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_equal_embeddings_leave_a_guess_among_the_others(temperature: float) -> None:
    z, y = torch.ones(8, 3), torch.arange(8) % 2
    assert criterion("supcon", temperature=temperature)(z, y).item() == pytest.approx(math.log(7), rel=1e-6)
    assert nt_xent_of(z, temperature).item() == pytest.approx(math.log(7), rel=1e-6)


def test_nt_xent_of_views_that_agree_and_of_one_image() -> None:
    z = torch.eye(4).repeat(2, 1)
    assert nt_xent_of(z, 0.02).item() == pytest.approx(0, abs=1e-6)
    assert nt_xent_of(torch.randn(2, 4), 0.02).item() == 0


@pytest.mark.parametrize("name", BY_DIRECTION)
def test_a_feature_of_length_zero_gets_no_gradient(name: str) -> None:
    loss, _ = LOSSES[name]
    z = torch.randn(6, 3, generator=torch.Generator().manual_seed(1))
    z[2] = 0
    z.requires_grad_()
    loss(z, torch.arange(6) % 2).backward()
    assert z.grad is not None
    assert z.grad.isfinite().all()
    assert not z.grad[2].any()
    assert z.grad[[0, 1, 3, 4, 5]].abs().max() < 100


@name
def test_float32_stays_close_to_float64_far_from_the_origin(name: str) -> None:
    loss, _ = LOSSES[name]
    draws = torch.Generator().manual_seed(4)
    z, y = torch.randn(32, 8, generator=draws, dtype=torch.float64) + 3, torch.arange(32) % 3
    assert loss(z.float(), y).item() == pytest.approx(loss(z, y).item(), rel=1e-4)
