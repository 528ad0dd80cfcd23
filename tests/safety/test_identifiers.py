"""Columns whose values say who a patient is are no groups, and no file of a run has them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.cli.asking import Asking

from assay.store.files import read_parquet

COLUMNS = ("name", "email", "ssn", "insurance", "tel")


def save_patients(folder: Path, patient: str, *, patients: int = 24, images: int = 2) -> None:
    """Save images of patients with their names, addresses and numbers in a table."""
    noise = np.random.default_rng(0).integers(0, 255, (patients * images, 16, 16), dtype=np.uint8)
    folder.mkdir()
    rows = [f"image,target,{patient},site,{','.join(COLUMNS)}"]
    for at, pixels in enumerate(noise):
        who = at // images
        Image.fromarray(pixels).save(folder / f"{at}.png")
        cells = f"Zoe Canary{who},canary{who}@example.org,{who:03}-77-{who:04}x,canary{who},{49_777_000_000 + who}"
        rows.append(f"{at}.png,{at % 2},p{who},s{who % 6},{cells}")
    (folder / "data.csv").write_text("\n".join(rows))


def texts_in(folder: Path) -> str:
    """Return all texts in the files of a run, but for its pictures."""
    files = [file for file in folder.rglob("*") if file.is_file() and file.suffix != ".png"]
    tables = [str({name: list(cells) for name, cells in read_parquet(file).items()})
              for file in files if file.suffix == ".parquet"]  # fmt: skip
    return "".join([*tables, *(file.read_bytes().decode(errors="replace") for file in files)])


@pytest.mark.parametrize("images", [1, 2, 6])
def test_texts_and_long_numbers_of_one_patient_each_are_no_groups(
    images: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ask = Asking(capsys)
    save_patients(tmp_path / "set", "patient", images=images)
    looked = ask("look", tmp_path / "set", "--target", "target", "--out", tmp_path / "out")
    begun = ask("init", tmp_path / "set", "--target", "target", "--out", tmp_path / "study.yaml")
    assert (looked.code, begun.code) == (0, 0), looked.err + begun.err
    why = "(texts of one or two patients each, which may say who it is)"
    assert f"name, email, ssn, insurance {why}; tel (whole" in looked.out
    study = (tmp_path / "study.yaml").read_text()
    shown = looked.out + looked.err + begun.out + begun.err + study + texts_in(tmp_path / "out")
    assert "canary" not in shown.casefold()
    assert "-77-" not in shown
    assert "49777" not in shown
    assert "site: categorical" in study


@pytest.mark.parametrize("column", ["scanner_serial", "hospital"])
def test_places_and_devices_of_few_patients_each_are_groups(
    column: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_patients(tmp_path / "set", "patient")
    table = tmp_path / "set" / "data.csv"
    header, *rows = table.read_text().splitlines()
    cells = [f"{row},SN{4000 + at // 2 % 12}x" for at, row in enumerate(rows)]
    table.write_text("\n".join([f"{header},{column}", *cells]))
    looked = Asking(capsys)("look", tmp_path / "set", "--target", "target", "--out", tmp_path / "out")
    assert f"{column} (categorical)" in looked.out, looked.out + looked.err
