"""Columns that may be the target."""

# pyright: basic

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image
from tests.cli.asking import Asking
from tests.reading.situations import situation
from tests.reading.tables_for_tests import images

KINDS = ("MEL", "NV", "BCC")
COUNT = 48
CODES = np.random.default_rng(3).choice(3, COUNT, p=[0.3, 0.5, 0.2])


def one_hot(**more: Any) -> pd.DataFrame:
    """Return a row per image with 1.0 in the column of its class, as in the ground truth of ISIC 2018 and 2019."""
    return pd.DataFrame(np.eye(3)[CODES], columns=KINDS).assign(**more)


def line_of(text: str, start: str) -> str:
    """Return the first line that starts so."""
    return next(line for line in text.splitlines() if line.startswith(start))


@situation(
    "columns MEL, NV and BCC of 0 and 1 with exactly one 1 in each row, as in ISIC 2018 and 2019",
    "one-hot: the target is the class whose column is 1, which is reported; no column is a cue",
)
def test_one_hot_columns_are_one_target(ask: Asking, tmp_path: Path) -> None:
    path = images(tmp_path / "set", one_hot(UNK=0.0))
    said = ask("look", path, "--out", "look")
    assert said.code == 0, said.err
    assert 'target "class"' in line_of(said.out, "columns:")
    assert line_of(said.out, "matched:").startswith(
        "matched: columns MEL, NV, BCC, UNK are one-hot, one class per image"
    )
    assert not [row for row in _shortcuts(ask) if row["name"] in KINDS]
    counts = {name: int((np.array(KINDS)[CODES] == name).sum()) for name in KINDS}
    summary = {row["key"]: row["value"] for row in _table(ask, "provenance")}["data summary"]
    assert all(f"{name} {count}" in summary for name, count in counts.items())
    said = ask("init", path.parent, "--out", "study.yaml")
    assert said.code == 0, said.err
    study = yaml.safe_load(Path("study.yaml").read_text())["data"]
    assert (study["target"], study.get("factors")) == ("class", None)
    written = pd.read_csv(Path(study["folder"]) / study["table"])
    assert written["class"].tolist() == [KINDS[code] for code in CODES]


def _table(ask: Asking, name: str) -> list[dict[str, Any]]:
    return json.loads(ask("results", "look", "--table", name, "--json").out)


def _shortcuts(ask: Asking) -> list[dict[str, Any]]:
    return _table(ask, "shortcuts")


@situation("`--target MEL` of one-hot columns", "this class against the rest; NV and BCC are left out of the cues")
def test_one_of_the_one_hot_columns(ask: Asking, tmp_path: Path) -> None:
    path = images(tmp_path / "set", one_hot())
    said = ask("look", path, "--target", "MEL", "--out", "look")
    assert said.code == 0, said.err
    assert said.out.startswith("positive class: 1 in column MEL, against 0")
    assert "NV, BCC (one-hot, says what MEL says)" in line_of(said.out, "columns left out:")
    assert not [row for row in _shortcuts(ask) if row["name"] in KINDS]
    assert ask("init", path.parent, "--target", "MEL", "--out", "study.yaml").code == 0
    assert "factors" not in yaml.safe_load(Path("study.yaml").read_text())["data"]


@situation("columns benign and malignant of 0 and 1, each the opposite of the other", "one-hot as well")
def test_two_complements_are_one_hot(ask: Asking, tmp_path: Path) -> None:
    ill = (CODES == 0).astype(int)
    path = images(tmp_path / "set", pd.DataFrame({"benign": 1 - ill, "malignant": ill}))
    said = ask("look", path, "--out", "look")
    assert said.out.startswith("positive class: malignant, against benign")
    assert "No simple cue clearly predicts the target" in said.out


@situation("one-hot columns, and rows in which all of them are blank", "these rows have no label, and are counted")
def test_rows_without_any_label(ask: Asking, tmp_path: Path) -> None:
    frame = one_hot().astype(object)
    frame.iloc[[4, 9]] = ""
    said = ask("look", images(tmp_path / "set", frame), "--out", "look")
    assert line_of(said.out, "left out:") == f"left out: 2 of {COUNT} images, such as line 6: class is missing"
    assert sorted(row["row"] for row in _table(ask, "issues") if row["kind"] == "left-out") == [6, 11]


