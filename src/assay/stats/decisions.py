"""Decisions in families: deciding intervals, margins, seeds that would settle a question, pooling, exhausted scales."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any, Literal

import numpy as np
from jaxtyping import Float
from scipy.special import stdtrit

from assay.core.measures import better, range_of
from assay.core.reasons import NO_REASON, Code, Reason, reason_of
from assay.core.seeds import LOOKS
from assay.stats.compare import (
    ADJUSTMENTS,
    Contrast,
    Correction,
    holm_factors,
    make_contrast,
    uncertainty_of_difference,
    untested_contrast,
)
from assay.stats.doses import combine_scales
from assay.stats.estimate import (
    VarianceComponents,
    degrees_of_freedom,
    limit_df,
    moderate_variances,
    replace_seed_variance,
    uncertainty_of_mean,
)
from assay.stats.panel import combine
from assay.stats.power import detectable_difference_of
from assay.stats.rows import (
    ALPHA,
    BEYOND_MARGIN,
    COMPARISON_KEY,
    CONCLUSIVE,
    CONTROLS,
    DIFFERENT,
    FAILED,
    ResultKey,
    Row,
    compared_estimates,
    is_on_side,
    is_undefined,
    json_object,
    numeric,
    result_key,
    row_interval,
    text_of,
)

MAX_SEEDS = 1000
"""A question that more seeds than this would leave open is one of patients."""
LOOK_ALPHA = 0.02
"""Nominal level of a primary family at each look; together the looks keep `ALPHA` (docs/statistics.md)."""


Label = Literal["higher-beyond", "lower-beyond", "higher", "lower", "equivalent", "inconclusive"]


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
        beyond_p: That of a difference of at most the margin, towards the sign of the value; NaN without a margin.
        noninferiority_p: That of being worse by the margin or more; NaN without a margin or a direction.
        decision: The decision by the tests of the family alone.
        decision_level: Level of the interval that decided, correction included.
        decision_low: Its lower end.
        decision_high: Its upper end.
        decision_p: The p-value beside it.
        least_margin: The smallest margin at which the contrast would be equivalent, the other contrasts as they are;
            NaN without a margin.
        seeds_needed: Seeds with which every true difference would be decided; NaN where it is decided, or where no
            number up to `MAX_SEEDS` suffices.
        patients_needed: Patients that would settle it with the seeds of the last look, where seeds alone cannot.
        reason: Why the decision is less than the tests show: the difference depends on the scale, or seeds are too few;
            empty otherwise.

    Examples:
        >>> from assay.stats.compare import linear_contrast
        >>> from assay.stats.panel import measure_by_seed
        >>> part = measure_by_seed(np.array([-0.002, -0.001, 0.0, 0.001, 0.002]), np.arange(5))
        >>> (decision,) = decide([linear_contrast([part], np.ones(1), margin=0.05)])
        >>> decision.decision, -0.05 < decision.equivalence_low < decision.equivalence_high < 0.05
        ('equivalent', True)
    """

    p_holm: float
    equivalence_p: float
    equivalence_level: float
    equivalence_low: float
    equivalence_high: float
    beyond_p: float
    noninferiority_p: float
    decision: Label
    decision_level: float
    decision_low: float
    decision_high: float
    decision_p: float
    least_margin: float
    seeds_needed: float
    patients_needed: float
    reason: Reason = NO_REASON


