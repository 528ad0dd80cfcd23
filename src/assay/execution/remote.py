"""Run tasks by an engine that starts processes elsewhere, over a folder that all of them share.

Files of the folder decide, never the engine: a task is done when its worker has left a note. A task whose process is
gone without a note is lost, and submitted again.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import pickle
import platform
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

from assay.core.errors import DISTRIBUTION, FullError, StoreError
from assay.core.files import write_bytes
from assay.execution.local import KEEP_MEMORY, STOP_SIGNALS, THREAD_VARIABLES, on_signals
from assay.execution.tasks import (
    Context,
    Event,
    Observer,
    Outcome,
    Queue,
    Stopped,
    Task,
    describe,
    fail_task,
    finish_task,
)
from assay.spec.document import mapping_of
from assay.stats.format import count
from assay.store.files import read_json, write_json

ENGINE = "engine"
"""Folder of a run folder that driver and workers share."""
MAX_TRIES = 4
"""A task is submitted so often before it counts as failed: it may be lost three times."""
MIN_ADVANCE = 0.05
"""A lost task that came this share of its work further than before counts as no loss."""
_REPORT_EVERY = 5.0
_LOG_TAIL = 2000
_LONGEST_HANDLE, _LONGEST_PROGRESS = 200, 2**16
_OF_NOTE = {"status": str, "text": str, "seconds": float, "host": str}
_NOT_WRITTEN = "no Assay wrote it; delete it"


class BusyError(StoreError):
    """An engine takes no jobs for now: its controller does not answer, or as many are queued as it allows."""


class Backend(Protocol):
    """An engine. A handle names one of its jobs, which carries out a chunk of tasks in order.

    Attributes:
        name: Its name, as `--on` has it.
        chunk: Seconds of work of a job, at least and at most.
        asked_every: Seconds between two polls, at least: an engine of many users is asked rarely.
        at_once: The most jobs that are submitted and not over.
    """

    name: str
    chunk: tuple[float, float]
    asked_every: float
    at_once: int

    def submit(self, chunks: Sequence[str]) -> list[str]:
        """Submit one job per chunk, which calls `work(folder, chunk)`; return their handles, in order.

        They are fewer than the chunks where the engine took the first of them alone.

        Raises:
            BusyError: The engine takes no jobs for now.
            StoreError: It refuses all of them.
        """
        ...

    def poll(self, handles: Collection[str]) -> set[str]:
        """Return those that are queued or running; all of them while the engine does not answer."""
        ...

    def waiting(self, handles: Collection[str]) -> set[str]:
        """Return those that have not begun and can be taken back; none where they begin at once."""
        return set()

    def foreign(self, handles: Collection[str]) -> tuple[set[str], set[str]]:
        """Return those that work for another folder, and those of which that cannot be said.

        A file of a folder can hold the number of any job.
        """
        return set(), set()

    def rest(self, handles: Collection[str], seconds: float) -> None:
        """Wait before the next poll; shorter where the engine announces the end of a job."""
        ...

    def cancel(self, handles: Collection[str]) -> None:
        """End jobs, queued or running."""
        ...

    def avoid(self, host: str) -> bool:
        """Send no further job to a machine; return whether the engine can do that."""
        return False

    def log(self, handle: str) -> str:
        """Return the end of what a job printed; empty where nothing was kept."""
        return ""


# The folder that driver and workers share.


@dataclass(frozen=True)
class Exchange:
    """Files between a driver and its workers."""

    root: Path

    @property
    def stop(self) -> Path:
        """Its presence asks all workers to leave a checkpoint and stop."""
        return self.root / "stop"

    @property
    def environment(self) -> Path:
        """Versions that workers must have."""
        return self.root / "environment.json"

    def of(self, task: str, kind: str) -> Path:
        """Return a file of a task: its `note` when it is over, its `sent` handle, or its `progress`."""
        return self.root / kind / quote(task, safe="")

    def chunk(self, name: str) -> Path:
        """Return the file of the tasks of a job: the name of each, those that it needs, and itself."""
        return self.root / "chunks" / name

    def note(self, task: str) -> dict[str, Any] | None:
        """Return how a task ended; None while it has not."""
        path = self.of(task, "note")
        if not path.is_file():
            return None
        note = mapping_of(read_json(path)) or {}
        if not all(isinstance(note.get(key), kind) for key, kind in _OF_NOTE.items()):
            raise StoreError(f"cannot read {path}: {_NOT_WRITTEN}")
        return dict(note)

    def sent(self, task: str) -> str:
        """Return the handle of the job that a task was last submitted with; empty where it was not."""
        path = self.of(task, "sent")
        try:
            with path.open(encoding="utf-8") as file:
                handle = file.read(_LONGEST_HANDLE + 1)
        except FileNotFoundError:
            return ""
        except UnicodeDecodeError as error:
            raise StoreError(f"cannot read {path}: {_NOT_WRITTEN}") from error
        if len(handle) > _LONGEST_HANDLE or not re.fullmatch(r"[\w.]*", handle, re.ASCII):
            raise StoreError(f"cannot read {path}: {_NOT_WRITTEN}")
        return handle


@cache
def required_versions() -> dict[str, str]:
    """Return what has to be equal on all machines for equal results."""
    import torch  # `assay status` needs this module, and not PyTorch

    return {
        "python": platform.python_version(),
        DISTRIBUTION: version(DISTRIBUTION),
        "torch": torch.__version__,
        "machine": platform.machine(),
        "processor": torch.backends.cpu.get_cpu_capability(),
    }


def _write_note(path: Path, value: object) -> None:
    """Write JSON that may be lost when a machine goes down: what it says is found out once more."""
    write_bytes(path, json.dumps(value).encode(), flush=False)


SentTask = tuple[str, tuple[str, ...], bytes]
"""A task as a worker gets it: its id, the ids that it needs, its pickled job."""


# The worker.


def work(root: Path, chunk: str) -> None:
    """Carry out the tasks of a chunk in order and leave a note of each. One whose need failed here is passed over.

    Raises:
        StoreError: The file of the chunk is not the one that was submitted. Nothing of it is carried out.
    """
    exchange = Exchange(root)
    tasks: list[SentTask] = pickle.loads(_submitted_content(exchange.chunk(chunk)))
    difference = _difference(exchange)
    if difference:
        for id, _, _ in tasks:
            note = {"status": "elsewhere", "text": difference, "seconds": 0.0, "host": platform.node()}
            _write_note(exchange.of(id, "note"), note)
        return
    ended: set[str] = set()
    preempted = threading.Event()
    with on_signals((signal.SIGTERM, signal.SIGUSR1), preempted.set):  # they announce an end
        for id, needs, job in tasks:
            if ended & set(needs):
                ended.add(id)
                continue
            if preempted.is_set():
                return
            if not exchange.of(id, "note").is_file():
                _carry_out(exchange, id, job, preempted)
            note = exchange.note(id)
            if note is None or note["status"] != "done":
                ended.add(id)


def _chunk_name(number: int, content: bytes) -> str:
    """Return the name of a chunk: it ends with the SHA-256 of its content, and the engine holds it with the job."""
    return f"{time.time_ns()}-{number}-{hashlib.sha256(content).hexdigest()}.pickle"


def _submitted_content(path: Path) -> bytes:
    """Read a chunk once. Raises StoreError where its content is not that of its name, which is the engine's."""
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != path.stem.rpartition("-")[2]:
        raise StoreError(f"{path} was changed after it was submitted: nothing of it is run")
    return content


