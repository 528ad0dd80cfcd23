# ruff: noqa: E501  (a paragraph of Markdown is one line)
"""The pages of docs/reference that list what a registry holds: tables and measures. Run it to write them again.

python -m tests.docs.registries
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path

from assay.core.measures import COMPARED, MEASURES, Measure
from assay.core.registry import entries
from assay.store import schema
from assay.store.schema import Table

ROOT = Path(__file__).resolve().parents[2]

MEASURES_HEAD = """\
# Measures

Every measure that a probe yields, by probe. `assay list measure` prints those that a contrast can name. This page is made from the registry of measures, `assay.core.measures`; [probes](probes.md) says how each is computed, and [add a measure](../how-to/add-a-measure.md) how to register one of your own.

- **range**: what the true value cannot leave; an estimate may, by sampling. A share, a correlation or a ratio has no unit.
- **better**: the direction that is better; empty for a measure that describes and does not rank.
- **chance**: the value of a model that knows nothing.
- **contrast names**: the fields without which a contrast by the measure is ambiguous; a dash for a measure in the table of estimates that cannot be compared.
"""

TABLES_HEAD = """\
# Tables of a run

`tables/<name>.parquet` in the [run folder](run-folder.md). `assay results RUN --table NAME` prints one for reading, `--csv` and `--json` give all columns, `assay.open_run(RUN).table(NAME)` is a data frame. This page is made from the registry of tables, `assay.store.schema.TABLES`.

A column marked *keyed* holds a JSON object in the file, since its keys (the axes of the study, or the seeds) differ between studies. Data frames, CSV and JSON have a plain column per key instead, such as `coordinates.loss` and `where.epochs`: `run.table("estimates")["coordinates.loss"]`, or `assay results RUN --table estimates --rows coordinates.loss=supcon`. A key that a row lacks is empty.

Intervals are 95% intervals over patients and seeds, over seeds alone where a value is one number per model, and over images where the data name no patients (`patients` is then 0). A value that is undefined is NaN and has a `reason`. A column in which no row has a value is text; a count that some row lacks is a DOUBLE.

| table | one row for every |
|---|---|
"""


def measures_page() -> str:
    """Return the page of measures as Markdown. Measures of own code, which a run in this process may add, are left out."""
    probes = [entry.name for entry in entries("probe")]
    measured = {one.probe for one in MEASURES.values()}
    return MEASURES_HEAD + "".join(_of_probe(probe) for probe in probes if probe in measured)


def _of_probe(probe: str) -> str:
    heads = ("measure", "display name", "meaning", "range", "unit", "better", "chance", "contrast names", "reference")
    own = [one for one in MEASURES.values() if one.probe == probe]
    lines = [heads, ("---",) * len(heads), *(_described(one) for one in own)]
    return f"\n## {probe}\n\n" + "".join(f"| {' | '.join(map(_cell, line))} |\n" for line in lines)


def _described(one: Measure) -> tuple[str, ...]:
    low, high = ("" if math.isinf(end) else f"{end:g}" for end in (one.low, one.high))
    ends = f"{low or 'any'} to {high or 'any'}" if low or high else "any"
    better = "" if one.direction == "none" else one.direction
    chance = "" if one.chance is None else one.chance if isinstance(one.chance, str) else f"{one.chance:g}"
    needs = ", ".join(one.needs) if one.name in COMPARED else "–"
    return (f"`{one.name}`", one.label, one.meaning, ends, one.unit, better, chance, needs, one.reference)


MODEL_HEAD = """
## Tables of a model

The folder of a [model that you have](python.md#a-model-that-you-have) has these tables, and `findings`, `environments`, `pictures` and `provenance` with the columns above. `assay.open_run(FOLDER).table(NAME)` is a data frame. They are made from `assay.store.schema.MODEL_TABLES`.
"""


def tables_page() -> str:
    """Return the page of tables as Markdown."""
    listed = "".join(f"| [`{name}`](#{name}) | {table.row} |\n" for name, table in schema.TABLES.items())
    own = "".join(_table(table, "###") for name, table in schema.MODEL_TABLES.items() if name not in schema.TABLES)
    return TABLES_HEAD + listed + "".join(_table(table) for table in schema.TABLES.values()) + MODEL_HEAD + own


def _table(table: Table, sign: str = "##") -> str:
    head = f"\n{sign} {table.name}\n\nOne row for every {table.row}.{f' {table.note}' if table.note else ''}\n\n"
    rows = "".join(
        f"| `{one.name}` | {one.type}{', keyed' if one.keyed else ''} | {_cell(one.meaning)} |\n"
        for one in table.columns
    )
    return f"{head}| column | type | |\n|---|---|---|\n{rows}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


MADE: Mapping[str, Callable[[], str]] = {
    "docs/reference/measures.md": measures_page,
    "docs/reference/tables.md": tables_page,
}
"""File -> what makes it."""


if __name__ == "__main__":
    for name, page in MADE.items():
        (ROOT / name).write_text(page(), encoding="utf-8")
