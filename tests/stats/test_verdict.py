"""Sentences say what rows say: their words, numbers and lights."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion
from tests.stats.sentences import DOSED, ESTIMATES, MATCHED, SAME, contrast, estimate, texts, verdict

from assay.core.reasons import Code, because
from assay.stats.answers import findings_of
from assay.stats.compare import decide, equivalence, untested
from assay.stats.findings import to_row
from assay.store.schema import FINDINGS

NO_POSITIVE = str(because(Code.ABSENT_CLASS, kind="positive"))


def test_the_answer_in_four_sentences(snapshot: SnapshotAssertion) -> None:
    assert texts("answer", [contrast(), MATCHED], [*SAME, *ESTIMATES]) == snapshot


@pytest.mark.parametrize("other", [{"measure": "worst-group-accuracy"}, {"measure": "flip-rate", "factor": "texture"}])
def test_what_a_shift_cost_is_told_beside_a_surer_comparison_of_something_else(
    other: dict[str, str], snapshot: SnapshotAssertion
) -> None:
    cost = texts("answer", [contrast()], [*SAME, *ESTIMATES])[1]
    surer = contrast(id="c0", p=0.0001, p_holm=0.0005, **other)
    said = texts("answer", [contrast(), surer], [*SAME, *ESTIMATES])
    assert said[1] == cost
    assert said[2] == snapshot
    assert len(texts("answer", [surer], [*SAME, *ESTIMATES])) == 2, "nothing of the whole was compared"


def test_rows_are_those_of_the_schema_and_point_to_their_evidence() -> None:
    assert all(
        set(to_row(one)) == set(FINDINGS.names) for one in findings_of([contrast(), MATCHED], [*SAME, *ESTIMATES])
    )
    rows = verdict([contrast(), MATCHED], [*SAME, *ESTIMATES])
    assert [row["evidence"] for row in rows if row["part"] == "answer"] == ["estimates", "performance", "c1", "c2"]


@pytest.mark.parametrize(
    "conclusions",
    [("lower", "lower", "inconclusive"), ("inconclusive", "inconclusive"), ("equivalent", "inconclusive")],
)
def test_an_answer_counts_what_comparisons_showed(conclusions: tuple[str, ...], snapshot: SnapshotAssertion) -> None:
    rows = [contrast(id=str(i), conclusion=kind, margin=0.05) for i, kind in enumerate(conclusions)]
    assert texts("answer", rows, ESTIMATES)[-1] == snapshot


def test_what_is_shown_at_matched_fit_alone_is_not_told_of_equal_budget(snapshot: SnapshotAssertion) -> None:
    matched = {**MATCHED, "conclusion": "higher", "value": 0.2, "p_holm": 0.001}
    *_, found, beside = texts("answer", [contrast(conclusion="inconclusive", p_holm=0.4), matched], ESTIMATES)
    assert found == snapshot
    assert beside.endswith(": arcface higher.")
    *_, found, beside = texts("answer", [contrast(), matched], ESTIMATES)
    assert beside.endswith(": arcface higher."), "at equal budget it was lower: not still"
    *_, beside = texts("answer", [contrast(), {**matched, "conclusion": "lower"}], ESTIMATES)
    assert beside == snapshot


def test_the_comparison_at_matched_fit_is_of_the_training_that_the_answer_leads_with() -> None:
    main = contrast(where='{"association": "view", "epochs": "20"}')
    other, own = ({**MATCHED, "id": tie, "where": f'{{"association": "{tie}"}}'} for tie in ("none", "view"))
    rows = [row for row in verdict([main, other, own], ESTIMATES) if row["text"].startswith("At matched fit")]
    assert [row["evidence"] for row in rows] == ["view"]


def test_each_axis_of_comparisons_has_its_sentence_and_is_named(snapshot: SnapshotAssertion) -> None:
    held = '{"loss": "cross-entropy"}'
    other = contrast(id="x", axis="association", a="tied", b="none", where=held, p_holm=0.0001)
    found = texts("answer", [contrast(), contrast(id="c2", p_holm=0.5), other], ESTIMATES)
    assert found[-2] == snapshot
    assert found[-1] == snapshot


@pytest.mark.parametrize("ends", [["collapsed"] * 3, ["collapsed", "failed"], []])
def test_a_recipe_without_seeds_is_told_by_what_became_of_it(ends: list[str], snapshot: SnapshotAssertion) -> None:
    lost = contrast(
        a="triplet", conclusion="undefined", reason=str(because(Code.NO_SEED_OF, recipe="triplet")), p_holm=None
    )
    trials = [{"status": status, "recipe": "triplet"} for status in ends]
    assert texts("answer", [lost], [], trials)[0] == snapshot


@pytest.mark.parametrize(("seeds", "said"), [(3, True), (4, True), (5, False)])
def test_a_difference_shown_on_few_seeds_is_called_a_first_sign(seeds: int, said: bool) -> None:
    words = f"With {seeds} seeds this is a first sign; confirm it with more seeds."
    (answer,) = texts("answer", [contrast(seeds=seeds)], ESTIMATES)[-1:]
    assert answer.endswith(words) == said
    (unshown,) = texts("answer", [contrast(seeds=seeds, conclusion="inconclusive")], ESTIMATES)[-1:]
    assert "first sign" not in unshown


@pytest.mark.parametrize(
    "changes",
    [
        {"conclusion": "higher", "value": 0.2},
        {"conclusion": "inconclusive"},
        {"conclusion": "inconclusive", "margin": 0.05, "noninferiority_p": 0.01},
        {"conclusion": "inconclusive", "margin": 0.05, "noninferiority_p": 0.03},
        {
            "conclusion": "undefined",
            "reason": str(because(Code.ABSENT_CLASS, kind="positive")),
            "value": None,
            "p_holm": None,
        },
    ],
)
def test_each_conclusion_has_its_words(changes: dict[str, Any], snapshot: SnapshotAssertion) -> None:
    assert texts("answer", [contrast(**changes)], ESTIMATES)[1] == snapshot


SMALL = {
    "margin": 0.05, "value": -0.03, "low": -0.04, "high": -0.02, "equivalence_low": -0.038, "equivalence_high": -0.022,
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        # worse, and not by the margin: by either test, for they are one
        (
            {**SMALL, "noninferiority_p": 0.01},
            "a lower AUROC than cross-entropy in reversed, but by less than 0.05 (p = 0.01, one-sided): ",
        ),
        (
            {**SMALL, "equivalence_p": 0.01},
            "a lower AUROC than cross-entropy in reversed, but by less than 0.05 (90% CI [-0.038, -0.022], "
            "p = 0.01 for equivalence after correction): ",
        ),
        # worse, by how much is open
        ({**SMALL, "noninferiority_p": 0.03, "equivalence_p": 0.2}, "a lower AUROC than cross-entropy in reversed: "),
        # better is never worse, which says nothing of how much better it is
        ({"conclusion": "higher", "margin": 0.05, "noninferiority_p": 0.001, "equivalence_p": 0.4}, "in reversed: "),
        (
            {"conclusion": "higher", "margin": 0.05, "noninferiority_p": 0.001, "equivalence_p": 0.01},
            "a higher AUROC than cross-entropy in reversed, but by less than 0.05 (90% CI ",
        ),
        # of a measure that is better when lower, lower is the better way
        (
            {**SMALL, "measure": "brier", "noninferiority_p": 0.001, "equivalence_p": 0.4},
            "than cross-entropy in reversed: ",
        ),
        (
            {**SMALL, "measure": "brier", "conclusion": "higher", "noninferiority_p": 0.01},
            "a higher Brier score than cross-entropy in reversed, but by less than 0.05 (p = 0.01, one-sided): ",
        ),
    ],
)
def test_a_difference_that_is_shown_and_small_is_told_in_one_sentence(changes: dict[str, Any], words: str) -> None:
    (told,) = texts("answer", [contrast(**changes)], [])
    assert words in told
    assert told.count("less than 0.05") == ("less than" in words)
    assert "not worse" not in told
    matched = {**MATCHED, **SMALL, "conclusion": "lower", **changes}
    (*_, beside) = texts("answer", [contrast(measure=matched["measure"]), matched], ESTIMATES)
    assert (", but by less than 0.05 (" in beside) == ("less than" in words)


def test_equivalence_is_told_with_the_interval_and_the_p_of_the_test_that_decided(snapshot: SnapshotAssertion) -> None:
    """The contrast of a trial: the 95% interval is -0.06 to 0.06, and equivalence within 0.05 is shown all the same."""
    made = replace(
        untested("", margin=0.05), value=0.0, low=-0.061, high=0.061, standard_error=0.022, df=4.0, p=1.0,
        equivalence_p=equivalence(0.0, 0.022, 4.0, 0.05),
    )  # fmt: skip
    (found,) = decide([made])
    assert found.conclusion == "equivalent"
    row = contrast(
        value=0.0, low=-0.061, high=0.061, standard_error=0.022, p_holm=1.0, margin=0.05, conclusion="equivalent",
        equivalence_p=found.equivalence_p_holm, equivalence_level=found.equivalence_level,
        equivalence_low=found.equivalence_low, equivalence_high=found.equivalence_high,
    )  # fmt: skip
    (told,) = texts("answer", [row], [])
    assert told == snapshot
    (*_, beside) = texts("answer", [contrast(), {**row, "at": "matched-fit"}], ESTIMATES)
    assert beside == snapshot


def test_both_values_of_a_comparison_have_the_same_decimals(snapshot: SnapshotAssertion) -> None:
    """As wide as these intervals are, each by itself would have three decimals and two."""
    pair = [
        estimate("arcface", "auroc", 0.9119, 0.009, "reversed"),
        estimate("cross-entropy", "auroc", 0.9008, 0.0101, "reversed"),
    ]
    (*_, told) = texts("answer", [contrast(conclusion="higher")], pair)
    assert told == snapshot


def without_interval(row: dict[str, Any], seeds: int) -> dict[str, Any]:
    return {**row, "low": None, "high": None, "seeds": seeds}


@pytest.mark.parametrize("seeds", [1, 2])
def test_under_three_seeds_values_and_recipes_are_told_and_the_lack_of_intervals_once(
    seeds: int, snapshot: SnapshotAssertion
) -> None:
    reason = str(because(Code.FEW_SEEDS, seeds=seeds, least=3))
    untested = {"conclusion": "undefined", "p": None, "p_holm": None, "reason": reason}
    rows = [without_interval({**row, **untested}, seeds) for row in (contrast(), MATCHED)]
    found = verdict(rows, [without_interval(row, seeds) for row in (*SAME, *ESTIMATES)])
    assert [row["text"] for row in found if row["part"] == "answer"] == snapshot
    assert sum("seed" in row["text"] for row in found) == 1


def test_not_shown_is_never_called_no_difference(snapshot: SnapshotAssertion) -> None:
    found = texts("limit", [MATCHED, contrast()], [])
    assert found[0] == snapshot
    assert not any("no difference" in text for text in texts("answer", [MATCHED, contrast()], []))


@pytest.mark.parametrize("detectable", [(0.12, 0.4), (0.12, 1.3), (1.3, 1.7)])
def test_the_design_finds_nothing_greater_than_can_be(
    detectable: tuple[float, float], snapshot: SnapshotAssertion
) -> None:
    open_ = [{**contrast(), "conclusion": "inconclusive", "detectable": size} for size in detectable]
    assert texts("limit", open_, [])[0] == snapshot


def test_what_the_design_finds_is_told_of_each_measure(snapshot: SnapshotAssertion) -> None:
    """A rank of 86 directions and an AUROC of 0.40 are not two ends of one range."""
    open_ = [{**contrast(), "conclusion": "inconclusive", "detectable": size} for size in (0.12, 0.4, 1.5)]
    open_.append({**contrast(measure="effective-rank"), "conclusion": "inconclusive", "detectable": 8.6})
    assert texts("limit", open_, [])[0] == snapshot


def test_the_answer_leads_with_a_stated_contrast(snapshot: SnapshotAssertion) -> None:
    explored = contrast(id="x", p_holm=0.0001, exploratory=True)
    rows = verdict([explored, contrast()], ESTIMATES)
    assert "x" not in [row["evidence"] for row in rows if row["part"] == "answer"]
    assert any("1 comparison added after results existed" in row["text"] for row in rows)
    assert texts("answer", [], []) == snapshot


def test_encoded_attended_and_used_are_kept_apart() -> None:
    decoded = [estimate("arcface", "decodability", 0.9, 0.02, factor="texture")]
    assert not any("relied" in text for text in texts("answer", [contrast()], decoded))
    assert any("which a layer encodes" in text for text in texts("limit", [contrast()], decoded))


def test_contrasts_of_decodability_show_the_levels_of_trained_networks() -> None:
    at = {"environment": "(independent)", "factor": "texture"}
    groups = (("trained", 0.9), ("untrained", 0.6), ("shuffled", 0.5))
    rows = [
        {**estimate(loss, "decodability", value, 0.02, **at), "layer": "pooled", "group": group}
        for loss in ("arcface", "cross-entropy")
        for group, value in groups
    ]
    main = contrast(measure="decodability", layer="pooled", **at)
    assert "0.90 [0.88, 0.92] against 0.90 [0.88, 0.92]" in texts("answer", [main], rows)[0]


# --- along doses ----------------------------------------------------------------------------------------------------


def test_a_dose_response_tells_changes_and_both_scales(snapshot: SnapshotAssertion) -> None:
    (told,) = texts("answer", [DOSED], [])
    assert told == snapshot


def test_what_one_scale_shows_is_said_to_depend_on_it(snapshot: SnapshotAssertion) -> None:
    unsure = {**DOSED, "conclusion": "depends on the scale", "p": 0.3, "p_holm": 0.3, "probit_p": 0.3}
    (told,) = texts("answer", [unsure], [])
    assert told == snapshot
