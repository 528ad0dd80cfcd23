"""How well a model tells the classes apart in each environment, and where it does so worst."""

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
_ONE_AGAINST_REST = ("auroc", "average-precision")


@component(
    "probe",
    "performance",
    summary="AUROC, accuracy, calibration and their like per environment, worst environment and worst group",
    version=2,
)
class Performance:
    """Implements `Probe` on every test environment of a scene, from logits alone.

    It measures what outputs alone cannot give: groups need the factors of the images, and one class against the rest
    needs the names of the classes. Measures of all images of an environment are made by the analysis, from the outputs
    that are kept (`overall`).

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
        from assay.probes.reader import answers_of

        answered: dict[str, tuple[ModelPredictions, FactorTable]] = {}
        for name in scene.names:
            environment = scene.environment(name)
            answered[name] = answers_of(reading, environment), environment.table
        return self.describe(answered, scene.neutral().table)

    def describe(
        self, answered: Mapping[str, tuple[ModelPredictions, FactorTable]], reference: FactorTable
    ) -> list[Measurement]:
        """Return the measurements of answers that are there already: environment -> answers and the table of their
        rows.

        The answers of several folds may stand one after another, each row with its fold: groups are then made of all
        rows, where the least of a fold's small groups would be lower for its smallness alone.

        Args:
            reference: The neutral rows, whose medians cut the halves.
        """
        by_class: list[Measurement] = []
        grouped: list[Measurement] = []
        for name, (answers, table) in answered.items():
            by_class += _by_class(answers, table, name)
            within = _by_group(answers, table, groups_of(table, reference), name)
            grouped += within + self._worst_groups(within, name)
        return by_class + _worst_environments(by_class) + grouped

    def _worst_groups(self, within: list[Measurement], environment: str) -> list[Measurement]:
        measurements: list[Measurement] = []
        for name in dict.fromkeys(m.measure for m in within):
            able = [m for m in within if m.measure == name and m.n >= self.smallest_group and not np.isnan(m.value)]
            if able:
                worst = min(able, key=lambda m: m.value)
                place = worst_group_place(worst.factor, worst.level, worst.group)
                measurements.append(replace(worst, factor="", level="", group=WORST_GROUP, reason=place))
            else:
                reason = Reason.of(Code.NO_GROUP, images=self.smallest_group)
                measurements.append(undefined(name, reason, environment=environment, group=WORST_GROUP))
        return measurements


def measurement_of(name: str, answers: ModelPredictions, patient: np.ndarray, place: Measurement) -> Measurement:
    """One measure of these answers with its standard error over patients, at the place that another one names.

    n: the images that it is of, which of a map's measures may be a part of them, such as those with a lesion.
    """
    described = find_measure(name)
    metric, contributions = value_and_contributions(name, answers, patient)
    return replace(
        place,
        measure=name,
        value=metric.value,
        reason=metric.reason,
        unit=described.entry.unit,
        direction=described.entry.direction,
        n=len(patient) if metric.images is None else metric.images,
        patients=len(contributions),
        standard_error=float(np.sqrt((contributions**2).sum())),
        contributions=Contributions(code_patients(patient)[0], contributions),
        chance=described.chance(answers.target, answers.n_classes),
    )


def _place(environment: str, factor: str = "", level: str = "", group: str = "") -> Measurement:
    return Measurement("", 0.0, environment=environment, factor=factor, level=level, group=group)


def overall(answered: Mapping[str, tuple[ModelPredictions, np.ndarray]], *, graded: bool = False) -> list[Measurement]:
    """Compute the performance of one model on all images of each environment, and its worst environment.

    Measures are those of `stats.measures.images` but for those that restate another; sensitivity, specificity and
    accuracy at the model's threshold, 0.5 where it has none.

    Args:
        answered: Environment -> outputs and their patients.
        graded: Whether several classes are grades, which adds the measures of `stats.measures.grades`; those at
            validation thresholds only for a model that has them.
    """
    every: list[Measurement] = []
    of_grades: list[Measurement] = []
    for environment, (answers, patient) in answered.items():
        several, place = answers.n_classes > 2, _place(environment)
        every += [measurement_of(name, answers, patient, place) for name in _of_classes(several)]
        if graded and several:
            domains = ((name, grade.requirements) for name, grade in COMPUTED.items() if grade.requirements.ordinal)
            names = [
                name
                for name, domain in domains
                if answers.specificity_log_odds is not None or not domain.specificity_thresholds
            ]
            of_grades += [measurement_of(name, answers, patient, place) for name in names]
    return every + _worst_environments(every) + of_grades


def _of_classes(several: bool) -> list[str]:
    """Return the measures of classes, of two those first that exist for two alone."""
    of_classes = [
        measure for measure in COMPUTED.values() if not measure.requirements.maps and not measure.requirements.ordinal
    ]
    if several:
        return [measure.name for measure in of_classes if not measure.requirements.binary]
    by_domain = sorted(of_classes, key=lambda measure: not measure.requirements.binary)
    return [measure.name for measure in by_domain if not measure.is_restatement]


def _by_class(answers: ModelPredictions, table: FactorTable, environment: str) -> list[Measurement]:
    """Return the measures of each of several classes against the rest."""
    measurements: list[Measurement] = []
    for label, level in enumerate(table.classes if answers.n_classes > 2 else ()):
        binary, place = _one_against_rest(answers, label), _place(environment, level=level)
        measurements += [measurement_of(name, binary, table.patient, place) for name in _ONE_AGAINST_REST]
    return measurements


def _one_against_rest(answers: ModelPredictions, label: int) -> ModelPredictions:
    """Return the two-class question whether it is this class, with its log-odds as the logit."""
    score = class_score(answers.logits, label)
    return replace(answers, logits=score[:, None], target=(answers.target == label).astype(np.int64))


def _by_group(
    answers: ModelPredictions, table: FactorTable, groups: list[Group], environment: str
) -> list[Measurement]:
    ranking = "auroc" if answers.n_classes == 2 else "auroc-macro"
    measurements: list[Measurement] = []
    for group in groups:
        inside = rows_of(answers, group.rows)
        place = _place(environment, group.factor, group.level)
        measurements.append(measurement_of(ranking, inside, table.patient[group.rows], place))
        for label, name in enumerate(table.classes):
            cell = group.rows & (table.target == label)
            if cell.any():
                measurements.append(
                    measurement_of("accuracy", rows_of(answers, cell), table.patient[cell], replace(place, group=name))
                )
    return measurements


def rows_of(answers: ModelPredictions, rows: np.ndarray) -> ModelPredictions:
    """Return the answers of some rows only (booleans)."""
    threshold = answers.threshold
    return replace(
        answers,
        logits=answers.logits[rows],
        target=answers.target[rows],
        threshold=threshold[rows] if isinstance(threshold, np.ndarray) else threshold,
        fold=None if answers.fold is None else answers.fold[rows],
        maps={name: column[rows] for name, column in answers.maps.items()},
        specificity_log_odds=None if answers.specificity_log_odds is None else answers.specificity_log_odds[rows],
    )


def _worst_environments(overall: list[Measurement]) -> list[Measurement]:
    """Return the worst value of every measure over the environments in which it is defined."""
    measurements: list[Measurement] = []
    for name, level in dict.fromkeys((m.measure, m.level) for m in overall):
        able = [m for m in overall if (m.measure, m.level) == (name, level) and not np.isnan(m.value)]
        if not able:
            measurements.append(undefined(name, Code.NO_ENVIRONMENT, level=level, group=WORST_ENVIRONMENT))
            continue
        worst = (min if able[0].direction == "higher" else max)(able, key=lambda m: m.value)
        place = Reason.of(Code.WORST_ENVIRONMENT_PLACE, environment=worst.environment)
        measurements.append(replace(worst, environment="", group=WORST_ENVIRONMENT, reason=place))
    return measurements


def with_overall(columns: Mapping[str, Any], of_all: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return columns of the performance probe with rows of all images, which come after classes and before groups."""
    named = zip(columns["factor"], columns["group"], strict=True)
    place = next((i for i, (factor, group) in enumerate(named) if factor or group), len(columns["factor"]))
    more = {name: [row.get(name) for row in of_all] for name in columns}
    return {name: [*column[:place], *more[name], *column[place:]] for name, column in columns.items()}
