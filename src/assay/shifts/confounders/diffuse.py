"""What all changes of the whole image share, and how a result is made the same in any batch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from assay.shifts.confounders.layers import AT_ONCE, Shape, pieces
from assay.shifts.intervention import Draws, Parameters

_GRID = 2.0**20


class Change(ABC):
    """A change of the whole image."""

    at_once: ClassVar[int] = AT_ONCE
    """Values that are changed in one call on a processor."""

    @abstractmethod
    def check(self, shape: Shape) -> None:
        """Raises SpecError when images of this shape cannot carry it."""

    @abstractmethod
    def draw(self, draws: Draws, shape: Shape) -> dict[str, Tensor]:
        """Parameters for every row, at least one, float64 or int64 [n]."""

    @abstractmethod
    def changed(self, images: Float[Tensor, "b c h w"], parameters: Parameters) -> Float[Tensor, "b c h w"]:
        """Some images, at least one, changed."""

    def apply(self, images: Float[Tensor, "b c h w"], parameters: Parameters) -> Float[Tensor, "b c h w"]:
        """The changed images."""
        parts = pieces(images, self.at_once)
        if len(parts) == 1:
            return self.changed(images, parameters)
        out = torch.empty_like(images)
        for some in parts:
            out[some] = self.changed(images[some], {name: values[some] for name, values in parameters.items()})
        return out

    def mask(self, parameters: Parameters, shape: Shape) -> Bool[Tensor, "b 1 h w"]:
        """All pixels."""
        some = next(iter(parameters.values()))
        return torch.ones(len(some), 1, *shape[1:], dtype=torch.bool, device=some.device)


def same(draws: Draws, name: str, value: float) -> dict[str, Tensor]:
    """A parameter that is the same for all rows."""
    return {name: torch.full((len(draws.rows),), float(value), dtype=torch.float64)}


def settled(images: Float64[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    """Float64 results as float32 in [0, 1], on a grid of 2^-20, 16 times finer than 16 bits.

    Transforms and powers of libraries differ in their last bit with the size of the batch and from device to device;
    on the grid that is gone, but for one value in some 10^9. Gradients pass as if it were not there.
    """
    kept = images.clamp(0, 1)
    if not kept.requires_grad:
        return kept.mul_(_GRID).round_().float().mul_(1 / _GRID)
    return (kept + ((kept.detach() * _GRID).round_().mul_(1 / _GRID) - kept.detach())).float()
