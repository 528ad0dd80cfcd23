"""The foot phantom: the conformance suite, purity of each factor, and that ulcers are where and what they are said."""

from __future__ import annotations

from itertools import pairwise
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from tests.cases import first_of
from tests.data.phantoms.lesioned import Lesioned
from torch import Tensor

from assay.data.phantoms.drawing import draw_depth
from assay.data.phantoms.foot_anatomy import depth_of, foot, photo, toes_of
from assay.plugin import Draw, Grid, Phantom, Rendered, build
from assay.testing.data import Values, draw_phantom, grow

SHADOW = 9.0

SIDE = 100
"""Of an image, in per cent."""
OF_THE_ULCER = ("lesion", "size", "contrast", "slough", "rim", "irregularity", "position_x", "position_y", "count")
LARGEST = 24.0
FURTHEST = 0.5 * LARGEST * (0.7 + 0.15) + 1.5
"""How far from its bed redness and ragged edge of the largest ulcer reach, in % of the side."""


def make(**arguments: float) -> Any:
    """Return the phantom."""
    return build("phantom", "foot", arguments)


def fixed(rows: int, **values: float) -> dict[str, np.ndarray]:
    """A light sole on white cloth with one ulcer of 12% in its middle, but for what is given."""
    plain = {"lesion": 1, "size": 0.12, "contrast": 1, "slough": 0, "rim": 0, "irregularity": 0.5, "position_x": 0}
    plain |= {"position_y": 0, "count": 0, "skin_tone": 0.3, "background": 0, "illumination": -0.3, "view": 0, **values}
    return {name: np.full(rows, value) for name, value in plain.items()}


def covered(values: Values, nuisance: np.ndarray, size: int) -> Tensor:
    """% of the side that each pixel lies inside the foot's outline, negative outside."""
    grid = Grid(size, SIDE, "cpu")
    draw = Draw(nuisance, "foot-")
    shape = foot(make().design.request(values, nuisance, {}), photo(draw, 0.5), draw)
    depth = depth_of(shape, grid)
    draw_depth(depth.view(len(nuisance), -1), toes_of(shape), SHADOW, grid)
    return depth


def upright(values: Values, count: int) -> np.ndarray:
    """Nuisance seeds of feet that stand upright in the picture."""
    seeds = np.arange(6 * count)
    many = {name: np.repeat(column[:1], len(seeds)) for name, column in values.items()}
    draw = Draw(seeds, "foot-")
    return seeds[foot(make().design.request(many, seeds, {}), photo(draw, 0.5), draw).on == 0][:count]


class TestFoot(Lesioned):
    sizes = (64, 65, 96)
    lesion = OF_THE_ULCER
    looks = ("contrast", "slough", "rim", "skin_tone", "background", "illumination")
    shown = fixed(8)
    held = MappingProxyType({"lesion": 1})  # an ulcer is there to have a size

    def make(self) -> Phantom:
        return make()

    def may_touch(
        self, phantom: Phantom, factor: str, values: Values, nuisance: np.ndarray, before: Rendered, after: Rendered
    ) -> Tensor:
        size = before.images.shape[-1]
        if factor in OF_THE_ULCER:
            return grow(before.masks | after.masks, int(np.ceil(FURTHEST * size / SIDE)) + 1)
        edge = 0.5 * (0.5 + 1.1 * SIDE / size)
        inside = covered(values, nuisance, size)[:, None]
        if factor == "skin_tone":
            return inside > -edge
        if factor == "background":  # the cloth's relief lights the pixels next to it
            return grow(inside < edge, 1)
        return torch.ones_like(before.masks)

    @settings(max_examples=10, deadline=None)
    @given(seed=st.integers(0, 2**31))
    def test_no_ulcer_lies_beside_the_foot(self, seed: int) -> None:
        values, nuisance = draw_phantom(make(), 4, seed)
        masks = make().render(values, nuisance, 64, {}).masks[:, 0]
        assert not bool((masks & (covered(values, nuisance, 64) < 0)).any())


@pytest.mark.parametrize("irregularity", first_of([0.0, 0.5, 1.0]))
@pytest.mark.parametrize("size", first_of([0.04, 0.1, 0.16]))
def test_the_mask_has_the_area_of_the_stated_diameter(size: float, irregularity: float) -> None:
    values = fixed(60, size=size, irregularity=irregularity)
    masks = make().render(values, upright(values, 60), 256, {}).masks
    area = masks.double().mean()
    assert float(area) == pytest.approx(np.pi * size**2 / 4, rel=0.04)


def centroid(masks: Tensor) -> tuple[Tensor, Tensor]:
    """x and y in % of the side."""
    line = (torch.arange(masks.shape[-1]) + 0.5) * (100 / masks.shape[-1])
    area = masks.sum((1, 2))
    return (masks.sum(1) * line).sum(1) / area, (masks.sum(2) * line).sum(1) / area


def test_position_x_runs_from_left_to_right_over_half_of_the_foot() -> None:
    """From -1 to 1 an ulcer's center moves by 0.55 of the width that the foot has there."""
    values = fixed(20, size=0.06, irregularity=0)
    seeds = upright(values, 20)
    left, right = (
        centroid(make().render({**values, "position_x": np.full(20, x)}, seeds, 256, {}).masks[:, 0])
        for x in (-1.0, 1.0)
    )
    torch.testing.assert_close(left[1], right[1], atol=0.5, rtol=0)
    line = (left[1] * 2.56).long()
    width = (covered(values, seeds, 256)[torch.arange(20), line] >= 0).sum(1) / 2.56
    torch.testing.assert_close((right[0] - left[0]) / width, torch.full((20,), 0.55), atol=0.03, rtol=0)


