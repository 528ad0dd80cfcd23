"""Tables of segmentation results: operating points and maps."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool

from assay.analysis.results import Gathered
from assay.core.map_grid import MapGrid
from assay.core.measures import quiet_of
from assay.spec.schema import RecipePoint
from assay.stats import maps
from assay.stats.outcomes import joint
from assay.stats.panel import Evaluated, Panel, evaluate
from assay.store.files import Row

# What a segmentation does over all thresholds: false alarms over threshold and area, and the free response.

_GRID = MapGrid()
_THRESHOLDS = np.array(_GRID.thresholds)


def plane_rows(gathered: Gathered) -> list[Row]:
    """Rows of `schema.PLANES`, of environments that hold lesion-free images; means over seeds."""
    return [
        {**where, "threshold": float(threshold), "area": area, "value": float(rate[t, a])}
        for point, environment, panel in _panels(gathered)
        if (rate := _rate(panel)) is not None
        for where in [_where(point, environment, panel, panel.maps["truth"][0] == 0)]
        for t, threshold in enumerate(_THRESHOLDS)
        for a, area in enumerate(_GRID.areas)
    ]


def free_response_rows(gathered: Gathered) -> list[Row]:
    """Rows of `schema.FREE_RESPONSE`, of environments that hold lesions; means over seeds at equal false positives.

    Logits are no common scale of seeds, nor of folds, so each seed's threshold is the one with as many false positives
    as the others.
    """
    rows: list[Row] = []
    for point, environment, panel in _panels(gathered):
        seeds = [
            maps.free_responses(one.maps["stray"], one.maps["lesion_score"], one.maps["floor"], _THRESHOLDS, one.fold)
            for one in (panel.answers(position)[0] for position in range(len(panel.scores)))
        ]
        most = np.unique(np.concatenate([one.curve.false_positives for folds in seeds for one in folds]))
        sensitivity = np.mean([maps.sensitivity_over(folds, most) for folds in seeds], axis=0)
        where = _where(point, environment, panel, np.ones(len(panel.target), dtype=bool))
        rows += [
            {**where, "false_positives": float(false), "sensitivity": float(found)}
            for false, found in zip(most, sensitivity, strict=True)
            if np.isfinite(found)
        ]
    return rows


def _rate(panel: Panel) -> np.ndarray | None:
    """False-positive rate [thresholds, areas] of lesion-free images, the mean over seeds; None without such images."""
    rates: list[np.ndarray] = []
    for position in range(len(panel.scores)):
        kept = panel.answers(position)[0].maps
        free = kept["truth"] == 0
        if not free.any():
            return None
        rates.append(maps.false_positives(kept["area_score"][free], _THRESHOLDS).mean(axis=0))
    return np.mean(rates, axis=0)


def _panels(gathered: Gathered) -> Iterator[tuple[RecipePoint, str, Panel]]:
    for point in gathered.plan.spec.points if gathered.plan.spec.task == "segmentation" else ():
        for environment in point.tests:
            panel = gathered.panel(point, environment)
            if panel is not None and panel.maps:
                yield point, environment, panel


def _where(point: RecipePoint, environment: str, panel: Panel, among: Bool[np.ndarray, " n"]) -> Row:
    return {
        "recipe": point.label,
        "coordinates": json.dumps(dict(point.coordinates)),
        "environment": environment,
        "seeds": len(panel.scores),
        "patients": len(np.unique(panel.patient[among])),
        "images": int(among.sum()),
    }


# What each recipe outlines against its false alarms, with the region in which both may lie.


def trade_rows(gathered: Gathered) -> list[Row]:
    """Rows of `schema.TRADES`: Dice and the false alarms that the study compares first.

    Each in the environment that a contrast names, else in the first in which a recipe has it; none where none does.
    """
    spec = gathered.plan.spec
    if spec.task != "segmentation":
        return []
    measured = "dice", quiet_of(one.measure for one in spec.contrasts)
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
                "reason": str(found.reason),
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
