"""Every command answers what it says, and with --json nothing but JSON stands on standard output."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from syrupy.assertion import SnapshotAssertion
from tests.cli.asking import Asking
from tests.worlds.studies import SMALL, write_spec

from assay.cli import app
from assay.store.files import read_rows
from assay.store.schema import TABLES
from assay.study.finished import Result

HIDDEN = ("audit compare", "audit remedy", "audit prepare", "audit score")
"""Commands of two words, which the help of the first word names."""
GROUP: Any = typer.main.get_command(app)
COMMANDS: list[str] = [name for name in GROUP.commands if name not in HIDDEN]


def test_help_lists_every_command(ask: Asking) -> None:
    for arguments in (["--help"], ["-h"], []):
        answer = ask(*arguments)
        lines = (answer.out or answer.err).split("Commands:")[1].splitlines()
        assert [line.split()[0] for line in lines if line.startswith("  ")][: len(COMMANDS)] == COMMANDS
        assert not any("..." in line for line in lines), "no summary is cut"
        assert answer.code == (0 if arguments else 2)
    assert ask("--version").out == "assay 0.1.0\n"


@pytest.mark.parametrize("name", [*COMMANDS, *HIDDEN])
def test_help_has_an_example_that_parses_and_the_options_that_make_sense(
    name: str, ask: Asking, snapshot: SnapshotAssertion
) -> None:
    words = name.split()
    answer = ask(*words, "--help")
    assert answer.code == 0
    command = GROUP.commands[name]
    given: set[str] = {option for parameter in command.params for option in parameter.opts if option.startswith("--")}
    assert sorted(given) == snapshot
    example = " ".join(answer.out.split("Example: ")[1].split()).partition(" > ")[0].split()
    assert example[: 1 + len(words)] == ["assay", *words]
    assert command.make_context(name, example[1 + len(words) :]).params
    if len(words) > 1:
        assert f"`assay {name}`" in " ".join(ask(words[0], "--help").out.split())


def test_list_by_kind_and_as_json(ask: Asking) -> None:
    rows = json.loads(ask("list", "--json").out)
    assert {row["kind"] for row in rows} >= {"study", "loss", "probe", "phantom", "measure"}
    losses = [row["name"] for row in rows if row["kind"] == "loss"]
    assert [line.split()[0] for line in ask("list", "loss").out.splitlines()] == losses
    (auroc,) = (row["summary"] for row in rows if row["name"] == "auroc")
    assert auroc == (
        "chance that an image with the target ranks above one without; higher is better "
        "(probe performance; a contrast names its environment)"
    )
    assert any(line.split()[0] == "auroc" and line.endswith(auroc) for line in ask("list", "measure").out.splitlines())


def test_show_prints_a_study_as_written_or_its_grid_as_it_would_run(ask: Asking, tmp_path: Path) -> None:
    assert "# a list is an axis" in ask("show", "nodule-loss").out
    path = write_spec(tmp_path)
    assert ask("show", path).out == path.read_text()
    changes = ("--set", "recipe.epochs=[3,4]", "--set", "contrasts=[]", "--set", "recipe.epochs=[3,5]", "--seeds", "2")
    grid = json.loads(ask("show", path, "--json", *changes).out)
    assert [point["coordinates"] for point in grid["points"]] == [
        {"loss": loss, "epochs": epochs} for loss in SMALL["recipe"]["loss"] for epochs in ("3", "5")
    ]
    assert (grid["seeds"], grid["trials"]) == (2, 8)


def test_doctor_says_what_is_missing_and_how_to_get_it(
    ask: Asking, run_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSAY_ASSETS", str(run_copy / "nosuch"))
    answer = ask("doctor")
    assert answer.code == 0
    assert f"no folder {run_copy / 'nosuch'}" in answer.out
    assert "set ASSAY_ASSETS to the folder of your image sets" in answer.out
    found = {finding["what"]: finding for finding in json.loads(ask("doctor", "--json").out)}
    assert {"python", "torch", "cores", "device", "run folder", "cache", "real images"} <= set(found)
    assert found["real images"]["light"] == "warn"
    assert found["weights"]["found"] == "none"
    assert "ResNet-50, RadImageNet (ResNet50.pt)" in found["weights missing"]["found"]
    assert "fetch it from the authors" in found["weights missing"]["remedy"]
    assert {finding["light"] for finding in found.values()} <= {"ok", "warn", "bad"}


@pytest.mark.parametrize("table", ["contrasts", "findings", "values", "provenance"])
def test_results_are_the_tables_of_the_run_folder(table: str, ask: Asking, run_copy: Path) -> None:
    described = TABLES[table]
    columns, rows = described.spread(read_rows(run_copy / "tables" / f"{table}.parquet"))
    assert rows
    told = json.loads(ask("results", "small", "--table", table, "--json").out, parse_constant=_refused)
    for named, words in (("contrasts", "comparison"), ("looks", "comparison"), ("findings", "sentence")):
        assert all(row.pop(words) for row in told if table == named)  # English, which the table has not
    assert [list(row) for row in told] == [list(columns)] * len(rows)
    assert all(
        value is None or value == there[key]
        for row, there in zip(told, rows, strict=True)
        for key, value in row.items()
    )
    written = list(csv.DictReader(io.StringIO(ask("results", run_copy, "--table", table, "--csv").out)))
    assert [{key: "" if value is None else str(value) for key, value in row.items()} for row in told] == written
    assert len(ask("results", "small", "--table", table).out.splitlines()) >= len(rows) + 1


def _refused(name: str) -> float:
    raise AssertionError(f"{name} is no JSON")


def test_a_table_for_reading_leaves_out_columns_that_say_nothing(ask: Asking, run_copy: Path) -> None:
    answer = ask("results", "small")
    head, row = answer.out.splitlines()
    assert answer.err.startswith("contrasts: a row for every pre-specified comparison of two recipes")
    assert ask("results", "small", "--csv").err == ""
    printed = ["comparison", "value", "level", "decided low", "decided high", "decided p", "seeds", "decision"]
    assert re.split(" {2,}", head) == printed
    assert row.startswith("AUROC in reversed, SupCon against cross-entropy")
    assert "  3  " in row


@pytest.mark.parametrize("table", TABLES)
def test_no_column_that_is_printed_for_reading_is_headed_by_a_name_of_the_file(table: str) -> None:
    described = TABLES[table]
    assert set(described.displayed) <= set(described.names)
    assert [name for name in described.displayed if "_" in (described.column(name).head or name)] == []


def test_clean_lists_and_deletes_only_when_told(ask: Asking, run_copy: Path) -> None:
    assert ask("clean", "small").out == "everything here is named by the spec\n"
    stray = run_copy / "trials" / "0123456789abcdef"
    stray.mkdir()
    (stray / "record.json").write_text("{}")
    assert json.loads(ask("clean", "small", "--json").out) == {
        "paths": ["runs/small/trials/0123456789abcdef"],
        "bytes": 2,
        "deleted": False,
    }
    assert ask("clean", "small").out.splitlines() == [
        "runs/small/trials/0123456789abcdef",
        "1 units, 0.0 MB: named by no spec; delete with --yes",
    ]
    assert stray.is_dir()
    assert "deleted" in ask("clean", "small", "--yes").out
    assert not stray.exists()


def test_a_finished_study_runs_nothing_and_says_so(ask: Asking, run_copy: Path, tmp_path: Path) -> None:
    answer = ask("run", write_spec(tmp_path))
    assert (answer.code, answer.out.splitlines()[-2]) == (0, "report: runs/small/report.html")
    assert answer.err.splitlines() == [
        "small: 6 trials, 2 recipes, 3 seeds; records in runs/small",
        "every trial and probe is done: nothing to train, comparisons are computed again",
        "reading the images again, for pictures and cautions",
        "making the comparisons",
        "writing the page",
    ]


def events(answer: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in answer.splitlines()]


def test_what_a_run_plans_is_said_before_it_is_trained(ask: Asking, run_copy: Path, tmp_path: Path) -> None:
    answer = ask(
        "run",
        write_spec(tmp_path, seeds=1),
        "--set",
        "contrasts=[]",
        "--set",
        "recipe.loss=[focal]",
        "--set",
        "recipe.epochs=1",
        "--workers",
        "0",
        "--json",
    )
    assert (answer.code, answer.err) == (0, "")
    planned, *between, finished = events(answer.out)
    assert (planned["event"], planned["trials"], planned["to_train"], planned["to_probe"]) == ("planned", 1, 1, 1)
    assert [event["event"] for event in between] == ["started", "done", "started", "done"]
    assert finished.pop("read") == ["positive class: malignant, against not malignant"]
    assert finished.pop("verdict")
    assert finished.pop("primary") == []
    assert finished == {
        "event": "finished",
        "folder": "runs/small",
        "trained": 1,
        "probed": 1,
        "failed": 0,
        "unlearned": 0,
        "stopped": False,
        "report": "runs/small/report.html",
    }


def test_a_finished_run_has_nothing_to_cancel(ask: Asking, run_copy: Path, tmp_path: Path) -> None:
    answer = ask("cancel", str(run_copy))
    assert (answer.code, answer.out) == (0, f"{run_copy}: finished; there is nothing to cancel\n")
    assert not (run_copy / "engine").exists()


BROKEN = '''
from torch import nn
from assay.training.objective import Objective

class Broken(Objective):
    """Fails at the first batch."""
    def __init__(self, context):
        super().__init__()
    def loss(self, outputs, batch, progress):
        raise ValueError("this loss is broken")
'''


def test_a_trial_that_fails_ends_with_1_and_the_rest_goes_on(
    ask: Asking, run_copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_loss.py").write_text(BROKEN)
    monkeypatch.syspath_prepend(tmp_path)  # pyright: ignore[reportUnknownMemberType]
    recipe = {**SMALL["recipe"], "loss": ["cross-entropy", "broken_loss:Broken"]}
    spec = write_spec(tmp_path, recipe=recipe, seeds=1, contrasts=[])
    answer = ask("run", spec, "--workers", "0")
    assert (answer.code, answer.out.splitlines()[-2]) == (1, "report: runs/small/report.html")
    assert "this loss is broken" in answer.err
    assert answer.err.splitlines()[-1] == "1 task failed; the report shows why, and the same command tries again"
    trials = json.loads(ask("results", "small", "--table", "trials", "--json").out)
    assert sorted(row["status"] for row in trials) == ["done", "failed"]


def test_what_nobody_foresaw_has_a_code_of_its_own_and_its_traceback(
    ask: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("a fault")

    monkeypatch.setattr("assay.cli.inspect.list_command", fails)
    answer = ask("list")
    assert (answer.code, answer.out) == (70, "")
    assert answer.err.startswith("Traceback")
    assert answer.err.endswith("RuntimeError: a fault\n")


def test_interrupted_ends_with_130(
    ask: Asking, run_copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped = Result(run_copy, trained=2, probed=0, failed=0, unlearned=0, stopped=True, page=None)

    def ended(*_: object) -> Result:
        return stopped

    monkeypatch.setattr("assay.study.run.run_study", ended)
    answer = ask("run", write_spec(tmp_path))
    assert (answer.code, answer.out) == (130, "")
    assert answer.err.endswith("stopped: 2 trials were finished; the same command continues from here\n")
    assert events(ask("run", write_spec(tmp_path), "--json").out)[-1]["stopped"] is True

    def interrupted(*_: object) -> Result:
        raise KeyboardInterrupt

    monkeypatch.setattr("assay.study.run.run_study", interrupted)
    answer = ask("run", write_spec(tmp_path))
    assert (answer.code, answer.err.splitlines()[-1]) == (130, "interrupted")


def test_a_study_names_modules_of_the_working_directory_as_an_installed_command_too(tmp_path: Path) -> None:
    """`-P` keeps Python from adding the directory itself, as it does for a console script."""
    (tmp_path / "my_marks.py").write_text(
        "import assay\n\n\n@assay.intervention\ndef gray(images):\n    return images / 2\n"
    )
    environments = {"train": {"dose": {"confounder": "my_marks:gray", "p": [0, 1]}}, "clean": {"dose": {"p": 0}}}
    study = {"name": "mine", "data": {"phantom": "nodule", "core": "margin"}, "environments": environments}
    (tmp_path / "mine.yaml").write_text(json.dumps(study))
    (tmp_path / "yaml.py").write_text("raise SystemExit('a file of the directory stands for a library')\n")
    program = "from assay.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-P", "-c", program, "show", "mine.yaml"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "my_marks:gray" in done.stdout
