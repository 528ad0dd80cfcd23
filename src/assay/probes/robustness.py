"""Measure performance under distortions of the images of a test environment, by family and severity."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, ClassVar

import numpy as np
from jaxtyping import Float
from pydantic import AfterValidator, Field

from assay.core.errors import SpecError
from assay.core.measures import Measure, direction_of, register_measures
from assay.core.reasons import NO_REASON, Code, Reason
from assay.core.registry import Role, component
from assay.core.types import Contributions, Measurement, undefined
from assay.models.ref import Model
from assay.probes.probe import Reading, Request, Scope
from assay.probes.reader import read_predictions
from assay.shifts.distortions import SEVERITIES, distort, families_of
from assay.shifts.environment import Environment, Scene
from assay.stats.influence import ModelPredictions
from assay.stats.measures import find_measure, value_and_contributions

_distorted = partial(
    Measure,
    probe="robustness",
    low=0.0,
    high=1.0,
    direction="higher",
    needs=("environment", "factor"),
    reference="Hendrycks and Dietterich 2019",
)

register_measures(
    _distorted(
        "distorted-error",
        meaning="share of distorted images classified wrongly",
        direction="lower",
        chance="1 less the share of the commonest class",
    ),
    _distorted("distorted-auroc", meaning="AUROC on distorted images", display="AUROC on distorted images", chance=0.5),
    _distorted(
        "distorted-auroc-macro",
        meaning="macro AUROC on distorted images",
        display="macro AUROC on distorted images",
        chance=0.5,
    ),
    _distorted(
        "distorted-auroc-referable",
        meaning="AUROC of grades from the threshold grade on, on distorted images",
        display="AUROC of referable grades on distorted images",
        chance=0.5,
        option="referable",
    ),
    _distorted("stability", meaning="share of distorted images classified as when clean"),
    _distorted(
        "distorted-calibration-error",
        meaning="calibration error on distorted images",
        direction="lower",
        display="calibration error on distorted images",
        chance=0.0,
    ),
    _distorted(
        "distorted-error-increase",
        meaning="error on distorted images less that on the same images clean",
        direction="lower",
        low=-1.0,
    ),
    _distorted(
        "accuracy-kept", meaning="accuracy on distorted images over that on the same images clean", high=math.inf
    ),
    _distorted(
        "corruption-error",
        meaning="sum over severities of the error over that of a baseline recipe",
        direction="lower",
        high=math.inf,
        compared=False,
    ),
    _distorted(
        "relative-corruption-error",
        meaning="sum over severities of the error increase over that of a baseline recipe",
        direction="lower",
        low=-math.inf,
        high=math.inf,
        compared=False,
    ),
)

_ERROR_MEASURES = ("distorted-error", "distorted-error-increase", "accuracy-kept", "stability")


@dataclass(frozen=True, slots=True)
class _MeasuredValue:
    """A value with the contributions of patients, whose squares sum to its variance; NaN with a reason."""

    value: float
    contributions: Float[np.ndarray, " p"]
    chance: float = float("nan")
    reason: Reason = NO_REASON


def require_known_families(families: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of families.

    Raises:
        ValueError: One of them is unknown.
    """
    try:
        families_of(families)
    except SpecError as error:
        raise ValueError(str(error)) from error
    return families


def require_unique_severities(severities: tuple[int, ...]) -> tuple[int, ...]:
    """Return the severities.

    Raises:
        ValueError: One of them is repeated.
    """
    if len(set(severities)) < len(severities):
        raise ValueError("a severity is named twice: name each once")
    return severities


