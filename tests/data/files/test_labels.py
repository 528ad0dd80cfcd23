"""Folders of images joined with a table of labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.worlds.files import save, write_table
from tests.worlds.public import hu, slice_uid, write_slice

from assay.data.files.labels import joined
from assay.data.files.table import read_table
from assay.plugin import DataError, SpecError


def dicoms(folder: Path) -> None:
    """Two examinations of one patient and one of another, in folders and without an ending."""
    common = {"ManufacturerModelName": "Revolution", "ViewPosition": "PA", "StudyDate": "20190704"}
    write_slice(folder / "a" / "1.dcm", "1.2.3", 1, "Jones^7", hu(1), AccessionNumber="A1", PatientAge="063Y", **common)
    write_slice(folder / "a" / "2", "1.2.3", 2, "Jones^7", hu(2), AccessionNumber="A1", PatientAge="063Y", **common)
    write_slice(
        folder / "b" / "3.dcm", "1.2.4", 1, "Smith^8", hu(3), AccessionNumber="A2", PatientAge="006M", KVP="120"
    )
    (folder / "b" / "notes").write_text("no image")


def test_headers_become_columns_and_patients_numbers(tmp_path: Path) -> None:
    dicoms(tmp_path / "set")
    labels = tmp_path / "labels.csv"
    write_table(labels, [["AccessionNumber", "finding"], ["A1", "yes"], ["A2", "no"], ["A9", "no"]])
    rows, _, said = joined(tmp_path / "set", read_table(labels, "image"))
    assert said == ("1 of 3 rows in labels.csv fit no image, such as line 4",)
    assert [row["image"] for row in rows] == ["a/1.dcm", "a/2", "b/3.dcm"]
    assert [row["finding"] for row in rows] == ["yes", "yes", "no"]
    assert [row["patient"] for row in rows] == ["1", "1", "2"]
    assert [row["age"] for row in rows] == ["63", "63", "0.5"]
    assert [(row["year"], row["view"], row["kvp"]) for row in rows] == [("2019", "PA", "")] * 2 + [("", "", "120")]
    assert rows[0]["model"] == "Revolution"
    text = str(rows)
    assert not any(word in text for word in ("Jones", "Smith", "0704", "A1", "1.2.3"))


def test_no_header_is_read_behind_a_link_out_of_the_folder(tmp_path: Path) -> None:
    dicoms(tmp_path / "set")
    (tmp_path / "set" / "b" / "3.dcm").rename(tmp_path / "private.dcm")
    (tmp_path / "set" / "b" / "3.dcm").symlink_to(tmp_path / "private.dcm")
    labels = tmp_path / "labels.csv"
    write_table(labels, [["AccessionNumber", "finding"], ["A1", "yes"], ["A2", "no"]])
    with pytest.raises(SpecError, match=r"set/b/3\.dcm: its path leads out of the folder by a link"):
        joined(tmp_path / "set", read_table(labels, "image"))
    assert len(joined(tmp_path / "set", read_table(labels, "image"), links=True)[0]) == 3


def test_labels_name_images_by_identifier_or_by_file(tmp_path: Path) -> None:
    dicoms(tmp_path / "set")
    labels = tmp_path / "labels.csv"
    write_table(labels, [["SOPInstanceUID", "finding", "sex"], [slice_uid("1.2.3", 2), "yes", "F"]])
    with pytest.raises(DataError, match=r"2 of 3 images have no row in labels\.csv, such as 'a/1\.dcm', 'b/3\.dcm'"):
        joined(tmp_path / "set", read_table(labels, "image"))
    ((row,), _, _) = joined(tmp_path / "set", read_table(labels, "image"), unmatched="drop")
    assert (row["image"], row["finding"], row["sex"]) == ("a/2", "yes", "F")
    plain = tmp_path / "plain"
    for name in ("x.png", "deep/y.png"):
        save(plain / name, np.zeros((8, 8), dtype=np.uint8))
    write_table(labels, [["image", "finding"], ["x", "yes"], ["deep/y.png", "no"]])
    rows = joined(plain, read_table(labels, "image"))[0]
    assert [(row["image"], row["finding"]) for row in rows] == [("deep/y.png", "no"), ("x.png", "yes")]


def test_a_column_image_that_names_no_image_leaves_labels_with_theirs(tmp_path: Path) -> None:
    for name in ("x.png", "y.png"):
        save(tmp_path / "set" / name, np.zeros((8, 8), dtype=np.uint8))
    labels = tmp_path / "labels.csv"
    write_table(labels, [["id", "image", "finding"], ["x", "y.png", "yes"], ["y", "x.png", "no"]])
    rows, _, notes = joined(tmp_path / "set", read_table(labels, "id"), "id")
    assert [(row["image"], row["finding"]) for row in rows] == [("x.png", "yes"), ("y.png", "no")]
    assert "the column image of labels.csv is not used, since id names the images" in notes


def test_labels_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    for name in ("one/x.png", "two/x.png"):
        save(tmp_path / "set" / name, np.zeros((8, 8), dtype=np.uint8))
    labels = tmp_path / "labels.csv"
    write_table(labels, [["image", "finding"], ["x.png", "yes"]])
    with pytest.raises(DataError, match=r"'x\.png' fits 'one/x\.png' and 'two/x\.png'"):
        joined(tmp_path / "set", read_table(labels, "image"))
    write_table(labels, [["image", "finding"], ["one/x.png", "yes"], ["one/x.png", "no"]])
    with pytest.raises(DataError, match=r"several rows for 'one/x\.png'"):
        joined(tmp_path / "set", read_table(labels, "image"))
    write_table(labels, [["image", "finding"], ["z.png", "yes"]])
    with pytest.raises(DataError, match="labels no image of"):
        joined(tmp_path / "set", read_table(labels, "image"))
    write_table(labels, [["file", "finding"], ["x.png", "yes"]])
    with pytest.raises(SpecError, match="has none of the columns image, SOPInstanceUID, AccessionNumber"):
        joined(tmp_path / "set", read_table(labels, "image"))
