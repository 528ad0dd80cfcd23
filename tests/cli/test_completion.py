"""Completion in shells by Typer: commands, options and their choices, a script, and no heavy imports."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.asking import Asking


@pytest.fixture
def complete(ask: Asking, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Return what bash would show for a line, whose last word is at the cursor."""
    monkeypatch.chdir(tmp_path)

    def candidates(line: str) -> list[str]:
        words = line.split(" ")
        monkeypatch.setenv("COMP_WORDS", "\n".join(words))
        monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
        monkeypatch.setenv("_ASSAY_COMPLETE", "complete_bash")
        answer = ask()
        assert (answer.code, answer.err) == (0, "")
        return answer.out.split()

    return candidates


@pytest.mark.parametrize(
    ("line", "some"),
    [
        ("assay resu", {"results"}),
        ("assay run --sc", {"--scale"}),
        ("assay audit --fit sq", {"squash"}),
    ],
)
def test_candidates_fit_the_place(line: str, some: set[str], complete) -> None:
    found = set(complete(line))
    assert some <= found
    word = line.split(" ")[-1]
    assert all(word in candidate for candidate in found)


def test_there_is_a_script_for_a_shell(ask: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_ASSAY_COMPLETE", "source_bash")
    assert "_ASSAY_COMPLETE=complete_bash" in ask().out


def test_an_answer_imports_nothing_heavy() -> None:
    words = {"COMP_WORDS": "assay\nrun\nnodule-loss\n--sc", "COMP_CWORD": "3"}
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "assay"],
        env={**os.environ, **words, "_ASSAY_COMPLETE": "complete_bash"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "--scale" in done.stdout
    assert not {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()} & {"torch", "pandas", "scipy"}
