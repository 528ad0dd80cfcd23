"""Figures and summaries of a run outside its page: in notebooks, in the terminal and as image files.

They are drawn from the tables of the run folder.
"""

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

_PNG_SCALE = 2.0
"""Pixels of a PNG per CSS pixel of the drawing."""


@dataclass(frozen=True)
class Chart:
    """A figure on a white ground, which notebooks show and `save` writes to a file.

    Attributes:
        name: Name of the figure, fit for a file.
        title: Title, also part of the drawing.
        note: Sentences beneath the drawing.
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
        """Write the drawing as SVG, PNG or PDF, by the suffix of the path.

        Args:
            path: Path of the file. Its folder is made if needed.

        Returns:
            The path.

        Raises:
            StoreError: The path has another suffix.
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


def _convert(svg: str, format: Literal["png", "pdf"]) -> bytes:
    """Return a drawing as PNG or PDF, which typst sets as a page of the drawing's size."""
    with extra("figures"):
        import typst

    source = '#set page(width: auto, height: auto, margin: 0pt)\n#image(bytes(sys.inputs.svg), format: "svg")'
    svg_with_fonts = svg.replace("sans-serif", "Liberation Sans, DejaVu Sans, sans-serif", 1)
    return typst.compile(source.encode(), format=format, ppi=96 * _PNG_SCALE, sys_inputs={"svg": svg_with_fonts})


def chart(root: Path, measure: str) -> Chart:
    """Draw one measure of a run, of every recipe or of one model, by test condition, factor and layer.

    Args:
        root: The run folder.
        measure: Name of a measure in the table `estimates`; of an audit `g`, the AUROC shift.

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
    """Return the verdict of a run, the table of its first screen and its first two figures as self-contained HTML."""
    try:
        context = PageContext.of(root)
        page = context.page
        account, figures = page.text(context), list(islice(first_figures(context), 2))
        if page.notebook_block and (second := draw(page.notebook_block, context)):
            figures = [*figures[:1], second]
    except StoreError as error:
        return notebook_html(root.name, "No results yet.", [str(error)])
    drawings = [_chart(figure, figure.id).svg for figure in figures]
    verdict, lines = (
        account.verdict or "No answer is possible from these results.",
        account.opening.lines[:MAX_ON_FIRST_SCREEN],
    )
    facts = filter(None, (account.opening.next, f"Page: {root / 'report.html'}"))
    return notebook_html(root.name, verdict, facts, drawings, _result_rows(lines))


def _result_rows(lines: Sequence[ResultLine]) -> list[tuple[str, ...]]:
    """Return the table of the first screen as text, headings first; a column without any text is left out."""
    rows = [(line.decision.removesuffix(":"), line.numbers, line.harm, line.images) for line in lines]
    headings = ("result", "size", "predictions changed", "images")
    filled_columns = [column for column in range(len(headings)) if any(row[column] for row in rows)]
    return [tuple(row[column] for column in filled_columns) for row in (headings, *rows)] if rows else []


def run_text(root: Path) -> str:
    """Return the lines that the terminal prints of a run, the table of its first screen, and the path of its page."""
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


def notebook_html(
    heading: str, verdict: str, facts: Iterable[str], drawings: Sequence[str] = (), rows: Sequence[Sequence[str]] = ()
) -> str:
    """Return the summary of a run as HTML for a notebook.

    Args:
        heading: Small line on top.
        verdict: Main sentence.
        facts: Lines beneath the drawings.
        drawings: SVG texts, side by side.
        rows: Rows of a table under the verdict, its headings first.
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
        f'<p style="{small}">{escape(heading)}</p>'
        f'<p style="margin:.2em 0 .6em;font-size:18px;font-weight:600">{escape(verdict)}</p>{table}{pair}{lines}</div>'
    )


def _html_row(cells: Sequence[str]) -> str:
    return f"<tr>{''.join(cells)}</tr>"


def _fluid(svg: str) -> str:
    return svg.replace("<svg ", '<svg style="max-width:100%;height:auto" ', 1)
