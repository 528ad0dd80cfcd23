"""Write what programs and reviewers read of an audit: `verdicts.json`, model card, data card and crosswalk."""

from __future__ import annotations

import json
import math
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from assay.audit.harm_words import ANSWER_TABLES, answer_words, finding_rows
from assay.audit.search.words import region_evidence, region_title
from assay.audit.tables import AUDIT_TABLES
from assay.audit.verdicts_file import VERDICTS_FILE, verdicts_document
from assay.audit.words import (
    HARMFUL,
    METHODS,
    check_words,
    evidence_words,
    not_established,
    reported_verdicts,
    verdict_title,
)
from assay.core.errors import visible
from assay.core.measures import label_of
from assay.report.page import write_page
from assay.report.sentences.reasons import reason_words
from assay.report.sheets import NONE, escape_markdown, markdown_table
from assay.report.words import sentence_case, value_text
from assay.stats.format import count, in_words, join_words
from assay.store.files import Row, json_text, write_text
from assay.store.folder import RunFolder

MODEL_CARD, DATA_CARD, CROSSWALK = "model-card.md", "data-card.md", "crosswalk.md"
_MODEL_CHECKS = ("repeatable", "reading", "scaling", "ranking", "expected", "pixels")
"""Checks of the model; the others are of the data."""


@dataclass(frozen=True)
class AuditEvidence:
    """The tables of an audit, as evidence.

    Attributes:
        tables: Name -> rows.
        facts: The provenance.
    """

    tables: Mapping[str, Sequence[Row]]
    facts: Mapping[str, str]

    def facts_of(self, *names: str) -> str:
        """Return facts that are known, as one sentence each."""
        return ". ".join(f"{sentence_case(name)}: {self.facts[name]}" for name in names if name in self.facts)

    def checks_of(self, *names: str) -> str:
        """Return outcomes of checks that were done."""
        done = [row for row in self.tables["checks"] if row["check"] in names and row["status"] != "not-done"]
        return ". ".join(check_words(row) for row in done)

    def overall(self, *measures: str) -> str:
        """Return measures over all images with their intervals."""
        rows = [row for row in self.tables["groups"] if not row["column"] and row["measure"] in measures]
        return "; ".join(f"{label_of(row['measure'])} {value_text(row, 3)}" for row in rows)

    @property
    def columns(self) -> str:
        """Columns that divide the images into groups."""
        columns_present = list(
            dict.fromkeys(row["column"] for row in self.tables["groups"] if row["column"] and row["measure"])
        )
        return f"Columns: {join_words([in_words(column) for column in columns_present])}" if columns_present else ""

    @property
    def gaps(self) -> str:
        """Number of gaps between groups, by decision."""
        return _count_values(self.tables["gaps"], "decision", "gap between groups", "gaps between groups")

    @property
    def marks(self) -> str:
        """Number of marks, by verdict."""
        rows = [row for row in self.tables["verdicts"] if row["kind"] == "mark"]
        return _count_values(rows, "verdict", "mark on images", "marks on images")

    @property
    def distortions(self) -> str:
        """Number of distortions, by decision."""
        return _count_values(
            self.tables["distorted"], "decision", "distortion and severity", "distortions and severities"
        )

    @property
    def missing(self) -> str:
        """Columns with missing values."""
        rows = [row for row in self.tables["columns"] if row["missing"]]
        return "; ".join(
            f"{in_words(row['column'])}: {count(int(row['missing']), 'image')} without a value" for row in rows
        )

    @property
    def harmful(self) -> str:
        """Factors that predictions change with, apart from the leading region."""
        names = [in_words(row["factor"]) for row in reported_verdicts(self.tables) if row["verdict"] in HARMFUL]
        return f"Predictions change with {join_words(names)}" if names else ""

    @property
    def measures(self) -> str:
        """Measures that were computed."""
        return join_words(
            list(dict.fromkeys(label_of(row["measure"]) for row in self.tables["groups"] if row["measure"]))
        )

    @property
    def limits(self) -> str:
        """What the audit does not establish."""
        return " ".join(not_established(self.tables))

    @property
    def libraries(self) -> str:
        """Versions of the libraries that the audit ran with."""
        versions = ("python", "torch", "torchvision", "timm", "onnxruntime", "numpy")
        return ", ".join(f"{name} {self.facts[name]}" for name in versions if name in self.facts)


