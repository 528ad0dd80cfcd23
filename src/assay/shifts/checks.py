"""Check images for proxies of the target and for the visibility of confounders."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor
from torch.nn import functional

from assay.core.types import Factor, FactorTable
from assay.shifts.association import somers_d

# Factors that nearly equal the target: a result on one of them cannot be separated from one on the target.

PROXY = 0.98
"""AUROC of a factor for a class from which it counts as a proxy for the target."""
LEAST_ROWS = 10
"""With fewer rows on either side nothing is said: by chance a column tells so few."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """A factor that tells a class from the others.

    Attributes:
        auroc: From `PROXY` to 1.
        rows: Those that have its value.
    """

    factor: str
    of: str
    auroc: float
    rows: int


def proxies(table: FactorTable) -> list[Proxy]:
    """Return the factors that alone tell some class from the rest with an AUROC of at least `PROXY`, in the table's
    order.

    Numbers and ordered levels are taken as they are, whichever way they point. Of a categorical factor each level
    scores the share of the class among rows of *other* patients that have it, so that a column with a level of its own
    for every patient tells nothing. Missing values are left out. Factors that define the target (role *core*) are not
    looked at, and nothing is said where a side has fewer than `LEAST_ROWS` rows.
    """
    found = [_strongest(factor, table) for factor in table.factors if factor.role != "core"]
    return [proxy for proxy in found if proxy is not None]


def _strongest(factor: Factor, table: FactorTable) -> Proxy | None:
    """Two classes are given by one figure, that of the last; of several the first that is given."""
    classes = range(len(table.classes)) if len(table.classes) > 2 else (1,)
    for k in classes:
        of = table.target == k
        scores = _scores(factor, table, of)
        known = ~np.isnan(scores)
        sides = int((of & known).sum()), int((~of & known).sum())
        if min(sides) < LEAST_ROWS:
            continue
        d = somers_d(scores[known], of[known])
        auroc = (1 + (d if factor.kind == "categorical" else abs(d))) / 2
        if auroc >= PROXY:
            return Proxy(factor.name, table.classes[k], auroc, sum(sides))
    return None


def _scores(factor: Factor, table: FactorTable, of: Bool[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
    """Higher meaning more, NaN where the value is missing."""
    if factor.kind != "categorical" or not factor.levels:  # a blank column has no levels
        return factor.numbers(table.columns[factor.name])
    level = table.columns[factor.name].astype(np.int64)
    patients, patient = np.unique(table.patient, return_inverse=True)
    _, code = np.unique(level, return_inverse=True)
    # One code a pair of level and patient: a patient's share of its level is taken away from its own rows.
    _, pair = np.unique(code * len(patients) + patient, return_inverse=True)
    others = np.bincount(code)[code] - np.bincount(pair)[pair]
    positives = np.bincount(code, weights=of)[code] - np.bincount(pair, weights=of)[pair]
    shares = np.where(others > 0, positives / np.maximum(others, 1), of.mean())
    return np.where(level < 0, np.nan, shares)


# How visible a change is: how many pixels it touches, by how much, and how alike the pictures still are.

SEEN = 0.5 / 255
"""A pixel counts as changed from half a level of an 8-bit screen."""

_WINDOW, _SIGMA = 11, 1.5
_C1, _C2 = 0.01**2, 0.03**2


@dataclass(frozen=True, slots=True)
class Visibility:
    """Three figures per image, float64 [b].

    Attributes:
        share: Of the pixels that differ by at least `SEEN` in some channel, 0 to 1.
        difference: Mean absolute difference over all pixels and channels, black to white being 1.
        ssim: Structural similarity (Wang et al. 2004: Gaussian window of 11 px, sigma 1.5, K1 = 0.01, K2 = 0.03), the
            mean over windows that lie within the image and over channels, -1 to 1, 1 for equal images; NaN where an
            edge is shorter than 11 px. All three are NaN for an image with a value that is not finite; no images give
            empty figures.
    """

    share: Float64[Tensor, "b"]
    difference: Float64[Tensor, "b"]
    ssim: Float64[Tensor, "b"]


def visibility(before: Float[Tensor, "b c h w"], after: Float[Tensor, "b c h w"]) -> Visibility:
    """Measure the change of images in [0, 1].

    Raises:
        ValueError: If their shapes differ.
    """
    if before.shape != after.shape or before.ndim != 4:
        given = f"{tuple(before.shape)} and {tuple(after.shape)}"
        raise ValueError(f"visibility compares images [b, c, h, w] of one shape; given: {given}")
    first, second = before.detach().double(), after.detach().double()
    apart = (first - second).abs()
    sound = torch.isfinite(apart).flatten(1).all(dim=1)
    share = (apart >= SEEN).any(dim=1).double().mean(dim=(1, 2))
    figures = (share, apart.mean(dim=(1, 2, 3)), _ssim(first, second))
    return Visibility(*(torch.where(sound, figure, math.nan) for figure in figures))


def _ssim(first: Float64[Tensor, "b c h w"], second: Float64[Tensor, "b c h w"]) -> Float64[Tensor, "b"]:
    if min(first.shape[2:]) < _WINDOW or len(first) == 0:
        return torch.full((len(first),), math.nan, dtype=torch.float64, device=first.device)
    mean1, mean2 = _windowed(first), _windowed(second)
    variance1 = _windowed(first * first) - mean1 * mean1
    variance2 = _windowed(second * second) - mean2 * mean2
    covariance = _windowed(first * second) - mean1 * mean2
    brightness = (2 * mean1 * mean2 + _C1) / (mean1 * mean1 + mean2 * mean2 + _C1)
    structure = (2 * covariance + _C2) / (variance1 + variance2 + _C2)
    return (brightness * structure).mean(dim=(1, 2, 3))


def _windowed(images: Float64[Tensor, "b c h w"]) -> Float64[Tensor, "b c h-10 w-10"]:
    """Gaussian means over every window that is within the image."""
    steps = torch.arange(_WINDOW, dtype=torch.float64, device=images.device) - (_WINDOW - 1) / 2
    weights = torch.exp(-0.5 * (steps / _SIGMA) ** 2)
    weights = weights / weights.sum()
    flat = images.flatten(0, 1)[:, None]
    flat = functional.conv2d(functional.conv2d(flat, weights.view(1, 1, -1, 1)), weights.view(1, 1, 1, -1))
    return flat.view(*images.shape[:2], *flat.shape[2:])
