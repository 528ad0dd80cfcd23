"""Bad lines of a public set's table: the classes that they take with them, and their numbers."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest
from tests.worlds.public import NIH_ROWS, chexpert, load, mimic, nih, targets

from assay.plugin import DataError


def test_a_finding_that_only_such_lines_have_is_named_with_its_cause(tmp_path: Path) -> None:
    folder = nih(tmp_path / "set", rows=[row for row in NIH_ROWS if row[1] in ("Mass", "No Finding")])
    table = folder / "Data_Entry_2017.csv"
    table.write_text(table.read_text().replace(",Mass,", ",Mass,,x,y,"))
    for skip in (False, True):
        with pytest.raises(DataError, match=r"2 lines cannot be read, the first is line \d+: it has \d+ cells where"):
            load("nih", folder, finding="Mass", skip_bad_rows=skip)


def test_a_finding_that_no_line_has_is_named_as_before(tmp_path: Path) -> None:
    folder = nih(tmp_path / "set")
    table = folder / "Data_Entry_2017.csv"
    table.write_text(table.read_text().replace(",No Finding,", ",No Finding,,x,y,"))
    with pytest.raises(DataError, match=r"^no image is Hernia;"):
        load("nih", folder, finding="Hernia", skip_bad_rows=True)


def test_a_cut_line_is_of_unknown_class_and_no_blank_label(tmp_path: Path) -> None:
    """Edema is the sixth finding. A line that ends before it has no label; a blank one would be negative."""
    rows = [
        {"path": f"train/patient{at:05d}/study1/view1_frontal.jpg", "Edema": 1 if at > 6 else 0} for at in range(1, 13)
    ]
    folder = chexpert(tmp_path / "set", rows)
    table = folder / "train.csv"
    lines = table.read_text().splitlines()
    lines[1:6] = [",".join(line.split(",")[:6]) for line in lines[1:6]]
    table.write_text("\n".join(lines) + "\n")
    dataset = load("chexpert", folder, finding="Edema", blank="negative", skip_bad_rows=True)
    assert targets(dataset) == [0] + [1] * 6
    assert not any("left out" in doubt for doubt in dataset.card.doubts)


def torn_mimic(folder: Path, torn: list[int], table: str) -> Path:
    """MIMIC-CXR-JPG of 12 studies with one image each, every second with edema; lines of these studies are cut."""
    studies = [(f"{50000000 + at}", 10000000 + at, at % 2) for at in range(12)]
    images: list[dict[str, Any]] = [
        {"dicom": f"a{at}", "patient": patient, "study": int(study), "view": "PA", "split": "train"}
        for at, (study, patient, _) in enumerate(studies)
    ]
    mimic(folder, images, {study: {"patient": patient, "Edema": f"{edema}.0"} for study, patient, edema in studies})
    path = folder / f"mimic-cxr-2.0.0-{table}.csv.gz"
    lines = gzip.decompress(path.read_bytes()).decode().splitlines()
    for at in torn:
        lines[at + 1] += ",x"
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    return folder


def test_images_whose_labels_are_in_torn_lines_are_left_out_with_the_cause(tmp_path: Path) -> None:
    folder = torn_mimic(tmp_path / "set", [1, 3, 5, 7, 9], "chexpert")
    asked = {"finding": "Edema", "uncertain": "drop", "blank": "negative"}
    with pytest.raises(DataError, match=r"5 bad lines in mimic-cxr-2\.0\.0-chexpert"):
        load("mimic", folder, **asked)
    dataset = load("mimic", folder, **asked, skip_bad_rows=True)
    assert targets(dataset) == [0] * 6 + [1]
    assert any(
        "5 images belong to a study without labels" in fault and "5 lines" in fault
        for fault in dataset.card.known_faults
    )


def test_torn_lines_of_the_split_are_counted_where_the_split_is_used(tmp_path: Path) -> None:
    folder = torn_mimic(tmp_path / "set", [1, 3], "split")
    asked = {"finding": "Edema", "uncertain": "drop", "blank": "negative", "skip_bad_rows": True}
    assert load("mimic", folder, **asked).card.left_out == ()
    used = load("mimic", folder, data={"split": {"column": "split"}}, **asked)
    assert (len(used.table), len(used.card.left_out)) == (10, 2)


def test_bad_lines_of_a_second_table_are_numbered_on(tmp_path: Path) -> None:
    """The first table ends with a bad line of two lines, 4 and 5; the header of the second is line 6."""
    path = "train/patient{:05d}/study1/view1_frontal.jpg"
    folder = chexpert(tmp_path / "set", [{"path": path.format(at), "Edema": at % 2} for at in range(1, 3)])
    chexpert(folder, [{"path": path.format(at), "Edema": at % 2} for at in range(3, 5)], "valid.csv")
    for name in ("train.csv", "valid.csv"):
        table = folder / name
        table.write_text(table.read_text() + 'x,"a\nb"\n')
    with pytest.raises(DataError) as caught:
        load("chexpert", folder, finding="Edema", blank="negative")
    places = [line.split(" '")[0].strip() for line in str(caught.value).splitlines()[1:3]]
    assert places == ["lines 4 to 5", "lines 9 to 10"]
