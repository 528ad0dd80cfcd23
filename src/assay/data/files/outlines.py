"""Masks of lesions written as text: run lengths, and polygons of a COCO file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int, UInt8

from assay.core.errors import DataError
from assay.core.files import content_hash, read_stored_bytes
from assay.core.tables import json_value
from assay.data.files.decode import IGNORED, LabelMeaning, numbered
from assay.data.files.table import Problem, TextTable, Unreadable, shown
from assay.spec.schema import DataSpec


@dataclass(frozen=True, slots=True)
class WrittenMask:
    """A mask that is written as text.

    Attributes:
        draw: Height and width -> label map; raises Unreadable.
        digest: Its content.
        lesion: Whether the text describes any lesion; None where only the drawn map says so.
        ignored: Whether it names regions that are neither lesion nor background.
    """

    digest: str
    draw: Callable[[int, int], UInt8[np.ndarray, "h w"]]
    lesion: bool | None = None
    ignored: bool = False


def unknown(error: Unreadable) -> WrittenMask:
    """Return the mask of a row whose own one cannot be found or read."""
    return WrittenMask("", partial(_fail, error))


def _fail(error: Unreadable, height: int, width: int) -> UInt8[np.ndarray, "h w"]:
    raise error


# Masks written as run lengths, as Kaggle and COCO do.
#
# kaggle-rle: pairs of start and length, the first pixel being 1, counted down the columns; kaggle-rle-rows: along the
# rows. `-1` is a mask without a lesion. coco-rle: JSON with `size` ([height, width]) and `counts`, lengths of
# background and lesion in turn down the columns, as numbers or in COCO's compressed text.

Format = Literal["kaggle-rle", "kaggle-rle-rows", "coco-rle"]
_NONE = "-1"
_KAGGLE = "write pairs of start and length, the first pixel being 1"
_COCO = 'write {"size": [height, width], "counts": [...]}'


def runs(cell: str, how: Format) -> WrittenMask:
    """Return the mask that a table's cell describes. Raises Unreadable for text that is no runs of this format."""
    digest = hashlib.sha256(f"{how} {cell}".encode()).hexdigest()[:32]
    if how == "coco-rle":
        try:
            parsed = json.loads(cell)
        except (ValueError, RecursionError):
            raise Unreadable(f"{shown(cell)} is no JSON", _COCO) from None
        return WrittenMask(digest, partial(_labels_of_coco, parsed))
    pairs = _numbers(cell)
    return WrittenMask(digest, partial(_kaggle, pairs, how == "kaggle-rle"), bool(len(pairs)))


def _numbers(cell: str) -> Int[np.ndarray, "n 2"]:
    if cell.strip() == _NONE:
        return np.empty((0, 2), dtype=np.int64)
    try:
        values = np.array([int(word) for word in cell.split()], dtype=np.int64)
    except (ValueError, OverflowError):
        raise Unreadable(f"{shown(cell)} is not a run length", _KAGGLE) from None
    if len(values) % 2:
        raise Unreadable(f"it has {len(values)} numbers, an odd one without a length", _KAGGLE)
    pairs = values.reshape(-1, 2)
    if (pairs[1:, 0] < pairs[:-1].sum(axis=1)).any():
        what = "its runs are not in order, or overlap: are their starts counted from the end of the run before (SIIM)?"
        raise Unreadable(what, "write each start as counted from the image's first pixel, in order")
    return pairs


def _kaggle(pairs: Int[np.ndarray, "n 2"], down: bool, height: int, width: int) -> UInt8[np.ndarray, "h w"]:
    if (pairs < 1).any():
        raise Unreadable("a run starts before pixel 1 or has no length", _KAGGLE)
    last = max((start + length - 1 for start, length in pairs.tolist()), default=0)  # may be over 64 bit
    if last > height * width:
        what = f"its runs end at pixel {last}, the image has {height * width}"
        raise Unreadable(what, "give the runs of an image of this size")
    starts, ends = pairs[:, 0] - 1, pairs.sum(axis=1) - 1
    # How many runs are open at each pixel.
    steps = np.bincount(starts, minlength=height * width + 1) - np.bincount(ends, minlength=height * width + 1)
    lesion = (np.cumsum(steps)[:-1] > 0).astype(np.uint8)
    return lesion.reshape(width, height).T if down else lesion.reshape(height, width)


