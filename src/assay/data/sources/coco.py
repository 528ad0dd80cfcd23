"""Images and outlines of lesions in one COCO file: its images as a table, its annotations as masks.

All annotations of an image make one mask. A pixel is inside a polygon where its centre is (even-odd rule; of several
polygons any); a polygon around no pixel's centre takes the pixel in its middle. Where annotations of several kinds
overlap, the smaller one is seen.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
from jaxtyping import Bool, Float, UInt8

from assay.core.data_spec import DataSpec
from assay.core.errors import DataError
from assay.core.hashing import content_hash
from assay.data.sources.masking import Drawn
from assay.data.sources.masks import Meaning, numbered
from assay.data.sources.problems import Problem, Unreadable, shown
from assay.data.sources.runs import coco_runs
from assay.data.sources.table import Table

FILE_NAME = "file_name"
_POLYGON = "give `segmentation` as polygons [[x, y, x, y, ...]] or run lengths"


@dataclass(frozen=True, slots=True)
class Coco:
    """A COCO file. images: one row each, numbered from 1. masks: of each row, None for one without annotations."""

    images: Table
    masks: tuple[Drawn | None, ...]
    meaning: Meaning
    problems: tuple[Problem, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Outline:
    """An annotation: polygons or run lengths, and its label."""

    segmentation: Any
    label: int


def read_coco(path: Path, spec: DataSpec) -> Coco:
    """The images and masks of a file. Raises DataError when the file as a whole is not COCO."""
    whole = _parsed(path)
    images, annotations, categories = (_entries(whole, name, path) for name in ("images", "annotations", "categories"))
    meaning = _meaning(annotations, categories, spec, path)
    _require_ids(images, path)
    by_image: dict[Any, list[Mapping[str, Any]]] = {}
    for entry in annotations:
        by_image.setdefault(_id(entry.get("image_id"), "image_id of an annotation", path), []).append(entry)
    table = _table(path, images)
    masks: list[Drawn | None] = []
    problems: list[Problem] = []
    for line, image in enumerate(images, start=1):
        entries = by_image.pop(image.get("id"), [])
        if any(not entry.get("segmentation") for entry in entries):
            what = "an annotation of it has no outline"
            problems.append(Problem(line, str(image.get(FILE_NAME, "")), what, _POLYGON))
        masks.append(_drawn(image, entries, meaning) if entries else None)
    stray = sum(map(len, by_image.values()))
    lacking = [str(image.get(FILE_NAME, "")) for image, mask in zip(images, masks, strict=True) if mask is None]
    if stray and lacking and spec.unmasked != "refuse":
        raise DataError(
            f"{path.name}: {stray:,} annotations are of no image, first image_id {next(iter(by_image))!r:.40}, "
            f"while {len(lacking):,} images have none, first {lacking[0]}: what is free of lesions cannot be told from "
            "what is misnumbered; give annotations their images' ids, or take them out"
        )
    warnings = (f"{stray:,} annotations belong to no image",) if stray else ()
    return Coco(table, tuple(masks), meaning, tuple(problems), warnings)


def _require_ids(images: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Each image has an id of its own."""
    seen: set[Any] = set()
    for image in images:
        own = _id(image.get("id"), f"id of image {shown(str(image.get(FILE_NAME, '')))}", path)
        if own in seen:
            raise DataError(f"{path.name}: id {own!r:.40} stands for several images; give each its own")
        seen.add(own)


def _id(value: Any, of: str, path: Path) -> int | str:
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise DataError(f"{path.name}: {of} is {value!r:.40}, where COCO has a number; export it again")
    return value


def _parsed(path: Path) -> Mapping[str, Any]:
    try:
        whole = json.loads(path.read_bytes())
    except (ValueError, UnicodeDecodeError) as error:
        raise DataError(f"{path.name} is not JSON: {error}; export it again as COCO") from error
    if not isinstance(whole, dict):
        raise DataError(f"{path.name} is not COCO: expected images, annotations and categories; export it again")
    return cast("Mapping[str, Any]", whole)


def _entries(whole: Mapping[str, Any], name: str, path: Path) -> list[Mapping[str, Any]]:
    given = whole.get(name)
    if not isinstance(given, list) or not all(isinstance(entry, dict) for entry in cast("list[Any]", given)):
        raise DataError(f"{path.name} has no list of {name}; export it as COCO, with images, annotations, categories")
    return cast("list[Mapping[str, Any]]", given)


