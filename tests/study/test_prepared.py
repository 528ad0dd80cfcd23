"""Audits in two steps: images for a model elsewhere, and verdicts from its scores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.study import test_audit_maps
from tests.study.test_audit import MARKS, images, require_valid, run, shortcut, verdicts
from tests.study.test_audit_maps import bright
from tests.worlds.files import write_table

import assay
from assay.core.errors import DataError, SpecError
from assay.store.folder import RunFolder
from assay.study.audit_request import Asked
from assay.study.prepared import finish_audit, prepare_images


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


def test_two_steps_give_the_verdicts_of_the_direct_audit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))
    data = images(tmp_path / "set", 80)
    asked = Asked(marks={"tag": MARKS["tag"]}, distortions=("gaussian-noise",))
    count = prepare_images(tmp_path / "dir", data, asked)
    files = sorted(path.name for path in (tmp_path / "dir" / "images").iterdir())
    assert len(files) == count > 80 * 4
    assert (tmp_path / "dir" / "images.csv").read_text().splitlines() == ["image", *files]
    scores = elsewhere(tmp_path / "dir", tmp_path / "scores.csv")
    found = assay.open_run(finish_audit(tmp_path / "dir", scores, Asked(pictures=False)))
    assert isinstance(found, assay.Audit)
    require_valid(found.folder)
    direct = assay.audit(
        of_pictures, data, marks=asked.marks, distortions=asked.distortions, out=tmp_path / "direct", progress=False
    )
    assert verdicts(found) == verdicts(direct)
    for table, numbers in {"verdicts": ["g", "low", "high", "loss", "flips"], "distorted": ["loss", "flips"]}.items():
        np.testing.assert_allclose(found.table(table)[numbers], direct.table(table)[numbers], atol=1e-6)
    assert found.table("exchanged").reason.str.contains("exchange-in-steps").all()
    assert not (found.folder / "pictures").exists()
    lacking = elsewhere(tmp_path / "dir", tmp_path / "lacking.csv", skip=3)
    with pytest.raises(DataError, match=r"no row for 3 of \d+ images"):
        finish_audit(tmp_path / "dir", lacking, Asked())
    with pytest.raises(SpecError, match="is not empty"):
        prepare_images(tmp_path / "dir", data, asked)
    with pytest.raises(DataError, match=r"has no prepared.json"):
        finish_audit(tmp_path / "set", scores, Asked())
    (tmp_path / "set" / "0.png").write_bytes((tmp_path / "set" / "1.png").read_bytes())
    Image.open(tmp_path / "set" / "1.png").transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(tmp_path / "set" / "0.png")
    with pytest.raises(DataError, match="are not those that were prepared"):
        finish_audit(tmp_path / "dir", scores, Asked(), out=tmp_path / "changed")


def test_the_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))
    images(tmp_path / "set", 40)
    table = str(tmp_path / "set" / "data.csv")
    more = ["--target", "label", "--patient", "who", "--columns", "sex", "--size", "24", "--most", "1200"]
    (tmp_path / "set" / "train.csv").write_text("".join(Path(table).read_text().splitlines(keepends=True)[:11]))
    monkeypatch.chdir(tmp_path)
    more += ["--train", "set/train.csv"]
    assert run(["audit", "prepare", str(tmp_path / "dir"), "--images", "set/data.csv", *more]) == 0
    assert "then: assay audit score" in capsys.readouterr().out
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    scores = elsewhere(tmp_path / "dir", tmp_path / "scores.csv")
    assert run(["audit", "score", str(tmp_path / "dir"), str(scores), "--name", "far", "--quiet"]) == 0
    assert f"report: {tmp_path / 'dir' / 'audit' / 'report.html'}" in capsys.readouterr().out
    facts = {row["key"]: row["value"] for row in RunFolder(tmp_path / "dir" / "audit").table("provenance")}
    assert facts["model"] == "far"
    found = assay.open_run(tmp_path / "dir" / "audit")
    assert isinstance(found, assay.Audit)
    checks = found.table("checks").set_index("check").value
    assert (checks["training-copies"], checks["training-patients"]) == (10, 10)
    assert run(["audit", "score", str(tmp_path / "dir"), str(tmp_path / "none.csv")]) == 2
    with_references = ["audit", "score", str(tmp_path / "dir"), str(scores), "--quiet", "--references"]
    capsys.readouterr()
    assert run([*with_references, str(tmp_path / "set")]) == 2
    assert "has audits of 0 other networks" in capsys.readouterr().err
    assert run([*with_references, "59"]) == 2
    assert "name the kind of image with --domain" in capsys.readouterr().err
    assert run(["audit", "score", str(tmp_path / "dir"), str(scores), "--head", "both"]) == 2
    assert "'--head': expected auto or sigmoid or softmax, not both" in capsys.readouterr().err


def of_masks(images: np.ndarray) -> np.ndarray:
    """The model on images of 8 bit, with masks in place of log-odds."""
    return np.where(bright((images * 255).round() / 255) > 0, 20.0, -20.0)


def test_masks_give_the_verdicts_of_the_direct_audit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))
    data = test_audit_maps.images(tmp_path / "set", count=60)
    asked = Asked(task="segmentation", marks={"tag": test_audit_maps.MARKS["tag"]}, distortions=("brightness",))
    prepare_images(tmp_path / "dir", data, asked)
    pictures = sorted((tmp_path / "dir" / "images").iterdir())
    assert all(path.stem.endswith("_0000") for path in pictures), "nnU-Net reads no other name"
    (tmp_path / "masks").mkdir()
    for path in pictures:
        pixels = np.asarray(Image.open(path), dtype=np.float32)[None, None] / 255
        labels = (of_masks(pixels)[0, 0] > 0).astype(np.uint8)
        Image.fromarray(labels).save(tmp_path / "masks" / f"{path.stem.removesuffix('_0000')}.png")
    found = assay.open_run(finish_audit(tmp_path / "dir", tmp_path / "masks", Asked(pictures=False)))
    assert isinstance(found, assay.Audit)
    more: dict[str, Any] = {"task": "segmentation", "marks": asked.marks, "distortions": asked.distortions}
    direct = assay.audit(of_masks, data, **more, out=tmp_path / "direct", progress=False)
    assert verdicts(found) == verdicts(direct)
    assert verdicts(found)["tag"] == "affected-by"
    for table, numbers in {"verdicts": ["g", "dice", "stray", "flips"], "distorted": ["dice", "stray"]}.items():
        np.testing.assert_allclose(found.table(table)[numbers], direct.table(table)[numbers], atol=1e-6)
    next((tmp_path / "masks").iterdir()).unlink()
    with pytest.raises(DataError, match=r"has no mask of 1 of \d+ images"):
        finish_audit(tmp_path / "dir", tmp_path / "masks", Asked())
    with pytest.raises(DataError, match="masks are read from a folder"):
        finish_audit(tmp_path / "dir", tmp_path / "set" / "data.csv", Asked())


def test_the_commands_with_masks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))
    test_audit_maps.images(tmp_path / "set", count=40)
    more = ["--images", str(tmp_path / "set" / "data.csv"), "--mask", "mask", "--size", "24", "--most", "900"]
    assert run(["audit", "prepare", str(tmp_path / "dir"), *more]) == 0
    assert f"then: assay audit score {tmp_path / 'dir'} masks" in " ".join(capsys.readouterr().out.split())
    (tmp_path / "far").mkdir()
    for path in (tmp_path / "dir" / "images").iterdir():
        np.save(tmp_path / "far" / f"{path.stem}.npy", np.asarray(Image.open(path)) / 255)
    assert run(["audit", "score", str(tmp_path / "dir"), str(tmp_path / "far")]) == 0
    assert f"report: {tmp_path / 'dir' / 'audit' / 'report.html'}" in capsys.readouterr().out
    facts = {row["key"]: row["value"] for row in RunFolder(tmp_path / "dir" / "audit").table("provenance")}
    assert facts["model"] == "far"


SCORED = ["image", "score"]
WRONG_SCORES: dict[str, tuple[list[list[object]], list[str], str]] = {
    "no image": ([["file", "score"], ["{name}", "{score}"]], [], "scores.csv has no column 'image'"),
    "no score": ([["image"], ["{name}"]], [], "needs a column `image` and one column per score"),
    "words": ([SCORED, ["{name}", "high"]], [], "have a score that is no number"),
    "constant": ([SCORED, ["{name}", "0.5"]], [], "the model gives all images the same output"),
    "three": ([["image", "a", "b", "c"], ["{name}", "{score}", "0.1", "0.3"]], [], "choose one with --output"),
    "output": ([SCORED, ["{name}", "{score}"]], ["--output", "3"], "output '3': the model has outputs 0 to 0"),
    "threshold": ([SCORED, ["{name}", "{score}"]], ["--threshold", "7"], "threshold 7: expected a probability"),
    "references": ([SCORED, ["{name}", "{score}"]], ["--references", "5"], "59 networks are the least"),
    "policy": ([SCORED, ["{name}", "{score}"]], ["--policy", "none.yaml"], "none.yaml: there is no such file"),
}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the images `set`, and `dir`, which was prepared of them."""
    root = tmp_path_factory.mktemp("prepared")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ASSAY_CACHE", str(root / "cache"))
        data = images(root / "set", 30)
        prepare_images(root / "dir", data, Asked(marks={"tag": MARKS["tag"]}, distortions=(), budget=20))
    return root


