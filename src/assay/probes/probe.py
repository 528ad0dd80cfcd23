"""The protocol of probes, groups of images, and uncertainty of probe values."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int
from pydantic import Field

from assay.core.measures import INDEPENDENT, NEUTRAL
from assay.core.reasons import Code, Reason
from assay.core.registry import Role
from assay.core.seeds import row_uniform
from assay.core.types import Factor, FactorTable, Measurement
from assay.data.dataset import levels_of
from assay.stats.influence import sum_by_patient

if TYPE_CHECKING:
    from assay.models.ref import Model
    from assay.shifts.environment import Environment, Scene


# The probe protocol: the readings that a probe requests, and the measurements that it makes of them.


@dataclass(frozen=True, slots=True)
class Request:
    """One environment a probe needs read, and from which layers beyond the logits. `untrained` reads the other net.

    Attributes:
        native: Whether maps are measured at the size of the images' files too, where the environment has such masks.

    Examples:
        What a probe asks for, and the reading that answers it:

        >>> from assay.plugin import Model, ModelReading
        >>> from assay.testing.probe import PixelReader, World
        >>> neutral = World().neutral()
        >>> reading = ModelReading(Model(PixelReader()), [Request(neutral, layers=("vector",))])
        >>> reading.read(neutral).activations["vector"].shape
        (400, 12)
    """

    environment: Environment
    layers: tuple[str, ...] = ()
    untrained: bool = False
    native: bool = False


@dataclass(frozen=True, slots=True)
class ModelOutputs:
    """Outputs of a model for an environment: logits [n, k] and, per requested layer, activations [n, d].

    Attributes:
        maps: Of a segmentation, the statistics of each image's map (docs/reference/maps.md); logits are then (0, z), z
            being the greatest log-odds of lesion against background of any pixel. Empty otherwise.

    Examples:
        >>> read = ModelOutputs(logits=np.zeros((5, 2)), activations={"trunk": np.zeros((5, 8))})
        >>> sorted(read.activations)
        ['trunk']
    """

    logits: Float[np.ndarray, "n k"]
    activations: dict[str, np.ndarray]
    maps: dict[str, np.ndarray] = field(default_factory=dict[str, np.ndarray])


@dataclass(frozen=True, slots=True)
class SampledActivations:
    """Activations of layers for sampled images: row numbers, and per layer pooled activations, float32.

    Examples:
        >>> sampled = SampledActivations(row=np.array([3, 9]), layers={"trunk": np.zeros((2, 8), np.float32)})
        >>> sampled.layers["trunk"].shape
        (2, 8)
    """

    row: Int[np.ndarray, " n"]
    layers: dict[str, np.ndarray]


class Reading(Protocol):
    """One model's answers, each environment read once however many probes ask."""

    model: Model

    def read(self, environment: Environment, *, untrained: bool = False) -> ModelOutputs:
        """Answers for an environment that was requested."""
        ...

    def logits(self, images: object) -> Float[np.ndarray, "n k"]:
        """Logits for images that belong to no environment, such as a Sobol' design (any `Images`)."""
        ...


SourceOfImages = Annotated[
    str,
    Role("environment"),
    Field(
        min_length=1,
        description="where the images come from: '(neutral)', '(independent)' or the name of a test environment",
    ),
]
Scope = Literal["tests", "neutral"]
"""Scope of a probe: the study's test environments, or only those that a scene derives from them with ties cut. A new
environment to test on leaves the records of the latter valid; an environment that its arguments name (role
`environment`) is looked at too.
"""


class Probe(Protocol):
    """Reads a model on environments and yields measurements. Never changes the model.

    Attributes:
        scope: A class attribute, see `Scope`.
    """

    scope: ClassVar[Scope]

    def requests(self, model: Model, scene: Scene) -> tuple[Request, ...]:
        """Everything it will read, so that one pass can serve several probes."""
        ...

    def measure(self, reading: Reading, scene: Scene) -> list[Measurement]:
        """Return its measurements. Undefined values are NaN with the reason."""
        ...


@runtime_checkable
class KeepsActivations(Protocol):
    """A probe that also keeps activations of a sample of images, so that models can be compared without being read."""

    def kept(self, reading: Reading, scene: Scene) -> SampledActivations | None:
        """Data kept next to its measurements; None where nothing is."""
        ...


