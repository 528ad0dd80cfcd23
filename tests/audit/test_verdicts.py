"""Verdicts: the table of rules, and models whose truth is known."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
import pytest

from assay.audit.scored import distortion_row
from assay.audit.swing import AurocShift, Effect, effect_of_mark, swing_of_group
from assay.audit.verdicts import OpenQuantity, decide_column, decide_mark, decide_region, is_settled, reference_of
from assay.stats import BoundedEstimate, bounded_share
from assay.stats.rows import RegionVerdict, Verdict


def flat(value: float, low: float, high: float) -> BoundedEstimate:
    return BoundedEstimate(value, (high - low) / 3.29, low, high)


NONE = flat(0.0, -0.01, 0.01)


def dose(
    g: BoundedEstimate = NONE, loss: BoundedEstimate = NONE, flips: BoundedEstimate = NONE, images: int = 200
) -> Effect:
    return Effect((AurocShift(g, "", loss, loss, loss),), images, images, flips)


STRONG, WEAK, WIDE = flat(0.2, 0.15, 0.25), flat(0.01, -0.02, 0.04), flat(0.03, -0.03, 0.09)
HARM = flat(0.1, 0.06, 0.14)

RULES: dict[str, tuple[list[Effect], float | None, Verdict]] = {
    "beyond margin and reference": ([dose(), dose(STRONG), dose(STRONG)], 0.1, Verdict.RELIES),
    "to the other side": ([dose(), dose(flat(-0.2, -0.25, -0.15)), dose()], 0.1, Verdict.RELIES),
    "within the reference": ([dose(), dose(STRONG), dose(STRONG)], 0.16, Verdict.AFFECTED),
    "no reference": ([dose(), dose(STRONG), dose(STRONG)], None, Verdict.AFFECTED),
    "beyond the reference alone": ([dose(), dose(WEAK), dose(WEAK)], 0.001, Verdict.NO_EFFECT),
    "a loss without direction": ([dose(), dose(WEAK, loss=HARM), dose()], None, Verdict.UNDIRECTED),
    "flips without direction": ([dose(), dose(WEAK, flips=HARM), dose()], None, Verdict.UNDIRECTED),
    "a loss, direction open": ([dose(), dose(WIDE, loss=HARM), dose()], None, Verdict.UNDIRECTED),
    "a loss that may be": ([dose(), dose(WEAK, loss=WIDE), dose()], None, Verdict.INCONCLUSIVE),
    "flips that may be": ([dose(), dose(WEAK, flips=WIDE), dose()], None, Verdict.INCONCLUSIVE),
    "a swing that may be": ([dose(), dose(WIDE), dose()], None, Verdict.INCONCLUSIVE),
    "nothing at any dose": ([dose(), dose(WEAK), dose(WEAK)], None, Verdict.NO_EFFECT),
    "something at the strongest": ([dose(), dose(WEAK), dose(STRONG)], None, Verdict.INCONCLUSIVE),
    "a loss at the weakest": ([dose(loss=HARM), dose(WEAK), dose()], None, Verdict.INCONCLUSIVE),
}


@pytest.mark.parametrize("name", RULES)
def test_the_table_of_rules(name: str) -> None:
    doses, limit, expected = RULES[name]
    assert decide_mark(doses, 1, limit=limit).verdict == expected


@pytest.mark.parametrize("name", RULES)
def test_other_doses_change_no_verdict_that_the_deciding_dose_settles(name: str) -> None:
    doses, limit, expected = RULES[name]
    whole, alone = decide_mark(doses, 1, limit=limit), decide_mark(doses[1:2], 0, limit=limit)
    if is_settled(doses[1]):
        assert repr(alone) == repr(whole)
    else:
        assert alone.verdict == Verdict.NO_EFFECT
        assert expected in (Verdict.NO_EFFECT, Verdict.INCONCLUSIVE)
    assert is_settled(doses[1]) == (expected != Verdict.NO_EFFECT and whole.open != (OpenQuantity.OTHER_DOSE,))


def test_an_imprecise_class_hides_no_loss_of_another_and_clears_none() -> None:
    exact, wide = flat(0.08, 0.07, 0.09), flat(0.02, -0.06, 0.1)
    swings = [AurocShift(NONE, "", loss, loss, loss) for loss in (exact, wide, NONE)]
    of_two = [Effect(classes, 200, 200, NONE) for classes in ((swings[0], swings[1]), (swings[2], swings[1]))]
    assert [decide_mark([effect], 0).verdict for effect in of_two] == [Verdict.UNDIRECTED, Verdict.INCONCLUSIVE]


def test_open_quantities_are_named_with_the_images_that_would_settle_them() -> None:
    found = decide_mark([dose(), dose(WIDE, flips=WIDE), dose()], 1)
    assert found.open == (OpenQuantity.SWING, OpenQuantity.FLIPS)
    assert found.needed == math.ceil(200 * (0.06 / 0.02) ** 2)
    assert math.isnan(decide_mark([dose(), dose(flat(0.05, 0.0, 0.1)), dose()], 1).needed), "on the margin itself"
    other = decide_mark([dose(), dose(WEAK), dose(STRONG)], 1)
    assert other.open == (OpenQuantity.OTHER_DOSE,)


def test_the_needed_images_settle_the_verdict_when_estimates_stay() -> None:
    draws = np.random.default_rng(1)
    target, before = np.arange(60) % 2, draws.normal(size=60)
    after = before + 0.05 * draws.normal(size=60)

    def decided(times: int) -> Any:
        x, y, t = (np.tile(one, times) for one in (before, after, target))
        return decide_mark([effect_of_mark(x[:, None], y[:, None], t, np.arange(len(t)))] * 3, 1)

    few = decided(1)
    times = math.ceil(few.needed / 60) if few.verdict == Verdict.INCONCLUSIVE else 1
    assert times < 20
    assert decided(times + 1).verdict == Verdict.NO_EFFECT


def test_a_reference_limits_by_the_largest_swing_and_the_largest_excess_over_all_others() -> None:
    found = reference_of("chest", {"tag": [0.01, -0.02, 0.06], "hair": [0.001, 0.0, 0.002]})
    assert found.excess == pytest.approx(0.04)
    assert found.limit("tag") == pytest.approx(0.1)
    assert found.limit("hair") == pytest.approx(0.042)
    assert found.limit("ruler") is None
    with pytest.raises(ValueError, match="same networks"):
        reference_of("chest", {"a": [0.1, 0.2], "b": [0.1, 0.2, 0.3]})
    with pytest.raises(ValueError, match="at least two"):
        reference_of("chest", {"a": [0.1]})


@pytest.mark.parametrize("df", [1, 3, 100])
def test_a_further_clean_network_is_beyond_the_limit_of_any_mark_in_one_of_sixty_at_most(df: int) -> None:
    """Heavy tails, unequal marks, and networks that are affected by everything more than others."""
    draws, marks, worlds, wrong = np.random.default_rng(df), 12, 3000, 0
    for _ in range(worlds):
        size = draws.standard_t(df, (60, marks)) * np.geomspace(0.003, 0.2, marks) * draws.lognormal(0, 0.5, (60, 1))
        found = reference_of("any", {str(mark): list(size[1:, mark]) for mark in range(marks)})
        limits = [found.limit(str(mark)) for mark in range(marks)]
        wrong += any(abs(one) > limit for one, limit in zip(size[0], limits, strict=True) if limit is not None)
    assert wrong / worlds <= 1 / 60 + 3 * math.sqrt(1 / 60 / worlds)


def audited(n: int, change: str, seed: int) -> Any:
    """A classifier with an AUROC of 0.9 whose mark does one known thing."""
    draws = np.random.default_rng(seed)
    target = (np.arange(n) % 2).astype(np.int64)
    before = draws.normal(size=n) + 1.81 * (target - 0.5)
    after = {
        "random": before + draws.choice([-2.0, 2.0], n),
        "wiped": np.zeros(n),
        "tied": before + 0.8,
        "nothing": before + 0.001 * draws.normal(size=n),
    }[change]
    flips = bounded_share((before > 0) != (after > 0), np.arange(n))
    one = effect_of_mark(before[:, None], after[:, None], target, np.arange(n), flips)
    return decide_mark([one] * 3, 1)


@pytest.mark.parametrize("n", [30, 100, 400])
@pytest.mark.parametrize("change", ["random", "wiped"])
def test_harm_without_direction_is_never_cleared(n: int, change: str) -> None:
    found = [audited(n, change, seed) for seed in range(40)]
    assert all(one.verdict != Verdict.NO_EFFECT for one in found)
    if n == 400:
        named = sum(one.verdict == Verdict.UNDIRECTED for one in found)
        assert named >= 15


@pytest.mark.parametrize(("n", "found"), [(100, 34), (400, 40)])
def test_a_mark_that_is_used_is_found_and_one_that_does_nothing_is_cleared(n: int, found: int) -> None:
    tied, nothing = ([audited(n, change, seed).verdict for seed in range(40)] for change in ("tied", "nothing"))
    assert sum(one == Verdict.AFFECTED for one in tied) >= found
    assert sum(one == Verdict.NO_EFFECT for one in nothing) >= 36


@pytest.mark.parametrize("change", ["tied", "nothing", "random"])
def test_fewer_than_twenty_effective_patients_of_a_class_decide_nothing(change: str) -> None:
    few = audited(38, change, 0)
    assert (few.verdict, few.open, few.needed) == (Verdict.INCONCLUSIVE, (OpenQuantity.PATIENTS,), 40)
    assert audited(40, change, 0).open != (OpenQuantity.PATIENTS,)


def test_columns_differ_or_not_or_stay_open() -> None:
    draws = np.random.default_rng(2)
    target, group = draws.integers(0, 2, 1200), draws.integers(0, 2, 1200) == 1
    score = draws.normal(size=1200) + target

    def decided(values: np.ndarray, n: int) -> Any:
        found = swing_of_group(values[:n, None], target[:n], group[:n], np.arange(n), dose="f")
        assert found is not None
        return decide_column([found])

    assert decided(score + 0.8 * group, 1200).verdict == Verdict.DIFFERS
    assert decided(score, 1200).verdict == Verdict.NO_DIFFERENCE
    few = decided(score, 100)
    assert few.verdict == Verdict.INCONCLUSIVE
    assert few.needed > 100


LEADS: dict[str, tuple[BoundedEstimate, tuple[float, float], bool, bool, float | None, RegionVerdict]] = {
    "beyond the limit": (flat(1.2, 1.0, 1.4), (1.1, 1.3), True, True, 0.9, RegionVerdict.RELIES),
    "without groups": (flat(1.2, 1.0, 1.4), (1.1, 1.3), True, False, 0.9, RegionVerdict.LOOK),
    "without a limit": (flat(1.2, 1.0, 1.4), (1.1, 1.3), True, True, None, RegionVerdict.UNVERIFIED),
    "in one half": (flat(1.2, 1.0, 1.4), (0.8, 1.6), True, True, 0.9, RegionVerdict.INCONCLUSIVE),
    "in two places": (flat(1.2, 1.0, 1.4), (1.1, 1.3), False, True, 0.9, RegionVerdict.INCONCLUSIVE),
    "perhaps beyond": (flat(1.0, 0.8, 1.2), (0.95, 1.05), True, True, 0.9, RegionVerdict.INCONCLUSIVE),
    "one half beyond, the mean within": (flat(0.6, 0.5, 0.7), (1.2, 0.0), False, True, 0.9, RegionVerdict.INCONCLUSIVE),
    "within the limit": (flat(0.5, 0.3, 0.7), (0.5, 0.5), True, True, 0.9, RegionVerdict.NOTHING_FOUND),
    "without a bound": (flat(1.2, np.nan, np.nan), (1.1, 1.3), True, True, 0.9, RegionVerdict.INCONCLUSIVE),
    "little": (flat(0.2, 0.0, 0.4), (0.2, 0.2), True, True, None, RegionVerdict.NOTHING_FOUND),
}


@pytest.mark.parametrize("name", LEADS)
def test_the_rules_of_a_lead(name: str) -> None:
    effect, halves, agree, discrete, limit, expected = LEADS[name]
    decided = partial(decide_region, effect, halves, halves_agree=agree, two_groups=discrete, limit=limit)
    assert decided(effective_patients=20) == expected
    assert decided(effective_patients=19.9) == RegionVerdict.INCONCLUSIVE
    open_ = decided(effective_patients=20, clear_below=effect.high - 0.01)
    assert open_ == (RegionVerdict.INCONCLUSIVE if expected == RegionVerdict.NOTHING_FOUND else expected)


def test_a_distortion_without_any_loss_is_inconclusive() -> None:
    effect = Effect((), 40, 40, None)
    assert distortion_row("blur", 1, effect, 0.05)["decision"] == "inconclusive"
