"""Rows are called by the user's own table or folder, also where a table of the cache stands between."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import assay
from assay.plugin import DataError

CLASSES = ("benign", "malignant")


def _image(path: Path, at: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(at).integers(0, 200, (32, 32), dtype=np.uint8)).save(path)


def _brightness(images: np.ndarray) -> np.ndarray:
    return images.mean((1, 2, 3))


def _left_out(data: Path, out: Path) -> list[tuple[str, int]]:
    seen = assay.look(data, out=out, progress=False)
    issues = seen.table("issues")
    rows = issues[issues["kind"] == "left-out"]["row"].tolist()
    with (out / "issues.csv").open(newline="", encoding="utf-8") as file:
        names = {row["row"]: row["file"] for row in csv.DictReader(file)}
    return [(names[str(row)], int(row)) for row in rows]


def test_rows_of_a_table_of_labels_are_its_lines(tmp_path: Path) -> None:
    data = tmp_path / "set"
    rows = [[f"im{at:02d}", CLASSES[at % 2]] for at in range(40)]
    for at, (name, _) in enumerate(rows):
        _image(data / "files" / f"{name}.png", at)
    (data / "files" / "im07.png").write_bytes(b"no picture")
    rows.reverse()  # images are read in the order of their names
    with (data / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["image", "diagnosis"], *rows])
    assert _left_out(data, tmp_path / "look") == [("files/im07.png", 34)]
    assert (data / "labels.csv").read_text(encoding="utf-8").splitlines()[34 - 1].startswith("im07,")
    with pytest.raises(DataError, match=r"1 bad line in labels\.csv:\n  line 34 'files/im07\.png'"):
        assay.audit(_brightness, data, size=32, progress=False)


def test_files_of_folders_are_counted_in_their_listing(tmp_path: Path) -> None:
    data = tmp_path / "set"
    for at in range(60):
        _image(data / ("train" if at < 40 else "test") / CLASSES[at % 2] / f"{at:02d}.png", at)
    (data / "test" / "benign" / "40.png").write_bytes(b"no picture")
    assert _left_out(data, tmp_path / "look") == [("test/benign/40.png", 1)]
    with pytest.raises(DataError, match=r"1 bad file in set/:\n  file 1 'test/benign/40\.png'"):
        assay.audit(_brightness, data, size=32, progress=False)
