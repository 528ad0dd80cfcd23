"""Declare measures of outputs: `measure` above the function that computes one."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeVar

import numpy as np
from jaxtyping import Int

from assay.core.measures import Measure, register_measures
from assay.core.reasons import Code, Reason
from assay.stats.influence import ModelPredictions, Patients, PerImage
from assay.stats.metrics import Metric, undefined_metric

Result = tuple[Metric, Callable[[Patients], PerImage]]
"""A value, and the contribution of each image to it from the patients (see `influence`)."""
MeasureFunction = Callable[[ModelPredictions], Result]
Function = TypeVar("Function", bound=MeasureFunction)
ChanceFunction = Callable[[Int[np.ndarray, " n"], int], float]
"""Targets [n] and number of classes -> the value of a model that knows nothing but how frequent the classes are."""


@dataclass(frozen=True, slots=True)
class MeasureRequirements:
    """Requirements of a measure on the outputs that it is computed from.

    Attributes:
        binary: Two classes only.
        ordinal: Of several classes only grades, in their order.
        grade_cutoff: Classes that are divided in two at a threshold grade.
        specificity_thresholds: Outputs with thresholds of validation specificities.
        maps: Columns of segmentation maps.
        native: Such columns at the size of the images' files.
    """

    binary: bool = False
    ordinal: bool = False
    grade_cutoff: bool = False
    specificity_thresholds: bool = False
    maps: bool = False
    native: bool = False


ANY, TWO_CLASSES, MAPS = MeasureRequirements(), MeasureRequirements(binary=True), MeasureRequirements(maps=True)


@dataclass(frozen=True, slots=True)
class ComputedMeasure:
    """A measure that is computed from outputs.

    Attributes:
        entry: Entry of the measure in the registry.
        compute: Compute the value, and the contributions of images, from the outputs of a model.
        requirements: Outputs that have it.
        chance_by_frequency: Compute the chance level, where it depends on how frequent the classes are.
        is_restatement: Whether another measure gives the same of two classes.
    """

    entry: Measure
    compute: MeasureFunction
    requirements: MeasureRequirements
    chance_by_frequency: ChanceFunction | None
    is_restatement: bool

    @property
    def name(self) -> str:
        """Name of the measure."""
        return self.entry.name

    def chance(self, target: Int[np.ndarray, " n"], classes: int) -> float:
        """Return the value of a model that knows nothing but how frequent the classes are; NaN where there is none."""
        if self.chance_by_frequency is not None:
            return self.chance_by_frequency(target, classes)
        return self.entry.chance if isinstance(self.entry.chance, float) else math.nan


_computed: dict[str, ComputedMeasure] = {}
COMPUTED: Mapping[str, ComputedMeasure] = MappingProxyType(_computed)
"""Every measure that is computed from outputs, by name."""


def measure(
    entry: Measure,
    requirements: MeasureRequirements = ANY,
    *,
    chance_by_frequency: ChanceFunction | None = None,
    is_restatement: bool = False,
) -> Callable[[Function], Function]:
    """Declare the measure that a function computes. It is then in every table and figure of such outputs.

    Args:
        entry: Name, meaning, unit, range, direction and chance level.
        requirements: Outputs that have it.
        chance_by_frequency: Compute the chance level, where it depends on how frequent the classes are.
        is_restatement: Whether another measure gives the same of two classes.
    """

    def declare(compute: Function) -> Function:
        register_measures(entry)
        _computed[entry.name] = ComputedMeasure(entry, compute, requirements, chance_by_frequency, is_restatement)
        return compute

    return declare


def without_value(reason: Reason | Code) -> Result:
    """Return a result without a value, and why."""
    return undefined_metric(reason), lambda patient: np.full(len(patient), np.nan)
