"""What the doses change of every recipe and confounder, from the panels of its doses."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from functools import reduce

import numpy as np

from assay.core.dose import dose_axis
from assay.execution.gather import Gathered
from assay.execution.half_doses import ByDose, by_recipe, measures, place
from assay.stats.dose_response import Dose, outcome
from assay.store.files import Row


def dose_change_rows(gathered: Gathered) -> list[Row]:
    """Rows of `schema.DOSE_CHANGES`; none in a study that has no axis of doses with 0 and another."""
    spec = gathered.plan.spec
    axis = dose_axis(spec.points)
    if not axis:
        return []
    return [
        {**place(points, axis), "axis": axis, "doses": _above_none(points), "environment": environment, **found}
        for points in by_recipe(spec.points, axis)
        for environment in points[0.0].tests
        for found in _measured(gathered, points, environment)
    ]


def _above_none(points: ByDose) -> str:
    return json.dumps([p for p in points if p])


def _measured(gathered: Gathered, points: ByDose, environment: str) -> Iterator[Row]:
    panels = {p: gathered.panel(point, environment) for p, point in points.items()}
    kept = [Dose(p, panel) for p, panel in panels.items() if panel is not None]
    if len(kept) < len(points):
        lost = next(points[p].label for p, panel in panels.items() if panel is None)
        nothing = dict.fromkeys(("value", "low", "high"), math.nan)
        for measure in measures(gathered):
            yield {"measure": measure, **nothing, "seeds": 0, "patients": 0, "per_seed": "{}",
                   "reason": f"no seed of {lost} was kept"}  # fmt: skip
        return
    seeds = reduce(np.intersect1d, [dose.panel.numbers for dose in kept])
    for measure in measures(gathered):
        found = outcome(kept, measure)
        yield {
            "measure": measure,
            "value": found.value,
            "low": found.low,
            "high": found.high,
            "seeds": found.seeds,
            "patients": found.patients,
            "per_seed": json.dumps(dict(zip(seeds.tolist(), found.per_seed.tolist(), strict=True))),
            "reason": found.reason,
        }