def decide(family: Sequence[Contrast], alpha: float = ALPHA, correction: Correction = "holm") -> list[Decision]:
    """Decide on each contrast of a family.

    Differences, differences beyond the margin, equivalences and non-inferiorities are each corrected; a fixed order
    is that of the contrasts. A difference that is shown is called one even where it is also within the margin. It
    is `-beyond` where its corrected one-sided p-value of at most the margin is under half the level: an interval
    beyond the margin does not suffice, since its correction is that of the tests against zero. A difference that
    needs two scales and is shown on one of them, or on both with opposite signs, is inconclusive, since it depends
    on the scale; the other scale's p-values are corrected as a family too. Contrasts that are neither shown to
    differ nor shown to be equivalent are `inconclusive`, and so are those that could not be tested.

    Examples:
        >>> from assay.stats.compare import linear_contrast
        >>> from assay.stats.panel import measure_by_seed
        >>> seeds = np.arange(5)
        >>> large, small = (measure_by_seed(np.array([-2, -1, 0, 1, 2]) / 1000 + mean, seeds) for mean in (0.2, 0.0))
        >>> family = [linear_contrast([part], np.ones(1), margin=0.05) for part in (large, small)]
        >>> [decision.decision for decision in decide(family)]
        ['higher-beyond', 'equivalent']
    """
    adjust = ADJUSTMENTS[correction]
    p_adjusted: list[float] = adjust(np.array([contrast.p for contrast in family])).tolist()
    depends_on_scale = _depends_on_scale(family, alpha, adjust)
    # A family's tests against a margin are those that were stated with one, and the worse way needs a direction.
    has_margin = [not np.isnan(contrast.margin) for contrast in family]
    raw_equal = [contrast.equivalence_p for contrast in family]
    equal_p = _among(adjust, raw_equal, has_margin)
    equal_steps = _among(holm_factors if correction == "holm" else np.ones_like, raw_equal, has_margin)
    beyond_p = [contrast.beyond_p for contrast in family]
    beyond_adjusted = _among(adjust, beyond_p, has_margin)
    has_direction = [
        margin and contrast.direction != "none" for contrast, margin in zip(family, has_margin, strict=True)
    ]
    not_worse = _among(adjust, [contrast.noninferiority_p for contrast in family], has_direction)
    # Divisors of the levels of difference and equivalence where each was decided.
    factors: list[float] = deciding_factors(np.array([contrast.p for contrast in family]), correction, alpha).tolist()
    equal_factors = _among(lambda some: deciding_factors(some, correction, alpha), raw_equal, has_margin)
    beyond_factors = _among(lambda some: deciding_factors(some, correction, alpha / 2), beyond_p, has_margin)
    family_size = len(family) if correction == "holm" else 1
    decisions: list[Decision] = []
    for i, contrast in enumerate(family):
        differs = p_adjusted[i] < alpha  # NaN is never shown
        is_undecided = not differs and not math.isnan(p_adjusted[i])
        is_equivalent = is_undecided and not depends_on_scale[i] and equal_p[i] < alpha
        is_beyond = differs and beyond_adjusted[i] < alpha / 2
        level = alpha / equal_steps[i]
        equal_interval = _level_interval(contrast, 1 - 2 * level, float(stdtrit(contrast.df, 1 - level)))
        factor, decided_p = (beyond_factors[i], beyond_adjusted[i]) if is_beyond else (factors[i], p_adjusted[i])
        decided = (
            *_level_interval(contrast, 1 - alpha / factor, -float(stdtrit(contrast.df, alpha / factor / 2))),
            decided_p,
        )
        least_margin = (
            abs(contrast.value) - float(stdtrit(contrast.df, alpha / equal_factors[i])) * contrast.standard_error
        )
        is_open = is_undecided and not is_equivalent and contrast.margin > 0
        needed = seeds_and_patients_needed(contrast, family_size, alpha) if is_open else (math.nan, math.nan)
        decided = (*equal_interval, equal_p[i]) if is_equivalent else decided
        reason = Reason.of(Code.DEPENDS_ON_SCALE) if is_undecided and depends_on_scale[i] else NO_REASON
        if is_open and contrast.components is not None and all(map(math.isnan, needed)):
            reason += Reason.of(Code.UNSETTLED, seeds=MAX_SEEDS)
        pair: tuple[Label, Label] = ("higher-beyond", "higher") if contrast.value > 0 else ("lower-beyond", "lower")
        label = pair[0] if is_beyond else pair[1] if differs else "equivalent" if is_equivalent else "inconclusive"
        tests = p_adjusted[i], equal_p[i], *equal_interval, beyond_adjusted[i], not_worse[i]
        decisions.append(Decision(*tests, label, *decided, least_margin, *needed, reason))
    return decisions


def _level_interval(contrast: Contrast, level: float, reach: float) -> tuple[float, float, float]:
    """Return a level with the ends of its interval, `reach` standard errors from the difference.

    They are cut where the difference cannot be.
    """
    half, bounds = (
        reach * contrast.standard_error,
        contrast.combined.bounds if contrast.combined else (-math.inf, math.inf),
    )
    low, high = (float(np.clip(end, *bounds)) for end in (contrast.value - half, contrast.value + half))
    return level, low, high


