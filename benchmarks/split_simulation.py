"""How often do tests reject a true null hypothesis where seeds redraw little of the training set?

    python benchmarks/split_simulation.py --worlds 4000 --out docs/results/split-simulation.csv

Two recipes that are equal in law are trained on one pool of 150 patients and tested on 100 others. By shares, every
seed takes four fifths of the pool; by a column, every seed takes all of it and redraws initial weights and batch order
alone (noise); redrawn, every seed has training patients of its own, as on a phantom. Training is a ridge discriminant
that is really fitted. One core, a few minutes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
from _simulation import aurocs, judged, tabulate
from interval_simulation import COLUMNS, World, false_positives

POOL, TESTED, FEATURES, SIGNAL = 150, 100, 8, 0.35
SHARE = 0.8
Design = Literal["shares", "column", "redrawn"]


def world_of(design: Design, noise: float) -> World:
    """A world of one training pool. noise: random turns of a fitted direction, in units of its length."""
    train_target, test_target = (np.arange(of) < 0.4 * of for of in (POOL, TESTED))

    def images(rng: np.random.Generator, shape: tuple[int, ...], target: np.ndarray) -> np.ndarray:
        return rng.normal(size=(*shape, len(target), FEATURES)) + SIGNAL * target[:, None]

    def direction(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
        """x [w, r, s, p, f] and weights [w, 1, s, p] -> directions [w, r, s, f]."""
        bordered = np.concatenate([x, np.ones((*x.shape[:-1], 1))], axis=-1)
        weighted = bordered * weight[..., None]
        gram = np.swapaxes(bordered, -1, -2) @ weighted + np.eye(FEATURES + 1)
        right = np.swapaxes(weighted, -1, -2) @ (2.0 * train_target - 1)
        return np.linalg.solve(gram, right[..., None])[..., :FEATURES, 0]

    def draw(rng: np.random.Generator, worlds: int, recipes: int, seeds: int, seed_sd: float):
        pools = seeds if design == "redrawn" else 1
        x = images(rng, (worlds, recipes, pools), train_target)
        x = np.broadcast_to(x, (worlds, recipes, seeds, POOL, FEATURES))
        kept = SHARE if design == "shares" else 1.0
        weight = (rng.random((worlds, 1, seeds, POOL)).argsort(axis=-1) < kept * POOL).astype(np.float64)
        found = direction(x, weight)
        length = np.linalg.norm(found, axis=-1, keepdims=True)
        found = found + noise * length / np.sqrt(FEATURES) * rng.normal(size=found.shape)
        test = images(rng, (worlds, recipes), test_target)
        return aurocs(np.einsum("wrpf,wrsf->wrsp", test, found), test_target.astype(np.int64), np.arange(TESTED))

    positives = int(test_target.sum())
    name = f"{design}, noise {noise:g}"
    return World("auroc", name, draw, lambda seed_sd: 0.0, 0.0, (0.0, 1.0), TESTED, positives, promised=False)


def cells() -> Iterator[tuple[World]]:
    """Every world that is simulated."""
    for design in ("shares", "column", "redrawn"):
        for noise in (0.0, 0.2, 0.5, 1.5):
            if design != "column" or noise:  # all seeds of a column without noise are one model
                yield (world_of(design, noise),)


def simulate(world: World, seeds: int, worlds: int) -> dict[str, object]:
    """One row of the table."""
    return {
        "design": world.design,
        "measure": world.name,
        "seeds": seeds,
        "seed_sd": float("nan"),
        "patients": world.patients,
        "positives": world.positives,
        "quantity": "false positives, 1 contrast",
        **judged(false_positives(world, worlds, seeds, 0.0, family=1), (0.0, 1.0), worlds),
    }


if __name__ == "__main__":
    tabulate(__doc__, COLUMNS, "docs/results/split-simulation.csv", cells, simulate)
