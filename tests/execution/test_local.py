from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from tests.execution.executors import ExecutorConformance, Touch, Wait
from tests.execution.jobs_for_tests import Die, DieAtRest, Unreadable

from assay.execution.local import InProcess, Workers
from assay.execution.tasks import Event, Queue, Task


class TestInProcess(ExecutorConformance):
    @pytest.fixture
    def executor(self, tmp_path: Path) -> Any:
        return InProcess()


def test_worker_threads_are_fixed_whatever_their_number(tmp_path: Path) -> None:
    Workers(2, threads=3).run([Task("a", Touch(tmp_path / "a"), "a")], lambda _: None)
    assert (tmp_path / "a").read_text() == "3"


def test_a_worker_that_dies_fails_its_task_alone(tmp_path: Path) -> None:
    tasks = [
        Task("dies", Die(), "dies", cost=9),
        Task("killed", Die(signal.SIGKILL), "killed", cost=8),
        *(Task(str(i), Touch(tmp_path / str(i)), str(i)) for i in range(4)),
    ]
    outcome = Workers(1).run(tasks, lambda _: None)
    assert sorted(outcome.done) == ["0", "1", "2", "3"]
    assert outcome.failed["dies"].endswith("exit code 9; if an error caused it, it stands above")
    assert outcome.failed["killed"].endswith("by signal 9 (out of memory, or killed)")


def test_an_idle_worker_that_died_is_replaced(tmp_path: Path) -> None:
    """It is killed between its first task and the next, as the system does when memory is short."""
    pid = tmp_path / "pid"
    tasks = [Task("first", DieAtRest(pid), "first"), Task("next", Touch(tmp_path / "next"), "next", needs=("first",))]

    def kill(event: Event) -> None:
        if (event.status, event.task.id) == ("done", "first"):
            os.kill(int(pid.read_text()), signal.SIGKILL)
            time.sleep(0.2)

    outcome = Workers(1).run(tasks, kill)
    assert (outcome.done, outcome.failed) == (["first", "next"], {})


def test_a_job_that_cannot_be_read_or_sent_says_so_and_the_rest_goes_on(tmp_path: Path) -> None:
    tasks = [
        Task("unreadable", Unreadable(), "unreadable", cost=9),
        Task("unsendable", lambda context: None, "unsendable", cost=8),
        Task("a", Touch(tmp_path / "a"), "a"),
    ]
    outcome = Workers(1).run(tasks, lambda _: None)
    assert outcome.done == ["a"]
    assert "No module named 'my_losses'" in outcome.failed["unreadable"]
    assert "this job cannot be sent" in outcome.failed["unsendable"]


BOTH = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["interrupt", "terminate"])
"""Of a terminal, and of a scheduler, `timeout` or a container that ends."""


@BOTH
def test_an_interrupt_while_a_worker_starts_does_not_kill_it(tmp_path: Path, number: int) -> None:
    """It is sent to the whole group: the child is signaled as soon as there is one."""
    done = threading.Event()

    def interrupt_children() -> None:
        signaled: set[int] = set()
        while not done.is_set() and not signaled:
            for child in multiprocessing.active_children():
                if child.pid is not None:
                    os.kill(child.pid, number)
                    signaled.add(child.pid)

    threading.Thread(target=interrupt_children).start()
    outcome = Workers(1).run([Task("a", Touch(tmp_path / "a"), "a")], lambda _: None)
    done.set()
    assert (outcome.done, outcome.failed) == (["a"], {})


@BOTH
def test_the_first_interrupt_lets_jobs_leave_a_checkpoint(tmp_path: Path, number: int) -> None:
    """Sent to the worker too, as to all of the group."""
    started, left = tmp_path / "started", tmp_path / "left"
    tasks = [
        Task("waits", Wait(started, left), "waits", cost=9),
        Task("later", Touch(tmp_path / "later"), "later", needs=("waits",)),
    ]

    def interrupt() -> None:
        while not started.exists():
            time.sleep(0.01)
        for child in multiprocessing.active_children():
            if child.pid is not None:
                os.kill(child.pid, number)
        os.kill(os.getpid(), number)

    threading.Thread(target=interrupt).start()
    heard: list[str] = []
    outcome = Workers(1, on_interrupt=lambda: heard.append("heard")).run(tasks, lambda _: None)
    assert (outcome.stopped, outcome.failed) == (True, {})
    assert heard == ["heard"]
    assert left.exists()
    assert not (tmp_path / "later").exists()


def test_workers_need_no_shared_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where /dev/shm cannot be written, `multiprocessing` can make neither a lock nor an event."""

    def refused(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("multiprocessing.synchronize.SemLock.__init__", refused)
    with pytest.raises(PermissionError):
        multiprocessing.get_context("spawn").Event()
    outcome = Workers(2).run([Task(name, Touch(tmp_path / name), name) for name in "abc"], lambda _: None)
    assert (sorted(outcome.done), outcome.failed) == (["a", "b", "c"], {})


def test_lowest_rank_first_then_what_is_half_done_then_longest(tmp_path: Path) -> None:
    job = Touch(tmp_path / "x")
    queue = Queue.of(
        [
            Task("short", job, "", cost=1),
            Task("long", job, "", cost=5),
            Task("later", job, "", cost=9, rank=1, is_half_done=True),
            Task("half", job, "", cost=0.5, is_half_done=True),
            Task("probe", job, "", ("long",), cost=0.1, rank=-1),
        ]
    )
    assert [task.id for task in (queue.take(), queue.take()) if task] == ["half", "long"]
    queue.finish("long")
    assert [task.id for task in (queue.take(), queue.take(), queue.take()) if task] == ["probe", "short", "later"]
    assert queue.take() is None
