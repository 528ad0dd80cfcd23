"""Choose an engine for a run, and ask about or stop a run on one from any machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay.core.errors import SpecError, StoreError
from assay.core.files import is_file, write_bytes
from assay.execution.device import PROCESSOR
from assay.execution.lease import held
from assay.execution.remote import ENGINE, Exchange, Remote
from assay.execution.slurm import Slurm, as_limit, require_slurm
from assay.execution.tasks import Queue, Task
from assay.stats.format import count
from assay.store.files import read_checked_json, read_json
from assay.store.folder import RunFolder, UnitKind

LEASES = "leases"
"""Folder of a run folder that holds the lease of every unit that is worked on."""
PLAN = "plan.json"


@dataclass(frozen=True)
class Engine:
    """An engine as a user asks for it.

    Attributes:
        name: `ray` or `slurm`.
        address: Of a Ray cluster.
        partition: Of Slurm.
        time: Time limit of a Slurm job, such as `4h`.
        at_once: The most Slurm jobs that are queued or running.
        gpus: GPUs of a job.
    """

    name: str
    address: str | None = None
    partition: str | None = None
    time: str | None = None
    at_once: int = 200
    gpus: int = 0

    def __post_init__(self) -> None:
        """Check that each option is one of the engine.

        Raises:
            SpecError: It is one of another.
        """
        of_others = {"ray": ("partition", "time"), "slurm": ("address",)}[self.name]
        if wrong := [name for name in of_others if getattr(self, name) is not None]:
            raise SpecError(f"--{wrong[0]} means nothing to --on {self.name}")

    def device(self, asked: str) -> str:
        """Return the device of tasks, which need not be on this machine.

        Raises:
            SpecError: GPUs are asked for, and the processor to compute on; or the reverse.
        """
        if (self.gpus > 0) != asked.startswith("cuda") and asked != "auto":
            raise SpecError(f"--device {asked} does not go with --gpus {self.gpus} of --on {self.name}")
        return "cuda:0" if self.gpus else PROCESSOR

    def executor(self, root: Path, heard: Callable[[], None] | None = None) -> tuple[Remote, int]:
        """Return the executor of a run, and the number of its jobs at once.

        Args:
            root: The run folder.
            heard: Called at the first interrupt.

        Raises:
            SpecError: The engine's commands are not here.
            ExtraError: The engine's library is not installed.
        """
        folder = root / ENGINE
        if self.name == "slurm":
            require_slurm()
            limit = as_limit(self.time) if self.time else None
            backend = Slurm(folder, self.partition, limit, self.at_once, self.gpus)
            return Remote(backend, folder, heard=heard), self.at_once
        from assay.execution.ray import Ray

        cluster = Ray(folder, self.address, self.gpus)
        return Remote(cluster, folder, interval=0.2, heard=heard), cluster.at_once // 2

    def sized(self, tasks: Sequence[Task]) -> str:
        """Describe the work in jobs and processor hours."""
        queue, jobs = Queue.of(tasks), 0
        while chunk := queue.take_chunk(Slurm.chunk_seconds if self.name == "slurm" else 0.0):
            jobs += 1
            for task in chunk:
                queue.finish(task.id)
        hours = sum(task.cost for task in tasks) / 3600
        return f"on {self.name}: {count(len(tasks), 'task')} in about {count(jobs, 'job')}, {hours:.1f} processor hours"


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
        engine: Name of the engine that the run was last on; empty for this machine.
    """

    trials: int
    trained: int
    probes: int
    probed: int
    failed: int
    working: int
    submitted: int
    engine: str

    @property
    def done(self) -> bool:
        """Return whether every planned unit has a record."""
        return (self.trained, self.probed) == (self.trials, self.probes)


def status_of(root: Path) -> Status:
    """Return how far a run is.

    Raises:
        StoreError: Nothing was planned in the folder.
    """
    if not is_file(root / PLAN):
        raise StoreError(f"{root} has no {PLAN}: no run of a study has begun there")
    plan: Mapping[str, Any] = read_checked_json(root / PLAN)
    planned: dict[UnitKind, set[str]] = {kind: {unit["id"] for unit in plan[kind]} for kind in ("trials", "probes")}
    there = {kind: len(ids & set(RunFolder(root).ids(kind))) for kind, ids in planned.items()}
    done = all(there[kind] == len(ids) for kind, ids in planned.items())
    leases = [path for path in (root / LEASES).glob("*") if not path.name.startswith(".")]
    return Status(
        len(planned["trials"]),
        there["trials"],
        len(planned["probes"]),
        there["probes"],
        len(list((root / "failures").glob("*.json"))),
        sum(held(path) for path in leases),
        0 if done else len(_submitted(root)),  # those of an engine that was lost stay where a run ended without it
        _engine(root),
    )


def cancel(root: Path) -> int:
    """Ask the driver and all workers of a run to stop, and take jobs that wait out of Slurm's queue.

    Jobs at work leave a checkpoint first.

    Returns:
        The number of tasks that were submitted and not over.
    """
    found = _submitted(root)
    write_bytes(Exchange(root / ENGINE).stop, b"")
    if _engine(root) == "slurm":
        require_slurm()
        slurm = Slurm(root / ENGINE)
        slurm.cancel(slurm.waiting(set(found.values())))
    return len(found)


def _engine(root: Path) -> str:
    path = root / ENGINE / "engine.json"
    return str(read_json(path)["engine"]) if is_file(path) else ""


def _submitted(root: Path) -> dict[str, str]:
    """Return the handles of tasks that were submitted and are not over, by the names of their files."""
    sent, notes = root / ENGINE / "sent", root / ENGINE / "note"
    return {path.name: path.read_text(encoding="utf-8") for path in sent.glob("*") if not (notes / path.name).is_file()}
