"""NIH ChestX-ray14 on a small tree of its layout: the table as published, classes, official split, bad rows."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from tests.worlds.files import noise, save
from tests.worlds.public import NIH_HEADER, NIH_ROWS, load, nih, spec_of, targets, values

from assay.data.splits import split
from assay.plugin import ArrayCache, DataError, SpecError, SplitSpec, load_dataset

ASSETS = Path(os.environ.get("ASSAY_ASSETS", Path(__file__).parents[4] / "shared" / "assets"))


def test_the_table_is_read_as_published(tmp_path: Path) -> None:
    dataset = load("nih", nih(tmp_path / "set"), finding="Mass")
    assert dataset.table.classes == ("No Finding", "Mass")
    assert targets(dataset) == [1, 0, 0, 1, 1, 0]  # Effusion alone is neither
    assert dataset.table.patient.tolist() == [0, 0, 1, 2, 3, 4]
    assert values(dataset, "age") == [58, 59, 81, 1.5, 74, 33]  # 018M is a year and a half
    assert values(dataset, "sex") == ["M", "M", "F", "F", "F", "M"]
    assert values(dataset, "view") == ["PA", "AP", "PA", "PA", "PA", "PA"]
    assert values(dataset, "follow_up") == [0, 1, 0, 0, 0, 0]
    assert dataset.table.factor("view").high == ("AP",)
    np.testing.assert_array_equal((dataset.images.read(np.array([0]))[0, 0] * 255).round().numpy(), noise(0))


@pytest.mark.parametrize(
    "header",
    [
        NIH_HEADER.removesuffix(","),
        NIH_HEADER.replace("Patient Gender", "Patient Sex"),
        "\ufeff" + NIH_HEADER,
    ],
)
def test_other_spellings_of_the_header(tmp_path: Path, header: str) -> None:
    assert values(load("nih", nih(tmp_path / "set", header=header), finding="Mass"), "sex")[2] == "F"


def test_one_finding_against_another(tmp_path: Path) -> None:
    dataset = load("nih", nih(tmp_path / "set"), finding="Mass", against="Effusion")
    assert targets(dataset) == [1, 0, 1]  # the image that is both is left out
    assert "1 images that are both were left out" in dataset.card.summary
    alone = load("nih", nih(tmp_path / "alone"), finding="Mass", alone=True)
    assert targets(alone) == [1, 0, 0, 1, 0]
    assert "1 images with other findings beside were left out" in alone.card.summary


def test_rows_are_chosen_before_they_are_judged(tmp_path: Path) -> None:
    folder = nih(tmp_path / "set")
    (folder / "images_002" / "images" / "00000001_001.png").unlink()  # AP
    (folder / "images_001" / "images" / "00000004_000.png").unlink(missing_ok=True)
    assert targets(load("nih", folder, finding="Mass", data={"where": {"view": "PA"}})) == [1, 0, 1, 1, 0]
    with pytest.raises(SpecError, match=r"data\.where: no row of Data_Entry_2017\.csv fits"):
        load("nih", folder, finding="Mass", data={"where": {"view": "LL"}})


def test_the_official_split_is_by_patient(tmp_path: Path) -> None:
    dataset = load("nih", nih(tmp_path / "set"), finding="Mass")
    assert values(dataset, "split") == ["train"] * 4 + ["test"] * 2
    found = split(dataset.table, SplitSpec(column="split", train=0.5, validation=0.5, test=0), 0)
    assert found.test.tolist() == [4, 5]
    sides = [set(dataset.table.patient[part].tolist()) for part in (found.train, found.validation, found.test)]
    assert sum(map(len, sides)) == len(set.union(*sides)) == 5


def test_an_official_split_that_is_not_there(tmp_path: Path) -> None:
    folder = nih(tmp_path / "set", lists=False)
    text = (
        "data.split.column: the set's own split is in train_val_list.txt and test_list.txt, which the folder lacks; "
        "put it there, or divide by folds or shares"
    )
    with pytest.raises(SpecError, match=re.escape(text)):
        load("nih", folder, finding="Mass", data={"split": {"column": "split"}})
    assert [factor.name for factor in load("nih", folder, finding="Mass").table.factors][-1] == "follow_up"


def test_lists_that_contradict_or_leave_out(tmp_path: Path) -> None:
    folder = nih(tmp_path / "set")
    (folder / "test_list.txt").write_text("00000005_000.png\n")
    with pytest.raises(
        DataError, match=r"line 8 '00000006_000\.png': its part is not given by train_val_list\.txt and test"
    ):
        load("nih", folder, finding="Mass", data={"split": {"column": "split"}})
    (folder / "test_list.txt").write_text("00000001_000.png\n")
    with pytest.raises(DataError, match=r"train_val_list\.txt and test_list\.txt both name an image"):
        load("nih", folder, finding="Mass")


def test_all_bad_rows_at_once(tmp_path: Path) -> None:
    rows = [list(row) for row in NIH_ROWS]
    rows[0][4] = "old"
    rows[1][3] = ""
    rows[2][5] = "W"
    rows[3][1] = "Mass|Effusions"
    folder = nih(tmp_path / "set", rows=rows, lists=False)
    (folder / "images_002" / "images" / "00000005_000.png").unlink()
    (folder / "images_001" / "images" / "00000006_000.png").write_bytes(b"")
    with pytest.raises(DataError) as caught:
        load("nih", folder, finding="Mass")
    assert str(caught.value).splitlines() == [
        "6 bad lines in Data_Entry_2017.csv:",
        "  line 2 '00000001_000.png': age is 'old', which is not a number; write a number or leave it empty, "
        "or make age categorical",
        "  line 3 '00000001_001.png': its patient is not given; say whose image it is",
        "  line 4 '00000002_000.png': 'W' is no level of the factor; levels: F, M",
        "  line 5 '00000003_000.png': its labels name 'Effusions', which is none of the 14 findings; write the labels "
        "as published, joined by |",
        "  line 7 '00000005_000.png': the file is missing; unpack the images into set/",
        "  line 8 '00000006_000.png': the file is empty; copy it again",
        "correct them; run, preview and audit leave them out with --skip-bad-rows",
    ]


def test_bad_rows_can_be_left_out_and_no_identifier_stays(tmp_path: Path) -> None:
    rows = [list(row) for row in (*NIH_ROWS, ("00000777_000.png", "Mass", 0, 777, "050Y", "M", "PA"))]
    rows[3][4] = "old"
    folder = nih(tmp_path / "set", rows=rows, lists=False)
    dataset = load("nih", folder, finding="Mass", skip_bad_rows=True)
    assert dataset.card.left_out == ("line 5: age is 'old', which is not a number",)
    kept = repr((dataset.card, dataset.near_copies, dataset.table.factors))
    assert "00000" not in kept
    assert "777" not in kept


def test_what_is_known_to_be_wrong_stands_on_the_card(tmp_path: Path) -> None:
    card = load("nih", nih(tmp_path / "set"), finding="Effusion").card
    assert card.name == "NIH ChestX-ray14"
    assert card.license == "free use with attribution"
    assert "5 images of 5 patients: No Finding 3, Effusion 2" in card.summary
    assert any("mined from reports" in fault for fault in card.known_faults)
    assert "1 ages below 0 or over 120 years are in the table; they count as missing" in card.known_faults
    assert "age is missing in 1 of 5 rows" in card.known_faults


def test_findings_that_cannot_be_asked_for(tmp_path: Path) -> None:
    folder = nih(tmp_path / "set")
    with pytest.raises(SpecError, match=r"data\.dataset\.finding: unknown finding 'Masses': did you mean 'Mass'\?"):
        load("nih", folder, finding="Masses")
    with pytest.raises(SpecError, match=r"data\.dataset\.against: unknown finding 'Healthy': allowed: Atelectasis"):
        load("nih", folder, finding="Mass", against="Healthy")
    with pytest.raises(
        ValueError, match=r"'Mass\|Nodule' is several findings; multi-label targets are not supported yet"
    ):
        load("nih", folder, finding="Mass|Nodule")
    with pytest.raises(ValueError, match="finding and against are both 'Mass'; name two different ones"):
        load("nih", folder, finding="Mass", against="Mass")
    with pytest.raises(DataError, match="no image is Hernia; name findings that the chosen rows have"):
        load("nih", folder, finding="Hernia")


def test_places_that_are_not_the_set(tmp_path: Path) -> None:
    folder = nih(tmp_path / "set")
    with pytest.raises(SpecError, match=r"data\.dataset\.table: set/ has no file 'entries\.csv'; name the table"):
        load("nih", folder, finding="Mass", table="entries.csv")
    with pytest.raises(SpecError, match=r"data\.dataset\.folder: '.*test_list\.txt' is a file; give the folder"):
        load("nih", folder / "test_list.txt", finding="Mass")
    (folder / "Data_Entry_2017.csv").write_text("Image Index,Finding Labels\na.png,Mass\n")
    with pytest.raises(
        DataError, match=r"Data_Entry_2017\.csv has no column 'Follow-up #'; give the table as published"
    ):
        load("nih", folder, finding="Mass")


def test_smaller_copies_as_jpeg_are_found(tmp_path: Path) -> None:
    folder = nih(tmp_path / "set")
    shutil.rmtree(folder / "images_001")
    shutil.rmtree(folder / "images_002")
    for at, row in enumerate(NIH_ROWS):
        save(folder / str(row[0]).replace(".png", ".jpg"), noise(at), quality=95)
    assert len(load("nih", folder, finding="Mass").table) == 6


@pytest.mark.assets
@pytest.mark.skipif(not ASSETS.is_dir(), reason="no real images: set ASSAY_ASSETS")
def test_real_radiographs_in_the_published_layout(tmp_path: Path) -> None:
    """60 real images under the names that the NIH gave them, by a table made of what is known of them."""
    lines = (ASSETS / "chest-xray" / "data.csv").read_text().splitlines()
    known = [dict(zip(lines[0].split(","), line.split(","), strict=True)) for line in lines[1:]]
    real = [row for label in ("Pneumonia", "No Finding") for row in known if label in row["labels"].split("|")]
    real = real[:30] + real[-30:]
    target = tmp_path / "set" / "images_001" / "images"
    target.mkdir(parents=True)
    table = [NIH_HEADER]
    for row in real:
        name = Path(row["image"]).name
        shutil.copy(ASSETS / "chest-xray" / row["image"], target / name)
        cells = [name.replace(".jpg", ".png"), row["labels"], 0, row["patient"], f"{int(row['age']):03d}Y", row["sex"]]
        table.append(",".join([*map(str, cells), row["view"], "2048,2500,0.17,0.17,"]))
    (tmp_path / "set" / "Data_Entry_2017.csv").write_text("\n".join(table) + "\n")
    dataset = load("nih", tmp_path / "set", finding="Pneumonia", data={"size": 64})
    assert dataset.images.shape == (1, 64, 64)
    assert "No Finding 30, Pneumonia 30" in dataset.card.summary
    assert np.unique(dataset.table.patient).size == len({row["patient"] for row in real})
    assert dataset.near_copies == ()


@pytest.mark.parametrize("keep", [False, True])
def test_copies_of_different_patients_are_kept_where_they_are_looked_for(tmp_path: Path, keep: bool) -> None:
    folder = nih(tmp_path / "set")
    shutil.copy(folder / "images_001" / "images" / NIH_ROWS[2][0], folder / "images_002" / "images" / NIH_ROWS[5][0])
    cache, spec = ArrayCache(tmp_path / "cache"), spec_of("nih", folder, finding="Mass", against="No Finding")
    dataset = load_dataset(spec, cache, skip_bad_rows=True, keep_copies=keep)
    assert len(dataset.card.left_out) == (0 if keep else 2), "their labels contradict"
