"""Audits in two steps: images for a model elsewhere, and verdicts from its scores."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.worlds.audits import LESION_MARKS, MARKS, bright, images, lesions, require_valid, run, shortcut, verdicts
from tests.worlds.files import save, write_table

import assay
from assay.audit.prepared import finish_audit, prepare_images
from assay.audit.request import AuditRequest
from assay.plugin import DataError, RunFolder, SpecError


def elsewhere(folder: Path, out: Path, skip: int = 0) -> Path:
    """Score the pictures of a folder as the model does, in another order, and write the CSV."""
    rows: list[list[object]] = [["image", "score"]]
    for path in sorted((folder / "images").iterdir(), reverse=True)[skip:]:
        pixels = np.asarray(Image.open(path), dtype=np.float32)[None, None] / 255
        rows.append([path.name, repr(float(shortcut(pixels)[0]))])
    write_table(out, rows)
    return out


def of_pictures(images: np.ndarray) -> np.ndarray:
    """The model on images of 8 bit, as it gets them elsewhere."""
    return shortcut((images * 255).round() / 255)


def same(found: Path, direct: assay.Audit, **tables: list[str]) -> None:
    """Require the verdicts and numbers of an audit in two steps to be those of the direct one."""
    again = assay.open_run(found)
    assert isinstance(again, assay.Audit)
    require_valid(found)
    assert verdicts(again) == verdicts(direct)
    for table, numbers in tables.items():
        np.testing.assert_allclose(again.table(table)[numbers], direct.table(table)[numbers], atol=1e-6)


def test_two_steps_give_the_verdicts_of_the_direct_audit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = {**images(tmp_path / "set", 40), "factors": {"sex": "categorical"}}
    lines = (tmp_path / "set" / "data.csv").read_text().splitlines(keepends=True)
    (tmp_path / "set" / "train.csv").write_text("".join(lines[:11]))
    (tmp_path / "marks.yaml").write_text(json.dumps({"tag": MARKS["tag"]}))
    monkeypatch.chdir(tmp_path)
    more = ["--target", "label", "--patient", "who", "--columns", "sex", "--size", "24", "--marks", "marks.yaml"]
    asked = ["audit", "prepare", "dir", "--images", "set/data.csv", *more, "--train", "set/train.csv"]
    assert run(asked) == 0
    assert "then: assay audit score" in capsys.readouterr().out
    files = sorted(path.name for path in (tmp_path / "dir" / "images").iterdir())
    assert (tmp_path / "dir" / "images.csv").read_text().splitlines() == ["image", *files]
    scores = str(elsewhere(tmp_path / "dir", tmp_path / "scores.csv"))
    with Path(scores).open("a") as file:
        file.write("elsewhere/another.png,0.2\n")
    monkeypatch.chdir(tmp_path / "set")
    score, out = ["audit", "score", str(tmp_path / "dir"), scores], tmp_path / "dir" / "audit"
    assert run([*score, "--name", "far", "--no-pictures"]) == 0
    said = capsys.readouterr()
    assert f"report: {out / 'report.html'}" in said.out
    assert "scores.csv: 1 rows are of no image that was prepared, and were not read" in said.err
    assert not (out / "pictures").exists()
    direct = assay.audit(of_pictures, data, marks={"tag": MARKS["tag"]}, out=tmp_path / "direct", progress=False)
    same(out, direct, verdicts=["g", "low", "high", "loss", "flips"], distorted=["loss", "flips"])
    assert {row["key"]: row["value"] for row in RunFolder(out).table("provenance")}["model"] == "far"
    checks = {row["check"]: row["value"] for row in RunFolder(out).table("checks")}
    assert (checks["training-copies"], checks["training-patients"]) == (10, 10)
    assert all("search-in-steps" in row["reason"] for row in RunFolder(out).table("regions"))

    lacking = elsewhere(tmp_path / "dir", tmp_path / "lacking.csv", skip=3)
    with pytest.raises(DataError, match=r"no row for 3 of \d+ images"):
        finish_audit(tmp_path / "dir", lacking, AuditRequest())
    picture = next((tmp_path / "dir" / "images").iterdir())
    kept = picture.read_bytes()
    picture.write_bytes(kept[:-1] + b"x")
    with pytest.raises(DataError, match=rf"{picture.name}: it is damaged .*; prepare the images again in a new folder"):
        finish_audit(tmp_path / "dir", Path(scores), AuditRequest())
    picture.write_bytes(kept)
    with pytest.raises(DataError, match=r"has no prepared.json"):
        finish_audit(tmp_path / "set", Path(scores), AuditRequest())
    Image.open(tmp_path / "set" / "1.png").transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(tmp_path / "set" / "0.png")
    with pytest.raises(DataError, match="are not those that were prepared"):
        finish_audit(tmp_path / "dir", Path(scores), AuditRequest(out=tmp_path / "changed"))


def of_masks(images: np.ndarray) -> np.ndarray:
    """The model on images of 8 bit, with masks in place of log-odds."""
    return np.where(bright((images * 255).round() / 255) > 0, 20.0, -20.0)


@pytest.mark.nightly
def test_masks_give_the_verdicts_of_the_direct_audit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data: dict[str, Any] = {**lesions(tmp_path / "set", count=60), "factors": {}}
    (tmp_path / "marks.yaml").write_text(json.dumps({"tag": LESION_MARKS["tag"]}))
    more = ["--images", str(tmp_path / "set" / "data.csv"), "--mask", "mask", "--size", "24"]
    assert run(["audit", "prepare", str(tmp_path / "dir"), *more, "--marks", str(tmp_path / "marks.yaml")]) == 0
    assert f"then: assay audit score {tmp_path / 'dir'} masks" in " ".join(capsys.readouterr().out.split())
    pictures = sorted((tmp_path / "dir" / "images").iterdir())
    assert all(path.stem.endswith("_0000") for path in pictures), "nnU-Net reads no other name"
    (tmp_path / "masks").mkdir()
    for path in pictures:
        pixels = np.asarray(Image.open(path), dtype=np.float32)[None, None] / 255
        labels = (of_masks(pixels)[0, 0] > 0).astype(np.uint8)
        Image.fromarray(labels).save(tmp_path / "masks" / f"{path.stem.removesuffix('_0000')}.png")
    assert run(["audit", "score", str(tmp_path / "dir"), str(tmp_path / "masks")]) == 0
    given: dict[str, Any] = {"task": "segmentation", "marks": {"tag": LESION_MARKS["tag"]}}
    direct = assay.audit(of_masks, data, **given, out=tmp_path / "direct", progress=False)
    same(tmp_path / "dir" / "audit", direct, verdicts=["g", "dice", "stray", "flips"], distorted=["dice", "stray"])
    assert verdicts(direct)["tag"] == "affected-by"
    (tmp_path / "heat").mkdir()
    for mask in (tmp_path / "masks").iterdir():
        save(tmp_path / "heat" / mask.name, np.arange(24 * 24).reshape(24, 24).astype(np.uint8))
    with pytest.raises(SpecError, match=r"has 256 gray values, as a heat map has: write labels, 0 for background"):
        finish_audit(tmp_path / "dir", tmp_path / "heat", AuditRequest(out=tmp_path / "of-heat"))
    mask = next((tmp_path / "masks").iterdir())
    mask.rename(tmp_path / mask.name)
    mask.symlink_to(tmp_path / mask.name)
    with pytest.raises(SpecError, match=f"masks/{mask.name}: its path leads out of the folder by a link"):
        finish_audit(tmp_path / "dir", tmp_path / "masks", AuditRequest())
    mask.unlink()
    with pytest.raises(DataError, match=r"has no mask of 1 of \d+ images"):
        finish_audit(tmp_path / "dir", tmp_path / "masks", AuditRequest())
    with pytest.raises(DataError, match="masks are read from a folder"):
        finish_audit(tmp_path / "dir", tmp_path / "set" / "data.csv", AuditRequest())


MARK_FILES = {"one.yaml": "bar: {tag: 1}", "two.yaml": "bar: [tag, tag]", "typo.yaml": "bar: [tagg, tag, tag]"}
SCORED = ["image", "score"]
WRONG_SCORES: dict[str, tuple[Sequence[Sequence[object]], list[str], str]] = {
    "no image": ([["file", "score"], ["{name}", "{score}"]], [], "scores.csv needs a column `image`"),
    "no score": ([["image"], ["{name}"]], [], "needs a column `image` and one column per score"),
    "words": ([SCORED, ["{name}", "high"]], [], "have a score that is not a number"),
    "1_0": ([SCORED, ["{name}", "1_0"]], [], "have a score that is not a number"),
    "constant": ([SCORED, ["{name}", "0.5"]], [], "the model gives all images the same output"),
    "three": ([["image", "a", "b", "c"], ["{name}", "{score}", "0.1", "0.3"]], [], "choose one with --output"),
    "output": ([SCORED, ["{name}", "{score}"]], ["--output", "3"], "output '3': the model has outputs 0 to 0"),
    "threshold": ([SCORED, ["{name}", "{score}"]], ["--threshold", "7"], "threshold 7: expected a probability"),
    "head": ([SCORED, ["{name}", "{score}"]], ["--head", "both"], "expected auto or sigmoid or softmax, not both"),
    "no audits": ([SCORED, ["{name}", "{score}"]], ["--references", "."], "has audits of 0 other networks"),
    "no domain": ([SCORED, ["{name}", "{score}"]], ["--references", "59"], "name the kind of image with --domain"),
    "references": ([SCORED, ["{name}", "{score}"]], ["--references", "5"], "59 networks are the least"),
    "policy": ([SCORED, ["{name}", "{score}"]], ["--policy", "none.yaml"], "none.yaml: there is no such file"),
}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the images `set`, and `dir`, which was prepared of them."""
    root = tmp_path_factory.mktemp("prepared")
    data = images(root / "set", 40)
    prepare_images(root / "dir", AuditRequest(data=data, marks={"tag": MARKS["tag"]}, distortions=(), budget=500))
    for name, text in MARK_FILES.items():
        (root / "set" / name).write_text(text)
    return root


