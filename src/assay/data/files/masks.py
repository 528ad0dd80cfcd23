"""Masks of lesions: files, run lengths, COCO polygons, boxes, and masks paired with images."""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from assay.core.errors import DataError, SpecError, unknown_name
from assay.core.files import content_hash, is_file
from assay.core.types import Factor
from assay.data.cache import ArrayCache
from assay.data.cards import KnownSet
from assay.data.dataset import BoxedLesions
from assay.data.files.decode import (
    ONE,
    UNIT,
    VANISHED,
    Decoded,
    Fact,
    Labels,
    Meaning,
    decode_masks,
    facts_of,
    labels_of,
    numbered,
    read_file,
)
from assay.data.files.fitting import placed
from assay.data.files.readers import read_stored
from assay.data.files.table import Problem, Table, Unreadable, absent, inside, number, read_table, refuse, shown
from assay.spec.data import has_masks
from assay.spec.schema import BoxesSpec, DataSpec

# The masks of a whole set: where each comes from, how they are decoded, and what only all of them together show.

_MOST, _NEARLY_ALL, _LEAST = 0.5, 0.9, 5


@dataclass(frozen=True, slots=True)
class Drawn:
    """A mask that is written as text.

    Attributes:
        draw: Height and width -> label map; raises Unreadable.
        digest: Its content.
    """

    digest: str
    draw: Callable[[int, int], UInt8[np.ndarray, "h w"]]


MaskAt = Path | Drawn | None
"""Where a row's mask is: in a file, in text, or nowhere, which was said to mean that no lesion is there."""


def mask_facts(masks: Sequence[MaskAt], cache: ArrayCache) -> list[Fact | None]:
    """Header of each mask that is a file, None for the others."""
    at = [position for position, mask in enumerate(masks) if isinstance(mask, Path)]
    found = iter(facts_of([mask for mask in masks if isinstance(mask, Path)], cache))
    facts: list[Fact | None] = [None] * len(masks)
    for position in at:
        facts[position] = next(found)
    return facts


def mask_source(mask: MaskAt, width: int, height: int, meaning: Meaning) -> Callable[[], Labels]:
    """Return a call that gives the label map of an image of this native size."""
    if isinstance(mask, Path):
        return lambda: labels_of(read_stored(read_file(mask)), meaning)
    if isinstance(mask, Drawn):
        return lambda: Labels(mask.draw(height, width))
    return lambda: Labels(np.zeros((height, width), dtype=np.uint8))


def mask_digests(masks: Sequence[MaskAt], facts: Sequence[Fact | None], native: Int[np.ndarray, "n 2"]) -> list[str]:
    """Name of the content of every mask, without the meaning of its values."""
    return [
        fact.digest if fact is not None else f"{_text(mask)} {width}x{height}"
        for mask, fact, (width, height) in zip(masks, facts, native.tolist(), strict=True)
    ]


def decoded_masks(
    masks: Sequence[MaskAt],
    facts: Sequence[Fact | None],
    native: Int[np.ndarray, "n 2"],
    meaning: Meaning,
    size: int,
    cache: ArrayCache,
) -> Decoded:
    """Return all masks as label maps.

    Args:
        native: Width and height of the images.
    """
    sources = [
        mask_source(mask, width, height, meaning) for mask, (width, height) in zip(masks, native.tolist(), strict=True)
    ]
    digests = [f"{meaning.digest} {digest}" for digest in mask_digests(masks, facts, native)]
    return decode_masks(sources, digests, size, cache)


def _text(mask: MaskAt) -> str:
    return mask.digest if isinstance(mask, Drawn) else "empty"


def doubtful(decoded: Decoded, rows: Int[np.ndarray, "n"]) -> dict[int, tuple[str, str]]:
    """Positions (of `rows`) whose mask goes up to 1 where masks of other rows go beyond: the problem and its remedy."""
    unit = set(decoded.notes.get(UNIT, ()))
    others = [at for at in rows.tolist() if at not in unit and decoded.array[at].any()]
    if not others:
        return {}
    what = "its mask goes up to 1, those of other rows beyond: its 1s are lesions, or traces of a JPEG"
    remedy = "write data.mask_values with every value that occurs, such as {1: lesion, 255: lesion}, or mend the file"
    return {position: (what, remedy) for position, at in enumerate(rows.tolist()) if at in unit}


