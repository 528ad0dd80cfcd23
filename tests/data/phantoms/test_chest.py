"""The chest phantom: the conformance suite, purity of each factor, and that factors are what they say."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.data.phantoms.lesioned import Lesioned
from torch import Tensor

from assay.data.phantoms.chest import anatomy, chest_coordinates
from assay.plugin import Grid, Phantom, Rendered, build
from assay.testing.data import Values, draw_phantom

FIELD, SOFTEST = 400.0, 22.0
"""Side of an image, and width of the most ill-defined edge, in mm."""
OF_THE_MASS = ("mass", "size", "contrast", "edge", "side", "zone")


def make(**arguments: float) -> Any:
    """Return the phantom."""
    return build("phantom", "chest", arguments)


def fixed(count: int, **values: float) -> dict[str, np.ndarray]:
    """A PA radiograph of a man of 50 with a mass of 40 mm in the right middle zone, but for what is given."""
    plain = {"mass": 1, "size": 40, "contrast": 0.35, "edge": 0.5, "side": 0, "zone": 1, "sex": 1, "age": 50}
    plain |= {"view": 0, "scanner": 0, "habitus": 0.5, "exposure": 0, **values}
    return {name: np.full(count, value) for name, value in plain.items()}


def trunk(values: Values, nuisance: np.ndarray, size: int) -> Tensor:
    """Pixels on the patient's trunk, neck and shoulders, to half of the softest edge beyond the skin."""
    rows = make().design.request(values, nuisance, {})
    at = chest_coordinates(anatomy(rows), np.zeros(len(nuisance)), Grid(size, FIELD, "cpu"))
    return (at.away <= at.along(at.outlines.body + 4))[:, None]


class TestChest(Lesioned):
    sizes = (64, 65, 96)
    lesion = OF_THE_MASS
    looks = ("age", "scanner", "exposure")
    shown = fixed(8)
    reach_mm = SOFTEST / 2 + FIELD / 64
    held = MappingProxyType({"mass": 1, "edge": 0})  # size, place and edge of a mass are seen where there is one

    def make(self) -> Phantom:
        return make()

    def may_touch(
        self, phantom: Phantom, factor: str, values: Values, nuisance: np.ndarray, before: Rendered, after: Rendered
    ) -> Tensor:
        if factor in OF_THE_MASS:
            return super().may_touch(phantom, factor, values, nuisance, before, after)
        if factor == "age":
            return trunk(values, nuisance, before.images.shape[-1])
        return torch.ones_like(before.masks)

    @settings(max_examples=10, deadline=None)
    @given(seed=st.integers(0, 2**31))
    def test_a_mass_only_adds(self, seed: int) -> None:
        phantom = make(grain=0)
        values, nuisance = draw_phantom(phantom, 3, seed)
        without, present = (
            phantom.render({**values, "mass": np.full(3, there)}, nuisance, 64, {}).images for there in (0, 1)
        )
        assert bool((present >= without).all())


@pytest.mark.parametrize("size", [29.0, 45.0, 67.0])
def test_the_mask_has_the_area_of_the_stated_diameter(size: float) -> None:
    masks = make().render(fixed(40, size=size), np.arange(40), 128, {}).masks
    area = masks.sum((1, 2, 3)).double().mean() * (FIELD / 128) ** 2
    # The uneven outline adds half the mean square of its harmonics, under 1% here.
    assert float(area) == pytest.approx(np.pi * size**2 / 4, rel=0.03)


def test_the_mass_lies_in_the_stated_lung_and_zone() -> None:
    line = torch.arange(128, dtype=torch.float64)
    heights = []
    for zone in (0, 1, 2):
        for side in (0, 1):
            masks = make().render(fixed(60, side=side, zone=zone, size=30), np.arange(60), 128, {}).masks[:, 0]
            area = masks.sum((1, 2)).double()
            across = (masks.sum(1) * line).sum(1) / area
            assert bool(((across > 64) == bool(side)).all())
            heights.append(((masks.sum(2) * line).sum(1) / area).mean())
    assert heights[0] < heights[2] < heights[4]
    assert heights[1] < heights[3] < heights[5]


def test_contrast_is_what_the_mass_adds_at_its_center() -> None:
    """Where the tone curve is all but straight, twice the contrast is twice the step."""
    steps = []
    for contrast in (0.0, 0.2, 0.4):
        seen = fixed(30, contrast=max(contrast, 0.2), mass=contrast > 0, exposure=-1, edge=0)
        images = make(grain=0).render(seen, np.arange(30), 96, {}).images
        steps.append(images)
    once, twice = (steps[1] - steps[0]).amax((1, 2, 3)), (steps[2] - steps[0]).amax((1, 2, 3))
    assert float((twice / once).median()) == pytest.approx(2, rel=0.12)


def test_gray_levels_use_the_range_without_clipping_the_lungs() -> None:
    phantom = make()
    values, nuisance = draw_phantom(phantom, 64, 5)
    images = phantom.render(values, nuisance, 64, {}).images
    assert float((images == 0).float().mean()) < 0.2
    assert float((images == 1).float().mean()) < 0.2


def test_sides_are_alike_but_for_heart_and_dome() -> None:
    """With nothing drawn by chance, the left half mirrored differs less from the right than another patient does."""
    phantom = make(grain=0, vessels=0, texture=0)
    images = phantom.render(fixed(40, mass=0), np.arange(40), 64, {}).images[:, 0]
    top = images[:, 18:28]
    assert float((top - top.flip(2)).abs().mean()) < float((top - top.roll(1, 0)).abs().mean())


def test_every_seed_fits_in_the_image() -> None:
    """The lungs of any patient lie in the image: its top and bottom lines are as bright as neck and belly are."""
    phantom = make(grain=0)
    values, nuisance = draw_phantom(phantom, 200, 7)
    images = phantom.render({**values, "mass": np.zeros(200, dtype=np.int64)}, nuisance, 64, {}).images[:, 0]
    middle = images[:, -3:, 20:44].mean((1, 2))
    lungs = images[:, 24:36, 14:50].amin((1, 2))
    assert bool((middle > lungs + 0.2).all())
