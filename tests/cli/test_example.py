"""`assay example` writes a folder that a study runs on, and whose page points at the planted shortcut."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from PIL import Image

import assay
from assay.cli import main


@pytest.mark.acceptance
def test_the_example_runs_and_its_page_shows_the_fall_and_the_near_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="0"):
        main(["example", "mine"])
    assert "Next: assay run mine/study.yaml --open" in capsys.readouterr().out
    rows = list(csv.DictReader((tmp_path / "mine/data.csv").open(encoding="utf-8")))
    assert len(rows) == 601
    assert all(Image.open(tmp_path / "mine" / row["image"]).size == (64, 64) for row in rows[:3])
    run = assay.load("mine/study.yaml").run(tmp_path / "runs", progress=False)
    auroc = {
        row["environment"]: row["value"]
        for row in run.table("seeds").to_dict("records")
        if row["measure"] == "auroc" and row["environment"] in ("same", "reversed") and not row["group"]
    }
    assert auroc["reversed"] < auroc["same"] - 0.2
    assert "near cop" in (run.folder / "report.html").read_text(encoding="utf-8")


def test_a_folder_with_content_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "precious.txt").write_text("mine")
    with pytest.raises(SystemExit, match="2"):
        main(["example", str(tmp_path)])
    assert "is not empty, and nothing was written" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["precious.txt"]
