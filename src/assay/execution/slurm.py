"""Slurm: jobs of an array, each a process that carries out a chunk of tasks."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import sleep

from assay.core.errors import SpecError, StoreError
from assay.execution.remote import BusyError, variables

_PATIENCE = 60
_TAIL = 4000
_BUSY = ("Unable to contact slurm controller", "Socket timed out", "Zero Bytes were transmitted", "temporarily unable",
         "did not answer", "MaxSubmit")  # fmt: skip
"""Parts of what sbatch says where it may take the same jobs later."""


@dataclass(frozen=True)
class Slurm:
    """A `Backend` of sbatch, squeue and scancel. Accounting is not needed.

    Attributes:
        folder: `remote.ENGINE` of the run folder, on a file system that nodes share.
        partition: Partition; None for the default one.
        time: Time limit of a job, as sbatch reads it; None for that of the partition.
        at_once: The most jobs that are queued or running.
        gpus: GPUs of a job.
        cpus: Processor cores of a job.
        chunk_seconds: Seconds of work of a job: a fresh process spends about five seconds on imports.
    """

    folder: Path
    partition: str | None = None
    time: str | None = None
    at_once: int = 200
    gpus: int = 0
    cpus: int = 1
    chunk_seconds: float = 300.0
    name: str = "slurm"

    def submit(self, chunks: Sequence[str]) -> list[str]:
        """See `Backend`: one array.

        Raises:
            BusyError: The controller does not answer, or as many jobs are queued as it allows.
            StoreError: sbatch refused it.
        """
        logs = self.folder / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        options = {
            "array": f"0-{len(chunks) - 1}",
            "job-name": "assay",
            "output": logs / "%A_%a.txt",
            "open-mode": "append",
            "partition": self.partition,
            "time": self.time,
            "cpus-per-task": self.cpus,
            "gpus": self.gpus or None,
        }
        given = [f"--{name}={value}" for name, value in options.items() if value is not None]
        done = _called(["sbatch", "--parsable", "--requeue", *given], self._script(chunks))
        if done.returncode:
            text = done.stderr.strip() or done.stdout.strip()
            raise (BusyError if any(sign in text for sign in _BUSY) else StoreError)(f"Slurm refused the jobs: {text}")
        array = done.stdout.strip().partition(";")[0]
        return [f"{array}_{number}" for number in range(len(chunks))]

    def _script(self, chunks: Sequence[str]) -> str:
        exports = [f"export {name}={value}" for name, value in variables(self.cpus).items()]
        names = " ".join(shlex.quote(chunk) for chunk in chunks)
        call = f"{shlex.quote(sys.executable)} -m assay.execution.remote {shlex.quote(str(self.folder.absolute()))}"
        picked = f'set -- {names}\nshift "$SLURM_ARRAY_TASK_ID"'
        return "\n".join(["#!/bin/sh", *exports, picked, f'exec {call} "$1"', ""])

    def poll(self, handles: Collection[str]) -> set[str]:
        """See `Backend`."""
        found = self._queued(handles)
        return set(handles) if found is None else found

    def waiting(self, handles: Collection[str]) -> set[str]:
        """See `Backend`."""
        return self._queued(handles, "--states=PENDING") or set()

    def rest(self, handles: Collection[str], seconds: float) -> None:
        """See `Backend`."""
        sleep(seconds)

    def _queued(self, handles: Collection[str], *states: str) -> set[str] | None:
        """Return those of these states, by default queued or running; None while Slurm does not answer."""
        if not handles:
            return set()
        arrays = sorted({handle.partition("_")[0] for handle in handles})
        done = _called(["squeue", "--noheader", "--array", "--format=%i", f"--jobs={','.join(arrays)}", *states])
        if done.returncode:  # a single array that is over is an "invalid job id"; others are a controller that is busy
            return set() if "Invalid job id" in done.stderr else None
        return set(handles) & {line.strip() for line in done.stdout.splitlines()}

    def cancel(self, handles: Collection[str]) -> None:
        """See `Backend`."""
        if handles:
            _called(["scancel", *sorted(handles)])

    def log(self, handle: str) -> str:
        """See `Backend`."""
        path = self.folder / "logs" / f"{handle}.txt"
        return path.read_text(encoding="utf-8", errors="replace")[-_TAIL:] if path.is_file() else ""


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


def _called(command: Sequence[str], script: str = "") -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, input=script, capture_output=True, text=True, timeout=_PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 1, "", f"{command[0]} did not answer in {_PATIENCE} s")
