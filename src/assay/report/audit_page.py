"""Write the page of an audit, from the tables of its run folder."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay.report.drawing import Mark, Panel, Plot, Reference, styles
from assay.report.figures import Figure, strips
from assay.report.page import rendered, written
from assay.report.rows import numeric, whole
from assay.report.sentences.audit import (
    HARMFUL,
    METHODS,
    NO_REFERENCE,
    NOT_ESTABLISHED,
    check_words,
    evidence,
    headline,
    title,
)
from assay.report.sentences.reasons import reason_words
from assay.report.sheets import NONE, Cell, Line, Sheet, amount, figure, sheet, words
from assay.report.wording import measure_name
from assay.stats.format import in_words
from assay.store.audit_tables import AUDIT_TABLES
from assay.store.files import Row
from assay.store.folder import RunFolder

MOST_SHOWN = 15
"""Verdicts that are shown with their evidence, one by one; the table has all."""


@dataclass(frozen=True)
class Shown:
    """A verdict with its evidence.

    Attributes:
        title: The verdict.
        text: The numbers.
        light: `bad`, `warn` or `ok`.
        picture: Images without and with the mark as a data URI; empty where there is none.
    """

    title: str
    text: str
    light: str
    picture: str


@dataclass(frozen=True)
class AuditContent:
    """Everything that the template shows."""

    title: str
    meta: str
    answer: tuple[str, ...]
    reference: str
    verdicts: tuple[Shown, ...]
    figure: Figure | None
    sheets: tuple[Sheet, ...]
    checks: tuple[tuple[str, str], ...]
    limits: tuple[str, ...]
    methods: tuple[str, ...]
    pictures: bool


def write_audit_page(root: Path) -> Path:
    """Write `report.html` of an audit and return its path. Computes no statistic.

    Raises:
        StoreError: A table is missing, or the page would exceed 5 MB.
    """
    return written(root, rendered("audit.html", collect_audit(root)), "leave the pictures out")


def collect_audit(root: Path) -> AuditContent:
    """Collect the content of the page. Raises StoreError where a table is missing."""
    folder = RunFolder(root)
    tables = {name: folder.table(name) for name in AUDIT_TABLES}
    facts: Mapping[str, Any] = {row["key"]: row["value"] for row in tables["provenance"]}
    verdicts, margin = tables["verdicts"], facts["margin"]
    shown = [_shown(root, row, margin) for row in verdicts if row["verdict"] != "not-tested"][:MOST_SHOWN]
    parts = [facts["kind"], f"{facts['images']} images", f"{facts['patients']} patients", f"margin {margin}"]
    if "patients named" not in facts:
        parts.remove(f"{facts['patients']} patients")
    return AuditContent(
        title=f"What do the answers of {facts['model']} change with?",
        meta=" · ".join([*parts, *([facts["domain"]] if "domain" in facts else [])]),
        answer=tuple(headline(verdicts, facts["model"])),
        reference="" if "references" in facts else NO_REFERENCE,
        verdicts=tuple(shown),
        figure=_swings(verdicts, float(margin)),
        sheets=tuple(one for one in _sheets(tables) if one is not None),
        checks=tuple((row["status"], check_words(row)) for row in tables["checks"]),
        limits=NOT_ESTABLISHED,
        methods=METHODS,
        pictures=any(one.picture for one in shown),
    )


def _shown(root: Path, row: Row, margin: str) -> Shown:
    light = "bad" if row["verdict"] in HARMFUL else "warn" if row["verdict"] == "inconclusive" else "ok"
    path = root / "pictures" / f"{picture_name(row['factor'])}.png"
    there = row["kind"] == "mark" and light != "ok" and path.is_file()
    uri = f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}" if there else ""
    return Shown(title(row, margin), evidence(row), light, uri)


def picture_name(factor: str) -> str:
    """Return the name of the picture of a mark, without its ending."""
    return "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in factor)[:60]


def _swings(rows: Sequence[Row], margin: float) -> Figure | None:
    """Draw the swing of every factor with its bounds."""
    known = [row for row in rows if row["verdict"] != "not-tested" and not math.isnan(numeric(row, "g"))]
    if not known:
        return None
    names = [in_words(row["factor"]) for row in known]
    marks = tuple(
        Mark(name, numeric(row, "g"), numeric(row, "low"), numeric(row, "high"))
        for name, row in zip(names, known, strict=True)
    )
    reach = max(margin * 2, *(abs(numeric(row, end)) for row in known for end in ("g", "low", "high")))
    limits = (-min(0.5, reach) * 1.05, min(0.5, reach) * 1.05)
    style = styles(["model"])["model"]
    plot = Plot(
        (Panel("", marks, (Reference.level("none", 0.0),), (-margin, margin)),),
        tuple(names),
        dict.fromkeys(names, style),
        "swing g",
        limits,
    )
    return strips("swings", "Swing of every factor, with 95% one-sided bounds", "", plot, known)


def _sheets(tables: Mapping[str, Sequence[Row]]) -> tuple[Sheet | None, ...]:
    return (
        _sheet(
            "verdicts", "All verdicts", tables, ("factor", "verdict", "dose"), ("g", "loss_negatives", "loss", "flips")
        ),
        _sheet("effects", "Effects by dose", tables, ("factor", "dose"), ("g", "loss_negatives", "loss", "flips")),
        _sheet("groups", "Performance by group", tables, ("column", "level", "measure"), ("value",)),
        _sheet("gaps", "Gaps between groups", tables, ("column", "a", "b", "measure", "decision"), ("value",)),
        _sheet("distorted", "Distortions", tables, ("factor", "severity", "decision"), ("loss", "flips")),
        _sheet("shortcuts", "What tells the target without a network", tables, ("name", "kind", "of"), ("value",)),
        _sheet("provenance", "Provenance", tables, ("key", "value"), ()),
    )


def _sheet(
    name: str, caption: str, tables: Mapping[str, Sequence[Row]], texts: Sequence[str], numbers: Sequence[str]
) -> Sheet | None:
    """Return a table of the page: columns of text, estimates with their bounds, and the number of images."""
    rows, table = tables[name], AUDIT_TABLES[name]
    if not rows:
        return None
    counted = ["images"] if "images" in table.names else []
    tested = "reason" in table.names and name != "shortcuts"
    lines = [
        Line(
            (
                *(words(_text(row.get(one))) for one in texts),
                *(_estimate(row, one) for one in numbers),
                *(amount(whole(row, one)) for one in counted),
                *(
                    [words(reason_words(row["reason"]) or NONE)]
                    if "reason" in table.names and name != "shortcuts"
                    else []
                ),
            )
        )
        for row in rows
    ]
    heads = [*texts, *(one.replace("_", " ") for one in numbers), *counted]
    if tested:
        heads.append("not tested")
    return sheet(name, caption, heads, lines, (rows, table))


def _text(value: Any) -> str:
    text = "" if value is None else str(value)
    return measure_name(text) if text in ("auroc", "auroc-macro") else in_words(text) or NONE


def _estimate(row: Row, name: str) -> Cell:
    value = numeric(row, name)
    low, high = ("low", "high") if name in ("g", "value") else (f"{name}_low", f"{name}_high")
    if math.isnan(value) or math.isnan(numeric(row, low)):
        return figure(value)
    shown = figure(value, 3)
    return Cell(
        f"{shown.text} [{figure(numeric(row, low), 3).text}, {figure(numeric(row, high), 3).text}]", shown.sort, True
    )
