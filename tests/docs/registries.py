# ruff: noqa: E501  (a paragraph of Markdown is one line)
"""Pages of the documents that list what the code holds: tables, measures, terms. Run it to write them again.

python -m tests.docs.registries
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from assay.core.measures import COMPARED, MEASURES, Measure
from assay.core.registry import entries
from assay.report.glossary import GLOSSARY
from assay.store import schema
from assay.store.audit_tables import AUDIT_TABLES
from assay.store.columns import Column, Table
from assay.store.files import json_text
from assay.store.verdicts_file import verdicts_schema

ROOT = Path(__file__).resolve().parents[2]
LEAST = 3
"""Tables from which on a column is described once for all of them."""

MEASURES_HEAD = """\
# Measures

Look up here what a measure means, between which values it is, and which of its values is better. `assay list measure` prints those that a contrast can name; [probes](probes.md) explains how each is computed. This page is made from the registry `assay.core.measures`.

- **measure**: its name in files, and its display name where that differs.
- **values**: limits of the true value (an estimate may leave them), the unit where it has one, which direction is better, and the value of a model that knows nothing (chance).
- **names**: fields without which a contrast by the measure is ambiguous; a dash for a measure that cannot be compared.
"""

TABLES_HEAD = """\
# Tables of a run

`tables/<name>.parquet` in the [run folder](run-folder.md). `assay results RUN --table NAME` prints one for reading, `--csv` and `--json` give all columns, `assay.open_run(RUN).table(NAME)` is a data frame. This page is made from the registry of tables, `assay.store.schema.TABLES`.

A column marked *keyed* holds a JSON object in the file, since its keys (the axes of the study, or the seeds) differ between studies. Data frames, CSV and JSON have a plain column per key instead, such as `coordinates.loss` and `where.epochs`: `run.table("estimates")["coordinates.loss"]`, or `assay results RUN --table estimates --rows coordinates.loss=supcon`. A key that a row lacks is empty.

Intervals are 95% intervals over patients and seeds, over seeds alone where a value is one number per model, and over images where the data name no patients (`patients` is then 0). A value that is undefined is NaN and has a `reason`. A column in which no row has a value is text; a count that some row lacks is a DOUBLE.

"""


def measures_page() -> str:
    """Return the page of measures as Markdown. Measures of own code, which a run in this process may add, are left out."""
    probes = [entry.name for entry in entries("probe")]
    measured = {one.probe for one in MEASURES.values()}
    return MEASURES_HEAD + "".join(_of_probe(probe) for probe in probes if probe in measured)


def _of_probe(probe: str) -> str:
    heads = ("measure", "meaning", "values", "names", "reference")
    own = [one for one in MEASURES.values() if one.probe == probe]
    lines = [heads, ("---",) * len(heads), *(_described(one) for one in own)]
    return f"\n## {probe}\n\n" + "".join(f"| {' | '.join(map(_cell, line))} |\n" for line in lines)


def _described(one: Measure) -> tuple[str, ...]:
    low, high = ("" if math.isinf(end) else f"{end:g}" for end in (one.low, one.high))
    ends = f"{low or 'any'} to {high or 'any'}" if low or high else ""
    better = "" if one.direction == "none" else f"{one.direction} is better"
    chance = (
        ""
        if one.chance is None
        else f"chance: {one.chance}"
        if isinstance(one.chance, str)
        else f"chance {one.chance:g}"
    )
    unit = "" if one.unit == "share" else one.unit
    values = "; ".join(part for part in (" ".join(part for part in (ends, unit) if part), better, chance) if part)
    name = f"`{one.name}`" if one.label == one.name.replace("-", " ") else f"`{one.name}`, {one.label}"
    needs = ", ".join(one.needs) if one.name in COMPARED else "–"
    return (name, one.meaning, values, needs, one.reference)


MODEL_HEAD = """
## Tables of a model

The folder of a [model that you have](python.md#a-model-that-you-have) has these tables, and `findings`, `environments`, `pictures` and `provenance` with the columns above. `assay.open_run(FOLDER).table(NAME)` is a data frame. They are made from `assay.store.schema.MODEL_TABLES`.
"""

AUDIT_HEAD = """
## Tables of an audit

The folder of an [audit](../how-to/audit-a-model.md) has these tables, and `shortcuts` and `provenance` with the columns above. They are made from `assay.store.audit_tables.AUDIT_TABLES`.
"""


PREVIEW_HEAD = """
## Tables of a preview

The folder `preview/` of a run folder has these tables, and `environments`, `visibility`, `shortcuts`, `findings`, `pictures` and `provenance` with the columns above.
"""


COMMON_HEAD = """
## Columns of many tables

Each table below names those that it has.

"""


def tables_page() -> str:
    """Return the page of tables as Markdown. Columns of three and more tables are described once."""
    listed = f"Tables: {', '.join(f'[`{name}`](#{name})' for name in schema.TABLES)}.\n"
    models = [table for name, table in schema.MODEL_TABLES.items() if name not in schema.TABLES]
    audits = [table for name, table in AUDIT_TABLES.items() if name not in schema.TABLES]
    common = _common([*schema.TABLES.values(), *models])
    once = COMMON_HEAD + _columns(sorted(common, key=lambda one: one.name))
    own = "".join(_table(table, common, "###") for table in models)
    audited = AUDIT_HEAD + "".join(_table(table, common, "###") for table in audits)
    studies = "".join(_table(one, common) for one in schema.TABLES.values())
    planned = PREVIEW_HEAD + "".join(_table(table, common, "###") for table in (schema.COUNTS, schema.POWER))
    return TABLES_HEAD + listed + once + studies + MODEL_HEAD + own + audited + planned


def _common(tables: Sequence[Table]) -> set[Column]:
    """Return the columns that three tables or more have with one meaning, the most frequent meaning of each name."""
    counts = Counter(replace(column, head="") for table in tables for column in table.columns)
    names = dict[str, Column]()
    for column, count in counts.most_common():
        if count >= LEAST:
            names.setdefault(column.name, column)
    return set(names.values())


def _table(table: Table, common: set[Column], sign: str = "##") -> str:
    head = f"\n{sign} {table.name}\n\nOne row for every {table.row}.{f' {table.note}' if table.note else ''}"
    own = [one for one in table.columns if replace(one, head="") not in common]
    shared = ", ".join(f"`{one.name}`" for one in table.columns if replace(one, head="") in common)
    also = f" Columns of many tables: {shared}." if shared else ""
    return f"{head}{also}\n\n{_columns(own)}" if own else f"{head}{also}\n"


def _columns(columns: Iterable[Column]) -> str:
    rows = (
        f"| `{one.name}` | {one.type}{', keyed' if one.keyed else ''} | {_cell(one.meaning)} |\n" for one in columns
    )
    return f"| column | type | |\n|---|---|---|\n{''.join(rows)}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def glossary_page() -> str:
    """The terms that the page of a study explains where it uses them first."""
    head = "# Glossary\n\nLook up here the words of the report page and of these documents.\n"
    return head + "".join(f"\n**{term}.** {meaning}\n" for term, meaning in GLOSSARY.items())


MADE: Mapping[str, Callable[[], str]] = {
    "docs/reference/measures.md": measures_page,
    "docs/reference/tables.md": tables_page,
    "docs/glossary.md": glossary_page,
    "src/assay/store/verdicts.schema.json": lambda: json_text(verdicts_schema(), sort_keys=False),
}
"""File -> what makes it."""


if __name__ == "__main__":
    for name, page in MADE.items():
        (ROOT / name).write_text(page(), encoding="utf-8")
