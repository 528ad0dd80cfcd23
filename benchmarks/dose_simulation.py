"""Is an additive world called an interaction? Simulated dose-responses.

    python benchmarks/dose_simulation.py --worlds 4000 --out docs/results/dose-simulation.csv

Two starts and three doses, seeds and patients crossed as in `_simulation`. The start shifts the level and the
dose shifts both starts alike, on the probit scale or on the plain one: then there is no interaction on that scale, and
a claim is wrong. One core, about nine minutes at 4,000 worlds.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
from _simulation import CHUNK, RATIOS, aurocs, effects, judged, tabulate, target
from scipy import stats

from assay.core.seeds import generator
from assay.stats.doses import dose_weights
from assay.stats.estimate import two_way
from assay.stats.panel import MeasureBySeed, probit

COLUMNS = (
    "additive_on", "seeds", "seed_sd", "worlds", "quantity", "truth", "rate", "mc_error", "target_low", "target_high",
    "met", "rate_plain", "rate_probit",
)  # fmt: skip
PATIENTS, POSITIVES = 200, 80
DOSES = np.array([0.0, 0.3, 1.0])
STARTS, FALLS = (0.90, 0.80), (0.0, 0.10, 0.28)
"""AUROC of the starts at p = 0, and how far the dose lowers the first; the second, on the scale that is additive."""
TARGET = (np.arange(PATIENTS) < POSITIVES).astype(np.int64)


def areas(scale: str) -> np.ndarray:
    """AUROC [starts, doses] of a world that is additive on a scale."""
    first = STARTS[0] - np.array(FALLS)
    if scale == "plain":
        return np.stack([first, first - (STARTS[0] - STARTS[1])])
    shift = stats.norm.ppf(STARTS[0]) - stats.norm.ppf(STARTS[1])
    return np.stack([first, stats.norm.cdf(stats.norm.ppf(first) - shift)])


def draw(rng: np.random.Generator, scale: str, worlds: int, seeds: int, seed_sd: float) -> MeasureBySeed:
    """AUROC values [w, starts * doses, s] and contributions [w, starts * doses, s, p].

    On the plain scale the means over seeds are additive; on the probit scale every seed is.
    """
    widen = np.sqrt(4 + seed_sd**2) if scale == "plain" else 2.0
    distance = (widen * stats.norm.ppf(areas(scale))).reshape(1, -1, 1, 1)
    between, noise = effects(rng, (worlds, distance.size, seeds, PATIENTS), seed_sd)
    values, rows = aurocs((distance + between) * TARGET + noise, TARGET, np.arange(PATIENTS))
    return MeasureBySeed(values, rows, np.arange(PATIENTS), np.arange(seeds), PATIENTS, (0.0, 1.0))


def seed_sd_of(ratio: float) -> float:
    """The latent standard deviation of seeds that is `ratio` patient standard errors of one value, near AUROC .8."""
    rng = generator(0, "dose-simulation", "scale")
    spread = float(draw(rng, "probit", 500, 1, 0.0).values[:, 3, 0].std())
    return ratio * spread / (float(stats.norm.pdf(stats.norm.ppf(STARTS[1]))) / 2)


def p_values(found: MeasureBySeed) -> tuple[np.ndarray, np.ndarray]:
    """p [w] of the interaction and its value [w], on the scale that the values are on."""
    weights = np.concatenate([dose_weights(len(DOSES)), -dose_weights(len(DOSES))])
    values = np.einsum("r,wrs->ws", weights, found.values)
    spread = two_way(values, np.einsum("r,wrsp->wsp", weights, found.contributions))
    mean = values.mean(axis=-1)
    return 2 * stats.t.sf(np.abs(mean) / np.sqrt(spread.variance), spread.df), mean


def interactions(scale: str, worlds: int, seeds: int, seed_sd: float) -> dict[str, float]:
    """How often an additive world is called an interaction: by both scales together, and by each alone."""
    rng = generator(0, "dose-simulation", scale, seeds, int(seed_sd * 1e6))
    found: list[np.ndarray] = []
    for _ in range(worlds // CHUNK):
        drawn = draw(rng, scale, CHUNK, seeds, seed_sd)
        (plain, value), (other, moved) = p_values(drawn), p_values(probit(drawn))
        both = (np.maximum(plain, other) < 0.05) & (value * moved > 0)
        found.append(np.stack([both, plain < 0.05, other < 0.05], axis=1))
    rate, rate_plain, rate_probit = np.concatenate(found).mean(axis=0).tolist()
    return {"truth": 0.0, "rate": rate, "rate_plain": rate_plain, "rate_probit": rate_probit}


def simulate(scale: str, ratio: float, seeds: int, worlds: int) -> dict[str, object]:
    """One row of the table."""
    result = interactions(scale, worlds, seeds, seed_sd_of(ratio))
    return {
        "additive_on": scale,
        "seeds": seeds,
        "seed_sd": ratio,
        "quantity": "interaction",
        **judged(result, target("interaction", seeds), worlds),
    }


def cells() -> Iterator[tuple[str, float]]:
    """Every (scale, ratio) that is simulated."""
    return itertools.product(("probit", "plain"), RATIOS)


if __name__ == "__main__":
    tabulate(__doc__, COLUMNS, "docs/results/dose-simulation.csv", cells, simulate)
