"""Decode factors from layers by ridge regression, with references: untrained network, permuted values, pixels.

Factors come from an environment's table, layers from the activations of a model.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Annotated, ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float
from pydantic import Field

from assay.core.measures import INDEPENDENT as INDEPENDENT_IMAGES
from assay.core.measures import Measure, register_measures
from assay.core.reasons import NO_REASON, Code, Reason
from assay.core.registry import Role, component
from assay.core.seeds import folds_by_patient, generator
from assay.core.types import Contributions, Factor, FactorTable, Measurement, undefined
from assay.data.dataset import Images
from assay.models.ref import Model
from assay.probes.probe import Reading, Request, Scope, requests_with_untrained
from assay.shifts.environment import Environment, Scene
from assay.stats.influence import auroc_influence, sum_by_patient
from assay.stats.metrics import average_ranks, is_varying, placements
from assay.stats.ridge import cross_validated_predictions

register_measures(
    Measure(
        "decodability",
        "decodability",
        "AUROC of a linear decoder that reads the factor from the layer",
        unit="AUROC",
        low=0.0,
        high=1.0,
        chance=0.5,
        needs=("factor", "layer"),
        environment=INDEPENDENT_IMAGES,
        dosed=True,
        axis="AUROC of a linear decoder",
        reference="Alain and Bengio 2017",
    ),
    Measure(
        "missing",
        "decodability",
        "number of images without a value of the factor",
        unit="images",
        display="images without a value",
        environment=INDEPENDENT_IMAGES,
        compared=False,
    ),
)

# Targets of decoders: yes-or-no questions about a factor, which make factors of any kind comparable.


@dataclass(frozen=True, slots=True)
class DecoderTarget:
    """Target of a decoder on some rows of an environment.

    Attributes:
        rows: Positions of the rows [m].
        values: Values that the decoder is fitted to, as floats [m, c].
        positive: The answers of the yes-or-no question of each column, by which AUROC is computed, as booleans [m, c].
    """

    rows: np.ndarray
    values: np.ndarray
    positive: np.ndarray


@dataclass(frozen=True, slots=True)
class DecodingTask:
    """A factor with its targets: one over all rows, or one per class.

    Attributes:
        factor: Name of the factor.
        targets: Targets; empty where it cannot be decoded.
        missing: Number of rows without a value, which are in no target.
        reason: Why there is no target.
    """

    factor: str
    targets: tuple[DecoderTarget, ...]
    missing: int = 0
    reason: Reason = NO_REASON

    @property
    def rows(self) -> np.ndarray:
        """The rows of all targets, concatenated; no row is in two targets."""
        return np.concatenate([target.rows for target in self.targets] or [np.empty(0, dtype=np.int64)])


def decoding_tasks(table: FactorTable, folds: int, within_class: bool) -> list[DecodingTask]:
    """Return one task per factor of the table, in its order.

    Args:
        within_class: Whether each factor is decoded within each class. This is needed where a factor may be associated
            with the target: otherwise a layer that knows only the class would seem to know the factor. The caller
            decides by the design of the rows. A measured association could be above a limit in one fold and below it in
            the next, which would change the question.
    """
    return [_decoding_task(table, factor, folds, within_class) for factor in table.factors]


def _decoding_task(table: FactorTable, factor: Factor, folds: int, within_class: bool) -> DecodingTask:
    values = table.columns[factor.name].astype(np.float64)
    present = np.flatnonzero(~np.isnan(factor.numbers(values)))
    missing = len(values) - len(present)
    if not len(present):
        return DecodingTask(factor.name, (), missing=missing, reason=Reason.of(Code.NO_VALUE))
    patients = len(np.unique(table.patient[present]))
    if patients < folds:
        few = Reason.of(Code.FEW_PATIENTS, patients=patients, folds=folds)
        return DecodingTask(factor.name, (), missing=missing, reason=few)
    target = _decoder_target(factor, values, present, table.patient, folds)
    if target is None:
        reason_constant = Reason.of(Code.CONSTANT_FACTOR, folds=folds)
        return DecodingTask(factor.name, (), missing=missing, reason=reason_constant)
    if not within_class:
        return DecodingTask(factor.name, (target,), missing=missing)
    targets = tuple(_targets_by_class(table, factor, values, present, folds))
    reason = NO_REASON if targets else Reason.of(Code.CONSTANT_WITHIN_CLASS, folds=folds)
    return DecodingTask(factor.name, targets, missing=missing, reason=reason)


def _targets_by_class(
    table: FactorTable, factor: Factor, values: np.ndarray, present: np.ndarray, folds: int
) -> Iterator[DecoderTarget]:
    for label in np.unique(table.target[present]):
        target = _decoder_target(factor, values, present[table.target[present] == label], table.patient, folds)
        if target is not None:
            yield target


def _decoder_target(
    factor: Factor, values: np.ndarray, rows: np.ndarray, patient: np.ndarray, folds: int
) -> DecoderTarget | None:
    """Return the target of a factor on these rows; None where fewer than `folds` patients are on a side.

    Of a categorical factor there is a column per level that at least `folds` patients have: 1 for the level, else 0.
    Two levels make one column. Of any other factor the column is whether a value is above the threshold that halves
    the rows best. The decoder is fitted to mid-ranks, so that a monotone change of the values changes nothing.
    """
    if factor.kind == "categorical":
        positive = _level_indicators(values[rows], patient[rows], folds)
        values_to_fit = positive.astype(np.float64)
    else:
        positive = (values[rows] > _halving_threshold(values[rows]))[:, None]
        values_to_fit = (average_ranks(values[rows]) / len(rows))[:, None]
    has_both_sides = [
        _count_patients(patient[rows], side) >= folds for column in positive.T for side in (column, ~column)
    ]
    return DecoderTarget(rows, values_to_fit, positive) if has_both_sides and all(has_both_sides) else None


def _level_indicators(values: np.ndarray, patient: np.ndarray, folds: int) -> np.ndarray:
    """Return indicators [m, levels] of the levels that enough patients have; of two levels only the second."""
    levels = [code for code in np.unique(values) if _count_patients(patient, values == code) >= folds]
    if len(levels) < 2:
        return np.zeros((len(values), 0), dtype=bool)
    return np.stack([values == code for code in (levels[1:] if len(levels) == 2 else levels)], axis=1)


def _halving_threshold(values: np.ndarray) -> float:
    """Return the value above which the share of rows is nearest to one half."""
    levels, counts = np.unique(values, return_counts=True)
    above = 1 - np.cumsum(counts) / len(values)
    return float(levels[np.abs(above - 0.5).argmin()])


def _count_patients(patient: np.ndarray, rows: np.ndarray) -> int:
    return len(np.unique(patient[rows]))


# AUROC of linear decoders on several representations.

SHUFFLED = "shuffled"


@dataclass(frozen=True, slots=True)
class FeatureSpace:
    """One representation of n images.

    Attributes:
        group: Network that it is of: trained, untrained, or pixels for none.
        layer: Name of the layer; empty for pixels.
        features: A row per image.
        also_shuffled: Whether permuted values of factors are decoded from it too, under the group `shuffled`.
    """

    group: str
    layer: str
    features: Float[np.ndarray, "n d"]
    also_shuffled: bool = False

    @property
    def constant(self) -> bool:
        """Whether every feature has one value for all images."""
        return not is_varying(self.features).any()


@dataclass(frozen=True, slots=True)
class DecodingScore:
    """Mean AUROC of a task's targets from a representation, with its error over patients, or the reason for none."""

    group: str
    layer: str
    value: float
    error: float = float("nan")
    contributions: Contributions | None = field(default=None, compare=False)
    reason: Reason = NO_REASON


