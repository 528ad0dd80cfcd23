"""Doubts about tables and folders of strangers: cells and files that are seldom meant as they are."""

from __future__ import annotations

import os
import posixpath
import re
import unicodedata
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import permutations
from pathlib import Path

from assay.core.errors import SpecError, key_text, shorten
from assay.data.files.first_line import ENDINGS
from assay.data.files.joins import SMALLER, stem_of
from assay.data.files.roles import CALLS, MASKS, MOST_CLASSES, ORIGINS, called_image, words_of
from assay.data.files.table import TextTable, absent, fold, number

_IMAGE_NAME = re.compile(rf"\.({'|'.join(ENDINGS)})(\.gz)?$", re.IGNORECASE)


# Cells.


_BETWEEN = re.compile(r"[|;,+/&]|\band\b")
"""Signs between two labels of a cell, which are also in names of single ones, such as `Nodule/Mass`."""


def several_labels(values: Sequence[str], positive: Sequence[str]) -> str:
    """Return the first value that holds several labels; empty where none does, or where it is known which are positive.

    Bars and semicolons are in no name of a class, nor are commas in a list in brackets. Other signs are between labels
    only where one of them is also a value alone, or where two of them and more are in several values.
    """
    surely = {value for value in values if "|" in value or ";" in value.strip(";") or _is_list(value)}
    parts_of = {value: list(map(_label_of, _BETWEEN.split(value.strip("[]'\" ")))) for value in values}
    several = {
        value: parts
        for value, parts in parts_of.items()
        if value in surely or (len(parts) > 1 and all(parts) and None in map(number, parts))
    }
    alone = {fold(value) for value in values}
    counts = Counter(part for parts in several.values() for part in {*parts})
    repeated = {part for part, count in counts.items() if count > 1}
    wanted = set(map(fold, positive))
    for value, parts in several.items():
        joined = value in surely or alone.intersection(parts) or (len(repeated) > 1 and repeated.intersection(parts))
        is_known = wanted and (fold(value) in wanted or wanted.isdisjoint(parts))
        if joined and not is_known:
            return value
    return ""


def _label_of(part: str) -> str:
    """Return what stands for a label of a cell, without blanks and quotes around it."""
    return fold(" ".join(part.split()).strip("'\" "))


def _is_list(value: str) -> bool:
    return value.startswith("[") and value.endswith("]") and "," in value


_MONTH = (
    "(jan|januar|january|feb|februar|february|fév|févr|mar|mär|mrz|märz|march|apr|april|avr|avril|abr|may|mai|jun|june|juni"
    "|juin|jul|july|juli|juil|aug|august|août|ago|sep|sept|september|oct|okt|october|oktober|nov|november|dec|dez|déc|dic"
    "|december|dezember)"
)
_SPREADSHEET_DATE = re.compile(
    rf"(\d{{1,2}}|\d{{4}})[-./ ]{{1,2}}{_MONTH}\.?([-./ ]{{1,2}}\d{{2,4}})?|{_MONTH}\.?[-./ ]{{1,2}}\d{{1,4}}"
)
_DATE = re.compile(r"\d{4}([-/.])\d{1,2}\1\d{1,2}([T ].*)?$|\d{1,2}([-/.])\d{1,2}\3(\d{4}|\d{2})( .*)?$")
"""A date as spreadsheets show one that they made of 1-2: 02. Jan, 2-Feb, Jan 02."""


def dates_among(values: Iterable[str]) -> list[str]:
    """Return the values that are dates, as spreadsheets make of grades and ranges such as 1-2."""
    return [value for value in values if _DATE.match(value) or _SPREADSHEET_DATE.fullmatch(fold(value))]


OLDEST, _FEW, _GAP = 125, 0.1, 1.2
"""Years that nobody reaches, the share of such ages in another unit, and times that codes exceed the other ages."""
AGES = frozenset({"age", "ages", "alter", "edad", "eta", "idade", "leeftijd"})
OTHER_UNITS = frozenset({"month", "months", "day", "days", "week", "weeks", "monate", "wochen", "bone"})


