"""Show progress of tasks and of reading images: a bar on a terminal, plain lines elsewhere, JSON lines for machines."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.progress_bar import ProgressBar
from rich.table import Table

from assay.core.errors import visible
from assay.data.cache import no_progress
from assay.execution.tasks import Event, Observer, Task
from assay.stats.format import duration

if TYPE_CHECKING:
    from assay.data.cache import ProgressCallback


PLAIN_EVERY = 60.0
"""Seconds after which a plain line is due, if no tenth of the work was finished before."""
FIRST_AFTER = 1.0
"""Seconds after which reading of images is first shown; shorter readings are not."""
REDRAWS = 2
"""Redraws of a terminal per second, at most."""
BAR = 40
"""Width of the bar in characters."""
MEASURABLE = 0.02
"""Share of the work after which the time left is known."""
DOUBT = 0.02
"""The expected seconds count as if this share of the work had taken just these."""
STOPPING = "stopping once checkpoints are written; Ctrl-C again stops at once"

Stage = Callable[[str], None]
"""Callback for the next step where nothing can be counted."""


def stage_printer(quiet: bool) -> Stage:
    """Return a callback that prints a stage on standard error; nothing when quiet."""
    return (lambda _: None) if quiet else lambda text: print(text, file=sys.stderr, flush=True)


@contextmanager
def display_for(
    tasks: Sequence[Task],
    workers: int,
    as_json: bool,
    stopping: Callable[[], bool] = lambda: False,
    *,
    quiet: bool = False,
    verbose: bool = False,
    before: Mapping[str, int] | None = None,
) -> Generator[Observer]:
    """Show the events of tasks where the output goes, while it is entered.

    Args:
        tasks: Tasks of the run.
        workers: Number of workers.
        as_json: Print JSON lines on standard output.
        stopping: Whether an interrupt was heard.
        quiet: Print failures only.
        verbose: Print a line per finished task.
        before: Unit of counting -> number of tasks that an earlier run finished.

    Yields:
        Something that takes each event.
    """
    counter = ProgressCounter(tasks, workers, stopping, before=before)
    if as_json:
        yield lambda event: _print_json(counter, event)
        return
    try:
        if quiet or not sys.stderr.isatty():
            yield _Lines(counter, math.inf if quiet else PLAIN_EVERY, verbose).hear
        else:
            from assay.core.terminal import visible_outputs

            console = Console(file=sys.stderr)
            live = Live(
                console=console,
                refresh_per_second=REDRAWS,
                transient=True,
                get_renderable=lambda: progress_table(counter),
            )
            with live, visible_outputs():  # of what is printed meanwhile, too
                yield lambda event: _hear(counter, event, verbose, console)
    finally:
        if tasks and not quiet:
            print(counter.last_line(), file=sys.stderr, flush=True)


class ProgressCounter:
    """Counts of a run and the time that is left, from the expected cost of tasks and how true it proved so far.

    An event costs time in the running tasks alone.

    Attributes:
        tasks: Tasks by id.
        running: Share and word of each running task, by id.
        failed: Number of failed tasks.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        workers: int,
        stopping: Callable[[], bool] = lambda: False,
        now: Callable[[], float] = time.monotonic,
        before: Mapping[str, int] | None = None,
    ) -> None:
        self.tasks: Mapping[str, Task] = {task.id: task for task in tasks}
        self.workers = workers
        self.stopping = stopping
        self.now = now
        self.started = now()
        self.running: dict[str, tuple[float, str]] = {}
        self.failed = 0
        self._whole = sum(task.cost for task in tasks)
        self._finished = self._lost = 0.0  # expected seconds of finished tasks; of failed and skipped ones
        self._over = 0  # number of finished and lost tasks
        self._done: dict[str, int] = {task.counted: 0 for task in tasks}
        self._before = {unit: (before or {}).get(unit, 0) for unit in self._done}
        costs = {unit: [task.cost for task in tasks if task.counted == unit] for unit in self._done}
        self._cost_before = sum(self._before[unit] * sum(of) / len(of) for unit, of in costs.items())
        self._first: tuple[float, float] | None = None  # expected seconds behind when work was first seen, and when

    def see(self, event: Event) -> None:
        """Take an event into account."""
        task = event.task
        if event.status in ("started", "progress"):
            self.running[task.id] = (event.share, event.text)
        else:
            self.running.pop(task.id, None)
            self._over += 1
            if event.status == "done":
                self._finished += task.cost
                self._done[task.counted] += 1
            else:
                self._lost += task.cost
                self.failed += event.status == "failed"
        if self._first is None and event.status in ("progress", "done"):  # importing libraries came before
            began = self.now() - event.seconds
            self._first = (0.0 if event.status == "done" else self._behind(), began)

    def _behind(self) -> float:
        """Expected seconds of the work that was done."""
        return self._finished + sum(self.tasks[id].cost * share for id, (share, _) in self.running.items())

    def share(self) -> float:
        """Share of the work that is over, from 0 to 1: that of earlier runs, and failed and skipped tasks, too."""
        total_cost = self._cost_before + self._whole
        return (self._cost_before + self._behind() + self._lost) / total_cost if total_cost > 0 else 0.0

    def seconds_left(self) -> float:
        """Expected seconds until the end."""
        doubt = DOUBT * self._whole
        took, done_share = doubt / self.workers, doubt
        if self._first is not None:
            before, since = self._first
            took, done_share = took + self.now() - since, done_share + self._behind() - before
        remaining = max(0.0, self._whole - self._behind() - self._lost)
        return remaining * took / done_share if done_share > 0 else 0.0

    def line(self) -> str:
        """Return one line of progress: the overall share, counts by kind, and the time left or a heard interrupt."""
        failed = [f"{self.failed} failed"] if self.failed else []
        measured = self._over > 0 or self._behind() >= MEASURABLE * self._whole > 0
        time_left = f"about {duration(self.seconds_left())} left" if measured else "measuring the time left"
        ending = STOPPING if self.stopping() else time_left
        return f"{self.share():.0%}: " + ", ".join(
            [*self._counts("/"), f"{len(self.running)} running", *failed, ending]
        )

    def last_line(self) -> str:
        """Summary at the end: tasks done and failed, time, and the next command."""
        failed = [f"{self.failed} failed"] if self.failed else []
        earlier = [f"{number} {unit} before" for unit, number in self._before.items() if number]
        next_step = "; now the comparisons and the page" if self._over == len(self.tasks) else ""
        counts = ", ".join([*self._counts(" of "), *failed])
        text = f" ({', '.join(earlier)})" if earlier else ""
        return f"{counts} in {duration(self.now() - self.started)}{text}{next_step}"

    def _counts(self, separator: str) -> list[str]:
        """Return how many tasks are done, and of how many, for each unit of counting, with those of earlier runs."""
        units = [task.counted for task in self.tasks.values()]
        return [
            f"{done + self._before[unit]}{separator}{units.count(unit) + self._before[unit]} {unit}"
            for unit, done in self._done.items()
        ]


