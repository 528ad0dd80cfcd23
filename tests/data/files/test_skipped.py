"""What leaving bad rows out may do: never delete a class, and never in silence."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from tests.worlds.files import load, noise, save, small_set, write_table

from assay.core.errors import DataError


def _with_patients(folder: Path, blank: Sequence[int], n: int = 24) -> Path:
    """Images with alternating labels, 0 first; those in `blank` have no patient."""
    return small_set(folder, n, extra={"who": ["" if at in blank else f"p{at}" for at in range(n)]})


def test_a_class_that_would_vanish_is_refused(tmp_path: Path) -> None:
    folder = _with_patients(tmp_path / "set", range(0, 24, 2))
    with pytest.raises(DataError) as caught:
        load(folder, patient="who", skip_bad_rows=True)
    assert str(caught.value) == (
        "data.csv: leaving out bad lines would leave no image of class 'not label' (12 of 12 left out): who is missing "
        "(12 lines); say whose image it is, or write data.unnamed: own"
    )


def test_a_class_whose_files_are_all_missing_is_refused(tmp_path: Path) -> None:
    folder = small_set(tmp_path / "set", 12)
    for at in range(1, 12, 2):
        (folder / f"{at}.png").unlink()
    with pytest.raises(
        DataError, match=r"no image of class 'label' \(6 of 6 left out\): the file is missing \(6 lines\)"
    ):
        load(folder, skip_bad_rows=True)


def test_rows_of_one_class_left_out_are_told(tmp_path: Path) -> None:
    folder = _with_patients(tmp_path / "set", range(0, 10, 2))
    assert load(folder, patient="who", skip_bad_rows=True).card.doubts == (
        "the 5 bad lines left out are all of one class (5 of 12 'not label', 0 of 12 'label'): the rest is no fair "
        "sample",
    )


def test_rows_left_out_more_often_of_one_class_are_told(tmp_path: Path) -> None:
    folder = _with_patients(tmp_path / "set", [1, *range(0, 22, 2)])
    assert load(folder, patient="who", skip_bad_rows=True).card.doubts == (
        "the 12 bad lines left out are not spread evenly over the classes (11 of 12 'not label', 1 of 12 'label'): the "
        "rest is no fair sample",
    )


@pytest.mark.parametrize("blank", [(0, 2), (0, 1, 2, 3, 4, 5)])
def test_few_rows_or_rows_of_both_classes_are_no_doubt(tmp_path: Path, blank: tuple[int, ...]) -> None:
    folder = _with_patients(tmp_path / "set", blank)
    assert load(folder, patient="who", skip_bad_rows=True).card.doubts == ()


def test_an_image_without_a_patient_can_be_one_of_its_own(tmp_path: Path) -> None:
    folder = _with_patients(tmp_path / "set", range(0, 24, 2))
    found = load(folder, patient="who", unnamed="own")
    assert len(np.unique(found.table.patient)) == 24
    assert "who is missing in 12 of 24 rows: each counts as a patient of its own" in found.card.known_faults


def test_rows_of_one_image_that_contradict_each_other_are_both_bad(tmp_path: Path) -> None:
    folder = small_set(tmp_path / "set")
    text = (folder / "data.csv").read_text()
    (folder / "data.csv").write_text(text + "1.png,0\n")
    with pytest.raises(DataError, match=r"2 bad lines in data\.csv") as caught:
        load(folder)
    assert (
        "line 3 '1.png': line 10 names the same image under another label ('not label' there, 'label' here); keep the "
        "one that is right"
    ) in str(caught.value)
    assert load(folder, skip_bad_rows=True).card.left_out == (
        "line 3: line 10 names the same image under another label ('not label' there, 'label' here)",
        "line 10: line 3 names the same image under another label ('label' there, 'not label' here)",
    )


def test_of_rows_of_one_image_that_agree_the_first_is_kept(tmp_path: Path) -> None:
    folder = small_set(tmp_path / "set", extra={"note": list("abcdefgh")})
    text = (folder / "data.csv").read_text()
    (folder / "data.csv").write_text(text + "1.png,1,z\n")
    with pytest.raises(DataError, match=r"line 10 '1\.png': line 3 names the same image; keep one of them"):
        load(folder)
    assert len(load(folder, skip_bad_rows=True).table) == 8


def _stray(folder: Path, column: int) -> Path:
    """Rows of image, label and patient, with a stray quotation mark in lines 7 and 15."""
    rows: list[list[object]] = [["image", "label", "who"]]
    for at in range(20):
        save(folder / f"{at}.png", noise(at))
        rows.append([f"{at}.png", at % 2, f"p{at}"])
    rows[6][column] = f'"{rows[6][column]}'
    rows[14][column] = f'{rows[14][column]}"'
    write_table(folder / "data.csv", rows)
    return folder


@pytest.mark.parametrize("column", [0, 1, 2])
@pytest.mark.parametrize("skip", [False, True])
def test_a_stray_quote_that_swallows_rows_is_refused_with_its_lines(tmp_path: Path, column: int, skip: bool) -> None:
    folder = _stray(tmp_path / "set", column)
    with pytest.raises(DataError) as caught:
        load(folder, patient="who", skip_bad_rows=skip)
    assert str(caught.value) == (
        "data.csv: a quotation mark joins lines 7 to 15 into one row, and 8 of them look like rows of their own; "
        "remove the stray mark, or put a cell of several lines on one line"
    )


def test_one_quote_that_is_never_closed_is_refused_with_its_lines(tmp_path: Path) -> None:
    folder = _with_patients(tmp_path / "set", ())
    lines = (folder / "data.csv").read_text().splitlines()
    lines[5] = lines[5].replace(",p", ',"p')
    (folder / "data.csv").write_text("\n".join(lines) + "\n")
    with pytest.raises(DataError, match=r"joins lines 6 to 25 into one row, and 19 of them look like rows"):
        load(folder, patient="who", skip_bad_rows=True)


def test_a_cell_of_several_lines_is_fine(tmp_path: Path) -> None:
    folder = small_set(tmp_path / "set", extra={"note": ['"a, b\nc\nd, e"', *"bcdefgh"], "who": list("abcdefgh")})
    assert len(load(folder).table) == 8
