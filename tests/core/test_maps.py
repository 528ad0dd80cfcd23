"""The grid on which maps are summarized."""

from __future__ import annotations

import pytest

from assay.plugin import MapGrid


def test_minimum_areas_are_whole_pixels_and_at_least_one() -> None:
    grid = MapGrid(areas=(0.0, 0.0001, 0.001, 0.07, 1.0))
    assert grid.smallest(100).tolist() == [1, 1, 1, 7, 100]  # 0.07 x 100 is 7.000000000000001
    assert grid.smallest(512 * 512).tolist() == [1, 27, 263, 18351, 262144]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"thresholds": ()}, r"thresholds are \(\): give at least one finite number, each once, ascending"),
        ({"thresholds": (1.0, 0.0)}, "each once, ascending"),
        ({"areas": (0.0, 0.0)}, "areas are .* each once, ascending"),
        ({"thresholds": (0.0, float("nan"))}, "finite number"),
        ({"areas": (-0.1, 0.5)}, "give shares of the image from 0 to 1"),
        ({"areas": (0.1, 1.5)}, "give shares of the image from 0 to 1"),
        ({"covered": 0.0}, "covered is 0.0: give a share above 0 and at most 1"),
        ({"top": 1.1}, "top is 1.1: give a share above 0 and at most 1"),
        ({"surface_threshold": float("inf")}, "give a finite logit"),
        ({"bins": 0}, "give distances of at least 0 and at least one bin"),
        ({"tolerance": -1.0}, "give distances of at least 0 and at least one bin"),
    ],
)
def test_values_out_of_range_are_refused(given: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        MapGrid(**given)  # pyright: ignore[reportArgumentType]
