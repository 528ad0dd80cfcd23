"""How often each recipe collapsed: an outcome with its own interval, and its stated contrasts."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator

import numpy as np

from assay.core.spec import RecipePoint
from assay.execution.contrasts import pairs
from assay.execution.gather import Gathered
from assay.stats.collapse import collapse_rate, contrast_collapse
from assay.store.files import Row


def collapse_rows(gathered: Gathered) -> list[Row]:
    """A row per recipe, then one per comparison of the study: rows of `schema.COLLAPSES`.

    Comparisons at matched fit or along the doses are over several recipes a side and have no rate of their own.
    """
    spec = gathered.plan.spec
    rows = [_rate(gathered, point) for point in spec.points]
    compared = dict.fromkeys(
        (pair.a[0].label, pair.b[0].label)
        for stated in spec.contrasts
        if stated.at == "equal-budget"
        for pair in pairs(stated, spec.points, tuple(spec.axes))
    )
    by_label = {point.label: point for point in spec.points}
    return [*rows, *(_difference(gathered, by_label[a], by_label[b]) for a, b in compared)]


def _rate(gathered: Gathered, point: RecipePoint) -> Row:
    lost = gathered.lost_seeds(point)
    rate = collapse_rate(len(lost), len(_ended(gathered, point)))
    numbers = {"seeds": rate.trials, "rate": rate.value, "low": rate.low, "high": rate.high}
    return {**_lost(gathered, point, lost), **numbers, "against": "", "p": math.nan, "min_p": math.nan}


def _difference(gathered: Gathered, a: RecipePoint, b: RecipePoint) -> Row:
    ends = [_ended(gathered, point) for point in (a, b)]
    seeds = [seed for seed in ends[0] if seed in ends[1]]
    found = contrast_collapse(*(np.array([side[seed] for seed in seeds], dtype=bool) for side in ends))
    numbers = {"seeds": found.seeds, "rate": found.value, "low": found.low, "high": found.high}
    counted = _lost(gathered, a, [seed for seed in seeds if ends[0][seed]])
    return {**counted, **numbers, "against": b.label, "p": found.p, "min_p": found.min_p}


def _ended(gathered: Gathered, point: RecipePoint) -> dict[int, bool]:
    """Seed -> whether it was lost, for those whose folds all came to an end, and those that one fold decided."""
    lost, kept = gathered.lost_seeds(point), gathered.kept_seeds(point)
    return {seed: seed in lost for seed in gathered.by_point[point.label] if seed in lost or seed in kept}


def _lost(gathered: Gathered, point: RecipePoint, seeds: list[int]) -> Row:
    """Which of a recipe's lost seeds diverged; those that did in no fold collapsed."""
    diverged = sum("diverged" in _statuses(gathered, point, seed) for seed in seeds)
    return {
        "recipe": point.label,
        "coordinates": json.dumps(dict(point.coordinates)),
        "collapsed": len(seeds) - diverged,
        "diverged": diverged,
    }


def _statuses(gathered: Gathered, point: RecipePoint, seed: int) -> Iterator[str]:
    trials = gathered.by_point[point.label][seed]
    return (gathered.records[trial.id]["status"] for trial in trials if trial.id in gathered.records)
