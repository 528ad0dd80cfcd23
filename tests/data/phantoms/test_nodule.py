"""The nodule phantom: the conformance suite, purity of each factor, and that factors are what they say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from assay.plugin import AssayError, Phantom, Rendered, build
from assay.testing.data import PhantomConformance, Values, draw_phantom, grow

SOLID, GROUND_GLASS = 0, 2
FIELD, FEEDER = 48.0, 4.5
"""Side of an image, and the longest piece of the feeding vessel, in mm."""
LOW, HIGH = -1000.0, 400.0
"""HU of pixel values 0 and 1."""


def make(**arguments: float) -> Any:
    """Return the phantom."""
    return build("phantom", "nodule", arguments)


def fixed(count: int, **values: float) -> dict[str, np.ndarray]:
    """A round, smooth, solid nodule of 12 mm in the middle, but for what is given."""
    plain = {"margin": 0, "texture": 0, "size": 12, "contrast": 800, "position_x": 0, "position_y": 0}
    return {name: np.full(count, value) for name, value in {**plain, "elongation": 1, "vessel": 0, **values}.items()}


class TestNodule(PhantomConformance):
    sizes = (32, 64, 100)
    wrong_sizes = (0, 31, 257)
    # The longest spicule, the outer half of a spicule's width, half of the softest edge, and a pixel.
    reach_mm = 6.5 + 1.6 + 2.6 + FIELD / 64

    def make(self) -> Phantom:
        return make()

    def may_touch(
        self, phantom: Phantom, factor: str, values: Values, nuisance: np.ndarray, before: Rendered, after: Rendered
    ) -> Tensor:
        lesion = super().may_touch(phantom, factor, values, nuisance, before, after)
        if factor in ("margin", "texture", "contrast"):
            return lesion  # the feeding vessel stays as it is
        attached = torch.as_tensor((values["vessel"] == 1) | (factor == "vessel"))[:, None, None, None]
        pixels = int(np.ceil((3 * FEEDER + 2.5) / (FIELD / before.images.shape[-1])))
        return lesion | (attached & grow(before.masks | after.masks, pixels))

    @settings(max_examples=10, deadline=None)
    @given(seed=st.integers(0, 2**31))
    def test_texture_contrast_and_vessel_leave_the_outline(self, seed: int) -> None:
        phantom = make()
        values, nuisance = draw_phantom(phantom, 3, seed)
        outline = phantom.render(values, nuisance, 64, {}).masks
        for name, other in (("texture", 2), ("contrast", 560.0), ("vessel", 1)):
            changed = {**values, name: np.full(3, other)}
            assert torch.equal(phantom.render(changed, nuisance, 64, {}).masks, outline)

    @settings(max_examples=10, deadline=None)
    @given(seed=st.integers(0, 2**31), low=st.floats(0, 1), high=st.floats(0, 1))
    def test_the_mask_grows_with_the_margin(self, seed: int, low: float, high: float) -> None:
        low, high = sorted((low, high))
        masks = [make().render(fixed(2, margin=m), np.array([seed, 7]), 64, {}).masks for m in (low, high)]
        assert not bool((masks[0] & ~masks[1]).any())


def test_difficulty_outside_what_it_may_be_is_refused_with_its_range() -> None:
    with pytest.raises(AssayError, match=r"difficulty of 'margin' is 4; give 0 \(invisible\) to 3, normal being 1"):
        make().render(fixed(1), np.array([1]), 64, {"margin": 4})


def test_an_out_of_range_value_is_told_with_row_and_unit() -> None:
    values = {**fixed(3), "size": np.array([12.0, 40.0, 50.0])}
    with pytest.raises(AssayError, match=r"factor 'size' is 40 in row 1 \(2 such value\(s\)\); allowed: 6 to 18 mm"):
        make().render(values, np.arange(3), 64, {})


@pytest.mark.parametrize(("size", "elongation"), [(6.0, 1.0), (12.0, 1.6), (18.0, 1.3)])
def test_the_mask_has_the_area_of_the_stated_diameter(size: float, elongation: float) -> None:
    masks = make().render(fixed(40, size=size, elongation=elongation), np.arange(40), 128, {}).masks
    area = masks.sum((1, 2, 3)).double().mean() * (FIELD / 128) ** 2
    # The uneven outline adds half the mean square of its harmonics, under 1% here.
    assert float(area) == pytest.approx(np.pi * size**2 / 4, rel=0.03)


def test_the_mask_has_its_center_where_it_is_put() -> None:
    masks = make().render(fixed(60, position_x=5, position_y=-3), np.arange(60), 64, {}).masks[:, 0].double()
    line = (torch.arange(64, dtype=torch.float64) + 0.5 - 32) * (FIELD / 64)
    area = masks.sum((1, 2))
    assert float(((masks.sum(1) * line).sum(1) / area).mean()) == pytest.approx(5, abs=0.15)
    assert float(((masks.sum(2) * line).sum(1) / area).mean()) == pytest.approx(-3, abs=0.15)


def test_the_mask_is_as_elongated_as_stated() -> None:
    masks = make().render(fixed(80, elongation=1.5, size=16), np.arange(80), 128, {}).masks[:, 0].double()
    line = torch.arange(128, dtype=torch.float64)
    area = masks.sum((1, 2))
    mean_x, mean_y = (masks.sum(1) * line).sum(1) / area, (masks.sum(2) * line).sum(1) / area
    dx, dy = line[None] - mean_x[:, None], line[None] - mean_y[:, None]
    xx = torch.einsum("nhw,nw->n", masks, dx**2) / area
    yy = torch.einsum("nhw,nh->n", masks, dy**2) / area
    xy = torch.einsum("nhw,nh,nw->n", masks, dy, dx) / area
    spread = torch.linalg.eigvalsh(torch.stack([torch.stack([xx, xy], -1), torch.stack([xy, yy], -1)], -2))
    assert float((spread[:, 1] / spread[:, 0]).sqrt().median()) == pytest.approx(1.5, rel=0.05)


def test_contrast_is_the_step_from_lung_to_the_middle_of_a_solid_nodule() -> None:
    bare = make(noise=0, parenchyma=0, vessels=0, wall=0)
    for texture, opacity in ((SOLID, 1.0), (GROUND_GLASS, 0.45)):
        images = bare.render(fixed(5, contrast=600, texture=texture), np.arange(5), 64, {}).images * (HIGH - LOW) + LOW
        step = images[:, 0, 32, 32] - images[:, 0, 2, 2]
        np.testing.assert_allclose(step.numpy(), 600 * opacity, atol=0.1)


def test_noise_has_the_stated_deviation_at_a_fixed_dose_at_every_size_from_64() -> None:
    for size in (64, 100, 256):
        quiet, noisy = (
            make(noise=noise, dose=0, parenchyma=0, vessels=0, wall=0)
            .render(fixed(24), np.arange(24), size, {})
            .images[:, 0, : size // 4]
            for noise in (0.0, 40.0)
        )
        deviation = float((noisy - quiet).double().std()) * (HIGH - LOW)
        assert deviation == pytest.approx(40, rel=0.04)


def test_nothing_but_the_nodule_where_all_else_is_turned_off() -> None:
    bare = make(noise=0, parenchyma=0, vessels=0, wall=0)
    rendered = bare.render(fixed(9), np.arange(9), 64, {})
    outside = ~grow(rendered.masks, 4)
    for image, elsewhere in zip(rendered.images, outside, strict=True):
        assert len(torch.unique(image[elsewhere])) == 1