def _meaning(
    annotations: Sequence[Mapping[str, Any]], categories: Sequence[Mapping[str, Any]], spec: DataSpec, path: Path
) -> Meaning:
    """Categories that any annotation has, by their names, or as the spec names their numbers."""
    numbers = [entry.get("category_id") for entry in annotations]
    wrong = next((number for number in numbers if not isinstance(number, int) or isinstance(number, bool)), 0)
    if wrong != 0:
        raise DataError(
            f"{path.name}: category_id {shown(str(wrong))} of an annotation is not a whole number, as COCO has it"
        )
    used = set(numbers)
    told = {_id(entry.get("id"), "id of a category", path): str(entry.get("name")) for entry in categories}
    names: Mapping[Any, str] = spec.mask_values or told
    unnamed = sorted(str(number) for number in used if number not in names)
    if unnamed:
        where = "data.mask_values" if spec.mask_values else "its categories"
        raise DataError(f"{path.name}: annotations are of category {', '.join(unnamed[:6])}, not in {where}; name it")
    return numbered({number: name for number, name in names.items() if isinstance(number, int) and number in used})


def _table(path: Path, images: Sequence[Mapping[str, Any]]) -> Table:
    """What the file says of its images as text, so that `where`, factors and patients are read as of any table."""
    header = tuple(dict.fromkeys([FILE_NAME, *(name for image in images for name in image)]))
    rows = tuple(tuple(_cell(image.get(name)) for name in header) for image in images)
    return Table(path.name, header, rows, tuple(range(1, len(rows) + 1)))


def _cell(value: Any) -> str:
    return str(value) if isinstance(value, (str, int, float)) else ""


def _drawn(image: Mapping[str, Any], entries: Sequence[Mapping[str, Any]], meaning: Meaning) -> Drawn:
    outlines = [_Outline(entry.get("segmentation"), meaning.labels[entry["category_id"]]) for entry in entries]
    size = (image.get("height"), image.get("width"))
    digest = content_hash([[repr(outline.segmentation), outline.label] for outline in outlines] + [repr(size)], 32)
    return Drawn(digest, partial(_labels, outlines, size))


def _labels(outlines: Sequence[_Outline], stated: tuple[Any, Any], height: int, width: int) -> UInt8[np.ndarray, "h w"]:
    if None not in stated and stated != (height, width):
        what = f"its outlines are for {stated[1]} x {stated[0]} px, the image is {width} x {height}"
        raise Unreadable(what, "give the image that was annotated, or export the outlines for this one")
    masks = [(_pixels(outline.segmentation, height, width), outline.label) for outline in outlines]
    labels = np.zeros((height, width), dtype=np.uint8)
    for mask, label in sorted(masks, key=lambda drawn: -int(drawn[0].sum())):
        labels[mask] = label
    return labels


def _pixels(segmentation: Any, height: int, width: int) -> Bool[np.ndarray, "h w"]:
    if isinstance(segmentation, Mapping):
        return coco_runs(cast("Mapping[str, Any]", segmentation), height, width)
    mask = np.zeros((height, width), dtype=np.bool_)
    for polygon in cast("Sequence[Any]", segmentation if isinstance(segmentation, list) else [segmentation]):
        try:
            points = np.array(polygon, dtype=np.float64).reshape(-1, 2)
        except (TypeError, ValueError):
            raise Unreadable("a polygon of it is no list of x and y in turn", _POLYGON) from None
        if len(points) < 3 or not np.isfinite(points).all():
            raise Unreadable(f"a polygon of it has {len(points)} points", "an outline needs three or more")
        mask |= filled(points, height, width)
    return mask


def filled(points: Float[np.ndarray, "k 2"], height: int, width: int) -> Bool[np.ndarray, "h w"]:
    """The pixels whose centre lies inside a polygon of points (x, y); the pixel of column j and row i has its centre
    at (j + .5, i + .5). A polygon around no centre takes the pixel in its middle, if that lies in the image.
    """
    mask = np.zeros((height, width), dtype=np.bool_)
    x, y = points.T
    x_next, y_next = np.roll(x, -1), np.roll(y, -1)
    for row in range(max(0, int(np.floor(y.min()))), min(height, int(np.ceil(y.max())))):
        at = row + 0.5
        crosses = (y <= at) != (y_next <= at)
        slope = (x_next[crosses] - x[crosses]) / (y_next[crosses] - y[crosses])
        ends = np.clip(np.ceil(np.sort(x[crosses] + (at - y[crosses]) * slope) - 0.5), 0, width).astype(np.int64)
        for start, end in zip(ends[::2].tolist(), ends[1::2].tolist(), strict=True):
            mask[row, start:end] = True
    column, row = (int(np.floor(middle)) for middle in points.mean(axis=0))
    if not mask.any() and 0 <= row < height and 0 <= column < width:
        mask[row, column] = True
    return mask
