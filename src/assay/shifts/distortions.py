"""Distortions of images at severities 1 to 5, and how environments apply them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, TypeVar

import numpy as np
from jaxtyping import Float, Float32, Int
from pydantic import Field
from torch import Tensor

from assay.core.errors import SpecError, unknown_name
from assay.core.opencv import cv2
from assay.core.registry import build, entries
from assay.core.traits import Extent, Origin
from assay.data.dataset import ImagesWrapper
from assay.shifts.confounders.drawing import Shape, image_change
from assay.shifts.confounders.pixels import Change, Levels, Picture, Row, evenly, normals, seed_generator, to_levels
from assay.shifts.environment import Environment
from assay.shifts.intervention import DrawnIntervention, Draws, Parameters, draw
from assay.shifts.sampling import TEST_SEED

# Families of distortions and their groups.

SEVERITIES = (1, 2, 3, 4, 5)

GROUPS: Mapping[str, tuple[str, ...]] = {
    "common": (
        "gaussian-noise", "shot-noise", "impulse-noise", "speckle-noise", "gaussian-blur", "defocus-blur", "glass-blur",
        "motion-blur", "zoom-blur", "snow", "frost", "fog", "spatter", "brightness", "contrast", "saturate",
        "elastic-transform", "pixelate", "jpeg-compression",
    ),
    "retinal": ("retinal-defocus", "retinal-illumination", "retinal-artifacts"),
    "endoscopy": ("endoscopy-specular", "endoscopy-bubbles", "endoscopy-smoke"),
    "dermoscopy": ("dermoscopy-hair", "dermoscopy-ruler", "dermoscopy-gel"),
    "xray": ("xray-noise", "xray-grid", "xray-under-exposure"),
}  # fmt: skip
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


# One distortion: a function of an image, a strength and random numbers, and five strengths.

T = TypeVar("T")


class RowRandom:
    """Random numbers of one row. They depend on family and row and not on the severity, so that for example the same
    drops fall at every severity, only harder.
    """

    def __init__(self, seed: float) -> None:
        """Start them anew; no other may be in use in this thread."""
        self.seed = int(seed)
        seed_generator(seed)

    def normal(self, size: tuple[int, ...]) -> Float32[np.ndarray, "*size"]:
        """Draw standard normal numbers."""
        return normals(size)

    def uniform(self, low: float, high: float, size: tuple[int, ...]) -> Float32[np.ndarray, "*size"]:
        """Draw numbers from `low` to below `high`."""
        return evenly(size, low, high)

    def integers(self, low: int, high: int, size: tuple[int, ...]) -> Int[np.ndarray, "*size"]:
        """Draw whole numbers from `low` to below `high`."""
        numbers = np.empty(size, dtype=np.int32)
        cv2.randu(numbers, low, high)
        return numbers

    def poisson(self, mean: Float[np.ndarray, "*size"]) -> Int[np.ndarray, "*size"]:
        """Draw counts; the same ones at every call."""
        return np.random.Generator(np.random.SFC64(self.seed)).poisson(mean)


@dataclass(frozen=True, kw_only=True)
class Distortion(Change):
    """Implements `Intervention`: drawn by row first, then applied deterministically.

    severity: 0 to 5; at 0 the given images come back.

    Examples:
        A family of one's own, with a factor for each severity:

        >>> @dataclass(frozen=True, kw_only=True)
        ... class Darker(Distortion):
        ...     def change(self, image, row):
        ...         return image * self.at((0.9, 0.8, 0.7, 0.6, 0.5))
        >>> white = np.ones((1, 1, 1), dtype=np.float32)
        >>> [round(Darker(severity=severity).change(white, {}).item(), 1) for severity in (1, 5)]
        [0.9, 0.5]
    """

    severity: Annotated[int, Field(ge=0, le=5, description="0 (nothing changes), 1 (least) to 5 (most)")] = 3

    def draw(self, draws: Draws, shape: Shape) -> dict[str, Tensor]:
        """`seed`: for the row's own generator."""
        return {"seed": draws.seeds("distortion")}

    def apply(self, images: Float[Tensor, "b c h w"], parameters: Parameters) -> Float[Tensor, "b c h w"]:
        """Return the distorted images, float32 in [0, 1]; the very same tensor at severity 0."""
        return images if self.severity == 0 else super().apply(images, parameters)

    def at(self, levels: Sequence[T]) -> T:
        """Return the constant of this severity."""
        return levels[self.severity - 1]


