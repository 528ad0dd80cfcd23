"""How long the command line takes to answer when there is nothing to compute, and that it imports nothing heavy for it.

    python benchmarks/startup.py [--repetitions 10] [--out FILE]

Wall seconds of a whole process, from start to exit. `assay --help` is to answer in under 0.3 s. Exits 1 when a command
imported one of the heavy libraries.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from _shared import Page, parser

HEAVY = ("torch", "timm", "torchmetrics", "monai", "pandas", "scipy")
WRONG = "name: wrong\ndata: {phantom: nodul}\n"
BOUND = 0.3


def process(arguments: list[str], *flags: str) -> tuple[float, subprocess.CompletedProcess[str]]:
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *flags, "-m", "assay", *arguments], capture_output=True, text=True, check=False
    )
    return time.perf_counter() - start, done


def imported(arguments: list[str]) -> list[str]:
    """The heavy libraries that a command imports, by Python's own account of its imports."""
    _, done = process(arguments, "-X", "importtime")
    names = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    return [name for name in HEAVY if name in names]


def measure(page: Page, name: str, arguments: list[str], code: int, repetitions: int) -> list[str]:
    """One row; returns what was imported that should not be."""
    walls: list[float] = []
    for _ in range(repetitions + 1):
        seconds, done = process(arguments)
        if done.returncode != code:
            raise SystemExit(f"`assay {name}` ended with {done.returncode}, expected {code}: {done.stderr[-500:]}")
        walls.append(seconds)
    walls = walls[1:]  # the first one warms the file cache
    heavy = imported(arguments)
    page.row(
        f"`assay {name}`",
        f"{statistics.median(walls):.3f}",
        f"{min(walls):.3f}",
        f"{max(walls):.3f}",
        ", ".join(heavy) or "none",
    )
    return heavy


def floor(repetitions: int) -> float:
    """Seconds that an empty Python takes, below which nothing can come."""
    walls: list[float] = []
    for _ in range(repetitions):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", ""], check=True)
        walls.append(time.perf_counter() - start)
    return statistics.median(walls)


def options() -> argparse.Namespace:
    made = parser(__doc__)
    made.add_argument("--repetitions", type=int, default=10)
    return made.parse_args()


def main() -> None:
    given = options()
    page = Page(
        ("command", "seconds, median", "least", "most", "heavy libraries imported"),
        given.out,
        f"{given.repetitions} repetitions each; an empty Python takes {floor(given.repetitions):.3f} s.",
    )
    with tempfile.TemporaryDirectory() as folder:
        wrong = Path(folder) / "wrong.yaml"
        wrong.write_text(WRONG)
        commands = (
            ("--help", ["--help"], 0),
            ("run --help", ["run", "--help"], 0),
            ("list", ["list"], 0),
            ("show nodule-loss", ["show", "nodule-loss"], 0),
            ("run wrong.yaml", ["run", str(wrong), "--out", folder], 2),
        )
        heavy = [measure(page, *command, given.repetitions) for command in commands]
    page.close(f"Looked for: {', '.join(HEAVY)}. The bound of `assay --help` is {BOUND} s.")
    sys.exit(1 if any(heavy) else 0)


if __name__ == "__main__":
    main()
