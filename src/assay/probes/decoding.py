"""How well questions about factors are answered by linear decoders of several representations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float

from assay.core.seeds import generator
from assay.probes.questions import Question, Task
from assay.probes.ridge import held_out
from assay.probes.uncertainty import clustered_error
from assay.stats.influence import auroc_rows
from assay.stats.metrics import placements
from assay.stats.similarity import varying

SHUFFLED = "shuffled"


@dataclass(frozen=True, slots=True)
class Space:
    """One representation of n images: `group` says of which network, `layer` which of its layers.

    also_shuffled: whether the factors' values are decoded from it permuted as well, under the group `shuffled`.
    """

    group: str
    layer: str
    features: Float[np.ndarray, "n d"]
    also_shuffled: bool = False

    @property
    def constant(self) -> bool:
        """Whether no feature tells two images apart."""
        return not varying(self.features).any()


@dataclass(frozen=True, slots=True)
class Score:
    """A task's mean AUROC from a representation with its error over patients, or why there is none."""

    group: str
    layer: str
    value: float
    error: float = float("nan")
    reason: str = ""


@dataclass(frozen=True, slots=True)
class _Answered:
    """One question's AUROC, NaN where no fold holds both sides, and each row's contribution to it."""

    value: float
    contribution: np.ndarray


def scored(
    spaces: Sequence[Space], tasks: Sequence[Task], fold: np.ndarray, patient: np.ndarray, seed: int
) -> dict[str, list[Score]]:
    """By factor, a score from every space, and then the shuffled ones. Questions over the same rows share decoders."""
    shares: dict[bytes, list[Question]] = {}
    for question in (question for task in tasks for question in task.questions):
        shares.setdefault(question.rows.tobytes(), []).append(question)
    places = [(space, space.group) for space in spaces]
    places += [(space, SHUFFLED) for space in spaces if space.also_shuffled]
    answers: dict[int, list[_Answered]] = {}
    for questions in shares.values():
        pairs = [_answered(space, questions, fold, seed) for space in spaces]
        by_place = [straight for straight, _ in pairs] + [shuffled for _, shuffled in pairs if shuffled]
        answers |= {id(question): [some[i] for some in by_place] for i, question in enumerate(questions)}
    return {
        task.factor: [
            _combined(space, group, task, [answers[id(question)][i] for question in task.questions], patient)
            for i, (space, group) in enumerate(places)
        ]
        for task in tasks
    }


def _answered(
    space: Space, questions: list[Question], fold: np.ndarray, seed: int
) -> tuple[list[_Answered], list[_Answered]]:
    """How well each of these questions over the same rows is answered, as it is and (if wanted) shuffled."""
    rows = questions[0].rows
    wanted = np.concatenate([q.wanted for q in questions], axis=1)
    positive = np.concatenate([q.positive for q in questions], axis=1)
    if space.also_shuffled:
        order = generator(seed, "decodability-shuffle", len(rows)).permutation(len(rows))
        wanted, positive = (np.concatenate([x, x[order]], axis=1) for x in (wanted, positive))
    said = held_out(space.features[rows], wanted, fold[rows])
    widths = [q.wanted.shape[1] for q in questions]
    edges = np.cumsum([0, *widths, *widths] if space.also_shuffled else [0, *widths])
    found = [_judged(said[:, a:b], positive[:, a:b], fold[rows]) for a, b in pairwise(edges)]
    return found[: len(questions)], found[len(questions) :]


def _judged(said: Float[np.ndarray, "m c"], positive: Bool[np.ndarray, "m c"], fold: np.ndarray) -> _Answered:
    """The mean over a question's columns of the AUROC, pairs of rows being compared within a fold only."""
    values: list[float] = []
    contribution = np.zeros(len(fold))
    for column, answer in zip(said.T, positive.T.astype(np.int64), strict=True):
        right, opposite = placements(column, answer, fold)
        pairs = opposite[answer == 1].sum()
        if pairs == 0:
            return _Answered(float("nan"), contribution)
        values.append(float(right[answer == 1].sum() / pairs))
        contribution += auroc_rows(right, opposite, answer) / positive.shape[1]
    return _Answered(float(np.mean(values)), contribution)


def _combined(space: Space, group: str, task: Task, answers: list[_Answered], patient: np.ndarray) -> Score:
    """The mean over a task's questions."""
    nothing = float("nan")
    if not task.questions:
        return Score(group, space.layer, nothing, reason=task.reason)
    if space.constant:
        return Score(group, space.layer, nothing, reason="the layer is constant")
    value = float(np.mean([answer.value for answer in answers]))
    if np.isnan(value):
        return Score(group, space.layer, nothing, reason="no fold holds images on both sides of the question")
    contribution = np.concatenate([answer.contribution / len(answers) for answer in answers])
    return Score(group, space.layer, value, clustered_error(contribution, patient[task.rows]))
