"""Distortions of one kind of image: of the retina, endoscopy, dermoscopy and X-rays, at five severities."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from assay.core.opencv import cv2
from assay.shifts.confounders.drawing import Mark, Shape
from assay.shifts.confounders.marks import Hair, Ruler
from assay.shifts.confounders.pixels import Levels, PoissonNoise, blurred, per_plane
from assay.shifts.corruptions import cloud_of, toward
from assay.shifts.distortions import RowRandom, distortion

# Round things at drawn places: soft spots and bubbles.


def _draw_places(
    image: np.ndarray, count: int, low: float, high: float, random: RowRandom
) -> Iterator[tuple[float, float, float]]:
    """Draw places in px and radii, as shares of the shorter side from `low` to `high`."""
    height, width = image.shape[1:]
    for x, y, r in random.uniform(0, 1, (count, 3)).tolist():
        yield x * width, y * height, (low + (high - low) * r) * min(height, width)


def _near(canvas: np.ndarray, x: float, y: float, reach: float) -> tuple[np.ndarray, Float32[np.ndarray, "i j"]]:
    """Return a view of a canvas within so many px of a place, and the squared distance of its pixels' middles."""
    left, top = max(0, math.floor(x - reach)), max(0, math.floor(y - reach))
    part = canvas[top : max(top, math.ceil(y + reach)), left : max(left, math.ceil(x + reach))]
    down, across = (np.arange(count, dtype=np.float32) for count in part.shape)
    return part, (down + np.float32(top + 0.5 - y))[:, None] ** 2 + (across + np.float32(left + 0.5 - x)) ** 2


def spots(image: np.ndarray, count: int, low: float, high: float, random: RowRandom) -> Float32[np.ndarray, "h w"]:
    """Return spots, 1 in the middle, 0 from their radius on, smooth between ((1 - d^2)^2); added where they meet."""
    total = np.zeros(image.shape[1:], dtype=np.float32)
    for x, y, radius in _draw_places(image, count, low, high, random):
        part, squared = _near(total, x, y, radius)
        part += _spot(squared, radius)
    return total


def _spot(squared: Float32[np.ndarray, "h w"], radius: float) -> Float32[np.ndarray, "h w"]:
    return np.maximum(1 - squared / np.float32(max(radius, 1e-3) ** 2), 0) ** 2


def add_bubbles(image: np.ndarray, count: int, random: RowRandom) -> np.ndarray:
    """Return levels with so many bubbles of 2 to 8% of the shorter side.

    A rim is a fifth of the radius wide, 1.5 px at least; each bubble has a glint to its upper left.
    """
    rims, glints = (np.zeros(image.shape[1:], dtype=np.float32) for _ in range(2))
    for x, y, radius in _draw_places(image, count, 0.02, 0.08, random):
        wide = max(0.1 * radius, 0.75)
        part, squared = _near(rims, x, y, radius + wide)
        np.maximum(part, 1 - ((np.sqrt(squared) - np.float32(radius)) / np.float32(wide)) ** 2, out=part)
        small, aside = max(0.35 * radius, 1.0), 0.45 * radius
        part, squared = _near(glints, x - aside, y - aside, small)
        np.maximum(part, _spot(squared, small), out=part)
    return toward(toward(image, _PALE, np.float32(0.6) * rims), (1.0, 1.0, 1.0), glints)


# In front of the lens of an endoscope: glare, bubbles, smoke.

_PALE = (0.86, 0.88, 0.9)


@distortion("endoscopy-specular", (3, 6, 10, 16, 24), "glare of the lamp on wet mucosa", extent="local")
def endoscopy_specular(image: Levels, count: int, random: RowRandom) -> np.ndarray:
    """Saturated highlights: spots that go over into white.

    Examples:
        >>> gray = np.full((1, 64, 64), 0.5, dtype=np.float32)
        >>> glare = endoscopy_specular(severity=5).change(gray, {"seed": 0})
        >>> float(glare.max()), float(glare.min()) > 0.49  # saturated spots, nothing darker
        (1.0, True)
    """
    glare = spots(image, count, 0.015, 0.07, random)
    return toward(image, (1.0, 1.0, 1.0), np.minimum(glare * np.float32(1.6), 1))


