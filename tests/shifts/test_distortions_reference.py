"""Distortions against imagecorruptions-imaug and MedMNIST-C (Di Salvo et al. 2024), which are given the same draws."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.shifts.drawn_again import levels_apart, made, planes

from assay.plugin import build
from assay.shifts.distortions import GROUPS, RowRandom
from assay.shifts.domain_distortions import xray_under_exposure

COMMON, MEDICAL = (np.load(Path(__file__).with_name(f"reference_{name}.npz")) for name in ("distortions", "medmnistc"))
SIDE = len(MEDICAL["picture"])
EXACT = {"shot-noise", "impulse-noise", "jpeg-compression", "pixelate"}
"""Families without parts of a level, which the references drop."""


def cases(reference: np.lib.npyio.NpzFile, names: set[str]) -> list[tuple[str, str]]:
    """(name, severity or constant) of these in a reference's arrays."""
    return [(name, at) for name, at in (key.split() for key in reference if " " in key) if name in names]


@pytest.mark.parametrize(("name", "severity"), cases(COMMON, set(GROUPS["common"])))
def test_agrees_with_imagecorruptions(name: str, severity: str) -> None:
    apart = levels_apart(made(name, int(severity), COMMON["picture"]), COMMON[f"{name} {severity}"])
    assert apart.max() <= (0 if name in EXACT else 1)


def test_every_published_family_but_frost_is_compared() -> None:
    assert set(GROUPS["common"]) - {name for name, _ in cases(COMMON, set(GROUPS["common"]))} == {"frost"}


@pytest.mark.parametrize(("name", "severity"), cases(MEDICAL, set(GROUPS["common"]) - {"gaussian-blur"}))
def test_agrees_with_medmnistc_where_the_constants_are_the_same(name: str, severity: str) -> None:
    picture = MEDICAL["gray" if name == "contrast" else "picture"]
    apart = levels_apart(made(name, int(severity), picture), MEDICAL[f"{name} {severity}"])
    assert apart.max() <= (0 if name in EXACT - {"pixelate"} else 1)


def test_a_gaussian_blur_differs_from_medmnistc_by_the_length_of_its_kernel() -> None:
    apart = levels_apart(made("gaussian-blur", 2, MEDICAL["picture"]), MEDICAL["gaussian-blur 2"])
    assert apart.mean() < 1
    assert apart.max() <= 6


@pytest.mark.parametrize(("name", "severity"), cases(MEDICAL, {"xray-under-exposure"}))
def test_under_exposure_is_as_much_darker_on_average_over_its_noise(name: str, severity: str) -> None:
    gray = planes(MEDICAL["gray"])[0].to(torch.uint8).numpy()
    strength = xray_under_exposure.strengths[int(severity) - 1]
    drawn = [xray_under_exposure.function(gray, strength, RowRandom(7919 * row + 1)) for row in range(600)]
    apart = levels_apart(np.mean(drawn, axis=0), MEDICAL[f"{name} {severity}"])
    uncut = (MEDICAL["gray"][::2] >= 30) & (MEDICAL["gray"][::2] <= 225)  # there noise meets neither black nor white
    assert apart.reshape(uncut.shape)[uncut].max() <= 2
    assert apart.reshape(uncut.shape)[uncut].mean() < 0.5


@pytest.mark.parametrize(("name", "constant"), cases(MEDICAL, {"gamma", "contrast-confounder"}))
def test_a_confounder_agrees_given_the_constant(name: str, constant: str) -> None:
    images = planes(MEDICAL["gray" if name == "gamma" else "picture"]) / 255
    if name == "gamma":
        changed = build("intervention", "gamma", {"gamma": float(constant)})
    else:  # the mean of whole levels, as Pillow takes it
        luma = (images[0] * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(dim=0)
        pivot = round(float(luma.mean()) * 255) / 255
        changed = build("intervention", "contrast", {"factor": float(constant), "pivot": pivot})
    levels = changed.apply(images, {"any": torch.zeros(1)})[0].numpy() * 255
    assert levels_apart(levels, MEDICAL[f"{name} {constant}"]).max() <= 1


@pytest.mark.parametrize(("name", "times"), cases(MEDICAL, {"vignette"}))
def test_a_vignette_given_the_disc_is_the_black_corner_but_for_its_rim(name: str, times: str) -> None:
    """There the rim is hard; here it is 1 px soft at least."""
    middle, radius = SIDE // 2, int(SIDE // 2 * float(times))
    at = {axis: torch.tensor([middle + 0.5]) for axis in ("x", "y")}
    mark = build("intervention", name, {"opacity": 1.0, "radius": (radius + 0.5) / SIDE, "softness": 0.0})
    levels = mark.apply(planes(MEDICAL["picture"]) / 255, at)[0].numpy() * 255
    y, x = np.mgrid[:SIDE, :SIDE] - middle
    off_the_rim = np.abs(np.hypot(x, y) - radius)[::2] > 1
    assert off_the_rim.mean() > 0.8
    assert levels_apart(levels, MEDICAL[f"{name} {times}"])[off_the_rim].max() == 0
