"""Surface distances against MONAI, and by hand."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch
from monai.metrics.hausdorff_distance import compute_hausdorff_distance
from monai.metrics.surface_dice import compute_surface_dice
from monai.metrics.surface_distance import compute_average_surface_distance
from tests.worlds.maps import MAPS, summary, world

from assay.plugin import MapGrid

NAMES = ("hd95", "surface_distance", "surface_dice")


def monai(predicted: np.ndarray, lesion: np.ndarray, spacing: tuple[float, float], tolerance: float) -> list[float]:
    """hd95, average symmetric surface distance and surface Dice of one image."""
    pair = [torch.from_numpy(mask)[None, None].float() for mask in (predicted, lesion)]
    given = {"include_background": True, "spacing": spacing}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [
            float(compute_hausdorff_distance(*pair, percentile=95, **given)),
            float(compute_average_surface_distance(*pair, symmetric=True, **given)),
            float(compute_surface_dice(*pair, class_thresholds=[tolerance], **given)),
        ]


@pytest.mark.slow
@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.7, 2.3)])
@pytest.mark.parametrize("labels", ["scattered", "blobs", "full", "corner"])
@pytest.mark.parametrize("logits", MAPS)
def test_agrees_with_monai(logits: str, labels: str, spacing: tuple[float, float]) -> None:
    drawn, kinds = world(logits, labels)
    predicted = drawn >= 0
    columns = summary(drawn, kinds, grid=MapGrid(tolerance=1.4), pixel_size=np.array([spacing]))
    ours = [columns[name][0] for name in NAMES]
    if predicted.any():
        np.testing.assert_allclose(ours, monai(predicted, kinds > 0, spacing, 1.4), rtol=1e-5, atol=1e-5)
        assert columns["surface_code"][0] == 0
    else:
        assert np.isnan(ours).all()
        assert columns["surface_code"][0] == 2


@pytest.mark.slow
def test_agrees_with_monai_on_random_masks() -> None:
    rng = np.random.default_rng(3)
    for seed in range(40):
        drawn, kinds = world("smooth", "blobs", seed)
        if not (kinds.any() and (drawn >= 0).any()):
            continue
        spacing = tuple(rng.uniform(0.2, 3, 2).tolist())
        columns = summary(drawn, kinds, grid=MapGrid(tolerance=1.0), pixel_size=np.array([spacing]))
        theirs = monai(drawn >= 0, kinds > 0, spacing, 1.0)
        np.testing.assert_allclose([columns[name][0] for name in NAMES], theirs, rtol=1e-5, atol=1e-5)


def square(height: int, width: int, top: int, left: int, side: int) -> np.ndarray:
    mask = np.zeros((height, width), np.uint8)
    mask[top : top + side, left : left + side] = 1
    return mask


def compared(predicted: np.ndarray, truth: np.ndarray, **given: object) -> tuple[list[float], int]:
    columns = summary(np.where(predicted > 0, 4.0, -4.0), truth, **given)
    return [float(columns[name][0]) for name in NAMES], int(columns["surface_code"][0])


def test_a_perfect_mask() -> None:
    truth = square(20, 31, 5, 9, 6)
    assert compared(truth, truth) == ([0, 0, 1], 0)


def test_a_mask_shifted_sideways() -> None:
    """A line of three pixels shifted by two: 2, 1 and 0 px from the nearest, both ways; of six, four within 1 px."""
    truth, predicted = np.zeros((2, 1, 9), np.uint8)
    truth[0, 2:5], predicted[0, 4:7] = 1, 1
    values, _ = compared(predicted, truth, grid=MapGrid(tolerance=1.0))
    assert values == pytest.approx([1.9, 1.0, 4 / 6])  # 95% of the way from rank 0 to rank 2


def test_two_pixels_apart() -> None:
    truth, predicted = np.zeros((2, 8, 8), np.uint8)
    truth[1, 2], predicted[4, 6] = 1, 1
    assert compared(predicted, truth) == ([5, 5, 0], 0)
    size = np.array([[0.1, 0.2]])
    values, _ = compared(predicted, truth, grid=MapGrid(tolerance=0.8), pixel_size=size)
    assert values == pytest.approx([math.hypot(0.3, 0.8)] * 2 + [0])


def test_a_distance_equal_to_the_tolerance_is_within_it_whatever_the_unit() -> None:
    """Three pixels of 0.1 mm are 0.3 mm, although the product is a little more in floating point."""
    truth, predicted = np.zeros((2, 8, 8), np.uint8)
    truth[1, 2], predicted[1, 5] = 1, 1
    assert compared(predicted, truth, grid=MapGrid(tolerance=0.3), pixel_size=np.full((1, 2), 0.1))[0][2] == 1
    assert compared(predicted, truth, grid=MapGrid(tolerance=0.299), pixel_size=np.full((1, 2), 0.1))[0][2] == 0


def test_the_frame_of_the_image_is_surface() -> None:
    """All is predicted; the truth is one pixel in the middle of 5 x 5: 16 pixels of the frame, and the one."""
    truth = square(5, 5, 2, 2, 1)
    there = [2.0] * 4 + [math.sqrt(5)] * 8 + [math.sqrt(8)] * 4
    values, _ = compared(np.ones((5, 5), np.uint8), truth, grid=MapGrid(tolerance=2.0))
    assert values == pytest.approx([math.sqrt(8), (sum(there) + 2.0) / 17, 5 / 17])


@pytest.mark.parametrize(("truth", "predicted", "code"), [(1, 1, 0), (0, 1, 1), (1, 0, 2), (0, 0, 3)])
def test_an_empty_mask_has_no_surface_and_says_which(truth: int, predicted: int, code: int) -> None:
    values, found = compared(np.full((4, 6), predicted), np.full((4, 6), truth, np.uint8))
    assert found == code
    assert np.isnan(values).all() == (code != 0)


def test_an_unknown_pixel_size_leaves_that_image_alone_without_lengths() -> None:
    """Two pixels two apart, of 0.5 mm, of unknown size, and of unknown size with an empty truth."""
    logits, labels = np.full((3, 6, 6), -1.0), np.zeros((3, 6, 6), np.uint8)
    logits[:, 2, 1], labels[:2, 2, 3] = 1.0, 1
    found = summary(logits, labels, pixel_size=np.array([[0.5, 0.5], [np.nan, np.nan], [np.nan, np.nan]]))
    assert found["surface_code"].tolist() == [0, 4, 1]
    assert np.array_equal(found["hd95"], [1.0, np.nan, np.nan], equal_nan=True)
    assert np.isnan(found["surface_dice"]).tolist() == [False, True, True]


def test_the_threshold_is_the_one_asked_for() -> None:
    drawn, truth = np.zeros((6, 6)), square(6, 6, 1, 1, 2)
    drawn[1:3, 1:3] = 3.0
    assert summary(drawn, truth, grid=MapGrid(surface_threshold=2.5))["surface_dice"][0] == 1
    assert summary(drawn, truth, grid=MapGrid(surface_threshold=0.0, tolerance=0.5))["surface_dice"][0] < 1
    assert summary(drawn, truth, grid=MapGrid(surface_threshold=3.5))["surface_code"][0] == 2
