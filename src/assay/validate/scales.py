"""Scores whose scale or order does not fit their cases: other scales in each fold or site, and sorted scores."""

from __future__ import annotations

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from scipy.stats import kruskal

from assay.data.files.roles import ORIGINS, SPLITS, words_of
from assay.data.files.scored import ScoredRows
from assay.data.files.table import absent
from assay.stats.format import number
from assay.stats.metrics import auroc

_OF_PARTS = ORIGINS | SPLITS | {"cohort", "vendor", "manufacturer", "batch", "network"}
"""Words of the names of columns of parts that may have scores on scales of their own."""
_MOST_PARTS, _FEWEST = 20, 10
"""Parts of a column, and cases of a class that each has."""
_SURE, _HIGHER = 1e-6, 0.03
"""Probability of such scores in each class without a difference of scales, and what AUROC is higher within parts."""


def scales_of_parts(rows: ScoredRows) -> str:
    """Return a sentence where scores of the parts of a column, such as folds, are on other scales; empty otherwise.

    In each class they then differ between parts, and AUROC is higher within parts than over all cases.
    """
    target, score = rows.target.codes, rows.score
    for name in rows.table.header:
        if name in rows.roles.values() or not words_of(name) & _OF_PARTS:
            continue
        cells = np.array(rows.table.column(name, "data"), dtype=object)
        part = np.where([not absent(cell) for cell in cells], pd.factorize(cells)[0], -1)
        counts = pd.crosstab(part[part >= 0], target[part >= 0])
        if not 1 < len(counts) <= _MOST_PARTS or counts.shape[1] < 2 or counts.to_numpy().min() < _FEWEST:
            continue
        known = part >= 0
        within, over_all = (
            auroc(score[known], target[known], fold).value for fold in (part[known].astype(np.int64), None)
        )
        if within - over_all > _HIGHER and all(_differ(score[target == code], part[target == code]) for code in (0, 1)):
            return (
                f"Scores differ in scale between values of {name}: AUROC is {number(within)} within them, and "
                f"{number(over_all)} over all cases. Report it within, or bring scores to one scale on other cases."
            )
    return ""


def _differ(score: Float[np.ndarray, " n"], part: Int[np.ndarray, " n"]) -> bool:
    groups = [score[part == each] for each in np.unique(part[part >= 0])]
    return len(np.unique(score)) > 1 and float(kruskal(*groups).pvalue) < _SURE


_ROWS, _CHANCE = 30, 0.1
"""Cases from which an order is no chance, and distance of AUROC from 0.5 of scores in the order of others."""


def is_sorted_apart(rows: ScoredRows) -> bool:
    """Return whether scores rise or fall from row to row and rank cases as chance does: they were sorted alone."""
    score = rows.score
    steps = np.diff(score)
    if len(score) < _ROWS or 2 * len(np.unique(score)) < len(score) or not ((steps >= 0).all() or (steps <= 0).all()):
        return False
    return abs(auroc(score, rows.target.codes).value - 0.5) < _CHANCE
