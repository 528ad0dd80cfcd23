"""On a planted world, where the tag is easier to see than the class: what each mitigation is for happens."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.mitigations import trained, worst_group_accuracy
from tests.worlds.environments import tagged

TEST = tagged(1000, seed=99, tied=0)
SEEDS = range(3)


def worst(name: str, **params) -> float:
    return float(np.mean([worst_group_accuracy(trained(name, params, seed), TEST) for seed in SEEDS]))


@pytest.fixture(scope="module")
def plain() -> float:
    return worst("none")


@pytest.mark.parametrize(
    "name", ["reweighting", "group-balanced-sampling", "group-dro", "last-layer-retraining", "domain-adversarial"]
)
def test_each_that_uses_group_labels_raises_the_worst_group(name, plain):
    """Mean over three seeds of the accuracy on images in which the tag says nothing."""
    assert worst(name) > plain
