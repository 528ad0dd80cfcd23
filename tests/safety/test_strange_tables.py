"""Run folders from elsewhere whose tables or requests no Assay wrote: a sentence, not a traceback."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
from tests.cli.asking import Asking
from tests.worlds.audits import MARKS, images
from tests.worlds.files import write_table

from assay.audit.prepared import prepare_images
from assay.audit.request import AuditRequest
from assay.store.files import read_checked_json, read_parquet, write_checked_json, write_parquet
from assay.store.local import restore_paths
from assay.store.manifest import write_manifest

FOREIGN = "its content is not what this version of Assay writes"


@pytest.fixture
def elsewhere(run_copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run folder that another user made."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "of another user"))
    return run_copy


def test_tables_of_other_texts_are_refused_in_a_sentence(elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ask = Asking(capsys)
    for path in (elsewhere / "tables").glob("*.parquet"):
        columns = read_parquet(path)
        write_parquet(path, {name: np.array(["x"] * len(cells), dtype=object) for name, cells in columns.items()})
    write_manifest(elsewhere, {})
    for words in (["results"], ["open"], ["open", "--bundle", "run.zip"]):
        answer = ask(words[0], elsewhere, *words[1:])
        assert (answer.code, FOREIGN in answer.err, answer.err.count("\n")) == (2, True, 1), (words, answer)
    found = ask("doctor", elsewhere)
    assert (found.code, FOREIGN in found.out, found.err) == (1, True, "")


def test_a_request_of_another_kind_is_refused_in_a_sentence(
    elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ask = Asking(capsys)
    document = read_checked_json(elsewhere / "run.json")
    changes: list[dict[str, Any]] = [
        {"kind": "audit"},
        {"request": {"x": 1}},
        {"request": []},
        {"stamp": 3},
        {"kind": ["x"]},
    ]
    for change in changes:
        write_checked_json(elsewhere / "run.json", {**document, **change}, sort_keys=False)
        write_manifest(elsewhere, {})
        for words in (["report"], ["results"], ["status"], ["export", "all", "network"], ["replicate", "--dry-run"]):
            answer = ask(words[0], elsewhere, *words[1:])
            assert answer.code in (0, 2), (change, words, answer)
            assert "Traceback" not in answer.err


@pytest.fixture
def prepared_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of prepared images that another user made, of images that are here."""
    data = images(tmp_path / "set", 40)
    with monkeypatch.context() as another:
        another.setenv("XDG_STATE_HOME", str(tmp_path / "of another user"))
        request = AuditRequest(data=data, marks={"tag": MARKS["tag"]}, distortions=(), budget=500)
        prepare_images(tmp_path / "received", request)
    names = sorted(path.name for path in (tmp_path / "received" / "images").iterdir())
    write_table(tmp_path / "scores.csv", [["image", "score"], *([name, at / 500] for at, name in enumerate(names))])
    monkeypatch.chdir(tmp_path)
    return tmp_path / "received"


def read_prepared(folder: Path) -> dict[str, Any]:
    return restore_paths(folder, "prepared", read_checked_json(folder / "prepared.json"))


def rewrite(prepared: Path, values: dict[str, Any]) -> None:
    write_checked_json(prepared / "prepared.json", values)
    write_manifest(prepared, {})


