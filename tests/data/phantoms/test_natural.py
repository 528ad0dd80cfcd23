"""The natural-like phantom: the conformance suite, its laws against their definitions, and natural-image statistics."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from assay.data.phantoms.textures import (
    OUTLINES,
    TextureLaw,
    draw_fractal,
    draw_leaves,
    leaves_in_view,
    power_field,
    system,
)
from assay.plugin import Grid, Phantom, Rendered, build
from assay.testing.data import PhantomConformance, Values, draw_phantom

FILLED = 0.25
LARGEST = 0.34
MAPS = 4
SMALLEST = 0.024


def make(**arguments: float) -> Any:
    """Return the phantom."""
    return build("phantom", "natural", arguments)


class TestNatural(PhantomConformance):
    sizes = (32, 64, 65)
    wrong_sizes = (0, 31, 257)

    def make(self) -> Phantom:
        return make()

    def may_touch(
        self, phantom: Phantom, factor: str, values: Values, nuisance: np.ndarray, before: Rendered, after: Rendered
    ) -> Tensor:
        return torch.ones_like(before.masks)


class TestFiveKinds(TestNatural):
    sizes = (32,)

    def make(self) -> Phantom:
        return make(classes=5)


def even(law: TextureLaw, count: int = 200, size: int = 64) -> Tensor:
    """Pictures of one law at scale 1."""
    return draw_leaves(law, np.ones(count), np.arange(count), Grid(size, 1.0, "cpu"))


def spectrum(images: Tensor, least: int = 3, part: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Cycles an image, from `least` to that part of the sampling rate, and their mean power under a Hann window."""
    size = images.shape[-1]
    window = torch.hann_window(size, dtype=torch.float64)
    centered = images.double() - images.double().mean((1, 2), keepdim=True)
    power = (torch.fft.fft2(centered * window * window[:, None]).abs() ** 2).mean(0).numpy()
    line = np.fft.fftfreq(size) * size
    ring = np.rint(np.hypot(line, line[:, None])).astype(int)
    cycles = np.arange(least, size // part + 1)
    return cycles, np.array([power[ring == k].mean() for k in cycles])


def slope(images: Tensor, least: int = 3, part: int = 4) -> float:
    cycles, power = spectrum(images, least, part)
    return float(np.polyfit(np.log(cycles), np.log(power), 1)[0])


def kurtosis(values: np.ndarray) -> float:
    centered = values - values.mean()
    return float((centered**4).mean() / (centered**2).mean() ** 2)


def test_kinds_have_sixty_names_of_three_families_in_turn() -> None:
    names = make().factors[0].levels
    assert len(set(names)) == 60
    assert names[:4] == ("leaves-disc-2.0", "noise-plain-1.2", "fractal-00", "leaves-ellipse-2.7")
    assert sum(name.startswith("leaves-") for name in names) == 20


@pytest.mark.parametrize("classes", [2, 5, 60])
def test_its_factors_are_those_of_its_arguments(classes: int) -> None:
    assert make(classes=classes).factors[0].levels == make().factors[0].levels[:classes]
    with pytest.raises(ValueError, match="classes"):
        make(classes=61)


def test_fewer_kinds_are_the_first_ones() -> None:
    values, nuisance = draw_phantom(make(classes=5), 20, 0)
    images = [make(classes=k).render(values, nuisance, 32, {}).images for k in (5, 60)]
    assert torch.equal(*images)


@pytest.mark.parametrize(("form", "exponent"), list(zip(2 * list(OUTLINES), 2 * [2.0, 2.7, 3.3, 4.0], strict=False)))
def test_radii_follow_the_power_law(form: str, exponent: float) -> None:
    """Among all leaves, seen or not, counts by radius fall as r^-a: the slope of log counts in octaves is 1 - a."""
    law = TextureLaw("leaves", 0, form, exponent)
    scale = np.full(40, 0.7)  # the whole scene is in view
    leaves = leaves_in_view(law, scale, np.arange(40))
    edges = 0.7 * SMALLEST * (LARGEST / SMALLEST) ** (np.arange(9) / 8)
    middle = np.sqrt(edges[1:] * edges[:-1])
    seen = np.histogram(leaves.radius, edges)[0] / (1 + 2 * middle * OUTLINES[law.form][1]) ** 2  # their room in view
    assert np.polyfit(np.log(middle), np.log(seen), 1)[0] == pytest.approx(1 - law.exponent, abs=0.12)


@pytest.mark.parametrize("form", OUTLINES)
def test_outlines_have_the_area_of_the_unit_disc_and_reach_no_further_than_stated(form: str) -> None:
    line = torch.linspace(-2.5, 2.5, 1001, dtype=torch.float64)
    inside, reach = OUTLINES[form][0](line[None, None, :], line[None, :, None]), OUTLINES[form][1]
    assert float(inside.sum()) * (5 / 1000) ** 2 == pytest.approx(np.pi, rel=0.01)
    far = torch.hypot(line[None, :], line[:, None])[None][inside].max()
    assert reach - 0.03 < float(far) <= reach


def test_leaves_hide_each_other_as_a_painter_would_lay_them() -> None:
    """Every pixel shows the leaf of the highest order among those over its center: one by one, in NumPy."""
    law = TextureLaw("leaves", 0, "disc", 2.0)
    leaves = leaves_in_view(law, np.ones(2), np.arange(2))
    drawn = draw_leaves(law, np.ones(2), np.arange(2), Grid(48, 1.0, "cpu")).numpy()
    centers = (np.arange(48) + 0.5) / 48 - 0.5
    wrong = 0
    for row in range(2):
        own = leaves.take(leaves.row == row)
        top = np.zeros((48, 48), dtype=np.int64)
        for x, y, radius, code in zip(own.x, own.y, own.radius, own.code, strict=True):
            over = np.hypot(centers - x, (centers - y)[:, None]) < radius
            top = np.where(over, np.maximum(top, code), top)
        expected = (top & 0xFFFF) / 65535
        wrong += int((np.abs(expected - drawn[row]) > 1e-6)[top > 0].sum())
        assert (top > 0).mean() > 0.8
    assert wrong <= 4  # a pixel's center that lies on an edge may fall on either side in 32 bits


def test_few_pixels_show_the_ground() -> None:
    """Leaves of three times the scene's area leave exp(-3) of it bare, 5%: bare pixels have the image's own ground."""
    law = TextureLaw("leaves", 0, "disc", 3.3)
    pictures, same = even(law, 100), []
    for picture in pictures:
        levels, counts = torch.unique(picture, return_counts=True)
        same.append(float(counts.max()) / picture.numel())
        assert len(levels) > 50
    assert np.mean(same) < 0.25


@pytest.mark.parametrize("exponent", [1.2, 1.8, 2.4, 3.0])
def test_the_power_of_noise_falls_as_stated(exponent: float) -> None:
    """Between the coarse end and the last octave but two, where splines of finer octaves are still to come."""
    field = power_field(exponent, np.full(40, 1.4), np.arange(40), Grid(128, 1.0, "cpu"))
    assert slope(field, 5, 8) == pytest.approx(-exponent, abs=0.25)
    assert abs(float(field.mean())) < 0.25  # four standard errors: nearly all variance lies in a few large patches


def test_streaks_are_longer_one_way() -> None:
    field = power_field(2.0, np.ones(100), np.arange(100), Grid(64, 1.0, "cpu"), 4)
    along, across = field.diff(dim=2).pow(2).mean(), field.diff(dim=1).pow(2).mean()
    assert float(across / along) > 4


@pytest.mark.parametrize("number", range(20))
def test_systems_contract_and_fill_a_picture(number: int) -> None:
    maps, chance = system(number)
    assert maps.shape == (MAPS, 6)
    assert chance.sum() == pytest.approx(1)
    for a, b, c, d, _, _ in maps * 1.12:
        assert np.linalg.norm([[a, b], [c, d]], 2) < 0.86
    seen = torch.nn.functional.max_pool2d(draw_fractal(number, np.ones(8), np.arange(8), Grid(64, 1.0, "cpu")), 2) > 0
    assert float(seen.float().mean()) > 0.5 * FILLED  # turned, its box may leave more of the picture empty


def test_statistics_are_those_of_natural_images() -> None:
    """Power falls with an exponent near 2 (Field 1987: 1.8 to 2.4), differences of neighbors have heavy tails."""
    phantom = make()
    values, nuisance = draw_phantom(phantom, 240, 9)
    images = phantom.render(values, nuisance, 64, {}).images[:, 0]
    each = [slope(image[None]) for image in images]
    assert -2.6 < np.mean(each) < -1.8
    assert kurtosis(images.diff(dim=2).numpy()) > 6


def test_even_light_and_full_contrast_are_what_is_drawn() -> None:
    phantom = make()
    values, nuisance = draw_phantom(phantom, 30, 2)
    flat = {**values, "illumination": np.zeros(30)}
    low, high = (phantom.render({**flat, "contrast": np.full(30, c)}, nuisance, 32, {}).images for c in (0.4, 0.8))
    assert torch.allclose((low - 0.5) * 2, high - 0.5, atol=1e-5)
