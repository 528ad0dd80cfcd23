"""Write the index of Assay's own components from their declarations (`make index`).

`assay.core.registry` reads it in place of the code: names, summaries, versions, traits, and every argument with its
type, range and default. `assay.core.measures` reads the measures that are declared with their code.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import pkgutil
import sys
from collections.abc import Mapping
from typing import Any, cast

from pydantic.json_schema import GenerateJsonSchema

from assay.core.measures import INDEX, indexed_measures
from assay.core.registry import Entry, Params, declared_entries
from assay.core.traits import KINDS

ROOMS = ("data", "shifts", "models", "training", "stats", "probes")
"""The packages that hold components and measures."""


class _UntitledSchema(GenerateJsonSchema):
    """JSON schema without titles."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def _schema_of(model: type[Params]) -> dict[str, Any]:
    schema_of_model = model.model_json_schema(schema_generator=_UntitledSchema)
    parts = schema_of_model.get("$defs", {})
    return {name: _plain(schema, parts) for name, schema in schema_of_model.get("properties", {}).items()}


def _plain(schema: Any, parts: Mapping[str, Any]) -> Any:
    """Return a schema with its references resolved, and without parts that the reader does not need."""
    if isinstance(schema, list):
        return [_plain(item, parts) for item in cast("list[Any]", schema)]
    if not isinstance(schema, dict):
        return schema
    mapping = cast("dict[str, Any]", schema)
    if "$ref" in mapping:
        return _plain(parts[mapping["$ref"].rpartition("/")[2]], parts)
    if "const" in mapping:
        mapping = {**{key: value for key, value in mapping.items() if key != "const"}, "enum": [mapping["const"]]}
    plain = {
        key: _plain(value, parts)
        for key, value in mapping.items()
        if key not in ("title", "required", "additionalProperties", "properties")
    }
    if "properties" in mapping:
        inside = cast("dict[str, Any]", mapping["properties"])
        plain["properties"] = {name: _plain(field, parts) for name, field in inside.items()}
        plain.pop("description", None)
    return plain


def index_of(entries: Mapping[tuple[str, str], Entry]) -> dict[str, Any]:
    """Return the index of these components as plain values."""
    entries_by_kind: dict[str, Any] = {kind: {} for kind in KINDS}
    for (kind, name), entry in sorted(entries.items()):
        entries_by_kind[kind][name] = {
            key: value for key, value in _entry_body(entry).items() if value not in (None, {})
        }
    return entries_by_kind


def _entry_body(entry: Entry) -> dict[str, Any]:
    varies = {trait: [argument, list(by.items())] for trait, (argument, by) in entry.varies.items()}
    return {
        "summary": entry.summary,
        "target": entry.target,
        "version": None if entry.version == 1 else entry.version,
        "traits": _given(entry.traits),
        "varies": varies,
        "compares": True if entry.arguments().compares else None,
        "arguments": _schema_of(entry.params),
    }


def _given(value: Any) -> dict[str, Any]:
    """Return the fields of a dataclass that differ from their default."""
    return {
        field.name: _part(getattr(value, field.name))
        for field in dataclasses.fields(value)
        if getattr(value, field.name) != field.default
    }


def _part(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_part(item) for item in cast("tuple[Any, ...]", value)]
    return _given(value) if dataclasses.is_dataclass(value) else value


def index_text() -> str:
    """Return the index of all of Assay's own components, which are imported for it: one line per argument."""
    for room in ROOMS:
        package = importlib.import_module(f"assay.{room}")
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    builtin = {key: entry for key, entry in declared_entries().items() if entry.target.startswith("assay.")}
    measures = {
        measure.name: {key: value for key, value in _given(measure).items() if key != "name"}
        for measure in indexed_measures()
    }
    return _lines({**index_of(builtin), "measure": measures}, 4) + "\n"


def _lines(value: Any, depth: int, indent: str = "") -> str:
    if depth == 0 or not isinstance(value, dict) or not value:
        return json.dumps(value, ensure_ascii=False)
    deeper = indent + " "
    inside = (
        f"{deeper}{json.dumps(key)}: {_lines(item, depth - 1, deeper)}"
        for key, item in cast("dict[str, Any]", value).items()
    )
    return "{\n" + ",\n".join(inside) + f"\n{indent}}}"


if __name__ == "__main__":
    text = index_text()
    if "--check" not in sys.argv[1:]:
        INDEX.write_text(text, encoding="utf-8")
    elif text != INDEX.read_text(encoding="utf-8"):
        sys.exit(f"{INDEX.name} differs from the components: run `make index`")
