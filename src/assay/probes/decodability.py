"""Decode factors from layers with ridge regression and controls."""

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
from assay.probes.probe import Reading, Request, Scope, with_untrained
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

# Yes-or-no questions about a factor, which make factors of any kind comparable.


@dataclass(frozen=True, slots=True)
class DecoderTarget:
    """Some rows of an environment, the decoder's target there, and its criterion.

    Attributes:
        rows: Positions [m].
        wanted: Float [m, c].
        positive: Booleans [m, c], the yes-or-no question of each column.
    """

    rows: np.ndarray
    wanted: np.ndarray
    positive: np.ndarray


@dataclass(frozen=True, slots=True)
class DecodingTask:
    """A factor with its questions: one over all rows, or one per class.

    Attributes:
        reason: Why there is no question.
        missing: Rows without a value, which are in no question.
    """

    factor: str
    questions: tuple[DecoderTarget, ...]
    missing: int = 0
    reason: Reason = NO_REASON

    @property
    def rows(self) -> np.ndarray:
        """The rows of all questions, one after another; no row is in two."""
        return np.concatenate([question.rows for question in self.questions] or [np.empty(0, dtype=np.int64)])


def tasks_of(table: FactorTable, folds: int, within_class: bool) -> list[DecodingTask]:
    """Return one task per factor of the table, in its order.

    Args:
        within_class: Whether each factor is decoded within each class. This is needed where a factor may be associated
            with the target: otherwise a layer that knows only the class would seem to know the factor. The caller
            decides by the design of the rows. A measured association could be above a limit in one fold and below it in
            the next, which would change the question.
    """
    return [_task(table, factor, folds, within_class) for factor in table.factors]


def _task(table: FactorTable, factor: Factor, folds: int, within_class: bool) -> DecodingTask:
    values = table.columns[factor.name].astype(np.float64)
    present = np.flatnonzero(~np.isnan(factor.numbers(values)))
    missing = len(values) - len(present)
    if not len(present):
        return DecodingTask(factor.name, (), missing=missing, reason=Reason.of(Code.NO_VALUE))
    patients = len(np.unique(table.patient[present]))
    if patients < folds:
        few = Reason.of(Code.FEW_PATIENTS, patients=patients, folds=folds)
        return DecodingTask(factor.name, (), missing=missing, reason=few)
    question = _question(factor, values, present, table.patient, folds)
    if question is None:
        constant = Reason.of(Code.CONSTANT_FACTOR, folds=folds)
        return DecodingTask(factor.name, (), missing=missing, reason=constant)
    if not within_class:
        return DecodingTask(factor.name, (question,), missing=missing)
    within = tuple(_targets_by_class(table, factor, values, present, folds))
    reason = NO_REASON if within else Reason.of(Code.CONSTANT_WITHIN_CLASS, folds=folds)
    return DecodingTask(factor.name, within, missing=missing, reason=reason)


def _targets_by_class(
    table: FactorTable, factor: Factor, values: np.ndarray, present: np.ndarray, folds: int
) -> Iterator[DecoderTarget]:
    for label in np.unique(table.target[present]):
        question = _question(factor, values, present[table.target[present] == label], table.patient, folds)
        if question is not None:
            yield question


def _question(
    factor: Factor, values: np.ndarray, rows: np.ndarray, patient: np.ndarray, folds: int
) -> DecoderTarget | None:
    """Return the questions of a factor on these rows, None when they do not tell any rows apart.

    Categorical: is it this level, for each level that at least `folds` patients have, as 0 and 1; two levels make one
    question. Any other: is it above the cut that halves the rows best, fitted to mid-ranks, so that the unit and any
    monotone change of it are of no account.
    """
    if factor.kind == "categorical":
        positive = _levels(values[rows], patient[rows], folds)
        wanted = positive.astype(np.float64)
    else:
        positive = (values[rows] > _halving_cut(values[rows]))[:, None]
        wanted = (average_ranks(values[rows]) / len(rows))[:, None]
    both = [_patients(patient[rows], side) >= folds for column in positive.T for side in (column, ~column)]
    return DecoderTarget(rows, wanted, positive) if both and all(both) else None


