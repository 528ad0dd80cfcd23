"""Readers of images and masks against the libraries of their formats, on files that hypothesis makes."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import imagecodecs
import nibabel
import numpy as np
import pydicom
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image, ImageOps
from pydicom.encaps import encapsulate
from pydicom.pixels import pixel_array
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)
from tests.worlds.pixels import dataset, grouped, written

from assay.data.files.decode import ONE, labels_of, numbered
from assay.data.files.outlines import runs
from assay.data.files.readers import examine, read_picture, read_stored
from assay.data.files.table import Unreadable

IGNORED = 255

pytestmark = pytest.mark.thorough

SHAPES = st.tuples(st.integers(8, 13), st.integers(8, 13))
WHOLE = 1 / 65535


def pixels(dtype: Any, low: int | None = None, high: int | None = None, shape: Any = SHAPES) -> Any:
    dtype = np.dtype(dtype)
    info = np.iinfo(dtype)
    least, most = info.min if low is None else low, info.max if high is None else high
    return arrays.arrays(dtype, shape, elements=st.integers(least, most), fill=st.nothing())


def read(data: bytes) -> np.ndarray:
    """Pixels at full range, of 0 to 1; the header agrees with them."""
    picture, header = read_picture(data, 0), examine(data)
    assert (header.height, header.width) == picture.pixels.shape[:2]
    assert header.deep == (picture.pixels.dtype == np.uint16)
    return picture.pixels / np.iinfo(picture.pixels.dtype).max


# DICOM against pydicom.

VALUES = {8: np.uint8, 16: np.uint16, 32: np.uint32}
SYNTAXES = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless)
ENCODERS: dict[str, tuple[str, Any]] = {
    "JPEG Lossless": (JPEGLosslessSV1, lambda one, bits: imagecodecs.ljpeg_encode(one, bitspersample=bits)),
    "JPEG-LS": (JPEGLSLossless, lambda one, bits: imagecodecs.jpegls_encode(one)),
    "JPEG 2000": (
        JPEG2000Lossless,
        lambda one, bits: imagecodecs.jpeg2k_encode(
            one, codecformat="j2k", bitspersample=bits, reversible=True, level=0
        ),
    ),
}


@st.composite
def gray(draw: st.DrawFn) -> tuple[np.ndarray, dict[str, Any], dict[str, Any]]:
    """Stored values, attributes of the image, and those of its display."""
    allocated = draw(st.sampled_from([8, 16, 16, 32]))
    stored, signed = draw(st.integers(max(2, allocated // 2), allocated)), draw(st.booleans())
    low, high = (-(2 ** (stored - 1)), 2 ** (stored - 1) - 1) if signed else (0, 2**stored - 1)
    dtype = np.dtype(VALUES[allocated]) if not signed else np.dtype(f"int{allocated}")
    tags = {"BitsStored": stored, "PhotometricInterpretation": draw(st.sampled_from(["MONOCHROME1", "MONOCHROME2"]))}
    shows: dict[str, Any] = {}
    if draw(st.booleans()):
        shows |= {
            "RescaleSlope": draw(st.sampled_from([1, 2, 0.5, -1, 0.0625])),
            "RescaleIntercept": draw(st.sampled_from([0, -1024, 10.5])),
        }
    if draw(st.booleans()):
        shows |= {
            "WindowCenter": draw(st.integers(-2000, 4000)),
            "WindowWidth": draw(st.integers(2, 4000)),
            "VOILUTFunction": draw(st.sampled_from(["LINEAR", "LINEAR_EXACT", "SIGMOID"])),
        }
    elif draw(st.booleans()):
        tags |= {"PixelPaddingValue": max(low, -32768)}
    return draw(pixels(dtype, low, high)), tags, shows


def by_pydicom(data: bytes, shows: dict[str, Any]) -> np.ndarray:
    """Levels from 0 to 1 by pydicom's functions alone, over the range that the display can give."""
    made = pydicom.dcmread(io.BytesIO(data), force=True)
    for name, value in shows.items():
        setattr(made, name, value)
    if "TransferSyntaxUID" not in made.file_meta:
        made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    values = pixel_array(made)
    shown = np.asarray(apply_voi_lut(apply_modality_lut(values, made), made), dtype=np.float64)
    bits, signed = made.BitsStored, made.PixelRepresentation
    low, high = (-(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1) if signed else (0.0, 2.0**bits - 1)
    if bits > 16 and "WindowCenter" not in made:
        narrow = (-(2.0**15), 2.0**15 - 1) if signed else (0.0, 2.0**16 - 1)
        fits = values.min() >= narrow[0] and values.max() <= narrow[1]
        low, high = narrow if fits else (float(values.min()), float(values.max()))
    if "RescaleSlope" in made:
        low, high = (end * float(made.RescaleSlope) + float(made.RescaleIntercept) for end in (low, high))
        if "WindowCenter" not in made:
            low, high = sorted((low, high))
    levels = (shown - low) / (high - low) if high != low else np.zeros(shown.shape)
    return 1 - levels if made.PhotometricInterpretation == "MONOCHROME1" else levels


@given(gray(), st.sampled_from(SYNTAXES), st.sampled_from(["plain", "shared", "frame", "bare"]))
def test_gray_dicom_is_that_of_pydicom(image: Any, syntax: Any, where: str) -> None:
    values, tags, shows = image
    made = dataset(values, **tags)
    if where in ("plain", "bare"):
        for name, value in shows.items():
            setattr(made, name, value)
    else:
        rescale = {name: value for name, value in shows.items() if "Rescale" in name} or None
        window = {name: value for name, value in shows.items() if "Rescale" not in name} or None
        group = "SharedFunctionalGroupsSequence" if where == "shared" else "PerFrameFunctionalGroupsSequence"
        setattr(made, group, grouped(rescale, window))
    if syntax == RLELossless and 32 > made.BitsAllocated == made.BitsStored:  # pydicom writes no other
        made.compress(RLELossless, encoding_plugin="pydicom")
    elif syntax == ExplicitVRBigEndian:
        made.file_meta.TransferSyntaxUID = syntax
        made.PixelData = values.astype(values.dtype.newbyteorder(">")).tobytes()
        made["PixelData"].VR = "OB" if values.dtype.itemsize == 1 else "OW"
    elif syntax != RLELossless:
        made.file_meta.TransferSyntaxUID = syntax
    data = written(made)
    if where == "bare":
        data = data[132:]
    np.testing.assert_allclose(read(data), by_pydicom(data, shows), atol=2 * WHOLE)


@given(st.integers(2, 16), st.booleans(), st.sampled_from([*ENCODERS]), st.data())
def test_compressed_dicom_is_what_was_encoded(bits: int, signed: bool, kind: str, data: st.DataObject) -> None:
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    dtype = {(True, True): np.int8, (True, False): np.uint8, (False, True): np.int16, (False, False): np.uint16}
    values = data.draw(pixels(dtype[bits <= 8, signed], low, high))
    made = dataset(values, BitsStored=bits)
    plain = values.dtype.str.replace("i", "u")
    used = 8 * values.itemsize if kind == "JPEG-LS" else bits  # its encoder knows no other precision
    unsigned = values.view(plain) & np.array(2**used - 1, plain)
    syntax, encode = ENCODERS[kind]
    made.PixelData = encapsulate([encode(unsigned, bits)])
    made["PixelData"].VR, made["PixelData"].is_undefined_length = "OB", True
    made.file_meta.TransferSyntaxUID = syntax
    np.testing.assert_allclose(read(written(made)), (values - float(low)) / (high - low), atol=2 * WHOLE)


@given(st.data())
def test_a_broken_frame_is_refused_or_read(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from([*ENCODERS]))
    made = dataset(data.draw(pixels(np.uint16, 0, 4095)), BitsStored=12)
    frame = bytearray(ENCODERS[kind][1](np.frombuffer(made.PixelData, "<u2").reshape(made.Rows, made.Columns), 12))
    for _ in range(3):
        frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    made.PixelData = encapsulate([bytes(frame)])
    made["PixelData"].VR, made["PixelData"].is_undefined_length = "OB", True
    made.file_meta.TransferSyntaxUID = ENCODERS[kind][0]
    with contextlib.suppress(Unreadable):
        assert read_picture(written(made), 0).pixels.shape == (made.Rows, made.Columns)


@given(
    pixels(np.uint8, shape=st.tuples(st.integers(8, 12), st.integers(8, 12), st.just(3))),
    st.sampled_from(["RGB", "YBR_FULL"]),
    st.booleans(),
)
def test_color_dicom_is_that_of_pydicom(values: np.ndarray, photometric: str, planar: bool) -> None:
    made = dataset(values, PhotometricInterpretation=photometric, PlanarConfiguration=int(planar))
    if planar:
        made.PixelData = np.moveaxis(values, -1, 0).tobytes()
    data = written(made)
    np.testing.assert_array_equal(read(data) * 255, pixel_array(pydicom.dcmread(io.BytesIO(data))))


# TIFF against tifffile, and Pillow for 8 bit.


@st.composite
def tiffs(draw: st.DrawFn) -> tuple[bytes, np.ndarray]:
    """A file, and its pixels of 0 to 1."""
    deep, color = draw(st.booleans()), draw(st.booleans())
    dtype = np.dtype(np.uint16 if deep else np.uint8)
    if deep and draw(st.booleans()):
        values = draw(pixels(dtype)).astype(np.float32) / np.float32(65535)
        color = False
    else:
        shape = st.tuples(st.integers(8, 12), st.integers(8, 12), st.just(3)) if color else SHAPES
        values = draw(pixels(dtype, shape=shape))
    packing = draw(st.sampled_from([None, "zlib", "lzw", "packbits", "zstd" if deep else "zlib"]))
    options: dict[str, Any] = {"compression": packing, "byteorder": draw(st.sampled_from("<>"))}
    if packing in ("zlib", "lzw") and values.dtype.kind == "u":
        options["predictor"] = draw(st.booleans())
    if draw(st.booleans()):
        options["tile"] = (16, 16)
    if draw(st.booleans()):
        options["bigtiff"] = True
    white = not color and values.dtype.kind == "u" and draw(st.booleans())
    options["photometric"] = "rgb" if color else "miniswhite" if white else "minisblack"
    given = values
    if color and draw(st.booleans()):
        options["planarconfig"], given = "separate", np.moveaxis(values, -1, 0)
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, given, metadata=None, **options)
    again = tifffile.imread(io.BytesIO(buffer.getvalue()))
    np.testing.assert_array_equal(np.moveaxis(again, 0, -1) if given is not values else again, values)
    levels = values / (np.iinfo(dtype).max if values.dtype.kind == "u" else 1)
    return buffer.getvalue(), 1 - levels if white else levels


