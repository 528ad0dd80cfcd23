"""Masks, boxes and millimeters of images that `data.fit` squashes or crops: the same geometry for all of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.worlds.files import load, save, write_table

from assay.data.files.fitting import cut_off, fit_labels, touched, unfitted, vanished
from assay.plugin import ArrayCache, BoxesSpec, DataError, DataSpec, Framing
from assay.shifts.sources import open_population
from assay.spec.schema import EnvironmentSpec

HIGH, WIDE, SIZE = 48, 96, 24
FITS: list[dict[str, Any]] = [
    {"fit": "squash"},
    {"fit": "squash", "crop_share": 0.5},
    {"fit": "crop"},
    {"fit": "crop", "crop_share": 0.5},
]
SQUARE, TALL, SMALL = (20, 40, 36, 56), (10, 45, 40, 52), (18, 48, 26, 58)
EDGE = (16, 2, 32, 14)
"""Top, left, bottom, right; `EDGE` is outside the central square."""


def mask_of(*lesions: tuple[int, int, int, int]) -> np.ndarray:
    mask = np.zeros((HIGH, WIDE), dtype=np.uint8)
    for top, left, bottom, right in lesions:
        mask[top:bottom, left:right] = 255
    return mask


def drawn_set(folder: Path, lesions: Sequence[Sequence[tuple[int, int, int, int]]]) -> Path:
    """Images in which lesions are white and all else is dark, their masks, and boxes around each lesion."""
    rows: list[list[object]] = [["image", "mask", "label", "mm"]]
    boxes: list[list[object]] = [["image", "kind", "x0", "y0", "x1", "y1"]]
    for at, found in enumerate(lesions):
        mask = mask_of(*found)
        texture = np.random.default_rng(at).integers(20, 60, mask.shape)
        save(folder / f"{at}.png", np.where(mask > 0, 255, texture).astype(np.uint8))
        save(folder / f"m{at}.png", mask)
        rows.append([f"{at}.png", f"m{at}.png", at % 2, 0.5])
        for top, left, bottom, right in found:
            boxes.append([f"{at}.png", "spot", left, top, right, bottom])
    write_table(folder / "data.csv", rows)
    write_table(folder / "boxes.csv", boxes)
    return folder


LESIONS = [[SQUARE], [], [TALL], [], [SMALL], [], [SQUARE, EDGE], []]


def fitted(folder: Path, **data: Any) -> tuple[np.ndarray, np.ndarray]:
    dataset = load(folder, size=SIZE, mask="mask", **data)
    index = np.arange(len(dataset.table))
    assert dataset.masks is not None
    return dataset.images.read(index).numpy()[:, 0], dataset.masks.read(index).numpy()[:, 0]


@pytest.mark.parametrize("fit", FITS)
def test_images_and_masks_stay_aligned(tmp_path: Path, fit: dict[str, Any]) -> None:
    """A lesion is white in its image and all else is dark; at its rim the filter mixes both."""
    images, masks = fitted(drawn_set(tmp_path / "set", LESIONS), **fit)
    assert masks[0].any()
    assert (masks[images > 0.9] > 0).all()
    assert (masks[images < 0.3] == 0).all()
    assert ((images > 0.9) | (images < 0.3)).mean() > 0.9


@pytest.mark.parametrize("fit", FITS)
def test_a_mask_follows_its_rule_pixel_by_pixel(tmp_path: Path, fit: dict[str, Any]) -> None:
    """Half of the native pixels of a fitted one, counted one by one."""
    _, masks = fitted(drawn_set(tmp_path / "set", LESIONS), **fit)
    share = fit.get("crop_share", 1)
    tall, wide = (HIGH * share, HIGH * share) if fit["fit"] == "crop" else (HIGH * share, WIDE * share)
    top, left = (HIGH - tall) / 2, (WIDE - wide) / 2
    fine = 6  # samples on each side of a fitted pixel
    at = (np.arange(SIZE * fine) + 0.5) / (SIZE * fine)
    rows, columns = (top + at * tall).astype(int), (left + at * wide).astype(int)
    for mask, lesions in zip(masks, LESIONS, strict=True):
        covered = (mask_of(*lesions)[np.ix_(rows, columns)] > 0).reshape(SIZE, fine, SIZE, fine).mean(axis=(1, 3))
        certain = np.abs(covered - 0.5) > 0.1
        np.testing.assert_array_equal((mask > 0)[certain], (covered > 0.5)[certain])


def test_a_lesion_outside_the_crop_is_absent_and_told(tmp_path: Path) -> None:
    folder = drawn_set(tmp_path / "set", [[EDGE], [SQUARE], [SQUARE, EDGE], []])
    cropped = load(folder, size=SIZE, mask="mask", target="lesion", fit="crop")
    assert cropped.table.target.tolist() == [0, 1, 1, 0]
    said = "2 images have lesions outside the part that the framing 'crop' shows"
    assert said in cropped.card.known_faults
    squashed = load(folder, size=SIZE, mask="mask", target="lesion", fit="squash")
    assert squashed.table.target.tolist() == [1, 1, 1, 0]
    assert not any("outside the part" in fault for fault in squashed.card.known_faults)
    padded = load(folder, size=SIZE, mask="mask", target="lesion")
    assert padded.table.target.tolist() == [1, 1, 1, 0]


def test_a_column_that_says_lesion_contradicts_a_lesion_outside_the_crop(tmp_path: Path) -> None:
    folder = drawn_set(tmp_path / "set", [[EDGE], [SQUARE], [SQUARE, EDGE], []])
    lines = (folder / "data.csv").read_text().splitlines()
    words = ["lesion", "present", "present", "present", "absent"]
    (folder / "data.csv").write_text("\n".join(f"{a},{b}" for a, b in zip(lines, words, strict=True)) + "\n")
    assert len(load(folder, size=SIZE, mask="mask", target="lesion", fit="squash").table) == 4
    with pytest.raises(DataError, match="it says present, and its mask shows no lesion"):
        load(folder, size=SIZE, mask="mask", target="lesion", fit="crop")


def test_no_lesion_inside_any_crop_is_refused(tmp_path: Path) -> None:
    folder = drawn_set(tmp_path / "set", [[EDGE], [EDGE], [], []])
    with pytest.raises(DataError, match="none of 4 masks shows a lesion"):
        load(folder, size=SIZE, mask="mask", fit="crop")


def test_lesions_too_small_and_lesions_cut_off_are_told_apart() -> None:
    labels = (mask_of(SQUARE, EDGE) > 0).astype(np.uint8)
    labels[1, 40] = 1
    for framing, lost, outside in ((Framing("crop"), 1, True), (Framing("squash"), 1, False), (Framing(), 1, False)):
        assert vanished(labels, fit_labels(labels, SIZE, framing), framing) == lost
        assert cut_off(labels, framing) is outside
    partly = (mask_of((20, 20, 30, 30)) > 0).astype(np.uint8)
    assert not cut_off(partly, Framing("crop"))
    assert cut_off(partly, Framing("crop", 0.5))


@pytest.mark.parametrize("fit", FITS)
def test_maps_come_back_onto_the_part_that_was_shown(fit: dict[str, Any]) -> None:
    framing = Framing(fit["fit"], fit.get("crop_share", 1))
    mask = (mask_of(SQUARE) > 0).astype(np.uint8)
    shown = framing.kept(mask)
    maps = torch.as_tensor(fit_labels(mask, SIZE, framing))[None].float()
    back = unfitted(maps, shown.shape[0], shown.shape[1], framing)[0].numpy() >= 0.5
    assert back.shape == shown.shape
    assert 2 * (back & (shown > 0)).sum() / (back.sum() + shown.sum()) > 0.9


@pytest.mark.parametrize("fit", FITS)
def test_masks_at_native_size_and_touched_pixels_are_of_the_shown_part(tmp_path: Path, fit: dict[str, Any]) -> None:
    framing = Framing(fit["fit"], fit.get("crop_share", 1))
    crops = load(drawn_set(tmp_path / "set", LESIONS), size=SIZE, mask="mask", **fit).crops
    assert crops is not None
    assert crops.framing == framing
    for at, lesions in enumerate(LESIONS):
        mask = (mask_of(*lesions) > 0).astype(np.uint8)
        np.testing.assert_array_equal(crops.read_one(at), framing.kept(mask))
        assert crops.sizes[at].tolist() == list(framing.kept(mask).shape[::-1])
        np.testing.assert_array_equal(crops.touched[at], touched(mask, SIZE, framing))
        assert (crops.touched[at] >= (fit_labels(mask, SIZE, framing) > 0)).all()


@pytest.mark.parametrize("fit", FITS)
def test_boxes_follow_the_masks(tmp_path: Path, fit: dict[str, Any]) -> None:
    """Their pixels are those of the mask, to the pixels on the rim of a lesion."""
    folder = drawn_set(tmp_path / "set", LESIONS)
    dataset = load(folder, size=SIZE, mask="mask", boxes=BoxesSpec(table="boxes.csv"), **fit)
    assert dataset.lesions is not None
    assert dataset.masks is not None
    index = np.arange(len(LESIONS))
    boxed, masked = dataset.lesions.read(index)[:, 0].numpy(), dataset.masks.read(index)[:, 0].numpy() > 0
    assert (boxed != masked).sum() <= 0.1 * masked.sum()
    if fit == {"fit": "crop"}:
        assert [len(boxes) for boxes in dataset.lesions.boxes] == [len(set(one) - {EDGE}) for one in LESIONS]


def test_millimeters_are_those_of_the_cropped_part(tmp_path: Path) -> None:
    folder = drawn_set(tmp_path / "set", LESIONS)
    cases: list[tuple[dict[str, Any], int]] = [
        ({}, WIDE),
        ({"fit": "crop"}, HIGH),
        ({"fit": "crop", "crop_share": 0.5}, HIGH // 2),
    ]
    for fit, longer in cases:
        dataset = load(folder, size=SIZE, mask="mask", pixel_size="mm", **fit)
        assert dataset.millimeters is not None
        np.testing.assert_allclose(dataset.millimeters, np.full(len(LESIONS), 0.5 * longer / SIZE))


@pytest.mark.parametrize("fit", FITS)
def test_lesion_free_crops_of_squashed_and_cropped_photographs_show_no_lesion(
    tmp_path: Path, fit: dict[str, Any]
) -> None:
    corner = (2, 26, 14, 40)
    lesions = [[corner] if at % 2 else [] for at in range(40)]
    folder = drawn_set(tmp_path / "set", lesions)
    data = DataSpec(folder=str(folder), target="lesion", mask="mask", size=SIZE, **fit)
    whole = EnvironmentSpec(where={"lesion": "present"})
    free = EnvironmentSpec(where={"lesion": "present"}, crop="lesion-free")
    scene = open_population(data, ArrayCache(tmp_path / "cache")).scene({"whole": whole, "free": free}, 0)
    shown, cut = (scene.environment(name) for name in ("whole", "free"))
    index = np.arange(len(cut.table))
    assert len(index)
    assert float(shown.images.read(np.arange(1)).max()) > 0.9
    assert float(cut.images.read(index).max()) < 0.5
    assert float(cut.images.read(index)[:, :, -3:, -3:].max()) > 0.05
