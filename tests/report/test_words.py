"""Names, headlines and lines of a page, written out to be read."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion

from assay.plugin import Code, Reason
from assay.report.words import Names, comparison_line, comparison_name, decision_numbers, headline, verdict_words

NAN = float("nan")
NAMES = Names({"reversed": "texture reversed", "same": "texture as in training"})


def row(decision: str = "higher", **more: Any) -> dict[str, Any]:
    """A comparison of SupCon with cross-entropy."""
    return {
        "axis": "loss",
        "a": "supcon",
        "b": "cross-entropy",
        "at": "equal-budget",
        "measure": "auroc",
        "environment": "reversed",
        "factor": "",
        "layer": "",
        "where": "",
        "pooled": "",
        "doses": "",
        "role": "primary",
        "family": "primary",
        "decision": decision,
        "margin": 0.05,
        "value": 0.09,
        "low": 0.01,
        "high": 0.17,
        "decision_low": 0.0014,
        "decision_high": 0.18,
        "decision_level": 0.975,
        "decision_p": 0.02,
        "p_holm": 0.02,
        "seeds_needed": NAN,
        "exploratory": False,
        "reason": "",
        **more,
    }


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


def test_a_primary_line_has_the_verdict_and_the_numbers_that_decided(snapshot: SnapshotAssertion) -> None:
    depends = str(Reason.of(Code.DEPENDS_ON_SCALE))
    made = [
        row(),
        row("equivalent", value=0.0003, decision_low=-0.018, decision_high=0.0185, decision_level=0.9),
        row("inconclusive", seeds_needed=48.0, decision_level=0.95),
        row("inconclusive", p_holm=NAN, value=NAN, reason=str(Reason.of(Code.NO_SEED))),
        row("inconclusive", reason=depends, pooled='{"p": ["0.2", "1"]}', at="dose-response"),
    ]
    assert [(comparison_line(one, NAMES), decision_numbers(one)) for one in made] == snapshot


def test_interval_and_p_are_of_one_correction_and_another_level_than_95_is_named() -> None:
    assert decision_numbers(row(decision_level=0.95)) == "+0.090 [0.001, 0.180], p = 0.02"
    assert decision_numbers(row()) == "+0.090 [0.001, 0.180], 97.5% CI, p = 0.02"
    assert decision_numbers(row(decision_level=NAN)) == "+0.090 [0.001, 0.180], corrected CI, p = 0.02"
    uncorrected = row(decision_low=NAN, decision_high=NAN, decision_p=NAN, low=0.08, high=0.11)
    assert decision_numbers(uncorrected) == "+0.09"  # an interval of 95% never stands next to a corrected p


def test_labels_of_the_study_file_come_first() -> None:
    names = Names(NAMES.conditions, {"supcon": "contrastive", "reversed": "the other texture"})
    assert comparison_name(row(), names) == "AUROC with the other texture, contrastive against cross-entropy"
    assert comparison_name(row()) == "AUROC in reversed, SupCon against cross-entropy"
    usual, other = row(where='{"streams": "0"}'), row(where='{"streams": "1"}')
    assert comparison_name(usual) == comparison_name(row())
    assert comparison_name(other) == "AUROC in reversed, SupCon against cross-entropy, repetition 1"


FREE = Names({"free": "lesion-free images", "crops": "lesion-free crops"}, {}, {"free"}, {"free", "crops"})


@pytest.mark.parametrize(
    ("measure", "environment", "free", "sentence"),
    [
        ("left-empty", "free", {"free"}, "Fewer lesion-free images are left empty with"),
        ("dice-one", "free", {"free"}, "Fewer lesion-free images are left empty with"),
        ("left-empty", "crops", {"free", "crops"}, "In lesion-free crops, fewer images are left empty with"),
        ("false-positive-rate", "site", set[str](), "In site, fewer lesion-free images are falsely marked with"),
        ("false-positive-area", "free", {"free"}, "A smaller area of lesion-free images is falsely marked with"),
        ("false-positive-rate-at-90", "free", {"free"},
         "Fewer lesion-free images are falsely marked at the threshold for 90% sensitivity with"),
        ("lesion-sensitivity", "site", set[str](), "In site, fewer lesions are found with"),
        ("dice-one", "site", set[str](), "Dice with empty pairs scored 1 in site is lower with"),
    ],
)  # fmt: skip
def test_a_share_of_images_is_said_as_what_happens_to_them(
    measure: str, environment: str, free: set[str], sentence: str
) -> None:
    """The condition is named once: not where it is the only one of such images."""
    names = replace(FREE, lesion_free=free)
    said = headline([row("lower", measure=measure, environment=environment)], names)
    assert said == f"{sentence} SupCon than with cross-entropy."
    assert comparison_name(row(measure="left-empty", environment="free"), FREE).startswith(
        "Share of lesion-free images left empty, SupCon"
    )


@pytest.mark.parametrize(
    ("margin", "text"), [(0.05, "0.05"), (0.1, "0.10"), (0.015, "0.015"), (0.025, "0.025"), (0.004, "0.004")]
)
def test_a_margin_is_printed_as_it_was_chosen(margin: float, text: str) -> None:
    equal = row("equivalent", margin=margin)
    assert verdict_words(equal) == f"equivalent within {text}"
    assert headline([equal], NAMES).endswith(f", within {text}.")
