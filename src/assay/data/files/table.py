"""CSV tables with line numbers, their columns, bad rows and image paths."""

from __future__ import annotations

import csv
import json
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

from assay.core.errors import DataError, SpecError, key_text, nearest, remove_unseen, shorten, unknown_name
from assay.core.files import (
    ASSETS,
    IN_MEMORY,
    STUDY_SUFFIXES,
    default_cache_root,
    fill_names,
    is_file,
    nearest_file,
    unset,
)
from assay.core.tables import Row, Text, one_line, read_text
from assay.core.types import Factor, Role
from assay.data.files.ages import ages_among
from assay.data.files.first_line import fault_of_first_line
from assay.spec.schema import FactorSpec

# Bad rows: all their faults are listed at once.

SHOWN = 20


@dataclass(frozen=True, slots=True)
class Problem:
    """One row that cannot be used.

    Attributes:
        row: Its number as the file shows it (a table's header is line 1).
        name: The image as the row names it; it is shown to the user only and never kept, since a file name may hold an
            identifier.
        what: The problem, half a sentence.
        remedy: Half a sentence.
        last: The last line that the row takes, where it takes several; else 0.
        repeats: The row says the same as others do, so that nothing is lost with it.
    """

    row: int
    name: str
    what: str
    remedy: str
    last: int = 0
    repeats: bool = False


