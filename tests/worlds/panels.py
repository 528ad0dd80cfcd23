"""Made-up answers of models with known make-up, shared by the tests of statistics."""

from __future__ import annotations

import numpy as np

from assay.stats import ModelPredictions, SeedPredictions


def answers(seed: int, n: int = 80, k: int = 2, folds: int = 0, ties: bool = False) -> ModelPredictions:
    """Logits [n, k] that know something of the target; the first images hold every class."""
    rng = np.random.default_rng(seed)
    target = np.concatenate([np.tile(np.arange(k), 6), rng.integers(0, k, n - 6 * k)])
    logits = rng.normal(size=(n, k)) + np.eye(k)[target]
    fold = np.arange(n) // k % folds if folds else None
    shown = np.round(2 * logits) / 2 if ties else logits
    return ModelPredictions(
        shown, target, 0.45, fold, grade_cutoff=k // 2, specificity_log_odds=np.tile([0.5, 1.0, 1.5], (n, 1))
    )


def panel(
    seed: int,
    distance: float = 1.2,
    seeds: int = 5,
    patients: int = 60,
    images: int = 1,
    seed_sd: float = 0.2,
    first_patient: int = 0,
    noise: int | None = None,
) -> SeedPredictions:
    """Binormal scores of some seeds for patients of alternating class. Equal `noise` gives equal patient effects."""
    rng = np.random.default_rng(seed)
    shared = np.random.default_rng(seed if noise is None else noise).normal(size=patients)
    patient = np.repeat(np.arange(patients), images)
    target = patient % 2
    separation = distance + seed_sd * rng.normal(size=(seeds, 1))
    score = separation * target + shared[patient] + rng.normal(size=(seeds, patients * images))
    return SeedPredictions(score[..., None] - distance / 2, target, patient + first_patient)
