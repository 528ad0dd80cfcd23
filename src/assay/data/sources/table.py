"""Read a CSV as people save it: with a byte-order mark, semicolons or tabs, and mistakes in some rows."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from assay.core.errors import DataError, SpecError, unknown_name
from assay.data.sources.problems import Problem, shown

if TYPE_CHECKING:
    from _csv import Reader

_MARKS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
_ABSENT = frozenset({"", "na", "n/a", "nan", "null"})


@dataclass(frozen=True, slots=True)
class Table:
    """A table of text. `numbers` are those of the lines that rows begin at, as a text editor shows them: the header
    is line 1.

    rows: the usable rows, one text per header, stripped. problems: rows with too few or too many cells, or that say
    the same as an earlier one. comma: numbers may be written 3,5 (a table that is separated by semicolons).
    """

    name: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: tuple[int, ...]
    problems: tuple[Problem, ...] = ()
    comma: bool = False

    def __len__(self) -> int:
        return len(self.rows)

    def column(self, name: str, place: str) -> tuple[str, ...]:
        """A column's cells. place: the spec's key that names it. Raises SpecError with the nearest column."""
        if name not in self.header:
            raise SpecError(f"{place}: {self.name} has no column '{name}': {unknown_name('column', name, self.header)}")
        at = self.header.index(name)
        return tuple(row[at] for row in self.rows)

    def keep(self, wanted: Sequence[bool]) -> Table:
        """The rows that are wanted."""
        rows = tuple(row for row, keep in zip(self.rows, wanted, strict=True) if keep)
        numbers = tuple(number for number, keep in zip(self.numbers, wanted, strict=True) if keep)
        return Table(self.name, self.header, rows, numbers, self.problems, self.comma)


def absent(cell: str) -> bool:
    """Whether a cell says that there is no value: empty, NA, N/A, NaN or null in any case."""
    return cell.casefold() in _ABSENT


def number(cell: str, comma: bool = False) -> float | None:
    """The number that a cell holds, or None. Infinity and NaN are no numbers. comma: 3,5 is three and a half."""
    text = cell.replace(",", ".") if comma and cell.count(",") == 1 and "." not in cell else cell
    try:
        value = float(text)
    except ValueError:
        return None
    return value if abs(value) < float("inf") and "_" not in text else None


def read_table(path: Path, image: str) -> Table:
    """Read a CSV of UTF-8 or UTF-16 text, also in gzip; commas, semicolons or tabs, whichever the header has most of.

    image: the column that names a row in messages. Blank lines are passed over. Raises DataError when the file as a
    whole cannot be read (not text, no header, a header that stands twice); single bad rows come as `problems`.
    """
    text = _text(path)
    first = text.splitlines()[0] if text.strip() else ""
    separator = max(",;\t", key=first.count)
    try:
        lines = list(_numbered(csv.reader(io.StringIO(text, newline=""), delimiter=separator)))
    except csv.Error as error:
        raise DataError(f"{path.name} is not a table: {error}; save it as CSV (UTF-8) again") from error
    if not lines or not any(lines[0][1]):
        raise DataError(f"{path.name} has no header; its first line must name the columns, such as {image}")
    header = _header(path, lines[0][1])
    return _check_rows(path.name, header, lines[1:], header.index(image) if image in header else 0, separator == ";")


def _numbered(reader: Reader) -> Iterator[tuple[int, list[str]]]:
    """Each row with the number of the line that it begins at: a cell in quotes may hold several lines."""
    begins = 1
    for cells in reader:
        yield begins, cells
        begins = reader.line_num + 1


def _text(path: Path) -> str:
    data = path.read_bytes()
    if data[:2] == b"\x1f\x8b":
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"{path.name} is damaged or cut short; download it again") from error
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise DataError(
            f"{path.name} is not UTF-8 text (byte 0x{data[error.start]:02X} in line {line}); save it as CSV (UTF-8)"
        ) from error
    if "\0" in text:
        raise DataError(f"{path.name} is not a text file; save it as CSV (UTF-8)")
    return text


def _header(path: Path, cells: Sequence[str]) -> tuple[str, ...]:
    header = tuple(cell.strip() for cell in cells)
    while header and not header[-1]:
        header = header[:-1]
    for name in header:
        if name and header.count(name) > 1:
            places = " and ".join(str(at + 1) for at, other in enumerate(header) if other == name)
            raise DataError(f"{path.name} names column {shown(name)} twice (columns {places}); rename one of them")
    return header


def _check_rows(
    name: str, header: tuple[str, ...], lines: Sequence[tuple[int, list[str]]], named: int, comma: bool
) -> Table:
    rows: list[tuple[str, ...]] = []
    numbers: list[int] = []
    problems: list[Problem] = []
    seen: dict[tuple[str, ...], int] = {}
    for at, line in lines:
        cells = tuple(cell.strip() for cell in line)
        if not any(cells):
            continue
        label = cells[named] if named < len(cells) else ""
        if len(cells) < len(header) or any(cells[len(header) :]):
            problems.append(
                Problem(
                    at,
                    label,
                    f"it has {len(cells)} cells where the header has {len(header)}",
                    "fill it up, or put text that holds the separator in double quotes",
                )
            )
            continue
        row = cells[: len(header)]
        if row in seen:
            problems.append(Problem(at, label, f"it says the same as line {seen[row]}", "keep one of them"))
            continue
        seen[row] = at
        rows.append(row)
        numbers.append(at)
    return Table(name, header, tuple(rows), tuple(numbers), tuple(problems), comma)
