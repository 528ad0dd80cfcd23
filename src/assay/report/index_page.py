"""Index of several runs as one page: a card per run, built from the tables of its folder."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import NamedTuple
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
from assay.store.layout import PAGE

MAX_TILES, MAX_PICTURES = 4, 3
"""Key figures and pictures of a card."""
MAX_RESULTS = {1: MAX_ON_FIRST_SCREEN, 2: 5}
"""Results on each card, by the number of runs; with more runs, `MAX_RESULTS_OF_MANY`."""
MAX_RESULTS_OF_MANY, MIN_MANY_RUNS = 3, 3
"""Results on each card of many runs, and the number from which on runs are many: their cards have no chart."""


@dataclass(frozen=True)
class Index:
    """Content of the template `index.html`: a table with a line per audited label or per look.

    Attributes:
        heads: Headings of the columns.
        lines: Lines of the table.
        links: Address of the page of each line, relative to the index; empty for none.
        note: Sentences beneath the table.
        title: Headline.
        meta: What was read.
    """

    heads: tuple[str, ...]
    lines: tuple[SheetRow, ...]
    links: tuple[str, ...]
    note: str
    title: str
    meta: str


@dataclass(frozen=True)
class RunCard:
    """Content of the card of a run.

    Attributes:
        name: Name of the run folder.
        kind: Name of the kind of run.
        data: Name of the data or of the model.
        date: Day of the run.
        verdict: Title of the page; where its tables cannot be read, the reason.
        opening: First screen of the page; None where its tables cannot be read.
        figure: First chart of the page; None where there is none, or where there are many runs.
        link: Address of the page, relative to the index; empty where the page could not be checked.
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
    folders: Sequence[Path],
    path: Path,
    checked_states: Mapping[Path, str],
    unchecked_reasons: Mapping[Path, str] | None = None,
) -> Path:
    """Write a page with a card per run, which readers can sort: finding, results, key figures, pictures and next step.

    Args:
        folders: Run folders with pages.
        path: The file.
        checked_states: Folders whose pages were checked -> their `run_state` before that. Their cards are cached.
        unchecked_reasons: Folders whose pages could not be checked -> why. Their cards show that, and have no link.

    Returns:
        The file.
    """
    write_text(
        path,
        _index_html(folders, [page_link(folder, path) for folder in folders], checked_states, unchecked_reasons or {}),
    )
    return path


# The card of a run is cached for this user, since building it reads a dozen tables. A cached card is used only for a
# run in the state in which its page was checked.


class _CachedCard(NamedTuple):
    """A card as this user's cache holds it.

    Attributes:
        state: `run_state` of its run.
        link: Address of the page.
        layout: JSON of the layout of the index.
        html: The card.
    """

    state: str
    link: str
    layout: str
    html: str


def run_state(folder: Path) -> str:
    """Return a hash of what the card of a run and the check of its page depend on: states of files, and Assay itself.

    Raises:
        StoreError: The state of a file cannot be read.
    """
    try:
        states = [(name, *file_state(path)) for name, path in _page_files(folder)]
    except OSError as error:
        raise StoreError(f"cannot read {folder}: {error.strerror}") from error
    return content_hash(ascii((folder.name, typed_path(folder), _assay_state(), states)), 64)  # names may be no UTF-8


def _page_files(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield the files of a run that its page is made of, by their path in its folder."""
    for part in ("", "tables", "pictures"):
        with suppress(FileNotFoundError), os.scandir(folder / part) as entries:
            yield from ((f"{part}/{entry.name}", entry.path) for entry in sorted(entries, key=lambda entry: entry.name))


@cache
def _assay_state() -> str:
    """Return a hash of the states of the files of the package, on which every word of a page depends."""
    suffixes = (".py", ".json", ".html", ".css", ".js")
    paths = sorted(path for path in Path(__file__).parents[1].rglob("*") if path.suffix in suffixes)
    return content_hash([file_state(path) for path in paths], 64)


def has_card(folder: Path, state: str) -> bool:
    """Return whether a card of a run in this state is cached, whose page was checked."""
    card = _read_card(folder)
    return card is not None and card.state == state


def _read_card(folder: Path) -> _CachedCard | None:
    """Return the cached card of a run; None without one."""
    with suppress(ValueError, TypeError):  # a file that something else wrote
        return _CachedCard(*map(str, json.loads(read_user_state(_cache_name(folder)))))
    return None


def _cache_name(folder: Path) -> str:
    return f"card {folder.resolve()}"


def page_link(folder: Path, path: Path) -> str:
    """Return the address of the page of a run folder, relative to the page at `path`."""
    return _address(Path(os.path.relpath(folder / PAGE, path.parent)).as_posix())


def _address(relative: str) -> str:
    """Return a path as a link that is no scheme and no host, whatever a folder is called."""
    return f"./{quote(os.fsencode(relative))}"


def _index_html(
    folders: Sequence[Path],
    links: Sequence[str],
    checked_states: Mapping[Path, str],
    unchecked_reasons: Mapping[Path, str],
) -> str:
    layout = {"few": len(folders) < MIN_MANY_RUNS, "most_results": MAX_RESULTS.get(len(folders), MAX_RESULTS_OF_MANY)}
    cards = [
        (
            folder.name,
            _card_html(folder, link, checked_states.get(folder, ""), unchecked_reasons.get(folder, ""), layout),
        )
        for folder, link in zip(folders, links, strict=True)
    ]
    return render_html("runs.html", cards, few=layout["few"])


def _card_html(folder: Path, link: str, state: str, unchecked_reason: str, layout: Mapping[str, int]) -> Markup:
    """Return the card of a run as HTML, from the cache where it has the card of this state.

    Args:
        folder: The run folder.
        link: The address of its page.
        state: Its state where its page was checked; else empty, and nothing is cached.
        unchecked_reason: Why its page could not be checked; empty where it was.
        layout: `few`, whether there are few runs, whose cards have charts; `most_results`, the results of each card.
    """
    key = (state, link, json.dumps(layout))
    if state and (cached := _read_card(folder)) is not None and cached[:-1] == key:
        return Markup(cached.html)
    card = _card(folder, link, unchecked_reason, few=bool(layout["few"]))
    cells = render_html("run.html", card, most_pictures=MAX_PICTURES, most_tiles=MAX_TILES, **layout)
    if state and card.opening is not None:
        write_user_state(_cache_name(folder), json.dumps([*key, cells]))
    return Markup(cells)


def _card(folder: Path, link: str, unchecked_reason: str, *, few: bool) -> RunCard:
    """Return the content of the card of a run; where its page could not be checked, the reason in place of a link.

    Args:
        folder: The run folder.
        link: The address of its page.
        unchecked_reason: Why its page could not be checked; empty where it was.
        few: Whether there are few runs, whose cards have charts.
    """
    context = PageContext.of(folder)
    if unchecked_reason:
        return RunCard(folder.name, context.kind.name, "", "", unchecked_reason, None, None, "")
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
    return _index_html(folders, [_address(f"{folder.resolve().name}/{PAGE}") for folder in folders], {}, {})
