"""Write what a validation shows of the items of reporting checklists: `checklists.md`."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from assay.core.errors import visible
from assay.report.context import PageContext
from assay.report.page import write_page
from assay.report.sheets import escape_markdown, markdown_table
from assay.stats.format import count
from assay.stats.rows import Row
from assay.store.files import write_text
from assay.validate.words import (
    interval_words,
    measure_words,
    paired_words,
    plan_words,
    recalibration_words,
    rejected_words,
    smallest_cell,
)

CHECKLISTS = "checklists.md"
NOT_ASSESSED = "not assessed"
Tables = Mapping[str, Sequence[Row]]


@dataclass(frozen=True)
class ChecklistItem:
    """An item of a checklist in `checklists.toml`.

    Attributes:
        name: Its number.
        topic: Its content in a few words.
        facts: Facts of the provenance that belong to it.
        measures: Measures of the table `performance` that do.
        summaries: Names of `SUMMARIES` that do.
    """

    name: str
    topic: str
    facts: Sequence[str] = ()
    measures: Sequence[str] = ()
    summaries: Sequence[str] = ()

    def evidence(self, tables: Tables, facts: Mapping[str, str]) -> str:
        """Return the numbers of a validation; "not assessed" where it has none."""
        parts = [f"{key}: {facts[key]}" for key in self.facts if facts.get(key)]
        parts += [performance_words(row) for row in tables["performance"] if row["measure"] in self.measures]
        parts += [SUMMARIES[name](tables) for name in self.summaries]
        return "; ".join(filter(None, parts)) or NOT_ASSESSED


def reporting_checklists() -> dict[str, list[ChecklistItem]]:
    """Return the items of each checklist, by its name."""
    content = tomllib.loads(Path(__file__).with_name("checklists.toml").read_text(encoding="utf-8"))
    return {part["name"]: [ChecklistItem(**item) for item in part["items"]] for part in content["checklists"]}


def write_validation(root: Path) -> Path:
    """Write the page and `checklists.md` of a validation from its tables. Return the path of the page."""
    page = write_page(root)
    for name, text in checklist_texts(root).items():
        write_text(root / name, text)
    return page


def checklist_texts(root: Path) -> dict[str, str]:
    """Return `checklists.md` of a validation from its tables. Raises StoreError where a table is missing."""
    context = PageContext.of(root)
    return {CHECKLISTS: visible("\n".join(_checklist_lines(context.tables, context.facts)) + "\n")}


def _checklist_lines(tables: Tables, facts: Mapping[str, str]) -> Iterator[str]:
    yield f"# Reporting checklists: {escape_markdown(facts['data'])}"
    yield from (
        "",
        "Numbers of this validation for each item. A validation decides no item. Topics are "
        "paraphrased: check them against the publication.",
    )
    for name, items in reporting_checklists().items():
        rows = ((item.name, item.topic, item.evidence(tables, facts)) for item in items)
        yield from ("", f"## {name}", "", *markdown_table(("item", "topic", "numbers"), rows))


def performance_words(row: Row) -> str:
    """Return a measure of a model with its interval."""
    at = f" at prevalence {row['at']}" if row["at"] else ""
    return f"{row['model']} {measure_words(row['measure'])}{at} {interval_words(row)}"


def _group_words(tables: Tables) -> str:
    rows = tables["subgroups"]
    groups = {(row["column"], row["group"]) for row in rows}
    return f"{count(len(groups), 'group')} with intervals; {smallest_cell(rows)}" if rows else ""


def _confusion_words(tables: Tables) -> str:
    return "; ".join(
        f"{row['model']}: {row['images']:,} {row['actual']}, called {row['called']}" for row in tables["confusion"]
    )


def _measures_words(tables: Tables) -> str:
    measures = dict.fromkeys(measure_words(row["measure"]) for row in tables["performance"])
    return f"{', '.join(measures)}, with 95% intervals over patients"


SUMMARIES: Mapping[str, Callable[[Tables], str]] = {
    "groups": _group_words,
    "confusion": _confusion_words,
    "measures": _measures_words,
    "rejected": lambda tables: "; ".join(rejected_words(tables).values()),
    "plan": lambda tables: "; ".join(map(plan_words, tables["plan"])),
    "recalibration": lambda tables: "; ".join(map(recalibration_words, tables["recalibration"])),
    "differences": lambda tables: "; ".join(map(paired_words, tables["differences"])),
}