@situation(
    "columns of 0 and 1 of which a row has two 1s or none, as in CheXpert and ChestX-ray14",
    "several targets, and no classes: asked by name by every command",
)
def test_several_labels_an_image_are_not_one_hot(ask: Asking, tmp_path: Path) -> None:
    for row in ([1.0, 1.0, 0.0], [0.0, 0.0, 0.0]):
        frame = one_hot()
        frame.iloc[7] = row
        path = images(tmp_path / "set", frame)
        for command in ("look", "init"):
            said = ask(command, path, "--out", "out.yaml")
            assert said.code == 2, said.out
            assert "MEL, NV, BCC" in said.err
            assert "--target MEL" in said.err


@situation(
    "one-hot columns beside a column of the same classes in words, as `dx` of mel, nv and bcc",
    "`dx` is the target, and the columns are no cues",
)
def test_classes_in_words_and_one_hot(ask: Asking, tmp_path: Path) -> None:
    path = images(tmp_path / "set", one_hot(dx=[KINDS[code].lower() for code in CODES]))
    said = ask("look", path, "--out", "look")
    assert 'target "dx"' in line_of(said.out, "columns:")
    assert "MEL, NV, BCC (one-hot, says what dx says)" in line_of(said.out, "columns left out:")
    assert not [row for row in _shortcuts(ask) if row["name"] in KINDS]


@pytest.mark.parametrize(
    "columns",
    [
        {"label": "01", "diagnosis": "abc", "ap": "10", "pa": "01"},
        {"melanoma": "0011", "smoker": "01", "nonsmoker": "10"},
        {"relapse": "0011", "chemo": "01", "no_chemo": "10"},
        {"batch": "aabbcc", "MEL": "100", "NV": "010", "BCC": "001"},
        {"chemo": "01", "no_chemo": "10"},
    ],
)
@situation(
    "one-hot columns, or a column and its complement as ap and pa or smoker and nonsmoker, beside a column "
    "that may be the target",
    "asked by name by every command",
)
def test_one_hot_columns_beside_another_target_are_asked_for(
    ask: Asking, tmp_path: Path, columns: dict[str, str]
) -> None:
    frame = pd.DataFrame({name: [cells[at % len(cells)] for at in range(24)] for name, cells in columns.items()})
    path = images(tmp_path / "set", frame)
    for command in ("look", "init"):
        said = ask(command, path, "--out", "out.yaml")
        assert said.code == 2, said.out
        assert "is surely the one to predict: name it; it has " in said.err
        assert all(name in said.err for name in columns)
        assert ("or --target class for the class whose column is 1" in said.err) == ("MEL" in columns)
    if "MEL" in columns:
        assert 'target "class"' not in ask("look", path, "--target", "batch", "--out", "look").out
        said = ask("look", path, "--target", "class", "--out", "look")
        assert line_of(said.out, "matched:").startswith("matched: columns MEL, NV, BCC are one-hot")


@situation("one-hot columns of 1.0 and 0.0 beside a column of 0 and 1", "asked by name by every command")
def test_a_column_written_otherwise_is_no_surer_target(ask: Asking, tmp_path: Path) -> None:
    path = images(tmp_path / "set", one_hot(tag=np.arange(COUNT) % 2))
    for command in ("look", "init"):
        assert "is surely the one to predict" in ask(command, path, "--out", "out.yaml").err


