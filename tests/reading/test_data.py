"""One data argument for all commands."""

from __future__ import annotations

import html
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pytest
from onnx import TensorProto, helper
from PIL import Image
from sklearn.metrics import roc_auc_score
from tests.cli.asking import Asking
from tests.reading.situations import situation
from tests.worlds.files import save, write_table

import assay
from assay.plugin import AssayError

NUMBER, SIDE = 80, 24
LINE = 'target "Diagnose", patient "Fall", images "Dateiname", in befunde.csv; other columns: Geschlecht (categorical)'
Frame = Any


def pixels(at: int) -> np.ndarray:
    made = np.random.default_rng(at).integers(0, 120, (SIDE, SIDE), dtype=np.uint8)
    made[8:16, 8:16] += np.uint8(40 * (at % 2))
    return made


def mean(images: np.ndarray) -> np.ndarray:
    """A model: brighter images get higher scores."""
    return np.asarray(20 * images.mean((1, 2, 3)) - 5)


def rows() -> Frame:
    return pd.DataFrame(
        {
            "Dateiname": [f"im{at:03d}" for at in range(NUMBER)],
            "Diagnose": ["Melanom" if at % 2 else "Naevus" for at in range(NUMBER)],
            "Fall": [f"F{at // 2}" for at in range(NUMBER)],
            "Geschlecht": ["mw"[at // 2 % 2] for at in range(NUMBER)],
        }
    )


@pytest.fixture
def haut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder `haut` in the working directory: images in `bilder/`, and a German table that names them bare."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))
    (tmp_path / "haut" / "bilder").mkdir(parents=True)
    for at in range(NUMBER):
        Image.fromarray(pixels(at)).save(tmp_path / "haut" / "bilder" / f"im{at:03d}.png")
    rows().to_csv(tmp_path / "haut" / "befunde.csv", sep=";", index=False)
    return Path("haut")


@pytest.fixture
def klassen(haut: Path) -> Path:
    """A folder per class."""
    for name, cell in zip(rows().Dateiname, rows().Diagnose, strict=True):
        Path("klassen", cell.lower()).mkdir(parents=True, exist_ok=True)
        shutil.copy(haut / "bilder" / f"{name}.png", Path("klassen", cell.lower(), f"{name}.png"))
    return Path("klassen")


@pytest.fixture
def net(haut: Path) -> str:
    """The file of the model `mean`."""
    del haut
    shape: list[int | str] = ["n", 1, SIDE, SIDE]
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["level"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Mul", ["level", "slope"], ["steep"]),
        helper.make_node("Sub", ["steep", "middle"], ["score"]),
    ]
    numbers = [
        helper.make_tensor(name, TensorProto.FLOAT, [], [value]) for name, value in (("slope", 20), ("middle", 5))
    ]
    graph = helper.make_graph(
        nodes,
        "mean",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, ["n"])],
        numbers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, "net.onnx")
    return "net.onnx"


def auroc() -> float:
    """AUROC of the model for Melanom, by scikit-learn."""
    scores = [pixels(at).mean() for at in range(NUMBER)]
    return float(roc_auc_score(rows().Diagnose == "Melanom", scores))


def audited(data: Any, **more: Any) -> Any:
    given = {"positive": "Melanom", "size": SIDE, "marks": {}, "distortions": [], "as_given": True, "progress": False}
    return assay.audit(mean, data, **{**given, **more})


def auroc_of(audit: Any) -> float:
    return float(audit.table("checks").set_index("check").loc["ranking", "value"])


def with_paths() -> Frame:
    return rows().assign(bild=[f"haut/bilder/{name}.png" for name in rows().Dateiname])


# One reading.


@situation("one folder with a table for init, look, audit and a study", "read alike, and reported in one line first")
def test_the_same_folder_has_the_same_reading_everywhere(ask: Asking, haut: Path, net: str) -> None:
    study = {"name": "s", "data": "haut", "environments": {"train": {}, "same": {}}, "seeds": 1}
    Path("s.yaml").write_text(json.dumps(study))
    commands = [
        ["init", "haut", "--out", "written.yaml"],
        ["look", "haut"],
        ["audit", net, "--images", "haut", "--positive", "Melanom", "--dry-run"],
        ["audit", net, "--images", "haut/befunde.csv", "--positive", "Melanom", "--dry-run"],
        ["preview", "s.yaml", "--set", "data.positive=Melanom"],
    ]
    for command in commands:
        answer = ask(*command)
        assert answer.code == 0, answer.err
        said = answer.out if command[0] in ("look", "preview") else answer.err
        assert LINE in next(line for line in said.splitlines() if "target" in line), command
    assert "Geschlecht" not in {*audited("haut").table("columns")["column"]}, (
        "no column is audited that nobody asked for"
    )


