"""Images and patients by their names: which column and which table name images, and what may be a patient."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from types import FrameType

import numpy as np
import pytest
from tests.cli.asking import Asking
from tests.worlds.files import save

PATIENTS = 12
HINT = "may be the patient"


def save_all(folder: Path, names: list[str]) -> None:
    for at, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        save(folder / name, np.random.default_rng(at).integers(0, 255, (32, 32), dtype=np.uint8))


def write_table(folder: Path, names: list[str]) -> None:
    """A finding for each second image, and none for the first two."""
    rows = [f"{name},{'' if at < 2 else at % 2}" for at, name in enumerate(names)]
    (folder / "data.csv").write_text("\n".join(["image,finding", *rows]))


@pytest.mark.parametrize(
    ("pattern", "shown", "identifier"),
    [
        ("train/patient{patient:05d}/study{image}/view1.png", "2nd folder in paths", "patient00011"),
        ("{patient:08d}_{image:03d}.png", "part of file names before the 1st '_' or '-'", "00000011_"),
        ("CNV-{patient:07d}-{image}.png", "part of file names before the 2nd '_' or '-'", "CNV-0000011"),
        ("{patient}_{eye}.png", "part of file names before the 1st '_' or '-'", "11_right"),
    ],
)
def test_a_part_of_names_that_repeats_like_a_patient_is_named(
    pattern: str, shown: str, identifier: str, tmp_path: Path, ask: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [
        pattern.format(patient=patient, image=image, eye=("left", "right")[image])
        for patient in range(PATIENTS)
        for image in range(2)
    ]
    save_all(tmp_path / "set", names)
    write_table(tmp_path / "set", names)
    monkeypatch.chdir(tmp_path)
    said = ask("init", "set").out
    assert f"the {shown} {HINT} ({PATIENTS} different ones)" in said
    assert "empty in 2 of 24 rows" in said
    looked = ask("look", "set", "--out", "looked").out
    assert f"the {shown} {HINT}" in looked
    assert identifier not in Path("looked/report.html").read_text()


@pytest.mark.parametrize(("column", "parts"), [("split", ("train", "test")), ("fold", (0, 1, 2, 3, 4))])
def test_candidate_patients_in_several_parts_are_counted(
    column: str, parts: tuple[object, ...], tmp_path: Path, ask: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"{patient:08d}_{image:03d}.png" for patient in range(PATIENTS) for image in range(2)]
    save_all(tmp_path / "set", names)
    mixed = [parts[(at // 2 + at % 2 * (at < 10)) % len(parts)] for at in range(len(names))]
    rows = [f"{name},{at % 2},{part}" for at, (name, part) in enumerate(zip(names, mixed, strict=True))]
    (tmp_path / "set" / "data.csv").write_text("\n".join(["image,finding," + column, *rows]))
    monkeypatch.chdir(tmp_path)
    counted = f"{HINT} ({PATIENTS} different ones, of which 5 are in several parts of '{column}')"
    assert counted in ask("init", "set").out
    looked = ask("look", "set", "--out", "looked").out
    assert counted in looked
    page = Path("looked/report.html").read_text()
    assert "of which 5 are in several parts of" in page
    assert "00000003" not in looked + page


@pytest.mark.parametrize("pattern", ["ISIC_{number:07d}.png", "fold{fold}/{number}.png", "{number:04d}-{number}.png"])
def test_numbered_files_and_folds_are_no_patients(
    pattern: str, tmp_path: Path, ask: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [pattern.format(number=number, fold=number % 5) for number in range(24)]
    save_all(tmp_path / "set", names)
    write_table(tmp_path / "set", names)
    monkeypatch.chdir(tmp_path)
    said = ask("init", "set").out
    assert "patients are not named" in said
    assert HINT not in said


def test_class_folders_have_patients_in_names(tmp_path: Path, ask: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"{('no', 'yes')[p % 2]}/person{p}_virus_{image}.png" for p in range(PATIENTS) for image in range(2)]
    save_all(tmp_path / "set", names)
    monkeypatch.chdir(tmp_path)
    assert f"before the 1st '_' or '-' {HINT} ({PATIENTS} different ones)" in ask("init", "set").out


def test_parts_by_folder_have_patients_in_names(tmp_path: Path, ask: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"{('train', 'test')[p % 2]}/{c}/p{p}_{c}.png" for p in range(PATIENTS) for c in ("no", "yes")]
    save_all(tmp_path / "set", names)
    monkeypatch.chdir(tmp_path)
    said = ask("init", "set").out
    assert "the parts as the folders or the table have them; each image counts as a patient" in said
    assert f"{HINT} ({PATIENTS} different ones)" in said


def test_values_of_a_target_beyond_six_are_counted(
    tmp_path: Path, ask: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_all(tmp_path / "set", [f"{at}.png" for at in range(24)])
    rows = [f"{at}.png,grade {at % 8}" for at in range(24)]
    (tmp_path / "set" / "data.csv").write_text("\n".join(["image,finding", *rows]))
    monkeypatch.chdir(tmp_path)
    assert "grade 5 and 2 more)" in ask("init", "set").out


def test_rows_of_one_image_are_named_with_what_differs(tmp_path: Path, ask: Asking) -> None:
    """As in a table with a row for each box, whose images are named by their patient."""
    save_all(tmp_path / "img", [f"a{at}.png" for at in range(24)])
    rows = [f"a{at},{box},{at % 2}" for at in range(24) for box in range(1 + (at == 5))]
    (tmp_path / "labels.csv").write_text("\n".join(["patientId,x,Target", *rows]))
    said = ask("init", tmp_path).err
    assert "'a5' is in 2 lines of 'patientId' in labels.csv (7, 8), which differ in x: keep one row" in said


def test_a_column_is_read_once_however_often_its_names_repeat(tmp_path: Path, ask: Asking) -> None:
    save_all(tmp_path / "img", [f"a{at}.png" for at in range(24)])
    rows = [f"a{at % 24},{at},{at % 2}" for at in range(2000)]
    (tmp_path / "labels.csv").write_text("\n".join(["file,box,finding", *rows]))
    calls = Counter[str]()

    def count(frame: FrameType, event: str, _: object) -> None:
        calls.update([frame.f_code.co_name] if event == "call" else [])

    sys.setprofile(count)
    try:
        said = ask("look", tmp_path).err
    finally:
        sys.setprofile(None)
    assert "which differ in box: keep one row" in said
    assert 0 < calls["column"] < 50


def test_the_table_that_init_writes_is_in_nobodys_way(
    tmp_path: Path, ask: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_all(tmp_path / "img", [f"{at}.png" for at in range(24)])
    (tmp_path / "labels.csv").write_text("\n".join(["file,finding", *(f"{at},{at % 2}" for at in range(24))]))
    monkeypatch.chdir(tmp_path)
    assert "-images.csv: written too" in ask("init", ".").out
    assert '"finding"' in ask("look", ".").out
    (tmp_path / "second.csv").write_text((tmp_path / "labels.csv").read_text())
    assert "has 2 tables" in ask("look", ".").err


@pytest.mark.parametrize(
    ("pattern", "shown"),
    [
        ("p{group}/p{patient:08d}/view{image}.png", "2nd folder in paths"),
        ("images_{group}/{patient:08d}_{image:03d}.png", "part of file names before the 1st '_' or '-'"),
        ("2024-{month:02d}-05_{patient}_{image}.png", "part of file names before the 4th '_' or '-'"),
    ],
)
def test_shares_of_a_set_and_dates_are_no_patients(
    pattern: str, shown: str, tmp_path: Path, ask: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A share has many images, and holds finer parts that repeat."""
    names = [
        pattern.format(group=10 + patient % 10, patient=patient, image=image, month=1 + patient % 12)
        for patient in range(180)
        for image in range(2)
    ]
    save_all(tmp_path / "set", names)
    write_table(tmp_path / "set", names)
    monkeypatch.chdir(tmp_path)
    said = ask("init", "set").out
    assert f"the {shown} {HINT} (180 different ones)" in said


