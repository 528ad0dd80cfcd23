"""Files that somebody else made: they take no more memory than their size allows."""

from __future__ import annotations

import hashlib
import io
import json
import os
import resource
import signal
import struct
import subprocess
import sys
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest
import torch
from PIL import Image
from pydicom import Dataset, dcmread, dcmwrite  # pyright: ignore[reportUnknownVariableType]
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLossless,
    generate_uid,
)
from tests.cli.asking import Asking

from assay.data.files.formats import dicom_attributes
from assay.data.files.readers import examine, read_picture, read_stored
from assay.data.files.table import Unreadable
from assay.models.process import session_memory
from assay.models.weights import load_checkpoint
from assay.plugin import DataError, StoreError, WeightsError, read_weights
from assay.store.files import read_parquet, read_parquets


def test_packed_weights_are_refused_before_they_are_unpacked(tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(8_000_000)}, tmp_path / "plain.pt")
    assert len(read_weights(tmp_path / "plain.pt").tensors) == 1
    plain = zipfile.ZipFile(tmp_path / "plain.pt")
    with plain, zipfile.ZipFile(tmp_path / "packed.pt", "w", zipfile.ZIP_DEFLATED) as packed:
        for name in plain.namelist():
            packed.writestr(name, b"" if name.endswith("data.pkl") else plain.read(name))  # who loads it finds damage
    with pytest.raises(WeightsError, match="and would take 32 MB: refused"):
        read_weights(tmp_path / "packed.pt")


def test_tensors_that_repeat_a_number_are_refused(tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(1).expand(8_000_000)}, tmp_path / "repeated.pt")
    with pytest.raises(WeightsError, match="and would take 32 MB: refused"):
        read_weights(tmp_path / "repeated.pt")


def described(kind: str, shape: list[int], size: int) -> bytes:
    return json.dumps({"a": {"dtype": kind, "shape": shape, "data_offsets": [0, size]}}).encode()


@pytest.mark.parametrize(
    ("header", "length", "message"),
    [(b"{}", 2**63, "header too large"), (b"{}", 10**8 - 1, "invalid header length"),
     (described("F32", [2**62, 4], 0), 0, "overflow"), (described("F32", [4], 8), 0, "invalid"),
     (described("F32", [1] * 100_000, 4), 0, "64 dimensions"), (described("F4", [2], 1), 0, "packed numbers"),
     (b'{"__metadata__":' + b"[" * 100_000 + b"}", 0, "invalid JSON")],
)  # fmt: skip
def test_strange_headers_of_safetensors_are_refused_in_a_sentence(
    tmp_path: Path, header: bytes, length: int, message: str
) -> None:
    """The length is that of the header where it is 0."""
    content = bytes(1 if b'"F4"' in header else 4)
    (tmp_path / "a.safetensors").write_bytes(struct.pack("<Q", length or len(header)) + header + content)
    with pytest.raises(WeightsError, match=message):
        read_weights(tmp_path / "a.safetensors")


def test_a_pickle_that_asks_for_memory_is_refused(tmp_path: Path) -> None:
    asking = b"\x80\x02c__builtin__\nbytearray\nJ\x00\x00\x00\x01\x85R."  # bytearray(2**24)
    with zipfile.ZipFile(tmp_path / "archive.pt", "w") as archive:
        archive.writestr("archive/data.pkl", asking)
        archive.writestr("archive/version", "3\n")
        archive.writestr("archive/byteorder", "little")
    (tmp_path / "old.pt").write_bytes(asking)
    for name in ("archive.pt", "old.pt"):
        with pytest.raises(WeightsError, match="is a pickle that holds more than tensors"):
            read_weights(tmp_path / name)
    sealed = (tmp_path / "archive.pt").read_bytes()
    (tmp_path / "checkpoint.pt").write_bytes(hashlib.sha256(sealed).digest() + sealed)
    assert load_checkpoint(tmp_path, "") is None


