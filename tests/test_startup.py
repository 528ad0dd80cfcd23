"""Commands that compute nothing import nothing heavy, so that they answer at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {"pytest", "torch", "timm", "torchmetrics", "monai", "pandas", "scipy", "segmentation_models_pytorch"}
REFUSED = "name: refused\ndata: {phantom: nodul}\n"


def imports_of(*arguments: str) -> tuple[int, set[str], str]:
    """Exit code, every module that was imported by Python's own account, and all that was printed."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "assay", *arguments], capture_output=True, text=True, check=False
    )
    lines = done.stderr.splitlines()
    told = [line for line in lines if line.startswith("import time:")]
    said = [line for line in lines if not line.startswith("import time:")]
    return done.returncode, {line.rpartition("|")[2].strip() for line in told}, done.stdout + "\n".join(said)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--help"], "assay run nodule-loss"),
        (["list"], "cross-entropy"),
        (["show", "nodule-loss"], "name: nodule-loss"),
    ],
)
def test_nothing_heavy_is_imported_to_answer(arguments: list[str], says: str) -> None:
    code, modules, text = imports_of(*arguments)
    assert code == 0
    assert says in text
    assert "assay.cli" in modules
    assert modules & HEAVY == set()


def test_nothing_heavy_is_imported_to_refuse_a_spec(tmp_path: Path) -> None:
    spec = tmp_path / "refused.yaml"
    spec.write_text(REFUSED)
    code, modules, text = imports_of("run", str(spec), "--out", str(tmp_path / "runs"))
    assert code == 2
    assert "did you mean 'nodule'?" in text
    assert "assay.spec.parse" in modules
    assert modules & HEAVY == set()
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("command", ["report", "clean", "results"])
def test_nothing_heavy_is_imported_to_say_that_a_run_does_not_exist(command: str, tmp_path: Path) -> None:
    code, modules, text = imports_of(command, "nosuch", "--out", str(tmp_path))
    assert code == 2
    assert "no run folder 'nosuch'" in text
    assert "assay.cli.results" in modules
    assert modules & HEAVY == set()


def test_a_heavy_import_would_be_seen() -> None:
    """The same account of a process that imports one: otherwise the tests above could not fail."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", "import scipy"], capture_output=True, text=True, check=True
    )
    assert "scipy" in {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