_TargetScore = tuple[float, np.ndarray]
"""AUROC of one target, NaN where no fold has both sides, and the influence of each row on it."""


def score_spaces(
    spaces: Sequence[FeatureSpace], tasks: Sequence[DecodingTask], fold: np.ndarray, patient: np.ndarray, seed: int
) -> dict[str, list[DecodingScore]]:
    """Return factor -> a score per space, then those of permuted values. Targets on the same rows share decoders."""
    targets_by_rows: dict[bytes, list[DecoderTarget]] = {}
    for target in (target for task in tasks for target in task.targets):
        targets_by_rows.setdefault(target.rows.tobytes(), []).append(target)
    space_groups = [(space, space.group) for space in spaces]
    space_groups += [(space, SHUFFLED) for space in spaces if space.also_shuffled]
    scores: dict[int, list[_TargetScore]] = {}
    for targets in targets_by_rows.values():
        pairs = [_score_targets(space, targets, fold, seed) for space in spaces]
        scores_by_group = [plain for plain, _ in pairs] + [shuffled for _, shuffled in pairs if shuffled]
        scores |= {
            id(target): [group_scores[i] for group_scores in scores_by_group] for i, target in enumerate(targets)
        }
    return {
        task.factor: [
            _mean_score(space, group, task, [scores[id(target)][i] for target in task.targets], patient)
            for i, (space, group) in enumerate(space_groups)
        ]
        for task in tasks
    }


