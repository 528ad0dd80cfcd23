"""Differences of two models, each trained once, on the same cases: over patients alone."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from assay.stats.bounds import Skew
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
    of DeLong et al. (1988). Interval and p-values are by Student's t and `stats.bounds.Skew`, and agree.

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
    df, skew = contributions.df, contributions.skew

    def p_value(side: Literal[0, 1], limit: float) -> float:
        """Return the p-value of a difference of at most (0), or of at least (1), the limit."""
        return _level_of_bound(skew, df, side, (1 - 2 * side) * (value - limit) / error)

    p = min(1.0, 2 * min(p_value(0, 0.0), p_value(1, 0.0)))
    worse_p, apart_p = p_value(0, -margin), max(p_value(0, -margin), p_value(1, margin))
    below, above = skew.quantiles(df, ALPHA / 2)
    low, high = max(-1.0, value - below * error), min(1.0, value + above * error)
    outcome = "inconclusive" if p >= ALPHA else "superior" if value > 0 else "inferior"
    return PairedDifference(value, low, high, p, worse_p, apart_p, outcome, _equivalence_of(margin, worse_p, apart_p))


def _level_of_bound(skew: Skew, df: float, side: Literal[0, 1], distance: float) -> float:
    """Return the level at which the lower (0) or upper (1) bound is so many standard errors away; NaN of NaN."""
    least, most = (math.nan, math.nan) if math.isnan(distance) else (1e-300, 1.0)
    while least < (middle := math.sqrt(least) * math.sqrt(most)) < most:  # until no float is between them
        least, most = (middle, most) if skew.quantiles(df, middle)[side] > distance else (least, middle)
    return most


def difference_row(
    measure: str, first: tuple[str, ScoredCases], second: tuple[str, ScoredCases], margin: float = math.nan
) -> dict[str, Any]:
    """Return the row of `differences` of two models with their names."""
    (name, cases), (against, other_cases) = first, second
    return {
        "model": name,
        "against": against,
        "measure": measure,
        "margin": margin,
        "patients": len(np.unique(cases.patient)),
        **asdict(paired_difference(measure, cases, other_cases, margin)),
    }


def _equivalence_of(margin: float, worse_p: float, apart_p: float) -> Equivalence:
    if math.isnan(margin):
        return "no margin"
    return "equivalent" if apart_p < ALPHA else "non-inferior" if worse_p < ALPHA / 2 else "not shown"
