"""What the simulations of docs/statistics.md share: effects of seeds and patients, targets, the table that is kept."""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from assay.stats.influence import auroc_influence, correct_small_sample
from assay.stats.metrics import placements

SEEDS = (3, 5, 10)
RATIOS = (0.1, 1.0, 3.0)
"""Standard deviation between seeds over the standard error over patients of one seed's value."""
CHUNK = 250
"""Worlds that are drawn at a time."""


def effects(
    rng: np.random.Generator, shape: tuple[int, int, int, int], seed_sd: float
) -> tuple[np.ndarray, np.ndarray]:
    """Seed effects [w, r, s, 1] and patient noise [w, r, s, p] of variance 2: half of the patient part is everyone's.

    Of a seed's variance half is shared by the recipes (same initial weights, same rows), as is most of a patient's.
    """
    worlds, recipes, seeds, patients = shape
    between = np.sqrt(0.5) * (rng.normal(size=(worlds, 1, seeds, 1)) + rng.normal(size=(worlds, recipes, seeds, 1)))
    noise = (
        np.sqrt(1.0) * rng.normal(size=(worlds, 1, 1, patients))
        + np.sqrt(0.25) * rng.normal(size=(worlds, recipes, 1, patients))
        + np.sqrt(0.25) * rng.normal(size=(worlds, 1, seeds, patients))
        + np.sqrt(0.5) * rng.normal(size=shape)
    )
    return seed_sd * between, noise


def aurocs(
    scores: np.ndarray, target: np.ndarray, patient: np.ndarray, fold: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """AUROC [...] of scores [..., n] (within folds where there are any), and the contributions [..., n] of its rows."""
    right, opposite = placements(scores, target, fold)
    values = right[..., target == 1].sum(axis=-1) / opposite[..., target == 1].sum(axis=-1)
    return values, correct_small_sample(auroc_influence(right, opposite, target), target, patient)


def target(quantity: str, seeds: int) -> tuple[float, float]:
    """What was promised: coverage .93 .. .97 (.92 .. .98 at 3 seeds), false positives up to .07 (.08 at 3 seeds)."""
    if quantity.startswith("coverage"):
        return (0.92, 0.98) if seeds == 3 else (0.93, 0.97)
    return (0.0, 0.08) if seeds == 3 else (0.0, 0.07)


def promised_claims(alike: bool, worlds: int) -> float:
    """Return the largest share of families with a false claim: 0.055, or 0.07 where seeds are not alike, and noise.

    The noise is two Monte Carlo errors.
    """
    promised = 0.055 if alike else 0.07
    return promised + 2 * float(np.sqrt(promised * (1 - promised) / worlds))


def judged(result: Mapping[str, float], promised: tuple[float, float], worlds: int) -> dict[str, object]:
    """A cell's result beside its target, which is met within two Monte Carlo errors of it."""
    (low, high), done, rate = promised, worlds // CHUNK * CHUNK, result["rate"]
    error = float(np.sqrt(rate * (1 - rate) / done))
    met = low - 2 * error <= rate <= high + 2 * error
    return {"worlds": done, "mc_error": error, "target_low": low, "target_high": high, "met": met, **result}


def tabulate(
    doc: str | None,
    columns: Sequence[str],
    out: str,
    cells: Callable[[], Iterable[tuple[object, ...]]],
    simulate: Callable[..., dict[str, object]],
    numbers: Sequence[int] = SEEDS,
) -> None:
    """The script: simulate every cell at every number of seeds, print each row, and keep the table as it grows.

    simulate(*cell, seeds, worlds) -> a row with values for `columns`.
    """
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, default=4000, help=f"experiments per cell, a multiple of {CHUNK}")
    parser.add_argument("--out", type=Path, default=Path(out))
    given = parser.parse_args()
    rows: list[dict[str, object]] = []
    started = time.monotonic()
    for cell in cells():
        for seeds in numbers:
            row = simulate(*cell, seeds, given.worlds)
            rows.append({key: round(value, 4) if isinstance(value, float) else value for key, value in row.items()})
            print(f"{time.monotonic() - started:5.0f} s", *(rows[-1].get(key, "") for key in columns), flush=True)
            _write(given.out, columns, rows)
    missed = [row for row in rows if not row["met"]]
    print(f"{len(rows)} cells, {len(missed)} outside their target")


def _write(path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n", restval="")
        writer.writeheader()
        writer.writerows(rows)
