"""Tasks for an executor; each names the tasks that it needs. The executor is independent of their content."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from assay.core.errors import AssayError


class Stopped(Exception):
    """A job was asked to stop and has left a checkpoint."""


@dataclass(frozen=True)
class Context:
    """Interface for a running job: tell how far it is (a share of 0..1 and a word), and see whether it should stop."""

    report: Callable[[float, str], None]
    should_stop: Callable[[], bool]


def describe(error: Exception | SystemExit) -> str:
    """Return the sentence of an expected error, the traceback of an unexpected one."""
    if isinstance(error, AssayError):
        return str(error)
    text = "".join(traceback.format_exception(error))
    if isinstance(error, SystemExit):
        return f"{text}code that the study names called sys.exit({error.code!r}), which ends the trial\n"
    return text


class Job(Protocol):
    """Picklable. Leaves a complete record or raises; run again, it continues or does nothing."""

    def __call__(self, context: Context) -> None:
        """Do the work."""
        ...


@dataclass(frozen=True)
class Task:
    """One job with its name, its prerequisites, and its expected cost in seconds.

    Attributes:
        first: It comes before all that is not, when both are ready.
        counted: Unit of counting, as written after a number.
    """

    id: str
    job: Job
    label: str
    needs: tuple[str, ...] = ()
    cost: float = 1.0
    first: bool = False
    counted: str = "tasks done"


Status = Literal["started", "progress", "done", "failed", "skipped"]


@dataclass(frozen=True, slots=True)
class Event:
    """Something happened to a task. `share` is 0..1; `text` is a progress word, or the traceback of a failure."""

    status: Status
    task: Task
    share: float = 0.0
    text: str = ""
    seconds: float = 0.0


Observer = Callable[[Event], None]


@dataclass
class Outcome:
    """How a run ended. `stopped` when it was interrupted before all tasks were tried."""

    done: list[str] = field(default_factory=list[str])
    failed: dict[str, str] = field(default_factory=dict[str, str])
    skipped: list[str] = field(default_factory=list[str])
    stopped: bool = False


class Executor(Protocol):
    """Runs tasks whose needs are met until none is left. A failed task's dependants are skipped, the rest go on."""

    def run(self, tasks: Sequence[Task], observe: Observer) -> Outcome:
        """Run all that can be run and report events to the observer.

        Raises FullError at the first task that finds no room to write: the others would be lost like it.
        """
        ...


def turn(task: Task) -> tuple[bool, float, str]:
    """Sort key of ready tasks: the lowest comes first."""
    return not task.first, -task.cost, task.id


@dataclass
class Queue:
    """Which tasks are ready, running and blocked. Longest first, so that the last worker does not wait alone."""

    tasks: dict[str, Task]
    waiting: set[str]
    finished: set[str]

    @classmethod
    def of(cls, tasks: Iterable[Task]) -> Queue:
        """Return a queue over tasks; a need that is not among them is taken as met."""
        table = {task.id: task for task in tasks}
        return cls(table, set(table), set())

    def take(self) -> Task | None:
        """Return the next ready task, or None when none is ready now."""
        ready = [self.tasks[id] for id in self.waiting if self._met(self.tasks[id])]
        if not ready:
            return None
        chosen = min(ready, key=turn)
        self.waiting.discard(chosen.id)
        return chosen

    def take_chunk(self, seconds: float) -> list[Task]:
        """Take tasks that one process can carry out in order, worth at least so many seconds while there are any.

        A task comes with those that need nothing else, as the probes of a trial do.
        """
        chunk: list[Task] = []
        while not chunk or sum(task.cost for task in chunk) < seconds:
            task = self.take()
            if task is None:
                break
            chunk.append(task)
            while after := self._next(chunk):
                self.waiting.discard(after.id)
                chunk.append(after)
        return chunk

    def _next(self, chunk: Sequence[Task]) -> Task | None:
        """Return a waiting task that needs one of a chunk, and nothing that is neither there nor finished."""
        there = {task.id for task in chunk}
        waiting = (self.tasks[id] for id in sorted(self.waiting))
        return next((one for one in waiting if there & set(one.needs) and self._met(one, there)), None)

    def finish(self, id: str) -> None:
        """Record a finished task; tasks that need it may start."""
        self.finished.add(id)

    def fail(self, id: str) -> list[Task]:
        """Return a task failed: take out all that hang on it, directly or not, and return them."""
        lost: list[Task] = []
        gone = {id}
        while blocked := [t for t in self.waiting if gone & set(self.tasks[t].needs)]:
            gone |= set(blocked)
            self.waiting -= gone
            lost += [self.tasks[t] for t in sorted(blocked)]
        return lost

    def _met(self, task: Task, there: Collection[str] = ()) -> bool:
        return all(need in self.finished or need in there or need not in self.tasks for need in task.needs)


def finished(queue: Queue, outcome: Outcome, observe: Observer, task: Task, seconds: float) -> None:
    """Enter a finished task; tasks that need it may start."""
    queue.finish(task.id)
    outcome.done.append(task.id)
    observe(Event("done", task, 1.0, "", seconds))


def failed(queue: Queue, outcome: Outcome, observe: Observer, task: Task, text: str, seconds: float) -> None:
    """Enter a failed task, and skip those that need it, directly or not."""
    outcome.failed[task.id] = text
    observe(Event("failed", task, 0.0, text, seconds))
    for lost in queue.fail(task.id):
        outcome.skipped.append(lost.id)
        observe(Event("skipped", lost, 0.0, f"needs {task.label}, which failed"))
