"""Text of CSV files as programs save them: encodings, gzip, separators, the header. No other code reads CSV text."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from assay.core.errors import FORMAT, DataError, remove_unseen
from assay.core.files import is_stream, read_stored_bytes

TABLES = (
    *(f".{kind}{end}" for kind in ("csv", "tsv", "txt") for end in ("", ".gz", ".bz2", ".xz", ".zip", ".zst")),
    ".xlsx",
    ".xls",
    ".ods",
    ".parquet",
    ".json",
    ".jsonl",
    ".ndjson",
)
"""Endings of tables, those that are refused by what they are too."""
SEPARATORS = ",;\t|"
_MARKS = (
    (b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe\0\0", "utf-32"), (b"\0\0\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"),
)  # fmt: skip
_LARGEST = 1 << 28
"""Bytes that a packed table may unpack to."""
_FREE, _TIMES = 1 << 23, 100
"""Bytes that any packed table may unpack to, and times its size that a larger one may: text packs thirtyfold."""
_LONGEST_LINE = 1 << 24
"""Bytes that a line may have: a header of 10,000 columns has under a tenth."""
_LINES = re.compile(r"[^\r\n]*(?:\r\n?|\n)|[^\r\n]+")
_OTHERS = (
    (b"PK\x03\x04", "an Excel or OpenDocument workbook, or a ZIP file"),
    (b"\xd0\xcf\x11\xe0", "an Excel workbook"),
    (b"PAR1", "a Parquet file"),
    (b"SQLite", "a database"),
    (b"BZh9", "packed with bzip2"),
    (b"\xfd7zXZ", "packed with xz"),
    (b"\x28\xb5\x2f\xfd", "packed with Zstandard"),
)
"""First bytes of files that hold tables and are no text."""
_JSON = re.compile(r'\s*(\{\s*"|\[\s*[\[{])')
_MINUS = re.compile(r'(?<![^\s,;|"])\u2212(?=[\d.,])')
"""The minus of Unicode at the beginning of a number."""
_UNSEEN_AT_ENDS = re.compile(rf'(?<![^\s,;|"])[{FORMAT}]+|(?<![{FORMAT}])[{FORMAT}]++(?![^\s,;|"])')
"""Characters that are not seen at the beginning or end of a word or cell: within one they may join letters."""
_AS_TEXT = re.compile(
    r'(?<![^,;\t|\r\n])(?:="([^"\r\n]*)"|"=""([^"\r\n]*)"""|\'(?=\d[^\',;\t|\r\n]*(?:[,;\t|\r\n]|$)))'
)
"""A cell that a spreadsheet was told to keep as text: ="001" as it is or in quotes, and the apostrophe of '001."""
_SAMPLED = 1 << 12
"""Bytes in which UTF-16 is recognized by its zeros."""
_LONGEST = 100_000
"""Letters of the header by which the separator is found."""
_QUOTED = re.compile(r'"[^"]*"')
_EXCEL_LINE = re.compile(r'"?sep=(.)"?\s*$', re.IGNORECASE)
_WESTERN = "Windows-1252"
_DAMAGED = re.compile(rb"[\xc3-\xf4][\x80-\xbf]")
"""Two bytes that are a character in UTF-8, and an unlikely pair in Windows-1252."""
_UNLIKELY = re.compile(r"[^\x00-\x7f]{3}|\w[^\x00-\x7f\w’‘´·–—°]\w|[^\W\d_]{3}[¹³]|[¹³][^\W\d_]")
"""Runs of foreign letters, or a sign within a word: text of another code page than the western one."""


class Row(NamedTuple):
    """Cells of a row, and the first and last line of the file that it takes: a cell in quotes may hold several."""

    first: int
    last: int
    cells: list[str]


@dataclass(frozen=True, slots=True)
class Text:
    """The text of a CSV file.

    Attributes:
        name: Name of the file.
        lines: Lines with their ends; a line `sep=;` of Excel is among them.
        separator: The one that the header has most of, quoted names apart.
        assumed: The encoding, where the file does not show it; else empty.
    """

    name: str
    lines: list[str]
    separator: str
    assumed: str = ""

    def rows(self) -> Iterator[Row]:
        """Yield the rows, the header first. Raises DataError."""
        reader, begins = csv.reader(self.lines, delimiter=self.separator), 1
        try:
            for cells in reader:
                if begins > 1 or not _EXCEL_LINE.match(self.lines[0]):
                    yield Row(begins, reader.line_num, cells)
                begins = reader.line_num + 1
        except csv.Error as error:
            raise DataError(f"{self.name} is not a table: {error}; save it as CSV (UTF-8) again") from error


