"""Representations likened: against the published formulas, known truths, and what is undefined."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import pdist, squareform

from assay.plugin import Code, Reason
from assay.stats import cka_matrix, cka_vector, hsic, rbf_cka_vector, similarity
from assay.stats.similarity import undefined_reason


def cka(one: np.ndarray, other: np.ndarray) -> float:
    """Linear CKA of two representations."""
    return float(cka_matrix([one], [other])[0, 0])


def pair(n: int, d: int, e: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Two representations that share three directions, of uneven scale and with a mean."""
    draw = np.random.default_rng(seed)
    shared = draw.normal(size=(n, 3))
    x, y = (
        shared @ draw.normal(size=(3, width)) + draw.normal(size=(n, width)) * draw.uniform(0.1, 2, width) + 5
        for width in (d, e)
    )
    return x, y


def published_hsic(x: np.ndarray, y: np.ndarray) -> float:
    """Song et al. (2012), equation 5, as it stands: Gram matrices with their diagonals set to 0."""
    n, ones = len(x), np.ones(len(x))
    k, m = x @ x.T, y @ y.T
    np.fill_diagonal(k, 0.0)
    np.fill_diagonal(m, 0.0)
    ends = (ones @ k @ ones) * (ones @ m @ ones) / ((n - 1) * (n - 2))
    return float((np.trace(k @ m) + ends - 2 / (n - 2) * ones @ k @ m @ ones) / (n * (n - 3)))


def published_cka(x: np.ndarray, y: np.ndarray) -> float:
    return published_hsic(x, y) / math.sqrt(published_hsic(x, x) * published_hsic(y, y))


# --- equal to the published formulas --------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "d", "e"), [(200, 5, 8), (40, 60, 7), (30, 90, 120), (4, 3, 300), (5, 1, 1)])
def test_terms_and_alignment_equal_the_published_formula(n: int, d: int, e: int) -> None:
    x, y = pair(n, d, e)
    assert hsic(x, y) == pytest.approx(published_hsic(x - x.mean(0), y - y.mean(0)), rel=1e-9)
    assert cka(x, y) == pytest.approx(published_cka(x - x.mean(0), y - y.mean(0)), abs=1e-9)


def test_float32_activations_lose_nothing() -> None:
    x, y = (a.astype(np.float32) for a in pair(100, 20, 30))
    wide = [a.astype(np.float64) for a in (x, y)]
    assert cka(x, y) == pytest.approx(published_cka(*(a - a.mean(0) for a in wide)), abs=1e-9)


def test_a_matrix_holds_every_pair_whichever_way_it_is_gone_through(monkeypatch: pytest.MonkeyPatch) -> None:
    """Narrow layers go through covariances, wide ones through Gram matrices, here in blocks of three rows."""
    monkeypatch.setattr(similarity, "BLOCK_SIZE", 3 * 5 * 31)
    for widths in ((2, 3, 4, 1, 2), (200, 3, 90, 40, 500)):
        draw = np.random.default_rng(0)
        first = draw.normal(size=(31, 6))
        layers = [first @ draw.normal(size=(6, width)) + draw.normal(size=(31, width)) for width in widths]
        matrix = cka_matrix(layers[:3], layers[3:])
        expected = [[published_cka(x - x.mean(0), y - y.mean(0)) for y in layers[3:]] for x in layers[:3]]
        np.testing.assert_allclose(matrix, expected, atol=1e-9)


# --- known truths ---------------------------------------------------------------------------------------------------


@settings(max_examples=10, deadline=None)
@given(n=st.integers(15, 40), d=st.integers(2, 60), seed=st.integers(0, 10_000))
def test_a_shifted_rotated_and_scaled_copy_is_the_same(n: int, d: int, seed: int) -> None:
    x, y = pair(n, d, 7, seed)
    draw = np.random.default_rng(seed)
    rotation = np.linalg.qr(draw.normal(size=(d, d)))[0]
    copy = 3.7 * x @ rotation + draw.normal(size=d)
    assert cka(x, copy) == pytest.approx(1, abs=1e-9)
    assert cka(copy, y) == pytest.approx(cka(x, y), abs=1e-9)
    assert cka(x, y) == pytest.approx(cka(y, x), abs=1e-9)
    order = draw.permutation(n)
    assert cka(x[order], y[order]) == pytest.approx(cka(x, y), abs=1e-9)


def test_terms_are_without_bias_on_small_samples() -> None:
    """Six images, more units than images: the mean of many estimates is the sum of squared covariances, which the
    biased form misses by far; of what is independent it is 0, and near half of the estimates are negative.
    """
    draw = np.random.default_rng(0)
    mixing = draw.normal(size=(2, 9)), draw.normal(size=(2, 8))
    truth = float(((mixing[0].T @ mixing[1]) ** 2).sum())
    tied, apart, biased = [], [], []
    for _ in range(1500):
        shared = draw.normal(size=(6, 2))
        x, y = (shared @ m + draw.normal(size=(6, m.shape[1])) for m in mixing)
        tied.append(hsic(x, y))
        apart.append(hsic(x, draw.normal(size=(6, 8))))
        center = x - x.mean(0), y - y.mean(0)
        biased.append(((center[0].T @ center[1]) ** 2).sum() / 25)
    assert abs(np.mean(tied) - truth) < 4 * np.std(tied) / math.sqrt(1500)
    assert abs(np.mean(apart)) < 4 * np.std(apart) / math.sqrt(1500)
    assert np.mean(biased) - truth > 20 * np.std(biased) / math.sqrt(1500)
    assert 0.3 < np.mean(np.array(apart) < 0) < 0.7


