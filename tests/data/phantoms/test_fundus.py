"""The fundus phantom: the conformance suite, purity of each factor, its grades by hand, and its lesions by kind."""

from __future__ import annotations

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

from assay.data.phantoms.fundus_lesions import Counts, grade_of
from assay.plugin import DataError, Phantom, Rendered, build
from assay.testing.data import Values, draw_phantom, grow

SEVERE = 4

KINDS: tuple[str, ...] = build("phantom", "fundus", {}).kinds
FEWEST = {
    "microaneurysms": (0, 1, 0, 2, 0), "hemorrhages": (0, 0, 0, 16, 0), "exudates": (0, 0, 0, 0, 0),
    "cotton_wool": (0, 0, 0, 0, 0), "new_vessels": (0, 0, 0, 0, 1),
}  # fmt: skip
"""Fewest lesions of each kind by grade, 0 to 4."""
MOST = {
    "microaneurysms": (0, 12, 16, 20, 20), "hemorrhages": (0, 0, 12, 30, 30), "exudates": (0, 0, 18, 30, 30),
    "cotton_wool": (0, 0, 4, 8, 8), "new_vessels": (0, 0, 0, 0, 3),
}  # fmt: skip
"""Most lesions of each kind by grade."""
DISC = 0.077
"""Radius of a usual disc, in sides of the image."""
OF_LESIONS = ("grade", *KINDS, "lesion_size", "lesion_contrast", "centrality")
REACH = 0.025
"""How far outside its mask a lesion may be seen: half of the widest edge, in sides of the image."""
CLEAR = {"scars": 0.0, "flaws": 0.0, "blur": 0.0, "texture": 0.0, "grain": 0.0}


def make(**arguments: float) -> Any:
    """Return the phantom."""
    return build("phantom", "fundus", arguments)


def fixed(rows: int, **values: float) -> dict[str, np.ndarray]:
    """A right eye of middling looks before the round camera, grade 0 and the fewest lesions but for what is given."""
    plain = dict.fromkeys(KINDS, 0.0) | {"grade": 0, "lesion_size": 1, "lesion_contrast": 1, "centrality": 0.5}
    plain |= {"side": 1, "camera": 0, "pigment": 0.5, "cup": 0.4, "caliber": 1, "illumination": 0}
    return {name: np.full(rows, value) for name, value in (plain | values).items()}


def counts(hemorrhages: tuple[int, int, int, int] = (0, 0, 0, 0), **others: int) -> Counts:
    plain = dict.fromkeys(("microaneurysms", "exudates", "cotton_wool", "new_vessels"), 0) | others
    return Counts(hemorrhages=np.array([hemorrhages]), **{kind: np.array([number]) for kind, number in plain.items()})


def spots_of(masks: Tensor) -> np.ndarray:
    """How many separate spots each mask [n, h, w] holds."""
    return np.array([ndimage.label(mask, np.ones((3, 3)))[1] for mask in masks.numpy()])


class TestFundus(Lesioned):
    sizes = (64, 65)
    lesion = OF_LESIONS
    looks = ("camera", "pigment", "cup", "caliber", "illumination")
    shown = fixed(8, grade=3)
    held = MappingProxyType({"grade": 4, "lesion_contrast": 1.0, "hemorrhages": 0.8})

    def make(self) -> Any:
        return make()

    def masks(self, values: Values, nuisance: np.ndarray) -> Tensor:
        return self.make().masks_by_kind(values, nuisance, 64, {})

    def may_touch(
        self, phantom: Phantom, factor: str, values: Values, nuisance: np.ndarray, before: Rendered, after: Rendered
    ) -> Tensor:
        if factor not in OF_LESIONS:
            return torch.ones_like(before.masks)
        return grow(before.masks | after.masks, int(np.ceil(REACH * before.images.shape[-1])) + 1)

    @settings(max_examples=8, deadline=None)
    @given(seed=st.integers(0, 2**31), kind=st.sampled_from(KINDS))
    def test_how_many_of_a_kind_there_are_leaves_the_others(self, seed: int, kind: str) -> None:
        phantom = make()
        values, nuisance = draw_phantom(phantom, 4, seed)
        values["grade"] = np.arange(1, 5)
        few, many = (phantom.masks_by_kind({**values, kind: np.full(4, s)}, nuisance, 96, {}) for s in (0.0, 1.0))
        own = KINDS.index(kind)
        others = [k for k in range(len(KINDS)) if k != own]
        assert torch.equal(few[:, others], many[:, others])
        assert bool((few[:, own] <= many[:, own]).all())


