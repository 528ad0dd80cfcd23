"""`assay init` writes a study that runs at the first try, whatever the layout of the folder."""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.cases import first_of
from tests.worlds.public import slice_uid, write_slice

import assay
from assay.cli.init import init_command
from assay.plugin import SpecError, StoreError

NUMBER = 36
POSITIVE = [at % 2 == 0 for at in range(NUMBER)]


def _pixels(at: int) -> np.ndarray:
    made = np.random.default_rng(at).integers(0, 120, (24, 24), dtype=np.uint8)
    if POSITIVE[at]:
        made[8:16, 8:16] += 100
    return made


def _mask(at: int, value: int = 255) -> np.ndarray:
    made = np.zeros((24, 24), np.uint8)
    if POSITIVE[at]:
        made[8:16, 8:16] = value
    return made


def _save(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def _write(path: Path, rows: list[dict[str, object]], tabs: bool = False) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter="\t" if tabs else ",")
        writer.writeheader()
        writer.writerows(rows)


def _labels(at: int) -> dict[str, object]:
    return {
        "diagnosis": "melanoma" if POSITIVE[at] else "nevus",
        "patient_id": f"P{at // 2}",
        "sex": "fm"[at // 2 % 2],
        "age": 40 + at / 2,
    }


def image_folder(root: Path) -> None:
    for at in range(NUMBER):
        _save(root / ("melanoma" if POSITIVE[at] else "nevus") / f"{at}.png", _pixels(at))


def image_folder_in_parts(root: Path) -> None:
    for at in range(NUMBER):
        part = ("train", "train", "test")[at // 2 % 3]
        _save(root / part / ("melanoma" if POSITIVE[at] else "nevus") / f"{at}.png", _pixels(at))


def table_of_paths(root: Path) -> None:
    for at in range(NUMBER):
        _save(root / f"images/{at}.png", _pixels(at))
    _write(root / "data.csv", [{"image": f"images/{at}.png", **_labels(at)} for at in range(NUMBER)])


def table_of_bare_names(root: Path) -> None:
    for at in range(NUMBER):
        _save(root / f"jpg/im{at:03d}.png", _pixels(at))
    _write(root / "labels.csv", [{"isic": f"im{at:03d}", **_labels(at)} for at in range(NUMBER)])


def bids(root: Path) -> None:
    for at in range(NUMBER):
        _save(root / f"sub-{at:02d}/anat/sub-{at:02d}_T1w.png", _pixels(at))
    rows = [
        {
            "participant_id": f"sub-{at:02d}",
            "sex": "FM"[at // 2 % 2],
            "group": ("patient", "control")[at % 2],
            "diagnosis": ("ms", "none")[at % 2],
        }
        for at in range(NUMBER)
    ]
    _write(root / "participants.tsv", [dict(row) for row in rows], tabs=True)
    (root / "dataset_description.json").write_text('{"Name": "made", "BIDSVersion": "1.8.0"}')


def nnunet(root: Path) -> None:
    for at in range(NUMBER):
        _save(root / f"imagesTr/case_{at:03d}_0000.png", _pixels(at))
        _save(root / f"labelsTr/case_{at:03d}.png", _mask(at, 1))
    labels = {"background": 0, "tumor": 1}
    (root / "dataset.json").write_text(json.dumps({"channel_names": {"0": "CT"}, "labels": labels, "numTraining": 36}))


def dicom_folder(root: Path) -> None:
    rows: list[dict[str, object]] = []
    for at in range(NUMBER):
        path = root / f"study{at // 4}/{at}.dcm"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_slice(path, f"1.2.{at + 1}", 1, f"P{at}", _pixels(at).astype(np.int16), PatientSex="FM"[at // 2 % 2])
        rows.append({"SOPInstanceUID": slice_uid(f"1.2.{at + 1}", 1), "finding": int(POSITIVE[at])})
    _write(root / "labels.csv", rows)


def coco(root: Path) -> None:
    images, found = [], []
    for at in range(NUMBER):
        _save(root / f"images/{at}.png", _pixels(at))
        images.append({"id": at, "file_name": f"{at}.png", "height": 24, "width": 24})
        if POSITIVE[at]:
            square = [8, 8, 16, 8, 16, 16, 8, 16]
            found.append({"id": at, "image_id": at, "category_id": 1, "segmentation": [square], "area": 64,
                          "bbox": [8, 8, 8, 8], "iscrowd": 0})  # fmt: skip
    (root / "annotations").mkdir()
    whole = {"images": images, "annotations": found, "categories": [{"id": 1, "name": "polyp"}]}
    (root / "annotations/instances.json").write_text(json.dumps(whole))


LAYOUTS = (image_folder, image_folder_in_parts, table_of_paths, table_of_bare_names, bids, nnunet, dicom_folder, coco)


@pytest.mark.parametrize("layout", first_of(LAYOUTS, 2), ids=lambda one: one.__name__)
def test_a_study_is_written_and_runs_at_the_first_try(
    layout: Callable[[Path], None], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))
    (tmp_path / "mine").mkdir()
    layout(tmp_path / "mine")
    path = tmp_path / "study.yaml"
    init_command(tmp_path / "mine", path)
    told = capsys.readouterr().out
    assert "to correct" not in told, told
    assert "()" not in told
    assert told.rstrip().endswith(f"Next: assay run {path} --open")
    text = path.read_text()
    assert str(tmp_path) not in text
    assert text.count(" # ") >= 6
    assert '\nquestion: "What can a network learn from mine, and does it use a shortcut?"' in text
    assert f"loss: [cross-entropy, {'dice' if layout in (nnunet, coco) else 'supcon'}] compares losses" in text
    assert "size: 64 " in text, "images are resized, which is said"
    small = assay.load(path).set("seeds", 1).set("recipe.epochs", 1).set("data.size", 32)
    run = small.run(tmp_path / "run", workers=0, progress=False)
    assert (run.folder / "report.html").is_file()
    assert "in-distribution" in (run.folder / "report.html").read_text()
    if layout is nnunet:
        monkeypatch.chdir(tmp_path)
        assert assay.look("mine").folder.resolve() == tmp_path / "looks" / "mine", "not after the table in the cache"
    assert len(run.table("trials")) == (1 if layout is image_folder_in_parts else 5)
    if layout in (table_of_paths, table_of_bare_names):
        assert all(word in text for word in ("target: diagnosis", "patient: patient_id", "sex: categorical", "age: c"))
        assert "neutral-sex: {association: {sex: 0}}" in text
    with pytest.raises(StoreError, match="is there already"):
        init_command(tmp_path / "mine", path)


def test_another_folder_is_a_set_to_test_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    table_of_paths(tmp_path / "here")
    image_folder_in_parts(tmp_path / "there")
    for path in sorted((tmp_path / "there").glob("*/*/*.png")):
        Image.fromarray(255 - np.asarray(Image.open(path))).save(path)
    init_command(Path("here"), None, [Path("there")])
    told = capsys.readouterr().out
    assert "to correct" not in told
    assert re.search(r"^there: {.+}  \(patients are not named: each image counts as one\)$", told, re.MULTILINE)
    assert "\nhere-there-images.csv: written too, the table of there\n" in told
    assert Path("here-there-images.csv").is_file()
    assert told.count("written too") == 1
    bids(tmp_path / "third")
    init_command(Path("third"), None)
    assert "\nthird-images.csv: written too, the table of third, with its patients\n" in capsys.readouterr().out
    spec = assay.load("here.yaml").spec
    assert list(spec.points[0].tests) == ["same", "neutral-age", "neutral-sex", "there"]
    assert spec.ensemble
    assert not spec.contrasts
    assert (spec.data.folder, spec.data.tests["there"].folder) == (str(tmp_path / "here"), str(tmp_path / "there"))
    with pytest.raises(StoreError, match="two of these sets are named 'here', and names must differ"):
        init_command(Path("here"), Path("two.yaml"), [Path("here")])


def test_tables_in_one_folder_are_named_by_themselves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    table_of_paths(tmp_path)
    table = next(tmp_path.glob("*.csv"))
    lines = table.read_text(encoding="utf-8").splitlines()
    for name, rows in {"first": lines[1:19], "second": lines[19:]}.items():
        (tmp_path / f"{name}.csv").write_text("\n".join([lines[0], *rows]) + "\n", encoding="utf-8")
    table.unlink()
    init_command(Path("first.csv"), None, [Path("second.csv")])
    assert re.search(r'^second: target "diagnosis", .*in second\.csv', capsys.readouterr().err, re.MULTILINE)
    spec = assay.load("first.yaml").spec
    assert (spec.data.table, spec.data.tests["second"].table) == ("first.csv", "second.csv")
    for clinic in ("north", "south"):
        table_of_paths(tmp_path / clinic / "images")
    init_command(Path("north/images"), None, [Path("south/images")])
    assert re.search(r'^south-images: target "diagnosis", .*in data\.csv', capsys.readouterr().err, re.MULTILINE)
    assert Path("north-images.yaml").is_file()


def test_images_without_a_mask_count_as_is_asked_in_every_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("here", "there"):
        for at in range(NUMBER):
            _save(tmp_path / name / "images" / f"{at}.png", _pixels(at))
            if POSITIVE[at]:
                _save(tmp_path / name / "masks" / f"{at}.png", _mask(at))
    init_command(Path("here"), None, [Path("there")], unmasked="leave-out")
    data = assay.load("here.yaml").spec.data
    assert data.unmasked == data.tests["there"].unmasked == "leave-out"
    image_folder(tmp_path / "classes")
    with pytest.raises(SpecError, match=r"--unmasked: classes has no masks; name their column with --mask"):
        init_command(Path("classes"), None, unmasked="leave-out")


@pytest.mark.parametrize(
    ("number", "epochs", "folds"), first_of([(36, 100, 5), (400, 100, 5), (1000, 43, 5), (4000, 20, 3)], 2)
)
def test_few_images_are_trained_on_for_more_epochs(tmp_path: Path, number: int, epochs: int, folds: int) -> None:
    """12 epochs of 400 images were 60 steps, after which networks stayed at chance."""
    rows = [{"image": f"images/{at}.png", **_labels(at % NUMBER)} for at in range(number)]
    first = _save(tmp_path / "images/0.png", _pixels(0))
    for at in range(1, number):
        os.link(first, tmp_path / f"images/{at}.png")
    _write(tmp_path / "data.csv", rows)
    init_command(tmp_path / "data.csv", tmp_path / "study.yaml")
    text = (tmp_path / "study.yaml").read_text()
    assert f"epochs: {epochs}, " in text
    assert f"split: {{folds: {folds}}}" in text


def _table_of_sites(root: Path, classes: tuple[str, ...], number: int = 200) -> None:
    """Write images whose site predicts the last class, and whose source says the class."""
    rows: list[dict[str, object]] = []
    for at in range(number):
        code, turn = at % len(classes), at // len(classes)
        pixels = np.random.default_rng(at).integers(0, 120, (24, 24), dtype=np.uint8)
        pixels[8 : 10 + 3 * code, 8:16] += 100
        _save(root / f"images/{at}.png", pixels)
        site = ("hhlllttttt" if code == len(classes) - 1 else "hhhhhllltt")[turn % 10]
        rows.append({"image": f"images/{at}.png", "diagnosis": classes[code], "sex": "fm"[turn % 2],
                     "site": {"h": "head", "l": "leg", "t": "trunk"}[site], "source": f"clinic {code}"})  # fmt: skip
    _write(root / "data.csv", rows)


@pytest.mark.parametrize(
    "classes", first_of([["benign", "malignant"], ["BCC", "MEL", "NV"], ["AK", "BCC", "DF", "MEL", "NV"]])
)
def test_conditions_are_of_the_strongest_columns_that_can_have_one(
    classes: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))
    _table_of_sites(tmp_path / "mine", classes)
    init_command(Path("mine"), None)
    said, text = capsys.readouterr().out, Path("mine.yaml").read_text()
    reason = "no image in which it misleads, since each source has one class: collect images of every class with the"
    for shown in (said, text):
        assert re.search(rf"no test condition for source \(AUROC 1\.00 for \w+\): {reason} same source", shown)
    assert text.index("    source: ") < text.index("    site: ") < text.index("    sex: "), "the strongest first"
    assert re.search(r"^  neutral-site: {association: {site: {strength: 0, high: \[.*trunk\]}}}.*AUROC 0", text, re.M)
    study = assay.load("mine.yaml").set("seeds", 1).set("recipe.epochs", 2 * len(classes)).set("data.size", 24)
    if len(classes) > 2:
        compared = study.set("recipe.loss", ["cross-entropy", "supcon"])
        along = {"axis": "loss", "against": "cross-entropy", "environment": "same"}
        for measure, instead in (
            ("auroc", "auroc-macro"),
            ("sensitivity", "accuracy"),
            ("worst-group-auroc", "worst-group-accuracy"),
        ):
            with pytest.raises(SpecError, match=rf"needs two classes, and the target has .*: write measure: {instead}"):
                compared.set("contrasts", [{**along, "measure": measure}]).run(tmp_path / "run", workers=0)
    run = study.run(tmp_path / "run", workers=0, progress=False)
    page = (run.folder / "report.html").read_text()
    named = {2: "&#34;malignant&#34;", 3: "the classes BCC, MEL and NV", 5: "5 classes"}[len(classes)]
    assert f"trained to predict {named} on" in page
    changes = run.table("condition_changes")
    assert {*changes["factor"]} == {"site", "sex"}
    assert {*changes["measure"]} == {"auroc" if len(classes) == 2 else "auroc-macro"}
    assert changes["value"].notna().all()


def test_conditions_of_columns_in_any_letters_have_different_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))
    table_of_paths(tmp_path / "mine")
    rows = [
        {
            "image": f"images/{at}.png",
            **_labels(at),
            "\u6027": "ab"[at % 2 if at % 4 else 1],
            "s (1)": "cd"[at % 3 > 0],
            "s 1": "ef"[at % 5 > 1],
        }
        for at in range(NUMBER)
    ]
    _write(tmp_path / "mine/data.csv", rows)
    init_command(Path("mine"), None)
    keys = re.findall(r"^  (?:# )?\W*(neutral-[^:]*?)\"?: {association", Path("mine.yaml").read_text(), re.M)
    assert len(set(keys)) == len(keys) >= 2


def test_sources_of_one_class_each_can_be_held_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))
    table_of_paths(tmp_path / "mine")
    rows = [{"image": f"images/{at}.png", **_labels(at), "source": "abcd"[at % 4]} for at in range(NUMBER)]
    _write(tmp_path / "mine/data.csv", rows)
    init_command(Path("mine"), None)
    levels = "{source: [b, a]}"
    lines = f"split: {{test_only: {levels}}} in data, and held-out: {{where: {levels}}} here"
    assert f"or hold some out of each class, which then are not trained on: {lines}" in capsys.readouterr().out
    chosen = {"source": ["b", "a"]}
    study = assay.load("mine.yaml").set("data.split", {"test_only": chosen})
    environments = {"train": {}, "held-out": {"where": chosen}}
    run = study.set("environments", environments).set("seeds", 1).set("recipe.epochs", 1).set("data.size", 24)
    tested = run.run(tmp_path / "run", workers=0, progress=False).table("environments")
    assert tested[tested["environment"] == "held-out"]["images"].iloc[0] == NUMBER // 2


