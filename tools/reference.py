"""Write the lists of the pages from the code: `python -m tools.reference`.

A line `<!--made:NAME ARGUMENTS-->` of a page is followed by the list of that name, see `LISTS`, and a line
`<!--/made-->`. A test holds that the pages have what this would write.
"""

from __future__ import annotations

import ast
import inspect
import math
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import typer
from pydantic import BaseModel

import assay
from assay import plugin, stats
from assay.audit import tables as audit_tables
from assay.cli import app
from assay.core.measures import COMPARED, MEASURES, Measure
from assay.core.registry import Entry, entries, lookup
from assay.core.traits import ComponentKind, DataTraits
from assay.core.types import Factor
from assay.look.kind import DECODED
from assay.report.glossary import GLOSSARY
from assay.spec import schema as study
from assay.store import schema
from assay.store.columns import Column, Table
from assay.validate.kind import VALIDATION

SOURCE = Path(__file__).resolve().parents[1] / "src"
LEAST = 3
"""Tables from which on a column is described once for all of them."""
MADE = re.compile(r"^<!--made:(\w+) ?(.*)-->$(?:\n(?:(?!<!--made:)[\s\S])*?\n<!--/made-->$)?", flags=re.MULTILINE)
"""A list with its name, its arguments and, where the page has it, its text."""


def written(markdown: str) -> str:
    """Return a page with its lists made again, between their marks.

    Raises:
        KeyError: A list has an unknown name.
    """
    return MADE.sub(
        lambda found: (
            f"<!--made:{f'{found[1]} {found[2]}'.strip()}-->\n\n"
            f"{LISTS[found[1]](*found[2].split()).strip()}\n\n<!--/made-->"
        ),
        markdown,
    )


