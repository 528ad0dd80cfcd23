"""Index of several runs as one page."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from assay.core.errors import StoreError
from assay.report.evidence import Evidence
from assay.report.page import render_html
from assay.report.sheets import Cell, SheetRow
from assay.store.files import write_text
from assay.store.folder import PAGE

HEADS = ("run", "verdict", "set", "model", "date")


@dataclass(frozen=True)
class Index:
    """Content of the index. links: pages, relative to the index, in the order of the lines; empty where none is.

    title: Headline; the number of lines where empty. meta: What was read.
    """

    heads: tuple[str, ...]
    lines: tuple[SheetRow, ...]
    links: tuple[str, ...]
    note: str = ""
    title: str = ""
    meta: str = ""


def write_index(folders: Sequence[Path], path: Path) -> Path:
    """Write a page with a row per run: verdict, set, model and date, to sort, with links to their pages.

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
    return Path(os.path.relpath(folder / PAGE, path.parent)).as_posix()


def _index(folders: Sequence[Path], links: Sequence[str]) -> str:
    lines = tuple(SheetRow(tuple(map(Cell, _run_cells(folder)))) for folder in folders)
    return render_html("index.html", Index(HEADS, lines, tuple(links)))


def _run_cells(folder: Path) -> tuple[str, ...]:
    """Return the cells of a run; where its tables cannot be read, why."""
    evidence = Evidence.of(folder)
    try:
        account, facts = evidence.page.account(evidence), evidence.facts
    except StoreError as error:
        return folder.name, str(error), "", "", ""
    model = "" if facts.get("study") else facts.get("model", "")
    return folder.name, account.verdict, facts.get("data") or facts.get("images", ""), model, evidence.date


def index_of_bundle(folders: Sequence[Path]) -> str:
    """Return the page of `write_index` for a bundle, in which the folders stand side by side."""
    return _index(folders, [f"{folder.resolve().name}/{PAGE}" for folder in folders])