def refuse_empty(decoded: Decoded, rows: Int[np.ndarray, "n"], where: str) -> None:
    """Raise DataError when no mask shows a lesion."""
    if len(rows) and not any(decoded.array[at].any() for at in rows.tolist()):
        raise DataError(
            f"{where}: none of {len(rows):,} masks shows a lesion; check that data.mask names the right column, "
            "and say with data.mask_values what their values mean"
        )


def told_of(
    decoded: Decoded, rows: Int[np.ndarray, "n"], native: Int[np.ndarray, "n 2"], meaning: Meaning
) -> tuple[list[str], list[str]]:
    """Half-sentences for the card, and warnings.

    Args:
        native: Of `rows`.
    """
    array = decoded.array
    size = array.shape[-1]
    lost = len(set(decoded.notes.get(VANISHED, ())) & set(rows.tolist()))
    warnings = [f"{lost:,} images have lesions too small to be seen at {size} px: raise data.size"] if lost else []
    counts = np.zeros(len(meaning.kinds) + 1, dtype=np.int64)
    shown = large = 0
    for at, (width, height) in zip(rows.tolist(), native.tolist(), strict=True):
        pixels = np.bincount(array[at].ravel(), minlength=len(counts))
        counts += pixels > 0
        box = placed(height, width, size)
        shown += bool(pixels[1:].any())
        large += int(pixels[1:].sum() > _MOST * box.height * box.width)
    if shown >= _LEAST and large >= _NEARLY_ALL * shown:
        undo = "take out data.mask_inverted" if meaning.inverted else "write data.mask_inverted: true"
        warnings.append(
            f"lesions cover over half of {large:,} of {shown:,} images with one: if that is the rest, {undo}"
        )
    several = [f"{kind} in {count:,} images" for kind, count in zip(meaning.kinds, counts[1:].tolist(), strict=True)]
    return ([", ".join(several)] if len(several) > 1 else []), warnings


# Masks written as run lengths, as Kaggle and COCO do.
#
# kaggle-rle: pairs of start and length, the first pixel being 1, counted down the columns; kaggle-rle-rows: along the
# rows. `-1` is a mask without a lesion. coco-rle: JSON with `size` ([height, width]) and `counts`, lengths of
# background and lesion in turn down the columns, as numbers or in COCO's compressed text.

Format = Literal["kaggle-rle", "kaggle-rle-rows", "coco-rle"]
_NONE = "-1"
_KAGGLE = "write pairs of start and length, the first pixel being 1"
_COCO = 'write {"size": [height, width], "counts": [...]}'


def runs(cell: str, how: Format) -> Drawn:
    """Return the mask that a table's cell describes. Raises Unreadable for text that is no runs of this format."""
    digest = hashlib.sha256(f"{how} {cell}".encode()).hexdigest()[:32]
    if how == "coco-rle":
        try:
            given = json.loads(cell)
        except ValueError:
            raise Unreadable(f"{shown(cell)} is no JSON", _COCO) from None
        return Drawn(digest, partial(_labels_of_coco, given))
    return Drawn(digest, partial(_kaggle, _numbers(cell), how == "kaggle-rle"))


def _numbers(cell: str) -> Int[np.ndarray, "n 2"]:
    if cell.strip() == _NONE:
        return np.empty((0, 2), dtype=np.int64)
    try:
        values = np.array([int(word) for word in cell.split()], dtype=np.int64)
    except (ValueError, OverflowError):
        raise Unreadable(f"{shown(cell)} is no run length", _KAGGLE) from None
    if len(values) % 2:
        raise Unreadable(f"it has {len(values)} numbers, an odd one without a length", _KAGGLE)
    return values.reshape(-1, 2)


