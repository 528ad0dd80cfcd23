"""Each file format is read rightly: known pixels written by one library, read back as levels that can be said."""

from __future__ import annotations

import contextlib
import gzip
import io
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
import tifffile
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image, ImageOps
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, generate_uid
from tests.cases import first_of
from tests.worlds.files import noise

from assay.data.files.decode import ONE, labels_of
from assay.data.files.readers import examine, read_picture, read_stored
from assay.data.files.table import Unreadable

SIZE = 64


def _encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return buffer.getvalue()


def _tiff(values: np.ndarray, **options: Any) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, values, **options)
    return buffer.getvalue()


def dicom(values: np.ndarray, **tags: Any) -> bytes:
    """A minimal secondary capture with these stored values."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    dataset.Rows, dataset.Columns = values.shape[:2]
    dataset.SamplesPerPixel = 3 if values.ndim == 3 else 1
    if values.ndim == 3:
        dataset.PlanarConfiguration = 0
    dataset.PhotometricInterpretation = "RGB" if values.ndim == 3 else "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = values.dtype.itemsize * 8
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(np.issubdtype(values.dtype, np.signedinteger))
    for name, value in tags.items():
        setattr(dataset, name, value)
    dataset.PixelData = values.tobytes()
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


GRAY, RGB = noise(1), noise(2, channels=3)
DEEP = (noise(3).astype(np.uint16) << 8) | noise(4)
ALPHA = np.dstack([RGB, np.full(RGB.shape[:2], 128, dtype=np.uint8)])

EXACT: dict[str, tuple[bytes, np.ndarray]] = {
    "gray PNG": (_encoded(Image.fromarray(GRAY), "PNG"), GRAY),
    "gray BMP": (_encoded(Image.fromarray(GRAY), "BMP"), GRAY),
    "single GIF": (_encoded(Image.fromarray(GRAY), "GIF"), np.repeat(GRAY[..., None], 3, axis=2)),
    "lossless WebP": (_encoded(Image.fromarray(RGB), "WEBP", lossless=True), RGB),
    "color PNG": (_encoded(Image.fromarray(RGB), "PNG"), RGB),
    "16-bit PNG": (_encoded(Image.fromarray(DEEP), "PNG"), DEEP),
    "1-bit PNG": (_encoded(Image.fromarray(GRAY > 127), "PNG"), (GRAY > 127) * np.uint8(255)),
    "gray TIFF": (_tiff(GRAY), GRAY),
    "LZW TIFF": (_encoded(Image.fromarray(RGB), "TIFF", compression="tiff_lzw"), RGB),
    "16-bit TIFF": (_tiff(DEEP), DEEP),
    "big-endian 16-bit TIFF": (_tiff(DEEP, byteorder=">"), DEEP),
    "16-bit color TIFF": (_tiff(RGB.astype(np.uint16) * 257, photometric="rgb"), RGB.astype(np.uint16) * 257),
    "planar 16-bit color TIFF": (
        _tiff(np.moveaxis(RGB.astype(np.uint16), -1, 0), photometric="rgb", planarconfig="separate"),
        RGB.astype(np.uint16),
    ),
    "white-is-zero 16-bit TIFF": (_tiff(DEEP, photometric="miniswhite"), 65535 - DEEP),
    "float TIFF": (_tiff(GRAY.astype(np.float32) / 255), GRAY.astype(np.uint16) * 257),
    "32-bit integer TIFF": (_tiff(DEEP.astype(np.int32)), DEEP),
    "8-bit NIfTI": (nibabel.Nifti1Image(GRAY, np.eye(4)).to_bytes(), GRAY.T[::-1]),
    "NIfTI-2 with an axis of one, gzip": (
        gzip.compress(nibabel.Nifti2Image(GRAY[:, :, None], np.eye(4)).to_bytes()),
        GRAY.T[::-1],
    ),
    "color DICOM": (dicom(RGB), RGB),
    "16-bit DICOM, whole range": (dicom(DEEP), DEEP),
}  # fmt: skip


@pytest.mark.parametrize("kind", EXACT)
def test_lossless_formats_come_back_level_for_level(kind: str) -> None:
    data, expected = EXACT[kind]
    picture = read_picture(data, SIZE)
    assert picture.pixels.dtype == expected.dtype
    np.testing.assert_array_equal(picture.pixels, expected)
    header = examine(data)
    assert (header.height, header.width) == expected.shape[:2]
    assert header.deep == (expected.dtype == np.uint16)


def test_jpeg_is_near_and_its_mode_is_kept() -> None:
    smooth = np.add.outer(np.arange(32), np.arange(32)).astype(np.uint8) * 4
    gray = read_picture(_encoded(Image.fromarray(smooth), "JPEG", quality=95), SIZE).pixels
    assert gray.ndim == 2
    assert np.abs(gray.astype(int) - smooth).max() <= 4


def test_a_palette_becomes_its_colors() -> None:
    image = Image.fromarray(GRAY % 3, mode="P")
    colors = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255]], dtype=np.uint8)
    image.putpalette(colors.tobytes())
    np.testing.assert_array_equal(read_picture(_encoded(image, "PNG"), SIZE).pixels, colors[GRAY % 3])


def test_cmyk_becomes_rgb() -> None:
    # Full cyan, magenta, yellow and black; and no ink at all.
    inks = np.zeros((8, 40, 4), dtype=np.uint8)
    for at in range(4):
        inks[:, at * 8 : at * 8 + 8, at] = 255
    data = _encoded(Image.fromarray(inks, mode="CMYK"), "TIFF")
    pixels = read_picture(data, SIZE).pixels
    expected = [(0, 255, 255), (255, 0, 255), (255, 255, 0), (0, 0, 0), (255, 255, 255)]
    assert [tuple(pixels[4, at * 8 + 4].tolist()) for at in range(5)] == expected


def test_transparency_lies_over_black() -> None:
    pixels = read_picture(_encoded(Image.fromarray(ALPHA), "PNG"), SIZE).pixels
    np.testing.assert_allclose(pixels, RGB * (128 / 255), atol=1)
    gray = Image.merge("LA", (Image.fromarray(GRAY), Image.fromarray(np.zeros_like(GRAY))))
    assert not read_picture(_encoded(gray, "PNG"), SIZE).pixels.any()
    assert read_picture(_encoded(gray, "PNG"), SIZE).pixels.ndim == 2


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "16-bit TIFF"])
def test_orientation_is_applied(kind: str, orientation: int) -> None:
    tall = np.zeros((24, 16), dtype=np.uint8)
    tall[:8, :8] = 255  # a bright corner on a non-square image tells all eight apart
    exif = Image.Exif()
    exif[0x0112] = orientation
    reference = Image.fromarray(tall)
    reference.getexif()[0x0112] = orientation
    expected = np.asarray(ImageOps.exif_transpose(reference))
    if kind == "16-bit TIFF":
        data = _tiff(tall.astype(np.uint16) * 257, extratags=[(274, 3, 1, orientation, True)])
    else:
        data = _encoded(Image.fromarray(tall), kind, exif=exif)
    pixels = read_picture(data, SIZE).pixels
    assert (pixels.shape[0], pixels.shape[1]) == expected.shape == (examine(data).height, examine(data).width)
    largest = np.iinfo(pixels.dtype).max
    np.testing.assert_array_equal(pixels > largest // 2, expected > 127)


def test_sixteen_bit_color_png_is_noted() -> None:
    # Pillow cannot write one: an IHDR of depth 16 and color type 2 with stored rows.

    rows = b"".join(b"\0" + (RGB[row].astype(">u2") * 257).tobytes() for row in range(16))
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", 16, 16, 16, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    ]
    data = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    )
    picture = read_picture(data, SIZE)
    np.testing.assert_array_equal(picture.pixels, RGB)
    assert picture.notes == ("16-bit color was read as 8 bit",)


CT = np.linspace(0, 4095, 256).round().astype(np.uint16).reshape(16, 16)


def test_dicom_window_after_rescale_by_hand() -> None:
    # Stored 0..4095, HU = stored - 1024; a lung window, center -600, width 1500, spans -1350 to 149 (PS3.3 C.11.2.1.2).
    data = dicom(
        CT, RescaleSlope=1, RescaleIntercept=-1024, WindowCenter=-600, WindowWidth=1500, BitsStored=12, HighBit=11
    )
    hu = CT.astype(np.float64) - 1024
    expected = np.clip((hu - -600.5) / 1499 + 0.5, 0, 1)
    np.testing.assert_allclose(read_picture(data, SIZE).pixels / 65535, expected, atol=1e-5)


VOI = {
    "LINEAR": lambda v: (v - 1999.5) / 999 + 0.5,
    "LINEAR_EXACT": lambda v: (v - 2000) / 1000 + 0.5,
    "SIGMOID": lambda v: 1 / (1 + np.exp(-4 * (v - 2000) / 1000)),
}
"""PS3.3, C.11.2.1.2.1 and C.11.2.1.3, of center 2000 and width 1000."""


@pytest.mark.parametrize("function", VOI)
def test_the_first_window_of_dicom_is_applied(function: str) -> None:
    data = dicom(CT, WindowCenter=[2000, 40], WindowWidth=[1000, 80], VOILUTFunction=function)
    expected = np.clip(VOI[function](CT.astype(np.float64)), 0, 1)
    np.testing.assert_allclose(read_picture(data, SIZE).pixels / 65535, expected, atol=1e-5)


def test_monochrome1_is_inverted() -> None:
    plain, inverted = dicom(CT), dicom(CT, PhotometricInterpretation="MONOCHROME1")
    np.testing.assert_array_equal(read_picture(inverted, SIZE).pixels, 65535 - read_picture(plain, SIZE).pixels)


def test_signed_dicom_spans_its_stored_bits() -> None:
    values = np.array([-2048, 0, 2047, 0] * 64, dtype=np.int16).reshape(16, 16)
    pixels = read_picture(dicom(values, BitsStored=12, HighBit=11), SIZE).pixels
    np.testing.assert_array_equal(pixels[0, :4], [0, round(2048 / 4095 * 65535), 65535, round(2048 / 4095 * 65535)])


def test_multi_frame_dicom_is_refused_by_name() -> None:
    data = dicom(CT, NumberOfFrames=4)
    with pytest.raises(Unreadable, match="it holds 4 frames; save the one frame"):
        examine(data)


def test_a_dicom_with_the_pixels_of_two_frames_is_refused() -> None:
    data = dicom(
        np.stack([CT, CT]),
        Rows=CT.shape[0],
        Columns=CT.shape[1],
        SamplesPerPixel=1,
        PhotometricInterpretation="MONOCHROME2",
    )
    with (
        pytest.warns(UserWarning, match="pixel data"),
        pytest.raises(Unreadable, match="it holds the pixels of 2 frames; save the one"),
    ):
        read_picture(data, SIZE)


def _zeros(unpacked: int, window: int) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, window)
    return b"".join(packer.compress(bytes(1 << 20)) for _ in range(unpacked >> 20)) + packer.flush()


def _entry(data: bytearray, tag: int) -> int:
    """Where a tag of the first page of a little-endian TIFF is."""
    start = struct.unpack_from("<I", data, 4)[0]
    count = struct.unpack_from("<H", data, start)[0]
    return next(
        at for at in range(start + 2, start + 2 + 12 * count, 12) if struct.unpack_from("<H", data, at)[0] == tag
    )


def _tiff_bomb() -> bytes:
    strip = _zeros(1 << 26, zlib.MAX_WBITS)
    data = bytearray(_tiff(DEEP, compression="zlib", rowsperstrip=SIZE, metadata=None))
    struct.pack_into("<I", data, _entry(data, 273) + 8, len(data))
    struct.pack_into("<HII", data, _entry(data, 279) + 2, 4, 1, len(strip))
    return bytes(data) + strip


def _nifti_bomb() -> bytes:
    image = nibabel.Nifti1Image(GRAY, np.eye(4)).to_bytes()
    return gzip.compress(image) + _zeros(1 << 26, 31)


def deflated(data: bytes, padding: int = 0) -> bytes:
    """A DICOM file in the deflated transfer syntax, with so many zeros behind its pixels."""
    dataset = pydicom.dcmread(io.BytesIO(data))
    dataset.DataSetTrailingPadding = bytes(padding)
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


def test_deflated_dicom_is_read() -> None:
    assert examine(deflated(dicom(DEEP))).deep
    np.testing.assert_array_equal(read_picture(deflated(dicom(DEEP)), SIZE).pixels, DEEP)


@pytest.mark.parametrize("bomb", [_tiff_bomb, _nifti_bomb, lambda: deflated(dicom(DEEP), 1 << 26)])
def test_a_file_that_unpacks_to_more_than_its_header_says_is_refused(bomb: Callable[[], bytes]) -> None:
    data = bomb()
    assert len(data) < 1 << 17
    assert examine(data).width == DEEP.shape[1]
    tracemalloc.start()
    with pytest.raises(Unreadable, match="it unpacks to more than its header says"):
        read_picture(data, SIZE)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.9 * (1 << 25)


def test_a_tiff_that_points_back_to_itself_is_refused() -> None:
    data = bytearray(_tiff(GRAY))
    start = struct.unpack_from("<I", data, 4)[0]
    struct.pack_into("<I", data, start + 2 + 12 * struct.unpack_from("<H", data, start)[0], start)
    with pytest.raises(Unreadable, match="it has over 1000 pages, or one that points back to an earlier one"):
        examine(bytes(data))


def test_a_volume_is_refused_before_it_is_unpacked() -> None:
    header = nibabel.Nifti1Image(GRAY, np.eye(4)).header
    header.set_data_shape((512, 512, 512))
    header["magic"] = b"n+1"
    with pytest.raises(Unreadable, match="it is a volume of 512 x 512 x 512"):
        examine(gzip.compress(header.binaryblock))


def _nifti_extension_bomb(kind: type[nibabel.Nifti1Image], unpacked: int = 1 << 27) -> bytes:
    """A slice whose pixels start behind one extension of zeros."""
    image = kind(GRAY, np.eye(4))
    image.header["vox_offset"] = unpacked
    block = bytearray(image.header.binaryblock)
    if kind is nibabel.Nifti1Image:
        block[344:348] = b"n+1\0"
    start = struct.pack("<BBBBii", 1, 0, 0, 0, unpacked - len(block) - 4, 4)
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    head = packer.compress(bytes(block) + start)
    return head + b"".join(packer.compress(bytes(1 << 20)) for _ in range(unpacked >> 20)) + packer.flush()


@pytest.mark.parametrize("read", first_of([examine, read_stored, lambda data: read_picture(data, SIZE)]))
@pytest.mark.parametrize("kind", first_of([nibabel.Nifti1Image, nibabel.Nifti2Image]))
def test_a_nifti_header_with_a_huge_extension_is_refused_unread(
    kind: type[nibabel.Nifti1Image], read: Callable[[bytes], object]
) -> None:
    data = _nifti_extension_bomb(kind)
    assert len(data) < 1 << 18
    tracemalloc.start()
    with pytest.raises(Unreadable, match="its header says that pixels start at byte 134,217,728; copy or export"):
        read(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 22


def test_a_nifti_with_an_extension_is_read() -> None:
    image = nibabel.Nifti1Image(GRAY, np.eye(4))
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"a note of the scanner"))
    data = gzip.compress(image.to_bytes())
    assert examine(data).width == GRAY.shape[0]
    np.testing.assert_array_equal(read_picture(data, SIZE).pixels, GRAY.T[::-1])


def test_nifti_spans_its_display_range_or_its_own_with_a_note() -> None:
    values = np.linspace(-1000, 400, 256).astype(np.float32).reshape(16, 16)
    image = nibabel.Nifti1Image(values, np.eye(4))
    own = read_picture(image.to_bytes(), SIZE)
    assert (own.pixels.min(), own.pixels.max()) == (0, 65535)
    assert own.notes == ("a NIfTI slice without cal_min and cal_max was scaled from its own minimum to its maximum",)
    image.header["cal_min"], image.header["cal_max"] = -1000, 3000
    shown = read_picture(image.to_bytes(), SIZE)
    assert shown.notes == ()
    np.testing.assert_allclose(shown.pixels, np.round((values.T[::-1] + 1000) / 4000 * 65535), atol=1)


def test_nifti_rescale_is_applied() -> None:
    image = nibabel.Nifti1Image(GRAY.astype(np.float32), np.eye(4))
    image.set_data_dtype(np.uint8)
    image.header.set_slope_inter(2.0, 10.0)
    image.header["cal_min"], image.header["cal_max"] = 0, 510
    again = read_picture(image.to_bytes(), SIZE).pixels
    reference = np.asarray(nibabel.Nifti1Image.from_bytes(image.to_bytes()).dataobj).T[::-1]
    np.testing.assert_allclose(again, np.clip(reference / 510, 0, 1) * 65535, atol=1)


LESION = GRAY > 200
MASKS: dict[str, Callable[[], bytes]] = {
    "0 and 255": lambda: _encoded(Image.fromarray(LESION * np.uint8(255)), "PNG"),
    "0 and 1": lambda: _encoded(Image.fromarray(LESION * np.uint8(1)), "PNG"),
    "1 bit": lambda: _encoded(Image.fromarray(LESION), "PNG"),
    "RGB": lambda: _encoded(Image.fromarray(np.repeat((LESION * np.uint8(255))[..., None], 3, 2)), "PNG"),
    "16 bit": lambda: _encoded(Image.fromarray(LESION.astype(np.uint16) * 65535), "PNG"),
    "palette of a label tool": lambda: _encoded(_labeled(), "PNG"),
    "DICOM 0 and 1": lambda: dicom(LESION.astype(np.uint8)),
    "NIfTI 0 and 1": lambda: nibabel.Nifti1Image(LESION[::-1].T.astype(np.int16), np.eye(4)).to_bytes(),
    "NIfTI float": lambda: nibabel.Nifti1Image(LESION[::-1].T.astype(np.float64), np.eye(4)).to_bytes(),
}


def _labeled() -> Image.Image:
    image = Image.fromarray(LESION.astype(np.uint8), mode="P")
    image.putpalette([0, 0, 0, 128, 0, 0])
    return image


def _mask(data: bytes) -> np.ndarray:
    return labels_of(read_stored(data), ONE).values


@pytest.mark.parametrize("kind", MASKS)
def test_masks_in_every_spelling_are_the_same_mask(kind: str) -> None:
    mask = _mask(MASKS[kind]())
    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(mask, LESION)


def test_a_lossy_mask_is_cut_at_half() -> None:
    mask = np.zeros((32, 32), dtype=np.uint8)
    mask[8:24, 8:24] = 255
    np.testing.assert_array_equal(_mask(_encoded(Image.fromarray(mask), "JPEG", quality=60)), mask > 0)
    faint = np.zeros((32, 32), dtype=np.uint8)
    faint[0, 0] = 20
    assert not _mask(_encoded(Image.fromarray(faint), "JPEG")).any()
    faint[:] = 1
    assert not _mask(_encoded(Image.fromarray(faint), "JPEG")).any()


HEADS = (b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\0", b"BM", b"GIF89a")


def _read_all(data: bytes) -> None:
    """Whatever comes out of a reader is pixels or Unreadable; any other error fails the test."""
    for read in (examine, _mask, lambda content: read_picture(content, SIZE)):
        with contextlib.suppress(Unreadable):
            read(data)


@given(st.binary(max_size=400), st.sampled_from(HEADS))
def test_any_bytes_are_read_or_called_unreadable(tail: bytes, head: bytes) -> None:
    _read_all(head + tail)


@pytest.mark.filterwarnings("ignore::UserWarning")
@example(4161, "16-bit TIFF")  # a header that says 21 billion values
@given(st.integers(0, 2**32 - 1), st.sampled_from(["16-bit TIFF", "color DICOM", "8-bit NIfTI", "gray PNG"]))
def test_a_file_with_some_bytes_changed_is_read_or_called_unreadable(seed: int, kind: str) -> None:
    rng = np.random.default_rng(seed)
    data = bytearray(EXACT[kind][0])
    for at in rng.integers(0, len(data), 3):
        data[at] = rng.integers(0, 256)
    _read_all(bytes(data))


def test_an_array_of_half_precision_is_read_as_one_of_single() -> None:
    buffers = io.BytesIO(), io.BytesIO()
    values = np.linspace(0, 1, 64 * 64).reshape(64, 64).astype(np.float16)
    for buffer, dtype in zip(buffers, (np.float16, np.float32), strict=True):
        np.save(buffer, values.astype(dtype))
    half, single = (read_picture(buffer.getvalue(), 0).pixels for buffer in buffers)
    np.testing.assert_array_equal(half, single)
    assert half.max() == 65535


@pytest.mark.parametrize(("bits", "factor"), [(16, 257), (8, 1)])
def test_color_dicom_of_16_allocated_bits_is_deep(bits: int, factor: int) -> None:
    data = dicom(RGB.astype(np.uint16) * np.uint16(factor), BitsStored=bits, HighBit=bits - 1)
    assert examine(data).deep
    np.testing.assert_array_equal(read_picture(data, 0).pixels, RGB.astype(np.uint16) * 257)


def test_a_deep_tiff_of_palette_indices_is_refused() -> None:
    data = _tiff(DEEP, photometric="palette", colormap=np.zeros((3, 65536), dtype=np.uint16))
    with pytest.raises(Unreadable, match="in a color space other than RGB"):
        read_picture(data, 0)
    np.testing.assert_array_equal(read_stored(data).pixels, DEEP)


def test_an_empty_sequence_of_tables_is_none() -> None:
    plain = dicom(DEEP)
    empty = dicom(DEEP, VOILUTSequence=[], ModalityLUTSequence=[])
    np.testing.assert_array_equal(read_picture(empty, 0).pixels, read_picture(plain, 0).pixels)
