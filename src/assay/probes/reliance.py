"""Reliance of outputs on factors and confounders: counterfactual pairs and Sobol' indices.

A scene draws the images with a factor changed; the logits of a model on them come from a `Reading`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, ClassVar

import numpy as np
from jaxtyping import Float
from pydantic import AfterValidator, Field

from assay.core.measures import MEASURES, NEUTRAL, WITHIN_CLASS, Measure, register_measures
from assay.core.reasons import NO_REASON, Code, Reason
from assay.core.registry import component
from assay.core.types import Contributions, FactorTable, Measurement, undefined
from assay.models.ref import Model
from assay.probes.probe import Reading, Request, Scope, estimated_mean, measurement_with_error, number_of_patients
from assay.shifts.environment import Environment, Scene, SobolDesign
from assay.stats.metrics import log_odds, predicted_classes, probabilities, score_names

_reliance_measure = partial(Measure, probe="reliance", needs=("factor",), dosed=True, chance=0.0)
_effect_measure = partial(_reliance_measure, environment=NEUTRAL)

register_measures(
    _reliance_measure(
        "sobol-first",
        meaning="share of the logit's variance that the factor explains by itself",
        display="first-order Sobol' index",
        unit="share of variance",
        low=0.0,
        high=1.0,
        axis="share of the logit's variance, first order",
        reference="Sobol' 1993; Saltelli et al. 2010",
    ),
    _reliance_measure(
        "sobol-total",
        meaning="share of the logit's variance that the factor explains with its interactions",
        display="total Sobol' index",
        unit="share of variance",
        low=0.0,
        high=1.0,
        axis="share of the logit's variance, with interactions",
        reference="Homma and Saltelli 1996; Jansen 1999",
    ),
    _effect_measure(
        "flip-rate",
        meaning="share of images whose predicted class changes when the factor alone is changed",
        low=0.0,
        high=1.0,
        axis="share of images whose class flips",
    ),
    _effect_measure(
        "logit-effect",
        meaning="mean change of the logit when the factor alone is changed, in within-class sd",
        display="effect on the logit",
        unit=WITHIN_CLASS,
        axis="change of the logit, in within-class sd",
    ),
    _effect_measure(
        "logit-effect-absolute",
        meaning="mean absolute change of the logit when the factor alone is changed, in within-class sd",
        display="absolute effect on the logit",
        unit=WITHIN_CLASS,
        low=0.0,
        axis="absolute change of the logit, in within-class sd",
    ),
    _effect_measure(
        "pair-logit",
        meaning="logit of one image with the factor at one end, in within-class sd",
        display="logit of a counterfactual pair",
        unit=WITHIN_CLASS,
        chance=None,
        dosed=False,
        compared=False,
    ),
)

# Effects of changing one factor with all else held: flips and changes of the logit.

LOW_TO_HIGH, HIGH_TO_LOW = "low to high", "high to low"
MIN_NEAR_SHARE = 0.02
"""Least share of images near the threshold, or called otherwise than most, with which a flip rate of 0 is defined."""
MAX_PAIRS = 3
"""Counterfactual pairs per factor whose logits are measured one by one."""


@dataclass(frozen=True, slots=True)
class FactorChange:
    """The same images before and after one factor is changed.

    Attributes:
        factor: The factor.
        group: Direction of the change; empty where the low end is compared with the high end.
        before: Log-odds before the change [n, m].
        after: Log-odds after it [n, m].
        flipped: Whether the predicted class changes [n].
        rows: Which of the neutral rows these images are, as booleans.
        threshold: Threshold of the model.
    """

    factor: str
    group: str
    before: np.ndarray
    after: np.ndarray
    flipped: np.ndarray
    rows: np.ndarray
    threshold: float


@dataclass(frozen=True, slots=True)
class ScoreSpread:
    """Within-class standard deviation of each score on the neutral images [m], and its residuals [n, m]."""

    deviation: np.ndarray
    residual: np.ndarray


def counterfactual_measurements(reading: Reading, scene: Scene, factors: Sequence[str]) -> list[Measurement]:
    """Measure `flip-rate`, `logit-effect` and `logit-effect-absolute` of each of the factors, and `pair-logit`.

    Without `group`: the neutral images with the factor at its high end against the same images with it at its low end.
    `group="low to high"` (or the reverse): images whose own value is nearer to the low end, moved to the high end from
    where they are. An effect is the mean change of the logit (positive minus negative; for several classes the log-odds
    of each against the rest, named by `level`), after minus before, high minus low where there is no direction, in
    units of the within-class standard deviation of the logit on neutral images, so that models of different logit scale
    compare. A flip is a change of the class called at the model's threshold. Where none flips and hardly any logit is
    within a within-class standard deviation of the threshold or beyond it (`MIN_NEAR_SHARE`), the rate is undefined: it
    could not tell a factor that is used from one that is not. Standard errors are over patients and include the error
    of the unit.
    """
    neutral = scene.neutral()
    spread = within_class_spread(log_odds(reading.read(neutral).logits), neutral.table.target)
    measurements: list[Measurement] = []
    for factor in factors:
        for change in _changes(reading, scene, factor):
            measurements += _change_rows(change, spread, neutral, scene.classes)
        measurements += _pair_logits(reading, scene, factor, float(spread.deviation[-1]))
    return measurements


def _pair_logits(reading: Reading, scene: Scene, factor: str, deviation: float) -> list[Measurement]:
    """Return the logits (of the last class, as associations are) of the first pairs, to be shown with their pictures.

    They are in units of the within-class deviation, so that models compare; 0 is still where both classes are as
    likely. None where the logit has no unit, which the effects report. `group` names the row, `level` the end.
    """
    measurements: list[Measurement] = []
    for end in ("low", "high"):
        environment = scene.counterfactual(factor, end)
        scores = log_odds(reading.read(environment).logits)[:, -1]
        if not _exceeds_rounding(deviation, scores):
            return []
        for row, score in zip(environment.table.row[:MAX_PAIRS].tolist(), scores[:MAX_PAIRS].tolist(), strict=True):
            template = Measurement("pair-logit", score / deviation, factor=factor, level=end, unit=WITHIN_CLASS, n=1)
            measurements.append(replace(template, group=f"row {row}"))
    return measurements


def within_class_spread(score: np.ndarray, target: np.ndarray) -> ScoreSpread:
    """Compute the root mean squared distance of each score [n, m] from the mean of its class, pooled over classes."""
    residual = np.empty_like(score)
    for label in np.unique(target):
        residual[target == label] = score[target == label] - score[target == label].mean(axis=0)
    return ScoreSpread(np.sqrt((residual**2).mean(axis=0)), residual)


def _changes(reading: Reading, scene: Scene, factor: str) -> Iterator[FactorChange]:
    """Yield the change from the low to the high end, then that from each row's value to the end farther from it."""
    neutral = scene.neutral()
    ends = {end: scene.counterfactual(factor, end) for end in ("low", "high")}
    logits = {end: reading.read(environment).logits for end, environment in ends.items()}
    neutral_logits = reading.read(neutral).logits
    low_side, high_side = _rows_by_nearer_end(neutral.table, ends["low"].table, ends["high"].table, factor)
    every = np.ones(len(neutral), dtype=bool)
    yield _change(reading, factor, "", logits["low"], logits["high"], every)
    yield _change(reading, factor, LOW_TO_HIGH, neutral_logits, logits["high"], low_side)
    yield _change(reading, factor, HIGH_TO_LOW, neutral_logits, logits["low"], high_side)


