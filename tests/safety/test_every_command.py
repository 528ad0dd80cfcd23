"""Every command under troubles of its outputs, inputs and folders ends as undisturbed, or in one sentence."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from tests.worlds.finished import finished

from assay.cli import app

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "every_command.py"
COMMANDS = SCRIPT.read_text().split("COMMANDS: Mapping", 1)[1].split("\n}", 1)[0]


def run_light(given: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), "--light", "--seed", "0", "--given", str(given), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _make_inputs(root: Path) -> None:
    done = run_light(root, "--only", "list")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", typer.main.get_command(app).commands)  # pyright: ignore
def test_every_command_has_a_row(name: str) -> None:
    assert f'    "{name}": Command(' in COMMANDS, f"give `assay {name}` its smallest arguments in {SCRIPT.name}"


@pytest.mark.nightly
def test_no_trouble_ends_a_command_in_a_traceback_or_leaves_half_a_file() -> None:
    given = finished(f"every-command-{hashlib.sha256(SCRIPT.read_bytes()).hexdigest()[:8]}", _make_inputs)
    done = run_light(given)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line for line in done.stdout.splitlines() if line.startswith("| ")]
    assert len(rows) - 2 == COMMANDS.count(": Command(")
    assert not [row for row in rows[2:] if "equal" not in row and "sentence" not in row]
