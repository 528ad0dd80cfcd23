"""Every engine passes the suite of executors; and engine-specific ends."""

from __future__ import annotations

import importlib
import json
import os
import pickle
import platform
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.cases import first_of
from tests.execution.executors import Die, Fill, PoolConformance, Refuse, Touch, Wait, interrupt, once
from tests.execution.jobs_for_tests import Advance, Slow, StopOnce
from tests.execution.slurm_for_tests import REQUIRED, require_slurm, slurm
from tests.worlds.studies import records, write_spec

import assay
from assay.execution import engines as slurm_module
from assay.execution.engines import Engine, Slurm, cancel, status_of, stop_file
from assay.execution.local import Workers, executor_for
from assay.execution.remote import BusyError, Remote, required_versions
from assay.execution.tasks import Event, Queue, Task
from assay.plugin import FullError, RunFolder, SpecError, StoreError
from assay.store.files import write_checked_json, write_json, write_text

TRIES = 4

ROOT = Path(__file__).parents[2]
SOURCE = f"{ROOT / 'src'}:{ROOT}"


class TestLocalPool(PoolConformance):
    tries = 2

    @pytest.fixture
    def executor(self, tmp_path: Path) -> Any:
        return Workers(2)


@contextmanager
def starting(engine: str) -> Generator[None]:
    """Skip the tests of an engine that does not start here, or fail them where it is required."""
    try:
        yield
    except Exception as error:
        text = f"{engine} does not start here: {error}"
        (pytest.fail if os.environ.get(REQUIRED) else pytest.skip)(text)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Generator[None]:
    require_slurm()
    with ExitStack() as stack:
        with starting("Slurm"):
            variables = stack.enter_context(slurm(tmp_path_factory.mktemp("slurm")))
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        for name, value in variables.items():
            patch.setenv(name, value)
        patch.setenv("PYTHONPATH", SOURCE)
        yield


@pytest.mark.acceptance
@pytest.mark.usefixtures("cluster")
class TestSlurm(PoolConformance):
    tries = TRIES

    @pytest.fixture
    def executor(self, tmp_path: Path) -> Any:
        folder = tmp_path / "engine"
        return Remote(
            Slurm(folder, {"partition": "low"}, chunk=(5, 5), asked_every=0.3), folder, interval=0.3, grace=1.0
        )


@pytest.fixture(scope="module")
def ray_cluster(tmp_path_factory: pytest.TempPathFactory) -> Generator[None]:
    if not os.environ.get(REQUIRED):
        pytest.importorskip("ray")
    from assay.execution.engines import Ray

    ray: Any = importlib.import_module("ray")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", SOURCE)
        with starting("Ray"):
            Ray(tmp_path_factory.mktemp("ray"))
        yield
    ray.shutdown()


@pytest.mark.acceptance
class TestRay(PoolConformance):
    tries = TRIES

    @pytest.fixture
    def executor(self, tmp_path: Path, ray_cluster: None) -> Any:
        from assay.execution.engines import Ray

        return Remote(Ray(tmp_path / "engine"), tmp_path / "engine", interval=0.1, grace=0.5)


@dataclass
class Processes:
    """A backend of plain processes, as fast as tests need, which can be made to forget and to outlive its driver."""

    root: Path
    at_once: int = 4
    chunk: tuple[float, float] = (0.0, 0.0)
    asked_every: float = 0.0
    avoids: Callable[[str], bool] = lambda _: False
    avoided: list[str] = field(default_factory=list[str])
    name: str = "processes"
    calls: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])
    known: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict[str, subprocess.Popen[bytes]])

    def submit(self, chunks: Sequence[str]) -> list[str]:
        self.calls.append(("submit", len(chunks)))
        return [self._begun(chunk) for chunk in chunks]

    def _begun(self, chunk: str) -> str:
        command = [sys.executable, "-m", "assay.execution.remote", str(self.root), chunk]
        process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": SOURCE})
        self.known[str(process.pid)] = process
        return str(process.pid)

    def poll(self, handles: Collection[str]) -> set[str]:
        return {handle for handle in handles if handle in self.known and self.known[handle].poll() is None}

    def waiting(self, handles: Collection[str]) -> set[str]:
        return set()

    def rest(self, handles: Collection[str], seconds: float) -> None:
        time.sleep(seconds)

    def cancel(self, handles: Collection[str]) -> None:
        self.calls.append(("cancel", len(handles)))
        for handle in handles:
            self.known[handle].kill()

    def avoid(self, host: str) -> bool:
        return self.avoids(host)

    def log(self, handle: str) -> str:
        return f"log of {handle}"

    def foreign(self, handles: Collection[str]) -> tuple[set[str], set[str]]:
        return set(), set()


