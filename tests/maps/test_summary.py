"""Columns of a set: the same whatever its batches, and what is refused."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from tests.worlds.maps import PAIRS, summary, world

from assay.maps.summary import summarize
from assay.plugin import MapGrid, StreamedSummary

SHAPES = "give both as [images, height, width], with at least one pixel"


@pytest.fixture(scope="module")
def everything() -> tuple[torch.Tensor, torch.Tensor]:
    drawn, labels = zip(*(world(*names) for names in PAIRS), strict=True)
    return torch.from_numpy(np.stack(drawn)), torch.from_numpy(np.stack(labels))


@pytest.mark.parametrize("size", [1, 7, 16])
def test_columns_do_not_depend_on_batches(everything: tuple[torch.Tensor, torch.Tensor], size: int) -> None:
    logits, labels = everything
    whole, streamed = summarize(logits, labels), StreamedSummary()
    for start in range(0, len(logits), size):
        streamed.append(logits[start : start + size], labels[start : start + size])
    found = streamed.columns()
    assert found.keys() == whole.keys()
    for name, column in whole.items():
        assert len(column) == len(logits)
        assert found[name].dtype == column.dtype
        np.testing.assert_array_equal(found[name], column, err_msg=name)


def test_columns_follow_their_images(everything: tuple[torch.Tensor, torch.Tensor]) -> None:
    logits, labels = everything
    order = torch.randperm(len(logits), generator=torch.Generator().manual_seed(0))
    whole, shuffled = summarize(logits, labels), summarize(logits[order], labels[order])
    for name, column in whole.items():
        np.testing.assert_array_equal(shuffled[name], column[order.numpy()], err_msg=name)


def test_batches_may_differ_in_size_and_areas_are_shares() -> None:
    streamed = StreamedSummary(MapGrid(areas=(0.0, 0.25)))
    for side in (4, 8):
        drawn = torch.full((1, side, 2 * side), -3.0)
        drawn[:, : side // 2, :side] = 1.0  # a quarter of the image
        streamed.append(drawn, torch.zeros(1, side, 2 * side, dtype=torch.uint8))
    columns = streamed.columns()
    assert columns["pixels"].tolist() == [32, 128]
    assert columns["half_area"].tolist() == [8, 32]
    assert columns["area_score"].tolist() == [[1, 1], [1, 1]]


def test_masks_of_booleans_and_maps_of_half_precision_serve_too() -> None:
    drawn, labels = world("ties", "blobs")
    straight = summary(drawn, labels)
    other = summarize(torch.from_numpy(drawn)[None].bfloat16(), torch.from_numpy(labels > 0)[None])
    for name, column in straight.items():
        np.testing.assert_array_equal(other[name], column, err_msg=name)


def test_maps_that_carry_gradients_or_are_views_are_read() -> None:
    drawn, labels = world("noise", "blobs")
    turned = torch.from_numpy(drawn.T.copy()).requires_grad_().T[None]
    for name, column in summary(drawn, labels).items():
        np.testing.assert_array_equal(summarize(turned, torch.from_numpy(labels)[None])[name], column, err_msg=name)


def test_what_a_perfect_an_empty_and_a_full_map_say() -> None:
    labels = np.zeros((3, 6, 10), np.uint8)
    labels[:, 1:4, 2:6] = 1
    drawn = np.stack([np.where(labels[0] > 0, 8.0, -8.0), np.full((6, 10), -8.0), np.full((6, 10), 8.0)])
    columns = summary(drawn, labels, grid=MapGrid(thresholds=(0.0,)))
    assert columns["truth"].tolist() == [12, 12, 12]
    assert columns["predicted"][:, 0].tolist() == [12, 0, 60]
    assert columns["hit"][:, 0].tolist() == [12, 0, 12]
    assert columns["components"][:, 0].tolist() == [1, 0, 1]
    assert columns["stray"][:, 0].tolist() == [0, 0, 0]
    assert columns["surface_code"].tolist() == [0, 2, 0]
    assert columns["surface_dice"][0] == 1
    assert columns["lesion_score"][:, 0].tolist() == [8, -8, 8]


@pytest.mark.parametrize(
    ("logits", "labels", "given", "says"),
    [
        (torch.zeros(2, 4, 5), torch.zeros(2, 4, 6), {},
         f"logits have shape (2, 4, 5) and labels (2, 4, 6): {SHAPES}"),
        (torch.zeros(0, 4, 5), torch.zeros(0, 4, 5), {},
         f"logits have shape (0, 4, 5) and labels (0, 4, 5): {SHAPES}"),
        (torch.tensor([[[0.0]], [[torch.nan]], [[-torch.inf]]]), torch.zeros(3, 1, 1), {},
         "logits are not finite in 2 of 3 maps, first in map 1"),
        (torch.zeros(2, 4, 5), torch.zeros(2, 4, 5), {"pixel_size": np.array([[1.0, 1.0], [1.0, 0.0]])},
         "pixel sizes have shape (2, 2): give a height and a width above 0 for each of 2 maps"),
        (torch.zeros(2, 4, 5), torch.zeros(2, 4, 5), {"pixel_size": np.ones(2)},
         "pixel sizes have shape (2,): give a height and a width above 0 for each of 2 maps"),
    ],
)  # fmt: skip
def test_what_is_refused(logits: torch.Tensor, labels: torch.Tensor, given: dict[str, np.ndarray], says: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(says)}$"):
        summarize(logits, labels.to(torch.uint8), **given)


def test_no_batch_has_no_columns() -> None:
    with pytest.raises(ValueError, match="no maps were summarized: give at least one batch"):
        StreamedSummary().columns()
