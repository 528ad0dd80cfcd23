"""The shape of a representation: known truths, other implementations, and what is undefined."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import kurtosis as scipy_kurtosis
from sklearn.decomposition import PCA

from assay.plugin import Code, Reason
from assay.probes import representation
from assay.probes.representation import separation
from assay.report.sentences.reasons import reason_words


def gaussian(n: int, d: int, rank: int, seed: int = 0) -> np.ndarray:
    """`rank` directions that vary alike among d units, with a mean."""
    draw = np.random.default_rng(seed)
    directions = np.linalg.qr(draw.normal(size=(d, rank)))[0]
    return draw.normal(size=(n, rank)) @ directions.T + 3


def sphere(n: int, dimension: int, d: int, seed: int = 0) -> np.ndarray:
    """Points on a sphere of that dimension, turned into d units."""
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(n, dimension + 1))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return x @ np.linalg.qr(draw.normal(size=(d, dimension + 1)))[0].T + 1


# --- the spectrum ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "d"), [(100, 8), (20, 50)])
def test_eigenvalues_equal_scikit_learns(n: int, d: int) -> None:
    features = np.random.default_rng(0).normal(size=(n, d)) * np.linspace(0.1, 3, d)
    values = representation.eigenvalues(features)
    expected = PCA(svd_solver="full").fit(features).explained_variance_
    kept = min(n - 1, d)
    np.testing.assert_allclose(values[:kept], expected[:kept], rtol=1e-9)
    assert len(values) == d
    assert not values[kept:].any()


def test_a_gaussian_of_rank_k_has_k_dimensions() -> None:
    features = gaussian(2000, 40, 5)
    values = representation.eigenvalues(features)
    assert np.count_nonzero(values) == 5
    assert representation.effective_rank(values) == pytest.approx(5, rel=0.01)
    assert representation.participation_ratio(features) == pytest.approx(5, rel=0.02)
    assert representation.components_for_share(values) == 5
    assert representation.rankme(features - features.mean(0)) == pytest.approx(5, rel=0.01)


def test_summaries_of_a_spectrum_by_hand() -> None:
    values = np.array([9.0, 4.0, 1.0])
    shares = np.array([3, 2, 1]) / 6
    assert representation.effective_rank(values) == pytest.approx(math.prod(float(p**-p) for p in shares))
    assert representation.condition_number(values).value == 9
    assert representation.percentile_condition_number(values).value == pytest.approx((4 + 0.8 * 5) / (1 + 0.2 * 3))
    assert representation.components_for_share(np.array([6.0, 3.0, 1.0])) == 2
    assert representation.components_for_share(np.array([5.0, 3.0, 1.0, 1.0])) == 3


def test_rankme_equals_its_definition() -> None:
    features = np.random.default_rng(0).normal(size=(30, 50)) + 2
    shares = np.linalg.svd(features, compute_uv=False)
    shares = shares / shares.sum() + 1e-7
    assert representation.rankme(features) == pytest.approx(np.exp(-(shares * np.log(shares)).sum()), rel=1e-9)


def test_the_participation_ratio_is_right_with_fewer_images_than_dimensions() -> None:
    """100 dimensions, 40 images: the plain ratio cannot pass 39."""
    found = [representation.participation_ratio(gaussian(40, 300, 100, seed)) for seed in range(60)]
    assert abs(np.mean(found) - 100) < 4 * np.std(found) / math.sqrt(60) + 2  # a ratio of unbiased terms: 2% off
    values = representation.eigenvalues(gaussian(40, 300, 100))
    assert values.sum() ** 2 / (values**2).sum() < 32


def test_kurtosis_equals_scipys_and_knows_normal_and_sparse_units() -> None:
    draw = np.random.default_rng(0)
    features = draw.gamma(1.0, size=(50, 6)) * np.arange(1, 7)
    assert representation.kurtosis(features) == pytest.approx(scipy_kurtosis(features, bias=False).mean(), rel=1e-9)
    assert abs(representation.kurtosis(draw.normal(size=(2000, 50)))) < 0.1
    assert representation.kurtosis((draw.random((2000, 20)) < 0.01).astype(np.float64)) > 50


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_scale_and_rotation_change_no_summary(scale: float) -> None:
    features = np.random.default_rng(0).normal(size=(80, 12)) * np.linspace(0.3, 2, 12) + 1
    turned = scale * features @ np.linalg.qr(np.random.default_rng(1).normal(size=(12, 12)))[0]
    one, other = representation.eigenvalues(features), representation.eigenvalues(turned)
    assert representation.effective_rank(one) == pytest.approx(representation.effective_rank(other), rel=1e-9)
    assert representation.condition_number(one).value == pytest.approx(
        representation.condition_number(other).value, rel=1e-9
    )
    assert representation.percentile_condition_number(one).value == pytest.approx(
        representation.percentile_condition_number(other).value
    )
    assert representation.participation_ratio(features) == pytest.approx(
        representation.participation_ratio(turned), rel=1e-9
    )
    assert representation.rankme(features) == pytest.approx(representation.rankme(turned), rel=1e-9)
    pair = representation.intrinsic_dimension(features), representation.intrinsic_dimension(turned)
    assert pair[0].value == pytest.approx(pair[1].value, rel=1e-9)


# --- the intrinsic dimension ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dimension", [1, 2, 4])
def test_a_sphere_of_known_dimension(dimension: int) -> None:
    found = representation.intrinsic_dimension(sphere(800, dimension, 30))
    assert abs(found.value - dimension) < 4 * found.error
    assert found.error < 0.05 * dimension
    assert found.n == 800


def test_images_of_one_activation_count_once() -> None:
    once = sphere(300, 2, 10)
    twice = np.concatenate([once, once])
    assert representation.intrinsic_dimension(twice) == representation.intrinsic_dimension(once)


# --- what is undefined ----------------------------------------------------------------------------------------------


def test_a_collapsed_layer_has_no_shape() -> None:
    """rankme, which does not center, counts the one direction in which all images lie."""
    collapsed = np.full((50, 6), 0.3, np.float32)
    values = representation.eigenvalues(collapsed)
    assert not values.any()
    assert math.isnan(representation.effective_rank(values))
    assert math.isnan(representation.participation_ratio(collapsed))
    assert math.isnan(representation.kurtosis(collapsed))
    assert representation.components_for_share(values) == 0
    assert representation.rankme(collapsed) == pytest.approx(1, abs=1e-4)
    assert math.isnan(representation.rankme(np.zeros((50, 6))))
    assert (
        reason_words(representation.intrinsic_dimension(collapsed).reason)
        == "1 distinct images, at least 20 are needed"
    )


def test_ratios_to_nothing_are_undefined() -> None:
    few = representation.eigenvalues(np.random.default_rng(0).normal(size=(20, 30)))
    assert (
        reason_words(representation.condition_number(few).reason)
        == "the least eigenvalue is 0: 19 of 30 directions vary"
    )
    assert (
        reason_words(representation.percentile_condition_number(few).reason)
        == "the 10th percentile of the eigenvalues is 0: 19 of 30 directions vary"
    )
    one_dead = representation.eigenvalues(np.random.default_rng(0).normal(size=(200, 30)) * (np.arange(30) > 0))
    assert math.isnan(representation.condition_number(one_dead).value)
    assert 1 < representation.percentile_condition_number(one_dead).value < 10


def test_no_dimension_where_all_lie_equally_far_apart() -> None:
    assert representation.intrinsic_dimension(np.eye(30)).reason == Reason.of(Code.EQUAL_DISTANCES)


# --- separation -----------------------------------------------------------------------------------------------------


def test_separation_is_the_share_of_variance_between_groups() -> None:
    """Two groups d apart in one of 20 units of variance 1: (d^2 / 4) / (20 + d^2 / 4)."""
    draw = np.random.default_rng(0)
    group = np.arange(4000) % 2
    features = draw.normal(size=(4000, 20))
    features[:, 3] += 6 * group
    found = separation(features, group, np.arange(4000))
    assert abs(found.value - 9 / 29) < 4 * found.error
    turned = -2 * features @ np.linalg.qr(draw.normal(size=(20, 20)))[0] + 1
    assert separation(turned, group, np.arange(4000)).value == pytest.approx(found.value, rel=1e-9)


def test_separation_of_nothing_is_nought_and_its_error_is_right() -> None:
    """Five images a group, two of each patient: the mean is 0 and the spread what the errors say."""
    draw = np.random.default_rng(0)
    found = [separation(draw.normal(size=(40, 3)), np.arange(40) % 4, np.arange(40)) for _ in range(400)]
    values = np.array([one.value for one in found])
    assert abs(values.mean()) < 4 * values.std() / 20
    assert min(values) < 0

    tied = []
    for _ in range(300):
        patient = np.arange(120) // 2
        group = patient % 2
        features = draw.normal(size=(120, 3)) + draw.normal(size=(60, 3))[patient] + 1.5 * group[:, None]
        tied.append(separation(features, group, patient))
    spread = np.std([one.value for one in tied])
    assert 0.85 < np.mean([one.error for one in tied]) / spread < 1.15


def test_separation_leaves_out_what_has_no_group() -> None:
    draw = np.random.default_rng(0)
    features, group, patient = draw.normal(size=(50, 4)), np.arange(50) % 3, np.arange(50)
    more = np.concatenate([features, draw.normal(size=(6, 4))])
    with_others = separation(more, np.r_[group, [-1] * 5, 7], np.arange(56))
    assert with_others == separation(features, group, patient)
    assert separation(features, np.zeros(50, dtype=np.int64), patient).reason == Reason.of(Code.FEW_GROUPS)
    assert separation(np.ones((50, 4)), group, patient).reason == Reason.of(Code.CONSTANT_LAYER)
