"""Factors that are all but the target itself: what is said of one of them cannot be told from what is said of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from assay.core.types import Factor, FactorTable
from assay.shifts.association import somers_d

PROXY = 0.98
"""AUROC of a factor for a class from which it counts as a proxy for the target."""
LEAST_ROWS = 10
"""With fewer rows on either side nothing is said: by chance a column tells so few."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """A factor that tells a class from the others. auroc: from `PROXY` to 1. rows: those that have its value."""

    factor: str
    of: str
    auroc: float
    rows: int


def proxies(table: FactorTable) -> list[Proxy]:
    """The factors that alone tell some class from the rest with an AUROC of at least `PROXY`, in the table's order.

    Numbers and ordered levels are taken as they are, whichever way they point. Of a categorical factor each level
    scores the share of the class among rows of *other* patients that have it, so that a column with a level of its own
    for every patient tells nothing. Missing values are left out. Factors that define the target (role *core*) are not
    looked at, and nothing is said where a side has fewer than `LEAST_ROWS` rows.
    """
    found = [_strongest(factor, table) for factor in table.factors if factor.role != "core"]
    return [proxy for proxy in found if proxy is not None]


def _strongest(factor: Factor, table: FactorTable) -> Proxy | None:
    """Two classes are told by one figure, that of the last; of several the first that is told."""
    classes = range(len(table.classes)) if len(table.classes) > 2 else (1,)
    for k in classes:
        of = table.target == k
        scores = _scores(factor, table, of)
        known = ~np.isnan(scores)
        sides = int((of & known).sum()), int((~of & known).sum())
        if min(sides) < LEAST_ROWS:
            continue
        d = somers_d(scores[known], of[known])
        auroc = (1 + (d if factor.kind == "categorical" else abs(d))) / 2
        if auroc >= PROXY:
            return Proxy(factor.name, table.classes[k], auroc, sum(sides))
    return None


def _scores(factor: Factor, table: FactorTable, of: Bool[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
    """Higher meaning more, NaN where the value is missing."""
    if factor.kind != "categorical":
        return factor.numbers(table.columns[factor.name])
    level = table.columns[factor.name].astype(np.int64)
    patients, patient = np.unique(table.patient, return_inverse=True)
    _, code = np.unique(level, return_inverse=True)
    # One code a pair of level and patient: what a patient adds to its level is taken away from its own rows.
    _, pair = np.unique(code * len(patients) + patient, return_inverse=True)
    others = np.bincount(code)[code] - np.bincount(pair)[pair]
    positives = np.bincount(code, weights=of)[code] - np.bincount(pair, weights=of)[pair]
    shares = np.where(others > 0, positives / np.maximum(others, 1), of.mean())
    return np.where(level < 0, np.nan, shares)
