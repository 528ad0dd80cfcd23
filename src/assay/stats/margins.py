"""Tests against a margin stated beforehand: a difference that would not matter, in either direction or in the worse."""

from __future__ import annotations

import math

from scipy import stats

from assay.core.types import Direction


def equivalence(value: float, standard_error: float, df: float, margin: float) -> float:
    """The p-value of a difference of at least the margin: the greater of two one-sided tests (Schuirmann 1987)."""
    _check(margin)
    return float(stats.t.sf((margin - abs(value)) / standard_error, df))


def noninferiority(value: float, standard_error: float, df: float, margin: float, direction: Direction) -> float:
    """The p-value of a being worse than b by at least the margin, value being a - b: one one-sided test.

    direction: which way of the measure is better; NaN where neither is. Of the two tests of equivalence it is the one
    that looks the worse way, so that what is equivalent is not inferior either, and what is better never is.
    """
    _check(margin)
    if direction == "none":
        return math.nan
    better = value if direction == "higher" else -value
    return float(stats.t.sf((margin + better) / standard_error, df))


def _check(margin: float) -> None:
    if margin <= 0:
        raise ValueError(f"the margin is {margin}: give a positive difference that would not matter")