def _count_values(rows: Sequence[Row], name: str, singular: str, several: str) -> str:
    counts = Counter(row[name] for row in rows)
    parts = ", ".join(f"{n} {in_words(key.replace('-', ' '))}" for key, n in counts.items())
    return f"{len(rows)} {singular if len(rows) == 1 else several}: {parts}" if rows else ""


@dataclass(frozen=True)
class Item:
    """An item of a checklist in `crosswalk.toml`.

    Attributes:
        name: Its number or topic.
        topic: Its content in a few words.
        gap: What an audit cannot show of it.
        facts: Facts of the provenance that are evidence for it.
        checks: Checks whose outcomes are.
        measures: Measures over all images that are.
        summaries: Properties of `AuditEvidence` that are.
        text: Evidence that every audit has.
    """

    name: str
    topic: str
    gap: str
    facts: Sequence[str] = ()
    checks: Sequence[str] = ()
    measures: Sequence[str] = ()
    summaries: Sequence[str] = ()
    text: str = ""

    def evidence(self, audit: AuditEvidence) -> str:
        """Return what an audit shows; empty where it has nothing."""
        parts = [audit.facts_of(*self.facts), audit.checks_of(*self.checks), audit.overall(*self.measures)]
        return ". ".join(filter(None, (*parts, *(getattr(audit, name) for name in self.summaries), self.text)))


def checklists() -> dict[str, list[Item]]:
    """Return the items of each checklist, by its name."""
    content = tomllib.loads(Path(__file__).with_name("crosswalk.toml").read_text(encoding="utf-8"))
    return {part["name"]: [Item(**item) for item in part["items"]] for part in content["checklists"]}


def write_outcome(root: Path) -> Path:
    """Write the page, `verdicts.json` and the cards of an audit from its tables. Return the path of the page."""
    page = write_page(root)
    for name, text in outcome_texts(root).items():
        write_text(root / name, text)
    return page


def outcome_texts(root: Path) -> dict[str, str]:
    """Return `verdicts.json`, `model-card.md`, `data-card.md` and `crosswalk.md` of an audit from its tables.

    Raises:
        StoreError: A table is missing.
    """
    folder = RunFolder(root)
    tables = {name: folder.table(name) for name in AUDIT_TABLES}
    answer_tables = {name: tables[name] for name in ANSWER_TABLES}
    verdicts = verdicts_document(tables, answer_words(answer_tables), finding_rows(answer_tables))
    audit = AuditEvidence(tables, {str(row["key"]): str(row["value"]) for row in tables["provenance"]})
    cards = {MODEL_CARD: _model_card(audit), DATA_CARD: _data_card(audit), CROSSWALK: _crosswalk(audit)}
    return {
        VERDICTS_FILE: json_text(verdicts),
        **{name: visible("\n".join(lines) + "\n") for name, lines in cards.items()},
    }


def _model_card(audit: AuditEvidence) -> Iterator[str]:
    facts = audit.facts
    yield from (f"# Model card: {escape_markdown(facts['model'])}", "", "Written by an audit. Page: report.html.")
    yield from _listed_facts(
        audit, "Model", ("kind", "hash of the model", "size", "scaling", "scores", "output", "threshold")
    )
    use = escape_markdown(
        facts.get("intended use", "Not stated to the audit: add the use, the users and the population.")
    )
    yield from ("", "## Intended use", "", use)
    yield from ("", "## Findings", "", escape_markdown(" ".join(answer_words(audit.tables))), "")
    yield from markdown_table(
        ("verdict", "evidence"),
        (
            *((region_title(row), sentence_case(region_evidence(row))) for row in audit.tables["regions"]),
            *(
                (verdict_title(row, facts["margin"]), sentence_case(evidence_words(row, facts)))
                for row in reported_verdicts(audit.tables)
            ),
        ),
    )
    yield from ("", "## Performance", "")
    yield from markdown_table(
        ("group", "measure", "value [95% CI]", "images"), map(_group_cells, audit.tables["groups"])
    )
    if audit.gaps:
        yield from ("", escape_markdown(f"{audit.gaps}, with the margin {facts['margin']}."))
    if audit.distortions:
        yield from ("", escape_markdown(f"{audit.distortions}, with the margin {facts['margin']}."))
    checks = [row for row in audit.tables["checks"] if row["check"] in _MODEL_CHECKS]
    yield from ("", "## Checks", "", *_check_lines(checks))
    yield from ("", "## Scope", "", "These verdicts hold for this model, these images and these marks as drawn.")
    yield from ("", *(f"- {text}" for text in METHODS))
    yield from ("", "## Not established", "", *(f"- {escape_markdown(text)}" for text in not_established(audit.tables)))


