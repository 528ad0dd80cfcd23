"""What every intervention must be."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

from assay.plugin import ChangedImages, ComponentKind, Drawn, Intervention, draw
from assay.recipes.untyped import seed_torch
from assay.testing.images import ImagesInMemory
from assay.testing.named import NamedComponent

Shape = tuple[int, int, int]

SHAPES = [(1, 32, 32), (3, 32, 32), (1, 48, 30), (3, 30, 48)]
ROWS = np.array([3, 0, 11, 2**31 + 5, 7, 100_000], dtype=np.int64)
OUTSIDE = "pixels outside [0, 1]: clamp them"
MARKED = np.array([True, False, True, True, False, True])


def pictures(shape: Shape, count: int = len(ROWS)) -> Tensor:
    """Uniform noise in [0, 1), the same each time."""
    return torch.rand((count, *shape), generator=torch.Generator().manual_seed(0))


shapes = pytest.mark.parametrize("shape", SHAPES, ids=["x".join(map(str, shape)) for shape in SHAPES])


class InterventionConformance(NamedComponent):
    """Set `name` and `params`.

    Proven, on grey and colour images, square or not: images keep their shape, type and range, and the given ones are
    not touched; the same pixels every time, whatever the state of global generators; a row's pixels depend neither on
    its batch nor on its neighbours; unmarked rows, and all rows when it is off, are exactly what they were; the mask
    covers every pixel that differs.
    """

    kind: ClassVar[ComponentKind] = "intervention"

    def drawn(self, shape: Shape, rows: np.ndarray = ROWS, seed: int = 5, name: str = "it") -> Drawn:
        """The intervention with its parameters drawn for these rows, of which `MARKED` get it."""
        marked = MARKED if len(rows) == len(MARKED) else np.ones(len(rows), dtype=bool)
        return draw(name, self.built(), marked, rows, seed, shape)

    def test_follows_the_protocol(self) -> None:
        made = self.built()
        missing = [name for name in ("check", "draw", "apply", "mask") if not hasattr(made, name)]
        assert isinstance(made, Intervention), f"{self.name} is no Intervention: it lacks {', '.join(missing)}"

    @shapes
    def test_images_keep_their_shape_type_and_range_and_the_given_ones_are_not_touched(self, shape: Shape) -> None:
        images = pictures(shape)
        before = images.clone()
        out = self.drawn(shape).apply(images, np.arange(len(ROWS)))
        assert out.shape == images.shape
        assert out.dtype == torch.float32
        assert 0 <= float(out.min()) <= float(out.max()) <= 1, OUTSIDE
        assert torch.equal(images, before), "apply changed the images that it was given: work on a copy"

    @shapes
    def test_extreme_images_stay_finite_and_in_range(self, shape: Shape) -> None:
        for value in (0.0, 1.0):
            images = torch.full((len(ROWS), *shape), value)
            out = self.drawn(shape).apply(images, np.arange(len(ROWS)))
            assert bool(torch.isfinite(out).all()), f"NaN or infinite pixels on images that are {value:g} everywhere"
            assert 0 <= float(out.min()) <= float(out.max()) <= 1, OUTSIDE

    @shapes
    def test_it_is_the_same_whenever_it_is_drawn_and_applied(self, shape: Shape) -> None:
        images = pictures(shape)
        seed_torch(1)
        np.random.seed(1)  # noqa: NPY002 - global state must not matter
        first = self.drawn(shape).apply(images, np.arange(len(ROWS)))
        seed_torch(2)
        np.random.seed(2)  # noqa: NPY002
        again = self.drawn(shape).apply(images, np.arange(len(ROWS)))
        assert torch.equal(first, again), "it draws from a global generator: take draws.uniform or draws.seeds in draw"

    @shapes
    def test_a_rows_pixels_depend_neither_on_its_batch_nor_on_its_neighbours(self, shape: Shape) -> None:
        images = pictures(shape)
        together = self.drawn(shape).apply(images, np.arange(len(ROWS)))
        order = np.array([4, 2, 0, 5, 3, 1])
        shuffled = self.drawn(shape).apply(images[order], order)
        assert torch.equal(shuffled, together[order]), "a row's pixels depend on the order of its batch"
        for i in range(len(ROWS)):
            alone = self.drawn(shape).apply(images[i : i + 1], np.array([i]))
            assert torch.equal(alone[0], together[i]), "a row's pixels depend on its batch"
            by_itself = self.drawn(shape, ROWS[i : i + 1]).on(bool(MARKED[i])).apply(images[i : i + 1], np.array([0]))
            assert torch.equal(by_itself[0], together[i]), "a row's parameters depend on the other rows drawn with it"

    @shapes
    def test_parameters_are_one_number_per_row_and_named_by_row(self, shape: Shape) -> None:
        whole = self.drawn(shape).parameters
        part = self.drawn(shape, ROWS[2:4]).parameters
        for name, values in whole.items():
            assert values.shape == (len(ROWS),), f"'{name}' must hold one number per row"
            assert values.dtype in (torch.float64, torch.int64), f"'{name}' must be float64 or int64"
            assert torch.equal(values[2:4], part[name]), f"'{name}' of a row depends on the other rows"

    @shapes
    def test_unmarked_rows_and_an_intervention_that_is_off_change_nothing(self, shape: Shape) -> None:
        images = pictures(shape)
        change = self.drawn(shape)
        out = change.apply(images, np.arange(len(ROWS)))
        assert torch.equal(out[~MARKED], images[~MARKED])
        assert change.on(False).apply(images, np.arange(len(ROWS))) is images
        assert not bool(change.on(False).mask(np.arange(len(ROWS))).any())

    @shapes
    def test_the_mask_covers_every_pixel_that_differs(self, shape: Shape) -> None:
        images = pictures(shape)
        change = self.drawn(shape)
        mask = change.mask(np.arange(len(ROWS)))
        assert mask.shape == (len(ROWS), 1, *shape[1:])
        assert mask.dtype == torch.bool
        differs = (change.apply(images, np.arange(len(ROWS))) != images).any(dim=1, keepdim=True)
        outside = int((differs & ~mask).sum())
        assert outside == 0, f"{outside} pixels differ outside the mask"

    @shapes
    def test_reading_through_it_gives_the_pair_with_and_without(self, shape: Shape) -> None:
        images = ImagesInMemory(pictures(shape))
        change = self.drawn(shape)
        index = np.array([2, 5, 1])
        read = ChangedImages(images, [change]).read(index)
        assert torch.equal(read, change.apply(images.read(index), index))
        assert torch.equal(ChangedImages(images, [change.on(False)]).read(index), images.read(index))

    @shapes
    def test_an_empty_batch_stays_empty(self, shape: Shape) -> None:
        change = self.drawn(shape)
        nothing = np.array([], dtype=np.int64)
        assert change.apply(pictures(shape)[:0], nothing).shape == (0, *shape)
