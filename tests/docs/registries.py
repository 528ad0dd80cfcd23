# ruff: noqa: E501  (a paragraph of Markdown is one line)
"""The pages of docs/reference that list what a registry holds: tables and measures. Run it to write them again.

python -m tests.docs.registries
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from assay.store import schema
from assay.store.schema import Table

ROOT = Path(__file__).resolve().parents[2]

TABLES_HEAD = """\
# Tables of a run

`tables/<name>.parquet` in the [run folder](run-folder.md). `assay results RUN --table NAME` prints one for reading, `--csv` and `--json` give all columns, `assay.open_run(RUN).table(NAME)` is a data frame. This page is made from the registry of tables, `assay.store.schema.TABLES`.

Intervals are 95 % intervals over patients and seeds, over seeds alone where a value is one number per model, and over images where the data name no patients (`patients` is then 0). A value that is undefined is NaN and has a `reason`. A column in which no row has a value is text; a count that some row lacks is a DOUBLE.

| table | one row for every |
|---|---|
"""


def tables_page() -> str:
    """Return the page of tables as Markdown."""
    listed = "".join(f"| [`{name}`](#{name}) | {table.row} |\n" for name, table in schema.TABLES.items())
    return TABLES_HEAD + listed + "".join(_table(table) for table in schema.TABLES.values())


def _table(table: Table) -> str:
    head = f"\n## {table.name}\n\nOne row for every {table.row}.{f' {table.note}' if table.note else ''}\n\n"
    rows = "".join(f"| `{one.name}` | {one.type} | {_cell(one.meaning)} |\n" for one in table.columns)
    return f"{head}| column | type | |\n|---|---|---|\n{rows}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


MADE: Mapping[str, Callable[[], str]] = {"docs/reference/tables.md": tables_page}
"""File -> what makes it."""


if __name__ == "__main__":
    for name, page in MADE.items():
        (ROOT / name).write_text(page(), encoding="utf-8")
