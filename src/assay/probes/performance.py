"""Performance of a classifier in each environment, in groups of images, and in the worst environment and group.

It is computed from the logits of a model (`ModelPredictions`) and the factors of the images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from pydantic import Field

from assay.core.measures import WORST_ENVIRONMENT, WORST_GROUP, register_measures
from assay.core.reasons import Code, Reason
from assay.core.registry import component
from assay.core.types import Contributions, FactorTable, Measurement, undefined
from assay.probes.probe import Group, Reading, Request, Scope, groups_of, worst_group_place
from assay.stats.influence import ModelPredictions, code_patients
from assay.stats.measures import COMPUTED, find_measure, images, value_and_contributions
from assay.stats.metrics import class_score

if TYPE_CHECKING:
    from assay.models.ref import Model
    from assay.shifts.environment import Scene


register_measures(
    images.dosed(
        "worst-group-accuracy",
        meaning="least accuracy of a group: a level of a factor in one class",
        display="accuracy of the worst group",
        reference="Sagawa et al. 2020",
    ),
    images.dosed(
        "worst-group-auroc",
        meaning="least AUROC of a group: a level of a factor",
        display="AUROC of the worst group",
        reference="Sagawa et al. 2020",
    ),
)
_ONE_AGAINST_REST_MEASURES = ("auroc", "average-precision")


@component(
    "probe",
    "performance",
    summary="AUROC, accuracy, calibration and their like per environment, worst environment and worst group",
    version=2,
)
class Performance:
    """Implements `Probe` on every test environment of a scene, from logits alone.

    It measures groups, which need the factors of the images, and single classes against the rest, which need their
    names. Measures over all images of an environment need neither: `overall` computes them from stored outputs.

    With several classes, `auroc` and `average-precision` are given for each class against the rest, named by `level`,
    and `group="worst environment"` is the worst of each over environments. Per group of a factor (its levels, or the
    halves below and above the median of the neutral rows) AUROC, with `factor` and `level`; with several classes
    `auroc-macro`. Per group x class `accuracy`, with the class in `group`. `group="worst group"`: per environment, the
    lowest accuracy over group x class and the lowest AUROC over groups, among those of at least `smallest_group`
    images. `reason` then names the place.

    Standard errors are over patients. A group in which a class has no image gives NaN with the reason for measures that
    need both; such values are left out of the worst.

    Examples:
        A network that looks at the tag alone, where the tag is tied to the target, and where it is tied to the other
        class:

        >>> from assay.plugin import Model, run_probes
        >>> from assay.testing.probe import PixelReader, World
        >>> model = Model(PixelReader({"tag": 4.0}), threshold=0.5)
        >>> result = run_probes(model, World(), {"performance": Performance()})
        >>> worst = [one for one in result.measurements["performance"] if one.group == "worst group"]
        >>> {one.environment: round(one.value, 2) for one in worst if one.measure == "accuracy"}
        {'same': 0.91, 'neutral': 0.0, 'reversed': 0.0}
    """

    scope: ClassVar[Scope] = "tests"

    def __init__(
        self,
        *,
        smallest_group: Annotated[
            int, Field(ge=1, description="images that a group needs to count for the worst group")
        ] = 20,
    ) -> None:
        self.smallest_group = smallest_group

    def requests(self, model: Model, scene: Scene) -> tuple[Request, ...]:
        """Return the logits of every test environment."""
        return tuple(Request(scene.environment(name)) for name in scene.names)

    def measure(self, reading: Reading, scene: Scene) -> list[Measurement]:
        """Return the measurements of single classes, groups and the worst group."""
        from assay.probes.reader import read_predictions

        predictions: dict[str, tuple[ModelPredictions, FactorTable]] = {}
        for name in scene.names:
            environment = scene.environment(name)
            predictions[name] = read_predictions(reading, environment), environment.table
        return self.describe(predictions, scene.neutral().table)

    def describe(
        self, predictions_by_environment: Mapping[str, tuple[ModelPredictions, FactorTable]], reference: FactorTable
    ) -> list[Measurement]:
        """Return the measurements of predictions.

        Predictions of several folds may be concatenated, each row with its fold. Groups are then made of all rows: the
        worst of the smaller groups of a single fold would be worse by chance alone.

        Args:
            predictions_by_environment: Environment -> predictions, and the table of their rows.
            reference: The neutral rows, whose medians divide factors into halves.
        """
        class_measurements: list[Measurement] = []
        group_measurements: list[Measurement] = []
        for name, (predictions, table) in predictions_by_environment.items():
            class_measurements += _by_class(predictions, table, name)
            of_groups = _by_group(predictions, table, groups_of(table, reference), name)
            group_measurements += of_groups + self._worst_groups(of_groups, name)
        return class_measurements + _worst_environments(class_measurements) + group_measurements

    def _worst_groups(self, measurements_of_groups: list[Measurement], environment: str) -> list[Measurement]:
        measurements: list[Measurement] = []
        for name in dict.fromkeys(m.measure for m in measurements_of_groups):
            candidates = [
                m
                for m in measurements_of_groups
                if m.measure == name and m.n >= self.smallest_group and not np.isnan(m.value)
            ]
            if candidates:
                worst = min(candidates, key=lambda m: m.value)
                place = worst_group_place(worst.factor, worst.level, worst.group)
                measurements.append(replace(worst, factor="", level="", group=WORST_GROUP, reason=place))
            else:
                reason = Reason.of(Code.NO_GROUP, images=self.smallest_group)
                measurements.append(undefined(name, reason, environment=environment, group=WORST_GROUP))
        return measurements


def compute_measurement(
    name: str, predictions: ModelPredictions, patient: np.ndarray, template: Measurement
) -> Measurement:
    """Return a measure of predictions with its standard error over patients.

    Args:
        name: Name of the measure.
        predictions: Predictions with their targets.
        patient: Codes of patients.
        template: A measurement with the environment, factor and so on. The result has `n` images; a measure of maps
            may use only some of them, such as those with a lesion.
    """
    definition = find_measure(name)
    metric, contributions = value_and_contributions(name, predictions, patient)
    return replace(
        template,
        measure=name,
        value=metric.value,
        reason=metric.reason,
        unit=definition.entry.unit,
        direction=definition.entry.direction,
        n=len(patient) if metric.images is None else metric.images,
        patients=len(contributions),
        standard_error=float(np.sqrt((contributions**2).sum())),
        contributions=Contributions(code_patients(patient)[0], contributions),
        chance=definition.chance(predictions.target, predictions.n_classes),
    )


def _template(environment: str, factor: str = "", level: str = "", group: str = "") -> Measurement:
    return Measurement("", 0.0, environment=environment, factor=factor, level=level, group=group)


def overall(
    predictions_by_environment: Mapping[str, tuple[ModelPredictions, np.ndarray]], *, graded: bool = False
) -> list[Measurement]:
    """Compute the performance of one model on all images of each environment, and its worst environment.

    Measures are those of `stats.measures.images` without those that restate another. Sensitivity, specificity and
    accuracy are at the model's threshold, 0.5 where it has none.

    Args:
        predictions_by_environment: Environment -> predictions and their patients.
        graded: Whether several classes are grades. This adds the measures of `stats.measures.grades`, those at
            validation thresholds only for a model that has such thresholds.
    """
    measurements: list[Measurement] = []
    grade_measurements: list[Measurement] = []
    for environment, (predictions, patient) in predictions_by_environment.items():
        is_multiclass, template = predictions.n_classes > 2, _template(environment)
        measurements += [
            compute_measurement(name, predictions, patient, template) for name in _class_measures(is_multiclass)
        ]
        if graded and is_multiclass:
            domains = ((name, grade.requirements) for name, grade in COMPUTED.items() if grade.requirements.ordinal)
            names = [
                name
                for name, domain in domains
                if predictions.specificity_log_odds is not None or not domain.specificity_thresholds
            ]
            grade_measurements += [compute_measurement(name, predictions, patient, template) for name in names]
    return measurements + _worst_environments(measurements) + grade_measurements


def _class_measures(is_multiclass: bool) -> list[str]:
    """Return the names of the measures of classes; of two classes, first the measures that exist only for two."""
    measures = [
        measure for measure in COMPUTED.values() if not measure.requirements.maps and not measure.requirements.ordinal
    ]
    if is_multiclass:
        return [measure.name for measure in measures if not measure.requirements.binary]
    by_domain = sorted(measures, key=lambda measure: not measure.requirements.binary)
    return [measure.name for measure in by_domain if not measure.is_restatement]


def _by_class(predictions: ModelPredictions, table: FactorTable, environment: str) -> list[Measurement]:
    """Return the measures of each class against the rest; none of two classes."""
    measurements: list[Measurement] = []
    for label, level in enumerate(table.classes if predictions.n_classes > 2 else ()):
        one_against_rest, template = _one_against_rest(predictions, label), _template(environment, level=level)
        measurements += [
            compute_measurement(name, one_against_rest, table.patient, template) for name in _ONE_AGAINST_REST_MEASURES
        ]
    return measurements


def _one_against_rest(predictions: ModelPredictions, label: int) -> ModelPredictions:
    """Return predictions of two classes, this one against the rest, with its log-odds as the logit."""
    score = class_score(predictions.logits, label)
    return replace(predictions, logits=score[:, None], target=(predictions.target == label).astype(np.int64))


def _by_group(
    predictions: ModelPredictions, table: FactorTable, groups: list[Group], environment: str
) -> list[Measurement]:
    ranking = "auroc" if predictions.n_classes == 2 else "auroc-macro"
    measurements: list[Measurement] = []
    for group in groups:
        of_group = select_rows(predictions, group.rows)
        template = _template(environment, group.factor, group.level)
        measurements.append(compute_measurement(ranking, of_group, table.patient[group.rows], template))
        for label, name in enumerate(table.classes):
            cell = group.rows & (table.target == label)
            if cell.any():
                measurements.append(
                    compute_measurement(
                        "accuracy", select_rows(predictions, cell), table.patient[cell], replace(template, group=name)
                    )
                )
    return measurements


def select_rows(predictions: ModelPredictions, rows: np.ndarray) -> ModelPredictions:
    """Return the predictions of some rows (booleans)."""
    threshold = predictions.threshold
    return replace(
        predictions,
        logits=predictions.logits[rows],
        target=predictions.target[rows],
        threshold=threshold[rows] if isinstance(threshold, np.ndarray) else threshold,
        fold=None if predictions.fold is None else predictions.fold[rows],
        maps={name: column[rows] for name, column in predictions.maps.items()},
        specificity_log_odds=None
        if predictions.specificity_log_odds is None
        else predictions.specificity_log_odds[rows],
    )


def _worst_environments(overall: list[Measurement]) -> list[Measurement]:
    """Return the worst value of every measure over the environments in which it is defined."""
    measurements: list[Measurement] = []
    for name, level in dict.fromkeys((m.measure, m.level) for m in overall):
        candidates = [m for m in overall if (m.measure, m.level) == (name, level) and not np.isnan(m.value)]
        if not candidates:
            measurements.append(undefined(name, Code.NO_ENVIRONMENT, level=level, group=WORST_ENVIRONMENT))
            continue
        worst = (min if candidates[0].direction == "higher" else max)(candidates, key=lambda m: m.value)
        place = Reason.of(Code.WORST_ENVIRONMENT_PLACE, environment=worst.environment)
        measurements.append(replace(worst, environment="", group=WORST_ENVIRONMENT, reason=place))
    return measurements


def insert_overall_rows(columns: Mapping[str, Any], overall_rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Insert rows of `overall` into columns of the probe, after those of classes and before those of groups."""
    places = zip(columns["factor"], columns["group"], strict=True)
    start = next((i for i, (factor, group) in enumerate(places) if factor or group), len(columns["factor"]))
    overall_columns = {name: [row.get(name) for row in overall_rows] for name in columns}
    return {name: [*column[:start], *overall_columns[name], *column[start:]] for name, column in columns.items()}
