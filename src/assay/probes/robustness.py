"""Measure performance under distortions of the images."""

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
from assay.probes.reader import answers_of
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

_OF_ERRORS = ("distorted-error", "distorted-error-increase", "accuracy-kept", "stability")


@dataclass(frozen=True, slots=True)
class _MeasuredValue:
    """A value with each patient's contribution to it, whose squares sum to its variance; NaN with the reason."""

    value: float
    contributions: Float[np.ndarray, " p"]
    chance: float = float("nan")
    reason: Reason = NO_REASON


def known_families(families: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of families.

    Raises:
        ValueError: One of them is unknown.
    """
    try:
        families_of(families)
    except SpecError as error:
        raise ValueError(str(error)) from error
    return families


def each_once(severities: tuple[int, ...]) -> tuple[int, ...]:
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
            AfterValidator(known_families),
        ] = ("common",),
        severities: Annotated[
            tuple[Annotated[int, Field(ge=1, le=5)], ...],
            Field(min_length=1, description="severities, 1 (least) to 5 (most), each once"),
            AfterValidator(each_once),
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
            for environment in self._under(clean, family, model.device)
        ]
        return tuple(Request(environment) for environment in (clean, *distorted))

    def measure(self, reading: Reading, scene: Scene) -> list[Measurement]:
        """Family by family: each severity, then the mean over them."""
        clean = self._clean(scene)
        before = self._answers(reading, clean)
        names = _of_answers(before, self.referable)
        patient = clean.table.patient
        samples = np.unique(patient)
        measurements: list[Measurement] = []
        for family in self.families:
            place = Measurement("", 0.0, environment=clean.name, factor=family, n=len(clean))
            if refusal := self._refusal(clean, family):
                refused = (*_OF_ERRORS, *names)
                measurements += [undefined(name, refusal, environment=clean.name, factor=family) for name in refused]
                continue
            environments = self._under(clean, family, reading.model.device)
            values = [
                _values(before, self._answers(reading, environment), patient, names) for environment in environments
            ]
            for severity, here in zip(self.severities, values, strict=True):
                measurements += [
                    _said(name, value, samples, replace(place, level=str(severity))) for name, value in here.items()
                ]
            measurements += [_said(name, _mean([here[name] for here in values]), samples, place) for name in values[0]]
        return measurements

    def _answers(self, reading: Reading, environment: Environment) -> ModelPredictions:
        return replace(answers_of(reading, environment), grade_cutoff=self.referable or 1)

    def _clean(self, scene: Scene) -> Environment:
        if self.environment and self.environment not in scene.names:
            raise SpecError(
                f"probe 'robustness': no test environment '{self.environment}'; there are {', '.join(scene.names)}"
            )
        return scene.environment(self.environment or scene.names[0])

    def _under(self, clean: Environment, family: str, device: str) -> Iterator[Environment]:
        return (distort(clean, family, severity, device) for severity in self.severities)

    def _refusal(self, clean: Environment, family: str) -> str:
        """Why such images cannot carry the family; empty where they can."""
        try:
            distort(clean, family, self.severities[0])
        except SpecError as error:
            return str(error)
        return ""


def _of_answers(answers: ModelPredictions, referable: int) -> dict[str, str]:
    """Names: measure of the probe -> measure of performance."""
    ranking = {"distorted-auroc": "auroc"} if answers.n_classes == 2 else {"distorted-auroc-macro": "auroc-macro"}
    graded = {"distorted-auroc-referable": "auroc-referable"} if referable else {}
    return {**ranking, **graded, "distorted-calibration-error": "calibration-error"}


def _values(
    before: ModelPredictions, after: ModelPredictions, patient: np.ndarray, names: Mapping[str, str]
) -> dict[str, _MeasuredValue]:
    """Return every measure of one family and severity. names: as `_of_answers` returns them."""
    clean, distorted = (_found("accuracy", answers, patient) for answers in (before, after))
    stable = _found("accuracy", replace(after, target=before.predicted), patient)
    return {
        "distorted-error": _MeasuredValue(1 - distorted.value, -distorted.contributions, 1 - distorted.chance),
        "distorted-error-increase": _MeasuredValue(
            clean.value - distorted.value, clean.contributions - distorted.contributions
        ),
        "accuracy-kept": _ratio(distorted, clean),
        "stability": replace(stable, chance=float("nan")),
        **{name: _found(of, after, patient) for name, of in names.items()},
    }


def _found(name: str, answers: ModelPredictions, patient: np.ndarray) -> _MeasuredValue:
    metric, contributions = value_and_contributions(name, answers, patient)
    return _MeasuredValue(
        metric.value, contributions, find_measure(name).chance(answers.target, answers.n_classes), metric.reason
    )


def _ratio(distorted: _MeasuredValue, clean: _MeasuredValue) -> _MeasuredValue:
    if clean.value == 0:
        return replace(clean, value=float("nan"), chance=float("nan"), reason=Reason.of(Code.NO_CLEAN_HIT))
    share = distorted.value / clean.value
    return _MeasuredValue(share, (distorted.contributions - share * clean.contributions) / clean.value)


def _mean(of: Sequence[_MeasuredValue]) -> _MeasuredValue:
    """Return the mean over severities; undefined where one of them is."""
    value = float(np.mean([result.value for result in of]))
    contributions = np.mean([result.contributions for result in of], axis=0)
    return _MeasuredValue(
        value, contributions, of[0].chance, next((result.reason for result in of if result.reason), NO_REASON)
    )


def _said(name: str, result: _MeasuredValue, samples: np.ndarray, place: Measurement) -> Measurement:
    return replace(
        place,
        measure=name,
        value=result.value,
        reason=result.reason,
        direction=direction_of(name),
        patients=len(result.contributions),
        standard_error=float(np.sqrt((result.contributions**2).sum())),
        contributions=Contributions(samples, result.contributions),
        chance=result.chance,
    )
