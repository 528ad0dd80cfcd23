"""Suite of phantoms whose lesion is there or not."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

from assay.plugin import Phantom
from assay.testing.data import PhantomConformance, Values, draw_phantom

SEEDS = pytest.mark.parametrize("seed", range(5))


class Lesioned(PhantomConformance):
    """Define what the suite of phantoms asks for, too.

    Attributes:
        lesion: Factors of the lesion; there is none where the first is 0.
        looks: Factors that leave its masks.
        shown: Values at which a lesion of eight images is plainly there.
    """

    wrong_sizes = (0, 63, 513)
    lesion: ClassVar[tuple[str, ...]]
    looks: ClassVar[tuple[str, ...]]
    shown: ClassVar[Values]

    def masks(self, values: Values, nuisance: np.ndarray) -> Tensor:
        """Return all masks that the phantom draws."""
        return self.make().render(values, nuisance, 64, {}).masks

    @SEEDS
    def test_without_a_lesion_nothing_of_it_shows(self, phantom: Phantom, seed: int) -> None:
        values, nuisance = draw_phantom(phantom, 3, seed)
        values[self.lesion[0]] = np.zeros(3, dtype=np.int64)
        bare = phantom.render(values, nuisance, 64, {})
        assert not bool(bare.masks.any())
        for name in self.lesion[1:]:
            other = {**values, name: phantom.quantile(name, np.random.default_rng(seed).random(3))}
            assert torch.equal(phantom.render(other, nuisance, 64, {}).images, bare.images)

    @SEEDS
    def test_looks_leave_the_masks(self, phantom: Phantom, seed: int) -> None:
        values, nuisance = draw_phantom(phantom, 3, seed)
        for name in self.looks:
            ends = [{**values, name: phantom.quantile(name, np.full(3, u))} for u in (0.0, 0.999)]
            assert torch.equal(*(self.masks(end, nuisance) for end in ends)), name

    def test_at_no_difficulty_there_is_no_lesion_and_at_half_it_is_half_seen(self, phantom: Phantom) -> None:
        name, seeds = self.lesion[0], np.arange(8)
        without = phantom.render({**self.shown, name: np.zeros(8)}, seeds, 64, {})
        hidden, half, whole = (phantom.render(self.shown, seeds, 64, {name: d}) for d in (0.0, 0.5, 1.0))
        assert torch.equal(hidden.images, without.images)
        assert not bool(hidden.masks.any())
        assert torch.equal(half.masks, whole.masks)
        change = [(seen.images - without.images).abs().mean((1, 2, 3)) for seen in (half, whole)]
        assert bool((change[0] < 0.8 * change[1]).all())
        assert bool((change[0] > 0.2 * change[1]).all())