class Unreadable(Exception):
    """A file that cannot be used as an image or a mask: the problem and its remedy."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(f"{what}; {remedy}")
        self.what = what
        self.remedy = remedy


def shown(text: str, limit: int = 60) -> str:
    """Text from a file, in quotes, safe on a terminal: control characters escaped, the middle of a long one cut."""
    plain = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    if len(plain) > limit:
        half = (limit - 3) // 2
        plain = f"{plain[:half]}...{plain[-half:]}"
    return f"'{plain}'"


def refuse(where: str, problems: Sequence[Problem], word: str = "line") -> None:
    """Raise one DataError that lists all that is wrong with up to 20 bad rows and counts the others. Does nothing when
    there are none.

    Args:
        where: The table or folder.
        word: Word for a row there (`line` of a table, `file` of a folder).
    """
    if not problems:
        return
    taken = _lines(problems)
    rows = sorted(taken)
    first = set(rows[:SHOWN])
    listed = sorted((p for p in problems if p.row in first), key=lambda problem: problem.row)
    count = sum(taken.values())
    lines = [f"{count} bad {word}{'s' if count > 1 else ''} in {where}:"]
    lines += [f"  {_place(p, word)} {shown(p.name)}: {p.what}; {p.remedy}" for p in listed]
    if len(rows) > SHOWN:
        lines.append(f"  and {len(rows) - SHOWN} more")
    lines.append(f"correct them; run, preview and audit leave them out with {key_text('--skip-bad-rows', True)}")
    raise DataError("\n".join(lines))


def require_whole(table: TextTable) -> None:
    """Raise DataError with the first line of a table that cannot be read, where every line is needed."""
    if table.problems:
        raise DataError(f"{table.name}: {unread(table)}")


def unread(table: TextTable) -> str:
    """Return how many lines cannot be read, and the first with its remedy."""
    first = table.problems[0]
    return f"{len(table.problems)} lines cannot be read, the first is line {first.row}: {first.what}; {first.remedy}"


def _lines(problems: Sequence[Problem]) -> dict[int, int]:
    """Return how many lines each bad row takes, by its number."""
    lines: dict[int, int] = {}
    for problem in problems:
        lines[problem.row] = max(lines.get(problem.row, 1), problem.last - problem.row + 1)
    return lines


def _place(problem: Problem, word: str) -> str:
    return f"{word}s {problem.row} to {problem.last}" if problem.last else f"{word} {problem.row}"


def left_out(problems: Sequence[Problem], word: str = "line") -> tuple[str, ...]:
    """Sentences for the card, one a row: its number and all reasons, without the name."""
    reasons: dict[int, list[str]] = {}
    places: dict[int, str] = {}
    for problem in sorted(problems, key=lambda problem: (problem.row, -problem.last)):
        reasons.setdefault(problem.row, []).append(problem.what)
        places.setdefault(problem.row, _place(problem, word))
    return tuple(f"{places[row]}: {' and '.join(what)}" for row, what in reasons.items())


# Read a CSV as people save it, with mistakes in some rows.

_MOST_COLUMNS = 10_000
_ABSENT = frozenset({
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "1.#IND", "1.#QNAN", "<NA>", "None",
})  # fmt: skip
_ABSENT_FOLDED = frozenset({"na", "n/a", "nan", "-nan", "null"})
"""Words that pandas reads as missing by default: as they are, and in any case."""


@dataclass(frozen=True, slots=True)
class TextTable:
    """A table of text.

    Attributes:
        frame: The rows: one text per header, stripped; the index has the number of the line that a row begins at, as a
            text editor shows it (the header is line 1).
        problems: Lines with too few or too many cells, or that say the same as an earlier one.
        comma: Numbers may be written 3,5.
        assumed: The encoding, where the file does not show it; else empty.
        grouped: Columns of numbers that were written with separators of thousands, which are taken out.
        written: Names of the columns in the file, where some of these were made from them; else empty.
        counted: Word and source of the rows' numbers where they are not lines of this table; else empty.
        padded: Cells, as (column, value), that stand with blanks around them in some rows, and without in others.
    """

    name: str
    frame: pd.DataFrame
    problems: tuple[Problem, ...] = ()
    comma: bool = False
    assumed: str = ""
    grouped: tuple[str, ...] = ()
    counted: tuple[str, str] = ("", "")
    written: tuple[str, ...] = ()
    padded: frozenset[tuple[str, str]] = frozenset()

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def lost(self) -> dict[int, int]:
        """Lines that cannot be read, as `lost` of a listing: their class is unknown."""
        return {problem.row: -1 for problem in self.problems if not problem.repeats}

    @property
    def header(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(self.frame.columns)

    @property
    def numbers(self) -> tuple[int, ...]:
        """Line numbers of the rows."""
        return tuple(self.frame.index.tolist())

    @property
    def rows(self) -> tuple[tuple[str, ...], ...]:
        """Cells of the rows."""
        return tuple(self.frame.itertuples(index=False, name=None))

    def column(self, name: str, place: str) -> tuple[str, ...]:
        """Return a column's cells.

        Args:
            place: The spec's key that names it. Raises SpecError with the nearest column.
        """
        if name not in self.frame:
            near = nearest(name, (*self.header, *self.written))
            there = f"did you mean '{near}'?" if near else f"its columns are {', '.join(self.written or self.header)}"
            raise SpecError(f"{place}: {self.name} has no column '{shorten(name)}': {there}")
        return tuple(self.frame[name].tolist())

    def present(self, name: str, place: str = "data") -> list[str]:
        """Return the cells of a column that hold a value. Raises as `column` does."""
        cells = self.column(name, place)
        blank = set(filter(absent, set(cells)))
        return [cell for cell in cells if cell not in blank] if blank else [*cells]


def stacked(name: str, tables: Sequence[TextTable], headers: bool) -> TextTable:
    """Return several tables as one, whose rows are numbered on from the last line of the table before.

    Columns that a table lacks are empty there.

    Args:
        headers: The header of a further table counts as a line.
    """
    frames: list[pd.DataFrame] = []
    problems: list[Problem] = []
    last = 0
    for table in tables:
        start = last if headers else max(last - 1, 0)
        frames.append(table.frame.set_axis(table.frame.index + start))
        problems += [replace(p, row=p.row + start, last=p.last and p.last + start) for p in table.problems]
        last = max([1, *frames[-1].index, *(max(problem.row, problem.last) for problem in problems)])
    return TextTable(
        name,
        pd.concat(frames).fillna(""),
        tuple(problems),
        any(table.comma for table in tables),
        next((table.assumed for table in tables if table.assumed), ""),
        tuple(dict.fromkeys(name for table in tables for name in table.grouped)),
        padded=frozenset[tuple[str, str]]().union(*(table.padded for table in tables)),
    )


def absent(cell: str) -> bool:
    """Return whether a cell says that there is no value, by the words of pandas; case matters as in `_ABSENT`."""
    return cell in _ABSENT or cell.casefold() in _ABSENT_FOLDED


def absences(cells: Sequence[str]) -> list[bool]:
    """Return whether each cell of a column says that there is no value; each spelling is looked at once."""
    blank = set(filter(absent, set(cells)))
    return [cell in blank for cell in cells]


_DECIMAL_COMMA = re.compile(r"[-+]?(\d*|\d{1,3}(\.\d{3})+),\d+([eE][-+]?\d+)?$")
_DECIMAL_POINT = re.compile(r"[-+]?\d*\.\d+([eE][-+]?\d+)?$")
_THOUSANDS = {
    ",": re.compile(r"[-+]?(?:0|[1-9]\d{0,2}((?:,\d{3})*))(?:\.\d+)?$"),
    ".": re.compile(r"[-+]?(?:0|[1-9]\d{0,2}((?:\.\d{3})*))(?:,\d+)?$"),
}
"""Separator -> a number that may be written with it: 1,234 and 1,234.5, and 12 too."""


def number(cell: str, comma: bool = False) -> float | None:
    """Return the number that a cell holds, or None. Infinity and NaN are no numbers.

    Args:
        comma: 3,5 is three and a half, and 1.234,5 is over a thousand.
    """
    decimal = comma and _DECIMAL_COMMA.match(cell)
    text = cell.replace(".", "").replace(",", ".") if decimal else cell
    try:
        value = float(text)
    except ValueError:
        return None
    return value if abs(value) < float("inf") and "_" not in text else None


NEGATIVES = frozenset({
    "negative", "normal", "benign", "healthy", "absent", "control", "controls", "none", "unaffected",
    "no finding", "no findings", "uninfected", "unremarkable", "other", "others", "rest", "well",
})  # fmt: skip
"""Names of negative classes, as is lesion-free. Any other word is then the positive class: abnormal, malignant,
diseased, present, case, or the name of a disease."""
_SYNONYMS = {
    "benign": ("gutartig", "bénin", "bénigne", "benigno", "benigna"),
    "malignant": ("bösartig", "boesartig", "malin", "maligne", "maligno", "maligna"),
    "negative": ("neg", "negativ", "négatif", "negativo"),
    "positive": ("pos", "positiv", "positif", "positivo"),
    "healthy": ("gesund", "sain", "sano"),
    "diseased": ("krank", "malade", "enfermo"),
    "false": ("falsch", "faux", "falso"),
    "true": ("wahr", "vrai", "verdadero"),
}
_WORDS = {other: word for word, others in _SYNONYMS.items() for other in others}


def fold(text: str) -> str:
    """Return a text in which case, blanks, Unicode forms and the language of a usual class make no difference, and
    signs that are not seen are left out.
    """
    plain = unicodedata.normalize("NFC", " ".join(remove_unseen(text).split())).casefold()
    return _WORDS.get(plain, plain)


_SHORT = (
    {"m": "male", "f": "female", "w": "female", "man": "male", "woman": "female", "weiblich": "female",
     "männlich": "male", "maennlich": "male"},
    {"l": "left", "r": "right", "lt": "left", "rt": "right", "links": "left", "rechts": "right", "od": "right",
     "os": "left"},
)  # fmt: skip
"""Words of sex and of side -> what they mean, in columns that hold nothing else."""
_MOST_SPELLINGS = 30
"""A column with more different values is of neither."""
_OF_NEITHER = frozenset({"unknown", "unk", "u", "o", "x", "other", "diverse", "divers", "d", "both", "bilateral", "b"})


def _meanings(folded: Collection[str]) -> Mapping[str, str]:
    """Return what the values of a column of sex or of side mean; empty of another one, as of water and fat (W, F)."""
    for words in _SHORT:
        known = {*words, *words.values()}
        if known.intersection(folded) not in (set(), {"f", "w"}) and known.union(_OF_NEITHER).issuperset(folded):
            return words
    return {}


def spellings(cells: Iterable[str]) -> dict[str, str]:
    """Return the values of a column, each with the spelling that stands for it.

    Values that `fold` makes equal are one, and so are equal numbers where all values are numbers without leading zeros,
    and M and male where all values are of sex or of side.
    The most frequent spelling stands for them.
    """
    counts = {cell: count for cell, count in Counter(cells).items() if not absent(cell)}
    plain = all(number(value) is not None and not leads_with_zero(value) for value in counts)
    meanings: Mapping[str, str] = {} if plain or len(counts) > _MOST_SPELLINGS else _meanings({*map(fold, counts)})

    def exact(value: str) -> object:  # whole numbers of over 15 digits differ, though not as floats
        return (int(value) if value.isdecimal() else number(value)) if plain else meanings.get(fold(value), fold(value))

    first: dict[object, str] = {}
    for value in sorted(counts, key=lambda value: (-counts[value], value)):
        first.setdefault(exact(value), value)
    return {value: first[exact(value)] for value in counts}


def leads_with_zero(cell: str) -> bool:
    """Return whether a number is written as codes are: 007."""
    return len(cell) > 1 and cell[0] == "0" and cell[1].isdigit()


def merged(cells: Iterable[str], *, numbers: bool = False) -> str:
    """Return which values of a column are read as one, for readers; empty where none are, or only some `numbers`."""
    groups: dict[str, list[str]] = {}
    for value, spelling in spellings(cells).items():
        groups.setdefault(spelling, []).append(value)
    alike = (sorted(group) for group in groups.values() if len(group) > 1 and (numbers or number(group[0]) is None))
    return ", ".join(" and ".join(map(shown, group)) for group in alike)


def read_table(path: Path, image: str, names_cases: Callable[[str], bool] | None = None) -> TextTable:
    """Read a CSV, see `core.tables`. Blank lines are skipped.

    Args:
        image: The column that names a row in messages.
        names_cases: Whether a column names cases: without one, equal rows may be of several. By default a column does.

    Raises:
        DataError: If the file as a whole cannot be read (not text, no header, a repeated header); single bad rows come
            as `problems`.
    """
    if path.suffix.lower() in STUDY_SUFFIXES:
        raise DataError(f"{path.name} is a study file (YAML), not a table: give it to assay preview or assay run")
    text = read_text(path)
    rows = text.rows()
    first = next(rows, None)
    if first is None or not any(first.cells):
        raise DataError(f"{path.name} has no header; its first line must name the columns, such as {image}")
    header = _column_names(path, first.cells, text)
    named = header.index(image) if image in header else 0
    cases = None if names_cases is None else [at for at, name in enumerate(header) if names_cases(name)]
    table, joined = _check_rows(path.name, header, rows, named, cases)
    _refuse_swallowed(path, [first, *joined], text.lines, text.separator, len(first.cells), named)
    counted = _as_counted(table, path)
    return _with_decimal_sign(replace(counted, assumed=text.assumed), text.separator)


COUNTED = "counted.json"
"""The file beside a table of the cache that says how its user counts the rows."""


def _as_counted(table: TextTable, path: Path) -> TextTable:
    """Return a table of the cache with the numbers that its rows have at their source; another one as it is."""
    beside = path.with_name(COUNTED)
    if not is_file(beside) or path.parent.parent != default_cache_root() / IN_MEMORY:
        return table
    try:
        counted = json.loads(beside.read_bytes())
        numbers: list[int] = counted["numbers"]
        if len(table) != len(numbers):  # a row was refused: rows that take one line each are told by it
            numbers = [numbers[line - 2] for line in table.numbers]
        frame = table.frame.set_axis(pd.Index(numbers), axis=0)
        return replace(table, frame=frame, counted=(counted["word"], counted["where"]))
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise DataError(f"{beside} is damaged: delete its folder") from error


def as_rows(table: TextTable) -> TextTable:
    """Return a table of the cache that was in memory, where rows are counted from 1 and there is no header."""
    problems = tuple(replace(problem, row=problem.row - 1) for problem in table.problems)
    return replace(table, frame=table.frame.set_axis(table.frame.index - 1, axis=0), problems=problems)


def _with_decimal_sign(table: TextTable, separator: str) -> TextTable:
    """Return the table with its decimal sign, and without separators of thousands.

    A file has one decimal sign. Numbers such as 0,5 and 12,25 show it; 1,234 may be either. Such a column is of
    thousands where the file's sign is the other one, or where 999 and 1,234 are both in it.
    """
    frame = table.frame
    decimal = {",": _DECIMAL_COMMA, ".": _DECIMAL_POINT}

    def has_number(sign: str, but: re.Pattern[str] | None = None) -> bool:
        """Return whether a cell is a number with this sign, and not one of thousands."""
        columns = (frame[name].tolist() for name in frame)
        cells = (cell for column in columns if sign in "".join(column) for cell in column if sign in cell)
        return any(decimal[sign].match(cell) and not (but and but.match(cell)) for cell in cells)

    sure, point = has_number(",", _THOUSANDS[","]), has_number(".", _THOUSANDS["."])
    comma = (sure or not point) if separator == ";" else sure and not has_number(".")
    mark = "." if sure and comma else ","
    is_other = not point if mark == "." else point and not sure
    grouped = [name for name in table.header if _has_thousands(frame[name].tolist(), mark, is_other)]
    for name in grouped:
        frame[name] = frame[name].str.replace(mark, "", regex=False)
    return replace(table, comma=comma, grouped=tuple(grouped))


def _has_thousands(column: Sequence[str], mark: str, is_other: bool) -> bool:
    """Return whether a column has numbers with separators of thousands.

    Args:
        column: Its cells.
        mark: The separator that it may be.
        is_other: Whether the decimal sign of the file is surely another one.
    """
    if mark not in "".join(column):
        return False
    matches = [_THOUSANDS[mark].match(cell) for cell in set(column) if not absent(cell)]
    groups = [cell[1] or "" for cell in matches if cell is not None]
    if len(groups) < len(matches) or not any(groups):
        return False
    return is_other or not all(groups) or max(map(len, groups)) > 4


def _refuse_swallowed(
    path: Path, rows: Sequence[Row], physical: Sequence[str], separator: str, columns: int, named: int
) -> None:
    """Raise DataError where a stray quotation mark joins rows into one.

    A row takes several lines where a cell in quotes holds a line break. That is a stray mark where at least half of the
    lines after the first look like rows of their own, where the cell that names the image holds the break, or where the
    quotes are never closed.

    Args:
        columns: Cells of the header.
        named: Position of the cell that names a row.
    """
    for row in rows:
        if row.last == row.first:
            continue
        later = physical[row.first : row.last]
        alike = sum(_like_header(line, separator, columns) for line in later)
        name = row.cells[named] if named < len(row.cells) else ""
        if 2 * alike >= len(later) or len(name.strip().splitlines()) > 1 or _ends_in_quotes(physical, row, separator):
            alike_note = f", and {alike} of them look like rows of their own" if alike else ""
            raise DataError(
                f"{path.name}: a quotation mark joins lines {row.first} to {row.last} into one row{alike_note}; remove "
                "the stray mark, or put a cell of several lines on one line"
            )


def _like_header(line: str, separator: str, columns: int) -> bool:
    """Return whether a line by itself has as many cells as the header; separators within quotes are counted or not."""
    if columns == 1:
        return True
    return line.count(separator) == columns - 1 or len(next(csv.reader([line], delimiter=separator), ())) == columns


def _ends_in_quotes(physical: Sequence[str], row: Row, separator: str) -> bool:
    """Return whether the file ends within the quotes of this row."""
    if row.last < len(physical):
        return False
    try:
        list(csv.reader(physical[row.first - 1 :], delimiter=separator, strict=True))
    except csv.Error as error:
        return "end of data" in str(error)
    return False


def _column_names(path: Path, cells: Sequence[str], text: Text) -> tuple[str, ...]:
    header = tuple(one_line(remove_unseen(cell)) for cell in cells)
    while header and not header[-1]:
        header = header[:-1]
    if len(header) > _MOST_COLUMNS:
        raise DataError(f"{path.name} has {len(header):,} columns, over {_MOST_COLUMNS:,}; leave out those not used")
    if fault := fault_of_first_line(header, text):
        raise DataError(f"{path.name} has no header: its first line ({shown(','.join(header))}) {fault}")
    counts = Counter(header)
    for name in header:
        if name and counts[name] > 1:
            places = " and ".join(str(at + 1) for at, other in enumerate(header) if other == name)
            raise DataError(f"{path.name} names column {shown(name)} twice (columns {places}); rename one of them")
    return header


def _check_rows(
    name: str, header: tuple[str, ...], lines: Iterable[Row], named: int, cases: Sequence[int] | None
) -> tuple[TextTable, Sequence[Row]]:
    """Return the table, and its rows of several lines."""
    joined: list[Row] = []
    rows: list[tuple[str, ...]] = []
    numbers: list[int] = []
    problems: list[Problem] = []
    padded: Counter[tuple[str, str]] = Counter()
    lines_with_blanks: set[int] = set()
    for line in lines:
        if line.last > line.first:
            joined.append(line)
        at, cells = line.first, tuple(map(one_line if line.last > line.first else str.strip, line.cells))
        if not any(cells):
            continue
        if line.last == line.first and list(cells) != line.cells:
            pairs = zip(header, cells, line.cells, strict=False)
            lines_with_blanks.add(at)
            padded.update((column, cell) for column, cell, written in pairs if cell != written)
        row = cells[: len(header)]
        if len(cells) < len(header) or any(cells[len(header) :]):
            what = f"it has {len(cells)} cells where the header has {len(header)}"
            remedy = "fill it up, or put text that holds the separator in double quotes"
            label = cells[named] if named < len(cells) else ""
            problems.append(Problem(at, label, what, remedy, line.last if line.last > at else 0))
        elif row == header:
            problems.append(Problem(at, row[named], "it repeats the header", _TAKE_OUT, repeats=True))
        else:
            rows.append(row)
            numbers.append(at)
    while len(rows) > 1 and _sums_up(rows, named):
        what, label = "it seems to be no case but a summary of the table", next(filter(None, rows.pop()))
        problems.append(Problem(numbers.pop(), label, what, _TAKE_OUT, repeats=True))
    is_named = cases is None or any(len({row[at] for row in rows}) > 2 for at in cases)  # two are classes
    repeats = _repeated_rows(rows, named) if is_named else {}
    for at, earlier in repeats.items():
        but = " but for blanks" if numbers[at] in lines_with_blanks else ""
        what = f"it says the same as line {numbers[earlier]}{but}"
        problems.append(Problem(numbers[at], rows[at][named], what, "keep one of them", repeats=True))
    frame = pd.DataFrame(rows, columns=header, index=np.array(numbers, dtype=np.int64), dtype=object)
    if repeats:
        frame = frame.drop(index=[numbers[at] for at in repeats])
    problems.sort(key=lambda problem: problem.row)
    counts = {
        column: Counter(row[at] for row in rows)
        for at, column in enumerate(header)
        if column in {name for name, _ in padded}
    }
    both = frozenset(cell for cell, count in padded.items() if cell[1] and count < counts[cell[0]][cell[1]])
    table = TextTable(name, frame.loc[:, list(map(bool, header))].copy(), tuple(problems), padded=both)
    return table, joined


def _repeated_rows(rows: Sequence[tuple[str, ...]], named: int) -> dict[int, int]:
    """Return the position of each row that says the same as an earlier one -> the position of that one."""
    if len({row[named] for row in rows}) == len(rows):
        return {}
    first: dict[tuple[str, ...], int] = {}
    return {at: earlier for at, row in enumerate(rows) if (earlier := first.setdefault(row, at)) != at}


_TAKE_OUT = "take the line out of the table"
_SUMMARY = re.compile(
    r"(grand |sub)?totals?|overall|sums?|means?|averages?|medians?|counts?|std|sd|summe|gesamt"
    r"|insgesamt|mittelwert|anzahl|moyenne|somme|promedio|suma",
    re.IGNORECASE,
)


def _sums_up(rows: Sequence[Sequence[str]], named: int) -> bool:
    """Return whether the last row is a summary: by its first cell or name, or without any name that all others have."""
    last = rows[-1]
    if any(_SUMMARY.fullmatch(cell.split("(")[0].strip(" :=")) for cell in (next(filter(None, last)), last[named])):
        return True
    blank = [at for at, cell in enumerate(last) if not cell]
    names = [at for at in (range(len(last)) if blank else ()) if _are_names([row[at] for row in rows[:-1]])]
    return bool(names) and {*names} <= {*blank}


def _are_names(cells: Sequence[str]) -> bool:
    """Return whether cells are texts that all differ."""
    return bool(cells[0]) and number(cells[0]) is None and len(cells) == len({*cells} - {""}) > 1


# Meaning of the columns of a user's table: factors, target, patient, and which rows are used.

Wrong = dict[int, tuple[str, str]]
"""Position in a column -> problem of the cell, and its remedy."""


def problems_of(table: TextTable, names: Sequence[str], wrong: Wrong) -> list[Problem]:
    """Wrong cells as problems of their rows."""
    numbers = table.numbers
    return [Problem(numbers[at], names[at], what, remedy) for at, (what, remedy) in sorted(wrong.items())]


def factor_column(
    name: str, spec: FactorSpec, cells: Sequence[str], role: Role = "nuisance", comma: bool = False
) -> tuple[Factor, np.ndarray, Wrong]:
    """Return a factor and its column: codes (int64, -1 missing) where it has levels, numbers (float64, NaN missing)
    elsewhere.

    Continuous: every cell is a number or absent. Ordinal: by the levels of the spec, in their order, or a number.
    Categorical: by the levels of the spec, else those found, sorted. Of two levels the second is the high one unless
    the spec says otherwise.

    Raises:
        SpecError: If the spec contradicts itself.
    """
    levels = spec.levels
    if spec.kind == "categorical" and not levels:
        spelled = spellings(cells)
        levels, cells = tuple(sorted_values(spelled.values())), [spelled.get(cell, cell) for cell in cells]
    unknown = [level for level in spec.high if level not in levels]
    if unknown:
        raise SpecError(f"data.factors.{name}.high: {unknown_name('level', unknown[0], levels or ('(none)',))}")
    high = spec.high or (levels[1:] if len(levels) == 2 and spec.kind == "categorical" else ())
    factor = Factor(name, spec.kind, role, spec.unit, levels, high)
    values, wrong = level_codes(cells, levels) if levels else _numbers(cells, comma, name, spec.kind == "ordinal")
    if not levels and wrong and len(wrong) == sum(not absent(cell) for cell in cells):
        kind = f"{name}: categorical" if spec.kind == "continuous" else f"{name}: {{kind: ordinal, levels: [...]}}"
        examples = ", ".join(shown(cell) for cell in sorted({cells[at] for at in wrong})[:3])
        raise SpecError(f"data.factors.{name}: the column holds {examples} and no number; write factors: {{{kind}}}")
    return factor, values, wrong


def level_codes(cells: Sequence[str], levels: tuple[str, ...]) -> tuple[np.ndarray, Wrong]:
    """Codes by levels that are given, int64 [n], -1 where a cell is empty or none of them; the latter with a hint."""
    index = {level: code for code, level in enumerate(levels)}
    folded = {fold(level): code for code, level in enumerate(levels)}
    numeric = {value: code for code, level in enumerate(levels) if (value := number(level)) is not None}
    wrong: Wrong = {}
    for cell in set(cells) - index.keys():  # a level 2 is also written 2.0
        if not absent(cell):
            index[cell] = folded.get(fold(cell), numeric.get(cast(float, number(cell)), -1))
    out = np.array([index.get(cell, -1) for cell in cells], dtype=np.int64)
    for at in np.flatnonzero(out < 0).tolist():
        if not absent(cell := cells[at]):
            near = nearest(cell, levels)
            hint = f"did you mean {shown(near)}?" if near else f"levels: {', '.join(levels[:8])}"
            wrong[at] = (f"{shown(cell)} is no level of the factor", hint)
    return out, wrong


def _numbers(cells: Sequence[str], comma: bool, name: str, ordinal: bool) -> tuple[np.ndarray, Wrong]:
    out = np.full(len(cells), np.nan)
    wrong: Wrong = {}
    ages = ages_among(cells)
    for at, cell in enumerate(cells):
        value = ages.get(cell, number(cell, comma))
        if value is not None:
            out[at] = value
        elif not absent(cell):
            kind = (
                f"give {name} its levels in order"
                if ordinal
                else f"write a number or leave it empty, or make {name} categorical"
            )
            wrong[at] = (f"{name} is {shown(cell)}, which is not a number", kind)
    return out, wrong


def patient_codes(cells: Sequence[str]) -> np.ndarray:
    """Codes int64 [n] of the patients' rank in sorted order, so that they do not depend on the order of rows."""
    return pd.factorize(np.array(cells, dtype=object), sort=True)[0].astype(np.int64)


