"""What every executor must be: the local pool, and engines that start processes elsewhere."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from assay.execution.tasks import Context, Event, Stopped, Task
from assay.plugin import DataError, FullError

# Jobs that worker processes can import.


@dataclass(frozen=True)
class Touch:
    """Leaves a file that holds its number of threads."""

    path: Path

    def __call__(self, context: Context) -> None:
        """See `Job`."""
        context.report(1.0, "writing")
        self.path.write_text(os.environ.get("OMP_NUM_THREADS", ""), encoding="utf-8")


@dataclass(frozen=True)
class Refuse:
    """Fails with an expected error."""

    def __call__(self, context: Context) -> None:
        """See `Job`."""
        raise DataError("row 3 is wrong")


@dataclass(frozen=True)
class Exit:
    """Calls `sys.exit`, as own code may."""

    def __call__(self, context: Context) -> None:
        """See `Job`."""
        raise SystemExit(0)


@dataclass(frozen=True)
class Fill:
    """Finds no room to write."""

    def __call__(self, context: Context) -> None:
        """See `Job`."""
        raise FullError("cannot write x: the disk is full")


@dataclass(frozen=True)
class Die:
    """Is killed so many times, then leaves a file.

    Attributes:
        path: The file; tries are counted next to it.
        times: How many tries end in a kill.
    """

    path: Path
    times: int

    def __call__(self, context: Context) -> None:
        """See `Job`."""
        tries = len(list(self.path.parent.glob(f"{self.path.name}.try-*")))
        self.path.with_name(f"{self.path.name}.try-{tries}").touch()
        if tries < self.times:
            os.kill(os.getpid(), signal.SIGKILL)
        self.path.touch()


@dataclass(frozen=True)
class Wait:
    """Works until it is asked to stop, then leaves a checkpoint."""

    started: Path
    left: Path

    def __call__(self, context: Context) -> None:
        """See `Job`."""
        self.started.touch()
        while not context.should_stop():
            time.sleep(0.01)
        self.left.touch()
        raise Stopped


class ExecutorConformance:
    """Suite of an `Executor`. Define the fixture `executor`."""

    @pytest.fixture
    def executor(self, tmp_path: Path) -> Any:
        """Return the executor under test."""
        raise NotImplementedError

    @pytest.fixture
    def chain(self, tmp_path: Path) -> list[Task]:
        """Return five tasks, two of which hang on one that fails."""
        return [
            Task("a", Touch(tmp_path / "a"), "a"),
            Task("b", Refuse(), "b"),
            Task("c", Touch(tmp_path / "c"), "c", needs=("a",)),
            Task("d", Touch(tmp_path / "d"), "d", needs=("b",)),
            Task("e", Touch(tmp_path / "e"), "e", needs=("d",)),
        ]

    def test_a_failure_skips_dependents_and_the_rest_goes_on(self, executor: Any, chain: list[Task]) -> None:
        """Every task starts and ends once; the order is that of needs."""
        events: list[Event] = []
        outcome = executor.run(chain, events.append)
        assert sorted(outcome.done) == ["a", "c"]
        assert outcome.done.index("a") < outcome.done.index("c")
        assert outcome.failed == {"b": "row 3 is wrong"}
        assert sorted(outcome.skipped) == ["d", "e"]
        assert not outcome.stopped
        counts = Counter(event.status for event in events if event.status not in ("progress", "started"))
        assert counts == {"done": 2, "failed": 1, "skipped": 2}

    def test_sys_exit_fails_its_task_alone(self, executor: Any, chain: list[Task]) -> None:
        """Own code may call it."""
        outcome = executor.run([Task("exits", Exit(), "exits", cost=9), *chain], lambda _: None)
        assert sorted(outcome.done) == ["a", "c"]
        assert outcome.failed["exits"].endswith("called sys.exit(0), which ends the trial\n")

    def test_a_full_disk_ends_the_run(self, executor: Any, tmp_path: Path) -> None:
        """Other tasks are neither failed nor skipped: they are tried again by the next run."""
        events: list[Event] = []
        waits = Task("waits", Wait(tmp_path / "started", tmp_path / "left"), "waits", needs=("fills",))
        with pytest.raises(FullError, match="the disk is full"):
            executor.run([Task("fills", Fill(), "fills", rank=-1), waits], events.append)
        assert not [event for event in events if event.status in ("failed", "skipped")]


class PoolConformance(ExecutorConformance):
    """Suite of an executor that starts processes. Define `tries`, too.

    Attributes:
        tries: How often a task whose process is killed is tried before it fails.
    """

    tries: int

    def test_workers_have_one_thread(self, executor: Any, tmp_path: Path) -> None:
        """Results do not depend on the number of cores of a machine."""
        executor.run([Task("a", Touch(tmp_path / "a"), "a")], lambda _: None)
        assert (tmp_path / "a").read_text(encoding="utf-8") == "1"

    def test_a_killed_worker_costs_nothing(self, executor: Any, tmp_path: Path) -> None:
        """Its task is tried again, and no other is lost."""
        others = [Task(str(n), Touch(tmp_path / str(n)), str(n)) for n in range(3)]
        dies = Task("dies", Die(tmp_path / "dies", self.tries - 1), "dies", cost=9)
        outcome = executor.run([dies, *others], lambda _: None)
        assert sorted(outcome.done) == ["0", "1", "2", "dies"]
        assert not outcome.failed

    def test_a_task_that_always_kills_its_worker_fails_alone(self, executor: Any, tmp_path: Path) -> None:
        """After `tries`, with its dependents skipped."""
        dies = Task("dies", Die(tmp_path / "dies", 99), "dies", cost=9)
        after = Task("after", Touch(tmp_path / "after"), "after", needs=("dies",))
        other = Task("other", Touch(tmp_path / "other"), "other")
        outcome = executor.run([dies, after, other], lambda _: None)
        assert (outcome.done, list(outcome.failed), outcome.skipped) == (["other"], ["dies"], ["after"])
        assert len(list(tmp_path.glob("dies.try-*"))) == self.tries

    def test_an_interrupt_lets_a_job_leave_a_checkpoint(self, executor: Any, tmp_path: Path) -> None:
        """Tasks that have not begun stay for the next run."""
        started, left = tmp_path / "started", tmp_path / "left"
        waits = Task("waits", Wait(started, left), "waits")
        after = Task("after", Touch(tmp_path / "after"), "after", needs=("waits",))
        threading.Thread(target=once, args=(started.exists, interrupt), daemon=True).start()
        outcome = executor.run([waits, after], lambda _: None)
        assert (outcome.stopped, outcome.done, outcome.failed, outcome.skipped) == (True, [], {}, [])
        assert left.exists()
        assert not (tmp_path / "after").exists()


def once(condition: Callable[[], bool], action: Callable[[], None]) -> None:
    """Wait for a condition, then act."""
    while not condition():
        time.sleep(0.05)
    action()


def interrupt() -> None:
    """Interrupt this process, as Ctrl-C does."""
    os.kill(os.getpid(), signal.SIGINT)