@given(tiffs())
def test_tiff_is_that_of_tifffile(image: tuple[bytes, np.ndarray]) -> None:
    data, levels = image
    np.testing.assert_allclose(read(data), levels, atol=WHOLE)


# NIfTI against nibabel.

AXES = [np.diag([*signs, 1, 1.0]) for signs in ((1, 1), (-1, 1), (1, -1), (-1, -1))]
AXES += [axes[[1, 0, 2, 3]] for axes in AXES]
AXES += [axes[[0, 2, 1, 3]] for axes in AXES[:4]]
NUMBERS = (np.uint8, np.int8, np.int16, np.uint16, np.int32, np.float32, np.float64)


@given(
    st.sampled_from(NUMBERS), st.sampled_from(range(len(AXES))), st.booleans(), st.booleans(), st.booleans(), st.data()
)
def test_nifti_is_that_of_nibabel(
    dtype: Any, axes: int, scaled: bool, ranged: bool, second: bool, data: st.DataObject
) -> None:
    whole = np.dtype(dtype) if np.dtype(dtype).kind in "iu" else np.dtype(np.int16)
    values = data.draw(pixels(whole, max(-3000, np.iinfo(whole).min), min(3000, np.iinfo(whole).max))).astype(dtype)
    kind = nibabel.Nifti2Image if second else nibabel.Nifti1Image
    image = kind(values[..., None], AXES[axes])
    if scaled:
        image.header.set_slope_inter(0.5, -7)
    if ranged:
        image.header["cal_min"], image.header["cal_max"] = -100, 900
    file = image.to_bytes()
    reference = nibabel.as_closest_canonical(kind.from_bytes(file))
    right = np.squeeze(reference.get_fdata()).T[::-1]
    if dtype is np.uint8 and not scaled:
        np.testing.assert_array_equal(read(file) * 255, right)
        return
    low, high = (-100.0, 900.0) if ranged else (right.min(), right.max())
    levels = np.clip((right - low) / (high - low), 0, 1) if high > low else np.zeros(right.shape)
    np.testing.assert_allclose(read(file), levels, atol=WHOLE)