def chosen(table: TextTable, where: Mapping[str, Any]) -> TextTable:
    """Return the rows that `where` wants: column -> a value, a list of values, or {min, max} (both included).

    Values are compared as numbers where both are numbers, as text elsewhere. A row without a value is not chosen.

    Raises:
        SpecError: For an unknown column or key.
    """
    for name, wanted in where.items():
        place, comma = f"data.where.{name}", table.comma
        table.column(name, place)
        fits = [_fits(cell, wanted, place, comma) for cell in table.frame[name]]
        table = replace(table, frame=table.frame[np.array(fits, dtype=np.bool_)])
    return table


def _fits(cell: str, wanted: Any, place: str, comma: bool) -> bool:
    if isinstance(wanted, Mapping):
        bounds = cast(Mapping[str, Any], wanted)
        extra = set(bounds) - {"min", "max"}
        if extra or not all(isinstance(bound, (int, float)) for bound in bounds.values()):
            raise SpecError(f"{place}: a range is written {{min: 1, max: 5}} with numbers; given {dict(bounds)}")
        value = number(cell, comma)
        return value is not None and bounds.get("min", -np.inf) <= value <= bounds.get("max", np.inf)
    if isinstance(wanted, (list, tuple)):
        return any(same_value(cell, item) for item in cast(Sequence[Any], wanted))
    return same_value(cell, wanted)


