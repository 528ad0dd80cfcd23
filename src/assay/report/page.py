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
from assay.report.collect import Content, collect
from assay.report.downloads import as_markdown
from assay.report.markdown import as_text
from assay.report.palette import DARK, LIGHT, declarations
from assay.report.wording import plural
from assay.store.files import write_text

SIZE_LIMIT = 5_000_000
"""Bytes that a page may have."""


def write_page(root: Path) -> Path:
    """Write `report.html` of an analysed run folder and return its path. Computes no statistic.

    Raises StoreError when a table or picture is missing, or when the page would exceed 5 MB even without the whole
    tables, which are then left to the run folder.
    """
    content = collect(root)
    page = render(content)
    if len(page.encode()) > SIZE_LIMIT:
        page = render(replace(content, files=()))
    size = len(page.encode())
    if size > SIZE_LIMIT:
        raise StoreError(
            f"the page of {root} would have {size / 1e6:.1f} MB, more than 5: compare fewer recipes at once"
        )
    path = root / "report.html"
    write_text(path, page)
    return path


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
