"""Choose an engine for a run (Slurm, Ray), and ask about or stop a run on one from any machine."""

from __future__ import annotations

import math
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from time import sleep
from typing import Any, Literal, Self, cast

from pydantic import ConfigDict, Field, model_validator

from assay.core.errors import SpecError, StoreError, extra, shorten, unknown_of_few
from assay.core.files import is_file, write_bytes
from assay.core.request import CommandRequest
from assay.execution.lease import is_held
from assay.execution.local import PROCESSOR
from assay.execution.remote import ENGINE, Backend, BusyError, Exchange, Remote, chunk_seconds, variables, work
from assay.execution.tasks import Queue, Task
from assay.spec.yaml import parse_yaml, read_yaml
from assay.stats.format import count
from assay.store.files import REMAKE_FILE, read_checked_json, read_json, write_text
from assay.store.folder import RunFolder
from assay.store.layout import UnitKind, is_locked, require_regular_files, require_run_folder

# Ray: tasks of a cluster, or of this machine. Each carries out a chunk of tasks in a warm worker process.


class _PathsOfDriver(list[str]):
    """Folders from which Ray has its workers import first: never the working folder, which Ray adds to these."""

    def extend(self, paths: Iterable[str]) -> None:
        """Add folders from which this process imports."""
        super().extend(path for path in paths if path in sys.path)

    def __reduce__(self) -> tuple[type[list[str]], tuple[list[str]]]:
        """Send a plain list to machines without Assay."""
        return list, ([*self],)


def _work_in(place: Path, folder: Path, chunk: str) -> None:
    """Carry out a chunk in the working folder of the driver, where a study may name code."""
    if place.is_dir():
        os.chdir(place)
    work(folder, chunk)


