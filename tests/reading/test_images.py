"""Image files."""

from __future__ import annotations

import io
import json
import struct
import sys
import zlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import imagecodecs
import nibabel
import numpy as np
import pydicom
import pytest
import tifffile
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngInfo
from PIL.TiffImagePlugin import ImageFileDirectory_v2
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut, apply_voi_lut
from pydicom.uid import (
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
    generate_uid,
)
from tests.cli.asking import Asking
from tests.reading.situations import situation
from tests.worlds.pixels import SIDE, dataset, dicom, encoded, grouped, image_set, shown, smooth, written
from tifffile import _imagecodecs

import assay
from assay.plugin import DataError

N = 4
CT = [smooth(at, 4095) for at in range(N)]
RESCALE = {"RescaleSlope": 2, "RescaleIntercept": -1024}
WINDOW = {"WindowCenter": 1000, "WindowWidth": 2000}


def by_pydicom(values: np.ndarray, **tags: Any) -> np.ndarray:
    """Gray levels from 0 to 1 by pydicom's own processing of a plain object, over the range that it can give."""
    plain = dataset(values, **tags)
    low, high = (0, 2**plain.BitsStored - 1)
    if plain.PixelRepresentation:
        low, high = -(2 ** (plain.BitsStored - 1)), 2 ** (plain.BitsStored - 1) - 1
    if "RescaleSlope" in plain:
        low, high = (end * float(plain.RescaleSlope) + float(plain.RescaleIntercept) for end in (low, high))
    levels = (apply_voi_lut(apply_modality_lut(values, plain), plain) - low) / (high - low)
    return 1 - levels if plain.PhotometricInterpretation == "MONOCHROME1" else levels


def mean(images: np.ndarray) -> np.ndarray:
    return np.asarray(images.mean((1, 2, 3)))


def agrees(
    files: list[bytes], folder: Path, expected: list[np.ndarray], ending: str = ".dcm", tol: float = 2e-5
) -> None:
    found = shown(image_set(folder / "set", files, ending))
    right = np.stack([one[None] if one.ndim == 2 else np.moveaxis(one, -1, 0) for one in expected])
    np.testing.assert_allclose(found, right, atol=tol)


# Enhanced objects of one frame.


@situation(
    "an enhanced DICOM object of one frame, slope and window in the shared functional groups",
    "read, as pydicom shows a plain object with them",
)
def test_shared_groups(tmp_path: Path) -> None:
    files = [dicom(one, NumberOfFrames=1, SharedFunctionalGroupsSequence=grouped(RESCALE, WINDOW)) for one in CT]
    agrees(files, tmp_path, [by_pydicom(one, **RESCALE, **WINDOW) for one in CT])


@situation("the same in the per-frame functional groups", "read alike")
def test_groups_of_the_frame(tmp_path: Path) -> None:
    files = [dicom(one, NumberOfFrames=1, PerFrameFunctionalGroupsSequence=grouped(RESCALE, WINDOW)) for one in CT]
    agrees(files, tmp_path, [by_pydicom(one, **RESCALE, **WINDOW) for one in CT])


@situation("slope in the shared groups and window in those of the frame", "both are used")
def test_groups_of_both(tmp_path: Path) -> None:
    files = [
        dicom(
            one,
            SharedFunctionalGroupsSequence=grouped(RESCALE, None),
            PerFrameFunctionalGroupsSequence=grouped(None, WINDOW),
        )
        for one in CT
    ]
    agrees(files, tmp_path, [by_pydicom(one, **RESCALE, **WINDOW) for one in CT])


@situation("a DICOM object of several frames", "refused, with the number of frames")
def test_several_frames(ask: Asking, tmp_path: Path) -> None:
    table = image_set(tmp_path / "set", [dicom(one, NumberOfFrames=3) for one in CT])
    answer = ask("look", table)
    assert answer.code == 2
    assert "3 frames" in answer.err


# Files without what DICOM files begin with, and with other endings.


@pytest.mark.parametrize("syntax", [None, ImplicitVRLittleEndian])
@situation("DICOM without the 128 bytes of the preamble", "read by its content, with or without a transfer syntax")
def test_no_preamble(tmp_path: Path, syntax: str | None) -> None:
    files: list[bytes] = []
    for one in CT:
        made = dataset(one, BitsStored=12, **WINDOW)
        if syntax:
            made.file_meta.TransferSyntaxUID = syntax
            bare = pydicom.Dataset()
            bare.update(made)
            buffer = io.BytesIO()
            pydicom.dcmwrite(buffer, bare, implicit_vr=True, little_endian=True)
            files.append(buffer.getvalue())
        else:
            files.append(written(made)[132:])
        assert files[-1][128:132] != b"DICM"
    agrees(files, tmp_path, [by_pydicom(one, BitsStored=12, **WINDOW) for one in CT])


@situation("DICOM files that are called .png", "read as DICOM: the content decides")
def test_another_ending(tmp_path: Path) -> None:
    agrees([dicom(one, **WINDOW) for one in CT], tmp_path, [by_pydicom(one, **WINDOW) for one in CT], ".png")


@situation(
    "folders per class with DICOM files named by their UID, without an ending",
    "all are found; an index of files (DICOMDIR) is none",
)
def test_names_without_endings(ask: Asking, tmp_path: Path) -> None:
    for at in range(8):
        place = tmp_path / "set" / ("benign", "malignant")[at % 2]
        place.mkdir(parents=True, exist_ok=True)
        (place / str(generate_uid())).write_bytes(dicom(smooth(at, 4095), BitsStored=12))
        (place / "notes.txt").write_text("nothing")
        (place / "DICOMDIR").write_bytes(b"\0" * 128 + b"DICM")
    answer = ask("look", tmp_path / "set")
    assert answer.code == 0, answer.err
    assert "8 images" in answer.out


@situation("DICOM in big-endian order", "read")
def test_big_endian(tmp_path: Path) -> None:
    files: list[bytes] = []
    for one in CT:
        made = dataset(one, BitsStored=12, **WINDOW)
        made.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
        made.PixelData = one.astype(">u2").tobytes()
        made["PixelData"].VR = "OW"
        buffer = io.BytesIO()
        pydicom.dcmwrite(buffer, made, implicit_vr=False, little_endian=False)
        files.append(buffer.getvalue())
    agrees(files, tmp_path, [by_pydicom(one, BitsStored=12, **WINDOW) for one in CT])


# More than 16 bit.


@situation(
    "32-bit DICOM without a window, values to 4,095",
    "shown like the same values in 16 bit, not black; no image is called a copy",
)
def test_many_bits(tmp_path: Path) -> None:
    wide = shown(image_set(tmp_path / "wide", [dicom(one.astype(np.uint32)) for one in CT]))
    np.testing.assert_array_equal(wide, shown(image_set(tmp_path / "deep", [dicom(one) for one in CT])))
    np.testing.assert_allclose(wide[:, 0], np.stack(CT) / 4095, atol=2e-5)


@situation("signed 32-bit DICOM without a window", "shown like signed 16 bit")
def test_many_signed_bits(tmp_path: Path) -> None:
    signed = [smooth(at, 1000, np.int32, least=-1000) for at in range(N)]
    wide = shown(image_set(tmp_path / "wide", [dicom(one) for one in signed]))
    np.testing.assert_allclose(wide[:, 0], (np.stack(signed) + 1024) / 2047, atol=2e-5)  # 11 bits