def _kaggle(pairs: Int[np.ndarray, "n 2"], down: bool, height: int, width: int) -> UInt8[np.ndarray, "h w"]:
    starts, ends = pairs[:, 0] - 1, pairs.sum(axis=1) - 1
    if (starts < 0).any() or (pairs[:, 1] < 1).any():
        raise Unreadable("a run starts before pixel 1 or has no length", _KAGGLE)
    if len(ends) and int(ends.max()) > height * width:
        what = f"its runs end at pixel {int(ends.max())}, the image has {height * width}"
        raise Unreadable(what, "give the runs of an image of this size")
    # How many runs are open at each pixel.
    steps = np.bincount(starts, minlength=height * width + 1) - np.bincount(ends, minlength=height * width + 1)
    lesion = (np.cumsum(steps)[:-1] > 0).astype(np.uint8)
    return lesion.reshape(width, height).T if down else lesion.reshape(height, width)


def _labels_of_coco(given: Any, height: int, width: int) -> UInt8[np.ndarray, "h w"]:
    return coco_runs(given, height, width).astype(np.uint8)


def coco_runs(given: Any, height: int, width: int) -> Bool[np.ndarray, "h w"]:
    """Return the pixels of COCO run lengths. Raises Unreadable when they are of another size or are no run lengths."""
    fields = cast("Mapping[str, Any]", given if isinstance(given, Mapping) else {})
    size, counts = fields.get("size"), fields.get("counts")
    if not isinstance(size, list) or not isinstance(counts, (list, str)):
        raise Unreadable("its run lengths have no `size` and `counts`", _COCO)
    if cast("list[Any]", size) != [height, width]:
        what = f"its runs are of {shown(str(cast(object, size)))} (height, width), the image is {height} x {width}"
        raise Unreadable(what, "give the runs of an image of this size")
    lengths = _decompressed(counts) if isinstance(counts, str) else cast("Sequence[Any]", counts)
    whole = all(isinstance(length, int) and length >= 0 for length in lengths)
    if not whole or sum(lengths) != height * width:
        raise Unreadable("its counts are no whole numbers that add up to the image's pixels", _COCO)
    lesion = np.repeat(np.arange(len(lengths)) % 2 == 1, np.array(lengths, dtype=np.int64))
    return lesion.reshape(width, height).T


def _decompressed(text: str) -> list[int]:
    """COCO's compressed counts: 5 bits a character, the sixth says that more follow, later counts are differences."""
    counts: list[int] = []
    value = shift = 0
    for character in text:
        code = ord(character) - 48
        if not 0 <= code < 64:
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
# overlap, the smaller one is seen.

FILE_NAME = "file_name"
_POLYGON = "give `segmentation` as polygons [[x, y, x, y, ...]] or run lengths"


@dataclass(frozen=True, slots=True)
class Coco:
    """A COCO file.

    Attributes:
        images: One row each, numbered from 1.
        masks: Of each row, None for one without annotations.
    """

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
    """Return the images and masks of a file.

    Raises:
        DataError: If the file as a whole is not COCO.
    """
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
    except RecursionError as error:
        raise DataError(f"{path.name} is nested too deeply for COCO; export it again as COCO") from error
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
    """Entries of the file on its images as text, so that `where`, factors and patients are read as of any table."""
    header = tuple(dict.fromkeys([FILE_NAME, *(name for image in images for name in image)]))
    rows = tuple(tuple(_cell(image.get(name)) for name in header) for image in images)
    return Table(path.name, header, rows, tuple(range(1, len(rows) + 1)))


def _cell(value: Any) -> str:
    return str(value) if isinstance(value, (str, int, float)) else ""


def _drawn(image: Mapping[str, Any], entries: Sequence[Mapping[str, Any]], meaning: Meaning) -> Drawn:
    outlines = [_Outline(entry.get("segmentation"), meaning.labels[entry["category_id"]]) for entry in entries]
    size = (image.get("height"), image.get("width"))
    digest = content_hash([[repr(outline.segmentation), outline.label] for outline in outlines] + [repr(size)], 32)
    return Drawn(digest, partial(_filled, outlines, size))