def _among(
    adjust: Callable[[Float[np.ndarray, " m"]], Float[np.ndarray, " m"]], p: Sequence[float], selected: Sequence[bool]
) -> list[float]:
    """Adjusted p-values of those that were asked for, NaN for the others."""
    adjusted, positions = np.full(len(p), np.nan), np.flatnonzero(selected)
    adjusted[positions] = adjust(np.array(p)[positions])
    return adjusted.tolist()


def _depends_on_scale(
    family: Sequence[Contrast], alpha: float, adjust: Callable[[np.ndarray], np.ndarray]
) -> list[bool]:
    """Find contrasts of two scales that are shown on one of them alone, or on both with opposite signs."""
    plain = adjust(np.array([contrast.scales.plain_p if contrast.scales else contrast.p for contrast in family]))
    other = adjust(np.array([contrast.scales.probit_p if contrast.scales else contrast.p for contrast in family]))
    significant = zip(plain < alpha, other < alpha, strict=True)  # NaN is never shown
    return [
        contrast.scales is not None and bool(first != second or (first and not contrast.scales.signs_agree))
        for contrast, (first, second) in zip(family, significant, strict=True)
    ]


def deciding_factors(
    p: Float[np.ndarray, " m"], correction: Correction = "holm", alpha: float = ALPHA
) -> Float[np.ndarray, " m"]:
    """Return the number by which the level of each test was divided when it was decided.

    Holm's method stops at the first p-value that is not small enough. All that follow are not rejected at that step.

    Examples:
        >>> deciding_factors(np.array([0.01, 0.04, 0.03])).tolist()  # Holm stops at 0.03 * 2
        [3.0, 2.0, 2.0]
        >>> deciding_factors(np.array([0.001, 0.03, 0.04, 0.02])).tolist()
        [4.0, 3.0, 3.0, 3.0]
        >>> deciding_factors(np.array([0.001, 0.3]), "fixed-order").tolist()
        [1.0, 1.0]
    """
    if correction == "fixed-order":
        return np.ones(len(p))
    factors = holm_factors(p)
    stopped = factors[~(p * factors < alpha)]
    return factors if not len(stopped) else np.maximum(factors, stopped.max())


def seeds_and_patients_needed(contrast: Contrast, size: int, alpha: float = ALPHA) -> tuple[float, float]:
    """Return the seeds that would decide a contrast whatever the truth, and the patients where seeds cannot.

    With a standard error s, equivalence is shown up to margin - t s of the estimate, and a difference from t' s on.
    The question is settled where the two meet: (t + t') s = margin, about 20 (sd / margin)^2 seeds for a family of 3.

    Args:
        contrast: The contrast, with a margin.
        size: Comparisons of its family, all of which may come before it.
        alpha: The level of the family.

    Examples:
        A standard deviation of the margin over seeds, and no variance over patients:

        >>> from assay.stats.compare import linear_contrast
        >>> from assay.stats.panel import measure_by_seed
        >>> wide = linear_contrast([measure_by_seed(np.array([-0.1, 0.0, 0.1]), np.arange(3))], np.ones(1), margin=0.1)
        >>> seeds_and_patients_needed(wide, 1)  # seeds and patients
        (16.0, nan)
    """
    if contrast.components is None or not contrast.seeds:
        return math.nan, math.nan
    seeds = np.arange(3, MAX_SEEDS + 1)
    between_seeds: Float[np.ndarray, " s"] = float(contrast.components.seeds) * contrast.seeds / seeds
    between_patients = max(0.0, float(contrast.components.patients - contrast.components.residual))
    df = limit_df(
        degrees_of_freedom(between_seeds, between_seeds + between_patients, seeds - 1, contrast.components.df_patients),
        seeds,
        contrast.group,
        size,
    )
    critical = -np.asarray(stdtrit(df, alpha / size) + stdtrit(df, alpha / size / 2))
    sufficient = np.flatnonzero(critical * np.sqrt(between_seeds + between_patients) <= contrast.margin)
    if len(sufficient):
        return float(max(seeds[sufficient[0]], contrast.seeds + 1)), math.nan
    last_look = LOOKS[-1] - 3
    allowed = (contrast.margin / float(critical[last_look])) ** 2 - float(between_seeds[last_look])
    return math.nan, float(math.ceil(contrast.patients * between_patients / allowed)) if allowed > 0 else math.nan


# The deciding pass: families in, rows with their decisions out.


