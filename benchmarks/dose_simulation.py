"""Is an additive world called an interaction, and do half-dose intervals cover? Simulated dose-responses.

    python benchmarks/dose_simulation.py --worlds 4000 --out docs/results/dose-simulation.csv

Two starts and three doses, seeds and patients crossed as in `_simulation`. The start shifts the level and the
dose shifts both starts alike, on the probit scale or on the plain one: then there is no interaction on that scale, and
a claim is wrong. One core, about nine minutes at 4,000 worlds.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from _simulation import CHUNK, RATIOS, aurocs, effects, judged, tabulate, target
from scipy import stats

from assay.core.seeds import generator
from assay.stats.doses import crossings, outcome_weights
from assay.stats.estimate import two_way
from assay.stats.panel import Evaluated, probit

COLUMNS = (
    "additive_on", "seeds", "seed_sd", "worlds", "quantity", "truth", "rate", "mc_error", "target_low", "target_high",
    "met", "rate_plain", "rate_probit", "censored",
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


def draw(rng: np.random.Generator, scale: str, worlds: int, seeds: int, seed_sd: float) -> Evaluated:
    """AUROC values [w, starts * doses, s] and contributions [w, starts * doses, s, p].

    On the plain scale the means over seeds are additive; on the probit scale every seed is.
    """
    widen = np.sqrt(4 + seed_sd**2) if scale == "plain" else 2.0
    distance = (widen * stats.norm.ppf(areas(scale))).reshape(1, -1, 1, 1)
    between, noise = effects(rng, (worlds, distance.size, seeds, PATIENTS), seed_sd)
    values, rows = aurocs((distance + between) * TARGET + noise, TARGET, np.arange(PATIENTS))
    return Evaluated(values, rows, np.arange(PATIENTS), np.arange(seeds), PATIENTS, (0.0, 1.0))


def seed_sd_of(ratio: float) -> float:
    """The latent standard deviation of seeds that is `ratio` patient standard errors of one value, near AUROC .8."""
    rng = generator(0, "dose-simulation", "scale")
    spread = float(draw(rng, "probit", 500, 1, 0.0).values[:, 3, 0].std())
    return ratio * spread / (float(stats.norm.pdf(stats.norm.ppf(STARTS[1]))) / 2)


def p_values(found: Evaluated) -> tuple[np.ndarray, np.ndarray]:
    """p [w] of the interaction and its value [w], on the scale that the values are on."""
    weights = np.concatenate([outcome_weights(len(DOSES)), -outcome_weights(len(DOSES))])
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


def half_doses(scale: str, worlds: int, seeds: int, seed_sd: float) -> dict[str, float]:
    """How often the interval of the first start's half-dose holds the true one; how often the value is censored."""
    rng = generator(0, "dose-simulation", "half-dose", scale, seeds, int(seed_sd * 1e6))
    true = areas(scale)[0] if scale == "plain" else stats.norm.cdf(
        2 * stats.norm.ppf(areas(scale)[0]) / np.sqrt(4 + seed_sd**2)
    )  # fmt: skip
    wanted = 0.5 + (true[0] - 0.5) / 2
    truth = float(np.interp(-wanted, -true, DOSES))
    hits: list[tuple[bool, bool]] = []
    for _ in range(worlds // CHUNK):
        drawn = draw(rng, scale, CHUNK, seeds, seed_sd)
        for values, contributions in zip(drawn.values, drawn.contributions, strict=True):
            value, low, high = crossings(DOSES, values[: len(DOSES)], contributions[: len(DOSES)], 0.5)
            hits.append((low <= truth and not high < truth, bool(np.isnan(value))))
    rate, censored = np.mean(hits, axis=0).tolist()
    return {"truth": truth, "rate": rate, "censored": censored}


def simulate(quantity: str, scale: str, ratio: float, seeds: int, worlds: int) -> dict[str, object]:
    """One row of the table."""
    run = {"interaction": interactions, "coverage": half_doses}[quantity]
    result = run(scale, worlds, seeds, seed_sd_of(ratio))
    return {
        "additive_on": scale, "seeds": seeds, "seed_sd": ratio, "quantity": quantity,
        **judged(result, target(quantity, seeds), worlds),
    }  # fmt: skip


def cells() -> Iterator[tuple[str, str, float]]:
    """Every (quantity, scale, ratio) that is simulated."""
    for quantity, scale in (("interaction", "probit"), ("interaction", "plain"), ("coverage", "plain")):
        for ratio in RATIOS:
            yield quantity, scale, ratio


if __name__ == "__main__":
    tabulate(__doc__, COLUMNS, "docs/results/dose-simulation.csv", cells, simulate)