def read_text(path: Path) -> Text:
    """Read a CSV file: UTF-8, UTF-16 with or without a byte-order mark, Windows-1252, each also in gzip.

    Bytes that are not UTF-8 are read as Windows-1252, the encoding of Excel in western Europe and America, if the text
    is then likely: foreign letters are alone or in pairs, and no sign is inside a word.

    Raises:
        DataError: The file is no text, has a line of over 16 MiB, or an encoding that is not surely known.
    """
    data = _decompress(path)
    _refuse_long_line(path.name, data)
    text, assumed = _decode(path.name, data)
    if '="' in text or "'" in text:
        text = _AS_TEXT.sub(lambda cell: "" if cell[0] == "'" else f'"{cell[1] or cell[2] or ""}"', text)
    lines = _LINES.findall(text if text.isascii() else _UNSEEN_AT_ENDS.sub("", text))
    if lines and (excel := _EXCEL_LINE.match(lines[0])):
        return Text(path.name, lines, excel[1], assumed)
    header = _QUOTED.sub("", lines[0][:_LONGEST] if lines else "")
    separator = max(SEPARATORS, key=header.count)
    return Text(path.name, lines, separator, assumed)


def header_of(path: Path) -> list[str]:
    """Return the names of the columns of a CSV file; none of an empty one. Raises DataError."""
    first = next(read_text(path).rows(), None)
    return [] if first is None else [one_line(remove_unseen(cell)) for cell in first.cells]


def json_value(content: bytes, change: Callable[[dict[str, Any]], Any] | None = None) -> Any:
    """Return the value of a JSON text.

    Args:
        content: The text.
        change: Changes every object of it.

    Raises:
        ValueError: It is no JSON, or names half of a character, which can be neither printed nor written.
        RecursionError: It is nested too deeply.
    """
    value = json.loads(content, object_hook=change)
    if b"\\ud" in content.lower():
        json.dumps(value, ensure_ascii=False).encode()
    return value


def one_line(cell: str) -> str:
    """Return a cell without space around it, and with a space for each line break in it."""
    return " ".join(cell.split()) if "\n" in cell else cell.strip()


def _decompress(path: Path) -> bytes:
    if is_stream(path):
        raise DataError(f"{path.name} is a pipe or a device, which may have no end; give a file")
    data = read_stored_bytes(path)
    if data[:2] != b"\x1f\x8b":
        return data
    try:
        with gzip.open(io.BytesIO(data)) as file:
            most = min(_LARGEST, max(_FREE, _TIMES * len(data)))
            data = file.read(most + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path.name} is damaged or cut short; download it again") from error
    if len(data) > most:
        raise DataError(
            f"{path.name} unpacks to over {most >> 20} MiB; leave out columns that are not used, or unpack it first"
        )
    return data


def _refuse_long_line(name: str, data: bytes) -> None:
    """Raise DataError for a line that no table has, before the text is copied several times."""
    for number, line in enumerate(io.BytesIO(data), start=1):
        if len(line) <= _LONGEST_LINE:
            continue
        for further, part in enumerate(line.removesuffix(b"\n").split(b"\r")):
            if len(part) > _LONGEST_LINE:
                raise DataError(
                    f"{name}: line {number + further:,} has over {_LONGEST_LINE >> 20} MiB; shorten its cells, or save "
                    "it as CSV (UTF-8) again, if it is JSON or its line breaks are lost"
                )


def _decode(name: str, data: bytes) -> tuple[str, str]:
    """Return the text, and the encoding where it is assumed."""
    if name.casefold().endswith(".npz") and data.startswith(b"PK"):
        raise DataError(
            f"{name} is an archive of NumPy arrays, no table: one of MedMNIST is read as data: {{medmnist: {name}}} in "
            "a study file; of others, save an image for each array and a CSV with their labels"
        )
    if kind := next((kind for mark, kind in _OTHERS if data.startswith(mark)), ""):
        raise DataError(f"{name} is {kind}; save the table as CSV (UTF-8)")
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), "") or _wide(data)
    try:
        text = data.decode(encoding or "utf-8")
    except UnicodeDecodeError as error:
        western = "" if encoding else _western(data)
        if not western:
            at, line = error.start, data[: error.start].count(b"\n") + 1
            raise DataError(
                f"{name} is not UTF-8 text (byte 0x{data[at]:02X} in line {line}), and its encoding is not surely "
                "known; save it as CSV (UTF-8)"
            ) from error
        return western, _WESTERN
    if "\0" in text:
        raise DataError(f"{name} is not a text file; save it as CSV (UTF-8)")
    if _JSON.match(text):
        raise DataError(f"{name} is JSON; save the table as CSV (UTF-8)")
    return _MINUS.sub("-", text).removesuffix("\x1a"), ""  # DOS ends a file with Control-Z


def _wide(data: bytes) -> str:
    """Return the name of UTF-16 without a byte-order mark, by the zeros of its Latin letters; else an empty text."""
    even, odd = (data[at:_SAMPLED:2] for at in (0, 1))
    for zeros, others, name in ((odd, even, "utf-16-le"), (even, odd, "utf-16-be")):
        if 2 * zeros.count(0) > len(zeros) > 0 and not others.count(0):
            return name
    return ""


def _western(data: bytes) -> str:
    """Return the text in Windows-1252; empty where it is unlikely to be that."""
    if _DAMAGED.search(data):
        return ""
    try:
        text = data.decode("cp1252")
    except UnicodeDecodeError:
        return ""
    return "" if _UNLIKELY.search(text) else text