@pytest.fixture
def processes(tmp_path: Path) -> Processes:
    return Processes(tmp_path / "engine")


def driver(backend: Processes) -> Remote:
    return Remote(backend, backend.root, interval=0.05, grace=0.3)


def test_tasks_of_a_chunk_share_a_process_and_a_failure_skips_within_it(processes: Processes, tmp_path: Path) -> None:
    processes.chunk = (1e9, 1e9)
    tasks = [
        Task("a", Refuse(), "a"),
        Task("b", Touch(tmp_path / "b"), "b", needs=("a",)),
        Task("c", Touch(tmp_path / "c"), "c", needs=("b",)),
        Task("d", Touch(tmp_path / "d"), "d"),
    ]
    outcome = driver(processes).run(tasks, lambda _: None)
    assert processes.calls == [("submit", 1)]
    assert (outcome.done, list(outcome.failed), sorted(outcome.skipped)) == (["d"], ["a"], ["b", "c"])
    assert not (tmp_path / "b").exists()


def test_a_chunk_holds_a_task_with_those_that_need_it() -> None:
    def task(id: str, *needs: str) -> Task:
        return Task(id, Refuse(), id, needs, cost=10, rank=-bool(needs))

    queue = Queue.of([task("t1"), task("p1", "t1"), task("t2"), task("p2", "t2"), task("last", "p1", "p2")])
    assert [one.id for one in queue.take_chunk(15)] == ["t1", "p1"]
    assert [one.id for one in queue.take_chunk(0)] == ["t2", "p2"]
    assert queue.take_chunk(15) == []
    queue.finish("p1")
    queue.finish("p2")
    assert [one.id for one in queue.take_chunk(15)] == ["last"]


@pytest.mark.nightly
def test_in_a_chunk_only_the_task_that_kills_its_process_is_given_up(processes: Processes, tmp_path: Path) -> None:
    processes.chunk = (1e9, 1e9)
    others = [Task(str(n), Touch(tmp_path / str(n)), str(n)) for n in range(3)]
    dies = Task("dies", Die(tmp_path / "dies", 99), "dies", cost=9)
    outcome = driver(processes).run([dies, *others], lambda _: None)
    assert sorted(outcome.done) == ["0", "1", "2"]
    text = outcome.failed["dies"]
    assert text.startswith(f"processes lost this task {TRIES} times")
    assert "log of" in text


def test_a_driver_that_died_is_continued_and_its_jobs_are_adopted(processes: Processes, tmp_path: Path) -> None:
    """The first driver is lost after it has submitted; the second submits nothing that is still at work."""
    slow = Task("slow", Slow(tmp_path / "slow"), "slow")

    class Lost(Exception):
        pass

    def lose(event: Event) -> None:
        raise Lost

    with pytest.raises(Lost):
        driver(processes).run([slow], lose)
    outcome = driver(processes).run([slow, Task("new", Touch(tmp_path / "new"), "new")], lambda _: None)
    assert sorted(outcome.done) == ["new", "slow"]
    assert processes.calls == [("submit", 1), ("submit", 1)]
    assert (tmp_path / "slow").read_text(encoding="utf-8") == "once\n"


@pytest.mark.nightly
def test_a_job_that_an_earlier_driver_stopped_is_submitted_again(processes: Processes, tmp_path: Path) -> None:
    tasks = [Task("a", StopOnce(tmp_path / "a"), "a"), Task("b", Touch(tmp_path / "b"), "b", needs=("a",))]
    outcome = driver(processes).run(tasks, lambda _: None)
    assert (outcome.done, outcome.stopped) == (["a", "b"], False)