def _difference(exchange: Exchange) -> str:
    required, versions = read_json(exchange.environment), required_versions()
    different = [
        f"{name} {versions.get(name)} in place of {required[name]}"
        for name in required
        if versions.get(name) != required[name]
    ]
    return f"{platform.node()} has {', '.join(different)}: results would not be equal" if different else ""


def _carry_out(exchange: Exchange, id: str, job: bytes, preempted: threading.Event) -> None:
    start, last_report = time.monotonic(), 0.0

    def report(share: float, text: str) -> None:
        nonlocal last_report
        if time.monotonic() - last_report >= _REPORT_EVERY:
            last_report = time.monotonic()
            with suppress(StoreError):  # a word about progress is worth no trial
                _write_note(exchange.of(id, "progress"), {"share": float(share), "text": text})

    context = Context(report, _asked_to_stop(exchange, preempted))
    status, text = "done", ""
    try:
        pickle.loads(job)(context)
    except Stopped:
        if preempted.is_set():  # no note: it is lost, and goes on from its checkpoint elsewhere
            return
        status = "stopped"
    except FullError as error:
        status, text = "full", str(error)
    except (Exception, SystemExit) as error:
        status, text = "failed", describe(error)
    seconds = time.monotonic() - start
    _write_note(exchange.of(id, "note"), {"status": status, "text": text, "seconds": seconds, "host": platform.node()})


