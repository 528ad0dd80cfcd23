"""The protocol of probes, the images and groups that they measure, and standard errors of their values.

A probe requests environments, gets the outputs of a model on them from a `Reading`, and returns measurements.
"""

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
    """An environment on which a probe needs the outputs of a model.

    Attributes:
        environment: The environment.
        layers: Names of layers whose activations are needed in addition to the logits.
        untrained: Whether the network before training is read in place of the trained one.
        native: Whether maps are also measured at the size of the images' files, where the environment has such masks.

    Examples:
        A request and a reading of it:

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
    """Outputs of one model: every environment is read once, for all probes."""

    model: Model

    def read(self, environment: Environment, *, untrained: bool = False) -> ModelOutputs:
        """Return the outputs for an environment that was requested."""
        ...

    def logits(self, images: object) -> Float[np.ndarray, "n k"]:
        """Return logits for images that belong to no environment, such as a Sobol' design (any `Images`)."""
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
"""Environments that a probe reads: the study's test environments, or only the neutral ones that a scene derives from
them, in which no factor is tied to the target. Records of a probe of the scope `neutral` stay valid where a study gets
a new test environment. In both scopes a probe also reads the environments that its arguments name (role `environment`).
"""


class Probe(Protocol):
    """Reads a model on environments and yields measurements. Never changes the model.

    Attributes:
        scope: A class attribute, see `Scope`.
    """

    scope: ClassVar[Scope]

    def requests(self, model: Model, scene: Scene) -> tuple[Request, ...]:
        """Return all that the probe will read, so that one pass serves several probes."""
        ...

    def measure(self, reading: Reading, scene: Scene) -> list[Measurement]:
        """Return its measurements. Undefined values are NaN with the reason."""
        ...


@runtime_checkable
class KeepsActivations(Protocol):
    """A probe that also keeps activations of a sample of images, so that models can be compared without being read."""

    def kept(self, reading: Reading, scene: Scene) -> SampledActivations | None:
        """Return the activations that are stored with its measurements; None for none."""
        ...


# The images that a probe reads.


def environment_named(scene: Scene, name: str) -> Environment:
    """Return the environment of a name: a test environment, `(neutral)` or `(independent)`."""
    if name == NEUTRAL:
        return scene.neutral()
    return scene.independent() if name == INDEPENDENT else scene.environment(name)


def requests_with_untrained(model: Model, environment: Environment) -> tuple[Request, ...]:
    """Return requests for all layers, of the network and, where it can be built, of the one before training."""
    request = Request(environment, model.layers)
    return (request,) if model.untrained is None else (request, replace(request, untrained=True))


def sample_rows(purpose: str, table: FactorTable, max_images: int) -> Int[np.ndarray, " m"]:
    """Return positions of up to `max_images` rows, drawn by the row numbers alone: the same for every model."""
    return np.sort(np.argsort(row_uniform(0, purpose, table.row), kind="stable")[:max_images])


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


# Standard errors with patients as the units: images of one patient are not independent.


def number_of_patients(patient: Int[np.ndarray, "n"]) -> int:
    """Return how many patients there are."""
    return len(np.unique(patient))


def measurement_with_error(
    template: Measurement, value: float, influence: Float[np.ndarray, "n"], patient: Int[np.ndarray, "n"]
) -> Measurement:
    """Return a measurement with a value, the contributions of patients and their standard error.

    Args:
        template: A measurement with the measure, environment, factor and so on.
        value: The value.
        influence: Influence of each image on the value [n].
        patient: Codes of patients [n].

    Examples:
        >>> place = Measurement("brightness", 0.0)
        >>> found = measurement_with_error(place, 2.0, np.array([-1.0, 0.0, 1.0]) / 3, np.array([0, 1, 2]))
        >>> found.value, round(found.standard_error, 4)  # 1 / sqrt(3)
        (2.0, 0.5774)
    """
    contributions = sum_by_patient(influence, patient)
    return replace(template, value=value, standard_error=contributions.standard_error, contributions=contributions)


def estimated_mean(template: Measurement, values: Float[np.ndarray, "n"], patient: Int[np.ndarray, "n"]) -> Measurement:
    """Return the mean over images with its standard error over patients (a ratio estimate: patients differ in size).

    Args:
        template: A measurement with the measure, environment, factor and so on.
        values: A value per image [n].
        patient: Codes of patients [n].

    Examples:
        >>> place = Measurement("brightness", 0.0)
        >>> mean = estimated_mean(place, np.array([1.0, 2.0, 3.0]), np.array([0, 1, 2]))
        >>> mean.value, round(mean.standard_error, 4)  # 1 / sqrt(3)
        (2.0, 0.5774)
    """
    mean = float(values.mean())
    return measurement_with_error(template, mean, (values - mean) / len(values), patient)