def _data_card(audit: AuditEvidence) -> Iterator[str]:
    facts = audit.facts
    yield f"# Data card: {escape_markdown(facts.get('data', facts['model']))}"
    yield from ("", "Written by an audit from the images and columns that it was given.")
    yield from _listed_facts(
        audit,
        "Images",
        ("source", "license", "images", "images under marks", "patients", "classes", "size", "rows left out"),
    )
    if facts.get("intervals over") != "patients":
        yield "- patients are not named: each image counts as one"
    yield from ("", "## Columns", "")
    yield from markdown_table(
        ("column", "role", "kind", "values", "missing"), map(_column_cells, audit.tables["columns"])
    )
    checks = [row for row in audit.tables["checks"] if row["check"] not in _MODEL_CHECKS]
    yield from ("", "## Copies, cues, odd images and patients", "", *_check_lines(checks))
    if "known faults" in facts:
        faults = facts["known faults"].split("; ")
        yield from ("", "## Known faults", "", *(f"- {escape_markdown(text)}" for text in faults))
    yield from ("", "## Not established", "")
    yield "- How the images were collected, and whether they represent the population of use."
    yield "- Readers and the reference standard of the labels."
    yield "- Whether images or columns identify patients."


def _crosswalk(audit: AuditEvidence) -> Iterator[str]:
    yield from (
        f"# Crosswalk: {escape_markdown(audit.facts['model'])}",
        "",
        "Evidence of this audit for each item of two checklists, and the gap that it leaves. An audit decides no item. "
        "Numbers are those of the sources; topics are shortened.",
    )
    for name, items in checklists().items():
        yield from ("", f"## {name}", "")
        yield from markdown_table(("item", "topic", "evidence", "gap"), (_item_cells(item, audit) for item in items))


def _item_cells(item: Item, audit: AuditEvidence) -> tuple[str, ...]:
    return item.name, item.topic, item.evidence(audit) or "none", item.gap


def _listed_facts(audit: AuditEvidence, heading: str, names: Sequence[str]) -> Iterator[str]:
    yield from ("", f"## {heading}", "")
    yield from (f"- {name}: {escape_markdown(audit.facts[name])}" for name in names if name in audit.facts)


def _check_lines(rows: Sequence[Row]) -> Iterator[str]:
    words = {"ok": "ok", "warn": "caution", "not-done": "not done"}
    yield from (f"- {words[row['status']]}: {escape_markdown(check_words(row))}" for row in rows)


def _group_cells(row: Row) -> tuple[str, ...]:
    name = f"{in_words(row['column'])}: {row['level']}" if row["column"] else "all"
    if row["reason"]:
        return name.removesuffix(": "), f"not tested: {reason_words(row['reason'])}", NONE, NONE
    return name, label_of(row["measure"]), value_text(row, 3), f"{int(row['images']):,}"


def _column_cells(row: Row) -> tuple[str, ...]:
    if row["values"]:
        values_text = ", ".join(f"{level} ({n:,})" for level, n in json.loads(row["values"]).items())
    elif isinstance(row["median"], float) and not math.isnan(row["median"]):  # empty where no column is of numbers
        values_text = f"{row['least']:.10g} to {row['greatest']:.10g}, median {row['median']:.10g}"
    else:
        values_text = count(int(row["levels"]), "different value")
    return in_words(row["column"]), row["role"], row["kind"], values_text, f"{int(row['missing']):,}"
