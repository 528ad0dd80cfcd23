"""What a probe measured of a recipe, one number per seed."""

from __future__ import annotations

import math

import numpy as np

from assay.core.spec import ContrastSpec, RecipePoint
from assay.execution.gather import Gathered
from assay.stats.compare import SeedValues
from assay.stats.estimate import errors_within


def seed_values(gathered: Gathered, point: RecipePoint, stated: ContrastSpec) -> SeedValues:
    """The measurement that a contrast names. Where a probe measures in groups, the trained network's is meant.

    A seed of which the measurement is undefined has NaN, so that the comparison is undefined as well.
    """
    wanted = (stated.measure, stated.environment, stated.factor, stated.layer)
    for (measure, environment, factor, level, layer, group), by_seed in gathered.scalars[point.label].items():
        if (measure, environment, factor, layer) == wanted and level == "" and group in ("", "trained"):
            return SeedValues(
                np.array([row["value"] for row in by_seed.values()], dtype=np.float64),
                np.array(list(by_seed), dtype=np.int64),
                errors_within([row["standard_error"] for row in by_seed.values()]),
                next((row["reason"] for row in by_seed.values() if math.isnan(row["value"])), ""),
            )
    return SeedValues(np.zeros(0), np.zeros(0, dtype=np.int64))