def _filled(outlines: Sequence[_Outline], stated: tuple[Any, Any], height: int, width: int) -> UInt8[np.ndarray, "h w"]:
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
    """Return the pixels whose center is inside a polygon of points (x, y); the pixel of column j and row i has its
    center at (j + .5, i + .5). A polygon around no center takes the pixel in its middle, if that is in the image.
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


# Boxes of lesions by kind, from a table beside the images'. Heat-maps are held against them; nothing is trained on.

EDGES = ("x0", "y0", "x1", "y1")
"""Columns of a table of boxes in addition to `image` and `kind`: left, top, right and bottom edge in px of the file."""


@dataclass(frozen=True, slots=True)
class Boxes:
    """The boxes of a listing's images, in its order: float64 [b, 5], number of the kind, then `EDGES`."""

    kinds: tuple[str, ...]
    of_image: tuple[Float[np.ndarray, "b 5"], ...]

    def take(self, kept: Sequence[int]) -> Boxes:
        """Return those of the images at these positions."""
        return Boxes(self.kinds, tuple(self.of_image[at] for at in kept))

    def fitted(self, native: Int[np.ndarray, "n 2"], size: int) -> BoxedLesions:
        """Return the same at study resolution.

        Args:
            native: Width and height of every image in px.
        """
        found: list[Float[np.ndarray, "b 5"]] = []
        digest = hashlib.sha256("\n".join(self.kinds).encode())
        for boxes, (width, height) in zip(self.of_image, native.tolist(), strict=True):
            place = placed(height, width, size)
            across, down = place.width / width, place.height / height
            scale = np.array([1, across, down, across, down])
            found.append(boxes * scale + np.array([0, place.left, place.top, place.left, place.top]))
            digest.update(np.ascontiguousarray(found[-1]).tobytes() + b"|")
        return BoxedLesions(self.kinds, size, tuple(found), digest.hexdigest()[:16])


def read_boxes(folder: Path, spec: BoxesSpec, images: Sequence[str]) -> Boxes:
    """Return the boxes of these images, of the kinds that the spec names, or of all, sorted. Boxes of other images are
    passed over: rows may have been left out.

    Raises:
        SpecError: For a file, a column or a kind that is not there, DataError for bad lines and where no box is of any
            of the images.
    """
    path = folder / spec.table
    if not is_file(path):
        raise SpecError(f"data.boxes: {folder.name}/ has no file '{spec.table}'; name a CSV that lies beside the table")
    table = read_table(path, "image")
    names, kind = (table.column(column, "data.boxes") for column in ("image", "kind"))
    there = tuple(sorted(set(kind)))
    for wanted in spec.kinds:
        if wanted not in there:
            raise SpecError(f"data.boxes.kinds: {unknown_name('kind', wanted, there)}")
    kinds = spec.kinds or there
    edges = [[number(cell, table.comma) for cell in table.column(column, "data.boxes")] for column in EDGES]
    problems = list(table.problems)
    found: Mapping[str, list[list[float]]] = {name: [] for name in images}
    for line, name, of, box in zip(table.numbers, names, kind, zip(*edges, strict=True), strict=True):
        if of not in kinds or name not in found:
            continue
        known = [edge for edge in box if edge is not None]
        if len(known) < len(EDGES) or known[0] >= known[2] or known[1] >= known[3]:
            problems.append(Problem(line, name, "it is no box", "give x0 < x1 and y0 < y1 in px of the file"))
        else:
            found[name].append([kinds.index(of), *known])
    refuse(spec.table, problems)
    if not any(found.values()):
        raise DataError(f"data.boxes: no box of {spec.table} is of an image of the table; name images as it does")
    return Boxes(kinds, tuple(np.array(found[name], dtype=np.float64).reshape(-1, 5) for name in images))


# Images in one folder and masks in another, paired by the stems of their names.

