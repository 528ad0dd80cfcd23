"""`assay compare` prints decisions about predictions that were made elsewhere."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.cli.asking import Asking
from tests.compare.test_predictions import rows_of_file
from tests.worlds.files import write_rows

from assay.plugin import RunFolder
from assay.study.kind import STUDY


def test_the_command_prints_decisions_and_json(tmp_path: Path, ask: Asking) -> None:
    path = write_rows(tmp_path / "p.csv", rows_of_file())
    answer = ask("compare", path, "--by", "loss", "--margin", "0.05")
    lines = answer.out.splitlines()
    assert lines[0] == "positive class: 1 in column target, against 0"
    assert lines[1].startswith("scores: probabilities from 0.0")
    assert lines[2] == "AUROC against reference"
    assert lines[3].startswith("  copy       equivalent within 0.05; failed networks: 0 of ")
    assert "95% CI" in lines[3]  # of two tests at 0.025, the first of two by Holm
    assert lines[4].startswith("  worse      lower by more than the margin: -0.")
    found = json.loads(ask("compare", path, "--by", "loss", "--margin", "0.05", "--json").out)
    assert [row["decision"] for row in found["contrasts"]] == ["equivalent", "lower-beyond"]
    assert found["notes"] == []
    assert found["cautions"] == []
    refused = ask("compare", tmp_path / "none.csv", "--by", "loss")
    assert refused.code == 2
    assert "there is no file" in refused.err


def test_models_that_were_trained_once_are_compared_over_patients_alone(tmp_path: Path, ask: Asking) -> None:
    once = [row for row in rows_of_file() if str(row["seed"]) == "0"]
    command = ("compare", write_rows(tmp_path / "p.csv", once), "--by", "loss", "--out", tmp_path / "page")
    lines = ask(*command).out.splitlines()
    assert not any("not tested" in line for line in lines)
    assert any(line.startswith("This holds for these models alone: of one network each,") for line in lines)
    assert lines[-1].startswith(
        "Next: add rows of 3 or more seeds of each, with a column seed, then repeat: assay comp"
    )
    assert lines[-1].endswith(f"--by loss --out {tmp_path / 'page'}"), "with the page of the user"
    assert ask(*command[:4]).out.splitlines()[-1].endswith("--by loss"), "without a page, too"
    assert any(line.startswith("  AUROC of worse minus that of reference: lower, -0.") for line in lines)
    kept = RunFolder(tmp_path / "page").table("differences")
    assert [(row["model"], row["outcome"]) for row in kept][-1] == ("worse", "inferior")
    page = (tmp_path / "page" / "report.html").read_text()
    assert 'id="figure-differences"' in page
    assert "Models that were trained once" in page
    assert re.search(r"<h1>AUROC of \w+ minus that of reference: ", page)
    assert "inconclusive (1 seed" not in page.partition('id="next"')[0]
    lines = ask(*command[:4], "--measure", "accuracy").out.splitlines()
    assert any("not tested: 1 seed" in line for line in lines), "accuracy has no difference over patients alone"
    assert lines[-1].endswith("--by loss --measure accuracy")


def test_a_page_has_the_decisions_and_no_claim_about_training(tmp_path: Path, ask: Asking) -> None:
    path, out = write_rows(tmp_path / "p.csv", rows_of_file()), tmp_path / "page"
    command = ("compare", path, "--by", "loss", "--margin", "0.05", "--out", out)
    report, step = ask(*command).out.splitlines()[-2:]
    assert report == f"report: {out / 'report.html'}"
    assert step.startswith("Next: compare them on images of another site: assay compare OTHER.csv ")
    assert step.endswith(f"--margin 0.05 --out {out}-other")
    assert ask(*command[:4], "--out", out).out.endswith(f"--margin 0.05 --out {out}\n"), "equivalence is tested next"
    page = (out / "report.html").read_text()
    made = {row["key"]: row["value"] for row in RunFolder(out).table("provenance")}["made"]
    assert f"comparison · p · {made[:10]}" in page
    for text in (
        "Predictions were made elsewhere",
        "15 networks (3 losses, 5 seeds) that were trained elsewhere predicted",
    ):
        assert text in page
    twice, empty = "figure-environments-performance", "dose_changes.csv"
    for text in ("At equal budget", "without collapse", "leakage", "order of batches", twice, empty):
        assert text not in page
    found = json.loads(ask(*command, "--json").out)
    kept = RunFolder(out).table("contrasts")
    assert (
        [row["decision"] for row in kept]
        == [row["decision"] for row in found["contrasts"]]
        == ["equivalent", "lower-beyond"]
    )
    assert {row["role"] for row in kept} == {"primary"}
    assert kept[1]["decision_high"] == found["contrasts"][1]["decision_high"]
    RunFolder(out).begin(STUDY, {})
    assert "holds a study, not a comparison of predictions: give another folder" in ask(*command).err


def test_a_seed_that_failed_is_a_caution(tmp_path: Path, ask: Asking) -> None:
    rows = rows_of_file()
    for row in rows:
        row["seed"] = f"run {row['seed']}"
        if row["loss"] == "copy" and row["seed"] == "run 3":
            row["score"] = 1 - row["score"]
    path = write_rows(tmp_path / "p.csv", rows)
    (caution,) = json.loads(ask("compare", path, "--by", "loss", "--json").out)["cautions"]
    assert caution.startswith("1 value of single seeds far from the other seeds")
    assert "copy with seed run 3 has AUROC in these images 0." in caution
    answer = ask("compare", path, "--by", "loss", "--out", tmp_path / "out")
    assert f"caution: {caution}" in answer.out.splitlines()
    assert {row["seed"] for row in RunFolder(tmp_path / "out").table("values")} == set(range(5))
    assert "1: run 1, 2: run 2" in (tmp_path / "out" / "report.html").read_text()
    answer = ask("report", tmp_path / "out")
    assert answer.code == 0
    assert answer.err.endswith("the tables of a comparison of predictions again, run `assay compare` again\n")
