"""The families of ImageNet-C against imagecorruptions-imaug, which is given the same draws."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from assay.shifts.distortions import blur, geometry, glass, noise, spatter, tone, weather
from assay.shifts.distortions.names import COMMON, SEVERITIES

REFERENCE = np.load(Path(__file__).with_name("reference_distortions.npz"))
PICTURE = REFERENCE["picture"]
HEIGHT, WIDTH = PICTURE.shape[:2]
IMAGES = torch.as_tensor(PICTURE).permute(2, 0, 1)[None].float() / 255
NOTHING = {"severity": torch.zeros(1)}
Made = Callable[[int, np.random.RandomState], Tensor]


def planes(values: np.ndarray) -> Tensor:
    """The reference's [h, w] or [h, w, c] as float32 [1, c, h, w]."""
    page = values if values.ndim == 3 else values[..., None]
    return torch.as_tensor(np.ascontiguousarray(page.transpose(2, 0, 1)))[None].float()


def angle(degrees: float) -> tuple[Tensor, Tensor]:
    turn = math.radians(degrees)
    return torch.tensor([math.cos(turn)]).double(), torch.tensor([math.sin(turn)]).double()


def impulses(severity: int, _: np.random.RandomState) -> Tensor:
    """The reference draws which values are struck, then which of all would be white, from a generator of its own."""
    share = (0.03, 0.06, 0.09, 0.17, 0.27)[severity - 1]
    random = np.random.default_rng(0)
    struck, white = random.random(PICTURE.shape) <= share, random.random(PICTURE.shape) <= 0.5
    u = np.where(struck, np.where(white, share / 4, 0.75 * share), 0.99)
    return noise.ImpulseNoise(severity).struck(IMAGES, planes(u))


def moved(severity: int, random: np.random.RandomState) -> Tensor:
    cosine, sine = angle(random.uniform(-45, 45))
    return blur.MotionBlur(severity).changed(IMAGES, {"cosine": cosine, "sine": sine})


def snowed(severity: int, random: np.random.RandomState) -> Tensor:
    z = planes(random.normal(size=(HEIGHT, WIDTH)))
    return weather.Snow(severity).snowed(IMAGES, z, *angle(random.uniform(-135, -45)))


def behind_glass(severity: int, random: np.random.RandomState) -> Tensor:
    far, times = ((1, 2), (2, 1), (2, 3), (3, 2), (4, 2))[severity - 1]
    count = times * (HEIGHT - 2 * far) * (WIDTH - 2 * far)
    steps = np.stack([random.randint(-far, far, size=(2,)) for _ in range(count)])
    return glass.GlassBlur(severity).behind(IMAGES, torch.as_tensor(steps)[None])


def bent(severity: int, random: np.random.RandomState) -> Tensor:
    far = 0.005 * HEIGHT
    across, down = (planes(random.uniform(-far, far, size=(HEIGHT, WIDTH)) / far) for _ in range(2))
    return geometry.ElasticTransform(severity).bent(IMAGES, across, down)


def clouded(severity: int, random: np.random.RandomState) -> Tensor:
    u = random.uniform(-1, 1, size=64 * 64 - 1)
    return weather.Fog(severity).clouded(IMAGES, torch.as_tensor(u)[None].float())


def z(random: np.random.RandomState) -> Tensor:
    return planes(random.normal(size=PICTURE.shape))


CASES: dict[str, tuple[Made, float, float]] = {
    "gaussian-noise": (lambda s, r: noise.GaussianNoise(s).noisy(IMAGES, z(r)), 1, 1),
    "speckle-noise": (lambda s, r: noise.SpeckleNoise(s).noisy(IMAGES, z(r)), 1, 1),
    "shot-noise": (
        lambda s, r: noise.ShotNoise(s).counted(planes(r.poisson(PICTURE / 255 * (60, 25, 12, 5, 3)[s - 1]))),
        1,
        1,
    ),
    "impulse-noise": (impulses, 1, 1),
    "gaussian-blur": (lambda s, _: blur.GaussianBlur(s).changed(IMAGES, NOTHING), 1, 1),
    "defocus-blur": (lambda s, _: blur.DefocusBlur(s).changed(IMAGES, NOTHING), 1, 1),
    "glass-blur": (behind_glass, 3, 1),
    "motion-blur": (moved, 1, 1),
    "zoom-blur": (lambda s, _: blur.ZoomBlur(s).changed(IMAGES, NOTHING), 1, 1),
    "snow": (snowed, 2, 0.99),
    "fog": (clouded, 1, 1),
    "spatter": (
        lambda s, r: spatter.Spatter(s).splashed(IMAGES, planes(r.normal(size=(HEIGHT, WIDTH)))),
        1,
        0.99,
    ),
    "brightness": (lambda s, _: tone.Brightness(s).changed(IMAGES, NOTHING), 1, 1),
    "contrast": (lambda s, _: tone.Contrast(s).changed(IMAGES, NOTHING), 1, 1),
    "saturate": (lambda s, _: tone.Saturate(s).changed(IMAGES, NOTHING), 1, 1),
    "elastic-transform": (bent, 1, 1),
    "pixelate": (lambda s, _: geometry.Pixelate(s).changed(IMAGES, NOTHING), 2, 1),
    "jpeg-compression": (lambda s, _: geometry.JpegCompression(s).changed(IMAGES, NOTHING), 0, 1),
}
"""Family -> how it is made from the reference's draws, the tolerance in levels of 8 bits, the share within it."""

WATER = [("spatter", severity) for severity in (1, 2, 3)]


def differences(name: str, severity: int) -> np.ndarray:
    """Absolute differences in levels of 8 bits. The reference drops what lies below a level, so half of one is added
    to what it gives, but where it is exact: a file of 8 bits."""
    made = CASES[name][0](severity, np.random.RandomState(0))
    assert made.dtype == torch.float32
    out = made[0].permute(1, 2, 0).numpy()[::2] * 255
    return np.abs(np.floor(out + 1e-3) - REFERENCE[f"{name} {severity}"])


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("name", CASES)
def test_agrees_with_the_reference(name: str, severity: int) -> None:
    if (name, severity) in WATER:
        assert differences(name, severity).mean() < 3
        return
    _, tolerance, share = CASES[name]
    assert (differences(name, severity) <= tolerance).mean() >= share


def test_every_published_family_but_frost_is_compared() -> None:
    assert set(COMMON) - set(CASES) == {"frost"}
