"""Bounds of an audit cover with few patients of many images. Simulations, run by `make thorough`."""

# pyright: basic

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import ndtr

from assay.audit.scored import ScoredImages
from assay.audit.search.exchange import mean_effect
from assay.audit.search.sample import SearchSample
from assay.audit.subgroups import column_tables
from assay.plugin import Factor, FactorTable

pytestmark = pytest.mark.thorough
GAP, SHIFT, VARIED, PATIENTS, DRAWS = 1.5, 0.3, 0.3, 100, 300
"""Distance of the classes, what a mark adds and its standard deviation between patients, and between their images."""
SIZES = "one has half", "1 to 80"
"""Numbers of images of patients: about 4 and 15 effective ones of the smaller class."""


def drawn(kind: str, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return patient, target, and the scores without and with a mark; half of all variance is of patients."""
    draws = np.random.default_rng(seed)
    images = np.clip(np.exp(draws.normal(1, 1.2, PATIENTS)).astype(int) + 1, 1, 80)
    if kind == "one has half":
        images = draws.integers(1, 4, PATIENTS)
        images[0] = images[1:].sum()
    patient = np.repeat(np.arange(PATIENTS), images)
    target = (draws.random(PATIENTS) < 0.4).astype(int)[patient]
    if kind == "one has half":
        target[patient == 0] = draws.random(images[0]) < 0.4

    def of_patients() -> np.ndarray:
        return draws.normal(size=(2, PATIENTS))[target, patient]

    before = GAP * (target - 0.5) + math.sqrt(0.5) * (of_patients() + draws.normal(size=len(patient)))
    return patient, target, before, before + SHIFT + VARIED * (of_patients() + draws.normal(size=len(patient)))


@pytest.mark.parametrize("kind", SIZES)
def test_bounds_cover(kind: str) -> None:
    large = np.random.default_rng(0)
    pair = GAP * 0.5 * np.array([[1], [-1]]) + large.normal(size=(2, 400_000))
    marked = pair + SHIFT + VARIED * math.sqrt(2) * large.normal(size=pair.shape)
    flips = ((pair > 0) != (marked > 0)).mean(axis=1)
    spread = math.sqrt(2 + 2 * VARIED**2)
    truths = {
        "auroc": float(ndtr(GAP / math.sqrt(2))),
        "flips": float(0.4 * flips[0] + 0.6 * flips[1]),
        "region": SHIFT,
        "g": float(ndtr((GAP + SHIFT) / spread) - ndtr((GAP - SHIFT) / spread)) / 2,
    }
    missed: dict[str, list[tuple[bool, bool]]] = {}
    gaps: list[bool] = []
    for seed in range(DRAWS):
        patient, target, before, after = drawn(kind, seed)
        sex = np.random.default_rng(seed).integers(0, 2, PATIENTS)[patient]
        factor = Factor("sex", "categorical", levels=("f", "m"))
        table = FactorTable(np.arange(len(target)), target, patient, ("no", "yes"), (factor,), {"sex": sex})
        scored, marked_scores = (
            ScoredImages(table, np.stack([np.zeros(len(target)), scores], axis=1), 0.5) for scores in (before, after)
        )
        effect, performance = scored.effect(marked_scores, ""), scored.performance
        assert performance is not None
        images = np.zeros((len(target), 1, 1, 1), dtype=np.float32)
        sample = SearchSample(images, target, patient, before[:, None])
        found = {
            "auroc": performance[1],
            "flips": effect.flips,
            "region": mean_effect((after - before) / sample.sd_within_classes, sample),
            "g": effect.largest.g,
        }
        for name, bounded in found.items():
            assert bounded is not None
            missed.setdefault(name, []).append((truths[name] < bounded.low, truths[name] > bounded.high))
        rows = column_tables(scored, 0.05)[2]
        gaps.append(any(row["low"] > 0 or row["high"] < 0 for row in rows))
    sides = {name: np.mean(values, axis=0) for name, values in missed.items()}
    assert {name: values.round(3).tolist() for name, values in sides.items() if values.max() > 0.14} == {}
    assert np.mean(gaps) <= 0.08
