"""What each stated contrast of a study could detect, before anything has run."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from assay.core.dose import dose_axis
from assay.core.measures import range_of
from assay.core.spec import StudySpec
from assay.execution.contrasts import Pair, pairs
from assay.shifts.population import Population
from assay.stats.format import count
from assay.stats.measures import MEASURES
from assay.stats.power import Assumptions, planned, rests_on
from assay.stats.rows import DOSES, MATCHED


def detectable_differences(spec: StudySpec, population: Population) -> list[dict[str, str | float | None]]:
    """One entry per comparison: its statement, its measure, and the difference that it finds with 80 % power.

    `detectable` is a number, or None with `reason` where the plan cannot say: a measure whose patients or range are not
    known beforehand, too few patients, fewer than 3 seeds. The assumptions are `stats.power.Assumptions`.
    """
    family = [pair for stated in spec.contrasts for pair in pairs(stated, spec.points, tuple(spec.axes))]
    return [_entry(pair, spec, population, len(family)) for pair in family]


def _entry(pair: Pair, spec: StudySpec, population: Population, family: int) -> dict[str, str | float | None]:
    stated = pair.stated
    entry: dict[str, str | float | None] = {
        "statement": pair.statement,
        "measure": stated.measure,
        "detectable": None,
        "reason": "",
    }
    if stated.measure not in MEASURES:
        return {**entry, "reason": "how far it varies is not known before it has run"}
    counts = _test_patients(pair, population, stated.environment)
    positives, negatives = counts[-1], sum(counts[:-1])
    if rests_on(stated.measure, positives, negatives) is None:
        return {**entry, "reason": "a measure whose variance no plan knows: known once it has run"}
    difference = planned(spec.seeds, positives, negatives, stated.measure, Assumptions(), family, population.folds)
    if stated.at in (DOSES, MATCHED):
        doses = len({point.coordinates[dose_axis(pair.a)] for point in pair.a})
        difference *= math.sqrt(1 + 1 / max(1, doses - 1))  # a mean over doses less one value, as if independent
    if math.isnan(difference):
        return {**entry, "reason": f"{count(spec.seeds, 'seed')}, {counts} patients by class: too few for an interval"}
    low, high = range_of(stated.measure)
    if difference > (high - low) * (2 if stated.at in (DOSES, MATCHED) else 1):  # one may rise as the other falls
        return {**entry, "reason": "not even the greatest difference there can be: too few patients or seeds"}
    return {**entry, "detectable": round(difference, 3)}


def _test_patients(pair: Pair, population: Population, environment: str) -> Sequence[int]:
    """Patients per class in the test environment, all folds together."""
    tests = pair.a[0].tests
    tables = [population.scene(tests, 0, fold).environment(environment).table for fold in range(population.folds)]
    return [
        sum(len(np.unique(table.patient[table.target == k])) for table in tables)
        for k in range(len(population.classes))
    ]
