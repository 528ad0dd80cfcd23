"""The page's text as Markdown: sentences, what each figure shows, comparisons, what failed, where it comes from."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from assay.report.collect import Content
from assay.report.sheets import Sheet

MOST_ROWS = 60
"""Longer tables are left to their files."""

_SIGNS = re.compile(r"[\\`*_<>|\[\]()!#&~$@]")
_ADDRESS = re.compile(r"\b(https?|ftp|mailto|xmpp|www)([:.])", re.IGNORECASE)
_BEGINNING = re.compile(r"^(\d+(?=\.(?:\s|$))|(?=[-+=]))")


def as_text(content: Content) -> str:
    """The whole as Markdown."""
    return "\n".join(_lines(content)).strip() + "\n"


def _lines(content: Content) -> Iterator[str]:
    yield from (f"# {_paragraph(content.question)}", "", _paragraph(content.meta), "")
    for said in (*content.said["answer"], *content.said["limit"]):
        yield from (_paragraph(said.text), "")
    if content.said["doubt"]:
        yield from ("## Can it be trusted?", "")
        yield from (f"- {_paragraph(said.word or 'note')}: {_plain(said.text)}" for said in content.said["doubt"])
        yield ""
    if content.gallery.visible:
        yield from ("## The images", "", *_table(content.gallery.visible))
    for section in content.sections:
        yield from (f"## {_paragraph(section.title)}", "", *([_paragraph(section.words), ""] if section.words else []))
        for figure in section.figures:
            yield from (f"- {_paragraph(f'{figure.alternative} {figure.note}')}", "")
        for sheet in section.sheets:
            yield from _table(sheet)
        if not section.sheets and section.otherwise:
            yield from (_paragraph(section.otherwise), "")
    yield from ("## What failed, collapsed or is undefined", "")
    for sheet in (*content.lost, content.environments, content.provenance):
        if sheet is not None:
            yield from _table(sheet)


def _table(sheet: Sheet) -> Iterator[str]:
    yield from (f"### {_paragraph(sheet.caption)}", "")
    if len(sheet.lines) > MOST_ROWS:
        yield from (f"{len(sheet.lines)} rows: see the file of the table in the page.", "")
        return
    yield from (_row(sheet.heads), f"| {' | '.join('---' for _ in sheet.heads)} |")
    for line in sheet.lines:
        yield _row([cell.text for cell in line.cells])
    yield from ("", *([_paragraph(sheet.note), ""] if sheet.note else []))


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(_plain, cells))} |"


def _plain(text: str) -> str:
    """Text on one line in which Markdown and HTML find nothing to obey; also no address that a reader links unasked."""
    return _ADDRESS.sub(r"\1\\\2", _SIGNS.sub(r"\\\g<0>", " ".join(text.split())))


def _paragraph(text: str) -> str:
    """The same where a line begins with it, which makes lists, rules and headings of some signs."""
    return _BEGINNING.sub(r"\1\\", _plain(text))
