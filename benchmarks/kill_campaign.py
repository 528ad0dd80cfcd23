"""SIGKILL at random moments, then the same command again: are the final records those of an uninterrupted run?

    python benchmarks/kill_campaign.py [--kills 20] [--out FILE]

A small study runs once without interruption. Then, with 1, 2 and 4 workers, and with 2 workers that take trials in a
random order, `assay run` and all its processes are killed at random moments again and again; the folder goes through
several kills until a run gets to its end, is compared file by file and byte for byte, and is begun afresh until the
kills are used up. A moment is so many seconds after so many records exist, both drawn, so that kills fall into every
part of a study on a busy machine too. One that lies beyond a run's end kills nothing and is not counted. Compared are
trials with their weights and curves, outputs per image, measurements and tables, but for files of dates and seconds.
Exits 1 on any difference.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

from _shared import Page, parser

import assay

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.worlds.studies import SMALL, records, write_spec

NAME = str(SMALL["name"])
AFTER = 0.3  # seconds at most between the record that is waited for and the kill: a trial or two
LOOK = 0.02  # seconds between looks at the records


@dataclass(frozen=True)
class Way:
    """A way to run the study."""

    workers: int
    shuffled: bool = False

    @property
    def order(self) -> str:
        """In what order trials are taken."""
        return "random" if self.shuffled else "as planned"

    def command(self, spec: Path, out: Path) -> list[str]:
        """What is started, killed, and started again."""
        if self.shuffled:
            return [sys.executable, __file__, "--shuffled", str(spec), str(out), "--workers", str(self.workers)]
        command = [sys.executable, "-m", "assay", "run", str(spec), "--out", str(out), "--json"]
        return [*command, "--workers", str(self.workers)]


WAYS = (Way(1), Way(2), Way(4), Way(2, shuffled=True))


@dataclass
class Tally:
    """What happened in one way. complete: share of the units that had a record when a kill came."""

    kills: int = 0
    folders: int = 0
    complete: list[float] = field(default_factory=list[float])
    different: list[str] = field(default_factory=list[str])


def run_shuffled(spec: Path, out: Path, workers: int) -> None:
    """`assay run`, but the costs by which tasks are ordered are drawn at random."""
    from assay.execution.local import Workers
    from assay.execution.run import observe_nothing
    from assay.study.run import prepare, run_study

    prepared = prepare(assay.load(spec).spec, out / NAME)
    drawn = random.SystemRandom()
    tasks = tuple(replace(task, cost=drawn.random()) for task in prepared.tasks)
    run_study(replace(prepared, tasks=tasks), observe_nothing, Workers(workers))


def units(root: Path) -> int:
    """How many units of work have left their record."""
    return len(list(root.glob("*/*/record.json")))


def killed(command: list[str], root: Path, moment: tuple[int, float] | None = None) -> bool:
    """Start a command, and kill it with all its children so many seconds after the folder holds so many units.

    moment: None lets it end. False when it had ended before. Raises SystemExit when it ended badly by itself.
    """
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors, start_new_session=True)
        reached = None
        while process.poll() is None:
            time.sleep(LOOK)
            if moment is None:
                continue
            if reached is None and units(root) >= moment[0]:
                reached = time.monotonic()
            if reached is not None and time.monotonic() - reached >= moment[1]:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                return True
        if process.returncode:
            errors.seek(0)
            raise SystemExit(f"{' '.join(command)} ended with {process.returncode}:\n{errors.read()[-2000:]}")
    return False


def campaign(way: Way, kills: int, spec: Path, out: Path, reference: Path, rng: random.Random) -> Tally:
    """Kill and resume until the kills are used up, then let the last folder finish."""
    tally, root, wanted = Tally(), out / NAME, records(reference)
    every = units(reference)
    while tally.kills < kills or root.exists() or not tally.folders:  # kills alone show nothing
        moment = (rng.randint(units(root), every), rng.uniform(0, AFTER)) if tally.kills < kills else None
        if killed(way.command(spec, out), root, moment):
            tally.kills += 1
            tally.complete.append(units(root) / every)
            continue
        got = records(root)
        tally.folders += 1
        different = sorted(name for name in wanted.keys() | got.keys() if wanted.get(name) != got.get(name))
        tally.different += different
        for file in different:
            print(f"differs with {way.workers} workers, {way.order}: {file}", file=sys.stderr, flush=True)
        shutil.rmtree(root)
    return tally


def options() -> argparse.Namespace:
    made = parser(__doc__)
    made.add_argument("--kills", type=int, default=20, help="in all, spread over the ways")
    made.add_argument("--seed", type=int, default=0, help="of the random moments")
    made.add_argument("--study-seeds", type=int, default=3, help="seeds of the small study; 12 trials at 3")
    made.add_argument("--workers", type=int, default=1, help=argparse.SUPPRESS)
    made.add_argument("--shuffled", type=Path, nargs=2, help=argparse.SUPPRESS)
    return made.parse_args()


def main() -> None:
    given = options()
    if given.shuffled:
        run_shuffled(*given.shuffled, given.workers)
        return
    with tempfile.TemporaryDirectory() as name:
        folder, rng = Path(name), random.Random(given.seed)
        os.environ["ASSAY_CACHE"] = str(folder / "cache")
        spec = write_spec(folder, seeds=given.study_seeds)
        begun = time.perf_counter()
        killed(WAYS[0].command(spec, folder / "whole"), folder / "whole" / NAME)
        took = time.perf_counter() - begun
        reference = folder / "whole" / NAME
        page = Page(
            ("workers", "order of trials", "kills", "units complete at a kill", "runs finished", "files compared",
             "different"),
            given.out,
            f"Uninterrupted, it takes {took:.1f} s: {units(reference)} units of work, {len(records(reference))} files.",
        )  # fmt: skip
        different: list[str] = []
        for number, way in enumerate(WAYS):
            kills = len(range(number, given.kills, len(WAYS)))
            tally = campaign(way, kills, spec, folder / f"way-{number}", reference, rng)
            shares = f"{min(tally.complete):.0%} to {max(tally.complete):.0%}" if tally.complete else ""
            compared = tally.folders * len(records(reference))
            page.row(way.workers, way.order, tally.kills, shares, tally.folders, compared, len(tally.different))
            different += tally.different
        page.close(*(f"differs: {path}" for path in different))
    sys.exit(1 if different else 0)


if __name__ == "__main__":
    main()
