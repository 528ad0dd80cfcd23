"""Contrasts: pairing, tests against SciPy and statsmodels, families, matched fit, collapse, power."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint
from syrupy.assertion import SnapshotAssertion
from tests.worlds.panels import panel

from assay.plugin import Code, Contributions, Reason
from assay.report.sentences.reasons import reason_words
from assay.stats import (
    Assumptions,
    BudgetPanel,
    Contrast,
    SeedPredictions,
    collapse_rate,
    combination,
    contrast,
    contrast_collapse,
    decide,
    detectable_difference,
    effective_patients,
    effective_patients_of_classes,
    equivalence,
    estimate_panel,
    evaluate,
    holm,
    linear_contrast,
    matched_fit,
    measure_by_seed,
    minimum_effect,
    noninferiority,
    pseudo_samples,
    sign_flip_test,
    two_sided,
)
from assay.stats.panel import probit
from assay.stats.power import patient_variance
from assay.study.preview_page import assumption_text

DIFFERENCE = np.array([1.0, -1.0])


def test_a_contrast_is_the_difference_of_the_estimates_and_changes_sign() -> None:
    a, b = panel(0, distance=1.5, noise=9), panel(1, distance=1.0, noise=9)
    there, back = contrast(a, b, "auroc"), contrast(b, a, "auroc")
    assert there.value == pytest.approx(estimate_panel(a, "auroc").value - estimate_panel(b, "auroc").value)
    assert (back.value, back.low, back.high, back.p) == pytest.approx((-there.value, -there.high, -there.low, there.p))


def test_interval_and_p_agree() -> None:
    for seed in range(20):
        found = contrast(panel(seed, distance=1.5), panel(seed + 100, distance=1.1, first_patient=60), "auroc")
        assert (found.p < 0.05) == (not found.low <= 0 <= found.high)


def test_shared_patients_are_paired_and_others_stand_alone() -> None:
    a, b = panel(0, noise=9, seed_sd=0.0), panel(1, noise=9, seed_sd=0.0)
    paired = contrast(a, b, "auroc")
    apart = contrast(a, replace(b, patient=b.patient + 1000), "auroc")
    assert (paired.patients, paired.paired_patients, apart.patients, apart.paired_patients) == (60, 60, 120, 0)
    assert paired.standard_error < apart.standard_error
    alone = [estimate_panel(one, "auroc") for one in (a, b)]
    sides = [evaluate(one, "auroc").contributions.mean(axis=0) for one in (a, b)]
    assert apart.value == pytest.approx(alone[0].value - alone[1].value)
    # Between patients the unpaired variance is the sum of the two.
    assert sum((side**2).sum() for side in sides) <= apart.standard_error**2 * 1.3


def test_only_seeds_that_both_kept_are_compared() -> None:
    a, b = panel(0), panel(1)
    fewer = replace(b, scores=b.scores[[4, 0, 2]], seeds=np.array([4, 0, 2]))
    found = contrast(a, fewer, "auroc")
    assert (found.seeds, found.left_out) == (3, 2)
    kept = replace(a, scores=a.scores[[0, 2, 4]], seeds=np.array([0, 2, 4]))
    assert found.value == pytest.approx(contrast(kept, fewer, "auroc").value)


def test_under_three_common_seeds_nothing_is_tested(snapshot: SnapshotAssertion) -> None:
    a = panel(0, seeds=2)
    found = contrast(a, panel(1), "auroc")
    assert reason_words(found.reason) == snapshot
    assert math.isnan(found.p)
    assert math.isnan(decide([found])[0].p_holm)
    none = contrast(replace(a, seeds=np.array([8, 9])), panel(1), "auroc")
    assert math.isnan(none.value)
    assert none.reason == Reason.of(Code.NO_COMMON_SEED)


def test_a_recipe_does_not_differ_from_itself(snapshot: SnapshotAssertion) -> None:
    found = contrast(panel(0), panel(0), "auroc")
    assert found.value == 0
    assert reason_words(found.reason) == snapshot


def test_few_effective_patients_of_a_class_leave_a_difference_undecided() -> None:
    sizes = np.round(np.geomspace(60, 1, 12)).astype(int)
    patient, rng = np.repeat(np.arange(12), sizes), np.random.default_rng(0)
    target = patient % 2
    assert effective_patients(patient) == pytest.approx(sizes.sum() ** 2 / (sizes**2).sum())
    assert effective_patients_of_classes(target, patient) == pytest.approx(2.7, abs=0.1)
    a, b = (SeedPredictions(rng.normal(size=(5, len(patient), 1)) + target[:, None], target, patient) for _ in range(2))
    found = contrast(a, b, "auroc", 0.05)
    assert found.reason.codes[0] == Code.FEW_EFFECTIVE_PATIENTS
    assert math.isfinite(found.value)
    assert np.isnan([found.p, found.equivalence_p, found.beyond_p, found.noninferiority_p, found.low]).all()
    assert decide([found])[0].decision == "inconclusive"
    equal = np.arange(12).repeat(10)
    a, b = (SeedPredictions(rng.normal(size=(5, 120, 1)), equal % 2, equal) for _ in range(2))
    assert contrast(a, b, "auroc").effective_patients == pytest.approx(6)
    assert not contrast(a, b, "auroc").reason


def test_difference_of_differences_is_that_of_contrasts() -> None:
    panels = [panel(seed, distance=1 + seed / 10, noise=5) for seed in range(4)]
    both = combination(panels, np.array([1.0, -1, -1, 1]), "auroc")
    first, second = contrast(panels[0], panels[1], "auroc"), contrast(panels[2], panels[3], "auroc")
    np.testing.assert_allclose(both.per_seed, first.per_seed - second.per_seed)


def test_probit_scale_of_a_binormal_auroc_is_its_separation() -> None:
    # With scores of unit variance the probit of AUROC is distance / sqrt(2 x 2); contributions follow by the slope.
    big = panel(0, distance=1.2, patients=20_000, seeds=3, seed_sd=0.0)
    plain = evaluate(big, "auroc")
    bent = probit(plain)
    np.testing.assert_allclose(bent.values, 0.6, atol=0.03)
    slope = 1 / stats.norm.pdf(bent.values)
    np.testing.assert_allclose(bent.contributions, plain.contributions * slope[:, None])
    held = probit(replace(plain, values=np.ones(3)))
    np.testing.assert_allclose(held.values, stats.norm.ppf(0.995))
    assert (held.contributions == 0).all()


def test_numbers_per_seed_are_compared_by_the_paired_t_test() -> None:
    a, b = np.array([0.5, 0.6, 0.7, 0.55]), np.array([0.4, 0.55, 0.5, 0.5])
    seeds = np.arange(4)
    found = linear_contrast([measure_by_seed(a, seeds), measure_by_seed(b[::-1], seeds[::-1])], DIFFERENCE)
    assert found.p == pytest.approx(stats.ttest_rel(a, b).pvalue)


def test_a_standard_error_that_is_not_known_on_one_side_leaves_numbers_per_seed_untested() -> None:
    seeds, known = np.arange(3), [pseudo_samples(0.3, "a")] * 3
    unknown = [pseudo_samples(error, "b") for error in (0.3, np.nan, 0.3)]
    a, b = np.array([0.9, 1.0, 1.1]), np.array([0.4, 0.4, 0.4])
    found = linear_contrast(
        [measure_by_seed(a, seeds, known), measure_by_seed(b, seeds, [pseudo_samples(0.4, "b")] * 3)],
        DIFFERENCE,
    )
    assert found.standard_error == pytest.approx(math.sqrt(0.01 / 3 + 0.3**2 + 0.4**2))
    for side in (measure_by_seed(b, seeds), measure_by_seed(b, seeds, unknown)):
        found = linear_contrast([measure_by_seed(a, seeds, known), side], DIFFERENCE)
        assert (found.value, found.reason) == (pytest.approx(0.6), Reason.of(Code.UNKNOWN_ERROR))
        assert math.isnan(found.p)
    elsewhere = measure_by_seed(a, np.array([0, 7, 2]), unknown)  # seed 7 is not compared
    few = linear_contrast([elsewhere, measure_by_seed(b, seeds, known)], DIFFERENCE)
    assert few.reason == Reason.of(Code.FEW_SEEDS, seeds=2, least=3)


def test_an_error_that_two_recipes_share_is_no_error_of_their_difference() -> None:
    """Models that err by the same samples: their difference varies with the seeds alone, as A1 and A4 of the claims."""
    rng, seeds = np.random.default_rng(5), np.arange(6)
    design = Contributions(np.arange(-64, 0), rng.normal(size=64) / 200)
    a, b = 0.4 + 0.006 * rng.normal(size=6), 0.4 + 0.006 * rng.normal(size=6)
    found = linear_contrast(
        [measure_by_seed(a, seeds, [design] * 6), measure_by_seed(b, seeds, [design] * 6)], DIFFERENCE
    )
    assert found.standard_error == pytest.approx(stats.sem(a - b))
    assert found.df == pytest.approx(5)
    elsewhere = replace(design, samples=np.arange(1000, 1064))
    apart = linear_contrast(
        [measure_by_seed(a, seeds, [design] * 6), measure_by_seed(b, seeds, [elsewhere] * 6)],
        DIFFERENCE,
    )
    assert apart.standard_error == pytest.approx(math.hypot(stats.sem(a - b), np.sqrt(2) * design.standard_error))
    assert (found.patients, apart.patients, apart.paired_patients) == (0, 64, 0)  # of a design are no patients


@pytest.mark.slow
@settings(max_examples=6, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_agrees_with_statsmodels(p: list[float]) -> None:
    """Few examples: statsmodels collects garbage in each call, which takes a second."""
    np.testing.assert_allclose(holm(np.array(p)), multipletests(p, method="holm")[1], atol=1e-12)


def test_holm_counts_what_was_stated_and_could_not_be_tested() -> None:
    np.testing.assert_allclose(holm(np.array([0.01, np.nan, 0.04])), [0.03, np.nan, 0.08])


def test_what_has_no_error_or_no_differences_has_no_p() -> None:
    tests = (two_sided, partial(equivalence, margin=0.05), partial(minimum_effect, margin=0.05))
    for test in (*tests, partial(noninferiority, margin=0.05, direction="higher")):
        assert all(math.isnan(test(0.1, error, 5.0)) for error in (0.0, math.nan))
    for differences in ([], [0.1, math.nan, 0.2]):
        assert all(map(math.isnan, sign_flip_test(np.array(differences))))
    assert sign_flip_test(np.array([0.1, 0.2, -0.3]))[0] == 1.0, "a sum of 0 but for rounding is reached by every flip"


def test_sign_flip_by_hand_and_against_scipy() -> None:
    assert sign_flip_test(np.array([1.0, 2, 3, 4, 5])) == (0.0625, 0.0625)
    assert sign_flip_test(np.array([1.0, -2, 3])) == (1.0 * 6 / 8, 0.25)
    values = np.random.default_rng(0).normal(0.4, 1, 9)
    test = stats.permutation_test((values,), np.mean, permutation_type="samples", n_resamples=np.inf)
    assert sign_flip_test(values)[0] == pytest.approx(test.pvalue)
    many = np.random.default_rng(1).normal(0.1, 1, 20)
    exact = stats.permutation_test((many,), np.mean, permutation_type="samples", n_resamples=50_000, rng=1)
    assert sign_flip_test(many)[0] == pytest.approx(exact.pvalue, abs=0.02)


def test_equivalence_is_the_greater_of_two_one_sided_tests() -> None:
    lower, upper = stats.t.sf((0.03 + 0.1) / 0.04, 6), stats.t.cdf((0.03 - 0.1) / 0.04, 6)
    assert equivalence(0.03, 0.04, 6, 0.1) == pytest.approx(max(lower, upper))
    with pytest.raises(ValueError, match="the margin is 0: give a positive difference"):
        equivalence(0.0, 0.1, 5, 0)


def test_beyond_the_margin_is_one_test_towards_the_sign() -> None:
    assert minimum_effect(0.05, 0.01, 8.0, 0.05) == pytest.approx(0.5)
    assert minimum_effect(-0.08, 0.01, 8.0, 0.05) == pytest.approx(stats.t.sf(3, 8))
    assert minimum_effect(0.08, 0.01, 8.0, 0.05) > two_sided(0.08, 0.01, 8.0) / 2


def test_more_than_the_margin_is_decided_by_holm_and_not_read_off_the_interval() -> None:
    sure = [
        replace(
            made(1e-9, value=sign * 0.2, margin=0.05, equivalence_p=1.0),
            standard_error=0.01,
            df=50.0,
            beyond_p=minimum_effect(0.2, 0.01, 50.0, 0.05),
        )
        for sign in (1, -1)
    ]
    # Shown against zero as the last of its family, at an uncorrected 5%, with an interval beyond the margin; and yet
    # its p of 0.015 is not under 0.025 / 2, since another comparison fails to be beyond the margin as well.
    unsure = [
        replace(made(p, value=0.072, margin=0.05, equivalence_p=1.0), standard_error=0.01, df=50.0, beyond_p=over)
        for p, over in ((1e-8, 0.015), (1e-7, 0.024))
    ]
    found = decide([*sure, *unsure])
    assert [one.decision for one in found] == ["higher-beyond", "lower-beyond", "higher", "higher"]
    assert all(one.decision_p == one.beyond_p and abs(one.decision_low) > 0.05 for one in found[:2])
    assert all(one.decision_p == one.p_holm for one in found[2:])
    assert found[3].decision_low > 0.05
    without = decide([replace(one, margin=math.nan, beyond_p=math.nan) for one in sure])
    assert [one.decision for one in without] == ["higher", "lower"]


def test_non_inferiority_looks_the_worse_way_alone() -> None:
    """Dice may fall by less than 0.05, false alarms rise by less: the same test on the mirrored difference."""
    fallen = stats.ttest_1samp(np.array([-0.03, -0.01, 0.02, -0.02, 0.0]), -0.05, alternative="greater")
    error = np.std([-0.03, -0.01, 0.02, -0.02, 0.0], ddof=1) / np.sqrt(5)
    assert noninferiority(-0.008, error, 4, 0.05, "higher") == pytest.approx(fallen.pvalue)
    assert noninferiority(0.008, error, 4, 0.05, "lower") == pytest.approx(fallen.pvalue)
    assert noninferiority(0.3, 0.04, 6, 0.1, "higher") < 1e-3 < 0.99 < noninferiority(0.3, 0.04, 6, 0.1, "lower")
    assert math.isnan(noninferiority(0.3, 0.04, 6, 0.1, "none"))
    for value in (-0.03, 0.03):
        ways = [noninferiority(value, 0.04, 6, 0.1, way) for way in ("higher", "lower")]
        assert max(ways) == pytest.approx(equivalence(value, 0.04, 6, 0.1))


def test_non_inferiority_is_corrected_among_those_that_asked_for_it() -> None:
    plain = contrast(panel(0), panel(1), "auroc")
    asked = replace(contrast(panel(0), panel(1), "auroc", margin=0.4), direction="higher")
    other = replace(asked, value=asked.value - 0.1)
    undirected = replace(asked, direction="none")
    found = [one.noninferiority_p for one in decide([asked, plain, other, undirected])]
    assert found[0] == pytest.approx(min(1.0, 2 * asked.noninferiority_p))
    assert found[2] == pytest.approx(max(found[0], other.noninferiority_p))
    assert math.isnan(found[1])
    assert math.isnan(found[3])


def made(p: float, value: float = 0.1, margin: float = math.nan, equivalence_p: float = math.nan) -> Contrast:
    found = contrast(panel(0), panel(1), "auroc")
    return replace(found, p=p, value=value, margin=margin, equivalence_p=equivalence_p)


def test_decisions() -> None:
    family = [made(0.001), made(0.002, -0.2), made(0.6, 0.01, 0.1, 0.01), made(0.5), made(math.nan)]
    assert [one.decision for one in decide(family)] == ["higher", "lower", "equivalent", *["inconclusive"] * 2]
    # 0.02 alone would do; as one of three it does not.
    assert decide([made(0.02), made(0.5), made(0.5)])[0].decision == "inconclusive"
    assert decide([made(0.02)])[0].decision == "higher"


@pytest.mark.parametrize("values", [(0.0,), (0.0, 0.01), (0.002, -0.01, 0.012, 0.03)])
def test_the_interval_of_equivalence_lies_within_the_margin_just_where_it_is_shown(values: tuple[float, ...]) -> None:
    base, margin = contrast(panel(0), panel(1), "auroc"), 0.05
    for error in (0.004, 0.011, 0.015, 0.018, 0.022, 0.03):
        family = [
            replace(
                base,
                value=value,
                p=1.0,
                standard_error=error,
                df=4.0,
                margin=margin,
                low=-1.0,
                high=1.0,
                equivalence_p=equivalence(value, error, 4.0, margin),
            )
            for value in values
        ]
        for one in decide(family):
            if one.decision == "equivalent":
                assert -margin < one.equivalence_low < one.equivalence_high < margin
        surest = min(decide(family), key=lambda one: one.equivalence_p)
        inside = -margin < surest.equivalence_low and surest.equivalence_high < margin
        assert inside == (surest.decision == "equivalent")
        assert surest.equivalence_level == pytest.approx(1 - 0.1 / len(values))


# --- matched fit ----------------------------------------------------------------------------------------------------


def test_seeds_that_reach_no_common_level_are_left_out() -> None:
    a = [BudgetPanel(panel(0), np.full(5, 0.6)), BudgetPanel(panel(1), np.array([0.3, 0.3, 0.3, 0.3, 0.5]))]
    b = [BudgetPanel(panel(2), np.array([0.6, 0.6, 0.6, 0.6, 0.4])), BudgetPanel(panel(3), np.full(5, 0.2))]
    found = matched_fit(a, b, "auroc")
    assert (found.seeds, found.left_out) == (4, 1)


def test_matched_fit_at_a_budgets_own_level_is_the_contrast_of_those_budgets() -> None:
    early, late = panel(0, distance=0.5, noise=3), panel(1, distance=1.5, noise=3)
    other = panel(2, distance=1.0, noise=3)
    a = [BudgetPanel(early, np.full(5, 0.6)), BudgetPanel(late, np.full(5, 0.3))]
    b = [BudgetPanel(early, np.full(5, 0.7)), BudgetPanel(other, np.full(5, 0.3))]
    found = matched_fit(a, b, "auroc")
    direct = contrast(late, other, "auroc")
    assert (found.value, found.standard_error) == pytest.approx((direct.value, direct.standard_error))


def test_recipes_that_differ_only_in_speed_do_not_differ_at_matched_fit() -> None:
    # The same three models, reached by b one budget later: its curve is a's, shifted.
    stages = [panel(0, distance=d, noise=3) for d in (0.4, 0.9, 1.4, 1.9)]
    a = [BudgetPanel(one, np.full(5, level)) for one, level in zip(stages[1:], (0.5, 0.4, 0.3), strict=True)]
    b = [BudgetPanel(one, np.full(5, level)) for one, level in zip(stages[:3], (0.6, 0.5, 0.4), strict=True)]
    found = matched_fit(a, b, "auroc")
    assert found.value == pytest.approx(0, abs=1e-12)


def test_matched_fit_uses_seeds_kept_at_every_budget_and_says_when_none_is_reached() -> None:
    one = panel(0)
    fewer = replace(one, scores=one.scores[:4], seeds=np.arange(4))
    a = [BudgetPanel(one, np.full(5, 0.6)), BudgetPanel(fewer, np.full(4, 0.3))]
    b = [BudgetPanel(panel(1), np.full(5, 0.7)), BudgetPanel(panel(2), np.full(5, 0.2))]
    found = matched_fit(a, b, "auroc")
    assert (found.seeds, found.left_out) == (4, 1)
    apart = matched_fit(a, [BudgetPanel(panel(1), np.full(5, 0.2))], "auroc")
    assert math.isnan(apart.value)
    assert apart.reason == Reason.of(Code.UNREACHED_FIT, start_a=0.6, start_b=0.2, end_a=0.3, end_b=0.2)
    with pytest.raises(ValueError, match=r"give one log-loss for each of 5 seeds"):
        BudgetPanel(one, np.zeros(3))


# --- collapse and power ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("collapsed", "trials"), [(0, 5), (1, 5), (5, 5), (3, 20)])
def test_collapse_rate_has_the_exact_interval(collapsed: int, trials: int) -> None:
    found = collapse_rate(collapsed, trials)
    assert (found.low, found.high) == pytest.approx(proportion_confint(collapsed, trials, method="beta"), abs=1e-12)


def test_collapse_of_two_recipes_against_statsmodels() -> None:
    a, b = np.array([1, 1, 1, 1, 0, 0, 0, 1], bool), np.array([1, 0, 0, 0, 0, 1, 0, 0], bool)
    found = contrast_collapse(a, b)
    table = [[int((a & b).sum()), int((a & ~b).sum())], [int((b & ~a).sum()), int((~a & ~b).sum())]]
    assert found.p == pytest.approx(mcnemar(table, exact=True).pvalue)
    ends = confint_proportions_2indep(5, 8, 2, 8, method="newcomb", compare="diff")
    assert (found.low, found.high) == pytest.approx(ends)
    assert contrast_collapse(b, b).p == 1
    with pytest.raises(ValueError, match="5 of 3 trials collapsed"):
        collapse_rate(5, 3)


def test_plans_improve_with_seeds_and_patients_and_state_their_assumptions(snapshot: SnapshotAssertion) -> None:
    assert (
        detectable_difference(10, 100, 100, "auroc")
        < detectable_difference(5, 100, 100, "auroc")
        < detectable_difference(3, 100, 100, "auroc")
    )
    assert (
        detectable_difference(5, 400, 400, "auroc")
        < detectable_difference(5, 100, 100, "auroc")
        < detectable_difference(5, 100, 100, "auroc", family=4)
    )
    spread = Assumptions(seed_sd=0.05 / 2)  # a mean of four trainings varies half as much as one
    assert detectable_difference(3, 100, 100, "auroc", folds=4) == pytest.approx(
        detectable_difference(3, 100, 100, "auroc", spread)
    )
    assert math.isnan(detectable_difference(2, 100, 100, "auroc"))
    assert assumption_text(Assumptions(), 1) == snapshot
    assert "vary by 0.05 between seeds; a" in assumption_text(Assumptions(), 1)
    assert "vary by 0.05 between trainings (4 folds of a seed taken for independent)" in assumption_text(
        Assumptions(), 4
    )


def test_planned_variance_of_auroc_is_that_of_exponential_scores() -> None:
    # Hanley and McNeil's formula is exact for exponential scores: positives of scale 4 against 1 have AUROC 0.8.
    rng, positive = np.random.default_rng(0), np.repeat([1, 0], [30, 50])
    scores = rng.exponential(size=(4000, 80)) * np.where(positive == 1, 4.0, 1.0)
    areas = (scores[:, :30, None] > scores[:, None, 30:]).mean(axis=(1, 2))
    assert patient_variance(0.8, 30, 50, "auroc") == pytest.approx(areas.var(), rel=0.08)
    assert patient_variance(0.8, 30, 50, "sensitivity") == pytest.approx(0.16 / 30)


def test_a_plan_of_maps_counts_the_images_that_a_measure_is_of() -> None:
    """200 healthy patients and none with a lesion: false alarms can be planned there, overlap and ranks cannot."""
    assert detectable_difference(5, 0, 200, "false-positive-rate-at-90") == detectable_difference(
        5, 0, 200, "specificity"
    )
    assert detectable_difference(5, 100, 200, "false-positive-rate-at-90") == detectable_difference(
        5, 0, 200, "false-positive-rate"
    )
    assert detectable_difference(5, 200, 0, "dice") == detectable_difference(5, 0, 200, "false-positive-rate")
    for lacking in ("dice", "auroc", "auroc-area"):
        assert math.isnan(detectable_difference(5, 0, 200, lacking))


@pytest.mark.parametrize("name", ["hd95", "volume-error", "lesion-sensitivity", "log-loss", "pixel-calibration-error"])
def test_of_what_no_plan_knows_no_number_is_made_up(name: str) -> None:
    assert math.isnan(detectable_difference(5, 100, 100, name))
    with pytest.raises(ValueError, match=f"no patients are known behind '{name}' of 100 and 100"):
        patient_variance(0.8, 100, 100, name)
