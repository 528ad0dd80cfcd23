"""What Assay shares with MedMNIST-C (Di Salvo et al. 2024) against its own package, which is given the same draws."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.shifts.drawn_again import MADE, NOTHING, levels_apart, planes
from torch import Tensor

from assay.shifts.confounders.drawing import luminance
from assay.shifts.confounders.marks import Vignette
from assay.shifts.confounders.pixels import Contrast, Gamma, gaussian
from assay.shifts.distortions.medical import UnderExposure

REFERENCE = np.load(Path(__file__).with_name("reference_medmnistc.npz"))
IMAGES, GRAY = (planes(REFERENCE[name]) / 255 for name in ("picture", "gray"))
SIDE = IMAGES.shape[2]

WITHIN = {"shot-noise": 0, "impulse-noise": 0, "jpeg-compression": 0}
"""The tolerance in levels of 8 bits where it is not 1, which is what is lost by dropping parts of a level."""

DRAWS = 600


def cases(*names: str) -> list[tuple[str, str]]:
    """(name, severity or constant) of these in the reference's arrays."""
    return [(name, at) for name, at in (key.split() for key in REFERENCE if " " in key) if name in names]


def differences(name: str, severity: str) -> np.ndarray:
    images = GRAY if name == "contrast" else IMAGES
    return levels_apart(MADE[name](images, int(severity), np.random.RandomState(0)), REFERENCE[f"{name} {severity}"])


@pytest.mark.parametrize(("name", "severity"), cases(*(name for name in MADE if name != "gaussian-blur")))
def test_a_distortion_with_the_same_constants_agrees(name: str, severity: str) -> None:
    assert differences(name, severity).max() <= WITHIN.get(name, 1)


def test_gaussian_blur_of_one_sigma_agrees_given_where_its_kernel_ends() -> None:
    theirs = REFERENCE["gaussian-blur 2"]
    assert levels_apart(gaussian(IMAGES, 2.0, "mirror", truncate=2.5), theirs).max() <= 1
    as_it_is = differences("gaussian-blur", "2")
    assert as_it_is.mean() < 1
    assert as_it_is.max() <= 6


@pytest.mark.parametrize(("name", "severity"), cases("xray-under-exposure"))
def test_under_exposure_is_as_much_darker_on_average_over_its_noise(name: str, severity: str) -> None:
    seeds = {"seed": torch.arange(DRAWS) * 7919 + 1, "dither": torch.arange(DRAWS)}
    made = UnderExposure(severity=int(severity)).changed(GRAY.expand(DRAWS, -1, -1, -1).contiguous(), seeds)
    apart = levels_apart(made.double().mean(dim=0, keepdim=True).float(), REFERENCE[f"{name} {severity}"])
    gray = REFERENCE["gray"][::2]
    uncut = (gray >= 30) & (gray <= 225)  # there noise meets neither black nor white
    assert apart[uncut].max() <= 2
    assert apart[uncut].mean() < 0.5


def confounded(name: str, constant: float) -> Tensor:
    if name == "gamma":
        return Gamma(gamma=constant).changed(GRAY, NOTHING)
    pivot = (luminance(IMAGES).mean() * 255).round().item() / 255  # of whole levels, as Pillow takes it
    return Contrast(factor=constant, pivot=pivot).changed(IMAGES, NOTHING)


@pytest.mark.parametrize(("name", "constant"), cases("gamma", "contrast-confounder"))
def test_a_confounder_agrees_given_the_constant(name: str, constant: str) -> None:
    assert levels_apart(confounded(name, float(constant)), REFERENCE[f"{name} {constant}"]).max() <= 1


@pytest.mark.parametrize(("name", "times"), cases("vignette"))
def test_a_vignette_given_the_disc_is_the_black_corner_but_for_its_rim(name: str, times: str) -> None:
    """There the rim is hard; here it is 1 px soft at least."""
    middle, radius = SIDE // 2, int(SIDE // 2 * float(times))
    at = {axis: torch.tensor([middle + 0.5]) for axis in ("x", "y")}
    made = Vignette(opacity=1.0, radius=(radius + 0.5) / SIDE, softness=0.0, jitter=0.0).apply(IMAGES, at)
    y, x = np.mgrid[:SIDE, :SIDE] - middle
    off_the_rim = np.abs(np.hypot(x, y) - radius)[::2] > 1
    assert off_the_rim.mean() > 0.8
    assert levels_apart(made, REFERENCE[f"{name} {times}"])[off_the_rim].max() == 0


def test_all_that_the_reference_holds_is_compared() -> None:
    names = {key.split()[0] for key in REFERENCE if " " in key}
    assert names == {name for name in MADE if cases(name)} | {
        "xray-under-exposure", "gamma", "contrast-confounder", "vignette",
    }  # fmt: skip
    assert len([name for name in MADE if cases(name)]) == 11
