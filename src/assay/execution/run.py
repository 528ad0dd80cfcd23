"""The steps of a run of any kind (`RunSteps`), and the functions that carry them out in a run folder.

`carry_out` runs rounds of tasks, then writes the tables and the page and seals the folder. `rebuild` writes tables and
page again from records. `run_tasks` runs one round.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from assay.core.errors import ReadingError, SpecError
from assay.core.files import content_hash, file_hash, has_mark, hide_paths_within, is_file, leave_mark
from assay.core.registry import load_object
from assay.execution.tasks import Context, Event, Executor, Observer, Outcome, Task
from assay.store.files import Row, write_text
from assay.store.folder import RunFolder
from assay.store.kinds import PAGE_WRITER, Kind
from assay.store.layout import BEGUN, UNIT_KINDS, working_in
from assay.store.manifest import added_files, foreign_files, is_ours
from assay.store.soundness import Soundness

Tables = Mapping[str, Sequence[Row]]
"""Rows by name of the table."""
ObserverFactory = Callable[[Sequence[Task]], AbstractContextManager[Observer]]
"""Tasks -> a context in which an observer gets every event of them."""


class RunSteps(Protocol):
    """A run: which tasks come next, and which tables follow from their records. Inherit it for its defaults.

    Attributes:
        kind: Kind of the run, which defines its tables and page.
        request: The request, a pydantic model.
    """

    kind: Kind
    request: Any

    @property
    def subject(self) -> str:
        """What may not change in its folder; empty where anything may."""
        return ""

    @property
    def sources(self) -> Sequence[Path]:
        """The files or folders that it reads, which may not change for a folder; empty for data in memory."""
        return ()

    @property
    def values(self) -> Mapping[str, Any]:
        """The request as plain values, as its folder stores it."""
        return self.request.model_dump(mode="json")

    @property
    def stamp(self) -> Mapping[str, str]:
        """Hashes of the input of its tables; empty while the request may be refused, so that an earlier run stays."""
        return {"request": content_hash(self.values)}

    def rounds(self, folder: RunFolder) -> Iterator[Sequence[Task]]:
        """Yield the tasks that the records of the folder allow and lack, round after round."""
        return iter(())

    def conclude(self, folder: RunFolder) -> Tables:
        """Return the tables of the records. Long ones may be made when they are looked up."""
        ...

    def finish(self, folder: RunFolder, outcome: Outcome) -> None:
        """Finish the files of the folder after its page, before it is sealed."""


@contextmanager
def observe_nothing(_: Sequence[Task]) -> Generator[Observer]:
    """A `ObserverFactory` that shows nothing."""
    yield lambda _: None


@dataclass
class FinishedRun:
    """Result of `carry_out`.

    Attributes:
        outcome: Tasks that are done, failed and skipped.
        page: Path of the page; None where the run was interrupted or no page was requested.
    """

    outcome: Outcome
    page: Path | None


def carry_out(
    run: RunSteps, root: Path, executor: Executor, watch: ObserverFactory = observe_nothing, *, with_page: bool = True
) -> FinishedRun:
    """Carry out a run in a folder. A second call goes on where the first ended.

    Records that this user's Assay did not make here are used, after a line that says so; the folder stays another's.

    Args:
        run: The run.
        root: The folder, which is held meanwhile.
        executor: Carries out the tasks.
        watch: Shows the tasks of each round.
        with_page: Whether the page is written, and other files that follow from the tables.

    Raises:
        StoreError: Another run works in the folder, or it holds another kind of run, or one of another subject, or
            files that somebody added to what is read.
    """
    folder = RunFolder(root)
    soundness = Soundness(folder)
    with working_in(root):
        folder.require(run.kind, run.subject, run.sources)
        ours = is_own(folder)
        record_owner(root, ours=ours)
        folder.remove_partial_files()
        soundness.refuse_added(units_remade=not run.stamp)
        foreign = foreign_files(root)
        try:
            outcome = _run_rounds(run, folder, executor, watch)
        finally:
            if not run.stamp:  # refused or stopped before it replaced an earlier run, which stays as it was
                soundness.remove_added_units()
        if outcome.stopped:
            return FinishedRun(outcome, None)
        folder.write_tables(run.conclude(folder))
        finished = FinishedRun(outcome, load_object(run.kind.writer)(root) if with_page else None)
        run.finish(folder, outcome)
        soundness.seal(ours=ours, added=foreign)
        (root / BEGUN).unlink(missing_ok=True)
        return finished


def rebuild(root: Path) -> Path:
    """Compute the tables again from the records of a run folder, and rewrite the page.

    Records of an audit, a comparison, a look or a preview do not suffice for that: of these the page is rewritten, and
    what else follows from the tables. Where these are signed, it is the page alone. A folder from elsewhere stays one:
    its other files may be anybody's.

    Args:
        root: The run folder, which is held meanwhile.

    Raises:
        StoreError: No run ended in the folder, another run works in it, a file is missing or altered, or one was added
            that would be read.
    """
    folder = RunFolder(root)
    soundness, kind = Soundness(folder), folder.require_run()
    with working_in(root):
        if not kind.rebuild:
            soundness.refuse_added(units_remade=True)  # of a repetition that was killed before it replaced this run
        soundness.require(but_remade=True)
        ours, added = is_ours(root), added_files(root)
        if kind.rebuild and not soundness.is_signed:
            folder.write_tables(load_object(kind.rebuild)(folder))
        path = load_object(PAGE_WRITER if soundness.is_signed else kind.writer)(root)
        if folder.has_ended:
            soundness.seal(ours=ours, added=added)
        return path


def is_own(folder: RunFolder) -> bool:
    """Return whether this user began or finished the run of a folder on this machine, or it has no records."""
    if _began_here(folder.root) or is_ours(folder.root):
        return True
    return not (any(any(folder.ids(kind)) for kind in UNIT_KINDS) or Soundness(folder).has_external_facts)


def record_owner(root: Path, *, ours: bool) -> None:
    """Remember until the run ends that this user began it here; of a folder with records of others, print a warning.

    Args:
        root: The run folder, which is held. It may be moved on its disk.
        ours: See `is_own`.
    """
    if not ours:
        from assay.execution.progress import warn  # few runs have such records

        warn(
            f"{root} holds records that you did not make on this machine. They are used as they are: "
            "choose another folder (--out) to compute your own"
        )
    elif not _began_here(root):
        write_text(root / BEGUN, secrets.token_hex(16))
        leave_mark(_begin_mark(root))


def _began_here(root: Path) -> bool:
    try:
        return is_file(root / BEGUN) and has_mark(_begin_mark(root))
    except OSError:  # another user's
        return False


def _begin_mark(root: Path) -> str:
    """Return the text that is remembered: a random number and the folder's inode, by which a copy is recognized."""
    return f"begun {file_hash(root / BEGUN)} in {root.stat().st_ino}"