@component(
    "probe",
    "robustness",
    summary="what is left under each family of distortions and severity: errors, accuracy kept, calibration, stability",
    version=2,
)
class Robustness:
    """Implements `Probe` on one test environment, under each family of distortions at each severity.

    environment: the test environment whose images are distorted, the first of the study where it is empty. families:
    names of families and of groups of them (docs/reference/distortions.md), or dotted paths to one's own. severities: 1
    to 5, the published ones. referable: of several classes that are grades, the first that counts as positive.

    Measures, with `factor` the family and `level` the severity, and with `level` empty the mean over severities:
    `distorted-error` (share of images called wrongly, at the model's threshold), `distorted-error-increase` (that minus
    the error on clean images), `accuracy-kept` (accuracy over that on clean images), `stability` (share of images
    called as the same image is called clean, rightly or not), `distorted-auroc` (`distorted-auroc-macro` with several
    classes, and with `referable` also `distorted-auroc-referable`) and `distorted-calibration-error`. Corruption error
    and relative corruption error use the first two as they are made of, as ratios to a baseline recipe
    (`assay.stats.corruption`).

    Every model sees the same distorted images; they are made as they are read and not kept. Standard errors are over
    patients, of which each counts in the clean and the distorted images together. A family that such images cannot
    carry, a measure that lacks a class, and a share of an accuracy of zero are NaN with the reason.

    Examples:
        A network with a fixed threshold on one pixel errs in brighter images, whose ranks stay right:

        >>> from assay.plugin import run_probes
        >>> from assay.testing.probe import PixelReader, World
        >>> probe = Robustness(families=("brightness",), severities=(5,))
        >>> result = run_probes(Model(PixelReader({"margin": 4.0}), threshold=0.5), World(), {"robustness": probe})
        >>> found = {one.measure: round(one.value, 2) for one in result.measurements["robustness"] if one.level}
        >>> found["distorted-error"], found["distorted-auroc"]
        (0.51, 1.0)
    """

    scope: ClassVar[Scope] = "tests"

    def __init__(
        self,
        *,
        environment: Annotated[
            str,
            Role("environment"),
            Field(description="the test environment whose images are distorted; the first where empty"),
        ] = "",
        families: Annotated[
            tuple[str, ...],
            Field(
                min_length=1,
                description="families of distortions or groups of them: common, retinal, endoscopy, dermoscopy, xray",
            ),
            AfterValidator(require_known_families),
        ] = ("common",),
        severities: Annotated[
            tuple[Annotated[int, Field(ge=1, le=5)], ...],
            Field(min_length=1, description="severities, 1 (least) to 5 (most), each once"),
            AfterValidator(require_unique_severities),
        ] = SEVERITIES,
        referable: Annotated[
            int,
            Field(
                ge=0, le=99, description="grade from which an image counts as positive, whose AUROC is added; 0: none"
            ),
        ] = 0,
    ) -> None:
        self.environment = environment
        self.families = families_of(families)
        self.severities = tuple(severities)
        self.referable = referable

    def requests(self, model: Model, scene: Scene) -> tuple[Request, ...]:
        """Return the environment as it is and under every distortion that its images can carry."""
        clean = self._clean(scene)
        distorted = [
            environment
            for family in self.families
            if not self._refusal(clean, family)
            for environment in self._distorted(clean, family, model.device)
        ]
        return tuple(Request(environment) for environment in (clean, *distorted))

    def measure(self, reading: Reading, scene: Scene) -> list[Measurement]:
        """Return the measurements family by family: each severity, then the mean over severities."""
        clean = self._clean(scene)
        clean_predictions = self._predictions(reading, clean)
        names = _performance_measures(clean_predictions, self.referable)
        patient = clean.table.patient
        samples = np.unique(patient)
        measurements: list[Measurement] = []
        for family in self.families:
            template = Measurement("", 0.0, environment=clean.name, factor=family, n=len(clean))
            if refusal := self._refusal(clean, family):
                measures = (*_ERROR_MEASURES, *names)
                measurements += [undefined(name, refusal, environment=clean.name, factor=family) for name in measures]
                continue
            environments = self._distorted(clean, family, reading.model.device)
            values = [
                _values(clean_predictions, self._predictions(reading, environment), patient, names)
                for environment in environments
            ]
            for severity, values_at_severity in zip(self.severities, values, strict=True):
                measurements += [
                    _to_measurement(name, value, samples, replace(template, level=str(severity)))
                    for name, value in values_at_severity.items()
                ]
            measurements += [
                _to_measurement(
                    name, _mean([values_at_severity[name] for values_at_severity in values]), samples, template
                )
                for name in values[0]
            ]
        return measurements

    def _predictions(self, reading: Reading, environment: Environment) -> ModelPredictions:
        return replace(read_predictions(reading, environment), grade_cutoff=self.referable or 1)

    def _clean(self, scene: Scene) -> Environment:
        if self.environment and self.environment not in scene.names:
            raise SpecError(
                f"probe 'robustness': no test environment '{self.environment}'; there are {', '.join(scene.names)}"
            )
        return scene.environment(self.environment or scene.names[0])

    def _distorted(self, clean: Environment, family: str, device: str) -> Iterator[Environment]:
        return (distort(clean, family, severity, device) for severity in self.severities)

    def _refusal(self, clean: Environment, family: str) -> str:
        """Return why a family cannot be applied to these images; empty where it can."""
        try:
            distort(clean, family, self.severities[0])
        except SpecError as error:
            return str(error)
        return ""


