"""Nearest rows are those of scikit-learn; planted copies are near copies, and rows without copies are not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler

from assay.stats.neighbors import is_near_copy, nearest_rows

Draw = Callable[[np.random.Generator, int], np.ndarray]
MIX = np.random.default_rng(99).normal(size=(8, 64))
SETS: dict[str, Draw] = {
    "normal in 2": lambda draw, n: draw.normal(size=(n, 2)),
    "normal in 64": lambda draw, n: draw.normal(size=(n, 64)),
    "few latent factors": lambda draw, n: np.maximum(0, draw.normal(size=(n, 8)) @ MIX),
    "five sites": lambda draw, n: draw.normal(size=(n, 32)) + (3 * draw.normal(size=(5, 32)))[np.arange(n) % 5],
    "heavy tails": lambda draw, n: draw.standard_t(4, size=(n, 32)),
}


def test_nearest_rows_of_other_patients_agree_with_scikit_learn() -> None:
    draw = np.random.default_rng(0)
    features, patient = draw.normal(size=(300, 12)) * draw.uniform(0.1, 100, 12) + 7, np.arange(300) // 3
    distances, positions = nearest_rows(features, patient)
    plain = StandardScaler().fit_transform(features)
    for at in range(0, 300, 17):
        others = np.flatnonzero(patient != patient[at])
        far, near = NearestNeighbors(n_neighbors=10).fit(plain[others]).kneighbors(plain[[at]])
        np.testing.assert_allclose(distances[at], far[0], rtol=1e-9)
        assert positions[at].tolist() == others[near[0]].tolist()


@pytest.mark.parametrize("name", SETS)
def test_sets_without_copies_have_hardly_any(name: str) -> None:
    """Expected are 0.01 rows a set; over 30 sets of three sizes 2 sets with a row would be many."""
    wrong = 0
    for seed in range(30):
        n = (60, 200, 600)[seed % 3]
        distances, _ = nearest_rows(SETS[name](np.random.default_rng(seed), n), np.arange(n))
        wrong += is_near_copy(distances).any()
    assert wrong <= 2


@pytest.mark.parametrize("share", [0.02, 0.3, 1.0])
def test_planted_copies_are_found_however_many_there_are(share: float) -> None:
    draw, n = np.random.default_rng(1), 400
    features = draw.normal(size=(n, 8)) @ MIX + 0.1 * draw.normal(size=(n, 64))
    copies = int(share * n / 2)
    features[:copies] = features[n // 2 : n // 2 + copies] + 0.01 * draw.normal(size=(copies, 64))
    found = is_near_copy(nearest_rows(features, np.arange(n))[0])
    planted = np.zeros(n, dtype=bool)
    planted[:copies] = planted[n // 2 : n // 2 + copies] = True
    assert found[planted].mean() > 0.95
    assert not found[~planted].any()


def test_equal_rows_are_copies_and_those_of_a_patient_are_not_compared() -> None:
    features = np.random.default_rng(2).normal(size=(90, 5))
    features[1::3] = features[::3]
    assert not is_near_copy(nearest_rows(features, np.arange(90) // 3)[0]).any()
    found = is_near_copy(nearest_rows(features, np.arange(90))[0])
    assert found.reshape(-1, 3).all(axis=0).tolist() == [True, True, False]
    assert not found[2::3].any()
