"""Distortions of medical images: endoscopy, retina, skin, stain and X-ray.

They are defined here and compared with no other implementation, unless a docstring says so.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from assay.core.opencv import cv2
from assay.shifts.confounders.drawing import Mark, Shape
from assay.shifts.confounders.marks import Ruler
from assay.shifts.confounders.objects import Hair
from assay.shifts.confounders.pixels import Levels, PoissonNoise, blurred, flat, per_plane
from assay.shifts.distortions.base import Random, distortion, only_color
from assay.shifts.distortions.common import cloud_of, toward

# Round things at drawn places: soft spots and bubbles.


def _placed(
    image: np.ndarray, count: int, low: float, high: float, random: Random
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


def spots(image: np.ndarray, count: int, low: float, high: float, random: Random) -> Float32[np.ndarray, "h w"]:
    """Return spots, 1 in the middle, 0 from their radius on, smooth between ((1 - d^2)^2); added where they meet."""
    total = np.zeros(image.shape[1:], dtype=np.float32)
    for x, y, radius in _placed(image, count, low, high, random):
        part, squared = _near(total, x, y, radius)
        part += _spot(squared, radius)
    return total


def _spot(squared: Float32[np.ndarray, "h w"], radius: float) -> Float32[np.ndarray, "h w"]:
    return np.maximum(1 - squared / np.float32(max(radius, 1e-3) ** 2), 0) ** 2


def bubbled(image: np.ndarray, count: int, random: Random) -> np.ndarray:
    """Return levels with so many bubbles of 2 to 8% of the shorter side.

    A rim is a fifth of the radius wide, 1.5 px at least; each bubble has a glint to its upper left.
    """
    rims, glints = (np.zeros(image.shape[1:], dtype=np.float32) for _ in range(2))
    for x, y, radius in _placed(image, count, 0.02, 0.08, random):
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
def endoscopy_specular(image: Levels, count: int, random: Random) -> np.ndarray:
    """Saturated highlights: spots that go over into white."""
    glare = spots(image, count, 0.015, 0.07, random)
    return toward(image, (1.0, 1.0, 1.0), np.minimum(glare * np.float32(1.6), 1))


@distortion("endoscopy-bubbles", (2, 4, 8, 14, 22), "bubbles of fluid on the mucosa", extent="local", origin="patient")
def endoscopy_bubbles(image: Levels, count: int, random: Random) -> np.ndarray:
    """Bubbles with a bright rim and a white glint."""
    return bubbled(image, count, random)


@distortion("endoscopy-smoke", (0.2, 0.35, 0.5, 0.65, 0.8), "smoke of the diathermy")
def endoscopy_smoke(image: Levels, strength: float, random: Random) -> np.ndarray:
    """A pale veil of uneven thickness: x (1 - t) + pale t, t from half of the strength to all of it.

    The thickness is the cloud of `fog` at its slowest decay.
    """
    return toward(image, _PALE, (cloud_of(image, 2.0, random) + 1) * np.float32(0.5 * strength))


# Faults of a fundus camera, after the model of Shen et al. 2020 (arXiv 2005.12594), in its three parts.

_GRAIN = 0.01


@distortion("retinal-defocus", (0.004, 0.008, 0.012, 0.018, 0.026), "a fundus camera out of focus, with its noise")
def retinal_defocus(image: Levels, sigma: float, random: Random) -> np.ndarray:
    """A Gaussian blur of a share of the shorter side, then a little Gaussian noise: x * G + n."""
    wide, noise = sigma * min(image.shape[1:]), random.normal(image.shape) * np.float32(255 * _GRAIN)
    return per_plane(image, lambda plane: blurred(plane, wide, cv2.BORDER_REFLECT)) + noise


@distortion("retinal-illumination", (0.15, 0.3, 0.45, 0.6, 0.8), "part of the fundus lit too much or too little")
def retinal_illumination(image: Levels, strength: float, random: Random) -> np.ndarray:
    """A round, soft region lit too much or too little, each as likely: x (1 + a J), J from 1 in its middle to 0."""
    way = strength if random.uniform(0, 1, (1,))[0] < 0.5 else -strength
    return image * (1 + np.float32(way) * spots(image, 1, 0.35, 0.65, random))


@distortion(
    "retinal-artifacts",
    ((3, 0.15), (5, 0.2), (8, 0.3), (12, 0.35), (18, 0.4)),
    "bright, soft spots of dust on the lens",
    extent="local",
)
def retinal_artifacts(image: Levels, strength: tuple[int, float], random: Random) -> np.ndarray:
    """Bright, soft spots of dust near the lens, added: x + sum of o_k G_k. strength: number and brightness."""
    count, bright = strength
    return image + spots(image, count, 0.015, 0.06, random) * np.float32(255 * bright)


# In front of a dermatoscope: hairs, its scale, its gel.

_SHORTEST = 25


def marked(image: Levels, mark: Mark, parameters: dict[str, Tensor]) -> np.ndarray:
    """Return levels with a confounder on them."""
    return 255 * mark.apply(torch.as_tensor(image)[None] / 255, parameters)[0].numpy()


@distortion(
    "dermoscopy-hair", (4, 8, 15, 30, 60), "dark hairs over the lesion", extent="local", origin="patient", version=3
)
def dermoscopy_hair(image: Levels, count: int, random: Random) -> np.ndarray:
    """The confounder `hair`, with 4 to 60 of them."""
    seed = torch.tensor([int(random.integers(0, 2**31 - 1, (1,))[0])])
    return marked(image, Hair(opacity=0.85, count=count, width=0.009, length=0.6), {"seed": seed})


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
def dermoscopy_ruler(image: Levels, opacity: float, random: Random) -> np.ndarray:
    """The confounder `ruler` in black at the right edge, fainter to full."""
    scale = Ruler(opacity=opacity, side="right", length=0.8, marks=20, size=0.12, jitter=0.05, ink="black")
    height, reach = image.shape[1], 0.05 * min(image.shape[1:])
    middle = 0.5 * height + float(random.uniform(-reach, reach, (1,))[0])
    return marked(image, scale, {"along": torch.tensor([middle], dtype=torch.float64)})


@distortion(
    "dermoscopy-gel",
    ((3, 0.1), (6, 0.15), (10, 0.2), (16, 0.3), (24, 0.4)),
    "bubbles and glare in the contact gel",
    extent="local",
)
def dermoscopy_gel(image: Levels, strength: tuple[int, float], random: Random) -> np.ndarray:
    """Bubbles in the gel and patches of glare where it is thick. strength: number of bubbles, share of glare."""
    count, wet = strength
    glare = np.minimum(spots(image, 4, 0.15, 0.4, random), 1) * np.float32(wet)
    return bubbled(toward(image, (1.0, 1.0, 1.0), glare), count, random)


# Stain of tissue: hematoxylin and eosin of another strength.

_STAINS = np.array(((0.65, 0.70, 0.29), (0.07, 0.99, 0.11), (0.27, 0.57, 0.78)))
"""How hematoxylin, eosin and DAB absorb red, green and blue (Ruifrok and Johnston 2001)."""
_DARKEST = 1e-6


@distortion(
    "microscopy-stain",
    (0.05, 0.1, 0.2, 0.35, 0.5),
    "hematoxylin and eosin stained more or less than usual",
    refuse=only_color("microscopy-stain"),
)
def microscopy_stain(image: Levels, strength: float, random: Random) -> np.ndarray:
    """Each stain's density times 1 + a and plus b, drawn between -strength and strength, b a tenth of it.

    The scheme is that of Tellez et al. 2018, in the colors of Ruifrok and Johnston as scikit-image has them
    (`rgb2hed`, whose densities this agrees with).
    """
    times, plus = random.uniform(-strength, strength, (2, 3, 1, 1))
    return 255 * absorbed(densities(image) * (1 + times) + np.float32(0.1) * plus)


def densities(image: Levels) -> Float32[np.ndarray, "3 h w"]:
    """Return how much of each stain there is."""
    optical = np.log(np.maximum(np.arange(256) / 255, _DARKEST)) / math.log(_DARKEST)
    found = cv2.LUT(flat(image), optical.astype(np.float32)).reshape(3, -1)
    return (np.linalg.inv(_STAINS).T.astype(np.float32) @ found).reshape(image.shape)


def absorbed(stains: Float32[np.ndarray, "3 h w"]) -> Float32[np.ndarray, "3 h w"]:
    """Return the colors that these densities leave, 0..1 but for rounding."""
    optical = (_STAINS.T * math.log(_DARKEST)).astype(np.float32) @ stains.reshape(3, -1)
    return cv2.exp(optical).reshape(stains.shape)


# Faults of an X-ray detector: few photons, a grid, too short an exposure.

_FULL = 5e5  # photons of a full exposure
_PERIOD = 4.7  # px of the aliased lines at 224 px


def _counted(image: Levels, photons: float, random: Random) -> np.ndarray:
    """Return levels after the noise of as many photons, without a cut to whole levels."""
    given = image.astype(np.float32) / 255
    return 255 * PoissonNoise(photons=photons, levels=0).changed(given, {"seed": random.seed})


@distortion("xray-noise", (4e5, 2e5, 1e5, 4e4, 1.5e4), "fewer photons at the detector")
def xray_noise(image: Levels, photons: float, random: Random) -> np.ndarray:
    """The confounder `poisson-noise` (a scan's counts), with 4e5 down to 1.5e4 photons, and no cut to whole levels."""
    return _counted(image, photons, random)


@distortion("xray-grid", (0.02, 0.04, 0.07, 0.11, 0.16), "lines of an anti-scatter grid")
def xray_grid(image: Levels, strength: float, random: Random) -> np.ndarray:
    """Lines of a stationary anti-scatter grid: pixels times 1 + a cos, upright.

    They are 4.7 px apart at 224 px, as far in proportion at other sizes, 2.5 px at the least.
    """
    turns = np.arange(image.shape[2], dtype=np.float64) / max(2.5, _PERIOD * min(image.shape[1:]) / 224)
    lines = 1 + strength * np.cos(2 * math.pi * (turns + float(random.uniform(0, 1, (1,))[0])))
    return image * lines.astype(np.float32)


@distortion("xray-under-exposure", (0.8, 0.65, 0.5, 0.35, 0.2), "too short an exposure: darker, and noisier with it")
def xray_under_exposure(image: Levels, share: float, random: Random) -> np.ndarray:
    """All values times the share of a full exposure, after the noise of as few photons.

    The factor is that of MedMNIST-C's `brightness_down`: on average over the noise it agrees within two levels of 8
    bits, where the noise is cut neither at black nor at white.
    """
    return _counted(image, _FULL * share, random).clip(0, 255) * share