@dataclass(frozen=True, slots=True)
class Family:
    """Comparisons that are corrected together. Untestable ones count, so that failing never helps the others.

    Attributes:
        name: Its name.
        comparisons: Columns that name each comparison, with its role and what is expected of a positive control.
        contrasts: Result of each, with the variance of its pooling group.
        alpha: Level of the family.
        correction: How it is corrected.
        closed_rows: Id of a comparison -> its row of the look that closed it before.
    """

    name: str
    comparisons: Sequence[Row]
    contrasts: Sequence[Contrast]
    alpha: float = ALPHA
    correction: Correction = "holm"
    closed_rows: Mapping[str, Row] = field(default_factory=dict[str, Row])


DECIDING_COLUMNS = ("decision_level", "decision_low", "decision_high", "decision_p")
"""Columns of the interval and the p-value that decided, by one correction."""
RESULT_COLUMNS = (
    "value", "low", "high", "standard_error", "df", "p", "seeds", "left_out", "patients", "paired_patients",
    "effective_patients", "sign_flip_p", "sign_flip_min_p", "margin", "seed_error",
)  # fmt: skip
"""Columns of a comparison that are its own, whatever its family."""


def decide_families(families: Sequence[Family], estimates: Sequence[Row]) -> list[dict[str, Any]]:
    """Decide on the comparisons of a study: rows of `schema.CONTRASTS`, family by family.

    Args:
        families: All families.
        estimates: Rows of `schema.ESTIMATES`, which show whether values are at an end of the scale.

    Examples:
        >>> from assay.stats.compare import linear_contrast
        >>> from assay.stats.panel import measure_by_seed
        >>> seeds = np.arange(5)
        >>> parts = [measure_by_seed(np.array([-2, -1, 0, 1, 2]) / 1000 + mean, seeds) for mean in (0.2, 0.0)]
        >>> results = [linear_contrast([part], np.ones(1)) for part in parts]
        >>> named = [{"id": name, "measure": "auroc", "factor": "", "at": ""} for name in ("supcon", "triplet")]
        >>> [(row["id"], row["decision"]) for row in decide_families([Family("losses", named, results)], [])]
        [('supcon', 'higher'), ('triplet', 'inconclusive')]
    """
    levels = {family.name: family.alpha for family in families}
    return restrict_claims([row for family in families for row in _decide_family(family)], estimates, levels)


def _decide_family(family: Family) -> list[Row]:
    """Return the rows of a family with the decisions of its tests."""
    size, of = len(family.contrasts), family.comparisons
    results = [limit_if_alone(contrast, size) for contrast in family.contrasts]
    closed = [
        _with_closed_tests(contrast, family.closed_rows.get(row["id"]), family.alpha)
        for row, contrast in zip(of, results, strict=True)
    ]
    rows: list[Row] = []
    reaches = _detectable_differences(family, results)
    for row, contrast, decision, reach in zip(
        of, results, decide(closed, family.alpha, family.correction), reaches, strict=True
    ):
        scales = contrast.scales
        rows.append(
            {
                **row,
                **{column: getattr(contrast, column) for column in RESULT_COLUMNS},
                "plain_p": scales.plain_p if scales else math.nan,
                "probit_p": scales.probit_p if scales else math.nan,
                **{column: getattr(decision, column) for column in Decision.__slots__},
                "detectable": reach,
                "family": family.name,
                "correction": family.correction,
                "reason": str(contrast.reason + decision.reason),
            }
        )
    return rows


def _with_closed_tests(contrast: Contrast, row: Row | None, alpha: float) -> Contrast:
    """Return a result whose tests are those of the earlier look that closed it: rejected, or never to be.

    Holm's correction of the comparisons that are still open then counts it as it was decided.
    """
    if row is None:
        return contrast
    equal = row["decision"] in CONCLUSIVE and row["equivalence_p"] < alpha
    p = 0.0 if row["decision"] in DIFFERENT else math.nan
    over = 0.0 if row["decision"] in BEYOND_MARGIN else math.nan
    return replace(contrast, p=p, equivalence_p=0.0 if equal else math.nan, beyond_p=over, scales=None)