@situation("files named without folder and ending, in a column of any name", "found, and each image has its own label")
def test_bare_names_in_a_column_of_any_name(haut: Path) -> None:
    assert auroc_of(audited(haut)) == pytest.approx(auroc(), abs=1e-9)
    assert auroc_of(audited(haut / "befunde.csv", image="Dateiname")) == pytest.approx(auroc(), abs=1e-9)


@situation("two columns that may be the target, neither named like one", "asked for by name, by every command")
def test_no_target_is_sure(ask: Asking, haut: Path, net: str) -> None:
    unclear = rows().rename(columns={"Diagnose": "Gruppe"}).assign(Art=["ab"[at // 4 % 2] for at in range(NUMBER)])
    unclear.to_csv(haut / "befunde.csv", index=False)
    for command in (["look", "haut"], ["audit", net, "--images", "haut"], ["init", "haut"]):
        answer = ask(*command)
        assert answer.code == 2
        assert "Gruppe, Geschlecht, Art" in answer.err
        assert "--target Gruppe" in answer.err
    assert ask("look", "haut", "--target", "Gruppe").code == 0
    answer = ask("init", "haut", "--target", "Gruppe", "--out", "s.yaml")
    assert answer.code == 0
    assert "may also be" not in answer.out, "the target was named"


@situation("one column left once sex, age and site are set aside", "taken as the target, and reported")
def test_what_patients_are_is_no_target(ask: Asking, haut: Path) -> None:
    rows().rename(columns={"Diagnose": "Gruppe"}).to_csv(haut / "befunde.csv", index=False)
    answer = ask("look", "haut")
    assert answer.code == 0
    assert 'target "Gruppe"' in answer.out


@situation("`data:` of a study that is one path", "read as every command reads it, in YAML and in Python")
def test_a_study_takes_a_path_or_a_frame(haut: Path) -> None:
    parts: dict[str, Any] = {"name": "s", "environments": {"train": {}, "same": {}}, "seeds": 1}
    for data in ("haut", "haut/befunde.csv", with_paths()):
        spec = assay.load({**parts, "data": data}).set("data.positive", ["Melanom"]).spec
        assert (spec.data.target, spec.data.patient) == ("Diagnose", "Fall")
    rows().drop(columns=["Diagnose", "Geschlecht"]).to_csv(haut / "befunde.csv", index=False)
    with pytest.raises(AssayError, match=r"data\.target: no column of befunde.csv is surely"):
        _ = assay.load({**parts, "data": "haut"})


@situation("`lesion_id` with several images each, and no column of patients", "images of one lesion stay together")
def test_lesions_are_the_unit_where_nothing_names_patients(ask: Asking, haut: Path) -> None:
    many = rows().rename(columns={"Fall": "lesion_id", "Diagnose": "dx"})
    many.to_csv(haut / "befunde.csv", index=False)
    answer = ask("look", "haut", "--json")
    assert answer.code == 0
    assert not [row for row in json.loads(answer.out)["shortcuts"] if row["name"] == "lesion_id"]
    answer = ask("init", "haut", "--out", "s.yaml")
    assert "patient: lesion_id" in answer.out
    assert "no column is named like one" in answer.out
    assert assay.load("s.yaml").spec.data.patient == "lesion_id"


@situation("`lesion_id` next to `patient_id`", "the patient is the unit")
def test_patients_go_before_lesions(ask: Asking, haut: Path) -> None:
    both = rows().rename(columns={"Fall": "lesion_id"}).assign(patient_id=[f"P{at // 4}" for at in range(NUMBER)])
    both.to_csv(haut / "befunde.csv", index=False)
    assert 'patient "patient_id"' in ask("look", "haut").out


@situation("`lesion` of 0 and 1", "a target and no id")
def test_a_column_of_lesions_is_no_id(ask: Asking, haut: Path) -> None:
    plain = rows().drop(columns="Fall").rename(columns={"Diagnose": "lesion"})
    plain.assign(lesion=[at % 2 for at in range(NUMBER)]).to_csv(haut / "befunde.csv", index=False)
    assert 'target "lesion", patient none' in ask("look", "haut").out


# Options that mean nothing here.


@situation("`--target` or `--patient` for a folder per class", "refused by every command, since no column is read")
@pytest.mark.parametrize("option", ["--target", "--patient"])
@pytest.mark.parametrize("command", [["audit", "net.onnx", "--images"], ["look"], ["init"]], ids=lambda one: one[0])
def test_names_of_columns_are_refused_for_folders_of_classes(
    command: list[str], option: str, ask: Asking, klassen: Path, net: str
) -> None:
    del net
    answer = ask(*command, klassen, option, "unfug")
    assert answer.code == 2
    assert answer.err.startswith(f"{option}: ")
    assert "a folder per class" in answer.err


@situation("`--columns` for a folder per class", "refused, since there is no table")
def test_columns_are_refused_for_folders_of_classes(ask: Asking, klassen: Path, net: str) -> None:
    answer = ask("audit", net, "--images", klassen, "--columns", "Geschlecht")
    assert answer.code == 2
    assert "--columns" in answer.err


@situation("`--positive` of a folder per class", "used; a name that no folder has is refused with the classes")
def test_the_positive_folder_is_used(ask: Asking, klassen: Path, net: str) -> None:
    answer = ask("audit", net, "--images", klassen, "--positive", "quatsch", "--dry-run")
    assert answer.code == 2
    assert "--positive" in answer.err
    assert all(name in answer.err for name in ("quatsch", "melanom", "naevus"))
    assert auroc_of(audited(klassen, positive="melanom")) == pytest.approx(auroc(), abs=1e-9)
    assert auroc_of(audited(klassen, positive="naevus")) == pytest.approx(1 - auroc(), abs=1e-9)


@situation("an option of models given with a CSV of predictions, or the reverse", "refused by name")
def test_options_of_another_mode_are_refused(ask: Asking, haut: Path, net: str) -> None:
    frame = rows().assign(score=np.linspace(0, 1, NUMBER))
    frame.to_csv("p.csv", index=False)
    for option in (
        ["--scaling", "imagenet"],
        ["--size", "24"],
        ["--trust"],
        ["--labels", "haut/befunde.csv"],
        ["--dry-run"],
    ):
        answer = ask("audit", "p.csv", "--positive", "Melanom", *option)
        assert (answer.code, answer.err.split()[0]) == (2, option[0]), answer.err
    for given in (["--score", "p"], ["--mask", "m", "--target", "Diagnose"], ["--mask", "m", "--head", "sigmoid"]):
        answer = ask("audit", net, "--images", haut, *given)
        assert (answer.code, answer.err.split()[0]) == (2, given[-2]), answer.err


@situation("training images in a folder per class, and test images in a table with patients", "both are read")
def test_training_images_may_come_another_way(ask: Asking, klassen: Path, net: str) -> None:
    for name in ("Melanom", "Naevus"):
        Path(klassen, name.lower()).rename(klassen / f"_{name}")
        Path(klassen, f"_{name}").rename(klassen / name)
    answer = ask(
        "audit", net, "--images", "haut", "--train", klassen, "--patient", "Fall", "--positive", "Melanom", "--dry-run"
    )
    assert answer.code == 0, answer.err


# Paths and answers.


@situation("names in `issues.csv` where a table was joined with its files", "the user's own paths")
def test_issues_have_paths_of_the_folder(ask: Asking, haut: Path) -> None:
    (haut / "bilder" / "im004.png").write_bytes((haut / "bilder" / "im001.png").read_bytes())
    assert ask("look", "haut", "--out", "l").code == 0
    files = pd.read_csv("l/issues.csv", keep_default_na=False)["file"]
    assert {"bilder/im001.png", "bilder/im004.png"} <= set(files)
    assert all((haut / name).is_file() for name in files if name)
    answer = ask("init", "haut", "--out", "s.yaml")
    assert "your table, joined with the files by its column Dateiname" in answer.out
    assert "written from names of files and folders" not in answer.out


@situation("paths in a data frame, relative or whole", "printed as the frame has them")
@pytest.mark.parametrize("whole", [False, True])
def test_issues_have_paths_of_the_frame(haut: Path, whole: bool) -> None:
    (haut / "bilder" / "im004.png").write_bytes((haut / "bilder" / "im001.png").read_bytes())
    frame = with_paths()
    if whole:
        frame["bild"] = [str(Path(name).absolute()) for name in frame["bild"]]
    found = assay.look(frame, positive="Melanom", out="l")
    files = pd.read_csv(found.folder / "issues.csv", keep_default_na=False)["file"]
    assert {frame["bild"][1], frame["bild"][4]} <= set(files) <= {*frame["bild"], ""}


@situation("a run at the prompt of Python", "its answer, as the terminal has it")
def test_a_run_prints_its_answer(ask: Asking, haut: Path) -> None:
    printed = ask("look", "haut", "--positive", "Melanom", "--out", "one").out.splitlines()
    shown = repr(assay.look("haut", positive="Melanom", out="two")).splitlines()
    assert LINE in shown[1]
    assert shown[:-2] == printed[: len(shown) - 2]
    assert shown[-2].startswith("Next: ")
    found = repr(audited("haut"))
    assert "positive class: Melanom" in found
    assert "AUROC" in found


# Python.


FORMS: dict[str, Callable[[], Any]] = {
    "a path": lambda: "haut",
    "a frame": with_paths,
    "a mapping with a frame": lambda: {"table": with_paths()},
    "a mapping with a path": lambda: {"table": "paths.csv"},
    "a list of dicts": lambda: with_paths().to_dict("records"),
}


@situation("a data frame, a mapping with one, a list of dicts or a path, in Python", "the same answer from each")
@pytest.mark.parametrize("form", FORMS)
def test_every_function_takes_every_form(form: str, haut: Path) -> None:
    with_paths().to_csv("paths.csv", index=False)
    assert auroc_of(audited(FORMS[form]())) == pytest.approx(auroc(), abs=1e-9)
    found = assay.look(FORMS[form](), positive="Melanom", out="l")
    facts = found.table("provenance").set_index("key")["value"]
    assert (facts["target"], facts["patient"], facts["images"]) == ("Diagnose", "Fall", str(NUMBER))
    probed = assay.probe(mean, FORMS[form](), positive="Melanom", size=SIDE, out="p", progress=False)
    value = probed.results.query("measure == 'auroc'")["value"].iloc[0]
    assert value == pytest.approx(auroc(), abs=1e-9)


@situation("`factors` as a list of names, or `columns=`", "their kinds are found")
def test_factors_may_be_names(haut: Path) -> None:
    for given in (
        {"data": {"table": with_paths(), "factors": ["Geschlecht"]}},
        {"data": with_paths(), "columns": ["Geschlecht"]},
    ):
        found = audited(given.pop("data"), **given).table("columns")
        assert dict(zip(found["column"], found["kind"], strict=True))["Geschlecht"] == "categorical"
    with pytest.raises(AssayError, match="Geschlecht"):
        audited({"table": with_paths(), "factors": ["Geschlcht"]})


@situation("a wrong name in Python", "an error that names the keyword and not the option")
def test_errors_of_python_name_keywords(haut: Path, klassen: Path) -> None:
    unclear = (
        with_paths().rename(columns={"Diagnose": "Gruppe"}).assign(Art=["ab"[at // 4 % 2] for at in range(NUMBER)])
    )
    calls: list[Callable[[], Any]] = [
        lambda: assay.look(unclear),
        lambda: audited(unclear, positive=""),
        lambda: assay.look(klassen, target="unfug"),
        lambda: assay.probe(mean, unclear, size=SIDE),
        lambda: assay.compare(unclear, by="Art"),
    ]
    for call in calls:
        with pytest.raises(AssayError) as raised:
            call()
        assert "--" not in str(raised.value)
        assert "target" in str(raised.value) or "score" in str(raised.value)


WRONG: dict[str, Callable[[], Any]] = {
    "None": lambda: None,
    "a number": lambda: 5,
    "nothing": lambda: "",
    "no such path": lambda: "nosuch",
    "an empty list": list,
    "an empty mapping": dict,
    "numbers": lambda: [1, 2],
    "an empty frame": pd.DataFrame,
    "a frame without rows": lambda: with_paths().iloc[:0],
    "a frame without images": lambda: rows().drop(columns="Dateiname"),
    "a frame without a target": lambda: with_paths()[["bild", "Fall"]],
    "one class": lambda: with_paths().query("Diagnose == 'Melanom'"),
    "files that are not there": lambda: with_paths().assign(bild="nosuch.png"),
    "a mapping with a number": lambda: {"table": 5},
    "a mapping with nothing": lambda: {"table": None},
    "a wrong type of a field": lambda: {"table": with_paths(), "target": "Diagnose", "patient": ["Fall"]},
    "an unknown field": lambda: {"table": with_paths(), "target": "Diagnose", "sise": 3},
    "factors of a wrong type": lambda: {"table": with_paths(), "factors": 3},
    "a text file": lambda: "note.txt",
    "an array": lambda: np.zeros((3, 4)),
}


@situation(
    "data of a wrong type, empty, or with columns missing, in Python", "an error of Assay's own that says what is wrong"
)
@pytest.mark.parametrize("wrong", WRONG)
def test_only_errors_of_our_own_come_out(wrong: str, haut: Path) -> None:
    Path("note.txt").write_text("nothing")
    Path("empty").mkdir()
    study = {"name": "s", "environments": {"train": {}, "same": {}}, "seeds": 1}
    calls: list[Callable[[], Any]] = [
        lambda: assay.look(WRONG[wrong](), out="l"),
        lambda: audited(WRONG[wrong](), out="a"),
        lambda: assay.probe(mean, WRONG[wrong](), size=SIDE, out="p", progress=False),
        lambda: assay.compare(WRONG[wrong](), by="recipe"),
        lambda: assay.load({**study, "data": WRONG[wrong]()}).run("runs", workers=0, progress=False),
        lambda: audited("haut", train=WRONG[wrong]() if wrong != "None" else 5, out="t"),
    ]
    for call in calls:
        with pytest.raises(AssayError) as raised:
            call()
        assert str(raised.value)


@situation("a name of a wrong type in Python, such as `target=5`", "an error of Assay's own")
@pytest.mark.parametrize(
    "given", [{"target": 5}, {"patient": 1.5}, {"positive": 3}, {"image": object()}, {"target": "nosuch"}]
)
def test_names_of_a_wrong_type(given: dict[str, Any], haut: Path) -> None:
    calls: list[Callable[[], Any]] = [
        lambda: assay.look(haut, **given),
        lambda: audited(haut, **given),
        lambda: assay.probe(mean, haut, size=SIDE, **given),
        lambda: assay.look(with_paths(), **given),
    ]
    for call in calls:
        with pytest.raises(AssayError):
            call()


# Predictions.


def predictions() -> Frame:
    draws = np.random.default_rng(0)
    made = [
        rows().assign(loss=loss, lauf=0, seed=0, prob=(draws.random(NUMBER) + (rows().Diagnose == "Melanom")) / 2)
        for loss in ("ce", "supcon")
    ]
    return pd.concat(made, ignore_index=True).drop(columns=["lauf", "Geschlecht"])


@situation("predictions whose columns have other names", "found by name and values, and reported")
def test_columns_of_predictions_are_guessed(ask: Asking, haut: Path) -> None:
    frame = predictions()
    frame.to_csv("p.csv", index=False)
    answer = ask("compare", "p.csv", "--by", "loss", "--positive", "Melanom", "--json")
    assert answer.code == 0, answer.err
    own = frame[frame.loss == "ce"]
    expected = roc_auc_score(own.Diagnose == "Melanom", own.prob)
    found = {row["recipe"]: row["value"] for row in json.loads(answer.out)["estimates"]}
    assert found["ce"] == pytest.approx(expected, abs=1e-9)
    said = ask("compare", "p.csv", "--by", "loss", "--positive", "Melanom").out
    assert 'score "prob", target "Diagnose", patient "Fall", image "Dateiname"' in said
    auroc = ["compare", "p.csv", "--by", "loss", "--positive", "Melanom", "--threshold", "0.3"]
    answer = ask(*auroc)
    assert (answer.code, answer.err.split()[0]) == (2, "--threshold"), answer.err
    assert ask(*auroc, "--measure", "sensitivity").code == 0
    own.drop(columns="loss").to_csv("one.csv", index=False)
    answer = ask("audit", "one.csv", "--positive", "Melanom", "--out", "a")
    assert answer.code == 0, answer.err
    assert 'score "prob", target "Diagnose", patient "Fall", image "Dateiname"' in answer.out
    assert auroc_of(assay.open_run("a")) == pytest.approx(expected, abs=1e-9)


@situation("a fifth of the images of one recipe is missing in another", "refused; `--unmatched drop` compares the rest")
def test_recipes_of_different_images(ask: Asking, haut: Path) -> None:
    frame = predictions()
    frame[(frame.loss == "ce") | (np.arange(len(frame)) % 5 > 0)].to_csv("p.csv", index=False)
    command = ["compare", "p.csv", "--by", "loss", "--positive", "Melanom"]
    answer = ask(*command)
    assert answer.code == 2
    assert f"{NUMBER // 5} of {NUMBER} images have no row in 'supcon'" in answer.err
    answer = ask(*command, "--unmatched", "drop")
    assert answer.code == 0, answer.err
    assert f"{NUMBER // 5} of {NUMBER} images have no row in 'supcon'" in answer.out


@situation(
    "`init` with the positive class and the column of files",
    "written into the study; a class that is not there is refused",
)
def test_init_takes_what_is_named(ask: Asking, haut: Path) -> None:
    answer = ask("init", "haut", "--positive", "naevus", "--image", "Dateiname", "--out", "s.yaml")
    assert answer.code == 0, answer.err
    assert assay.load("s.yaml").spec.data.positive == ("naevus",)
    answer = ask("init", "haut", "--positive", "quatsch", "--out", "t.yaml")
    assert answer.code == 2
    assert "--positive quatsch" in answer.err


@situation("columns that nobody named, in an audit in Python", "on the page and in `verdicts.json` too")
def test_guessed_columns_are_kept(haut: Path) -> None:
    found = audited("haut")
    assert LINE in found.table("provenance").set_index("key")["value"]["columns"]
    for name in ("report.html", "verdicts.json"):
        assert LINE in html.unescape((found.folder / name).read_text()).replace('\\"', '"'), name


@situation("predictions in a data frame", "compared as those in a file, with the same names of columns")
def test_predictions_in_a_frame(ask: Asking, haut: Path) -> None:
    frame = predictions()
    found = assay.compare(frame, by="loss", positive="Melanom", against="ce")
    page = assay.compare(frame, by="loss", positive="Melanom", against="ce", out="compared")
    assert page.title == found.title
    assert json.loads(Path("compared/run.json").read_text())["request"]["data"] == "in memory"
    other = assay.compare(frame.rename(columns={"prob": "x"}), by="loss", score="x", positive="Melanom", against="ce")
    assert [row["value"] for row in found.estimates] == [row["value"] for row in other.estimates]
    own = frame[frame.loss == "supcon"]
    values = {row["recipe"]: row["value"] for row in found.estimates}
    assert values["supcon"] == pytest.approx(roc_auc_score(own.Diagnose == "Melanom", own.prob), abs=1e-9)


@situation("`assay compare`: the scores of one recipe are of the other class", "a caution names it and its value")
def test_a_recipe_worse_than_chance(ask: Asking, haut: Path) -> None:
    frame = pd.concat([predictions().assign(seed=seed) for seed in range(3)], ignore_index=True)
    assert "caution" not in repr(assay.compare(frame, by="loss", positive="Melanom", against="ce"))
    frame.prob = 0.6 * frame.prob + 0.4 * np.random.default_rng(1).random(len(frame))
    turned = frame.loss == "supcon"
    frame.loc[turned, "prob"] = 1 - frame.prob[turned]
    said = repr(assay.compare(frame, by="loss", positive="Melanom", against="ce"))
    own = [part for _, part in frame[turned].groupby("seed")]
    value = np.mean([roc_auc_score(part.Diagnose == "Melanom", part.prob) for part in own])
    assert f"caution: supcon: AUROC is {value:.2f}, worse than chance" in said


@situation("`assay compare`: two recipes were trained with other seeds", "not tested: no seed in common")
def test_seeds_apart(ask: Asking, haut: Path) -> None:
    frame = predictions()
    frame.loc[frame.loss == "supcon", "seed"] += 100
    said = repr(assay.compare(frame, by="loss", positive="Melanom", against="ce"))
    assert "not tested: no seed in common" in said


# What is not read.


@situation("a `data.csv` that cannot be decoded beside another table", "refused: the other one is not used instead")
@situation("a table that names no images beside one that does", "the one with images is read, and named first")
def test_a_broken_table_is_not_passed_over(ask: Asking, haut: Path) -> None:
    (haut / "data.csv").write_text("a,b\n1,2\n3,4\n")
    said = ask("look", haut, "--target", "Diagnose", "--out", "look")
    assert said.code == 0, said.err
    assert 'target "Diagnose"' in said.out
    assert ", in befunde.csv" in said.out
    (haut / "data.csv").write_bytes(b"\xff\xfeimage,target\n\x00\xd8a,b\n")
    said = ask("look", haut, "--target", "Diagnose", "--out", "again")
    assert said.code == 2
    assert "data.csv" in said.err


@situation(
    "a folder with a single one in it that holds the folders of classes, or `train/` and `test/`, as archives have",
    "refused with the path of the inner folder, which can be given",
)
@pytest.mark.parametrize("parts", [("", ""), ("train", "test")])
def test_classes_one_folder_down(ask: Asking, tmp_path: Path, parts: tuple[str, str]) -> None:
    for at in range(24):
        path = tmp_path / "set/archive" / parts[at // 12] / ("benign", "malignant")[at % 2] / f"{at}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels(at)).save(path)
    (tmp_path / "set/docs").mkdir()
    said = ask("look", tmp_path / "set")
    assert said.code == 2
    assert f"give the folder in it that has several with images: {tmp_path}/set/archive" in said.err


@situation(
    "`tables/labels.csv` of images in `images/`, of which the folder above is given",
    "refused with the path of the table, which can be given",
)
@pytest.mark.parametrize("cell", ["images/{}.png", "{}"])
def test_a_table_one_folder_down(ask: Asking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cell: str) -> None:
    (tmp_path / "set/tables").mkdir(parents=True)
    (tmp_path / "set/images").mkdir()
    for at in range(24):
        Image.fromarray(pixels(at)).save(tmp_path / "set/images" / f"case{at:02d}.png")
    lines = [f"{cell.format(f'case{at:02d}')},{('benign', 'malignant')[at % 2]}" for at in range(24)]
    (tmp_path / "set/tables/labels.csv").write_text("\n".join(["file,diagnosis", *lines]))
    for command in ("look", "init"):
        said = ask(command, "set")
        assert said.code == 2
        assert f"nothing labels its images: give a table one folder down: {tmp_path}/set/tables/labels.csv" in said.err
    assert ask("init", "set/tables/labels.csv", "--out", "study.yaml").out.endswith("assay run study.yaml --open\n")
    assert assay.load("study.yaml").spec.data.folder == str(tmp_path / "set")
    monkeypatch.chdir(tmp_path / "set/tables")
    said = ask("look", "labels.csv", "--out", tmp_path / "look")
    assert said.code == 0, said.err
    assert "24 images" in said.out


@situation("a table without images, beside a folder of others with odd names", "that folder is not read, and no error")
def test_what_lies_beside_a_table_is_not_read(ask: Asking, tmp_path: Path) -> None:
    (tmp_path / "tables").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a\nb.png").write_bytes(b"1")
    (tmp_path / "other" / "\udcff").write_bytes(b"1")
    (tmp_path / "tables/labels.csv").write_text("file,diagnosis\nx.png,ill\ny.png,well\n")
    said = ask("look", "tables/labels.csv", "--out", "look")
    assert said.code == 2
    assert "no column of labels.csv names image files of" in said.err


@situation("a folder of a class whose files have endings that are no image's", "refused with its name")
@situation("an empty folder beside those of classes", "refused with its name")
@pytest.mark.parametrize("files", [["a.xyz", "b.xyz"], []])
def test_a_class_without_images(ask: Asking, klassen: Path, files: list[str]) -> None:
    (klassen / "Keratose").mkdir()
    for name in files:
        (klassen / "Keratose" / name).write_bytes(b"1")
    said = ask("look", klassen, "--out", "look")
    assert said.code == 2
    assert "Keratose/ holds no image" in said.err


@situation("a folder of images beside `train/` and `test/`", "not read, and its files are counted")
def test_a_folder_beside_the_parts(ask: Asking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for part in ("train", "test"):
        for at in range(24):
            path = tmp_path / "set" / part / ("ill" if at % 2 else "well") / f"{part}{at}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels(at + 24 * (part == "test"))).save(path)
    (tmp_path / "set" / "extra").mkdir()
    Image.fromarray(pixels(99)).save(tmp_path / "set" / "extra" / "a.png")
    (tmp_path / "set" / "test" / "ill" / "b.xyz").write_bytes(b"1")
    said = ask("look", "set", "--out", "look")
    assert said.code == 0, said.err
    assert "1 in extra/, 1 in test/ill/" in said.out + said.err


@situation(
    "a folder with two tables that name its images, such as `labels.csv` and `old.csv`",
    "asked, with their names; `data.csv` comes before all others",
)
def test_two_tables_of_one_folder_are_asked_about(tmp_path: Path, ask: Asking) -> None:
    draws = np.random.default_rng(0)
    rows: list[list[object]] = [["image", "label"], *([f"{at}.png", ("ill", "well")[at % 2]] for at in range(40))]
    for at in range(40):
        save(tmp_path / f"{at}.png", draws.integers(0, 255, (16, 16)).astype(np.uint8))
    write_table(tmp_path / "labels.csv", rows)
    write_table(
        tmp_path / "old.csv", [rows[0], *([name, "well" if label == "ill" else "ill"] for name, label in rows[1:])]
    )
    refused = ask("look", tmp_path, "--out", tmp_path / "out")
    assert refused.code == 2
    assert "2 tables that name its images (" in refused.err
    assert {"labels.csv", "old.csv"} <= set(re.findall(r"\w+\.csv", refused.err))
    assert ask("look", tmp_path / "labels.csv", "--out", tmp_path / "out").code == 0
    (tmp_path / "labels.csv").rename(tmp_path / "data.csv")
    assert ask("look", tmp_path, "--out", tmp_path / "again").code == 0


@situation(
    "a CSV of embeddings with a column `label`, `score`, `patient` or `fold` beside the features",
    "no features, and reported: a class among them would make every decoder perfect",
)
def test_a_label_beside_embeddings_is_no_feature(tmp_path: Path, ask: Asking) -> None:
    draws = np.random.default_rng(0)
    rows: list[list[object]] = [["image", "label"], *([f"{at}.png", ("ill", "well")[at % 2]] for at in range(80))]
    for at in range(80):
        save(tmp_path / f"{at}.png", draws.integers(0, 255, (16, 16)).astype(np.uint8))
    write_table(tmp_path / "data.csv", rows)
    header: list[object] = ["image", "f0", "f1", "label", "fold"]
    write_table(
        tmp_path / "features.csv",
        [header, *([f"{at}.png", *draws.normal(size=2).round(4).tolist(), at % 2, at] for at in range(80))],
    )
    answer = ask("look", tmp_path / "data.csv", "--embeddings", tmp_path / "features.csv", "--out", tmp_path / "out")
    assert answer.code == 0, answer.err
    decoded = assay.open_run(tmp_path / "out").table("decoded").query("source == 'embeddings'")
    assert decoded.value.max() < 0.8
    page = (tmp_path / "out" / "report.html").read_text()
    assert "no features by their names: label and fold" in page


@situation(
    "a folder of a class that usually means that it is not known, as `unknown`, in a look",
    "one of the classes, and reported as a caution; other commands ask",
)
def test_an_unknown_folder_is_said_in_a_look(tmp_path: Path, ask: Asking) -> None:
    draws = np.random.default_rng(0)
    for at in range(60):
        name = f"set/{('ill', 'well', 'unknown')[at % 3]}/{at}.png"
        save(tmp_path / name, draws.integers(0, 255, (16, 16)).astype(np.uint8))
    answer = ask("look", tmp_path / "set", "--out", tmp_path / "out")
    assert answer.code == 0, answer.err
    assert "caution: may mean unknown: 'unknown' in 20 rows of folders" in answer.out


def _scored() -> tuple[np.ndarray, np.ndarray]:
    """Classes of 60 cases and their scores."""
    classes = np.arange(60) % 2
    return classes, np.random.default_rng(0).normal(classes, 1)


def _auroc(tables: dict[str, pd.DataFrame]) -> float:
    return float(tables["performance"].set_index("measure")["value"]["auroc"])


@situation(
    "two series of pandas with the same index in another order, for `assay.validate`",
    "refused: by position they would be of other cases",
)
def test_series_in_another_order(tmp_path: Path) -> None:
    classes, scores = (pd.Series(values) for values in _scored())
    mixed = scores.sample(frac=1, random_state=0)
    with pytest.raises(AssayError, match="y_score names the same rows as y_true in another order"):
        assay.validate(classes, mixed, out=tmp_path / "v")
    with pytest.raises(AssayError, match="patient names the same rows as y_true in another order"):
        assay.validate(classes, scores, patient=mixed, out=tmp_path / "v")
    found = assay.validate(classes, mixed.reindex(classes.index), out=tmp_path / "v")
    assert _auroc(found) == pytest.approx(roc_auc_score(classes, scores), abs=1e-12)
    found = assay.validate(classes, scores.set_axis([f"x{at}" for at in range(60)]), out=tmp_path / "w")
    assert _auroc(found) == pytest.approx(roc_auc_score(classes, scores), abs=1e-12)


@situation(
    "two series of pandas of which each lacks another row, for `assay.validate`",
    "refused: by position, the rows between are those of their neighbors",
)
def test_series_that_lack_other_rows(tmp_path: Path) -> None:
    classes, scores = (pd.Series(values, index=[f"x{at}" for at in range(60)]) for values in _scored())
    with pytest.raises(AssayError, match="y_score names 58 of the 59 rows of y_true in another order"):
        assay.validate(classes.drop("x3"), scores.drop("x50"), out=tmp_path / "v")
    part = classes.sample(40, random_state=0)  # as after a split, with scores that a model gives as an array
    found = assay.validate(part, pd.Series(scores[part.index].to_numpy()), out=tmp_path / "w")
    assert _auroc(found) == pytest.approx(roc_auc_score(part, scores[part.index]), abs=1e-12)
    numbered = classes.reset_index(drop=True).sample(40, random_state=0)
    found = assay.validate(numbered, pd.Series(scores.to_numpy()[numbered.index]), out=tmp_path / "u")
    assert _auroc(found) == pytest.approx(roc_auc_score(numbered, scores.to_numpy()[numbered.index]), abs=1e-12)


@situation("scores or patients as a dict or a set, for `assay.validate`", "refused: its keys are no scores")
def test_mappings_are_no_scores(tmp_path: Path) -> None:
    classes, scores = _scored()
    for given in (dict(enumerate(scores)), {*scores}):
        with pytest.raises(AssayError, match=f"y_score is a {type(given).__name__}: give one value for each case"):
            assay.validate(classes, given, out=tmp_path / "v")  # pyright: ignore[reportArgumentType]
    with pytest.raises(AssayError, match="patient is a dict: give one value"):
        assay.validate(classes, scores, patient=dict(enumerate(scores)), out=tmp_path / "v")  # pyright: ignore


@situation(
    "masked arrays of NumPy, for `assay.validate`", "masked scores are missing: their cases are rejected, and counted"
)
def test_masked_scores(tmp_path: Path) -> None:
    classes, scores = _scored()
    hidden = np.arange(60) >= 50
    found = assay.validate(
        classes, np.ma.array(np.where(hidden, 9 * (1 - classes), scores), mask=hidden), out=tmp_path / "v"
    )
    assert _auroc(found) == pytest.approx(roc_auc_score(classes[~hidden], scores[~hidden]), abs=1e-12)
    with pytest.raises(AssayError, match="'target' is missing in 10 of 60 rows"):
        assay.validate(np.ma.array(classes, mask=hidden), scores, out=tmp_path / "v")


@situation(
    "the two columns of predict_proba, one-hot classes or arrays of other lengths, for `assay.validate`",
    "refused, with the column to give; an array of one column, and bfloat16, are read",
)
def test_arrays_of_another_shape(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    classes, scores = _scored()
    with pytest.raises(AssayError, match=r"y_score has the shape \[60, 2\].*y_score\[:, 1\]"):
        assay.validate(classes, np.stack([-scores, scores], axis=1), out=tmp_path / "v")
    with pytest.raises(AssayError, match=r"y_true has the shape \[60, 2\]"):
        assay.validate(np.eye(2)[classes], scores, out=tmp_path / "v")
    with pytest.raises(AssayError, match="y_score has 59 values, and y_true 60"):
        assay.validate(classes, scores[:-1], out=tmp_path / "v")
    rounded = torch.tensor(scores).bfloat16()
    found = assay.validate(classes[:, None], rounded, out=tmp_path / "v")
    assert _auroc(found) == pytest.approx(roc_auc_score(classes, rounded.float().numpy()), abs=1e-12)


@situation("a data frame with two columns of one name", "refused with the name, as a file is")
def test_a_frame_with_a_name_twice(tmp_path: Path) -> None:
    classes, scores = _scored()
    frame = pd.DataFrame({"target": classes, "score": scores})
    with pytest.raises(AssayError, match="names column 'score' twice"):
        assay.validate(pd.concat([frame, -frame["score"]], axis=1), out=tmp_path / "v")
