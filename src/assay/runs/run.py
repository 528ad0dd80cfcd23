"""A run of any kind, as three functions, and the driver that carries it out."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel

from assay.core.errors import SpecError
from assay.core.files import content_hash
from assay.execution.tasks import Context, Event, Executor, Observer, Outcome, Task
from assay.probes.reader import ReadingError
from assay.report import evidence
from assay.report.page import write_page
from assay.results.block import Section
from assay.store.audit_tables import EVERY_TABLE
from assay.store.files import Row, write_checked_json
from assay.store.folder import REQUEST, RunFolder, working_in
from assay.store.schema import SCHEMA_VERSION

Tables = Mapping[str, Sequence[Row]]
"""Rows by name of the table."""
Shown = Mapping[str, Sequence[Mapping[str, Any]]]
"""The same, to be read alone."""
Watch = Callable[[Sequence[Task]], AbstractContextManager[Observer]]
"""Given tasks, something to enter that then sees every event."""


class Run(Protocol):
    """A kind of run: which tasks come next, what follows from their records, and what a page shows of it."""

    @property
    def request(self) -> BaseModel:
        """What is asked for."""
        ...

    def next(self, folder: RunFolder) -> Sequence[Task]:
        """Return the tasks that the records of the folder allow and lack; none where everything is read.

        The first call keeps what is asked for in the folder, such as by `write_request`.
        """
        ...

    def conclude(self, folder: RunFolder) -> Tables:
        """Return the tables of the records. Long ones may be made when they are looked up."""
        ...

    def page(self, tables: Shown) -> Sequence[Section]:
        """Return the sections of the page."""
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
    """Carry out a run in its folder, and write its tables and page. A second call goes on where the first ended.

    Raises:
        StoreError: Another run works in the folder.
    """
    with working_in(root):
        RunFolder(root).remove_partial_files()
        return carried_out(run, RunFolder(root), executor, watch)


def carried_out(run: Run, folder: RunFolder, executor: Executor, watch: Watch) -> Done:
    """Carry out a run in a folder that is held."""
    outcome = execute(run, folder, executor, watch)
    return Done(outcome, None if outcome.stopped else concluded(run, folder))


def concluded(run: Run, folder: RunFolder) -> Path:
    """Write the tables and the page of a run."""
    write_tables(folder, run.conclude(folder))
    return write_page(folder.root, run.page(evidence.Tables(folder.root)))


def write_tables(folder: RunFolder, tables: Tables) -> None:
    """Write the tables of what was last asked in a folder. Those of a study that are not given are empty."""
    with folder.tables_made_of(folder.asked()):
        for name in tables if folder.of_request else folder.tables:
            if not EVERY_TABLE[name].parts:
                folder.write_table(name, EVERY_TABLE[name].names, tables.get(name, ()))


def write_request(folder: RunFolder, request: BaseModel, name: str) -> None:
    """Keep what is asked for in the folder, for kinds of runs that keep nothing else of it.

    Args:
        folder: The run folder.
        request: What is asked for.
        name: Name of the kind of run, for errors.

    Raises:
        SpecError: The folder holds another kind of run.
    """
    kind = type(request).__name__
    if folder.of_any and (not folder.of_request or folder.asked().get("kind") != kind):
        raise SpecError(
            f"out: {folder.root} holds records of a study, a model or an audit; give the {name} a folder of its own"
        )
    values = request.model_dump(mode="json")
    stamp = {"kind": kind, "request": content_hash(values)}
    document = {"schema": SCHEMA_VERSION, "stamp": stamp, "request": values}
    write_checked_json(folder.root / REQUEST, document)


def execute(run: Run, folder: RunFolder, executor: Executor, watch: Watch = quietly) -> Outcome:
    """Carry out the tasks of a run until none is left that was not tried. Failures are kept, and the rest goes on."""
    whole, tried = Outcome(), set[str]()
    while tasks := [task for task in run.next(folder) if task.id not in tried]:
        tried |= {task.id for task in tasks}
        with watch(tasks) as display:
            whole.add(perform(tasks, folder, executor, display))
        if whole.stopped:
            break
    return whole


def perform(tasks: Sequence[Task], folder: RunFolder, executor: Executor, display: Observer) -> Outcome:
    """Carry out tasks; those of models in memory here, and what these raise is raised.

    A failure is kept under the unit that the task belongs to until a later try succeeds. One that was skipped has
    failed too, and so has a model in memory that cannot be read, or images that cannot be changed as asked.
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
