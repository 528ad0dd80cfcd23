"""Whether recipes of one law are called different in their representations, and how often others are found.

    python benchmarks/likeness_simulation.py [--studies 2000] [--seeds 3 5 10] [--dimensions 1 3 20] [--shifts 0 1 3]
        [--out FILE]

A model stands for a unit vector, as a centered Gram matrix of length 1 does in CKA; likeness is the inner product. The
models of a recipe lie around its mean, 2 in one direction, with normal noise of variance 1 in so many others; the mean
of the second recipe lies `shift` away in one more. Told are the share of made-up studies with p < .05, and the share
whose 95 % interval holds the mean over all of them.
"""

from __future__ import annotations

import argparse

import numpy as np
from _shared import Page, parser

from assay.stats.similarity import similarity_contrast

DISTANCE = 2.0


def models(rng: np.random.Generator, seeds: int, dimensions: int, shift: float) -> np.ndarray:
    """Unit vectors [seeds, dimensions + 2] of a recipe's models."""
    mean = np.concatenate([np.zeros(dimensions), [shift, DISTANCE]])
    drawn = np.tile(mean, (seeds, 1))
    drawn[:, :dimensions] += rng.normal(size=(seeds, dimensions))
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def cell(studies: int, seeds: int, dimensions: int, shift: float) -> tuple[float, float, float]:
    """Share of p < .05, share of intervals that hold the mean, and that mean, over so many made-up studies."""
    rng = np.random.default_rng([seeds, dimensions, int(1000 * shift)])
    found: list[tuple[float, float, float, float]] = []
    for _ in range(studies):
        a, b = models(rng, seeds, dimensions, 0.0), models(rng, seeds, dimensions, shift)
        one = similarity_contrast(a @ b.T, a @ a.T, b @ b.T)
        found.append((one.p, one.below, one.low, one.high))
    p, below, low, high = np.array(found).T
    truth = float(below.mean())
    return float((p < 0.05).mean()), float(((low <= truth) & (truth <= high)).mean()), truth


def main(asked: argparse.Namespace) -> None:
    """One row per number of seeds, directions of noise and shift."""
    page = Page(
        ("seeds", "directions of noise", "shift", "p < .05", "interval holds the mean", "mean"),
        asked.out,
        f"{asked.studies} made-up studies a row.",
    )
    for seeds in asked.seeds:
        for dimensions in asked.dimensions:
            for shift in asked.shifts:
                rejected, covered, mean = cell(asked.studies, seeds, dimensions, shift)
                page.row(seeds, dimensions, f"{shift:g}", f"{rejected:.3f}", f"{covered:.3f}", f"{mean:.4f}")
    page.close()


if __name__ == "__main__":
    made = parser(__doc__)
    made.add_argument("--studies", type=int, default=2000, metavar="N")
    made.add_argument("--seeds", type=int, nargs="+", default=[3, 5, 10], metavar="N")
    made.add_argument("--dimensions", type=int, nargs="+", default=[1, 3, 20], metavar="N")
    made.add_argument("--shifts", type=float, nargs="+", default=[0.0, 1.0, 3.0], metavar="X")
    main(made.parse_args())