@distortion("endoscopy-bubbles", (2, 4, 8, 14, 22), "bubbles of fluid on the mucosa", extent="local", origin="patient")
def endoscopy_bubbles(image: Levels, count: int, random: RowRandom) -> np.ndarray:
    """Bubbles with a bright rim and a white glint.

    Examples:
        >>> gray = np.full((1, 128, 128), 0.5, dtype=np.float32)
        >>> bubbles = [endoscopy_bubbles(severity=severity).change(gray, {"seed": 0}) for severity in (1, 5)]
        >>> [int((image > 0.51).sum()) for image in bubbles] == sorted(int((image > 0.51).sum()) for image in bubbles)
        True
    """
    return add_bubbles(image, count, random)


@distortion("endoscopy-smoke", (0.2, 0.35, 0.5, 0.65, 0.8), "smoke of the diathermy")
def endoscopy_smoke(image: Levels, strength: float, random: RowRandom) -> np.ndarray:
    """A pale veil of uneven thickness: x (1 - t) + pale t, t from half of the strength to all of it.

    The thickness is the cloud of `fog` at its slowest decay.

    Examples:
        At severity 5 the smoke is 0.4 to 0.8 thick, so that a black image becomes at least 0.4 x 0.86:

        >>> black = np.zeros((3, 64, 64), dtype=np.float32)
        >>> smoky = endoscopy_smoke(severity=5).change(black, {"seed": 0})
        >>> round(float(smoky[0].min()), 2), round(float(smoky[0].max()), 2)  # red
        (0.34, 0.69)
    """
    return toward(image, _PALE, (cloud_of(image, 2.0, random) + 1) * np.float32(0.5 * strength))


# Faults of a fundus camera, after the model of Shen et al. 2020 (arXiv 2005.12594), in its three parts.

_GRAIN = 0.01


@distortion("retinal-defocus", (0.004, 0.008, 0.012, 0.018, 0.026), "a fundus camera out of focus, with its noise")
def retinal_defocus(image: Levels, sigma: float, random: RowRandom) -> np.ndarray:
    """A Gaussian blur of a share of the shorter side, then a little Gaussian noise: x * G + n.

    Examples:
        A point is blurred by 0.026 of the side, 2.6 px of 100: 1 / (2 pi 2.6^2) is left of it, with noise of 0.01.

        >>> point = np.zeros((1, 100, 100), dtype=np.float32)
        >>> point[0, 50, 50] = 1
        >>> abs(float(retinal_defocus(severity=5).change(point, {"seed": 0})[0, 50, 50]) - 0.024) < 0.04
        True
    """
    wide, noise = sigma * min(image.shape[1:]), random.normal(image.shape) * np.float32(255 * _GRAIN)
    return per_plane(image, lambda plane: blurred(plane, wide, cv2.BORDER_REFLECT)) + noise


@distortion("retinal-illumination", (0.15, 0.3, 0.45, 0.6, 0.8), "part of the fundus lit too much or too little")
def retinal_illumination(image: Levels, strength: float, random: RowRandom) -> np.ndarray:
    """A round, soft region lit too much or too little, each as likely: x (1 + a J), J from 1 in its middle to 0.

    Examples:
        At most 15% brighter or darker at severity 1:

        >>> gray = np.full((1, 64, 64), 0.5, dtype=np.float32)
        >>> lit = retinal_illumination(severity=1).change(gray, {"seed": 0}) / gray
        >>> round(float(abs(lit - 1).max()), 2)
        0.15
    """
    way = strength if random.uniform(0, 1, (1,))[0] < 0.5 else -strength
    return image * (1 + np.float32(way) * spots(image, 1, 0.35, 0.65, random))


