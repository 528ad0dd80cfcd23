"""Counts, time left, and the three displays."""

from __future__ import annotations

import io
import json
from collections import UserDict
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console
from tests.execution.executors import Refuse, Touch

from assay.execution.local import InProcess
from assay.execution.progress import ProgressCounter, display_for, progress_table, warn
from assay.execution.tasks import Event, Task

DOUBT = 0.02


@pytest.fixture
def tasks(tmp_path: Path) -> list[Task]:
    return [
        Task("a", Touch(tmp_path / "a"), "first", cost=10),
        Task("b", Refuse(), "second", cost=30),
        Task("c", Touch(tmp_path / "c"), "third", needs=("b",), cost=20),
    ]


def test_time_left_follows_from_costs_and_how_true_they_proved(tasks: list[Task]) -> None:
    clock = [100.0]
    counter = ProgressCounter(tasks, workers=2, now=lambda: clock[0])
    assert counter.seconds_left() == 30  # (10 + 30 + 20) / 2
    assert counter.line() == "0%: 0/3 tasks done, 0 running, measuring the time left"
    counter.see(Event("started", tasks[0]))
    clock[0] += 60  # until it shows that it has begun, nothing is judged
    counter.see(Event("progress", tasks[0], 0.25, "epoch 1"))
    assert counter.seconds_left() == pytest.approx(28.75)
    clock[0] += 5
    counter.see(Event("progress", tasks[0], 0.5, "epoch 2"))
    # a quarter of the first took 5 s: twice its time, and nothing ran beside it
    assert counter.seconds_left() == pytest.approx(55 * (5 + 30 * DOUBT) / (2.5 + 60 * DOUBT))
    counter.see(Event("failed", tasks[1], text="no"))
    counter.see(Event("skipped", tasks[2]))
    counter.see(Event("done", tasks[0], seconds=20))
    assert counter.seconds_left() == 0
    assert counter.line() == "100%: 1/3 tasks done, 0 running, 1 failed, about 0 s left"
    assert counter.last_line() == "1 of 3 tasks done, 1 failed in 1 min 5 s; now the comparisons and the page"


def test_trials_and_their_probes_are_counted_apart(tmp_path: Path) -> None:
    job = Touch(tmp_path / "a")
    trials = [Task(name, job, name, counted="trials trained") for name in "abc"]
    probes = [Task(f"probe-{name}", job, name, (name,), counted="trials probed") for name in "ab"]
    counter = ProgressCounter([*trials, *probes], workers=1)
    for task in (*trials[:2], probes[0]):
        counter.see(Event("done", task))
    assert counter.line().startswith("60%: 2/3 trials trained, 1/2 trials probed, 0 running, about ")
    assert counter.last_line() == "2 of 3 trials trained, 1 of 2 trials probed in 0 s"


def test_a_resumed_run_counts_on_from_what_was_done_before(tmp_path: Path) -> None:
    job = Touch(tmp_path / "a")
    tasks = [Task(str(at), job, str(at), cost=10, counted="trials trained") for at in range(37)]
    counter = ProgressCounter(tasks, workers=2, before={"trials trained": 23, "trials probed": 5})
    assert counter.line() == "38%: 23/60 trials trained, 0 running, measuring the time left"
    assert counter.seconds_left() == 185, "of the 37 tasks that are left"
    for task in tasks:
        counter.see(Event("done", task, seconds=20))
    assert counter.line() == "100%: 60/60 trials trained, 0 running, about 0 s left"
    assert counter.last_line() == (
        "60 of 60 trials trained in 0 s (23 trials trained before); now the comparisons and the page"
    )


@pytest.mark.parametrize("terminal", [True, False])
def test_failures_are_told_as_they_happen(
    terminal: bool, tasks: list[Task], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal)
    with display_for(tasks, 1, as_json=False) as display:
        InProcess().run(tasks, display)
    out, err = capsys.readouterr()
    assert out == ""
    assert "failed: second: row 3 is wrong" in err
    assert "1 of 3 tasks done, 1 failed in 0 s; now the comparisons and the page" in err