Function = Callable[[Levels, Any, RowRandom], np.ndarray]


@dataclass(frozen=True, kw_only=True)
class FunctionDistortion(Distortion):
    """A distortion made of a function by `distortion`. Like the published ones it works on 8 bits; what it adds is not
    rounded to them.
    """

    function: ClassVar[Function]
    strengths: ClassVar[Sequence[Any]]
    refuse: ClassVar[Callable[[Shape], str]]

    def check(self, shape: Shape) -> None:
        """Raises SpecError for images that cannot be distorted so."""
        if reason := type(self).refuse(shape):
            raise SpecError(reason)

    def change(self, image: Picture, row: Row) -> Picture:
        """Return the distorted image."""
        family = type(self)
        levels = family.function(to_levels(image), self.at(family.strengths), RowRandom(row["seed"]))
        return levels * np.float32(1 / 255)


def _nothing(shape: Shape) -> str:
    return ""


def distortion(
    name: str,
    strengths: Sequence[T],
    summary: str,
    *,
    extent: Extent = "global",
    origin: Origin = "environment",
    refuse: Callable[[Shape], str] = _nothing,
    version: int = 2,
) -> Callable[[Callable[[Levels, T, RowRandom], np.ndarray]], type[FunctionDistortion]]:
    """Declare a function as a family of distortions; it becomes a class.

    The function takes one image, uint8 [c, h, w], a strength and the row's random numbers. It returns levels, whole
    or not, that are clipped to 0..255; the given image may be overwritten.

    Args:
        name: Name in specs.
        strengths: Of severity 1 to 5.
        summary: One line for `assay list`.
        extent: See `ChangeTraits`.
        origin: See `ChangeTraits`.
        refuse: Returns why images of a shape cannot be distorted, or nothing.
        version: Rises when pixels change.
    """

    def declare(function: Callable[[Levels, T, RowRandom], np.ndarray]) -> type[FunctionDistortion]:
        body = {"function": staticmethod(function), "strengths": strengths, "refuse": staticmethod(refuse)}
        places = {"__module__": function.__module__, "__doc__": function.__doc__, "__qualname__": function.__qualname__}
        declared = type(function.__name__, (FunctionDistortion,), {**body, **places})
        return image_change(name, summary, "distortion", extent=extent, origin=origin, version=version)(declared)

    return declare


def only_color(name: str) -> Callable[[Shape], str]:
    """Return what refuses images that are not RGB, by the name of a family."""
    return lambda shape: (
        ""
        if shape[0] == 3
        else f"distortion '{name}' changes colors, and the images have {shape[0]} channel{'s' * (shape[0] > 1)}: "
        "leave it out of the families"
    )


# Environments as a distortion leaves them: batch by batch as they are read, nothing is stored.


@dataclass(frozen=True)
class DistortedImages(ImagesWrapper):
    """`Images` that are distorted on reading, and then moved to a device."""

    change: DrawnIntervention
    device: str = "cpu"

    def read(self, index: np.ndarray) -> Float[Tensor, "n c h w"]:
        """Distorted images at these positions, in this order, on the device."""
        return self.change.apply(self.images.read(index), index).to(self.device)


def distort(environment: Environment, family: str, severity: int, device: str = "cpu") -> Environment:
    """Return the same rows under a distortion, named `<environment>, <family> <severity>`, without masks.

    Random numbers depend on family and row alone: every model and every seed sees the same images.

    Raises:
        SpecError: Such images cannot carry it.

    Examples:
        An environment of a study, blurred at the third of five severities:

            blurred = distort(environment, "defocus-blur", 3)
            blurred.name  # "clean, defocus-blur 3"
    """
    intervention = build("distortion", family, {"severity": severity})
    everyone = np.ones(len(environment), dtype=bool)
    change = draw(
        family, intervention, everyone, environment.table.row, TEST_SEED, environment.images.shape, environment.boxes
    )
    return replace(
        environment,
        name=f"{environment.name}, {family} {severity}",
        images=DistortedImages(environment.images, change, device),
        masks=None,
        native=None,
    )