class Ray(Backend):
    """A `Backend` of remote functions. Its jobs end with their driver, so that none is adopted.

    Attributes:
        at_once: Twice the cores of the cluster, so that none waits for the driver.
    """

    name = "ray"
    chunk = (0.0, 0.0)
    asked_every = 0.0

    def __init__(self, folder: Path, address: str | None = None, cpus: int = 1, gpus: float = 0) -> None:
        """Connect to a cluster.

        Args:
            folder: `remote.ENGINE` of the run folder, on a file system that nodes share.
            address: Of the cluster: `auto` for one that runs on this machine; None starts one.
            cpus: Cores of a task.
            gpus: GPUs of a task, or the share of one.

        Raises:
            ExtraError: Ray is not installed.
            SpecError: No cluster answers at the address.
        """
        os.environ.setdefault("RAY_worker_niceness", "0")  # else workers run at the lowest priority
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        with extra("ray"):
            import ray
        self._ray: Any = ray
        if not self._ray.is_initialized():
            paths = os.pathsep.join(path for path in (os.environ.get("PYTHONPATH", ""),) if path)
            environment = {**variables(), **({"PYTHONPATH": paths} if paths else {})}
            job: Any = self._ray.job_config.JobConfig()
            job._py_driver_sys_path = _PathsOfDriver()  # Ray has no option for it
            try:
                self._ray.init(
                    address=address,
                    include_dashboard=False if address is None else None,
                    log_to_driver=False,
                    logging_level="error",
                    job_config=job,
                    runtime_env={"env_vars": environment},
                )
            except ConnectionError as error:
                raise SpecError(
                    f"--engine address={address}: no Ray cluster answers there; start one with `ray start --head` "
                    "and give its address, or leave it out to start Ray on this machine"
                ) from error
        self._folder = folder.absolute()
        self._call = self._ray.remote(_work_in).options(num_cpus=cpus, num_gpus=gpus, max_retries=0)
        self._jobs: dict[str, Any] = {}
        self.at_once = max(2, 2 * int(self._ray.cluster_resources().get("CPU", 1)) // cpus)

    def submit(self, chunks: Sequence[str]) -> list[str]:
        """See `Backend`."""
        submitted = {job.hex(): job for job in (self._call.remote(Path.cwd(), self._folder, chunk) for chunk in chunks)}
        self._jobs |= submitted
        return list(submitted)

    def poll(self, handles: Collection[str]) -> set[str]:
        """See `Backend`."""
        jobs = [self._jobs[handle] for handle in handles if handle in self._jobs]
        if not jobs:
            return set()
        ended, alive = self._ray.wait(jobs, num_returns=len(jobs), timeout=0)
        for job in ended:
            del self._jobs[job.hex()]
        return {job.hex() for job in alive}

    def rest(self, handles: Collection[str], seconds: float) -> None:
        """See `Backend`."""
        jobs = [self._jobs[handle] for handle in set(handles) if handle in self._jobs]
        if len(jobs) < len(set(handles)):  # one is over, and its note is not there yet
            time.sleep(seconds)
        elif jobs:
            self._ray.wait(jobs, num_returns=1, timeout=seconds)

    def cancel(self, handles: Collection[str]) -> None:
        """See `Backend`."""
        for handle in handles:
            if handle in self._jobs:
                self._ray.cancel(self._jobs[handle], force=True)


# Slurm: jobs of an array, each a process that carries out a chunk of tasks.

_PATIENCE = 60
_TAIL = 4000
CHUNK = (30.0, 300.0)
"""Seconds of work of a worker, at least and at most: a fresh process spends about five on imports."""
_BUSY = ("Unable to contact slurm controller", "Socket timed out", "Zero Bytes were transmitted", "temporarily unable",
         "did not answer", "MaxSubmit")  # fmt: skip
"""Parts of what sbatch says where it may take the same jobs later."""


@dataclass
class Slurm:
    """A `Backend` of sbatch, squeue and scancel. Accounting is not needed.

    Attributes:
        folder: `remote.ENGINE` of the run folder, on a file system that nodes share.
        options: Options of sbatch, such as `partition`.
        extra: Further options, as sbatch reads them.
        setup: Lines of shell before each worker, such as `module load cuda`.
        container: Command that starts a worker in a container; its `python` then has Assay.
        at_once: The most workers that are queued or running.
        shared: Workers of a job, which share its GPU.
        chunk: Seconds of work of a worker, at least and at most.
        avoided: Nodes that no further job goes to.
    """

    folder: Path
    options: Mapping[str, object] = field(default_factory=dict[str, object])
    extra: Sequence[str] = ()
    setup: Sequence[str] = ()
    container: str = ""
    at_once: int = 200
    shared: int = 1
    chunk: tuple[float, float] = CHUNK
    asked_every: float = 30.0
    avoided: set[str] = field(default_factory=set[str])
    name: str = "slurm"

    @property
    def _logs(self) -> Path:
        return self.folder / "logs"

    def submit(self, chunks: Sequence[str]) -> list[str]:
        """See `Backend`: arrays of as many jobs as the controller allows in one."""
        handles: list[str] = []
        per_array = largest_array() * self.shared
        for start in range(0, len(chunks), per_array):
            chunks_of_array = chunks[start : start + per_array]
            jobs = -(-len(chunks_of_array) // self.shared)
            max_jobs = max(1, self.at_once // self.shared)
            try:
                array = self._sbatch(self._script(chunks_of_array), "%A_%a", array=f"0-{jobs - 1}%{max_jobs}")
            except StoreError:
                if not handles:
                    raise
                break
            handles += [f"{array}_{n // self.shared}.{n % self.shared}" for n in range(len(chunks_of_array))]
        return handles

    def submit_command(self, arguments: Sequence[str], after: Collection[str] = ()) -> str:
        """Submit a command of Assay as a job of its own.

        Args:
            arguments: Of `assay`.
            after: Handles of jobs that must be over before, however they end.

        Returns:
            Its handle.

        Raises:
            StoreError: sbatch refused it.
        """
        arrays = sorted({handle.partition("_")[0] for handle in after})
        line = " ".join(["exec", self._python(), "-P -m assay", *map(shlex.quote, arguments)])
        dependency = f"afterany:{':'.join(arrays)}" if arrays else None
        return self._sbatch(self._shell(line), "%j", dependency=dependency)

    def _sbatch(self, script: str, log: str, **fixed: object) -> str:
        self._logs.mkdir(parents=True, exist_ok=True)
        options = {"job-name": "assay", "exclude": ",".join(sorted(self.avoided)) or None, **self.options}
        # Of an option that is given twice, the last one counts.
        required = {**fixed, "output": self._logs.absolute() / f"{log}.txt", "open-mode": "append"}
        settings, last = (
            [f"--{name}={value}" for name, value in values.items() if value is not None]
            for values in (options, required)
        )
        reply = _call(["sbatch", "--parsable", "--requeue", *settings, *self.extra, *last], script)
        if reply.returncode:
            text = reply.stderr.strip() or reply.stdout.strip()
            if self.avoided:
                text += f" (nodes of another kind are avoided: {', '.join(sorted(self.avoided))})"
            raise (BusyError if any(sign in text for sign in _BUSY) else StoreError)(f"Slurm refused the jobs: {text}")
        return reply.stdout.strip().partition(";")[0]

    def _python(self) -> str:
        return f"{self.container} python" if self.container else shlex.quote(sys.executable)

    def _shell(self, *lines: str) -> str:
        exports = [f"export {name}={value}" for name, value in variables().items()]
        return "\n".join(["#!/bin/sh", *self.setup, *exports, *lines, ""])

    def _script(self, chunks: Sequence[str]) -> str:
        names = " ".join(map(shlex.quote, chunks))
        call = f"{self._python()} -P -m assay.execution.remote {shlex.quote(str(self.folder.absolute()))}"
        select_chunk = f"set -- {names}\nshift $((SLURM_ARRAY_TASK_ID * {self.shared}))"
        if self.shared == 1:
            return self._shell(select_chunk, f'exec {call} "$1"')
        run_all = f'for i in $(seq {self.shared}); do [ $# -eq 0 ] || {{ {call} "$1" & shift; }}; done'
        return self._shell(select_chunk, run_all, "wait")

    def poll(self, handles: Collection[str]) -> set[str]:
        """See `Backend`."""
        queued = self._queued_jobs(handles)
        return set(handles) if queued is None else queued

    def waiting(self, handles: Collection[str]) -> set[str]:
        """See `Backend`."""
        return self._queued_jobs(handles, "--states=PENDING") or set()

    def foreign(self, handles: Collection[str]) -> tuple[set[str], set[str]]:
        """See `Backend`. A job is of the folder that it writes its log to; while Slurm does not answer, none is."""
        try:
            is_here = self._which_are_here(handles)
        except BusyError:
            return set(), set()
        foreign_handles = {
            handle for handle in handles if False in is_here[_array_of(handle)] or not _HANDLE.fullmatch(handle)
        }
        unseen = {handle for handle in handles if None in is_here[_array_of(handle)]}
        return foreign_handles, unseen - foreign_handles

    def rest(self, handles: Collection[str], seconds: float) -> None:
        """See `Backend`."""
        sleep(seconds)

    def _queued_jobs(self, handles: Collection[str], *states: str) -> set[str] | None:
        """Return those of these states, by default queued or running; None while Slurm does not answer."""
        if not handles:
            return set()
        arrays = sorted({handle.partition("_")[0] for handle in handles})
        reply = _call(["squeue", "--noheader", "--array", "--format=%i", f"--jobs={','.join(arrays)}", *states])
        if reply.returncode:  # a single array that is over is an "invalid job id"; others are a controller that is busy
            return set() if "Invalid job id" in reply.stderr else None
        jobs = {line.strip() for line in reply.stdout.splitlines()}
        return {handle for handle in handles if _job(handle) in jobs}

    def cancel(self, handles: Collection[str]) -> None:
        """See `Backend`. A file of a folder can hold the number of any job, so that Slurm is asked whose it is.

        Raises:
            StoreError: A job writes its log elsewhere, so that it works for something else. It goes on.
            BusyError: Slurm does not answer; all go on.
        """
        is_here = self._which_are_here(handles)
        matching = {_job(handle) for handle in handles if is_here[_array_of(handle)] == {True}}
        if matching:
            _call(["scancel", *sorted(matching)])
        if foreign := sorted(array for array, kinds in is_here.items() if kinds - {True}):
            raise StoreError(
                f"job {foreign[0]} was not canceled: its log is not in {self._logs}, so that it is of "
                f"something else; to cancel it: scancel {foreign[0]}"
            )

    def _which_are_here(self, handles: Collection[str]) -> dict[str, set[bool | None]]:
        """Return `_is_here` of the logs of each job or array; none of those that are over. Slurm is asked once.

        Raises:
            BusyError: It does not answer.
        """
        is_here: dict[str, set[bool | None]] = {_array_of(handle): set() for handle in handles}
        if not is_here:
            return {}
        jobs = f"--jobs={','.join(sorted(is_here))}"
        reply = _call(["squeue", "--noheader", "--Format=ArrayJobID:20,STDOUT:4096", jobs])
        if reply.returncode and "Invalid job id" not in reply.stderr:
            raise BusyError(
                f"Slurm did not say which folder its jobs work for, so that none was canceled: {reply.stderr.strip()}"
            )
        for line in reply.stdout.splitlines():
            array, _, log = line.strip().partition(" ")
            if array in is_here:
                is_here[array].add(self._is_here(Path("/", log.strip()).parent))
        return is_here

    def _is_here(self, folder: Path) -> bool | None:
        """Return whether a folder is that of the logs; None where it is not visible here and its name is the same.

        A cluster may mount one folder as `/home` on some machines and as `/nfs/home` on others.
        """
        with suppress(PermissionError):
            if folder.exists():
                return self._logs.exists() and folder.samefile(self._logs)
        places = self._logs.absolute(), self._logs.resolve()
        if folder in places:
            return True
        return None if folder.parts[-3:] in {path.parts[-3:] for path in places} else False

    def avoid(self, host: str) -> bool:
        """See `Backend`."""
        self.avoided.add(host)
        return True

    def log(self, handle: str) -> str:
        """See `Backend`."""
        path = self._logs / f"{_job(handle)}.txt"
        return path.read_text(encoding="utf-8", errors="replace")[-_TAIL:] if path.is_file() else ""


def _job(handle: str) -> str:
    return handle.partition(".")[0]


def _array_of(handle: str) -> str:
    return _job(handle).partition("_")[0]


@cache
def largest_array() -> int:
    """Return the most jobs of an array; Slurm's default where it does not say."""
    match = re.search(r"MaxArraySize\s*=\s*(\d+)", _call(["scontrol", "show", "config"]).stdout)
    return int(match[1]) if match else 1001


def require_slurm() -> None:
    """Check that Slurm's commands are here.

    Raises:
        SpecError: One of them is not.
    """
    if missing := [name for name in ("sbatch", "squeue", "scancel") if shutil.which(name) is None]:
        raise SpecError(f"--on slurm needs {', '.join(missing)}: run it on a login node of the cluster")


def as_limit(text: str) -> str:
    """Return a time limit as sbatch reads it; `4h` is `240`."""
    minutes = {"d": 1440, "h": 60, "m": 1}.get(text[-1])
    return text if minutes is None else str(int(text[:-1]) * minutes)


def _call(command: Sequence[str], script: str = "") -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, input=script, capture_output=True, text=True, timeout=_PATIENCE, check=False)
    except FileNotFoundError as error:
        return subprocess.CompletedProcess(command, 1, "", f"{error.filename} is not here")
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 1, "", f"{command[0]} did not answer in {_PATIENCE} s")


LEASES = "leases"
"""Folder of a run folder that holds the lease of every unit that is worked on."""
PLAN = "plan.json"
_LONGEST = 2**20
"""Characters that are read of a file of the engine's folder."""
_DETACHED = "detached"
"""File of the engine's folder that holds the numbers of the jobs that carry a command on."""
_HANDLE = re.compile(r"\d+(_\d+)?(\.\d+)?", re.ASCII)
"""The handle of a job of Slurm: its number, with its place in an array and in the job, and no option of a command."""

_OF_ASSAY = re.compile(r"--(output|array)\b|-[oa]")
"""Options of sbatch that Assay sets: it reads the logs of its jobs, and cancels only jobs that write there."""


class Engine(CommandRequest):
    """An engine as a user asks for it, by `--on` and `--engine`. Sizes and times are as sbatch reads them.

    Attributes:
        name: `ray` or `slurm`.
        address: Of a Ray cluster.
        cpus: Cores of a worker.
        gpus: GPUs of a worker; a share such as 0.25 lets workers share one.
        partition: Partition of Slurm.
        account: Account that is charged.
        qos: Quality of service.
        constraint: Features of nodes.
        mem: Memory of a job.
        time: Time limit of a job, such as `4h`.
        at_once: The most workers that are queued or running.
        setup: Lines of shell before each worker.
        container: Command that starts a worker in a container, such as `apptainer exec --nv assay.sif`.
        extra: Further options of sbatch, except `--output` and `--array`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)

    name: Literal["ray", "slurm"]
    address: str | None = None
    cpus: int = Field(default=1, ge=1)
    gpus: float = Field(default=0.0, ge=0.0)
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    mem: str | None = None
    time: str | None = Field(default=None, pattern=r"^((\d+-)?\d+(:\d+){0,2}|\d+[dhm])$")
    at_once: int = Field(default=200, ge=1)
    setup: tuple[str, ...] = ()
    container: str = ""
    extra: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _check(self) -> Self:
        of_ray, of_both = {"address"}, {"name", "cpus", "gpus"}
        allowed = of_both | of_ray if self.name == "ray" else set(Engine.model_fields) - of_ray
        if wrong := sorted(self.model_fields_set - allowed):
            raise SpecError(f"--engine {wrong[0]} is not an option of --on {self.name}")
        if ours := [option for option in self.extra if _OF_ASSAY.match(option)]:
            raise SpecError(f"--engine extra={ours[0]}: Assay sets the logs and the arrays of its jobs; leave it out")
        if self.gpus % 1 and self.gpus > 1:
            raise SpecError(f"--engine gpus={self.gpus}: give a whole number, or a share of one such as 0.25")
        return self

    @classmethod
    def read(cls, name: str, settings: Sequence[str]) -> Engine:
        """Return an engine from YAML files and settings such as `mem=8G`; a later one wins.

        Raises:
            SpecError: One is not known, or a file cannot be read.
        """
        values: dict[str, Any] = {}
        for setting in settings:
            key, equals, text = setting.partition("=")
            if equals:
                values[key.strip()] = parse_yaml(text, f"--engine {key}")[0]
            else:
                values |= read_yaml(Path(setting)).values
        names = [field for field in cls.model_fields if field != "name"]
        if unknown := sorted(values.keys() - set(names)):
            raise SpecError(unknown_of_few("--engine key", unknown[0], names))
        return cls.model_validate({**values, "name": name})

    @property
    def shared(self) -> int:
        """Workers of a Slurm job."""
        return max(1, round(1 / self.gpus)) if 0 < self.gpus < 1 else 1

    def device(self, name: str) -> str:
        """Return the device of tasks, which need not be on this machine.

        Raises:
            SpecError: GPUs are asked for, and the processor to compute on; or the reverse.
        """
        if (self.gpus > 0) != name.startswith("cuda") and name != "auto":
            raise SpecError(f"--device {name} does not go with --engine gpus={self.gpus:g} of --on {self.name}")
        return "cuda:0" if self.gpus else PROCESSOR

    def slurm(self, root: Path) -> Slurm:
        """Return Slurm for a run folder.

        Raises:
            SpecError: Its commands are not here.
        """
        require_slurm()
        options = {name: getattr(self, name) for name in ("partition", "account", "qos", "constraint", "mem")}
        options |= {
            "time": as_limit(self.time) if self.time else None,
            "cpus-per-task": self.cpus * self.shared,
            "gpus": math.ceil(self.gpus) or None,
        }
        return Slurm(root / ENGINE, options, self.extra, self.setup, self.container, self.at_once, self.shared)

    def executor(self, root: Path, on_interrupt: Callable[[], None] | None = None, detached: bool = False) -> Remote:
        """Return the executor of a run.

        Args:
            root: The run folder.
            on_interrupt: Called at the first interrupt.
            detached: Submit what is ready, and leave it to a later command.

        Raises:
            SpecError: The engine's commands are not here.
            ExtraError: The engine's library is not installed.
        """
        folder = root / ENGINE
        if self.name == "slurm":
            return Remote(self.slurm(root), folder, interval=5.0, on_interrupt=on_interrupt, detached=detached)
        return Remote(Ray(folder, self.address, self.cpus, self.gpus), folder, interval=0.2, on_interrupt=on_interrupt)

    def workers(self, tasks: Sequence[Task], at_once: int) -> int:
        """Return how many workers tasks are given to at first, at most as many as can be at once."""
        queue, workers = Queue.of(tasks), 0
        seconds = chunk_seconds(CHUNK, queue.waiting_cost(), at_once) if self.name == "slurm" else 0.0
        while workers < at_once and queue.take_chunk(seconds):
            workers += 1
        return max(1, workers)

    def describe_size(self, tasks: Sequence[Task], workers: int) -> str:
        """Describe the work in workers and processor hours."""
        hours = sum(task.cost for task in tasks) / 3600
        text = f"{count(len(tasks), 'task')}, {count(workers, 'worker')} at once, {hours:.1f} processor hours"
        return f"on {self.name}: {text}"


@dataclass(frozen=True)
class Status:
    """How far a run is, from its records alone.

    Attributes:
        trials: Planned trials.
        trained: Those with a record.
        probes: Planned probes.
        probed: Those with a record.
        failed: Units whose last try failed.
        working: Units that a live process works on.
        submitted: Tasks that an engine has and that are not over.
        jobs: Slurm jobs of the command itself that are queued or running, of a detached run.
        engine: Name of the engine that the run was last on; empty for this machine.
    """

    trials: int
    trained: int
    probes: int
    probed: int
    failed: int
    working: int
    submitted: int
    jobs: tuple[str, ...]
    engine: str

    @property
    def done(self) -> bool:
        """Return whether every planned unit has a record."""
        return self.trials > 0 and (self.trained, self.probed) == (self.trials, self.probes)


def status_of(root: Path) -> Status:
    """Return how far a run is.

    Raises:
        StoreError: Nothing was planned in the folder, or it holds what no Assay wrote.
    """
    require_regular_files(root)
    jobs = tuple(sorted(_slurm(root).poll(_read_detached(root))))
    if not is_file(root / PLAN) and not jobs:
        raise StoreError(f"{root} has no {PLAN}: no run of a study has begun there")
    plan: Mapping[str, Any] = read_checked_json(root / PLAN) if is_file(root / PLAN) else {"trials": [], "probes": []}
    try:
        planned: dict[UnitKind, set[str]] = {kind: {unit["id"] for unit in plan[kind]} for kind in ("trials", "probes")}
        units = planned["trials"] | {source["id"] for source in plan.get("sources", ())}  # that of a probe is its trial
    except (KeyError, TypeError) as error:
        raise StoreError(f"cannot read {root / PLAN}: no Assay wrote it; {REMAKE_FILE}") from error
    finished = {kind: len(ids & set(RunFolder(root).ids(kind))) for kind, ids in planned.items()}
    leases = [path for path in (root / LEASES).glob("*") if not path.name.startswith(".")]
    return Status(
        len(planned["trials"]),
        finished["trials"],
        len(planned["probes"]),
        finished["probes"],
        sum(path.stem in units for path in (root / "failures").glob("*.json")),
        sum(is_held(path) for path in leases if is_file(path)),
        len(_submitted_handles(root)),
        jobs,
        _engine_name(root),
    )


def detach(root: Path, slurm: Slurm, arguments: Sequence[str], after: Collection[str] = ()) -> str:
    """Submit a command that goes on with a run once jobs are over, and note it for `status` and `cancel`.

    Args:
        root: The run folder.
        slurm: Slurm of the run.
        arguments: Of `assay`.
        after: Handles of the jobs.

    Returns:
        The number of its job.

    Raises:
        StoreError: The folder is no run's, or has a link, behind which logs would be written; or Slurm refuses the job.
    """
    require_run_folder(root)
    require_regular_files(root)
    job = slurm.submit_command(arguments, after)
    write_text(root / ENGINE / _DETACHED, "\n".join([*_read_detached(root), job]))
    return job


def cancel(root: Path) -> int:
    """Ask the command and all workers of a run to stop, and take jobs that wait out of Slurm's queue.

    Those at work leave a checkpoint first.

    Returns:
        The number of tasks that were submitted and not over.
    """
    require_regular_files(root)
    handles, slurm = _submitted_handles(root), _slurm(root)
    write_bytes(Exchange(root / ENGINE).stop, b"")
    slurm.cancel({*_read_detached(root), *slurm.waiting(set(handles.values()))})
    return len(handles)


def stop_file(root: Path) -> Path:
    """Return the file of a run folder whose presence asks a run to stop."""
    return Exchange(root / ENGINE).stop


def _slurm(root: Path) -> Slurm:
    return Slurm(root / ENGINE)


def _read_detached(root: Path) -> list[str]:
    path = root / ENGINE / _DETACHED
    return [_handle(text, path) for text in _text_of(path).split()] if is_file(path) else []


def _text_of(path: Path) -> str:
    """Return a file of the engine's folder, which no manifest lists; empty where it is gone meanwhile."""
    try:
        with path.open(encoding="utf-8") as file:
            return file.read(_LONGEST)
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(f"cannot read {path}: no Assay wrote it; delete it") from error


def _handle(text: str, path: Path) -> str:
    if _HANDLE.fullmatch(text) is None:
        raise StoreError(f"{path} holds {shorten(text)!r}, which is no job of Slurm; delete this file")
    return text


def _engine_name(root: Path) -> str:
    path = root / ENGINE / "engine.json"
    stored: Any = read_json(path, remedy="delete it") if is_file(path) else {"engine": ""}
    if not isinstance(stored, dict) or "engine" not in stored:
        raise StoreError(f"cannot read {path}: no Assay wrote it; delete it")
    return str(cast("dict[str, Any]", stored)["engine"])


def _submitted_handles(root: Path) -> dict[str, str]:
    """Return the handles of tasks that were submitted, are not over and are still known, by the names of their files.

    Slurm says what it has; jobs of Ray end with their command, which holds the run folder.
    """
    sent, notes = root / ENGINE / "sent", root / ENGINE / "note"
    handles_by_task = {path.name: _text_of(path) for path in sent.glob("*") if not (notes / path.name).is_file()}
    if _engine_name(root) != "slurm":
        return handles_by_task if is_locked(root) else {}
    for name, handle in handles_by_task.items():
        _handle(handle, sent / name)
    alive = _slurm(root).poll(set(handles_by_task.values()))
    return {name: handle for name, handle in handles_by_task.items() if handle in alive}