def _levels(values: np.ndarray, patient: np.ndarray, folds: int) -> np.ndarray:
    """Indicators [m, levels] of those levels that enough patients have; of two levels the second alone."""
    levels = [code for code in np.unique(values) if _patients(patient, values == code) >= folds]
    if len(levels) < 2:
        return np.zeros((len(values), 0), dtype=bool)
    return np.stack([values == code for code in (levels[1:] if len(levels) == 2 else levels)], axis=1)


def _halving_cut(values: np.ndarray) -> float:
    """Return the value above which the share of rows is nearest to one half."""
    levels, counts = np.unique(values, return_counts=True)
    above = 1 - np.cumsum(counts) / len(values)
    return float(levels[np.abs(above - 0.5).argmin()])


def _patients(patient: np.ndarray, rows: np.ndarray) -> int:
    return len(np.unique(patient[rows]))


# How well questions about factors are answered by linear decoders of several representations.

SHUFFLED = "shuffled"


@dataclass(frozen=True, slots=True)
class Space:
    """One representation of n images: `group` says of which network, `layer` which of its layers.

    Attributes:
        also_shuffled: Whether the factors' values are decoded from it permuted as well, under the group `shuffled`.
    """

    group: str
    layer: str
    features: Float[np.ndarray, "n d"]
    also_shuffled: bool = False

    @property
    def constant(self) -> bool:
        """Whether no feature tells two images apart."""
        return not is_varying(self.features).any()


@dataclass(frozen=True, slots=True)
class Score:
    """A task's mean AUROC from a representation with its error over patients, or why there is none."""

    group: str
    layer: str
    value: float
    error: float = float("nan")
    contributions: Contributions | None = field(default=None, compare=False)
    reason: Reason = NO_REASON


_Answered = tuple[float, np.ndarray]
"""One question's AUROC, NaN where no fold holds both sides, and each row's contribution to it."""


def score_spaces(
    spaces: Sequence[Space], tasks: Sequence[DecodingTask], fold: np.ndarray, patient: np.ndarray, seed: int
) -> dict[str, list[Score]]:
    """By factor, a score from every space, and then the shuffled ones. Questions over the same rows share decoders."""
    shares: dict[bytes, list[DecoderTarget]] = {}
    for question in (question for task in tasks for question in task.questions):
        shares.setdefault(question.rows.tobytes(), []).append(question)
    places = [(space, space.group) for space in spaces]
    places += [(space, SHUFFLED) for space in spaces if space.also_shuffled]
    answers: dict[int, list[_Answered]] = {}
    for questions in shares.values():
        pairs = [_answer(space, questions, fold, seed) for space in spaces]
        by_place = [straight for straight, _ in pairs] + [shuffled for _, shuffled in pairs if shuffled]
        answers |= {id(question): [some[i] for some in by_place] for i, question in enumerate(questions)}
    return {
        task.factor: [
            _combine(space, group, task, [answers[id(question)][i] for question in task.questions], patient)
            for i, (space, group) in enumerate(places)
        ]
        for task in tasks
    }


def _answer(
    space: Space, questions: list[DecoderTarget], fold: np.ndarray, seed: int
) -> tuple[list[_Answered], list[_Answered]]:
    """How well each of these questions over the same rows is answered, as it is and (if wanted) shuffled."""
    rows = questions[0].rows
    wanted = np.concatenate([q.wanted for q in questions], axis=1)
    positive = np.concatenate([q.positive for q in questions], axis=1)
    if space.also_shuffled:
        order = generator(seed, "decodability-shuffle", len(rows)).permutation(len(rows))
        wanted, positive = (np.concatenate([x, x[order]], axis=1) for x in (wanted, positive))
    predictions = cross_validated_predictions(space.features[rows], wanted, fold[rows])
    widths = [q.wanted.shape[1] for q in questions]
    edges = np.cumsum([0, *widths, *widths] if space.also_shuffled else [0, *widths])
    answers = [_mean_auroc(predictions[:, a:b], positive[:, a:b], fold[rows]) for a, b in pairwise(edges)]
    return answers[: len(questions)], answers[len(questions) :]