def same_value(cell: str, wanted: Any) -> bool:
    """Return whether a cell has this value: as text in any case, or as a number."""
    text = str(wanted)
    if fold(cell) == fold(text):
        return True
    first, second = number(cell), number(text)
    return (
        first is not None and first == second and not (cell.isdecimal() and text.isdecimal() and int(cell) != int(text))
    )


def sorted_values(cells: Iterable[str]) -> list[str]:
    """Return the distinct values: numbers by size, if all are numbers, else by their letters."""
    values = sorted(set(cells))
    numbers = list(map(number, values))
    return values if None in numbers else [value for _, value in sorted(zip(numbers, values, strict=True))]


# Where a spec's files are, and whether a row's file is inside its folder.

_ENDINGS = ("", ".png", ".jpg", ".dcm")
"""Endings that a name in a table may lack."""


@lru_cache(maxsize=8)
def _subfolders(folder: str) -> tuple[str, ...]:
    """Return the first subfolders of a folder, in which a missing file is looked for."""
    return tuple(sorted(entry.name for entry in os.scandir(folder) if entry.is_dir()))[:8]


_ABSOLUTE = re.compile(r"[/\\]|[A-Za-z]:")


def expand(text: str, place: str) -> Path:
    """Return a path of a spec: `~` and `${VAR}` replaced, relative to the current folder.

    See `core.files`, which the check of a spec uses too.

    Args:
        place: The spec's key, for the error.

    Raises:
        SpecError: For a variable that is not set and for a path that does not exist.
    """
    for name in unset(text):
        extra = " to the folder that holds the image sets, such as lung-nodule/" if name == ASSETS else ""
        raise SpecError(f"{place}: the variable {name} is not set; set it{extra}, or write the path itself")
    path = fill_names(text)
    if not os.path.exists(path):  # noqa: PTH110  pathlib raises OSError for names over 255 bytes
        near = nearest_file(path)
        hint = f"did you mean '{near}'?" if near else "give an existing path"
        raise SpecError(f"{place}: '{text}' does not exist (looked for {path}); {hint}")
    return path


