"""Do comparisons keep their error rate when few patients make up most of a class?

    python benchmarks/few_patients_simulation.py --worlds 2000 --out docs/results/few-patients-simulation.csv

Two recipes of equal true value are compared on patients of unequal numbers of images. `effective` is the effective
number of patients of the smaller class (`assay.stats.effective_patients_of_classes`), `claims` the share of worlds with
a difference at p < 0.05 by the two-way variance, and `decided` that of the rule of `assay.stats.compare`: nothing is
decided under 6. `by_influence` is the rule that was tried before: no decision where the contributions of a class have
fewer than 6 degrees of freedom, and `left_by_influence` the worlds that it leaves undecided. One core, 15 minutes.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from _simulation import promised_claims, tabulate

from assay.core.seeds import generator
from assay.stats.compare import make_contrast
from assay.stats.estimate import patient_degrees_of_freedom, uncertainty
from assay.stats.panel import SeedPredictions, combine, evaluate
from assay.stats.rows import MIN_PATIENTS

COLUMNS = (
    "patients", "measure", "seeds", "worlds", "effective", "claims", "decided", "by_influence", "left_by_influence",
    "met",
)  # fmt: skip
GEOMETRIC = np.round(np.geomspace(60, 1, 12)).astype(int)
LOGNORMAL = np.maximum(1, np.round(np.exp(generator(0, "few-patients").normal(1.5, 1, 40)))).astype(int)
SETS: dict[str, tuple[np.ndarray, np.ndarray]] = {
    "12 of 60 to 1 images": (GEOMETRIC, np.arange(12) % 2),
    "12 of 10": (np.full(12, 10), np.arange(12) % 2),
    "20 of 10": (np.full(20, 10), np.arange(20) % 2),
    "40 lognormal": (LOGNORMAL, np.arange(40) % 2),
    "100 of 1, 6 positive": (np.ones(100, int), (np.arange(100) < 6).astype(int)),
    "100 of 1, 10 positive": (np.ones(100, int), (np.arange(100) < 10).astype(int)),
}


def cells() -> Iterator[tuple[str, str]]:
    """Every (patients, measure) that is simulated."""
    for name in SETS:
        for measure in ("auroc", "accuracy"):
            yield name, measure


def panels(rng: np.random.Generator, sizes: np.ndarray, classes: np.ndarray, seeds: int) -> list[SeedPredictions]:
    """Two recipes that see the same images: effects of patients shared, of recipe and patient, and noise."""
    patient = np.repeat(np.arange(len(sizes)), sizes)
    target, images = classes[patient], len(patient)
    common = rng.normal(size=len(sizes))[patient] + rng.normal(size=images) + 1.2 * target
    made: list[SeedPredictions] = []
    for _ in range(2):
        own = common + 0.5 * rng.normal(size=len(sizes))[patient] + 0.5 * rng.normal(size=images)
        per_seed = 0.1 * rng.normal(size=(seeds, len(sizes)))[:, patient] + 0.5 * rng.normal(size=(seeds, images))
        made.append(SeedPredictions((own + per_seed)[..., None], target, patient))
    return made


def simulate(name: str, measure: str, seeds: int, worlds: int) -> dict[str, object]:
    """One row of the table."""
    sizes, classes = SETS[name]
    rng = generator(0, "few-patients", name, measure, seeds)
    claimed, sure = np.zeros(worlds, bool), np.zeros(worlds, bool)
    effective = 0.0
    for world in range(worlds):
        parts = [evaluate(panel, measure) for panel in panels(rng, sizes, classes, seeds)]
        whole = combine(parts, np.array([1.0, -1.0]))
        effective = whole.n_effective_patients
        found = make_contrast(whole, uncertainty(whole), None, left_out=0, paired_patients=len(sizes))
        claimed[world] = found.p < 0.05
        mean, own = whole.contributions.mean(axis=0), classes[whole.patients]
        df = [float(patient_degrees_of_freedom(mean[own == one], int((own == one).sum()))) for one in (0, 1)]
        sure[world] = min(df) + 1 >= MIN_PATIENTS
    decided = float(claimed.mean()) if effective >= MIN_PATIENTS else 0.0
    return {
        "patients": name,
        "measure": measure,
        "seeds": seeds,
        "worlds": worlds,
        "effective": effective,
        "claims": float(claimed.mean()),
        "decided": decided,
        "by_influence": float((claimed & sure).mean()),
        "left_by_influence": float(1 - sure.mean()),
        "met": decided <= promised_claims(False, worlds),
    }


if __name__ == "__main__":
    tabulate(__doc__, COLUMNS, "docs/results/few-patients-simulation.csv", cells, simulate)
