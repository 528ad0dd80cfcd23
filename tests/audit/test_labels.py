"""All labels of a model in one audit: a table of labels, corrected over them, and a page of each."""

from __future__ import annotations

import csv
import html
import importlib
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from scipy.stats import t
from tests.audit.search.test_leads import COUNT, MARKS, MODELS, SIDE, middle, pictures
from tests.worlds.files import write_table

import assay
from assay.audit.labels import _CachedModel, audit_labels
from assay.cli import main
from assay.models.external import CommandModel, CommandNetwork
from assay.models.ref import FunctionOrigin, ModelFacts
from assay.plugin import DataError, RunFolder, SpecError
from assay.probes.reader import scores_of
from assay.stats.rows import numeric


def both(images: np.ndarray) -> np.ndarray:
    """The first output depends on the letter, the second and third on the middle."""
    return np.stack([MODELS["letter"](images), middle(images), middle(images)], axis=1)


def of(cell: str, places: int = 2) -> str:
    """A number of `labels.csv` as a page has it."""
    return f"{float(cell):.{places}f}".replace("0.000", "< 0.001") if cell else "–"


@pytest.mark.nightly
def test_every_label_has_a_row_a_page_and_a_p_corrected_over_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        importlib.import_module("assay.audit.command"), "origin_of", lambda *_, **__: FunctionOrigin(both)
    )
    pictures(tmp_path / "set")
    rows = list(csv.reader((tmp_path / "set" / "data.csv").open(encoding="utf-8")))
    more = [["copy", "rare"], *([row[1], int(at < 3)] for at, row in enumerate(rows[1:]))]
    write_table(tmp_path / "set" / "data.csv", [[*row, *new] for row, new in zip(rows, more, strict=True)])
    asked = ["audit", "m.onnx", "--images", "set", "--output", "all", "--size", str(SIDE), "--out", "out", "--as-given"]
    with pytest.raises(SystemExit, match="2"):
        main(asked)
    assert "name the column of each output, in their order, with --target A,B,C" in capsys.readouterr().err
    for place in ("set", "set/data.csv"):
        with pytest.raises(SystemExit, match="2"):
            main([*asked, "--images", place, "--target", "label,cpoy,rare"])
        assert "--target: unknown column 'cpoy': did you mean 'copy'?" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main([*asked, "--target", "rare,copy,label,who"])
    few = "--target needs 4 outputs, and the model has 3: name the column of each output, in their order"
    assert capsys.readouterr().err.splitlines()[-1] == few
    assert not Path("out").exists(), "before anything is read"
    with pytest.raises(SystemExit, match="0"):
        main([*asked, "--target", "label,copy,rare", "--patient", "who", "--quiet"])
    said = capsys.readouterr().out
    assert "label: AUROC" in said
    assert said.count("does not rule out a shortcut. p: ") == 1
    assert "A bright mark in the lower right corner: finding without a verified limit; effect" in said
    assert "rare: 157 of 'not rare' and 3 of 'rare': nothing is decided with fewer than 20 images of a class" in said
    found = {
        row["label"]: row for row in csv.DictReader(Path("out/labels.csv").read_text(encoding="utf-8").splitlines())
    }
    alone: list[float] = []
    for label in ("label", "copy"):
        region, *_ = regions = RunFolder(Path("out") / label).table("regions")
        error = (region["value"] - region["value_low"]) / t.ppf(0.95, region["patients"] - 1)
        searches = np.isfinite([numeric(one, "value") for one in regions]).sum()
        alone.append(float(searches * t.sf((region["value"] - region["least"]) / error, region["patients"] - 1)))
    held = [float(found[label]["p"]) for label in ("label", "copy")]
    least, other = sorted(alone)
    assert sorted(held) == pytest.approx([2 * least, max(2 * least, other)], rel=1e-6)
    assert found["rare"]["p"] == ""
    page = Path("out/report.html").read_text()
    assert re.findall(r"<h1>(.*?)</h1>", page) == [
        "1 of 3 labels: a bright mark in the lower right corner, finding without a verified limit; 1: the look of the "
        "middle, finding without a verified limit; 1: not tested."
    ]
    assert re.findall(r'class="meta">(.*?)<', page) == ["both · 3 labels · 160 images"]
    cells = [html.unescape(re.sub(r"<[^>]*>", "", cell)) for cell in re.findall(r"<td[^>]*>(.*?)</td>", page)]
    parts = [
        (
            row["label"],
            row["found"] or row["reason"],
            of(row["auroc"]),
            *(of(row[name]) for name in ("value", "value_low", "limit")),
            of(row["p"], 3),
        )
        for row in found.values()
    ]
    assert cells == [cell for part in parts for cell in part]
    assert re.findall(r'<a href="([^"#]+)">', page) == ["./label/report.html", "./copy/report.html"]
    for command in (["compare", "out", "out/label"], ["remedy", "out", "covered"]):
        with pytest.raises(SystemExit, match="2"):
            main(["audit", *command])
        inner = "out holds no audit of its own but those of copy, label; give one, such as out/copy"
        assert inner in capsys.readouterr().err