def test_what_is_to_correct_comes_before_the_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table_of_paths(tmp_path / "mine")
    table = tmp_path / "mine/data.csv"
    lines = table.read_text(encoding="utf-8").splitlines()
    table.write_text("\n".join([*lines[:-1], lines[-1].replace("nevus", "")]) + "\n", encoding="utf-8")
    path = tmp_path / "study.yaml"
    init_command(tmp_path / "mine", path)
    *_, last = (said := capsys.readouterr().out).splitlines()
    assert "\nto correct before a run: " in said
    assert last.endswith(f"Next: correct this, then assay run {path} --open")
    assert "neutral-sex: " in path.read_text(), "of the rows that can be read, as --skip-bad-rows takes them"


@pytest.mark.parametrize("layout", [table_of_paths, bids])
def test_nothing_is_left_where_the_images_are_not_examined_to_the_end(
    layout: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout(tmp_path / "mine")

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("assay.shifts.sources.open_population", interrupted)
    with pytest.raises(KeyboardInterrupt):
        init_command(tmp_path / "mine", tmp_path / "study.yaml")
    assert not list(tmp_path.glob("study*"))


def test_a_factor_called_size_is_not_the_size_of_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table_of_paths(tmp_path / "mine")
    rows = [{"image": f"images/{at}.png", **_labels(at), "size": at % 7 + at / 10} for at in range(NUMBER)]
    _write(tmp_path / "mine/data.csv", rows)
    init_command(tmp_path / "mine", tmp_path / "study.yaml")
    said = capsys.readouterr().out
    assert "    size: continuous" in (tmp_path / "study.yaml").read_text()
    assert [line for line in said.splitlines() if line.startswith("size: ")] == [
        "size: 64  (px: images are resized to this side; a larger one shows more, and trains longer)"
    ]