@pytest.mark.parametrize("comment", [b"", b"PK\5\6aaa"])
def test_a_pickle_that_multiplies_its_text_is_refused(tmp_path: Path, comment: bytes) -> None:
    """Each call of a codec doubles; Python's reader of archives takes the comment for damage, PyTorch's does not."""
    calls = b"c_codecs\nencode\nh\0X\3\0\0\0hex\x86Rq\0" * 40
    with zipfile.ZipFile(tmp_path / "doubling.pt", "w") as archive:
        archive.writestr(
            "archive/data.pkl", b"\x80\2c_codecs\nencode\nX\1\0\0\0aX\6\0\0\0latin1\x86Rq\0" + calls + b"."
        )
        archive.writestr("archive/version", "3\n")
        archive.writestr("archive/byteorder", "little")
        archive.comment = comment
    before = resource.getrlimit(resource.RLIMIT_DATA)
    with pytest.raises(WeightsError, match=r"has 0\.0 MB and asks for far more memory: refused"):
        read_weights(tmp_path / "doubling.pt")
    assert resource.getrlimit(resource.RLIMIT_DATA) == before


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
@pytest.mark.parametrize("kind", ["sparse", "quantized"])
def test_sparse_and_quantized_tensors_are_refused_in_a_sentence(tmp_path: Path, kind: str) -> None:
    plain = torch.eye(2)
    value = plain.to_sparse() if kind == "sparse" else torch.quantize_per_tensor(plain, 0.1, 0, torch.qint8)
    torch.save({"weight": value}, tmp_path / "a.pt")
    with pytest.raises(WeightsError, match="holds 1 sparse or quantized tensors: weight"):
        read_weights(tmp_path / "a.pt")


@pytest.mark.parametrize(("at", "size", "count"), [(0, 46, 1), (4, 10**6, 1), (0, 4, 1), (10**9, 0, 3)])
def test_an_archive_with_a_damaged_list_of_contents_is_refused_in_a_sentence(
    tmp_path: Path, at: int, size: int, count: int
) -> None:
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, size, at, 0)
    (tmp_path / "a.pt").write_bytes(b"PK\3\4" + b"PK\1\2" * 20 + end)
    with pytest.raises(WeightsError, match="truncated or not a weights file"):
        read_weights(tmp_path / "a.pt")


@pytest.mark.parametrize("value", [[1], torch.zeros(2), {"identity": "b"}])
def test_a_checkpoint_that_no_training_wrote_is_not_taken_up(value: object, tmp_path: Path) -> None:
    torch.save(value, content := io.BytesIO())
    (tmp_path / "checkpoint.pt").write_bytes(hashlib.sha256(content.getvalue()).digest() + content.getvalue())
    assert load_checkpoint(tmp_path, "a") is None


def test_a_table_of_repeated_rows_is_refused_by_its_footer(tmp_path: Path) -> None:
    small, large = tmp_path / "small.parquet", tmp_path / "large.parquet"
    for path, rows in ((small, 10), (large, 8_000_000)):
        duckdb.execute(f"COPY (SELECT 'a' AS name, 1.0 AS value FROM range({rows})) TO '{path}' (FORMAT parquet)")
    assert len(read_parquet(small)["name"]) == 10
    for act in (lambda: read_parquet(large), lambda: read_parquets([small, large])):
        with pytest.raises(StoreError, match="states 16,000,000 values, which would fill the memory"):
            act()


def test_a_table_of_one_long_text_that_is_repeated_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "long.parquet"
    duckdb.execute(f"COPY (SELECT repeat('a', 20_000) AS name FROM range(30_000)) TO '{path}' (FORMAT parquet)")
    assert path.stat().st_size < 100_000
    for act in (lambda: read_parquet(path), lambda: read_parquets([path])):
        with pytest.raises(StoreError, match="its texts would take 600,000,000 bytes, which would fill the memory"):
            act()