def _labels_of_coco(segmentation: Any, height: int, width: int) -> UInt8[np.ndarray, "h w"]:
    return coco_runs(segmentation, height, width).astype(np.uint8)


def coco_runs(segmentation: Any, height: int, width: int) -> Bool[np.ndarray, "h w"]:
    """Return the pixels of COCO run lengths. Raises Unreadable when they are of another size or are no run lengths."""
    fields = cast("Mapping[str, Any]", segmentation if isinstance(segmentation, Mapping) else {})
    size, counts = fields.get("size"), fields.get("counts")
    if not isinstance(size, list) or not isinstance(counts, (list, str)):
        raise Unreadable("its run lengths have no `size` and `counts`", _COCO)
    if cast("list[Any]", size) != [height, width]:
        what = f"its runs are of {shown(str(cast(object, size)))} (height, width), the image is {height} x {width}"
        raise Unreadable(what, "give the runs of an image of this size")
    lengths = _decompress(counts) if isinstance(counts, str) else cast("Sequence[Any]", counts)
    are_lengths = all(isinstance(length, int) and length >= 0 for length in lengths)
    if not are_lengths or sum(lengths) != height * width:
        raise Unreadable("its counts are not whole numbers that add up to the image's pixels", _COCO)
    lesion = np.repeat(np.arange(len(lengths)) % 2 == 1, np.array(lengths, dtype=np.int64))
    return lesion.reshape(width, height).T


_MOST_BITS = 60
"""Bits of a compressed count: no image has more pixels."""


def _decompress(text: str) -> list[int]:
    """COCO's compressed counts: 5 bits a character, the sixth says that more follow, later counts are differences."""
    counts: list[int] = []
    value = shift = 0
    for character in text:
        code = ord(character) - 48
        if not 0 <= code < 64 or shift > _MOST_BITS:
            raise Unreadable("its counts are no compressed run lengths", _COCO)
        value |= (code & 31) << shift
        shift += 5
        if code & 32:
            continue
        if code & 16:
            value -= 1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value = shift = 0
    return counts


# Images and outlines of lesions in one COCO file: its images as a table, its annotations as masks.
#
# All annotations of an image make one mask. A pixel is inside a polygon where its center is (even-odd rule; of several
# polygons any); a polygon around no pixel's center takes the pixel in its middle. Where annotations of several kinds
# overlap, the smaller one is seen. A region of a crowd (`iscrowd`) is to be ignored, as COCO's own evaluation does.

FILE_NAME = "file_name"
_FARTHEST = 1e9
"""Largest coordinate of a polygon, in pixels."""
_BEYOND = 0.1
"""Share of a side by which the points of a polygon may lie beyond the image, as a hand draws them."""
_PIXELS = "give x and y in px of this image, in this order"
_POLYGON = "give `segmentation` as polygons [[x, y, x, y, ...]] or run lengths"


@dataclass(frozen=True, slots=True)
class Coco:
    """A COCO file.

    Attributes:
        images: One row each, numbered from 1.
        masks: Of each row, None for one without annotations.
    """

    images: TextTable
    masks: tuple[WrittenMask | None, ...]
    meaning: LabelMeaning
    problems: tuple[Problem, ...]
    warnings: tuple[str, ...]


