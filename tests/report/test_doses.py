"""The page of a dose-response: panels on a scale of doses, interactions in words, half-doses censored and undefined."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from tests.report.made import Made
from tests.report.making import make_run
from tests.report.reading import DOSED, evidence_in, page_of, words_of

from assay.report.curves import draw_curves
from assay.report.figures import FULL, NARROW
from assay.report.marks import Mark, Panel, Plot
from assay.report.outline import outline
from assay.report.page import write_page
from assay.report.palette import styles
from assay.report.tables import read_tables

THREE = replace(DOSED, losses=("cross-entropy", "supcon", "triplet"))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("dosed"), THREE)


@pytest.fixture(scope="module")
def page(run: Path) -> str:
    return write_page(run).read_text()


def test_every_environment_has_a_figure_with_a_panel_per_confounder(page: str) -> None:
    for name in ("same", "neutral", "reversed"):
        figure = page[page.index(f'<figure id="figure-dose-{name}"') :]
        figure = figure[: figure.index("</figure>")]
        assert [word in figure for word in (">tag<", ">low-pass<", "by p in training", "chance")] == [True] * 4


def test_the_first_screen_shows_the_environment_compared(page: str) -> None:
    first = page[page.index('<div class="pair">') : page.index("<nav")]
    assert 'id="figure-first-dose-reversed"' in first
    assert "In reversed, the interval of AUROC lies lower at p = 1 than at p = 0 in" in first


def test_interactions_stand_in_words_with_both_p(page: str) -> None:
    table = words_of(page, "interactions")
    for words in (
        "supcon loses more, or gains less, than cross-entropy, on both scales",
        "depends on the scale: shown on one, or with opposite signs",
        "not shown",
        "undefined: no seed was kept",
        ".400",
    ):
        assert words in table


def test_half_doses_are_told_with_what_is_beyond_and_why_there_is_none(page: str) -> None:
    table = page[page.index('id="half-doses"') :]
    for words in (".43 [.31, .60]", "&gt; 1 [.91, &gt; 1]", "undefined", "is not clear of chance (.50)"):
        assert words in table
    forest = page[page.index('id="figure-half-doses-figure"') :]
    assert "is gone in reversed within the doses in" in forest[: forest.index("</figure>")]


def test_a_study_without_doses_has_no_such_part(tmp_path: Path) -> None:
    page = page_of(tmp_path, Made(losses=("cross-entropy", "supcon"), pictures=False))
    assert "What the dose does" not in page


def test_doses_stand_where_they_are_numbers() -> None:
    marks = tuple(Mark("a", 0.9 - 0.4 * p, 0.8 - 0.4 * p, 0.95 - 0.4 * p, at=at) for at, p in (("0", 0), ("0.2", 0.2)))
    marks = (*marks, Mark("a", 0.5, 0.4, 0.6, at="1"))
    plot = Plot((Panel("", marks),), ("a",), styles(["a"]), "AUROC", (0.3, 1.0), ("0", "0.2", "1"), "p", scaled=True)
    body = draw_curves(plot, FULL).body
    line = re.search(r'd="M([^Z"]+)" stroke="var\(--s0\)" stroke-width="1.8"', body)
    assert line is not None
    x = [float(point.split()[0]) for point in line[1].split("L")]
    assert (x[1] - x[0]) / (x[2] - x[0]) == pytest.approx(0.2, abs=0.01)
    assert 'fill-opacity="0.16"' in body
    assert 'fill-opacity="0.16"' not in draw_curves(replace(plot, scaled=False), NARROW).body


def test_what_is_compared_is_never_the_dose(run: Path) -> None:
    tables = read_tables(run)
    view = outline(replace(tables, contrasts=()))
    assert view.axis != "p"
    assert (view.dosed, view.doses) == ("p", ("0", "0.3", "1"))
    assert evidence_in(run).outline.axis == "loss"