def _score_targets(
    space: FeatureSpace, targets: list[DecoderTarget], fold: np.ndarray, seed: int
) -> tuple[list[_TargetScore], list[_TargetScore]]:
    """Return the scores of targets on the same rows, and those of permuted values, empty unless requested."""
    rows = targets[0].rows
    values = np.concatenate([target.values for target in targets], axis=1)
    positive = np.concatenate([target.positive for target in targets], axis=1)
    if space.also_shuffled:
        order = generator(seed, "decodability-shuffle", len(rows)).permutation(len(rows))
        values, positive = (np.concatenate([x, x[order]], axis=1) for x in (values, positive))
    predictions = cross_validated_predictions(space.features[rows], values, fold[rows])
    widths = [target.values.shape[1] for target in targets]
    edges = np.cumsum([0, *widths, *widths] if space.also_shuffled else [0, *widths])
    scores = [_mean_auroc(predictions[:, a:b], positive[:, a:b], fold[rows]) for a, b in pairwise(edges)]
    return scores[: len(targets)], scores[len(targets) :]


def _mean_auroc(
    predictions: Float[np.ndarray, "m c"], positive: Bool[np.ndarray, "m c"], fold: np.ndarray
) -> _TargetScore:
    """Return the mean AUROC over a target's columns, with pairs of rows compared within a fold only."""
    values: list[float] = []
    contribution = np.zeros(len(fold))
    for column, is_positive in zip(predictions.T, positive.T.astype(np.int64), strict=True):
        negatives_below, opposite = placements(column, is_positive, fold)
        pairs = opposite[is_positive == 1].sum()
        if pairs == 0:
            return float("nan"), contribution
        values.append(float(negatives_below[is_positive == 1].sum() / pairs))
        contribution += auroc_influence(negatives_below, opposite, is_positive) / positive.shape[1]
    return float(np.mean(values)), contribution


def _mean_score(
    space: FeatureSpace, group: str, task: DecodingTask, scores: list[_TargetScore], patient: np.ndarray
) -> DecodingScore:
    """Return the mean over a task's targets."""
    undefined_value = float("nan")
    if not task.targets:
        return DecodingScore(group, space.layer, undefined_value, reason=task.reason)
    if space.constant:
        return DecodingScore(group, space.layer, undefined_value, reason=Reason.of(Code.CONSTANT_LAYER))
    value = float(np.mean([auroc for auroc, _ in scores]))
    if np.isnan(value):
        return DecodingScore(group, space.layer, undefined_value, reason=Reason.of(Code.NO_FOLD_WITH_BOTH_SIDES))
    contribution = np.concatenate([influence / len(scores) for _, influence in scores])
    contributions = sum_by_patient(contribution, patient[task.rows])
    return DecodingScore(group, space.layer, value, contributions.standard_error, contributions)


# Factors that a linear decoder can read from each layer of a model.

TRAINED, UNTRAINED, PIXELS = "trained", "untrained", "pixels"
INDEPENDENT = "independent"
PIXEL_GRID = 8
"""Squares per side to which pixels are averaged as the reference without a network."""


