"""The triplet loss and its mining: against three loops, hand-derived values, limits and invariances."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.training.losses import naive
from tests.training.losses.batches import Example, examples, quickly, rotation

from assay.training.losses.metric_learning import Mining, triplet

MINING: tuple[Mining, ...] = ("semi-hard", "hard")
both = pytest.mark.parametrize("mining", MINING)


@both
@pytest.mark.parametrize("normalize", [True, False])
@quickly
@given(e=examples(rows=12), margin=st.floats(0.01, 3), soft=st.booleans())
def test_equals_the_loops(mining: Mining, normalize: bool, e: Example, margin: float, soft: bool) -> None:
    got = triplet(margin=margin, mining=mining, soft=soft, normalize=normalize)(e.z, e.y)
    rows = [naive.unit(row) for row in e.rows] if normalize else e.rows
    assert got.item() == pytest.approx(naive.triplet(rows, e.labels, margin, mining, soft), rel=1e-8, abs=1e-10)


@both
@quickly
@given(e=examples())
def test_invariances(mining: Mining, e: Example) -> None:
    value = triplet(margin=0.5, mining=mining, soft=False, normalize=False)(e.z, e.y)
    turned = triplet(margin=0.5, mining=mining, soft=False, normalize=False)(e.z @ rotation(e.z.shape[1]) + 2, 9 - e.y)
    scaled = triplet(margin=1.5, mining=mining, soft=False, normalize=False)(3 * e.z, e.y)
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
def test_by_hand(mining: Mining, soft: bool, expected: float) -> None:
    z, y = torch.tensor([[0.0], [1.0], [1.5]]), torch.tensor([0, 0, 1])
    value = triplet(margin=1.0, mining=mining, soft=soft, normalize=False)(z, y)
    assert value.item() == pytest.approx(expected, rel=1e-6)


@both
def test_is_zero_when_classes_are_a_margin_apart(mining: Mining) -> None:
    y = torch.arange(10) % 2
    z = torch.stack([y.float(), torch.linspace(0, 0.3, 10)], dim=1)
    assert triplet(margin=0.4, mining=mining, soft=False, normalize=False)(z, y).item() == 0
    assert triplet(margin=0.9, mining=mining, soft=False, normalize=False)(z, y).item() > 0


def test_hard_mining_of_equal_embeddings_scores_the_margin_or_ln_2() -> None:
    z, y = torch.ones(8, 3), torch.arange(8) % 2
    assert triplet(margin=0.2, mining="hard", soft=False, normalize=True)(z, y).item() == pytest.approx(0.2)
    assert triplet(margin=0.2, mining="hard", soft=True, normalize=True)(z, y).item() == pytest.approx(math.log(2))
