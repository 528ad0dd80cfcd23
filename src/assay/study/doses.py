"""Tables of dose-response studies: changes, counts and half-effect doses."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import reduce

import numpy as np
from jaxtyping import Bool

from assay.core.files import canonical_json
from assay.core.measures import direction_of
from assay.core.reasons import NOTHING, Code, Reason, because
from assay.core.types import FactorTable
from assay.shifts.association import tied
from assay.shifts.population import Population
from assay.spec.environments import Borne, dose_axis, dosed_factors
from assay.spec.schema import RecipePoint, StudySpec
from assay.stats.compare import untested
from assay.stats.doses import Dose, half_dose, outcome
from assay.stats.measures import COMPUTED
from assay.stats.rows import DOSES, MATCHED
from assay.store.files import Row
from assay.study.gathered import Gathered

# What came of the doses: how many images of each class bore the confounder in training, over all seeds.


def dose_count_rows(spec: StudySpec, population: Population) -> list[Row]:
    """Rows of `data_tables.DOSE_COUNTS`: of each dose of each confounder and amount of data, whatever else a recipe is;
    of the first fold. None of a confounder that is a number or ordinal (see `bears`).
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
            **point.columns,
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


# The half-dose of every recipe and confounder, from the panels of its doses.

ByDose = Mapping[float, RecipePoint]


def half_dose_rows(gathered: Gathered) -> list[Row]:
    """Rows of `schema.HALF_DOSES`; none in a study that has no axis of doses with 0 and another."""
    rows: list[Row] = []
    for where, doses, kept, lost in _responses(gathered):
        for measure in measures(gathered):
            row = {**where, "measure": measure}
            if lost:
                nothing = dict.fromkeys(("value", "low", "high", "margin", "chance"), math.nan)
                rows.append({**row, **nothing, "greatest": max(doses), "reason": str(lost)})
                continue
            chance = COMPUTED[measure].chance(kept[0].panel.target, kept[0].panel.scores.shape[2])
            if not math.isnan(chance):
                found = half_dose(kept, measure, chance)
                rows.append({**row, **asdict(found), "chance": chance, "reason": str(found.reason)})
    return rows


def _responses(gathered: Gathered) -> Iterator[tuple[Row, ByDose, list[Dose], Reason]]:
    """Yield each recipe in each environment: its columns, its doses, their panels, and why there is none of one."""
    points = gathered.plan.spec.points
    axis = dose_axis(points)
    for doses in by_recipe(points, axis) if axis else ():
        for environment in doses[0.0].tests:
            panels = {p: gathered.panel(point, environment) for p, point in doses.items()}
            lost = [doses[p].label for p, panel in panels.items() if panel is None]
            why = because(Code.NO_SEED_OF, recipe=lost[0]) if lost else NOTHING
            kept = [Dose(p, panel) for p, panel in panels.items() if panel is not None]
            yield {**place(doses, axis), "axis": axis, "environment": environment}, doses, kept, why


def by_recipe(points: Sequence[RecipePoint], axis: str) -> list[ByDose]:
    """The doses of every recipe that was trained at p = 0 and another, ascending."""
    found: dict[tuple[tuple[str, str], ...], dict[float, RecipePoint]] = {}
    for point in points:
        rest = tuple(item for item in point.coordinates.items() if item[0] != axis)
        found.setdefault(rest, {})[float(point.coordinates[axis])] = point
    return [dict(sorted(doses.items())) for doses in found.values() if 0.0 in doses and len(doses) > 1]


def place(points: ByDose, axis: str) -> Row:
    """A recipe's label without its dose."""
    rest = {name: value for name, value in points[0.0].coordinates.items() if name != axis}
    return {"recipe": " · ".join(rest.values()) or points[0.0].recipe.loss.label, "coordinates": json.dumps(rest)}


def measures(gathered: Gathered) -> list[str]:
    """AUROC, and those of the measures compared along doses of which more is better."""
    spec = gathered.plan.spec
    panels = (gathered.panel(point, environment) for point in spec.points for environment in point.tests)
    classes = next((panel.scores.shape[2] for panel in panels if panel is not None), 2)
    stated = [contrast.measure for contrast in spec.contrasts if contrast.at in (DOSES, MATCHED)]
    fit = [name for name in stated if name in COMPUTED and direction_of(name) == "higher"]
    return list(dict.fromkeys([*fit, "auroc" if classes == 2 else "auroc-macro"]))


# What the doses change of every recipe and confounder, from the panels of its doses.


def dose_change_rows(gathered: Gathered) -> list[Row]:
    """Rows of `schema.DOSE_CHANGES`; none in a study that has no axis of doses with 0 and another."""
    rows: list[Row] = []
    for where, doses, kept, lost in _responses(gathered):
        for measure in measures(gathered):
            found = untested(lost) if lost else outcome(kept, measure)
            seeds: list[int] = [] if lost else reduce(np.intersect1d, [dose.panel.numbers for dose in kept]).tolist()
            rows.append({
                **where,
                "doses": json.dumps([p for p in doses if p]),
                "measure": measure,
                **{name: getattr(found, name) for name in ("value", "low", "high", "seeds", "patients")},
                "per_seed": json.dumps(dict(zip(seeds, found.per_seed.tolist(), strict=True))),
                "reason": str(found.reason),
            })  # fmt: skip
    return rows