def old_ages(name: str, cells: Sequence[str], comma: bool) -> list[str]:
    """Return the ages of a column that nobody reaches, if few rows have them: codes such as 300 for over 89.

    Ages that go on to such numbers without a gap, or often reach them, are of another unit.
    """
    words = words_of(name)
    if not words & AGES or words & OTHER_UNITS:
        return []
    ages = {cell: age for cell in {*cells} if (age := number(cell, comma)) is not None}
    old = {cell: age for cell, age in ages.items() if age > OLDEST}
    oldest = max((age for cell, age in ages.items() if cell not in old), default=0)
    count = sum(cell in old for cell in cells)
    if not old or count > _FEW * sum(cell in ages for cell in cells) or min(old.values()) <= _GAP * oldest:
        return []
    return sorted(old, key=old.__getitem__)


# Images.

_ORIGINS = ORIGINS | {"centre", "klinik", "vendor", "manufacturer", "camera", "cohort", "source"}
"""Words of the names of folders of where images come from."""


def _plain_path(name: str) -> str:
    return unicodedata.normalize("NFC", posixpath.normpath(name.replace("\\", "/")))


def in_no_row(read: TextTable, images: Sequence[Path | None], folder: Path) -> tuple[str, ...]:
    """Return a sentence on image files beside those of a table that none of its cells names.

    Args:
        read: The table.
        images: The file of each row, None where there is none.
        folder: The folder that paths begin at.
    """
    used = {path for path in images if path is not None}
    files = {
        Path(entry.path)
        for place in {path.parent for path in used}
        for entry in os.scandir(place)
        if _IMAGE_NAME.search(entry.name) and not entry.name.startswith(".")
    }
    unused = files - used
    if unused:
        cells = {_plain_path(cell) for cell in {cell for name in read.header for cell in read.present(name)}}
        names = {path: (_plain_path(path.relative_to(folder).as_posix()), _plain_path(path.name)) for path in unused}
        unused = [path for path in unused if cells.isdisjoint(names[path])]
    if not unused:
        return ()
    return (f"{len(unused):,} image files beside those of {read.name} are in no row of it: they are not read",)


def other_images(read: TextTable, image: str, images: Sequence[str], is_named: bool) -> str:
    """Return a sentence on further columns that name images, which are not read; empty without them.

    Args:
        read: The table.
        image: The column whose images are read.
        images: Columns that name files which are no masks.
        is_named: Whether a user named the column.

    Raises:
        SpecError: It is not known whose images are meant, as of a row per patient with a column for each eye.
    """
    if image not in read.header:
        return ""
    cells = {*read.present(image)}
    names = cells | {Path(cell).name for cell in cells}  # a name without its folder may be of the same file
    more = {name: {cell for cell in read.present(name) if _IMAGE_NAME.search(cell)} - names for name in images}
    more = {name: {cell for cell in named if Path(cell).name not in cells} for name, named in more.items()}
    others = [name for name, named in more.items() if named and name != image]
    if not others:
        return ""
    is_plain_path = called_image(image) and not any(
        called_image(name) and not words_of(image) < words_of(name) for name in others
    )
    if not (is_named or image == "image" or is_plain_path):
        raise SpecError(
            f"data: columns {shorten(', '.join((image, *others)), 80)} of {read.name} name different images in a row: "
            f"write a row for each image, or name the column to read with {key_text('--image', 'COLUMN')}"
        )
    count = len(set[str]().union(*(more[name] for name in others)))
    return f"{count:,} images that only {shorten(', '.join(others), 80)} names are not read"


_MOST_LEVELS, _IN_NAMES, _AGREE = 6, 0.9, 0.8
"""Levels of a column, the share of files whose names hold one of them, and of those whose names agree with it."""
_SIDE_OF = {"l": "left", "r": "right"}
_READERS = CALLS | {
    "reader", "rater", "annotator", "observer", "grader", "radiologist", "dermatologist", "pathologist", "doctor",
    "model", "ai",
}  # fmt: skip
"""Words of the names of columns of opinions on an image."""


