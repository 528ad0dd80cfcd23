"""Decisions in families: corrections, deciding intervals, seeds that settle a question, controls."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from assay.core.reasons import reason_of
from assay.plugin import Code
from assay.stats import (
    Contrast,
    decide,
    fixed_order,
    linear_contrast,
    measure_by_seed,
    seeds_and_patients_needed,
)
from assay.stats.compare import untested_contrast
from assay.stats.decisions import mean_contrast, restrict_claims


def measured(mean: float, sd: float = 0.02, seeds: int = 10, margin: float | None = 0.05) -> Contrast:
    """A contrast over seeds alone whose differences have exactly this mean and standard deviation."""
    drawn = np.random.default_rng(seeds).normal(size=seeds)
    values = mean + sd * (drawn - drawn.mean()) / drawn.std(ddof=1)
    numbers = np.arange(seeds)
    return linear_contrast([measure_by_seed(values, numbers)], np.ones(1), margin)


def test_a_fixed_order_stops_at_the_first_comparison_that_is_not_shown() -> None:
    found = fixed_order(np.array([0.01, 0.2, 0.001, math.nan, 0.0001]))
    np.testing.assert_array_equal(found, [0.01, 0.2, 0.2, math.nan, 1.0])
    family = [measured(0.06), measured(0.003), measured(0.06)]
    decisions = [one.decision for one in decide(family, correction="fixed-order")]
    assert decisions == [
        "higher",
        "inconclusive",
        "inconclusive",
    ]  # differences and equivalences each stop where one fails
    assert [one.decision for one in decide(family)] == ["higher", "equivalent", "higher"]


def test_the_interval_that_decided_excludes_zero_just_where_a_difference_is_shown() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        family = [measured(float(mean), 0.03) for mean in rng.normal(0, 0.03, size=4)]
        for one, decision in zip(family, decide(family), strict=True):
            if decision.decision.removesuffix("-beyond") in ("higher", "lower"):
                assert decision.decision_low * decision.decision_high > 0
            elif decision.decision == "inconclusive":
                assert decision.decision_low <= 0 <= decision.decision_high
                assert decision.least_margin > one.margin
            else:
                assert max(abs(decision.decision_low), abs(decision.decision_high)) < one.margin


def test_the_least_margin_is_where_equivalence_begins() -> None:
    (found,) = decide([measured(0.01)])
    for factor, word in ((1.001, "equivalent"), (0.999, "inconclusive")):
        (decision,) = decide([measured(0.01, margin=factor * found.least_margin)])
        assert decision.decision == word


def test_so_many_seeds_settle_a_question_whatever_the_truth() -> None:
    """About 20 (sd / margin)^2 for a family of 3."""
    found, patients = seeds_and_patients_needed(measured(0.02, sd=0.05), 3)
    assert 20 <= found <= 24
    assert math.isnan(patients)
    for truth in np.linspace(-0.1, 0.1, 41):
        one = measured(float(truth), sd=0.05, seeds=int(found))
        assert (
            decide([one, untested_contrast(one.reason, 0.05), untested_contrast(one.reason, 0.05)])[0].decision
            != "inconclusive"
        )
    assert decide([measured(0.025, sd=0.05, seeds=int(found) - 4)] * 3)[0].decision == "inconclusive"


def test_a_mean_is_taken_within_each_seed() -> None:
    """Differences that cancel within a seed leave no variance, which a mean of intervals would not see."""
    rng, numbers = np.random.default_rng(3), np.arange(8)
    moved = rng.normal(size=8)
    first, second = (
        linear_contrast([measure_by_seed(0.1 + sign * moved + 0.01 * rng.normal(size=8), numbers)], np.ones(1))
        for sign in (1, -1)
    )
    found = mean_contrast([first, second], 0.2)
    both = (first.per_seed + second.per_seed) / 2
    expected = stats.ttest_1samp(both, 0)
    assert (found.value, found.p) == (pytest.approx(both.mean()), pytest.approx(expected.pvalue))
    assert found.margin == 0.2
    lost = untested_contrast(first.reason)
    assert math.isnan(mean_contrast([first, lost]).value)


# --- controls ---------------------------------------------------------------------------------------------------------


def row(role: str, decision: str, p: float = 0.2, **more: Any) -> dict[str, Any]:
    expected = "lower" if role == "positive-control" else ""
    given = {"role": role, "decision": decision, "expected": expected, "reason": "", "p_holm": p}
    return {**given, "equivalence_p": math.nan, "measure": "auroc", "value": 0.1, **more}


@pytest.mark.parametrize(
    ("control", "decision", "claimed"),
    [
        (row("positive-control", "lower"), "detected", True),
        (row("positive-control", "higher"), "undetected", False),
        (row("positive-control", "inconclusive"), "undetected", False),
        (row("positive-control", "inconclusive", math.nan), "undetected", False),
        (row("a-a", "inconclusive"), "none detected", True),
        (row("a-a", "equivalent"), "none detected", True),
        (row("a-a", "higher"), "differs", False),
        (row("a-a", "inconclusive", math.nan), "untested", True),
    ],
)
def test_nothing_is_claimed_where_a_control_failed(control: dict[str, Any], decision: str, claimed: bool) -> None:
    primary, found = restrict_claims([row("primary", "higher"), control], [])
    assert found["decision"] == decision
    assert primary["decision"] == ("higher" if claimed else "inconclusive")
    assert (Code.CONTROL_FAILED in reason_of(primary)) is not claimed
    json.loads(primary["reason"] or "[]")


@pytest.mark.parametrize("alpha", [0.05, 0.02])
def test_a_difference_is_small_just_where_its_interval_of_the_family_s_level_is_within_the_margin(alpha: float) -> None:
    """Margins on both sides of the end of the interval that is printed, which is wider at a look."""
    end, words = 0.03 + stats.t.ppf(1 - alpha, 9) * 0.02 / math.sqrt(10), []
    for margin in (0.999 * end, 1.001 * end):
        (decision,) = decide([measured(0.03, margin=margin)], alpha)
        shown = row("primary", decision.decision, decision.p_holm, family="looks", noninferiority_p=math.nan)
        shown["equivalence_p"] = decision.equivalence_p
        words += [found["decision"] for found in restrict_claims([shown], [], {"looks": alpha})]
    assert words == ["higher", "higher-small"]


def test_a_comparison_is_equivalent_just_where_its_least_margin_is_below_its_margin() -> None:
    """Comparisons without a margin have no test of equivalence, and none is corrected for them."""
    family = [measured(mean, margin=margin) for mean, margin in ((0.01, 0.03), (0.0, 0.03), (0.2, None), (0.1, None))]
    least = [one.least_margin for one in decide(family)]
    assert np.isnan(least).tolist() == [False, False, True, True]
    for factor, word in ((1.001, "equivalent"), (0.999, "inconclusive")):
        decision = decide([measured(0.01, margin=factor * least[0]), *family[1:]])[0]
        assert decision.decision == word
