"""What a decoder is asked of a factor: yes-or-no questions that make factors of any kind comparable."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from assay.core.seeds import row_uniform
from assay.core.types import Factor, FactorTable


@dataclass(frozen=True, slots=True)
class Question:
    """Some rows of an environment, what a decoder is fitted to there, and what it is then judged by.

    rows: positions [m]. wanted: float [m, c]. positive: booleans [m, c], the yes-or-no question of each column.
    """

    rows: np.ndarray
    wanted: np.ndarray
    positive: np.ndarray


@dataclass(frozen=True, slots=True)
class Task:
    """A factor with its questions: one over all rows, or one per class.

    reason: why there is no question. missing: rows without a value, which are in no question.
    """

    factor: str
    questions: tuple[Question, ...]
    missing: int = 0
    reason: str = ""

    @property
    def rows(self) -> np.ndarray:
        """The rows of all questions, one after another; no row is in two."""
        return np.concatenate([question.rows for question in self.questions] or [np.empty(0, dtype=np.int64)])


def folds_by_patient(patient: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """The fold [n] of each row: patients in an order drawn from (seed, patient), dealt out in turn."""
    codes, position = np.unique(patient, return_inverse=True)
    order = np.argsort(row_uniform(seed, "decodability-folds", codes), kind="stable")
    dealt = np.empty(len(codes), dtype=np.int64)
    dealt[order] = np.arange(len(codes)) % folds
    return dealt[position]


def tasks_of(table: FactorTable, folds: int, within_class: bool) -> list[Task]:
    """One task per factor of the table, in its order.

    within_class: whether each is asked within each class, as it must be where a factor may be tied to the target: a
    layer that knows the class alone would else seem to know the factor. It is the caller's to say, from how the rows
    came about: a tie that is measured lies now above a limit and now below, fold by fold, and then questions change.
    """
    return [_task(table, factor, folds, within_class) for factor in table.factors]


def _task(table: FactorTable, factor: Factor, folds: int, within_class: bool) -> Task:
    values = table.columns[factor.name].astype(np.float64)
    known = np.flatnonzero(values >= 0 if factor.levels else ~np.isnan(values))
    missing = len(values) - len(known)
    if not len(known):
        return Task(factor.name, (), missing=missing, reason="no image has a value")
    patients = len(np.unique(table.patient[known]))
    if patients < folds:
        return Task(
            factor.name, (), missing=missing, reason=f"{patients} patients have a value, fewer than {folds} folds"
        )
    whole = _question(factor, values, known, table.patient, folds)
    if whole is None:
        reason = f"constant: no two values that {folds} patients have"
        return Task(factor.name, (), missing=missing, reason=reason)
    if not within_class:
        return Task(factor.name, (whole,), missing=missing)
    within = tuple(_by_class(table, factor, values, known, folds))
    reason = "" if within else f"constant within each class: in none have {folds} patients either value"
    return Task(factor.name, within, missing=missing, reason=reason)


def _by_class(
    table: FactorTable, factor: Factor, values: np.ndarray, known: np.ndarray, folds: int
) -> Iterator[Question]:
    for label in np.unique(table.target[known]):
        question = _question(factor, values, known[table.target[known] == label], table.patient, folds)
        if question is not None:
            yield question


def _question(factor: Factor, values: np.ndarray, rows: np.ndarray, patient: np.ndarray, folds: int) -> Question | None:
    """The questions of a factor on these rows, None when they do not tell any rows apart.

    Categorical: is it this level, for each level that at least `folds` patients have, as 0 and 1; two levels make one
    question. Any other: is it above the cut that halves the rows best, fitted to mid-ranks, so that the unit and any
    monotone change of it are of no account.
    """
    if factor.kind == "categorical":
        positive = _levels(values[rows], patient[rows], folds)
        wanted = positive.astype(np.float64)
    else:
        positive = (values[rows] > _halving_cut(values[rows]))[:, None]
        wanted = (rankdata(values[rows]) / len(rows))[:, None]
    both = [_patients(patient[rows], side) >= folds for column in positive.T for side in (column, ~column)]
    return Question(rows, wanted, positive) if both and all(both) else None


def _levels(values: np.ndarray, patient: np.ndarray, folds: int) -> np.ndarray:
    """Indicators [m, levels] of those levels that enough patients have; of two levels the second alone."""
    found = [code for code in np.unique(values) if _patients(patient, values == code) >= folds]
    if len(found) < 2:
        return np.zeros((len(values), 0), dtype=bool)
    return np.stack([values == code for code in (found[1:] if len(found) == 2 else found)], axis=1)


def _halving_cut(values: np.ndarray) -> float:
    """The value above which the share of rows is nearest to one half."""
    levels, counts = np.unique(values, return_counts=True)
    above = 1 - np.cumsum(counts) / len(values)
    return float(levels[np.abs(above - 0.5).argmin()])


def _patients(patient: np.ndarray, rows: np.ndarray) -> int:
    return len(np.unique(patient[rows]))
