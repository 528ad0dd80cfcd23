"""How often networks of a recipe failed: an outcome by itself, and what an equivalence leaves open."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from assay.spec.schema import ENVIRONMENT, RecipePoint
from assay.stats.collapse import collapse_rate, contrast_collapse
from assay.stats.doubts import failed_networks, failure_columns
from assay.stats.rows import ResultKey, result_key
from assay.store.files import Row
from assay.study.families import PlannedComparison, study_comparisons
from assay.study.gathered import Records

# How often each recipe collapsed: an outcome with its own interval, and its stated contrasts.


def collapse_rows(records: Records) -> list[Row]:
    """A row per recipe, then one per comparison of the study: rows of `schema.COLLAPSES`.

    Comparisons at matched fit or along the doses are over several recipes a side and have no rate of their own.
    """
    spec = records.plan.spec
    rows = [_failure_rate(records, point) for point in spec.points]
    compared = dict.fromkeys(
        (sides.a[0].label, sides.b[0].label)
        for pair in study_comparisons(spec)
        if pair.contrast.at == "equal-budget"
        for sides in pair.single_comparisons
    )
    by_label = {point.label: point for point in spec.points}
    return [*rows, *(_difference(records, by_label[a], by_label[b]) for a, b in compared)]


def _failure_rate(records: Records, point: RecipePoint) -> Row:
    failed = records.lost_seeds(point)
    rate = collapse_rate(len(failed), len(_ended_seeds(records, point)))
    numbers = {"seeds": rate.trials, "rate": rate.value, "low": rate.low, "high": rate.high}
    return {**_failed_row(records, point, failed), **numbers, "against": "", "p": math.nan, "min_p": math.nan}


def _difference(records: Records, a: RecipePoint, b: RecipePoint) -> Row:
    ends = [_ended_seeds(records, point) for point in (a, b)]
    seeds = [seed for seed in ends[0] if seed in ends[1]]
    difference = contrast_collapse(*(np.array([side[seed] for seed in seeds], dtype=bool) for side in ends))
    numbers = {"seeds": difference.seeds, "rate": difference.value, "low": difference.low, "high": difference.high}
    counted = _failed_row(records, a, [seed for seed in seeds if ends[0][seed]])
    return {**counted, **numbers, "against": b.label, "p": difference.p, "min_p": difference.min_p}


def _ended_seeds(records: Records, point: RecipePoint) -> dict[int, bool]:
    """Seed -> whether it was lost, for those whose folds all came to an end, and those that one fold decided."""
    failed, seeds_kept = records.lost_seeds(point), records.kept_seeds(point)
    return {seed: seed in failed for seed in records.by_point[point.label] if seed in failed or seed in seeds_kept}


def _failed_row(records: Records, point: RecipePoint, seeds: list[int]) -> Row:
    """Which of a recipe's lost seeds diverged; those that did in no fold collapsed."""
    diverged = sum("diverged" in _statuses(records, point, seed) for seed in seeds)
    return {**point.columns, "collapsed": len(seeds) - diverged, "diverged": diverged}


def _statuses(records: Records, point: RecipePoint, seed: int) -> Iterator[str]:
    trials = records.by_point[point.label][seed]
    return (records.trials[trial.id]["status"] for trial in trials if trial.id in records.trials)


# How many networks failed on either side of a comparison. A study of few seeds can show that recipes are equivalent
# whose networks fail in one seed of ten, and cannot know it: networks that never failed here are compared.


def with_failures(contrasts: Sequence[Row], records: Records, seeds: Sequence[Row]) -> list[dict[str, Any]]:
    """Add to comparisons how many seeds of either side failed, and the greatest share that this allows.

    A network failed if its training collapsed or diverged, or if its value fell far below the others of its recipe
    (see `failed_networks`). The former are left out of the comparison, the latter are in it.

    Args:
        contrasts: Rows of `schema.CONTRASTS`.
        records: The records.
        seeds: Values of each seed in their places.
    """
    fallen = failed_networks(seeds, contrasts)
    by_id = {pair.id: pair for pair in study_comparisons(records.plan.spec)}
    return [{**row, **_failure_columns_of(row, by_id[row["id"]], records, fallen)} for row in contrasts]


def _failure_columns_of(
    row: Row, pair: PlannedComparison, records: Records, fallen: Mapping[ResultKey, set[tuple[str, Any]]]
) -> Row:
    measure, factor, layer, environment = result_key(row)
    environments = pair.contrast.mean_over.get(ENVIRONMENT, (environment,))
    fell = set[tuple[str, Any]]().union(*(fallen.get((measure, factor, layer, name), ()) for name in environments))
    failed: list[list[bool]] = []
    for side in ("a", "b"):
        by_seed: dict[int, bool] = {}
        for point in {
            point.label: point for sides in pair.single_comparisons for point in getattr(sides, side)
        }.values():
            for seed, is_lost in _ended_seeds(records, point).items():
                by_seed[seed] = by_seed.get(seed, False) or is_lost or (point.label, seed) in fell
        failed.append(list(by_seed.values()))
    return failure_columns(*failed)