def test_the_column_that_ignores_least_names_the_images(
    tmp_path: Path, ask: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An id that is equal to the beginning of another image's name names no image beside a column of whole names."""
    save_all(tmp_path / "img", [f"{at}.png" for at in range(24)])
    rows = [f"{at},{(7 * at) % 24}.png,{at % 2}" for at in range(24)]
    (tmp_path / "data.csv").write_text("\n".join(["id,file,finding", *rows]))
    monkeypatch.chdir(tmp_path)
    assert 'images "file"' in ask("look", ".").out
    twice = [f"{at},{at // 2}.png,{at // 2 % 2}" for at in range(48)]
    (tmp_path / "data.csv").write_text("\n".join(["id,file,finding", *twice]))
    assert "'0.png' is in 2 lines of 'file' in data.csv (2, 3), which differ in id" in ask("look", ".").err


def test_two_columns_that_name_images_differently_are_asked_for(
    tmp_path: Path, ask: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_all(tmp_path / "img", [f"{at}.png" for at in range(24)])
    (tmp_path / "data.csv").write_text(
        "\n".join(["case,row,finding", *(f"{at},{(7 * at) % 24},{at % 2}" for at in range(24))])
    )
    monkeypatch.chdir(tmp_path)
    assert "columns case and row of data.csv both name image files, in different rows" in ask("look", ".").err
    assert 'images "row"' in ask("look", ".", "--image", "row").out


def test_blank_names_are_no_repeated_image(tmp_path: Path, ask: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    save_all(tmp_path / "img", [f"{at}.png" for at in range(24)])
    rows = [f"{f'{at}.png' if at < 24 else ''},{at % 2}" for at in range(28)]
    (tmp_path / "data.csv").write_text("\n".join(["xray,finding", *rows]))
    monkeypatch.chdir(tmp_path)
    said = ask("look", ".").out
    assert 'images "xray"' in said
    assert "2 of 26 rows in data.csv fit no image, such as line 26" in said  # two say the same as two others


def test_a_table_of_a_user_that_is_called_like_init_s_is_asked_for(
    tmp_path: Path, ask: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_all(tmp_path / "img", [f"{at}.png" for at in range(24)])
    for name in ("labels.csv", "labels-images.csv"):
        (tmp_path / name).write_text("\n".join(["file,finding", *(f"{at}.png,{at % 2}" for at in range(24))]))
    (tmp_path / "mine.yaml").write_text("data:\n  table: labels-images.csv\n")
    monkeypatch.chdir(tmp_path)
    assert "has 2 tables" in ask("look", ".").err
