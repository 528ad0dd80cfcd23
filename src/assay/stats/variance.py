"""One variance over crossed patients and seeds, its degrees of freedom, and the interval made of them.

Each seed's model sees each patient, so a mean over seeds varies with both. With values v[s] per seed and contributions
c[s, p] of patients (see `influence`), S seeds and P patients:

    A = var(v) / S                                   between seeds, which holds the residual once
    B = sum_p mean_s(c)^2                            between patients, which holds it once more
    E = sum_sp (c - mean_s(c))^2 / (S (S - 1))       the residual alone
    variance = max(A + B - E, A, B)

This is the two-way random-effects variance of the mean (mean squares of seeds + patients - residual, over S P), and the
two-way clustered one; the maximum keeps each component from being negative.

Degrees of freedom weigh the seeds' share of the variance, w = A / variance:

    1 / df = w / (S - 1) + (1 - w) / (P - 1)

Satterthwaite (1946) has the squares of the shares in place of the shares. With 3 seeds a share that is small by chance
then promises tens of degrees of freedom: a family of four true null hypotheses was rejected in a tenth of simulated
studies. docs/statistics.md has the simulation, docs/decisions/0005-intervals.md what else was tried.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True)
class Spread:
    """The variance of a mean over seeds, its degrees of freedom, and its parts A, B and E; one or a batch."""

    variance: Float[np.ndarray, "*w"]
    df: Float[np.ndarray, "*w"]
    seeds: Float[np.ndarray, "*w"]
    patients: Float[np.ndarray, "*w"]
    residual: Float[np.ndarray, "*w"]


def two_way(values: Float[np.ndarray, "*w s"], contributions: Float[np.ndarray, "*w s p"]) -> Spread:
    """The variance of the mean over seeds of `values`. Leading axes are a batch. At least 2 seeds and 2 patients.

    Where nothing varies the variance is 0 and the degrees of freedom are NaN.
    """
    seeds, patients = contributions.shape[-2:]
    a = values.var(axis=-1, ddof=1) / seeds
    b = (contributions.mean(axis=-2) ** 2).sum(axis=-1)
    e = ((contributions**2).sum(axis=(-2, -1)) - seeds * b) / (seeds * (seeds - 1))
    variance = np.maximum(a + b - e, np.maximum(a, b))
    return Spread(variance, degrees(a, variance, seeds - 1, patients - 1), a, b, e)


def covariance(
    a: Float[np.ndarray, " s"],
    b: Float[np.ndarray, " s"],
    moves_a: Float[np.ndarray, "s p"],
    moves_b: Float[np.ndarray, "s p"],
) -> float:
    """The covariance of the means of two measures over the same seeds: A + B - E, each of products for squares.

    moves_a, moves_b: contributions of the same patients in the same order, 0 where a measure does not rest on one.
    """
    seeds = len(a)
    between = float(np.cov(a, b)[0, 1]) / seeds
    shared = float(moves_a.mean(axis=0) @ moves_b.mean(axis=0))
    residual = (float((moves_a * moves_b).sum()) - seeds * shared) / (seeds * (seeds - 1))
    return between + shared - residual


def degrees(
    seeds: Float[np.ndarray, "*w"], variance: Float[np.ndarray, "*w"], df_seeds: float, df_patients: float
) -> Float[np.ndarray, "*w"]:
    """Degrees of freedom of a variance of which `seeds` is the seeds' part; NaN where the variance is 0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.minimum(seeds / variance, 1.0)
        return 1 / (share / df_seeds + (1 - share) / df_patients)  # infinite where only what has no end of df varies
