"""Tables on the page and their downloads."""

from __future__ import annotations

import base64
import csv
import gzip
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal
from urllib.parse import quote, unquote_to_bytes

from assay.report.sentences.reasons import reason_words
from assay.report.words import value_text
from assay.stats.format import number
from assay.stats.rows import Row, numeric
from assay.store.columns import Table
from assay.store.files import csv_text

# Files that the page carries in itself: CSV, SVG and Markdown, as data URIs.

MAX_ROWS = 20_000
MAX_PLAIN_CHARACTERS, MAX_CHARACTERS = 60_000, 400_000
"""A CSV of more characters than the first is compressed; one that would still take more than the second is not carried.
More rows than `MAX_ROWS` always would, and are not tried."""


@dataclass(frozen=True)
class Download:
    """A link that saves a file: its name, and its content as a data URI."""

    name: str
    uri: str

    @property
    def content(self) -> bytes:
        """Bytes of the file."""
        head, _, rest = self.uri.partition(",")
        return base64.b64decode(rest) if head.endswith(";base64") else unquote_to_bytes(rest)


def csv_download(name: str, columns: Sequence[str], rows: Sequence[Row]) -> Download | None:
    """Rows as CSV, gzipped where long; None where it is too long to be carried by a page.

    Text that a spreadsheet would run as a formula gets an apostrophe before it.
    """
    if len(rows) > MAX_ROWS:
        return None
    heads = [escape_formula(column) for column in columns]
    lines = [heads, *([_cell(row.get(column)) for column in columns] for row in rows)]
    content = csv_text(lines, csv_quoting(line[0] for line in lines if line))
    if len(content) <= MAX_PLAIN_CHARACTERS:
        return Download(f"{name}.csv", _base64("text/csv", content.encode()))
    uri = _base64("application/gzip", gzip.compress(content.encode(), 9, mtime=0))
    return Download(f"{name}.csv.gz", uri) if len(uri) <= MAX_CHARACTERS else None


def table_download(table: Table, tables: Mapping[str, Sequence[Row]]) -> Download | None:
    """A whole table as CSV with a column for each key of its JSON objects; see `csv_download`. A long one is not
    read."""
    rows = max(len(tables[part]) for part in table.parts or (table.name,))
    return csv_download(table.name, *table.spread(tables[table.name])) if rows <= MAX_ROWS else None


def svg_download(name: str, drawing: str) -> Download:
    """A drawing as a file."""
    return Download(f"{name}.svg", _base64("image/svg+xml", drawing.encode()))


def markdown_download(name: str, words: str) -> Download:
    """Text as a file."""
    return Download(f"{name}.md", "data:text/markdown;charset=utf-8," + quote(words, safe=" /:=,;()!*'"))


def _base64(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.10g}"
    return escape_formula(value) if isinstance(value, str) else "" if value is None else str(value)


_FORMULA = re.compile(r'^(?=[=+\-@＝＋－＠\t\r])|(?<=[;\t\r\n])(?="*[=+\-@＝＋－＠])')
"""Where a spreadsheet would begin a formula, also one of wide signs, or after another list separator."""


def escape_formula(text: str) -> str:
    """A text that no spreadsheet runs as a formula: a part that begins like a formula gets an apostrophe before it."""
    return _FORMULA.sub("'", text)


def csv_quoting(starts: Iterable[object]) -> Literal[0, 1]:
    """Return how cells of a CSV are quoted: all of them, where one that begins a line has another list separator.

    Args:
        starts: Cells that begin lines. In later ones, a spreadsheet with that separator obeys no quotes.
    """
    return csv.QUOTE_ALL if any(re.search("[;\t]", str(start)) for start in starts) else csv.QUOTE_MINIMAL


def align(rows: Sequence[Sequence[str]], numbers: Sequence[bool]) -> Iterator[str]:
    """Yield the rows of a table as lines of columns, numbers on the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        placed = zip(row, numbers, widths, strict=True)
        yield "  ".join(cell.rjust(w) if is_number else cell.ljust(w) for cell, is_number, w in placed).rstrip()


def escape_markdown(text: object) -> str:
    """Return a text on one line in which Markdown and HTML find nothing to obey, nor an address to link to."""
    plain = re.sub(
        r"([\\`*_<>|\[\]#~$&]|:(?=//)|(?<=www)\.)", r"\\\1", " ".join(str(text).split()), flags=re.IGNORECASE
    )
    return plain.replace("@", "@<!-- -->")  # a backslash keeps no program from linking names and addresses of mail


def markdown_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a table of Markdown."""
    yield f"| {' | '.join(heads)} |"
    yield f"|{'---|' * len(heads)}"
    yield from (f"| {' | '.join(map(escape_markdown, row))} |" for row in rows)


