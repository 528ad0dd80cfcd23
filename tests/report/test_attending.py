"""What the page says of heat-maps: scores beside chance and center, the sanity mark, what is used by size."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion
from tests.report.reading import evidence_of
from tests.worlds.tables import Made, make_run

from assay.report.layout import Evidence
from assay.report.page import collect
from assay.report.sections import reliance


@pytest.fixture
def evidence(tmp_path: Path) -> Evidence:
    return evidence_of(tmp_path, Made(probes=("attribution",), pictures=False))


def test_each_explainer_has_a_panel_with_chance_and_center(evidence: Evidence, snapshot: SnapshotAssertion) -> None:
    made = reliance.by_explainer(evidence)
    assert made is not None
    assert "guided-backprop (fails sanity)" in made.wide
    assert "gradient (fails" not in made.wide
    assert "grad-cam" not in made.wide  # it has no value, and the table of reasons says why
    assert ">chance, center<" in made.wide
    assert made.title == snapshot
    assert {row["factor"] for row in made.rows} == {"gradient", "guided-backprop", "grad-cam"}


def test_references_that_lie_apart_have_a_name_each() -> None:
    near = reliance._with_center((reliance.Reference.level("chance", 0.05),), [{"value": 0.1}])
    assert [one.name for one in near] == ["chance, center", ""]
    far = reliance._with_center((reliance.Reference.level("chance", 0.05),), [{"value": 0.5}])
    assert [one.name for one in far] == ["chance", "center"]
    alone = reliance._with_center((), [{"value": 0.5}])
    assert [(one.name, one.values[0][1]) for one in alone] == [("center", 0.5)]


def test_use_is_shown_by_size_of_lesions(evidence: Evidence) -> None:
    made = reliance.by_size(evidence)
    assert made is not None
    assert [made.wide.index(f"{size} lesions") for size in reliance.SIZES] == sorted(
        made.wide.index(f"{size} lesions") for size in reliance.SIZES
    )
    assert {row["level"] for row in made.rows} == set(reliance.SIZES)


def test_what_each_kind_adds_has_a_panel_each(evidence: Evidence, snapshot: SnapshotAssertion) -> None:
    """Where the phantom was drawn again without it; else where it was painted over."""
    made = reliance.by_kind(evidence)
    assert made is not None
    assert {row["measure"] for row in made.rows} == {"lesion-effect"}
    assert {row["group"] for row in made.rows} == {"microaneurysms", "cotton_wool"}
    assert ">cotton wool<" in made.wide
    left = [row for row in evidence.tables.estimates if row["measure"] != "lesion-effect"]
    painted = reliance.by_kind(Evidence(replace(evidence.tables, estimates=left), evidence.outline))
    assert painted is not None
    assert {"drawn again": made.note, "painted over": painted.note} == snapshot


def test_the_table_says_which_failed(evidence: Evidence, snapshot: SnapshotAssertion) -> None:
    made = reliance.table(evidence)
    assert made is not None
    assert "guided-backprop" in made.note
    assert made.note == snapshot
    assert "sanity rank correlation" in made.heads


def test_without_the_probe_there_is_no_section(tmp_path: Path) -> None:
    evidence = evidence_of(tmp_path, Made(pictures=False, probes=("performance",)))
    assert reliance.by_explainer(evidence) is None
    assert reliance.by_size(evidence) is None
    assert reliance.by_kind(evidence) is None
    assert reliance.table(evidence) is None


def test_the_page_marks_what_is_attended_and_claims_no_use(tmp_path: Path, snapshot: SnapshotAssertion) -> None:
    content = collect(make_run(tmp_path, Made(probes=("attribution",), budgets=("10",), seeds=3)))
    (section,) = (one for one in content.sections if one.id == "attends")
    assert section.words == snapshot
