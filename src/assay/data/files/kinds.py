"""Kinds of the columns of a table, by their names and cells: levels, numbers, names of things, patients."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np

from assay.core.types import Factor
from assay.data.files.ages import ages_among
from assay.data.files.roles import (
    CALLS,
    ORIGINS,
    SPLITS,
    TRAINING,
    are_parts,
    called_case_weight,
    called_model_score,
    called_unit,
    holds_patients,
    words_of,
)
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
_LONG_NUMBER = re.compile(r"\d{9,}(\.0+)?$")
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
_COUNTS = "whole numbers without a repetition"
_LONG = "whole numbers of nine digits and more, as ids and phones have"
_NAMES = "texts of one or two patients each, which may say who it is"
_SHARED = 2
"""Patients that share a value on average, with so few or fewer its values may say who one is."""
MODEL_SCORES = "scores of a model, as its name says, and no data of a patient"
CASE_WEIGHTS = "weights of cases, which are not used: each case counts once"
_UNKNOWN = frozenset({
    "unknown", "unk", "unkn", "not known", "?", "??", "???", "not available", "not stated", "not specified",
    "unspecified", "missing", "no data", "undefined", "--", "---", ".", "*", "k.a.", "k. a.", "keine angabe",
    "unbekannt", "unlabeled", "n.d.", "n. d.", "not determined", "not assessable", "nicht beurteilbar",
    "not reported", "not recorded", "not evaluated", "not collected", "not provided", "undetermined", "null", "\\n",
    "#value!", "#ref!", "#name?", "#div/0!", "#num!", "#null!", "inconnu", "non renseigné", "desconocido",
    "sconosciuto", "onbekend", "неизвестно", "未知", "不明",
})  # fmt: skip
_AROUND = "[](){}<>'\""
"""Signs around a word that means so, as in `[Not Available]`."""
_SENTINELS = (-1.0, -9.0, -99.0, -999.0, 9.0, 99.0, 999.0, 9999.0)
"""Words and numbers that usually mean that a value is not known."""
MOST_LINES = 5
"""Lines that an error names."""
_FAR = 1.5
"""A number that means unknown is so many times the largest other one."""


def kind_of(
    name: str, cells: Sequence[str], comma: bool, patients: Sequence[str] = ()
) -> tuple[FactorSpec | None, str]:
    """Return the kind of a column, numbers or levels; of a column that is neither None, and the reason.

    Numbers with more than `LEVELS` values are continuous, unless their name or form is that of ids, codes or grades.
    A few texts among them, see `texts_among`, have no number. Values of nearly one patient each may name people.

    Args:
        name: Name of the column.
        cells: Its cells.
        comma: How its numbers are written.
        patients: The patient of each cell; without them each cell is one.
    """
    present = [cell for cell, blank in zip(cells, absences(cells), strict=True) if not blank]
    values = set(spellings(present).values())
    words = words_of(name)
    often = len(values) <= FEW and 5 * len(values) <= len(present)
    levels = FactorSpec(kind="categorical")
    if holds_patients(name, present) or called_unit(name):
        return (levels, "") if len(values) < 3 else (None, "ids of patients, lesions or examinations")
    if called_case_weight(name, ()):
        return None, CASE_WEIGHTS
    is_model_score = called_model_score(name)
    if is_model_score and words & CALLS:
        return None, MODEL_SCORES
    if words & _IDS:
        return (levels, "") if often else (None, "ids or codes")
    if values and all(map(_DA.match, values)):
        return (levels, "") if often else (None, "dates")
    ages = ages_among(values)
    if values and len(ages) == len(values):
        return FactorSpec(kind="continuous"), ""
    if texts := texts_among(present, comma):
        present = [cell for cell in present if cell not in texts]
        values = set(present)
    numbers = [ages.get(value, number(value, comma)) for value in values]
    if any(value is None for value in numbers):
        if not often and all(map(_DATE.match, values)):
            return None, "dates"
        are_groups = words & ORIGINS or _have_units(name, cells, comma)
        if not are_groups and _are_of_one_patient(values, cells, patients):
            return None, _NAMES
        return (levels, "") if len(values) <= MOST else (None, f"{len(values):,} different texts")
    if any(map(leads_with_zero, values)):
        return (levels, "") if often else (None, "codes with leading zeros")
    are_integers = all(value is not None and value.is_integer() for value in numbers)
    if is_model_score and len(values) > LEVELS and not are_integers:
        return None, MODEL_SCORES
    if often and (len(values) <= LEVELS or (are_integers and words & _GRADES)):
        return levels, ""
    if are_integers and len(values) == len(present):
        return None, _COUNTS
    if are_integers and all(map(_LONG_NUMBER.match, values)) and _are_of_one_patient(values, cells, patients):
        return None, _LONG
    return FactorSpec(kind="continuous"), ""


def _have_units(name: str, cells: Sequence[str], comma: bool) -> bool:
    """Return whether texts are numbers with a unit, such as 70kg, which have a caution of their own."""
    from assay.data.files.units import numbers_as_levels

    return bool(numbers_as_levels(name, cells, comma))


def _are_of_one_patient(values: Collection[str], cells: Sequence[str], patients: Sequence[str]) -> bool:
    """Return whether more than a few values are shared by `_SHARED` patients or fewer on average."""
    present = [at for at, blank in enumerate(absences(cells)) if not blank]
    count = len({patients[at] for at in present}) if patients else len(present)
    return len(values) > LEVELS and len(values) * _SHARED >= count


def texts_among(cells: Sequence[str], comma: bool = False) -> Counter[str]:
    """Return the texts, such as `>89`, in a column of numbers, with their counts: a tenth of its values at most.

    Few different numbers may be levels, beside which a text is another level: then there are none.
    """
    counts = Counter(cell for cell, blank in zip(cells, absences(cells), strict=True) if not blank)
    ages = ages_among(counts)
    texts = Counter({cell: n for cell, n in counts.items() if cell not in ages and number(cell, comma) is None})
    few = 10 * texts.total() <= counts.total() and len(counts) - len(texts) > LEVELS
    return texts if few else Counter()


def kinds_of(read: TextTable, names: Iterable[str], patient: str) -> dict[str, FactorSpec]:
    """Return the kinds of these columns, without those that are neither numbers nor levels.

    Args:
        read: The table.
        names: The columns.
        patient: The column of patients; empty without one.
    """
    patients = read.column(patient, "data") if patient else ()
    kinds = {name: kind_of(name, read.column(name, "data"), read.comma, patients)[0] for name in names}
    return {name: kind for name, kind in kinds.items() if kind is not None}


def kind_named(name: str, cells: Sequence[str], comma: bool) -> FactorSpec:
    """Return the kind of a column that the user names as a factor, also of one that `kind_of` leaves out."""
    kind, why = kind_of(name, cells, comma)
    are_numbers = why in {_COUNTS, _LONG, CASE_WEIGHTS} or (
        why == MODEL_SCORES and any(number(cell, comma) is not None for cell in cells)
    )
    return kind or FactorSpec(kind="continuous" if are_numbers else "categorical")


def factor_of(name: str, cells: Sequence[str], comma: bool = False) -> tuple[Factor, np.ndarray]:
    """Return a column that the user names as a factor, with its values."""
    return factor_column(name, kind_named(name, cells, comma), cells, comma=comma)[:2]


def without_name(cell: str) -> bool:
    """Return whether a cell of a column of patients is blank, or says that the patient is not known."""
    return absent(cell) or _says_unknown(fold(cell)) or cell.strip() == "-"


def _says_unknown(text: str) -> bool:
    """Return whether a folded cell is a word for an unknown value, also in brackets, or an error of a spreadsheet."""
    return text in _UNKNOWN or text.strip(_AROUND) in _UNKNOWN


def doubtful(values: Iterable[str], *, blank: bool = False) -> list[str]:
    """Return the values of a column that usually mean that a value is not known.

    Args:
        values: The different values, without blank ones.
        blank: Whether some cells are blank: then -1 beside 1 alone is no negative class, which is blank.
    """
    values = list(values)
    folded = {value: fold(value) for value in values}
    certain = {*folded.values()}
    unclear = [
        value
        for value, text in folded.items()
        if _says_unknown(text)
        or (text.rstrip(" )").endswith("?") and text.rstrip(" (?)") in certain)
        or (text == "u" and max(map(len, values)) < 3)
        or (text == "-" and "+" not in values)
    ]
    numeric = {value: parsed for value in values if value not in unclear and (parsed := number(value)) is not None}
    numbers = sorted(set(numeric.values()))
    if len(numeric) + len(unclear) < len(values) or (len(numbers) < 3 and not (blank and numbers == [-1, 1])):
        return unclear
    low = numbers[0] in _SENTINELS and numbers[0] < 0 <= numbers[1]
    high = numbers[-1] in _SENTINELS and numbers[-1] > max(0, _FAR * numbers[-2])
    ends = {*numbers[: int(low)], *numbers[len(numbers) - int(high) :]}
    return [*unclear, *(value for value, parsed in numeric.items() if parsed in ends)]


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
    from assay.data.files.doubts import dates_among, old_ages  # here, as below: they load for tables alone
    from assay.data.files.units import mixed_units, numbers_as_levels, zeros_for_missing

    alike = [f"{same} in {name}" for name, cells in columns.items() if (same := merged(cells))]
    unclear: list[str] = []
    codings: list[str] = []
    numbers = {name: cells for name, cells in columns.items() if name != target}
    mixed = {name: text for name, cells in numbers.items() if (text := mixed_units(name, cells, bool(comma)))}
    unclear += [text for name, cells in numbers.items() if (text := zeros_for_missing(name, cells, bool(comma)))]
    as_levels: list[str] = []
    for name, cells in columns.items():
        numeric = comma is not None and kind_named(name, cells, comma).kind == "continuous"
        as_levels += [] if numeric or name == target else filter(None, [numbers_as_levels(name, cells, bool(comma))])
        counts = texts_among(cells, bool(comma)) if numeric and name != target else Counter[str]()
        if counts:
            words = f"{', '.join(map(shown, [*counts][:3]))}{' and others' if len(counts) > 3 else ''}"
            unclear.append(f"{words} in {_rows(counts.total())} of {name}, read as missing")
        count = 0 if any(number(cell) is not None for cell in set(cells)) else cells.count("None")
        unclear += [f"'None' in {_rows(count)} of {name}, read as missing"] if count else []
        doubts = _doubtful_cells([cell for cell in cells if cell not in counts]) if name != target else []
        are_mixed = name == target or name in mixed
        doubts += [age for age in (() if are_mixed else old_ages(name, cells, bool(comma))) if age not in doubts]
        unclear += [f"{shown(value)} in {_rows(cells.count(value))} of {name}" for value in doubts]
        values = {cell for cell in {*cells} if not absent(cell)}
        codings += [text] if name != target and (text := _two_codings(name, values)) else []
        dates = dates_among(values) if name != target else []
        if dates and len(dates) < len(values):
            count = sum(map(cells.count, dates))
            unclear.append(f"{shown(min(dates))} in {_rows(count)} of {name}, a date, as spreadsheets make of 1-2")
    ages = [text for name, cells in columns.items() if (text := _ages_in_years(name, cells))]
    cautions = {
        "read as one": alike,
        "may mean unknown": unclear,
        "units": [*mixed.values()],
        "two codings": codings,
        "numbers read as levels": as_levels,
        "ages in years": ages,
    }
    return {key: "; ".join(some) for key, some in cautions.items() if some}


def _ages_in_years(name: str, cells: Sequence[str]) -> str:
    """Return the name of a column whose ages have a unit, with one that is not of years; empty without such ages."""
    others = ages_among(cells, but_years=True)
    if not others:
        return name if ages_among(cells) else ""
    age = min(others, key=lambda cell: (others[cell], cell))
    return f"{name} ({shown(age)} is {others[age]:.3g})"


def _two_codings(name: str, values: Collection[str]) -> str:
    """Return a sentence on levels that are numbers and words, as 1, 2, F and M; empty of stages, as 2, X and is."""
    numeric = sorted(value for value in values if number(value) is not None)
    words = sorted(value for value in values if value.isalpha() and fold(value) not in {*_UNKNOWN, "x", "is"})
    if len(values) > LEVELS or min(len(numeric), len(words)) < 2 or len(numeric) + len(words) < len(values):
        return ""
    return f"{name} has numbers ({', '.join(numeric)}) and words ({', '.join(words)}): write all in one way"


def notation_of(table: TextTable) -> dict[str, str]:
    """Return the encoding that was assumed and how numbers are written, as rows of `provenance`."""
    values = {"encoding": table.assumed, "thousands": ", ".join(table.grouped)}
    words = {
        "encoding": f"{table.assumed}, as Excel writes it: {table.name} does not show it",
        "thousands": f"separators in {values['thousands']}, as in 1,234, are of thousands",
    }
    return {key: words[key] for key, value in values.items() if value}


def columns_left_out(reasons: Mapping[str, str]) -> str:
    """Return columns with the reason why each is left out, for readers; those of one reason are listed together."""
    columns: dict[str, list[str]] = {}
    for name, why in reasons.items():
        columns.setdefault(why, []).append(name)
    return "; ".join(f"{', '.join(names)} ({why})" for why, names in columns.items())


def weights_of_cases(table: TextTable, used: Iterable[str]) -> dict[str, str]:
    """Return the columns of weights of cases in a table of scores, but for those in use -> why they are left out."""
    names = [name for name in table.header if name not in {*used}]
    return {name: CASE_WEIGHTS for name in names if called_case_weight(name, table.column(name, "data"))}


def split_counts(table: TextTable, column: str = "", target: str = "") -> dict[str, str]:
    """Return how many rows are of training and of other parts, as a row of `provenance`; empty without such a column.

    Args:
        table: The table.
        column: The column by which the rows are divided; empty where nothing divides them.
        target: The column of classes, which each part should have; empty where there is none.
    """
    for name in (other for other in table.header if other != column):
        counts = Counter(table.present(name))
        is_called = words_of(name) & SPLITS and {fold(part) for part in counts} & TRAINING
        if len(counts) <= LEVELS and (is_called or are_parts(counts)):
            listed = ", ".join(f"{part} ({count:,})" for part, count in sorted(counts.items()))
            lacking = _classes_lacking(table, name, target) if target in table.header else ""
            return {"parts": f"all rows are read, of each value of {name}: {listed}{lacking}"}
    return {}


def _classes_lacking(table: TextTable, column: str, target: str) -> str:
    """Return `; no row of 'test' is 'c'` for the classes of which a part has none; empty where all have some."""
    spelled = spellings(table.column(target, "data"))
    rows = zip(table.column(column, "data"), table.column(target, "data"), strict=True)
    pairs = {(part, spelled.get(cell)) for part, cell in rows if not absent(part)}
    classes = {*spelled.values()}
    parts = sorted({part for part, label in pairs if label})
    lacking = [(part, name) for part in parts for name in sorted(classes) if (part, name) not in pairs]
    if len(classes) > LEVELS or not lacking:
        return ""
    return "; " + ", ".join(f"no row of {shown(part)} is {shown(name)}" for part, name in lacking[:MOST_LINES])


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
