"""Folders that somebody else handed over: run folders and bundles made to harm."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.asking import Asking

import assay
from assay.core.errors import CodeError
from assay.store.files import read_checked_json, write_checked_json
from assay.store.manifest import write_manifest


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str]) -> Asking:
    """Ask the command line in this process."""
    return Asking(capsys)


@pytest.fixture
def received(run_copy: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run folder that names a module in the working folder, which leaves a file when it is imported; made whole."""
    document = read_checked_json(run_copy / "run.json")
    text = json.dumps(document).replace('{"kind": "loss", "name": "supcon"', '{"kind": "loss", "name": "harmful:Loss"')
    assert "harmful" in text
    write_checked_json(run_copy / "run.json", json.loads(text), sort_keys=False)
    write_manifest(run_copy, {})
    Path("harmful.py").write_text("open('ran', 'w')\ndef Loss(context): ...\n")
    monkeypatch.delitem(sys.modules, "harmful", raising=False)
    return run_copy


@pytest.mark.parametrize(
    "words",
    [
        ["report"],
        ["results"],
        ["results", "--table", "issues"],
        ["export", "all", "network"],
        ["replicate", "--dry-run"],
        ["status"],
        ["clean"],
        ["figure", "auroc"],
        ["doctor"],
        ["open", "--bundle", "run.zip"],
    ],
)
def test_no_command_runs_code_that_a_received_folder_names(words: list[str], received: Path, ask: Asking) -> None:
    answer = ask(words[0], received, *words[1:])
    assert not Path("ran").exists()
    if words[0] in ("report", "export", "replicate"):
        assert answer.code == 2
        assert "loss 'harmful:Loss' is code in " in answer.err
        assert "read it, then give --trust-code" in answer.err


def test_python_runs_no_code_that_a_received_folder_names(received: Path) -> None:
    with pytest.raises(CodeError, match="that a folder names"):
        assay.open_run(received).report()
    trial = next((received / "trials").glob("*"))
    with pytest.raises(CodeError):
        assay.load_model(trial)
    assert not Path("ran").exists()


def test_trusted_code_runs_and_is_remembered_until_it_is_edited(received: Path, ask: Asking) -> None:
    first = ask("report", received, "--trust-code")
    assert Path("ran").exists(), first.err
    Path("ran").unlink()
    command = [sys.executable, "-P", "-m", "assay", "report", str(received)]
    subprocess.run(command, check=False, capture_output=True)
    assert Path("ran").exists()
    Path("ran").unlink()
    with Path("harmful.py").open("a") as file:
        file.write("# edited\n")
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert "is code in" in done.stderr
    assert not Path("ran").exists()
