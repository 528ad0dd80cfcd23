"""Distortions given the numbers of a reference: NumPy's generator of the same seed, asked in the same order."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from assay.plugin import lookup
from assay.shifts.distortions import RowRandom


class Again(RowRandom):
    """NumPy's legacy generator, which the references use."""

    share = 0.0

    def __init__(self, seed: float) -> None:
        self.legacy = np.random.RandomState(int(seed))

    def normal(self, size: tuple[int, ...]) -> np.ndarray:
        shape = (*size[1:], size[0]) if len(size) == 3 else size
        drawn = self.legacy.normal(size=shape).astype(np.float32)
        return drawn.transpose(2, 0, 1) if len(size) == 3 else drawn

    def uniform(self, low: float, high: float, size: tuple[int, ...]) -> np.ndarray:
        return self.legacy.uniform(low, high, size=size)

    def integers(self, low: int, high: int, size: tuple[int, ...]) -> np.ndarray:
        return self.legacy.randint(low, high, size=size).astype(np.int32)

    def poisson(self, mean: np.ndarray) -> np.ndarray:
        return self.legacy.poisson(mean.transpose(1, 2, 0)).transpose(2, 0, 1)


class Struck(Again):
    """For impulses: the reference draws which values are struck, then which of all would be white."""

    def uniform(self, low: float, high: float, size: tuple[int, ...]) -> np.ndarray:
        random, shape = np.random.default_rng(0), (*size[1:], size[0])
        struck, white = random.random(shape) <= self.share, random.random(shape) <= 0.5
        return (
            np.where(struck, np.where(white, self.share / 4, 0.75 * self.share), 0.99)
            .transpose(2, 0, 1)
            .astype(np.float32, order="C")
        )


def planes(values: np.ndarray) -> Tensor:
    """The reference's [h, w] or [h, w, c] as float32 [1, c, h, w]."""
    page = values if values.ndim == 3 else values[..., None]
    return torch.as_tensor(np.ascontiguousarray(page.transpose(2, 0, 1)))[None].float()


def made(name: str, severity: int, picture: np.ndarray) -> np.ndarray:
    """One picture, uint8 [h, w] or [h, w, c], under a distortion, in levels [c, h, w]."""
    family = cast("Any", lookup("distortion", name).load())
    random = (Struck if name == "impulse-noise" else Again)(0)
    random.share = family.strengths[severity - 1]
    return family.function(planes(picture)[0].to(torch.uint8).numpy(), family.strengths[severity - 1], random)


def levels_apart(levels: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Absolute differences in levels on the rows that the reference keeps, every second one. The reference drops what
    lies below a level, so that is dropped here too.
    """
    out = np.clip(levels, 0, 255).transpose(1, 2, 0)[::2]
    return np.abs(np.floor(out.astype(np.float64) + 1e-2) - reference.reshape(out.shape))
