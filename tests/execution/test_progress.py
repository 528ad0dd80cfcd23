"""Counts, time left, and the three displays."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from assay.execution.local import InProcess
from assay.execution.progress import DOUBT, Counter, JsonDisplay, LiveDisplay, PlainDisplay, display_for, duration
from assay.execution.tasks import Event, Task
from assay.testing.executor import Refuse, Touch


@pytest.fixture
def tasks(tmp_path: Path) -> list[Task]:
    return [
        Task("a", Touch(tmp_path / "a"), "first", cost=10),
        Task("b", Refuse(), "second", cost=30),
        Task("c", Touch(tmp_path / "c"), "third", needs=("b",), cost=20),
    ]


def test_time_left_follows_from_costs_and_how_true_they_proved(tasks: list[Task]) -> None:
    clock = [100.0]
    counter = Counter({task.id: task for task in tasks}, workers=2, now=lambda: clock[0])
    assert counter.seconds_left() == 30  # (10 + 30 + 20) / 2
    counter.see(Event("started", tasks[0]))
    assert counter.seconds_left() == 30
    clock[0] += 60  # until it shows that it has begun, nothing is judged
    counter.see(Event("progress", tasks[0], 0.25, "epoch 1"))
    assert counter.seconds_left() == 28.75
    clock[0] += 5
    counter.see(Event("progress", tasks[0], 0.5, "epoch 2"))
    # a quarter of the first took twice its time: (5 + 30) of training are left at nearly twice the price
    twice = (5 + 40 * DOUBT) / (2.5 + 40 * DOUBT)
    assert counter.seconds_left() == pytest.approx((35 * twice + 20) / 2)
    counter.see(Event("done", tasks[0], seconds=20))
    twice = (20 + 40 * DOUBT) / (10 + 40 * DOUBT)
    assert counter.seconds_left() == pytest.approx((30 * twice + 20) / 2)
    counter.see(Event("failed", tasks[1], text="no"))
    counter.see(Event("skipped", tasks[2]))
    assert counter.seconds_left() == 0
    assert counter.line() == "1/3 tasks done, 0 running, 1 failed, about 0 s left"
    assert counter.last_line() == "1 of 3 tasks done, 1 failed in 0 s; now the comparisons and the page"


def test_trials_and_their_probes_are_counted_apart(tmp_path: Path) -> None:
    job = Touch(tmp_path / "a")
    trials = [Task(name, job, name, counted="trials trained") for name in "abc"]
    probes = [Task(f"probe-{name}", job, name, (name,), counted="trials probed") for name in "ab"]
    counter = Counter({task.id: task for task in (*trials, *probes)}, workers=1)
    for task in (*trials[:2], probes[0]):
        counter.see(Event("done", task))
    assert counter.line().startswith("2/3 trials trained, 1/2 trials probed, 0 running, about ")
    assert counter.last_line() == "2 of 3 trials trained, 1 of 2 trials probed in 0 s"


@pytest.mark.parametrize(
    ("seconds", "said"), [(0, "0 s"), (59.6, "1 min 0 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")]
)
def test_durations_are_said_as_a_person_does(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_where_the_output_goes_decides_how_it_looks(tasks: list[Task], monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(display_for(tasks, 1, as_json=True), JsonDisplay)
    assert isinstance(display_for(tasks, 1, as_json=False), PlainDisplay)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert isinstance(display_for(tasks, 1, as_json=False), LiveDisplay)


@pytest.mark.parametrize("kind", [PlainDisplay, LiveDisplay])
def test_failures_are_told_as_they_happen(
    kind: type[PlainDisplay | LiveDisplay], tasks: list[Task], capsys: pytest.CaptureFixture[str]
) -> None:
    with kind(Counter({task.id: task for task in tasks}, workers=1)) as display:
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
        ("started", "second"), ("failed", "second"), ("skipped", "third"), ("started", "first"), ("done", "first"),
    ]  # fmt: skip


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
            "0/3 tasks done, 1 running, stopping once checkpoints are written; Ctrl-C again stops at once\n"
        )
