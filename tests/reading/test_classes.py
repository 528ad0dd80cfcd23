"""Classes, and which one is positive."""

# pyright: basic

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from PIL import Image
from sklearn.metrics import accuracy_score, roc_auc_score
from tests.cases import first_of
from tests.cli.asking import Asking
from tests.reading.situations import situation
from tests.reading.tables_for_tests import audited, auroc, images, looked, predictions, refused
from tests.reading.test_scores import NONE, SIDE, onnx_file
from tests.worlds.files import noise, save, write_table
from torch import nn

import assay
from assay.plugin import SpecError


def _with(ask: Asking, folder: Path, classes: Sequence[object], positive: object, *options: str) -> str:
    """Check that the AUROC of a class is that of scikit-learn, and return which class is said to be positive."""
    frame = predictions(classes)
    frame.to_csv(folder / "p.csv", index=False)
    found = audited(ask, folder / "p.csv", *options)
    assert auroc(found) == pytest.approx(roc_auc_score(frame["target"] == positive, frame["score"]), abs=1e-9)
    return found["audit"]["positive class"]


@situation(
    "classes whose names do not show which is positive: melanom and naevus",
    "asked for: both are listed, with the option",
)
def test_no_class_is_guessed(ask: Asking, tmp_path: Path) -> None:
    predictions(("melanom", "naevus")).to_csv(tmp_path / "p.csv", index=False)
    said = refused(ask, tmp_path / "p.csv")
    assert "--positive melanom or --positive naevus" in said


@situation("`--positive melanom`", "that class is positive, first in the alphabet or not, and the first line says so")
def test_the_class_that_is_named(ask: Asking, tmp_path: Path) -> None:
    assert _with(ask, tmp_path, ("naevus", "melanom"), "melanom", "--positive", "melanom") == "melanom, against naevus"
    said = ask("audit", tmp_path / "p.csv", "--positive", "melanom", "--out", "again")
    assert said.out.splitlines()[0] == "positive class: melanom, against naevus"
    assert "The positive class is melanom, against naevus." in Path("again/report.html").read_text()


@pytest.mark.parametrize("name", ["melanom", "prob_melanom", "p(Melanom)", "Score Melanom"])
@situation(
    "a column of scores that is named after a class, such as `prob_melanoma`",
    "matched with the positive class, and reported; refused where it is the other class",
)
def test_scores_called_after_a_class(ask: Asking, tmp_path: Path, name: str) -> None:
    frame = predictions(("naevus", "melanom")).rename(columns={"score": name})
    frame.to_csv(tmp_path / "p.csv", index=False)
    found = audited(ask, tmp_path / "p.csv", "--score", name, "--positive", "melanom")
    assert auroc(found) == pytest.approx(roc_auc_score(frame["target"] == "melanom", frame[name]), abs=1e-9)
    assert found["audit"]["outputs"].startswith("the score is that of 'melanom'")
    said = refused(ask, tmp_path / "p.csv", "--score", name, "--positive", "naevus")
    assert "--positive melanom" in said


@situation(
    "columns `prob_0` and `prob_1` of a target of 0 and 1", "the second is read; the first, if named, is asked about"
)
def test_scores_called_after_numbers(ask: Asking, tmp_path: Path) -> None:
    frame = predictions((0, 1)).rename(columns={"score": "prob_1"})
    frame.insert(0, "prob_0", 1 - frame["prob_1"])
    frame.to_csv(tmp_path / "p.csv", index=False)
    assert "scores in 'prob_0' are of 0" in refused(ask, tmp_path / "p.csv", "--score", "prob_0")
    found = audited(ask, tmp_path / "p.csv")
    assert auroc(found) == pytest.approx(roc_auc_score(frame["target"], frame["prob_1"]), abs=1e-9)


@situation("a target column of 0/1 called melanoma, with scores in `prob_melanoma`", "1 is positive, and both agree")
def test_scores_called_after_the_target(ask: Asking, tmp_path: Path) -> None:
    frame = predictions((0, 1)).rename(columns={"score": "prob_melanoma", "target": "melanoma"})
    frame.to_csv(tmp_path / "p.csv", index=False)
    found = audited(ask, tmp_path / "p.csv", "--target", "melanoma")
    assert found["audit"]["outputs"].startswith("the score is that of 'melanoma'")


@situation("`--positive MELANOM ` for the class melanom", "the same class: case and blanks make no difference")
def test_the_class_in_other_letters(ask: Asking, tmp_path: Path) -> None:
    assert "melanom" in _with(ask, tmp_path, ("naevus", "melanom"), "melanom", "--positive", "MELANOM ")


@situation("`--positive quatsch`, which no row has", "refused, with the existing classes")
def test_no_such_class(ask: Asking, tmp_path: Path) -> None:
    predictions(("melanom", "naevus")).to_csv(tmp_path / "p.csv", index=False)
    said = refused(ask, tmp_path / "p.csv", "--positive", "quatsch")
    assert "melanom" in said
    assert "naevus" in said


