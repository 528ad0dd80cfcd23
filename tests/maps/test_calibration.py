"""Bins of the pixels' probabilities, apart for boundary, lesion and background."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from scipy.special import expit
from tests.worlds.maps import PAIRS, summary, world

from assay.plugin import MapGrid

REGIONS = ("boundary", "lesion", "background")


def regions_by_distance(lesion: np.ndarray, boundary: float) -> np.ndarray:
    """0 boundary, 1 lesion, 2 background, by SciPy's exact distance to the nearest pixel of the other kind."""
    if lesion.all() or not lesion.any():
        return np.where(lesion, 1, 2)
    away = np.where(lesion, ndimage.distance_transform_edt(lesion), ndimage.distance_transform_edt(~lesion))
    return np.where(away <= boundary, 0, np.where(lesion, 1, 2))


@pytest.mark.parametrize("boundary", [0.0, 1.0, 1.5, 3.0])
@pytest.mark.parametrize(("logits", "labels"), PAIRS)
def test_bins_are_those_of_numpy(logits: str, labels: str, boundary: float) -> None:
    drawn, kinds = world(logits, labels)
    columns = summary(drawn, kinds, grid=MapGrid(boundary=boundary))
    probability = expit(drawn.astype(np.float64))
    regions = regions_by_distance(kinds > 0, boundary)
    for region in range(len(REGIONS)):
        here = regions == region
        for name, weights in (
            ("bin_count", None),
            ("bin_claimed", probability[here]),
            ("bin_came", 1.0 * (kinds[here] > 0)),
        ):
            expected, _ = np.histogram(probability[here], 15, (0, 1), weights=weights)
            np.testing.assert_allclose(columns[name][0, region], expected, rtol=1e-9, atol=1e-12)


def test_a_straight_edge_by_hand() -> None:
    """Twelve columns, lesion from the seventh on: three columns of boundary on either side of the edge."""
    lesion = np.repeat((np.arange(12) >= 6)[None], 5, axis=0)
    columns = summary(np.where(lesion, 30.0, 0.0), lesion.astype(np.uint8))
    assert columns["bin_count"][0].sum(axis=1).tolist() == [30, 15, 15]
    assert columns["bin_came"][0].sum(axis=1).tolist() == [15, 15, 0]
    assert np.flatnonzero(columns["bin_count"][0, 2]).tolist() == [7]  # p = 0.5 lies in 7/15 .. 8/15
    assert np.flatnonzero(columns["bin_count"][0, 1]).tolist() == [14]  # p = 1 in the last
    assert columns["bin_claimed"][0, 2, 7] == 7.5


def test_the_frame_is_no_boundary() -> None:
    columns = summary(np.zeros((4, 7)), np.ones((4, 7), np.uint8))
    assert columns["bin_count"][0].sum(axis=1).tolist() == [0, 28, 0]
