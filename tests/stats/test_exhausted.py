"""Recipes that all lie at an end of the scale are never called equivalent."""

from __future__ import annotations

from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion
from tests.stats.sentences import contrast, estimate, verdict

from assay.report.sentences.reasons import reason_words
from assay.stats.decisions import restrict_claims
from assay.stats.rows import compared_estimates


def pair(measure: str, a: float, b: float, half: float = 0.01, chance: float | None = None) -> list[dict[str, Any]]:
    rows = [estimate(loss, measure, value, half, "reversed") for loss, value in (("arcface", a), ("cross-entropy", b))]
    return [{**row, "chance": chance} for row in rows]


def equal(measure: str, margin: float | None = 0.05, **changes: Any) -> dict[str, Any]:
    return contrast(measure=measure, margin=margin, decision="equivalent", value=0.0, equivalence_p=0.01, **changes)


@pytest.mark.parametrize(
    ("row", "estimates", "where"),
    [
        # every image of the healthy raises an alarm, under any loss
        (equal("false-positive-rate-at-90", 0.10), pair("false-positive-rate-at-90", 0.96, 0.99), "within 0.10 of 1"),
        (equal("dice", 0.02), pair("dice", 0.03, 0.01), "within 0.05 of 0"),
        (equal("auroc"), pair("auroc", 0.96, 0.97), "within 0.05 of 1"),
        (equal("auroc"), pair("auroc", 0.52, 0.48, 0.05, 0.5), "at chance"),
        (equal("accuracy"), pair("accuracy", 0.81, 0.80, 0.02, 0.8), "at chance"),
    ],
)
def test_what_lies_at_an_end_of_the_scale_is_not_equivalent(
    row: dict[str, Any], estimates: list[dict[str, Any]], where: str
) -> None:
    (found,) = restrict_claims([row], estimates)
    assert found["decision"] == "inconclusive"
    assert reason_words(found["reason"]) == f"no room for a difference; {where}"
    said = verdict([found], estimates)
    (doubt,) = (one for one in said if one["part"] == "doubt" and one["text"].startswith("no room for a difference"))
    assert doubt["light"] == "warn"


@pytest.mark.parametrize(
    ("row", "estimates"),
    [
        (equal("dice", 0.02), pair("dice", 0.96, 0.95)),
        (equal("auroc"), pair("auroc", 0.35, 0.34, 0.05, 0.5)),
        (equal("auroc"), pair("auroc", 0.52, 0.60, 0.05, 0.5)),
        (equal("false-positive-rate", 0.10), pair("false-positive-rate", 0.96, 0.85)),
        (equal("hd95", 2.0), pair("hd95", 20.0, 21.0)),
        (equal("auroc"), []),
        # an effect of 0 is a result: none of them relies on it
        (equal("lesion-effect-small-over-large", 0.2), pair("lesion-effect-small-over-large", 0.02, -0.03, 0.2, 0.0)),
    ],
)
def test_elsewhere_equivalence_stands(row: dict[str, Any], estimates: list[dict[str, Any]]) -> None:
    (found,) = restrict_claims([row], estimates)
    assert (found["decision"], found["reason"]) == ("equivalent", "")


def test_differences_at_an_end_stand_with_a_caution_and_chance_is_no_end_for_them(snapshot: SnapshotAssertion) -> None:
    shown = contrast(measure="dice", margin=0.02, decision="lower", value=-0.02)
    (found,) = restrict_claims([shown], pair("dice", 0.01, 0.03))
    assert (found["decision"], reason_words(found["reason"])) == snapshot
    open_ = contrast(measure="auroc", margin=0.05, decision="inconclusive")
    assert restrict_claims([open_], pair("auroc", 0.5, 0.5, 0.2, 0.5))[0]["reason"] == ""


def test_contrasts_are_held_against_estimates_of_the_trained_network_in_their_places_alone() -> None:
    own, elsewhere = pair("auroc", 0.9, 0.8), [{**row, "environment": "same"} for row in pair("auroc", 0.7, 0.6)]
    others = [{**own[0], **other} for other in ({"group": "untrained"}, {"level": "2"}, {"factor": "texture"})]
    estimates = [*own, *pair("dice", 0.5, 0.4), *others, *elsewhere]
    assert compared_estimates(iter(estimates), [equal("auroc")]) == [*own, *elsewhere]
    assert compared_estimates(estimates, []) == [row for row in estimates if row not in others[:2]]
