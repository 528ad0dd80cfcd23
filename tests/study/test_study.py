"""A study as a whole: what is run, what is not run again, and that nothing is lost."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.worlds.studies import SMALL, TINY, records, run_tiny, write_spec

import assay
from assay.core.files import content_hash
from assay.execution.local import InProcess
from assay.execution.run import rebuild
from assay.execution.tasks import Queue, Task, turn
from assay.plugin import RunFolder
from assay.report.sentences.reasons import reason_words
from assay.report.words import comparison_name
from assay.spec.parse import parse_study
from assay.stats.findings import parse_finding
from assay.study.records import unnamed_units
from assay.study.run import count_unlearned, prepare, run_study


def command(*arguments: str | Path) -> subprocess.Popen[str]:
    """The command line in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "assay", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def run(root: Path, **changes: Any) -> Path:
    """The small study with changes, run in this process beside what `root` holds."""
    return assay.load({**SMALL, **changes}).run(root.parent, workers=0, progress=False).folder


def prepared(root: Path, **changes: Any) -> Any:
    return prepare(parse_study({**SMALL, **changes}), root)


def test_a_study_ends_with_a_page_and_tables(finished_run: Path) -> None:
    assert (finished_run / "report.html").is_file()
    trials = RunFolder(finished_run).table("trials")
    assert [row["status"] for row in trials] == ["done"] * 6
    (contrast,) = RunFolder(finished_run).table("contrasts")
    assert comparison_name(contrast) == "AUROC in reversed, SupCon against cross-entropy"
    assert contrast["low"] < contrast["value"] < contrast["high"]


def kill_after(event: str, count: int, pause: float, *arguments: str | Path) -> None:
    """The command with two workers, all killed so many seconds after an event was told so many times."""
    process = command(*arguments, "--workers", "2", "--json")
    assert process.stdout is not None
    for line in process.stdout:
        count -= json.loads(line)["event"] == event
        if count == 0:
            break
    time.sleep(pause)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


@pytest.mark.acceptance
def test_killed_at_random_and_resumed_the_records_are_the_same_bytes(finished_run: Path, tmp_path: Path) -> None:
    """Two workers, killed with their parent, then one worker: as one process in one go, from Python instead of YAML."""
    spec, seed = write_spec(tmp_path), random.randrange(2**32)
    print("seed of the moments:", seed)  # pytest shows it when this fails
    draw, done = random.Random(seed), 0
    for event, count in (("started", 2), ("done", 2), ("done", 2)):
        kill_after(event, count, draw.uniform(0, 0.3), "run", spec, "--out", tmp_path)
        left = len(list((tmp_path / "small").glob("[tp]r*/*/record.json")))
        assert done <= left
        done = left
    assert done >= 4  # of 12: a fast machine may have all before the last kill
    last = command("run", spec, "--out", tmp_path, "--workers", "1")
    _, err = last.communicate(timeout=300)
    assert last.returncode == 0, err
    assert records(tmp_path / "small") == records(finished_run)


def test_records_do_not_depend_on_the_order_of_tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = parse_study({**TINY, "seeds": 2, "recipe": {**TINY["recipe"], "loss": ["cross-entropy", "focal"]}})
    made: dict[str, tuple[list[str], dict[str, str]]] = {}

    def shuffled(task: Task) -> str:
        return content_hash([1, task.id])

    for name, order in (("usual", turn), ("shuffled", shuffled)):
        monkeypatch.setattr("assay.execution.tasks.turn", order)
        begun: list[str] = []

        @contextmanager
        def watch(_: Sequence[Task], begun: list[str] = begun) -> Generator[Any]:
            yield lambda event: begun.append(event.task.id) if event.status == "started" else None

        root = run_study(prepare(spec, tmp_path / name), watch, InProcess()).folder
        made[name] = begun, records(root)
    assert made["usual"][0] != made["shuffled"][0]
    assert set(made["usual"][0]) == set(made["shuffled"][0])
    assert made["usual"][1] == made["shuffled"][1]


def test_a_second_run_does_nothing(run_copy: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in run_copy.glob("*/*/record.json")}
    bytes_before = records(run_copy)
    run(run_copy)
    assert {path: path.stat().st_mtime_ns for path in run_copy.glob("*/*/record.json")} == before
    assert records(run_copy) == bytes_before


