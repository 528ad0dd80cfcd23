"""Files written whole: under names that no other writer can have, and that who cleans up knows."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from assay.core.files import write_bytes, write_whole
from assay.plugin import RunFolder, StoreError


def test_a_writer_of_the_same_process_id_elsewhere_writes_to_another_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "getpid", lambda: 7)  # as the first process of every container has the same
    path, names = tmp_path / "record.json", list[str]()

    def first(temporary: Path) -> None:
        def second(other: Path) -> None:
            names.append(other.name)
            other.write_bytes(b"second")

        names.append(temporary.name)
        temporary.write_bytes(b"first")
        write_whole(path, second)
        assert path.read_bytes() == b"second"

    write_whole(path, first)
    assert len(set(names)) == 2
    assert path.read_bytes() == b"first"
    assert [file.name for file in tmp_path.iterdir()] == ["record.json"]


def test_what_a_killed_writer_leaves_is_known_by_its_name(tmp_path: Path) -> None:
    def killed(temporary: Path) -> None:
        temporary.write_bytes(b"half")
        temporary.with_name(f"{temporary.name.removesuffix('.partial')}0.partial").write_bytes(b"half")

    (tmp_path / "trials").mkdir()
    write_whole(tmp_path / "trials" / "record.json", killed)
    write_bytes(tmp_path / "plan.json", b"whole")
    assert len(list((tmp_path / "trials").iterdir())) == 2
    RunFolder(tmp_path).remove_partial_files()
    assert sorted(file.name for file in tmp_path.rglob("*.json")) == ["plan.json", "record.json"]
    assert len(list((tmp_path / "trials").iterdir())) == 1


def test_a_run_that_begins_leaves_alone_what_a_preview_is_writing(tmp_path: Path) -> None:
    def begins(temporary: Path) -> None:
        temporary.write_bytes(b"half")
        RunFolder(tmp_path).remove_partial_files()

    write_whole(tmp_path / "preview" / "report.html", begins)
    assert (tmp_path / "preview" / "report.html").read_bytes() == b"half"


def test_what_stood_there_is_untouched_by_a_writer_that_fails(tmp_path: Path) -> None:
    path = tmp_path / "a"
    write_bytes(path, b"before")

    def full(temporary: Path) -> None:
        temporary.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(StoreError, match=r"the disk is full; .*what was written before is undamaged"):
        write_whole(path, full)
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("a", b"before")]
