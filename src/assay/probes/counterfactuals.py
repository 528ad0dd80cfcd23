"""What a model does when one factor is changed and all else is held: flips and effects on the logit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from assay.core.types import FactorTable, Measurement, undefined
from assay.probes.outputs import log_odds, score_names
from assay.probes.probe import Reading
from assay.probes.uncertainty import clustered_error, mean_with_error, patients
from assay.shifts.environment import Environment, Scene
from assay.stats.metrics import predictions, probabilities

LOW_TO_HIGH, HIGH_TO_LOW = "low to high", "high to low"
UNIT = "within-class sd"
PAIRS = 3
"""How many pairs have their logits kept one by one."""


@dataclass(frozen=True, slots=True)
class Change:
    """The same images before and after one factor was moved: log-odds [n, m] and classes called [n]."""

    factor: str
    group: str
    before: np.ndarray
    after: np.ndarray
    flipped: np.ndarray
    rows: np.ndarray


@dataclass(frozen=True, slots=True)
class Spread:
    """The within-class standard deviation of each score on the neutral images, and the residuals it is made of."""

    deviation: np.ndarray
    residual: np.ndarray


def counterfactual_measurements(reading: Reading, scene: Scene) -> list[Measurement]:
    """`flip-rate`, `logit-effect` and `logit-effect-absolute` of every factor that can be changed, and `pair-logit`.

    Without `group`: the neutral images with the factor at its high end against the same images with it at its low end.
    `group="low to high"` (or the reverse): images whose own value is nearer to the low end, moved to the high end from
    where they are. An effect is the mean change of the logit (positive minus negative; for several classes the log-odds
    of each against the rest, named by `level`), after minus before, high minus low where there is no direction, in
    units of the within-class standard deviation of the logit on neutral images, so that models of different logit
    scale compare. A flip is a change of the class called at the model's threshold. Standard errors are over patients
    and include the error of the unit.
    """
    neutral = scene.neutral()
    spread = within_class_spread(log_odds(reading.read(neutral).logits), neutral.table.target)
    found: list[Measurement] = []
    for factor in scene.changeable():
        for change in _changes(reading, scene, factor):
            found += _measured(change, spread, neutral, scene.classes)
        found += _pairs(reading, scene, factor, float(spread.deviation[-1]))
    return found


def _pairs(reading: Reading, scene: Scene, factor: str, deviation: float) -> list[Measurement]:
    """The logits (of the last class, as associations are) of the first pairs, to stand beside their pictures.

    In units of the within-class deviation, so that models compare; 0 is still where both classes are as likely. None
    where the logit has no unit, of which the effects tell. `group` names the row, `level` the end.
    """
    found: list[Measurement] = []
    for end in ("low", "high"):
        environment = scene.counterfactual(factor, end)
        scores = log_odds(reading.read(environment).logits)[:, -1]
        if not _varies(deviation, scores):
            return []
        for row, score in zip(environment.table.row[:PAIRS].tolist(), scores[:PAIRS].tolist(), strict=True):
            place = Measurement("pair-logit", score / deviation, factor=factor, level=end, unit=UNIT, n=1)
            found.append(replace(place, group=f"row {row}"))
    return found


def within_class_spread(score: np.ndarray, target: np.ndarray) -> Spread:
    """Pooled over classes: the root of the mean squared distance of a score [n, m] from its class's mean."""
    residual = np.empty_like(score)
    for label in np.unique(target):
        residual[target == label] = score[target == label] - score[target == label].mean(axis=0)
    return Spread(np.sqrt((residual**2).mean(axis=0)), residual)


def _changes(reading: Reading, scene: Scene, factor: str) -> Iterator[Change]:
    """High against low, then each direction from the row's own value."""
    neutral = scene.neutral()
    ends = {end: scene.counterfactual(factor, end) for end in ("low", "high")}
    logits = {end: reading.read(environment).logits for end, environment in ends.items()}
    own = reading.read(neutral).logits
    low_side, high_side = _sides(neutral.table, ends["low"].table, ends["high"].table, factor)
    every = np.ones(len(neutral), dtype=bool)
    yield _change(reading, factor, "", logits["low"], logits["high"], every)
    yield _change(reading, factor, LOW_TO_HIGH, own, logits["high"], low_side)
    yield _change(reading, factor, HIGH_TO_LOW, own, logits["low"], high_side)


def _change(
    reading: Reading, factor: str, group: str, before: np.ndarray, after: np.ndarray, rows: np.ndarray
) -> Change:
    threshold = 0.5 if reading.model.threshold is None else reading.model.threshold
    called = [predictions(probabilities(logits[rows]), threshold) for logits in (before, after)]
    return Change(factor, group, log_odds(before[rows]), log_odds(after[rows]), called[0] != called[1], rows)


def _sides(own: FactorTable, low: FactorTable, high: FactorTable, factor: str) -> tuple[np.ndarray, np.ndarray]:
    """Rows [n] whose own value is nearer to the low end (or as near), and nearer to the high end.

    A row without a value is on neither. A factor that the neutral rows lack is an intervention that is off in all.
    """
    if factor not in own.columns:
        return np.ones(len(own), dtype=bool), np.zeros(len(own), dtype=bool)
    value = own.numbers(factor)
    to_low, to_high = (np.abs(value - end.numbers(factor)) for end in (low, high))
    return to_low <= to_high, to_high < to_low


def _measured(change: Change, spread: Spread, neutral: Environment, classes: tuple[str, ...]) -> list[Measurement]:
    patient = neutral.table.patient[change.rows]
    place = Measurement(
        "flip-rate",
        0.0,
        environment=neutral.name,
        factor=change.factor,
        group=change.group,
        n=len(patient),
        patients=patients(patient),
        chance=0.0,
    )
    if not len(patient):
        return [_undefined(place, name, "no neutral image is on that side") for name in _NAMES]
    rate, error = mean_with_error(change.flipped.astype(np.float64), patient)
    found = [replace(place, value=rate, standard_error=error)]
    for column, level in enumerate(score_names(classes)):
        found += _effects(change, spread, column, neutral.table.patient, replace(place, level=level, unit=UNIT))
    return found


_NAMES = ("flip-rate", "logit-effect", "logit-effect-absolute")


def _effects(change: Change, spread: Spread, column: int, patient: np.ndarray, place: Measurement) -> list[Measurement]:
    difference = change.after[:, column] - change.before[:, column]
    deviation, square = spread.deviation[column], spread.residual[:, column] ** 2
    if not _varies(deviation, change.before):
        reason = "the logit does not vary within a class on neutral images, so it has no unit"
        return [_undefined(place, name, reason) for name in _NAMES[1:]]
    # How much each neutral image moves the deviation, as a share of it: the unit has an error too.
    by_unit = (square - square.mean()) / deviation**2 / 2 / len(square)
    found: list[Measurement] = []
    for name, values in zip(_NAMES[1:], (difference, np.abs(difference)), strict=True):
        effect = float(values.mean() / deviation)
        influence = -effect * by_unit
        influence[change.rows] += (values / deviation - effect) / len(values)
        found.append(replace(place, measure=name, value=effect, standard_error=clustered_error(influence, patient)))
    return found


def _varies(deviation: float, scores: np.ndarray) -> bool:
    """Whether a deviation is more than what rounding leaves of scores of this size."""
    return deviation > 1e-6 * max(1.0, float(np.abs(scores).max()))


def _undefined(place: Measurement, measure: str, reason: str) -> Measurement:
    bare = undefined(measure, reason, environment=place.environment, factor=place.factor, group=place.group)
    return replace(bare, level=place.level, unit=place.unit, n=place.n, patients=place.patients)