@pytest.mark.nightly
def test_jobs_wait_while_an_engine_takes_none(
    processes: Processes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = [Task(str(n), Touch(tmp_path / str(n)), str(n)) for n in range(3)]
    processes.at_once = 1
    submit, times = Processes.submit, iter(["", "busy", "busy", "", ""])

    def at_times(self: Processes, chunks: Sequence[str]) -> list[str]:
        if next(times):
            raise BusyError("Slurm refused the jobs: Socket timed out on send/recv operation")
        return submit(self, chunks)

    monkeypatch.setattr(Processes, "submit", at_times)
    outcome = driver(processes).run(tasks, lambda _: None)
    assert (sorted(outcome.done), outcome.failed) == (["0", "1", "2"], {})
    assert next(times, None) is None
    assert len(list((processes.root / "chunks").iterdir())) == 3
    times = iter(["busy"])
    with pytest.raises(BusyError):
        driver(processes).run([Task("new", Touch(tmp_path / "new"), "new")], lambda _: None)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("sbatch: error: Batch job submission failed: Socket timed out on send/recv operation", BusyError),
        ("sbatch: error: QOSMaxSubmitJobPerUserLimit", BusyError),
        ("sbatch: error: invalid partition specified: p", StoreError),
    ],
)
def test_slurm_says_whether_it_may_take_jobs_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, error: type[StoreError]
) -> None:
    program = tmp_path / "sbatch"
    program.write_text(f"#!/bin/sh\necho '{text}' >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(StoreError, match="Slurm refused the jobs: sbatch: error") as raised:
        Slurm(tmp_path / "engine").submit(["chunk"])
    assert type(raised.value) is error


def test_a_machine_of_another_kind_is_refused(processes: Processes, tmp_path: Path) -> None:
    def change(_: Event) -> None:
        path = processes.root / "environment.json"
        write_json(path, {**json.loads(path.read_bytes()), "torch": "1.0"})

    tasks = [Task("a", Touch(tmp_path / "a"), "a"), Task("b", Touch(tmp_path / "b"), "b", needs=("a",))]
    outcome = driver(processes).run(tasks, lambda event: change(event) if event.status == "started" else None)
    (text,) = outcome.failed.values()
    assert "in place of 1.0: results would not be equal" in text


@pytest.mark.nightly
def test_a_machine_of_another_kind_is_avoided_where_the_engine_can(processes: Processes, tmp_path: Path) -> None:
    def change(event: Event) -> None:
        if event.status == "started" and not processes.avoided:
            path = processes.root / "environment.json"
            write_json(path, {**required_versions(), "torch": "1.0"})

    def mended(host: str) -> bool:
        processes.avoided.append(host)
        write_json(processes.root / "environment.json", required_versions())
        return True

    processes.avoids = mended
    outcome = driver(processes).run([Task("a", Touch(tmp_path / "a"), "a")], change)
    assert (outcome.done, outcome.failed, processes.avoided) == (["a"], {}, [platform.node()])


@pytest.mark.nightly
def test_a_loss_after_progress_is_not_counted(processes: Processes, tmp_path: Path) -> None:
    """As of a task that runs out of time more often than it may be lost, and goes on from its checkpoint."""
    task = Task("a", Advance(tmp_path / "a", TRIES + 1), "a")
    outcome = driver(processes).run([task], lambda _: None)
    assert (outcome.done, outcome.failed) == (["a"], {})


@pytest.mark.parametrize("workers", first_of([0, 2, None]))
def test_a_run_is_stopped_from_elsewhere(workers: int | None, processes: Processes, tmp_path: Path) -> None:
    started, left = tmp_path / "started", tmp_path / "left"
    here = None if workers is None else executor_for(workers, "cpu", stop_file=stop_file(tmp_path))[0]
    threading.Thread(target=once, args=(started.exists, lambda: cancel(tmp_path)), daemon=True).start()
    outcome = (here or driver(processes)).run([Task("waits", Wait(started, left), "waits")], lambda _: None)
    assert outcome.stopped
    assert left.exists()


def test_slurm_gets_what_a_site_asks_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Options reach sbatch, arrays keep to the site's size, and workers share a job and its GPU."""
    for name, text in {
        "sbatch": f'echo "$@" >> {tmp_path}/asked; cat >> {tmp_path}/script; echo 7',
        "squeue": "exit 1",
        "scancel": "exit 1",
        "scontrol": "echo 'MaxArraySize            = 2'",
    }.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    slurm_module.largest_array.cache_clear()
    site = tmp_path / "site.yaml"
    site.write_text(
        "{account: lab, mem: 8000, gpus: 0.5, cpus: 3, setup: [module load cuda], "
        "extra: [--mail-type=END, -Ho, elsewhere.txt]}"
    )
    monkeypatch.chdir(tmp_path)
    slurm = Engine.read("slurm", [str(site), "mem=4G", "container=apptainer exec a.sif"]).slurm(Path())
    assert slurm.submit(list("abcde")) == ["7_0.0", "7_0.1", "7_1.0", "7_1.1", "7_0.0"]
    slurm_module.largest_array.cache_clear()
    first, second = (tmp_path / "asked").read_text().splitlines()
    for option in ("array=0-1%100", "account=lab", "mem=4G", "gpus=1", "cpus-per-task=6", "mail-type=END"):
        assert f"--{option}" in first
    assert "--array=0-0%" in second
    assert first.index("-Ho elsewhere.txt") < first.index(f"--output={tmp_path / 'engine' / 'logs'}/")
    script = (tmp_path / "script").read_text()
    assert script.index("module load cuda") < script.index("apptainer exec a.sif python -P -m assay.execution.remote")


@pytest.mark.acceptance
@pytest.mark.usefixtures("cluster")
def test_a_detached_run_is_planned_carried_out_and_concluded_by_jobs(
    finished_run: Path, study_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_spec(tmp_path)
    monkeypatch.setenv("ASSAY_CACHE", str(study_cache))
    done = command(tmp_path, "run", "small.yaml", "--on", "slurm", "--engine", "partition=low", "--detach")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "plans the study" in done.stdout
    assert not (tmp_path / "runs" / "small" / "trials").exists()
    page, end = tmp_path / "runs" / "small" / "report.html", time.monotonic() + 500
    while not page.is_file() and time.monotonic() < end:
        time.sleep(1)
    logs = "\n".join(path.read_text() for path in (tmp_path / "runs" / "small" / "engine" / "logs").iterdir())
    assert page.is_file(), logs
    assert records(tmp_path / "runs" / "small") == records(finished_run)


def test_a_word_about_progress_that_cannot_be_written_fails_no_task(processes: Processes, tmp_path: Path) -> None:
    processes.root.mkdir()
    (processes.root / "progress").write_text("a file in place of the folder", encoding="utf-8")
    outcome = driver(processes).run([Task("a", Touch(tmp_path / "a"), "a")], lambda _: None)
    assert outcome.done == ["a"]


@pytest.mark.parametrize(
    ("file", "content"),
    first_of(
        [
            ("sent/a", b"\x80"),
            ("note/a", b"[]"),
            ("sent/a", b"1\0"),
            ("sent/a", b"1" * 1000),
            ("note/a", b"[" * 100_000),
            ("note/a", b'{"status": "done", "seconds": "1", "text": "", "host": ""}'),
        ],
        2,
    ),
)
def test_a_strange_word_about_a_task_is_refused_in_a_sentence(
    file: str, content: bytes, processes: Processes, tmp_path: Path
) -> None:
    (path := processes.root / file).parent.mkdir(parents=True)
    path.write_bytes(content)
    with pytest.raises(StoreError, match="delete"):
        driver(processes).run([Task("a", Touch(tmp_path / "a"), "a")], lambda _: None)


def test_no_pickle_of_a_received_folder_is_read(processes: Processes, tmp_path: Path) -> None:
    """Workers read tasks from files whose names hold the time, and the driver writes each of them anew."""
    ran = f"cposix\nsystem\n(Vtouch {tmp_path}/ran\ntR.".encode()
    for place in ("chunks", "progress", "logs"):
        (processes.root / place).mkdir(parents=True)
        for name in ("a", "0-1.pickle", "1.pickle", f"{time.time_ns()}-1.pickle"):
            (processes.root / place / name).write_bytes(ran)
    outcome = driver(processes).run([Task("a", Touch(tmp_path / "a"), "a")], lambda _: None)
    assert outcome.done == ["a"]
    assert not (tmp_path / "ran").exists()
    pickle.loads(ran)
    assert (tmp_path / "ran").exists()


@dataclass
class Swapped(Processes):
    """Somebody who may write to the folder puts another pickle in the place of a job that waits."""

    evil: bytes = b""

    def submit(self, chunks: Sequence[str]) -> list[str]:
        for chunk in chunks:
            (self.root / "chunks" / chunk).write_bytes(self.evil)
        return super().submit(chunks)


def test_a_pickle_that_was_swapped_while_a_job_waited_is_not_read(tmp_path: Path) -> None:
    swapped = Swapped(tmp_path / "engine", evil=f"cposix\nsystem\n(Vtouch {tmp_path}/ran\ntR.".encode())
    outcome = driver(swapped).run([Task("a", Touch(tmp_path / "a"), "a")], lambda _: None)
    assert outcome.failed["a"].startswith(f"processes lost this task {TRIES} times")
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "a").exists()


def test_a_detached_command_writes_behind_no_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Logs and the number of the job are written before the job itself looks for links."""
    fake_slurm(tmp_path, monkeypatch, "")
    write_spec(tmp_path)
    (tmp_path / "private").mkdir()
    (root := tmp_path / "runs" / "small").mkdir(parents=True)
    (root / "engine").symlink_to(tmp_path / "private")
    done = command(tmp_path, "run", "small.yaml", "--on", "slurm", "--detach")
    assert (done.returncode, list((tmp_path / "private").iterdir())) == (2, [])
    assert done.stderr.startswith("runs/small/engine is a link, and a run folder has none; remove it")
    (root / "engine").unlink()
    done = command(tmp_path, "run", "small.yaml", "--on", "slurm", "--detach")
    assert (done.returncode, (root / "engine" / "detached").read_text()) == (0, "9")


class Full(Processes):
    """A queue in which one job is at work, and the others do not begin before the test ends."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.queued: set[str] = set()

    def _begun(self, chunk: str) -> str:
        if not self.known:
            return super()._begun(chunk)
        self.queued.add(chunk)
        return chunk

    def poll(self, handles: Collection[str]) -> set[str]:
        return super().poll(handles) | (self.queued & set(handles))

    def waiting(self, handles: Collection[str]) -> set[str]:
        return self.queued & set(handles)

    def cancel(self, handles: Collection[str]) -> None:
        super().cancel(set(handles) - self.queued)
        self.queued -= set(handles)


def test_an_interrupt_takes_jobs_that_wait_out_of_the_queue(tmp_path: Path) -> None:
    backend, started, left = Full(tmp_path / "engine"), tmp_path / "started", tmp_path / "left"
    tasks = [Task("waits", Wait(started, left), "waits", cost=9), Task("b", Touch(tmp_path / "b"), "b")]
    threading.Thread(target=once, args=(started.exists, interrupt), daemon=True).start()
    outcome = driver(backend).run(tasks, lambda _: None)
    assert (outcome.stopped, outcome.done, outcome.failed) == (True, [], {})
    assert left.exists()


def command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "assay", *arguments]
    environment = {**os.environ, "PYTHONPATH": SOURCE}
    return subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.acceptance
