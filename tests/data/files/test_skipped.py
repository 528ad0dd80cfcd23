"""What leaving bad rows out may do: never delete a class, and never in silence."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.worlds.files import blob, load, noise, save, small_set, write_table

from assay.plugin import DataError


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
        "the 5 bad lines left out are all of one class (5 of 12 'not label', 0 of 12 'label'): the rest is a "
        "biased sample",
    )


def test_rows_left_out_more_often_of_one_class_are_told(tmp_path: Path) -> None:
    folder = _with_patients(tmp_path / "set", [1, *range(0, 22, 2)])
    assert load(folder, patient="who", skip_bad_rows=True).card.doubts == (
        "the 12 bad lines left out are not spread evenly over the classes (11 of 12 'not label', 1 of 12 'label'): the "
        "rest is a biased sample",
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


# --- lines of a table with too few or too many cells ------------------------------------------------------------------


def _torn(folder: Path, labels: Sequence[str], torn: Sequence[int], tear: str = "{image},{label},{who},a, b") -> Path:
    """Images with these labels and a note; the lines of those in `torn` are written as `tear`."""
    lines = ["image,label,who,note"]
    for at, label in enumerate(labels):
        save(folder / f"{at}.png", noise(at))
        line = tear if at in torn else "{image},{label},{who},a"
        lines.append(line.format(image=f"{at}.png", label=label, who=f"p{at}"))
    (folder / "data.csv").write_text("\n".join(lines) + "\n")
    return folder


ALTERNATING = {
    "of two": ["benign", "cancer"] * 12,
    "of three": ["benign", "cancer", "cyst"] * 8,
    "no and yes": ["0", "1"] * 12,
}


@pytest.mark.parametrize("kind", ["of two", "no and yes"])
@pytest.mark.parametrize(
    ("tear", "cells"),
    [("{image},{label},{who},a, b", 5), ("{image},{label},{who}", 3), ("{image}, or another,{label},{who},a", 5)],
)
@pytest.mark.parametrize("skip", [False, True])
def test_a_single_class_beside_torn_lines_is_refused_with_the_first(
    tmp_path: Path, kind: str, tear: str, cells: int, skip: bool
) -> None:
    folder = _torn(tmp_path / "set", ALTERNATING[kind], range(1, 24, 2), tear)
    with pytest.raises(DataError) as caught:
        load(folder, skip_bad_rows=skip)
    assert str(caught.value) == (
        f"data.csv: 12 lines cannot be read, the first is line 3: it has {cells} cells where the header has 4; fill it "
        "up, or put text that holds the separator in double quotes"
    )


def test_torn_lines_are_refused_or_left_out(tmp_path: Path) -> None:
    folder = _torn(tmp_path / "set", ALTERNATING["of two"], range(0, 12, 2))
    with pytest.raises(DataError, match=r"6 bad lines in data"):
        load(folder)
    kept = load(folder, skip_bad_rows=True)
    assert (len(kept.table), len(kept.card.left_out)) == (18, 6)


@pytest.mark.parametrize("positive", [(), ("cancer",)])
def test_a_torn_line_without_a_label_is_no_class(tmp_path: Path, positive: tuple[str, ...]) -> None:
    folder = _torn(tmp_path / "set", ALTERNATING["of two"], [3], "left,over,text")
    found = load(folder, skip_bad_rows=True, positive=positive)
    assert found.table.classes == ("benign", "cancer")
    assert len(found.table) == 23


def test_torn_lines_of_further_tables_count_too(tmp_path: Path) -> None:
    folder = _torn(tmp_path / "set", ALTERNATING["of three"], range(2, 24, 3))
    lines = (folder / "data.csv").read_text().splitlines()
    (folder / "data.csv").write_text("\n".join(lines[:10]) + "\n")
    (folder / "more.csv").write_text("\n".join([lines[0], *lines[10:]]) + "\n")
    with pytest.raises(DataError, match=r"line 10 '8\.png'.*(?s:.*)line 13 '11\.png'"):
        load(folder, further=("more.csv",))


# --- images with masks: which class a row is of is known from its mask alone ------------------------------------------


def _masked(folder: Path, n: int = 24) -> Path:
    """Images with a lesion in every other one, a mask each, as `images/` and `masks/` and as a CSV."""
    rows: list[list[object]] = [["image", "mask"]]
    for at in range(n):
        save(folder / "images" / f"{at:02}.png", noise(at))
        save(folder / "masks" / f"{at:02}.png", blob() if at % 2 else np.zeros((16, 16), dtype=np.uint8))
        rows.append([f"images/{at:02}.png", f"masks/{at:02}.png"])
    write_table(folder / "data.csv", rows)
    return folder


LAYOUTS: list[dict[str, Any]] = [{"table": ""}, {"target": "lesion", "mask": "mask"}]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("part", ["images", "masks"])
@pytest.mark.parametrize("content", [b"no image", b""])
def test_unreadable_lesion_free_rows_are_refused(
    tmp_path: Path, layout: dict[str, Any], part: str, content: bytes
) -> None:
    folder = _masked(tmp_path / "set")
    for at in range(0, 24, 2):
        (folder / part / f"{at:02}.png").write_bytes(content)
    with pytest.raises(DataError) as caught:
        load(folder, skip_bad_rows=True, **layout)
    if part == "images":
        assert "would leave no image of class 'absent' (12 of 12 left out)" in str(caught.value)
    else:
        assert "would leave images of class 'present' alone, and the class of 12 " in str(caught.value)
        assert "left out is unknown: mask: " in str(caught.value)


@pytest.mark.parametrize("length", [10, 120])
def test_images_cut_short_are_known_by_their_masks(tmp_path: Path, length: int) -> None:
    """A file may be found bad by its header, or only when it is decoded."""
    folder = _masked(tmp_path / "set")
    for at in range(1, 24, 2):
        path = folder / "images" / f"{at:02}.png"
        path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(DataError, match=r"would leave no image of class 'present' \(12 of 12 left out\)"):
        load(folder, skip_bad_rows=True, table="")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_rows_of_one_class_left_out_are_told_from_their_masks(tmp_path: Path, layout: dict[str, Any]) -> None:
    folder = _masked(tmp_path / "set")
    for at in range(0, 12, 2):
        (folder / "images" / f"{at:02}.png").write_bytes(b"no image")
    (doubt,) = load(folder, skip_bad_rows=True, **layout).card.doubts
    assert "left out are all of one class (6 of 12 'absent', 0 of 12 'present')" in doubt


def test_a_missing_image_file_is_known_by_its_mask(tmp_path: Path) -> None:
    folder = _masked(tmp_path / "set")
    for at in range(0, 24, 2):
        (folder / "images" / f"{at:02}.png").unlink()
    with pytest.raises(DataError, match=r"no image of class 'absent' \(12 of 12 left out\): the file is missing"):
        load(folder, skip_bad_rows=True, target="lesion", mask="mask")


def test_missing_masks_are_not_taken_for_lesion_free(tmp_path: Path) -> None:
    folder = _masked(tmp_path / "set")
    for at in range(1, 12, 2):
        (folder / "masks" / f"{at:02}.png").unlink()
    found = load(folder, skip_bad_rows=True, target="lesion", mask="mask", unmasked="lesion-free")
    assert len(found.table) == 18
    assert found.card.doubts == ()
    assert not any("count as free of lesions" in fault for fault in found.card.known_faults)


def test_few_unreadable_masks_among_lesions_alone_are_told(tmp_path: Path) -> None:
    folder = _masked(tmp_path / "set", 8)
    for at in range(0, 8, 2):
        (folder / "masks" / f"{at:02}.png").write_bytes(b"no image")
    assert load(folder, skip_bad_rows=True, table="").card.doubts == (
        "all images left are of class 'present', and the class of 4 bad files left out is unknown",
    )


@pytest.mark.parametrize("bad", ["images", "masks"])
def test_a_labeled_set_with_masks_goes_by_its_labels(tmp_path: Path, bad: str) -> None:
    folder = _masked(tmp_path / "set")
    header, *lines = (folder / "data.csv").read_text().splitlines()
    labeled = [f"{line},{(at // 2) % 2}" for at, line in enumerate(lines)]
    (folder / "data.csv").write_text("\n".join([f"{header},label", *labeled]) + "\n")
    for at in range(24):
        if (at // 2) % 2:
            (folder / bad / f"{at:02}.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"no image of class 'label' \(12 of 12 left out\)"):
        load(folder, skip_bad_rows=True, mask="mask")


def test_run_lengths_of_unreadable_images_tell_their_class(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    rows: list[list[object]] = [["image", "runs"]]
    for at in range(24):
        save(folder / f"{at}.png", noise(at))
        rows.append([f"{at}.png", "20 4 40 6" if at % 2 else "-1"])
        if not at % 2:
            (folder / f"{at}.png").write_bytes(b"no image")
    write_table(folder / "data.csv", rows)
    with pytest.raises(DataError, match=r"no image of class 'absent' \(12 of 12 left out\)"):
        load(folder, skip_bad_rows=True, target="lesion", mask="runs", mask_format="kaggle-rle")


# --- stray quotation marks --------------------------------------------------------------------------------------------


def _stray(folder: Path, column: int, separator: str, note: str) -> Path:
    """Rows of image, label, patient and a note, with a stray quotation mark in lines 7 and 15."""
    rows: list[list[object]] = [["image", "label", "who", "note"]]
    for at in range(20):
        save(folder / f"{at}.png", noise(at))
        own = "plain" if at in (5, 13) else note.format(separator * (1 + at % 3))
        rows.append([f"{at}.png", at % 2, f"p{at}", own])
    rows[6][column] = f'"{rows[6][column]}'
    rows[14][column] = f'{rows[14][column]}"'
    write_table(folder / "data.csv", rows, separator)
    return folder


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("note", ["plain", "3.5", '"several{}words"'])
@pytest.mark.parametrize("column", [0, 1, 2])
@pytest.mark.parametrize("skip", [False, True])
def test_a_stray_quote_that_swallows_rows_is_refused_with_its_lines(
    tmp_path: Path, column: int, note: str, separator: str, skip: bool
) -> None:
    folder = _stray(tmp_path / "set", column, separator, note)
    with pytest.raises(DataError) as caught:
        load(folder, patient="who", skip_bad_rows=skip)
    last, alike = (8, 1) if note.startswith('"') else (15, 8)  # a quoted note closes the stray mark
    assert str(caught.value) == (
        f"data.csv: a quotation mark joins lines 7 to {last} into one row, and {alike} of them look like rows of their "
        "own; remove the stray mark, or put a cell of several lines on one line"
    )


def test_lines_that_a_bad_row_takes_are_counted_and_named(tmp_path: Path) -> None:
    folder = small_set(tmp_path / "set", extra={"note": ['"a\nb\nc",x', *"bcdefgh"]})
    with pytest.raises(DataError, match=r"3 bad lines in data\.csv:\n  lines 2 to 4 '0\.png': it has 4 cells"):
        load(folder)
    assert load(folder, skip_bad_rows=True).card.left_out == ("lines 2 to 4: it has 4 cells where the header has 3",)


def test_a_name_of_several_lines_is_refused(tmp_path: Path) -> None:
    folder = small_set(tmp_path / "set", extra={"note": "abcdefgh"})
    text = (folder / "data.csv").read_text()
    (folder / "data.csv").write_text(text.replace("2.png,0", '"2.png\nsomething else\nand, more",0'))
    with pytest.raises(DataError, match="joins lines 4 to 6 into one row; remove the stray mark"):
        load(folder, skip_bad_rows=True)


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