@pytest.mark.parametrize(
    "classes",
    [
        (0, 1), ("0.0", "1.0"), ("no", "yes"), ("n", "y"), (False, True), (-1, 1), ("-", "+"), ("nein", "ja"),
        ("negative", "positive"), ("normal", "abnormal"), ("benign", "malignant"), ("healthy", "diseased"),
        ("absent", "present"),
    ],
)  # fmt: skip
@situation("0/1, no/yes, negative/positive, normal/abnormal, benign/malignant and similar", "read by a fixed list")
def test_words_that_say_it(ask: Asking, tmp_path: Path, classes: tuple[object, object]) -> None:
    _with(ask, tmp_path, classes, classes[1])


@situation("control and case, whose positive class is first in the alphabet", "case is positive")
def test_case_and_control(ask: Asking, tmp_path: Path) -> None:
    assert _with(ask, tmp_path, ("control", "case"), "case") == "case, against control"


@situation("normal and the name of a disease", "the disease is positive")
def test_a_disease_against_normal(ask: Asking, tmp_path: Path) -> None:
    assert _with(ask, tmp_path, ("Normal", "Emphysema"), "Emphysema") == "Emphysema, against Normal"


@pytest.mark.parametrize("negative", ["not melanoma", "non-melanoma", "no_melanoma"])
@situation("`not x` and `x`", "x is positive")
def test_not_x(ask: Asking, tmp_path: Path, negative: str) -> None:
    assert _with(ask, tmp_path, (negative, "melanoma"), "melanoma") == f"melanoma, against {negative}"


@situation("classes 1 and 2, whose order no convention fixes", "asked for by name")
def test_other_numbers(ask: Asking, tmp_path: Path) -> None:
    predictions((1, 2)).to_csv(tmp_path / "p.csv", index=False)
    assert "--positive" in refused(ask, tmp_path / "p.csv")
    assert _with(ask, tmp_path, (2, 1), 1, "--positive", "1.0") == "1, against 2"


@situation("`Malignant`, `malignant` and `benign ` in one column", "two classes, and the spellings are reported")
def test_classes_in_several_spellings(ask: Asking, tmp_path: Path) -> None:
    frame = predictions(("benign", "malignant", "Benign ", "Malignant"))
    frame.to_csv(tmp_path / "p.csv", index=False)
    found = audited(ask, tmp_path / "p.csv")
    right = frame["target"].str.strip().str.casefold() == "malignant"
    assert auroc(found) == pytest.approx(roc_auc_score(right, frame["score"]), abs=1e-9)
    assert "'Malignant' and 'malignant'" in found["audit"]["read as one"]


@situation("folders `Benign` and `benign` beside `malignant`", "two classes, and that they are one is reported")
def test_folders_in_several_spellings(ask: Asking, tmp_path: Path) -> None:
    for at, name in enumerate(("Benign", "benign", "malignant", "malignant") * 6):
        (tmp_path / "set" / name).mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(at).integers(0, 256, (16, 16)).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "set" / name / f"{at}.png")
    said = looked(ask, tmp_path / "set")
    assert "positive class: malignant, against" in said
    assert "'Benign' and 'benign'" in said


@pytest.mark.parametrize(("classes", "word"), [((0, 1, -1), "-1"), (("benign", "malignant", "unknown"), "unknown"),
                                               (("a", "b", "?"), "?"), ((1, 2, 9), "9")])  # fmt: skip
@situation("a class -1, 9, ? or unknown in the target of images", "asked about: such values usually mean unknown")
def test_classes_that_may_mean_unknown(tmp_path: Path, classes: tuple[object, ...], word: str) -> None:
    path = images(tmp_path / "set", pd.DataFrame({"target": classes * 8, "patient": range(24)}))
    with pytest.raises(SpecError, match="usually means that the class is not known") as refused:
        _audit(path)
    assert f"'{word}' (8 rows)" in str(refused.value)


@situation(
    "classes cancer, `cancer?` and no cancer, of which one is not sure",
    "asked about; a look leaves these images out, and counts them",
)
def test_a_class_with_a_question_mark(ask: Asking, tmp_path: Path) -> None:
    classes = ("cancer", "no cancer", "cancer?")
    path = images(tmp_path / "set", pd.DataFrame({"target": classes * 12, "patient": range(36)}))
    with pytest.raises(SpecError, match=r"'cancer\?' \(12 rows\).*usually means that the class is not known"):
        _audit(path)
    assert "left out: 12 of 36 images, such as line 4: target is 'cancer?'" in looked(ask, path)


@situation(
    "a target of 1, -1 and blank cells, as CheXpert writes one without 0", "asked about; -1 and 1 alone are classes"
)
def test_minus_one_beside_blank_cells_may_mean_unknown(ask: Asking, tmp_path: Path) -> None:
    path = images(tmp_path / "set", pd.DataFrame({"target": [1, -1, ""] * 8, "patient": range(24)}))
    frame = pd.read_csv(path)
    with pytest.raises(SpecError, match=r"holds '-1.*usually means that the class is not known"):
        _audit(path)
    assert "usually means that the class is not known" in ask("look", path, "--target", "target").err
    frame[frame["target"].notna()].to_csv(path, index=False)
    assert "may mean unknown" not in ask("look", path, "--target", "target").out


def _audit(path: Path, **more: object) -> None:
    data = {"folder": str(path.parent), "table": path.name, "target": "target", "patient": "patient", "size": 16}
    assay.audit(lambda x: np.asarray(x).mean(axis=(1, 2, 3)), {**data, **more}, out=path.parent / "out", progress=False)


