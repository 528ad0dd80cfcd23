"""Test conditions of `assay init`: columns of a study's images that may be shortcuts, and whether rows can show it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Int

from assay.core.errors import AssayError, AssociationError
from assay.core.types import Factor, FactorTable
from assay.shifts.population import Population
from assay.spec.schema import AssociationSpec, EnvironmentSpec, StudySpec

_MOST_CUTS = 8
"""Cuts of a column's levels into high and low ones that are tried."""


@dataclass(frozen=True)
class ColumnCondition:
    """A column of a study as a possible shortcut.

    Attributes:
        column: The column.
        auroc: AUROC of the column alone; NaN where too few rows tell.
        of: The class that it predicts best.
        strong: Whether the AUROC is surely high.
        association: The association of a test condition in which it does not predict the target.
        why: Why no rows have that association, and what to do; empty where some have.
        test_levels: A level for each class that alone has it, where each class has several such levels.
    """

    column: str
    auroc: float
    of: str
    strong: bool
    association: Any = 0
    why: str = ""
    test_levels: tuple[str, ...] = ()

    @property
    def strength(self) -> str:
        """Return how well the column predicts the target, for a reader; empty where that is not known."""
        return "" if math.isnan(self.auroc) else f"AUROC {self.auroc:.2f} for {self.of}"


def column_conditions(table: FactorTable, spec: StudySpec, population: Population, most: int) -> list[ColumnCondition]:
    """Return the factors of a study's images as possible shortcuts, the strongest first.

    Args:
        table: All rows of the images.
        spec: The study, whose split decides which rows are tested.
        population: Its images.
        most: How many are returned.
    """
    from assay.look.cues import cues_of_table

    rows = {row["name"]: row for cue in cues_of_table(table) if (row := cue.row)["kind"] == "factor"}
    conditions = [
        ColumnCondition(name, float(row["value"]), str(row["of"]), bool(row["strong"])) for name, row in rows.items()
    ]
    return [
        _with_association(condition, table, spec, population) for condition in sorted(conditions, key=_weakness)[:most]
    ]


def _weakness(condition: ColumnCondition) -> float:
    return 1.0 if math.isnan(condition.auroc) else -condition.auroc


def _candidates_at_zero(factor: Factor, table: FactorTable) -> list[Any]:
    """Return associations of a factor at strength 0: of several levels one for each cut into high and low ones.

    High are levels in which the last class is commoner, and the first cut is at its share of all rows. Rows are chosen
    from levels that have every class, so there are such levels on both sides.
    """
    if factor.kind != "categorical" or len(factor.levels) < 3:
        return [0]
    counts = _rows_by_level(factor, table)
    share, overall = counts[-1] / np.maximum(counts.sum(axis=0), 1), counts[-1].sum() / max(counts.sum(), 1)
    order = sorted(range(len(factor.levels)), key=share.__getitem__)
    mixed = [level for level in order if counts[:, level].all()] or order
    cuts = sorted(pairwise(mixed), key=lambda sides: abs(share[list(sides)].mean() - overall))
    highs = [sorted(order[order.index(first) :]) for _, first in cuts[:_MOST_CUTS]] or [order[1:]]
    return [{"strength": 0, "high": [factor.levels[level] for level in high]} for high in highs]


def _rows_by_level(factor: Factor, table: FactorTable) -> Int[np.ndarray, "classes levels"]:
    """Return the rows of each class and level."""
    level = table.columns[factor.name].astype(np.int64)
    counts = np.zeros((len(table.classes), len(factor.levels)), dtype=np.int64)
    np.add.at(counts, (table.target[level >= 0], level[level >= 0]), 1)
    return counts


def _with_association(
    condition: ColumnCondition, table: FactorTable, spec: StudySpec, population: Population
) -> ColumnCondition:
    """Return the condition with the first association whose rows can be chosen, or why there is none."""
    column, why, test_levels = condition.column, "", tuple[str, ...]()
    for association in _candidates_at_zero(table.factor(column), table):
        try:
            _require_rows(column, association, spec, population)
        except AssociationError:
            why = why or _why_refused(column, table)
            test_levels = _levels_of_one_class(table.factor(column), table)
        except AssayError as error:
            why = why or str(error)
        else:
            return replace(condition, association=association)
    return replace(condition, why=why, test_levels=test_levels)


def _require_rows(column: str, association: Any, spec: StudySpec, population: Population) -> None:
    """Choose the rows of a test condition for each seed and fold. Raises as the environment of a scene does."""
    test = EnvironmentSpec(association={column: AssociationSpec.model_validate(association)})
    for seed in range(spec.first_seed, spec.first_seed + spec.seeds):
        for fold in range(population.folds):
            population.scene({"neutral": test}, seed, fold).environment("neutral")


def _why_refused(column: str, table: FactorTable) -> str:
    """Return why no rows are without an association, and what to collect."""
    factor, few = table.factor(column), "too few images in which it misleads"
    if len(np.unique(table.target)) == 1:
        return f"all images are of class {table.classes[int(table.target[0])]}, which no column can predict"
    if factor.kind == "continuous":
        return f"{few}: collect images of every class that are alike in {column}"
    counts = _rows_by_level(factor, table)
    if ((counts > 0).sum(axis=0) < 2).all():
        few = f"no image in which it misleads, since each {column} has one class"
    return f"{few}: collect images of every class with the same {column}"


def _levels_of_one_class(factor: Factor, table: FactorTable) -> tuple[str, ...]:
    """Return the rarest level of each class among those that it alone has; empty where a class has no other one."""
    if factor.kind == "continuous":
        return ()
    counts = _rows_by_level(factor, table)
    pure = (counts > 0).sum(axis=0) == 1
    levels = [sorted(np.flatnonzero(pure & (row > 0)).tolist(), key=row.__getitem__) for row in counts]
    return tuple(factor.levels[of[0]] for of in levels) if all(len(of) > 1 for of in levels) else ()
