"""Files that are nearly all a hole: of any size, though a disk and an archive have a few bytes of them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.cli.asking import Asking
from tests.worlds.files import write_table

from assay.core import files
from assay.models.confined import memory_limit
from assay.plugin import StoreError, read_weights
from assay.store.manifest import write_manifest

LARGE = 1 << 42
"""Bytes that no test could read: 4 TB."""
REFUSED = f"of its {LARGE:,} bytes nearly none is on the disk; get another copy"


def with_hole(path: Path, content: bytes = b"") -> Path:
    path.write_bytes(content)
    os.truncate(path, LARGE)
    return path


@pytest.fixture
def images(tmp_path: Path) -> Path:
    (folder := tmp_path / "set").mkdir()
    rng = np.random.default_rng(0)
    for at in range(40):
        Image.fromarray(rng.integers(0, 255, (24, 24), dtype=np.uint8)).save(folder / f"{at}.png")
    write_table(
        folder / "data.csv", [["image", "finding"], *([f"{at}.png", ("no", "yes")[at % 2]] for at in range(40))]
    )
    return folder


def test_the_stored_size_of_a_file_is_that_without_holes(tmp_path: Path) -> None:
    assert files.stored_size(with_hole(tmp_path / "hole", b"x")) <= 1 << 20
    (plain := tmp_path / "plain").write_bytes(bytes(1000))
    assert files.stored_size(plain) == 1000


def test_an_image_with_a_hole_is_left_out(images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with_hole(images / "3.png", (images / "3.png").read_bytes())
    answer = Asking(capsys)("look", images, "--out", images.parent / "looked")
    assert answer.code == 0
    assert "left-out: 3.png" in answer.out


@pytest.mark.parametrize(("name", "content"), [("data.csv", b"image,finding\n"), ("coco.json", b'{"images":')])
def test_a_table_with_a_hole_is_refused_in_a_sentence(
    name: str, content: bytes, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (images / "data.csv").unlink()
    path = with_hole(images / name, content)
    answer = Asking(capsys)("look", images, "--out", images.parent / "looked")
    assert (answer.code, answer.err) == (2, f"cannot read {path}: {REFUSED}\n")


@pytest.mark.parametrize(("command", "words"), [("doctor", []), ("open", ["--bundle", "run.zip"]), ("report", [])])
def test_a_file_with_a_hole_in_a_run_folder_is_not_read(
    command: str, words: list[str], run_copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = with_hole(run_copy / "pictures" / "more.png")
    write_manifest(run_copy, {"pictures/more.png": "0" * 64})
    assert [LARGE, "0" * 64] in json.loads((run_copy / "manifest.json").read_bytes())["files"].values()
    answer = Asking(capsys)(command, run_copy, *words)
    assert answer.code == 2
    assert f"cannot read {path}: {REFUSED}" in answer.err


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.pt"])
def test_weights_with_a_hole_are_refused_and_raise_no_limit(name: str, tmp_path: Path) -> None:
    header = json.dumps({"w": {"dtype": "F32", "shape": [LARGE // 8], "data_offsets": [0, LARGE // 2]}}).encode()
    path = with_hole(tmp_path / name, len(header).to_bytes(8, "little") + header)
    with pytest.raises(StoreError, match="nearly none is on the disk"):
        read_weights(path)
    assert memory_limit([path], 1.0) < 2e9


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(path := tmp_path / "pipe")
    assert files.stored_size(path) == 0
