"""What a contrast can detect: from a standard error that was found, or from assumptions before anything has run."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats

from assay.stats.variance import degrees

POWER = 0.8


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

    value: AUROC or share expected. seed_sd: standard deviation over seeds of the paired difference. correlation: of two
    recipes' contributions of the same patient.
    """

    value: float = 0.8
    seed_sd: float = 0.05
    correlation: float = 0.5

    @property
    def sentence(self) -> str:
        """The assumptions in words, to stand beside the number."""
        return (
            f"assuming a value near {self.value:.2g}, paired differences that vary by {self.seed_sd:.2g} between "
            f"seeds, and a correlation of {self.correlation:.2g} between the recipes' answers about a patient"
        )


def planned(
    seeds: int, positives: int, negatives: int, name: str, assumed: Assumptions | None = None, family: int = 1
) -> float:
    """The difference that a contrast could detect at 80 % power with so many seeds and patients of either class.

    For AUROC (binary or macro) the variance over patients is Hanley and McNeil's (1982); for shares and bounded means
    it is at most that of a share, which is what is taken. NaN under 3 seeds or 2 patients of a class.
    """
    if seeds < 3 or min(positives, negatives) < 2:
        return float("nan")
    given = assumed or Assumptions()
    single = patient_variance(given.value, positives, negatives, name)
    between, patients = given.seed_sd**2 / seeds, 2 * single * (1 - given.correlation)
    variance = between + patients
    df = float(degrees(np.array(between), np.array(variance), seeds - 1, positives + negatives - 1))
    return detectable(float(np.sqrt(variance)), df, alpha=0.05 / family)


def patient_variance(value: float, positives: int, negatives: int, name: str) -> float:
    """The variance over patients of one model's measure, one image a patient, at this true value."""
    if name in ("auroc", "auroc-macro"):
        q1, q2 = value / (2 - value), 2 * value**2 / (1 + value)
        spread = (positives - 1) * (q1 - value**2) + (negatives - 1) * (q2 - value**2)
        return (value * (1 - value) + spread) / (positives * negatives)
    count = {"sensitivity": positives, "specificity": negatives}.get(name, positives + negatives)
    return value * (1 - value) / count
