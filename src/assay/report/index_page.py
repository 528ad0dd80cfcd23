"""Index of several runs or audited labels as one page, and a run or several packed to hand to a colleague."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from assay.core.errors import StoreError
from assay.report.evidence import Evidence
from assay.report.page import rendered
from assay.report.sheets import Cell, Line, figure, probability, words
from assay.stats.format import count
from assay.stats.rows import FOUND, LeadVerdict
from assay.store.audit_tables import NOT_TESTED
from assay.store.files import Row, write_text
from assay.store.manifest import SIGNATURE, SIGNED, read_manifest

HEADS = ("run", "verdict", "set", "model", "date")
OF_LABELS = ("label", "found", "AUROC", "effect (sd)", "95% lower bound", "limit", "p")
LABELS_NOTE = (
    "Nothing found does not clear the model. p: effect beyond its limit, without one beyond the least of a lead, "
    "corrected over searches and, by Holm, over labels."
)
MOST_NAMED = 3
"""Verdicts in the headline of all labels."""
PACKED = ("tables", "pictures")
"""Folders of a run that a bundle holds, besides its page."""


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
    return Path(os.path.relpath(folder / "report.html", path.parent)).as_posix()


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


def write_bundle(folders: Sequence[Path], path: Path) -> Path:
    """Pack pages, tables, pictures and signatures of runs into a ZIP file, with checksums and an index of several.

    Args:
        folders: Run folders with pages.
        path: The file; one that is there is replaced.

    Returns:
        The file.

    Raises:
        StoreError: Two runs have one name, or the file's name does not end in .zip.
    """
    if path.suffix.lower() != ".zip":
        raise StoreError(f"{path}: a bundle is a ZIP file; give a name that ends in .zip")
    names = [one.resolve().name for one in folders]
    if len(set(names)) < len(names):
        raise StoreError(f"two of the runs are called {max(names, key=names.count)}: pack them one at a time")
    files: dict[str, Path] = {}
    for name, folder in zip(names, folders, strict=True):
        inside = (file for part in PACKED for file in sorted((folder / part).rglob("*")) if file.is_file())
        seal = (file for file in (folder / SIGNED, folder / SIGNATURE) if file.is_file())
        within = {file.relative_to(folder).as_posix(): file for file in (folder / "report.html", *inside, *seal)}
        listed = read_manifest(folder) or within
        own = folder.resolve()  # a link out of the folder may lead to what is not to be handed over
        files |= {f"{name}/{place}": file for place, file in within.items()
                  if place in listed and file.resolve().is_relative_to(own)}  # fmt: skip
    sums = "".join(f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {name}\n" for name, file in files.items())
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, file in files.items():
            packed.write(file, name)
        packed.writestr("SHA256SUMS", sums)
        if len(folders) > 1:
            packed.writestr("index.html", _index(folders, [f"{name}/report.html" for name in names]))
    return path
