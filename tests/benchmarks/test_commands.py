"""Processes that a command leaves are found by a benchmark, also those that it forks and that leave its session."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

LEAVE = """\
import os, sys
sys.path.insert(0, sys.argv[1])
from _commands import adopt_orphans, descendants, end_processes

adopt_orphans()
gone, here = os.pipe()
if not (command := os.fork()):
    if not os.fork():
        {session}
        if not os.fork():
            os.close(gone)
            os.write(here, b"x")
            os.read(os.pipe()[0], 1)  # for ever
        os._exit(0)
    os._exit(0)
os.waitpid(command, 0)
os.read(gone, 1)
print(end_processes(0.0), end_processes(60.0), len(descendants()))
"""


@pytest.mark.parametrize("session", ["os.setsid()", "pass"])
def test_a_worker_that_a_command_forks_and_leaves_is_seen_and_ended(session: str) -> None:
    script = LEAVE.format(session=session)
    benchmarks = Path(__file__).parents[2] / "benchmarks"
    done = subprocess.run([sys.executable, "-c", script, str(benchmarks)], capture_output=True, text=True, check=False)
    assert done.stdout.split()[1:] == ["0", "0"], done.stderr
    assert int(done.stdout.split()[0]) >= 1, "the worker, and its parent where that had not ended"