@pytest.mark.parametrize("spelled", [("melanoma", "nevus", "bcc"), (0, 1, 2)])
@situation(
    "one-hot columns beside a column of the same classes in other words or numbers, as melanoma for MEL",
    "no cues: they say what the target says; a column and its complement, as ap and pa, stay a cue",
)
def test_classes_in_other_words_and_one_hot(ask: Asking, tmp_path: Path, spelled: tuple[object, ...]) -> None:
    path = images(tmp_path / "set", one_hot(dx=[spelled[code] for code in CODES]))
    said = ask("look", path, "--out", "look")
    assert 'target "dx"' in line_of(said.out, "columns:")
    assert "MEL, NV, BCC (one-hot, says what dx says)" in line_of(said.out, "columns left out:")
    assert not [row for row in _shortcuts(ask) if row["name"] in KINDS]


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        (
            {"label": "ill well ill well", "MEL": "1 0 0 0", "NV": "0 1 0 0", "BCC": "0 0 1 0", "other": "0 0 0 1"},
            "MEL, NV, BCC, other (one-hot, says what label says in finer classes)",
        ),
        (
            {"ill": "1 0 1 0", "MEL": "1 0 0 0", "NV": "0 1 0 0", "BCC": "0 0 1 0", "seborrheic_keratosis": "0 0 0 1"},
            "MEL, NV, BCC, seborrheic_keratosis (one-hot, says what ill says in finer classes)",
        ),
        (
            {"label": "ill well ill well", "MEL": "1 0 0 0", "NV": "0 1 0 0", "benign": "0 0 1 0", "XYZ": "0 0 0 1"},
            "MEL, NV, benign, XYZ (one-hot, says what label says in finer classes)",
        ),
        (
            {"label": "ill well ill well", "dx_A": "1 0 0 0", "dx_B": "0 1 0 0", "dx_C": "0 0 1 0", "dx_D": "0 0 0 1"},
            "dx_A, dx_B, dx_C, dx_D (one-hot, says what label says in finer classes)",
        ),
        (
            {"ill": "1 0 1 0", "well": "0 1 0 1", "MEL": "1 0 0 0", "NV": "0 1 0 0", "BCC": "0 0 1 0", "DF": "0 0 0 1"},
            "well (one-hot, says what ill says); MEL, NV, BCC, DF (one-hot, says what ill says in finer classes)",
        ),
        (
            {"ill": "1 0 1 0", "NV": "0 1 0 0", "DF": "0 0 0 1", "MEL": "1 0 0 0", "BCC": "0 0 1 0"},
            "NV, DF (one-hot, says what ill says); MEL, BCC (one-hot, says what ill says in finer classes)",
        ),
        ({"label": "ill well ill well", "diagnosis": "a b c d"}, "diagnosis (says what label says in finer classes)"),
        ({"diagnosis": "a b c d", "malignant": "1 0 1 0"}, "malignant (says what diagnosis says in coarser classes)"),
        (
            {"diagnosis": "a b c d", "benign": "0 1 0 1", "malignant": "1 0 1 0"},
            "benign, malignant (one-hot, says what diagnosis says in coarser classes)",
        ),
        *(
            ({"label": "ill well ill well", name: "Sick Fine Sick Fine"}, f"{name} (says what label says)")
            for name in ("label_text", "true_label", "y_true", "labels", "findings", "Label2")
        ),
    ],
)
@situation(
    "columns of finer or coarser classes than the target, as `diagnosis` or one-hot MEL, NV and BCC beside "
    "`label` of malignant and benign",
    "no cues: they are listed as other statements of the target",
)
@situation("a copy of the target, as `y_true`, `labels` or `Label2` beside `label`", "no cue: it is listed")
def test_finer_and_coarser_classes_are_no_cues(
    ask: Asking, tmp_path: Path, columns: dict[str, str], words: str
) -> None:
    frame = _in_turn(columns)
    options = ("--target", "ill") if "ill" in columns else ()
    path = images(tmp_path / "set", frame)
    said = ask("look", path, "--out", "look", *options)
    assert said.code == 0, said.err
    assert line_of(said.out, "columns left out:") == f"columns left out: {words}"
    assert not {row["name"] for row in _shortcuts(ask)} & {*columns}
    assert ask("init", path.parent, "--out", "study.yaml", *options).code == 0
    assert "factors" not in yaml.safe_load(Path("study.yaml").read_text())["data"]


def _in_turn(columns: dict[str, str]) -> pd.DataFrame:
    kinds = np.random.default_rng(1).choice(4, 80)
    return pd.DataFrame({name: [text.split()[kind] for kind in kinds] for name, text in columns.items()})


