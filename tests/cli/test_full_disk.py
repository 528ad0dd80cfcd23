"""A disk that fills up while a study runs: one sentence, an exit code of its own, and nothing else is tried."""

from __future__ import annotations

import errno
import importlib
from pathlib import Path

import pytest
from tests.cli.asking import Asking
from tests.worlds.studies import TINY, records, write_spec

from assay.core import files
from assay.data import cache
from assay.plugin import RunFolder


def test_a_run_stops_at_once_and_goes_on_when_there_is_room(
    ask: Asking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = write_spec(tmp_path, **{**TINY, "seeds": 2, "contrasts": []})
    tried: list[Path] = []

    def full(path: Path) -> None:
        if "weights.safetensors" in path.name:
            tried.append(path)
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(files, "_flush", full)
        answer = ask("run", spec, "--workers", "0", "--out", tmp_path / "runs")
    assert answer.code == 74
    assert len(tried) == 1
    said = [line for line in answer.err.splitlines() if "cannot write" in line]
    assert len(said) == 1
    assert said[0].endswith("what was written before is undamaged")
    assert answer.err.splitlines()[-1] == said[0]
    root = tmp_path / "runs" / "tiny"
    assert not RunFolder(root).failures()
    assert not (root / "report.html").exists()
    assert ask("run", spec, "--workers", "0", "--out", tmp_path / "runs").code == 0
    assert ask("run", spec, "--workers", "0", "--out", tmp_path / "whole").code == 0
    assert records(root) == records(tmp_path / "whole" / "tiny")


def test_an_error_of_another_file_is_none_of_standard_output(ask: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "of a read")

    monkeypatch.setattr(importlib.import_module("assay.cli.fetch"), "fetch_command", fails)
    answer = ask("fetch")
    assert (answer.code, answer.err.splitlines()[-1]) == (70, "OSError: [Errno 5] of a read")


def test_a_full_cache_ends_a_run_with_the_same_code(
    ask: Asking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cache.os, "posix_fallocate", full)
    answer = ask("run", write_spec(tmp_path, **TINY, contrasts=[]), "--workers", "0", "--out", tmp_path / "runs")
    assert (answer.code, len([line for line in answer.err.splitlines() if "the disk is full" in line])) == (74, 1)
