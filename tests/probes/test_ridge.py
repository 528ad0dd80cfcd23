from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge

from assay.stats.ridge import cross_validated_predictions

PENALTIES = 10.0 ** np.arange(-3.0, 3.5, 0.5)


def problem(n: int, d: int, seed: int = 0, c: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    features = draw.normal(size=(n, d)) * draw.uniform(0.1, 10, d) + draw.normal(size=d)
    wanted = features[:, : min(3, d)] @ draw.normal(size=(min(3, d), c)) + draw.normal(size=(n, c))
    return features, wanted, np.arange(n) % 4


@pytest.mark.parametrize(("n", "d"), [(80, 5), (40, 60), (20, 300)])
def test_is_the_best_of_sklearns_ridges_by_generalized_cross_validation(n: int, d: int) -> None:
    """Each fold by hand: standardize, fit a ridge per penalty, form its hat matrix, keep the least GCV."""
    features, wanted, fold = problem(n, d)
    ours = cross_validated_predictions(features, wanted, fold)
    for number in range(4):
        fit, test = fold != number, fold == number
        z = (features - features[fit].mean(0)) / features[fit].std(0)
        level = wanted[fit].mean(0)
        gram = z[fit].T @ z[fit]
        scale = np.trace(gram) / min(z[fit].shape)
        for column in range(wanted.shape[1]):
            y = wanted[fit, column] - level[column]
            scores = []
            for penalty in scale * PENALTIES:
                hat = z[fit] @ np.linalg.solve(gram + penalty * np.eye(d), z[fit].T)
                residual = y - hat @ y
                scores.append(residual @ residual / (len(y) - 1 - np.trace(hat)) ** 2)
            best = scale * PENALTIES[int(np.argmin(scores))]
            model = Ridge(alpha=best).fit(z[fit], wanted[fit, column])
            np.testing.assert_allclose(ours[test, column], model.predict(z[test]), rtol=1e-5, atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(1e-3, 1e3), st.floats(-100, 100))
def test_scale_and_offset_of_features_are_of_no_account(seed: int, scale: float, offset: float) -> None:
    features, wanted, fold = problem(40, 6, seed)
    np.testing.assert_allclose(
        cross_validated_predictions((features + offset) * scale, wanted, fold),
        cross_validated_predictions(features, wanted, fold),
        atol=1e-5,
    )


def test_order_of_rows_and_of_features_and_other_columns_are_of_no_account() -> None:
    features, wanted, fold = problem(60, 8)
    order = np.random.default_rng(1).permutation(60)
    straight = cross_validated_predictions(features, wanted, fold)
    np.testing.assert_allclose(
        cross_validated_predictions(features[order], wanted[order], fold[order]), straight[order], atol=1e-9
    )
    np.testing.assert_allclose(cross_validated_predictions(features[:, ::-1], wanted, fold), straight, atol=1e-9)
    np.testing.assert_allclose(cross_validated_predictions(features, wanted[:, 1:2], fold), straight[:, 1:2], atol=1e-9)


def test_a_row_never_sees_its_own_fold() -> None:
    features, wanted, fold = problem(40, 6)
    changed = wanted.copy()
    changed[fold == 2] = 1e6
    np.testing.assert_array_equal(
        cross_validated_predictions(features, wanted, fold)[fold == 2],
        cross_validated_predictions(features, changed, fold)[fold == 2],
    )


def test_noise_free_linear_answers_are_found_and_constant_features_ignored() -> None:
    features, _, fold = problem(200, 4)
    wanted = features @ np.array([[1.0], [-2.0], [0.5], [0.0]])
    padded = np.concatenate([features, np.full((200, 2), 3e7)], axis=1).astype(np.float32)
    found = cross_validated_predictions(padded, wanted, fold)
    assert np.corrcoef(found[:, 0], wanted[:, 0])[0, 1] > 0.9999


def test_nothing_to_learn_from_gives_the_mean() -> None:
    wanted = np.arange(8.0)[:, None]
    fold = np.arange(8) % 2
    np.testing.assert_array_equal(
        cross_validated_predictions(np.ones((8, 3)), wanted, fold)[fold == 0], np.full((4, 1), 4.0)
    )
    np.testing.assert_array_equal(
        cross_validated_predictions(np.ones((8, 3)), wanted, np.zeros(8, int)), np.zeros((8, 1))
    )
