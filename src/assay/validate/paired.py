"""Differences of two models, each trained once, on the same cases: over patients alone."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from scipy.special import stdtr, stdtrit

from assay.validate.curves import ALPHA, ScoredCases

Outcome = Literal["superior", "inferior", "inconclusive"]
Equivalence = Literal["equivalent", "non-inferior", "not shown", "no margin"]
MEASURES = ("auroc", "sensitivity", "specificity")


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """A difference of two models, the first less the second.

    Attributes:
        value: The difference.
        low: Lower end of the 95% interval.
        high: Upper end.
        p: Two-sided p-value of no difference.
        noninferiority_p: One-sided p-value of being worse by the margin or more; NaN without a margin.
        equivalence_p: p-value of being apart by the margin or more, of two one-sided tests; NaN without a margin.
        outcome: Test of no difference at 5%, two-sided.
        equivalence: Tests against the margin, whatever the outcome: equivalence at 5%; else non-inferiority at 2.5%,
            one-sided. A small deficit can be significant and within the margin.
    """

    value: float
    low: float
    high: float
    p: float
    noninferiority_p: float
    equivalence_p: float
    outcome: Outcome
    equivalence: Equivalence


def paired_difference(
    measure: str, first: ScoredCases, second: ScoredCases, margin: float = math.nan
) -> PairedDifference:
    """Compare two models on the same cases by AUROC, sensitivity or specificity.

    The variance is that of the differences of the contributions of patients: for AUROC with one image a patient that
    of DeLong et al. (1988). Student's t with the effective degrees of freedom of patients.

    Example: 10 positives, of which both find 7, only the first 2 and only the second none: 0.2; with one image a
    patient its squared error is 0.2 * 0.8 / 9.

    Returns:
        Ends and p-values are NaN, and nothing is shown, where nothing varies: both models call alike.
    """
    (a, first_contributions), (b, second_contributions) = first.by_patient[measure], second.by_patient[measure]
    value, contributions = a - b, first_contributions - second_contributions
    error, nan = contributions.error, math.nan
    if not error > 1e-12:
        return PairedDifference(value, nan, nan, nan, nan, nan, "inconclusive", _equivalence_of(margin, nan, nan))
    df = contributions.df
    half_width = float(stdtrit(df, 1 - ALPHA / 2)) * error

    def p_above(limit: float) -> float:
        """Return the p-value of a difference of at most the limit."""
        return float(stdtr(df, (limit - value) / error))

    p = 2 * float(stdtr(df, -abs(value) / error))
    worse_p, apart_p = p_above(-margin), max(p_above(-margin), 1 - p_above(margin))
    low, high = max(-1.0, value - half_width), min(1.0, value + half_width)
    outcome = "inconclusive" if p >= ALPHA else "superior" if value > 0 else "inferior"
    return PairedDifference(value, low, high, p, worse_p, apart_p, outcome, _equivalence_of(margin, worse_p, apart_p))


def difference_row(
    measure: str, first: tuple[str, ScoredCases], second: tuple[str, ScoredCases], margin: float = math.nan
) -> dict[str, Any]:
    """Return the row of `differences` of two models with their names."""
    (name, cases), (against, other_cases) = first, second
    difference = paired_difference(measure, cases, other_cases, margin)
    return {
        "model": name,
        "against": against,
        "measure": measure,
        "margin": margin,
        "patients": len(np.unique(cases.patient)),
        **asdict(difference),
    }


def _equivalence_of(margin: float, worse_p: float, apart_p: float) -> Equivalence:
    if math.isnan(margin):
        return "no margin"
    if apart_p < ALPHA:
        return "equivalent"
    return "non-inferior" if worse_p < ALPHA / 2 else "not shown"
