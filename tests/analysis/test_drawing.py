"""Outlines lie on the border of a mask, and an image of few pixels is doubled."""

from __future__ import annotations

import numpy as np

from assay.analysis.pictures import LEAST_SIDE, TRUTH, colored, outlined

RED = (255, 0, 0)


def test_an_outline_is_the_border_of_the_mask_and_the_last_lies_on_top() -> None:
    mask = np.zeros((8, 8), dtype=bool)
    mask[2:6, 2:6] = True
    drawn = outlined(np.zeros((8, 8, 3), np.uint8), {TRUTH: mask, RED: mask & (np.arange(8) < 4)})
    assert drawn.shape == (16, 16, 3)
    white = (drawn == TRUTH).all(axis=2)
    red = (drawn == RED).all(axis=2)
    assert red.sum() == 2 * (8 + 4) - 4
    assert white.sum() == 28 - (8 + 3 + 3)  # the border of 8 x 8 less its left column and three of top and bottom
    assert not drawn[6:10, 8:10].any()


def test_a_large_image_keeps_its_size_and_gray_becomes_color() -> None:
    image = colored(np.full((1, LEAST_SIDE, LEAST_SIDE), 0.5, np.float32))
    assert outlined(image, {}).shape == (LEAST_SIDE, LEAST_SIDE, 3)
    assert (image == 128).all()
