"""Faults on every engine, then the same command again: are the records those of a plain run on this machine?

    python benchmarks/faults.py [--engines local ray slurm] [--kills 30] [--quick] [--out FILE]

A small study runs once without faults. Then each row of the table applies one fault to a run on one engine: kills of
its worker, driver, raylet or slurmd at random moments, what a scheduler does to jobs, full and read-only disks, a file
system without locks, damaged records. The same command follows until the run gets to its end. Records are compared
file by file and byte by byte, but for files of dates and seconds. Slurm is started in a temporary folder, without
accounting: that takes root. `--quick`: one fault per engine. Exits 1 on any difference.
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
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from _shared import Page, parser

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.execution.slurm_for_tests import slurm
from tests.worlds.studies import SMALL, records, write_spec

SOURCE = str(Path(__file__).parents[1] / "src")
NAME = str(SMALL["name"])
MARK = "ASSAY_FAULTS"
PATIENCE = 400.0
"""Seconds that a run may take before it counts as one that hangs."""
UNLOCKED = """\
import errno, fcntl
def flock(*_):
    raise OSError(errno.ENOLCK, "No locks available")
fcntl.flock = flock
"""
ENDS = {"local": (), "ray": ("--on", "ray"), "slurm": ("--on", "slurm", "--engine", "partition=low")}


class Unexpected(Exception):
    """A run did not behave as its row promises."""


def drive(arguments: Sequence[str]) -> None:
    """`assay`, but with Slurm jobs of a few tasks, and lost ones submitted again sooner."""
    from assay.cli import main
    from assay.execution import engines

    engines.Slurm = partial(engines.Slurm, chunk=(2.0, 2.0), asked_every=1.0)
    engines.Remote = partial(engines.Remote, grace=3.0)
    sys.argv = ["assay", *arguments]
    main()


@dataclass
class Driver:
    """A command that runs."""

    process: subprocess.Popen[bytes]
    log: Path

    def alive(self) -> bool:
        return self.process.poll() is None

    def kill(self) -> None:
        """Kill the command alone: what it started is left to itself."""
        self.process.kill()
        self.process.wait()

    def text(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")[-1500:]

    def end(self) -> int:
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Unexpected(f"still at work after {PATIENCE:.0f} s: {self.text()}") from None


@dataclass
class World:
    """The place of one row: a folder of its own, and an engine to run on."""

    engine: str
    folder: Path
    spec: Path
    rng: random.Random
    cluster: dict[str, str]
    kills: int = 0
    commands: int = 0
    extra: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def root(self) -> Path:
        return self.folder / "runs" / NAME

    def start(self, engine: str = "") -> Driver:
        self.commands += 1
        log = self.folder.parent / f"{self.folder.name}-{self.commands}.log"
        command = [sys.executable, __file__, "--drive", "run", str(self.spec), "--out", str(self.folder / "runs")]
        options = ENDS[engine or self.engine] or ("--workers", "2")
        with log.open("wb") as out:
            process = subprocess.Popen([*command, "--quiet", *options], env=self.environment(), stdout=out, stderr=out)
        return Driver(process, log)

    def environment(self) -> dict[str, str]:
        return {**os.environ, **self.cluster, "PYTHONPATH": SOURCE, MARK: str(self.folder), **self.extra}

    def units(self) -> int:
        with suppress(FileNotFoundError):  # the run makes its folder once for a try, and takes it away again
            return len(list(self.root.glob("*/*/record.json")))
        return 0

    def until(self, condition: Callable[[], object], driver: Driver) -> bool:
        """Wait for a condition; False when the command ended before."""
        end = time.monotonic() + PATIENCE
        while not condition():
            if not driver.alive():
                return False
            if time.monotonic() > end:
                driver.kill()
                raise Unexpected(f"nothing happened in {PATIENCE:.0f} s: {driver.text()}")
            time.sleep(0.05)
        return True

    def moment(self, driver: Driver, least: int = 0) -> bool:
        """Wait for a random moment with at least so many further units; False when the command ended before."""
        wanted = self.units() + self.rng.randint(least, least + 2)
        there = self.until(lambda: self.units() >= wanted and self.workers(), driver)
        time.sleep(self.rng.uniform(0, 0.5))
        return there

    def finish(self, driver: Driver | None = None) -> None:
        """Let a command end, then repeat it until the run is complete."""
        codes: list[int] = []
        while not codes or codes[-1]:
            driver = driver or self.start()
            codes.append(driver.end())
            if len(codes) == 4:
                raise Unexpected(f"ended with {codes}: {driver.text()}")
            driver = None

    def slurm(self, *command: str) -> str:
        done = subprocess.run(command, env=self.environment(), capture_output=True, text=True, check=False)
        return done.stdout.strip()

    def jobs(self, state: str = "RUNNING") -> list[str]:
        return self.slurm("squeue", "-h", "--array", "--name=assay", f"--states={state}", "--format=%i").split()

    def marked(self, part: str) -> list[int]:
        """Return processes of this row whose command line has a part."""
        found: list[int] = []
        for path in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                line = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if part in line and f"{MARK}={self.folder}\0".encode() in (path / "environ").read_bytes() + b"\0":
                    found.append(int(path.name))
        return found

    def workers(self) -> list[int]:
        """Return processes that carry out tasks."""
        if self.engine == "ray":
            return [pid for raylet in self.marked("raylet/raylet") for pid in _children(raylet) if _is_ray_task(pid)]
        return self.marked("assay.execution.remote" if self.engine == "slurm" else "spawn_main")


def _children(pid: int) -> list[int]:
    with suppress(OSError):
        return [int(text) for path in Path(f"/proc/{pid}/task").glob("*/children") for text in path.read_text().split()]
    return []


def _is_ray_task(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"ray::work")
    return False


def _killed(pids: Sequence[int], rng: random.Random, how: signal.Signals = signal.SIGKILL) -> bool:
    with suppress(ProcessLookupError, IndexError):
        os.kill(rng.choice(pids), how)
        return True
    return False


# Faults. Each leaves a run that has got to its end, and returns a remark.


def worker_killed(world: World) -> str:
    """Kill workers of one command at random moments."""
    driver, done = world.start(), 0
    while done < world.kills and world.moment(driver):
        done += _killed(world.workers(), world.rng)
    world.finish(driver)
    return f"{done} kills, {world.commands} commands"


def driver_killed(world: World) -> str:
    """Kill the command at random moments; the same command follows while its jobs may still be at work."""
    done = 0
    while done < world.kills:
        driver = world.start()
        if world.moment(driver):
            driver.kill()
            done += 1
        else:
            break
    world.finish()
    return f"{done} kills, {world.commands} commands"


def raylet_killed(world: World) -> str:
    """Kill the daemon that has the workers."""
    done = 0
    while done < world.kills:
        driver = world.start()
        if not world.moment(driver):
            break
        done += _killed(world.marked("raylet/raylet"), world.rng)
        driver.end()
    world.finish()
    return f"{done} kills, {world.commands} commands"


def slurmd_killed(world: World) -> str:
    """Kill the daemon of the node, and start it again."""
    folder, done = Path(world.cluster["SLURM_CONF"]).parent, 0
    driver = world.start()
    while done < world.kills and world.moment(driver, 1):
        os.kill(int((folder / "slurmd.pid").read_text()), signal.SIGKILL)
        done += 1
        time.sleep(1)
        RESTARTED.append(subprocess.Popen(["slurmd", "-D"], env=world.environment(), stderr=subprocess.DEVNULL))
        time.sleep(1)
    world.finish(driver)
    return f"{done} kills, {world.commands} commands"


RESTARTED: list[subprocess.Popen[bytes]] = []


def requeued(world: World) -> str:
    """Put running jobs back into the queue."""
    driver, done = world.start(), 0
    while done < 3 and world.moment(driver, 1):
        for job in world.jobs():
            world.slurm("scontrol", "requeue", job)
            done += 1
        _release(world, driver)
    world.finish(driver)
    return f"{done} requeues"


def preempted(world: World) -> str:
    """Let a job of a higher partition take the node."""
    driver = world.start()
    world.moment(driver, 1)
    world.slurm("sbatch", "--partition=high", "--exclusive", "--job-name=other", "--output=/dev/null", "--wrap=sleep 3")
    seen = world.until(lambda: not world.jobs(), driver)
    time.sleep(3)
    _release(world, driver)
    world.finish(driver)
    return "preempted, requeued" if seen else "the run was over before"


def _release(world: World, driver: Driver) -> None:
    """Let requeued jobs begin at once in place of after two minutes."""
    world.until(lambda: world.jobs("PENDING"), driver)
    time.sleep(1)
    for job in world.jobs("PENDING"):
        world.slurm("scontrol", "update", f"JobId={job}", "StartTime=now")


def out_of_time(world: World) -> str:
    """Stop a worker, so that its job hangs until its time limit of a minute."""
    world.extra["SBATCH_TIMELIMIT"] = "1"
    driver = world.start()
    world.moment(driver, 1)
    found = world.workers()
    _killed(found, world.rng, signal.SIGSTOP)
    world.finish(driver)
    return "one job hung until its limit of 1 minute"


def drained(world: World) -> str:
    """Drain the node, set it down, and let it return."""
    driver = world.start()
    world.moment(driver, 1)
    for state in ("DRAIN", "DOWN", "RESUME"):
        world.slurm("scontrol", "update", f"NodeName={os.uname().nodename}", f"State={state}", "Reason=fault")
        time.sleep(2)
    time.sleep(1)
    for job in world.jobs("PENDING"):
        world.slurm("scontrol", "update", f"JobId={job}", "StartTime=now")
    world.finish(driver)
    return "drained, down, resumed"


def two_drivers(world: World) -> str:
    """Start the same command twice."""
    drivers = world.start(), world.start()
    codes = sorted(driver.end() for driver in drivers)
    if codes != [0, 2] and not world.extra:
        raise Unexpected(f"ended with {codes}")
    world.finish()
    return f"ended with {codes[0]} and {codes[1]}"


def without_locks(world: World) -> str:
    """The same on a file system where flock fails."""
    folder = world.folder / "unlocked"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(UNLOCKED, encoding="utf-8")
    world.extra["PYTHONPATH"] = os.pathsep.join([str(folder), SOURCE])
    return two_drivers(world)


def continued_elsewhere(world: World) -> str:
    """Kill a run here, then on Ray; end it on Slurm."""
    for engine in ("local", "ray"):
        world.engine = engine
        driver = world.start()
        if not world.moment(driver, 1):
            return f"over on {engine}"
        driver.kill()
    world.engine = "slurm"
    world.finish()
    return "local, killed; Ray, killed; Slurm"


def disk_full(world: World) -> str:
    """Let the disk have too little room, then enough."""
    runs = world.folder / "runs"
    runs.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "none", str(runs)], check=True)
    try:
        driver = world.start()
        code, text = driver.end(), " ".join(driver.text().split())
        if code != 74 or "the disk is full" not in text:
            raise Unexpected(f"ended with {code}: {text}")
        subprocess.run(["mount", "-o", "remount,size=64m", str(runs)], check=True)
        world.finish()
        shutil.copytree(runs, world.folder / "kept")
    finally:
        subprocess.run(["umount", "--lazy", str(runs)], check=True)
    runs.rmdir()
    (world.folder / "kept").rename(runs)
    return "ended with 74 and one sentence; finished with room"


def read_only(world: World) -> str:
    """Continue a killed run in a folder that became read-only."""
    runs = world.folder / "runs"
    runs.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "none", str(runs)], check=True)
    try:
        driver = world.start()
        world.moment(driver, 1)
        driver.kill()
        mount = partial(subprocess.run, check=False, stderr=subprocess.DEVNULL)
        tries = 0
        while mount(["mount", "-o", "remount,ro", str(runs)]).returncode:  # workers that are left still write
            tries += 1
            if tries > 600:
                raise Unexpected("the folder did not become read-only")
            time.sleep(0.1)
        driver = world.start()
        code, text = driver.end(), " ".join(driver.text().split())
        subprocess.run(["mount", "-o", "remount,rw", str(runs)], check=True)
        if code != 2 or "Read-only file system" not in text:
            raise Unexpected(f"ended with {code}: {text}")
        world.finish()
        shutil.copytree(runs, world.folder / "kept")
    finally:
        subprocess.run(["umount", "--lazy", str(runs)], check=True)
    runs.rmdir()
    (world.folder / "kept").rename(runs)
    return "killed; ended with 2 and one sentence; finished when writable"


def damaged(world: World) -> str:
    """Cut a record short in the middle of a run, kill the command, and delete the file that the next one names."""
    driver = world.start()
    world.moment(driver, 2)
    driver.kill()
    path = next(iter(sorted(world.root.glob("trials/*/record.json"))))
    path.write_bytes(path.read_bytes()[:20])
    refused = world.start()
    code, text = refused.end(), refused.text()
    if code != 2 or str(path) not in text or "delete this file" not in text:
        raise Unexpected(f"ended with {code}: {text}")
    path.unlink()
    world.finish()
    return "ended with 2 and the file's name; finished once it was deleted"


ROWS: dict[str, tuple[Callable[[World], str], dict[str, int]]] = {
    "worker killed": (worker_killed, {"local": 3, "ray": 6, "slurm": 6}),
    "driver killed": (driver_killed, {"local": 3, "ray": 3, "slurm": 3}),
    "raylet killed": (raylet_killed, {"ray": 3}),
    "slurmd killed": (slurmd_killed, {"slurm": 3}),
    "`scontrol requeue`": (requeued, {"slurm": 0}),
    "preempted by a higher partition": (preempted, {"slurm": 0}),
    "time limit": (out_of_time, {"slurm": 0}),
    "node drained, then down": (drained, {"slurm": 0}),
    "two commands at once": (two_drivers, {"local": 0, "ray": 0, "slurm": 0}),
    "the same without locks (flock fails)": (without_locks, {"local": 0, "ray": 0, "slurm": 0}),
    "continued on another engine": (continued_elsewhere, {"slurm": 0}),
    "disk full": (disk_full, {"local": 0, "ray": 0, "slurm": 0}),
    "read-only": (read_only, {"local": 0, "ray": 0, "slurm": 0}),
    "record damaged": (damaged, {"local": 0, "ray": 0, "slurm": 0}),
}
"""Fault -> how it is applied, and engine -> its share of 30 kills."""
QUICK = {("worker killed", "ray"), ("worker killed", "slurm"), ("`scontrol requeue`", "slurm")}


def options() -> argparse.Namespace:
    made = parser(__doc__)
    made.add_argument("--engines", nargs="+", choices=tuple(ENDS), default=tuple(ENDS))
    made.add_argument("--only", nargs="+", metavar="WORD", help="rows whose fault has one of these words")
    made.add_argument("--quick", action="store_true", help="one kill of a worker on each engine, and a requeue")
    made.add_argument("--seed", type=int, default=0, help="of the random moments")
    return made.parse_args()


def chosen(given: argparse.Namespace) -> list[tuple[str, str, int]]:
    found = [(fault, engine, kills) for fault, (_, on) in ROWS.items() for engine, kills in on.items()]
    found = [row for row in found if row[1] in given.engines]
    if given.only:
        found = [row for row in found if any(word in row[0] for word in given.only)]
    return [(fault, engine, 1) for fault, engine, _ in found if (fault, engine) in QUICK] if given.quick else found


def main() -> None:
    if sys.argv[1:2] == ["--drive"]:
        drive(sys.argv[2:])
        return
    given = options()
    rows = chosen(given)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="faults-")))
        os.environ["ASSAY_CACHE"] = str(folder / "cache")
        cluster: dict[str, str] = {}
        if any(engine == "slurm" for _, engine, _ in rows):
            (folder / "slurm").mkdir()
            cluster = stack.enter_context(slurm(folder / "slurm"))
        spec = write_spec(folder, seeds=2 if given.quick else 3)
        rng = random.Random(given.seed)
        plain = World("local", folder / "plain", spec, rng, {})
        plain.folder.mkdir()
        plain.finish()
        wanted = records(plain.root)
        page = Page(
            ("fault", "engine", "course", "files", "different"), given.out,
            f"A study of {plain.units()} units of work; Slurm without accounting.",
        )  # fmt: skip
        bad: list[str] = []
        for number, (fault, engine, kills) in enumerate(rows):
            world = World(engine, folder / f"row-{number}", spec, rng, cluster, kills)
            world.folder.mkdir()
            begun = time.monotonic()
            try:
                course = ROWS[fault][0](world)
                got = records(world.root)
                different = sorted(name for name in wanted.keys() | got.keys() if wanted.get(name) != got.get(name))
            except Unexpected as error:
                course, different = "**not as promised**", [str(error)]
            page.row(fault, engine, course, len(wanted), len(different))
            print(f"{time.monotonic() - begun:.0f} s", *different[:5], file=sys.stderr, flush=True)
            bad += [f"{fault}, {engine}: {text}" for text in different]
            for pid in world.marked("assay.execution.remote"):
                _killed([pid], rng)
            with suppress(OSError):
                shutil.rmtree(world.folder)
        for process in RESTARTED:
            process.terminate()
        page.close(*bad)
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
