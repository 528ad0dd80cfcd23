"""Names, headlines and lines of a page, written out to be read."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion

from assay.core.reasons import because
from assay.plugin import Code
from assay.report.evidence import outline
from assay.report.words import (
    Names,
    control_words,
    decided_by,
    headline,
    leading,
    level_words,
    model_headline,
    place_labels,
    places_by_recipe,
    primary_line,
    relation,
    relations,
    statement,
    title_comparison,
)

NAN = float("nan")
NAMES = Names({"reversed": "texture reversed", "same": "texture as in training"})


def row(decision: str = "higher", **more: Any) -> dict[str, Any]:
    """A comparison of SupCon with cross-entropy."""
    return {
        "axis": "loss", "a": "supcon", "b": "cross-entropy", "at": "equal-budget", "measure": "auroc",
        "environment": "reversed", "factor": "", "layer": "", "where": "", "pooled": "", "doses": "", "role": "primary",
        "family": "primary", "decision": decision, "margin": 0.05, "value": 0.09, "low": 0.01,
        "high": 0.17, "decision_low": 0.0014, "decision_high": 0.18, "decision_level": 0.975, "decision_p": 0.02,
        "p_holm": 0.02, "seeds_needed": NAN, "exploratory": False, "reason": "", **more,
    }  # fmt: skip


OPEN = row("inconclusive", environment="same")
EQUAL = row("equivalent")
CONTROL = {"role": "positive-control", "axis": "epochs", "a": "3", "b": "20", "environment": "same"}
TWIN = {"role": "a-a", "axis": "streams", "a": "1", "b": "0"}
CASES: list[list[dict[str, Any]]] = [
    [],
    [row(exploratory=True)],
    [row()],
    [row("lower-small")],
    [EQUAL],
    [OPEN],
    [row(where='{"epochs": "20"}')],
    [row(a="arcface", at="matched-fit")],
    [row("lower", measure="sobol-total", factor="texture", environment="")],
    [row("lower", at="dose-response")],
    [row("lower", measure="decodability", factor="margin", layer="trunk", environment="(neutral)")],
    [OPEN, row(), EQUAL],
    [EQUAL, EQUAL],
    [EQUAL, row("equivalent", a="arcface")],
    [EQUAL, row("equivalent", a="arcface"), OPEN, row("equivalent", a="triplet", environment="same")],
    [row("equivalent", a=loss, where='{"epochs": "20"}') for loss in ("arcface", "supcon", "triplet", "focal")],
    [row("equivalent", at="matched-fit"), row("equivalent", a="arcface", at="matched-fit")],
    [row(), EQUAL, EQUAL, OPEN],
    [row(where='{"epochs": "20", "streams": "0"}'), row(where='{"epochs": "40", "streams": "0"}', a="arcface")],
    [row(where='{"epochs": "20", "p": "1"}'), row(where='{"epochs": "20", "p": "0"}', a="arcface")],
    [OPEN, OPEN, OPEN],
    [row(), row("lower", role="secondary")],
    [row("inconclusive", role="secondary"), row("inconclusive", role="")],
    [row("inconclusive", a="dice", measure="dice", environment="same")],
    [row(), row("undetected", **CONTROL)],
    [row("inconclusive"), row("differs", **TWIN)],
    [row(), row("detected", **CONTROL)],
    [row(), row("untested", **TWIN)],
]


def test_the_headline_is_of_the_first_rule_that_applies(snapshot: SnapshotAssertion) -> None:
    assert [headline(rows, NAMES) for rows in CASES] == snapshot


def test_pictures_are_of_the_comparison_that_the_title_names() -> None:
    coordinates = [
        {"loss": loss, "confounder": kind} for loss in ("cross-entropy", "supcon") for kind in ("tag", "low")
    ]
    networks = [{"recipe": str(n), "seed": 0, "coordinates": json.dumps(one)} for n, one in enumerate(coordinates)]
    low = json.dumps({"confounder": "low"})
    contrasts = [row("inconclusive", where=json.dumps({"confounder": "tag"})), EQUAL, row("lower", where=low)]
    assert leading(contrasts) == contrasts[-1]
    assert outline({"trials": networks, "contrasts": contrasts}).fixed == {"confounder": "low"}
    assert leading([OPEN, EQUAL, CONTROL]) == EQUAL
    assert leading([OPEN, OPEN]) == OPEN
    assert leading([row("differs", **TWIN)]) is None


def test_a_primary_line_has_the_verdict_and_the_numbers_that_decided(snapshot: SnapshotAssertion) -> None:
    depends = str(because(Code.DEPENDS_ON_SCALE))
    made = [
        row(),
        row("equivalent", value=0.0003, decision_low=-0.018, decision_high=0.0185, decision_level=0.9),
        row("inconclusive", seeds_needed=48.0, decision_level=0.95),
        row("inconclusive", p_holm=NAN, value=NAN, reason=str(because(Code.NO_SEED))),
        row("inconclusive", reason=depends, pooled='{"p": ["0.2", "1"]}', at="dose-response"),
    ]
    assert [(primary_line(one, NAMES), decided_by(one)) for one in made] == snapshot


def test_interval_and_p_are_of_one_correction_and_another_level_than_95_is_named() -> None:
    assert decided_by(row(decision_level=0.95)) == "+0.090 [0.001, 0.180], p = 0.02"
    assert decided_by(row()) == "+0.090 [0.001, 0.180], 97.5% CI, p = 0.02"
    assert decided_by(row(decision_level=NAN)) == "+0.090 [0.001, 0.180], corrected CI, p = 0.02"
    uncorrected = row(decision_low=NAN, decision_high=NAN, decision_p=NAN, low=0.08, high=0.11)
    assert decided_by(uncorrected) == "+0.09"  # an interval of 95% never stands next to a corrected p


def test_labels_of_the_study_file_come_first() -> None:
    names = Names(NAMES.places, {"supcon": "contrastive", "reversed": "the other texture"})
    assert statement(row(), names) == "AUROC with the other texture, contrastive against cross-entropy"
    assert statement(row()) == "AUROC in reversed, SupCon against cross-entropy"
    usual, other = row(where='{"streams": "0"}'), row(where='{"streams": "1"}')
    assert statement(usual) == statement(row())
    assert statement(other) == "AUROC in reversed, SupCon against cross-entropy, repetition 1"


def test_a_control_is_named_by_what_it_controls() -> None:
    found = control_words(row("none detected", **TWIN), NAMES)
    assert found == "A/A control (AUROC with texture reversed, repetition 1 against repetition 0) found no difference"


@pytest.mark.parametrize(
    ("axis", "level", "expected"),
    [("epochs", "10", "10 epochs"), ("p", "0.5", "p = 0.5"), ("loss", "cross-entropy", "cross-entropy"),
     ("loss", "arcface", "ArcFace"),
     ("loss", "dice(reduce=image)", "Dice (reduce image)"), ("batch_size", "16", "batch size 16")],
)  # fmt: skip
def test_a_level_is_named_by_what_it_is(axis: str, level: str, expected: str) -> None:
    assert level_words(axis, level) == expected


@pytest.mark.parametrize(
    ("value", "training", "expected"),
    [(0.05, 0.8, "uninformative"), (-0.7, 0.8, "reversed"), (0.75, 0.8, "as in training"), (0.4, 0.8, "weaker"),
     (0.5, 0.2, "stronger")],
)  # fmt: skip
def test_an_association_is_put_in_words_against_that_of_training(value: float, training: float, expected: str) -> None:
    assert relation(value, training) == expected


def tie(environment: str, strength: float, factor: str = "texture") -> dict[str, Any]:
    """A row of the table of environments."""
    return {"environment": environment, "factor": factor, "strength": strength, "held": ""}


def test_test_conditions_are_named_by_their_association_where_that_names_one_alone() -> None:
    rows = [tie("train", 0.8), tie("same", 0.79), tie("reversed", -0.8), tie("neutral", 0.0), tie("again", 0.01)]
    assert place_labels(rows) == {
        "train": "training", "same": "texture as in training", "reversed": "texture reversed", "neutral": "neutral",
        "again": "again",
    }  # fmt: skip
    asked = [tie("train", 0.8) | {"asked": math.nan}, tie("neutral", 0.0) | {"asked": 0.0}]
    assert place_labels(asked)["neutral"] == "texture uninformative"
    flip = [tie("flip", -0.9) | {"asked": -0.9}, tie("train", 0.6, "sex"), tie("flip", 0.0, "sex") | {"asked": 0.0}]
    assert place_labels([*asked, *flip])["flip"] == "texture reversed", "sex is not all that differs"
    elsewhere = [asked[0], asked[1] | {"set": "site_b"}]
    assert place_labels(elsewhere)["neutral"] == "neutral", "another hospital"
    assert place_labels([tie("train", 0.8), tie("site_b", 0.8)]) == {"train": "training", "site_b": "site b"}
    rows += [tie("train", 0.0, "sex"), tie("neutral", 0.6, "sex")]
    found = relations(rows)
    assert (found["texture"]["same"], found["texture"]["reversed"]) == ("as in training", "reversed")
    assert found["sex"] == {"neutral": "stronger"}


def test_conditions_of_a_recipe_are_named_by_the_axes_that_differ() -> None:
    recipes = {f"ce · 0 · {tie}": {"loss": "ce", "streams": "0", "texture": tie} for tie in ("0.8", "0.9")}
    names = [*(f"same ({one})" for one in recipes), "train (ce · 0 · 0.9)", "reversed"]
    assert places_by_recipe(names, recipes, {"same": "same"}) == {
        "same (ce · 0 · 0.8)": "same, texture 0.8", "same (ce · 0 · 0.9)": "same, texture 0.9",
        "train (ce · 0 · 0.9)": "training",
    }  # fmt: skip


def measured(measure: str, value: float, half: float, **more: str) -> dict[str, Any]:
    """An estimate of one model."""
    place = {"environment": "", "factor": "", "level": "", "layer": "", "group": "", **more}
    return {"measure": measure, "value": value, "low": value - half, "high": value + half, "chance": 0.5, **place}


def test_one_model_is_above_chance_or_not_and_changes_with_factors() -> None:
    flips = [measured("flip-rate", 0.4, 0.1, factor="texture"), measured("flip-rate", 0.1, 0.2, factor="size")]
    good = measured("auroc", 0.8, 0.1, environment="same")
    bad = measured("auroc", 0.5, 0.1, environment="reversed")
    assert model_headline([good, *flips], "auroc", NAMES) == (
        "This model's AUROC is above chance in every test condition; its predictions change with texture."
    )
    assert model_headline([good, bad], "auroc", NAMES) == (
        "This model's AUROC is not shown to be above chance in texture reversed."
    )
    assert model_headline([], "auroc") == ""
    assert json.dumps(model_headline(flips, "auroc")) == '"Its predictions change with texture."'


def test_the_comparison_that_a_title_states_is_one_that_was_decided() -> None:
    first = row()
    assert title_comparison([OPEN, EQUAL, first]) is first, "a difference comes before an equivalence"
    assert title_comparison([OPEN]) is None
    assert title_comparison([first, row("undetected", **CONTROL)]) is None
    assert title_comparison([first, row("detected", **CONTROL)]) is first
