"""Figures and summaries of a run outside its page: in notebooks and in files of their own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import islice
from pathlib import Path
from typing import Literal

from assay.core.errors import StoreError, extra
from assay.core.files import at_home
from assay.report.account import ResultLine
from assay.report.blocks import Figure
from assay.report.blocks import chart as draw
from assay.report.context import PageContext
from assay.report.page import first_figures
from assay.report.sentences.reading import reading_lines
from assay.report.sheets import align
from assay.stats.harms import MAX_ON_FIRST_SCREEN
from assay.store.files import write_bytes

_PIXELS = 2.0
"""Pixels of a PNG per unit of the drawing."""


@dataclass(frozen=True)
class Chart:
    """A figure on white paper, shown by notebooks and saved as a file.

    Attributes:
        name: Name of a file for it.
        title: Its title, which the drawing has too.
        note: Sentences beneath it.
        svg: The drawing.
    """

    name: str
    title: str
    note: str
    svg: str

    def _repr_svg_(self) -> str:
        return self.svg

    def _repr_html_(self) -> str:
        style = "margin:0;max-width:56em;background:#fff;color:#1c1e21"
        note = f'<figcaption style="font:13px system-ui,sans-serif">{escape(self.note)}</figcaption>'
        return f'<figure style="{style}">{self.svg}{note if self.note else ""}</figure>'

    def save(self, path: str | Path) -> Path:
        """Write the drawing as SVG, PNG or PDF, by the ending of the path.

        Args:
            path: Path of the file, whose folder is made if needed.

        Returns:
            The path.

        Raises:
            StoreError: The path has another ending.
            ExtraError: PNG and PDF need the extra `figures`.
        """
        target = at_home(path)
        match target.suffix.lower():
            case ".svg":
                content = self.svg.encode()
            case ".png":
                content = _convert(self.svg, "png")
            case ".pdf":
                content = _convert(self.svg, "pdf")
            case _:
                raise StoreError(f"cannot save a figure as '{target.name}': use a name that ends in .svg, .png or .pdf")
        target.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(target, content)
        return target


def _convert(svg: str, wanted: Literal["png", "pdf"]) -> bytes:
    """Return a drawing as PNG or PDF, set by typst as a page of the drawing's size."""
    with extra("figures"):
        import typst

    source = '#set page(width: auto, height: auto, margin: 0pt)\n#image(bytes(sys.inputs.svg), format: "svg")'
    named = svg.replace("sans-serif", "Liberation Sans, DejaVu Sans, sans-serif", 1)
    return typst.compile(source.encode(), format=wanted, ppi=96 * _PIXELS, sys_inputs={"svg": named})


def chart(root: Path, measure: str) -> Chart:
    """Draw one measure of a run: every recipe, or the one model, by test condition and place.

    Args:
        root: The run folder.
        measure: Name of a measure of the table `estimates`; `g`, the AUROC shift, of an audit.

    Raises:
        StoreError: The run has no such measure, or no value of it.
    """
    context = PageContext.of(root)
    figure = draw(context.page.block_of(context, measure), context)
    if figure is None:
        raise StoreError(f"{root} has no value of {measure}: the column `reason` of its table tells why")
    return _chart(figure, measure)


def _chart(figure: Figure, name: str) -> Chart:
    svg = figure.svg.content.decode() if figure.svg else figure.wide
    return Chart(name, figure.title, figure.note, svg)


def run_html(root: Path) -> str:
    """Return the verdict of a run, the table of its first screen and its two first figures as HTML of its own."""
    try:
        context = PageContext.of(root)
        page = context.page
        account, figures = page.text(context), list(islice(first_figures(context), 2))
        if page.notebook_block and (second := draw(page.notebook_block, context)):
            figures = [*figures[:1], second]
    except StoreError as error:
        return block(root.name, "No results yet.", [str(error)])
    drawings = [_chart(figure, figure.id).svg for figure in figures]
    verdict, lines = (
        account.verdict or "No answer is possible from these results.",
        account.opening.lines[:MAX_ON_FIRST_SCREEN],
    )
    facts = filter(None, (account.opening.next, f"Page: {root / 'report.html'}"))
    return block(root.name, verdict, facts, drawings, _result_rows(lines))


def _result_rows(lines: Sequence[ResultLine]) -> list[tuple[str, ...]]:
    """Return the rows of the table of the first screen as text; a column that no row fills is left out."""
    rows = [(line.decision.removesuffix(":"), line.numbers, line.harm, line.images) for line in lines]
    heads = ("result", "size", "predictions changed", "images")
    filled = [at for at in range(len(heads)) if any(row[at] for row in rows)]
    return [tuple(row[at] for at in filled) for row in (heads, *rows)] if rows else []


def run_text(root: Path) -> str:
    """Return the first lines of a run's answer, as the terminal has them, the table of its page, and its path."""
    lines: list[str] = []
    try:
        context = PageContext.of(root)
        lines += reading_lines(context.facts)
        lines += context.page.answer(context)
        opening = context.page.text(context).opening
        if rows := _result_rows(opening.lines[:MAX_ON_FIRST_SCREEN]):
            lines += (f"  {line}" for line in align(rows, [False] * len(rows[0])))
        lines += [opening.next] if opening.next else []
    except StoreError as error:
        lines.append(str(error))
    return "\n".join([*lines, f"report: {root / 'report.html'}"])


def block(
    head: str,
    verdict: str,
    facts: Iterable[str],
    drawings: Sequence[str] = (),
    rows: Sequence[Sequence[str]] = (),
) -> str:
    """Return a block for a notebook.

    Args:
        head: Small line on top.
        verdict: The sentence that matters most.
        facts: Lines beneath the drawings.
        drawings: SVG.
        rows: Lines of a table under the sentence, its headings first.
    """
    cells = [
        [f"<{tag} style='text-align:left;padding:.1em 1em .1em 0'>{escape(content)}</{tag}>" for content in row]
        for tag, row in zip(("th", *["td"] * len(rows)), rows, strict=False)
    ]
    table = f"<table>{''.join(map(_html_row, cells))}</table>" if rows else ""
    small = "margin:.2em 0;font-size:13px;color:#565b62"
    lines = "".join(f'<p style="{small}">{escape(content)}</p>' for content in facts)
    row = "".join(f'<div style="flex:1 1 24em;max-width:40em">{_fluid(content)}</div>' for content in drawings)
    pair = f'<div style="display:flex;flex-wrap:wrap;gap:1em">{row}</div>' if row else ""
    return (
        '<div style="background:#fff;color:#1c1e21;font:15px system-ui,sans-serif;padding:.5em">'
        f'<p style="{small}">{escape(head)}</p>'
        f'<p style="margin:.2em 0 .6em;font-size:18px;font-weight:600">{escape(verdict)}</p>{table}{pair}{lines}</div>'
    )


def _html_row(cells: Sequence[str]) -> str:
    return f"<tr>{''.join(cells)}</tr>"


def _fluid(svg: str) -> str:
    return svg.replace("<svg ", '<svg style="max-width:100%;height:auto" ', 1)
