"""The page of a study: one HTML file that needs nothing but itself, made from the tables of a run folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from importlib import resources
from pathlib import Path

import jinja2
from markupsafe import Markup

from assay.core.errors import StoreError
from assay.report.collect import Content, collect, without_files
from assay.report.downloads import as_markdown
from assay.report.markdown import as_text
from assay.report.palette import DARK, LIGHT, declarations
from assay.report.wording import plural
from assay.store.files import write_text

SIZE_LIMIT = 5_000_000
"""Bytes that a page may have."""
MOST_SHEETS = 6
"""Environments whose images are seen at once; those of further ones are folded away."""
MARGIN = 2_000
"""Bytes left for the links of files that are carried."""


def write_page(root: Path) -> Path:
    """Write `report.html` of an analysed run folder and return its path. Computes no statistic.

    Whole tables are carried as far as there is room, the small ones first; then, if need be, no table and no drawing
    is, and the page says where they lie. Raises StoreError when a table or picture is missing, or when the page would
    exceed 5 MB even so.
    """
    content = collect(root)
    page = _fitting(content)
    if page is None:
        raise StoreError(f"the page of {root} would exceed 5 MB: leave probes or environments out of the comparison")
    path = root / "report.html"
    write_text(path, page)
    return path


def _fitting(content: Content) -> str | None:
    """The page with as much in it as there is room for; None where there is not even room for the bare page."""
    bare = replace(content, files=tuple((name, None) for name, _ in content.files))
    page = render(bare)
    room = SIZE_LIMIT - len(page.encode()) - MARGIN
    if room < 0:
        page = render(without_files(bare))
        return page if len(page.encode()) <= SIZE_LIMIT else None
    carried: set[str] = set()
    for size, name in sorted((len(file.uri), name) for name, file in content.files if file):
        if size <= room:
            carried.add(name)
            room -= size
    return render(
        replace(content, files=tuple((name, file if name in carried else None) for name, file in content.files))
    )


def render(content: Content) -> str:
    """The page as HTML."""
    words = as_text(content)
    return (
        _templates()
        .get_template("page.html")
        .render(
            page=content,
            markdown=as_markdown(content.name, words),
            plural=plural,
            most_sheets=MOST_SHEETS,
            light=Markup(_variables(LIGHT)),
            dark=Markup(_variables(DARK)),
            style=Markup(_text("style.css")),
            script=Markup(_text("script.js")),
            svg=Markup,
        )
    )


def _variables(colours: Mapping[str, str]) -> str:
    return "{" + declarations(colours) + "}"


def _text(name: str) -> str:
    return resources.files("assay.report").joinpath("templates", name).read_text(encoding="utf-8")


@cache
def _templates() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("assay.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
