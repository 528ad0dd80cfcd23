"""What recipes relied on: claimed only where intervals lie apart, values have converged and none is missing."""

from __future__ import annotations

import math

import pytest
from syrupy.assertion import SnapshotAssertion
from tests.stats.sentences import DOSED, ESTIMATES, at_dose, contrast, estimate, paired, texts, verdict

from assay.core.reasons import Code, because
from assay.report.sentences.findings import sentence
from assay.stats.answers import relied


@pytest.mark.parametrize("several", [3, 9])
def test_recipes_that_rely_on_the_same_are_told_together(several: int, snapshot: SnapshotAssertion) -> None:
    rows = [estimate(f"loss {i}", "sobol-total", 0.6 + i / 100, 0.07, factor="texture") for i in range(1, 4)]
    rows += [estimate(f"loss {i}", "sobol-total", 0.1, 0.07, factor="margin") for i in range(1, 4)]
    for i in range(4, several + 1):
        rows += [estimate(f"loss {i}", "sobol-total", 0.4, 0.07, factor=name) for name in ("texture", "margin")]
    (said,) = (text for text in texts("answer", [contrast(a="loss 1", b="loss 2")], rows) if "relied" in text)
    assert said == snapshot
    assert len(said) < 400


ONE_SEED = str(because(Code.FEW_SEEDS, seeds=1, least=3))
UNSURE = str(because(Code.NOT_CONVERGED_ERROR, error=0.061, tolerance=0.05))


def test_of_hundreds_of_recipes_the_answer_stays_short(snapshot: SnapshotAssertion) -> None:
    rows = [
        estimate(f"loss {i}", "sobol-total", value, 0.05, factor=factor)
        for i in range(300)
        for factor, value in (("texture", 0.6 if i % 3 else 0.1), ("margin", 0.3))
    ]
    (said, _) = texts("answer", [], rows)
    assert len(said) < 400
    assert said == snapshot


@pytest.mark.parametrize("recipes", [1, 2])
def test_of_many_factors_that_cannot_be_told_apart_some_are_named(recipes: int, snapshot: SnapshotAssertion) -> None:
    rows = [
        estimate(f"arcface {of}", "flip-rate", 0.5 + i / 100, 0.4, factor=f"f{i}")
        for of in range(recipes)
        for i in range(6)
    ]
    (said,) = relied(rows, None)
    assert sentence(said) == snapshot


def test_of_many_confounders_without_a_comparison_the_first_are_told(snapshot: SnapshotAssertion) -> None:
    """As in a study of doses that states none: every recipe was asked about its own confounder alone."""
    rows = [estimate(f"arcface {name}", "flip-rate", 0.1, 0.05, factor=name) for name in "abcdefg"]
    (said,) = relied(rows, None)
    assert sentence(said) == snapshot


def test_a_design_that_leaves_out_the_confounder_ranks_nothing_beside_it() -> None:
    """The index of mass is the greatest of the phantom's factors, the tag's effect the greatest of all."""
    rows = [
        estimate("arcface", "sobol-total", 0.7, 0.05, factor="mass"),
        estimate("arcface", "flip-rate", 0.2, 0.05, factor="mass"),
        estimate("arcface", "flip-rate", 0.9, 0.05, factor="tag"),
    ]
    (without,) = relied(rows, None, ("tag",), paired(rows))
    assert "relied most on tag (flip rate 0.90" in sentence(without)
    (phantoms,) = relied(rows, None)
    assert "Total Sobol' index for mass" in sentence(phantoms)
    assert "Sobol" in sentence(relied(rows[:2], None, ("tag",))[0])  # a tag that nothing was measured of hides nothing


def test_nothing_is_said_to_be_relied_on_most_by_values_that_have_not_converged(snapshot: SnapshotAssertion) -> None:
    unsure = {**ESTIMATES[2], "reason": UNSURE}
    estimates = [unsure, *ESTIMATES[3:]]
    rows = verdict([contrast()], estimates, paired=paired(estimates))
    said = next(row for row in rows if "relied" in row["text"])
    assert said["light"] == "warn"
    assert said["text"] == snapshot


def test_a_small_value_that_has_not_converged_leaves_the_largest_and_warns(snapshot: SnapshotAssertion) -> None:
    unsure = {**ESTIMATES[3], "reason": UNSURE}
    rows = [ESTIMATES[2], unsure]
    said = verdict([contrast()], rows, paired=paired(rows))[0]
    assert (said["light"], said["text"]) == snapshot


def test_single_directions_are_not_ranked_beside_the_whole_effect(snapshot: SnapshotAssertion) -> None:
    one_way = {**estimate("arcface", "flip-rate", 0.9, 0.05, factor="margin"), "group": "low to high"}
    rows = [estimate("arcface", "flip-rate", 0.4, 0.05, factor="texture"), one_way]
    rows += [estimate("arcface", "flip-rate", 0.1, 0.05, factor="margin")]
    assert texts("answer", [contrast()], rows)[0] == snapshot


def test_of_a_single_factor_nothing_is_called_the_most(snapshot: SnapshotAssertion) -> None:
    values = (("a", 0.02), ("b", 0.4), ("c", 0.3))
    rows = [estimate(name, "flip-rate", value, 0.05, factor="position_x") for name, value in values]
    assert texts("answer", [contrast()], rows)[0] == snapshot
    unsure = {**rows[1], "reason": UNSURE}
    assert texts("answer", [contrast()], [rows[0], unsure, {**rows[2], **NONE}])[0] == snapshot


NONE = {"value": math.nan, "low": math.nan, "high": math.nan}


def test_a_factor_without_a_value_is_counted_where_one_is_called_the_greatest(snapshot: SnapshotAssertion) -> None:
    unknown = {**estimate("arcface", "sobol-total", 0.0, 0.0, factor="size"), **NONE}
    assert texts("answer", [contrast()], [ESTIMATES[2], ESTIMATES[3], unknown])[0] == snapshot


