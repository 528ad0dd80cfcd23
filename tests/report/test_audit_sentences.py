"""Sentences of audits name families of marks by the most harmful one."""

from __future__ import annotations

from assay.core.registry import entries
from assay.report.sentences.audit import headline, verdict
from assay.shifts.battery import marks_of


def row(factor: str, family: str, verdict: str = "affected-by") -> dict[str, str]:
    return {"factor": factor, "kind": "mark" if family else "column", "family": family, "verdict": verdict}


def test_kin_are_reported_as_a_family_led_by_the_most_harmful() -> None:
    rows = [row("tag", "objects"), row("low-pass", "detail"), row("chest-drain", "objects"), row("view", ""),
            row("jpeg", "detail", "inconclusive")]  # fmt: skip
    assert headline(rows, "net") == [
        "The answers of net change with tag (and its kin: chest drain), low pass and view.",
        "Inconclusive: jpeg.",
    ]
    assert verdict(rows, "net") == (
        "The answers of net change with tag and its kin, low pass and view; another one is inconclusive."
    )


def test_every_intervention_is_of_a_family() -> None:
    names = [entry.name for entry in entries("intervention")]
    families = {name: marks_of({"mine": [name] * 3})[0].family for name in names}
    assert families["hair"] == families["surgical-pen"] == "lines"
    assert not [name for name, family in families.items() if not family]
