"""How lines and curves of marks are drawn, and what changes do to images in any layout and to broken pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from assay.plugin import DrawnIntervention, build, draw, entries
from assay.shifts.confounders.drawing import Stroke, Window, bent

FLATNESS = 0.03

NAMES = sorted(entry.name for entry in entries("intervention"))


def images(shape: tuple[int, int, int], count: int = 5) -> Tensor:
    made = torch.rand(count, *shape, generator=torch.Generator().manual_seed(7))
    made[0], made[1] = 0, 1
    return made


def drawn(name: str, shape: tuple[int, int, int], count: int = 5) -> DrawnIntervention:
    return draw(name, build("intervention", name, {}), np.ones(count, bool), np.arange(count), 3, shape)


@pytest.mark.parametrize("name", NAMES)
def test_images_in_any_layout_come_out_the_same_and_stay_what_they_were(name: str) -> None:
    shape, rows = (3, 48, 40), np.arange(5)
    given, change = images(shape), drawn(name, (3, 48, 40))
    expected, before = change.apply(given, rows), given.clone()
    last = given.contiguous(memory_format=torch.channels_last)
    turned = given.transpose(2, 3).contiguous().transpose(2, 3)
    for layout in (last, turned):
        assert torch.equal(change.apply(layout, rows), expected)
        assert torch.equal(layout, before)
    assert torch.equal(given, before)


PIECES = np.array(
    [  # at the rim, across a corner, beyond it, all of the image, and discs: within, at the rim, nowhere near
        [
            [3.2, 60.0, 69.9, -5.0, 75.0, 30.5, -1.0, -1e6],
            [2.0, -3.0, 59.9, 61.0, 20.0, 20.5, 10.0, -1e6],
            [30.7, 75.0, 69.9, 74.0, 90.0, 30.5, -1.0, -1e6],
            [9.0, 12.0, 20.1, -2.0, 20.0, 20.5, 10.0, -1e6],
        ],
        [
            [20.5, 20.9, 21.3, 21.7, 300.0, 1e30, 0.0, 5.0],
            [15.5, 15.5, 15.5, 15.5, 300.0, -1e30, 0.0, 50.0],
            [40.5, 20.9, 22.3, -40.0, 400.0, 1e30, 0.0, 5.5],
            [15.5, 40.5, 16.5, 15.5, 300.0, -1e30, 60.0, 50.5],
        ],
    ]
).swapaxes(0, 1)


@pytest.mark.parametrize("radius", [0.0, 0.2, 0.5, 0.96, 4.4, 41.0])
@pytest.mark.parametrize("within", [Window(0, 0, 60, 70), Window(11, 5, 20, 33), Window(0, 69, 60, 1)])
@pytest.mark.parametrize("each", [False, True])
def test_pieces_of_line_cover_what_their_distance_says(radius: float, within: Window, each: bool) -> None:
    """By the definition, pixel by pixel in float64."""
    taper = np.array([[1.0, 0.4, 0.8, 1.0, 1.0, 0.5, 1.0, 1.0], [0.3, 1.0, 0.8, 0.9, 1.0, 0.5, 1.0, 1.0]])
    radii = radius * (taper[:, None] if each else np.ones((1, 1, 1)))
    drawn_pieces = Stroke(PIECES, radii)
    down = within.top + np.arange(within.height)[:, None] + 0.5
    along = within.left + np.arange(within.width)[None] + 0.5
    for row in range(2):
        expected = np.zeros((within.height, within.width))
        for piece in range(8):
            x, y, to_x, to_y = PIECES[:, row, piece].tolist()
            first, last = (radius * taper[i, piece] if each else radius for i in (0, 1))
            square = (to_x - x) ** 2 + (to_y - y) ** 2
            t = ((along - x) * (to_x - x) + (down - y) * (to_y - y)) / (square or 1)
            t = np.clip(t, 0, 1)
            own = first + t * (last - first)
            depth = np.maximum(own, 0.5) - np.hypot(along - x - t * (to_x - x), down - y - t * (to_y - y))
            edge = np.clip(depth + 0.5, 0, 1)
            expected = np.maximum(expected, edge * edge * (3 - 2 * edge) * np.minimum(1, own / 0.5))
        assert np.abs(drawn_pieces.draw(row, within) - expected).max() < 2e-5


def test_a_place_that_is_no_number_covers_nothing() -> None:
    ends = np.array([[10.0, np.nan], [10.0, 12.0], [20.0, 30.0], [10.0, np.nan]])[:, None]
    within = Window(1, 1, 30, 30)
    assert np.array_equal(Stroke(ends, 2.0).draw(0, within), Stroke(ends[:, :, :1], 2.0).draw(0, within))


def test_a_histogram_of_pixels_that_are_no_numbers_moves_the_others_alone() -> None:
    given = images((1, 16, 16))
    change, rows = drawn("scanner-histogram", (1, 16, 16)), np.arange(5)
    broken = given.clone()
    broken[2, 0, 3, 3] = float("nan")
    elsewhere = change.apply(broken, rows)
    assert int(elsewhere.isnan().sum()) == 1
    assert torch.equal(elsewhere[[0, 1, 3, 4]], change.apply(given, rows)[[0, 1, 3, 4]])
    broken[3, 0, 1, 1] = 1.5  # brighter than white: its rank is that of white
    changed = change.apply(broken, rows)
    assert torch.equal(changed[4], change.apply(given, rows)[4])
    assert int(changed.isnan().sum()) <= 1


@pytest.mark.parametrize("span", [(0.0, 1.0), (0.25, 0.6)])
def test_a_curve_is_missed_by_no_more_than_its_flatness(span: tuple[float, float]) -> None:
    x, y = (
        [np.array([pair], dtype=np.float64) for pair in axis]
        for axis in (((5, 3), (90, 3), (20, 3)), ((10, 4), (150, 4), (70, 90)))
    )
    ends, t = bent(tuple(zip(x, y, strict=True)), span)
    there = ends[0, 0] > -1e5
    assert (t[0, 0, there].min(), t[1, 0, there].max()) == pytest.approx(span)
    assert 10 < there.sum() < 90
    middle = t.mean(axis=0)
    for axis, points in enumerate((x, y)):
        a, b, c = (np.repeat(part, ends.shape[2] // 2, axis=1) for part in points)
        exact = (1 - middle) ** 2 * a + 2 * middle * (1 - middle) * b + middle**2 * c
        missed = (ends[axis] + ends[axis + 2]) / 2 - exact
        assert np.abs(missed[0, there]).max() <= FLATNESS
