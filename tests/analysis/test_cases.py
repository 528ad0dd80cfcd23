"""Single images are chosen by the answers to them."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import numpy as np

from assay.analysis.cases import _drawn, _probabilities
from assay.stats.panel import Panel


def test_the_surest_wrong_the_most_divided_and_the_surest_right_are_taken_once() -> None:
    target = np.array([0, 0, 1, 1, 1, 0, 1, 0])
    one = np.array([0.9, 0.6, 0.1, 0.4, 0.95, 0.1, 0.9, 0.05])  # of the positive class
    other = np.array([0.9, 0.6, 0.1, 0.4, 0.95, 0.1, 0.5, 0.15])
    each = [(np.stack([1 - own, own], axis=1), target) for own in (one, other)]
    table = SimpleNamespace(row=np.arange(8)[::-1], classes=("benign", "malignant"))  # images are in another order
    took: list[tuple[int, dict[str, Any]]] = []
    gallery = SimpleNamespace(case=lambda environment, position, facts, name, place: took.append((position, facts)))
    list(_drawn(each, SimpleNamespace(table=table), "here", gallery, 2, made=True))  # type: ignore[arg-type]
    chosen = {outcome: [7 - at for at, facts in took if facts["outcome"] == outcome]
              for outcome in ("wrong", "divided", "right")}  # fmt: skip
    assert chosen == {"wrong": [0, 2], "divided": [6, 7], "right": [4, 5]}
    assert json.loads(json.dumps(took[0][1])) == {"outcome": "wrong", "truth": "benign", "called": "malignant",
                                                  "probability": 0.9, "made": True}  # fmt: skip


def test_probabilities_are_of_mean_logits_over_seeds_in_the_first_fold() -> None:
    scores = np.array([[[0.0], [2.0], [9.0]], [[0.0], [4.0], [9.0]]])
    fold = np.array([[0, 0, 1], [1, 0, 0]])
    panel = Panel(scores, np.array([0, 1, 1]), np.arange(3), fold=fold, tested=np.ones((2, 3), dtype=bool))
    found = _probabilities(panel, 2)
    assert found is not None
    assert np.allclose(found[0][:, 1], [0.5, 1 / (1 + np.exp(-3))])
    assert found[1].tolist() == [0, 1]
    assert _probabilities(panel, 3) is None
