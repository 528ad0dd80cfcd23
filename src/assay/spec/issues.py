"""Issues of a study: collect problems with their locations, explain errors of Pydantic, and render the text."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, TypeVar, cast

from pydantic import TypeAdapter, ValidationError
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import InitErrorDetails, PydanticCustomError

from assay.core.errors import SpecError, nearest, shorten
from assay.spec.document import Document, Keys, join_keys, nodes

# One issue, the issues of a document, and their text.

MOST_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Issue:
    """One problem of a study.

    Attributes:
        keys: Where the wrong value is written.
        value: The value on one short line. Empty where it is not shown.
        expected: The expected value or the problem, with the most likely intention.
        more: The names that are allowed, and the change to make.
        unknown_key: Whether the key itself has no meaning; `expected` is then the mapping that has it.
    """

    keys: Keys
    value: str
    expected: str
    more: str = ""
    unknown_key: bool = False

    def text(self, document: Document) -> str:
        """Render at most three lines: `location: key = value`, the expected value, the allowed values or the remedy."""
        key = self.keys[-1] if self.keys else 0
        value_text = "" if isinstance(key, str) and self.value == show(key) else self.value  # not the same text twice
        head = ": ".join(part for part in (document.location(self.keys), shorten(join_keys(self.keys), 120)) if part)
        expected = self.expected
        if self.unknown_key:
            holder, colon, meant = expected.partition(": ")
            holder = holder or join_keys(self.keys[:-1]) or "a study"
            expected = f"unknown key '{shorten(str(key))}' in {holder}{colon}{meant}"
        lines = [
            f"{head or 'the study'} = {value_text}" if value_text else head or "the study",
            f"  {expected}",
            f"  {self.more}",
        ]
        return "\n".join(line for line in lines if line.strip())


@dataclass
class Issues:
    """The issues of one document.

    Attributes:
        document: The study as written.
        entries: Every issue, each once however many grid points share it.
        origins: Keys of a grid point -> keys at which the value was written in the document.
        later: Checks that import code, for a study in which nothing else is wrong.
    """

    document: Document
    entries: list[Issue] = field(default_factory=list[Issue])
    origins: Mapping[Keys, Keys] = field(default_factory=dict[Keys, Keys])
    later: list[Callable[[], object]] = field(default_factory=list[Callable[[], object]])

    def at(self, origins: Mapping[Keys, Keys]) -> Issues:
        """Return the same collection for one point of the grid."""
        return Issues(self.document, self.entries, origins, self.later)

    def source(self, keys: Keys) -> Keys:
        """Return the keys in the document at which the value of a grid point was written."""
        for end in range(len(keys), 0, -1):
            if keys[:end] in self.origins:
                return (*self.origins[keys[:end]], *keys[end:])
        return keys

    def add(self, keys: Keys, value: Any, expected: str, remedy: str = "", names: Iterable[str] = ()) -> None:
        """Add an issue.

        Args:
            keys: Where the value is, in the grid point.
            value: The value, or "" to show none.
            expected: The expected value, or the problem.
            remedy: The change to make.
            names: The names that are allowed. The nearest to `value` is named with them.
        """
        self.note(issue(keys, value, expected, remedy, names))

    def note(self, fault: Issue) -> None:
        """Add an issue whose keys are those of the grid point, unless it is there."""
        fault = replace(fault, keys=self.source(fault.keys))
        if fault not in self.entries:
            self.entries.append(fault)

    def raise_found(self) -> None:
        """Raise the issues that were found, in the order of their lines.

        Raises:
            SpecIssues: There are any. The text holds the first five.
        """
        if not self.entries:
            return
        first = sorted(self.entries, key=lambda fault: _line(self.document.location(fault.keys)))[:MOST_SHOWN]
        texts = [fault.text(self.document) for fault in first]
        more = len(self.entries) - MOST_SHOWN
        raise SpecIssues("\n".join([*texts, f"and {more} more"] if more > 0 else texts), self)


class SpecIssues(SpecError):
    """All issues of a study, with the text of the first five."""

    def __init__(self, text: str, issues: Issues) -> None:
        super().__init__(text)
        self.issues = issues


def issue(keys: Keys, value: Any, expected: str, remedy: str = "", names: Iterable[str] = (), most: int = 14) -> Issue:
    """Make an issue; the arguments are those of `Issues.add`, and how many of the names are shown."""
    allowed = list(names)
    near = nearest(str(value), allowed) if allowed else None
    listed = [f"allowed: {join_first(allowed, most)}"] if allowed else []
    more = "; ".join([*listed, *([remedy] if remedy else [])])
    return Issue(keys, show(value), f"{expected}: did you mean '{near}'?" if near else expected, more)


def unknown_key(keys: Keys, names: Iterable[str], holder: str = "") -> Issue:
    """Make the issue of an unknown key.

    Args:
        keys: The keys of the grid point, the unknown one last.
        names: The keys that are allowed.
        holder: The name of the mapping that has the key. Its dotted keys by default.
    """
    key, allowed = str(keys[-1]), sorted(names)
    unknown = replace(issue(keys, key, holder, names=allowed), value="", unknown_key=True)
    if key == "true" and "on" in allowed:
        boolean = "YAML 1.1 reads the key `on` as true: write 'on' in quotes, or give the text itself or its path"
        return replace(unknown, expected=f"{holder}: {boolean}")
    parts = key.split(".")
    if len(parts) > 1 and parts[0] in allowed:
        nested = ": {".join(parts) + ": ..." + "}" * (len(parts) - 1)
        return replace(unknown, expected=f"{holder}: dotted keys are for --set and scales; write {nested}")
    return unknown


def _line(location: str) -> float:
    """Return the line of a location such as `study.yaml:12`, or infinity where it names none."""
    number = location.rpartition(":")[2]
    return int(number) if number.isdigit() else math.inf


def show(value: Any) -> str:
    """Format a value on one short line, as YAML would have it."""
    if isinstance(value, str):
        return value if value == "" else f"'{shorten(value)}'"
    if isinstance(value, float):
        return repr(value)
    return shorten(json.dumps(value, ensure_ascii=False, default=str))


def join_first(names: Sequence[str], most: int = 14) -> str:
    """Join names by commas, the first ones when there are many."""
    rest = len(names) - most
    return ", ".join(shorten(name) for name in names[:most]) + (f" and {rest} more" if rest > 0 else "")


# Validation by Pydantic. Its errors become issues: expected values are read from the JSON schema of the model, which
# holds types, ranges, choices and descriptions in one form whatever annotation they were declared by.

T = TypeVar("T")
AXES_ONLY = "a list is an axis only in recipe and environments.train"
Schema = Mapping[str, Any]


@dataclass(slots=True)
class StudyContext:
    """The context in which a value of a study is validated.

    Attributes:
        document: The study.
        compare: Whether the code of components compares their arguments, beyond names, types and ranges.
        pending: Whether a component was found whose arguments wait for this.
    """

    document: Document
    compare: bool = False
    pending: bool = False


def validated(kind: type[T], value: Any, keys: Keys, issues: Issues, *, compare: bool = False) -> T | None:
    """Validate a value of the study.

    Args:
        kind: A Pydantic model, or another type that Pydantic validates.
        value: The value. None is an empty mapping.
        keys: Where the value is, in the grid point.
        issues: The collection that issues are added to.
        compare: Whether the code of components compares their arguments. Otherwise this is left for later.

    Returns:
        The validated value, or None where anything is wrong.
    """
    context = StudyContext(issues.document, compare)
    try:
        value_read = validate_value(kind, {} if value is None else value, context)
    except ValidationError as error:
        for fault in issues_of(error):
            issues.note(replace(fault, keys=(*keys, *fault.keys)))
        return None
    if context.pending:
        issues.later.append(lambda: validated(kind, value, keys, issues, compare=True))
    return value_read


def validate_value(kind: type[T], value: Any, context: StudyContext | None) -> T:
    """Validate a value, and explain its problems.

    Raises:
        ValidationError: The value is wrong. Each of its errors holds an `Issue`.
    """
    misread = list(_misread(kind, value))
    if misread:
        raise invalid(*misread)
    try:
        return _adapter(kind).validate_python(value, context=context)
    except ValidationError as error:
        raise invalid(*_explained(kind, error)) from None


def invalid(*issues: Issue) -> ValidationError:
    """Make the error by which a validator of a field refuses a value; keys are relative to the field."""
    lines = [
        InitErrorDetails(
            type=PydanticCustomError("issue", "{text}", {"text": fault.text(Document({})), "issue": fault}),
            loc=fault.keys,
            input=fault.value,
        )
        for fault in issues
    ]
    return ValidationError.from_exception_data("study", lines)


def issues_of(error: ValidationError) -> list[Issue]:
    """Return the issues that the error of `validate` or `invalid` holds, with keys relative to the field."""
    errors = error.errors(include_url=False)
    return [replace(item["ctx"]["issue"], keys=item["loc"]) for item in errors if "ctx" in item]


@cache
def _adapter(kind: type[T]) -> TypeAdapter[T]:
    return TypeAdapter(kind)


class _Schemas(GenerateJsonSchema):
    """JSON schemas in which a type of another library takes any value."""

    ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012  Pydantic's own class attribute

    def handle_invalid_for_json_schema(self, schema: Any, error_info: str) -> dict[str, Any]:
        return {}


@cache
def _schema(kind: type[Any]) -> Schema:
    return _adapter(kind).json_schema(schema_generator=_Schemas)


def _explained(kind: type[Any], error: ValidationError) -> Iterator[Issue]:
    errors = error.errors(include_url=False)
    for item in errors:
        loc = item["loc"]
        if item["type"] == "told":  # of an issue that is found elsewhere
            continue
        if item["type"] == "issue" and "ctx" in item:
            yield replace(item["ctx"]["issue"], keys=loc)
            continue
        within = any(len(other["loc"]) > len(loc) and other["loc"][: len(loc)] == loc for other in errors)
        if not (item["type"] == "too_short" and within):  # a list is short only because wrong items are not counted
            yield _explain(kind, item["type"], loc, item.get("input"), item["msg"])


def _explain(kind: type[Any], error: str, loc: Keys, value: Any, message: str) -> Issue:
    """Explain one error of Pydantic in its own words, but for keys, and for what holds other values."""
    root = _schema(kind)
    schema = _schema_at(root, loc)
    if error == "extra_forbidden":
        return unknown_key(loc, _schema_at(root, loc[:-1]).get("properties", {}))
    if error == "missing":
        return Issue(loc[:-1], "", f"'{loc[-1]}' is missing")
    if error == "value_error":
        return issue(loc, "" if "properties" in schema else value, message.removeprefix("Value error, "))
    if error in ("too_short", "too_long"):
        return issue(loc, value, message[0].lower() + message[1:])
    if shapes := _shapes(schema, root):
        return issue(loc, value, f"expected {' or '.join(shapes)}", hint(value))
    choices = [str(name) for part in _branches(schema, root) for name in part.get("enum", ())]
    near = nearest(value, choices) if isinstance(value, str) else None
    number = error == "string_type" and isinstance(value, int | float)
    quotes = "put it in quotes: without them YAML takes it for a number" if number else hint(value)
    return issue(loc, value, message[0].lower() + message[1:], f"did you mean '{near}'?" if near else quotes)


def _misread(kind: type[Any], value: Any) -> Iterator[Issue]:
    """Find values that Pydantic would convert silently: `true` to 1, or the text `1_0` to 10."""
    for keys, item in nodes(value):
        if isinstance(item, bool) or (isinstance(item, str) and _PARTED.fullmatch(item)):
            root = _schema(kind)
            schema = _schema_at(root, keys)
            types = {part.get("type") for part in _branches(schema, root)}
            if types & {"integer", "number"} and ("boolean" if isinstance(item, bool) else "string") not in types:
                yield issue(keys, item, "input should be a valid number")


_PARTED = re.compile(r"\s*[+-]?(?=[\d.]*_)[\d_.]+(e[+-]?[\d_]+)?\s*", re.IGNORECASE)


def _schema_at(root: Schema, loc: Keys) -> Schema:
    """Return the schema at `loc`, where keys that Pydantic adds for unions are skipped."""
    here = root
    for key in loc:
        inner = next((step for part in _branches(here, root) if (step := _step(part, key)) is not None), None)
        if inner is not None and isinstance(key, int) and "description" in here:
            inner = {"description": here["description"], **inner}  # that of a list is that of its items
        here = here if inner is None else inner
    return _resolve(here, root)


def _step(schema: Schema, key: str | int) -> Schema | None:
    """Return the schema of one item or property, or None where there is none."""
    if isinstance(key, int):
        return schema.get("items")
    rest = schema.get("additionalProperties")
    return schema.get("properties", {}).get(key, cast(Schema, rest) if isinstance(rest, Mapping) else None)


def _resolve(schema: Schema, root: Schema) -> Schema:
    """Follow a reference. The field's own description takes precedence over that of its model."""
    if "$ref" not in schema:
        return schema
    target = root["$defs"][str(schema["$ref"]).rpartition("/")[2]]
    return {key: item for key, item in {**target, "description": "", **schema}.items() if item and key != "$ref"}


def _branches(schema: Schema, root: Schema) -> list[Schema]:
    """Return the alternatives of a union, without null."""
    resolved = _resolve(schema, root)
    parts = cast("Sequence[Schema]", resolved.get("anyOf") or resolved.get("oneOf") or [resolved])
    return [_resolve(part, root) for part in parts if part.get("type") != "null"]


def _shapes(schema: Schema, root: Schema) -> list[str]:
    """Return the lists and mappings that a field takes: `key: value` pairs such as an example, or with some keys."""
    lists = {"array": "a list", "object": "`name: value` pairs"}
    return [
        f"`key: value` pairs such as {examples[0]}"
        if (examples := part.get("examples"))
        else f"`key: value` pairs with {', '.join(part['properties'])}"
        if "properties" in part
        else lists[part["type"]]
        for part in _branches(schema, root)
        if part.get("type") in lists
    ]


def hint(value: Any) -> str:
    """Return what to do about a list in the place of one value."""
    return AXES_ONLY if isinstance(value, list) else ""
