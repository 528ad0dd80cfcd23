"""The content of `verdicts.json`, and its JSON schema, from the tables of an audit."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from assay.audit.tables import AUDIT_TABLES
from assay.stats.harms import Rank
from assay.store.columns import Column, Table
from assay.store.files import Row
from assay.store.schema import SCHEMA_VERSION

VERDICTS_FILE = "verdicts.json"
SCHEMA_FILE = Path(__file__).with_name("verdicts.schema.json")
"""The JSON schema of `verdicts.json`, as `verdicts_schema` makes it."""
TABLES_IN_FILE = ("regions", "verdicts", "added", "gaps", "groups", "distorted", "checks")
"""Tables of an audit that are in `verdicts.json`."""
_VARYING_FACTS = ("probed", "made", "command")
"""Facts of the provenance that differ between equal audits."""
_TYPES: Mapping[str, Any] = {
    "VARCHAR": {"type": "string"},
    "BIGINT": {"type": ["integer", "null"]},
    "DOUBLE": {"type": ["number", "null"]},
    "BOOLEAN": {"type": ["boolean", "null"]},
}


def verdicts_document(
    tables: Mapping[str, Sequence[Row]], answer: Sequence[str], findings: Sequence[Row]
) -> dict[str, Any]:
    """Return the content of `verdicts.json`: facts of the audit, and rows with all columns of their tables.

    The answer is in the sentences of the page, the terminal and the model card. Findings are in order of harm.

    A number that is undefined is null, and a text that is absent is empty.
    """
    facts = {str(row["key"]): str(row["value"]) for row in tables["provenance"]}
    in_file = {name: [_complete_row(row, AUDIT_TABLES[name]) for row in tables[name]] for name in TABLES_IN_FILE}
    stable = {key: value for key, value in facts.items() if key not in _VARYING_FACTS}
    return {"schema": SCHEMA_VERSION, "audit": stable, "answer": list(answer), "findings": list(findings), **in_file}


def _complete_row(row: Row, table: Table) -> Row:
    return {column.name: _value(row.get(column.name), column) for column in table.columns}


def _value(value: Any, column: Column) -> Any:
    if column.type == "VARCHAR":
        return "" if value is None else str(value)
    return None if value in (None, "") or (isinstance(value, float) and math.isnan(value)) else value


def verdicts_schema() -> dict[str, Any]:
    """Return the JSON schema of `verdicts.json`."""
    facts = {"type": "object", "additionalProperties": {"type": "string"}, "required": ["model", "kind", "margin"]}
    sentences = {"description": "The answer in sentences", "type": "array", "items": {"type": "string"}}
    findings = {"description": "Findings in order of harm", "type": "array", "items": _finding_schema()}
    parts = {"schema": {"const": SCHEMA_VERSION}, "audit": facts, "answer": sentences, "findings": findings}
    parts |= {name: {"type": "array", "items": _row_schema(AUDIT_TABLES[name])} for name in TABLES_IN_FILE}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Verdicts of an audit by Assay",
        **_object_schema(parts),
    }


def _row_schema(table: Table) -> dict[str, Any]:
    return {
        "description": f"One {table.row}",
        **_object_schema({column.name: _column_schema(column) for column in table.columns}),
    }


def _column_schema(column: Column) -> dict[str, Any]:
    kind: dict[str, Any] = {"enum": list(column.values)} if column.values else dict(_TYPES[column.type])
    return {"description": column.meaning, **kind}


def _finding_schema() -> dict[str, Any]:
    texts = {"rank": "Class of harm", "kind": "What it is about", "code": "Verdict, decision or check",
             "table": "Table of its row", "name": "The finding in words", "numbers": "Its size in words"}  # fmt: skip
    numbers = {"row": "Position of the row in the table", "lost": "AUROC or Dice lost, or shifted by a mark",
               "low": "Lower end of its interval", "high": "Upper end", "calls": "Share of changed predictions",
               "images": "Images that are affected, or that it was measured on"}  # fmt: skip
    parts = {
        **{name: {"description": words, "type": "string"} for name, words in texts.items()},
        **{name: {"description": words, **_TYPES["DOUBLE"]} for name, words in numbers.items()},
    }
    return _object_schema({**parts, "rank": {"description": texts["rank"], "enum": list(Rank)}})


def _object_schema(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }
