"""Brightness: an uneven field, gamma, contrast, the histogram of another scanner."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from assay.shifts.confounders import pixel_kernels
from assay.shifts.confounders.diffuse import Change, same, settled
from assay.shifts.confounders.layers import COMPILED, Shape, luminance
from assay.shifts.confounders.processor import at_hand
from assay.shifts.intervention import Draws, Parameters

_LEVELS = 2**16
_ORDER = 3
_TERMS = tuple((i, j) for i in range(_ORDER + 1) for j in range(_ORDER + 1) if 1 <= i + j <= _ORDER)


@dataclass(frozen=True)
class BiasField(Change):
    """Smoothly uneven brightness: pixels times exp(amplitude f), with f a polynomial of degree 3 that stays in -1..1.

    f is a sum of products of Legendre polynomials along x and y with coefficients of the row's own, divided by the sum
    of their sizes. Van Leemput et al. 1999 model the field of a coil in this way. Differentiable.
    """

    amplitude: float
    at_once: ClassVar[int] = COMPILED

    def check(self, shape: Shape) -> None:
        """Every image can carry it."""

    def draw(self, draws: Draws, shape: Shape) -> dict[str, Tensor]:
        """`x<i> y<j>`: the nine coefficients, with sizes that sum to 1."""
        drawn = {f"x{i} y{j}": 2 * draws.uniform(f"x{i} y{j}") - 1 for i, j in _TERMS}
        total = sum((value.abs() for value in drawn.values()), torch.zeros(len(draws.rows), dtype=torch.float64))
        return {name: value / total for name, value in drawn.items()}

    def changed(self, images: Float[Tensor, "b c h w"], parameters: Parameters) -> Float[Tensor, "b c h w"]:
        """The unevenly lit images."""
        height, width = images.shape[2:]
        along = _legendre(width, images.device)
        down = _legendre(height, images.device)
        rows = [
            sum(
                (parameters[f"x{i} y{j}"].float()[:, None] * down[j] for j in range(_ORDER + 1) if (i, j) in _TERMS),
                torch.zeros(len(images), height, device=images.device),
            )
            for i in range(_ORDER + 1)
        ]
        rows = [self.amplitude * row for row in rows]
        if at_hand(images):
            out = images.clone(memory_format=torch.contiguous_format)
            pixel_kernels.light(out.numpy(), torch.stack(rows, dim=1).numpy(), torch.stack(along).numpy())
            return out
        products = (part[:, None, :, None] * columns for part, columns in zip(rows, along, strict=True))
        field = sum(products, torch.zeros(1, device=images.device))
        return (images * field.exp_()).clamp_(0, 1)


@dataclass(frozen=True)
class Gamma(Change):
    """Pixels x become x^gamma: above 1 darker, below 1 brighter, at 1 unchanged; black and white stay.

    Differentiable; below 1 the gradient at black is infinite.
    """

    gamma: float

    def check(self, shape: Shape) -> None:
        """Every image can carry it."""

    def draw(self, draws: Draws, shape: Shape) -> dict[str, Tensor]:
        """`gamma`, the same for all rows."""
        return same(draws, "gamma", self.gamma)

    def changed(self, images: Float[Tensor, "b c h w"], parameters: Parameters) -> Float[Tensor, "b c h w"]:
        """The brighter or darker images."""
        return images if self.gamma == 1 else settled(images.double() ** self.gamma)


@dataclass(frozen=True)
class Contrast(Change):
    """Pixels x become pivot + factor (x - pivot), cut at black and white; a factor of 1 changes nothing.

    Differentiable but where it cuts.
    """

    factor: float
    pivot: float
    at_once: ClassVar[int] = COMPILED

    def check(self, shape: Shape) -> None:
        """Every image can carry it."""

    def draw(self, draws: Draws, shape: Shape) -> dict[str, Tensor]:
        """`factor`, the same for all rows."""
        return same(draws, "factor", self.factor)

    def changed(self, images: Float[Tensor, "b c h w"], parameters: Parameters) -> Float[Tensor, "b c h w"]:
        """The flatter or steeper images."""
        if self.factor == 1:
            return images
        if not at_hand(images):
            return (images - self.pivot).mul_(self.factor).add_(self.pivot).clamp_(0, 1)
        out = torch.empty(images.shape)
        pixel_kernels.stretch(images.flatten(0, 2).numpy(), out.flatten(0, 2).numpy(), self.factor, self.pivot)
        return out


@dataclass(frozen=True)
class ScannerHistogram(Change):
    """The grey values of another scanner: each image's histogram moved towards a stated one.

    A pixel whose luminance has rank u (0 the darkest of the image, 1 the brightest) moves by `strength` of the way from
    there to the target's quantile at u, a polyline through `quantiles` at even steps of u; all channels move alike, so
    that colours keep their hue. The order of grey values is kept, so at strength 1 two grey images with the same order
    come out equal. Values within one 65,535th share a rank. An image of a single value has no ranks and stays as it
    is. Ranks pass no gradient: that of a grey result is 1 - strength.
    """

    strength: float
    quantiles: tuple[float, ...]
    at_once: ClassVar[int] = COMPILED

    def check(self, shape: Shape) -> None:
        """Every image can carry it."""

    def draw(self, draws: Draws, shape: Shape) -> dict[str, Tensor]:
        """`strength`, the same for all rows."""
        return same(draws, "strength", self.strength)

    def changed(self, images: Float[Tensor, "b c h w"], parameters: Parameters) -> Float[Tensor, "b c h w"]:
        """The images in the other scanner's grey values."""
        grey = luminance(images)
        if at_hand(images):
            out = images.clone(memory_format=torch.contiguous_format)
            given = grey.flatten(1).contiguous().numpy(), np.array(self.quantiles)
            pixel_kernels.match(out.flatten(2).numpy(), *given, self.strength, _LEVELS)
            return out
        rank, ranked = _ranks(grey.detach())
        position = rank.mul_(len(self.quantiles) - 1)
        knots = torch.tensor(self.quantiles, dtype=torch.float64, device=images.device)
        first = position.floor().clamp_(0, len(knots) - 2)
        at = first.long().flatten()
        low, rise = (values.gather(0, at).view_as(position) for values in (knots, knots.diff()))
        target = position.sub_(first).mul_(rise).add_(low).float()
        moved = (images + self.strength * (target - grey)).clamp_(0, 1)
        return torch.where(ranked[:, None, None, None], moved, images)


def _ranks(grey: Float[Tensor, "b 1 h w"]) -> tuple[Float64[Tensor, "b 1 h w"], Bool[Tensor, "b"]]:
    """For each pixel the share of the pixels below the brightest that are darker; which images have ranks."""
    level = (grey * (_LEVELS - 1)).round_().nan_to_num_(0.0).long().flatten(1)
    image = torch.arange(len(grey), device=grey.device)[:, None]
    counts = torch.bincount((level + image * _LEVELS).flatten(), minlength=len(grey) * _LEVELS).view(-1, _LEVELS)
    darker = counts.cumsum(dim=1).sub_(counts).gather(1, level)
    most = darker.amax(dim=1)
    return darker.double().div_(most.clamp(min=1)[:, None]).view_as(grey), most > 0


def _legendre(length: int, device: torch.device) -> list[Float[Tensor, "length"]]:
    """Legendre polynomials of degree 0 to 3 at the pixels' centres, the image spanning -1 to 1."""
    x = (torch.arange(length, device=device, dtype=torch.float64) + 0.5) * (2 / length) - 1
    square = x * x
    polynomials = [torch.ones_like(x), x, 1.5 * square - 0.5, (2.5 * square - 1.5) * x]
    return [polynomial.float() for polynomial in polynomials]
