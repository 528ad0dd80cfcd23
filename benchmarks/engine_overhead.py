"""What engines cost beyond the work: per task on Ray, per job on Slurm, and trials on Ray against the local pool.

    python benchmarks/engine_overhead.py [--tasks 10000] [--jobs 4] [--rounds 2] [--only ray slurm study] [--out FILE]

Tasks do nothing. Processor time is that of driver and workers together, which a busy machine does not change much as
it does wall time. Slurm is started in a temporary folder, which takes root. `study` runs the small study with two
workers, on Ray and in the local pool in turn: trials per hour by wall time, and processor time of driver and workers.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from _shared import Page, parser

sys.path.insert(0, str(Path(__file__).parents[1]))

from assay.execution.engines import Slurm
from assay.execution.remote import Remote
from assay.execution.tasks import Context, Event, Task

SOURCE = os.pathsep.join([str(Path(__file__).parents[1] / "src"), str(Path(__file__).parent)])
TICK = os.sysconf("SC_CLK_TCK")
WARM = 8
"""Tasks that come first, so that workers are there."""


@dataclass(frozen=True)
class Nothing:
    """A job without work."""

    def __call__(self, context: Context) -> None:
        """See `Job`."""


@dataclass(frozen=True)
class Spent:
    """Leaves the processor time of its process so far, imports and all."""

    path: Path

    def __call__(self, context: Context) -> None:
        """See `Job`."""
        self.path.write_text(str(time.process_time()), encoding="utf-8")


def ignored(_: Event) -> None:
    """Observe nothing."""


def spent_below(pid: int) -> float:
    """Return the processor time of all processes below one, with that of their children that ended."""
    total = 0.0
    with suppress(OSError):
        for path in Path(f"/proc/{pid}/task").glob("*/children"):
            for child in path.read_text().split():
                fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
                total += sum(map(int, fields[11:15])) / TICK + spent_below(int(child))
    return total


def measured(act: Callable[[], object]) -> tuple[float, float]:
    """Return wall and processor seconds of a call, with all processes below this one."""
    wall, own, below = time.perf_counter(), time.process_time(), spent_below(os.getpid())
    act()
    spent = time.process_time() - own + spent_below(os.getpid()) - below
    return time.perf_counter() - wall, spent


def on_ray(folder: Path, count: int, page: Page) -> None:
    from assay.execution.engines import Ray

    executor = Remote(Ray(folder / "ray"), folder / "ray", interval=0.2)
    executor.run([Task(f"warm-{n}", Nothing(), "") for n in range(WARM)], ignored)
    tasks = [Task(str(n), Nothing(), "") for n in range(count)]
    wall, spent = measured(lambda: executor.run(tasks, ignored))
    page.row("Ray, warm workers", f"{count} tasks", f"{wall:.1f}", f"{spent / count:.4f} per task (aim .2)")


def on_slurm(folder: Path, jobs: int, page: Page) -> None:
    backend = Slurm(folder / "engine", partition="low", chunk_seconds=0.0)
    tasks = [Task(str(n), Spent(folder / f"spent-{n}"), "") for n in range(jobs)]
    executor = Remote(backend, folder / "engine", interval=1.0)
    wall, driver = time.perf_counter(), time.process_time()
    executor.run(tasks, ignored)
    driver = time.process_time() - driver
    wall = time.perf_counter() - wall
    worker = median(float((folder / f"spent-{n}").read_text()) for n in range(jobs))
    text = f"{worker + driver / jobs:.2f} per job (aim 6)"
    page.row("Slurm, a process per job", f"{jobs} jobs", f"{wall:.1f}", text)


def study(folder: Path, page: Page, rounds: int) -> None:
    from tests.worlds.studies import SMALL, write_spec

    spec = write_spec(folder, recipe={**SMALL["recipe"], "epochs": 12}, seeds=3)
    os.environ["ASSAY_CACHE"] = str(folder / "cache")
    trials = 6
    ways = {"local pool": ("--workers", "2"), "Ray": ("--on", "ray")}
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for number in range(rounds + 1):  # the first fills the cache
        for name, options in ways.items():
            command = [sys.executable, "-m", "assay", "run", str(spec), "--out", str(folder / "runs"), "--quiet"]
            measured_here = _timed([*command, *options])
            if number:
                found[name].append(measured_here)
            shutil.rmtree(folder / "runs")
    for name, times in found.items():
        wall, spent = (median(one[k] for one in times) for k in range(2))
        rate = f"{spent / trials:.1f} per trial; {3600 * trials / wall:.0f} trials per hour"
        page.row(f"small study, {name}", f"{trials} trials", f"{wall:.1f}", rate)
    ratio = [median(one[k] for one in found["local pool"]) / median(one[k] for one in found["Ray"]) for k in range(2)]
    page.row("Ray against the local pool", "", f"{ratio[0]:.2f}", f"{ratio[1]:.2f} (aim .95 of trials per hour)")


def _timed(command: list[str]) -> tuple[float, float]:
    before, begun = os.times(), time.perf_counter()
    subprocess.run(command, env={**os.environ, "PYTHONPATH": SOURCE}, check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return time.perf_counter() - begun, spent


def options() -> argparse.Namespace:
    made = parser(__doc__)
    made.add_argument("--tasks", type=int, default=10_000, help="of Ray")
    made.add_argument("--jobs", type=int, default=4, help="of Slurm")
    made.add_argument("--rounds", type=int, default=2, help="of the study")
    made.add_argument("--only", nargs="+", choices=("ray", "slurm", "study"), default=("ray", "slurm", "study"))
    return made.parse_args()


def main() -> None:
    given = options()
    os.environ["PYTHONPATH"] = SOURCE
    page = Page(("work", "amount", "wall seconds", "processor seconds"), given.out)
    with tempfile.TemporaryDirectory(prefix="overhead-") as name:
        folder = Path(name)
        if "slurm" in given.only:
            from tests.execution.slurm_for_tests import slurm

            for part in ("slurm", "jobs"):
                (folder / part).mkdir()
            with slurm(folder / "slurm") as variables:
                os.environ.update(variables)
                on_slurm(folder / "jobs", given.jobs, page)
        if "study" in given.only:
            study(folder, page, given.rounds)
        if "ray" in given.only:
            on_ray(folder, given.tasks, page)
    page.close()


if __name__ == "__main__":
    sys.modules["engine_overhead"] = sys.modules["__main__"]
    for job in (Nothing, Spent):
        job.__module__ = "engine_overhead"
    main()
