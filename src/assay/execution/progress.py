"""Show progress of tasks and of reading images."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from assay.data.cache import Notify, silent
from assay.execution.tasks import Event, Task

# Live progress: a few lines that redraw themselves on a terminal, plain lines elsewhere, JSON lines for machines.

PLAIN_EVERY = 60.0
"""Seconds after which a plain line is due, if no tenth of the work was finished before."""
REDRAWS = 2
"""Redraws of a terminal per second, at most."""
STEADY = 15.0
"""Seconds over which the time left is smoothed."""
BAR = 40
"""Width of the bar in characters."""
KNOWN = 0.02
"""Share of the work after which the time left is known."""
STOPPING = "stopping once checkpoints are written; Ctrl-C again stops at once"
DOUBT = 0.02  # the expectation weighs as much as this share of the work that was seen


Stage = Callable[[str], None]
"""Callback for the next step where nothing can be counted."""


def telling(quietly: bool) -> Stage:
    """Return a callback that prints a stage on standard error; nothing when quiet."""
    return (lambda _: None) if quietly else lambda text: print(text, file=sys.stderr, flush=True)


class Display(Protocol):
    """Shows events; used as a context manager around a run."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def __call__(self, event: Event) -> None:
        """Show an event."""
        ...


def display_for(
    tasks: Sequence[Task],
    workers: int,
    as_json: bool,
    stopping: Callable[[], bool] = lambda: False,
    *,
    quiet: bool = False,
    verbose: bool = False,
) -> Display:
    """Return the display that fits where the output goes.

    Args:
        tasks: Tasks of the run.
        workers: Number of workers.
        as_json: Print JSON lines on standard output.
        stopping: Whether an interrupt was heard.
        quiet: Print failures only.
        verbose: Print a line per finished task.
    """
    counter = Counter(tasks={task.id: task for task in tasks}, workers=workers, stopping=stopping)
    if as_json:
        return JsonDisplay(counter)
    if quiet:
        return PlainDisplay(counter, every=math.inf)
    return LiveDisplay(counter, verbose) if sys.stderr.isatty() else PlainDisplay(counter, verbose=verbose)


@dataclass
class _Kind:
    """Tasks that need no other, or those that do: expected and taken seconds.

    Attributes:
        whole: Expected seconds of all.
        over: Expected seconds of those that are finished or lost.
        expected: Expected seconds of the finished ones.
        took: Seconds that these took.
    """

    whole: float = 0.0
    over: float = 0.0
    expected: float = 0.0
    took: float = 0.0


