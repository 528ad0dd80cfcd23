"""Maps of the square back at native size: the rule of fitting, undone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from assay.data.files.fitting import fit_labels, unfitted
from assay.plugin import placed

SIZES = [(48, 36), (36, 48), (100, 31), (32, 32), (20, 9), (7, 16), (321, 77)]
"""Heights and widths: larger and smaller than the square of 32 px, tall and wide."""


def ramp(height: int, width: int) -> np.ndarray:
    """Values that rise evenly along rows and columns, as functions of the place in the image, 0..1 each."""
    down, across = (np.arange(height) + 0.5) / height, (np.arange(width) + 0.5) / width
    return (0.1 + 0.5 * down[:, None] + 0.3 * across[None]).astype(np.float32)


def square_of(inside: np.ndarray, height: int, width: int, padding: float) -> torch.Tensor:
    box = placed(height, width, 32)
    square = np.full((1, 32, 32), padding, np.float32)
    square[0, box.rows, box.columns] = inside
    return torch.as_tensor(square)


@pytest.mark.parametrize(("height", "width"), [size for size in SIZES if max(size) >= 32])
def test_what_is_linear_over_the_image_comes_back_at_its_own_places(height: int, width: int) -> None:
    """Only within half a fitted pixel of the frame, where nothing lies beyond, are values those of the edge."""
    box = placed(height, width, 32)
    found = unfitted(square_of(ramp(box.height, box.width), height, width, 0.0), height, width)[0].numpy()
    down, across = (np.arange(height) + 0.5) / height, (np.arange(width) + 0.5) / width
    inner = np.ix_(np.abs(down - 0.5) <= 0.5 - 0.5 / box.height, np.abs(across - 0.5) <= 0.5 - 0.5 / box.width)
    assert found.shape == (height, width)
    np.testing.assert_allclose(found[inner], ramp(height, width)[inner], atol=2e-6)
    assert found[inner].size > 0.8 * found.size


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_nothing_of_the_padding_comes_back(height: int, width: int) -> None:
    box = placed(height, width, 32)
    inside = np.full((box.height, box.width), 0.25, np.float32)
    found = unfitted(square_of(inside, height, width, 1.0), height, width)
    torch.testing.assert_close(found, torch.full((1, height, width), 0.25))


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_it_is_what_pillow_makes_of_the_box(height: int, width: int) -> None:
    """Pillow's triangle filter is the one that made the square; larger or smaller, the other way round."""
    box = placed(height, width, 32)
    inside = np.random.default_rng(height).random((box.height, box.width), dtype=np.float32)
    theirs = Image.fromarray(inside).resize((width, height), Image.Resampling.BILINEAR)
    found = unfitted(square_of(inside, height, width, 0.5), height, width)[0]
    np.testing.assert_allclose(found.numpy(), np.asarray(theirs), atol=1e-5)


def test_a_box_of_the_images_own_size_is_taken_as_it_is() -> None:
    inside = np.random.default_rng(0).random((20, 32), dtype=np.float32)
    found = unfitted(square_of(inside, 20, 32, 0.5), 20, 32)[0]
    np.testing.assert_array_equal(found.numpy(), inside)


@pytest.mark.parametrize(("height", "width"), [(128, 96), (90, 160)])
def test_a_mask_that_was_fitted_comes_back_but_for_its_rim(height: int, width: int) -> None:
    y, x = np.mgrid[:height, :width]
    mask = (np.hypot((y - 0.4 * height) / 24, (x - 0.6 * width) / 18) < 1).astype(np.uint8)
    fitted = torch.as_tensor(fit_labels(mask, 32))[None].float()
    back = unfitted(fitted, height, width)[0].numpy() >= 0.5
    scale = max(height, width) / 32
    ys, xs = np.nonzero(back != (mask > 0))
    rim = np.abs(np.hypot((ys - 0.4 * height) / 24, (xs - 0.6 * width) / 18) - 1) * 18
    assert 2 * (back & (mask > 0)).sum() / (back.sum() + mask.sum()) > 0.9
    assert rim.max() < 2 * scale