def test_an_address_where_no_cluster_answers_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ray = pytest.importorskip("ray")
    from assay.execution.engines import Ray

    def refused(**given: object) -> None:
        raise ConnectionError(f"Failed to connect to Ray cluster at {given['address']}")

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", refused)
    with pytest.raises(
        SpecError, match=r"--engine address=10\.0\.0\.1:1: no Ray cluster answers there; start one with"
    ):
        Ray(tmp_path, "10.0.0.1:1")


@pytest.mark.thorough
@pytest.mark.parametrize("engine", ["slurm", "ray"])
def test_a_study_on_an_engine_leaves_the_records_of_one_on_this_machine(
    engine: str, finished_run: Path, study_cache: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue("cluster" if engine == "slurm" else "ray_cluster")
    write_spec(tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ASSAY_CACHE", str(study_cache))
        done = command(tmp_path, "run", "small.yaml", "--on", engine)
        assert done.returncode == 0, done.stdout + done.stderr
        status = json.loads(command(tmp_path, "status", "small", "--json").stdout)
    assert records(tmp_path / "runs" / "small") == records(finished_run)
    assert (status["done"], status["engine"], status["working"], status["submitted"]) == (True, engine, 0, 0)


@pytest.mark.thorough
def test_faults_leave_the_records_of_a_plain_run(tmp_path: Path) -> None:
    """The first rows of the table of the docs; its other rows take long."""
    require_slurm()
    if not os.environ.get(REQUIRED):
        pytest.importorskip("ray")
    script, out = Path(__file__).parents[2] / "benchmarks" / "faults.py", tmp_path / "table.md"
    done = subprocess.run(
        [sys.executable, str(script), "--quick", "--out", str(out)],
        env={**os.environ, "PYTHONPATH": SOURCE}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line.split(" | ") for line in out.read_text().splitlines() if line.startswith("| ")][2:]
    assert [(row[0].strip("| "), row[1], row[-1].strip("| ")) for row in rows] == [
        ("worker killed", "ray", "0"),
        ("worker killed", "slurm", "0"),
        ("`scontrol requeue`", "slurm", "0"),
    ]


@pytest.mark.parametrize(
    ("arguments", "text"),
    first_of(
        [
            (["--on", "slrum"], "unknown engine 'slrum': did you mean 'slurm'? Allowed: ray, slurm"),
            (["--engine", "mem=8G"], "--engine holds options of --on ray or slurm"),
            (["--on", "ray", "--engine", "partition=low"], "--engine partition is not an option of --on ray"),
            (
                ["--on", "slurm", "--engine", "partitoin=low"],
                "unknown --engine key 'partitoin': did you mean 'partition'?",
            ),
            (["--on", "slurm", "--engine", "time=soon"], "time: "),
            (["--on", "slurm", "--engine", "extra=[--output=a.txt]"], "Assay sets the logs and the arrays of its jobs"),
            (["--on", "slurm", "--engine", "gpus=1.5"], "give a whole number, or a share of one"),
            (["--on", "slurm", "--engine", "none.yaml"], "none.yaml: there is no such file"),
            (["--on", "ray", "--detach"], "--detach is an option of --on slurm"),
            (["--on", "slurm", "--workers", "2"], "--workers are of this machine"),
            (["--on", "slurm", "--device", "cuda"], "--device cuda does not go with --engine gpus=0 of --on slurm"),
            (
                ["--on", "ray", "--engine", "gpus=.25", "--device", "cpu"],
                "does not go with --engine gpus=0.25 of --on ray",
            ),
        ],
        3,
    ),
)
def test_options_of_engines_are_checked(arguments: list[str], text: str, tmp_path: Path) -> None:
    write_spec(tmp_path)
    done = command(tmp_path, "run", "small.yaml", *arguments)
    assert done.returncode == 2
    assert text in done.stderr
    assert not (tmp_path / "runs").exists()


def test_slurm_that_does_not_answer_keeps_its_jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs count as at work and not as waiting, so that none is submitted twice or canceled."""
    squeue = tmp_path / "squeue"
    squeue.write_text("#!/bin/sh\necho Socket timed out >&2\nexit 1\n", encoding="utf-8")
    squeue.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    slurm = Slurm(tmp_path)
    assert (slurm.poll({"7_0", "7_1"}), slurm.waiting({"7_0", "7_1"})) == ({"7_0", "7_1"}, set())


@pytest.mark.parametrize("file", ["detached", "sent/task"])
def test_an_option_in_place_of_a_job_is_refused(file: str, tmp_path: Path) -> None:
    write_json(tmp_path / "engine" / "engine.json", {"engine": "slurm"})
    write_text(tmp_path / "engine" / file, "7_0 --user=victim" if file == "detached" else "--user=victim")
    with pytest.raises(StoreError, match="holds '--user=victim', which is no job of Slurm"):
        cancel(tmp_path)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("engine/engine.json", b"[1]"),
        ("engine/engine.json", b"{}"),
        ("engine/detached", b"\xff"),
        ("engine/sent/task", b"\xff"),
        ("engine/sent/task", None),
        ("plan.json", b'{"trials": 5, "probes": []}'),
    ],
)
def test_strange_files_of_an_engine_are_refused_in_a_sentence(file: str, content: bytes | None, tmp_path: Path) -> None:
    write_json(tmp_path / "engine" / "engine.json", {"engine": "slurm"})
    write_checked_json(tmp_path / "plan.json", {"trials": [], "probes": []})
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    if content is None:
        path.mkdir()
    elif file == "plan.json":
        write_checked_json(path, json.loads(content))
    else:
        path.write_bytes(content)
    with pytest.raises(StoreError, match="no Assay wrote it; delete"):
        status_of(tmp_path)


def test_a_status_waits_for_no_pipe_and_writes_behind_no_link(tmp_path: Path) -> None:
    write_checked_json(tmp_path / "run" / "plan.json", {"trials": [], "probes": []})
    (tmp_path / "run" / "leases").mkdir()
    for strange in (b"[" * 100_000, b'{"pid": "all"}', b"1"):
        (tmp_path / "run" / "leases" / "one").write_bytes(strange)
        assert status_of(tmp_path / "run").working == 1
    (tmp_path / "run" / "engine" / "sent").mkdir(parents=True)
    os.mkfifo(pipe := tmp_path / "run" / "engine" / "sent" / "task")
    with pytest.raises(StoreError, match="is a pipe or a device"):
        status_of(tmp_path / "run")
    pipe.unlink()
    (tmp_path / "run" / "leases").rename(tmp_path / "elsewhere")
    (tmp_path / "run" / "leases").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match="leases is a link"):
        status_of(tmp_path / "run")


def test_a_job_that_works_for_another_folder_is_not_canceled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An edited folder may name any job of the user; Slurm says where each writes its log."""
    logs = tmp_path / "run" / "engine" / "logs"
    fake_slurm(tmp_path, monkeypatch, "7_0 7_1 8", f"7 {logs}/%A_%a.txt", f"8 {tmp_path}/thesis/8.txt")
    write_json(logs.parent / "engine.json", {"engine": "slurm"})
    write_text(logs.parent / "detached", "7_0 7_1")
    cancel(tmp_path / "run")
    assert (tmp_path / "canceled").read_text() == "7_0 7_1\n"
    write_text(logs.parent / "detached", "7_1 8")
    with pytest.raises(StoreError, match=r"job 8 was not canceled: its log is not in .*; to cancel it: scancel 8"):
        cancel(tmp_path / "run")
    assert (tmp_path / "canceled").read_text() == "7_0 7_1\n7_1\n"
    (tmp_path / "squeue").write_text("#!/bin/sh\necho Socket timed out >&2\nexit 1\n", encoding="utf-8")
    with pytest.raises(StoreError, match=r"Slurm did not say which folder .*, so that none was canceled: Socket timed"):
        cancel(tmp_path / "run")


def fake_slurm(folder: Path, monkeypatch: pytest.MonkeyPatch, queued: str, *logs: str) -> None:
    """Put commands on the path that answer as Slurm does which jobs it has, and where they write logs."""
    rows = "\n".join(logs)
    for name, text in {
        "squeue": f'echo "$@" >> {folder}/asked\ncase "$*" in\n*--Format*) echo \'{rows}\' ;;\n'
        f"*) printf '%s\\n' {queued} ;;\nesac",
        "scancel": f'echo "$@" >> {folder}/canceled',
        "sbatch": "echo 9",
        "scontrol": "exit 1",
    }.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)


def adopt(slurm: Slurm, tasks: Sequence[str]) -> set[str]:
    """Return the tasks that are not submitted again, of those with a job of an earlier command."""
    remote = Remote(slurm, slurm.folder, detached=True)
    remote.run([Task(task, Touch(slurm.folder / task), task) for task in tasks], lambda _: None)
    return {path.name for path in (slurm.folder / "sent").iterdir() if not path.read_text().startswith("9_")}


def test_jobs_of_another_folder_are_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A copied or edited folder may name any job of the user as that of a task; nothing of it would ever come here."""
    folder, tasks = tmp_path / "run" / "engine", [f"t{at}" for at in range(50)]
    others = [f"{number} {tmp_path}/thesis/%j.txt" for number in range(100, 149)]
    fake_slurm(tmp_path, monkeypatch, "7_0 " + " ".join(map(str, range(100, 149))), f"7 {folder}/logs/x.txt", *others)
    for at, task in enumerate(tasks):
        write_text(folder / "sent" / task, f"{99 + at}" if at else "7_0.1")
    assert adopt(Slurm(folder), tasks) == {"t0"}
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith(f"49 tasks of {folder} submitted again: their jobs write logs to another folder, as after a")
    assert line.endswith("(first job: 100)")
    assert (tmp_path / "asked").read_text().count("--Format") == 1
    assert not (tmp_path / "canceled").exists()
    assert Slurm(folder).foreign(["8+1"])[0] == {"8+1"}
    (tmp_path / "squeue").write_text("#!/bin/sh\necho Socket timed out >&2; exit 1\n", encoding="utf-8")
    assert Slurm(folder).foreign(["100"]) == (set(), set())


def test_a_folder_that_is_mounted_elsewhere_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Machines of a cluster may mount one folder in different places, of which one alone is visible here."""
    folder, logs = tmp_path / "home" / "run" / "engine", tmp_path / "home" / "run" / "engine" / "logs"
    logs.mkdir(parents=True)
    rows = f"7 {tmp_path}/mounted/run/engine/logs/x.txt", f"8 {tmp_path}/away/run/engine/logs/x.txt"
    fake_slurm(tmp_path, monkeypatch, "7_0 8_0 10_0", *rows, f"10 {tmp_path}/away/another/engine/logs/x.txt")
    samefile = Path.samefile
    (tmp_path / "mounted" / "run" / "engine" / "logs").mkdir(parents=True)  # as a mount, which tests cannot make

    def same(one: Path, two: Path) -> bool:
        return samefile(tmp_path / "home" / one.relative_to(tmp_path / "mounted"), two)

    monkeypatch.setattr(Path, "samefile", same)
    for task, handle in {"a": "7_0.0", "b": "8_0.0", "c": "10_0.0"}.items():
        write_text(folder / "sent" / task, handle)
    assert adopt(Slurm(folder), "abc") == {"a", "b"}
    again, kept = capfd.readouterr().err.splitlines()
    assert again.startswith(f"1 task of {folder} submitted again: ")
    assert kept == (
        f"1 task of {folder} not submitted again: their jobs write logs to a folder of the same name that "
        "is not visible here, and are taken for jobs of this one (first job: 8_0)"
    )
    Slurm(folder).cancel(["7_0.0"])
    with pytest.raises(StoreError, match="job 8 was not canceled"):
        Slurm(folder).cancel(["8_0.0"])
    assert (tmp_path / "canceled").read_text() == "7_0\n"


def test_a_full_disk_is_said_where_an_engine_does_not_cancel(
    processes: Processes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Processes, handles: Collection[str]) -> None:
        raise BusyError("Slurm did not say whose job 7 is")

    monkeypatch.setattr(Processes, "cancel", refuse)
    with pytest.raises(FullError, match="the disk is full; Slurm did not say whose job 7 is"):
        driver(processes).run([Task("a", Fill(), "a")], lambda _: None)


def test_a_plan_for_an_engine_counts_jobs_and_hours(tmp_path: Path) -> None:
    write_spec(tmp_path)
    done = command(tmp_path, "run", "small.yaml", "--on", "slurm", "--dry-run")
    assert "on slurm: 12 tasks, 1 worker at once, 0.0 processor hours" in done.stdout


@pytest.mark.nightly
def test_gpus_are_asked_for_where_there_is_none(tmp_path: Path) -> None:
    write_spec(tmp_path)
    done = command(tmp_path, "run", "small.yaml", "--on", "slurm", "--engine", "gpus=1", "--dry-run")
    assert "on slurm: 12 tasks" in done.stdout, done.stderr


def test_hosts_are_recorded_and_the_page_counts_them(run_copy: Path) -> None:
    folder = next((run_copy / "trials").iterdir()) / "provenance.json"
    made = json.loads(folder.read_bytes())
    assert made["host"] == platform.node()
    folder.write_text(json.dumps({**made, "host": "another"}), encoding="utf-8")
    (run_copy / "manifest.json").unlink()
    run = assay.open_run(run_copy)
    run.report()
    facts = run.table("provenance").set_index("key")["value"]
    assert facts["machines"] == "2"


def test_the_status_of_a_run_is_that_of_its_records(run_copy: Path) -> None:
    found = status_of(run_copy)
    assert (found.trained, found.probed) == (found.trials, found.probes)
    assert found.done
    write_text(run_copy / "engine" / "sent" / "trial", "7")  # Slurm went down, and the run ended without it
    assert status_of(run_copy).submitted == 0
    trial = next((run_copy / "trials").iterdir())
    shutil.rmtree(trial)
    assert (status_of(run_copy).trained, status_of(run_copy).done) == (found.trials - 1, False)
    for unit, failed in (("of-another-recipe", 0), (trial.name, 1)):
        RunFolder(run_copy).write_failure(unit, {"task": "training", "text": "out of memory"})
        assert status_of(run_copy).failed == failed, "of a unit that the study has"
