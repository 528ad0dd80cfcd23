"""The triplet loss and its mining: against three loops, hand-derived values, limits and invariances."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.training.losses import naive
from tests.training.losses.batches import Example, criterion, examples, quickly, rotation

MINING = ("semi-hard", "hard")
both = pytest.mark.parametrize("mining", MINING)


@both
@pytest.mark.parametrize("normalize", [True, False])
@quickly
@given(e=examples(rows=12), margin=st.floats(0.01, 3), soft=st.booleans())
def test_equals_the_loops(mining: str, normalize: bool, e: Example, margin: float, soft: bool) -> None:
    how = {"soft": True} if soft else {"margin": margin}
    got = criterion("triplet", mining=mining, normalize=normalize, **how)(e.z, e.y)
    rows = [naive.unit(row) for row in e.rows] if normalize else e.rows
    assert got.item() == pytest.approx(naive.triplet(rows, e.labels, margin, mining, soft), rel=1e-8, abs=1e-10)


@both
@quickly
@given(e=examples())
def test_invariances(mining: str, e: Example) -> None:
    value = criterion("triplet", margin=0.5, mining=mining, normalize=False)(e.z, e.y)
    moved = e.z @ rotation(e.z.shape[1]) + 2
    turned = criterion("triplet", margin=0.5, mining=mining, normalize=False)(moved, 9 - e.y)
    scaled = criterion("triplet", margin=1.5, mining=mining, normalize=False)(3 * e.z, e.y)
    torch.testing.assert_close(turned, value, rtol=1e-9, atol=1e-10)
    torch.testing.assert_close(scaled, 3 * value, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize(
    ("mining", "soft", "expected"),
    [
        ("semi-hard", False, 0.5),  # only anchor 0 has a negative (1.5) beyond its positive (1.0)
        ("semi-hard", True, math.log1p(math.exp(-0.5))),
        ("hard", False, (0.5 + 1.5) / 2),  # gaps -0.5 and +0.5; the lone image has no positive
        ("hard", True, (math.log1p(math.exp(-0.5)) + math.log1p(math.exp(0.5))) / 2),
    ],
)
def test_by_hand(mining: str, soft: bool, expected: float) -> None:
    z, y = torch.tensor([[0.0], [1.0], [1.5]]), torch.tensor([0, 0, 1])
    how = {"soft": True} if soft else {"margin": 1.0}
    value = criterion("triplet", mining=mining, normalize=False, **how)(z, y)
    assert value.item() == pytest.approx(expected, rel=1e-6)


@both
def test_is_zero_when_classes_are_a_margin_apart(mining: str) -> None:
    y = torch.arange(10) % 2
    z = torch.stack([y.float(), torch.linspace(0, 0.3, 10)], dim=1)
    assert criterion("triplet", margin=0.4, mining=mining, normalize=False)(z, y).item() == 0
    assert criterion("triplet", margin=0.9, mining=mining, normalize=False)(z, y).item() > 0


def test_hard_mining_of_equal_embeddings_scores_the_margin_or_ln_2() -> None:
    z, y = torch.ones(8, 3), torch.arange(8) % 2
    assert criterion("triplet", mining="hard")(z, y).item() == pytest.approx(0.2)
    assert criterion("triplet", mining="hard", soft=True)(z, y).item() == pytest.approx(math.log(2))
