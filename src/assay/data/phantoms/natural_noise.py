"""Random fields whose power falls as f^-a, as that of natural images does (Field 1987, a near 2), and forms of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from assay.data.phantoms.canvas import column
from assay.data.phantoms.counter import uniforms, white_noise
from assay.data.phantoms.fields import spline_zoom
from assay.data.phantoms.natural_kinds import Law

_OCTAVES = tuple(2**i for i in range(1, 9))
_STRETCH = 4
_COARSE = 3.0  # cycles an image below which power falls at scale 1: no picture is one slope from edge to edge


def draw_noise(
    law: Law, scale: Float[np.ndarray, "n"], nuisance: Int[np.ndarray, "n"], size: int, device: str
) -> Float[Tensor, "n size size"]:
    """Pictures of one law, grey levels in 0..1. Every other one is turned by a quarter."""
    stretch = _STRETCH if law.form == "streaks" else 1
    field = power_field(law.exponent, scale, nuisance, size, device, stretch)
    turned = torch.as_tensor(uniforms(nuisance, "noise-turn", 1) < 0.5, device=device)[..., None]
    shown = _FORMS[law.form](torch.where(turned, field.transpose(1, 2), field))
    return shown.mul_(0.22).add_(0.5).clamp_(0, 1)


def power_field(
    slope: float,
    scale: Float[np.ndarray, "n"],
    nuisance: Int[np.ndarray, "n"],
    size: int,
    device: str,
    stretch: int = 1,
) -> Float[Tensor, "n size size"]:
    """Near-Gaussian fields of mean 0 whose power falls as f^-slope above `_COARSE` / scale cycles an image.

    A sum of octaves of smoothed white noise, each with the power that a band of width f has at that slope. Variance is
    1 over all octaves; those finer than a pixel are missing. stretch: how much longer structures are along x.
    """
    cells = np.array(_OCTAVES, dtype=np.float64)
    low = _COARSE / scale[:, None]
    power = cells ** (2 - slope) * (cells * cells / (cells * cells + low * low)) ** 2
    weight = np.sqrt(power / power.sum(axis=1, keepdims=True)) / _GAIN
    total = torch.zeros(len(nuisance), size, size, device=device)
    for i, count in enumerate(_OCTAVES):
        if count <= size:
            lattice = white_noise(nuisance, f"octave-{count}", count + 2, max(1, count // stretch) + 2, device)
            total.add_(spline_zoom(lattice, size).mul_(column(weight[:, i], device)))
    return total


_GAIN = 0.55
"""Standard deviation that a quadratic spline leaves of unit noise on its lattice, along both axes: (11 / 20)."""


def _plain(field: Tensor) -> Tensor:
    return field


def _folds(field: Tensor) -> Tensor:
    return field.abs().mul_(-2.2).add_(1.7)


def _bands(field: Tensor) -> Tensor:
    turns = field * 0.9
    return (turns - torch.floor(turns) - 0.5).abs_().mul_(7).sub_(1.75)


def _patches(field: Tensor) -> Tensor:
    return (field * 4).clamp_(-1.6, 1.6)


_FORMS: Mapping[str, Callable[[Tensor], Tensor]] = MappingProxyType(
    {"plain": _plain, "streaks": _plain, "folds": _folds, "bands": _bands, "patches": _patches}
)
