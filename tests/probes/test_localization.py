"""Scores of heat-maps against other ways to get them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from assay.probes.lesion_maps import localization


def drawn(levels: int, seed: int = 0, n: int = 5, height: int = 6, width: int = 9) -> tuple[np.ndarray, np.ndarray]:
    """Maps of so many distinct values, some of them negative, and masks of which none is empty or whole."""
    rng = np.random.default_rng(seed)
    maps = (rng.integers(0, levels, (n, height, width)) - levels // 2).astype(np.float32)
    masks = rng.random((n, height, width)) < 0.3
    masks[:, 0, 0], masks[:, 1, 1] = True, False
    return maps, masks


@settings(max_examples=20)
@given(levels=st.sampled_from([1, 2, 5, 1000]), seed=st.integers(0, 50))
def test_precision_and_mass_are_those_of_one_image_at_a_time(levels: int, seed: int) -> None:
    maps, masks = drawn(levels, seed)
    found = localization(maps, masks)
    for i, (one, mask) in enumerate(zip(np.abs(maps), masks, strict=True)):
        assert found.precision[i] == pytest.approx(
            float(reference.average_precision_score(mask.ravel(), one.ravel())), abs=1e-12
        )
        share = one[mask].sum() / one.sum() if one.any() else mask.mean()
        assert found.mass[i] == pytest.approx(share, abs=1e-6)
        assert found.area[i] == mask.mean()


@settings(max_examples=20)
@given(levels=st.sampled_from([1, 2, 3, 100]), seed=st.integers(0, 50))
def test_where_values_tie_every_order_counts_alike(levels: int, seed: int) -> None:
    """Rank accuracy and pointing over all orders of six pixels that agree with the values."""
    maps, masks = drawn(levels, seed, n=1, height=2, width=3)
    found = localization(maps, masks)
    size, mask = np.abs(maps[0]).ravel(), masks[0].ravel()
    orders = [list(order) for order in itertools.permutations(range(6)) if np.all(np.diff(size[list(order)]) <= 0)]
    ranks = [mask[order[: mask.sum()]].mean() for order in orders]
    assert found.rank[0] == pytest.approx(np.mean(ranks))
    assert found.pointing[0] == pytest.approx(np.mean([mask[order[0]] for order in orders]))


@pytest.mark.parametrize("value", [0.0, 3.0])
def test_a_map_that_is_the_same_everywhere_scores_the_lesions_share_of_the_image(value: float) -> None:
    _, masks = drawn(2)
    found = localization(np.full(masks.shape, value, np.float32), masks)
    for scores in found:
        np.testing.assert_allclose(scores, masks.mean(axis=(1, 2)))


def test_noise_scores_the_lesions_share_in_the_mean() -> None:
    """3,000 maps of noise on one mask of 100 of 400 pixels: within four standard errors of 0.25."""
    maps = np.random.default_rng(1).random((3000, 20, 20), dtype=np.float32)
    masks = np.zeros(maps.shape, dtype=bool)
    masks[:, :10, :10] = True
    for scores in localization(maps, masks)[:3]:
        assert abs(scores.mean() - 0.25) < 4 * scores.std() / np.sqrt(3000)


def test_all_of_it_in_the_mask_is_one_and_nothing_of_it_is_nothing() -> None:
    _, masks = drawn(2)
    for scores in localization(masks.astype(np.float32), masks)[:4]:
        np.testing.assert_array_equal(scores, 1)
    beside = localization((~masks).astype(np.float32), masks)
    np.testing.assert_array_equal(beside.mass, 0)
    np.testing.assert_array_equal(beside.pointing, 0)


def test_sign_and_scale_are_of_no_account() -> None:
    maps, masks = drawn(1000)
    for one, other in zip(localization(maps, masks), localization(-0.25 * maps, masks), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


def test_what_is_ignored_might_as_well_be_cut_off() -> None:
    maps, masks = drawn(4)
    ignored = np.zeros(maps.shape, dtype=bool)
    ignored[:, :, 5:] = True
    found, cut = localization(maps, masks & ~ignored, ignored), localization(maps[:, :, :5], masks[:, :, :5])
    for one, other in zip(found, cut, strict=True):
        np.testing.assert_allclose(one, other)


def test_what_has_no_score_is_nan() -> None:
    maps, masks = drawn(5, n=3)
    maps[0, 2, 2] = np.nan
    masks[1], masks[2] = False, True
    for scores in localization(maps, masks)[:4]:
        assert np.isnan(scores).all()
    assert all(len(scores) == 0 for scores in localization(maps[:0], masks[:0]))
