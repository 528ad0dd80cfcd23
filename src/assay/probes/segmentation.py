"""Probes of segmentation models: overlap, false positives in lesion-free images, and lesions that are changed.

They are computed from statistics of a model's maps (`ModelPredictions.maps`) and the factors of the images.
"""

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
from assay.probes.performance import compute_measurement, select_rows
from assay.probes.probe import Reading, Request, Scope, groups_of, measurement_with_error, number_of_patients
from assay.shifts.environment import Environment, PickedImages, PickedMasks, Scene
from assay.spec.data import LESION
from assay.stats.influence import ModelPredictions
from assay.stats.measures import COMPUTED

# Overlap with lesions, and false positives in lesion-free images, in each environment and group.


class MapMeasures:
    """Base class of probes that measure statistics of maps, in every test environment and by group.

    Standard errors are over patients; `n` counts the images of a measure. A measure is NaN with a reason where an
    environment or a group lacks its subject, and for a model that returns no maps.

    Attributes:
        scope: See `Scope`.
        name: Name of the probe, under which the measures of an environment are registered.
        grouped: Measures of each group of a factor (its levels, or the halves below and above the median of the neutral
            rows), with `factor` and `level`.
        by_kind: Measures of each kind of lesion, named by `level`, where there are several kinds.
        native: Whether maps are also measured at the size of the images' files.
    """

    scope: ClassVar[Scope] = "tests"
    name: ClassVar[str]
    grouped: ClassVar[tuple[str, ...]]
    by_kind: tuple[str, ...] = ()
    native: bool = False

    @property
    def overall(self) -> list[str]:
        """Names of the measures of an environment."""
        of_probe = (measure for measure in COMPUTED.values() if measure.entry.probe == self.name)
        return [measure.name for measure in of_probe if self.native or not measure.requirements.native]

    def requests(self, model: Model, scene: Scene) -> tuple[Request, ...]:
        """Return every test environment."""
        return tuple(Request(scene.environment(name), native=self.native) for name in scene.names)

    def measure(self, reading: Reading, scene: Scene) -> list[Measurement]:
        """Return the measurements of each environment, then those by kind of lesion and by group."""
        from assay.probes.reader import read_predictions

        measurements: list[Measurement] = []
        predictions_by_environment: dict[str, tuple[ModelPredictions, FactorTable]] = {}
        kinds: tuple[str, ...] = ()
        for name in scene.names:
            environment = scene.environment(name)
            predictions = read_predictions(reading, environment)
            if not predictions.maps:
                code = Code.NO_MASKS if environment.masks is None else Code.NO_PIXEL_LOGITS
                measurements += [undefined(measure, code, environment=name) for measure in self.overall]
                continue
            table, template = environment.table, Measurement("", 0.0, environment=name)
            measurements += [
                # contrasts take their contributions from kept outputs
                replace(
                    _in_millimeters(compute_measurement(measure, predictions, table.patient, template), environment),
                    contributions=None,
                )
                for measure in self.overall
            ]
            predictions_by_environment[name] = predictions, table
            kinds = environment.masks.kinds if environment.masks is not None else kinds
        return measurements + self.describe(predictions_by_environment, scene.neutral().table, kinds)

    def describe(
        self,
        predictions_by_environment: Mapping[str, tuple[ModelPredictions, FactorTable]],
        reference: FactorTable,
        kinds: Sequence[str],
    ) -> list[Measurement]:
        """Return the measurements of predictions by kind of lesion and by group.

        Args:
            predictions_by_environment: Environment -> predictions, and the table of their rows. Those of several folds
                may be concatenated.
            reference: The neutral rows, whose medians divide factors into halves.
            kinds: Names of the kinds of lesion, in the order of the masks' labels.
        """
        measurements: list[Measurement] = []
        for name, (predictions, table) in predictions_by_environment.items():
            template = Measurement("", 0.0, environment=name)
            measurements += [
                compute_measurement(measure, of_kind, table.patient, replace(template, level=kind))
                for kind, of_kind in _predictions_by_kind(predictions, kinds)
                for measure in self.by_kind
            ]
            for group in groups_of(table, reference):
                of_group, patient = select_rows(predictions, group.rows), table.patient[group.rows]
                template_of_group = replace(template, factor=group.factor, level=group.level)
                measurements += [
                    compute_measurement(measure, of_group, patient, template_of_group) for measure in self.grouped
                ]
        return measurements


