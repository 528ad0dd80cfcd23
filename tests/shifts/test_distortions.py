"""Every distortion keeps what the protocol of changes to pixels promises, and what its docstring says."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scipy import stats
from skimage.color import rgb2hed

from assay.core.errors import SpecError
from assay.core.registry import build, entries
from assay.shifts.distortions.base import GROUPS, SEVERITIES
from assay.shifts.distortions.common import ShotNoise, Spatter, box_means
from assay.shifts.distortions.medical import absorbed, densities
from assay.shifts.intervention import Draws, draw
from assay.testing.data import pictures

DISTORTIONS = tuple(name for names in GROUPS.values() for name in names)

ROWS = np.array([3, 0, 2**31 + 5], dtype=np.int64)
ALL = np.ones(len(ROWS), dtype=bool)
COLORED = {"saturate", "microscopy-stain"}
TONES = {"brightness", "contrast", "saturate", "microscopy-stain", "retinal-illumination", "xray-grid"}


def made(name: str, severity: int) -> Any:
    return build("distortion", name, {"severity": severity})


def distorted(name: str, severity: int, images: torch.Tensor, rows: np.ndarray = ROWS) -> torch.Tensor:
    shape = (images.shape[1], images.shape[2], images.shape[3])
    return draw(name, made(name, severity), ALL[: len(rows)], rows, 5, shape).apply(images, np.arange(len(rows)))


def scene(side: int = 64, rows: int = 3, channels: int = 3) -> torch.Tensor:
    """Smooth colors with an edge, within 0.1 .. 0.9."""
    y, x = torch.meshgrid(torch.linspace(0, 3, side), torch.linspace(0, 3, side), indexing="ij")
    planes = [0.5 + 0.2 * torch.sin(x * a + y) + 0.15 * (x > 1.4) * b for a, b in ((2, 1), (3, -1), (1, 0.5))]
    return torch.stack(planes)[None, :channels].repeat(rows, 1, 1, 1).clamp(0.1, 0.9)


def test_the_catalog_holds_every_family() -> None:
    assert {entry.name for entry in entries("distortion")} == set(DISTORTIONS)
    assert len(DISTORTIONS) == 19 + 13


@pytest.mark.parametrize("name", DISTORTIONS)
@pytest.mark.parametrize("shape", [(3, 33, 47), (1, 20, 28), (1, 7, 5), (3, 1, 2)], ids=str)
def test_any_image_is_distorted_the_same_in_any_batch_or_is_refused(name: str, shape: tuple[int, int, int]) -> None:
    images = pictures(shape, 3)
    before = images.clone()
    for severity in (1, 5):
        if (name in COLORED and shape[0] == 1) or (name == "dermoscopy-ruler" and shape[1] < 25):
            with pytest.raises(SpecError, match="leave it out of the families"):
                distorted(name, severity, images)
            continue
        together = distorted(name, severity, images)
        assert together.shape == images.shape
        assert together.dtype == torch.float32
        assert 0 <= float(together.min()) <= float(together.max()) <= 1
        assert torch.equal(images, before)
        for i in range(3):
            assert torch.equal(distorted(name, severity, images[i : i + 1], ROWS[i : i + 1])[0], together[i])


@pytest.mark.parametrize("name", DISTORTIONS)
def test_strength_zero_is_the_identity_and_six_is_refused(name: str) -> None:
    images = scene()
    assert distorted(name, 0, images) is images
    with pytest.raises(ValidationError, match="less than or equal to 5"):
        made(name, 6)


@pytest.mark.parametrize("name", sorted(set(DISTORTIONS) - {"saturate"}))
def test_the_fifth_severity_changes_more_than_the_first(name: str) -> None:
    """Of `saturate` the first two take color away and the others add it, as published."""
    images = scene()
    weak, strong = (float((distorted(name, severity, images) - images).abs().mean()) for severity in (1, 5))
    assert 0 < weak < strong


@pytest.mark.parametrize("name", ["saturate", "microscopy-stain"])
def test_colors_of_gray_images_are_refused_in_words(name: str) -> None:
    with pytest.raises(SpecError) as refused:
        made(name, 3).check((1, 32, 32))
    assert str(refused.value) == (
        f"distortion '{name}' changes colors, and the images have 1 channel: leave it out of the families"
    )


def test_extreme_images_stay_finite() -> None:
    for name in DISTORTIONS:
        for value in (0.0, 1.0):
            out = distorted(name, 5, torch.full((3, 3, 32, 32), value))
            assert bool(torch.isfinite(out).all()), name


def test_counts_of_photons_have_the_moments_of_a_poisson_distribution() -> None:
    images = torch.full((1, 1, 200, 200), 0.2)
    for severity, photons in zip(SEVERITIES, (60, 25, 12, 5, 3), strict=True):
        distortion = ShotNoise(severity=severity)
        counts = distortion.changed(images, distortion.draw(Draws(0, "x", ROWS[:1]), (1, 200, 200))) * photons
        mean = 0.2 * photons
        assert abs(float(counts.mean()) - mean) < 5 * (mean / counts.numel()) ** 0.5
        expected = stats.poisson.pmf(np.arange(photons), mean) * counts.numel()
        found = np.bincount(counts.round().long().flatten().numpy(), minlength=photons)[:photons]
        assert (abs(found - expected) < 5 * np.sqrt(expected) + 3).all()


def test_densities_of_stains_are_those_of_scikit_image_and_lead_back() -> None:
    images = scene(16, 1)
    theirs = rgb2hed(images[0].permute(1, 2, 0).double().numpy())
    ours = densities(images)[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(np.maximum(ours, 0), theirs, atol=1e-6)  # theirs keeps none below zero
    torch.testing.assert_close(absorbed(densities(images)).float(), images, atol=1e-6, rtol=0)


def test_what_is_drawn_is_named_by_family_and_not_by_severity() -> None:
    """The same drops, only harder: noise of severity 5 is that of severity 1, times the ratio of their sigmas."""
    images = torch.full((3, 1, 32, 32), 0.5)
    weak, strong = (distorted("gaussian-noise", severity, images) - 0.5 for severity in (1, 5))
    inside = strong.abs() < 0.49
    torch.testing.assert_close(strong[inside], (weak * (0.38 / 0.08))[inside], atol=1e-5, rtol=1e-4)
    assert not torch.equal(weak[0], weak[1])


def test_an_image_without_drops_stays_as_it_is() -> None:
    images = scene(32, 1)
    for severity in SEVERITIES:
        assert torch.equal(Spatter(severity=severity).splashed(images, torch.full((1, 1, 32, 32), -2.0)), images)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_medical_families_change_what_they_say_and_that_way(severity: int) -> None:
    images = scene(96)
    for name in ("retinal-artifacts", "endoscopy-specular"):
        assert (distorted(name, severity, images) >= images - 1e-6).all(), name
    for name in ("dermoscopy-hair", "dermoscopy-ruler"):
        assert (distorted(name, severity, images) <= images + 1e-6).all(), name
    lit = distorted("retinal-illumination", severity, images) - images
    for row in lit:  # each image brighter or darker throughout, and somewhere not at all
        assert bool((row >= -1e-6).all()) or bool((row <= 1e-6).all())
    share = (0.8, 0.65, 0.5, 0.35, 0.2)[severity - 1]
    under = distorted("xray-under-exposure", severity, images)
    assert float(under.mean() / images.mean()) == pytest.approx(share, rel=0.02)
    pale = torch.tensor([0.86, 0.88, 0.9])[:, None, None]
    smoke = (distorted("endoscopy-smoke", severity, images) - images) / (pale - images)
    strength = (0.2, 0.35, 0.5, 0.65, 0.8)[severity - 1]
    thick = smoke[(pale - images).abs().expand_as(smoke) > 0.1]
    assert strength / 2 - 1e-3 <= float(thick.min()) <= float(thick.max()) <= strength + 1e-3


def test_the_lines_of_a_grid_have_their_period_and_leave_the_mean() -> None:
    grid = distorted("xray-grid", 5, torch.full((1, 1, 8, 224), 0.5), ROWS[:1])[0, 0]
    assert torch.equal(grid[0], grid[-1])
    strongest = int(np.abs(np.fft.rfft(grid[0].numpy() - 0.5)).argmax())
    assert strongest == pytest.approx(224 / 2.5, abs=1)  # 8 px high: 2.5 px apart
    assert float(grid.mean()) == pytest.approx(0.5, abs=1e-3)
    assert float(grid.std()) == pytest.approx(0.5 * 0.16 / 2**0.5, rel=0.01)  # of a cosine of this amplitude


@pytest.mark.parametrize(("length", "coarse"), [(224, 134), (224, 56), (7, 4), (5, 5), (5, 1), (10, 4), (1, 1)])
def test_larger_pixels_are_the_means_over_the_pixels_whose_middles_lie_in_them(length: int, coarse: int) -> None:
    images = torch.rand(2, 1, length, 3, dtype=torch.float64)
    middles, edges = np.arange(length) + 0.5, np.arange(coarse + 1) * (length / coarse)
    boxes = [(middles > low) & (middles <= high) for low, high in pairwise(edges)]
    expected = np.stack([images.numpy()[:, :, inside].mean(axis=2) for inside in boxes], axis=2)
    assert box_means(images, 2, coarse).numpy() == pytest.approx(expected, abs=1e-12)
    across = box_means(images.transpose(2, 3), 3, coarse).transpose(2, 3)
    assert across.numpy() == pytest.approx(expected, abs=1e-12)
