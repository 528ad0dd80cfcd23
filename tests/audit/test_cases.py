"""Single images are chosen by the answers to them."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from assay.plugin import MapGrid
from assay.report.outcomes import mean_masks, mean_probabilities, of_classes, of_masks, take_cases
from assay.report.sentences.captions import caption
from assay.stats import Panel


def chosen(*judged: Any, count: int) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for at, facts in take_cases(*judged, count):
        found.setdefault(facts["outcome"], []).append(at)
    return found


def test_the_surest_wrong_the_most_divided_and_the_surest_right_are_taken_once() -> None:
    target = np.array([0, 0, 1, 1, 1, 0, 1, 0])
    one = np.array([0.9, 0.6, 0.1, 0.4, 0.95, 0.1, 0.9, 0.05])  # of the positive class
    other = np.array([0.9, 0.6, 0.1, 0.4, 0.95, 0.1, 0.5, 0.15])
    judged = of_classes([(np.stack([1 - own, own], axis=1), target) for own in (one, other)], ("benign", "malignant"))
    assert chosen(*judged, count=2) == {"wrong": [0, 2], "divided": [6, 7], "right": [4, 5]}
    first = dict(take_cases(*judged, 2))[0]
    assert json.loads(json.dumps(first)) == {"outcome": "wrong", "truth": "benign", "called": "malignant",
                                             "probability": 0.9}  # fmt: skip


def test_masks_are_missed_false_divided_or_found() -> None:
    dice, other = np.array([0.1, 0.9, np.nan, np.nan, 0.6]), np.array([0.1, 0.9, np.nan, np.nan, 0.8])
    area = np.array([0.01, 0.1, 0.3, 0.0, 0.1])
    judged = of_masks([(dice, area, area / 2), (other, area, area / 2)])
    assert chosen(*judged, count=2) == {"missed": [0], "false-mask": [2], "divided": [4], "outlined": [1]}
    assert judged[1](2) == {"dice": None, "area": pytest.approx(0.3), "lesion": pytest.approx(0.15)}
    row = {"kind": "case", "facts": json.dumps({"outcome": "missed", "row": 118, **judged[1](0), "made": True})}
    assert caption(row) == "row 118: Dice 0.10; of the image 1% predicted, 0.5% true"


def test_probabilities_are_of_mean_logits_over_seeds_in_the_first_fold() -> None:
    scores = np.array([[[0.0], [2.0], [9.0]], [[0.0], [4.0], [9.0]]])
    fold = np.array([[0, 0, 1], [1, 0, 0]])
    panel = Panel(scores, np.array([0, 1, 1]), np.arange(3), fold=fold, tested=np.ones((2, 3), dtype=bool))
    found = mean_probabilities(panel, 2)
    assert found is not None
    assert np.allclose(found[0][:, 1], [0.5, 1 / (1 + np.exp(-3))])
    assert found[1].tolist() == [0, 1]
    assert mean_probabilities(panel, 3) is None


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
    found = mean_masks(Panel(np.zeros((2, 2, 1)), np.array([1, 0]), np.arange(2), maps=maps), 2)
    assert found is not None
    assert found[0][0] == pytest.approx(0.75)
    assert np.isnan(found[0][1])
    assert found[1].tolist() == [0.25, 0.125]
    assert found[2].tolist() == [0.25, 0]
