"""Sentences say what rows say: their words, numbers and lights."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.stats.format import common_decimals, count, decimals, listed, number, p_value, with_interval
from assay.stats.verdict import verdict
from assay.store.schema import SENTENCES


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (number(0.842), ".84"),
        (number(-0.016), "-.02"),
        (number(-0.001), ".00"),
        (number(1.0), "1.00"),
        (number(12.3, 0), "12"),
        (number(math.nan), "undefined"),
        (with_interval(0.48, 0.43, 0.53), ".48 [.43, .53]"),
        (with_interval(0.7, math.nan, math.nan), ".70"),
        (with_interval(0.9871, 0.9852, 0.9889), ".987 [.985, .989]"),
        (with_interval(31.24, 18.0, 45.0, "mm"), "31 [18, 45] mm"),
        (p_value(0.0004), "p < .001"),
        (p_value(0.004), "p = .004"),
        (p_value(0.0301), "p = .03"),
        (p_value(0.0496), "p = .050"),
        (p_value(math.nan), "p undefined"),
        (count(1, "trial"), "1 trial"),
        (count(2000, "image"), "2,000 images"),
        (listed(["a"]), "a"),
        (listed(["a", "b", "c"]), "a, b and c"),
    ],
)
def test_numbers_as_a_reader_sees_them(text: str, expected: str) -> None:
    assert text == expected


@given(st.floats(1e-4, 1e4))
def test_decimals_show_two_digits_of_the_uncertainty_and_one_of_small_ones(half: float) -> None:
    places = decimals(half)
    assert 0 <= places <= 6
    assert round(half, places) == pytest.approx(half, rel=0.06 if half >= 0.1 else 0.51)
    assert half >= 1 or half * 10**places >= (9.99 if half >= 0.1 else 0.99)


def test_a_column_has_the_decimals_that_most_of_it_deserves() -> None:
    assert common_decimals([0.05, 0.05, 0.004, math.nan, 0.0]) == 2
    assert common_decimals([0.05, 0.004]) == 3
    assert common_decimals([]) == 2


def estimate(
    loss: str, measure: str, value: float, half: float, environment: str = "", factor: str = ""
) -> dict[str, Any]:
    coordinates = json.dumps({"loss": loss, "epochs": "20"})
    low, high = value - half, value + half
    return {
        "recipe": loss, "coordinates": coordinates, "measure": measure, "environment": environment, "factor": factor,
        "layer": "", "group": "", "unit": "", "value": value, "low": low, "high": high,
    }  # fmt: skip


def contrast(**changes: Any) -> dict[str, Any]:
    row = {
        "id": "c1", "axis": "loss", "a": "arcface", "b": "cross-entropy", "at": "equal-budget", "measure": "auroc",
        "environment": "reversed", "factor": "", "layer": "", "where": '{"epochs": "20"}', "value": -0.22, "low": -0.33,
        "high": -0.11, "p": 0.003, "p_holm": 0.01, "seeds": 5, "margin": None, "conclusion": "a lower",
        "detectable": 0.12, "exploratory": False, "reason": "",
    }  # fmt: skip
    return {**row, **changes}


ESTIMATES = [
    estimate("arcface", "auroc", 0.48, 0.05, "reversed"),
    estimate("cross-entropy", "auroc", 0.70, 0.11, "reversed"),
    estimate("arcface", "sobol-total", 0.68, 0.07, factor="texture"),
    estimate("arcface", "sobol-total", 0.10, 0.05, factor="margin"),
    estimate("cross-entropy", "sobol-total", 0.55, 0.07, factor="margin"),
    estimate("cross-entropy", "sobol-total", 0.50, 0.07, factor="texture"),
]
MATCHED = contrast(id="c2", at="matched-fit", value=0.03, low=-0.02, high=0.08, p_holm=0.2, conclusion="not shown")


def texts(part: str, *args: Any) -> list[str]:
    return [row["text"] for row in verdict(*args) if row["part"] == part]


SAME = [estimate("arcface", "auroc", 0.97, 0.01, "same"), estimate("cross-entropy", "auroc", 0.99, 0.01, "same")]


def test_the_answer_in_four_sentences() -> None:
    assert texts("answer", [contrast(), MATCHED], [*SAME, *ESTIMATES]) == [
        "At epochs 20, arcface relied most on texture (total Sobol' index .68 [.61, .75]); which of these "
        "cross-entropy relied on most could not be told (total Sobol' index: margin .55 [.48, .62] and texture .50 "
        "[.43, .57]).",
        "AUROC was .97 [.96, .98] (arcface) to .99 [.98, 1.00] (cross-entropy) in same; in reversed it was .48 "
        "[.43, .53] (arcface) to .70 [.59, .81] (cross-entropy).",
        "Of 2 comparisons of loss with cross-entropy, 1 showed a difference: at equal budget (epochs 20), arcface had "
        "a lower AUROC than cross-entropy in reversed: .48 [.43, .53] against .70 [.59, .81] (difference -.22 "
        "[-.33, -.11], p = .01 after correction, 5 seeds).",
        "At matched fit the difference in AUROC between arcface and cross-entropy was .03 [-.02, .08] "
        "(p = .20 after correction): not shown.",
    ]


def test_rows_are_those_of_the_schema_and_point_to_their_evidence() -> None:
    rows = verdict([contrast(), MATCHED], [*SAME, *ESTIMATES])
    assert all(tuple(row) == SENTENCES for row in rows)
    assert [row["evidence"] for row in rows if row["part"] == "answer"] == ["estimates", "performance", "c1", "c2"]


def test_chance_is_named_where_all_have_the_same() -> None:
    rows = [{**row, "chance": 0.5} for row in (*SAME, *ESTIMATES)]
    assert texts("answer", [contrast()], rows)[1].endswith("(cross-entropy), where chance is .50.")


def test_no_cost_is_told_of_a_factor_or_of_one_environment() -> None:
    for rows, main in ((ESTIMATES, contrast()), ([*SAME, *ESTIMATES], contrast(factor="texture"))):
        assert not any("it was" in text for text in texts("answer", [main], rows))


@pytest.mark.parametrize(
    ("conclusions", "words"),
    [
        (
            ("a lower", "a lower", "not shown"),
            "Of 3 comparisons of loss with cross-entropy, 2 showed a difference; the ",
        ),
        (("not shown", "not shown"), "Of 2 comparisons of loss with cross-entropy, none showed a difference; the near"),
        (("equivalent", "not shown"), "none showed a difference, 1 showed equivalence; the nearest to it: at equal"),
    ],
)
def test_an_answer_counts_what_comparisons_showed(conclusions: tuple[str, ...], words: str) -> None:
    rows = [contrast(id=str(i), conclusion=kind, margin=0.05) for i, kind in enumerate(conclusions)]
    assert words in texts("answer", rows, ESTIMATES)[-1]


def test_each_axis_of_comparisons_has_its_sentence_and_is_named() -> None:
    held = '{"loss": "cross-entropy"}'
    other = contrast(id="x", axis="association", a="tied", b="none", where=held, p_holm=0.0001)
    found = texts("answer", [contrast(), contrast(id="c2", p_holm=0.5), other], ESTIMATES)
    assert found[-2].startswith("Of 2 comparisons of loss with cross-entropy")
    assert "association tied had a lower AUROC than association none in reversed" in found[-1]


@pytest.mark.parametrize(
    ("several", "words"),
    [
        (3, "At epochs 20, every loss relied most on texture (total Sobol' index .61 [.54, .68] (loss 1) to .63 ["),
        (9, "which of margin and texture was relied on most could not be told"),
    ],
)
def test_recipes_that_rely_on_the_same_are_told_together(several: int, words: str) -> None:
    rows = [estimate(f"loss {i}", "sobol-total", 0.6 + i / 100, 0.07, factor="texture") for i in range(1, 4)]
    rows += [estimate(f"loss {i}", "sobol-total", 0.1, 0.07, factor="margin") for i in range(1, 4)]
    for i in range(4, several + 1):
        rows += [estimate(f"loss {i}", "sobol-total", 0.4, 0.07, factor=name) for name in ("texture", "margin")]
    (said,) = (text for text in texts("answer", [contrast(a="loss 1", b="loss 2")], rows) if "relied" in text)
    assert words in said
    assert len(said) < 400


def test_of_hundreds_of_recipes_the_answer_stays_short() -> None:
    rows = [
        estimate(f"loss {i}", "sobol-total", value, 0.05, factor=factor)
        for i in range(300)
        for factor, value in (("texture", 0.6 if i % 3 else 0.1), ("margin", 0.3))
    ]
    (said, _) = texts("answer", [], rows)
    assert len(said) < 400
    assert "200 of 300 recipes relied most on texture" in said
    assert "100 of 300 recipes relied most on margin" in said


@pytest.mark.parametrize(
    ("ends", "words"),
    [
        (["collapsed"] * 3, "is undefined: all 3 trials of triplet collapsed."),
        (["collapsed", "failed"], "is undefined: no trial of triplet counts: 1 collapsed and 1 failed."),
        ([], "is undefined: no seed of triplet was kept."),
    ],
)
def test_a_recipe_without_seeds_is_told_by_what_became_of_it(ends: list[str], words: str) -> None:
    lost = contrast(a="triplet", conclusion="undefined", reason="no seed of triplet was kept", p_holm=None)
    trials = [{"status": status, "recipe": "triplet"} for status in ends]
    assert words in texts("answer", [lost], [], trials)[0]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"conclusion": "a higher", "value": 0.2}, "arcface had a higher AUROC than cross-entropy in reversed"),
        (
            {"conclusion": "not shown"},
            "a difference in AUROC between arcface and cross-entropy in reversed was not",
        ),
        (
            {"conclusion": "equivalent", "margin": 0.05},
            "arcface and cross-entropy were equivalent in AUROC in reversed within .05",
        ),
        (
            {"conclusion": "undefined", "reason": "2 seeds: no interval is drawn under 3", "p_holm": None},
            "the comparison of arcface with cross-entropy in AUROC in reversed is undefined: 2 seeds",
        ),
    ],
)
def test_each_conclusion_has_its_words(changes: dict[str, Any], words: str) -> None:
    assert words in texts("answer", [contrast(**changes)], ESTIMATES)[1]


def test_not_shown_is_never_called_no_difference() -> None:
    found = texts("limit", [MATCHED, contrast()], [])
    assert found[0] == (
        "What this does not show: that there is no difference where none was shown (1 of 2 comparisons); the design "
        "would find, four times in five, a difference of .12 or more."
    )
    assert not any("no difference" in text for text in texts("answer", [MATCHED, contrast()], []))


def test_the_answer_leads_with_a_stated_contrast() -> None:
    explored = contrast(id="x", p_holm=0.0001, exploratory=True)
    rows = verdict([explored, contrast()], ESTIMATES)
    assert "x" not in [row["evidence"] for row in rows if row["part"] == "answer"]
    assert any("1 comparison added after results were known" in row["text"] for row in rows)
    assert texts("answer", [], []) == ["No comparison was stated, so nothing is claimed about differences."]


def test_encoded_attended_and_used_are_kept_apart() -> None:
    decoded = [estimate("arcface", "decodability", 0.9, 0.02, factor="texture")]
    assert not any("relied" in text for text in texts("answer", [contrast()], decoded))
    assert any("decoding is not use" in text for text in texts("limit", [contrast()], decoded))


def test_nothing_is_said_to_be_relied_on_most_by_values_that_have_not_converged() -> None:
    unsure = {**ESTIMATES[2], "reason": "not converged: standard error 0.061 exceeds 0.05"}
    rows = verdict([contrast()], [unsure, *ESTIMATES[3:]])
    said = next(row for row in rows if "relied" in row["text"])
    assert said["light"] == "warn"
    assert said["text"].startswith(
        "At epochs 20, what arcface relied on most could not be told: total Sobol' index has not converged for texture"
    )


def test_a_small_value_that_has_not_converged_leaves_the_largest_and_warns() -> None:
    unsure = {**ESTIMATES[3], "reason": "not converged: standard error 0.061 exceeds 0.05"}
    said = verdict([contrast()], [ESTIMATES[2], unsure])[0]
    assert (said["light"], said["text"]) == (
        "warn",
        "At epochs 20, arcface relied most on texture (total Sobol' index .68 [.61, .75]).",
    )


def test_single_directions_are_not_ranked_beside_the_whole_effect() -> None:
    one_way = {**estimate("arcface", "flip-rate", 0.9, 0.05, factor="margin"), "group": "low to high"}
    rows = [estimate("arcface", "flip-rate", 0.4, 0.05, factor="texture"), one_way]
    assert texts("answer", [contrast()], rows)[0] == (
        "At epochs 20, arcface relied most on texture (flip rate .40 [.35, .45])."
    )


def test_contrasts_of_decodability_show_the_levels_of_trained_networks() -> None:
    at = {"environment": "(independent)", "factor": "texture"}
    groups = (("trained", 0.9), ("untrained", 0.6), ("shuffled", 0.5))
    rows = [
        {**estimate(loss, "decodability", value, 0.02, **at), "layer": "pooled", "group": group}
        for loss in ("arcface", "cross-entropy")
        for group, value in groups
    ]
    main = contrast(measure="decodability", layer="pooled", **at)
    assert ".90 [.88, .92] against .90 [.88, .92]" in texts("answer", [main], rows)[0]


def lights(*args: Any) -> dict[str, str]:
    return {row["text"]: row["light"] for row in verdict([contrast()], ESTIMATES, *args) if row["part"] == "doubt"}


def test_lights_when_all_is_well() -> None:
    trials = [{"status": "done", "recipe": "arcface"}] * 90
    environments = [{"asked": 0.9, "strength": 0.88}, {"asked": None, "strength": 0.3}]
    assert lights(trials, environments, []) == {
        "all 90 trials finished": "ok",
        "none collapsed or diverged": "ok",
        "no leakage found": "ok",
        "associations achieved as asked": "ok",
        "5 seeds: how they vary is known only roughly": "warn",
    }


@pytest.mark.parametrize(("planned", "now", "way"), [(3, 9, "raised"), (9, 3, "lowered")])
def test_seeds_that_changed_after_results_are_told(planned: int, now: int, way: str) -> None:
    assert (
        lights([], [], [], (planned, now))[f"seeds were {way} from {planned} to {now} after results existed"] == "warn"
    )
    assert lights([], [], [], (now, now)) == lights([], [], [])


def test_lights_when_it_is_not() -> None:
    trials = [
        {"status": status, "recipe": "triplet"} for status in ("done", "failed", "failed", "pending", "collapsed")
    ]
    environments = [{"asked": 0.9, "strength": 0.7, "factor": "texture", "environment": "train"}]
    assert lights(trials, environments, ["rows 3 and 9 show one image"]) == {
        "2 failed and 1 pending of 5 trials: left out": "bad",
        "1 collapsed (triplet): left out of means": "warn",
        "1 sign of leakage: rows 3 and 9 show one image": "bad",
        "1 of 1 association not achieved within .05: texture in train is .70, asked .90": "warn",
        "5 seeds: how they vary is known only roughly": "warn",
    }
    one = {"status": "done", "recipe": "arcface"}
    assert (
        lights([one, {"status": "diverged", "recipe": "arcface"}])["1 diverged (arcface): left out of means"] == "warn"
    )
    assert lights()["leakage was not checked"] == "warn"


# --- along doses ----------------------------------------------------------------------------------------------------

DOSED = contrast(
    at="dose-response", where='{"confounder": "tag"}', plain_p=0.002, probit_p=0.003, p=0.003, value=-0.12, low=-0.2,
    high=-0.04,
)  # fmt: skip


def at_dose(loss: str, p: str, value: float) -> dict[str, Any]:
    row = estimate(loss, "auroc", value, 0.02, "reversed")
    return {**row, "recipe": f"{loss} {p}", "coordinates": json.dumps({"loss": loss, "confounder": "tag", "p": p})}


def answers(row: dict[str, Any], estimates: list[dict[str, Any]] | None = None) -> list[str]:
    return [one["text"] for one in verdict([row], estimates or []) if one["part"] == "answer"]


def test_a_dose_response_tells_changes_and_both_scales() -> None:
    (told,) = answers(DOSED)
    assert told == (
        "Over the doses (confounder tag), the change in AUROC from p = 0 in reversed was lower with arcface than with "
        "cross-entropy: difference -.12 [-.20, -.04], p = .01 after correction (.002 plain, .003 probit, before it), "
        "5 seeds."
    )


def test_what_one_scale_shows_is_said_to_depend_on_it() -> None:
    (told,) = answers({**DOSED, "conclusion": "depends on the scale", "p": 0.3, "p_holm": 0.3, "probit_p": 0.3})
    assert "differs between arcface and cross-entropy or not, depending on the scale: difference -.12" in told
    assert "(.002 plain, .30 probit, before it)" in told


def test_the_ends_of_the_doses_are_told_in_the_environment_compared() -> None:
    rows = [at_dose(loss, p, value) for loss in ("arcface", "cross-entropy") for p, value in (("0", 0.9), ("1", 0.3))]
    first, _ = answers(DOSED, rows)
    assert first == ("In reversed (confounder tag), AUROC was .90 [.88, .92] at p = 0; at p = 1 it was .30 [.28, .32].")
