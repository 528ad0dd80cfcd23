"""Train on one set and test on another: from two made-up folders to a page, and each wrong input in one sentence."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from tests.cli.asking import Asking
from tests.data.public.test_lesion_sets import endotect, hyperkvasir

import assay
from assay.look.checks import data_checks
from assay.plugin import ArrayCache, AssayError, Environment, RunFolder
from assay.report.sentences.reasons import reason_words
from assay.shifts.sources import open_population
from assay.spec.parse import parse_study
from assay.stats.findings import parse_finding
from assay.study.preview import preview_tables
from assay.study.records import stored_model

IMAGES = 48


def hospital(
    folder: Path, seed: int, classes: tuple[str, str] = ("normal", "ill"), prefix: str = "P", color: bool = False
) -> Path:
    """Write a folder with images of two classes, of which the second has a bright square, two images a patient."""
    folder.mkdir()
    drawn = np.random.default_rng(seed)
    rows: list[dict[str, str]] = []
    for at in range(IMAGES):
        pixels = drawn.normal(90 + 10 * seed, 15, (40, 48))
        if at % 2:
            top = int(drawn.integers(4, 24))
            pixels[top : top + 12, top : top + 12] += 100
        shown = pixels.clip(0, 255).astype(np.uint8)
        Image.fromarray(np.stack([shown, shown, 255 - shown], -1) if color else shown).save(folder / f"{at}.png")
        rows.append({"image": f"{at}.png", "grade": classes[at % 2], "patient": f"{prefix}{at // 2}"})
    pd.DataFrame(rows).to_csv(folder / "data.csv", index=False)
    return folder


def study(train: Path, test: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """Return a study of two sets."""
    return {
        "name": "two",
        "data": {
            "train": {"folder": str(train), "target": "grade", "patient": "patient", "size": 32},
            "tests": {"site b": test},
        },
        "environments": {"train": {}, "found": {}, "external": {"data": "site b"}},
        "recipe": {"epochs": 8, "batch_size": 8, "optimizer": {"adamw": {"lr": 0.01}}},
        "seeds": 1,
        "probes": ["performance"],
        **more,
    }


@pytest.fixture(name="own", scope="module")
def _own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hospital(tmp_path_factory.mktemp("own") / "a", 1)


def test_a_study_is_trained_on_one_folder_and_tested_on_another(
    own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = hospital(tmp_path / "b", 3, ("healthy", "sick"), "Q")
    figures = {
        "name": "AUROC outside",
        "measure": "auroc",
        "environment": "external",
        "values": {"focal": 0.8, "dice": 0.7},
    }
    published = {"title": "Losses", "source": "Somebody 2020", "page": "Table 1", "rows": "loss", "columns": [figures]}
    published["note"] = "Same | <b>images, [other](x) networks."
    recipe = {"loss": ["cross-entropy", "focal"], "epochs": 8, "batch_size": 8, "optimizer": {"adamw": {"lr": 0.01}}}
    given = study(
        own, {"folder": str(other), "map": {"healthy": "normal", "sick": "ill"}}, recipe=recipe, published=[published]
    )
    run = assay.load(given).run(tmp_path / "runs", workers=0, progress=False)

    environments = run.table("environments").set_index("environment")
    assert environments.loc["external", "set"] == "site b"
    assert environments.loc["external", "images"] == IMAGES
    assert environments.loc["external", "patients"] == IMAGES // 2
    estimates = run.table("estimates").query("measure == 'auroc' and group == '' and level == ''")
    measured = dict(zip(estimates["environment"], estimates["value"], strict=True))
    assert measured["external"] > 0.9, "the bright square is the same in both hospitals"
    cells = run.table("published").set_index("row")
    assert cells["published"].to_dict() == pytest.approx(
        {"focal": 0.8, "dice": 0.7, "cross-entropy": np.nan}, nan_ok=True
    )
    assert (
        cells.loc["focal", "value"]
        == estimates.set_index(["recipe", "environment"]).loc[("focal", "external"), "value"]
    )
    assert np.isnan(cells.loc["dice", "value"])
    printed = Asking(capsys)("results", run.folder, "--as-published").out
    assert "Losses (Somebody 2020, Table 1)" in printed
    assert "not run" in printed
    lines = Asking(capsys)("results", run.folder, "--as-published", "--markdown").out.splitlines()
    assert lines[0] == "Losses (Somebody 2020, Table 1)"
    assert lines[2] == "|  | AUROC outside: published | this run |"
    assert set(lines[3]) <= set("|-: ")
    rows = dict[str, list[str]]()
    for line in lines[4:7]:
        _, loss, *shown, _ = map(str.strip, line.split("|"))
        rows[loss] = shown
    value = cells.loc["focal", "value"]
    assert rows["focal"][0] == "0.8"
    assert rows["focal"][1].startswith(f"{value:.3f}")
    assert rows["dice"] == ["0.7", "not run"]
    assert rows["cross-entropy"][0] == ""
    assert r"Same \| \<b\>images, \[other\](x) networks." in lines
    facts = dict(run.table("provenance")[["key", "value"]].itertuples(index=False))
    assert "data summary of site b" in facts
    page = (run.folder / "report.html").read_text()
    title = (
        r"Whether networks do as well in site b cannot be said: AUROC of cross-entropy was \d\.\d\d in site b, and "
        r"\d\.\d\d in held-out images of the training set \(1 seed, so no interval\)"
    )
    assert re.search(title, page)
    written = page.partition("<summary>Study file</summary>")[2].partition(">")[2].partition("</pre>")[0]
    whole = html.unescape(written).replace(f"…/{own.name}", str(own)).replace(f"…/{other.name}", str(other))
    (tmp_path / "again.yaml").write_text(whole)
    assert parse_study(tmp_path / "again.yaml").model_copy(update={"command": "", "file": ""}) == parse_study(given)
    again = assay.load(given).run(tmp_path / "runs", workers=0, progress=False)
    assert again.result is not None
    assert again.result.trained == again.result.probed == 0


def test_a_class_that_another_set_lacks_is_named_where_the_page_begins(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for at, classes in enumerate((("normal", "ill", "cyst", "ill"), ("normal", "ill"))):
        folder = hospital(tmp_path / "ab"[at], 1 + 2 * at, prefix="PQ"[at])
        table = pd.read_csv(folder / "data.csv")
        table["grade"] = [classes[row % len(classes)] for row in range(IMAGES)]
        table.to_csv(folder / "data.csv", index=False)
    given = study(tmp_path / "a", {"folder": str(tmp_path / "b")})
    run = assay.load(given).run(tmp_path / "runs", workers=0, progress=False)
    page = html.unescape((run.folder / "report.html").read_text())
    assert re.search(
        r"cannot be said: macro AUROC was undefined in site b \(no image of cyst\), and \d\.\d\d in held-out images",
        page,
    )
    printed = Asking(capsys)("results", run.folder, "--rows", "measure=auroc", "--rows", "environment=found").out
    assert {"normal", "ill", "cyst"} <= {*printed.split()}, "a row of each class is told by its name"


def test_the_study_of_the_docs_starts_from_two_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "train-here-test-there.md").read_text(encoding="utf-8")
    (tmp_path / "two-hospitals.yaml").write_text(page.partition("```yaml\n")[2].partition("```")[0])
    hospital(tmp_path / "hospital-a", 1, prefix="A")
    hospital(tmp_path / "hospital-b", 3, ("healthy", "sick"), "B")
    monkeypatch.chdir(tmp_path)
    spec = parse_study(Path("two-hospitals.yaml"))
    population = open_population(spec.data, ArrayCache(tmp_path / "cache"))
    scene = population.scene(spec.points[0].tests, 0, 1)
    assert len(scene.environment("hospital-b")) == IMAGES
    assert len(scene.environment("same")) < IMAGES
    assert (spec.ensemble, population.folds) == (True, 5)


def test_the_networks_of_folds_answer_an_outside_set_together(
    own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its answer is the mean of the members' probabilities, one for each image and seed."""
    other = hospital(tmp_path / "b", 3, prefix="Q")
    given = study(own, {"folder": str(other)})
    given["data"]["train"]["split"] = {"folds": 3}
    with pytest.raises(AssayError, match="write ensemble: true, by which the folds' networks answer together"):
        parse_study(given)
    study_file = tmp_path / "joint.yaml"
    study_file.write_text(json.dumps({**given, "ensemble": True}), encoding="utf-8")
    planned = Asking(capsys)("run", study_file, "--dry-run", "--workers", "0", "--out", tmp_path / "planned").out
    assert "3 trials to train, 4 probes to read" in planned
    run = assay.load(study_file).run(tmp_path / "runs", workers=0, progress=False)

    assert run.result is not None
    assert (run.result.trained, run.result.probed) == (3, 4), "an ensemble is probed, and not trained"
    trials, folder = run.table("trials"), RunFolder(run.folder)
    assert len(trials) == 3
    records = {path.name: json.loads((path / "record.json").read_text()) for path in (run.folder / "trials").iterdir()}
    joint = next(id for id, record in records.items() if record["training"].get("members"))
    members = records[joint]["training"]["members"]
    assert records[joint]["threshold"] == pytest.approx(np.mean([records[one]["threshold"] for one in members]))
    read = {name: folder.outputs(name) for name in folder.ids("readings")}
    outside = [one for one in read.values() if len(one["row"]) == IMAGES]
    assert len(outside) == 1
    assert sum(len(one["row"]) for one in read.values()) == 2 * IMAGES, "each own image is tested by one fold"
    images = external({**given, "ensemble": True}, tmp_path).images.read(np.arange(IMAGES))
    with torch.inference_mode():
        each = [stored_model(run.folder / "trials" / one).network(images).softmax(1) for one in members]
    told = torch.as_tensor(outside[0]["logits"]).softmax(1)
    assert torch.allclose(torch.stack(each).mean(0), told.float(), atol=1e-5)
    estimates = run.table("estimates").query("measure == 'auroc' and group == '' and level == ''")
    assert set(estimates["environment"]) == {"found", "external"}
    assert estimates.set_index("environment").loc["external", "images"] == IMAGES
    page = html.unescape((run.folder / "report.html").read_text())
    assert "3 networks (1 seed, 3 folds) were trained to predict" in page
    assert "1 recipe · 3 training runs · 1 seed" in page
    assert "all 3 training runs finished" in page, "an ensemble is no training run"
    assert "and tested on site b too; there the networks of a seed are averaged (mean probability)." in page
    places, fold = "(In-distribution|external)", "( These are the images of the first of 3 folds.)?"
    named = re.findall(places + r": rows are [^<]*? images \([^)]+\)[.]" + fold, page)
    assert set(named) == {
        ("In-distribution", " These are the images of the first of 3 folds."),
        ("external", ""),
    }
    assert "No row of the data was excluded." in page