SUFFIXES = frozenset(
    (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".gif", ".bmp", ".webp", ".jp2", ".dcm", ".dicom", ".nii", ".gz")
)
UNMASKED = "name one, or write data.unmasked: lesion-free or leave-out"
"""Treatment of an image that has no mask: whether it shows a lesion is never guessed."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """Images and their masks, and the number of other files next to the images."""

    images: tuple[Path, ...]
    names: tuple[str, ...]
    masks: tuple[MaskAt, ...]
    problems: list[Problem]
    warnings: tuple[str, ...]
    others: int


def paired(images: Path, masks: Path, root: Path, all_masked: bool, suffix: str = "", first: int = 1) -> Pairs:
    """Return the images of a folder, each with the mask of its stem. An image without one is a problem if all have
    masks.

    Args:
        suffix: Text of a mask's stem that its image's lacks, in any case; without it a file is the mask of no image,
            or, if all have masks, passed over.
        first: The number of the first image.
    """
    files, others = image_files(images)
    found: dict[str, list[Path]] = {}
    strays: list[str] = []
    for mask in image_files(masks)[0]:
        stem = stem_of(mask)
        if stem.casefold().endswith(suffix.casefold()):
            found.setdefault(stem[: len(stem) - len(suffix)], []).append(mask)
        elif not all_masked:
            strays.append(mask.name)
    names = tuple(str(path.relative_to(root)) for path in files)
    problems: list[Problem] = []
    stems = [stem_of(path) for path in files]
    count = Counter(stems)
    for at, stem in enumerate(stems):
        number = at + first
        if count[stem] > 1:
            problems.append(Problem(number, names[at], "another image has the same stem", "rename one of them"))
        elif len(found.get(stem, ())) > 1:
            what = f"{len(found[stem])} masks have its stem in {masks.name}/"
            problems.append(Problem(number, names[at], what, "keep one of them"))
        elif stem not in found and all_masked:
            problems.append(Problem(number, names[at], "no mask has its stem: lesion-free, or not labeled?", UNMASKED))
    orphans = sorted([*strays, *(path.name for stem in found.keys() - set(stems) for path in found[stem])])
    lacking = [stem for stem in stems if stem not in found]
    if orphans and lacking and not all_masked:
        raise DataError(
            f"{masks.name}/ has {len(orphans):,} masks of no image, first {orphans[0]}, while {len(lacking):,} images "
            f"have no mask, first {lacking[0]}: what is free of lesions cannot be told from what is misnamed; give a "
            f"mask its image's stem{suffix and f' and {suffix}'}, or take it away"
        )
    warnings = (f"{len(orphans):,} masks belong to no image, first {orphans[0]}",) if orphans else ()
    chosen = tuple(found[stem][0] if stem in found else None for stem in stems)
    return Pairs(tuple(files), names, chosen, problems, warnings, others)


def image_files(folder: Path, deep: bool = False) -> tuple[list[Path], int]:
    """Image files in sorted order, hidden ones left out, and how many other files there are."""
    found = [path for path in (folder.rglob("*") if deep else folder.iterdir()) if path.is_file()]
    seen = [path for path in found if not path.name.startswith(".")]
    images = sorted(path for path in seen if path.suffix.lower() in SUFFIXES)
    return images, len(seen) - len(images)


def stem_of(path: Path) -> str:
    """Return a file's name without its ending, in one Unicode form."""
    name = path.name[: -len(".nii.gz")] if path.name.endswith(".nii.gz") else path.stem
    return unicodedata.normalize("NFC", name)


# Masks of several kinds of lesion, a file for each image and kind, as one label map an image.

VERSION = 1
"""Rises when the same files give another label map."""


@dataclass(frozen=True, slots=True)
class Kind:
    """The folder that holds the masks of a kind, and the text of a mask's stem that its image's lacks."""

    folder: str
    suffix: str


@dataclass(frozen=True, slots=True)
class _Mask:
    """The file of an image's lesions of a kind, and their label."""

    kind: str
    label: int
    path: Path


