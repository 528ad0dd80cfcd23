"""ArcFace and the normalized softmax: against loops, hand-derived values, limits and invariances."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.training.losses import naive
from tests.training.losses.batches import Example, criterion, examples, quickly, rotation
from torch import Tensor, nn

DIRECTIONS = torch.tensor([[1.0, 0.2, 0.0], [-0.3, 2.0, 0.1], [0.0, -0.5, -0.7], [0.4, 0.4, 3.0]], dtype=torch.float64)


def with_directions(loss: str, directions: Tensor, **params: float) -> nn.Module:
    made = criterion(loss, directions.shape[1], len(directions), **params)
    made.to(directions.dtype).load_state_dict({"loss.W": directions.T})
    return made


def softmax_of(directions: Tensor, *, scale: float = 16.0, margin: float = 0.2) -> nn.Module:
    return with_directions("arcface", directions, scale=scale, margin=margin)


def without_margin(directions: Tensor, *, scale: float = 16.0) -> nn.Module:
    return with_directions("normalized-softmax", directions, scale=scale)


@quickly
@given(examples(dimensions=(3, 3)), st.floats(0, 1.5), st.floats(0.5, 30))
def test_equals_the_loop(e: Example, margin: float, scale: float) -> None:
    value = softmax_of(DIRECTIONS, scale=scale, margin=margin)(e.z, e.y)
    expected = naive.angular_softmax(e.rows, DIRECTIONS.tolist(), e.labels, scale, margin)
    assert value.item() == pytest.approx(expected, rel=1e-8, abs=1e-12)


@quickly
@given(examples(dimensions=(3, 3)))
def test_margin_0_is_the_softmax_of_cosines(e: Example) -> None:
    cosines = torch.nn.functional.normalize(e.z) @ torch.nn.functional.normalize(DIRECTIONS).T
    expected = torch.nn.functional.cross_entropy(16 * cosines, e.y)
    torch.testing.assert_close(without_margin(DIRECTIONS)(e.z, e.y), expected)
    torch.testing.assert_close(softmax_of(DIRECTIONS, margin=0.0)(e.z, e.y), expected)


@quickly
@given(examples(dimensions=(3, 3)))
def test_turning_scaling_and_renaming_change_nothing(e: Example) -> None:
    value = softmax_of(DIRECTIONS)(e.z, e.y)
    turn, names = rotation(3), torch.tensor([2, 0, 3, 1])
    lengths = torch.linspace(0.1, 9, len(e.z), dtype=torch.float64)[:, None]
    torch.testing.assert_close(softmax_of(5 * DIRECTIONS @ turn)(lengths * e.z @ turn, e.y), value)
    torch.testing.assert_close(softmax_of(DIRECTIONS[names.argsort()])(e.z, names[e.y]), value)


@quickly
@given(examples(dimensions=(3, 3)), st.floats(0.01, 1.2))
def test_a_margin_only_adds(e: Example, margin: float) -> None:
    without, with_margin = (softmax_of(DIRECTIONS, margin=m)(e.z, e.y).item() for m in (0.0, margin))
    assert with_margin >= without


def test_by_hand() -> None:
    angle, margin, scale = 0.3, 0.4, 2.0
    z = torch.tensor([[math.cos(angle), math.sin(angle)]], dtype=torch.float64)
    value = softmax_of(torch.eye(2, dtype=torch.float64), scale=scale, margin=margin)(z, torch.tensor([0]))
    gap = scale * (math.sin(angle) - math.cos(angle + margin))
    assert value.item() == pytest.approx(math.log1p(math.exp(gap)))


def test_rises_with_the_angle_all_the_way_to_the_opposite() -> None:
    angles = torch.linspace(0, math.pi, 200, dtype=torch.float64)
    criterion = softmax_of(torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]], dtype=torch.float64), margin=0.5)
    circle = torch.stack([angles.cos(), angles.sin(), torch.zeros_like(angles)], dim=1)
    values = torch.stack([criterion(z[None], torch.tensor([0])) for z in circle])
    assert (values.diff() > 0).all()


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_gradient_is_finite_on_the_class_direction_and_opposite(sign: float) -> None:
    z = torch.tensor([[sign, 0.0]], requires_grad=True)
    softmax_of(torch.eye(2))(z, torch.tensor([0])).backward()
    assert z.grad is not None
    assert z.grad.isfinite().all()
    assert z.grad.abs().max() < 100


def test_an_embedding_of_one_dimension_has_finite_gradients() -> None:
    z = torch.tensor([[0.5], [-2.0]], requires_grad=True)
    criterion("arcface", 1, 2)(z, torch.tensor([0, 1])).backward()
    assert z.grad is not None
    assert z.grad.abs().max() < 1e-3  # a cosine of 1 or -1 cannot change
