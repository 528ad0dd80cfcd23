"""What the page says of distorted images: errors by family and severity, the corruption error and its baseline."""

from __future__ import annotations

import html
from dataclasses import replace
from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion
from tests.report.reading import evidence_of, page_of, words_of
from tests.worlds.tables import Made

from assay.report.layout import Evidence
from assay.report.sections import performance
from assay.stats.outcomes import CORRUPTION, EVERY

DISTORTED = Made(
    losses=("cross-entropy", "supcon", "triplet"),
    budgets=("10",),
    environments=("same", "reversed"),
    probes=("performance", "robustness"),
    pictures=False,
)


@pytest.fixture
def evidence(tmp_path: Path) -> Evidence:
    return evidence_of(tmp_path, DISTORTED)


def test_each_family_has_a_panel_over_severities(evidence: Evidence, snapshot: SnapshotAssertion) -> None:
    made = performance.by_severity(evidence)
    assert made is not None
    assert [word in made.wide for word in (">retinal-defocus<", ">retinal-artifacts<", ">fog<")] == [True, True, False]
    assert {row["level"] for row in made.rows} == {"3", "5"}
    assert (made.title, made.note) == snapshot


def test_curves_begin_at_the_error_on_clean_images_and_guessing_is_drawn(evidence: Evidence) -> None:
    accuracy = [row for row in evidence.tables.estimates if row["measure"] == "accuracy" and not row["group"]]
    known = [{**row, "value": 0.75, "low": 0.7, "high": 0.8, "chance": 0.5} for row in accuracy]
    others = [row for row in evidence.tables.estimates if row["measure"] != "accuracy"]
    made = performance.by_severity(Evidence(replace(evidence.tables, estimates=(*others, *known)), evidence.outline))
    assert made is not None
    assert made.wide.count(">clean<") == 2  # once a panel
    assert ">chance<" in made.wide
    without = performance.by_severity(Evidence(replace(evidence.tables, estimates=tuple(others)), evidence.outline))
    assert without is not None
    assert ">clean<" not in without.wide


def test_families_of_several_environments_are_told_apart(evidence: Evidence) -> None:
    twice = [{**row, "environment": "reversed"} for row in evidence.tables.estimates if row["environment"] == "same"]
    tables = replace(evidence.tables, estimates=(*evidence.tables.estimates, *twice))
    made = performance.by_severity(Evidence(tables, evidence.outline))
    assert made is not None
    assert ">retinal-defocus, same<" in made.wide
    assert ">retinal-defocus, reversed<" in made.wide


def test_the_table_names_the_baseline_and_what_is_undefined(
    evidence: Evidence, tmp_path: Path, snapshot: SnapshotAssertion
) -> None:
    page = page_of(tmp_path / "page", DISTORTED)
    table = words_of(page, "distortions")
    for words in ("corruption error", "retinal-defocus", EVERY, "fog", "undefined"):
        assert words in table
    made = performance.table(evidence)
    assert made is not None
    assert made.note == snapshot
    assert made.note in html.unescape(page)


def test_the_baseline_has_a_corruption_error_of_one(evidence: Evidence) -> None:
    rows = evidence.estimates(CORRUPTION, lambda row: evidence.outline.level(row) == "cross-entropy")
    assert [row["value"] for row in rows] == [1.0, 1.0, 1.0]
    assert [row["factor"] for row in rows] == ["retinal-defocus", "retinal-artifacts", EVERY]


def test_a_study_without_distortions_has_no_such_part(tmp_path: Path) -> None:
    page = page_of(tmp_path, replace(DISTORTED, probes=("performance",)))
    assert 'id="distorted"' not in page
    assert 'id="distortions"' not in page
