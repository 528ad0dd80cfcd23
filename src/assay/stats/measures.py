"""The measures that a study may name: how each is computed, what each image contributes, which way is better."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, Int

from assay.core.errors import SpecError, unknown_name
from assay.core.maps import AT_NATIVE
from assay.stats import influence, metrics
from assay.stats.grades import OF_GRADES
from assay.stats.influence import Answers
from assay.stats.map_measures import OF_MAPS
from assay.stats.measure import Measure, constant
from assay.stats.scores import Metric, undefined


def _shares(target: np.ndarray, classes: int) -> np.ndarray:
    return np.bincount(target, minlength=classes) / max(len(target), 1)


def _commonest(target: np.ndarray, classes: int) -> float:
    return float(_shares(target, classes).max())


def _positives(target: np.ndarray, classes: int) -> float:
    return float(_shares(target, classes)[1])


def _entropy(target: np.ndarray, classes: int) -> float:
    shares = _shares(target, classes)
    return float(-(shares[shares > 0] * np.log(shares[shares > 0])).sum())


def _gini(target: np.ndarray, classes: int) -> float:
    spread = 1 - (_shares(target, classes) ** 2).sum()
    return float(spread / 2 if classes == 2 else spread)


def _log_loss(a: Answers) -> Metric:
    return metrics.log_loss(a.logits, a.target)


_OF_IMAGES = (
    Measure(
        "auroc",
        lambda a: metrics.auroc(a.score, a.target, a.fold),
        influence.auroc,
        "higher",
        constant(0.5),
        binary=True,
    ),
    Measure(
        "auroc-macro",
        lambda a: metrics.macro_auroc(a.logits, a.target, a.fold),
        influence.macro_auroc,
        "higher",
        constant(0.5),
    ),
    Measure(
        "somers-d",
        lambda a: metrics.somers_d(a.score, a.target, a.fold),
        influence.somers_d,
        "higher",
        constant(0.0),
        low=-1.0,
        binary=True,
    ),
    Measure(
        "average-precision",
        lambda a: metrics.average_precision(a.score, a.target, a.fold),
        influence.average_precision,
        "higher",
        _positives,
        binary=True,
    ),
    Measure("accuracy", lambda a: metrics.accuracy(a.predicted, a.target), influence.accuracy, "higher", _commonest),
    Measure(
        "sensitivity",
        lambda a: metrics.sensitivity(a.predicted, a.target),
        influence.sensitivity,
        "higher",
        constant(float("nan")),
        binary=True,
    ),
    Measure(
        "specificity",
        lambda a: metrics.specificity(a.predicted, a.target),
        influence.specificity,
        "higher",
        constant(float("nan")),
        binary=True,
    ),
    Measure("brier", lambda a: metrics.brier(a.logits, a.target), influence.brier, "lower", _gini, high=2.0),
    Measure("log-loss", _log_loss, influence.log_loss, "lower", _entropy, high=float("inf"), unit="nats"),
    Measure(
        "calibration-error",
        lambda a: metrics.calibration_error(a.logits, a.target),
        influence.calibration_error,
        "lower",
        constant(0.0),
    ),
    Measure(
        "quadratic-weighted-kappa",
        lambda a: metrics.quadratic_weighted_kappa(a.predicted, a.target),
        influence.quadratic_weighted_kappa,
        "higher",
        constant(0.0),
        low=-1.0,
        ordinal=True,
    ),
)

MEASURES: Mapping[str, Measure] = {measure.name: measure for measure in (*_OF_IMAGES, *OF_GRADES, *OF_MAPS)}


def measure(name: str) -> Measure:
    """The measure of that name. Raises SpecError with the nearest valid name."""
    if name not in MEASURES:
        raise SpecError(unknown_name("measure", name, list(MEASURES)))
    return MEASURES[name]


def value(name: str, answers: Answers) -> Metric:
    """A measure of one model's answers: a value, or NaN and why."""
    chosen = measure(name)
    if not np.isfinite(answers.logits).all():
        bad = int((~np.isfinite(answers.logits)).any(axis=1).sum())
        return undefined(f"the model's answer is not finite for {bad} of {len(answers.target)} images")
    if chosen.maps and not answers.maps:
        return undefined(f"{name} is for segmentation, and the model says one thing of an image")
    if chosen.native and f"{AT_NATIVE}truth" not in answers.maps:
        return undefined("no masks at native size: crops, and images that are not single files, have none")
    if chosen.binary and answers.classes != 2:
        return undefined(f"{name} is for two classes, and there are {answers.classes}")
    return chosen.value(answers)


def influence_of(name: str, answers: Answers, patient: Int[np.ndarray, " n"]) -> tuple[Metric, Float[np.ndarray, " p"]]:
    """A measure and the contribution of each patient to it, in the order of `np.unique(patient)`.

    The squares of the contributions sum to the variance of the measure over patients. NaN where the measure is
    undefined or rests on a single patient.
    """
    result = value(name, answers)
    codes, position = np.unique(patient, return_inverse=True)
    if not result.defined:
        return result, np.full(len(codes), np.nan)
    rows = measure(name).rows(answers, result.value, patient)
    return result, np.bincount(position, rows, minlength=len(codes))
