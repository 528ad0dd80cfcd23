"""Circle crop and Graham's normalization, by hand and by what they leave as it is."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from assay.data.files.pictures import ben_graham, circle_crop


def fundus(height: int, width: int, radius: float, down: float, across: float) -> np.ndarray:
    """A disc of noise on a background of 3 gray levels."""
    y, x = np.mgrid[:height, :width]
    inside = np.hypot(y - down, x - across) <= radius
    pixels = np.random.default_rng(0).integers(60, 200, (height, width, 3))
    return np.where(inside[..., None], pixels, 3).astype(np.uint8)


def test_the_field_of_view_is_cut_out_and_its_corners_are_black() -> None:
    pixels = fundus(100, 160, 40, 50, 70)
    cut = circle_crop(pixels)
    assert abs(cut.shape[0] - 81) <= 6
    assert cut.shape[0] == cut.shape[1]
    assert not cut[0, 0].any()
    middle = cut.shape[0] // 2
    np.testing.assert_array_equal(cut[middle - 5 : middle + 5, middle - 5 : middle + 5], pixels[45:55, 65:75])


def test_a_field_of_view_that_the_frame_cuts_off_stays_whole() -> None:
    pixels = fundus(60, 120, 50, 30, 60)
    cut = circle_crop(pixels)
    assert cut.shape[0] == 60
    assert (cut[30] > 3).all(axis=1).sum() >= 90


def test_burnt_in_text_is_no_field_of_view() -> None:
    pixels = fundus(200, 300, 60, 100, 150)
    pixels[2:5, 2:5] = 255
    assert circle_crop(pixels).shape[0] < 130


@pytest.mark.parametrize("shape", [(20, 30), (20, 30, 3)])
def test_black_and_deep_images_keep_their_kind(shape: tuple[int, ...]) -> None:
    black = np.zeros(shape, dtype=np.uint16)
    assert circle_crop(black) is black
    deep = np.full(shape, 40000, dtype=np.uint16)
    assert circle_crop(deep).dtype == np.uint16


def test_grahams_formula() -> None:
    image = np.random.default_rng(1).integers(0, 255, (3, 60, 60)).astype(np.uint8)
    found = ben_graham(image)
    for plane, out in zip(image, found, strict=True):
        mean = ndimage.gaussian_filter(plane.astype(float), 1.0, mode="nearest")
        expected = np.clip(np.round(4 * (plane - mean) + 127.5), 0, 255)
        assert np.abs(out[20:40, 20:40] - expected[20:40, 20:40]).max() <= 1
    assert (found[:, 0, 0] == round(127.5)).all()


def test_a_slope_of_light_is_taken_out_and_a_flat_image_is_gray() -> None:
    flat = np.full((1, 80, 80), 90, dtype=np.uint8)
    assert set(np.unique(ben_graham(flat)).tolist()) == {128}
    slope = np.tile(np.linspace(60, 180, 80), (80, 1))[None].astype(np.uint8)
    assert ben_graham(slope)[0, 30:50, 20:60].std() < 6
