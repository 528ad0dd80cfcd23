"""Worker processes of a fixed number of threads: hired, given jobs, heard, asked to stop, dismissed.

They need pipes alone. The locks and events of `multiprocessing` are semaphores in shared memory, which some containers
and clusters do not let a process make.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from multiprocessing.resource_tracker import ensure_running

from assay.execution.memory import KEEP_MEMORY
from assay.execution.tasks import Context, Job, Stopped, Task, describe

REPORT_EVERY = 0.25
ASKS_TO_STOP = (signal.SIGINT, signal.SIGTERM)
"""A terminal and a scheduler send them to the whole process group; what they ask for is the parent's to carry out."""
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class Stop:
    """Asks all workers to stop: a pipe that nobody reads, so that what is sent once is seen by each of them."""

    def __init__(self) -> None:
        self.seen_by_workers, self._ours = multiprocessing.get_context("spawn").Pipe(duplex=False)
        self._set = False

    def set(self) -> None:
        """Ask. May be called within a signal handler, and again."""
        if not self._set:
            self._set = True
            self._ours.send_bytes(b"stop")

    def is_set(self) -> bool:
        """Whether workers were asked."""
        return self._set

    def close(self) -> None:
        """Free the pipe once the workers are gone."""
        self._ours.close()
        self.seen_by_workers.close()


@dataclass
class Worker:
    """A worker process, the pipe to it, and what it is doing."""

    process: SpawnProcess
    pipe: Connection
    task: Task | None = None

    def receive(self) -> object:
        """Its next message; None when it is dead."""
        try:
            return self.pipe.recv()
        except (EOFError, OSError):
            return None

    def exit_code(self) -> int | None:
        """How it ended; None where it has not."""
        self.process.join(5)
        return self.process.exitcode


class Crew:
    """The worker processes: idle ones are used again, dead ones are replaced."""

    def __init__(self, threads: int, stop: Stop) -> None:
        self.threads = threads
        self.stop = stop
        self.busy: list[Worker] = []
        self.idle: list[Worker] = []
        self.killed = False

    def give(self, task: Task, job: bytes) -> None:
        """Hand a pickled job to an idle worker that lives, else to a new one."""
        worker = self._send_to_idle(job)
        if worker is None:
            worker = self._hire()
            with suppress(OSError):  # one that is dead already is heard of as such
                worker.pipe.send_bytes(job)
        worker.task = task
        self.busy.append(worker)

    def _send_to_idle(self, job: bytes) -> Worker | None:
        while self.idle:
            worker = self.idle.pop()
            try:
                worker.pipe.send_bytes(job)
            except OSError:  # it died while it waited
                worker.pipe.close()
                continue
            return worker
        return None

    def ready(self) -> list[Worker]:
        """Busy workers that have something to say, after at most a second."""
        pipes = wait([worker.pipe for worker in self.busy], timeout=1.0)
        return [worker for worker in self.busy if worker.pipe in pipes]

    def free(self, worker: Worker) -> None:
        """Its task is over."""
        self.busy.remove(worker)
        worker.task = None
        if worker.process.is_alive():
            self.idle.append(worker)

    def kill(self) -> None:
        """End all of them at once."""
        self.killed = True
        for worker in (*self.busy, *self.idle):
            worker.process.kill()

    def dismiss(self) -> None:
        """Let all of them end, and end those that do not."""
        for worker in (*self.busy, *self.idle):
            worker.pipe.close()
        for worker in (*self.busy, *self.idle):
            worker.process.join(5)
            if worker.process.is_alive():
                worker.process.kill()

    def _hire(self) -> Worker:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_work, args=(theirs, self.stop.seen_by_workers), daemon=True)
        with _environment({**dict.fromkeys(THREAD_VARIABLES, str(self.threads)), **KEEP_MEMORY}), _undisturbed():
            process.start()
        theirs.close()
        return Worker(process, ours)


def _work(pipe: Connection, stop: Connection) -> None:
    """What a worker process does until its pipe closes."""
    for number in ASKS_TO_STOP:
        signal.signal(number, signal.SIG_IGN)  # the parent decides what it means
    _die_with_parent()
    last = 0.0

    def report(share: float, text: str) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= REPORT_EVERY or share >= 1:
            last = now
            pipe.send(("progress", float(share), text))

    while True:
        try:
            sent = pipe.recv_bytes()
        except (EOFError, OSError):
            return
        start = time.monotonic()
        try:
            job: Job = pickle.loads(sent)
            job(Context(report, stop.poll))
        except Stopped:
            pipe.send(("stopped",))
        except Exception as error:
            pipe.send(("failed", describe(error), time.monotonic() - start))
        else:
            pipe.send(("done", time.monotonic() - start))


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def _environment(values: dict[str, str]) -> Generator[None]:
    """Variables that a child process inherits: thread pools read them once, when they are first loaded."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def _undisturbed() -> Generator[None]:
    """Signals wait: a process that is started meanwhile has them blocked until it ignores them."""
    ensure_running()  # this helper of multiprocessing unblocks signals when it begins, else with the first process
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ASKS_TO_STOP)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
