"""What is said of a segmentation: false positives where there is no lesion, and the overlap beside."""

from __future__ import annotations

import json

from syrupy.assertion import SnapshotAssertion

from assay.report.sentences.findings import sentence
from assay.stats.answers import quiet
from assay.stats.rows import Row


def estimate(loss: str, measure: str, environment: str, value: float) -> Row:
    return {
        "recipe": f"{loss} · 20",
        "coordinates": json.dumps({"loss": loss, "epochs": "20"}),
        "measure": measure,
        "environment": environment,
        "factor": "",
        "level": "",
        "layer": "",
        "group": "",
        "unit": "",
        "value": value,
        "low": value - 0.05,
        "high": value + 0.05,
    }


def contrast(measure: str, environment: str) -> Row:
    return {"axis": "loss", "measure": measure, "environment": environment, "where": json.dumps({"epochs": "20"})}


ESTIMATES = [
    estimate("focal", "false-positive-rate-at-90", "lesion-free", 0.12),
    estimate("dice", "false-positive-rate-at-90", "lesion-free", 0.31),
    estimate("focal", "false-positive-rate-at-90", "both", 0.99),
    estimate("focal", "dice", "lesions", 0.81),
    estimate("dice", "dice", "lesions", 0.85),
]
STATED = [contrast("dice", "lesions"), contrast("false-positive-rate-at-90", "lesion-free")]


def test_false_positives_and_overlap_stand_in_one_sentence(snapshot: SnapshotAssertion) -> None:
    (said,) = quiet(STATED, ESTIMATES, STATED[0])
    assert sentence(said) == snapshot


def test_what_the_thresholds_found_in_test_stands_beside(snapshot: SnapshotAssertion) -> None:
    found = [
        estimate(loss, "lesion-sensitivity-at-90", "lesions", at) for loss, at in (("focal", 0.92), ("dice", 0.88))
    ]
    (said,) = quiet(STATED, [*ESTIMATES, *found], STATED[0])
    assert sentence(said) == snapshot
    plain = [contrast("dice", "lesions"), contrast("false-positive-rate", "lesion-free")]
    alarms = [estimate(loss, "false-positive-rate", "lesion-free", 0.2) for loss in ("focal", "dice")]
    sensitivity = [estimate(loss, "lesion-sensitivity", "lesions", 0.9) for loss in ("focal", "dice")]
    (said,) = quiet(plain, [*ESTIMATES, *alarms, *sensitivity], plain[0])
    assert "thresholds" not in sentence(said), "at p = 0.5 every recipe has the same"


def test_nothing_is_said_without_a_comparison_of_false_positives_or_a_value() -> None:
    assert quiet(STATED[:1], ESTIMATES, STATED[0]) == []
    assert quiet(STATED, [], STATED[0]) == []


def test_what_is_undefined_is_left_out(snapshot: SnapshotAssertion) -> None:
    nothing = [{**row, "value": float("nan")} if row["measure"] != "dice" else row for row in ESTIMATES]
    (said,) = quiet(STATED, nothing, STATED[0])
    assert sentence(said) == snapshot


def test_a_recipe_that_finds_too_few_lesions_is_named(snapshot: SnapshotAssertion) -> None:
    censored = [*ESTIMATES, estimate("ce", "false-positive-rate-at-90", "lesion-free", float("nan"))]
    (said,) = quiet(STATED, [*censored, estimate("ce", "dice", "lesions", 0.9)], STATED[0])
    assert sentence(said) == snapshot