def paired_by_kind(
    images: Path, masks: Path, root: Path, kinds: Mapping[str, Kind], together: bool, first: int, cache: ArrayCache
) -> Pairs:
    """Return the images of a folder, each with the label map of its masks: kinds are 1 and so on in their order, or all
    1 where they are taken together. An image without a file of a kind shows none of it.

    In a lossless file nonzero pixels are lesion, and a lossy one is read as any other mask. Where kinds overlap, the
    one with fewer pixels in the image is seen.

    Args:
        first: The number of the first image.

    Raises:
        SpecError: For a kind without any mask, DataError for a mask without an image; single bad files come as
            problems.
    """
    found = [_of_kind(images, masks, root, name, kind, first) for name, kind in kinds.items()]
    files = [
        [
            _Mask(name, 1 if together else label, path)
            for label, (name, path) in enumerate(zip(kinds, row, strict=True), start=1)
            if isinstance(path, Path)
        ]
        for row in zip(*(one.masks for one in found), strict=True)
    ]
    paths = [file.path for row in files for file in row]
    facts = dict(zip(paths, facts_of(paths, cache), strict=True))
    problems = list(dict.fromkeys(problem for one in found for problem in one.problems))
    for at, (row, name) in enumerate(zip(files, found[0].names, strict=True), start=first):
        problems += [
            Problem(at, name, _of(file, facts[file.path].what), facts[file.path].remedy)
            for file in row
            if facts[file.path].header is None
        ]
    drawn = tuple(
        Drawn(
            content_hash([VERSION, *([file.label, facts[file.path].digest] for file in row)], 32),
            partial(_combined, row),
        )
        if row
        else None
        for row in files
    )
    return replace(found[0], masks=drawn, problems=problems)


def _of_kind(images: Path, masks: Path, root: Path, name: str, kind: Kind, first: int) -> Pairs:
    folder = masks / kind.folder
    place = f"data.dataset.folder: {masks.relative_to(root)}/"
    if not folder.is_dir() or not image_files(folder)[0]:
        raise SpecError(f"{place} has no masks in {kind.folder}/; unpack them, or leave {name} out of kinds")
    pairs = paired(images, folder, root, False, kind.suffix, first)
    if pairs.warnings:
        raise DataError(f"{place}{kind.folder}/: {pairs.warnings[0]}; unpack its image, or take the mask away")
    return pairs


def _combined(masks: Sequence[_Mask], height: int, width: int) -> UInt8[np.ndarray, "h w"]:
    planes = [(_lesion(mask, height, width), mask.label) for mask in masks]
    labels = np.zeros((height, width), dtype=np.uint8)
    for lesion, label in sorted(planes, key=lambda plane: -int(plane[0].sum())):
        labels[lesion] = label
    return labels


def _lesion(mask: _Mask, height: int, width: int) -> Bool[np.ndarray, "h w"]:
    try:
        stored = read_stored(read_file(mask.path))
        values = labels_of(stored, ONE).values if stored.lossy else stored.pixels
    except Unreadable as error:
        raise Unreadable(_of(mask, error.what), error.remedy) from error
    if values.shape[:2] != (height, width):
        what = f"{values.shape[1]} x {values.shape[0]} px, the image {width} x {height}"
        raise Unreadable(f"the mask of {mask.kind} is {what}", "export the mask at the image's size")
    return (values if values.ndim == 2 else values.max(axis=2)) > 0


def _of(mask: _Mask, what: str) -> str:
    return f"the mask of {mask.kind}: {what}"


# What every source finds before a pixel is decoded: one entry per image, and the rows that cannot be used.


