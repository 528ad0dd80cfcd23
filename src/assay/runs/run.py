"""A run of any kind, as two functions, and the driver that carries it out."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pydantic import BaseModel

from assay.core.errors import ReadingError, SpecError
from assay.core.files import content_hash
from assay.execution.tasks import Context, Event, Executor, Observer, Outcome, Task
from assay.report.page import write_page
from assay.store import kinds
from assay.store.files import Row
from assay.store.folder import RunFolder, working_in
from assay.store.kinds import Kind

Tables = Mapping[str, Sequence[Row]]
"""Rows by name of the table."""
Watch = Callable[[Sequence[Task]], AbstractContextManager[Observer]]
"""Given tasks, something to enter that then sees every event."""


class Run(Protocol):
    """A run: which tasks come next, and what follows from their records."""

    @property
    def kind(self) -> Kind:
        """Its kind, by which its folder, tables and page are known."""
        ...

    @property
    def request(self) -> BaseModel:
        """What is asked for."""
        ...

    def next(self, folder: RunFolder) -> Sequence[Task]:
        """Return the tasks that the records of the folder allow and lack; none where everything is read.

        A study and an audit write what is asked for here.
        """
        ...

    def conclude(self, folder: RunFolder) -> Tables:
        """Return the tables of the records. Long ones may be made when they are looked up."""
        ...


@contextmanager
def quietly(_: Sequence[Task]) -> Generator[Observer]:
    """A `Watch` that shows nothing."""
    yield lambda _: None


@dataclass
class Done:
    """How a run ended.

    Attributes:
        page: None where it was interrupted.
    """

    outcome: Outcome
    page: Path | None


def carry_out(run: Run, root: Path, executor: Executor, watch: Watch = quietly) -> Done:
    """Hold a folder and carry out a run in it. A second call goes on where the first ended.

    Raises:
        StoreError: Another run works in the folder, or it holds another kind of run.
    """
    with working_in(root):
        RunFolder(root).remove_partial_files()
        done = carry_out_held(run, RunFolder(root), executor, watch)
        if done.page is not None:
            RunFolder(root).seal()
        return done


def carry_out_held(run: Run, folder: RunFolder, executor: Executor, watch: Watch) -> Done:
    """Carry out a run in a folder that is held: keep the request, run the tasks, write tables and page.

    Whoever holds the folder seals it when all files are written.

    Raises:
        StoreError: The folder holds another kind of run.
    """
    folder.require(run.kind)
    if run.kind not in (kinds.STUDY, kinds.AUDIT):
        _keep_request(run, folder)
    outcome = run_rounds(run, folder, executor, watch)
    if outcome.stopped:
        return Done(outcome, None)
    folder.write_tables(run.conclude(folder))
    return Done(outcome, write_page(folder.root))


def _keep_request(run: Run, folder: RunFolder) -> None:
    values = run.request.model_dump(mode="json")
    folder.begin(run.kind, values, {"request": content_hash(values)})


def run_rounds(run: Run, folder: RunFolder, executor: Executor, watch: Watch) -> Outcome:
    """Run the tasks that come next, round after round, until none is left that was not tried."""
    whole, tried = Outcome(), set[str]()
    while tasks := [task for task in run.next(folder) if task.id not in tried]:
        tried |= {task.id for task in tasks}
        with watch(tasks) as display:
            whole.add(run_tasks(tasks, folder, executor, display))
        if whole.stopped:
            break
    return whole


def run_tasks(tasks: Sequence[Task], folder: RunFolder, executor: Executor, display: Observer) -> Outcome:
    """Run the tasks of one round: first those of models in memory, here, then the others by the executor.

    A task fails where its model in memory cannot be read, or its images cannot be changed as asked; any other error of
    a task that runs here is raised. A failure, also of a task that was skipped, is kept under the unit of the task
    until a later try succeeds, and the rest goes on.
    """

    def observe(event: Event) -> None:
        task, unit = event.task, event.task.unit or event.task.id
        if event.status == "failed" or (event.status == "skipped" and not folder.failure_path(unit).is_file()):
            folder.write_failure(unit, {"task": task.label, "text": event.text})
        elif event.status == "done":
            folder.forget_failure(unit)
        display(event)

    outcome = Outcome()
    for task in (task for task in tasks if not task.remote):
        observe(Event("started", task))
        try:
            task.job(Context(lambda share, word: None, lambda: False))
        except (ReadingError, SpecError) as error:
            outcome.failed[task.id] = str(error)
            observe(Event("failed", task, text=str(error)))
        else:
            outcome.done.append(task.id)
            observe(Event("done", task, 1.0))
    outcome.add(executor.run([task for task in tasks if task.remote], observe))
    return outcome
