"""Patients."""

# pyright: basic

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image
from sklearn.metrics import roc_auc_score
from tests.cli.asking import Answer, Asking
from tests.reading.situations import situation
from tests.reading.tables_for_tests import audited, images, looked, predictions, refused

import assay
from assay.plugin import DataError

SIDE = 16
COUNT = 24


def _images(folder: Path, ids: Sequence[str], first: int, column: str = "patient") -> dict[str, str]:
    """Write images with a table, two of a patient, and return `data` of a study."""
    folder.mkdir(parents=True)
    rows: list[dict[str, object]] = []
    for at in range(2 * len(ids)):
        pixels = np.random.default_rng(first + at).integers(0, 128, (SIDE, SIDE)) + 100 * (at % 2)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{first + at}.png")
        rows.append({"image": f"{first + at}.png", "target": at % 2, column: ids[at // 2]})
    pd.DataFrame(rows).to_csv(folder / "data.csv", index=False)
    return {"folder": str(folder), "target": "target", **({"patient": column} if column == "patient" else {})}


def _mean(images: np.ndarray) -> np.ndarray:
    return np.asarray(images).mean(axis=(1, 2, 3)) * 20 - 10


def _check(tmp_path: Path, tested: Sequence[str], trained: Sequence[str], column: str = "patient") -> Mapping[str, Any]:
    """Return the check of patients in both sets of an audit with its training images."""
    found = assay.audit(
        _mean,
        {**_images(tmp_path / "test", tested, 0), "size": SIDE},
        train=_images(tmp_path / "train", trained, 1000, column),
        marks={"tag": [{"tag": {"size": size}} for size in (0.2, 0.3, 0.4)]},
        distortions=(),
        out=tmp_path / "out",
        scores="logits",
        as_given=True,
        progress=False,
    )
    (row,) = found.table("checks").query("check == 'training-patients'").to_dict("records")
    return row


NUMBERS = [f"{4000 + at}" for at in range(COUNT)]


@situation(
    "`--train` names patients 00004012, the test table 4012.0",
    "both are compared as numbers; the patients in both sets are counted, and it says that only so they were found",
)
def test_padded_numbers_and_decimals(tmp_path: Path) -> None:
    trained = [f"{4012 + at:08d}" for at in range(COUNT)]
    row = _check(tmp_path, [f"{name}.0" for name in NUMBERS], trained)
    right = pd.DataFrame({"id": NUMBERS}).astype(int).merge(pd.DataFrame({"id": trained}).astype(int))
    assert (row["status"], row["value"]) == ("warn", len(right))
    assert "leading zeros" in row["text"]


@situation(
    "patients `01` and `1` of two sites in one table", "two patients: ids are compared loosely between sets only"
)
def test_ids_of_one_set_are_taken_as_they_are(tmp_path: Path) -> None:
    names = [name for at in range(1, 13) for name in (f"{at:02d}x", f"{at}x", f"{at:02d}", str(at))]
    found = assay.look({**_images(tmp_path / "set", names, 0)}, out=tmp_path / "look")
    assert found.table("provenance").set_index("key")["value"]["patients"] == str(len({*names}))


@situation(
    "patient ids that differ in case and blanks in the two sets", "the same patients, and it says how they were found"
)
def test_case_and_blanks(tmp_path: Path) -> None:
    tested, trained = [f"pat-{at}" for at in range(COUNT)], [f" PAT - {at}" for at in range(20, 20 + COUNT)]
    row = _check(tmp_path, tested, trained)
    right = {*tested} & {name.replace(" ", "").lower() for name in trained}
    assert (row["status"], row["value"]) == ("warn", len(right))
    assert "case" in row["text"]


@situation(
    "hashes as patient ids in one set, numbers in the other",
    "not compared, and no tick: ids of different kinds cannot match",
)
@situation("UIDs as patient ids in one set, numbers in the other", "not compared, and no tick")
@pytest.mark.parametrize("kind", ["hash", "UID"])
def test_ids_of_different_kinds(tmp_path: Path, kind: str) -> None:
    digests = [hashlib.sha256(name.encode()).hexdigest()[:20] for name in NUMBERS]
    row = _check(tmp_path, NUMBERS, digests if kind == "hash" else [f"1.2.840.{name}.7" for name in NUMBERS])
    assert row["status"] == "not-done"
    assert kind in row["text"].replace("hashes", "hash")


@situation("training images whose table names no patients", "not compared, and no tick")
def test_no_patients_in_one_set(tmp_path: Path) -> None:
    row = _check(tmp_path, NUMBERS, NUMBERS, column="other")
    assert row["status"] == "not-done"


@situation("other patients of the same kind of id in both sets", "a tick with 0 patients in both: they were compared")
def test_other_patients(tmp_path: Path) -> None:
    row = _check(tmp_path, NUMBERS, [f"{9000 + at:08d}" for at in range(COUNT)])
    assert (row["status"], row["value"]) == ("ok", 0)


def _two_sets(ask: Asking, tmp_path: Path, tested: Sequence[str], **more: str) -> Answer:
    """Preview a study that trains on patients `NUMBERS` and tests on others."""
    sets = [_images(tmp_path / "clinic", NUMBERS, 0), _images(tmp_path / "other", tested, 1000)]
    study = {
        "name": "two-sets",
        "data": {"train": {**sets[0], "size": SIDE}, "tests": {"other": {**sets[1], **more}}},
        "environments": {"train": {}, "same": {}, "there": {"data": "other"}},
        "recipe": {"epochs": 1},
        "probes": ["performance"],
        "seeds": 1,
    }
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study))
    return ask("preview", tmp_path / "study.yaml", "--json")


@situation(
    "a patient of the test set of a study is one of the training set, with zeros before the number",
    "refused, with how the patient was found; `numbering: own` says that they are others",
)
def test_sets_of_a_study(ask: Asking, tmp_path: Path) -> None:
    tested = [f"{4000 + at:06d}" for at in range(20, 20 + COUNT)]
    refused = _two_sets(ask, tmp_path / "shared", tested)
    assert refused.code == 2
    assert f"{len(set(NUMBERS) & {str(int(name)) for name in tested})}, 4 of them only without" in refused.err
    assert _two_sets(ask, tmp_path / "own", tested, numbering="own").code == 0


@situation(
    "all images are of one patient", "copies across patients are not ticked off: there is no other patient to compare"
)
def test_one_patient_alone(ask: Asking, tmp_path: Path) -> None:
    folder = Path(_images(tmp_path / "set", ["4012"] * COUNT, 0)["folder"])
    said = " ".join(json.loads(ask("look", folder, "--patient", "patient", "--json").out)["findings"])
    assert "not searched" in said
    assert "no exact or near copy" not in said


@pytest.mark.parametrize("word", ["", "NA", "nan", "None"])
@situation("patients missing in half of the rows of predictions", "refused, with the first lines")
def test_blank_patients_of_predictions(ask: Asking, tmp_path: Path, word: str) -> None:
    frame = predictions()
    frame["patient"] = frame["patient"].where(frame.index % 2 == 0, word)
    frame.to_csv(tmp_path / "p.csv", index=False)
    said = refused(ask, tmp_path / "p.csv", "--patient", "patient")
    assert f"missing in {pd.read_csv(tmp_path / 'p.csv')['patient'].isna().sum()} of 120 rows (lines 3, 5, 7" in said


@situation("patients missing in some rows of `assay compare`", "refused, with the first lines")
def test_blank_patients_of_compared_predictions(ask: Asking, tmp_path: Path) -> None:
    frame = predictions().assign(image=range(120), seed=0)
    frame.loc[5, "patient"] = "n/a"
    pd.concat([frame.assign(loss=name) for name in ("a", "b")]).to_csv(tmp_path / "p.csv", index=False)
    said = ask("compare", tmp_path / "p.csv", "--by", "loss")
    assert said.code == 2
    assert "'patient' is missing in 2 of 240 rows (lines 7, 127)" in said.err


@situation("patients missing in some rows of a table of images", "refused, with the lines and what to write")
def test_blank_patients_of_images(tmp_path: Path) -> None:
    path = images(tmp_path / "set", pd.DataFrame({"target": [0, 1] * 12, "patient": ["a", "b", "NA"] * 8}))
    data = {"folder": str(path.parent), "target": "target", "patient": "patient", "size": SIDE}
    with pytest.raises(DataError, match=r"line 4 '002\.png': patient is missing; say whose image it is"):
        assay.audit(_mean, data, out=tmp_path / "out", progress=False)


@pytest.mark.parametrize("word", ["unknown", "-", "k.A."])
@situation("images with patients `unknown`, `-` or `k.A.`", "refused as blank ones are: they are not one patient")
def test_unknown_patients_of_images(ask: Asking, tmp_path: Path, word: str) -> None:
    frame = pd.DataFrame({"target": [0, 1] * 12, "patient": ["a", "b", word, *"cdefghijk"] * 2})
    path = images(tmp_path / "set", frame)
    data = {"folder": str(path.parent), "target": "target", "patient": "patient", "size": SIDE}
    with pytest.raises(DataError, match=r"line 4 '002\.png': patient is missing; say whose image it is"):
        assay.audit(_mean, data, out=tmp_path / "out", progress=False)
    assay.look({**data, "unnamed": "own"}, out=tmp_path / "look", progress=False)
    issues = ask("results", "look", "--table", "provenance").out
    assert "patient is missing in 2 of 24 rows: each counts as a patient of its own" in issues


@situation("one patient with over a tenth of the images", "a caution with the number of images")
def test_one_patient_with_many_images(ask: Asking, tmp_path: Path) -> None:
    frame = predictions(patient=["x" if at % 4 == 0 else f"p{at}" for at in range(120)])
    frame.to_csv(tmp_path / "p.csv", index=False)
    said = ask("audit", tmp_path / "p.csv", "--patient", "patient", "--out", "out").out
    assert f"caution: large patient: {frame['patient'].value_counts().max()} of 120 images" in said
    said = looked(ask, images(tmp_path / "set", frame[:40]), "--target", "target", "--patient", "patient")
    assert "caution: large patient: 10 of 40 images" in said


@situation("two images of each patient", "no caution")
def test_no_large_patient(ask: Asking, tmp_path: Path) -> None:
    predictions().to_csv(tmp_path / "p.csv", index=False)
    assert "large patient" not in audited(ask, tmp_path / "p.csv", "--patient", "patient")["audit"]


@situation("HAM10000's `lesion_id`, with several images of a lesion", "the unit that stays together, and no cue")
def test_ids_of_lesions(ask: Asking, tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "lesion_id": [f"HAM_{at // 2:07d}" for at in range(48)],
            "dx": [("mel", "nv")[at // 2 % 2] for at in range(48)],
            "sex": [("male", "female")[at // 4 % 2] for at in range(48)],
        }
    )
    path = images(tmp_path / "set", frame)
    said = looked(ask, path)
    assert f"{frame['lesion_id'].nunique()} patients" in said
    cues = json.loads(ask("results", "look", "--table", "shortcuts", "--json").out)
    assert "lesion_id" not in {row["name"] for row in cues}


def _columns(count: int) -> dict[str, list[object]]:
    """Return columns whose names speak of patients, and whose values are none."""
    return {
        "patient_sex": ["mf"[at // 3 % 2] for at in range(count)],
        "patient_age": [40 + at // 2 % 30 for at in range(count)],
        "study": ["AB"[at // 4 % 2] for at in range(count)],
        "case": [at % 2 for at in range(count)],
    }


def _guessed(ask: Asking, folder: Path, frame: pd.DataFrame) -> str:
    shutil.rmtree("look", ignore_errors=True)
    return looked(ask, images(folder, frame))


@situation("`patient_sex`, `patient_age`, `study` of A and B, or `case` of 0 and 1", "no patients, and no ids")
@pytest.mark.parametrize("name", ["patient_sex", "patient_age", "study", "case"])
def test_columns_called_almost_as_patients(ask: Asking, tmp_path: Path, name: str) -> None:
    frame = pd.DataFrame({"diagnosis": [at // 2 % 2 for at in range(80)], name: _columns(80)[name]})
    said = _guessed(ask, tmp_path / "set", frame)
    assert "patient none" in said
    assert f"{name} (" in said.partition("other columns")[2]
    scored = predictions().drop(columns="patient").assign(**{name: _columns(120)[name]})
    scored.to_csv(tmp_path / "p.csv", index=False)
    assert f"patient {name}" not in ask("audit", tmp_path / "p.csv", "--out", "out").out


@pytest.mark.parametrize("name", ["patient_psa", "study_duration"])
@situation("`patient_psa` of 3.4 or `study_duration` beside `case_id`", "numbers; the patient is `case_id`")
def test_measurements_of_patients(ask: Asking, tmp_path: Path, name: str) -> None:
    values = [3.4 + at // 3 if name == "patient_psa" else 90 + at // 3 for at in range(80)]
    frame = pd.DataFrame({"case_id": [f"C{at // 2}" for at in range(80)], "dx": [at // 2 % 2 for at in range(80)]})
    said = _guessed(ask, tmp_path / "set", frame.assign(**{name: values}))
    assert 'patient "case_id"' in said
    assert f"{name} (continuous)" in said.partition("other columns")[2]


@situation("`case` of 0 and 1 beside `pid`", "the patient is `pid`, and the target `case`")
@situation("`case` with several images each beside `patient_id`", "the patient is `patient_id`")
def test_ids_go_before_bare_words(ask: Asking, tmp_path: Path) -> None:
    pids = [f"P{at // 2}" for at in range(80)]
    frame = pd.DataFrame({"case": [at // 2 % 2 for at in range(80)], "pid": pids})
    assert 'target "case", patient "pid"' in _guessed(ask, tmp_path / "one", frame)
    frame = pd.DataFrame({"case": [f"C{at // 5}" for at in range(80)], "dx": frame["case"], "patient_id": pids})
    assert 'target "dx", patient "patient_id"' in _guessed(ask, tmp_path / "two", frame)


@situation("half of the images are of each of two patients", "a caution with the number of images")
def test_two_patients(ask: Asking, tmp_path: Path) -> None:
    predictions(patient=["ab"[at // 60] for at in range(120)]).to_csv(tmp_path / "p.csv", index=False)
    said = ask("audit", tmp_path / "p.csv", "--patient", "patient", "--out", "out")
    assert "60 of 120 images are of one patient" in said.out + said.err


@situation("predictions with two rows of each `lesion_id`, and no patients", "rows of one lesion stay together")
@situation("predictions with decisions, `pred`, beside `logit_malignant`", "the logits are the scores")
@situation("a blank score", "refused with its line")
def test_columns_of_predictions(ask: Asking, tmp_path: Path) -> None:
    frame = predictions().rename(columns={"score": "logit_malignant", "target": "truth"}).drop(columns="patient")
    frame = frame.assign(lesion_id=[f"L{at // 2}" for at in range(120)], pred=(frame["logit_malignant"] > 0.5) * 1)
    frame.to_csv(tmp_path / "p.csv", index=False)
    said = ask("audit", tmp_path / "p.csv", "--out", "out")
    assert said.code == 0, said.err
    assert 'score "logit_malignant", target "truth", patient "lesion_id"' in said.out
    frame["logit_malignant"] = frame["logit_malignant"].where(frame.index != 4)
    frame.to_csv(tmp_path / "p.csv", index=False)
    assert "p.csv:6: score " in refused(ask, tmp_path / "p.csv")


@situation(
    "a patient written `7` and `0007` in one table",
    "two patients, and a caution with the first two lines; names of patients reach no page",
)
def test_one_number_with_and_without_zeros(ask: Asking, tmp_path: Path) -> None:
    frame = predictions()
    frame.loc[2:3, "patient"], frame.loc[8:9, "patient"] = "7", "0007"
    frame.to_csv(tmp_path / "p.csv", index=False)
    caution = audited(ask, tmp_path / "p.csv", "--patient", "patient")["audit"]["patients alike"]
    assert caution.startswith("2 patients differ from another in zeros before")
    assert "line 4 and line 10" in caution
    assert "caution: patients alike: 2 patients" in looked(ask, images(tmp_path / "set", frame))


@situation(
    "a patient written `12` and `12.0`, or `P-1` and `p-1`, in one table", "the same caution, with all that differ so"
)
@pytest.mark.parametrize("other", ["{}.0", "p-{}"])
def test_one_patient_in_two_spellings(ask: Asking, tmp_path: Path, other: str) -> None:
    one = other.upper() if other.startswith("p") else "{}"
    predictions(patient=[(one, other)[at % 2].format(at // 2 + 1) for at in range(120)]).to_csv("p.csv", index=False)
    said = ask("audit", "p.csv", "--patient", "patient", "--out", "out")
    assert "caution: patients alike: 120 patients differ from another" in said.out
    assert "line 2 and line 3" in said.out


@situation(
    "patients in merged cells of a spreadsheet: each is in the first of its rows alone",
    "refused, or left out of a look, with this cause: fill each down",
)
def test_merged_cells(ask: Asking, tmp_path: Path) -> None:
    frame = predictions(patient=[f"p{at // 3}" if at % 3 == 0 else "" for at in range(120)])[:60]
    path = images(tmp_path / "set", frame)
    assert "40 of 60 images, such as line 3: patient is missing, as below cells that a spreadsheet" in looked(ask, path)
    said = ask("init", path, "--out", "set.yaml")
    assert "fill each down" in said.out + said.err
    frame["patient"] = [f"p{at // 3}" if at % 7 else "" for at in range(60)]
    path = images(tmp_path / "few", frame)
    assert "merged" not in looked(ask, path, "--out", "few_look")


SIDES = ("{}_L|{}_R", "P{}-left|P{}-right", "{}OD|{}OS", "{} Li|{} Re")


@pytest.mark.parametrize("form", SIDES)
@situation("patients such as `p1_L` and `p1_R`, or `7OD` and `7OS`", "a caution with the first two lines")
@situation("patients such as `7a` and `7b`, or of whom few end in L and R", "no caution")
def test_sides_as_patients(ask: Asking, tmp_path: Path, form: str) -> None:
    ids = [name.format(at) for at in range(1, 61) for name in form.split("|")]
    predictions(patient=ids).to_csv("p.csv", index=False)
    caution = "caution: patients by side: 120 patients differ in a side at their end alone"
    said = ask("validate", "p.csv", "--out", "out").out
    assert caution in said
    assert "line 2 and line 3" in said
    assert "caution: patients by side: 24" in looked(ask, images(tmp_path / "set", predictions(patient=ids)[:24]))
    for others in ([name.replace(name[-1], "a") for name in ids[:60]] + ids[60:62] + [f"x{at}" for at in range(58)],
                   [f"{at // 2}{'ab'[at % 2]}" for at in range(120)]):  # fmt: skip
        predictions(patient=others).to_csv("p.csv", index=False)
        assert "patients by side" not in ask("validate", "p.csv", "--out", "out").out


@pytest.mark.parametrize("form", ["{}", "P{:03d}"])
@situation(
    "patients whose numbers start again in each value of `site`, as 1 to 15 in both of two hospitals",
    "a caution: as one, they make intervals too wide or put two people on one side",
)
@situation("patients of one site each, patients that two scanners saw, or hashes in two sites", "no caution")
@situation(
    "patients with lesions at several sites of the body, in `anatom_site` or in `site` of torso and arm", "no caution"
)
def test_numbers_of_each_site(ask: Asking, tmp_path: Path, form: str) -> None:
    ids = [form.format(at // 4 % 15 + 1) for at in range(120)]
    sites = ["AB"[at // 60] for at in range(120)]
    predictions(patient=ids, site=sites).to_csv("p.csv", index=False)
    caution = "caution: patients by site: 15 of 15 patients are in several values of site"
    assert caution in ask("validate", "p.csv", "--out", "out").out
    frame = predictions(patient=ids, site=sites)
    assert caution in looked(ask, images(tmp_path / "set", frame))
    own = [form.format(at // 4 + 1) for at in range(120)]
    hashes = [hashlib.sha256(name.encode()).hexdigest() for name in ids]
    for others in ({"patient": own, "site": sites}, {"patient": ids, "scanner": sites},
                   {"patient": hashes, "site": sites}, {"patient": ids, "anatom_site_general": sites},
                   {"patient": ids, "site": ["upper arm" if site == "A" else "torso" for site in sites]}):  # fmt: skip
        predictions(**others).to_csv("p.csv", index=False)
        assert "patients by site" not in ask("validate", "p.csv", "--out", "out").out


@situation(
    "patients whose numbers begin again in each fold, as 1 to 20 in each of five",
    "a caution of validate, audit and look: put the fold into the ids",
)
@situation("predictions of several folds that share patients, by whatever ids", "a caution: networks may know them")
@situation(
    "patients that training and test share, whose ids are plain numbers", "networks may know them; in a look, a finding"
)
@situation("patients of one fold each", "no caution")
def test_numbers_of_each_fold(ask: Asking, tmp_path: Path) -> None:
    folds = [at // 24 + 1 for at in range(120)]
    ids = [at % 12 + 1 for at in range(120)]
    frame = predictions(patient=ids, fold=folds)
    frame.to_csv("p.csv", index=False)
    anew = "caution: patients by site: 12 of 12 patients are in several values of fold, and ids are plain numbers"
    assert anew in ask("validate", "p.csv", "--out", "out").out
    assert anew in ask("audit", "p.csv", "--out", "audited").out
    assert anew in looked(ask, images(tmp_path / "set", frame.drop(columns="score")))
    hashes = [hashlib.sha256(str(name).encode()).hexdigest() for name in ids]
    predictions(patient=hashes, fold=folds).to_csv("p.csv", index=False)
    known = "12 of 12 patients are in several values of fold: if networks were trained on the other parts, they know"
    assert known in ask("validate", "p.csv", "--out", "out").out
    frame = predictions(patient=ids, split=[("train", "test")[at // 60] for at in range(120)])
    frame.to_csv("p.csv", index=False)
    assert known.replace("fold", "split") in ask("validate", "p.csv", "--out", "out").out
    said = looked(ask, images(tmp_path / "set", frame.drop(columns="score")))
    assert ("share patients" in said, "patients by site" in said) == (True, False)
    predictions(patient=[at // 2 + 1 for at in range(120)], fold=folds).to_csv("p.csv", index=False)
    assert "patients by site" not in ask("validate", "p.csv", "--out", "out").out


@situation(
    "patients of both sexes, of two dates of birth, or with ages over 25 years apart",
    "a caution with their number and the first line: an id may stand for several people",
)
@situation("patients who grow older, whose sex is missing in some rows or written M and male", "no caution")
@situation(
    "patients with ages in months, or of 300 for over 89, or with birth weights of several children", "no caution"
)
def test_contradictory_patients(ask: Asking, tmp_path: Path) -> None:
    sex = ["F" if at % 4 < 2 else "M" for at in range(120)]
    contradictions = {
        "sex": ["F" if at == 7 else letter for at, letter in enumerate(sex)],
        "birthdate": [f"19{40 + at % 40}-01-01" for at in range(120)],
        "age": [(at * 31) % 60 + 20 for at in range(120)],
    }
    counts = {"sex": 1, "birthdate": 60, "age": 60}
    for name, cells in contradictions.items():
        predictions(**{name: cells}).to_csv("p.csv", index=False)
        said = ask("validate", "p.csv", "--out", "out").out
        what = "ages over 25 years apart in age" if name == "age" else f"several values of {name}"
        assert (
            f"caution: patients contradictory: {counts[name]} of 60 patients have {what}, the first from line" in said
        )
    assert "patients contradictory: 1 of 60" in looked(
        ask, images(tmp_path / "set", predictions(sex=contradictions["sex"]))
    )
    spelled = [{"F": ["F", "female"], "M": ["M", "unknown"]}[letter][at % 2] for at, letter in enumerate(sex)]
    older = [40 + at // 2 % 30 + 8 * (at % 2) for at in range(120)]
    months = [30 + at // 2 * 2 + 40 * (at % 2) for at in range(120)]
    coded = [300 if at in (7, 11, 15) else 88 for at in range(120)]
    weights = [3000 + 10 * at for at in range(120)]
    for columns in ({"sex": spelled}, {"age": older}, {"sex": [*map(str, sex[:60]), *[""] * 60]}, {"age": months},
                    {"age": coded}, {"birth_weight": weights}):  # fmt: skip
        predictions(**columns).to_csv("p.csv", index=False)
        assert "contradictory" not in ask("validate", "p.csv", "--out", "out").out


@situation("patients as a spreadsheet rounds long numbers, `1.23457E+11`", "a caution: several may have become one")
def test_rounded_numbers_of_patients(ask: Asking, tmp_path: Path) -> None:
    frame = predictions(patient=[f"{1.23457 + at // 8 * 1e-5:.5f}E+11" for at in range(120)])
    frame.to_csv("p.csv", index=False)
    said = "caution: patients rounded: 15 patients have numbers as a spreadsheet rounds them"
    assert said in ask("audit", "p.csv", "--patient", "patient", "--out", "out").out
    assert said in looked(ask, images(tmp_path / "set", frame))


@situation(
    "one patient, `anonymous`, in all rows of predictions", "a caution, and no interval: there is none over one patient"
)
def test_one_patient_has_no_interval(ask: Asking, tmp_path: Path) -> None:
    frame = predictions(patient=["anonymous"] * 120)
    frame.to_csv("p.csv", index=False)
    said = ask("audit", "p.csv", "--patient", "patient", "--out", "out")
    assert "caution: large patient: all 120 images are of one patient" in said.out
    assert f"AUROC: {roc_auc_score(frame['target'], frame['score']):.2f} on 120 images" in said.out
    groups = json.loads(ask("results", "out", "--table", "groups", "--json").out)
    assert not [row for row in groups if row.get("low") is not None]


@situation(
    "ids of over 15 digits that all end in zeros, as a spreadsheet writes them",
    "a caution: several may have become one",
)
@situation("ids of 15 digits, or longer ones of which some do not end in zeros", "no caution")
def test_ids_with_zeros(ask: Asking, tmp_path: Path) -> None:
    ids = {
        "cut": [123_456_789_012_340_000 + at // 8 * 1000 for at in range(120)],
        "whole": [123_456_789_012_340_000 + at // 8 * 1001 for at in range(120)],
        "short": [123_456_789_012_000 + at // 8 * 1000 for at in range(120)],
    }
    for name, patients in ids.items():
        frame = predictions(patient=[str(patient) for patient in patients])
        frame.to_csv("p.csv", index=False)
        look = ("look", images(tmp_path / f"set{name}", frame), "--out", f"look{name}")
        for said in (ask("validate", "p.csv", "--out", f"validate{name}").out, ask(*look).out):
            caution = "caution: patients rounded: all 15 patients with over 15 digits end in zeros behind these"
            assert (caution in said) == (name == "cut"), name
            assert ("patients rounded" in said) == (name == "cut"), name


@pytest.mark.parametrize("form", ["p{}_{}", "sub-{:03d}_ses-{}", "{}-v{}"])
@situation(
    "patients such as `p1_1` and `p1_2`, or `sub-01_ses-1` and `sub-01_ses-2`",
    "a caution with the first two lines: they may be visits of one patient",
)
@situation("patients such as `A-7`, `01-023` of centers, or numbered from `p_1` to `p_120`", "no caution")
def test_visits_as_patients(ask: Asking, tmp_path: Path, form: str) -> None:
    frame = predictions(patient=[form.format(at // 2, at % 2 + 1) for at in range(120)])
    frame.to_csv("p.csv", index=False)
    said = "caution: patients by visit: 120 patients differ from another in a counted end alone"
    assert said in ask("validate", "p.csv", "--out", "out").out
    assert said in looked(ask, images(tmp_path / "set", frame))
    for ordinary in ("p_{}", "A-{}", "{:03d}", "sub-{:02d}", "1.2.840.{}"):
        predictions(patient=[ordinary.format(at) for at in range(120)]).to_csv("p.csv", index=False)
        assert "patients by visit" not in ask("validate", "p.csv", "--out", "out").out
    predictions(patient=[f"{at % 4:02d}-{at // 4:02d}" for at in range(120)]).to_csv("p.csv", index=False)
    assert "patients by visit" not in ask("validate", "p.csv", "--out", "out").out


@situation(
    "images in folders that are named after patients, of which some are of another one by the table",
    "a caution with their number and the first line",
)
@situation("the same, where some images are in no folder, or of no patient", "no caution")
def test_folders_of_other_patients(ask: Asking, tmp_path: Path) -> None:
    rows: list[tuple[str, int, str]] = []
    for at in range(48):
        path = tmp_path / "set" / f"P{at // 4}" / f"{at}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(at).integers(0, 256, (16, 16)).astype(np.uint8)).save(path)
        rows.append((f"P{at // 4}/{at}.png", at % 2, f"P{at // 4}"))
    table = pd.DataFrame(rows, columns=["image", "label", "patient"])
    table.to_csv(tmp_path / "set" / "data.csv", index=False)
    for at in (46, 47):
        (tmp_path / "set" / rows[at][0]).rename(tmp_path / "set" / f"{at}.png")
        table.loc[at, "image"] = f"{at}.png"
    table.loc[3, "patient"] = ""
    table.to_csv(tmp_path / "set" / "data.csv", index=False)
    assert "contradictory" not in ask("look", tmp_path / "set", "--out", "look").out
    table.loc[5:6, "patient"] = "P9"
    table.to_csv(tmp_path / "set" / "data.csv", index=False)
    said = ask("look", tmp_path / "set", "--out", "again").out
    assert "2 images lie in the folder of another patient than patient says, the first in line 7" in said


@pytest.mark.parametrize("column", ["AnonID", "RID", "id_paciente", "dog_id"])
@situation(
    "ids that repeat in a column with another name, such as `AnonID`, `RID` or `dog_id`, and no patients",
    "each image counts as one, and the column is named that may be the patient",
)
@situation("`reader_id`, `country_id`, `slice_number` or ids that do not repeat", "no such hint")
def test_ids_with_other_names(ask: Asking, tmp_path: Path, column: str) -> None:
    frame = predictions().drop(columns="patient")
    repeated = [f"{1000 + at // 3}" for at in range(len(frame))]
    said = looked(ask, images(tmp_path / "set", frame.assign(**{column: repeated})))
    assert f"column '{column}' may be one (40 values): if so, write" in said
    others = ("reader_id", "country_id", "slice_number", "class_id")
    shared = {name: [at % 12 for at in range(len(frame))] for name in others}
    frame = frame.assign(**shared, **{column: [*range(len(frame))]})
    assert "may be one" not in looked(ask, images(tmp_path / "other", frame), "--out", "again")
