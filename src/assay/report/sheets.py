"""Tables as the page shows them: cells with a text to read and a value to sort by, and the whole as CSV."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from assay.report.downloads import Download, as_csv
from assay.report.tables import numeric
from assay.report.wording import valued
from assay.stats.format import number
from assay.store.files import Row


@dataclass(frozen=True, slots=True)
class Cell:
    """text: what is read. sort: what it is sorted by, the text where empty. hint: more, shown on hovering."""

    text: str
    sort: str = ""
    numeric: bool = False
    hint: str = ""


@dataclass(frozen=True)
class Sheet:
    """A table: heads, rows of cells, an anchor per row ("" for none), a note beneath, its file."""

    id: str
    caption: str
    heads: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    csv: Download
    note: str = ""
    anchors: tuple[str, ...] = field(default=())

    @property
    def long(self) -> bool:
        """Whether it deserves a filter and a box to scroll in."""
        return len(self.rows) > 12

    @property
    def numbers(self) -> tuple[bool, ...]:
        """Which columns hold numbers."""
        return tuple(any(row[i].numeric for row in self.rows) for i in range(len(self.heads)))


def sheet(
    id: str,
    caption: str,
    heads: Sequence[str],
    rows: Sequence[Sequence[Cell]],
    source: Sequence[Row],
    columns: Sequence[str],
    note: str = "",
    anchors: Sequence[str] = (),
) -> Sheet:
    """A table whose file holds `columns` of the rows that it was made from."""
    made = tuple(tuple(row) for row in rows)
    return Sheet(id, caption, tuple(heads), made, as_csv(id, columns, source), note, tuple(anchors))


def words(text: str, hint: str = "") -> Cell:
    """A cell of text."""
    return Cell(text, hint=hint)


def figure(value: float, places: int = 2) -> Cell:
    """A cell with one number; a dash where there is none."""
    return Cell("–" if math.isnan(value) else number(value, places), sort_key(value), True)


def amount(value: int) -> Cell:
    """A cell with a count."""
    return Cell(f"{value:,}", str(value), True)


def estimated(row: Row | None) -> Cell:
    """A cell with a value and its interval, and with why where there is none."""
    if row is None:
        return Cell("–", "", True)
    reason = "" if row.get("group") in ("worst environment", "worst group") else str(row["reason"])
    return Cell(valued(row), sort_key(numeric(row, "value")), True, reason)


def sort_key(value: float) -> str:
    """A number as text that a script can read; empty where there is none."""
    return "" if math.isnan(value) else f"{value:.10g}"