def _performance_measures(predictions: ModelPredictions, referable: int) -> dict[str, str]:
    """Return measure of this probe -> measure of performance that it is on distorted images."""
    ranking = {"distorted-auroc": "auroc"} if predictions.n_classes == 2 else {"distorted-auroc-macro": "auroc-macro"}
    graded = {"distorted-auroc-referable": "auroc-referable"} if referable else {}
    return {**ranking, **graded, "distorted-calibration-error": "calibration-error"}


def _values(
    before: ModelPredictions, after: ModelPredictions, patient: np.ndarray, names: Mapping[str, str]
) -> dict[str, _MeasuredValue]:
    """Return every measure of one family and severity.

    Args:
        before: Predictions on clean images.
        after: Predictions on the same images, distorted.
        patient: Codes of patients.
        names: See `_performance_measures`.
    """
    clean, distorted = (_measured_value("accuracy", predictions, patient) for predictions in (before, after))
    stable = _measured_value("accuracy", replace(after, target=before.predicted), patient)
    return {
        "distorted-error": _MeasuredValue(1 - distorted.value, -distorted.contributions, 1 - distorted.chance),
        "distorted-error-increase": _MeasuredValue(
            clean.value - distorted.value, clean.contributions - distorted.contributions
        ),
        "accuracy-kept": _ratio(distorted, clean),
        "stability": replace(stable, chance=float("nan")),
        **{name: _measured_value(of, after, patient) for name, of in names.items()},
    }


def _measured_value(name: str, predictions: ModelPredictions, patient: np.ndarray) -> _MeasuredValue:
    metric, contributions = value_and_contributions(name, predictions, patient)
    return _MeasuredValue(
        metric.value, contributions, find_measure(name).chance(predictions.target, predictions.n_classes), metric.reason
    )


def _ratio(distorted: _MeasuredValue, clean: _MeasuredValue) -> _MeasuredValue:
    if clean.value == 0:
        return replace(clean, value=float("nan"), chance=float("nan"), reason=Reason.of(Code.NO_CLEAN_HIT))
    share = distorted.value / clean.value
    return _MeasuredValue(share, (distorted.contributions - share * clean.contributions) / clean.value)


def _mean(values: Sequence[_MeasuredValue]) -> _MeasuredValue:
    """Return the mean over severities; undefined where one of them is."""
    mean = float(np.mean([result.value for result in values]))
    contributions = np.mean([result.contributions for result in values], axis=0)
    return _MeasuredValue(
        mean, contributions, values[0].chance, next((result.reason for result in values if result.reason), NO_REASON)
    )


def _to_measurement(name: str, measured: _MeasuredValue, samples: np.ndarray, template: Measurement) -> Measurement:
    return replace(
        template,
        measure=name,
        value=measured.value,
        reason=measured.reason,
        direction=direction_of(name),
        patients=len(measured.contributions),
        standard_error=float(np.sqrt((measured.contributions**2).sum())),
        contributions=Contributions(samples, measured.contributions),
        chance=measured.chance,
    )