@pytest.mark.parametrize(
    ("column", "message"),
    [("[repeat('a', 9) for x in range(9)]", "column 'name' holds nested values or texts in lists"),
     ("{'a': repeat('a', 9)}", "column 'name' holds nested values or texts in lists"),
     ("to_json(repeat('a', 20_000))", "column 'name' holds nested values or texts in lists"),
     ("repeat('a', 20_000)::BLOB", "its texts would take 600,000,000 bytes"),
     ("[1.5 for x in range(1_000)]", "states 30,000,000 values")],
)  # fmt: skip
def test_a_table_of_lists_and_bytes_that_are_repeated_is_refused(tmp_path: Path, column: str, message: str) -> None:
    path = tmp_path / "nested.parquet"
    duckdb.execute(f"COPY (SELECT {column} AS name FROM range(30_000)) TO '{path}' (FORMAT parquet)")
    with pytest.raises(StoreError, match=message):
        read_parquet(path)


def coded(source: bytes, compression: int) -> bytes:
    """A TIFF of 64 x 64 values of 16 bit in one strip."""
    strip, size = 8, len(source) + len(source) % 2
    tags = ((256, 64), (257, 64), (258, 16), (259, compression), (262, 1), (273, strip), (278, 64), (279, len(source)))
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    start = struct.pack("<2sHI", b"II", 42, strip + size)
    return start + source.ljust(size, b"\0") + struct.pack("<H", len(tags)) + entries + bytes(4)


SIZ = b"\xff\x4f\xff\x51" + struct.pack(">HH8IH", 41, 0, 16_000, 16_000, 0, 0, 16_000, 16_000, 0, 0, 1)
SOF = b"\xff\xd8\xff\xe0\0\2\xff\xc3" + struct.pack(">HBHHB", 11, 16, 16_000, 16_000, 1)


@pytest.mark.parametrize(("source", "compression", "syntax"), [(SIZ, 34712, JPEG2000Lossless), (SOF, 7, JPEGLossless)])
def test_pixels_of_another_size_than_the_header_says_are_refused(source: bytes, compression: int, syntax: UID) -> None:
    assert examine(coded(source, compression)).width == 64
    with pytest.raises(Unreadable, match="it unpacks to more than its header says"):
        read_picture(coded(source, compression), 64)
    with pytest.raises(Unreadable, match="it unpacks to more than its header says"):
        read_picture(encapsulated(source, syntax, 16), 64)


def test_a_jpeg_in_dicom_of_another_size_than_the_header_says_is_refused() -> None:
    source = b"\xff\xd8\xff\xc0" + struct.pack(">HBHHB", 11, 8, 16_000, 16_000, 1)
    with pytest.raises(Unreadable, match="it unpacks to more than its header says"):
        read_picture(encapsulated(source, JPEGBaseline8Bit, 8), 64)


def encapsulated(source: bytes, syntax: UID, bits: int) -> bytes:
    """A DICOM file of 64 x 64 values in one frame."""
    dataset = Dataset()
    dataset.Rows = dataset.Columns = 64
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PixelRepresentation = 1, "MONOCHROME2", 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = bits, bits, bits - 1
    dataset.PixelData = encapsulate([source])
    dataset["PixelData"].VR = "OB"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.file_meta.MediaStorageSOPClassUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    file = io.BytesIO()
    dcmwrite(file, dataset, enforce_file_format=True)
    return file.getvalue()


def npy(side: int) -> bytes:
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({side}, {side}), }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\0" + struct.pack("<H", len(header)) + header.encode()


def nifti(side: int) -> bytes:
    header = bytearray(352)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h", header, 40, 2, side, side, *[1] * 5)
    struct.pack_into("<hh", header, 70, 2, 8)
    struct.pack_into("<f", header, 108, 352.0)
    header[344:348] = b"n+1\0"
    return bytes(header)


