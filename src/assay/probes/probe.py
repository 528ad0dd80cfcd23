"""The probe protocol: what a probe asks to be read, and what it makes of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int
from torch import nn

from assay.core.types import Measurement
from assay.shifts.environment import Environment, Scene


@dataclass(frozen=True)
class Model:
    """What is probed: any module that maps float32 images in [0, 1] to logits [b, k], or [b, k, h, w] of each pixel.

    layers: dotted module names to read activations from. untrained: builds the same network before training.
    threshold: the decision threshold on the positive probability, chosen on validation; None for several classes.
    seed: the trial's seed, for a probe's own draws. operating: of a segmentation, the logit at which it finds each of
    the stated shares of validation lesions, NaN where none does. middle: whether of several classes the middle one is
    called, as models of grades do, in place of the likeliest. cut: where classes are grades, the first that counts as
    positive when they are cut in two; None where they are not. specific: the log-odds of lying at or above the cut from
    which each of `stats.grades.SPECIFICITIES` is reached on validation.
    """

    network: nn.Module
    layers: tuple[str, ...] = ()
    untrained: Callable[[], nn.Module] | None = None
    threshold: float | None = None
    seed: int = 0
    device: str = "cpu"
    operating: tuple[float, ...] = ()
    middle: bool = False
    cut: int | None = None
    specific: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Request:
    """One environment a probe needs read, and from which layers beyond the logits. `untrained` reads the other net.

    native: whether maps are measured at the size of the images' files too, where the environment has such masks.
    """

    environment: Environment
    layers: tuple[str, ...] = ()
    untrained: bool = False
    native: bool = False


@dataclass(frozen=True, slots=True)
class Read:
    """What a model said about an environment: logits [n, k] and, per requested layer, activations [n, d].

    maps: of a segmentation, what is kept of each image's map (docs/reference/maps.md); logits are then (0, z), z being
    the greatest log-odds of lesion against background of any pixel. Empty otherwise.
    """

    logits: Float[np.ndarray, "n k"]
    activations: dict[str, np.ndarray]
    maps: dict[str, np.ndarray] = field(default_factory=dict[str, np.ndarray])


@dataclass(frozen=True, slots=True)
class Sampled:
    """What layers said of a sample of images: the images' row numbers, and per layer pooled activations, float32."""

    row: Int[np.ndarray, " n"]
    layers: dict[str, np.ndarray]


class Reading(Protocol):
    """One model's answers, each environment read once however many probes ask."""

    model: Model

    def read(self, environment: Environment, *, untrained: bool = False) -> Read:
        """Answers for an environment that was requested."""
        ...

    def logits(self, images: object) -> Float[np.ndarray, "n k"]:
        """Logits for images that belong to no environment, such as a Sobol' design (any `Images`)."""
        ...


Scope = Literal["tests", "neutral"]
"""What a probe looks at: the study's test environments, or only what a scene derives from them when their ties are cut.
A new environment to test on leaves the records of the latter valid; an environment that its arguments name
(`Params.environments`) is looked at too."""


class Probe(Protocol):
    """Reads a model on environments and yields measurements. Never changes the model.

    scope: a class attribute, see `Scope`.
    """

    scope: ClassVar[Scope]

    def requests(self, model: Model, scene: Scene) -> tuple[Request, ...]:
        """Everything it will read, so that one pass can serve several probes."""
        ...

    def measure(self, reading: Reading, scene: Scene) -> list[Measurement]:
        """Its measurements. What is undefined is NaN with the reason."""
        ...


@runtime_checkable
class Keeping(Protocol):
    """A probe that also keeps activations of a sample of images, so that models can be compared without being read."""

    def kept(self, reading: Reading, scene: Scene) -> Sampled | None:
        """What is kept beside its measurements; None where nothing is."""
        ...
