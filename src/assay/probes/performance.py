"""How well a model tells the classes apart in each environment, and where it does so worst."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np

from assay.core.types import Direction, FactorTable, Measurement, undefined
from assay.probes.groups import Group, groups_of
from assay.probes.probe import Model, Reading, Request
from assay.probes.uncertainty import auroc_influence, clustered_error, patients
from assay.shifts.environment import Scene
from assay.stats import metrics
from assay.stats.metrics import Metric

WORST_ENVIRONMENT = "worst environment"
WORST_GROUP = "worst group"


@dataclass(frozen=True, slots=True)
class Answers:
    """A model's answers on some rows: what the metrics and their standard errors are made of."""

    logits: np.ndarray
    target: np.ndarray
    patient: np.ndarray
    threshold: float

    def take(self, rows: np.ndarray) -> Answers:
        """The answers at these rows (booleans or positions)."""
        return replace(self, logits=self.logits[rows], target=self.target[rows], patient=self.patient[rows])

    @property
    def predicted(self) -> np.ndarray:
        """The class called: by the threshold with two classes, else the most probable."""
        return metrics.predictions(metrics.probabilities(self.logits), self.threshold)


Score = Callable[[Answers], tuple[Metric, np.ndarray | None]]
"""Answers -> the metric and each image's influence on it, None where no standard error is defined."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """One measure of performance."""

    name: str
    direction: Direction
    score: Score
    chance: Callable[[Answers], float] = lambda answers: float("nan")
    unit: str = ""


def _mean(values: np.ndarray, metric: Metric, rows: np.ndarray | None = None) -> tuple[Metric, np.ndarray | None]:
    """A metric that is the mean of `values` over `rows`, with each image's influence on it."""
    if not metric.defined:
        return metric, None
    inside = np.ones(len(values), dtype=bool) if rows is None else rows
    return metric, np.where(inside, values - metric.value, 0.0) / inside.sum()


def _auroc(answers: Answers) -> tuple[Metric, np.ndarray | None]:
    classes = answers.logits.shape[1]
    if classes > 2:
        metric = metrics.macro_auroc(answers.logits, answers.target)
    else:
        metric = metrics.auroc(metrics.class_score(answers.logits), answers.target)
    if not metric.defined:
        return metric, None
    labels = range(classes) if classes > 2 else (1,)
    return metric, np.mean([_one_influence(answers, label) for label in labels], axis=0)


def _one_influence(answers: Answers, label: int) -> np.ndarray:
    return auroc_influence(metrics.class_score(answers.logits, label), (answers.target == label).astype(np.int64))


def _average_precision(answers: Answers) -> tuple[Metric, np.ndarray | None]:
    classes = answers.logits.shape[1]
    labels = range(classes) if classes > 2 else (1,)
    each = [
        metrics.average_precision(
            metrics.class_score(answers.logits, label), (answers.target == label).astype(np.int64)
        )
        for label in labels
    ]
    missing = [metric for metric in each if not metric.defined]
    return (missing[0] if missing else Metric(float(np.mean([metric.value for metric in each])))), None


def _accuracy(answers: Answers) -> tuple[Metric, np.ndarray | None]:
    right = answers.predicted == answers.target
    return _mean(right.astype(float), metrics.accuracy(answers.predicted, answers.target))


def _sensitivity(answers: Answers) -> tuple[Metric, np.ndarray | None]:
    called = answers.predicted
    return _mean((called == 1).astype(float), metrics.sensitivity(called, answers.target), answers.target == 1)


def _specificity(answers: Answers) -> tuple[Metric, np.ndarray | None]:
    called = answers.predicted
    return _mean((called == 0).astype(float), metrics.specificity(called, answers.target), answers.target == 0)


def _brier(answers: Answers) -> tuple[Metric, np.ndarray | None]:
    losses = metrics.brier_losses(metrics.probabilities(answers.logits), answers.target)
    return _mean(losses, metrics.brier(answers.logits, answers.target))


def _log_loss(answers: Answers) -> tuple[Metric, np.ndarray | None]:
    losses = metrics.log_losses(answers.logits, answers.target)
    return _mean(losses, metrics.log_loss(answers.logits, answers.target))


def _calibration_error(answers: Answers) -> tuple[Metric, np.ndarray | None]:
    return metrics.calibration_error(answers.logits, answers.target), None


def _half(_: Answers) -> float:
    return 0.5


def _prevalence(answers: Answers) -> float:
    """A model that knows nothing has the share of positives as its precision; the mean share with several classes."""
    classes = answers.logits.shape[1]
    return float((answers.target == 1).mean()) if classes == 2 else 1.0 / classes


AUROC = Quantity("auroc", "higher", _auroc, _half)
ACCURACY = Quantity("accuracy", "higher", _accuracy)
ANY_CLASSES = (
    AUROC,
    Quantity("average-precision", "higher", _average_precision, _prevalence),
    ACCURACY,
    Quantity("brier", "lower", _brier),
    Quantity("log-loss", "lower", _log_loss, unit="nat"),
    Quantity("calibration-error", "lower", _calibration_error),
)
TWO_CLASSES = (Quantity("sensitivity", "higher", _sensitivity), Quantity("specificity", "higher", _specificity))