@pytest.mark.parametrize(
    ("lesions", "grade"),
    [
        (counts(), 0),
        (counts(microaneurysms=1), 1),
        (counts(microaneurysms=20), 1),
        (counts((0, 1, 0, 0)), 2),
        (counts(exudates=1), 2),
        (counts(cotton_wool=1, microaneurysms=3), 2),
        (counts((9, 9, 9, SEVERE - 1), exudates=40), 2),
        (counts((SEVERE, SEVERE, SEVERE, SEVERE)), 3),
        (counts((9, 9, 9, 9), new_vessels=1), 4),
        (counts(new_vessels=1), 4),
    ],
)
def test_the_rule_of_grades(lesions: Counts, grade: int) -> None:
    assert grade_of(lesions).tolist() == [grade]


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_lesions_make_the_grade_that_was_set(seed: int) -> None:
    phantom = make()
    values, nuisance = draw_phantom(phantom, 200, seed)
    if seed % 2:  # the ends of what a grade allows
        values |= {kind: np.round(values[kind]) for kind in KINDS}
    counted = phantom.counts(values, nuisance)
    np.testing.assert_array_equal(grade_of(counted), values["grade"])
    np.testing.assert_array_equal(grade_of(phantom.counts(values, nuisance, {"grade": 0})), 0)


@pytest.mark.parametrize("grade", range(5))
def test_counts_run_from_the_fewest_to_the_most_that_a_grade_allows(grade: int) -> None:
    phantom, seeds = make(), np.arange(40)
    ends = [phantom.counts(fixed(40, **(dict.fromkeys(KINDS, s) | {"grade": grade})), seeds) for s in (0.0, 1.0)]
    for kind in KINDS:
        few, many = (getattr(end, kind).reshape(40, -1).sum(1) for end in ends)
        assert set(many) == {MOST[kind][grade]}
        either = grade == 2 and kind in ("hemorrhages", "exudates")
        assert set(few) == ({0, 1} if either else {FEWEST[kind][grade]})
    if grade == 2:  # a hemorrhage or an exudate, never both, where nothing more was asked for
        assert bool((ends[0].hemorrhages.sum(1) + ends[0].exudates == 1).all())


@pytest.mark.parametrize("kind", KINDS)
def test_each_mask_holds_as_many_spots_as_were_counted(kind: str) -> None:
    """Spots of the smallest size, at a share that sets several: two that touch are one, which few are."""
    phantom, seeds = make(**CLEAR), np.arange(12)
    values = fixed(12, **{"grade": 4, "lesion_size": 0.7, "centrality": 0.5, kind: 0.6})
    stated = getattr(phantom.counts(values, seeds), kind).reshape(12, -1).sum(1)
    found = spots_of(phantom.masks_by_kind(values, seeds, 320, {})[:, KINDS.index(kind)])
    assert bool((found <= stated).all())
    assert found.sum() >= 0.95 * stated.sum()
    assert bool((found > 0).all())


def test_hemorrhages_lie_in_the_quadrants_that_they_are_counted_in() -> None:
    phantom, seeds = make(), np.arange(12)
    values = fixed(12, grade=3, lesion_size=0.7, hemorrhages=0.5)
    stated = phantom.counts(values, seeds).hemorrhages
    found = phantom.masks_by_kind(values, seeds, 320, {})[:, KINDS.index("hemorrhages")]
    # A spot may reach over the middle line: its middle counts.
    for index, row in enumerate(found.numpy()):
        labels, count = ndimage.label(row, np.ones((3, 3)))
        middles = np.array(ndimage.center_of_mass(row, labels, range(1, count + 1)))
        places = 2 * (middles[:, 0] > 159.5) + (middles[:, 1] > 159.5)
        apart = np.bincount(places.astype(int), minlength=4)
        assert bool((apart <= stated[index]).all())
        assert apart.sum() >= stated[index].sum() - 4