@pytest.mark.parametrize(
    ("changes", "trials", "probes"),
    [
        ({}, 0, 0),
        ({"question": "Another?", "contrasts": []}, 0, 0),
        ({"probes": ["performance", "decodability"]}, 0, 6),
        ({"environments": {**SMALL["environments"], "conflict": {"where": {"texture": "solid"}}}}, 0, 6),
        ({"seeds": 4}, 2, 2),
        ({"recipe": {**SMALL["recipe"], "loss": ["cross-entropy", "supcon", "focal"]}}, 3, 3),
        ({"recipe": {**SMALL["recipe"], "epochs": 3}}, 6, 6),
        ({"data": {**SMALL["data"], "test": 60}}, 0, 6),
    ],
    ids=["nothing", "contrast", "probe", "environment", "seed", "axis", "recipe", "test-rows"],
)
def test_only_what_is_missing_is_run(run_copy: Path, changes: dict[str, Any], trials: int, probes: int) -> None:
    made = prepared(run_copy, **changes)
    assert (made.new_trials, made.new_probes) == (trials, probes)


def test_a_new_probe_reads_kept_models_and_seeds_raised_later_are_told_for_ever(run_copy: Path) -> None:
    weights = {path: path.stat().st_mtime_ns for path in run_copy.glob("trials/*/*")}
    run(run_copy, probes=["performance", "decodability"])
    assert {path: path.stat().st_mtime_ns for path in run_copy.glob("trials/*/*")} == weights
    assert {"auroc", "decodability"} <= {row["measure"] for row in RunFolder(run_copy).table("estimates")}
    run(run_copy, seeds=4)
    rebuild(run_copy)
    rows = [row for row in RunFolder(run_copy).table("findings") if row["kind"] != "limit"]
    said = [reason_words(parse_finding(row).reason) for row in rows]
    assert "the number of seeds was changed from 3 to 4 after results existed" in said


def test_a_contrast_added_later_is_exploratory_for_ever(run_copy: Path) -> None:
    later = {"axis": "loss", "against": "supcon", "measure": "accuracy", "environment": "same"}
    for _ in range(2):
        run(run_copy, contrasts=[*SMALL["contrasts"], later])
        assert [bool(row["exploratory"]) for row in RunFolder(run_copy).table("contrasts")] == [False, True]


def test_what_the_spec_does_not_name_is_found(run_copy: Path) -> None:
    assert unnamed_units(run_copy) == []
    run(run_copy, seeds=1, contrasts=[])
    lost = [path.parent.name for path in unnamed_units(run_copy)]
    assert {kind: lost.count(kind) for kind in set(lost)} == {"trials": 4, "probes": 4, "readings": 8}


@pytest.mark.parametrize(
    "number",
    [
        pytest.param(signal.SIGINT, id="interrupt"),
        pytest.param(signal.SIGTERM, id="terminate", marks=pytest.mark.acceptance),
    ],
)
def test_an_interrupt_stops_cleanly_with_130_and_the_next_run_begins_with_what_is_half_done(
    tmp_path: Path, number: int
) -> None:
    """Sent to the whole group, as a terminal and a scheduler do."""
    spec = write_spec(tmp_path, recipe={**SMALL["recipe"], "epochs": 2000}, contrasts=[], seeds=1)
    process = command("run", spec, "--out", tmp_path, "--workers", "1", "--json")
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["event"] == "planned"
    assert json.loads(process.stdout.readline())["event"] == "started"
    os.killpg(process.pid, number)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert json.loads(out.splitlines()[-1])["stopped"] is True
    assert err == ""
    (checkpoint,) = tmp_path.glob("*/trials/*/checkpoint.pt")
    tasks = prepare(parse_study(spec), checkpoint.parents[2]).tasks
    first = Queue.of(tasks).take()
    assert first is not None
    assert [first.id, *(task.id for task in tasks if task.is_half_done)] == [checkpoint.parent.name] * 2


def test_trials_that_share_a_training_are_counted_each(tmp_path: Path) -> None:
    """As the page counts them."""
    planned = prepare(parse_study(SMALL), tmp_path / "run").plan.trials[0]
    trials = [replace(planned, id=id) for id in ("a", "a", "b", "c", "d")]
    for id, status in (("a", "collapsed"), ("b", "diverged"), ("c", "done")):
        RunFolder(tmp_path).write_record("trials", id, {"status": status})
    assert count_unlearned(trials, RunFolder(tmp_path)) == 3


def test_a_network_whose_running_variance_is_infinite_has_diverged(tmp_path: Path) -> None:
    """Its outputs may be finite, and constant, as if it had collapsed."""
    steep = {"recipe": {"epochs": 2, "batch_size": 8, "optimizer": {"sgd": {"lr": 100}}}, "seeds": 2}
    for result in (run_tiny(tmp_path / "tiny", **steep), run_tiny(tmp_path / "tiny", **steep)):
        trials = assay.open_run(result.folder).table("trials")
        assert (result.failed, set(trials["status"])) == (0, {"diverged"})