# Tables as the page shows them: cells with a text to read and a value to sort by, and the whole as CSV.

MAX_ROWS_SHOWN = 300
"""Rows that a page shows of one table; the file has all."""
NONE = "–"
"""What stands where there is no value."""
MAX_SHORT_LETTERS = 36
"""Texts of up to so many letters are not broken."""


@dataclass(frozen=True, slots=True)
class Cell:
    """Cell of a table.

    Attributes:
        text: The visible text.
        sort: The sort key, the text where empty.
        hint: Further text, shown on hovering.
        anchor: Its id in the page, where text cites it.
    """

    text: str
    sort: str = ""
    numeric: bool = False
    hint: str = ""
    anchor: str = ""

    @property
    def kind(self) -> str:
        """Its CSS class: a number, a short text that is not broken, or a text."""
        return "n" if self.numeric else "s" if len(self.text) <= MAX_SHORT_LETTERS else ""


@dataclass(frozen=True)
class SheetRow:
    """A row of a table."""

    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Sheet:
    """A table: heads, the lines shown, a note beneath, its file (None where it is too long to be carried).

    folded: whether it is closed until it is asked for, since a reader needs other tables first.
    """

    id: str
    caption: str
    heads: tuple[str, ...]
    lines: tuple[SheetRow, ...]
    csv: Download | None
    note: str = ""
    folded: bool = False

    @property
    def long(self) -> bool:
        """Whether it deserves a filter and a box to scroll in."""
        return len(self.lines) > 24

    @property
    def numbers(self) -> tuple[bool, ...]:
        """Which columns hold numbers."""
        return tuple(any(line.cells[i].numeric for line in self.lines) for i in range(len(self.heads)))


def make_sheet(
    id: str,
    caption: str,
    heads: Sequence[str],
    lines: Sequence[SheetRow],
    source: tuple[Sequence[Row], Table],
    note: str = "",
    total: int = 0,
) -> Sheet:
    """Make a table of the page.

    Columns without any value are left out of the page.

    Args:
        id: Anchor of the table in the page, and name of its file.
        caption: Caption.
        heads: Headings, one for each cell of a line.
        lines: Lines to show, the first `MAX_ROWS_SHOWN` of them.
        source: Rows that the lines were made from, all of which its file holds, and the table that they are of.
        note: Sentences beneath the table.
        total: Number of lines there are, where not all were made.
    """
    lines_shown, total = lines[:MAX_ROWS_SHOWN], max(total, len(lines))
    file = csv_download(id, *source[1].spread(source[0])) if len(source[0]) <= MAX_ROWS else None
    place = "the file has all" if file else "the tables in the run folder have all"
    cut = f"{len(lines_shown):,} of {total:,} rows are shown; {place}." if len(lines_shown) < total else ""
    filled = [i for i in range(len(heads)) if any(line.cells[i].text != NONE for line in lines_shown)]
    kept = tuple(replace(line, cells=tuple(line.cells[i] for i in filled)) for line in lines_shown)
    words = " ".join(part for part in (note, cut) if part)
    return Sheet(id, caption, tuple(heads[i] for i in filled), kept, file, words)


def text_cell(text: str, hint: str = "") -> Cell:
    """A cell of text."""
    return Cell(text, hint=hint)


def number_cell(value: float, places: int = 2) -> Cell:
    """A cell with one number; a dash where there is none."""
    return Cell(NONE if math.isnan(value) else number(value, places), sort_key(value), True)


def count_cell(value: int) -> Cell:
    """A cell with a count."""
    return Cell(f"{value:,}", str(value), True)


def p_value_cell(p: float) -> Cell:
    """A cell with a p-value: three decimals, so that a column reads down; a dash where there is none."""
    if math.isnan(p):
        return Cell(NONE, "", True)
    return Cell("< 0.001" if p < 0.001 else number(p, 3), sort_key(p), True)


def estimate_cell(row: Row | None, places: int | None = None) -> Cell:
    """Return a cell with a value and its interval, and with why where there is none. places: decimals of its column."""
    if row is None:
        return Cell(NONE, "", True)
    return Cell(value_text(row, places), sort_key(numeric(row, "value")), True, reason_words(row.get("reason")))


def sort_key(value: float) -> str:
    """A number as text that a script can read; empty where there is none."""
    return "" if math.isnan(value) else f"{value:.6g}"