def _detectable_differences(family: Family, results: Sequence[Contrast]) -> list[float]:
    """Compute the detectable difference: one figure for all of a family that compare one measure in one way.

    NaN where not even the greatest possible difference is detectable.
    """
    by_kind: dict[tuple[str, ...], list[Contrast]] = {}
    keys = [(row["measure"], row["factor"], row["at"]) for row in family.comparisons]
    for key, contrast in zip(keys, results, strict=True):
        by_kind.setdefault(key, []).append(contrast)
    differences = {
        key: detectable_difference_of(group, len(results), family.correction, family.alpha)
        for key, group in by_kind.items()
    }
    reaches = [
        differences[key] if contrast.components is not None else math.nan
        for key, contrast in zip(keys, results, strict=True)
    ]
    largest_possible = [
        max(map(abs, contrast.combined.bounds)) if contrast.combined else math.inf for contrast in results
    ]
    return [reach if reach <= most else math.nan for reach, most in zip(reaches, largest_possible, strict=True)]


def restrict_claims(
    rows: Sequence[Row], estimates: Sequence[Row], levels: Mapping[str, float] | None = None
) -> list[dict[str, Any]]:
    """Return comparisons, decided in their families, with the decisions that the study may claim.

    A difference that is also shown to be under the margin is called small. Controls are judged by what they show, and
    where one failed no other comparison claims anything. Recipes that all are at one end of the scale are not called
    equivalent.

    Args:
        rows: The comparisons, as their families decide.
        estimates: Rows of `schema.ESTIMATES`, which show whether values are at an end of the scale.
        levels: Name of a family -> its level; of others it is `ALPHA`.

    Examples:
        A control of two equal recipes that differs withdraws the claims of all other comparisons:

        >>> contrast = {"measure": "auroc", "p_holm": 0.01, "decision": "higher", "margin": float("nan")}
        >>> rows = [contrast | {"role": "primary"}, contrast | {"role": "a-a"}]
        >>> [row["decision"] for row in restrict_claims(rows, [])]
        ['inconclusive', 'differs']
    """
    estimates_by_key: dict[ResultKey, list[Row]] = {}
    for row in compared_estimates(estimates if rows else (), rows):
        estimates_by_key.setdefault(result_key(row), []).append(row)
    claimed_rows = [{**row, **_claim(row, estimates_by_key, levels or {})} for row in rows]
    failed = next((row for row in claimed_rows if row["decision"] in FAILED), None)
    if failed is None:
        return claimed_rows
    reason = Reason.of(Code.CONTROL_FAILED, **{name: text_of(failed, name) for name in ("role", *COMPARISON_KEY)})
    unclaimed = {"decision": "inconclusive", "seeds_needed": math.nan}
    return [
        row
        if row.get("role") in CONTROLS or is_undefined(row)
        else {**row, **unclaimed, "reason": str(reason_of(row) + reason)}
        for row in claimed_rows
    ]


def _claim(row: Row, estimates_by_key: Mapping[ResultKey, Sequence[Row]], levels: Mapping[str, float]) -> Row:
    end, alpha = end_of_scale(row, estimates_by_key), levels.get(text_of(row, "family"), ALPHA)
    decision, role = text_of(row, "decision"), text_of(row, "role")
    exhausted = Reason.of(Code.EXHAUSTED) if end and decision == "equivalent" else NO_REASON
    if role == "positive-control":
        word = "detected" if decision.removesuffix("-beyond") == text_of(row, "expected") else "undetected"
    elif role in CONTROLS:
        word = "untested" if is_undefined(row) else "differs" if decision in DIFFERENT else "none detected"
    elif decision in DIFFERENT:
        word = f"{decision}-small" if decision not in BEYOND_MARGIN and not end and _is_small(row, alpha) else decision
    else:
        word = "inconclusive" if exhausted else decision
    return {"decision": word, "reason": str(reason_of(row) + exhausted + end)}


def _is_small(row: Row, alpha: float) -> bool:
    """Whether a difference that is shown is also under the margin, at the level of its family.

    Of a worse recipe that is equivalence or non-inferiority: the two are one of a difference to the worse.
    """
    good = better(text_of(row, "measure"))
    not_worse = good and row["decision"] != good and numeric(row, "noninferiority_p") < alpha / 2
    return bool(not_worse) or numeric(row, "equivalence_p") < alpha


# Pooling: the seeds' part of the variance of several contrasts is moderated, or contrasts are averaged into one.


