"""What a measure is: how it is computed, what each image contributes, which way is better."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from assay.core.types import Direction
from assay.stats.influence import Answers
from assay.stats.scores import Metric

Chance = Callable[[Int[np.ndarray, " n"], int], float]
"""Targets [n] and number of classes -> the value of a model that knows nothing but how frequent the classes are."""


@dataclass(frozen=True, slots=True)
class Measure:
    """A metric with all that an estimate of it needs.

    value: from a model's answers. rows: (answers, value, patients) -> contributions per image (see `influence`).
    low, high: the range that it cannot leave. binary: whether it exists for two classes only. ordinal: whether it
    takes several classes for grades, in their order. cut: whether it takes them for two, apart at a cut. maps: whether
    it is of what a segmentation keeps of each map. native: whether of what was kept at the size of the images' files.
    images: how many images it rests on.
    """

    name: str
    value: Callable[[Answers], Metric]
    rows: Callable[[Answers, float, Int[np.ndarray, " n"]], Float[np.ndarray, " n"]]
    direction: Direction
    chance: Chance
    low: float = 0.0
    high: float = 1.0
    unit: str = ""
    binary: bool = False
    ordinal: bool = False
    cut: bool = False
    maps: bool = False
    native: bool = False
    images: Callable[[Answers], int] = lambda answers: len(answers.target)


def constant(value: float) -> Chance:
    """A chance level that does not hang on the classes."""
    return lambda target, classes: value
