"""Crops, colors and blurs by hand, and against SciPy."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest
import torch
from scipy import ndimage

from assay.plugin import build

CROP, COLOR, BLUR = (build("augmentation", name, {}) for name in ("resized-crop", "color", "blur"))


def pixels(channels: int = 3, side: int = 24) -> torch.Tensor:
    return torch.rand(2, channels, side, side, generator=torch.Generator().manual_seed(0))


def one(**values: float) -> dict[str, np.ndarray]:
    return {name: np.full(2, value) for name, value in values.items()}


def test_the_whole_window_is_the_image_and_a_quarter_is_its_quarter() -> None:
    images = pixels()
    torch.testing.assert_close(CROP.apply(images, one(height=1, width=1, down=0, right=0)), images, atol=1e-5, rtol=0)
    quarter = CROP.apply(images, one(height=0.5, width=0.5, down=0.5, right=-0.5))
    enlarged = torch.nn.functional.interpolate(images[:, :, 12:, :12], scale_factor=2, mode="bilinear")
    torch.testing.assert_close(quarter[:, :, 1:-1, 1:-1], enlarged[:, :, 1:-1, 1:-1], atol=1e-5, rtol=0)


def test_windows_lie_within_the_image_and_hold_the_share_they_say() -> None:
    drawn = CROP.draw(np.random.default_rng(0), 5000)
    assert (np.abs(drawn["down"]) <= 1 - drawn["height"] + 1e-12).all()
    assert (np.abs(drawn["right"]) <= 1 - drawn["width"] + 1e-12).all()
    area, aspect = drawn["height"] * drawn["width"], drawn["width"] / drawn["height"]
    assert area.min() >= 0.2 * 0.75
    assert aspect.min() >= 0.75 - 1e-9
    assert aspect.max() <= 4 / 3 + 1e-9


def test_labels_keep_their_values_in_a_window() -> None:
    masks = torch.arange(4, dtype=torch.uint8).reshape(1, 1, 2, 2).repeat(2, 1, 6, 6)
    assert set(CROP.apply(masks, one(height=0.6, width=0.7, down=0.1, right=0.2)).unique().tolist()) <= {0, 1, 2, 3}


def test_colors_by_hand() -> None:
    images = pixels() * 0.5 + 0.25
    same = COLOR.apply(images, one(gain=1, contrast=1, saturation=1, hue=0))
    torch.testing.assert_close(same, images, atol=1e-5, rtol=0)
    turned = COLOR.apply(images, one(gain=1, contrast=1, saturation=1, hue=2 * np.pi))
    torch.testing.assert_close(turned, images, atol=1e-5, rtol=0)
    luminance = (images * torch.tensor([0.299, 0.587, 0.114]).reshape(1, 3, 1, 1)).sum(1, keepdim=True)
    gray = COLOR.apply(images, one(gain=1, contrast=1, saturation=0, hue=0))
    torch.testing.assert_close(gray, luminance.expand(-1, 3, -1, -1), atol=1e-5, rtol=0)
    flat = COLOR.apply(images, one(gain=1.1, contrast=0, saturation=0, hue=0))
    torch.testing.assert_close(flat, 1.1 * luminance.mean((2, 3), keepdim=True).expand_as(flat), atol=1e-5, rtol=0)
    alone = pixels(1)
    torch.testing.assert_close(COLOR.apply(alone, one(gain=0.5, contrast=1, saturation=0, hue=1)), alone / 2)


def test_hue_keeps_luminance_and_length_of_the_color_difference() -> None:
    images = torch.tensor([0.5, 0.45, 0.4]).reshape(1, 3, 1, 1).repeat(2, 1, 2, 2)
    turned = COLOR.apply(images, one(gain=1, contrast=1, saturation=1, hue=1.0))
    before, after = (colorsys.rgb_to_yiq(*image[0, :, 0, 0].tolist()) for image in (images, turned))
    assert after[0] == pytest.approx(before[0], abs=2e-3)
    assert np.hypot(*after[1:]) == pytest.approx(np.hypot(*before[1:]), rel=0.1)
    assert not torch.allclose(turned, images, atol=1e-3)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_blur_is_scipys(channels: int) -> None:
    images = pixels(channels, 40)
    blur = build("augmentation", "blur", {"sigma": 0.05})
    drawn = {"sigma": np.array([0.05, 0.02])}
    found = blur.apply(images, drawn).numpy()
    for at, sigma in enumerate((2.0, 0.8)):
        theirs = ndimage.gaussian_filter(images[at].numpy(), (0, sigma, sigma), mode="mirror", radius=(0, 6, 6))
        np.testing.assert_allclose(found[at], theirs, atol=2e-6)
    torch.testing.assert_close(blur.apply(images, {"sigma": np.zeros(2)}), images)
