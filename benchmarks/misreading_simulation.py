"""How often does an audit stop for another reading of a model that is read rightly, and of one that is not?

    python benchmarks/misreading_simulation.py --worlds 500 --out docs/results/misreading-simulation.csv

A model is read in eleven ways, whose scores are correlated; every order of its outputs is tried with each. In the rows
of models that are read rightly all ways have the same AUROC (accuracy, of three classes) but that of inverted gray
values, which is inverted. This is the worst case: at most 1 of 100 audits may stop. Rows with a tenth of positives are
harder than that: 0.8 of the variance is of patients, half of whose images may be of a few (`uneven`). In the rows of
models that are read wrongly the classes are the other way round and another way is better: a model of AUROC 0.93 is
read as 0.79. `met` is that the stops and two Monte Carlo errors are at most 0.01; a cell where they are not gets four
times as many worlds, and then twelve times. One core, 8 minutes.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from _simulation import tabulate
from scipy.special import ndtri

from assay.audit.scored import INVERTED_GRAY, ScoredImages, better_preprocessing
from assay.core.seeds import generator
from assay.core.types import FactorTable

COLUMNS = ("model", "auroc", "images", "per_patient", "of_patient", "positives", "correlation", "patient_share",
           "worlds", "stops", "mc_error", "met")  # fmt: skip
WAYS, PROMISED = 11, 0.01
"""Ways to read images, and the share of false stops at most."""
THREE = "rightly, 3 classes"
CELLS = {"rightly": (0.6, 0.7, 0.8), THREE: (0.0,), "wrongly": (0.79,)}
"""What is read -> its AUROC."""
_Cell = tuple[str, float, int, int, str, float, float, float]


def cells() -> Iterator[_Cell]:
    """Yield every model, AUROC, images, images per patient, classes of a patient, share of positives, correlation of
    the ways, and share of the variance of scores that is of patients.
    """
    for images in (40, 80, 160, 400):
        for each, of in ((1, "one"), (4, "any"), (4, "one")):
            for model, areas in CELLS.items():
                for area in areas if images < 100 else areas[-1:]:
                    yield model, area, images, each, of, 0.5, 0.5, 0.5
        if images < 100:
            yield "rightly", 0.7, images, 1, "one", 0.5, 0.95, 0.5
            yield "rightly", 0.7, images, 1, "one", 0.15, 0.5, 0.5
            yield "rightly", 0.8, images, 1, "one", 0.15, 0.5, 0.5
            yield "rightly", 0.6, images, 1, "one", 0.1, 0.5, 0.8
            yield "rightly", 0.8, images, 1, "one", 0.1, 0.5, 0.8
        if images < 200:
            yield "rightly", 0.7, images, 1, "one", 0.1, 0.5, 0.8
            for of in ("any", "one", "uneven"):
                yield "rightly", 0.7, images, 4, of, 0.1, 0.5, 0.8


def table_of(rng: np.random.Generator, images: int, each: int, of: str, positives: float, classes: int) -> FactorTable:
    """Return images of patients who have `each` images, of any class or all of one.

    Of `uneven` patients half have one image, of any class, and the others share the rest in parts of twice `each`.
    """
    count = images // each if of == "one" else images
    codes = np.arange(count) % classes if classes > 2 else (np.arange(count) < positives * count).astype(np.int64)
    target = np.repeat(codes, each) if of == "one" else rng.permutation(codes)
    patient = np.arange(images) // each
    if of == "uneven":
        patient = np.where(np.arange(images) < images // 2, np.arange(images), images + np.arange(images) // (2 * each))
    return FactorTable(
        row=np.arange(images),
        target=target,
        patient=np.unique(patient, return_inverse=True)[1],
        classes=tuple(f"c{k}" for k in range(classes)),
    )


def noise(rng: np.random.Generator, table: FactorTable, shared: float, patient: float) -> np.ndarray:
    """Return noise of each way [ways, n], correlated between ways and within patients, with variance 1."""
    people = int(table.patient.max()) + 1
    draws = [rng.normal(size=(WAYS, people))[:, table.patient], rng.normal(size=(WAYS, len(table)))]
    common = [rng.normal(size=people)[table.patient], rng.normal(size=len(table))]
    parts = [np.sqrt(shared) * one + np.sqrt(1 - shared) * own for one, own in zip(common, draws, strict=True)]
    return np.sqrt(patient) * parts[0] + np.sqrt(1 - patient) * parts[1]


def answers(
    rng: np.random.Generator, model: str, area: float, table: FactorTable, shared: float, patient: float
) -> list[ScoredImages]:
    """Return the answers of each way; with several classes, right in a half to two thirds of the images."""
    if model == THREE:
        parts = [noise(rng, table, shared, patient) + (table.target == k) for k in range(len(table.classes))]
        return [ScoredImages(table, np.stack([part[way] for part in parts], axis=1), 0.5) for way in range(WAYS)]
    areas = np.full(WAYS, area)
    at, other = (1, 1 - 0.93) if model == "wrongly" else (-1, 1 - area)  # the last is inverted
    areas[at] = other
    signal = np.sqrt(2) * ndtri(areas)[:, None] * (table.target - 0.5)
    scores = noise(rng, table, shared, patient) + signal
    return [ScoredImages(table, np.stack([np.zeros(len(table)), one], axis=1), 0.5) for one in scores]


def stopped(rng: np.random.Generator, ways: list[ScoredImages]) -> bool:
    """Return whether the audit of the first way stops."""
    table = ways[0].table
    second = rng.permutation(int(table.patient.max()) + 1)[table.patient] % 2 == 1
    names = [*(f"way {at}" for at in range(1, WAYS - 1)), INVERTED_GRAY]
    return better_preprocessing(ways[0], dict(zip(names, ways[1:], strict=True)), second) is not None


def simulate(
    model: str,
    area: float,
    images: int,
    each: int,
    of: str,
    positives: float,
    shared: float,
    patient: float,
    _: int,
    worlds: int,
) -> dict[str, object]:
    """One row of the table."""
    rng = generator(0, "misreading", model, area, images, each, of, positives, shared, patient)  # pyright: ignore[reportArgumentType]
    classes = 3 if model == THREE else 2
    stops: list[bool] = []
    rate, error, met = 0.0, 1.0, False
    for more in (worlds, 3 * worlds, 8 * worlds):
        if not met:
            stops += [
                stopped(rng, answers(rng, model, area, drawn, shared, patient))
                for drawn in (table_of(rng, images, each, of, positives, classes) for _ in range(more))
            ]
            rate = float(np.mean(stops))
            error = float(np.sqrt(max(rate * (1 - rate), 1 / len(stops) / 4) / len(stops)))
            met = model == "wrongly" or rate + 2 * error <= PROMISED
    return {
        "model": model,
        "auroc": area or "",
        "images": images,
        "per_patient": each,
        "of_patient": of,
        "positives": "" if model == THREE else positives,
        "correlation": shared,
        "patient_share": patient,
        "worlds": len(stops),
        "stops": rate,
        "mc_error": error,
        "met": met,
    }


if __name__ == "__main__":
    tabulate(__doc__, COLUMNS, "docs/results/misreading-simulation.csv", cells, simulate, (0,))