@dataclass
class Counter:
    """Counts of a run and the time that is left, from the expected cost of tasks and how true it proved so far.

    Training and probing are judged apart, each by its finished tasks and the progress of running ones; until a kind has
    shown much of itself, its expectation counts as well. An event costs time in the running tasks alone.
    """

    tasks: Mapping[str, Task]
    workers: int
    started: float = field(default_factory=time.monotonic)
    finished: set[str] = field(default_factory=set[str])
    lost: set[str] = field(default_factory=set[str])  # failed and skipped
    failed: int = 0
    running: dict[str, tuple[float, str]] = field(default_factory=dict[str, tuple[float, str]])
    seen_at: dict[str, tuple[float, float]] = field(default_factory=dict[str, tuple[float, float]])  # share, when
    now: Callable[[], float] = time.monotonic
    stopping: Callable[[], bool] = lambda: False
    shown: tuple[float, float] | None = None  # time left as last shown, when
    _kinds: tuple[_Kind, _Kind] = field(default_factory=lambda: (_Kind(), _Kind()), init=False)

    def __post_init__(self) -> None:
        """Sum the expected seconds."""
        for task in self.tasks.values():
            self._kind(task).whole += task.cost

    def _kind(self, task: Task) -> _Kind:
        return self._kinds[bool(task.needs)]

    def see(self, event: Event) -> None:
        """Take an event into account."""
        id, kind = event.task.id, self._kind(event.task)
        if event.status in ("started", "progress"):
            self.running[id] = (event.share, event.text)
            if event.share > 0:  # what came before, such as importing libraries, comes once
                self.seen_at.setdefault(id, (event.share, self.now()))
            return
        self.running.pop(id, None)
        kind.over += event.task.cost
        if event.status == "done":
            self.finished.add(id)
            kind.expected += event.task.cost
            kind.took += event.seconds
        else:
            self.failed += event.status == "failed"
            self.lost.add(id)

    def seconds_left(self) -> float:
        """Expected seconds until the end."""
        waiting = len(self.tasks) - len(self.finished) - len(self.lost)
        at_once = max(1, min(self.workers, waiting))
        return max(0.0, sum(self._left(kind) * self._truth(kind) for kind in self._kinds) / at_once)

    def _running(self, kind: _Kind) -> list[Task]:
        return [task for id in self.running if self._kind(task := self.tasks[id]) is kind]

    def _left(self, kind: _Kind) -> float:
        """Expected seconds of the unfinished tasks, less the time already spent on them."""
        return kind.whole - kind.over - sum(task.cost * self.running[task.id][0] for task in self._running(kind))

    def _truth(self, kind: _Kind) -> float:
        """How many times the expected seconds the tasks of a kind really take."""
        doubt = DOUBT * kind.whole
        took, expected = doubt + kind.took, doubt + kind.expected
        for task in self._running(kind):
            if task.id in self.seen_at:
                share, (first, since) = self.running[task.id][0], self.seen_at[task.id]
                took += self.now() - since if share > first else 0.0
                expected += (share - first) * task.cost
        return took / expected if expected > 0 else 1.0

    def share(self) -> float:
        """Share of the run's work that is over, from 0 to 1; failed and skipped tasks count as over."""
        whole = sum(kind.whole for kind in self._kinds)
        return 1 - sum(map(self._left, self._kinds)) / whole if whole > 0 else 0.0

    def time_left(self) -> str:
        """Return the time left, smoothed, in words; `measuring` until enough of the work was seen."""
        if not self.finished and self.share() < KNOWN:
            return "measuring the time left"
        now, found = self.now(), self.seconds_left()
        if self.shown is not None:
            left, since = self.shown
            weight = math.exp((since - now) / STEADY)
            found = weight * max(0.0, left - (now - since)) + (1 - weight) * found
        self.shown = found, now
        return f"about {duration(found)} left"

    def line(self) -> str:
        """Return one line of progress: the overall share, counts by kind, and the time left or a heard interrupt."""
        parts = [
            *(f"{done}/{of} {what}" for what, (done, of) in self._counts().items()),
            f"{len(self.running)} running",
        ]
        if self.failed:
            parts.append(f"{self.failed} failed")
        return f"{self.share():.0%}: " + ", ".join([*parts, STOPPING if self.stopping() else self.time_left()])

    def last_line(self) -> str:
        """Summary at the end: tasks done and failed, time, and the next command."""
        took = f"in {duration(time.monotonic() - self.started)}"
        done = [f"{done} of {of} {what}" for what, (done, of) in self._counts().items()]
        failed = [f"{self.failed} failed"] if self.failed else []
        whole = len(self.finished) + len(self.lost) == len(self.tasks)
        return f"{', '.join([*done, *failed])} {took}" + ("; now the comparisons and the page" if whole else "")

    def _counts(self) -> dict[str, tuple[int, int]]:
        """Unit of counting of tasks -> how many are done, and of how many."""
        found: dict[str, tuple[int, int]] = {}
        for task in self.tasks.values():
            done, of = found.get(task.counted, (0, 0))
            found[task.counted] = done + (task.id in self.finished), of + 1
        return found


