"""A grid of hundreds of recipes: what is chosen, and that the page fits."""

from __future__ import annotations

import dataclasses
import html
import re
from pathlib import Path

import pytest
from tests.worlds.tables import StudyTables, make_run

from assay.plugin import RunFolder
from assay.report.context import RunTables
from assay.report.page import as_html, collect, without_downloads, write_page

LOSSES = tuple(f"loss(margin={i})" for i in range(30))
MANY = StudyTables(
    losses=LOSSES,
    seeds=3,
    environments=("same", "reversed"),
    probes=("performance",),
    pictures=False,
    more=(("texture", ("0.5", "0.9")),),
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("many"), MANY)


def test_the_page_of_180_recipes_fits_and_says_what_it_chose(run: Path) -> None:
    page = html.unescape(write_page(run).read_text(encoding="utf-8"))
    assert "180 recipes · 540 training runs" in page
    assert len(page.encode()) < 5_000_000
    assert re.search(r"12 of (29|30) shown; the table has all", page)
    assert " rows are shown" in page
    for name in ("contrasts", "findings", "provenance"):
        assert f'download="{name}.csv' in page


@pytest.mark.nightly
def test_a_page_without_room_leaves_files_to_the_run_folder(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = collect(run)
    bare = dataclasses.replace(content, files=tuple((name, None) for name, _ in content.files))
    size = len(as_html(bare).encode())
    monkeypatch.setattr("assay.report.page.SIZE_LIMIT", size + 4_000)
    page = write_page(run).read_text(encoding="utf-8")
    assert len(page.encode()) <= size + 4_000
    assert re.search(r"<li>trials: [^<]*tables/trials\.parquet", page)
    monkeypatch.setattr("assay.report.page.SIZE_LIMIT", len(as_html(without_downloads(bare)).encode()) + 100)
    page = write_page(run).read_text(encoding="utf-8")
    assert "Drawing (SVG)" not in page
    assert not re.search(r"download=\"[^\"]*\.csv", page)
    assert re.search(r'<p class="files">[^<]*under tables/', page)


def test_which_tables_there_are_is_known_without_the_disk(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tables = RunTables(run)
    for name in ("require_table", "kind"):
        monkeypatch.setattr(RunFolder, name, None)
    assert "estimates" in tables
    assert "verdicts" not in tables
