"""The half-dose of every recipe and confounder, from the panels of its doses."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict

from assay.core.dose import dose_axis
from assay.core.spec import RecipePoint
from assay.execution.gather import Gathered
from assay.stats.dose_response import Dose
from assay.stats.half_dose import half_dose
from assay.stats.measures import MEASURES
from assay.stats.rows import DOSES, MATCHED
from assay.store.files import Row

ByDose = Mapping[float, RecipePoint]


def half_dose_rows(gathered: Gathered) -> list[Row]:
    """Rows of `schema.HALF_DOSES`; none in a study that has no axis of doses with 0 and another."""
    spec = gathered.plan.spec
    axis = dose_axis(spec.points)
    if not axis:
        return []
    return [
        {**place(points, axis), "axis": axis, "measure": measure, "environment": environment, **found}
        for points in by_recipe(spec.points, axis)
        for environment in points[0.0].tests
        for measure, found in _measured(gathered, points, environment)
    ]


def by_recipe(points: Sequence[RecipePoint], axis: str) -> list[ByDose]:
    """The doses of every recipe that was trained at p = 0 and another, ascending."""
    found: dict[tuple[tuple[str, str], ...], dict[float, RecipePoint]] = {}
    for point in points:
        rest = tuple(item for item in point.coordinates.items() if item[0] != axis)
        found.setdefault(rest, {})[float(point.coordinates[axis])] = point
    return [dict(sorted(doses.items())) for doses in found.values() if 0.0 in doses and len(doses) > 1]


def place(points: ByDose, axis: str) -> Row:
    """What a recipe is called without its dose."""
    rest = {name: value for name, value in points[0.0].coordinates.items() if name != axis}
    return {"recipe": " · ".join(rest.values()) or points[0.0].recipe.loss.label, "coordinates": json.dumps(rest)}


def _measured(gathered: Gathered, points: ByDose, environment: str) -> Iterator[tuple[str, Row]]:
    """Measure -> its half-dose, for AUROC and what the study's dose-responses compare."""
    panels = {p: gathered.panel(point, environment) for p, point in points.items()}
    kept = [Dose(p, panel) for p, panel in panels.items() if panel is not None]
    if len(kept) < len(points):
        lost = next(points[p].label for p, panel in panels.items() if panel is None)
        nothing = dict.fromkeys(("value", "low", "high", "margin", "chance"), math.nan)
        undefined = {**nothing, "greatest": max(points), "text": "undefined", "reason": f"no seed of {lost} was kept"}
        yield from ((measure, undefined) for measure in measures(gathered))
        return
    target, classes = kept[0].panel.target, kept[0].panel.scores.shape[2]
    for measure in measures(gathered):
        chance = MEASURES[measure].chance(target, classes)
        if not math.isnan(chance):
            found = half_dose(kept, measure, chance)
            yield measure, {**asdict(found), "text": found.text, "chance": chance}


def measures(gathered: Gathered) -> list[str]:
    """AUROC, and those of the measures compared along doses of which more is better."""
    spec = gathered.plan.spec
    panels = (gathered.panel(point, environment) for point in spec.points for environment in point.tests)
    classes = next((panel.scores.shape[2] for panel in panels if panel is not None), 2)
    stated = [contrast.measure for contrast in spec.contrasts if contrast.at in (DOSES, MATCHED)]
    fit = [name for name in stated if name in MEASURES and MEASURES[name].direction == "higher"]
    return list(dict.fromkeys([*fit, "auroc" if classes == 2 else "auroc-macro"]))