def test_a_preview_counts_patients_and_images_of_an_outside_set_once(own: Path, tmp_path: Path) -> None:
    other = hospital(tmp_path / "b", 3, prefix="Q")
    for folder, sites in ((own, "uv"), (other, "uw")):
        table = pd.read_csv(folder / "data.csv")
        table["site"] = [sites[row // 2 % 2] for row in range(IMAGES)]
        table.to_csv(tmp_path / f"{folder.name}.csv", index=False)
    factors = {"site": {"kind": "categorical", "levels": ["u", "v", "w"]}}
    way = {"axis": "loss", "against": "cross-entropy", "measure": "auroc", "environment": "external"}
    given = study(
        own,
        {"folder": str(other), "table": str(tmp_path / "b.csv"), "factors": factors},
        recipe={"loss": ["cross-entropy", "focal"], "epochs": 1},
        seeds=2,
        contrasts=[way],
    )
    given["data"]["train"] |= {"table": str(tmp_path / "a.csv"), "factors": factors}
    folds = {**given, "data": {**given["data"], "train": {**given["data"]["train"], "split": {"folds": 3}}}}
    alone, joint = (
        preview_tables(spec, open_population(spec.data, ArrayCache(tmp_path / "cache")), tmp_path / "pictures")
        for spec in map(parse_study, (given, {**folds, "ensemble": True}))
    )
    assert joint["power"] == alone["power"]
    assert "24" in str(joint["power"][0]["reason"]), "too few seeds, with so many patients of a class"
    cautions = [[reason_words(parse_finding(row).reason) for row in tables["findings"]] for tables in (alone, joint)]
    unseen = "'external' has levels of 'site' that no training image has: w (24) of 48 images"
    assert all(unseen in texts for texts in cautions)


def test_a_test_set_of_another_size_than_the_training_set_has_by_default_is_refused(own: Path, tmp_path: Path) -> None:
    other = hospital(tmp_path / "b", 3, prefix="Q")
    given = study(own, {"folder": str(other), "size": 128})
    del given["data"]["train"]["size"]
    with pytest.raises(
        AssayError, match=r"site b\.size = 128\n  the training set is read at 64 px, as its networks are"
    ):
        parse_study(given)
    given["data"]["tests"]["site b"]["size"] = 64
    assert parse_study(given).data.tests["site b"].size == 64


def test_an_environment_like_another_shows_the_images_of_its_set_unless_it_names_its_own(
    own: Path, tmp_path: Path
) -> None:
    other = hospital(tmp_path / "b", 3, prefix="Q")
    given = study(own, {"folder": str(other)})
    given["environments"] |= {
        "tagged": {"like": "external", "interventions": {"tag": 1.0}},
        "at home": {"like": "tagged", "data": None},
    }
    tests = parse_study(given).points[0].tests
    assert {name: environment.data for name, environment in tests.items()} == {
        "found": "", "external": "site b", "tagged": "site b", "at home": "",
    }  # fmt: skip


def test_rows_left_out_of_an_outside_set_are_on_the_page(own: Path, tmp_path: Path) -> None:
    other = hospital(tmp_path / "b", 3, prefix="Q")
    (other / "7.png").unlink()
    given = study(own, {"folder": str(other)}, recipe={"epochs": 1})
    run = assay.load(given).run(tmp_path / "runs", workers=0, progress=False, skip_bad_rows=True)
    page = (run.folder / "report.html").read_text()
    assert "Excluded rows of the data of site b: line 9: the file is missing" in page
    assert "No row of the data was excluded" not in page


def test_data_frames_are_sets_too_and_their_patients_are_others(own: Path, tmp_path: Path) -> None:
    other = hospital(tmp_path / "b", 3)
    frames = {name: pd.read_csv(folder / "data.csv") for name, folder in (("a", own), ("b", other))}
    for name, folder in (("a", own), ("b", other)):
        frames[name]["image"] = [str(folder / image) for image in frames[name]["image"]]
    train = {"table": frames["a"], "target": "grade", "patient": "patient", "size": 32}
    made = assay.Study(train=train, tests={"site b": {"table": frames["b"], "numbering": "own"}}).spec
    assert list(made.points[0].tests) == ["found", "site b"]
    assert made.data.tests["site b"].target == "grade", "a set has the fields of the training set"
    population = open_population(made.data, ArrayCache(tmp_path / "cache"))
    scene = population.scene(made.points[0].tests, 0)
    patients = [scene.environment(name).table.patient for name in scene.names]
    assert not set(patients[0]) & set(patients[1]), "P0 of another hospital is another patient"
    assert scene.environment("site b").table.classes == population.classes == ("normal", "ill")
    for given in ({"train": train}, {"train": train, "tests": [frames["b"]]}, {"tests": {"site b": frames["b"]}}):
        with pytest.raises(AssayError, match="give both: train, a set as in `data`, and tests, a mapping of names"):
            assay.Study(**given)
    for named in ("nodule-loss", {"data": train}):
        with pytest.raises(AssayError, match="train and tests are for a mapping without `data`"):
            assay.Study(named, train=train, tests={"site b": frames["b"]})
    for taken in ("found", "train"):
        with pytest.raises(AssayError, match=f"tests: '{taken}' names rows of the training set; give the other set an"):
            assay.Study(train=train, tests={taken: frames["b"]})
    assert assay.Study(train=frames["a"], tests={"site b": frames["b"]}).spec.data.target == "grade", "by its name"


@pytest.mark.parametrize(
    ("test", "environments", "said"),
    [
        (
            {"classes": ("healthy", "sick")},
            {},
            "no class of the training set (normal, ill) is called 'healthy' or 'sick'; say which it is: map: {healthy: "
            "CLASS, sick: CLASS}",
        ),
        ({"classes": ("ill", "ill")}, {}, "set 'site b': data.target: column 'grade' needs at least two different"),
        ({"prefix": "P"}, {}, "the training set has patients of this set too (24: lines 2, 3, "),
        ({"seed": 1}, {}, "the training set has images of this set too (lines 2, 3, "),
        ({"color": True}, {}, "images are color (3 channels), and those of the training set gray"),
        ({}, {"external": {"data": "site c"}}, "did you mean 'site b'?"),
        ({}, {"train": {"data": "site b"}}, "training rows are those of data.train"),
        ({"split": {"folds": 3}}, {}, "every row of a test set is tested"),
        ({"map": {"sick": "ill"}}, {}, "no class is called 'sick': the set has normal, ill"),
    ],
)
def test_wrong_sets_are_one_sentence(
    own: Path, tmp_path: Path, test: dict[str, Any], environments: dict[str, Any], said: str
) -> None:
    drawn = {name: test.pop(name) for name in ("seed", "classes", "prefix", "color") if name in test}
    other = hospital(tmp_path / "b", **{"seed": 3, "prefix": "Q", **drawn})
    given = study(own, {"folder": str(other), **test})
    given["environments"] |= environments
    with pytest.raises(AssayError) as refused:
        external(given, tmp_path)
    assert said in str(refused.value)


def test_an_image_is_found_in_both_sets_whatever_its_file_format(own: Path, tmp_path: Path) -> None:
    other = hospital(tmp_path / "b", 3, prefix="Q")
    Image.open(own / "5.png").save(other / "7.png", format="TIFF")
    with pytest.raises(AssayError, match=r"images of this set too \(line 9 of data\.csv\)"):
        external(study(own, {"folder": str(other)}), tmp_path)


def test_patients_of_a_public_set_and_of_a_folder_are_compared(tmp_path: Path) -> None:
    """EyePACS names a patient by the number before the eye: 3_left is of patient 3."""
    public, names = tmp_path / "eyepacs", [f"{at // 2}_{('left', 'right')[at % 2]}" for at in range(20)]
    public.mkdir()
    drawn = np.random.default_rng(4)
    for name in names:
        Image.fromarray(drawn.integers(0, 255, (40, 40, 3), dtype=np.uint8)).save(public / f"{name}.jpeg")
    pd.DataFrame({"image": names, "level": [at % 5 for at in range(20)]}).to_csv(
        public / "trainLabels.csv", index=False
    )
    folder = hospital(tmp_path / "b", 3, ("0-1", "2-4"), prefix="", color=True)
    train = {"dataset": {"eyepacs": {"folder": str(public), "cut": 2}}, "size": 32, "channels": "color"}
    given = study(tmp_path, {"folder": str(folder), "target": "grade", "patient": "patient"})
    given["data"]["train"] = train
    with pytest.raises(AssayError, match=r"patients of this set too \(10: lines 2, 3, "):
        external(given, tmp_path)
    given["data"]["tests"]["site b"]["numbering"] = "own"
    assert len(external(given, tmp_path)) == IMAGES


def test_classes_of_answers_are_mapped_by_their_cells(own: Path, tmp_path: Path) -> None:
    """A column of no and yes has the classes `not grade` and `grade`; a map may say no and yes."""
    other = hospital(tmp_path / "b", 3, ("no", "yes"), prefix="Q")
    found = external(study(own, {"folder": str(other), "map": {"no": "normal", "yes": "ill"}}), tmp_path)
    assert found.table.classes == ("normal", "ill")
    assert found.table.target.tolist() == [0, 1] * (IMAGES // 2)
    asked = hospital(tmp_path / "c", 7, ("no", "yes"), prefix="C")
    given = study(asked, {"folder": str(own), "map": {"normal": "no", "ill": "yes"}})
    assert external(given, tmp_path).table.classes == ("not grade", "grade")


def external(given: Mapping[str, Any], folder: Path) -> Environment:
    spec = parse_study(given)
    population = open_population(spec.data, ArrayCache(folder / "cache"))
    return population.scene(spec.points[0].tests, 0).environment("external")


def test_near_copies_are_searched_across_sets(own: Path, tmp_path: Path) -> None:
    other = hospital(tmp_path / "b", 3, prefix="Q")
    scene = np.random.default_rng(9).normal(128, 50, (12, 12)).clip(0, 255).astype(np.uint8)
    whole = Image.fromarray(scene).resize((120, 120), Image.Resampling.BICUBIC)
    twin = hospital(tmp_path / "a", 5)
    whole.save(twin / "0.png")
    whole.resize((100, 100)).save(other / "3.png")
    spec = parse_study(study(twin, {"folder": str(other)}))
    population = open_population(spec.data, ArrayCache(tmp_path / "cache"))
    dataset = population.sets["site b"].dataset
    assert dataset is not None
    assert [(pair.first, pair.second) for pair in dataset.near_copies] == [(0, 3)]
    reason = data_checks(spec.data, population.dataset, {"site b": dataset}).reasons[0]
    assert reason_words(reason) == (
        "1 image of site b found in the training set, exactly or nearly, such as line 5 of data.csv there, a copy of "
        "line 2 of data.csv in training"
    )


def test_the_published_external_test_runs_on_files_of_the_true_layout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HyperKvasir in folds, EndoTect by their ensemble, and the published table beside."""
    monkeypatch.setenv("ASSAY_ASSETS", str(tmp_path))
    hyperkvasir(tmp_path / "hyperkvasir")
    frames = endotect(tmp_path / "endotect")
    for path in (frames / "images").iterdir():  # other pictures than those of the training set
        Image.fromarray(255 - np.asarray(Image.open(path))).save(path)
    small = {
        "data.train": {
            "dataset": {"hyperkvasir-seg": {"folder": str(tmp_path / "hyperkvasir")}},
            "size": 32,
            "channels": "color",
            "split": {"folds": 3, "validation": 0},
        },
        "data.tests.endotect": {"dataset": {"endotect": {"folder": str(frames)}}},
        "recipe.architecture": "small-unet",
        "recipe.initialization": "random",
        "recipe.loss": ["cross-entropy", {"dice": {"reduce": "image"}}],
        "recipe.epochs": 1,
        "recipe.batch_size": 2,
        "seeds": 1,
        "contrasts": [],
    }
    for name in ("polyp-train", "polyp"):  # which the study names, and this test replaces
        (tmp_path / name).mkdir()
        (tmp_path / name / "data.csv").write_text("image,mask,fold\n")
    study = assay.load("lesion-loss-endotect")
    for place, value in small.items():
        study = study.set(place, value)
    run = study.run(tmp_path / "runs", workers=0, progress=False)
    cells = run.table("published").set_index(["row", "column"])
    assert "Differences from the publication: Images are square" in (run.folder / "report.html").read_text()
    assert cells.loc[("cross-entropy", "left empty"), "published"] == 0.7
    assert 0 <= cells.loc[("cross-entropy", "left empty"), "value"] <= 1
    assert 0 <= cells.loc[("dice(reduce=image)", "Dice over all frames"), "value"] <= 1
    estimates = run.table("estimates").query("measure == 'left-empty' and group == '' and level == ''")
    free = estimates[estimates["environment"] == "lesion-free"]
    assert free["images"].tolist() == [2, 2], "each frame has one answer"
