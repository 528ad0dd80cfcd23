"""The endoscopy phantom: the conformance suite, purity of each factor, and that factors are what they say."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage
from tests.data.phantoms.lesioned import Lesioned
from torch import Tensor

from assay.data.phantoms.endoscopy import view
from assay.plugin import Draw, Grid, Phantom, Rendered, build
from assay.testing.data import Values, draw_phantom, grow

SHADOW = 0.45
"""Reach of a polyp's shadow beyond its outline, in its radii."""
OF_THE_LESION = ("lesion", "size", "shape", "contrast", "texture", "position_x", "position_y", "count")
OF_THE_PICTURE = tuple(
    factor.name for factor in build("phantom", "endoscopy", {}).factors if factor.name not in OF_THE_LESION
)
LONGEST = 0.5 * np.sqrt(1.5) * (1 + SHADOW)
"""How far from its center the roundest shadow of a polyp of diameter 1 can reach: its long half axis, and beyond."""


def make(**arguments: float) -> Any:
    """Return the phantom."""
    return build("phantom", "endoscopy", arguments)


def fixed(rows: int, **values: float) -> dict[str, np.ndarray]:
    """A smooth sessile polyp of 0.3 in the middle of an image without bubbles, but for what is given."""
    plain = {"lesion": 1, "size": 0.3, "shape": 0.5, "contrast": 0.5, "texture": 0, "position_x": 0, "position_y": 0}
    plain |= {"count": 0, "hue": 0, "illumination": 0, "folds": 0.5, "distance": 0.5, "bubbles": 0, "highlights": 0}
    return {name: np.full(rows, value) for name, value in (plain | values).items()}


def images_of(rows: int = 40, pixels: int = 64, **values: float) -> Tensor:
    return make().render(fixed(rows, **values), np.arange(rows), pixels, {}).images


def masks_of(rows: int = 40, pixels: int = 128, **values: float) -> Tensor:
    return make().render(fixed(rows, **values), np.arange(rows), pixels, {}).masks[:, 0]


class TestEndoscopy(Lesioned):
    sizes = (64, 65, 96)
    lesion = OF_THE_LESION
    looks = OF_THE_PICTURE
    shown = fixed(8, shape=0.7)
    held = MappingProxyType({"lesion": 1, "size": 0.4})  # the look of a polyp is seen where there is one

    def make(self) -> Phantom:
        return make()

    def may_touch(
        self, phantom: Phantom, factor: str, values: Values, nuisance: np.ndarray, before: Rendered, after: Rendered
    ) -> Tensor:
        if factor in OF_THE_PICTURE:
            return torch.ones_like(before.masks)
        pixels = before.images.shape[-1]
        widest = 0.62 if factor == "size" else values["size"]
        reach = np.ceil(LONGEST * widest * np.ones(len(nuisance)) * pixels).astype(int) + 1
        either = before.masks | after.masks
        return torch.cat([grow(either[i : i + 1], int(reach[i])) for i in range(len(nuisance))])


@pytest.mark.parametrize("size", [0.14, 0.25, 0.45])
def test_the_mask_has_the_area_of_the_stated_diameter(size: float) -> None:
    # The uneven outline adds half the mean square of its harmonics, under half a per cent.
    area = masks_of(size=size, shape=0.3).sum((1, 2)).double() / 128**2
    assert area.numpy() == pytest.approx(np.full(40, np.pi * size**2 / 4), rel=0.04)


@pytest.mark.parametrize(("x", "y"), [(-0.2, 0.1), (0.0, 0.0), (0.15, -0.2)])
def test_the_polyp_lies_where_it_is_stated(x: float, y: float) -> None:
    place = (torch.arange(128, dtype=torch.float64) + 0.5) / 128 - 0.5
    masks = masks_of(size=0.2, position_x=x, position_y=y).double()
    area = masks.sum((1, 2))
    assert ((masks.sum(1) * place).sum(1) / area).numpy() == pytest.approx(np.full(40, x), abs=0.006)
    assert ((masks.sum(2) * place).sum(1) / area).numpy() == pytest.approx(np.full(40, y), abs=0.006)


@pytest.mark.parametrize("further", [0, 1, 2])
def test_there_are_as_many_polyps_as_stated(further: int) -> None:
    masks = masks_of(size=0.2, shape=0.3, count=further)
    assert {int(ndimage.label(mask)[1]) for mask in masks.numpy()} == {further + 1}