def test_strange_prepared_images_are_refused_in_a_sentence(
    prepared_elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ask, values = Asking(capsys), read_prepared(prepared_elsewhere)
    for strange in (
        {},
        {**values, "data": [1]},
        {**values, "data": {"folder": 5}},
        {**values, "marks": 5},
        {**values, "distortions": 7},
        {**values, "margin": 0.7},
        {**values, "seed": "x"},
        {name: value for name, value in values.items() if name != "train"},
    ):
        rewrite(prepared_elsewhere, strange)
        answer = ask("audit", "score", "received", "scores.csv")
        assert (answer.code, FOREIGN in answer.err, answer.err.count("\n")) == (2, True, 1), (strange, answer)
    rewrite(prepared_elsewhere, {**values, "data": {**values["data"], "folder": "…/a\nno mark"}})
    answer = ask("audit", "score", "received", "scores.csv")
    assert (answer.code, "has no local/ of this run, and names only the last part of '…/a no mark'" in answer.err) == (
        2,
        True,
    ), answer


PLANTED: dict[str, Any] = {
    "threshold": 0.01,
    "expect": 0.5,
    "as_given": True,
    "intended_use": "certified",
    "trust": True,
    "command": "touch ran",
    "out": "elsewhere",
}


@pytest.mark.parametrize("option", PLANTED)
def test_prepared_images_plant_no_option_of_an_audit(
    prepared_elsewhere: Path, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    ask, values = Asking(capsys), read_prepared(prepared_elsewhere)
    rewrite(prepared_elsewhere, {**values, option: PLANTED[option]})
    answer = ask("audit", "score", "received", "scores.csv", "--threshold", "0.5", "--no-pictures")
    assert (answer.code, FOREIGN in answer.err, answer.err.count("\n"), answer.out) == (2, True, 1, ""), answer


def test_no_code_that_prepared_images_name_is_run(prepared_elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("evil.py").write_text("open('ran', 'w').close()\nclass Mark: ...\n")
    values = read_prepared(prepared_elsewhere)
    rewrite(prepared_elsewhere, {**values, "marks": {"tag": [{"evil:Mark": {}}] * 3}})
    answer = Asking(capsys)("audit", "score", "received", "scores.csv")
    assert (answer.code, "that you have not run on this machine" in answer.err) == (2, True), answer
    assert not Path("ran").exists()
    Asking(capsys)("audit", "score", "received", "scores.csv", "--trust")
    assert Path("ran").exists()


def test_half_a_character_and_json_of_any_size_are_refused_in_a_sentence(
    elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ask = Asking(capsys)
    (elsewhere / "manifest.json").write_text('{"schema": 1, "files": {}, "more": "\\ud800", "sha256": ""}')
    answer = ask("open", elsewhere)
    assert (answer.code, answer.err.count("\n"), "surrogates not allowed" in answer.err) == (2, 1, True), answer
    (elsewhere / "manifest.json").write_bytes(b'{"schema": 1, "files": {}, "more": "\xed\xa0\x80", "sha256": ""}')
    answer = ask("open", elsewhere)
    assert (answer.code, answer.err.count("\n"), "can't decode" in answer.err) == (2, 1, True), answer
    with (elsewhere / "manifest.json").open("r+b") as file:
        file.truncate(10**12)  # takes no room on the disk
    answer = ask("open", elsewhere)
    assert (answer.code, answer.err.count("\n")) == (2, 1), answer
    assert "manifest.json: it has 1,000,000,000,000 bytes, more than Assay writes" in answer.err


def test_an_infinite_size_in_a_manifest_is_refused_in_a_sentence(
    elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = elsewhere / "manifest.json"
    values = read_checked_json(manifest)
    values["files"][next(iter(values["files"]))] = [None, ""]  # as Assay writes what is infinite
    text = json.dumps(values, indent=1, sort_keys=True) + "\n"
    checked = json.dumps({**values, "sha256": hashlib.sha256(text.encode()).hexdigest()})
    manifest.write_text(checked.replace("null", "Infinity"))
    for command in ("open", "results", "doctor"):
        answer = Asking(capsys)(command, elsewhere)
        assert (answer.code in (1, 2), "Traceback" in answer.err) == (True, False), answer


def test_a_pack_of_repeated_rows_is_refused_by_its_footer(elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records = {path.parent.name: path.read_text() for path in (elsewhere / "probes").glob("*/record.json")}
    columns = read_parquet(next((elsewhere / "probes").glob("*/*.parquet")))
    cells = ", ".join(
        f"{'0.5' if cells.dtype.kind == 'f' else 1 if cells.dtype.kind == 'i' else repr('a')} AS {name}"
        for name, cells in columns.items()
    )
    pack = elsewhere / "packs" / "probes-0.parquet"
    pack.parent.mkdir()
    source = f"SELECT 'x' AS of_unit, 0 AS unit_number, {cells} FROM range(1_000_000)"
    duckdb.execute(f"COPY ({source}) TO '{pack}' (FORMAT parquet)")
    values = {"kind": "probes", "content": hashlib.sha256(pack.read_bytes()).hexdigest(), "units": records}
    write_checked_json(pack.with_suffix(".json"), values, sort_keys=False)
    for id in records:
        shutil.rmtree(elsewhere / "probes" / id)
    for name in ("tables/stamp.json", "manifest.json"):
        (elsewhere / name).unlink()
    answer = Asking(capsys)("report", elsewhere)
    assert (answer.code, "values, which would fill the memory" in answer.err) == (2, True), answer


def test_records_that_came_with_prepared_images_are_not_used(
    prepared_elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ask, score = Asking(capsys), ["audit", "score", "received", "scores.csv", "--no-pictures"]
    assert ask(*score).code == 0
    for name in ("run.json", "manifest.json"):
        (prepared_elsewhere / "audit" / name).unlink()
    answer = ask(*score)
    assert (answer.code, "was there already, in images that this user did not prepare here" in answer.err) == (2, True)
    assert ask(*score, "--out", "elsewhere").code == 0
