"""Tables of far more rows than images, or of a line without end, are read or refused by what they hold."""

from __future__ import annotations

import sys
from pathlib import Path
from types import FrameType
from typing import Any

import duckdb
import pytest
from tests.cli.asking import Asking
from tests.safety.test_links import save_images

from assay.store.manifest import write_manifest


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str]) -> Asking:
    return Asking(capsys)


def test_a_name_that_is_repeated_late_is_found_without_a_search_for_each_row(tmp_path: Path, ask: Asking) -> None:
    save_images(tmp_path / "set", [f"{at}.png" for at in range(6)])
    rows = "".join(f"{min(at, 998)}.png,{at % 2}\n" for at in range(1000))
    (tmp_path / "labels.csv").write_text(f"image,target\n{rows}")
    searches: list[object] = []

    def see(_frame: FrameType, event: str, called: object) -> None:
        if event == "c_call" and getattr(called, "__name__", "") in ("count", "index"):
            searches.append(called)

    sys.setprofile(see)
    try:
        said = ask("audit", tmp_path / "none.onnx", "--images", tmp_path / "set", "--labels", tmp_path / "labels.csv")
    finally:
        sys.setprofile(None)
    assert (said.code, "labels.csv has several rows for '998.png'" in said.err) == (2, True)
    assert len(searches) < 900


def test_rows_left_out_fill_no_page(tmp_path: Path, ask: Asking) -> None:
    save_images(tmp_path / "set", [f"{at}.png" for at in range(12)])
    rows = "".join(f"{at}.png,{at % 2}\n" for at in range(12)) + "0.png\n" * 40_000
    (tmp_path / "set" / "labels.csv").write_text(f"image,target\n{rows}")
    said = ask("look", tmp_path / "set", "--out", tmp_path / "out")
    assert said.code == 0, said.err
    assert "left out: 40,000 of 40,012 images, such as line 14: it has 1 cells" in said.out
    assert "; and 39,000 more" in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.parametrize("ends", ["\n", "\r"])
def test_a_line_without_end_is_refused_with_its_file_and_number(tmp_path: Path, ask: Asking, ends: str) -> None:
    save_images(tmp_path / "set", [f"{at}.png" for at in range(6)])
    lines = ["image,target", *(f"{at}.png,{at % 2}" for at in range(6))]
    table = tmp_path / "set" / "labels.csv"
    table.write_bytes(ends.join([*lines, "0" * (1 << 24), "x"]).encode())
    assert "line 8 has over" not in ask("look", tmp_path / "set", "--out", tmp_path / "out").err
    table.write_bytes(ends.join([*lines, "0" * ((1 << 24) + 1), "x"]).encode())
    said = ask("look", tmp_path / "set", "--out", tmp_path / "out")
    assert (said.code, "labels.csv: line 8 has over 16 MiB" in said.err) == (2, True)


def lines_run(ask: Asking, run: Path) -> int:
    """Return how many lines of `assay.report` are run until the page of a changed run is refused."""
    count = 0

    def trace(frame: FrameType, event: str, _value: object) -> Any:
        nonlocal count
        count += event == "line"
        return trace if "/assay/report/" in frame.f_code.co_filename else None

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        answer = ask("open", run)
    finally:
        sys.settrace(before)
    assert (answer.code, "is not what its tables give" in answer.err) == (2, True), answer.err
    return count


@pytest.mark.nightly
def test_the_page_of_a_received_run_takes_time_that_grows_with_its_rows(
    run_copy: Path, ask: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(run_copy.parent / "of another user"))
    file = run_copy / "tables" / "contrasts.parquet"
    with duckdb.connect() as database:
        database.execute(f"CREATE TABLE stored AS FROM '{file}'")
        (last,) = database.execute("SELECT max(rowid) FROM stored").fetchall()[0]
        lines: list[int] = []
        for rows in (200, 400, 600, 800):
            changed = f"stored.* REPLACE ('n' || i AS a) FROM stored, range({rows}) numbers(i)"
            more = f"SELECT {changed} WHERE stored.rowid = {last}"
            database.execute(f"COPY (FROM stored UNION ALL {more}) TO '{file}'")
            write_manifest(run_copy, {})
            lines.append(lines_run(ask, run_copy))
    assert lines[3] - lines[2] < 1.5 * (lines[1] - lines[0]), lines  # 2.3 times where it grows with the square
