from __future__ import annotations

import copy
from typing import Any

import pytest

from assay.spec.schema import StudySpec, TrainingSpec

STUDY: dict[str, Any] = {
    "name": "study",
    "data": {"phantom": "nodule", "size": 64, "train": 200, "core": "margin"},
    "environments": {
        "train": {"association": {"texture": 0.9}},
        "same": {"like": "train"},
        "reversed": {"like": "train", "association": {"texture": -0.9}},
    },
    "recipe": {"loss": ["cross-entropy", "supcon"], "epochs": 5},
    "seeds": 2,
}


@pytest.fixture
def study() -> dict[str, Any]:
    """A right study as plain values, to be changed."""
    return copy.deepcopy(STUDY)


def trial_ids(spec: StudySpec) -> list[str]:
    """The names of all trials, as the execution names them for a phantom."""
    return [
        TrainingSpec(data=spec.data.for_training(), environment=point.train, recipe=point.recipe, seed=seed).id
        for point in spec.points
        for seed in range(spec.seeds)
    ]