# PNG, JPEG and others against Pillow.


@st.composite
def rasters(draw: st.DrawFn) -> bytes:
    mode = draw(st.sampled_from(["L", "RGB", "RGBA", "LA", "P", "1", "I;16", "CMYK"]))
    channels = {"RGB": 3, "RGBA": 4, "LA": 2, "CMYK": 4}.get(mode, 1)
    shape = SHAPES if channels == 1 else st.tuples(st.integers(8, 12), st.integers(8, 12), st.just(channels))
    values = draw(pixels(np.uint16 if mode == "I;16" else np.uint8, shape=shape))
    if mode == "1":
        image = Image.fromarray(values > 127)
    elif mode == "I;16":
        image = Image.fromarray(values)
    else:
        image = Image.frombytes(mode, (values.shape[1], values.shape[0]), values.tobytes())
    if mode == "P":
        image.putpalette(draw(st.binary(min_size=768, max_size=768)))
    allowed = {
        "L": ("PNG", "JPEG", "BMP", "TIFF"),
        "RGB": ("PNG", "JPEG", "BMP", "TIFF", "WEBP"),
        "CMYK": ("JPEG", "TIFF"),
    }.get(mode, ("PNG",))
    kind = draw(st.sampled_from(allowed))
    options: dict[str, Any] = {}
    if kind in ("PNG", "JPEG", "TIFF", "WEBP") and draw(st.booleans()):
        exif = Image.Exif()
        exif[274] = draw(st.integers(1, 8))
        options["exif"] = exif
    if kind == "PNG" and mode in ("L", "P", "I;16") and draw(st.booleans()):
        options["transparency"] = draw(st.integers(0, 255))
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@given(rasters())
def test_raster_is_that_of_pillow(data: bytes) -> None:
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    if image.mode.startswith("I"):
        right = np.asarray(image).astype(np.float64)
        right = np.where(right == image.info.get("transparency", -1), 0, right) / 65535
    else:
        black = Image.new("RGBA", image.size, (0, 0, 0, 255))
        clear = image.mode in ("LA", "RGBA") or "transparency" in image.info
        over = Image.alpha_composite(black, image.convert("RGBA")) if clear else image
        right = np.asarray(over.convert("RGB")) / 255
    found = read(data)
    right = right if right.ndim == found.ndim else right[..., 0]
    np.testing.assert_allclose(found, right, atol=1 / 255 / 2)