@pytest.mark.nightly
def test_a_label_has_the_region_that_its_page_leads_with(tmp_path: Path) -> None:
    """A mark on few images is found by the search of marks drawn alike, and by no other."""
    data = pictures(tmp_path / "set", "both", tie=0.0)

    def rare(images: np.ndarray) -> np.ndarray:
        mark = MODELS["both"](images) - MODELS["letter"](images)
        return np.stack([mark + 0.1 * middle(images)] * 2, axis=1)

    found = assay.audit(
        rare,
        {**data, "target": ["label"]},
        output="all",
        out=tmp_path / "out",
        marks=MARKS,
        distortions=[],
        as_given=True,
        progress=False,
    )
    place, _, drawn, *_ = found.labels["label"].table("regions").to_dict("records")
    assert place["verdict"] != "unverified" == drawn["verdict"]
    (row,) = csv.DictReader((tmp_path / "out" / "labels.csv").read_text(encoding="utf-8").splitlines())
    assert (row["verdict"], row["found"]) == (
        "unverified",
        "A bright mark in the left side: finding without a verified limit",
    )


def test_images_are_read_once_for_all_labels_unless_answers_change() -> None:
    given: list[int] = []

    def counted(images: np.ndarray) -> np.ndarray:
        given.append(len(images))
        return images.mean(axis=(2, 3))

    def told(status: str) -> RunFolder:
        return cast("RunFolder", SimpleNamespace(table=lambda _: [{"check": "repeatable", "status": status}]))

    images: Any = torch.rand(6, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    steady = _CachedModel(FunctionOrigin(counted))
    network = steady.network("cpu")
    first = network(images[:4])
    network(images[:4])
    assert given == [4, 4], "one label asks a second time"
    steady.next_label(told("ok"))
    again = steady.network("cpu")(images)
    assert given == [4, 4, 2]
    assert torch.equal(again[:4], first)
    assert again.numpy() == pytest.approx(images.mean(dim=(2, 3)).numpy())
    moody = _CachedModel(FunctionOrigin(counted))
    moody.network("cpu")(images)
    moody.next_label(told("warn"))
    moody.network("cpu")(images)
    assert given == [4, 4, 2, 6, 6]


def test_python_audits_every_label_and_reads_an_image_once(tmp_path: Path) -> None:
    given: list[int] = []

    def counted(images: np.ndarray) -> np.ndarray:
        given.append(len(images))
        return both(images)

    data = pictures(tmp_path / "set")
    rows = list(csv.reader((tmp_path / "set" / "data.csv").open(encoding="utf-8")))
    write_table(tmp_path / "set" / "data.csv", [[*row, row[1] if at else "copy"] for at, row in enumerate(rows)])
    asked: dict[str, Any] = {"marks": MARKS, "distortions": [], "as_given": True, "progress": False}
    with pytest.raises(SpecError, match="unknown column 'lable': did you mean 'label'"):
        assay.audit(counted, {**data, "target": ["lable", "copy"]}, output="all", out=tmp_path / "out", **asked)
    with pytest.raises(SpecError, match="list the column of each output"):
        assay.audit(counted, data, output="all", out=tmp_path / "out", **asked)
    found = assay.audit(counted, {**data, "target": ["label", "copy"]}, output="all", out=tmp_path / "out", **asked)
    assert list(found.labels) == ["label", "copy"]
    assert (found.folder / "report.html").is_file()
    leads = {label: one.table("regions").iloc[0]["verdict"] for label, one in found.labels.items()}
    assert leads["label"] == "unverified"
    all_at_once = sum(given)
    given.clear()
    for label, output in (("label", 0), ("copy", 1)):
        assay.audit(counted, {**data, "target": label}, output=output, out=tmp_path / label, **asked)
    assert all_at_once <= sum(given) - COUNT


def test_labels_that_are_not_named_are_the_columns_that_are_called_like_an_output(tmp_path: Path) -> None:
    origin = cast(
        "Any", SimpleNamespace(facts=ModelFacts(outputs=("label", "other", "rare")), kind="", complete=True, opaque="")
    )
    write_table(tmp_path / "data.csv", [["image", "rare", "label"]])
    audited: list[tuple[str, int]] = []

    def audit(_: Any, label: str, output: int, folder: Path) -> Path:
        audited.append((label, output))
        raise DataError("no images")

    with pytest.raises(SpecError, match="no images"):
        audit_labels(origin, (), tmp_path / "data.csv", tmp_path, audit)
    assert audited == [("label", 0), ("rare", 2)]
    with pytest.raises(SpecError, match="unknown output 'lable': did you mean 'label'"):
        audit_labels(origin, ("lable",), tmp_path / "data.csv", tmp_path, audit)
    with pytest.raises(SpecError, match="unknown column 'other': allowed: image, label, rare"):
        audit_labels(origin, ("label", "other"), tmp_path / "data.csv", tmp_path, audit)
    assert len(audited) == 2


@pytest.mark.parametrize("named", ["set", "set/data.csv"])
def test_no_column_of_a_table_behind_a_link_is_named(
    named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        importlib.import_module("assay.audit.command"), "origin_of", lambda *_, **__: FunctionOrigin(both)
    )
    write_table(tmp_path / "private.csv", [["image", "salary"]])
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "data.csv").symlink_to(tmp_path / "private.csv")
    command = ["audit", "m.onnx", "--images", named, "--output", "all", "--target", "a,b,c", "--out", "out"]
    for more, refused in (([], True), (["--follow-links"], False)):
        with pytest.raises(SystemExit, match="2"):
            main([*command, *more])
        error = capsys.readouterr().err
        assert ("leads out of the folder by a link" in error, "salary" in error) == (refused, not refused), error
    for data, refused in (({}, True), ({"links": "follow"}, False)):
        with pytest.raises(SpecError) as raised:
            assay.audit(both, {"folder": "set", "table": "data.csv", "target": ["a"], **data}, output="all", out="out")
        assert ("by a link" in str(raised.value), "salary" in str(raised.value)) == (refused, not refused)


