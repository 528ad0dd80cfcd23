"""Doubts about tables and folders of strangers: cells, patients and files that are seldom meant as they are."""

from __future__ import annotations

import os
import posixpath
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from assay.core.errors import SpecError, key_text, shorten
from assay.data.files.first_line import ENDINGS
from assay.data.files.joins import same_id
from assay.data.files.roles import MOST_CLASSES, ORIGINS, called_image, words_of
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


# Patients.

_ROUNDED = re.compile(r"[0-9](\.[0-9]+)?[eE]\+[0-9]+$")
_DIGITS = 15
"""Digits that a number has in a spreadsheet: it writes zeros for all further ones."""
_BY_CHANCE = 6
"""Zeros behind these digits, over all ids, that are no chance."""


def doubtful_patients(names: Sequence[object], lines: Sequence[int], word: str) -> dict[str, str]:
    """Return the cautions that names of patients are rounded, or differ in what tables change or in a side.

    Their lines stand for them: no name of a patient reaches a page.

    Args:
        names: The patient of each row.
        lines: The number of each row.
        word: What a row is called.
    """
    first = dict(zip(map(str, reversed(names)), reversed(lines), strict=True))
    ids = {name: same_id(name) for name in dict.fromkeys(map(str, names))}
    counts = Counter(ids.values())
    cautions: dict[str, str] = {}
    if several := [name for name, same in ids.items() if counts[same] > 1] if len(counts) < len(ids) else []:
        second = next(name for name in several[1:] if ids[name] == ids[several[0]])
        cautions["patients alike"] = (
            f"{len(several):,} patients differ from another in zeros before, .0 after, case or blanks alone, "
            f"first in {word} {first[several[0]]} and {word} {first[second]}: each counts as one of its own"
        )
    if sides := _of_two_sides(ids):
        cautions["patients by side"] = (
            f"{2 * len(sides):,} patients differ in a side at their end alone, such as L and R, first in {word} "
            f"{first[sides[0][0]]} and {word} {first[sides[0][1]]}: if these are sides of one patient, give both the "
            "same id"
        )
    if rounded := [line for name, line in first.items() if _ROUNDED.match(name)]:
        cautions["patients rounded"] = (
            f"{len(rounded):,} patients have numbers as a spreadsheet rounds them, such as 1.2E+11, first in {word} "
            f"{min(rounded)}: several may have become one"
        )
    elif cut := _ids_with_zeros(first):
        cautions["patients rounded"] = (
            f"all {len(cut):,} patients with over {_DIGITS} digits end in zeros behind these, as a spreadsheet writes "
            f"them, first in {word} {min(first[name] for name in cut)}: several may have become one; export ids as text"
        )
    return cautions


def _ids_with_zeros(names: Iterable[str]) -> list[str]:
    """Return the ids of more digits than a spreadsheet keeps, if zeros are behind these in all of them."""
    long = [name for name in names if name.isdecimal() and len(name.lstrip("0")) > _DIGITS]
    behind = [name.lstrip("0")[_DIGITS:] for name in long]
    are_filled = len("".join(behind)) >= _BY_CHANCE and not any(zeros.strip("0") for zeros in behind)
    return long if len(long) > 1 and are_filled else []


_OLDEST, _FEW, _GAP = 125, 0.1, 1.2
"""Years that nobody reaches, the share of such ages in another unit, and times that codes exceed the other ages."""
_AGES = frozenset({"age", "ages", "alter", "edad", "eta", "idade", "leeftijd"})
_OTHER_UNITS = frozenset({"month", "months", "day", "days", "week", "weeks", "monate", "wochen", "bone"})


def old_ages(name: str, cells: Sequence[str], comma: bool) -> list[str]:
    """Return the ages of a column that nobody reaches, if few rows have them: codes such as 300 for over 89.

    Ages that go on to such numbers without a gap, or often reach them, are of another unit.
    """
    words = words_of(name)
    if not words & _AGES or words & _OTHER_UNITS:
        return []
    ages = {cell: age for cell in {*cells} if (age := number(cell, comma)) is not None}
    old = {cell: age for cell, age in ages.items() if age > _OLDEST}
    oldest = max((age for cell, age in ages.items() if cell not in old), default=0)
    count = sum(cell in old for cell in cells)
    if not old or count > _FEW * sum(cell in ages for cell in cells) or min(old.values()) <= _GAP * oldest:
        return []
    return sorted(old, key=old.__getitem__)


_SIDE = re.compile(r"(.*[0-9])[ _.-]*(l|r|left|right|od|os|re|le|li|lt|rt)")
_SIDES = ({"l", "r"}, {"left", "right"}, {"od", "os"}, {"re", "le"}, {"re", "li"}, {"lt", "rt"})
"""Endings of the ids of two eyes, breasts or knees of one patient."""
_SHARE_OF_SIDES = 0.2
"""Share of the patients from which such endings are no chance."""


def _of_two_sides(names: Collection[str]) -> list[tuple[str, str]]:
    """Return pairs of patients that differ in a side alone; none where these are few."""
    names_of: dict[str, dict[str, str]] = {}
    for name in names:
        if match := _SIDE.fullmatch(fold(name)):
            names_of.setdefault(match[1], {})[match[2]] = name
    both = [[*sides.values()] for sides in names_of.values() if {*sides} in _SIDES]
    pairs = [(first, second) for first, second in both]
    return pairs if len(pairs) > 1 and 2 * len(pairs) >= _SHARE_OF_SIDES * len(names) else []


_PLACES = frozenset({"site", "center", "hospital", "clinic", "klinik", "cohort", "dataset", "source", "country"})
"""Words of the names of columns of places that number their patients, each for itself."""
_NUMBERED = re.compile(r"[a-z]{0,8}[ _-]?0*([0-9]{1,5})")
_SHARED = 0.5
"""Share of the patients of the smallest place that another place has as well, by their numbers."""


def renumbered_patients(table: TextTable, patient: str, names: Iterable[str]) -> dict[str, str]:
    """Return the caution that patient numbers begin anew in each site, as a row of `provenance`; empty without one.

    Ids such as 7 or P007 that count the patients are in several sites of most patients. Long ones do not repeat by
    chance.

    Args:
        table: The table.
        patient: The column of patients.
        names: Columns that may be of places.
    """
    for name in (name for name in names if words_of(name) & _PLACES and name != patient):
        pairs = {*zip(table.column(patient, "data"), table.column(name, "data"), strict=True)}
        pairs = {(who, place) for who, place in pairs if not (absent(who) or absent(place))}
        sizes, counts = Counter(place for _, place in pairs), Counter(who for who, _ in pairs)
        several = sum(count > 1 for count in counts.values())
        numbers = [int(match[1]) for who in counts if (match := _NUMBERED.fullmatch(fold(who)))]
        are_counted = 0 < len(numbers) == len(counts) and max(numbers) <= 2 * len(numbers)
        if 1 < len(sizes) <= MOST_CLASSES and are_counted and several >= max(2, _SHARED * min(sizes.values())):
            return {
                "patients by site": f"{several:,} of {len(counts):,} patients are in several values of {name}, and "
                f"ids are plain numbers: if each counts its own patients, put {name} into the ids, such as A-7"
            }
    return {}


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
