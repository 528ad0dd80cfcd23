"""Processor seconds and peak memory of whole commands, against a budget for each.

    python benchmarks/commands.py [--run FOLDER] [--photographs TABLE.csv --target COLUMN --patient COLUMN]
                                  [--only NAME...] [--out FILE]

`--run` is a finished run folder of `nodule-loss --scale quick` (60 networks), which is copied. Commands without their
files are left out. Cold is with an empty cache of images, warm the same command again in another folder. Seconds are
of the process and its children, user and system, on one thread each; memory is the most that one process had.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from _shared import Page, parser

ROWS = 10_000
"""Rows of the predictions that are validated and compared."""


@dataclass(frozen=True)
class Budget:
    """A command and its bounds.

    Attributes:
        arguments: Words after `assay`, given where it runs and whether it runs for the second time.
        seconds: Processor seconds at most, with a cold cache.
        megabytes: Peak memory at most; 0 for no bound.
    """

    name: str
    arguments: Callable[[Path, str], Sequence[str | Path]]
    seconds: float
    megabytes: int = 0


def budgets(request: argparse.Namespace) -> list[Budget]:
    """Return the commands whose files are there."""
    every = [
        Budget("--help", lambda place, out: ["--help"], 0.3),
        Budget("list", lambda place, out: ["list"], 1),
        Budget(f"validate, {ROWS:,} rows", lambda place, out: ["validate", place / "scores.csv", "--out", out], 3),
        Budget("preview nodule-loss --scale quick",
               lambda place, out: ["preview", "nodule-loss", "--scale", "quick", "--out", out], 5),
        Budget("audit of the demo's model",
               lambda place, out: ["audit", place / "demo" / "model.onnx", "--images", place / "demo",
                                   "--target", "mass", "--patient", "patient", "--columns", "sex,view",
                                   "--domain", "phantom-chest", "--out", out], 60),
    ]  # fmt: skip
    if request.run:
        every.append(Budget("report, 60 networks", lambda place, out: ["report", place / "run"], 2, 300))
    if request.photographs:
        count = len(request.photographs.read_text().splitlines()) - 1
        columns = ["--target", request.target, *(["--patient", request.patient] if request.patient else [])]
        every.append(
            Budget(
                f"look, {count:,} photographs",
                lambda place, out: ["look", request.photographs, *columns, "--out", out],
                8 * count / 1000,
            )
        )
    return [budget for budget in every if not request.only or any(name in budget.name for name in request.only)]


def measure(arguments: Sequence[str | Path], cache: Path, place: Path) -> tuple[float, float]:
    """Return processor seconds and peak MB of a command.

    Raises:
        SystemExit: It failed.
    """
    variables = {**os.environ, "ASSAY_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
    variables.pop("PYTHONDONTWRITEBYTECODE", None)  # compiled modules are kept, as those of an installed package are
    # A process of its own measures, since the usage of children is a sum over all that ended and their greatest peak.
    program = (
        "import resource, subprocess, sys\n"
        "done = subprocess.run([sys.executable, '-m', 'assay', *sys.argv[1:]], capture_output=True, text=True)\n"
        "used = resource.getrusage(resource.RUSAGE_CHILDREN)\n"
        "print(done.returncode, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)\n"
        "print(done.stderr[-500:], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=True,
        env=variables,
        cwd=place,
    )
    code, seconds, megabytes = done.stdout.split()
    if code != "0":
        raise SystemExit(f"assay {' '.join(map(str, arguments))} ended with {code}: {done.stderr}")
    return float(seconds), float(megabytes)


def prepare(place: Path, run: Path | None) -> None:
    """Write the files that commands read."""
    rng = np.random.default_rng(0)
    target = rng.integers(0, 2, ROWS)
    score = 1 / (1 + np.exp(-rng.normal(2 * target - 1)))
    rows = [f"{at},{at // 2},{label},{value:.6f}" for at, (label, value) in enumerate(zip(target, score, strict=True))]
    (place / "scores.csv").write_text("\n".join(("image,patient,target,score", *rows)))
    if run:
        shutil.copytree(run, place / "run")
    subprocess.run([sys.executable, "-m", "assay", "example", "demo", "--audit"], cwd=place, check=True,
                   capture_output=True)  # fmt: skip


def options() -> argparse.Namespace:
    known = parser(__doc__)
    known.add_argument("--run", type=Path)
    known.add_argument("--photographs", type=lambda text: Path(text).absolute())
    known.add_argument("--target", default="target")
    known.add_argument("--patient", default="")
    known.add_argument("--only", nargs="*", default=[])
    return known.parse_args()


def main() -> None:
    request = options()
    page = Page(("command `assay`", "bar, CPU-s", "cold", "warm", "peak MB", "held"), request.out)
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        prepare(place, request.run)
        for number, budget in enumerate(budgets(request)):
            cold, first = measure(budget.arguments(place, f"cold-{number}"), place / "cache", place)
            warm, second = measure(budget.arguments(place, f"warm-{number}"), place / "cache", place)
            peak = max(first, second)
            is_held = cold <= budget.seconds and (not budget.megabytes or peak <= budget.megabytes)
            page.row(
                budget.name,
                f"{budget.seconds:.1f}" + (f", {budget.megabytes} MB" if budget.megabytes else ""),
                f"{cold:.1f}",
                f"{warm:.1f}",
                f"{peak:.0f}",
                "yes" if is_held else "**missed**",
            )
    page.close()


if __name__ == "__main__":
    main()
