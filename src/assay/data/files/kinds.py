"""Kinds of the columns of a table, by their names and cells: levels, numbers, names of things, patients."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np

from assay.core.types import Factor
from assay.data.files.joins import same_id
from assay.data.files.roles import ORIGINS, SPLITS, called_unit, holds_patients, words_of
from assay.data.files.table import (
    TextTable,
    absences,
    absent,
    factor_column,
    fold,
    leads_with_zero,
    merged,
    number,
    shown,
    spellings,
    years,
)
from assay.spec.schema import FactorSpec

LEVELS = 10
"""Up to so many different numbers, each on five rows and more, are taken for levels, such as those of a site."""
MOST = 100
"""A column of text with more different values names things."""
FEW = 20
"""Dates and ids with up to so many values, each on five rows and more, are taken for levels."""
_DATE = re.compile(r"\d{4}([-/.])\d{1,2}\1\d{1,2}([T ].*)?$|\d{1,2}([-/.])\d{1,2}\3(\d{4}|\d{2})( .*)?$")
_DA = re.compile(r"(19|20)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(\.0+)?$")
"""A date as DICOM writes it, also as a number."""
_MONTH = (
    "(jan|januar|january|feb|februar|february|fév|févr|mar|mär|mrz|märz|march|apr|april|avr|avril|abr|may|mai|jun|june|juni"
    "|juin|jul|july|juli|juil|aug|august|août|ago|sep|sept|september|oct|okt|october|oktober|nov|november|dec|dez|déc|dic"
    "|december|dezember)"
)
_SPREADSHEET_DATE = re.compile(
    rf"(\d{{1,2}}|\d{{4}})[-./ ]{{1,2}}{_MONTH}\.?([-./ ]{{1,2}}\d{{2,4}})?|{_MONTH}\.?[-./ ]{{1,2}}\d{{1,4}}"
)
"""A date as spreadsheets show one that they made of 1-2: 02. Jan, 2-Feb, Jan 02."""
_IDS = frozenset({"id", "ids", "uid", "uuid", "guid", "code", "codes", "zip", "plz", "postcode", "nr", "key", "hash"})
"""Words of the name of a column that names things."""
_GRADES = ORIGINS | {
    "grade",
    "grades",
    "score",
    "stage",
    "level",
    "class",
    "category",
    "type",
    "birads",
    "rads",
    "fitzpatrick",
    "machine",
    "batch",
    "fold",
    "group",
    "cluster",
}
"""Words of the name of a column whose numbers are levels."""
_ROUNDED = re.compile(r"[0-9](\.[0-9]+)?[eE]\+[0-9]+$")
_COUNTS = "whole numbers without a repetition"
_UNKNOWN = frozenset({
    "unknown", "unk", "unkn", "not known", "?", "??", "???", "not available", "not stated", "not specified",
    "unspecified", "missing", "no data", "undefined", "--", "---", ".", "*", "k.a.", "k. a.", "keine angabe",
    "unbekannt", "unlabeled", "not assessable", "nicht beurteilbar",
})  # fmt: skip
_SENTINELS = (-1.0, -9.0, -99.0, -999.0, 9.0, 99.0, 999.0, 9999.0)
"""Words and numbers that usually mean that a value is not known."""
MOST_LINES = 5
"""Lines that an error names."""
_FAR = 1.5
"""A number that means unknown is so many times the largest other one."""


def kind_of(name: str, cells: Sequence[str], comma: bool) -> tuple[FactorSpec | None, str]:
    """Return the kind of a column, numbers or levels; of a column that is neither None, and the reason.

    Numbers with more than `LEVELS` values are continuous, unless their name or form is that of ids, codes or grades.
    A few texts among them, see `texts_among`, have no number.
    """
    present = [cell for cell, blank in zip(cells, absences(cells), strict=True) if not blank]
    values = set(spellings(present).values())
    words = words_of(name)
    often = len(values) <= FEW and 5 * len(values) <= len(present)
    levels = FactorSpec(kind="categorical")
    if holds_patients(name, present) or called_unit(name):
        return (levels, "") if len(values) < 3 else (None, "ids of patients, lesions or examinations")
    if words & _IDS:
        return (levels, "") if often else (None, "ids or codes")
    if values and all(map(_DA.match, values)):
        return (levels, "") if often else (None, "dates")
    if values and all(years(value) is not None for value in values):
        return FactorSpec(kind="continuous"), ""
    if texts := texts_among(present, comma):
        present = [cell for cell in present if cell not in texts]
        values = set(present)
    numbers = [number(value, comma) for value in values]
    if any(value is None for value in numbers):
        if not often and all(map(_DATE.match, values)):
            return None, "dates"
        return (levels, "") if len(values) <= MOST else (None, f"{len(values):,} different texts")
    if any(map(leads_with_zero, values)):
        return (levels, "") if often else (None, "codes with leading zeros")
    are_integers = all(value is not None and value.is_integer() for value in numbers)
    if often and (len(values) <= LEVELS or (are_integers and words & _GRADES)):
        return levels, ""
    if are_integers and len(values) == len(present):
        return None, _COUNTS
    return FactorSpec(kind="continuous"), ""


def texts_among(cells: Sequence[str], comma: bool = False) -> Counter[str]:
    """Return the texts, such as `>89`, in a column of numbers, with their counts: a tenth of its values at most.

    Few different numbers may be levels, beside which a text is another level: then there are none.
    """
    counts = Counter(cell for cell, blank in zip(cells, absences(cells), strict=True) if not blank)
    texts = Counter({cell: count for cell, count in counts.items() if number(cell, comma) is None})
    few = 10 * texts.total() <= counts.total() and len(counts) - len(texts) > LEVELS
    return texts if few and not any(map(years, texts)) else Counter()


def kinds_of(read: TextTable, names: Iterable[str]) -> dict[str, FactorSpec]:
    """Return the kinds of these columns, without those that are neither numbers nor levels."""
    kinds = {name: kind_of(name, read.column(name, "data"), read.comma)[0] for name in names}
    return {name: kind for name, kind in kinds.items() if kind is not None}


def kind_named(name: str, cells: Sequence[str], comma: bool) -> FactorSpec:
    """Return the kind of a column that the user names as a factor, also of one that `kind_of` leaves out."""
    kind, why = kind_of(name, cells, comma)
    return kind or FactorSpec(kind="continuous" if why == _COUNTS else "categorical")


def factor_of(name: str, cells: Sequence[str], comma: bool = False) -> tuple[Factor, np.ndarray]:
    """Return a column that the user names as a factor, with its values."""
    return factor_column(name, kind_named(name, cells, comma), cells, comma=comma)[:2]


def without_name(cell: str) -> bool:
    """Return whether a cell of a column of patients is blank, or says that the patient is not known."""
    return absent(cell) or fold(cell) in _UNKNOWN or cell.strip() == "-"


def doubtful(values: Iterable[str], *, blank: bool = False) -> list[str]:
    """Return the values of a column that usually mean that a value is not known.

    Args:
        values: The different values, without blank ones.
        blank: Whether some cells are blank: then -1 beside 1 alone is no negative class, which is blank.
    """
    values = list(values)
    folded = {value: fold(value) for value in values}
    unclear = [
        value
        for value, text in folded.items()
        if text in _UNKNOWN or (text == "u" and max(map(len, values)) < 3) or (text == "-" and "+" not in values)
    ]
    numeric = {value: parsed for value in values if value not in unclear and (parsed := number(value)) is not None}
    numbers = sorted(set(numeric.values()))
    if len(numeric) + len(unclear) < len(values) or (len(numbers) < 3 and not (blank and numbers == [-1, 1])):
        return unclear
    low = numbers[0] in _SENTINELS and numbers[0] < 0 <= numbers[1]
    high = numbers[-1] in _SENTINELS and numbers[-1] > max(0, _FAR * numbers[-2])
    ends = {*numbers[: int(low)], *numbers[len(numbers) - int(high) :]}
    return [*unclear, *(value for value, parsed in numeric.items() if parsed in ends)]


def dates_among(values: Iterable[str]) -> list[str]:
    """Return the values that are dates, as spreadsheets make of grades and ranges such as 1-2."""
    return [value for value in values if _DATE.match(value) or _SPREADSHEET_DATE.fullmatch(fold(value))]


def _doubtful_cells(cells: Sequence[str]) -> list[str]:
    different = set(cells)
    return doubtful({cell for cell in different if not absent(cell)}, blank=any(map(absent, different)))


def _rows(number: int) -> str:
    return f"{number:,} {'row' if number == 1 else 'rows'}"


def cautions_of(columns: Mapping[str, Sequence[str]], target: str, comma: bool | None = None) -> dict[str, str]:
    """Return which values of columns are read as one, or may mean unknown, as rows of `provenance`.

    Args:
        columns: Name -> cells.
        target: The column whose values that may mean unknown were asked about.
        comma: How numbers are written, where the columns have the kinds of `kind_named`, and no others.
    """
    alike = [f"{same} in {name}" for name, cells in columns.items() if (same := merged(cells))]
    unclear: list[str] = []
    for name, cells in columns.items():
        numeric = comma is not None and kind_named(name, cells, comma).kind == "continuous"
        counts = texts_among(cells, bool(comma)) if numeric and name != target else Counter[str]()
        if counts:
            words = f"{', '.join(map(shown, [*counts][:3]))}{' and others' if len(counts) > 3 else ''}"
            unclear.append(f"{words} in {_rows(counts.total())} of {name}, read as missing")
        count = 0 if any(number(cell) is not None for cell in set(cells)) else cells.count("None")
        unclear += [f"'None' in {_rows(count)} of {name}, read as missing"] if count else []
        doubts = _doubtful_cells([cell for cell in cells if cell not in counts]) if name != target else []
        unclear += [f"{shown(value)} in {_rows(cells.count(value))} of {name}" for value in doubts]
        values = {cell for cell in {*cells} if not absent(cell)}
        dates = dates_among(values) if name != target else []
        if dates and len(dates) < len(values):
            count = sum(map(cells.count, dates))
            unclear.append(f"{shown(min(dates))} in {_rows(count)} of {name}, a date, as spreadsheets make of 1-2")
    ages = [name for name, cells in columns.items() if any(map(years, set(cells)))]
    cautions = {"read as one": alike, "may mean unknown": unclear, "ages in years": ages}
    return {key: "; ".join(some) for key, some in cautions.items() if some}


def notation_of(table: TextTable) -> dict[str, str]:
    """Return the encoding that was assumed and how numbers are written, as rows of `provenance`."""
    values = {"encoding": table.assumed, "thousands": ", ".join(table.grouped)}
    words = {
        "encoding": f"{table.assumed}, as Excel writes it: {table.name} does not show it",
        "thousands": f"separators in {values['thousands']}, as in 1,234, are of thousands",
    }
    return {key: words[key] for key, value in values.items() if value}


def split_counts(table: TextTable, column: str = "") -> dict[str, str]:
    """Return how many rows are of training and of other parts, as a row of `provenance`; empty without such a column.

    Args:
        table: The table.
        column: The column by which the rows are divided; empty where nothing divides them.
    """
    for name in (other for other in table.header if other != column and words_of(other) & SPLITS):
        counts = Counter(table.present(name))
        if len(counts) <= LEVELS and {fold(part) for part in counts} & {"train", "training"}:
            listed = ", ".join(f"{part} ({count:,})" for part, count in sorted(counts.items()))
            return {"parts": f"all rows are read, of each value of {name}: {listed}"}
    return {}


LARGE = 0.1
"""Share of the images that one patient has at most, without a caution."""
MANY_IMAGES = 20
"""In fewer images nothing is said of it."""


def one_patient(patient: np.ndarray) -> dict[str, str]:
    """Return the caution that one patient has many of the images, as a row of `provenance`; empty where none has."""
    counts = np.unique(patient, return_counts=True)[1]
    if len(patient) < MANY_IMAGES or counts.max() <= LARGE * len(patient):
        return {}
    if len(counts) == 1:
        sentence = (
            f"all {len(patient):,} images are of one patient: is it one, or a word for missing? There is no interval"
        )
        return {"large patient": f"{sentence} over a single patient"}
    share = f"{counts.max():,} of {len(patient):,} images are of one patient ({len(counts):,} patients)"
    return {"large patient": f"{share}: is it one, or a word for missing?"}


def alike_patients(names: Sequence[object], lines: Sequence[int], word: str = "line") -> dict[str, str]:
    """Return the cautions that names of patients are rounded, or differ in what tables change, as in `provenance`.

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
    return cautions


