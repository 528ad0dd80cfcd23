"""Files that the page carries in itself: CSV, SVG and Markdown, as data URIs."""

from __future__ import annotations

import base64
import csv
import gzip
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from assay.store.files import Row

MOST_ROWS = 20_000
PLAIN, MOST = 60_000, 400_000
"""A CSV of more characters than PLAIN is compressed; one that would still take more than MOST is not carried.
More rows than MOST_ROWS always would, and are not tried."""


@dataclass(frozen=True)
class Download:
    """A link that saves a file: its name, and its content as a data URI."""

    name: str
    uri: str


def as_csv(name: str, columns: Sequence[str], rows: Sequence[Row]) -> Download | None:
    """Rows as CSV, gzipped where long; None where it is too long to be carried by a page.

    Text that a spreadsheet would run as a formula gets an apostrophe before it.
    """
    if len(rows) > MOST_ROWS:
        return None
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([harmless(column) for column in columns])
    writer.writerows([[_cell(row.get(column)) for column in columns] for row in rows])
    content = buffer.getvalue()
    if len(content) <= PLAIN:
        return Download(f"{name}.csv", _base64("text/csv", content.encode()))
    uri = _base64("application/gzip", gzip.compress(content.encode(), 9, mtime=0))
    return Download(f"{name}.csv.gz", uri) if len(uri) <= MOST else None


def as_svg(name: str, drawing: str) -> Download:
    """A drawing as a file."""
    return Download(f"{name}.svg", _base64("image/svg+xml", drawing.encode()))


def as_markdown(name: str, words: str) -> Download:
    """Text as a file."""
    return Download(f"{name}.md", "data:text/markdown;charset=utf-8," + quote(words, safe=" /:=,;()!*'"))


def _base64(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.10g}"
    return harmless(value) if isinstance(value, str) else "" if value is None else str(value)


def harmless(text: str) -> str:
    """A text that no spreadsheet runs as a formula: one that begins like a formula gets an apostrophe before it."""
    return "'" + text if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text