def duration(seconds: float) -> str:
    """Seconds as a person says them: 45 s, 3 min 20 s, 2 h 5 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def workers_text(count: int) -> str:
    """Return the number of workers in words."""
    return f"{count} worker" + ("" if count == 1 else "s")


def tell_end(counter: Counter) -> None:
    """The last line of a run that had anything to do."""
    if counter.tasks:
        print(counter.last_line(), file=sys.stderr, flush=True)


class JsonDisplay:
    """One JSON object a line on standard output."""

    def __init__(self, counter: Counter) -> None:
        self.counter = counter

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def __call__(self, event: Event) -> None:
        """See `Display`."""
        self.counter.see(event)
        if event.status == "progress":
            return
        left = round(self.counter.seconds_left(), 1)
        print(json.dumps({"event": event.status, "task": event.task.label, "id": event.task.id, "text": event.text,
                          "seconds": round(event.seconds, 3), "seconds_left": left}), flush=True)  # fmt: skip


class PlainDisplay:
    """A line for every tenth of the work, and one when none was printed for `every` seconds; none for infinity.

    Failures have a line each, and if verbose finished tasks.
    """

    def __init__(self, counter: Counter, every: float | None = None, verbose: bool = False) -> None:
        self.counter = counter
        self.every = PLAIN_EVERY if every is None else every
        self.verbose = verbose
        self.last = time.monotonic()
        self.tenth = 0
        self.told = False  # that it is stopping

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.every < math.inf:
            tell_end(self.counter)

    def __call__(self, event: Event) -> None:
        """See `Display`."""
        self.counter.see(event)
        if line := event_line(event, self.verbose):
            warn(line, red=event.status == "failed")
        told, self.told = self.told, self.counter.stopping()
        tenth = int(10 * self.counter.share() + 1e-9)
        passed = self.tenth < tenth < 10 and self.every < math.inf  # the last line follows the last tenth
        if self.told > told or passed or time.monotonic() - self.last >= self.every:
            self.last, self.tenth = time.monotonic(), max(tenth, self.tenth)
            print(self.counter.line(), file=sys.stderr, flush=True)


class LiveDisplay:
    """A bar of the overall share, the counts and the task of each worker, redrawn in place."""

    def __init__(self, counter: Counter, verbose: bool = False) -> None:
        self.counter = counter
        self.verbose = verbose
        self.live = Live(
            console=Console(stderr=True), refresh_per_second=REDRAWS, transient=True, get_renderable=self._draw
        )

    def __enter__(self) -> Self:
        self.live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.live.__exit__(kind, error, trace)
        tell_end(self.counter)

    def __call__(self, event: Event) -> None:
        """See `Display`."""
        self.counter.see(event)
        if line := event_line(event, self.verbose):
            style = "red" if event.status == "failed" else ""
            self.live.console.print(line, markup=False, highlight=False, style=style)

    def _draw(self) -> Table:
        table = Table.grid(padding=(0, 2))
        table.add_row(ProgressBar(total=1.0, completed=self.counter.share(), width=BAR))
        table.add_row(self.counter.line(), style="red" if self.counter.failed else "")
        for id, (share, text) in self.counter.running.items():
            table.add_row(f"  {share:4.0%}  {self.counter.tasks[id].label}  {text}")
        return table


def warn(line: str, *, red: bool = True) -> None:
    """Print a line on standard error, red on a terminal that shows colors (`NO_COLOR` turns them off)."""
    console = Console(stderr=True, markup=False, highlight=False)
    console.print(line, style="red" if red else "", soft_wrap=True)


def event_line(event: Event, verbose: bool) -> str:
    """Return the line of a failed task, and if verbose that of a finished one; empty of other events."""
    if event.status == "failed":
        return failure_line(event)
    return f"done in {duration(event.seconds)}: {event.task.label}" if verbose and event.status == "done" else ""


def failure_line(event: Event) -> str:
    """Return the task and the last line of its error."""
    last = event.text.strip().splitlines()[-1] if event.text.strip() else "no reason given"
    return f"failed: {event.task.label}: {last}"


# How far the reading of images has come: a line that redraws itself on a terminal, a line now and then elsewhere.

FIRST_AFTER = 1.0
"""Seconds after which it is said that images are read; shorter reads are not announced."""


@dataclass
class Reading:
    """The last event, and the start time of the current step."""

    what: str = ""
    done: int = 0
    of: int = 0
    began: float = 0.0
    now: Callable[[], float] = field(default=time.monotonic)

    def hear(self, what: str, done: int, of: int) -> None:
        """Receive the progress of a long step; see the callback in `data.cache`."""
        if what != self.what or done < self.done:
            self.began = self.now()
        self.what, self.done, self.of = what, done, of

    def line(self) -> str:
        """`reading images: 1,200 of 4,999, about 20 s left`; the time from the second image on."""
        if not self.of:
            return ""
        text = f"{self.what}: {self.done:,} of {self.of:,}"
        if self.done < 2:
            return text
        # the first one's end is when the clock began
        left = (self.now() - self.began) * (self.of - self.done) / (self.done - 1)
        return f"{text}, about {duration(left)} left"


@contextmanager
def reading_shown(quietly: bool) -> Generator[Notify]:
    """While it is entered, something that tells on standard error how far images are read; or that tells nothing."""
    if quietly:
        yield silent
        return
    display = _Live() if sys.stderr.isatty() else _Plain()
    try:
        yield display.hear
    finally:
        display.close()


class _Live:
    """One line, drawn from the first image on and taken away at the end."""

    def __init__(self) -> None:
        self.reading = Reading()
        console = Console(stderr=True, markup=False, highlight=False)
        self.live = Live(console=console, refresh_per_second=REDRAWS, transient=True, get_renderable=self.reading.line)
        self.closed = False

    def hear(self, what: str, done: int, of: int) -> None:
        self.reading.hear(what, done, of)
        if not self.live.is_started and not self.closed:
            self.live.start(refresh=True)

    def close(self) -> None:
        self.closed = True
        self.live.stop()


class _Plain:
    """A line after a second, and then one every minute."""

    def __init__(self) -> None:
        self.reading = Reading()
        self.due = time.monotonic() + min(FIRST_AFTER, PLAIN_EVERY)

    def hear(self, what: str, done: int, of: int) -> None:
        self.reading.hear(what, done, of)
        if time.monotonic() >= self.due:
            self.due = time.monotonic() + PLAIN_EVERY
            print(self.reading.line(), file=sys.stderr, flush=True)

    def close(self) -> None:
        """Nothing is open."""
