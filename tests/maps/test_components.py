"""Counts and component areas at every threshold, and the exact scores, against labeling threshold by threshold."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from skimage import measure
from tests.worlds.maps import MAPS, PAIRS, summary, world

from assay.plugin import MapGrid

GRID = MapGrid(thresholds=(-16.0, -2.0, -1.5, 0.0, 2.0, 2.5, 7.0), areas=(0.0, 0.01, 0.1, 0.5, 1.0))


def by_labeling(logits: np.ndarray, lesion: np.ndarray, threshold: float) -> tuple[int, ...]:
    """predicted, hit, components, stray, largest, with SciPy."""
    mask = logits >= np.float32(threshold)
    labeled, count = ndimage.label(mask, np.ones((3, 3)))
    areas = np.bincount(labeled.ravel(), minlength=count + 1)[1:]
    touched = set(labeled[mask & lesion].tolist())
    return int(mask.sum()), int((mask & lesion).sum()), count, count - len(touched), int(areas.max(initial=0))


@pytest.mark.parametrize(("logits", "labels"), PAIRS)
def test_counts_are_those_of_labeling_at_every_threshold(logits: str, labels: str) -> None:
    drawn, kinds = world(logits, labels)
    columns = summary(drawn, kinds, grid=GRID)
    for place, threshold in enumerate(GRID.thresholds):
        found = tuple(int(columns[name][0, place]) for name in ("predicted", "hit", "components", "stray", "largest"))
        assert found == by_labeling(drawn, kinds > 0, threshold), threshold


@pytest.mark.parametrize("logits", MAPS)
def test_the_score_of_an_area_is_the_highest_logit_at_which_a_component_has_it(logits: str) -> None:
    """Every logit of the map is tried, with scikit-image, which finds regions in another way."""
    drawn, kinds = world(logits, "empty")
    tried = np.unique(drawn)
    largest = [
        max((region.area for region in measure.regionprops(measure.label(drawn >= value, connectivity=2))), default=0)
        for value in tried
    ]
    columns = summary(drawn, kinds, grid=GRID)
    for place, smallest in enumerate(GRID.smallest(drawn.size)):
        assert columns["area_score"][0, place] == max(
            value for value, area in zip(tried, largest, strict=True) if area >= smallest
        )


@pytest.mark.parametrize("logits", MAPS)
def test_image_scores_are_those_of_sorted_logits(logits: str) -> None:
    drawn, kinds = world(logits, "empty")
    columns = summary(drawn, kinds, grid=MapGrid(top=0.02))
    downwards = np.sort(drawn.ravel())[::-1].astype(np.float64)
    assert columns["peak"][0] == downwards[0] == columns["area_score"][0, 0]
    assert columns["floor"][0] == downwards[-1]
    assert columns["half_area"][0] == (drawn >= 0).sum()
    assert columns["top_mean"][0] == pytest.approx(downwards[:15].mean(), rel=1e-12)  # 2% of 714 pixels are 14.28


def test_an_image_with_one_peak_by_hand() -> None:
    """3 at the middle of a 3 x 3 plateau of 1, elsewhere -4."""
    drawn = np.full((6, 8), -4.0)
    drawn[1:4, 2:5], drawn[2, 3] = 1.0, 3.0
    grid = MapGrid(thresholds=(-5.0, 0.0, 2.0, 4.0), areas=(0.0, 2 / 48, 9 / 48, 10 / 48, 1.0))
    columns = summary(drawn, np.zeros((6, 8), np.uint8), grid=grid)
    assert columns["predicted"].tolist() == [[48, 9, 1, 0]]
    assert columns["largest"].tolist() == [[48, 9, 1, 0]]
    assert columns["components"].tolist() == columns["stray"].tolist() == [[1, 1, 1, 0]]
    assert columns["area_score"].tolist() == [[3, 1, 1, -4, -4]]


def test_an_area_greater_than_an_image_has_no_score() -> None:
    """Two components that meet at a corner are one; pixels that do not are apart and neither has the area."""
    drawn = np.array([[5.0, -1.0, -1.0], [-1.0, 5.0, -1.0], [-1.0, -1.0, -1.0], [5.0, -1.0, -1.0]])
    grid = MapGrid(thresholds=(0.0,), areas=(2 / 12, 3 / 12))
    columns = summary(drawn, np.zeros((4, 3), np.uint8), grid=grid)
    assert (columns["components"][0, 0], columns["largest"][0, 0]) == (2, 2)
    assert columns["area_score"].tolist() == [[5, -1]]


def test_components_that_touch_a_lesion_are_no_false_positives() -> None:
    """Two components; a lesion of one pixel lies under the first, and joins the second only when they meet."""
    drawn = np.array([[4.0, 4.0, -2.0, 4.0]])
    labels = np.array([[0, 1, 0, 0]], np.uint8)
    columns = summary(drawn, labels, grid=MapGrid(thresholds=(-3.0, 0.0)))
    assert columns["components"].tolist() == [[1, 2]]
    assert columns["stray"].tolist() == [[0, 1]]


def test_order_of_equal_logits_does_not_matter() -> None:
    """Mirrored and turned maps say the same."""
    drawn, labels = world("ties", "blobs")
    straight = summary(drawn, labels, grid=GRID)
    for turned in (np.s_[::-1], np.s_[:, ::-1], np.s_[::-1, ::-1]):
        other = summary(np.ascontiguousarray(drawn[turned]), np.ascontiguousarray(labels[turned]), grid=GRID)
        for name in ("predicted", "hit", "components", "stray", "largest", "area_score", "peak", "top_mean"):
            np.testing.assert_array_equal(straight[name], other[name])
