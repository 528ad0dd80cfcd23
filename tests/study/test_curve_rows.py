"""The weight that a loss's schedule gave its first term stands beside the losses of an epoch."""

from __future__ import annotations

from typing import Any

import pytest

from assay.plugin import Component
from assay.study.segmentation import weight_of


@pytest.mark.parametrize(
    ("params", "weights"),
    [
        ({}, [0.5, 0.5, 0.5]),
        ({"schedule": "linear"}, [1, 0.5, 0]),
        ({"schedule": "step", "at": 0.5}, [1, 1, 0]),
        ({"schedule": "cosine", "end": 0.5}, [1, 0.75, 0.5]),
    ],
)
def test_the_weight_of_cross_entropy(params: dict[str, Any], weights: list[float]) -> None:
    loss = Component(kind="loss", name="cross-entropy-dice", params=params)
    assert [weight_of(loss, epoch, 3) for epoch in range(3)] == pytest.approx(weights)
