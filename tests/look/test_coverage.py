"""Intervals of linear probes cover: clustered patients, 10% prevalence, 30 to 300 patients. Run by `make thorough`."""

# pyright: basic

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from assay.look import embeddings
from assay.plugin import FactorTable
from assay.stats import auroc

pytestmark = pytest.mark.thorough
FEATURES, TELLING, COMMON, PREVALENCE, DRAWS = 32, 4, 0.5, 0.1, 200
"""Features, those that tell the class, share of the variance that images of a patient have in common, simulations."""
OTHERS = 1500
"""Further patients on which the truth is computed."""


def drawn(patients: int, gap: float, rng: np.random.Generator) -> tuple[FactorTable, np.ndarray]:
    """Return patients of 1 to 5 images each and of one class, and features of the images."""
    classes = (rng.random(patients) < PREVALENCE).astype(int)
    patient = np.repeat(np.arange(patients), rng.integers(1, 6, patients))
    features = math.sqrt(COMMON) * rng.normal(size=(patients, FEATURES))[patient]
    features = features + math.sqrt(1 - COMMON) * rng.normal(size=(len(patient), FEATURES))
    target = classes[patient]
    features[:, :TELLING] += gap / math.sqrt(TELLING) * target[:, None]
    return FactorTable(np.arange(len(target)), target, patient, ("well", "ill"), (), {}), features


def truth(table: FactorTable, features: np.ndarray, others: tuple[FactorTable, np.ndarray]) -> float:
    """Return the mean AUROC of the decoders of the folds on other patients."""
    fold = embeddings.folds_by_patient(table.patient, embeddings.FOLDS, embeddings.SEED)
    values: list[float] = []
    for number in range(embeddings.FOLDS):
        fitted = fold != number
        parts = np.repeat([0, 1], [fitted.sum(), len(others[0])])
        wanted = np.concatenate([table.target[fitted], others[0].target]).astype(float)[:, None]
        scores = embeddings.cross_validated_predictions(np.concatenate([features[fitted], others[1]]), wanted, parts)[
            parts == 1, 0
        ]
        values.append(auroc(scores, others[0].target).value)
    return float(np.mean(values))


@pytest.mark.parametrize("patients", [30, 100, 300])
@pytest.mark.parametrize("gap", [0.0, 1.0, 2.0, 3.0])
def test_probes(patients: int, gap: float) -> None:
    """The truth is the mean over simulations of what probes of so many patients reach in others."""
    others = drawn(OTHERS, gap, np.random.default_rng(DRAWS))
    rows: list[dict[str, Any]] = []
    truths: list[float] = []
    for seed in range(DRAWS):
        table, features = drawn(patients, gap, np.random.default_rng(seed))
        row = embeddings._probe(table, features)
        if not math.isnan(row["value"]):
            rows.append(row)
            truths.append(truth(table, features, others))
    assert len(rows) >= 20
    held = [row["low"] <= np.mean(truths) <= row["high"] for row in rows]
    assert np.mean(held) >= 0.92 - 2 * math.sqrt(0.95 * 0.05 / len(rows)), np.mean(held)