def named_otherwise(table: TextTable, names: Sequence[str]) -> dict[str, str]:
    """Return the caution that names of some files hold another level than their row, as rows of `provenance`.

    In nearly all names is one level of the column as a word, such as `L` or `malignant`, and most agree with the row.
    Columns of readers and models may differ.

    Args:
        table: The table.
        names: The file of each row.
    """
    words_in = [
        {_SIDE_OF.get(word, word) for word in re.split(r"[^a-z0-9]+", stem_of(Path(name)).casefold())} for name in names
    ]
    every = set[str]().union(*words_in)
    sentences: list[str] = []
    for column in table.header:
        if not {word.rstrip("0123456789") for word in words_of(column)}.isdisjoint(_READERS):
            continue
        cells = [_SIDE_OF.get(text, text) for text in map(fold, table.column(column, "data"))]
        levels = {cell for cell in {*cells} if not absent(cell)}
        if not 2 <= len(levels) <= _MOST_LEVELS or not levels <= every or not all(map(str.isalpha, levels)):
            continue
        levels_in = [words & levels for words in words_in]
        rows = [
            (line, cell, *words)
            for line, cell, words in zip(table.numbers, cells, levels_in, strict=True)
            if len(words) == 1
        ]
        rows = [row for row in rows if row[1] in levels]
        other = [line for line, cell, word in rows if cell != word]
        if other and len(rows) >= _IN_NAMES * len(names) and len(other) <= (1 - _AGREE) * len(rows):
            sentences.append(
                f"{len(other):,} of {len(rows):,} files have another value of {column} in their names, first in "
                f"{table.counted[0] or 'line'} {other[0]}: correct one of them"
            )
    return {"names of files": "; ".join(sentences)} if sentences else {}


def called_origin(name: str) -> bool:
    """Return whether a name is that of where images come from, as `site_A`, `hospital2` and `scanner`."""
    return not {word.rstrip("0123456789") for word in words_of(name)}.isdisjoint(_ORIGINS)


def repeated_folders(images: Sequence[str]) -> tuple[str, ...]:
    """Return a sentence on folders of several names that repeat below those of classes: sites, sides, or the classes.

    Args:
        images: Paths of the images; the first folder is the class.
    """
    pairs = {parts[:2] for image in images if len(parts := Path(image).parts) > 2}
    counts = Counter(below for _, below in pairs)
    repeated = sorted(name for name, count in counts.items() if count > 1)
    if len(repeated) < 2 or len(repeated) > MOST_CLASSES:
        return ()
    names = shorten(", ".join(repeated), 80)
    return (f"folders {names} repeat below those of the classes and are not used; if they are classes, add a table",)


_IMAGES = frozenset({"image", "images", "img", "imgs"})
_OF_IMAGES = _IMAGES | {"orig", "original", "originals"}
_OF_MASKS = MASKS | {"gt", "truth", "groundtruth", "segs", "segmentations", "annotations"}
"""Words of the names of folders of images and of their masks."""
_OF_PARTS = frozenset({"manual", "label", "labels", "contour", "contours", "vessel", "vessels"})
"""Words of names of masks beside a folder of images alone: classes are called so too."""
_PAIRED = 0.8
"""Share of the files of each of two folders that have a partner in the other."""


def images_with_masks(files: Mapping[str, Sequence[Path]]) -> tuple[str, str] | None:
    """Return two folders that seem to hold images and their masks, by their names and files; None without such.

    Words that both names have, as in `img_healthy` and `img_ill`, are no sign. Files are partners if they have the same
    name or the same first number, or the name of one begins with the other's.

    Args:
        files: Folder -> its images.
    """
    words = {name: {word.strip("0123456789") for word in words_of(name)} - {""} for name in files}
    for first, second in permutations(files, 2):
        of_images, of_masks = words[first] - words[second], words[second] - words[first]
        are_called = (
            of_masks & _OF_MASKS
            or (of_images & _OF_IMAGES and of_masks & _OF_PARTS)
            or (words[first] <= _IMAGES and of_images)
        )
        if are_called and min(_share_paired(files[first], files[second])) >= _PAIRED:
            return first, second
    return None