@distortion(
    "retinal-artifacts",
    ((3, 0.15), (5, 0.2), (8, 0.3), (12, 0.35), (18, 0.4)),
    "bright, soft spots of dust on the lens",
    extent="local",
)
def retinal_artifacts(image: Levels, strength: tuple[int, float], random: RowRandom) -> np.ndarray:
    """Bright, soft spots of dust near the lens, added: x + sum of o_k G_k. strength: number and brightness.

    Examples:
        >>> black = np.zeros((1, 128, 128), dtype=np.float32)
        >>> dusty = retinal_artifacts(severity=1).change(black, {"seed": 0})  # three spots of 0.15
        >>> round(float(dusty.max()), 2), float(np.median(dusty))
        (0.15, 0.0)
    """
    count, bright = strength
    return image + spots(image, count, 0.015, 0.06, random) * np.float32(255 * bright)


# In front of a dermatoscope: hairs, its scale, its gel.

_SHORTEST = 25


def add_mark(image: Levels, mark: Mark, parameters: dict[str, Tensor]) -> np.ndarray:
    """Return levels with a confounder on them."""
    return 255 * mark.apply(torch.as_tensor(image)[None] / 255, parameters)[0].numpy()


@distortion(
    "dermoscopy-hair", (4, 8, 15, 30, 60), "dark hairs over the lesion", extent="local", origin="patient", version=3
)
def dermoscopy_hair(image: Levels, count: int, random: RowRandom) -> np.ndarray:
    """The confounder `hair`, with 4 to 60 of them.

    Examples:
        >>> white = np.ones((3, 64, 64), dtype=np.float32)
        >>> covered = [float((dermoscopy_hair(severity=s).change(white, {"seed": 0}) < 0.9).mean()) for s in (1, 3, 5)]
        >>> covered == sorted(set(covered))  # 4, 15 and 60 hairs
        True
    """
    seed = torch.tensor([int(random.integers(0, 2**31 - 1, (1,))[0])])
    return add_mark(image, Hair(opacity=0.85, count=count, width=0.009, length=0.6), {"seed": seed})


def _too_low(shape: Shape) -> str:
    needed = f"distortion 'dermoscopy-ruler' needs images of at least {_SHORTEST} px in height, these have {shape[1]}"
    return f"{needed}: leave it out of the families" if shape[1] < _SHORTEST else ""


@distortion(
    "dermoscopy-ruler",
    (0.3, 0.5, 0.7, 0.85, 1.0),
    "the black scale of a dermatoscope",
    extent="local",
    refuse=_too_low,
    version=3,
)
def dermoscopy_ruler(image: Levels, opacity: float, random: RowRandom) -> np.ndarray:
    """The confounder `ruler` in black at the right edge, fainter to full.

    Examples:
        >>> white = np.ones((1, 64, 64), dtype=np.float32)
        >>> scale = dermoscopy_ruler(severity=5).change(white, {"seed": 0})[0]
        >>> bool((scale[:, :50] == 1).all()), bool((scale[:, 50:] < 0.5).any())  # in black at the right edge
        (True, True)
    """
    scale = Ruler(opacity=opacity, side="right", length=0.8, marks=20, size=0.12, jitter=0.05, ink="black")
    height, reach = image.shape[1], 0.05 * min(image.shape[1:])
    middle = 0.5 * height + float(random.uniform(-reach, reach, (1,))[0])
    return add_mark(image, scale, {"along": torch.tensor([middle], dtype=torch.float64)})