def _rows(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [tuple(head), ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(_cell(str(cell)) for cell in line)} |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def _sentence(text: str) -> str:
    return text if not text or text[0] == "`" else text[0].upper() + text[1:]


def component(kind: str, name: str) -> str:
    """Return what follows the heading of a component: its summary and its arguments."""
    return _described(next(entry for entry in entries(cast("ComponentKind", kind)) if entry.name == name))


def _described(entry: Entry) -> str:
    label = entry.traits.label if entry.traits else ""
    return f"\n\n{_sentence(entry.summary)}.{f' *{_sentence(label)}.*' if label else ''}{_arguments(entry)}"


def _arguments(entry: Entry) -> str:
    return f"\n\n{_fields(entry.params)}" if entry.params.model_fields else ""


def _fields(model: type[BaseModel]) -> str:
    """Return the fields of a model: defaults, values, and their descriptions or the documented attributes."""
    texts = _documented(inspect.getdoc(model) or "")
    schema = model.model_json_schema()
    allowed = schema.get("properties") or schema["$defs"][model.__name__]["properties"]  # of a model that holds itself
    every = model.model_fields.items()
    rows = (
        (f"`{key}`", _default(one), _allowed(allowed[key]), one.description or texts.get(key, "")) for key, one in every
    )
    return _rows(("name", "default", "values", ""), rows)


def _documented(text: str) -> dict[str, str]:
    """Return the attributes or arguments that a docstring describes."""
    found = re.findall(r"^ {4}(\w+): (.+(?:\n+ {8}.+)*)", text, flags=re.MULTILINE)
    return {name: re.sub(r"\n\s*- |\s+", " ", meaning) for name, meaning in found}


def attributes(name: str) -> str:
    """Return the documented attributes of a class of `assay.plugin`."""
    rows = ((f"`{key}`", meaning) for key, meaning in _documented(_docstring(plugin.MODULES[name], name)).items())
    return _rows(("field", ""), rows)


def layout() -> str:
    """Return the layout of a run folder."""
    return f"```text\n{inspect.cleandoc((schema.__doc__ or '').split('    runs/', 1)[1].split('Times,')[0])}\n```"


def keys(part: str) -> str:
    """Return the keys of a part of a study file, such as `DataSpec`."""
    return _fields(getattr(study, part))


def _default(field: Any) -> str:
    if field.is_required():
        return "needed"
    value = field.default if field.default_factory is None else None
    match value:
        case bool():
            return str(value).lower()
        case float():
            return f"{value:.6g}"
        case None | "" | () | Mapping() | BaseModel():
            return ""
        case tuple():
            return ", ".join(next(iter(one)) if isinstance(one, dict) else f"{one}" for one in cast("Any", value))
        case _:
            return str(value)


def _allowed(given: Mapping[str, Any]) -> str:
    if "enum" in given:
        return ", ".join(f"`{one}`" for one in given["enum"] if one != "")
    least, most = given.get("minimum"), given.get("maximum")
    ends = [("from", least), ("above", given.get("exclusiveMinimum"))]
    ends += [("to", most), ("below", given.get("exclusiveMaximum"))]
    limits = " ".join(f"{word} {end:g}" for word, end in ends if end is not None)
    return f"whole, {limits}".strip(", ") if given.get("type") == "integer" else limits


def components(kind: ComponentKind) -> str:
    """Return the table of all components of a kind."""
    listed = ((one, one.traits.label if one.traits else "") for one in entries(kind))
    rows = ((f"`{one.name}`", f"{one.summary} ({label})" if label else one.summary) for one, label in listed)
    return _rows(("name", ""), rows)


def arguments(kind: ComponentKind) -> str:
    """Return sections of all components of a kind."""
    return "\n\n".join(f"### `{entry.name}`{_described(entry)}" for entry in entries(kind))


def factors(phantom: str) -> str:
    """Return the factors of a phantom, and its arguments."""
    entry = lookup("phantom", phantom)
    listed = cast("DataTraits", entry.traits).factors or ()
    rows = ((f"`{one.name}`", _values(one), one.description) for one in listed)
    return f"{_rows(('factor', 'values', ''), rows)}{_arguments(entry)}"


def _values(factor: Factor) -> str:
    ends = f"{factor.range[0]:g} to {factor.range[1]:g} {factor.unit}" if factor.range else ""
    return ends.strip() or ", ".join(factor.levels)


def measures() -> str:
    """Return a section of measures for each probe. Measures of own code, which a process may add, are left out."""
    heads = ("measure", "meaning", "values", "names", "reference")
    parts: list[str] = []
    for probe in (entry.name for entry in entries("probe")):
        if own := [_measure(one) for one in MEASURES.values() if one.probe == probe]:
            parts.append(f"## {probe}\n\n{_rows(heads, own)}")
    return "\n\n".join(parts)


def _measure(one: Measure) -> tuple[str, ...]:
    low, high = ("" if math.isinf(end) else f"{end:g}" for end in (one.low, one.high))
    known = one.chance if one.chance is None or isinstance(one.chance, str) else f"{one.chance:g}"
    chance = "" if known is None else f"chance: {known}"
    ends = f"{low or 'any'} to {high or 'any'}" if low or high else ""
    unit = "" if one.unit == "share" else one.unit
    better = "" if one.direction == "none" else f"{one.direction} is better"
    values = "; ".join(filter(None, (" ".join(filter(None, (ends, unit))), better, chance)))
    name = f"`{one.name}`" if one.label == one.name.replace("-", " ") else f"`{one.name}`, {one.label}"
    return (name, one.meaning, values, ", ".join(one.needs) if one.name in COMPARED else "–", one.reference)


def tables(which: str) -> str:
    """Return tables and their columns: `common`, or those of a kind, such as `study`, that no kind before has."""
    studies = schema.TABLES
    models = {name: one for name, one in schema.MODEL_TABLES.items() if name not in studies}
    audits = {name: one for name, one in audit_tables.AUDIT_TABLES.items() if name not in studies}
    common = _common([*studies.values(), *models.values()])
    if which == "common":
        return _columns(sorted(common, key=lambda one: one.name))
    planned = {one.name: one for one in (schema.COUNTS, schema.POWER)}
    chosen = {
        "study": studies,
        "model": models,
        "audit": audits,
        "comparison": {"compared": audit_tables.COMPARED, DECODED.name: DECODED},
        "validation": {name: one for name, one in VALIDATION.tables.items() if name not in studies},
        "preview": planned,
    }[which]
    return "\n\n".join(_table(one, common) for one in chosen.values())


def _common(every: Sequence[Table]) -> set[Column]:
    """Return the columns that three tables or more have with one meaning, the most frequent meaning of each name."""
    counts = Counter(replace(column, head="") for table in every for column in table.columns)
    names = dict[str, Column]()
    for column, count in counts.most_common():
        if count >= LEAST:
            names.setdefault(column.name, column)
    return set(names.values())


def _table(table: Table, common: set[Column]) -> str:
    own = [one for one in table.columns if replace(one, head="") not in common]
    shared = ", ".join(f"`{one.name}`" for one in table.columns if replace(one, head="") in common)
    also = f" Columns of many tables: {shared}." if shared else ""
    head = f"### {table.name}\n\nOne row for every {table.row}.{f' {table.note}' if table.note else ''}{also}"
    return f"{head}\n\n{_columns(own)}" if own else head


def _columns(columns: Iterable[Column]) -> str:
    rows = ((f"`{one.name}`", f"{one.type}{', keyed' if one.keyed else ''}", one.meaning) for one in columns)
    return _rows(("column", "type", ""), rows)


def glossary() -> str:
    """Return the terms that the page of a study explains."""
    return "\n\n".join(f"**{term}.** {meaning}" for term, meaning in GLOSSARY.items())


def commands() -> str:
    """Return the help of every command, 80 columns wide."""
    group, parts = typer.main.get_command(app), list[str]()
    os.environ["COLUMNS"] = "80"
    with group.make_context("assay", ["list"]) as context:
        for name, command in cast("Any", group).commands.items():
            text = command.get_help(typer.Context(command, info_name=name, parent=context))
            parts.append(f"## `assay {name}`\n\n```text\n{text}\n```")
    return "\n\n".join(parts)


def names(door: str) -> str:
    """Return the names of a public module with the first line of their documentation.

    Args:
        door: `plugin`, by room; or `stats`, by module.
    """
    modules, part = (plugin.MODULES, 1) if door == "plugin" else (stats.MODULES, 2)
    rooms: dict[str, list[tuple[str, str]]] = {}
    for name, module in sorted(modules.items()):
        rooms.setdefault(module.split(".")[part], []).append((f"`{name}`", _docstring(module, name).split("\n\n")[0]))
    return "\n\n".join(f"### {room}\n\n{_rows(('name', ''), rows)}" for room, rows in rooms.items())


def api(*names: str) -> str:
    """Return sections of names of `assay`: meaning, signature, arguments and errors, of classes also of methods."""
    parts: list[str] = []
    for name in names:
        module = getattr(assay, name).__module__
        node = [one for one in _body(module) if getattr(one, "name", "") == name][-1]  # earlier ones are overloads
        parts += [f"### `assay.{name}`", *_explained(node), f"Source: `src/{module.replace('.', '/')}.py`"]
        methods = [one for one in getattr(node, "body", ()) if isinstance(one, ast.FunctionDef) and one.name[0] != "_"]
        for method in methods if isinstance(node, ast.ClassDef) else ():
            parts += [f"#### `{name}.{method.name}`", *_explained(method)]
    return "\n\n".join(parts)


def _explained(node: ast.AST) -> Iterator[str]:
    """Yield what a class or function is, and its parts that its docstring describes; examples are left out."""
    text = ast.get_docstring(cast("Any", node)) or ""
    body, *sections = re.split(r"^(Args|Attributes|Returns|Raises|Examples):\n", text, flags=re.MULTILINE)
    described = dict(zip(sections[::2], sections[1::2], strict=True))
    yield body.strip()
    if isinstance(node, ast.FunctionDef) and "property" not in map(ast.unparse, node.decorator_list):
        yield f"```python\n{_signature(node)}\n```"
    if "Returns" in described:
        yield f"Returns: {' '.join(described['Returns'].split())}"
    for head, section in (("argument", "Args"), ("attribute", "Attributes"), ("error", "Raises")):
        if rows := _documented(described.get(section, "")):
            yield _rows((head, ""), ((f"`{name}`", meaning) for name, meaning in rows.items()))


def _signature(node: ast.FunctionDef) -> str:
    """Return the signature of a function, with an argument a line where it is long."""
    plain, named = node.args.args, node.args.kwonlyargs
    defaults = [*(None,) * (len(plain) - len(node.args.defaults)), *node.args.defaults, *node.args.kw_defaults]
    every = [
        ast.unparse(one) + (f" = {ast.unparse(value)}" if value else "")
        for one, value in zip([*plain, *named], defaults, strict=True)
    ]
    arguments = [one for one in [*every[: len(plain)], *["*"][: len(named)], *every[len(plain) :]] if one != "self"]
    end = f") -> {ast.unparse(node.returns)}" if node.returns else ")"
    line = f"{node.name}({', '.join(arguments)}{end}"
    return line if len(line) <= 100 else "\n".join([f"{node.name}(", *(f"    {one}," for one in arguments), end])


def _body(module: str) -> list[ast.stmt]:
    """Return what a module defines, without importing it."""
    path = SOURCE.joinpath(*module.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.parse(file.read_text(encoding="utf-8")).body


def _docstring(module: str, name: str) -> str:
    """Return a docstring, or the text under an assignment, without importing the module."""
    body = _body(module)
    for node, following in zip(body, [*body[1:], None], strict=True):
        if getattr(node, "name", "") == name and isinstance(node, ast.ClassDef | ast.FunctionDef):
            return ast.get_docstring(node) or ""
        targets = getattr(node, "targets", [getattr(node, "target", None)])
        if any(getattr(one, "id", "") == name for one in targets) and isinstance(following, ast.Expr):
            return str(getattr(following.value, "value", ""))
    return ""


LISTS: Mapping[str, Callable[..., str]] = {
    one.__name__: cast("Any", one)
    for one in (
        api,
        arguments,
        attributes,
        commands,
        component,
        components,
        factors,
        glossary,
        keys,
        layout,
        measures,
        names,
        tables,
    )
}
"""Name in a page -> what makes the list."""


if __name__ == "__main__":
    for one in sorted((SOURCE.parent / "docs").rglob("*.md")):
        before = one.read_text(encoding="utf-8")
        if (after := written(before)) != before:
            one.write_text(after, encoding="utf-8")
