"""Distortions of images at severities 1 to 5, and how environments apply them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, TypeVar

import numpy as np
import torch
from jaxtyping import Float, Float64
from pydantic import Field
from torch import Tensor

from assay.core.errors import SpecError, unknown_name
from assay.core.registry import build, entries
from assay.data.dataset import Images
from assay.shifts.confounders.drawing import Shape, uniforms
from assay.shifts.confounders.pixels import Change, settled
from assay.shifts.environment import Environment
from assay.shifts.intervention import Drawn, Draws, Parameters, draw
from assay.shifts.sampling import TEST_SEED

# Families of distortions and their groups.

SEVERITIES = (1, 2, 3, 4, 5)

GROUPS: Mapping[str, tuple[str, ...]] = {
    "common": (
        "gaussian-noise",
        "shot-noise",
        "impulse-noise",
        "speckle-noise",
        "gaussian-blur",
        "defocus-blur",
        "glass-blur",
        "motion-blur",
        "zoom-blur",
        "snow",
        "frost",
        "fog",
        "spatter",
        "brightness",
        "contrast",
        "saturate",
        "elastic-transform",
        "pixelate",
        "jpeg-compression",
    ),
    "retinal": (
        "retinal-defocus",
        "retinal-illumination",
        "retinal-artifacts",
    ),
    "endoscopy": (
        "endoscopy-specular",
        "endoscopy-bubbles",
        "endoscopy-smoke",
    ),
    "dermoscopy": (
        "dermoscopy-hair",
        "dermoscopy-ruler",
        "dermoscopy-gel",
    ),
    "xray": (
        "xray-noise",
        "xray-grid",
        "xray-under-exposure",
    ),
    "microscopy": ("microscopy-stain",),
}
"""Families that are named together, in the order of their measurements. `common`: those of ImageNet-C (Hendrycks and
Dietterich 2019), its four for validation among them."""


def families_of(names: Sequence[str]) -> tuple[str, ...]:
    """Resolve names of families and groups to families, each once, in this order. A dotted path is itself.

    Raises:
        SpecError: A name is neither; the text gives the nearest.
    """
    every = [entry.name for entry in entries("distortion")]
    unknown = [name for name in names if name not in GROUPS and name not in every and ":" not in name]
    if unknown:
        raise SpecError(unknown_name("distortion", unknown[0], [*GROUPS, *every]))
    return tuple(dict.fromkeys(family for name in names for family in GROUPS.get(name, (name,))))


# What all distortions share: a severity from a table, draws by row, nothing at all at severity 0.

T = TypeVar("T")

_NUDGE = 2.0**-34


@dataclass(frozen=True, kw_only=True)
class Distortion(Change):
    """Implements `Intervention`: drawn by row first, then applied deterministically, on the images' device.

    Random numbers depend on family and row, not on severity, so that for example the same drops fall at every severity,
    only harder. Published families keep their constants, lengths in px for images of 224 px among them; results stay
    float32 where the reference cuts them to 8 bits.

    severity: 0 to 5; at 0 the given images come back.
    """

    severity: Annotated[int, Field(ge=0, le=5, description="0 (nothing changes), 1 (least) to 5 (most)")] = 3
    random: ClassVar[bool] = True
    """Whether anything is drawn for a row."""

    def draw(self, draws: Draws, shape: Shape) -> dict[str, Tensor]:
        """`seed`: for the row's own generator; `severity` where nothing is random."""
        return {"seed": draws.seeds("distortion")} if self.random else super().draw(draws, shape)

    def apply(self, images: Float[Tensor, "b c h w"], parameters: Parameters) -> Float[Tensor, "b c h w"]:
        """The distorted images, float32 in [0, 1]; the very same tensor at severity 0."""
        return images if self.severity == 0 or len(images) == 0 else super().apply(images, parameters)

    def at(self, levels: Sequence[T]) -> T:
        """The constant of this severity."""
        return levels[self.severity - 1]


