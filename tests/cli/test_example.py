"""`assay example` writes a folder that a study runs on, and whose page points at the planted shortcut."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import pytest
from PIL import Image
from tests.worlds.files import sha256_of

import assay
from assay.cli import main
from assay.plugin import RunFolder

ROOT = Path(__file__).parents[2]
MODEL = ROOT / "src" / "assay" / "studies" / "examples" / "chest-mass.onnx"


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
    assert "copies, exact or near: 1 picture in 2 files" in (run.folder / "report.html").read_text(encoding="utf-8")


def test_the_comment_of_the_study_is_true_of_its_images(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["example", str(tmp_path / "mine")])
    comment = (tmp_path / "mine/study.yaml").read_text(encoding="utf-8").partition("name:")[0].replace("\n# ", " ")
    assert "Most malignant ones are part-solid or ground-glass, and most benign ones solid" in comment
    rows = list(csv.DictReader((tmp_path / "mine/data.csv").open(encoding="utf-8")))
    for target, textures in (("yes", {"part-solid", "ground-glass"}), ("no", {"solid"})):
        of_class = [row["texture"] in textures for row in rows if row["malignant"] == target]
        assert sum(of_class) > 0.8 * len(of_class)


def test_a_folder_with_content_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "precious.txt").write_text("mine")
    with pytest.raises(SystemExit, match="2"):
        main(["example", str(tmp_path)])
    assert "is not empty, and nothing was written" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["precious.txt"]


@pytest.mark.acceptance
def test_the_audit_of_the_shipped_model_names_the_planted_tag_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="0"):
        main(["example", "demo", "--audit"])
    command = capsys.readouterr().out.strip().partition("Next: assay ")[2]
    assert command.removesuffix("\n") in (ROOT / "Makefile").read_text(), "make demo runs the same"
    assert command in (ROOT / "docs/how-to/audit-a-model.md").read_text()
    with pytest.raises(SystemExit, match="0"):
        main([*command.split(), "--out", "audit", "--quiet", "--no-pictures"])
    first, *others = RunFolder(tmp_path / "audit").table("verdicts")
    assert first["factor"] == "tag"
    assert first["verdict"] == "relies-on", "beyond the shipped reference networks"
    assert first["low"] > 0.4
    line = next(row for row in others if row["factor"] == "text-line")
    assert (line["verdict"], line["place"]) == ("affected-by", "top"), "nothing at its usual place, the bottom"
    assert first["family"] == "objects"
    page = (tmp_path / "audit/report.html").read_text(encoding="utf-8")
    assert "Error rates of this audit" in page
    assert "0 of 61 audits of networks that never saw a mark (at most 5.9%)" in page
    assert "This model relies on the tag (and similar marks)" in page


def test_the_shipped_model_is_small_and_has_the_hash_of_the_docs() -> None:
    assert MODEL.stat().st_size < 300_000
    assert sha256_of(MODEL) in (ROOT / "docs/how-to/audit-a-model.md").read_text(encoding="utf-8")


def test_an_audit_of_onnx_without_the_extra_prints_the_line_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(SystemExit, match="2"):
        main(["audit", str(MODEL), "--images", str(ROOT), "--target", "mass"])
    error = capsys.readouterr().err
    assert "pip install 'assay-imaging[onnx]'" in error
    assert len(error.strip().splitlines()) <= 3