def inside(folder: Path, text: str, links: bool = False) -> Path:
    """The file that a row names, relative to the table's folder.

    The name is tried as written, with `\\` as `/`, and in both Unicode normal forms (macOS writes NFD). Raises
    Unreadable when it is absolute, climbs out of the folder (also by a symbolic link, unless `links` allows that), is
    missing or is no file.
    """
    if _ABSOLUTE.match(text):
        raise Unreadable("its path is absolute", f"give it relative to {folder.name}/")
    slashed = text.replace("\\", "/")
    if ".." in slashed.split("/"):
        raise Unreadable("its path climbs out of the folder", f"keep all images under {folder.name}/")
    for form in dict.fromkeys((text, slashed)):
        for normal in dict.fromkeys((form, unicodedata.normalize("NFC", form), unicodedata.normalize("NFD", form))):
            # Plain strings: with pathlib, 50,000 names take seconds. And unlike Path.is_file, isfile says no to a name
            # that is too long for the system.
            path = f"{folder}/{normal}"
            if os.path.isfile(path):  # noqa: PTH113
                if not links:
                    _check_contained(folder, path)
                return Path(path)
            if os.path.isdir(path):  # noqa: PTH112
                raise Unreadable("it is a folder", "name an image file")
    for ending in _ENDINGS:
        for place in ("", *_subfolders(str(folder))):
            path = f"{place}/{slashed}{ending}" if place else f"{slashed}{ending}"
            if (place or ending) and os.path.isfile(f"{folder}/{path}"):  # noqa: PTH113
                raise Unreadable("the file is missing", f"there is '{path}'; write the whole path into the table")
    raise Unreadable("the file is missing", "put it there, or take the row out of the table")