def needs_color(name: str, shape: Shape) -> None:
    """Refuse images that are not RGB, by name."""
    if shape[0] != 3:
        raise SpecError(
            f"distortion '{name}' changes colors, and the images have {shape[0]} channel{'s' * (shape[0] > 1)}: "
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


# Environments as a distortion leaves them: batch by batch as they are read, nothing is stored.


@dataclass(frozen=True)
class DistortedImages:
    """`Images` that are distorted on reading, on a device of their own."""

    images: Images
    change: Drawn
    device: str = "cpu"

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        return self.images.shape

    def __len__(self) -> int:
        return len(self.images)

    def read(self, index: np.ndarray) -> Float[Tensor, "n c h w"]:
        """Distorted images at these positions, in this order, on the device."""
        return self.change.apply(self.images.read(index).to(self.device), index)


def distorted(environment: Environment, family: str, severity: int, device: str = "cpu") -> Environment:
    """The same rows under a distortion, named `<environment>, <family> <severity>`, without masks.

    Random numbers depend on family and row alone: every model and every seed sees the same images.

    Raises:
        SpecError: Such images cannot carry it.
    """
    made = build("distortion", family, {"severity": severity})
    everyone = np.ones(len(environment), dtype=bool)
    change = draw(family, made, everyone, environment.table.row, TEST_SEED, environment.images.shape,
                  environment.boxes)  # fmt: skip
    return replace(
        environment,
        name=f"{environment.name}, {family} {severity}",
        images=DistortedImages(environment.images, change, device),
        masks=None,
        native=None,
    )


# Round things at drawn places: soft spots and rings.


def distances(size: tuple[int, int], x: Float[Tensor, "b"], y: Float[Tensor, "b"]) -> Float[Tensor, "b 1 h w"]:
    """Distance in px of every pixel's middle from one place per row."""
    across = torch.arange(size[1], device=x.device) + 0.5 - x.float()[:, None]
    down = torch.arange(size[0], device=x.device) + 0.5 - y.float()[:, None]
    return (across.square()[:, None, None, :] + down.square()[:, None, :, None]).sqrt_()


def spots(
    size: tuple[int, int], x: Float[Tensor, "b k"], y: Float[Tensor, "b k"], radius: Float[Tensor, "b k"]
) -> Float[Tensor, "b 1 h w"]:
    """k spots per row, 1 in the middle, 0 from `radius` px on, smooth between ((1 - d^2)^2); added where they meet."""
    total = torch.zeros(len(x), 1, *size, device=x.device)
    for k in range(x.shape[1]):
        total += spot(distances(size, x[:, k], y[:, k]), radius[:, k])
    return total


def spot(distance: Float[Tensor, "b 1 h w"], radius: Float[Tensor, "b"]) -> Float[Tensor, "b 1 h w"]:
    """One spot per row."""
    share = distance / radius.float().clamp(min=1e-3)[:, None, None, None]
    return (1 - share.square()).clamp_(min=0).square_()


def bubbles(
    size: tuple[int, int], x: Float[Tensor, "b k"], y: Float[Tensor, "b k"], radius: Float[Tensor, "b k"]
) -> tuple[Float[Tensor, "b 1 h w"], Float[Tensor, "b 1 h w"]]:
    """Coverage 0..1 by the rims of k bubbles per row, and by the glint that each has to its upper left.

    A rim is a fifth of the radius wide, 1.5 px at least.
    """
    rims = torch.zeros(len(x), 1, *size, device=x.device)
    glints = torch.zeros_like(rims)
    for k in range(x.shape[1]):
        r = radius[:, k].float()[:, None, None, None]
        away = distances(size, x[:, k], y[:, k])
        rim = (1 - ((away - r) / (0.1 * r).clamp(min=0.75)).square()).clamp_(min=0)
        torch.maximum(rims, rim, out=rims)
        aside = 0.45 * radius[:, k]
        glint = spot(distances(size, x[:, k] - aside, y[:, k] - aside), (0.35 * radius[:, k]).clamp(min=1.0))
        torch.maximum(glints, glint, out=glints)
    return rims, glints
