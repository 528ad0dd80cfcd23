"""Write what programs and reviewers read of an audit: `verdicts.json`, model card, data card and crosswalk."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from assay.audit.crosswalk import CLAIM, FDA, Audited, Item
from assay.audit.search.words import next_words, region_evidence, region_title
from assay.audit.tables import AUDIT_TABLES
from assay.audit.verdicts_file import write_verdicts
from assay.audit.words import (
    ANSWERED,
    METHODS,
    answer_words,
    check_words,
    evidence_words,
    not_established,
    stated,
    title,
)
from assay.core.measures import label_of
from assay.report.page import write_page
from assay.report.sentences.reasons import reason_words
from assay.report.sheets import NONE, inert
from assay.report.words import sentence_case, valued
from assay.stats.format import count, in_words
from assay.store.files import Row, write_text
from assay.store.folder import RunFolder

MODEL_CARD, DATA_CARD, CROSSWALK = "model-card.md", "data-card.md", "crosswalk.md"
_MODEL_CHECKS = ("repeatable", "reading", "scaling", "ranking", "expected", "pixels")
"""Checks of the model; the others are of the data."""


def write_outcome(root: Path) -> Path:
    """Write the page, `verdicts.json` and the cards of an audit from its tables. Return the path of the page."""
    page, folder = write_page(root), RunFolder(root)
    tables = {name: folder.table(name) for name in ANSWERED}
    write_verdicts(folder, [*answer_words(tables), *filter(None, (next_words(tables["regions"]),))])
    write_cards(root)
    return page


def write_cards(root: Path) -> None:
    """Write `model-card.md`, `data-card.md` and `crosswalk.md` of an audit from its tables.

    Raises:
        StoreError: A table is missing.
    """
    folder = RunFolder(root)
    tables = {name: folder.table(name) for name in AUDIT_TABLES}
    found = Audited(tables, {str(row["key"]): str(row["value"]) for row in tables["provenance"]})
    for name, lines in ((MODEL_CARD, _model(found)), (DATA_CARD, _data(found)), (CROSSWALK, _crosswalk(found))):
        write_text(root / name, "\n".join(lines) + "\n")


def _model(found: Audited) -> Iterator[str]:
    facts = found.facts
    yield from (f"# Model card: {inert(facts['model'])}", "", "Written by an audit. Page: report.html.")
    yield from _listed_facts(found, "Model", ("kind", "hash of the model", "size", "scaling", "scores", "output",
                                              "threshold"))  # fmt: skip
    use = inert(facts.get("intended use", "Not stated to the audit: add the use, the users and the population."))
    yield from ("", "## Intended use", "", use)
    yield from ("", "## Findings", "", inert(" ".join(answer_words(found.tables))), "")
    yield from _table(
        ("verdict", "evidence"),
        (
            *((region_title(row), sentence_case(region_evidence(row))) for row in found.tables["regions"]),
            *((title(row, facts["margin"]), sentence_case(evidence_words(row, facts))) for row in stated(found.tables)),
        ),
    )
    yield from ("", "## Performance", "")
    yield from _table(("group", "measure", "value [95% CI]", "images"), map(_group, found.tables["groups"]))
    if found.gaps:
        yield from ("", f"{found.gaps}, with the margin {facts['margin']}.")
    if found.distortions:
        yield from ("", f"{found.distortions}, with the margin {facts['margin']}.")
    checks = [row for row in found.tables["checks"] if row["check"] in _MODEL_CHECKS]
    yield from ("", "## Checks", "", *_checks(checks))
    yield from ("", "## Scope", "", "These verdicts hold for this model, these images and these marks as drawn.")
    yield from ("", *(f"- {text}" for text in METHODS))
    yield from ("", "## Not established", "", *(f"- {text}" for text in not_established(found.tables)))


def _data(found: Audited) -> Iterator[str]:
    facts = found.facts
    yield f"# Data card: {inert(facts.get('data', facts['model']))}"
    yield from ("", "Written by an audit from the images and columns that it was given.")
    yield from _listed_facts(found, "Images", ("source", "license", "images", "images under marks", "patients",
                                               "classes", "size", "rows left out"))  # fmt: skip
    if facts.get("intervals over") != "patients":
        yield "- patients are not named: each image counts as one"
    yield from ("", "## Columns", "")
    yield from _table(("column", "role", "kind", "values", "missing"), map(_column, found.tables["columns"]))
    checks = [row for row in found.tables["checks"] if row["check"] not in _MODEL_CHECKS]
    yield from ("", "## Copies, cues, odd images and patients", "", *_checks(checks))
    if "known faults" in facts:
        faults = facts["known faults"].split("; ")
        yield from ("", "## Known faults", "", *(f"- {inert(text)}" for text in faults))
    yield from ("", "## Not established", "")
    yield "- How the images were collected, and whether they represent the population of use."
    yield "- Readers and the reference standard of the labels."
    yield "- Whether images or columns identify patients."


def _crosswalk(found: Audited) -> Iterator[str]:
    yield from (
        f"# Crosswalk: {inert(found.facts['model'])}",
        "",
        "Evidence of this audit for each item of two checklists, and the gap that it leaves. An audit decides no item. "
        "Numbers are those of the sources; topics are shortened.",
    )
    for name, items in (("CLAIM 2024", CLAIM), ("FDA draft guidance on AI-enabled devices, January 2025", FDA)):
        yield from ("", f"## {name}", "")
        yield from _table(("item", "topic", "evidence", "gap"), (_item(one, found) for one in items))


def _item(item: Item, found: Audited) -> tuple[str, ...]:
    return item.name, item.topic, item.evidence(found) or "none", item.gap


def _listed_facts(found: Audited, heading: str, names: Sequence[str]) -> Iterator[str]:
    yield from ("", f"## {heading}", "")
    yield from (f"- {name}: {inert(found.facts[name])}" for name in names if name in found.facts)


def _checks(rows: Sequence[Row]) -> Iterator[str]:
    words = {"ok": "ok", "warn": "caution", "not-done": "not done"}
    yield from (f"- {words[row['status']]}: {inert(check_words(row))}" for row in rows)


def _group(row: Row) -> tuple[str, ...]:
    name = f"{in_words(row['column'])}: {row['level']}" if row["column"] else "all"
    if row["reason"]:
        return name.removesuffix(": "), f"not tested: {reason_words(row['reason'])}", NONE, NONE
    return name, label_of(row["measure"]), valued(row, 3), f"{int(row['images']):,}"


def _column(row: Row) -> tuple[str, ...]:
    if row["values"]:
        shown = ", ".join(f"{level} ({n:,})" for level, n in json.loads(row["values"]).items())
    elif isinstance(row["median"], float) and not math.isnan(row["median"]):  # empty where no column is of numbers
        shown = f"{row['least']:g} to {row['greatest']:g}, median {row['median']:g}"
    else:
        shown = count(int(row["levels"]), "different value")
    return in_words(row["column"]), row["role"], row["kind"], shown, f"{int(row['missing']):,}"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yield a table of Markdown."""
    yield f"| {' | '.join(heads)} |"
    yield f"|{'---|' * len(heads)}"
    yield from (f"| {' | '.join(map(inert, row))} |" for row in rows)
