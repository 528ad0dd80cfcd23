"""Tables that are another kind of file, rows that name files elsewhere, and images that hold less than they say."""

from __future__ import annotations

import gzip
import json
import struct
import zipfile
import zlib
from pathlib import Path

import duckdb
import pytest
from PIL import Image
from tests.cases import first_of
from tests.cli.asking import Asking
from tests.safety.test_links import save_images

NAMES = [f"{at}.png" for at in range(16)]


@pytest.mark.parametrize(
    "words",
    first_of(["look {}", "look set", "validate {}", "compare {} --by loss --margin 0.1",
     "audit none.onnx --images set/images --labels {}", "init {}", "run {}", "results {}", "open {}", "doctor {}"], 3),
)  # fmt: skip
def test_no_command_reads_a_workbook_or_a_zip_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    save_images(tmp_path / "set" / "images", NAMES)
    with zipfile.ZipFile("set/table.csv", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("../../../evil", "evil")
        packed.writestr(
            "xl/worksheets/sheet1.xml", "<worksheet><dimension ref='A1:XFD1048576'/>" + "<row/>" * 1_000_000
        )
    duckdb.execute("COPY (SELECT 'a' AS image, 1 AS finding FROM range(8_000_000)) TO 'table.parquet'")
    for table in ("set/table.csv", "table.parquet"):
        said = Asking(capsys)(*words.format(table).split())
        assert (said.code, len(said.err.splitlines()) <= 3, "Traceback" in said.err) == (2, True, False), said.err
    assert not list(tmp_path.parent.rglob("evil"))


@pytest.mark.parametrize(
    ("start", "kind"),
    [(b"PK\3\4", "an Excel or OpenDocument workbook, or a ZIP file"), (b"\xd0\xcf\x11\xe0", "an Excel workbook"),
     (b"PAR1", "a Parquet file"), (b"SQLite", "a database"), (b"BZh9", "packed with bzip2"),
     (b"\xfd7zXZ", "packed with xz"), (b"\x28\xb5\x2f\xfd", "packed with Zstandard")],
)  # fmt: skip
def test_a_table_of_another_kind_is_refused_by_its_first_bytes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], start: bytes, kind: str
) -> None:
    """Text follows, so that the first bytes alone refuse the file."""
    rows = b"".join(b"%d.png,%d,%.2f\n" % (at, at % 2, at / 40) for at in range(40))
    (tmp_path / "table.csv").write_bytes(start + b"image,target,score\n" + rows)
    said = Asking(capsys)("validate", tmp_path / "table.csv", "--out", tmp_path / "out")
    assert (said.code, f"table.csv is {kind}; save the table as CSV (UTF-8)" in said.err) == (2, True), said


@pytest.mark.parametrize(
    "name",
    first_of(["/etc/passwd", "/images/1.png", "../private.png", "images/../../private.png", "file:../private.png"], 4),
)
@pytest.mark.parametrize("layout", first_of(["table", "mask", "coco"]))
def test_no_row_names_a_file_out_of_its_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, layout: str
) -> None:
    folder = tmp_path / "set"
    save_images(folder / "images", NAMES)
    Image.new("L", (32, 32), 77).save(tmp_path / "private.png")
    if layout == "coco":
        square = [2, 2, 9, 2, 9, 9, 2, 9]
        images = [{"id": at, "file_name": f"images/{own}"} for at, own in enumerate(NAMES)]
        images[1]["file_name"] = name
        annotations = [{"image_id": at, "category_id": 1, "segmentation": [square]} for at in range(1, 16, 2)]
        content = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "a"}]}
        (folder / "annotations.json").write_text(json.dumps(content))
    else:
        (folder / "masks").mkdir()
        for at, own in enumerate(NAMES):
            mask = Image.new("L", (32, 32))
            mask.paste(255 * (at % 2), (4, 4, 9, 9))
            mask.save(folder / "masks" / own)
        rows = [[f"images/{own}", ("no", "yes")[at % 2], f"masks/{own}"] for at, own in enumerate(NAMES)]
        rows[1][0 if layout == "table" else 2] = name
        lines = [",".join(row) for row in [["image", "finding", "mask"], *rows]]
        (folder / "data.csv").write_text("\n".join(lines))
    said = Asking(capsys)("look", folder, "--unmasked", "lesion-free", "--follow-links", "--out", tmp_path / "out")
    assert said.code == 0, said.err
    assert "left out: 1 of 16 images" in said.out
    assert name not in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.parametrize("name", ["file:", "http:", "s3:", "a'b", "[a]"])
def test_a_relative_folder_is_no_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for at, file in enumerate(NAMES):
        save_images(tmp_path / "set" / ("no", "yes")[at % 2] / file, [file])
    assert Asking(capsys)("look", "set", "--out", name).code == 0
    for words in (["results", name], ["doctor", name], ["report", name]):
        assert Asking(capsys)(*words).code == 0


def _npy() -> bytes:
    header = "{'descr': '|u1', 'fortran_order': False, 'shape': (1000000, 1000000), }".ljust(117) + "\n"
    return b"\x93NUMPY\x01\0" + struct.pack("<H", len(header)) + header.encode()


def _nifti() -> bytes:
    header = bytearray(352)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h", header, 40, 3, 30_000, 30_000, 30_000, 1, 1, 1, 1)
    struct.pack_into("<hh", header, 70, 2, 8)
    struct.pack_into("<f", header, 108, 352.0)
    header[344:348] = b"n+1\0"
    return gzip.compress(bytes(header))


def _tiff() -> bytes:
    side = 60_000
    tags = [(256, side), (257, side), (258, 8), (259, 1), (262, 1), (273, 8), (278, side), (279, side * side)]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return struct.pack("<2sHIH", b"II", 42, 8, len(tags)) + entries + bytes(4)


def _png() -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 2**31 - 1, 2**31 - 1, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


LYING = {
    "x.npy": _npy, "x.nii.gz": _nifti, "x.tif": _tiff, "x.png": _png,
    "x.bmp": lambda: b"BM" + struct.pack("<IHHIIiiHHIIiiII", 100, 0, 0, 54, 40, 2**31 - 1, -(2**31), 1, 24, *[0] * 6),
}  # fmt: skip
"""Name -> a file whose header states far more pixels than it holds."""


@pytest.mark.parametrize("name", LYING)
def test_an_image_that_holds_less_than_it_says_is_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    save_images(tmp_path / "set" / "images", NAMES)
    (tmp_path / "set" / "images" / name).write_bytes(LYING[name]())
    rows = [f"images/{own},{('no', 'yes')[at % 2]}" for at, own in enumerate([*NAMES, name])]
    (tmp_path / "set" / "data.csv").write_text("\n".join(["image,finding", *rows]))
    said = Asking(capsys)("look", tmp_path / "set", "--out", tmp_path / "out")
    assert (said.code, "left out: 1 of 17 images" in said.out) == (0, True), said.err