def test_masks_by_kind_make_the_union_and_show_where_the_picture_changed() -> None:
    phantom = make()
    values, nuisance = draw_phantom(phantom, 10, 5)
    values["grade"] = np.tile(np.arange(5), 2)
    rendered, kinds = phantom.render(values, nuisance, 96, {}), phantom.masks_by_kind(values, nuisance, 96, {})
    assert kinds.shape == (10, len(KINDS), 96, 96)
    assert torch.equal(rendered.masks, kinds.any(1, keepdim=True))
    without = phantom.render({**values, "grade": np.zeros(10, dtype=np.int64)}, nuisance, 96, {})
    changed = (rendered.images - without.images).abs().amax(1, keepdim=True) > 0.1
    assert not bool((changed & ~grow(rendered.masks, 3)).any())
    there = rendered.masks.flatten(1).any(1)
    np.testing.assert_array_equal(there.numpy(), values["grade"] > 0)


@pytest.mark.parametrize(
    ("kind", "channel", "sign"), first_of([("hemorrhages", 1, -1), ("exudates", 1, 1), ("cotton_wool", 2, 1)])
)
def test_lesions_are_dark_or_bright_by_their_kind(kind: str, channel: int, sign: int) -> None:
    phantom, seeds = make(**CLEAR), np.arange(20)
    values = fixed(20, grade=2, **{kind: 1.0})
    mask = phantom.masks_by_kind(values, seeds, 256, {})[:, KINDS.index(kind)]
    pictures = [phantom.render({**values, "lesion_contrast": np.full(20, c)}, seeds, 256, {}).images for c in (0.5, 1)]
    inside = [((picture[:, channel] * mask).sum((1, 2)) / mask.sum((1, 2))) for picture in pictures]
    assert bool((sign * (inside[1] - inside[0]) > 0).all())


def test_no_lesion_lies_beyond_the_view_of_a_camera() -> None:
    phantom = make(flaws=0)
    values, nuisance = draw_phantom(phantom, 20, 3)
    values |= {"grade": np.full(20, 4), "camera": np.ones(20), "lesion_size": np.full(20, 0.7)}
    values |= {kind: np.ones(20) for kind in KINDS}
    place = (np.arange(128) + 0.5) / 128 - 0.5
    seen = (np.hypot(place[:, None], place) < 0.496) & (np.abs(place)[:, None] < 0.42)
    rendered = phantom.render(values, nuisance, 128, {})
    images, masks = rendered.images, rendered.masks
    assert float(images[:, :, torch.as_tensor(~seen)].median()) == 0
    kept = masks[:, 0] & torch.as_tensor(seen)
    assert float(kept.sum() / masks.sum()) > 0.99


def test_the_disc_lies_to_the_nose_and_has_its_size() -> None:
    """With all else even, what a pale cup of 0.8 adds over one of 0.2 is a ring within the disc."""
    phantom, seeds = make(**CLEAR), np.arange(30)
    place = (np.arange(256) + 0.5) / 256 - 0.5
    for side, sign in ((0, -1), (1, 1)):
        large, small = (
            phantom.render(fixed(30, side=side, cup=cup), seeds, 256, {}).images[:, 2].numpy() for cup in (0.8, 0.2)
        )
        ring = np.abs(large - small)
        middle = (ring.sum(1) * place).sum(1) / ring.sum((1, 2))
        assert bool(((sign * middle > 0.19) & (sign * middle < 0.31)).all())
        across = (ring > 0.01).sum((1, 2)) / 256**2
        assert bool((across < np.pi * (1.2 * DISC) ** 2).all())
        assert bool((across > 0.3 * np.pi * DISC**2).all())


