"""Score and area of every true lesion."""

from __future__ import annotations

import numpy as np
import pytest
from skimage import measure
from tests.worlds.maps import MAPS, PAIRS, summary, world

from assay.plugin import MapGrid


@pytest.mark.parametrize(("logits", "labels"), PAIRS)
def test_every_lesion_is_that_of_scikit_image(logits: str, labels: str) -> None:
    drawn, kinds = world(logits, labels)
    columns = summary(drawn, kinds)
    regions = measure.regionprops(measure.label(kinds > 0, connectivity=2))
    width = max(len(regions), 1)
    assert columns["lesion_score"].shape == columns["lesion_area"].shape == (1, width)
    areas = sorted(int(region.area) for region in regions)
    assert sorted(columns["lesion_area"][0].tolist()) == (areas or [0])
    medians = sorted(
        max(value for value in np.unique(drawn) if 2 * (drawn[tuple(region.coords.T)] >= value).sum() >= region.area)
        for region in regions
    )
    np.testing.assert_array_equal(np.sort(columns["lesion_score"][0]), medians or [np.nan])


@pytest.mark.parametrize("logits", MAPS)
@pytest.mark.parametrize("covered", [0.01, 0.1, 0.3, 0.5, 0.9, 1.0])
def test_a_lesion_is_found_up_to_its_score_and_not_above(logits: str, covered: float) -> None:
    drawn, kinds = world(logits, "corner")
    kinds[2:12, 3:6] = 1  # 30 pixels, of which 30 x 0.1 and 30 x 0.3 are whole numbers that floats miss
    columns = summary(drawn, kinds, grid=MapGrid(covered=covered))
    inside, score = drawn[2:12, 3:6], columns["lesion_score"][0, 0]
    assert columns["lesion_area"][0].tolist() == [30, 1]
    needed = {0.01: 1, 0.1: 3, 0.3: 9, 0.5: 15, 0.9: 27, 1.0: 30}[covered]
    assert (inside >= score).sum() >= needed
    assert (inside > score).sum() < needed
    assert columns["lesion_score"][0, 1] == drawn[-1, -1]


def test_a_lesion_of_several_kinds_is_one_and_corners_join() -> None:
    labels = np.array([[1, 2, 0, 0, 0], [0, 0, 3, 0, 0], [0, 0, 0, 0, 1]], np.uint8)
    drawn = np.arange(15.0).reshape(3, 5)
    columns = summary(drawn, labels)
    assert columns["lesion_area"].tolist() == [[3, 1]]
    assert columns["lesion_score"].tolist() == [[1, 14]]  # of 0, 1 and 7 two must be predicted


def test_lesions_do_not_reach_from_one_image_to_the_next() -> None:
    labels = np.ones((2, 3, 4), np.uint8)
    labels[1, :, :2] = 0
    columns = summary(np.zeros((2, 3, 4)), labels)
    assert columns["lesion_area"].tolist() == [[12], [6]]


def test_images_with_fewer_lesions_are_padded() -> None:
    labels = np.zeros((3, 1, 7), np.uint8)
    labels[0, 0, [0, 2, 4]], labels[2, 0, 6] = 1, 1
    columns = summary(np.tile(np.arange(7.0), (3, 1, 1)), labels)
    np.testing.assert_array_equal(columns["lesion_score"], [[0, 2, 4], [np.nan] * 3, [6, np.nan, np.nan]])
    assert columns["lesion_area"].tolist() == [[1, 1, 1], [0, 0, 0], [1, 0, 0]]
