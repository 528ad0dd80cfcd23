"""What each recipe outlines against its false alarms, with the region in which both may lie."""

from __future__ import annotations

import json

from assay.core.measures import quiet_of
from assay.core.spec import RecipePoint
from assay.execution.gather import Gathered
from assay.stats.joint import joint
from assay.stats.panel import Evaluated, evaluate
from assay.stats.quiet import OVERLAP
from assay.store.files import Row


def trade_rows(gathered: Gathered) -> list[Row]:
    """Rows of `schema.TRADES`: Dice and the false alarms that the study compares first.

    Each in the environment that a contrast names, else in the first in which a recipe has it; none where none does.
    """
    spec = gathered.plan.spec
    measured = OVERLAP, quiet_of(one.measure for one in spec.contrasts)
    places = [_place(gathered, measure) for measure in measured]
    if not all(places):
        return []
    rows: list[Row] = []
    for point in spec.points:
        across, up = (_evaluated(gathered, point, *shown) for shown in zip(measured, places, strict=True))
        if across is None or up is None:
            continue
        found = joint(across, up)
        rows.append(
            {
                "recipe": point.label,
                "coordinates": json.dumps(dict(point.coordinates)),
                "across": measured[0],
                "across_environment": places[0],
                "up": measured[1],
                "up_environment": places[1],
                "correlation": found.correlation,
                "df": found.df,
                "region": json.dumps(found.outline.round(6).tolist()),
                "seeds": len(across.seeds),
                "reason": found.reason,
            }
        )
    return rows


def _place(gathered: Gathered, measure: str) -> str:
    """The environment in which a measure is shown; empty where no recipe has a value."""
    spec = gathered.plan.spec
    stated = [one.environment for one in spec.contrasts if one.measure == measure]
    tests = [name for point in spec.points for name in point.tests]
    for name in dict.fromkeys((*stated, *tests)):
        found = (_evaluated(gathered, point, measure, name) for point in spec.points)
        if any(one is not None and not one.reason for one in found):
            return name
    return ""


def _evaluated(gathered: Gathered, point: RecipePoint, measure: str, environment: str) -> Evaluated | None:
    panel = gathered.panel(point, environment) if environment in point.tests else None
    return evaluate(panel, measure) if panel is not None and panel.maps else None
