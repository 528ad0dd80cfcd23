"""Index of several runs as one page."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from urllib.parse import quote

from markupsafe import Markup

from assay.core.errors import StoreError
from assay.core.files import content_hash, file_state, read_user_state, typed_path, write_user_state
from assay.report.account import FirstScreen
from assay.report.blocks import Figure
from assay.report.context import PageContext
from assay.report.page import first_figures, render_html
from assay.report.sheets import SheetRow
from assay.stats.harms import MAX_ON_FIRST_SCREEN
from assay.store.files import write_text
from assay.store.place import PAGE

MOST_TILES, MOST_PICTURES = 4, 3
MOST_RESULTS = {1: MAX_ON_FIRST_SCREEN, 2: 5}
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
        link: The address of its page; empty where that could not be checked.
    """

    name: str
    kind: str
    data: str
    date: str
    verdict: str
    opening: FirstScreen | None
    figure: Figure | None
    link: str


def write_index(
    folders: Sequence[Path], path: Path, checked: Mapping[Path, str], unchecked: Mapping[Path, str] | None = None
) -> Path:
    """Write a page with a card per run, to sort: its finding, results, key figures, pictures and next step.

    Args:
        folders: Run folders with pages.
        path: The file.
        checked: Folders whose pages were checked -> their `run_state` before that. Their cards are kept.
        unchecked: Folders whose pages could not be checked -> why. Their cards show that, and lead to no page.

    Returns:
        The file.
    """
    write_text(path, _index(folders, [link(folder, path) for folder in folders], checked, unchecked or {}))
    return path


# The card of a run is kept for this user, since it takes a dozen tables. It is as good as the check of the page before.


def run_state(folder: Path) -> str:
    """Return a hash of what the card of a run and the check of its page depend on: states of files, and Assay itself.

    Raises:
        StoreError: A file cannot be looked at.
    """
    try:
        states = [(name, *file_state(path)) for name, path in _page_files(folder)]
    except OSError as error:
        raise StoreError(f"cannot read {folder}: {error.strerror}") from error
    return content_hash(ascii((folder.name, typed_path(folder), _own_state(), states)), 64)  # names may be no UTF-8


def _page_files(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield the files of a run that its page is made of, by their path in its folder."""
    for part in ("", "tables", "pictures"):
        with suppress(FileNotFoundError), os.scandir(folder / part) as entries:
            yield from ((f"{part}/{entry.name}", entry.path) for entry in sorted(entries, key=lambda entry: entry.name))


@cache
def _own_state() -> str:
    """Return a hash of the states of Assay's own files, which decide on every word of a page."""
    suffixes = (".py", ".json", ".html", ".css", ".js")
    every = sorted(path for path in Path(__file__).parents[1].rglob("*") if path.suffix in suffixes)
    return content_hash([file_state(path) for path in every], 64)


def has_card(folder: Path, state: str) -> bool:
    """Return whether a card of a run in this state is kept, whose page was checked."""
    return _read_card(folder)[:1] == [state]


def _read_card(folder: Path) -> list[str]:
    """Return the state in which the card of a run is kept, how it is shown, and its HTML; nothing where none is."""
    with suppress(ValueError, TypeError):  # a file that something else wrote
        return list(map(str, json.loads(read_user_state(_state_name(folder)))))
    return []


def _state_name(folder: Path) -> str:
    return f"card {folder.resolve()}"


def link(folder: Path, path: Path) -> str:
    """Return the address of the page of a run folder, relative to the page at `path`."""
    return _address(Path(os.path.relpath(folder / PAGE, path.parent)).as_posix())


def _address(relative: str) -> str:
    """Return a path as a link that is no scheme and no host, whatever a folder is called."""
    return f"./{quote(os.fsencode(relative))}"


def _index(
    folders: Sequence[Path], links: Sequence[str], checked: Mapping[Path, str], unchecked: Mapping[Path, str]
) -> str:
    shown = {"few": len(folders) < FEW, "most_results": MOST_RESULTS.get(len(folders), FEW_RESULTS)}
    cards = [
        (folder.name, _cells(folder, link, checked.get(folder, ""), unchecked.get(folder, ""), shown))
        for folder, link in zip(folders, links, strict=True)
    ]
    return render_html("runs.html", cards, few=shown["few"])


def _cells(folder: Path, link: str, state: str, unchecked: str, shown: Mapping[str, int]) -> Markup:
    """Return the cells of a run as HTML, as they are kept in this state.

    Args:
        folder: The run folder.
        link: The address of its page.
        state: Its state where its page was checked; else empty, and nothing is kept.
        unchecked: Why its page could not be checked; empty where it was.
        shown: Whether there are few runs, each of which has its chart, and how many results each has.
    """
    key = [state, link, json.dumps(shown)]
    if state and (stored := _read_card(folder))[:-1] == key:
        return Markup(stored[-1])
    card = _card(folder, link, unchecked, few=bool(shown["few"]))
    cells = render_html("run.html", card, most_pictures=MOST_PICTURES, most_tiles=MOST_TILES, **shown)
    if state and card.opening is not None:
        write_user_state(_state_name(folder), json.dumps([*key, cells]))
    return Markup(cells)


def _card(folder: Path, link: str, unchecked: str, *, few: bool) -> RunCard:
    """Return what is shown of a run; where its page could not be checked, why, and no link to it.

    few: whether there are few runs, each of which has its chart.
    """
    context = PageContext.of(folder)
    if unchecked:
        return RunCard(folder.name, context.kind.name, "", "", unchecked, None, None, "")
    try:
        account, facts = context.page.text(context), context.facts
        figures = islice(first_figures(context), 1) if few else ()
        figure = next(iter(figures), None)
    except StoreError as error:
        return RunCard(folder.name, context.kind.name, "", "", str(error), None, None, link)
    data = facts.get("data") or facts.get("model", "")
    verdict, opening = account.verdict or "No answer is possible from these results.", account.opening
    return RunCard(folder.name, context.kind.name, data, context.date, verdict, opening, figure, link)


def index_of_bundle(folders: Sequence[Path]) -> str:
    """Return the page of `write_index` for a bundle, in which the folders stand side by side."""
    return _index(folders, [_address(f"{folder.resolve().name}/{PAGE}") for folder in folders], {}, {})