def moderate_group(group: Sequence[Contrast]) -> list[Contrast]:
    """Test the contrasts of a pooling group again, with the variance over seeds moderated over the group.

    With few seeds, a variance over seeds that is small by chance would leave the patients' many degrees of freedom, and
    a family of true null hypotheses would be claimed too often. A contrast that has no variance stays as it is and
    moderates no other; one on two scales is moderated on each.

    Examples:
        >>> from assay.stats.compare import linear_contrast
        >>> from assay.stats.panel import measure_by_seed
        >>> parts = [measure_by_seed(np.array([-1, 0, 1]) * sd + 0.2, np.arange(3)) for sd in (0.01, 0.1)]
        >>> group = [linear_contrast([part], np.ones(1)) for part in parts]
        >>> [round(contrast.standard_error, 4) for contrast in group]  # sd / sqrt(3)
        [0.0058, 0.0577]
        >>> [round(contrast.standard_error, 4) for contrast in moderate_group(group)]
        [0.0337, 0.0577]
    """
    results = _moderate_on_scale(group)
    two_scale_positions = [i for i, contrast in enumerate(group) if contrast.scales and contrast.scales.probit_contrast]
    on_probit_scale = _moderate_on_scale(
        [scales.probit_contrast for i in two_scale_positions if (scales := group[i].scales) and scales.probit_contrast]
    )
    for i, other in zip(two_scale_positions, on_probit_scale, strict=True):
        results[i] = combine_scales(results[i], other)
    return results


def _moderate_on_scale(group: Sequence[Contrast]) -> list[Contrast]:
    results = list(group)
    testable = [
        (i, contrast.combined, contrast.components)
        for i, contrast in enumerate(group)
        if contrast.combined is not None and contrast.components is not None
    ]
    if not testable:
        return results
    parts = [combined for _, combined, _ in testable]
    common = reduce(np.intersect1d, [part.seeds for part in parts])
    shared_values = np.zeros((len(parts), 1))  # without a common seed: no more degrees of freedom than one contrast has
    if len(common):
        shared_values = np.stack([part.values[np.isin(part.seeds, common)] for part in parts])
    variances = np.array([part.values.var(ddof=1) for part in parts])
    seeds, df = moderate_variances(variances, np.array([len(part.seeds) for part in parts]), shared_values)
    for k, (i, _, spread) in enumerate(testable):
        results[i] = _retest_with_variance(group[i], replace_seed_variance(spread, seeds[k], df[k]), len(testable))
    return results


def limit_if_alone(contrast: Contrast, family: int) -> Contrast:
    """Test a contrast again with the degrees of freedom of few seeds, if it is alone in its pooling group.

    Args:
        contrast: The contrast, tested with the variance of its pooling group.
        family: Contrasts of its family, those without a test included.

    Examples:
        >>> from assay.stats.compare import linear_contrast
        >>> from assay.stats.panel import measure_by_seed
        >>> alone = linear_contrast([measure_by_seed(np.array([0.1, 0.2, 0.3]), np.arange(3))], np.ones(1))
        >>> limit_if_alone(alone, 8) is alone  # its degrees of freedom are those of its seeds already
        True
    """
    limited = _with_limited_df(contrast, family)
    if limited is contrast or contrast.scales is None or contrast.scales.probit_contrast is None:
        return limited
    return combine_scales(limited, _with_limited_df(contrast.scales.probit_contrast, family))


def _with_limited_df(contrast: Contrast, family: int) -> Contrast:
    if contrast.components is None:
        return contrast
    df = limit_df(contrast.components.df, contrast.seeds, contrast.group, family)
    return (
        _retest_with_variance(contrast, replace(contrast.components, df=df), contrast.group)
        if df < contrast.components.df
        else contrast
    )


def _retest_with_variance(contrast: Contrast, components: VarianceComponents, group: int) -> Contrast:
    """Test a contrast with another variance."""
    assert contrast.combined is not None
    margin = None if np.isnan(contrast.margin) else contrast.margin
    retested = make_contrast(
        contrast.combined,
        uncertainty_of_mean(components),
        margin,
        left_out=contrast.left_out,
        paired_patients=contrast.paired_patients,
    )
    return replace(retested, matched_level=contrast.matched_level, direction=contrast.direction, group=group)


