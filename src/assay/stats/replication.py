"""Hold a comparison against its replication: prediction, agreement to be expected, and the estimate of both runs.

A run's variance V is crossed: a part A of its seeds, and the rest of its patients. A replication has other seeds, and
other patients where these can be drawn again. Its difference d2 is then expected about the first one, d1, with the
variance V1 + V2; with the same patients their part is common to both, and A1 + A2 is left. Degrees of freedom are
Satterthwaite's.
"""

from __future__ import annotations

import math
from itertools import pairwise

from scipy.special import stdtr, stdtrit

from assay.stats.rows import ALPHA, CONFIDENCE, Row, numeric

RUN_COLUMNS = ("value", "standard_error", "df", "seed_error", "seeds")
"""Columns of `schema.CONTRASTS` that are used of either run."""


def replication_row(first: Row, second: Row, *, family: int, new_patients: bool) -> Row:
    """Return the columns of `schema.REPLICATIONS` that rest on both runs; NaN where a run has no error.

    Args:
        first: Row of `schema.CONTRASTS` of the first run.
        second: The same comparison of the replication.
        family: Comparisons that are corrected together in the replication.
        new_patients: Whether it has other patients.
    """
    d1, e1, df1, a1, s1 = (numeric(first, name) for name in RUN_COLUMNS)
    d2, e2, df2, a2, s2 = (numeric(second, name) for name in RUN_COLUMNS)
    between = (e1**2, df1), (e2**2, df2)
    spread = between if new_patients else ((a1**2, s1 - 1), (a2**2, s2 - 1))
    error, df = _add_errors(*spread)
    half = _interval_reach(error, df)
    # Each seed counts alike, whichever run it is of.
    both = s1 + s2 if s1 and s2 else math.nan
    w1, w2 = s1 / both, s2 / both
    pooled, shared = w1 * d1 + w2 * d2, w1 * w2 * math.sqrt(max(0, e1**2 - a1**2) * max(0, e2**2 - a2**2))
    error_of_difference, df_pooled = _add_errors(
        *((weight**2 * v, df) for weight, (v, df) in zip((w1, w2), between, strict=True))
    )
    width = _interval_reach(math.sqrt(error_of_difference**2 + (0 if new_patients else 2 * shared)), df_pooled)
    return {
        "predicted_low": d1 - half,
        "predicted_high": d1 + half,
        "within": "" if math.isnan(half) else "yes" if abs(d2 - d1) <= half else "no",
        "agreement": _agreement(first, second, family, error, df),
        "both": math.nan if math.isnan(width) else pooled,
        "both_low": pooled - width,
        "both_high": pooled + width,
    }


def _add_errors(*parts: tuple[float, float]) -> tuple[float, float]:
    """Return the standard error and degrees of freedom of a sum of independent parts (variance, df)."""
    variance = math.fsum(part for part, _ in parts)
    if not variance > 0:
        return math.nan, math.nan
    return math.sqrt(variance), variance**2 / math.fsum(part**2 / df for part, df in parts)


def _interval_reach(error: float, df: float) -> float:
    return -error * float(stdtrit(df, (1 - CONFIDENCE) / 2))


def _agreement(first: Row, second: Row, family: int, error: float, df: float) -> float:
    """Return the probability of the first run's decision, where d2 is expected about d1.

    It is the mass of the prediction on all d2 that the tests of the second run decide so, each at the level of Holm's
    first step.
    """
    margin, standard_error = numeric(second, "margin"), numeric(second, "standard_error")
    difference_reach, equivalence_reach = (
        -standard_error * float(stdtrit(numeric(second, "df"), ALPHA / family / k)) for k in (2, 1)
    )
    if math.isnan(error) or math.isnan(difference_reach) or math.isnan(margin):
        return math.nan
    ends = sorted(
        sign * end
        for sign in (-1, 1)
        for end in (0, difference_reach, max(0, margin - equivalence_reach), margin + difference_reach)
    )
    pieces = [(-math.inf, ends[0]), *pairwise(ends), (ends[-1], math.inf)]
    d1 = numeric(first, "value")
    mass = 0.0
    for low, high in pieces:
        inside = low + 1 if math.isinf(high) else high - 1 if math.isinf(low) else (low + high) / 2
        if _decide_difference(inside, difference_reach, equivalence_reach, margin) == first["decision"]:
            mass += float(stdtr(df, (high - d1) / error) - stdtr(df, (low - d1) / error))
    return mass


def _decide_difference(value: float, difference_reach: float, equivalence_reach: float, margin: float) -> str:
    """Return the decision on a difference.

    Args:
        value: The difference.
        difference_reach: Distance from 0, or beyond the margin, at which a difference is shown.
        equivalence_reach: Distance from the margin at which a difference of less is shown.
        margin: The margin.
    """
    small = abs(value) < margin - equivalence_reach
    is_beyond_margin = abs(value) > margin + difference_reach
    if abs(value) <= difference_reach:
        return "equivalent" if small else "inconclusive"
    return f"{'higher' if value > 0 else 'lower'}{'-beyond' if is_beyond_margin else '-small' if small else ''}"