class Performance:
    """Implements `Probe` on every test environment of a scene, from logits alone.

    Per environment, measures `auroc`, `average-precision`, `accuracy`, `brier`, `log-loss` (nats), `calibration-error`
    (15 bins of equal mass), and, with two classes, `sensitivity` and `specificity` at the model's threshold (.5 where
    it has none). With several classes AUROC and average precision are the unweighted mean over classes of each against
    the rest, and stand per class with `level` naming it.
    Per group of a factor (its levels, or the halves below and above the median of the neutral rows) `auroc` with
    `factor` and `level`; per group x class `accuracy`, with the class in `group`.
    `group="worst environment"`: the worst of each measure over environments. `group="worst group"`: per environment,
    the lowest accuracy over group x class and the lowest AUROC over groups, among those of at least `smallest_group`
    images. `reason` then says which one it was.

    Standard errors are over patients; average precision and calibration error have none here. An environment in which a
    class has no image gives NaN with the reason for what needs both.
    """

    def __init__(self, *, smallest_group: int = 20) -> None:
        self.smallest_group = smallest_group

    def requests(self, model: Model, scene: Scene) -> tuple[Request, ...]:
        """The logits of every test environment."""
        return tuple(Request(scene.environment(name)) for name in scene.names)

    def measure(self, reading: Reading, scene: Scene) -> list[Measurement]:
        """Overall, worst environment, groups, worst group."""
        reference = scene.neutral().table
        overall: list[Measurement] = []
        grouped: list[Measurement] = []
        for name in scene.names:
            environment = scene.environment(name)
            answers = answers_of(reading, environment.table, reading.read(environment).logits)
            overall += _overall(answers, scene.classes, name)
            within = _by_group(answers, environment.table, groups_of(environment.table, reference), name)
            grouped += within + self._worst_groups(within, name)
        return overall + _worst_environments(overall) + grouped

    def _worst_groups(self, within: list[Measurement], environment: str) -> list[Measurement]:
        found: list[Measurement] = []
        for quantity in (ACCURACY, AUROC):
            able = [m for m in within if m.measure == quantity.name and m.n >= self.smallest_group and not m.reason]
            if able:
                worst = min(able, key=lambda m: m.value)
                what = " ".join(part for part in (worst.factor, worst.level, worst.group) if part)
                found.append(replace(worst, factor="", level="", group=WORST_GROUP, reason=f"in {what}"))
            elif within:
                reason = f"no group of at least {self.smallest_group} images has it"
                found.append(undefined(quantity.name, reason, environment=environment, group=WORST_GROUP))
        return found


def answers_of(reading: Reading, table: FactorTable, logits: np.ndarray) -> Answers:
    """A model's logits with what they are judged by."""
    threshold = 0.5 if reading.model.threshold is None else reading.model.threshold
    return Answers(logits, table.target, table.patient, threshold)


def measured(quantity: Quantity, answers: Answers, **where: str) -> Measurement:
    """One quantity as a measurement, NaN with the reason where it is undefined."""
    metric, influence = quantity.score(answers)
    return Measurement(
        measure=quantity.name,
        value=metric.value,
        reason=metric.reason,
        unit=quantity.unit,
        direction=quantity.direction,
        n=len(answers.target),
        patients=patients(answers.patient),
        standard_error=float("nan") if influence is None else clustered_error(influence, answers.patient),
        chance=quantity.chance(answers),
        environment=where.get("environment", ""),
        factor=where.get("factor", ""),
        level=where.get("level", ""),
        group=where.get("group", ""),
    )


def _overall(answers: Answers, classes: tuple[str, ...], environment: str) -> list[Measurement]:
    quantities = (*ANY_CLASSES, *TWO_CLASSES) if len(classes) == 2 else ANY_CLASSES
    found = [measured(quantity, answers, environment=environment) for quantity in quantities]
    if len(classes) > 2:
        for label, name in enumerate(classes):
            one = _one_against_rest(answers, label)
            found += [measured(q, one, environment=environment, level=name) for q in ANY_CLASSES[:2]]
    return found


def _one_against_rest(answers: Answers, label: int) -> Answers:
    """The two-class question whether it is this class, with its log-odds as the logit."""
    score = metrics.class_score(answers.logits, label)
    pair = np.stack([np.zeros_like(score), score], axis=1)
    return replace(answers, logits=pair, target=(answers.target == label).astype(np.int64))


def _by_group(answers: Answers, table: FactorTable, groups: Iterable[Group], environment: str) -> list[Measurement]:
    found: list[Measurement] = []
    for group in groups:
        inside = answers.take(group.rows)
        where = {"environment": environment, "factor": group.factor, "level": group.level}
        found.append(measured(AUROC, inside, **where))
        for label, name in enumerate(table.classes):
            cell = inside.take(inside.target == label)
            if len(cell.target):
                found.append(measured(ACCURACY, cell, group=name, **where))
    return found


def _worst_environments(overall: list[Measurement]) -> list[Measurement]:
    """Of every measure that ranks, its worst value over the environments in which it is defined."""
    found: list[Measurement] = []
    for measure, level in dict.fromkeys((m.measure, m.level) for m in overall):
        able = [m for m in overall if (m.measure, m.level) == (measure, level) and not m.reason]
        if not able:
            found.append(undefined(measure, "undefined in every environment", level=level, group=WORST_ENVIRONMENT))
            continue
        worst = (min if able[0].direction == "higher" else max)(able, key=lambda m: m.value)
        found.append(replace(worst, environment="", group=WORST_ENVIRONMENT, reason=f"in {worst.environment}"))
    return found
