"""Measures of outputs: of images, of grades and of segmentation maps, one function each."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from assay.core.errors import SpecError, unknown_name
from assay.core.map_grid import AT_NATIVE
from assay.core.reasons import Code, Reason
from assay.stats.influence import ModelPredictions, Patients, code_patients
from assay.stats.measure import COMPUTED, ComputedMeasure, Result, without_value
from assay.stats.measures import grades, images, maps
from assay.stats.metrics import Metric

__all__ = ["COMPUTED", "find_measure", "grades", "images", "influence_of", "maps", "value"]


def find_measure(name: str) -> ComputedMeasure:
    """Return the measure of that name. Raises SpecError with the nearest valid name."""
    if name not in COMPUTED:
        raise SpecError(unknown_name("measure", name, list(COMPUTED)))
    return COMPUTED[name]


def value(name: str, answers: ModelPredictions) -> Metric:
    """Return a measure of one model's answers: a value, or NaN and why.

    Examples:
        >>> answers = ModelPredictions(np.array([[-1.0], [2.0], [1.0], [3.0]]), np.array([0, 0, 1, 1]))
        >>> value("auroc", answers).value  # of four pairs of a negative and a positive image, one is in the wrong order
        0.75
    """
    return _compute(name, answers)[0]


def _compute(name: str, answers: ModelPredictions) -> Result:
    measure = find_measure(name)
    domain = measure.domain
    if not answers.finite:
        bad = int((~np.isfinite(answers.logits)).any(axis=1).sum())
        return without_value(Reason.of(Code.NOT_FINITE, count=bad, images=len(answers.target)))
    if domain.maps and not answers.maps:
        return without_value(Reason.of(Code.NEEDS_MAPS, measure=name))
    if domain.native and f"{AT_NATIVE}truth" not in answers.maps:
        return without_value(Code.NO_NATIVE_MASKS)
    if domain.binary and answers.classes != 2:
        return without_value(Reason.of(Code.NEEDS_TWO_CLASSES, measure=name, classes=answers.classes))
    return measure.compute(answers)


def influence_of(name: str, answers: ModelPredictions, patient: Patients) -> tuple[Metric, Float[np.ndarray, " p"]]:
    """Return a measure and the contribution of each patient to it, in the order of `np.unique(patient)`.

    The squares of the contributions sum to the variance of the measure over patients. NaN where the measure is
    undefined or rests on a single patient.

    Examples:
        >>> answers = ModelPredictions(np.array([[-1.0], [2.0], [1.0], [3.0]]), np.array([0, 0, 1, 1]))
        >>> metric, contributions = influence_of("accuracy", answers, np.arange(4))
        >>> metric.value, contributions.shape  # the second image is called positive
        (0.75, (4,))
    """
    cached = answers.influences.get(name)
    if cached is not None and cached[0] is patient:
        return cached[1]
    metric, contributions = _compute(name, answers)
    codes, position = code_patients(patient)
    if metric.is_defined:
        moved = np.bincount(position, contributions(patient), minlength=len(codes))
    else:
        moved = np.full(len(codes), np.nan)
    answers.influences[name] = (patient, (metric, moved))
    return metric, moved