def _share_paired(first: Sequence[Path], second: Sequence[Path]) -> tuple[float, float]:
    """Return the shares of the files of two folders that have a partner in the other."""
    stems = [sorted(stem_of(path).casefold() for path in files) for files in (first, second)]
    numbers = [[match[0] if (match := _FIRST_NUMBER.search(stem)) else "" for stem in side] for side in stems]
    are_numbered = all(len({*side}) == len(side) for side in numbers)

    def share_of(of: int, other: int) -> float:
        names = {*stems[other]} | ({*numbers[other]} if are_numbered else set[str]())
        paired = 0
        for stem, count in zip(stems[of], numbers[of], strict=True):
            longer = bisect_left(stems[other], stem)
            begins = [*stems[other][longer : longer + 1], *stems[other][max(0, longer - 1) : longer]]
            is_begun = any(name.startswith(stem) or stem.startswith(name) for name in begins)
            paired += stem in names or (are_numbered and count in names) or is_begun
        return paired / len(stems[of])

    return share_of(0, 1), share_of(1, 0)


_FIRST_NUMBER = re.compile("[0-9]+")
_SMALL_FOLDERS = frozenset({"thumbnails", "thumbnail", "thumbs", "thumb", "previews", "preview", "lowres"})
_CHANGED = re.compile(
    r"(?:[ _.-]{1,3}\(?(?:aug(?:mented|mentation)?|[hv]?flip(?:ped)?|mirror(?:ed)?|rot(?:ated|ate)?|noise|noisy"
    r"|blur(?:red)?|bright(?:ness)?|contrast|copy|kopie)[ _.-]?[0-9]*\)?| \([0-9]+\))$"
)
"""The end of the name of a changed copy of an image."""


def named_as_changed(files: Sequence[Path]) -> dict[int, int]:
    """Return the positions of files that are named as changed copies of others -> those of the others.

    They are called as the other one with `_aug1`, `_flip`, ` (1)` and the like behind it.
    """
    at = {(path.parent, stem_of(path).casefold()): place for place, path in enumerate(files)}
    changed: dict[int, int] = {}
    for (parent, stem), place in at.items():
        short = stem
        while match := _CHANGED.search(short):
            short = short[: match.start()]
        if short != stem and (parent, short) in at:
            changed[place] = at[parent, short]
    return changed


def named_as_smaller(files: Sequence[Path]) -> dict[int, int]:
    """Return the positions of files that are named as smaller copies of others -> those of the others.

    They are called as the other one with `_thumb` and the like behind it, or are in a folder such as `thumbs`.
    """
    keys = [(path.parent, stem_of(path).casefold()) for path in files]
    at = {key: place for place, key in enumerate(keys)}
    roots = {folder.parent for folder, _ in keys if folder.name.casefold() in _SMALL_FOLDERS}
    below: dict[tuple[Path, str], list[int]] = {}
    for place, (path, (_, stem)) in enumerate(zip(files, keys, strict=True)):
        for root in roots.intersection(path.parents):
            below.setdefault((root, stem), []).append(place)
    smaller: dict[int, int] = {}
    for place, (folder, stem) in enumerate(keys):
        if (short := SMALLER.sub("", stem)) != stem and (folder, short) in at:
            smaller[place] = at[folder, short]
        elif folder.name.casefold() in _SMALL_FOLDERS:
            others = below.get((folder.parent, short), ())
            near = next((other for other in others if keys[other][0] != folder), None)
            smaller |= {} if near is None else {place: near}
    return smaller