def tiff(side: int) -> bytes:
    """A TIFF of 16 bit, whose values are not there."""
    tags = [(256, side), (257, side), (258, 16), (259, 1), (262, 1), (273, 8), (278, side), (279, 2 * side * side)]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return struct.pack("<2sHIH", b"II", 42, 8, len(tags)) + entries + bytes(4)


def bmp(side: int) -> bytes:
    return b"BM" + struct.pack("<IHHIIiiHHIIiiII", 100, 0, 0, 54, 40, side, side, 1, 24, *[0] * 6)


def deflated(side: int) -> bytes:
    """A deflated DICOM file of so many pixels; 17 million are there."""
    dataset = Dataset()
    dataset.Rows = dataset.Columns = side
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PixelRepresentation = 1, "MONOCHROME2", 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset.add_new(0x7FE00010, "OB", bytes(34_000_000))
    file = io.BytesIO()
    dcmwrite(file, dataset, enforce_file_format=True)
    return file.getvalue()


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("make", [npy, nifti, tiff, bmp, deflated])
def test_an_image_of_more_pixels_than_allowed_is_refused_by_its_header(make: Callable[[int], bytes]) -> None:
    assert examine(make(9459)).width == 9459
    with pytest.raises(Unreadable, match="it is 9460 x 9460 px, over 89,478,485"):
        examine(make(9460))


@pytest.mark.parametrize("make", [nifti, tiff, deflated])
def test_a_mask_of_more_pixels_than_allowed_is_refused_by_its_header(make: Callable[[int], bytes]) -> None:
    with pytest.raises(Unreadable, match=r"its header says [0-9,]+ (pixels|values)"):
        read_stored(make(30_000))


def test_a_deflated_image_is_unpacked_no_further_than_its_header_says() -> None:
    with pytest.raises(Unreadable, match="it unpacks to more than its header says"):
        read_picture(deflated(64), 64)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("slope", "intercept"), [("1e308", "0"), ("1", "1e400")])
def test_gray_values_beyond_all_numbers_are_refused_without_a_warning(slope: str, intercept: str) -> None:
    dataset = dcmread(io.BytesIO(deflated(64)), force=True)
    dataset.PixelData = bytes([9, 250] * 2048)
    dataset.RescaleSlope, dataset.RescaleIntercept = slope, intercept
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file = io.BytesIO()
    dcmwrite(file, dataset, enforce_file_format=True)
    with pytest.raises(Unreadable, match="of its values are NaN or infinite"):
        read_picture(file.getvalue(), 64)


def test_a_palette_of_segments_that_repeat_each_other_is_refused() -> None:
    dataset = dcmread(io.BytesIO(deflated(64)), force=True)
    dataset.PixelData, dataset.PhotometricInterpretation = bytes(4096), "PALETTE COLOR"
    dataset.PixelRepresentation = 0
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    twice = [0, 1, 5, 2, 3, 11, 0, 2, 3, 11, 0]  # a color, and two times the three segments that follow these
    words = [*twice * 30, 0, 1, 5, 1, 65535, 9]
    for color in ("Red", "Green", "Blue"):
        dataset.add_new(f"{color}PaletteColorLookupTableDescriptor", "US", [256, 0, 16])
        setattr(dataset, f"Segmented{color}PaletteColorLookupTableData", struct.pack(f"<{len(words)}H", *words))
    file = io.BytesIO()
    dcmwrite(file, dataset, enforce_file_format=True)
    with pytest.raises(Unreadable, match="its palette has a segment of type 2"):
        read_picture(file.getvalue(), 64)


def test_attributes_of_a_deflated_file_are_read_without_unpacking_the_rest(tmp_path: Path) -> None:
    dataset = Dataset()
    dataset.PatientID, dataset.file_meta = "p1", FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset.add_new(0x7FE00010, "OB", bytes(50_000_000))
    dcmwrite(tmp_path / "a.dcm", dataset, enforce_file_format=True)
    tracemalloc.start()
    try:
        assert dicom_attributes(tmp_path / "a.dcm", ["PatientID"]) == {"PatientID": "p1"}
        assert tracemalloc.get_traced_memory()[1] < 45_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("bits", [8, 16])