@dataclass(frozen=True, slots=True)
class Listing:
    """The usable rows of a source, aligned.

    Attributes:
        where: How messages call the table or folder.
        word: Word for a row there.
        numbers: Row numbers as the file shows them.
        names: Image names for messages.
        target: int64 [n] into `classes`; None when the masks decide it (any lesion or none).
        meaning: Of the masks' values.
        facts: half-sentences for the card, such as how the classes were found.
        warnings: Warnings for the user.
        about: Facts on a public set; without it the title and the header tell whether the set is a known one.
        boxes: Of lesions, where a table of them is named.
        lost: Number of a row that was left out as bad -> its class code, -1 where its label could not be read.
    """

    title: str
    where: str
    word: str
    numbers: tuple[int, ...]
    names: tuple[str, ...]
    images: tuple[Path, ...]
    masks: tuple[MaskAt, ...] | None
    target: np.ndarray | None
    classes: tuple[str, ...]
    patient: np.ndarray
    factors: tuple[Factor, ...] = ()
    columns: Mapping[str, np.ndarray] = field(default_factory=dict[str, np.ndarray])
    problems: tuple[Problem, ...] = ()
    facts: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    header: tuple[str, ...] = ()
    about: KnownSet | None = None
    meaning: Meaning = ONE
    boxes: Boxes | None = None
    lost: Mapping[int, int] = field(default_factory=dict[int, int])

    def __len__(self) -> int:
        return len(self.numbers)

    def problem(self, at: int, what: str, remedy: str) -> Problem:
        """Return a problem of the row at this position."""
        return Problem(self.numbers[at], self.names[at], what, remedy)

    def drop(self, problems: list[Problem]) -> tuple[Listing, list[int]]:
        """Return the listing without these rows, with the problems added, and the positions that were kept."""
        bad = {problem.row for problem in problems}
        kept = [at for at, number in enumerate(self.numbers) if number not in bad]
        codes: list[int] = [] if self.target is None else self.target.tolist()
        gone = {number: code for number, code in zip(self.numbers, codes, strict=False) if number in bad}
        lost = {**self.lost, **gone}
        return replace(self.take(kept), problems=(*self.problems, *problems), lost=lost), kept

    def take(self, kept: list[int]) -> Listing:
        """Return the rows at these positions."""
        index = np.array(kept, dtype=np.int64)
        return replace(
            self,
            numbers=tuple(self.numbers[at] for at in kept),
            names=tuple(self.names[at] for at in kept),
            images=tuple(self.images[at] for at in kept) if self.images else (),
            masks=None if self.masks is None else tuple(self.masks[at] for at in kept),
            target=None if self.target is None else self.target[index],
            patient=self.patient[index],
            columns={name: column[index] for name, column in self.columns.items()},
            boxes=None if self.boxes is None else self.boxes.take(kept),
        )


# The mask of every row of a table: a file, runs in a cell, the outlines of a COCO file, or none.


def row_masks(
    folder: Path, spec: DataSpec, table: Table, names: Sequence[str], coco: Coco | None
) -> tuple[list[MaskAt] | None, list[Problem]]:
    """Return the masks, None for a row without one where the spec defines that case; None where no row has any."""
    if coco is not None and spec.mask:
        raise SpecError(f"data.mask: the outlines stand in {spec.table}; leave it out")
    if not has_masks(spec):
        return None, []
    cells = table.column(spec.mask, "data.mask") if coco is None else names
    masks: list[MaskAt] = []
    problems: list[Problem] = []
    for line, name, cell in zip(table.numbers, names, cells, strict=True):
        mask: MaskAt = None
        try:
            mask = coco.masks[line - 1] if coco is not None else _of_cell(folder, spec, cell)
            if mask is None and spec.unmasked == "refuse":
                what = "it names none" if coco is None else "no annotation outlines anything"
                raise Unreadable(f"{what}: lesion-free, or not labeled?", UNMASKED)
        except Unreadable as error:
            problems.append(Problem(line, name, f"mask: {error.what}", error.remedy))
        masks.append(mask)
    return masks, problems


def _of_cell(folder: Path, spec: DataSpec, cell: str) -> MaskAt:
    if absent(cell):
        return None
    return inside(folder, cell, spec.links == "follow") if spec.mask_format == "file" else runs(cell, spec.mask_format)


def unmasked(masks: Sequence[object], spec: DataSpec) -> tuple[str, ...]:
    """How many images without a mask count as free of lesions, for the card."""
    without = sum(mask is None for mask in masks)
    if spec.unmasked != "lesion-free" or not without:
        return ()
    return (f"{without:,} images without a mask count as free of lesions",)


def leave_out_unmasked(listing: Listing, spec: DataSpec) -> Listing:
    """Return the listing without images that have no mask, counted, if the spec leaves them out."""
    if spec.unmasked != "leave-out" or listing.masks is None:
        return listing
    kept = [at for at, mask in enumerate(listing.masks) if mask is not None]
    left = len(listing) - len(kept)
    facts = (f"{left:,} images without a mask were left out",) if left else ()
    return replace(listing.take(kept), facts=(*listing.facts, *facts))
