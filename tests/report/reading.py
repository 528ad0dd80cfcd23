"""What the tests of the report ask of a made-up study: its evidence, its page, the words of a part of a page."""

from __future__ import annotations

import html
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

from tests.worlds.tables import Made, make_run

from assay.report.layout import Evidence, outline
from assay.report.page import write_page
from assay.report.rows import Tables, read_tables
from assay.store.files import Row

DOSED = Made(
    losses=("cross-entropy", "supcon"),
    budgets=("10",),
    environments=("same", "neutral", "reversed"),
    probes=("performance",),
    pictures=False,
    more=(("confounder", ("tag", "low-pass")), ("p", ("0", "0.3", "1"))),
)
"""A dose-response of two losses and two confounders."""


def evidence_in(root: Path) -> Evidence:
    """What the tables of a run folder hold."""
    tables = read_tables(root)
    return Evidence(tables, outline(tables))


def evidence_of(root: Path, made: Made) -> Evidence:
    """The evidence of a made-up study."""
    return evidence_in(make_run(root, made))


def page_of(root: Path, made: Made) -> str:
    """The page of a made-up study."""
    return write_page(make_run(root, made)).read_text(encoding="utf-8")


def tables_of(**rows: tuple[Row, ...]) -> Tables:
    """Tables of which all that are not given are empty."""
    empty: dict[str, Any] = {field.name: () for field in fields(Tables) if field.name != "others"}
    return Tables(**{**empty, **rows})


def words_of(page: str, id: str) -> str:
    """What the table with an id says, its cells set off by bars."""
    part = page[page.index(f'id="{id}"') :]
    return html.unescape(re.sub(r"<[^>]+>", "|", part[: part.index("</table>")]))
