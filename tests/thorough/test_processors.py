"""Decisions of the demo do not hang on the processor: the same seeds, with and without its vector instructions."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import assay

pytestmark = pytest.mark.thorough
OLDER = {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_CBWR": "COMPATIBLE"}
"""Sums as on a processor without AVX: rounded in another order, so that networks of a seed are other networks."""
COMPARED = ("axis", "a", "b", "measure", "role", "decision")


@pytest.mark.timeout(7200)
def test_decisions_of_the_demo_are_those_of_another_processor(tmp_path: Path) -> None:
    tables: list[pd.DataFrame] = []
    for name, variables in (("newer", {}), ("older", OLDER)):
        command = [sys.executable, "-m", "assay", "run", "nodule-loss", "--scale", "quick", "--quiet"]
        subprocess.run([*command, "--out", str(tmp_path / name)], check=True, env={**os.environ, **variables})
        tables.append(assay.open_run(tmp_path / name / "nodule-loss-quick").table("contrasts"))
    newer, older = tables
    values = [table["value"].to_numpy(dtype=np.float64) for table in tables]
    assert not np.array_equal(*values), "both ran with the same instructions"
    assert newer[[*COMPARED]].equals(older[[*COMPARED]])
    assert (np.abs(values[0] - values[1]) <= 2 * newer["standard_error"].to_numpy(dtype=np.float64)).all()