@pytest.mark.parametrize(
    "columns",
    [
        {"clinic": "a b c d"},
        {"device": "a b c d"},
        {"diagnosis_type": "a b c d"},
        {"label_batch": "a b c d"},
        {"vendor_A": "1 0 0 0", "vendor_B": "0 1 0 0", "vendor_C": "0 0 1 0", "vendor_D": "0 0 0 1"},
        {"cohen": "1 0 1 0", "rsna": "0 1 0 0", "kaggle": "0 0 0 1"},
        {"rsna": "0 1 0 0", "kaggle": "0 0 0 1", "cohen": "1 0 1 0"},
        {"rsna": "0 1 0 1", "cohen": "1 0 1 0"},
        {"rsna-pneumonia": "0 1 0 1", "cohen-covid": "1 0 1 0"},
        {"s1": "1 0 1 0", "s2": "0 1 0 0", "s3": "0 0 0 1"},
        {"y1": "7 3 7 4", "x1": "1 2 1 2"},
        {"portable": "1 0 1 0", "fixed": "0 1 0 1"},
        {"vendor_philips": "1 0 1 0", "vendor_siemens": "0 1 0 0", "vendor_other": "0 0 0 1"},
        {"contrast_iv": "1 0 0 0", "contrast_oral": "0 0 1 0", "contrast_none": "0 1 0 1"},
        {"tube": "1 0 0 0", "drain": "0 0 1 0", "none": "0 1 0 1"},
    ],
)
@pytest.mark.parametrize("target", [{"label": "ill well ill well"}, {"ill": "1 0 1 0"}])
@situation(
    "columns that predict the target without an error and are not named like it, as `device`, or one-hot "
    "`vendor_A` and `vendor_B`, or `cohen`, `rsna` and `kaggle`",
    "cues: they may be a shortcut",
)
def test_other_columns_that_determine_the_target_stay_cues(
    ask: Asking, tmp_path: Path, columns: dict[str, str], target: dict[str, str]
) -> None:
    path = images(tmp_path / "set", _in_turn({**target, **columns}))
    assert ask("look", path, "--target", *target, "--out", "look").code == 0
    assert {*columns} <= {row["name"] for row in _shortcuts(ask)}


@situation(
    "one-hot `cohen` and `rsna` of which each is of one class, beside one-hot `ill` and `well` with `--target ill`",
    "`well` says what the target says; both others are cues",
)
def test_columns_of_the_target_are_none_of_another_group(ask: Asking, tmp_path: Path) -> None:
    columns = {"ill": "1 0 1 0", "well": "0 1 0 1", "cohen": "1 0 1 0", "rsna": "0 1 0 1"}
    said = ask("look", images(tmp_path / "set", _in_turn(columns)), "--target", "ill", "--out", "look")
    assert line_of(said.out, "columns left out:") == "columns left out: well (one-hot, says what ill says)"
    assert {"cohen", "rsna"} <= {row["name"] for row in _shortcuts(ask)}


@situation(
    "a column named like a target that is blank in most rows, as `pathology` of a few",
    "a cue, and so is whether it is filled",
)
def test_a_column_of_a_few_rows_says_not_what_the_target_says(ask: Asking, tmp_path: Path) -> None:
    for ill, well in ((1, 1), (12, 3)):
        frame = pd.DataFrame({"label": ["ill", "well"] * 30, "pathology": ""})
        frame.loc[: 2 * ill - 1 : 2, "pathology"], frame.loc[1 : 2 * well : 2, "pathology"] = "carcinoma", "nevus"
        path = images(tmp_path / f"set{ill}", frame)
        shutil.rmtree("look", ignore_errors=True)
        said = ask("look", path, "--target", "label", "--out", "look")
        assert said.code == 0, said.err
        assert "says what label says" not in said.out
    assert "pathology" in " ".join(row["name"] for row in _shortcuts(ask))


