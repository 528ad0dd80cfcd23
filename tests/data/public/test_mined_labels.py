"""CheXpert and MIMIC-CXR-JPG on small trees of their layout: what uncertain and blank mean is said, never guessed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.worlds.public import chexpert, load, mimic, targets, values

from assay.data.splits import split
from assay.plugin import DataError, SpecError, SplitSpec


def image(patient: int, study: int = 1, view: int = 1, part: str = "train", **row: object) -> dict[str, object]:
    side = row.get("side", "Frontal")
    return {"path": f"{part}/patient{patient:05d}/study{study}/view{view}_{str(side).lower()}.jpg", **row}


def doubtful_set(folder: Path) -> Path:
    """Edema: present, absent, uncertain, blank, and one blank with No Finding."""
    return chexpert(
        folder,
        [
            image(1, Edema="1.0", sex="Male", age=70),
            image(2, Edema="0.0", view=2, **{"Pleural Effusion": "1.0"}),
            image(3, Edema="-1.0"),
            image(4, Edema="", sex="Unknown"),
            image(5, Edema="", **{"No Finding": "1.0"}),
            image(5, view=2, side="Lateral", Edema="1.0") | {"view": ""},
        ],
    )


POLICIES: dict[str, tuple[dict[str, str], list[int]]] = {
    "both negative": ({"uncertain": "negative", "blank": "negative"}, [1, 0, 0, 0, 0, 1]),
    "uncertain positive": ({"uncertain": "positive", "blank": "negative"}, [1, 0, 1, 0, 0, 1]),
    "both left out": ({"uncertain": "drop", "blank": "drop"}, [1, 0, 1]),
    "blank positive": ({"uncertain": "drop", "blank": "positive"}, [1, 0, 1, 1, 1]),
    "against No Finding, blank does not matter": ({"uncertain": "drop", "against": "No Finding"}, [1, 0, 1]),
    "against another finding": ({"uncertain": "negative", "against": "Pleural Effusion"}, [1, 0, 1]),
}


@pytest.mark.parametrize("policy", POLICIES)
def test_each_policy_gives_its_classes(tmp_path: Path, policy: str) -> None:
    asked, expected = POLICIES[policy]
    dataset = load("chexpert", doubtful_set(tmp_path / "set"), finding="Edema", **asked)
    assert targets(dataset) == expected
    assert dataset.table.classes == (asked.get("against", "not Edema"), "Edema")


@pytest.mark.parametrize(("policy", "expected"), [("drop", [1, 0]), ("negative", [1, 0, 0, 1]), ("positive", [1, 0])])
def test_a_row_of_which_one_of_two_findings_is_uncertain(tmp_path: Path, policy: str, expected: list[int]) -> None:
    """Left out, it is in no class, whatever the other finding is; taken as positive beside the other, it is both."""
    other = "Pleural Effusion"
    rows = [
        image(1, Edema="1.0"),
        image(2, **{other: "1.0"}),
        image(3, Edema="-1.0", **{other: "1.0"}),
        image(4, Edema="1.0", **{other: "-1.0"}),
    ]
    folder = chexpert(tmp_path / "set", rows)
    dataset = load("chexpert", folder, finding="Edema", against=other, uncertain=policy)
    assert targets(dataset) == expected


def test_what_was_done_with_doubtful_labels_stands_on_the_card(tmp_path: Path) -> None:
    card = load("chexpert", doubtful_set(tmp_path / "set"), finding="Edema", uncertain="drop", blank="negative").card
    assert "1 uncertain labels of Edema were left out" in card.summary
    assert "2 blank labels of Edema were taken as negative" in card.summary
    assert card.name == "CheXpert"
    assert any("does not mention" in fault for fault in card.known_faults)
    assert "patient0" not in repr(card)


def test_a_doubtful_label_is_refused_until_its_meaning_is_said(tmp_path: Path) -> None:
    folder = doubtful_set(tmp_path / "set")
    text = (
        "data.dataset.uncertain: 'Edema' is uncertain (-1) in 1 of 6 images; say what that means: uncertain: negative, "
        "positive or drop"
    )
    with pytest.raises(SpecError, match=re.escape(text)):
        load("chexpert", folder, finding="Edema")
    text = "data.dataset.blank: 'Edema' is blank (an empty cell) in 2 of 6 images; say what that means: blank: negative"
    with pytest.raises(SpecError, match=re.escape(text)):
        load("chexpert", folder, finding="Edema", uncertain="drop")
    only_certain = {"where": {"age": 70}}
    with pytest.raises(DataError, match="no image is not Edema"):
        load("chexpert", folder, finding="Edema", data=only_certain)


def test_columns_become_factors_in_common_words(tmp_path: Path) -> None:
    dataset = load("chexpert", doubtful_set(tmp_path / "set"), finding="Edema", uncertain="drop", blank="negative")
    assert values(dataset, "sex") == ["M", "F", "missing", "F", "F"]
    assert values(dataset, "view") == ["AP", "AP", "AP", "AP", "lateral"]
    assert values(dataset, "age") == [70, 60, 60, 60, 60]
    assert dataset.table.patient.tolist() == [0, 1, 2, 3, 3]


def test_valid_csv_is_the_test_part_and_its_rows_are_numbered_on(tmp_path: Path) -> None:
    folder = chexpert(tmp_path / "set", [image(at, Edema=at % 2) for at in range(4)])
    chexpert(folder, [image(at, part="valid", Edema=at % 2) for at in (4, 5)], "valid.csv")
    dataset = load("chexpert", folder, finding="Edema")
    assert values(dataset, "split") == ["train"] * 4 + ["test"] * 2
    assert split(dataset.table, SplitSpec(column="split", train=0.5, validation=0.5, test=0), 0).test.tolist() == [4, 5]
    (folder / "valid" / "patient00004" / "study1" / "view1_frontal.jpg").unlink()
    with pytest.raises(DataError, match=r"line 7 'CheXpert.*view1_frontal\.jpg': the file is missing") as caught:
        load("chexpert", folder, finding="Edema")
    assert str(caught.value).startswith("1 bad line in train.csv and, numbered on, valid.csv:")


def test_a_patient_on_both_sides_is_refused(tmp_path: Path) -> None:
    folder = chexpert(tmp_path / "set", [image(at, Edema=at % 2) for at in range(4)])
    chexpert(folder, [image(at, part="valid", Edema=at % 2) for at in (3, 4)], "valid.csv")
    dataset = load("chexpert", folder, finding="Edema")
    with pytest.raises(DataError, match="column 'split' puts 1 patients on several sides"):
        split(dataset.table, SplitSpec(column="split"), 0)


def test_all_bad_rows_of_chexpert_at_once(tmp_path: Path) -> None:
    rows = [image(at, Edema=at % 2) for at in range(1, 7)]
    rows[1] |= {"Edema": "2.0"}
    rows[2] |= {"sex": "Mal"}
    rows[3] |= {"path": "train/other/view1_frontal.jpg"}
    folder = chexpert(tmp_path / "set", rows)
    (folder / "train" / "patient00005" / "study1" / "view1_frontal.jpg").write_bytes(b"no image")
    with pytest.raises(DataError) as caught:
        load("chexpert", folder, finding="Edema", blank="negative")
    lines = [line.split("': ", 1)[-1] for line in str(caught.value).splitlines()[1:-1]]
    assert lines == [
        "'Edema' is none of 1, 0, -1 and empty; copy the table again",
        "'Mal' is no level of the factor; levels: F, M",
        "its patient is not given; say whose image it is",
        "it is no PNG, JPEG, TIFF, DICOM, NIfTI, GIF, BMP or WebP image; export it as PNG",
    ]
    dataset = load("chexpert", folder, finding="Edema", blank="negative", skip_bad_rows=True)
    assert len(dataset.table) == 2
    assert not re.search(r"patient\d", repr(dataset.card))


def test_places_that_are_not_chexpert(tmp_path: Path) -> None:
    folder = doubtful_set(tmp_path / "set")
    with pytest.raises(SpecError, match=r"finding: unknown finding 'Effusion': did you mean 'Pleural Effusion'\?"):
        load("chexpert", folder, finding="Effusion")
    with pytest.raises(SpecError, match=r"against: unknown finding 'Healthy'"):
        load("chexpert", folder, finding="Edema", against="Healthy")
    with pytest.raises(SpecError, match=r"train/ has no file 'train\.csv'; give the folder that holds it"):
        load("chexpert", folder / "train", finding="Edema")
    (folder / "valid.csv").write_text("Path,Sex,Age,Frontal/Lateral,AP/PA,Edema\n")
    with pytest.raises(DataError, match=r"train\.csv and valid\.csv have different columns; give both as they are"):
        load("chexpert", folder, finding="Edema", uncertain="drop", blank="drop")


# --- MIMIC-CXR-JPG ----------------------------------------------------------------------------------------------------

IMAGES: list[dict[str, Any]] = [
    {"dicom": "a1", "patient": 10000032, "study": 50000001, "view": "PA", "split": "train"},
    {"dicom": "a2", "patient": 10000032, "study": 50000001, "view": "LATERAL", "split": "train"},
    {"dicom": "b1", "patient": 10000764, "study": 50000002, "view": "AP", "split": "train"},
    {"dicom": "c1", "patient": 11000898, "study": 50000003, "view": "", "split": "validate"},
    {"dicom": "d1", "patient": 12000935, "study": 50000004, "view": "AP", "split": "test"},
    {"dicom": "e1", "patient": 12000936, "study": 50000005, "view": "AP", "split": "test"},
    {"dicom": "f1", "patient": 12000937, "study": 50000006, "view": "AP", "split": "test"},
]
LABELS: dict[str, dict[str, object]] = {
    "50000001": {"patient": 10000032, "Edema": "1.0"},
    "50000002": {"patient": 10000764, "Edema": "0.0"},
    "50000003": {"patient": 11000898, "Edema": "-1.0"},
    "50000004": {"patient": 12000935, "Edema": "", "No Finding": "1.0"},
    "50000005": {"patient": 12000936, "Edema": "1.0"},
}


def test_mimic_joins_its_tables(tmp_path: Path) -> None:
    folder = mimic(tmp_path / "set", IMAGES, LABELS)
    dataset = load("mimic", folder, finding="Edema", uncertain="positive", blank="negative")
    assert targets(dataset) == [1, 1, 0, 1, 0, 1]
    assert dataset.table.patient.tolist() == [0, 0, 1, 2, 3, 4]
    assert values(dataset, "view") == ["PA", "LATERAL", "AP", "missing", "AP", "AP"]
    assert dataset.table.factor("view").high == ("AP",)
    assert values(dataset, "split") == ["train", "train", "train", "validation", "test", "test"]
    found = split(dataset.table, SplitSpec(column="split"), 0)
    assert [part.tolist() for part in (found.train, found.validation, found.test)] == [[0, 1, 2], [3], [4, 5]]
    assert "1 images belong to a study without labels and were left out" in dataset.card.known_faults
    assert dataset.card.license.startswith("PhysioNet")
    assert not re.search(r"1[0-2]000\d{3}", repr((dataset.card, dataset.near_copies)))
    np.testing.assert_array_equal(dataset.table.row, np.arange(6))


def test_mimic_follows_the_policies(tmp_path: Path) -> None:
    folder = mimic(tmp_path / "set", IMAGES, LABELS)
    with pytest.raises(SpecError, match=r"data\.dataset\.uncertain: 'Edema' is uncertain \(-1\) in 1 of 6 images"):
        load("mimic", folder, finding="Edema")
    assert targets(load("mimic", folder, finding="Edema", uncertain="drop", against="No Finding")) == [1, 1, 0, 1]


def test_mimic_without_its_files(tmp_path: Path) -> None:
    folder = mimic(tmp_path / "set", IMAGES, LABELS)
    asked = {"finding": "Edema", "uncertain": "drop", "blank": "drop"}
    with pytest.raises(SpecError, match=r"set/ has no file 'mimic-cxr-2\.0\.0-negbio\.csv\.gz'; put it there as publ"):
        load("mimic", folder, labels="negbio", **asked)
    (folder / "mimic-cxr-2.0.0-split.csv.gz").unlink()
    assert len(load("mimic", folder, **asked).table) == 4
    with pytest.raises(SpecError, match=r"the set's own split is in mimic-cxr-2\.0\.0-split\.csv\.gz, which the"):
        load("mimic", folder, data={"split": {"column": "split"}}, **asked)
    table = folder / "mimic-cxr-2.0.0-chexpert.csv.gz"
    table.write_bytes(table.read_bytes()[:-12])
    with pytest.raises(DataError, match=r"mimic-cxr-2\.0\.0-chexpert\.csv\.gz is damaged or cut short; download it"):
        load("mimic", folder, **asked)


def test_mimic_bad_rows_at_once(tmp_path: Path) -> None:
    changed = {"50000002": {"patient": 19999999, "Edema": "0.0"}, "50000004": {"patient": 12000935, "Edema": "x"}}
    labels: dict[str, dict[str, object]] = {**LABELS, **changed}
    folder = mimic(tmp_path / "set", IMAGES, labels)
    (folder / "files" / "p12" / "p12000936" / "s50000005" / "e1.jpg").unlink()
    with pytest.raises(DataError) as caught:
        load("mimic", folder, finding="Edema", uncertain="negative", blank="negative")
    lines = str(caught.value).splitlines()
    assert lines[0] == "3 bad lines in mimic-cxr-2.0.0-metadata.csv.gz:"
    assert [line.split("': ", 1)[-1] for line in lines[1:-1]] == [
        "its study belongs to another patient in the labels; download both tables again",
        "'Edema' is none of 1, 0, -1 and empty; copy the table again",
        "the file is missing; put it there, or take the row out of the table",
    ]
    kept = load("mimic", folder, finding="Edema", uncertain="negative", blank="negative", skip_bad_rows=True)
    assert not re.search(r"1[0-9]000\d{3}|5000000", repr(kept.card))