@distortion(
    "dermoscopy-gel",
    ((3, 0.1), (6, 0.15), (10, 0.2), (16, 0.3), (24, 0.4)),
    "bubbles and glare in the contact gel",
    extent="local",
)
def dermoscopy_gel(image: Levels, strength: tuple[int, float], random: RowRandom) -> np.ndarray:
    """Bubbles in the gel and patches of glare where it is thick. strength: number of bubbles, share of glare.

    Examples:
        >>> dark = np.full((1, 128, 128), 0.2, dtype=np.float32)
        >>> wet = dermoscopy_gel(severity=5).change(dark, {"seed": 0})
        >>> float(wet.min()) > 0.19, float(wet.max()) > 0.5  # bubbles and glare are bright
        (True, True)
    """
    count, wet = strength
    glare = np.minimum(spots(image, 4, 0.15, 0.4, random), 1) * np.float32(wet)
    return add_bubbles(toward(image, (1.0, 1.0, 1.0), glare), count, random)


# Faults of an X-ray detector: few photons, a grid, too short an exposure.

_FULL = 5e5  # photons of a full exposure
_PERIOD = 4.7  # px of the aliased lines at 224 px


def _photon_noise(image: Levels, photons: float, random: RowRandom) -> np.ndarray:
    """Return levels after the noise of as many photons, without a cut to whole levels."""
    image_01 = image.astype(np.float32) / 255
    return 255 * PoissonNoise(photons=photons, levels=0).change(image_01, {"seed": random.seed})


@distortion("xray-noise", (4e5, 2e5, 1e5, 4e4, 1.5e4), "fewer photons at the detector")
def xray_noise(image: Levels, photons: float, random: RowRandom) -> np.ndarray:
    """The confounder `poisson-noise` (a scan's counts), with 4e5 down to 1.5e4 photons, and no cut to whole levels.

    Examples:
        Fewer photons, more noise: 4e5 at severity 1, a tenth at severity 4.

        >>> gray = np.full((1, 100, 100), 0.5, dtype=np.float32)
        >>> noise = [float(xray_noise(severity=severity).change(gray, {"seed": 0}).std()) for severity in (1, 4)]
        >>> round(noise[1] / noise[0], 1)  # sqrt(10)
        3.2
    """
    return _photon_noise(image, photons, random)


@distortion("xray-grid", (0.02, 0.04, 0.07, 0.11, 0.16), "lines of an anti-scatter grid")
def xray_grid(image: Levels, strength: float, random: RowRandom) -> np.ndarray:
    """Lines of a stationary anti-scatter grid: pixels times 1 + a cos, upright.

    They are 4.7 px apart at 224 px, as far in proportion at other sizes, 2.5 px at the least.

    Examples:
        >>> gray = np.full((1, 224, 224), 0.5, dtype=np.float32)
        >>> lines = xray_grid(severity=5).change(gray, {"seed": 0}) / gray  # 1 + 0.16 cos, upright
        >>> round(float(lines.max()), 2), bool((lines == lines[:, :1]).all())
        (1.16, True)
    """
    turns = np.arange(image.shape[2], dtype=np.float64) / max(2.5, _PERIOD * min(image.shape[1:]) / 224)
    lines = 1 + strength * np.cos(2 * math.pi * (turns + float(random.uniform(0, 1, (1,))[0])))
    return image * lines.astype(np.float32)


@distortion("xray-under-exposure", (0.8, 0.65, 0.5, 0.35, 0.2), "too short an exposure: darker, and noisier with it")
def xray_under_exposure(image: Levels, share: float, random: RowRandom) -> np.ndarray:
    """All values times the share of a full exposure, after the noise of as few photons.

    The factor is that of MedMNIST-C's `brightness_down`: on average over the noise it agrees within two levels of 8
    bits, where the noise is cut neither at black nor at white.

    Examples:
        >>> gray = np.full((1, 100, 100), 0.5, dtype=np.float32)
        >>> dim = xray_under_exposure(severity=5).change(gray, {"seed": 0})
        >>> round(float(dim.mean()), 2)  # 0.2 of a full exposure
        0.1
    """
    return _photon_noise(image, _FULL * share, random).clip(0, 255) * share