def test_a_tiff_whose_tiles_are_far_larger_than_it_is_refused(bits: int) -> None:
    tags = [(256, 24), (257, 24), (258, bits), (259, 8), (262, 1), (322, 16), (323, 1 << 28), (324, 8), (325, 20)]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    data = struct.pack("<2sHIH", b"II", 42, 8, len(tags)) + entries + bytes(4)
    for read in (examine, read_stored) if bits == 16 else (examine,):
        with pytest.raises(Unreadable, match="its header says 8,589,934,592 values"):
            read(data)


def test_attributes_of_a_damaged_header_are_refused_in_a_sentence(tmp_path: Path) -> None:
    start = bytes(128) + b"DICM" + b"\x02\0\x10\0UI\x14\0" + b"1.2.840.10008.1.2.1\0"
    (tmp_path / "a.dcm").write_bytes(start + b"\x28\0\x10\0US\x03\0abc")
    with pytest.raises(DataError, match=r"a\.dcm cannot be read as DICOM: "):
        dicom_attributes(tmp_path / "a.dcm", ["Rows"])


def test_a_tiff_whose_codec_has_a_size_that_is_not_read_is_refused() -> None:
    with pytest.raises(Unreadable, match="its compression PNG may unpack to any size; export it without compression"):
        read_picture(coded(b"\x89PNG", 34933), 64)


@pytest.mark.skipif(sys.platform != "linux", reason="memory of a session is read from /proc")
def test_an_image_that_is_as_large_as_it_says_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """SECURITY.md says so. Where this fails, more is held than it says."""
    for at in range(8):
        side = 4000 if at == 0 else 32
        (folder := tmp_path / "set" / ("no", "yes")[at % 2]).mkdir(parents=True, exist_ok=True)
        Image.new("L", (side, side), 30 * at).save(folder / f"{at}.png")
    assert (tmp_path / "set" / "no" / "0.png").stat().st_size < 100_000
    assert Asking(capsys)("look", tmp_path / "set", "--out", tmp_path / "out").code == 0


