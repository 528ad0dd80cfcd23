"""Tasks for an executor; each names the tasks that it needs. The executor is independent of their content."""

from __future__ import annotations

import heapq
import traceback
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from assay.core.errors import AssayError


class Stopped(Exception):
    """A job was asked to stop and has left a checkpoint."""


@dataclass(frozen=True)
class Context:
    """Interface of a running job to its executor.

    Attributes:
        report: Called with the progress, a share from 0 to 1, and a word.
        should_stop: Returns whether the job should leave a checkpoint and stop.
    """

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
        rank: Of ready tasks those of the lowest rank come first, and within it the longest.
        is_half_done: Whether it has left a checkpoint. Within a rank it comes before those that have not begun, so that
            a run in several sittings finishes what it has begun.
        counted: Unit of counting, as written after a number.
        unit: Id of the unit that its failure is kept under, where it is another than its own.
        remote: Whether its job can be sent to another process. One of a model in memory cannot.
    """

    id: str
    job: Job
    label: str
    needs: tuple[str, ...] = ()
    cost: float = 1.0
    rank: int = 0
    is_half_done: bool = False
    counted: str = "tasks done"
    unit: str = ""
    remote: bool = True


Status = Literal["started", "progress", "done", "failed", "skipped"]


@dataclass(frozen=True, slots=True)
class Event:
    """A change in the state of a task. `share` is 0..1; `text` is a progress word, or the traceback of a failure."""

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

    def add(self, other: Outcome) -> None:
        """Add the outcome of further tasks."""
        self.done += other.done
        self.failed |= other.failed
        self.skipped += other.skipped
        self.stopped |= other.stopped


class Executor(Protocol):
    """Runs tasks whose needs are met until none is left. A failed task's dependents are skipped, the rest go on."""

    def run(self, tasks: Sequence[Task], observe: Observer) -> Outcome:
        """Run all that can be run and report events to the observer.

        Raises FullError at the first task that finds no room to write: the others would be lost like it.
        """
        ...


def with_needs(ids: Collection[str], tasks: Sequence[Task]) -> set[str]:
    """Return ids of tasks with those of all tasks that they need, directly or not."""
    by_id = {task.id: task for task in tasks}
    needed, frontier = set[str](), {id for id in ids if id in by_id}
    while frontier:
        needed |= frontier
        frontier = {need for id in frontier for need in by_id[id].needs if need in by_id} - needed
    return needed


def turn(task: Task) -> tuple[int, bool, float, str]:
    """Sort key of ready tasks: the lowest comes first."""
    return task.rank, not task.is_half_done, -task.cost, task.id


@dataclass
class Queue:
    """Tasks by their state. Of ready tasks of a rank the longest come first, so that no worker ends much later.

    Attributes:
        tasks: All tasks, by id.
        waiting: Ids of tasks that were neither taken nor skipped.
        finished: Ids of tasks that are done.
    """

    tasks: dict[str, Task]
    waiting: set[str]
    finished: set[str]
    _after: dict[str, list[str]] = field(default_factory=dict[str, list[str]], init=False)
    _ready: list[tuple[tuple[int, bool, float, str], str]] = field(
        default_factory=list[tuple[tuple[int, bool, float, str], str]], init=False
    )

    def __post_init__(self) -> None:
        """Find the tasks that need each one, and those that are ready."""
        for task in self.tasks.values():
            for need in task.needs:
                self._after.setdefault(need, []).append(task.id)
        self._ready = [(turn(task), task.id) for task in self.tasks.values() if self._met(task)]
        heapq.heapify(self._ready)

    @classmethod
    def of(cls, tasks: Iterable[Task]) -> Queue:
        """Return a queue over tasks; a need that is not among them is taken as met."""
        table = {task.id: task for task in tasks}
        return cls(table, set(table), set())

    def take(self) -> Task | None:
        """Return the next ready task, or None when none is ready now."""
        while self._ready:
            _, id = heapq.heappop(self._ready)
            if id in self.waiting:
                self.waiting.discard(id)
                return self.tasks[id]
        return None

    def take_chunk(self, seconds: float) -> list[Task]:
        """Take tasks that one process can carry out in order, worth at least so many seconds while there are any.

        A task comes with those that need nothing else, as the probes of a trial do.
        """
        chunk: list[Task] = []
        ids: set[str] = set()
        seconds_in_chunk = 0.0
        while (not chunk or seconds_in_chunk < seconds) and (task := self.take()) is not None:
            new = len(chunk)
            self._add(chunk, ids, task)
            seconds_in_chunk += sum(added.cost for added in chunk[new:])
        return chunk

    def _add(self, chunk: list[Task], ids_of_chunk: set[str], task: Task) -> None:
        """Add a task to a chunk, with those that need nothing that is neither there nor finished."""
        ids = [task.id]
        while ids:
            id = heapq.heappop(ids)
            if id == task.id or (id in self.waiting and self._met(self.tasks[id], ids_of_chunk)):
                self.waiting.discard(id)
                chunk.append(self.tasks[id])
                ids_of_chunk.add(id)
                for dependent in self._after.get(id, ()):
                    heapq.heappush(ids, dependent)

    def waiting_cost(self) -> float:
        """Return the expected seconds of the tasks that wait."""
        return sum(self.tasks[id].cost for id in self.waiting)

    def again(self, id: str) -> None:
        """Return a task that was taken: it waits again."""
        self.waiting.add(id)
        if self._met(self.tasks[id]):
            heapq.heappush(self._ready, (turn(self.tasks[id]), id))

    def finish(self, id: str) -> None:
        """Record a finished task; tasks that need it may start."""
        self.finished.add(id)
        for dependent in self._after.get(id, ()):
            if dependent in self.waiting and self._met(self.tasks[dependent]):
                heapq.heappush(self._ready, (turn(self.tasks[dependent]), dependent))

    def fail(self, id: str) -> list[Task]:
        """Remove the tasks that need a failed task, directly or not, and return them."""
        skipped: list[Task] = []
        dependents = {id}
        while dependents := {
            dependent for name in dependents for dependent in self._after.get(name, ()) if dependent in self.waiting
        }:
            self.waiting -= dependents
            skipped += [self.tasks[name] for name in sorted(dependents)]
        return skipped

    def _met(self, task: Task, ids: Collection[str] = ()) -> bool:
        return all(need in self.finished or need in ids or need not in self.tasks for need in task.needs)


def finish_task(queue: Queue, outcome: Outcome, observe: Observer, task: Task, seconds: float) -> None:
    """Record a finished task in queue and outcome, and report it; tasks that need it may start."""
    queue.finish(task.id)
    outcome.done.append(task.id)
    observe(Event("done", task, 1.0, "", seconds))


def fail_task(queue: Queue, outcome: Outcome, observe: Observer, task: Task, text: str, seconds: float) -> None:
    """Record a failed task in outcome, report it, and skip those that need it, directly or not."""
    outcome.failed[task.id] = text
    observe(Event("failed", task, 0.0, text, seconds))
    for skipped in queue.fail(task.id):
        outcome.skipped.append(skipped.id)
        observe(Event("skipped", skipped, 0.0, f"needs {task.label}, which failed"))