def _predictions_by_kind(predictions: ModelPredictions, names: Sequence[str]) -> Iterator[tuple[str, ModelPredictions]]:
    """Yield each kind with the predictions as if it were the only kind; nothing where there is one kind.

    A pixel is predicted as the kind of its greatest logit.
    """
    maps = predictions.maps
    for index, name in enumerate(names if "kind_truth" in maps else ()):
        of_kind = {key: maps[f"kind_{key}"][:, index] for key in OF_KINDS}
        counts = {
            key: np.repeat(of_kind[key][:, None], maps[key].shape[1], axis=1) for key in ("predicted", "hit", "stray")
        }
        score, floor = _detection_scores(of_kind["found"], of_kind["lesions"]), np.full(len(of_kind["found"]), -np.inf)
        replaced = {**counts, "truth": of_kind["truth"], "lesion_score": score, "floor": floor}
        native_names = {key: f"{AT_NATIVE}kind_{key}" for key in ("truth", "predicted", "hit")}
        native = {f"{AT_NATIVE}{key}": maps[column][:, index] for key, column in native_names.items() if column in maps}
        yield name, replace(predictions, maps={**maps, **replaced, **native})


def _detection_scores(detected: Int[np.ndarray, " n"], lesions: Int[np.ndarray, " n"]) -> Float[np.ndarray, "n l"]:
    """Return a score per lesion: 1 if it is detected at p = 0.5, -1 if it is missed, NaN for padding."""
    lesion = np.arange(max(int(lesions.max(initial=0)), 1))
    return np.where(lesion < detected[:, None], 1.0, np.where(lesion < lesions[:, None], -1.0, np.nan))


def _in_millimeters(measurement: Measurement, environment: Environment) -> Measurement:
    """Return a measurement with the unit mm in place of px, where the size of the environment's pixels is known."""
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


# Counterfactual images: the segmentation when a lesion fades, shrinks, moves or disappears.

_painting_measure = partial(Measure, probe="painting", environment=NEUTRAL, low=0.0, high=1.0)

