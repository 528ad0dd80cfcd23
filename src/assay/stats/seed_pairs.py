"""Whether two recipes are less alike than their own seeds are, by any measure of how alike two models are.

Two models of one recipe that differ in their seed differ too. So likeness between recipes is taken between models of
different seeds, and beside it stands the likeness between different seeds of each recipe alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Float
from scipy import stats

from assay.stats.compare import holm
from assay.stats.estimate import CONFIDENCE, MINIMUM_SEEDS

ALPHA = 1 - CONFIDENCE
EXACT_FLIPS = 15
"""Up to so many seeds all sign flips are gone through."""
ROUNDING = 1e-7
"""A standard error up to this is what activations in float32 leave: nothing varied."""
Conclusion = Literal["beyond seeds", "not shown", "undefined"]


@dataclass(frozen=True, slots=True)
class Likeness:
    """How alike models of two recipes are, beside how alike the seeds of each are.

    value: mean likeness of a model of a and one of b of another seed. within: of two seeds of a; against_within: of b.
    below: the mean of the two, less the value: how much less alike the recipes are than seeds alone; with its 95 %
    interval, standard error, degrees of freedom and one-sided p. sign_flip_p, sign_flip_min_p: see `beyond_seeds`.
    reason: why there is no value, or no interval.
    """

    value: float
    within: float
    against_within: float
    below: float
    low: float = math.nan
    high: float = math.nan
    standard_error: float = math.nan
    df: float = math.nan
    p: float = math.nan
    sign_flip_p: float = math.nan
    sign_flip_min_p: float = math.nan
    seeds: int = 0
    reason: str = ""


def between_seeds(likeness: Float[np.ndarray, "s s"]) -> float:
    """The mean over pairs of different seeds; NaN with fewer than two, or where one is undefined."""
    s = len(likeness)
    return float(likeness[~np.eye(s, dtype=bool)].mean()) if s > 1 else math.nan


def beyond_seeds(
    across: Float[np.ndarray, "s s"], own: Float[np.ndarray, "s s"], others: Float[np.ndarray, "s s"]
) -> Likeness:
    """Whether models of recipes a and b are less alike than seeds of a, and seeds of b, are among themselves.

    across: likeness of seed i of a to seed j of b; own, others: of two seeds of a, and of b; any measure that does not
    ask which model comes first. The diagonals are not looked at: two recipes share initial weights and batches at one
    seed, which no two seeds of a recipe do.

    `below` is the mean over pairs of seeds i < j of half of (own_ij + others_ij - across_ij - across_ji). It is 0 for
    every pair where both recipes give the same models, and 0 in expectation where they give models of the same law. For
    a measure that is an inner product, as CKA is of centred Gram matrices of length 1, it is half the squared distance
    between the mean matrices of the recipes, without bias (the MMD of Gretton et al. 2012, paired by seed).

    The standard error is the jackknife's over seeds, with s - 1 degrees of freedom; under 3 seeds there is none. On
    models of one law it errs on the wide side (docs/statistics.md). The sign-flip test swaps the recipes' models seed
    by seed, which turns the sign of a pair's term where one of its seeds is swapped; it does not decide: its least p is
    1 / 2^(s - 1).
    """
    seeds = len(across)
    apart = (own + others - across - across.T) / 2
    found = Likeness(
        between_seeds(across), between_seeds(own), between_seeds(others), between_seeds(apart), seeds=seeds
    )
    if seeds < MINIMUM_SEEDS:
        few = "two are needed to tell seeds apart" if seeds < 2 else f"no interval is drawn under {MINIMUM_SEEDS}"
        return replace(found, reason=f"{seeds} seed{'' if seeds == 1 else 's'}: {few}")
    if math.isnan(found.below):
        return replace(found, reason="undefined for some seeds")
    error = _jackknife(apart)
    if error <= ROUNDING:
        return replace(found, standard_error=error, reason="nothing varied between seeds")
    reach = float(stats.t.ppf(1 - ALPHA / 2, seeds - 1)) * error
    flipped, least = _sign_flip(apart)
    return replace(
        found,
        low=found.below - reach,
        high=found.below + reach,
        standard_error=error,
        df=seeds - 1,
        p=float(stats.t.sf(found.below / error, seeds - 1)),
        sign_flip_p=flipped,
        sign_flip_min_p=least,
    )


def conclusions(family: Sequence[Likeness]) -> list[tuple[float, Conclusion]]:
    """Of each likeness of a family its p after Holm, and what it amounts to."""
    adjusted: list[float] = holm(np.array([one.p for one in family])).tolist()
    return [(p, "undefined" if math.isnan(p) else "beyond seeds" if p < ALPHA else "not shown") for p in adjusted]


def cohen_kappa(ones: np.ndarray, others: np.ndarray) -> float:
    """Agreement of two models' calls beyond chance, up to 1 (Cohen 1960): (agreed - expected) / (1 - expected).

    ones, others: class codes [n] of the same images. expected: the agreement of calls that are made as often, image by
    image at random. 0 for independent calls, negative where they agree less; NaN of no image, and where both call all
    images one and the same class.
    """
    if not len(ones):
        return math.nan
    expected = sum(float((ones == label).mean() * (others == label).mean()) for label in np.unique(ones))
    return (float((ones == others).mean()) - expected) / (1 - expected) if expected < 1 else math.nan


def _jackknife(apart: Float[np.ndarray, "s s"]) -> float:
    """The standard error of the mean over pairs, from leaving out one seed at a time."""
    s = len(apart)
    rows = np.where(np.eye(s, dtype=bool), 0.0, apart).sum(axis=1)
    without = (rows.sum() - 2 * rows) / ((s - 1) * (s - 2))
    return float(np.sqrt((s - 1) / s * ((without - without.mean()) ** 2).sum()))


def _sign_flip(apart: Float[np.ndarray, "s s"]) -> tuple[float, float]:
    """The share of swaps of seeds under which the recipes are at least as far apart; and the least it can be."""
    s = len(apart)
    if s > EXACT_FLIPS:
        return math.nan, math.nan
    signs = 1.0 - 2.0 * np.indices((2,) * (s - 1)).reshape(s - 1, -1).T  # swapping all changes nothing
    signs = np.concatenate([np.ones((len(signs), 1)), signs], axis=1)
    off = np.where(np.eye(s, dtype=bool), 0.0, apart)
    flipped = np.einsum("fi,ij,fj->f", signs, off, signs)
    return float((flipped >= off.sum() - 1e-12 * np.abs(off).sum()).mean()), 1 / len(signs)