@situation(
    "32-bit DICOM with values beyond 16 bit and without a window", "over the image's own range, which is reported"
)
def test_values_of_many_bits(tmp_path: Path) -> None:
    large = [smooth(at, 3_000_000_000, np.uint32) for at in range(N)]
    table = image_set(tmp_path / "set", [dicom(one) for one in large])
    np.testing.assert_allclose(shown(table)[:, 0], np.stack(large) / 3e9, atol=2e-5)


@situation("DICOM of floats (FloatPixelData)", "read, over the image's own range, or by its window")
def test_floats(tmp_path: Path) -> None:
    floats = [smooth(at, 1000).astype(np.float32) / 10 for at in range(N)]
    agrees([dicom(one) for one in floats], tmp_path, [one / 100 for one in floats])
    window = {"WindowCenter": 50, "WindowWidth": 20, "VOILUTFunction": "LINEAR_EXACT"}
    agrees(
        [dicom(one, **window) for one in floats],
        tmp_path / "two",
        [np.clip((one - 50.0) / 20 + 0.5, 0, 1) for one in floats],
    )


# Compression.


def compressed(values: np.ndarray, kind: str, bits: int = 12) -> bytes:
    """A DICOM file of a frame that imagecodecs, or for RLE pydicom, encoded."""
    made = dataset(values, BitsStored=bits)
    if kind == "RLE":
        made.compress(RLELossless, encoding_plugin="pydicom")
        return written(made)
    made.PixelData = encapsulate([ENCODERS[kind][1](values)])
    made["PixelData"].VR, made["PixelData"].is_undefined_length = "OB", True
    made.file_meta.TransferSyntaxUID = ENCODERS[kind][0]
    return written(made)


ENCODERS: dict[str, tuple[str, Callable[[np.ndarray], bytes]]] = {
    "JPEG Lossless": (JPEGLosslessSV1, partial(imagecodecs.ljpeg_encode, bitspersample=12)),
    "JPEG-LS": (JPEGLSLossless, imagecodecs.jpegls_encode),
    "JPEG 2000": (
        JPEG2000Lossless,
        partial(imagecodecs.jpeg2k_encode, codecformat="j2k", bitspersample=12, reversible=True, level=0),
    ),
    "JPEG of 12 bit": (JPEGExtended12Bit, partial(imagecodecs.jpeg_encode, level=95, bitspersample=12)),
}


@pytest.mark.parametrize("kind", [*ENCODERS, "RLE"])
@situation(
    "DICOM as JPEG Lossless, JPEG of 12 bit, JPEG-LS, JPEG 2000 or RLE",
    "read, with the decoders of the extra `medical`",
)
def test_compressed(tmp_path: Path, kind: str) -> None:
    lossy = kind == "JPEG of 12 bit"
    agrees([compressed(one, kind) for one in CT], tmp_path, [one / 4095 for one in CT], tol=0.02 if lossy else 2e-5)


