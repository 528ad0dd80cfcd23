"""What every intervention must be. Inherit `InterventionConformance`, name it, and pytest does the rest.

class TestMine(InterventionConformance):
    name = "my_package.changes:Mine"
    params = {"strength": 0.5}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

from assay.core.registry import build, lookup
from assay.core.spec import Component
from assay.shifts.intervention import ChangedImages, Drawn, Intervention, draw

SHAPES = [(1, 32, 32), (3, 32, 32), (1, 48, 30), (3, 30, 48)]
ROWS = np.array([3, 0, 11, 2**31 + 5, 7, 100_000], dtype=np.int64)
MARKED = np.array([True, False, True, True, False, True])


class Pictures:
    """`Images` in memory."""

    def __init__(self, pixels: Tensor):
        self.pixels = pixels

    @property
    def shape(self) -> tuple[int, int, int]:
        channels, height, width = self.pixels.shape[1:]
        return channels, height, width

    def __len__(self) -> int:
        return len(self.pixels)

    def read(self, index: np.ndarray) -> Tensor:
        return self.pixels[torch.as_tensor(index)]


def pictures(shape: tuple[int, int, int], count: int = len(ROWS)) -> Tensor:
    return torch.rand((count, *shape), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "x".join(map(str, shape)))
class InterventionConformance:
    """Inherit, set `name` (registered, or a dotted path) and `params`."""

    name: ClassVar[str]
    params: ClassVar[Mapping[str, Any]] = {}

    def made(self) -> Intervention:
        return build("intervention", self.name, self.params)

    def drawn(self, shape: tuple[int, int, int], rows: np.ndarray = ROWS, seed: int = 5, name: str = "it") -> Drawn:
        marked = MARKED if len(rows) == len(MARKED) else np.ones(len(rows), dtype=bool)
        return draw(name, self.made(), marked, rows, seed, shape)

    def test_follows_the_protocol_and_its_arguments_make_a_component(self, shape):
        assert isinstance(self.made(), Intervention)
        component = Component(kind="intervention", name=self.name, params=self.params)
        assert lookup("intervention", component.name).version >= 1

    def test_images_keep_their_shape_type_and_range_and_the_given_ones_are_not_touched(self, shape):
        images = pictures(shape)
        before = images.clone()
        out = self.drawn(shape).apply(images, np.arange(len(ROWS)))
        assert out.shape == images.shape
        assert out.dtype == torch.float32
        assert 0 <= float(out.min()) <= float(out.max()) <= 1
        assert torch.equal(images, before)

    def test_extreme_images_stay_finite_and_in_range(self, shape):
        for value in (0.0, 1.0):
            images = torch.full((len(ROWS), *shape), value)
            out = self.drawn(shape).apply(images, np.arange(len(ROWS)))
            assert bool(torch.isfinite(out).all())
            assert 0 <= float(out.min()) <= float(out.max()) <= 1

    def test_it_is_the_same_whenever_it_is_drawn_and_applied(self, shape):
        images = pictures(shape)
        torch.manual_seed(1)
        first = self.drawn(shape).apply(images, np.arange(len(ROWS)))
        torch.manual_seed(2)
        np.random.seed(2)  # noqa: NPY002 - global state must not matter
        assert torch.equal(first, self.drawn(shape).apply(images, np.arange(len(ROWS))))

    def test_a_rows_pixels_depend_neither_on_its_batch_nor_on_its_neighbours(self, shape):
        images = pictures(shape)
        together = self.drawn(shape).apply(images, np.arange(len(ROWS)))
        order = np.array([4, 2, 0, 5, 3, 1])
        shuffled = self.drawn(shape).apply(images[order], order)
        assert torch.equal(shuffled, together[order])
        for i in range(len(ROWS)):
            alone = self.drawn(shape).apply(images[i : i + 1], np.array([i]))
            assert torch.equal(alone[0], together[i])
            by_itself = self.drawn(shape, ROWS[i : i + 1]).on(bool(MARKED[i])).apply(images[i : i + 1], np.array([0]))
            assert torch.equal(by_itself[0], together[i])

    def test_parameters_are_one_number_per_row_and_named_by_row(self, shape):
        whole = self.drawn(shape).parameters
        part = self.drawn(shape, ROWS[2:4]).parameters
        for name, values in whole.items():
            assert values.shape == (len(ROWS),)
            assert values.dtype in (torch.float64, torch.int64)
            assert torch.equal(values[2:4], part[name])

    def test_unmarked_rows_and_an_intervention_that_is_off_change_nothing(self, shape):
        images = pictures(shape)
        change = self.drawn(shape)
        out = change.apply(images, np.arange(len(ROWS)))
        assert torch.equal(out[~MARKED], images[~MARKED])
        assert change.on(False).apply(images, np.arange(len(ROWS))) is images
        assert not bool(change.on(False).mask(np.arange(len(ROWS))).any())

    def test_the_mask_covers_every_pixel_that_differs(self, shape):
        images = pictures(shape)
        change = self.drawn(shape)
        mask = change.mask(np.arange(len(ROWS)))
        assert mask.shape == (len(ROWS), 1, *shape[1:])
        assert mask.dtype == torch.bool
        differs = (change.apply(images, np.arange(len(ROWS))) != images).any(dim=1, keepdim=True)
        assert not bool((differs & ~mask).any())

    def test_reading_through_it_gives_the_pair_with_and_without(self, shape):
        images = Pictures(pictures(shape))
        change = self.drawn(shape)
        index = np.array([2, 5, 1])
        read = ChangedImages(images, [change]).read(index)
        assert torch.equal(read, change.apply(images.read(index), index))
        assert torch.equal(ChangedImages(images, [change.on(False)]).read(index), images.read(index))

    def test_an_empty_batch_stays_empty(self, shape):
        change = self.drawn(shape)
        nothing = np.array([], dtype=np.int64)
        assert change.apply(pictures(shape)[:0], nothing).shape == (0, *shape)
