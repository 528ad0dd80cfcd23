"""Index of several runs or audited labels as one page, and a run or several packed to hand to a colleague."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from assay.audit.tables import NOT_TESTED
from assay.core.errors import StoreError
from assay.report.evidence import Evidence
from assay.report.page import rendered
from assay.report.sheets import Cell, Line, figure, probability, words
from assay.stats.format import count
from assay.stats.rows import FOUND, LeadVerdict
from assay.store.files import Row, write_text
from assay.store.folder import PAGE

HEADS = ("run", "verdict", "set", "model", "date")
OF_LABELS = ("label", "found", "AUROC", "effect (sd)", "95% lower bound", "limit", "p")
LABELS_NOTE = (
    "Nothing found does not clear the model. p: effect beyond its limit, without one beyond the least of a lead, "
    "corrected over searches and, by Holm, over labels."
)
MOST_NAMED = 3
"""Verdicts in the headline of all labels."""


@dataclass(frozen=True)
class Index:
    """Content of the index. links: pages, relative to the index, in the order of the lines; empty where none is.

    title: Headline; the number of lines where empty. meta: What was read.
    """

    heads: tuple[str, ...]
    lines: tuple[Line, ...]
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
    write_text(path, _index(folders, [_link(one, path) for one in folders]))
    return path


def write_labels(rows: Sequence[Row], path: Path) -> None:
    """Write a page with the rows of `labels.audit_labels`, linked to their pages."""
    links = tuple(_link(Path(row["folder"]), path) if row["folder"] else "" for row in rows)
    lines = tuple(Line((words(row["label"]), words(row["found"] or row["reason"]), figure(row["auroc"]),
                        *(figure(row[name]) for name in ("value", "value_low", "limit")), probability(row["p"])))
                  for row in rows)  # fmt: skip
    facts = [Evidence.of(one).facts for one in (Path(row["folder"]) for row in rows if row["folder"])]
    read = max(int(one["images"].partition(" of ")[0].replace(",", "")) for one in facts)
    meta = f"{facts[0]['model']} · {count(len(rows), 'label')} · {count(read, 'image')}"
    write_text(path, rendered("index.html", Index(OF_LABELS, lines, links, LABELS_NOTE, _answer(rows), meta)))


def _answer(rows: Sequence[Row]) -> str:
    """Return how many labels have a verdict, the gravest first: `2 of 3 labels: lives by a border; 1: not tested.`"""
    texts = Counter[tuple[int, str]]()
    for row in rows:
        found = f"{row['found'][:1].lower()}{row['found'][1:]}".replace(": ", ", ")
        code, known = row["verdict"], [*LeadVerdict, NOT_TESTED]
        texts[known.index(code), found if code in FOUND else code.replace("-", " ")] += 1
    said = [f"{n}: {text}" for (_, text), n in sorted(texts.items(), key=lambda one: (one[0][0], -one[1]))]
    more = [f"{len(said) - MOST_NAMED} more below"] if len(said) > MOST_NAMED else []
    return f"{'; '.join([*said[:MOST_NAMED], *more])}.".replace(":", f" of {count(len(rows), 'label')}:", 1)


def _link(folder: Path, path: Path) -> str:
    return Path(os.path.relpath(folder / PAGE, path.parent)).as_posix()


def _index(folders: Sequence[Path], links: Sequence[str]) -> str:
    lines = tuple(Line(tuple(map(Cell, _described(folder)))) for folder in folders)
    return rendered("index.html", Index(HEADS, lines, tuple(links)))


def _described(folder: Path) -> tuple[str, ...]:
    """Return the cells of a run; where its tables cannot be read, why."""
    evidence = Evidence.of(folder)
    try:
        account, facts = evidence.page.account(evidence), evidence.facts
    except StoreError as error:
        return folder.name, str(error), "", "", ""
    model = "" if facts.get("study") else facts.get("model", "")
    date = facts.get("trained to") or facts.get("probed") or facts.get("looked at", "")
    return folder.name, account.verdict, facts.get("data") or facts.get("images", ""), model, date[:10]


def index_of_bundle(folders: Sequence[Path]) -> str:
    """Return the page of `write_index` for a bundle, in which the folders stand side by side."""
    return _index(folders, [f"{folder.resolve().name}/{PAGE}" for folder in folders])