def test_a_view_that_goes_with_the_target_stays_a_cue(ask: Asking, tmp_path: Path) -> None:
    ill = CODES == 0
    frame = pd.DataFrame({"label": np.where(ill, "ill", "well"), "ap": ill.astype(int), "pa": (~ill).astype(int)})
    assert ask("look", images(tmp_path / "set", frame), "--out", "look").code == 0
    assert {"ap", "pa"} <= {row["name"] for row in _shortcuts(ask)}


@situation("dummies of a site or of sex, as `site_A` and `site_B`", "no classes, and cues like other columns")
def test_dummies_of_a_site_are_no_target(ask: Asking, tmp_path: Path) -> None:
    frame = pd.DataFrame({"ulcer": CODES == 0, "site_A": (CODES < 2).astype(int), "site_B": (CODES == 2).astype(int)})
    said = ask("look", images(tmp_path / "set", frame), "--out", "look")
    assert 'target "ulcer"' in line_of(said.out, "columns:")
    assert {"site_A", "site_B"} <= {row["name"] for row in _shortcuts(ask)}


@pytest.mark.parametrize(("target", "other"), [("melanoma", "lesion_site"), ("recurrence", "cancer_center")])
@situation("`lesion_site` or `cancer_center` beside `melanoma` of 0 and 1", "a cue, and no target unless it is named")
def test_where_a_lesion_is_is_no_target(ask: Asking, tmp_path: Path, target: str, other: str) -> None:
    frame = pd.DataFrame({other: np.where(CODES == 1, "arm", "leg"), target: (CODES == 0).astype(int)})
    said = ask("look", images(tmp_path / "set", frame), "--out", "look")
    assert f'target "{target}"' in line_of(said.out, "columns:")
    assert other in {row["name"] for row in _shortcuts(ask)}


@situation(
    "a target of shares such as 0, 0.33, 0.67 and 1, as means of readers are",
    "each is a class, with a caution that names `--positive 0.67,1`",
)
def test_means_of_readers_are_named_as_classes(ask: Asking, tmp_path: Path) -> None:
    path = images(tmp_path / "set", pd.DataFrame({"target": ["0", "0.33", "0.67", "1"] * 12}))
    said = ask("look", path, "--target", "target", "--out", "look")
    assert said.code == 0, said.err
    assert "caution: shares as classes: 0, 0.33, 0.67, 1 in target are classes of their own" in said.out
    assert "name the positive ones with --positive 0.67,1" in said.out
    assert "shares as classes" not in ask("look", path, "--positive", "0.67,1", "--out", "named").out
    grades = images(tmp_path / "grades", pd.DataFrame({"target": ["0", "1", "2", "3"] * 12}))
    assert "shares as classes" not in ask("look", grades, "--target", "target", "--out", "grades").out


