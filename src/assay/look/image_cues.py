"""List properties of images and plain baselines on them that predict the target without a network."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int
from PIL import Image

from assay.core.opencv import cv2
from assay.core.seeds import folds_by_patient, row_uniform
from assay.core.types import FactorTable
from assay.data.cache import image_values, mask_values
from assay.data.cards import without_patients
from assay.data.dataset import Dataset, Images, Masks, Originals
from assay.data.files.fitting import Placement, by_box, placed
from assay.look.cues import FOLDS, MIN_ROWS, SEED, Cue, compared_classes, cue_of, cues_of_table, level_cue, number_cue
from assay.look.request import EXAMINED
from assay.spec.data import LESION
from assay.stats.ridge import cross_validated_predictions
from assay.store.data_tables import CONTENT_CUES, LARGE

MAX_IMAGES = 4000
"""Image properties and baselines are taken of so many images at most, all images of patients drawn at random."""
THUMBNAIL, RING = 16, 20
"""Pixels a side of the thumbnail, and of the image whose outer tenth is the frame of two pixels."""
MARK, BRIGHTER, MIN_LEGIBLE = 0.4, 0.15, 64
"""Thin bright marks go by this share of the way from what is around them to white, and are brighter by this.

On fewer pixels a side no letter can be told from texture.
"""
CELLS, DIRECTIONS, EDGES = 8, 8, "edges by direction"
IMAGE_KINDS = ("image", "baseline")
"""Kinds of cues of the pictures alone."""
_MEASURES = "look 2"
"""Name of what `_measure_at_size` returns; its number rises when the same picture yields another."""
_BLACK, _WHITE = 1.5 / 255, 239.5 / 255
"""Gray up to level 1 of 255, and from 240 on, with rounding of the mean of channels."""
_BATCH = 64
_TRIANGLE = Image.Resampling.BILINEAR
_SUFFIXES = {"jpeg": "jpg", "jpe": "jpg", "tif": "tiff", "dicom": "dcm"}

Measure = Callable[[np.ndarray], Mapping[str, np.ndarray]]
"""Pictures [b, c, h, w] -> name -> a number, or numbers, for each."""


@dataclass(frozen=True)
class ImageProperties:
    """What cheap measures see in images, without padding: tones in files, the rest at one size for all kinds of run.

    Attributes:
        rows: Positions of the images: all of them, or whole patients up to `MAX_IMAGES`.
        properties: Name -> a number for each.
        features: Name of a baseline -> its input for each; that of the thumbnail first. `EDGES` are no baseline.
    """

    rows: Int[np.ndarray, " m"]
    properties: Mapping[str, Float[np.ndarray, " m"]]
    features: Mapping[str, Float[np.ndarray, "m d"]]


def cues_of(dataset: Dataset, others: FactorTable | None, image_properties: ImageProperties) -> list[Cue]:
    """Return what may predict the target.

    Every factor (but one of the role *core*, which defines the target), every column that the study does not name,
    whether they are filled, properties of the images, and ridge regressions on held-out patients. Where patients are
    not named, rows count none. Of a segmentation they may also predict which lesions are large; these have no scores.

    Args:
        dataset: The images.
        others: The images with the columns that are not named; None where there are none.
        image_properties: Measures of the images.
    """
    table = dataset.table
    cues = [*cues_of_table(table), *_cues_of_images(dataset, table.take(image_properties.rows), image_properties)]
    cues = [
        cue.expand_to_all(image_properties.rows, len(table)) if cue.row["kind"] in IMAGE_KINDS else cue for cue in cues
    ]
    if others is not None:
        others = replace(others, patient=table.patient)
        cues += cues_of_table(others, "column")
    if dataset.masks is not None and table.classes == LESION.levels:
        has_both_classes = np.bincount(table.target, minlength=2).min() >= MIN_ROWS
        cues = [
            *(cues if has_both_classes else ()),
            *_cues_of_area(dataset, dataset.masks, others, image_properties),
        ]
    if without_patients(dataset.card.known_faults):
        cues = [replace(cue, row={**cue.row, "patients": 0}) for cue in cues]
    return cues


def _cues_of_area(
    dataset: Dataset, masks: Masks, others: FactorTable | None, image_properties: ImageProperties
) -> Iterator[Cue]:
    """Yield what may predict which lesions are over their median area, among images with a lesion."""
    parts = np.array_split(image_properties.rows, max(1, len(image_properties.rows) // _BATCH))
    area = np.concatenate([(mask_values(masks, part) > 0).sum(axis=(1, 2, 3)) for part in parts])
    has_lesion = area > 0
    if not has_lesion.any():
        return
    rows, over = image_properties.rows[has_lesion], (area[has_lesion] > np.median(area[has_lesion])).astype(np.int64)

    def with_size_as_target(table: FactorTable) -> FactorTable:
        return replace(table.take(rows), target=over, classes=("small lesion", LARGE))

    of_lesions = [
        {name: values[has_lesion] for name, values in values_by_name.items()}
        for values_by_name in (image_properties.properties, image_properties.features)
    ]
    table = with_size_as_target(dataset.table)
    cues = [*cues_of_table(table), *_cues_of_images(dataset, table, ImageProperties(rows, *of_lesions))]
    cues += [] if others is None else cues_of_table(with_size_as_target(others), "column")
    yield from (replace(cue, scores={}) for cue in cues)


def _cues_of_images(dataset: Dataset, table: FactorTable, image_properties: ImageProperties) -> Iterator[Cue]:
    rows = image_properties.rows
    for name, values in {**_native(dataset, rows), **image_properties.properties}.items():
        if np.ptp(values) > 0:
            yield number_cue("image", name, values, table)
    ends: list[str] = [dataset.formats[at] for at in rows.tolist()] if dataset.formats else []
    formats = [_SUFFIXES.get(end, end) for end in ends]
    distinct_formats = sorted(set(formats))
    if len(distinct_formats) > 1:
        level = np.array([distinct_formats.index(name) for name in formats], dtype=np.int64)
        yield level_cue("image", "file format", table, level >= 0, lambda _: level)
    fold = folds_by_patient(table.patient, FOLDS, SEED)
    for name, features in image_properties.features.items():
        if name != EDGES:
            wanted = np.stack([table.target == code for code in compared_classes(table)], axis=1).astype(np.float64)
            predictions = cross_validated_predictions(features, wanted, fold)
            yield cue_of("baseline", name, table, dict(zip(compared_classes(table), predictions.T, strict=True)), fold)


def sampled_images(patient: Int[np.ndarray, " n"]) -> Int[np.ndarray, " m"]:
    """Return positions of all images, or of whole patients up to `MAX_IMAGES`, at least one."""
    if len(patient) <= MAX_IMAGES:
        return np.arange(len(patient))
    codes, patient_number, counts = np.unique(patient, return_inverse=True, return_counts=True)
    order = np.argsort(row_uniform(SEED, "shortcuts", codes), kind="stable")
    chosen = order[: max(1, int((np.cumsum(counts[order]) <= MAX_IMAGES).sum()))]
    return np.flatnonzero(np.isin(patient_number, chosen))


def _native(dataset: Dataset, rows: Int[np.ndarray, " m"]) -> dict[str, np.ndarray]:
    if dataset.native is None:
        return {}
    width, height = dataset.native[rows].astype(np.float64).T
    return {"width": width, "height": height, "aspect (width / height)": width / height}


def measure_images(dataset: Dataset, size: int = EXAMINED) -> ImageProperties:
    """Measure every image, or those of some patients.

    Args:
        dataset: The images. Their files are measured, so that the size of a study or of a model's input decides
            nothing; the images themselves where files are not what they show.
        size: Longer side at which files are examined, in pixels.
    """
    rows, boxes = sampled_images(dataset.table.patient), dataset.boxes
    if dataset.in_files is not None:
        measured = _measure_files(dataset.in_files.take(rows), dataset.images.shape[0], size)
    else:
        measured = measure_pictures(
            dataset.images, boxes, rows, lambda pictures: properties_of(pictures) | _features(pictures)
        )
    properties = {name: values for name, values in measured.items() if values.ndim == 1}
    features = {name: values for name, values in measured.items() if values.ndim == 2}
    if boxes is not None and len(np.unique(boxes[rows], axis=0)) > 1:
        features["padding mask"] = _padding(boxes[rows], dataset.images.shape)
    return ImageProperties(rows, properties, features)


def _measure_files(files: Originals, channels: int, size: int) -> dict[str, np.ndarray]:
    """Return properties and features of every file: name -> a number or a row for each."""
    blank = np.zeros((1, channels, 1, 1), dtype=np.float32)
    lengths: dict[str, tuple[int, ...]] = {
        name: values[0].shape for name, values in _measure_at_size(blank, size).items()
    }
    ends = np.cumsum([math.prod(shape) for shape in lengths.values()])[:-1]
    values = files.measured(
        f"{_MEASURES} at {size}",
        lambda pictures: np.hstack([part.reshape(len(part), -1) for part in _measure_at_size(pictures, size).values()]),
    )
    parts = np.split(values.astype(np.float64), ends, axis=1)
    return {name: part.reshape(-1, *shape) for (name, shape), part in zip(lengths.items(), parts, strict=True)}


def _measure_at_size(pictures: Float[np.ndarray, "b c h w"], size: int) -> dict[str, np.ndarray]:
    """Return tones of pictures as they are, and the rest at no more than this side."""
    scaled = _scale_down(pictures, size)
    return properties_of(scaled) | tones_of(pictures) | _features(scaled)


def _scale_down(pictures: Float[np.ndarray, "b c h w"], size: int) -> Float[np.ndarray, "b c h2 w2"]:
    """Return pictures with their longer side at most so long."""
    height, width = pictures.shape[2:]
    if max(height, width) <= size:
        return pictures
    box = placed(height, width, size)
    planes = pictures.reshape(-1, height, width)
    small = [np.asarray(Image.fromarray(plane).resize((box.width, box.height), _TRIANGLE)) for plane in planes]
    return np.stack(small).reshape(*pictures.shape[:2], box.height, box.width)


def measure_pictures(
    images: Images, boxes: Int[np.ndarray, "n 4"] | None, rows: Int[np.ndarray, " m"], measure: Measure
) -> dict[str, np.ndarray]:
    """Return a measure of every picture, without its padding: name -> a number or a row for each of these positions."""
    values_by_name: dict[str, np.ndarray] = {}
    for box, same_box in by_box(None if boxes is None else boxes[rows], np.arange(len(rows)), images.shape):
        for part in (same_box[start : start + _BATCH] for start in range(0, len(same_box), _BATCH)):
            pictures = image_values(images, rows[part])[:, :, box.rows, box.columns]
            for name, values in measure(pictures).items():
                values_by_name.setdefault(name, np.zeros((len(rows), *values.shape[1:])))[part] = values
    return values_by_name


def tones_of(pictures: Float[np.ndarray, "b c h w"]) -> dict[str, Float[np.ndarray, " b"]]:
    """Return properties of images that mean the same at any size: name -> a number for each."""
    gray = pictures.mean(axis=1)
    count, height, width = gray.shape
    flat = gray.reshape(count, -1)
    inside = gray[:, *_inner(height, width)].reshape(count, -1)
    border = (flat.sum(axis=1) - inside.sum(axis=1)) / max(1, flat.shape[1] - inside.shape[1])
    tones = {
        "mean brightness": flat.mean(axis=1),
        "contrast": flat.std(axis=1),
        "share of black pixels": (flat <= _BLACK).mean(axis=1, dtype=np.float32),
        "share of nearly white pixels": (flat >= _WHITE).mean(axis=1, dtype=np.float32),
        "brightness of the border": border,
    }
    if pictures.shape[1] > 1:
        tones["color saturation"] = (pictures.max(axis=1) - pictures.min(axis=1)).reshape(count, -1).mean(axis=1)
    return tones


def properties_of(pictures: Float[np.ndarray, "b c h w"]) -> dict[str, Float[np.ndarray, " b"]]:
    """Return cheap properties of images, marks and sharpness too, which can be compared at one size alone."""
    gray, tones = pictures.mean(axis=1), tones_of(pictures)
    count = len(gray)
    inner = gray[:, *_inner(*gray.shape[1:])]  # without a frame, whose contrast is none of the picture
    steps = [
        np.abs(side).reshape(count, -1).mean(axis=1) for axis in (1, 2) if (side := np.diff(inner, axis=axis)).size
    ]
    tones["share of thin bright marks"] = _most_marked(gray)
    tones["sharpness"] = sum(steps, np.zeros(count, dtype=np.float32)) / np.maximum(
        inner.reshape(count, -1).std(axis=1), np.float32(_BLACK)
    )
    return tones


def _most_marked(gray: Float[np.ndarray, "b h w"]) -> Float[np.ndarray, " b"]:
    """Return the share of thin bright marks where there are most: in a window of two lines of text, not at the rim."""
    height, width = gray.shape[1:]
    if min(height, width) < MIN_LEGIBLE:
        return np.zeros(len(gray))
    tall, wide = height * 3 // 32, width * 3 // 8
    return np.array([_window_counts(_thin_marks(picture), tall, wide).max() for picture in gray]) / (tall * wide)


def _thin_marks(picture: Float[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """Return the pixels of thin bright marks, without those at the rim."""
    height, width = picture.shape
    down, across = height // 40, width // 40
    # The opening removes bright structures of under five pixels.
    around = cv2.morphologyEx(picture, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
    above, marks = picture - around, np.zeros((height, width), dtype=np.bool_)
    inner = slice(down, height - down), slice(across, width - across)
    marks[inner] = ((above > BRIGHTER) & (above > np.float32(MARK) * (1 - around)))[inner]
    return marks


def _window_counts(marks: Bool[np.ndarray, "h w"], tall: int, wide: int) -> Int[np.ndarray, "y x"]:
    """Return the number of marked pixels in every second window of this size."""
    counts: np.ndarray = cv2.integral(np.ascontiguousarray(marks).view(np.uint8))
    rows = counts[tall::2] - counts[:-tall:2]
    return rows[:, wide::2] - rows[:, :-wide:2]


# Where a property of images comes from: the pixels that it counts.


def _marks_of_window(picture: Float[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """Return the thin bright marks in the window that has most of them."""
    height, width = picture.shape
    if min(height, width) < MIN_LEGIBLE:
        return np.zeros((height, width), dtype=np.bool_)
    tall, wide, marks = height * 3 // 32, width * 3 // 8, _thin_marks(picture)
    counts = _window_counts(marks, tall, wide)
    top, left = (2 * at for at in np.unravel_index(int(counts.argmax()), counts.shape))
    window = np.zeros_like(marks)
    window[top : top + tall, left : left + wide] = True
    return marks & window


COUNTED: Mapping[str, Callable[[Float[np.ndarray, "h w"]], Bool[np.ndarray, "h w"]]] = dict(
    zip(
        CONTENT_CUES[1:],
        (_marks_of_window, lambda picture: picture <= _BLACK, lambda picture: picture >= _WHITE),
        strict=True,
    )
)
"""Property of images -> the pixels of a gray picture that it counts. Other properties count all pixels."""


def counted_pixels(dataset: Dataset, rows: Int[np.ndarray, " k"], name: str, size: int) -> Bool[np.ndarray, "k h w"]:
    """Return the pixels that a property counts in these images, in the square of the dataset.

    Args:
        dataset: The images.
        rows: Their positions.
        name: The property, one of `COUNTED`.
        size: Longer side at which files are examined.
    """
    square = dataset.images.shape[1]

    def in_square(pictures: Float[np.ndarray, "b c h w"]) -> Float[np.ndarray, "b m"]:
        height, width = pictures.shape[2:]
        box = Placement(0, 0, square, square) if dataset.boxes is None else placed(height, width, square)
        masks = np.zeros((len(pictures), square, square))
        for mask, picture in zip(masks, _scale_down(pictures, size), strict=True):
            counted = COUNTED[name](picture.mean(axis=0)).view(np.uint8)
            mask[box.rows, box.columns] = cv2.resize(counted, (box.width, box.height), interpolation=cv2.INTER_NEAREST)
        return masks.reshape(len(pictures), -1)

    if dataset.in_files is None:
        return np.stack([COUNTED[name](picture.mean(axis=0)) for picture in image_values(dataset.images, rows)])
    flat = dataset.in_files.take(rows).measured(f"{_MEASURES} {name} at {size} in {square}", in_square)
    return flat.reshape(-1, square, square) > 0


def _inner(height: int, width: int) -> tuple[slice, slice]:
    """Return the image without its outer tenth."""
    down, across = (max(1, round(side / 10)) if side > 2 else 0 for side in (height, width))
    return slice(down, height - down), slice(across, width - across)


def _features(pictures: Float[np.ndarray, "b c h w"]) -> dict[str, Float[np.ndarray, "b d"]]:
    small, thumbnail = (_pooled(pictures, side) for side in (RING, THUMBNAIL))
    frame = np.ones((RING, RING), dtype=np.bool_)
    frame[2:-2, 2:-2] = False
    return {
        CONTENT_CUES[0]: thumbnail.reshape(len(pictures), -1),
        "outer tenth of the image": small[:, :, frame].reshape(len(pictures), -1),
        EDGES: _edges(pictures.mean(axis=1)),
    }


def _windows(length: int, parts: int) -> Float[np.ndarray, "p l"]:
    """Return 1 where a position is in each of these parts, which overlap where they do not divide the length."""
    at, part = np.arange(length), np.arange(parts)[:, None]
    return ((at >= part * length // parts) & (at < -(-(part + 1) * length // parts))).astype(np.float32)


def _pooled(pictures: Float[np.ndarray, "*b h w"], side: int) -> Float[np.ndarray, "*b s s"]:
    """Return means over as many rows and columns of windows."""
    down, across = (_windows(length, side) for length in pictures.shape[-2:])
    down, across = (window / window.sum(axis=1, keepdims=True) for window in (down, across))
    return down @ (pictures @ across.T)


def _edges(gray: Float[np.ndarray, "b h w"]) -> Float[np.ndarray, "b d"]:
    """Return the strength of edges by direction in squares, in units of that around each square.

    References:
        Dalal and Triggs, "Histograms of oriented gradients for human detection", CVPR 2005.
    """
    height, width = gray.shape[1:]
    windows = [_windows(length, CELLS) for length in (height, width)]
    # Squares overlap where they do not divide the side, so that sums are taken between all their edges.
    starts = [np.r_[True, (np.diff(window, axis=1) != 0).any(axis=0)] for window in windows]
    inside = [window[:, begin] for window, begin in zip(windows, starts, strict=True)]
    row, column = (np.cumsum(begin, dtype=np.int32) - 1 for begin in starts)
    shape = (int(row[-1]) + 1, int(column[-1]) + 1, DIRECTIONS)
    first_bin = (row[:, None] * shape[1] + column) * DIRECTIONS
    sums = np.stack([_strength(picture, first_bin, shape) for picture in gray])
    cells = np.einsum("pi,bijd,qj->bdpq", inside[0], sums, inside[1], optimize=True)
    cells /= windows[0].sum(axis=1)[:, None] * windows[1].sum(axis=1)
    squares = np.pad((cells**2).sum(axis=1), ((0, 0), (1, 1), (1, 1)))
    around = sum(squares[:, i : i + CELLS, j : j + CELLS] for i in range(3) for j in range(3)) / 9
    return (cells / (np.sqrt(around) + 0.01)[:, None]).reshape(len(gray), -1)


def _strength(
    picture: Float[np.ndarray, "h w"], first_bin: Int[np.ndarray, "h w"], shape: tuple[int, ...]
) -> Float[np.ndarray, "i j d"]:
    """Return the strength of edges by part and direction, shared between the two directions that are nearest."""
    padded = np.pad(picture, 1, mode="edge")
    across, down = padded[1:-1, 2:] - padded[1:-1, :-2], padded[2:, 1:-1] - padded[:-2, 1:-1]
    direction = np.arctan2(down, across) * np.float32(DIRECTIONS / np.pi)
    floor = np.floor(direction)
    strength, share = np.sqrt(down * down + across * across), direction - floor
    first = floor.astype(np.int32) % DIRECTIONS
    upper, bins = strength * share, int(np.prod(shape))
    sums = np.bincount((first_bin + first).ravel(), (strength - upper).ravel(), bins)
    sums += np.bincount((first_bin + (first + 1) % DIRECTIONS).ravel(), upper.ravel(), bins)
    return sums.reshape(shape)


def _padding(boxes: Int[np.ndarray, "n 4"], shape: tuple[int, int, int]) -> Float[np.ndarray, "n d"]:
    """Mask of the padding of each square, in `THUMBNAIL` squares a side."""
    distinct, box_number = np.unique(boxes, axis=0, return_inverse=True)
    masks = np.zeros((len(distinct), *shape[1:]), dtype=np.float32)
    for mask, (top, left, height, width) in zip(masks, distinct.tolist(), strict=True):
        mask[top : top + height, left : left + width] = 1
    return _pooled(masks, THUMBNAIL).reshape(len(distinct), -1).astype(np.float64)[box_number.reshape(-1)]