@pytest.mark.parametrize("view", [0, 1, 2, 3])
def test_position_y_runs_from_top_to_bottom(view: int) -> None:
    values = fixed(20, size=0.06, view=view)
    seeds = upright(values, 20)
    heights = [
        centroid(make().render({**values, "position_y": np.full(20, y)}, seeds, 128, {}).masks[:, 0])[1]
        for y in (-1.0, 0.0, 1.0)
    ]
    assert bool((heights[0] + 5 < heights[1]).all())
    assert bool((heights[1] + 5 < heights[2]).all())


@pytest.mark.parametrize("share", first_of([0.1, 0.3, 0.6, 1.0]))
def test_slough_covers_the_stated_share_of_the_bed(share: float) -> None:
    values = fixed(40, size=0.16)
    seeds = upright(values, 40)
    clean, covered_ = (make(grain=0).render({**values, "slough": np.full(40, s)}, seeds, 192, {}) for s in (0.0, share))
    change = (clean.images - covered_.images).abs().amax(1)
    bed = clean.masks[:, 0]
    half = 0.5 * torch.stack([each[inside].quantile(0.98) for each, inside in zip(change, bed, strict=True)])
    found = ((change > half[:, None, None]) & bed).sum((1, 2)) / bed.sum((1, 2))
    assert float(found.mean()) == pytest.approx(share, abs=0.05)


def test_contrast_is_how_far_the_bed_departs_from_skin() -> None:
    values = fixed(30, size=0.16, slough=0, irregularity=0)
    seeds = upright(values, 30)
    bare, faint, full = (
        make(grain=0).render({**values, "lesion": np.full(30, there), "contrast": np.full(30, c)}, seeds, 96, {})
        for there, c in ((0, 1.0), (1, 0.5), (1, 1.0))
    )
    bed = full.masks.expand_as(full.images)
    step, half = (full.images - bare.images)[bed], (faint.images - bare.images)[bed]
    strong = step.abs() > 0.1
    assert float((half[strong] / step[strong]).median()) == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_there_are_as_many_ulcers_as_stated(count: int) -> None:
    values = fixed(40, size=0.08, count=count)
    masks = make().render(values, upright(values, 40), 128, {}).masks[:, 0].numpy()
    found = [ndimage.label(mask, np.ones((3, 3)))[1] for mask in masks]
    assert found == [count + 1] * 40


def test_the_others_are_smaller_than_the_first() -> None:
    values = fixed(30, size=0.12, count=2)
    seeds = upright(values, 30)
    alone, all_three = (make().render({**values, "count": np.full(30, c)}, seeds, 128, {}).masks for c in (0, 2))
    first, others = alone.sum((1, 2, 3)), (all_three & ~alone).sum((1, 2, 3))
    assert bool((alone & ~all_three).sum() == 0)
    # Two more, of at most 0.6 of the first one's diameter.
    assert bool((others < 2 * 0.6**2 * 1.15 * first).all())


def test_darker_skin_is_darker_and_covers_the_whole_range() -> None:
    values = fixed(20, lesion=0, illumination=0)
    seeds = upright(values, 20)
    means: list[float] = []
    for tone in (0.0, 0.25, 0.5, 0.75, 1.0):
        images = make(marks=0).render({**values, "skin_tone": np.full(20, tone)}, seeds, 64, {}).images
        inside = covered(values, seeds, 64) > 3
        means.append(float(images.mean(1)[inside].mean()))
    assert all(after < before - 0.03 for before, after in pairwise(means))
    assert means[-1] < 0.6 * means[0]


@pytest.mark.parametrize(("padded", "black"), [(0.0, 0), (1.0, 1)])
def test_padded_photographs_leave_a_quarter_black(padded: float, black: int) -> None:
    values, nuisance = draw_phantom(make(), 60, 3)
    images = make(padded=padded).render(values, nuisance, 64, {}).images
    right, below = (images[..., 48:] == 0).all((1, 2, 3)), (images[:, :, 48:] == 0).all((1, 2, 3))
    assert bool(((right | below) == bool(black)).all())
    assert bool((images[..., :48, :48].amax((1, 2, 3)) > 0.1).all())
    if black:
        assert 0.7 < float(right.float().mean()) < 1


def test_marks_are_alike_with_and_without_an_ulcer() -> None:
    """What they change in a picture without an ulcer they change in the one with it, wherever the ulcer is not."""
    values, nuisance = draw_phantom(make(), 30, 4)
    changed: list[Tensor] = []
    masks: list[Tensor] = []
    for there in (0, 1):
        one = {**values, "lesion": np.full(30, there)}
        with_marks, without = (make(marks=m).render(one, nuisance, 64, {}) for m in (1.0, 0.0))
        changed.append((with_marks.images != without.images).any(1, keepdim=True))
        masks.append(with_marks.masks)
    elsewhere = ~grow(masks[1], int(np.ceil(FURTHEST * 64 / SIDE)) + 1)
    assert torch.equal(changed[0] & elsewhere, changed[1] & elsewhere)
    assert int(changed[0].any((1, 2, 3)).sum()) > 15
