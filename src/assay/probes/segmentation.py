"""Probes of segmentation models: overlap, lesion-free false positives, and painted lesions."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, ClassVar

import numpy as np
from jaxtyping import Bool, Float, Int
from pydantic import Field

from assay.core.map_grid import AT_NATIVE
from assay.core.measures import MEASURES, NEUTRAL, Measure, direction_of, register_measures
from assay.core.reasons import Code, Reason
from assay.core.registry import component
from assay.core.types import FactorTable, Measurement, undefined
from assay.maps.summary import OF_KINDS
from assay.models.ref import Model
from assay.probes.performance import measurement_of, rows_of
from assay.probes.probe import Reading, Request, Scope, groups_of, measurement_with_error, patients
from assay.shifts.environment import Environment, PickedImages, PickedMasks, Scene
from assay.spec.data import LESION
from assay.stats.influence import ModelPredictions
from assay.stats.measures import COMPUTED

# How well a model outlines lesions, and how quiet it is where there is none, in each environment and group.


class MapMeasures:
    """Measures of kept map statistics, of every test environment and by group.

    Attributes:
        name: Name of the probe, whose measures those of an environment are.
        grouped: Those of each group of a factor (its levels, or the halves below and above the median of the neutral
            rows), with `factor` and `level`.
        by_kind: Those of each kind of lesion, named by `level`, where there are several. n: the images that a measure
            is of. Standard errors are over patients. NaN with the reason where an environment or a group lacks the
            subject of a measure, and for a model that gives no maps.
    """

    scope: ClassVar[Scope] = "tests"
    name: ClassVar[str]
    grouped: ClassVar[tuple[str, ...]]
    by_kind: tuple[str, ...] = ()
    native: bool = False

    @property
    def overall(self) -> list[str]:
        """Measures of an environment."""
        of_probe = (measure for measure in COMPUTED.values() if measure.entry.probe == self.name)
        return [measure.name for measure in of_probe if self.native or not measure.requirements.native]

    def requests(self, model: Model, scene: Scene) -> tuple[Request, ...]:
        """Return the answers in every test environment."""
        return tuple(Request(scene.environment(name), native=self.native) for name in scene.names)

    def measure(self, reading: Reading, scene: Scene) -> list[Measurement]:
        """Overall, then by kind and by group."""
        from assay.probes.reader import answers_of

        measurements: list[Measurement] = []
        answered: dict[str, tuple[ModelPredictions, FactorTable]] = {}
        kinds: tuple[str, ...] = ()
        for name in scene.names:
            environment = scene.environment(name)
            answers = answers_of(reading, environment)
            if not answers.maps:
                code = Code.NO_MASKS if environment.masks is None else Code.NO_PIXEL_LOGITS
                measurements += [undefined(measure, code, environment=name) for measure in self.overall]
                continue
            table, place = environment.table, Measurement("", 0.0, environment=name)
            measurements += [
                # contrasts take their contributions from kept outputs
                replace(
                    _in_millimeters(measurement_of(measure, answers, table.patient, place), environment),
                    contributions=None,
                )
                for measure in self.overall
            ]
            answered[name] = answers, table
            kinds = environment.masks.kinds if environment.masks is not None else kinds
        return measurements + self.describe(answered, scene.neutral().table, kinds)

    def describe(
        self, answered: Mapping[str, tuple[ModelPredictions, FactorTable]], reference: FactorTable, kinds: Sequence[str]
    ) -> list[Measurement]:
        """Return each kind of lesion and each group, of answers that are there already: environment -> answers and the
        table of their rows. Those of several folds may stand one after another.

        Args:
            reference: The neutral rows, whose medians cut the halves.
            kinds: Names, in the order of the masks' labels.
        """
        measurements: list[Measurement] = []
        for name, (answers, table) in answered.items():
            place = Measurement("", 0.0, environment=name)
            measurements += [
                measurement_of(measure, of_kind, table.patient, replace(place, level=kind))
                for kind, of_kind in _kinds(answers, kinds)
                for measure in self.by_kind
            ]
            for group in groups_of(table, reference):
                inside, patient = rows_of(answers, group.rows), table.patient[group.rows]
                at = replace(place, factor=group.factor, level=group.level)
                measurements += [measurement_of(measure, inside, patient, at) for measure in self.grouped]
        return measurements


def _kinds(answers: ModelPredictions, names: Sequence[str]) -> Iterator[tuple[str, ModelPredictions]]:
    """Return each of several kinds, and the answers as if it were the only one; a pixel is called by its greatest
    logit.
    """
    maps = answers.maps
    for place, name in enumerate(names if "kind_truth" in maps else ()):
        of_kind = {key: maps[f"kind_{key}"][:, place] for key in OF_KINDS}
        counts = {
            key: np.repeat(of_kind[key][:, None], maps[key].shape[1], axis=1) for key in ("predicted", "hit", "stray")
        }
        score, floor = _told_apart(of_kind["found"], of_kind["lesions"]), np.full(len(of_kind["found"]), -np.inf)
        alone = {**counts, "truth": of_kind["truth"], "lesion_score": score, "floor": floor}
        native_names = {key: f"{AT_NATIVE}kind_{key}" for key in ("truth", "predicted", "hit")}
        native = {f"{AT_NATIVE}{key}": maps[of][:, place] for key, of in native_names.items() if of in maps}
        yield name, replace(answers, maps={**maps, **alone, **native})


def _told_apart(counts: Int[np.ndarray, " n"], lesions: Int[np.ndarray, " n"]) -> Float[np.ndarray, "n l"]:
    """Return a score per lesion: 1 if it is found at p = 0.5, -1 if it is missed, NaN where padded."""
    place = np.arange(max(int(lesions.max(initial=0)), 1))
    return np.where(place < counts[:, None], 1.0, np.where(place < lesions[:, None], -1.0, np.nan))


def _in_millimeters(measurement: Measurement, environment: Environment) -> Measurement:
    """Return a measurement of lengths has the unit in which they were taken."""
    return (
        replace(measurement, unit="mm")
        if measurement.unit == "px" and environment.millimeters is not None
        else measurement
    )


@component(
    "probe",
    "segmentation",
    summary="Dice under every convention for empty masks, surfaces, lesions found, calibration of pixels",
    version=3,
)
class Segmentation(MapMeasures):
    """Implements `Probe`: overlap under every convention for empty masks, surfaces, lesions found, calibration.

    `dice` is the mean over images that show a lesion. docs/reference/probes.md defines the other measures. native: also
    overlap and surfaces at the size of each image's file, named `dice-native` and so on: probabilities are scaled back
    from the study's square and compared with the mask as it came. NaN with the reason in environments whose images have
    no such size.
    """

    name = "segmentation"
    grouped: ClassVar[tuple[str, ...]] = ("dice", "lesion-sensitivity")
    by_kind: tuple[str, ...] = (
        "dice",
        "dice-skip",
        "dice-one",
        "dice-zero",
        "dice-smoothed",
        "iou",
        "lesion-sensitivity",
        "false-positives-per-image",
    )

    def __init__(
        self,
        *,
        native: Annotated[
            bool,
            Field(description="also overlap and surfaces at the size of each image's file, against its original mask"),
        ] = False,
    ) -> None:
        self.native = native
        if native:
            self.by_kind = (*self.by_kind, "dice-native", "iou-native")


@component(
    "probe",
    "lesion-free",
    summary="false positives in images without a lesion, at p = 0.5 and at matched sensitivity by lesion",
    version=3,
)
class LesionFree(MapMeasures):
    """Implements `Probe`: false positives in images without a lesion, at p = 0.5 and at matched sensitivity, and how
    well images with a lesion are distinguished from those without by several scores of the map.
    """

    name = "lesion-free"
    grouped: ClassVar[tuple[str, ...]] = ("false-positive-rate", "false-positive-rate-at-90")


# Counterfactual painting: the segmentation as a lesion fades, shrinks, moves and disappears.

_painted = partial(Measure, probe="painting", environment=NEUTRAL, low=0.0, high=1.0)

register_measures(
    _painted(
        "place-called",
        meaning="share of a removed lesion's place that is predicted lesion",
        display="removed lesion's place predicted",
        direction="lower",
        chance=0.0,
    ),
    _painted(
        "place-found",
        meaning="share of removed lesions that still count as found",
        display="removed lesions found",
        direction="lower",
        chance=0.0,
    ),
    _painted(
        "found",
        meaning="share of lesions found with the factor set to a quantile",
        display="lesions found",
        low=-math.inf,
        high=math.inf,
        compared=False,
    ),
    _painted(
        "lesion-logit",
        meaning="change of the logit at which half of a lesion is predicted, in sd over lesions",
        display="logit of a lesion",
        unit="sd over lesions",
        low=-math.inf,
        high=math.inf,
        chance=0.0,
        compared=False,
    ),
)

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
"""Where a factor is set, in its neutral marginal."""
USUAL = ("contrast", "size", "position_x", "position_y")
"""The factors that are moved where none are named, as far as the phantom has them: fade, shrink, move."""
SHARE_FOUND, SCORE = "found", "lesion-logit"
UNIT = MEASURES[SCORE].unit
PLACE = {"place-called": "pixel-recall", "place-found": "lesion-sensitivity-at-90"}
"""Measure where lesions were -> the corresponding measure of maps compared with the masks of the lesions."""


@dataclass(frozen=True)
class PaintedImages:
    """The images that are read, the same rows in each: as they are, with a factor set, and without their lesions.

    Attributes:
        without_lesions: The images without lesions, with the masks of these; None where the phantom cannot take
            lesions away.
    """

    original: Environment
    set_to: Mapping[tuple[str, float], Environment]
    without_lesions: Environment | None


@component(
    "probe",
    "painting",
    summary="what a segmentation network predicts as a lesion fades, shrinks, moves or is removed (phantoms)",
    version=2,
)
class FactorPainting:
    """Implements `Probe`, for phantoms. In neutral images with a lesion one factor is set to a quantile (0.05 to 0.95)
    of its neutral marginal and everything else is held; `factor` and `level` name which, and where.

    `found`: the share of lesions of which at least half is called at the logit at which the model finds 90% of its
    validation lesions. Censored where no logit does. `lesion-logit`: how far the logit at which half of a lesion is
    called differs from that of the same image as it was, in units of the standard deviation of that logit over the
    images as they were (of several lesions, their mean). `place-called`: the same images without their lesion: the
    share of the former lesion's pixels that are called lesion at p >= 0.5, mean over images. `place-found`: the share
    of former lesions that would still count as found. A model that looks at the lesion gives 0; one that looks at where
    lesions usually are, or at associated features, does not.

    NaN with the reason for images from files, models without logits of pixels, a phantom without the factor.
    """

    scope: ClassVar[Scope] = "neutral"

    def __init__(
        self,
        *,
        factors: Annotated[
            tuple[str, ...],
            Field(description="factors to change; default: contrast, size and position, where they exist"),
        ] = (),
        images: Annotated[
            int, Field(ge=1, le=65536, description="neutral images with a lesion that are painted again, at most")
        ] = 256,
    ) -> None:
        self.factors = tuple(factors)
        self.images = images

    def requests(self, model: Model, scene: Scene) -> tuple[Request, ...]:
        """Return the images with a lesion, each set value of each factor, and the same images without."""
        painted = self._painted(scene)
        if painted is None:
            return ()
        without_lesions = () if painted.without_lesions is None else (painted.without_lesions,)
        return tuple(
            Request(environment) for environment in (painted.original, *painted.set_to.values(), *without_lesions)
        )

    def measure(self, reading: Reading, scene: Scene) -> list[Measurement]:
        """By factor and quantile, then where lesions were."""
        from assay.probes.reader import answers_of

        painted = self._painted(scene)
        if painted is None:
            return [undefined(SHARE_FOUND, Code.NOTHING_TO_PAINT)]
        before = answers_of(reading, painted.original)
        if not before.maps:
            return [undefined(SHARE_FOUND, Code.NO_MASKS if painted.original.masks is None else Code.NO_PIXEL_LOGITS)]
        place = Measurement("", 0.0, environment=scene.neutral().name)
        changed_factors = {factor for factor, _ in painted.set_to}
        measurements = [
            undefined(SHARE_FOUND, Code.NO_RISING_FACTOR, environment=place.environment, factor=name)
            for name in self.factors
            if name not in changed_factors
        ]
        patient = painted.original.table.patient
        for (factor, u), environment in painted.set_to.items():
            at = replace(place, factor=factor, level=f"{u:g}")
            answers = answers_of(reading, environment)
            measurements.append(
                replace(measurement_of("lesion-sensitivity-at-90", answers, patient, at), measure=SHARE_FOUND)
            )
            measurements.append(score_change(before, answers, patient, at))
        return measurements + self._where_they_were(reading, painted.without_lesions, place)

    def _painted(self, scene: Scene) -> PaintedImages | None:
        neutral = scene.neutral()
        rows = np.flatnonzero(_rows_with_lesion(neutral.table))[: self.images]
        rising = [factor.name for factor in neutral.table.factors if factor.kind != "categorical"]
        wanted = [name for name in self.factors or USUAL if name in rising]
        moved = {(name, u): scene.at_quantile(name, u) for name in wanted for u in QUANTILES}
        set_to = {
            key: _taken(environment, environment.name, rows)
            for key, environment in moved.items()
            if environment is not None
        }
        if not set_to or not len(rows):
            return None
        original, without_lesions = _taken(neutral, "(lesions)", rows), None
        if LESION.name in scene.changeable():
            without_lesions = replace(
                _taken(scene.counterfactual(LESION.name, "low"), "(lesions gone)", rows), masks=original.masks
            )
        return PaintedImages(original, set_to, without_lesions)

    def _where_they_were(
        self, reading: Reading, without_lesions: Environment | None, place: Measurement
    ) -> list[Measurement]:
        from assay.probes.reader import answers_of

        if without_lesions is None:
            reason = Reason.of(Code.NO_LESION_FACTOR, factor=LESION.name)
            return [undefined(name, reason, environment=place.environment) for name in PLACE]
        answers = answers_of(reading, without_lesions)
        return [
            replace(
                measurement_of(of_maps, answers, without_lesions.table.patient, place),
                measure=name,
                direction=direction_of(name),
                chance=0.0,
            )
            for name, of_maps in PLACE.items()
        ]


def score_change(
    original: ModelPredictions, moved: ModelPredictions, patient: Int[np.ndarray, " n"], place: Measurement
) -> Measurement:
    """`lesion-logit`: see `FactorPainting`. Its standard error is over patients, that of the unit included."""
    place = replace(place, measure=SCORE, unit=UNIT, chance=0.0)
    before, after = _scores(original), _scores(moved)
    has_lesion, both = ~np.isnan(before), ~np.isnan(before) & ~np.isnan(after)
    n = int(both.sum())
    residual = np.where(has_lesion, before - before[has_lesion].mean() if has_lesion.any() else 0.0, 0.0)
    deviation = float(np.sqrt((residual[has_lesion] ** 2).mean())) if has_lesion.any() else 0.0
    if not n or deviation <= 1e-6 * max(1.0, float(np.abs(before[has_lesion]).max(initial=0.0))):
        reason = Reason.of(Code.NO_LESION_LOGIT_UNIT if n else Code.NO_LESION_IN_BOTH)
        return replace(place, value=float("nan"), reason=reason, n=n)
    effect = float((after - before)[both].mean() / deviation)
    # How much each image moves the deviation, as a share of it: the unit has an error too.
    by_unit = np.where(has_lesion, (residual**2 - deviation**2) / deviation**2 / 2 / has_lesion.sum(), 0.0)
    influence = -effect * by_unit
    influence[both] += ((after - before)[both] / deviation - effect) / n
    return measurement_with_error(replace(place, n=n, patients=patients(patient[both])), effect, influence, patient)


def _scores(answers: ModelPredictions) -> Float[np.ndarray, " n"]:
    """Return the logit at which half of a lesion is called, mean over the lesions of an image; NaN without one."""
    score = answers.maps["lesion_score"].astype(np.float64)
    lesions = (~np.isnan(score)).sum(axis=1)
    return np.where(lesions > 0, np.nansum(score, axis=1) / np.maximum(lesions, 1), np.nan)


def _rows_with_lesion(table: FactorTable) -> Bool[np.ndarray, " n"]:
    """Rows that show a lesion; all of a phantom that always shows one."""
    if LESION.name not in table.columns:
        return np.ones(len(table), dtype=bool)
    return table.columns[LESION.name] == table.factor(LESION.name).levels.index("present")


def _taken(environment: Environment, name: str, rows: Int[np.ndarray, " n"]) -> Environment:
    """Some rows of an environment, under a name of their own."""
    masks = None if environment.masks is None else PickedMasks(environment.masks, rows)
    return Environment(name, environment.table.take(rows), PickedImages(environment.images, rows), masks, ())
