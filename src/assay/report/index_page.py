"""Index of several runs as one page."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from urllib.parse import quote

from assay.core.errors import StoreError
from assay.report.account import Opening
from assay.report.blocks import Figure
from assay.report.evidence import Evidence
from assay.report.page import first_figures, render_html
from assay.report.sheets import SheetRow
from assay.stats.harms import MOST
from assay.store.files import write_text
from assay.store.folder import PAGE

MOST_TILES, MOST_PICTURES = 4, 3
MOST_RESULTS = {1: MOST, 2: 5}
"""Results of each run, by the number of runs; of more runs `FEW_RESULTS`."""
FEW_RESULTS, FEW = 3, 3


@dataclass(frozen=True)
class Index:
    """Content of a page with a line per label. links: pages, relative to the index, in the order of the lines.

    title: Headline. meta: What was read.
    """

    heads: tuple[str, ...]
    lines: tuple[SheetRow, ...]
    links: tuple[str, ...]
    note: str
    title: str
    meta: str


@dataclass(frozen=True)
class RunCard:
    """What the index shows of a run, and its page, relative to the index.

    Attributes:
        name: The run folder.
        kind: The kind of run.
        data: The set or model.
        date: The day on which it was made.
        verdict: Its title; where its tables cannot be read, why.
        opening: Its first screen; None where its tables cannot be read.
        figure: Its first chart; None where pictures are shown in its place, or there is none.
        link: The address of its page.
    """

    name: str
    kind: str
    data: str
    date: str
    verdict: str
    opening: Opening | None
    figure: Figure | None
    link: str


def write_index(folders: Sequence[Path], path: Path) -> Path:
    """Write a page with a card per run, to sort: its finding, results, key figures, pictures and next step.

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
    cards = [_card(folder, link, few=len(folders) < FEW) for folder, link in zip(folders, links, strict=True)]
    return render_html("runs.html", cards, most_pictures=MOST_PICTURES, most_tiles=MOST_TILES,
                       most_results=MOST_RESULTS.get(len(cards), FEW_RESULTS))  # fmt: skip


def _card(folder: Path, link: str, *, few: bool) -> RunCard:
    """Return what is shown of a run; where its tables cannot be read, why.

    few: whether there are few runs, each of which has its chart.
    """
    evidence = Evidence.of(folder)
    try:
        account, facts = evidence.page.account(evidence), evidence.facts
        figures = () if account.opening.places and not few else islice(first_figures(evidence), 1)
        figure = next(iter(figures), None)
    except StoreError as error:
        return RunCard(folder.name, evidence.kind.name, "", "", str(error), None, None, link)
    data = facts.get("data") or facts.get("model", "")
    verdict, opening = account.verdict or "No answer is possible from these results.", account.opening
    return RunCard(folder.name, evidence.kind.name, data, evidence.date, verdict, opening, figure, link)


def index_of_bundle(folders: Sequence[Path]) -> str:
    """Return the page of `write_index` for a bundle, in which the folders stand side by side."""
    return _index(folders, [_address(f"{folder.resolve().name}/{PAGE}") for folder in folders])
