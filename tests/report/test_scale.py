"""A grid of hundreds of recipes: what is chosen, what is said of the choice, and that the page fits."""

from __future__ import annotations

import dataclasses
import html
import math
import re
from pathlib import Path

import pytest
from tests.report.reading import evidence_in
from tests.worlds.tables import Made, make_run

from assay.report.layout import ROWS, SHOWN, some_levels
from assay.report.page import SIZE_LIMIT, collect, render, without_files, write_page
from assay.report.sections import performance

LOSSES = tuple(f"loss(margin={i})" for i in range(30))
MANY = Made(losses=LOSSES, seeds=3, environments=("same", "reversed"), probes=("performance",), pictures=False,
            more=(("texture", ("0.5", "0.9")),))  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("many"), MANY)


def test_the_page_of_180_recipes_fits_and_says_what_it_chose(run: Path) -> None:
    _, choice = some_levels(evidence_in(run))
    page = html.unescape(write_page(run).read_text(encoding="utf-8"))
    assert "180 recipes · 540 training runs" in page
    assert len(page.encode()) < SIZE_LIMIT
    assert choice.startswith(f"{SHOWN} of 30 shown")
    assert choice in page
    assert " rows are shown" in page
    for name in ("contrasts", "findings", "provenance"):
        assert f'download="{name}.csv' in page


def test_no_figure_has_more_rows_than_can_be_read(run: Path) -> None:
    evidence = evidence_in(run)
    figure = performance.by_environment(evidence)
    assert figure is not None
    for drawn in (figure, *performance.differences(evidence)):
        names = {level for level in LOSSES if f">{level}<" in drawn.wide}
        assert 0 < len(names) <= ROWS + 1  # the one that is compared against is named at the zero line too


def test_figures_show_what_differs_and_both_ends(run: Path) -> None:
    evidence = evidence_in(run)
    figure = performance.cost(evidence)
    assert figure is not None
    rows = [row for row in figure.rows if row["environment"] == "reversed"]
    ranked = sorted((row for row in rows if not math.isnan(row["value"])), key=lambda row: row["value"])
    for row in (ranked[0], ranked[-1]):
        assert f"{evidence.outline.level(row)} 0." in figure.alternative


def test_a_page_without_room_leaves_files_to_the_run_folder(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = collect(run)
    bare = dataclasses.replace(content, files=tuple((name, None) for name, _ in content.files))
    size = len(render(bare).encode())
    monkeypatch.setattr("assay.report.page.SIZE_LIMIT", size + 4_000)
    page = write_page(run).read_text(encoding="utf-8")
    assert len(page.encode()) <= size + 4_000
    assert re.search(r"<li>trials: [^<]*tables/trials\.parquet", page)
    monkeypatch.setattr("assay.report.page.SIZE_LIMIT", len(render(without_files(bare)).encode()) + 100)
    page = write_page(run).read_text(encoding="utf-8")
    assert "Drawing (SVG)" not in page
    assert re.search(r'<p class="files">[^<]*under tables/', page)
