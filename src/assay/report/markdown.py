"""The page's text as Markdown: sentences, what each figure shows, comparisons, what failed, where it comes from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from assay.report.figures import Figure
from assay.report.sheets import Sheet

if TYPE_CHECKING:
    from assay.report.page import Content


def as_text(content: Content) -> str:
    """The whole as Markdown."""
    return "\n".join(_lines(content)).strip() + "\n"


def _lines(content: Content) -> Iterator[str]:
    yield from (f"# {_plain(content.question)}", "", _plain(content.meta), "")
    for said in (*content.said["answer"], *content.said["limit"]):
        yield from (_plain(said.text), "")
    if content.said["doubt"]:
        yield from ("## Can it be trusted?", "")
        yield from (f"- {said.word or 'note'}: {_plain(said.text)}" for said in content.said["doubt"])
        yield ""
    figures = [*content.first, *content.differences, *content.performance, *content.reliance]
    yield from _figures([*figures, *([content.encoding] if content.encoding else [])])
    sheets = (content.contrasts, content.environments, content.statuses, content.lost, content.undefined)
    for sheet in (*sheets, content.provenance):
        if sheet is not None:
            yield from _table(sheet)


def _figures(figures: list[Figure]) -> Iterator[str]:
    yield from ("## Figures in words", "")
    for figure in figures:
        yield from (f"- {_plain(' '.join((figure.alternative, figure.note)))}", "")


def _table(sheet: Sheet) -> Iterator[str]:
    yield from (f"## {sheet.caption}", "", _row(sheet.heads), _row(["---"] * len(sheet.heads)))
    for row in sheet.rows:
        yield _row([cell.text for cell in row])
    yield from ("", *([sheet.note, ""] if sheet.note else []))


def _row(cells: tuple[str, ...] | list[str]) -> str:
    return f"| {' | '.join(_plain(cell) for cell in cells)} |"


def _plain(text: str) -> str:
    """Text in which Markdown and HTML find nothing to obey."""
    for sign in "\\`*_<>|[]#":
        text = text.replace(sign, "\\" + sign) if sign not in "[]#" else text
    return " ".join(text.split())
