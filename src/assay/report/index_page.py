"""Index of several runs as one page."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from assay.core.errors import StoreError
from assay.report.account import Small
from assay.report.evidence import Evidence
from assay.report.page import render_html
from assay.report.sheets import Cell, SheetRow
from assay.report.words import sentence_case
from assay.store.files import write_text
from assay.store.folder import PAGE

HEADS = ("run", "kind", "finding", "key figures", "next step", "set", "date")
MOST_TILES = 3


@dataclass(frozen=True)
class Index:
    """Content of the index. links: pages, relative to the index, in the order of the lines; empty where none is.

    title: Headline; the number of lines where empty. meta: What was read. pictures: By line, an image of the run.
    """

    heads: tuple[str, ...]
    lines: tuple[SheetRow, ...]
    links: tuple[str, ...]
    note: str = ""
    title: str = ""
    meta: str = ""
    pictures: tuple[Small | None, ...] = ()


def write_index(folders: Sequence[Path], path: Path) -> Path:
    """Write a page with a row per run, to sort, with its finding, key figures, next step and a link to its page.

    Args:
        folders: Run folders with pages.
        path: The file.

    Returns:
        The file.
    """
    write_text(path, _index(folders, [link(folder, path) for folder in folders]))
    return path


def link(folder: Path, path: Path) -> str:
    """Return the address of the page of a run folder, relative to the page at `path`."""
    return _address(Path(os.path.relpath(folder / PAGE, path.parent)).as_posix())


def _address(relative: str) -> str:
    """Return a path as a link that is no scheme and no host, whatever a folder is called."""
    return f"./{quote(relative)}"


def _index(folders: Sequence[Path], links: Sequence[str]) -> str:
    lines, pictures = zip(*map(_line_of_run, folders), strict=True)
    return render_html("index.html", Index(HEADS, lines, tuple(links), pictures=pictures))


def _line_of_run(folder: Path) -> tuple[SheetRow, Small | None]:
    """Return the cells of a run and a picture that shows what changed; where its tables cannot be read, why."""
    evidence = Evidence.of(folder)
    try:
        account, facts = evidence.page.account(evidence), evidence.facts
    except StoreError as error:
        return SheetRow(tuple(map(Cell, (folder.name, evidence.kind.name, str(error), "", "", "", "")))), None
    first = account.opening
    figures = [
        " ".join(filter(None, (tile.name + ":", tile.value, tile.interval))) for tile in first.tiles[:MOST_TILES]
    ]
    step = sentence_case(first.next.removeprefix("Next: "))
    cells = (folder.name, evidence.kind.name, account.verdict, "; ".join(figures), step,
             facts.get("data") or facts.get("model", ""), evidence.date)  # fmt: skip
    return SheetRow(tuple(map(Cell, cells))), first.places[:2][-1].pictures[-1] if first.places else None


def index_of_bundle(folders: Sequence[Path]) -> str:
    """Return the page of `write_index` for a bundle, in which the folders stand side by side."""
    return _index(folders, [_address(f"{folder.resolve().name}/{PAGE}") for folder in folders])
