"""Leads on the page of an audit, with a picture of the grid of the exchange test."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from assay.report.sentences.leads import EXCHANGE, NO_LEADS, NONE_OUTSIDE, cell, lead_words, place_words
from assay.report.sentences.reasons import reason_words
from assay.stats.format import number
from assay.store.files import Row

_SIDE = 360
_LEAST = 0.02
"""AUROC from which on a loss is drawn."""


@dataclass(frozen=True)
class LeadsShown:
    """The section of leads.

    Attributes:
        items: A sentence for each lead.
        nothing: The sentence where there is none outside the center.
        grid: Picture of the grid as SVG; empty where cells were not exchanged.
        caption: Its explanation, or why there is no exchange test.
    """

    items: tuple[str, ...]
    nothing: str
    grid: Markup
    caption: str


def leads_shown(leads: Sequence[Row], exchanged: Sequence[Row], mean: Path) -> LeadsShown | None:
    """Return the section of leads; None of an audit without images.

    Args:
        leads: Rows of `audit_tables.LEADS`.
        exchanged: Rows of `audit_tables.EXCHANGED`.
        mean: The mean of the images as PNG, if there is one.
    """
    if not leads and not exchanged:
        return None
    undone = next((row["reason"] for row in exchanged if row["reason"]), "")
    cells = [row for row in exchanged if row["kind"] == "cell"]
    caption = EXCHANGE.format(images=exchanged[0]["images"]) if exchanged and not undone else ""
    if undone:
        caption = f"Exchange test not done: {reason_words(undone)}."
    nothing = NO_LEADS if not leads else NONE_OUTSIDE if all(row["center"] for row in leads) else ""
    return LeadsShown(tuple(map(lead_words, leads)), nothing, Markup(_grid(cells, mean) if cells else ""), caption)


def _grid(cells: Sequence[Row], mean: Path) -> str:
    """Draw the cells on the mean image, coarse ones first, so that their parts are above."""
    most = max(_LEAST, *(row["loss"] for row in cells))
    shapes: list[str] = []
    if mean.is_file():
        uri = base64.b64encode(mean.read_bytes()).decode()
        shapes.append(
            f'<image href="data:image/png;base64,{uri}" width="{_SIDE}" height="{_SIDE}" preserveAspectRatio="none"/>'
        )
    for row in sorted(cells, key=lambda row: cell(row["place"])[0]):
        parts, top, left, high, wide = cell(row["place"])
        step = _SIDE / parts
        split = any(other["place"] != row["place"] and _part(other["place"], row["place"]) for other in cells)
        place = f'x="{left * step:.1f}" y="{top * step:.1f}" width="{wide * step:.1f}" height="{high * step:.1f}"'
        dashes = ' stroke-dasharray="4 3"' if row["center"] else ""
        color = 0 if split else 0.75 * max(0.0, row["loss"]) / most
        shapes.append(
            f'<rect {place} fill="#d55e00" fill-opacity="{color:.2f}" stroke="#ffffff" stroke-opacity="0.7"{dashes}>'
            f"<title>{place_words('cell', row['place'])}: {number(row['loss'], 3)}</title></rect>"
        )
        if not split and row["loss"] >= _LEAST:
            x, y = (left + wide / 2) * step, (top + high / 2) * step + 4
            shapes.append(f'<text x="{x:.1f}" y="{y:.1f}" class="on-grid">{number(row["loss"], 2)}</text>')
    return (
        f'<svg viewBox="0 0 {_SIDE} {_SIDE}" width="{_SIDE}" height="{_SIDE}" role="img" '
        f'aria-label="AUROC lost by the exchange of each cell"><style>.on-grid{{fill:#fff;stroke:#000;'
        "stroke-width:2px;paint-order:stroke;font:600 12px sans-serif;text-anchor:middle}</style>"
        f"{''.join(shapes)}</svg>"
    )


def _part(name: str, whole: str) -> bool:
    parts, top, left, *_ = cell(name)
    coarse, row, column, *_ = cell(whole)
    return parts == 2 * coarse and (top // 2, left // 2) == (row, column)
