"""Do families of many comparisons keep their error rate when seeds vary more than patients do?

    python benchmarks/family_simulation.py --worlds 4000 --out docs/results/family-simulation.csv

Every world is a set of recipes of equal true value, each compared with the first, by the functions that Assay applies
to real records (`assay.stats.estimate`). Worlds differ in how seeds vary (`SEED_EFFECTS`). The ratio is the standard
deviation over seeds of a paired difference, over its standard error over patients. One draw serves all ratios and
families. `claims_own` and `worst_coverage_own` use the variance of each comparison itself, without the rule for few
seeds (`assay.stats.estimate.limit_df`). `beyond` is the share of families with a claim of more than the margin where
every true difference is the margin, by Holm on p-values; `beyond_read_off` that of claims read off the intervals that
decided against zero. docs/statistics.md explains the other columns. One core, eleven minutes at 4,000 worlds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache, lru_cache

import numpy as np
import numpy.typing as npt
from _simulation import CHUNK, effects, promised_claims, tabulate, target
from scipy import optimize, stats

from assay.core.seeds import generator
from assay.stats.compare import Correction
from assay.stats.estimate import VarianceComponents, limit_df, moderate_variances, replace_seed_variance, two_way
from assay.stats.power import POWER, difference_with_power, group_degrees_of_freedom

FAMILIES = (1, 4, 8, 20, 32)
RATIOS = (1.0, 3.0, 6.0, 10.0)
PATIENTS = 100
COLUMNS = (
    "seed_effects", "group", "family", "ratio", "seeds", "worlds", "claims", "claims_own", "false_equivalence",
    "beyond", "beyond_read_off", "worst_coverage", "worst_coverage_own", "power", "power_least", "power_planned",
    "width", "met",
)  # fmt: skip


def _even(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.normal(size=shape)


def _unequal(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    sds = np.array([1.0, 0.5, 0.7, 1.4, 2.0])
    return rng.normal(size=shape) * np.resize(sds, shape[1])[:, None]


def _one_unstable(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.normal(size=shape) * np.where(np.arange(shape[1]) == 1, 3.0, 1.0)[:, None]


def _unstable_reference(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.normal(size=shape) * np.where(np.arange(shape[1]) == 0, 3.0, 1.0)[:, None]


def _steady_reference(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.normal(size=shape) * np.where(np.arange(shape[1]) == 0, 0.3, 1.0)[:, None]


def _skewed(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return 1 - rng.exponential(size=shape)


def _falling(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """One seed in five falls by five standard deviations of the others."""
    return rng.normal(size=shape) - 5 * ((rng.random(shape) < 0.2) - 0.2)


SEED_EFFECTS: dict[str, Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]] = {
    "equal": _even,
    "unequal spreads": _unequal,
    "one recipe 3 times as spread": _one_unstable,
    "reference 3 times as spread": _unstable_reference,
    "reference .3 times as spread": _steady_reference,
    "skewed": _skewed,
    "one in five falls": _falling,
}


def grouped(values: np.ndarray, spread: VarianceComponents, size: int) -> VarianceComponents:
    """Compute the spreads of a family whose pooling groups have `size` contrasts. values [w, m, s]."""
    worlds, family, seeds = values.shape
    size = min(size, family)
    own = values.reshape(worlds, family // size, size, seeds)
    part, df = moderate_variances(own.var(axis=-1, ddof=1), np.full(size, seeds), own)
    found = replace_seed_variance(spread, part.reshape(worlds, family), df.reshape(worlds, family))
    return replace(found, df=limit_df(found.df, seeds, size, family))


def tails(shift: np.ndarray, spread: VarianceComponents) -> np.ndarray:
    """One-sided p-values of means against 0."""
    return np.asarray(stats.t.sf(shift / np.sqrt(spread.variance), spread.df))


@lru_cache(maxsize=3)
def draws(kind: str, seeds: int, worlds: int) -> tuple[np.ndarray, np.ndarray, VarianceComponents]:
    """Patients' part of the values and seed effects [w, r, s], and the spread of differences without seed effects."""
    rng = generator(0, "family-simulation", kind, seeds)
    recipes = max(FAMILIES) + 1
    values: list[np.ndarray] = []
    moved: list[np.ndarray] = []
    found: list[VarianceComponents] = []
    for _ in range(worlds // CHUNK):
        _, noise = effects(rng, (CHUNK, recipes, seeds, PATIENTS), 0.0)
        mean = noise.mean(axis=-1)
        noise -= mean[..., None]
        noise *= 1 / np.sqrt(PATIENTS * (PATIENTS - 1))
        values.append(mean[:, 1:] - mean[:, :1])
        found.append(two_way(values[-1], noise[:, 1:] - noise[:, :1]))
        moved.append(SEED_EFFECTS[kind](rng, mean.shape))
    spread = VarianceComponents(
        *(np.concatenate([getattr(one, name) for one in found]) for name in VarianceComponents.__dataclass_fields__)
    )
    return np.concatenate(values), np.concatenate(moved), spread


@cache
def reaches(
    seeds: int, group: int, family: int, df: float = np.inf, correction: Correction = "holm"
) -> tuple[np.ndarray, np.ndarray]:
    """Shares of the seeds in a variance of 1, and the difference that is detectable with each.

    df: degrees of freedom of the seeds' part; infinite where it is known.
    """
    shares = np.linspace(0.0, 1.0, 21)
    rest = (seeds, PATIENTS - 1, group, family, correction)
    found = [difference_with_power(share, 1 - share, *rest, df_between=df) for share in shares.tolist()]
    return shares, np.array(found)


@cache
def critical_table(family: int) -> tuple[np.ndarray, np.ndarray]:
    """Degrees of freedom, and what one contrast with a standard error of 1 detects by itself."""
    df = np.geomspace(2, PATIENTS, 25)
    return df, np.array([detectable(one, 0.05 / family) for one in df.tolist()])


def detectable(df: float, alpha: float) -> float:
    """Difference that a two-sided t-test with a standard error of 1 finds with `POWER`, by the noncentral t."""
    critical = float(stats.t.ppf(1 - alpha / 2, df))
    # sf rises from alpha / 2 at a shift of 0 to its half near the critical value, and on.
    return float(optimize.brentq(lambda shift: stats.nct.sf(critical, df, shift) - POWER, 0.0, 4 * critical + 10))


def cells() -> Iterator[tuple[str, int, int, float]]:
    """Every (seed effects, contrasts of a pooling group, family, ratio) that is simulated."""
    for kind in SEED_EFFECTS:
        for ratio in RATIOS:
            for family in FAMILIES:
                yield kind, family, family, ratio
        for size in (1, 2, 4) if kind == "equal" else (1,):
            for ratio in RATIOS:
                for family in FAMILIES[2:]:
                    yield kind, size, family, ratio


def simulate(kind: str, size: int, family: int, ratio: float, seeds: int, worlds: int) -> dict[str, object]:
    """One row of the table."""
    still, moved, without = draws(kind, seeds, worlds)
    error = np.sqrt(1.5 / PATIENTS)  # over patients, of the difference of two recipes with one seed
    scale = ratio * error / np.sqrt(2)
    values = (still + scale * (moved[:, 1:] - moved[:, :1]))[:, :family]
    a = values.var(axis=-1, ddof=1) / seeds
    kept = {name: getattr(without, name)[:, :family] for name in VarianceComponents.__dataclass_fields__}
    own = replace_seed_variance(VarianceComponents(**kept), a, np.full_like(a, seeds - 1))
    pooled = grouped(values, own, size)
    mean = values.mean(axis=-1)
    row: dict[str, float] = {}
    for name, spread in (("", pooled), ("_own", own)):
        p = 2 * tails(np.abs(mean), spread)
        row |= {f"claims{name}": float((p.min(axis=1) < 0.05 / family).mean())}
        row |= {f"worst_coverage{name}": float((p >= 0.05).mean(axis=0).min())}
    # A true difference of just the margin, which is large: equivalence is claimed where the lower tail is.
    false_equivalence = float((tails(-mean, pooled).min(axis=1) < 0.05 / family).mean())
    over = tails(mean, pooled)
    beyond = float((over.min(axis=1) < 0.025 / family).mean())
    margin = 30 * np.median(np.sqrt(pooled.variance))  # every difference is shown, the surest at the strictest level
    order = np.argsort(np.argsort(tails(mean + margin, pooled), axis=1), axis=1)
    read_off = float((over < 0.025 / (family - order)).any(axis=1).mean())
    between, rest = a.mean(axis=1), np.maximum(own.patients - own.residual, 0.0).mean(axis=1)
    table = reaches(seeds, size, family, group_degrees_of_freedom(seeds, size))
    figure: npt.NDArray[np.float64] = np.sqrt(between + rest) * np.interp(
        between / (between + rest), table[0], table[1]
    )
    least = critical_table(family)
    each = np.sqrt(own.variance) * np.interp(own.df, *least)
    shares = ratio**2 / seeds, 1.0  # of seeds, patients, in squared units of `error`, as in `power`
    plan = error * np.sqrt(sum(shares)) * np.interp(shares[0] / sum(shares), *reaches(seeds, size, family))

    def power(difference: npt.NDArray[np.float64] | float, spread: VarianceComponents) -> float:
        """Of a figure that one world gives, in the next world: one that meets its own noise would seem right."""
        shift = np.broadcast_to(np.reshape(np.roll(difference, 1), (-1, 1)), mean.shape)
        return float((2 * tails(np.abs(mean + shift), spread) < 0.05 / family).mean())

    half = [np.median(np.sqrt(one.variance) * stats.t.isf(0.025, one.df)) for one in (pooled, own)]
    covered = target("coverage", seeds)[0]
    met = row["worst_coverage"] >= covered - 2 * float(np.sqrt(covered * (1 - covered) / worlds))
    met &= max(row["claims"], false_equivalence, 2 * beyond) <= promised_claims(kind == "equal", worlds)
    return {
        "seed_effects": kind,
        "group": size,
        "family": family,
        "ratio": ratio,
        "seeds": seeds,
        "worlds": worlds,
        **row,
        "false_equivalence": false_equivalence,
        "beyond": beyond,
        "beyond_read_off": read_off,
        "power": power(figure, pooled),
        "power_least": power(each.min(axis=1), own),
        "power_planned": power(plan, pooled),
        "width": float(half[0] / half[1]),
        "met": met,
    }


if __name__ == "__main__":
    tabulate(__doc__, COLUMNS, "docs/results/family-simulation.csv", cells, simulate)
