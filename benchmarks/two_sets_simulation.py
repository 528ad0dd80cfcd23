"""Does the difference between two sets of other patients keep its level, with the same networks in both?

    python benchmarks/two_sets_simulation.py --worlds 1000 --out docs/results/two-sets-simulation.csv

Networks are worse in the second set by exactly the margin, 0.05 of AUROC, where "worse by more" and "as well" are both
wrong. `coverage` is the share of worlds whose interval (`assay.stats.unpaired`) holds the difference, `worse` and
`alike` the shares of worlds with one of these claims, each promised in at most 2.5%. A seed moves both sets together.
`spread` is the standard deviation of seeds in the distance of the classes: at 1 one network in 20 is near chance. One
core, 10 minutes.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from _simulation import promised_claims, tabulate
from scipy.special import ndtr

from assay.core.seeds import generator
from assay.stats import SeedPredictions, estimate_panel
from assay.stats.bounds import MARGIN
from assay.stats.unpaired import unpaired_difference

COLUMNS = ("patients", "positive", "spread", "seeds", "worlds", "coverage", "worse", "alike", "met")
DISTANCE = 1.5
"""Of the classes in the first set, in standard deviations of scores."""
DRAWS = np.random.default_rng(0).normal(size=200_000)


def cells() -> Iterator[tuple[str, float, float]]:
    """Every (patients, share of positive ones, spread) that is simulated."""
    for patients in ("300 and 100", "100 and 30", "40 and 40"):
        for positive in (0.5, 0.2):
            for spread in (0.1, 0.4, 1.0):
                yield patients, positive, spread


def expected(factor: float, spread: float) -> float:
    """Mean AUROC over all networks in a set that has this share of the distance."""
    return float(np.mean(ndtr(factor * (DISTANCE + spread * DRAWS) / np.sqrt(2))))  # pyright: ignore[reportUnknownArgumentType]


def share_of_the_margin(spread: float) -> float:
    """The share of the distance at which mean AUROC is lower by the margin, by bisection."""
    low, high = 0.1, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if expected(1.0, spread) - expected(middle, spread) > MARGIN else (low, middle)
    return low


def panel(rng: np.random.Generator, patients: int, positive: float, distances: np.ndarray) -> SeedPredictions:
    """Scores of networks with these distances: half of the noise of a patient is in all of them."""
    target = (np.arange(patients) < max(2, round(positive * patients))).astype(int)
    noise = np.sqrt(0.5) * (rng.normal(size=patients) + rng.normal(size=(len(distances), patients)))
    return SeedPredictions((distances[:, None] * target + noise)[..., None], target, np.arange(patients))


def simulate(patients: str, positive: float, spread: float, seeds: int, worlds: int) -> dict[str, object]:
    """One row of the table."""
    rng = generator(0, "two-sets", patients, str(positive), str(spread), seeds)
    there = share_of_the_margin(spread)
    ends = np.zeros((worlds, 2))
    for world in range(worlds):
        distances = DISTANCE + spread * rng.normal(size=seeds)
        found = [
            estimate_panel(panel(rng, int(count), positive, factor * distances), "auroc")
            for count, factor in zip(patients.split(" and "), (1.0, there), strict=True)
        ]
        first, second = ((one.value, one.low, one.high) for one in found)
        ends[world] = unpaired_difference(first, second)[1:]
    coverage = float(((ends[:, 0] <= MARGIN) & (ends[:, 1] >= MARGIN)).mean())
    return {
        "patients": patients,
        "positive": positive,
        "spread": spread,
        "seeds": seeds,
        "worlds": worlds,
        "coverage": coverage,
        "worse": float((ends[:, 0] > MARGIN).mean()),
        "alike": float((ends[:, 1] < MARGIN).mean()),
        "met": coverage >= 1 - promised_claims(True, worlds),
    }


if __name__ == "__main__":
    tabulate(__doc__, COLUMNS, "docs/results/two-sets-simulation.csv", cells, simulate)