def test_memory_is_that_of_all_processes_and_what_they_share() -> None:
    code = (
        "import os, mmap, time\n"
        "shared = mmap.mmap(-1, 60_000_000); shared.write(b'x' * 60_000_000)\n"
        "for _ in range(2):\n"
        "    if os.fork() == 0:\n"
        "        held = bytearray(os.urandom(1000) * 40_000); print('ready', flush=True); time.sleep(60)\n"
        "time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], start_new_session=True, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        for _ in range(2):
            process.stdout.readline()
        assert 130e6 < session_memory(process.pid) < 250e6
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.parametrize("wide", [False, True])
def test_a_tiff_whose_tags_repeat_a_block_of_values_is_refused(wide: bool) -> None:
    form, head = ("<HHQQ", struct.pack("<2sHHHQQ", b"II", 43, 8, 0, 16, 40)) if wide else ("<HHII", b"")
    head = head or struct.pack("<2sHIH", b"II", 42, 8, 40)
    entries = b"".join(struct.pack(form, tag, 4, 1, 64) for tag in (256, 257, 258, 277, 278)) + b"".join(
        struct.pack(form, tag, 4, 1000, 1000) for tag in [273] * 35
    )
    data = (head + entries).ljust(5000, b"\0")
    with pytest.raises(Unreadable, match="its tags hold more values than the file"):
        examine(data)


@pytest.mark.parametrize("scans", [2, 200])
def test_a_jpeg_of_many_scans_is_refused(scans: int) -> None:
    file = io.BytesIO()
    Image.new("L", (64, 64), 100).save(file, "JPEG", progressive=True)
    data = file.getvalue()
    at = data.rindex(b"\xff\xda")
    data = data[:at] + data[at:-2] * scans + data[-2:]
    if scans == 2:
        assert examine(data).width == 64
    else:
        with pytest.raises(Unreadable, match="it is a JPEG of over 100 scans"):
            examine(data)


def test_a_deflated_header_of_many_empty_items_is_refused() -> None:
    dataset = dcmread(io.BytesIO(deflated(64)), force=True)
    dataset.PerFrameFunctionalGroupsSequence = [Dataset() for _ in range(50_001)]
    file = io.BytesIO()
    dcmwrite(file, dataset, enforce_file_format=True)
    with pytest.raises(Unreadable, match="it lists 50,001 items"):
        examine(file.getvalue())


def test_a_jpeg_of_many_blocks_of_exif_is_refused() -> None:
    file = io.BytesIO()
    Image.new("L", (64, 64)).save(file, "JPEG")
    block = b"\xff\xe1\0\x0aExif\0\0MM"
    assert examine(file.getvalue()[:2] + block * 100 + file.getvalue()[2:]).width == 64
    with pytest.raises(Unreadable, match="it is a JPEG of over 100 blocks of EXIF"):
        examine(file.getvalue()[:2] + block * 101 + file.getvalue()[2:])


_EMPTY = struct.pack("<HH2sH", 9, 0x1000, b"LO", 0)
"""An element of DICOM without a value."""


def with_elements(before: bytes = b"", behind: bytes = b"") -> bytes:
    """Return a deflated DICOM image with elements before or behind its pixels."""
    dataset = dcmread(io.BytesIO(deflated(64)), force=True)
    dataset.PixelData = bytes(4096)
    file = io.BytesIO()
    dcmwrite(file, dataset, enforce_file_format=True)
    data = file.getvalue()
    at = 144 + struct.unpack("<I", data[140:144])[0]  # the element before states the length of the meta information
    content = zlib.decompress(data[at:], -15)
    pixels, packer = content.index(b"\xe0\x7f\x10\0"), zlib.compressobj(wbits=-15)
    return data[:at] + packer.compress(content[:pixels] + before + content[pixels:] + behind) + packer.flush()


def test_elements_behind_the_pixels_of_a_deflated_file_are_not_read() -> None:
    items = (
        struct.pack("<HH2sHI", 0xFFFC, 1, b"SQ", 0, 0xFFFFFFFF)
        + (b"\xfe\xff\0\xe0" + struct.pack("<I", 320) + _EMPTY * 40) * 6000
    )
    data = with_elements(behind=items)
    tracemalloc.start()
    try:
        assert read_picture(data, 64).pixels.shape == (64, 64)
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


def test_a_deflated_header_of_many_elements_is_refused() -> None:
    assert read_picture(with_elements(before=_EMPTY * 1000), 64).pixels.shape == (64, 64)
    with pytest.raises(Unreadable, match="its header has over 2 MiB"):
        read_picture(with_elements(before=_EMPTY * 300_000), 64)


def test_extensions_of_nifti_are_not_built() -> None:
    extensions = struct.pack("<ii8x", 16, 6) * 200_000
    header = bytearray(nifti(8)[:348])
    struct.pack_into("<f", header, 108, 352 + len(extensions))
    data = bytes(header) + b"\1\0\0\0" + extensions + bytes(64)
    tracemalloc.start()
    try:
        assert read_stored(data).pixels.shape == (8, 8)
        assert tracemalloc.get_traced_memory()[1] < 5 * len(data)
    finally:
        tracemalloc.stop()


def test_an_array_whose_header_is_nested_too_deeply_is_refused_and_ends_no_command() -> None:
    header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (64, 64), 'x': %s1}\n" % (b"-" * 9000)
    with pytest.raises(Unreadable, match="its header is nested too deeply"):
        examine(b"\x93NUMPY\2\0" + struct.pack("<I", len(header)) + header + bytes(64 * 64))