@situation(
    "a target of -1, 0 and 1, or of ill, well and unknown, in `assay look`",
    "-1 and unknown are no classes: their images are left out and counted; other commands ask",
)
def test_a_look_leaves_unknown_classes_out(ask: Asking, tmp_path: Path) -> None:
    for classes, unclear in ((["1.0", "-1.0", "0.0", ""], "-1.0"), (["ill", "unknown", "well", ""], "unknown")):
        path = images(tmp_path / "set", pd.DataFrame({"target": classes * 12, "tag": np.arange(48) // 4 % 2}))
        said = ask("look", path, "--out", "look")
        assert said.code == 0, said.err
        assert said.out.startswith(
            f"positive class: {'ill' if unclear == 'unknown' else '1 in column target'}, against"
        )
        left = f"left out: 24 of 48 images, such as line 3: target is '{unclear}', which usually means that the class"
        assert line_of(said.out, "left out:").startswith(left)
        assert "tag" in {row["name"] for row in _shortcuts(ask)}
        listed = pd.read_csv("look/issues.csv").query("kind == 'left-out'").set_index("row")["file"]
        assert sorted(listed.index) == sorted([*range(3, 50, 4), *range(5, 50, 4)]), (
            "unknown ones, and those without any"
        )
        assert listed[5] == "003.png"
        named = ask("look", path, "--positive", "ill" if unclear == "unknown" else "1", "--out", "named")
        assert line_of(named.out, "left out:").startswith(left), "a named positive class says nothing of the others"


@situation("a target of 1, -1 and blank cells in `assay look`", "asked about: without -1 there is one class")
def test_a_look_asks_where_one_class_is_left(ask: Asking, tmp_path: Path) -> None:
    path = images(tmp_path / "set", pd.DataFrame({"target": ["1", "-1", ""] * 12}))
    said = ask("look", path, "--out", "look")
    assert said.code == 2
    assert "'-1' (12 rows), which usually means that the class is not known" in said.err


@situation(
    "three classes of which pictures tell one from the others, and two look alike",
    "labels of the one are judged; those of the others are not, which is said",
)
def test_labels_of_classes_that_look_alike_are_not_judged(ask: Asking, tmp_path: Path) -> None:
    draw, truth = np.random.default_rng(5), np.repeat(["disk", "ring", "square"], 40)
    path = images(tmp_path / "set", pd.DataFrame({"kind": truth, "patient": range(120)}))
    for at, kind in enumerate(truth):
        level = draw.normal(60 if kind == "disk" else 190, 8)
        pixels = draw.normal(level, 12, (32, 32)).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(path.parent / f"{at:03d}.png")
    said = ask("look", path, "--target", "kind", "--patient", "patient", "--out", "look")
    assert said.code == 0, said.err
    assert "predicts class 'disk' against the rest: AUROC 1.00" in said.out
    assert "labels of ring and square were not judged: predictions from other patients are too weak" in said.out
    assert not [row for row in _table(ask, "issues") if row["kind"] == "suspected-label"]


def test_a_strong_prediction_of_few_patients_is_not_called_weak(ask: Asking, tmp_path: Path) -> None:
    path = images(tmp_path / "set", pd.DataFrame({"kind": ["disk", "ring"] * 24, "patient": np.arange(48) % 24}))
    for at in range(48):
        level = np.random.default_rng(at).normal(190 if at % 2 else 60, 10, (24, 24))
        Image.fromarray(level.clip(0, 255).astype(np.uint8)).save(path.parent / f"{at:03d}.png")
    said = ask("look", path, "--out", "look")
    assert "good, but 24 patients are too few to be sure: the AUROC is 1.00 [0.74, 1.00]" in said.out
    assert "too weak" not in said.out


@situation(
    "one-hot columns of which one is called UNK, as in ISIC 2019",
    "its images are left out of a look, and counted; as a class it needs another name",
)
def test_a_one_hot_column_for_unknown_classes(ask: Asking, tmp_path: Path) -> None:
    frame = one_hot().rename(columns={"BCC": "UNK"})
    said = ask("look", images(tmp_path / "set", frame), "--out", "look")
    left = line_of(said.out, "left out:")
    assert left.startswith(f"left out: {(CODES == 2).sum()} of {COUNT} images")
    assert left.endswith("if it is one, rename it in the table, such as 'class UNK'")
    path = images(tmp_path / "set", frame.rename(columns={"UNK": "class UNK"}))
    assert "left out:" not in ask("look", path, "--out", "look").out


@situation("a wrong name of a column beside one-hot columns", "refused with the columns of the file, or the nearest")
def test_a_wrong_column_of_a_one_hot_table(ask: Asking, tmp_path: Path) -> None:
    path = images(tmp_path / "set", one_hot())
    header = ", ".join(path.read_text().splitlines()[0].split(","))
    assert f"no column 'xyz': its columns are {header}\n" in ask("look", path, "--patient", "xyz").err
    assert "did you mean 'BCC'?" in ask("look", path, "--patient", "BCCC").err


@situation("folders `patient00001`, `patient00002`, as in MURA", "asked for a table: they are patients and no classes")
def test_folders_of_patients_are_no_classes(ask: Asking, tmp_path: Path) -> None:
    for at in range(4):
        images(
            tmp_path / "set" / f"patient{at:05d}" / f"study1_{'positive' if at % 2 else 'negative'}",
            pd.DataFrame({"x": range(3)}),
        ).unlink()
    for command in ("look", "init"):
        said = ask(command, tmp_path / "set", "--out", "out.yaml")
        assert said.code == 2
        assert "are called after patients, such as patient00000, and not after classes" in said.err