def test_the_folders_of_labels_that_a_file_names_lie_in_the_folder_of_the_audit(tmp_path: Path) -> None:
    labels = ("label", "Pleural Effusion", str(tmp_path / "thesis"), "../thesis", "..", "a" * 300)
    origin = cast("Any", SimpleNamespace(facts=ModelFacts(outputs=labels), kind="", complete=True, opaque=""))
    write_table(tmp_path / "data.csv", [["image", *labels]])
    folders: list[Path] = []

    def audit(_: Any, label: str, output: int, folder: Path) -> Path:
        folders.append(folder)
        raise DataError("no images")

    with pytest.raises(SpecError, match="no images"):
        audit_labels(origin, (), tmp_path / "data.csv", tmp_path / "out", audit)
    assert [folder.name for folder in folders[:2]] == ["label", "Pleural Effusion"]
    assert {folder.resolve().parent for folder in folders} == {(tmp_path / "out").resolve()}
    assert len(set(folders)) == len(labels)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "label").symlink_to(tmp_path)
    with pytest.raises(SpecError, match=r"label is a link that leads out of .*out: choose another place"):
        audit_labels(origin, (), tmp_path / "data.csv", tmp_path / "out", audit)
    assert len(folders) == len(labels)


def test_a_program_is_started_as_rarely_for_all_labels_as_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    starts: list[int] = []

    def forward(_: CommandNetwork, images: torch.Tensor) -> torch.Tensor:
        starts.append(len(images))
        return images.mean(dim=(2, 3))

    monkeypatch.setattr(CommandNetwork, "forward", forward)
    origin, images = (
        CommandModel("predict {images} {scores}"),
        np.random.default_rng(0).random((600, 1, 8, 8), np.float32),
    )
    for one in (origin, _CachedModel(origin)):
        scores_of(cast("Any", SimpleNamespace(network=one.network("cpu"), device="cpu")), images, 2)
    assert starts == [600, 600]
