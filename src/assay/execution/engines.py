"""Choose an engine for a run, and ask about or stop a run on one from any machine."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from assay.core.errors import SpecError, StoreError, unknown_of_few
from assay.core.files import is_file, write_bytes
from assay.core.request import Request
from assay.execution.device import PROCESSOR
from assay.execution.lease import held
from assay.execution.remote import ENGINE, Exchange, Remote, chunk_seconds
from assay.execution.slurm import CHUNK, Slurm, as_limit, require_slurm
from assay.execution.tasks import Queue, Task
from assay.spec.yaml import parse_yaml, read_yaml
from assay.stats.format import count
from assay.store.files import read_checked_json, read_json, write_text
from assay.store.folder import RunFolder, UnitKind, is_worked_in

LEASES = "leases"
"""Folder of a run folder that holds the lease of every unit that is worked on."""
PLAN = "plan.json"
_DETACHED = "detached"
"""File of the engine's folder that holds the numbers of the jobs that carry a command on."""


class Engine(Request):
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
        extra: Further options of sbatch.
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
        known = of_both | of_ray if self.name == "ray" else set(Engine.model_fields) - of_ray
        if wrong := sorted(self.model_fields_set - known):
            raise SpecError(f"--engine {wrong[0]} means nothing to --on {self.name}")
        if self.gpus % 1 and self.gpus > 1:
            raise SpecError(f"--engine gpus={self.gpus}: give a whole number, or a share of one such as 0.25")
        return self

    @classmethod
    def read(cls, name: str, given: Sequence[str]) -> Engine:
        """Return an engine from YAML files and settings such as `mem=8G`; a later one wins.

        Raises:
            SpecError: One is not known, or a file cannot be read.
        """
        values: dict[str, Any] = {}
        for one in given:
            key, equals, text = one.partition("=")
            if equals:
                values[key.strip()] = parse_yaml(text, f"--engine {key}")[0]
            else:
                values |= read_yaml(Path(one)).values
        known = [one for one in cls.model_fields if one != "name"]
        if unknown := sorted(values.keys() - set(known)):
            raise SpecError(unknown_of_few("--engine key", unknown[0], known))
        return cls.model_validate({**values, "name": name})

    @property
    def shared(self) -> int:
        """Workers of a Slurm job."""
        return max(1, round(1 / self.gpus)) if 0 < self.gpus < 1 else 1

    def device(self, asked: str) -> str:
        """Return the device of tasks, which need not be on this machine.

        Raises:
            SpecError: GPUs are asked for, and the processor to compute on; or the reverse.
        """
        if (self.gpus > 0) != asked.startswith("cuda") and asked != "auto":
            raise SpecError(f"--device {asked} does not go with --engine gpus={self.gpus:g} of --on {self.name}")
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

    def executor(self, root: Path, heard: Callable[[], None] | None = None, detached: bool = False) -> Remote:
        """Return the executor of a run.

        Args:
            root: The run folder.
            heard: Called at the first interrupt.
            detached: Submit what is ready, and leave it to a later command.

        Raises:
            SpecError: The engine's commands are not here.
            ExtraError: The engine's library is not installed.
        """
        folder = root / ENGINE
        if self.name == "slurm":
            return Remote(self.slurm(root), folder, interval=5.0, heard=heard, detached=detached)
        from assay.execution.ray import Ray

        return Remote(Ray(folder, self.address, self.cpus, self.gpus), folder, interval=0.2, heard=heard)

    def workers(self, tasks: Sequence[Task], at_once: int) -> int:
        """Return how many workers tasks are given to at first, at most as many as can be at once."""
        queue, workers = Queue.of(tasks), 0
        worth = chunk_seconds(CHUNK, queue.waiting_cost(), at_once) if self.name == "slurm" else 0.0
        while workers < at_once and queue.take_chunk(worth):
            workers += 1
        return max(1, workers)

    def sized(self, tasks: Sequence[Task], workers: int) -> str:
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
        StoreError: Nothing was planned in the folder.
    """
    jobs = tuple(sorted(_slurm(root).poll(_detached(root))))
    if not is_file(root / PLAN) and not jobs:
        raise StoreError(f"{root} has no {PLAN}: no run of a study has begun there")
    plan: Mapping[str, Any] = read_checked_json(root / PLAN) if is_file(root / PLAN) else {"trials": [], "probes": []}
    planned: dict[UnitKind, set[str]] = {kind: {unit["id"] for unit in plan[kind]} for kind in ("trials", "probes")}
    there = {kind: len(ids & set(RunFolder(root).ids(kind))) for kind, ids in planned.items()}
    leases = [path for path in (root / LEASES).glob("*") if not path.name.startswith(".")]
    return Status(
        len(planned["trials"]),
        there["trials"],
        len(planned["probes"]),
        there["probes"],
        len(list((root / "failures").glob("*.json"))),
        sum(held(path) for path in leases),
        len(_submitted(root)),
        jobs,
        _engine(root),
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
    """
    job = slurm.submit_command(arguments, after)
    write_text(root / ENGINE / _DETACHED, "\n".join([*_detached(root), job]))
    return job


def cancel(root: Path) -> int:
    """Ask the command and all workers of a run to stop, and take jobs that wait out of Slurm's queue.

    Those at work leave a checkpoint first.

    Returns:
        The number of tasks that were submitted and not over.
    """
    found, slurm = _submitted(root), _slurm(root)
    write_bytes(Exchange(root / ENGINE).stop, b"")
    slurm.cancel({*_detached(root), *slurm.waiting(set(found.values()))})
    return len(found)


def stop_file(root: Path) -> Path:
    """Return the file of a run folder whose presence asks a run to stop."""
    return Exchange(root / ENGINE).stop


def _slurm(root: Path) -> Slurm:
    return Slurm(root / ENGINE)


def _detached(root: Path) -> list[str]:
    path = root / ENGINE / _DETACHED
    return path.read_text(encoding="utf-8").split() if is_file(path) else []


def _engine(root: Path) -> str:
    path = root / ENGINE / "engine.json"
    return str(read_json(path)["engine"]) if is_file(path) else ""


def _submitted(root: Path) -> dict[str, str]:
    """Return the handles of tasks that were submitted, are not over and are still known, by the names of their files.

    Slurm says what it has; jobs of Ray end with their command, which holds the run folder.
    """
    sent, notes = root / ENGINE / "sent", root / ENGINE / "note"
    found = {
        path.name: path.read_text(encoding="utf-8") for path in sent.glob("*") if not (notes / path.name).is_file()
    }
    if _engine(root) != "slurm":
        return found if is_worked_in(root) else {}
    alive = _slurm(root).poll(set(found.values()))
    return {name: handle for name, handle in found.items() if handle in alive}