def test_a_stalk_grows_from_the_head_and_only_on_pedunculated_polyps() -> None:
    flat, sessile, stalked = (masks_of(shape=shape) for shape in (0.0, 0.6, 1.0))
    assert torch.equal(flat, sessile)
    assert bool((stalked >= sessile).all())
    grown = (stalked.sum((1, 2)) / sessile.sum((1, 2))).double()
    assert bool((grown > 1.03).all())
    assert bool((grown < 1.6).all())


def test_a_polyp_is_redder_or_paler_than_the_mucosa_by_its_contrast() -> None:
    """Blood takes green; three seeds in four are redder (200 seeds: 5 standard deviations are 31)."""
    inside = masks_of(200, 64)

    def green(contrast: float) -> np.ndarray:
        images = images_of(200, contrast=contrast)
        return ((images[:, 1] * inside).sum((1, 2)) / (images[:, 0] * inside).sum((1, 2))).numpy()

    none, half, full = green(0.0), green(0.5), green(1.0)
    redder = full < none
    assert abs(int(redder.sum()) - 150) < 31
    assert bool((np.abs(full - none) > 1.5 * np.abs(half - none)).all())
    assert bool(((half < none) == redder).all())


def test_hue_and_illumination_are_monotone_for_every_seed() -> None:
    ratio = [(i[:, 0].sum((1, 2)) / i[:, 1].sum((1, 2))) for i in (images_of(hue=h) for h in (-1, 0, 1))]
    assert bool((ratio[0] < ratio[1]).all())
    assert bool((ratio[1] < ratio[2]).all())
    bright = [images_of(illumination=e).mean((1, 2, 3)) for e in (-1, 0, 1)]
    assert bool((bright[0] < bright[1]).all())
    assert bool((bright[1] < bright[2]).all())


def test_far_from_the_wall_the_lumen_is_in_sight_as_its_dark_middle() -> None:
    darkest = [images_of(lesion=0, distance=d, folds=0)[:, 0, 16:48, 16:48].amin((1, 2)) for d in (0, 1)]
    assert bool((darkest[1] < 0.2).all())
    assert float(darkest[0].median()) > 2 * float(darkest[1].median())


def test_folds_darken_and_set_edges() -> None:
    folded, smooth = (images_of(lesion=0, folds=depth)[:, :, 16:48, 16:48] for depth in (1, 0))
    assert float((folded - smooth).mean()) < 0
    step = [(i[:, :, :, 1:] - i[:, :, :, :-1]).abs().amax((1, 2, 3)).median() for i in (folded, smooth)]
    assert float(step[0]) > 1.5 * float(step[1])


@pytest.mark.parametrize("factor", ["highlights", "bubbles"])
def test_glints_and_bubbles_only_add_light(factor: str) -> None:
    none, many = (images_of(40, 64, **{"lesion": 0.0, factor: value}) for value in (0.0, 1.0))
    assert bool((many >= none - 1e-6).all())
    assert float((many - none).amax((1, 2, 3)).median()) > 0.2


def test_outside_the_scopes_view_all_is_one_dark_gray_and_nothing_is_marked() -> None:
    phantom = make()
    values, nuisance = draw_phantom(phantom, 60, 3)
    values |= {"lesion": np.ones(60, dtype=np.int64), "size": np.full(60, 0.62)}
    rendered = phantom.render(values, nuisance, 96, {})
    seen = view(Draw(nuisance), Grid(96, 1.0, "cpu"))
    assert not bool((rendered.masks[:, 0] & (seen < 0.5)).any())
    for image, inside in zip(rendered.images, seen, strict=True):
        beyond = image[:, inside == 0]
        assert 0.05 < beyond.shape[1] / 96**2 < 0.5
        assert float(beyond.min()) == float(beyond.max())
        assert float(beyond.max()) <= 0.04
    assert bool((rendered.masks[:, 0] & (seen >= 0.5)).flatten(1).any(1).all())


def test_a_larger_image_shows_the_same_scene() -> None:
    phantom = make(grain=0)
    values, nuisance = draw_phantom(phantom, 24, 6)
    small, large = (phantom.render(values, nuisance, size, {}) for size in (64, 256))
    shrunk = torch.nn.functional.avg_pool2d(large.images, 4)
    assert float((small.images - shrunk).abs().mean()) < 0.02
    share = [masks.float().mean((1, 2, 3)).numpy() for masks in (small.masks, large.masks)]
    assert share[0] == pytest.approx(share[1], abs=0.004)