def test_independent_layers_of_more_units_than_images_are_not_alike() -> None:
    """Negative values are kept: over many pairs the mean is 0. The biased form would say about 0.9."""
    draw = np.random.default_rng(1)
    found = [cka(draw.normal(size=(20, 300)), draw.normal(size=(20, 300))) for _ in range(200)]
    assert abs(np.mean(found)) < 4 * np.std(found) / math.sqrt(200)
    assert min(found) < 0 < max(found)


# --- what is undefined ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("features", "reason"),
    [
        (np.full((30, 5), 0.1, np.float32), Reason.of(Code.CONSTANT_LAYER)),
        (np.random.default_rng(0).normal(size=(3, 5)), Reason.of(Code.FEW_IMAGES, images=3, least=4)),
        (np.eye(30), Reason.of(Code.EQUAL_DISTANCES)),
        (np.where(np.eye(30) > 0, np.nan, 0.5), Reason.of(Code.NOT_FINITE_ACTIVATIONS)),
        (np.where(np.eye(30) > 0, np.inf, 0.5), Reason.of(Code.NOT_FINITE_ACTIVATIONS)),
    ],
    ids=["collapsed", "few", "equidistant", "nan", "infinite"],
)
def test_says_why_it_is_undefined(features: np.ndarray, reason: Reason) -> None:
    other = np.random.default_rng(1).normal(size=(len(features), 4))
    assert undefined_reason(features) == reason
    assert math.isnan(cka(features, other))
    assert math.isnan(cka(other, features))


def test_dead_and_constant_units_change_nothing() -> None:
    x, y = pair(40, 5, 6)
    dead = np.concatenate([x, np.zeros((40, 3)), np.full((40, 2), 1e6)], axis=1)
    assert undefined_reason(dead) == Reason()
    assert cka(dead, y) == pytest.approx(cka(x, y), abs=1e-9)


def test_one_undefined_layer_leaves_the_others() -> None:
    x, y = pair(20, 5, 6)
    found = cka_matrix([x, np.ones((20, 3))], [y, x])
    assert np.isnan(found[1]).all()
    np.testing.assert_allclose(found[0], [cka(x, y), 1.0])


def test_other_images_are_refused() -> None:
    with pytest.raises(ValueError, match="representations of 4 and 5 images: give rows of the same images"):
        cka(np.zeros((4, 2)), np.zeros((5, 2)))


# --- vectors for many pairs ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "d", "e"), [(60, 5, 8), (30, 90, 120), (4, 3, 30), (200, 1, 3)])
def test_the_inner_product_of_vectors_is_the_likeness(n: int, d: int, e: int) -> None:
    """Centering without bias is another road to the HSIC of Song et al. than the sums of `cka_matrix`."""
    x, y = pair(n, d, e)
    assert cka_vector(x) @ cka_vector(y) == pytest.approx(cka(x, y), abs=1e-9)
    assert cka_vector(x) @ cka_vector(x) == pytest.approx(1)


def song(k: np.ndarray, m: np.ndarray) -> float:
    """HSIC_1, Song et al. 2012, equation 5, of two kernel matrices."""
    n, one = len(k), np.ones(len(k))
    k, m = k - np.diag(np.diag(k)), m - np.diag(np.diag(m))
    sums = (one @ k @ one) * (one @ m @ one) / ((n - 1) * (n - 2)) - 2 / (n - 2) * (one @ k @ m @ one)
    return float((np.trace(k @ m) + sums) / (n * (n - 3)))


def gaussian(x: np.ndarray) -> np.ndarray:
    squared = pdist(x, "sqeuclidean")
    return np.exp(-squareform(squared) / (2 * np.median(squared)))


@pytest.mark.parametrize(("n", "d", "e"), [(60, 5, 8), (30, 90, 120), (5, 3, 30)])
def test_the_inner_product_of_rbf_vectors_is_the_alignment_of_gaussian_kernels(n: int, d: int, e: int) -> None:
    x, y = pair(n, d, e)
    k, m = gaussian(x), gaussian(y)
    expected = song(k, m) / math.sqrt(song(k, k) * song(m, m))
    assert rbf_cka_vector(x) @ rbf_cka_vector(y) == pytest.approx(expected, abs=1e-9)
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(d, d)))[0]
    assert rbf_cka_vector(x) @ rbf_cka_vector(3 * x @ turn + 1) == pytest.approx(1)


def test_rbf_cka_is_undefined_where_most_images_coincide() -> None:
    x = np.zeros((20, 2))
    x[:4] = np.random.default_rng(0).normal(size=(4, 2))
    assert np.isnan(rbf_cka_vector(x)).all()


@pytest.mark.parametrize("vector", [cka_vector, rbf_cka_vector])
def test_a_vector_of_what_cannot_be_likened_is_not_a_number(vector: Callable[[np.ndarray], np.ndarray]) -> None:
    for features in (np.ones((20, 3)), np.random.default_rng(0).normal(size=(3, 2)), np.zeros((0, 2))):
        assert np.isnan(vector(features)).all()