# Masks against NumPy.


@given(st.data(), st.sampled_from(["png", "npy", "nifti", "tiff", "dicom"]), st.floats(-0.009, 0.009))
def test_labels_are_those_that_were_written(data: st.DataObject, kind: str, off: float) -> None:
    labels = data.draw(pixels(np.uint8, 0, 4))
    values = labels.astype(np.float32) + np.float32(off) * (labels > 0)
    buffer = io.BytesIO()
    if kind == "png":
        Image.fromarray(labels).save(buffer, "PNG")
    elif kind == "npy":
        np.save(buffer, values)
    elif kind == "tiff":
        tifffile.imwrite(buffer, values)
    file = buffer.getvalue()
    if kind == "nifti":
        file = nibabel.Nifti1Image(values[::-1].T, np.eye(4)).to_bytes()
    elif kind == "dicom":
        file = written(dataset(labels))
    found = labels_of(read_stored(file), numbered({1: "a", 2: "b", 3: "ignore", 4: "a"}))
    right = np.array([0, 1, 2, 0, 1], dtype=np.uint8)[labels]
    np.testing.assert_array_equal(found.values, right)
    assert bool(found.notes) == bool((labels == 3).any())
    assert int(found.values.max()) < IGNORED


@given(st.data(), st.floats(0.011, 0.5), st.sampled_from(["npy", "nifti"]))
def test_values_far_from_whole_numbers_are_refused(data: st.DataObject, off: float, kind: str) -> None:
    values = data.draw(pixels(np.uint8, 0, 4)).astype(np.float64)
    values[0, 0] += off
    buffer = io.BytesIO()
    np.save(buffer, values)
    file = buffer.getvalue() if kind == "npy" else nibabel.Nifti1Image(values, np.eye(4)).to_bytes()
    with pytest.raises(Unreadable, match="whole numbers"):
        read_stored(file)


@given(arrays.arrays(np.bool_, SHAPES), st.sampled_from(["kaggle-rle", "kaggle-rle-rows", "coco-rle"]))
def test_run_lengths_are_those_of_their_definition(mask: np.ndarray, form: Any) -> None:
    flat = mask.flatten(order="C" if form == "kaggle-rle-rows" else "F").astype(np.int8)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flat, [0]]))).tolist()
    if form == "coco-rle":
        ends = [0, *edges, *([] if edges and edges[-1] == flat.size else [flat.size])]
        text = str({"size": list(mask.shape), "counts": np.diff(ends).tolist()}).replace("'", '"')
    else:
        text = " ".join(f"{a + 1} {b - a}" for a, b in zip(edges[::2], edges[1::2], strict=True)) or "-1"
    np.testing.assert_array_equal(runs(text, form).draw(*mask.shape), mask)


@given(st.booleans(), arrays.arrays(np.bool_, SHAPES))
def test_a_mask_of_one_kind_is_where_it_is_bright(deep: bool, mask: np.ndarray) -> None:
    buffer = io.BytesIO()
    Image.fromarray(mask * (np.uint16(65535) if deep else np.uint8(255))).save(buffer, "PNG")
    np.testing.assert_array_equal(labels_of(read_stored(buffer.getvalue()), ONE).values, mask)