@pytest.mark.parametrize("kind", ["DICOM", "TIFF"])
@situation(
    "DICOM as JPEG Lossless, or 16-bit TIFF with LZW, whose decoder is not installed",
    "refused, with the package and the line that installs it; not called damaged",
)
def test_no_decoder(ask: Asking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    if kind == "DICOM":
        table = image_set(tmp_path / "set", [compressed(one, "JPEG Lossless") for one in CT])
        monkeypatch.setattr(get_decoder(JPEGLosslessSV1), "_available", {})  # as pydicom finds without packages
    else:
        files = [encoded(Image.fromarray(one), "TIFF", compression="tiff_lzw") for one in CT]
        table = image_set(tmp_path / "set", files, ".tif")
        monkeypatch.setitem(sys.modules, "imagecodecs", None)
        monkeypatch.setattr("tifffile.tifffile.imagecodecs", _imagecodecs)  # tifffile's own stand-in
        monkeypatch.setattr(tifffile.TIFF.DECOMPRESSORS, "_codecs", {1: bytes})
    answer = ask("look", table)
    assert answer.code == 2
    assert "imagecodecs" in answer.err
    assert "pip install 'assay-imaging[medical]'" in answer.err
    assert {"DICOM": "0.dcm", "TIFF": "0.tif"}[kind] in answer.err
    assert "damaged" not in answer.err


@situation("the machine's decoders", "`assay doctor` lists them, and how to install those that are missing")
def test_doctor(ask: Asking) -> None:
    found = {one["what"]: one for one in json.loads(ask("doctor", "--json").out)}
    names = ("JPEG Lossless", "JPEG of 12 bit", "JPEG-LS", "JPEG 2000", "HTJ2K", "LZW")
    assert all(name in found["decoders"]["found"] for name in names)


@situation("DICOM whose RescaleSlope is empty", "refused with that cause")
def test_empty_slope(ask: Asking, tmp_path: Path) -> None:
    answer = ask("look", image_set(tmp_path / "set", [dicom(one, RescaleSlope=None, RescaleIntercept=0) for one in CT]))
    assert answer.code == 2
    assert "RescaleSlope is empty" in answer.err
    assert "damaged" not in answer.err


@situation("a DICOM or TIFF file that is cut short", "refused as damaged, or with the number of bytes that lack")
def test_cut_short(ask: Asking, tmp_path: Path) -> None:
    files = [dicom(one) for one in CT]
    tiffs = [encoded(Image.fromarray(one), "TIFF", compression="tiff_lzw") for one in CT]
    cut = {
        ".dcm": ([files[0][:-300], *files[1:]], "less than expected"),
        ".tif": ([tiffs[0][:-200], *tiffs[1:]], "damaged"),
    }
    for ending, (some, why) in cut.items():
        answer = ask("look", image_set(tmp_path / ending[1:], some, ending))
        assert f"left-out: 0{ending}" in answer.out
        assert why in Path("looks", ending[1:], "report.html").read_text()


# Color and polarity of DICOM.


@situation("MONOCHROME1 in a set of MONOCHROME2", "inverted, so that both look alike")
def test_monochrome1(tmp_path: Path) -> None:
    kinds = ["MONOCHROME1", "MONOCHROME2"] * 2
    files = [dicom(one, PhotometricInterpretation=kind, **WINDOW) for one, kind in zip(CT, kinds, strict=True)]
    right = [by_pydicom(one, PhotometricInterpretation=kind, **WINDOW) for one, kind in zip(CT, kinds, strict=True)]
    agrees(files, tmp_path, right)


RGB = [np.dstack([smooth(3 * at + plane, 255, np.uint8) for plane in range(3)]) for at in range(N)]


@situation("DICOM in color of 16 bit", "read as RGB of 16 bit, over the range of its stored bits")
def test_deep_colors(tmp_path: Path) -> None:
    agrees(
        [dicom(one.astype(np.uint16) * np.uint16(257)) for one in RGB], tmp_path / "deep", [one / 255 for one in RGB]
    )


@situation("DICOM in color by planes, in YBR or with a palette", "read as RGB, as pydicom does")
def test_colors(tmp_path: Path) -> None:
    planar = [dicom(one, PlanarConfiguration=1, PixelData=np.moveaxis(one, -1, 0).tobytes()) for one in RGB]
    agrees(planar, tmp_path / "planar", [one / 255 for one in RGB])
    ybr = [
        dicom(np.asarray(Image.fromarray(one).convert("YCbCr")), PhotometricInterpretation="YBR_FULL") for one in RGB
    ]
    agrees(ybr, tmp_path / "ybr", [one / 255 for one in RGB], tol=0.02)
    ramp = np.arange(256, dtype=np.uint16)
    luts = {"Red": ramp * 257, "Green": ramp[::-1] * 257, "Blue": (ramp // 2) * 257}
    tags: dict[str, Any] = {"PhotometricInterpretation": "PALETTE COLOR"}
    for name, lut in luts.items():
        tags[f"{name}PaletteColorLookupTableDescriptor"] = [256, 0, 16]
        tags[f"{name}PaletteColorLookupTableData"] = lut.astype("<u2").tobytes()
    gray = [smooth(at, 255, np.uint8) for at in range(N)]
    palette = [dataset(one, **tags) for one in gray]
    right = [apply_color_lut(one, made) / 65535 for one, made in zip(gray, palette, strict=True)]
    agrees([written(made) for made in palette], tmp_path / "palette", right, tol=3e-3)


def palette(indices: np.ndarray, depth: int, entries: int, data: bytes, name: str = "") -> bytes:
    made = dataset(indices, PhotometricInterpretation="PALETTE COLOR")
    for color in ("Red", "Green", "Blue"):
        setattr(made, f"{color}PaletteColorLookupTableDescriptor", [entries, 0, depth])
        setattr(made, f"{name}{color}PaletteColorLookupTableData", data)
    return written(made)


@situation(
    "a DICOM palette of 8 bit in words of 16, of other lengths than 256, shorter than the indices, or in segments",
    "read as PS3.3 says: the last color is that of all greater indices",
)
def test_odd_palettes(tmp_path: Path) -> None:
    ramp, few, many = (
        np.arange(256),
        [smooth(at, 255, np.uint8) for at in range(N)],
        [smooth(at, 999) for at in range(N)],
    )
    words = np.array([0, 1, 0, 1, 255, 255 * 257], "<u2").tobytes()  # 0, and in 255 steps to the brightest
    kinds = {
        "words": ([palette(one, 8, 256, ramp.astype("<u2").tobytes()) for one in few], few),
        "long": ([palette(one, 8, 1000, (np.arange(1000) // 4).astype("u1").tobytes()) for one in many],
                 [one // 4 for one in many]),
        "short": ([palette(one, 8, 256, ramp.astype("u1").tobytes()) for one in many],
                  [np.minimum(one, 255) for one in many]),
        "segments": ([palette(one, 16, 256, words, "Segmented") for one in few], few),
    }  # fmt: skip
    for kind, (files, right) in kinds.items():
        agrees(files, tmp_path / kind, [one / 255 for one in right], tol=3e-3)


@situation("DICOM whose HighBit or color space contradicts its pixels", "left out, with these attributes")
def test_contradictions(tmp_path: Path, ask: Asking) -> None:
    shifted = dataset(CT[0] * 16, BitsStored=12)
    shifted.HighBit = 15
    wrong = {
        "its HighBit is 15 and its BitsStored 12": written(shifted),
        "its color space is 'HSV' with SamplesPerPixel 3": dicom(RGB[0], PhotometricInterpretation="HSV"),
    }
    for at, (words, file) in enumerate(wrong.items()):
        image_set(folder := tmp_path / str(at), [file, *map(dicom, CT)])
        answer = ask("look", folder, "--target", "label", "--json")
        assert words in answer.out + answer.err


# TIFF.


def tiff(values: np.ndarray, **options: Any) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, values, **options)
    return buffer.getvalue()


TIFFS: dict[str, Callable[[np.ndarray], bytes]] = {
    "LZW": lambda one: tiff(one, compression="lzw"),
    "LZW and differences": lambda one: tiff(one, compression="lzw", predictor=True),
    "deflate, tiles": lambda one: tiff(one, compression="zlib", tile=(16, 16)),
    "zstd": lambda one: tiff(one, compression="zstd"),
    "white is zero": lambda one: tiff(65535 - one, photometric="miniswhite"),
    "big TIFF": lambda one: tiff(one, bigtiff=True),
    "float": lambda one: tiff(one.astype(np.float32) / 65535),
}


@pytest.mark.parametrize("kind", TIFFS)
@situation("16-bit and float TIFF: LZW, deflate, zstd, tiles, white is zero, BigTIFF", "read, as tifffile reads it")
def test_deep_tiff(tmp_path: Path, kind: str) -> None:
    values = [smooth(at, 65535) for at in range(N)]
    agrees([TIFFS[kind](one) for one in values], tmp_path, [one / 65535 for one in values], ".tif")


@situation("8-bit TIFF by planes, in CMYK or with five channels", "read as RGB, as Pillow and tifffile read it")
def test_color_tiff(tmp_path: Path) -> None:
    planar = [tiff(np.moveaxis(one, -1, 0), photometric="rgb", planarconfig="separate") for one in RGB]
    agrees(planar, tmp_path / "planar", [one / 255 for one in RGB], ".tif")
    inks = [Image.fromarray(one).convert("CMYK") for one in RGB]
    agrees(
        [encoded(one, "TIFF") for one in inks],
        tmp_path / "cmyk",
        [np.asarray(one.convert("RGB")) / 255 for one in inks],
        ".tif",
    )
    five = [tiff(np.dstack([one, one[..., :2]]), photometric="rgb", extrasamples=(0, 0)) for one in RGB]
    agrees(five, tmp_path / "five", [one / 255 for one in RGB], ".tif")


@situation("a TIFF of several pages", "refused, with the number of pages")
def test_pages(ask: Asking, tmp_path: Path) -> None:
    pages = [tiff(np.stack([one, one]), photometric="minisblack") for one in CT]
    answer = ask("look", image_set(tmp_path / "set", pages, ".tif"))
    assert answer.code == 2
    assert "2 frames" in answer.err


@situation("signed 8-bit TIFF with negative values", "refused with its range, since no range is declared")
def test_signed_tiff(ask: Asking, tmp_path: Path) -> None:
    files = [tiff(smooth(at, 100, np.int8, least=-100)) for at in range(N)]
    answer = ask("look", image_set(tmp_path / "set", files, ".tif"))
    assert answer.code == 2
    assert "-100 to 100" in answer.err


# NIfTI, PNG and JPEG.


@situation(
    "NIfTI slices whose affine runs to the left",
    "turned, as nibabel's `as_closest_canonical`; image and mask stay together",
)
def test_nifti_orientation(tmp_path: Path) -> None:
    values = [smooth(at, 255, np.uint8)[: SIDE - 4] for at in range(N)]
    affines = [np.diag([1, 1, 1, 1.0]), np.diag([-1, 1, 1, 1.0]), np.diag([-1, -1, 1, 1.0]),
               np.array([[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])]  # fmt: skip
    images = [nibabel.Nifti1Image(one[..., None], affine) for one, affine in zip(values, affines, strict=True)]
    turned = [np.asarray(nibabel.as_closest_canonical(one).dataobj)[..., 0] for one in images]
    found = shown(image_set(tmp_path / "set", [one.to_bytes() for one in images], ".nii"))
    for at, one in enumerate(turned):
        right = one.T[::-1] / 255
        down, across = ((SIDE - side) // 2 for side in right.shape)
        there = found[at, 0, down : down + right.shape[0], across : across + right.shape[1]]
        np.testing.assert_allclose(there, right, atol=1e-6)


@situation("NIfTI with slope and intercept, and cal_min and cal_max", "read as nibabel scales it, over that range")
def test_nifti_scale(tmp_path: Path) -> None:
    files: list[bytes] = []
    right: list[np.ndarray] = []
    for at in range(N):
        image = nibabel.Nifti1Image(smooth(at, 300).astype(np.float64) - 50.5, np.eye(4))
        image.set_data_dtype(np.int16)
        image.header["cal_min"], image.header["cal_max"] = -50.5, 249.5
        files.append(image.to_bytes())
        values = nibabel.Nifti1Image.from_bytes(files[-1]).get_fdata()
        right.append((values.T[::-1] + 50.5) / 300)
    agrees(files, tmp_path, right, ".nii")


def png(values: np.ndarray, color: int, more: bytes = b"", depth: int = 16) -> bytes:
    """A PNG of these rows by the chunks of its specification."""
    rows = b"".join(b"\0" + row.astype(">u2" if depth == 16 else "u1").tobytes() for row in values)
    head = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], depth, color, 0, 0, 0)
    chunks = [(b"IHDR", head), *([(b"tRNS", more)] if more else []), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    )


@situation("16-bit gray PNG with a transparent level", "that level lies over black, all 16 bits are kept")
def test_transparent_level(tmp_path: Path) -> None:
    values = [smooth(at, 65535) for at in range(N)]
    files = [png(one, 0, struct.pack(">H", 65535)) for one in values]
    agrees(files, tmp_path, [np.where(one == 65535, 0, one) / 65535 for one in values], ".png")


@situation("gray PNG with alpha, and interlaced PNG", "transparency lies over black; interlacing changes nothing")
def test_alpha(tmp_path: Path) -> None:
    gray = [smooth(at, 255, np.uint8) for at in range(N)]
    half = [Image.merge("LA", (Image.fromarray(one), Image.new("L", (SIDE, SIDE), 128))) for one in gray]
    agrees([encoded(one, "PNG") for one in half], tmp_path, [one / 255 * 128 / 255 for one in gray], ".png", tol=5e-3)


@situation("JPEG in CMYK, as Photoshop writes it", "read as RGB, as Pillow reads it")
def test_cmyk_jpeg(tmp_path: Path) -> None:
    files = [encoded(Image.fromarray(one).convert("CMYK"), "JPEG", quality=95) for one in RGB]
    right = [np.asarray(Image.open(io.BytesIO(one)).convert("RGB")) / 255 for one in files]
    agrees(files, tmp_path, right, ".jpg", tol=2e-2)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
@situation("PNG, TIFF or WebP with an orientation in XMP, but none in EXIF", "not turned, as in viewers")
def test_xmp(tmp_path: Path, kind: str) -> None:
    text = '<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/>'
    (chunks := PngInfo()).add_itxt("XML:com.adobe.xmp", text)
    (tags := ImageFileDirectory_v2())[700] = text.encode()
    options: dict[str, Any] = {
        "PNG": {"pnginfo": chunks},
        "TIFF": {"tiffinfo": tags},
        "WEBP": {"xmp": text.encode(), "lossless": True},
    }[kind]
    values = [smooth(at, 255, np.uint8)[:12] for at in range(N)]
    right = [np.pad(one / 255, ((6, 6), (0, 0))) for one in values]
    agrees([encoded(one, kind, **options) for one in values], tmp_path, right, f".{kind.lower()}", tol=1e-5)


@pytest.mark.parametrize("orientation", [2, 3, 5, 6, 8])
@situation("JPEG, PNG or TIFF with an orientation in EXIF", "turned, as viewers do")
def test_exif(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    gray = [smooth(at, 255, np.uint8) for at in range(N)]
    files = [encoded(one, kind, exif=exif) for one, kind in zip(gray, ("PNG", "TIFF", "PNG", "TIFF"), strict=True)]
    right = [np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(one)))) / 255 for one in files]
    agrees(files, tmp_path, right, ".png")


@pytest.mark.parametrize("kind", ["DICOM", "NIfTI"])
@situation(
    "DICOM of 32 bit without a window, or NIfTI without cal_min and cal_max",
    "each is scaled from its own minimum to its maximum, and a caution before the answer says so",
)
def test_gray_values_of_each_image_alone(ask: Asking, tmp_path: Path, kind: str) -> None:
    deep = [smooth(at, 4095).astype(np.uint32) * 1000 * (1 + at) for at in range(N)]
    dicoms = [dicom(one, BitsAllocated=32, BitsStored=32, HighBit=31) for one in deep]
    niftis = [nibabel.Nifti1Image(one.astype(np.float32), np.eye(4)).to_bytes() for one in deep]
    files, ending = (dicoms, ".dcm") if kind == "DICOM" else (niftis, ".nii")
    said = ask("look", image_set(tmp_path / "set", files, ending)).out
    assert "caution: gray values: " in said
    assert f"({N} images): equal values differ between images" in said


def _class_folders(folder: Path) -> Path:
    for at in range(12):
        place = folder / ("benign", "malignant")[at % 2]
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{at}.png").write_bytes(encoded(smooth(at, 255, np.uint8), "PNG"))
    return folder


@situation(
    "folders of earlier runs of Assay, with pictures and pages, among the images and classes",
    "passed over, and it says how many",
)
def test_runs_among_the_images(ask: Asking, tmp_path: Path) -> None:
    folder = _class_folders(tmp_path / "set")
    for place in (folder / "benign" / "run", folder / "look"):
        assert ask("look", folder, "--out", place).code == 0
        (place / "pictures").mkdir(exist_ok=True)
        (place / "pictures" / "pair.png").write_bytes(encoded(smooth(1, 255, np.uint8), "PNG"))
    said = ask("look", folder, "--out", tmp_path / "look").out
    assert "12 images" in said
    assert "2 folders with what Assay wrote are skipped" in said


@situation(
    "the cache of Assay in the folder of images that a table names without endings",
    "its arrays count as no images",
)
def test_the_cache_among_the_images(ask: Asking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = _class_folders(tmp_path / "set")
    monkeypatch.setenv("ASSAY_CACHE", str(folder / "cache"))
    rows = [f"{path.stem},{path.parent.name}" for path in sorted(folder.glob("*/*.png"))]
    (folder / "meta.csv").write_text("\n".join(["image,target", *rows]) + "\n")
    assert ask("look", folder / "meta.csv", "--out", tmp_path / "first").code == 0
    assert list((folder / "cache").glob("*.npy"))
    said = ask("look", folder / "meta.csv", "--out", tmp_path / "second").out
    assert "have no row" not in said
    assert "12 of 12 names match only where" in said
    assert "1 folder with what Assay wrote is skipped" in said


@pytest.mark.parametrize("ending", ["heic", "czi", "svs", "avif"])
@situation(
    "files with the ending of an image that Assay cannot read (.heic, .avif, .czi, .svs) in folders of classes",
    "counted and named as left out in a look, and refused by name in an audit",
)
def test_images_of_other_formats(ask: Asking, tmp_path: Path, ending: str) -> None:
    folder = _class_folders(tmp_path / "set")
    (folder / "benign" / f"x.{ending}").write_bytes(b"\0\0\0 ftypheic and more")
    said = ask("look", folder).out
    assert "left out: 1 of 13 images, such as" in said
    assert f"x.{ending}" in said
    with pytest.raises(DataError, match=rf"x\.{ending}.*it is no PNG"):
        assay.audit(mean, folder, size=SIDE, positive="malignant", out=tmp_path / "out", progress=False)


@situation("a text file that is called .dcm", "refused by name, as no image")
def test_no_image(ask: Asking, tmp_path: Path) -> None:
    table = image_set(tmp_path / "set", [b"a list of findings", *(dicom(one) for one in CT[1:])])
    answer = ask("look", table)
    assert "left-out: 0.dcm" in answer.out
    with pytest.raises(DataError, match="it is no PNG, JPEG"):
        shown(table)


# One range for all files of a set.

HOUNSFIELD = [smooth(at, 2000, np.int32, least=-1000) for at in range(6)]


def _stored(values: np.ndarray, slope: float, intercept: float, bits: int, **tags: Any) -> bytes:
    """A DICOM file of physical values."""
    rescale = {} if (slope, intercept) == (1, 0) else {"RescaleSlope": slope, "RescaleIntercept": intercept}
    numbers = np.round((values - intercept) / slope).astype(np.int16 if bits < 0 else np.uint16)
    return dicom(numbers, BitsStored=abs(bits), **rescale, **tags)


UNLIKE: dict[str, Sequence[tuple[float, float, int]]] = {
    "12 and 13 bit": [(1, -1024, 12), (1, -1024, 13)],
    "intercept": [(1, -1024, 12), (1, -2000, 12)],
    "slope by slice, as in PET": [(0.5, -1000, 16), (0.7, -1000, 16), (0.9, -1000, 16)],
    "signed and unsigned": [(1, 0, -16), (1, -1024, 16)],
    "negative slope": [(1, -1024, 12), (-1, 3000, 12), (-1, 4000, 16)],
}


@pytest.mark.parametrize("kind", UNLIKE)
@situation(
    "DICOM files without a window that differ in BitsStored, slope or intercept (PET: by slice)",
    "one range for all, which is reported: equal values, such as Hounsfield units, are equal pixels",
)
def test_one_range(ask: Asking, tmp_path: Path, kind: str) -> None:
    headers = [UNLIKE[kind][at % len(UNLIKE[kind])] for at in range(6)]
    files = [_stored(one, *header) for one, header in zip(HOUNSFIELD, headers, strict=True)]
    values = np.stack([apply_modality_lut(one.pixel_array, one) for one in map(_opened, files)])
    table = image_set(tmp_path / "set", files)
    pixels = shown(table)[:, 0]
    slope, start = np.polyfit(values.ravel(), pixels.ravel(), 1)
    assert slope * np.ptp(values) > 0.05  # and not black
    np.testing.assert_allclose(pixels, slope * values + start, atol=1e-4)
    assert "6 DICOM images without a window are shown from " in ask("look", table).out


def _opened(file: bytes) -> pydicom.FileDataset:
    return pydicom.dcmread(io.BytesIO(file))


@situation(
    "MONOCHROME1 and MONOCHROME2 with different slopes, and images that are not square",
    "one range as well: the first is inverted, padding is black",
)
def test_one_range_inverted(tmp_path: Path) -> None:
    wide = [one[: SIDE // 2] for one in HOUNSFIELD]
    headers = [(1, -1024, 12, "MONOCHROME1"), (1, -2000, 12, "MONOCHROME2")] * 3
    files = [
        _stored(one, *some, PhotometricInterpretation=kind) for one, (*some, kind) in zip(wide, headers, strict=True)
    ]
    found = shown(image_set(tmp_path / "set", files))[:, 0]
    inside = found[:, SIDE // 4 : SIDE // 4 + SIDE // 2]
    right = (np.stack(wide) + 2000) / (3071 + 2000)
    right[::2] = 1 - right[::2]
    np.testing.assert_allclose(inside, right, atol=2e-4)
    assert found.sum() == inside.sum()


@pytest.mark.parametrize("bits", [12, 16])
@situation(
    "DICOM files that are alike in BitsStored, slope and intercept, or of 16 bit with values of 12",
    "nothing is reported, and nothing is asked",
)
def test_uniform_series(ask: Asking, tmp_path: Path, bits: int) -> None:
    files = [_stored(one, 1, -1024, 12 if at % 2 else bits) for at, one in enumerate(HOUNSFIELD)]
    assert "gray values" not in ask("look", image_set(tmp_path / "set", files)).out


@pytest.mark.parametrize("width", [0, 0.5])
@situation("DICOM whose WindowWidth is 0 or under 1", "refused with that cause, and what to write")
def test_no_width(ask: Asking, tmp_path: Path, width: float) -> None:
    files = [_stored(one, 1, -1024, 12, WindowCenter=0, WindowWidth=width) for one in HOUNSFIELD]
    assert f"its WindowWidth is {width:g}; write a width" in ask("look", image_set(tmp_path / "set", files)).err


@pytest.mark.parametrize("kind", ["windows", "some without", "NIfTI"])
@situation(
    "DICOM files with different windows, or some without one; NIfTI with different cal_min and cal_max",
    "each is shown by its own, as viewers do, and a caution says that equal values differ",
)
def test_different_windows(ask: Asking, tmp_path: Path, kind: str) -> None:
    files: list[bytes] = []
    for at, one in enumerate(HOUNSFIELD):
        window = {"WindowCenter": 40 + at % 2, "WindowWidth": 400} if kind == "windows" or at % 2 else {}
        files.append(_stored(one, 1, -1024, 12, **window))
        if kind == "NIfTI":
            image = nibabel.Nifti1Image(one.astype(np.int16), np.eye(4))
            image.header["cal_min"], image.header["cal_max"] = -1000, 1000 + at % 2
            files[-1] = image.to_bytes()
    said = ask("look", image_set(tmp_path / "set", files, ".nii" if kind == "NIfTI" else ".dcm")).out
    assert "caution: gray values: headers show" in said
    assert "equal values differ between images; give all the same window, or none" in said


@situation("DICOM without PhotometricInterpretation", "left out with that cause, and what to write")
def test_no_meaning_of_values(ask: Asking, tmp_path: Path) -> None:
    made = dataset(CT[0])
    del made.PhotometricInterpretation
    said = ask("look", image_set(tmp_path / "set", [written(made)] * 4)).err
    assert "it has no PhotometricInterpretation" in said
    assert "MONOCHROME2 where large values are bright" in said


@pytest.mark.parametrize(("every", "most"), [(2, 65_000), (10, 65_000), (10, 10_000), (100, 65_000)])
@situation(
    "16-bit files of which some hold values of 12 bit and others of 16, as of two devices",
    "one range for all, with a caution that the former are 16 times darker",
)
def test_files_of_several_depths(ask: Asking, tmp_path: Path, every: int, most: int) -> None:
    draw = np.random.default_rng(0)
    files: list[bytes] = []
    for at in range(40):
        top = 4_000 if at % every == 0 else most
        pixels = smooth(at, top) // 2 + draw.integers(0, top // 2, (SIDE, SIDE))
        files.append(encoded(pixels.astype(np.uint16), "PNG"))
    said = ask("look", image_set(tmp_path / "set", files, ".png")).out
    count = f"{40 // every} 16-bit images hold values of up to 12 bit, {40 - 40 // every} of 16 bit and more"
    assert (count in said) == (every < 100 and most > 60_000)
    assert ("times darker" in said) == (count in said)


@pytest.mark.parametrize("kind", ["DICOM", "16-bit PNG"])
@situation(
    "a further set to test on, or training images, whose files have another range (slope, or the bits of 16-bit files)",
    "shown over the range of the first set: equal values are equal pixels in both",
)
def test_one_range_in_both_sets(tmp_path: Path, kind: str) -> None:
    values = [smooth(at, 2000 if at < 40 else 1000, np.int32) for at in range(50)]
    ending = ".dcm" if kind == "DICOM" else ".png"
    if kind == "DICOM":
        files = [_stored(one, *((1, 0, 12) if at < 40 else (0.5, -100, 12))) for at, one in enumerate(values)]
        values[40:] = [apply_modality_lut(one.pixel_array, one) for one in map(_opened, files[40:])]
    else:
        files = [encoded(one.astype(np.uint16), "PNG") for one in values]
    calls: list[np.ndarray] = []

    def model(images: np.ndarray) -> np.ndarray:
        calls.append(images[:, 0].copy())
        return mean(images)

    first, second = (
        image_set(tmp_path / name, some, ending) for name, some in {"set": files[:40], "train": files[40:]}.items()
    )
    assay.audit(model, first, train=second, size=SIDE, out=tmp_path / "out", progress=False, as_given=True)
    seen = np.concatenate(calls)
    for one in values:
        right = one / (4095 if kind == "DICOM" else 2047)
        assert np.abs(seen - right).max(axis=(1, 2)).min() < 2e-4


@pytest.mark.parametrize("kind", ["complex", "pickle", "dates", "complex TIFF"])
@situation(
    "NumPy arrays of complex numbers, of dates or of Python objects (a pickle), and complex TIFF",
    "refused by what they hold: no part is dropped, and no pickle is opened",
)
def test_no_numbers(ask: Asking, tmp_path: Path, kind: str) -> None:
    arrays: dict[str, np.ndarray] = {
        "complex": CT[0] / 4095 + 0.5j, "pickle": CT[0].astype(object),
        "dates": CT[0].astype("datetime64[s]"), "complex TIFF": (CT[0] / 4095 + 0.5j).astype(np.complex64),
    }  # fmt: skip
    buffer = io.BytesIO()
    if kind == "complex TIFF":
        tifffile.imwrite(buffer, arrays[kind])
    else:
        np.save(buffer, arrays[kind], allow_pickle=True)
    said = ask("look", image_set(tmp_path / "set", [buffer.getvalue()] * 4, ".npy")).err
    why = {"complex": "complex numbers", "pickle": "Python objects", "dates": "type datetime64"}
    assert why[kind.partition(" ")[0]] in said


@pytest.mark.parametrize("options", [{"planarconfig": "contig"}, {"planarconfig": "separate"}])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@situation(
    "a gray TIFF of several channels, as of a microscope, of 8 or 16 bit",
    "refused, with the number of channels: the first is not taken alone",
)
def test_gray_channels(ask: Asking, tmp_path: Path, dtype: Any, options: dict[str, str]) -> None:
    planes = [np.stack([smooth(at + step, 255, dtype) for step in range(3)]) for at in range(N)]
    planes = [np.moveaxis(each, 0, -1) if options["planarconfig"] == "contig" else each for each in planes]
    table = image_set(tmp_path / "set", [tiff(each, photometric="minisblack", **options) for each in planes], ".tif")
    said = ask("look", table)
    assert said.code == 2
    assert "it holds 3 channels, and does not say that they are red, green and blue" in said.err


@situation("a stack of ImageJ whose frames have no pages of their own", "refused, with the number of frames")
def test_stack_of_imagej(ask: Asking, tmp_path: Path) -> None:
    stacks = [np.stack([smooth(at + step, 255, np.uint8) for step in range(3)]) for at in range(N)]
    files = [tiff(each, imagej=True, truncate=True) for each in stacks]
    with tifffile.TiffFile(io.BytesIO(files[0])) as file:
        assert (len(file.pages), file.series[0].shape[0]) == (1, 3)
    said = ask("look", image_set(tmp_path / "set", files, ".tif"))
    assert said.code == 2
    assert "it holds 3 frames" in said.err


def _npy(values: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, values)
    return buffer.getvalue()


@situation(
    "NumPy arrays of four channels, as of four MR sequences",
    "refused, unless the fourth is an opaque alpha, which is left out",
)
def test_four_channels(ask: Asking, tmp_path: Path) -> None:
    four = [np.stack([smooth(at + step, 255, np.uint8) for step in range(4)], axis=-1) for at in range(N)]
    for name, arrays in {"last": four, "first": [np.moveaxis(each, -1, 0) for each in four]}.items():
        said = ask("look", image_set(tmp_path / name, [_npy(each) for each in arrays], ".npy"))
        assert said.code == 2
        assert "it has 4 channels, of which the last is no opaque alpha" in said.err
    for each in four:
        each[..., 3] = 255
    agrees([_npy(each) for each in four], tmp_path / "alpha", [each[..., :3] / 255 for each in four], ".npy")


@situation("NumPy arrays of 16 bit in big-endian order", "read like those in the usual order")
def test_big_endian_arrays(tmp_path: Path) -> None:
    usual = shown(image_set(tmp_path / "usual", [_npy(one) for one in CT], ".npy"))
    other = shown(image_set(tmp_path / "other", [_npy(one.astype(">u2")) for one in CT], ".npy"))
    np.testing.assert_array_equal(other, usual)


def _ct(at: int, sign: bool = True) -> np.ndarray:
    """Hounsfield units of a slice with air, fat, water and bone, and with noise; without a sign: modulo 12 bit."""
    draw = np.random.default_rng(at)
    units = smooth(at, 900, np.int32, -1000) + draw.integers(-8, 8, (SIDE, SIDE))
    return units if sign else units % 4096


def _of_ct(values: np.ndarray, intercept: int = 0, **tags: Any) -> bytes:
    rescale = {"RescaleSlope": 1, "RescaleIntercept": intercept}
    return dicom(values, **{"BitsStored": 12, "Modality": "CT", **rescale, **tags})


@pytest.mark.parametrize("kind", ["CT of 12 bit", "CT of 16 bit", "16-bit PNG", "padding of CT"])
@situation(
    "negative values that were stored without a sign, as of CT in RSNA's hemorrhage set or as 16-bit PNG",
    "a caution with their rows: air looks brighter than bone",
)
@situation("CT whose padding is as dense as bone, since its negative number lost its sign", "a caution with their rows")
def test_lost_signs(ask: Asking, tmp_path: Path, kind: str) -> None:
    files: list[bytes] = []
    for at in range(12):
        units, is_wrong = _ct(at), at % 3 == 0
        if kind == "CT of 12 bit":
            data = (
                _of_ct((units % 4096).astype(np.uint16))
                if is_wrong
                else _of_ct((units + 1024).astype(np.uint16), -1024)
            )
        elif kind == "CT of 16 bit":
            data = _of_ct(units.astype(np.uint16 if is_wrong else np.int16), BitsStored=16)
        elif kind == "16-bit PNG":
            data = encoded((units if is_wrong else units + 1024).astype(np.uint16), "PNG")
        else:
            padded = np.pad(units[4:-4, 4:-4] + 1024, 4, constant_values=4096 - 60 if is_wrong else 0)
            data = _of_ct(padded.astype(np.uint16), -1024)
        files.append(data)
    rows = "line 2, 5, 8, 11"
    said = ask("look", image_set(tmp_path / "set", files, ".png" if "PNG" in kind else ".dcm")).out
    caution = next(line for line in said.splitlines() if line.startswith("caution: gray values:"))
    assert ("padding around the image is shown bright" if "padding" in kind else "without a sign") in caution
    assert rows in caution


def _letters(values: np.ndarray, level: int) -> np.ndarray:
    marked = values.copy()
    marked[3:9:2, 3:12] = level
    return marked


SIGNED_OR_BRIGHT: dict[str, Callable[[int], bytes]] = {
    "signed": lambda at: _of_ct(_ct(at).astype(np.int16), BitsStored=16),
    "offset": lambda at: _of_ct((_ct(at) + 1024).astype(np.uint16), -1024),
    "letters": lambda at: dicom(_letters(smooth(at, 900), 4095), BitsStored=12),
    "metal": lambda at: _of_ct(_letters((_ct(at) + 1024).astype(np.uint16), 4095), -1024),
    "smooth marks": lambda at: dicom(np.where(smooth(at, 4095) > 3000, smooth(at, 4095), 100), BitsStored=12),
    "noise": lambda at: dicom(np.random.default_rng(at).integers(0, 65_536, (SIDE, SIDE)).astype(np.uint16)),
    "whole range": lambda at: dicom(smooth(at, 65_535)),
    "black surround": lambda at: dicom(np.pad(smooth(at, 65_535, least=40_000)[4:-4, 4:-4], 4)),
    "dark padding": lambda at: _of_ct(np.pad((_ct(at)[4:-4, 4:-4] + 1024).astype(np.uint16), 4), -1024),
}


@pytest.mark.parametrize("kind", SIGNED_OR_BRIGHT)
@situation("CT with a sign or an offset, bright letters, metal, noise and images of the whole range", "no such caution")
def test_no_lost_signs(ask: Asking, tmp_path: Path, kind: str) -> None:
    said = ask("look", image_set(tmp_path / "set", [SIGNED_OR_BRIGHT[kind](at) for at in range(12)])).out
    assert "without a sign" not in said
    assert "shown bright" not in said


def _ramp(at: int, most: int) -> np.ndarray:
    """An image of 96 px that rises to `most` in both directions, with some noise."""
    down, across = np.mgrid[:96, :96] + np.random.default_rng(at).random((2, 96, 96))
    return (most * (down + (1 + at / 12) * across) / (97 * (2 + at / 12))).astype(np.int64)


EIGHT_BITS: dict[str, Callable[[int], np.ndarray]] = {
    "usual": lambda at: _ramp(at, 255),
    "noise": lambda at: np.random.default_rng(at).integers(0, 256, (96, 96)),
    "letters": lambda at: _letters(_ramp(at, 200), 255),
    "drawing": lambda at: np.where(_ramp(at, 255) % 32 > 15, 250, 4) + _ramp(at, 9999) % 9 - 4,
}


@situation(
    "8-bit values that are remainders of 12 bit, but not so often that they look like noise",
    "a caution with their rows",
)
@situation("images of 8 bit with noise, bright letters, or of black and white alone", "no such caution")
def test_overflows_of_8_bit(ask: Asking, tmp_path: Path) -> None:
    def told(name: str, pictures: Sequence[np.ndarray]) -> str:
        files = [encoded(picture.astype(np.uint8), "PNG") for picture in pictures]
        return ask("look", image_set(tmp_path / name, files)).out

    often = np.stack([_ramp(at, 7000) for at in range(4)])
    assert "the remainders of greater values do (line 2, 3, 4, 5)" in told("often", [*often])
    said = told("set", [_ramp(at, 4095 if at % 3 == 0 else 255) for at in range(12)])
    assert "the remainders of greater values do (line 2, 5, 8, 11)" in said
    for name, drawn in EIGHT_BITS.items():
        assert "remainders" not in told(name, [drawn(at).clip(0, 255) for at in range(12)]), name


def _padded(at: int, **tags: Any) -> bytes:
    values = np.pad(smooth(at, 4000, least=600)[:, 5:], ((0, 0), (5, 0)))
    return dicom(values, BitsStored=12, **tags)


@situation("PixelPaddingValue of MONOCHROME1 images that is shown white", "a caution with their rows")
@situation("padding that is shown black, or a PixelPaddingValue that no pixel has", "no caution")
def test_bright_padding(ask: Asking, tmp_path: Path) -> None:
    inverted = {"PhotometricInterpretation": "MONOCHROME1"}
    for name, tags, is_said in (
        ("white", {**inverted, "PixelPaddingValue": 0}, True),
        ("black", {"PixelPaddingValue": 0}, False),
        ("none", {**inverted, "PixelPaddingValue": 4095}, False),
    ):
        table = image_set(tmp_path / name, [_padded(at, **tags) for at in range(8)])
        said = ask("look", table, "--out", f"{name}.run").out
        assert ("padding around the image is shown bright (line 2, 3, 4, 5, 6 and others)" in said) == is_said, name


@situation("PresentationLUTShape that contradicts PhotometricInterpretation", "the latter is used, with a caution")
def test_presentation(ask: Asking, tmp_path: Path) -> None:
    for photometric, shape, is_said in (
        ("MONOCHROME2", "INVERSE", True),
        ("MONOCHROME1", "IDENTITY", True),
        ("MONOCHROME2", "IDENTITY", False),
        ("MONOCHROME1", "INVERSE", False),
    ):
        name = f"{photometric}-{shape}"
        tags = {"BitsStored": 12, "PhotometricInterpretation": photometric, "PresentationLUTShape": shape}
        said = ask("look", image_set(tmp_path / name, [dicom(one, **tags) for one in CT]), "--out", f"{name}.run").out
        assert ("PresentationLUTShape contradicts" in said) == is_said, name
    values = [by_pydicom(one, BitsStored=12) for one in CT]
    agrees([dicom(one, BitsStored=12, PresentationLUTShape="INVERSE") for one in CT], tmp_path / "read", values)


def _jpeg_2000(values: np.ndarray, **tags: Any) -> bytes:
    made = dataset(values, **tags)
    made.file_meta.TransferSyntaxUID = JPEG2000Lossless
    stream = imagecodecs.jpeg2k_encode(values, level=0, reversible=True, codecformat="j2k")
    made.PixelData = encapsulate([stream])
    made["PixelData"].is_undefined_length = True
    return written(made)


@situation(
    "JPEG 2000 whose own sign contradicts PixelRepresentation", "read by the latter, as pydicom does, with a caution"
)
def test_sign_of_jpeg_2000(ask: Asking, tmp_path: Path) -> None:
    signed = [smooth(at, 1000, np.int16, -1000) for at in range(N)]
    for name, values, header, is_said in (
        ("signed", signed, 0, True), ("unsigned", CT, 1, True), ("both", signed, 1, False), ("none", CT, 0, False),
    ):  # fmt: skip
        files = [_jpeg_2000(one, PixelRepresentation=header) for one in values]
        said = ask("look", image_set(tmp_path / name, files), "--out", f"{name}.run").out
        assert ("JPEG 2000 states by itself" in said) == is_said, name


@situation("PET images in several units, BQML and SUV", "a caution with the number of each: equal values differ")
def test_units(ask: Asking, tmp_path: Path) -> None:
    for name, units in {"several": ("BQML", "GML"), "one": ("GML", "GML"), "CT": ("", "")}.items():
        files = [
            dicom(smooth(at, 30_000), Modality="PT", RescaleSlope=0.5, RescaleIntercept=0,
                  **({"Units": units[at % 2]} if units[0] else {"RescaleType": ("HU", "US")[at % 2]}))
            for at in range(12)
        ]  # fmt: skip
        said = ask("look", image_set(tmp_path / name, files), "--out", f"{name}.run").out
        assert ("in several units by their headers, BQML (6 images), GML (6 images)" in said) == (name == "several")
        assert ("several units" in said) == (name == "several")


@situation(
    "pixels that are not square by PixelAspectRatio or PixelSpacing of DICOM, or by the sizes of NIfTI",
    "shown as if they were, with a caution that has the ratio",
)
def test_pixels_that_are_not_square(ask: Asking, tmp_path: Path) -> None:
    gray = [smooth(at, 255, np.uint8) for at in range(8)]
    header = nibabel.Nifti1Image
    sets: dict[str, tuple[list[bytes], str]] = {
        "aspect": ([dicom(one, PixelAspectRatio=[2, 1]) for one in gray], "2"),
        "spacing": ([dicom(one, PixelSpacing=[0.2, 0.8]) for one in gray], "0.25"),
        "nifti": ([header(one[:, :, None], np.diag([1, 3, 1, 1])).to_bytes() for one in gray], "3"),
        "turned": ([header(one[:, :, None], np.array([[0, 3, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]))
                    .to_bytes() for one in gray], "0.333"),
        "square": ([dicom(one, PixelSpacing=[0.8, 0.8]) for one in gray], ""),
        "thick": ([header(one[:, :, None], np.diag([1, 1, 5, 1])).to_bytes() for one in gray], ""),
        "nearly": ([dicom(one, PixelSpacing=[0.8, 0.801]) for one in gray], ""),
    }  # fmt: skip
    for name, (files, ratio) in sets.items():
        ending = ".dcm" if name in ("aspect", "spacing", "square", "nearly") else ".nii"
        said = ask("look", image_set(tmp_path / name, files, ending), "--out", f"{name}.run").out
        assert ("caution: pixels:" in said) == bool(ratio), name
        assert f"8 images have pixels that are {ratio} times as high as wide" in said or not ratio, name


@situation("NIfTI whose sform and qform say that axes run in opposite directions", "refused with both directions")
@situation(
    "NIfTI whose sform and qform differ by a small turn, with only one of both, or with a damaged qform",
    "read by sform",
)
def test_forms_of_nifti(ask: Asking, tmp_path: Path) -> None:
    turn = np.array([[0.9, 0.43, 0, 0], [-0.43, 0.9, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    for name, qform, code, is_refused in (
        ("mirrored", np.diag([-1, 1, 1, 1]), 1, True),
        ("no code", np.diag([-1, 1, 1, 1]), 0, False),
        ("turned", turn, 1, False),
        ("behind", np.diag([1, 1, -1, 1]), 1, False),
        ("damaged", np.eye(4), 1, False),
    ):
        files: list[bytes] = []
        for at in range(N):
            image = nibabel.Nifti1Image(smooth(at, 255, np.uint8)[:, :, None], None)
            image.set_sform(np.eye(4), 1)
            image.set_qform(qform, code)
            if name == "damaged":
                image.header["quatern_b"] = 3  # no number of a rotation
            files.append(image.to_bytes())
        answer = ask("look", image_set(tmp_path / name, files, ".nii"), "--out", f"{name}.run")
        assert (answer.code == 2) == is_refused, (name, answer.err)
        assert ("sform and qform contradict each other: axes run to RAS by the one and LAS" in answer.err) == is_refused


@pytest.mark.parametrize(
    ("tags", "others", "said"),
    [
        (
            {"Modality": "OT"},
            {"Modality": "CT"},
            "Modality is CT (9 images, line 3, 4, 5, 7, 8 and others), OT (3 images",
        ),
        (
            {"PresentationIntentType": "FOR PROCESSING"},
            {"PresentationIntentType": "FOR PRESENTATION"},
            "FOR PROCESSING (3 images, line 2, 6, 10)",
        ),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, {}, "ImageType is LOCALIZER (3 images, line 2, 6, 10)"),
        ({"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]}, {}, "ImageType is SCREEN SAVE (3 images"),
        ({"Modality": "CR"}, {"Modality": "DX"}, ""),
        ({"Modality": "CT"}, {"Modality": "CT"}, ""),
        ({"ImageType": ["DERIVED", "PRIMARY", "AXIAL"]}, {"ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"]}, ""),
    ],
)
@situation(
    "DICOM of several kinds: CT and screen shots, localizers, or mammograms for processing and for presentation",
    "a caution with the number and rows of each",
)
@situation("CR and DX, originals and derived images, or one modality", "no caution")
def test_kinds_of_dicom(ask: Asking, tmp_path: Path, tags: dict[str, Any], others: dict[str, Any], said: str) -> None:
    files = [dicom(smooth(at, 4095), **(others if at % 4 else tags)) for at in range(12)]
    answer = ask("look", image_set(tmp_path / "set", files), "--out", "look")
    assert answer.code == 0, answer.err
    line = next((line for line in answer.out.splitlines() if line.startswith("caution: kinds of images: ")), "")
    assert bool(line) == bool(said)
    assert said in line


def _tinted(at: int, swapped: bool, tint: float) -> np.ndarray:
    gray = np.random.default_rng(at).uniform(60, 180, (SIDE, SIDE, 1))
    color = gray * np.array([1 + tint, 1, 1 - tint]) + np.random.default_rng(at).normal(0, 6, 3)
    return np.clip(color[..., ::-1] if swapped else color, 0, 255).astype(np.uint8)


@situation(
    "color images of which some have red and blue swapped, as OpenCV writes RGB",
    "a caution with their number and rows",
)
@situation("color images of one tint, of many tints, of nearly gray ones, or of two stains", "no caution")
def test_red_and_blue_swapped(ask: Asking, tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    sets: dict[str, list[np.ndarray]] = {
        "swapped": [_tinted(at, at % 5 == 0, 0.3) for at in range(40)],
        "one tint": [_tinted(at, False, 0.3) for at in range(40)],
        "nearly gray": [_tinted(at, at % 5 == 0, 0.01) for at in range(40)],
        "many tints": [_tinted(at, False, float(draw.normal(0, 0.3))) for at in range(40)],
        "two stains": [_tinted(at, False, 0.5 if at % 5 else -0.1) for at in range(40)],
    }
    for name, pictures in sets.items():
        files = [encoded(pixels, "PNG") for pixels in pictures]
        said = ask("look", image_set(tmp_path / name, files, ".png"), "--out", f"look {name}").out
        assert ("caution: colors: red and blue seem swapped in 8 of 40 images" in said) == (name == "swapped"), name


@situation(
    "what a look cautions about, as gray values over several ranges, in `assay.probe`",
    "warnings, and doubts of the result",
)
def test_cautions_of_a_probe(tmp_path: Path) -> None:
    files = [dicom(smooth(at, 4095), **({"Modality": "CT"} if at % 4 else {"Modality": "OT"})) for at in range(12)]
    table = image_set(tmp_path / "set", files)
    with pytest.warns(UserWarning, match="kinds of images: Modality is CT"):
        probed = assay.probe(lambda images: images.mean(axis=(1, 2, 3)), table, size=SIDE, scores="probabilities",
                             progress=False, out=tmp_path / "probed")  # fmt: skip
    assert any("kinds of images" in doubt for doubt in probed.doubts)