register_measures(
    _painting_measure(
        "place-called",
        meaning="share of a removed lesion's place that is predicted lesion",
        display="removed lesion's place predicted",
        direction="lower",
        chance=0.0,
    ),
    _painting_measure(
        "place-found",
        meaning="share of removed lesions that still count as found",
        display="removed lesions found",
        direction="lower",
        chance=0.0,
    ),
    _painting_measure(
        "found",
        meaning="share of lesions found with the factor set to a quantile",
        display="lesions found",
        low=-math.inf,
        high=math.inf,
        compared=False,
    ),
    _painting_measure(
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
"""Quantiles of its neutral marginal to which a factor is set."""
DEFAULT_FACTORS = ("contrast", "size", "position_x", "position_y")
"""Factors that are changed where none are named, if the phantom has them: they make a lesion fade, shrink or move."""
SHARE_FOUND, LESION_LOGIT = "found", "lesion-logit"
UNIT = MEASURES[LESION_LOGIT].unit
REMOVED_PLACE_MEASURES = {"place-called": "pixel-recall", "place-found": "lesion-sensitivity-at-90"}
"""Measure at the place of removed lesions -> the measure of maps that is computed with the masks of these lesions."""


@dataclass(frozen=True)
class PaintedImages:
    """Environments with the same rows: as they are, with a factor changed, and without lesions.

    Attributes:
        original: The images as they are.
        set_to: (factor, quantile) -> the images with the factor set to the quantile.
        without_lesions: The images without lesions, with the masks of the removed lesions; None where the phantom
            cannot remove lesions.
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
        painted = self._painted_images(scene)
        if painted is None:
            return ()
        without_lesions = () if painted.without_lesions is None else (painted.without_lesions,)
        return tuple(
            Request(environment) for environment in (painted.original, *painted.set_to.values(), *without_lesions)
        )

    def measure(self, reading: Reading, scene: Scene) -> list[Measurement]:
        """Return the measurements by factor and quantile, then those at the places of removed lesions."""
        from assay.probes.reader import read_predictions

        painted = self._painted_images(scene)
        if painted is None:
            return [undefined(SHARE_FOUND, Code.NOTHING_TO_PAINT)]
        before = read_predictions(reading, painted.original)
        if not before.maps:
            return [undefined(SHARE_FOUND, Code.NO_MASKS if painted.original.masks is None else Code.NO_PIXEL_LOGITS)]
        template = Measurement("", 0.0, environment=scene.neutral().name)
        changed_factors = {factor for factor, _ in painted.set_to}
        measurements = [
            undefined(SHARE_FOUND, Code.NO_RISING_FACTOR, environment=template.environment, factor=name)
            for name in self.factors
            if name not in changed_factors
        ]
        patient = painted.original.table.patient
        for (factor, u), environment in painted.set_to.items():
            template_of_level = replace(template, factor=factor, level=f"{u:g}")
            predictions = read_predictions(reading, environment)
            measurements.append(
                replace(
                    compute_measurement("lesion-sensitivity-at-90", predictions, patient, template_of_level),
                    measure=SHARE_FOUND,
                )
            )
            measurements.append(score_change(before, predictions, patient, template_of_level))
        return measurements + self._removed_place_measurements(reading, painted.without_lesions, template)

    def _painted_images(self, scene: Scene) -> PaintedImages | None:
        neutral = scene.neutral()
        rows = np.flatnonzero(_rows_with_lesion(neutral.table))[: self.images]
        rising = [factor.name for factor in neutral.table.factors if factor.kind != "categorical"]
        factors = [name for name in self.factors or DEFAULT_FACTORS if name in rising]
        environments = {(name, u): scene.at_quantile(name, u) for name in factors for u in QUANTILES}
        set_to = {
            key: _take_rows(environment, environment.name, rows)
            for key, environment in environments.items()
            if environment is not None
        }
        if not set_to or not len(rows):
            return None
        original, without_lesions = _take_rows(neutral, "(lesions)", rows), None
        if LESION.name in scene.changeable():
            without_lesions = replace(
                _take_rows(scene.counterfactual(LESION.name, "low"), "(lesions gone)", rows), masks=original.masks
            )
        return PaintedImages(original, set_to, without_lesions)

    def _removed_place_measurements(
        self, reading: Reading, without_lesions: Environment | None, template: Measurement
    ) -> list[Measurement]:
        from assay.probes.reader import read_predictions

        if without_lesions is None:
            reason = Reason.of(Code.NO_LESION_FACTOR, factor=LESION.name)
            return [undefined(name, reason, environment=template.environment) for name in REMOVED_PLACE_MEASURES]
        predictions = read_predictions(reading, without_lesions)
        return [
            replace(
                compute_measurement(of_maps, predictions, without_lesions.table.patient, template),
                measure=name,
                direction=direction_of(name),
                chance=0.0,
            )
            for name, of_maps in REMOVED_PLACE_MEASURES.items()
        ]


def score_change(
    original: ModelPredictions, changed: ModelPredictions, patient: Int[np.ndarray, " n"], template: Measurement
) -> Measurement:
    """`lesion-logit`: see `FactorPainting`. Its standard error is over patients, that of the unit included."""
    template = replace(template, measure=LESION_LOGIT, unit=UNIT, chance=0.0)
    before, after = _lesion_logits(original), _lesion_logits(changed)
    has_lesion, both = ~np.isnan(before), ~np.isnan(before) & ~np.isnan(after)
    n = int(both.sum())
    residual = np.where(has_lesion, before - before[has_lesion].mean() if has_lesion.any() else 0.0, 0.0)
    deviation = float(np.sqrt((residual[has_lesion] ** 2).mean())) if has_lesion.any() else 0.0
    if not n or deviation <= 1e-6 * max(1.0, float(np.abs(before[has_lesion]).max(initial=0.0))):
        reason = Reason.of(Code.NO_LESION_LOGIT_UNIT if n else Code.NO_LESION_IN_BOTH)
        return replace(template, value=float("nan"), reason=reason, n=n)
    effect = float((after - before)[both].mean() / deviation)
    # How much each image moves the deviation, as a share of it: the unit has an error too.
    unit_influence = np.where(has_lesion, (residual**2 - deviation**2) / deviation**2 / 2 / has_lesion.sum(), 0.0)
    influence = -effect * unit_influence
    influence[both] += ((after - before)[both] / deviation - effect) / n
    return measurement_with_error(
        replace(template, n=n, patients=number_of_patients(patient[both])), effect, influence, patient
    )


def _lesion_logits(predictions: ModelPredictions) -> Float[np.ndarray, " n"]:
    """Return the logit at which half of a lesion is predicted, mean over the lesions of an image; NaN without one."""
    score = predictions.maps["lesion_score"].astype(np.float64)
    lesions = (~np.isnan(score)).sum(axis=1)
    return np.where(lesions > 0, np.nansum(score, axis=1) / np.maximum(lesions, 1), np.nan)


def _rows_with_lesion(table: FactorTable) -> Bool[np.ndarray, " n"]:
    """Return which rows show a lesion; all of a phantom that always draws one."""
    if LESION.name not in table.columns:
        return np.ones(len(table), dtype=bool)
    return table.columns[LESION.name] == table.factor(LESION.name).levels.index("present")


def _take_rows(environment: Environment, name: str, rows: Int[np.ndarray, " n"]) -> Environment:
    """Return some rows of an environment as an environment of this name."""
    masks = None if environment.masks is None else PickedMasks(environment.masks, rows)
    return Environment(name, environment.table.take(rows), PickedImages(environment.images, rows), masks, ())
