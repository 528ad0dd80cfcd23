"""Measure how often an audit stops for another reading of a model that is read rightly, and of one that is not.

A model is read in eight ways, whose scores are correlated; every order of its outputs is tried with each. In the rows
without a gain all ways have the same AUROC (accuracy, of several classes), which is the worst case of a model that is
read rightly: at most 1 of 100 audits may stop. With a gain, the classes are the other way round and another way is
better, as with a model of AUROC 0.93 that is read as 0.79.

    python benchmarks/misreading_simulation.py [repetitions]
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np
from scipy.special import ndtri

from assay.analysis.audit import Scored, better
from assay.core.types import FactorTable

WAYS, PATIENT = 8, 0.5
"""Ways to read images, and the share of the variance of scores that is of patients."""
SIZES, PER_PATIENT = (40, 80, 160, 400), (1, 4)


def table_of(rng: np.random.Generator, n: int, each: int, classes: int) -> FactorTable:
    """Return images of patients who have `each` images, of which any may be of any class."""
    target = rng.permutation(np.arange(n) % classes)
    return FactorTable(row=np.arange(n), target=target, patient=np.arange(n) // each,
                       classes=tuple(f"c{k}" for k in range(classes)))  # fmt: skip


def noise(rng: np.random.Generator, table: FactorTable, shared: float) -> np.ndarray:
    """Return noise of each way [ways, n], correlated between ways and within patients, with variance 1."""
    people = int(table.patient.max()) + 1
    draws = [rng.normal(size=(WAYS, people))[:, table.patient], rng.normal(size=(WAYS, len(table)))]
    common = [rng.normal(size=people)[table.patient], rng.normal(size=len(table))]
    parts = [np.sqrt(shared) * one + np.sqrt(1 - shared) * own for one, own in zip(common, draws, strict=True)]
    return np.sqrt(PATIENT) * parts[0] + np.sqrt(1 - PATIENT) * parts[1]


def pair(rng: np.random.Generator, table: FactorTable, areas: np.ndarray, shared: float) -> list[Scored]:
    """Return the answers of each way, with these AUROCs, below 0.5 where the classes are the other way round."""
    shift = np.sqrt(2) * ndtri(areas)
    scores = noise(rng, table, shared) + shift[:, None] * (table.target - 0.5)
    return [Scored(table, np.stack([np.zeros(len(table)), one], axis=1), 0.5) for one in scores]


def several(rng: np.random.Generator, table: FactorTable, shared: float) -> list[Scored]:
    """Return the answers of each way with several classes, right in a half to two thirds of the images."""
    parts = [noise(rng, table, shared) + 1.0 * (table.target == k) for k in range(len(table.classes))]
    return [Scored(table, np.stack([part[way] for part in parts], axis=1), 0.5) for way in range(WAYS)]


def stopped(rng: np.random.Generator, answers: list[Scored]) -> bool:
    """Return whether the audit of the first way stops."""
    table = answers[0].table
    second = rng.permutation(int(table.patient.max()) + 1)[table.patient] % 2 == 1
    return better(answers[0], {f"way {at}": one for at, one in enumerate(answers[1:], 1)}, second) is not None


def rows(repetitions: int) -> Iterator[tuple[str, str, int, int, float, int]]:
    """Yield what is read, its AUROC, images, images per patient, correlation of ways, and how many audits stop."""
    rng = np.random.default_rng(0)
    for n in SIZES:
        for each in PER_PATIENT:
            for shared in (0.5, 0.95):
                for right in (0.6, 0.7, 0.8):
                    areas = np.full(WAYS, right)
                    areas[-1] = 1 - right  # such as inverted gray values
                    found = sum(stopped(rng, pair(rng, table_of(rng, n, each, 2), areas, shared))
                                for _ in range(repetitions))  # fmt: skip
                    yield "rightly", f"{right}", n, each, shared, found
            found = sum(stopped(rng, several(rng, table_of(rng, n, each, 3), 0.8)) for _ in range(repetitions))
            yield "rightly, 3 classes", "", n, each, 0.8, found
            wrong = np.full(WAYS, 0.79)
            wrong[1] = 0.07
            found = sum(stopped(rng, pair(rng, table_of(rng, n, each, 2), wrong, 0.5)) for _ in range(repetitions))
            yield "wrongly, 0.79 for 0.93", "0.79", n, each, 0.5, found


def main() -> None:
    """Print a line of each, and the greatest rate of false stops."""
    repetitions = int(sys.argv[1]) if len(sys.argv) > 1 else 400
    worst, total, every = 0.0, 0, 0
    for what, right, n, each, shared, found in rows(repetitions):
        print(f"read {what:24} AUROC {right:5} {n:4} images, {each} a patient, ways correlated {shared}: "
              f"{found} of {repetitions} audits stop", flush=True)  # fmt: skip
        if what.startswith("rightly"):
            worst, total, every = max(worst, found / repetitions), total + found, every + repetitions
    print(f"false stops: {total} of {every}, in the worst row {worst:.3f}, promised 0.01")


if __name__ == "__main__":
    main()
