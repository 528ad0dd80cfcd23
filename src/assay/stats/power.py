"""What a contrast can detect: from a standard error that was found, or from assumptions before anything has run."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats

from assay.stats.estimate import degrees

POWER = 0.8
OF_RANKS = ("auroc", "auroc-macro", "auroc-top-mean", "auroc-area")
OF_POSITIVES = ("sensitivity", "dice", "iou", "pixel-precision", "pixel-recall")
OF_NEGATIVES = (
    "specificity",
    "false-positive-rate",
    "false-positive-area",
    "false-positive-rate-at-80",
    "false-positive-rate-at-90",
    "false-positive-rate-at-95",
)
OF_ALL = ("accuracy", "dice-one", "dice-zero", "dice-smoothed")
"""Shares and means between 0 and 1 over the images of a class, or of all."""


def detectable(standard_error: float, df: float, power: float = POWER, alpha: float = 0.05) -> float:
    """The true difference that a two-sided t-test finds with this power; NaN where the standard error is.

    By the noncentral t distribution. For a family of m contrasts give alpha / m, Holm's first step.
    """
    if np.isnan(standard_error) or np.isnan(df):
        return float("nan")
    critical = float(stats.t.ppf(1 - alpha / 2, df))

    def shortfall(shift: float) -> float:
        return float(stats.nct.sf(critical, df, shift)) - power

    # sf rises from alpha / 2 at a shift of 0 to its half near the critical value, and on.
    return float(optimize.brentq(shortfall, 0.0, 4 * critical + 10)) * standard_error


@dataclass(frozen=True, slots=True)
class Assumptions:
    """What is taken for granted when nothing has run yet. Defaults are what small trials of the phantom study showed.

    value: AUROC or share expected. seed_sd: standard deviation of the paired difference over seeds of one training
    each. correlation: of two recipes' contributions of the same patient.
    """

    value: float = 0.8
    seed_sd: float = 0.05
    correlation: float = 0.5

    def sentence(self, folds: int = 1) -> str:
        """The assumptions in words, to stand beside the number."""
        independent = f"between trainings ({folds} folds of a seed taken for independent)"
        between = "between seeds" if folds == 1 else independent
        return (
            f"assuming a value near {self.value:.2g}, paired differences that vary by {self.seed_sd:.2g} {between}, "
            f"and a correlation of {self.correlation:.2g} between the recipes' answers about a patient"
        )


def rests_on(name: str, positives: int, negatives: int) -> int | None:
    """The patients behind a measure, given those of either class; 0 where it has none, and None where a plan cannot
    tell: a distance, an error without an upper end, images or lesions that only outputs decide on.
    """
    if name in OF_RANKS:
        return positives + negatives if min(positives, negatives) else 0
    parts = {**dict.fromkeys(OF_POSITIVES, positives), **dict.fromkeys(OF_NEGATIVES, negatives)}
    return {**parts, **dict.fromkeys(OF_ALL, positives + negatives)}.get(name)


def planned(
    seeds: int,
    positives: int,
    negatives: int,
    name: str,
    assumed: Assumptions | None = None,
    family: int = 1,
    folds: int = 1,
) -> float:
    """The difference that a contrast could detect at 80 % power with so many seeds and patients of either class.

    For AUROC (binary or macro) the variance over patients is Hanley and McNeil's (1982); for shares and bounded means
    it is at most that of a share, which is what is taken. With folds a seed's value is the mean of as many trainings,
    taken for independent. NaN under 3 seeds, under 2 patients of a class where the measure ranks one above the other,
    under 2 patients behind it otherwise, and where `rests_on` says None.
    """
    patients = rests_on(name, positives, negatives)
    fewest = min(positives, negatives) if name in OF_RANKS else patients
    if patients is None or fewest is None or seeds < 3 or fewest < 2:
        return float("nan")
    given = assumed or Assumptions()
    single = patient_variance(given.value, positives, negatives, name)
    between, within = given.seed_sd**2 / (seeds * folds), 2 * single * (1 - given.correlation)
    df = float(degrees(np.array(between), np.array(between + within), seeds - 1, patients - 1))
    return detectable(float(np.sqrt(between + within)), df, alpha=0.05 / family)


def patient_variance(value: float, positives: int, negatives: int, name: str) -> float:
    """The variance over patients of one model's measure, one image a patient, at this true value.

    Raises ValueError for a measure of which `rests_on` knows no patients.
    """
    count = rests_on(name, positives, negatives)
    if not count:
        raise ValueError(f"no patients are known behind '{name}' of {positives} and {negatives}")
    if name in OF_RANKS:
        q1, q2 = value / (2 - value), 2 * value**2 / (1 + value)
        spread = (positives - 1) * (q1 - value**2) + (negatives - 1) * (q2 - value**2)
        return (value * (1 - value) + spread) / (positives * negatives)
    return value * (1 - value) / count
