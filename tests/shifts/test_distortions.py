"""Every distortion keeps what the protocol of changes to pixels promises, and what its docstring says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scipy import stats

from assay.plugin import SpecError, build, draw, entries, lookup, row_seed
from assay.shifts.corruptions import spatter
from assay.shifts.distortions import GROUPS, RowRandom
from assay.testing.data import pictures

SEVERITIES = (1, 2, 3, 4, 5)

DISTORTIONS = tuple(name for names in GROUPS.values() for name in names)

ROWS = np.array([3, 0, 2**31 + 5], dtype=np.int64)
ALL = np.ones(len(ROWS), dtype=bool)
COLORED = {"saturate"}


def made(name: str, severity: int) -> Any:
    return build("distortion", name, {"severity": severity})


def distorted(name: str, severity: int, images: torch.Tensor, rows: np.ndarray = ROWS) -> torch.Tensor:
    shape = (images.shape[1], images.shape[2], images.shape[3])
    return draw(name, made(name, severity), ALL[: len(rows)], rows, 5, shape).apply(images, np.arange(len(rows)))


def scene(side: int = 64, rows: int = 3, channels: int = 3) -> torch.Tensor:
    """Smooth colors with an edge, within 0.1 .. 0.9, of whole levels."""
    y, x = torch.meshgrid(torch.linspace(0, 3, side), torch.linspace(0, 3, side), indexing="ij")
    planes = [0.5 + 0.2 * torch.sin(x * a + y) + 0.15 * (x > 1.4) * b for a, b in ((2, 1), (3, -1), (1, 0.5))]
    return (torch.stack(planes)[None, :channels].repeat(rows, 1, 1, 1).clamp(0.1, 0.9) * 255).round() / 255


def test_the_catalog_holds_every_family_with_its_place_in_the_taxonomy() -> None:
    assert {entry.name for entry in entries("distortion")} == set(DISTORTIONS)
    assert len(DISTORTIONS) == 19 + 12
    for name in DISTORTIONS:
        traits: Any = lookup("distortion", name).traits
        assert (traits.extent in ("local", "global"), traits.origin in ("patient", "environment")) == (True, True)


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


def test_severity_zero_is_the_identity_six_is_refused_and_five_changes_more_than_one() -> None:
    """Of `saturate` the first two take color away and the others add it, as published."""
    images = scene()
    for name in DISTORTIONS:
        assert distorted(name, 0, images) is images
        weak, strong = (float((distorted(name, severity, images) - images).abs().mean()) for severity in (1, 5))
        assert 0 < weak < strong or name == "saturate", name
        for value in (0.0, 1.0):
            assert bool(torch.isfinite(distorted(name, 5, torch.full((3, 3, 32, 32), value))).all()), name
    with pytest.raises(ValidationError, match="less than or equal to 5"):
        made("fog", 6)


@pytest.mark.parametrize("name", sorted(COLORED))
def test_colors_of_gray_images_are_refused_in_words(name: str) -> None:
    with pytest.raises(SpecError) as refused:
        made(name, 3).check((1, 32, 32))
    assert str(refused.value) == (
        f"distortion '{name}' changes colors, and the images have 1 channel: leave it out of the families"
    )


def test_random_numbers_are_uniform_normal_and_unrelated_to_those_of_the_next_row() -> None:
    seeds = row_seed(0, "any", np.arange(40)).tolist()
    u = np.stack([RowRandom(seed).uniform(0, 1, (5000,)) for seed in seeds])
    z = np.stack([RowRandom(seed).normal((5000,)) for seed in seeds])
    assert stats.kstest(u.ravel(), "uniform").pvalue > 1e-3
    assert stats.kstest(z.ravel(), "norm").pvalue > 1e-3
    assert np.abs(np.corrcoef(u) - np.eye(40)).max() < 0.075  # 5 standard errors of 780 correlations
    whole = RowRandom(5).integers(-2, 2, (4000, 2))
    assert sorted(set(whole.ravel().tolist())) == [-2, -1, 0, 1]
    assert np.bincount(whole.ravel() + 2) == pytest.approx([2000] * 4, abs=200)


def test_counts_of_photons_have_the_moments_of_a_poisson_distribution() -> None:
    images = torch.full((1, 1, 200, 200), 0.2)
    for severity, photons in zip(SEVERITIES, (60, 25, 12, 5, 3), strict=True):
        counts = distorted("shot-noise", severity, images, ROWS[:1]).numpy() * photons
        mean = 0.2 * photons
        white = stats.poisson.expect(lambda k, most=photons: np.minimum(k, most), (mean,))
        assert abs(float(counts.mean()) - white) < 5 * (mean / counts.size) ** 0.5
        expected = stats.poisson.pmf(np.arange(photons), mean) * counts.size
        found = np.bincount(counts.round().astype(int).ravel(), minlength=photons)[:photons]
        assert (abs(found - expected) < 5 * np.sqrt(expected) + 3).all()


def test_what_is_drawn_is_named_by_family_and_not_by_severity() -> None:
    """The same drops, only harder: noise of severity 5 is that of severity 1, times the ratio of their sigmas."""
    images = torch.full((3, 1, 32, 32), 128 / 255)
    weak, strong = (distorted("gaussian-noise", severity, images) - 128 / 255 for severity in (1, 5))
    inside = strong.abs() < 0.49
    torch.testing.assert_close(strong[inside], (weak * (0.38 / 0.08))[inside], atol=1e-5, rtol=1e-4)
    assert not torch.equal(weak[0], weak[1])


def test_an_image_without_drops_stays_as_it_is() -> None:
    class Dry(RowRandom):
        def normal(self, size: tuple[int, ...]) -> np.ndarray:
            return np.full(size, -2, dtype=np.float32)

    image = (scene(32, 1)[0] * 255).byte().numpy()
    for strength in spatter.strengths:
        assert np.array_equal(spatter.function(image, strength, Dry(0)), image)


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
    grid = distorted("xray-grid", 5, torch.full((1, 1, 8, 224), 128 / 255), ROWS[:1])[0, 0] * (255 / 256)
    assert torch.equal(grid[0], grid[-1])
    strongest = int(np.abs(np.fft.rfft(grid[0].numpy() - 0.5)).argmax())
    assert strongest == pytest.approx(224 / 2.5, abs=1)  # 8 px high: 2.5 px apart
    assert float(grid.mean()) == pytest.approx(0.5, abs=1e-3)
    assert float(grid.std()) == pytest.approx(0.5 * 0.16 / 2**0.5, rel=0.01)  # of a cosine of this amplitude