def test_json_is_one_object_a_line(tasks: list[Task], capsys: pytest.CaptureFixture[str]) -> None:
    with display_for(tasks, 1, as_json=True) as display:
        InProcess().run(tasks, display)
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(event["event"], event["task"]) for event in told] == [
        ("started", "second"),
        ("failed", "second"),
        ("skipped", "third"),
        ("started", "first"),
        ("done", "first"),
    ]


def test_nothing_to_do_needs_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    with display_for([], 1, as_json=False):
        pass
    assert capsys.readouterr() == ("", "")


def test_an_interrupt_that_was_heard_is_told_at_the_next_event(
    tasks: list[Task], capsys: pytest.CaptureFixture[str]
) -> None:
    heard: list[str] = []
    with display_for(tasks, 1, as_json=False, stopping=lambda: bool(heard)) as display:
        display(Event("started", tasks[0]))
        assert capsys.readouterr().err == ""
        heard.append("Ctrl-C")
        for share in (0.1, 0.2):
            display(Event("progress", tasks[0], share, "epoch 1"))
        assert capsys.readouterr().err == (
            "2%: 0/3 tasks done, 1 running, stopping once checkpoints are written; Ctrl-C again stops at once\n"
        )


def test_the_overall_share_counts_all_work_and_what_is_lost(tasks: list[Task]) -> None:
    counter = ProgressCounter(tasks, workers=1)
    assert counter.share() == 0
    counter.see(Event("progress", tasks[0], 0.5))
    assert counter.share() == pytest.approx(5 / 60)
    counter.see(Event("done", tasks[0], seconds=1))
    counter.see(Event("failed", tasks[1], text="no"))
    assert counter.share() == pytest.approx(40 / 60)
    counter.see(Event("skipped", tasks[2]))
    assert counter.share() == 1


def test_an_event_costs_no_look_at_other_tasks(tasks: list[Task]) -> None:
    """A run of 10,000 trials has a million events."""
    counter = ProgressCounter(tasks, workers=1)
    counter.tasks = Unlisted(counter.tasks)
    counter.see(Event("done", tasks[0], seconds=1))
    assert 0 < counter.share() < 1
    assert counter.seconds_left() > 0


class Unlisted(UserDict[str, Task]):
    def __iter__(self) -> Iterator[str]:
        raise AssertionError


def test_plain_lines_are_one_for_every_tenth(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tasks = [Task(str(k), Touch(tmp_path / str(k)), str(k), cost=1) for k in range(200)]
    with display_for(tasks, 1, as_json=False) as display:
        InProcess().run(tasks, display)
    *lines, last = capsys.readouterr().err.splitlines()
    assert [line.partition(":")[0] for line in lines] == [f"{tenth}0%" for tenth in range(1, 10)]
    assert len(set(lines)) == len(lines)
    assert last.startswith("200 of 200 tasks done")


@pytest.mark.parametrize(("no_color", "red"), [("", True), ("1", False)])
def test_failures_are_red_unless_colors_are_off(
    no_color: str, red: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", no_color)
    warn("failed: third: no")
    err = capsys.readouterr().err
    assert ("\x1b[31m" in err) == red
    assert "failed: third: no" in err


def test_a_terminal_shows_a_bar_and_the_task_of_each_worker(tasks: list[Task]) -> None:
    counter = ProgressCounter(tasks, workers=1)
    counter.see(Event("done", tasks[1], seconds=30))
    counter.see(Event("progress", tasks[0], 0.5, "epoch 1"))
    console = Console(width=100, record=True, file=io.StringIO(), force_terminal=True, color_system=None)
    console.print(progress_table(counter))
    bar, line, worker = console.export_text().splitlines()
    assert bar.strip()
    assert line.startswith("58%: 1/3 tasks done, 1 running")
    assert worker.split() == ["50%", "first", "epoch", "1"]
