"""What the demo's study decides does not hang on the processor: the same seeds, with and without its vector instructions."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import assay

pytestmark = pytest.mark.thorough
OLDER = {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_CBWR": "COMPATIBLE"}
"""Sums as on a processor without AVX: rounded in another order, so that networks of a seed are other networks."""
COMPARED = ("axis", "a", "b", "measure", "role", "decision")


@pytest.mark.timeout(7200)
def test_decisions_of_the_demo_are_those_of_another_processor(tmp_path: Path) -> None:
    tables = []
    for name, variables in (("newer", {}), ("older", OLDER)):
        command = [
            sys.executable,
            "-m",
            "assay",
            "run",
            "nodule-loss",
            "--scale",
            "quick",
            "--out",
            str(tmp_path / name),
        ]
        subprocess.run([*command, "--quiet"], check=True, env={**os.environ, **variables})
        tables.append(assay.open_run(tmp_path / name / "nodule-loss-quick").table("contrasts"))
    newer, older = tables
    assert newer.value.tolist() != older.value.tolist(), "both ran with the same instructions"
    assert newer[[*COMPARED]].equals(older[[*COMPARED]])
    assert ((newer.value - older.value).abs() <= 2 * newer.standard_error).all()