@situation("images of melanoma and nevus, in a study without `data.positive`", "asked for, with the key")
def test_a_study_asks(tmp_path: Path) -> None:
    path = images(tmp_path / "set", pd.DataFrame({"target": ["melanoma", "nevus"] * 12, "patient": range(24)}))
    with pytest.raises(
        SpecError, match=r"melanoma and nevus, and neither is surely the positive one: name it with .*positive"
    ):
        _audit(path)


@situation("`assay look` at images of melanoma and nevus", "needs no positive class, and says that none is chosen")
def test_a_look_treats_classes_alike(ask: Asking, tmp_path: Path) -> None:
    path = images(tmp_path / "set", pd.DataFrame({"target": ["melanoma", "nevus"] * 12}))
    first = looked(ask, path).splitlines()[0]
    assert first == "positive class: none is chosen: melanoma and nevus are treated alike"


@situation("`assay init` of images of melanoma and nevus", "writes the rarer class as positive, as an assumption")
def test_init_writes_it(ask: Asking, tmp_path: Path) -> None:
    path = images(tmp_path / "set", pd.DataFrame({"target": ["nevus", "nevus", "melanoma"] * 12, "patient": range(36)}))
    said = ask("init", path.parent, "--out", "study.yaml")
    assert said.code == 0, said.err
    assert yaml.safe_load(Path("study.yaml").read_text())["data"]["positive"] == "melanoma"
    assert said.out.splitlines()[0].startswith("positive: melanoma  (a guess to check")
    assert "it is the rarer class" in said.out


@situation(
    "`assay init` where melanom and naevus are about as frequent",
    "either is written, and the first line says that it is a guess",
)
def test_init_of_equal_classes(ask: Asking, tmp_path: Path) -> None:
    path = images(tmp_path / "set", pd.DataFrame({"target": ["naevus", "melanom"] * 12, "patient": range(24)}))
    said = ask("init", path.parent, "--out", "study.yaml").out
    assert said.splitlines()[0].startswith("positive: melanom  (a guess to check, melanom (12) or naevus (12)")
    assert "rarer" not in said


@situation(
    "images in folders `benign` and `malignant` beside a table that says otherwise of some, in words or as 0 and 1",
    "the table is read, and a look, `assay init` and a study caution: how many, and the first lines",
)
@pytest.mark.parametrize(
    ("column", "labels"), [("diagnosis", ("Benign", "malignant")), ("malignant", (0, 1)), ("malignant", ("no", "yes"))]
)
def test_folders_of_other_classes(ask: Asking, tmp_path: Path, column: str, labels: Sequence[object]) -> None:
    rows: list[tuple[object, ...]] = [("image", column)]
    for at in range(36):
        name = f"{('benign', 'malignant')[at % 2]}/{at}.png"
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(at).integers(0, 256, (SIDE, SIDE)).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "set" / name)
        rows.append((name, labels[(at + (at in (4, 6, 9, 20))) % 2]))
    write_table(tmp_path / "set/labels.csv", rows)
    said = ask("init", "set", "--out", "study.yaml").out
    begun = "caution: folders of other classes: 4 of 36 images are in a folder of another class than labels.csv says: "
    first, *_ = [line for line in said.splitlines() if line.startswith(begun)]
    lines = r"line 6 is \w+ in benign/, line 8 is \w+ in benign/, line 11 is [\w ]+ in malignant/ and 1 more"
    assert re.fullmatch(lines, first.removeprefix(begun))
    assert first in looked(ask, tmp_path / "set")
    run = ("run", "study.yaml", "--set", "seeds=1", "--set", "recipe.epochs=1", "--set", "data.size=16", "-w", "0")
    assert first in ask(*run).out


