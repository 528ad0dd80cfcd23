"""One image at native size: counts by hand, surfaces as at any other size."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from assay.maps.summary import at_native, label_probabilities, summarize


def disc(height: int, width: int, y: float, x: float, radius: float) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    return np.hypot(rows - y, columns - x) < radius


LESION = disc(30, 44, 12, 20, 8)
CALLED = disc(30, 44, 14, 23, 7)


def probabilities_of(called: np.ndarray) -> torch.Tensor:
    said = torch.as_tensor(np.where(called, 0.8, 0.3), dtype=torch.float32)
    return torch.stack([1 - said, said])


@pytest.mark.parametrize("millimeters", [1.0, 0.3])
def test_it_says_what_is_said_of_maps_of_that_size(millimeters: float) -> None:
    found = at_native(probabilities_of(CALLED), torch.as_tensor(LESION.astype(np.uint8)), millimeters)
    logits = torch.as_tensor(np.where(CALLED, 1.0, -1.0))[None]
    there = summarize(logits, torch.as_tensor(LESION)[None], pixel_size=np.full((1, 2), millimeters))
    assert found["native_truth"].tolist() == [LESION.sum()]
    assert found["native_predicted"].tolist() == [CALLED.sum()]
    assert found["native_hit"].tolist() == [(LESION & CALLED).sum()]
    assert found["native_pixels"].tolist() == [30 * 44]
    for name in ("hd95", "surface_distance", "surface_dice", "surface_code"):
        np.testing.assert_array_equal(found[f"native_{name}"], there[name])
    assert found["native_hd95"][0] > 0


def test_half_and_half_is_called_lesion_as_a_logit_of_nought_is() -> None:
    found = at_native(torch.full((2, 4, 5), 0.5), torch.ones(4, 5, dtype=torch.uint8))
    assert found["native_hit"].tolist() == [20]


def test_a_pixel_of_unknown_size_leaves_surfaces_undefined_and_nothing_else() -> None:
    found = at_native(probabilities_of(CALLED), torch.as_tensor(LESION.astype(np.uint8)), float("nan"))
    assert np.isnan(found["native_hd95"]).all()
    assert found["native_surface_code"].tolist() == [4]
    assert found["native_hit"].tolist() == [(LESION & CALLED).sum()]


def test_kinds_are_counted_where_there_are_several() -> None:
    logits = torch.zeros(1, 3, 2, 4)
    logits[0, 1, :, :2] = 3.0
    logits[0, 2, :, 3] = 3.0
    labels = torch.tensor([[1, 1, 0, 2], [1, 0, 0, 1]], dtype=torch.uint8)
    found = at_native(label_probabilities(logits)[0], labels)
    assert found["native_kind_truth"].tolist() == [[4, 1]]
    assert found["native_kind_hit"].tolist() == [[3, 1]]
    assert found["native_predicted"].tolist() == [8]  # in the third column two kinds together are likelier than none
    assert found["native_kind_predicted"].tolist() == [[4, 2]]


def test_probabilities_of_one_channel_are_those_of_two() -> None:
    z = torch.linspace(-20, 20, 12).reshape(1, 1, 3, 4)
    one, two = label_probabilities(z), label_probabilities(torch.cat([torch.zeros_like(z), z], dim=1))
    torch.testing.assert_close(one, two)
    torch.testing.assert_close(one.sum(dim=1), torch.ones(1, 3, 4))
