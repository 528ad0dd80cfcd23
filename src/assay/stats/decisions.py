"""Decisions in families: deciding intervals, margins, seeds that would settle a question, pooling, exhausted scales."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any, Literal

import numpy as np
from jaxtyping import Float
from scipy import stats

from assay.core.measures import better, range_of
from assay.core.reasons import NOTHING, Code, Reason, because, reason_of
from assay.core.seeds import LOOKS
from assay.stats.compare import ADJUSTMENTS, Contrast, Correction, holm_factors, tested, untested
from assay.stats.doses import on_both_scales
from assay.stats.estimate import Spread, degrees, limited, moderated, recombined, sure_of, uncertainty
from assay.stats.panel import combine
from assay.stats.rows import (
    ALPHA,
    COMPARED,
    CONTROLS,
    EXHAUSTED,
    NONINFERIORITY_ALPHA,
    SHOWN,
    UNCLAIMED,
    Row,
    belongs,
    ends,
    mapping,
    numeric,
    of_the_model,
    text_of,
)

MOST_SEEDS = 1000
"""A question that more seeds than this would leave open is one of patients."""
LOOK_ALPHA = 0.02
"""Nominal level of a primary family at each look; together the looks keep `ALPHA` (docs/statistics.md)."""


Conclusion = Literal["higher", "lower", "depends on the scale", "equivalent", "inconclusive", "undefined"]
SETTLED = ("higher", "lower", "higher-small", "lower-small", "equivalent")
"""Decisions that answer a question; all others are inconclusive. `-small`: also shown to be under the margin."""


@dataclass(frozen=True, slots=True)
class Decision:
    """Decision on a contrast within its family, as columns of `schema.CONTRASTS`; all p-values are corrected.

    Attributes:
        p_holm: That of a difference.
        equivalence_p: That of two one-sided tests within the margin; NaN without one.
        equivalence_level: Level of the interval that decides on equivalence: 90% for two one-sided tests at 0.05, more
            where Holm corrects them. It is within the margin wherever equivalence is shown.
        equivalence_low: Its lower end.
        equivalence_high: Its upper end.
        noninferiority_p: That of being worse by the margin or more; NaN without a margin or a direction.
        conclusion: The conclusion.
        decision_level: Level of the interval that decided, correction included.
        decision_low: Its lower end.
        decision_high: Its upper end.
        decision_p: The p-value beside it.
        least_margin: The smallest margin at which the contrast would be equivalent, the other contrasts as they are.
        seeds_needed: Seeds with which every true difference would be decided; NaN where it is decided, or where no
            number up to `MOST_SEEDS` suffices.
        patients_needed: Patients that would settle it with the seeds of the last look, where seeds alone cannot.
    """

    p_holm: float
    equivalence_p: float
    equivalence_level: float
    equivalence_low: float
    equivalence_high: float
    noninferiority_p: float
    conclusion: Conclusion
    decision_level: float
    decision_low: float
    decision_high: float
    decision_p: float
    least_margin: float
    seeds_needed: float
    patients_needed: float


def decide(family: Sequence[Contrast], alpha: float = ALPHA, correction: Correction = "holm") -> list[Decision]:
    """Decide on each contrast of a family.

    Differences, equivalences and non-inferiorities are each corrected; a fixed order is that of the contrasts. A
    difference that is shown is called one even where it is also within the margin. One that needs two scales and is
    shown on one of them, or on both with opposite signs, `depends on the scale`; the other scale's p-values are
    corrected as a family too. Contrasts that are neither shown to differ nor shown to be equivalent are `inconclusive`;
    those that could not be tested are `undefined`.
    """
    adjust = ADJUSTMENTS[correction]
    p: list[float] = adjust(np.array([one.p for one in family])).tolist()
    depends = _on_one_scale(family, alpha, adjust)
    # A family's tests against a margin are those that were stated with one, and the worse way needs a direction.
    margins = [not np.isnan(one.margin) for one in family]
    within = [one.equivalence_p for one in family]
    equal = _among(adjust, within, margins)
    steps = _among(holm_factors if correction == "holm" else np.ones_like, within, margins)
    directed = [margin and one.direction != "none" for one, margin in zip(family, margins, strict=True)]
    not_worse = _among(adjust, [one.noninferiority_p for one in family], directed)
    # By what the levels of difference and equivalence were divided where each was decided.
    factors: list[float] = deciding_factors(np.array([one.p for one in family]), correction, alpha).tolist()
    reaches: list[float] = deciding_factors(np.array(within), correction, alpha).tolist()
    size = len(family) if correction == "holm" else 1
    made: list[Decision] = []
    for i, one in enumerate(family):
        conclusion = _conclusion(one, p[i], equal[i], depends[i], alpha)
        against_margin = _within(one, 1 - 2 * (alpha / steps[i]), float(stats.t.ppf(1 - alpha / steps[i], one.df)))
        decided = (*_within(one, 1 - alpha / factors[i], float(stats.t.isf(alpha / factors[i] / 2, one.df))), p[i])
        least = abs(one.value) + float(stats.t.isf(alpha / reaches[i], one.df)) * one.standard_error
        open_ = conclusion in ("inconclusive", "depends on the scale") and one.margin > 0
        needed = settling(one, size, alpha) if open_ else (math.nan, math.nan)
        decided = (*against_margin, equal[i]) if conclusion == "equivalent" else decided
        made.append(Decision(p[i], equal[i], *against_margin, not_worse[i], conclusion, *decided, least, *needed))
    return made


def _within(one: Contrast, level: float, reach: float) -> tuple[float, float, float]:
    """Return a level with the ends of its interval, `reach` standard errors from the difference."""
    half = reach * one.standard_error
    return level, one.value - half, one.value + half


def _among(
    adjust: Callable[[Float[np.ndarray, " m"]], Float[np.ndarray, " m"]], p: Sequence[float], asked: Sequence[bool]
) -> list[float]:
    """Adjusted p-values of those that were asked for, NaN for the others."""
    adjusted, positions = np.full(len(p), np.nan), np.flatnonzero(asked)
    adjusted[positions] = adjust(np.array(p)[positions])
    return adjusted.tolist()


def _on_one_scale(family: Sequence[Contrast], alpha: float, adjust: Callable[[np.ndarray], np.ndarray]) -> list[bool]:
    """Find contrasts of two scales that are shown on one of them alone, or on both with opposite signs."""
    plain = adjust(np.array([one.scales.plain_p if one.scales else one.p for one in family]))
    other = adjust(np.array([one.scales.probit_p if one.scales else one.p for one in family]))
    shown = zip(plain < alpha, other < alpha, strict=True)  # NaN is never shown
    return [
        one.scales is not None and bool(first != second or (first and not one.scales.agree))
        for one, (first, second) in zip(family, shown, strict=True)
    ]


def _conclusion(one: Contrast, p: float, equivalence_p: float, depends: bool, alpha: float) -> Conclusion:
    if np.isnan(p):
        return "undefined"
    if p < alpha:
        return "higher" if one.value > 0 else "lower"
    if depends:
        return "depends on the scale"
    return "equivalent" if equivalence_p < alpha else "inconclusive"


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


def small_by(row: Row) -> Literal["", "equivalence", "noninferiority"]:
    """Return the test by which a difference that is shown is also under the margin, or empty.

    Of a worse recipe that is equivalence or non-inferiority: the two are one of a difference to the worse. Empty where
    the scale is exhausted: recipes at the end of a measure cannot differ by more than the margin.
    """
    conclusion, good = row.get("conclusion"), better(text_of(row, "measure"))
    if conclusion not in SHOWN or text_of(row, "exhausted"):
        return ""
    if good and conclusion != good and numeric(row, "noninferiority_p") < NONINFERIORITY_ALPHA:
        return "noninferiority"
    return "equivalence" if numeric(row, "equivalence_p") < ALPHA else ""


def settled(row: Row) -> str:
    """Return the decision on a row of `schema.CONTRASTS`: one of `SETTLED`, or inconclusive."""
    conclusion = text_of(row, "conclusion")
    if conclusion in SHOWN:
        return f"{conclusion}-small" if small_by(row) else conclusion
    return "equivalent" if conclusion == "equivalent" else "inconclusive"


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


# Pooling: the seeds' part of the variance of several contrasts is moderated, or contrasts are averaged into one.


def pooled(group: Sequence[Contrast]) -> list[Contrast]:
    """Test the contrasts of a pooling group again, with the variance over seeds moderated over the group.

    With few seeds, a variance over seeds that is small by chance would leave the patients' many degrees of freedom, and
    a family of true null hypotheses would be claimed too often. A contrast that has no variance stays as it is and
    moderates no other; one on two scales is moderated on each.
    """
    results = _pooled(group)
    scaled = [i for i, one in enumerate(group) if one.scales and one.scales.probit]
    others = _pooled([scales.probit for i in scaled if (scales := group[i].scales) and scales.probit])
    for i, other in zip(scaled, others, strict=True):
        results[i] = on_both_scales(results[i], other)
    return results


def _pooled(group: Sequence[Contrast]) -> list[Contrast]:
    results = list(group)
    known = [
        (i, one.whole, one.spread) for i, one in enumerate(group) if one.whole is not None and one.spread is not None
    ]
    if not known:
        return results
    parts = [whole for _, whole, _ in known]
    common = reduce(np.intersect1d, [part.seeds for part in parts])
    together = np.zeros((len(parts), 1))  # without a common seed: no more degrees of freedom than one contrast has
    if len(common):
        together = np.stack([part.values[np.isin(part.seeds, common)] for part in parts])
    own = np.array([part.values.var(ddof=1) for part in parts])
    seeds, df = moderated(own, np.array([len(part.seeds) for part in parts]), together)
    for k, (i, _, spread) in enumerate(known):
        results[i] = _again(group[i], recombined(spread, seeds[k], df[k]), len(known))
    return results


def guarded(one: Contrast, family: int) -> Contrast:
    """Test a contrast again with the degrees of freedom of few seeds, if it is alone in its pooling group.

    Args:
        one: The contrast, tested with the variance of its pooling group.
        family: Contrasts of its family, those without a test included.
    """
    again = _limited(one, family)
    if again is one or one.scales is None or one.scales.probit is None:
        return again
    return on_both_scales(again, _limited(one.scales.probit, family))


def _limited(one: Contrast, family: int) -> Contrast:
    if one.spread is None:
        return one
    df = limited(one.spread.df, one.seeds, one.group, family)
    return _again(one, replace(one.spread, df=df), one.group) if df < one.spread.df else one


def _again(one: Contrast, spread: Spread, group: int) -> Contrast:
    """Test a contrast with another variance."""
    assert one.whole is not None
    margin = None if np.isnan(one.margin) else one.margin
    again = tested(one.whole, sure_of(spread), margin, left_out=one.left_out, paired_patients=one.paired_patients)
    return replace(again, equal=one.equal, direction=one.direction, group=group)


def mean_of(members: Sequence[Contrast], margin: float | None = None) -> Contrast:
    """Return the mean of several contrasts, each seed and patient averaged first.

    Its variance is that of the averaged differences, over the seeds that all members have. It is undefined where one
    of them is. Where members are tested on two scales, so is the mean.
    """
    parts = [one.whole for one in members if one.whole is not None]
    if lost := next((one for one in members if np.isnan(one.value)), None):
        return untested(lost.reason, margin)
    whole = combine(parts, np.full(len(parts), 1 / len(parts)))
    most = max(one.seeds + one.left_out for one in members)
    patients = min(one.paired_patients for one in members)
    plain = tested(whole, uncertainty(whole), margin, left_out=most - len(whole.seeds), paired_patients=patients)
    others = [one.scales.probit for one in members if one.scales and one.scales.probit]
    return on_both_scales(plain, mean_of(others)) if len(others) == len(members) else plain


# Comparisons whose recipes all are at one end of the scale, where equivalence is no result.
#
# Two recipes within the margin of an end cannot differ by more than the margin, whatever they are. The same holds at
# chance for measures of skill, such as the AUROC of a coin or the accuracy of naming the commonest class. An effect of
# 0 is no end: that neither recipe has one is a result. The conclusion is "scale exhausted" and never "equivalent".

NEAR_WORST = 0.05
"""Share of the range next to its worst end within which recipes are at that end, whatever the margin."""


def with_ends_of_scale(contrasts: Sequence[Row], estimates: Sequence[Row]) -> list[dict[str, Any]]:
    """Contrasts with the column `exhausted`, and with "scale exhausted" in place of "equivalent" where it is set."""
    marked: list[dict[str, Any]] = []
    for row in contrasts:
        where = str(end_of_scale(row, estimates))
        equivalent = row.get("conclusion") == "equivalent"
        marked.append({**row, "exhausted": where, **({"conclusion": EXHAUSTED} if where and equivalent else {})})
    return marked


def end_of_scale(contrast: Row, estimates: Sequence[Row]) -> Reason:
    """Return the end of the scale at which every value behind a contrast is, as a code; nothing elsewhere.

    The values are those of both recipes, at every budget or dose that is compared. Chance is an end for equivalent
    values alone: an interval may also hold chance for want of data.
    """
    sides = [_values(contrast, estimates, side) for side in ("a", "b")]
    rows = [row for side in sides for row in side]
    if not all(sides):
        return NOTHING
    margin = numeric(contrast, "margin")
    margin = 0.0 if math.isnan(margin) else margin
    low, high = range_of(text_of(contrast, "measure"))
    worst = {"higher": low, "lower": high}.get(better(text_of(contrast, "measure")), math.nan)
    for end in (low, high):
        near = max(margin, NEAR_WORST * (high - low)) if end == worst and math.isfinite(high - low) else margin
        if math.isfinite(end) and all(abs(numeric(row, "value") - end) <= near for row in rows):
            return because(Code.NEAR_END_OF_SCALE, margin=near, end=end)
    skill = better(text_of(contrast, "measure")) in ("higher", "lower")  # an effect of 0 is a result, not a guess
    if skill and contrast.get("conclusion") == "equivalent" and all(_at_chance(row) for row in rows):
        return because(Code.AT_CHANCE)
    return NOTHING


def _values(contrast: Row, estimates: Sequence[Row], side: str) -> list[Row]:
    """Estimates of the measure of one recipe that a contrast rests on."""
    environments = mapping(contrast.get("pooled")).get("environment", [text_of(contrast, "environment")])
    return [
        row
        for environment in dict.fromkeys(environments)
        for row in of_the_model(estimates, contrast, environment)
        if not math.isnan(numeric(row, "value")) and belongs(row, contrast, side)
    ]


def _at_chance(row: Row) -> bool:
    low, high = ends(row)
    return low <= numeric(row, "chance") <= high