@pytest.mark.parametrize("name", WRONG_SCORES)
def test_scores_that_cannot_be_used_are_refused(
    name: str, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (head, line), more, text = WRONG_SCORES[name]
    names = (prepared / "dir" / "images.csv").read_text().split()[1:]
    rows = [[str(cell).format(name=one, score=int(one[:4], 16) / 2**16) for cell in line] for one in names]
    write_table(tmp_path / "scores.csv", [head, *rows])
    refused(["audit", "score", str(prepared / "dir"), "scores.csv", "--out", "out", *more], text, capsys)
    assert not (tmp_path / "out" / "verdicts.json").exists()


def refused(arguments: list[str], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 2
    error = capsys.readouterr().err
    lines = [
        line for line in error.splitlines() if not line.startswith(("mark ", "distortion ")) and " images" not in line
    ]
    assert text in error
    assert len(lines) <= 3
    assert "Traceback" not in error


def test_a_line_of_scores_that_is_there_twice_is_named(
    prepared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = (prepared / "dir" / "images.csv").read_text().split()[1:]
    write_table(tmp_path / "scores.csv", [SCORED, *([one, 0.5] for one in [*names, names[0]])])
    text = f"scores.csv: 1 lines cannot be read, the first is line {len(names) + 2}: "
    refused(["audit", "score", str(prepared / "dir"), str(tmp_path / "scores.csv")], text, capsys)
    write_table(tmp_path / "scores.csv", [SCORED, *([one, 0.5] for one in names), [names[0], 0.7]])
    text = f"scores.csv has 1 rows of images that it has already, such as {names[0]}"
    refused(["audit", "score", str(prepared / "dir"), str(tmp_path / "scores.csv")], text, capsys)


def test_a_link_in_prepared_images_does_not_lead_the_audit_elsewhere(
    prepared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(prepared / "dir", received := tmp_path / "dir")
    (target := tmp_path / "target").mkdir()
    scores = str(elsewhere(received, tmp_path / "scores.csv"))
    (received / "audit").symlink_to(target)
    for more in ([], ["--out", str(received / "audit" / "new")]):
        refused(["audit", "score", str(received), scores, *more], "audit is a link, which may lead anywhere", capsys)
    assert not list(target.iterdir())


SIZED = ["dir", "--images", "set/data.csv", "--size", "24"]
WRONG_IMAGES: dict[str, tuple[list[str], str]] = {
    "no size": (SIZED[:3], "give it in pixels, such as 224"),
    "another column": ([*SIZED, "--target", "lable"], "did you mean 'label'"),
    "domain": ([*SIZED, "--domain", "chst"], "unknown domain 'chst'"),
    "margin": ([*SIZED, "--margin", "2"], "between 0 and 0.5"),
    "size": ([*SIZED[:4], "-24"], "input should be greater than or equal to 8"),
    "a file": (["set/0.png", *SIZED[1:]], "cannot be made"),
    "a full folder": (["set", *SIZED[1:]], "set is not empty: give a new folder"),
    "no training images": ([*SIZED[:3], "--train", "no.csv"], "--train: there is no file no.csv"),
    "no marks": ([*SIZED, "--marks", "set/one.yaml"], "expected marks with three strengths"),
    "two doses": ([*SIZED, "--marks", "set/two.yaml"], "mark 'bar' has 2 strengths; give three"),
    "no such mark": ([*SIZED, "--marks", "set/typo.yaml"], "unknown intervention 'tagg': did you mean 'tag'"),
}


@pytest.mark.parametrize("name", WRONG_IMAGES)
def test_a_request_that_cannot_be_prepared_leaves_its_folder_free(
    name: str, prepared: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (prepared / "here").mkdir(exist_ok=True)
    monkeypatch.chdir(prepared / "here")
    if not Path("set").exists():
        Path("set").symlink_to("../set")
    words, text = WRONG_IMAGES[name]
    target = [] if "--target" in words else ["--target", "label"]
    refused(["audit", "prepare", *words, *target], text, capsys)
    assert not list(Path("dir").glob("*")), "so that the same command works once it is mended"
