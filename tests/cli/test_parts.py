"""Parts of tables: `assay results` with `--columns`, `--rows` and `--markdown`."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path

import pytest
from tests.cli.asking import Asking

from assay.plugin import RunFolder
from assay.store.schema import TABLES
from assay.study.kind import STUDY


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
    types = {column.name: column.type for column in TABLES["trials"].columns}
    blank = {name: "" if kind == "VARCHAR" else 0 for name, kind in types.items()}
    folder = RunFolder(Path("runs/small"))
    folder.write_table("trials", TABLES["trials"].names, [{**blank, **row} for row in rows])
    folder.begin(STUDY, {})
    return "small"


def test_columns_and_rows_choose_a_part_in_every_format(ask: Asking, run: str) -> None:
    part = ("results", run, "--table", "trials", "--columns", "recipe,seed", "--rows", "status=done")
    assert ask(*part).out.splitlines() == ["recipe      seed", "focal|mean     0", "supcon         1"]
    rows = [{"recipe": "focal|mean", "seed": 0}, {"recipe": "supcon", "seed": 1}]
    assert json.loads(ask(*part, "--json").out) == rows
    written = list(csv.DictReader(io.StringIO(ask(*part, "--csv").out)))
    assert written == [{name: str(value) for name, value in row.items()} for row in rows]
    assert ask(*part, "--markdown").out.splitlines() == [
        "| recipe | seed |",
        "| --- | --: |",
        "| focal\\|mean | 0 |",
        "| supcon | 1 |",
    ]


def test_true_and_false_are_written_in_any_case(ask: Asking, finished_run: Path) -> None:
    part = ("results", finished_run, "--table", "contrasts", "--json", "--rows")
    for value in ("false", "False"):
        (row,) = json.loads(ask(*part, f"exploratory={value}").out)
        assert row["exploratory"] is False
    assert json.loads(ask(*part, "exploratory=true").out) == []


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


def test_axes_are_columns_that_can_be_chosen_and_selected_by(ask: Asking, run: str) -> None:
    trials = RunFolder(Path("runs/small"))
    rows = trials.table("trials")
    at = [{**row, "coordinates": json.dumps({"loss": row["recipe"], "epochs": "2"})} for row in rows]
    trials.write_table("trials", TABLES["trials"].names, at)
    part = ("results", run, "--table", "trials", "--columns", "coordinates.loss,seed", "--rows", "coordinates.epochs=2")
    written = list(csv.DictReader(io.StringIO(ask(*part, "--csv").out)))
    assert [row["coordinates.loss"] for row in written] == [row["recipe"] for row in rows]
    assert json.loads(ask(*part, "--json").out)[0] == {"coordinates.loss": rows[0]["recipe"], "seed": rows[0]["seed"]}


def test_latex_has_booktabs_escapes_text_and_merges_intervals(ask: Asking, run: str) -> None:
    folder = RunFolder(Path("runs/small"))
    blank = {one.name: "" if one.type == "VARCHAR" else math.nan for one in TABLES["estimates"].columns}
    rows = [
        {**blank, "recipe": r"[a_b] & 50% \x{y}", "value": 0.8401, "low": 0.811, "high": 0.869, "seeds": 3},
        {**blank, "recipe": "x<y", "value": -0.002, "low": -0.031, "high": 0.027, "seeds": 3},
        {**blank, "recipe": "none", "seeds": 3},
    ]
    folder.write_table("estimates", TABLES["estimates"].names, rows)
    columns = "recipe,low,value,high,seeds"
    shown = ask("results", run, "--table", "estimates", "--columns", columns, "--latex").out.splitlines()
    assert shown == [
        r"% needs \usepackage{booktabs}",
        r"\begin{tabular}{lrr}",
        r"\toprule",
        r"recipe & value {[}95\% CI] & seeds \\",
        r"\midrule",
        r"{[}a\_b] \& 50\% \textbackslash{}x\{y\} & 0.84 [0.81, 0.87] & 3 \\",
        r"x$<$y & 0.00 [$-$0.03, 0.03] & 3 \\",
        r"none &  & 3 \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]
    plain = ask("results", run, "--table", "estimates", "--columns", "recipe,low", "--latex").out
    assert r"x$<$y & $-$0.031 \\" in plain


def test_a_figure_is_written_to_a_file(ask: Asking, run_copy: Path, tmp_path: Path) -> None:
    assert ask("figure", "small", "auroc").out.splitlines() == ["auroc.svg"]
    assert (tmp_path / "auroc.svg").read_text(encoding="utf-8").startswith("<svg ")
    assert ask("figure", "small", "auroc", "made/a.png").out.splitlines() == ["made/a.png"]
    assert (tmp_path / "made" / "a.png").read_bytes().startswith(b"\x89PNG")
    refused = ask("figure", "small", "aurco")
    assert refused.code == 2
    assert "did you mean 'auroc'" in refused.err
    assert "ends in .svg" in ask("figure", "small", "auroc", "a.gif").err
