"""Parts of tables: `assay results` with `--columns`, `--rows` and `--markdown`."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path

import pytest
from tests.cli.asking import Asking

from assay.store.folder import STUDY, RunFolder
from assay.store.schema import TRIALS


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A run with three trials in its table."""
    monkeypatch.chdir(tmp_path)
    rows = [
        {"trial": f"t{seed}", "recipe": recipe, "seed": seed, "status": status, "seconds": seconds}
        for seed, (recipe, status, seconds) in enumerate(
            [("focal|mean", "done", 2.5), ("supcon", "done", math.nan), ("supcon", "failed", 1.0)]
        )
    ]
    kinds = {column.name: column.type for column in TRIALS.columns}
    blank = {name: "" if kind == "VARCHAR" else 0 for name, kind in kinds.items()}
    folder = RunFolder(Path("runs/small"))
    folder.write_table("trials", TRIALS.names, [{**blank, **row} for row in rows])
    (folder.root / STUDY).write_text("{}")
    return "small"


def test_columns_and_rows_choose_a_part_in_every_format(ask: Asking, run: str) -> None:
    part = ("results", run, "--table", "trials", "--columns", "recipe,seed", "--rows", "status=done")
    assert ask(*part).out.splitlines() == ["recipe      seed", "focal|mean     0", "supcon         1"]
    rows = [{"recipe": "focal|mean", "seed": 0}, {"recipe": "supcon", "seed": 1}]
    assert json.loads(ask(*part, "--json").out) == rows
    written = list(csv.DictReader(io.StringIO(ask(*part, "--csv").out)))
    assert written == [{name: str(value) for name, value in row.items()} for row in rows]
    assert ask(*part, "--markdown").out.splitlines() == [
        "| recipe | seed |", "| --- | --: |", "| focal\\|mean | 0 |", "| supcon | 1 |"
    ]  # fmt: skip


def test_several_conditions_all_hold_and_numbers_are_compared_as_numbers(ask: Asking, run: str) -> None:
    part = ("results", run, "--table", "trials", "--columns", "trial", "--json")
    assert json.loads(ask(*part, "--rows", "recipe=supcon", "--rows", "seed=2.0").out) == [{"trial": "t2"}]
    assert json.loads(ask(*part, "--rows", "recipe=supcon", "--rows", "seed=0").out) == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--columns", "recip"], "recipe"),
        (["--rows", "statu=done"], "status"),
        (["--rows", "done"], "expected a column, `=` and a value"),
        (["--csv", "--markdown"], "choose one of them"),
        (["--table", "trial"], "did you mean 'trials'?"),
    ],
)
def test_wrong_parts_are_refused(arguments: list[str], says: str, ask: Asking, run: str) -> None:
    answer = ask("results", run, "--table", "trials", *arguments)
    assert (answer.code, answer.out) == (2, "")
    assert says in answer.err


def test_tables_are_listed_with_their_rows(ask: Asking) -> None:
    lines = {line.split()[0]: line for line in ask("list", "tables").out.splitlines()}
    assert lines["contrasts"].endswith("a row for every pre-specified comparison of two recipes; the value is a - b")


def test_axes_are_columns_that_can_be_chosen_and_selected_by(ask: Asking, run: str) -> None:
    trials = RunFolder(Path("runs/small"))
    rows = trials.table("trials")
    at = [{**row, "coordinates": json.dumps({"loss": row["recipe"], "epochs": "2"})} for row in rows]
    trials.write_table("trials", TRIALS.names, at)
    part = ("results", run, "--table", "trials", "--columns", "coordinates.loss,seed", "--rows", "coordinates.epochs=2")
    written = list(csv.DictReader(io.StringIO(ask(*part, "--csv").out)))
    assert [row["coordinates.loss"] for row in written] == [row["recipe"] for row in rows]
    assert json.loads(ask(*part, "--json").out)[0] == {"coordinates.loss": rows[0]["recipe"], "seed": rows[0]["seed"]}
