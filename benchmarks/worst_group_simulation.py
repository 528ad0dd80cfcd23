"""Are recipes with equally bad worst groups told apart? Simulated contrasts by the accuracy of the worst group.

    python benchmarks/worst_group_simulation.py --worlds 4000 --out docs/results/worst-group-simulation.csv

Two recipes, seeds and patients crossed as in `_simulation`, 200 patients in four groups. The worst group of each recipe
is the one of the least mean over its seeds, as in studies, so that it may be another of each. Both recipes have the
same accuracies in truth: all four equal (`tied`), the worst one apart (`apart`), or `crossed`, where what is the worst
group of one is the best of the other. In `uneven` one recipe has one bad group and the other four that are as bad: the
least of four uncertain means lies below them, which no interval knows of, and the least of twenty further. A difference
that is claimed is wrong. One core, two minutes at 4,000 worlds.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from _simulation import CHUNK, RATIOS, effects, judged, tabulate, target
from scipy import stats

from assay.core.seeds import generator
from assay.stats.estimate import degrees_of_freedom, patient_degrees_of_freedom, two_way

COLUMNS = (
    "world", "seeds", "seed_sd", "worlds", "quantity", "truth", "rate", "mc_error", "target_low", "target_high", "met",
)  # fmt: skip
PATIENTS = 200
WORLDS = {
    "tied": ((0.8, 0.8, 0.8, 0.8), (0.8, 0.8, 0.8, 0.8)),
    "apart": ((0.6, 0.8, 0.85, 0.9), (0.6, 0.8, 0.85, 0.9)),
    "crossed": ((0.6, 0.8, 0.85, 0.9), (0.9, 0.85, 0.8, 0.6)),
    "uneven": ((0.6, 0.8, 0.85, 0.9), (0.6, 0.6, 0.6, 0.6)),
    "uneven, 20 groups": ((0.6, *(0.9,) * 19), (0.6,) * 20),
}
"""Accuracy of each recipe in each group: how often a latent score of variance 2 + seed_sd^2 is positive."""


def right_answers(rng: np.random.Generator, world: str, worlds: int, seeds: int, seed_sd: float) -> np.ndarray:
    """Which answers are right: bool [w, recipes, s, groups, patients of a group]."""
    between, noise = effects(rng, (worlds, 2, seeds, PATIENTS), seed_sd)
    level = np.sqrt(2 + seed_sd**2) * stats.norm.ppf(np.array(WORLDS[world]))
    latent = (between + noise).reshape(worlds, 2, seeds, level.shape[1], -1)
    return latent + level[None, :, None, :, None] > 0


def p_values(right: np.ndarray) -> np.ndarray:
    """p [w] of the difference between the recipes' worst groups."""
    of_group, (groups, group) = right.mean(axis=-1), right.shape[3:]
    chosen = np.arange(groups) == of_group.mean(axis=2).argmin(axis=-1)[:, :, None, None]
    values = (of_group * chosen).sum(axis=-1)
    moved = (right - values[..., None, None]) / group * np.sqrt(group / (group - 1)) * chosen[..., None]
    difference = values[:, 0] - values[:, 1]
    contributions = (moved[:, 0] - moved[:, 1]).reshape(*difference.shape, PATIENTS)
    spread = two_way(difference, contributions)
    patients = group * chosen.any(axis=1).sum(axis=(1, 2))  # of one group or of two
    df_patients = patient_degrees_of_freedom(contributions.mean(axis=1), patients)
    df = degrees_of_freedom(spread.seeds, spread.variance, difference.shape[-1] - 1, df_patients)
    with np.errstate(invalid="ignore"):  # where nothing varies there is no p, and no claim
        return 2 * stats.t.sf(np.abs(difference.mean(axis=-1)) / np.sqrt(spread.variance), df)


def claims(world: str, worlds: int, seeds: int, seed_sd: float) -> float:
    """How often the two are told apart."""
    rng = generator(0, "worst-group-simulation", world, seeds, int(seed_sd * 1e6))
    drawn = (right_answers(rng, world, CHUNK, seeds, seed_sd) for _ in range(worlds // CHUNK))
    return float(np.concatenate([p_values(right) < 0.05 for right in drawn]).mean())


def seed_sd_of(ratio: float) -> float:
    """The latent standard deviation of seeds that is `ratio` patient standard errors of one group's accuracy."""
    rng = generator(0, "worst-group-simulation", "scale")
    spread = float(right_answers(rng, "tied", 500, 1, 0.0).mean(axis=-1).std())
    return ratio * spread * np.sqrt(2) / float(stats.norm.pdf(stats.norm.ppf(0.8)))


def cells() -> Iterator[tuple[object, ...]]:
    """World, ratio."""
    yield from ((world, ratio) for world in WORLDS for ratio in RATIOS)


def simulate(world: str, ratio: float, seeds: int, worlds: int) -> dict[str, object]:
    """A row of the table."""
    promised = target("false positives", seeds)
    row = judged({"rate": claims(world, worlds, seeds, seed_sd_of(ratio))}, promised, worlds)
    return {"world": world, "seeds": seeds, "seed_sd": ratio, "quantity": "difference", "truth": 0.0, **row}


if __name__ == "__main__":
    tabulate(__doc__, COLUMNS, "docs/results/worst-group-simulation.csv", cells, simulate)