def test_eyes_of_a_patient_share_what_strangers_do_not() -> None:
    """The tint of two eyes of a patient (seeds 2k, 2k + 1), one mirrored, is nearer than that of two patients."""
    phantom, values = make(**CLEAR), fixed(60)
    tint = [
        phantom.render(values, 2 * np.arange(60) + eye, 64, {}).images[:, :, 24:40, 8:24].mean((2, 3)) for eye in (0, 1)
    ]
    tint = [colors[:, 2] / colors[:, 1] for colors in tint]
    within, between = tint[0] - tint[1], tint[0] - tint[1].roll(1)
    assert float(within.abs().mean()) < 0.75 * float(between.abs().mean())


def test_pigment_darkens_light_brightens_and_caliber_widens() -> None:
    def mean(**values: float) -> Tensor:
        return make(**CLEAR).render(fixed(20, **values), np.arange(20), 96, {}).images.mean((1, 2, 3))

    assert bool((mean(pigment=0) > mean(pigment=1)).all())
    assert bool((mean(illumination=-1) < mean(illumination=1)).all())
    assert bool((mean(caliber=0.8) > mean(caliber=1.25)).all())


def test_a_larger_image_shows_the_same_scene() -> None:
    phantom = make(grain=0)
    values, nuisance = draw_phantom(phantom, 16, 6)
    small, large = (phantom.render(values, nuisance, size, {}) for size in (64, 256))
    shrunk = torch.nn.functional.avg_pool2d(large.images, 4)
    assert float((small.images - shrunk).abs().mean()) < 0.02


def test_scars_of_laser_are_no_lesions_and_leave_the_masks() -> None:
    values, seeds = fixed(12, grade=2, exudates=0.5), np.arange(12)
    with_scars, without = (make(scars=share).render(values, seeds, 96, {}) for share in (1.0, 0.0))
    assert torch.equal(with_scars.masks, without.masks)
    assert bool(((with_scars.images - without.images).abs().amax((1, 2, 3)) > 0.05).all())


def test_the_least_radius_enlarges_small_lesions_and_leaves_large_ones() -> None:
    """A microaneurysm covers the disc of that radius; a hemorrhage that is larger stays as it is."""
    nuisance = np.arange(40)
    micro = fixed(40, grade=1, microaneurysms=0)  # one each
    usual, larger = (make(**CLEAR, smallest=least).render(micro, nuisance, 256, {}) for least in (0, 0.016))
    area = np.pi * (0.016 * 256) ** 2
    assert float(larger.masks.sum((1, 2, 3)).float().mean()) == pytest.approx(area, rel=0.1)
    assert float(usual.masks.sum((1, 2, 3)).float().mean()) < 0.2 * area
    tufts = fixed(40, grade=4)
    usual, larger = (make(**CLEAR, smallest=least).render(tufts, nuisance, 128, {}) for least in (0, 0.016))
    assert torch.equal(usual.images, larger.images)  # tufts are larger than that


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_of_lesion_is_left_out_and_all_else_is_the_same_to_the_bit(kind: str) -> None:
    phantom = make()
    values, nuisance = draw_phantom(phantom, 10, 5)
    values["grade"] = np.tile(np.arange(5), 2)
    whole, masks = phantom.render(values, nuisance, 96, {}), phantom.masks_by_kind(values, nuisance, 96, {})
    without = phantom.without(kind, values, nuisance, 96, {})
    own = KINDS.index(kind)
    others = masks[:, [k for k in range(len(KINDS)) if k != own]].any(1, keepdim=True)
    assert torch.equal(without.masks, others)
    changed = (whole.images != without.images).any(1, keepdim=True)
    assert bool((changed <= grow(masks[:, own : own + 1], 6)).all())
    shown = masks[:, own].flatten(1).any(1)
    assert torch.equal(changed.flatten(1).any(1), shown)
    assert bool(shown.any())


def test_a_kind_that_the_fundus_lacks_is_refused() -> None:
    phantom = make()
    with pytest.raises(DataError, match="has no lesions 'drusen'; expected one of microaneurysms, hemorrhages"):
        phantom.without("drusen", *draw_phantom(phantom, 1, 0), 96, {})
