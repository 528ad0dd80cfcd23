"""What a probe measured of a recipe, one number per seed."""

from __future__ import annotations

import math

import numpy as np

from assay.core.measures import OF_WORST_GROUP, WORST_GROUP
from assay.core.spec import ContrastSpec, RecipePoint
from assay.execution.gather import Gathered
from assay.stats.compare import SeedValues
from assay.stats.estimate import errors_within


def seed_values(gathered: Gathered, point: RecipePoint, stated: ContrastSpec) -> SeedValues:
    """The measurement that a contrast names. Where a probe measures in groups, the trained network's is meant.
    The worst group is one for all seeds of a recipe, and may be another of another recipe.

    A seed of which the measurement is undefined has NaN, so that the comparison is undefined as well.
    """
    wanted = (OF_WORST_GROUP.get(stated.measure, stated.measure), stated.environment, stated.factor, stated.layer)
    groups = (WORST_GROUP,) if stated.measure in OF_WORST_GROUP else ("", "trained")
    for (measure, environment, factor, level, layer, group), by_seed in gathered.scalars[point.label].items():
        if (measure, environment, factor, layer) == wanted and level == "" and group in groups:
            return SeedValues(
                np.array([row["value"] for row in by_seed.values()], dtype=np.float64),
                np.array(list(by_seed), dtype=np.int64),
                errors_within([row["standard_error"] for row in by_seed.values()]),
                next((row["reason"] for row in by_seed.values() if math.isnan(row["value"])), ""),
            )
    return SeedValues(np.zeros(0), np.zeros(0, dtype=np.int64))
