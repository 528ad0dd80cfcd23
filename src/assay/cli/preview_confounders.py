"""What a preview says of confounders: how visible each is, as lines of text and as a table of its page."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from assay.report.confounders import FIGURES
from assay.stats.format import number
from assay.store.files import Row

HEAD = "How visible each confounder is"
_NAMES = ("share", "difference", "ssim")


def visibility_lines(rows: Sequence[Row]) -> list[str]:
    """A line per confounder under its head; nothing where no pixel is changed."""
    if not rows:
        return []
    width = max(len(str(row["confounder"])) for row in rows)
    heads = (*FIGURES, "images")
    lines = ["", HEAD, "  " + " " * width + "".join(f"  {head}" for head in heads)]
    for row in rows:
        cells = "".join(f"  {cell:>{len(head)}}" for cell, head in zip(_cells(row), heads, strict=True))
        lines.append(f"  {row['confounder']:<{width}}" + (f"  {row['reason']}" if row["kind"] == "sampled" else cells))
    return lines


def visibility_table(rows: Sequence[Row]) -> str:
    """The same as HTML."""
    heads = "".join(f'<th scope="col">{escape(head)}</th>' for head in ("confounder", *FIGURES, "images"))
    body = "".join(f'<tr><th scope="row">{escape(str(row["confounder"]))}</th>{_row(row)}</tr>' for row in rows)
    return f"<table><caption>{escape(HEAD)}</caption><tr>{heads}</tr>{body}</table>"


def _row(row: Row) -> str:
    if row["kind"] == "sampled":
        return f'<td colspan="{len(FIGURES) + 1}">{escape(str(row["reason"]))}</td>'
    return "".join(f"<td>{cell}</td>" for cell in _cells(row))


def _cells(row: Row) -> tuple[str, ...]:
    """Three figures, a dash where there is none, and the number of images."""
    figures = (float(row[name]) for name in _NAMES)
    return (*("–" if value != value else number(value, 3) for value in figures), str(row["images"]))