def test_recipes_are_told_together_only_where_the_same_factors_have_values(snapshot: SnapshotAssertion) -> None:
    rows = [estimate(f"loss {i}", "sobol-total", 0.6, 0.07, factor="texture") for i in range(3)]
    rows += [
        {**estimate(f"loss {i}", "sobol-total", 0.1, 0.07, factor="size"), **(NONE if i else {})} for i in range(3)
    ]
    (said,) = (text for text in texts("answer", [contrast()], rows) if "relied" in text)
    assert "every loss" not in said
    assert said == snapshot


def test_one_class_without_a_value_leaves_its_factor_unknown() -> None:
    by_class = [{**estimate("arcface", "flip-rate", 0.2, 0.05, factor="margin"), "level": name} for name in "ab"]
    rows = [estimate("arcface", "flip-rate", 0.6, 0.05, factor="texture"), by_class[0], {**by_class[1], **NONE}]
    assert "of 1 of 2 factors, no value for margin" in texts("answer", [contrast()], rows)[0]


def test_a_recipe_without_any_value_is_not_told_with_the_others(snapshot: SnapshotAssertion) -> None:
    rows = [estimate(f"loss {i}", "sobol-total", 0.6, 0.07, factor="texture") for i in range(3)]
    rows += [estimate(f"loss {i}", "sobol-total", 0.1, 0.07, factor="margin") for i in range(3)]
    rows += [{**estimate("loss 3", "sobol-total", 0.6, 0.07, factor=name), **NONE} for name in ("texture", "margin")]
    (said,) = (text for text in texts("answer", [contrast()], rows) if "relied" in text)
    assert "every loss" not in said
    assert said == snapshot


def test_values_without_intervals_are_told_and_claim_no_order(snapshot: SnapshotAssertion) -> None:
    rows = [
        {**estimate(f"loss {i}", "sobol-total", value + i / 100, 0.07, factor=factor), "low": None, "high": None}
        for i in range(3)
        for factor, value in (("texture", 0.6), ("margin", 0.5))
    ]
    (said,) = (text for text in texts("answer", [contrast()], rows) if "Sobol" in text)
    assert said == snapshot


def test_recipes_that_come_out_in_many_ways_are_told_in_few_clauses(snapshot: SnapshotAssertion) -> None:
    factors = ("margin", "texture", "size", "vessel")
    by_loss = {"loss 0": (0.7, 0.1, 0.1, 0.1)}
    for i in range(1, 4):  # each leaves others of the factors open
        by_loss[f"loss {i}"] = tuple(0.4 if k <= i else 0.0 for k in range(4))
    rows = [
        estimate(loss, "sobol-total", value, 0.05, factor=name)
        for loss, values in by_loss.items()
        for name, value in zip(factors, values, strict=True)
    ]
    (said,) = (text for text in texts("answer", [contrast(a="loss 1", b="loss 2")], rows) if "relied" in text)
    assert said == snapshot


def test_along_doses_what_the_greatest_made_of_them_is_told(snapshot: SnapshotAssertion) -> None:
    rows = [
        {
            **estimate("arcface", "sobol-total", value, 0.05, factor=factor),
            "recipe": f"arcface {p}",
            "coordinates": at_dose("arcface", p, 0.0)["coordinates"],
        }
        for p, texture in (("0", 0.1), ("0.5", 0.3), ("1", 0.8))
        for factor, value in (("margin", 0.5), ("texture", texture))
    ]
    compared, said = texts("answer", [DOSED], rows)
    assert compared == snapshot  # the question of such a study comes first
    assert said == snapshot


def test_a_factor_may_be_relied_on_most_where_intervals_overlap_and_seeds_agree(snapshot: SnapshotAssertion) -> None:
    """Seeds that flip more under a tag flip more under everything: the tag is above size in each of them."""
    rows = [
        estimate("plain", "flip-rate", 0.4, 0.35, factor="tag"),
        estimate("plain", "flip-rate", 0.2, 0.15, factor="size"),
        estimate("plain", "flip-rate", 0.1, 0.05, factor="mass"),
    ]
    other = {"recipe": "plain", "measure": "flip-rate", "factor": "tag", "value": 0.2, "p_holm": 0.01, "reason": ""}
    shown = [{**other, "against": "size"}, {**other, "against": "mass"}]
    (said,) = relied(rows, None, (), shown)
    assert sentence(said) == snapshot
    for open_ in ({**shown[0], "p_holm": 0.2}, {**shown[0], "measure": "sobol-total"}, {**shown[0], "value": -0.2}):
        (said,) = relied(rows, None, (), [open_, shown[1]])
    (said,) = relied(rows, None)  # intervals alone claim nothing
    assert "is inconclusive" in sentence(said)


def test_a_factor_that_flips_no_image_under_any_seed_does_not_keep_the_greatest_from_being_named(
    snapshot: SnapshotAssertion,
) -> None:
    same = {
        "low": math.nan,
        "high": math.nan,
        "reason": str(because(Code.NO_VARIATION)),
    }
    rows = [
        estimate("arcface", "flip-rate", 0.98, 0.01, factor="tag"),
        {**estimate("arcface", "flip-rate", 0.0, 0.0, factor="size"), **same},
        estimate("cross-entropy", "flip-rate", 0.5, 0.1, factor="tag"),
        {
            **estimate("cross-entropy", "flip-rate", 0.6, 0.0, factor="size"),
            **same,
            "reason": str(because(Code.FEW_SEEDS, seeds=1, least=3)),
        },
    ]
    said = texts("answer", [contrast()], rows)[0]
    assert said == snapshot
