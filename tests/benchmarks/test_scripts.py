"""Every benchmark runs at its smallest setting and says what it promises to say."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from assay.shifts.distortions import GROUPS

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SMALLEST = {
    "startup": ["--repetitions", "1"],
    "commands": ["--only", "help", "list", "validate"],
    "sobol": ["--samples", "64", "--repetitions", "1", "--epochs", "1", "--size", "32", "--train", "128"],
    "confounders": ["--images", "2", "--size", "64", "--repetitions", "1", "--only", "tag", "low-pass"],
    "planning": ["--images", "4000", "--patients", "1500", "--repetitions", "1"],
    "study_memory": ["--rows", "300", "--size", "32"],
    "default_study": ["--quick", "--trials", "1", "--epochs", "1", "--rounds", "1", "--processes", "1"],
    "kill_campaign": ["--kills", "1", "--study-seeds", "1"],
    "cka_pairs": ["--images", "20", "--networks", "tiny", "--repetitions", "1"],
    "maps": ["--sizes", "32", "--images", "1", "--repetitions", "1", "--stream", "1"],
    "attribution": ["--images", "2", "--explainers", "1", "--sizes", "32", "--repetitions", "1"],
    "distortions": ["--images", "1", "--size", "32", "--repetitions", "1"],
    "audit_columns": ["--seeds", "1", "--images", "50"],
    "fleet": ["--models", "1", "2", "--rounds", "1", "--steps", "1", "--size", "32", "--batch", "8"],
    "gpu": ["--device", "cpu", "--only", "step", "--networks", "small-cnn", "--rounds", "1", "--steps", "1"],
    "every_command": ["--only", "list", "--times", "1", "--seed", "0"],
    "torture": ["--only", "score", "--troubles", "killed", "--kills", "1"],
    "likeness_simulation": ["--studies", "5", "--seeds", "3", "--dimensions", "1", "--shifts", "0", "1"],
}
FIRST_CELLS = {
    "startup": [
        "`assay --help`",
        "`assay run --help`",
        "`assay list`",
        "`assay show nodule-loss`",
        "`assay run wrong.yaml`",
    ],
    "commands": ["--help", "list", "validate, 10,000 rows"],
    "sobol": ["7", "7", "8", "8"],
    "confounders": ["tag", "low-pass"],
    "planning": ["4000"],
    "study_memory": ["300"],
    "default_study": ["usual script", "in-memory loop", "Assay, performance", "Assay, all probes"],
    "kill_campaign": ["1", "2", "4", "2"],
    "cka_pairs": ["tiny"] * 4,
    "maps": ["overlap and lesion-free", "surfaces", "calibration", "all columns"] * 2,
    "attribution": ["32"] * 3,
    "distortions": [f"`{name}`" for names in GROUPS.values() for name in names],
    "audit_columns": ["answers-differ-with", "no-difference", "inconclusive"],
    "fleet": ["1", "2"],
    "gpu": ["step"] * 6,
    "every_command": ["list"],
    "torture": ["score"],
    "likeness_simulation": ["3", "3"],
}
LONG = {"audit_columns", "default_study", "every_command", "kill_campaign", "torture"}
"""They take half a minute and more, and what they try is tried by `tests/safety` and `tests/study` too."""


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.thorough if name in LONG else pytest.mark.acceptance) for name in SMALLEST],
)
def test_a_benchmark_prints_one_table_and_writes_it(name: str, tmp_path: Path) -> None:
    out = tmp_path / "results" / "table.md"
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / f"{name}.py"), *SMALLEST[name], "--out", str(out)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "ASSAY_CACHE": str(tmp_path / "cache")},
    )
    assert done.returncode == 0, done.stderr
    assert out.read_text() == done.stdout
    lines = done.stdout.splitlines()
    table = [cells(line) for line in lines if line.startswith("|")]
    assert [row[0] for row in table[2:] if row[0] != "Lightning"] == FIRST_CELLS[name]
    assert {len(row) for row in table} == {len(table[0])}
    assert "load at the start" in lines[0]
    assert "Python 3." in lines[0]
    assert "torch 2." in lines[0]
    assert lines[-1].startswith("Load at the end ")