@situation(
    "folders of other words than the classes, such as `left` and `right`, or parts such as `0` and `1`",
    "not compared with the table",
)
@pytest.mark.parametrize(("folders", "labels"), [(("left", "right"), ("benign", "malignant")), (("0", "1"), (0, 1))])
def test_other_folders(ask: Asking, tmp_path: Path, folders: tuple[str, str], labels: tuple[object, object]) -> None:
    rows: list[tuple[object, ...]] = [("image", "diagnosis")]
    for at in range(24):
        name = f"{folders[at % 2]}/{at}.png"
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(at).integers(0, 256, (SIDE, SIDE)).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "set" / name)
        rows.append((name, labels[at // 2 % 2]))
    write_table(tmp_path / "set/labels.csv", rows)
    assert "folders of other classes" not in looked(ask, tmp_path / "set")


@situation(
    "predictions with a class `unknown` or -1, with `--positive` or without",
    "asked about: are these rows, which are counted, a class?",
)
@pytest.mark.parametrize(
    ("classes", "positive"),
    [((0, 1, "unknown"), "1"), ((0, 1, -1), "1"), ((0, 1, -1), ""), (("benign", "malignant", "unknown"), "malignant")],
)
def test_unknown_in_predictions(ask: Asking, tmp_path: Path, classes: Sequence[object], positive: str) -> None:
    predictions(classes).to_csv(tmp_path / "p.csv", index=False)
    said = refused(ask, tmp_path / "p.csv", *(["--positive", positive] if positive else []))
    assert f"'{classes[2]}' (40 rows)" in said
    assert "leave these rows out of the file" in said
    assert "where" not in said


@situation("predictions of several models whose classes say nothing, in `assay compare`", "asked for by name")
def test_compare_asks(ask: Asking, tmp_path: Path) -> None:
    frame = predictions(("red", "blue")).assign(image=range(120))
    both = pd.concat([frame.assign(loss=name, seed=0) for name in ("a", "b")])
    both.to_csv(tmp_path / "p.csv", index=False)
    said = ask("compare", tmp_path / "p.csv", "--by", "loss")
    assert (said.code, "--positive" in said.err) == (2, True)
    said = ask("compare", tmp_path / "p.csv", "--by", "loss", "--positive", "blue")
    assert said.out.splitlines()[0] == "positive class: blue, against red"


@situation("three classes in predictions with one score", "refused: one class against the rest")
def test_three_classes(ask: Asking, tmp_path: Path) -> None:
    predictions(("a", "b", "c")).to_csv(tmp_path / "p.csv", index=False)
    assert "3 classes" in refused(ask, tmp_path / "p.csv")


# Classes are matched to outputs by name.

KINDS, SHOWN = ("bacterial", "normal", "viral"), (90, 128, 166)
"""Classes in the order of the alphabet, and the gray value of each."""


@pytest.fixture(scope="module")
def lungs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray, np.ndarray]:
    """Images of three classes that differ in gray value: their folder, classes and gray values."""
    folder, draws = tmp_path_factory.mktemp("lungs"), np.random.default_rng(1)
    target = np.arange(90) % 3
    gray = (np.array(SHOWN)[target] + draws.normal(0, 12, 90)).round().astype(np.uint8)
    rows: list[list[object]] = [["image", "kind", "who"]]
    for at in range(90):
        pixels = np.full(SIDE * SIDE, gray[at], dtype=np.uint8)
        pixels[at], pixels[at + 9] = gray[at] + 9, gray[at] - 9  # no two alike, and the same mean
        save(folder / f"{at}.png", pixels.reshape(SIDE, SIDE))
        rows.append([f"{at}.png", KINDS[target[at]], f"p{at}"])
    write_table(folder / "data.csv", rows)
    return folder, target, gray


def of_kinds(model: Any, folder: Path, **more: Any) -> tuple[float, str]:
    """Audit a model of the three classes; return its accuracy and how its outputs were matched."""
    found = assay.audit(
        model,
        {"folder": str(folder), "target": "kind", "patient": "who", "size": SIDE, "channels": "gray"},
        **{**NONE, **more},
    )
    checks: Any = found.table("checks").set_index("check")
    facts = found.table("provenance").set_index("key").value
    return float(checks.value["ranking"]), str(facts.get("outputs", ""))


def lung_file(path: Path, order: tuple[int, ...], names: str = "") -> Path:
    """Write a network that is right about most images, with its outputs in an order."""
    middles = [(SHOWN[k] - 128) / 255 for k in order]
    return onnx_file(
        path,
        {"y": [200 * one for one in middles]},
        added=[-100 * one**2 for one in middles],
        **({"names": names} if names else {}),
    )


def right(gray: np.ndarray, target: np.ndarray) -> float:
    """The accuracy of these networks."""
    return float(accuracy_score(target, np.abs(gray[:, None] - np.array(SHOWN)).argmin(axis=1)))


NAMES = {
    "other order": "normal,bacterial,viral",
    "case and underscores": "NORMAL,Bacterial_,_viral",
    "a list": "['normal', 'bacterial', 'viral']",
    "a mapping": "{0: 'normal', 1: 'bacterial', 2: 'viral'}",
}


@pytest.mark.parametrize("kind", first_of(NAMES, 2))
@situation("names of outputs in an ONNX file, in another order than the classes", "matched by name, and reported")
def test_outputs_are_matched_to_classes_by_name(kind: str, tmp_path: Path, lungs: Any) -> None:
    folder, target, gray = lungs
    value, said = of_kinds(lung_file(tmp_path / "m.onnx", (1, 0, 2), NAMES[kind]), folder)
    assert value == pytest.approx(right(gray, target), abs=1e-9)
    assert "bacterial is output 1, normal is output 0 and viral is output 2, by name" in said


@situation("names of outputs of which only some are classes", "refused with both lists; `--outputs` names them")
def test_names_that_fit_partly_are_refused(tmp_path: Path, lungs: Any) -> None:
    folder, target, gray = lungs
    path = lung_file(tmp_path / "m.onnx", (1, 0, 2), "healthy,bacterial,viral")
    with pytest.raises(SpecError, match=r"healthy, bacterial and viral, and the classes bacterial, normal and viral"):
        of_kinds(path, folder)
    assert of_kinds(path, folder, outputs=["normal", "bacterial", "viral"])[0] == pytest.approx(right(gray, target))


@situation("three outputs without names, in another order than the classes", "stopped, with the order to write")
def test_another_order_that_fits_far_better_stops(tmp_path: Path, lungs: Any) -> None:
    folder, target, gray = lungs
    path = lung_file(tmp_path / "m.onnx", (1, 0, 2))
    with pytest.raises(SpecError, match=r"outputs in the order normal, bacterial and viral.*normal,bacterial,viral"):
        of_kinds(path, folder)
    value, _ = of_kinds(path, folder, outputs=["normal", "bacterial", "viral"])
    assert value == pytest.approx(right(gray, target))


@situation("six outputs without names, in another order than the classes", "stopped, with the order to write")
def test_another_order_of_many_classes_stops(tmp_path: Path) -> None:
    draws, target = np.random.default_rng(0), np.arange(240) % 6
    rows: list[list[object]] = [["image", "kind", "who"]]
    for at, kind in enumerate(target):
        pixels = (40 + 30 * kind + draws.normal(0, 9) + draws.normal(0, 9, (SIDE, SIDE))).round().clip(0, 255)
        save(tmp_path / f"{at}.png", pixels.astype(np.uint8))
        rows.append([f"{at}.png", "abcdef"[kind], f"p{at}"])
    write_table(tmp_path / "data.csv", rows)

    def model(images: np.ndarray, order: str = "fbadec") -> np.ndarray:
        middles = np.array([40 + 30 * "abcdef".index(kind) for kind in order])
        return -np.abs(255 * images.mean((1, 2, 3), dtype=np.float64)[:, None] - middles)

    with pytest.raises(SpecError, match=r"outputs in the order f, b, a, d, e and c.*f,b,a,d,e,c"):
        of_kinds(model, tmp_path, scores="logits")
    assert of_kinds(model, tmp_path, outputs=list("fbadec"), scores="logits")[0] > 0.85
    assert of_kinds(lambda images: model(images, "abcdef"), tmp_path, scores="logits")[0] > 0.85


@situation("outputs without names, in the order of the classes", "read so, and reported")
def test_outputs_without_names_in_the_right_order_are_read(tmp_path: Path, lungs: Any) -> None:
    folder, target, gray = lungs
    value, said = of_kinds(lung_file(tmp_path / "m.onnx", (0, 1, 2)), folder)
    assert value == pytest.approx(right(gray, target))
    assert "in the order of the classes bacterial, normal and viral" in said
    assert "name the classes in it, as in --outputs bacterial,normal,viral" in said


@situation("a command whose columns are named like the classes, in another order", "matched by name")
def test_columns_of_a_command_are_matched_by_name(tmp_path: Path, lungs: Any) -> None:
    folder, target, gray = lungs
    script = tmp_path / "predict.py"
    script.write_text(
        "import sys, csv\nfrom pathlib import Path\nimport numpy as np\nfrom PIL import Image\n"
        "rows = [['image', 'Viral', 'Normal', 'Bacterial']]\n"
        "for p in Path(sys.argv[1]).iterdir():\n"
        "    m = float(np.asarray(Image.open(p)).mean())\n"
        "    rows.append([p.name, -abs(m - 166), -abs(m - 128), -abs(m - 90)])\n"
        "csv.writer(open(sys.argv[2], 'w')).writerows(rows)\n"
    )
    value, said = of_kinds("", folder, command=f"{sys.executable} '{script}' {{images}} {{scores}}")
    assert value == pytest.approx(right(gray, target))
    assert "bacterial is output 2" in said


@situation("one score that is named like the class that is not positive", "turned around, and reported")
def test_one_score_named_like_the_other_class_is_turned(tmp_path: Path) -> None:
    folder, draws = tmp_path / "skin", np.random.default_rng(2)
    rows: list[list[object]] = [["image", "kind"]]
    gray = (128 + draws.normal(0, 15, 60) + 20 * (np.arange(60) % 2)).round().astype(np.uint8)
    for at in range(60):
        pixels = np.full(SIDE * SIDE, gray[at], dtype=np.uint8)
        pixels[at], pixels[at + 9] = gray[at] + 9, gray[at] - 9
        save(folder / f"{at}.png", pixels.reshape(SIDE, SIDE))
        rows.append([f"{at}.png", ("melanoma", "nevus")[at % 2]])
    write_table(folder / "data.csv", rows)
    path = onnx_file(tmp_path / "m.onnx", {"y": [40.0]}, names="['nevus']")
    found = assay.audit(
        path,
        {"folder": str(folder), "target": "kind", "size": SIDE, "channels": "gray", "positive": ["melanoma"]},
        as_given=True,
        **NONE,
    )
    checks: Any = found.table("checks").set_index("check")
    expected = roc_auc_score(np.arange(60) % 2 == 0, -gray.astype(float))
    assert checks.value["ranking"] == pytest.approx(expected, abs=1e-9)


class Lungs(nn.Module):
    """A network of transformers in memory: its config names the classes."""

    def __init__(self) -> None:
        super().__init__()
        self.config = SimpleNamespace(id2label={0: "viral", 1: "normal", 2: "bacterial"})

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        gray = 255 * images.mean((1, 2, 3))
        return torch.stack([-(gray - shown).abs() for shown in reversed(SHOWN)], dim=1)


@situation("`id2label` of a model in memory, in another order than the classes", "matched by name")
def test_labels_of_a_config_are_matched_by_name(lungs: Any) -> None:
    folder, target, gray = lungs
    value, said = of_kinds(Lungs(), folder)
    assert value == pytest.approx(right(gray, target))
    assert "viral is output 0" in said


@pytest.mark.parametrize("names", [("1", "0"), ("yes", "no"), ("label", "not label")])
@situation(
    "two outputs that are named 1 and 0, or yes and no, of a target of 0 and 1", "matched by what the names mean"
)
def test_names_that_mean_the_classes_are_matched(names: tuple[str, str], tmp_path: Path) -> None:
    target, draws = np.arange(80) % 2, np.random.default_rng(0)
    rows: list[dict[str, object]] = []
    gray = np.zeros(80)
    for at, label in enumerate(target.tolist()):
        pixels = np.clip(draws.integers(60, 140, (16, 16)) + int(draws.normal(25 * label, 15)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{at}.png")
        gray[at] = pixels.mean()
        rows.append({"image": f"{at}.png", "label": label, "patient": f"p{at}"})

    def both(images: np.ndarray) -> np.ndarray:
        score = 40 * (images[:, 0].mean((1, 2)) - 0.43)
        return np.stack([score, -score], axis=1)  # the positive class is the first

    audit = partial(
        assay.audit,
        both,
        pd.DataFrame(rows).assign(image=lambda frame: str(tmp_path) + "/" + frame.image),
        size=16,
        budget=300,
        progress=False,
    )
    found = audit(outputs=names, out=tmp_path / "out").table("checks").set_index("check")["value"]
    assert found["ranking"] == pytest.approx(roc_auc_score(target, gray), abs=1e-9)
    with pytest.raises(SpecError, match="none of the classes"):
        audit(outputs=("a", "b"), out=tmp_path / "other")


@pytest.mark.parametrize(
    ("negative", "positive"),
    [("negativ", "positiv"), ("bénin", "malin"), ("sano", "enfermo"), ("gutartig", "bösartig"), ("gesund", "krank")],
)
@situation("negativ/positiv, bénin/malin, sano/enfermo, gutartig/bösartig", "read by the same written list")
@situation("WAHR and FALSCH, as German Excel writes them", "read as TRUE and FALSE")
def test_classes_in_other_languages(ask: Asking, tmp_path: Path, negative: str, positive: str) -> None:
    for words in ((negative, positive), ("FALSCH", "WAHR")):
        frame = predictions(words)
        frame.to_csv(tmp_path / "p.csv", index=False)
        right = roc_auc_score(frame["target"] == words[1], frame["score"])
        assert auroc(audited(ask, tmp_path / "p.csv")) == pytest.approx(right, abs=1e-9)


@situation("columns `p_benign` and `p_malignant` of classes of these names", "that of the positive class is the score")
def test_scores_called_after_both_classes(ask: Asking, tmp_path: Path) -> None:
    frame = predictions(("benign", "malignant")).rename(columns={"score": "p_malignant"})
    frame.insert(0, "p_benign", 1 - frame["p_malignant"])
    frame.to_csv(tmp_path / "p.csv", index=False)
    right = roc_auc_score(frame["target"] == "malignant", frame["p_malignant"])
    assert auroc(audited(ask, tmp_path / "p.csv")) == pytest.approx(right, abs=1e-9)


@situation("`predicted_label` beside `probability`, which is never under 0.5", "asked: it seems to be of the call")
@situation("`prediction` of 0 and 1 beside `confidence`", "asked in the same way")
@situation("`score_resnet` beside `score_vit`", "asked which one")
def test_scores_that_may_be_of_something_else(ask: Asking, tmp_path: Path) -> None:
    frame = predictions()
    p, call = frame["score"], (frame["score"] > 0.5).astype(int)
    sure = p.where(call == 1, 1 - p)
    rest = frame.drop(columns="score")
    several = {
        "'probability' seems to be of the class": rest.assign(predicted_label=call, probability=sure),
        "'confidence' seems to be of the class": rest.assign(prediction=call, confidence=sure),
        "p.csv has score_resnet, score_vit": rest.assign(score_resnet=p, score_vit=p[::-1].to_numpy()),
    }
    for words, one in several.items():
        one.to_csv(tmp_path / "p.csv", index=False)
        assert words in refused(ask, tmp_path / "p.csv")
    found = audited(ask, tmp_path / "p.csv", "--score", "score_resnet")
    assert auroc(found) == pytest.approx(roc_auc_score(frame["target"], p), abs=1e-9)


@pytest.mark.parametrize("name", ["y_prob", "prob_malignant", "malignant"])
@situation("`prob_malignant` or `y_prob` beside `quality_score`", "the model's scores are read")
@situation("`quality_score` beside `model_output`, of which neither says more", "asked which one")
def test_other_scores_than_the_models(ask: Asking, tmp_path: Path, name: str) -> None:
    frame = predictions() if name == "y_prob" else predictions(("benign", "malignant"))
    quality = np.random.default_rng(1).random(len(frame))
    frame.rename(columns={"score": name}).assign(quality_score=quality).to_csv(tmp_path / "p.csv", index=False)
    if name == "malignant":  # only a class names it
        assert f"p.csv has {name}, quality_score" in refused(ask, tmp_path / "p.csv")
    else:
        found = audited(ask, tmp_path / "p.csv")
        right = roc_auc_score(frame["target"].isin([1, "malignant"]), frame["score"])
        assert auroc(found) == pytest.approx(right, abs=1e-9)
    other = frame.rename(columns={"score": "model_output"}).assign(quality_score=quality)
    other.to_csv(tmp_path / "p.csv", index=False)
    assert "p.csv has model_output, quality_score" in refused(ask, tmp_path / "p.csv")


FOLDERS = (
    "{patient}/{label}/{at}.png",
    "{label}/{at}.png thumbnails/{at}.png",
    "{label}/{at}.png {label}/thumbs/{at}.png",
    "{label}/{label}-{at}.png {label}/{label}-{at}_mask.png",
    "{word}/{at}.png",
)


@pytest.mark.parametrize("layout", FOLDERS)
@situation("a folder per patient, in each a folder per class", "the class is the inner folder, whose names repeat")
@situation("`thumbnails/` beside or inside of folders of classes", "no class and no images; counted and reported")
@situation("`a_mask.png` beside `a.png` in folders of classes, as in BUSI", "no image; counted and reported")
@situation("folders benign, gutartig, malignant and bösartig", "two classes, and it says which are one")
def test_folders_of_classes(ask: Asking, tmp_path: Path, layout: str) -> None:
    words = (("benign", "gutartig"), ("malignant", "bösartig"))
    for at in range(24):
        label, pixels = words[at % 2][0], np.random.default_rng(at).integers(0, 256, (16, 16)).astype(np.uint8)
        for name in layout.split():
            path = (
                tmp_path
                / "set"
                / name.format(at=at, label=label, word=words[at % 2][at // 2 % 2], patient=f"P{at // 4:02d}")
            )
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
    said = looked(ask, tmp_path / "set")
    assert "2 classes by folder: benign (12), " in said
    assert ("24 images in folders of thumbnails" in said) == (" {label}/" in layout or "thumb" in layout)
    assert ("read as one" in said) == ("word" in layout)
    rows = json.loads(ask("results", "look", "--table", "provenance", "--json").out)
    facts = {row["key"]: row["value"] for row in rows}
    assert facts["images"].startswith("24")


CROSSED = {
    "two hospitals by words": (("A", "B"), ("benign", "malignant"), True),
    "sites by name": (("site_A", "site_B"), ("glaucoma", "cataract"), True),
    "hospitals by name": (("hospital1", "hospital2", "hospital3"), ("mel", "nv", "bcc", "ak"), True),
    "sides": (("glaucoma", "cataract"), ("left", "right"), False),
    "classes by words": (("benign", "malignant"), ("normal", "abnormal"), False),
    "parts": (("site_A", "site_B"), ("train", "test"), False),
}


@pytest.mark.parametrize("case", CROSSED)
@situation(
    "two hospitals with folders `benign` and `malignant` each; or `site_A` and `site_B` with any classes below",
    "the classes are the inner folders",
)
@situation(
    "folders of two classes, each with the same folders `left` and `right` below",
    "the classes are the outer folders; the first lines name the inner ones",
)
def test_folders_of_hospitals(ask: Asking, tmp_path: Path, case: str) -> None:
    outer, inner, below = CROSSED[case]
    for at in range(48):
        folder = tmp_path / "set" / outer[at % len(outer)] / inner[at // len(outer) % len(inner)]
        folder.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(at).integers(0, 256, (16, 16)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{at}.png")
    said = looked(ask, tmp_path / "set")
    assert f"{len(inner if below else outer)} classes by folder: {min(inner if below else outer)}" in said
    assert ("repeat below those of the classes" in said) != below


NEGATIVE = ["benign", "is_healthy", "normal", "No Finding", "no_malignancy", "gutartig", "disease_free", "HPV negative",
            "NoFinding", "nofinding", "nonCovid", "noncovid", "uninfected"]  # fmt: skip


@pytest.mark.parametrize("name", NEGATIVE)
@situation(
    "a target of 0 and 1 that is named like the negative class: benign, no_finding, NoFinding, nonCovid",
    "asked which value is positive; a look says that none is chosen",
)
def test_a_target_called_negative(ask: Asking, tmp_path: Path, name: str) -> None:
    frame = predictions().rename(columns={"target": name})
    frame[name] = 1 - frame[name]
    frame.to_csv(tmp_path / "p.csv", index=False)
    assert "name it with --positive 0 or --positive 1" in refused(ask, tmp_path / "p.csv", "--target", name)
    found = audited(ask, tmp_path / "p.csv", "--target", name, "--positive", "0")
    assert auroc(found) == pytest.approx(roc_auc_score(1 - frame[name], frame["score"]), abs=1e-9)
    path = images(tmp_path / "set", pd.DataFrame({name: [0, 1] * 12}))
    assert f"none is chosen: {name} may be the negative class" in looked(ask, path, "--target", name)


@pytest.mark.parametrize("name", ["not_benign", "non-normal", "malignant", "abnormal", "nodule"])
@situation("a target of 0 and 1 called not_benign, malignant or nodule", "1 is positive, without a question")
def test_a_target_called_positive(ask: Asking, tmp_path: Path, name: str) -> None:
    frame = predictions().rename(columns={"target": name})
    frame.to_csv(tmp_path / "p.csv", index=False)
    found = audited(ask, tmp_path / "p.csv", "--target", name)
    assert auroc(found) == pytest.approx(roc_auc_score(frame[name], frame["score"]), abs=1e-9)


OPPOSING = {
    "diagnosis": ("malignant", "benign"),
    "class_name": ("abnormal", "normal"),
    "benign": (0, 1),
    "no_finding": ("no", "yes"),
    "target.1": (1, 0),
    "target_y": (1, 0),
}
"""Column -> its values where the target is 0 and 1, of which 1 is then the negative class."""


@pytest.mark.parametrize("name", OPPOSING)
@situation(
    "a target of 0 and 1 whose 1 is negative by another column: `diagnosis` of benign, as in scikit-learn's breast "
    "cancer set, `benign` of 1 or `target_y` of 0",
    "asked which value is positive; a look says that none is chosen",
)
def test_a_target_whose_words_are_the_other_way_round(ask: Asking, tmp_path: Path, name: str) -> None:
    frame = predictions()
    frame[name] = [OPPOSING[name][code] for code in frame["target"]]
    frame.to_csv(tmp_path / "p.csv", index=False)
    why = f"('{name}' is {OPPOSING[name][1]} where 'target' is 1): name it with --positive 0 or --positive 1"
    assert why in refused(ask, tmp_path / "p.csv", "--target", "target")
    said = ask("validate", tmp_path / "p.csv", "--target", "target", "--out", "validation")
    assert said.code == 2
    assert why in said.err
    found = audited(ask, tmp_path / "p.csv", "--target", "target", "--positive", "1")
    assert auroc(found) == pytest.approx(roc_auc_score(frame["target"], frame["score"]), abs=1e-9)
    path = images(tmp_path / "set", frame[["target", name]][:24])
    assert f"none is chosen: '{name}' is" in looked(ask, path, "--target", "target")


@pytest.mark.parametrize(("name", "values"), [("diagnosis", ("benign", "malignant")), ("benign", (1, 0)),
                                              ("sex", ("F", "M")), ("normal", ("yes", "no"))])  # fmt: skip
@situation("a target of 0 and 1 whose other columns call 1 positive too", "1 is positive, without a question")
def test_a_target_whose_words_agree(ask: Asking, tmp_path: Path, name: str, values: tuple[object, object]) -> None:
    frame = predictions()
    frame[name] = [values[code] for code in frame["target"]]
    frame.to_csv(tmp_path / "p.csv", index=False)
    assert auroc(audited(ask, tmp_path / "p.csv", "--target", "target")) > 0.5


@situation(
    "`__MACOSX/` beside folders of classes, as a Mac writes it into archives", "passed over, as hidden files are"
)
def test_folders_of_a_mac(ask: Asking, tmp_path: Path) -> None:
    for at in range(24):
        label, pixels = ("benign", "malignant")[at % 2], np.random.default_rng(at).integers(0, 256, (16, 16))
        path = tmp_path / "set" / label / f"{at}.png"
        other = tmp_path / "set" / "__MACOSX" / label / f"._{at}.png"
        for place in (path, other):
            place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.astype(np.uint8)).save(path)
        other.write_bytes(b"\0\5\x16\7\0\2\0\0Mac OS X")
    assert "2 classes by folder: benign (12), malignant (12)" in looked(ask, tmp_path / "set")


@pytest.mark.parametrize(
    ("folders", "names"),
    [
        (("images", "GT"), ("{}", "{}")),
        (("images", "1st_manual"), ("{}_training", "{}_manual1")),
        (("CXR_png", "ManualMask"), ("CHN_{}", "CHN_{}")),
        (("Original", "vessels"), ("Image_{}L", "Image_{}L_1stHO")),
    ],
)
@pytest.mark.parametrize("part", ["", "train"])
@situation(
    "folders of images and of their masks with other names, such as `images` and `GT`, or DRIVE's `1st_manual`",
    "refused: they are no classes; call them images and masks",
)
def test_folders_of_masks_with_other_names(
    ask: Asking, tmp_path: Path, folders: tuple[str, str], names: tuple[str, str], part: str
) -> None:
    for at in range(12):
        for of, (folder, name) in enumerate(zip(folders, names, strict=True)):
            save(tmp_path / "set" / part / folder / f"{name.format(at + 21)}.png", noise(2 * at + of))
    said = ask("look", tmp_path / "set", "--out", "out")
    assert said.code == 2
    assert f"folders {folders[0]} and {folders[1]} of" in said.err
    assert "seem to hold images and their masks, and no classes" in said.err


@pytest.mark.parametrize(
    "folders",
    [("benign", "malignant"), ("label_0", "label_1"), ("img_healthy", "img_ill"), ("with_mask", "without_mask"),
     ("nodule", "vessel"), ("fake", "original")],
)  # fmt: skip
@situation(
    "folders `benign` and `malignant`, `label_0` and `label_1` or `nodule` and `vessel` with the same names of files",
    "two classes",
)
def test_classes_whose_files_have_the_same_names(ask: Asking, tmp_path: Path, folders: tuple[str, str]) -> None:
    for at in range(24):
        save(tmp_path / "set" / folders[at % 2] / f"{at // 2}.png", noise(at))
    assert f"2 classes by folder: {folders[0]} (12), {folders[1]} (12)" in looked(ask, tmp_path / "set")
