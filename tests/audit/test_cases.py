"""Single images are chosen by the answers to them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from assay.plugin import MapGrid
from assay.report.outcomes import mean_masks
from assay.report.sentences.captions import caption
from assay.stats import SeedPredictions


def test_a_missed_lesion_has_its_dice_and_areas() -> None:
    facts = {"outcome": "missed", "row": 118, "dice": 0.1, "area": 0.01, "lesion": 0.005, "made": True}
    row = {"kind": "case", "facts": json.dumps(facts)}
    assert caption(row) == "row 118: Dice 0.10; of the image 1% predicted, 0.5% true"


def test_dice_and_area_of_masks_are_means_over_seeds() -> None:
    """At log-odds 0: 4 of 4 pixels and 2 of 4 are hit, by 4 and 4 predicted; the other image has no lesion."""
    thresholds = MapGrid().thresholds
    at = thresholds.index(0.0)

    def column(values: list[list[int]]) -> np.ndarray:
        made = np.zeros((2, 2, len(thresholds)), dtype=np.int64)
        made[..., at] = values
        return made

    maps = {"truth": np.array([[4, 0], [4, 0]]), "predicted": column([[4, 1], [4, 3]]),
            "hit": column([[4, 0], [2, 0]]), "pixels": np.full((2, 2), 16)}  # fmt: skip
    found = mean_masks(SeedPredictions(np.zeros((2, 2, 1)), np.array([1, 0]), np.arange(2), maps=maps), np.arange(2))
    assert found is not None
    assert found[0][0] == pytest.approx(0.75)
    assert np.isnan(found[0][1])
    assert found[1].tolist() == [0.25, 0.125]
    assert found[2].tolist() == [0.25, 0]