@pytest.mark.parametrize("name", WRONG_SCORES)
def test_scores_that_cannot_be_used_are_refused(
    name: str, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ASSAY_CACHE", str(prepared / "cache"))
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


WRONG_IMAGES: dict[str, tuple[list[str], str]] = {
    "no size": (["dir", "--images", "set/data.csv"], "give it in pixels, such as 224"),
    "another column": (
        ["dir", "--images", "set/data.csv", "--size", "24", "--target", "lable"],
        "did you mean 'label'",
    ),
    "domain": (["dir", "--images", "set/data.csv", "--size", "24", "--domain", "chst"], "unknown domain 'chst'"),
    "margin": (["dir", "--images", "set/data.csv", "--size", "24", "--margin", "2"], "between 0 and 0.5"),
    "size": (["dir", "--images", "set/data.csv", "--size", "-24"], "expected a whole number from 8 to 1024"),
    "a file": (["set/0.png", "--images", "set/data.csv", "--size", "24"], "cannot be made"),
    "a full folder": (["set", "--images", "set/data.csv", "--size", "24"], "set is not empty: give a new folder"),
    "no training images": (
        ["dir", "--images", "set/data.csv", "--train", "no.csv"],
        "--train: there is no file no.csv",
    ),
}


@pytest.mark.parametrize("name", WRONG_IMAGES)
def test_a_request_that_cannot_be_prepared_leaves_its_folder_free(
    name: str, prepared: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ASSAY_CACHE", str(prepared / "cache"))
    (prepared / "here").mkdir(exist_ok=True)
    monkeypatch.chdir(prepared / "here")
    if not Path("set").exists():
        Path("set").symlink_to("../set")
    words, text = WRONG_IMAGES[name]
    target = [] if "--target" in words else ["--target", "label"]
    refused(["audit", "prepare", *words, *target], text, capsys)
    assert not list(Path("dir").glob("*")), "so that the same command works once it is mended"