def mean_contrast(members: Sequence[Contrast], margin: float | None = None) -> Contrast:
    """Return the mean of several contrasts, each seed and patient averaged first.

    Its variance is that of the averaged differences, over the seeds that all members have. It is undefined where one
    of them is. Where members are tested on two scales, so is the mean.

    Examples:
        >>> from assay.stats.compare import linear_contrast
        >>> from assay.stats.panel import measure_by_seed
        >>> parts = [measure_by_seed(np.array([0.1, 0.2, 0.3]) * k, np.arange(3)) for k in (1, 3)]
        >>> members = [linear_contrast([part], np.ones(1)) for part in parts]
        >>> mean_contrast(members).per_seed.round(6).tolist()
        [0.2, 0.4, 0.6]
    """
    parts = [contrast.combined for contrast in members if contrast.combined is not None]
    if undefined_one := next((contrast for contrast in members if np.isnan(contrast.value)), None):
        return untested_contrast(undefined_one.reason, margin)
    combined = combine(parts, np.full(len(parts), 1 / len(parts)))
    most = max(contrast.seeds + contrast.left_out for contrast in members)
    patients = min(contrast.paired_patients for contrast in members)
    plain = make_contrast(
        combined,
        uncertainty_of_difference(combined),
        margin,
        left_out=most - len(combined.seeds),
        paired_patients=patients,
    )
    others = [
        contrast.scales.probit_contrast for contrast in members if contrast.scales and contrast.scales.probit_contrast
    ]
    return combine_scales(plain, mean_contrast(others)) if len(others) == len(members) else plain


# Comparisons whose recipes all are at one end of the scale, where equivalence is no result.
#
# Two recipes within the margin of an end cannot differ by more than the margin, whatever they are. The same holds at
# chance for measures of skill, such as the AUROC of a coin or the accuracy of naming the commonest class. An effect of
# 0 is no end: that neither recipe has one is a result.

NEAR_WORST_END = 0.05
"""Share of the range next to its worst end within which recipes are at that end, whatever the margin."""


def end_of_scale(contrast: Row, estimates: Mapping[ResultKey, Sequence[Row]]) -> Reason:
    """Return the end of the scale at which every value behind a contrast is, as a code; nothing elsewhere.

    The values are those of both recipes, at every budget or dose that is compared. Chance is an end for equivalent
    values alone: an interval may also hold chance for want of data.

    Examples:
        >>> contrast = {"measure": "auroc", "environment": "id", "axis": "loss", "a": "supcon", "b": "triplet",
        ...             "margin": 0.05}
        >>> rows = [{"value": 0.99, "coordinates": '{"loss": "supcon"}'},
        ...         {"value": 0.98, "coordinates": '{"loss": "triplet"}'}]
        >>> str(end_of_scale(contrast, {("auroc", "", "", "id"): rows}))  # both are within 0.05 of 1
        '[{"code": "near-end-of-scale", "margin": 0.05, "end": 1.0}]'
    """
    sides = [_estimates_of_side(contrast, estimates, side) for side in ("a", "b")]
    rows = [row for side in sides for row in side]
    if not all(sides):
        return NO_REASON
    margin = numeric(contrast, "margin")
    margin = 0.0 if math.isnan(margin) else margin
    low, high = range_of(text_of(contrast, "measure"))
    worst = {"higher": low, "lower": high}.get(better(text_of(contrast, "measure")), math.nan)
    for end in (low, high):
        near = max(margin, NEAR_WORST_END * (high - low)) if end == worst and math.isfinite(high - low) else margin
        if math.isfinite(end) and all(abs(numeric(row, "value") - end) <= near for row in rows):
            return Reason.of(Code.NEAR_END_OF_SCALE, margin=near, end=end)
    is_skill = better(text_of(contrast, "measure")) in ("higher", "lower")  # an effect of 0 is a result, not a guess
    if is_skill and contrast.get("decision") == "equivalent" and all(_is_at_chance(row) for row in rows):
        return Reason.of(Code.AT_CHANCE)
    return NO_REASON


def _estimates_of_side(contrast: Row, estimates: Mapping[ResultKey, Sequence[Row]], side: str) -> list[Row]:
    """Estimates of the measure of one recipe that a contrast rests on."""
    measure, factor, layer, coordinates = result_key(contrast)
    return [
        row
        for environment in dict.fromkeys(json_object(contrast.get("pooled")).get("environment", [coordinates]))
        for row in estimates.get((measure, factor, layer, environment), ())
        if not math.isnan(numeric(row, "value")) and is_on_side(row, contrast, side)
    ]


def _is_at_chance(row: Row) -> bool:
    low, high = row_interval(row)
    return low <= numeric(row, "chance") <= high
