"""Distortions given what a reference drew: NumPy's generator with the same seed, asked in the same order."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from assay.shifts.distortions import common

NOTHING = {"severity": torch.zeros(1)}
Made = Callable[[Tensor, int, np.random.RandomState], Tensor]


def planes(values: np.ndarray) -> Tensor:
    """The reference's [h, w] or [h, w, c] as float32 [1, c, h, w]."""
    page = values if values.ndim == 3 else values[..., None]
    return torch.as_tensor(np.ascontiguousarray(page.transpose(2, 0, 1)))[None].float()


def pixels(images: Tensor) -> np.ndarray:
    """One image [1, c, h, w] as the reference has it, float64 [h, w, c]: of whole levels over 255."""
    return (images[0].permute(1, 2, 0).double() * 255).round().numpy() / 255


def levels_apart(made: Tensor, reference: np.ndarray) -> np.ndarray:
    """Absolute differences in levels of 8 bits on the rows that the reference keeps, every second one. The reference
    drops what lies below a level, so that is dropped here too."""
    assert made.dtype == torch.float32
    out = made[0].permute(1, 2, 0).numpy()[::2] * 255
    return np.abs(np.floor(out + 1e-3) - reference.reshape(out.shape))


def angle(degrees: float) -> tuple[Tensor, Tensor]:
    turn = math.radians(degrees)
    return torch.tensor([math.cos(turn)]).double(), torch.tensor([math.sin(turn)]).double()


def z(images: Tensor, random: np.random.RandomState) -> Tensor:
    return planes(random.normal(size=pixels(images).shape))


def counted(images: Tensor, severity: int, random: np.random.RandomState) -> Tensor:
    photons = (60, 25, 12, 5, 3)[severity - 1]
    return common.ShotNoise(severity=severity).counted(planes(random.poisson(pixels(images) * photons)))


def impulses(images: Tensor, severity: int, _: np.random.RandomState) -> Tensor:
    """The reference draws which values are struck, then which of all would be white, from a generator of its own."""
    share, shape = (0.03, 0.06, 0.09, 0.17, 0.27)[severity - 1], pixels(images).shape
    random = np.random.default_rng(0)
    struck, white = random.random(shape) <= share, random.random(shape) <= 0.5
    u = np.where(struck, np.where(white, share / 4, 0.75 * share), 0.99)
    return common.ImpulseNoise(severity=severity).struck(images, planes(u))


def moved(images: Tensor, severity: int, random: np.random.RandomState) -> Tensor:
    cosine, sine = angle(random.uniform(-45, 45))
    return common.MotionBlur(severity=severity).changed(images, {"cosine": cosine, "sine": sine})


def snowed(images: Tensor, severity: int, random: np.random.RandomState) -> Tensor:
    noisy = planes(random.normal(size=images.shape[2:]))
    return common.Snow(severity=severity).snowed(images, noisy, *angle(random.uniform(-135, -45)))


def behind_glass(images: Tensor, severity: int, random: np.random.RandomState) -> Tensor:
    (height, width), (far, times) = images.shape[2:], ((1, 2), (2, 1), (2, 3), (3, 2), (4, 2))[severity - 1]
    count = times * (height - 2 * far) * (width - 2 * far)
    steps = np.stack([random.randint(-far, far, size=(2,)) for _ in range(count)])
    return common.GlassBlur(severity=severity).behind(images, torch.as_tensor(steps)[None])


def bent(images: Tensor, severity: int, random: np.random.RandomState) -> Tensor:
    far, size = 0.005 * images.shape[2], images.shape[2:]
    across, down = (planes(random.uniform(-far, far, size=size) / far) for _ in range(2))
    return common.ElasticTransform(severity=severity).bent(images, across, down)


def clouded(images: Tensor, severity: int, random: np.random.RandomState) -> Tensor:
    u = random.uniform(-1, 1, size=64 * 64 - 1)
    return common.Fog(severity=severity).clouded(images, torch.as_tensor(u)[None].float())


def splashed(images: Tensor, severity: int, random: np.random.RandomState) -> Tensor:
    return common.Spatter(severity=severity).splashed(images, planes(random.normal(size=images.shape[2:])))


MADE: dict[str, Made] = {
    "gaussian-noise": lambda images, s, r: common.GaussianNoise(severity=s).noisy(images, z(images, r)),
    "speckle-noise": lambda images, s, r: common.SpeckleNoise(severity=s).noisy(images, z(images, r)),
    "shot-noise": counted,
    "impulse-noise": impulses,
    "gaussian-blur": lambda images, s, _: common.GaussianBlur(severity=s).changed(images, NOTHING),
    "defocus-blur": lambda images, s, _: common.DefocusBlur(severity=s).changed(images, NOTHING),
    "glass-blur": behind_glass,
    "motion-blur": moved,
    "zoom-blur": lambda images, s, _: common.ZoomBlur(severity=s).changed(images, NOTHING),
    "snow": snowed,
    "fog": clouded,
    "spatter": splashed,
    "brightness": lambda images, s, _: common.Brightness(severity=s).changed(images, NOTHING),
    "contrast": lambda images, s, _: common.Contrast(severity=s).changed(images, NOTHING),
    "saturate": lambda images, s, _: common.Saturate(severity=s).changed(images, NOTHING),
    "elastic-transform": bent,
    "pixelate": lambda images, s, _: common.Pixelate(severity=s).changed(images, NOTHING),
    "jpeg-compression": lambda images, s, _: common.JpegCompression(severity=s).changed(images, NOTHING),
}
"""Family -> one image under it at a severity, made from the reference's draws."""
