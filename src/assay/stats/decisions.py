"""Decisions in families: deciding intervals, margins, seeds that would settle a question, and controls."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy import stats

from assay.core.reasons import Code, because, reason_of
from assay.core.seeds import LOOKS
from assay.stats.compare import Contrast, Correction, Decision, holm_factors
from assay.stats.estimate import degrees, limited
from assay.stats.findings import Decided, decided
from assay.stats.rows import ALPHA, COMPARED, CONTROLS, SHOWN, UNCLAIMED, Row, text_of

MOST_SEEDS = 1000
"""A question that more seeds than this would leave open is one of patients."""
LOOK_ALPHA = 0.02
"""Nominal level of a primary family at each look; together the looks keep `ALPHA` (docs/statistics.md)."""
SETTLED = (Decided.HIGHER, Decided.LOWER, Decided.HIGHER_SMALL, Decided.LOWER_SMALL, Decided.EQUIVALENT)
"""Decisions that answer a question; all others are inconclusive."""


@dataclass(frozen=True, slots=True)
class Ruling:
    """What a decision rests on, and what an open question would need.

    Attributes:
        level: Level of the interval that decided, correction included.
        low: Its lower end.
        high: Its upper end.
        p: The p-value beside it, after correction.
        least_margin: The smallest margin at which the contrast would be equivalent, the other contrasts as they are.
        seeds_needed: Seeds with which every true difference would be decided; NaN where it is decided, or where no
            number up to `MOST_SEEDS` suffices.
        patients_needed: Patients that would settle it with the seeds of the last look, where seeds alone cannot.
    """

    level: float
    low: float
    high: float
    p: float
    least_margin: float
    seeds_needed: float
    patients_needed: float


def rulings(
    family: Sequence[Contrast], decisions: Sequence[Decision], correction: Correction = "holm", alpha: float = ALPHA
) -> list[Ruling]:
    """Return what each decision of a family rests on."""
    size = len(family) if correction == "holm" else 1
    factors = deciding_factors(np.array([one.p for one in family]), correction, alpha)
    equal = deciding_factors(np.array([one.equivalence_p for one in family]), correction, alpha)
    return [
        _ruling(one, decision, factor, reach, size, alpha)
        for one, decision, factor, reach in zip(family, decisions, factors.tolist(), equal.tolist(), strict=True)
    ]


def deciding_factors(
    p: Float[np.ndarray, " m"], correction: Correction = "holm", alpha: float = ALPHA
) -> Float[np.ndarray, " m"]:
    """Return the number by which the level of each test was divided when it was decided.

    Holm's method stops at the first p-value that is not small enough. All that follow are not rejected at that step.
    """
    if correction == "fixed-order":
        return np.ones(len(p))
    factors = holm_factors(p)
    stopped = factors[~(p * factors < alpha)]
    return factors if not len(stopped) else np.maximum(factors, stopped.max())


def _ruling(one: Contrast, decision: Decision, factor: float, reach: float, size: int, alpha: float) -> Ruling:
    """Rule on one contrast. factor, reach: by which the levels of difference and equivalence were divided."""
    equivalent = decision.conclusion == "equivalent"
    half = float(stats.t.isf(alpha / factor / 2, one.df)) * one.standard_error
    level, low, high = 1 - alpha / factor, one.value - half, one.value + half
    if equivalent:
        level, low, high = decision.equivalence_level, decision.equivalence_low, decision.equivalence_high
    least = abs(one.value) + float(stats.t.isf(alpha / reach, one.df)) * one.standard_error
    open_ = decision.conclusion in ("inconclusive", "depends on the scale")
    needed = settling(one, size, alpha) if open_ and one.margin > 0 else (math.nan, math.nan)
    p = decision.equivalence_p_holm if equivalent else decision.p_holm
    return Ruling(level, low, high, p, least, *needed)


def settling(one: Contrast, size: int, alpha: float = ALPHA) -> tuple[float, float]:
    """Return the seeds that would decide a contrast whatever the truth, and the patients where seeds cannot.

    With a standard error s, equivalence is shown up to margin - t s of the estimate, and a difference from t' s on.
    The question is settled where the two meet: (t + t') s = margin, about 20 (sd / margin)^2 seeds for a family of 3.

    Args:
        one: The contrast, with a margin.
        size: Comparisons of its family, all of which may come before it.
        alpha: The level of the family.
    """
    if one.spread is None or not one.seeds:
        return math.nan, math.nan
    seeds = np.arange(3, MOST_SEEDS + 1)
    between: Float[np.ndarray, " s"] = float(one.spread.seeds) * one.seeds / seeds
    rest = max(0.0, float(one.spread.patients - one.spread.residual))
    df = limited(degrees(between, between + rest, seeds - 1, one.spread.df_patients), seeds, one.group, size)
    tested = np.asarray(stats.t.isf(alpha / size, df) + stats.t.isf(alpha / size / 2, df))
    enough = np.flatnonzero(tested * np.sqrt(between + rest) <= one.margin)
    if len(enough):
        return float(max(seeds[enough[0]], one.seeds + 1)), math.nan
    at = LOOKS[-1] - 3
    allowed = (one.margin / float(tested[at])) ** 2 - float(between[at])
    return math.nan, float(math.ceil(one.patients * rest / allowed)) if allowed > 0 else math.nan


# Controls, and what may be claimed without them.


def with_decisions(contrasts: Sequence[Row]) -> list[dict[str, Any]]:
    """Return contrasts with their decision; nothing is claimed where a control failed."""
    failed = [row for row in contrasts if _verdict(row) in ("undetected", "differs")]
    claimed = [_unclaimed(row, failed[0]) if failed and not _verdict(row) else dict(row) for row in contrasts]
    return [{**row, "decision": _verdict(row) or settled(row)} for row in claimed]


def settled(row: Row) -> str:
    """Return the decision in one of four words: a difference, a small one, equivalent, or inconclusive."""
    found = decided(row)
    return str(found if found in SETTLED else Decided.INCONCLUSIVE)


def _verdict(row: Row) -> str:
    """Return what a control showed; empty for a comparison that is none."""
    role, conclusion = text_of(row, "role"), text_of(row, "conclusion")
    if role not in CONTROLS:
        return ""
    if role == "positive-control":
        return "detected" if conclusion == text_of(row, "expected") else "undetected"
    if conclusion == "undefined":
        return "untested"
    return "differs" if conclusion in SHOWN else "no difference"


def _unclaimed(row: Row, control: Row) -> dict[str, Any]:
    reason = because(Code.CONTROL_FAILED, **{name: text_of(control, name) for name in ("role", *COMPARED)})
    if row.get("conclusion") == "undefined":
        return dict(row)
    return {**row, "conclusion": UNCLAIMED, "reason": str(reason_of(row) + reason), "seeds_needed": math.nan}