def warn(line: str, *, red: bool = True, console: Console | None = None) -> None:
    """Print a line on standard error, red on a terminal that shows colors (`NO_COLOR` turns them off)."""
    console = console or Console(file=sys.stderr)
    console.print(visible(line), style="red" if red else "", soft_wrap=True, markup=False, highlight=False)


def _print_json(counter: ProgressCounter, event: Event) -> None:
    """Print an event as one JSON object."""
    counter.see(event)
    if event.status != "progress":
        seconds_left = round(counter.seconds_left(), 1)
        print(json.dumps({"event": event.status, "task": event.task.label, "id": event.task.id, "text": event.text,
                          "seconds": round(event.seconds, 3), "seconds_left": seconds_left}), flush=True)  # fmt: skip


def _hear(counter: ProgressCounter, event: Event, verbose: bool, console: Console | None = None) -> None:
    """Count an event; a failure has a line, and if verbose each finished task."""
    counter.see(event)
    if event.status == "failed":
        last = event.text.strip().splitlines()[-1] if event.text.strip() else "no reason given"
        warn(f"failed: {event.task.label}: {last}", console=console)
    elif verbose and event.status == "done":
        warn(f"done in {duration(event.seconds)}: {event.task.label}", red=False, console=console)


def progress_table(counter: ProgressCounter) -> Table:
    """Return a bar of the overall share, the counts and the task of each worker."""
    table = Table.grid(padding=(0, 2))
    table.add_row(ProgressBar(total=1.0, completed=counter.share(), width=BAR))
    table.add_row(counter.line(), style="red" if counter.failed else "")
    for id, (share, text) in counter.running.items():
        table.add_row(visible(f"  {share:4.0%}  {counter.tasks[id].label}  {text}"))
    return table


@dataclass
class _Lines:
    """A line for every tenth of the work, and one when none was printed for `every` seconds; none for infinity."""

    counter: ProgressCounter
    every: float
    verbose: bool
    last: float = field(default_factory=time.monotonic)
    tenth: int = 0
    announced: bool = False  # that it is stopping

    def hear(self, event: Event) -> None:
        _hear(self.counter, event, self.verbose)
        announced, self.announced = self.announced, self.counter.stopping()
        tenth = int(10 * self.counter.share() + 1e-9)
        passed = self.tenth < tenth < 10 and self.every < math.inf  # the last line follows the last tenth
        if self.announced > announced or passed or time.monotonic() - self.last >= self.every:
            self.last, self.tenth = time.monotonic(), max(tenth, self.tenth)
            print(self.counter.line(), file=sys.stderr, flush=True)


@contextmanager
def show_reading(quiet: bool) -> Generator[ProgressCallback]:
    """Show on standard error how many images were read, while the context is entered; nothing when quiet.

    A terminal has a line that redraws itself; elsewhere there is a line after a second, and then one every minute.
    """
    if quiet:
        yield no_progress
        return
    is_terminal = sys.stderr.isatty()
    progress = Progress(
        TextColumn("{task.description}:", markup=False),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(file=sys.stderr),
        refresh_per_second=REDRAWS,
        transient=True,
        disable=not is_terminal,
    )
    next_line = time.monotonic() + min(FIRST_AFTER, PLAIN_EVERY)

    def show(subject: str, done: int, total: int) -> None:
        nonlocal next_line
        last = progress.tasks[-1] if progress.tasks else None
        if last is None or last.description != visible(subject) or done < last.completed:
            for task in progress.tasks:
                progress.remove_task(task.id)
            progress.add_task(visible(subject), total=total)
            progress.start()
        step = progress.tasks[-1]
        progress.update(step.id, completed=done, total=total)
        if not is_terminal and time.monotonic() >= next_line:
            next_line = time.monotonic() + PLAIN_EVERY
            time_left = "" if step.time_remaining is None else f", about {duration(step.time_remaining)} left"
            print(f"{subject}: {done:,} of {total:,}{time_left}", file=sys.stderr, flush=True)

    try:
        yield show
    finally:
        progress.stop()
