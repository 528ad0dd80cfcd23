"""Completion in shells: candidates of every place, a script, and that an answer imports nothing heavy."""

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
        ("assay run nodule-l", {"nodule-loss", "nodule-loss-lidc"}),
        ("assay show source-matters-x", {"source-matters-xray"}),
        ("assay list me", {"measure"}),
        ("assay run nodule-loss --scale q", {"quick"}),
        ("assay run nodule-loss --set recipe.op", {"recipe.optimizer="}),
        ("assay run nodule-loss -s environments.tr", {"environments.train.association.texture="}),
        ("assay run nodule-loss --set recipe.loss=foc", {"recipe.loss=focal"}),
        ("assay results small --table contr", {"contrasts"}),
        ("assay figure small auro", {"auroc", "auroc-macro"}),
        ("assay run --sc", {"--scale"}),
        ("assay compare preds.csv --measure auro", {"auroc"}),
        ("assay audit --domain chest", {"chest-xray"}),
        ("assay audit --fit sq", {"squash"}),
        ("assay audit --scaling 0", {"0..1", "0..255"}),
        ("assay export small all out --format o", {"onnx"}),
    ],
)
def test_candidates_fit_the_place(line: str, some: set[str], complete) -> None:
    found = set(complete(line))
    assert some <= found
    word = line.split(" ")[-1]
    assert all(word in candidate for candidate in found)


def test_own_files_and_runs_are_candidates(complete, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("name: mine\nscales: {tiny: {seeds: 1}}\n")
    (tmp_path / "mine.txt").write_text("")
    (tmp_path / "runs" / "mine-1").mkdir(parents=True)
    assert complete("assay run mi") == ["mine.yaml"]
    assert complete("assay run mine.yaml --scale ti") == ["tiny"]
    assert complete("assay results mi") == ["mine-1"]
    assert complete("assay run broken.yaml --scale ti") == []


def test_there_is_a_script_for_a_shell(ask: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_ASSAY_COMPLETE", "source_bash")
    assert "_ASSAY_COMPLETE=complete_bash" in ask().out


def test_an_answer_imports_nothing_heavy() -> None:
    words = {"COMP_WORDS": "assay\nrun\nnodule-loss\n--set\nrecipe.l", "COMP_CWORD": "4"}
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "assay"],
        env={**os.environ, **words, "_ASSAY_COMPLETE": "complete_bash"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "recipe.loss=" in done.stdout
    assert not {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()} & {"torch", "pandas", "scipy"}
