"""Running tasks on this machine: in this process, or in worker processes of one thread each."""

from __future__ import annotations

import pickle
import signal
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from assay.execution.crew import ASKS_TO_STOP, Crew, Stop, Worker
from assay.execution.tasks import Context, Event, Observer, Outcome, Queue, Task, describe


@dataclass
class InProcess:
    """Runs tasks one after another in this process. For tests, debugging and notebooks."""

    def run(self, tasks: Sequence[Task], observe: Observer) -> Outcome:
        """See `Executor`. An interrupt ends the run with `stopped`."""
        queue, outcome = Queue.of(tasks), Outcome()
        while (task := queue.take()) is not None:
            observe(Event("started", task))
            start = time.monotonic()
            try:
                task.job(Context(_reporter(task, observe), lambda: False))
            except KeyboardInterrupt:
                outcome.stopped = True
                break
            except Exception as error:
                _failed(queue, outcome, observe, task, describe(error), time.monotonic() - start)
                continue
            _finished(queue, outcome, observe, task, time.monotonic() - start)
        return outcome


@dataclass
class Workers:
    """Runs tasks in `count` worker processes with `threads` threads each.

    The first interrupt lets every job leave a checkpoint and stop, the second ends the workers at once. A worker that
    dies fails its task alone and is replaced; workers end when this process dies.
    heard: is called at the first interrupt, within a signal handler.
    """

    count: int
    threads: int = 1
    heard: Callable[[], None] | None = None

    def run(self, tasks: Sequence[Task], observe: Observer) -> Outcome:
        """See `Executor`."""
        queue, outcome = Queue.of(tasks), Outcome()
        stop = Stop()
        crew = Crew(self.threads, stop)
        try:
            with _interrupts(stop, crew, self.heard):
                self._loop(queue, outcome, observe, crew, stop)
        finally:
            crew.dismiss()
            stop.close()
        outcome.stopped = stop.is_set() and bool(queue.waiting or outcome.stopped)
        return outcome

    def _loop(self, queue: Queue, outcome: Outcome, observe: Observer, crew: Crew, stop: Stop) -> None:
        while True:
            while len(crew.busy) < self.count and not stop.is_set() and (task := queue.take()) is not None:
                try:
                    job = pickle.dumps(task.job)
                except Exception as error:
                    _failed(queue, outcome, observe, task, f"this job cannot be sent: {describe(error)}", 0.0)
                    continue
                crew.give(task, job)
                observe(Event("started", task))
            if not crew.busy:
                return
            for worker in crew.ready():
                self._hear(worker, queue, outcome, observe, crew)

    def _hear(self, worker: Worker, queue: Queue, outcome: Outcome, observe: Observer, crew: Crew) -> None:
        task = worker.task
        if task is None:
            return
        message = worker.receive()
        match message:
            case ("progress", float(share), str(text)):
                observe(Event("progress", task, share, text))
                return
            case ("done", float(seconds)):
                _finished(queue, outcome, observe, task, seconds)
            case ("stopped",):
                outcome.stopped = True
            case ("failed", str(text), float(seconds)):
                _failed(queue, outcome, observe, task, text, seconds)
            case _:
                if crew.killed:
                    outcome.stopped = True
                else:
                    text = f"the worker process ended with exit code {worker.exit_code()} (out of memory, or killed)"
                    _failed(queue, outcome, observe, task, text, 0.0)
        crew.free(worker)


def _finished(queue: Queue, outcome: Outcome, observe: Observer, task: Task, seconds: float) -> None:
    queue.finish(task.id)
    outcome.done.append(task.id)
    observe(Event("done", task, 1.0, "", seconds))


def _failed(queue: Queue, outcome: Outcome, observe: Observer, task: Task, text: str, seconds: float) -> None:
    outcome.failed[task.id] = text
    observe(Event("failed", task, 0.0, text, seconds))
    for lost in queue.fail(task.id):
        outcome.skipped.append(lost.id)
        observe(Event("skipped", lost, 0.0, f"needs {task.label}, which failed"))


def _reporter(task: Task, observe: Observer) -> Callable[[float, str], None]:
    def report(share: float, text: str) -> None:
        observe(Event("progress", task, share, text))

    return report


@contextmanager
def _interrupts(stop: Stop, crew: Crew, heard: Callable[[], None] | None) -> Generator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupted(_signal: int, _frame: object) -> None:
        if stop.is_set():
            crew.kill()
        elif heard is not None:
            heard()
        stop.set()

    before = {number: signal.signal(number, interrupted) for number in ASKS_TO_STOP}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
