"""Do 95 % intervals cover, and do tests cry wolf? Simulated worlds in which the truth is known.

    python benchmarks/interval_simulation.py --worlds 4000 --out docs/results/interval-simulation.csv

Every cell draws whole experiments (worlds): seeds x patients x recipes with effects of patients, of seeds, and of both,
and applies the functions that Assay applies to real records. What a cell reports stands in `COLUMNS`; what the worlds
are, and what the figures mean, in docs/statistics.md. One core, about eight minutes at 4,000 worlds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
from _simulation import CHUNK, RATIOS, aurocs, effects, judged, tabulate, target
from scipy import stats

from assay.core.seeds import generator
from assay.probes.reliance import contributions_of, with_influence
from assay.stats.estimate import VarianceComponents, interval, two_way
from assay.stats.influence import correct_small_sample

COLUMNS = (
    "design", "measure", "truth", "seeds", "seed_sd", "patients", "positives", "worlds", "quantity", "rate", "mc_error",
    "target_low", "target_high", "met", "rate_satterthwaite", "rate_plain", "seeds_share", "mean_df", "mean_width",
)  # fmt: skip
UNBOUNDED = (-np.inf, np.inf)


@dataclass(frozen=True)
class World:
    """A kind of experiment. draw(rng, worlds, recipes, seeds, seed_sd) -> values [w, r, s], contributions [w, r, s, p].

    truth(seed_sd): the value that every recipe has. slope: how the value moves with a seed's effect, for scaling it.
    """

    name: str
    design: str
    draw: Callable[..., tuple[np.ndarray, np.ndarray]]
    truth: Callable[[float], float]
    slope: float
    bounds: tuple[float, float]
    patients: int
    positives: int
    promised: bool = True  # whether the target holds for it; k-fold is reported only


def auroc_world(area: float, patients: int, positives: int, images: int = 1) -> World:
    """Binormal scores whose separation a seed shifts: AUROC is Phi(d / sqrt(4 + sd^2)) over seeds and patients.

    images: of each patient, sharing the patient's effect and its class.
    """
    target = np.repeat((np.arange(patients) < positives).astype(np.int64), images)
    patient = np.repeat(np.arange(patients), images)
    distance = 2.0 * float(stats.norm.ppf(area))

    def draw(rng: np.random.Generator, worlds: int, recipes: int, seeds: int, seed_sd: float):
        between, noise = effects(rng, (worlds, recipes, seeds, patients), seed_sd)
        if images > 1:
            own = rng.normal(size=(worlds, 1, 1, patients * images))
            noise = np.sqrt(0.5) * (np.repeat(noise, images, axis=-1) + np.sqrt(2.0) * own)
        values, rows = aurocs((distance + between) * target + noise, target, patient)
        return values, rows.reshape(*rows.shape[:-1], patients, images).sum(axis=-1)

    def truth(seed_sd: float) -> float:
        return float(stats.norm.cdf(distance / np.sqrt(4 + seed_sd**2)))

    slope = float(stats.norm.pdf(distance / 2)) / 2
    design = "one image a patient" if images == 1 else f"{images} images a patient"
    return World(f"auroc {area:g}", design, draw, truth, slope, (0.0, 1.0), patients, positives)


def mean_world(patients: int) -> World:
    """The plain mean of a normal quantity."""

    def draw(rng: np.random.Generator, worlds: int, recipes: int, seeds: int, seed_sd: float):
        between, noise = effects(rng, (worlds, recipes, seeds, patients), seed_sd)
        return _means(between + noise)

    return World("mean", "one image a patient", draw, lambda seed_sd: 0.0, 1.0, UNBOUNDED, patients, 0)


def accuracy_world(share: float, patients: int) -> World:
    """A share of right calls: right where a latent normal exceeds 0, so that its mean is Phi(m / sqrt(2 + sd^2))."""
    level = float(np.sqrt(2) * stats.norm.ppf(share))

    def draw(rng: np.random.Generator, worlds: int, recipes: int, seeds: int, seed_sd: float):
        between, noise = effects(rng, (worlds, recipes, seeds, patients), seed_sd)
        return _means((level + between + noise > 0).astype(np.float64))

    def truth(seed_sd: float) -> float:
        return float(stats.norm.cdf(level / np.sqrt(2 + seed_sd**2)))

    slope = float(stats.norm.pdf(level / np.sqrt(2))) / float(np.sqrt(2))
    return World(f"accuracy {share:g}", "one image a patient", draw, truth, slope, (0.0, 1.0), patients, 0)


def _means(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mean, patients = values.mean(axis=-1), values.shape[-1]
    everyone, each = np.zeros(patients, dtype=np.int64), np.arange(patients)
    return mean, correct_small_sample((values - mean[..., None]) / patients, everyone, each)


def sobol_world(samples: int, inputs: int = 6) -> World:
    """Total Sobol' index of the first input of linear models that are read on one design of independent samples.

    A seed moves the weight w of the first input, 1 on average. The other weights have the length 1, so that the index
    is w^2 / (w^2 + 1). Half of the variance of their direction is everyone's, the rest of a recipe, a seed or a model.
    """

    def draw(rng: np.random.Generator, worlds: int, recipes: int, seeds: int, seed_sd: float):
        shape = (worlds, recipes, seeds)
        between, _ = effects(rng, (*shape, 1), seed_sd)
        others = np.stack([effects(rng, (*shape, 1), 0.0)[1][..., 0] for _ in range(inputs - 1)], axis=-1)
        others /= np.linalg.norm(others, axis=-1, keepdims=True)
        weights = np.concatenate([1 + between, others], axis=-1)
        x = np.sqrt(12) * (rng.random((2, worlds, samples, inputs)) - 0.5)
        a, b = (np.einsum("wnd,wrsd->wrsn", block, weights) for block in x)
        moved = (x[1, :, :, 0] - x[0, :, :, 0])[:, None, None] * weights[..., :1]
        _, (value, influence) = with_influence(a, b, (a + moved)[..., None, :])
        return value[..., 0], contributions_of(influence[..., 0, :])

    def truth(seed_sd: float) -> float:
        points, mass = np.polynomial.hermite_e.hermegauss(80)
        square = (1 + seed_sd * points) ** 2
        return float((mass * square / (square + 1)).sum() / mass.sum())

    return World("sobol-total", f"one design of {samples}", draw, truth, 0.5, UNBOUNDED, samples, 0)


def kfold_world(patients: int, positives: int, noise: float, folds: int = 5, features: int = 8) -> World:
    """Repeated k-fold with models that are really fitted: ridge discriminants on the other folds, AUROC within folds.

    Training sets overlap between folds and between seeds, which redraw the folds only. A recipe sees a block of
    features of its own, equal in law, so that recipes differ by nothing but chance. noise: random turns of a fitted
    direction, in units of its length, standing for initial weights and batch order. The truth is the mean over
    training sets.
    """
    target = (np.arange(patients) < positives).astype(np.int64)
    signal = np.full(features, 0.35)
    size = patients // folds

    def fold_of(rng: np.random.Generator, count: int) -> np.ndarray:
        ranks = [
            rng.random((count, int((target == label).sum()))).argsort(axis=-1).argsort(axis=-1) % folds
            for label in (1, 0)
        ]
        return np.concatenate(ranks, axis=-1)

    def directions(rng: np.random.Generator, x: np.ndarray, train: np.ndarray) -> np.ndarray:
        """x [w, r, p, f], train [w, s, k, p] -> directions [w, r, s, k, f]."""
        design = np.concatenate([x, np.ones((*x.shape[:-1], 1))], axis=-1)
        weight = train.astype(np.float64)
        moments = design[..., :, None] * design[..., None, :]
        gram = np.einsum("wskp,wrpe->wrske", weight, moments.reshape(*x.shape[:3], -1), optimize=True)
        gram = gram.reshape(*gram.shape[:-1], features + 1, features + 1) + np.eye(features + 1)
        right = np.einsum("wskp,wrpf->wrskf", weight * (2.0 * target - 1), design, optimize=True)
        found = np.linalg.solve(gram, right[..., None])[..., :features, 0]
        length = np.linalg.norm(found, axis=-1, keepdims=True)
        return found + noise * length / np.sqrt(features) * rng.normal(size=found.shape)

    def draw(rng: np.random.Generator, worlds: int, recipes: int, seeds: int, seed_sd: float):
        x = rng.normal(size=(worlds, recipes, patients, features)) + signal * target[:, None]
        fold = np.stack([fold_of(rng, worlds) for _ in range(seeds)], axis=1)
        train = fold[:, :, None, :] != np.arange(folds)[:, None]
        scores = np.einsum("wrpf,wrskf->wrskp", x, directions(rng, x, train), optimize=True)
        chosen = np.broadcast_to(fold[:, None, :, None, :], (worlds, recipes, seeds, 1, patients))
        own = np.take_along_axis(scores, chosen, axis=3)[..., 0, :]
        return aurocs(own, target, np.arange(patients), np.broadcast_to(fold[:, None], own.shape))

    @cache
    def truth(seed_sd: float) -> float:
        rng = generator(0, "interval-simulation", "k-fold truth", int(noise * 10))
        areas: list[float] = []
        for _ in range(40):
            x = rng.normal(size=(500, 1, patients, features)) + signal * target[:, None]
            train = (fold_of(rng, 500) != 0)[:, None, None, :]
            w = directions(rng, x, train)[:, 0, 0, 0]
            areas += stats.norm.cdf((w @ signal) / np.sqrt(2) / np.linalg.norm(w, axis=-1)).tolist()
        return float(np.mean(areas))

    design = f"{folds}-fold, {size} tested a fold, noise {noise:g}"
    return World("auroc within folds", design, draw, truth, 0.0, (0.0, 1.0), patients, positives, promised=False)


def satterthwaite(spread: VarianceComponents, seeds: int, patients: int) -> np.ndarray:
    """The degrees of freedom that were rejected, for comparison."""
    noise = spread.seeds**2 / (seeds - 1) + spread.patients**2 / (patients - 1)
    return spread.variance**2 / (noise + spread.residual**2 / ((seeds - 1) * (patients - 1)))


def seed_sd_of(world: World, ratio: float, recipes: int) -> float:
    """The latent standard deviation of seeds that is `ratio` patient standard errors, of a value or of a difference."""
    if world.slope == 0:
        return 0.0
    values, _ = world.draw(generator(0, "interval-simulation", "scale", world.name), 1000, recipes, 1, 0.0)
    # Half of a seed's variance is shared by two recipes: a difference has the variance of one recipe.
    spread = (values[:, 0, 0] - values[:, 1, 0]).std() if recipes == 2 else values.std()
    return ratio * float(spread) / world.slope


def estimates(world: World, worlds: int, seeds: int, seed_sd: float) -> dict[str, float]:
    """Coverage of the interval of a single recipe's value, and of what was rejected."""
    rng, truth = (
        generator(0, "interval-simulation", world.name, world.design, seeds, int(seed_sd * 1e6)),
        world.truth(seed_sd),
    )
    hits: list[tuple[bool, bool, bool]] = []
    spreads: list[tuple[float, float, float]] = []
    for _ in range(worlds // CHUNK):
        values, contributions = world.draw(rng, CHUNK, 1, seeds, seed_sd)
        spread = two_way(values[:, 0], contributions[:, 0])
        error, usual = np.sqrt(spread.variance), satterthwaite(spread, seeds, world.patients)
        for i, value in enumerate(values[:, 0].mean(axis=-1).tolist()):
            made = interval(value, float(error[i]), float(spread.df[i]), world.bounds)
            other = interval(value, float(error[i]), float(usual[i]), world.bounds)
            plain = interval(value, float(error[i]), float(spread.df[i]))
            hits.append(tuple(low <= truth <= high for low, high in (made, other, plain)))
            spreads.append((float(spread.seeds[i] / spread.variance[i]), float(spread.df[i]), made[1] - made[0]))
    rate, rate_satterthwaite, rate_plain = np.mean(hits, axis=0).tolist()
    share, df, width = np.mean(spreads, axis=0).tolist()
    return {
        "truth": truth,
        "rate": rate,
        "rate_satterthwaite": rate_satterthwaite,
        "rate_plain": rate_plain,
        "seeds_share": share,
        "mean_df": df,
        "mean_width": width,
    }


def false_positives(world: World, worlds: int, seeds: int, seed_sd: float, family: int) -> dict[str, float]:
    """How often a family of true null hypotheses (each recipe against the first) yields a finding after Holm."""
    rng = generator(0, "interval-simulation", world.name, world.design, seeds, int(seed_sd * 1e6), "null", family)
    found: list[np.ndarray] = []
    spreads: list[tuple[float, float]] = []
    for _ in range(worlds // CHUNK):
        values, contributions = world.draw(rng, CHUNK, family + 1, seeds, seed_sd)
        spread = two_way(values[:, 1:] - values[:, :1], contributions[:, 1:] - contributions[:, :1])
        t = np.abs((values[:, 1:] - values[:, :1]).mean(axis=-1)) / np.sqrt(spread.variance)
        usual = satterthwaite(spread, seeds, world.patients)
        # Holm rejects something exactly where the least p lies under alpha / m.
        found.append(np.stack([(2 * stats.t.sf(t, df)).min(axis=1) < 0.05 / family for df in (spread.df, usual)], 1))
        spreads.append((float((spread.seeds / spread.variance).mean()), float(spread.df.mean())))
    rate, rate_satterthwaite = np.concatenate(found).mean(axis=0).tolist()
    share, df = np.mean(spreads, axis=0).tolist()
    return {"truth": 0.0, "rate": rate, "rate_satterthwaite": rate_satterthwaite, "seeds_share": share, "mean_df": df}


def differences(world: World, worlds: int, seeds: int, seed_sd: float) -> dict[str, float]:
    """Coverage of the interval of a difference of two recipes of equal value, which share samples and seeds.

    `rate_plain`: with the errors within models taken as independent of each other, as before.
    """
    rng = generator(0, "interval-simulation", world.name, world.design, seeds, int(seed_sd * 1e6), "difference")
    hits: list[np.ndarray] = []
    widths: list[float] = []
    for _ in range(worlds // CHUNK):
        values, contributions = world.draw(rng, CHUNK, 2, seeds, seed_sd)
        difference = values[:, 0] - values[:, 1]
        spread = two_way(difference, contributions[:, 0] - contributions[:, 1])
        alone = (np.sqrt((contributions**2).sum(axis=-1)).mean(axis=-1) ** 2).sum(axis=-1)
        value = np.abs(difference.mean(axis=-1))
        half = stats.t.ppf(0.975, spread.df) * np.sqrt(spread.variance)
        before = 1.96 * np.sqrt(difference.var(axis=-1, ddof=1) / seeds + alone)
        hits.append(np.stack([value <= half, value <= before], axis=1))
        widths.append(float(2 * half.mean()))
    rate, rate_plain = np.concatenate(hits).mean(axis=0).tolist()
    return {"truth": 0.0, "rate": rate, "rate_plain": rate_plain, "mean_width": float(np.mean(widths))}


DIFFERENCE = "coverage of a difference"
QUANTITIES: dict[str, tuple[int, Callable[[World, int, int, float], dict[str, float]]]] = {
    "coverage": (1, estimates),
    DIFFERENCE: (2, differences),
    "false positives, 1 contrast": (2, lambda *cell: false_positives(*cell, family=1)),
    "false positives, Holm of 4": (2, lambda *cell: false_positives(*cell, family=4)),
}


def cells() -> Iterator[tuple[World, str, float]]:
    """Every (world, quantity, ratio) that is simulated."""
    single = [auroc_world(area, 200, 80) for area in (0.65, 0.8, 0.95)]
    small, clustered = auroc_world(0.8, 60, 20), auroc_world(0.8, 100, 40, images=2)
    for world in (*single, small, clustered, mean_world(200), accuracy_world(0.8, 200)):
        for ratio in RATIOS:
            yield world, "coverage", ratio
    shared, tests = sobol_world(256), list(QUANTITIES)[2:]
    for world in (single[1], single[2], mean_world(200)):
        for quantity in tests:
            for ratio in RATIOS:
                yield world, quantity, ratio
    for world, quantities in ((single[1], [DIFFERENCE]), (shared, [DIFFERENCE, *tests])):
        for quantity in quantities:
            for ratio in RATIOS:
                yield world, quantity, ratio
    for world in [kfold_world(200, 80, noise) for noise in (0.0, 0.5, 1.5)]:
        for quantity in ("coverage", "false positives, 1 contrast"):
            yield world, quantity, float("nan")


def simulate(world: World, quantity: str, ratio: float, seeds: int, worlds: int) -> dict[str, object]:
    """One row of the table."""
    recipes, run = QUANTITIES[quantity]
    result = run(world, worlds, seeds, 0.0 if np.isnan(ratio) else seed_sd_of(world, ratio, recipes))
    promised = target(quantity, seeds) if world.promised else (0.0, 1.0)
    return {
        "design": world.design,
        "measure": world.name,
        "seeds": seeds,
        "seed_sd": ratio,
        "patients": world.patients,
        "positives": world.positives,
        "quantity": quantity,
        **judged(result, promised, worlds),
    }


if __name__ == "__main__":
    tabulate(__doc__, COLUMNS, "docs/results/interval-simulation.csv", cells, simulate)
