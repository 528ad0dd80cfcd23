"""Processor seconds of `assay open` on a folder of many runs: for the first time, again, and with one new run.

    python benchmarks/open_runs.py RUN... [--count 1000] [--out FILE]

The finished runs that are named are copied in turn, so often that there are `--count`. The first time, a card of each
run is kept; later, cards are read. Of runs that somebody else made, every page is compared with its tables the first
time, which takes far longer: `--received` measures that. Bar: 10 s, again. Exits 1 beyond it.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from _shared import Page, parser

BOUND = 10.0


def opened(runs: Path, state: Path) -> float:
    """Open a folder of runs, and return the processor seconds of the process. Raises SystemExit where it fails."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-m", "assay", "open", str(runs), "--out", str(runs)],
        env={**os.environ, "XDG_STATE_HOME": str(state), "BROWSER": "true", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"`assay open` ended with {done.returncode}: {done.stderr[-500:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Run the benchmark."""
    asked = parser(__doc__)
    asked.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="finished runs with pages")
    asked.add_argument("--count", type=int, default=1_000)
    asked.add_argument("--received", action="store_true", help="as if somebody else had made the runs")
    options = asked.parse_args()
    page = Page(("runs", "first", "again", "with one new run"), options.out)
    with tempfile.TemporaryDirectory() as folder:
        runs, state = Path(folder, "runs"), Path(folder, "state")
        if not options.received:
            known = Path(os.environ.get("XDG_STATE_HOME") or "~/.local/state").expanduser()
            shutil.copytree(known / "assay", state / "assay")
        for number in range(options.count):
            source = options.runs[number % len(options.runs)]
            shutil.copytree(source, runs / f"{source.name}-{number:05}")
        first, again = opened(runs, state), opened(runs, state)
        shutil.copytree(options.runs[0], runs / "new")
        more = opened(runs, state)
    page.row(f"{options.count:,}", *(f"{seconds:.1f} s" for seconds in (first, again, more)))
    page.close(f"Bar: {BOUND:.0f} s, again.")
    sys.exit(again > BOUND)


if __name__ == "__main__":
    main()