def linked_out(folder: Path, files: Mapping[int, Sequence[Path]], links: bool) -> list[Problem]:
    """Return a problem for each row, by its number, with a file behind a link out of the folder; none with `links`."""
    problems: list[Problem] = []
    for number, paths in files.items() if not links else ():
        try:
            for path in paths:
                _check_contained(folder, str(path))
        except Unreadable as error:
            problems.append(Problem(number, str(paths[0].relative_to(folder)), error.what, error.remedy))
    return problems


def require_contained(folder: Path, name: str, links: bool) -> Path:
    """Return the path of a table in a folder. A path that is written as one out of the folder is taken as it is.

    Raises:
        SpecError: A link leads out of the folder, and links are not followed.
    """
    if not links and not Path(name).is_absolute() and ".." not in Path(name).parts:
        try:
            _check_contained(folder, f"{folder}/{name}")
        except Unreadable as error:
            raise SpecError(f"{folder.name}/{name}: {error.what}; {error.remedy}") from error
    return folder / name


def _check_contained(folder: Path, path: str) -> None:
    if not is_contained(folder, path):
        remedy = f"copy the file under {folder.name}/, or give {key_text('data.links', 'follow')}"
        raise Unreadable(LINKED_OUT, remedy)


LINKED_OUT = "its path leads out of the folder by a link"


def is_contained(folder: Path, path: str) -> bool:
    """Return whether a path in a folder stays there where links are followed."""
    link = os.path.islink(path)  # noqa: PTH114
    real = os.path.realpath(path) if link else _real_folder(path.rpartition("/")[0]) + "/"
    return real.startswith(_real_folder(str(folder)) + "/")


@cache
def _real_folder(folder: str) -> str:
    return os.path.realpath(folder)
