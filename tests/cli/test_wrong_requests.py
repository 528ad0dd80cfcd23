"""What is wrong with a request is told in one place, with what is allowed; nothing is written and the code is 2.

`wrong_requests.txt` holds the requests with the lines that answer them.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.cli.asking import Asking
from tests.worlds.studies import write_spec

ENTRIES = (Path(__file__).parent / "wrong_requests.txt").read_text(encoding="utf-8").removeprefix("$ assay ")
WRONG = [entry.strip().partition("\n")[::2] for entry in ENTRIES.split("\n$ assay ")]


@pytest.mark.parametrize(("words", "text"), WRONG, ids=[words for words, _ in WRONG])
def test_it_is_told_and_nothing_is_written(
    words: str, text: str, ask: Asking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_spec(tmp_path)
    answer = ask(*words.split())
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.splitlines()[: text.count("\n") + 1] == text.splitlines()
    assert len(answer.err.splitlines()) <= 3
    assert [path.name for path in tmp_path.iterdir()] == ["small.yaml"]


def test_a_run_is_looked_for_among_those_that_there_are(ask: Asking, run_copy: Path) -> None:
    answer = ask("results", "smal")
    assert (answer.code, answer.err) == (2, "no run folder 'smal', nor 'runs/smal': did you mean 'small'?\n")


@pytest.mark.parametrize(
    ("words", "near"),
    [
        ("audit model.onx --images data.csv --target finding", "model.onnx"),
        ("audit model.onnx --images dat.csv --target finding", "data.csv"),
        ("validate sub/score.csv", "sub/scores.csv"),
        ("compare sub/score.csv --by loss", "sub/scores.csv"),
        ("look image", "images"),
        ("look dta.csv", "data.csv"),
        ("init image", "images"),
        ("audit none.onnx --images data.csv --target finding", ""),
    ],
)
def test_a_path_to_nothing_gets_the_nearest_that_there_is(
    words: str, near: str, ask: Asking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("model.onnx", "model.safetensors", "data.csv", "sub/scores.csv", "images/0.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    answer = ask(*words.split())
    assert answer.code == 2
    assert answer.err.rstrip().endswith(f"did you mean '{near}'?") if near else "did you mean" not in answer.err


def test_a_run_that_never_finished_has_no_tables(ask: Asking, run_copy: Path) -> None:
    for name in ("manifest.json", "tables/stamp.json", "tables/contrasts.parquet"):
        (run_copy / name).unlink()
    answer = ask("results", "small")
    said = "runs/small holds no table 'contrasts': run the study, which trains only what is missing\n"
    assert (answer.code, answer.err) == (2, said)


def test_an_output_folder_that_is_a_file(ask: Asking, run_copy: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    answer = ask("run", write_spec(tmp_path), "--out", "file", "--workers", "0")
    assert answer.code == 2
    assert "choose another place with --out" in answer.err.splitlines()[-1]
    assert "Traceback" not in answer.err