_SIDE = re.compile(r"(.*[0-9])[ _.-]*(l|r|left|right|od|os|re|le|li|lt|rt)")
_SIDES = ({"l", "r"}, {"left", "right"}, {"od", "os"}, {"re", "le"}, {"re", "li"}, {"lt", "rt"})
"""Endings of the ids of two eyes, breasts or knees of one patient."""
_SHARE_OF_SIDES = 0.2
"""Share of the patients from which such endings are no chance."""


def _of_two_sides(names: Collection[str]) -> list[tuple[str, str]]:
    """Return pairs of patients that differ in a side alone; none where these are few."""
    names_of: dict[str, dict[str, str]] = {}
    for name in names:
        if found := _SIDE.fullmatch(fold(name)):
            names_of.setdefault(found[1], {})[found[2]] = name
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
        pairs = {(who, place) for who, place in pairs if not (without_name(who) or absent(place))}
        sizes, counts = Counter(place for _, place in pairs), Counter(who for who, _ in pairs)
        several = sum(count > 1 for count in counts.values())
        numbers = [int(found[1]) for who in counts if (found := _NUMBERED.fullmatch(fold(who)))]
        are_counted = len(numbers) == len(counts) and max(numbers) <= 2 * len(numbers)
        if 1 < len(sizes) <= LEVELS and are_counted and several >= max(2, _SHARED * min(sizes.values())):
            return {
                "patients by site": f"{several:,} of {len(counts):,} patients are in several values of {name}, and "
                f"ids are plain numbers: if each counts its own patients, put {name} into the ids, such as A-7"
            }
    return {}
