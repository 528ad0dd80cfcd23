"""The page of a preview: its pictures with the tables, one file that needs nothing but itself."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path

from assay.cli.preview import (
    POWER_HEAD,
    Found,
    about_data,
    association,
    core_line,
    cross_table,
    power_lines,
    rough,
    size,
    told_of,
)
from assay.cli.preview_confounders import visibility_table
from assay.report.confounders import MEANING
from assay.shifts.environment import Achieved
from assay.store.files import Row, write_text

STYLE = """
:root{color-scheme:light dark}
body{font:16px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}
img{max-width:100%;height:auto;image-rendering:pixelated}
figure{margin:1rem 0;overflow-x:auto}
figcaption{position:sticky;left:0}
@media(max-width:40rem){figure img{max-width:none;width:44rem}}
.tables{display:flex;flex-wrap:wrap;align-items:end;gap:0 2.5rem;overflow-x:auto;margin:.5rem 0 1.5rem}
figure,.tables{background:linear-gradient(to left,Canvas 60%,transparent) right/28px 100% no-repeat local,\
linear-gradient(to left,#8888,transparent) right/9px 100% no-repeat scroll}
table{border-collapse:collapse}
caption{text-align:left}
th,td{padding:.2rem .8rem;text-align:right;border-bottom:1px solid #8886}
th:first-child,td:first-child{text-align:left}
"""


def write_preview(found: Found) -> Path:
    """Write `index.html` beside the pictures and return its path. Every text from data is escaped."""
    spec = found.prepared.spec
    sheets = {str(row["environment"]): row for row in found.preview.pictures if row["kind"] == "sheet"}
    parts = [f"<h1>{escape(spec.name)}</h1>", _paragraph(spec.question), _paragraph(size(found))]
    parts += [_paragraph(f"{text[:1].upper()}{text[1:]}") for text in about_data(found)]
    parts += [_paragraph(core_line(found))]
    learned = [row for row in found.preview.pictures if row["kind"] == "source"]
    parts += ["<h2>What the sources are trained on</h2>"] if learned else []
    parts += [_picture(found.folder, row) for row in learned]
    changed = [row for row in found.preview.pictures if row["kind"] == "confounder"]
    parts += ["<h2>Each confounder, without and with it</h2>"] if changed else []
    parts += [_picture(found.folder, row) for row in changed]
    if found.preview.visibility:
        parts += [_side_by_side([visibility_table(found.preview.visibility)]), _paragraph(MEANING)]
    for shown in found.preview.environments:
        sheet = _picture(found.folder, sheets[shown.name]) if shown.name in sheets else ""
        counted = sheet and not shown.of  # its caption counts the images, of the first fold where there are folds
        parts += [f"<h2>{escape(shown.name)}</h2>", sheet, "" if counted else _paragraph(shown.size)]
        parts += [_side_by_side([_association(tie) for tie in told_of(found, shown)])]
    pairs = [row for row in found.preview.pictures if row["kind"] == "pair"]
    parts += ["<h2>One factor changed, all else the same</h2>"] if pairs else []
    parts += [_picture(found.folder, row) for row in pairs]
    parts += [_power(found)] if found.power else []
    page = found.folder / "index.html"
    write_text(page, _document(spec.name, "\n".join(parts)))
    return page


def _power(found: Found) -> str:
    items = "".join(f"<li>{escape(line)}</li>" for line in power_lines(found))
    return f"<h2>{escape(POWER_HEAD)}</h2><ul>{items}</ul>" + "".join(map(_paragraph, rough(found)))


def _document(title: str, body: str) -> str:
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
    return f'<!doctype html>\n<html lang="en"><head>{head}<style>{STYLE}</style></head><body>\n{body}\n</body></html>\n'


def _paragraph(text: str) -> str:
    return f"<p>{escape(text)}</p>" if text else ""


def _picture(folder: Path, row: Row) -> str:
    data = base64.b64encode((folder / str(row["file"])).read_bytes()).decode()
    alt, caption = escape(str(row["alt"])), escape(str(row["caption"]))
    return f'<figure><img src="data:image/png;base64,{data}" alt="{alt}"><figcaption>{caption}</figcaption></figure>'


def _side_by_side(tables: Sequence[str]) -> str:
    """Tables beside each other while there is room; one that is wider than the page scrolls by itself."""
    return f'<div class="tables">{"".join(tables)}</div>' if tables else ""


def _association(tie: Achieved) -> str:
    labels, rows = cross_table(tie)
    head = "".join(f'<th scope="col">{escape(label)}</th>' for label in labels)
    body = "".join(
        f'<tr><th scope="row">{escape(level)}</th>{"".join(f"<td>{n}</td>" for n in counts)}</tr>'
        for level, counts in rows
    )
    caption = f"<caption>{escape(association(tie))}</caption>"
    return f'<table>{caption}<tr><th scope="col">{escape(tie.factor)}</th>{head}</tr>{body}</table>'