def _asked_to_stop(exchange: Exchange, preempted: threading.Event) -> Callable[[], bool]:
    """Return a check that looks into the shared folder once a second at most."""
    last_check, is_stopped = 0.0, False

    def should_stop() -> bool:
        nonlocal last_check, is_stopped
        if not is_stopped and time.monotonic() - last_check >= 1.0:
            last_check, is_stopped = time.monotonic(), exchange.stop.exists()
        return is_stopped or preempted.is_set()

    return should_stop


def variables(threads: int = 1) -> dict[str, str]:
    """Return environment variables of a worker process, as local ones have them."""
    return {**dict.fromkeys(THREAD_VARIABLES, str(threads)), **KEEP_MEMORY}


# The driver: one loop for all engines.


@dataclass
class Remote:
    """An `Executor` of an engine. A driver that died is continued by the same command, which adopts its jobs.

    Attributes:
        backend: The engine.
        root: `ENGINE` of the run folder.
        interval: Seconds between looks at notes and engine.
        detached: Submit what is ready, and leave it to a later driver.
        grace: Seconds that a shared file system may take to show a note after a job is gone.
        on_interrupt: Called at the first interrupt, within a signal handler.
    """

    backend: Backend
    root: Path
    interval: float = 2.0
    grace: float = 10.0
    on_interrupt: Callable[[], None] | None = None
    detached: bool = False
    _sent: dict[str, str] = field(default_factory=dict[str, str], init=False)
    _losses: dict[str, int] = field(default_factory=dict[str, int], init=False)
    _absent_since: dict[str, float] = field(default_factory=dict[str, float], init=False)
    _blamed: set[str] = field(default_factory=set[str], init=False)
    _chunks: int = field(default=0, init=False)
    _accepted: bool = field(default=False, init=False)
    _ended_jobs: set[str] = field(default_factory=set[str], init=False)
    _withdrawn: bool = field(default=False, init=False)
    _last_poll: float = field(default=-math.inf, init=False)
    _reached: dict[str, float] = field(default_factory=dict[str, float], init=False)
    _took: float = field(default=0.0, init=False)
    _expected: float = field(default=0.0, init=False)

    @property
    def handles(self) -> set[str]:
        """Handles of the jobs that are submitted and not known to be over."""
        return set(self._sent.values())

    def run(self, tasks: Sequence[Task], observe: Observer) -> Outcome:
        """See `Executor`."""
        exchange, queue, outcome = Exchange(self.root), Queue.of(tasks), Outcome()
        exchange.stop.unlink(missing_ok=True)
        write_json(exchange.environment, required_versions())
        write_json(self.root / "engine.json", {"engine": self.backend.name})
        self._adopt(exchange, queue, observe)
        if self.detached:
            self._submit(exchange, queue, outcome, observe)
            outcome.stopped = bool(self._sent)
            return outcome
        killed = threading.Event()

        def is_interrupted() -> None:  # first workers are asked to stop, then they are ended
            if exchange.stop.exists():
                killed.set()
                return
            exchange.stop.touch()
            if self.on_interrupt is not None:
                self.on_interrupt()

        with on_signals(STOP_SIGNALS, is_interrupted):
            while self._sent or (queue.waiting and not exchange.stop.exists()):
                busy = not exchange.stop.exists() and not self._submit(exchange, queue, outcome, observe)
                if exchange.stop.exists():  # jobs at work leave a checkpoint; others could wait for days to do so
                    self._withdraw(outcome)
                if killed.is_set():
                    self.backend.cancel(self.handles)
                    break
                self._check_jobs(exchange, queue, outcome, observe)
                if busy:
                    time.sleep(self.interval)
                elif self._sent:
                    self.backend.rest(self._sent.values(), self.interval)
        outcome.stopped = exchange.stop.exists() and bool(queue.waiting or self._sent or outcome.stopped)
        return outcome

    def _adopt(self, exchange: Exchange, queue: Queue, observe: Observer) -> None:
        """Take over jobs of an earlier driver that the engine still has; forget all others."""
        earlier = {id: handle for id in queue.tasks if (handle := exchange.sent(id))}
        alive = self.backend.poll(set(earlier.values())) if earlier else set[str]()
        foreign, unseen = self.backend.foreign(alive)
        alive -= foreign
        self._warn_of(
            earlier,
            foreign,
            "submitted again: their jobs write logs to another folder, as after a copy of "
            "a run folder, so that they do not work for this one",
        )
        self._warn_of(
            earlier,
            unseen,
            "not submitted again: their jobs write logs to a folder of the same name that "
            "is not visible here, and are taken for jobs of this one",
        )
        for id in queue.tasks:
            note = exchange.note(id)
            if earlier.get(id) in alive and (note is None or note["status"] == "done"):
                queue.waiting.discard(id)
                self._sent[id] = earlier[id]
                observe(Event("started", queue.tasks[id]))
            else:
                for kind in ("note", "sent"):
                    exchange.of(id, kind).unlink(missing_ok=True)

    def _warn_of(self, earlier: Mapping[str, str], handles: Collection[str], text: str) -> None:
        """Say in one line what becomes of tasks of some jobs of an earlier driver."""
        from assay.execution.progress import warn  # workers need this module, and no terminal

        if jobs := [handle for handle in earlier.values() if handle in handles]:
            warn(f"{count(len(jobs), 'task')} of {self.root} {text} (first job: {min(jobs).partition('.')[0]})")

    def _submit(self, exchange: Exchange, queue: Queue, outcome: Outcome, observe: Observer) -> bool:
        """Submit what there is room for; return whether the engine took it.

        Raises:
            StoreError: The engine refuses jobs, or is busy before it took any.
        """
        chunks: list[list[SentTask]] = []
        room = math.inf if self.detached else self.backend.at_once - len(self.handles)
        seconds = self._chunk_cost(queue)
        while len(chunks) < room and (chunk := queue.take_chunk(seconds)):
            if sendable := [sent for task in chunk if (sent := self._pack_task(queue, outcome, observe, task))]:
                chunks.append(sendable)
        if not chunks:
            return True
        names = [self._write_chunk(exchange, chunk) for chunk in chunks]
        try:
            handles = self.backend.submit(names)
        except BusyError:
            if not self._accepted:
                raise
            handles = list[str]()
        for name, chunk in zip(names[len(handles) :], chunks[len(handles) :], strict=True):
            exchange.chunk(name).unlink()
            for id, _, _ in chunk:
                queue.again(id)
        for chunk, handle in zip(chunks, handles, strict=False):
            for id, _, _ in chunk:
                write_bytes(exchange.of(id, "sent"), handle.encode(), flush=False)
                self._sent[id] = handle
                observe(Event("started", queue.tasks[id]))
        self._accepted = self._accepted or bool(handles)
        return len(handles) == len(chunks)

    def _chunk_cost(self, queue: Queue) -> float:
        """Return the expected cost of the next chunk, by what tasks that are done took for theirs."""
        pace = self._took / self._expected if self._expected else 1.0
        return chunk_seconds(self.backend.chunk, queue.waiting_cost() * pace, self.backend.at_once) / max(pace, 1e-6)

    def _withdraw(self, outcome: Outcome) -> None:
        """Take jobs that wait out of the queue."""
        if self._withdrawn and time.monotonic() - self._last_poll < self.backend.asked_every:
            return
        self._withdrawn = True
        waiting = self.backend.waiting(self.handles)
        try:
            self.backend.cancel(waiting)
        except BusyError:  # it is asked again
            return
        for id in [id for id, handle in self._sent.items() if handle in waiting]:
            self._forget(id)
            outcome.stopped = True

    def _pack_task(self, queue: Queue, outcome: Outcome, observe: Observer, task: Task) -> SentTask | None:
        try:
            return task.id, task.needs, pickle.dumps(task.job)
        except Exception as error:
            fail_task(queue, outcome, observe, task, f"this job cannot be sent: {describe(error)}", 0.0)
            return None

    def _write_chunk(self, exchange: Exchange, chunk: Sequence[SentTask]) -> str:
        self._chunks += 1
        content = pickle.dumps(chunk)
        name = _chunk_name(self._chunks, content)
        write_bytes(exchange.chunk(name), content, flush=False)
        return name

    def _check_jobs(self, exchange: Exchange, queue: Queue, outcome: Outcome, observe: Observer) -> None:
        if time.monotonic() - self._last_poll >= self.backend.asked_every:
            self._last_poll = time.monotonic()
            self._ended_jobs = self.handles - self.backend.poll(self.handles)
        for id in list(self._sent):
            task = queue.tasks[id]
            if id not in self._sent:  # it was passed over, since it needs one that failed
                continue
            if note := exchange.note(id):
                self._end_task(exchange, task, note, queue, outcome, observe)
            elif self._sent[id] not in self._ended_jobs:
                self._absent_since.pop(id, None)
                _progress(exchange, task, observe)
            elif time.monotonic() - self._absent_since.setdefault(id, time.monotonic()) >= self.grace:
                self._resubmit(exchange, task, queue, outcome, observe)

    def _end_task(
        self, exchange: Exchange, task: Task, note: dict[str, Any], queue: Queue, outcome: Outcome, observe: Observer
    ) -> None:
        match note["status"]:
            case "done":
                self._forget(task.id)
                self._took, self._expected = self._took + note["seconds"], self._expected + task.cost
                finish_task(queue, outcome, observe, task, note["seconds"])
            case "elsewhere" if self.backend.avoid(note["host"]):
                self._forget(task.id)
                exchange.of(task.id, "note").unlink(missing_ok=True)
                queue.again(task.id)
            case "stopped":
                self._resubmit(exchange, task, queue, outcome, observe)
            case "full":
                try:
                    self.backend.cancel(self.handles)
                except StoreError as error:  # the disk is full all the same
                    raise FullError(f"{note['text']}; {error}") from error
                raise FullError(note["text"])
            case _:
                self._fail_task(task, note["text"], note["seconds"], queue, outcome, observe)

    def _resubmit(self, exchange: Exchange, task: Task, queue: Queue, outcome: Outcome, observe: Observer) -> None:
        """Submit a task again that was lost, or stopped for an earlier driver; or give it up."""
        handle = self._sent[task.id]
        self._forget(task.id)
        if exchange.stop.exists():
            outcome.stopped = True
            return
        first = handle not in self._blamed  # its process ended in the first task of the chunk that has no note
        self._blamed.add(handle)
        share, before = _progress(exchange, task), self._reached.get(task.id, 0.0)
        advanced = share >= before + MIN_ADVANCE  # as one does that is out of time, and goes on from its checkpoint
        self._reached[task.id] = share if advanced else before
        self._losses[task.id] = self._losses.get(task.id, 0) + (first and not advanced)
        if self._losses[task.id] < MAX_TRIES:
            exchange.of(task.id, "note").unlink(missing_ok=True)
            queue.again(task.id)
            return
        end = self.backend.log(handle)[-_LOG_TAIL:].strip()
        text = f"{self.backend.name} lost this task {MAX_TRIES} times (killed, out of memory or out of time)"
        self._fail_task(task, f"{text}; its log ends with:\n{end}" if end else text, 0.0, queue, outcome, observe)

    def _fail_task(
        self, task: Task, text: str, seconds: float, queue: Queue, outcome: Outcome, observe: Observer
    ) -> None:
        """Fail a task, and skip those that need it, sent along with it or not."""
        self._forget(task.id)
        skipped = {task.id}
        while along := {id for id in self._sent if id not in skipped and skipped & set(queue.tasks[id].needs)}:
            skipped |= along
            for id in along:
                self._forget(id)
                queue.again(id)
        fail_task(queue, outcome, observe, task, text, seconds)

    def _forget(self, id: str) -> None:
        self._sent.pop(id, None)
        self._absent_since.pop(id, None)


def chunk_seconds(bounds: tuple[float, float], work: float, slots: int) -> float:
    """Return the seconds of work of a job, so that all slots have one while there is enough for each."""
    return min(bounds[1], max(bounds[0], work / max(1, slots)))


def _progress(exchange: Exchange, task: Task, observe: Observer = lambda _: None) -> float:
    """Report how far a task is by its worker, and return its share."""
    with suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
        with exchange.of(task.id, "progress").open("rb") as file:
            progress = json.loads(file.read(_LONGEST_PROGRESS))
        observe(Event("progress", task, float(progress["share"]), str(progress["text"])))
        return float(progress["share"])
    return 0.0


if __name__ == "__main__":
    os.environ.setdefault("PYTHONFAULTHANDLER", "1")
    work(Path(sys.argv[1]), sys.argv[2])
