"""Studies in which there is nothing to find, because their targets were shuffled, claim nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.worlds.panels import panel

from assay.plugin import generator
from assay.stats import DosePanel, SeedPredictions, decide, interaction

STUDIES, RECIPES = 40, 3


def shuffled(number: int, target: np.ndarray) -> SeedPredictions:
    """What 5 seeds of a recipe say, of targets that have nothing to do with it."""
    return replace(panel(number, distance=1.2, noise=number // 100), target=target)


@pytest.mark.slow
def test_a_study_with_shuffled_targets_seldom_claims_anything() -> None:
    """A family of 2 dose-responses against a common recipe, in each of 40 studies."""
    claims = 0
    for study in range(1, STUDIES + 1):
        target = generator(0, "shuffled", study).permutation(panel(0).target)
        curves = [
            [DosePanel(p, shuffled(100 * study + 10 * recipe + i, target)) for i, p in enumerate((0.0, 1.0))]
            for recipe in range(RECIPES)
        ]
        family = [interaction(curve, curves[0], "auroc") for curve in curves[1:]]
        claims += any(one.decision in ("higher", "lower") for one in decide(family))
    assert claims <= 6  # at 0.05 a study more would come in 0.3% of such tests
