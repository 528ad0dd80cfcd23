"""Pixels and lesions of each kind: by hand, and against SciPy's labels of one image and kind at a time."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from assay.maps.summary import count_kinds


def logits_of(called: np.ndarray, kinds: int) -> torch.Tensor:
    """Logits [b, kinds + 1, h, w] of which each pixel's greatest is that of what it is called."""
    return torch.nn.functional.one_hot(torch.as_tensor(called, dtype=torch.long), kinds + 1).movedim(-1, 1).float()


def counted(true: np.ndarray, called: np.ndarray, kinds: int = 2, **more: float) -> dict[str, list[list[int]]]:
    found = count_kinds(logits_of(called, kinds), torch.as_tensor(true), **more)
    assert list(found) == [f"kind_{name}" for name in ("truth", "predicted", "hit", "lesions", "found", "stray")]
    assert all(column.dtype == np.int32 for column in found.values())
    return {name.removeprefix("kind_"): column.tolist() for name, column in found.items()}


TRUE = np.array(
    [
        [1, 1, 0, 0, 2, 2],
        [1, 1, 0, 0, 2, 2],
        [0, 0, 2, 0, 0, 0],
        [0, 0, 0, 0, 0, 1],
        [0, 0, 0, 0, 1, 0],
    ],
    np.uint8,
)
CALLED = np.array(
    [
        [1, 1, 0, 0, 1, 1],  # half of the first 1 is called; the 2 above is called 1, which is no 2 found
        [0, 0, 0, 0, 1, 0],
        [0, 0, 2, 0, 0, 0],
        [2, 0, 0, 0, 0, 0],  # a false 2, which an L would join to nothing
        [0, 2, 0, 0, 1, 0],  # touches at a corner: one false 2; half of the 1 that joins at a corner
    ],
    np.uint8,
)


def test_by_hand() -> None:
    """Of kind 1: two lesions, both found by half, and the 1s called on a 2 are a false positive. Of kind 2: the pixel
    at the corner of a 1 is a lesion of its own and is found, the four at the edge are missed.
    """
    assert counted(TRUE[None], CALLED[None]) == {
        "truth": [[6, 5]],
        "predicted": [[6, 3]],
        "hit": [[3, 1]],
        "lesions": [[2, 2]],
        "found": [[2, 1]],
        "stray": [[1, 1]],
    }


def test_of_a_lesion_so_large_a_share_must_be_called_as_is_said() -> None:
    assert counted(TRUE[None], CALLED[None], covered=0.51)["found"] == [[0, 1]]
    assert counted(TRUE[None], CALLED[None], covered=0.5)["found"] == [[2, 1]]


def test_an_image_that_is_called_one_kind_everywhere_has_no_lesion_of_it_found() -> None:
    found = counted(TRUE[None], np.full_like(TRUE, 1)[None])
    assert (found["found"], found["lesions"], found["stray"]) == ([[0, 0]], [[2, 2]], [[0, 0]])


def test_a_kind_that_is_nowhere_has_no_lesion_and_may_have_false_positives() -> None:
    found = counted(np.zeros_like(TRUE)[None], CALLED[None])
    assert (found["lesions"], found["found"], found["stray"]) == ([[0, 0]], [[0, 0]], [[3, 2]])


def test_kinds_trade_places_with_their_names() -> None:
    swap = np.array([0, 2, 1], np.uint8)
    one, other = counted(TRUE[None], CALLED[None]), counted(swap[TRUE][None], swap[CALLED][None])
    assert other == {name: [column[0][::-1]] for name, column in one.items()}


def by_loop(true: np.ndarray, called: np.ndarray, kind: int, covered: float) -> tuple[int, int, int]:
    """Lesions, found and stray of one image and kind, component by component."""
    eight = np.ones((3, 3))
    lesions, count = ndimage.label(true == kind, eight)
    found = 0
    for number in range(1, count + 1):
        here = lesions == number
        hit = int((called[here] == kind).sum())
        found += hit >= max(1, math.ceil(covered * here.sum() - 1e-9)) and not (called == kind).all()
    said, calls = ndimage.label(called == kind, eight)
    stray = sum(not (true[said == number] == kind).any() for number in range(1, calls + 1))
    return count, found, stray


@pytest.mark.parametrize("covered", [0.2, 0.5, 1.0])
@pytest.mark.parametrize("smooth", [0.6, 1.5])
def test_a_batch_is_what_scipy_says_of_each_image_and_kind(smooth: float, covered: float) -> None:
    """Four labels drawn by the greatest of smooth fields, the third kind in no truth."""
    rng = np.random.default_rng(3)
    fields = ndimage.gaussian_filter(rng.normal(size=(12, 4, 24, 30)), (0, 0, smooth, smooth))
    shared = ndimage.gaussian_filter(rng.normal(size=(12, 4, 24, 30)), (0, 0, smooth, smooth))
    true = (fields + shared)[:, :3].argmax(1).astype(np.uint8)
    called = (ndimage.gaussian_filter(fields, (0, 0, 1, 1)) + 2 * shared).argmax(1)
    found = counted(true, called, kinds=3, covered=covered)
    theirs = np.array(
        [[by_loop(true[i], called[i], kind, covered) for kind in (1, 2, 3)] for i in range(12)]
    )  # images x kinds x 3
    for place, name in enumerate(("lesions", "found", "stray")):
        np.testing.assert_array_equal(found[name], theirs[..., place])
    assert 0 < theirs[:, :2, 1].sum() < theirs[:, :2, 0].sum()
    assert theirs[:, 2, 0].sum() == 0 < theirs[:, 2, 2].sum()
