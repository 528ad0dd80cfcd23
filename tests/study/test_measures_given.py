"""Which measures the tables hold: a weighted kappa of several classes, and what is asked at a cut of them, only where a
study says that they are grades.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from assay.spec.parse import parse_study
from assay.stats import SeedPredictions
from assay.stats.measures import COMPUTED
from assay.study.tables import measures_of

KAPPA = "quadratic-weighted-kappa"
FILES = {"folder": ".", "target": "grade", "table": "annotations.json"}
CHEST = {"phantom": "chest", "size": 64}
BY_KAPPA = {"axis": "loss", "against": "cross-entropy", "measure": KAPPA, "environment": "same"}


def study(data: dict[str, Any], *contrasts: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": "grades",
        "data": data,
        "environments": {"train": {}, "same": {}},
        "recipe": {"loss": ["cross-entropy", "supcon"]},
        "contrasts": list(contrasts),
    }


@pytest.mark.parametrize(
    ("given", "classes", "there"),
    [
        (study(FILES), 2, True),
        (study(FILES), 3, False),
        (study(FILES, BY_KAPPA), 3, True),
        (study(FILES, {**BY_KAPPA, "measure": "accuracy"}), 3, False),
        (study({**FILES, "referable": 2}), 3, True),
        (study({**FILES, "factors": {"grade": {"kind": "ordinal", "levels": ["a", "b", "c"]}}}), 3, True),
        (study({**CHEST, "target": "zone", "core": "zone"}), 3, True),
        (study({**CHEST, "target": "scanner", "core": "scanner"}), 3, False),
    ],
    ids=[
        "two classes",
        "three of files",
        "a contrast of it",
        "another contrast",
        "a cut",
        "a factor",
        "ordinal",
        "categorical",
    ],
)
def test_a_kappa_is_given_where_classes_have_an_order(given: dict[str, Any], classes: int, there: bool) -> None:
    panel = SeedPredictions(np.zeros((1, 4, classes)), np.zeros(4, dtype=np.int64), np.arange(4))
    found = measures_of(parse_study(given), panel)
    images = [(name, one) for name, one in COMPUTED.items() if not one.requirements.maps]
    assert found == [
        name
        for name, one in images
        if (there or not one.requirements.ordinal) and (classes > 2 or not one.requirements.grade_cutoff)
    ]