@component(
    "probe",
    "decodability",
    summary="which factors a linear decoder reads from each layer, beside the untrained network, chance and raw pixels",
    version=3,
)
class Decodability:
    """Implements `Probe`. The claim is encoding: a factor that can be decoded need not be used.

    Measures `decodability` of each factor from each of the model's layers on held-out patients, as an AUROC in 0..1,
    chance 0.5: the probability that the decoder ranks an image that has the quality above one that has not. The quality
    of a continuous or ordinal factor is to lie in its upper half, of a categorical one to have the level (mean over
    levels). One scale for all kinds, so that factors compare; R2 would depend on each factor's spread.

    group: `trained`; and as references `untrained` (the same network before training, where the model says how to build
    it), `shuffled` (the trained layer, the factor's values permuted) and `pixels` (8 x 8 averages, no layer).
    environment: `independent` (the scene's own, where factors and target are independent as far as the data allow) or
    the name of a test environment. Only on a phantom's independent rows is a factor free of the target by how they are
    drawn; on all others it is fitted and tested within each class and the mean taken, and `unit` says "AUROC within
    class". folds: patients are dealt into so many, by the model's seed; pairs of images are compared within a fold
    only. Decoders are ridge regressions (`stats/ridge.py`). n counts the images with a value; those without are counted
    by a measurement `missing`. Standard errors are over patients, with the decoders held.

    NaN with the reason: a factor that is constant or that fewer patients have than folds, a constant layer.

    Examples:
        A layer that carries the margin, in a network whose answer is the tag: what is carried is not what is used.

        >>> from assay.plugin import run_probes
        >>> from assay.testing.probe import PixelReader, World
        >>> model = Model(PixelReader({"tag": 1.0}, carried=("margin",)), layers=("vector",))
        >>> result = run_probes(model, World(), {"decodability": Decodability()})
        >>> trained = [one for one in result.measurements["decodability"] if one.group == "trained"]
        >>> [one.factor for one in trained if one.value > 0.9]
        ['margin']
    """

    scope: ClassVar[Scope] = "neutral"

    def __init__(
        self,
        *,
        folds: Annotated[int, Field(ge=2, le=10, description="folds of patients; each is decoded from the others")] = 5,
        environment: Annotated[
            str,
            Role("environment"),
            Field(
                min_length=1,
                description="where decoders are fitted and tested: 'independent' or the name of a test environment",
            ),
        ] = "independent",
    ) -> None:
        self.folds = folds
        self.environment = environment

    def requests(self, model: Model, scene: Scene) -> tuple[Request, ...]:
        """One environment, all layers, of the trained and the untrained network."""
        return requests_with_untrained(model, self._environment(scene))

    def measure(self, reading: Reading, scene: Scene) -> list[Measurement]:
        """By factor, then by representation."""
        model, environment = reading.model, self._environment(scene)
        if not model.layers:
            return [undefined("decodability", Code.NO_LAYERS, environment=environment.name)]
        table = environment.table
        within_class = not (self.environment == INDEPENDENT and scene.has_phantom)
        tasks = decoding_tasks(table, self.folds, within_class)
        fold = folds_by_patient(table.patient, self.folds, model.seed)
        scores = score_spaces(_feature_spaces(reading, environment), tasks, fold, table.patient, model.seed)
        measurements: list[Measurement] = []
        for task in tasks:
            measurements += [_measurement(task, score, environment, within_class) for score in scores[task.factor]]
            measurements += _missing_measurements(task, environment)
        return measurements

    def _environment(self, scene: Scene) -> Environment:
        return scene.independent() if self.environment == INDEPENDENT else scene.environment(self.environment)


def mean_pixels(images: Images, batch: int = 256) -> Float[np.ndarray, "n d"]:
    """Return every image averaged to 8 x 8 squares per channel, as a vector."""
    parts: list[np.ndarray] = []
    for start in range(0, len(images), batch):
        pixels = images.read(np.arange(start, min(start + batch, len(images))))
        parts.append(torch.nn.functional.adaptive_avg_pool2d(pixels, PIXEL_GRID).flatten(1).numpy())
    return np.concatenate(parts)


def _feature_spaces(reading: Reading, environment: Environment) -> list[FeatureSpace]:
    model = reading.model
    trained = reading.read(environment).activations
    spaces = [FeatureSpace(TRAINED, layer, trained[layer], also_shuffled=True) for layer in model.layers]
    if model.untrained is not None:
        untrained = reading.read(environment, untrained=True).activations
        spaces += [FeatureSpace(UNTRAINED, layer, untrained[layer]) for layer in model.layers]
    return [*spaces, FeatureSpace(PIXELS, "", mean_pixels(environment.images))]


def _measurement(task: DecodingTask, score: DecodingScore, environment: Environment, within_class: bool) -> Measurement:
    return Measurement(
        "decodability",
        score.value,
        environment=environment.name,
        factor=task.factor,
        layer=score.layer,
        group=score.group,
        unit="AUROC within class" if within_class else "AUROC",
        n=len(task.rows),
        patients=len(np.unique(environment.table.patient[task.rows])),
        standard_error=score.error,
        contributions=score.contributions,
        chance=0.5,
        reason=score.reason,
    )


def _missing_measurements(task: DecodingTask, environment: Environment) -> list[Measurement]:
    """Return the number of images without a value of the factor; nothing where all have one."""
    if not task.missing:
        return []
    count, n = float(task.missing), len(environment)
    return [Measurement("missing", count, environment=environment.name, factor=task.factor, unit="images", n=n)]
