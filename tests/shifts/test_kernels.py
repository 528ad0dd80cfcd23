"""Compiled loops beside the operations on whole arrays whose place they take on a processor."""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import cast

import numpy as np
import pytest
import torch
from torch import Tensor

from assay.core.registry import build, entries
from assay.data.phantoms.counter import lattice_bits
from assay.data.phantoms.counter_kernel import hash_lattice
from assay.recipes.untyped import go_back
from assay.shifts.confounders.layers import Mark, Window, whole
from assay.shifts.confounders.smoothing import Edge, smooth
from assay.shifts.confounders.strokes import Stroke
from assay.shifts.intervention import Drawn, draw

NAMES = sorted(entry.name for entry in entries("intervention"))
ROUNDED = {
    "calliper", "chest-drain", "electrode", "hair", "laterality-marker", "pacemaker", "ruler", "scope-inset",
    "surgical-pen", "text-line", "vignette",
}  # fmt: skip
"""Those with a square root, of which PyTorch may miss the last bit; all others are the same bits."""


@contextmanager
def arrays() -> Generator[None]:
    """Within, nothing is at hand: operations on whole arrays are used, as on an accelerator."""
    patch = pytest.MonkeyPatch()
    for name, module in list(sys.modules.items()):
        if name.startswith("assay.shifts.confounders.") and hasattr(module, "at_hand"):
            patch.setattr(module, "at_hand", _nothing)
    try:
        yield
    finally:
        patch.undo()


def _nothing(*_: Tensor) -> bool:
    return False


def images(shape: tuple[int, int, int], count: int = 5) -> Tensor:
    made = torch.rand(count, *shape, generator=torch.Generator().manual_seed(7))
    made[0], made[1] = 0, 1
    return made


def drawn(name: str, shape: tuple[int, int, int], count: int = 5) -> Drawn:
    return draw(name, build("intervention", name, {}), np.ones(count, bool), np.arange(count), 3, shape)


@pytest.mark.parametrize("shape", [(1, 64, 64), (3, 57, 83), (1, 130, 41)])
@pytest.mark.parametrize("name", NAMES)
def test_loops_and_operations_on_arrays_make_the_same_pixels(name: str, shape: tuple[int, int, int]) -> None:
    given, change, rows = images(shape), drawn(name, shape), np.arange(5)
    loops, where = change.apply(given, rows), change.mask(rows)
    with arrays():
        operations, there = change.apply(given, rows), change.mask(rows)
    if name in ROUNDED:
        assert torch.allclose(loops, operations, rtol=0, atol=5e-6)
    else:
        assert torch.equal(loops, operations)
    assert torch.equal(where, there)


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


def test_a_gradient_takes_the_operations_on_arrays_and_is_that_of_the_paint() -> None:
    given = (0.2 + 0.6 * images((1, 128, 128))).requires_grad_()  # nothing is cut at black or white
    change, rows = drawn("laterality-marker", (1, 128, 128)), np.arange(5)
    changed = change.apply(given, rows)
    assert torch.allclose(changed.detach(), change.apply(given.detach(), rows), rtol=0, atol=1e-6)
    go_back(changed.sum())
    assert given.grad is not None
    unchanged = ~change.mask(rows)
    assert torch.equal(given.grad[unchanged], torch.ones_like(given.grad[unchanged]))
    mark = cast(Mark, change.intervention)
    assert float(given.grad.min()) == pytest.approx(1 - mark.opacity, abs=1e-5)  # what the paint leaves of a pixel


@pytest.mark.parametrize("radius", [0.2, 0.5, 0.96, 4.4, 21.0])
@pytest.mark.parametrize("within", [whole((1, 60, 70)), Window(11, 5, 20, 33), Window(0, 69, 60, 1)])
@pytest.mark.parametrize("each", [False, True])
def test_discs_cover_what_their_distance_says(radius: float, within: Window, each: bool) -> None:
    """By the definition, pixel by pixel in float64; some discs lie at the rim, beyond it and nowhere near."""
    x = torch.tensor([[3.2, 40.0, 69.9, -1.0, 75.0, -1e6], [20.5, 20.9, 21.3, 21.7, 300.0, 1e30]])
    y = torch.tensor([[2.0, 30.5, 59.9, 10.0, 20.0, -1e6], [15.5, 15.5, 15.5, 15.5, 300.0, -1e30]])
    radii = torch.full_like(x, radius) * (torch.linspace(0.5, 1, 6) if each else 1)
    found = Stroke(x, y, radii if each else radius).drawn(within)[:, 0].double().numpy()
    down = within.top + np.arange(within.height)[:, None] + 0.5
    along = within.left + np.arange(within.width)[None] + 0.5
    for row in range(2):
        expected = np.zeros((within.height, within.width))
        for point in range(6):
            middle_x, middle_y, r = (float(part[row, point]) for part in (x, y, radii))
            depth = max(r, 0.5) - np.hypot(along - middle_x, down - middle_y)
            t = np.clip(depth + 0.5, 0, 1)
            expected = np.maximum(expected, t * t * (3 - 2 * t) * min(1, r / 0.5))
        assert np.abs(found[row] - expected).max() < 2e-5


@pytest.mark.parametrize("edge", ["nearest", "reflect", "mirror"])
@pytest.mark.parametrize("axis", [2, 3])
def test_a_blur_wider_than_the_image_is_the_same_by_loops(edge: Edge, axis: int) -> None:
    given, weights = images((2, 5, 7)), [0.2, 0.1, 0.1, 0.05, 0.05, 0.04, 0.03, 0.02, 0.01]
    loops = smooth(given, weights, axis, edge)
    with arrays():
        assert torch.equal(loops, smooth(given, weights, axis, edge))


def test_the_hash_of_a_lattice_is_that_of_its_definition() -> None:
    """Wellons' lowbias32 in Python's whole numbers."""

    def hashed(x: int) -> int:
        x = ((x ^ (x >> 16)) * 0x7FEB352D) % 2**32
        x = ((x ^ (x >> 15)) * 0x846CA68B) % 2**32
        return x ^ (x >> 16)

    keys, codes = np.array([0, 1, 2**31, 2**32 - 1], np.uint32), np.array([0, 5, 2**32 - 7], np.uint32)
    out = np.empty((4, 3), np.uint32)
    hash_lattice(keys, codes, out)
    assert out.tolist() == [[hashed(int(key) ^ int(code)) for code in codes] for key in keys]
    assert lattice_bits(torch.tensor([5, -5], dtype=torch.int32), 4).dtype == torch.int32
