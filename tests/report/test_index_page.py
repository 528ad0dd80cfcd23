"""Several runs as a page with a row each, and packed to hand to a colleague."""

from __future__ import annotations

import errno
import hashlib
import html
import os
import re
import shutil
import zipfile
from pathlib import Path

import pytest
from tests.worlds.tables import StudyTables, make_run

from assay.cli.results import open_command
from assay.plugin import RunFolder, StoreError
from assay.report.page import write_page
from assay.study.kind import STUDY

SMALL = StudyTables(losses=("cross-entropy", "supcon"), budgets=("10",), seeds=3, environments=("same", "reversed"))


def full(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def write_runs(runs: Path, *names: str) -> None:
    for name in names:
        (runs / name).mkdir(parents=True)
        write_page(make_run(runs / name, SMALL))
        RunFolder(runs / name).begin(STUDY, {})


def test_no_name_of_a_folder_is_a_live_address(tmp_path: Path) -> None:
    write_runs(tmp_path / "runs", "https:evil", "javascript:alert(1)")
    open_command([], tmp_path / "runs")
    assert re.findall(r'<a href="([^"#]+)">', (tmp_path / "runs" / "index.html").read_text()) == [
        "./https%3Aevil/report.html",
        "./javascript%3Aalert%281%29/report.html",
    ]
    with pytest.raises(StoreError, match="has a name that not all systems have"):
        open_command([str(tmp_path / "runs")], tmp_path / "elsewhere", tmp_path / "out.zip")


def test_an_index_and_a_bundle_of_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = tmp_path / "runs"
    write_runs(runs, "first", "second")
    (runs / "notes").mkdir()
    open_command([], runs)
    assert capsys.readouterr().out == f"{runs / 'index.html'}\n"
    page = (runs / "index.html").read_text()
    assert re.findall(r'<a href="([^"#]+)">(\w+)</a>', page) == [
        ("./first/report.html", "first"),
        ("./second/report.html", "second"),
    ]
    verdict = html.unescape(re.findall(r"<h1>(.*?)</h1>", (runs / "first/report.html").read_text())[0])
    assert verdict in html.unescape(page)
    assert page.count("<td>nodule phantom</td>") == 2
    open_command([str(runs)], tmp_path / "elsewhere", tmp_path / "out.zip")
    with zipfile.ZipFile(tmp_path / "out.zip") as packed:
        sums = dict(reversed(line.split("  ", 1)) for line in packed.read("SHA256SUMS").decode().splitlines())
        names = set(packed.namelist())
        assert names == {*sums, "SHA256SUMS"}
        assert {"first/report.html", "second/tables/contrasts.parquet"} <= names
        assert any(name.startswith("first/pictures/") for name in names)
        assert all(hashlib.sha256(packed.read(name)).hexdigest() == one for name, one in sums.items())
        links = re.findall(r'<a href="([^"#]+)">', packed.read("index.html").decode())
        assert {link.removeprefix("./") for link in links} <= names
    before = (tmp_path / "out.zip").read_bytes()
    os.utime(runs / "first/report.html", (0, 0))  # 1970, which ZIP does not know
    open_command([str(runs)], runs, tmp_path / "out.zip")
    assert zipfile.ZipFile(tmp_path / "out.zip").testzip() is None
    (tmp_path / "out.zip").write_bytes(before)
    with monkeypatch.context() as patch:
        patch.setattr(zipfile.ZipFile, "writestr", full)
        with pytest.raises(StoreError, match=r"the disk is full; .*; what was written before is undamaged"):
            open_command([str(runs)], runs, tmp_path / "out.zip")
    assert (tmp_path / "out.zip").read_bytes() == before
    with pytest.raises(StoreError, match=r"give a name that ends in \.zip"):
        open_command([str(runs)], runs, tmp_path / "out.txt")
    assert not (tmp_path / "out.txt").exists()
    with pytest.raises(StoreError, match="two of the runs are called first"):
        open_command(["first", str(runs / "first")], runs, tmp_path / "twice.zip")
    undisturbed = (runs / "first/report.html").read_text()
    (runs / "first/report.html").write_text(undisturbed.replace("higher", "lower"))
    with pytest.raises(StoreError, match=r"first/report\.html is not what its tables give"):
        open_command([], runs)
    (runs / "first/report.html").write_text(undisturbed)
    (runs / "second/tables/provenance.parquet").unlink()
    open_command([], runs)
    damaged = html.unescape((runs / "index.html").read_text())
    assert damaged.count(verdict) == 1
    assert "provenance" in damaged


def test_the_card_of_an_unchanged_run_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = tmp_path / "runs"
    write_runs(runs, "first", "second")
    open_command([], runs)
    first = (runs / "index.html").read_bytes()
    read: list[str] = []

    def require_page(root: Path) -> None:
        read.append(root.name)

    monkeypatch.setattr("assay.report.page.require_page", require_page)
    with monkeypatch.context() as patch:
        patch.setattr("assay.report.index_page.PageContext", None)  # no table can be read
        open_command([], runs)
    assert (runs / "index.html").read_bytes() == first
    assert not read
    os.utime(runs / "second/tables/contrasts.parquet")
    open_command([], runs)
    assert read == ["second"]
    (runs / "first").rename(runs / "third")  # same files, other name
    Path(os.fsdecode(os.fsencode(runs / "second") + b"/\xff")).write_text("")  # a name that is no UTF-8
    open_command([], runs)
    assert "third" in (runs / "index.html").read_text()


def test_damage_beside_a_kept_card_is_noticed(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    write_runs(runs, "first", "second")
    open_command([], runs)
    table = runs / "second/tables/contrasts.parquet"
    before, content = table.stat(), table.read_bytes()
    table.write_bytes(content[:-100] + bytes(100))
    os.utime(table, ns=(before.st_atime_ns, before.st_mtime_ns))  # of the same size and time, too
    open_command([], runs)
    assert "contrasts.parquet: it is damaged" in html.unescape((runs / "index.html").read_text())
    table.write_bytes(content)
    for path in Path(os.environ["XDG_STATE_HOME"], "assay").iterdir():
        path.write_bytes(b'["", 1, 2')
    open_command([], runs)
    assert "damaged" not in (runs / "index.html").read_text()


def test_runs_elsewhere_are_named_where_there_is_none(
    tmp_path: Path, finished_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StoreError, match=r"^no run folder 'runs': runs holds no run; --out names the folder of runs$"):
        open_command([], Path("runs"))
    shutil.copytree(finished_run, tmp_path / "looks" / "first")
    with pytest.raises(StoreError, match=r"^no run folder 'runs': runs holds no run; there is: looks/first$"):
        open_command([], Path("runs"))