# The images that a probe looks at.


def source_of(scene: Scene, name: str) -> Environment:
    """Return the environment that a probe's argument names."""
    if name == NEUTRAL:
        return scene.neutral()
    return scene.independent() if name == INDEPENDENT else scene.environment(name)


def with_untrained(model: Model, environment: Environment) -> tuple[Request, ...]:
    """Return requests for all layers, of the network and, where it can be built, of the one before training."""
    request = Request(environment, model.layers)
    return (request,) if model.untrained is None else (request, replace(request, untrained=True))


def same_rows(purpose: str, table: FactorTable, images: int) -> Int[np.ndarray, " m"]:
    """Return positions of up to so many rows, drawn from the row alone: every model has the same rows."""
    return np.sort(np.argsort(row_uniform(0, purpose, table.row), kind="stable")[:images])


# Groups of rows by a factor, its levels or halves.


@dataclass(frozen=True, slots=True)
class Group:
    """Rows (booleans [n]) that share a level or half of a factor."""

    factor: str
    level: str
    rows: np.ndarray


def groups_of(table: FactorTable, reference: FactorTable) -> list[Group]:
    """Return every group of every factor that has rows in `table`.

    Groups are a factor's levels as `levels_of` gives them for `reference`, so that a half means the same in every
    environment. A factor whose rows all fall into one group gives none; rows with a missing value are in no group of
    that factor.
    """
    all_groups: list[Group] = []
    for factor in table.factors:
        groups = [group for group in _groups_by(factor, table, reference) if group.rows.any()]
        all_groups += groups if len(groups) > 1 else []
    return all_groups


def worst_group_place(factor: str, level: str, target: str) -> Reason:
    """Return which group a worst value is of.

    Examples:
        >>> from assay.report.sentences.reasons import place_words
        >>> places = [("texture", "part-solid", "benign"), ("sex", "F", ""), ("illumination", "low half", "2")]
        >>> [place_words(worst_group_place(*place)) for place in places]  # a class that is a number reads as one
        ['texture part-solid benign', 'sex F', 'illumination low half, class 2']
    """
    return Reason.of(Code.WORST_GROUP_PLACE, factor=factor, level=level, target=target)


def _groups_by(factor: Factor, table: FactorTable, reference: FactorTable) -> list[Group]:
    values = table.columns[factor.name]
    levels = levels_of(factor, reference.columns.get(factor.name, values))
    level = levels.of(values)
    return [Group(factor.name, name, level == k) for k, name in enumerate(levels.names)]


# Standard errors with patients as the units: images of one patient are not independent witnesses.


def patients(patient: Int[np.ndarray, "n"]) -> int:
    """How many patients there are."""
    return len(np.unique(patient))


def measurement_with_error(
    place: Measurement, value: float, influence: Float[np.ndarray, "n"], patient: Int[np.ndarray, "n"]
) -> Measurement:
    """Return a measurement with its value, the contributions of patients and the standard error they give.

    Examples:
        >>> place = Measurement("brightness", 0.0)
        >>> found = measurement_with_error(place, 2.0, np.array([-1.0, 0.0, 1.0]) / 3, np.array([0, 1, 2]))
        >>> found.value, round(found.standard_error, 4)  # 1 / sqrt(3)
        (2.0, 0.5774)
    """
    clustered_values = sum_by_patient(influence, patient)
    return replace(place, value=value, standard_error=clustered_values.standard_error, contributions=clustered_values)


def estimated_mean(place: Measurement, values: Float[np.ndarray, "n"], patient: Int[np.ndarray, "n"]) -> Measurement:
    """Return the mean over images with its error over patients (a ratio estimate: patients differ in size).

    Examples:
        >>> place = Measurement("brightness", 0.0)
        >>> mean = estimated_mean(place, np.array([1.0, 2.0, 3.0]), np.array([0, 1, 2]))
        >>> mean.value, round(mean.standard_error, 4)  # 1 / sqrt(3)
        (2.0, 0.5774)
    """
    mean = float(values.mean())
    return measurement_with_error(place, mean, (values - mean) / len(values), patient)