def read_coco(path: Path, spec: DataSpec) -> Coco:
    """Return the images and masks of a file.

    Raises:
        DataError: If the file as a whole is not COCO.
    """
    content = _read_json_object(path)
    images, annotations, categories = (
        _entries(content, name, path) for name in ("images", "annotations", "categories")
    )
    meaning = _meaning(annotations, categories, spec, path)
    _require_ids(images, path)
    by_image: dict[Any, list[Mapping[str, Any]]] = {}
    for entry in annotations:
        by_image.setdefault(_id(entry.get("image_id"), "image_id of an annotation", path), []).append(entry)
    table = _table(path, images)
    masks: list[WrittenMask | None] = []
    problems: list[Problem] = []
    for line, image in enumerate(images, start=1):
        entries = by_image.pop(image.get("id"), [])
        if any(not entry.get("segmentation") for entry in entries):
            what = "an annotation of it has no outline"
            problems.append(Problem(line, str(image.get(FILE_NAME, "")), what, _POLYGON))
        masks.append(_draw_outlines(image, entries, meaning) if entries else None)
    orphans = sum(map(len, by_image.values()))
    lacking = [str(image.get(FILE_NAME, "")) for image, mask in zip(images, masks, strict=True) if mask is None]
    if orphans and lacking and spec.unmatched == "refuse":
        raise DataError(
            f"{path.name}: {orphans:,} annotations are of no image, first image_id {next(iter(by_image))!r:.40}, while "
            f"{len(lacking):,} images have none, first {lacking[0]}: lesion-free images cannot be distinguished from "
            "misnumbered ones; give annotations their images' ids, or take them out"
        )
    warnings = (f"{orphans:,} annotations belong to no image",) if orphans else ()
    return Coco(table, tuple(masks), meaning, tuple(problems), warnings)


