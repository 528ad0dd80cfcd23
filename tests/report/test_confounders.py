"""The page's confounders: their sheets, their figures with what these mean, and what recipes made of pairs by dose."""

from __future__ import annotations

import html
import json
from dataclasses import replace
from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion
from tests.report.reading import DOSED, evidence_in, page_of, words_of
from tests.worlds.tables import make_run

from assay.core.reasons import Code
from assay.report.drawing import styles
from assay.report.images import MEANING, asked, logit_drawing, logit_words
from assay.report.layout import Evidence
from assay.report.page import write_page
from assay.report.sentences.reasons import WORDS

PICTURED = replace(DOSED, environments=("same", "reversed"), pictures=True)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("dosed"), PICTURED)


@pytest.fixture(scope="module")
def evidence(run: Path) -> Evidence:
    return evidence_in(run)


def recipes(evidence: Evidence, confounder: str) -> list[str]:
    rows = evidence.tables.trials
    return [row["recipe"] for row in rows if json.loads(row["coordinates"])["confounder"] == confounder]


def test_the_figures_stand_beneath_the_sheets_with_their_meaning(run: Path) -> None:
    page = write_page(run).read_text()
    part = page[page.index("Each confounder, without") : page.index("<h3>Pairs")]
    assert part.count("<img ") == 2
    table = words_of(part, "visibility")
    for words in ("low-pass(cutoff=0.2)", "0.014", "0.968", "an edge is shorter", WORDS[Code.TIED_BY_SAMPLING]):
        assert str(words) in table
    assert MEANING in html.unescape(part)


def test_a_study_that_changes_no_pixel_has_no_such_part(tmp_path: Path) -> None:
    page = page_of(tmp_path, DOSED)
    assert "Each confounder" not in page
    assert 'id="visibility"' not in page


@pytest.mark.parametrize("confounder", ["tag", "low-pass"])
def test_a_confounders_pair_is_told_by_its_own_recipes_at_every_dose(evidence: Evidence, confounder: str) -> None:
    """Though the figures hold one confounder, and one dose."""
    found = asked(evidence, confounder, recipes(evidence, confounder))
    assert set(found) == {(loss, p) for loss in DOSED.losses for p in ("0", "0.3", "1")}
    assert all(f" {confounder} " in recipe for recipe in found.values())


def test_a_factor_that_is_dosed_is_told_by_the_recipes_that_were_trained_with_it(evidence: Evidence) -> None:
    """All recipes were asked about it, as about every factor of a phantom."""
    found = asked(evidence, "tag", [*recipes(evidence, "tag"), *recipes(evidence, "low-pass")])
    assert len(found) == 6
    assert all(" tag " in recipe for recipe in found.values())


def test_a_factors_pair_is_told_by_the_recipes_that_figures_show(evidence: Evidence) -> None:
    found = asked(evidence, "margin", [*recipes(evidence, "tag"), *recipes(evidence, "low-pass")])
    held = evidence.outline.held["confounder"]
    assert len(found) == 6
    assert all(f" {held} " in recipe for recipe in found.values())


def test_rows_of_a_level_stay_together_with_their_doses(snapshot: SnapshotAssertion) -> None:
    values = {"random": {"p = 0": (0.0, 0.1), "p = 1": (0.0, 4.0)}, "natural": {"p = 0": (-1.0, 1.0)}}
    body = logit_drawing(values, styles(list(values)), 350).body
    assert [body.count(f">{words}<") for words in ("random", "natural", "p = 0", "p = 1", "0.0 → 4.0")] == [
        1,
        1,
        2,
        1,
        1,
    ]
    assert logit_words(values) == snapshot