def _change(
    reading: Reading, factor: str, group: str, before: np.ndarray, after: np.ndarray, rows: np.ndarray
) -> FactorChange:
    threshold = 0.5 if reading.model.threshold is None else reading.model.threshold
    predicted = [predicted_classes(probabilities(logits[rows]), threshold) for logits in (before, after)]
    return FactorChange(
        factor, group, log_odds(before[rows]), log_odds(after[rows]), predicted[0] != predicted[1], rows, threshold
    )


def _rows_by_nearer_end(
    values: FactorTable, low: FactorTable, high: FactorTable, factor: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return whether each row's value is nearer to the low end (or equally near) [n], and to the high end [n].

    A row without a value is in neither. A factor that the neutral rows lack is an intervention that is off in all.
    """
    if factor not in values.columns:
        return np.ones(len(values), dtype=bool), np.zeros(len(values), dtype=bool)
    value = values.numbers(factor)
    to_low, to_high = (np.abs(value - end.numbers(factor)) for end in (low, high))
    return to_low <= to_high, to_high < to_low


def _change_rows(
    change: FactorChange, spread: ScoreSpread, neutral: Environment, classes: tuple[str, ...]
) -> list[Measurement]:
    patient = neutral.table.patient[change.rows]
    template = Measurement(
        "flip-rate",
        0.0,
        environment=neutral.name,
        factor=change.factor,
        group=change.group,
        n=len(patient),
        patients=number_of_patients(patient),
        chance=0.0,
    )
    if not len(patient):
        return [_undefined_change(template, name, Reason.of(Code.EMPTY_SIDE)) for name in _CHANGE_MEASURES]
    rows = [estimated_mean(template, change.flipped.astype(np.float64), patient)]
    if not change.flipped.any() and _near_threshold(change, spread) < MIN_NEAR_SHARE:
        rows = [_undefined_change(template, "flip-rate", Reason.of(Code.FAR_FROM_THRESHOLD, border=MIN_NEAR_SHARE))]
    for column, level in enumerate(score_names(classes)):
        rows += _effect_measurements(
            change, spread, column, neutral.table.patient, replace(template, level=level, unit=WITHIN_CLASS)
        )
    return rows


def _near_threshold(change: FactorChange, spread: ScoreSpread) -> float:
    """Return the share of images, before and after, near another call or called otherwise than most of them."""
    scores, deviation = np.concatenate([change.before, change.after]), float(spread.deviation.max())
    if scores.shape[1] > 1:
        predicted, ordered = scores.argmax(axis=1), np.sort(scores, axis=1)
        distance = ordered[:, -1] - ordered[:, -2]
    else:
        threshold = np.log(max(change.threshold, 1e-12)) - np.log(max(1 - change.threshold, 1e-12))
        predicted, distance = (scores[:, 0] >= threshold).astype(np.int64), np.abs(scores[:, 0] - threshold)
    is_near = (distance <= deviation) & _exceeds_rounding(deviation, scores)
    return float((is_near | (predicted != np.bincount(predicted).argmax())).mean())


_CHANGE_MEASURES = ("flip-rate", "logit-effect", "logit-effect-absolute")


def _effect_measurements(
    change: FactorChange, spread: ScoreSpread, column: int, patient: np.ndarray, template: Measurement
) -> list[Measurement]:
    difference = change.after[:, column] - change.before[:, column]
    deviation, square = spread.deviation[column], spread.residual[:, column] ** 2
    if not _exceeds_rounding(deviation, change.before):
        return [_undefined_change(template, name, Reason.of(Code.NO_LOGIT_UNIT)) for name in _CHANGE_MEASURES[1:]]
    # How much each neutral image moves the deviation, as a share of it: the unit has an error too.
    unit_influence = (square - square.mean()) / deviation**2 / 2 / len(square)
    rows: list[Measurement] = []
    for name, values in zip(_CHANGE_MEASURES[1:], (difference, np.abs(difference)), strict=True):
        effect = float(values.mean() / deviation)
        influence = -effect * unit_influence
        influence[change.rows] += (values / deviation - effect) / len(values)
        rows.append(measurement_with_error(replace(template, measure=name), effect, influence, patient))
    return rows


def _exceeds_rounding(deviation: float, scores: np.ndarray) -> bool:
    """Return whether a deviation is larger than the rounding error of scores of this size."""
    return deviation > 1e-6 * max(1.0, float(np.abs(scores).max()))


def _undefined_change(template: Measurement, measure: str, reason: Reason) -> Measurement:
    measurement = undefined(
        measure, reason, environment=template.environment, factor=template.factor, group=template.group
    )
    return replace(measurement, level=template.level, unit=template.unit, n=template.n, patients=template.patients)


# Variance-based sensitivity: how much of a model's variance each input brings, alone and with all its interactions.


@dataclass(frozen=True, slots=True)
class SobolIndices:
    """Sobol' indices of d inputs with their standard errors.

    Attributes:
        first: First order: share of the variance that an input explains by itself, from 0 to 1. An estimate may be
            slightly below 0.
        first_error: Its standard error.
        total: Total order: share that the input explains by itself and in interactions.
        total_error: Its standard error.
        first_contributions: Contributions of the n samples to the first order, whose squares sum to its squared error.
        total_contributions: The same of the total order.
        gap: Difference between both halves of the samples in standard errors, of the order in which it is larger.
    """

    first: Float[np.ndarray, " d"]
    first_error: Float[np.ndarray, " d"]
    total: Float[np.ndarray, " d"]
    total_error: Float[np.ndarray, " d"]
    first_contributions: Float[np.ndarray, "d n"]
    total_contributions: Float[np.ndarray, "d n"]
    gap: Float[np.ndarray, " d"]


def sobol_indices(values: Float[np.ndarray, " rows"], samples: int) -> SobolIndices | None:
    """Sobol' indices from a model's values on a Saltelli design; None when the values are constant.

    Args:
        values: (d + 2) x samples, in the order A, B, AB_1 .. AB_d, where AB_i is A with input i taken from B. First
            order after Saltelli et al. (2010), total order after Jansen (1999), on values centered by the mean of A and
            B, as SciPy computes them. Standard errors are of the delta method over samples, the variance in the
            denominator included; they are right for independent draws and err on the wide side for a scrambled Sobol'
            sequence of 512 samples or more (with fewer it may be the other way round). Values that vary by less than a
            millionth of their size count as constant.
    """
    a, b, *exchanged = values.reshape(-1, samples).astype(np.float64)
    ab = np.stack(exchanged)
    spread = np.concatenate([a, b]).std()
    if spread <= 1e-6 * max(1.0, float(np.abs(values).max())):
        return None
    first, total = with_influence(a, b, ab)
    gap = np.maximum(*(_gap(a, b, ab, order) for order in (0, 1)))
    contributions_by_order = [contributions_of(influence) for _, influence in (first, total)]
    errors = [np.sqrt((of_order**2).sum(axis=-1)) for of_order in contributions_by_order]
    return SobolIndices(
        first[0], errors[0], total[0], errors[1], contributions_by_order[0], contributions_by_order[1], gap
    )


Estimate = tuple[np.ndarray, np.ndarray]
"""Values [..., d] and each sample's influence [..., d, n] on them, of which the value's error is the mean."""


def with_influence(
    a: Float[np.ndarray, "*m n"], b: Float[np.ndarray, "*m n"], ab: Float[np.ndarray, "*m d n"]
) -> tuple[Estimate, Estimate]:
    """Compute first and total order from the values of the blocks of a design. Leading axes are models."""
    center = (a.mean(axis=-1) + b.mean(axis=-1))[..., None, None] / 2
    a, b, ab = a[..., None, :] - center, b[..., None, :] - center, ab - center
    square = (a**2 + b**2) / 2
    return _ratio(b * (ab - a), square), _ratio((a - ab) ** 2 / 2, square)


def _ratio(part: np.ndarray, total_part: np.ndarray) -> Estimate:
    """Return the ratio of two means, and its first-order expansion per sample."""
    mean = total_part.mean(axis=-1)
    value = part.mean(axis=-1) / mean
    return value, (part - value[..., None] * total_part) / mean[..., None]


def contributions_of(influence: Float[np.ndarray, "*m n"]) -> Float[np.ndarray, "*m n"]:
    """Return the contributions of samples: their influence over their number n, times sqrt(n / (n - 1))."""
    n = influence.shape[-1]
    return (influence - influence.mean(axis=-1, keepdims=True)) / np.sqrt(n * (n - 1))


def _error(influence: np.ndarray) -> np.ndarray:
    return influence.std(axis=-1, ddof=1) / np.sqrt(influence.shape[-1])


def _gap(a: np.ndarray, b: np.ndarray, ab: np.ndarray, order: int) -> np.ndarray:
    """Return by how many standard errors an index (order 0: first, 1: total) differs between halves of the samples."""
    middle = len(a) // 2
    halves = (slice(None, middle), slice(middle, None))
    (first, first_influence), (second, second_influence) = (
        with_influence(a[half], b[half], ab[:, half])[order] for half in halves
    )
    error = np.hypot(_error(first_influence), _error(second_influence))
    return np.abs(first - second) / np.maximum(error, 1e-9)


# Factors that a model's output depends on, by variance and by intervention.

MAX_GAP = 4.0
"""Halves of the samples that differ by more standard errors than this have not converged: 1 in 16,000 by chance."""


def power_of_two(samples: int) -> int:
    """Return the number of samples.

    Raises:
        ValueError: It is no power of two.
    """
    if samples & (samples - 1):
        below = 1 << (samples.bit_length() - 1)
        raise ValueError(f"{samples} samples: a Sobol' sequence is balanced at powers of two, {below} or {2 * below}")
    return samples


@component(
    "probe",
    "reliance",
    summary="what the output depends on: Sobol' indices on phantoms, flips and effects of changing one factor",
    version=3,
)
class Reliance:
    """A `Probe` of use: whether changing the factor changes the output.

    `sobol-first` and `sobol-total` (phantoms only, and where `sobol` asks for them): shares of the variance of the
    logit over a Saltelli design of independent inputs, `factor` naming the input, the last being the nuisance seed; n
    is the number of samples. A value whose standard error exceeds `tolerance`, or whose halves disagree, keeps its
    value and has a code `not-converged-...` in `reason`. See `sobol_indices`.
    `flip-rate`, `logit-effect`, `logit-effect-absolute`: see `counterfactual_measurements`.

    A constant model gives NaN with the reason, and so do images in which the factor cannot be changed alone. Conflict
    environments are read from `performance`.

    Examples:
        A network whose logit is 3 times the tag and the size, each of which varies by itself:

        >>> from assay.plugin import run_probes
        >>> from assay.testing.probe import PixelReader, World
        >>> model = Model(PixelReader({"tag": 3.0, "size": 1.0}))
        >>> result = run_probes(model, World(), {"reliance": Reliance(samples=256)})
        >>> shares = [one for one in result.measurements["reliance"] if one.measure == "sobol-total"]
        >>> {one.factor: round(abs(one.value), 1) for one in shares}
        {'margin': 0.0, 'texture': 0.0, 'size': 0.0, 'tag': 0.9, 'nuisance': 0.0}
    """

    scope: ClassVar[Scope] = "neutral"

    def __init__(
        self,
        *,
        samples: Annotated[
            int,
            Field(ge=64, le=65536, description="rows of a Saltelli design; a power of two"),
            AfterValidator(power_of_two),
        ] = 1024,
        tolerance: Annotated[
            float, Field(gt=0, le=1, description="standard error of an index above which it has not converged")
        ] = 0.05,
        sobol: Annotated[
            bool, Field(description="also Sobol' indices, on phantoms; without them it takes half the time")
        ] = True,
        factors: Annotated[
            tuple[str, ...], Field(description="factors to change alone; all that can be changed when left out")
        ] = (),
    ) -> None:
        self.samples = samples
        self.tolerance = tolerance
        self.sobol = sobol
        self.factors = factors

    def requests(self, model: Model, scene: Scene) -> tuple[Request, ...]:
        """Return the neutral rows and both ends of every factor that is changed."""
        environments = (
            scene.counterfactual(factor, end) for factor in self._changed_factors(scene) for end in ("low", "high")
        )
        return (Request(scene.neutral()), *(Request(environment) for environment in environments))

    def measure(self, reading: Reading, scene: Scene) -> list[Measurement]:
        """Return Sobol' indices where the scene has a phantom, then effects of changing single factors."""
        design = scene.sobol(self.samples) if self.sobol else None
        by_variance = [] if design is None else self._variance_measurements(reading, design, scene.classes)
        measurements = by_variance + counterfactual_measurements(reading, scene, self._changed_factors(scene))
        return measurements or [undefined("logit-effect", Code.NOTHING_TO_CHANGE)]

    def _changed_factors(self, scene: Scene) -> tuple[str, ...]:
        return self.factors or scene.changeable()

    def _variance_measurements(
        self, reading: Reading, design: SobolDesign, classes: tuple[str, ...]
    ) -> list[Measurement]:
        scores = log_odds(reading.logits(design.images))
        measurements: list[Measurement] = []
        for column, level in enumerate(score_names(classes)):
            indices = sobol_indices(scores[:, column], design.samples)
            for position, name in enumerate(design.inputs):
                measurements += self._index_measurements(indices, position, name, level, design.samples)
        return measurements

    def _index_measurements(
        self, indices: SobolIndices | None, position: int, name: str, level: str, samples: int
    ) -> list[Measurement]:
        measures = ("sobol-first", "sobol-total")
        if indices is None:
            return [undefined(measure, Code.CONSTANT_OUTPUT, factor=name, level=level) for measure in measures]
        values, errors = (indices.first, indices.total), (indices.first_error, indices.total_error)
        contributions = (indices.first_contributions, indices.total_contributions)
        return [
            Measurement(
                measure,
                float(value[position]),
                factor=name,
                level=level,
                unit=MEASURES[measure].unit,
                n=samples,
                standard_error=float(error[position]),
                chance=0.0,
                reason=self._convergence_reason(float(error[position]), float(indices.gap[position])),
                # Models share the design, whose sample i is called -1 - i: patients have codes from 0 on.
                contributions=Contributions(np.arange(-samples, 0), by_sample[position][::-1].copy()),
            )
            for measure, value, error, by_sample in zip(measures, values, errors, contributions, strict=True)
        ]

    def _convergence_reason(self, error: float, gap: float) -> Reason:
        if np.isnan(error) or error > self.tolerance:
            return Reason.of(Code.NOT_CONVERGED_ERROR, error=error, tolerance=self.tolerance)
        return Reason.of(Code.NOT_CONVERGED_HALVES, gap=gap) if gap > MAX_GAP else NO_REASON