def _mean_auroc(
    predictions: Float[np.ndarray, "m c"], positive: Bool[np.ndarray, "m c"], fold: np.ndarray
) -> _Answered:
    """Return the mean over a question's columns of the AUROC, pairs of rows being compared within a fold only."""
    values: list[float] = []
    contribution = np.zeros(len(fold))
    for column, answer in zip(predictions.T, positive.T.astype(np.int64), strict=True):
        right, opposite = placements(column, answer, fold)
        pairs = opposite[answer == 1].sum()
        if pairs == 0:
            return float("nan"), contribution
        values.append(float(right[answer == 1].sum() / pairs))
        contribution += auroc_influence(right, opposite, answer) / positive.shape[1]
    return float(np.mean(values)), contribution


def _combine(space: Space, group: str, task: DecodingTask, answers: list[_Answered], patient: np.ndarray) -> Score:
    """Return the mean over a task's questions."""
    nothing = float("nan")
    if not task.questions:
        return Score(group, space.layer, nothing, reason=task.reason)
    if space.constant:
        return Score(group, space.layer, nothing, reason=Reason.of(Code.CONSTANT_LAYER))
    value = float(np.mean([auroc for auroc, _ in answers]))
    if np.isnan(value):
        return Score(group, space.layer, nothing, reason=Reason.of(Code.NO_FOLD_WITH_BOTH_SIDES))
    contribution = np.concatenate([moved / len(answers) for _, moved in answers])
    clustered_auroc = sum_by_patient(contribution, patient[task.rows])
    return Score(group, space.layer, value, clustered_auroc.standard_error, clustered_auroc)


# Factors that a linear decoder can read from each layer of a model.

TRAINED, UNTRAINED, PIXELS = "trained", "untrained", "pixels"
INDEPENDENT = "independent"
SIDE = 8
"""Raw pixels are averaged to this many squares a side, the reference without a network."""


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
        return with_untrained(model, self._environment(scene))

    def measure(self, reading: Reading, scene: Scene) -> list[Measurement]:
        """By factor, then by representation."""
        model, environment = reading.model, self._environment(scene)
        if not model.layers:
            return [undefined("decodability", Code.NO_LAYERS, environment=environment.name)]
        table = environment.table
        within_class = not (self.environment == INDEPENDENT and scene.has_phantom)
        tasks = tasks_of(table, self.folds, within_class)
        fold = folds_by_patient(table.patient, self.folds, model.seed)
        scores = score_spaces(_spaces(reading, environment), tasks, fold, table.patient, model.seed)
        measurements: list[Measurement] = []
        for task in tasks:
            measurements += [_measurement(task, score, environment, within_class) for score in scores[task.factor]]
            measurements += _missing(task, environment)
        return measurements

    def _environment(self, scene: Scene) -> Environment:
        return scene.independent() if self.environment == INDEPENDENT else scene.environment(self.environment)


def low_resolution(images: Images, batch: int = 256) -> Float[np.ndarray, "n d"]:
    """Return every image averaged to 8 x 8 squares per channel, as a vector."""
    parts: list[np.ndarray] = []
    for start in range(0, len(images), batch):
        pixels = images.read(np.arange(start, min(start + batch, len(images))))
        parts.append(torch.nn.functional.adaptive_avg_pool2d(pixels, SIDE).flatten(1).numpy())
    return np.concatenate(parts)


def _spaces(reading: Reading, environment: Environment) -> list[Space]:
    model = reading.model
    trained = reading.read(environment).activations
    spaces = [Space(TRAINED, layer, trained[layer], also_shuffled=True) for layer in model.layers]
    if model.untrained is not None:
        blank = reading.read(environment, untrained=True).activations
        spaces += [Space(UNTRAINED, layer, blank[layer]) for layer in model.layers]
    return [*spaces, Space(PIXELS, "", low_resolution(environment.images))]


def _measurement(task: DecodingTask, score: Score, environment: Environment, within_class: bool) -> Measurement:
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


def _missing(task: DecodingTask, environment: Environment) -> list[Measurement]:
    """How many images had no value of the factor, where any."""
    if not task.missing:
        return []
    count, n = float(task.missing), len(environment)
    return [Measurement("missing", count, environment=environment.name, factor=task.factor, unit="images", n=n)]
