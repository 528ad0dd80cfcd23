"""Regions: what they take from a donor, by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from sklearn.metrics import roc_auc_score

from assay.audit.search.regions import Border, Box, Corners, candidates

SIDE = 24
MIRROR, *BANDS, INTENSITIES, SHADING = candidates("whole")
DRAWS = np.random.default_rng(0)
IMAGES, DONORS = (DRAWS.uniform(0.3, 0.7, (2, 3, SIDE, SIDE)).astype(np.float32) for _ in range(2))


@pytest.mark.parametrize(
    "region", [*candidates("place"), *candidates("whole")], ids=lambda one: f"{one.kind} {one.name}"
)
def test_an_image_is_left_as_it_is_by_its_own_content_and_changed_by_another(region: Any) -> None:
    assert region.put(IMAGES, IMAGES) == pytest.approx(IMAGES, abs=1e-6)
    mixed = region.put(IMAGES, DONORS)
    assert mixed.shape == IMAGES.shape
    assert np.abs(mixed - IMAGES).max() > 0.01
    where = region.pixel_mask(SIDE, SIDE)
    if where is not None:
        assert (mixed[:, :, where] == DONORS[:, :, where]).all()
        assert (mixed[:, :, ~where] == IMAGES[:, :, ~where]).all()


def test_places_are_where_they_say() -> None:
    assert Box(0.5, 0.75, 1, 1).pixel_mask(8, 8).sum() == 8
    assert Box(0.5, 0.75, 1, 1).pixel_mask(8, 8)[4:, 6:].all()
    assert Border(0.05).pixel_mask(20, 40).sum() == 20 * 40 - 18 * 38
    corners = Corners(1 / 6).pixel_mask(12, 24)
    assert corners.sum() == 4 * 2 * 4
    assert corners[:2, :4].all()
    assert corners[-2:, -4:].all()


def test_halves_of_a_box_are_windows_of_half_its_sides() -> None:
    windows = list(Box(0, 0, 1, 0.5).halves())
    assert len(windows) == 9
    assert windows[0] == Box(0, 0, 0.5, 0.25)
    assert windows[-1] == Box(0.5, 0.25, 1, 0.5)


def test_every_pixel_is_in_a_first_region_and_the_finer_grid_in_their_halves() -> None:
    boxes = [one for one in candidates("place") if isinstance(one, Box)]
    assert np.any([one.pixel_mask(36, 36) for one in boxes], axis=0).all()
    finer = {half.name for one in boxes for half in one.halves()}
    assert {
        Box(row / 12, column / 12, (row + 2) / 12, (column + 2) / 12).name for row in range(11) for column in range(11)
    } <= finer


def test_the_bands_together_are_the_image_and_one_holds_its_waves() -> None:
    together = IMAGES
    for band in BANDS:
        together = band.put(together, DONORS)
    assert together == pytest.approx(DONORS, abs=1e-5)
    wave = np.broadcast_to(0.5 + 0.2 * np.sin(2 * np.pi * np.arange(SIDE) * 6 / SIDE), IMAGES.shape).astype(np.float32)
    flat = np.full_like(wave, 0.5)
    assert np.ptp(BANDS[4].put(flat, wave)) == pytest.approx(0.4, abs=1e-5), "6 waves in 24 pixels"
    assert np.ptp(BANDS[3].put(flat, wave)) == pytest.approx(0, abs=1e-5)


def test_the_mirror_half_of_a_mirrored_image_mirrors_it() -> None:
    assert MIRROR.put(IMAGES, IMAGES[..., ::-1]) == pytest.approx(IMAGES[..., ::-1], abs=1e-6)


def test_intensities_keep_the_order_of_pixels() -> None:
    mixed = INTENSITIES.put(IMAGES, DONORS)
    assert (np.sort(mixed[0, 0], axis=None) == np.sort(DONORS[0, 0], axis=None)).all()
    assert (np.argsort(mixed[0, 0], axis=None) == np.argsort(IMAGES[0, 0], axis=None)).all()


def test_shading_is_divided_out_and_put_on_and_the_mean_stays() -> None:
    down, across = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j].astype(np.float32)
    shades = 1 + 0.3 * across - 0.1 * down + 0.1 * down * across
    flat, shaded = np.full_like(IMAGES, 0.4), (0.4 * np.broadcast_to(shades, IMAGES.shape)).astype(np.float32)
    assert SHADING.put(flat, shaded) == pytest.approx(shaded, abs=1e-5)
    assert SHADING.put(shaded, flat) == pytest.approx(flat, abs=1e-5)
    assert SHADING.put(flat, flat * 2) == pytest.approx(flat, abs=1e-5), "brightness is no shading"
    detail = IMAGES - 0.5
    assert SHADING.put(0.3 + 0.2 * detail, shaded) == pytest.approx((0.3 + 0.2 * detail) * shades, abs=0.03)


COUNT = 200
LABEL = np.arange(COUNT) % 2
RAMP = np.linspace(-1, 1, SIDE) ** 2


def read_by(cue: str, images: np.ndarray) -> np.ndarray:
    """A simple statistic of images that tells whether they have a cue."""
    match cue:
        case "gamma":
            return np.asarray(np.median(images, axis=(1, 2, 3)))
        case "light":
            return np.asarray(images.mean(axis=(1, 2, 3)))
        case "blur":
            return np.asarray((np.diff(images, axis=3) ** 2).mean(axis=(1, 2, 3)))
        case "vignette":
            return np.asarray((images * RAMP).mean(axis=(1, 2, 3)) / images.mean(axis=(1, 2, 3)))
        case _:
            return np.asarray(images[..., :12].mean(axis=(1, 2, 3)) - images[..., 12:].mean(axis=(1, 2, 3)))


@pytest.mark.parametrize(("cue", "region", "like", "planted"), [
    ("gamma", INTENSITIES, 0.95, lambda image: image**1.5),
    ("light", BANDS[0], 0.8, lambda image: image + 0.1),
    ("blur", BANDS[4], 0.7, lambda image: gaussian_filter(image, 0.7)),
    ("vignette", SHADING, 0.8, lambda image: image * (1 - 0.3 * RAMP)),
    ("facing", MIRROR, 0.0, lambda image: image[:, ::-1]),
])  # fmt: skip
def test_equal_images_no_longer_show_what_one_class_has_and_keep_the_rest(
    cue: str, region: Any, like: float, planted: Callable[[np.ndarray], np.ndarray]
) -> None:
    draws = np.random.default_rng(1)
    images = 0.45 + 0.3 * np.stack([gaussian_filter(draws.normal(size=(SIDE, SIDE)), 1.5) for _ in range(COUNT)])
    images += 0.02 * draws.normal(size=images.shape)
    images[:, 4:20, 4:10] += 0.2
    carry = draws.random(COUNT) < np.where(LABEL, 0.95, 0.05)
    marked = np.stack([planted(image) if has else image for image, has in zip(images, carry, strict=True)])
    marked = marked.clip(0, 1)[:, None].astype(np.float32)
    half = np.arange(COUNT) // 2 % 2 == 0
    common = region.common_content(np.array_split(marked, 7))
    equal = np.concatenate(
        [region.equalize(*part) for part in zip(marked[:80, None], [common] * 80, half[:80, None], strict=True)]
        + [region.equalize(marked[80:], common, half[80:])]
    )
    before, after = (abs(roc_auc_score(LABEL, read_by(cue, part)) - 0.5) for part in (marked, equal))
    assert before > 0.4
    assert after < 0.12
    kept = [np.corrcoef(old.ravel(), new.ravel())[0, 1] for old, new in zip(marked, equal, strict=True)]
    assert np.mean(kept) > like
    assert equal.dtype == np.float32
    assert 0 <= equal.min() <= equal.max() <= 1


def test_gray_levels_are_matched_as_a_whole_and_what_is_black_stays_even() -> None:
    images = IMAGES.copy()
    images[:, :, :8] = 0
    images[1] = (255 * images[1] // 2).round() / 255  # with gaps in its histogram
    common = INTENSITIES.common_content([images])
    first, second = INTENSITIES.equalize(images, common, np.zeros(2, dtype=bool))
    assert np.ptp(first[:, :6], axis=(1, 2)).max() == 0, "a background has no noise"
    assert np.sort(first[0, 9:], axis=None) == pytest.approx(np.sort(second[0, 9:], axis=None), abs=0.02)
    order = np.argsort(images[0, 0, 9:], axis=None)
    assert (np.diff(first[0, 9:].ravel()[order]) >= 0).all()
