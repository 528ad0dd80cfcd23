"""Cells, names and paths of any length are read in time that grows with them: otherwise these tests do not end."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.cli.asking import Asking
from tests.safety.test_links import save_images
from tests.worlds.audits import images as noise_images
from tests.worlds.files import write_table

from assay.store.files import read_checked_json, write_checked_json

MANY = 120_000
UNSEEN = "\u200b"


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str]) -> Asking:
    return Asking(capsys)


@pytest.mark.parametrize(
    ("column", "label"),
    [
        (f"p{UNSEEN * 400_000}atient", "mass"),
        ("patient", f"mass{' ' * MANY}left"),
        ("patient", f"[{',' * MANY}x"),
        ("patient", "'" * MANY + "|"),
        ("patient", f"{'0' * MANY}x"),
    ],
    ids=["unseen", "blanks", "commas", "quotes", "digits"],
)
def test_names_and_labels_of_any_length(column: str, label: str, tmp_path: Path, ask: Asking) -> None:
    save_images(tmp_path / "set", [f"{at}.png" for at in range(12)])
    rows = [[f"{at}.png", ["no", label][at % 2], at] for at in range(12)]
    write_table(tmp_path / "set" / "data.csv", [["image", "finding", column], *rows])
    said = ask("init", tmp_path / "set", "--target", "finding", "--out", tmp_path / "study.yaml")
    assert said.code in (0, 2), said.err
    assert "Traceback" not in said.err


@pytest.mark.parametrize("cell", [f"{'(' * 4_000}{')' * 4_000}x", f"{'0' * MANY}x"])
def test_a_score_of_any_length_is_refused(cell: str, tmp_path: Path, ask: Asking) -> None:
    rows = [[at, at % 2, 0.01 * at] for at in range(60)]
    write_table(tmp_path / "scores.csv", [["image", "target", "score"], *rows, [60, 1, cell]])
    said = ask("validate", tmp_path / "scores.csv", "--out", tmp_path / "run")
    assert (said.code, "score" in said.err, "Traceback" in said.err) == (2, True, False), said.err


def test_paths_beside_a_run_of_any_length_are_compared(tmp_path: Path, ask: Asking) -> None:
    noise_images(tmp_path / "set", 48)
    rows = [[at, at % 2, (at * 0.37) % 1] for at in range(60)]
    write_table(tmp_path / "scores.csv", [["image", "target", "score"], *rows])
    assert ask("validate", tmp_path / "scores.csv", "--by", "image", "--out", tmp_path / "run").code == 0
    paths = tmp_path / "run" / "local" / "run-paths.json"
    values = read_checked_json(paths)
    values["values"]["x"] = "=../" * 60_000
    write_checked_json(paths, values, sort_keys=False)
    said = ask("results", tmp_path / "run")
    assert "Traceback" not in said.err
    assert said.code in (0, 2)