def _run_rounds(run: RunSteps, folder: RunFolder, executor: Executor, watch: ObserverFactory) -> Outcome:
    """Run round after round, until none is left or one has no task that was not tried."""
    total, tried = Outcome(), set[str]()
    begun_stamp: Mapping[str, str] = {}
    rounds = run.rounds(folder)
    while not total.stopped:
        tasks = [task for task in next(rounds, ()) if task.id not in tried]
        if run.stamp != begun_stamp:
            begun_stamp = run.stamp
            folder.begin(run.kind, run.values, begun_stamp, run.subject, run.sources)
        if not tasks:
            break
        tried |= {task.id for task in tasks}
        with watch(tasks) as display:
            total.add(run_tasks(tasks, folder, executor, display))
    return total


def run_tasks(tasks: Sequence[Task], folder: RunFolder, executor: Executor, display: Observer) -> Outcome:
    """Run the tasks of one round: first those of models in memory, here, then the others by the executor.

    A task fails where its model in memory cannot be read, or its images cannot be changed as asked; any other error of
    a task that runs here is raised. A failure, also of a task that was skipped, is kept under the unit of the task
    until a later try succeeds, and the rest goes on.
    """

    def observe(event: Event) -> None:
        task, unit = event.task, event.task.unit or event.task.id
        if event.status == "failed" or (event.status == "skipped" and not folder.failure_path(unit).is_file()):
            folder.write_failure(unit, {"task": task.label, "text": hide_paths_within(event.text)})
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
