"""What came of the doses: how many images of each class bore the confounder in training, over all seeds."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool

from assay.core.dose import Borne, dose_axis, dosed_factors
from assay.core.hashing import canonical_json
from assay.core.spec import RecipePoint, StudySpec
from assay.core.types import FactorTable
from assay.shifts.association import tied
from assay.shifts.population import Population
from assay.store.files import Row


def dose_count_rows(spec: StudySpec, population: Population) -> list[Row]:
    """Rows of `schema.DOSE_COUNTS`: of each dose of each confounder and amount of data, whatever else a recipe is; of
    the first fold. None of a confounder that is a number or ordinal (see `bears`).
    """
    axis = dose_axis(spec.points)
    factors = dosed_factors(spec.points, axis) if axis else {}
    seen: dict[str, tuple[RecipePoint, Borne]] = {}
    for point in spec.points:
        if point.label in factors:
            seen.setdefault(canonical_json([factors[point.label], point.train.for_training()]), (
                point, factors[point.label]
            ))  # fmt: skip
    return [row for point, factor in seen.values() for row in _counted(spec, population, point, *factor)]


def _counted(
    spec: StudySpec, population: Population, point: RecipePoint, factor: str, high: tuple[str, ...]
) -> Iterator[Row]:
    seeds = range(spec.first_seed, spec.first_seed + spec.seeds)
    tables = [population.training(point.train, seed)[0].table for seed in seeds]
    borne = [bears(table, factor, high) for table in tables]
    for code, name in enumerate(population.classes):
        there = [int(np.sum(table.target == code)) for table in tables]
        of = zip(borne, tables, strict=True)
        bearing = [int(np.sum(rows & (table.target == code))) for rows, table in of if rows is not None]
        if not bearing:
            return
        yield {
            "recipe": point.label,
            "coordinates": json.dumps(dict(point.coordinates)),
            "factor": factor,
            "target": name,
            "least": min(bearing),
            "most": max(bearing),
            "fewest_images": min(there),
            "most_images": max(there),
        }


def bears(table: FactorTable, factor: str, high: tuple[str, ...]) -> Bool[np.ndarray, "n"] | None:
    """Which rows bear a confounder: marked, or with a high level of the factor; none where it is not in the table.

    None for a number or an ordinal factor: every row has more or less of it, and none bears it.
    """
    if factor not in table.columns:
        return np.zeros(len(table), dtype=bool)
    found = tied(table.factor(factor), high)
    return found.numbers(table.columns[factor]) > 0 if found.kind == "categorical" else None
