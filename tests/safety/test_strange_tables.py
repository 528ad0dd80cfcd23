"""Run folders from elsewhere whose tables or requests no Assay wrote: a sentence, not a traceback."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.cli.asking import Asking

from assay.store.files import read_checked_json, read_parquet, write_checked_json, write_parquet
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
