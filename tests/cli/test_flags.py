"""Short flags, how much is printed, and runs that only plan."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from tests.cli.asking import Asking
from tests.worlds.studies import SMALL, write_spec

from assay.cli import app
from assay.execution.progress import display_for
from assay.execution.tasks import Context, Event, Task


@pytest.mark.parametrize(
    ("flag", "meaning"), [("-s", "--set"), ("-w", "--workers"), ("-o", "--out"), ("-q", "--quiet"), ("-v", "--verbose")]
)
def test_short_flags_mean_the_same_in_every_command(flag: str, meaning: str) -> None:
    group: Any = typer.main.get_command(app)
    commands: list[Any] = list(group.commands.values())
    options: list[list[str]] = [parameter.opts for command in commands for parameter in command.params]
    assert [opts for opts in options if meaning in opts]
    assert all((flag in opts) == (meaning in opts) for opts in options)


def _nothing(context: Context) -> None:
    """A job that does nothing."""


@pytest.mark.parametrize(
    ("quiet", "verbose", "lines"),
    [
        (True, False, ["failed: supcon: no memory"]),
        (False, False, ["50%: 1/2 trials", "failed: supcon: no memory", "1 of 2 trials, 1 failed in"]),
        (
            False,
            True,
            ["done in 3 s: focal", "50%: 1/2 trials", "failed: supcon: no memory", "1 of 2 trials, 1 failed in"],
        ),
    ],
    ids=["quiet", "plain", "verbose"],
)
def test_failures_are_always_printed_and_finished_tasks_on_request(
    quiet: bool, verbose: bool, lines: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = (Task(name, _nothing, name, counted="trials") for name in ("focal", "supcon"))
    with display_for([one, two], 1, False, quiet=quiet, verbose=verbose) as display:
        display(Event("done", one, seconds=3.0))
        display(Event("failed", two, text="Traceback\nno memory"))
    told = capsys.readouterr().err.splitlines()
    assert len(told) == len(lines)
    assert all(line.startswith(start) for line, start in zip(told, lines, strict=True))


@pytest.mark.acceptance
def test_a_dry_run_states_units_time_and_disk_and_leaves_nothing(
    ask: Asking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    answer = ask("run", write_spec(tmp_path), "-w", "0", "-o", "elsewhere", "--dry-run")
    assert answer.code == 0
    first, second, *_, disk, last = answer.out.splitlines()
    assert first == "small: 6 trials, 2 recipes, 3 seeds; records in elsewhere/small"
    assert "6 trials to train, 6 probes to read: about " in second
    assert disk.startswith("disk: about ")
    assert last == "dry run: nothing was trained"
    assert not list((tmp_path / "elsewhere").glob("*/trials/*"))
    planned = json.loads(ask("run", write_spec(tmp_path), "-w", "0", "--dry-run", "--json").out)
    assert planned["to_train"] == 6
    assert planned["weight_bytes"] > 6 * 4_000


@pytest.mark.acceptance
@pytest.mark.parametrize(
    ("seeds", "says"),
    [(4, "quick look as planned: finds differences from "), (2, "quick look: 2 seeds cannot")],
)
def test_a_quick_scale_says_first_how_little_it_can_show(
    seeds: int, says: str, ask: Asking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    data = {**SMALL["data"], "test": 400}
    spec = write_spec(tmp_path, data=data, scales={"quick": {"seeds": seeds}})
    quick = ask("run", spec, "-w", "0", "--scale", "quick", "--dry-run").out
    assert [line for line in quick.splitlines() if line.startswith(says)] == [quick.splitlines()[2]]
    assert "quick look" not in ask("run", spec, "-w", "0", "--dry-run").out
