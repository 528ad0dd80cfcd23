"""Slurm: jobs of an array, each a process that carries out a chunk of tasks."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from time import sleep

from assay.core.errors import SpecError, StoreError
from assay.execution.remote import BusyError, variables

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

    def submit(self, chunks: Sequence[str]) -> list[str]:
        """See `Backend`: arrays of as many jobs as the controller allows in one."""
        handles: list[str] = []
        whole = largest_array() * self.shared
        for start in range(0, len(chunks), whole):
            part = chunks[start : start + whole]
            jobs = -(-len(part) // self.shared)
            most = max(1, self.at_once // self.shared)
            try:
                array = self._submitted(self._script(part), "%A_%a", array=f"0-{jobs - 1}%{most}")
            except StoreError:
                if not handles:
                    raise
                break
            handles += [f"{array}_{n // self.shared}.{n % self.shared}" for n in range(len(part))]
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
        line = " ".join(["exec", self._python(), "-m assay", *map(shlex.quote, arguments)])
        dependency = f"afterany:{':'.join(arrays)}" if arrays else None
        return self._submitted(self._shell(line), "%j", dependency=dependency)

    def _submitted(self, script: str, log: str, **more: object) -> str:
        logs = self.folder / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        options = {
            **more,
            "job-name": "assay",
            "output": logs / f"{log}.txt",
            "open-mode": "append",
            "exclude": ",".join(sorted(self.avoided)) or None,
            **self.options,
        }
        given = [f"--{name}={value}" for name, value in options.items() if value is not None]
        done = _called(["sbatch", "--parsable", "--requeue", *given, *self.extra], script)
        if done.returncode:
            text = done.stderr.strip() or done.stdout.strip()
            if self.avoided:
                text += f" (nodes of another kind are avoided: {', '.join(sorted(self.avoided))})"
            raise (BusyError if any(sign in text for sign in _BUSY) else StoreError)(f"Slurm refused the jobs: {text}")
        return done.stdout.strip().partition(";")[0]

    def _python(self) -> str:
        return f"{self.container} python" if self.container else shlex.quote(sys.executable)

    def _shell(self, *lines: str) -> str:
        exports = [f"export {name}={value}" for name, value in variables().items()]
        return "\n".join(["#!/bin/sh", *self.setup, *exports, *lines, ""])

    def _script(self, chunks: Sequence[str]) -> str:
        names = " ".join(map(shlex.quote, chunks))
        call = f"{self._python()} -m assay.execution.remote {shlex.quote(str(self.folder.absolute()))}"
        picked = f"set -- {names}\nshift $((SLURM_ARRAY_TASK_ID * {self.shared}))"
        if self.shared == 1:
            return self._shell(picked, f'exec {call} "$1"')
        each = f'for i in $(seq {self.shared}); do [ $# -eq 0 ] || {{ {call} "$1" & shift; }}; done'
        return self._shell(picked, each, "wait")

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
        jobs = {line.strip() for line in done.stdout.splitlines()}
        return {handle for handle in handles if _job(handle) in jobs}

    def cancel(self, handles: Collection[str]) -> None:
        """See `Backend`."""
        if handles:
            _called(["scancel", *sorted(set(map(_job, handles)))])

    def avoid(self, host: str) -> bool:
        """See `Backend`."""
        self.avoided.add(host)
        return True

    def log(self, handle: str) -> str:
        """See `Backend`."""
        path = self.folder / "logs" / f"{_job(handle)}.txt"
        return path.read_text(encoding="utf-8", errors="replace")[-_TAIL:] if path.is_file() else ""


def _job(handle: str) -> str:
    return handle.partition(".")[0]


@cache
def largest_array() -> int:
    """Return the most jobs of an array; Slurm's default where it does not say."""
    found = re.search(r"MaxArraySize\s*=\s*(\d+)", _called(["scontrol", "show", "config"]).stdout)
    return int(found[1]) if found else 1001


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
    except FileNotFoundError as error:
        return subprocess.CompletedProcess(command, 1, "", f"{error.filename} is not here")
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 1, "", f"{command[0]} did not answer in {_PATIENCE} s")
