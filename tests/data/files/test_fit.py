"""How images of other shapes become squares: padded, squashed or cropped, as `data.fit` says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image
from tests.data.files.test_readers import dicom
from tests.worlds.files import load, save, spec_of, write_table

from assay.audit.checks import alternative_framings
from assay.plugin import DataError, Dataset, SpecError
from assay.spec.parse import parse_study

HIGH, WIDE, SIZE = 24, 48, 16


def picture(at: int, color: bool = False) -> np.ndarray:
    shape = (HIGH, WIDE, 3) if color else (HIGH, WIDE)
    return np.random.default_rng(at).integers(0, 256, shape, dtype=np.uint8)


def wide_set(folder: Path, color: bool = False) -> Path:
    for at in range(6):
        save(folder / f"{at}.png", picture(at, color))
    write_table(folder / "data.csv", [["image", "label"], *([f"{at}.png", at % 2] for at in range(6))])
    return folder


def small(pixels: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(pixels).resize((SIZE, SIZE), Image.Resampling.BILINEAR))


def first(folder: Path, **data: Any) -> np.ndarray:
    return np.round(255 * load(folder, **data).images.read(np.arange(1))[0].numpy()).astype(np.uint8)


@pytest.mark.parametrize("color", [False, True])
def test_squash_scales_each_side_and_crop_keeps_the_central_square(tmp_path: Path, color: bool) -> None:
    folder = wide_set(tmp_path / "set", color)
    given = picture(0, color)
    for fit, kept in (("squash", given), ("crop", given[:, 12:36])):
        np.testing.assert_array_equal(np.squeeze(np.moveaxis(first(folder, fit=fit), 0, -1)), small(kept))
    padded = first(folder)
    assert not padded[:, :4].any()
    assert not padded[:, 12:].any()
    np.testing.assert_array_equal(padded, first(folder, fit="pad"))


def test_a_share_around_the_middle_is_kept(tmp_path: Path) -> None:
    folder = wide_set(tmp_path / "set")
    np.testing.assert_array_equal(first(folder, fit="crop", crop_share=0.5)[0], small(picture(0)[6:18, 18:30]))
    np.testing.assert_array_equal(first(folder, fit="squash", crop_share=0.5)[0], small(picture(0)[6:18, 12:36]))


def test_squashed_images_fill_their_square(tmp_path: Path) -> None:
    folder = wide_set(tmp_path / "set")
    assert load(folder).boxes is not None
    assert load(folder, fit="squash").boxes is None


def study(folder: Path, **data: Any) -> dict[str, Any]:
    return {
        "name": "fitted",
        "data": {"folder": str(folder), "target": "label", "size": SIZE, **data},
        "environments": {"train": {}, "same": {"like": "train"}},
        "recipe": {"architecture": "small-cnn", "loss": "cross-entropy"},
        "seeds": 1,
        "probes": ["performance"],
    }


def test_the_default_leaves_the_name_of_a_study_and_another_fit_changes_it(tmp_path: Path) -> None:
    folder = wide_set(tmp_path / "set")
    plain, padded, squashed = (
        parse_study(study(folder, **more)).data.canonical() for more in ({}, {"fit": "pad"}, {"fit": "squash"})
    )
    assert plain == padded
    assert squashed == {**plain, "fit": "squash"}
    assert load(folder).content != load(folder, fit="squash").content


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"fit": "squash", "pixel_size": "mm"}, "a pixel is not as high as wide in mm; write fit: pad or crop"),
        ({"crop_share": 0.9}, "crop_share is for `fit: crop` and `fit: squash`"),
        ({"fit": "stretch"}, "pad"),
    ],
)
def test_what_cannot_be_fitted_is_refused_with_the_reason(tmp_path: Path, data: dict[str, Any], said: str) -> None:
    with pytest.raises((SpecError, DataError)) as error:
        parse_study(study(wide_set(tmp_path / "set"), **data))
    assert said in str(error.value)


# --- 16-bit files with fewer bits of content --------------------------------------------------------------------------


def deep_set(folder: Path, most: int, ending: str = "png") -> Path:
    for at in range(6):
        pixels = np.random.default_rng(at).integers(0, most + 1, (SIZE, SIZE)).astype(np.uint16)
        pixels[0, 0] = most - at
        save(folder / f"{at}.{ending}", pixels)
    write_table(folder / "data.csv", [["image", "label"], *([f"{at}.{ending}", at % 2] for at in range(6))])
    return folder


@pytest.mark.parametrize("ending", ["png", "tif"])
@pytest.mark.parametrize(("most", "bits"), [(4095, 12), (3000, 12), (1023, 10)])
def test_the_true_range_of_16_bit_files_is_used_and_said(tmp_path: Path, most: int, bits: int, ending: str) -> None:
    dataset = load(deep_set(tmp_path / "set", most, ending))
    images = dataset.images.read(np.arange(6)).numpy()
    assert 0.3 < float(np.median(images)) < 0.6
    np.testing.assert_allclose(images[:, 0, 0, 0], [(most - at) / (2**bits - 1) for at in range(6)], atol=1e-4)
    said = f"16-bit files hold values up to {most:,}: they were read as {bits} bit, of 0 to {2**bits - 1:,} (6 images)"
    assert said in dataset.card.known_faults


def test_files_that_use_their_16_bits_stay(tmp_path: Path) -> None:
    dataset = load(deep_set(tmp_path / "set", 40_000))
    np.testing.assert_allclose(
        dataset.images.read(np.arange(6))[:, 0, 0, 0].numpy(), [(40_000 - at) / 65535 for at in range(6)], atol=1e-5
    )
    assert not any("16-bit" in one for one in dataset.card.known_faults)


def test_8_bit_images_among_them_keep_their_levels(tmp_path: Path) -> None:
    folder = deep_set(tmp_path / "set", 4095)
    save(folder / "0.png", np.full((SIZE, SIZE), 51, dtype=np.uint8))
    assert float(load(folder).images.read(np.arange(1)).max()) == pytest.approx(0.2, abs=1e-4)


# --- the range of a set -----------------------------------------------------------------------------------------------


def ranged_set(folder: Path, images: Sequence[np.ndarray | bytes], ending: str = "png", **options: Any) -> Path:
    for at, image in enumerate(images):
        path = folder / f"{at}.{ending}"
        if isinstance(image, bytes):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(image)
        elif ending == "tif":
            path.parent.mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(path, image, **options)
        else:
            save(path, image)
    write_table(folder / "data.csv", [["image", "label"], *([f"{at}.{ending}", at % 2] for at in range(len(images)))])
    return folder


def twelve_bit(n: int = 6, low: int = 0, high: int = 4096) -> list[np.ndarray]:
    return [np.random.default_rng(at).integers(low, high, (SIZE, SIZE)).astype(np.uint16) for at in range(n)]


def raw(dataset: Dataset) -> np.ndarray:
    images = dataset.images.read(np.arange(len(dataset.images)))
    return np.round(65535 * images.numpy()[:, 0]).astype(np.int64)


def as_12_bit(image: np.ndarray) -> np.ndarray:
    return np.round(np.minimum(image, 4095) * (65535 / 4095)).astype(np.int64)


@pytest.mark.parametrize("bright", [np.full((SIZE, SIZE), 60_000), [(0, 0, 65_535)]], ids=["image", "hot pixel"])
def test_one_bright_file_or_pixel_does_not_decide_the_range_of_all(tmp_path: Path, bright: Any) -> None:
    images = twelve_bit()
    if isinstance(bright, np.ndarray):
        images[3] = bright.astype(np.uint16)
    else:
        images[3][bright[0][:2]] = bright[0][2]
    dataset = load(ranged_set(tmp_path / "set", images))
    np.testing.assert_array_equal(raw(dataset), [as_12_bit(image) for image in images])
    said = "they were read as 12 bit, of 0 to 4,095 (6 images)"
    assert any(
        fault.startswith("16-bit files hold values up to 4,09") and said in fault for fault in dataset.card.known_faults
    )
    assert dataset.card.doubts == (
        "16-bit images with values far beyond those of the others are clipped to 0 to 4,095, the range of the set: 1 "
        "of 6 images, line 5; check them",
    )


def test_two_of_six_bright_files_are_no_outliers_and_the_others_are_called_flat(tmp_path: Path) -> None:
    images = [*twelve_bit(4), *[image * 15 for image in twelve_bit(2)]]
    dataset = load(ranged_set(tmp_path / "set", images))
    np.testing.assert_array_equal(raw(dataset), images)
    (doubt,) = dataset.card.doubts
    assert doubt.startswith(
        "most images are nearly of one gray level: in 4 of 6 images of more than 8 bit, 98% of the pixels span less "
        "than an eighth of the range shown, 0 to 65,535; "
    )


def test_usual_differences_between_files_clip_nothing(tmp_path: Path) -> None:
    images = [
        np.minimum(image, most) for image, most in zip(twelve_bit(), (600, 900, 1200, 2000, 1000, 4095), strict=True)
    ]
    dataset = load(ranged_set(tmp_path / "set", images))
    np.testing.assert_array_equal(raw(dataset), [as_12_bit(image) for image in images])
    assert dataset.card.doubts == ()


def test_white_is_zero_is_inverted_after_stretching(tmp_path: Path) -> None:
    images = [np.pad(image, ((0, 0), (0, SIZE))) for image in twelve_bit()]
    inverted = load(ranged_set(tmp_path / "white", images, "tif", photometric="miniswhite"))
    plain = load(ranged_set(tmp_path / "black", [4095 - image for image in images], "tif"))
    np.testing.assert_allclose(raw(inverted), raw(plain), atol=1)
    assert not raw(inverted)[:, : SIZE // 4].any()  # the padding of a wide image
    assert any("read as 12 bit, of 0 to 4,095 (6 images)" in fault for fault in inverted.card.known_faults)
    assert np.ptp(raw(inverted)) > 60_000


@pytest.mark.parametrize("photometric", ["MONOCHROME2", "MONOCHROME1"])
def test_signed_dicom_of_16_bits_takes_the_range_of_its_set(tmp_path: Path, photometric: str) -> None:
    images = [image.astype(np.int16) - 1024 for image in twelve_bit()]
    files = [
        dicom(image, PhotometricInterpretation=photometric, RescaleSlope=1, RescaleIntercept=0) for image in images
    ]
    dataset = load(ranged_set(tmp_path / "set", files, "dcm"))
    shown = np.round((np.stack(images).astype(np.float64) + 4096) * (65535 / 8191)).astype(np.int64)
    np.testing.assert_array_equal(raw(dataset), 65535 - shown if photometric == "MONOCHROME1" else shown)
    low, high = int(np.min(images)), int(np.max(images))
    said = f"signed 16-bit files hold values of {low:,} to {high:,}: they were read as 13 bit, of -4,096 to 4,095"
    assert f"{said} (6 images)" in dataset.card.known_faults
    assert dataset.card.doubts == ()


def test_declared_padding_does_not_widen_the_range_of_dicom(tmp_path: Path) -> None:
    images = [image.astype(np.int16) - 1024 for image in twelve_bit()]
    for image in images:
        image[0] = -32768
    dataset = load(ranged_set(tmp_path / "set", [dicom(image, PixelPaddingValue=-32768) for image in images], "dcm"))
    shown = np.round((np.stack(images)[:, 1:].astype(np.float64) + 4096) * (65535 / 8191)).astype(np.int64)
    np.testing.assert_array_equal(raw(dataset)[:, 1:], shown)
    assert not raw(dataset)[:, 0].any()


def test_dicom_that_declares_its_bits_or_window_does_not_change(tmp_path: Path) -> None:
    images = [image // 4 for image in twelve_bit()]
    for name, tags, top in (
        ("bits", {"BitsStored": 12, "HighBit": 11}, 4095),
        ("window", {"WindowCenter": 1000, "WindowWidth": 2000, "VOILUTFunction": "LINEAR_EXACT"}, 2000),
    ):
        dataset = load(ranged_set(tmp_path / name, [dicom(image, **tags) for image in images], "dcm"))
        np.testing.assert_allclose(raw(dataset), np.stack(images) * (65535 / top), atol=1)
        assert not any("16-bit" in fault for fault in dataset.card.known_faults)
        assert dataset.card.doubts == ()


def test_flat_images_are_doubted_with_the_range_that_was_used(tmp_path: Path) -> None:
    flat = twelve_bit(low=1000, high=1200)
    window = {"WindowCenter": 1000, "WindowWidth": 4000}
    for name, images, ending, used in (
        (
            "png",
            [np.where(np.eye(SIZE, dtype=bool) & (np.arange(SIZE) < 2), 60_000, image) for image in flat],
            "png",
            "0 to 65,535",
        ),
        ("dcm", [dicom(image, **window) for image in flat], "dcm", "-1,000 to 3,000"),
    ):
        made = [image if isinstance(image, bytes) else image.astype(np.uint16) for image in images]
        (doubt,) = load(ranged_set(tmp_path / name, made, ending)).card.doubts
        assert "in 6 of 6 images of more than 8 bit, 98% of the pixels span less than an eighth of the range" in doubt
        assert f"of the range shown, {used}; scale their values" in doubt


def test_dark_images_of_8_bit_are_not_doubted(tmp_path: Path) -> None:
    folder = ranged_set(tmp_path / "set", [(image // 256).astype(np.uint8) for image in twelve_bit()])
    assert load(folder).card.doubts == ()


def test_some_images_of_a_set_at_another_framing_keep_the_range_of_the_set(tmp_path: Path) -> None:
    """The last of 13 images has twice the values of the others, which are read alone as an audit does."""
    draw, folder = np.random.default_rng(0), tmp_path / "set"
    for at in range(13):
        save(folder / f"{at}.png", draw.integers(100, 4096 * (1 + at // 12), (HIGH, WIDE)).astype(np.uint16))
    write_table(folder / "data.csv", [["image", "label"], *([f"{at}.png", at % 2] for at in range(13))])
    padded, squashed = load(folder), load(folder, fit="squash")
    prepared: Any = SimpleNamespace(
        request=SimpleNamespace(data=spec_of(folder)),
        population=SimpleNamespace(dataset=padded),
        workspace=SimpleNamespace(cache=tmp_path / "cache"),
    )
    found = alternative_framings(prepared, list(range(12)))["fit squash"]
    np.testing.assert_array_equal(found.read(np.arange(12)).numpy(), squashed.images.read(np.arange(12)).numpy())
