"""Masks."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import tifffile
from PIL import Image
from scipy.ndimage import maximum_filter
from tests.cli.asking import Asking
from tests.reading.situations import situation
from tests.worlds.files import write_table
from tests.worlds.pixels import SIDE, dice, dicom, encoded, image_set

from assay.plugin import ArrayCache, DataError, DataSpec, load_dataset

N = 8
KINDS = {"mask_values": {1: "edema", 2: "core", 3: "rim"}}


def truth(at: int, kinds: int = 1) -> np.ndarray:
    """Labels [SIDE, SIDE] of an image: every other one has no lesion, the others one of each kind."""
    labels = np.zeros((SIDE, SIDE), dtype=np.uint8)
    if at % 2:
        for kind in range(1, kinds + 1):
            top, left = (at + 7 * kind) % 15, 6 * kind - 4
            labels[top : top + 8 - kind, left : left + 5] = kind
    return labels


def pictured(labels: np.ndarray, at: int, kinds: int = 1) -> np.ndarray:
    """An image that shows kind i at the level i / kinds, with a little of its own."""
    own = np.random.default_rng(at).integers(0, 12, labels.shape)
    return np.clip(labels.astype(int) * 240 // kinds + own, 0, 255).astype(np.uint8)


def masked(
    folder: Path, masks: Sequence[bytes], ending: str, kinds: int = 1, images: Mapping[int, bytes] | None = None
) -> Path:
    """A set whose images show the truth, with these files as masks."""
    pictures = [pictured(truth(at, kinds), at, kinds) for at in range(len(masks))]
    of_nifti = ending.startswith(".nii") and not images
    files = [slice_of(pixels) if of_nifti else encoded(pixels, "PNG") for pixels in pictures]
    files = [(images or {}).get(at, data) for at, data in enumerate(files)]
    for at, data in enumerate(masks):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"m{at}{ending}").write_bytes(data)
    return image_set(folder, files, ".png", mask=[f"m{at}{ending}" for at in range(len(masks))])


def slice_of(pixels: np.ndarray, affine: np.ndarray | None = None) -> bytes:
    """A NIfTI slice whose first axis runs right and its second up, or as the affine says: as ITK saves a PNG, LP."""
    turned = pixels[::-1] if affine is None else pixels
    return nibabel.Nifti1Image(turned.T[:, :, None], np.eye(4) if affine is None else affine).to_bytes()


def nifti(labels: np.ndarray, dtype: Any, scale: tuple[float, float] | None = None) -> bytes:
    """A slice as nibabel saves it; its first axis runs right, its second up."""
    image = nibabel.Nifti1Image(labels[::-1].T.astype(np.float64), np.eye(4))
    image.set_data_dtype(dtype)
    if scale:
        image.header.set_slope_inter(*scale)
    return image.to_bytes()


# Numbers of masks.


@situation(
    "NIfTI masks of floats 0 to 3, which nibabel saves as int16 with a slope and reads as 0.99999",
    "rounded: all kinds are right",
)
def test_scaled_labels(tmp_path: Path) -> None:
    files = [nifti(truth(at, 3), np.int16) for at in range(N)]
    stored = nibabel.Nifti1Image.from_bytes(files[1])
    assert stored.dataobj.slope != 1
    assert 0 < np.abs(stored.get_fdata() - np.rint(stored.get_fdata())).max() < 1e-3
    assert dice(masked(tmp_path / "set", files, ".nii", 3), 3, **KINDS) == pytest.approx(1, abs=1e-6)


@situation("NIfTI masks of 0 and 1 as uint8 with a slope of 1/255, packed", "rounded to 0 and 1")
def test_scaled_to_one(tmp_path: Path) -> None:
    files: list[bytes] = []
    for at in range(N):
        image = nibabel.Nifti1Image(truth(at)[::-1].T * np.uint8(255), np.eye(4))
        image.header.set_slope_inter(1 / 255, 0)
        files.append(gzip.compress(image.to_bytes()))
    assert nibabel.Nifti1Image.from_bytes(gzip.decompress(files[1])).get_fdata().max() < 1.001
    assert dice(masked(tmp_path / "set", files, ".nii.gz")) == pytest.approx(1, abs=1e-6)


def refused(ask: Asking, table: Path, *told: str, **keys: Any) -> None:
    with pytest.raises(DataError) as caught:
        dice(table, **keys)
    assert all(text in str(caught.value) for text in told), str(caught.value)


SOFT = {
    ".nii": lambda labels: nifti(labels * 0.4, np.float32),
    ".npy": lambda labels: _npy(labels * 0.4),
    ".tif": lambda labels: _tiff((labels * 0.4).astype(np.float32)),
}


def _npy(values: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, values)
    return buffer.getvalue()


def _tiff(values: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, values)
    return buffer.getvalue()


@pytest.mark.parametrize("ending", SOFT)
@situation(
    "masks of probabilities, such as 0.4, or resampled ones, in NIfTI, TIFF or NumPy",
    "refused with a value: no threshold is guessed",
)
def test_soft_masks(ask: Asking, tmp_path: Path, ending: str) -> None:
    files = [SOFT[ending](truth(at)) for at in range(N)]
    refused(ask, masked(tmp_path / "set", files, ending), "whole numbers", "0.4", "'1.png'")


@pytest.mark.parametrize("ending", [".npy", ".tif"])
@situation("TIFF and NumPy masks of floats 0.0 to 3.0", "read as labels 0 to 3")
def test_float_labels(tmp_path: Path, ending: str) -> None:
    write = {".npy": _npy, ".tif": _tiff}[ending]
    files = [write(truth(at, 3).astype(np.float32) + np.float32(1e-4)) for at in range(N)]
    assert dice(masked(tmp_path / "set", files, ending, 3), 3, **KINDS) == pytest.approx(1, abs=1e-6)


@situation("a mask with negative numbers", "refused with its range")
def test_negative_labels(ask: Asking, tmp_path: Path) -> None:
    files = [nifti(truth(at).astype(int) - 1, np.int16) for at in range(N)]
    refused(ask, masked(tmp_path / "set", files, ".nii"), "run from -1 to 0")


@situation(
    "masks of several kinds as 16-bit PNG, as PNG with a palette and as DICOM",
    "read by their stored numbers, not by their colors",
)
@pytest.mark.parametrize("kind", ["16 bit", "palette", "DICOM"])
def test_stored_numbers(tmp_path: Path, kind: str) -> None:
    files: list[bytes] = []
    for at in range(N):
        labels = truth(at, 3)
        paletted = Image.fromarray(labels, mode="P")
        paletted.putpalette([0, 0, 0, 200, 0, 0, 0, 200, 0, 10, 10, 250])
        deep = encoded(labels.astype(np.uint16), "PNG")
        files.append({"16 bit": deep, "palette": encoded(paletted, "PNG"), "DICOM": dicom(labels)}[kind])
    ending = ".dcm" if kind == "DICOM" else ".png"
    assert dice(masked(tmp_path / "set", files, ending, 3), 3, **KINDS) == pytest.approx(1, abs=1e-6)


@situation("a value that nobody named", "refused, with the value and what to write")
def test_unnamed_value(ask: Asking, tmp_path: Path) -> None:
    files = [encoded(truth(at, 3), "PNG") for at in range(N)]
    table = masked(tmp_path / "set", files, ".png", 3)
    refused(ask, table, "holds 3", "3: background", mask_values={1: "edema", 2: "core"})


# Pixels that are to be ignored.


def nnunet(folder: Path, ignored: Sequence[int]) -> Path:
    """A set of nnU-Net whose images `ignored` have a band of the value of `ignore`."""
    for part in ("imagesTr", "labelsTr"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    labels = {"background": 0, "lesion": 1, "ignore": 2}
    text = {"channel_names": {"0": "gray"}, "labels": labels, "numTraining": N, "file_ending": ".png"}
    (folder / "dataset.json").write_text(json.dumps(text))
    for at in range(N):
        mask = truth(at)
        (folder / "imagesTr" / f"case_{at:03}_0000.png").write_bytes(encoded(pictured(mask, at), "PNG"))
        if at in ignored:
            mask[:2] = 2
        (folder / "labelsTr" / f"case_{at:03}.png").write_bytes(encoded(mask, "PNG"))
    return folder


@situation(
    "nnU-Net's label `ignore` in some masks", "these images are left out and counted; `ignore` is no kind of lesion"
)
def test_ignore(ask: Asking, tmp_path: Path) -> None:
    answer = ask("look", nnunet(tmp_path / "set", (1, 2)))
    assert answer.code == 0, answer.err
    assert "6 images" in answer.out
    assert "2 images were left out" in answer.out
    assert "`ignore`" in answer.out


@situation(
    "nnU-Net's label `ignore` in every mask, as with scribbles", "refused: it says that no image is labeled whole"
)
def test_ignore_everywhere(ask: Asking, tmp_path: Path) -> None:
    answer = ask("look", nnunet(tmp_path / "set", range(N)))
    assert answer.code == 2
    assert "`ignore`" in answer.err


@situation(
    "a value called `ignore` in mask_values",
    "the images that have it leave the score, and the others are scored by the kinds alone",
)
def test_ignore_leaves_the_score(tmp_path: Path) -> None:
    masks = [truth(at) for at in range(N)]
    masks[3][0] = 7
    table = masked(tmp_path / "set", [encoded(mask, "PNG") for mask in masks], ".png")
    assert dice(table, mask_values={1: "lesion", 7: "ignore"}) == pytest.approx(1, abs=1e-6)


def coco(folder: Path, crowds: Mapping[int, Any], categories: Sequence[str] = ("nodule",)) -> Path:
    """A COCO file of boxes as polygons; images of `crowds` have a further annotation with these fields."""
    folder.mkdir(parents=True, exist_ok=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for at in range(N):
        mask = truth(at)
        (folder / f"{at}.png").write_bytes(encoded(pictured(mask, at), "PNG"))
        images.append({"id": at, "file_name": f"{at}.png", "width": SIDE, "height": SIDE})
        if mask.any():
            rows, columns = np.nonzero(mask)
            top, left, bottom, right = rows.min(), columns.min(), rows.max() + 1, columns.max() + 1
            corners = [left, top, right, top, right, bottom, left, bottom]
            annotations.append(
                {"image_id": at, "category_id": 1, "iscrowd": 0, "segmentation": [[int(corner) for corner in corners]]}
            )
        if at in crowds:
            counts = [0, SIDE * 2, SIDE * (SIDE - 2)]
            annotations.append(
                {
                    "image_id": at,
                    "category_id": 1,
                    "segmentation": {"size": [SIDE, SIDE], "counts": counts},
                    **crowds[at],
                }
            )
    names = [{"id": number, "name": name} for number, name in enumerate(categories, start=1)]
    text = {"images": images, "annotations": annotations, "categories": names}
    (folder / "annotations.json").write_text(json.dumps(text))
    return folder


OF_COCO = {"image": "file_name", "mask": "", "unmasked": "lesion-free"}


@situation(
    "COCO regions of a crowd (`iscrowd`: 1)", "their images are left out and counted; the regions are no lesions"
)
def test_crowd(ask: Asking, tmp_path: Path) -> None:
    folder = coco(tmp_path / "set", {1: {"iscrowd": 1}, 4: {"iscrowd": 1}})
    assert dice(folder / "annotations.json", **OF_COCO) == pytest.approx(1, abs=1e-6)
    answer = ask("look", folder, "--unmasked", "lesion-free")
    assert answer.code == 0, answer.err
    assert "6 images" in answer.out
    assert "2 images were left out" in answer.out
    assert "`iscrowd`" in answer.out


@situation("a COCO category called `ignore`", "treated like a crowd")
def test_category_to_ignore(tmp_path: Path) -> None:
    folder = coco(tmp_path / "set", {1: {"category_id": 2}}, ("nodule", "ignore"))
    assert dice(folder / "annotations.json", **OF_COCO) == pytest.approx(1, abs=1e-6)


@situation("COCO run lengths of single lesions (`iscrowd`: 0)", "lesions like any other")
def test_runs_of_one_lesion(tmp_path: Path) -> None:
    folder = coco(tmp_path / "set", {1: {"iscrowd": 0}})
    assert dice(folder / "annotations.json", **OF_COCO) < 1  # two columns more than the image shows


# Masks that do not lie on their image.


def turned(at: int, orientation: int, mask: bool) -> bytes:
    exif = Image.Exif()
    exif[274] = orientation
    labels = truth(at)
    return encoded(labels * np.uint8(255) if mask else pictured(labels, at), "PNG", exif=exif)


@pytest.mark.parametrize("orientation", [2, 3, 6])
@situation("images that EXIF turns, also square ones, whose masks have no such tag", "a caution with their number")
def test_image_turned_alone(ask: Asking, tmp_path: Path, orientation: int) -> None:
    images = {at: turned(at, orientation, False) for at in (1, 3, 4)}
    table = masked(tmp_path / "set", [encoded(truth(at) * np.uint8(255), "PNG") for at in range(N)], ".png", 1, images)
    answer = ask("look", table, "--target", "lesion")
    assert answer.code == 0, answer.err
    assert "3 images are turned" in answer.out
    assert "EXIF" in answer.out
    assert dice(table) < 1


@situation("images and masks with the same orientation in EXIF", "both are turned; no caution")
def test_both_turned(ask: Asking, tmp_path: Path) -> None:
    images = {at: turned(at, 6, False) for at in range(N)}
    table = masked(tmp_path / "set", [turned(at, 6, True) for at in range(N)], ".png", 1, images)
    assert dice(table) == pytest.approx(1, abs=1e-6)
    assert "EXIF" not in ask("look", table, "--target", "lesion").out


@situation(
    "an image that is not square and turned by EXIF, and its mask is not",
    "refused: the sizes differ, and EXIF is named",
)
def test_turned_and_of_another_size(ask: Asking, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6
    wide = [encoded(pictured(truth(at), at)[:16], "PNG", exif=exif) for at in range(N)]
    masks = [encoded(truth(at)[:16] * np.uint8(255), "PNG") for at in range(N)]
    refused(ask, masked(tmp_path / "set", masks, ".png", 1, dict(enumerate(wide))), "24 x 16", "EXIF")


@situation(
    "NIfTI images and masks whose affines run opposite ways over the same place",
    "both are turned to the same side: the mask lies on the lesion",
)
def test_affines_of_both(tmp_path: Path) -> None:
    left, right = np.diag([-1, 1, 1, 1.0]), np.eye(4)
    left[0, 3] = SIDE - 1
    images: dict[int, bytes] = {}
    masks: list[bytes] = []
    for at in range(N):
        labels = truth(at)
        images[at] = nibabel.Nifti1Image(pictured(labels, at)[::-1, ::-1].T, left).to_bytes()
        masks.append(nibabel.Nifti1Image(labels[::-1].T, right).to_bytes())
    assert dice(masked(tmp_path / "set", masks, ".nii", 1, images)) == pytest.approx(1, abs=1e-6)


ITK = np.diag([-1, -1, 1, 1.0])
"""The affine of a NIfTI file that ITK makes of a PNG or a DICOM slice without a position."""
AXIAL = {
    "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
    "ImagePositionPatient": [-30, -12, 40],
    "PixelSpacing": [2, 1.5],
}
CORONAL = {**AXIAL, "ImageOrientationPatient": [1, 0, 0, 0, 0, -1]}


def affine_of(tags: Mapping[str, Any]) -> np.ndarray:
    """The affine that ITK, nibabel and dcm2niix agree on: the first pixel, and columns and rows in mm of RAS."""
    (down, across), cosines = tags["PixelSpacing"], np.array(tags["ImageOrientationPatient"], dtype=float)
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = across * cosines[:3], down * cosines[3:]
    affine[:3, 2] = np.cross(cosines[:3], cosines[3:])
    affine[:3, 3] = tags["ImagePositionPatient"]
    return np.diag([-1, -1, 1, 1.0]) @ affine


@pytest.mark.parametrize("tags", [AXIAL, CORONAL, {}])
@pytest.mark.parametrize("turn", [None, 0, 1])
@situation(
    "NIfTI masks of DICOM or PNG images whose affine fits them, as ITK and dcm2niix save it",
    "turned to their images, which is reported",
)
def test_mask_of_another_format(ask: Asking, tmp_path: Path, tags: Mapping[str, Any], turn: int | None) -> None:
    images, masks = dict[int, bytes](), list[bytes]()
    affine = affine_of(tags) if tags else ITK
    for at in range(N):
        labels = np.pad(truth(at), ((0, 0), (0, 4)))
        pixels = pictured(labels, at)
        images[at] = dicom(pixels.astype(np.uint16) * 257, **tags) if tags else encoded(pixels, "PNG")
        mask = nibabel.Nifti1Image(labels.T[:, :, None], affine)
        if turn is not None:  # dcm2niix stores rows upwards: another order of the same pixels in space
            flips = np.array([[0, -1 if turn == 0 else 1], [1, -1 if turn == 1 else 1], [2, 1]])
            mask = mask.as_reoriented(flips)
        masks.append(mask.to_bytes())
    table = masked(tmp_path / "set", masks, ".nii", 1, images)
    assert dice(table, size=SIDE + 4) == pytest.approx(1, abs=1e-6)
    assert f"{N} masks were turned to their images" in ask("look", table, "--target", "lesion").out


@pytest.mark.parametrize("affine", [np.eye(4), np.diag([-1, 1, 1, 1.0]), None])
@situation(
    "NIfTI masks of PNG images whose affine does not fit, or that have none; PNG masks of NIfTI images",
    "refused: the mask may lie mirrored",
)
def test_mask_of_unknown_axes(ask: Asking, tmp_path: Path, affine: np.ndarray | None) -> None:
    images = {at: encoded(pictured(truth(at), at), "PNG") for at in range(N)}
    masks = [nibabel.Nifti1Image(truth(at).T, affine).to_bytes() for at in range(N)]
    refused(ask, masked(tmp_path / "set", masks, ".nii", 1, images), "only one is NIfTI", "mirrored", "'1.png'")
    slices = {at: nibabel.Nifti1Image(pictured(truth(at), at).T, affine).to_bytes() for at in range(N)}
    drawn = [encoded(truth(at) * np.uint8(255), "PNG") for at in range(N)]
    refused(ask, masked(tmp_path / "other", drawn, ".png", 1, slices), "only one is NIfTI")


@pytest.mark.parametrize("affine", [np.eye(4), None])
@situation(
    "NIfTI masks whose affine is lost, or that of `np.eye(4)`, and images whose axes run otherwise",
    "refused: either the arrays or the affines lie on each other, and not both",
)
def test_mask_with_another_affine(ask: Asking, tmp_path: Path, affine: np.ndarray | None) -> None:
    images = {at: slice_of(pictured(truth(at), at), ITK) for at in range(N)}
    masks = [nibabel.Nifti1Image(truth(at).T[:, :, None], affine).to_bytes() for at in range(N)]
    refused(ask, masked(tmp_path / "set", masks, ".nii", 1, images), "axes RA", "image LP", "affine of the image")


@situation(
    "NIfTI masks whose axes run like those of their images, with another place or pixel size in the affine",
    "laid on pixel by pixel, with a caution",
)
def test_mask_of_another_place(ask: Asking, tmp_path: Path) -> None:
    scaled = np.diag([0.7, 0.7, 3, 1.0])
    pixels = {at: pictured(truth(at), at)[::-1] for at in range(N)}
    masks = [slice_of(truth(at)) for at in range(N)]
    images = {at: slice_of(pixels[at], scaled) for at in range(N)}
    table = masked(tmp_path / "set", masks, ".nii", 1, images)
    assert dice(table) == pytest.approx(1, abs=1e-6)
    assert f"NIfTI headers of {N} masks" in ask("look", table, "--target", "lesion").out
    alike = masked(tmp_path / "alike", [slice_of(truth(at)[::-1], scaled) for at in range(N)], ".nii", 1, images)
    assert "NIfTI" not in ask("look", alike, "--target", "lesion", "--out", "alike_look").out


# Masks written as text.


def column(pixels: np.ndarray, order: str) -> str:
    """Run lengths of a mask by their definition: pairs of start, counted from 1, and length."""
    flat = pixels.flatten(order=order)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flat, [0]])))
    return " ".join(f"{start + 1} {end - start}" for start, end in edges.reshape(-1, 2).tolist()) or "-1"


@pytest.mark.parametrize("form", ["kaggle-rle", "kaggle-rle-rows"])
@situation("run lengths of Kaggle, down the columns or along the rows", "read as they are defined; `-1` is no lesion")
def test_run_lengths(tmp_path: Path, form: str) -> None:
    files = [encoded(pictured(truth(at), at), "PNG") for at in range(N)]
    order = "F" if form == "kaggle-rle" else "C"
    table = image_set(tmp_path / "set", files, ".png", mask=[column(truth(at), order) for at in range(N)])
    assert dice(table, mask_format=form) == pytest.approx(1, abs=1e-6)


@situation("run lengths that end beyond the image, or start at pixel 0", "refused by row")
def test_wrong_runs(ask: Asking, tmp_path: Path) -> None:
    files = [encoded(pictured(truth(at), at), "PNG") for at in range(N)]
    cells = [column(truth(at), "F") for at in range(N)]
    cells[1], cells[3] = f"{SIDE * SIDE} 2", "0 5"
    table = image_set(tmp_path / "set", files, ".png", mask=cells)
    refused(ask, table, "'1.png'", "'3.png'", "end at pixel", "before pixel 1", mask_format="kaggle-rle")


@situation(
    "run lengths whose starts count from the end of the run before, as of SIIM's pneumothorax, or are not in order",
    "refused by row",
)
def test_relative_runs(ask: Asking, tmp_path: Path) -> None:
    files = [encoded(pictured(truth(at), at), "PNG") for at in range(N)]
    absolute = [[*map(int, column(truth(at), "F").split())] for at in range(N)]
    cells: list[str] = []
    for runs in absolute:
        ends = [0, *(start + length for start, length in zip(runs[::2], runs[1::2], strict=False))]
        starts = (start - end for start, end in zip(runs[::2], ends, strict=False))
        relative = [f"{start} {length}" for start, length in zip(starts, runs[1::2], strict=False)]
        cells.append(" ".join(relative) or "-1")
    table = image_set(tmp_path / "set", files, ".png", mask=cells)
    refused(ask, table, "'1.png'", "'3.png'", "from the end of the run before", mask_format="kaggle-rle")


@pytest.mark.parametrize(
    ("scale", "said"), [(1 / SIDE, "lies in the first pixel"), (100 / SIDE, "far beyond the image")]
)
@situation(
    "polygons of COCO in shares of the image, or beyond it, as in percent or with y before x",
    "refused: COCO counts in pixels",
)
def test_polygons_in_other_units(ask: Asking, tmp_path: Path, scale: float, said: str) -> None:
    path = coco(tmp_path / "set", {}) / "annotations.json"
    content = json.loads(path.read_text())
    for entry in content["annotations"]:
        entry["segmentation"] = [[value * scale for value in points] for points in entry["segmentation"]]
    path.write_text(json.dumps(content))
    refused(ask, path, said, "give x and y in px of this image", **OF_COCO)


@situation("several kinds of lesion in a JPEG", "refused: compression smears their numbers")
def test_jpeg_of_kinds(ask: Asking, tmp_path: Path) -> None:
    files = [encoded(truth(at, 3), "JPEG") for at in range(N)]
    refused(ask, masked(tmp_path / "set", files, ".jpg", 3), "lossy", **KINDS)


@situation("masks of 0 and 255 of which some are all 0", "images without a lesion; the others as they are")
def test_empty_masks(tmp_path: Path) -> None:
    files = [encoded(truth(at) * np.uint8(255), "PNG") for at in range(N)]
    assert dice(masked(tmp_path / "set", files, ".png")) == pytest.approx(1, abs=1e-6)


def first_lines(ask: Asking, table: Path) -> str:
    """What a look says before it answers."""
    answer = ask("look", table, "--target", "lesion")
    assert answer.code == 0, answer.err
    return answer.out


@situation("masks whose dark pixels are the lesions", "a caution among the first lines, with the key to write")
def test_inverted_masks(ask: Asking, tmp_path: Path) -> None:
    masks = [encoded((1 - truth(2 * (at // 2) + 1)) * np.uint8(255), "PNG") for at in range(N)]
    said = first_lines(ask, masked(tmp_path / "set", masks, ".png"))
    assert "caution: lesions: cover more than half of 8 of 8 images with a lesion" in said
    assert "data.mask_inverted: true" in said


@pytest.mark.parametrize("color", [0, 255])
@situation("masks of one color with the lesion in the alpha channel", "read from there, and reported")
def test_alpha(ask: Asking, tmp_path: Path, color: int) -> None:
    def layered(at: int) -> bytes:
        alpha = truth(at) * np.uint8(255)
        return encoded(np.dstack([*[np.full_like(alpha, color)] * 3, alpha]), "PNG")

    table = masked(tmp_path / "set", [layered(at) for at in range(N)], ".png")
    assert dice(table) == pytest.approx(1, abs=1e-6)
    assert f"masks: lesion is in the alpha channel, of masks of one color ({N // 2} masks)" in first_lines(ask, table)


@situation("masks with smooth edges", "lesion is above half of the range, and reported")
def test_smooth_edges(ask: Asking, tmp_path: Path) -> None:
    def smooth(at: int) -> bytes:
        values = truth(at) * np.uint8(255)
        values[1:][(values[1:] == 0) & (values[:-1] == 255)] = 100  # a row below each lesion
        return encoded(values, "PNG")

    table = masked(tmp_path / "set", [smooth(at) for at in range(N)], ".png")
    assert dice(table) == pytest.approx(1, abs=1e-6)
    assert "masks: lesion is above half of the range, in masks with smooth edges (4 masks)" in first_lines(ask, table)


@situation("masks with lesions of 1 and a border of 255, as in PASCAL VOC", "refused: it asks what each value is")
def test_a_border_that_is_not_labeled(ask: Asking, tmp_path: Path) -> None:
    def bordered(at: int) -> bytes:
        inside = truth(at)
        border = np.pad(inside, 1)
        border = np.max([np.roll(border, shift, (0, 1)) for shift in ((0, 1), (1, 0), (0, -1), (-1, 0))], axis=0)
        return encoded(np.where(inside, 1, border[1:-1, 1:-1] * 255).astype(np.uint8), "PNG")

    table = masked(tmp_path / "set", [bordered(at) for at in range(N)], ".png")
    refused(ask, table, "it holds 1, 255, as if these were several kinds", "data.mask_values")
    assert dice(table, mask_values={1: "lesion", 255: "background"}) == pytest.approx(1, abs=1e-6)


@situation(
    "images of the positive class whose masks are empty, or negative ones with a lesion, where masks show the class",
    "a caution among the first lines, with their numbers",
)
@situation("masks that all show a lesion, of benign and malignant ones", "no caution")
def test_masks_against_classes(ask: Asking, tmp_path: Path) -> None:
    count = 16
    masks = [encoded(truth(at) * np.uint8(255 * (at != 1)), "PNG") for at in range(count)]
    path = masked(tmp_path / "set", masks, ".png")
    caution = "caution: lesions: 1 of 8 images of 'label' have an empty mask: check masks and classes"
    assert caution in ask("look", path, "--target", "label").out
    masks[1], masks[2] = encoded(truth(1) * np.uint8(255), "PNG"), encoded(truth(1) * np.uint8(0), "PNG")
    right = masked(tmp_path / "right", masks, ".png")
    assert "lesions:" not in ask("look", right, "--target", "label").out
    everywhere = [encoded(truth(at | 1) * np.uint8(255), "PNG") for at in range(count)]
    path = masked(tmp_path / "all", everywhere, ".png")
    assert "lesions:" not in ask("look", path, "--target", "label").out


@pytest.mark.parametrize("copies", [12, 8])
@situation(
    "one and the same mask for all images, or for most of them: a template, or the file of one image",
    "a caution among the first lines, with the number",
)
def test_one_mask_for_all(ask: Asking, tmp_path: Path, copies: int) -> None:
    files = [encoded(truth(1 if at < copies else 2 * at + 1) * 255, "PNG") for at in range(12)]
    files = [
        encoded(np.roll(truth(1), at, axis=1) * 255, "PNG") if at >= copies else one for at, one in enumerate(files)
    ]
    table = masked(tmp_path / "set", files, ".png")
    said = ask("look", table, "--target", "lesion", "--mask", "mask").out
    assert f"caution: lesions: {copies} of 12 masks are the same: of one image, or a template" in said


@pytest.mark.parametrize("mark", ["_segmentation", "_mask", "-seg"])
@situation(
    "images/ and masks/ whose masks are all named a_segmentation.png, as in ISIC, a_mask.png or the like",
    "each is the mask of its image, and it says what is ignored",
)
def test_names_of_masks(ask: Asking, tmp_path: Path, mark: str) -> None:
    for part in ("images", "masks"):
        (tmp_path / "set" / part).mkdir(parents=True)
    for at in range(12):
        (tmp_path / "set" / "images" / f"a{at}.png").write_bytes(encoded(pictured(truth(at), at), "PNG"))
        (tmp_path / "set" / "masks" / f"a{at}{mark}.png").write_bytes(encoded(truth(at) * 255, "PNG"))
    answer = ask("look", tmp_path / "set")
    assert answer.code == 0, answer.err
    assert f"{mark} at the end of the names of masks is ignored" in answer.out


def _off_border(at: int) -> np.ndarray:
    mask = np.zeros((SIDE, SIDE), dtype=np.uint8)
    mask[3 + at % 5 : 10 + at % 5, 2 + at % 9 : 9 + at % 9] = 255
    return mask


@situation("masks of which a part is inverted", "a caution among the first lines, with their number and rows")
@situation("large lesions that reach the border, or fill images, beside small ones", "no caution")
def test_partly_inverted_masks(ask: Asking, tmp_path: Path) -> None:
    usual = [_off_border(at) for at in range(15)]
    inverted = [255 - mask if at % 3 == 0 else mask for at, mask in enumerate(usual)]
    said = first_lines(ask, masked(tmp_path / "set", [encoded(mask, "PNG") for mask in inverted], ".png"))
    caution = next(line for line in said.splitlines() if line.startswith("caution: lesions:"))
    assert "5 of 15 masks with a lesion mark the border and most of the image" in caution
    assert "line 2, 5, 8, 11, 14" in caution
    large = [mask.copy() for mask in usual]
    large[0][:], large[3][2:, :], large[6][:, 1:], large[9][:20, :20] = 255, 255, 255, 255
    for at in (11, 12):
        large[at][:] = 255
        large[at][:3, :3] = 0  # a corner of skin
    assert "inverted" not in first_lines(
        ask, masked(tmp_path / "large", [encoded(one, "PNG") for one in large], ".png")
    )


@situation("COCO polygons with y before x, by the `bbox` of their annotations", "refused by row, with the cause")
@situation("COCO polygons whose `bbox` is rounded, or fits neither order", "read")
def test_transposed_polygons(ask: Asking, tmp_path: Path) -> None:
    for name in ("transposed", "rounded", "other"):
        path = coco(tmp_path / name, {}) / "annotations.json"
        content = json.loads(path.read_text())
        for entry in content["annotations"]:
            (points,) = entry["segmentation"]
            left, top, right, bottom = min(points[::2]), min(points[1::2]), max(points[::2]), max(points[1::2])
            entry["bbox"] = (
                [left - 0.5, top, right - left + 1, bottom - top]
                if name == "rounded"
                else [left, top, right - left, bottom - top]
            )
            if name == "transposed":
                entry["segmentation"] = [
                    [value for x, y in zip(points[::2], points[1::2], strict=True) for value in (y, x)]
                ]
            if name == "other":
                entry["bbox"] = [0, 0, SIDE, SIDE]
        path.write_text(json.dumps(content))
        if name == "transposed":
            refused(ask, path, "its polygons have x where its `bbox` has y", "give x and y in px", **OF_COCO)
        else:
            assert dice(path, **OF_COCO) == pytest.approx(1, abs=1e-6)


@situation(
    "polygons or run lengths of images that EXIF turns, in `assay.probe`", "a warning and a doubt of the result, too"
)
def test_turned_images_in_python(tmp_path: Path) -> None:
    path = coco(tmp_path / "set", {})
    turned = Image.Exif()
    turned[0x112] = 3
    for at in range(N):
        (path / f"{at}.png").write_bytes(encoded(pictured(truth(at), at), "PNG", exif=turned))
    with pytest.warns(UserWarning, match="turned as their EXIF orientation says"):
        dice(path / "annotations.json", **OF_COCO)


@situation("a table of boxes of images that EXIF turns", "a doubt, with the number of images that have boxes")
def test_boxes_of_turned_images(tmp_path: Path) -> None:
    turned = Image.Exif()
    turned[0x112] = 3
    files = [encoded(pictured(truth(1), at), "PNG", **({"exif": turned} if at < 4 else {})) for at in range(N)]
    table = image_set(tmp_path / "set", files, ".png")
    write_table(table.parent / "boxes.csv", [["image", "kind", "x0", "y0", "x1", "y1"], *(
        [f"{at}.png", "nodule", 2, 2, 9, 9] for at in range(2, N)
    )])  # fmt: skip
    spec = {"folder": str(table.parent), "target": "label", "size": SIDE, "boxes": {"table": "boxes.csv"}}
    (doubt,) = load_dataset(DataSpec.model_validate(spec), ArrayCache(tmp_path / "cache")).card.doubts
    assert "2 images are turned as their EXIF orientation says, and their boxes have none" in doubt


def drawn(at: int) -> np.ndarray:
    """A lesion [48, 48] of its own size and place."""
    draw = np.random.default_rng(at)
    down, across = np.mgrid[:48, :48]
    middle, radii = draw.integers(9, 39, 2), draw.integers(4, 8, 2)
    return ((down - middle[0]) / radii[0]) ** 2 + ((across - middle[1]) / radii[1]) ** 2 <= 1


def folder_of_masks(folder: Path, masks: Sequence[np.ndarray], scale: int = 1) -> Path:
    """Images images/1.png and so on, brighter in lesions, and these masks."""
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    for at, mask in enumerate(masks):
        pixels = np.random.default_rng(at).normal(80, 10, (48, 48)) + 60 * drawn(at)
        pixels = pixels.repeat(scale, axis=0).repeat(scale, axis=1)
        (folder / "images" / f"{at + 1}.png").write_bytes(encoded(pixels.clip(0, 255).astype(np.uint8), "PNG"))
        (folder / "masks" / f"{at + 1}.png").write_bytes(encoded(mask, "PNG"))
    return folder


def gray(lesion: np.ndarray) -> np.ndarray:
    return lesion * np.uint8(255)


AS_TEXT = sorted(range(1, 31), key=str)
MISPLACED = {
    "": [gray(drawn(at)) for at in range(30)],
    "mirrored": [gray(drawn(at))[:, ::-1] for at in range(30)],
    "mirrored from top to bottom": [gray(drawn(at))[::-1] for at in range(30)],
    "transposed (rows for columns)": [gray(drawn(at)).T for at in range(30)],
    "moved to the left by about 12%": [gray(np.roll(drawn(at), 6, axis=1)) for at in range(30)],
    "moved up by about 8% and to the right by about 8%": [
        gray(np.roll(drawn(at), (4, -4), axis=(0, 1))) for at in range(30)
    ],
    "with the image after theirs": [gray(drawn((at + 1) % 30)) for at in range(30)],
    "with the image before theirs": [gray(drawn((at - 1) % 30)) for at in range(30)],
    "in another order: of names as numbers": [gray(drawn(number - 1)) for number in AS_TEXT],
}


@pytest.mark.parametrize("how", MISPLACED)
@situation(
    "masks that were written mirrored, turned or transposed, so that they fit their images better the other way",
    "a caution among the first lines, with what fits better",
)
@situation(
    "masks of the next image, or named in another order than images, as 10 before 2, so that each is of another image",
    "a caution among the first lines, with what fits better",
)
@situation("masks that all lie 5% of the side or more beside lesions with clear edges", "a caution, with the way back")
@situation("masks that lie on their images", "no caution, also of the real sets that we have")
def test_masks_that_fit_better_elsewhere(ask: Asking, tmp_path: Path, how: str) -> None:
    said = ask("look", folder_of_masks(tmp_path / "set", [np.ascontiguousarray(mask) for mask in MISPLACED[how]])).out
    caution = f"caution: lesions: masks fit the edges in 30 images clearly better {how}"
    assert (caution in said) if how else ("lesions:" not in said), said


@situation("masks that are larger than their lesions all around", "no caution")
@situation("specks of a pixel in masks beside their lesions", "a caution with how many masks have them")
def test_generous_masks_and_specks(ask: Asking, tmp_path: Path) -> None:
    large = [gray(maximum_filter(drawn(at), 5)) for at in range(30)]
    assert "lesions:" not in ask("look", folder_of_masks(tmp_path / "large", large)).out
    specked = [np.kron(gray(drawn(at)), np.ones((4, 4), np.uint8)) for at in range(30)]
    for at, mask in enumerate(specked[:7]):
        mask[(3, 150)[at % 2], 5:7] = 255
    folder = folder_of_masks(tmp_path / "specked", specked, scale=4)
    said = ask("look", folder).out
    assert "7 of 30 masks have specks of 1 or 2 px beside a lesion, which count as lesion" in said


def outlined(lesion: np.ndarray) -> np.ndarray:
    shifted = [np.roll(lesion, by, axis) for axis in (0, 1) for by in (1, -1)]
    return np.logical_or.reduce(shifted) & ~lesion


@situation(
    "masks that are lines around the lesions", "a caution among the first lines: fill them, if they mean the area"
)
@situation("masks of a net of thin vessels", "no caution")
def test_outlines_as_masks(ask: Asking, tmp_path: Path) -> None:
    lines = folder_of_masks(tmp_path / "lines", [gray(outlined(drawn(at))) for at in range(8)])
    assert "8 of 8 masks are lines around an area: fill them, if they mean it" in ask("look", lines).out
    net = np.zeros((48, 48), bool)
    net[4:44:8, 4:40] = net[4:44, 4:40:8] = True
    nets = folder_of_masks(tmp_path / "nets", [gray(np.roll(net, at, axis=1)) for at in range(8)])
    assert "lesions:" not in ask("look", nets).out


@situation("pictures in place of masks: the image with its lesion drawn on it", "refused: it is a picture and no mask")
def test_pictures_as_masks(ask: Asking, tmp_path: Path) -> None:
    def overlay(at: int) -> np.ndarray:
        picture = np.random.default_rng(at).normal(100, 25, (48, 48, 1)).clip(0, 255).repeat(3, axis=2)
        return np.where(outlined(drawn(at))[..., None], [255, 0, 0], picture).astype(np.uint8)

    said = ask("look", folder_of_masks(tmp_path / "set", [overlay(at) for at in range(8)]))
    assert said.code == 2
    assert "gray levels between black and white, as a picture has" in said.err


@situation(
    "soft masks, whose values are probabilities, of many gray levels",
    "refused, with the remedy: 1 where it is over 0.5",
)
def test_maps_of_probabilities(ask: Asking, tmp_path: Path) -> None:
    down, across = np.mgrid[:48, :48]
    soft = [(255 * np.exp(-((down - 20 - at) ** 2 + (across - 24) ** 2) / 400)).astype(np.uint8) for at in range(8)]
    said = ask("look", folder_of_masks(tmp_path / "set", soft))
    assert (said.code, "such as 1 where a probability is over 0.5" in said.err) == (2, True)


@situation(
    "masks of one color each, red in some and green in others, as of benign and malignant lesions",
    "read as one kind, with a caution that counts the colors",
)
@situation("masks that are all red", "no caution")
def test_colors_of_masks(ask: Asking, tmp_path: Path) -> None:
    def colored(at: int, color: list[int]) -> np.ndarray:
        return (drawn(at)[..., None] * np.array(color)).astype(np.uint8)

    several = [colored(at, [255, 0, 0] if at < 5 else [0, 200, 0]) for at in range(8)]
    caution = "lesions: their color is red in 5 masks, green in 3 masks: all are one kind"
    assert caution in ask("look", folder_of_masks(tmp_path / "several", several)).out
    red = folder_of_masks(tmp_path / "red", [colored(at, [255, 0, 0]) for at in range(8)])
    assert "lesions:" not in ask("look", red).out


@situation(
    "kinds of lesions that are called normal tissue, healthy or after an organ, in COCO or mask_values",
    "a caution: they count as lesions",
)
@situation("kinds such as `liver tumor`, `lesion`, `benign` or `lung nodule`", "no caution")
def test_kinds_that_are_no_lesions(tmp_path: Path) -> None:
    for first, second, named in (
        ("lesion", "normal tissue", "normal tissue"), ("liver", "liver tumor", "liver"), ("benign", "lung nodule", ""),
    ):  # fmt: skip
        folder = tmp_path / first
        (folder / "images").mkdir(parents=True)
        outlines, pictures = list[dict[str, Any]](), list[dict[str, Any]]()
        for at in range(8):
            pixels = np.random.default_rng(at).integers(0, 256, (48, 48)).astype(np.uint8)
            Image.fromarray(pixels).save(folder / "images" / f"{at}.png")
            pictures.append({"id": at, "file_name": f"{at}.png", "width": 48, "height": 48})
            square = [5 + at, 5, 25 + at, 5, 25 + at, 15, 5 + at, 15]
            outlines.append(
                {"id": at, "image_id": at, "category_id": 1 + at % 2, "iscrowd": 0, "segmentation": [square]}
            )
        categories = [{"id": 1, "name": first}, {"id": 2, "name": second}]
        document = {"images": pictures, "annotations": outlines, "categories": categories}
        (folder / "coco.json").write_text(json.dumps(document), encoding="utf-8")
        spec = DataSpec(folder=str(folder), table="coco.json", target="lesion", size=48, channels="gray")
        said = load_dataset(spec, ArrayCache(tmp_path / "cache")).card.read.get("lesions", "")
        assert (f"by name, no lesions are {named}, which count as such" in said) == bool(named), said
