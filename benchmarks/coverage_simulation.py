"""Do 95 % intervals cover where few patients carry a value, and where a skewed share varies over seeds alone?

    python benchmarks/coverage_simulation.py --worlds 2000 --out docs/results/coverage-simulation.csv

The rate of the rule that was replaced is in the next column: P - 1 degrees of freedom for patients, and Student's
interval for values over seeds. docs/statistics.md explains the worlds. One core, about five minutes at 2,000 worlds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from _simulation import CHUNK, RATIOS, aurocs, effects, tabulate
from scipy import stats

from assay.core.seeds import generator
from assay.stats.estimate import degrees_of_freedom, estimate_seeds, interval, two_way
from assay.stats.panel import measure_by_seed as seed_values

IMAGES = np.linspace(20, 1, 40).round().astype(int)
COLUMNS = ("world", "seed_sd", "seeds", "worlds", "coverage", "coverage_before", "width", "met")
PATIENTS: dict[str, tuple[float, np.ndarray, np.ndarray]] = {
    "10 positives of 200, AUROC .90": (0.9, np.arange(200), np.arange(200) < 10),
    "10 positives of 200, AUROC .90, answers alike": (0.9, np.arange(200), np.arange(200) < 10),
    "20 positives of 400, AUROC .80": (0.8, np.arange(400), np.arange(400) < 20),
    "40 patients of 20 to 1 images": (0.8, np.repeat(np.arange(40), IMAGES), np.arange(40) % 5 < 2),
    "80 positives of 200, AUROC .80": (0.8, np.arange(200), np.arange(200) < 80),
}  # fmt: skip
"""World -> AUROC, the patient of each image, whether each patient is positive. Where answers are alike, the models of
all seeds rank patients equally but for the effect of the seed."""


def _two_points(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    return np.where(rng.random(size) < 1 / 7, 0.8, 0.02) + rng.uniform(-0.01, 0.01, size)


Draw = Callable[[np.random.Generator, tuple[int, int]], np.ndarray]
SHARES: dict[str, tuple[Draw, float]] = {
    "Beta(5, 5)": (lambda rng, size: rng.beta(5, 5, size), 0.5),
    "Beta(2, 38)": (lambda rng, size: rng.beta(2, 38, size), 0.05),
    "Beta(1, 9)": (lambda rng, size: rng.beta(1, 9, size), 0.1),
    "Beta(.3, 5.7)": (lambda rng, size: rng.beta(0.3, 5.7, size), 0.05),
    "Beta(.5, .5)": (lambda rng, size: rng.beta(0.5, 0.5, size), 0.5),
    ".8 in one seed of seven, else .02": (_two_points, 0.92 / 7),
}


def cells() -> Iterator[tuple[str, float]]:
    """Every (world, ratio of seeds to patients) that is simulated."""
    for world in SHARES:
        yield world, float("nan")
    for world in PATIENTS:
        for ratio in RATIOS:
            yield world, ratio


def of_patients(world: str, ratio: float, seeds: int, worlds: int) -> np.ndarray:
    """Whether the interval covers, whether it did before, and the ratio of widths: [worlds, 3]."""
    area, patient, positive = PATIENTS[world]
    distance, target = 2 * float(stats.norm.ppf(area)), positive[patient].astype(np.int64)
    member = (patient[:, None] == np.arange(len(positive))).astype(np.float64)
    rng = generator(0, "coverage-simulation", world, seeds, int(10 * ratio))

    def draw(count: int, seeds: int, seed_sd: float) -> tuple[np.ndarray, np.ndarray]:
        between, noise = effects(rng, (count, 1, seeds, len(positive)), seed_sd)
        noise = noise[:, :, :1] if world.endswith("answers alike") else noise
        noise = noise[..., patient]
        if len(patient) > len(positive):
            noise = np.sqrt(0.5) * (noise + np.sqrt(2.0) * rng.normal(size=(count, 1, 1, len(patient))))
        values, rows = aurocs((distance + between) * target + noise, target, patient)
        return values[:, 0], rows[:, 0] @ member

    spread_of_one = float(np.sqrt(np.var(draw(1000, 1, 0.0)[0], dtype=np.float64)))
    seed_sd: float = ratio * spread_of_one / (float(stats.norm.pdf(distance / 2)) / 2)
    truth = float(stats.norm.cdf(distance / np.sqrt(4 + seed_sd**2)))
    found: list[tuple[bool, bool, float]] = []
    for _ in range(worlds // CHUNK):
        values, moves = draw(CHUNK, seeds, seed_sd)
        spread = two_way(values, moves)
        before = degrees_of_freedom(spread.seeds, spread.variance, seeds - 1, len(positive) - 1)
        for value, variance, df, old in zip(values.mean(axis=1), spread.variance, spread.df, before, strict=True):
            (low, high), (low_before, high_before) = (
                interval(float(value), float(np.sqrt(variance)), float(one), (0.0, 1.0)) for one in (df, old)
            )
            widths = (high - low) / (high_before - low_before)
            found.append((low <= truth <= high, low_before <= truth <= high_before, widths))
    return np.array(found)


def of_seeds(world: str, seeds: int, worlds: int) -> np.ndarray:
    """The same of values over seeds alone."""
    draw, truth = SHARES[world]
    found: list[tuple[bool, bool, float]] = []
    for values in draw(generator(0, "coverage-simulation", world, seeds), (worlds, seeds)):
        new, old = (
            estimate_seeds(seed_values(values, np.arange(seeds), bounds=ends))
            for ends in ((0.0, 1.0), (-np.inf, np.inf))
        )
        if new.reason:  # nothing varied: no interval
            continue
        low, high = max(old.low, 0.0), min(old.high, 1.0)
        found.append((new.low <= truth <= new.high, low <= truth <= high, (new.high - new.low) / (high - low)))
    return np.array(found)


def simulate(world: str, ratio: float, seeds: int, worlds: int) -> dict[str, object]:
    """One row of the table. `met`: .92 or more, within two Monte Carlo errors; none is promised beyond."""
    found = of_seeds(world, seeds, worlds) if world in SHARES else of_patients(world, ratio, seeds, worlds)
    coverage, before = found[:, :2].mean(axis=0).tolist()
    return {
        "world": world,
        "seed_sd": ratio,
        "seeds": seeds,
        "worlds": len(found),
        "coverage": coverage,
        "coverage_before": before,
        "width": float(np.median(found[:, 2])),
        "met": coverage >= 0.92 - 2 * np.sqrt(0.92 * 0.08 / worlds),
    }


if __name__ == "__main__":
    tabulate(__doc__, COLUMNS, "docs/results/coverage-simulation.csv", cells, simulate)
