"""How images of other shapes become squares: padded, squashed or cropped, as `data.fit` says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.worlds.files import load, save, write_table

from assay.core.errors import DataError, SpecError
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
        ({"fit": "squash", "mask": "mask"}, "fit: squash is for images alone"),
        ({"fit": "squash", "mask": "mask"}, "save images and masks as squares beforehand and leave `fit` out"),
        ({"fit": "crop", "pixel_size": "mm"}, "fit: crop is for images alone"),
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