def _require_ids(images: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Each image has an id of its own."""
    ids: set[Any] = set()
    for image in images:
        image_id = _id(image.get("id"), f"id of image {shown(str(image.get(FILE_NAME, '')))}", path)
        if image_id in ids:
            raise DataError(f"{path.name}: id {image_id!r:.40} stands for several images; give each its own")
        ids.add(image_id)


def _id(value: Any, of: str, path: Path) -> int | str:
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise DataError(f"{path.name}: {of} is {value!r:.40}, where COCO has a number; export it again")
    return value


_OF_ANNOTATION = ("image_id", "category_id", "iscrowd", "segmentation", "bbox")


def _needed(entry: dict[str, Any]) -> dict[str, Any]:
    """Leave out of an annotation what is not read: a file may have a million of them."""
    is_annotation = "segmentation" in entry and FILE_NAME not in entry
    return {name: entry[name] for name in _OF_ANNOTATION if name in entry} if is_annotation else entry


def _read_json_object(path: Path) -> Mapping[str, Any]:
    try:
        content = json_value(read_stored_bytes(path), _needed)
    except RecursionError as error:
        raise DataError(f"{path.name} is nested too deeply for COCO; export it again as COCO") from error
    except (ValueError, UnicodeDecodeError) as error:
        raise DataError(f"{path.name} is not JSON: {error}; export it again as COCO") from error
    if not isinstance(content, dict):
        raise DataError(f"{path.name} is not COCO: expected images, annotations and categories; export it again")
    return cast("Mapping[str, Any]", content)


def _entries(content: Mapping[str, Any], name: str, path: Path) -> list[Mapping[str, Any]]:
    entries = content.get(name)
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in cast("list[Any]", entries)):
        raise DataError(f"{path.name} has no list of {name}; export it as COCO, with images, annotations, categories")
    return cast("list[Mapping[str, Any]]", entries)


def _meaning(
    annotations: Sequence[Mapping[str, Any]], categories: Sequence[Mapping[str, Any]], spec: DataSpec, path: Path
) -> LabelMeaning:
    """Categories that any annotation has, by their names, or as the spec names their numbers."""
    numbers = [entry.get("category_id") for entry in annotations]
    wrong = next((number for number in numbers if not isinstance(number, int) or isinstance(number, bool)), 0)
    if wrong != 0:
        raise DataError(
            f"{path.name}: category_id {shown(str(wrong))} of an annotation is not a whole number, as COCO has it"
        )
    used = set(numbers)
    name_of = {_id(entry.get("id"), "id of a category", path): str(entry.get("name")) for entry in categories}
    names: Mapping[Any, str] = spec.mask_values or name_of
    unnamed = sorted(str(number) for number in used if number not in names)
    if unnamed:
        where = "data.mask_values" if spec.mask_values else "its categories"
        raise DataError(f"{path.name}: annotations are of category {', '.join(unnamed[:6])}, not in {where}; name it")
    return numbered({number: name for number, name in names.items() if isinstance(number, int) and number in used})


def _table(path: Path, images: Sequence[Mapping[str, Any]]) -> TextTable:
    """Entries of the file on its images as text, so that `where`, factors and patients are read as of any table."""
    header = tuple(dict.fromkeys([FILE_NAME, *(name for image in images for name in image)]))
    rows = [[_cell(image.get(name)) for name in header] for image in images]
    return TextTable(path.name, pd.DataFrame(rows, range(1, len(rows) + 1), header, dtype=object))


def _cell(value: Any) -> str:
    return str(value) if isinstance(value, (str, int, float)) else ""


def _draw_outlines(
    image: Mapping[str, Any], entries: Sequence[Mapping[str, Any]], meaning: LabelMeaning
) -> WrittenMask:
    named = [(entry, meaning.labels[entry["category_id"]]) for entry in entries]
    single = [(entry, label) for entry, label in named if label != IGNORED and not entry.get("iscrowd")]
    ignored = len(single) < len(named)
    outlines = [(entry.get("segmentation"), label) for entry, label in single]
    turned = any(_is_transposed(entry.get("segmentation"), entry.get("bbox")) for entry, _ in single)
    size = (image.get("height"), image.get("width"))
    described = [[repr(segmentation), label] for segmentation, label in outlines]
    if turned:
        return unknown(Unreadable("its polygons have x where its `bbox` has y, and y where it has x", _PIXELS))
    lesion = None if ignored else any(label for _, label in outlines)
    return WrittenMask(
        content_hash([*described, repr((size, ignored))], 32), partial(_fill_outlines, outlines, size), lesion, ignored
    )


_NEAR = 2.0
"""Pixels by which the box of a polygon may differ from `bbox`, as rounded ones do."""


def _is_transposed(segmentation: Any, bbox: Any) -> bool:
    """Return whether x and y of polygons are exchanged by the box of their annotation."""
    try:
        points = np.concatenate([np.array(polygon, dtype=np.float64).reshape(-1, 2) for polygon in segmentation])
        x, y, width, height = map(float, bbox)
    except (TypeError, ValueError, OverflowError):
        return False  # other faults of polygons have errors of their own
    edges = np.concatenate([points.min(axis=0), points.max(axis=0)]) if len(points) else np.zeros(4)
    box = np.array([x, y, x + width, y + height])
    fits = [bool((np.abs(edges[order] - box) <= _NEAR).all()) for order in ([0, 1, 2, 3], [1, 0, 3, 2])]
    return fits == [False, True]


def _fill_outlines(
    outlines: Sequence[tuple[Any, int]], stated_size: tuple[Any, Any], height: int, width: int
) -> UInt8[np.ndarray, "h w"]:
    if None not in stated_size and stated_size != (height, width):
        what = f"its outlines are for {stated_size[1]} x {stated_size[0]} px, the image is {width} x {height}"
        raise Unreadable(what, "give the image that was annotated, or export the outlines for this one")
    return painted(
        ((_lesion_patch(segmentation, height, width), label) for segmentation, label in outlines), height, width
    )


@dataclass(frozen=True, slots=True)
class LesionPatch:
    """A rectangle of an image with a lesion.

    Attributes:
        lesion: Which of its pixels are of the lesion.
        place: Its rows and columns in the image.
    """

    lesion: Bool[np.ndarray, "h w"]
    place: tuple[slice, slice] = (slice(None), slice(None))


def painted(lesions: Iterable[tuple[LesionPatch, int]], height: int, width: int) -> UInt8[np.ndarray, "h w"]:
    """Return the label map of lesions and their labels; where some overlap, the smaller one is seen.

    One lesion is held at a time: a file may have a million of them.
    """
    labels = np.zeros((height, width), dtype=np.uint8)
    areas = np.full((height, width), height * width)
    for patch, label in lesions:
        visible = patch.lesion & (areas[patch.place] >= (area := np.count_nonzero(patch.lesion)))
        labels[patch.place][visible], areas[patch.place][visible] = label, area
    return labels


def _lesion_patch(segmentation: Any, height: int, width: int) -> LesionPatch:
    if isinstance(segmentation, Mapping):
        return LesionPatch(coco_runs(cast("Mapping[str, Any]", segmentation), height, width))
    polygons = cast("Sequence[Any]", segmentation if isinstance(segmentation, list) else [segmentation])
    if len(polygons) == 1:
        return filled(_corners(polygons[0], height, width), height, width)
    mask = np.zeros((height, width), dtype=np.bool_)
    for patch in (filled(_corners(polygon, height, width), height, width) for polygon in polygons):
        mask[patch.place] |= patch.lesion
    return LesionPatch(mask)


def _corners(polygon: Any, height: int, width: int) -> Float[np.ndarray, "k 2"]:
    try:
        points = np.array(polygon, dtype=np.float64).reshape(-1, 2)
    except (TypeError, ValueError, OverflowError):
        raise Unreadable("a polygon of it is no list of x and y in turn", _POLYGON) from None
    if len(points) < 3:
        raise Unreadable(f"a polygon of it has {len(points)} points", "an outline needs three or more")
    if not (np.abs(points) <= _FARTHEST).all():
        raise Unreadable("a polygon of it has a point that is no place in an image", _POLYGON)
    if points.min() >= 0 and points.max() <= 1:
        raise Unreadable("a polygon of it lies in the first pixel, as shares of width and height do", _PIXELS)
    size = np.array([width, height])
    if (np.abs(points - size / 2) > size * (0.5 + _BEYOND) + 2).any():
        what = f"a polygon of it reaches far beyond the image, which has {width} x {height} px"
        raise Unreadable(what, _PIXELS)
    return points


_AT_ONCE = 1_000_000
"""Pairs of a row and an edge of a polygon that are compared at once: a polygon may have a million edges."""


def filled(points: Float[np.ndarray, "k 2"], height: int, width: int) -> LesionPatch:
    """Return the pixels whose center is inside a polygon of points (x, y); the pixel of column j and row i has its
    center at (j + .5, i + .5). A polygon around no center takes the pixel in its middle, if that is in the image.
    """
    low, high = np.floor(points.min(axis=0)), np.ceil(points.max(axis=0))
    x0, y0 = (int(min(max(float(low[at]), 0), most)) for at, most in enumerate((width, height)))
    x1, y1 = max(x0, int(min(float(high[0]), width))), max(y0, int(min(float(high[1]), height)))
    x, y = points.T
    x_next, y_next = np.concatenate([points[1:], points[:1]]).T
    changes = np.zeros((y1 - y0, x1 - x0 + 1), dtype=np.bool_)  # where a row enters the polygon or leaves it
    step = max(1, _AT_ONCE // len(points))
    for chunk in range(y0, y1, step):
        at = np.arange(chunk, min(y1, chunk + step))[:, None] + 0.5
        rows, edges = np.nonzero((y <= at) != (y_next <= at))
        slope = (x_next[edges] - x[edges]) / (y_next[edges] - y[edges])
        crossings = x[edges] + (at[rows, 0] - y[edges]) * slope
        columns = np.minimum(np.maximum(np.ceil(crossings - 0.5), x0), x1).astype(np.int64)
        np.logical_xor.at(changes, (rows + chunk - y0, columns - x0), True)
    lesion = np.logical_xor.accumulate(changes, axis=1)[:, :-1]
    if lesion.any():
        return LesionPatch(lesion, (slice(y0, y1), slice(x0, x1)))
    column, row = (int(middle) for middle in np.floor(points.mean(axis=0)))
    size = int(0 <= row < height and 0 <= column < width)
    row, column = size * row, size * column
    return LesionPatch(np.ones((size, size), dtype=np.bool_), (slice(row, row + size), slice(column, column + size)))
