"""What was measured of a recipe: of its outputs, with patients behind it, or by a probe, one number per seed."""

from __future__ import annotations

import math

import numpy as np

from assay.core.measures import OF_WORST_GROUP
from assay.core.spec import ContrastSpec, RecipePoint
from assay.execution.gather import Gathered
from assay.stats.compare import SeedValues
from assay.stats.estimate import errors_within
from assay.stats.measures import MEASURES
from assay.stats.panel import Panel


def measured(stated: ContrastSpec) -> str:
    """The measure that a contrast names; of the worst group, what is measured of that."""
    return OF_WORST_GROUP.get(stated.measure, stated.measure)


def is_of_panels(stated: ContrastSpec) -> bool:
    """Whether what a contrast compares can be had from the outputs for each image, paired by patient and seed."""
    return measured(stated) in MEASURES and not stated.factor


def panel_for(gathered: Gathered, stated: ContrastSpec, point: RecipePoint) -> Panel | None:
    """What a recipe's kept seeds said about the environment that a contrast names, or about its worst group there."""
    if stated.measure in OF_WORST_GROUP:
        return gathered.worst_group(point, stated.environment, measured(stated))
    return gathered.panel(point, stated.environment)


def why_nothing(gathered: Gathered, stated: ContrastSpec, point: RecipePoint) -> str:
    """Why a recipe has nothing that a contrast could compare."""
    if not gathered.kept_seeds(point):
        return f"no seed of {point.label} was kept"
    of = f"{stated.measure} of {stated.factor}" if stated.factor else stated.measure
    if stated.measure in OF_WORST_GROUP and (
        reason := gathered.why_no_worst(point, stated.environment, measured(stated))
    ):
        return f"{of} of {point.label}: {reason}"
    return f"{of} was not measured of {point.label}"


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
