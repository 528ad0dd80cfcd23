"""What all distortions share: a severity from a table, draws by row, nothing at all at severity 0."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from assay.core.errors import SpecError
from assay.shifts.confounders.diffuse import Change, settled
from assay.shifts.confounders.layers import Shape
from assay.shifts.confounders.randomness import uniforms
from assay.shifts.intervention import Draws, Parameters

T = TypeVar("T")

_NUDGE = 2.0**-34


@dataclass(frozen=True)
class Distortion(Change):
    """Implements `Intervention`: drawn by row first, then applied deterministically, on the images' device.

    What is random is named by family and row and not by severity, so that the same drops fall, only harder. Published
    families keep their constants, lengths in px for images of 224 px among them; results stay float32 where the
    reference cuts them to 8 bits.

    severity: 0 to 5; at 0 the given images come back.
    """

    severity: int

    def check(self, shape: Shape) -> None:
        """Every image can carry it, unless a family says otherwise."""

    def draw(self, draws: Draws, shape: Shape) -> dict[str, Tensor]:
        """`seed`: for the row's own generator."""
        return {"seed": draws.seeds("distortion")}

    def apply(self, images: Float[Tensor, "b c h w"], parameters: Parameters) -> Float[Tensor, "b c h w"]:
        """The distorted images, float32 in [0, 1]; the very same tensor at severity 0."""
        return images if self.severity == 0 or len(images) == 0 else super().apply(images, parameters)

    def at(self, levels: Sequence[T]) -> T:
        """The constant of this severity."""
        return levels[self.severity - 1]


def needs_colour(name: str, shape: Shape) -> None:
    """Refuse images that are not RGB, by name."""
    if shape[0] != 3:
        raise SpecError(
            f"distortion '{name}' changes colours, and the images have {shape[0]} channel{'s' * (shape[0] > 1)}: "
            "leave it out of the families"
        )


def stream(parameters: Parameters, part: int) -> Tensor:
    """A seed [b] of its own for one part of a family's draws."""
    return (parameters["seed"] + part * 0x3C6EF372) % 2**32


def drawn(parameters: Parameters, part: int, count: int, low: float = 0.0, high: float = 1.0) -> Float[Tensor, "b n"]:
    """`count` numbers per row, float64, uniform between `low` and `high`."""
    return low + (high - low) * uniforms(stream(parameters, part), count)


def field(values: Float[Tensor, "b n"], height: int, width: int) -> Float[Tensor, "b 1 h w"]:
    """Numbers as one float32 value per pixel."""
    return values.float().view(-1, 1, height, width)


def column(values: Float[Tensor, "b"]) -> Float[Tensor, "b 1 1 1"]:
    """One float32 number per row, to be broadcast over its pixels."""
    return values.float()[:, None, None, None]


def greatest(images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 1 1 1"]:
    """The greatest value of each image."""
    return torch.amax(images, dim=(1, 2, 3), keepdim=True)


def untied(images: Float64[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    """`settled` for means over pixels: these often lie in the middle between two steps of its grid, where the last bit
    would decide, so all are first moved by less than a thousandth of a step."""
    return settled(images + _NUDGE)
