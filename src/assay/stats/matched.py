"""Matched fit: two recipes compared where they fit the training distribution equally well.

Each recipe was trained at several budgets, each with its own full schedule, and each model has a yardstick: the
log-loss of a refitted logistic head on validation rows of the training distribution. Seed by seed the measure is read
off at one level of the yardstick, by linear interpolation between the two neighbouring budgets, and compared there.

The level is set for each seed: the lowest log-loss that both recipes come down to with it. Seeds draw training rows
of their own, some of which are harder than others, so that one level for all may be reached by none of a study's
budgets; what has to be equal is the fit of the two models that are compared. A given level holds for every seed. A
seed reaches a level when its smallest budget lies at or above it and a later one at or below; where the yardstick
rises again with more training, the first crossing counts; a seed that does not is left out. Levels and weights are
taken as fixed: they come from validation rows, which share no patient with the test rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from assay.stats.compare import Contrast, compare
from assay.stats.panel import Evaluated, Panel, combine, evaluate


@dataclass(frozen=True)
class Budget:
    """One budget of a recipe: its panel, and the yardstick of each of the panel's seeds (log-loss, nats)."""

    panel: Panel
    yardstick: Float[np.ndarray, " s"]

    def __post_init__(self) -> None:
        if self.yardstick.shape != (len(self.panel.scores),):
            seeds = len(self.panel.scores)
            raise ValueError(f"yardstick has shape {self.yardstick.shape}: give one log-loss for each of {seeds} seeds")


Curve = Sequence[Budget]
"""A recipe's budgets, smallest first."""


@dataclass(frozen=True)
class Matched:
    """A contrast at equal fit, the mean level of the yardstick, and the reason when no level is reached by both."""

    contrast: Contrast | None
    level: float
    reason: str = ""


def matched_fit(a: Curve, b: Curve, name: str, margin: float | None = None, level: float | None = None) -> Matched:
    """The contrast a - b at an equal yardstick, over the seeds that both kept at every budget and that reach the level.

    Undefined when no seed does.
    """
    seeds = _seeds([*a, *b])
    if not len(seeds):
        return Matched(None, float("nan"), "no seed was kept by both recipes at every budget")
    yardsticks = [np.stack([_of_seeds(budget, seeds) for budget in curve]) for curve in (a, b)]
    levels = seed_levels(yardsticks, level)
    reached = np.isfinite(levels)
    if not reached.any():
        return Matched(None, float("nan"), _unreached(yardsticks, level))
    seeds, levels = seeds[reached], levels[reached]
    tables = [table[:, reached] for table in yardsticks]
    weights = [np.stack([crossing(*pair) for pair in zip(table.T, levels, strict=True)], axis=1) for table in tables]
    sides = [
        combine([only(evaluate(budget.panel, name), seeds) for budget in curve], weight)
        for curve, weight in zip((a, b), weights, strict=True)
    ]
    every = {int(seed) for budget in [*a, *b] for seed in budget.panel.numbers}
    result = compare(sides, np.array([1.0, -1.0]), margin)
    return Matched(replace(result, left_out=len(every) - len(seeds)), float(levels.mean()))


def seed_levels(yardsticks: Sequence[Float[np.ndarray, "b s"]], level: float | None = None) -> Float[np.ndarray, " s"]:
    """Per seed, the lowest log-loss that all recipes come down to (or the given one); NaN where one does not reach it.

    yardsticks: one table per recipe, its budgets by rows, smallest first.
    """
    deepest = np.max([table.min(axis=0) for table in yardsticks], axis=0)
    shallowest = np.min([table[0] for table in yardsticks], axis=0)
    wanted = deepest if level is None else np.full_like(deepest, level)
    return np.where((deepest <= wanted) & (wanted <= shallowest), wanted, np.nan)


def _unreached(yardsticks: Sequence[np.ndarray], level: float | None) -> str:
    start = ", ".join(f"{float(table[0].mean()):.2g}" for table in yardsticks)
    end = ", ".join(f"{float(table.min(axis=0).mean()):.2g}" for table in yardsticks)
    asked = "" if level is None else f" (asked for {level:.2g})"
    return (
        f"no log-loss is reached by both: they start at {start} with the smallest budget and come down to {end}{asked}"
    )


def crossing(yardstick: Float[np.ndarray, " b"], level: float) -> Float[np.ndarray, " b"]:
    """Weights over budgets, summing to 1, that interpolate to where the yardstick first comes down to the level."""
    weights = np.zeros(len(yardstick))
    after = int(np.flatnonzero(yardstick <= level)[0])
    if after == 0 or yardstick[after] == level:
        weights[after] = 1.0
        return weights
    before = after - 1
    weights[after] = (yardstick[before] - level) / (yardstick[before] - yardstick[after])
    weights[before] = 1 - weights[after]
    return weights


def only(part: Evaluated, seeds: Int[np.ndarray, " s"]) -> Evaluated:
    """The evaluation of some seeds, in that order."""
    rows = np.array([np.flatnonzero(part.seeds == seed)[0] for seed in seeds], dtype=np.int64)
    return replace(part, values=part.values[rows], contributions=part.contributions[rows], seeds=seeds)


def _seeds(budgets: Sequence[Budget]) -> Int[np.ndarray, " s"]:
    kept = budgets[0].panel.numbers
    for budget in budgets[1:]:
        kept = np.intersect1d(kept, budget.panel.numbers)
    return np.unique(kept)


def _of_seeds(budget: Budget, seeds: np.ndarray) -> np.ndarray:
    return np.array([budget.yardstick[budget.panel.numbers == seed][0] for seed in seeds])
