"""Curves by the share of the labels: a panel per environment, shares where their logarithm is, titles by intervals."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion
from tests.report.reading import evidence_of, page_of
from tests.worlds.tables import Made

from assay.report.charts import draw_curves
from assay.report.drawing import Mark, Panel, Plot, styles
from assay.report.figures import FULL
from assay.report.layout import Evidence
from assay.report.sections import performance

SHARES = ("0.01+90", "0.1+40", "1+10")
LABELED = Made(
    losses=("cross-entropy", "supcon", "triplet"),
    budgets=("10",),
    environments=("same", "reversed"),
    probes=("performance",),
    pictures=False,
    more=(("fraction+epochs", SHARES), ("finetuning", ("full", "linear-probe"))),
)


@pytest.fixture
def evidence(tmp_path: Path) -> Evidence:
    return evidence_of(tmp_path, LABELED)


def test_each_environment_has_a_panel_of_all_shares_at_the_slice_shown(
    evidence: Evidence, snapshot: SnapshotAssertion
) -> None:
    made = performance.by_share(evidence)
    assert made is not None
    assert ">same<" in made.wide
    assert ">reversed<" in made.wide
    assert "by share of the labels" in made.wide
    assert [word in made.wide for word in (">0.01<", ">0.1<", ">1<", ">0.01+90<")] == [True, True, True, False]
    assert {row["coordinates"].split('"finetuning": ')[1] for row in made.rows} == {'"linear-probe"}'}
    assert made.note == snapshot


def test_the_title_counts_curves_whose_intervals_are_apart(
    evidence: Evidence, tmp_path: Path, snapshot: SnapshotAssertion
) -> None:
    made = performance.by_share(evidence)
    assert made is not None
    few = performance.by_share(evidence_of(tmp_path / "few", replace(LABELED, seeds=2)))
    assert few is not None
    assert {"five seeds": made.title, "two seeds, which have no interval": few.title} == snapshot


def test_a_share_by_itself_is_an_axis_too(tmp_path: Path) -> None:
    made = performance.by_share(evidence_of(tmp_path, replace(LABELED, more=(("fraction", ("0.1", "1")),))))
    assert made is not None
    assert "change too" not in made.note


def test_a_study_of_one_share_has_no_such_figure(tmp_path: Path) -> None:
    assert performance.by_share(evidence_of(tmp_path, replace(LABELED, more=()))) is None
    assert 'id="figure-labels"' not in page_of(tmp_path / "page", replace(LABELED, more=()))


def test_shares_stand_at_their_logarithm() -> None:
    marks = tuple(
        Mark("a", 0.5 + i / 10, 0.4 + i / 10, 0.6 + i / 10, at=at) for i, at in enumerate(("0.01", "0.1", "1"))
    )
    axis = ("0.01", "0.1", "1")
    plot = Plot((Panel("", marks),), ("a",), styles(["a"]), "AUROC", (0.3, 1.0), axis, "share", scaled=True)
    for logarithmic, share in ((True, 0.5), (False, 0.09 / 0.99)):
        body = draw_curves(replace(plot, logarithmic=logarithmic), FULL).body
        line = re.search(r'd="M([^Z"]+)" stroke="var\(--s0\)" stroke-width="1.8"', body)
        assert line is not None
        x = [float(point.split()[0]) for point in line[1].split("L")]
        assert (x[1] - x[0]) / (x[2] - x[0]) == pytest.approx(share, abs=0.01)
