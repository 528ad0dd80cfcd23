"""What a segmentation does over all thresholds: false alarms over threshold and area, and the free response."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool

from assay.core.maps import MapGrid
from assay.core.spec import RecipePoint
from assay.execution.gather import Gathered
from assay.stats import maps
from assay.stats.panel import Panel
from assay.store.files import Row

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

    Logits are no common scale of seeds, nor of folds, so that each stands where it has as many as the others.
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
    for point in gathered.plan.spec.points:
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
